"""The demo for people: act by act, the timeline of the first backup, a verdict last. Pure functions from data to text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vss.events import Record, SessionReleased
from vss.observe.timeline import timeline
from vss_requestors.betest_report import backup_report, restore_report
from vss_requestors.demo.story import Act

_RULE = "─" * 100


def demo_report(acts: Sequence[Act], records: Sequence[Record], seed: int) -> str:
    """Return the whole text."""
    lines = [f"The laboratory for snapshot backup: the demo, seed {seed}. Time is simulated, bytes are real.", ""]
    for number, act in enumerate(acts, start=1):
        lines += [_RULE, f"Act {number}: {act.title}", f"Expected: {act.expectation}", ""]
        lines += _act_lines(act)
        if number == 1:
            lines += ["", timeline(_first_session(records)).rstrip()]
        lines += ["", *_verdict(act), ""]
    met = sum(act.is_met for act in acts)
    lines += [
        _RULE,
        f"Verdict: {met} of {len(acts)} acts went as they must." + ("" if met == len(acts) else " NOT as it must be."),
    ]
    return "\n".join(lines)


def _act_lines(act: Act) -> Iterator[str]:
    if act.damage:
        yield from (f"damaged      {act.damage}", "")
    if act.backup is not None:
        yield backup_report(act.backup)
    if act.refusal is not None:
        yield f"refused      {act.refusal.message}"
        yield f"             {act.refusal.hresult}, exit code {act.refusal.exit_code}"
    if act.retry is not None:
        yield from ("", "The next backup:", "", backup_report(act.retry))
    if act.restore is not None:
        yield from ("", "The disk is replaced:", "", restore_report(act.restore))
    for name, count in act.operations.items():
        yield f"acknowledged {name}: {count} operations"
    for problem in act.problems:
        yield f"PROBLEM      {problem}"
    if not act.problems:
        yield "compared     with the workloads' own record: nothing is missing, nothing is there that should not be"


def _verdict(act: Act) -> Iterator[str]:
    if act.is_met:
        yield "As expected."
    for sentence in act.failures:
        yield f"NOT as expected: {sentence}"


def _first_session(records: Sequence[Record]) -> Sequence[Record]:
    for index, record in enumerate(records):
        if isinstance(record.event, SessionReleased):
            return records[: index + 1]
    return records
