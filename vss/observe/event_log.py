"""What the applications wrote, in the form in which people paste the Windows event log into reports.

The fields and their order are those of Event Viewer's "copy as text". The date is the wall clock's at the start of the run
plus the record's instant, in UTC: simulated time is shown as such by whoever prints this, never as today's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from vss.events import ApplicationLogged, Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_log(records: Iterable[Record], *, machine_name: str, wall_start_ns: int = 0) -> str:
    """Return the application log of ``machine_name``; empty when nothing was logged.

    Args:
        records: the run's records; all but ``ApplicationLogged`` are passed over.
        machine_name: goes to the Computer field.
        wall_start_ns: wall time (nanoseconds since 1970) at instant 0.
    """
    entries = [
        _entry(record.instant_ns, record.event, machine_name, wall_start_ns)
        for record in records
        if isinstance(record.event, ApplicationLogged)
    ]
    return "\n".join(entries)


def _entry(instant_ns: int, event: ApplicationLogged, machine_name: str, wall_start_ns: int) -> str:
    date = _EPOCH + timedelta(microseconds=(wall_start_ns + instant_ns) // 1_000)
    return (
        f"Log Name:      Application\n"
        f"Source:        {event.source}\n"
        f"Date:          {date:%Y-%m-%dT%H:%M:%S}.{date.microsecond // 1000:03}Z\n"
        f"Event ID:      {event.event_id}\n"
        f"Level:         {event.severity.capitalize()}\n"
        f"Keywords:      Classic\n"
        f"User:          N/A\n"
        f"Computer:      {machine_name}\n"
        f"Description:\n"
        f"{event.message}\n"
    )
