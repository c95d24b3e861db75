"""The loop: virtual time, order, bounds, refusals, crashes."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import contextmanager
from typing import Any

import pytest

from vss.simulation import (
    ACTOR,
    DeadlockError,
    FifoChoices,
    ForbiddenError,
    LivelockError,
    Order,
    PctChoices,
    RecordedChoices,
    ReplayChoices,
    SeededChoices,
    SimulationLoop,
    VirtualTimeError,
    depth_first,
)
from vss.simulation.forbidden import ADVICE

SECOND = 1_000_000_000


def on_loop(main: Callable[[SimulationLoop], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Run ``main`` on a fresh loop and close that."""
    loop = SimulationLoop(**options)
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()


# -- time ----------------------------------------------------------------------------------------------------------------------


def test_time_passes_only_when_nothing_is_ready() -> None:
    async def main(loop: SimulationLoop) -> list[int]:
        seen = [loop.now_ns]
        for _ in range(1000):
            await asyncio.sleep(0)
        seen.append(loop.now_ns)
        await asyncio.sleep(3600)
        return [*seen, loop.now_ns]

    assert on_loop(main) == [0, 0, 3600 * SECOND]


def test_time_starts_where_it_is_told_to() -> None:
    async def main(loop: SimulationLoop) -> tuple[int, float]:
        return loop.now_ns, loop.time()

    assert on_loop(main, start_ns=5 * SECOND) == (5 * SECOND, 5.0)


def test_both_sleeps_are_exact_and_wake_in_order_of_creation() -> None:
    async def main(loop: SimulationLoop) -> list[tuple[str, int]]:
        woken: list[tuple[str, int]] = []

        async def sleeper(name: str, sleep: Callable[[float], Coroutine[Any, Any, None]]) -> None:
            await sleep(0.1)
            woken.append((name, loop.now_ns))

        async with asyncio.TaskGroup() as group:
            for name in "abcdef":
                group.create_task(sleeper(name, loop.sleep if name in "ace" else asyncio.sleep))
        return woken

    assert on_loop(main) == [(name, 100_000_000) for name in "abcdef"]


@pytest.mark.parametrize("delay", [0, -1.0])
def test_a_sleep_of_nothing_lets_ready_steps_go_first(delay: float) -> None:
    async def main(loop: SimulationLoop) -> list[str]:
        seen: list[str] = []
        loop.call_soon(seen.append, "callback")
        await loop.sleep(delay)
        return [*seen, "main"]

    assert on_loop(main) == ["callback", "main"]


def test_deadlines_are_exact_after_a_century() -> None:
    async def main(loop: SimulationLoop) -> int:
        begun = loop.now_ns
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.Event().wait()
        return loop.now_ns - begun

    assert on_loop(main, start_ns=100 * 365 * 86_400 * SECOND + 1000) == 10 * SECOND


def test_call_later_needs_a_delay() -> None:
    async def main(loop: SimulationLoop) -> None:
        with pytest.raises(TypeError, match="delay must not be None"):
            loop.call_later(None, print)  # type: ignore[arg-type]

    on_loop(main)


def test_a_timer_for_never_does_not_fire_and_does_not_hide_a_deadlock() -> None:
    async def main(loop: SimulationLoop) -> None:
        loop.call_later(math.inf, print)
        loop.call_at(math.inf, print)
        async with asyncio.timeout(math.inf):
            await loop.sleep(math.inf)

    with pytest.raises(DeadlockError):
        on_loop(main)


