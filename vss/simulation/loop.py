"""The deterministic event loop: virtual time, one order, nothing of the outside world.

Decides when a step runs and what time it is then; what may run at all is in ``vss.simulation.steps``. Invariants: time is
integer nanoseconds and advances only when nothing is ready; equal-time timers fire in order of creation; with FIFO order the
sequence of steps is that of the stock loop; a run that can make no progress ends with an error that says who waits for what.
``stall`` lets time pass inside a step, as code that blocks the loop does.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import types
from asyncio import events
from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush
from typing import Any, TypeVarTuple

from vss.simulation.choices import ChoiceSource, Order
from vss.simulation.errors import DeadlockError, LivelockError, VirtualTimeError
from vss.simulation.parts import ACTOR, SimulationTask, Timer, Waker, label_of, owner_of
from vss.simulation.steps import StepLoop
from vss.simulation.waiting import waiting_report

Ts = TypeVarTuple("Ts")

MAX_STEPS_PER_INSTANT = 100_000
MAX_JITTER_NS = 1_000_000
_NANOSECONDS = 1_000_000_000
_EXACT_FLOAT_NS = 1 << 52
_NEVER = 1 << 62  # 146 years
_LONGEST_S = float(_NEVER // _NANOSECONDS + 1)
_COLLECT_STEPS = 1 << 18
_SWEEP_TIMERS = 64


class SimulationLoop(StepLoop):
    """An event loop for ``asyncio.Runner(loop_factory=SimulationLoop)`` or ``vss.simulation.run``.

    Args:
        start_ns: the first instant.
        choices: who decides what ``order`` leaves open.
        order: see ``Order``.
        max_steps: bound on steps in the whole life of the loop; 0 means none.
        max_steps_per_instant: bound on steps while time stands still; 0 means none.
        until_ns: the last instant that may be reached; None means no bound.
        max_jitter_ns: the greatest lateness of a timer under ``Order.JITTER``.
    """

    def __init__(
        self,
        *,
        start_ns: int = 0,
        choices: ChoiceSource | None = None,
        order: Order = Order.FIFO,
        max_steps: int = 0,
        max_steps_per_instant: int = MAX_STEPS_PER_INSTANT,
        until_ns: int | None = None,
        max_jitter_ns: int = MAX_JITTER_NS,
    ) -> None:
        super().__init__()
        assert choices is not None or order is Order.FIFO, "an order other than FIFO needs a choice source"
        self._clock_resolution = 0
        self._choices = choices
        self._order = order
        self._max_jitter_ns = max_jitter_ns if order is Order.JITTER else 0
        self._jitter_bound = max_jitter_ns + 1 if order is Order.JITTER else 0
        self._now_ns = start_ns
        self._until_ns = sys.maxsize if until_ns is None else until_ns
        self._sequence = 0
        self._steps = 0
        self._max_steps = max_steps or sys.maxsize
        self._max_steps_per_instant = max_steps_per_instant or sys.maxsize
        self._clean_up_steps = min(self._max_steps_per_instant, self._max_steps)
        self._next_collection = _COLLECT_STEPS
        self._instant_steps = 0
        self._set_mark()
        self._trace: Callable[[int, str], None] | None = None
        self._stalled_ns = 0  # how long the loop was blocked in all

    # -- time ------------------------------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The present instant."""
        return self._now_ns

    @property
    def steps(self) -> int:
        """Steps run so far, complete whenever the loop is not running."""
        return self._steps

    @property
    def lateness_ns(self) -> int:
        """How late a timer of this run may have fired: by jitter, and by steps that blocked the loop."""
        return self._stalled_ns + self._max_jitter_ns

    def time(self) -> float:
        """Return the present instant in seconds, for asyncio's own deadlines."""
        return self._now_ns / _NANOSECONDS

    def stall(self, seconds: float) -> None:
        """Let time pass inside the running step, as code that blocks the loop does: timers meanwhile due fire late."""
        self._now_ns += round(seconds * _NANOSECONDS)
        self._stalled_ns += round(seconds * _NANOSECONDS)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Arm a timer for an instant in seconds.

        Up to 2**52 ns (52 days) a float says every nanosecond. Later the distance from now is rounded to microseconds, so that
        ``loop.time() + delay``, which is how asyncio computes deadlines, still gives exactly ``delay``.
        """
        try:
            if self._now_ns < _EXACT_FLOAT_NS:
                when_ns = round(when * _NANOSECONDS)
            else:
                when_ns = self._now_ns + round((when - self._now_ns / _NANOSECONDS) * 1_000_000) * 1000
        except OverflowError:
            when_ns = _NEVER
        return self._arm(when_ns, when, callback, args, context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Arm a timer ``delay`` seconds from now, exact to the nanosecond."""
        if delay is None:
            raise TypeError("delay must not be None")
        try:
            when_ns = self._now_ns + round(delay * _NANOSECONDS)
        except OverflowError:
            when_ns = _NEVER
        return self._arm(when_ns, when_ns / _NANOSECONDS, callback, args, context)

    def _arm(
        self,
        when_ns: int,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> asyncio.TimerHandle:
        if self._closed:
            self._check_closed()
        if self._debug:
            self._check_call(callback, "call_at")
        timer = Timer(when, callback, args, self, contextvars.copy_context() if context is None else context)
        self._push(when_ns, timer)
        return timer

    def _push(self, when_ns: int, item: Timer | asyncio.Future[None]) -> None:
        if self._jitter_bound:
            assert self._choices is not None
            when_ns += self._choices.draw(self._jitter_bound)
        self._sequence = sequence = self._sequence + 1
        if when_ns < _NEVER:
            heappush(self._scheduled, (when_ns, sequence, item))

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task, exact to the nanosecond; cheaper than ``asyncio.sleep``, in the same order with it.

        As there, a delay of 0 or less lets every other ready step go first.
        """
        if seconds <= 0:
            await _yield()
            return
        waker: asyncio.Future[None] = Waker(loop=self)
        self._push(self._now_ns + round(min(seconds, _LONGEST_S) * _NANOSECONDS), waker)
        try:
            await waker
        except BaseException:
            self.note_cancelled_timer()
            raise

    def note_cancelled_timer(self) -> None:
        """Keep the heap from filling with the cancelled timers of timeouts that were met."""
        self._timer_cancelled_count += 1
        timers = self._scheduled
        if self._timer_cancelled_count > _SWEEP_TIMERS and self._timer_cancelled_count * 2 > len(timers):
            timers[:] = [entry for entry in timers if not entry[2].cancelled()]
            heapify(timers)
            self._timer_cancelled_count = 0

    def armed_timers(self) -> list[Timer]:
        """Return the timers that are armed and not cancelled, in order of firing; sleeping tasks are not among them, nor are
        timers of a role that was killed: nobody is left to cancel them."""
        timers = (item for _, _, item in sorted(self._scheduled) if not asyncio.isfuture(item) and not item.cancelled())
        return [timer for timer in timers if timer._context.get(ACTOR, "") not in self._killed_actors]

    # -- running ---------------------------------------------------------------------------------------------------------------

    def set_trace(self, trace: Callable[[int, str], None] | None) -> None:
        """Call ``trace(instant_ns, label)`` before every step; labels are task names and callbacks' qualified names."""
        assert not self.is_running(), "tracing is switched while the loop stands still"
        self._trace = trace

    def run_forever(self) -> None:
        """Run until ``stop`` is called.

        Raises:
            DeadlockError: nothing is ready and no timer is armed.
            LivelockError: a bound on steps is reached.
            VirtualTimeError: the next timer lies behind ``until_ns``.
        """
        self._check_closed()
        self._check_running()
        self._set_coroutine_origin_tracking(self._debug)
        hooks = sys.get_asyncgen_hooks()
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook)
            events._set_running_loop(self)
            if self._trace is None and self._order is not Order.ANY:
                self._run_plainly()
            else:
                self._run_chosen()
        finally:
            self._stopping = False
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)

    def _run_plainly(self) -> None:
        """Run batches of ready steps in order; written flat, since this is where a campaign spends its time."""
        ready, timers = self._ready, self._scheduled
        popleft, append = ready.popleft, ready.append
        while True:
            if not ready and not self._stopping:
                self._advance()
            now_ns = self._now_ns
            while timers and timers[0][0] <= now_ns:
                item = heappop(timers)[2]
                if item.__class__ is Timer:
                    item.armed = False
                append(item)
            count = len(ready)
            self._steps = steps = self._steps + count
            if steps > self._mark:
                self._pass_mark()
            for _ in range(count):
                item = popleft()
                if item.__class__ is Waker:
                    if not item.done():
                        item.set_result(None)
                elif not item._cancelled:
                    item._run()
            if self._stopping:
                break

    def _run_chosen(self) -> None:
        """Run step by step where the order is asked for or a trace is kept; FIFO batches otherwise as in ``_run_plainly``."""
        ready = self._ready
        permutes = self._order is Order.ANY
        while True:
            if not ready and not self._stopping:
                self._advance()
            self._fire_due(permutes)
            count = min(1, len(ready)) if permutes else len(ready)
            self._steps += count
            if self._steps > self._mark:
                self._pass_mark()
            for _ in range(count):
                item = self._take_chosen() if permutes else ready.popleft()
                if item.cancelled():
                    continue
                if self._trace is not None:
                    self._trace(self._now_ns, label_of(item))
                if isinstance(item, asyncio.Handle):
                    item._run()
                else:
                    item.set_result(None)
            if self._stopping:
                break

    def _fire_due(self, permutes: bool) -> None:
        timers = self._scheduled
        while timers and timers[0][0] <= self._now_ns:
            when_ns = timers[0][0]
            due = []
            while timers and timers[0][0] == when_ns:
                item = heappop(timers)[2]
                if item.__class__ is Timer:
                    item.armed = False
                if not item.cancelled():
                    due.append(item)
            while permutes and len(due) > 1:
                assert self._choices is not None
                self._ready.append(due.pop(self._choices.draw(len(due))))
            self._ready.extend(due)

    def _take_chosen(self) -> asyncio.Handle | asyncio.Future[None]:
        """Take one ready item: any task's step, or the first of the plain callbacks."""
        ready = self._ready
        positions: list[int] = []
        keys: list[int] = []
        for position, item in enumerate(ready):
            owner = owner_of(item)
            key = owner.number if isinstance(owner, SimulationTask) else 0
            if not item.cancelled() and (key or 0 not in keys):
                positions.append(position)
                keys.append(key)
        if not positions:
            positions, keys = [0], [0]  # only cancelled items are left
        assert self._choices is not None
        position = positions[self._choices.pick(keys) if len(keys) > 1 else 0]
        taken: asyncio.Handle | asyncio.Future[None] = ready[position]
        del ready[position]
        return taken

    def _advance(self) -> None:
        """Let time pass until the first armed timer."""
        timers = self._scheduled
        while timers and timers[0][2].cancelled():
            heappop(timers)
            self._timer_cancelled_count -= 1
        if not timers:
            raise DeadlockError(
                f"deadlock at {self._now_ns} ns: nothing is ready, no timer is armed\n{self._waiting()}",
                hint="every wait needs a limit: use asyncio.timeout",
            )
        when_ns = timers[0][0]
        if when_ns <= self._now_ns:
            return
        if when_ns > self._until_ns:
            raise VirtualTimeError(
                f"the run must end by {self._until_ns} ns, the next timer is at {when_ns} ns\n{self._waiting()}",
                hint="raise max_virtual_s, or look for a task that never ends",
            )
        self._now_ns = when_ns
        self._instant_steps = self._steps
        self._set_mark()

    def _waiting(self) -> str:
        return waiting_report(self.tasks())

    def allow_clean_up(self) -> None:
        """Let a run that ended, perhaps by a bound, clean up: no bound on time, a bound on steps of its own, and FIFO order, so
        that a choice source which ended the run is not asked again."""
        self._order = Order.FIFO
        self._jitter_bound = 0
        self._until_ns = sys.maxsize
        self._max_steps = self._steps + self._clean_up_steps
        self._instant_steps = self._steps
        self._set_mark()

    def _set_mark(self) -> None:
        self._mark = min(self._instant_steps + self._max_steps_per_instant, self._max_steps, self._next_collection)

    def _pass_mark(self) -> None:
        """Do what is due after so many steps: end a run that exceeds a bound, or collect garbage at a fixed place."""
        steps = self._steps
        if steps > self._max_steps:
            raise LivelockError(f"the run took more than {self._max_steps} steps\n{self._waiting()}", hint="raise max_steps")
        if steps - self._instant_steps > self._max_steps_per_instant:
            raise LivelockError(
                f"more than {self._max_steps_per_instant} steps at {self._now_ns} ns\n{self._waiting()}",
                hint="some tasks wake each other without letting time pass",
            )
        self._next_collection = steps + _COLLECT_STEPS
        if not gc.isenabled():
            gc.collect()
        self._set_mark()


@types.coroutine
def _yield() -> Generator[None, None, None]:
    yield
