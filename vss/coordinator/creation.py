"""Making one shadow copy set: the story, phase by phase, in the vendor's order.

``create`` reads top to bottom; every ``if`` is in the steps. A set is whole or gone: whatever fails after the first phase
began, ``abort`` undoes at every provider and tells every writer that had prepared for the snapshot. Abort is written once,
runs at most once per set and to its end, and lets the first cause through. A provider that was sent PostFinalCommitSnapshots
may have finished the set although it counts as failed; a finished set is deleted, not aborted. Source: Volume Shadow Copy
Service documentation, "Shadow copy creation for providers" and "Aborting VSS operations".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from vss.coordinator.calls import Call, Caller
from vss.coordinator.fault_points import passes
from vss.coordinator.limits import Limits
from vss.coordinator.optimization import Optimization
from vss.coordinator.participant import Participant
from vss.coordinator.provider_answers import require_files
from vss.coordinator.providers import ProviderSet, translate
from vss.coordinator.snapshots import SnapshotRegistry
from vss.coordinator.to_the_end import to_the_end
from vss.coordinator.transactions import TransactionManager
from vss.coordinator.windows import FreezeWindow, HoldWindow
from vss.documents.exclusions import FileExclusion
from vss.errors import NotFoundError, ProviderError, VssError
from vss.events import (
    PhaseEntered,
    PhaseLeft,
    SnapshotCommitted,
    SnapshotSetAborted,
    SnapshotSetCreated,
)
from vss.hresult import HResult
from vss.ids import Guid
from vss.machines import ProviderPhase, SnapshotState, WriterEvent, WriterState, snapshot_state
from vss.ports import Ports
from vss.roles.provider import Provider
from vss.roles.volume import FileSystem, Volume


@dataclass(frozen=True, slots=True)
class SnapshotInCreation:
    """One volume of the set."""

    snapshot_id: Guid
    volume: Volume
    provider: Provider


class SnapshotSetCreation:
    """One set from StartSnapshotSet to its end. Volumes are added first, then ``create`` runs once."""

    def __init__(
        self,
        ports: Ports,
        caller: Caller,
        limits: Limits,
        registry: SnapshotRegistry,
        snapshot_set_id: Guid,
        session_id: Guid,
        managers: Sequence[TransactionManager] = (),
        exclusions: Sequence[FileExclusion] = (),
    ) -> None:
        """Begin with no volume."""
        self.snapshot_set_id = snapshot_set_id
        self.snapshots: list[SnapshotInCreation] = []
        self.providers = ProviderSet(ports, caller, snapshot_set_id)
        self._writable: dict[str, FileSystem] = {}
        self.is_created = False
        self._undoing: asyncio.Task[None] | None = None
        self.failure: VssError | None = None  # what the first phase that failed ended with
        self._ports = ports
        self._caller = caller
        self._limits = limits
        self._registry = registry
        self._session_id = str(session_id)
        self._managers = managers
        self._optimization = Optimization(ports, caller.log, exclusions, limits.optimization_s)
        self._freeze: FreezeWindow | None = None
        self._hold: HoldWindow | None = None

    @property
    def volumes(self) -> list[Volume]:
        """The volumes of the set, in the order added."""
        return [each.volume for each in self.snapshots]

    def state_of(self, snapshot_id: Guid) -> SnapshotState:
        """Return how far one shadow copy of the set is; ``NotFoundError`` when it is not in the set."""
        for each in self.snapshots:
            if each.snapshot_id == snapshot_id:
                return snapshot_state(self.providers.machine_of(each.provider))
        raise NotFoundError(f"shadow copy {snapshot_id} is not in the set {self.snapshot_set_id}")

    async def create(self, participants: Sequence[Participant]) -> None:
        """Take the shadow copies.

        Raises:
            ProviderError: a provider failed.
            WindowError: the freeze, flush or hold window was lost.
        """
        try:
            async with self._phase("end-prepare"):
                await self._end_prepare()
            async with self._phase("prepare-snapshot"):
                await self._prepare_snapshot(participants)
            self._freeze = self._freeze_window(participants)
            async with self._phase("freeze"), self._freeze as freeze:
                await self._pre_commit(freeze.remaining_s())
                self._hold = HoldWindow(self._ports, self._caller, self.volumes, self._limits)
                async with self._phase("hold"), self._hold as hold:
                    await self._commit(hold.remaining_s())
                await self._post_commit(freeze.remaining_s())
            async with self._phase("post-snapshot"):
                await self._pre_final_commit()
                await self._post_snapshot(participants)
                await self._post_final_commit()
        except BaseException as error:
            await self.abort(participants, self._first_cause(error))
            raise
        self.is_created = True
        self._ports.emit(SnapshotSetCreated(snapshot_set_id=str(self.snapshot_set_id)))

    def _first_cause(self, error: BaseException) -> BaseException:
        """A cancellation that came while a window was cleared up does not replace what ended the window."""
        if isinstance(error, asyncio.CancelledError):
            for window in (self._hold, self._freeze):
                if window is not None and window.first_error is not None:
                    return window.first_error
        return error

    @passes("coord.abort")
    async def abort(self, participants: Sequence[Participant], cause: BaseException | None = None) -> None:
        """Undo the set at every provider and tell the writers. A second call waits until the first has done so.

        Without a ``cause`` the session is being released: then what failed meanwhile is told, if anything did.
        """
        if self.is_created:
            return
        if self._undoing is None:
            self._writable.clear()
            self._undoing = asyncio.get_running_loop().create_task(self._undo(participants, cause))
        await to_the_end(self._undoing)

    async def _undo(self, participants: Sequence[Participant], cause: BaseException | None) -> None:
        try:
            await self._undo_all(participants, cause)
        finally:
            self._tell_aborted(cause or self.failure or NotFoundError("the session was released"))

    async def _undo_all(self, participants: Sequence[Participant], cause: BaseException | None) -> None:
        if self._hold is not None:  # open only when whoever held the writes died with them held
            await self._hold.let_go()
        if self._freeze is not None:
            await self._freeze.thaw_transactions()
        errors: list[VssError] = [*await self.providers.abort(self._limits.abort_s)]
        for provider in self.providers.told_final:
            made = [each.snapshot_id for each in self.snapshots if each.provider is provider]
            errors += await self._registry.delete_failed_set(provider, self.snapshot_set_id, made)
        if cause is not None:
            for error in errors:
                cause.add_note(error.message)
        for participant in participants:
            await participant.wait_timer_abort()
            participant.interrupt()
            if participant.hears_of_failed_set:
                await participant.abort("set failed")

    def _tell_aborted(self, cause: BaseException) -> None:
        code = cause.hresult.name if isinstance(cause, VssError) else HResult.VSS_E_UNEXPECTED.name
        self._ports.emit(
            SnapshotSetAborted(
                snapshot_set_id=str(self.snapshot_set_id), cause=str(cause) or type(cause).__name__, hresult=code
            )
        )

    # -- the phases ------------------------------------------------------------------------------------------------------------

    @passes("coord.end_prepare")
    async def _end_prepare(self) -> None:
        set_id = self.snapshot_set_id
        await self.providers.send(
            ProviderPhase.END_PREPARE, lambda each: each.end_prepare_snapshots(set_id), self._limits.end_prepare_s
        )

    @passes("coord.prepare_snapshot")
    async def _prepare_snapshot(self, participants: Sequence[Participant]) -> None:
        await self._send(participants, WriterEvent.PREPARE_FOR_SNAPSHOT, self._limits.prepare_snapshot_s)

    @passes("coord.post_snapshot")
    async def _post_snapshot(self, participants: Sequence[Participant]) -> None:
        await self._send(participants, WriterEvent.POST_SNAPSHOT, self._limits.post_snapshot_s)
        await self._optimization.run([each.name for each in self.volumes], self.open_writable)

    async def _send(self, participants: Sequence[Participant], event: WriterEvent, limit_s: float) -> None:
        """Send an event that has no window to the writers that are where it finds them; a veto aborts nobody."""
        due = WriterState.STABLE if event is WriterEvent.PREPARE_FOR_SNAPSHOT else WriterState.WAITING_FOR_POST_SNAPSHOT
        chosen = [each for each in participants if each.state is due]
        outcomes = await self._caller.fan_out([each.call_for(event) for each in chosen], limit_s)
        for participant, outcome in zip(chosen, outcomes, strict=True):
            participant.take_outcome(event, outcome)

    def _freeze_window(self, participants: Sequence[Participant]) -> FreezeWindow:
        return FreezeWindow(self._ports, self._caller, participants, self._limits, self.snapshot_set_id, self._managers)

    @passes("coord.pre_commit")
    async def _pre_commit(self, remaining_s: float) -> None:
        set_id, limit_s = self.snapshot_set_id, min(self._limits.pre_commit_s, remaining_s)
        await self.providers.send(ProviderPhase.PRE_COMMIT, lambda each: each.pre_commit_snapshots(set_id), limit_s)

    @passes("coord.commit")
    async def _commit(self, remaining_s: float) -> None:
        set_id = self.snapshot_set_id
        await self.providers.send(ProviderPhase.COMMIT, lambda each: each.commit_snapshots(set_id), remaining_s)

    @passes("coord.post_commit")
    async def _post_commit(self, remaining_s: float) -> None:
        set_id, count, limit_s = self.snapshot_set_id, len(self.snapshots), min(self._limits.post_commit_s, remaining_s)
        self._ports.emit(SnapshotCommitted(snapshot_set_id=str(set_id), snapshot_count=count))
        await self.providers.send(ProviderPhase.POST_COMMIT, lambda each: each.post_commit_snapshots(set_id, count), limit_s)

    @passes("coord.pre_final")
    async def _pre_final_commit(self) -> None:
        set_id = self.snapshot_set_id
        await self.providers.send(
            ProviderPhase.PRE_FINAL_COMMIT,
            lambda each: each.pre_final_commit_snapshots(set_id),
            self._limits.final_commit_s,
        )

    async def open_writable(self, volume: str) -> FileSystem:
        """Open the shadow copy of ``volume`` for auto-recovery; between pre-final and post-final commit only.

        Raises:
            NotFoundError: the set has no shadow copy of ``volume``.
        """
        key = volume.lower()
        if key not in self._writable:
            for each in self.snapshots:
                if each.volume.name.lower() == key:
                    self._writable[key] = await self._open(each)
                    break
            else:
                raise NotFoundError(f"volume {volume} is not in the shadow copy set {self.snapshot_set_id}")
        return self._writable[key]

    async def _open(self, each: SnapshotInCreation) -> FileSystem:
        provider = each.provider
        call = Call(
            f"provider:{provider.name}", "provider.open", lambda: provider.open_snapshot(each.snapshot_id), is_site=False
        )
        outcome = await self._caller.call(call, self._limits.query_s)
        if isinstance(outcome.error, VssError):
            raise outcome.error
        if outcome.error is not None:
            raise translate(provider, "open", outcome, self._caller.log)
        return require_files(provider, outcome.value)

    @passes("coord.post_final")
    async def _post_final_commit(self) -> None:
        set_id = self.snapshot_set_id
        for name in sorted(self._writable):
            call = Call(f"volume:{name}", "coord.sync_recovered", self._writable[name].sync)
            outcome = await self._caller.call(call, self._limits.final_commit_s)
            if outcome.error is not None:
                raise ProviderError(
                    f"what writers recovered in the shadow copy of {name} could not be kept: {outcome.error}",
                    hresult=HResult.VSS_E_AUTORECOVERY_FAILED,
                ) from outcome.error
        self._writable.clear()
        await self.providers.send(
            ProviderPhase.POST_FINAL_COMMIT,
            lambda each: each.post_final_commit_snapshots(set_id),
            self._limits.final_commit_s,
        )

    @asynccontextmanager
    async def _phase(self, name: str) -> AsyncIterator[None]:
        """Record when a phase began, how long it took and how it ended."""
        entered_ns = self._ports.clock.now_ns()
        self._ports.emit(PhaseEntered(phase=name, session_id=self._session_id))
        outcome = "failed"
        try:
            yield
            outcome = "ok"
        except VssError as error:
            self.failure = self.failure or error
            raise
        finally:
            duration_ns = self._ports.clock.now_ns() - entered_ns
            self._ports.emit(PhaseLeft(phase=name, session_id=self._session_id, duration_ns=duration_ns, outcome=outcome))
