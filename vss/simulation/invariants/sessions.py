"""S1 … S13: sessions, the states of writers, locks, ids, and what is left when a session is over.

Sources: Volume Shadow Copy Service documentation, "Determining writer status", "VSS_WRITER_STATE", "Handling BackupShutdown
events", "Writer metadata document life cycle", "Backup components document life cycle",
"IVssBackupComponents::StartSnapshotSet".
"""

from __future__ import annotations

from collections.abc import Iterator

from vss.events import (
    ApplicationLogged,
    FaultFired,
    HoldLost,
    ProviderFailed,
    SnapshotDeleted,
    SnapshotSetBroken,
    SnapshotSetStarted,
    WriterAnswered,
)
from vss.simulation.invariants.history import STAYS, SessionStory, SetStory
from vss.simulation.invariants.judging import Case, Found, Kind, Need, by_trial, invariant
from vss.simulation.invariants.writer_table import LEGAL_STATES

_RELEASE_NS = 30 * 10**9

_WRITER_CODES = frozenset(
    {
        "VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT",
        "VSS_E_WRITERERROR_OUTOFRESOURCES",
        "VSS_E_WRITERERROR_TIMEOUT",
        "VSS_E_WRITERERROR_RETRYABLE",
        "VSS_E_WRITERERROR_NONRETRYABLE",
        "VSS_E_WRITERERROR_PARTIAL_FAILURE",
        "VSS_E_WRITER_NOT_RESPONDING",
        "VSS_E_WRITER_STATUS_NOT_AVAILABLE",
    }
)


@invariant("S1", Kind.SAFETY)
def one_creation_at_a_time(case: Case) -> Iterator[Found]:
    """At most one set is in creation; whoever comes second is refused and changes nothing."""
    holder, since = "", 0
    for sequence, session_id, is_taken in case.history.locks:
        if is_taken and holder:
            yield f"session {session_id} began a set while session {holder} created one", (since, sequence)
        holder, since = (session_id, sequence) if is_taken else ("", 0)
    running: SetStory | None = None
    for story in sorted(case.history.sets.values(), key=lambda each: each.start):
        if running is not None and story.start and not 0 < _over(case, running) < story.start:
            yield (
                f"set {story.snapshot_set_id} was begun while set {running.snapshot_set_id} was in creation",
                (running.start, story.start),
            )
        running = story if story.start else running


@invariant("S2", Kind.LIVENESS)
def the_lock_is_freed(case: Case) -> Iterator[Found]:
    """The creation lock is free after every end: success, failure, cancellation, death of any role."""
    for session in case.history.sessions.values():
        if not session.released:
            continue
        own = [each for each in case.history.locks if each[1] == session.session_id and each[0] <= session.released]
        if own and own[-1][2]:
            yield f"session {session.session_id} was released and keeps the creation lock", (own[-1][0], session.released)
    left = [] if case.evidence.end is None else list(case.evidence.end.locks)
    if case.evidence.is_ended and case.history.locks and case.history.locks[-1][2]:
        left.append("the creation lock")
    for each in left:
        yield f"{each} is still taken at the end", (case.history.locks[-1][0],) if case.history.locks else ()


@invariant("S3", Kind.SAFETY)
def writer_states_are_true(case: Case) -> Iterator[Found]:
    """Each live writer ends STABLE, or WAITING_FOR_BACKUP_COMPLETE with a living session, or FAILED_AT_ the event that
    failed, with a result code that is legal for it."""
    for story in case.history.clear_writers:
        for step in story.steps:
            good, bad = LEGAL_STATES.get(step.step, ("", ""))
            if step.how == "answered" and good and step.state != good:
                yield f"writer {story.writer} answered {step.step} and is said to be {step.state}", (step.start, step.end)
            if step.how == "vetoed" and bad and step.state != bad:
                yield f"writer {story.writer} failed at {step.step} and is said to be {step.state}", (step.start, step.end)
            if step.how == "vetoed" and step.hresult not in _WRITER_CODES:
                yield f"writer {story.writer} failed at {step.step} with {step.hresult}, no code of a writer", (step.end,)
        session = case.history.sessions.get(story.session_id)
        last = next((each for each in reversed(story.steps) if each.how), None)
        if story.session_id in case.history.handed_over:
            continue
        if any(step.step == "BackupShutdown" for step in story.steps):
            continue  # it was told; that it did not answer is another matter
        if session is not None and session.released and last is not None and last.state.startswith("WAITING_FOR_"):
            yield (
                f"session {story.session_id} is over and writer {story.writer} is left {last.state}",
                (
                    last.end,
                    session.released,
                ),
            )


