"""Ctrl-C at any moment of a backup: cancelled at every record that the backup leaves, in virtual time.

Whatever the moment: the machine is at rest afterwards, no set looks complete unless it is, and the next backup works.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from vss.events import Event, LogsTruncated, PhaseEntered
from vss.exit_codes import ExitCode
from vss.lab.life import Life
from vss.observe import Recorder


def states(stage: Any) -> list[str]:
    """The state of every set in the target."""
    found = []
    for name in stage.files.list_directory(stage.target):
        record = stage.target / name / "session.json"
        found.append(json.loads(stage.files.read_bytes(record))["state"] if stage.files.exists(record) else "nothing")
    return found


class Cut:
    """Cancels the life when the chosen record is made, inside a hold too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, is_moment: Callable[[int, Event], bool]) -> None:
        self.was_cut_at: Event | None = None
        lives: list[Life] = []
        live = Life.live

        def remember(life: Life, *arguments: Any) -> Any:
            lives.append(life)
            return live(life, *arguments)

        emit = Recorder.emit

        def cutting(recorder: Recorder, event: Event) -> None:
            emit(recorder, event)
            if self.was_cut_at is None and is_moment(len(recorder.records), event):
                self.was_cut_at = event
                lives[-1].cancel()

        monkeypatch.setattr(Life, "live", remember)
        monkeypatch.setattr(Recorder, "emit", cutting)


def assert_recovered(stage: Any) -> None:
    stage.records.clear()
    result = stage.back_up()
    assert result.exit_code == ExitCode.OK
    stage.assert_at_rest()


PHASES = (
    *("gather", "prepare", "snapshot", "end-prepare", "prepare-snapshot", "freeze", "hold", "post-snapshot"),
    *("copy", "verify", "complete"),
)


@pytest.mark.parametrize("phase", PHASES)
def test_cancelled_at_the_beginning_of_a_phase(stage: Any, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    with monkeypatch.context() as patch:
        cut = Cut(patch, lambda number, event: isinstance(event, PhaseEntered) and event.phase == phase)
        with pytest.raises(asyncio.CancelledError):
            stage.back_up()

    assert cut.was_cut_at is not None
    is_told = phase == "complete"  # from here on the set is complete and the writers may have truncated
    assert all(state in (("complete",) if is_told else ("failed",)) for state in states(stage))
    truncations = [each.event for each in stage.records if isinstance(each.event, LogsTruncated)]
    assert is_told or all(each.removed_count == 0 for each in truncations)
    stage.assert_at_rest()
    assert_recovered(stage)


@pytest.mark.slow
def test_cancelled_at_every_record(make_stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    template = make_stage()
    template.create()
    template.back_up()
    count = len(template.records)
    assert count > 30

    for moment in range(1, count + 1):
        stage = make_stage()
        stage.create()
        with monkeypatch.context() as patch:
            Cut(patch, lambda number, event, moment=moment: number >= moment)  # type: ignore[misc]
            with contextlib.suppress(asyncio.CancelledError):
                stage.back_up()
        assert all(state in ("complete", "failed") for state in states(stage)), moment
        assert_recovered(stage)
