"""What the checker of a run may look at: the record stream, and bytes that were taken down independently of the code judged.

Every part but the records is optional; what is None is missing, what is empty was looked at and is empty. Instants are
nanoseconds of the run's clock, ``sequence`` is the number of records emitted before the fact (so a fact with sequence 7 lies
between records 7 and 8). The classes hold facts and decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vss.events import Record
from vss.simulation.invariants.image import Image


@dataclass(frozen=True, slots=True)
class StoreWrite:
    """A write that reached a volume's store, below gate and filters.

    Attributes:
        is_application: it came through the gate; else a provider or tool wrote below it.
    """

    sequence: int
    instant_ns: int
    offset: int
    data: bytes
    is_application: bool


@dataclass(frozen=True, slots=True)
class StoreFlush:
    """Everything written to the store before is durable from here on. ``after`` counts the store's writes before it."""

    sequence: int
    instant_ns: int
    after: int


@dataclass(frozen=True, slots=True)
class RegionCopy:
    """The volume's bytes at one moment, copied by the watcher; ``reason`` names the event that was the occasion."""

    sequence: int
    instant_ns: int
    reason: str
    data: bytes | Image


@dataclass(frozen=True, slots=True)
class VolumeEvidence:
    """One volume, watched.

    Attributes:
        first: its bytes when watching began.
        writes: every write to the store since then, in order; those at or behind ``size_bytes`` are outside the volume.
        flushes: instants of durability.
        copies: the volume at the instants when writes were held.
        last: its bytes at the end; None where they could not be read.
        excluded: (start, end) of ranges that belong to the provider, where no comparison is made.
        block_bytes: granularity of copy-on-write; 0 where the shadow copies of this volume are not made that way.
        has_faults: whether storage faults were injected below, so that its bytes prove nothing about the code above.
    """

    size_bytes: int
    first: bytes | Image
    writes: Sequence[StoreWrite]
    flushes: Sequence[StoreFlush] = ()
    copies: Sequence[RegionCopy] = ()
    last: bytes | Image | None = None
    excluded: tuple[tuple[int, int], ...] = ()
    block_bytes: int = 0
    has_faults: bool = False


@dataclass(frozen=True, slots=True)
class SnapshotRead:
    """A whole shadow copy as it was read at one moment, or the error that reading it gave.

    Attributes:
        data: its bytes; None where the read failed.
        error: class name of a typed error, empty where the read succeeded. An error that is no ``VssError`` starts with ``!``.
        is_recovered: writers had changed the shadow copy (auto-recovery) before this read.
        recovered: (start, end) of the ranges of the files of participating writers, which recovery may change.
    """

    snapshot_id: str
    volume: str
    sequence: int
    data: bytes | Image | None
    error: str = ""
    is_recovered: bool = False
    recovered: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ApplicationWrite:
    """A write as an application remembers it, independent of any volume: the bystander's own record.

    Attributes:
        data: what it wrote, different for each write.
        issued: records emitted when it asked.
        completed: records emitted when it was told; -1 where it was not.
        completions: how often it was told.
        error: class name of the error that it was given instead; ``!`` in front where that is no ``VssError``.
        place: names the bytes that it wrote over; a later write of the same place hides it. Empty where each has its own.
        began: place of the asking in the order of all that applications asked and were told; -1 where only records tell.
        ended: place of the answer in that order.
    """

    application: str
    number: int
    volume: str
    data: bytes
    issued: int
    completed: int = -1
    completions: int = 0
    error: str = ""
    place: str = ""
    began: int = -1
    ended: int = -1


