"""Both documents as XML text, in the vendor's vocabulary. Reads nothing, needs no XML library.

Everything is an attribute; booleans are yes/no, masks decimal, bytes base64, GUIDs without braces in lower case. An attribute
whose value is the default is left out where Windows leaves it out (``DocumentLayout.stated`` brings it back). What the
vocabulary or the limits of the reader cannot express is refused, so whatever is written here can be read again.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from itertools import islice

from vss.documents import xml_words as words
from vss.documents.limits import ATTRIBUTE_LENGTH_MAX
from vss.documents.model import (
    BackupComponents,
    Component,
    ComponentType,
    ExcludedFiles,
    FileSpec,
    FileSpecKind,
    RestoreMethod,
    SelectedComponent,
    WriterComponents,
    WriterMetadata,
)
from vss.documents.transported import TAG as TRANSPORTED_TAG
from vss.documents.xml_guard import encode
from vss.errors import DocumentError
from vss.ids import GUID_NULL

Attribute = tuple[str, str | None]
"""Name and value; a value of None leaves the attribute out."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_SPECIAL = re.compile("[" + "".join(_ESCAPES) + "]")

_FILE_TAGS = {
    FileSpecKind.FILE_LIST: "FILE_LIST",
    FileSpecKind.DATABASE_FILES: "DATABASE_FILES",
    FileSpecKind.DATABASE_LOG_FILES: "DATABASE_LOGFILES",
}


class _Output:
    """Lines of XML, two blanks per level."""

    def __init__(self, document: str) -> None:
        self._document = document
        self._lines = ['<?xml version="1.0" encoding="utf-8"?>']
        self._open: list[tuple[str, int]] = []  # tag, number of its line

    def empty(self, tag: str, *attributes: Attribute) -> None:
        self._lines.append(f"{'  ' * len(self._open)}<{tag}{self._attributes(tag, attributes)}/>")

    def start(self, tag: str, *attributes: Attribute) -> None:
        self._lines.append(f"{'  ' * len(self._open)}<{tag}{self._attributes(tag, attributes)}>")
        self._open.append((tag, len(self._lines)))

    def end(self) -> None:
        tag, line = self._open.pop()
        if line == len(self._lines):
            self._lines[-1] = self._lines[-1][:-1] + "/>"
        else:
            self._lines.append(f"{'  ' * len(self._open)}</{tag}>")

    def text(self) -> bytes:
        return encode("\n".join(self._lines) + "\n", self._document)

    def _attributes(self, tag: str, attributes: tuple[Attribute, ...]) -> str:
        return "".join(f' {name}="{self._escaped(tag, name, value)}"' for name, value in attributes if value is not None)

    def _escaped(self, tag: str, name: str, value: str) -> str:
        if not isinstance(value, str):
            raise DocumentError(f"{self._document}: {name} of {tag} is {value!r:.80}, expected a text")
        if len(value) > ATTRIBUTE_LENGTH_MAX:
            raise DocumentError(
                f"{self._document}: {name} of {tag} has {len(value)} characters, expected at most {ATTRIBUTE_LENGTH_MAX}"
            )
        forbidden = _FORBIDDEN.search(value)
        if forbidden is not None:
            raise DocumentError(f"{self._document}: {name} of {tag} holds U+{ord(forbidden[0]):04X}, which XML cannot")
        return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], value)


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _yes(value: bool) -> str | None:
    return "yes" if value else None


def _number(name: str, value: int, bits: int = 32) -> str:
    if not isinstance(value, int) or not 0 <= value < 1 << bits:
        found = int(value) if isinstance(value, int) else repr(value)[:80]
        raise DocumentError(f"{name} is {found}, expected a number of {bits} bits without sign")
    return str(int(value))


def _base64(data: bytes) -> str | None:
    return base64.b64encode(data).decode("ascii") if data else None


