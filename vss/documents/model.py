"""The two documents as frozen dataclasses: what writers declare, and what one session decided.

Field names are the vendor's parameter names in snake case ("Writer metadata document contents", "Backup components document
contents"). XML and back is in ``vss.documents.xml``; who selects what is in ``vss.documents.selection``. No I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from vss.documents.transported import SnapshotDescription
from vss.ids import GUID_NULL, Guid


class UsageType(IntEnum):
    """VSS_USAGE_TYPE."""

    UNDEFINED = 0
    BOOTABLE_SYSTEM_STATE = 1
    SYSTEM_SERVICE = 2
    USER_DATA = 3
    OTHER = 4


class SourceType(IntEnum):
    """VSS_SOURCE_TYPE."""

    UNDEFINED = 0
    TRANSACTION_DB = 1
    NONTRANSACTION_DB = 2
    OTHER = 3


class ComponentType(IntEnum):
    """VSS_COMPONENT_TYPE."""

    UNDEFINED = 0
    DATABASE = 1
    FILE_GROUP = 2


class ComponentFlags(IntFlag):
    """VSS_COMPONENT_FLAGS."""

    NONE = 0
    BACKUP_RECOVERY = 0x1
    APP_ROLLBACK_RECOVERY = 0x2
    NOT_SYSTEM_STATE = 0x4


class RestoreMethodKind(IntEnum):
    """VSS_RESTOREMETHOD_ENUM."""

    UNDEFINED = 0
    RESTORE_IF_NOT_THERE = 1
    RESTORE_IF_CAN_REPLACE = 2
    STOP_RESTORE_START = 3
    RESTORE_TO_ALTERNATE_LOCATION = 4
    RESTORE_AT_REBOOT = 5
    RESTORE_AT_REBOOT_IF_CANNOT_REPLACE = 6
    CUSTOM = 7
    RESTORE_STOP_START = 8


class WriterRestore(IntEnum):
    """VSS_WRITERRESTORE_ENUM: when the writer takes part in a restore."""

    UNDEFINED = 0
    NEVER = 1
    IF_REPLACE_FAILS = 2
    ALWAYS = 3


class RestoreTarget(IntEnum):
    """VSS_RESTORE_TARGET. ORIGINAL means "obey the restore method", not "the original place"."""

    UNDEFINED = 0
    ORIGINAL = 1
    ALTERNATE = 2
    DIRECTED = 3
    ORIGINAL_LOCATION = 4


class FileRestoreStatus(IntEnum):
    """VSS_FILE_RESTORE_STATUS."""

    UNDEFINED = 0
    NONE = 1
    ALL = 2
    FAILED = 3


class RestoreType(IntEnum):
    """VSS_RESTORE_TYPE: how a restore brings the data back; UNDEFINED counts as BY_COPY."""

    UNDEFINED = 0
    BY_COPY = 1
    IMPORT = 2
    OTHER = 3


class RollForwardType(IntEnum):
    """VSS_ROLLFORWARD_TYPE: how far the writer applies logs after a restore."""

    UNDEFINED = 0
    NONE = 1
    ALL = 2
    PARTIAL = 3


class BackupType(IntEnum):
    """VSS_BACKUP_TYPE."""

    UNDEFINED = 0
    FULL = 1
    INCREMENTAL = 2
    DIFFERENTIAL = 3
    LOG = 4
    COPY = 5
    OTHER = 6


class BackupSchema(IntFlag):
    """VSS_BACKUP_SCHEMA: what a writer supports beyond full backups."""

    NONE = 0
    DIFFERENTIAL = 0x1
    INCREMENTAL = 0x2
    EXCLUSIVE_INCREMENTAL_DIFFERENTIAL = 0x4
    LOG = 0x8
    COPY = 0x10
    TIMESTAMPED = 0x20
    LAST_MODIFY = 0x40
    LSN = 0x80
    WRITER_SUPPORTS_NEW_TARGET = 0x100
    WRITER_SUPPORTS_RESTORE_WITH_MOVE = 0x200
    INDEPENDENT_SYSTEM_STATE = 0x400
    ROLLFORWARD_RESTORE = 0x1000
    RESTORE_RENAME = 0x2000
    AUTHORITATIVE_RESTORE = 0x4000
    WRITER_SUPPORTS_PARALLEL_RESTORES = 0x8000


FILE_SPEC_BACKUP_ALL = 0xF0F
"""Default file-spec backup mask (3855): required by, and shadow copy required for, every backup type."""


class FileSpecKind(IntEnum):
    """Which element of the document a file specification is."""

    FILE_LIST = 0
    DATABASE_FILES = 1
    DATABASE_LOG_FILES = 2


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file set: directory ``path`` (``D:\\Exchange``), wildcard ``filespec`` (``*.log``), whether it goes below."""

    path: str
    filespec: str
    recursive: bool = False
    kind: FileSpecKind = FileSpecKind.FILE_LIST
    alternate_location: str = ""
    backup_type_mask: int = FILE_SPEC_BACKUP_ALL


@dataclass(frozen=True, slots=True)
class ExcludedFiles:
    """Files that are not backed up, or (``from_snapshot``) deleted from the shadow copy."""

    path: str
    filespec: str
    recursive: bool = False
    from_snapshot: bool = False


@dataclass(frozen=True, slots=True)
class ComponentDependency:
    """A component of another writer that must be backed up and restored with this one."""

    writer_id: Guid
    logical_path: str
    component_name: str


