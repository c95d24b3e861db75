"""An independent, executable model of the protocol: who may do what when, as pure functions on a frozen state.

Written from the vendor's pages and not from the coordinator, so that the two can disagree. Three uses: ``rejections`` replays a
record stream, simulated or real, and names what the model does not allow; ``vss.simulation.invariants.model_walk`` tries
every event in every reachable state of a small machine; and every path of that walk is a legal sequence of events, every
event that was refused an illegal one. Time-outs are events that may come whenever something is waited for.

Sources: Volume Shadow Copy Service documentation, "Overview of processing a backup under VSS", "Shadow copy creation for
providers", "State transitions in shadow copy providers", "Aborting VSS operations", "Handling BackupShutdown events".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from vss import events
from vss.events import Event, Record
from vss.simulation.invariants.model_state import PHASES, ProviderModel, SetModel, State, WriterModel

LEVELS = ("FRONT_END", "BACK_END", "SYSTEM")
_WRITER_NEXT = {
    "PrepareForBackup": (("stable",), "prepared"),
    "PrepareForSnapshot": (("stable", "prepared"), "ready"),
    "Freeze": (("ready",), "frozen"),
    "Thaw": (("frozen",), "thawed"),
    "PostSnapshot": (("thawed",), "taken"),
    "BackupComplete": (("taken", "prepared"), "complete"),
    "PreRestore": (("stable",), "stable"),
    "PostRestore": (("stable",), "stable"),
    "Abort": (("prepared", "ready", "frozen", "thawed", "failed", "aborted"), "aborted"),
    "BackupShutdown": (("stable", "prepared", "ready", "thawed", "taken", "complete", "failed", "aborted"), "shut down"),
}
"""For each event the states in which it may be sent, and the state after a good answer."""


START = State({}, {}, {})

Answer: TypeAlias = "State | str"
"""The next state, or why there is none."""


# -- what each event means -----------------------------------------------------------------------------------------------------


def step(state: State, event: Event) -> Answer:
    """Return the state after ``event``, or the reason why it may not happen now. Events of strangers change nothing."""
    rule = _RULES.get(type(event))
    return state if rule is None else rule(state, event)


def rejections(records: Sequence[Record]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Replay ``records``; yield the first thing that the model does not allow, for what follows it means nothing."""
    state = START
    for record in records:
        rule = _RULES.get(type(record.event))
        if rule is None:
            continue
        answer = rule(state, record.event)
        if isinstance(answer, str):
            yield f"the model refuses {type(record.event).__name__}: {answer}", (record.sequence,)
            return
        state = answer


def _session_started(state: State, event: events.SessionStarted) -> Answer:
    if event.session_id in state.sessions:
        return f"session {event.session_id} runs already"
    return replace(state, sessions={**state.sessions, event.session_id: event.kind})


def _session_released(state: State, event: events.SessionReleased) -> Answer:
    if event.session_id not in state.sessions:
        return state
    made = state.set_of(event.session_id)
    if state.lock == event.session_id:
        return "the session keeps the creation lock"
    if made is not None and not made[1].end:
        return "its set is neither created nor aborted"
    if any(each.is_frozen for each in state.of_session(event.session_id)):
        return "a writer is left frozen"
    sessions = {key: kind for key, kind in state.sessions.items() if key != event.session_id}
    writers = {key: each for key, each in state.writers.items() if key[0] != event.session_id}
    sets = {key: each for key, each in state.sets.items() if each.session_id != event.session_id}
    return replace(state, sessions=sessions, writers=writers, sets=sets)


def _session_lost(state: State, event: events.SessionLost) -> Answer:
    """The service died with it: what it began is nobody's any more."""
    sessions = {key: kind for key, kind in state.sessions.items() if key != event.session_id}
    writers = {key: each for key, each in state.writers.items() if key[0] != event.session_id}
    sets = {key: each for key, each in state.sets.items() if each.session_id != event.session_id}
    lock = "" if state.lock == event.session_id else state.lock
    return replace(state, sessions=sessions, writers=writers, sets=sets, lock=lock)


def _identified(state: State, event: events.WriterIdentified) -> Answer:
    key = (event.session_id, event.writer)
    if event.session_id not in state.sessions:
        return state
    if key in state.writers:  # of two writers of one name nothing can be said
        return replace(state, writers={**state.writers, key: WriterModel(is_known=False)})
    return replace(state, writers={**state.writers, key: WriterModel(event.level or LEVELS[0])})


