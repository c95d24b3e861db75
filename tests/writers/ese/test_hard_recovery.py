"""Hard recovery: chains of streaming sets brought back, played forward, refused where something lacks, cut off at any write."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.writers.ese.store_kit import (
    DATABASE,
    LOGS,
    OTHER_DATABASE,
    Clock,
    add,
    add_table,
    body,
    content,
    event_ids,
    is_power_loss,
    memory,
    new_store,
    open_instance,
    reopen,
    rows,
    small_parameters,
)
from vss_writers.ese.attached_database import InstanceTable
from vss_writers.ese.backup_set import RestoreTarget, restore_backup_set, write_backup_set
from vss_writers.ese.engine_event import EngineEvent
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.hard_recovery import HardRecoveryOptions, HardRecoveryReport, recover_restored
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import BackupInfo, LogPosition, Signature
from vss_writers.ese.instance import Instance
from vss_writers.ese.integrity import check_database
from vss_writers.ese.layout import DatabaseState
from vss_writers.ese.log_checksum import FILL_SECTOR
from vss_writers.ese.log_reader import list_logs
from vss_writers.ese.memory_files import MemoryFileSystem, PowerLossError
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.patch_page import PatchHeader
from vss_writers.ese.reader import DatabaseReader, read_from
from vss_writers.ese.restore_environment import (
    RecoverStatus,
    RestoreEnvironment,
    read_environment,
    write_environment,
)
from vss_writers.ese.sites import Work
from vss_writers.ese.truncation import SnapshotKind
from vss_writers.ese.verify import verify_database

FULL, LATER, TEMPORARY = "B:\\full", "B:\\later", "R:\\restored"
TARGET = RestoreTarget(TEMPORARY, may_overwrite=True)


@dataclass
class Backups:
    """A store at its end, two sets taken on the way, and how many rows each knew."""

    files: MemoryFileSystem
    sets: MemoryFileSystem
    counts: tuple[int, int, int]


def back_up(
    parameters: InstanceParameters | None = None, *, clean: bool = False, kind: SnapshotKind = SnapshotKind.FULL
) -> Backups:
    """60 rows, a full set while 60 more arrive, 60 more, an incremental set, 60 more; then the store stops or crashes."""
    files, sets = memory(), memory()

    async def main() -> None:
        instance, database, table = await new_store(files, parameters)
        await add(instance, table, 0, 60)
        busy = asyncio.create_task(add(instance, table, 60, 60))
        await write_backup_set(instance, sets, FULL, kind, annotation="by hand", guids={DATABASE: "one"})
        await busy
        await instance.checkpointer.write_everything(database)
        await add(instance, table, 120, 60)
        if kind is SnapshotKind.FULL:
            await write_backup_set(instance, sets, LATER, SnapshotKind.INCREMENTAL)
        await add(instance, table, 180, 60)
        if clean:
            await instance.close()
        else:
            await instance.stream.flush()
            instance.abandon()

    asyncio.run(main())
    return Backups(files, sets, (60, 180, 240))


def restore(
    backups: Backups,
    *directories: str,
    target: RestoreTarget = TARGET,
    events: list[EngineEvent] | None = None,
    **options: Any,
) -> HardRecoveryReport:
    """Restore sets in order, the last one as the last."""
    collected = [] if events is None else events

    async def main() -> HardRecoveryReport:
        report = None
        for place, directory in enumerate(directories):
            report = await restore_backup_set(
                backups.sets,
                directory,
                backups.files,
                target,
                now=Clock(),
                is_last=place == len(directories) - 1,
                on_event=collected.append,
                options=HardRecoveryOptions(**options),
            )
            assert (report is None) == (place < len(directories) - 1)
        assert report is not None
        return report

    return asyncio.run(main())


def header_of(files: MemoryFileSystem, path: str = DATABASE) -> DatabaseHeader:
    return DatabaseHeader.unpack(files.read(path))


def rows_after_start(files: MemoryFileSystem, path: str = DATABASE) -> dict[int, bytes]:
    async def main() -> dict[int, bytes]:
        instance, _, table = await reopen(files, path=path)
        found = await content(table)
        await instance.close()
        data = files.read(path)
        assert (await verify_database(read_from(data), len(data))).is_intact
        return found

    return asyncio.run(main())


def code_of(call: Callable[[], object]) -> JetCode:
    with pytest.raises(JetError) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize("clean", [True, False])
def test_a_chain_is_played_into_the_current_logs_and_the_instance_finds_every_row(clean: bool) -> None:
    backups = back_up(clean=clean)
    events: list[EngineEvent] = []
    report = restore(backups, FULL, LATER, events=events)
    assert report.played_forward_last > report.generation_last >= report.generation_first
    assert report.records_redone > 0
    header = header_of(backups.files)
    assert header.state is DatabaseState.CLEAN_SHUTDOWN
    assert not header.full_current
    assert header.full_previous.generation_high
    assert clean or header.consistent_position == report.end
    assert not [path for path in backups.files.paths() if path.startswith("R:")]
    assert (event_ids(events)[0], event_ids(events)[-1]) == (204, 205)
    assert rows_after_start(backups.files) == rows(0, backups.counts[2])


def test_without_playing_forward_the_rows_are_those_of_the_last_set() -> None:
    backups = back_up()
    assert restore(backups, FULL, LATER, play_forward=False).played_forward_last == 0
    elsewhere = memory()
    elsewhere.write(DATABASE, backups.files.read(DATABASE))
    assert rows_after_start(elsewhere) == rows(0, backups.counts[1])


def test_a_copy_of_a_busy_database_has_at_least_what_was_there_when_it_began() -> None:
    backups = back_up(kind=SnapshotKind.COPY)
    restore(backups, FULL, play_forward=False)
    header = header_of(backups.files)
    assert not header.full_previous, "the backup did not truncate, so it counts as a copy"
    elsewhere = memory()
    elsewhere.write(DATABASE, backups.files.read(DATABASE))
    found = rows_after_start(elsewhere)
    assert found == rows(0, len(found))
    assert backups.counts[0] <= len(found) <= 120


def test_logs_from_another_directory_are_played_too_and_files_can_be_kept() -> None:
    backups = back_up()
    target = replace(TARGET, log_path="", system_path="")
    restore(backups, FULL, LATER, target=target, more_logs=LOGS, keep_files=True)
    environment = asyncio.run(read_environment(backups.files, TEMPORARY))
    assert environment.status is RecoverStatus.ENDED
    assert environment.recover_time
    assert environment.annotation == "by hand"
    assert environment.databases[0].guid == "one"
    again = asyncio.run(recover_restored(backups.files, TEMPORARY, now=Clock()))
    assert again.records_redone == 0
    assert not [path for path in backups.files.paths() if path.startswith("R:")]
    assert rows_after_start(backups.files) == rows(0, 240)


def test_a_database_restored_under_another_path() -> None:
    backups = back_up()
    target = replace(TARGET, destinations={DATABASE: "D:\\moved\\DB1.edb"})
    restore(backups, FULL, LATER, target=target)
    backups.files.delete(DATABASE)

    async def main() -> dict[int, bytes]:
        instance = await open_instance(backups.files, databases=["D:\\moved\\DB1.edb"])
        database = await instance.attach_database("D:\\moved\\DB1.edb")
        return await content(await database.open_table("Notes"))

    assert asyncio.run(main()) == rows(0, 240)


def test_two_databases_of_one_stream() -> None:
    files, sets = memory(), memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        other_path = "D:\\more\\DB1.edb"
        other = await add_table(instance, await instance.create_database(other_path))
        await add(instance, table, 0, 30)
        await add(instance, other, 100, 30)
        await write_backup_set(instance, sets, FULL)
        await add(instance, table, 30, 30)
        await add(instance, other, 130, 30)
        await instance.close()
        assert "B:/full/2-DB1.edb" in sets.paths()
        report = await restore_backup_set(sets, FULL, files, TARGET, now=Clock())
        assert report is not None
        assert len(report.databases) == 2
        again = await open_instance(files)
        for path, first in ((DATABASE, 0), (other_path, 100)):
            database = await again.attach_database(path)
            assert await content(await database.open_table("Notes")) == rows(first, 60)

    asyncio.run(main())


def test_patch_files_of_the_older_profile_are_used_and_missed() -> None:
    parameters = small_parameters(patch_files=True)
    backups = back_up(parameters)
    assert "B:/full/DB1.pat" in backups.sets.paths()
    whole = Backups(backups.files.copy(), backups.sets, backups.counts)
    restore(whole, FULL, LATER)
    assert rows_after_start(whole.files) == rows(0, 240)
    damaged, events = Backups(backups.files.copy(), backups.sets.copy(), backups.counts), list[EngineEvent]()
    damaged.sets.flip("B:\\full\\DB1.pat", 100)
    assert code_of(lambda: restore(damaged, FULL, LATER, events=events)) is JetCode.BadPatchPage
    assert 479 in event_ids(events)
    assert asyncio.run(read_environment(damaged.files, TEMPORARY)).error == JetCode.BadPatchPage
    damaged.files.delete(f"{TEMPORARY}\\DB1.pat")

    def recovering() -> HardRecoveryReport:
        return asyncio.run(recover_restored(damaged.files, TEMPORARY, now=Clock(), on_event=events.append))

    assert code_of(recovering) is JetCode.PatchFileMissing
    other = back_up(replace(parameters, computer_name="OTHER"))
    damaged.files.write(f"{TEMPORARY}\\DB1.pat", other.sets.read("B:\\full\\DB1.pat"))
    assert code_of(recovering) is JetCode.DatabasePatchFileMismatch
    assert 430 in event_ids(events)
    damaged.files.write(f"{TEMPORARY}\\DB1.pat", backups.sets.read("B:\\full\\DB1.pat"))
    recovering()
    assert rows_after_start(damaged.files) == rows(0, 240)


def test_patch_pages_alone_bring_pages_forward() -> None:
    """A page that was written behind the copy is in the patch: putting it in place makes its log records superfluous."""
    skipped = []
    for has_patches in (False, True):
        backups = back_up(small_parameters(patch_files=has_patches))
        skipped.append(restore(backups, FULL, play_forward=False).records_skipped)
        elsewhere = memory()
        elsewhere.write(DATABASE, backups.files.read(DATABASE))
        found = rows_after_start(elsewhere)
        assert found == rows(0, len(found))
    assert skipped[1] >= skipped[0]


# -- refusals ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [LOGS, "l:/logs/", "D:\\"])
def test_the_temporary_directory_is_no_production_path(path: str) -> None:
    backups = back_up()
    before = {each: backups.files.read(each) for each in backups.files.paths()}
    assert code_of(lambda: restore(backups, FULL, target=replace(TARGET, directory=path))) is JetCode.InvalidParameter
    assert {each: backups.files.read(each) for each in backups.files.paths()} == before


def test_databases_are_replaced_only_where_that_is_allowed() -> None:
    backups = back_up()
    assert code_of(lambda: restore(backups, FULL, target=RestoreTarget(TEMPORARY))) is JetCode.DatabaseDuplicate


def test_sets_of_logs_need_the_databases_before_them_and_follow_on_them() -> None:
    backups = back_up()
    assert code_of(lambda: restore(backups, LATER)) is JetCode.MissingFullBackup
    assert code_of(lambda: restore(backups, FULL, FULL)) is JetCode.RestoreInProgress
    other = back_up(small_parameters(computer_name="OTHER"))
    mixed = memory()
    for path in other.sets.paths():
        mixed.write(path, other.sets.read(path))
    chain = Backups(back_up().files, mixed, (0, 0, 0))
    environment = asyncio.run(read_environment(mixed, LATER))
    changed = replace(environment, log_signature=Signature(1))
    asyncio.run(write_environment(mixed, LATER, changed))
    assert code_of(lambda: restore(chain, FULL, LATER)) is JetCode.GivenLogFileHasBadSignature
    gap = replace(environment, generation_low=environment.generation_high)
    asyncio.run(write_environment(mixed, LATER, replace(gap, generation_low=99, generation_high=100)))
    chain = Backups(back_up().files, mixed, (0, 0, 0))
    assert code_of(lambda: restore(chain, FULL, LATER)) is JetCode.GivenLogFileIsNotContiguous


def test_a_set_that_lacks_a_file() -> None:
    backups = back_up()
    environment = asyncio.run(read_environment(backups.sets, FULL))
    broken = Backups(backups.files, backups.sets.copy(), backups.counts)
    broken.sets.delete(f"{FULL}\\E00{environment.generation_low:08X}.log")
    assert code_of(lambda: restore(broken, FULL)) is JetCode.MissingRestoreLogFiles
    broken = Backups(backups.files, backups.sets.copy(), backups.counts)
    broken.sets.delete(f"{FULL}\\DB1.edb")
    assert code_of(lambda: restore(broken, FULL)) is JetCode.FileNotFound
    broken.sets.delete(f"{FULL}\\restore.env")
    assert code_of(lambda: restore(broken, FULL)) is JetCode.FileNotFound


def _log(files: MemoryFileSystem, generation: int) -> str:
    return f"{TEMPORARY}\\E00{generation:08X}.log"


def _delete_first(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    files.delete(_log(files, env.generation_low))


def _delete_last(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    files.delete(_log(files, env.generation_high))


def _delete_middle(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    files.delete(_log(files, env.generation_low + 1))


def _delete_all(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    for generation in range(env.generation_low, env.generation_high + 1):
        files.delete(_log(files, generation))


def _foreign(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    other = back_up(small_parameters(computer_name="OTHER"))
    source = asyncio.run(read_environment(other.sets, FULL))
    files.write(_log(files, env.generation_low), other.sets.read(f"{FULL}\\E00{source.generation_low:08X}.log"))


def _swap(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    files.write(_log(files, env.generation_low + 1), files.read(_log(files, env.generation_low)))


def _flip(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    files.flip(_log(files, env.generation_low), 4096 + 512 * 3)


def _open_end(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    """The last restored log is the beginning of one: torn."""
    path = _log(files, env.generation_high)
    data = files.read(path)
    files.write(path, data[: 4096 + 512] + _fill(len(data) - 4096 - 512))


def _fill(size: int) -> bytes:
    return (FILL_SECTOR * (size // 512 + 1))[:size]


def _no_backup_copy(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    header = header_of(files)
    changed = replace(header, full_current=BackupInfo()).pack()
    files.write(DATABASE, changed + changed + files.read(DATABASE)[2 * header.page_size :])


def _no_trailer(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    data = files.read(DATABASE)
    files.write(DATABASE, data[: -header_of(files).page_size])


def _other_trailer(files: MemoryFileSystem, env: RestoreEnvironment) -> None:

    data, size = files.read(DATABASE), header_of(files).page_size
    trailer = replace(PatchHeader.unpack(data[-size:], path=""), signature=Signature(5))
    files.write(DATABASE, data[:-size] + trailer.pack(size))


def _other_database(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    header = header_of(files)
    changed = replace(header, signature=Signature(5)).pack()
    files.write(DATABASE, changed + changed + files.read(DATABASE)[2 * header.page_size :])


def _other_stream(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    header = header_of(files)
    changed = replace(header, log_signature=Signature(5)).pack()
    files.write(DATABASE, changed + changed + files.read(DATABASE)[2 * header.page_size :])


def _existing(files: MemoryFileSystem) -> str:
    """The log of the instance that follows on the restored ones."""
    environment = asyncio.run(read_environment(files, TEMPORARY))
    logs = asyncio.run(list_logs(files, LOGS, "E00"))
    return logs.archived[environment.generation_high + 1]


def _existing_gap(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    files.delete(_existing(files))


def _existing_foreign(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    other = back_up(small_parameters(computer_name="OTHER"))
    files.write(f"{LOGS}\\E00.log", other.files.read(f"{LOGS}\\E00.log"))


def _existing_foreign_closed(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    _existing_foreign(files, env)
    files.write(_existing(files), files.read(f"{LOGS}\\E00.log"))
    files.delete(f"{LOGS}\\E00.log")


def _existing_flip(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    files.flip(_existing(files), 4096 + 512 * 3)


def _existing_torn(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    path = _existing(files)
    data = files.read(path)
    files.write(path, data[: 4096 + 512] + _fill(len(data) - 4096 - 512))


def _size(files: MemoryFileSystem, env: RestoreEnvironment) -> None:
    asyncio.run(write_environment(files, TEMPORARY, replace(env, log_file_size=64 * 1024)))


@pytest.mark.parametrize(
    ("harm", "code", "event"),
    [
        (_delete_first, JetCode.StartingRestoreLogTooHigh, 431),
        (_delete_last, JetCode.EndingRestoreLogTooLow, 432),
        (_delete_middle, JetCode.MissingRestoreLogFiles, 435),
        (_delete_all, JetCode.MissingRestoreLogFiles, 435),
        (_foreign, JetCode.GivenLogFileHasBadSignature, 433),
        (_other_stream, JetCode.GivenLogFileHasBadSignature, 433),
        (_swap, JetCode.GivenLogFileIsNotContiguous, 434),
        (_flip, JetCode.LogCorruptDuringHardRestore, 463),
        (_open_end, JetCode.LogTornWriteDuringHardRestore, 460),
        (_no_backup_copy, JetCode.RestoreOfNonBackupDatabase, 454),
        (_no_trailer, JetCode.BadPatchPage, 454),
        (_other_trailer, JetCode.BadPatchPage, 454),
        (_other_database, JetCode.BadDbSignature, 454),
        (_existing_gap, JetCode.ExistingLogFileIsNotContiguous, 437),
        (_existing_foreign, JetCode.ExistingLogFileHasBadSignature, 436),
        (_existing_flip, JetCode.LogCorruptDuringHardRecovery, 464),
        (_existing_torn, JetCode.LogTornWriteDuringHardRecovery, 461),
        (_size, JetCode.LogFileSizeMismatch, 454),
    ],
)
def test_what_cannot_be_brought_forward_is_refused_and_can_be_tried_again(
    harm: Callable[[MemoryFileSystem, RestoreEnvironment], None], code: JetCode, event: int
) -> None:
    backups = back_up()
    files, events = backups.files, list[EngineEvent]()

    async def put_back() -> RestoreEnvironment:
        await restore_backup_set(backups.sets, FULL, files, TARGET, now=Clock(), is_last=False)
        await restore_backup_set(backups.sets, LATER, files, TARGET, now=Clock(), is_last=False)
        return await read_environment(files, TEMPORARY)

    environment = asyncio.run(put_back())
    undamaged = files.copy()
    harm(files, environment)
    assert code_of(lambda: asyncio.run(recover_restored(files, TEMPORARY, now=Clock(), on_event=events.append))) is code
    assert event in event_ids(events)
    assert asyncio.run(read_environment(files, TEMPORARY)).error == code
    for path in undamaged.paths():
        if not path.endswith("restore.env"):
            files.write(path, undamaged.read(path))
    asyncio.run(write_environment(files, TEMPORARY, environment))
    asyncio.run(recover_restored(files, TEMPORARY, now=Clock()))
    assert rows_after_start(files) == rows(0, 240)


def test_attaching_and_soft_recovery_of_a_backup_copy_are_refused() -> None:
    backups, events = back_up(clean=True), list[EngineEvent]()

    async def main() -> None:
        await restore_backup_set(backups.sets, FULL, backups.files, TARGET, now=Clock(), is_last=False)
        instance = await open_instance(backups.files, events=events)
        with pytest.raises(JetError) as caught:
            await instance.attach_database(DATABASE)
        assert caught.value.code is JetCode.SoftRecoveryOnBackupDatabase

    asyncio.run(main())
    assert 619 in event_ids(events)


def test_a_torn_tail_of_the_instances_own_logs_is_left_out() -> None:
    backups, events = back_up(), list[EngineEvent]()
    path = f"{LOGS}\\E00.log"
    data = backups.files.read(path)
    used = len(data.rstrip(data[-1:]))
    torn = 4096 + (used - 4096) // 512 // 2 * 512
    backups.files.write(path, data[:torn] + _fill(len(data) - torn))
    restore(backups, FULL, LATER, events=events)
    found = rows_after_start(backups.files)
    assert found == rows(0, len(found))
    assert len(found) >= 180


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nothing", "everything"])
def test_hard_recovery_cut_at_each_of_its_effects_ends_in_the_same_rows(kind: str) -> None:
    backups = back_up(small_parameters(patch_files=True))

    async def put_back() -> None:
        await restore_backup_set(backups.sets, FULL, backups.files, TARGET, now=Clock(), is_last=False)
        await restore_backup_set(backups.sets, LATER, backups.files, TARGET, now=Clock(), is_last=False)
        await backups.files.sync()

    asyncio.run(put_back())
    whole = backups.files.copy()
    start = whole.effect_count
    asyncio.run(recover_restored(whole, TEMPORARY, now=Clock()))
    expected = header_of(whole)
    for at in range(whole.effect_count - start):
        files = backups.files.copy()
        files.power_loss_at = files.effect_count + at
        assert is_power_loss(asyncio.run(_error_in(recover_restored(files, TEMPORARY, now=Clock()))))
        after = files.after_power_loss(kind == "everything")
        asyncio.run(_again(after))
        header = header_of(after)
        assert (header.state, header.consistent_position, header.full_previous, header.full_current) == (
            expected.state,
            expected.consistent_position,
            expected.full_previous,
            expected.full_current,
        )
        assert after.read(DATABASE)[2 * header.page_size :] == whole.read(DATABASE)[2 * header.page_size :]
        assert not [path for path in after.paths() if path.startswith("R:") and not path.endswith(".tmp")]


async def _again(files: MemoryFileSystem) -> None:
    """Start over, unless nothing is left to do."""
    if await files.exists(f"{TEMPORARY}\\restore.env"):
        await recover_restored(files, TEMPORARY, now=Clock())


# -- restore.env ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ESE-RESTORE-1 00000000\n{}",
        b"ESE-RESTORE-1 a3830348\n{}",
        b"x" * ((1 << 20) + 1),
    ],
)
def test_a_damaged_environment_is_refused(data: bytes) -> None:
    files = memory()
    files.write(f"{TEMPORARY}\\restore.env", data)
    assert code_of(lambda: asyncio.run(read_environment(files, TEMPORARY))) is JetCode.InvalidParameter


def test_an_environment_with_a_wrong_field_is_refused_and_a_right_one_comes_back_equal() -> None:

    environment = asyncio.run(read_environment(back_up().sets, FULL))
    packed = environment.pack()
    assert RestoreEnvironment.unpack(packed, path="") == environment
    fields = json.loads(packed.partition(b"\n")[2])
    for name, value in (
        ("page_size", "8192"),
        ("page_size", True),
        ("is_full", 1),
        ("backup", "00"),
        ("log_signature", "zz"),
        ("status", "no"),
        ("databases", [{}]),
        ("databases", 5),
    ):
        body = json.dumps({**fields, name: value}).encode()
        bad = f"ESE-RESTORE-1 {zlib.crc32(body):08x}\n".encode() + body
        assert code_of(lambda data=bad: RestoreEnvironment.unpack(data, path="")) is JetCode.InvalidParameter  # type: ignore[misc]


def test_a_set_goes_into_an_empty_directory_only() -> None:
    async def main() -> None:
        instance, _, _ = await new_store(memory())
        sets = memory()
        sets.write(f"{FULL}\\other.txt", b"x")
        with pytest.raises(JetError) as caught:
            await write_backup_set(instance, sets, FULL)
        assert caught.value.code is JetCode.BackupDirectoryNotEmpty

        def fail(kind: str, path: str) -> None:
            raise OSError(5, "device failed")

        sets.fail = fail
        with pytest.raises(OSError, match="device failed"):
            await write_backup_set(instance, sets, LATER)
        assert not instance.backup.is_running
        assert OTHER_DATABASE not in sets.paths()

    asyncio.run(main())


# -- copies of busy databases --------------------------------------------------------------------------------------------------


async def _be_busy(instance: Instance, table: InstanceTable, model: dict[int, bytes], choices: random.Random) -> None:
    """Insert, change and delete at random; ``model`` is what is acknowledged."""
    for number in range(150):
        after = dict(model)
        async with instance.transaction() as transaction:
            for _ in range(choices.randrange(1, 5)):
                if after and choices.random() < 0.45:
                    victim = choices.choice(sorted(after))
                    await table.delete(transaction, table.key("ById", victim))
                    del after[victim]
                else:
                    new = number * 10 + len(after) + 1000 * choices.randrange(1000)
                    if new not in after:
                        after[new] = body(new, choices.choice((20, 300, 900, 3000)))
                        await table.insert(transaction, {"Id": new, "Body": after[new]})
        model.clear()
        model.update(after)
        if choices.random() < 0.05:
            await instance.checkpointer.write_behind()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_a_copy_of_pages_of_many_moments_becomes_one_of_the_last(seed: int) -> None:
    """Whatever is written while the pages are read, before and behind the copy, hard recovery ends in the acknowledged rows."""
    choices = random.Random(seed)
    files, sets, model = memory(), memory(), dict[int, bytes]()

    async def let_others_work(site: str, work: Work, /, **selectors: str) -> Any:
        for _ in range(choices.randrange(150)):
            await asyncio.sleep(0)
        return await work()

    parameters = small_parameters(patch_files=bool(seed % 2), cache_pages=20, circular=seed % 3 == 0, at_site=let_others_work)

    async def main() -> None:
        instance, database, table = await new_store(files, parameters)
        await _be_busy(instance, table, model, choices)
        busy = asyncio.create_task(_be_busy(instance, table, model, choices))
        before = database.pages.dbtime
        await write_backup_set(instance, sets, FULL, SnapshotKind.COPY)
        assert database.pages.dbtime > before + 20, "nobody worked during the backup"
        await busy
        await instance.close()
        for play_forward in (False,) if parameters.circular else (False, True):  # circular logging leaves a gap behind the set
            restored = files.copy()
            options = HardRecoveryOptions(play_forward=play_forward)
            await restore_backup_set(sets, FULL, restored, TARGET, now=Clock(), options=options)
            pages = restored.read(DATABASE)
            assert (await verify_database(read_from(pages), len(pages))).is_intact
            reader = await DatabaseReader.from_bytes(pages)
            assert (await check_database(reader.pages)).problems == []
            if play_forward:
                assert {row["Id"]: row["Body"] async for row in reader.table("Notes").rows()} == model

    asyncio.run(main())


@pytest.mark.slow
def test_power_loss_at_any_effect_of_a_streaming_backup_harms_nobody() -> None:
    async def prepare(files: MemoryFileSystem) -> None:
        instance, _, table = await new_store(files)
        await add(instance, table, 0, 90)
        await write_backup_set(instance, files, FULL)
        await add(instance, table, 90, 10)
        await write_backup_set(instance, files, LATER, SnapshotKind.INCREMENTAL)
        await instance.close()

    whole = memory()
    asyncio.run(prepare(whole))
    first = next(at for at, (_, path) in enumerate(whole.effects) if path.startswith("B:"))
    last = max(at for at, (_, path) in enumerate(whole.effects) if path.startswith("B:"))
    for at in range(first, last + 12, 3):
        files = MemoryFileSystem(power_loss_at=at)
        error = asyncio.run(_error_in(prepare(files)))
        assert error is None or is_power_loss(error)
        found = rows_after_start(files.after_power_loss(random.Random(at)))
        assert found == rows(0, len(found))
        assert len(found) >= 90


async def _error_in(work: Coroutine[Any, Any, object]) -> Exception | None:
    try:
        await work
    except (JetError, PowerLossError) as error:
        return error
    return None


def test_a_database_the_logs_do_not_mention_or_that_is_newer_than_them() -> None:
    backups = back_up(clean=True)

    async def put_back() -> RestoreEnvironment:
        await restore_backup_set(backups.sets, FULL, backups.files, TARGET, now=Clock(), is_last=False)
        return await read_environment(backups.files, TEMPORARY)

    environment = asyncio.run(put_back())
    data, header = backups.files.read(DATABASE), header_of(backups.files)
    options = HardRecoveryOptions(play_forward=False)

    def recovering() -> HardRecoveryReport:
        return asyncio.run(recover_restored(backups.files, TEMPORARY, now=Clock(), options=options))

    newer = replace(header, attach_position=LogPosition(90, 8, 0)).pack()
    backups.files.write(DATABASE, newer * 2 + data[2 * header.page_size :])
    assert code_of(recovering) is JetCode.ConsistentTimeMismatch
    other = replace(header, signature=Signature(5)).pack()
    trailer = replace(PatchHeader.unpack(data[-header.page_size :], path=""), signature=Signature(5))
    pages = data[2 * header.page_size : -header.page_size]
    backups.files.write(DATABASE, other * 2 + pages + trailer.pack(header.page_size))
    stranger = replace(environment.databases[0], signature=Signature(5))
    asyncio.run(write_environment(backups.files, TEMPORARY, replace(environment, databases=(stranger,))))
    assert code_of(recovering) is JetCode.ConsistentTimeMismatch


def test_a_generation_that_is_open_in_the_middle_of_the_instances_logs_is_torn() -> None:
    backups, events = back_up(), list[EngineEvent]()

    async def put_back() -> None:
        await restore_backup_set(backups.sets, FULL, backups.files, TARGET, now=Clock(), is_last=False)
        await restore_backup_set(backups.sets, LATER, backups.files, TARGET, now=Clock(), is_last=False)

    asyncio.run(put_back())
    current = backups.files.read(f"{LOGS}\\E00.log")
    backups.files.write(_existing(backups.files), current)
    with pytest.raises(JetError) as caught:
        asyncio.run(recover_restored(backups.files, TEMPORARY, now=Clock(), on_event=events.append))
    assert caught.value.code is JetCode.LogTornWriteDuringHardRecovery
    assert 461 in event_ids(events)


def test_existing_logs_with_other_generations_inside_are_refused() -> None:
    backups, events = back_up(), list[EngineEvent]()

    async def put_back() -> None:
        await restore_backup_set(backups.sets, FULL, backups.files, TARGET, now=Clock(), is_last=False)
        await restore_backup_set(backups.sets, LATER, backups.files, TARGET, now=Clock(), is_last=False)

    asyncio.run(put_back())
    environment = asyncio.run(read_environment(backups.files, TEMPORARY))
    backups.files.write(_existing(backups.files), backups.files.read(_log(backups.files, environment.generation_low)))
    with pytest.raises(JetError) as caught:
        asyncio.run(recover_restored(backups.files, TEMPORARY, now=Clock(), on_event=events.append))
    assert caught.value.code is JetCode.ExistingLogFileIsNotContiguous
    assert 437 in event_ids(events)
