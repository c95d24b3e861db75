"""F1 … F9: who is frozen, what is held, for how long, in which order.

Sources: Volume Shadow Copy Service documentation, "Overview of processing a backup under VSS", "CVssWriter::OnFreeze",
"CVssWriter::OnAbort", "Aborting VSS operations", "IVssProviderCreateSnapshotSet" (the 10 s hold and the 60 s freeze).
"""

from __future__ import annotations

from collections.abc import Iterator

from vss.events import QueuedWriteEnded, WriteQueued
from vss.simulation.invariants.history import Hold, WriterStep, WriterStory
from vss.simulation.invariants.judging import Case, Found, Kind, LacksEvidenceError, Need, invariant
from vss.simulation.invariants.writer_table import check_steps

HOLD_NS = 10 * 10**9
_DRAINED_NS = 10**8
"""So long after a release the queue may still be worked off when the run is cut there."""
_LEVELS = ("FRONT_END", "BACK_END", "SYSTEM")


@invariant("F1", Kind.SAFETY, Need.VOLUMES)
def no_write_while_held(case: Case) -> Iterator[Found]:
    """No application write changes a volume while its writes are held, from any application, with or without a writer."""
    volumes = case.evidence.volumes or {}
    unwatched = sorted({hold.volume for hold in case.history.holds} - set(volumes))
    for hold in case.history.holds:
        watched = volumes.get(hold.volume)
        for write in () if watched is None else watched.writes:
            if write.is_application and hold.covers_fact(write.sequence):
                place = f"{len(write.data)} bytes at offset {write.offset:#x}"
                yield f"volume {hold.volume}: {place} were written while its writes were held", (hold.start, hold.end)
    if unwatched:
        raise LacksEvidenceError(f"volumes not watched: {', '.join(unwatched)}")


@invariant("F2", Kind.SAFETY)
def success_within_the_window(case: Case) -> Iterator[Found]:
    """A set that was created had every volume held for at most 10 s, and its commit lay inside every one of these holds."""
    for story in case.history.sets.values():
        if not story.created:
            continue
        commits = story.of_step("commit")
        for volume in story.volumes:
            holds = [each for each in case.history.holds if each.volume == volume and story.start < each.start < story.created]
            if not holds:
                yield f"volume {volume} was never held for set {story.snapshot_set_id}", (story.start, story.created)
                continue
            hold = holds[-1]
            if hold.how == "lost" or hold.held_ns > HOLD_NS or hold.end_ns - hold.start_ns > HOLD_NS:
                yield (
                    f"volume {volume} was held for {hold.held_ns / 1e9:.3f} s ({hold.how}), and set"
                    f" {story.snapshot_set_id} was created all the same",
                    (hold.start, hold.end, story.created),
                )
            for call in commits:
                if not (hold.covers(call.start) and call.end and hold.covers(call.end)):
                    yield (
                        f"provider {call.provider} committed set {story.snapshot_set_id} outside the hold of volume {volume}",
                        _named(hold.start, call.start, call.end, hold.end),
                    )


@invariant("F3", Kind.LIVENESS)
def every_hold_ends(case: Case) -> Iterator[Found]:
    """Every hold ends within its limit, 10 s (and the longest stall of the loop), whoever is dead: the volume's own timer
    sees to it."""
    if case.evidence.is_real:
        raise LacksEvidenceError("real time")
    end_ns = _end_ns(case)
    for hold in case.history.holds:
        most_ns = hold.limit_ns + case.evidence.stall_ns
        lasted_ns = (hold.end_ns if hold.end else end_ns) - hold.start_ns
        if max(lasted_ns, hold.held_ns) > most_ns:
            how = f"ended after {max(lasted_ns, hold.held_ns) / 1e9:.3f} s" if hold.end else "never ended"
            yield f"volume {hold.volume}: the hold {how}, allowed are {most_ns / 1e9:g} s", _named(hold.start, hold.end)
        elif not hold.end and case.evidence.is_ended:
            yield f"volume {hold.volume} was left holding its writes", (hold.start,)


@invariant("F4", Kind.SAFETY)
def held_writes_happen_once(case: Case) -> Iterator[Found]:
    """Every write issued during a hold completes exactly once after the release, in the order of issue, or its caller is
    given a typed error; none is lost, none is doubled."""
    yield from _queued_writes(case)
    yield from _remembered_writes(case)


