"""D1 … D12: the application's store: databases, logs, checkpoint, truncation.

Files are judged by their names and by fields of their headers, read here with ``struct`` at the offsets of the published format
and by nothing else. What only a recovery can show (D2, D3, D4, D10) is put to the proof beside the run and comes as trials.
Sources: published engine (ESE), daedef.hxx (DBFILEHDR, LGFILEHDR), backup.cxx; libesedb, "Extensible Storage Engine (ESE)
Database File (EDB) format"; Volume Shadow Copy Service documentation, "Handling BackupShutdown events" (truncation).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from vss.events import LogsTruncated, Record
from vss.simulation.invariants.evidence import StoreEvidence
from vss.simulation.invariants.history import SessionStory, WriterStory
from vss.simulation.invariants.judging import Case, Found, Kind, LacksEvidenceError, Need, by_trial, invariant

_STATE = 52
_PREVIOUS = (136, 160)
"""Where a database header keeps its last full and its last incremental backup (BKINFO)."""
_HIGHEST = 20  # genHigh of BKINFO
_CHECKPOINT_GENERATION = 16  # of lgposCheckpoint in a checkpoint file: byte u16, sector u16, generation u32 from 12 on
_MIN_REQUIRED = 296
_STAMPS = ((136, 208), (316, 340), (356, 364), (420, 476))
"""Where a database header keeps what it knows of backups: full, incremental, current, snapshot, copy, differential."""

_GENERATION = 4  # lGeneration of LGFILEHDR
_DIRTY = 2
_LEAVES_LOGS = ("COPY", "DIFFERENTIAL")


@dataclass(frozen=True, slots=True)
class _Header:
    state: int
    min_required: int
    max_required: int
    backed_up: int


@invariant("D1", Kind.SAFETY, Need.STORES)
def logs_before_pages(case: Case) -> Iterator[Found]:
    """No page image reaches durable storage before the log records that made it."""
    yield from _of_each(case, _logs_before_pages, "persisted")


def _logs_before_pages(name: str, store: StoreEvidence) -> Iterator[Found]:
    durable = -1
    for index, (kind, position) in enumerate(store.persisted or ()):
        if kind == "log":
            durable = max(durable, position)
        elif position > durable:
            yield f"store {name}: durable write {index} is a page that needs the log up to {position}, durable is {durable}", ()


@invariant("D2", Kind.SAFETY)
def acknowledged_transactions_survive(case: Case) -> Iterator[Found]:
    """Every acknowledged transaction is there after any state that power loss may leave, and recovery."""
    yield from by_trial(case, "D2")


@invariant("D3", Kind.SAFETY)
def recovery_gives_a_prefix(case: Case) -> Iterator[Found]:
    """The recovered state is the model's state after k transactions, k at least the last acknowledged one; none is there in
    part."""
    yield from by_trial(case, "D3")


@invariant("D4", Kind.SAFETY)
def recovery_can_be_cut(case: Case) -> Iterator[Found]:
    """Recovery that was cut at any write and started again ends in the same state, twice over too."""
    yield from by_trial(case, "D4")


@invariant("D5", Kind.SAFETY, Need.STORES)
def pages_are_checked_before_use(case: Case) -> Iterator[Found]:
    """A page is never used before its sum, its number and its time were checked; damage of a page that is used is found."""
    yield from _of_each(case, _pages_checked, "pages_used")


def _pages_checked(name: str, store: StoreEvidence) -> Iterator[Found]:
    for page, was_checked, is_damaged, was_found in store.pages_used or ():
        if not was_checked:
            yield f"store {name}: page {page} was used unchecked", ()
        if is_damaged and not was_found:
            yield f"store {name}: page {page} was damaged and used, and nobody noticed", ()


@invariant("D6", Kind.SAFETY, Need.STORES)
def headers_are_truthful(case: Case) -> Iterator[Found]:
    """The header's state and the generations that it requires are true: of a dirty database the named logs are there."""
    for name, store in (case.evidence.stores or {}).items():
        generations = _generations(store.after, store.base_name)
        there = {*generations, _current(store)}
        for path, header in _headers(store.after).items():
            if header.state != _DIRTY or not header.min_required:
                continue
            missing = [each for each in range(header.min_required, header.max_required + 1) if each not in there]
            if missing:
                yield (
                    f"store {name}: {path} is dirty and requires generations {header.min_required:#x}…{header.max_required:#x};"
                    f" missing: {', '.join(f'{each:#x}' for each in missing[:4])}",
                    (),
                )


