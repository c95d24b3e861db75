"""Backups of the store: what each type copies, what becomes of the logs, and what refuses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from vss.documents import BackupType, ComponentType, SelectedComponent, WriterComponents
from vss.errors import InconsistentSnapshotError, WriterError, WriterRetryableError, WriterTimeoutError
from vss.events import LogRolledOver, LogsTruncated
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.ids import Guid
from vss.volumes import StoreEffect
from vss_writers.exchange.storage_group import StoreError

pytestmark = pytest.mark.slow


def kinds_of(backup: Any) -> dict[str, int]:
    """How many databases, logs and checkpoints a set has."""
    found = {"edb": 0, "log": 0, "chk": 0}
    for each in backup.copied:
        found[each.path.rpartition(".")[2]] += 1
    return found


def reported(bench: Any, context: Any, succeeded: bool | None) -> Any:
    """The context with the group's component as the requestor reports it."""
    name = "Microsoft Exchange Server\\Microsoft Information Store\\MAIL"
    component = SelectedComponent(
        type=ComponentType.FILE_GROUP,
        component_name="First Storage Group",
        logical_path=name,
        backup_succeeded=succeeded,
    )
    part = WriterComponents(bench.writer.writer_class_id, bench.writer.instance_id, components=(component,))
    return replace(context, components=part)


# -- the four types ------------------------------------------------------------------------------------------------------------


