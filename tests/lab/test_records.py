"""What a backup on a lab leaves in the event log: every fact once, in the order of the story."""

from __future__ import annotations

from typing import Any

import pytest

from vss.errors import VssError
from vss.events import (
    BackupSetWritten,
    ComponentAdded,
    ComponentSucceeded,
    Event,
    FreezeWindowClosed,
    FreezeWindowOpened,
    LogsTruncated,
    ProviderCalled,
    ProviderFailed,
    SessionReleased,
    SessionStarted,
    SnapshotCommitted,
    SnapshotSetAborted,
    SnapshotSetCreated,
    SnapshotSetStarted,
    VolumeAddedToSet,
    VolumeLost,
    VolumeReplaced,
    WriterAborted,
    WriterAnswered,
    WriterCalled,
    WriterFroze,
    WriterIdentified,
    WriterThawed,
    WriterVetoed,
    WritesHeld,
    WritesReleased,
)
from vss.lab import Lab
from vss.simulation.faults import FaultPlan

STORY: tuple[type[Event], ...] = (
    SessionStarted,
    WriterIdentified,
    ComponentAdded,
    SnapshotSetStarted,
    VolumeAddedToSet,
    WriterCalled,
    WriterAnswered,
    FreezeWindowOpened,
    WriterFroze,
    WritesHeld,
    WritesReleased,
    SnapshotCommitted,
    WriterThawed,
    FreezeWindowClosed,
    SnapshotSetCreated,
    ComponentSucceeded,
    BackupSetWritten,
    LogsTruncated,
    SessionReleased,
)


def events_of(stage: Any) -> list[Event]:
    return [record.event for record in stage.records]


def test_a_backup_is_told_in_order(stage: Any) -> None:
    stage.back_up()

    firsts = list(dict.fromkeys(type(event) for event in events_of(stage) if type(event) in STORY))
    assert firsts == list(STORY)
    steps = [event.step for event in events_of(stage) if isinstance(event, ProviderCalled)]
    assert len(steps) >= 6


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("fault provider.commit times=1 fail", (ProviderFailed, WriterAborted, SnapshotSetAborted)),
        ("fault writer.freeze times=1 fail", (WriterVetoed, WriterAborted)),
    ],
)
def test_a_set_that_fails_says_who_failed_and_who_was_told(stage: Any, fault: str, told: tuple[type[Event], ...]) -> None:
    with pytest.raises(VssError):
        stage.back_up(faults=FaultPlan.parse([fault]))

    kinds = [type(event) for event in events_of(stage)]
    assert [kind for kind in told if kind not in kinds] == []
    stage.assert_at_rest()


def test_disasters_are_told(stage: Any) -> None:
    async def disaster(lab: Lab) -> None:
        await lab.lose_volume("D:")
        await lab.take_down("gone")
        await lab.replace_volume("D:")

    stage.run(disaster)

    found = [event for event in events_of(stage) if isinstance(event, VolumeLost | VolumeReplaced)]
    assert found == [VolumeLost(volume="D:"), VolumeReplaced(volume="D:")]
