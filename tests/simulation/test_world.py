"""One run: its result, its end, what it may leave behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from vss.errors import BadStateError, Interrupted
from vss.events import Event, VolumeFlushed
from vss.exit_codes import ExitCode
from vss.ports import HostFiles, Ports
from vss.simulation import (
    ACTOR,
    START_WALL_NS,
    DeadlockError,
    FifoChoices,
    LeakError,
    LivelockError,
    MemoryFiles,
    Order,
    SeededChoices,
    Simulation,
    SimulationLoop,
    UnhandledError,
    VirtualTimeError,
    WorldClosedError,
    run,
)


def loop_of(ports: Ports) -> SimulationLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop)
    return loop


def test_a_run_returns_the_result_after_virtual_time() -> None:
    async def main(ports: Ports) -> tuple[int, int]:
        await ports.clock.sleep(86_400)
        return ports.clock.now_ns(), ports.clock.wall_ns()

    day_ns = 86_400 * 10**9
    assert run(main) == (day_ns, START_WALL_NS + day_ns)
    assert run(main, start_now_ns=7, start_wall_ns=100) == (day_ns + 7, day_ns + 100)


def test_a_run_raises_what_its_main_raises() -> None:
    async def main(ports: Ports) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(main)


def test_events_go_to_the_recorder() -> None:
    seen: list[Event] = []

    async def main(ports: Ports) -> None:
        ports.emit(VolumeFlushed(volume="D:"))

    run(main)
    run(main, emit=seen.append)
    assert seen == [VolumeFlushed(volume="D:")]


def test_a_simulation_can_be_looked_at_afterwards() -> None:
    async def main(ports: Ports) -> int:
        await ports.clock.sleep(3)
        return 42

    simulation = Simulation(main, trace=True)
    assert simulation.run() == 42
    assert (simulation.now_ns, simulation.steps) == (3 * 10**9, 6)
    assert len(simulation.trace_digest) == 32
    assert Simulation(main).trace_digest == ""
    with pytest.raises(BadStateError, match="has run already"):
        simulation.run()


def test_choices_alone_ask_for_any_order() -> None:
    async def main(ports: Ports) -> str:
        order: list[str] = []

        async def step(name: str) -> None:
            order.append(name)

        await asyncio.gather(*(step(name) for name in "abcdef"))
        return "".join(order)

    assert run(main) == "abcdef"
    assert run(main, choices=SeededChoices(1), order=Order.JITTER) == "abcdef"
    assert run(main, choices=SeededChoices(1)) == run(main, choices=SeededChoices(1)) != "abcdef"


def test_a_world_inside_a_running_loop_is_refused() -> None:
    async def inner(ports: Ports) -> None:
        raise AssertionError("never runs")

    async def main(ports: Ports) -> None:
        with pytest.raises(BadStateError, match="inside a running event loop"):
            run(inner)

    run(main)


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_off_during_a_run_and_restored(enabled: bool) -> None:
    async def main(ports: Ports) -> bool:
        return gc.isenabled()

    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        assert run(main) is False
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


# -- the end of the world ------------------------------------------------------------------------------------------------------


def test_leftover_tasks_are_cancelled_in_order_of_creation_and_awaited() -> None:
    ended: list[str] = []

    async def leftover(ports: Ports, name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await ports.clock.sleep(1)
            ended.append(name)

    kept: list[asyncio.Task[None]] = []

    async def main(ports: Ports) -> None:
        kept.extend(asyncio.create_task(leftover(ports, name)) for name in "abc")
        await ports.clock.sleep(1)

    run(main)
    assert ended == ["a", "b", "c"]


def test_async_generators_are_closed() -> None:
    closed: list[int] = []

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            closed.append(1)

    kept = [numbers()]

    async def main(ports: Ports) -> None:
        await anext(kept[0])

    run(main)
    assert closed == [1]


def test_a_deadlocked_main_is_cancelled_so_that_it_cleans_up() -> None:
    cleaned: list[str] = []

    async def main(ports: Ports) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await ports.clock.sleep(30)
            cleaned.append("thawed")

    with pytest.raises(DeadlockError, match=r"main: .* > Event.wait:\d+ > future"):
        run(main)
    assert cleaned == ["thawed"]


def test_bounds_leave_room_to_clean_up() -> None:
    cleaned: list[str] = []

    async def main(ports: Ports) -> None:
        try:
            while True:
                await ports.clock.sleep(1)
        finally:
            await ports.clock.sleep(3600)
            cleaned.append("thawed")

    with pytest.raises(VirtualTimeError):
        run(main, max_virtual_s=60)
    with pytest.raises(LivelockError):
        run(main, max_steps=100)
    assert cleaned == ["thawed"] * 2


async def _stubborn(ports: Ports) -> None:
    while True:
        try:
            await ports.clock.sleep(1)
        except asyncio.CancelledError:
            continue


def test_a_task_that_ignores_its_cancellation_is_a_leak() -> None:
    kept: list[asyncio.Task[None]] = []

    async def main(ports: Ports) -> None:
        kept.append(asyncio.create_task(_stubborn(ports), name="stubborn"))
        await ports.clock.sleep(1)

    with pytest.raises(LeakError, match="1 tasks outlived their cancellation\n  stubborn: _stubborn:"):
        run(main, max_steps=1000)


def test_what_is_wrong_at_the_end_is_noted_on_the_error_that_came_first() -> None:
    kept: list[asyncio.Task[None]] = []

    async def main(ports: Ports) -> None:
        kept.append(asyncio.create_task(_stubborn(ports), name="stubborn"))
        await ports.clock.sleep(1)
        raise ValueError("first")

    with pytest.raises(ValueError, match="first") as caught:
        run(main, max_steps=1000)
    assert "outlived their cancellation" in caught.value.__notes__[0]


def test_an_armed_timer_is_a_leak() -> None:
    async def main(ports: Ports) -> None:
        asyncio.get_running_loop().call_later(10, print)

    with pytest.raises(LeakError, match=r"a timer for 10.0 s is still armed"):
        run(main)


def test_a_lost_exception_is_an_error() -> None:
    async def failing() -> None:
        raise ValueError("lost")

    async def main(ports: Ports) -> None:
        task = asyncio.create_task(failing())
        await ports.clock.sleep(1)
        assert task.done()
        del task

    with pytest.raises(UnhandledError, match=r"never retrieved: ValueError\('lost'\)"):
        run(main)


def test_a_leftover_that_fails_in_its_clean_up_is_an_error() -> None:
    async def failing(ports: Ports) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("clean-up")

    kept: list[asyncio.Task[None]] = []

    async def main(ports: Ports) -> None:
        kept.append(asyncio.create_task(failing(ports), name="writer"))
        await ports.clock.sleep(1)

    with pytest.raises(UnhandledError, match=r"'writer' failed while it was cancelled: ValueError\('clean-up'\)"):
        run(main)


class _NoShut:
    """Host files without a way to shut them."""

    def __init__(self, files: MemoryFiles) -> None:
        self.write_atomically = files.write_atomically


@pytest.mark.parametrize("wraps", [False, True])
def test_what_was_killed_cleans_up_in_a_closed_world(wraps: bool) -> None:
    errors: list[BaseException] = []
    seen: list[Event] = []
    files = MemoryFiles()

    async def killed(ports: Ports) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                ports.emit(VolumeFlushed(volume="D:"))
            except WorldClosedError as error:
                errors.append(error)
            try:
                ports.files.write_atomically(Path("/x"), b"")
            except OSError as error:
                errors.append(error)

    async def main(ports: Ports) -> None:
        task = asyncio.create_task(killed(ports))
        await ports.clock.sleep(1)
        loop_of(ports).kill(task)

    host: Any = _NoShut(files) if wraps else files
    shown: HostFiles = host
    run(main, files=shown, emit=seen.append)
    assert [type(error) for error in errors] == ([WorldClosedError] if wraps else [WorldClosedError, OSError])
    assert seen == []
    assert files.exists(Path("/x")) is wraps


def test_whoever_asked_is_told_of_a_killed_task_and_of_one_that_died() -> None:
    async def main(ports: Ports) -> list[str]:
        loop = loop_of(ports)
        told: list[str] = []

        async def dying() -> None:
            await ports.clock.sleep(1)
            await loop.die()

        waiting = asyncio.create_task(asyncio.Event().wait())
        doomed = asyncio.create_task(dying())
        living = asyncio.create_task(ports.clock.sleep(2))
        for name, task in (("waiting", waiting), ("doomed", doomed), ("living", living)):
            loop.when_killed(task, lambda name=name: told.append(name))  # type: ignore[misc]
        await living
        loop.kill(waiting)
        loop.kill(waiting)
        await ports.clock.sleep(1)
        return told

    assert run(main) == ["doomed", "waiting"]


def test_a_timer_of_a_role_that_was_killed_is_no_leak() -> None:
    async def main(ports: Ports, *, kills: bool) -> None:
        async def arm() -> None:
            asyncio.get_running_loop().call_later(60, lambda: None)

        token = ACTOR.set("writer:A")
        await asyncio.create_task(arm())
        ACTOR.reset(token)
        if kills:
            loop_of(ports).kill_actor("writer:A")

    run(lambda ports: main(ports, kills=True))
    with pytest.raises(LeakError, match="timer"):
        run(lambda ports: main(ports, kills=False))


def test_cleaning_up_asks_nobody_for_the_order() -> None:
    class Ending(SeededChoices):
        """Ends the run at its first question."""

        asked = 0

        def pick(self, keys: Sequence[int]) -> int:
            self.asked += 1
            raise KeyError("no more examples")

    async def main(ports: Ports) -> None:
        async def wait() -> None:
            try:
                await ports.clock.sleep(1)
            finally:
                await asyncio.sleep(0)

        await asyncio.gather(wait(), wait(), wait())

    source = Ending(0)
    with pytest.raises(KeyError, match="no more examples"):
        run(main, choices=source)
    assert source.asked == 1


# -- signals -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_a_signal_cancels_main_which_cleans_up(number: signal.Signals, exit_code: ExitCode) -> None:
    cleaned: list[str] = []
    before = signal.getsignal(number)

    async def main(ports: Ports) -> None:
        try:
            os.kill(os.getpid(), number)
            while True:
                await ports.clock.sleep(1)
        finally:
            os.kill(os.getpid(), number)  # the second one is ignored: whoever is frozen must be thawed
            await ports.clock.sleep(10)
            cleaned.append("thawed")

    with pytest.raises(Interrupted) as caught:
        run(main)
    assert (caught.value.signum, caught.value.exit_code) == (number, exit_code)
    assert cleaned == ["thawed"]
    assert signal.getsignal(number) == before


def test_the_third_signal_does_not_wait() -> None:
    async def main(ports: Ports) -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")

    with pytest.raises(Interrupted) as caught:
        run(main)
    assert isinstance(caught.value.__cause__, KeyboardInterrupt)


def test_a_run_that_finishes_in_spite_of_the_signal_returns_its_result() -> None:
    async def main(ports: Ports) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return "done"

    assert run(main) == "done"


def test_a_handler_that_somebody_else_set_is_left_alone() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:

        async def main(ports: Ports) -> str:
            os.kill(os.getpid(), signal.SIGTERM)
            await ports.clock.sleep(1)
            return "done"

        assert run(main, choices=FifoChoices()) == "done"
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    async def main(ports: Ports) -> object:
        return signal.getsignal(signal.SIGTERM)

    async def outer() -> object:
        return await asyncio.to_thread(run, main)

    assert asyncio.run(outer()) == signal.SIG_DFL


def test_a_task_that_was_killed_inside_an_asynchronous_generator_leaves_no_error_behind() -> None:
    async def pieces(ports: Ports) -> AsyncIterator[int]:
        try:
            await ports.clock.sleep(10)
            yield 1
        finally:
            await ports.clock.sleep(0)

    async def main(ports: Ports) -> str:
        async def read() -> None:
            async for _ in pieces(ports):
                pass

        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        task = loop.create_task(read())
        await ports.clock.sleep(1)
        loop.kill(task)
        return "done"

    assert run(main) == "done"


@pytest.mark.parametrize("is_over", [True, False])
def test_what_outlives_its_cancellation_is_closed_at_the_end_in_order_and_has_no_effect(is_over: bool) -> None:
    """Else garbage collection would close it at some other place, after its context managers."""
    seen: list[str] = []

    @asynccontextmanager
    async def noted(name: str, ports: Ports) -> AsyncIterator[None]:
        try:
            yield
        except GeneratorExit:
            seen.append(name)
            ports.emit(VolumeFlushed(volume="D:"))
            raise

    async def stubborn(name: str, ports: Ports) -> None:
        async with noted(name, ports):
            while True:
                with suppress(asyncio.CancelledError):
                    await asyncio.get_running_loop().create_future()

    async def main(ports: Ports) -> None:
        tasks = [asyncio.create_task(stubborn(name, ports)) for name in ("first", "second")]
        await ports.clock.sleep(1)
        if not is_over:
            await asyncio.wait(tasks)

    emitted: list[object] = []
    with pytest.raises(LeakError if is_over else DeadlockError):
        run(main, emit=emitted.append, unjudged="made-up events")
    assert seen == ["first", "second"]
    assert emitted == []
