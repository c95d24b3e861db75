"""Calling plugins: each under a deadline, many at once, outcomes as data in the order asked.

A veto of one role never cancels its siblings, so nothing here raises for what a plugin did. A plugin that does not answer is
cancelled and left behind (it may ignore that): whatever it returns later has no effect and is recorded as
``LateAnswerIgnored``. Only the cancellation of the caller itself passes through.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from vss.coordinator.service_log import ServiceLog
from vss.events import LateAnswerIgnored
from vss.ports import NANOSECONDS, Ports, no_faults

Work = Callable[[], Coroutine[Any, Any, Any]]


class Call(msgspec.Struct, frozen=True):
    """One thing to ask of one role. ``site`` and ``selectors`` name the point for injected faults, unless whoever asks, or who
    is asked, has passed it (``is_site`` is False)."""

    role: str
    site: str
    work: Work
    selectors: tuple[tuple[str, str], ...] = ()
    is_site: bool = True


class Outcome(msgspec.Struct, frozen=True):
    """What came of a call, and how long it took: a value, or an error (``DeadlineError`` when there was no answer in time)."""

    role: str
    site: str
    value: Any = None
    error: BaseException | None = None
    duration_ns: int = 0

    @property
    def is_ok(self) -> bool:
        """Whether the role answered without error."""
        return self.error is None

    @property
    def is_timeout(self) -> bool:
        """Whether the role did not answer within its limit."""
        return isinstance(self.error, DeadlineError)

    @property
    def limit_ns(self) -> int:
        """How long an answer that did not come was waited for, in nanoseconds; -1 where there was no limit."""
        limit_s = self.error.limit_s if isinstance(self.error, DeadlineError) else math.inf
        return round(limit_s * NANOSECONDS) if math.isfinite(limit_s) else -1


class DeadlineError(Exception):
    """No answer within the limit (``inf``: there was none). Our own class, so that a plugin's ``TimeoutError`` is not mistaken
    for it."""

    def __init__(self, message: str, limit_s: float = math.inf) -> None:
        """Say what did not come, and for how many seconds it was waited for."""
        super().__init__(message)
        self.limit_s = limit_s


async def _all_done(tasks: Sequence[asyncio.Task[Any]], limit_s: float) -> None:
    """Return when all ``tasks`` are done or ``limit_s`` seconds have passed.

    What ``asyncio.wait`` does, without its sets: a session waits here some twenty times, mostly for one task.
    """
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    missing = len(tasks)

    def end() -> None:
        if not over.done():
            over.set_result(None)

    def count(task: asyncio.Task[Any]) -> None:
        nonlocal missing
        missing -= 1
        if missing == 0:
            end()

    for task in tasks:
        task.add_done_callback(count)
    timer = None if limit_s == math.inf else loop.call_later(max(limit_s, 0.0), end)
    try:
        await over
    finally:
        if timer is not None:
            timer.cancel()
        if missing:
            for task in tasks:
                task.remove_done_callback(count)


class Caller:
    """Makes calls in one world and keeps those that were left behind, so that the end of the world can collect them.

    Attributes:
        log: the service's event log, for whoever judges the outcomes.
    """

    def __init__(self, ports: Ports) -> None:
        """Call through ``ports``, whose fault site every call passes."""
        self._ports = ports
        self.log = ServiceLog(ports.emit)
        self._left_behind: dict[int, asyncio.Task[Any]] = {}
        self._next_number = 0

    async def call(self, call: Call, limit_s: float) -> Outcome:
        """Make one call and wait for it for at most ``limit_s`` seconds (``inf``: no limit)."""
        return (await self.fan_out([call], limit_s))[0]

    async def fan_out(self, calls: Sequence[Call], limit_s: float) -> list[Outcome]:
        """Make all calls at once; return their outcomes in the order of ``calls``."""
        if not calls:
            return []
        create_task = asyncio.get_running_loop().create_task
        started_ns = self._ports.clock.now_ns()
        ended_ns: dict[int, int] = {}
        tasks = [create_task(self._timed(call, number, ended_ns)) for number, call in enumerate(calls)]
        try:
            await _all_done(tasks, limit_s)
        except asyncio.CancelledError:
            for call, task in zip(calls, tasks, strict=True):
                self._leave_behind(call, task)
            raise
        now_ns = self._ports.clock.now_ns()
        return [
            self._outcome(call, task, limit_s, ended_ns.get(number, now_ns) - started_ns)
            for number, (call, task) in enumerate(zip(calls, tasks, strict=True))
        ]

    async def _timed(self, call: Call, number: int, ended_ns: dict[int, int]) -> Any:
        try:
            return await self._ask(call)
        finally:
            ended_ns[number] = self._ports.clock.now_ns()

    async def _ask(self, call: Call) -> Any:
        if self._ports.faults is no_faults or not call.is_site:
            return await call.work()
        return await self._ports.faults(call.site, call.work, **dict(call.selectors))

    def _outcome(self, call: Call, task: asyncio.Task[Any], limit_s: float, duration_ns: int) -> Outcome:
        if not task.done():
            self._leave_behind(call, task)
            error: BaseException | None = DeadlineError(f"no answer within {limit_s:g} s", limit_s)
            return Outcome(call.role, call.site, error=error, duration_ns=duration_ns)
        if task.cancelled():
            return Outcome(call.role, call.site, error=DeadlineError("the call was cancelled"), duration_ns=duration_ns)
        error = task.exception()
        if error is not None:
            return Outcome(call.role, call.site, error=error, duration_ns=duration_ns)
        return Outcome(call.role, call.site, value=task.result(), duration_ns=duration_ns)

    def _leave_behind(self, call: Call, task: asyncio.Task[Any]) -> None:
        if task.done():
            if not task.cancelled():
                task.exception()  # retrieved: its caller is gone, so nobody else will
            return
        number = self._next_number
        self._next_number += 1
        self._left_behind[number] = task
        task.add_done_callback(lambda done: self._collect(number, call, done))
        task.cancel()

    def _collect(self, number: int, call: Call, task: asyncio.Future[Any]) -> None:
        del self._left_behind[number]
        if task.cancelled():
            return
        task.exception()
        self._ports.emit(LateAnswerIgnored(role=call.role, step=call.site))

    @property
    def left_behind_count(self) -> int:
        """How many calls were given up and have not ended yet."""
        return len(self._left_behind)

    async def close(self, limit_s: float) -> None:
        """Cancel what was left behind once more and wait a bounded time for it."""
        tasks = list(self._left_behind.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=limit_s)
