"""Traces: a run as a file, to be repeated by anybody; a repetition says where it first differs.

JSON lines. The first is the header: what was run and with what. The second holds the schedule's answers, where it had any. Then
the digest of the records after every hundred, and of all, so that a run which goes another way is located. A trace is promised
to repeat under the same version and the same minor version of Python; plans and schedules without digests are good for longer.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence

import msgspec

from vss.errors import ConfigurationError
from vss.events import Record
from vss.exploration.schedules import choice_source, schedule_text
from vss.exploration.trials import Explorer, Trial
from vss.observe import jsonl
from vss.simulation import RecordedChoices

FORMAT = "vss.trace/1"
STRIDE = 100


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What was run.

    Attributes:
        format: of the file.
        version: of this package.
        python: major and minor.
        scenario: name of the scenario file.
        scenario_digest: of its text.
        trial: plan and schedule.
    """

    format: str = FORMAT
    version: str
    python: str
    scenario: str
    scenario_digest: str
    trial: Trial


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A whole trace.

    Attributes:
        header: what was run.
        answers: the schedule's, as text.
        digests: (number of records, digest of that many), every hundred and at the end.
    """

    header: Header
    answers: str
    digests: tuple[tuple[int, str], ...]

    def encoded(self) -> bytes:
        """Return the bytes of the file."""
        lines: list[object] = [self.header, {"choices": self.answers}]
        lines += [{"records": count, "digest": digest} for count, digest in self.digests]
        return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


class _Line(msgspec.Struct, kw_only=True):
    choices: str = ""
    records: int = 0
    digest: str = ""


def python_minor() -> str:
    """Return the version of Python that traces are promised for, such as "3.11"."""
    return ".".join(platform.python_version_tuple()[:2])


def record(explorer: Explorer, trial: Trial, *, text: str, source: str, version: str) -> Trace:
    """Run a trial and return its trace."""
    outcome_records, answers = _run(explorer, trial)
    header = Header(
        version=version,
        python=python_minor(),
        scenario=source,
        scenario_digest=digest_of_text(text),
        trial=msgspec.structs.replace(trial, choices=answers) if answers else trial,
    )
    return Trace(header=header, answers=answers, digests=digests_of(outcome_records))


def parse_trace(data: bytes, source: str = "trace") -> Trace:
    """Return the trace of a file.

    Raises:
        ConfigurationError: it is none, or of another format.
    """
    lines = data.splitlines()
    try:
        header = msgspec.json.decode(lines[0] if lines else b"", type=Header)
        rest = [msgspec.json.decode(line, type=_Line) for line in lines[1:]]
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{source}: expected a trace, found: {error}") from error
    if header.format != FORMAT:
        raise ConfigurationError(f"{source}: format: expected '{FORMAT}', found '{header.format}'")
    answers = next((line.choices for line in rest if line.choices), "")
    return Trace(header=header, answers=answers, digests=tuple((each.records, each.digest) for each in rest if each.digest))


def replay(explorer: Explorer, trace: Trace, *, text: str) -> list[str]:
    """Run a trace's trial again and return in what way it differs, one sentence each; the last says where it first does."""
    told = []
    if digest_of_text(text) != trace.header.scenario_digest:
        told.append(f"the text of scenario {trace.header.scenario} is not the one that was recorded")
    if trace.header.python != python_minor():
        told.append(f"recorded under Python {trace.header.python}, replayed under {python_minor()}")
    records, _ = _run(explorer, trace.header.trial)
    found = dict(digests_of(records))
    for count, digest in trace.digests:
        if found.get(count) != digest:
            event = f": {records[-1].event!r} was the last" if count > len(records) else ""
            before = max((each for each, known in trace.digests if each < count and found.get(each) == known), default=0)
            told.append(f"the run differs from the trace between records {before + 1} and {count}{event}")
            break
    return told


def digests_of(records: Sequence[Record]) -> tuple[tuple[int, str], ...]:
    """Return the digest of the first hundred records, of the first two hundred, …, and of all."""
    digest = hashlib.blake2b(digest_size=16)
    found = []
    for number, each in enumerate(records, start=1):
        digest.update(jsonl.encode(each))
        if number % STRIDE == 0 or number == len(records):
            found.append((number, digest.hexdigest()))
    return tuple(found)


def digest_of_text(text: str) -> str:
    """Return the digest of a scenario's text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _run(explorer: Explorer, trial: Trial) -> tuple[Sequence[Record], str]:
    source = choice_source(trial.order, trial.choices, trial.seed)
    recorded = None if source is None else RecordedChoices(source)
    outcome = explorer.outcome(trial, recorded)
    return outcome.records, "" if recorded is None else schedule_text(recorded.answers)