def _lock_taken(state: State, event: events.CreationLockTaken) -> Answer:
    return f"session {state.lock} creates a set" if state.lock else replace(state, lock=event.session_id)


def _lock_freed(state: State, event: events.CreationLockFreed) -> Answer:
    made = state.set_of(event.session_id)
    if state.lock != event.session_id:
        return "the session does not have the creation lock"
    if made is not None and (made[1].is_window_open or made[1].held):
        return "somebody is still frozen or held for its set"
    return replace(state, lock="")


def _set_started(state: State, event: events.SnapshotSetStarted) -> Answer:
    if event.session_id not in state.sessions:
        return state
    if state.lock != event.session_id:
        return "the session does not have the creation lock"
    return replace(state, sets={**state.sets, event.snapshot_set_id: SetModel(event.session_id)})


def _volume_added(state: State, event: events.VolumeAddedToSet) -> Answer:
    made = state.sets.get(event.snapshot_set_id)
    if made is None:
        return state
    if made.is_begun or made.end:
        return "the set takes no volumes any more"
    return _with_set(state, event.snapshot_set_id, replace(made, volumes=made.volumes | {event.volume}))


def _window_opened(state: State, event: events.FreezeWindowOpened) -> Answer:
    made = state.sets.get(event.snapshot_set_id)
    if made is None:
        return state
    if made.had_window or made.end or not made.all_done("end_prepare"):
        return "nobody may be frozen before every provider has ended its preparation, nor twice for one set"
    if any(each.busy == "PrepareForSnapshot" for each in state.of_session(made.session_id)):
        return "a writer still prepares for the snapshot"
    return _with_set(state, event.snapshot_set_id, replace(made, is_window_open=True, had_window=True))


def _window_closed(state: State, event: events.FreezeWindowClosed) -> Answer:
    made = state.sets.get(event.snapshot_set_id)
    if made is None:
        return state
    if made.held:
        return "writes are still held"
    if any(each.is_frozen for each in state.of_session(made.session_id)):
        return "a writer is left frozen"
    return _with_set(state, event.snapshot_set_id, replace(made, is_window_open=False))


def _window_lost(state: State, event: events.FreezeWindowLost) -> Answer:
    made = state.sets.get(event.snapshot_set_id)
    return state if made is None else _with_set(state, event.snapshot_set_id, replace(made, is_spoiled=True))


def _held(state: State, event: events.WritesHeld) -> Answer:
    found = _set_with(state, event.volume)
    if found is None:
        return state
    set_id, made = found
    if any(each.done > PHASES.index("commit") or each.is_out for _, each in made.providers):
        return "the set is committed already, or given up"
    if not made.is_window_open or not made.all_done("pre_commit"):
        return "writes are held before every provider has passed PreCommitSnapshots inside the freeze window"
    return _with_set(state, set_id, replace(made, held=made.held | {event.volume}))


def _let_go(state: State, event: Any) -> Answer:
    for set_id, made in state.sets.items():
        if event.volume in made.held:
            is_early = not made.all_done("commit") or type(event) is not events.WritesReleased
            changed = replace(made, held=made.held - {event.volume}, is_spoiled=made.is_spoiled or is_early)
            return _with_set(state, set_id, changed)
    return state


def _release_failed(state: State, event: events.ReleaseFailed) -> Answer:
    """The volume lets its writes go by its own timer; the writers need not stay frozen for it, but the set is lost."""
    found = _set_with(state, event.volume)
    if found is None:
        return state
    set_id, made = found
    return _with_set(state, set_id, replace(made, held=made.held - {event.volume}, is_spoiled=True))


def _provider_called(state: State, event: events.ProviderCalled) -> Answer:
    made = state.sets.get(event.snapshot_set_id)
    if made is None:
        return state
    provider = made.provider(event.provider)
    if event.step == "abort":
        if made.end == "created" or provider.is_out:
            return "the set is created, or this provider was told already"
        changed = replace(provider, busy="abort", is_out=True)
        return _with_set(state, event.snapshot_set_id, replace(made.with_provider(event.provider, changed), is_spoiled=True))
    refusal = _not_due(state, made, provider, event.step)
    if refusal:
        return refusal
    return _with_set(state, event.snapshot_set_id, made.with_provider(event.provider, replace(provider, busy=event.step)))


