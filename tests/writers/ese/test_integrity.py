"""Logical integrity: each contradiction in a database is a problem with its page."""

from __future__ import annotations

import contextlib
import copy
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.writers.ese.kit import SIGNATURE, build_sample, run
from tests.writers.ese.memory_pages import MemoryPages
from vss_writers.ese.catalog import Catalog
from vss_writers.ese.checksum import seal_page
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.integrity import Problem, check_database
from vss_writers.ese.keys import big_endian
from vss_writers.ese.layout import PAGE_CATALOG, PAGE_CATALOG_NAME_INDEX, PageFlag, page_offset
from vss_writers.ese.page_operation import (
    DeleteNode,
    Format,
    InsertNode,
    PageOperation,
    ReplaceNode,
    SetExternalHeader,
    SetFlags,
    SetLinks,
)
from vss_writers.ese.reader import DatabaseReader
from vss_writers.ese.schema import TableSchema
from vss_writers.ese.space import Space
from vss_writers.ese.table import Table

_built: list[MemoryPages] = []


async def fresh() -> tuple[MemoryPages, TableSchema]:
    """A copy of the sample that a test may damage."""
    if not _built:
        _built.append((await build_sample(4096, 200)).pages)
    pages = copy.deepcopy(_built[0])
    return pages, await Catalog(pages).table("Messages")


async def problems_after(pages: MemoryPages, *operations: PageOperation) -> list[Problem]:
    for operation in operations:
        await pages.apply(operation)
    return (await check_database(pages)).problems


async def leaves(pages: MemoryPages, fdp: int) -> list[int]:
    root = await pages.read(fdp)
    return [root.child(line) for line in range(root.line_count)]


def test_a_database_in_order_has_no_problems() -> None:
    async def main() -> None:
        pages, _ = await fresh()
        result = await check_database(pages)
        assert result.is_sound
        assert (result.tree_count, result.lost_pages) == (27, [])
        assert result.row_count > 100
        assert result.page_count > 50

    run(main())


def test_links_that_skip_a_page() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        first, second, third, *_ = await leaves(pages, schema.fdp)
        page = await pages.read(second)
        problems = await problems_after(pages, SetLinks(second, page.previous, (await pages.read(third)).next))
        assert (problems[0].code, problems[0].page_number) == (JetCode.BadPageLink, second)
        assert str(third) in problems[0].detail
        assert first

    run(main())


def test_a_page_of_another_tree() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        first, *_ = await leaves(pages, schema.fdp)
        problems = await problems_after(pages, Format(first, 99, int((await pages.read(first)).flags | PageFlag.ROOT)))
        details = [problem.detail for problem in problems if problem.page_number == first]
        assert any("object id expected 6, found 99" in detail for detail in details)
        assert any("root flag is True" in detail for detail in details)
        assert any("no entries" in detail for detail in details)

    run(main())


def test_keys_out_of_order_or_outside_their_separators() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        first, second, *_ = await leaves(pages, schema.fdp)
        details = [problem.detail for problem in await problems_after(pages, InsertNode(second, 1, 0, b"\0", b""))]
        assert "tree 6: keys out of order" in details
        pages, _ = await fresh()
        problems = await problems_after(pages, InsertNode(first, (await pages.read(first)).line_count, 0, b"\xff", b""))
        assert Problem(JetCode.BadParentPageLink, first, "tree 6: keys outside the parent's separators") in problems

    run(main())


def test_a_branch_without_its_last_empty_key() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        root = await pages.read(schema.fdp)
        child = root.node(root.line_count - 1).data
        operations = (
            DeleteNode(schema.fdp, root.line_count - 1),
            InsertNode(schema.fdp, root.line_count - 1, 0, b"\xff", child),
        )
        problems = await problems_after(pages, *operations)
        assert problems[0].detail == "tree 6: last entry of a branch page has a key"

    run(main())


def test_two_pointers_to_one_page() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        root = await pages.read(schema.fdp)
        problems = await problems_after(pages, ReplaceNode(schema.fdp, 1, root.node(0).data))
        assert Problem(JetCode.BadParentPageLink, root.child(0), "tree 6: reached twice") in problems

    run(main())


def test_a_wrong_count_of_free_bytes() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        page = await pages.read(schema.fdp)
        page.data[28] ^= 1
        (problem,) = (await check_database(pages)).problems
        assert (problem.code, problem.page_number) == (JetCode.PageTagCorrupted, schema.fdp)

    run(main())


def test_a_page_that_cannot_be_read() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        problems = await problems_after(pages, ReplaceNode(schema.fdp, 0, (99_999).to_bytes(4, "little")))
        assert any(problem.code == JetCode.PageNotInitialized and problem.page_number == 99_999 for problem in problems)

    run(main())


