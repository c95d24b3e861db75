"""The long call that a session is in, so that a release can end it first.

A requestor may go away while the service works for it: the call then belongs to nobody. It is cancelled, undoes what it began
("Aborting VSS operations"), and only then is the session released.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vss.errors import BadStateError


class CallUnderWay:
    """Who works on the call of one session; the session machine lets one in at a time."""

    def __init__(self) -> None:
        """No call is under way."""
        self._task: asyncio.Task[Any] | None = None
        self._is_over: asyncio.Future[None] | None = None  # only of a call that was told to end

    @contextmanager
    def by_this_task(self) -> Iterator[None]:
        """The current task works on a call in this block.

        Raises:
            BadStateError: the session was released meanwhile.
        """
        self._task = task = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if self._is_over is None or task is None or task.uncancel() > 0:
                raise
            raise BadStateError("the session was released while the call was under way") from None
        finally:
            self._task = None
            if self._is_over is not None and not self._is_over.done():
                self._is_over.set_result(None)

    async def end(self, limit_s: float) -> None:
        """Cancel the call, if there is one, and wait until it is over, for at most ``limit_s`` seconds: it may be dead, and
        nobody told us. To be called once."""
        if self._task is None:
            return
        self._is_over = asyncio.get_running_loop().create_future()
        self._task.cancel("the session was released")
        await asyncio.wait([self._is_over], timeout=limit_s)

    def forget(self, task: asyncio.Task[Any]) -> None:
        """A simulated crash killed ``task``: a call that it worked on never ends."""
        if self._task is task:
            self._task = None
