"""What came of a scenario: data only, JSON as it stands; the same bytes for the same seed, plan and code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from vss.events import Record
from vss.exit_codes import ExitCode
from vss.observe import jsonl


class StepOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One step and what came of it.

    Attributes:
        step: its name.
        kind: what it does.
        exit_code: what a command would exit with.
        error: class of the error it ended with; "killed" where its requestor died; "" where it ended well.
        message: the error's text.
        hresult: the error's code.
        data: what it returned.
        first_record: how many records there were when it began.
        end_record: how many there were when it ended.
        began_ns: virtual instant.
        ended_ns: virtual instant.
    """

    step: str
    kind: str
    exit_code: int = 0
    error: str = ""
    message: str = ""
    hresult: str = ""
    data: Any = None
    first_record: int = 0
    end_record: int = 0
    began_ns: int = 0
    ended_ns: int = 0

    @property
    def told(self) -> str:
        """The error in brackets, for messages."""
        return f" ({self.error}: {self.message})" if self.error else ""

    def records_of(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return what was recorded between its begin and its end."""
        return records[self.first_record : self.end_record]


class FaultReport(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of the plan and how often it struck.

    Attributes:
        fault: its line.
        during: the step that it is confined to; "" for the whole run.
        strikes: how often it struck.
        visits: how often the run passed the place that it names.
    """

    fault: str
    during: str
    strikes: int
    visits: int = 0


class Shortfall(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it must be: an expectation, an invariant, the machine's check, the run itself.

    Attributes:
        kind: "expectation", "invariant", "check" or "run".
        name: the invariant's id, the step, or what was checked.
        message: one sentence.
        records: sequence numbers of the records that show it.
    """

    kind: str
    name: str
    message: str
    records: tuple[int, ...] = ()


class ExpectationReport(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation, and in what way it was not met; nothing for one that was."""

    text: str
    because: str = ""
    shortfalls: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run.

    Attributes:
        title: the scenario's.
        seed: which run it was.
        steps: in order.
        faults: the plan, with strikes.
        shortfalls: what is not as it must be; empty for a good run.
        not_judged: ids of invariants that lacked their evidence.
        records: everything recorded.
        virtual_ns: how long the run took in virtual time.
        loop_steps: steps of the loop.
        digest: of the records; equal for equal runs.
        expected: every expectation, met or not.
    """

    title: str
    seed: int
    steps: tuple[StepOutcome, ...]
    faults: tuple[FaultReport, ...]
    shortfalls: tuple[Shortfall, ...]
    not_judged: tuple[str, ...]
    records: tuple[Record, ...]
    virtual_ns: int
    loop_steps: int
    digest: str
    expected: tuple[ExpectationReport, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything is as it must be."""
        return not self.shortfalls

    @property
    def exit_code(self) -> ExitCode:
        """0, or 11 where an expectation or an invariant is broken."""
        return ExitCode.OK if self.ok else ExitCode.INVARIANT

    def step(self, name: str) -> StepOutcome:
        """Return a step's outcome; ``KeyError`` where there is none of that name."""
        for each in self.steps:
            if each.step == name:
                return each
        raise KeyError(name)

    def violations(self) -> tuple[Shortfall, ...]:
        """Return what counts whatever was expected: broken invariants, and runs that did not end."""
        return tuple(each for each in self.shortfalls if each.kind in ("invariant", "run"))


def digest_of(records: Sequence[Record]) -> str:
    """Return the digest of a run's records."""
    digest = hashlib.blake2b(digest_size=16)
    for record in records:
        digest.update(jsonl.encode(record))
    return digest.hexdigest()
