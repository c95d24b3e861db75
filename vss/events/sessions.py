"""Sessions: what a requestor begins, selects and ends, and what one session hands over to a later one."""

from __future__ import annotations

from vss.events.base import Event


class SessionStarted(Event, frozen=True, kw_only=True):
    session_id: str
    kind: str  # "backup" or "restore"
    backup_type: str = ""


class SessionReleased(Event, frozen=True, kw_only=True):
    session_id: str


class WriterIdentified(Event, frozen=True, kw_only=True):
    session_id: str
    writer: str
    writer_id: str
    component_count: int
    instance_id: str = ""
    level: str = ""  # FRONT_END, BACK_END or SYSTEM
    freeze_limit_ns: int = 0  # how long the writer stays frozen at most


class ComponentAdded(Event, frozen=True, kw_only=True):
    session_id: str
    writer: str
    component: str
    instance_id: str = ""


class SnapshotSetStarted(Event, frozen=True, kw_only=True):
    session_id: str
    snapshot_set_id: str
    attributes: int = -1  # of the session's context, as the vendor's bits


class VolumeAddedToSet(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    snapshot_id: str
    volume: str
    provider: str


class PhaseEntered(Event, frozen=True, kw_only=True):
    """A phase of the story began: prepare, freeze, hold, commit, thaw, post-snapshot, copy, verify, complete …"""

    phase: str
    session_id: str = ""


class PhaseLeft(Event, frozen=True, kw_only=True):
    phase: str
    session_id: str = ""
    duration_ns: int = 0
    outcome: str = "ok"


class BackupLeftWaiting(Event, frozen=True, kw_only=True):
    """A requestor went away without BackupComplete, which a later session may send; ``session_id`` is not released yet."""

    session_id: str
    snapshot_set_id: str
    writers: tuple[str, ...] = ()


class WaitingBackupTaken(Event, frozen=True, kw_only=True):
    """A later session (``by_session_id``) sends BackupComplete for the backup that ``session_id`` left."""

    session_id: str
    snapshot_set_id: str
    by_session_id: str


class WaitingBackupEnded(Event, frozen=True, kw_only=True):
    """Nobody completed the backup that ``session_id`` left, and nobody can any more."""

    session_id: str
    snapshot_set_id: str
    cause: str


class SnapshotsImported(Event, frozen=True, kw_only=True):
    """Shadow copies of a transportable set are this machine's now."""

    session_id: str
    snapshot_set_id: str
    imported: tuple[str, ...]
    missing: tuple[str, ...] = ()