def _require_identity(component: Component | SelectedComponent) -> None:
    if component.type is ComponentType.UNDEFINED:
        raise DocumentError(f"component '{component.full_path}' has no type, expected DATABASE or FILE_GROUP")
    if not component.component_name or "\\" in component.component_name:
        raise DocumentError(f"component name '{component.component_name}' is empty or holds a backslash")


# -- writer metadata document --------------------------------------------------------------------------------------------------


def render_writer_metadata(metadata: WriterMetadata) -> bytes:
    """Return the writer metadata document as UTF-8 XML.

    Raises:
        DocumentError: the vocabulary cannot express the metadata; names the component or attribute.
    """
    out = _Output(f"metadata of writer '{metadata.friendly_name}'")
    stated = metadata.layout.stated
    schema = _number("backupSchema", metadata.backup_schema)
    out.start(
        "WRITER_METADATA",
        ("xmlns", words.WRITER_METADATA_NAMESPACE),
        ("version", words.VERSION),
        ("backupSchema", schema if metadata.backup_schema or "backupSchema" in stated else None),
    )
    out.empty(
        "IDENTIFICATION",
        ("writerId", str(metadata.writer_id)),
        ("instanceId", str(metadata.instance_id)),
        ("instanceName", _stated(metadata.instance_name, "instanceName", stated)),
        ("friendlyName", metadata.friendly_name),
        ("usage", words.word_for("usage", words.USAGE, metadata.usage)),
        ("dataSource", words.word_for("dataSource", words.SOURCE, metadata.source)),
        ("majorVersion", _number("majorVersion", metadata.major_version)),
        ("minorVersion", _number("minorVersion", metadata.minor_version)),
    )
    if metadata.restore_method is not None and not metadata.layout.restore_method_last:
        _restore_method(out, metadata.restore_method)
    _locations(out, metadata)
    if metadata.restore_method is not None and metadata.layout.restore_method_last:
        _restore_method(out, metadata.restore_method)
    out.end()
    return out.text()


def _stated(value: str, name: str, stated: tuple[str, ...]) -> str | None:
    return value if value or name in stated else None


def _restore_method(out: _Output, method: RestoreMethod) -> None:
    out.start(
        "RESTORE_METHOD",
        ("method", words.word_for("method", words.RESTORE_METHOD, method.method)),
        ("service", method.service or None),
        ("userProcedure", method.user_procedure or None),
        ("writerRestore", words.word_for("writerRestore", words.WRITER_RESTORE, method.writer_restore)),
        ("rebootRequired", _yes_no(method.reboot_required)),
    )
    for mapping in method.mappings:
        out.empty(
            "ALTERNATE_LOCATION_MAPPING",
            ("path", mapping.path),
            ("filespec", mapping.filespec),
            ("recursive", _yes_no(mapping.recursive)),
            ("alternatePath", mapping.destination),
        )
    out.end()


def _locations(out: _Output, metadata: WriterMetadata) -> None:
    out.start("BACKUP_LOCATIONS")
    for location in _in_layout_order(metadata):
        if isinstance(location, Component):
            _component(out, location, metadata.layout.stated)
        else:
            out.empty(
                "EXCLUDE_FILES_FROM_SNAPSHOT" if location.from_snapshot else "EXCLUDE_FILES",
                ("path", location.path),
                ("filespec", location.filespec),
                ("recursive", _yes_no(location.recursive)),
            )
    out.end()


def _in_layout_order(metadata: WriterMetadata) -> Iterator[Component | ExcludedFiles]:
    """Components and exclusions as the layout mixes them; whatever it does not name follows, components first."""
    components, excluded = iter(metadata.components), iter(metadata.excluded)
    for letter in metadata.layout.locations:
        if letter == "c":
            yield from islice(components, 1)
        else:
            yield from islice(excluded, 1)
    yield from components
    yield from excluded