def test_a_root_without_a_space_header() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        problems = await problems_after(pages, SetExternalHeader(schema.fdp, b""))
        assert Problem(JetCode.SPOwnExtCorrupted, schema.fdp, "space header of 0 bytes") in problems

    run(main())


def test_a_catalog_that_cannot_be_read() -> None:
    async def main() -> None:
        pages, _ = await fresh()
        (problem,) = await problems_after(pages, SetFlags(PAGE_CATALOG, int(PageFlag.LEAF)))
        assert problem.code == JetCode.NodeCorrupted

    run(main())


@pytest.mark.parametrize("what", ["used", "foreign", "lost"])
def test_pages_whose_ownership_is_contradictory(what: str) -> None:
    async def main() -> None:
        pages, schema = await fresh()
        space = await Space.open(pages, schema.fdp)
        used, *_ = await leaves(pages, schema.fdp)
        available = space.header.owned_root + 1
        lines = (await pages.read(available)).line_count
        if what == "used":
            problems = await problems_after(pages, InsertNode(available, 0, 0, big_endian(used), b"\1\0\0\0"))
            assert f"page of the tree at {schema.fdp} is used and available" in {problem.detail for problem in problems}
        elif what == "foreign":
            problems = await problems_after(pages, InsertNode(available, lines, 0, big_endian(30_000), b"\1\0\0\0"))
            assert f"page is available in the tree at {schema.fdp}, which does not own it" in {
                problem.detail for problem in problems
            }
        else:
            for _ in range(lines):
                await pages.apply(DeleteNode(available, 0))
            result = await check_database(pages)
            assert result.is_sound
            assert result.lost_pages

    run(main())


def test_a_page_used_by_two_trees() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        index = schema.secondary_indexes[0]
        stolen, *_ = await leaves(pages, schema.fdp)
        root = await pages.read(index.fdp)
        operation = (
            InsertNode(index.fdp, 0, 0, b"\0", stolen.to_bytes(4, "little"))
            if not root.is_leaf
            else Format(index.fdp, index.objid, int(root.flags))
        )
        problems = await problems_after(pages, operation)
        assert any("is used by tree 6 and tree" in problem.detail for problem in problems)

    run(main())


# -- any damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_is_written_over_a_page_no_reader_breaks(seed: int) -> None:
    """Bytes changed under a good checksum: everything is still read to an end, or refused with the engine's errors."""
    stream = random.Random(seed)

    async def main() -> None:
        pages, _ = await fresh()
        data = bytearray(pages.to_bytes(DatabaseHeader(SIGNATURE)))
        for _ in range(stream.randrange(1, 6)):
            number = stream.choice((4, 7, 33, stream.randrange(1, 120)))
            start = page_offset(number, 4096)
            page = data[start : start + 4096]
            if not any(page):
                continue
            for _ in range(stream.randrange(1, 20)):
                place = stream.choice((stream.randrange(8, 40), stream.randrange(40, 300), stream.randrange(3900, 4096)))
                page[place] = stream.randrange(256)
            seal_page(page, number)
            data[start : start + 4096] = page
        with contextlib.suppress(JetError):
            reader = await DatabaseReader.from_bytes(bytes(data))
            await check_database(reader.pages)
            for name in reader.all_table_names:
                with contextlib.suppress(JetError):
                    _ = [row async for row in reader.table(name).rows()]

    run(main())


# -- rows and indexes -----------------------------------------------------------------------------------------------------


def test_an_index_with_an_entry_too_few() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        index = schema.index("ByTag")
        leaf = index.fdp
        while not (await pages.read(leaf)).is_leaf:
            leaf = (await pages.read(leaf)).child(0)
        problems = await problems_after(pages, DeleteNode(leaf, 0))
        (problem,) = problems
        assert problem.page_number == index.fdp
        assert problem.detail.startswith("index ByTag of table Messages: ")

    run(main())


def test_a_row_under_another_key() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        table = Table(pages, schema)
        row = [row async for row in table.rows()][5]
        data = await table.tree.get(row.key)
        assert data is not None
        changed = bytearray(data)
        changed[4] ^= 0x80  # the Id column itself
        await table.tree.replace(row.key, bytes(changed))
        problems = (await check_database(pages)).problems
        assert [problem.detail for problem in problems] == [f"row {row.key.hex()} under another key"]

    run(main())


def test_a_record_that_cannot_be_decoded() -> None:
    async def main() -> None:
        pages, schema = await fresh()
        table = Table(pages, schema)
        row = await anext(table.rows())
        await table.tree.replace(row.key, b"\1")
        problems = (await check_database(pages)).problems
        assert [problem.code for problem in problems] == [JetCode.NodeCorrupted]
        assert pages.page_count > PAGE_CATALOG_NAME_INDEX

    run(main())
