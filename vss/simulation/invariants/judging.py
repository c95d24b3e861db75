"""What an invariant is: a statement with an id, what it must be shown, and a function that looks for what breaks it.

A judge is a small pure function of a ``Case``; its docstring is the statement, word for word what documentation and reports
print. It yields a pair (what was seen, sequence numbers of the records that show it) for each thing that breaks the statement,
and raises ``LacksEvidenceError`` where it cannot tell: a statement that nobody judged is never counted as kept.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from vss.simulation.invariants.evidence import Evidence
from vss.simulation.invariants.history import History

Found: TypeAlias = "tuple[str, tuple[int, ...]]"


class Kind(Enum):
    """Safety: nothing bad happens. Liveness: something good happens in time."""

    SAFETY = "S"
    LIVENESS = "L"


class Need(Enum):
    """Parts of the evidence; the value names the attribute of ``Evidence`` that must not be None. Records are always there."""

    VOLUMES = "volumes"
    SNAPSHOTS = "snapshots"
    APPLICATIONS = "applications"
    SETS = "sets"
    WORKLOADS = "workloads"
    END = "end"
    OUTCOMES = "outcomes"
    STORES = "stores"
    CATALOGUE = "catalogue"
    FROZEN_FILES = "frozen_files"
    RESTORES = "restores"
    DOCUMENTS = "documents"


class LacksEvidenceError(Exception):
    """The evidence at hand does not say; the reason is told in the verdict."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a judge is given: the evidence, and its records put in order once for all judges."""

    evidence: Evidence
    history: History


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant.

    Attributes:
        invariant_id: ``F1`` … ``R9``.
        statement: what should have held.
        evidence: what was seen, naming writers, volumes, blocks or files.
        records: sequence numbers of the records that show it, in order.
    """

    invariant_id: str
    statement: str
    evidence: str
    records: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Invariant:
    """One statement about every run, and its judge."""

    invariant_id: str
    kind: Kind
    statement: str
    needs: tuple[Need, ...]
    judge: Callable[[Case], Iterator[Found]]

    def missing(self, evidence: Evidence) -> str:
        """Return why this cannot be judged from ``evidence``; empty where it can."""
        absent = [need.value for need in self.needs if getattr(evidence, need.value) is None]
        return f"needs {', '.join(absent)}" if absent else ""


INVARIANTS: dict[str, Invariant] = {}
"""Every invariant that is judged from one run, by id, in the order of declaration."""


def invariant(invariant_id: str, kind: Kind, *needs: Need) -> Callable[[Callable[[Case], Iterator[Found]]], Invariant]:
    """Register the decorated judge; its docstring is the statement."""

    def register(judge: Callable[[Case], Iterator[Found]]) -> Invariant:
        assert invariant_id not in INVARIANTS, f"two invariants are called {invariant_id}"
        assert judge.__doc__, f"invariant {invariant_id} has no statement"
        statement = " ".join(inspect.cleandoc(judge.__doc__).split())
        INVARIANTS[invariant_id] = made = Invariant(invariant_id, kind, statement, needs, judge)
        return made

    return register


def by_trial(case: Case, invariant_id: str) -> Iterator[Found]:
    """The judge of a statement that only a trial can prove; the checker adds what the trials found.

    Raises:
        LacksEvidenceError: it was not put to the proof.
    """
    if not any(each.invariant_id == invariant_id for each in case.evidence.trials or ()):
        raise LacksEvidenceError("needs a trial")
    yield from ()
