"""A scenario runs its method on one machine, over restarts, and is judged by what it expects."""

from __future__ import annotations

import pytest

from vss.errors import ConfigurationError
from vss.plugins import load
from vss.scenarios import Outcome, parse_scenario, run_scenario

SLOW_COMMIT = """
title = "The provider takes 15 s to commit"
[lab]
template = "small"
[[method]]
do = "backup"
name = "slow"
under_load = true
[[method]]
do = "backup"
name = "retry"
[[method]]
do = "power_cut"
[[method]]
do = "delete_file"
path = "*boxes.dat"
[[method]]
do = "restore"
of = "retry"
[[method]]
do = "check"
[[faults]]
fault = "provider.commit delay=15s"
during = "slow"
"""
EXPECTED = """
[[expect]]
step = "slow"
exit_code = 5
[[expect]]
step = "slow"
event = "HoldLost"
"""


def outcome_of(text: str, seed: int | None = None) -> Outcome:
    return run_scenario(parse_scenario(text), load().registry, seed=seed)


def test_a_fault_strikes_only_during_its_step_and_the_machine_survives_a_power_cut() -> None:
    outcome = outcome_of(SLOW_COMMIT + EXPECTED)

    assert outcome.shortfalls == ()
    assert [each.exit_code for each in outcome.steps] == [5, 0, 0, 0, 0, 0]
    assert outcome.faults[0].strikes == 1


def test_a_step_that_fails_without_being_expected_to_is_a_shortfall() -> None:
    outcome = outcome_of(SLOW_COMMIT)

    assert [each.name for each in outcome.shortfalls] == ["slow"]
    assert "exit code 5" in outcome.shortfalls[0].message


def test_an_event_that_does_not_come_is_a_shortfall() -> None:
    outcome = outcome_of(SLOW_COMMIT + EXPECTED + '[[expect]]\nevent = "VolumeLost"\n')

    assert [each.message for each in outcome.shortfalls] == ["expected >=1 events VolumeLost, found 0"]


def test_the_same_seed_gives_the_same_records_and_another_seed_others() -> None:
    first, again, other = outcome_of(SLOW_COMMIT, 3), outcome_of(SLOW_COMMIT, 3), outcome_of(SLOW_COMMIT, 4)

    assert first.digest == again.digest != other.digest


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('[[expect]]\nstep = "slov"\nexit_code = 5', "did you mean 'slow'"),
        ('[[expect]]\nevent = "HoldLots"', "did you mean 'HoldLost'"),
        ('[[expect]]\nevent = "HoldLost"\nwhere = { volum = "D:" }', "did you mean 'volume'"),
        ('[[faults]]\nfault = "provider.comit hang"', "did you mean 'provider.commit'"),
        ('[[faults]]\nfault = "provider.commit hang"\nduring = "nowhere"', "no step is called 'nowhere'"),
    ],
)
def test_what_can_never_be_is_refused_with_the_nearest_word(wrong: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse_scenario(SLOW_COMMIT + wrong)
