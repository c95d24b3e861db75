"""Blocking work whose result is not lost when the caller was cancelled meanwhile.

The port promises that work is over when its caller goes on; what it returned would be lost by a cancellation all the same, and
a file opened by a thread would stay open for ever.
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
    """Do ``work`` and return its result. When cancelled, hand an unwanted result to ``let_go``."""
    done: list[T] = []
    try:
        await ports.blocking(lambda: done.append(work()), cost_s=cost_s)
    except asyncio.CancelledError:
        if done and let_go is not None:
            let_go(done[0])
        raise
    return done[0]
