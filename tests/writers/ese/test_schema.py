"""Definitions become schemas: ids, offsets, and refusals that name the column."""

from __future__ import annotations

import pytest

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import ColumnFlag, ColumnType, IndexFlag
from vss_writers.ese.schema import Column, ColumnDefinition, Index, TableSchema, assign_column_ids


def test_columns_get_ids_by_kind_and_fixed_ones_follow_each_other() -> None:
    columns = assign_column_ids(
        (
            ColumnDefinition("A", ColumnType.SHORT),
            ColumnDefinition("Text", ColumnType.TEXT),
            ColumnDefinition("B", ColumnType.LONG_LONG, not_null=True),
            ColumnDefinition("Body", ColumnType.LONG_TEXT),
            ColumnDefinition("C", ColumnType.BIT),
        )
    )

    assert [(column.column_id, column.name, column.record_offset) for column in columns] == [
        (1, "A", 4),
        (2, "B", 6),
        (3, "C", 14),
        (128, "Text", 0),
        (256, "Body", 0),
    ]
    assert [(column.is_fixed, column.is_variable, column.is_tagged) for column in columns[2:]] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert columns[1].flags == ColumnFlag.NOT_NULL
    assert columns[3].size_max == 255


@pytest.mark.parametrize(
    ("definitions", "code"),
    [
        ((ColumnDefinition("A", ColumnType.BIT), ColumnDefinition("A", ColumnType.BIT)), JetCode.ColumnDuplicate),
        ((ColumnDefinition("A", ColumnType.NIL),), JetCode.InvalidColumnType),
        ((ColumnDefinition("A", ColumnType.SHORT, autoincrement=True),), JetCode.InvalidColumnType),
        (tuple(ColumnDefinition(f"C{number}", ColumnType.BIT) for number in range(128)), JetCode.InvalidParameter),
        (tuple(ColumnDefinition(f"C{number}", ColumnType.TEXT) for number in range(129)), JetCode.InvalidParameter),
    ],
    ids=["twice", "no type", "autoincrement", "128 fixed", "129 variable"],
)
def test_definitions_that_cannot_be(definitions: tuple[ColumnDefinition, ...], code: JetCode) -> None:
    with pytest.raises(JetError) as caught:
        assign_column_ids(definitions)
    assert caught.value.code == code


def test_a_schema_finds_its_parts() -> None:
    columns = (Column(1, "Id", ColumnType.LONG, flags=ColumnFlag.AUTOINCREMENT),)
    primary = Index("ById", 7, 33, (1,), IndexFlag.PRIMARY)
    other = Index("Other", 8, 36, (1,), IndexFlag.NONE)
    schema = TableSchema("T", 7, 33, columns, (primary, other))

    assert schema.primary_index == primary
    assert schema.secondary_indexes == (other,)
    assert schema.autoincrement == columns[0]
    assert schema.index("Other") == other
    assert primary.is_unique
    assert not other.is_unique
    assert TableSchema("T", 7, 33, ()).autoincrement is None
    with pytest.raises(JetError, match="column X of table T") as caught:
        schema.column("X")
    assert caught.value.code == JetCode.ColumnNotFound
    with pytest.raises(JetError, match="index X of table T") as caught:
        schema.index("X")
    assert caught.value.code == JetCode.IndexNotFound
