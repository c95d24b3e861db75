"""Mounting, dismounting and what the group survives."""

from __future__ import annotations

from typing import Any

import pytest

from vss.documents import BackupType
from vss.errors import BadStateError, NotFoundError
from vss.events import DatabaseDismounted, DatabaseMounted
from vss.exit_codes import ExitCode
from vss.volumes import StoreEffect
from vss_writers.ese.errors import JetCode
from vss_writers.exchange.storage_group import StoreError

PAGE = 8192


async def deliver_until_refused(bench: Any, kept: list[int], text: str) -> StoreError:
    """Deliver one message after the other into ``kept``; return what ended that."""
    for _ in range(5000):
        try:
            kept.append(await bench.deliver(text))
        except StoreError as error:
            return error
    raise AssertionError("the store was never refused anything")


def test_a_new_group_gets_its_databases(kit: Any) -> None:
    async def script(bench: Any) -> None:
        assert [each.database for each in bench.events(DatabaseMounted)] == [kit.ONE, kit.TWO]
        assert sorted(bench.group.directory.databases) == [kit.ONE, kit.TWO]
        assert [each["state"] for each in bench.writer.describe()["databases"]] == ["mounted", "mounted"]
        assert bench.writer.describe()["generation"] == bench.group.instance.generation
        await bench.group.mount()  # harmless
        assert len(bench.events(DatabaseMounted)) == 2

    kit.play(script)


def test_what_was_delivered_is_there_after_a_clean_restart(kit: Any) -> None:
    async def first(bench: Any) -> None:
        await bench.deliver("kept")

    async def second(bench: Any) -> None:
        assert [each.content for each in await bench.messages()] == [b"kept"]

    disks = kit.MemoryKeeper()
    kit.play(first, disks=disks)
    kit.play(second, keeper=disks)


def test_a_group_that_the_administrator_keeps_down_stays_down_over_a_restart(kit: Any) -> None:
    async def first(bench: Any) -> None:
        await bench.dismount()
        await bench.group.dismount()  # harmless
        assert bench.events(DatabaseDismounted)[-1].state == "Clean Shutdown"

    async def second(bench: Any) -> None:
        assert not bench.group.is_mounted
        assert bench.writer.describe()["checkpoint"] == ""
        await bench.group.mount()

    async def third(bench: Any) -> None:
        assert bench.group.is_mounted

    disks = kit.MemoryKeeper()
    kit.play(first, disks=disks)
    kit.play(second, keeper=disks)
    kit.play(third, keeper=disks)


@pytest.mark.slow
def test_a_crash_loses_nothing_acknowledged(kit: Any) -> None:
    disks: list[Any] = []

    async def first(bench: Any) -> None:
        for number in range(5):
            await bench.deliver(f"message {number}")
        disks.append(bench.crash())

    async def second(bench: Any) -> None:
        assert [each.content for each in await bench.messages()] == [b"message %d" % number for number in range(5)]

    kit.play(first)
    kit.play(second, keeper=disks[0])


