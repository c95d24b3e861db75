"""The restore calls of a session. Source: Volume Shadow Copy Service documentation, "Overview of processing a restore".

    initialize_for_restore(stored document) · gather_writer_metadata · set_selected_for_restore … · pre_restore ·
    gather_writer_status · copy files back · set_file_restore_status … · post_restore · gather_writer_status · release

A restore cannot be aborted; a writer that refuses in PreRestore shows in the writer status and nothing may be copied for it.
"""

from __future__ import annotations

from typing import Any

from vss.coordinator.components_editor import ComponentKey, change_component, find_component
from vss.coordinator.participant import Participant
from vss.coordinator.session_core import SessionCore
from vss.documents import BackupComponents, ComponentType, FileRestoreStatus, NewTarget, WriterRestore
from vss.errors import NotFoundError
from vss.events import SessionStarted
from vss.ids import Guid
from vss.machines import SessionCall, WriterEvent, WriterState


class RestoreCalls(SessionCore):
    """What a session can do once it is a restore."""

    def initialize_for_restore(self, document: BackupComponents) -> None:
        """Make this session a restore of the backup that ``document`` describes."""
        self._machine.call(SessionCall.INITIALIZE_FOR_RESTORE)
        self._document = document
        self._is_restore = True
        self._ports.emit(
            SessionStarted(session_id=self._id_text, kind="restore", backup_type=document.backup_type.name.lower())
        )

    def set_selected_for_restore(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, selected: bool = True
    ) -> None:
        """Choose a component to restore.

        Raises:
            NotFoundError: the document has no such component, or its writer is not running.
        """
        key = ComponentKey(writer_id, type, logical_path, component_name)
        if not any(each.writer.writer_class_id == writer_id for each in self._participants):
            find_component(self._document, key)
            raise NotFoundError(f"the writer {writer_id} of component '{key}' is not running on this machine")
        self._change_restored(SessionCall.SET_SELECTED_FOR_RESTORE, key, selected_for_restore=selected)

    def set_restore_options(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, options: str
    ) -> None:
        """Give the writer options for the restore of a component; before PreRestore."""
        key = ComponentKey(writer_id, type, logical_path, component_name)
        self._change_restored(SessionCall.SET_RESTORE_OPTIONS, key, restore_options=options)

    def set_additional_restores(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, additional: bool
    ) -> None:
        """Say that more sets follow, so that the writer leaves recovery to the last one; before PreRestore."""
        key = ComponentKey(writer_id, type, logical_path, component_name)
        self._change_restored(SessionCall.SET_ADDITIONAL_RESTORES, key, additional_restores=additional)

    def add_new_target(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, target: NewTarget
    ) -> None:
        """Restore a file set of a component elsewhere; before PreRestore."""
        key = ComponentKey(writer_id, type, logical_path, component_name)
        targets = (*find_component(self._document, key).new_targets, target)
        self._change_restored(SessionCall.ADD_NEW_TARGET, key, new_targets=targets)

    async def pre_restore(self) -> None:
        """Send PreRestore to the writers with a selected component; who refused shows in the writer status."""
        async with self._long_call(SessionCall.PRE_RESTORE):
            await self._send_restore(WriterEvent.PRE_RESTORE, self._limits.pre_restore_s)

    def set_file_restore_status(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, status: FileRestoreStatus
    ) -> None:
        """Tell the writer what became of a component's files; between PreRestore and PostRestore."""
        key = ComponentKey(writer_id, type, logical_path, component_name)
        self._change_restored(SessionCall.SET_FILE_RESTORE_STATUS, key, file_restore_status=status)

    async def post_restore(self) -> None:
        """Send PostRestore: the writers recover. Who failed shows in the writer status."""
        async with self._long_call(SessionCall.POST_RESTORE):
            await self._send_restore(WriterEvent.POST_RESTORE, self._limits.post_restore_s)

    def _change_restored(self, call: SessionCall, key: ComponentKey, **changes: Any) -> None:
        changed = change_component(self._document, key, **changes)
        self._machine.call(call)
        self._document = changed

    async def _send_restore(self, event: WriterEvent, limit_s: float) -> None:
        chosen = [each for each in self._restoring() if each.state is WriterState.STABLE]
        outcomes = await self._caller.fan_out([each.call_for(event) for each in chosen], limit_s)
        for participant, outcome in zip(chosen, outcomes, strict=True):
            participant.take_outcome(event, outcome)

    def _restoring(self) -> list[Participant]:
        """Running writers that want restore events and have a selected component; matched by class, as instances are new."""
        selected = {each.writer_id for each in self._document.writers if any(c.selected_for_restore for c in each.components)}
        silent = {
            each.instance_id
            for each in self._metadata
            if each.restore_method is None or each.restore_method.writer_restore is WriterRestore.NEVER
        }
        return [
            each
            for each in self._participants
            if each.writer.writer_class_id in selected and each.writer.instance_id not in silent
        ]
