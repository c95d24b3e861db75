"""Power fails in the middle of a step: nothing of the machine does anything afterwards, and it comes up again."""

from __future__ import annotations

import pytest

from vss.errors import ConfigurationError
from vss.events import BackupSetWritten
from vss.plugins import load
from vss.scenarios import Outcome, parse_scenario, run_scenario
from vss.scenarios.power import PowerFailure

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
@pytest.mark.parametrize("place", ["writer.freeze", "provider.commit", "volume.flush", "set.write when=nth:2", "set.rename"])
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


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("during=bakup set.write", "no step is called 'bakup'; did you mean 'backup'"),
        ("set.wrote", "did you mean 'set.write'"),
        ("set.write unsynced=gone", "unsynced: expected 'kept' or 'lost', found 'gone'"),
    ],
)
def test_a_place_that_means_nothing_is_refused(place: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        PowerFailure.parse(place, ["backup"])
