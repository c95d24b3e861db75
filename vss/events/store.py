"""The application's store: its databases, its logs, its event log, its users."""

from __future__ import annotations

from vss.events.base import Event


class LogsTruncated(Event, frozen=True, kw_only=True):
    """Generations removed (none when ``removed_count`` is 0) and why the others stayed."""

    store: str
    removed_first: int
    removed_last: int
    removed_count: int
    kept_first: int
    kept_last: int
    reason: str


class LogRolledOver(Event, frozen=True, kw_only=True):
    store: str
    generation: int


class DatabaseMounted(Event, frozen=True, kw_only=True):
    store: str
    database: str


class DatabaseDismounted(Event, frozen=True, kw_only=True):
    store: str
    database: str
    state: str


class RecoveryFinished(Event, frozen=True, kw_only=True):
    """Logs were replayed: first and last generation, records redone and skipped, transactions left out."""

    store: str
    kind: str  # "soft" or "hard"
    generation_first: int
    generation_last: int
    records_redone: int
    records_skipped: int
    transactions_undone: int = 0


class ApplicationLogged(Event, frozen=True, kw_only=True):
    """What the application wrote to its event log: source and id as the vendor's."""

    source: str
    event_id: int
    severity: str
    message: str


class WorkloadAcknowledged(Event, frozen=True, kw_only=True):
    """The workload's own count of what the store has acknowledged so far."""

    workload: str
    operations: int
    digest: str
