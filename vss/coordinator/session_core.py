"""What backup and restore calls of a session share: the machine of legal calls, the document, the participants, the release.

Sequence rules are in ``vss.machines.session``; what a writer sees is in ``vss.coordinator.participant``. State is kept here in
fields, never in a coroutine's locals, so that it can be shown and released at any point.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vss.coordinator.call_under_way import CallUnderWay
from vss.coordinator.calls import Call, Caller
from vss.coordinator.components_editor import rebind_writer, replace_writer
from vss.coordinator.contexts import SnapshotAttributes, SnapshotContext
from vss.coordinator.creation import SnapshotSetCreation
from vss.coordinator.fault_points import passes
from vss.coordinator.limits import Limits
from vss.coordinator.participant import Participant
from vss.coordinator.to_the_end import to_the_end
from vss.coordinator.waiting import WaitingBackup
from vss.coordinator.writer_status import WriterStatus
from vss.documents import (
    BackupComponents,
    BackupType,
    Component,
    ComponentFlags,
    RestoreType,
    WriterComponents,
    WriterMetadata,
)
from vss.documents.xml import render_backup_components, render_writer_metadata
from vss.errors import BadStateError, DocumentError, NotFoundError
from vss.events import Event, PluginProblem, SessionLost, SessionReleased, WriterIdentified, WriterStatusGathered
from vss.hresult import HResult
from vss.ids import Guid
from vss.machines import SessionCall, SessionMachine, SessionState, WriterEvent, WriterState
from vss.machines.session import STATUS_IS_MEANINGFUL
from vss.ports import NANOSECONDS, Ports
from vss.roles.volume import FileSystem
from vss.roles.writer import Writer

if TYPE_CHECKING:
    from vss.coordinator.coordinator import Coordinator


class SessionCore:
    """One requestor's run, from initialise to release. Made by ``Coordinator.open_session``."""

    def __init__(self, coordinator: Coordinator, session_id: Guid) -> None:
        """Open a session that is neither backup nor restore yet."""
        self.session_id = session_id
        self._id_text = str(session_id)  # as events carry it
        self._coordinator = coordinator
        self._machine = SessionMachine()
        self._document = BackupComponents()
        self._context = SnapshotContext.BACKUP
        self._attributes = SnapshotAttributes.NONE
        self._restore_type = RestoreType.BY_COPY
        self._metadata: list[WriterMetadata] = []
        self._recovering: list[tuple[Guid, Component]] = []
        self._participants: list[Participant] = []
        self._disabled_classes: list[Guid] = []
        self._disabled_instances: list[Guid] = []
        self._creation: SnapshotSetCreation | None = None
        self._snapshot_ids: list[Guid] = []
        self._is_released = False
        self._is_restore = False
        self.call_under_way = CallUnderWay()
        self._waiting: WaitingBackup | None = None  # another session's backup that this one completes

    # -- shared with writers (DocumentAccess) ----------------------------------------------------------------------------------

    @property
    def document(self) -> BackupComponents:
        """The backup components document as it is now."""
        return self._document

    @property
    def snapshot_set_id(self) -> Guid:
        """The set of this session; GUID_NULL before StartSnapshotSet."""
        return self._document.snapshot_set_id

    @property
    def backup_type(self) -> BackupType:
        """What the requestor asked for."""
        return self._document.backup_type

    @property
    def set_volumes(self) -> Sequence[str]:
        """Names of the volumes in the set, in the order added."""
        return [] if self._creation is None else [each.name for each in self._creation.volumes]

    def components_of(self, instance_id: Guid) -> WriterComponents | None:
        """The writer's part of the document; None when components are not selected."""
        return self._document.writer(instance_id) if self._document.select_components else None

    def replace_components(self, components: WriterComponents) -> None:
        """Put a writer's changed part back."""
        self._document = replace_writer(self._document, components)

    @property
    def environment(self) -> Mapping[str, str]:
        """The machine's variables, for paths."""
        return self._coordinator.settings.environment

    @property
    def snapshot_context(self) -> SnapshotContext:
        """What SetContext was told."""
        return self._context

    @property
    def restore_type(self) -> RestoreType:
        """What SetRestoreState was told; BY_COPY where it was not called, or said nothing."""
        return self._restore_type

    async def writable_snapshot(self, volume: str) -> FileSystem:
        """Open a shadow copy of the set for auto-recovery."""
        if self._creation is None:
            raise NotFoundError(f"volume {volume} is not in a shadow copy set: the session has none")
        if SnapshotAttributes.NO_AUTORECOVERY in self._attributes:
            raise BadStateError(f"the shadow copy of {volume} cannot be changed: its set was started with NO_AUTORECOVERY")
        return await self._creation.open_writable(volume)

    @property
    def state(self) -> SessionState:
        """How far the session has come."""
        return self._machine.state

    def report(self, event: Event) -> None:
        """Record what happened to the session when nobody is left to tell."""
        self._ports.emit(event)

    def save_as_xml(self) -> bytes:
        """Return the backup components document as XML ("SaveAsXML"); not before PrepareForBackup, when writers added to it."""
        self._machine.call(SessionCall.SAVE_AS_XML)
        return render_backup_components(self._document)

    # -- shortcuts -------------------------------------------------------------------------------------------------------------

    @property
    def _ports(self) -> Ports:
        return self._coordinator.ports

    @property
    def _caller(self) -> Caller:
        return self._coordinator.caller

    @property
    def _limits(self) -> Limits:
        return self._coordinator.limits

    @asynccontextmanager
    async def _long_call(self, call: SessionCall) -> AsyncIterator[None]:
        """Check that the call is legal; keep others out while it runs; record how it ended."""
        self._machine.call(call)
        with self.call_under_way.by_this_task():
            try:
                yield
            except BaseException:
                self._machine.fail(call)
                raise
            self._machine.done(call)

    def _selected_participants(self) -> list[Participant]:
        """The writers that get the session's events: all, or in component mode those with a component in the document."""
        if not self._context.has_writers:
            return []
        if not self._document.select_components:
            return self._participants
        instances = [each.instance_id for each in self._document.writers if each.components]
        return [each for each in self._participants if each.instance_id in instances]

    async def _send(self, event: WriterEvent, due: WriterState, limit_s: float) -> None:
        """Send an event to the selected writers that are in state ``due``."""
        chosen = [each for each in self._selected_participants() if each.state is due]
        outcomes = await self._caller.fan_out([each.call_for(event) for each in chosen], limit_s)
        for participant, outcome in zip(chosen, outcomes, strict=True):
            participant.take_outcome(event, outcome)

    # -- discovery -------------------------------------------------------------------------------------------------------------

    @passes("coord.gather")
    async def gather_writer_metadata(self) -> list[WriterMetadata]:
        """Ask every enabled writer to identify itself ("GatherWriterMetadata"). A writer that fails is missing from the result.

        Raises:
            BadStateError: called twice, or out of sequence.
        """
        async with self._long_call(SessionCall.GATHER_WRITER_METADATA):
            writers = [each for each in self._coordinator.writers if self._is_enabled(each)]
            calls = [
                Call(f"writer:{each.name}", "writer.identify", each.identify, (("writer", each.name),)) for each in writers
            ]
            outcomes = await self._caller.fan_out(calls, self._limits.identify_s)
            for writer, outcome in zip(writers, outcomes, strict=True):
                if outcome.is_ok:
                    self._take_metadata(writer, outcome.value)
                else:
                    self._ports.emit(PluginProblem(plugin=writer.name, stage="identify", message=str(outcome.error)))
        return list(self._metadata)

    def _is_enabled(self, writer: Writer) -> bool:
        return writer.writer_class_id not in self._disabled_classes and writer.instance_id not in self._disabled_instances

    def _take_metadata(self, writer: Writer, metadata: object) -> None:
        if not isinstance(metadata, WriterMetadata) or metadata.writer_id != writer.writer_class_id:
            text = f"expected the metadata of writer class {writer.writer_class_id}, found {metadata!r:.80}"
            self._ports.emit(PluginProblem(plugin=writer.name, stage="identify", message=text))
            return
        try:
            render_writer_metadata(metadata)
        except DocumentError as error:  # what no document can hold counts as no answer: the others are backed up
            self._ports.emit(PluginProblem(plugin=writer.name, stage="identify", message=error.message))
            return
        except Exception as error:  # noqa: BLE001 - a plugin's record may have any shape inside; it is that plugin's failure
            text = f"the metadata are no document: {type(error).__name__}: {error}"
            self._ports.emit(PluginProblem(plugin=writer.name, stage="identify", message=text))
            return
        self._metadata.append(metadata)
        self._recovering += [(metadata.instance_id, each) for each in metadata.components if each.flags]
        if self._is_restore:
            instance = (writer.writer_class_id, metadata.instance_name, metadata.instance_id)
            self._document = rebind_writer(self._document, *instance)
        board = self._coordinator.status_board
        self._participants.append(Participant(self._ports, self._caller, writer, self, board, self._limits.abort_s))
        self._ports.emit(
            WriterIdentified(
                session_id=self._id_text,
                writer=writer.name,
                writer_id=str(writer.writer_class_id),
                component_count=len(metadata.components),
                instance_id=str(writer.instance_id),
                level=writer.application_level.name,
                freeze_limit_ns=_whole_ns(writer.freeze_timeout_s),
            )
        )

    def disable_writer_classes(self, writer_ids: Sequence[Guid]) -> None:
        """Keep the writers of these classes out; before GatherWriterMetadata only."""
        self._machine.call(SessionCall.DISABLE_WRITER_CLASSES)
        self._disabled_classes.extend(writer_ids)

    def enable_writer_classes(self, writer_ids: Sequence[Guid]) -> None:
        """Let the writers of these classes in again; before GatherWriterMetadata only."""
        self._machine.call(SessionCall.ENABLE_WRITER_CLASSES)
        self._disabled_classes = [each for each in self._disabled_classes if each not in writer_ids]

    def disable_writer_instances(self, instance_ids: Sequence[Guid]) -> None:
        """Keep these running writers out; before GatherWriterMetadata only."""
        self._machine.call(SessionCall.DISABLE_WRITER_INSTANCES)
        self._disabled_instances.extend(instance_ids)

    @passes("coord.status")
    async def gather_writer_status(self) -> list[WriterStatus]:
        """Return state and failure of every writer that identified itself ("GatherWriterStatus", "GetWriterStatusEx").

        After a step of this session (``is_meaningful``) it is the answer to that step. For a writer that this session has sent
        nothing it is what the most recent other session left. After BackupComplete it also gives the session's slots back.
        """
        self._machine.call(SessionCall.GATHER_WRITER_STATUS)
        is_meaningful = self._machine.state in STATUS_IS_MEANINGFUL
        board = self._coordinator.status_board
        statuses = [board.status_of(each, is_meaningful=is_meaningful) for each in self._participants]
        for status in statuses:
            if status.failure is HResult.VSS_E_WRITER_NOT_RESPONDING:
                self._caller.log.write(12301, f"writer '{status.name}'")
        if self._machine.state is SessionState.COMPLETED:
            for participant in self._participants:
                participant.free_slot()
        self._ports.emit(
            WriterStatusGathered(
                session_id=self._id_text,
                after=self._machine.state.value,
                is_meaningful=is_meaningful,
                failed=tuple(each.name for each in statuses if each.failure.is_failure),
            )
        )
        return statuses

    # -- the end ---------------------------------------------------------------------------------------------------------------

    @passes("coord.release_session")
    async def release(self) -> None:
        """End the session whatever state it is in: end the call that is under way, undo an unfinished set, delete auto-release
        shadow copies, free the creation lock, send BackupShutdown to every writer that took part ("Handling BackupShutdown
        events"). The second call does nothing. Whoever is cancelled while it releases is so when all that is done: nobody would
        come back for it."""
        if self._is_released:
            return
        self._is_released = True
        self._machine.call(SessionCall.RELEASE)  # whatever comes now, also from a requestor that is dead, is refused
        try:
            try:
                await self._surely(self._end_work())
            finally:
                try:
                    await self._surely(self._shut_writers_down())
                finally:
                    await self._surely(self._delete_auto_release())
        finally:
            self._coordinator.session_ended(self)
            for participant in self._participants:
                participant.close()
            self._ports.emit(SessionReleased(session_id=self._id_text))
            if self._waiting is not None:
                self._ports.emit(SessionReleased(session_id=str(self._waiting.session_id)))

    async def _surely(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` to its end; where whoever releases is cancelled meanwhile, what it raised is recorded."""
        try:
            await to_the_end(work)
        except asyncio.CancelledError as cancellation:
            if cancellation.__cause__ is not None:
                self._ports.emit(PluginProblem(plugin="requestor", stage="release", message=str(cancellation.__cause__)))
            raise

    def lose(self) -> None:
        """The service died with this session: whatever is called from now on is refused, and nothing is undone. A release that
        was under way died, too."""
        self._is_released = True
        if self._machine.allows(SessionCall.RELEASE):
            self._machine.call(SessionCall.RELEASE)
        self._ports.emit(SessionLost(session_id=self._id_text))

    @property
    def _recovery_attribute(self) -> int:
        """AUTORECOVER where a chosen component says that it recovers in shadow copies of this purpose, else 0."""
        if not self._recovering or not self._context.has_writers or self._attributes & SnapshotAttributes.NO_AUTORECOVERY:
            return 0
        is_rollback = self._context.is_persistent or self._attributes & SnapshotAttributes.ROLLBACK_RECOVERY
        flag = ComponentFlags.APP_ROLLBACK_RECOVERY if is_rollback else ComponentFlags.BACKUP_RECOVERY
        for instance_id, component in self._recovering:
            part = self._document.writer(instance_id)
            chosen = () if part is None else part.components
            is_chosen = not self._document.select_components or any(each.full_path == component.full_path for each in chosen)
            if is_chosen and component.flags & flag:
                return int(SnapshotAttributes.AUTORECOVER)
        return 0

    async def _end_work(self) -> None:
        await self.call_under_way.end(self._limits.abort_s)
        await self._undo_unfinished()

    async def _undo_unfinished(self) -> None:
        if self._creation is not None:
            await self._creation.abort(self._selected_participants())

    async def _shut_writers_down(self) -> None:
        if self._is_restore:
            return  # BackupShutdown is an event of backups
        await self._shut_down([each for each in self._participants if each.is_involved and not each.is_forgotten])

    async def _shut_down(self, involved: Sequence[Participant]) -> None:
        for participant in involved:
            await participant.wait_timer_abort()
            participant.interrupt()
            if participant.needs_abort:
                await participant.abort("session released")
        calls = [each.call_for(WriterEvent.BACKUP_SHUTDOWN) for each in involved]
        outcomes = await self._caller.fan_out(calls, self._limits.backup_shutdown_s)
        for participant, outcome in zip(involved, outcomes, strict=True):
            participant.take_outcome(WriterEvent.BACKUP_SHUTDOWN, outcome)

    async def _delete_auto_release(self) -> None:
        if not self._context.is_auto_release:
            return
        for snapshot_id in self._snapshot_ids:
            await self._coordinator.delete_snapshot_if_there(snapshot_id, "auto-release")

    async def __aenter__(self) -> Self:
        """Use the session in a block that releases it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release, whatever happened."""
        await self.release()


def _whole_ns(seconds: float) -> int:
    """Nanoseconds, or -1 where there is no limit."""
    return round(seconds * NANOSECONDS) if math.isfinite(seconds) else -1
