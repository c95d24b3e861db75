"""One simulated run: a fresh loop, the ports on it, the main coroutine, and the end of the world.

At the end, whatever the outcome: tasks still running are cancelled in order of creation and awaited (their clean-up is part of
the run); then the world is closed, and killed tasks, too, are let go, with no way left to have an effect; then the leak check
looks for tasks that ignored their cancellation and for armed timers. Garbage collection is off during a run, but for
collections at fixed step counts, so that finalisers run at places which the seed decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from vss.errors import BadStateError, Interrupted
from vss.events import Event
from vss.interrupts import Interrupts
from vss.ports import NANOSECONDS, FaultSite, HostFiles, Ports, Processes
from vss.simulation.choices import ChoiceSource, Order
from vss.simulation.errors import LeakError, SimulationError, UnhandledError, WorldClosedError
from vss.simulation.loop import SimulationLoop
from vss.simulation.ports import START_WALL_NS, discard, simulated_ports
from vss.simulation.run_judge import RunJudge
from vss.simulation.waiting import waiting_report

T = TypeVar("T")

MAX_STEPS = 5_000_000


class Simulation(Generic[T]):
    """A run to look at afterwards. ``run`` does the same where the result is enough; arguments are described there.

    Attributes:
        loop: the loop; ``now_ns`` and ``steps`` stay readable after the run.
        ports: what the main coroutine is given.
    """

    def __init__(
        self,
        main: Callable[[Ports], Awaitable[T]],
        *,
        seed: int = 0,
        files: HostFiles | None = None,
        emit: Callable[[Event], None] | None = None,
        start_wall_ns: int = START_WALL_NS,
        start_now_ns: int = 0,
        choices: ChoiceSource | None = None,
        order: Order | None = None,
        faults: FaultSite | None = None,
        processes: Processes | None = None,
        max_steps: int = MAX_STEPS,
        max_virtual_s: float | None = None,
        trace: bool = False,
        unjudged: str = "",
    ) -> None:
        """Prepare the world; nothing runs yet."""
        if order is None:
            order = Order.FIFO if choices is None else Order.ANY
        until_ns = None if max_virtual_s is None else start_now_ns + round(max_virtual_s * NANOSECONDS)
        self.loop = SimulationLoop(start_ns=start_now_ns, choices=choices, order=order, max_steps=max_steps, until_ns=until_ns)
        self.loop.set_exception_handler(self._note_unhandled)
        self._main = main
        self._emit = discard if emit is None else emit
        self._is_closed = False
        self._unhandled: list[str] = []
        self._digest = hashlib.blake2b(digest_size=16) if trace else None
        self._judge = None if unjudged else RunJudge(self.loop)
        if trace:
            self.loop.set_trace(self._note_step)
        self.ports = simulated_ports(
            self.loop,
            seed=seed,
            files=files,
            emit=self._emit_while_open,
            start_wall_ns=start_wall_ns,
            faults=faults,
            processes=processes,
        )

    @property
    def now_ns(self) -> int:
        """The instant the run has reached."""
        return self.loop.now_ns

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self.loop.steps

    @property
    def trace_digest(self) -> str:
        """Digest of every step's instant and label; empty without ``trace``."""
        return "" if self._digest is None else self._digest.hexdigest()

    def run(self) -> T:
        """Run to the end, once; return the main coroutine's result or raise its exception.

        Raises:
            BadStateError: another loop is running in this thread, or this simulation has run already.
            Interrupted: SIGINT or SIGTERM came and the main coroutine ended by an exception.
        """
        if self.loop.is_closed():
            raise BadStateError("this simulation has run already", hint="make a new one: a world is used once")
        if asyncio._get_running_loop() is not None:
            self.loop.close()
            raise BadStateError(
                "a simulated world cannot be run inside a running event loop", hint="call vss.simulation.run from plain code"
            )
        was_collecting = gc.isenabled()
        gc.disable()
        try:
            return self._run_and_end()
        finally:
            self.loop.close()
            if was_collecting:
                gc.enable()

    def _run_and_end(self) -> T:
        task = self.loop.create_task(self._await_main(), name="main")
        with Interrupts(lambda: self.loop.call_soon(task.cancel)) as interrupts:
            try:
                result = self.loop.run_until_complete(task)
            except BaseException as error:
                for problem in self._end(task):
                    error.add_note(f"at the end of the run: {problem.message}")
                if interrupts.signum is not None:
                    raise Interrupted(interrupts.signum) from error
                self._judge_run(error)
                raise
            for problem in self._end(task):
                self._judge_run(problem)
                raise problem
            self._judge_run(None)
            return result

    def _judge_run(self, ended_by: BaseException | None) -> None:
        if self._judge is not None:
            self._judge.judge(ended_by)

    async def _await_main(self) -> T:
        return await self._main(self.ports)

    def _end(self, main: asyncio.Task[T]) -> list[SimulationError]:
        """End the world; return what was wrong with it."""
        leftover = self.loop.tasks()
        problems = self._cancel(leftover)
        self.loop.allow_clean_up()
        if not self.loop.has_killed and not problems:  # a generator that a task is in cannot be closed before the task is over
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        for task in leftover:
            if task is not main and task.done() and not task.cancelled() and (error := task.exception()) is not None:
                self._unhandled.append(f"task '{task.get_name()}' failed while it was cancelled: {error!r}")
        problems += [UnhandledError(text) for text in self._unhandled]
        if main.done() and not main.cancelled() and main.exception() is None:
            timers = self.loop.armed_timers()
            problems += [LeakError(f"a timer for {timer.when()} s is still armed at the end of the run") for timer in timers]
        problems += self._let_killed_go()
        self._abandon()
        return problems

    def _abandon(self) -> None:
        """Close what outlived its cancellation, in order of creation and in a closed world.

        Else garbage collection does, at some other place, and after the generators that it is in.
        """
        with self._shut_files():
            for task in self.loop.tasks():
                coroutine = task.get_coro()
                if coroutine is not None:
                    with contextlib.suppress(Exception, asyncio.CancelledError):
                        coroutine.close()

    def _shut_files(self) -> contextlib.AbstractContextManager[object]:
        shut = getattr(self.ports.files, "shut", None)
        return contextlib.nullcontext() if shut is None else shut()

    def _cancel(self, tasks: list[asyncio.Task[Any]]) -> list[SimulationError]:
        if not tasks:
            return []
        for task in tasks:
            task.cancel()
        self.loop.allow_clean_up()
        try:
            self.loop.run_until_complete(_settled(tasks))
        except SimulationError as error:
            left = [task for task in tasks if not task.done()]
            problem = LeakError(f"{len(left)} tasks outlived their cancellation\n{waiting_report(left)}")
            problem.__cause__ = error
            return [problem]
        return []

    def _let_killed_go(self) -> list[SimulationError]:
        """Give killed tasks their frames back, so that nothing leaks, in a closed world: whatever they try is refused."""
        killed = self.loop.revive_killed()
        self._is_closed = True
        if not killed:
            return []
        with self._shut_files():
            problems = self._cancel(killed)
            if not problems:
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        return problems

    def _emit_while_open(self, event: Event) -> None:
        if self._is_closed:
            raise WorldClosedError(f"{type(event).__name__} emitted after the end of the world")
        if self._judge is not None:
            self._judge.take(event)
        self._emit(event)

    def _note_unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._unhandled.append(f"{context['message']}: {context.get('exception')!r}")

    def _note_step(self, instant_ns: int, label: str) -> None:
        assert self._digest is not None
        self._digest.update(f"{instant_ns} {label}\n".encode())


