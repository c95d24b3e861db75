"""The calls of a session that hand something over to a later session: a set to another machine, BackupComplete to a later run.

What travels is in ``vss.coordinator.transport``, what waits in ``vss.coordinator.waiting``.
"""

from __future__ import annotations

from dataclasses import replace

from vss.coordinator import transport
from vss.coordinator.contexts import SnapshotAttributes
from vss.coordinator.creation import SnapshotSetCreation
from vss.coordinator.participant import Participant
from vss.coordinator.session_core import SessionCore
from vss.coordinator.waiting import WaitingBackup
from vss.events import SnapshotsImported, WaitingBackupTaken
from vss.machines import SessionCall, WriterState
from vss.roles.provider import ImportResult


class HandoverCalls(SessionCore):
    """What a session leaves to, or takes from, another one."""

    async def import_snapshots(self) -> ImportResult:
        """Make the shadow copies of the transportable set that the stored document describes this machine's own
        ("ImportSnapshots"); once per set. Those that are not persistent go when this session is released.

        Returns:
            Which were imported; VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED where some did not arrive.

        Raises:
            DocumentError, NotFoundError, ProviderError: as ``vss.coordinator.transport.import_set``.
        """
        async with self._long_call(SessionCall.IMPORT_SNAPSHOTS):
            result = await transport.import_set(self._coordinator, self._document)
            for snapshot_id in result.imported:
                if transport.goes_with_its_session(self._coordinator.snapshot(snapshot_id)):
                    self._snapshot_ids.append(snapshot_id)
            self._ports.emit(
                SnapshotsImported(
                    session_id=self._id_text,
                    snapshot_set_id=str(self.snapshot_set_id),
                    imported=tuple(str(each) for each in result.imported),
                    missing=result.missing,
                )
            )
        return result

    async def _describe_transportable(self, creation: SnapshotSetCreation) -> None:
        """Put into the document what another machine needs to import the set, where it is to travel."""
        if self._attributes & SnapshotAttributes.TRANSPORTABLE:
            providers = creation.providers.providers
            described = await transport.describe(self._coordinator, creation.snapshot_set_id, providers)
            self._document = replace(self._document, snapshots=described)

    def _take_over(self, waiting: WaitingBackup) -> None:
        """Its writers are this session's from here; they still see the session that took the set."""
        self._waiting = waiting
        self._context = waiting.snapshot_context
        taken = self._coordinator.waiting.take(waiting)
        for each in self._participants:
            each.close()
        self._participants = taken
        self._ports.emit(
            WaitingBackupTaken(
                session_id=str(waiting.session_id),
                snapshot_set_id=str(waiting.snapshot_set_id),
                by_session_id=self._id_text,
            )
        )

    async def leave_waiting(self) -> None:
        """Go away without BackupComplete, so that a later session with this session's document can send it; not the vendor's.

        The writers that wait for it are told nothing; the others hear BackupShutdown. Auto-release shadow copies go. The
        document is closed: what was reported of each component is what the writers will be told.
        """
        self._machine.call(SessionCall.LEAVE_WAITING)
        self._is_released = True
        waiting = WaitingBackup(self.session_id, self._document, self._context)
        waiting.participants = [
            each for each in self._selected_participants() if each.state is WriterState.WAITING_FOR_BACKUP_COMPLETE
        ]
        others = [each for each in self._participants if not any(each is one for one in waiting.participants)]
        await self._surely(self._go_away(waiting, others))

    async def _go_away(self, waiting: WaitingBackup, others: list[Participant]) -> None:
        try:
            await self._shut_down([each for each in others if each.is_involved])
            await self._delete_auto_release()
        finally:
            self._coordinator.session_ended(self)
            for participant in others:
                participant.close()
            self._coordinator.waiting.leave(waiting)
