"""One frozen record per fact, past tense, emitted once. Imports nothing local.

The recorder adds sequence and virtual instant; console, JSONL and timeline are renderings of the same list. Durations are in
integer nanoseconds, sizes in bytes, ids as text (so that a record is its own JSON). A new event gets a class here and a test
that names it.
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """Base of all events; the tag in JSON is the class name."""


class Record(msgspec.Struct, frozen=True):
    """An event as recorded: sequence number from 1, instant in nanoseconds since the world began."""

    sequence: int
    instant_ns: int
    event: Event


# -- sessions ------------------------------------------------------------------------------------------------------------------


class SessionStarted(Event, frozen=True, kw_only=True):
    session_id: str
    kind: str  # "backup" or "restore"
    backup_type: str = ""


class SessionReleased(Event, frozen=True, kw_only=True):
    session_id: str


class WriterIdentified(Event, frozen=True, kw_only=True):
    session_id: str
    writer: str
    writer_id: str
    component_count: int
    instance_id: str = ""
    level: str = ""  # FRONT_END, BACK_END or SYSTEM
    freeze_limit_ns: int = 0  # how long the writer stays frozen at most


class ComponentAdded(Event, frozen=True, kw_only=True):
    session_id: str
    writer: str
    component: str
    instance_id: str = ""


class SnapshotSetStarted(Event, frozen=True, kw_only=True):
    session_id: str
    snapshot_set_id: str
    attributes: int = -1  # of the session's context, as the vendor's bits


class VolumeAddedToSet(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    snapshot_id: str
    volume: str
    provider: str


class PhaseEntered(Event, frozen=True, kw_only=True):
    """A phase of the story began: prepare, freeze, hold, commit, thaw, post-snapshot, copy, verify, complete …"""

    phase: str
    session_id: str = ""


class PhaseLeft(Event, frozen=True, kw_only=True):
    phase: str
    session_id: str = ""
    duration_ns: int = 0
    outcome: str = "ok"


# -- writers -------------------------------------------------------------------------------------------------------------------


class WriterCalled(Event, frozen=True, kw_only=True):
    """An event was sent to a writer."""

    writer: str
    step: str
    session_id: str = ""


class WriterAnswered(Event, frozen=True, kw_only=True):
    """The writer handled the event; ``state`` is the vendor's name of the state it is in now."""

    writer: str
    step: str
    state: str
    session_id: str = ""


class WriterFroze(Event, frozen=True, kw_only=True):
    writer: str
    session_id: str = ""


class WriterThawed(Event, frozen=True, kw_only=True):
    writer: str
    frozen_ns: int = 0
    session_id: str = ""


class WriterAborted(Event, frozen=True, kw_only=True):
    writer: str
    cause: str
    session_id: str = ""


class WriterVetoed(Event, frozen=True, kw_only=True):
    writer: str
    step: str
    state: str
    hresult: str
    message: str
    session_id: str = ""


class WriterTimedOut(Event, frozen=True, kw_only=True):
    writer: str
    step: str
    limit_ns: int
    session_id: str = ""


class LateAnswerIgnored(Event, frozen=True, kw_only=True):
    """A plugin answered after its caller had given up; the answer had no effect."""

    role: str
    step: str


