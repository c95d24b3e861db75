"""Volumes: flush, hold and release of their writes, and disks that are lost."""

from __future__ import annotations

from vss.events.base import Event


class VolumeFlushed(Event, frozen=True, kw_only=True):
    volume: str


class WritesHeld(Event, frozen=True, kw_only=True):
    volume: str
    limit_ns: int


class WritesReleased(Event, frozen=True, kw_only=True):
    volume: str
    held_ns: int
    queued_count: int
    queued_bytes: int


class HoldLost(Event, frozen=True, kw_only=True):
    """The volume's own timer let the writes go."""

    volume: str
    held_ns: int
    queued_count: int


class ReleaseFailed(Event, frozen=True, kw_only=True):
    """The coordinator could not let a volume's writes go, or does not know that it did; the volume's own timer will."""

    volume: str
    hresult: str
    message: str


class VolumeLost(Event, frozen=True, kw_only=True):
    volume: str


class VolumeReplaced(Event, frozen=True, kw_only=True):
    volume: str
