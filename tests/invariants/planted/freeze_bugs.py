"""Bugs of freezing and holding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.invariants import scripts
from tests.invariants.kit import PLACES, KitProvider, KitWriter
from tests.invariants.planting import Planted, both, do_nothing, nothing, replacing, wrapping
from vss.coordinator import Limits, coordinator, windows
from vss.coordinator.creation import SnapshotSetCreation
from vss.coordinator.participant import Participant
from vss.coordinator.session import Session
from vss.coordinator.windows import FreezeWindow, HoldWindow
from vss.errors import ProviderVetoError
from vss.machines import WriterEvent, WriterState
from vss.roles.writer import WriterContext
from vss.volumes.write_gate import WriteGate, _QueuedWrite

PATIENT = Limits(hold_window_s=20, freeze_window_s=60)


class VetoingProvider(KitProvider):
    """Cannot commit."""

    async def commit_snapshots(self, snapshot_set_id: Any) -> None:
        """Refuse, after a while."""
        await self._ports.clock.sleep(0.5)
        raise ProviderVetoError("the array is busy")


class SlowProvider(KitProvider):
    """Needs longer for the commit than a volume can be held."""

    async def commit_snapshots(self, snapshot_set_id: Any) -> None:
        """Wait."""
        await self._ports.clock.sleep(12)
        await super().commit_snapshots(snapshot_set_id)


VETO: dict[str, Any] = {"provider_class": VetoingProvider}


async def admit_all(self: WriteGate, work: Callable[[], object], byte_count: int) -> object:
    return work()


async def _admit_small(self: WriteGate, work: Callable[[], object], byte_count: int) -> object:
    if byte_count <= 4096:
        return work()
    return await _ADMIT(self, work, byte_count)


_ADMIT = WriteGate._admit


def _twice(run: Callable[[_QueuedWrite], None]) -> Callable[[_QueuedWrite], None]:
    def run_twice(self: _QueuedWrite) -> None:
        if not self.done.cancelled():
            self.work()
        run(self)

    return run_twice


def _backwards(open_gate: Callable[[WriteGate], None]) -> Callable[[WriteGate], None]:
    def open_backwards(self: WriteGate) -> None:
        self._queue.reverse()
        open_gate(self)

    return open_backwards


def _forgetting(open_gate: Callable[[WriteGate], None]) -> Callable[[WriteGate], None]:
    def open_forgetting(self: WriteGate) -> None:
        del self._queue[:1]
        open_gate(self)

    return open_forgetting


async def commit_outside(self: SnapshotSetCreation, remaining_s: float) -> None:
    assert self._hold is not None
    await self._hold.let_go()
    await _COMMIT(self, remaining_s)


_COMMIT = SnapshotSetCreation._commit


def _first_volume_only(init: Callable[..., None]) -> Callable[..., None]:
    def make(self: HoldWindow, ports: Any, caller: Any, volumes: Any, window_s: float) -> None:
        init(self, ports, caller, volumes[:1], window_s)

    return make


async def _write_frozen(self: KitWriter, context: WriterContext) -> None:
    await _ON_FREEZE(self, context)
    await self.machine.write(f"{PLACES[self.name]}\\0.dat", b"the last word")


_ON_FREEZE = KitWriter.on_freeze


async def _lazy_end_prepare(self: SnapshotSetCreation) -> None:
    """The slow part is left for later."""


async def _pre_commit_late(self: SnapshotSetCreation, remaining_s: float) -> None:
    await _END_PREPARE(self)
    await _PRE_COMMIT(self, remaining_s)


_END_PREPARE = SnapshotSetCreation._end_prepare
_PRE_COMMIT = SnapshotSetCreation._pre_commit


def _thaw_in_reverse(abort: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def abort_then_thaw(self: Participant, cause: str) -> None:
        await abort(self, cause)
        self._machine.state = WriterState.WAITING_FOR_THAW
        outcome = await self._caller.call(self.call_for(WriterEvent.THAW), 60)
        self.take_outcome(WriterEvent.THAW, outcome)

    return abort_then_thaw


def _abort_after_post_snapshot(complete: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def backup_complete(self: Session) -> None:
        for each in self._participants:
            each._machine.state = WriterState.WAITING_FOR_POST_SNAPSHOT
            await each._send_abort("a change of mind")
            each._machine.state = WriterState.WAITING_FOR_BACKUP_COMPLETE
        await complete(self)

    return backup_complete


def _forgetting_failures(take: Callable[..., None]) -> Callable[..., None]:
    def take_outcome(self: Participant, event: WriterEvent, outcome: Any) -> None:
        take(self, event, outcome)
        if event is WriterEvent.PREPARE_FOR_SNAPSHOT:
            self._machine.state = WriterState.WAITING_FOR_FREEZE

    return take_outcome


BUGS = [
    Planted(
        "F1", "the gate lets every write through while it holds", replacing(WriteGate, "_admit", admit_all), scripts.backup
    ),
    Planted("F1", "the gate holds long writes only", replacing(WriteGate, "_admit", _admit_small), scripts.backup),
    Planted(
        "F2",
        "writes are released before the provider has committed",
        replacing(SnapshotSetCreation, "_commit", commit_outside),
        scripts.backup,
    ),
    Planted(
        "F2",
        "only the first volume of the set is held",
        wrapping(HoldWindow, "__init__", _first_volume_only),
        scripts.backup,
    ),
    Planted(
        "F2",
        "a volume that was held for 12 s counts as held in time",
        replacing(coordinator, "Limits", lambda: PATIENT),
        scripts.failing,
        {"provider_class": SlowProvider},
    ),
    Planted(
        "F3",
        "neither the coordinator nor the volume's own timer releases the writes of a set that failed",
        both(replacing(HoldWindow, "let_go", do_nothing), replacing(WriteGate, "_expire", nothing)),
        scripts.failing_slowly,
        VETO,
    ),
    Planted("F4", "queued writes are done in the wrong order", wrapping(WriteGate, "_open", _backwards), scripts.backup),
    Planted("F4", "the first queued write is lost", wrapping(WriteGate, "_open", _forgetting), scripts.backup),
    Planted("F4", "queued writes are done twice", wrapping(_QueuedWrite, "run", _twice), scripts.backup),
    Planted(
        "F5",
        "writers of the lowest level get no Thaw",
        both(
            replacing(windows, "THAW_ORDER", windows.THAW_ORDER[1:]),
            replacing(Participant, "_expire", nothing),
            replacing(Participant, "needs_abort", False),
            replacing(Participant, "hears_of_failed_set", False),
        ),
        scripts.failing_slowly,
    ),
    Planted(
        "F5",
        "a failed set aborts nobody",
        both(
            replacing(FreezeWindow, "_abort_all", do_nothing),
            replacing(Participant, "abort", do_nothing),
            replacing(Participant, "_expire", nothing),
        ),
        scripts.failing_slowly,
        VETO,
    ),
    Planted(
        "F5", "an aborted writer is thawed as well", wrapping(Participant, "abort", _thaw_in_reverse), scripts.failing, VETO
    ),
    Planted("F6", "a writer writes when it is frozen", replacing(KitWriter, "on_freeze", _write_frozen), scripts.backup),
    Planted(
        "F7",
        "the order of the levels is turned round",
        replacing(windows, "FREEZE_ORDER", windows.THAW_ORDER),
        scripts.backup,
    ),
    Planted(
        "F8",
        "writers get Abort after PostSnapshot",
        wrapping(Session, "backup_complete", _abort_after_post_snapshot),
        scripts.backup,
    ),
    Planted(
        "F8",
        "a writer that refused PrepareForSnapshot is frozen all the same",
        wrapping(Participant, "take_outcome", _forgetting_failures),
        scripts.backup,
        {"behaviour": {"Notes": {"on_prepare_snapshot": ValueError("no")}}},
    ),
    Planted(
        "F9",
        "the slow part of the providers' preparation is done when everybody is frozen",
        both(
            replacing(SnapshotSetCreation, "_end_prepare", _lazy_end_prepare),
            replacing(SnapshotSetCreation, "_pre_commit", _pre_commit_late),
        ),
        scripts.backup,
    ),
]
