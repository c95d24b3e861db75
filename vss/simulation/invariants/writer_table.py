"""Which events may follow which for one writer in one session, written down from the vendor's pages and not from the machine.

A state is what the writer is in after the event before; a failed step leads to its failed state, a step that nobody answered to
``lost``. Sources: "VSS_WRITER_STATE", "Aborting VSS operations", "CVssWriter::OnAbort", "Handling BackupShutdown events",
"Overview of processing a restore under VSS".
"""

from __future__ import annotations

from collections.abc import Iterator

from vss.simulation.invariants.history import WriterStep, WriterStory

_FAILED = "failed"
_LOST = "lost"
_ABORTED = "aborted"
_SHUT = "shut down"

_NEXT: dict[str, dict[str, str]] = {
    "stable": {
        "PrepareForBackup": "prepared",
        "PrepareForSnapshot": "waiting for freeze",
        "PreRestore": "restoring",
        "PostRestore": "restored",
    },
    "prepared": {"PrepareForSnapshot": "waiting for freeze", "BackupComplete": "complete"},  # the latter without shadow copies
    "waiting for freeze": {"Freeze": "frozen"},
    "frozen": {"Thaw": "thawed"},
    "thawed": {"PostSnapshot": "taken"},
    "taken": {"BackupComplete": "complete"},
    "complete": {},
    "restoring": {"PostRestore": "restored", "PreRestore": "restoring"},
    "restored": {"PreRestore": "restoring", "PostRestore": "restored"},
    _FAILED: {},
    _LOST: {},
    _ABORTED: {},
    _SHUT: {},
}
"""For each state the events that are due and the state after a good answer. Abort and BackupShutdown stand beside it."""

_ABORT_AFTER = ("prepared", "waiting for freeze", "frozen", "thawed", _FAILED, _LOST, _ABORTED)
_NO_ABORT_AFTER_STEP = ("PostSnapshot", "BackupComplete")

LEGAL_STATES = {
    "PrepareForBackup": ("STABLE", "FAILED_AT_PREPARE_BACKUP"),
    "PrepareForSnapshot": ("WAITING_FOR_FREEZE", "FAILED_AT_PREPARE_SNAPSHOT"),
    "Freeze": ("WAITING_FOR_THAW", "FAILED_AT_FREEZE"),
    "Thaw": ("WAITING_FOR_POST_SNAPSHOT", "FAILED_AT_THAW"),
    "PostSnapshot": ("WAITING_FOR_BACKUP_COMPLETE", "FAILED_AT_POST_SNAPSHOT"),
    "BackupComplete": ("STABLE", "FAILED_AT_BACKUP_COMPLETE"),
    "PreRestore": ("STABLE", "FAILED_AT_PRE_RESTORE"),
    "PostRestore": ("STABLE", "FAILED_AT_POST_RESTORE"),
}
"""For each event the state after a good answer, and after a bad one."""


def check_steps(story: WriterStory) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield what is wrong with the order of the events of ``story``; stops at the first, for what follows it means nothing."""
    state, before = "stable", 0
    is_past_post_snapshot = False
    for step in story.steps:
        if not step.is_sent:
            state, before = (_FAILED if step.how == "vetoed" else _LOST), step.start
            continue
        if any(before < expired <= step.start for expired, _ in story.expiries) and state in ("waiting for freeze", "frozen"):
            state = _FAILED
        if step.step == "BackupShutdown":
            is_due = state != _SHUT and (bool(before) or state != "stable")
            following = _SHUT
        elif step.step == "Abort":
            is_due = state in _ABORT_AFTER and not is_past_post_snapshot
            following = _ABORTED
        else:
            is_due = step.step in _NEXT[state]
            following = _NEXT[state].get(step.step, state)
        if not is_due:
            yield f"writer {story.writer} got {step.step} in state '{state}'", (before, step.start) if before else (step.start,)
            return
        is_past_post_snapshot = is_past_post_snapshot or step.step in _NO_ABORT_AFTER_STEP
        state = following if step.step in ("Abort", "BackupShutdown") else _after(step, following)
        before = step.start


def _after(step: WriterStep, following: str) -> str:
    if step.how == "answered":
        return following
    return _FAILED if step.how == "vetoed" else _LOST
