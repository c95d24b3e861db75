"""The grammar of the restore options string."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss.documents import BackupSchema
from vss.documents.restore_options import (
    RestoreOption,
    is_private,
    parse_restore_options,
    render_restore_options,
)
from vss.errors import InvalidArgumentError

WORD = st.text(st.characters(blacklist_characters='"', blacklist_categories=("Cs",)), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("   ", ()),
        ('"Authoritative"="All"', (("Authoritative", "All", ""),)),
        (
            '"Sub\\Path": "roll forward" = "Partial:log 7" , "Mine"=""',
            (("roll forward", "Partial:log 7", "Sub\\Path"), ("Mine", "", "")),
        ),
        (
            '"Authoritative"="Item:a","Authoritative"="Item:b"',
            (("Authoritative", "Item:a", ""), ("Authoritative", "Item:b", "")),
        ),
        ('"New Component Name"="Path\\Name"', (("New Component Name", "Path\\Name", ""),)),
        ('"A":"Roll Forward"="All","B":"Roll Forward"="None"', (("Roll Forward", "All", "A"), ("Roll Forward", "None", "B"))),
    ],
)
def test_options_are_read(text: str, expected: tuple[tuple[str, str, str], ...]) -> None:
    assert tuple((each.name, each.value, each.subcomponent) for each in parse_restore_options(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Name=Value",
        '"Name"',
        '"Name"=Value',
        '""="x"',
        '"a"="b","',
        '"a"="b",',
        '"a"="b" "c"="d"',
        '"Authoritative"="Some"',
        '"Authoritative"="Item:"',
        '"Authoritative"="All","Authoritative"="All"',
        '"Authoritative"="Item:a","authoritative"="All"',
        '"Roll Forward"="Perhaps"',
        '"Roll Forward"="All","roll forward"="None"',
        '"New Component Name"="Path\\"',
        '"New Component Name"="a","New Component Name"="b"',
    ],
)
def test_what_is_not_in_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="restore option"):
        parse_restore_options(text)


@given(st.lists(st.builds(RestoreOption, WORD.map(lambda word: "x" + word), WORD, WORD), max_size=4))
def test_options_come_back_as_they_were(options: list[RestoreOption]) -> None:
    assert list(parse_restore_options(render_restore_options(options))) == options


def test_a_quotation_mark_cannot_be_written() -> None:
    with pytest.raises(InvalidArgumentError):
        render_restore_options([RestoreOption("a", 'b"c')])


def test_the_vendors_options_need_their_schema_bits() -> None:
    (authoritative, own) = parse_restore_options('"AUTHORITATIVE"="All","Own"="1"')
    assert authoritative.needed_schema is BackupSchema.AUTHORITATIVE_RESTORE
    assert own.needed_schema is BackupSchema.NONE


def test_another_form_is_the_writers_own() -> None:
    assert is_private("<Restore/>")
    assert not is_private('"a"="b"')
    assert not is_private("")
