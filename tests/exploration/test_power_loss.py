"""Power loss at every place: which states are tried where, and bugs that only a subset or a torn write shows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import msgspec
import pytest

from vss.exploration.points import Point
from vss.exploration.power import STATES_MAX, Place, power_trials, survey
from vss.exploration.shrink import shrink
from vss.exploration.sweep import points_of, selected, sweep, trials
from vss.exploration.trials import Trial, TrialResult, replay_command
from vss.exploration.workers import Crew
from vss.plugins.registry import Registry
from vss.scenarios import parse_scenario
from vss.simulation.survivors import Survivors, UnsyncedEffect
from vss.volumes import journal
from vss.volumes.journal import Journal

WRITES = """
title = "Files are written and power fails"
[lab]
template = "small"
workloads = []
writers = []
volumes = [{ name = "D:", size = "2 MiB" }]
[[method]]
do = "write_file"
name = "one"
path = 'D:\\one.dat'
content = "one"
[[method]]
do = "write_file"
name = "two"
path = 'D:\\NAME\\NAME\\NAME\\two.dat'
content = "two"
[[method]]
do = "check"
""".replace("NAME", "three such names do not fit into one sector " * 5)


def place(nth: int, *numbers: int, sectors: int = 1) -> Place:
    effects = tuple(UnsyncedEffect(number, "D:", "a write", sectors) for number in numbers)
    return Place("backup", "store.write", (), nth, effects)


def forms(places: list[Place], **options: Any) -> list[list[str]]:
    points = [Point("backup", "store.write", (), len(places))]
    told = [trial.power_fails.split(" ") for _, _, trial in power_trials(points, places, 1, **options)]
    return [[words[-1].removeprefix("unsynced=") for words in group] for _, group in groupby(told, lambda words: words[:-1])]


def test_at_every_place_nothing_and_everything_survives_and_other_states_come_where_they_are_first_possible() -> None:
    assert forms([place(1), place(2, 1), place(3, 1, 2)]) == [["lost", "kept"], ["lost", "kept"], ["lost", "kept", "only:2"]]
    assert forms([place(1, 1, sectors=3)]) == [["lost", "kept", "kept+torn:head", "kept+torn:tail", "kept+torn:alternate"]]


def test_what_was_synced_meanwhile_makes_other_states() -> None:
    assert forms([place(1, 1, 2), place(2, 2), place(3, 2, 3)]) == [
        ["lost", "kept", "first:1", "only:2"],
        ["lost", "kept"],
        ["lost", "kept", "only:2"],
    ]


def test_of_many_states_a_seeded_few_are_tried_at_one_place() -> None:
    places = [place(1, *range(1, 20), sectors=4)]
    (tried,) = forms(places)
    assert len(tried) == 2 + STATES_MAX
    assert forms(places) == [tried]


def test_of_many_visits_a_part_is_taken_unless_all_are_asked_for() -> None:
    places = [place(nth) for nth in range(1, 101)]
    assert len(forms(places)) == 25
    assert len(forms(places, all_visits=True)) == 100


def test_the_survey_tells_what_is_unsynced_where_something_is_made_durable(registry: Registry) -> None:
    places = survey(parse_scenario(WRITES), registry)
    assert {each.step for each in places} == {"", "one", "two"}
    flushes = [each for each in places if (each.step, each.site) == ("one", "store.flush")]
    assert [[effect.medium for effect in each.unsynced] for each in flushes] == [["D:"]] * 3
    assert survey(parse_scenario(WRITES), registry) == places
    assert all(each.unsynced == tuple(sorted(each.unsynced)) for each in places)


# -- planted bugs --------------------------------------------------------------------------------------------------------------


def found_by(registry: Registry, step: str) -> tuple[list[Survivors], set[str]]:
    """Return the forms with which a planted bug was found, and what was found."""
    bad = violating(Crew(WRITES, "writes.toml", registry=registry, evidence="light"), step)
    told = [Survivors.parse(trial.power_fails.rpartition("unsynced=")[2]) for trial, _ in bad]
    return told, {violation.key for _, result in bad for violation in result.violations}


def violating(crew: Crew, step: str) -> list[tuple[Trial, TrialResult]]:
    points = selected(points_of(crew), [step], ["store.*"])
    return sweep(crew, "power-loss", points, trials("power-loss", points, crew))[1]


@pytest.fixture
def hasty_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is not flushed between the body and the superblock that points to it."""
    good = Journal._checkpoint

    def checkpoint(self: Journal, tree: Any) -> None:
        flush: Callable[[], None] = self._flush
        self._flush = lambda: None
        try:
            good(self, tree)
        finally:
            self._flush = flush

    monkeypatch.setattr(Journal, "_append", lambda self, changes: False)
    monkeypatch.setattr(Journal, "_checkpoint", checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["one", "two"])
def test_without_a_bug_every_state_is_come_back_from(registry: Registry, step: str) -> None:
    assert found_by(registry, step) == ([], set())


@pytest.mark.slow
@pytest.mark.usefixtures("hasty_checkpoint")
def test_a_checkpoint_that_takes_the_order_of_writes_for_granted_is_found_by_a_subset_only(registry: Registry) -> None:
    forms, found = found_by(registry, "two")
    assert found == {"run machine"}
    assert {each.way for each in forms} <= {"only", "without", "first", "sample"}
    assert any(each.way == "only" and not each.torn for each in forms)


@pytest.mark.slow
@pytest.mark.usefixtures("hasty_checkpoint")
def test_what_survives_is_made_plain_when_a_finding_shrinks(registry: Registry) -> None:
    crew = Crew(WRITES, "writes.toml", registry=registry, evidence="light")
    trial = next(trial for trial, _ in violating(crew, "two") if trial.power_fails.endswith("unsynced=only:2"))
    place = trial.power_fails.removesuffix("only:2")

    for form in ("only:2,7,9+torn:head", "without:1,8"):
        shrunk = shrink(crew.explorer, msgspec.structs.replace(trial, power_fails=place + form)).trial
        assert shrunk.power_fails in (f"{place}only:2", f"{place}without:1")
        assert replay_command(shrunk, "writes.toml").endswith(f"--power-fails '{shrunk.power_fails}'")


@pytest.mark.slow
def test_a_journal_that_takes_its_records_for_whole_is_found_by_a_torn_write_only(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vss.volumes.extent_layout.checksum", lambda data: 0)
    monkeypatch.setattr(journal, "checksum", lambda data: 0)
    forms, found = found_by(registry, "two")
    assert found == {"run machine"}
    assert forms
    assert all(each.torn for each in forms)