def _component(out: _Output, component: Component, stated: tuple[str, ...]) -> None:
    _require_identity(component)
    out.start(
        words.word_for("type", words.COMPONENT_TAGS, component.type),
        ("logicalPath", _stated(component.logical_path, "logicalPath", stated)),
        ("componentName", component.component_name),
        ("caption", _stated(component.caption, "caption", stated)),
        ("restoreMetadata", _yes_no(component.restore_metadata)),
        ("notifyOnBackupComplete", _yes_no(component.notify_on_backup_complete)),
        ("selectable", _yes_no(component.selectable)),
        ("selectableForRestore", _yes_no(component.selectable_for_restore)),
        ("componentFlags", _number("componentFlags", component.flags)),
    )
    for spec in component.files:
        _file_spec(out, component, spec, stated)
    for dependency in component.dependencies:
        out.empty(
            "DEPENDENCY",
            ("writerId", str(dependency.writer_id)),
            ("logicalPath", dependency.logical_path or None),
            ("componentName", dependency.component_name),
        )
    out.end()


def _file_spec(out: _Output, component: Component, spec: FileSpec, stated: tuple[str, ...]) -> None:
    of_file_group = spec.kind is FileSpecKind.FILE_LIST
    if of_file_group is not (component.type is ComponentType.FILE_GROUP):
        raise DocumentError(
            f"component '{component.full_path}' is a {component.type.name}, which has no {_FILE_TAGS[spec.kind]}"
            f" ('{spec.path}' '{spec.filespec}')"
        )
    if not of_file_group and (spec.recursive or spec.alternate_location):
        raise DocumentError(
            f"component '{component.full_path}': '{spec.path}' '{spec.filespec}' of a database is recursive or has an"
            " alternate location, which only files of a file group can"
        )
    recursive_stated = of_file_group and "recursive" in stated
    out.empty(
        _FILE_TAGS[spec.kind],
        ("path", spec.path),
        ("filespec", spec.filespec),
        ("recursive", _yes_no(spec.recursive) if recursive_stated else _yes(spec.recursive)),
        ("alternatePath", spec.alternate_location or None),
        ("filespecBackupType", _number("filespecBackupType", spec.backup_type_mask)),
    )


# -- backup components document ------------------------------------------------------------------------------------------------


def render_backup_components(document: BackupComponents) -> bytes:
    """Return the backup components document as UTF-8 XML.

    Raises:
        DocumentError: the vocabulary cannot express the document; names the component or attribute.
    """
    out = _Output("backup components document")
    out.start(
        "BACKUP_COMPONENTS",
        ("xmlns", words.BACKUP_COMPONENTS_NAMESPACE),
        ("version", words.VERSION),
        ("bootableSystemStateBackup", _yes_no(document.bootable_system_state)),
        ("selectComponents", _yes_no(document.select_components)),
        ("backupType", words.word_for("backupType", words.BACKUP_TYPE, document.backup_type)),
        ("partialFileSupport", _yes_no(document.partial_file_support)),
        ("snapshotSetId", str(document.snapshot_set_id) if document.snapshot_set_id != GUID_NULL else None),
    )
    for writer in document.writers:
        _writer_components(out, writer)
    for snapshot in document.snapshots:
        out.empty(TRANSPORTED_TAG, ("xmlns", ""), *snapshot.as_attributes())
    out.end()
    return out.text()


def _writer_components(out: _Output, writer: WriterComponents) -> None:
    out.start(
        "WRITER_COMPONENTS",
        ("instanceId", str(writer.instance_id)),
        ("writerId", str(writer.writer_id)),
        ("instanceName", writer.instance_name or None),
        ("backupSchema", _number("backupSchema", writer.backup_schema)),
    )
    for component in writer.components:
        _selected_component(out, component)
    out.end()


