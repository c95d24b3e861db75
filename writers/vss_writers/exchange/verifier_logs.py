"""How the logs of a backup set follow on one another, and whether they suffice for its databases. Pure.

Logs of one directory and base name are one stream. Within it every generation must be there from the lowest to the highest, of
one signature, each made after the one before it (its header names that one's creation time). A database belongs to the stream
with its log signature. Sources: published engine, logredo.cxx (checks of recovery, whose error codes are used).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from vss.roles.verifier import Finding
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.log_file import LogHeader
from vss_writers.ese.log_profile import generation_of

_LOG = re.compile(r"(?P<base>.{3})(?P<digits>[0-9A-F]{5}|[0-9A-F]{8})?\.log", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a log stands: its path, the stream that its directory and base name stand for, and the generation in its name."""

    path: str
    stream: str
    generation: int | None

    @property
    def is_current(self) -> bool:
        """Whether it has the current log's name; such a log may end anywhere."""
        return self.generation is None


@dataclass(slots=True)
class StreamLogs:
    """The logs of a set, by stream and in the order they were met."""

    streams: dict[str, list[tuple[LogPlace, LogHeader]]] = field(default_factory=dict)

    def place_of(self, path: str) -> LogPlace | None:
        """Return where a log stands; None for a log that is being prepared or kept in reserve."""
        directory, _, name = path.rpartition("\\")
        match = _LOG.fullmatch(name)
        if match is None:
            return None
        return LogPlace(path, f"{directory}\\{match['base']}".casefold(), generation_of(match["base"], name))

    def add(self, place: LogPlace, header: LogHeader) -> None:
        """Take a log whose bytes are good."""
        self.streams.setdefault(place.stream, []).append((place, header))


def name_of(code: JetCode) -> str:
    """Return an error's name and number, as the engine's tool prints them."""
    return f"JET_err{code.name} {code.value}"


def finding_of(error: JetError, path: str) -> Finding:
    """Return an engine error about ``path`` as a finding."""
    offset = -1 if error.offset is None else error.offset
    return Finding(path=path, code=name_of(error.code), message=str(error), offset=offset)


def judge_name(place: LogPlace, header: LogHeader) -> list[Finding]:
    """A closed log's name says its generation."""
    if place.generation in (None, header.generation):
        return []
    return [
        Finding(
            path=place.path,
            code=name_of(JetCode.LogGenerationMismatch),
            message="the name and the header disagree about the generation",
            offset=4,
            expected=f"{place.generation:08X}",
            found=f"{header.generation:08X}",
        )
    ]


def judge_sequence(logs: StreamLogs) -> list[Finding]:
    """Each log follows on the one before it."""
    findings: list[Finding] = []
    for members in logs.streams.values():
        ordered = sorted(members, key=lambda member: member[1].generation)
        for (_, before), (place, header) in pairwise(ordered):
            findings += _judge_pair(before, place, header)
    return findings


def _judge_pair(before: LogHeader, place: LogPlace, header: LogHeader) -> list[Finding]:
    if header.signature != before.signature:
        expected, found = str(before.signature.random), str(header.signature.random)
        return [_chain(place, JetCode.BadLogSignature, "the log belongs to another stream", expected, found)]
    if header.generation == before.generation:
        return [_chain(place, JetCode.InvalidLogSequence, "a generation is there twice", "", f"{header.generation:08X}")]
    if header.generation != before.generation + 1:
        expected, found = f"{before.generation + 1:08X}", f"{header.generation:08X}"
        return [_chain(place, JetCode.MissingLogFile, "generations before this one are missing", expected, found)]
    if header.previous_created != before.created:
        expected, found = str(before.created), str(header.previous_created)
        return [_chain(place, JetCode.InvalidLogSequence, "the log follows on another predecessor", expected, found)]
    return []


def _chain(place: LogPlace, code: JetCode, message: str, expected: str, found: str) -> Finding:
    return Finding(path=place.path, code=name_of(code), message=message, expected=expected, found=found)


def judge_needs(path: str, header: DatabaseHeader, logs: StreamLogs) -> list[Finding]:
    """A dirty database needs its required generations, and those that are committed."""
    if header.is_clean or not header.generation_min_required:
        return []
    present = [
        each.generation for members in logs.streams.values() for _, each in members if each.signature == header.log_signature
    ]
    required = range(header.generation_min_required, header.generation_max_required + 1)
    committed = range(required.stop, header.generation_max_committed + 1)
    return [
        *_judge_range(path, required, present, JetCode.RequiredLogFilesMissing, "the set lacks logs that the database needs"),
        *_judge_range(path, committed, present, JetCode.CommittedLogFilesMissing, "the set lacks logs with committed changes"),
    ]


def _judge_range(path: str, needed: range, present: list[int], code: JetCode, message: str) -> list[Finding]:
    missing = [each for each in needed if each not in present]
    if not missing:
        return []
    return [
        Finding(
            path=path,
            code=name_of(code),
            message=message,
            expected=f"{needed.start}-{needed.stop - 1}",
            found=f"missing {', '.join(map(str, missing))}",
        )
    ]
