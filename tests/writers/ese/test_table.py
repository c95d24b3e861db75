"""Tables against a dict: rows, indexes, long values; refusals that change nothing."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.writers.ese.kit import MESSAGES, new_table, random_message, run, sample
from tests.writers.ese.memory_pages import MemoryPages
from vss_writers.ese.catalog import Catalog
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.integrity import check_database
from vss_writers.ese.layout import ColumnType, IndexFlag
from vss_writers.ese.long_value import LongValues
from vss_writers.ese.page_operation import DeleteNode, ReplaceNode
from vss_writers.ese.record import Item, decode_record, encode_record
from vss_writers.ese.schema import CODE_PAGE_ASCII, ColumnDefinition, IndexDefinition, TableDefinition
from vss_writers.ese.table import LONG_VALUE_INTRINSIC_MAX, Table


def message(**values: Any) -> dict[str, Any]:
    """Values of one row, the rest of it null."""
    return {"Folder": 1, "Tag": "tag", **values}


async def long_value_count(table: Table) -> int:
    """Entries in the table's long-value tree."""
    long_values = table.long_values
    assert isinstance(long_values, LongValues)
    return len([node async for node in long_values.tree.entries()])


async def assert_sound(pages: MemoryPages) -> None:
    result = await check_database(pages)
    assert result.problems == []
    assert result.lost_pages == []


@pytest.mark.slow
@pytest.mark.parametrize("page_size", [4096, 8192])
def test_rows_come_back_in_every_order(page_size: int) -> None:
    pages, rows = sample(page_size)

    async def main() -> None:
        table = Table(pages, await Catalog(pages).table("Messages"))
        assert {row.key: dict(row) async for row in table.rows()} == rows
        for folder in range(12):
            found = [row async for row in table.select("ByFolder", folder)]
            assert [row["Delivered"] for row in found] == sorted(row["Delivered"] for row in found)
            assert {row.key for row in found} == {key for key, values in rows.items() if values["Folder"] == folder}
        for key, values in rows.items():
            by_tag = await table.seek("ByTag", values["Tag"])
            assert by_tag is not None
            assert by_tag.key == key == table.key("ById", values["Id"])
        assert await table.seek("ByTag", "no such tag") is None
        await assert_sound(pages)

    run(main())


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(["insert", "insert", "update", "delete"]), max_size=40))
def test_a_table_is_a_dict_of_rows(seed: int, steps: list[str]) -> None:
    async def main() -> None:
        stream = random.Random(seed)
        pages, table = await new_table(4096)
        model: dict[bytes, dict[str, Any]] = {}
        for number, step in enumerate(steps, 1):
            if step == "insert" or not model:
                values = random_message(stream, number, long_max=20_000)
                key = await table.insert(values)
                model[key] = {**values, "Id": (await table.get(key) or {})["Id"]}
                continue
            key = stream.choice(list(model))
            if step == "delete":
                await table.delete(key)
                del model[key]
            else:
                values = random_message(stream, number, long_max=20_000)
                changes = {name: stream.choice((value, value, None)) for name, value in values.items()}
                changes["Folder"] = values["Folder"]
                assert await table.update(key, changes) == key
                model[key] = {name: value for name, value in {**model[key], **changes}.items() if value is not None}
        assert {row.key: dict(row) async for row in table.rows()} == model
        await assert_sound(pages)

    run(main())


def test_numbers_are_given_once_even_after_deletion() -> None:
    async def main() -> None:
        pages, table = await new_table()
        keys = [await table.insert(message(Tag=str(number))) for number in range(3)]
        await table.delete(keys[2])
        row = await table.get(await table.insert(message(Tag="next")))
        assert row is not None
        assert row["Id"] == 4
        assert await table.insert(message(Id=100, Tag="own")) == table.key("ById", 100)
        again = Table(pages, table.schema)
        row = await again.get(await again.insert(message(Tag="after opening")))
        assert row is not None
        assert row["Id"] == 101

    run(main())


