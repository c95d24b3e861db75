"""What the engine tells its owner: one record per event of the vendor's list, numbers and meaning theirs, wording ours.

Sources: published engine, jetmsg.mc.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How an event is shown."""

    INFORMATION = "information"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """One event.

    Attributes:
        event_id: the vendor's number.
        text: what happened, for people.
        severity: how it is shown.
        path: the file concerned, or empty.
        values: named values, in a fixed order.
    """

    event_id: int
    text: str
    severity: Severity = Severity.INFORMATION
    path: str = ""
    values: tuple[tuple[str, str | int], ...] = ()

    def value(self, name: str) -> str | int | None:
        """Return a named value, or None."""
        return dict(self.values).get(name)


EventSink = Callable[[EngineEvent], None]


def ignore_events(event: EngineEvent) -> None:
    """The sink of somebody who does not listen."""