def _queued_writes(case: Case) -> Iterator[Found]:
    waiting: dict[tuple[str, int], int] = {}
    last: dict[str, int] = {}
    ends = {(each.event.volume, each.event.number): 0 for each in case.history.of(WriteQueued)}  # type: ignore[attr-defined]
    queued, ended = case.history.of(WriteQueued), case.history.of(QueuedWriteEnded)
    for record in sorted([*queued, *ended], key=lambda each: each.sequence) if queued or ended else ():
        event = record.event
        assert isinstance(event, WriteQueued | QueuedWriteEnded)
        key = (event.volume, event.number)
        if isinstance(event, WriteQueued):
            waiting[key] = record.sequence
            continue
        ends[key] = ends.get(key, 0) + 1
        name = f"volume {event.volume}: queued write {event.number}"
        if ends[key] > 1:
            yield f"{name} ended {ends[key]} times", _named(waiting.get(key, 0), record.sequence)
        elif key not in waiting:
            yield f"{name} ended without having been queued", (record.sequence,)
        if event.number < last.get(event.volume, 0):
            yield f"{name} ended after write {last[event.volume]}, which was issued later", (record.sequence,)
        last[event.volume] = max(event.number, last.get(event.volume, 0))
        hold = _covering(case.history.holds, event.volume, record.sequence)
        if hold is not None and event.outcome == "done":
            yield f"{name} was done while writes were held", (hold.start, record.sequence)
    for (volume, number), sequence in waiting.items():
        if ends[volume, number]:
            continue
        over = next((each for each in case.history.holds if each.volume == volume and each.end > sequence), None)
        had_time = over is not None and _end_ns(case) - over.end_ns > _DRAINED_NS
        if had_time or case.evidence.is_ended:
            yield f"volume {volume}: queued write {number} never ended", _named(sequence, 0 if over is None else over.end)


def _remembered_writes(case: Case) -> Iterator[Found]:
    for write in case.evidence.applications or ():
        hold = next(
            (each for each in case.history.holds if each.volume == write.volume and each.covers_fact(write.issued)), None
        )
        if hold is None:
            continue
        name = f"write {write.number} of application {write.application} to volume {write.volume}"
        if write.completions > 1:
            yield f"{name} was completed {write.completions} times", _named(hold.start, hold.end)
        if write.error.startswith("!"):
            yield f"{name} ended in {write.error[1:]}, which is no typed error", _named(hold.start, hold.end)
        if write.completions == 0 and not write.error and case.evidence.is_ended:
            yield f"{name} was issued during a hold and never answered", _named(hold.start, hold.end)
        if write.completions and hold.covers_fact(write.completed):
            yield f"{name} was completed while writes were held", _named(hold.start, hold.end)
        watched = (case.evidence.volumes or {}).get(write.volume)
        if watched is None or watched.has_faults:
            continue
        times = sum(write.data in each.data for each in watched.writes if each.is_application)
        if times > 1 or (write.completions and not times):
            yield f"{name} reached the volume {times} times", _named(hold.start, hold.end)


@invariant("F5", Kind.LIVENESS)
def every_freeze_is_undone(case: Case) -> Iterator[Found]:
    """After Freeze exactly one of Thaw or Abort reaches the writer within its freeze limit (and the longest stall); a writer
    whose coordinator died thaws itself."""
    for story in case.history.clear_writers:
        for index, step in enumerate(story.steps):
            if step.step == "Freeze" and step.is_sent:
                yield from _freeze_undone(case, story, step, story.steps[index + 1 :])


def _freeze_undone(case: Case, story: WriterStory, freeze: WriterStep, later: list[WriterStep]) -> Iterator[Found]:
    after = [each for each in later if each.is_sent]
    thaws = [each for each in after if each.step == "Thaw"]
    aborts = [each for each in after if each.step == "Abort"]
    told = [sequence for sequence in story.aborts if sequence > freeze.start]
    undone = min([each.start for each in thaws + aborts] + told, default=0)
    if len(thaws) > 1:
        yield f"writer {story.writer} got Thaw {len(thaws)} times", tuple(each.start for each in thaws)
    if thaws and any(each.start < thaws[0].start for each in aborts):
        yield f"writer {story.writer} got Abort and then Thaw", (freeze.start, aborts[0].start, thaws[0].start)
    end_ns = _end_ns(case)
    limit_ns = story.freeze_limit_ns
    if undone:
        until_ns = case.history.records[undone - 1].instant_ns
    elif case.evidence.is_ended or 0 <= limit_ns < end_ns - freeze.start_ns - case.evidence.stall_ns:
        yield f"writer {story.writer} was left frozen: neither Thaw nor Abort came", (freeze.start,)
        return
    else:
        return
    frozen_ns = until_ns - freeze.start_ns
    if 0 < limit_ns < frozen_ns - case.evidence.stall_ns and not case.evidence.is_real:
        yield (
            f"writer {story.writer} was frozen for {frozen_ns / 1e9:.3f} s, allowed are {limit_ns / 1e9:g} s",
            (freeze.start, undone),
        )


