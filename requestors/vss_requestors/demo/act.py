"""What an act of the demo is: data only, JSON as it stands, without a path or a clock of the host."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vss.events import Record, RecoveryFinished, VolumeLost
from vss.lab import Lab
from vss_requestors.results import BackupResult, RestoreResult


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that failed as a whole, as it had to: what the command would say and exit with."""

    error: str
    message: str
    hresult: str
    exit_code: int


class RolledForward(msgspec.Struct, frozen=True, kw_only=True):
    """One recovery of a store: the generations replayed and what came of their records."""

    store: str
    generation_first: int
    generation_last: int
    records_redone: int
    records_skipped: int
    transactions_undone: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One workload's own record against what the machine has.

    Attributes:
        workload: its name.
        operations: how many were acknowledged to it since the lab was made.
        compared: how many messages or lines were compared, each by its content.
        noun: what they are.
    """

    workload: str
    operations: int
    compared: int
    noun: str


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act: what was done, what came of it, what had to come of it.

    Attributes:
        name: short name, stable.
        title: what happens, one sentence.
        expectation: what must come of it, one sentence.
        failures: where it did not, one sentence each.
        before: what the workloads had done when the act's backup began.
        damage: what was broken on purpose.
        backup: the act's backup; None where it failed as a whole.
        refusal: the error of a backup that had to fail.
        retry: the backup after it.
        restore: the act's restore.
        lost_volumes: the volumes whose disk was lost.
        rolled_forward: the recoveries after the restore.
        compared: what was compared at the end.
        problems: differences that the lab's check found at the end.
        events: how many records the act left, for whoever reads the event log.
    """

    name: str
    title: str
    expectation: str
    failures: tuple[str, ...]
    before: tuple[Comparison, ...] = ()
    damage: str = ""
    backup: BackupResult | None = None
    refusal: Refusal | None = None
    retry: BackupResult | None = None
    restore: RestoreResult | None = None
    lost_volumes: tuple[str, ...] = ()
    rolled_forward: tuple[RolledForward, ...] = ()
    compared: tuple[Comparison, ...] = ()
    problems: tuple[str, ...] = ()
    events: int = 0

    @property
    def is_met(self) -> bool:
        """Whether the expectation was met."""
        return not self.failures


def told(lab: Lab) -> tuple[Comparison, ...]:
    """Return what each workload has been acknowledged by now."""
    reports = {name: each.report() for name, each in lab.workloads.items()}
    return tuple(
        Comparison(
            workload=name,
            operations=int(report["operations"]),
            compared=int(report.get("messages", report["operations"])),
            noun="message" if "messages" in report else "line",
        )
        for name, report in reports.items()
    )


def recoveries_of(records: Sequence[Record]) -> tuple[RolledForward, ...]:
    """Return the recoveries in ``records``."""
    return tuple(
        RolledForward(
            store=event.store,
            generation_first=event.generation_first,
            generation_last=event.generation_last,
            records_redone=event.records_redone,
            records_skipped=event.records_skipped,
            transactions_undone=event.transactions_undone,
        )
        for event in (record.event for record in records)
        if isinstance(event, RecoveryFinished)
    )


def losses_of(records: Sequence[Record]) -> tuple[str, ...]:
    """Return the volumes that were lost in ``records``."""
    return tuple(record.event.volume for record in records if isinstance(record.event, VolumeLost))
