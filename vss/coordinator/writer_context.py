"""What a writer's handler may know and do, and when: the ``WriterContext`` of the writer's face.

Rules (vendor documentation, "Backup components document life cycle"): the document is open to writers from PrepareForBackup
to PostSnapshot and in PreRestore; in PostRestore only for failure messages, which our face carries in the same record; closed
otherwise. Changes made by a handler that fails are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from vss.coordinator.components_editor import ComponentKey
from vss.coordinator.contexts import SnapshotContext
from vss.coordinator.writer_status import ComponentFailure
from vss.documents import BackupComponents, BackupType, ComponentType, RestoreType, WriterComponents
from vss.documents.environment import expanded
from vss.errors import BadStateError, InvalidArgumentError, NotFoundError
from vss.hresult import WRITER_FAILURES, HResult
from vss.ids import GUID_NULL, Guid
from vss.machines import WriterEvent
from vss.roles.volume import FileSystem
from vss.roles.writer import ApplicationLevel, Writer

_DOCUMENT_OPEN = (
    WriterEvent.PREPARE_FOR_BACKUP,
    WriterEvent.POST_SNAPSHOT,
    WriterEvent.PRE_RESTORE,
    WriterEvent.POST_RESTORE,
)
_SET_KNOWN = (WriterEvent.PREPARE_FOR_SNAPSHOT, WriterEvent.FREEZE, WriterEvent.THAW, WriterEvent.POST_SNAPSHOT)


class DocumentAccess(Protocol):
    """What the context needs of its session."""

    @property
    def session_id(self) -> Guid:
        """The session's id."""
        ...

    @property
    def snapshot_set_id(self) -> Guid:
        """The set in creation, or the one created."""
        ...

    @property
    def backup_type(self) -> BackupType:
        """What the requestor asked for."""
        ...

    @property
    def set_volumes(self) -> Sequence[str]:
        """Names of the volumes in the set, in the order added."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """The machine's variables."""
        ...

    @property
    def document(self) -> BackupComponents:
        """The backup components document as it is now."""
        ...

    @property
    def snapshot_context(self) -> SnapshotContext:
        """What the set is for."""
        ...

    @property
    def restore_type(self) -> RestoreType:
        """How a restore brings the data back."""
        ...

    def components_of(self, instance_id: Guid) -> WriterComponents | None:
        """The writer's part of the document; None when components are not selected."""
        ...

    def replace_components(self, components: WriterComponents) -> None:
        """Put a changed part back."""
        ...

    async def writable_snapshot(self, volume: str) -> FileSystem:
        """Open the shadow copy of ``volume`` for changes; ``NotFoundError`` when the set has none, ``BadStateError`` when the
        set was started with NO_AUTORECOVERY."""
        ...


