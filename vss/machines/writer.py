"""Which events a writer may get in which state, and where they lead. No I/O, no clock.

One machine follows one writer instance through one session. The happy path is written out row by row below; the ``FAILED_AT_…``
ends stand beside it. Rules that the table cannot say:

- A step has two moments: ``begin`` checks legality and changes nothing when refusing, ``finish`` records the outcome.
- ``FREEZE_TIMER_EXPIRED`` is no step: ``expire`` takes effect at once and settles the step in flight (a Freeze that still runs
  ends as FAILED_AT_FREEZE, a Thaw that is late or still runs as FAILED_AT_THAW); a late answer is not reported any more. In
  WAITING_FOR_FREEZE the timer runs only while Freeze is in flight.
- A writer that does not answer is settled by ``lose``: FAILED_AT_FREEZE or FAILED_AT_THAW inside the window; outside it nobody
  knows where the writer stands, so UNKNOWN. After an Abort without answer the failure that was there stays.
- ``reset`` starts the next session: STABLE, whatever was before. Nothing else leads out of a failed state.
- ``resume`` takes up a backup that waited for BackupComplete while its machine was suspended; ``forget`` says that the writer
  cannot: UNKNOWN.

Sources: vss.h (values of VSS_WRITER_STATE); VSS documentation, "VSS_WRITER_STATE", "Aborting VSS operations",
"CVssWriter::OnAbort". The vendor documents the end points only; UNKNOWN after a failed Abort and
"a failed writer stays failed" are our completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum

from vss.errors import BadStateError


class WriterState(IntEnum):
    """VSS_WRITER_STATE, with the vendor's values. A finished step leads to STABLE or WAITING_FOR_ the next."""

    UNKNOWN = 0
    STABLE = 1
    WAITING_FOR_FREEZE = 2
    WAITING_FOR_THAW = 3
    WAITING_FOR_POST_SNAPSHOT = 4
    WAITING_FOR_BACKUP_COMPLETE = 5
    FAILED_AT_IDENTIFY = 6
    FAILED_AT_PREPARE_BACKUP = 7
    FAILED_AT_PREPARE_SNAPSHOT = 8
    FAILED_AT_FREEZE = 9
    FAILED_AT_THAW = 10
    FAILED_AT_POST_SNAPSHOT = 11
    FAILED_AT_BACKUP_COMPLETE = 12
    FAILED_AT_PRE_RESTORE = 13
    FAILED_AT_POST_RESTORE = 14
    FAILED_AT_BACKUPSHUTDOWN = 15

    @property
    def is_failed(self) -> bool:
        """Whether the writer failed at a step, or nobody knows where it stands."""
        return self is WriterState.UNKNOWN or self >= WriterState.FAILED_AT_IDENTIFY

    @property
    def word(self) -> str:
        """The word the vendor's tools print after the number: ``[1] Stable``."""
        return STATE_WORDS.get(self, "Failed")


STATE_WORDS: Mapping[WriterState, str] = {
    WriterState.UNKNOWN: "Unknown",
    WriterState.STABLE: "Stable",
    WriterState.WAITING_FOR_FREEZE: "Waiting for freeze",
    WriterState.WAITING_FOR_THAW: "Frozen",
    WriterState.WAITING_FOR_POST_SNAPSHOT: "Waiting for completion",
    WriterState.WAITING_FOR_BACKUP_COMPLETE: "Waiting for completion",
}


class WriterEvent(Enum):
    """What the coordinator sends to a writer; the value is the vendor's word."""

    IDENTIFY = "Identify"
    PREPARE_FOR_BACKUP = "PrepareForBackup"
    PREPARE_FOR_SNAPSHOT = "PrepareForSnapshot"
    FREEZE = "Freeze"
    THAW = "Thaw"
    POST_SNAPSHOT = "PostSnapshot"
    BACKUP_COMPLETE = "BackupComplete"
    BACKUP_SHUTDOWN = "BackupShutdown"
    ABORT = "Abort"
    PRE_RESTORE = "PreRestore"
    POST_RESTORE = "PostRestore"
    FREEZE_TIMER_EXPIRED = "FreezeTimerExpired"


_S = WriterState
_E = WriterEvent

