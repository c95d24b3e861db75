"""The loop's parts: tasks, futures and handles that depend on nothing outside the run, and asyncio's private names, typed.

Decides how a task is identified: by its creation number, which is its hash, so that the sets in which asyncio keeps tasks
iterate the same way in every process. ``BaseLoop`` is ``asyncio.BaseEventLoop``; for type checkers it also declares the private
names the simulation leans on, which are the same from 3.11 to 3.13 (``tests/simulation/test_loop.py`` checks that they exist).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

ACTOR: contextvars.ContextVar[str] = contextvars.ContextVar("vss_actor", default="")
"""The role a task works for; tasks inherit it from the task that creates them. ``SimulationLoop.kill_actor`` kills by it."""

Waker = asyncio.Future
"""What a sleeping task waits for, in the heap itself: exactly this class, for which asyncio's tasks have a fast path."""

if TYPE_CHECKING:

    class BaseLoop(asyncio.BaseEventLoop):
        """``asyncio.BaseEventLoop`` with its private names."""

        _clock_resolution: float
        _closed: bool
        _debug: bool
        _ready: deque[Any]
        _scheduled: list[tuple[int, int, Any]]
        _stopping: bool
        _task_factory: object
        _thread_id: int | None
        _timer_cancelled_count: int

        def _asyncgen_finalizer_hook(self, agen: Any) -> None: ...
        def _asyncgen_firstiter_hook(self, agen: Any) -> None: ...
        def _check_callback(self, callback: object, method: str) -> None: ...
        def _check_closed(self) -> None: ...
        def _check_running(self) -> None: ...
        def _check_thread(self) -> None: ...
        def _set_coroutine_origin_tracking(self, enabled: bool) -> None: ...

else:
    BaseLoop = asyncio.BaseEventLoop


class Step(asyncio.Handle):
    """A handle made without the checks of its base class; the debug mode uses the base class."""

    __slots__ = ()

    if TYPE_CHECKING:
        _callback: Callable[..., object] | None
        _context: contextvars.Context
        _loop: asyncio.AbstractEventLoop
        _repr: str | None
        _source_traceback: Any

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = context
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class Timer(asyncio.TimerHandle):
    """An armed timer; ``armed`` while it stands in the heap, so that the loop can count those that were cancelled there."""

    __slots__ = ("armed",)

    if TYPE_CHECKING:
        _callback: Callable[..., object] | None
        _context: contextvars.Context
        _loop: Any
        _repr: str | None
        _scheduled: bool
        _source_traceback: Any
        _when: float

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = context
        self._cancelled = False
        self._repr = None
        self._scheduled = False
        self._source_traceback = None
        self.armed = True

    def cancel(self) -> None:
        """Make sure that the callback does not run."""
        if not self._cancelled:
            if self._loop.get_debug():
                super().cancel()  # keeps a description of the callback
            else:
                self._cancelled = True
                self._callback, self._args = None, ()
            if self.armed:
                self._loop.note_cancelled_timer()


class SimulationTask(asyncio.Task[T]):
    """A task that hashes by its creation number, in its own loop counted from 1."""

    number: int
    actor: str

    if TYPE_CHECKING:
        _fut_waiter: Any

    def __hash__(self) -> int:
        return self.number


class SimulationFuture(asyncio.Future[T]):
    """A future that hashes by a number given when it is first put into a set, not by its address."""

    number: int

    def __hash__(self) -> int:
        try:
            return self.number
        except AttributeError:
            self.number = self.get_loop().next_number()  # type: ignore[attr-defined]
            return self.number


class Limbo(asyncio.Future[None]):
    """What a dead task waits for; cancelling it has no effect."""

    def cancel(self, msg: object = None) -> bool:
        """Refuse."""
        return False


def stepped_by(callback: object) -> asyncio.Task[Any] | None:
    """Return the task whose next step ``callback`` is, None for any other callback, a task's public methods included."""
    owner = getattr(callback, "__self__", None)
    if not isinstance(owner, asyncio.Task):
        return None
    return None if hasattr(owner, getattr(callback, "__name__", "")) else owner


def owner_of(item: object) -> asyncio.Task[Any] | None:
    """Return the task that a ready item will step, None for a plain callback or a sleeper's waker."""
    return stepped_by(getattr(item, "_callback", None))


def label_of(item: object) -> str:
    """Return what a trace calls a step, without addresses."""
    owner = owner_of(item)
    if owner is not None:
        return owner.get_name()
    callback = getattr(item, "_callback", None)
    return "sleep" if callback is None else str(getattr(callback, "__qualname__", type(callback).__qualname__))
