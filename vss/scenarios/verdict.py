"""The outcome of a run that is over: its expectations, what it never reached, what its steps prove, the invariants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vss.events import Record
from vss.plugins.hosts import Workload, is_durable
from vss.scenarios.judgement import LifeEnd, judge, judged_expectations, never_struck, spoken_of, unexpected_endings
from vss.scenarios.outcome import FaultReport, Outcome, Shortfall, StepOutcome, digest_of
from vss.scenarios.power import PowerFailure
from vss.scenarios.relations import Relations
from vss.scenarios.scenario import Scenario


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What there is when the last life of the machine is over.

    Attributes:
        scenario: what was run.
        seed: of which run.
        outcomes: every step that began, in order.
        faults: the plan, with strikes.
        records: everything recorded.
        lives: how each life ended.
        shortfalls: what was found wrong on the way.
        workloads: of the last life, by name.
        refused: what changed around each restore that failed.
        power: the failure of power that was injected.
        virtual_ns: how long it took in virtual time.
        loop_steps: steps of the loop.
    """

    scenario: Scenario
    seed: int
    outcomes: Mapping[str, StepOutcome]
    faults: tuple[FaultReport, ...]
    records: tuple[Record, ...]
    lives: Sequence[LifeEnd]
    shortfalls: Sequence[Shortfall]
    workloads: Mapping[str, Workload]
    refused: Mapping[str, Sequence[str]]
    power: PowerFailure | None
    virtual_ns: int
    loop_steps: int


def outcome_of(end: RunEnd) -> Outcome:
    """Judge a run."""
    steps = tuple(end.outcomes.values())
    expected, unmet = judged_expectations(end.scenario, end.outcomes, end.records)
    relations = Relations(
        steps,
        end.records,
        spoken_of=spoken_of(end.scenario),
        cuts=[life.end_record for life in end.lives[:-1] if not life.is_ended],
        durable=[name for name, each in end.workloads.items() if is_durable(each)],
        refused=end.refused,
    )
    broken, not_judged = judge(end.lives, end.records, steps, tuple(relations.trials()))
    return Outcome(
        title=end.scenario.title,
        seed=end.seed,
        steps=steps,
        faults=end.faults,
        shortfalls=(
            *end.shortfalls,
            *unexpected_endings(end.scenario, end.outcomes),
            *unmet,
            *never_struck(end.scenario, end.faults, end.power),
            *broken,
        ),
        not_judged=not_judged,
        records=end.records,
        virtual_ns=end.virtual_ns,
        loop_steps=end.loop_steps,
        digest=digest_of(end.records),
        expected=tuple(expected),
    )
