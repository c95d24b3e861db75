"""What one session did, collected from its records: phases, the freeze window, who was frozen and held when, what went wrong.

Pure data for renderings (text now, any other picture later). Records carry no session on every event; a session's are those
from its start to its release, which is exact because only one set is in creation at a time and phases carry their session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vss import events
from vss.events import Event, Record
from vss.observe.severity import is_bad_news


@dataclass(slots=True)
class Phase:
    """A phase of the story. ``depth`` counts the phases around it; ``left_ns`` is -1 while it has not ended."""

    name: str
    entered_ns: int
    depth: int
    left_ns: int = -1
    outcome: str = "unfinished"


@dataclass(slots=True)
class Bar:
    """A stretch of time on a lane: frozen or held. ``left_ns`` is -1 while it has not ended."""

    entered_ns: int
    limit_ns: int = -1
    left_ns: int = -1
    is_lost: bool = False
    queued_count: int = 0
    queued_bytes: int = 0
    ending: str = ""


@dataclass(slots=True)
class Window:
    """The freeze window of the set. ``limit_ns`` is negative where the profile has none."""

    opened_ns: int
    limit_ns: int
    closed_ns: int = -1
    is_lost: bool = False


@dataclass(slots=True)
class SessionView:
    """One session, in instants of the run (nanoseconds). Lanes are in the order in which they first appear."""

    session_id: str = ""
    title: str = "records"
    started_ns: int = 0
    ended_ns: int = 0
    phases: list[Phase] = field(default_factory=list)
    window: Window | None = None
    writers: dict[str, list[Bar]] = field(default_factory=dict)
    volumes: dict[str, list[Bar]] = field(default_factory=dict)
    providers: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    bad_news: list[Record] = field(default_factory=list)
    committed_ns: int = -1


def session_views(records: Sequence[Record]) -> list[SessionView]:
    """Return a view of every session in ``records``; of all records as one where no session was started."""
    started = [record.event for record in records if isinstance(record.event, events.SessionStarted)]
    if not started:
        return [_view(records, SessionView())] if records else []
    return [_view(_of_session(records, each.session_id), _titled(each)) for each in started]


def _titled(event: events.SessionStarted) -> SessionView:
    kind = f"{event.backup_type} {event.kind}".strip().lower()
    return SessionView(session_id=event.session_id, title=f"{kind}, session {event.session_id}")


def _of_session(records: Sequence[Record], session_id: str) -> list[Record]:
    """The records from the session's start to its release, without the phases of other sessions."""
    chosen: list[Record] = []
    is_inside = False
    for record in records:
        event = record.event
        is_own = getattr(event, "session_id", session_id) in {"", session_id}
        if isinstance(event, events.SessionStarted):
            is_inside = is_inside or is_own
        if is_inside and is_own:
            chosen.append(record)
        if isinstance(event, events.SessionReleased) and is_own:
            break
    return chosen


def _view(records: Sequence[Record], view: SessionView) -> SessionView:
    view.started_ns = records[0].instant_ns
    view.ended_ns = records[-1].instant_ns
    for record in records:
        _take_phase(view, record.instant_ns, record.event)
        _take_window(view, record.instant_ns, record.event)
        _take_writer(view, record.instant_ns, record.event)
        _take_volume(view, record.instant_ns, record.event)
        if is_bad_news(record.event):
            view.bad_news.append(record)
    return view


def _take_phase(view: SessionView, now_ns: int, event: Event) -> None:
    if isinstance(event, events.PhaseEntered):
        view.phases.append(Phase(event.phase, now_ns, sum(1 for each in view.phases if each.left_ns < 0)))
    elif isinstance(event, events.PhaseLeft):
        for phase in reversed(view.phases):
            if phase.name == event.phase and phase.left_ns < 0:
                phase.left_ns, phase.outcome = now_ns, event.outcome
                break


def _take_window(view: SessionView, now_ns: int, event: Event) -> None:
    if isinstance(event, events.FreezeWindowOpened):
        view.window = Window(now_ns, event.limit_ns)
    elif isinstance(event, events.FreezeWindowLost) and view.window is not None:
        view.window.is_lost = True
    elif isinstance(event, events.FreezeWindowClosed) and view.window is not None:
        view.window.closed_ns = now_ns
    elif isinstance(event, events.SnapshotCommitted):
        view.committed_ns = now_ns
    elif isinstance(event, events.ProviderCalled):
        view.providers.setdefault(event.provider, []).append((now_ns, event.step))


def _take_writer(view: SessionView, now_ns: int, event: Event) -> None:
    if isinstance(event, events.WriterFroze):
        view.writers.setdefault(event.writer, []).append(Bar(now_ns))
    elif isinstance(event, events.WriterThawed | events.WriterAborted):
        bar = _open_bar(view.writers.get(event.writer, []))
        if bar is not None:
            bar.left_ns = now_ns
            bar.ending = "aborted" if isinstance(event, events.WriterAborted) else ""


def _take_volume(view: SessionView, now_ns: int, event: Event) -> None:
    if isinstance(event, events.WritesHeld):
        view.volumes.setdefault(event.volume, []).append(Bar(now_ns, event.limit_ns))
    elif isinstance(event, events.WritesReleased | events.HoldLost):
        bar = _open_bar(view.volumes.get(event.volume, []))
        if bar is not None:
            bar.left_ns = now_ns
            bar.entered_ns = min(bar.entered_ns, now_ns - event.held_ns)  # the window runs from the call, the flush included
            bar.queued_count = event.queued_count
            bar.is_lost = isinstance(event, events.HoldLost)
            bar.queued_bytes = 0 if isinstance(event, events.HoldLost) else event.queued_bytes


def _open_bar(bars: Sequence[Bar]) -> Bar | None:
    return bars[-1] if bars and bars[-1].left_ns < 0 else None