async def _settled(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def run(
    main: Callable[[Ports], Awaitable[T]],
    *,
    seed: int = 0,
    files: HostFiles | None = None,
    emit: Callable[[Event], None] | None = None,
    start_wall_ns: int = START_WALL_NS,
    start_now_ns: int = 0,
    choices: ChoiceSource | None = None,
    order: Order | None = None,
    faults: FaultSite | None = None,
    processes: Processes | None = None,
    max_steps: int = MAX_STEPS,
    max_virtual_s: float | None = None,
    unjudged: str = "",
) -> T:
    """Run ``main`` in a fresh simulated world and return its result.

    Args:
        main: gets the world's ports.
        seed: where every random stream and every id comes from.
        files: the host's files; a fresh ``MemoryFiles`` by default. ``vss.real.RealFiles`` gives virtual time over real files.
        emit: gets every event.
        start_wall_ns: what the wall clock shows at the start.
        start_now_ns: the first instant of the monotonic clock.
        choices: who decides what ``order`` leaves open.
        order: ``Order.FIFO`` without ``choices``, ``Order.ANY`` with them, unless given.
        faults: the fault site, a ``FaultPlan`` for example.
        processes: answers for programs; refused by default.
        max_steps: bound on steps.
        max_virtual_s: bound on virtual time.
        unjudged: why the events of this run are not judged by the invariants (made-up events, for example); else they are.

    Raises:
        DeadlockError: nothing can go on; the message lists who waits for what.
        LivelockError: a bound on steps was reached.
        VirtualTimeError: the bound of virtual time was reached.
        LeakError: ``main`` returned, but a task ignored its cancellation or a timer is still armed.
        UnhandledError: ``main`` returned, but an exception was lost elsewhere.
        Interrupted: SIGINT or SIGTERM came; ``main`` was cancelled and has cleaned up.
        InvariantError: the events say that an invariant was broken (``vss.simulation.invariants``).
    """
    return Simulation(
        main,
        seed=seed,
        files=files,
        emit=emit,
        start_wall_ns=start_wall_ns,
        start_now_ns=start_now_ns,
        choices=choices,
        order=order,
        faults=faults,
        processes=processes,
        max_steps=max_steps,
        max_virtual_s=max_virtual_s,
        unjudged=unjudged,
    ).run()
