"""Events in finer steps than people read: what the checker of a run needs beside the others.

Kept apart so that the list of events that console and timeline tell stays readable.
"""

from __future__ import annotations

from vss.events.base import Event


class BackupStateSet(Event, frozen=True, kw_only=True):
    """What kind of backup the session takes: the vendor's name of the type."""

    session_id: str
    backup_type: str


class ComponentReported(Event, frozen=True, kw_only=True):
    """The requestor told the writer's part of the document whether a component was backed up (SetBackupSucceeded)."""

    session_id: str
    instance_id: str
    component: str
    succeeded: bool


class WriterStatusGathered(Event, frozen=True, kw_only=True):
    """The requestor asked for the writers' status; ``after`` is how far the session had come."""

    session_id: str
    after: str
    is_meaningful: bool
    failed: tuple[str, ...] = ()


class SessionLost(Event, frozen=True, kw_only=True):
    """The service died and its sessions with it: nothing is undone, nobody is told."""

    session_id: str


class CreationLockTaken(Event, frozen=True, kw_only=True):
    """One set may be created at a time: from now on it is this session's."""

    session_id: str


class CreationLockFreed(Event, frozen=True, kw_only=True):
    session_id: str


class WriteQueued(Event, frozen=True, kw_only=True):
    """A write came while writes were held; ``number`` counts the volume's queued writes from 1."""

    volume: str
    number: int
    byte_count: int


class QueuedWriteEnded(Event, frozen=True, kw_only=True):
    """What became of a queued write: done, failed (its caller was told), or withdrawn (its caller is gone)."""

    volume: str
    number: int
    outcome: str


class ProviderAnswered(Event, frozen=True, kw_only=True):
    """The provider did what it was called for; told when every provider of the set has answered."""

    provider: str
    step: str
    snapshot_set_id: str = ""
    duration_ns: int = 0


class SnapshotSetBroken(Event, frozen=True, kw_only=True):
    """Shadow copies of a set became ordinary disks: they belong to no session any more."""

    snapshot_set_id: str
