"""The two windows of a set, as nested context managers: who is frozen and what is held shows in the indentation.

    async with FreezeWindow(...):        # first Freeze … last Thaw; leaving with an error aborts the writers instead
        async with HoldWindow(...):      # flush-and-hold … release, on every volume of the set
            commit

Leaving a window thaws or releases on success, error, time-out and cancellation. The hold has a second guard that needs nobody:
at 10 s the volume itself lets its writes go; releasing it later reports that the window was lost, and the set fails. Limits:
``vss.coordinator.limits``. Nothing is rendered or written inside a window.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from vss.coordinator.calls import Call, Caller, DeadlineError
from vss.coordinator.fault_points import passes
from vss.coordinator.limits import Limits
from vss.coordinator.participant import Participant
from vss.coordinator.service_log import KERNEL
from vss.coordinator.to_the_end import to_the_end
from vss.coordinator.transactions import TransactionFreeze, TransactionManager
from vss.errors import (
    FlushWritesTimeoutError,
    FreezeWindowError,
    HoldWritesTimeoutError,
    TransactionThawError,
    VolumeError,
    VssError,
    WindowError,
)
from vss.events import FreezeWindowClosed, FreezeWindowLost, FreezeWindowOpened, ReleaseFailed
from vss.ids import Guid
from vss.machines import WriterEvent, WriterState
from vss.ports import NANOSECONDS, Ports
from vss.roles.volume import Volume
from vss.roles.writer import ApplicationLevel

FREEZE_ORDER = (ApplicationLevel.FRONT_END, ApplicationLevel.BACK_END, ApplicationLevel.SYSTEM)
THAW_ORDER = tuple(reversed(FREEZE_ORDER))  # not documented by the vendor; the reverse keeps what was frozen last shortest


class FreezeWindow:
    """From the first Freeze to the last Thaw of one set."""

    def __init__(
        self,
        ports: Ports,
        caller: Caller,
        participants: Sequence[Participant],
        limits: Limits,
        snapshot_set_id: Guid,
        managers: Sequence[TransactionManager] = (),
    ) -> None:
        """Prepare the window; nobody is frozen yet. ``managers`` freeze after the last writer and thaw before the first."""
        self._ports = ports
        self._caller = caller
        self._participants = participants
        self._limits = limits
        self._set_id = str(snapshot_set_id)
        self._transactions = TransactionFreeze(caller, managers, snapshot_set_id, limits.transaction_s)
        self._opened_ns = 0
        self.duration_ns = 0
        self.first_error: BaseException | None = None  # what ended the window, where an error did

    @property
    def _limit_ns(self) -> int:
        return -1 if math.isinf(self._limits.freeze_window_s) else int(self._limits.freeze_window_s * NANOSECONDS)

    def remaining_s(self) -> float:
        """Seconds left of the window; ``inf`` in a profile without one."""
        return self._limits.freeze_window_s - (self._ports.clock.now_ns() - self._opened_ns) / NANOSECONDS

    @passes("coord.freeze")
    async def __aenter__(self) -> FreezeWindow:
        """Freeze level by level; a writer that refuses is aborted alone and the others go on."""
        self._opened_ns = self._ports.clock.now_ns()
        self._ports.emit(FreezeWindowOpened(snapshot_set_id=self._set_id, limit_ns=self._limit_ns))
        try:
            for level in FREEZE_ORDER:
                await self._send(WriterEvent.FREEZE, level, WriterState.WAITING_FOR_FREEZE, math.inf)
            await self._transactions.freeze()
            self._require_time_left("freezing the writers")
        except BaseException as error:
            await self._fail(error, "freeze failed")
            raise
        return self

    @passes("coord.thaw")
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Thaw everybody, or abort everybody when the window is left by an error."""
        if error is not None:
            await self._fail(error, "set failed")
            return
        try:
            await self._transactions.thaw()
            for level in THAW_ORDER:
                await self._send(WriterEvent.THAW, level, WriterState.WAITING_FOR_THAW, self._limits.thaw_s)
            self._require_time_left("thawing the writers")
        except BaseException as failure:
            await self._fail(failure, "thaw failed")
            raise
        self._close()

    async def _fail(self, error: BaseException, cause: str) -> None:
        """Abort everybody, also when whoever waits for it is cancelled: frozen writers would wait for their timers."""
        self.first_error = error
        try:
            await to_the_end(self._abort_all(cause))
        finally:
            self._close()

    async def _send(self, event: WriterEvent, level: ApplicationLevel, state: WriterState, limit_s: float) -> None:
        """Send Freeze or Thaw to the writers of ``level`` that are in ``state``; abort those that fail at it."""
        chosen = [each for each in self._participants if each.writer.application_level is level and each.state is state]
        limit_s = min(limit_s, self.remaining_s())
        if chosen and math.isinf(limit_s):  # each writer's own timer ends its freeze; who was never reached has started none
            limit_s = max(each.writer.freeze_timeout_s for each in chosen) + self._limits.abort_s
        outcomes = await self._caller.fan_out([each.call_for(event) for each in chosen], limit_s)
        for participant, outcome in zip(chosen, outcomes, strict=True):
            participant.take_outcome(event, outcome)
        for participant in chosen:
            if participant.has_failed and participant.is_frozen:
                await participant.abort(f"{event.value} failed")

    def _require_time_left(self, doing: str) -> None:
        if self.remaining_s() > 0 or math.isinf(self._limits.freeze_window_s):
            return
        late = [each.writer.name for each in self._participants if each.has_failed]
        self._ports.emit(
            FreezeWindowLost(snapshot_set_id=self._set_id, duration_ns=self._elapsed_ns(), limit_ns=self._limit_ns)
        )
        raise FreezeWindowError(
            f"freeze window lost while {doing}: expected first Freeze to last Thaw within {self._limits.freeze_window_s:g} s,"
            f" found {self._elapsed_ns() / NANOSECONDS:.3f} s" + (f" (late: {', '.join(late)})" if late else ""),
            hint="find out which writer was late in the timeline; freeze less, or use the limits profile 'windows'",
        )

    def _elapsed_ns(self) -> int:
        return self._ports.clock.now_ns() - self._opened_ns

    async def thaw_transactions(self) -> None:
        """Thaw the transaction managers of a set that failed; those that do not are in the event log. Twice is harmless."""
        with suppress(TransactionThawError):
            await self._transactions.thaw()

    async def _abort_all(self, cause: str) -> None:
        await self.thaw_transactions()
        for participant in self._participants:
            await participant.wait_timer_abort()
            participant.interrupt()
            if participant.needs_abort:
                await participant.abort(cause)

    def _close(self) -> None:
        self.duration_ns = self._elapsed_ns()
        self._ports.emit(
            FreezeWindowClosed(snapshot_set_id=self._set_id, duration_ns=self.duration_ns, limit_ns=self._limit_ns)
        )