def test_a_stalled_step_makes_timers_late_and_in_order() -> None:
    async def main(loop: SimulationLoop) -> list[tuple[str, int]]:
        fired: list[tuple[str, int]] = []
        loop.call_later(2, lambda: fired.append(("second", loop.now_ns)))
        loop.call_later(1, lambda: fired.append(("first", loop.now_ns)))
        loop.stall(5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return fired

    assert on_loop(main) == [("first", 5 * SECOND), ("second", 5 * SECOND)]


def test_an_overdue_timer_fires_at_the_present_instant() -> None:
    async def main(loop: SimulationLoop) -> int:
        fired = loop.create_future()
        loop.call_at(1.0, fired.set_result, None)
        await fired
        return loop.now_ns

    assert on_loop(main, start_ns=9 * SECOND) == 9 * SECOND


def test_cancelled_timers_do_not_move_time() -> None:
    async def main(loop: SimulationLoop) -> int:
        loop.call_later(100, print).cancel()
        sleeper = loop.create_task(loop.sleep(50))
        await asyncio.sleep(1)
        sleeper.cancel()
        timer = loop.call_later(10, print)
        timer.cancel()
        timer.cancel()
        assert loop.armed_timers() == []
        await asyncio.sleep(1)
        return loop.now_ns

    assert on_loop(main) == 2 * SECOND


def test_cancelled_timers_do_not_put_a_deadlock_off() -> None:
    async def main(loop: SimulationLoop) -> None:
        loop.call_later(100, print).cancel()
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match="deadlock at 0 ns"):
        on_loop(main)


def test_met_timeouts_do_not_fill_the_heap() -> None:
    async def main(loop: SimulationLoop) -> int:
        for _ in range(2000):
            async with asyncio.timeout(1000):
                await loop.sleep(0.001)
        return len(loop._scheduled)

    assert on_loop(main) < 200


def test_a_timer_cancelled_after_it_fired_is_not_counted() -> None:
    async def main(loop: SimulationLoop) -> int:
        timer = loop.call_later(1, lambda: None)
        await loop.sleep(2)
        timer.cancel()
        return loop._timer_cancelled_count

    assert on_loop(main) == 0


# -- order ---------------------------------------------------------------------------------------------------------------------


async def _interleaved(loop: SimulationLoop) -> str:
    """Three tasks of three steps each, a plain callback pair, two timers of one instant."""
    order: list[str] = []

    async def steps(name: str) -> None:
        for _ in range(3):
            order.append(name)
            await asyncio.sleep(0)
        await loop.sleep(1)
        order.append(name.upper())

    tasks = [loop.create_task(steps(name)) for name in "abc"]
    loop.call_soon(order.append, "1")
    loop.call_soon(order.append, "2")
    loop.call_later(0.5, order.append, "x")
    loop.call_later(0.5, order.append, "y")
    cancelled = loop.call_soon(order.append, "!")
    cancelled.cancel()
    await asyncio.gather(*tasks)
    return "".join(order)


def test_fifo_is_the_order_of_the_stock_loop() -> None:
    assert on_loop(_interleaved) == "abc12abcabcxyABC"


def test_any_with_fifo_choices_keeps_timers_and_callbacks_in_order() -> None:
    order = on_loop(_interleaved, order=Order.ANY, choices=FifoChoices())
    assert sorted(order) == sorted("abc12abcabcxyABC")
    assert order.index("1") < order.index("2")
    assert order.index("x") < order.index("y")


def test_any_finds_other_orders_and_keeps_callbacks_in_order() -> None:
    orders = [on_loop(_interleaved, order=Order.ANY, choices=SeededChoices(seed)) for seed in range(30)]
    assert len(set(orders)) > 20
    assert all(order.index("1") < order.index("2") for order in orders)
    assert {order.index("x") < order.index("y") for order in orders} == {True, False}
    assert on_loop(_interleaved, order=Order.ANY, choices=SeededChoices(3)) == orders[3]


def test_a_recorded_run_replays() -> None:
    recorded = RecordedChoices(PctChoices(7, expected_picks=20))
    order = on_loop(_interleaved, order=Order.ANY, choices=recorded)
    replay = ReplayChoices(recorded.answers)
    assert on_loop(_interleaved, order=Order.ANY, choices=replay) == order
    assert replay.used == len(recorded.answers)


def test_depth_first_search_visits_every_order_of_two_tasks() -> None:
    async def main(loop: SimulationLoop) -> str:
        order: list[str] = []

        async def steps(name: str) -> None:
            for _ in range(2):
                order.append(name)
                await asyncio.sleep(0)

        tasks = [loop.create_task(steps(name)) for name in "ab"]
        while not all(task.done() for task in tasks):
            await loop.sleep(1)
        return "".join(order)

    orders = [on_loop(main, order=Order.ANY, choices=choices) for choices in depth_first()]
    assert set(orders) == {"aabb", "abab", "abba", "baab", "baba", "bbaa"}


