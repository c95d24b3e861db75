"""Every simulated run is judged at its end by what its events say."""

from __future__ import annotations

import asyncio

import pytest

from vss.errors import InvariantError, NotFoundError
from vss.events import HoldLost, VolumeFlushed, WritesHeld
from vss.ports import NANOSECONDS, Ports
from vss.simulation import DeadlockError, run


async def overdue(ports: Ports) -> str:
    ports.emit(WritesHeld(volume="D:", limit_ns=10 * NANOSECONDS))
    await ports.clock.sleep(11)
    ports.emit(HoldLost(volume="D:", held_ns=11 * NANOSECONDS, queued_count=0))
    return "done"


def test_a_run_that_broke_an_invariant_ends_in_an_error() -> None:
    with pytest.raises(InvariantError, match=r"F3: volume D:: the hold ended after 11\.000 s"):
        run(overdue)


def test_a_reason_leaves_the_events_unjudged() -> None:
    assert run(overdue, unjudged="made-up events") == "done"


def test_the_error_that_ended_the_run_is_the_cause() -> None:
    async def main(ports: Ports) -> None:
        await overdue(ports)
        raise NotFoundError("nothing there")

    with pytest.raises(InvariantError) as raised:
        run(main)
    assert isinstance(raised.value.__cause__, NotFoundError)


def test_an_error_of_the_simulator_stays_and_says_what_was_broken() -> None:
    async def main(ports: Ports) -> None:
        await overdue(ports)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError) as raised:
        run(main)
    assert "F3" in raised.value.__notes__[-1]


def test_an_error_of_a_good_run_passes_through() -> None:
    async def main(ports: Ports) -> None:
        ports.emit(VolumeFlushed(volume="D:"))
        raise NotFoundError("nothing there")

    with pytest.raises(NotFoundError):
        run(main)


def test_a_stall_of_the_loop_is_taken_into_account() -> None:
    async def main(ports: Ports) -> None:
        ports.emit(WritesHeld(volume="D:", limit_ns=10 * NANOSECONDS))
        loop = asyncio.get_running_loop()
        loop.stall(11.0)  # type: ignore[attr-defined]
        ports.emit(HoldLost(volume="D:", held_ns=11 * NANOSECONDS, queued_count=0))

    run(main)
