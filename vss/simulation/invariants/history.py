"""The record stream put in order once: holds, sets, sessions, and each writer's own story. Reads records, decides nothing.

One pass, dispatched by the type of the event; everything is kept in the order of the records. A record of a type that nobody
asks for costs one look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vss import events
from vss.events import Event, Record

STAYS = 0x08 | 0x20
"""NO_AUTO_RELEASE, TRANSPORTABLE: attributes of shadow copies that outlive their session."""


@dataclass(slots=True)
class Hold:
    """Writes of one volume were held. ``end`` is 0 while it lasts; ``how`` is released, lost, or gone with the volume."""

    volume: str
    start: int
    start_ns: int
    limit_ns: int
    end: int = 0
    end_ns: int = 0
    held_ns: int = 0
    how: str = ""
    promised: int = 0  # writes that the volume said were queued when it let go

    def covers(self, sequence: int) -> bool:
        """Whether the record ``sequence`` lies inside the hold."""
        return self.start < sequence and (not self.end or sequence < self.end)

    def covers_fact(self, sequence: int) -> bool:
        """Whether a fact that so many records preceded lies inside the hold."""
        return self.start <= sequence and (not self.end or sequence < self.end)


@dataclass(slots=True)
class ProviderCall:
    """One routine of one provider; ``end`` is 0 where no answer came, ``failure`` the code of a refusal."""

    provider: str
    step: str
    start: int
    end: int = 0
    failure: str = ""


@dataclass(slots=True)
class SetStory:
    """One shadow copy set."""

    snapshot_set_id: str
    session_id: str = ""
    attributes: int = -1
    start: int = 0
    volumes: dict[str, str] = field(default_factory=dict)  # volume to snapshot id
    providers: dict[str, str] = field(default_factory=dict)  # snapshot id to provider
    calls: list[ProviderCall] = field(default_factory=list)
    window: tuple[int, int] = (0, 0)  # records where the freeze window opened and closed
    window_lost: int = 0
    committed: int = 0
    created: int = 0
    aborted: int = 0
    abort_cause: str = ""
    abort_hresult: str = ""

    def of_step(self, step: str) -> list[ProviderCall]:
        """The calls of one routine."""
        return [each for each in self.calls if each.step == step]


@dataclass(slots=True)
class WriterStep:
    """One event sent to a writer. ``how`` is answered, vetoed, timed out, or empty while nobody knows."""

    step: str
    start: int
    start_ns: int
    end: int = 0
    end_ns: int = 0
    how: str = ""
    state: str = ""
    hresult: str = ""
    is_sent: bool = True  # False where it failed before it reached the writer


@dataclass(slots=True)
class WriterStory:
    """One writer in one session."""

    session_id: str
    writer: str
    instance_id: str = ""
    level: str = ""
    freeze_limit_ns: int = 0
    identified: int = 0
    steps: list[WriterStep] = field(default_factory=list)
    expiries: list[tuple[int, int]] = field(default_factory=list)  # (record, instant) of the freeze timer
    aborts: list[int] = field(default_factory=list)  # records that announce an Abort, with their cause
    is_ambiguous: bool = False  # two writers of this name: their records cannot be told apart

    def first(self, step: str) -> WriterStep | None:
        """The first event of this name; None where it never came."""
        return next((each for each in self.steps if each.step == step), None)

    def all_of(self, step: str) -> list[WriterStep]:
        """Every event of this name."""
        return [each for each in self.steps if each.step == step]


@dataclass(slots=True)
class SessionStory:
    """One session of a requestor."""

    session_id: str
    kind: str = ""
    backup_type: str = ""
    start: int = 0
    released: int = 0
    released_ns: int = 0
    components: list[tuple[str, str]] = field(default_factory=list)  # (instance id, component) as added
    reports: list[tuple[int, str, str, bool]] = field(default_factory=list)  # (record, instance id, component, succeeded)
    statuses: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)  # (record, session state, failed writers)


class History:
    """The stories that a stream of records tells.

    Attributes:
        records: the stream.
        holds: every hold, in order of beginning.
        sets: every set by id.
        sessions: every session by id.
        writers: every writer's story by session and name.
        locks: (record, session, taken) for the creation lock.
        handed_over: sessions whose backup waits for a later one to complete it; their end is not in this log.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        """Read ``records`` once."""
        self.records = records
        self.holds: list[Hold] = []
        self.sets: dict[str, SetStory] = {}
        self.sessions: dict[str, SessionStory] = {}
        self.writers: dict[tuple[str, str], WriterStory] = {}
        self.locks: list[tuple[int, str, bool]] = []
        self.handed_over: set[str] = set()
        self._of_type: dict[type[Event], list[Record]] = {}
        self._holding: dict[str, Hold] = {}
        handlers = _HANDLERS
        of_type = self._of_type
        for record in records:
            kind = type(record.event)
            found = of_type.get(kind)
            if found is None:
                of_type[kind] = [record]
            else:
                found.append(record)
            handler = handlers.get(kind)
            if handler is not None:
                handler(self, record, record.event)

    @property
    def last_ns(self) -> int:
        """Instant of the last record; 0 without records."""
        return self.records[-1].instant_ns if self.records else 0

    def of(self, kind: type[Event]) -> list[Record]:
        """The records of one type of event."""
        return self._of_type.get(kind, [])

    def of_session(self, session_id: str) -> list[WriterStory]:
        """The writers of one session, in the order in which they were heard of."""
        return [each for (session, _), each in self.writers.items() if session == session_id]

    @property
    def clear_writers(self) -> list[WriterStory]:
        """The stories that are whole: the session began in this log, and no other writer has the name."""
        known = self.sessions
        return [
            each
            for each in self.writers.values()
            if not each.is_ambiguous and (each.session_id in known and known[each.session_id].start)
        ]

    def set_of(self, session_id: str) -> SetStory | None:
        """The last set of a session; None where it has none."""
        return next((each for each in reversed(self.sets.values()) if each.session_id == session_id), None)

    # -- reading ---------------------------------------------------------------------------------------------------------------

    def session(self, session_id: str) -> SessionStory:
        """The session's story, begun where it was not."""
        return self.sessions.setdefault(session_id, SessionStory(session_id))

    def set(self, set_id: str) -> SetStory:
        """The set's story, begun where it was not."""
        return self.sets.setdefault(set_id, SetStory(set_id))

    def writer(self, event: Any) -> WriterStory:
        """The story that an event about a writer belongs to."""
        key = (event.session_id, event.writer)
        found = self.writers.get(key)
        if found is None:
            found = self.writers[key] = WriterStory(*key)
        return found

    def hold_began(self, record: Record, event: events.WritesHeld) -> None:
        """A volume holds its writes."""
        hold = Hold(event.volume, record.sequence, record.instant_ns, event.limit_ns)
        self.holds.append(hold)
        self._holding[event.volume] = hold

    def hold_ended(self, record: Record, event: Any) -> None:
        """A volume let its writes go, or is gone."""
        hold = self._holding.pop(event.volume, None)
        if hold is None:
            return
        hold.end, hold.end_ns = record.sequence, record.instant_ns
        hold.held_ns = getattr(event, "held_ns", 0)
        hold.promised = getattr(event, "queued_count", -1)
        hold.how = _ENDS.get(type(event), "gone")


