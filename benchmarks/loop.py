"""What the simulation's loop costs, as ratios to the stock loop measured in the same run.

Absolute figures depend on the machine; the ratios are what to compare between commits. ``python benchmarks/loop.py`` prints
JSON. The stock loop's timers are armed for the present instant, so that it never waits: what is compared is the bookkeeping.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vss.ports import Ports
from vss.simulation import SimulationLoop, run

_ROUNDS = 5
_COUNT = 20_000
_SLEEPERS = 100

Main = Callable[[], Coroutine[Any, Any, None]]


def _best_s(make_loop: Callable[[], asyncio.AbstractEventLoop], main: Main) -> float:
    """Return the shortest of some rounds, in seconds."""
    times = []
    for _ in range(_ROUNDS):
        with asyncio.Runner(loop_factory=make_loop) as runner:
            begun = time.perf_counter()
            runner.run(main())
            times.append(time.perf_counter() - begun)
    return min(times)


async def _nothing() -> None:
    """Do nothing."""


async def _gathered(sleep: Callable[[float], Awaitable[None]], delay: float) -> None:
    async def sleeper() -> None:
        for _ in range(_COUNT // _SLEEPERS):
            await sleep(delay)

    await asyncio.gather(*(sleeper() for _ in range(_SLEEPERS)))


async def _timers_by_port() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop)
    await _gathered(loop.sleep, 1.0)


async def _timers_by_asyncio() -> None:
    await _gathered(asyncio.sleep, 1.0)


async def _timers_without_waiting() -> None:
    await _gathered(asyncio.sleep, 1e-9)


async def _turns() -> None:
    for _ in range(_COUNT):
        await asyncio.sleep(0)


async def _tasks() -> None:
    for _ in range(_COUNT // 2):
        await asyncio.create_task(_nothing())
        await asyncio.sleep(0)


async def _timeouts() -> None:
    for _ in range(_COUNT // 2):
        async with asyncio.timeout(10):  # noqa: ASYNC100 - entering and leaving is what is measured
            pass


async def _empty(ports: Ports) -> None:
    """Do nothing in a world of its own."""


def _make_simulation_loop() -> asyncio.AbstractEventLoop:
    return SimulationLoop(max_steps_per_instant=0)


def measure() -> dict[str, float]:
    """Return rates, microseconds, and ratios (stock time ÷ our time: above 1 means faster than the stock loop)."""
    stock, ours = asyncio.new_event_loop, _make_simulation_loop
    port_s, timer_s = _best_s(ours, _timers_by_port), _best_s(ours, _timers_by_asyncio)
    stock_timer_s = _best_s(stock, _timers_without_waiting)
    figures = {
        "timer_events_per_s": _COUNT / port_s,
        "asyncio_sleep_timer_events_per_s": _COUNT / timer_s,
        "stock_timer_events_per_s": _COUNT / stock_timer_s,
        "timer_ratio": stock_timer_s / port_s,
        "asyncio_sleep_timer_ratio": stock_timer_s / timer_s,
    }
    for name, main, count in (
        ("sleep0", _turns, _COUNT),
        ("task", _tasks, _COUNT // 2),
        ("timeout", _timeouts, _COUNT // 2),
    ):
        stock_s, our_s = _best_s(stock, main), _best_s(ours, main)
        figures[f"{name}_us"] = our_s / count * 1e6
        figures[f"{name}_ratio"] = stock_s / our_s
    begun = time.perf_counter()
    for _ in range(500):
        run(_empty)
    figures["empty_run_us"] = (time.perf_counter() - begun) / 500 * 1e6
    return {name: round(figure, 3) for name, figure in figures.items()}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
