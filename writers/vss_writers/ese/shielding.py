"""Work that must not stop half-way because somebody lost interest.

A cancelled caller waits until the work is done and is cancelled then; the work itself is only cancelled with the whole loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``; a cancellation of the caller takes effect when it is done."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # looked at, so that the loop does not complain; the caller is cancelled in any case
    raise cancellation
