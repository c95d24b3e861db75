"""The demo for people: act by act, each with a timeline of its backup, a verdict last. Pure functions from data to text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vss.events import Record, SessionReleased, SessionStarted
from vss.exit_codes import ExitCode
from vss.observe.quantities import counted, duration, limit, size
from vss.observe.timeline import timeline
from vss_requestors.demo.act import Act, Comparison, RolledForward
from vss_requestors.results import BackupResult, RestoreResult, TruncatedLogs

COLUMNS = 120
_LABEL = 13
_RULE = "─" * COLUMNS


def demo_report(acts: Sequence[Act], records_of: Mapping[str, Sequence[Record]], seed: int, out: Path | None) -> str:
    """Return the whole text.

    Args:
        acts: in the order played.
        records_of: what each act recorded, by its name.
        seed: which demo it was.
        out: where everything is kept; None where nothing is.
    """
    lines = [
        "The laboratory for snapshot backup: the demo. Time is simulated, bytes are real.",
        f"Machine LAB01: databases on D:, transaction logs on L:, users at work; seed {seed}.",
        "",
    ]
    for number, act in enumerate(acts, start=1):
        lines += [_RULE, f"Act {number}: {act.title}", f"Must be: {act.expectation}", ""]
        lines += [each for line in _act(act) for each in _wrapped(line)]
        picture = timeline(_first_session(records_of.get(act.name, ())))
        lines += ["", *(each for line in picture.splitlines() for each in _wrapped(line))]
        lines += ["", *(each for line in _verdict(act) for each in _wrapped(line)), ""]
    lines += [_RULE, *_kept(acts, out), ""]
    met = sum(act.is_met for act in acts)
    lines.append(f"Verdict: {met} of {len(acts)} acts went as they must." + ("" if met == len(acts) else " THE REST DID NOT."))
    return "\n".join(lines)


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"


def _wrapped(line: str) -> list[str]:
    if len(line) <= COLUMNS:
        return [line]
    indent = " " * (_LABEL if line[:1] != " " else len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _act(act: Act) -> Iterator[str]:
    for each in act.before:
        if each.operations:
            yield _line("workload", f"{each.workload}: {counted(each.operations, 'operation')} acknowledged so far")
    if act.damage:
        yield _line("damaged", f"{act.damage}, on the disk, behind everybody's back")
    if act.backup is not None:
        yield from _backup(act.backup)
    if act.refusal is not None:
        yield _line("failed", f"{act.refusal.message}")
        yield _line("", f"{act.refusal.hresult}, exit code {act.refusal.exit_code}")
    if act.retry is not None:
        yield ""
        yield _line("once more", "the same backup, nothing else changed:")
        yield from _backup(act.retry)
    for volume in act.lost_volumes:
        yield ""
        yield _line("disaster", f"{volume} is lost with everything on it; an empty disk takes its place")
    if act.restore is not None:
        yield from _restore(act.restore)
    for recovery in act.rolled_forward:
        yield _rolled_forward(recovery)
    yield ""
    for each in act.compared:
        yield _compared(each, is_good=not act.problems)
    for problem in act.problems:
        yield _line("PROBLEM", problem)


def _backup(result: BackupResult) -> Iterator[str]:
    yield _line("backup", f"{result.backup_type}, set {result.set_id}")
    if result.freeze is not None:
        of_limit = f" of {limit(result.freeze.limit_ns)} allowed" if result.freeze.limit_ns > 0 else ""
        yield _line("froze", f"{duration(result.freeze.duration_ns)}{of_limit}, from the first Freeze to the last Thaw")
    for hold in result.holds:
        waited = f"{counted(hold.queued_count, 'write')} ({size(hold.queued_bytes)}) waited, done once, in order, after it"
        yield _line("held", f"{hold.volume} {duration(hold.held_ns)}; " + (waited if hold.queued_count else "no write came"))
    yield _line("copied", f"{counted(len(result.copied), 'file')}, {size(result.copied_bytes)}, from the shadow copies")
    good = sum(each.is_good for each in result.verified)
    pages = sum(each.pages for each in result.verified)
    of_files = f"{good} of {counted(len(result.verified), 'file')} good"
    yield _line("verified", f"{of_files}; {counted(pages, 'database page')}, every log, every digest, read again from the set")
    for finding in result.findings:
        place = f", page {finding.page_number}, offset {finding.offset}" if finding.page_number >= 0 else ""
        yield _line("WRONG", f"{finding.path}{place}: {finding.code}: {finding.message}")
    for component in result.components:
        word = "succeeded" if component.succeeded else "FAILED"
        yield _line("reported", f"{component.component.rpartition(chr(92))[2]}: {word}")
    for logs in result.truncations:
        yield _truncated(logs)
    if result.exit_code != ExitCode.OK:
        yield _line("exit code", str(result.exit_code))


def _truncated(logs: TruncatedLogs) -> str:
    if not logs.removed_count:
        return _line("truncated", f"NOTHING: {logs.reason}")
    went = f"generations {logs.removed_first:#x} to {logs.removed_last:#x} went ({logs.removed_count})"
    return _line("truncated", f"{went}, {logs.kept_first:#x} to {logs.kept_last:#x} stayed: {logs.reason}")


def _restore(result: RestoreResult) -> Iterator[str]:
    took = {each.phase: each.duration_ns for each in result.phases}
    restored = [each for each in result.files if each.action == "restored"]
    what = f"{counted(len(restored), 'file')}, {size(result.restored_bytes)}"
    yield _line("restored", f"{what}, from a set verified first; copying took {duration(took.get('restore', 0))}")
    for component in result.components:
        said = f": {component.reason}" if component.reason else ""
        yield _line("reported", f"{component.component.rpartition(chr(92))[2]}: files restored: {component.status}{said}")


def _rolled_forward(recovery: RolledForward) -> str:
    generations = f"generations {recovery.generation_first:#x} to {recovery.generation_last:#x} of {recovery.store}"
    counts = f"{recovery.records_redone:,} records redone, {recovery.records_skipped:,} skipped"
    undone = f", {counted(recovery.transactions_undone, 'transaction')} undone" if recovery.transactions_undone else ""
    return _line("replayed", f"{generations}: {counts}{undone}")


def _compared(each: Comparison, *, is_good: bool) -> str:
    result = "all there, nothing else" if is_good else "see below"
    counts = f"{counted(each.compared, each.noun)} of {counted(each.operations, 'acknowledged operation')}"
    return _line("compared", f"{each.workload}: {counts}, with its own record: {result}")


def _verdict(act: Act) -> Iterator[str]:
    if act.is_met:
        yield "As it must be."
    for sentence in act.failures:
        yield f"NOT as it must be: expected that {sentence}"


def _kept(acts: Sequence[Act], out: Path | None) -> Iterator[str]:
    if out is None:
        yield "Nothing of this is kept; 'vss demo --out DIR' keeps lab, backup sets and event log."
        return
    sets = [result.set_id for act in acts for result in (act.backup, act.retry) if result is not None]
    yield _line("lab", f"{out / 'lab'}  (vss lab show, vss lab run, vss lab check)")
    try_one = f"; vss verify {out / 'sets' / sets[0]}" if sets else ""
    yield _line("sets", f"{out / 'sets'}  ({counted(len(sets), 'set')}{try_one})")
    yield _line("events", f"{out / 'lab' / 'events.jsonl'}")


def _first_session(records: Sequence[Record]) -> Sequence[Record]:
    """The records of the first session: the act's backup."""
    started = next((index for index, record in enumerate(records) if isinstance(record.event, SessionStarted)), 0)
    for index, record in enumerate(records[started:], start=started):
        if isinstance(record.event, SessionReleased):
            return records[started : index + 1]
    return records
