"""The store's own entries in the application's event log, with the ids that field reports give.

Each step of a backup has one id for "succeeded" and the next higher one for "failed". Source: Exchange team blog, "Exchange
2010 and VSS backups"; ids of failures other than 9607 and 9611 follow the pattern and were not seen.
"""

from __future__ import annotations

from enum import Enum

from vss.events import ApplicationLogged
from vss.plugins.hosts import WriterHost

SOURCE = "MSExchangeIS"

WRITER_STARTED = 9600
BACKUP_FINISHED = 9780
BACKUP_FINISHED_WITH_ERRORS = 9782
ENGINE_PREPARED = 9811
BACKED_UP_ALREADY = 9840
GROUP_DOWN = 9518


class Step(Enum):
    """A step of a backup: its name and the id of its success."""

    PREPARE_BACKUP = "PrepareBackup", 9606
    PREPARE_SNAPSHOT = "PrepareSnapshot", 9608
    FREEZE = "Freeze", 9610
    THAW = "Thaw", 9612
    ABORT = "Abort", 9614
    BACKUP_COMPLETE = "BackupComplete", 9616
    BACKUP_SHUTDOWN = "BackupShutdown", 9618
    POST_SNAPSHOT = "PostSnapshot", 9622

    @property
    def done_id(self) -> int:
        """Id of the entry that says it succeeded."""
        return self.value[1]

    @property
    def failed_id(self) -> int:
        """Id of the entry that says it failed."""
        return self.value[1] + 1


class StoreLog:
    """Writes the entries of one storage group."""

    def __init__(self, host: WriterHost, store: str) -> None:
        """Speak for ``store``."""
        self._host = host
        self._store = store

    def write(self, event_id: int, text: str, severity: str = "information") -> None:
        """Write one entry about the storage group."""
        message = f"storage group '{self._store}': {text}"
        self._host.ports.emit(ApplicationLogged(source=SOURCE, event_id=event_id, severity=severity, message=message))

    def done(self, step: Step) -> None:
        """The step succeeded."""
        self.write(step.done_id, f"{step.value[0]} finished")

    def failed(self, step: Step, reason: str) -> None:
        """The step failed."""
        self.write(step.failed_id, f"{step.value[0]} failed: {reason}", "error")