def test_a_database_whose_file_is_gone_is_not_made_anew(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("precious")
        await bench.dismount()
        await bench.lab.files.remove(f"{kit.DATABASES}\\{kit.TWO}.edb")
        with pytest.raises(StoreError, match=kit.TWO):
            await bench.group.mount()

        assert not bench.group.is_mounted
        assert not await bench.lab.files.exists(f"{kit.DATABASES}\\{kit.TWO}.edb")

    kit.play(script)


def test_a_database_made_right_before_a_crash_is_taken_up(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("kept")
        await bench.group.dismount()
        await bench.lab.files.remove(f"{kit.LOGS}\\directory.json")  # as if the machine had stopped before it was written
        await bench.group.mount()

        assert [each.content for each in await bench.messages()] == [b"kept"]
        assert sorted(bench.group.directory.databases) == [kit.ONE, kit.TWO]

    kit.play(script)


def test_a_file_that_is_no_database_is_not_overwritten(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.group.dismount()
        await bench.lab.files.remove(f"{kit.LOGS}\\directory.json")
        await bench.write(f"{kit.DATABASES}\\{kit.ONE}.edb", b"somebody's text")
        with pytest.raises(StoreError) as refusal:
            await bench.group.mount()

        assert refusal.value.code is JetCode.DatabaseCorrupted
        assert await bench.read(f"{kit.DATABASES}\\{kit.ONE}.edb") == b"somebody's text"

    kit.play(script)


def test_a_database_that_cannot_be_made_keeps_the_group_down(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.dismount()
        await bench.lab.files.remove(f"{kit.LOGS}\\directory.json")
        for name in (kit.ONE, kit.TWO):
            await bench.lab.files.remove(f"{kit.DATABASES}\\{name}.edb")
        disks.fail("D:", StoreEffect.WRITE_ERROR)
        with pytest.raises(StoreError, match="cannot be mounted"):
            await bench.group.mount()
        disks.heal("D:")

        assert not bench.group.is_mounted

    disks = kit.FaultyKeeper()
    kit.play(script, disks=disks)


def test_a_damaged_header_keeps_the_group_down_and_names_the_file(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.dismount()
        path = f"{kit.DATABASES}\\{kit.TWO}.edb"
        good = await bench.read(path)
        await bench.write(path, b"\xff" * 2 * PAGE + good[2 * PAGE :])
        with pytest.raises(StoreError, match=kit.TWO):
            await bench.group.mount()
        assert 9518 in bench.logged()
        await bench.write(path, good)
        await bench.group.mount()

    kit.play(script)


def test_a_damaged_page_fails_what_meets_it_and_nothing_else(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("in the other database", kit.TWO)
        path = f"{kit.DATABASES}\\{kit.ONE}.edb"
        await bench.group.dismount()
        before = await bench.read(path)
        await bench.group.mount()
        await bench.deliver("in this one")
        await bench.group.dismount()
        after = bytearray(await bench.read(path))
        for at in range(2 * PAGE, len(after), PAGE):
            if after[at : at + PAGE] != before[at : at + PAGE]:
                after[at + 100 : at + 200] = b"\xa5" * 100
        await bench.write(path, bytes(after))
        await bench.group.mount()
        with pytest.raises(StoreError) as refusal:
            await bench.messages()

        assert refusal.value.code is JetCode.ReadVerifyFailure
        assert bench.group.is_mounted
        assert [each.content for each in await bench.messages(kit.TWO)] == [b"in the other database"]
        found = await bench.missing()
        assert found[0].startswith(f"{kit.ONE}: cannot be compared")
        assert len(found) == 1

    kit.play(script)


def test_a_damaged_directory_keeps_the_group_down_and_is_not_overwritten(kit: Any) -> None:
    async def first(bench: Any) -> None:
        await bench.group.dismount()
        await bench.write(f"{kit.LOGS}\\directory.json", b"{damaged")

    async def second(bench: Any) -> None:
        assert not bench.group.is_mounted
        assert 9518 in bench.logged()
        with pytest.raises(Exception, match="is damaged"):
            await bench.dismount()
        assert await bench.read(f"{kit.LOGS}\\directory.json") == b"{damaged"

    disks = kit.MemoryKeeper()
    kit.play(first, disks=disks)
    kit.play(second, keeper=disks)


def test_a_group_whose_volume_is_lost_at_the_start_stays_down(kit: Any) -> None:
    async def first(bench: Any) -> None:
        await bench.lab.lose_volume("L:")

    async def second(bench: Any) -> None:
        assert not bench.group.is_mounted
        assert await bench.generations() == []
        assert "cannot be compared" in (await bench.missing())[0]

    disks = kit.MemoryKeeper()
    kit.play(first, disks=disks)
    kit.play(second, keeper=disks)


def test_asking_for_what_is_not_there_says_what_is(kit: Any) -> None:
    async def script(bench: Any) -> None:
        with pytest.raises(NotFoundError, match="has no database 'Three': found Mailbox Database 1, Mailbox Database 2"):
            await bench.messages("Three")
        await bench.group.dismount()
        with pytest.raises(BadStateError, match="'Mailbox Database 1' is not mounted"):
            bench.group.table(kit.ONE, "Messages")
        with pytest.raises(BadStateError, match="'First Storage Group' is not mounted"):
            await bench.messages()

    kit.play(script)


@pytest.mark.parametrize("volume", ["L:", "D:"])
def test_a_disk_that_fails_takes_the_group_down_and_mounting_recovers(kit: Any, volume: str) -> None:
    async def script(bench: Any) -> None:
        kept = [await bench.deliver(f"message {number} " * 200) for number in range(5)]
        disks.fail(volume, StoreEffect.WRITE_ERROR)
        await deliver_until_refused(bench, kept, "more " * 500)
        disks.heal(volume)
        assert not bench.group.is_mounted
        await bench.group.mount()
        there = [each.message_id for each in await bench.messages()]

        assert [each for each in kept if each not in there] == []

    disks = kit.FaultyKeeper()
    kit.play(script, disks=disks)


@pytest.mark.slow
def test_a_full_log_disk_refuses_changes_until_a_full_backup_has_made_room(kit: Any) -> None:
    async def script(bench: Any) -> None:
        kept: list[int] = []
        refusal = await deliver_until_refused(bench, kept, "a long message " * 400)
        assert refusal.code is JetCode.LogDiskFull
        assert bench.group.is_mounted
        assert [each.message_id for each in await bench.messages()] == kept
        assert 428 in bench.logged("ESE")
        backup = await bench.back_up(BackupType.FULL)
        assert backup.exit_code == ExitCode.OK
        assert bench.last_truncation().removed_count > 0
        await bench.group.dismount()
        await bench.group.mount()
        kept.append(await bench.deliver("there is room again"))

        assert [each.message_id for each in await bench.messages()] == kept

    kit.play(script, log_volume="3 MiB")


def test_an_operation_of_an_engine_that_is_gone_does_not_take_the_next_one_down(kit: Any) -> None:
    async def script(bench: Any) -> None:
        async def outlive() -> None:
            async with bench.group.engine_at_work() as instance:
                bench.group.take_down("a cable was pulled")
                await bench.group.mount()
                instance.check_running()

        with pytest.raises(StoreError, match="-1090"):
            await outlive()
        assert bench.group.is_mounted
        bench.group.take_down("again")
        bench.group.take_down("harmless")

    kit.play(script)


def test_a_dismount_that_fails_is_a_crash(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("kept")
        disks.fail("D:", StoreEffect.WRITE_ERROR)
        await bench.group.dismount()
        disks.heal("D:")

        assert bench.events(DatabaseDismounted)[-1].state == "Dirty Shutdown"
        await bench.group.mount()
        assert [each.content for each in await bench.messages()] == [b"kept"]

    disks = kit.FaultyKeeper()
    kit.play(script, disks=disks)