@invariant("S4", Kind.SAFETY, Need.OUTCOMES)
def success_is_honest(case: Case) -> Iterator[Found]:
    """A writer's failure is visible in its status at the documented check points; success means that the status was gathered at
    each of them and that no writer included in it had failed."""
    for outcome in case.evidence.outcomes or ():
        session = case.history.sessions.get(outcome.session_id)
        if outcome.kind != "backup" or session is None:
            continue
        reported = {instance for _, instance, _, succeeded in session.reports if succeeded}
        for story in case.history.of_session(outcome.session_id):
            failed = next((each for each in story.steps if _is_failed_before_copy(each.step) and each.how in _BAD), None)
            if failed is None or story.is_ambiguous:
                continue
            if story.instance_id in reported:
                yield (
                    f"writer {story.writer} failed at {failed.step}, and its component was reported as backed up",
                    (failed.end, *(each[0] for each in session.reports if each[1] == story.instance_id)),
                )
            told = [each for each in session.statuses if each[0] > failed.end]
            if told and story.writer not in told[0][2]:
                yield f"writer {story.writer} failed at {failed.step}, and its status did not say so", (failed.end, told[0][0])
        if outcome.is_success:
            missing = [point for point in ("prepared", "snapshot taken") if point not in [each[1] for each in session.statuses]]
            if missing and case.history.of_session(outcome.session_id):
                yield (
                    f"success without the writers' status after: {', '.join(missing)}",
                    _named(session.start, session.released),
                )


@invariant("S5", Kind.SAFETY)
def the_first_cause_is_told(case: Case) -> Iterator[Found]:
    """A reported error names the first cause (role, point, code); what failed later is attached and does not replace it."""
    for story in case.history.sets.values():
        if not story.aborted:
            continue
        first = _first_failure(case, story)
        if first is None:
            continue
        sequence, who, code = first
        if who not in story.abort_cause or (code and code != story.abort_hresult):
            yield (
                f"set {story.snapshot_set_id} failed first at {who} [{code}]; told was: {story.abort_cause}"
                f" [{story.abort_hresult}]",
                (sequence, story.aborted),
            )


@invariant("S6", Kind.LIVENESS)
def nothing_is_left_of_a_session(case: Case) -> Iterator[Found]:
    """At most 30 s after the release, or the requestor's death, nothing of an auto-release session is left: shadow copy, diff
    storage, mount, hold, lock, temporary file; BackupShutdown was delivered to each live writer that took part."""
    deleted = {each.event.snapshot_id: each for each in case.history.of(SnapshotDeleted)}  # type: ignore[attr-defined]
    excused = _unable_to_delete(case)
    for session in case.history.sessions.values():
        if not session.released:
            continue
        yield from _all_were_shut_down(case, session)
        for story in case.history.sets.values():
            is_auto_release = story.attributes >= 0 and not story.attributes & STAYS
            if story.session_id != session.session_id or not is_auto_release or not story.created or excused:
                continue
            for snapshot_id in story.providers:
                gone = deleted.get(snapshot_id)
                if gone is None or gone.instant_ns - session.released_ns > _RELEASE_NS + case.evidence.stall_ns:
                    yield (
                        f"shadow copy {snapshot_id} of session {session.session_id} outlived it",
                        _named(story.created, session.released, 0 if gone is None else gone.sequence),
                    )