def test_a_full_backup_truncates_what_lies_below_the_checkpoint(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(150)
        before = await bench.generations()
        async with bench.lab.under_load():
            backup = await bench.back_up()
        after = await bench.generations()
        told = bench.last_truncation()

        assert (backup.exit_code, backup.is_verified) == (ExitCode.OK, True)
        assert kinds_of(backup) == {
            "edb": 2,
            "log": len(before) + 3,
            "chk": 1,
        }  # one closed at the freeze, the current, the next
        assert (told.removed_first, told.removed_last, told.removed_count) == (1, after[0] - 1, after[0] - 1)
        assert told.removed_count > 0
        assert (told.kept_first, told.kept_last) == (after[0], after[-1])
        assert "checkpoint" in told.reason
        assert bench.group.instance.checkpoint.generation >= after[0]
        assert await bench.missing() == []

    kit.play(script)


def test_a_full_backup_leaves_the_entries_of_the_model_in_the_event_log(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(150)
        await bench.back_up()

        assert bench.logged() == [9600, 9606, 9811, 9608, 9610, 9612, 9622, 9780, 9616, 9618]
        assert [each for each in bench.logged("ESE") if each >= 200 and each != 325] == [2005, 2001, 2003, 224, 2006]
        assert [each.generation for each in bench.events(LogRolledOver)] == [bench.group.instance.generation]

    kit.play(script)


@pytest.mark.parametrize(
    ("backup_type", "engine_event"), [(BackupType.COPY, 2009), (BackupType.DIFFERENTIAL, 2010)], ids=["copy", "differential"]
)
def test_a_copy_and_a_differential_backup_leave_the_logs_alone(kit: Any, backup_type: BackupType, engine_event: int) -> None:
    async def script(bench: Any) -> None:
        await bench.back_up()
        await bench.work(100)
        before = await bench.generations()
        backup = await bench.back_up(backup_type)
        told = bench.last_truncation()
        after = await bench.generations()

        assert backup.exit_code == ExitCode.OK
        assert (told.removed_count, told.removed_first, told.removed_last) == (0, 0, 0)
        assert (told.kept_first, told.kept_last) == (after[0], after[-1])
        assert told.reason == f"a {backup_type.name.lower()} backup leaves the logs alone"
        assert after == [*before, before[-1] + 1]
        assert engine_event in bench.logged("ESE")
        assert (kinds_of(backup)["edb"] == 2) is (backup_type is BackupType.COPY)

    kit.play(script)


def test_an_incremental_backup_takes_logs_only_and_truncates(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(30)
        await bench.back_up()
        await bench.work(150)
        backup = await bench.back_up(BackupType.INCREMENTAL)

        assert backup.exit_code == ExitCode.OK
        assert kinds_of(backup)["edb"] == 0
        assert [each.volume for each in backup.snapshots] == ["L:"]
        assert bench.last_truncation().removed_count > 0
        assert 2008 in bench.logged("ESE")

    kit.play(script)


@pytest.mark.parametrize("backup_type", [BackupType.INCREMENTAL, BackupType.DIFFERENTIAL])
def test_without_a_full_backup_there_is_nothing_to_build_on(kit: Any, backup_type: BackupType) -> None:
    async def script(bench: Any) -> None:
        await bench.work(10)
        with pytest.raises(WriterError, match="-560") as refusal:
            await bench.back_up(backup_type)

        assert refusal.value.hresult is HResult.VSS_E_WRITERERROR_NONRETRYABLE
        assert 9609 in bench.logged()
        assert 206 in bench.logged("ESE")
        assert (await bench.back_up()).exit_code == ExitCode.OK

    kit.play(script)


def test_a_copy_is_no_base_for_an_incremental_backup(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.back_up(BackupType.COPY)

        with pytest.raises(WriterError, match="-560"):
            await bench.back_up(BackupType.INCREMENTAL)

    kit.play(script)


def test_circular_logging_refuses_incremental_backups_and_needs_no_truncation(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(100)
        backup = await bench.back_up()
        told = bench.last_truncation()

        assert backup.exit_code == ExitCode.OK
        assert (told.removed_count, told.reason) == (0, "circular logging deletes logs by itself")
        assert 225 in bench.logged("ESE")
        with pytest.raises(WriterError, match="-526"):
            await bench.back_up(BackupType.INCREMENTAL)

    kit.play(script, options="circular = true")


def test_a_log_backup_counts_as_full(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(150)
        backup = await bench.back_up(BackupType.LOG)

        assert kinds_of(backup)["edb"] == 2
        assert bench.last_truncation().removed_count > 0
        assert any("treats it as FULL" in each for each in backup.warnings)

    kit.play(script)


def test_a_type_without_meaning_is_refused(kit: Any) -> None:
    async def script(bench: Any) -> None:
        with pytest.raises(WriterError, match="no backups of type OTHER"):
            await bench.writer.on_prepare_backup(kit.Context(backup_type=BackupType.OTHER))

    kit.play(script)


# -- nothing goes without a good report ----------------------------------------------------------------------------------------


def test_a_damaged_database_fails_the_backup_and_truncates_nothing(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(150)
        before = await bench.generations()
        path = f"{kit.DATABASES}\\{kit.ONE}.edb"
        await bench.lab.flip_bit(path, 3 * 8192 + 700)
        backup = await bench.back_up()
        told = bench.last_truncation()
        after = await bench.generations()

        assert backup.exit_code == ExitCode.VERIFICATION_MISMATCH
        assert {(each.path, each.page_number, each.offset) for each in backup.findings} == {(path, 2, 3 * 8192)}
        assert (told.removed_count, told.reason) == (0, "the backup was not reported as successful")
        assert (told.kept_first, told.kept_last) == (after[0], after[-1])
        assert after == [*before, before[-1] + 1]
        assert 9782 in bench.logged()
        assert 9780 not in bench.logged()

    kit.play(script)


def test_without_backup_complete_nothing_is_truncated(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(100)
        before = await bench.generations()
        await bench.back_up(send_backup_complete=False)

        assert (await bench.generations())[: len(before)] == before
        assert bench.events(LogsTruncated) == []
        assert [each for each in bench.logged() if each in (9616, 9618)] == []
        assert (await bench.back_up()).exit_code == ExitCode.OK  # which ends the one that waits
        assert 9618 in bench.logged()
        assert 2007 in bench.logged("ESE")

    kit.play(script)


@pytest.mark.parametrize("succeeded", [None, False])
def test_an_unreported_group_keeps_its_logs(kit: Any, succeeded: bool | None) -> None:
    async def script(bench: Any) -> None:
        await bench.work(100)
        writer, context = bench.writer, kit.Context()
        await writer.on_prepare_backup(context)
        await writer.on_prepare_snapshot(context)
        await writer.on_freeze(context)
        await writer.on_thaw(context)
        await writer.on_backup_complete(reported(bench, context, succeeded))

        assert bench.last_truncation().removed_count == 0

    kit.play(script)


def test_a_requestor_that_selects_no_components_gets_no_truncation(kit: Any) -> None:
    async def script(bench: Any) -> None:
        writer, context = bench.writer, kit.Context(components=None)
        for handler in (writer.on_prepare_backup, writer.on_prepare_snapshot, writer.on_freeze, writer.on_thaw):
            await handler(context)
        await writer.on_backup_complete(context)

        assert bench.last_truncation().removed_count == 0

    kit.play(script)


def test_a_database_that_is_known_and_not_configured_keeps_all_logs(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(150)
        await bench.group.dismount()
        directory = bench.group.directory
        await directory.with_database(bench.group.host, kit.LOGS, "Retired Database")
        await bench.group.mount()
        backup = await bench.back_up()

        assert backup.exit_code == ExitCode.OK
        assert bench.last_truncation().removed_count == 0
        assert "not attached" in bench.last_truncation().reason

    kit.play(script)


# -- a store that is not there -------------------------------------------------------------------------------------------------


def test_a_dismounted_group_refuses_the_backup(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.dismount()
        with pytest.raises(WriterError, match="'First Storage Group' is dismounted") as refusal:
            await bench.back_up()

        assert refusal.value.hresult is HResult.VSS_E_WRITERERROR_NONRETRYABLE
        assert 9607 in bench.logged()
        assert 9606 not in bench.logged()

    kit.play(script)


@pytest.mark.parametrize("is_mounted_again", [False, True])
def test_a_group_that_was_dismounted_during_the_backup_counts_as_copied(kit: Any, is_mounted_again: bool) -> None:
    async def script(bench: Any) -> None:
        await bench.work(100)

        async def interfere() -> None:
            await bench.group.dismount()
            if is_mounted_again:
                await bench.group.mount()

        tasks: list[Any] = []
        bench.on(LogRolledOver, lambda event: tasks.append(asyncio.ensure_future(interfere())))
        backup = await bench.back_up()
        told = bench.last_truncation()

        assert tasks[0].done()
        assert backup.exit_code == ExitCode.OK
        assert told.removed_count == 0
        assert told.kept_first == 1
        assert "counts as a copy" in told.reason
        assert 9782 in bench.logged()

    kit.play(script)


@pytest.mark.parametrize("step", ["on_prepare_snapshot", "on_freeze", "on_thaw", "on_post_snapshot"])
def test_a_group_that_goes_down_fails_the_next_step_and_nothing_stays_frozen(kit: Any, step: str) -> None:
    async def script(bench: Any) -> None:
        writer, context = bench.writer, kit.Context()
        steps = ["on_prepare_backup", "on_prepare_snapshot", "on_freeze", "on_thaw", "on_post_snapshot"]
        for name in steps[: steps.index(step)]:
            await getattr(writer, name)(context)
        waiting = await bench.background(bench.deliver("in vain"))
        bench.group.take_down("a cable was pulled")

        with pytest.raises(WriterError, match="went down during the backup"):
            await getattr(writer, step)(context)
        await writer.on_abort(context)
        outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]

        assert step != "on_thaw" or isinstance(outcome, StoreError)
        await bench.group.mount()
        await bench.deliver("it works again")

    kit.play(script)


def test_losing_the_disk_while_frozen_lets_waiting_operations_fail_at_once(kit: Any) -> None:
    async def script(bench: Any) -> None:
        writer, context = bench.writer, kit.Context()
        for handler in (writer.on_prepare_backup, writer.on_prepare_snapshot, writer.on_freeze):
            await handler(context)
        waiting = await bench.background(bench.deliver("in vain"))
        await bench.lab.lose_volume("D:")
        await bench.lab.take_down("the disk is gone")

        with pytest.raises(StoreError, match="-1090"):
            await waiting

    kit.play(script)


# -- one at a time -------------------------------------------------------------------------------------------------------------


def test_a_second_session_is_refused_and_does_not_disturb_the_first(kit: Any) -> None:
    async def script(bench: Any) -> None:
        writer, first, second = bench.writer, kit.Context(Guid(int=1)), kit.Context(Guid(int=2))
        for handler in (writer.on_prepare_backup, writer.on_prepare_snapshot, writer.on_freeze, writer.on_thaw):
            await handler(first)
        with pytest.raises(WriterRetryableError, match="being backed up already"):
            await writer.on_prepare_backup(second)
        await writer.on_abort(second)
        await writer.on_backup_shutdown(second)
        await writer.on_backup_complete(reported(bench, first, True))

        assert "checkpoint" in bench.last_truncation().reason
        assert [each for each in bench.logged() if each in (9840, 9607)] == [9840, 9607]
        with pytest.raises(WriterError, match="is not being backed up by session"):
            await writer.on_freeze(second)

    kit.play(script)


def test_an_engine_that_is_in_another_snapshot_refuses_for_now(kit: Any) -> None:
    async def script(bench: Any) -> None:
        from vss_writers.ese.truncation import SnapshotKind

        bench.group.instance.snapshot.prepare(SnapshotKind.COPY)
        await bench.writer.on_prepare_backup(kit.Context())
        with pytest.raises(WriterRetryableError, match="-2403"):
            await bench.writer.on_prepare_snapshot(kit.Context())

    kit.play(script)


def test_a_set_without_all_volumes_is_refused(kit: Any) -> None:
    async def script(bench: Any) -> None:
        context = kit.Context(volumes=("L:",))
        await bench.writer.on_prepare_backup(context)
        with pytest.raises(InconsistentSnapshotError, match=r"lacks the volume of D:\\Exchange\\SG1"):
            await bench.writer.on_prepare_snapshot(context)

    kit.play(script)


# -- the store's own limit -----------------------------------------------------------------------------------------------------


def test_a_store_that_nobody_thaws_goes_on_by_itself_after_20_s(kit: Any) -> None:
    async def script(bench: Any) -> None:
        writer, context = bench.writer, kit.Context()
        for handler in (writer.on_prepare_backup, writer.on_prepare_snapshot, writer.on_freeze):
            await handler(context)
        frozen_ns = bench.ports.clock.now_ns()
        await bench.deliver("waits for the freeze to end")
        waited_ns = bench.ports.clock.now_ns() - frozen_ns

        assert waited_ns == 20_000_000_000
        assert 2004 in bench.logged("ESE")
        with pytest.raises(WriterTimeoutError, match="-2402"):
            await writer.on_thaw(context)
        assert bench.logged()[-1] == 9613
        await writer.on_abort(context)
        assert (await bench.back_up()).exit_code == ExitCode.OK

    kit.play(script)


def test_a_freeze_that_an_open_transaction_holds_up_is_given_up_after_20_s(kit: Any) -> None:
    async def script(bench: Any) -> None:
        writer, context = bench.writer, kit.Context()
        await writer.on_prepare_backup(context)
        await writer.on_prepare_snapshot(context)
        async with bench.group.instance.transaction():
            with pytest.raises(WriterTimeoutError, match="did not stop writing in time"):
                await writer.on_freeze(context)
        await writer.on_abort(context)

        assert 9611 in bench.logged()
        assert (await bench.back_up()).exit_code == ExitCode.OK

    kit.play(script)


def test_the_coordinator_aborts_a_writer_that_outstays_its_own_limit(kit: Any) -> None:
    async def script(bench: Any) -> None:
        async with bench.lab.under_load():
            with pytest.raises(WriterError, match="frozen longer than 20 s"):
                await bench.back_up()
            backup = await bench.back_up()

        assert backup.exit_code == ExitCode.OK
        assert 2007 in bench.logged("ESE")
        assert await bench.missing() == []

    kit.play(script, limits="windows", faults=["fault writer.thaw times=1 hang"])


# -- disks that fail -----------------------------------------------------------------------------------------------------------


def test_a_log_disk_that_fails_at_the_freeze_takes_the_group_down(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("before")
        await bench.writer.on_prepare_backup(kit.Context())
        await bench.writer.on_prepare_snapshot(kit.Context())
        disks.fail("L:", StoreEffect.WRITE_ERROR)
        with pytest.raises(WriterError, match="-510") as refusal:
            await bench.writer.on_freeze(kit.Context())
        disks.heal("L:")
        await bench.writer.on_abort(kit.Context())

        assert refusal.value.hresult is HResult.VSS_E_WRITERERROR_NONRETRYABLE
        assert not bench.group.is_mounted
        assert bench.logged()[-3:] == [9518, 9611, 9614]
        await bench.group.mount()
        assert [each.content for each in await bench.messages()] == [b"before"]

    disks = kit.FaultyKeeper()
    kit.play(script, disks=disks)


def test_a_full_log_disk_at_the_freeze_is_out_of_resources(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.writer.on_prepare_backup(kit.Context())
        await bench.writer.on_prepare_snapshot(kit.Context())
        disks.fail("L:", StoreEffect.FULL)
        with pytest.raises(WriterError) as refusal:
            await bench.writer.on_freeze(kit.Context())
        disks.heal("L:")

        assert refusal.value.hresult is HResult.VSS_E_WRITERERROR_OUTOFRESOURCES

    disks = kit.FaultyKeeper()
    kit.play(script, disks=disks)


async def reach_backup_complete(bench: Any, context: Any) -> Any:
    """Bring the writer to where its logs go; return what BackupComplete is told."""
    writer = bench.writer
    for handler in (writer.on_prepare_backup, writer.on_prepare_snapshot, writer.on_freeze, writer.on_thaw):
        await handler(context)
    return reported(bench, context, True)


@pytest.mark.parametrize("volume", ["L:", "D:"])
def test_a_disk_that_fails_at_backup_complete_fails_it_and_the_next_backup_works(kit: Any, volume: str) -> None:
    async def script(bench: Any) -> None:
        await bench.work(150)
        context = await reach_backup_complete(bench, kit.Context())
        before = await bench.generations()
        disks.fail(volume, StoreEffect.WRITE_ERROR)
        with pytest.raises(WriterError):
            await bench.writer.on_backup_complete(context)
        disks.heal(volume)
        told = bench.last_truncation()

        assert 9617 in bench.logged()
        assert told.removed_count > 0
        assert (told.kept_first, told.kept_last) == (before[told.removed_count], before[-1])
        await bench.lab.take_down("its disk failed")
        await bench.group.mount()
        assert (await bench.back_up()).exit_code == ExitCode.OK
        assert await bench.missing() == []

    disks = kit.FaultyKeeper()
    kit.play(script, disks=disks)


def test_an_abort_of_an_engine_that_is_gone_leaves_the_next_one_alone(kit: Any) -> None:
    async def script(bench: Any) -> None:
        for handler in (bench.writer.on_prepare_backup, bench.writer.on_prepare_snapshot, bench.writer.on_freeze):
            await handler(kit.Context())
        bench.group.take_down("a cable was pulled")
        await bench.group.mount()
        await bench.writer.on_abort(kit.Context())

        assert bench.group.is_mounted
        await bench.deliver("it works")

    kit.play(script)


@pytest.mark.parametrize("ending", ["on_thaw", "on_abort", "timer"])
def test_headers_that_cannot_be_written_at_the_end_of_a_freeze_take_the_group_down(kit: Any, ending: str) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("before")
        for handler in (bench.writer.on_prepare_backup, bench.writer.on_prepare_snapshot, bench.writer.on_freeze):
            await handler(kit.Context())
        disks.fail("D:", StoreEffect.WRITE_ERROR)
        if ending == "timer":
            await asyncio.sleep(21)
        else:
            with pytest.raises(WriterError):
                await getattr(bench.writer, ending)(kit.Context())
        disks.heal("D:")
        assert not bench.group.is_mounted
        await bench.writer.on_abort(kit.Context())
        await bench.group.mount()

        assert [each.content for each in await bench.messages()] == [b"before"]
        assert (await bench.back_up()).exit_code == ExitCode.OK

    disks = kit.FaultyKeeper()
    kit.play(script, disks=disks)
