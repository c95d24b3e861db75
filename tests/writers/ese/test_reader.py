"""Reading files: our own, those that Windows wrote, and damaged ones."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest

from tests.writers.ese.kit import GOLDEN_NAMES, golden, run, sample, sample_bytes
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.integrity import check_database
from vss_writers.ese.layout import page_offset
from vss_writers.ese.page_operation import DeleteNode
from vss_writers.ese.reader import DatabaseReader, FilePages, read_from


@pytest.mark.parametrize("page_size", [4096, 8192])
def test_what_was_written_is_read(page_size: int) -> None:
    data, rows = sample_bytes(page_size), sample(page_size).rows

    async def main() -> None:
        reader = await DatabaseReader.from_bytes(data, path="DB1.edb")
        assert reader.table_names == ("Messages",)
        assert reader.all_table_names == ("MSysObjects", "MSysObjectsShadow", "Messages")
        assert reader.header.page_size == reader.pages.page_size == page_size
        assert reader.pages.page_count == sample(page_size).pages.page_count
        table = reader.table("Messages")
        assert {row.key: dict(row) async for row in table.rows()} == rows
        tag = next(iter(rows.values()))["Tag"]
        found = await table.seek("ByTag", tag)
        assert found is not None
        assert found["Tag"] == tag
        with pytest.raises(JetError, match="table Nothing") as caught:
            reader.table("Nothing")
        assert caught.value.code == JetCode.ObjectNotFound

    run(main())


def test_a_file_is_never_changed() -> None:
    data, rows = sample_bytes(4096), sample(4096).rows

    async def main() -> None:
        reader = await DatabaseReader.from_bytes(data, path="DB1.edb")
        table = reader.table("Messages")
        pages = reader.pages
        calls: list[Any] = [
            lambda: table.delete(next(iter(rows))),
            lambda: pages.apply(DeleteNode(4, 0)),
            lambda: pages.extend(3),
        ]
        for call in calls:
            with pytest.raises(JetError) as caught:
                await call()
            assert caught.value.code == JetCode.DatabaseFileReadOnly
            assert caught.value.path == "DB1.edb"
        for refused in (pages.macro, pages.next_objid):
            with pytest.raises(JetError):
                refused()

    run(main())


def test_damaged_pages_are_not_used() -> None:
    data = bytearray(sample_bytes(8192))
    fdp = 33
    data[page_offset(fdp, 8192) + 500] ^= 4
    blank = page_offset(34, 8192)
    data[blank : blank + 8192] = bytes(8192)

    async def main() -> None:
        reader = await DatabaseReader.from_bytes(bytes(data), path="DB1.edb")
        with pytest.raises(JetError, match="correctable: stored") as caught:
            _ = [row async for row in reader.table("Messages").rows()]
        assert caught.value.code == JetCode.ReadVerifyFailure
        assert (caught.value.page_number, caught.value.offset) == (fdp, page_offset(fdp, 8192))
        for number in (34, 0, 100_000):
            with pytest.raises(JetError) as caught:
                await reader.pages.read(number)
            assert caught.value.code == JetCode.PageNotInitialized

    run(main())


def test_a_file_that_is_no_database() -> None:
    async def main() -> None:
        with pytest.raises(JetError, match="magic number") as caught:
            await DatabaseReader.from_bytes(bytes(100_000), path="DB1.edb")
        assert caught.value.code == JetCode.DatabaseCorrupted

    run(main())


def test_the_cache_of_pages_is_bounded() -> None:
    data = sample_bytes(4096)
    reads: list[int] = []

    async def main() -> None:
        inner = read_from(data)

        async def counted(offset: int, length: int) -> bytes:
            reads.append(offset)
            return await inner(offset, length)

        pages = FilePages(counted, len(data), 4096, cache_pages=2)
        for number in (4, 5, 4, 6, 4, 5):
            await pages.read(number)
        assert reads == [page_offset(number, 4096) for number in (4, 5, 6, 5)], "the one used longest ago goes"

    run(main())


# -- databases that Windows wrote -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_databases_of_windows_are_sound(name: str) -> None:
    data = golden(name)

    async def main() -> None:
        result = await check_database((await DatabaseReader.from_bytes(data)).pages)
        assert result.problems == []
        assert result.row_count > 100

    run(main())


def comparable(value: Any) -> Any:
    """Values as both readers can give them: bytes, plain text without closing NULs, GUIDs as text."""
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    return value.rstrip("\0") if isinstance(value, str) else value


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_tables_and_rows_equal_those_of_another_reader(name: str) -> None:
    esedb = pytest.importorskip("dissect.esedb", reason="needs dissect.esedb to compare with")
    data = golden(name)
    other = esedb.EseDB(io.BytesIO(data))

    async def main() -> None:
        reader = await DatabaseReader.from_bytes(data)
        assert sorted(reader.all_table_names) == sorted(table.name for table in other.tables())
        for table in other.tables():
            rows = [row async for row in reader.table(table.name).rows()]
            records = list(table.records())
            assert [row.key for row in rows] == [bytes(record._node.key) for record in records]
            for row, record in zip(rows, records, strict=True):
                ours = {column.name: comparable(row.get(column.name)) for column in table.columns}
                theirs = {column.name: comparable(record.get(column.name)) for column in table.columns}
                assert ours == theirs

    run(main())
