"""What recovery may do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass

from vss_writers.ese.header_values import LogPosition
from vss_writers.ese.log_checksum import LogState
from vss_writers.ese.log_reader import LoadedLog
from vss_writers.ese.redo import RedoCounts


@dataclass(frozen=True, slots=True)
class RecoveryOptions:
    """What recovery may do.

    Attributes:
        databases: files to bring forward besides those the logs and the checkpoint name; also tells where moved ones are.
        ignore_missing: whether databases that the logs name may be absent.
        accept_lost_logs: whether missing committed generations that are not required are accepted.
        stop_before_undo: whether to write what was redone and go no further.
    """

    databases: tuple[str, ...] = ()
    ignore_missing: bool = False
    accept_lost_logs: bool = False
    stop_before_undo: bool = False


@dataclass(frozen=True, slots=True)
class RecoveredDatabase:
    """One database after recovery: where it is, and up to which log position its file is consistent."""

    path: str
    consistent_position: LogPosition


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What a recovery did.

    Attributes:
        generation_first: first generation that was replayed, 0 where there was none.
        generation_last: last one.
        records_redone: page changes applied.
        records_skipped: page changes the files had already, or that concern no file here.
        transactions_redone: committed transactions that were replayed.
        transactions_undone: transactions that were open at the end, or given up by an earlier crash.
        torn_at: where a torn tail was cut off, or None.
        databases: databases that were brought to the end of the logs.
        ignored: databases that were missing and ignored.
    """

    generation_first: int = 0
    generation_last: int = 0
    records_redone: int = 0
    records_skipped: int = 0
    transactions_redone: int = 0
    transactions_undone: int = 0
    torn_at: LogPosition | None = None
    databases: tuple[RecoveredDatabase, ...] = ()
    ignored: tuple[str, ...] = ()


def make_report(
    first: int, last: LoadedLog, counts: RedoCounts, databases: tuple[RecoveredDatabase, ...], ignored: tuple[str, ...]
) -> RecoveryReport:
    """Put a report together."""
    return RecoveryReport(
        generation_first=first,
        generation_last=last.header.generation,
        records_redone=counts.records_redone,
        records_skipped=counts.records_skipped,
        transactions_redone=counts.transactions_redone,
        transactions_undone=counts.transactions_undone,
        torn_at=None if last.scan.state is LogState.WHOLE else last.end_position,
        databases=databases,
        ignored=ignored,
    )