_STEPS: dict[tuple[WriterState, WriterEvent], tuple[WriterState, WriterState]] = {
    # (state, event): (state when the handler succeeds, state when it fails)
    (_S.STABLE, _E.IDENTIFY): (_S.STABLE, _S.FAILED_AT_IDENTIFY),
    (_S.STABLE, _E.PREPARE_FOR_BACKUP): (_S.STABLE, _S.FAILED_AT_PREPARE_BACKUP),
    (_S.STABLE, _E.PREPARE_FOR_SNAPSHOT): (_S.WAITING_FOR_FREEZE, _S.FAILED_AT_PREPARE_SNAPSHOT),
    (_S.WAITING_FOR_FREEZE, _E.FREEZE): (_S.WAITING_FOR_THAW, _S.FAILED_AT_FREEZE),
    (_S.WAITING_FOR_THAW, _E.THAW): (_S.WAITING_FOR_POST_SNAPSHOT, _S.FAILED_AT_THAW),
    (_S.WAITING_FOR_POST_SNAPSHOT, _E.POST_SNAPSHOT): (_S.WAITING_FOR_BACKUP_COMPLETE, _S.FAILED_AT_POST_SNAPSHOT),
    (_S.WAITING_FOR_BACKUP_COMPLETE, _E.BACKUP_COMPLETE): (_S.STABLE, _S.FAILED_AT_BACKUP_COMPLETE),
    # In a backup without a shadow copy set nothing leads out of STABLE before BackupComplete.
    (_S.STABLE, _E.BACKUP_COMPLETE): (_S.STABLE, _S.FAILED_AT_BACKUP_COMPLETE),
    (_S.STABLE, _E.BACKUP_SHUTDOWN): (_S.STABLE, _S.FAILED_AT_BACKUPSHUTDOWN),
    (_S.WAITING_FOR_BACKUP_COMPLETE, _E.BACKUP_SHUTDOWN): (_S.STABLE, _S.FAILED_AT_BACKUPSHUTDOWN),
    (_S.STABLE, _E.PRE_RESTORE): (_S.STABLE, _S.FAILED_AT_PRE_RESTORE),
    (_S.STABLE, _E.POST_RESTORE): (_S.STABLE, _S.FAILED_AT_POST_RESTORE),
    (_S.WAITING_FOR_FREEZE, _E.FREEZE_TIMER_EXPIRED): (_S.FAILED_AT_FREEZE, _S.FAILED_AT_FREEZE),
    (_S.WAITING_FOR_THAW, _E.FREEZE_TIMER_EXPIRED): (_S.FAILED_AT_THAW, _S.FAILED_AT_THAW),
}

# Identify keeps no state and may come at any moment: outside STABLE it never disturbs what is under way.
_IDENTIFY: dict[tuple[WriterState, WriterEvent], tuple[WriterState, WriterState]] = {
    (state, _E.IDENTIFY): (state, state) for state in _S if state is not _S.STABLE
}

# Abort may come more than once, and to a writer that never froze, but not after its PostSnapshot was called, nor in a restore.
# A writer that failed by itself stays failed; when Abort itself fails nobody knows where the writer stands.
_ABORT_UNDOES = (_S.STABLE, _S.WAITING_FOR_FREEZE, _S.WAITING_FOR_THAW, _S.WAITING_FOR_POST_SNAPSHOT)
_ABORT_KEEPS = (
    _S.UNKNOWN,
    _S.FAILED_AT_PREPARE_BACKUP,
    _S.FAILED_AT_PREPARE_SNAPSHOT,
    _S.FAILED_AT_FREEZE,
    _S.FAILED_AT_THAW,
)
_ABORT = {(state, _E.ABORT): (_S.STABLE, _S.UNKNOWN) for state in _ABORT_UNDOES} | {
    (state, _E.ABORT): (state, state) for state in _ABORT_KEEPS
}

# BackupShutdown ends every backup, however it went; a failure stays visible as the last one. A writer between
# PrepareForSnapshot and PostSnapshot has to be aborted first: nobody may be left frozen.
_SHUTDOWN_KEEPS = (*_ABORT_KEEPS, _S.FAILED_AT_POST_SNAPSHOT, _S.FAILED_AT_BACKUP_COMPLETE)
_SHUTDOWN = {(state, _E.BACKUP_SHUTDOWN): (state, _S.FAILED_AT_BACKUPSHUTDOWN) for state in _SHUTDOWN_KEEPS}

TRANSITIONS: Mapping[tuple[WriterState, WriterEvent], tuple[WriterState, WriterState]] = {
    **_STEPS,
    **_IDENTIFY,
    **_ABORT,
    **_SHUTDOWN,
}
"""(state, event) → (state when the handler succeeds, state when it fails). A missing key is an illegal step."""