class ActiveContext:
    """The context of one handler call; every method raises ``BadStateError`` once the call is over."""

    def __init__(self, access: DocumentAccess, writer: Writer, event: WriterEvent) -> None:
        """Open the context for ``event``."""
        self._access = access
        self._writer = writer
        self._event = event
        self._changed: WriterComponents | None = None
        self._is_open = True
        self.failure = HResult.S_OK
        self.message = ""
        self.application_failure = 0
        self.component_failures: tuple[ComponentFailure, ...] = ()

    def close(self) -> None:
        """The handler returned."""
        self._is_open = False

    def keep_changes(self) -> None:
        """The handler succeeded: put what it changed into the document."""
        if self._changed is not None:
            self._access.replace_components(self._changed)

    def _require_open(self) -> None:
        if not self._is_open:
            raise BadStateError(
                f"writer '{self._writer.name}' used the context of {self._event.value} after its handler returned"
            )

    @property
    def session_id(self) -> Guid:
        """The requestor's session."""
        return self._access.session_id

    @property
    def snapshot_set_id(self) -> Guid:
        """The set in creation (the one created, in BackupComplete and BackupShutdown); else GUID_NULL."""
        if self._event in _SET_KNOWN or self._event in (WriterEvent.BACKUP_COMPLETE, WriterEvent.BACKUP_SHUTDOWN):
            return self._access.snapshot_set_id
        return GUID_NULL

    @property
    def backup_type(self) -> BackupType:
        """What the requestor asked for."""
        return self._access.backup_type

    @property
    def restore_type(self) -> RestoreType:
        """How a restore brings the data back."""
        return self._access.restore_type

    @property
    def snapshot_context(self) -> int:
        """What the set is for."""
        return int(self._access.snapshot_context)

    @property
    def level(self) -> ApplicationLevel:
        """When this writer is frozen."""
        return self._writer.application_level

    @property
    def is_bootable_system_state_backed_up(self) -> bool:
        """Whether the backup contains bootable system state."""
        return self._access.document.bootable_system_state

    @property
    def is_partial_file_support_enabled(self) -> bool:
        """Whether the requestor can back up parts of files."""
        return self._access.document.partial_file_support

    @property
    def components(self) -> WriterComponents | None:
        """The writer's part of the document, with its own changes in this call."""
        if self._changed is not None:
            return self._changed
        return self._access.components_of(self._writer.instance_id)

    @property
    def volumes(self) -> Sequence[str]:
        """Names of the volumes in the set."""
        return self._access.set_volumes

    def is_path_affected(self, path: str) -> bool:
        """Whether ``path`` lies on a volume of the set."""
        drive = expanded(path, self._access.environment).partition("\\")[0].lower()
        return any(drive == volume.lower() for volume in self._access.set_volumes)

    async def snapshot_files(self, volume: str) -> FileSystem:
        """The shadow copy of ``volume``, in PostSnapshot only."""
        self._require_open()
        if self._event is not WriterEvent.POST_SNAPSHOT:
            raise BadStateError(
                f"writer '{self._writer.name}' asked for the shadow copy of {volume} in {self._event.value}:"
                " it can be had in PostSnapshot only"
            )
        return await self._access.writable_snapshot(volume)

    def set_components(self, components: WriterComponents) -> None:
        """Replace the writer's part of the document when the handler returns without failure."""
        self._require_open()
        if self._event not in _DOCUMENT_OPEN:
            raise BadStateError(f"writer '{self._writer.name}' cannot change the document in {self._event.value}: it is closed")
        if components.instance_id != self._writer.instance_id:
            raise InvalidArgumentError(
                f"writer '{self._writer.name}' has instance id {self._writer.instance_id},"
                f" not {components.instance_id} as in the part it returned"
            )
        self._changed = components

    def set_failure(self, hresult: HResult, message: str = "", application_failure: int = 0) -> None:
        """Report a failure without raising; S_OK takes an earlier report of this handler back."""
        self._require_open()
        if hresult is not HResult.S_OK and hresult not in WRITER_FAILURES:
            raise InvalidArgumentError(f"a writer cannot report {hresult}: expected one of the writer failure codes")
        self.failure, self.message, self.application_failure = hresult, message, application_failure

    def set_component_failure(
        self,
        type: ComponentType,
        logical_path: str,
        component_name: str,
        hresult: HResult,
        message: str = "",
        application_failure: int = 0,
    ) -> None:
        """Report that one component failed while the writer goes on; the writer's own report becomes PARTIAL_FAILURE."""
        self._require_open()
        if hresult not in WRITER_FAILURES or hresult is HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE:
            raise InvalidArgumentError(
                f"a component cannot fail with {hresult}: expected a writer failure code, not a partial one"
            )
        key = ComponentKey(self._writer.writer_class_id, type, logical_path, component_name)
        part = self.components
        if part is None or not any(key.matches(each) for each in part.components):
            raise NotFoundError(f"writer '{self._writer.name}' has no component '{key}' in the document")
        failure = ComponentFailure(type, logical_path, component_name, hresult, application_failure, message)
        self.component_failures += (failure,)
        if self.failure is HResult.S_OK:
            self.failure, self.message = HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE, f"component '{key}' failed: {message}"
