"""Records: what is encoded is decoded, damage is noticed, several values and newer columns are understood."""

from __future__ import annotations

import struct
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import ColumnFlag, ColumnType
from vss_writers.ese.record import (
    COMPRESSED,
    LONG_VALUE,
    MULTI_VALUES,
    SEPARATED,
    TWO_VALUES,
    Instance,
    Item,
    decode_record,
    decode_value,
    encode_record,
    encode_value,
    instances,
    separated,
)
from vss_writers.ese.schema import CODE_PAGE_ASCII, CODE_PAGE_UNICODE, Column, ColumnDefinition, TableSchema, assign_column_ids

COLUMNS = assign_column_ids(
    (
        ColumnDefinition("Long", ColumnType.LONG),
        ColumnDefinition("Bit", ColumnType.BIT),
        ColumnDefinition("Guid", ColumnType.GUID),
        *(ColumnDefinition(f"Byte{number}", ColumnType.UNSIGNED_BYTE) for number in range(8)),
        ColumnDefinition("Text", ColumnType.TEXT),
        ColumnDefinition("Binary", ColumnType.BINARY),
        ColumnDefinition("Short", ColumnType.SHORT, is_tagged=True),
        ColumnDefinition("LongBinary", ColumnType.LONG_BINARY),
        ColumnDefinition("LongText", ColumnType.LONG_TEXT),
    )
)
SCHEMA = TableSchema("T", 7, 33, COLUMNS)

GUID = UUID("00112233-4455-6677-8899-aabbccddeeff")


def item_strategy(column: Column) -> st.SearchStrategy[Item]:
    if column.is_fixed:
        return st.binary(min_size=column.size, max_size=column.size).map(Item)
    if column.is_long:
        return st.one_of(
            st.binary(max_size=60).map(lambda data: Item(data, LONG_VALUE)),
            st.binary(min_size=4, max_size=4).map(separated),
        )
    return st.binary(max_size=60).map(Item)


ITEMS = st.fixed_dictionaries({}, optional={column.column_id: item_strategy(column) for column in COLUMNS})


@settings(max_examples=200)
@given(ITEMS, st.sampled_from([4096, 8192, 16384, 32768]))
def test_records_survive(items: dict[int, Item], page_size: int) -> None:
    assert decode_record(SCHEMA, encode_record(SCHEMA, items, page_size), page_size) == items


def test_bytes_lie_where_the_format_says() -> None:
    record = encode_record(SCHEMA, {1: Item(b"\1\2\3\4"), 128: Item(b"ab"), 257: Item(b"xyz", LONG_VALUE)}, 8192)

    header = struct.pack("<BBH", 1, 128, 9) + b"\1\2\3\4" + b"\xfe"  # unused bits of the null bitmap are ones
    variable = struct.pack("<H", 2) + b"ab"
    tagged = struct.pack("<HH", 257, 4 | 0x4000) + b"\x01xyz"
    assert record == header + variable + tagged
    assert encode_record(SCHEMA, {}, 8192) == struct.pack("<BBH", 0, 127, 4)


def test_null_among_variable_columns_is_marked() -> None:
    record = encode_record(SCHEMA, {129: Item(b"cd")}, 8192)

    assert record == struct.pack("<BBH", 0, 129, 4) + struct.pack("<HH", 0x8000, 2) + b"cd"


def test_explicit_nulls_of_tagged_columns() -> None:
    small = struct.pack("<BBH", 0, 127, 4) + struct.pack("<HHHH", 256, 8 | 0x2000, 257, 8 | 0x4000) + b"\x01x"
    large = struct.pack("<BBH", 0, 127, 4) + struct.pack("<HHHH", 256, 8, 257, 9) + b"\x20" + b"\x01x"

    assert decode_record(SCHEMA, small, 8192) == decode_record(SCHEMA, large, 16384) == {257: Item(b"x", LONG_VALUE)}


def test_defaults_stand_in_for_columns_newer_than_the_record() -> None:
    columns = (
        Column(1, "Old", ColumnType.LONG, 4, record_offset=4),
        Column(2, "New", ColumnType.LONG, 4, ColumnFlag.DEFAULT, record_offset=8, default=b"\7\0\0\0"),
        Column(128, "NewText", ColumnType.TEXT, 255, ColumnFlag.DEFAULT, CODE_PAGE_ASCII, default=b"new"),
        Column(256, "Tagged", ColumnType.LONG_TEXT, 0, ColumnFlag.DEFAULT, CODE_PAGE_ASCII, default=b"no"),
    )
    schema = TableSchema("T", 7, 33, columns)

    assert decode_record(schema, struct.pack("<BBHiB", 1, 127, 9, 5, 0xFE), 4096) == {
        1: Item(b"\5\0\0\0"),
        2: Item(b"\7\0\0\0"),
        128: Item(b"new"),
    }


