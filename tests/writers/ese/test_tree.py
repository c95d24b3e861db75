"""B+ trees against a sorted dict, through splits, merges and removals; readers between a writer's steps; damage."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.writers.ese.kit import run
from tests.writers.ese.memory_pages import MemoryPages
from vss_writers.ese.database_format import create_database
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.integrity import Integrity, check_tree
from vss_writers.ese.layout import CURRENT_FORMAT, PAGE_DATABASE_ROOT, PageFlag
from vss_writers.ese.node import Node
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import Format, InsertNode, PageOperation, SetFlags, SetLinks
from vss_writers.ese.space import FDP_PAGES, Extent, Space, create_space
from vss_writers.ese.tree import Tree
from vss_writers.ese.tree_layout import lay_out, separator

OBJID = 77


async def new_tree(page_size: int = 2048, kind: PageFlag = PageFlag.NONE, pages: MemoryPages | None = None) -> Tree:
    """A tree with a space of its own, in a database of its own."""
    access = pages or MemoryPages(page_size)
    await create_database(access)
    root = await Space.open(access, PAGE_DATABASE_ROOT)
    space = await create_space(access, await root.take_extent(FDP_PAGES), OBJID, PAGE_DATABASE_ROOT, kind)
    return Tree(access, space.fdp, OBJID, space, kind)


async def assert_sound(tree: Tree, expected: dict[bytes, bytes]) -> None:
    """The tree holds exactly ``expected`` and satisfies every invariant of its format."""
    assert [(node.key, node.data) async for node in tree.entries()] == sorted(expected.items())
    result = Integrity()
    await check_tree(tree.access, tree.root, result)
    assert result.problems == []
    assert result.lost_pages == []


def number_key(number: int) -> bytes:
    return number.to_bytes(4, "big")


# -- growing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
@pytest.mark.parametrize("page_size", [2048, 8192])
def test_many_entries_in_any_order(order: str, page_size: int) -> None:
    async def main() -> None:
        tree = await new_tree(page_size)
        numbers = list(range(1500))
        if order == "descending":
            numbers.reverse()
        if order == "random":
            random.Random(1).shuffle(numbers)
        for number in numbers:
            await tree.insert(number_key(number), bytes(number % 50))
        await assert_sound(tree, {number_key(number): bytes(number % 50) for number in numbers})
        assert await tree.get(number_key(700)) == bytes(0)
        assert await tree.get(number_key(5000)) is None
        assert await tree.get(number_key(700) + b"\0") is None
        last = await tree.last()
        assert last is not None
        assert last.key == number_key(1499)

    run(main())


def test_loading_in_order_fills_pages() -> None:
    async def main() -> None:
        tree = await new_tree(2048)
        for number in range(2000):
            await tree.insert(number_key(number), bytes(100))
        leaf_count = 0
        async for _ in tree.leaves():
            leaf_count += 1
        per_page = (2048 - 44) // (4 + 100 + 2 + 4)
        assert leaf_count == -(-2000 // per_page)

    run(main())


def test_shared_prefixes_make_pages_hold_more() -> None:
    async def main() -> int:
        tree = await new_tree(2048)
        numbers = list(range(600))
        random.Random(2).shuffle(numbers)
        for number in numbers:
            await tree.insert(b"a rather long beginning that all keys share " + number_key(number), b"x")
        await assert_sound(
            tree, {b"a rather long beginning that all keys share " + number_key(number): b"x" for number in range(600)}
        )
        return len([leaf async for leaf in tree.leaves()])

    leaf_count = run(main())
    without = 600 * (44 + 4 + 1 + 2 + 4) / (2048 - 44)
    assert leaf_count < without / 2


def test_entries_as_large_as_a_page_get_pages_of_their_own() -> None:
    async def main() -> None:
        tree = await new_tree(2048)
        largest = 2048 - 44 - 16 - 6 - 4
        expected: dict[bytes, bytes] = {}
        for number in (10, 30, 50, 20, 40, 35, 5, 60):
            expected[number_key(number)] = bytes((number,)) * (largest if number % 20 == 0 else 300)
            await tree.insert(number_key(number), expected[number_key(number)])
            await assert_sound(tree, expected)
        with pytest.raises(JetError, match="entry of 1989 bytes, at most 1988") as caught:
            await tree.insert(number_key(1), bytes(largest + 1))
        assert caught.value.code == JetCode.RecordTooBig
        with pytest.raises(JetError, match="at most 1988"):
            await tree.replace(number_key(10), bytes(largest + 1))
        expected[number_key(10)] = bytes(largest)
        await tree.replace(number_key(10), bytes(largest))
        await assert_sound(tree, expected)

    run(main())


def deep_key(number: int) -> bytes:
    """Keys in groups of six that share a long beginning no other has: separators are long, so branch pages split early."""
    stem = random.Random(number // 6).randbytes(200)
    return stem + bytes((number % 6,))


@pytest.mark.slow
@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_trees_of_many_levels(order: str) -> None:
    async def main() -> None:
        tree = await new_tree(2048)
        keys = sorted(map(deep_key, range(700)), reverse=order == "descending")
        if order == "random":
            random.Random(5).shuffle(keys)
        expected = {}
        for place, key in enumerate(keys):
            expected[key] = bytes(place % 300)
            await tree.insert(key, expected[key])
        await assert_sound(tree, expected)
        depth = 1
        page = await tree.access.read(tree.root)
        while not page.is_leaf:
            depth += 1
            page = await tree.access.read(page.child(page.line_count - 1))
        assert depth >= 3
        for place, key in enumerate(keys):
            await tree.delete(key)
            del expected[key]
            if place % 100 == 0:
                await assert_sound(tree, expected)
        await assert_sound(tree, {})

    run(main())


def test_a_page_is_compressed_anew_where_that_makes_room() -> None:
    """Ordered loading leaves pages without a prefix; later insertions find one and need no split."""

    async def main() -> None:
        tree = await new_tree(2048)
        expected = {b"a long beginning for all keys " + number_key(number): b"" for number in range(0, 400, 2)}
        for key in expected:
            await tree.insert(key, b"")
        before = len([leaf async for leaf in tree.leaves()])
        for number in range(1, 100, 2):
            key = b"a long beginning for all keys " + number_key(number)
            expected[key] = b""
            await tree.insert(key, b"")
        assert len([leaf async for leaf in tree.leaves()]) == before
        await assert_sound(tree, expected)

    run(main())


def test_keys_are_given_once() -> None:
    async def main() -> None:
        tree = await new_tree()
        await tree.insert(b"k", b"1")
        with pytest.raises(JetError, match="key 6b in tree 77") as caught:
            await tree.insert(b"k", b"2")
        assert caught.value.code == JetCode.KeyDuplicate
        for call in (tree.delete(b"x"), tree.replace(b"x", b"")):
            with pytest.raises(JetError, match="key 78 in tree 77") as caught:
                await call
            assert caught.value.code == JetCode.RecordNotFound

    run(main())


def test_a_non_unique_tree_keeps_equal_keys_in_the_order_of_their_data() -> None:
    async def main() -> None:
        tree = await new_tree(2048, PageFlag.INDEX | PageFlag.NON_UNIQUE)
        entries = [(bytes((number % 3,)), number_key(number)) for number in range(900)]
        random.Random(3).shuffle(entries)
        for key, data in entries:
            await tree.insert(key, data)
        with pytest.raises(JetError, match="in tree 77"):
            await tree.insert(*entries[0])
        for key, data in entries[:500]:
            await tree.delete(key + data)
        assert [(node.key, node.data) async for node in tree.entries()] == sorted(entries[500:])
        assert [node.key async for node in tree.entries(b"\1", b"\2")] == [b"\1"] * sum(
            key == b"\1" for key, _ in entries[500:]
        )
        result = Integrity()
        await check_tree(tree.access, tree.root, result)
        assert result.problems == []

    run(main())


# -- shrinking ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_a_tree_can_be_emptied_and_filled_again(order: str) -> None:
    async def main() -> None:
        tree = await new_tree(2048)
        expected = {number_key(number): bytes(60) for number in range(3000)}
        for key, data in expected.items():
            await tree.insert(key, data)
        keys = sorted(expected, reverse=order == "descending")
        if order == "random":
            random.Random(4).shuffle(keys)
        for place, key in enumerate(keys):
            assert await tree.delete(key) == expected.pop(key)
            if place % 500 == 0:
                await assert_sound(tree, expected)
        assert await tree.last() is None
        await assert_sound(tree, {})
        pages_before = tree.access.page_count
        for number in range(1000):
            await tree.insert(number_key(number), bytes(60))
        assert tree.access.page_count == pages_before, "freed pages are used again"

    run(main())


def test_thin_pages_are_merged() -> None:
    async def main() -> None:
        tree = await new_tree(2048)
        for number in range(1000):
            await tree.insert(number_key(number), bytes(60))
        before = len([leaf async for leaf in tree.leaves()])
        for number in range(1000):
            if number % 10:
                await tree.delete(number_key(number))
        after = len([leaf async for leaf in tree.leaves()])
        assert after < before / 2
        await assert_sound(tree, {number_key(number): bytes(60) for number in range(0, 1000, 10)})

    run(main())


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_tree_is_a_sorted_dict(data: st.DataObject) -> None:
    async def main() -> None:
        tree = await new_tree(2048)
        model: dict[bytes, bytes] = {}
        keys = st.one_of(
            st.binary(max_size=30), st.integers(0, 60).map(lambda number: b"common beginning " + number_key(number))
        )
        sizes = st.one_of(st.integers(0, 40), st.integers(400, 1900))
        for _ in range(data.draw(st.integers(1, 60))):
            key = data.draw(keys)
            kind = data.draw(st.sampled_from(["insert", "insert", "insert", "replace", "delete"]))
            if key not in model and kind == "insert":
                model[key] = bytes(data.draw(sizes))
                await tree.insert(key, model[key])
            elif model:
                key = data.draw(st.sampled_from(sorted(model)))
                if kind == "delete":
                    assert await tree.delete(key) == model.pop(key)
                else:
                    model[key] = b"r" * data.draw(sizes)
                    await tree.replace(key, model[key])
        await assert_sound(tree, model)
        first, stop = sorted((data.draw(keys), data.draw(keys)))
        found = [node.key async for node in tree.entries(first, stop)]
        assert found == [key for key in sorted(model) if first <= key < stop]

    run(main())


# -- readers between a writer's steps -------------------------------------------------------------------------------------


class SteppedPages(MemoryPages):
    """Pages whose every access lets others run first."""

    async def read(self, page_number: int) -> Page:
        await asyncio.sleep(0)
        return await super().read(page_number)

    async def apply(self, operation: PageOperation) -> Page:
        await asyncio.sleep(0)
        return await super().apply(operation)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_readers_never_miss_what_stays(seed: int) -> None:
    """While a writer splits and merges, entries that are always there are found, by key and in every scan."""

    async def main() -> None:
        tree = await new_tree(2048, pages=SteppedPages(2048))
        stream = random.Random(seed)
        staying = [number_key(number) for number in range(0, 3000, 100)]
        for key in staying:
            await tree.insert(key, bytes(100))
        is_done = False

        async def write() -> None:
            nonlocal is_done
            others = [number_key(number) for number in range(3000) if number % 100]
            stream.shuffle(others)
            for key in others[:250]:
                await tree.insert(key, bytes(stream.randrange(120)))
            for key in others[:250]:
                await tree.delete(key)
            is_done = True

        async def look_up() -> int:
            rounds = 0
            while not is_done:
                assert await tree.get(stream.choice(staying)) == bytes(100)
                rounds += 1
            return rounds

        async def scan() -> int:
            rounds = 0
            while not is_done:
                found = [node.key async for node in tree.entries()]
                assert found == sorted(set(found))
                assert set(staying) <= set(found)
                last = await tree.last()
                assert last is not None
                assert last.key >= staying[-1]
                rounds += 1
            return rounds

        _, lookups, scans = await asyncio.gather(write(), look_up(), scan())
        assert lookups > 20
        assert scans > 5
        await assert_sound(tree, dict.fromkeys(staying, bytes(100)))

    run(main())


def test_a_scan_goes_on_where_its_page_was_split_or_removed() -> None:
    async def main() -> None:
        tree = await new_tree(2048)
        for number in range(0, 400, 2):
            await tree.insert(number_key(number), bytes(60))
        found: list[int] = []
        added: set[int] = set()
        async for nodes in tree.leaves():
            found += [int.from_bytes(node.key, "big") for node in nodes]
            at = found[-1]
            for number in range(max(1, at - 31) | 1, min(400, at + 30), 2):
                if number not in added:
                    added.add(number)
                    await tree.insert(number_key(number), bytes(60))
            for number in range(0, at - 40, 2):
                if await tree.get(number_key(number)) is not None:
                    await tree.delete(number_key(number))
        assert found == sorted(found)
        assert [number for number in found if number % 2 == 0] == list(range(0, 400, 2))

    run(main())


def test_a_reader_that_was_overtaken_starts_again() -> None:
    """The parent changes after the reader has chosen a child: the child may be another page by then."""

    async def main() -> None:
        class Overtaking(MemoryPages):
            hook: Tree | None = None

            async def read(self, page_number: int) -> Page:
                page = await super().read(page_number)
                tree = self.hook
                if tree is not None and page.is_leaf and page.objid == OBJID:
                    self.hook = None
                    for number in range(200, 400):
                        await tree.insert(number_key(number), bytes(60))
                return page

        pages = Overtaking(2048)
        tree = await new_tree(2048, pages=pages)
        for number in range(200):
            await tree.insert(number_key(number), bytes(60))
        pages.hook = tree
        last = await tree.last()
        assert last is not None
        assert last.key == number_key(399)

    run(main())


def test_every_structural_change_is_one_macro() -> None:
    async def main() -> None:
        class Watched(MemoryPages):
            depth = 0
            outside = 0

            @asynccontextmanager
            async def macro(self) -> AsyncIterator[None]:
                self.depth += 1
                yield
                self.depth -= 1

            async def apply(self, operation: PageOperation) -> Page:
                self.outside += self.depth == 0
                return await super().apply(operation)

        pages = Watched(2048)
        tree = await new_tree(2048, pages=pages)
        pages.outside = 0
        for number in range(300):
            await tree.insert(number_key(number), bytes(60))
        inserted_alone = pages.outside
        assert inserted_alone <= 300
        for number in range(300):
            await tree.delete(number_key(number))
        assert pages.outside - inserted_alone <= 300
        assert pages.depth == 0

    run(main())


# -- damage ---------------------------------------------------------------------------------------------------------------


async def two_leaves() -> tuple[Tree, list[int]]:
    """A tree of a root and its leaves, with the leaves' page numbers."""
    tree = await new_tree(2048)
    for number in range(50):
        await tree.insert(number_key(number), bytes(60))
    root = await tree.access.read(tree.root)
    return tree, [root.child(line) for line in range(root.line_count)]


