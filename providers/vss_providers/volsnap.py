"""What the driver under the vendor's system provider writes to the event log, with its numbers.

Decides which loss of shadow copies gets which number, so that what monitors look for in a real log is found here as well.
Source: message table of volsnap ("Volume Shadow Copy Service" events, source volsnap, System log); the sentences are our own.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from vss.errors import VolumeError, VolumeFullError
from vss.events import ApplicationLogged
from vss_providers.space import MaximumReachedError, StorageGoneError


class VolsnapEvent(Enum):
    """Event id, severity, sentence."""

    ABORTED_BY_IO_FAILURE = (14, "error", "the shadow copies of volume {volume} were aborted because of an I/O failure")
    GROWTH_FAILED = (24, "warning", "the storage of the shadow copies of volume {volume} could not grow: they are at risk")
    COULD_NOT_GROW = (25, "error", "the shadow copies of volume {volume} were deleted: their storage could not grow in time")
    STORE_NOT_FOUND = (27, "error", "the shadow copies of volume {volume} were aborted: a file of their storage is not there")
    STORAGE_NOT_PRESENT = (
        32,
        "error",
        "the shadow copies of volume {volume} were aborted: the volume that stores them is not present",
    )
    OLDEST_DELETED_AT_LIMIT = (
        33,
        "information",
        "the oldest shadow copy of volume {volume} was deleted to keep the storage below its maximum size",
    )
    ABORTED_AT_LIMIT = (
        36,
        "error",
        "the shadow copies of volume {volume} were aborted: the storage could not grow because of its maximum size",
    )
    STORAGE_CAME_LATE = (
        59,
        "error",
        "the shadow copies of volume {volume} were aborted: the volume that stores them was not present in time",
    )
    STORAGE_OFFLINE = (60, "error", "the shadow copies of volume {volume} were aborted: the disk that stores them is gone")
    REVERT_STARTED = (64, "information", "volume {volume} is being reverted to a shadow copy")
    REVERT_RESTARTED = (65, "information", "the revert of volume {volume} to a shadow copy goes on")
    REVERT_FINISHED = (66, "information", "volume {volume} was reverted to a shadow copy")

    @property
    def event_id(self) -> int:
        """The number in the log."""
        return self.value[0]

    def record(self, volume: str, detail: str = "") -> ApplicationLogged:
        """Return the log entry for ``volume``."""
        event_id, severity, sentence = self.value
        message = sentence.format(volume=volume) + (f" ({detail})" if detail else "")
        return ApplicationLogged(source="volsnap", event_id=event_id, severity=severity, message=message)


class Loss(NamedTuple):
    """Why shadow copies were given up: the event for the log, and the reason their readers are told."""

    event: VolsnapEvent
    reason: str


def loss_of(error: VolumeError, doing: str) -> Loss:
    """Return what a failure of storage means for the shadow copies."""
    event = VolsnapEvent.ABORTED_BY_IO_FAILURE
    if isinstance(error, StorageGoneError):
        event = VolsnapEvent.STORAGE_OFFLINE
    elif isinstance(error, MaximumReachedError):
        event = VolsnapEvent.ABORTED_AT_LIMIT
    elif isinstance(error, VolumeFullError):
        event = VolsnapEvent.COULD_NOT_GROW
    return Loss(event, f"{doing}: {error.message}")
