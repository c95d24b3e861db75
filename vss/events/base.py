"""What every event is, and what a record adds to it. Imports nothing local."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """Base of all events; the tag in JSON is the class name."""


class Record(msgspec.Struct, frozen=True):
    """An event as recorded: sequence number from 1, instant in nanoseconds since the world began."""

    sequence: int
    instant_ns: int
    event: Event
