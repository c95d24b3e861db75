"""Walking the protocol model: every reachable state of a small machine, breadth first, and what must hold in each.

The machine is one requestor, some writers and volumes, one provider; every event of the protocol is tried in every state, with
good answers, refusals and time-outs, and those that the model refuses are counted as illegal. ``explore`` returns the
figures and the first broken statement with the path that led there; ``paths`` gives legal sequences of events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from vss import events
from vss.events import Event
from vss.simulation.invariants.model_state import PHASES, State
from vss.simulation.invariants.protocol_model import START, step

_SESSION, _SET, _PROVIDER = "session", "set", "provider"
_WRITER_STEPS = (
    "PrepareForBackup",
    "PrepareForSnapshot",
    "Freeze",
    "Thaw",
    "PostSnapshot",
    "BackupComplete",
    "Abort",
    "BackupShutdown",
)


@dataclass(slots=True)
class Walk:
    """What a walk found.

    Attributes:
        states: how many states were reached.
        legal: how many events were allowed, over all states.
        illegal: how many were refused.
        broken: the first broken statement with the path to it; empty where all held.
        stuck: states from which the session cannot be brought to its end.
    """

    states: int = 0
    legal: int = 0
    illegal: int = 0
    broken: str = ""
    stuck: int = 0
    reached: set[str] = field(default_factory=set)


def alphabet(writers: int, volumes: int) -> list[Event]:
    """Every event that the small machine can have, apart from the beginning of its session."""
    names = [f"W{number}" for number in range(writers)]
    found: list[Event] = []
    for step_name in (*PHASES[1:], "abort"):
        found.append(events.ProviderCalled(provider=_PROVIDER, step=step_name, snapshot_set_id=_SET))
        found.append(events.ProviderAnswered(provider=_PROVIDER, step=step_name, snapshot_set_id=_SET))
        found.append(
            events.ProviderFailed(provider=_PROVIDER, step=step_name, hresult="E_FAIL", message="no", snapshot_set_id=_SET)
        )
    for number in range(volumes):
        found += _of_volume(f"V{number}")
    for name in names:
        for step_name in _WRITER_STEPS:
            found.append(events.WriterCalled(writer=name, step=step_name, session_id=_SESSION))
            found.append(events.WriterAnswered(writer=name, step=step_name, state="", session_id=_SESSION))
            found.append(events.WriterTimedOut(writer=name, step=step_name, limit_ns=0, session_id=_SESSION))
        found.append(events.WriterTimedOut(writer=name, step="Freeze to Thaw", limit_ns=1, session_id=_SESSION))
    found.append(events.FreezeWindowOpened(snapshot_set_id=_SET, limit_ns=1))
    found.append(events.FreezeWindowClosed(snapshot_set_id=_SET, duration_ns=0, limit_ns=1))
    found.append(events.SnapshotSetCreated(snapshot_set_id=_SET))
    found.append(events.SnapshotSetAborted(snapshot_set_id=_SET, cause="c", hresult="E_FAIL"))
    found.append(events.CreationLockFreed(session_id=_SESSION))
    found.append(events.SessionReleased(session_id=_SESSION))
    return found


def _of_volume(name: str) -> list[Event]:
    return [
        events.WritesHeld(volume=name, limit_ns=1),
        events.WritesReleased(volume=name, held_ns=0, queued_count=0, queued_bytes=0),
        events.HoldLost(volume=name, held_ns=1, queued_count=0),
        events.ReleaseFailed(volume=name, hresult="E_FAIL", message="no"),
    ]


def begun(writers: int, volumes: int) -> State:
    """The state of the small machine when its set has all its volumes."""
    opening: list[Event] = [events.SessionStarted(session_id=_SESSION, kind="backup")]
    levels = ("FRONT_END", "BACK_END", "SYSTEM")
    opening += [
        events.WriterIdentified(
            session_id=_SESSION, writer=f"W{number}", writer_id="", component_count=1, level=levels[number % len(levels)]
        )
        for number in range(writers)
    ]
    opening.append(events.CreationLockTaken(session_id=_SESSION))
    opening.append(events.SnapshotSetStarted(session_id=_SESSION, snapshot_set_id=_SET))
    for number in range(volumes):
        opening.append(events.ProviderCalled(provider=_PROVIDER, step="begin_prepare", snapshot_set_id=_SET))
        opening.append(events.ProviderAnswered(provider=_PROVIDER, step="begin_prepare", snapshot_set_id=_SET))
        opening.append(
            events.VolumeAddedToSet(snapshot_set_id=_SET, snapshot_id=f"S{number}", volume=f"V{number}", provider=_PROVIDER)
        )
    state = START
    for event in opening:
        answer = step(state, event)
        assert isinstance(answer, State), answer
        state = answer
    return state


def enabled(state: State, alphabet: list[Event]) -> Iterator[tuple[Event, State]]:
    """Every event that may happen in ``state`` and changes it, with the state after it."""
    for event in alphabet:
        answer = step(state, event)
        if isinstance(answer, State) and answer is not state:
            yield event, answer


def explore(writers: int, volumes: int, most_states: int = 1_000_000) -> Walk:
    """Reach every state; stop at the first that breaks a statement, or after ``most_states``."""
    walk, letters = Walk(), alphabet(writers, volumes)
    first = begun(writers, volumes)
    key: object = first.key()
    came_from: dict[object, tuple[object, str]] = {key: (None, "")}
    backwards: dict[object, list[object]] = {}
    waiting: deque[tuple[object, State]] = deque([(key, first)])
    ends: list[object] = []
    while waiting and not walk.broken and len(came_from) < most_states:
        key, state = waiting.popleft()
        broken = _broken(state)
        if broken:
            walk.broken = f"{broken} after {' → '.join(_path(key, came_from))}"
        if not state.sessions:
            ends.append(key)
            continue
        allowed = 0
        for event, after in enabled(state, letters):
            allowed += 1
            walk.reached.add(_label(event))
            after_key = after.key()
            backwards.setdefault(after_key, []).append(key)
            if after_key not in came_from:
                came_from[after_key] = (key, _label(event))
                waiting.append((after_key, after))
        walk.legal += allowed
        walk.illegal += len(letters) - allowed
    walk.states = len(came_from)
    if not waiting:
        walk.stuck = len(came_from) - len(_reaching(ends, backwards))
    return walk


def _broken(state: State) -> str:
    """A statement that this state breaks; empty where none."""
    made = state.sets.get(_SET)
    frozen = [name for (_, name), each in state.writers.items() if each.is_frozen]
    if made is not None and made.end == "created" and (frozen or made.held):
        return "F2: the set is created and somebody is frozen or held"
    if made is not None and made.held and not made.is_window_open:
        return "F1: writes are held outside the freeze window"
    if made is not None and made.end == "created" and made.is_spoiled:
        return "C6: a set that failed was created"
    if made is not None and made.held and made.provider(_PROVIDER).done >= len(PHASES) - 2:
        return "F2: writes are held after the commit is over"
    if not state.sessions and state.lock:
        return "S2: the session is over and the lock is taken"
    return ""


def _label(event: Event) -> str:
    words = [getattr(event, name, "") for name in ("writer", "volume", "step")]
    return " ".join([type(event).__name__, *filter(None, words)])


def _path(key: object, came_from: dict[object, tuple[object, str]]) -> list[str]:
    labels: list[str] = []
    while True:
        key, label = came_from[key]
        if not label:
            return labels[::-1]
        labels.append(label)


def _reaching(ends: list[object], backwards: dict[object, list[object]]) -> set[object]:
    found, waiting = set(ends), deque(ends)
    while waiting:
        for before in backwards.get(waiting.popleft(), ()):
            if before not in found:
                found.add(before)
                waiting.append(before)
    return found