def _not_due(state: State, made: SetModel, provider: ProviderModel, phase: str) -> str:
    if phase not in PHASES:
        return f"there is no routine {phase}"
    if made.end or provider.is_out or provider.busy:
        return "the set is over, or the provider is busy or out"
    number = PHASES.index(phase)
    if phase == "begin_prepare":
        return "the set takes no volumes any more" if made.is_begun else ""
    if provider.done > number:
        return f"the provider has passed {phase} already"
    if any(each.done < number for _, each in made.providers):
        return f"not every provider has passed {PHASES[number - 1]}"
    writers = state.of_session(made.session_id)
    if phase == "pre_commit" and (not made.is_window_open or any(each.busy == "Freeze" for each in writers)):
        return "the writers are not all frozen"
    if phase == "commit" and made.held != made.volumes and not made.is_spoiled:  # a hold that was lost shows at its release
        return f"writes are not held on {', '.join(sorted(made.volumes - made.held))}"
    if phase == "post_commit" and made.held:
        return "writes are still held"
    if phase == "pre_final" and (made.is_window_open or any(each.is_frozen for each in writers)):
        return "writers are still frozen"
    if phase == "post_final" and any(each.busy == "PostSnapshot" for each in writers):
        return "writers are still in PostSnapshot"
    return ""


def _provider_answered(state: State, event: Any) -> Answer:
    made = state.sets.get(event.snapshot_set_id)
    if made is None:
        return state
    provider = made.provider(event.provider)
    if provider.busy != event.step:
        return f"provider {event.provider} is not in {event.step}"
    is_good = type(event) is events.ProviderAnswered
    done = PHASES.index(event.step) + 1 if is_good and event.step in PHASES else provider.done
    changed = made.with_provider(event.provider, replace(provider, busy="", done=max(done, provider.done)))
    is_spoiled = made.is_spoiled or (not is_good and event.step != "begin_prepare")
    return _with_set(state, event.snapshot_set_id, replace(changed, is_spoiled=is_spoiled))


def _committed(state: State, event: events.SnapshotCommitted) -> Answer:
    made = state.sets.get(event.snapshot_set_id)
    if made is None:
        return state
    if not made.all_done("commit") or made.is_spoiled or made.end:
        return "not every provider has committed inside the holds"
    return state


def _created(state: State, event: events.SnapshotSetCreated) -> Answer:
    made = state.sets.get(event.snapshot_set_id)
    if made is None:
        return state
    if made.end or made.is_spoiled or made.is_window_open or made.held:
        return "the set failed, is over, or somebody is still frozen or held"
    if not made.all_done("post_final") or any(each.busy for _, each in made.providers):
        return "not every provider has passed PostFinalCommitSnapshots"
    return _with_set(state, event.snapshot_set_id, replace(made, end="created"))


def _aborted(state: State, event: events.SnapshotSetAborted) -> Answer:
    made = state.sets.get(event.snapshot_set_id)
    if made is None:
        return state
    if made.end or made.held:
        return "the set is over, or writes are still held"
    return _with_set(state, event.snapshot_set_id, replace(made, end="aborted", is_window_open=False))


def _writer_called(state: State, event: events.WriterCalled) -> Answer:
    key = (event.session_id, event.writer)
    writer = state.writers.get(key)
    if writer is None or not writer.is_known:
        return state
    allowed, _ = _WRITER_NEXT.get(event.step, ((), ""))
    if event.step == "Abort":
        if writer.is_past_post or (writer.state not in allowed and not writer.busy):
            return f"writer {event.writer} is {writer.state}"
    elif writer.state not in allowed or (writer.busy and event.step != "BackupShutdown"):
        return f"writer {event.writer} is {writer.busy or writer.state}"
    refusal = _too_early(state, event.session_id, writer, event.step)
    if refusal:
        return refusal
    is_past_post = writer.is_past_post or event.step in ("PostSnapshot", "BackupComplete")
    return _with_writer(state, key, replace(writer, busy=event.step, is_past_post=is_past_post))


