"""Sorting by way of a file: everything comes back in order, memory stays within its budget, damage of the file is noticed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.writers.ese.store_kit import memory
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.external_sort import RUNS_MERGED, Entry, Sorter, SpillFile
from vss_writers.ese.memory_files import MemoryFileSystem

PATH = "D:\\temp.edb.sort"


async def sort(
    entries: Iterable[Entry], sort_bytes: int, files: MemoryFileSystem | None = None
) -> tuple[list[Entry], SpillFile]:
    async with SpillFile.begin(files or memory(), PATH, sort_bytes) as spill:
        sorter = Sorter(spill)
        for key, data in entries:
            await sorter.add(key, data)
        first = [entry async for entry in sorter.entries()]
        assert [entry async for entry in sorter.entries()] == first, "it can be read again"
        sorter.drop()
        assert spill.held == 0
        return first, spill


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40))), st.integers(1, 3000))
def test_everything_comes_back_in_order_whatever_the_memory(entries: list[Entry], sort_bytes: int) -> None:
    assert asyncio.run(sort(entries, sort_bytes))[0] == sorted(entries)


def drawn(count: int) -> list[Entry]:
    draw = random.Random(count)
    return [(draw.randbytes(8), draw.randbytes(24)) for _ in range(count)]


def test_memory_does_not_grow_with_the_entries() -> None:
    """There is memory for 100 of them, and a block of 150 bytes of each run that is read: 4 entries."""
    entry_bytes = 8 + 24 + 160
    for count, runs in ((1_600, RUNS_MERGED), (16_000, 2 * RUNS_MERGED)):
        entries = drawn(count)
        found, spill = asyncio.run(sort(entries, 100 * entry_bytes))
        assert found == sorted(entries)
        assert spill.size_bytes_max > count * 32
        assert 101 < spill.held_max <= 101 + 4 * runs


def test_what_fits_in_memory_makes_no_file() -> None:
    files = memory()
    found, spill = asyncio.run(sort(drawn(100), 1 << 20, files))
    assert len(found) == 100
    assert (spill.size_bytes_max, files.paths()) == (0, [])


def test_an_entry_larger_than_a_block_is_kept() -> None:
    entries = [(b"b", bytes(5000)), (b"a", b"\1" * 3000)]
    assert asyncio.run(sort(entries, 1))[0] == sorted(entries)


def test_the_file_is_removed_and_never_replaces_another() -> None:
    files = memory()
    files.write(PATH, b"somebody's")

    async def taken() -> None:
        async with SpillFile.begin(files, PATH):
            raise AssertionError("begun")

    with pytest.raises(JetError, match="no file expected") as caught:
        asyncio.run(taken())
    assert (caught.value.code, caught.value.path) == (JetCode.DatabaseDuplicate, PATH)
    assert files.read(PATH) == b"somebody's"
    files.delete(PATH)

    async def fails() -> None:
        async with SpillFile.begin(files, PATH, 1) as spill:
            await spill.append(b"x")
            raise ValueError("no reason")

    with pytest.raises(ValueError, match="no reason"):
        asyncio.run(fails())
    assert files.paths() == []


def test_released_room_is_used_again() -> None:
    async def main() -> None:
        files = memory()
        async with SpillFile.begin(files, PATH, 1) as spill:
            sorter = Sorter(spill)
            await sorter.add(b"a", b"1")
            mark = spill.size_bytes
            other = Sorter(spill)
            await other.add(b"b", bytes(1000))
            await spill.release(mark)
            assert (spill.size_bytes, len(files.read(PATH))) == (mark, mark)
            await spill.release(mark + 1)
            assert spill.size_bytes == mark
            assert [entry async for entry in sorter.entries()] == [(b"a", b"1")]

    asyncio.run(main())


@pytest.mark.parametrize("damage", ["a bit of the entries", "a bit of the length", "the end is gone", "everything is gone"])
def test_damage_of_the_file_is_noticed(damage: str) -> None:
    async def main() -> None:
        files = memory()
        async with SpillFile.begin(files, PATH, 1) as spill:
            sorter = Sorter(spill)
            await sorter.add(b"key", b"data")
            if damage.startswith("a bit"):
                files.flip(PATH, 17 if damage.endswith("entries") else 0)
            else:
                file = await files.open(PATH, write=True)
                await file.truncate(spill.size_bytes - 1 if damage.startswith("the end") else 0)
            with pytest.raises(JetError, match="expected") as caught:
                [entry async for entry in sorter.entries()]
            assert (caught.value.code, caught.value.path, caught.value.offset) == (JetCode.DiskIO, PATH, 0)

    asyncio.run(main())
