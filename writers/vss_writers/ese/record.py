"""Records: how the columns of one row lie in a node's data, and how values become bytes.

Fixed columns come first, each at its offset; a bitmap says which are null; variable columns follow through a table of end
offsets; tagged columns come last and take room only where they have a value. A long value may be replaced by its id in the
table's long-value tree ("separated").

Two levels: ``decode_record``/``encode_record`` work on stored bytes by column id (``Item``), ``encode_value``/``decode_value``
on one value. Integers are ``int``, floating ``float``, bits ``bool``, text ``str``, binary ``bytes``, GUIDs ``uuid.UUID``;
DATE_TIME is its eight bytes as a signed integer, since databases keep OLE days or FILETIMEs in it.

Sources: published engine, rec.hxx and tagfld; libesedb format documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import (
    FIRST_TAGGED_COLUMN,
    FIRST_VARIABLE_COLUMN,
    LAST_FIXED_COLUMN,
    LAST_VARIABLE_COLUMN,
    SMALL_PAGE_MAX,
    ColumnType,
)
from vss_writers.ese.schema import CODE_PAGE_UNICODE, FIRST_RECORD_OFFSET, TEXT_TYPES, Column, TableSchema

LONG_VALUE = 0x01
COMPRESSED = 0x02
SEPARATED = 0x04
MULTI_VALUES = 0x08
TWO_VALUES = 0x10
NULL = 0x20

_TAG_EXTRA_BYTE = 0x4000
_TAG_NULL = 0x2000
_SMALL_OFFSET = 0x1FFF
_LARGE_OFFSET = 0x7FFF
_VARIABLE_NULL = 0x8000
_SEPARATED_INSTANCE = 0x8000
NO_VARIABLE_COLUMN = FIRST_VARIABLE_COLUMN - 1

_FORMATS: dict[ColumnType, struct.Struct] = {
    ColumnType.UNSIGNED_BYTE: struct.Struct("<B"),
    ColumnType.SHORT: struct.Struct("<h"),
    ColumnType.LONG: struct.Struct("<i"),
    ColumnType.CURRENCY: struct.Struct("<q"),
    ColumnType.SINGLE: struct.Struct("<f"),
    ColumnType.DOUBLE: struct.Struct("<d"),
    ColumnType.DATE_TIME: struct.Struct("<q"),
    ColumnType.UNSIGNED_LONG: struct.Struct("<I"),
    ColumnType.LONG_LONG: struct.Struct("<q"),
    ColumnType.UNSIGNED_SHORT: struct.Struct("<H"),
}
_FORMAT_BY_NUMBER = tuple(_FORMATS.get(ColumnType(number)) for number in range(max(ColumnType) + 1))
"""The same by number: finding a member of an enumeration in a dictionary costs a call."""


class Item(NamedTuple):
    """Stored bytes of one column; ``flags`` (tagged columns) say how to read them."""

    data: bytes
    flags: int = 0

    @property
    def is_separated(self) -> bool:
        """Whether ``data`` is the id of a long value, not the value (multi-values say so per instance)."""
        return bool(self.flags & SEPARATED) and not self.flags & MULTI_VALUES

    @property
    def long_value_key(self) -> bytes:
        """Key of a separated value in the long-value tree: its id, of four bytes (eight in newer engines)."""
        return self.data[::-1]


def separated(long_value_key: bytes) -> Item:
    """The item that stands for a value in the long-value tree."""
    return Item(long_value_key[::-1], LONG_VALUE | SEPARATED)


# -- values ---------------------------------------------------------------------------------------------------------------


def encode_value(column: Column, value: Any) -> bytes:
    """Stored bytes of ``value``.

    Raises:
        JetError: ``InvalidColumnType`` when the value does not suit the column, ``ColumnTooBig`` when it is too long.
    """
    try:
        data = _encode(column, value)
    except (struct.error, TypeError, ValueError, AttributeError) as error:
        text = f"column {column.name} of type {column.type.name}, value of type {type(value).__name__}: {error}"
        raise JetError(JetCode.InvalidColumnType, text) from error
    if column.size_max and len(data) > column.size_max:
        raise JetError(JetCode.ColumnTooBig, f"column {column.name}: {len(data)} bytes, at most {column.size_max}")
    return data.ljust(column.size_max, b"\x00") if column.is_fixed and column.type is ColumnType.BINARY else data


def _encode(column: Column, value: Any) -> bytes:
    if column.type is ColumnType.BIT:
        return b"\xff" if value else b"\x00"
    packer = _FORMATS.get(column.type)
    if packer is not None:
        return packer.pack(value)
    if column.type is ColumnType.GUID:
        return bytes(value.bytes_le)
    if column.type in TEXT_TYPES:
        return bytes(value.encode(_text_encoding(column)))
    return bytes(memoryview(value))


def decode_value(column: Column, data: bytes) -> Any:
    """Value of stored bytes."""
    packer = _FORMAT_BY_NUMBER[column.type]
    if packer is not None:
        return packer.unpack(data)[0]
    if column.type is ColumnType.BIT:
        return data == b"\xff"
    if column.type is ColumnType.GUID:
        return UUID(bytes_le=data)
    if column.type in TEXT_TYPES:
        return data.decode(_text_encoding(column), "backslashreplace")
    return data


def _text_encoding(column: Column) -> str:
    return "utf-16-le" if column.code_page == CODE_PAGE_UNICODE else "cp1252"


# -- records --------------------------------------------------------------------------------------------------------------


def encode_record(schema: TableSchema, items: Mapping[int, Item], page_size: int) -> bytes:
    """Lay out a record from the items of its non-null columns, by column id."""
    fixed_ids = [column_id for column_id in items if column_id <= LAST_FIXED_COLUMN]
    variable_ids = [column_id for column_id in items if FIRST_VARIABLE_COLUMN <= column_id <= LAST_VARIABLE_COLUMN]
    last_fixed = max(fixed_ids, default=0)
    last_variable = max(variable_ids, default=NO_VARIABLE_COLUMN)
    fixed = _encode_fixed(schema, items, last_fixed)
    return b"".join(
        (
            struct.pack("<BBH", last_fixed, last_variable, FIRST_RECORD_OFFSET + len(fixed)),
            fixed,
            _encode_variable(items, last_variable),
            _encode_tagged(items, page_size),
        )
    )


def _encode_fixed(schema: TableSchema, items: Mapping[int, Item], last: int) -> bytes:
    places = [place for place in schema.fixed_places if place.column_id <= last]
    end = max((place.end for place in places), default=FIRST_RECORD_OFFSET)
    data = bytearray(end - FIRST_RECORD_OFFSET)
    nulls = bytearray(b"\xff" * -(-last // 8))
    for column_id, start, stop in places:
        item = items.get(column_id)
        if item is None:
            continue
        data[start - FIRST_RECORD_OFFSET : stop - FIRST_RECORD_OFFSET] = item.data
        bit = column_id - 1
        nulls[bit // 8] &= ~(1 << bit % 8)
    return bytes(data + nulls)


def _encode_variable(items: Mapping[int, Item], last: int) -> bytes:
    ends: list[int] = []
    parts: list[bytes] = []
    end = 0
    for column_id in range(FIRST_VARIABLE_COLUMN, last + 1):
        item = items.get(column_id)
        if item is None:
            ends.append(end | _VARIABLE_NULL)
            continue
        end += len(item.data)
        ends.append(end)
        parts.append(item.data)
    return struct.pack(f"<{len(ends)}H", *ends) + b"".join(parts)


def _encode_tagged(items: Mapping[int, Item], page_size: int) -> bytes:
    tagged = sorted(column_id for column_id in items if column_id >= FIRST_TAGGED_COLUMN)
    is_small = page_size <= SMALL_PAGE_MAX
    offset = 4 * len(tagged)
    entries: list[bytes] = []
    parts: list[bytes] = []
    for column_id in tagged:
        item = items[column_id]
        has_flag_byte = bool(item.flags) or not is_small
        part = bytes((item.flags,)) + item.data if has_flag_byte else item.data
        entries.append(struct.pack("<HH", column_id, offset | (_TAG_EXTRA_BYTE if is_small and has_flag_byte else 0)))
        parts.append(part)
        offset += len(part)
    return b"".join(entries + parts)


def decode_record(schema: TableSchema, data: bytes, page_size: int) -> dict[int, Item]:
    """Items of a record's non-null columns by id; catalog defaults stand in for columns newer than the record.

    Raises:
        JetError: ``NodeCorrupted`` when the record's own lengths contradict each other.
    """
    try:
        last_fixed, last_variable, fixed_end = struct.unpack_from("<BBH", data)
        items = _decode_fixed(schema, data, last_fixed, fixed_end)
        tagged_start = _decode_variable(items, data, last_variable, fixed_end)
        _decode_tagged(items, data[tagged_start:], page_size)
    except (struct.error, IndexError) as error:
        raise JetError(JetCode.NodeCorrupted, f"record of table {schema.name} with {len(data)} bytes: {error}") from error
    for column in schema.columns_with_default:
        if column.default is not None and _is_newer(column, last_fixed, last_variable):
            items.setdefault(column.column_id, Item(column.default))
    return items


def _is_newer(column: Column, last_fixed: int, last_variable: int) -> bool:
    if column.is_fixed:
        return column.column_id > last_fixed
    return column.is_variable and column.column_id > last_variable


def _decode_fixed(schema: TableSchema, data: bytes, last: int, end: int) -> dict[int, Item]:
    nulls = int.from_bytes(data[end - -(-last // 8) : end], "little")
    items: dict[int, Item] = {}
    for column_id, start, stop in schema.fixed_places:
        if column_id > last or nulls >> (column_id - 1) & 1:
            continue
        if stop > end:
            raise IndexError(f"column {schema.columns_by_id[column_id].name} ends behind the fixed part")
        items[column_id] = Item(data[start:stop])
    return items


def _decode_variable(items: dict[int, Item], data: bytes, last: int, fixed_end: int) -> int:
    count = max(0, last - NO_VARIABLE_COLUMN)
    ends = struct.unpack_from(f"<{count}H", data, fixed_end)
    base = fixed_end + 2 * count
    start = 0
    for number, word in enumerate(ends):
        end = word & ~_VARIABLE_NULL
        if not word & _VARIABLE_NULL:
            if end < start or base + end > len(data):
                raise IndexError(f"variable column {FIRST_VARIABLE_COLUMN + number} ends at {end}")
            items[FIRST_VARIABLE_COLUMN + number] = Item(data[base + start : base + end])
        start = end
    return base + start


def _decode_tagged(items: dict[int, Item], data: bytes, page_size: int) -> None:
    if len(data) < 4:
        return
    is_small = page_size <= SMALL_PAGE_MAX
    mask = _SMALL_OFFSET if is_small else _LARGE_OFFSET
    count = (struct.unpack_from("<H", data, 2)[0] & mask) // 4
    entries = [struct.unpack_from("<HH", data, 4 * number) for number in range(count)]
    for number, (column_id, word) in enumerate(entries):
        start = word & mask
        end = entries[number + 1][1] & mask if number + 1 < count else len(data)
        if not 4 * count <= start <= end <= len(data):
            raise IndexError(f"tagged column {column_id} lies at {start} to {end} of {len(data)}")
        flags = 0
        if not is_small or word & _TAG_EXTRA_BYTE:
            flags = data[start]
            start += 1
        if (is_small and word & _TAG_NULL) or flags & NULL:
            continue
        items[column_id] = Item(data[start:end], flags)


class Instance(NamedTuple):
    """One value of a multi-valued column."""

    data: bytes
    is_separated: bool
    is_compressed: bool


def instances(item: Item) -> list[Instance]:
    """Values of an item with ``MULTI_VALUES``; only the first may be compressed."""
    data, flags = item
    compressed = bool(flags & COMPRESSED)
    if flags & TWO_VALUES:
        first = data[0]
        return [Instance(data[1 : 1 + first], False, compressed), Instance(data[1 + first :], False, False)]
    count = (struct.unpack_from("<H", data)[0] & ~_SEPARATED_INSTANCE) // 2
    words = struct.unpack_from(f"<{count}H", data)
    offsets = [word & ~_SEPARATED_INSTANCE for word in words] + [len(data)]
    return [
        Instance(data[offsets[number] : offsets[number + 1]], bool(word & _SEPARATED_INSTANCE), compressed and number == 0)
        for number, word in enumerate(words)
    ]