class HoldWindow:
    """Flush-and-hold on every volume of the set, until release."""

    def __init__(self, ports: Ports, caller: Caller, volumes: Sequence[Volume], limits: Limits) -> None:
        """Prepare the window; nothing is held yet."""
        self._ports = ports
        self._caller = caller
        self._volumes = volumes
        self._window_s = limits.hold_window_s
        self._release_s = limits.release_s
        self._opened_ns = 0
        self._is_open = False
        self.first_error: BaseException | None = None  # what ended the window while the volumes were still held

    def remaining_s(self) -> float:
        """Seconds until the volumes let their writes go by themselves."""
        return self._window_s - (self._ports.clock.now_ns() - self._opened_ns) / NANOSECONDS

    async def __aenter__(self) -> HoldWindow:
        """Flush and hold all volumes at once; if one cannot, none stays held."""
        self._opened_ns = self._ports.clock.now_ns()
        calls = [
            Call(f"volume:{each.name}", "coord.flush_and_hold", lambda each=each: each.flush_and_hold(self._window_s))  # type: ignore[misc]
            for each in self._volumes
        ]
        self._caller.log.hold()
        self._is_open = True
        try:
            outcomes = await self._caller.fan_out(calls, self._window_s + self._release_s)  # its own timer is to end it before
            for volume, outcome in zip(self._volumes, outcomes, strict=True):
                if outcome.error is not None:
                    self._write_failed_hold(volume, outcome.error)
                    raise _told(volume, outcome.error)
        except BaseException:
            await self._release_surely()
            raise
        return self

    async def _release_surely(self) -> VssError | None:
        """Whoever is cancelled while it releases must not leave a volume held when the writers thaw."""
        try:
            return await self.release()
        except asyncio.CancelledError:
            await to_the_end(self.let_go())
            raise

    def _write_failed_hold(self, volume: Volume, error: BaseException) -> None:
        detail = f"volume {volume.name}: {error}"
        if isinstance(error, FlushWritesTimeoutError):
            self._caller.log.write(9, detail, KERNEL)
            self._caller.log.write(12297, detail)
        elif isinstance(error, VolumeError):
            self._caller.log.write(12308, detail)
        else:
            self._caller.log.write(12298, detail)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release all volumes; a window that was lost before the body ended outranks what the body raised: it came first."""
        is_held = all(each.is_holding for each in self._volumes)
        self.first_error = error if is_held else None
        lost = await self._release_surely()
        if lost is None:
            return
        if isinstance(error, VssError) and is_held:
            error.add_note(lost.message)
            return
        if isinstance(error, Exception) and not isinstance(error, VssError):
            lost.add_note(f"the commit had failed as well: {type(error).__name__}: {error}")
        if error is None or isinstance(error, Exception):
            raise lost from error or lost.__cause__

    @passes("coord.release")
    async def release(self) -> VssError | None:
        """Release every volume at once, whatever happens to one of them; return the first window that was lost, or the first
        release that failed otherwise. May come twice."""
        return await self.let_go()

    async def let_go(self) -> VssError | None:
        """The same for whoever clears up behind a failure, which no fault strikes."""
        calls = [
            Call(f"volume:{each.name}", "coord.release", each.release_writes, (("volume", each.name),), is_site=False)
            for each in self._volumes
        ]
        log = self._caller.log
        outcomes = await self._caller.fan_out(calls, self._release_s)
        lost = [
            self._lost(volume, outcome.error)
            for volume, outcome in zip(self._volumes, outcomes, strict=True)
            if outcome.error is not None
        ]
        for volume, error in lost:
            if isinstance(error, WindowError):
                log.write(8, f"volume {volume.name}", KERNEL)
            log.write(12298, f"volume {volume.name}: {error}")
        errors = [error for _, error in lost]
        first = next((each for each in errors if isinstance(each, WindowError)), errors[0] if errors else None)
        if first is not None:
            log.write(12310, str(first))
        if self._is_open:
            self._is_open = False
            log.resume()
        return first

    def _lost(self, volume: Volume, error: BaseException) -> tuple[Volume, VssError]:
        """What a release that failed means. Nobody knows how long a volume held that did not answer: its window is lost."""
        if isinstance(error, WindowError):
            return volume, error  # told when the volume's own timer let go
        if isinstance(error, VssError):
            found = error
        elif isinstance(error, DeadlineError):
            found = HoldWritesTimeoutError(
                f"volume {volume.name} expected the release within {self._release_s:g} s, found no answer"
            )
        else:
            found = VolumeError(f"volume {volume.name} did not release its writes: {type(error).__name__}: {error}")
            found.__cause__ = error
        self._ports.emit(ReleaseFailed(volume=volume.name, hresult=str(found.hresult), message=found.message))
        return volume, found


def _told(volume: Volume, error: BaseException) -> BaseException:
    """Return what the requestor hears of a volume that did not hold: an error of ours, whatever the volume raised."""
    if isinstance(error, VssError) or not isinstance(error, Exception):
        return error
    told = VolumeError(f"volume {volume.name} did not hold its writes: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told
