"""What one session hands over to a later one: a backup that waits for BackupComplete, a set that travels to another machine.

Kinds of ``vss.events.Event`` like those beside them; no fact is told in two kinds.
"""

from __future__ import annotations

from vss.events import Event


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
