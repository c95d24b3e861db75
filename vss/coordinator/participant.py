"""One writer in one session: its state machine, its failure, its own freeze timer, and the context its handlers see.

Invariants: after Freeze was sent exactly one of Thaw and Abort follows; when the coordinator sends neither, the timer started
at Freeze calls ``on_abort`` after the writer's own freeze timeout. A failed writer gets no further events but Abort and
BackupShutdown. State is changed here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from operator import attrgetter
from typing import Any

from vss.coordinator.calls import Call, Caller, Outcome
from vss.coordinator.writer_context import ActiveContext, DocumentAccess
from vss.coordinator.writer_status import ComponentFailure, StatusBoard, WriterStatus
from vss.errors import VssError, WriterError
from vss.events import WriterAborted, WriterAnswered, WriterCalled, WriterFroze, WriterThawed, WriterTimedOut, WriterVetoed
from vss.hresult import WRITER_FAILURES, HResult
from vss.ids import GUID_NULL, Guid
from vss.machines import WriterEvent, WriterMachine, WriterState
from vss.ports import NANOSECONDS, Ports
from vss.roles.writer import Writer, WriterContext

Handler = Callable[[WriterContext], Coroutine[Any, Any, None]]

_STEPS: Mapping[WriterEvent, tuple[str, Callable[[Writer], Handler]]] = {
    WriterEvent.PREPARE_FOR_BACKUP: ("writer.prepare_backup", attrgetter("on_prepare_backup")),
    WriterEvent.PREPARE_FOR_SNAPSHOT: ("writer.prepare_snapshot", attrgetter("on_prepare_snapshot")),
    WriterEvent.FREEZE: ("writer.freeze", attrgetter("on_freeze")),
    WriterEvent.THAW: ("writer.thaw", attrgetter("on_thaw")),
    WriterEvent.POST_SNAPSHOT: ("writer.post_snapshot", attrgetter("on_post_snapshot")),
    WriterEvent.ABORT: ("writer.abort", attrgetter("on_abort")),
    WriterEvent.BACKUP_COMPLETE: ("writer.backup_complete", attrgetter("on_backup_complete")),
    WriterEvent.BACKUP_SHUTDOWN: ("writer.backup_shutdown", attrgetter("on_backup_shutdown")),
    WriterEvent.PRE_RESTORE: ("writer.pre_restore", attrgetter("on_pre_restore")),
    WriterEvent.POST_RESTORE: ("writer.post_restore", attrgetter("on_post_restore")),
}
"""For each event the fault site it passes and the handler it reaches."""

_FROZEN_OR_ON_THE_WAY = (WriterState.WAITING_FOR_FREEZE, WriterState.WAITING_FOR_THAW)
_ABORTABLE = (*_FROZEN_OR_ON_THE_WAY, WriterState.WAITING_FOR_POST_SNAPSHOT)
_GOES_ON = (HResult.S_OK, HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE)
"""With these the writer stays in the backup: at most some of its components failed."""

LONG_FREEZE_S = 120.0
"""A writer frozen longer than this is named in the event log (4003)."""


class Participant:
    """A writer as one session sees it."""

    def __init__(
        self,
        ports: Ports,
        caller: Caller,
        writer: Writer,
        access: DocumentAccess,
        board: StatusBoard,
        abort_limit_s: float,
    ) -> None:
        """Join ``writer`` to the session whose document ``access`` reads and changes; its slot is one of ``board``."""
        self.writer = writer
        self.instance_id = writer.instance_id  # the one that this session met; the writer gets another when it subscribes anew
        self.failure = HResult.S_OK
        self.message = ""
        self.application_failure = 0
        self.component_failures: tuple[ComponentFailure, ...] = ()
        self.is_involved = False
        self.is_forgotten = False
        self.has_slot = False
        self.changed_ns = 0
        self._is_slot_free = False
        self._needs_undo = False
        self._is_past_post_snapshot = False
        self._is_closed = False
        self._given_up: set[WriterEvent] = set()  # events that nobody waits for any more
        self._board = board
        self._ports = ports
        self._caller = caller
        self._access = access
        self._abort_limit_s = abort_limit_s
        self._machine = WriterMachine(writer.name)
        self._timer: asyncio.TimerHandle | None = None
        self._long_freeze: asyncio.TimerHandle | None = None
        self._timer_task: asyncio.Task[None] | None = None
        self._in_flight: asyncio.Task[Any] | None = None
        self._token: object | None = None  # whose answer still counts; a late one finds another token here
        self._froze_ns: int | None = None
        self._session_text = str(access.session_id)  # as events carry it

    @property
    def state(self) -> WriterState:
        """The writer's state in this session."""
        return self._machine.state

    @property
    def session_id(self) -> Guid:
        """The session."""
        return self._access.session_id

    def status(self, session_id: Guid = GUID_NULL, age_ns: int = 0, is_meaningful: bool = False) -> WriterStatus:
        """Return state and failure, as told to a session that may be another one."""
        writer = self.writer
        return WriterStatus(
            writer.writer_class_id,
            self.instance_id,
            writer.name,
            self.state,
            self.failure,
            self.message,
            self.application_failure,
            session_id,
            age_ns,
            is_meaningful,
            self.component_failures,
        )

    @property
    def is_frozen(self) -> bool:
        """Whether Freeze was sent and neither Thaw nor Abort has come through."""
        return self._froze_ns is not None

    @property
    def has_failed(self) -> bool:
        """Whether the writer failed or refused in this session; not where only some of its components did."""
        return self.failure not in _GOES_ON

    @property
    def needs_abort(self) -> bool:
        """Whether this writer waits for what will not come: it is between PrepareForSnapshot and PostSnapshot, or frozen."""
        return self.is_frozen or self.state in _ABORTABLE

    @property
    def hears_of_failed_set(self) -> bool:
        """Whether a failed set is told to this writer: PrepareForSnapshot was sent, also where it was refused; Abort and
        PostSnapshot were not."""
        return self.needs_abort or self._needs_undo

    @property
    def takes_abort(self) -> bool:
        """Whether AbortBackup reaches this writer: it prepared for the backup, and PostSnapshot was not sent. It may hear Abort
        again: the vendor leaves open whether a failed DoSnapshotSet has sent one."""
        is_begun = self.is_involved and self.state is not WriterState.FAILED_AT_PREPARE_BACKUP
        return is_begun and not self._is_past_post_snapshot and self._machine.allows(WriterEvent.ABORT)

    def resume(self, changed_ns: int) -> None:
        """The writer waits for BackupComplete since ``changed_ns``: its session was suspended with its machine."""
        self._machine.resume()
        self.is_involved = self._is_past_post_snapshot = True
        self.has_slot = self._board.take(self)
        self.changed_ns = changed_ns

    def forget(self, message: str) -> None:
        """The instance that this session knew is gone: it gets nothing any more, and its status is lost."""
        self._machine.forget()
        self.failure, self.message = HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE, message
        self.is_forgotten = True

    def free_slot(self) -> None:
        """Nobody will ask for this session's status any more."""
        if self.has_slot and not self._is_slot_free:
            self._is_slot_free = True
            self._board.free(self)

    def call_for(self, event: WriterEvent) -> Call:
        """Return the call that sends ``event``; its outcome is never an error of the writer, which is kept here."""
        site, handler_of = _STEPS[event]
        self._given_up.discard(event)
        return Call(
            role=f"writer:{self.writer.name}",
            site=site,
            work=lambda: self._deliver(event, handler_of(self.writer)),
            selectors=(("writer", self.writer.name),),
        )

    async def _deliver(self, event: WriterEvent, handler: Handler) -> None:
        if self._is_closed or event in self._given_up:
            return  # held up on its way for so long that nobody waits for it: the writer must not hear of it behind the others
        if self.writer.instance_id != self.instance_id:
            raise WriterError(
                f"writer '{self.writer.name}' has gone since, or was started anew, and knows nothing of this session",
                hresult=HResult.VSS_E_WRITER_NOT_RESPONDING,
            )
        self._begin(event)
        self._ports.emit(WriterCalled(writer=self.writer.name, step=event.value, session_id=self._session_text))
        if event is WriterEvent.FREEZE:
            self._start_timer()
        self._in_flight = asyncio.current_task()
        self._token = token = object()
        context = ActiveContext(self._access, self.writer, event)
        code, message = HResult.S_OK, ""
        try:
            await handler(context)
        except VssError as error:
            code = error.hresult if isinstance(error, WriterError) else HResult.VSS_E_WRITERERROR_NONRETRYABLE
            message = error.message
        except Exception as error:  # noqa: BLE001 - any exception of a plugin is that plugin's failure, and only its
            code, message = HResult.VSS_E_WRITERERROR_NONRETRYABLE, f"{type(error).__name__}: {error}"
            self._caller.log.write(12366, f"writer '{self.writer.name}' in {event.value}: {message}")
        finally:
            context.close()
        if self._token is not token:
            return  # late: the step was given up meanwhile, and whoever gave it up has settled the state
        self._settle()
        if code is HResult.S_OK:
            code, message = context.failure, context.message
            if code is not HResult.S_OK:
                self.application_failure = context.application_failure
        if code in _GOES_ON:
            context.keep_changes()
            if code is not HResult.S_OK:
                self.component_failures += context.component_failures
                self._fail(code, message)
            self._finish_ok(event)
        else:
            self._finish_failed(event, code, message)

    def _begin(self, event: WriterEvent) -> None:
        self._machine.begin(event)
        if not self.is_involved:
            self.is_involved = True
            self.has_slot = self._board.take(self)
        if event is WriterEvent.PREPARE_FOR_SNAPSHOT:
            self._needs_undo = True
        elif event is WriterEvent.POST_SNAPSHOT:
            self._needs_undo, self._is_past_post_snapshot = False, True

    def _settle(self) -> None:
        """Whatever is in flight no longer counts."""
        self._in_flight = None
        self._token = None
        self.changed_ns = self._ports.clock.now_ns()

    def _finish_ok(self, event: WriterEvent) -> None:
        state = self._machine.finish(True)
        if event is WriterEvent.FREEZE:
            self._ports.emit(WriterFroze(writer=self.writer.name, session_id=self._session_text))
        elif event is WriterEvent.THAW:
            self._ports.emit(WriterThawed(writer=self.writer.name, frozen_ns=self._frozen_ns(), session_id=self._session_text))
            self._stop_timer()
        self._ports.emit(
            WriterAnswered(writer=self.writer.name, step=event.value, state=state.name, session_id=self._session_text)
        )

    def _finish_failed(self, event: WriterEvent, code: HResult, message: str) -> None:
        self._tell_failed(event, self._machine.finish(False), _whole_failure(code), message)

    def _tell_failed(self, event: WriterEvent, state: WriterState, code: HResult, message: str) -> None:
        self._fail(code, message)
        self._ports.emit(
            WriterVetoed(
                writer=self.writer.name,
                step=event.value,
                state=state.name,
                hresult=code.name,
                message=message,
                session_id=self._session_text,
            )
        )
        self._caller.log.write(8229, f"writer '{self.writer.name}' in {event.value}: {code}, {message}")

    def _fail(self, code: HResult, message: str) -> None:
        if not self.has_failed:  # the first cause stays; what follows must not replace it
            self.failure, self.message = code, message

    def take_outcome(self, event: WriterEvent, outcome: Outcome) -> None:
        """Record that no answer came: a time-out, or a failure injected before the writer was reached."""
        if outcome.is_ok:
            return
        if self._machine.in_flight is None:
            if self.has_failed and event is not WriterEvent.BACKUP_SHUTDOWN:
                return  # settled by the freeze timer or by an abort while the call was under way
            if self._machine.retract(event):
                self._take_lost_answer(event, outcome)
                return
            self._begin(event)
        self._settle()
        if outcome.is_timeout:
            self._given_up.add(event)
            in_window = event in (WriterEvent.FREEZE, WriterEvent.THAW)
            code = HResult.VSS_E_WRITERERROR_TIMEOUT if in_window else HResult.VSS_E_WRITER_NOT_RESPONDING
            self._machine.lose()
            self._fail(code, f"no answer to {event.value}")
            self._ports.emit(
                WriterTimedOut(
                    writer=self.writer.name, step=event.value, limit_ns=outcome.limit_ns, session_id=self._session_text
                )
            )
            return
        error = outcome.error
        code = error.hresult if isinstance(error, VssError) else HResult.VSS_E_WRITERERROR_NONRETRYABLE
        self._tell_failed(event, self._machine.finish(False), _without_answer(code), str(error))

    def _take_lost_answer(self, event: WriterEvent, outcome: Outcome) -> None:
        """The writer did its work, and then it, or its answer, was lost: nobody can know that it did."""
        error = outcome.error
        message = f"no answer to {event.value}" if outcome.is_timeout else str(error)
        code = error.hresult if isinstance(error, VssError) else HResult.VSS_E_WRITER_NOT_RESPONDING
        self._tell_failed(event, self.state, _without_answer(code), message)

    # -- the writer's own time between freeze and thaw -------------------------------------------------------------------------

    def _start_timer(self) -> None:
        self._froze_ns = self._ports.clock.now_ns()
        call_later = asyncio.get_running_loop().call_later
        self._timer = call_later(self.writer.freeze_timeout_s, self._expire)
        if self.writer.freeze_timeout_s > LONG_FREEZE_S:
            self._long_freeze = call_later(LONG_FREEZE_S, self._name_long_freeze)

    def _name_long_freeze(self) -> None:
        self._long_freeze = None
        self._caller.log.write(4003, f"writer '{self.writer.name}'")

    def _stop_timer(self) -> None:
        self._froze_ns = None
        self._disarm_timer()

    def _disarm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._long_freeze is not None:
            self._long_freeze.cancel()
            self._long_freeze = None

    def _frozen_ns(self) -> int:
        return self._ports.clock.now_ns() - (self._froze_ns or 0)

    def _expire(self) -> None:
        """Nobody thawed the writer in time: fail it and let it thaw itself."""
        limit_ns = int(self.writer.freeze_timeout_s * NANOSECONDS)
        self._ports.emit(
            WriterTimedOut(writer=self.writer.name, step="Freeze to Thaw", limit_ns=limit_ns, session_id=self._session_text)
        )
        if self._in_flight is not None:
            self._in_flight.cancel()
        if self._machine.in_flight is WriterEvent.FREEZE:
            self._caller.log.write(12349, f"writer '{self.writer.name}' after {self.writer.freeze_timeout_s:g} s")
        self._settle()
        self._machine.expire()
        self._fail(HResult.VSS_E_WRITERERROR_TIMEOUT, f"frozen longer than {self.writer.freeze_timeout_s:g} s")
        self._timer = None
        self._timer_task = asyncio.get_running_loop().create_task(self._send_abort("freeze timeout"))

    def interrupt(self) -> None:
        """Give up the step in flight: its late answer will not count, and the writer counts as failed at it."""
        if self._in_flight is not None:
            self._in_flight.cancel()
        self._settle()
        if self._machine.in_flight is not None:
            event = self._machine.in_flight
            self._machine.finish(False)
            self._fail(HResult.VSS_E_WRITERERROR_RETRYABLE, f"{event.value} was interrupted")

    async def abort(self, cause: str) -> None:
        """Send Abort and wait for it; may come again. Never raises for what the writer does.

        While the freeze timer's own Abort is under way this waits for that one.
        """
        if not await self.wait_timer_abort():
            self.interrupt()
            await self._send_abort(cause)

    async def wait_timer_abort(self) -> bool:
        """Wait for the Abort that the freeze timer sent, if it is under way; return whether it was."""
        if self._timer_task is None or self._timer_task.done():
            return False
        await asyncio.wait([self._timer_task])
        return True

    async def _send_abort(self, cause: str) -> None:
        self._disarm_timer()  # one Abort is enough, however long it takes
        self._needs_undo = False
        self._ports.emit(WriterAborted(writer=self.writer.name, cause=cause, session_id=self._session_text))
        outcome = await self._caller.call(self.call_for(WriterEvent.ABORT), self._abort_limit_s)
        self.take_outcome(WriterEvent.ABORT, outcome)
        self._stop_timer()

    def close(self) -> None:
        """The session is over: no timer may fire for it any more, and its slot is free."""
        self._is_closed = True
        self._stop_timer()
        self.free_slot()


def _without_answer(code: HResult) -> HResult:
    """What counts when no answer came: that the writer does not respond is for the service to say, not for a writer."""
    return code if code is HResult.VSS_E_WRITER_NOT_RESPONDING else _whole_failure(code)


def _whole_failure(code: HResult) -> HResult:
    """What counts when a writer failed at a step: it then did no part of it."""
    is_whole = code in WRITER_FAILURES and code not in _GOES_ON
    return code if is_whole else HResult.VSS_E_WRITERERROR_NONRETRYABLE
