"""Space: every page is owned once, used or available, however trees grow and shrink."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.writers.ese.kit import run
from tests.writers.ese.memory_pages import MemoryPages
from vss_writers.ese.database_format import create_database
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.integrity import check_database
from vss_writers.ese.keys import big_endian
from vss_writers.ese.layout import OBJID_DATABASE, PAGE_DATABASE_ROOT, SYSTEM_PAGES, PageFlag, SpaceFlag
from vss_writers.ese.page_operation import InsertNode, SetExternalHeader
from vss_writers.ese.space import EXTENT_MAX, FDP_PAGES, Extent, Space, SpaceHeader, create_space


async def new_space(page_size: int = 2048) -> tuple[MemoryPages, Space]:
    """A database and the space of a tree in it that has no pages to spare."""
    pages = MemoryPages(page_size)
    await create_database(pages)
    root = await Space.open(pages, PAGE_DATABASE_ROOT)
    extent = await root.take_extent(FDP_PAGES)
    return pages, await create_space(pages, extent, 77, PAGE_DATABASE_ROOT)


def pages_of(extents: list[Extent]) -> list[int]:
    return [number for extent in extents for number in range(extent.first, extent.last + 1)]


def test_a_new_database_owns_its_pages_and_has_none_to_spare() -> None:
    async def main() -> None:
        pages = MemoryPages()
        await create_database(pages)
        root = await Space.open(pages, PAGE_DATABASE_ROOT)
        assert await root.owned() == [Extent(1, SYSTEM_PAGES)]
        assert await root.available() == []
        assert root.objid == OBJID_DATABASE

    run(main())


def test_space_headers_survive() -> None:
    header = SpaceHeader(20, 1, SpaceFlag.MULTIPLE_EXTENT | SpaceFlag.NON_UNIQUE, 5)

    assert header.pack() == bytes.fromhex("14000000 01000000 03000000 05000000")
    assert SpaceHeader.unpack(header.pack()) == header
    with pytest.raises(JetError, match="space header of 3 bytes") as caught:
        SpaceHeader.unpack(b"abc")
    assert caught.value.code == JetCode.SPOwnExtCorrupted


def test_a_tree_asks_its_parent_for_ever_larger_extents() -> None:
    async def main() -> None:
        pages, space = await new_space()
        root = await Space.open(pages, PAGE_DATABASE_ROOT)
        taken = [await space.allocate_page() for _ in range(1000)]
        assert len(set(taken)) == 1000
        owned = await space.owned()
        assert set(taken) <= set(pages_of(owned))
        assert len(owned) < 10
        assert await root.owned() == [Extent(1, pages.page_count)]
        assert len(pages_of(owned)) <= 1000 + FDP_PAGES + EXTENT_MAX

    run(main())


def test_pages_given_back_are_given_out_again_and_neighbours_join() -> None:
    async def main() -> None:
        _, space = await new_space()
        taken = [await space.allocate_page() for _ in range(32)]
        order = list(taken)
        random.Random(1).shuffle(order)
        for page_number in order:
            await space.free_page(page_number)
        assert set(taken) <= set(pages_of(await space.available()))
        assert len(await space.available()) == 1
        with pytest.raises(JetError, match="are entered already") as caught:
            await space.free_page(taken[3])
        assert caught.value.code == JetCode.SPAvailExtCorrupted
        assert (await space.take_extent(20)).count == 20

    run(main())


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=60), st.integers(0, 2**32))
def test_no_page_is_ever_given_twice(steps: list[tuple[bool, int]], seed: int) -> None:
    stream = random.Random(seed)

    async def main() -> None:
        _, space = await new_space()
        held: list[int] = []
        for is_taken, count in steps:
            if is_taken:
                held += pages_of([await space.take_extent(count)])
            for _ in range(0 if is_taken else min(count, len(held))):
                await space.free_page(held.pop(stream.randrange(len(held))))
        available = pages_of(await space.available())
        owned = pages_of(await space.owned())
        assert len(set(held)) == len(held)
        assert sorted([*held, *available, *range(space.fdp, space.fdp + FDP_PAGES)]) == owned

    run(main())


@pytest.mark.slow
def test_space_trees_grow_when_space_is_in_shreds() -> None:
    """Every second page is given back: as many extents as one page of a space tree cannot hold."""

    async def main() -> None:
        pages, space = await new_space()
        taken = [await space.allocate_page() for _ in range(700)]
        for page_number in taken[::2]:
            await space.free_page(page_number)
        root = await pages.read(space.header.owned_root + 1)
        assert not root.is_leaf
        assert len(await space.available()) > 300
        for page_number in taken[1::2]:
            await space.free_page(page_number)
        available = pages_of(await space.available())
        owned = pages_of(await space.owned())
        assert set(taken) <= set(available)
        assert set(available) <= set(owned)
        assert len(await space.available()) < 10
        assert pages_of(await (await Space.open(pages, PAGE_DATABASE_ROOT)).owned()) == list(range(1, pages.page_count + 1))

    run(main())


def test_the_database_roots_own_space_trees_grow_by_growing_the_file() -> None:
    async def main() -> None:
        pages, _ = await new_space()
        root = await Space.open(pages, PAGE_DATABASE_ROOT)
        taken = [await root.allocate_page() for _ in range(500)]
        for page_number in taken[::2]:
            await root.free_page(page_number)
        assert not (await pages.read(root.header.owned_root + 1)).is_leaf
        assert await root.owned() == [Extent(1, pages.page_count)]
        result = await check_database(pages)
        assert result.problems == []

    run(main())


def test_growth_that_was_forgotten_is_found_again() -> None:
    """A transaction that grew the file was rolled back: the file kept the pages, the root's space trees did not."""

    async def main() -> None:
        pages, space = await new_space()
        root = await Space.open(pages, PAGE_DATABASE_ROOT)
        while await root.available():
            await root.allocate_page()
        forgotten = await pages.extend(10)
        extent = await space.take_extent(4)
        assert await root.owned() == [Extent(1, pages.page_count)]
        assert forgotten in pages_of([*await root.available(), *await space.owned(), extent])

    run(main())


