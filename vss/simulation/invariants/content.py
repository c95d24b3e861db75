"""C1 … C10: what is in a shadow copy, and what the copies do to the volume they were taken of.

The reference is the volume as the watcher copied it while its writes were held, and the application's own writes as they
reached the store; nothing of it comes from a provider. Sources: Volume Shadow Copy Service documentation, "Shadow copy creation
details", "Excluding files from shadow copies" (auto-recovery), "Providers" (complete copy, copy-on-write).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from vss.events import ApplicationLogged, FaultFired, SnapshotDeleted
from vss.simulation.invariants.evidence import ApplicationWrite, RegionCopy, SnapshotRead, VolumeEvidence
from vss.simulation.invariants.history import STAYS, SetStory
from vss.simulation.invariants.image import BLOCK, Image
from vss.simulation.invariants.judging import Case, Found, Kind, LacksEvidenceError, Need, invariant

_GRAIN = 512
"""Differences are named by sector."""

_RUNS = 8
"""So many runs of wrong sectors of one image are named."""


@invariant("C1", Kind.SAFETY, Need.VOLUMES, Need.SNAPSHOTS)
def image_is_the_volume_at_the_commit(case: Case) -> Iterator[Found]:
    """Every block of a shadow copy, also one never written, holds the bytes that its volume held at the commit, before
    auto-recovery."""
    for read, story, copy, watched in _compared(case):
        if read.data is None or read.is_recovered:
            continue
        for start, end in _differences(read.data, copy.data, watched.excluded):
            yield (
                f"shadow copy {read.snapshot_id} of volume {read.volume}: bytes {start:#x}…{end:#x} are not those of the commit"
                f" ({_where_from(read.data, copy.data, start)})",
                _named(copy.sequence, story.committed, story.created),
            )


@invariant("C2", Kind.SAFETY, Need.SNAPSHOTS)
def image_is_constant(case: Case) -> Iterator[Found]:
    """After PostFinalCommit a shadow copy is constant: every later read gives the same bytes until it is deleted, whatever is
    written to the origin."""
    first: dict[str, SnapshotRead] = {}
    final = {snapshot_id: story.created for story in case.history.sets.values() for snapshot_id in story.providers}
    for read in case.evidence.snapshots or ():
        if read.data is None or read.sequence < final.get(read.snapshot_id, 0):
            continue
        before = first.setdefault(read.snapshot_id, read)
        assert before.data is not None
        for start, end in _differences(read.data, before.data, ()):
            yield (
                f"shadow copy {read.snapshot_id} of volume {read.volume}: bytes {start:#x}…{end:#x} changed between two reads",
                _named(before.sequence, read.sequence),
            )


@invariant("C3", Kind.SAFETY, Need.VOLUMES, Need.SNAPSHOTS)
def recovery_changes_only_its_files(case: Case) -> Iterator[Found]:
    """Auto-recovery changes only files of participating writers, and only in the shadow copy."""
    for read, story, copy, watched in _compared(case):
        if read.data is None or not read.is_recovered:
            continue
        for start, end in _differences(read.data, copy.data, (*watched.excluded, *read.recovered)):
            yield (
                f"shadow copy {read.snapshot_id} of volume {read.volume}: auto-recovery changed bytes {start:#x}…{end:#x},"
                " which belong to no participating writer",
                _named(story.committed, story.created),
            )


@invariant("C4", Kind.SAFETY)
def one_commit_for_all(case: Case) -> Iterator[Found]:
    """All volumes of a set have one commit: every provider commits while every volume of the set is held, providers of
    different kinds included."""
    for story in case.history.sets.values():
        calls = story.of_step("commit")
        if not story.created or not story.volumes:
            continue
        held = [
            [each for each in case.history.holds if each.volume == volume and story.start < each.start < story.created]
            for volume in story.volumes
        ]
        if not calls or not all(held):
            yield f"set {story.snapshot_set_id} was created without a commit inside a hold", (story.start, story.created)
            continue
        last_start = max(each[-1].start for each in held)
        first_end = min(each[-1].end or story.created for each in held)
        for call in calls:
            if not last_start < call.start < first_end or not call.end or call.end > first_end:
                yield (
                    f"provider {call.provider} committed set {story.snapshot_set_id} when not all of its volumes were held",
                    _named(last_start, call.start, first_end),
                )
        missing = set(story.providers.values()) - {each.provider for each in calls if each.end and not each.failure}
        if missing:
            yield f"set {story.snapshot_set_id}: no commit of {', '.join(sorted(missing))}", (story.start, story.created)


@invariant("C5", Kind.SAFETY, Need.APPLICATIONS, Need.SNAPSHOTS)
def images_are_a_causal_cut(case: Case) -> Iterator[Found]:
    """If one write happened before another (the same application's order, or issued after the first was seen to complete)
    and the second is in the set, then the first is."""
    writes = case.evidence.applications or ()
    for story in case.history.sets.values():
        reads = [each for each in case.evidence.snapshots or () if each.snapshot_id in story.providers]
        images = {read.volume: read.data for read in reads if read.data is not None}
        judged = [each for each in writes if images.get(each.volume) is not None]
        present = {id(each): each.data in (images[each.volume] or b"") for each in judged}
        for later in judged:
            if not present[id(later)]:
                continue
            for earlier in judged:
                if _happened_before(earlier, later) and not present[id(earlier)] and not _overwritten(earlier, judged, present):
                    yield (
                        f"set {story.snapshot_set_id} holds {_title(later)}, but not {_title(earlier)}, which came before it",
                        _named(earlier.completed, later.issued, story.committed),
                    )


@invariant("C6", Kind.SAFETY)
def sets_are_whole_or_gone(case: Case) -> Iterator[Found]:
    """Creating a set is atomic: all of its shadow copies exist, or none."""
    listed = None if case.evidence.catalogue is None else case.evidence.catalogue.real
    is_deletion_struck = any(
        each.event.site == "provider.delete"  # type: ignore[attr-defined]
        for each in case.history.of(FaultFired)
    )
    for story in case.history.sets.values():
        if story.created and story.aborted:
            yield f"set {story.snapshot_set_id} was created and aborted", (story.created, story.aborted)
        if story.created and story.committed:
            promised = getattr(case.history.records[story.committed - 1].event, "snapshot_count", len(story.volumes))
            if promised != len(story.volumes):
                yield (
                    f"set {story.snapshot_set_id} has {len(story.volumes)} volumes, {promised} were committed",
                    (story.committed, story.created),
                )
        if listed is None:
            continue
        there = [each for each in story.providers if each in listed]
        gone = {_deleted_id(each.event): each.sequence for each in case.history.of(SnapshotDeleted)}
        if there and not story.created:
            yield (
                f"set {story.snapshot_set_id} was not created, but {', '.join(there)} exist",
                _named(story.start, story.aborted),
            )
        lost = [each for each in story.providers if each not in listed and each not in gone and not is_deletion_struck]
        if there and lost:
            yield f"set {story.snapshot_set_id}: {', '.join(lost)} are missing, {', '.join(there)} exist", _named(story.created)


@invariant("C7", Kind.SAFETY, Need.VOLUMES)
def origin_is_the_reference(case: Case) -> Iterator[Found]:
    """The origin always equals the reference, which is what applications wrote to it: copy-on-write, the split of a clone,
    abort and deletion never change, keep back or lose a write to the origin."""
    if any("revert" in each.event.message.lower() for each in case.history.of(ApplicationLogged)):  # type: ignore[attr-defined]
        raise LacksEvidenceError("a volume was reverted")
    for name, watched in (case.evidence.volumes or {}).items():
        if watched.has_faults or watched.last is None:
            continue
        reference = Image.of(watched.first).written((each.offset, each.data) for each in watched.writes if each.is_application)
        for start, end in _differences(watched.last, reference, watched.excluded):
            yield f"volume {name}: bytes {start:#x}…{end:#x} are not what applications wrote there", ()


@invariant("C8", Kind.SAFETY, Need.SNAPSHOTS)
def damaged_images_are_refused(case: Case) -> Iterator[Found]:
    """When the diff area is full or damaged, reads of the shadow copy fail with a typed error; no read ever returns bytes
    that its volume did not hold at the commit."""
    for read in case.evidence.snapshots or ():
        if read.error.startswith("!"):
            yield (
                f"reading shadow copy {read.snapshot_id} of volume {read.volume} ended in {read.error[1:]}, which is no typed"
                " error",
                _named(read.sequence),
            )
    if case.evidence.volumes is None:
        return
    deleted = {_deleted_id(each.event): each.sequence for each in case.history.of(SnapshotDeleted)}
    for read, story, copy, watched in _compared(case):
        gone = deleted.get(read.snapshot_id, 0)
        if read.data is None or read.is_recovered or not 0 < gone <= read.sequence:
            continue
        if _differences(read.data, copy.data, watched.excluded):
            yield (
                f"shadow copy {read.snapshot_id} of volume {read.volume} was given up and still read, with bytes that are not"
                " those of the commit",
                _named(story.committed, gone),
            )


@invariant("C9", Kind.SAFETY, Need.SNAPSHOTS)
def clones_are_apart(case: Case) -> Iterator[Found]:
    """Before its split a clone is not offered; after it, writes on either side are invisible on the other."""
    for read in case.evidence.snapshots or ():
        story = next((each for each in case.history.sets.values() if read.snapshot_id in each.providers), None)
        if story is None or read.data is None:
            continue
        provider = story.providers[read.snapshot_id]
        done = [each.end for each in story.of_step("commit") if each.provider == provider and each.end and not each.failure]
        if not done or read.sequence < done[0]:
            yield (
                f"shadow copy {read.snapshot_id} of volume {read.volume} could be read before provider {provider} had"
                " committed it",
                _named(*done),
            )


@invariant("C10", Kind.SAFETY, Need.VOLUMES)
def blocks_are_saved_first(case: Case) -> Iterator[Found]:
    """A block of a live shadow copy is preserved, in an order that lasts, before the block of the origin is overwritten."""
    for story in case.history.sets.values():
        if not story.created:
            continue
        for volume, snapshot_id in story.volumes.items():
            watched = (case.evidence.volumes or {}).get(volume)
            if watched is None or not watched.block_bytes or watched.has_faults:
                continue
            copy = _copy_for(watched, story, case, volume)
            if copy is not None:
                yield from _saved_first(case, story, volume, snapshot_id, watched, copy)


def _saved_first(
    case: Case, story: SetStory, volume: str, snapshot_id: str, watched: VolumeEvidence, copy: RegionCopy
) -> Iterator[Found]:
    size = watched.block_bytes
    ends = [each.sequence for each in case.history.of(SnapshotDeleted) if _deleted_id(each.event) == snapshot_id]
    session = case.history.sessions.get(story.session_id)
    if not ends and session is not None and session.released and not story.attributes & STAYS:
        ends = [session.released]  # nobody can use it any more, though its provider may have been unable to say so
    release = next((each.end for each in case.history.holds if each.volume == volume and each.covers_fact(copy.sequence)), 0)
    kept: set[bytes] = set()
    done: set[int] = set()
    for write in watched.writes:
        if ends and write.sequence >= ends[0]:
            return
        if not write.is_application:
            kept.update(write.data[at : at + size] for at in range(0, len(write.data), size))
        if not write.is_application or write.sequence < (release or copy.sequence):
            continue
        for block in range(write.offset // size, (write.offset + max(len(write.data), 1) - 1) // size + 1):
            old = copy.data[block * size : (block + 1) * size]
            if block in done or _is_excluded(block * size, watched) or not any(old):
                continue
            done.add(block)
            if old not in kept:
                yield (
                    f"volume {volume}: block {block} was overwritten before shadow copy {snapshot_id} had saved it",
                    _named(story.committed, write.sequence),
                )


# -- small helpers -------------------------------------------------------------------------------------------------------------


def _named(*sequences: int) -> tuple[int, ...]:
    return tuple(each for each in sequences if each > 0)


def _deleted_id(event: object) -> str:
    return event.snapshot_id if isinstance(event, SnapshotDeleted) else ""


def _compared(case: Case) -> Iterator[tuple[SnapshotRead, SetStory, RegionCopy, VolumeEvidence]]:
    """Every read of a shadow copy whose volume was watched while it was taken, with the copy of that moment."""
    for read in case.evidence.snapshots or ():
        watched = (case.evidence.volumes or {}).get(read.volume)
        story = next((each for each in case.history.sets.values() if read.snapshot_id in each.providers), None)
        if watched is None or story is None or watched.has_faults:
            continue
        copy = _copy_for(watched, story, case, read.volume)
        if copy is not None:
            yield read, story, copy, watched


def _copy_for(watched: VolumeEvidence, story: SetStory, case: Case, volume: str) -> RegionCopy | None:
    """The volume as it was when its writes were held for this set."""
    over = story.created or story.aborted or len(case.history.records)
    held = [each for each in case.history.holds if each.volume == volume and story.start < each.start <= over]
    return next((each for each in watched.copies for hold in held if hold.covers_fact(each.sequence)), None)


def _differences(found: bytes | Image, expected: bytes | Image, excluded: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs of sectors in which the two differ, outside the excluded ranges; at most eight."""
    one, other = Image.of(found), Image.of(expected)
    runs: list[tuple[int, int]] = []
    for number in one.different(other):
        for start in range(number * BLOCK, min((number + 1) * BLOCK, max(len(one), len(other))), _GRAIN):
            if one.read(start, _GRAIN) == other.read(start, _GRAIN):
                continue
            if any(first <= start and start + _GRAIN <= end for first, end in excluded):
                continue
            if runs and runs[-1][1] == start:
                runs[-1] = (runs[-1][0], start + _GRAIN)
            else:
                runs.append((start, start + _GRAIN))
        if len(runs) > _RUNS:
            break
    return runs[:_RUNS]


def _where_from(found: bytes | Image, expected: bytes | Image, start: int) -> str:
    """Say whose bytes were found: sectors of test data all differ, so that misplaced ones can be told from wrong ones."""
    sector = found[start : start + _GRAIN]
    if not any(sector):
        return "zeros were found"
    at = expected.find(sector)
    if at >= 0:
        return f"found were those of {at:#x}"
    return f"found were bytes with SHA-256 {hashlib.sha256(sector).hexdigest()[:12]}…, nowhere on the volume then"


def _is_excluded(start: int, watched: VolumeEvidence) -> bool:
    return any(first < start + watched.block_bytes and start < end for first, end in watched.excluded)


def _title(write: ApplicationWrite) -> str:
    return f"write {write.number} of {write.application} to {write.volume}"


def _happened_before(earlier: ApplicationWrite, later: ApplicationWrite) -> bool:
    if not earlier.completions:
        return False
    if earlier.application == later.application:
        return earlier.number < later.number
    if earlier.ended >= 0 and later.began >= 0:
        return earlier.ended < later.began
    return earlier.completed < later.issued


def _overwritten(write: ApplicationWrite, others: Sequence[ApplicationWrite], present: Mapping[int, bool]) -> bool:
    """Whether the image holds what the application itself wrote to the same place later; then the absence proves nothing."""
    return any(
        present[id(other)]
        and other.place
        and (other.application, other.volume, other.place) == (write.application, write.volume, write.place)
        and other.number > write.number
        for other in others
    )
