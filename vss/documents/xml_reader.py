"""Both documents from XML to the dataclasses.

``vss.documents.xml_guard`` hands over only trees that obey the schema, so here nothing can be missing or misspelt; what a
schema cannot say (identities are unique, bytes are base64) is checked on the way. GUIDs compare without case; the order of
elements, where it carries no meaning, is kept in ``DocumentLayout``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from vss.documents import xml_words as words
from vss.documents.model import (
    AlternateLocationMapping,
    BackupComponents,
    BackupSchema,
    Component,
    ComponentDependency,
    ComponentFlags,
    DifferencedFile,
    DirectedTarget,
    DocumentLayout,
    ExcludedFiles,
    FileRestoreStatus,
    FileSpec,
    FileSpecKind,
    NewTarget,
    PartialFile,
    RestoreMethod,
    RestoreSubcomponent,
    RestoreTarget,
    RollForwardType,
    SelectedComponent,
    WriterComponents,
    WriterMetadata,
)
from vss.documents.transported import TAG as TRANSPORTED_TAG
from vss.documents.transported import SnapshotDescription
from vss.documents.xml_guard import document_error, line_of, read_document, tag_of
from vss.ids import GUID_NULL, Guid

if TYPE_CHECKING:
    from lxml.etree import _Element

_FILE_KINDS = {
    "FILE_LIST": FileSpecKind.FILE_LIST,
    "DATABASE_FILES": FileSpecKind.DATABASE_FILES,
    "DATABASE_LOGFILES": FileSpecKind.DATABASE_LOG_FILES,
}


# -- from attributes to values -------------------------------------------------------------------------------------------------


def _text(element: _Element, attribute: str) -> str:
    """Return the attribute's text; what is left out is empty."""
    return element.get(attribute) or ""


def _is_yes(element: _Element, attribute: str) -> bool:
    return element.get(attribute) == "yes"


def _integer(element: _Element, attribute: str) -> int:
    return int(element.get(attribute) or 0)


def _guid(element: _Element, attribute: str) -> Guid:
    text = element.get(attribute)
    return GUID_NULL if text is None else Guid(text)


def _word(element: _Element, attribute: str, table: Mapping[str, words.E]) -> words.E:
    return table[_text(element, attribute)]