FINAL_STATES = frozenset(state for state in WriterState if state.is_failed)
"""Where a session can end for a writer other than at STABLE; only ``reset`` leads out."""


_FAIL_WITHOUT_ANSWER = (WriterEvent.FREEZE, WriterEvent.THAW, WriterEvent.ABORT)


class WriterMachine:
    """The state of one writer in one session.

    Attributes:
        writer: the name for messages.
        state: where the writer stands; changes only in ``finish``, ``retract``, ``lose``, ``expire``,
            ``reset``, ``resume`` and ``forget``.
        in_flight: the event that the writer is handling now, or None.
    """

    __slots__ = ("_done", "in_flight", "state", "writer")

    def __init__(self, writer: str) -> None:
        """Start a session: STABLE."""
        self.writer = writer
        self.state = WriterState.STABLE
        self.in_flight: WriterEvent | None = None
        self._done: tuple[WriterState, WriterEvent] | None = None  # the last step that succeeded, and the state before it

    def allows(self, event: WriterEvent) -> bool:
        """Whether ``begin`` (or ``expire``) would be legal now."""
        if event is WriterEvent.FREEZE_TIMER_EXPIRED and self.state is WriterState.WAITING_FOR_FREEZE:
            return self.in_flight is WriterEvent.FREEZE
        return (self.state, event) in TRANSITIONS

    def begin(self, event: WriterEvent) -> None:
        """The event is about to be sent.

        Raises:
            BadStateError: illegal in this state; nothing was changed.
        """
        assert event is not WriterEvent.FREEZE_TIMER_EXPIRED, "the timer is no step: use expire"
        assert self.in_flight is None, f"{self.writer}: {event.value} while {self.in_flight} is in flight"
        self._refuse_illegal(event)
        self.in_flight = event

    def finish(self, ok: bool) -> WriterState:
        """The handler has returned (``ok``) or vetoed; return the new state."""
        assert self.in_flight is not None, f"{self.writer}: no step is in flight"
        when_ok, when_failed = TRANSITIONS[self.state, self.in_flight]
        self._done = (self.state, self.in_flight) if ok else None
        self.in_flight = None
        self.state = when_ok if ok else when_failed
        return self.state

    def retract(self, event: WriterEvent) -> bool:
        """The answer to ``event`` was lost on its way: where that was the last step, and it succeeded, it counts as failed.

        Returns:
            Whether that was so.
        """
        if self._done is None or self._done[1] is not event or self.state is not TRANSITIONS[self._done][0]:
            return False
        self.state = TRANSITIONS[self._done][1]
        self._done = None
        return True

    def lose(self) -> WriterState:
        """No answer to the step in flight will be counted any more; return the new state."""
        if self.in_flight in _FAIL_WITHOUT_ANSWER:
            return self.finish(False)
        assert self.in_flight is not None, f"{self.writer}: no step is in flight"
        self.in_flight = None
        self.state = WriterState.UNKNOWN
        return self.state

    def expire(self) -> WriterState:
        """The time between Freeze and Thaw has run out: settle the step in flight; return the new state.

        Raises:
            BadStateError: the writer is neither freezing nor frozen; nothing was changed.
        """
        self._refuse_illegal(WriterEvent.FREEZE_TIMER_EXPIRED)
        self.in_flight = None
        self.state, _ = TRANSITIONS[self.state, WriterEvent.FREEZE_TIMER_EXPIRED]
        return self.state

    def reset(self) -> None:
        """A new session begins."""
        assert self.in_flight is None, f"{self.writer}: {self.in_flight} is in flight"
        self.state = WriterState.STABLE

    def resume(self) -> None:
        """A fresh session of the writer stands where its machine was suspended: waiting for BackupComplete."""
        assert self.state is WriterState.STABLE, f"{self.writer}: resumed in state {self.state.name}"
        self.state = WriterState.WAITING_FOR_BACKUP_COMPLETE

    def forget(self) -> None:
        """Nobody knows any more where the writer stands: who knew it has gone."""
        assert self.in_flight is None, f"{self.writer}: {self.in_flight} is in flight"
        self.state = WriterState.UNKNOWN

    def _refuse_illegal(self, event: WriterEvent) -> None:
        if not self.allows(event):
            legal = ", ".join(each.value for each in WriterEvent if self.allows(each))
            raise BadStateError(
                f"writer '{self.writer}' cannot take {event.value} in state {self.state.name}: expected one of {legal}"
            )
