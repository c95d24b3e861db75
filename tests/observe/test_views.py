"""Console lines, quantities, structlog and the Windows-like event log."""

from __future__ import annotations

import msgspec
import pytest
import structlog

from vss import events
from vss.events import Event, Record
from vss.observe import Recorder, console, quantities
from vss.observe.event_log import event_log
from vss.observe.jsonl import event_types
from vss.observe.severity import is_bad_news
from vss.observe.structlog_sink import StructlogSink

OWN = [
    each
    for each in event_types().values()
    if each.__module__.startswith("vss.events.") and each.__module__ != "vss.events.fine"
]


def sample(event_type: type[Event]) -> Event:
    values = {bool: True, int: 7, tuple[str, ...]: ("ONE", "TWO")}
    fields = msgspec.structs.fields(event_type)
    return event_type(**{field.name: values.get(field.type, field.name.upper()) for field in fields})


@pytest.mark.parametrize("event_type", OWN, ids=lambda each: each.__name__)
def test_every_event_has_a_sentence_of_its_own(event_type: type[Event]) -> None:
    text = console.sentence(sample(event_type))

    assert event_type.__name__ not in text
    assert "\n" not in text
    assert len(text) < 200


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.WriterFroze(writer="Exchange"), "Exchange froze"),
        (
            events.SessionStarted(session_id="0123456789", kind="backup", backup_type="FULL"),
            "session 01234567 started: full backup",
        ),
        (events.SessionStarted(session_id="0123456789", kind="restore"), "session 01234567 started: restore"),
        (events.PhaseLeft(phase="hold", duration_ns=2_000_000), "phase hold took 2.0 ms"),
        (events.PhaseLeft(phase="hold", duration_ns=0, outcome="failed"), "phase hold took 0 s: failed"),
        (
            events.WritesReleased(volume="D:", held_ns=1_500, queued_count=2, queued_bytes=8192),
            "D: released after 2 µs, 2 writes (8.0 KiB) were queued",
        ),
        (events.WritesReleased(volume="D:", held_ns=1_500, queued_count=0, queued_bytes=0), "D: released after 2 µs"),
        (
            events.CorruptionFound(path="D:\\a.edb", code="-1018", message="bad checksum", page_number=5, offset=49152),
            "corruption in D:\\a.edb, page 5, offset 49152: bad checksum [-1018]",
        ),
        (events.CorruptionFound(path="D:\\a", code="x", message="short"), "corruption in D:\\a: short [x]"),
        (
            events.LogsTruncated(
                store="SG1", removed_first=1, removed_last=16, removed_count=16, kept_first=17, kept_last=18, reason=""
            ),
            "SG1: 16 log generations removed (0x1…0x10); kept 0x11…0x12",
        ),
        (
            events.LogsTruncated(
                store="SG1", removed_first=1, removed_last=1, removed_count=1, kept_first=0, kept_last=0, reason="full"
            ),
            "SG1: 1 log generation removed (0x1…0x1); kept none (full)",
        ),
        (
            events.LogsTruncated(
                store="SG1",
                removed_first=0,
                removed_last=0,
                removed_count=0,
                kept_first=1,
                kept_last=3,
                reason="component failed",
            ),
            "SG1: no log generation removed (component failed); kept 0x1…0x3",
        ),
        (
            events.RecoveryFinished(
                store="SG1",
                kind="hard",
                generation_first=1,
                generation_last=3,
                records_redone=1000,
                records_skipped=2,
                transactions_undone=1,
            ),
            "SG1: hard recovery over generations 0x1…0x3, 1,000 records redone, 2 skipped, 1 transaction undone",
        ),
        (
            events.RecoveryFinished(
                store="SG1", kind="soft", generation_first=1, generation_last=1, records_redone=0, records_skipped=0
            ),
            "SG1: soft recovery over generations 0x1…0x1, 0 records redone, 0 skipped",
        ),
        (events.FileVerified(path="L:\\E00.log", size_bytes=1), "verified L:\\E00.log, 1 byte"),
        (events.FaultFired(site="writer.freeze", effect="hang"), "fault hang at writer.freeze"),
        (
            events.FreezeWindowLost(snapshot_set_id="s", duration_ns=10_000_000_000, limit_ns=10_000_000_000),
            "freeze window lost after 10.000 s (10 s allowed)",
        ),
        (events.FreezeWindowOpened(snapshot_set_id="s", limit_ns=-1), "freeze window opened, limit none"),
    ],
)
def test_sentences(event: Event, expected: str) -> None:
    assert console.sentence(event) == expected