@invariant("S7", Kind.SAFETY, Need.CATALOGUE)
def persistent_copies_survive(case: Case) -> Iterator[Found]:
    """Persistent shadow copies survive a restart with the same ids and bytes."""
    catalogue = case.evidence.catalogue
    assert catalogue is not None, "the checker asks for it"
    for snapshot_id, digest in catalogue.persistent_before.items():
        now = catalogue.persistent_after.get(snapshot_id)
        if now is None:
            yield f"persistent shadow copy {snapshot_id} did not survive the restart", ()
        elif now != digest:
            yield f"persistent shadow copy {snapshot_id} has other bytes after the restart", ()


@invariant("S8", Kind.SAFETY, Need.END)
def nothing_is_left_at_the_end(case: Case) -> Iterator[Found]:
    """At the end of every run open handles, tasks, timers, sessions, pending calls, holds and temporary files are those of the
    start: none."""
    end = case.evidence.end
    assert end is not None, "the checker asks for it"
    left = {
        "task": end.open_tasks,
        "timer": end.timers,
        "held volume": end.held_volumes,
        "session": end.sessions,
        "pending call": end.pending_calls,
        "temporary file": end.temporary_files,
        "open handle": end.handles,
    }
    for what, names in left.items():
        for name in names:
            yield f"{what} left at the end: {name}", ()


@invariant("S9", Kind.SAFETY)
def ids_are_unique(case: Case) -> Iterator[Found]:
    """Ids are unique and refer to something; after recovery the catalogue and the real shadow copies are the same set."""
    seen: dict[str, int] = {}
    for record in case.history.of(SnapshotSetStarted):
        event = record.event
        assert isinstance(event, SnapshotSetStarted)
        if event.snapshot_set_id in seen:
            yield f"two sets have the id {event.snapshot_set_id}", (seen[event.snapshot_set_id], record.sequence)
        seen[event.snapshot_set_id] = record.sequence
    owners: dict[str, str] = {}
    for story in case.history.sets.values():
        for snapshot_id in story.providers:
            if snapshot_id in owners or len(story.providers) != len(story.volumes):
                yield f"two shadow copies have the id {snapshot_id}", _named(story.start)
            owners[snapshot_id] = story.snapshot_set_id
        if not story.start and story.volumes and case.history.sessions:
            yield f"set {story.snapshot_set_id} has volumes and was never begun", ()
    catalogue = case.evidence.catalogue
    if catalogue is not None and catalogue.listed is not None and set(catalogue.listed) != set(catalogue.real):
        for each in sorted(set(catalogue.listed) - set(catalogue.real)):
            yield f"shadow copy {each} is listed and does not exist", ()
        for each in sorted(set(catalogue.real) - set(catalogue.listed)):
            yield f"shadow copy {each} exists and is not listed", ()


@invariant("S10", Kind.SAFETY)
def late_answers_change_nothing(case: Case) -> Iterator[Found]:
    """A late, duplicate or foreign answer changes no state."""
    answers = {each.sequence for each in case.history.of(WriterAnswered)}
    for story in case.history.clear_writers:
        for index, step in enumerate(story.steps):
            if step.end not in answers:
                continue
            if not step.is_sent:
                yield f"writer {story.writer} was not waited for, and its answer to {step.step} counted", (step.end,)
            later = [each for each in story.steps[index + 1 :] if each.is_sent and each.start < step.end]
            if later:
                yield (
                    f"the answer of writer {story.writer} to {step.step} counted after {later[0].step} had been sent",
                    (step.start, later[0].start, step.end),
                )


@invariant("S11", Kind.SAFETY)
def failures_stay_where_they_are(case: Case) -> Iterator[Found]:
    """The failure of one session leaves the outcome and the stores of another byte by byte as without it."""
    yield from by_trial(case, "S11")


