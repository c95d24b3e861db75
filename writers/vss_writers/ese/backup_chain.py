"""Backups that build on each other: what an incremental one needs, and what a finished one leaves in the headers.

Sources: published engine, backup.cxx (ErrLGCheckIncrementalBackup, ErrBKICheckLogsForIncrementalBackup,
ErrBKUpdateHdrBackupInfo).
"""

from __future__ import annotations

from collections.abc import Sequence

from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import NO_BACKUP, BackupInfo
from vss_writers.ese.layout import BackupType
from vss_writers.ese.log_reader import LogDirectory
from vss_writers.ese.truncation import SnapshotKind


def check_full_backups(
    headers: Sequence[tuple[str, DatabaseHeader]], on_event: EventSink, kind: BackupType = BackupType.OS_SNAPSHOT
) -> None:
    """Refuse databases, given as path and header, that have no full backup of the same type to build on.

    Raises:
        JetError: ``MissingFullBackup`` (event 206).
    """
    for path, header in headers:
        if header.full_previous == NO_BACKUP or header.full_previous_type is not kind:
            on_event(EngineEvent(206, "a database has no full backup to build on", Severity.ERROR, path))
            raise JetError(JetCode.MissingFullBackup, path=path)


def check_unbroken_logs(
    headers: Sequence[tuple[str, DatabaseHeader]], logs: LogDirectory, current: int, on_event: EventSink
) -> None:
    """Refuse where a log between the last backup and the current generation is not there any more.

    Raises:
        JetError: ``MissingFileToBackup`` (event 459).
    """
    expected = range(logs.lowest or current, current)
    missing = [generation for generation in expected if generation not in logs.archived]
    for _, header in headers:
        last = max(header.full_previous.generation_high, header.incremental_previous.generation_high)
        if expected.start > last + 1:
            missing.insert(0, last + 1)
    if missing:
        text = f"generation {missing[0]:#x} is needed for the backup and is missing"
        on_event(EngineEvent(459, text, Severity.ERROR, logs.directory))
        raise JetError(JetCode.MissingFileToBackup, text, path=logs.directory)


def first_to_copy(
    kind: SnapshotKind,
    headers: Sequence[tuple[str, DatabaseHeader]],
    logs: LogDirectory,
    *,
    checkpoint: int,
    current: int,
) -> int:
    """First generation a backup of this kind has to copy; ``current`` where there is no closed one."""
    if not kind.is_incremental:
        return checkpoint
    lowest = logs.lowest if logs.lowest is not None else current
    if kind is SnapshotKind.DIFFERENTIAL:
        # A differential reaches back to the last full backup only, although older logs may still be there.
        return max(lowest, 1 + min((header.full_previous.generation_high for _, header in headers), default=0))
    return lowest


def header_changes(
    kind: SnapshotKind, backup: BackupInfo, backup_type: BackupType = BackupType.OS_SNAPSHOT
) -> dict[str, object]:
    """Header fields that a finished backup of this kind sets."""
    match kind:
        case SnapshotKind.FULL:
            changes: dict[str, object] = {
                "full_previous": backup,
                "full_previous_type": backup_type,
                "incremental_previous": NO_BACKUP,
                "incremental_previous_type": BackupType.STREAMING,
                "differential_previous": NO_BACKUP,
                "differential_previous_type": BackupType.STREAMING,
            }
            if backup_type is BackupType.STREAMING:
                changes["snapshot_current"] = NO_BACKUP
            return changes
        case SnapshotKind.INCREMENTAL:
            return {"incremental_previous": backup, "incremental_previous_type": backup_type}
        case SnapshotKind.COPY:
            return {"copy_previous": backup, "copy_previous_type": backup_type}
        case SnapshotKind.DIFFERENTIAL:
            return {"differential_previous": backup, "differential_previous_type": backup_type}
