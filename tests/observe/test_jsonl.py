"""JSON Lines: stable bytes, exact round trip for every event, errors that name the line."""

from __future__ import annotations

import json

import msgspec
import pytest

from vss.errors import DocumentError
from vss.events import Event, Record, VolumeFlushed, WriterFroze
from vss.observe import Recorder, jsonl

TYPES = list(jsonl.event_types().values())


def sample(event_type: type[Event]) -> Event:
    """An event with a value in every field, made from the field's type."""
    values = {bool: True, int: 7, tuple[str, ...]: ("ü", "7")}
    fields = msgspec.structs.fields(event_type)
    return event_type(**{field.name: values.get(field.type, f"ü {field.name}") for field in fields})


def test_a_line_has_schema_sequence_instant_and_event_in_this_order() -> None:
    assert jsonl.encode(Record(3, 5, WriterFroze(writer="Exchange"))) == (
        b'{"schema":"vss.event/1","seq":3,"instant_ns":5,"event":"WriterFroze","writer":"Exchange","session_id":""}\n'
    )


@pytest.mark.parametrize("event_type", TYPES, ids=lambda each: each.__name__)
def test_every_event_survives_the_round_trip(event_type: type[Event]) -> None:
    record = Record(1, 2, sample(event_type))

    assert jsonl.decode(jsonl.encode(record)) == record


def test_a_whole_log_survives_the_round_trip_and_blank_lines_are_skipped() -> None:
    records = [Record(number, number, sample(each)) for number, each in enumerate(TYPES, start=1)]

    assert list(jsonl.decode_all(jsonl.encode_all(records) + b"\n  \n")) == records


def test_unknown_fields_are_ignored() -> None:
    line = b'{"schema":"vss.event/1","seq":1,"instant_ns":0,"event":"VolumeFlushed","volume":"D:","later":1}'

    assert jsonl.decode(line) == Record(1, 0, VolumeFlushed(volume="D:"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "line 4: Input data was truncated"),
        (b'{"schema":"vss.event/2","seq":1,"instant_ns":0,"event":"VolumeFlushed"}', "found 'vss.event/2'"),
        (b'{"schema":"vss.event/1","seq":1,"instant_ns":0,"event":"Nonsense"}', "unknown event 'Nonsense'"),
        (b'{"schema":"vss.event/1","seq":1,"instant_ns":0,"event":"VolumeFlushed"}', "missing required field `volume`"),
        (b'{"seq":1}', "missing required field `schema`"),
    ],
)
def test_a_bad_line_is_named(line: bytes, words: str) -> None:
    with pytest.raises(DocumentError, match="event log line 4") as raised:
        jsonl.decode(line, number=4)

    assert words in str(raised.value)


def test_a_sink_writes_a_line_per_record() -> None:
    lines: list[bytes] = []
    recorder = Recorder(lambda: 0)
    recorder.subscribe(jsonl.sink(lines.append))
    recorder.emit(VolumeFlushed(volume="D:"))

    assert lines == [jsonl.encode(recorder.records[0])]


def test_events_of_subclasses_are_found_too() -> None:
    class Special(VolumeFlushed, frozen=True, kw_only=True, tag=True):
        extra: int

    assert jsonl.event_types()["Special"] is Special
    assert jsonl.decode(jsonl.encode(Record(1, 0, Special(volume="D:", extra=2)))).event == Special(volume="D:", extra=2)


def test_the_schema_names_every_event_and_is_json() -> None:
    schema = json.loads(json.dumps(jsonl.json_schema()))

    assert {each.__name__ for each in TYPES} <= set(schema["$defs"])
    assert schema["properties"]["schema"] == {"const": "vss.event/1"}
