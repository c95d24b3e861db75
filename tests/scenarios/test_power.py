"""Power fails in the middle of a step: nothing of the machine does anything afterwards, and it comes up again."""

from __future__ import annotations

from pathlib import Path

import pytest

from vss.errors import ConfigurationError
from vss.events import BackupSetWritten
from vss.plugins import load
from vss.scenarios import Outcome, parse_scenario, run_scenario
from vss.scenarios.media import TOLD_MAX, Media
from vss.scenarios.power import PowerFailure
from vss.scenarios.report import report
from vss.simulation.survivors import Survivors

TEXT = """
title = "Power fails"
lets_faults_rest = true
[lab]
template = "small"
[[method]]
do = "backup"
name = "backup"
under_load = true
[[method]]
do = "backup"
name = "fresh"
[[method]]
do = "check"
"""


def outcome_of(place: str) -> Outcome:
    scenario = parse_scenario(TEXT)
    power = PowerFailure.parse(place, [step.name for step in scenario.method])
    return run_scenario(scenario, load().registry, power=power)


@pytest.mark.parametrize("unsynced", ["lost", "kept"])
@pytest.mark.parametrize("place", ["writer.freeze", "provider.commit", "store.write when=nth:3", "set.write", "set.rename"])
def test_the_step_ends_there_and_the_machine_comes_up_again(place: str, unsynced: str) -> None:
    outcome = outcome_of(f"during=backup {place} unsynced={unsynced}")

    assert [(each.step, each.error, each.exit_code) for each in outcome.steps] == [
        ("backup", "killed", 1), ("fresh", "", 0), ("check", "", 0),
    ]  # fmt: skip
    assert outcome.steps[0].message == "power failed"
    assert outcome.steps[1].began_ns - outcome.steps[0].ended_ns >= 60 * 10**9
    assert outcome.violations() == ()
    sets = [
        each.event.state for each in outcome.steps[0].records_of(outcome.records) if isinstance(each.event, BackupSetWritten)
    ]
    assert "complete" not in sets


def test_power_that_fails_nowhere_changes_nothing() -> None:
    outcome = outcome_of("during=backup writer.freeze when=nth:99")

    assert [each.exit_code for each in outcome.steps] == [0, 0, 0]
    assert outcome.shortfalls == ()


def test_power_that_should_have_failed_and_did_not_is_told() -> None:
    text = TEXT.replace("lets_faults_rest = true", "")
    power = PowerFailure.parse("set.rename when=nth:999", ["backup"])
    outcome = run_scenario(parse_scenario(text), load().registry, power=power)

    assert [each.message for each in outcome.shortfalls] == [
        "power never failed: the run did not reach 'set.rename when=nth:999'"
    ]
    assert outcome.violations() == ()


def test_the_step_tells_what_was_unsynced_and_what_became_of_it() -> None:
    outcome = outcome_of("during=backup set.sync unsynced=only:2,3+torn:head")
    told = outcome.steps[0].data["unsynced"]

    assert [each.split(" ", 3)[:2] for each in told[:3]] == [["1", "lost"], ["2", "kept"], ["3", "torn"]]
    assert {each.split(" ")[1] for each in told[3:]} == {"lost"}
    assert any(" host: " in each for each in told)
    assert "unsynced 3 torn " in report(outcome, "")


def test_of_many_unsynced_effects_the_first_are_told() -> None:
    media = Media(may_lose=True, moment=None)
    media.files.make_directory(Path("/set"))
    for number in range(TOLD_MAX + 3):
        media.files.open(Path(f"/set/{number}"), create=True).close()

    told = media.cut_power(Survivors("kept"))["unsynced"]
    assert len(told) == TOLD_MAX + 1
    assert told[-1] == "and 4 more"
    assert media.unsynced() == []


def test_files_of_the_host_that_nobody_synced_are_lost_with_the_power_and_disks_that_cannot_lose_record_nothing() -> None:
    for may_lose, left in ((True, []), (False, ["set"])):
        media = Media(may_lose=may_lose, moment=None)
        before = media.files
        before.make_directory(Path("/set"))
        media.cut_power(Survivors("lost"))
        assert media.files.list_directory(Path("/")) == left
        before.make_directory(Path("/late"))
        assert media.files.list_directory(Path("/")) == left, "what still runs writes to nobody"
    assert media.unsynced() == []


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("during=bakup set.write", "no step is called 'bakup'; did you mean 'backup'"),
        ("set.wrote", "did you mean 'set.write'"),
        ("set.write unsynced=lots", "unsynced: expected lost, kept, first:N, .* found 'lots'; did you mean 'lost'"),
    ],
)
def test_a_place_that_means_nothing_is_refused(place: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        PowerFailure.parse(place, ["backup"])