@invariant("F6", Kind.SAFETY, Need.FROZEN_FILES)
def frozen_writers_change_nothing(case: Case) -> Iterator[Found]:
    """A frozen writer makes no change to its files between its answer to Freeze and Thaw, Abort or expiry."""
    for each in case.evidence.frozen_files or ():
        for path in sorted({*each.at_freeze, *each.at_thaw}):
            if each.at_freeze.get(path) != each.at_thaw.get(path):
                story = case.history.writers.get((each.session_id, each.writer))
                freeze = None if story is None else story.first("Freeze")
                yield (
                    f"writer {each.writer} changed {path} while it was frozen",
                    () if freeze is None else _named(freeze.start, freeze.end),
                )


@invariant("F7", Kind.SAFETY)
def levels_freeze_in_order(case: Case) -> Iterator[Found]:
    """Freeze goes to FRONT_END, then BACK_END, then SYSTEM; none of a level before all of the level before answered or
    failed."""
    for stories in _by_session(case).values():
        frozen = [(story, step) for story in stories for step in story.all_of("Freeze") if story.level in _LEVELS]
        for story, step in frozen:
            for other, earlier in frozen:
                if _LEVELS.index(other.level) < _LEVELS.index(story.level) and not 0 < earlier.end < step.start:
                    yield (
                        f"writer {story.writer} ({story.level}) got Freeze before writer {other.writer} ({other.level}) had"
                        " answered",
                        _named(earlier.start, step.start, earlier.end),
                    )


@invariant("F8", Kind.SAFETY)
def events_follow_the_automaton(case: Case) -> Iterator[Found]:
    """PrepareForSnapshot precedes Freeze; no event after PostSnapshot is an Abort; no event but BackupShutdown follows an Abort
    (another Abort may); the events of each session form a path of the writer's automaton."""
    for story in case.history.clear_writers:
        yield from check_steps(story)


@invariant("F9", Kind.SAFETY)
def nobody_is_frozen_early(case: Case) -> Iterator[Found]:
    """Nobody is frozen before the slow part is over: EndPrepareSnapshots of every provider and PrepareForSnapshot of every
    writer ended before the first Freeze."""
    for session_id, stories in _by_session(case).items():
        freezes = [step.start for story in stories for step in story.all_of("Freeze")]
        if not freezes:
            continue
        first = min(freezes)
        for story in stories:
            for step in story.all_of("PrepareForSnapshot"):
                if not 0 < step.end < first:
                    yield (
                        f"writer {story.writer} still prepared for the snapshot when the first Freeze was sent",
                        (
                            *_named(step.start),
                            first,
                        ),
                    )
        made = case.history.set_of(session_id)
        for call in [] if made is None else made.of_step("end_prepare"):
            if not 0 < call.end < first:
                yield f"provider {call.provider} still prepared when the first Freeze was sent", (call.start, first)


# -- small helpers -------------------------------------------------------------------------------------------------------------


def _named(*sequences: int) -> tuple[int, ...]:
    return tuple(each for each in sequences if each > 0)


def _end_ns(case: Case) -> int:
    return case.history.last_ns if case.evidence.end_ns is None else case.evidence.end_ns


def _covering(holds: list[Hold], volume: str, sequence: int) -> Hold | None:
    return next((each for each in holds if each.volume == volume and each.covers(sequence)), None)


def _by_session(case: Case) -> dict[str, list[WriterStory]]:
    """The stories that can be told apart, by session."""
    found: dict[str, list[WriterStory]] = {}
    for story in case.history.clear_writers:
        found.setdefault(story.session_id, []).append(story)
    return found
