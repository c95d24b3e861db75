"""Backups left waiting for BackupComplete: the requestor is gone, and a later one will say that it is complete.

The vendor ends a session with its requestor: BackupShutdown comes whatever happened ("Handling BackupShutdown events"). Its
test tool can leave BackupComplete out and send it from a later run, so here a requestor may leave its backup waiting on
purpose (``Session.leave_waiting``). What holds then:

- The writers that wait stay in WAITING_FOR_BACKUP_COMPLETE and are told nothing; auto-release shadow copies go.
- A later session with the same document takes the backup over: BackupComplete, and BackupShutdown at its release.
- What a writer knows of a backup in progress lives in its memory: an instance that was started anew since is not asked.
- A writer in this state counts as ready: the next PrepareForBackup to any of its writers ends the waiting backup first.
- A machine that is suspended can take ``waiting`` with it and give it back to ``resume``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from vss.coordinator.contexts import SnapshotContext
from vss.coordinator.participant import Participant
from vss.documents import BackupComponents, BackupType, RestoreType, WriterComponents
from vss.documents.xml import render_backup_components
from vss.errors import BadStateError
from vss.events import BackupLeftWaiting, SessionReleased, WaitingBackupEnded
from vss.ids import Guid
from vss.machines import WriterEvent
from vss.roles.volume import FileSystem

if TYPE_CHECKING:
    from vss.coordinator.coordinator import Coordinator
    from vss.roles.writer import Writer


class WaitingBackup:
    """One backup as it was left. It is what resumed writers see as their session.

    Attributes:
        session_id: of the session that took the set.
        document: as that session left it, with what was reported of each component.
        participants: the writers that wait.
    """

    restore_type = RestoreType.BY_COPY
    set_volumes: Sequence[str] = ()
    environment: Mapping[str, str] = MappingProxyType({})

    def __init__(self, session_id: Guid, document: BackupComponents, context: SnapshotContext) -> None:
        """Keep what a session knows; the writers are added afterwards."""
        self.session_id = session_id
        self.document = document
        self.snapshot_context = context
        self.participants: list[Participant] = []

    @property
    def snapshot_set_id(self) -> Guid:
        """The set that was taken."""
        return self.document.snapshot_set_id

    @property
    def backup_type(self) -> BackupType:
        """What the requestor asked for."""
        return self.document.backup_type

    def components_of(self, instance_id: Guid) -> WriterComponents | None:
        """The writer's part of the document; None when components are not selected."""
        return self.document.writer(instance_id) if self.document.select_components else None

    def replace_components(self, components: WriterComponents) -> None:
        """Refuse: the document is closed."""
        raise BadStateError(f"the document of the waiting backup of session {self.session_id} is closed")

    async def writable_snapshot(self, volume: str) -> FileSystem:
        """Refuse: the set is finished."""
        raise BadStateError(f"the shadow copy of {volume} cannot be changed: its set is finished")


class WaitingBackups:
    """The waiting backups of one machine, by set."""

    def __init__(self, coordinator: Coordinator) -> None:
        """Begin with none."""
        self._coordinator = coordinator
        self._waiting: dict[Guid, WaitingBackup] = {}

    def leave(self, backup: WaitingBackup) -> None:
        """A requestor goes away and leaves ``backup``."""
        self._waiting[backup.snapshot_set_id] = backup
        self._coordinator.ports.emit(
            BackupLeftWaiting(
                session_id=str(backup.session_id),
                snapshot_set_id=str(backup.snapshot_set_id),
                writers=tuple(each.writer.name for each in backup.participants),
            )
        )

    def find(self, document: BackupComponents) -> WaitingBackup:
        """Return the backup that ``document`` describes.

        Raises:
            BadStateError: none waits, or the document is not the one it was left with.
        """
        set_id = document.snapshot_set_id
        found = self._waiting.get(set_id)
        if found is None:
            known = ", ".join(str(each) for each in self._waiting) or "none"
            raise BadStateError(
                f"no backup of set {set_id} waits for BackupComplete on this machine: found {known}",
                hint="what writers know of a backup is gone after a restart, and after the next backup: take it again",
            )
        if render_backup_components(document) != render_backup_components(found.document):
            raise BadStateError(f"the document of set {set_id} is not the one that its backup was left with")
        return found

    def take(self, backup: WaitingBackup) -> list[Participant]:
        """Hand over the writers of ``backup``, which waits no longer; those that were started anew since have forgotten."""
        del self._waiting[backup.snapshot_set_id]
        for each in backup.participants:
            if not each.is_forgotten and not self._is_subscribed(each):
                each.forget("the writer was started anew since, and what it knew of the backup lived in its memory")
        return backup.participants

    def _is_subscribed(self, participant: Participant) -> bool:
        writer = participant.writer
        is_there = any(each is writer for each in self._coordinator.writers)
        return is_there and writer.instance_id == participant.instance_id

    async def end_those_of(self, writers: Sequence[Writer], cause: str) -> None:
        """End every waiting backup that one of ``writers`` has a part in."""
        for backup in list(self._waiting.values()):
            if any(each.writer is writer for each in backup.participants for writer in writers):
                await self._end(backup, cause)

    async def end_all(self, cause: str) -> None:
        """End every waiting backup."""
        for backup in list(self._waiting.values()):
            await self._end(backup, cause)

    async def _end(self, backup: WaitingBackup, cause: str) -> None:
        """BackupShutdown to its writers, as the end of their session would have sent."""
        coordinator = self._coordinator
        participants = [each for each in self.take(backup) if not each.is_forgotten]
        calls = [each.call_for(WriterEvent.BACKUP_SHUTDOWN) for each in participants]
        limit_s = coordinator.limits.backup_shutdown_s
        outcomes = await coordinator.caller.fan_out(calls, limit_s)
        for participant, outcome in zip(participants, outcomes, strict=True):
            participant.take_outcome(WriterEvent.BACKUP_SHUTDOWN, outcome)
            participant.close()
        session_id = str(backup.session_id)
        coordinator.ports.emit(
            WaitingBackupEnded(session_id=session_id, snapshot_set_id=str(backup.snapshot_set_id), cause=cause)
        )
        coordinator.ports.emit(SessionReleased(session_id=session_id))

    # -- while the machine is suspended ----------------------------------------------------------------------------------------

    def suspend(self) -> list[WaitingBackup]:
        """Hand out what waits and forget it: the machine is suspended, and nobody is told anything."""
        waiting, self._waiting = list(self._waiting.values()), {}
        for backup in waiting:
            for participant in backup.participants:
                participant.close()
        return waiting

    def resume(self, backup: WaitingBackup, writers: Sequence[tuple[Writer, int, str]]) -> None:
        """Take up a backup that ``suspend`` handed out: for each writer since when it waits, and why it does not know the
        backup any more (empty where it does)."""
        coordinator = self._coordinator
        for writer, changed_ns, reason in writers:
            participant = Participant(
                coordinator.ports,
                coordinator.caller,
                writer,
                backup,
                coordinator.status_board,
                coordinator.limits.abort_s,
            )
            if reason:
                participant.forget(reason)
            else:
                participant.resume(changed_ns)
            backup.participants.append(participant)
        self._waiting[backup.snapshot_set_id] = backup
