"""The restore calls of a session. Source: Volume Shadow Copy Service documentation, "Overview of processing a restore".

    initialize_for_restore(stored document) · gather_writer_metadata · set_selected_for_restore … · add_restore_subcomponent … ·
    pre_restore · gather_writer_status · copy files back · add_alternative_location_mapping … · set_file_restore_status … ·
    post_restore · gather_writer_status · release

A restore cannot be aborted; a writer that refuses in PreRestore shows in the writer status and nothing may be copied for it.
A writer that takes part only where replacing fails hears PostRestore when a chosen component of it is not wholly back in its
own place: files went elsewhere, or their status is not ALL ("VSS_WRITERRESTORE_ENUM").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vss.coordinator.components_editor import ComponentKey, change_component, find_component, move_component
from vss.coordinator.fault_points import passes
from vss.coordinator.participant import Participant
from vss.coordinator.session_core import SessionCore
from vss.documents import (
    AlternateLocationMapping,
    BackupComponents,
    BackupSchema,
    ComponentType,
    FileRestoreStatus,
    NewTarget,
    RestoreSubcomponent,
    RestoreType,
    RollForwardType,
    SelectedComponent,
    WriterComponents,
    WriterMetadata,
    WriterRestore,
)
from vss.documents.machine_paths import expand_variables
from vss.documents.selection import component_set, is_ancestor
from vss.errors import BadStateError, InvalidArgumentError, NotFoundError, UnsupportedError
from vss.events import SessionStarted
from vss.ids import GUID_NULL, Guid
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

    def set_restore_state(self, restore_type: RestoreType) -> None:
        """Say how the data comes back, for the writers; before PreRestore."""
        self._machine.call(SessionCall.SET_RESTORE_STATE)
        self._restore_type = RestoreType.BY_COPY if restore_type is RestoreType.UNDEFINED else restore_type

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

    def set_selected_for_restore_ex(
        self,
        writer_id: Guid,
        type: ComponentType,
        logical_path: str,
        component_name: str,
        selected: bool = True,
        instance_id: Guid = GUID_NULL,
    ) -> None:
        """Choose a component to restore, to the instance ``instance_id`` of its writer (GUID_NULL: where it came from).

        Raises:
            NotFoundError: the document has no such component, or there is no such instance of its writer.
            UnsupportedError: the writer does not say that it supports a restore with a move.
            AlreadyExistsError: the other instance has a component of this name in the document.
        """
        key = ComponentKey(writer_id, type, logical_path, component_name)
        find_component(self._document, key)
        target = next((each for each in self._metadata if each.instance_id == instance_id), None)
        if instance_id != GUID_NULL and (target is None or target.writer_id != writer_id):
            raise NotFoundError(f"no instance {instance_id} of the writer {writer_id} of component '{key}' is running")
        owner = next(each for each in self._document.writers if any(key.matches(one) for one in each.components))
        if not any(each.writer.writer_class_id == writer_id for each in self._participants):
            raise NotFoundError(f"the writer {writer_id} of component '{key}' is not running on this machine")
        changed = change_component(self._document, key, selected_for_restore=selected)
        if target is not None and owner.writer_id == writer_id and owner.instance_id != instance_id:
            if not target.backup_schema & BackupSchema.WRITER_SUPPORTS_RESTORE_WITH_MOVE:
                raise UnsupportedError(f"writer '{target.friendly_name}' does not support a restore to another instance")
            part = WriterComponents(writer_id, instance_id, target.instance_name, target.backup_schema)
            changed = move_component(changed, key, part)
        self._machine.call(SessionCall.SET_SELECTED_FOR_RESTORE_EX)
        self._document = changed

    def set_authoritative_restore(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, authoritative: bool
    ) -> None:
        """Say that what is restored prevails over other replicas; before PreRestore.

        Raises:
            NotFoundError: the document has no such component.
            UnsupportedError: the writer's schema says nothing of it.
        """
        key = ComponentKey(writer_id, type, logical_path, component_name)
        self._require_schema(key, BackupSchema.AUTHORITATIVE_RESTORE, "authoritative restores")
        self._change_restored(SessionCall.SET_AUTHORITATIVE_RESTORE, key, authoritative_restore=authoritative)

    def set_roll_forward(
        self,
        writer_id: Guid,
        type: ComponentType,
        logical_path: str,
        component_name: str,
        roll_forward: RollForwardType,
        point: str = "",
    ) -> None:
        """Say how far the writer applies its logs; ``point`` goes with PARTIAL, in the writer's own words; before PreRestore.

        Raises:
            NotFoundError: the document has no such component.
            UnsupportedError: the writer's schema says nothing of it.
            InvalidArgumentError: a point without PARTIAL, or the other way round.
        """
        key = ComponentKey(writer_id, type, logical_path, component_name)
        if bool(point) is not (roll_forward is RollForwardType.PARTIAL):
            raise InvalidArgumentError(
                f"component '{key}': a point goes with roll forward PARTIAL and with nothing else,"
                f" found {roll_forward.name} and '{point}'"
            )
        self._require_schema(key, BackupSchema.ROLLFORWARD_RESTORE, "roll forward")
        self._change_restored(SessionCall.SET_ROLL_FORWARD, key, roll_forward=roll_forward, roll_forward_point=point)

    def set_restore_name(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, restore_name: str
    ) -> None:
        """Give the component a new name (``Logical Path\\Name``); before PreRestore.

        Raises:
            NotFoundError: the document has no such component.
            UnsupportedError: the writer's schema says nothing of it.
        """
        key = ComponentKey(writer_id, type, logical_path, component_name)
        self._require_schema(key, BackupSchema.RESTORE_RENAME, "new names")
        self._change_restored(SessionCall.SET_RESTORE_NAME, key, restore_name=restore_name)

    def _require_schema(self, key: ComponentKey, needed: BackupSchema, what: str) -> None:
        """Refuse where the writer that the component was backed up from does not say that it supports ``what``."""
        component = find_component(self._document, key)
        writer = next(each for each in self._document.writers if any(one is component for one in each.components))
        if needed not in writer.backup_schema:
            raise UnsupportedError(f"the writer {key.writer_id} of component '{key}' does not support {what}")

    def add_restore_subcomponent(
        self,
        writer_id: Guid,
        type: ComponentType,
        logical_path: str,
        component_name: str,
        subcomponent: RestoreSubcomponent,
    ) -> None:
        """Restore a part of a selected component, and from then on only such parts of it; before PreRestore.

        Raises:
            NotFoundError: the component is not in the document, or the part is none of its parts.
            BadStateError: the component was not selected for restore.
            InvalidArgumentError: ``repair`` is set, which is reserved.
        """
        key = ComponentKey(writer_id, type, logical_path, component_name)
        component = find_component(self._document, key)
        part = str(ComponentKey(writer_id, type, subcomponent.logical_path, subcomponent.component_name))
        if subcomponent.repair:
            raise InvalidArgumentError(f"subcomponent '{part}' of component '{key}': repair is reserved, expected False")
        if not is_ancestor(component.full_path, part):
            raise NotFoundError(f"'{part}' is no part of component '{key}'")
        if not component.selected_for_restore:
            raise BadStateError(f"component '{key}' must be selected for restore before its parts are")
        parts = (*component.restore_subcomponents, subcomponent)
        self._change_restored(SessionCall.ADD_RESTORE_SUBCOMPONENT, key, restore_subcomponents=parts)

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
        """Restore a file set of a component elsewhere; before PreRestore.

        Raises:
            NotFoundError: the document has no such component, or the component no such file set.
            UnsupportedError: the writer's schema says nothing of new targets.
        """
        key = ComponentKey(writer_id, type, logical_path, component_name)
        component = find_component(self._document, key)
        self._require_schema(key, BackupSchema.WRITER_SUPPORTS_NEW_TARGET, "new targets")
        if not any(
            each.writer_id == writer_id and _has_file_set(each, component, target, self.environment) for each in self._metadata
        ):
            raise NotFoundError(f"component '{key}' has no file set '{target.path}' '{target.filespec}'")
        targets = (*component.new_targets, target)
        self._change_restored(SessionCall.ADD_NEW_TARGET, key, new_targets=targets)

    @passes("coord.pre_restore")
    async def pre_restore(self) -> None:
        """Send PreRestore to the writers with a selected component; who refused shows in the writer status."""
        async with self._long_call(SessionCall.PRE_RESTORE):
            await self._send_restore(WriterEvent.PRE_RESTORE, self._limits.pre_restore_s)

    def add_alternative_location_mapping(
        self,
        writer_id: Guid,
        type: ComponentType,
        logical_path: str,
        component_name: str,
        mapping: AlternateLocationMapping,
    ) -> None:
        """Record that files of a component went to this alternate location; between PreRestore and PostRestore."""
        key = ComponentKey(writer_id, type, logical_path, component_name)
        used = find_component(self._document, key).mappings_used
        if mapping not in used:
            used = (*used, mapping)
        self._change_restored(SessionCall.ADD_ALTERNATIVE_LOCATION_MAPPING, key, mappings_used=used)

    def set_ranges_file_path(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, index: int, path: str
    ) -> None:
        """Say where the ranges file of the component's partial file number ``index`` (from 0) is now.

        Raises:
            NotFoundError: the document has no such component, or the component no such partial file.
        """
        key = ComponentKey(writer_id, type, logical_path, component_name)
        partial = find_component(self._document, key).partial_files
        if not 0 <= index < len(partial):
            raise NotFoundError(f"component '{key}' has no partial file {index}: it has {len(partial)}")
        moved = replace(partial[index], ranges=path)
        changed = (*partial[:index], moved, *partial[index + 1 :])
        self._change_restored(SessionCall.SET_RANGES_FILE_PATH, key, partial_files=changed)

    def set_file_restore_status(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, status: FileRestoreStatus
    ) -> None:
        """Tell the writer what became of a component's files; between PreRestore and PostRestore."""
        key = ComponentKey(writer_id, type, logical_path, component_name)
        self._change_restored(SessionCall.SET_FILE_RESTORE_STATUS, key, file_restore_status=status)

    @passes("coord.post_restore")
    async def post_restore(self) -> None:
        """Send PostRestore: the writers recover. Who failed shows in the writer status."""
        async with self._long_call(SessionCall.POST_RESTORE):
            await self._send_restore(WriterEvent.POST_RESTORE, self._limits.post_restore_s)

    def _change_restored(self, call: SessionCall, key: ComponentKey, **changes: Any) -> None:
        changed = change_component(self._document, key, **changes)
        self._machine.call(call)
        self._document = changed

    async def _send_restore(self, event: WriterEvent, limit_s: float) -> None:
        chosen = [each for each in self._restoring(event) if each.state is WriterState.STABLE]
        outcomes = await self._caller.fan_out([each.call_for(event) for each in chosen], limit_s)
        for participant, outcome in zip(chosen, outcomes, strict=True):
            participant.take_outcome(event, outcome)

    def _restoring(self, event: WriterEvent) -> list[Participant]:
        """Running writers that want this event and have a selected component. A part of the document whose instance does not
        run is for every instance of its class."""
        running = [each.instance_id for each in self._participants]
        selected: dict[Guid, list[SelectedComponent]] = {}
        for writer in self._document.writers:
            chosen = [each for each in writer.components if each.selected_for_restore]
            if not chosen:
                continue
            is_bound = writer.instance_id in running
            for each in self._participants:
                if each.instance_id == writer.instance_id if is_bound else each.writer.writer_class_id == writer.writer_id:
                    selected.setdefault(each.instance_id, []).extend(chosen)
        listening = {
            each.instance_id
            for each in self._metadata
            if each.restore_method is not None
            and _takes_part(each.restore_method.writer_restore, event, selected.get(each.instance_id, []))
        }
        return [each for each in self._participants if each.instance_id in selected and each.instance_id in listening]


def _takes_part(writer_restore: WriterRestore, event: WriterEvent, selected: list[SelectedComponent]) -> bool:
    if writer_restore is WriterRestore.NEVER:
        return False
    if writer_restore is not WriterRestore.IF_REPLACE_FAILS or event is WriterEvent.PRE_RESTORE:
        return True
    return any(each.mappings_used or each.file_restore_status is not FileRestoreStatus.ALL for each in selected)


def _has_file_set(
    metadata: WriterMetadata, component: SelectedComponent, target: NewTarget, environment: Mapping[str, str]
) -> bool:
    """Whether a file set of the component is the one meant; variables in either path are the machine's."""

    def place(path: str) -> str:
        return expand_variables(path, environment).rstrip("\\").lower()

    declared = metadata.component(component.full_path)
    if declared is None:
        return False
    wanted = (place(target.path), target.filespec.lower(), target.recursive)
    specs = [spec for member in component_set(metadata, declared).members for spec in member.files]
    return any((place(spec.path), spec.filespec.lower(), spec.recursive) == wanted for spec in specs)
