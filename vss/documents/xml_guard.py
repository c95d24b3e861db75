"""From hostile bytes to a tree that obeys its schema, or ``DocumentError`` naming line and reason.

The text is decoded here (UTF-8, or UTF-16 as the vendor's tools save it), so that what is checked is what is parsed. Before
any tree is built: size, number of elements and attributes, length of a tag, no document type declaration (and with it no
entity of any kind). Then depth and attribute lengths, and then the closed schema, which leaves nothing to be surprised by.
lxml is imported where it is used: most commands read no document.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

from vss.documents import limits
from vss.errors import DocumentError

if TYPE_CHECKING:
    from lxml.etree import _Element

_DECLARATION = re.compile(r"<\?xml\s[^>]*\?>")
_ENCODING = re.compile(r"""encoding\s*=\s*["']([^"']*)["']""")
_ENCODINGS = frozenset({"utf-8", "utf-16", "us-ascii", "ascii"})
_MESSAGE_LENGTH_MAX = 300


def document_error(name: str, line: int | None, reason: str) -> DocumentError:
    """Return the error that says what is wrong where; a reason that quotes the document is cut."""
    if len(reason) > _MESSAGE_LENGTH_MAX:
        reason = reason[:_MESSAGE_LENGTH_MAX] + "…"
    where = name if line is None else f"{name}, line {line}"
    return DocumentError(f"{where}: {reason}")


def _line_at(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _refuse_long(size_bytes: int, name: str) -> None:
    if size_bytes > limits.DOCUMENT_SIZE_MAX_BYTES:
        raise document_error(name, None, f"{size_bytes} bytes, expected at most {limits.DOCUMENT_SIZE_MAX_BYTES}")


def _decode(data: bytes, name: str) -> str:
    """Return the text without byte order mark and XML declaration; the lines keep their numbers."""
    _refuse_long(len(data), name)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif data[1:2] == b"\0":
        encoding = "utf-16-le"
    else:
        encoding = "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise document_error(name, data.count(b"\n", 0, error.start) + 1, f"not {encoding} at byte {error.start}") from error
    declaration = _DECLARATION.match(text)
    if declaration is None:
        return text
    stated = _ENCODING.search(declaration[0])
    if stated is not None and stated[1].lower() not in _ENCODINGS:
        raise document_error(name, 1, f"encoding '{stated[1]}', expected utf-8 or utf-16")
    return "\n" * declaration[0].count("\n") + text[declaration.end() :]


def _refuse_oversized(text: str, name: str) -> None:
    """Refuse what would cost too much to build, and document type declarations, by looking at the text alone."""
    doctype = text.find("<!DOCTYPE")
    if doctype >= 0:
        raise document_error(name, _line_at(text, doctype), "document type declarations are not accepted")
    elements = text.count("<") - text.count("</")
    if elements > limits.ELEMENTS_MAX:
        raise document_error(name, None, f"{elements} elements, expected at most {limits.ELEMENTS_MAX}")
    attributes = text.count("=")
    if attributes > limits.ATTRIBUTES_MAX:
        raise document_error(name, None, f"{attributes} attributes, expected at most {limits.ATTRIBUTES_MAX}")
    start = 0
    for tag in text.split("<"):
        if len(tag) > limits.TAG_LENGTH_MAX:
            raise document_error(
                name, _line_at(text, start), f"a tag of {len(tag)} characters, expected at most {limits.TAG_LENGTH_MAX}"
            )
        start += len(tag) + 1


def _refuse_deep_or_long(root: _Element, name: str) -> None:
    # XPath, because a walk in Python over a large document costs more than parsing it.
    deep = root.xpath(f"//*[count(ancestor::*) >= {limits.DEPTH_MAX}][1]")
    for element in _elements(deep):
        raise document_error(name, line_of(element), f"elements nested deeper than {limits.DEPTH_MAX}")
    long = root.xpath(f"//*[@*[string-length() > {limits.ATTRIBUTE_LENGTH_MAX}]][1]")
    for element in _elements(long):
        raise document_error(
            name, line_of(element), f"attribute of {tag_of(element)} longer than {limits.ATTRIBUTE_LENGTH_MAX} characters"
        )


def encode(text: str, name: str) -> bytes:
    """Return a document as it goes to disk, if ``read_document`` would take it.

    Raises:
        DocumentError: larger than a reader accepts.
    """
    data = text.encode()
    _refuse_long(len(data), name)
    _refuse_oversized(text, name)
    return data


def line_of(element: _Element) -> int:
    """Return the line in which the element stands."""
    line: object = element.sourceline
    assert isinstance(line, int), "elements of a parsed document know their line"
    return line


def _elements(found: object) -> Iterator[_Element]:
    assert isinstance(found, list), "an XPath for nodes gives a list"
    yield from found


def tag_of(element: _Element) -> str:
    """Return the element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def read_tree(data: bytes, name: str) -> _Element:
    """Return the root of a well-formed document within the limits.

    Raises:
        DocumentError: malformed or hostile; names line and reason.
    """
    from lxml import etree

    text = _decode(data, name)
    _refuse_oversized(text, name)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise document_error(name, error.lineno, f"not well-formed: {error.msg}") from error
    _refuse_deep_or_long(root, name)
    return root


def read_document(data: bytes, name: str, schema_name: str) -> _Element:
    """Return the root of a document that obeys ``schemas/<schema_name>``.

    Raises:
        DocumentError: malformed, hostile, or not in the schema; names line and reason.
    """
    from lxml import etree

    root = read_tree(data, name)
    # A validator keeps the errors of its last run and documents may be read in several threads: each run has one to itself, and
    # idle ones wait in a list (whose pop and append are atomic), for building one costs more than reading a small document.
    idle = _idle_validators.setdefault(schema_name, [])
    try:
        schema = idle.pop()
    except IndexError:
        schema_bytes = resources.files("vss.documents").joinpath("schemas", schema_name).read_bytes()
        schema = etree.XMLSchema(etree.fromstring(schema_bytes))
    try:
        if not schema.validate(root):
            log: Any = schema.error_log  # the stubs do not know that it is a sequence
            namespace = str(root.tag).rpartition("}")[0] + "}"
            raise document_error(name, log[0].line, f"not in the schema: {log[0].message.replace(namespace, '')}")
    finally:
        idle.append(schema)
    return root


_idle_validators: dict[str, list[Any]] = {}