def test_jitter_makes_timers_late_and_never_early() -> None:
    async def main(loop: SimulationLoop) -> list[int]:
        late = []
        for _ in range(50):
            begun = loop.now_ns
            await loop.sleep(1)
            late.append(loop.now_ns - begun - SECOND)
        return late

    late = on_loop(main, order=Order.JITTER, choices=SeededChoices(1), max_jitter_ns=1000)
    assert len(set(late)) > 20
    assert 0 <= min(late) <= max(late) <= 1000
    assert on_loop(main, order=Order.JITTER, choices=FifoChoices()) == [0] * 50


def test_a_trace_names_every_step_without_addresses() -> None:
    loop = SimulationLoop()
    steps: list[tuple[int, str]] = []
    loop.set_trace(lambda instant_ns, label: steps.append((instant_ns, label)))

    async def main() -> None:
        loop.call_soon(steps.clear)
        loop.call_soon(print).cancel()
        sleeper = loop.create_task(loop.sleep(5), name="sleeper")
        loop.call_later(5, sleeper.cancel)
        await loop.sleep(2)
        await asyncio.sleep(1)

    loop.run_until_complete(loop.create_task(main(), name="main"))
    loop.run_until_complete(loop.create_task(loop.sleep(2), name="end"))
    loop.close()
    assert steps == [
        (0, "sleeper"),
        (2 * SECOND, "sleep"),
        (2 * SECOND, "main"),
        (3 * SECOND, "_set_result_unless_cancelled"),
        (3 * SECOND, "main"),
        (3 * SECOND, "_run_until_complete_cb"),
        (3 * SECOND, "end"),
        (5 * SECOND, "SimulationTask.cancel"),
        (5 * SECOND, "sleep"),
        (5 * SECOND, "sleeper"),
        (5 * SECOND, "end"),
        (5 * SECOND, "_run_until_complete_cb"),
    ]


@pytest.mark.parametrize("options", [{}, {"order": Order.ANY, "choices": FifoChoices()}])
def test_a_sleeper_cancelled_in_the_instant_it_is_due_does_not_wake(options: dict[str, Any]) -> None:
    async def main(loop: SimulationLoop) -> bool:
        sleeper = loop.create_task(loop.sleep(5))
        loop.call_later(5, sleeper.cancel)
        await asyncio.gather(sleeper, return_exceptions=True)
        return sleeper.cancelled()

    assert on_loop(main, **options)


def test_cancelled_steps_are_no_options() -> None:
    async def main(loop: SimulationLoop) -> None:
        for _ in range(3):
            loop.call_soon(print).cancel()
        loop.call_soon(lambda: loop.call_later(1, print).cancel())
        await loop.sleep(1)

    recorded = RecordedChoices(FifoChoices())
    on_loop(main, order=Order.ANY, choices=recorded)
    assert recorded.answers == []


# -- ends that nobody chose ----------------------------------------------------------------------------------------------------


def test_a_deadlock_names_who_waits_for_what() -> None:
    async def main(loop: SimulationLoop) -> None:
        event = asyncio.Event()
        await loop.create_task(event.wait(), name="writer-A")

    with pytest.raises(DeadlockError) as caught:
        on_loop(main)
    assert "writer-A: Event.wait:" in caught.value.message
    assert "main:" in caught.value.message
    assert "> task 'writer-A'" in caught.value.message
    assert "0x" not in caught.value.message


def test_a_loop_without_work_is_a_deadlock_not_a_hang() -> None:
    loop = SimulationLoop()
    with pytest.raises(DeadlockError):
        loop.run_forever()
    loop.close()