class FreezeWindowOpened(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    limit_ns: int


class FreezeWindowClosed(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    duration_ns: int
    limit_ns: int


class FreezeWindowLost(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    duration_ns: int
    limit_ns: int


# -- volumes -------------------------------------------------------------------------------------------------------------------


class VolumeFlushed(Event, frozen=True, kw_only=True):
    volume: str


class WritesHeld(Event, frozen=True, kw_only=True):
    volume: str
    limit_ns: int


class WritesReleased(Event, frozen=True, kw_only=True):
    volume: str
    held_ns: int
    queued_count: int
    queued_bytes: int


class HoldLost(Event, frozen=True, kw_only=True):
    """The volume's own timer let the writes go."""

    volume: str
    held_ns: int
    queued_count: int


class VolumeLost(Event, frozen=True, kw_only=True):
    volume: str


class VolumeReplaced(Event, frozen=True, kw_only=True):
    volume: str


# -- providers and shadow copies -----------------------------------------------------------------------------------------------


class ProviderCalled(Event, frozen=True, kw_only=True):
    provider: str
    step: str
    snapshot_set_id: str = ""


class ProviderFailed(Event, frozen=True, kw_only=True):
    provider: str
    step: str
    hresult: str
    message: str
    snapshot_set_id: str = ""


class SnapshotCommitted(Event, frozen=True, kw_only=True):
    """All shadow copies of the set exist, at one instant."""

    snapshot_set_id: str
    snapshot_count: int


class SnapshotSetCreated(Event, frozen=True, kw_only=True):
    snapshot_set_id: str


class SnapshotSetAborted(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    cause: str
    hresult: str


class SnapshotDeleted(Event, frozen=True, kw_only=True):
    snapshot_id: str
    reason: str


class BlocksCopied(Event, frozen=True, kw_only=True):
    """A long copy between volume and shadow copy came this far; ``work`` is establish, resync, restore or revert."""

    work: str
    volume: str
    snapshot_id: str
    done_bytes: int
    total_bytes: int


# -- backup, verification, restore ---------------------------------------------------------------------------------------------


class FileCopied(Event, frozen=True, kw_only=True):
    path: str
    size_bytes: int
    sha256: str
    source: str  # "shadow copy" always, unless the writer declared another place


class FileVerified(Event, frozen=True, kw_only=True):
    path: str
    size_bytes: int
    pages: int = 0
    method: str = ""


class CorruptionFound(Event, frozen=True, kw_only=True):
    """Verification named wrong bytes. Page number and offset are -1 where the format has none."""

    path: str
    code: str
    message: str
    page_number: int = -1
    offset: int = -1


class ComponentSucceeded(Event, frozen=True, kw_only=True):
    session_id: str
    writer: str
    component: str


class ComponentFailed(Event, frozen=True, kw_only=True):
    session_id: str
    writer: str
    component: str
    reason: str


class BackupSetWritten(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    state: str
    file_count: int
    size_bytes: int


class FileRestored(Event, frozen=True, kw_only=True):
    path: str
    size_bytes: int


# -- the application's store ---------------------------------------------------------------------------------------------------


class LogsTruncated(Event, frozen=True, kw_only=True):
    """Generations removed (none when ``removed_count`` is 0) and why the others stayed."""

    store: str
    removed_first: int
    removed_last: int
    removed_count: int
    kept_first: int
    kept_last: int
    reason: str


class LogRolledOver(Event, frozen=True, kw_only=True):
    store: str
    generation: int


class DatabaseMounted(Event, frozen=True, kw_only=True):
    store: str
    database: str


class DatabaseDismounted(Event, frozen=True, kw_only=True):
    store: str
    database: str
    state: str


class RecoveryFinished(Event, frozen=True, kw_only=True):
    """Logs were replayed: first and last generation, records redone and skipped, transactions left out."""

    store: str
    kind: str  # "soft" or "hard"
    generation_first: int
    generation_last: int
    records_redone: int
    records_skipped: int
    transactions_undone: int = 0


class ApplicationLogged(Event, frozen=True, kw_only=True):
    """What the application wrote to its event log: source and id as the vendor's."""

    source: str
    event_id: int
    severity: str
    message: str


class WorkloadAcknowledged(Event, frozen=True, kw_only=True):
    """The workload's own count of what the store has acknowledged so far."""

    workload: str
    operations: int
    digest: str


# -- faults and plugins --------------------------------------------------------------------------------------------------------


class FaultFired(Event, frozen=True, kw_only=True):
    site: str
    effect: str
    selectors: str = ""


class PluginProblem(Event, frozen=True, kw_only=True):
    plugin: str
    stage: str
    message: str