def test_a_pointer_to_a_page_of_another_tree() -> None:
    async def main() -> None:
        tree, leaves = await two_leaves()
        await tree.access.apply(Format(leaves[0], 99, int(CURRENT_FORMAT | PageFlag.LEAF)))
        with pytest.raises(JetError, match="tree 77 leads to a page of tree 99") as caught:
            await tree.get(number_key(1))
        assert caught.value.code == JetCode.BadParentPageLink
        assert caught.value.page_number == leaves[0]

    run(main())


def test_a_cycle_of_pointers_ends() -> None:
    async def main() -> None:
        tree, leaves = await two_leaves()
        pointer = leaves[0].to_bytes(4, "little")
        await tree.access.apply(Format(leaves[0], OBJID, int(CURRENT_FORMAT)))
        await tree.access.apply(InsertNode(leaves[0], 0, 0, b"", pointer))
        with pytest.raises(JetError, match="tree 77 leads to a page of tree 77 with flags 0x2800"):
            await tree.get(number_key(1))

    run(main())


def test_a_sibling_that_is_no_leaf_of_the_tree() -> None:
    async def main() -> None:
        tree, leaves = await two_leaves()
        await tree.access.apply(SetLinks(leaves[0], 0, 4))
        with pytest.raises(JetError, match=rf"next of page {leaves[0]} is 4, no leaf of tree 77") as caught:
            _ = [node async for node in tree.entries()]
        assert caught.value.code == JetCode.BadPageLink

    run(main())


