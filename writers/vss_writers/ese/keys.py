"""Normalised keys: values of index columns as bytes whose order is the order of the values.

Each segment begins with a prefix byte (value, null, zero length); no segment is a prefix of another one of the same column, so
segments simply follow each other. Unicode text is refused: the engine orders it by Windows' own sort keys, which nothing but
Windows can compute; index integers, binary or code page 1252 text instead.

Sources: published engine, key normalisation (fld.cxx); confirmed by seeks of independent readers for integers, text, GUIDs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import ColumnType
from vss_writers.ese.schema import BINARY_TYPES, CODE_PAGE_UNICODE, TEXT_TYPES, Column, Index, TableSchema

NULL = b"\x00"
ZERO_LENGTH = b"\x40"
VALUE = b"\x7f"

_CHUNK = 8
_CHUNK_FOLLOWED = 9

_SIGN: dict[ColumnType, int] = {
    ColumnType.SHORT: 2,
    ColumnType.LONG: 4,
    ColumnType.CURRENCY: 8,
    ColumnType.LONG_LONG: 8,
}
_UNSIGNED = frozenset({ColumnType.UNSIGNED_BYTE, ColumnType.UNSIGNED_SHORT, ColumnType.UNSIGNED_LONG})
_FLOATING = frozenset({ColumnType.SINGLE, ColumnType.DOUBLE, ColumnType.DATE_TIME})


def segment(column: Column, stored: bytes | None) -> bytes:
    """Normalise one column's stored bytes (``record.encode_value``); None is null.

    Raises:
        JetError: ``InvalidParameter`` for a type that cannot be indexed.
    """
    if stored is None:
        return NULL
    if column.type in _SIGN:
        return VALUE + bytes((stored[-1] ^ 0x80,)) + stored[-2::-1]
    if column.type in _UNSIGNED:
        return VALUE + stored[::-1]
    if column.type is ColumnType.BIT:
        return VALUE + (b"\xff" if stored != b"\x00" else b"\x00")
    if column.type in _FLOATING:
        return VALUE + _floating(stored)
    if column.type is ColumnType.GUID:
        return VALUE + stored[10:16] + stored[8:10] + stored[6:8] + stored[4:6] + stored[0:4]
    if column.type in BINARY_TYPES:
        return _binary(stored, is_fixed=column.is_fixed)
    if column.type in TEXT_TYPES and column.code_page != CODE_PAGE_UNICODE:
        return VALUE + _upper(stored) + b"\x00" if stored else ZERO_LENGTH
    raise JetError(JetCode.InvalidParameter, f"column {column.name} of type {column.type.name} cannot be indexed")


def _floating(stored: bytes) -> bytes:
    reversed_bytes = stored[::-1]
    if reversed_bytes[0] & 0x80:
        return bytes(byte ^ 0xFF for byte in reversed_bytes)
    return bytes((reversed_bytes[0] ^ 0x80,)) + reversed_bytes[1:]


def _binary(stored: bytes, *, is_fixed: bool) -> bytes:
    if not stored:
        return ZERO_LENGTH
    if is_fixed:
        return VALUE + stored
    parts = [VALUE]
    for start in range(0, len(stored), _CHUNK):
        chunk = stored[start : start + _CHUNK]
        is_last = start + _CHUNK >= len(stored)
        parts.append(chunk.ljust(_CHUNK, b"\x00"))
        parts.append(bytes((len(chunk) if is_last else _CHUNK_FOLLOWED,)))
    return b"".join(parts)


def _upper(stored: bytes) -> bytes:
    """Upper-case ASCII letters only: what lies above 127 is kept, since other readers agree on ASCII alone."""
    return stored.upper()


def index_key(schema: TableSchema, index: Index, stored: Mapping[int, bytes | None]) -> bytes:
    """Key of a record in ``index``, from stored bytes by column id. Non-unique keys are cut at the index's limit.

    Raises:
        JetError: ``KeyTooBig`` when a unique key would have to be cut.
    """
    return join(index, (segment(schema.columns_by_id[column_id], stored.get(column_id)) for column_id in index.column_ids))


def join(index: Index, segments: Iterable[bytes]) -> bytes:
    """Put the segments of a key together."""
    key = b"".join(segments)
    if len(key) <= index.key_most:
        return key
    if index.is_unique:
        raise JetError(JetCode.KeyTooBig, f"key of {len(key)} bytes in index {index.name}, at most {index.key_most}")
    return key[: index.key_most]


def after_prefix(prefix: bytes) -> bytes | None:
    """The least key that sorts after every key starting with ``prefix``; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else None


def big_endian(number: int) -> bytes:
    """A page number, long-value id or sequence number as a key of engine-internal trees."""
    return struct.pack(">I", number)
