"""Allocation of blocks behind a volume."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss.errors import VolumeFullError
from vss.volumes.block_store import MemoryStore
from vss_providers.on_disk.layout import BLOCK_SIZE
from vss_providers.space import DiffSpace, MaximumReachedError, area_start

START = 4 * BLOCK_SIZE


def space(image_blocks: int = 4, **options: int) -> DiffSpace:
    return DiffSpace(MemoryStore(image_blocks * BLOCK_SIZE), START, growth_bytes=4 * BLOCK_SIZE, **options)


def test_the_area_starts_at_a_whole_block_behind_the_volume() -> None:
    assert [area_start(size) for size in (BLOCK_SIZE, BLOCK_SIZE + 512)] == [BLOCK_SIZE, 2 * BLOCK_SIZE]


def test_the_image_grows_in_steps() -> None:
    area = space()

    assert area.allocate(BLOCK_SIZE) == START
    assert area.allocated_bytes == 4 * BLOCK_SIZE
    assert area.free_bytes == 3 * BLOCK_SIZE
    assert area.allocate(6 * BLOCK_SIZE) == START + BLOCK_SIZE
    assert area.allocated_bytes == 8 * BLOCK_SIZE


def test_an_image_that_ends_inside_a_block_is_used_up_to_there_only() -> None:
    area = DiffSpace(MemoryStore(START + BLOCK_SIZE + 512), START)

    assert area.allocated_bytes == BLOCK_SIZE


def test_freed_blocks_are_used_again_first() -> None:
    area = space()
    offsets = [area.allocate(BLOCK_SIZE) for _ in range(4)]

    area.free_blocks([offsets[2], offsets[1], offsets[1]])

    assert area.allocate(2 * BLOCK_SIZE) == offsets[1]
    assert area.allocated_bytes == 4 * BLOCK_SIZE


def test_an_extent_is_what_the_first_free_run_has() -> None:
    area = space()
    offsets = [area.allocate(BLOCK_SIZE) for _ in range(3)]
    area.free(offsets[0], BLOCK_SIZE)

    assert area.allocate_extent(8 * BLOCK_SIZE) == (offsets[0], BLOCK_SIZE)
    assert area.allocate_extent(8 * BLOCK_SIZE) == (offsets[2] + BLOCK_SIZE, BLOCK_SIZE)
    assert area.allocate_extent(2 * BLOCK_SIZE) == (START + 4 * BLOCK_SIZE, 2 * BLOCK_SIZE)


def test_used_blocks_are_not_free() -> None:
    area = space(8)

    area.set_used([START, START + 2 * BLOCK_SIZE, START])

    assert area.free_bytes == 2 * BLOCK_SIZE
    assert area.allocate(BLOCK_SIZE) == START + BLOCK_SIZE


def test_the_maximum_is_kept_and_reached_exactly() -> None:
    area = space(maximum_size=6 * BLOCK_SIZE)
    area.allocate(4 * BLOCK_SIZE)

    with pytest.raises(MaximumReachedError, match="its maximum is 98304"):
        area.allocate(3 * BLOCK_SIZE)
    assert area.allocate(2 * BLOCK_SIZE) == START + 4 * BLOCK_SIZE
    with pytest.raises(VolumeFullError):
        area.allocate_extent(BLOCK_SIZE)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), max_size=30))
def test_no_block_is_handed_out_twice(steps: list[tuple[bool, int]]) -> None:
    area = space()
    held: dict[int, int] = {}
    for wants, count in steps:
        if wants or not held:
            at = area.allocate(count * BLOCK_SIZE)
            end = at + count * BLOCK_SIZE
            assert not any(at < other + length and other < end for other, length in held.items())
            held[at] = end - at
        else:
            at = sorted(held)[count % len(held)]
            area.free(at, held.pop(at))
    assert area.free_bytes == area.allocated_bytes - sum(held.values())
