"""The gate in front of a volume's writes: flush and hold, queue, release; and the volume's own timer.

Decides when a write may change the volume. A write is a synchronous piece of work: it either runs whole while the gate is open
or waits whole in the queue, so no half of a file system operation can be on either side of a hold.

Invariants: nothing changes the volume between the end of the flush and the release; queued writes run exactly once, in issue
order, before any write issued later; the hold ends ``window_s`` after ``flush_and_hold`` was called whatever anyone does
(design, "Time"). A waiting write whose task is cancelled is withdrawn and never happens; one cancelled after the release has
happened exactly once, although its caller sees only the cancellation.

With a latency model the change is made when the gate lets it through and the answer comes later, so a write that waits for its
answer is never in flight across a hold. Events are emitted; nothing is rendered here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from vss.errors import BadStateError, FlushWritesTimeoutError, HoldWritesTimeoutError, InvalidArgumentError, VssError
from vss.events import HoldLost, QueuedWriteEnded, VolumeFlushed, WriteQueued, WritesHeld, WritesReleased
from vss.ports import NANOSECONDS, Ports, no_faults

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a simulated volume takes per operation, in seconds. Operations of one volume follow each other."""

    read_s: float = 0.0
    write_s: float = 0.0
    flush_s: float = 0.0


NO_LATENCY = Latency()