@pytest.mark.parametrize("indexed", [True, False])
def test_numbers_without_a_primary_index_on_them(indexed: bool) -> None:
    definition = TableDefinition(
        "T",
        (ColumnDefinition("Number", ColumnType.LONG, autoincrement=True), ColumnDefinition("Value", ColumnType.LONG)),
        (IndexDefinition("ByNumber", ("Number",)),) if indexed else (),
    )

    async def main() -> None:
        pages, table = await new_table(8192, definition)
        keys = [await table.insert({"Value": 10 * number}) for number in range(3)]
        assert keys == [b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\3"]
        again = Table(pages, table.schema)
        await again.insert({"Value": 7})
        assert [(row["Number"], row["Value"]) async for row in table.rows()] == [(1, 0), (2, 10), (3, 20), (4, 7)]
        assert await table.last_key() == b"\0\0\0\4"

    run(main())


def test_columns_indexed_before_the_numbers_do_not_matter() -> None:
    definition = TableDefinition(
        "T",
        (ColumnDefinition("Number", ColumnType.LONG, autoincrement=True), ColumnDefinition("Value", ColumnType.LONG)),
        (IndexDefinition("ByValue", ("Value",)), IndexDefinition("ByNumber", ("Number",))),
    )

    async def main() -> None:
        pages, table = await new_table(8192, definition)
        await table.insert({"Value": 9})
        await Table(pages, table.schema).insert({"Value": 5})
        assert [row["Number"] async for row in table.range("ByNumber")] == [1, 2]
        assert [row["Value"] async for row in table.range("ByValue")] == [5, 9]

    run(main())


def test_an_empty_table() -> None:
    async def main() -> None:
        _, table = await new_table()
        assert await table.last_key() is None
        assert await table.get(b"x") is None
        assert [row async for row in table.rows()] == []

    run(main())


def test_columns_can_be_chosen_and_ranges_cut() -> None:
    async def main() -> None:
        _, table = await new_table()
        for number in range(10):
            await table.insert(message(Folder=number % 2, Delivered=number, Tag=str(number), Body=bytes(5000)))
        rows = [row async for row in table.rows(table.key("ById", 3), table.key("ById", 6), columns=["Id", "Tag"])]
        assert [dict(row) for row in rows] == [{"Id": number, "Tag": str(number - 1)} for number in (3, 4, 5)]
        first, stop = table.key("ByFolder", 1, 3), table.key("ByFolder", 1, 8)
        assert [row["Delivered"] async for row in table.range("ByFolder", first, stop)] == [3, 5, 7]
        assert [row["Id"] async for row in table.range("ById", stop=table.key("ById", 3), columns=["Id"])] == [1, 2]
        with pytest.raises(JetError, match="3 values for the 2 columns of index ByFolder") as caught:
            table.key("ByFolder", 1, 2, 3)
        assert caught.value.code == JetCode.InvalidParameter
        assert table.key("ByFolder", None) == b"\0"

    run(main())


# -- refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (message(Tag="taken"), JetCode.KeyDuplicate),
        (message(Id=1), JetCode.KeyDuplicate),
        ({"Tag": "x"}, JetCode.NullInvalid),
        (message(Nonsense=1), JetCode.ColumnNotFound),
        (message(Delivered="soon"), JetCode.InvalidColumnType),
        (message(Subject="x" * 200), JetCode.ColumnTooBig),
    ],
    ids=["unique index", "primary key", "null", "no column", "type", "length"],
)
def test_a_refused_row_changes_nothing(values: dict[str, Any], code: JetCode) -> None:
    async def main() -> None:
        pages, table = await new_table()
        key = await table.insert(message(Tag="taken"))
        other = await table.insert(message(Tag="free"))
        before = len(pages.operations)
        with pytest.raises(JetError) as caught:
            await table.insert(values)
        assert caught.value.code == code
        if "Folder" in values:
            with pytest.raises(JetError) as caught:
                await table.update(other, {name: value for name, value in values.items() if name != "Folder"})
            assert caught.value.code == code
        with pytest.raises(JetError):
            await table.update(other, {"Folder": None})
        assert len(pages.operations) == before
        assert [row.key async for row in table.rows()] == [key, other]

    run(main())


