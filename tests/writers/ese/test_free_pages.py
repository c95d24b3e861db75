"""Pages that no table uses are told from those that are in use; in doubt a page counts as used."""

from __future__ import annotations

import copy

import pytest

from tests.writers.ese.kit import SIGNATURE, build_sample, run
from tests.writers.ese.memory_pages import MemoryPages
from vss_writers.ese.catalog import Catalog
from vss_writers.ese.free_pages import find_free_pages
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.layout import PAGE_CATALOG, PAGE_DATABASE_ROOT, page_offset
from vss_writers.ese.page_operation import SetLinks
from vss_writers.ese.reader import read_from
from vss_writers.ese.space import Space

SIZE = 4096
_sample: list[MemoryPages] = []


async def built() -> tuple[MemoryPages, dict[int, list[int]]]:
    """A database, and the available pages of its trees by root."""
    if not _sample:
        _sample.append((await build_sample(SIZE, 120)).pages)
    pages = copy.deepcopy(_sample[0])
    schema = await Catalog(pages).table("Messages")
    available: dict[int, list[int]] = {}
    for root in (PAGE_DATABASE_ROOT, schema.fdp, schema.long_value_fdp, *(each.fdp for each in schema.secondary_indexes)):
        extents = await (await Space.open(pages, root)).available()
        available[root] = [number for each in extents for number in range(each.first, each.last + 1)]
    return pages, available


def file_of(pages: MemoryPages, *damaged: int) -> bytes:
    """The file, with some of its pages overwritten."""
    data = bytearray(pages.to_bytes(DatabaseHeader(SIGNATURE, page_size=SIZE)))
    for number in damaged:
        offset = page_offset(number, SIZE)
        data[offset : offset + 300] = b"\xa5" * 300
    return bytes(data)


async def free(data: bytes, among: list[int]) -> list[int]:
    return await find_free_pages(read_from(data), len(data), SIZE, among)


def test_available_pages_of_the_database_and_of_its_tables_are_free_and_no_others() -> None:
    async def main() -> None:
        pages, available = await built()
        expected = sorted(number for numbers in available.values() for number in numbers)
        everything = list(range(1, pages.page_count + 1))
        found = await free(file_of(pages), everything)
        assert set(expected) <= set(found)
        assert PAGE_DATABASE_ROOT not in found
        assert not {*available} & {*found}
        table = next(root for root in available if root != PAGE_DATABASE_ROOT and available[root])
        damaged = [available[PAGE_DATABASE_ROOT][-1], available[table][0]]
        assert await free(file_of(pages, *damaged), damaged) == sorted(damaged)

    run(main())


def test_a_page_that_one_in_use_points_to_is_not_free_whatever_the_space_trees_say() -> None:
    async def main() -> None:
        pages, available = await built()
        suspect, other = available[PAGE_DATABASE_ROOT][:2]
        await pages.apply(SetLinks(PAGE_CATALOG, 0, suspect))
        assert await free(file_of(pages), [suspect, other]) == [other]

    run(main())


def test_what_a_free_page_still_points_to_may_be_free() -> None:
    async def main() -> None:
        pages, available = await built()
        stale, other = available[PAGE_DATABASE_ROOT][:2]
        await pages.apply(SetLinks(stale, 0, other))
        assert await free(file_of(pages), [stale, other]) == [stale, other]

    run(main())


@pytest.mark.parametrize("damaged", [PAGE_CATALOG, PAGE_DATABASE_ROOT])
def test_pages_of_trees_that_cannot_be_read_do_not_count_as_free(damaged: int) -> None:
    async def main() -> None:
        pages, available = await built()
        of_database = available.pop(PAGE_DATABASE_ROOT)
        of_tables = sorted(number for numbers in available.values() for number in numbers)
        found = await free(file_of(pages, damaged), [*of_database, *of_tables])
        assert of_database
        assert of_tables
        assert found == (sorted(of_tables) if damaged == PAGE_DATABASE_ROOT else sorted(of_database))

    run(main())


def test_pages_behind_the_end_of_the_file_are_not_free_pages() -> None:
    async def main() -> None:
        pages, available = await built()
        last = max(available[PAGE_DATABASE_ROOT])
        data = file_of(pages)[: page_offset(last, SIZE)]
        assert await free(data, [last]) == []

    run(main())
