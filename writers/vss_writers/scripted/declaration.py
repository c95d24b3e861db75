"""From the tables of a script to what a writer declares: metadata, and the partial and differenced files of PostSnapshot. Pure.

All test writers of the vendor share one class id ("VSS Test Writer Tool"); so do these, told apart by their instance names.
Logical paths and component names must be unique over all instances on a machine, which nobody but the person can see to.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from vss.documents import (
    AlternateLocationMapping,
    BackupSchema,
    Component,
    ComponentDependency,
    ComponentType,
    DifferencedFile,
    ExcludedFiles,
    FileSpec,
    FileSpecKind,
    PartialFile,
    RestoreMethod,
    WriterMetadata,
)
from vss.documents.xml_words import COMPONENT_TYPE, SOURCE, USAGE, WRITER_RESTORE
from vss.ids import GUID_NULL
from vss_writers.scripted.script import (
    RESTORE_METHODS,
    ComponentTable,
    FileSetTable,
    Script,
    TypeWord,
    filetime,
    machine_directory,
)

WRITER_CLASS_ID = UUID("5affb034-969f-4919-8875-88f830d0ef89")
"""The class id of the vendor's test writer, so that selection files written for it fit."""

_TYPE_BITS: dict[TypeWord, int] = {"full": 0x1, "differential": 0x2, "incremental": 0x4, "log": 0x8}
_SCHEMA = {
    "copy": BackupSchema.COPY,
    "differential": BackupSchema.DIFFERENTIAL,
    "incremental": BackupSchema.INCREMENTAL,
    "log": BackupSchema.LOG,
}
_KINDS = {"file": FileSpecKind.FILE_LIST, "database": FileSpecKind.DATABASE_FILES, "log": FileSpecKind.DATABASE_LOG_FILES}
_DEFAULT_KINDS = {ComponentType.FILE_GROUP: "file", ComponentType.DATABASE: "database"}


def declare(script: Script, instance_name: str) -> WriterMetadata:
    """Return the writer metadata; the instance id is filled in when the writer answers Identify."""
    schema = BackupSchema.WRITER_SUPPORTS_NEW_TARGET if script.supports_new_target else BackupSchema.NONE
    for each in script.supports:
        schema |= _SCHEMA[each]
    if any(component.differenced_files for component in script.components):
        schema |= BackupSchema.LAST_MODIFY
    return WriterMetadata(
        writer_id=WRITER_CLASS_ID,
        instance_id=GUID_NULL,
        friendly_name=script.name,
        usage=USAGE[script.usage],
        source=SOURCE[script.source],
        instance_name=instance_name,
        backup_schema=schema,
        restore_method=_restore_method(script),
        components=tuple(_component(each) for each in script.components),
        excluded=tuple(ExcludedFiles(machine_directory(each.path), each.filespec, each.recursive) for each in script.exclude),
    )


def _restore_method(script: Script) -> RestoreMethod:
    table = script.restore_method
    return RestoreMethod(
        method=RESTORE_METHODS[table.method],
        writer_restore=WRITER_RESTORE[table.writer_restore],
        reboot_required=table.reboot_required,
        service=table.service,
        mappings=tuple(
            AlternateLocationMapping(
                machine_directory(each.path), each.filespec, each.recursive, machine_directory(each.alternate_path)
            )
            for each in table.mappings
        ),
    )


def _component(table: ComponentTable) -> Component:
    type = COMPONENT_TYPE[table.type]
    return Component(
        type=type,
        component_name=table.name,
        logical_path=table.logical_path,
        caption=table.caption,
        files=tuple(_file_spec(each, type) for each in table.file_sets),
        selectable=table.selectable,
        selectable_for_restore=table.selectable_for_restore,
        dependencies=tuple(
            ComponentDependency(each.writer_id, each.logical_path, each.component_name) for each in table.dependencies
        ),
    )


def _file_spec(table: FileSetTable, type: ComponentType) -> FileSpec:
    return FileSpec(
        path=machine_directory(table.path),
        filespec=table.filespec,
        recursive=table.recursive,
        kind=_KINDS[table.kind or _DEFAULT_KINDS[type]],
        alternate_location=machine_directory(table.alternate_path) if table.alternate_path else "",
        backup_type_mask=_mask(table.backup) | _mask(table.snapshot) << 8,
    )


def _mask(words: Sequence[TypeWord]) -> int:
    return sum(_TYPE_BITS[each] for each in dict.fromkeys(words))


def partial_files_of(script: Script) -> dict[str, tuple[PartialFile, ...]]:
    """Return the partial files by full path of their component, in lower case."""
    return {
        _component(table).full_path.lower(): tuple(
            PartialFile(machine_directory(each.path), each.filename, each.ranges) for each in table.partial_files
        )
        for table in script.components
    }


def differenced_files_of(script: Script) -> dict[str, tuple[DifferencedFile, ...]]:
    """Return the differenced files by full path of their component, in lower case."""
    return {
        _component(table).full_path.lower(): tuple(
            DifferencedFile(machine_directory(each.path), each.filespec, each.recursive, filetime(each.since))
            for each in table.differenced_files
        )
        for table in script.components
    }
