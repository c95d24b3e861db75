"""What came of a scenario, for people: steps, faults, expectations, what is wrong with its evidence, and how to see it again.

Pure functions from an outcome to text of at most 120 columns. ``facts_of`` is the same as data, for ``--json``.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from vss.events import Record
from vss.observe.console import line
from vss.observe.quantities import counted, instant
from vss.observe.severity import is_bad_news
from vss.scenarios.outcome import Outcome, Shortfall, StepOutcome

COLUMNS = 120
BEFORE = 5
"""How many events are shown before the one that something is blamed on."""

_BAD_NEWS_MAX = 4
_UNSYNCED_MAX = 12


def reproduce_line(outcome: Outcome, path: str, faults: Sequence[str] = ()) -> str:
    """Return the command that runs it again: ``vss run x.toml --seed 3``. ``faults`` came from the command line."""
    return reproduction(["vss", "run", path], outcome.seed, faults)


def reproduction(command: Sequence[str], seed: int, faults: Sequence[str] = ()) -> str:
    """Return a command with its seed and its faults, quoted for a shell."""
    return shlex.join([*command, "--seed", str(seed), *(word for fault in faults for word in ("--fault", fault))])


def report(outcome: Outcome, reproduce: str) -> str:
    """Return the whole text."""
    lines = [f"{outcome.title} (seed {outcome.seed})", ""]
    lines += ["Steps", *(each for step in outcome.steps for each in _step_lines(step, outcome.records))]
    if outcome.faults:
        lines += ["", "Faults", *_fault_lines(outcome)]
    if outcome.expected:
        lines += ["", "Expected", *_expectation_lines(outcome)]
    if outcome.shortfalls:
        lines += ["", "Not as it must be"]
        lines += [each for shortfall in outcome.shortfalls for each in _shortfall_lines(shortfall, outcome.records)]
    lines += ["", *_closing(outcome)]
    return "\n".join([*(each for text in lines for each in wrapped(text)), *_command_lines(f"Again: {reproduce}")])


def _command_lines(text: str) -> list[str]:
    """Return a command in lines that a shell joins again, broken between words where there are too many of them."""
    lines = [""]
    for word in printable(text).split(" --"):
        piece = word if not lines[-1] else f" --{word}"
        if lines[-1] and len(lines[-1]) + len(piece) > COLUMNS - 2:
            lines[-1] += " \\"
            lines.append(f"   {piece}")
        else:
            lines[-1] += piece
    return lines


def printable(text: str) -> str:
    """Return the text on one line, with characters that would not show as their numbers."""
    return "".join(each if each.isprintable() else " " if each == "\n" else f"\\x{ord(each):02x}" for each in text)


def wrapped(text: str) -> list[str]:
    """Return a line in printable pieces of at most 120 columns, the later ones indented."""
    text = printable(text)
    if len(text) <= COLUMNS:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    return textwrap.wrap(text, COLUMNS, subsequent_indent=indent, break_on_hyphens=False)


def _step_lines(step: StepOutcome, records: Sequence[Record]) -> Iterator[str]:
    what = "" if step.kind == step.step else f" ({step.kind})"
    ended = "ok" if not step.exit_code and not step.error else f"exit {step.exit_code}"
    yield f"  {instant(step.began_ns)} … {instant(step.ended_ns)}  {step.step}{what}: {ended}"
    if step.error:
        code = f" [{step.hresult}]" if step.hresult else ""
        yield f"      {step.error}: {step.message}{code}"
    lost = step.data.get("unsynced", []) if isinstance(step.data, dict) else []
    for told in lost[:_UNSYNCED_MAX]:
        yield f"      unsynced {told}"
    if len(lost) > _UNSYNCED_MAX:
        yield f"      … and {len(lost) - _UNSYNCED_MAX} more; --json has them all"
    bad = [each for each in step.records_of(records) if is_bad_news(each.event)]
    for record in bad[:_BAD_NEWS_MAX]:
        yield f"      {line(record)}"
    if len(bad) > _BAD_NEWS_MAX:
        yield f"      … and {counted(len(bad) - _BAD_NEWS_MAX, 'event')} like these; --trace has them all"


def _fault_lines(outcome: Outcome) -> Iterator[str]:
    for each in outcome.faults:
        struck = f"struck {counted(each.strikes, 'time')}" if each.strikes else "NEVER STRUCK"
        yield f"  {struck}: {each.fault}" + (f" (during '{each.during}')" if each.during else "")


def _expectation_lines(outcome: Outcome) -> Iterator[str]:
    for each in outcome.expected:
        yield f"  {'NOT ' if each.shortfalls else 'yes '} {each.text}" + (f" ({each.because})" if each.because else "")
        for came in each.shortfalls:
            yield f"        {came}"


def _shortfall_lines(shortfall: Shortfall, records: Sequence[Record]) -> Iterator[str]:
    yield f"  {shortfall.kind} {shortfall.name}: {shortfall.message}"
    for number in shortfall.records[:1]:
        for record in records[max(number - BEFORE, 0) : number]:
            yield f"        {line(record)}"
    for number in shortfall.records:
        if number < len(records):
            yield f"      → {line(records[number])}"


def _closing(outcome: Outcome) -> Iterator[str]:
    if outcome.not_judged:
        yield f"Not judged, for lack of evidence: {', '.join(outcome.not_judged)}"
    measures = f"{instant(outcome.virtual_ns)} of virtual time, {counted(len(outcome.records), 'event')}"
    wrong = len(outcome.shortfalls)
    verdict = "as it must be" if outcome.ok else f"{counted(wrong, 'thing')} NOT as it must be"
    yield f"Verdict: {verdict} ({measures}, digest {outcome.digest})"


def facts_of(outcome: Outcome, reproduce: str) -> dict[str, Any]:
    """Return the outcome as data for ``--json``: everything but the records."""
    import msgspec

    facts: dict[str, Any] = msgspec.to_builtins(outcome)
    facts["events"] = len(facts.pop("records"))
    return facts | {"ok": outcome.ok, "reproduce": reproduce, "exit_code": int(outcome.exit_code)}
