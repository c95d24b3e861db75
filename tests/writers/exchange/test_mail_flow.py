"""The users: what they remember, what is in doubt, and what they find wrong."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from vss.errors import BadStateError, ConfigurationError, NotFoundError
from vss.testing import StubWriter
from vss.volumes import StoreEffect
from vss_writers.exchange.mail_flow import Doubt, MailFlowState, Told, make_mail_flow
from vss_writers.exchange.storage_group import StoreError


def record_of(bench: Any) -> MailFlowState:
    return msgspec.json.decode(bench.users.state(), type=MailFlowState)


def remember(bench: Any, record: MailFlowState) -> None:
    bench.users.load_state(msgspec.json.encode(record))


@pytest.mark.slow
def test_users_are_told_of_every_operation(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(60)
        report = bench.users.report()

        assert report["operations"] > 30
        assert report["failures"] == 0
        assert report["messages"] == len(await bench.messages(kit.ONE)) + len(await bench.messages(kit.TWO))
        assert await bench.missing() == []

    kit.play(script)


def test_the_record_survives_a_restart(kit: Any) -> None:
    records: list[Any] = []

    async def first(bench: Any) -> None:
        await bench.work(20)
        records.append(bench.users.state())

    async def second(bench: Any) -> None:
        assert bench.users.state() == records[0]
        assert await bench.missing() == []

    disks = kit.MemoryKeeper()
    kit.play(first, disks=disks)
    kit.play(second, keeper=disks)


def test_users_stop_when_they_are_told_to(kit: Any) -> None:
    async def script(bench: Any) -> None:
        working = await bench.background(bench.users.run_until(1 << 62))
        await asyncio.sleep(5)
        await bench.users.stop()
        await working

    kit.play(script)


def test_a_quiet_spell_between_two_operations_is_an_idle_moment_of_the_store(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("written in the quiet")
        quiet = await bench.background(bench.users._is_stopped_in_pause(95))
        await asyncio.sleep(25)
        assert bench.group.describe()["page_writes"]["idle"] == 0
        await asyncio.sleep(10)
        first = bench.group.describe()["page_writes"]["idle"]
        assert first > 0
        await bench.deliver("in the next spell")
        await quiet
        writes = bench.group.describe()["page_writes"]
        assert writes["idle"] > first
        await bench.group.dismount()
        assert bench.group.describe()["page_writes"] == {}
        await bench.group.idle()
        working = await bench.background(bench.users._is_stopped_in_pause(1000))
        await asyncio.sleep(1)
        await bench.users.stop()
        await working

    kit.play(script)


@pytest.mark.slow
def test_users_wait_while_the_store_is_down_and_nothing_is_in_doubt(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(10)
        await bench.group.dismount()
        await bench.work(10)
        assert bench.users.report()["failures"] > 0
        assert record_of(bench).in_doubt == []
        await bench.group.mount()

        assert await bench.missing() == []

    kit.play(script)


@pytest.mark.slow
def test_what_the_store_does_not_have_or_has_too_much_is_found(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(40)
        record = record_of(bench)
        known = record.messages[kit.ONE]
        lost, moved, changed, forgotten = list(known)[:4]
        elsewhere = next(each for each in record.folders[kit.ONE].values() if each != known[moved].folder)
        await bench.mailboxes.delete(kit.ONE, lost)
        await bench.mailboxes.move(kit.ONE, moved, elsewhere)
        was = known[moved].folder
        known[changed] = Told(known[changed].folder, "0" * 64)
        del known[forgotten]
        remember(bench, record)
        found = await bench.missing()

        assert f"{kit.ONE}: acknowledged message {lost} is missing" in found
        assert f"{kit.ONE}: message {moved} is in folder {elsewhere}, acknowledged was {was}" in found
        assert any(each.startswith(f"{kit.ONE}: message {changed} has digest") for each in found)
        assert f"{kit.ONE}: message {forgotten} was never delivered, or deleted, and is there" in found
        assert len(found) == 4

    kit.play(script)


@pytest.mark.slow
def test_either_outcome_of_an_operation_in_doubt_is_right(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(40)
        record = record_of(bench)
        known = record.messages[kit.ONE]
        deleted, moved, delivered, untouched = list(known)[:4]
        elsewhere = next(each for each in record.folders[kit.ONE].values() if each != known[moved].folder)
        await bench.mailboxes.delete(kit.ONE, deleted)
        await bench.mailboxes.move(kit.ONE, moved, elsewhere)
        record.in_doubt += [
            Doubt(kind="delete", database=kit.ONE, message=deleted),
            Doubt(kind="move", database=kit.ONE, message=moved, folder=elsewhere),
            Doubt(kind="deliver", database=kit.ONE, digest=known.pop(delivered).digest),
            Doubt(kind="delete", database=kit.ONE, message=untouched),
        ]
        remember(bench, record)

        assert await bench.missing() == []

    kit.play(script)


def test_mail_of_others_is_none_of_their_business(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(10)
        await bench.deliver("loaded from a file")

        assert await bench.missing() == []

    kit.play(script)


@pytest.mark.slow
def test_an_operation_that_fails_is_in_doubt_until_one_on_the_same_message_succeeds(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(30)
        message = next(iter(record_of(bench).messages[kit.ONE]))
        disks.fail("L:", StoreEffect.WRITE_ERROR)
        with pytest.raises(StoreError):
            await bench.users._delete(kit.ONE, message)
        disks.heal("L:")
        assert record_of(bench).in_doubt == [Doubt(kind="delete", database=kit.ONE, message=message)]
        await bench.group.mount()
        await bench.users._delete(kit.ONE, message)

        assert record_of(bench).in_doubt == []
        assert await bench.missing() == []

    disks = kit.FaultyKeeper()
    kit.play(script, disks=disks)


def test_what_the_store_refuses_for_good_is_not_in_doubt(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(30)
        message = next(iter(record_of(bench).messages[kit.ONE]))
        await bench.mailboxes.delete(kit.ONE, message)
        with pytest.raises(NotFoundError, match=f"has no message {message}"):
            await bench.users._delete(kit.ONE, message)
        await bench.group.dismount()
        with pytest.raises(BadStateError):
            await bench.users._deliver(kit.ONE)

        assert record_of(bench).in_doubt == []

    kit.play(script)


def test_a_store_that_is_down_cannot_be_compared(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(10)
        await bench.group.dismount()

        assert await bench.missing() == [
            f"{name}: cannot be compared: storage group 'First Storage Group' is not mounted" for name in (kit.ONE, kit.TWO)
        ]

    kit.play(script)


def test_a_damaged_record_is_refused_by_name(kit: Any) -> None:
    async def script(bench: Any) -> None:
        with pytest.raises(ConfigurationError, match="record of workload 'users' is damaged"):
            bench.users.load_state(b"{")

    kit.play(script)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"writer": "SG1", "mailboxen": 3}, "options of workload 'users': .*mailboxen"),
        ({"writer": "SG1", "mailboxes": 0}, "expected at least one mailbox"),
        ({"writer": "SG1", "operations_per_minute": 0}, "expected at least one mailbox and some operations"),
        ({"writer": "other"}, "writer 'other' is no Exchange-like store"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    host = SimpleNamespace(name="users", writer=lambda name: StubWriter(name))

    with pytest.raises(ConfigurationError, match=message):
        make_mail_flow(host, options)


def test_a_folder_is_made_once(kit: Any) -> None:
    async def script(bench: Any) -> None:
        ids = await asyncio.gather(*(bench.mailboxes.ensure_folder(kit.ONE, "somebody", "Inbox") for _ in range(3)))
        other = await bench.mailboxes.ensure_folder(kit.ONE, "somebody", "Archive")

        assert ids == [ids[0]] * 3
        assert other != ids[0]
        assert [(each.mailbox, each.name) for each in await bench.mailboxes.folders(kit.ONE)] == [
            ("somebody", "Inbox"),
            ("somebody", "Archive"),
        ]

    kit.play(script)


def test_no_number_is_given_twice(kit: Any) -> None:
    async def script(bench: Any) -> None:
        first = await bench.deliver("one")
        await bench.mailboxes.delete(kit.ONE, first)
        with pytest.raises(NotFoundError):
            await bench.mailboxes.move(kit.ONE, first, 1)

        assert await bench.deliver("two") > first

    kit.play(script)