def test_rows_that_are_not_there() -> None:
    async def main() -> None:
        _, table = await new_table()
        for call in (table.delete(b"x"), table.update(b"x", {})):
            with pytest.raises(JetError) as caught:
                await call
            assert caught.value.code == JetCode.RecordNotFound

    run(main())


def test_a_record_must_fit_in_a_page() -> None:
    columns = tuple(ColumnDefinition(f"C{number}", ColumnType.BINARY) for number in range(20))

    async def main() -> None:
        _, table = await new_table(2048, TableDefinition("Wide", columns))
        await table.insert({f"C{number}": bytes(90) for number in range(20)})
        with pytest.raises(JetError, match="record of 2144 bytes in table Wide") as caught:
            await table.insert({f"C{number}": bytes(105) for number in range(20)})
        assert caught.value.code == JetCode.RecordTooBig

    run(main())


def test_an_index_may_leave_nulls_out_or_refuse_them() -> None:
    async def main() -> None:
        _, table = await new_table()
        await table.insert(message(Tag="a"))
        rows = [row async for row in table.select("ByFolder", 1)]
        assert len(rows) == 1, "a null in a later column is indexed"
        assert [row async for row in table.select("ByFolder", 1, None)] == rows
        for _ in range(2):
            await table.insert({"Folder": 2})
        assert len([row async for row in table.range("ByTag")]) == 1, "a unique index leaves all-null keys out"

    run(main())


def test_an_index_that_takes_no_nulls() -> None:
    async def main() -> None:
        pages, table = await new_table()
        indexes = tuple(
            dataclasses.replace(index, flags=index.flags | IndexFlag.NO_NULL_SEGMENT) if index.name == "ByTag" else index
            for index in table.schema.indexes
        )
        strict = Table(pages, dataclasses.replace(table.schema, indexes=indexes))
        with pytest.raises(JetError, match="index ByTag of table Messages") as caught:
            await strict.insert({"Folder": 1})
        assert caught.value.code == JetCode.NullKeyDisallowed

    run(main())


def test_an_index_entry_without_its_row_leads_nowhere() -> None:
    async def main() -> None:
        _, table = await new_table()
        key = await table.insert(message())
        await table.tree.delete(key)
        assert await table.seek("ByTag", "tag") is None

    run(main())


def test_a_value_of_the_wrong_size_is_named() -> None:
    async def main() -> None:
        pages, table = await new_table()
        key = await table.insert(message(Priority=1))
        data = await table.tree.get(key)
        assert data is not None
        items = decode_record(table.schema, data, pages.page_size)
        items[table.schema.column("Priority").column_id] = Item(b"\1")
        await table.tree.replace(key, encode_record(table.schema, items, pages.page_size))
        with pytest.raises(JetError, match="column Priority of row 7f80000001 of table Messages") as caught:
            await table.get(key)
        assert caught.value.code == JetCode.NodeCorrupted

    run(main())


# -- keys that change -----------------------------------------------------------------------------------------------------


def test_a_row_may_move_to_another_primary_key() -> None:
    async def main() -> None:
        pages, table = await new_table()
        one = await table.insert(message(Tag="one", Body=bytes(5000)))
        two = await table.insert(message(Tag="two"))
        moved = await table.update(one, {"Id": 50, "Tag": "three"})
        assert moved == table.key("ById", 50)
        assert await table.get(one) is None
        row = await table.seek("ByTag", "three")
        assert row is not None
        assert (row.key, row["Body"]) == (moved, bytes(5000))
        with pytest.raises(JetError, match="primary key"):
            await table.update(moved, {"Id": 2})
        with pytest.raises(JetError, match="of index ByTag"):
            await table.update(moved, {"Tag": "TWO"})
        assert [row.key async for row in table.rows()] == [two, moved]
        await assert_sound(pages)

    run(main())


