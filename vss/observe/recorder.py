"""The recorder: the only place that stamps and stores events.

Invariants: sequence numbers start at 1 and have no gaps; instants never decrease (the clock's promise); a record is stored
before any sink sees it; every sink sees every record since it subscribed, in order. While any volume holds writes, nothing is
delivered: rendering and file output would lengthen the window, and on the held volume they would wait for its end. Which
volumes hold is read from the events themselves. A sink that raises is dropped and kept with its reason in ``failures``: the
caller reports it, a backup must not fail because its log cannot be written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from vss.events import Event, HoldLost, Record, VolumeLost, WritesHeld, WritesReleased

Sink = Callable[[Record], None]


@dataclass(frozen=True, slots=True)
class SinkFailure:
    """A sink that raised: the record it saw last and what it raised."""

    sink: Sink
    record: Record
    error: Exception


class Recorder:
    """Collects events; hand ``emit`` to the ports."""

    def __init__(self, clock_now_ns: Callable[[], int]) -> None:
        """Stamp events with ``clock_now_ns`` (``Clock.now_ns``)."""
        self._now_ns = clock_now_ns
        self.records: list[Record] = []
        self.failures: list[SinkFailure] = []
        self._sinks: list[Sink] = []
        self._waiting: deque[Record] = deque()
        self._holding: set[str] = set()
        self._is_delivering = False

    def emit(self, event: Event) -> None:
        """Record ``event`` now. Safe to call from a sink: the new record comes after the current one."""
        record = Record(len(self.records) + 1, self._now_ns(), event)
        self.records.append(record)
        if isinstance(event, WritesHeld):
            self._holding.add(event.volume)
        elif isinstance(event, WritesReleased | HoldLost | VolumeLost):
            self._holding.discard(event.volume)
        if self._sinks:
            self._waiting.append(record)
            if not self._holding:
                self.flush()

    def subscribe(self, sink: Sink) -> None:
        """Show ``sink`` every record from now on."""
        if not self._holding:
            self.flush()
        self._sinks.append(sink)

    def flush(self) -> None:
        """Deliver what waits, held volumes or not; call it when the run is over."""
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            while self._waiting:
                self._deliver(self._waiting.popleft())
        finally:
            self._is_delivering = False

    def _deliver(self, record: Record) -> None:
        for sink in list(self._sinks):
            try:
                sink(record)
            except Exception as error:  # noqa: BLE001 - kept in failures and reported by the caller
                self._sinks.remove(sink)
                self.failures.append(SinkFailure(sink, record, error))
