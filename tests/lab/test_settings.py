"""What ``lab.toml`` says of the machine beside its parts: variables, and the files that are kept out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vss.errors import ConfigurationError, NotFoundError
from vss.events import FileNotInSnapshot
from vss.lab import Lab
from vss.lab.configuration import parse_configuration
from vss_requestors.backup import BackupRequestor

SETTINGS = r"""
[environment]
TEMP = 'L:\Logs'

[files_not_to_snapshot]
Activity = ['%temp%\*.log']

[files_not_to_backup]
Checkpoints = ['\Exchange\SG1\*.chk']
"""


def test_files_are_kept_out_of_the_shadow_copies_of_a_lab(make_stage: Callable[..., Any], small: str) -> None:
    stage = make_stage()
    stage.create(small.replace("[[volumes]]", SETTINGS + "\n[[volumes]]", 1))

    async def job(lab: Lab) -> tuple[Any, bool, bool]:
        await lab.run_for(60)
        await lab.files.make_directory("L:\\Logs")
        file = await lab.files.open("L:\\Logs\\scratch.log", write=True, create=True)
        await file.close()
        result = await BackupRequestor().run(lab, target=stage.target, persistent=True, records=lambda: stage.records)
        (snapshot,) = [each for each in await lab.coordinator.query_snapshots() if each.original_volume == "L:"]
        files = await lab.coordinator.open_snapshot(snapshot.snapshot_id)
        try:
            await files.stat("/Logs/scratch.log")
        except NotFoundError:
            is_there = False
        else:
            is_there = True
        return result, is_there, await lab.files.exists("L:\\Logs\\scratch.log")

    result, is_in_snapshot, is_live = stage.run(job).result
    assert (is_in_snapshot, is_live) == (False, True)
    assert [(each.path, each.is_deleted) for each in result.left_out if each.is_deleted] == [("L:\\Logs\\scratch.log", True)]
    told = [each.event for each in stage.records if isinstance(each.event, FileNotInSnapshot)]
    assert [(each.path, each.application) for each in told] == [("L:\\Logs\\scratch.log", "Activity")]
    assert not [each for each in result.copied if each.path.endswith(".chk")]
    assert [each.application for each in result.left_out if not each.is_deleted] == ["Checkpoints"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[files_not_to_backup]\nApp = ['nothing']", "files_not_to_backup: 'nothing' of 'App', expected something like"),
        ("[files_not_to_snapshot]\nApp = ['%Nope%\\\\x']", "environment variable 'Nope' is not defined on this machine"),
        ("[environment]\nTEMP = 5", "environment"),
    ],
)
def test_an_entry_that_means_nothing_is_a_configuration_error(small: str, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("\\", "\\\\")):
        parse_configuration(small.replace("[[volumes]]", text + "\n\n[[volumes]]", 1))