@pytest.mark.parametrize("options", [{}, {"order": Order.ANY, "choices": FifoChoices()}])
def test_tasks_that_wake_each_other_for_ever_are_a_livelock(options: dict[str, Any]) -> None:
    async def main(loop: SimulationLoop) -> None:
        await loop.sleep(1)
        while True:  # noqa: ASYNC110 - the busy wait is the point
            await asyncio.sleep(0)

    with pytest.raises(LivelockError, match="more than 500 steps at 1000000000 ns"):
        on_loop(main, max_steps_per_instant=500, **options)


def test_the_number_of_steps_is_bound() -> None:
    async def main(loop: SimulationLoop) -> None:
        while True:
            await loop.sleep(1)

    with pytest.raises(LivelockError, match="more than 1000 steps"):
        on_loop(main, max_steps=1000)


def test_virtual_time_is_bound() -> None:
    async def main(loop: SimulationLoop) -> None:
        while True:
            await loop.sleep(7)

    with pytest.raises(VirtualTimeError, match="must end by 60000000000 ns, the next timer is at 63000000000 ns"):
        on_loop(main, until_ns=60 * SECOND)


def test_a_loop_that_reached_its_bounds_may_clean_up() -> None:
    async def main(seconds: float) -> int:
        await loop.sleep(seconds)
        return loop.now_ns

    loop = SimulationLoop(until_ns=SECOND, max_steps=10)
    with pytest.raises(VirtualTimeError):
        loop.run_until_complete(main(2))
    loop.allow_clean_up()
    assert loop.run_until_complete(main(60)) == 60 * SECOND
    loop.close()


@contextmanager
def _collection(enabled: bool) -> Any:
    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        yield
    finally:
        (gc.enable if was_enabled else gc.disable)()


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_at_a_fixed_step_where_the_collector_is_off(
    monkeypatch: pytest.MonkeyPatch, collects: bool
) -> None:
    steps: list[int] = []
    monkeypatch.setattr("vss.simulation.loop._COLLECT_STEPS", 100)

    async def main(loop: SimulationLoop) -> None:
        monkeypatch.setattr(gc, "collect", lambda: steps.append(loop.steps))
        for _ in range(250):
            await asyncio.sleep(0)

    with _collection(collects):
        on_loop(main)
    assert steps == ([] if collects else [101, 202])


def test_stop_finishes_the_batch() -> None:
    for options in ({}, {"order": Order.ANY, "choices": FifoChoices()}):
        loop = SimulationLoop(**options)  # type: ignore[arg-type]
        seen: list[int] = []
        loop.call_soon(seen.append, 1)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.stop()
        loop.run_forever()
        assert seen == [1]
        loop.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exit_and_interrupt_pass_through(kind: type[BaseException]) -> None:
    async def main(loop: SimulationLoop) -> None:
        raise kind

    with pytest.raises(kind):
        on_loop(main)


def test_a_failing_callback_reaches_the_exception_handler() -> None:
    seen: list[dict[str, Any]] = []

    async def main(loop: SimulationLoop) -> None:
        loop.set_exception_handler(lambda _, context: seen.append(context))
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    on_loop(main)
    assert isinstance(seen[0]["exception"], ZeroDivisionError)


# -- tasks and futures ---------------------------------------------------------------------------------------------------------


def test_tasks_are_named_and_hashed_by_their_number_in_the_loop() -> None:
    async def main(loop: SimulationLoop) -> list[tuple[str, int]]:
        tasks = [loop.create_task(asyncio.sleep(1)) for _ in range(3)]
        named = asyncio.create_task(asyncio.sleep(1), name="writer")
        assert loop.tasks()[1:] == [*tasks, named]
        return [(task.get_name(), hash(task)) for task in (*tasks, named)]

    for _ in range(2):
        assert on_loop(main) == [("Task-2", 2), ("Task-3", 3), ("Task-4", 4), ("writer", 5)]


def test_futures_hash_in_the_order_of_their_first_use_in_a_set() -> None:
    async def main(loop: SimulationLoop) -> list[int]:
        futures = [loop.create_future() for _ in range(3)]
        return [hash(futures[2]), hash(futures[0]), hash(futures[2])]

    assert on_loop(main) == [2, 3, 2]