@invariant("D7", Kind.SAFETY, Need.STORES)
def generations_are_contiguous(case: Case) -> Iterator[Found]:
    """Log generations are contiguous from the lowest that is kept to the current one."""
    for name, store in (case.evidence.stores or {}).items():
        for when, files in (("before", store.before), ("after", store.after)):
            gap = _gap(_generations(files, store.base_name))
            if gap:
                yield f"store {name}: generation {gap:#x} is missing {when} the backup", ()


@invariant("D8", Kind.SAFETY)
def logs_go_at_backup_complete_only(case: Case) -> Iterator[Found]:
    """Logs are truncated only inside BackupComplete with success for all components of the group, never in BackupShutdown,
    never for a copy or differential backup."""
    for record in case.history.of(LogsTruncated):
        event = record.event
        assert isinstance(event, LogsTruncated)
        if not event.removed_count:
            continue
        told = _completing(case, record)
        if not told:
            if _was_called_before(case, record) and not case.history.handed_over:
                yield (
                    f"store {event.store}: generations {event.removed_first:#x}…{event.removed_last:#x} went outside"
                    " BackupComplete",
                    (record.sequence,),
                )
            continue
        if len(told) == 1:
            yield from _may_truncate(record, event.store, *told[0])


def _was_called_before(case: Case, record: Record) -> bool:
    """Whether the coordinator is in this at all: a writer may be called by hand."""
    return any(step.start < record.sequence for story in case.history.writers.values() for step in story.steps)


def _may_truncate(record: Record, store: str, session: SessionStory, story: WriterStory) -> Iterator[Found]:
    if session.backup_type in _LEAVES_LOGS:
        yield f"store {store}: logs went after a backup of type {session.backup_type}", (session.start, record.sequence)
    own = [component for instance, component in session.components if instance == story.instance_id]
    reported = {
        component.casefold(): succeeded
        for _, instance, component, succeeded in session.reports
        if instance == story.instance_id
    }
    if own and not any(reported.get(component.casefold(), False) for component in own):
        yield (
            f"store {store}: logs went, and no component of writer {story.writer} was reported as backed up",
            (record.sequence,),
        )
    for component in own:
        if reported.get(component.casefold()) is False:
            yield f"store {store}: logs went, and component {component} was reported as failed", (record.sequence,)


def _completing(case: Case, record: Record) -> list[tuple[SessionStory, WriterStory]]:
    found = []
    for story in case.history.writers.values():
        step = story.first("BackupComplete")
        session = case.history.sessions.get(story.session_id)
        if session is None or step is None or not step.start < record.sequence:
            continue
        if not step.end or record.sequence < step.end:
            found.append((session, story))
    return found


@invariant("D9", Kind.SAFETY, Need.STORES)
def only_unneeded_logs_go(case: Case) -> Iterator[Found]:
    """Truncation deletes only generations that nobody needs: below the checkpoint, the copy limit, and the last full backup of
    every attached database outside this backup; with a database unknown or never backed up, none."""
    for name, store in (case.evidence.stores or {}).items():
        gone = _gone(store)
        if not gone:
            continue
        needed = [header.min_required for header in _headers(store.after).values() if header.state == _DIRTY]
        needed += _checkpoints(store.after)
        needed += [header.backed_up + 1 for header in _headers(store.after).values() if header.backed_up]  # the copy's limit
        if store.oldest_needed is not None:
            needed.append(store.oldest_needed)
        lowest = min((each for each in needed if each), default=0)
        if not store.is_whole_group:
            yield f"store {name}: {len(gone)} generations went, and not all of its databases were in the backup or known", ()
        elif lowest and max(gone) >= lowest:
            yield f"store {name}: generation {max(gone):#x} went, and {lowest:#x} and later are needed", ()
        kept = _generations(store.after, store.base_name)
        if kept and min(kept) < max(gone):
            yield f"store {name}: generation {max(gone):#x} went before generation {min(kept):#x}", ()


@invariant("D10", Kind.SAFETY)
def the_chain_stays_restorable(case: Case) -> Iterator[Found]:
    """After truncation the last good full backup, its increments and the remaining logs still roll forward to the newest
    transaction; proved by doing it."""
    yield from by_trial(case, "D10")


