"""Choice sources: streams, recordings, searches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vss.ports import Ports
from vss.simulation import (
    FifoChoices,
    PctChoices,
    PrefixChoices,
    RecordedChoices,
    ReplayChoices,
    ReplayError,
    SeededChoices,
    depth_first,
    run,
)
from vss.simulation.choices import ChoiceSource, derived_seed


@pytest.mark.parametrize("make", [lambda: SeededChoices(5), lambda: PctChoices(5, depth=4, expected_picks=30), FifoChoices])
def test_a_source_gives_the_same_answers_again(make: type[ChoiceSource]) -> None:
    def answers() -> list[int]:
        source = make()
        return [source.pick([1, 2, 3]) for _ in range(50)] + [source.draw(1000) for _ in range(50)]

    assert answers() == answers()


@given(seed=st.integers(), depth=st.integers(1, 6), keys=st.lists(st.integers(0, 9), min_size=2, max_size=9, unique=True))
def test_answers_are_in_range(seed: int, depth: int, keys: list[int]) -> None:
    for source in (SeededChoices(seed), PctChoices(seed, depth=depth, expected_picks=20)):
        for _ in range(25):
            assert 0 <= source.pick(keys) < len(keys)
            assert 0 <= source.draw(7) < 7


def test_pct_runs_the_task_of_highest_priority_until_a_change_point() -> None:
    picks = [PctChoices(seed, depth=2, expected_picks=10) for seed in range(20)]
    runs = [[source.pick([1, 2, 3]) for _ in range(10)] for source in picks]
    assert all(sum(before != after for before, after in pairwise(run)) <= 1 for run in runs)
    assert len({run[0] for run in runs}) == 3
    steady = PctChoices(1, depth=1)
    assert len({steady.pick([4, 5, 6]) for _ in range(2000)}) == 1


def test_derived_seeds_depend_on_seed_and_name_only() -> None:
    assert derived_seed(1, "ids") == derived_seed(1, "ids")
    assert len({derived_seed(seed, name) for seed in range(3) for name in ("ids", "faults", "workload")}) == 9


def test_a_replay_goes_on_with_zeros() -> None:
    replay = ReplayChoices([1, 2])
    assert [replay.pick([1, 2]), replay.draw(3), replay.pick([1, 2]), replay.draw(9)] == [1, 2, 0, 0]


def test_a_replay_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ReplayError, match="recorded choice 0 is 5, the run offers 2 options"):
        ReplayChoices([5]).pick([1, 2])


def test_a_recording_keeps_picks_and_draws() -> None:
    recorded = RecordedChoices(SeededChoices(2))
    given_answers = [recorded.pick([1, 2, 3]), recorded.draw(10)]
    assert recorded.answers == given_answers


def test_depth_first_search_enumerates_every_combination() -> None:
    seen = []
    for source in depth_first():
        first = source.draw(2)
        seen.append((first, source.pick([1, 2, 3]) if first else source.draw(2)))
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]


def test_depth_first_search_can_be_bound() -> None:
    assert [(source.draw(2), source.draw(2)) for source in depth_first(max_depth=1)] == [(0, 0), (1, 0)]
    assert [(source.draw(2), source.draw(2)) for source in depth_first(max_runs=3)] == [(0, 0), (0, 1), (1, 0)]


def test_a_leaf_without_alternatives_is_the_last() -> None:
    source = PrefixChoices((1,))
    source.draw(2)
    assert source.next_prefix() is None
    assert source.next_prefix(max_depth=0) is None


class HypothesisChoices:
    """Lets Hypothesis answer the loop's questions, so that a failing schedule is shrunk like any other example."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def pick(self, keys: Sequence[int]) -> int:
        return self.draw(len(keys))

    def draw(self, bound: int) -> int:
        return self._data.draw(st.integers(0, bound - 1))


async def _race(ports: Ports, *, locks: bool) -> int:
    """Two tasks add to one number, each in two steps."""
    total, lock = 0, asyncio.Lock()

    async def add() -> None:
        nonlocal total
        async with lock if locks else contextlib.nullcontext():
            seen = total
            await asyncio.sleep(0)
            total = seen + 1

    async with asyncio.TaskGroup() as group:
        group.create_task(add())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        group.create_task(add())
    return total


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_hypothesis_can_choose_the_schedule(data: st.DataObject) -> None:
    assert run(lambda ports: _race(ports, locks=True), choices=HypothesisChoices(data)) == 2


def test_hypothesis_finds_a_race_and_shrinks_it_to_few_choices() -> None:
    answers: list[int] = []

    @settings(max_examples=200, deadline=None, database=None, report_multiple_bugs=False, derandomize=True)
    @given(st.data())
    def find(data: st.DataObject) -> None:
        source = RecordedChoices(HypothesisChoices(data))
        total = run(lambda ports: _race(ports, locks=False), choices=source)
        if total != 2:
            answers[:] = source.answers
        assert total == 2

    with pytest.raises(AssertionError):
        find()
    assert run(lambda ports: _race(ports, locks=False), choices=ReplayChoices(answers)) == 1
    assert sum(1 for answer in answers if answer) <= 2
