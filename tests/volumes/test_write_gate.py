"""The gate in virtual time: what is held, who lets go, and that every write happens exactly once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.errors import (
    BadStateError,
    FlushWritesTimeoutError,
    HoldWritesTimeoutError,
    InvalidArgumentError,
    VolumeError,
    VolumeWriteError,
)
from vss.events import Event, HoldLost, QueuedWriteEnded, WriteQueued, WritesHeld, WritesReleased
from vss.ports import NANOSECONDS, Ports
from vss.simulation import Simulation, run
from vss.volumes import Latency, WriteGate


def nothing() -> None:
    """A flush of what is durable already."""


class Log:
    """What reached the volume, in order."""

    def __init__(self) -> None:
        self.written: list[int] = []

    def write(self, number: int) -> Callable[[], int]:
        def work() -> int:
            self.written.append(number)
            return number

        return work


class Recorded:
    """Events in the order they were emitted."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def take(self, event: Event) -> None:
        """Keep what the gate itself tells; what became of single writes has a test of its own."""
        if not isinstance(event, WriteQueued | QueuedWriteEnded):
            self.events.append(event)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def test_an_open_gate_lets_writes_through_at_once() -> None:
    async def main(ports: Ports) -> list[int]:
        gate, log = WriteGate(ports, "D:"), Log()
        assert gate.is_open
        assert await gate.pass_write(log.write(7), 4) == 7
        return log.written

    assert run(main) == [7]


def test_held_writes_happen_once_in_issue_order_after_the_release() -> None:
    recorded = Recorded()

    async def main(ports: Ports) -> list[int]:
        gate, log = WriteGate(ports, "D:"), Log()
        await gate.flush_and_hold(10, nothing, nothing)
        assert gate.is_holding
        assert not gate.is_open
        tasks = [asyncio.ensure_future(gate.pass_write(log.write(number), 100)) for number in range(5)]
        await ports.clock.sleep(3)
        assert log.written == []
        assert gate.queued_count == 5
        await gate.release_writes()
        assert log.written == [0, 1, 2, 3, 4]
        assert gate.is_open
        await gate.pass_write(log.write(5))
        assert [await task for task in tasks] == [0, 1, 2, 3, 4]
        await ports.clock.sleep(20)
        return log.written

    assert run(main, emit=recorded.take) == [0, 1, 2, 3, 4, 5]
    assert recorded.names() == ["VolumeFlushed", "WritesHeld", "WritesReleased"]
    held, released = recorded.events[1:]
    assert isinstance(held, WritesHeld)
    assert isinstance(released, WritesReleased)
    assert held.limit_ns == 10 * NANOSECONDS
    assert (released.held_ns, released.queued_count, released.queued_bytes) == (3 * NANOSECONDS, 5, 500)


def test_reads_are_not_held() -> None:
    async def main(ports: Ports) -> str:
        gate = WriteGate(ports, "D:")
        await gate.flush_and_hold(10, nothing, nothing)
        answer = await gate.pass_read(lambda: "read")
        await gate.release_writes()
        return answer

    assert run(main) == "read"


def test_the_volume_lets_go_by_itself_and_the_late_release_says_so_once() -> None:
    recorded = Recorded()

    async def main(ports: Ports) -> list[int]:
        gate, log = WriteGate(ports, "D:"), Log()
        await gate.flush_and_hold(10, nothing, nothing)
        task = asyncio.ensure_future(gate.pass_write(log.write(1)))
        await ports.clock.sleep(9.999)
        assert log.written == []
        await ports.clock.sleep(0.002)
        assert not gate.is_holding
        assert await task == 1
        with pytest.raises(HoldWritesTimeoutError, match=r"volume D:.*10 s"):
            await gate.release_writes()
        await gate.release_writes()
        return log.written

    assert run(main, emit=recorded.take) == [1]
    lost = recorded.events[-1]
    assert isinstance(lost, HoldLost)
    assert (lost.held_ns, lost.queued_count) == (10 * NANOSECONDS, 1)


