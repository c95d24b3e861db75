"""The catalog: tables are created, found, described twice; what cannot be is refused before anything changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.writers.ese.kit import MESSAGES, golden, run
from tests.writers.ese.memory_pages import MemoryPages
from vss_writers.ese.catalog import CATALOG_SCHEMA, SHADOW_SCHEMA, Catalog
from vss_writers.ese.catalog_rows import rows_of, schema_from_rows
from vss_writers.ese.database_format import create_database
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.integrity import check_database
from vss_writers.ese.layout import SYSTEM_PAGES, ColumnFlag, ColumnType, IndexFlag, TableFlag
from vss_writers.ese.reader import DatabaseReader
from vss_writers.ese.schema import (
    CODE_PAGE_ASCII,
    Column,
    ColumnDefinition,
    Index,
    IndexDefinition,
    TableDefinition,
    TableSchema,
)
from vss_writers.ese.table import Row, Table

LONG = ColumnDefinition("A", ColumnType.LONG)


async def new_catalog() -> tuple[MemoryPages, Catalog]:
    pages = MemoryPages()
    return pages, await create_database(pages)


def test_a_created_table_is_found_as_it_was_made() -> None:
    async def main() -> None:
        pages, catalog = await new_catalog()
        created = await catalog.create_table(MESSAGES)
        found = await catalog.table("messages")
        assert found == created
        assert [index.name for index in found.indexes] == ["ById", "ByFolder", "ByTag"]
        assert found.fdp == SYSTEM_PAGES + 1
        assert (found.objid, found.long_value_objid) == (6, 9)
        assert await catalog.exists("Messages")
        assert not await catalog.exists("Message")
        assert await catalog.table_names() == ["Messages"]
        assert await catalog.table_names(include_system=True) == ["Messages", "MSysObjects", "MSysObjectsShadow"]
        assert (await check_database(pages)).problems == []

    run(main())


def test_many_tables() -> None:
    async def main() -> None:
        pages, catalog = await new_catalog()
        names = [f"Table{number:03}" for number in range(60)]
        for name in reversed(names):
            await catalog.create_table(TableDefinition(name, (LONG,), (IndexDefinition("I", ("A",), primary=True),)))
        assert await catalog.table_names() == names
        result = await check_database(pages)
        assert result.problems == []
        assert result.lost_pages == []

    run(main())


def test_the_shadow_says_what_the_catalog_says() -> None:
    async def main() -> None:
        pages, catalog = await new_catalog()
        await catalog.create_table(MESSAGES)
        rows = [(row.key, dict(row)) async for row in Table(pages, CATALOG_SCHEMA).rows()]
        assert rows == [(row.key, dict(row)) async for row in Table(pages, SHADOW_SCHEMA).rows()]
        assert len(rows) > 50

    run(main())


def test_the_catalog_describes_itself() -> None:
    async def main() -> None:
        _, catalog = await new_catalog()
        own = await catalog.table("MSysObjects")
        assert [index.fdp for index in own.indexes] == [4, 7, 10]
        assert own.flags == TableFlag.SYSTEM | TableFlag.FIXED_DDL
        ids = [column.column_id for column in own.columns]
        assert ids == [*range(1, 12), *range(128, 137), 256, 257], "the columns of revision 0x620,0x0C"

    run(main())


def table(*columns: ColumnDefinition, indexes: tuple[IndexDefinition, ...] = ()) -> TableDefinition:
    return TableDefinition("T", columns or (LONG,), indexes)


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        (TableDefinition("MSysObjects", (LONG,)), JetCode.TableDuplicate),
        (table(LONG, LONG), JetCode.ColumnDuplicate),
        (table(indexes=(IndexDefinition("I", ("A",)), IndexDefinition("I", ("A",)))), JetCode.IndexDuplicate),
        (
            table(indexes=(IndexDefinition("I", ("A",), primary=True), IndexDefinition("J", ("A",), primary=True))),
            JetCode.IndexDuplicate,
        ),
        (table(indexes=(IndexDefinition("I", ("B",)),)), JetCode.ColumnNotFound),
        (table(indexes=(IndexDefinition("I", ()),)), JetCode.InvalidParameter),
        (
            table(ColumnDefinition("A", ColumnType.TEXT), indexes=(IndexDefinition("I", ("A",)),)),
            JetCode.InvalidParameter,
        ),
        (
            table(
                ColumnDefinition("A", ColumnType.LONG_TEXT, code_page=CODE_PAGE_ASCII),
                indexes=(IndexDefinition("I", ("A",)),),
            ),
            JetCode.InvalidParameter,
        ),
    ],
    ids=["table", "column", "index", "two primaries", "unknown column", "no columns", "unicode", "long"],
)
def test_tables_that_cannot_be_are_refused(definition: TableDefinition, code: JetCode) -> None:
    async def main() -> None:
        pages, catalog = await new_catalog()
        before = len(pages.operations)
        with pytest.raises(JetError) as caught:
            await catalog.create_table(definition)
        assert caught.value.code == code
        assert len(pages.operations) == before

    run(main())


def test_a_table_that_is_not_there() -> None:
    async def main() -> None:
        _, catalog = await new_catalog()
        for name in ("Nothing", "ZZZ"):
            with pytest.raises(JetError, match=f"table {name}") as caught:
                await catalog.table(name)
            assert caught.value.code == JetCode.ObjectNotFound

    run(main())


# -- rows -----------------------------------------------------------------------------------------------------------------


def as_rows(schema: TableSchema) -> list[Row]:
    return [Row(b"", values) for values in rows_of(schema, 3, 80)]


def test_a_schema_survives_as_rows() -> None:
    columns = (
        Column(1, "Id", ColumnType.LONG, 4, ColumnFlag.NOT_NULL, 0, 4),
        Column(2, "Flag", ColumnType.LONG, 4, ColumnFlag.DEFAULT, 0, 8, b"\1\0\0\0"),
        Column(256, "Body", ColumnType.LONG_TEXT, 0, ColumnFlag.NONE, 1200),
    )
    flags = IndexFlag.EXTENDED_COLUMNS | IndexFlag.PRIMARY | IndexFlag.UNIQUE
    schema = TableSchema("T", 40, 90, columns, (Index("P", 40, 90, (1, 2), flags),), 41, 93)

    assert schema_from_rows(as_rows(schema)) == schema


def test_segments_of_old_indexes_are_signed_ids() -> None:
    flags = IndexFlag.PRIMARY
    rows = as_rows(TableSchema("T", 40, 90, (Column(1, "A", ColumnType.LONG, 4, record_offset=4),)))
    rows.append(Row(b"", {**rows[0], "Type": 3, "Flags": int(flags), "Name": "I", "KeyFldIDs": b"\x01\x00\xff\xff"}))

    assert schema_from_rows(rows).indexes[0].column_ids == (1, 1)


@pytest.mark.parametrize(
    "change",
    [{"Type": 9}, {"Name": None}, {"ColtypOrPgnoFDP": 99}],
    ids=["no row of the table", "a row without name", "an unknown column type"],
)
def test_rows_that_make_no_sense(change: dict[str, Any]) -> None:
    rows = as_rows(TableSchema("T", 40, 90, (Column(1, "A", ColumnType.LONG, 4, record_offset=4),)))
    place = 1 if "ColtypOrPgnoFDP" in change else 0
    rows[place] = Row(b"", {name: value for name, value in {**rows[place], **change}.items() if value is not None})

    with pytest.raises(JetError, match="catalog rows of a table") as caught:
        schema_from_rows(rows)
    assert caught.value.code == JetCode.DatabaseCorrupted


def test_our_rows_of_the_catalog_are_those_that_windows_writes() -> None:
    """Field by field, but for the columns and locale names that came after 2007."""
    data = golden("basic.edb")

    async def main() -> None:
        reader = await DatabaseReader.from_bytes(data)
        theirs = {row.key: row async for row in Table(reader.pages, CATALOG_SCHEMA).rows() if row["ObjidTable"] < 4}
        pages, _ = await new_catalog()
        ours = {row.key: row async for row in Table(pages, CATALOG_SCHEMA).rows()}
        assert set(ours) <= set(theirs)
        later = {theirs[key]["Id"] for key in set(theirs) - set(ours)}
        assert later == {12, 137, 258, 259, 260, 261}
        for key, row in ours.items():
            ignored = {"PagesOrLocale"} if row["Type"] in (1, 3) else {"RecordOffset"}
            for name in set(row) - ignored:
                assert row[name] == theirs[key][name], (row["Name"], name)

    run(main())
