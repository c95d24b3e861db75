"""Records as JSON Lines, schema ``vss.event/1``, and back.

One object per line: ``schema``, ``seq``, ``instant_ns``, ``event`` (the class name), then the event's fields in the order of
their declaration. The bytes depend on nothing but the records. Readers ignore fields they do not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from vss.errors import DocumentError
from vss.events import Event, Record

SCHEMA = "vss.event/1"

_encoder = msgspec.json.Encoder()


class _Head(msgspec.Struct):
    schema: str
    seq: int
    instant_ns: int
    event: str


def event_types() -> dict[str, type[Event]]:
    """Return every event class by name, in order of declaration; plugins' own events come as they were imported."""
    found: dict[str, type[Event]] = {}
    waiting = list(Event.__subclasses__())
    while waiting:
        event_type = waiting.pop(0)
        found.setdefault(event_type.__name__, event_type)
        waiting += event_type.__subclasses__()
    return found


def encode(record: Record) -> bytes:
    """Return one line, line feed included."""
    # The tag makes the event's own JSON start with {"event":…, so that the head can be put before it without a second pass.
    head = b'{"schema":"vss.event/1","seq":%d,"instant_ns":%d,' % (record.sequence, record.instant_ns)
    return head + _encoder.encode(record.event)[1:] + b"\n"


def encode_all(records: Iterable[Record]) -> bytes:
    """Return the whole log."""
    return b"".join(map(encode, records))


def decode(line: bytes, *, number: int = 1) -> Record:
    """Return the record of one line; ``number`` is the line's, for messages.

    Raises:
        DocumentError: the line is no JSON, of another schema, or of an event that this version does not know.
    """
    try:
        head = msgspec.json.decode(line, type=_Head)
        if head.schema != SCHEMA:
            raise DocumentError(f"event log line {number}: expected schema '{SCHEMA}', found '{head.schema}'")
        event_type = event_types().get(head.event)
        if event_type is None:
            raise DocumentError(f"event log line {number}: unknown event '{head.event}'")
        return Record(head.seq, head.instant_ns, msgspec.json.decode(line, type=event_type))
    except msgspec.DecodeError as error:
        raise DocumentError(f"event log line {number}: {error}") from error


def decode_all(data: bytes) -> Iterator[Record]:
    """Yield the records of a whole log; raises as ``decode`` does."""
    for number, line in enumerate(data.splitlines(), start=1):
        if line.strip():
            yield decode(line, number=number)


def sink(write: Callable[[bytes], object]) -> Callable[[Record], None]:
    """Return a sink that hands each line to ``write``."""
    return lambda record: _discard(write(encode(record)))


def _discard(_: object) -> None:
    return None


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of one line."""
    schemas, components = msgspec.json.schema_components(list(event_types().values()), ref_template="#/$defs/{name}")
    head = {
        "schema": {"const": SCHEMA},
        "seq": {"type": "integer", "minimum": 1},
        "instant_ns": {"type": "integer", "minimum": 0},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        "type": "object",
        "properties": head,
        "required": list(head),
        "oneOf": list(schemas),
        "$defs": components,
    }
