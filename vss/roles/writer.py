"""The writer: code in an application that owns data. It says what to back up, freezes it, and repairs it after a restore.

Called by the coordinator, in this order (Volume Shadow Copy Service documentation, "Overview of processing a backup"):

    identify · on_prepare_backup · on_prepare_snapshot · on_freeze · on_thaw · on_post_snapshot
    … the requestor copies and verifies … · on_backup_complete · on_backup_shutdown
    restore: identify · on_pre_restore · … files are copied back … · on_post_restore

Rules for authors: ``identify`` keeps no state and may come at any time. After ``on_freeze`` exactly one of ``on_thaw`` and
``on_abort`` follows; when neither comes within ``freeze_timeout_s`` the framework calls ``on_abort`` for you. ``on_abort``
may come more than once, and to a writer that never froze. Truncate logs in ``on_backup_complete`` only, and only for
components that the requestor reports as successful. Veto by raising ``WriterError`` (or a subclass); any other exception
counts as non-retryable failure of this writer and never reaches the other writers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Protocol

from vss.documents import BackupType, ComponentType, RestoreType, WriterComponents, WriterMetadata
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.roles.volume import FileSystem


class ApplicationLevel(IntEnum):
    """When a writer is frozen: front end first, then back end, then system (VSS_APPLICATION_LEVEL)."""

    SYSTEM = 1
    BACK_END = 2
    FRONT_END = 3


class WriterContext(Protocol):
    """What a handler may know and do. One per writer and session; valid only while a handler runs."""

    @property
    def session_id(self) -> Guid:
        """The requestor's session."""
        ...

    @property
    def snapshot_set_id(self) -> Guid:
        """The set in creation; GUID_NULL outside PrepareSnapshot … PostSnapshot."""
        ...

    @property
    def backup_type(self) -> BackupType:
        """What the requestor asked for."""
        ...

    @property
    def restore_type(self) -> RestoreType:
        """How a restore brings the data back (GetRestoreType); BY_COPY where nobody said."""
        ...

    @property
    def snapshot_context(self) -> int:
        """What the set is for (GetContext): the vendor's VSS_CTX number, 0 for a backup."""
        ...

    @property
    def level(self) -> ApplicationLevel:
        """When this writer is frozen (GetCurrentLevel)."""
        ...

    @property
    def is_bootable_system_state_backed_up(self) -> bool:
        """Whether the backup contains bootable system state."""
        ...

    @property
    def is_partial_file_support_enabled(self) -> bool:
        """Whether the requestor can back up parts of files."""
        ...

    @property
    def components(self) -> WriterComponents | None:
        """This writer's part of the backup components document; None when components are not selected."""
        ...

    @property
    def volumes(self) -> Sequence[str]:
        """Names of the volumes in the set, in the order they were added (GetCurrentVolumeArray)."""
        ...

    def is_path_affected(self, path: str) -> bool:
        """Whether ``path`` (``D:\\…``, variables are expanded) lies on a volume of the set.

        Raises:
            UnknownVariableError: the machine has no such variable.
        """
        ...

    async def snapshot_files(self, volume: str) -> FileSystem:
        """The shadow copy of ``volume``, writable, in ``on_post_snapshot`` only (auto-recovery).

        Raises:
            BadStateError: called from another handler, or the set was started with NO_AUTORECOVERY.
            NotFoundError: the volume is not in the set.
        """
        ...

    def set_components(self, components: WriterComponents) -> None:
        """Replace this writer's part of the document (stamps, metadata, restore targets).

        Raises:
            BadStateError: the document is closed in this phase.
        """
        ...

    def set_failure(self, hresult: HResult, message: str = "", application_failure: int = 0) -> None:
        """Report a failure without raising (CVssWriterEx2::SetWriterFailureEx).

        Args:
            hresult: one of ``WRITER_FAILURES``. With VSS_E_WRITERERROR_PARTIAL_FAILURE the writer goes on and only some of its
                components failed; S_OK takes back what this handler reported.
            message: for the requestor.
            application_failure: the application's own code.
        """
        ...

    def set_component_failure(
        self,
        type: ComponentType,
        logical_path: str,
        component_name: str,
        hresult: HResult,
        message: str = "",
        application_failure: int = 0,
    ) -> None:
        """Report that one component failed while the writer goes on with the others (IVssComponentEx2::SetFailure).

        Raises:
            NotFoundError: the component is not in the document.
            InvalidArgumentError: the code is no failure of a component.
        """
        ...


class Writer(ABC):
    """Subclass, give the class attributes, implement what the writer needs. See the module's rules."""

    writer_class_id: Guid
    name: str
    instance_name: str = ""
    application_level: ApplicationLevel = ApplicationLevel.FRONT_END
    freeze_timeout_s: float = 60.0
    instance_id: Guid = GUID_NULL  # given by the coordinator when the writer subscribes

    @abstractmethod
    async def identify(self) -> WriterMetadata:
        """Say what there is to back up and how to restore it. Stateless: same answer each time."""

    async def on_prepare_backup(self, context: WriterContext) -> None:
        """Get ready for a backup of the selected components."""

    @abstractmethod
    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        """Do the slow work before the freeze; may take longer than the freeze."""

    @abstractmethod
    async def on_freeze(self, context: WriterContext) -> None:
        """Bring the files to a state worth copying and stop changing them."""

    @abstractmethod
    async def on_thaw(self, context: WriterContext) -> None:
        """Go on writing; undo what freeze and prepare-snapshot set up."""

    async def on_post_snapshot(self, context: WriterContext) -> None:
        """Optionally change the shadow copy, write stamps and metadata."""

    @abstractmethod
    async def on_abort(self, context: WriterContext) -> None:
        """Undo everything, whatever was reached. May come more than once."""

    async def on_backup_complete(self, context: WriterContext) -> None:
        """The requestor has finished; ``context.components`` says which components succeeded. Truncate logs here."""

    async def on_backup_shutdown(self, context: WriterContext) -> None:
        """The session is over, however it ended. Forget it; never truncate here."""

    def backup_memory(self, session_id: Guid) -> Mapping[str, Any] | None:
        """The machine is suspended while this session's backup waits for BackupComplete: what must not be forgotten of it, as
        JSON-ready data. None (the default): nothing is remembered, and BackupComplete will not come."""
        return None

    async def recall_backup(self, session_id: Guid, memory: Mapping[str, Any]) -> None:
        """The machine goes on, the application is up: stand again where ``backup_memory`` was asked. Called with data of one's
        own only; raise ``WriterError`` where it does not hold any more."""

    async def on_pre_restore(self, context: WriterContext) -> None:
        """Files are about to be put back: refuse by ``WriterError`` while that would destroy data."""

    async def on_post_restore(self, context: WriterContext) -> None:
        """Files are back (see each component's file restore status): recover and go on line."""