def test_the_flush_counts_against_the_window() -> None:
    async def main(ports: Ports) -> int:
        gate = WriteGate(ports, "D:", Latency(flush_s=4))
        started = ports.clock.now_ns()
        await gate.flush_and_hold(10, nothing, nothing)
        assert ports.clock.now_ns() - started == 4 * NANOSECONDS
        await ports.clock.sleep(7)
        with pytest.raises(HoldWritesTimeoutError):
            await gate.release_writes()
        return 0

    run(main)


def test_a_flush_longer_than_the_window_holds_nothing() -> None:
    recorded = Recorded()

    async def main(ports: Ports) -> None:
        gate, log = WriteGate(ports, "D:", Latency(flush_s=11)), Log()
        task = asyncio.ensure_future(gate.flush_and_hold(10, nothing, nothing))
        await ports.clock.sleep(1)
        write = asyncio.ensure_future(gate.pass_write(log.write(1)))
        await ports.clock.sleep(1)
        assert log.written == []
        with pytest.raises(FlushWritesTimeoutError, match="volume D:"):
            await task
        assert ports.clock.now_ns() == 10 * NANOSECONDS
        assert await write == 1
        assert not gate.is_holding
        await gate.release_writes()

    run(main, emit=recorded.take)
    assert recorded.names() == []


def test_a_second_hold_is_refused_and_the_first_stays() -> None:
    async def main(ports: Ports) -> None:
        gate = WriteGate(ports, "D:")
        await gate.flush_and_hold(10, nothing, nothing)
        with pytest.raises(BadStateError, match="held already"):
            await gate.flush_and_hold(10, nothing, nothing)
        assert gate.is_holding
        await gate.release_writes()
        with pytest.raises(InvalidArgumentError):
            await gate.flush_and_hold(0, nothing, nothing)

    run(main)


def test_a_new_hold_forgets_that_an_older_one_was_lost() -> None:
    async def main(ports: Ports) -> None:
        gate = WriteGate(ports, "D:")
        await gate.flush_and_hold(1, nothing, nothing)
        await ports.clock.sleep(2)
        await gate.flush_and_hold(1, nothing, nothing)
        await gate.release_writes()

    run(main)


def test_a_cancelled_waiting_write_is_withdrawn() -> None:
    recorded = Recorded()

    async def main(ports: Ports) -> list[int]:
        gate, log = WriteGate(ports, "D:"), Log()
        await gate.flush_and_hold(10, nothing, nothing)
        tasks = [asyncio.ensure_future(gate.pass_write(log.write(number), 10)) for number in range(3)]
        await ports.clock.sleep(1)
        tasks[1].cancel()
        await ports.clock.sleep(1)
        assert gate.queued_count == 2
        await gate.release_writes()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(outcomes[1], asyncio.CancelledError)
        return log.written

    assert run(main, emit=recorded.take) == [0, 2]
    assert recorded.events[-1].queued_count == 2
    assert recorded.events[-1].queued_bytes == 20


def test_a_write_cancelled_after_the_release_has_happened_once() -> None:
    async def main(ports: Ports) -> list[int]:
        gate, log = WriteGate(ports, "D:"), Log()
        await gate.flush_and_hold(10, nothing, nothing)
        task = asyncio.ensure_future(gate.pass_write(log.write(1)))
        await ports.clock.sleep(1)
        await gate.release_writes()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return log.written

    assert run(main) == [1]


def test_a_failing_held_write_fails_its_own_caller_only() -> None:
    async def main(ports: Ports) -> list[int]:
        gate, log = WriteGate(ports, "D:"), Log()

        def fail() -> None:
            raise VolumeWriteError("broken sector")

        await gate.flush_and_hold(10, nothing, nothing)
        broken = asyncio.ensure_future(gate.pass_write(fail))
        fine = asyncio.ensure_future(gate.pass_write(log.write(2)))
        await ports.clock.sleep(1)
        await gate.release_writes()
        with pytest.raises(VolumeWriteError, match="broken sector"):
            await broken
        assert await fine == 2
        return log.written

    assert run(main) == [2]


def test_cancelling_the_call_lets_the_writes_go() -> None:
    async def main(ports: Ports) -> None:
        gate, log = WriteGate(ports, "D:", Latency(flush_s=5)), Log()
        task = asyncio.ensure_future(gate.flush_and_hold(10, nothing, nothing))
        await ports.clock.sleep(1)
        write = asyncio.ensure_future(gate.pass_write(log.write(1)))
        await ports.clock.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log.written == [1]
        await write
        await ports.clock.sleep(60)

    run(main)