def _session_started(history: History, record: Record, event: events.SessionStarted) -> None:
    story = history.session(event.session_id)
    story.kind, story.backup_type, story.start = event.kind, event.backup_type, record.sequence


def _session_released(history: History, record: Record, event: events.SessionReleased) -> None:
    story = history.session(event.session_id)
    story.released, story.released_ns = record.sequence, record.instant_ns


def _type_set(history: History, record: Record, event: events.BackupStateSet) -> None:
    history.session(event.session_id).backup_type = event.backup_type


def _component_added(history: History, record: Record, event: events.ComponentAdded) -> None:
    history.session(event.session_id).components.append((event.instance_id, event.component))


def _component_reported(history: History, record: Record, event: events.ComponentReported) -> None:
    reported = (record.sequence, event.instance_id, event.component, event.succeeded)
    history.session(event.session_id).reports.append(reported)


def _status_gathered(history: History, record: Record, event: events.WriterStatusGathered) -> None:
    history.session(event.session_id).statuses.append((record.sequence, event.after, event.failed))


def _handed_over(history: History, record: Record, event: Any) -> None:
    history.handed_over.add(event.session_id)


def _lock(history: History, record: Record, event: Any) -> None:
    history.locks.append((record.sequence, event.session_id, type(event) is events.CreationLockTaken))


def _identified(history: History, record: Record, event: events.WriterIdentified) -> None:
    story = history.writer(event)
    story.is_ambiguous = story.identified > 0
    story.identified = record.sequence
    story.instance_id, story.level, story.freeze_limit_ns = event.instance_id, event.level, event.freeze_limit_ns


def _writer_called(history: History, record: Record, event: events.WriterCalled) -> None:
    history.writer(event).steps.append(WriterStep(event.step, record.sequence, record.instant_ns))


