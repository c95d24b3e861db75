"""Runs of clusters: a file's map and the free space, against plain sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vss.volumes.extents import ExtentMap, FreeSpace


def test_neighbours_that_continue_each_other_are_one_run() -> None:
    extents = ExtentMap()
    assert extents.insert(0, 100, 2)
    assert extents.insert(4, 104, 2)
    assert extents.insert(2, 102, 2)
    assert list(extents) == [(0, 100, 6)]
    assert extents.last_end == (6, 106)
    assert extents.cluster_count == 6


def test_neighbours_elsewhere_stay_apart() -> None:
    extents = ExtentMap()
    assert extents.insert(0, 100, 2)
    assert extents.insert(2, 200, 2)
    assert len(extents) == 2
    assert extents.contiguous(1, 2) == -1
    assert extents.contiguous(2, 3) == 200
    assert ExtentMap().last_end is None
    assert ExtentMap().contiguous(0, 0) == -1


def test_mapping_what_is_mapped_is_refused() -> None:
    extents = ExtentMap()
    assert extents.insert(2, 100, 2)
    for logical, count in ((2, 1), (3, 1), (1, 2), (0, 9), (5, 0), (-1, 1)):
        assert not extents.insert(logical, 500, count)
    assert list(extents) == [(2, 100, 2)]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=12),
    st.integers(0, 36),
    st.integers(0, 40),
    st.integers(1, 10),
)
def test_map_equals_a_dictionary(runs: list[tuple[int, int]], cut: int, first: int, count: int) -> None:
    extents, model = ExtentMap(), dict[int, int]()
    physical = 1000
    for logical, length in runs:
        is_free = not any(number in model for number in range(logical, logical + length))
        assert extents.insert(logical, physical, length) == is_free
        if is_free:
            model |= {logical + step: physical + step for step in range(length)}
        physical += length + logical % 2
    freed = extents.cut(cut)
    assert sorted(place for start, length in freed for place in range(start, start + length)) == sorted(
        place for number, place in model.items() if number >= cut
    )
    model = {number: place for number, place in model.items() if number < cut}
    assert extents.cluster_count == len(model)
    found = {}
    position = first
    for logical, place, length in extents.pieces(first, first + count):
        assert logical == position
        position += length
        if place >= 0:
            found |= {logical + step: place + step for step in range(length)}
    assert position == first + count
    assert found == {number: place for number, place in model.items() if first <= number < first + count}


def test_space_is_given_in_one_run_where_there_is_one() -> None:
    free = FreeSpace(10, 20)
    assert free.allocate(4) == [(10, 4)]
    assert free.allocate(2, goal=14) == [(14, 2)]
    free.release([(10, 4)])
    assert free.runs() == [(10, 4), (16, 4)]
    assert free.allocate(6) == [(10, 4), (16, 2)]
    assert free.allocate(3) == []
    assert free.free_count == 2


def test_the_longest_runs_come_first_when_none_is_long_enough() -> None:
    free = FreeSpace(0, 10)
    assert free.take(2, 1)
    assert free.take(9, 1)
    assert free.allocate(8) == [(3, 6), (0, 2)]


def test_taking_what_is_not_free_is_refused() -> None:
    free = FreeSpace(10, 20)
    assert free.take(12, 2)
    for start, count in ((12, 1), (11, 2), (9, 1), (19, 2), (15, 0)):
        assert not free.take(start, count)
    assert free.runs() == [(10, 2), (14, 6)]
    assert FreeSpace(5, 5).runs() == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(-1, 40)), max_size=40))
def test_free_space_equals_a_set(steps: list[tuple[bool, int, int]]) -> None:
    free, model, taken = FreeSpace(0, 40), set(range(40)), list[tuple[int, int]]()
    for is_allocation, count, goal in steps:
        if is_allocation:
            runs = free.allocate(count, goal=goal)
            assert bool(runs) == (count <= len(model))
            for start, length in runs:
                assert model.issuperset(range(start, start + length))
                model -= set(range(start, start + length))
            taken += runs
        elif taken:
            start, length = taken.pop(goal % len(taken))
            free.release([(start, length)])
            model |= set(range(start, start + length))
        assert free.free_count == len(model)
        assert {start + step for start, length in free.runs() for step in range(length)} == model
        assert all(a + b < c for (a, b), (c, _) in zip(free.runs(), free.runs()[1:], strict=False))
