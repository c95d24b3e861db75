"""A shadow copy as the observer of a run knows it."""

from __future__ import annotations

from vss.coordinator import SnapshotAttributes
from vss.events import VolumeAddedToSet
from vss.simulation.invariants.image import Image


class ObservedShadow:
    """A shadow copy that exists: where it came from, and what was read of it.

    Attributes:
        snapshot_id: its id.
        set_id: of its set.
        volume: that it is of.
        provider: that made it.
        is_persistent: it is to survive the session and restarts.
        is_created: its set is finished.
        at_commit: its bytes when they were first read; before auto-recovery.
        image: its bytes when they were last read.
        seen: how many writes there had been when it was read last.
    """

    def __init__(self, event: VolumeAddedToSet, attributes: int) -> None:
        self.snapshot_id = event.snapshot_id
        self.set_id = event.snapshot_set_id
        self.volume = event.volume
        self.provider = event.provider
        self.is_persistent = attributes >= 0 and bool(attributes & SnapshotAttributes.PERSISTENT)
        self.is_created = False
        self.at_commit: Image | None = None
        self.image: Image | None = None
        self.seen = -1