def _writer_ended(history: History, record: Record, event: Any) -> None:
    story = history.writer(event)
    if event.step == "Freeze to Thaw":
        story.expiries.append((record.sequence, record.instant_ns))
        running = next((each for each in reversed(story.steps) if each.step in ("Freeze", "Thaw")), None)
        if running is not None and not running.end:  # the timer settles the step that still runs
            running.end, running.end_ns, running.how = record.sequence, record.instant_ns, _HOW[type(event)]
        return
    step = next((each for each in reversed(story.steps) if each.step == event.step and not each.end), None)
    if step is None:  # failed or given up before it was sent: the event was never seen by the writer
        step = WriterStep(event.step, record.sequence, record.instant_ns, is_sent=False)
        story.steps.append(step)
    step.end, step.end_ns = record.sequence, record.instant_ns
    step.how = _HOW[type(event)]
    step.state, step.hresult = getattr(event, "state", ""), getattr(event, "hresult", "")


def _writer_aborted(history: History, record: Record, event: events.WriterAborted) -> None:
    history.writer(event).aborts.append(record.sequence)


def _set_started(history: History, record: Record, event: events.SnapshotSetStarted) -> None:
    story = history.set(event.snapshot_set_id)
    story.session_id, story.start, story.attributes = event.session_id, record.sequence, event.attributes


def _volume_added(history: History, record: Record, event: events.VolumeAddedToSet) -> None:
    story = history.set(event.snapshot_set_id)
    story.volumes[event.volume] = event.snapshot_id
    story.providers[event.snapshot_id] = event.provider


def _provider_called(history: History, record: Record, event: events.ProviderCalled) -> None:
    if event.snapshot_set_id:
        history.set(event.snapshot_set_id).calls.append(ProviderCall(event.provider, event.step, record.sequence))


def _provider_ended(history: History, record: Record, event: Any) -> None:
    if not event.snapshot_set_id:
        return
    for call in reversed(history.set(event.snapshot_set_id).calls):
        if call.provider == event.provider and call.step == event.step and not call.end:
            call.end, call.failure = record.sequence, getattr(event, "hresult", "")
            return


def _window(history: History, record: Record, event: Any) -> None:
    story = history.set(event.snapshot_set_id)
    if type(event) is events.FreezeWindowOpened:
        story.window = (record.sequence, 0)
    elif type(event) is events.FreezeWindowClosed:
        story.window = (story.window[0], record.sequence)
    else:
        story.window_lost = record.sequence


def _set_ended(history: History, record: Record, event: Any) -> None:
    story = history.set(event.snapshot_set_id)
    if type(event) is events.SnapshotCommitted:
        story.committed = record.sequence
    elif type(event) is events.SnapshotSetCreated:
        story.created = record.sequence
    else:
        story.aborted, story.abort_cause, story.abort_hresult = record.sequence, event.cause, event.hresult


_ENDS: dict[type[Event], str] = {events.WritesReleased: "released", events.HoldLost: "lost"}

_HOW: dict[type[Event], str] = {
    events.WriterAnswered: "answered",
    events.WriterVetoed: "vetoed",
    events.WriterTimedOut: "timed out",
}

_HANDLERS: dict[type[Event], Callable[[History, Record, Any], None]] = {
    events.SessionStarted: _session_started,
    events.SessionReleased: _session_released,
    events.BackupStateSet: _type_set,
    events.ComponentAdded: _component_added,
    events.ComponentReported: _component_reported,
    events.WriterStatusGathered: _status_gathered,
    events.BackupLeftWaiting: _handed_over,
    events.WaitingBackupTaken: _handed_over,
    events.CreationLockTaken: _lock,
    events.CreationLockFreed: _lock,
    events.SessionLost: _lock,  # the lock dies with the service
    events.WriterIdentified: _identified,
    events.WriterCalled: _writer_called,
    events.WriterAnswered: _writer_ended,
    events.WriterVetoed: _writer_ended,
    events.WriterTimedOut: _writer_ended,
    events.WriterAborted: _writer_aborted,
    events.WritesHeld: History.hold_began,
    events.WritesReleased: History.hold_ended,
    events.HoldLost: History.hold_ended,
    events.VolumeLost: History.hold_ended,
    events.SnapshotSetStarted: _set_started,
    events.VolumeAddedToSet: _volume_added,
    events.ProviderCalled: _provider_called,
    events.ProviderAnswered: _provider_ended,
    events.ProviderFailed: _provider_ended,
    events.FreezeWindowOpened: _window,
    events.FreezeWindowClosed: _window,
    events.FreezeWindowLost: _window,
    events.SnapshotCommitted: _set_ended,
    events.SnapshotSetCreated: _set_ended,
    events.SnapshotSetAborted: _set_ended,
}
