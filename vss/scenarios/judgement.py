"""Judging a scenario's run: by its own expectations, and by the invariants.

Each life of the machine is judged by what was recorded in it and what its requestors reported; a life that ended by a power cut
is judged as cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vss.errors import InvariantError
from vss.events import Record
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss.scenarios.outcome import ExpectationReport, FaultReport, Shortfall, StepOutcome
from vss.scenarios.power import PowerFailure
from vss.scenarios.scenario import Scenario
from vss.simulation.invariants import EndState, Evidence, Trial, check
from vss.simulation.invariants import Outcome as Reported

_GOOD = (ExitCode.OK, ExitCode.WARNINGS)
_REPORTING = ("backup", "restore", "verify")


@dataclass(frozen=True, slots=True)
class LifeEnd:
    """How one life of the machine ended.

    Attributes:
        first_record: how many records there were when it began.
        end_record: how many there were when it ended.
        end_ns: virtual instant.
        stall_ns: how late its timers may have fired.
        is_ended: the machine was shut down in order.
        killed: roles that died by a fault.
        left: what the machine had not given back when it was shut down; None where it was not, or not in order.
        seen: what else was taken down, as fields of ``Evidence``.
    """

    first_record: int
    end_record: int
    end_ns: int
    stall_ns: int
    is_ended: bool
    killed: tuple[str, ...] = ()
    left: EndState | None = None
    seen: Mapping[str, Any] = field(default_factory=dict)


def left_of(lab: Lab) -> EndState:
    """Look at a machine that was shut down. Tasks, timers and lost exceptions the loop reports itself."""
    coordinator = lab.coordinator
    return EndState(
        held_volumes=tuple(each.name for each in lab.volumes.values() if not each.is_lost and each.is_holding),
        locks=("the creation lock",) if coordinator.is_creating else (),
        sessions=tuple(f"session {number + 1}" for number in range(coordinator.open_session_count)),
        pending_calls=tuple(f"call {number + 1}" for number in range(coordinator.caller.left_behind_count)),
    )


def judge(
    lives: Sequence[LifeEnd], records: Sequence[Record], steps: Sequence[StepOutcome], trials: Sequence[Trial] = ()
) -> tuple[list[Shortfall], tuple[str, ...]]:
    """Return what is broken, and the ids of the invariants that could not be judged in any life.

    ``trials`` are those of the whole run; they are judged with its last life.
    """
    broken: list[Shortfall] = []
    unjudged: dict[str, int] = {}
    for life in lives:
        evidence = _evidence(life, records, steps)
        if life is lives[-1]:
            evidence = replace(evidence, trials=tuple(trials))
        verdict = check(evidence)
        broken += [
            Shortfall(
                kind="invariant",
                name=each.invariant_id,
                message=f"{each.evidence}; expected: {each.statement}",
                records=tuple(life.first_record + sequence - 1 for sequence in each.records if sequence > 0),
            )
            for each in verdict.broken
        ]
        for name in verdict.not_judged:
            unjudged[name] = unjudged.get(name, 0) + 1
    return broken, tuple(name for name, count in unjudged.items() if count == len(lives))


def _evidence(life: LifeEnd, records: Sequence[Record], steps: Sequence[StepOutcome]) -> Evidence:
    of_life = records[life.first_record : life.end_record]
    if life.first_record:  # the checker counts from 1
        of_life = [Record(number, each.instant_ns, each.event) for number, each in enumerate(of_life, 1)]
    return Evidence(
        records=of_life,
        end_ns=life.end_ns,
        stall_ns=life.stall_ns,
        is_ended=life.is_ended,
        killed=life.killed,
        end=life.left,
        outcomes=[
            _reported(each, life.first_record)
            for each in steps
            if each.kind in _REPORTING and life.first_record <= each.end_record <= life.end_record and each.error != "killed"
        ],
        **life.seen,
    )


def _reported(step: StepOutcome, first_record: int) -> Reported:
    data: dict[str, Any] = step.data if isinstance(step.data, dict) else {}
    return Reported(
        kind=step.kind,
        is_success=not step.error and step.exit_code in _GOOD,
        session_id=str(data.get("session_id", "")),
        snapshot_set_id=str(data.get("set_id", "")),
        warnings=tuple(str(each) for each in data.get("warnings", ())),
        is_verified=bool(data.get("is_verified", False)),
        error=step.message,
        hresult=step.hresult.partition(" ")[0],
        sequence=step.end_record - first_record,
    )


# -- what the scenario says ----------------------------------------------------------------------------------------------------


def spoken_of(scenario: Scenario) -> list[str]:
    """Return the steps of whose ending an expectation speaks."""
    return [each.step for each in scenario.expect if each.is_about_ending]


def unexpected_endings(scenario: Scenario, outcomes: Mapping[str, StepOutcome]) -> list[Shortfall]:
    """Return the steps that did not end well and of whose ending no expectation speaks."""
    spoken = spoken_of(scenario)
    return [
        Shortfall(
            kind="check" if each.error == InvariantError.__name__ else "expectation",
            name=each.step,
            message=f"step '{each.step}' ended with exit code {each.exit_code}{each.told}, expected 0",
            records=_last_record_of(each),
        )
        for each in outcomes.values()
        if each.step not in spoken and (each.exit_code or each.error)
    ]


def never_struck(scenario: Scenario, reports: Sequence[FaultReport], power: PowerFailure | None) -> list[Shortfall]:
    """Return what the scenario injects and the run never reached, unless the scenario lets it rest."""
    if scenario.lets_faults_rest:
        return []
    rested = [f"'{each.fault}' never struck" for each in reports[: len(scenario.faults)] if not each.strikes]
    if power is not None and power.text and not power.has_happened:
        rested.append(f"power never failed: the run did not reach '{power.text}'")
    return [Shortfall(kind="expectation", name="faults", message=each) for each in rested]


def judged_expectations(
    scenario: Scenario, outcomes: Mapping[str, StepOutcome], records: Sequence[Record]
) -> tuple[list[ExpectationReport], list[Shortfall]]:
    """Return every expectation, met or not, and what is not as it was expected."""
    reports: list[ExpectationReport] = []
    unmet: list[Shortfall] = []
    for each in scenario.expect:
        wrong = each.shortfalls(outcomes, records)
        because = f" ({each.because})" if each.because else ""
        outcome = outcomes.get(each.step)
        shown = () if outcome is None else _last_record_of(outcome)
        name = each.step or each.event
        unmet += [Shortfall(kind="expectation", name=name, message=message + because, records=shown) for message in wrong]
        reports.append(ExpectationReport(text=str(each), because=each.because, shortfalls=tuple(wrong)))
    return reports, unmet


def _last_record_of(outcome: StepOutcome) -> tuple[int, ...]:
    """The last record of a step; nothing where it recorded none."""
    return (outcome.end_record - 1,) if outcome.end_record > outcome.first_record else ()