def test_a_task_factory_is_honoured() -> None:
    async def main(loop: SimulationLoop) -> int:
        made = []

        def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
            made.append(coro)
            return asyncio.Task(coro, loop=loop, **options)

        loop.set_task_factory(factory)
        task = asyncio.create_task(asyncio.sleep(0))
        assert task in loop.tasks()
        await task
        return len(made)

    assert on_loop(main) == 1


def test_actors_are_inherited() -> None:
    async def main(loop: SimulationLoop) -> list[str]:
        async def parent() -> str:
            ACTOR.set("writer:A")
            return loop.create_task(asyncio.sleep(0)).actor  # type: ignore[attr-defined, no-any-return]

        return [await loop.create_task(parent()), loop.create_task(asyncio.sleep(0)).actor]  # type: ignore[attr-defined]

    assert on_loop(main) == ["writer:A", ""]


def test_async_generators_are_closed_by_the_loop() -> None:
    closed: list[bool] = []

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def main() -> None:
        running.append(numbers())
        await anext(running[0])

    running: list[AsyncGenerator[int, None]] = []
    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        runner.run(main())
    assert closed == [True]


def test_debug_mode_checks_callbacks_and_keeps_tracebacks() -> None:
    async def main(loop: SimulationLoop) -> None:
        with pytest.raises(TypeError):
            loop.call_soon(asyncio.sleep)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            loop.call_later(1, asyncio.sleep)  # type: ignore[arg-type]
        assert "created at" in repr(loop.call_soon(print))

    loop = SimulationLoop()
    loop.set_debug(True)
    loop.run_until_complete(main(loop))
    loop.close()


def test_a_closed_loop_refuses() -> None:
    loop = SimulationLoop()
    loop.close()
    with pytest.raises(RuntimeError):
        loop.call_soon(print)
    with pytest.raises(RuntimeError):
        loop.call_later(1, print)
    late = asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        loop.create_task(late)
    late.close()


def test_a_runner_can_use_the_loop() -> None:
    async def main() -> float:
        await asyncio.sleep(1e6)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        assert runner.run(main()) == 1e6


# -- refusals


@pytest.mark.parametrize("method", sorted(ADVICE))
def test_the_outside_world_is_refused_with_advice(method: str) -> None:
    loop = SimulationLoop()
    with pytest.raises(ForbiddenError, match=f"loop.{method} is not available") as caught:
        getattr(loop, method)(None, None)
    assert caught.value.hint == ADVICE[method]
    loop.close()


def test_every_method_of_the_stock_loop_works_or_is_refused() -> None:
    unrefused = {name for name in dir(asyncio.AbstractEventLoop) if not name.startswith("_")} - set(ADVICE)
    assert unrefused == {
        "call_at", "call_exception_handler", "call_later", "call_soon", "call_soon_threadsafe", "close", "create_future",
        "create_task", "default_exception_handler", "get_debug", "get_exception_handler", "get_task_factory", "is_closed",
        "is_running", "run_forever", "run_until_complete", "set_debug", "set_exception_handler", "set_task_factory",
        "shutdown_asyncgens", "shutdown_default_executor", "stop", "time",
    }  # fmt: skip


def test_to_thread_is_refused() -> None:
    async def main(loop: SimulationLoop) -> None:
        with pytest.raises(ForbiddenError, match="run_in_executor"):
            await asyncio.to_thread(print)

    on_loop(main)


def test_a_foreign_thread_is_refused_and_the_own_one_is_not() -> None:
    async def main(loop: SimulationLoop) -> list[object]:
        seen: list[object] = []

        def call() -> None:
            try:
                loop.call_soon_threadsafe(seen.append, "never")
            except ForbiddenError as error:
                seen.append(type(error))

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        loop.call_soon_threadsafe(seen.append, "own")
        await asyncio.sleep(0)
        return seen

    assert on_loop(main) == [ForbiddenError, "own"]


def test_call_soon_threadsafe_works_before_the_loop_runs() -> None:
    loop = SimulationLoop()
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    loop.close()


