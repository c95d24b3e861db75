"""A lock of the engine that lets its waiters go when the instance ends without its holder.

Whoever holds it may be dead: a process that was killed releases nothing. ``asyncio.Lock`` would let the others wait for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

from vss_writers.ese.errors import JetError


class Latch:
    """One holder at a time; those who wait get it in the order they came."""

    def __init__(self) -> None:
        self._is_held = False
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._error: JetError | None = None

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._is_held

    async def acquire(self) -> None:
        """Wait for it.

        Raises:
            JetError: what it was given up with.
        """
        if self._error is not None:
            raise self._error
        if not self._is_held:
            self._is_held = True
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self.release()  # it was handed over in the same moment
            raise
        if self._error is not None:
            raise self._error

    def release(self) -> None:
        """Hand it to the next who waits. Harmless after ``give_up``."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._is_held = False

    def give_up(self, error: JetError) -> None:
        """Its holder is gone: whoever waits, and whoever comes, gets ``error``."""
        self._error = error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)  # not the error: nobody may be left to take it
        self._waiters.clear()

    async def __aenter__(self) -> None:
        """Hold it in a block."""
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()
