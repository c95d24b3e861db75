"""Keeping a long piece of work to so many bytes a second, by the clock port."""

from __future__ import annotations

from vss.errors import InvalidArgumentError
from vss.ports import NANOSECONDS, Clock


def check_throttle(bytes_per_s: float | None) -> None:
    """Refuse a rate that is not above zero with ``InvalidArgumentError``."""
    if bytes_per_s is not None and not bytes_per_s > 0:
        raise InvalidArgumentError(f"a throttle needs more than 0 bytes a second, found {bytes_per_s:g}")


class Throttle:
    """Sleeps so that the bytes passed since it was made never exceed the rate. Without a rate it does nothing."""

    def __init__(self, clock: Clock, bytes_per_s: float | None) -> None:
        """Allow ``bytes_per_s`` from now on; None means as fast as it goes.

        Raises:
            InvalidArgumentError: the rate is not above zero.
        """
        check_throttle(bytes_per_s)
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._started_ns = clock.now_ns()
        self._passed_bytes = 0

    async def passed(self, size_bytes: int) -> None:
        """Say that ``size_bytes`` were handled; return when the next may be."""
        if self._bytes_per_s is None:
            return
        self._passed_bytes += size_bytes
        due_ns = self._started_ns + int(self._passed_bytes / self._bytes_per_s * NANOSECONDS)
        early_ns = due_ns - self._clock.now_ns()
        if early_ns > 0:
            await self._clock.sleep(early_ns / NANOSECONDS)
