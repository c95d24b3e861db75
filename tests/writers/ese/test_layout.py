"""Addresses in a database file."""

from __future__ import annotations

import pytest

from vss_writers.ese.layout import LONG_VALUE_OVERHEAD, long_value_chunk_size, page_count, page_header_size, page_offset


def test_pages_follow_the_two_headers() -> None:
    assert page_offset(1, 8192) == 2 * 8192
    assert page_offset(10, 4096) == 11 * 4096


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (8192, 0), (2 * 8192, 0), (3 * 8192, 1), (3 * 8192 + 5, 1)])
def test_page_count_leaves_headers_and_ragged_ends_out(size: int, expected: int) -> None:
    assert page_count(size, 8192) == expected


def test_large_pages_have_the_longer_header() -> None:
    assert (page_header_size(8192), page_header_size(16384)) == (40, 80)


def test_chunks_of_long_values_fill_a_page() -> None:
    assert (long_value_chunk_size(4096), long_value_chunk_size(8192)) == (4014, 8110)
    assert long_value_chunk_size(32768) == 32768 - 122
    assert LONG_VALUE_OVERHEAD == 82