def _bytes(element: _Element | None, attribute: str, name: str) -> bytes:
    if element is None:
        return b""
    try:
        return base64.b64decode("".join(_text(element, attribute).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise document_error(name, line_of(element), f"{attribute} is not base64") from error


def _refuse_duplicates(keys: Iterable[tuple[str, _Element]], name: str, what: str) -> None:
    seen: dict[str, int] = {}
    for key, element in keys:
        if key.lower() in seen:
            raise document_error(name, line_of(element), f"{what} '{key}' again, first in line {seen[key.lower()]}")
        seen[key.lower()] = line_of(element)


# -- writer metadata document --------------------------------------------------------------------------------------------------


def parse_writer_metadata(data: bytes, name: str = "writer metadata document") -> WriterMetadata:
    """Read a writer metadata document; ``name`` is what messages call it.

    Raises:
        DocumentError: malformed, hostile, or not in the schema; names line and reason.
    """
    root = read_document(data, name, "writer_metadata.xsd")
    parts = {tag_of(child): child for child in root}
    identification, locations = parts["IDENTIFICATION"], parts["BACKUP_LOCATIONS"]
    method = parts.get("RESTORE_METHOD")
    of_components = [child for child in locations if tag_of(child) in words.COMPONENT_TAGS]
    components = tuple(_component(child) for child in of_components)
    _refuse_duplicates(zip((each.full_path for each in components), of_components, strict=True), name, "component")
    return WriterMetadata(
        writer_id=_guid(identification, "writerId"),
        instance_id=_guid(identification, "instanceId"),
        friendly_name=_text(identification, "friendlyName"),
        usage=_word(identification, "usage", words.USAGE),
        source=_word(identification, "dataSource", words.SOURCE),
        instance_name=_text(identification, "instanceName"),
        major_version=_integer(identification, "majorVersion"),
        minor_version=_integer(identification, "minorVersion"),
        backup_schema=BackupSchema(_integer(root, "backupSchema")),
        restore_method=None if method is None else _restore_method(method),
        components=components,
        excluded=tuple(_excluded(child) for child in locations if tag_of(child) not in words.COMPONENT_TAGS),
        layout=_layout(root, locations, method),
    )


def _layout(root: _Element, locations: _Element, method: _Element | None) -> DocumentLayout:
    order = "".join("c" if tag_of(child) in words.COMPONENT_TAGS else "e" for child in locations)
    return DocumentLayout(
        # Components before exclusions is how it is written anyway.
        locations=order if "ec" in order else "",
        restore_method_last=method is not None and root.index(method) > root.index(locations),
        stated=tuple(sorted(_stated_defaults(root))),
    )


def _stated_defaults(root: _Element) -> set[str]:
    stated = {"backupSchema"} if root.get("backupSchema") == "0" else set()
    for element in root.iter():
        if element.get("recursive") == "no" and tag_of(element) == "FILE_LIST":
            stated.add("recursive")
        stated.update(each for each in ("logicalPath", "caption", "instanceName") if element.get(each) == "")
    return stated


def _restore_method(element: _Element) -> RestoreMethod:
    return RestoreMethod(
        method=_word(element, "method", words.RESTORE_METHOD),
        writer_restore=_word(element, "writerRestore", words.WRITER_RESTORE),
        reboot_required=_is_yes(element, "rebootRequired"),
        service=_text(element, "service"),
        user_procedure=_text(element, "userProcedure"),
        mappings=tuple(_mapping(child) for child in element),
    )


def _mapping(element: _Element) -> AlternateLocationMapping:
    return AlternateLocationMapping(
        path=_text(element, "path"),
        filespec=_text(element, "filespec"),
        recursive=_is_yes(element, "recursive"),
        destination=_text(element, "alternatePath"),
    )


def _excluded(element: _Element) -> ExcludedFiles:
    return ExcludedFiles(
        path=_text(element, "path"),
        filespec=_text(element, "filespec"),
        recursive=_is_yes(element, "recursive"),
        from_snapshot=tag_of(element) == "EXCLUDE_FILES_FROM_SNAPSHOT",
    )


def _component(element: _Element) -> Component:
    return Component(
        type=words.COMPONENT_TAGS[tag_of(element)],
        component_name=_text(element, "componentName"),
        logical_path=_text(element, "logicalPath"),
        caption=_text(element, "caption"),
        files=tuple(_file_spec(child) for child in element if tag_of(child) in _FILE_KINDS),
        restore_metadata=_is_yes(element, "restoreMetadata"),
        notify_on_backup_complete=_is_yes(element, "notifyOnBackupComplete"),
        selectable=_is_yes(element, "selectable"),
        selectable_for_restore=_is_yes(element, "selectableForRestore"),
        flags=ComponentFlags(_integer(element, "componentFlags")),
        dependencies=tuple(
            ComponentDependency(_guid(child, "writerId"), _text(child, "logicalPath"), _text(child, "componentName"))
            for child in element
            if tag_of(child) == "DEPENDENCY"
        ),
    )


def _file_spec(element: _Element) -> FileSpec:
    return FileSpec(
        path=_text(element, "path"),
        filespec=_text(element, "filespec"),
        recursive=_is_yes(element, "recursive"),
        kind=_FILE_KINDS[tag_of(element)],
        alternate_location=_text(element, "alternatePath"),
        backup_type_mask=_integer(element, "filespecBackupType"),
    )


# -- backup components document ------------------------------------------------------------------------------------------------


def parse_backup_components(data: bytes, name: str = "backup components document") -> BackupComponents:
    """Read a backup components document; ``name`` is what messages call it.

    Raises:
        DocumentError: malformed, hostile, or not in the schema; names line and reason.
    """
    root = read_document(data, name, "backup_components.xsd")
    snapshots = [child for child in root if tag_of(child) == TRANSPORTED_TAG]
    writers = [child for child in root if tag_of(child) != TRANSPORTED_TAG]
    _refuse_duplicates(((str(_guid(child, "instanceId")), child) for child in writers), name, "writer instance")
    _refuse_duplicates(((_text(child, "snapshotId"), child) for child in snapshots), name, "shadow copy")
    return BackupComponents(
        backup_type=_word(root, "backupType", words.BACKUP_TYPE),
        select_components=_is_yes(root, "selectComponents"),
        bootable_system_state=_is_yes(root, "bootableSystemStateBackup"),
        partial_file_support=_is_yes(root, "partialFileSupport"),
        snapshot_set_id=_guid(root, "snapshotSetId"),
        snapshots=tuple(SnapshotDescription.of_attributes(partial(_text, child)) for child in snapshots),
        writers=tuple(_writer_components(child, name) for child in writers),
    )


def _writer_components(element: _Element, name: str) -> WriterComponents:
    components = tuple(_selected_component(child, name) for child in element)
    _refuse_duplicates(zip((each.full_path for each in components), element, strict=True), name, "component")
    return WriterComponents(
        writer_id=_guid(element, "writerId"),
        instance_id=_guid(element, "instanceId"),
        instance_name=_text(element, "instanceName"),
        backup_schema=BackupSchema(_integer(element, "backupSchema")),
        components=components,
    )


def _selected_component(element: _Element, name: str) -> SelectedComponent:
    parts: dict[str, list[_Element]] = {}
    for child in element:
        parts.setdefault(tag_of(child), []).append(child)
    for tag in ("BACKUP_METADATA", "RESTORE_METADATA"):
        for second in parts.get(tag, [])[1:]:
            raise document_error(name, line_of(second), f"a second {tag} in one component")
    succeeded = element.get("backupSucceeded")
    return SelectedComponent(
        type=_word(element, "componentType", words.COMPONENT_TYPE),
        component_name=_text(element, "componentName"),
        logical_path=_text(element, "logicalPath"),
        backup_succeeded=None if succeeded is None else succeeded == "yes",
        backup_stamp=_bytes(element, "backupStamp", name),
        previous_backup_stamp=_bytes(element, "previousBackupStamp", name),
        backup_metadata=_bytes(next(iter(parts.get("BACKUP_METADATA", [])), None), "metadata", name),
        restore_metadata=_bytes(next(iter(parts.get("RESTORE_METADATA", [])), None), "metadata", name),
        backup_options=_text(element, "backupOptions"),
        restore_options=_text(element, "restoreOptions"),
        partial_files=tuple(
            PartialFile(_text(part, "path"), _text(part, "filename"), _text(part, "ranges"), _text(part, "metadata"))
            for part in parts.get("PARTIAL_FILE", [])
        ),
        differenced_files=tuple(_differenced(part) for part in parts.get("DIFFERENCED_FILES", [])),
        selected_for_restore=_is_yes(element, "selectedForRestore"),
        additional_restores=_is_yes(element, "additionalRestores"),
        authoritative_restore=_is_yes(element, "authoritativeRestore"),
        roll_forward=RollForwardType.UNDEFINED
        if element.get("rollForwardType") is None
        else _word(element, "rollForwardType", words.ROLL_FORWARD),
        roll_forward_point=_text(element, "rollForwardPoint"),
        restore_name=_text(element, "restoreName"),
        restore_target=RestoreTarget.UNDEFINED
        if element.get("restoreTarget") is None
        else _word(element, "restoreTarget", words.RESTORE_TARGET),
        file_restore_status=FileRestoreStatus.UNDEFINED
        if element.get("fileRestoreStatus") is None
        else _word(element, "fileRestoreStatus", words.FILE_RESTORE_STATUS),
        new_targets=tuple(_new_target(part) for part in parts.get("NEW_TARGET", [])),
        directed_targets=tuple(_directed(part) for part in parts.get("DIRECTED_TARGET", [])),
        restore_subcomponents=tuple(
            RestoreSubcomponent(_text(part, "logicalPath"), _text(part, "componentName"), _is_yes(part, "repair"))
            for part in parts.get("RESTORE_SUBCOMPONENT", [])
        ),
        mappings_used=tuple(_mapping(part) for part in parts.get("ALTERNATE_LOCATION_MAPPING", [])),
        prepare_for_backup_failure=_text(element, "prepareForBackupFailureMsg"),
        post_snapshot_failure=_text(element, "postSnapshotFailureMsg"),
        pre_restore_failure=_text(element, "preRestoreFailureMsg"),
        post_restore_failure=_text(element, "postRestoreFailureMsg"),
    )


def _differenced(element: _Element) -> DifferencedFile:
    return DifferencedFile(
        path=_text(element, "path"),
        filespec=_text(element, "filespec"),
        recursive=_is_yes(element, "recursive"),
        last_modify_time=_integer(element, "lastModifyTime"),
    )


def _new_target(element: _Element) -> NewTarget:
    return NewTarget(
        path=_text(element, "path"),
        filespec=_text(element, "filespec"),
        recursive=_is_yes(element, "recursive"),
        alternate_path=_text(element, "alternatePath"),
    )


def _directed(element: _Element) -> DirectedTarget:
    return DirectedTarget(
        source_path=_text(element, "sourcePath"),
        source_filename=_text(element, "sourceFilename"),
        source_ranges=_text(element, "sourceRangeList"),
        destination_path=_text(element, "destinationPath"),
        destination_filename=_text(element, "destinationFilename"),
        destination_ranges=_text(element, "destinationRangeList"),
    )