@invariant("D11", Kind.SAFETY, Need.STORES)
def stamps_mean_success(case: Case) -> Iterator[Found]:
    """The stamp of a backup is written to a header only on success, and what truncation leaves, also one that was cut, is a
    contiguous tail."""
    for name, store in (case.evidence.stores or {}).items():
        kept, gone = _generations(store.after, store.base_name), _gone(store)
        if kept and gone and min(kept) < max(gone):
            yield f"store {name}: truncation left generation {min(kept):#x} below {max(gone):#x}, which went", ()
        if not store.is_success:
            for path in _stamped(store):
                yield f"store {name}: {path} carries the stamp of a backup that failed", ()


@invariant("D12", Kind.SAFETY, Need.STORES)
def failed_backups_leave_no_trace(case: Case) -> Iterator[Found]:
    """A failed backup leaves headers, stamps, checkpoint and logs as a run without any backup would."""
    for name, store in (case.evidence.stores or {}).items():
        if store.is_success:
            continue
        for generation in _gone(store):
            yield f"store {name}: generation {generation:#x} went with a backup that failed", ()
        if store.twin is None:
            continue
        for path in sorted({*store.twin, *store.after}):
            if store.twin.get(path) != store.after.get(path):
                yield f"store {name}: {path} is not as in a run without any backup", ()


# -- reading a store -----------------------------------------------------------------------------------------------------------


def _of_each(case: Case, judge: Callable[[str, StoreEvidence], Iterator[Found]], part: str) -> Iterator[Found]:
    """Judge every store of which ``part`` was taken down."""
    judged = {name: store for name, store in (case.evidence.stores or {}).items() if getattr(store, part) is not None}
    if not judged:
        raise LacksEvidenceError(f"needs what was taken down of a store: {part}")
    for name, store in judged.items():
        yield from judge(name, store)


def _name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def _generations(files: Mapping[str, bytes], base_name: str) -> list[int]:
    """Generations of the closed log files, by their names, ascending."""
    pattern = re.compile(rf"{re.escape(base_name)}([0-9a-f]{{5}}|[0-9a-f]{{8}})\.log", re.IGNORECASE)
    return sorted(int(found[1], 16) for path in files if (found := pattern.fullmatch(_name(path))))


def _current(store: StoreEvidence) -> int:
    """Generation of the log that is written to, by its header; 0 where there is none."""
    for path, data in store.after.items():
        if _name(path).casefold() == f"{store.base_name}.log".casefold() and len(data) >= _GENERATION + 4:
            (generation,) = struct.unpack_from("<I", data, _GENERATION)
            return int(generation)
    return 0


def _gap(generations: list[int]) -> int:
    """The first generation that is missing between the lowest and the highest; 0 where none is."""
    return next((one + 1 for one, other in pairwise(generations) if other != one + 1), 0)


def _gone(store: StoreEvidence) -> list[int]:
    after = set(_generations(store.after, store.base_name))
    return [each for each in _generations(store.before, store.base_name) if each not in after]


def _headers(files: Mapping[str, bytes]) -> dict[str, _Header]:
    """State and required generations of every database, by its first page."""
    found = {}
    for path, data in files.items():
        if not path.casefold().endswith(".edb") or len(data) < _MIN_REQUIRED + 8:
            continue
        (state,) = struct.unpack_from("<I", data, _STATE)
        low, high = struct.unpack_from("<II", data, _MIN_REQUIRED)
        backed_up = max(struct.unpack_from("<I", data, each + _HIGHEST)[0] for each in _PREVIOUS)
        found[path] = _Header(state, low, high, backed_up)
    return found


def _checkpoints(files: Mapping[str, bytes]) -> list[int]:
    """Generations that the checkpoint files point to: recovery begins there."""
    return [
        struct.unpack_from("<I", data, _CHECKPOINT_GENERATION)[0]
        for path, data in files.items()
        if path.casefold().endswith(".chk") and len(data) >= _CHECKPOINT_GENERATION + 4
    ]


def _stamped(store: StoreEvidence) -> list[str]:
    """Databases whose header says something else of backups than before."""
    return [
        path
        for path, data in store.after.items()
        if path.casefold().endswith(".edb") and path in store.before
        if any(data[start:end] != store.before[path][start:end] for start, end in _STAMPS)
    ]
