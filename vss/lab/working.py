"""A workload at work, in a task of its own: it may end, fail, be cancelled from outside, or die as a program that crashes does.

What it raises is the lab's to tell. An end by cancellation or by death is no error of the lab: programs do die, and the machine
goes on without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from vss.plugins.hosts import Workload


class Working:
    """One workload's task. Make it inside the loop that is to run it."""

    def __init__(self, workload: Workload, until_ns: int) -> None:
        """Start it."""
        self.started = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._work(workload, until_ns), name=f"workload:{workload.name}")
        self._task.add_done_callback(self._settle)
        when_killed = getattr(loop, "when_killed", None)  # only a simulated loop has deaths, of which asyncio tells nobody
        if when_killed is not None:
            when_killed(self._task, self._settle)

    async def _work(self, workload: Workload, until_ns: int) -> None:
        self.started.set()
        await workload.run_until(until_ns)

    def _settle(self, task: asyncio.Task[None] | None = None) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def over(self) -> None:
        """Wait until it is over; raise what the workload raised."""
        await asyncio.wait([self._over])
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    def cancel(self) -> None:
        """Cancel it where it still runs."""
        if not self._over.done():
            self._task.cancel()

    async def gone(self) -> None:
        """Wait until it is over, however it ended."""
        await asyncio.wait([self._over])


async def end_all(working: Sequence[Working]) -> None:
    """Cancel what still runs, and wait for it."""
    for each in working:
        each.cancel()
    for each in working:
        await each.gone()
