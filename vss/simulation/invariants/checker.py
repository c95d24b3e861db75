"""Judging a run: every invariant whose evidence is at hand, and a report that shows what broke it.

``check`` reads the records once and asks each judge; the verdict lists what was judged, what was not and why, and what is
broken. ``assert_invariants`` raises instead. A judge that itself fails is a broken run too: it is reported, never passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from vss.errors import InvariantError
from vss.events import Record
from vss.simulation.invariants import backup, content, freeze, sessions, store, whole_run  # noqa: F401 - they register
from vss.simulation.invariants.evidence import Evidence
from vss.simulation.invariants.history import History
from vss.simulation.invariants.judging import INVARIANTS, Case, Invariant, LacksEvidenceError, Violation

_BEFORE = 5
"""So many records are shown before the first one that shows a violation."""

_PER_INVARIANT = 20
"""So many violations of one invariant are told; one fault can break a statement once per block."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a check.

    Attributes:
        judged: ids of the invariants that were judged, in order.
        not_judged: id to the evidence that was missing.
        broken: every violation found.
    """

    judged: tuple[str, ...]
    not_judged: Mapping[str, str]
    broken: tuple[Violation, ...]

    @property
    def is_good(self) -> bool:
        """Whether nothing that was judged is broken."""
        return not self.broken

    @property
    def broken_ids(self) -> tuple[str, ...]:
        """Ids of the broken invariants, each once, in order."""
        return tuple(dict.fromkeys(each.invariant_id for each in self.broken))


def check(evidence: Evidence, only: Collection[str] | None = None) -> Verdict:
    """Judge ``evidence`` by every invariant, or by those whose ids are in ``only``."""
    case = Case(evidence, History(evidence.records))
    judged: list[str] = []
    not_judged: dict[str, str] = {}
    broken: list[Violation] = []
    for each in INVARIANTS.values():
        if only is not None and each.invariant_id not in only:
            continue
        found, lack = _judge(each, case)
        tried = [trial for trial in evidence.trials or () if trial.invariant_id == each.invariant_id]
        for trial in tried:
            found += [_violation(each, f"{trial.name}: {problem}") for problem in trial.problems]
        if lack and not found and not tried:
            not_judged[each.invariant_id] = lack
            continue
        judged.append(each.invariant_id)
        broken += found[:_PER_INVARIANT]
    return Verdict(tuple(judged), not_judged, tuple(broken))


def _judge(invariant: Invariant, case: Case) -> tuple[list[Violation], str]:
    """What breaks one invariant, and why it could not be judged (or not wholly)."""
    missing = invariant.missing(case.evidence)
    found: list[Violation] = []
    if missing:
        return found, missing
    try:
        for text, records in invariant.judge(case):
            found.append(_violation(invariant, text, records))
            if len(found) >= _PER_INVARIANT:
                break
    except LacksEvidenceError as lack:
        return found, str(lack)
    return found, ""


def _violation(invariant: Invariant, text: str, records: tuple[int, ...] = ()) -> Violation:
    return Violation(invariant.invariant_id, invariant.statement, text, records)


def assert_invariants(evidence: Evidence, only: Collection[str] | None = None) -> Verdict:
    """Do the same, and return the verdict only where nothing is broken.

    Raises:
        InvariantError: an invariant is broken; exit code 11.
    """
    verdict = check(evidence, only)
    if verdict.broken:
        raise InvariantError(report(verdict, evidence.records), hint="replay the run with the same seed and plan")
    return verdict


def report(verdict: Verdict, records: Sequence[Record]) -> str:
    """Return what is broken, one paragraph per violation, with the records that show it and five before the first of them."""
    lines = [f"{_counted(len(verdict.broken), 'invariant violation')}: {', '.join(verdict.broken_ids)}"]
    for each in verdict.broken:
        lines += [f"{each.invariant_id}: {each.evidence}", f"  expected: {each.statement}"]
        lines += [f"  {_line(record, each.records)}" for record in _shown(records, each.records)]
    return "\n".join(lines)


def _shown(records: Sequence[Record], named: tuple[int, ...]) -> list[Record]:
    known = [sequence for sequence in named if 0 < sequence <= len(records)]
    if not known:
        return []
    around = range(max(known[0] - _BEFORE, 1), known[0])
    return [records[sequence - 1] for sequence in sorted({*around, *known})]


def _line(record: Record, named: tuple[int, ...]) -> str:
    mark = ">" if record.sequence in named else " "
    fields = ", ".join(f"{name}={value!r}" for name, value in msgspec.structs.asdict(record.event).items() if value != "")
    return f"{mark} {record.sequence:5d} {record.instant_ns / 1e9:.6f} s  {type(record.event).__name__}({fields})"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
