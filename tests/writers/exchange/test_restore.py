"""Restores: refusals, roll-forward, chains of sets, and every acknowledged message afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from vss.documents import BackupType
from vss.errors import RestoreRefusedError
from vss.events import FileCopied, FileRestored, RecoveryFinished, WriterFroze, WriterThawed
from vss.exit_codes import ExitCode
from vss_writers.exchange.mail_flow import MailFlowState

pytestmark = pytest.mark.slow


def remembered(bench: Any) -> bytes:
    """The users' record as it is now."""
    state: bytes = bench.users.state()
    return state


async def differences(bench: Any, record: bytes) -> list[str]:
    """Compare the store with an earlier record."""
    now = bench.users.state()
    bench.users.load_state(record)
    try:
        found: list[str] = await bench.missing()
        return found
    finally:
        bench.users.load_state(now)


# -- refusals ------------------------------------------------------------------------------------------------------------------


def test_a_mounted_group_refuses(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(20)
        backup = await bench.back_up()
        before = await bench.log_names()
        with pytest.raises(RestoreRefusedError, match="'First Storage Group' is mounted: dismount it"):
            await bench.restore(backup)

        assert await bench.log_names() == before
        assert bench.group.is_mounted
        assert await bench.missing() == []

    kit.play(script)


def test_databases_that_are_not_flagged_are_not_replaced(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(20)
        backup = await bench.back_up()
        await bench.work(10)
        await bench.dismount()
        with pytest.raises(RestoreRefusedError, match="not flagged 'can be overwritten by a restore'"):
            await bench.restore(backup)

        assert bench.events(FileRestored) == []
        await bench.group.mount()
        assert await bench.missing() == []

    kit.play(script)


def test_a_group_that_was_not_selected_is_left_alone(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.writer.on_pre_restore(kit.Context())
        await bench.writer.on_post_restore(kit.Context())

        assert bench.group.is_mounted

    kit.play(script)


# -- roll-forward --------------------------------------------------------------------------------------------------------------


def test_every_acknowledged_message_is_there_after_the_database_disk_was_lost(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(60)
        async with bench.lab.under_load():
            backup = await bench.back_up()
        await bench.work(60)
        await bench.lose("D:")
        restore = await bench.restore(backup)

        assert restore.exit_code == ExitCode.OK
        assert await bench.missing() == []
        assert bench.events(RecoveryFinished)[-1].records_redone > 0
        assert not bench.group.directory.can_be_overwritten
        await bench.work(20)
        assert await bench.missing() == []

    kit.play(script)


def test_a_flagged_group_is_restored_over_and_rolled_forward(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(40)
        backup = await bench.back_up()
        await bench.work(40)
        await bench.allow_overwriting()
        restore = await bench.restore(backup)

        assert restore.exit_code == ExitCode.OK
        assert await bench.missing() == []

    kit.play(script)


def test_losing_the_database_disk_while_users_are_at_work_loses_nothing_acknowledged(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(40)
        backup = await bench.back_up()
        async with bench.lab.under_load():
            await asyncio.sleep(30)
            await bench.lab.lose_volume("D:")
            await asyncio.sleep(30)
        assert not bench.group.is_mounted
        assert bench.users.report()["failures"] > 0
        assert "cannot be compared" in (await bench.missing())[0]
        await bench.lab.replace_volume("D:")
        await bench.restore(backup)

        assert await bench.missing() == []

    kit.play(script)


def test_a_store_that_goes_down_in_the_middle_of_operations_keeps_what_was_acknowledged(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.mailboxes.ensure_folder(kit.ONE, "somebody", "Inbox")
        operations = [await bench.background(bench.deliver(f"message {number}")) for number in range(20)]
        await asyncio.sleep(0.03)
        await bench.lab.take_down("a cable was pulled")
        outcomes = await asyncio.gather(*operations, return_exceptions=True)
        await bench.group.mount()
        there = [each.message_id for each in await bench.messages()]

        assert any(isinstance(each, int) for each in outcomes)
        assert [each for each in outcomes if isinstance(each, int) and each not in there] == []

    kit.play(script, faults=["fault volume.write when=volume:L: times=always delay=5ms"])


def test_restoring_twice_gives_the_same_store(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(30)
        backup = await bench.back_up()
        await bench.work(30)
        for _ in range(2):
            await bench.lose("D:")
            assert (await bench.restore(backup)).exit_code == ExitCode.OK
            assert await bench.missing() == []
            await bench.work(10)
        await bench.allow_overwriting()
        assert (await bench.restore(backup)).exit_code == ExitCode.OK

        assert await bench.missing() == []

    kit.play(script)


def test_an_older_set_rolls_forward_too_while_no_log_is_missing(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(30)
        old = await bench.back_up(BackupType.COPY)
        await bench.work(30)
        await bench.back_up(BackupType.COPY)
        await bench.work(30)
        await bench.lose("D:")
        await bench.restore(old)

        assert await bench.missing() == []

    kit.play(script)


def test_a_gap_between_set_and_logs_is_refused_and_the_newer_set_still_works(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(150)
        old = await bench.back_up()
        await bench.work(250)
        new = await bench.back_up()
        await bench.work(20)
        await bench.lose("D:")
        refused = await bench.restore(old)

        assert refused.exit_code == ExitCode.WARNINGS
        assert "-528" in refused.components[0].reason
        assert not bench.group.is_mounted
        assert (await bench.restore(new)).exit_code == ExitCode.OK
        assert await bench.missing() == []

    kit.play(script)


# -- logs lost too -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [("D:", "L:"), ("L:",)], ids=["both", "logs"])
def test_without_the_logs_the_store_comes_back_as_of_the_freeze(kit: Any, lost: tuple[str, ...]) -> None:
    async def script(bench: Any) -> None:
        records: list[bytes] = []
        bench.on(WriterFroze, lambda event: records.append(remembered(bench)))
        await bench.work(40)
        async with bench.lab.under_load():
            backup = await bench.back_up()
        await bench.work(40)
        await bench.lose(*lost)
        if "D:" not in lost:
            await bench.allow_overwriting()
        restore = await bench.restore(backup)

        assert restore.exit_code == ExitCode.OK
        assert await differences(bench, records[0]) == []
        assert await bench.missing() != []
        await bench.deliver("it works")
        assert (await bench.back_up()).exit_code == ExitCode.OK

    kit.play(script)


def test_logs_of_a_stream_that_began_anew_are_kept_apart(kit: Any) -> None:
    disks: list[Any] = []
    files: list[Any] = []
    sets: list[Any] = []
    records: list[bytes] = []

    async def first(bench: Any) -> None:
        await bench.work(40)
        sets.append(await bench.back_up())
        records.append(remembered(bench))
        await bench.lose("L:")
        files.append(bench.ports.files)
        disks.append(bench.crash())

    async def second(bench: Any) -> None:
        assert not bench.group.is_mounted  # the databases are dirty and their logs are gone
        await bench.allow_overwriting()
        restore = await bench.restore(sets[0])

        assert restore.exit_code == ExitCode.OK
        assert await differences(bench, records[0]) == []
        assert "_unusedLogs1" in await bench.lab.files.list_directory(kit.LOGS)
        assert bench.logged().count(9518) >= 1

    kit.play(first)
    kit.play(second, keeper=disks[0], files=files[0], seed=8)


def test_a_branch_that_went_on_from_an_older_restore_is_kept_apart(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(30)
        old = await bench.back_up(BackupType.COPY)
        await bench.work(150)
        new = await bench.back_up(BackupType.COPY)
        record = remembered(bench)
        await bench.lose("D:", "L:")
        await bench.restore(old)
        for number in range(150):
            await bench.deliver(f"of another history {number} " * 60)
        await bench.allow_overwriting()
        restore = await bench.restore(new)

        assert restore.exit_code == ExitCode.OK
        assert await differences(bench, record) == []
        assert all(b"another history" not in each.content for each in await bench.messages())

    kit.play(script)


# -- chains of sets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [("D:",), ("D:", "L:")], ids=["databases", "both"])
@pytest.mark.parametrize("kind", [BackupType.INCREMENTAL, BackupType.DIFFERENTIAL])
def test_a_full_set_and_those_after_it_are_restored_one_after_the_other(
    kit: Any, lost: tuple[str, ...], kind: BackupType
) -> None:
    async def script(bench: Any) -> None:
        await bench.work(60)
        chain = [await bench.back_up()]
        for _ in range(2):
            await bench.work(90)
            chain.append(await bench.back_up(kind))
        record = remembered(bench)
        await bench.work(20)
        await bench.lose(*lost)
        if kind is BackupType.DIFFERENTIAL:
            del chain[1]
        for number, backup in enumerate(chain, start=1):
            restore = await bench.restore(backup, additional_restores=number < len(chain))
            assert restore.exit_code == ExitCode.OK
            assert bench.group.is_mounted is (number == len(chain))

        assert await (bench.missing() if lost == ("D:",) else differences(bench, record)) == []

    kit.play(script)


def test_a_restart_between_two_sets_of_a_chain_does_not_mount_half_a_restore(kit: Any) -> None:
    disks: list[Any] = []
    files: list[Any] = []
    chain: list[Any] = []
    records: list[bytes] = []

    async def first(bench: Any) -> None:
        await bench.work(60)
        chain.append(await bench.back_up())
        await bench.work(60)
        chain.append(await bench.back_up(BackupType.INCREMENTAL))
        await bench.work(20)
        records.append(remembered(bench))
        await bench.lose("D:")
        await bench.restore(chain[0], additional_restores=True)
        files.append(bench.ports.files)
        disks.append(bench.crash())

    async def second(bench: Any) -> None:
        assert not bench.group.is_mounted
        restore = await bench.restore(chain[1])

        assert restore.exit_code == ExitCode.OK
        assert await differences(bench, records[0]) == []

    kit.play(first)
    kit.play(second, keeper=disks[0], files=files[0])


# -- restores that go wrong ----------------------------------------------------------------------------------------------------


def test_a_restore_that_copied_nothing_leaves_the_store_as_it_was(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(40)
        backup = await bench.back_up()
        await bench.work(40)
        await bench.allow_overwriting()
        failed = await bench.restore(backup)

        assert failed.exit_code != ExitCode.OK
        assert failed.components[0].status == "NONE"
        await bench.group.mount()
        assert await bench.missing() == []

    kit.play(script, faults=["fault restore.write times=1 fail"])


def test_a_group_that_cannot_be_recovered_after_a_restore_says_why_and_may_be_restored_again(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(40)
        backup = await bench.back_up()
        await bench.work(10)
        await bench.lose("D:")
        current = f"{kit.LOGS}\\E00.log"
        good = await bench.read(current)
        await bench.write(current, good[:4096] + b"\xff" * 4096 + good[8192:])
        refused = await bench.restore(backup)

        assert "-501" in refused.components[0].reason
        assert not bench.group.is_mounted
        assert bench.group.directory.can_be_overwritten
        await bench.write(current, good)
        assert (await bench.restore(backup)).exit_code == ExitCode.OK
        assert await bench.missing() == []

    kit.play(script)


def test_a_crash_between_taking_files_back_and_mounting_is_finished_at_the_next_mount(kit: Any) -> None:
    disks: list[Any] = []
    records: list[bytes] = []

    async def first(bench: Any) -> None:
        await bench.work(40)
        backup = await bench.back_up()
        await bench.work(40)
        records.append(remembered(bench))
        await bench.lose("D:")
        restored = len(backup.copied)

        def crash(event: Any) -> None:
            if len(bench.events(FileRestored)) == restored:
                disks.append(bench.crash())

        bench.on(FileRestored, crash)
        await bench.restore(backup)

    async def second(bench: Any) -> None:
        await bench.group.mount()

        assert bench.group.is_mounted
        assert await differences(bench, records[0]) == []
        assert "_existingLogs" not in await bench.lab.files.list_directory(kit.LOGS)

    kit.play(first)
    kit.play(second, keeper=disks[0])


# -- the copy is the shadow copy's ---------------------------------------------------------------------------------------------


def test_the_set_is_made_of_the_shadow_copies_alone(kit: Any) -> None:
    """Right after the thaw every original is overwritten; what is copied, verified and restored is as of the freeze."""

    async def script(bench: Any) -> None:
        records: list[bytes] = []
        destroyed: list[Any] = []
        copied_too_early: list[str] = []

        async def destroy() -> None:
            for directory in (kit.DATABASES, kit.LOGS):
                for name in await bench.lab.files.list_directory(directory):
                    path = f"{directory}\\{name}"
                    size = (await bench.lab.files.stat(path)).size_bytes
                    await bench.write(path, b"\xff" * size)

        bench.on(WriterFroze, lambda event: records.append(remembered(bench)))
        bench.on(WriterThawed, lambda event: destroyed.append(asyncio.ensure_future(destroy())))
        bench.on(FileCopied, lambda event: copied_too_early.extend([] if destroyed[0].done() else [event.path]))
        await bench.work(60)
        backup = await bench.back_up()

        assert destroyed[0].done()
        assert copied_too_early == []
        assert (await bench.read(f"{kit.DATABASES}\\{kit.ONE}.edb"))[16384:24576] == b"\xff" * 8192
        assert backup.is_verified
        assert backup.findings == ()
        assert {each.source for each in bench.events(FileCopied)} == {"shadow copy"}
        await bench.lose("D:", "L:")
        restore = await bench.restore(backup)

        assert restore.exit_code == ExitCode.OK
        assert msgspec.json.decode(records[0], type=MailFlowState).messages
        assert await differences(bench, records[0]) == []

    kit.play(script)
