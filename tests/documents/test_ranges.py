"""Byte ranges, as text and as a ranges file."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss.documents.ranges import (
    ByteRange,
    parse_ranges,
    parse_ranges_file,
    ranges_file_of,
    render_ranges,
    render_ranges_file,
    within,
)
from vss.errors import InvalidArgumentError

RANGES = st.lists(st.builds(ByteRange, st.integers(0, 1 << 40), st.integers(0, 1 << 40)), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:5,100:20", ((0, 5), (100, 20))),
        (" 0x10 : 0XFF , 7:0", ((16, 255), (7, 0))),
        ("18446744073709551614:1", ((2**64 - 2, 1),)),
    ],
)
def test_ranges_are_read_decimal_and_hexadecimal(text: str, expected: tuple[tuple[int, int], ...]) -> None:
    assert tuple((each.offset, each.length) for each in parse_ranges(text)) == expected
    assert ranges_file_of(text) == ""


@pytest.mark.parametrize("text", ["", "0:5,", "5", "a:b", "-1:5", "0:5;6:7", "18446744073709551615:1", "0x1g:5", "٣:٤"])
def test_what_is_no_range_is_named(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"is no range|beyond 64 bits"):
        parse_ranges(text)


@pytest.mark.parametrize("text", ["File=D:\\dir\\ranges.bin", "file = D:\\dir\\ranges.bin ", "D:\\dir\\ranges.bin"])
def test_a_ranges_file_is_named_in_both_spellings(text: str) -> None:
    assert ranges_file_of(text) == "D:\\dir\\ranges.bin"


@given(RANGES)
def test_text_and_file_come_back_as_they_were(ranges: list[ByteRange]) -> None:
    assert parse_ranges(render_ranges(ranges)) == tuple(ranges)
    assert parse_ranges_file(render_ranges_file(ranges)) == tuple(ranges)


@pytest.mark.parametrize(
    "data",
    [b"", b"\1\0\0", b"\1" + b"\0" * 7, b"\1" + b"\0" * 30, b"\xff" * 8, b"\1" + b"\0" * 7 + b"\xff" * 16],
)
def test_a_damaged_ranges_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_ranges_file(data, "D:\\r")


@given(RANGES, st.integers(0, 1 << 20))
def test_what_lies_within_a_file_covers_the_same_bytes_once(ranges: list[ByteRange], size_bytes: int) -> None:
    small = [ByteRange(each.offset % 300, each.length % 100) for each in ranges]
    size = size_bytes % 350
    found = within(small, size)
    expected = {byte for each in small for byte in range(each.offset, min(each.end, size))}
    assert [byte for each in found for byte in range(each.offset, each.end)] == sorted(expected)
    assert all(before.end < after.offset for before, after in pairwise(found))
