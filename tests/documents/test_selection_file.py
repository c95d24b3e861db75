"""BETest's two selection formats."""

from __future__ import annotations

import pytest

from vss.documents.selection_file import WriterSelection, parse_selection_text, parse_selection_xml
from vss.errors import DocumentError
from vss.ids import Guid

WRITER = "5affb034-969f-4919-8875-88f830d0ef89"
OTHER = "11111111-2222-3333-4444-555555555555"


def test_the_text_of_the_reference_page() -> None:
    data = f'"{WRITER}" : "TestFiles1", "TestFiles2";'.encode()
    assert parse_selection_text(data) == [WriterSelection(Guid(WRITER), ("TestFiles1", "TestFiles2"))]


def test_several_writers_and_any_blanks() -> None:
    data = f'\r\n"{WRITER}":"a";\n\n"{{{OTHER}}}" : "p\\b"\n , "c" ;\n'.encode()
    assert parse_selection_text(data) == [
        WriterSelection(Guid(WRITER), ("a",)),
        WriterSelection(Guid(OTHER), ("p\\b", "c")),
    ]


def test_an_empty_text_selects_nothing() -> None:
    assert parse_selection_text(b" \n") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "line 1: expected a writer id in quotes, found 'x'"),
        ('"x" : "a";', "line 1: writer id 'x' is not a GUID"),
        (f'"{WRITER}"\n  "a";', "line 2: expected ':', found '\"a\";'"),
        (f'"{WRITER}" :\n', "line 1: expected a component name in quotes, found the end"),
        (f'"{WRITER}" : "";', "line 1: expected a component name in quotes, found '\"\";'"),
        (f'"{WRITER}" : "a"\n', "line 1: expected ',' or ';', found the end"),
        (f'"{WRITER}" : "a",\n\n;', "line 3: expected a component name in quotes, found ';'"),
        (f'"{WRITER}" : "a:\n', "expected a component name in quotes, found '\"a:'"),
        (f'"{WRITER}" : "ä";', "line 1: byte 0xc3 is not ASCII"),
    ],
)
def test_a_wrong_text_names_the_line(text: str, message: str) -> None:
    with pytest.raises(DocumentError) as error:
        parse_selection_text(text.encode(), "select.txt")
    assert message in error.value.message
    assert error.value.message.startswith("select.txt, line ")


def test_a_text_of_more_than_a_megabyte_is_refused() -> None:
    with pytest.raises(DocumentError, match="1000001 bytes, expected at most 1000000"):
        parse_selection_text(b" " * 1_000_001)


def test_the_xml_form() -> None:
    data = (
        f'<?xml version="1.0"?><BETest><Writer writerid="{WRITER}"><Component componentName="a"/>'
        f'<!-- remark --><Component logicalPath="p" componentName="b"/></Writer><Writer writerid="{{{OTHER}}}"/></BETest>'
    )
    assert parse_selection_xml(data.encode()) == [
        WriterSelection(Guid(WRITER), ("a", "p\\b")),
        WriterSelection(Guid(OTHER), ()),
    ]


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<BETest", "line 1: not well-formed"),
        ("<Betest/>", "line 1: expected element BETest, found Betest"),
        ("<BETest>\n<Write/></BETest>", "line 2: expected element Writer, found Write"),
        ("<BETest>\n<Writer/></BETest>", "line 2: Writer needs the attribute 'writerid'"),
        ("<BETest><Writer writerid='x'/></BETest>", "line 1: writer id 'x' is not a GUID"),
        (f"<BETest><Writer writerid='{WRITER}'>\n<Component/></Writer></BETest>", "line 2: Component needs the attribute"),
        (f"<BETest><Writer writerid='{WRITER}'>\n<Component name='a'/></Writer></BETest>", "line 2: unknown attribute 'name'"),
        ("<!DOCTYPE a []><BETest/>", "line 1: document type declarations are not accepted"),
        ("<BETest ä=''/>", "line 1: byte 0xc3 is not ASCII"),
    ],
)
def test_a_wrong_xml_names_the_line(xml: str, message: str) -> None:
    with pytest.raises(DocumentError) as error:
        parse_selection_xml(xml.encode(), "select.xml")
    assert error.value.message.startswith(f"select.xml, {message}")
