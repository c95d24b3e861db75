"""Blocking work that is over when its caller goes on, even when the caller was cancelled meanwhile.

A thread cannot be cancelled: without this, a cancelled requestor would undo a set while a thread still writes to it, and a
file opened by a thread after its caller had gone would stay open for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from vss.ports import Ports

T = TypeVar("T")


async def finished(
    ports: Ports, work: Callable[[], T], *, cost_s: float = 0.0, let_go: Callable[[T], object] | None = None
) -> T:
    """Do ``work`` and return its result. When cancelled, wait for its end first, and hand an unwanted result to ``let_go``."""
    done: list[T] = []

    def kept() -> None:
        done.append(work())

    async def blocking() -> None:
        await ports.blocking(kept, cost_s=cost_s)

    task = asyncio.ensure_future(blocking())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # taken: the cancellation is what counts now
        if done and let_go is not None:
            let_go(done[0])
        raise
    return done[0]