@invariant("S12", Kind.SAFETY)
def clean_up_happens_once(case: Case) -> Iterator[Found]:
    """Abort and clean-up may be repeated, reordered, or sent to somebody who never started: a second time changes nothing."""
    ends: dict[str, int] = {}
    for record in case.history.of(SnapshotDeleted):
        snapshot_id = record.event.snapshot_id  # type: ignore[attr-defined]
        if snapshot_id in ends and not _was_told_a_lie(case, ends[snapshot_id]):
            yield f"shadow copy {snapshot_id} was deleted twice", (ends[snapshot_id], record.sequence)
        ends[snapshot_id] = record.sequence
    for story in case.history.sets.values():
        aborts: dict[str, int] = {}
        for call in story.of_step("abort"):
            if call.provider in aborts:
                yield (
                    f"provider {call.provider} was told twice to abort set {story.snapshot_set_id}",
                    (
                        aborts[call.provider],
                        call.start,
                    ),
                )
            aborts[call.provider] = call.start


@invariant("S13", Kind.SAFETY, Need.DOCUMENTS)
def documents_keep_their_phases(case: Case) -> Iterator[Found]:
    """A writer's metadata is the same at each Identify; a document changes only in the phases in which it may."""
    for document in case.evidence.documents or ():
        if document.changed_after_close is not None and document.changed_after_close != document.text:
            yield f"document {document.name} changed after it was closed", ()


# -- small helpers -------------------------------------------------------------------------------------------------------------

_BAD = ("vetoed", "timed out")


def _is_failed_before_copy(step: str) -> bool:
    return step in ("PrepareForBackup", "PrepareForSnapshot", "Freeze", "Thaw", "PostSnapshot")


def _named(*sequences: int) -> tuple[int, ...]:
    return tuple(each for each in sequences if each > 0)


def _over(case: Case, story: SetStory) -> int:
    """The record with which the creation of a set was over; 0 where it was not."""
    session = case.history.sessions.get(story.session_id)
    ends = [story.created, story.aborted, 0 if session is None else session.released]
    ends += [sequence for sequence, owner, is_taken in case.history.locks if owner == story.session_id and not is_taken]
    return min((each for each in ends if each > story.start), default=0)


def _first_failure(case: Case, story: SetStory) -> tuple[int, str, str] | None:
    """Record, name and code of the first thing that failed while the set was made, where it must end the set."""
    for record in case.history.of(ProviderFailed):
        event = record.event
        assert isinstance(event, ProviderFailed)
        if event.snapshot_set_id == story.snapshot_set_id and event.step not in ("abort", "begin_prepare"):
            lost = [
                each.sequence
                for each in case.history.of(HoldLost)
                if story.start < each.sequence < record.sequence and each.event.volume in story.volumes  # type: ignore[attr-defined]
            ]
            return None if lost else (record.sequence, event.provider, event.hresult)
    return None


def _was_told_a_lie(case: Case, deleted: int) -> bool:
    """Whether the provider was made to say, before the record ``deleted``, that it had deleted what it kept."""
    return any(
        record.sequence < deleted
        and record.event.site == "provider.delete"  # type: ignore[attr-defined]
        and record.event.effect.startswith("lie")  # type: ignore[attr-defined]
        for record in case.history.of(FaultFired)
    )


def _unable_to_delete(case: Case) -> bool:
    """Whether a provider said, or was made to say, that it cannot delete: then what is left is somebody's to find and tell."""
    for record in case.history.of(ApplicationLogged):
        if ", delete: " in record.event.message or record.event.event_id == 12299:  # type: ignore[attr-defined]
            return True
    if case.history.of(SnapshotSetBroken):
        return True
    return any(
        record.event.site.startswith("provider.")  # type: ignore[attr-defined]
        for record in case.history.of(FaultFired)
    )


def _all_were_shut_down(case: Case, session: SessionStory) -> Iterator[Found]:
    if session.kind == "restore" or session.session_id in case.history.handed_over:
        return
    for story in case.history.of_session(session.session_id):
        was_sent = [each for each in story.steps if each.is_sent]
        is_backup = any(each.step in LEGAL_STATES and "Restore" not in each.step for each in was_sent)
        if story.is_ambiguous or not is_backup or f"writer:{story.writer}" in case.evidence.killed:
            continue
        told = any(each.step == "BackupShutdown" for each in story.steps)
        if not told:
            yield (
                f"writer {story.writer} took part in session {session.session_id} and got no BackupShutdown",
                (
                    was_sent[-1].start,
                    session.released,
                ),
            )
