"""Roles as processes: whose task does what, who is dead, and what a crash leaves behind.

In one process with one loop a role has no process of its own; here it gets what is needed to die alone. While a plan holds a
crash, every call to a writer, a provider or the coordinator runs in a task of its own under the role's name (``ACTOR``), so
that the caller's death leaves it running and its own death leaves the caller with the error of a broken connection. A dead
task is never stepped again and its ``finally`` blocks do not run; a crash in the middle of a plain call, which cannot be left
standing, unwinds to the next fault site, where the task dies. Everything with an effect passes a site.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from typing import Any, NoReturn

from vss.simulation.fault_errors import connection_lost
from vss.simulation.loop import SimulationLoop
from vss.simulation.parts import ACTOR

Work = Callable[[], Awaitable[Any]]
COORDINATOR = "coord"
REQUESTOR = "requestor"


class RoleCrashedError(asyncio.CancelledError):
    """Ends the plain call in which a role died; a cancellation for whoever it passes, because nobody may answer to it."""


class _Call:
    """A call that a role's own task works on."""

    def __init__(self, actor: str, site: str) -> None:
        self.actor = actor
        self.site = site
        self.is_dead = False
        self.is_given_up = False
        self.waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Let the caller look at what became of it."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Processes:
    """Who works for whom in one run, and who is dead until when."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._calls: dict[int, _Call] = {}
        self._next_call = 0
        self._gone: dict[str, int | None] = {}
        self._requestors: dict[asyncio.Task[Any], None] = {}
        self._doomed: dict[asyncio.Task[Any], None] = {}
        self.actors: dict[str, None] = {}
        self.mourners: list[Callable[[str], object]] = []

    def note(self, actor: str) -> None:
        """A role was seen; the calling task of a requestor is remembered as its own."""
        self.actors.setdefault(actor)
        if actor == REQUESTOR:
            task = asyncio.current_task()
            if task is not None:
                self._requestors.setdefault(task)

    def resurrect(self) -> None:
        """The machine was switched on again: everybody lives."""
        self._gone.clear()
        self._doomed.clear()
        self._requestors.clear()

    def is_gone(self, actor: str, now_ns: int) -> bool:
        """Whether ``actor`` is dead now; one whose restart is due lives again."""
        if actor not in self._gone:
            return False
        back_ns = self._gone[actor]
        if back_ns is None or now_ns < back_ns:
            return True
        del self._gone[actor]
        return False

    def back_ns(self, actor: str) -> int | None:
        """When ``actor`` is back from the dead; None where it never is, or is not dead."""
        return self._gone.get(actor)

    def is_doomed(self) -> bool:
        """Whether the running task belongs to somebody who died in the middle of a plain call."""
        return bool(self._doomed) and asyncio.current_task() in self._doomed

    def takes_doom(self) -> bool:
        """The same, and from now on it is dead like any other."""
        if not self.is_doomed():
            return False
        task = asyncio.current_task()
        assert task is not None, "only tasks are doomed"
        del self._doomed[task]
        return True

    async def in_own_task(self, actor: str, site: str, work: Work) -> Any:
        """Do ``work`` in a task of the role's own and return its result; a cancellation is passed on to it and awaited.

        Raises:
            VssError: the role died meanwhile.
        """
        loop = asyncio.get_running_loop()
        context = copy_context()
        context.run(ACTOR.set, actor)
        task = loop.create_task(_awaited(work), context=context)
        call = _Call(actor, site)
        number, self._next_call = self._next_call, self._next_call + 1
        self._calls[number] = call
        task.add_done_callback(lambda _: call.wake())
        try:
            while not (task.done() or call.is_dead):
                call.waiter = loop.create_future()
                try:
                    await call.waiter
                except asyncio.CancelledError:
                    call.is_given_up = True
                    if not call.is_dead:
                        task.cancel()
            if not call.is_dead:
                return task.result()
        finally:
            del self._calls[number]
        if call.is_given_up:
            raise asyncio.CancelledError
        raise connection_lost(site, actor)

    def kill(self, loop: SimulationLoop, actor: str, back_ns: int | None) -> bool:
        """Let ``actor`` die: its tasks stop, its callers hear of it. Return whether the running task is one of its own."""
        self._gone[actor] = back_ns
        current = asyncio.current_task()
        for call in [each for each in self._calls.values() if each.actor == actor]:
            call.is_dead = True
            call.wake()
        loop.kill_actor(actor)
        is_own = getattr(current, "actor", "") == actor
        if actor == REQUESTOR:
            is_own = is_own or current in self._requestors
            for task in [each for each in self._requestors if each is not current]:
                loop.kill(task)
            self._requestors.clear()
            del self._gone[actor]  # the next requestor is another process
        for mourner in self.mourners:
            mourner(actor)
        return is_own

    def doom(self) -> None:
        """The running task, in the middle of a plain call, is dead from now on."""
        task = asyncio.current_task()
        if task is not None:
            self._doomed.setdefault(task)


class PartOfWork:
    """A coroutine that is run in part, and what is left of it.

    Attributes:
        is_given_up: a cancellation ended it before the part was done.
    """

    def __init__(self, work: Work) -> None:
        """Nothing runs yet."""
        self.is_given_up = False
        self._work = work
        self._left: Generator[Any, None, Any] | None = None

    @types.coroutine
    def run(self, waits: int | None) -> Generator[Any, None, None]:
        """Run until the last of ``waits`` waits begins (None: to the end); that wait is not passed on, so nothing ends it.

        What the work raises is nobody's business any more.
        """
        running = _awaited(self._work).__await__()
        try:
            waited = next(running)
            while True:
                if waits is not None:
                    waits -= 1
                    if waits == 0:
                        self._left = running
                        return
                try:
                    yield waited
                except asyncio.CancelledError as error:
                    waited = running.throw(error)
                else:
                    waited = next(running)
        except StopIteration:
            return
        except asyncio.CancelledError:
            self.is_given_up = True
            return
        except Exception:  # noqa: BLE001 - the role dies or hangs now; nobody hears of its error
            return

    @types.coroutine
    def let_go(self, error: asyncio.CancelledError) -> Generator[Any, None, None]:
        """Cancel what is left and run it to its end; further cancellations reach it, too, so that nothing stays half way."""
        if self._left is None:
            return
        try:
            waited = self._left.throw(error)
            while True:
                try:
                    yield waited
                except asyncio.CancelledError as again:
                    waited = self._left.throw(again)
                else:
                    waited = next(self._left)
        except (StopIteration, asyncio.CancelledError):
            return


async def die(loop: SimulationLoop, rest: PartOfWork | None = None) -> NoReturn:
    """End the running task as a crash does; when the world lets its dead go, ``rest`` is cancelled."""
    try:
        await loop.die()
    except asyncio.CancelledError as error:
        if rest is not None:
            await rest.let_go(error)
        raise


async def _awaited(work: Work) -> Any:
    return await work()