@dataclass(slots=True, eq=False)
class _QueuedWrite:
    work: Callable[[], object]
    byte_count: int
    done: asyncio.Future[object]
    number: int

    @property
    def outcome(self) -> str:
        """What became of it, once it was run or failed."""
        if self.done.cancelled():
            return "withdrawn"
        return "done" if self.done.exception() is None else "failed"

    def run(self) -> None:
        """Do the work unless it was withdrawn; a failure belongs to the writer alone and never stops the queue."""
        if self.done.cancelled():
            return
        try:
            self.done.set_result(self.work())
        except Exception as error:  # noqa: BLE001 - handed to the task that issued the write
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Answer with ``error``; the waiting task may be gone, so the exception counts as seen."""
        if not self.done.cancelled():
            self.done.set_exception(error)
            self.done.exception()


@dataclass(slots=True, eq=False)
class _Hold:
    started_ns: int
    limit_ns: int
    timer: asyncio.TimerHandle
    is_reached: bool = False


class WriteGate:
    """One volume's gate.

    Attributes:
        is_open: whether a caller may do a write itself, at once, instead of through ``pass_write``: nothing is held and neither
            faults nor latency have a say.
        reads_directly: the same for reads, which are never held.
    """

    def __init__(self, ports: Ports, volume: str, latency: Latency = NO_LATENCY) -> None:
        """Make an open gate for the volume called ``volume``."""
        self._ports = ports
        self._volume = volume
        self._latency = latency
        self._hold: _Hold | None = None
        self._lost: _Hold | None = None
        self._queue: list[_QueuedWrite] = []
        self._queued_ever = 0
        self._busy_until_ns = 0
        self.reads_directly = ports.faults is no_faults and latency == NO_LATENCY
        self.is_open = self.reads_directly

    @property
    def is_holding(self) -> bool:
        """Whether the flush is over and writes are held."""
        return self._hold is not None and self._hold.is_reached

    @property
    def queued_count(self) -> int:
        """How many writes wait."""
        return sum(not write.done.cancelled() for write in self._queue)

    # -- passing --------------------------------------------------------------------------------------------------------------

    async def pass_write(self, work: Callable[[], T], byte_count: int = 0) -> T:
        """Do ``work``, which changes the volume by ``byte_count`` bytes, now or after the release; return its result."""

        async def write() -> object:
            result = await self._admit(work, byte_count)
            await self._take(self._latency.write_s)
            return result

        return cast("T", await self._reach("volume.write", write))

    async def pass_read(self, work: Callable[[], T]) -> T:
        """Do ``work``, which only reads. Reads see the volume as it is, without the writes that wait."""

        async def read() -> object:
            result = work()
            await self._take(self._latency.read_s)
            return result

        return cast("T", await self._reach("volume.read", read))

    async def pass_flush(self, flush: Callable[[], None]) -> None:
        """Do ``flush``, which makes what was written durable, outside the loop. A flush changes nothing and is never held."""

        async def run() -> None:
            await self._ports.blocking(flush)
            await self._take(self._latency.flush_s)

        await self._reach("volume.flush", run)

    async def _admit(self, work: Callable[[], object], byte_count: int) -> object:
        if self._hold is None:
            return work()
        self._queued_ever += 1
        write = _QueuedWrite(work, byte_count, asyncio.get_running_loop().create_future(), self._queued_ever)
        self._queue.append(write)
        self._ports.emit(WriteQueued(volume=self._volume, number=write.number, byte_count=byte_count))
        return await write.done

    async def _take(self, seconds: float) -> None:
        """Wait until the device, which does one thing at a time, has spent ``seconds`` on this operation."""
        if not seconds:
            return
        now_ns = self._ports.clock.now_ns()
        self._busy_until_ns = max(now_ns, self._busy_until_ns) + round(seconds * NANOSECONDS)
        await self._ports.clock.sleep((self._busy_until_ns - now_ns) / NANOSECONDS)

    async def _reach(self, site: str, work: Callable[[], Awaitable[object]]) -> object:
        if self._ports.faults is no_faults:
            return await work()
        return await self._ports.faults(site, work, volume=self._volume)

    # -- holding --------------------------------------------------------------------------------------------------------------

    async def flush_and_hold(self, window_s: float, flush: Callable[[], None], settle: Callable[[], None]) -> None:
        """Queue writes from now on, flush, settle, and hold until ``release_writes`` or ``window_s`` after this call.

        Args:
            window_s: seconds; the flush counts against it.
            flush: makes what was written durable; runs outside the loop.
            settle: brings what the mounted file system still has in memory to the volume, durably; quick, runs on the loop.

        Raises:
            FlushWritesTimeoutError: ``flush`` took longer than the window; nothing is held.
            HoldWritesTimeoutError: writes were held, but the window passed before this call could say so.
            BadStateError: a hold is on, or somebody released it during the flush.
        """
        if self._hold is not None:
            raise BadStateError(f"volume {self._volume} expected no hold, found writes held already")
        if not window_s > 0:
            raise InvalidArgumentError(f"volume {self._volume} expected a hold window above 0 seconds, found {window_s}")
        hold = self._start_hold(window_s)
        window = asyncio.timeout(window_s)
        try:
            async with window:
                await self.pass_flush(flush)
                self._check_current(hold)
                settle()
                self._ports.emit(VolumeFlushed(volume=self._volume))
                await self._reach("volume.hold", lambda: self._reach_hold(hold))
                self._check_current(hold)
        except TimeoutError as error:
            self._end(hold)
            if not window.expired():
                raise
            self._check_lost(hold)
            raise self._flush_timeout(hold) from error
        except BaseException:
            self._end(hold)
            raise

    def _start_hold(self, window_s: float) -> _Hold:
        hold: _Hold = _Hold(
            started_ns=self._ports.clock.now_ns(),
            limit_ns=round(window_s * NANOSECONDS),
            timer=asyncio.get_running_loop().call_later(window_s, lambda: self._expire(hold)),
        )
        self._hold = hold
        self._lost = None
        self.is_open = False
        return hold

    async def _reach_hold(self, hold: _Hold) -> None:
        self._check_current(hold)
        hold.is_reached = True
        self._ports.emit(WritesHeld(volume=self._volume, limit_ns=hold.limit_ns))

    def _check_current(self, hold: _Hold) -> None:
        """Raise what ended ``hold`` behind the back of the call that is building it."""
        if self._hold is hold:
            return
        self._check_lost(hold)
        if self._held_ns(hold) >= hold.limit_ns:
            raise self._flush_timeout(hold)
        raise BadStateError(f"volume {self._volume} expected a hold to be reached, found it released during the flush")

    def _check_lost(self, hold: _Hold) -> None:
        if self._lost is hold:
            self._release_lost()

    async def release_writes(self) -> None:
        """Let the queued writes go, once and in order.

        Raises:
            HoldWritesTimeoutError: the volume had let them go by itself; once per hold.
        """
        await self._reach("volume.release", self._release)

    async def _release(self) -> None:
        if self._lost is not None:
            self._release_lost()
        if self._hold is not None:
            self._end(self._hold)

    def _release_lost(self) -> None:
        hold, self._lost = self._lost, None
        assert hold is not None
        limit_s = hold.limit_ns / NANOSECONDS
        raise HoldWritesTimeoutError(
            f"volume {self._volume} expected the release within {limit_s:g} s of flush-and-hold, found the hold lost",
            hint="the provider or the coordinator took too long between flush-and-hold and release",
        )

    def _flush_timeout(self, hold: _Hold) -> FlushWritesTimeoutError:
        limit_s = hold.limit_ns / NANOSECONDS
        return FlushWritesTimeoutError(
            f"volume {self._volume} expected the flush to end within {limit_s:g} s, found it unfinished",
            hint="the volume is slow or has much unwritten data; nothing is held",
        )

    def _held_ns(self, hold: _Hold) -> int:
        return self._ports.clock.now_ns() - hold.started_ns

    def _end(self, hold: _Hold) -> None:
        """Let go before the window has passed; a hold that is over is left alone."""
        if self._hold is not hold:
            return
        hold.timer.cancel()
        if hold.is_reached:
            waiting = [write for write in self._queue if not write.done.cancelled()]
            self._ports.emit(
                WritesReleased(
                    volume=self._volume,
                    held_ns=self._held_ns(hold),
                    queued_count=len(waiting),
                    queued_bytes=sum(write.byte_count for write in waiting),
                )
            )
        self._open()

    def _expire(self, hold: _Hold) -> None:
        """The volume's own timer: let go whatever anyone else is doing."""
        assert self._hold is hold, "whoever ends a hold cancels its timer"
        if hold.is_reached:
            self._lost = hold
            self._ports.emit(HoldLost(volume=self._volume, held_ns=self._held_ns(hold), queued_count=self.queued_count))
        self._open()

    def _open(self) -> None:
        """Run the queue to its end without giving way, so that no later write can overtake it."""
        queue, self._queue = self._queue, []
        self._hold = None
        self.is_open = self.reads_directly
        for write in queue:
            write.run()
            self._tell_ended(write)

    def _tell_ended(self, write: _QueuedWrite) -> None:
        self._ports.emit(QueuedWriteEnded(volume=self._volume, number=write.number, outcome=write.outcome))

    def refuse(self, error: VssError) -> None:
        """The volume is gone: end the hold without a word and answer every waiting write with ``error``."""
        queue, self._queue = self._queue, []
        if self._hold is not None:
            self._hold.timer.cancel()
        self._hold = self._lost = None
        self.is_open = self.reads_directly
        for write in queue:
            write.fail(error)
            self._tell_ended(write)
