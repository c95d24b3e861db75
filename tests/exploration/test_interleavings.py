"""The search tries every order: a bug that only one of many orders shows is found, and a good window has none."""

from __future__ import annotations

import pytest

from vss.errors import ConfigurationError
from vss.exploration.interleavings import freeze_to_thaw, near_fifo, writers_scenario
from vss.exploration.workers import Crew
from vss.plugins.registry import Registry
from vss.scenarios import parse_scenario


def test_two_writers_through_freeze_and_thaw_in_every_order(registry: Registry) -> None:
    search = freeze_to_thaw(2, registry)

    assert (search.findings, search.is_complete) == ((), True)
    assert search.pruned < search.runs <= 20


def test_leaving_states_that_were_seen_loses_none(registry: Registry) -> None:
    pruning, plain = freeze_to_thaw(2, registry), freeze_to_thaw(2, registry, prunes=False)

    assert plain.states == pruning.states
    assert plain.runs > pruning.runs
    assert plain.pruned == 0


@pytest.mark.slow
def test_four_writers_through_freeze_and_thaw_in_every_order(registry: Registry) -> None:
    counts = [freeze_to_thaw(writers, registry) for writers in (1, 2, 3, 4)]

    assert [(each.findings, each.is_complete) for each in counts] == [((), True)] * 4
    states = [each.states for each in counts]
    assert states == sorted(states)
    assert states[3] >= 20


def test_a_race_is_found_with_one_deviation(racy: Crew) -> None:
    search = near_fifo(racy.explorer.scenario, racy.registry, deviations=1)

    assert search.is_complete
    assert [each.violation.key for each in search.findings] == ["recovery backup"]
    trial = search.findings[0].trial
    assert [each for each in trial.choices.split(",") if each != "0"] == ["1"]
    assert [each.key for each in racy.explorer.run(trial).violations] == ["recovery backup"]


def test_no_deviation_is_the_stock_order_only(racy: Crew) -> None:
    search = near_fifo(racy.explorer.scenario, racy.registry, deviations=0)

    assert (search.runs, search.findings, search.is_complete) == (1, (), True)


def test_a_bound_on_runs_says_that_something_is_left(registry: Registry) -> None:
    assert not freeze_to_thaw(3, registry, max_runs=2).is_complete


def test_a_number_of_writers_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected 1 to 5, found 9"):
        writers_scenario(9)
    assert len(parse_scenario(writers_scenario(5)).lab.writers) == 5