def test_signals_are_refused() -> None:
    loop = SimulationLoop()
    with pytest.raises(ForbiddenError):
        loop.add_signal_handler(signal.SIGTERM, print)
    loop.close()


# -- crashes -------------------------------------------------------------------------------------------------------------------


def _victim(loop: SimulationLoop, seen: list[str], wait: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[None]:
    async def work() -> None:
        try:
            seen.append("begun")
            await wait()
            seen.append("stepped")
        finally:
            seen.append("finally")

    return loop.create_task(work())


def test_a_killed_task_is_never_stepped_and_cleans_up_only_when_let_go() -> None:
    async def main(loop: SimulationLoop) -> list[str]:
        seen: list[str] = []
        waiting = _victim(loop, seen, lambda: asyncio.sleep(1))
        ready = _victim(loop, seen, lambda: asyncio.sleep(0))
        unbegun = _victim(loop, seen, lambda: asyncio.sleep(0))
        await asyncio.sleep(0)
        unstarted = _victim(loop, seen, lambda: asyncio.sleep(0))
        for task in (waiting, ready, unbegun, unstarted, waiting):
            loop.kill(task)
        waiting.cancel()
        await asyncio.sleep(5)
        assert seen == ["begun"] * 3
        assert loop.tasks() == [asyncio.current_task()]
        killed = loop.revive_killed()
        assert killed == [waiting, ready, unbegun, unstarted]
        for task in killed:
            task.cancel()
        await asyncio.gather(*killed, return_exceptions=True)
        return seen

    assert on_loop(main) == ["begun"] * 3 + ["finally"] * 3


def test_killing_what_is_done_does_nothing() -> None:
    async def main(loop: SimulationLoop) -> list[asyncio.Task[Any]]:
        task = loop.create_task(asyncio.sleep(0))
        await task
        loop.kill(task)
        return loop.revive_killed()

    assert on_loop(main) == []


def test_a_task_whose_future_has_other_waiters_is_killed_alone() -> None:
    async def main(loop: SimulationLoop) -> list[str]:
        seen: list[str] = []
        future = loop.create_future()

        async def wait() -> None:
            await future

        future.add_done_callback(lambda _: seen.append("callback"))
        victim = _victim(loop, seen, wait)
        other = _victim(loop, seen, wait)
        await asyncio.sleep(0)
        loop.kill(victim)
        future.set_result(None)
        await other
        for task in loop.revive_killed():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return seen

    assert on_loop(main) == ["begun", "begun", "callback", "stepped", "finally", "finally"]


def test_a_dead_task_does_not_hear_its_cancellation() -> None:
    async def main(loop: SimulationLoop) -> list[str]:
        seen: list[str] = []
        victim = _victim(loop, seen, loop.die)
        await loop.sleep(1)
        victim.cancel()
        loop.kill(victim)
        await loop.sleep(1)
        assert seen == ["begun"]
        (revived,) = loop.revive_killed()
        await asyncio.gather(revived, return_exceptions=True)
        assert revived.cancelled()
        return seen

    assert on_loop(main) == ["begun", "finally"]


def test_a_dead_task_that_is_let_go_ends_by_cancellation() -> None:
    async def main(loop: SimulationLoop) -> bool:
        victim = loop.create_task(loop.die())
        await loop.sleep(1)
        loop.revive_killed()
        await asyncio.gather(victim, return_exceptions=True)
        return victim.cancelled()

    assert on_loop(main)


def test_kill_actor_kills_every_task_of_the_actor_but_the_running_one() -> None:
    async def main(loop: SimulationLoop) -> list[str]:
        seen: list[str] = []
        ACTOR.set("writer:A")

        async def of_a() -> list[str]:
            inner = [loop.create_task(loop.sleep(9), name=f"a{number}") for number in range(2)]
            await loop.sleep(1)
            killed = loop.kill_actor("writer:A")
            assert killed == inner
            return [task.get_name() for task in killed]

        seen = await loop.create_task(of_a())
        for task in loop.revive_killed():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return seen

    assert on_loop(main) == ["a0", "a1"]
