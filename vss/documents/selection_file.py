"""Which components a person wants, from the two file formats of the vendor's BETest.

Text: ``"writer id" : "name", "name";``, any number of them. XML: root ``BETest``, in it ``Writer`` with ``writerid``, in it
``Component`` with ``componentName`` and, our addition, an optional ``logicalPath``. Both are ASCII; the text at most 1 MB. A
name is a component name or a full path. Source: reference page "BETest tool".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vss.documents.xml_guard import document_error, line_of, read_tree
from vss.ids import Guid

if TYPE_CHECKING:
    from lxml.etree import _Element

SELECTION_SIZE_MAX_BYTES = 1_000_000

_TOKEN = re.compile(r'\s*(?:"(?P<quoted>[^"\n]*)"|(?P<mark>[:,;]))')


@dataclass(frozen=True, slots=True)
class WriterSelection:
    """The components wanted of one writer, by name or full path."""

    writer_id: Guid
    components: tuple[str, ...]


def parse_selection_text(data: bytes, name: str = "selection file") -> list[WriterSelection]:
    """Read the text format; ``name`` is what messages call the file.

    Raises:
        DocumentError: too long, not ASCII, or not in the format; names line and reason.
    """
    if len(data) > SELECTION_SIZE_MAX_BYTES:
        raise document_error(name, None, f"{len(data)} bytes, expected at most {SELECTION_SIZE_MAX_BYTES}")
    tokens = _Tokens(_ascii(data, name), name)
    selections = []
    while not tokens.is_at_end:
        writer_id = _guid(tokens.quoted("a writer id in quotes"), tokens.line, name)
        tokens.mark(":")
        components = [tokens.quoted("a component name in quotes")]
        while tokens.mark(",;") == ",":
            components.append(tokens.quoted("a component name in quotes"))
        selections.append(WriterSelection(writer_id, tuple(components)))
    return selections


class _Tokens:
    """The pieces of a text selection: quoted strings and marks."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text.rstrip()
        self._name = name
        self._offset = 0

    @property
    def is_at_end(self) -> bool:
        return self._offset == len(self._text)

    @property
    def line(self) -> int:
        return self._text.count("\n", 0, self._offset) + 1

    def quoted(self, expected: str) -> str:
        found = _TOKEN.match(self._text, self._offset)
        if found is None or not found["quoted"]:
            raise self._unexpected(expected)
        self._offset = found.end()
        return found["quoted"]

    def mark(self, marks: str) -> str:
        found = _TOKEN.match(self._text, self._offset)
        if found is None or found["mark"] is None or found["mark"] not in marks:
            raise self._unexpected(" or ".join(f"'{each}'" for each in marks))
        self._offset = found.end()
        return found["mark"]

    def _unexpected(self, expected: str) -> Exception:
        rest = self._text[self._offset :]
        self._offset += len(rest) - len(rest.lstrip())  # blame the line of the culprit, not that of the blanks before it
        found = self._text[self._offset : self._offset + 20].partition("\n")[0]
        return document_error(self._name, self.line, f"expected {expected}, found {f'{found!r}' if found else 'the end'}")


def parse_selection_xml(data: bytes, name: str = "selection file") -> list[WriterSelection]:
    """Read the XML format; ``name`` is what messages call the file.

    Raises:
        DocumentError: malformed, hostile, not ASCII, or not in the format; names line and reason.
    """
    _ascii(data, name)
    root = read_tree(data, name)
    _expect(root, "BETest", (), name)
    selections = []
    for writer in root:
        _expect(writer, "Writer", ("writerid",), name)
        writer_id = _guid(_required(writer, "writerid", name), line_of(writer), name)
        components = []
        for component in writer:
            _expect(component, "Component", ("componentName", "logicalPath"), name)
            path, component_name = component.get("logicalPath"), _required(component, "componentName", name)
            components.append(f"{path}\\{component_name}" if path else component_name)
        selections.append(WriterSelection(writer_id, tuple(components)))
    return selections


def _expect(element: _Element, tag: str, attributes: tuple[str, ...], name: str) -> None:
    if element.tag != tag:
        raise document_error(name, line_of(element), f"expected element {tag}, found {element.tag}")
    for attribute in map(str, element.attrib):
        if attribute not in attributes:
            raise document_error(name, line_of(element), f"unknown attribute '{attribute}' of {tag}")


def _required(element: _Element, attribute: str, name: str) -> str:
    value = element.get(attribute)
    if not value:
        raise document_error(name, line_of(element), f"{element.tag} needs the attribute '{attribute}'")
    return value


def _guid(text: str, line: int, name: str) -> Guid:
    try:
        return Guid(text)
    except ValueError as error:
        raise document_error(name, line, f"writer id '{text}' is not a GUID") from error


def _ascii(data: bytes, name: str) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise document_error(
            name, data.count(b"\n", 0, error.start) + 1, f"byte {data[error.start]:#04x} is not ASCII"
        ) from error
