"""What the engine says, told to the machine as entries of the application's event log."""

from __future__ import annotations

from vss.events import ApplicationLogged
from vss.plugins.hosts import WriterHost
from vss_writers.ese.engine_event import EngineEvent, Severity

SOURCE = "ESE"

_QUIET = frozenset({102, 105, 103, 301, 326, 327, 2000})
"""Events of every start and stop; shown only when they warn, or they would drown the rest."""


class EngineEvents:
    """The sink handed to the engine of one storage group."""

    def __init__(self, host: WriterHost, store: str) -> None:
        """Speak for ``store``."""
        self._host = host
        self._store = store

    def take(self, event: EngineEvent) -> None:
        """Record one engine event."""
        if event.event_id in _QUIET and event.severity is Severity.INFORMATION:
            return
        text = event.text if not event.path else f"{event.path}: {event.text}"
        self._host.ports.emit(
            ApplicationLogged(
                source=SOURCE, event_id=event.event_id, severity=event.severity.value, message=f"{self._store}: {text}"
            )
        )
