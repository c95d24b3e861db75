"""Runs that end badly are outcomes too; a role's death, a deadlock and a machine that does not boot are told."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

from vss.errors import NotFoundError, UnsupportedError
from vss.events import WriterFroze
from vss.plugins import load
from vss.plugins.registry import Registry
from vss.scenarios import Outcome, parse_scenario, run_scenario
from vss.scenarios.machine_steps import JumpClock
from vss.scenarios.step import Step

HEAD = 'title = "x"\n[lab]\ntemplate = "small"\n'
BACKUP = '[[method]]\ndo = "backup"\nname = "b"\n'


@cache
def registry() -> Registry:
    return load().registry


def run(text: str, **options: Any) -> Outcome:
    return run_scenario(parse_scenario(text), registry(), **options)


def test_a_bound_on_steps_ends_the_run_and_is_a_violation() -> None:
    outcome = run(HEAD + BACKUP, max_steps=100)

    assert [(each.kind, each.name) for each in outcome.violations()] == [("run", "LivelockError")]
    assert "b" not in [each.step for each in outcome.steps]


def test_a_bound_on_virtual_time_ends_the_run() -> None:
    outcome = run(HEAD + '[[method]]\ndo = "sleep"\nduration = "2h"\n', max_virtual_s=3600)

    assert [each.name for each in outcome.violations()] == ["VirtualTimeError"]


def test_a_requestor_that_is_killed_is_an_outcome_and_the_method_goes_on() -> None:
    outcome = run(HEAD + BACKUP + '[[method]]\ndo = "check"\n[[faults]]\nfault = "requestor.copy crash"\n')

    assert (outcome.step("b").error, outcome.step("b").exit_code) == ("killed", 1)
    assert outcome.step("check").exit_code == 0


def test_a_machine_that_does_not_go_down_in_order_is_told() -> None:
    outcome = run(HEAD + BACKUP + '[[faults]]\nfault = "store.flush times=always fail code=EIO"\n')

    assert ("run", "machine") in [(each.kind, each.name) for each in outcome.shortfalls]


def test_a_cancelled_step_is_told_as_such() -> None:
    outcome = run(HEAD + BACKUP + '[[faults]]\nfault = "requestor.copy cancel"\n')

    assert outcome.step("b").error == "CancelledError"


def test_a_lab_of_an_unknown_kind_is_the_callers_mistake() -> None:
    with pytest.raises(NotFoundError):
        run('title = "x"\n[lab]\nvolumes = [{ name = "D:", size = "2 MiB" }]\nproviders = [{ kind = "magic" }]\n' + BACKUP)


def test_outcomes_are_found_by_name() -> None:
    outcome = run(HEAD + BACKUP)

    assert outcome.step("b").kind == "backup"
    assert any(isinstance(each.event, WriterFroze) for each in outcome.step("b").records_of(outcome.records))
    with pytest.raises(KeyError):
        outcome.step("c")


def test_a_backup_step_takes_its_provider_by_kind_and_a_broken_chain_is_told() -> None:
    outcome = run(
        HEAD
        + 'providers = [{ kind = "copy-on-write" }, { kind = "clone" }]\n'
        + BACKUP
        + 'provider = "clone"\n[[method]]\ndo = "restore"\nof = "b"\n'
        + '[[method]]\ndo = "flip_bit"\npath = "*boxes.dat"\n'
        + '[[method]]\ndo = "verify"\nname = "no set"\nof = "flip_bit"\n[[expect]]\nstep = "no set"\nexit_code = 10\n'
        + '[[expect]]\nevent = "VolumeAddedToSet"\nwhere = { provider = "*lone*" }\n'
    )

    assert outcome.ok, outcome.shortfalls


def test_a_call_that_is_a_table_or_a_name_and_its_session_may_query_and_complete_nothing() -> None:
    calls = '["initialize_for_backup", { call = "set_context", context = "ALL" }, "query", "release"]'
    outcome = run(HEAD + f'[[method]]\ndo = "session"\ncalls = {calls}\n')

    assert outcome.step("session").data["calls"][2]["value"] == 0


def test_a_clock_that_is_no_simulated_one_does_not_jump() -> None:
    stage: Any = SimpleNamespace(lab=SimpleNamespace(ports=SimpleNamespace(clock=object())))

    with pytest.raises(UnsupportedError):
        JumpClock(by="+1s").run(stage).send(None)


def test_a_step_of_no_kind_does_nothing_that_could_be_run() -> None:
    with pytest.raises(NotImplementedError):
        Step().run(None).send(None)  # type: ignore[arg-type]
    Step().check([], "")


def test_the_same_faults_strike_over_a_restart_and_are_counted_once() -> None:
    outcome = run(
        HEAD
        + '[[method]]\ndo = "restart"\n'
        + BACKUP
        + '[[faults]]\nfault = "writer.prepare_snapshot when=writer:Mail fail"\n[[expect]]\nstep = "b"\nexit_code = 3\n'
    )

    assert outcome.ok, outcome.shortfalls
    assert outcome.faults[0].strikes == 1


def test_every_visit_of_a_site_is_shown_to_who_watches() -> None:
    seen: list[tuple[str, str]] = []
    run(HEAD + BACKUP, watch=lambda step, site, selectors: seen.append((step, site)))

    assert ("b", "writer.freeze") in seen
    assert ("b", "requestor.copy") in seen


def test_what_the_application_cannot_do_for_want_of_one_is_refused() -> None:
    small = 'title = "x"\n[lab]\nvolumes = [{ name = "D:", size = "2 MiB" }]\n[[method]]\ndo = "status"\n'

    assert run(small).step("status").data["writers"] == {}