def _selected_component(out: _Output, component: SelectedComponent) -> None:
    _require_identity(component)
    target, status = component.restore_target, component.file_restore_status
    succeeded, roll_forward = component.backup_succeeded, component.roll_forward
    out.start(
        "COMPONENT",
        ("logicalPath", component.logical_path or None),
        ("componentName", component.component_name),
        ("componentType", words.word_for("componentType", words.COMPONENT_TYPE, component.type)),
        ("backupSucceeded", None if succeeded is None else _yes_no(succeeded)),
        ("backupStamp", _base64(component.backup_stamp)),
        ("previousBackupStamp", _base64(component.previous_backup_stamp)),
        ("backupOptions", component.backup_options or None),
        ("restoreOptions", component.restore_options or None),
        ("selectedForRestore", _yes(component.selected_for_restore)),
        ("additionalRestores", _yes(component.additional_restores)),
        ("authoritativeRestore", _yes(component.authoritative_restore)),
        ("rollForwardType", words.word_for("rollForwardType", words.ROLL_FORWARD, roll_forward) if roll_forward else None),
        ("rollForwardPoint", component.roll_forward_point or None),
        ("restoreName", component.restore_name or None),
        ("restoreTarget", words.word_for("restoreTarget", words.RESTORE_TARGET, target) if target else None),
        ("fileRestoreStatus", words.word_for("fileRestoreStatus", words.FILE_RESTORE_STATUS, status) if status else None),
        ("prepareForBackupFailureMsg", component.prepare_for_backup_failure or None),
        ("postSnapshotFailureMsg", component.post_snapshot_failure or None),
        ("preRestoreFailureMsg", component.pre_restore_failure or None),
        ("postRestoreFailureMsg", component.post_restore_failure or None),
    )
    # The vendor's documents have BACKUP_METADATA in no namespace; its twin follows.
    for tag, data in (("BACKUP_METADATA", component.backup_metadata), ("RESTORE_METADATA", component.restore_metadata)):
        if data:
            out.empty(tag, ("xmlns", ""), ("metadata", _base64(data)))
    _backup_parts(out, component)
    _restore_parts(out, component)
    out.end()


def _backup_parts(out: _Output, component: SelectedComponent) -> None:
    for partial in component.partial_files:
        out.empty(
            "PARTIAL_FILE",
            ("path", partial.path),
            ("filename", partial.filename),
            ("ranges", partial.ranges),
            ("metadata", partial.metadata or None),
        )
    for differenced in component.differenced_files:
        out.empty(
            "DIFFERENCED_FILES",
            ("path", differenced.path),
            ("filespec", differenced.filespec),
            ("recursive", _yes_no(differenced.recursive)),
            ("lastModifyTime", _number("lastModifyTime", differenced.last_modify_time, 64)),
        )


def _restore_parts(out: _Output, component: SelectedComponent) -> None:
    for target in component.new_targets:
        out.empty(
            "NEW_TARGET",
            ("path", target.path),
            ("filespec", target.filespec),
            ("recursive", _yes_no(target.recursive)),
            ("alternatePath", target.alternate_path),
        )
    for directed in component.directed_targets:
        out.empty(
            "DIRECTED_TARGET",
            ("sourcePath", directed.source_path),
            ("sourceFilename", directed.source_filename),
            ("sourceRangeList", directed.source_ranges),
            ("destinationPath", directed.destination_path),
            ("destinationFilename", directed.destination_filename),
            ("destinationRangeList", directed.destination_ranges),
        )
    for part in component.restore_subcomponents:
        out.empty(
            "RESTORE_SUBCOMPONENT",
            ("logicalPath", part.logical_path or None),
            ("componentName", part.component_name),
            ("repair", _yes_no(part.repair)),
        )
    for mapping in component.mappings_used:
        out.empty(
            "ALTERNATE_LOCATION_MAPPING",
            ("path", mapping.path),
            ("filespec", mapping.filespec),
            ("recursive", _yes_no(mapping.recursive)),
            ("alternatePath", mapping.destination),
        )
