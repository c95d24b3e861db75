"""Normalised keys sort as their values do."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.keys import after_prefix, big_endian, join, segment
from vss_writers.ese.layout import ColumnType, IndexFlag
from vss_writers.ese.record import encode_value
from vss_writers.ese.schema import CODE_PAGE_ASCII, CODE_PAGE_UNICODE, Column, Index


def is_no_negative_zero(value: float) -> bool:
    """Minus zero equals zero but has a key of its own."""
    return value != 0 or math.copysign(1, value) > 0


STRATEGIES: dict[ColumnType, st.SearchStrategy[Any]] = {
    ColumnType.UNSIGNED_BYTE: st.integers(0, 255),
    ColumnType.SHORT: st.integers(-(2**15), 2**15 - 1),
    ColumnType.LONG: st.integers(-(2**31), 2**31 - 1),
    ColumnType.CURRENCY: st.integers(-(2**63), 2**63 - 1),
    ColumnType.LONG_LONG: st.integers(-(2**63), 2**63 - 1),
    ColumnType.UNSIGNED_SHORT: st.integers(0, 2**16 - 1),
    ColumnType.UNSIGNED_LONG: st.integers(0, 2**32 - 1),
    ColumnType.SINGLE: st.floats(allow_nan=False, width=32).filter(
        lambda value: not (value == 0 and math.copysign(1, value) < 0)
    ),
    ColumnType.DOUBLE: st.floats(allow_nan=False).filter(lambda value: not (value == 0 and math.copysign(1, value) < 0)),
    ColumnType.BIT: st.booleans(),
    ColumnType.BINARY: st.binary(max_size=40),
}


def column(column_type: ColumnType, column_id: int = 1, code_page: int = CODE_PAGE_ASCII) -> Column:
    return Column(column_id, "C", column_type, code_page=code_page)


def key_of(column_type: ColumnType, value: Any) -> bytes:
    one = column(column_type, 128 if column_type is ColumnType.BINARY else 1)
    return segment(one, encode_value(one, value))


@pytest.mark.parametrize("column_type", STRATEGIES, ids=lambda column_type: column_type.name)
@given(data=st.data())
def test_keys_order_as_values_do(column_type: ColumnType, data: st.DataObject) -> None:
    values = sorted(data.draw(st.lists(STRATEGIES[column_type], min_size=2, max_size=6)))
    keys = [key_of(column_type, value) for value in values]

    for (left, right), (left_key, right_key) in zip(pairwise(values), pairwise(keys), strict=True):
        assert (left < right) == (left_key < right_key)


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12), min_size=2, max_size=6))
def test_ascii_text_orders_without_regard_to_case(texts: list[str]) -> None:
    keys = {text.upper(): segment(column(ColumnType.TEXT), text.encode()) for text in texts}

    assert [keys[text] for text in sorted(keys)] == sorted(keys.values())


def test_known_keys() -> None:
    assert key_of(ColumnType.LONG, 2) == bytes.fromhex("7f80000002")
    assert key_of(ColumnType.SHORT, 1) == bytes.fromhex("7f8001")
    assert key_of(ColumnType.UNSIGNED_SHORT, 258) == bytes.fromhex("7f0102")
    assert key_of(ColumnType.BIT, True) == bytes.fromhex("7fff")
    assert segment(column(ColumnType.TEXT), b"Clients") == b"\x7fCLIENTS\x00"
    assert segment(column(ColumnType.LONG), None) == b"\x00"
    assert segment(column(ColumnType.TEXT), b"") == segment(column(ColumnType.BINARY, 128), b"") == b"\x40"
    assert segment(column(ColumnType.BINARY, 128), b"123456789") == b"\x7f12345678\x099" + bytes(7) + b"\x01"
    assert segment(column(ColumnType.BINARY, 1), b"1234") == b"\x7f1234"


def test_guids_are_ordered_from_their_last_bytes() -> None:
    guid = UUID("00112233-4455-6677-8899-aabbccddeeff")

    assert key_of(ColumnType.GUID, guid) == bytes.fromhex("7f aabbccddeeff 8899 7766 5544 33221100")


@pytest.mark.parametrize(
    "one", [column(ColumnType.TEXT, code_page=CODE_PAGE_UNICODE), column(ColumnType.SLV)], ids=["unicode text", "SLV"]
)
def test_what_cannot_be_indexed_is_refused(one: Column) -> None:
    with pytest.raises(JetError, match="cannot be indexed") as caught:
        segment(one, b"ab")
    assert caught.value.code == JetCode.InvalidParameter


def test_long_keys_are_cut_unless_that_could_make_them_equal() -> None:
    segments = [b"\x7f" + bytes(200), b"\x7f" + bytes(200)]

    assert len(join(Index("I", 7, 33, (1, 2), IndexFlag.NONE), segments)) == 255
    with pytest.raises(JetError, match="key of 402 bytes in index I, at most 255") as caught:
        join(Index("I", 7, 33, (1, 2), IndexFlag.UNIQUE), segments)
    assert caught.value.code == JetCode.KeyTooBig


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_after_prefix_is_the_first_key_behind_all_that_begin_with_it(prefix: bytes, tail: bytes) -> None:
    stop = after_prefix(prefix)

    assert stop is None or prefix + tail < stop
    if stop is not None:
        assert not stop.startswith(prefix)
    else:
        assert prefix == b"\xff" * len(prefix)


def test_page_numbers_are_keys_in_big_endian() -> None:
    assert big_endian(258) == b"\x00\x00\x01\x02"
