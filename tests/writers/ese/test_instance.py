"""An instance: databases come and go, transactions commit or vanish, headers change exactly when they should."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.writers.ese.store_kit import (
    DATABASE,
    LOGS,
    NOTES,
    OTHER_DATABASE,
    Clock,
    add,
    add_table,
    body,
    content,
    event_ids,
    memory,
    new_store,
    open_instance,
    reopen,
    rows,
    small_parameters,
)
from vss_writers.ese.attached_database import Database
from vss_writers.ese.checkpoint import read_checkpoint
from vss_writers.ese.engine_event import EngineEvent
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import HostFileSystem, join_path
from vss_writers.ese.header import unpack_headers
from vss_writers.ese.header_values import BackupInfo, LogPosition, Signature
from vss_writers.ese.instance import Instance
from vss_writers.ese.layout import DatabaseState
from vss_writers.ese.log_reader import list_logs, load_log
from vss_writers.ese.log_record_type import RecordType
from vss_writers.ese.log_records import Begin0, Commit0, Rollback, Terminate2
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.verify import verify_database

CHECKPOINT = f"{LOGS}\\E00.chk"


async def check_intact(files: MemoryFileSystem, path: str = DATABASE) -> None:
    file = await files.open(path)
    report = await verify_database(file.pread, file.size_bytes)
    assert report.is_intact, report.findings[:3]


def refused(code: JetCode) -> Any:
    """Expect this code."""
    return pytest.raises(JetError, match=rf"\({'JET_err'}{code.name}, {int(code)}\)")


def test_rows_survive_a_clean_close_and_the_file_is_intact() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, database, table = await new_store(files, events=events)
        await add(instance, table, 0, 30)
        await instance.close()
        await instance.close()
        assert not database.is_attached
        await check_intact(files)
        instance, _, table = await reopen(files)
        assert await content(table) == rows(0, 30)
        assert instance.recovery is not None
        assert instance.recovery.databases == ()

    asyncio.run(main())
    assert event_ids(events)[:3] == [102, 105, 326] or 325 in event_ids(events)
    assert {102, 105, 103, 325, 327} <= set(event_ids(events))
    assert "L:/logs/E00guard.tmp" not in files.paths()


def test_the_engine_runs_on_files_of_the_host() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = join_path(directory, "db.edb")
        parameters = InstanceParameters("E00", join_path(directory, "logs"), log_file_size=65536, page_size=4096)

        async def main() -> None:
            files = HostFileSystem()
            instance, _, table = await new_store(files, parameters, path=path)
            await add(instance, table, 0, 40)
            instance.abandon()
            instance, _, table = await reopen(files, parameters, path=path)
            assert await content(table) == rows(0, 40)
            await instance.close()

        asyncio.run(main())
        assert unpack_headers(Path(path).read_bytes()).header.is_clean


def test_an_exception_in_the_block_undoes_everything() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 20)
        count, dirty = database.pages.page_count, database.pages.dirty_count
        with pytest.raises(ValueError, match="stop"):
            await fail_in_transaction(instance, table, files)
        assert await content(table) == rows(0, 20)
        assert database.pages.page_count == count
        assert database.pages.dirty_count == dirty
        await add(instance, table, 20, 20)
        await instance.close()
        await check_intact(files)

    async def fail_in_transaction(instance: Instance, table: Any, files: MemoryFileSystem) -> None:
        async with instance.transaction() as transaction:
            await table.insert(transaction, {"Id": 500, "Body": body(1, 90_000)})
            await table.update(transaction, table.key("ById", 3), {"Body": b"x"})
            await table.delete(transaction, table.key("ById", 4))
            raise ValueError("stop")

    asyncio.run(main())


def test_readers_outside_see_the_last_commit_and_the_transaction_sees_itself() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory())
        await add(instance, table, 0, 30)
        key = table.key("ById", 7)
        async with instance.transaction() as transaction:
            await table.update(transaction, key, {"Body": b"new"})
            await table.insert(transaction, {"Id": 100})
            assert (await table.get(key) or {})["Body"] == body(7)
            assert (await table.get(key, transaction=transaction) or {})["Body"] == b"new"
            assert await table.seek("ById", 100) is None
            assert await table.seek("ById", 100, transaction=transaction) is not None
            assert await content(table) == rows(0, 30)
            assert len([row async for row in table.rows(transaction=transaction)]) == 31
            assert await table.last_key() == table.key("ById", 29)
            assert await table.last_key(transaction=transaction) == table.key("ById", 100)
            assert [row async for row in table.select("ById", 100)] == []
            created = await database.create_table(transaction, replace(NOTES, name="More"))
            assert created.name == "More"
            assert (await database.open_table("More", transaction)).schema == created.schema
            with refused(JetCode.ObjectNotFound):
                await database.open_table("More")
        assert (await table.get(key) or {})["Body"] == b"new"
        assert await database.table_names() == ["More", "Notes"]

    asyncio.run(main())


def test_a_reader_in_the_middle_of_a_scan_sees_every_row_that_stays() -> None:
    async def main() -> None:
        instance, _, table = await new_store(memory(), small_parameters(cache_pages=8))
        await add(instance, table, 0, 100, 20)
        seen: list[int] = []
        async for row in table.rows():
            seen.append(row["Id"])
            if row["Id"] < 100 and row["Id"] % 10 == 0:
                await add(instance, table, 1000 + row["Id"], 1, 900)
        assert seen[:100] == list(range(100))

    asyncio.run(main())


def test_transactions_that_only_read_leave_no_trace_in_the_log() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0)
        position = instance.stream.position
        async with instance.transaction() as transaction:
            assert await table.get(table.key("ById", 0), transaction=transaction) is not None
        with contextlib.suppress(ValueError):
            async with instance.transaction():
                raise ValueError("nothing")
        assert instance.stream.position == position

    asyncio.run(main())


def test_the_log_holds_begin_commit_and_rollback_once_each() -> None:
    files = memory()

    async def undone(instance: Instance, table: Any) -> None:
        with contextlib.suppress(ValueError):
            async with instance.transaction() as transaction:
                await table.insert(transaction, {"Id": 5})
                raise ValueError("x")

    async def main() -> list[type]:
        instance, _, table = await new_store(files, small_parameters(log_file_size=1 << 17))
        start = instance.stream.position
        await add(instance, table, 0)
        await undone(instance, table)
        await instance.stream.flush()
        log = await load_log(files, f"{LOGS}\\E00.log", may_be_torn=False)
        return [type(record) for position, record in log.records if position >= start]

    kinds = asyncio.run(main())
    assert [kind for kind in kinds if kind in (Begin0, Commit0, Rollback)] == [Begin0, Commit0, Begin0, Rollback]


def test_a_finished_transaction_and_a_detached_database_are_refused() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory())
        async with instance.transaction() as transaction:
            pass
        for call in (table.insert(transaction, {"Id": 1}), table.get(b"", transaction=transaction)):
            with refused(JetCode.NotInTransaction):
                await call
        with refused(JetCode.NotInTransaction):
            await database.create_table(transaction, NOTES)
        for action in (database.pages.committed.macro, database.pages.committed.next_objid):
            with refused(JetCode.NotInTransaction):
                action()
        with refused(JetCode.NotInTransaction):
            await database.pages.committed.extend(1)
        await instance.detach_database(DATABASE)
        for call in (table.get(b""), database.open_table("Notes")):  # type: ignore[assignment]
            with refused(JetCode.DatabaseNotFound):
                await call
        with refused(JetCode.DatabaseNotFound):
            await instance.detach_database(DATABASE)

    asyncio.run(main())


def test_a_structure_change_left_half_done_can_only_be_rolled_back() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory())
        await add(instance, table, 0, 5)

        async def half_a_change() -> None:
            async with instance.transaction() as transaction:
                await table.insert(transaction, {"Id": 50})
                with pytest.raises(ValueError, match="half"):
                    async with database.pages.macro():
                        raise ValueError("half")

        with refused(JetCode.InvalidLoggedOperation):
            await half_a_change()
        assert await content(table) == rows(0, 5)
        await add(instance, table, 5)

    asyncio.run(main())


def test_one_writer_at_a_time() -> None:
    async def main() -> None:
        instance, _, table = await new_store(memory())
        await asyncio.gather(*(add(instance, table, number) for number in range(20)))
        assert await content(table) == rows(0, 20)

    asyncio.run(main())


def test_a_cancelled_transaction_is_rolled_back() -> None:
    async def main() -> None:
        instance, _, table = await new_store(memory())

        async def wait_inside() -> None:
            async with instance.transaction() as transaction:
                await table.insert(transaction, {"Id": 1})
                await asyncio.Event().wait()

        task = asyncio.create_task(wait_inside())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await content(table) == {}
        await add(instance, table, 1)

    asyncio.run(main())


# -- headers -------------------------------------------------------------------------------------------------------------------


def test_header_fields_follow_create_attach_generations_and_detach() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        header = database.header
        created = header.attach_position
        assert header.state is DatabaseState.DIRTY_SHUTDOWN
        assert header.generation_min_required == created.generation == 1
        assert header.log_signature == instance.signature
        assert not header.detach_time
        await add(instance, table, 0, 30)
        header = database.header
        assert instance.generation > 1
        assert header.generation_max_committed == header.generation_max_required == instance.generation
        assert header.generation_max_create_time == instance.stream.header.created
        assert header.generation_min_required == instance.checkpoint.generation
        await instance.detach_database(DATABASE)
        header = unpack_headers(files.read(DATABASE)).header
        assert header.is_clean
        assert header.consistent_position == header.detach_position > created
        assert (header.generation_min_required, header.generation_max_required, header.generation_max_committed) == (0, 0, 0)
        database = await instance.attach_database(DATABASE)
        again = database.header
        assert again.consistent_position == header.consistent_position
        assert again.attach_position > header.detach_position
        assert again.detach_position == LogPosition()
        assert again.signature == header.signature
        await instance.close()

    asyncio.run(main())


def test_a_database_of_another_stream_loses_its_backup_history_when_attached() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 3)
        instance.snapshot.prepare(kind=_full())
        await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        await instance.snapshot.end(success=True)
        await instance.close()
        assert unpack_headers(files.read(DATABASE)).header.full_previous
        target = memory()
        target.write(OTHER_DATABASE, files.read(DATABASE))
        other = await Instance.open(target, small_parameters(), now=Clock(), random=random.Random(99))
        database = await other.attach_database(OTHER_DATABASE)
        assert not database.header.full_previous
        assert database.header.log_signature == other.signature
        table = await database.open_table("Notes")
        await add(other, table, 3, 3)
        other.abandon()
        other, _, table = await reopen(target, path=OTHER_DATABASE)
        assert await content(table) == rows(0, 6)

    asyncio.run(main())


def _full() -> Any:
    from vss_writers.ese.truncation import SnapshotKind

    return SnapshotKind.FULL


def test_the_checkpoint_moves_with_the_log_and_never_passes_what_is_needed() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        last = LogPosition()
        for number in range(40):
            await add(instance, table, number)
            checkpoint = await read_checkpoint(files, CHECKPOINT)
            assert last <= checkpoint.position == instance.checkpoint <= instance.checkpointer.oldest_needed()
            assert checkpoint.attachments[0].path == DATABASE if checkpoint.attachments else True
            assert database.header.generation_min_required <= checkpoint.position.generation
            last = checkpoint.position
        assert last.generation > 1

    asyncio.run(main())


def test_pages_reach_the_file_only_after_their_log_records() -> None:
    files = memory()
    durable: list[LogPosition] = []

    async def main() -> None:
        instance, database, table = await new_store(files, small_parameters(cache_pages=4))

        def watch(path: str, offset: int, data: bytes) -> None:
            if path != DATABASE or offset < 2 * 2048:
                return
            for dirty in database.pages._dirty.values():
                if offset <= (dirty.page.page_number + 1) * 2048 < offset + len(data):
                    assert instance.stream.flushed_position > dirty.last
                    durable.append(dirty.last)

        files.written = watch
        await add(instance, table, 0, 60)

    asyncio.run(main())
    assert len(durable) > 20


def test_the_newest_generations_may_be_lost_up_to_the_waypoint() -> None:
    files = memory()
    parameters = small_parameters(waypoint_generations=2)

    async def main() -> None:
        instance, database, table = await new_store(files, parameters)
        await add(instance, table, 0, 300)
        header = database.header
        assert header.generation_max_committed == instance.generation
        assert header.generation_max_required == instance.generation - 2
        instance.abandon()
        logs = await list_logs(files, LOGS, "E00")
        files.delete(f"{LOGS}\\E00.log")
        files.delete(logs.archived[max(logs.archived)])
        with refused(JetCode.CommittedLogFilesMissing):
            await open_instance(files, parameters)
        instance, _, table = await reopen(files, parameters, accept_lost_logs=True)
        kept = await content(table)
        assert 0 < len(kept) < 300
        assert kept == rows(0, len(kept))

    asyncio.run(main())


# -- refusals ------------------------------------------------------------------------------------------------------------------


def test_creating_and_attaching_is_refused_where_it_would_do_harm() -> None:
    files = memory()

    async def main() -> None:
        instance, database, _ = await new_store(files)
        with refused(JetCode.DatabaseDuplicate):
            await instance.create_database(DATABASE)
        with refused(JetCode.PageSizeMismatch):
            await instance.create_database(OTHER_DATABASE, page_size=8192)
        with refused(JetCode.DatabaseInUse):
            await instance.attach_database("D:/DB1.edb")
        with refused(JetCode.FileNotFound):
            await instance.attach_database("D:\\none.edb")
        files.write("D:\\copy.edb", files.read(DATABASE))
        with refused(JetCode.DatabaseSignInUse):
            await instance.attach_database("D:\\copy.edb")
        files.write("D:\\text.edb", b"not a database" * 1000)
        with refused(JetCode.DatabaseCorrupted):
            await instance.attach_database("D:\\text.edb")
        with refused(JetCode.DatabaseDuplicate):
            await instance.create_database("D:\\text.edb")
        big = replace(database.header, page_size=4096, signature=Signature(77), state=DatabaseState.CLEAN_SHUTDOWN)
        files.write("D:\\big.edb", big.pack() * 2)
        with refused(JetCode.PageSizeMismatch):
            await instance.attach_database("D:\\big.edb")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"log_signature": Signature(5)}, JetCode.DatabaseDirtyShutdown),
        ({"state": DatabaseState.JUST_CREATED}, JetCode.DatabaseDirtyShutdown),
        ({"full_current": BackupInfo(LogPosition(1, 1, 1), generation_low=1)}, JetCode.SoftRecoveryOnBackupDatabase),
        ({"generation_max_required": 99, "generation_max_committed": 99}, JetCode.RequiredLogFilesMissing),
        ({"attach_position": LogPosition(1, 9, 9)}, JetCode.ConsistentTimeMismatch),
        ({"signature": Signature(5)}, JetCode.ConsistentTimeMismatch),
    ],
)
def test_a_dirty_file_that_the_logs_cannot_help_is_refused(changes: dict[str, Any], code: JetCode) -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 5)
        dirty = files.read(DATABASE)
        header = replace(database.header, **changes)
        await instance.detach_database(DATABASE)
        files.write(OTHER_DATABASE, header.pack() * 2 + dirty[4096:])
        with refused(code):
            await instance.attach_database(OTHER_DATABASE)
        assert not instance.writer.locked()
        await instance.attach_database(DATABASE)

    asyncio.run(main())


def test_what_an_interrupted_creation_left_is_overwritten() -> None:
    files = memory()
    files.write(DATABASE, b"")

    async def main() -> None:
        instance, database, _ = await new_store(files)
        header = replace(database.header, state=DatabaseState.JUST_CREATED)
        files.write(OTHER_DATABASE, header.pack() * 2)
        other = await instance.create_database(OTHER_DATABASE)
        assert other.dbid == 2
        files.write("D:\\torn.edb", bytes(4096))
        await instance.create_database("D:\\torn.edb")
        files.write("D:\\small.txt", b"somebody's notes")
        files.write("D:\\large.bin", bytes(1 << 17))
        for path in ("D:\\small.txt", "D:\\large.bin"):
            with refused(JetCode.DatabaseDuplicate):
                await instance.create_database(path)

    asyncio.run(main())


def test_a_creation_without_room_is_refused_and_can_be_repeated() -> None:
    files = memory()

    async def main() -> None:
        instance = await open_instance(files)
        files.space_bytes = sum(len(files.read(path)) for path in files.paths()) + 8192
        with refused(JetCode.DiskFull):
            await instance.create_database(DATABASE)
        files.space_bytes = None
        await instance.create_database(DATABASE)
        await instance.close()
        await check_intact(files)

    asyncio.run(main())


def test_slots_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vss_writers.ese.database_slots.DATABASES_MAX", 1)

    async def main() -> None:
        instance, _, _ = await new_store(memory())
        with refused(JetCode.InvalidParameter):
            await instance.create_database(OTHER_DATABASE)

    asyncio.run(main())


@pytest.mark.parametrize(
    "changes",
    [
        {"page_size": 1000},
        {"log_file_size": 1000},
        {"log_file_size": 100_000_000},
        {"log_file_size": 10_000},
        {"waypoint_generations": 5000},
        {"first_generation": 0},
        {"first_generation": 0x7FFFF800},
    ],
)
def test_impossible_parameters_are_refused(changes: dict[str, int]) -> None:
    with refused(JetCode.InvalidParameter):
        small_parameters(**changes)


def test_a_base_name_has_three_characters_and_the_system_directory_may_be_another() -> None:
    with refused(JetCode.InvalidParameter):
        InstanceParameters("E0", LOGS)
    assert InstanceParameters("E00", LOGS).checkpoint_path == CHECKPOINT
    assert InstanceParameters("E00", LOGS, "C:\\sys").checkpoint_path == "C:\\sys\\E00.chk"


# -- failing devices -----------------------------------------------------------------------------------------------------------


def test_after_a_failed_log_write_nothing_is_acknowledged_and_a_restart_helps() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 5)

        def fail(kind: str, path: str) -> None:
            if path.endswith(".log"):
                raise OSError(5, "device failed")

        files.fail = fail
        for _ in range(2):
            with refused(JetCode.LogWriteFail):
                await add(instance, table, 5)
        with refused(JetCode.LogWriteFail):
            await instance.close()
        instance.abandon()
        with refused(JetCode.InstanceUnavailable):
            await add(instance, table, 5)
        files.fail = lambda kind, path: None
        instance, _, table = await reopen(files)
        assert await content(table) in (rows(0, 5), rows(0, 6))

    asyncio.run(main())


def test_a_log_that_dies_inside_a_transaction_undoes_it_in_memory() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 5)

        async def long_transaction() -> None:
            async with instance.transaction() as transaction:
                await table.insert(transaction, {"Id": 100})
                files.fail = lambda kind, path: (_ for _ in ()).throw(OSError(5, "device failed"))
                with refused(JetCode.LogWriteFail):
                    await instance.stream.flush()

        with refused(JetCode.LogWriteFail):
            await long_transaction()
        assert await content(table) == rows(0, 5)

    asyncio.run(main())


def test_a_log_disk_that_fills_up_ends_in_an_orderly_refusal_and_a_clean_close() -> None:
    files, events = memory(), list[EngineEvent]()

    async def fill(instance: Instance, table: Any, acknowledged: list[int]) -> None:
        for number in range(1000):
            await add(instance, table, number, 1, 900)
            acknowledged.append(number)

    async def main() -> None:
        instance, _, table = await new_store(files, events=events)
        files.space_bytes = sum(len(files.read(path)) for path in files.paths()) + 60_000
        acknowledged: list[int] = []
        with refused(JetCode.LogDiskFull):
            await fill(instance, table, acknowledged)
        files.space_bytes = None
        await instance.close()
        _, _, table = await reopen(files)
        assert await content(table) == rows(0, len(acknowledged), 900)

    asyncio.run(main())
    assert 428 in event_ids(events)


def test_a_wrong_bit_on_disk_is_corrected_counted_and_written_back() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 20)
        await instance.close()
        page = table.schema.fdp
        files.flip(DATABASE, (page + 1) * 2048 + 900, 3)
        instance, database, table = await reopen(files, events=events)
        assert await content(table) == rows(0, 20)
        await instance.checkpointer.write()
        assert database.header.ecc_fix_success.count == 1
        await instance.close()
        await check_intact(files)

    asyncio.run(main())
    assert 399 in event_ids(events)


@pytest.mark.parametrize(
    ("damage", "code", "event_id"),
    [
        ("two bits", JetCode.ReadVerifyFailure, 474),
        ("other page", JetCode.ReadVerifyFailure, 475),
        ("zeros", JetCode.PageNotInitialized, 476),
    ],
)
def test_a_damaged_page_is_named_and_not_used(damage: str, code: JetCode, event_id: int) -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> JetError:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 20)
        await instance.close()
        data = bytearray(files.read(DATABASE))
        start = (table.schema.fdp + 1) * 2048
        if damage == "two bits":
            data[start + 100] ^= 0x11
        elif damage == "other page":
            data[start : start + 2048] = data[start + 2048 : start + 4096]
        else:
            data[start : start + 2048] = bytes(2048)
        files.write(DATABASE, bytes(data))
        instance, _, table = await reopen(files, events=events)
        with pytest.raises(JetError) as caught:
            await content(table)
        assert caught.value.page_number == table.schema.fdp
        assert caught.value.offset == start
        return caught.value

    assert asyncio.run(main()).code == code
    assert event_id in event_ids(events)


def test_a_failing_database_disk_raises_its_own_codes_and_pages_stay_dirty() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, database, table = await new_store(files, events=events)
        await add(instance, table, 0, 5)
        dirty = database.pages.dirty_count
        assert dirty
        numbers: list[int] = []

        def fail(kind: str, path: str) -> None:
            if path == DATABASE:
                raise OSError(numbers[-1], "failed")

        files.fail = fail
        for number, code in ((28, JetCode.DiskFull), (5, JetCode.DiskIO)):
            numbers.append(number)
            with refused(code):
                await database.pages.write_behind()
            assert database.pages.dirty_count == dirty
            with refused(code):
                await database.pages.file.resize(1000)

        def fail_read(path: str, offset: int, length: int) -> None:
            raise OSError(5, "unreadable")

        files.fail_read = fail_read
        with refused(JetCode.DiskIO):
            await database.pages.file.read_page(1)
        files.fail, files.fail_read = (lambda kind, path: None), (lambda path, offset, length: None)
        await instance.close()
        await check_intact(files)

    asyncio.run(main())
    assert {424, 481} <= set(event_ids(events))


def test_a_page_outside_the_file_is_refused() -> None:
    async def main() -> None:
        _, database, _ = await new_store(memory())
        for number in (0, 5000):
            with refused(JetCode.BadPageLink):
                await database.pages.committed.read(number)

    asyncio.run(main())


def test_the_log_ends_with_term_after_a_clean_close() -> None:
    files = memory()

    async def main() -> Any:
        instance, _, _ = await new_store(files)
        await instance.close()
        log = await load_log(files, f"{LOGS}\\E00.log", may_be_torn=False)
        return log.records[-1][1]

    record = asyncio.run(main())
    assert isinstance(record, Terminate2)
    assert record.kind is RecordType.TERM2


def test_a_database_knows_itself() -> None:
    async def main() -> Database:
        _, database, _ = await new_store(memory())
        return database

    database = asyncio.run(main())
    assert (database.path, database.dbid) == (DATABASE, 1)
    assert database.signature == database.header.signature
    assert database.pages.committed.page_size == 2048
    assert database.pages.committed.page_count == database.pages.page_count


def test_two_databases_share_one_stream() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        other = await instance.create_database(OTHER_DATABASE)
        other_table = await add_table(instance, other)
        for number in range(20):
            async with instance.transaction() as transaction:
                await table.insert(transaction, {"Id": number, "Body": body(number)})
                await other_table.insert(transaction, {"Id": number, "Body": body(number)})
        instance.abandon()
        instance = await open_instance(files)
        for path in (DATABASE, OTHER_DATABASE):
            database = await instance.attach_database(path)
            assert await content(await database.open_table("Notes")) == rows(0, 20)

    asyncio.run(main())


@pytest.mark.parametrize("number", [28, 5])
def test_a_commit_stays_good_when_the_checkpoint_cannot_be_written(number: int) -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, _, table = await new_store(files, events=events)

        def fail(kind: str, path: str) -> None:
            if path == CHECKPOINT:
                raise OSError(number, "failed")

        files.fail = fail
        checkpoint = instance.checkpoint
        await add(instance, table, 0, 80)
        assert instance.checkpoint == checkpoint
        instance.abandon()
        files.fail = lambda kind, path: None
        _, _, table = await reopen(files)
        assert await content(table) == rows(0, 80)

    asyncio.run(main())
    assert 482 in event_ids(events)
