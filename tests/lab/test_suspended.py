"""A backup that waits for BackupComplete over the end of a run, and what makes the machine forget it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vss.coordinator import WriterStatus
from vss.documents import BackupType
from vss.documents.xml import parse_backup_components
from vss.errors import BadStateError, ConfigurationError, WriterError
from vss.events import LogsTruncated
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss.lab.state import SUSPENDED_FILE
from vss.machines import WriterState
from vss_requestors.backup import BackupRequestor
from vss_requestors.completion import CompletionRequestor
from vss_requestors.results import BackupResult, CompletionResult

DOCUMENT = Path("/host/bcd.xml")


def leave(stage: Any, backup_type: BackupType = BackupType.FULL) -> BackupResult:
    """One run of the machine: some work, then a backup without BackupComplete."""

    async def job(lab: Lab) -> BackupResult:
        await lab.run_for(120)
        return await BackupRequestor().run(
            lab,
            target=stage.target,
            backup_type=backup_type,
            document_file=DOCUMENT,
            send_backup_complete=False,
            records=lambda: stage.records,
        )

    result: BackupResult = stage.run(job).result
    return result


def complete(stage: Any) -> CompletionResult:
    """Another run: BackupComplete."""

    async def job(lab: Lab) -> CompletionResult:
        document = parse_backup_components(stage.files.read_bytes(DOCUMENT))
        return await CompletionRequestor().run(lab, document=document, records=lambda: stage.records)

    result: CompletionResult = stage.run(job).result
    return result


def statuses(stage: Any) -> list[WriterStatus]:
    async def job(lab: Lab) -> list[WriterStatus]:
        async with lab.open_session() as session:
            session.initialize_for_backup()
            await session.gather_writer_metadata()
            return await session.gather_writer_status()

    found: list[WriterStatus] = stage.run(job).result
    return found


def truncations(stage: Any) -> list[LogsTruncated]:
    return [each.event for each in stage.records if isinstance(each.event, LogsTruncated)]


def is_suspended(stage: Any) -> bool:
    return bool(stage.files.exists(stage.root / SUSPENDED_FILE))


def test_a_later_run_completes_the_backup_and_the_store_truncates(stage: Any) -> None:
    backup = leave(stage)
    assert is_suspended(stage)
    (waiting,) = statuses(stage)
    assert (waiting.state, str(waiting.session_id)) == (WriterState.WAITING_FOR_BACKUP_COMPLETE, backup.session_id)
    assert truncations(stage) == []

    result = complete(stage)

    assert result.exit_code == ExitCode.OK
    (truncated,) = truncations(stage)
    assert truncated.removed_count > 0
    assert [each.removed_count for each in result.truncations] == [truncated.removed_count]
    assert not is_suspended(stage)
    assert stage.back_up().exit_code == ExitCode.OK
    stage.assert_at_rest()


def test_the_headers_say_that_the_backup_was_made(stage: Any) -> None:
    """An incremental backup builds on it, which the engine refuses without a full one."""
    leave(stage)
    complete(stage)
    stage.files.remove(DOCUMENT)
    assert leave(stage, BackupType.INCREMENTAL).exit_code == ExitCode.OK
    assert complete(stage).exit_code == ExitCode.OK
    assert [each.removed_count > 0 for each in truncations(stage)] == [True, True]


def test_a_run_that_works_in_between_keeps_the_backup_waiting(stage: Any) -> None:
    leave(stage)

    async def work(lab: Lab) -> None:
        await lab.run_for(300)

    stage.run(work)
    assert complete(stage).exit_code == ExitCode.OK
    assert truncations(stage)[0].removed_count > 0
    stage.assert_at_rest()


def test_a_store_that_was_dismounted_in_between_has_forgotten(stage: Any) -> None:
    leave(stage)

    async def dismount(lab: Lab) -> None:
        group: Any = lab.writer("SG1").group  # type: ignore[attr-defined]
        await group.dismount()
        await group.mount()

    stage.run(dismount)
    with pytest.raises(WriterError, match="restarted or went down since"):
        complete(stage)
    assert truncations(stage) == []
    assert stage.back_up().exit_code == ExitCode.OK


def test_a_store_whose_disk_was_lost_in_between_has_forgotten(stage: Any) -> None:
    leave(stage)

    async def lose(lab: Lab) -> None:
        await lab.lose_volume("D:")
        await lab.take_down("gone")

    stage.run(lose)
    with pytest.raises(WriterError, match="restarted or went down since"):
        complete(stage)
    assert truncations(stage) == []


def test_a_run_that_is_killed_has_lost_its_memory(stage: Any) -> None:
    """What waits is off the disk while the machine runs, so nothing of it is left when the process dies."""
    leave(stage)

    async def look(lab: Lab) -> bool:
        return is_suspended(stage)

    assert stage.run(look).result is False
    assert is_suspended(stage)
    stage.files.remove(stage.root / SUSPENDED_FILE)  # as a kill leaves it
    with pytest.raises(BadStateError, match="waits for BackupComplete on this machine: found none"):
        complete(stage)
    assert truncations(stage) == []


def test_the_next_backup_ends_what_waits(stage: Any) -> None:
    leave(stage)
    assert stage.back_up().exit_code == ExitCode.OK
    with pytest.raises(BadStateError):
        complete(stage)
    stage.assert_at_rest()


@pytest.mark.parametrize("data", [b"{", b'{"backups": [{"session_id": "x"}]}', b"\xff\xfe"])
def test_a_damaged_memory_is_named(stage: Any, data: bytes) -> None:
    leave(stage)
    stage.files.write_atomically(stage.root / SUSPENDED_FILE, data)
    with pytest.raises(ConfigurationError, match="remembers of waiting backups is damaged"):
        complete(stage)


def test_a_memory_that_does_not_fit_the_log_is_refused(stage: Any) -> None:
    leave(stage)
    path = stage.root / SUSPENDED_FILE
    text = stage.files.read_bytes(path).decode()
    assert '"generation_last": ' in text
    head, _, tail = text.partition('"generation_last": ')
    number = tail.split(",")[0]
    stage.files.write_atomically(path, f'{head}"generation_last": 9{tail}'.encode())
    with pytest.raises(WriterError, match="expected one behind"):
        complete(stage)
    assert int(number) > 0


def test_a_memory_that_means_nothing_to_the_store_is_refused(stage: Any) -> None:
    leave(stage)
    path = stage.root / SUSPENDED_FILE
    stage.files.write_atomically(path, stage.files.read_bytes(path).replace(b'"kind": "full"', b'"kind": "odd"'))
    with pytest.raises(WriterError, match="damaged"):
        complete(stage)
