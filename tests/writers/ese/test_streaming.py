"""The streaming backup interface: order of calls, what is delivered, what is truncated, what the headers say and when."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from tests.writers.ese.store_kit import (
    DATABASE,
    LOGS,
    OTHER_DATABASE,
    Clock,
    add,
    add_table,
    body,
    event_ids,
    memory,
    new_store,
    open_instance,
    small_parameters,
)
from vss_writers.ese.backup_set import write_backup_set
from vss_writers.ese.engine_event import EngineEvent, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import BackupInfo
from vss_writers.ese.instance import Instance
from vss_writers.ese.layout import BackupType, DatabaseState
from vss_writers.ese.log_reader import LogDirectory, list_logs
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.patch_page import PatchHeader, unpack_patch
from vss_writers.ese.reader import read_from
from vss_writers.ese.streaming import READ_SIZE, StreamingState
from vss_writers.ese.streaming_file import BackupFile
from vss_writers.ese.truncation import SnapshotKind
from vss_writers.ese.verify import verify_database

SET = "B:\\set"


async def read_all(opened: BackupFile) -> bytes:
    parts: list[bytes] = []
    while data := await opened.read():
        parts.append(data)
    opened.close()
    return b"".join(parts)


async def copy_database(instance: Instance, path: str = DATABASE) -> bytes:
    return await read_all(await instance.backup.open_file(path))


async def copy_logs(instance: Instance) -> dict[str, bytes]:
    return {path: await read_all(await instance.backup.open_file(path)) for path in await instance.backup.log_files()}


async def refusal(instance: Instance, call: str) -> JetCode:
    """Code with which one call of the interface is refused."""
    backup = instance.backup
    calls = {
        "databases": lambda: asyncio.to_thread(backup.databases),
        "open": lambda: backup.open_file(DATABASE),
        "logs": backup.log_files,
        "truncatable": backup.truncatable,
        "truncate": backup.truncate_logs,
        "end": backup.end,
    }
    with pytest.raises(JetError) as caught:
        await calls[call]()
    return caught.value.code


def generations(files: MemoryFileSystem) -> list[int]:
    return sorted(asyncio.run(list_logs(files, LOGS, "E00")).archived)


def test_a_full_backup_with_its_events_header_fields_and_truncation() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> tuple[bytes, BackupInfo]:
        instance, database, table = await new_store(files, events=events)
        await add(instance, table, 0, 120)
        checkpoint = instance.checkpoint.generation
        before = database.header
        del events[:]
        await instance.backup.begin(SnapshotKind.FULL)
        assert instance.backup.databases() == (DATABASE,)
        copy = await copy_database(instance)
        assert database.header.full_current == BackupInfo(), "FullCur is set in the copy only"
        closing = instance.generation
        logs = await copy_logs(instance)
        assert instance.generation == closing + 1
        assert len(logs) == closing - checkpoint + 1
        assert all(data == files.read(path) for path, data in logs.items())
        assert database.header.full_previous == before.full_previous, "nothing is recorded before the end"
        first, last = await instance.backup.truncatable()
        result = await instance.backup.truncate_logs()
        assert (first, last) == (result.plan.remove_first, result.plan.remove_last)
        assert last == checkpoint - 1
        assert await instance.backup.end() is SnapshotKind.FULL
        assert database.header.full_previous == instance.backup.info
        assert database.header.full_previous_type is BackupType.STREAMING
        await instance.close()
        return copy, instance.backup.info

    copy, info = asyncio.run(main())
    assert event_ids(events)[:3] == [210, 220, 221]
    assert [number for number in event_ids(events) if 210 <= number < 300][-3:] == [221, 224, 213]
    assert 223 in event_ids(events)
    header = DatabaseHeader.unpack(copy)
    assert header.state is DatabaseState.DIRTY_SHUTDOWN
    assert header.full_current == replace(info, generation_high=0)
    assert copy[: header.page_size] == copy[header.page_size : 2 * header.page_size]
    trailer = PatchHeader.unpack(copy[-header.page_size :], path=DATABASE)
    assert trailer.generation_low == info.generation_low
    assert trailer.generation_high <= info.generation_high
    assert trailer.signature == header.signature
    assert generations(files)[0] == info.generation_low


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (SnapshotKind.COPY, "copy_previous"),
        (SnapshotKind.INCREMENTAL, "incremental_previous"),
        (SnapshotKind.DIFFERENTIAL, "differential_previous"),
    ],
)
def test_each_kind_sets_its_own_field_at_the_end(kind: SnapshotKind, field: str) -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, database, table = await new_store(files, events=events)
        await add(instance, table, 0, 60)
        await write_backup_set(instance, memory(), SET)
        full = database.header.full_previous
        await add(instance, table, 60, 60)
        oldest = generations_of(await list_logs(files, LOGS, "E00"))[0]
        await write_backup_set(instance, memory(), SET, kind)
        header = database.header
        assert header.full_previous == full
        found = getattr(header, field)
        assert found == instance.backup.info
        assert getattr(header, f"{field}_type") is BackupType.STREAMING
        if kind is SnapshotKind.DIFFERENTIAL:
            assert found.generation_low == full.generation_high + 1
        if kind is SnapshotKind.COPY:
            assert generations_of(await list_logs(files, LOGS, "E00"))[0] == oldest
        await write_backup_set(instance, memory(), SET)
        assert (database.header.incremental_previous, database.header.differential_previous) == (BackupInfo(), BackupInfo())

    asyncio.run(main())
    assert (211 if kind.is_incremental else 210) in event_ids(events)


def generations_of(logs: LogDirectory) -> list[int]:
    return sorted(logs.archived)


def test_what_counts_is_what_was_done_not_what_was_announced() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory())
        await add(instance, table, 0, 20)
        await instance.backup.begin(SnapshotKind.FULL)
        await copy_database(instance)
        await copy_logs(instance)
        assert await instance.backup.end() is SnapshotKind.COPY
        assert database.header.copy_previous
        assert not database.header.full_previous
        await instance.backup.begin(SnapshotKind.COPY)
        await copy_database(instance)
        await copy_logs(instance)
        assert await instance.backup.end(truncated_by_client=True, update_headers=False) is SnapshotKind.FULL
        assert not database.header.full_previous

    asyncio.run(main())


def test_calls_out_of_order_are_refused() -> None:
    events: list[EngineEvent] = []

    async def main() -> None:
        instance, _, table = await new_store(memory(), events=events)
        await add(instance, table, 0, 20)
        for call in ("databases", "open", "logs", "truncatable", "truncate", "end"):
            assert await refusal(instance, call) is JetCode.NoBackup
        await instance.backup.begin(SnapshotKind.FULL)
        with pytest.raises(JetError) as caught:
            await instance.backup.begin(SnapshotKind.FULL)
        assert caught.value.code is JetCode.BackupInProgress
        with pytest.raises(JetError) as caught:
            instance.snapshot.prepare(SnapshotKind.FULL)
        assert caught.value.code is JetCode.OSSnapshotNotAllowed
        for call in ("logs", "truncate", "end"):
            assert await refusal(instance, call) is JetCode.InvalidBackupSequence
        opened = await instance.backup.open_file(DATABASE)
        assert await refusal(instance, "open") is JetCode.InvalidParameter
        assert await refusal(instance, "logs") is JetCode.InvalidBackupSequence
        await read_all(opened)
        opened.close()
        with pytest.raises(JetError) as caught:
            await opened.read()
        assert caught.value.code is JetCode.InvalidBackupSequence
        logs = await instance.backup.log_files()
        for call in ("databases", "logs"):
            assert await refusal(instance, call) is JetCode.InvalidBackupSequence
        assert await refusal(instance, "open") is JetCode.InvalidParameter
        assert await refusal(instance, "truncate") is JetCode.LogFileNotCopied
        assert await refusal(instance, "end") is JetCode.InvalidBackupSequence
        for path in logs:
            await read_all(await instance.backup.open_file(path))
        await instance.backup.truncate_logs()
        await instance.backup.end()

    asyncio.run(main())
    assert 520 in event_ids(events)
    assert 214 in event_ids(events)


def test_kinds_without_databases_and_kinds_that_keep_logs() -> None:
    async def main() -> None:
        instance, _, table = await new_store(memory())
        await add(instance, table, 0, 20)
        with pytest.raises(JetError) as caught:
            await instance.backup.begin(SnapshotKind.INCREMENTAL)
        assert caught.value.code is JetCode.MissingFullBackup
        await instance.backup.begin(SnapshotKind.COPY)
        await copy_database(instance)
        await copy_logs(instance)
        assert await refusal(instance, "truncate") is JetCode.InvalidBackupSequence
        instance.backup.abort()
        await write_backup_set(instance, memory(), SET)
        await instance.backup.begin(SnapshotKind.INCREMENTAL)
        assert await refusal(instance, "databases") is JetCode.InvalidBackupSequence
        assert await refusal(instance, "open") is JetCode.InvalidBackupSequence

    asyncio.run(main())


def test_a_snapshot_backup_is_no_base_for_a_streaming_one_and_only_one_runs() -> None:
    events: list[EngineEvent] = []

    async def main() -> None:
        instance, _, _ = await new_store(memory(), events=events)
        instance.snapshot.prepare(SnapshotKind.FULL)
        with pytest.raises(JetError) as caught:
            await instance.backup.begin(SnapshotKind.FULL)
        assert caught.value.code is JetCode.BackupInProgress
        await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        await instance.snapshot.end(success=True)
        with pytest.raises(JetError) as caught:
            await instance.backup.begin(SnapshotKind.DIFFERENTIAL)
        assert caught.value.code is JetCode.MissingFullBackup

    asyncio.run(main())
    assert 206 in event_ids(events)


def test_circular_logging_and_instances_that_are_not_open() -> None:
    async def main() -> None:
        files = memory()
        instance, _, table = await new_store(files, small_parameters(circular=True))
        with pytest.raises(JetError) as caught:
            await instance.backup.begin(SnapshotKind.INCREMENTAL)
        assert caught.value.code is JetCode.InvalidBackup
        await instance.backup.begin(SnapshotKind.FULL)
        low = instance.backup.info.generation_low
        await add(instance, table, 0, 400)
        assert generations_of(await list_logs(files, LOGS, "E00"))[0] <= low, "no log goes while a backup runs"
        fresh = Instance(files, small_parameters(), now=Clock(), random=random.Random(1), on_event=ignore_events)
        with pytest.raises(JetError) as caught:
            await fresh.backup.begin(SnapshotKind.FULL)
        assert caught.value.code is JetCode.BackupNotAllowedYet

    asyncio.run(main())


def test_reads_are_whole_pages_and_three_at_first() -> None:
    async def main() -> None:
        instance, database, _ = await new_store(memory())
        size = database.pages.page_size
        await instance.backup.begin(SnapshotKind.FULL)
        opened = await instance.backup.open_file(DATABASE)
        for wrong in (2 * size, 3 * size + 1, 0):
            with pytest.raises(JetError) as caught:
                await opened.read(wrong)
            assert caught.value.code is JetCode.InvalidParameter
        parts = [await opened.read(3 * size)]
        while data := await opened.read(size):
            parts.append(data)
        assert {len(part) for part in parts[1:]} == {size}
        assert opened.is_complete
        assert sum(map(len, parts)) == opened.size_bytes == (database.pages.page_count + 3) * size
        with pytest.raises(JetError) as caught:
            await instance.backup.open_file("D:\\other.edb")
        assert caught.value.code is JetCode.InvalidParameter

    asyncio.run(main())


def test_a_wrong_bit_is_corrected_and_more_end_the_backup_after_sixteen_more_reads() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, database, table = await new_store(files, events=events)
        await add(instance, table, 0, 20)
        await instance.detach_database(DATABASE)
        size = database.pages.page_size
        files.flip(DATABASE, 5 * size + 100)
        await instance.attach_database(DATABASE)
        await instance.backup.begin(SnapshotKind.COPY)
        copy = await copy_database(instance)
        assert 399 in event_ids(events)
        report = await verify_database(read_from(copy), len(copy))
        assert report.is_intact
        instance.backup.abort()
        files.flip(DATABASE, 5 * size + 200, 3)
        reads: list[int] = []
        files.fail_read = lambda path, offset, length: reads.append(offset)
        await instance.backup.begin(SnapshotKind.COPY)
        with pytest.raises(JetError) as caught:
            await copy_database(instance)
        assert caught.value.code is JetCode.ReadVerifyFailure
        assert caught.value.page_number == 4
        assert reads.count(5 * size) == 16
        instance.backup.abort()

    asyncio.run(main())
    assert {474, 217, 215} <= set(event_ids(events))


def test_a_page_that_is_whole_at_the_second_look_is_delivered() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 20)
        await instance.detach_database(DATABASE)
        size = database.pages.page_size
        whole = files.read(DATABASE)
        files.flip(DATABASE, 5 * size + 100)
        files.flip(DATABASE, 5 * size + 200)
        instance_database = await instance.attach_database(DATABASE)
        await instance.backup.begin(SnapshotKind.COPY)
        opened = await instance.backup.open_file(DATABASE)

        def mend(path: str, offset: int, length: int) -> None:
            if offset == 5 * size and length == size:
                files.flip(DATABASE, 5 * size + 100)
                files.flip(DATABASE, 5 * size + 200)
                files.fail_read = lambda path, offset, length: None

        files.fail_read = mend
        copy = await read_all(opened)
        assert copy[5 * size + 100] == whole[5 * size + 100]
        assert instance_database.is_attached

    asyncio.run(main())


def test_deleted_content_is_in_the_file_but_not_in_the_copy() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 8)
        async with instance.transaction() as transaction:
            await table.delete(transaction, table.key("ById", 3))
        await instance.checkpointer.write_everything(database)
        secret = body(3)
        assert secret in files.read(DATABASE)
        await instance.backup.begin(SnapshotKind.COPY)
        copy = await copy_database(instance)
        assert secret not in copy
        assert body(4) in copy
        header = DatabaseHeader.unpack(copy)
        assert header.scrub_dbtime >= header.dbtime
        assert header.scrub_time
        assert (await verify_database(read_from(copy), len(copy))).is_intact

    asyncio.run(main())


def test_a_file_closed_early_spoils_the_backup() -> None:
    events: list[EngineEvent] = []

    async def main() -> None:
        instance, database, table = await new_store(memory(), events=events)
        await add(instance, table, 0, 20)
        await instance.backup.begin(SnapshotKind.FULL)
        opened = await instance.backup.open_file(DATABASE)
        await opened.read(3 * database.pages.page_size)
        opened.close()
        await copy_logs(instance)
        assert await refusal(instance, "end") is JetCode.InvalidBackupSequence
        instance.backup.abort()
        instance.backup.abort()
        assert not database.header.copy_previous

    asyncio.run(main())
    assert 222 in event_ids(events)
    assert event_ids(events).count(215) == 1


def test_the_instance_ends_the_backup_when_it_ends() -> None:
    events: list[EngineEvent] = []

    async def main() -> None:
        instance, _, table = await new_store(memory(), events=events)
        await add(instance, table, 0, 20)
        await instance.backup.begin(SnapshotKind.FULL)
        opened = await instance.backup.open_file(DATABASE)
        with pytest.raises(JetError) as caught:
            await instance.detach_database(DATABASE)
        assert caught.value.code is JetCode.BackupInProgress
        await instance.close()
        for call in ("databases", "open", "logs", "truncate", "end"):
            assert await refusal(instance, call) is JetCode.BackupAbortByServer
        with pytest.raises(JetError) as caught:
            await opened.read()
        assert caught.value.code is JetCode.BackupAbortByServer
        instance.backup.abort()
        assert instance.backup.state is StreamingState.NONE

    asyncio.run(main())
    assert 226 in event_ids(events)


@pytest.mark.parametrize("damage", ["flip", "missing", "other"])
def test_a_log_that_cannot_be_copied_stops_the_backup(damage: str) -> None:
    files, events = memory(), list[EngineEvent]()
    lazy = small_parameters(checkpoint_depth=10 << 20, cache_pages=10_000)

    async def main() -> JetCode:
        instance, _, table = await new_store(files, lazy, events=events)
        await add(instance, table, 0, 120)
        await instance.backup.begin(SnapshotKind.FULL)
        await copy_database(instance)
        first = f"{LOGS}\\E00{instance.backup.info.generation_low:08X}.log"
        if damage == "missing":
            files.delete(first)
            return await refusal(instance, "logs")
        logs = await instance.backup.log_files()
        if damage == "flip":
            files.flip(first, 4400)
        else:
            files.write(first, files.read(logs[1]))
        with pytest.raises(JetError) as caught:
            await instance.backup.open_file(first)
        files.delete(first)
        with pytest.raises(JetError) as gone:
            await instance.backup.open_file(first)
        assert gone.value.code is JetCode.DiskIO
        return caught.value.code

    code = asyncio.run(main())
    expected = (JetCode.MissingFileToBackup, 459) if damage == "missing" else (JetCode.LogReadVerifyFailure, 218)
    assert code is expected[0]
    assert expected[1] in event_ids(events)


def test_a_database_left_out_keeps_its_logs() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, _, table = await new_store(files, events=events)
        other = await instance.create_database(OTHER_DATABASE)
        await add_table(instance, other)
        await add(instance, table, 0, 120)
        lowest = generations_of(await list_logs(files, LOGS, "E00"))[0]
        await instance.backup.begin(SnapshotKind.FULL)
        await copy_database(instance)
        await copy_logs(instance)
        assert await instance.backup.truncatable() == (0, 0)
        assert not (await instance.backup.truncate_logs()).removed
        assert await instance.backup.end() is SnapshotKind.FULL
        assert generations_of(await list_logs(files, LOGS, "E00"))[0] == lowest
        assert not other.header.full_previous

    asyncio.run(main())
    assert 225 in event_ids(events)


def test_pages_written_behind_the_copy_are_in_the_patch_file_of_the_older_profile() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files, small_parameters(patch_files=True))
        await add(instance, table, 0, 60)
        await instance.backup.begin(SnapshotKind.FULL)
        opened = await instance.backup.open_file(DATABASE)
        parts = [await opened.read(READ_SIZE)]
        await add(instance, table, 60, 60)
        await instance.checkpointer.write_everything(database)
        while data := await opened.read(READ_SIZE):
            parts.append(data)
        opened.close()
        logs = await instance.backup.log_files()
        patch = await read_all(await instance.backup.open_file("D:\\DB1.pat"))
        assert logs[-1] == "D:\\DB1.pat"
        header, images = unpack_patch(patch, database.pages.page_size, path="D:\\DB1.pat")
        assert header.signature == database.signature
        assert images
        size = database.pages.page_size
        copy = b"".join(parts)
        assert all(copy[(number + 1) * size : (number + 2) * size] != image for number, image in images.items() if number > 1)

    asyncio.run(main())


def test_a_header_that_cannot_be_written_at_the_end_is_reported() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, _, table = await new_store(files, events=events)
        await add(instance, table, 0, 5)
        await instance.backup.begin(SnapshotKind.COPY)
        await copy_database(instance)
        await copy_logs(instance)

        def fail(kind: str, path: str) -> None:
            if kind == "write" and path.endswith(".edb"):
                raise OSError(5, "device failed")

        files.fail = fail
        assert await refusal(instance, "end") is JetCode.DiskIO

    asyncio.run(main())
    assert 219 in event_ids(events)


def test_nobody_waits_for_a_log_that_was_abandoned() -> None:
    async def main() -> None:
        files = memory()
        instance = await open_instance(files)
        database = await instance.create_database(DATABASE)
        table = await add_table(instance, database)
        waiting = asyncio.create_task(add(instance, table, 0, 50))
        for _ in range(30):
            await asyncio.sleep(0)
        instance.abandon()
        with pytest.raises(JetError) as caught:
            await waiting
        assert caught.value.code is JetCode.InstanceUnavailable
        with pytest.raises(JetError):
            await instance.stream.roll_over()

    asyncio.run(main())