# -- long values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, LONG_VALUE_INTRINSIC_MAX, LONG_VALUE_INTRINSIC_MAX + 1, 8110, 8111, 100_000])
def test_long_values_of_any_size(size: int) -> None:
    async def main() -> None:
        pages, table = await new_table()
        body = random.Random(size).randbytes(size)
        key = await table.insert(message(Body=body))
        row = await table.get(key)
        assert row is not None
        assert row["Body"] == body
        expected = 0 if size <= LONG_VALUE_INTRINSIC_MAX else 1 + -(-size // 8110)
        assert await long_value_count(table) == expected
        await table.delete(key)
        assert await long_value_count(table) == 0
        await assert_sound(pages)

    run(main())


def test_an_update_keeps_the_long_values_it_does_not_touch_and_drops_those_it_replaces() -> None:
    async def main() -> None:
        pages, table = await new_table()
        key = await table.insert(message(Body=b"a" * 9000, Note="n" * 3000))
        before = await long_value_count(table)
        await table.update(key, {"Folder": 2})
        assert await long_value_count(table) == before
        await table.update(key, {"Body": b"b" * 2000, "Note": None})
        assert await long_value_count(table) == 2
        row = await table.get(key)
        assert row is not None
        assert row["Body"] == b"b" * 2000
        assert "Note" not in row
        await assert_sound(pages)

    run(main())


def test_short_long_values_move_out_when_the_record_would_not_fit() -> None:
    columns = tuple(ColumnDefinition(f"C{number}", ColumnType.LONG_BINARY) for number in range(10))

    async def main() -> None:
        _, table = await new_table(4096, TableDefinition("Wide", columns))
        values = {f"C{number}": bytes((number,)) * 700 for number in range(10)}
        key = await table.insert(values)
        assert await table.get(key) == values
        assert 0 < await long_value_count(table) < 20

    run(main())


def test_long_values_that_are_damaged_or_missing() -> None:
    async def main() -> None:
        pages, table = await new_table()
        key = await table.insert(message(Body=bytes(3000)))
        fdp = table.schema.long_value_fdp
        leaf = await pages.read(fdp)
        await pages.apply(ReplaceNode(fdp, 0, leaf.node(0).data[:4] + (3001).to_bytes(4, "little")))
        with pytest.raises(JetError, match="3001 bytes expected, 3000 found") as caught:
            await table.get(key)
        assert caught.value.code == JetCode.NodeCorrupted
        for _ in range(2):
            await pages.apply(DeleteNode(fdp, 0))
        with pytest.raises(JetError, match="long value 00000001") as caught:
            await table.get(key)
        assert caught.value.code == JetCode.RecordNotFound
        assert await table.get(key, ["Folder"]) == {"Folder": 1}

    run(main())


def test_a_reference_in_a_table_without_long_values() -> None:
    async def main() -> None:
        pages, table = await new_table()
        key = await table.insert(message(Body=bytes(3000)))
        bare = Table(pages, dataclasses.replace(table.schema, long_value_fdp=0))
        with pytest.raises(JetError, match="refers to long value 00000001, has none") as caught:
            await bare.get(key)
        assert caught.value.code == JetCode.NodeCorrupted
        with pytest.raises(JetError, match="has no long-value tree"):
            await bare.insert(message(Tag="x", Body=bytes(3000)))

    run(main())


def test_the_shared_table_definition_has_every_kind_of_column() -> None:
    assert {definition.code_page for definition in MESSAGES.columns} >= {CODE_PAGE_ASCII}