@pytest.mark.parametrize(
    "record",
    [
        b"\x01",
        struct.pack("<BBH", 3, 127, 9) + b"\0\0\0\0\0",
        struct.pack("<BBH", 0, 128, 4) + struct.pack("<H", 99),
        struct.pack("<BBH", 0, 129, 4) + struct.pack("<HH", 2, 1) + b"ab",
        struct.pack("<BBH", 0, 127, 4) + struct.pack("<HH", 256, 90),
        struct.pack("<BBH", 0, 127, 4) + struct.pack("<HHHH", 256, 8, 257, 99),
        struct.pack("<BBH", 0, 127, 4) + struct.pack("<HH", 256, 4 | 0x4000),
    ],
    ids=["too short", "fixed too long", "variable outside", "ends go back", "no tags", "tagged outside", "no flag byte"],
)
def test_records_that_contradict_themselves(record: bytes) -> None:
    with pytest.raises(JetError, match=r"record of table T with \d+ bytes") as caught:
        decode_record(SCHEMA, record, 8192)
    assert caught.value.code == JetCode.NodeCorrupted


# -- values ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column_type", "value"),
    [
        (ColumnType.BIT, True),
        (ColumnType.BIT, False),
        (ColumnType.UNSIGNED_BYTE, 255),
        (ColumnType.SHORT, -2),
        (ColumnType.LONG, -(2**31)),
        (ColumnType.UNSIGNED_LONG, 2**32 - 1),
        (ColumnType.LONG_LONG, -(2**63)),
        (ColumnType.CURRENCY, 12345),
        (ColumnType.DATE_TIME, 2**62),
        (ColumnType.SINGLE, 0.5),
        (ColumnType.DOUBLE, -1e300),
        (ColumnType.UNSIGNED_SHORT, 65535),
        (ColumnType.GUID, GUID),
        (ColumnType.BINARY, b"\0\1"),
        (ColumnType.TEXT, "Grüße"),
        (ColumnType.LONG_TEXT, "Grüße ☃"),
        (ColumnType.LONG_BINARY, b""),
    ],
    ids=lambda value: value.name if isinstance(value, ColumnType) else None,
)
def test_values_survive(column_type: ColumnType, value: Any) -> None:
    column = Column(1 if column_type < 9 else 200, "C", column_type, code_page=CODE_PAGE_UNICODE)

    assert decode_value(column, encode_value(column, value)) == value


def test_ascii_text_is_code_page_1252() -> None:
    column = Column(128, "C", ColumnType.TEXT, code_page=CODE_PAGE_ASCII)

    assert encode_value(column, "Grüße €") == "Grüße €".encode("cp1252")
    assert decode_value(column, b"\x80") == "€"


@pytest.mark.parametrize(
    ("column_type", "value"),
    [
        (ColumnType.LONG, "1"),
        (ColumnType.LONG, 2**31),
        (ColumnType.TEXT, b"bytes"),
        (ColumnType.BINARY, "text"),
        (ColumnType.GUID, "text"),
        (ColumnType.TEXT, "☃"),
    ],
)
def test_values_that_do_not_suit_their_column(column_type: ColumnType, value: Any) -> None:
    with pytest.raises(JetError, match="column C of type") as caught:
        encode_value(Column(128, "C", column_type, code_page=CODE_PAGE_ASCII), value)
    assert caught.value.code == JetCode.InvalidColumnType


def test_values_that_are_too_long() -> None:
    with pytest.raises(JetError, match="column C: 6 bytes, at most 5") as caught:
        encode_value(Column(128, "C", ColumnType.BINARY, 5), b"123456")
    assert caught.value.code == JetCode.ColumnTooBig


def test_fixed_binary_is_padded() -> None:
    assert encode_value(Column(1, "C", ColumnType.BINARY, 5), b"123") == b"123\0\0"


# -- several values -------------------------------------------------------------------------------------------------------


def test_several_values_of_one_column() -> None:
    packed = struct.pack("<HHH", 6, 8 | 0x8000, 12) + b"ab" + b"\x09\0\0\0" + b"cd"

    assert instances(Item(packed, MULTI_VALUES | COMPRESSED)) == [
        Instance(b"ab", False, True),
        Instance(b"\x09\0\0\0", True, False),
        Instance(b"cd", False, False),
    ]
    assert instances(Item(b"\x02abcde", MULTI_VALUES | TWO_VALUES)) == [
        Instance(b"ab", False, False),
        Instance(b"cde", False, False),
    ]


def test_separated_values_name_their_key() -> None:
    item = separated(b"\0\0\1\2")

    assert item == Item(b"\2\1\0\0", LONG_VALUE | SEPARATED)
    assert item.is_separated
    assert item.long_value_key == b"\0\0\1\2"
    assert not Item(b"", SEPARATED | MULTI_VALUES).is_separated
