"""mbox in and out, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss.errors import DocumentError
from vss_writers.exchange.mail_files import DEFAULT_ENVELOPE, format_mbox, parse_mbox

ENVELOPE = b"From somebody@lab.example Mon Jan  5 08:00:00 2026"

pieces = st.sampled_from([b"From ", b">From ", b">>From ", b"\n", b"\n\n", b"\r\n", b"text", b"\xff\x00", b">", b"Subject: x"])
bodies = st.lists(pieces, max_size=12).map(b"".join)


def test_a_message_ends_before_the_blank_line() -> None:
    data = ENVELOPE + b"\nSubject: one\n\nbody\n\n" + ENVELOPE + b"\nSubject: two\n\nmore\n\n"

    assert list(parse_mbox(data)) == [(ENVELOPE, b"Subject: one\n\nbody\n"), (ENVELOPE, b"Subject: two\n\nmore\n")]


def test_quoted_lines_lose_one_mark_and_get_it_back() -> None:
    data = ENVELOPE + b"\n\n>From here\n>>From there\n>Fromage\n\n"
    message = (ENVELOPE, b"\nFrom here\n>From there\n>Fromage\n")

    assert list(parse_mbox(data)) == [message]
    assert b"".join(format_mbox([message])) == data


@pytest.mark.parametrize(
    "data",
    [
        ENVELOPE + b"\nbody\n",
        ENVELOPE + b"\nbody",
        ENVELOPE + b"\n",
        ENVELOPE + b"\n\n",
        ENVELOPE + b"\nfirst\n" + ENVELOPE + b"\nsecond\n\n",
        ENVELOPE + b"\r\nSubject: x\r\n\r\nbody\r\n\r\n" + ENVELOPE + b"\r\nmore\r\n",
    ],
    ids=["no blank line", "no line feed", "nothing", "empty", "no blank line between", "carriage returns"],
)
def test_files_of_careless_writers_come_back_as_they_were(data: bytes) -> None:
    assert b"".join(format_mbox(parse_mbox(data))) == data


def test_a_file_without_messages_is_empty() -> None:
    assert list(parse_mbox(b"")) == []
    assert list(parse_mbox(b"\n\n")) == []
    assert b"".join(format_mbox([])) == b""


@pytest.mark.parametrize("data", [b"Subject: no mbox\n", b"\nFrom late\n", b"From the end"])
def test_what_is_no_mbox_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"inbox: expected"):
        list(parse_mbox(data, "inbox"))


def test_a_message_from_elsewhere_gets_an_envelope_and_a_last_line_feed() -> None:
    assert b"".join(format_mbox([(b"", b"body")])) == DEFAULT_ENVELOPE + b"\nbody\n\n"


def test_a_message_without_line_end_from_the_end_of_one_file_can_stand_in_the_middle_of_another() -> None:
    first = list(parse_mbox(ENVELOPE + b"\nno end"))
    second = list(parse_mbox(ENVELOPE + b"\nsecond\n\n"))

    assert [content for _, content in parse_mbox(b"".join(format_mbox(first + second)))] == [b"no end\n", b"second\n"]


@given(st.lists(st.tuples(st.just(ENVELOPE), bodies.map(lambda body: body + b"\n" if body else b"")), max_size=4))
def test_messages_survive_the_file(messages: list[tuple[bytes, bytes]]) -> None:
    assert list(parse_mbox(b"".join(format_mbox(messages)))) == messages


@given(bodies)
def test_a_file_survives_its_messages(rest: bytes) -> None:
    data = ENVELOPE + b"\n" + rest
    try:
        messages = list(parse_mbox(data))
    except DocumentError:
        return  # it ends within an envelope

    assert b"".join(format_mbox(messages)) == data