def test_a_single_page_for_a_space_tree_finds_forgotten_growth_too() -> None:
    async def main() -> None:
        pages, _ = await new_space()
        root = await Space.open(pages, PAGE_DATABASE_ROOT)
        forgotten = await pages.extend(3)
        assert await root.take_from_parent(1) == forgotten + 3
        await root.allocate_page()
        assert set(range(forgotten + 1, forgotten + 3)) <= set(pages_of(await root.available()))

    run(main())


def test_damage_of_space_trees_is_named() -> None:
    async def main() -> None:
        pages, space = await new_space()
        await pages.apply(InsertNode(space.header.owned_root, 0, 0, b"k", b"data"))
        with pytest.raises(JetError, match="extent with key 6b and data 64617461") as caught:
            await space.owned()
        assert caught.value.code == JetCode.SPOwnExtCorrupted
        await pages.apply(SetExternalHeader(space.fdp, SpaceHeader(1, 1, SpaceFlag.NONE, 0).pack()))
        with pytest.raises(JetError, match="single-extent trees cannot be changed") as caught:
            await Space.open(pages, space.fdp)
        assert caught.value.page_number == space.fdp

    run(main())


def test_space_of_an_index_says_so_on_its_pages() -> None:
    async def main() -> None:
        pages, space = await new_space()
        extent = await space.take_extent(5)
        child = await create_space(pages, extent, 78, space.fdp, PageFlag.INDEX | PageFlag.NON_UNIQUE)
        root = await pages.read(extent.first)
        assert root.flags & PageFlag.NON_UNIQUE
        assert SpaceHeader.unpack(root.external_header).flags == SpaceFlag.MULTIPLE_EXTENT | SpaceFlag.NON_UNIQUE
        owned = await pages.read(extent.first + 1)
        assert owned.flags & PageFlag.INDEX
        assert not owned.flags & PageFlag.NON_UNIQUE
        assert await child.available() == [Extent(extent.first + 3, 2)]
        assert owned.node(0).key == big_endian(extent.last)

    run(main())


class SmallDisk(MemoryPages):
    """Pages of a file that may not become longer than a test needs."""

    async def extend(self, page_count: int) -> int:
        assert self.page_count + page_count <= 2000, "the file grows without end"
        return await super().extend(page_count)


@pytest.mark.parametrize("scattered", range(283, 288))
def test_a_full_tree_of_owned_extents_splits_once_though_the_page_it_takes_joins_its_last_extent(scattered: int) -> None:
    async def main() -> None:
        pages = SmallDisk(2048)
        await create_database(pages)
        root = await Space.open(pages, PAGE_DATABASE_ROOT)
        space = await create_space(pages, await root.take_extent(FDP_PAGES), 77, PAGE_DATABASE_ROOT)
        for _ in range(scattered):
            await space.own(await root.take_extent(1))
            await root.take_extent(1)
        taken = [await space.allocate_page() for _ in range(40)]
        assert len(set(taken)) == 40
        assert set(taken) <= set(pages_of(await space.owned()))

    run(main())


def test_looking_for_pages_leaves_no_walk_behind_for_the_event_loop() -> None:
    """A loop that nobody waits on never closes them: they would pile up, one for each page that a rebuild takes."""
    left: list[AsyncGenerator[Any, Any]] = []

    async def main() -> None:
        _, space = await new_space()
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=left.append)
        try:
            numbers = [await space.allocate_page() for _ in range(40)]
            for number in numbers[::2]:
                await space.free_page(number)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    run(main())
    assert left == []
