"""Files that a machine keeps out: one event per file, with whose entry it was.

Kinds of ``vss.events.Event`` like those beside them; no fact is told in two kinds.
"""

from __future__ import annotations

from vss.events import Event


class FileNotBackedUp(Event, frozen=True, kw_only=True):
    """A file that a writer declares was left out of the backup (FilesNotToBackup)."""

    path: str
    application: str


class FileNotInSnapshot(Event, frozen=True, kw_only=True):
    """A file was deleted from a shadow copy while it was made (FilesNotToSnapshot)."""

    path: str
    application: str
