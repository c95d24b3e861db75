"""Copying, verifying, restoring: one event per file, component and backup set; and the files that a machine keeps out."""

from __future__ import annotations

from vss.events.base import Event


class FileCopied(Event, frozen=True, kw_only=True):
    path: str
    size_bytes: int
    sha256: str
    source: str  # "shadow copy" always, unless the writer declared another place


class FileVerified(Event, frozen=True, kw_only=True):
    path: str
    size_bytes: int
    pages: int = 0
    method: str = ""


class CorruptionFound(Event, frozen=True, kw_only=True):
    """Verification named wrong bytes. Page number and offset are -1 where the format has none."""

    path: str
    code: str
    message: str
    page_number: int = -1
    offset: int = -1


class ComponentSucceeded(Event, frozen=True, kw_only=True):
    session_id: str
    writer: str
    component: str


class ComponentFailed(Event, frozen=True, kw_only=True):
    session_id: str
    writer: str
    component: str
    reason: str


class BackupSetWritten(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    state: str
    file_count: int
    size_bytes: int


class FileRestored(Event, frozen=True, kw_only=True):
    path: str
    size_bytes: int


class FileNotBackedUp(Event, frozen=True, kw_only=True):
    """A file that a writer declares was left out of the backup (FilesNotToBackup)."""

    path: str
    application: str


class FileNotInSnapshot(Event, frozen=True, kw_only=True):
    """A file was deleted from a shadow copy while it was made (FilesNotToSnapshot)."""

    path: str
    application: str
