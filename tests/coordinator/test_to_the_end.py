"""Work that is not cut short: its result, its error, and the cancellation that waits behind it."""

from __future__ import annotations

import asyncio

import pytest

from vss.coordinator.to_the_end import to_the_end
from vss.ports import NANOSECONDS, Ports
from vss.simulation import run


async def work(ended: list[str], error: Exception | None = None) -> int:
    await asyncio.sleep(5.0)
    ended.append("work")
    if error is not None:
        raise error
    return 7


def test_the_result_and_the_error_come_out() -> None:
    async def main(ports: Ports) -> None:
        assert await to_the_end(work([])) == 7
        with pytest.raises(ValueError, match="odd"):
            await to_the_end(work([], ValueError("odd")))

    run(main)


@pytest.mark.parametrize("error", [None, ValueError("odd")])
def test_a_cancellation_comes_out_behind_the_work_with_its_error_as_cause(error: Exception | None) -> None:
    ended: list[str] = []

    async def main(ports: Ports) -> None:
        task = asyncio.create_task(to_the_end(work(ended, error)))
        for _ in range(3):
            await asyncio.sleep(1.0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.__cause__ is error
        assert ports.clock.now_ns() == 5 * NANOSECONDS

    run(main)

    assert ended == ["work"]
