"""BackupComplete sent by a later requestor: who is told, and who must be refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vss.coordinator import SnapshotContext, WriterStatus
from vss.coordinator.waiting import WaitingBackup
from vss.documents import BackupComponents, BackupType
from vss.documents.xml import parse_backup_components
from vss.errors import BadStateError, InvalidArgumentError, NotFoundError, WriterError
from vss.events import BackupLeftWaiting, SessionReleased, WaitingBackupEnded, WaitingBackupTaken
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.machines import WriterState
from vss_requestors.backup import BackupRequestor
from vss_requestors.betest_report import completion_report
from vss_requestors.completion import CompletionRequestor
from vss_requestors.results import BackupResult, CompletionResult, WriterCompletion

DOCUMENT = Path("/bcd.xml")


async def leave(world: Any, **options: Any) -> tuple[BackupResult, BackupComponents]:
    """A full backup without BackupComplete, and its document as saved."""
    options = {"backup_type": BackupType.FULL, "send_backup_complete": False, "document_file": DOCUMENT, **options}
    result = await BackupRequestor().run(world, **{**world.options, **options})
    return result, parse_backup_components(world.ports.files.read_bytes(DOCUMENT))


async def complete(world: Any, document: BackupComponents) -> CompletionResult:
    result: CompletionResult = await CompletionRequestor().run(world, document=document, records=lambda: world.recorder.records)
    return result


async def statuses(world: Any) -> list[WriterStatus]:
    """What a status reader sees."""
    async with world.open_session() as session:
        session.initialize_for_backup()
        await session.gather_writer_metadata()
        found: list[WriterStatus] = await session.gather_writer_status()
        return found


def shutdowns(world: Any) -> int:
    return int(world.calls.count("Store.on_backup_shutdown"))


def test_the_writers_wait_and_a_later_session_completes_the_backup(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        backup, document = await leave(world)
        (waiting,) = await statuses(world)
        assert waiting.state is WriterState.WAITING_FOR_BACKUP_COMPLETE
        assert (str(waiting.session_id), waiting.is_meaningful) == (backup.session_id, False)
        assert (writer.truncations, shutdowns(world), world.coordinator.open_session_count) == (0, 0, 0)

        result = await complete(world, document)

        assert result.exit_code == ExitCode.OK
        assert result.writers == (WriterCompletion(writer="Store", is_told=True),)
        assert [each.removed_count for each in result.truncations] == [1]
        assert (writer.truncations, writer.told) == (1, [("Store", True)])
        assert shutdowns(world) == 1
        (after,) = await statuses(world)
        assert after.state is WriterState.STABLE
        (left,), (taken,) = world.events(BackupLeftWaiting), world.events(WaitingBackupTaken)
        assert left.session_id == taken.session_id == backup.session_id
        assert (left.writers, taken.by_session_id) == (("Store",), result.session_id)
        released = [each.session_id for each in world.events(SessionReleased)]
        assert released.index(result.session_id) < released.index(backup.session_id)
        assert "complete; the writers were told" in completion_report(result)

    kit.play(script)


def test_a_backup_is_completed_once(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        _, document = await leave(world)
        await complete(world, document)
        with pytest.raises(BadStateError, match=r"no backup of set .* waits for BackupComplete") as refused:
            await complete(world, document)
        assert refused.value.hresult is HResult.VSS_E_BAD_STATE
        assert writer.truncations == 1

    kit.play(script)


def test_another_document_is_refused_and_the_backup_still_waits(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        _, document = await leave(world)
        (part,) = document.writers
        (component,) = part.components
        failed = replace(part, components=(replace(component, backup_succeeded=False),))
        with pytest.raises(BadStateError, match="not the one that its backup was left with"):
            await complete(world, replace(document, writers=(failed,)))
        assert writer.truncations == shutdowns(world) == 0
        await complete(world, document)
        assert writer.truncations == 1

    kit.play(script)


def test_a_document_without_a_set_is_refused(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        with pytest.raises(InvalidArgumentError, match="names no shadow copy set"):
            await complete(world, BackupComponents())

    kit.play(script)


def test_an_instance_that_was_started_anew_is_not_told(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        _, document = await leave(world)
        world.coordinator.remove_writer(writer)
        world.coordinator.add_writer(writer)
        with pytest.raises(WriterError, match="started anew since") as refused:
            await complete(world, document)
        assert refused.value.exit_code == ExitCode.UNSUPPORTED
        assert writer.truncations == shutdowns(world) == 0
        assert "Store.on_backup_complete" not in world.calls
        with pytest.raises(BadStateError):
            await complete(world, document)

    kit.play(script)


def test_of_two_writers_the_one_that_still_knows_the_backup_is_told(kit: Any) -> None:
    async def script(world: Any) -> None:
        writers = [kit.StoreWriter(world.ports, name, calls=world.calls) for name in ("Store", "Other")]
        store = await world.start(writers)
        _, document = await leave(world)
        world.coordinator.remove_writer(writers[1])
        world.coordinator.add_writer(writers[1])
        result = await complete(world, document)
        assert result.exit_code == ExitCode.WARNINGS
        assert [(each.writer, each.is_told) for each in result.writers] == [("Store", True), ("Other", False)]
        assert (store.truncations, writers[1].truncations) == (1, 0)
        report = completion_report(result)
        assert "writer       Other  NOT told: the writer was started anew since" in report
        assert report.endswith("NOT complete for 1 of 2 writers")
        assert max(map(len, report.splitlines())) <= 120

    kit.play(script)


def test_a_writer_that_failed_in_the_backup_does_not_wait(kit: Any) -> None:
    async def script(world: Any) -> None:
        other = kit.StoreWriter(world.ports, "Other", calls=world.calls, behaviour={"on_post_snapshot": WriterError("no disk")})
        await world.start([kit.StoreWriter(world.ports, calls=world.calls), other])
        _, document = await leave(world)
        assert "Other.on_backup_shutdown" in world.calls
        assert shutdowns(world) == 0
        result = await complete(world, document)
        assert result.writers[1].reason == "it did not wait for BackupComplete"
        assert (result.exit_code, other.truncations) == (ExitCode.WARNINGS, 0)

    kit.play(script)


def test_a_writer_that_fails_at_backup_complete_is_named(kit: Any) -> None:
    async def script(world: Any) -> None:
        store = kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_backup_complete": WriterError("disk full")})
        await world.start([store])
        _, document = await leave(world)
        result = await complete(world, document)
        assert result.writers == (WriterCompletion(writer="Store", is_told=True, reason="disk full"),)
        assert result.exit_code == ExitCode.WARNINGS

    kit.play(script)


def test_the_next_backup_of_a_writer_ends_what_waits(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        first, document = await leave(world)
        second = await BackupRequestor().run(world, **{**world.options, "backup_type": BackupType.FULL})
        assert second.exit_code == ExitCode.OK
        (ended,) = world.events(WaitingBackupEnded)
        assert (ended.session_id, ended.cause) == (first.session_id, "its writers are backed up again")
        assert (writer.truncations, shutdowns(world)) == (1, 2)
        with pytest.raises(BadStateError):
            await complete(world, document)

    kit.play(script)


def test_auto_release_shadow_copies_go_and_persistent_ones_stay(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        released, document = await leave(world)
        assert await world.coordinator.query_snapshots() == []
        await complete(world, document)
        world.ports.files.remove(DOCUMENT)
        kept, document = await leave(world, persistent=True)
        assert len(await world.coordinator.query_snapshots()) == len(kept.snapshots) == len(released.snapshots) == 2
        result = await complete(world, document)
        assert result.exit_code == ExitCode.OK
        assert len(await world.coordinator.query_snapshots()) == 2

    kit.play(script)


def test_a_machine_that_goes_down_ends_what_waits(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await leave(world)
        await world.coordinator.close()
        assert shutdowns(world) == 1
        assert [each.cause for each in world.events(WaitingBackupEnded)] == ["the machine goes down"]

    kit.play(script)


def test_a_document_that_is_missing_is_not_found(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        async with world.open_session() as session:
            session.initialize_for_backup(BackupComponents())
            with pytest.raises(BadStateError):
                await session.backup_complete()  # not before GatherWriterMetadata
            with pytest.raises(NotFoundError):
                session.get_snapshot_properties(world.ports.ids.guid())

    kit.play(script)


def test_what_waits_is_closed_for_its_writers(kit: Any) -> None:
    """A resumed writer sees the backup as it was left, and can change neither document nor shadow copies."""

    async def script(world: Any) -> None:
        await world.start()
        _, document = await leave(world)
        waiting = WaitingBackup(world.ports.ids.guid(), document, SnapshotContext.BACKUP)
        (part,) = document.writers
        assert (waiting.snapshot_set_id, waiting.backup_type) == (document.snapshot_set_id, BackupType.FULL)
        assert waiting.components_of(part.instance_id) == part
        volume_mode = replace(document, select_components=False)
        assert WaitingBackup(waiting.session_id, volume_mode, SnapshotContext.BACKUP).components_of(part.instance_id) is None
        with pytest.raises(BadStateError, match="is closed"):
            waiting.replace_components(part)
        with pytest.raises(BadStateError, match="its set is finished"):
            await waiting.writable_snapshot("D:")

    kit.play(script)