def test_a_flush_that_fails_holds_nothing() -> None:
    async def main(ports: Ports) -> None:
        gate = WriteGate(ports, "D:")

        def fail() -> None:
            raise VolumeWriteError("flush failed")

        for flush, settle in ((fail, nothing), (nothing, fail)):
            with pytest.raises(VolumeWriteError, match="flush failed"):
                await gate.flush_and_hold(10, flush, settle)
            assert gate.is_open

    run(main)


def test_a_timeout_of_the_flush_itself_is_not_the_window() -> None:
    async def main(ports: Ports) -> None:
        gate = WriteGate(ports, "D:")

        def fail() -> None:
            raise TimeoutError("the array did not answer")

        with pytest.raises(TimeoutError, match="did not answer"):
            await gate.flush_and_hold(10, fail, nothing)
        assert gate.is_open

    run(main)


def test_a_release_during_the_flush_ends_the_hold_before_it_begins() -> None:
    async def main(ports: Ports) -> None:
        gate = WriteGate(ports, "D:", Latency(flush_s=5))
        task = asyncio.ensure_future(gate.flush_and_hold(10, nothing, nothing))
        await ports.clock.sleep(1)
        await gate.release_writes()
        with pytest.raises(BadStateError, match="released during the flush"):
            await task
        assert gate.is_open or not gate.is_holding

    run(main)


def test_refusing_fails_waiting_writes_and_ends_the_hold() -> None:
    async def main(ports: Ports) -> None:
        gate, log = WriteGate(ports, "D:"), Log()
        await gate.flush_and_hold(10, nothing, nothing)
        tasks = [asyncio.ensure_future(gate.pass_write(log.write(number))) for number in range(2)]
        await ports.clock.sleep(1)
        tasks[0].cancel()
        gate.refuse(VolumeError("volume D: the volume is lost"))
        with pytest.raises(VolumeError, match="is lost"):
            await tasks[1]
        assert log.written == []
        assert not gate.is_holding
        await gate.release_writes()
        gate.refuse(VolumeError("again"))
        await ports.clock.sleep(20)

    run(main, unjudged="the gate is closed without the VolumeLost that a machine tells")


