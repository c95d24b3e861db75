"""The vendor's XML configuration of its VSS Test Writer, turned into the tables of ``script``.

Every element and attribute that the reference page "VSS Test Writer Tool" describes is accepted; anything else is refused with
its line. What the page leaves open is decided here: a missing ``FailEvent@numFailures`` means every time, ``@retryable`` is
``no``, ``Component@selectable`` is ``yes``, every other switch that is not described as ``yes`` is ``no``; both spellings of
RESTORE_IF_CAN_REPLACE and of PrepareForSnapshot are known; times of differenced files are UTC, as the machine has no other
time zone. A failing BackupComplete "will never be reported", so it is written to the event log only. Our own additions are
``FailEvent@hresult`` and ``DifferencedFile@recursive``.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from vss.documents.xml_guard import document_error, line_of, read_tree
from vss.documents.xml_words import USAGE, WRITER_RESTORE
from vss.ids import Guid
from vss_writers.scripted.ranges import parse_ranges
from vss_writers.scripted.script import (
    ALL_TYPES,
    RESTORE_METHODS,
    FailureTable,
    checked_filespec,
    failure_code,
    filetime,
    machine_directory,
    machine_file,
    word,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

T = TypeVar("T")
D = TypeVar("D")

_YES_NO = {"yes": True, "no": False}
_EVENTS = {
    each: each
    for each in (
        "Identify",
        "PrepareForBackup",
        "PrepareForSnapshot",
        "Freeze",
        "Thaw",
        "PostSnapshot",
        "Abort",
        "BackupComplete",
        "PreRestore",
        "PostRestore",
    )
} | {"PrepareForSnapsot": "PrepareForSnapshot"}  # so spelt on the page, in the table of events
_SWITCHES = {
    "deleteFiles": "delete_files",
    "deletePartialFiles": "delete_partial_files",
    "deleteDifferencedFiles": "delete_differenced_files",
    "checkIncludes": "check_includes",
    "checkExcludes": "check_excludes",
}
_SUPPORTS = {
    "supportsCopy": "copy",
    "supportsDifferential": "differential",
    "supportsIncremental": "incremental",
    "supportsLog": "log",
}
_TYPES = dict(zip(("full", "diff", "inc", "log"), ALL_TYPES, strict=True))
_VERBOSITIES = {each: each for each in ("low", "medium", "high")}
_COMPONENT_TYPES = {each: each for each in ("filegroup", "database")}
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


def parse_xml(data: bytes, name: str = "writer configuration") -> dict[str, Any]:
    """Return what the XML says in the form of ``script``'s tables; ``name`` is what messages call it.

    Raises:
        DocumentError: malformed, hostile, or not in the format; names line and reason.
    """
    return _Reader(name).writer(read_tree(data, name))


class _Reader:
    """Reads the elements of one file; every refusal names the line."""

    def __init__(self, name: str) -> None:
        self._name = name

    # -- elements --------------------------------------------------------------------------------------------------------------

    def writer(self, root: _Element) -> dict[str, Any]:
        self._known(root, "TestWriter", ("usage", "verbosity", "supportsNewTarget", *_SWITCHES, *_SUPPORTS))
        children = list(root)
        if not children or children[0].tag != "RestoreMethod":
            found = str(children[0].tag) if children else "nothing"
            self._refuse(root, f"the first element in TestWriter is RestoreMethod, found {found}")
        data: dict[str, Any] = {
            "usage": self._value(root, "usage", _is_in(USAGE), "USER_DATA"),
            "verbosity": self._value(root, "verbosity", _is_in(_VERBOSITIES), "medium"),
            "supports": [each for attribute, each in _SUPPORTS.items() if self._is_yes(root, attribute)],
            "supports_new_target": self._is_yes(root, "supportsNewTarget", default=True),
            "restore_method": self._restore_method(children[0]),
            "exclude": [],
            "components": [],
            "on": [],
        }
        data |= {key: self._is_yes(root, attribute) for attribute, key in _SWITCHES.items()}
        declared: set[tuple[str, str]] = set()
        for child in children[1:]:
            key, read = self._part(child)
            data[key].append(read(child))
            if key == "components":
                identity = (data[key][-1]["logical_path"].lower(), data[key][-1]["name"].lower())
                if identity in declared:
                    self._refuse(child, f"component '{data[key][-1]['name']}' stands there twice")
                declared.add(identity)
        return data

    def _part(self, element: _Element) -> tuple[str, Callable[[_Element], dict[str, Any]]]:
        parts: Mapping[str, tuple[str, Callable[[_Element], dict[str, Any]]]] = {
            "ExcludeFile": ("exclude", self._exclude),
            "Component": ("components", self._component),
            "FailEvent": ("on", self._fail_event),
        }
        found = parts.get(str(element.tag))
        return found or self._unknown(element, "TestWriter", parts)

    def _restore_method(self, element: _Element) -> dict[str, Any]:
        self._known(element, "RestoreMethod", ("method", "writerRestore", "rebootRequired"))
        return {
            "method": self._value(element, "method", _is_in(RESTORE_METHODS)),
            "writer_restore": self._value(element, "writerRestore", _is_in(WRITER_RESTORE)),
            "reboot_required": self._is_yes(element, "rebootRequired"),
            "mappings": [self._mapping(child) for child in element],
        }

    def _mapping(self, element: _Element) -> dict[str, Any]:
        self._known(element, "AlternateLocationMapping", ("path", "filespec", "recursive", "alternatePath"))
        return self._place(element) | {"alternate_path": self._value(element, "alternatePath", machine_directory)}

    def _exclude(self, element: _Element) -> dict[str, Any]:
        self._known(element, "ExcludeFile", ("path", "filespec", "recursive"))
        return self._place(element)

    def _component(self, element: _Element) -> dict[str, Any]:
        self._known(element, "Component", ("componentType", "logicalPath", "componentName", "selectable"))
        data: dict[str, Any] = {
            "type": self._value(element, "componentType", _is_in(_COMPONENT_TYPES)),
            "name": self._value(element, "componentName", _component_name),
            "logical_path": self._value(element, "logicalPath", str, ""),
            "selectable": self._is_yes(element, "selectable", default=True),
            "file_sets": [],
            "partial_files": [],
            "differenced_files": [],
            "dependencies": [],
        }
        parts: Mapping[str, tuple[str, Callable[[_Element], dict[str, Any]]]] = {
            "ComponentFile": ("file_sets", self._component_file),
            "PartialFile": ("partial_files", self._partial_file),
            "DifferencedFile": ("differenced_files", self._differenced_file),
            "Dependency": ("dependencies", self._dependency),
        }
        for child in element:
            key, read = parts.get(str(child.tag)) or self._unknown(child, "Component", parts)
            data[key].append(read(child))
            if key == "file_sets" and data["type"] == "database" and not data[key][-1].keys().isdisjoint(_ONLY_OF_FILE_GROUPS):
                self._refuse(child, "the file sets of a database have neither recursive nor alternatePath")
        return data

    def _component_file(self, element: _Element) -> dict[str, Any]:
        required = [f"{each}{what}Required" for each in _TYPES for what in ("Backup", "Snapshot")]
        self._known(element, "ComponentFile", ("path", "filespec", "recursive", "alternatePath", *required))
        data = self._place(element)
        if not data["recursive"]:
            del data["recursive"]
        if element.get("alternatePath"):
            data["alternate_path"] = self._value(element, "alternatePath", machine_directory)
        for key, what in (("backup", "Backup"), ("snapshot", "Snapshot")):
            data[key] = [kind for each, kind in _TYPES.items() if self._is_yes(element, f"{each}{what}Required", default=True)]
        return data

    def _partial_file(self, element: _Element) -> dict[str, Any]:
        self._known(element, "PartialFile", ("path", "filespec", "ranges"))
        path, filename = self._value(element, "path", machine_directory), self._value(element, "filespec", str)
        self._checked(element, "filespec", filename, lambda name: machine_file(f"{path}\\{name}"))
        self._value(element, "ranges", parse_ranges)
        return {"path": path, "filename": filename, "ranges": element.get("ranges")}

    def _differenced_file(self, element: _Element) -> dict[str, Any]:
        fields = ("year", "month", "day", "hour", "minute", "second")
        self._known(element, "DifferencedFile", ("path", "filespec", "recursive", *fields))
        numbers = [self._value(element, field, _number) for field in fields]
        try:
            since = datetime.datetime(*numbers, tzinfo=datetime.UTC)  # type: ignore[arg-type,misc]
            filetime(since)
        except ValueError as error:
            self._refuse(element, f"DifferencedFile has no possible time: {error}")
        return self._place(element) | {"since": since}

    def _dependency(self, element: _Element) -> dict[str, Any]:
        self._known(element, "Dependency", ("writerId", "logicalPath", "componentName"))
        return {
            "writer_id": self._value(element, "writerId", _guid),
            "logical_path": self._value(element, "logicalPath", str, ""),
            "component_name": self._value(element, "componentName", str),
        }

    def _fail_event(self, element: _Element) -> dict[str, Any]:
        self._known(element, "FailEvent", ("writerEvent", "retryable", "numFailures", "hresult"))
        event = _EVENTS[self._value(element, "writerEvent", _is_in(_EVENTS))]
        code = element.get("hresult", "")
        retryable = self._is_yes(element, "retryable") if "retryable" in element.attrib or not code else None
        fail = FailureTable(code=code, retryable=retryable)
        self._checked(element, "hresult", fail, failure_code)
        return {
            "event": event,
            "times": self._value(element, "numFailures", _number, None),
            "fail": {"code": code, "retryable": retryable, "reported": event != "BackupComplete"},
        }

    # -- attributes ------------------------------------------------------------------------------------------------------------

    def _place(self, element: _Element) -> dict[str, Any]:
        return {
            "path": self._value(element, "path", machine_directory),
            "filespec": self._value(element, "filespec", checked_filespec),
            "recursive": self._is_yes(element, "recursive"),
        }

    def _is_yes(self, element: _Element, attribute: str, *, default: bool = False) -> bool:
        value = element.get(attribute)
        return default if value is None else self._checked(element, attribute, value, lambda text: word(_YES_NO, text))

    def _value(self, element: _Element, attribute: str, read: Callable[[str], T], *default: D) -> T | D:
        value = element.get(attribute)
        if value is None:
            if not default:
                self._refuse(element, f"{element.tag} needs the attribute '{attribute}'")
            return default[0]
        return self._checked(element, attribute, value, read)

    def _checked(self, element: _Element, attribute: str, value: Any, read: Callable[[Any], T]) -> T:
        try:
            return read(value)
        except ValueError as error:
            self._refuse(element, f"attribute '{attribute}' of {element.tag}: {error}")

    def _known(self, element: _Element, tag: str, attributes: Sequence[str]) -> None:
        if element.tag != tag:
            self._refuse(element, f"expected element {tag}, found {element.tag}")
        for attribute in map(str, element.attrib):
            if attribute not in attributes:
                self._refuse(element, f"unknown attribute '{attribute}' of {tag}, expected {', '.join(attributes)}")
        if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
            self._refuse(element, f"{tag} holds text, expected elements and attributes only")
        if tag not in _WITH_CHILDREN and len(element):
            self._refuse(element[0], f"{tag} holds no other elements, found {element[0].tag}")

    def _unknown(self, element: _Element, parent: str, known: Mapping[str, Any]) -> NoReturn:
        self._refuse(element, f"unknown element {element.tag} in {parent}, expected one of {', '.join(known)}")

    def _refuse(self, element: _Element, reason: str) -> NoReturn:
        raise document_error(self._name, line_of(element), reason)


_WITH_CHILDREN = ("TestWriter", "RestoreMethod", "Component")
_ONLY_OF_FILE_GROUPS = {"recursive", "alternate_path"}


def _is_in(words: Mapping[str, Any]) -> Callable[[str], str]:
    def read(text: str) -> str:
        word(words, text)
        return text

    return read


def _component_name(text: str) -> str:
    if not text or "\\" in text:
        raise ValueError(f"'{text}' is no component name: it is not empty and holds no backslash")
    return text


def _number(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"'{text}' is no number, expected digits")
    return int(text)


def _guid(text: str) -> str:
    return str(Guid(text))
