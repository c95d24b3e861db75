"""What the protocol alone costs: full backups of five stub writers on two stub volumes, without a byte copied.

Each session goes from initialise to release in one simulated world. Rounds of sessions alternate with rounds that create and
await empty tasks on the same loop, so ``tasks_per_session`` (how many such tasks one session costs) compares between machines
and under load; the rates are of processor time, since a session never waits. ``python benchmarks/session.py`` prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vss.ports import Ports
from vss.simulation import run
from vss.testing import Scene, StubVolume, StubWriter

_WRITERS = ("A", "B", "C", "D", "E")
_VOLUMES = ("D:", "L:")
_ROUNDS = 15
_SESSIONS = 60
_TASKS = 4000
_WORLDS = 100


async def _scene(ports: Ports) -> Scene:
    calls: list[str] = []
    return await Scene.build(
        ports,
        writers=[StubWriter(name, calls) for name in _WRITERS],
        volumes=[StubVolume(ports, name, calls) for name in _VOLUMES],
        calls=calls,
    )


async def _sessions(scene: Scene) -> None:
    for _ in range(_SESSIONS):
        await scene.backup(volumes=_VOLUMES)
        scene.calls.clear()


async def _nothing() -> None:
    """Do nothing."""


async def _tasks() -> None:
    for _ in range(_TASKS):
        await asyncio.create_task(_nothing())


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    begun = time.process_time()
    await work()
    return time.process_time() - begun


async def _rounds(ports: Ports) -> tuple[list[float], list[float]]:
    """Return seconds per session and seconds per task, one of each per round."""
    scene = await _scene(ports)
    sessions, tasks = [], []
    for _ in range(_ROUNDS):
        tasks.append(await _timed(_tasks) / _TASKS)
        sessions.append(await _timed(lambda: _sessions(scene)) / _SESSIONS)
        await ports.clock.sleep(1)  # the loop bounds the steps of one instant
    scene.assert_nothing_left()
    return sessions, tasks


async def _one(ports: Ports) -> None:
    """One session in a world of its own, as a campaign has it."""
    scene = await _scene(ports)
    await scene.backup(volumes=_VOLUMES)
    scene.assert_nothing_left()


def measure() -> dict[str, float]:
    """Return sessions per second (slowest, median, fastest round) and what a session costs in empty tasks."""
    sessions, tasks = run(_rounds)
    begun = time.process_time()
    for seed in range(_WORLDS):
        run(_one, seed=seed)
    worlds_s = time.process_time() - begun
    figures = {
        "sessions_per_s_min": 1 / max(sessions),
        "sessions_per_s_median": 1 / statistics.median(sessions),
        "sessions_per_s_max": 1 / min(sessions),
        "sessions_in_own_world_per_s": _WORLDS / worlds_s,
        "empty_tasks_per_s_median": 1 / statistics.median(tasks),
        "tasks_per_session": statistics.median(a / b for a, b in zip(sessions, tasks, strict=True)),
    }
    return {name: round(figure, 1) for name, figure in figures.items()}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