@dataclass(frozen=True, slots=True)
class Component:
    """A unit of backup that a writer declares (VSS_COMPONENTINFO)."""

    type: ComponentType
    component_name: str
    logical_path: str = ""
    caption: str = ""
    files: tuple[FileSpec, ...] = ()
    restore_metadata: bool = False
    notify_on_backup_complete: bool = True
    selectable: bool = True
    selectable_for_restore: bool = False
    flags: ComponentFlags = ComponentFlags.NONE
    dependencies: tuple[ComponentDependency, ...] = ()

    @property
    def full_path(self) -> str:
        """Logical path and name, the component's identity within its writer."""
        return f"{self.logical_path}\\{self.component_name}" if self.logical_path else self.component_name


@dataclass(frozen=True, slots=True)
class AlternateLocationMapping:
    """Where a file set may be restored to instead of its own place."""

    path: str
    filespec: str
    recursive: bool
    destination: str


@dataclass(frozen=True, slots=True)
class RestoreMethod:
    """How the requestor puts the files of this writer back."""

    method: RestoreMethodKind
    writer_restore: WriterRestore
    reboot_required: bool = False
    service: str = ""
    user_procedure: str = ""
    mappings: tuple[AlternateLocationMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentLayout:
    """How a writer metadata document was laid out where the vocabulary leaves a choice; without meaning.

    Attributes:
        locations: one letter per backup location in document order, ``c`` component or ``e`` exclusion; locations beyond its
            end follow, components first.
        restore_method_last: RESTORE_METHOD stands behind BACKUP_LOCATIONS.
        stated: names of the attributes that were written even where they say the default, sorted.
    """

    locations: str = ""
    restore_method_last: bool = False
    stated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WriterMetadata:
    """The writer metadata document: immutable once ``identify`` has returned it."""

    writer_id: Guid
    instance_id: Guid
    friendly_name: str
    usage: UsageType
    source: SourceType
    instance_name: str = ""
    major_version: int = 0
    minor_version: int = 0
    backup_schema: BackupSchema = BackupSchema.NONE
    restore_method: RestoreMethod | None = None
    components: tuple[Component, ...] = ()
    excluded: tuple[ExcludedFiles, ...] = ()
    layout: DocumentLayout = field(default=DocumentLayout(), compare=False, repr=False)

    def component(self, full_path: str) -> Component | None:
        """Return the component with this identity, compared without case, or None."""
        wanted = full_path.lower()
        return next((each for each in self.components if each.full_path.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class NewTarget:
    """The requestor's wish to restore a file set elsewhere."""

    path: str
    filespec: str
    recursive: bool
    alternate_path: str


@dataclass(frozen=True, slots=True)
class PartialFile:
    """Byte ranges of one file, ``offset:length, …`` in the vendor's text form."""

    path: str
    filename: str
    ranges: str
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class DifferencedFile:
    """Files changed since ``last_modify_time`` (FILETIME)."""

    path: str
    filespec: str
    recursive: bool
    last_modify_time: int


@dataclass(frozen=True, slots=True)
class DirectedTarget:
    """The writer's order to restore ranges of one file into ranges of another."""

    source_path: str
    source_filename: str
    source_ranges: str
    destination_path: str
    destination_filename: str
    destination_ranges: str


@dataclass(frozen=True, slots=True)
class RestoreSubcomponent:
    """A part of a selected component that alone is restored."""

    logical_path: str
    component_name: str
    repair: bool = False


@dataclass(frozen=True, slots=True)
class SelectedComponent:
    """One component as this session treats it (IVssComponent). Byte strings are the writer's private data."""

    type: ComponentType
    component_name: str
    logical_path: str = ""
    backup_succeeded: bool | None = None
    backup_stamp: bytes = b""
    previous_backup_stamp: bytes = b""
    backup_metadata: bytes = b""
    restore_metadata: bytes = b""
    backup_options: str = ""
    restore_options: str = ""
    partial_files: tuple[PartialFile, ...] = ()
    differenced_files: tuple[DifferencedFile, ...] = ()
    selected_for_restore: bool = False
    additional_restores: bool = False
    authoritative_restore: bool = False
    roll_forward: RollForwardType = RollForwardType.UNDEFINED
    roll_forward_point: str = ""
    restore_name: str = ""
    restore_target: RestoreTarget = RestoreTarget.UNDEFINED
    file_restore_status: FileRestoreStatus = FileRestoreStatus.UNDEFINED
    new_targets: tuple[NewTarget, ...] = ()
    directed_targets: tuple[DirectedTarget, ...] = ()
    restore_subcomponents: tuple[RestoreSubcomponent, ...] = ()
    mappings_used: tuple[AlternateLocationMapping, ...] = ()
    prepare_for_backup_failure: str = ""
    post_snapshot_failure: str = ""
    pre_restore_failure: str = ""
    post_restore_failure: str = ""

    @property
    def full_path(self) -> str:
        """Logical path and name, the component's identity within its writer."""
        return f"{self.logical_path}\\{self.component_name}" if self.logical_path else self.component_name


@dataclass(frozen=True, slots=True)
class WriterComponents:
    """One writer's part of the backup components document."""

    writer_id: Guid
    instance_id: Guid
    instance_name: str = ""
    backup_schema: BackupSchema = BackupSchema.NONE
    components: tuple[SelectedComponent, ...] = ()


@dataclass(frozen=True, slots=True)
class BackupComponents:
    """The backup components document: shared by requestor and writers until BackupComplete closes it."""

    backup_type: BackupType = BackupType.UNDEFINED
    select_components: bool = True
    bootable_system_state: bool = False
    partial_file_support: bool = False
    snapshot_set_id: Guid = GUID_NULL
    snapshots: tuple[SnapshotDescription, ...] = ()  # of a transportable set
    writers: tuple[WriterComponents, ...] = ()

    def writer(self, instance_id: Guid) -> WriterComponents | None:
        """Return the part of the writer instance, or None."""
        return next((each for each in self.writers if each.instance_id == instance_id), None)
