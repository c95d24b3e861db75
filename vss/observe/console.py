"""One short line per record, for people. Pure; nothing here decides what is printed or where.

Every event of ``vss.events`` has its own sentence; an event of a plugin falls back to its name and fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from vss.events import Event, Record
from vss.observe.quantities import counted, duration, instant, limit, size


def line(record: Record) -> str:
    """Return ``00:00:03.250  Exchange froze``."""
    return f"{instant(record.instant_ns)}  {sentence(record.event)}"


def sentence(event: Event) -> str:
    """Return the event in words, without its instant."""
    tell = _SENTENCES.get(type(event).__name__)
    if tell is not None:
        return tell(event)
    fields = " ".join(f"{name}={value}" for name, value in msgspec.structs.asdict(event).items())
    return f"{type(event).__name__} {fields}".rstrip()


def _short(identifier: str) -> str:
    return identifier[:8]


def _place(event: Any) -> str:
    page = f", page {event.page_number}" if event.page_number >= 0 else ""
    return f"{page}, offset {event.offset}" if event.offset >= 0 else page


def _truncation(event: Any) -> str:
    kept = f"kept {event.kept_first:#x}…{event.kept_last:#x}" if event.kept_last else "kept none"
    if not event.removed_count:
        return f"{event.store}: no log generation removed ({event.reason}); {kept}"
    removed = f"{counted(event.removed_count, 'log generation')} removed ({event.removed_first:#x}…{event.removed_last:#x})"
    return f"{event.store}: {removed}; {kept}" + (f" ({event.reason})" if event.reason else "")


def _recovery(event: Any) -> str:
    undone = f", {counted(event.transactions_undone, 'transaction')} undone" if event.transactions_undone else ""
    return (
        f"{event.store}: {event.kind} recovery over generations {event.generation_first:#x}…{event.generation_last:#x}, "
        f"{event.records_redone:,} records redone, {event.records_skipped:,} skipped{undone}"
    )


def _session_started(event: Any) -> str:
    kind = f"{event.backup_type} {event.kind}".strip().lower()
    return f"session {_short(event.session_id)} started: {kind}"


def _phase_left(event: Any) -> str:
    outcome = "" if event.outcome == "ok" else f": {event.outcome}"
    return f"phase {event.phase} took {duration(event.duration_ns)}{outcome}"


def _released(event: Any) -> str:
    queued = f", {counted(event.queued_count, 'write')} ({size(event.queued_bytes)}) were queued" if event.queued_count else ""
    return f"{event.volume} released after {duration(event.held_ns)}{queued}"


def _status(event: Any) -> str:
    return f"writers asked for their status, {event.after}: " + (
        f"failed: {', '.join(event.failed)}" if event.failed else "no failure"
    )


def _window(event: Any, verb: str) -> str:
    return f"freeze window {verb} after {duration(event.duration_ns)} ({limit(event.limit_ns)} allowed)"


_SENTENCES: dict[str, Callable[[Any], str]] = {
    "SessionStarted": _session_started,
    "SessionReleased": lambda e: f"session {_short(e.session_id)} released",
    "BackupLeftWaiting": lambda e: f"session {_short(e.session_id)} ended without BackupComplete: {', '.join(e.writers)} waits",
    "WaitingBackupTaken": lambda e: f"session {_short(e.by_session_id)} completes what session {_short(e.session_id)} left",
    "WaitingBackupEnded": lambda e: f"what session {_short(e.session_id)} left is never completed: {e.cause}",
    "SnapshotsImported": lambda e: f"set {_short(e.snapshot_set_id)} imported: {counted(len(e.imported), 'snapshot')}",
    "WriterIdentified": lambda e: f"{e.writer} identified, {counted(e.component_count, 'component')}",
    "ComponentAdded": lambda e: f"{e.writer}: component {e.component} added",
    "BackupStateSet": lambda e: f"session {_short(e.session_id)} takes a backup of type {e.backup_type.lower()}",
    "ComponentReported": lambda e: f"component {e.component} reported as {'backed up' if e.succeeded else 'failed'}",
    "WriterStatusGathered": _status,
    "CreationLockTaken": lambda e: f"session {_short(e.session_id)} may create a set",
    "CreationLockFreed": lambda e: f"session {_short(e.session_id)} lets others create a set",
    "SnapshotSetBroken": lambda e: f"snapshot set {_short(e.snapshot_set_id)} broken into ordinary disks",
    "SnapshotSetStarted": lambda e: f"snapshot set {_short(e.snapshot_set_id)} started",
    "VolumeAddedToSet": lambda e: f"{e.volume} added to the set, provider {e.provider}",
    "PhaseEntered": lambda e: f"phase {e.phase}",
    "PhaseLeft": _phase_left,
    "WriterCalled": lambda e: f"{e.writer} called: {e.step}",
    "WriterAnswered": lambda e: f"{e.writer} answered {e.step}, now {e.state}",
    "WriterFroze": lambda e: f"{e.writer} froze",
    "WriterThawed": lambda e: f"{e.writer} thawed after {duration(e.frozen_ns)}",
    "WriterAborted": lambda e: f"{e.writer} aborted: {e.cause}",
    "WriterVetoed": lambda e: f"{e.writer} vetoed at {e.step}: {e.message} [{e.hresult}], now {e.state}",
    "WriterTimedOut": lambda e: f"{e.writer} did not answer {e.step} within {limit(e.limit_ns)}",
    "LateAnswerIgnored": lambda e: f"late answer of {e.role} to {e.step} ignored",
    "FreezeWindowOpened": lambda e: f"freeze window opened, limit {limit(e.limit_ns)}",
    "FreezeWindowClosed": lambda e: _window(e, "closed"),
    "FreezeWindowLost": lambda e: _window(e, "lost"),
    "VolumeFlushed": lambda e: f"{e.volume} flushed",
    "WritesHeld": lambda e: f"{e.volume} holds writes, limit {limit(e.limit_ns)}",
    "WritesReleased": _released,
    "HoldLost": lambda e: f"{e.volume} let its writes go by itself after {duration(e.held_ns)}, {e.queued_count} were queued",
    "WriteQueued": lambda e: f"{e.volume} queued write {e.number} ({size(e.byte_count)})",
    "QueuedWriteEnded": lambda e: f"{e.volume}: queued write {e.number} {e.outcome}",
    "ReleaseFailed": lambda e: f"{e.volume} could not be told to let its writes go: {e.message} [{e.hresult}]",
    "VolumeLost": lambda e: f"{e.volume} is lost",
    "VolumeReplaced": lambda e: f"{e.volume} replaced by an empty volume",
    "ProviderCalled": lambda e: f"provider {e.provider} called: {e.step}",
    "ProviderAnswered": lambda e: f"provider {e.provider} answered {e.step} after {duration(e.duration_ns)}",
    "ProviderFailed": lambda e: f"provider {e.provider} failed at {e.step}: {e.message} [{e.hresult}]",
    "SnapshotCommitted": lambda e: f"snapshot committed: {counted(e.snapshot_count, 'volume')} at one instant",
    "SnapshotSetCreated": lambda e: f"snapshot set {_short(e.snapshot_set_id)} created",
    "SnapshotSetAborted": lambda e: f"snapshot set {_short(e.snapshot_set_id)} aborted: {e.cause} [{e.hresult}]",
    "SnapshotDeleted": lambda e: f"snapshot {_short(e.snapshot_id)} deleted: {e.reason}",
    "BlocksCopied": lambda e: f"{e.work} of {e.volume}: {size(e.done_bytes)} of {size(e.total_bytes)}",
    "FileNotBackedUp": lambda e: f"{e.path} is not backed up: {e.application}",
    "FileNotInSnapshot": lambda e: f"{e.path} is kept out of the shadow copy: {e.application}",
    "FileCopied": lambda e: f"copied {e.path}, {size(e.size_bytes)}, from {e.source}",
    "FileVerified": lambda e: f"verified {e.path}, {counted(e.pages, 'page') if e.pages else size(e.size_bytes)}",
    "CorruptionFound": lambda e: f"corruption in {e.path}{_place(e)}: {e.message} [{e.code}]",
    "ComponentSucceeded": lambda e: f"{e.writer}: component {e.component} succeeded",
    "ComponentFailed": lambda e: f"{e.writer}: component {e.component} failed: {e.reason}",
    "BackupSetWritten": lambda e: f"backup set written, {counted(e.file_count, 'file')}, {size(e.size_bytes)}, state {e.state}",
    "FileRestored": lambda e: f"restored {e.path}, {size(e.size_bytes)}",
    "LogsTruncated": _truncation,
    "LogRolledOver": lambda e: f"{e.store}: log rolled over to generation {e.generation:#x}",
    "DatabaseMounted": lambda e: f"{e.store}: {e.database} mounted",
    "DatabaseDismounted": lambda e: f"{e.store}: {e.database} dismounted, {e.state}",
    "RecoveryFinished": _recovery,
    "ApplicationLogged": lambda e: f"{e.severity.lower()} {e.source} {e.event_id}: {e.message}",
    "WorkloadAcknowledged": lambda e: f"{e.workload}: {counted(e.operations, 'operation')} acknowledged",
    "FaultFired": lambda e: f"fault {e.effect} at {e.site}" + (f" ({e.selectors})" if e.selectors else ""),
    "PluginProblem": lambda e: f"plugin {e.plugin} failed at {e.stage}: {e.message}",
}
