"""The engine's lock: in order, handed over past those who left, and no trap when its holder is dead."""

from __future__ import annotations

import asyncio

import pytest

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.latch import Latch

GONE = JetError(JetCode.InstanceUnavailable, "abandoned")


async def hold(latch: Latch, name: str, told: list[str]) -> None:
    async with latch:
        told.append(name)
        await asyncio.sleep(0)


def test_those_who_wait_get_it_in_the_order_they_came() -> None:
    told: list[str] = []

    async def main() -> None:
        latch = Latch()
        await asyncio.gather(*(hold(latch, name, told) for name in "abc"))
        assert not latch.locked()

    asyncio.run(main())

    assert told == ["a", "b", "c"]


@pytest.mark.parametrize("is_handed_over", [False, True])
def test_who_is_cancelled_while_waiting_is_passed_over(is_handed_over: bool) -> None:
    told: list[str] = []

    async def main() -> None:
        latch = Latch()
        await latch.acquire()
        waiters = [asyncio.create_task(hold(latch, name, told)) for name in "ab"]
        await asyncio.sleep(0)
        if is_handed_over:
            latch.release()
        waiters[0].cancel()
        if not is_handed_over:
            latch.release()
        await asyncio.wait(waiters)
        assert not latch.locked()

    asyncio.run(main())

    assert told == ["b"]


def test_given_up_it_turns_away_who_waits_and_who_comes() -> None:
    told: list[str] = []

    async def main() -> None:
        latch = Latch()
        await latch.acquire()
        waiter = asyncio.create_task(hold(latch, "a", told))
        left = asyncio.create_task(hold(latch, "b", told))
        await asyncio.sleep(0)
        left.cancel()
        latch.give_up(GONE)  # nobody takes what the future of the one that left would hold
        with pytest.raises(JetError) as caught:
            await waiter
        assert caught.value.code is JetCode.InstanceUnavailable
        with pytest.raises(JetError):
            await latch.acquire()
        latch.release()
        with pytest.raises(JetError):
            await latch.acquire()

    asyncio.run(main())

    assert told == []
