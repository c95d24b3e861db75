"""The snapshot interface: order of calls, what a freeze stops and fixes, truncation, what a backup leaves in the headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.writers.ese.store_kit import (
    DATABASE,
    LOGS,
    OTHER_DATABASE,
    add,
    add_table,
    content,
    event_ids,
    memory,
    new_store,
    open_instance,
    reopen,
    rows,
    small_parameters,
)
from vss_writers.ese.engine_event import EngineEvent
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import BackupInfo, LogPosition
from vss_writers.ese.instance import Instance
from vss_writers.ese.layout import BackupType, DatabaseState
from vss_writers.ese.log_reader import list_logs, load_log
from vss_writers.ese.log_records import Backup2, BackupPhase, BackupScope
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.snapshot import SnapshotState
from vss_writers.ese.truncation import SnapshotKind, TruncationLimit


def generations(files: MemoryFileSystem) -> list[int]:
    return sorted(asyncio.run(list_logs(files, LOGS, "E00")).archived)


async def full_backup(instance: Instance, kind: SnapshotKind = SnapshotKind.FULL) -> None:
    instance.snapshot.prepare(kind)
    await instance.snapshot.freeze()
    await instance.snapshot.thaw()
    if kind.truncates:
        await instance.snapshot.truncate_logs(all_databases_attached=True)
    await instance.snapshot.end(success=True)


def test_a_whole_backup_with_its_events() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> BackupInfo:
        instance, database, table = await new_store(files, events=events)
        await add(instance, table, 0, 120)
        del events[:]
        assert instance.snapshot.prepare(SnapshotKind.FULL) == 1
        info = await instance.snapshot.freeze(1)
        assert instance.snapshot.is_frozen
        await instance.snapshot.thaw(1)
        result = await instance.snapshot.truncate_logs(all_databases_attached=True, snapshot_id=1)
        await instance.snapshot.end(success=True, snapshot_id=1)
        assert instance.snapshot.state is SnapshotState.START
        assert result.plan.remove_last == info.checkpoint_generation - 1
        assert len(result.removed) == result.plan.removed_count > 0
        header = database.header
        assert header.full_previous == BackupInfo(info.mark, info.time, info.generation_first, info.generation_last)
        assert header.full_previous_type is BackupType.OS_SNAPSHOT
        assert info.time.is_os_snapshot
        assert not header.incremental_previous
        await instance.close()
        return header.full_previous

    backup = asyncio.run(main())
    assert [number for number in event_ids(events) if number > 200][:5] == [2005, 2001, 2003, 224, 2006]
    assert generations(files) == list(range(backup.generation_low, backup.generation_high + 1))


def test_the_mark_is_the_first_record_behind_the_generations_to_copy() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 5)
        before = instance.generation
        instance.snapshot.prepare(SnapshotKind.COPY)
        info = await instance.snapshot.freeze()
        assert info.generation_last == before
        assert info.mark == LogPosition(before + 1, 8, 22)
        log = await load_log(files, f"{LOGS}\\E00.log", may_be_torn=False)
        position, record = log.records[0]
        assert position == info.mark
        assert isinstance(record, Backup2)
        assert (record.phase, record.type, record.scope) == (
            BackupPhase.PREPARE_LOGS,
            BackupType.OS_SNAPSHOT,
            BackupScope.COPY,
        )
        assert (await load_log(files, f"{LOGS}\\E00{before:08X}.log", may_be_torn=False)).is_closed

    asyncio.run(main())


def test_a_freeze_stops_every_write_but_not_reading() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 5)
        instance.snapshot.prepare(SnapshotKind.FULL)
        await instance.snapshot.freeze()
        effects = files.effect_count
        waiting = asyncio.create_task(add(instance, table, 5))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert await content(table) == rows(0, 5)
        assert files.effect_count == effects
        await instance.snapshot.thaw()
        await waiting
        assert await content(table) == rows(0, 6)

    asyncio.run(main())


def test_a_freeze_waits_for_the_open_transaction() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        instance.snapshot.prepare(SnapshotKind.FULL)
        async with instance.transaction() as transaction:
            await table.insert(transaction, {"Id": 1})
            freezing = asyncio.create_task(instance.snapshot.freeze())
            await asyncio.sleep(0)
            assert not freezing.done()
        await freezing
        assert instance.snapshot.is_frozen

    asyncio.run(main())


def test_a_frozen_copy_asks_only_for_closed_generations_and_recovers_from_them() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 40)
        instance.snapshot.prepare(SnapshotKind.FULL)
        info = await instance.snapshot.freeze()
        copy = files.copy()
        header = database.header
        assert header.state is DatabaseState.DIRTY_SHUTDOWN
        assert info.generation_first <= header.generation_min_required
        assert header.generation_max_required <= header.generation_max_committed == info.generation_last
        await instance.snapshot.thaw()
        assert database.header.generation_max_committed == info.generation_last + 1
        instance.abandon()

        target = memory()
        target.write(DATABASE, copy.read(DATABASE))
        for generation in range(info.generation_first, info.generation_last + 1):
            name = f"{LOGS}\\E00{generation:08X}.log"
            target.write(name, copy.read(name))
        instance, _, table = await reopen(target, databases=[DATABASE])
        assert await content(table) == rows(0, 40)

    asyncio.run(main())


def calls(instance: Instance) -> dict[str, Callable[[], Any]]:
    snapshot = instance.snapshot

    async def prepare() -> None:
        snapshot.prepare(SnapshotKind.FULL)

    return {
        "prepare": prepare,
        "freeze": snapshot.freeze,
        "thaw": snapshot.thaw,
        "truncate": lambda: snapshot.truncate_logs(all_databases_attached=True),
        "end": lambda: snapshot.end(success=True),
    }


ORDER = ["prepare", "freeze", "thaw", "truncate", "end"]


@pytest.mark.parametrize("done", range(5))
@pytest.mark.parametrize("call", range(5))
def test_every_call_out_of_order_is_refused_and_changes_nothing(done: int, call: int) -> None:
    legal = {0: [0], 1: [1], 2: [2], 3: [3, 4], 4: [4]}[done]

    async def main() -> None:
        instance, _, _ = await new_store(memory())
        available = calls(instance)
        for name in ORDER[:done]:
            await available[name]()
        if call in legal:
            await available[ORDER[call]]()
            return
        state = instance.snapshot.state
        with pytest.raises(JetError) as caught:
            await available[ORDER[call]]()
        expected = JetCode.OSSnapshotNotAllowed if call == 0 else JetCode.OSSnapshotInvalidSequence
        assert caught.value.code == expected
        assert instance.snapshot.state is state
        await instance.snapshot.abort()
        await full_backup(instance)

    asyncio.run(main())


def test_another_number_is_refused() -> None:
    async def main() -> None:
        instance, _, _ = await new_store(memory())
        instance.snapshot.prepare(SnapshotKind.FULL)
        for call in (instance.snapshot.freeze(9), instance.snapshot.abort(9)):
            with pytest.raises(JetError) as caught:
                await call
            assert caught.value.code == JetCode.OSSnapshotInvalidSnapId

    asyncio.run(main())


def test_a_freeze_that_times_out_lets_writing_go_on_and_thaw_says_so() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, database, table = await new_store(files, events=events)
        await instance.snapshot.time_out(20_000)
        instance.snapshot.prepare(SnapshotKind.FULL)
        await instance.snapshot.freeze()
        await instance.snapshot.time_out(20_000)
        await add(instance, table, 0, 3)
        with pytest.raises(JetError) as caught:
            await instance.snapshot.thaw()
        assert caught.value.code == JetCode.OSSnapshotTimeOut
        with pytest.raises(JetError):
            await instance.snapshot.end(success=True)
        await instance.snapshot.abort()
        await instance.snapshot.abort()
        assert not database.header.full_previous
        await full_backup(instance)

    asyncio.run(main())
    assert [number for number in event_ids(events) if number >= 2000] == [2005, 2001, 2004, 2007, 2005, 2001, 2003, 2006]


def test_an_abort_from_the_freeze_thaws_and_leaves_no_trace_in_headers() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory())
        instance.snapshot.prepare(SnapshotKind.FULL)
        await instance.snapshot.freeze()
        await instance.snapshot.end(success=False)
        await add(instance, table, 0)
        assert not database.header.full_previous

    asyncio.run(main())


def test_a_failing_freeze_leaves_nothing_frozen() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, _, table = await new_store(files, events=events)
        instance.snapshot.prepare(SnapshotKind.FULL)

        def fail(kind: str, path: str) -> None:
            raise OSError(5, "device failed")

        files.fail = fail
        with pytest.raises(JetError) as caught:
            await instance.snapshot.freeze()
        assert caught.value.code == JetCode.LogWriteFail
        assert not instance.writer.locked()
        with pytest.raises(JetError):
            await add(instance, table, 0)

    asyncio.run(main())
    assert 2002 in event_ids(events)


def test_a_snapshot_that_is_given_up_while_its_freeze_waits_does_not_freeze() -> None:
    async def main() -> None:
        instance, _, table = await new_store(memory())
        instance.snapshot.prepare(SnapshotKind.FULL)
        async with instance.transaction():
            freezing = asyncio.create_task(instance.snapshot.freeze())
            await asyncio.sleep(0)
            await instance.snapshot.abort()
        with pytest.raises(JetError) as caught:
            await freezing
        assert caught.value.code == JetCode.OSSnapshotInvalidSequence
        await add(instance, table, 0)

    asyncio.run(main())


@pytest.mark.parametrize("kind", [SnapshotKind.COPY, SnapshotKind.DIFFERENTIAL])
def test_copies_and_differentials_truncate_nothing(kind: SnapshotKind) -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory())
        await full_backup(instance)
        full = database.header.full_previous
        await add(instance, table, 0, 30)
        instance.snapshot.prepare(kind)
        info = await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        with pytest.raises(JetError) as caught:
            await instance.snapshot.truncate_logs(all_databases_attached=True)
        assert caught.value.code == JetCode.OSSnapshotInvalidSequence
        await instance.snapshot.end(success=True)
        header = database.header
        assert header.full_previous == full
        wanted = header.copy_previous if kind is SnapshotKind.COPY else header.differential_previous
        assert (wanted.mark, wanted.generation_high) == (info.mark, info.generation_last)
        if kind is SnapshotKind.DIFFERENTIAL:
            assert info.generation_first == full.generation_high + 1

    asyncio.run(main())


def test_an_incremental_backup_builds_on_a_full_one_and_a_full_one_forgets_it() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        await full_backup(instance)
        await add(instance, table, 0, 30)
        lowest = min((await list_logs(files, LOGS, "E00")).archived)
        instance.snapshot.prepare(SnapshotKind.INCREMENTAL)
        info = await instance.snapshot.freeze()
        assert info.generation_first == lowest
        await instance.snapshot.thaw()
        await instance.snapshot.truncate_logs(all_databases_attached=True)
        await instance.snapshot.end(success=True)
        assert database.header.incremental_previous.mark == info.mark
        assert instance.checkpointer._checkpoint.incremental_backup_position == info.mark
        await full_backup(instance)
        assert not database.header.incremental_previous

    asyncio.run(main())


def test_an_incremental_backup_without_a_full_one_is_refused() -> None:
    events: list[EngineEvent] = []

    async def main() -> None:
        instance, database, _ = await new_store(memory(), events=events)
        with pytest.raises(JetError) as caught:
            instance.snapshot.prepare(SnapshotKind.INCREMENTAL)
        assert caught.value.code == JetCode.MissingFullBackup
        header = replace(database.header, full_previous=BackupInfo(LogPosition(1, 1, 1)))
        await database.pages.file.write_header(header)
        with pytest.raises(JetError) as caught:
            instance.snapshot.prepare(SnapshotKind.INCREMENTAL)
        assert caught.value.code == JetCode.MissingFullBackup, "the full one was a streaming backup"

    asyncio.run(main())
    assert 206 in event_ids(events)


@pytest.mark.parametrize("which", ["middle", "lowest"])
def test_an_incremental_backup_with_a_gap_is_refused(which: str) -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, _, table = await new_store(files, events=events)
        await full_backup(instance)
        await add(instance, table, 0, 120)
        paths = (await list_logs(files, LOGS, "E00")).archived
        wanted = sorted(paths)[2] if which == "middle" else None
        for generation, path in paths.items():
            if generation == wanted or (wanted is None and generation <= sorted(paths)[3]):
                files.delete(path)
        instance.snapshot.prepare(SnapshotKind.INCREMENTAL)
        with pytest.raises(JetError) as caught:
            await instance.snapshot.freeze()
        assert caught.value.code == JetCode.MissingFileToBackup
        await instance.snapshot.abort()
        await full_backup(instance)

    asyncio.run(main())
    assert 459 in event_ids(events)


def test_circular_logging_allows_full_backups_only_and_keeps_logs_while_one_runs() -> None:
    files = memory()
    parameters = small_parameters(circular=True)

    async def main() -> None:
        instance, _, table = await new_store(files, parameters)
        await add(instance, table, 0, 120)
        assert len((await list_logs(files, LOGS, "E00")).archived) <= 2
        with pytest.raises(JetError) as caught:
            instance.snapshot.prepare(SnapshotKind.INCREMENTAL)
        assert caught.value.code == JetCode.InvalidBackup
        instance.snapshot.prepare(SnapshotKind.FULL)
        info = await instance.snapshot.freeze()
        assert info.mark.generation == info.generation_last
        await instance.snapshot.thaw()
        await add(instance, table, 120, 60)
        assert f"L:/logs/E00{info.generation_first:08X}.log" in files.paths()
        result = await instance.snapshot.truncate_logs(all_databases_attached=True)
        assert (result.removed, result.plan.limit) == ((), TruncationLimit.CIRCULAR)
        await instance.snapshot.end(success=True)
        await add(instance, table, 180, 60)
        assert f"L:/logs/E00{info.generation_first:08X}.log" not in files.paths()

    asyncio.run(main())


def test_a_database_left_out_keeps_its_logs() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        other = await instance.create_database(OTHER_DATABASE)
        other_table = await add_table(instance, other)
        await add(instance, table, 0, 40)
        await add(instance, other_table, 0, 40)
        instance.snapshot.prepare(SnapshotKind.FULL, [DATABASE.lower()])
        await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        result = await instance.snapshot.truncate_logs(all_databases_attached=True)
        await instance.snapshot.end(success=True)
        assert result.removed == ()
        assert result.plan.limit is TruncationLimit.OTHER_DATABASE
        assert database.header.full_previous
        assert not other.header.full_previous
        with pytest.raises(JetError) as caught:
            instance.snapshot.prepare(SnapshotKind.FULL, ["D:\\none.edb"])
        assert caught.value.code == JetCode.DatabaseNotFound

    asyncio.run(main())


def test_without_the_word_that_all_databases_are_attached_nothing_goes() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, _, table = await new_store(files, events=events)
        await add(instance, table, 0, 120)
        instance.snapshot.prepare(SnapshotKind.FULL)
        await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        result = await instance.snapshot.truncate_logs(all_databases_attached=False)
        assert result.removed == ()

    asyncio.run(main())
    assert 225 in event_ids(events)
    assert generations(files)[0] == 1


def test_truncation_that_fails_half_way_goes_on_from_there_and_the_rest_is_unbroken() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 120)
        instance.snapshot.prepare(SnapshotKind.FULL)
        info = await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        removed: list[str] = []

        def fail(kind: str, path: str) -> None:
            if kind == "remove":
                if len(removed) == 1:
                    raise OSError(13, "in use")
                removed.append(path)

        files.fail = fail
        with pytest.raises(JetError) as caught:
            await instance.snapshot.truncate_logs(all_databases_attached=True)
        assert caught.value.code == JetCode.DeleteBackupFileFail
        left = sorted((await list_logs(files, LOGS, "E00")).archived)
        assert left == list(range(2, left[-1] + 1))
        files.fail = lambda kind, path: None
        result = await instance.snapshot.truncate_logs(all_databases_attached=True)
        assert result.plan.remove_first == 2
        await instance.snapshot.end(success=True)
        assert min((await list_logs(files, LOGS, "E00")).archived) == info.checkpoint_generation

    asyncio.run(main())


def test_headers_that_cannot_be_written_after_a_backup_are_reported() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, _, _ = await new_store(files, events=events)
        instance.snapshot.prepare(SnapshotKind.COPY)
        await instance.snapshot.freeze()
        await instance.snapshot.thaw()

        def fail(kind: str, path: str) -> None:
            if path == DATABASE:
                raise OSError(5, "device failed")

        files.fail = fail
        with pytest.raises(JetError) as caught:
            await instance.snapshot.end(success=True)
        assert caught.value.code == JetCode.DiskIO

    asyncio.run(main())
    assert 219 in event_ids(events)


def test_an_instance_without_databases_can_be_frozen_and_one_abandoned_in_it_resumes_quietly() -> None:
    async def main() -> None:
        instance = await open_instance(memory())
        instance.snapshot.prepare(SnapshotKind.COPY)
        info = await instance.snapshot.freeze()
        assert info.databases == ()
        instance.abandon()
        await instance.snapshot.abort()
        assert not instance.writer.locked()

    asyncio.run(main())
