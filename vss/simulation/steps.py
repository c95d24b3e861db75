"""What may run in a simulated world: steps, tasks, futures, crashes; and what a simulated world refuses.

Half of the loop; ``vss.simulation.loop`` adds when it runs. Invariants: tasks are numbered in order of creation and hash by
that number, so that sets of tasks (task groups, ``asyncio.wait``, shutdown) iterate the same way in every process; threads,
sockets, signals and processes are refused with the port to use; a killed task is never stepped again, and its ``finally``
blocks do not run before the world ends.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from vss.simulation.errors import ForbiddenError
from vss.simulation.forbidden import ADVICE, refusal
from vss.simulation.parts import ACTOR, BaseLoop, Limbo, SimulationFuture, SimulationTask, Step, owner_of, stepped_by

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class StepLoop(BaseLoop):
    """The part of ``SimulationLoop`` that knows no time."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = None  # some pytest plugins patch the attribute of every loop they meet
        self._number = 0
        self._killed: dict[asyncio.Task[Any], Callable[[], object]] = {}  # and how each is woken at the end of the world
        self._killed_actors: dict[str, None] = {}
        self._is_over = False
        self._mourners: dict[asyncio.Task[Any], Callable[[], object]] = {}

    def __del__(self) -> None:
        """Say nothing of a loop that was not closed: it holds nothing of the system's."""

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Let ``callback(*args)`` run as a step after those that are ready now."""
        if self._closed:
            self._check_closed()
        if self._debug:
            self._check_call(callback, "call_soon")
            handle: asyncio.Handle = asyncio.Handle(callback, args, self, context)
        else:
            handle = Step(callback, args, self, contextvars.copy_context() if context is None else context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Do as ``call_soon`` where the loop's own thread (or its signal handler) asks.

        Raises:
            ForbiddenError: another thread asks.
        """
        if self._thread_id is not None and self._thread_id != threading.get_ident():
            raise ForbiddenError(
                "call_soon_threadsafe from a foreign thread: a simulated world has one thread",
                hint="do blocking work through the port 'blocking'",
            )
        return self.call_soon(callback, *args, context=context)

    def _check_call(self, callback: Callable[..., object], method: str) -> None:
        self._check_thread()
        self._check_callback(callback, method)

    def next_number(self) -> int:
        """Return the next creation number."""
        self._number += 1
        return self._number

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future whose place in a set depends on nothing outside the run."""
        return SimulationFuture(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[T]:
        """Start a task; without a name it is called ``Task-N``, N counted in this loop."""
        if self._task_factory is not None:
            return super().create_task(coro, name=name, context=context, **options)
        if self._closed:
            self._check_closed()
        task: SimulationTask[T] = SimulationTask.__new__(SimulationTask)
        task.number = number = self.next_number()  # before __init__, which puts the task into a set
        task.actor = ACTOR.get() if context is None else context.get(ACTOR, "")
        SimulationTask.__init__(
            task, coro, loop=self, name=f"Task-{number}" if name is None else str(name), context=context, **options
        )
        return task

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that are neither done nor dead, in order of creation."""
        return sorted((task for task in asyncio.all_tasks(self) if task not in self._killed), key=_number)

    # -- crashes ---------------------------------------------------------------------------------------------------------------

    def kill(self, task: asyncio.Task[Any]) -> None:
        """Stop ``task`` as a crash would: it is never stepped again, its ``finally`` blocks do not run, nobody is told.

        Killing a task that is done or dead does nothing. A running step cannot be killed from outside: it calls ``die``.
        """
        assert isinstance(task, SimulationTask), "only tasks of this loop can be killed"
        assert asyncio.current_task(self) is not task, "a running step cannot be killed, only die"
        if task.done() or task in self._killed or self._is_over:
            return
        for callback, context in getattr(task._fut_waiter, "_callbacks", None) or ():
            if stepped_by(callback) is task:
                task._fut_waiter.remove_done_callback(callback)
                self._bury(task, partial(task._fut_waiter.add_done_callback, callback, context=context))
                return
        handle = next(handle for handle in self._ready if owner_of(handle) is task)
        self._bury(task, partial(self.call_soon, handle._callback, *handle._args, context=handle._context))
        handle.cancel()

    def _bury(self, task: asyncio.Task[Any], revive: Callable[[], object]) -> None:
        self._killed[task] = revive
        mourner = self._mourners.pop(task, None)
        if mourner is not None:
            self.call_soon(mourner)

    def when_killed(self, task: asyncio.Task[Any], callback: Callable[[], object]) -> None:
        """Call ``callback`` once when ``task`` is killed or dies; asyncio's own callbacks hear nothing of that."""
        self._mourners[task] = callback

    async def die(self) -> NoReturn:
        """Kill the calling task here: this does not return, and not even a cancellation gets through to it."""
        task = asyncio.current_task(self)
        assert isinstance(task, SimulationTask), "only tasks of this loop can die"
        if self._is_over:
            raise asyncio.CancelledError
        limbo = Limbo(loop=self)
        self._bury(task, partial(limbo.set_result, None))
        await limbo
        raise asyncio.CancelledError

    def kill_actor(self, actor: str) -> list[asyncio.Task[Any]]:
        """Kill every task that works for ``actor``, the running one excepted; return them in order of creation."""
        current = asyncio.current_task(self)
        self._killed_actors.setdefault(actor)
        victims = [task for task in self.tasks() if getattr(task, "actor", "") == actor and task is not current]
        for task in victims:
            self.kill(task)
        return victims

    def kill_all_but(self, *survivors: asyncio.Task[Any] | None) -> None:
        """Kill every task that is not named, as when power fails."""
        for task in self.tasks():
            if task not in survivors:
                self.kill(task)

    @property
    def has_killed(self) -> bool:
        """Whether any task is dead and not yet let go."""
        return bool(self._killed)

    def revive_killed(self) -> list[asyncio.Task[Any]]:
        """Let the dead be stepped again, to be cancelled at the end of the world; return them in order of creation.

        Nobody dies any more from now on: a fault that strikes again while the dead are let go would leave them behind.
        """
        self._is_over = True
        killed = sorted(self._killed.items(), key=lambda entry: _number(entry[0]))
        self._killed.clear()
        for _, revive in killed:
            revive()
        return [task for task, _ in killed]


def _number(task: asyncio.Task[Any]) -> int:
    return getattr(task, "number", 0)


for _method in ADVICE:
    setattr(StepLoop, _method, refusal(_method))
