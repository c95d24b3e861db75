"""The service's event log: ids and severities said a second time, and entries that wait while writes are held."""

from __future__ import annotations

import pytest

from vss.coordinator.service_log import ENTRIES, KERNEL, SERVICE, ServiceLog
from vss.events import ApplicationLogged, Event

ERRORS = (4002, 8217, 8218, 8221, 12293, 12294, 12297, 12298, 12299, 12301, 12308, 12310, 12366)
WARNINGS = (4003, 8219, 8220, 8226, 8229, 12323, 12324, 12325, 12326, 12349)


def test_the_ids_and_severities() -> None:
    assert {key: severity for key, (severity, _) in ENTRIES.items()} == {
        **{(SERVICE, event_id): "error" for event_id in ERRORS},
        **{(SERVICE, event_id): "warning" for event_id in WARNINGS},
        (KERNEL, 8): "error",
        (KERNEL, 9): "error",
        (KERNEL, 23): "error",
        (KERNEL, 58): "information",
    }
    assert len({meaning for _, meaning in ENTRIES.values()}) == len(ENTRIES)


@pytest.mark.parametrize(("source", "event_id"), list(ENTRIES))
def test_an_entry_has_its_source_id_severity_and_the_detail(source: str, event_id: int) -> None:
    events: list[Event] = []

    ServiceLog(events.append).write(event_id, "volume D:", source)

    (entry,) = events
    assert isinstance(entry, ApplicationLogged)
    severity, meaning = ENTRIES[source, event_id]
    assert (entry.source, entry.event_id, entry.severity) == (source, event_id, severity)
    assert entry.message == f"{meaning}: volume D:"


def test_entries_wait_until_the_last_hold_is_over_and_are_written_once_in_order() -> None:
    events: list[Event] = []
    log = ServiceLog(events.append)

    def ids() -> list[int]:
        return [each.event_id for each in events if isinstance(each, ApplicationLogged)]

    log.hold()
    log.write(12293, "first")
    log.hold()
    log.resume()
    log.write(12298, "second")
    assert ids() == []
    log.resume()
    assert ids() == [12293, 12298]

    log.hold()
    log.resume()
    assert ids() == [12293, 12298]
    log.write(8229, "at once")
    assert ids() == [12293, 12298, 8229]
