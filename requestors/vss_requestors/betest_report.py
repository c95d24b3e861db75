"""What ``betest`` and ``vss verify`` say to people: pure functions from results to text, verdict last."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import msgspec

from vss.exit_codes import ExitCode
from vss.observe import quantities
from vss.roles.verifier import Finding
from vss_requestors.component_outcomes import describe
from vss_requestors.results import (
    BackupResult,
    CompletionResult,
    LeftOutFile,
    PhaseTiming,
    RestoreResult,
    SetVerification,
    TruncatedLogs,
)

WIDTH = 120
"""Columns a report may have; longer lines go on below, behind their label."""

_LABEL = 13


def backup_report(result: BackupResult, *, is_verbose: bool = False) -> str:
    """Return the text of a backup."""
    lines = [f"{result.backup_type} backup, set {result.set_id}", "", *_phases(result.phases)]
    lines += ["", *_windows(result)]
    for snapshot in result.snapshots:
        life = "kept" if snapshot.is_kept else "released with the session"
        lines.append(f"shadow copy  {snapshot.volume} {snapshot.snapshot_id}, {life}")
    if result.state:
        lines += ["", f"copied       {quantities.counted(len(result.copied), 'file')}, {quantities.size(result.copied_bytes)}"]
        if is_verbose:
            lines += [f"  {each.path}  {quantities.size(each.size_bytes)}  {each.sha256}" for each in result.copied]
        lines += [_left_out(each) for each in result.left_out]
        lines += _verified(result)
    lines += _findings(result.findings)
    lines += [_component(each.writer, each.component, each.succeeded, each.reason) for each in result.components]
    lines += [_truncated(each) for each in result.truncations]
    lines += [f"note         {each}" for each in result.notes]
    lines += [f"warning      {each}" for each in result.warnings]
    return _laid_out([*lines, "", _backup_verdict(result)])


def completion_report(result: CompletionResult) -> str:
    """Return the text of a BackupComplete that was sent by itself."""
    lines = [f"BackupComplete for set {result.set_id}", "", *_phases(result.phases), ""]
    for writer in result.writers:
        word = ("told" if not writer.reason else "FAILED") if writer.is_told else "NOT told"
        lines.append(f"writer       {writer.writer}  {word}{': ' + writer.reason if writer.reason else ''}")
    lines += [_truncated(each) for each in result.truncations]
    wrong = sum(1 for each in result.writers if each.reason)
    of_all = quantities.counted(len(result.writers), "writer")
    verdict = f"NOT complete for {wrong} of {of_all}" if wrong else "complete; the writers were told"
    return _laid_out([*lines, "", verdict])


def restore_report(result: RestoreResult, *, is_verbose: bool = False) -> str:
    """Return the text of a restore, of a chain set by set."""
    if result.earlier:
        *before, last = (*result.earlier, msgspec.structs.replace(result, earlier=()))
        parts = [_restored(each, is_verbose=is_verbose) for each in before]
        return "\n\n".join([*parts, restore_report(last, is_verbose=is_verbose)])
    text = _restored(result, is_verbose=is_verbose)
    if result.exit_code == ExitCode.OK:
        verdict = "restored: every component is back and its writer has recovered it"
    else:
        verdict = f"NOT restored completely (exit code {result.exit_code})"
    return _laid_out([text, "", verdict])


def _restored(result: RestoreResult, *, is_verbose: bool) -> str:
    lines = [f"restore of set {result.set_id}", "", *_phases(result.phases), ""]
    restored = [each for each in result.files if each.action == "restored"]
    lines.append(f"restored     {quantities.counted(len(restored), 'file')}, {quantities.size(result.restored_bytes)}")
    lines += [f"  {each.destination}  {each.action}" for each in result.files if is_verbose or each.action != "restored"]
    for component in result.components:
        reason = f": {component.reason}" if component.reason else ""
        lines.append(f"component    {component.writer}:{component.component}  files restored: {component.status}{reason}")
    lines += [f"warning      {each}" for each in result.warnings]
    return _laid_out(lines)


def verification_report(result: SetVerification, *, is_verbose: bool = False) -> str:
    """Return the text of a verification."""
    size_bytes = sum(each.size_bytes for each in result.files)
    pages = sum(each.pages for each in result.files)
    lines = [
        f"backup set {result.set_id}, state {result.state}",
        f"verified     {quantities.counted(len(result.files), 'file')}, {quantities.size(size_bytes)}, "
        f"{quantities.counted(pages, 'page')}",
    ]
    if is_verbose:
        lines += [
            f"  {each.path}  {quantities.size(each.size_bytes)}  {each.method}  {'good' if each.is_good else 'WRONG'}"
            for each in result.files
        ]
    for name in result.writers_without_verifier:
        lines.append(f"note         writer '{name}' has no verifier: its files were checked by digest only")
    lines += _findings(result.findings)
    if result.exit_code == ExitCode.VERIFICATION_MISMATCH:
        wrong = sum(1 for each in result.findings if not each.is_warning)
        verdict = (
            f"NOT good: {quantities.counted(wrong, 'finding')}" if wrong else f"NOT good: the set's state is {result.state}"
        )
    else:
        verdict = "good: every file is what was backed up"
    return _laid_out([*lines, "", verdict])


def _laid_out(lines: Iterable[str]) -> str:
    """Join the lines of a report, those that are too long in pieces; a word that is too long by itself stays whole."""
    fitted: list[str] = []
    for line in lines:
        if len(line) <= WIDTH or "\n" in line:
            fitted.append(line)
        else:
            indent = " " * _LABEL
            fitted += textwrap.wrap(
                line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
            )
    return "\n".join(fitted)


def _phases(phases: Iterable[PhaseTiming]) -> list[str]:
    return [
        f"{each.phase:<18} {quantities.duration(each.duration_ns):>10}{'' if each.outcome == 'ok' else '  ' + each.outcome}"
        for each in phases
    ]


def _windows(result: BackupResult) -> list[str]:
    lines: list[str] = []
    if result.freeze is not None:
        limit = f" of {quantities.limit(result.freeze.limit_ns)}" if result.freeze.limit_ns > 0 else ""
        lines.append(f"frozen       {quantities.duration(result.freeze.duration_ns)}{limit}")
    for hold in result.holds:
        queued = f"{quantities.counted(hold.queued_count, 'write')}, {quantities.size(hold.queued_bytes)} queued"
        lines.append(f"held         {hold.volume} {quantities.duration(hold.held_ns)}, {queued}")
    return lines


def _verified(result: BackupResult) -> list[str]:
    if not result.is_verified:
        return ["verified     NO: verification was switched off"]
    good = [each for each in result.verified if each.is_good]
    pages = sum(each.pages for each in result.verified)
    return [
        f"verified     {len(good)} of {quantities.counted(len(result.verified), 'file')}, {quantities.counted(pages, 'page')}"
    ]


def _left_out(file: LeftOutFile) -> str:
    where = "kept out of the shadow copy" if file.is_deleted else "not backed up"
    return f"left out     {file.path}  {where}: {file.application}"


def _findings(findings: Sequence[Finding]) -> list[str]:
    return [f"{'warning' if each.is_warning else 'WRONG':<12} {describe(each)}" for each in findings]


def _component(writer: str, component: str, succeeded: bool | None, reason: str) -> str:
    word = {True: "succeeded", False: "FAILED", None: "not reported"}[succeeded]
    return f"component    {writer}:{component}  {word}{': ' + reason if reason else ''}"


def _truncated(logs: TruncatedLogs) -> str:
    if logs.removed_count:
        removed = f"{quantities.counted(logs.removed_count, 'log')} removed ({logs.removed_first} to {logs.removed_last})"
    else:
        removed = "no log removed"
    has_logs = 0 < logs.kept_first <= logs.kept_last  # generations count from 1
    kept = f", kept {logs.kept_first} to {logs.kept_last}" if has_logs else ""
    return f"truncated    {logs.store}: {removed}{kept}: {logs.reason}"


def _backup_verdict(result: BackupResult) -> str:
    if not result.state:
        return "shadow copies taken, nothing copied, nothing reported as backed up"
    failed = sum(1 for each in result.components if not each.succeeded)
    if failed:
        return f"NOT backed up: {failed} of {quantities.counted(len(result.components), 'component')} failed"
    checked = "and verified" if result.is_verified else "but NOT verified"
    told = {
        "delivered": "the writers were told",
        "left out": "BackupComplete was left out: the writers wait for it, no log was truncated",
        "failed": "BackupComplete failed, so logs may remain",
        "pending": "the writers were not told",
    }[result.backup_complete]
    return f"backed up {checked}; {told}"