def test_a_line_starts_with_the_instant() -> None:
    assert console.line(Record(1, 3_250_000_000, events.VolumeFlushed(volume="D:"))) == "00:00:03.250  D: flushed"


def test_an_event_of_a_plugin_falls_back_to_name_and_fields() -> None:
    class TapeMoved(Event, frozen=True, kw_only=True):
        slot: int

    assert console.sentence(TapeMoved(slot=3)) == "TapeMoved slot=3"


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "0 s"),
        (12_000, "12 µs"),
        (250_000_000, "250.0 ms"),
        (3_250_000_000, "3.250 s"),
        (61_000_000_000, "1 min 01 s"),
        (7_384_000_000_000, "2 h 03 min 04 s"),
    ],
)
def test_durations(nanoseconds: int, expected: str) -> None:
    assert quantities.duration(nanoseconds) == expected


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [(10_000_000_000, "10 s"), (2_500_000_000, "2.5 s"), (100_000_000, "100 ms"), (0, "0 s"), (-1, "none")],
)
def test_limits(nanoseconds: int, expected: str) -> None:
    assert quantities.limit(nanoseconds) == expected


@pytest.mark.parametrize(("nanoseconds", "expected"), [(0, "00:00:00.000"), (90_061_002_000_000, "1d 01:01:01.002")])
def test_instants(nanoseconds: int, expected: str) -> None:
    assert quantities.instant(nanoseconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (12_288, "12.0 KiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 50, "1024.0 TiB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    assert quantities.size(count) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.HoldLost(volume="D:", held_ns=1, queued_count=0), True),
        (events.WriterFroze(writer="w"), False),
        (events.PhaseLeft(phase="hold", outcome="failed"), True),
        (events.PhaseLeft(phase="hold"), False),
        (events.ApplicationLogged(source="ESE", event_id=474, severity="Error", message="bad"), True),
        (events.ApplicationLogged(source="ESE", event_id=2001, severity="Information", message="begin"), False),
    ],
)
def test_bad_news(event: Event, expected: bool) -> None:
    assert is_bad_news(event) is expected


def test_structlog_gets_the_class_name_the_fields_and_the_stamp() -> None:
    recorder = Recorder(lambda: 5)
    with structlog.testing.capture_logs() as logs:
        recorder.subscribe(StructlogSink())
        recorder.emit(events.WriterFroze(writer="Exchange"))
        recorder.emit(events.HoldLost(volume="D:", held_ns=1, queued_count=0))

    assert logs == [
        {"event": "WriterFroze", "writer": "Exchange", "session_id": "", "seq": 1, "instant_ns": 5, "log_level": "info"},
        {
            "event": "HoldLost",
            "volume": "D:",
            "held_ns": 1,
            "queued_count": 0,
            "seq": 2,
            "instant_ns": 5,
            "log_level": "warning",
        },
    ]


@pytest.mark.parametrize("event_type", OWN, ids=lambda each: each.__name__)
def test_structlog_takes_every_event(event_type: type[Event]) -> None:
    with structlog.testing.capture_logs() as logs:
        StructlogSink(structlog.get_logger())(Record(1, 0, sample(event_type)))

    assert logs[0]["event"] == event_type.__name__


def test_the_event_log_reads_like_the_event_viewer() -> None:
    records = [
        Record(
            1, 1_500_000_000, events.ApplicationLogged(source="ESE", event_id=2001, severity="information", message="begins")
        ),
        Record(2, 0, events.VolumeFlushed(volume="D:")),
    ]

    assert event_log(records, machine_name="EX1", wall_start_ns=1_700_000_000_000_000_000) == (
        "Log Name:      Application\n"
        "Source:        ESE\n"
        "Date:          2023-11-14T22:13:21.500Z\n"
        "Event ID:      2001\n"
        "Level:         Information\n"
        "Keywords:      Classic\n"
        "User:          N/A\n"
        "Computer:      EX1\n"
        "Description:\n"
        "begins\n"
    )
    assert event_log([], machine_name="EX1") == ""