def test_latency_delays_the_answer_not_the_change() -> None:
    async def main(ports: Ports) -> None:
        gate, log = WriteGate(ports, "D:", Latency(read_s=1, write_s=2)), Log()
        assert not gate.is_open
        assert not gate.reads_directly
        first = asyncio.ensure_future(gate.pass_write(log.write(1)))
        second = asyncio.ensure_future(gate.pass_read(lambda: "read"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert log.written == [1]
        assert not first.done()
        await first
        assert ports.clock.now_ns() == 2 * NANOSECONDS
        assert await second == "read"
        assert ports.clock.now_ns() == 3 * NANOSECONDS

    run(main)


# -- faults --------------------------------------------------------------------------------------------------------------------


class Site:
    """A fault site that does as the test says at named sites."""

    def __init__(self, actions: dict[str, Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]]) -> None:
        self.actions = actions
        self.visited: list[str] = []

    async def __call__(self, site: str, work: Callable[[], Awaitable[Any]], **selectors: str) -> Any:
        assert selectors == {"volume": "D:"}
        self.visited.append(site)
        action = self.actions.get(site)
        return await (work() if action is None else action(work))


def test_every_primitive_passes_its_site() -> None:
    site = Site({})

    async def main(ports: Ports) -> None:
        gate, log = WriteGate(ports, "D:"), Log()
        assert not gate.is_open
        await gate.pass_write(log.write(1))
        await gate.pass_read(lambda: 0)
        await gate.flush_and_hold(10, nothing, nothing)
        await gate.release_writes()

    run(main, faults=site)
    assert site.visited == ["volume.write", "volume.read", "volume.flush", "volume.hold", "volume.release"]


async def after(seconds: float, work: Callable[[], Awaitable[Any]]) -> Any:
    result = await work()
    await asyncio.sleep(seconds)
    return result


async def before(seconds: float, work: Callable[[], Awaitable[Any]]) -> Any:
    await asyncio.sleep(seconds)
    return await work()


def test_a_hold_that_answers_after_its_window_is_lost() -> None:
    recorded = Recorded()

    async def main(ports: Ports) -> None:
        gate = WriteGate(ports, "D:")
        with pytest.raises(HoldWritesTimeoutError):
            await gate.flush_and_hold(10, nothing, nothing)
        await gate.release_writes()

    run(main, faults=Site({"volume.hold": lambda work: after(30, work)}), emit=recorded.take)
    assert recorded.names() == ["VolumeFlushed", "WritesHeld", "HoldLost"]


def test_a_hold_reached_by_a_call_that_then_fails_is_released() -> None:
    recorded = Recorded()

    async def then_fail(work: Callable[[], Awaitable[Any]]) -> Any:
        await work()
        raise VolumeWriteError("answer lost")

    async def main(ports: Ports) -> None:
        gate = WriteGate(ports, "D:")
        with pytest.raises(VolumeWriteError):
            await gate.flush_and_hold(10, nothing, nothing)
        assert not gate.is_holding

    run(main, faults=Site({"volume.hold": then_fail}), emit=recorded.take)
    assert recorded.names() == ["VolumeFlushed", "WritesHeld", "WritesReleased"]


def test_a_hung_hold_is_given_up_at_the_window() -> None:
    async def main(ports: Ports) -> None:
        gate = WriteGate(ports, "D:")
        with pytest.raises(FlushWritesTimeoutError):
            await gate.flush_and_hold(10, nothing, nothing)
        assert ports.clock.now_ns() == 10 * NANOSECONDS

    run(main, faults=Site({"volume.hold": lambda work: before(60, work)}))


def test_a_hold_whose_flush_outlives_its_cancellation_is_not_reached() -> None:
    async def stubborn(work: Callable[[], Awaitable[Any]]) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return await work()

    async def main(ports: Ports) -> None:
        gate = WriteGate(ports, "D:")
        with pytest.raises(FlushWritesTimeoutError):
            await gate.flush_and_hold(10, nothing, nothing)
        assert not gate.is_holding

    run(main, faults=Site({"volume.flush": stubborn}))
    run(main, faults=Site({"volume.hold": stubborn}))


def test_the_run_is_the_same_for_the_same_seed() -> None:
    async def main(ports: Ports) -> list[int]:
        gate, log = WriteGate(ports, "D:", Latency(write_s=0.5)), Log()
        await gate.flush_and_hold(5, nothing, nothing)
        tasks = [asyncio.ensure_future(gate.pass_write(log.write(number))) for number in range(10)]
        await ports.clock.sleep(6)
        for task in tasks:
            await task
        return log.written

    first, second = Simulation(main, seed=3), Simulation(main, seed=3)
    assert first.run() == second.run() == list(range(10))


def test_every_queued_write_is_told_when_it_comes_and_when_it_is_over() -> None:
    events: list[Event] = []

    def fail() -> None:
        raise VolumeWriteError("no")

    async def main(ports: Ports) -> None:
        gate, log = WriteGate(ports, "D:"), Log()
        await gate.flush_and_hold(10, nothing, nothing)
        works: list[Callable[[], object]] = [log.write(0), log.write(1), fail]
        tasks = [asyncio.ensure_future(gate.pass_write(each, 8)) for each in works]
        await ports.clock.sleep(1)
        tasks[0].cancel()
        await ports.clock.sleep(1)
        await gate.release_writes()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gate.flush_and_hold(10, nothing, nothing)
        tasks = [asyncio.ensure_future(gate.pass_write(log.write(2), 8))]
        await ports.clock.sleep(1)
        gate.refuse(VolumeError("gone"))
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main, emit=events.append)
    queued = [each.number for each in events if isinstance(each, WriteQueued)]
    ended = [(each.number, each.outcome) for each in events if isinstance(each, QueuedWriteEnded)]
    assert queued == [1, 2, 3, 4]
    assert ended == [(1, "withdrawn"), (2, "done"), (3, "failed"), (4, "failed")]