def _too_early(state: State, session_id: str, writer: WriterModel, what: str) -> str:
    found = state.set_of(session_id)
    made = None if found is None else found[1]
    others = state.of_session(session_id)
    if what in ("PreRestore", "PostRestore"):
        return "" if state.sessions.get(session_id) == "restore" else "the session is no restore"
    if what == "PrepareForBackup":
        return "the set is being created" if made is not None and made.is_begun else ""
    if what in ("Abort", "BackupShutdown"):
        return "" if made is None or not made.held else "writes are still held"
    if made is None and what == "BackupComplete":
        return ""  # a backup without shadow copies
    if made is None or made.end == "aborted":
        return "the session has no set"
    if what == "PrepareForSnapshot":
        return "" if made.all_done("end_prepare") else "providers still prepare"
    if what == "Freeze":
        before = [each for each in others if LEVELS.index(each.level) < LEVELS.index(writer.level)]
        is_due = made.is_window_open and all(each.state != "ready" and each.busy != "Freeze" for each in before)
        return "" if is_due else "the window is not open, or a lower level is not frozen yet"
    if what == "Thaw":
        return "" if not made.held and made.all_done("post_commit") else "writes are held, or providers still commit"
    if what == "PostSnapshot":
        return (
            "" if not made.is_window_open and made.all_done("pre_final") else "the window is open, or providers are not ready"
        )
    return "" if made.end == "created" else "the set is not created"


def _writer_answered(state: State, event: events.WriterAnswered) -> Answer:
    key = (event.session_id, event.writer)
    writer = state.writers.get(key)
    if writer is None or not writer.is_known:
        return state
    if writer.busy != event.step:
        return f"writer {event.writer} answers {event.step}, asked was {writer.busy or 'nothing'}"
    return _with_writer(state, key, replace(writer, busy="", state=_WRITER_NEXT[event.step][1]))


def _writer_failed(state: State, event: Any) -> Answer:
    key = (event.session_id, event.writer)
    writer = state.writers.get(key)
    if writer is None or not writer.is_known:
        return state
    if event.step == "Freeze to Thaw" and not (writer.is_frozen or writer.busy == "Thaw"):
        return f"the freeze timer of writer {event.writer} strikes, and it is not frozen"
    failed = {"Abort": "aborted", "BackupShutdown": "shut down"}.get(event.step, "failed")
    return _with_writer(state, key, replace(writer, busy="", state=failed))


def _truncated(state: State, event: events.LogsTruncated) -> Answer:
    is_told = (
        state.is_handed_over or not state.sessions or any(each.busy == "BackupComplete" for each in state.writers.values())
    )
    return state if is_told or not event.removed_count else "logs go only while a writer handles BackupComplete"


def _handed_over(state: State, event: events.WaitingBackupTaken) -> Answer:
    return replace(state, is_handed_over=True)


def _with_set(state: State, set_id: str, made: SetModel) -> State:
    return replace(state, sets={**state.sets, set_id: made})


def _with_writer(state: State, key: tuple[str, str], writer: WriterModel) -> State:
    return replace(state, writers={**state.writers, key: writer})


def _set_with(state: State, volume: str) -> tuple[str, SetModel] | None:
    """The set in creation that has ``volume``; None where it is held for nobody."""
    return next(((key, each) for key, each in state.sets.items() if volume in each.volumes and not each.end), None)


_RULES: Mapping[type[Event], Callable[[State, Any], Answer]] = {
    events.SessionStarted: _session_started,
    events.SessionReleased: _session_released,
    events.WriterIdentified: _identified,
    events.CreationLockTaken: _lock_taken,
    events.CreationLockFreed: _lock_freed,
    events.SessionLost: _session_lost,
    events.SnapshotSetStarted: _set_started,
    events.VolumeAddedToSet: _volume_added,
    events.FreezeWindowOpened: _window_opened,
    events.FreezeWindowClosed: _window_closed,
    events.FreezeWindowLost: _window_lost,
    events.WritesHeld: _held,
    events.WritesReleased: _let_go,
    events.HoldLost: _let_go,
    events.ReleaseFailed: _release_failed,
    events.VolumeLost: _let_go,
    events.ProviderCalled: _provider_called,
    events.ProviderAnswered: _provider_answered,
    events.ProviderFailed: _provider_answered,
    events.SnapshotCommitted: _committed,
    events.SnapshotSetCreated: _created,
    events.SnapshotSetAborted: _aborted,
    events.WriterCalled: _writer_called,
    events.WriterAnswered: _writer_answered,
    events.WriterVetoed: _writer_failed,
    events.WriterTimedOut: _writer_failed,
    events.LogsTruncated: _truncated,
    events.WaitingBackupTaken: _handed_over,
}
