"""SIGTERM ends a command the way Ctrl-C does: through everybody's exit paths, so that writers are thawed first.

The loops know one way of being interrupted, SIGINT (asyncio's runner cancels the main task; a second one is immediate). SIGTERM
is passed on as that, and remembered for the exit code.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Termination:
    """Whether SIGTERM came."""

    has_come: bool = False


@contextmanager
def sigterm_as_interrupt() -> Iterator[Termination]:
    """Turn SIGTERM into SIGINT inside the block; outside the main thread, where signals cannot be handled, do nothing."""
    termination = Termination()

    def pass_on(number: int, frame: FrameType | None) -> None:
        termination.has_come = True
        signal.raise_signal(signal.SIGINT)

    try:
        previous = signal.signal(signal.SIGTERM, pass_on)
    except ValueError:
        yield termination
        return
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, previous)