def test_leaves_that_go_round_end() -> None:
    async def main() -> None:
        tree, leaves = await two_leaves()
        await tree.access.apply(SetLinks(leaves[0], 0, leaves[0]))
        with pytest.raises(JetError, match="leaves of tree 77 go round") as caught:
            _ = [node async for node in tree.entries()]
        assert caught.value.code == JetCode.BadPageLink
        left = await tree.access.read(leaves[0])
        assert await tree.get(left.key(left.line_count - 1) + b"\0") is None

    run(main())


def test_an_entry_flagged_deleted_is_not_there() -> None:
    async def main() -> None:
        tree = await new_tree()
        await tree.access.apply(InsertNode(tree.root, 0, 0, b"a", b"1", 2))
        await tree.insert(b"b", b"2")
        assert await tree.get(b"a") is None
        assert [node async for node in tree.entries()] == [Node(b"b", b"2")]

    run(main())


def test_a_right_sibling_without_entries_ends_the_search() -> None:
    async def main() -> None:
        tree, leaves = await two_leaves()
        following = await tree.access.read(leaves[1])
        key = following.key(0)
        for _ in range(following.line_count):
            await tree.delete(following.key(0)) if following.line_count > 1 else None
        await tree.access.apply(Format(leaves[1], OBJID, int(CURRENT_FORMAT | PageFlag.LEAF)))
        left = await tree.access.read(leaves[0])
        assert await tree.get(left.key(left.line_count - 1) + b"\0") is None
        assert await tree.get(key) is None
        await tree.access.apply(SetFlags(leaves[1], int(CURRENT_FORMAT | PageFlag.LEAF)))

    run(main())


# -- layout ---------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_a_separator_is_the_shortest_that_separates(one: bytes, other: bytes) -> None:
    if one == other:
        return
    left, right = sorted((one, other))
    found = separator(left, right)

    assert left < found <= right
    assert all(not left < right[:size] <= right for size in range(len(found)))


def test_a_prefix_is_used_only_where_it_pays() -> None:
    few = [Node(b"abcd", b""), Node(b"abce", b"")]
    many = [Node(b"abcdefgh" + bytes((number,)), b"") for number in range(10)]

    assert lay_out(few).prefix == b""
    assert lay_out(many).prefix == b"abcdefgh"
    assert lay_out(many, may_compress=False).prefix == b""
    assert lay_out(few, prefix_before=b"abcdefgh").prefix == b""


def test_extents_know_their_last_page() -> None:
    assert Extent(5, 3).last == 7
