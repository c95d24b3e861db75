"""Recovery: every refusal has its code, roll-forward loses nothing, doing it twice changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.writers.ese.store_kit import (
    DATABASE,
    LOGS,
    OTHER_DATABASE,
    Clock,
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
from vss_writers.ese.checkpoint import read_checkpoint, write_checkpoint
from vss_writers.ese.engine_event import EngineEvent
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader, unpack_headers
from vss_writers.ese.header_values import BackupInfo, LogPosition, LogTime, Signature
from vss_writers.ese.layout import DatabaseState
from vss_writers.ese.log_file import LogHeader
from vss_writers.ese.log_page_change import PageChange
from vss_writers.ese.log_profile import LogProfile
from vss_writers.ese.log_reader import list_logs
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.page import Page
from vss_writers.ese.page_guard import pack_guard, unpack_guard
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.recovery import recover
from vss_writers.ese.recovery_report import RecoveryReport
from vss_writers.ese.truncation import SnapshotKind

CURRENT = f"{LOGS}\\E00.log"
CHECKPOINT = f"{LOGS}\\E00.chk"
ROWS = 60


def log_path(generation: int) -> str:
    return f"{LOGS}\\E00{generation:08X}.log"


async def recover_files(
    files: MemoryFileSystem,
    parameters: InstanceParameters | None = None,
    events: list[EngineEvent] | None = None,
    **options: Any,
) -> RecoveryReport:
    collected = [] if events is None else events
    return await recover(
        files,
        parameters or small_parameters(),
        now=Clock(),
        random=random.Random(2),
        on_event=collected.append,
        **options,
    )


def crashed(parameters: InstanceParameters | None = None, count: int = ROWS) -> MemoryFileSystem:
    """Files of an instance that ended without a word after ``count`` rows."""
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files, parameters)
        await add(instance, table, 0, count)
        instance.abandon()

    asyncio.run(main())
    return files


def generations(files: MemoryFileSystem) -> list[int]:
    return sorted(asyncio.run(list_logs(files, LOGS, "E00")).archived)


def header_of(files: MemoryFileSystem, path: str = DATABASE) -> DatabaseHeader:
    return unpack_headers(files.read(path)).header


def set_header(files: MemoryFileSystem, header: DatabaseHeader, path: str = DATABASE) -> None:
    files.write(path, header.pack() * 2 + files.read(path)[2 * header.page_size :])


def set_log_header(files: MemoryFileSystem, path: str, **changes: Any) -> None:
    data = files.read(path)
    files.write(path, replace(LogHeader.unpack(data), **changes).pack() + data[4096:])


def rows_after_recovery(
    files: MemoryFileSystem, parameters: InstanceParameters | None = None, **options: Any
) -> dict[int, bytes]:
    async def main() -> dict[int, bytes]:
        instance, _, table = await reopen(files, parameters, **options)
        found = await content(table)
        await instance.close()
        return found

    return asyncio.run(main())


# -- what works ----------------------------------------------------------------------------------------------------------------


def test_a_crash_loses_nothing_and_the_report_says_what_was_done() -> None:
    files, events = crashed(), list[EngineEvent]()

    report = asyncio.run(recover_files(files, events=events))

    assert report.records_redone > 0
    assert report.transactions_undone == 0
    assert report.databases[0].path == DATABASE
    assert report.databases[0].consistent_position.generation == report.generation_last
    assert header_of(files).state is DatabaseState.CLEAN_SHUTDOWN
    assert header_of(files).consistent_position == report.databases[0].consistent_position
    ids = event_ids(events)
    assert ids[0] == 300
    assert ids[-1] == 302
    assert ids.count(301) == report.generation_last - report.generation_first + 1
    assert rows_after_recovery(files) == rows(0, ROWS)


def test_recovering_twice_changes_neither_rows_nor_pages() -> None:
    files = crashed()
    asyncio.run(recover_files(files))
    pages = files.read(DATABASE)[4096:]

    report = asyncio.run(recover_files(files))

    assert report.records_redone == 0
    assert report.databases == ()
    assert files.read(DATABASE)[4096:] == pages


def test_no_logs_are_nothing_to_recover() -> None:
    assert asyncio.run(recover_files(memory())) == RecoveryReport()


def test_open_transactions_are_undone() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 10)
        transaction = instance.transaction()
        await transaction.__aenter__()
        for number in range(100, 140):
            await table.insert(transaction, {"Id": number, "Body": bytes(900)})
        await instance.stream.flush()
        instance.abandon()

    asyncio.run(main())
    assert asyncio.run(recover_files(files)).transactions_undone == 1
    assert rows_after_recovery(files) == rows(0, 10)


@pytest.mark.parametrize("damage", ["missing", "both copies"])
def test_without_a_checkpoint_recovery_starts_at_the_lowest_log(damage: str) -> None:
    files = crashed()
    if damage == "missing":
        files.delete(CHECKPOINT)
    else:
        files.flip(CHECKPOINT, 100)
        files.flip(CHECKPOINT, 5000)

    report = asyncio.run(recover_files(files))

    assert report.generation_first == 1
    assert rows_after_recovery(files) == rows(0, ROWS)


def test_one_damaged_copy_of_the_checkpoint_is_nothing() -> None:
    files = crashed()
    files.flip(CHECKPOINT, 100)

    assert asyncio.run(recover_files(files)).generation_first > 1


def restored(keep_current: bool = True, more: int = 200) -> tuple[MemoryFileSystem, DatabaseHeader]:
    """The database volume was lost and restored from a snapshot; logs and checkpoint are newer."""
    files = memory()

    async def main() -> DatabaseHeader:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 100)
        instance.snapshot.prepare(SnapshotKind.FULL)
        await instance.snapshot.freeze()
        copy = files.copy()
        header = database.header
        await instance.snapshot.thaw()
        await instance.snapshot.truncate_logs(all_databases_attached=True)
        await instance.snapshot.end(success=True)
        await add(instance, table, 100, more)
        if keep_current:
            instance.abandon()
        else:
            await instance.close()
        assert instance.checkpoint.generation > header.generation_max_required
        files.write(DATABASE, copy.read(DATABASE))
        return header

    return files, asyncio.run(main())


@pytest.mark.parametrize("crashed_before", [True, False])
def test_a_restored_database_is_rolled_forward_from_its_own_header_not_from_the_checkpoint(crashed_before: bool) -> None:
    files, header = restored(crashed_before)

    async def main() -> None:
        instance, _, table = await reopen(files)
        assert instance.recovery is not None
        assert instance.recovery.generation_first == header.generation_min_required
        assert await content(table) == rows(0, 300)
        await instance.close()

    asyncio.run(main())


def test_a_database_missing_at_the_start_is_restored_and_attached_later() -> None:
    files, header = restored()
    copy = files.read(DATABASE)
    files.delete(DATABASE)

    async def main() -> None:
        with pytest.raises(JetError) as caught:
            await open_instance(files)
        assert caught.value.code == JetCode.AttachedDatabaseMismatch
        instance = await open_instance(files, ignore_missing=True)
        assert instance.recovery is not None
        assert instance.recovery.ignored == (DATABASE,)
        other = await instance.create_database(OTHER_DATABASE)
        other_table = await add_table(instance, other)
        await add(instance, other_table, 0, 40)
        files.write(DATABASE, copy)
        database = await instance.attach_database(DATABASE)
        assert instance.recovery.generation_first == header.generation_min_required
        table = await database.open_table("Notes")
        assert await content(table) == rows(0, 300)
        await add(instance, table, 300, 5)
        assert await content(other_table) == rows(0, 40)
        instance.abandon()
        files.write(DATABASE, copy)
        instance, _, table = await reopen(files)
        assert await content(table) == rows(0, 305)
        await instance.close()

    asyncio.run(main())


def test_a_lost_database_is_made_anew_from_the_logs_alone_where_they_reach_back_to_its_creation() -> None:
    files = crashed(small_parameters(checkpoint_depth=1 << 30, cache_pages=10_000))
    files.delete(DATABASE)

    assert rows_after_recovery(files, small_parameters(checkpoint_depth=1 << 30)) == rows(0, ROWS)


def test_only_the_closed_logs_of_the_set_bring_the_database_to_the_freeze() -> None:
    files, header = restored()
    files.delete(CURRENT)
    files.delete(CHECKPOINT)
    for generation in generations(files):
        if generation > header.generation_max_committed:
            files.delete(log_path(generation))

    assert rows_after_recovery(files, databases=[DATABASE]) == rows(0, 100)


def test_a_moved_database_is_found_by_its_signature() -> None:
    files, events = crashed(), list[EngineEvent]()
    files.write("R:\\new\\DB1.edb", files.read(DATABASE))
    files.delete(DATABASE)

    report = asyncio.run(recover_files(files, events=events, databases=["R:\\new\\DB1.edb"]))

    assert report.databases[0].path == "R:\\new\\DB1.edb"
    assert 216 in event_ids(events)
    assert rows_after_recovery(files, path="R:\\new\\DB1.edb") == rows(0, ROWS)


def test_a_clean_database_left_behind_by_older_logs_rejoins_where_it_was_attached_again() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 10)
        await instance.detach_database(DATABASE)
        clean = files.read(DATABASE)
        database = await instance.attach_database(DATABASE)
        await add(instance, await database.open_table("Notes"), 10, 20)
        instance.abandon()
        files.write(DATABASE, clean)

    asyncio.run(main())
    assert rows_after_recovery(files) == rows(0, 30)


def test_an_older_dirty_copy_is_carried_through_a_detach_and_a_new_attach() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 10)
        old = files.copy().read(DATABASE)
        await instance.detach_database(DATABASE)
        database = await instance.attach_database(DATABASE)
        await add(instance, await database.open_table("Notes"), 10, 20)
        instance.abandon()
        files.write(DATABASE, old)

    asyncio.run(main())
    assert rows_after_recovery(files) == rows(0, 30)


def test_a_stale_prepared_log_and_a_crash_between_end_and_renaming_do_no_harm() -> None:
    for stage in range(12):
        files = memory()

        async def main(files: MemoryFileSystem = files, stage: int = stage) -> None:
            instance, _, table = await new_store(files)
            await add(instance, table, 0, 5)
            files.power_loss_at = files.effect_count + stage
            with contextlib.suppress(JetError):
                await instance.stream.roll_over()
            instance.abandon()

        asyncio.run(main())
        for keep in (False, True):
            survivor = files.after_power_loss(keep)
            assert rows_after_recovery(survivor) == rows(0, 5), f"power lost at step {stage} of a roll-over"


def test_a_torn_tail_is_cut_off_and_reported() -> None:
    files, events = crashed(), list[EngineEvent]()
    data = bytearray(files.read(CURRENT))
    end = max(at for at in range(4096, len(data), 512) if data[at : at + 512] != data[-512:])
    data[end - 512 : end] = data[-512:]
    data[end : end + 512] = data[-512:]
    files.write(CURRENT, bytes(data))

    report = asyncio.run(recover_files(files, events=events))

    assert report.torn_at is not None
    assert 462 in event_ids(events)
    kept = rows_after_recovery(files)
    assert kept == rows(0, len(kept))


def test_the_shadow_of_the_last_sector_saves_it() -> None:
    files, events = crashed(), list[EngineEvent]()
    data = files.read(CURRENT)
    end = max(at for at in range(4096, len(data), 512) if data[at : at + 512] != data[-512:])
    files.flip(CURRENT, end - 512 + 5)

    asyncio.run(recover_files(files, events=events))

    assert 466 in event_ids(events)
    assert rows_after_recovery(files) == rows(0, ROWS)


def test_torn_pages_are_put_back_from_the_guard_even_where_their_checksum_holds() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 20)
        await database.pages.write_behind()
        instance.abandon()
        guarded = unpack_guard(files.read(f"{LOGS}\\E00guard.tmp"))
        assert guarded is not None
        data = bytearray(files.read(DATABASE))
        for number in guarded.images:
            start = (number + 1) * 2048
            data[start + 512 : start + 1024] = bytes(512)
        blank = next(iter(guarded.images))
        data[(blank + 1) * 2048 : (blank + 2) * 2048] = bytes(2048)
        files.write(DATABASE, bytes(data))

    asyncio.run(main())
    asyncio.run(recover_files(files, events=events))
    assert 399 in event_ids(events)
    assert rows_after_recovery(files) == rows(0, 20)


def test_a_guard_that_is_damaged_foreign_or_from_the_future_is_left_alone() -> None:
    files = crashed()
    good = files.read(DATABASE)
    path = f"{LOGS}\\E00guard.tmp"
    page = Page(bytearray(2048), 34)
    page.format(1, 0x2803)
    page.dbtime = 1 << 40
    image = [(34, page.sealed())]
    own = header_of(files).signature
    guards = (
        b"",
        b"x" * 100,
        pack_guard(own, LogPosition(), 2048, image)[:-1],
        pack_guard(Signature(1), LogPosition(), 2048, image),
        pack_guard(own, LogPosition(), 4096, [(34, bytes(4096))]),
        pack_guard(own, LogPosition(99), 2048, image),
    )
    for guard in guards:
        copy = files.copy()
        copy.write(path, guard)
        copy.write(DATABASE, good)
        assert rows_after_recovery(copy) == rows(0, ROWS)


def test_pages_newer_than_the_guard_stay() -> None:
    files = crashed()
    header = header_of(files)
    number = next(
        number
        for number in range(1, len(files.read(DATABASE)) // 2048 - 1)
        if Page(bytearray(files.read(DATABASE)[(number + 1) * 2048 : (number + 2) * 2048]), number).dbtime > 1
    )
    older = Page(bytearray(files.read(DATABASE)[(number + 1) * 2048 : (number + 2) * 2048]), number)
    older.dbtime = 1
    files.write(f"{LOGS}\\E00guard.tmp", pack_guard(header.signature, LogPosition(), 2048, [(number, older.sealed())]))

    assert rows_after_recovery(files) == rows(0, ROWS)


def test_a_restored_database_that_turns_up_only_in_the_logs_is_rolled_forward_from_its_own_header() -> None:
    files = memory()

    async def main() -> DatabaseHeader:
        instance, database, table = await new_store(files)
        await add(instance, table, 0, 60)
        copy, header = files.copy(), database.header
        await add(instance, table, 60, 100)
        await instance.detach_database(DATABASE)
        await instance.stream.roll_over()
        await instance.checkpointer.write()
        checkpoint = files.read(CHECKPOINT)
        database = await instance.attach_database(DATABASE)
        await add(instance, await database.open_table("Notes"), 160, 5)
        instance.abandon()
        files.write(CHECKPOINT, checkpoint)
        files.write(DATABASE, copy.read(DATABASE))
        return header

    header = asyncio.run(main())
    report = asyncio.run(recover_files(files))

    assert report.generation_first == header.generation_min_required
    assert rows_after_recovery(files) == rows(0, 165)


# -- refusals ------------------------------------------------------------------------------------------------------------------


def remove_log(which: int) -> Callable[[MemoryFileSystem], None]:
    def change(files: MemoryFileSystem) -> None:
        files.delete(log_path(generations(files)[which]))

    return change


def delete_checkpoint_too(change: Callable[[MemoryFileSystem], None]) -> Callable[[MemoryFileSystem], None]:
    def both(files: MemoryFileSystem) -> None:
        files.delete(CHECKPOINT)
        change(files)

    return both


def edit_header(**changes: Any) -> Callable[[MemoryFileSystem], None]:
    def change(files: MemoryFileSystem) -> None:
        set_header(files, replace(header_of(files), **changes))

    return change


def edit_log(which: int | None, **changes: Any) -> Callable[[MemoryFileSystem], None]:
    def change(files: MemoryFileSystem) -> None:
        files.delete(CHECKPOINT)
        path = CURRENT if which is None else log_path(generations(files)[which])
        set_log_header(files, path, **changes)

    return change


def foreign_checkpoint(files: MemoryFileSystem) -> None:
    async def main() -> None:
        checkpoint = await read_checkpoint(files, CHECKPOINT)
        await write_checkpoint(files, CHECKPOINT, replace(checkpoint, signature=Signature(1)))

    asyncio.run(main())


def swap_logs(files: MemoryFileSystem) -> None:
    files.delete(CHECKPOINT)
    first, second = log_path(1), log_path(2)
    one, two = files.read(first), files.read(second)
    files.write(first, two)
    files.write(second, one)


def damage_middle_log(files: MemoryFileSystem) -> None:
    files.delete(CHECKPOINT)
    files.flip(log_path(2), 9000, 4)


def cut_open_end(files: MemoryFileSystem) -> None:
    """The current log lies under the name of a closed one."""
    current = LogHeader.unpack(files.read(CURRENT)).generation
    files.write(log_path(current), files.read(CURRENT))
    files.delete(CURRENT)


def open_end_in_the_middle(files: MemoryFileSystem) -> None:
    files.delete(CHECKPOINT)
    header = LogHeader.unpack(files.read(log_path(2)))
    files.write(log_path(2), header.pack() + LogHeader.pack(header)[:0] + _fill(len(files.read(log_path(2))) - 4096))


def longer_log(files: MemoryFileSystem) -> None:
    """A closed log that is sound but longer than the others of its stream."""
    files.delete(CHECKPOINT)
    data = files.read(log_path(2))
    header = replace(LogHeader.unpack(data), file_sectors=2 * len(data) // 512)
    files.write(log_path(2), header.pack() + data[4096:] + _fill(len(data)))


def damage_newest_header(files: MemoryFileSystem) -> None:
    files.flip(CURRENT, 100)


def _fill(size: int) -> bytes:
    from vss_writers.ese.log_checksum import FILL_SECTOR

    return FILL_SECTOR * (size // 512)


def another_database(files: MemoryFileSystem) -> None:
    set_header(files, replace(header_of(files), signature=Signature(123)))


def newer_database(files: MemoryFileSystem) -> None:
    set_header(files, replace(header_of(files), attach_position=LogPosition(0x7000, 8, 8)))


def older_database(files: MemoryFileSystem) -> None:
    set_header(files, replace(header_of(files), attach_position=LogPosition(1, 8, 1)))


def both_headers_bad(files: MemoryFileSystem) -> None:
    files.flip(DATABASE, 100)
    files.flip(DATABASE, 2048 + 100)


def wrong_clean_position(files: MemoryFileSystem) -> None:
    header = header_of(files)
    set_header(files, replace(header, state=DatabaseState.CLEAN_SHUTDOWN, consistent_position=LogPosition(1, 8, 1)))


@pytest.mark.parametrize(
    ("change", "code", "event_id"),
    [
        (delete_checkpoint_too(remove_log(-1)), JetCode.MissingLogFile, 450),
        (edit_log(0, signature=Signature(1)), JetCode.BadLogSignature, 457),
        (edit_log(1, file_sectors=63), JetCode.LogFileCorrupt, 465),
        (edit_log(1, previous_created=LogTime(1, 1, 1, 1, 1, 90)), JetCode.InvalidLogSequence, 458),
        (edit_log(None, version_minor=4000), JetCode.BadLogVersion, 411),
        (edit_log(1, version_minor=4000), JetCode.BadLogVersion, 411),
        (longer_log, JetCode.LogFileSizeMismatch, 440),
        (damage_newest_header, JetCode.LogFileCorrupt, 465),
        (edit_log(None, sector_size=4096), JetCode.LogSectorSizeMismatch, None),
        (swap_logs, JetCode.LogGenerationMismatch, 458),
        (damage_middle_log, JetCode.LogFileCorrupt, 465),
        (open_end_in_the_middle, JetCode.LogFileCorrupt, None),
        (cut_open_end, JetCode.MissingLogFile, None),
        (foreign_checkpoint, JetCode.BadCheckpointSignature, None),
        (lambda files: files.delete(DATABASE), JetCode.AttachedDatabaseMismatch, 494),
        (another_database, JetCode.AttachedDatabaseMismatch, 494),
        (newer_database, JetCode.ConsistentTimeMismatch, None),
        (older_database, JetCode.ConsistentTimeMismatch, 495),
        (wrong_clean_position, JetCode.ConsistentTimeMismatch, 495),
        (both_headers_bad, JetCode.DatabaseCorrupted, None),
        (edit_header(log_signature=Signature(1)), JetCode.BadLogSignature, 517),
        (edit_header(generation_max_required=999, generation_max_committed=999), JetCode.RequiredLogFilesMissing, 453),
        (edit_header(generation_max_committed=999), JetCode.CommittedLogFilesMissing, 523),
        (
            edit_header(full_current=BackupInfo(LogPosition(1, 8, 8), generation_low=1)),
            JetCode.SoftRecoveryOnBackupDatabase,
            None,
        ),
    ],
)
def test_what_cannot_be_recovered_without_loss_is_refused(
    change: Callable[[MemoryFileSystem], None], code: JetCode, event_id: int | None
) -> None:
    files, events = crashed(count=150), list[EngineEvent]()
    change(files)

    with pytest.raises(JetError) as caught:
        asyncio.run(open_instance(files, events=events))

    assert caught.value.code == code, caught.value
    assert event_ids(events)[-1] == 454
    assert not {411, 440, 457, 458} & set(event_ids(events)) - {event_id}
    if event_id is not None:
        assert event_id in event_ids(events)


def test_a_restored_database_whose_first_logs_are_gone_is_refused() -> None:
    files, header = restored()
    events: list[EngineEvent] = []
    files.delete(log_path(header.generation_min_required))

    with pytest.raises(JetError) as caught:
        asyncio.run(recover_files(files, events=events))

    assert caught.value.code == JetCode.RequiredLogFilesMissing
    assert 452 in event_ids(events)


def test_a_checkpoint_whose_log_is_gone_is_refused() -> None:
    files, events = crashed(), list[EngineEvent]()
    for path in (CURRENT, *(log_path(generation) for generation in generations(files)[1:])):
        files.delete(path)

    with pytest.raises(JetError) as caught:
        asyncio.run(recover_files(files, events=events))

    assert caught.value.code == JetCode.MissingPreviousLogFile
    assert 450 in event_ids(events)


def test_another_log_size_is_refused() -> None:
    with pytest.raises(JetError) as caught:
        asyncio.run(recover_files(crashed(), small_parameters(log_file_size=65536)))
    assert caught.value.code == JetCode.LogFileSizeMismatch


def test_another_log_size_after_a_clean_end_says_that_the_databases_are_consistent() -> None:
    files = memory()

    async def main() -> None:
        instance, _, _ = await new_store(files)
        await instance.close()

    asyncio.run(main())
    with pytest.raises(JetError) as caught:
        asyncio.run(recover_files(files, small_parameters(log_file_size=65536)))
    assert caught.value.code == JetCode.LogFileSizeMismatchDatabasesConsistent


@pytest.mark.parametrize("is_clean", [True, False])
def test_the_last_generation_ends_a_stream(is_clean: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    files = memory()

    async def main() -> int:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 120)
        generation = instance.generation
        if is_clean:
            await instance.close()
        else:
            instance.abandon()
        return generation

    newest = asyncio.run(main())
    monkeypatch.setattr(LogProfile, "generation_max", property(lambda profile: newest + 1))
    if is_clean:
        with pytest.raises(JetError) as caught:
            asyncio.run(recover_files(files))
        assert caught.value.code == JetCode.LogSequenceEndDatabasesConsistent
    else:
        asyncio.run(recover_files(files))


def waypoint_crash() -> tuple[MemoryFileSystem, DatabaseHeader]:
    """A store that may lose its two newest generations, some generations after its last write of pages, gone in a crash."""
    files = memory()

    async def main() -> DatabaseHeader:
        instance, database, table = await new_store(files, small_parameters(waypoint_generations=2))
        await add(instance, table, 0, 200)
        await instance.stream.flush()
        instance.abandon()
        return database.header

    header = asyncio.run(main())
    assert header.generation_max_committed == header.generation_max_required + 2
    return files, header


def _of(generation: int, newest: int) -> str:
    return f"{LOGS}\\E00.log" if generation == newest else f"{LOGS}\\E00{generation:08X}.log"


@pytest.mark.parametrize("beyond", [0, 1, 2])
def test_damage_beyond_the_waypoint_can_be_accepted_and_damage_before_it_cannot(beyond: int) -> None:
    files, header = waypoint_crash()
    newest = header.generation_max_committed
    damaged = _of(header.generation_max_required + beyond, newest)
    files.flip(damaged, 4096 + 512 * 2 + 7)
    events: list[EngineEvent] = []
    before = {path: files.read(path) for path in files.paths()}
    parameters = small_parameters(waypoint_generations=2)
    with pytest.raises(JetError) as caught:
        asyncio.run(recover_files(files, parameters, events=events))
    assert caught.value.code == (JetCode.CommittedLogFileCorrupt if beyond else JetCode.LogFileCorrupt)
    assert (525 in event_ids(events)) == bool(beyond)
    if not beyond:
        with pytest.raises(JetError):
            asyncio.run(recover_files(files, parameters, accept_lost_logs=True))
        return
    assert {path: files.read(path) for path in files.paths()} == before, "a refusal changes nothing"
    report = asyncio.run(recover_files(files, parameters, events=events, accept_lost_logs=True))
    assert {526, 498} <= set(event_ids(events))
    assert report.generation_last == header.generation_max_required + beyond - 1

    async def main() -> dict[int, bytes]:
        _, _, table = await reopen(files, parameters)
        return await content(table)

    found = asyncio.run(main())
    assert found == rows(0, len(found))
    assert 0 < len(found) < 200


def test_a_page_of_the_past_and_one_of_the_future_are_noticed() -> None:
    for is_old, code in ((True, JetCode.DbTimeTooOld), (False, JetCode.DbTimeTooNew)):
        files, events = crashed(), list[EngineEvent]()
        number, dbtime = _next_page_to_redo(files)
        page = Page(bytearray(files.read(DATABASE)[(number + 1) * 2048 : (number + 2) * 2048]), number)
        page.dbtime = 1 if is_old else dbtime + 1
        data = bytearray(files.read(DATABASE))
        data[(number + 1) * 2048 : (number + 2) * 2048] = page.sealed()
        files.write(DATABASE, bytes(data))

        with pytest.raises(JetError) as caught:
            asyncio.run(recover_files(files, events=events))

        assert caught.value.code == code
        assert caught.value.page_number == number
        assert 516 in event_ids(events)


def _next_page_to_redo(files: MemoryFileSystem) -> tuple[int, int]:
    """A page whose next change is in the logs only, and that change's dbtime before; dbtimes apart by more than one.

    The page guard, which would put pages written last back in place, is removed.
    """

    async def main() -> tuple[int, int]:
        from vss_writers.ese.log_reader import load_log

        await files.remove(small_parameters().guard_path)
        logs = await list_logs(files, LOGS, "E00")
        for path in [*logs.archived.values(), CURRENT]:
            for _, record in (await load_log(files, path, may_be_torn=True)).records:
                if isinstance(record, PageChange) and record.dbtime - record.dbtime_before > 2:
                    number = record.operation.page_number
                    data = files.read(DATABASE)[(number + 1) * 2048 : (number + 2) * 2048]
                    if Page(bytearray(data), number).dbtime == record.dbtime_before > 0:
                        return number, record.dbtime_before
        raise AssertionError("every page is up to date")

    return asyncio.run(main())


def test_a_page_that_cannot_be_read_is_fatal_unless_the_log_brings_it_whole() -> None:
    files = crashed()
    number, _ = _next_page_to_redo(files)
    files.flip(DATABASE, (number + 1) * 2048 + 100, 0)
    files.flip(DATABASE, (number + 1) * 2048 + 104, 0)

    with pytest.raises(JetError) as caught:
        asyncio.run(recover_files(files))

    assert caught.value.code == JetCode.ReadVerifyFailure
    everything = crashed(small_parameters(checkpoint_depth=1 << 30, cache_pages=10_000))
    everything.write(DATABASE, everything.read(DATABASE)[:4096] + b"\x07" * (len(everything.read(DATABASE)) - 4096))
    assert rows_after_recovery(everything, small_parameters(checkpoint_depth=1 << 30)) == rows(0, ROWS)


def test_a_refused_recovery_can_be_repeated_when_its_cause_is_gone() -> None:
    files = crashed(count=150)
    files.delete(CHECKPOINT)
    gone = log_path(generations(files)[-1])
    data = files.read(gone)
    files.delete(gone)
    for _ in range(2):
        with pytest.raises(JetError):
            asyncio.run(recover_files(files))
    files.write(gone, data)

    assert rows_after_recovery(files) == rows(0, 150)


def test_databases_given_by_hand_have_to_be_readable() -> None:
    files = crashed()
    with pytest.raises(JetError) as caught:
        asyncio.run(recover_files(files, databases=["D:\\none.edb"]))
    assert caught.value.code == JetCode.FileNotFound


def test_recovery_without_undo_writes_what_was_redone_and_can_be_run_again() -> None:
    files, events = crashed(count=150), list[EngineEvent]()
    logs = {name: files.read(f"{LOGS}\\{name}") for name in asyncio.run(files.list_directory(LOGS)) if name.endswith(".log")}
    before = files.read(DATABASE)

    with pytest.raises(JetError) as caught:
        asyncio.run(recover_files(files, events=events, stop_before_undo=True))

    assert caught.value.code == JetCode.RecoveredWithoutUndo
    assert event_ids(events)[-1] == 304
    assert 302 not in event_ids(events)
    assert files.read(DATABASE) != before
    assert header_of(files).state is DatabaseState.DIRTY_SHUTDOWN
    assert {name: files.read(f"{LOGS}\\{name}") for name in logs} == logs
    report = asyncio.run(recover_files(files))
    assert report.records_redone == 0
    assert report.records_skipped > 0
    assert rows_after_recovery(files) == rows(0, 150)


def test_recovery_without_undo_after_a_clean_end_says_that_the_databases_are_consistent() -> None:
    files = crashed()
    asyncio.run(recover_files(files))
    before = files.read(DATABASE)

    with pytest.raises(JetError) as caught:
        asyncio.run(recover_files(files, stop_before_undo=True))

    assert caught.value.code == JetCode.RecoveredWithoutUndoDatabasesConsistent
    assert files.read(DATABASE) == before