@dataclass(frozen=True, slots=True)
class EndState:
    """What was left when the run was over; each entry names one thing, and all should be empty."""

    open_tasks: tuple[str, ...] = ()
    timers: tuple[str, ...] = ()
    held_volumes: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    pending_calls: tuple[str, ...] = ()
    temporary_files: tuple[str, ...] = ()
    handles: tuple[str, ...] = ()
    unhandled: tuple[str, ...] = ()
    is_bound_hit: bool = False
    bound: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a requestor reported.

    Attributes:
        kind: backup, verify or restore.
        is_success: success was reported, be it with warnings.
        session_id: the session, empty where there was none.
        warnings: sentences.
        is_verified: the backup set was reported as verified good.
        error: the message, empty on success.
        hresult: name of the code, empty where there is none.
        sequence: records emitted when it reported.
    """

    kind: str
    is_success: bool
    session_id: str = ""
    snapshot_set_id: str = ""
    warnings: tuple[str, ...] = ()
    is_verified: bool = False
    error: str = ""
    hresult: str = ""
    sequence: int = -1


@dataclass(frozen=True, slots=True)
class BackupSetFiles:
    """A backup set as it lies on the host, and what it should hold.

    Attributes:
        files: every file below the set's directory, path with ``/`` to bytes.
        expected: machine path to bytes at the commit, for files that a backup must hold; None where nobody knows.
        found_wrong: what verification named, as (file, offset), None where it was not run; offset -1 for the whole file.
        altered: what somebody changed after it was sealed, as (file, offset), which verification has to notice.
        has_wrong_source: the store itself was damaged before the backup, so that verification has something to find.
        has_faults: faults struck the media that it was read from or written to, so that wrong bytes prove nothing about whence
            they were read; that nobody noticed them does.
        is_exact: ``expected`` names every file that belongs into the set, not only bytes of those that are in it.
    """

    files: Mapping[str, bytes]
    expected: Mapping[str, bytes] | None = None
    found_wrong: tuple[tuple[str, int], ...] | None = None
    altered: tuple[tuple[str, int], ...] = ()
    has_wrong_source: bool = False
    has_faults: bool = False
    is_exact: bool = True

    @property
    def is_altered(self) -> bool:
        """Whether its bytes are not those that the requestor wrote."""
        return bool(self.altered)


@dataclass(frozen=True, slots=True)
class RestoreEvidence:
    """What a restore left: machine path to bytes before and after, and what the backup held.

    Attributes:
        granted: machine paths (prefixes, no case) below which it was allowed to write.
        wanted: what the backup holds for the places it was restored to.
    """

    is_success: bool
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    wanted: Mapping[str, bytes]
    granted: tuple[str, ...] = ()
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class StoreEvidence:
    """An application's store of databases and logs, from names and bytes of its files.

    Attributes:
        before: file name to bytes before the backup.
        after: the same after it.
        base_name: first letters of the log files (``E00``).
        is_whole_group: all databases of the group were in the backup.
        is_success: the backup was reported as successful.
        oldest_needed: lowest generation that somebody outside this backup needs; None for nobody.
        persisted: durable writes in order, as (kind, position): ``log`` with the position up to which the log is durable,
            ``page`` with the log position that the page image needs; None where nobody took them down.
        pages_used: (page number, was checked, is damaged, was found) of every page that was used; None where not taken down.
        twin: the same files after a run of the same workload without any backup; None where there was no such run.
    """

    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    base_name: str = "E00"
    is_whole_group: bool = True
    is_success: bool = True
    oldest_needed: int | None = None
    persisted: Sequence[tuple[str, int]] | None = None
    pages_used: Sequence[tuple[int, bool, bool, bool]] | None = None
    twin: Mapping[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class FrozenFiles:
    """Digests of a writer's files at a moment while it was frozen: taken at the answer to Freeze and before Thaw."""

    writer: str
    session_id: str
    at_freeze: Mapping[str, str]
    at_thaw: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Document:
    """A components document as it was written, and what reading it back gave.

    Attributes:
        text: the bytes.
        again: the bytes that writing the parsed document gave.
        changed_after_close: bytes of the document at a later look; None where nobody looked.
    """

    name: str
    text: bytes
    again: bytes
    changed_after_close: bytes | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Ids of shadow copies as the coordinator lists them (None: nobody asked it), and as each provider has them; at the end,
    after recovery."""

    listed: tuple[str, ...] | None
    real: tuple[str, ...]
    persistent_before: Mapping[str, str] = field(default_factory=dict)
    persistent_after: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """A statement that was put to the proof beside the run: a callable's answer, taken down.

    Attributes:
        invariant_id: which statement it is about.
        name: what was tried.
        problems: one sentence for each thing that went wrong; empty where it held.
    """

    invariant_id: str
    name: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the checker may read.

    Attributes:
        records: the event log.
        end_ns: where the clock stood at the end; None: at the last record.
        stall_ns: how late timers may have fired: injected stalls of the loop, jitter of its timers.
        is_ended: everything had come to an end in order (machine shut down); else the run was cut somewhere.
        is_real: real time: virtual limits are not judged.
        killed: roles that were killed for good (``writer:A``, ``coordinator``).
        volumes: watched volumes by name.
        snapshots: shadow copies as read at check points.
        applications: bystanders' own records.
        sets: backup sets on the host by directory name.
        workloads: what each workload found wrong with what was acknowledged to it.
        end: what was left at the end.
        outcomes: what requestors reported, in order.
        stores: applications' stores.
        trials: statements put to the proof beside the run.
        catalogue: shadow copies listed and real.
        frozen_files: writers' files during the freeze.
        restores: what restores left.
        documents: components documents.
    """

    records: Sequence[Record]
    end_ns: int | None = None
    stall_ns: int = 0
    is_ended: bool = False
    is_real: bool = False
    killed: tuple[str, ...] = ()
    volumes: Mapping[str, VolumeEvidence] | None = None
    snapshots: Sequence[SnapshotRead] | None = None
    applications: Sequence[ApplicationWrite] | None = None
    sets: Mapping[str, BackupSetFiles] | None = None
    workloads: Mapping[str, Sequence[str]] | None = None
    end: EndState | None = None
    outcomes: Sequence[Outcome] | None = None
    stores: Mapping[str, StoreEvidence] | None = None
    trials: Sequence[Trial] | None = None
    catalogue: Catalogue | None = None
    frozen_files: Sequence[FrozenFiles] | None = None
    restores: Sequence[RestoreEvidence] | None = None
    documents: Sequence[Document] | None = None
