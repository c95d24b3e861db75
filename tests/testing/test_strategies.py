"""Hypothesis strategies: what they generate is valid, runs, and shrinks to little."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, find, given, settings

from vss.errors import ConfigurationError
from vss.simulation.fault_grammar import parse_fault
from vss.testing import Scene, Simulator
from vss.testing.strategies import Schedule, WrappedChoices, plans, schedules

QUICK = settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


async def backup(scene: Scene) -> None:
    await scene.backup()


@QUICK
@given(plan=plans(sites=["*"], effects=["fail", "hang", "delay", "crash", "torn"]))
def test_every_plan_can_be_parsed(plan: list[str]) -> None:
    for fault in plan:
        parse_fault(fault)


@QUICK
@given(plan=plans(effects=("fail", "raise", "delay", "hang")), schedule=schedules())
def test_the_invariants_hold_whatever_fails_in_whatever_order(plan: list[str], schedule: Schedule) -> None:
    Simulator().run(backup, faults=plan, choices=schedule.choices())


def test_a_plan_shrinks_to_the_one_fault_that_matters() -> None:
    def spoils(plan: list[str]) -> bool:
        run = Simulator().run(backup, faults=plan, check_invariants=False)
        return run.error is not None and any(fault.startswith("fault provider.commit") for fault in run.fired)

    plan = find(plans(effects=("fail",)), spoils, settings=settings(max_examples=3000, database=None, deadline=None))

    assert len(plan) == 1
    assert plan[0].startswith("provider.commit ")


def test_no_site_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="no site fits"):
        plans(sites="nobody.nowhere")


def test_schedules_make_their_sources() -> None:
    assert Schedule().choices() is None
    kinds = {type(Schedule(kind, 1, (1, 2)).choices()).__name__ for kind in ("answers", "seeded", "pct")}

    assert kinds == {"WrappedChoices", "SeededChoices", "PctChoices"}


def test_wrapped_answers_always_fit() -> None:
    choices = WrappedChoices([7, 9])

    assert choices.pick([1, 2, 3]) == 1
    assert choices.draw(4) == 1
    assert choices.pick([1, 2]) == 0
