"""A long call as an object that can be asked, waited for and cancelled (what IVssAsync is).

    operation = AsyncOperation(session.do_snapshot_set())
    await operation.wait(60.0)                      # says only whether the wait was long enough
    if operation.query_status().is_failure: …       # the result of the call

Requestors that simply ``await`` a call do not need it. Source: Volume Shadow Copy Service documentation, "IVssAsync".
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from vss.errors import VssError
from vss.hresult import HResult


class AsyncOperation:
    """A call under way."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start ``work`` at once."""
        self._task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)

    def query_status(self) -> HResult:
        """Return how it stands: VSS_S_ASYNC_PENDING, _FINISHED, _CANCELLED, or the code of its failure."""
        if not self._task.done():
            return HResult.VSS_S_ASYNC_PENDING
        if self._task.cancelled():
            return HResult.VSS_S_ASYNC_CANCELLED
        error = self._task.exception()
        if error is None:
            return HResult.VSS_S_ASYNC_FINISHED
        return error.hresult if isinstance(error, VssError) else HResult.VSS_E_UNEXPECTED

    @property
    def result(self) -> Any:
        """What the call returned; raises what it raised, and ``asyncio.InvalidStateError`` while it is under way."""
        return self._task.result()

    async def wait(self, limit_s: float | None = None) -> HResult:
        """Wait until it is over, for at most ``limit_s`` seconds (None: without limit); never raises for what it did.

        Returns:
            S_OK when it is over, whatever came of it; VSS_S_ASYNC_PENDING when the limit came first.
        """
        done, _ = await asyncio.wait([self._task], timeout=limit_s)
        return HResult.S_OK if done else HResult.VSS_S_ASYNC_PENDING

    def cancel(self) -> HResult:
        """Ask it to stop and undo what it began; the status is pending until that is done.

        Returns:
            S_OK when it will stop; VSS_S_ASYNC_CANCELLED or VSS_S_ASYNC_FINISHED when it was over, or the code of its failure.
        """
        return HResult.S_OK if self._task.cancel() else self.query_status()
