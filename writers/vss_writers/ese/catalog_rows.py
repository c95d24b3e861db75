"""Rows of the catalog: a table's schema as rows, and rows back as a schema.

One row stands for the table, one for each column and index, one for its long-value tree.

Sources: published engine, _cat.cxx; contents compared with rows that Windows wrote.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import (
    OBJID_CATALOG,
    OBJID_CATALOG_SHADOW,
    ColumnFlag,
    ColumnType,
    IndexFlag,
    ObjectType,
    TableFlag,
)
from vss_writers.ese.schema import FIRST_RECORD_OFFSET, KEY_MOST, Column, Index, TableSchema
from vss_writers.ese.table import Row

LOCALE_ENGLISH_US = 0x409
LC_MAP_FLAGS = 0x00030401
"""What every index row carries: sort key, ignore case, kana and width."""

_LATER_COLUMNS = frozenset({12, 137, 258, 259, 260, 261})
"""Columns that revision 0x620,0x0C does not have: not described in catalogs written here."""


def rows_of(schema: TableSchema, initial_pages: int, density: int) -> Iterable[dict[str, Any]]:
    """Catalog rows of a table, in key order."""
    yield {
        "ObjidTable": schema.objid,
        "Type": int(ObjectType.TABLE),
        "Id": schema.objid,
        "ColtypOrPgnoFDP": schema.fdp,
        "SpaceUsage": density,
        "Flags": _signed(int(schema.flags)),
        "PagesOrLocale": initial_pages,
        "RootFlag": True,
        "Name": schema.name,
    }
    is_catalog = schema.objid in (OBJID_CATALOG, OBJID_CATALOG_SHADOW)
    for column in schema.columns:
        if not (is_catalog and column.column_id in _LATER_COLUMNS):
            yield _column_row(schema, column)
    for index in sorted(schema.indexes, key=lambda index: index.objid):
        yield _index_row(schema, index, density)
    if schema.long_value_fdp:
        yield {
            "ObjidTable": schema.objid,
            "Type": int(ObjectType.LONG_VALUE_TREE),
            "Id": schema.long_value_objid,
            "ColtypOrPgnoFDP": schema.long_value_fdp,
            "SpaceUsage": density,
            "Flags": 0,
            "PagesOrLocale": 0,
            "Name": "LV",
        }


def _column_row(schema: TableSchema, column: Column) -> dict[str, Any]:
    row: dict[str, Any] = {
        "ObjidTable": schema.objid,
        "Type": int(ObjectType.COLUMN),
        "Id": column.column_id,
        "ColtypOrPgnoFDP": int(column.type),
        "SpaceUsage": column.size_max,
        "Flags": int(column.flags),
        "PagesOrLocale": column.code_page,
        "Name": column.name,
    }
    if column.is_fixed:
        row["RecordOffset"] = column.record_offset
    if column.default is not None:
        row["DefaultValue"] = column.default
    return row


def _index_row(schema: TableSchema, index: Index, density: int) -> dict[str, Any]:
    return {
        "ObjidTable": schema.objid,
        "Type": int(ObjectType.INDEX),
        "Id": index.objid,
        "ColtypOrPgnoFDP": index.fdp,
        "SpaceUsage": density,
        "Flags": int(index.flags),
        "PagesOrLocale": LOCALE_ENGLISH_US,
        "LCMapFlags": LC_MAP_FLAGS,
        "Name": index.name,
        "KeyFldIDs": b"".join(struct.pack("<HH", 0, column_id) for column_id in index.column_ids),
    }


def schema_from_rows(rows: Sequence[Row]) -> TableSchema:
    """Put a table together from its catalog rows.

    Raises:
        JetError: ``DatabaseCorrupted`` when there is no row for the table itself, or one that makes no sense.
    """
    try:
        return _schema_from_rows(rows)
    except (KeyError, ValueError, struct.error) as error:
        raise JetError(JetCode.DatabaseCorrupted, f"catalog rows of a table: {error!r}") from error


def _schema_from_rows(rows: Sequence[Row]) -> TableSchema:
    by_type: dict[int, list[Row]] = {}
    for row in rows:
        by_type.setdefault(row["Type"], []).append(row)
    table = by_type[ObjectType.TABLE][0]
    columns = _with_offsets([_column_from_row(row) for row in by_type.get(ObjectType.COLUMN, [])])
    long_value = by_type.get(ObjectType.LONG_VALUE_TREE)
    return TableSchema(
        table["Name"],
        table["ObjidTable"],
        table["ColtypOrPgnoFDP"],
        columns,
        tuple(_index_from_row(row) for row in by_type.get(ObjectType.INDEX, [])),
        long_value[0]["Id"] if long_value else 0,
        long_value[0]["ColtypOrPgnoFDP"] if long_value else 0,
        TableFlag(table["Flags"] & 0xFFFFFFFF),
        table.get("TemplateTable", ""),
    )


def _column_from_row(row: Row) -> Column:
    return Column(
        row["Id"],
        row["Name"],
        ColumnType(row["ColtypOrPgnoFDP"]),
        row["SpaceUsage"],
        ColumnFlag(row["Flags"] & 0xFFFFFFFF),
        row["PagesOrLocale"],
        row.get("RecordOffset", 0),
        row.get("DefaultValue") if row["Flags"] & ColumnFlag.DEFAULT else None,
    )


def _with_offsets(columns: list[Column]) -> tuple[Column, ...]:
    """Real catalogs give their own columns one record offset for all; where offsets repeat they are counted up instead."""
    fixed = [column for column in columns if column.is_fixed]
    if len({column.record_offset for column in fixed}) == len(fixed):
        return tuple(columns)
    offset = FIRST_RECORD_OFFSET
    mended: list[Column] = []
    for column in columns:
        mended.append(replace(column, record_offset=offset) if column.is_fixed else column)
        offset += column.size if column.is_fixed else 0
    return tuple(mended)


def _index_from_row(row: Row) -> Index:
    flags = IndexFlag(row["Flags"] & 0xFFFFFFFF)
    raw = row.get("KeyFldIDs", b"")
    if flags & IndexFlag.EXTENDED_COLUMNS:
        column_ids = tuple(column_id for _, column_id in struct.iter_unpack("<HH", raw))
    else:
        # Before extended columns a segment was one signed id, negative for descending.
        column_ids = tuple(abs(column_id) for (column_id,) in struct.iter_unpack("<h", raw))
    most = int.from_bytes(row.get("VarSegMac", b""), "little")
    return Index(row["Name"], row["Id"], row["ColtypOrPgnoFDP"], column_ids, flags, row.get("KeyMost") or KEY_MOST, most)


def _signed(number: int) -> int:
    return number - (1 << 32) if number & 0x80000000 else number
