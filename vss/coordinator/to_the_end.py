"""Work that is not cut short: it goes on when whoever waits for it is cancelled, and the cancellation comes out behind it.

For clearing up, which nobody would come back for. What is done this way has limits of its own, so the wait is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(work: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T:
    """Do ``work`` in a task of its own, to its end, and return its result; it may have one already.

    Raises:
        asyncio.CancelledError: the caller was cancelled meanwhile; what ``work`` raised is its cause.
    """
    task = work if isinstance(work, asyncio.Task) else asyncio.get_running_loop().create_task(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is None:
        return task.result()
    raise cancellation from (None if task.cancelled() else task.exception())
