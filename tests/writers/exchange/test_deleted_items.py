"""Deleted-item retention: what can be recovered, for how long, and that nothing goes before a backup has it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from vss.documents import BackupType
from vss.errors import ConfigurationError, NotFoundError
from vss_writers.exchange.deleted_items import DeletedItems
from vss_writers.exchange.mail_flow import Doubt, MailFlowState, Told
from vss_writers.exchange.options import parse_options

DAY_S = 86_400.0
RETENTION = "deleted_item_retention_days = 2"
UNTIL_BACKUP = f"{RETENTION}\nretain_until_backup = true"


async def retained(bench: Any, kit: Any) -> list[bytes]:
    return [each.content async for each in DeletedItems(bench.group).items(kit.ONE)]


def test_a_deleted_message_can_be_recovered_as_it_was(kit: Any) -> None:
    async def script(bench: Any) -> None:
        kept, gone = await bench.deliver("kept"), await bench.deliver("gone")
        folder = (await bench.messages())[1].folder_id
        await bench.mailboxes.delete(kit.ONE, gone)
        assert [each.message_id for each in await bench.messages()] == [kept]
        assert await retained(bench, kit) == [b"gone"]
        assert await DeletedItems(bench.group).recover(kit.ONE, gone) == folder
        assert [each.content for each in await bench.messages()] == [b"kept", b"gone"]
        assert await retained(bench, kit) == []
        with pytest.raises(NotFoundError, match="retains no deleted message"):
            await DeletedItems(bench.group).recover(kit.ONE, gone)

    kit.play(script, options=RETENTION)


def test_items_go_when_their_days_are_over_and_not_before(kit: Any) -> None:
    async def script(bench: Any) -> None:
        items = DeletedItems(bench.group)
        first = await bench.deliver("first")
        await bench.mailboxes.delete(kit.ONE, first)
        await bench.ports.clock.sleep(DAY_S)
        second = await bench.deliver("second")
        await bench.mailboxes.delete(kit.ONE, second)
        assert await items.purge(kit.ONE) == []
        await bench.ports.clock.sleep(DAY_S + 1)
        assert await items.purge(kit.ONE) == [first]
        assert await retained(bench, kit) == [b"second"]

    kit.play(script, options=RETENTION)


def test_many_items_go_in_several_transactions(kit: Any) -> None:
    async def script(bench: Any) -> None:
        numbers = [await bench.deliver(f"message {number}") for number in range(130)]
        for number in numbers:
            await bench.mailboxes.delete(kit.ONE, number)
        await bench.ports.clock.sleep(3 * DAY_S)
        assert await DeletedItems(bench.group).purge(kit.ONE) == numbers
        assert await retained(bench, kit) == []

    kit.play(script, options=RETENTION)


@pytest.mark.slow
@pytest.mark.parametrize("backup_type", [BackupType.FULL, BackupType.INCREMENTAL, BackupType.COPY])
def test_items_stay_until_a_backup_that_began_after_the_deletion(kit: Any, backup_type: BackupType) -> None:
    async def script(bench: Any) -> None:
        items = DeletedItems(bench.group)
        await bench.back_up()
        await bench.ports.clock.sleep(5)
        number = await bench.deliver("precious")
        await bench.mailboxes.delete(kit.ONE, number)
        await bench.ports.clock.sleep(10 * DAY_S)
        assert await items.purge(kit.ONE) == [], "the backup before the deletion does not have it"
        await bench.back_up(backup_type)
        expected = [] if backup_type is BackupType.COPY else [number]
        assert await items.purge(kit.ONE) == expected

    kit.play(script, options=UNTIL_BACKUP)


def test_nothing_is_retained_without_retention_and_nothing_goes_without_any_backup(kit: Any) -> None:
    async def without(bench: Any) -> None:
        number = await bench.deliver("gone")
        await bench.mailboxes.delete(kit.ONE, number)
        assert "DeletedItems" not in await bench.group.database(kit.ONE).table_names()

    async def never_backed_up(bench: Any) -> None:
        number = await bench.deliver("kept")
        await bench.mailboxes.delete(kit.ONE, number)
        await bench.ports.clock.sleep(10 * DAY_S)
        assert await DeletedItems(bench.group).purge(kit.ONE) == []

    kit.play(without)
    kit.play(never_backed_up, options=UNTIL_BACKUP)
    with pytest.raises(ConfigurationError, match="deleted_item_retention_days"):
        parse_options("SG1", {"deleted_item_retention_days": -1})


def test_retained_items_survive_a_crash(kit: Any) -> None:
    disks: list[Any] = []

    async def first(bench: Any) -> None:
        number = await bench.deliver("gone")
        await bench.mailboxes.delete(kit.ONE, number)
        disks.append(bench.crash())

    async def second(bench: Any) -> None:
        assert await retained(bench, kit) == [b"gone"]
        assert await bench.messages() == []

    kit.play(first, options=RETENTION)
    kit.play(second, keeper=disks[0], options=RETENTION)


@pytest.mark.slow
def test_users_delete_recover_and_find_everything_as_they_were_told(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(400)
        record = msgspec.json.decode(bench.users.state(), type=MailFlowState)
        assert any(record.deleted.values())
        assert await bench.missing() == []
        assert not record.in_doubt
        await bench.ports.clock.sleep(3 * DAY_S)
        await bench.work(120)
        oldest_ns = bench.ports.clock.wall_ns() - round((2 * DAY_S + 60) * 1e9)
        for database in (kit.ONE, kit.TWO):
            assert all([each.deleted_ns > oldest_ns async for each in DeletedItems(bench.group).items(database)])
        assert await bench.missing() == []

    kit.play(script, options=RETENTION)


def test_users_notice_what_is_not_retained_as_they_were_told(kit: Any) -> None:
    async def script(bench: Any) -> None:
        number, other = await bench.deliver("one"), await bench.deliver("two")
        await bench.mailboxes.delete(kit.ONE, number)
        record = msgspec.json.decode(bench.users.state(), type=MailFlowState)
        record.deleted = {kit.ONE: {number: Told(1, "another digest"), 77: Told(1, "")}}
        bench.users.load_state(msgspec.json.encode(record))
        problems = await bench.missing()
        assert f"{kit.ONE}: deleted message {number} is not what was deleted" in problems
        assert f"{kit.ONE}: deleted message 77 is not retained" in problems
        record.in_doubt = [Doubt(kind="recover", database=kit.ONE, message=77)]
        bench.users.load_state(msgspec.json.encode(record))
        assert f"{kit.ONE}: deleted message 77 is not retained" not in await bench.missing()
        record.in_doubt = [Doubt(kind="purge", database=kit.ONE)]
        bench.users.load_state(msgspec.json.encode(record))
        assert await bench.missing() == []
        items = bench.group.table(kit.ONE, "DeletedItems")
        async with bench.group.engine_at_work() as instance, instance.transaction() as transaction:
            await items.insert(transaction, {"MessageId": other, "FolderId": 1, "Deleted": 1})
        assert f"{kit.ONE}: message {other} is both there and deleted" in await bench.missing()

    kit.play(script, options=RETENTION)
