"""The order of a requestor's calls on one session (what IVssBackupComponents is). No I/O, no clock.

One table holds both kinds; the initialise calls choose. A missing key is a call out of sequence. Rules beside the table:

- Calls of ``TWO_MOMENTS`` take time: ``call`` checks, then ``done`` or ``fail`` moves the state. Meanwhile every call but
  Release is refused. All other calls move the state at once.
- A failed gather, prepare, snapshot or restore leaves status, abort and release; a failed BackupComplete counts as complete,
  because writers may already have truncated their logs and the document is closed; a failed import may be tried again.
- A session that was initialised with a stored document does one of two things: it imports the transportable set that the
  document describes, or it completes the backup that the document describes and that was left waiting.

Choices where the vendor's pages disagree or are silent: components may be added before or after StartSnapshotSet, but not after
PrepareForBackup (the documents have been sent); with writers, GatherWriterMetadata precedes StartSnapshotSet; backup-only calls
are refused on a restore and the other way round; AbortBackup is legal, though not needed, before PrepareForBackup; in a backup
without a shadow copy set PrepareForBackup follows on the discovery and BackupComplete on it; LeaveWaiting is our own: the
requestor goes away and leaves BackupComplete to a later one.

Sources: VSS documentation, "Overview of processing a backup under VSS", "Overview of processing a restore under VSS",
"Aborting VSS operations", "Shadow copy creation details" (contexts without writers), pages of the IVssBackupComponents methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from vss.errors import BadStateError


class SessionState(Enum):
    """How far a session has come."""

    CREATED = "created"
    INITIALIZED = "initialized"
    CONTEXT_SET = "context set"
    DISCOVERED = "discovered"
    SET_STARTED = "set started"
    PREPARED = "prepared"
    PREPARED_WITHOUT_SET = "prepared without a set"
    SNAPSHOT_TAKEN = "snapshot taken"
    COMPLETED = "completed"
    WRITERLESS = "without writers"
    WRITERLESS_DISCOVERED = "without writers, discovered"
    WRITERLESS_SET_STARTED = "without writers, set started"
    WRITERLESS_SNAPSHOT_TAKEN = "without writers, snapshot taken"
    QUERYING = "for queries"
    DOCUMENT_LOADED = "initialized with a stored document"
    DOCUMENT_DISCOVERED = "initialized with a stored document, discovered"
    IMPORTED = "imported"
    RESTORE_INITIALIZED = "restore initialized"
    RESTORE_DISCOVERED = "restore discovered"
    RESTORING = "restoring"
    RESTORED = "restored"
    BACKUP_FAILED = "backup failed"
    RESTORE_FAILED = "restore failed"
    ABORTED = "aborted"
    RELEASED = "released"


class SessionCall(Enum):
    """What a requestor may call; the value is the vendor's word. SetContext is three calls here, by what the context is, and
    InitializeForBackup two, by whether a stored document is given; LeaveWaiting is not the vendor's."""

    INITIALIZE_FOR_BACKUP = "InitializeForBackup"
    INITIALIZE_WITH_DOCUMENT = "InitializeForBackup (stored document)"
    INITIALIZE_FOR_RESTORE = "InitializeForRestore"
    SET_CONTEXT = "SetContext"
    SET_CONTEXT_WITHOUT_WRITERS = "SetContext (without writers)"
    SET_CONTEXT_ALL = "SetContext (all)"
    SET_BACKUP_STATE = "SetBackupState"
    ENABLE_WRITER_CLASSES = "EnableWriterClasses"
    DISABLE_WRITER_CLASSES = "DisableWriterClasses"
    DISABLE_WRITER_INSTANCES = "DisableWriterInstances"
    GATHER_WRITER_METADATA = "GatherWriterMetadata"
    GATHER_WRITER_STATUS = "GatherWriterStatus"
    ADD_COMPONENT = "AddComponent"
    SET_BACKUP_OPTIONS = "SetBackupOptions"
    SET_PREVIOUS_BACKUP_STAMP = "SetPreviousBackupStamp"
    IS_VOLUME_SUPPORTED = "IsVolumeSupported"
    START_SNAPSHOT_SET = "StartSnapshotSet"
    ADD_TO_SNAPSHOT_SET = "AddToSnapshotSet"
    PREPARE_FOR_BACKUP = "PrepareForBackup"
    DO_SNAPSHOT_SET = "DoSnapshotSet"
    IMPORT_SNAPSHOTS = "ImportSnapshots"
    GET_SNAPSHOT_PROPERTIES = "GetSnapshotProperties"
    QUERY = "Query"
    OPEN_SNAPSHOT = "OpenSnapshot"
    DELETE_SNAPSHOTS = "DeleteSnapshots"
    BREAK_SNAPSHOT_SET = "BreakSnapshotSet"
    EXPOSE_SNAPSHOT = "ExposeSnapshot"
    UNEXPOSE_SNAPSHOT = "UnexposeSnapshot"
    REVERT_TO_SNAPSHOT = "RevertToSnapshot"
    QUERY_REVERT_STATUS = "QueryRevertStatus"
    SET_BACKUP_SUCCEEDED = "SetBackupSucceeded"
    BACKUP_COMPLETE = "BackupComplete"
    LEAVE_WAITING = "LeaveWaiting"
    SAVE_AS_XML = "SaveAsXML"
    ABORT_BACKUP = "AbortBackup"
    SET_RESTORE_STATE = "SetRestoreState"
    SET_SELECTED_FOR_RESTORE = "SetSelectedForRestore"
    SET_SELECTED_FOR_RESTORE_EX = "SetSelectedForRestoreEx"
    ADD_RESTORE_SUBCOMPONENT = "AddRestoreSubcomponent"
    SET_RESTORE_OPTIONS = "SetRestoreOptions"
    SET_ADDITIONAL_RESTORES = "SetAdditionalRestores"
    SET_AUTHORITATIVE_RESTORE = "SetAuthoritativeRestore"
    SET_ROLL_FORWARD = "SetRollForward"
    SET_RESTORE_NAME = "SetRestoreName"
    ADD_NEW_TARGET = "AddNewTarget"
    PRE_RESTORE = "PreRestore"
    ADD_ALTERNATIVE_LOCATION_MAPPING = "AddAlternativeLocationMapping"
    SET_RANGES_FILE_PATH = "SetRangesFilePath"
    SET_FILE_RESTORE_STATUS = "SetFileRestoreStatus"
    POST_RESTORE = "PostRestore"
    RELEASE = "Release"


_S = SessionState
_C = SessionCall

Row = Mapping[SessionCall, SessionState]

TWO_MOMENTS = frozenset(
    {
        SessionCall.GATHER_WRITER_METADATA,
        SessionCall.PREPARE_FOR_BACKUP,
        SessionCall.DO_SNAPSHOT_SET,
        SessionCall.IMPORT_SNAPSHOTS,
        SessionCall.BACKUP_COMPLETE,
        SessionCall.PRE_RESTORE,
        SessionCall.POST_RESTORE,
    }
)
"""Calls that take time and move the state when they are over."""

_FINISHED_CALLS = (
    _C.GET_SNAPSHOT_PROPERTIES,
    _C.QUERY,
    _C.OPEN_SNAPSHOT,
    _C.DELETE_SNAPSHOTS,
    _C.BREAK_SNAPSHOT_SET,
    _C.EXPOSE_SNAPSHOT,
    _C.UNEXPOSE_SNAPSHOT,
    _C.REVERT_TO_SNAPSHOT,
    _C.QUERY_REVERT_STATUS,
)
_SNAPSHOT_CALLS = (_C.IS_VOLUME_SUPPORTED, *_FINISHED_CALLS)
_CLASS_CALLS = (_C.ENABLE_WRITER_CLASSES, _C.DISABLE_WRITER_CLASSES, _C.DISABLE_WRITER_INSTANCES)
_COMPONENT_CALLS = (_C.SET_BACKUP_STATE, _C.ADD_COMPONENT, _C.SET_BACKUP_OPTIONS, _C.SET_PREVIOUS_BACKUP_STAMP)
_SELECTION_CALLS = (
    _C.SET_RESTORE_STATE,
    _C.SET_SELECTED_FOR_RESTORE,
    _C.SET_SELECTED_FOR_RESTORE_EX,
    _C.ADD_RESTORE_SUBCOMPONENT,
    _C.SET_RESTORE_OPTIONS,
    _C.SET_ADDITIONAL_RESTORES,
    _C.SET_AUTHORITATIVE_RESTORE,
    _C.SET_ROLL_FORWARD,
    _C.SET_RESTORE_NAME,
    _C.ADD_NEW_TARGET,
    _C.SET_PREVIOUS_BACKUP_STAMP,
)


def _stay(state: SessionState, *calls: SessionCall) -> Row:
    return dict.fromkeys(calls, state)


def _backup(state: SessionState, *calls: SessionCall) -> Row:
    """What every unfinished backup allows, and the calls of this state."""
    return {**_stay(state, *_SNAPSHOT_CALLS, *calls), _C.ABORT_BACKUP: _S.ABORTED}


_BACKUP: dict[SessionState, Row] = {
    _S.CREATED: {
        _C.INITIALIZE_FOR_BACKUP: _S.INITIALIZED,
        _C.INITIALIZE_WITH_DOCUMENT: _S.DOCUMENT_LOADED,
        _C.INITIALIZE_FOR_RESTORE: _S.RESTORE_INITIALIZED,
    },
    _S.INITIALIZED: {
        **_backup(_S.INITIALIZED, _C.SET_BACKUP_STATE, *_CLASS_CALLS),
        _C.SET_CONTEXT: _S.CONTEXT_SET,
        _C.SET_CONTEXT_WITHOUT_WRITERS: _S.WRITERLESS,
        _C.SET_CONTEXT_ALL: _S.QUERYING,
        _C.GATHER_WRITER_METADATA: _S.DISCOVERED,
    },
    _S.CONTEXT_SET: {
        **_backup(_S.CONTEXT_SET, _C.SET_BACKUP_STATE, *_CLASS_CALLS),
        _C.GATHER_WRITER_METADATA: _S.DISCOVERED,
    },
    _S.DISCOVERED: {
        **_backup(_S.DISCOVERED, _C.GATHER_WRITER_STATUS, *_COMPONENT_CALLS),
        _C.START_SNAPSHOT_SET: _S.SET_STARTED,
        _C.PREPARE_FOR_BACKUP: _S.PREPARED_WITHOUT_SET,
    },
    _S.PREPARED_WITHOUT_SET: {
        **_backup(_S.PREPARED_WITHOUT_SET, _C.GATHER_WRITER_STATUS, _C.SET_BACKUP_SUCCEEDED, _C.SAVE_AS_XML),
        _C.BACKUP_COMPLETE: _S.COMPLETED,
    },
    _S.SET_STARTED: {
        **_backup(_S.SET_STARTED, _C.GATHER_WRITER_STATUS, *_COMPONENT_CALLS, _C.ADD_TO_SNAPSHOT_SET),
        _C.PREPARE_FOR_BACKUP: _S.PREPARED,
    },
    _S.PREPARED: {
        **_backup(_S.PREPARED, _C.GATHER_WRITER_STATUS, _C.ADD_TO_SNAPSHOT_SET, _C.SAVE_AS_XML),
        _C.DO_SNAPSHOT_SET: _S.SNAPSHOT_TAKEN,
    },
    _S.SNAPSHOT_TAKEN: {
        **_backup(_S.SNAPSHOT_TAKEN, _C.GATHER_WRITER_STATUS, _C.SET_BACKUP_SUCCEEDED, _C.SAVE_AS_XML),
        _C.BACKUP_COMPLETE: _S.COMPLETED,
        _C.LEAVE_WAITING: _S.RELEASED,
    },
    _S.COMPLETED: _stay(_S.COMPLETED, *_SNAPSHOT_CALLS, _C.GATHER_WRITER_STATUS, _C.SAVE_AS_XML),
    _S.BACKUP_FAILED: _backup(_S.BACKUP_FAILED, _C.GATHER_WRITER_STATUS, _C.SAVE_AS_XML),
}

# Contexts without writers: no components, no PrepareForBackup, no BackupComplete; gathering is allowed and not needed.
_WRITERLESS: dict[SessionState, Row] = {
    _S.WRITERLESS: {
        **_backup(_S.WRITERLESS, _C.SET_BACKUP_STATE, *_CLASS_CALLS),
        _C.GATHER_WRITER_METADATA: _S.WRITERLESS_DISCOVERED,
        _C.START_SNAPSHOT_SET: _S.WRITERLESS_SET_STARTED,
    },
    _S.WRITERLESS_DISCOVERED: {
        **_backup(_S.WRITERLESS_DISCOVERED, _C.SET_BACKUP_STATE, _C.GATHER_WRITER_STATUS),
        _C.START_SNAPSHOT_SET: _S.WRITERLESS_SET_STARTED,
    },
    _S.WRITERLESS_SET_STARTED: {
        **_backup(_S.WRITERLESS_SET_STARTED, _C.ADD_TO_SNAPSHOT_SET),
        _C.DO_SNAPSHOT_SET: _S.WRITERLESS_SNAPSHOT_TAKEN,
    },
    _S.WRITERLESS_SNAPSHOT_TAKEN: _backup(_S.WRITERLESS_SNAPSHOT_TAKEN, _C.SAVE_AS_XML),
    # The context of all shadow copies is for looking and deleting, never for making.
    _S.QUERYING: _stay(_S.QUERYING, *_FINISHED_CALLS),
}

# With a stored document: to import the set it describes, or to complete the backup it describes.
_STORED: dict[SessionState, Row] = {
    _S.DOCUMENT_LOADED: {
        **_stay(_S.DOCUMENT_LOADED, *_FINISHED_CALLS, *_CLASS_CALLS),
        _C.GATHER_WRITER_METADATA: _S.DOCUMENT_DISCOVERED,
        _C.IMPORT_SNAPSHOTS: _S.IMPORTED,
    },
    _S.DOCUMENT_DISCOVERED: {
        **_stay(_S.DOCUMENT_DISCOVERED, *_FINISHED_CALLS, _C.GATHER_WRITER_STATUS),
        _C.BACKUP_COMPLETE: _S.COMPLETED,
    },
    _S.IMPORTED: _stay(_S.IMPORTED, *_FINISHED_CALLS, _C.SAVE_AS_XML),
}

# A restore cannot be aborted.
_RESTORE: dict[SessionState, Row] = {
    _S.RESTORE_INITIALIZED: {
        **_stay(_S.RESTORE_INITIALIZED, _C.SET_RESTORE_STATE, *_CLASS_CALLS),
        _C.GATHER_WRITER_METADATA: _S.RESTORE_DISCOVERED,
    },
    _S.RESTORE_DISCOVERED: {
        **_stay(_S.RESTORE_DISCOVERED, _C.GATHER_WRITER_STATUS, *_SELECTION_CALLS),
        _C.PRE_RESTORE: _S.RESTORING,
    },
    _S.RESTORING: {
        **_stay(
            _S.RESTORING,
            _C.GATHER_WRITER_STATUS,
            _C.ADD_ALTERNATIVE_LOCATION_MAPPING,
            _C.SET_RANGES_FILE_PATH,
            _C.SET_FILE_RESTORE_STATUS,
            _C.SAVE_AS_XML,
        ),
        _C.POST_RESTORE: _S.RESTORED,
    },
    _S.RESTORED: _stay(_S.RESTORED, _C.GATHER_WRITER_STATUS, _C.SAVE_AS_XML),
    _S.RESTORE_FAILED: _stay(_S.RESTORE_FAILED, _C.GATHER_WRITER_STATUS, _C.SAVE_AS_XML),
}


def _flatten(*parts: Mapping[SessionState, Row]) -> Iterable[tuple[tuple[SessionState, SessionCall], SessionState]]:
    for part in parts:
        for state, row in part.items():
            for call, following in row.items():
                yield (state, call), following
    # Release is legal always and twice; after an abort it is the only call left.
    for state in SessionState:
        yield (state, _C.RELEASE), _S.RELEASED


TRANSITIONS: Mapping[tuple[SessionState, SessionCall], SessionState] = dict(_flatten(_BACKUP, _WRITERLESS, _STORED, _RESTORE))
"""(state, call) → state when the call succeeds. A missing key is a call out of sequence."""

_RESTORE_STATES = frozenset(_RESTORE)

STATUS_IS_MEANINGFUL = frozenset(
    {
        SessionState.PREPARED,
        SessionState.PREPARED_WITHOUT_SET,
        SessionState.SNAPSHOT_TAKEN,
        SessionState.COMPLETED,
        SessionState.BACKUP_FAILED,
        SessionState.RESTORING,
        SessionState.RESTORED,
        SessionState.RESTORE_FAILED,
    }
)
"""Where GatherWriterStatus tells of this session's own last step: after PrepareForBackup, DoSnapshotSet, BackupComplete,
PreRestore and PostRestore. Elsewhere it may show what another session left ("Determining writer status")."""


def state_after_failure(state: SessionState, call: SessionCall) -> SessionState:
    """Where ``call``, one of ``TWO_MOMENTS``, leaves a session when it fails."""
    if call is SessionCall.BACKUP_COMPLETE:
        return SessionState.COMPLETED
    if call is SessionCall.IMPORT_SNAPSHOTS:
        return state
    return SessionState.RESTORE_FAILED if state in _RESTORE_STATES else SessionState.BACKUP_FAILED


class SessionMachine:
    """The state of one session.

    Attributes:
        state: how far the session has come.
        in_flight: the call that takes time and runs now, or None.
    """

    __slots__ = ("in_flight", "state")

    def __init__(self) -> None:
        """Start a session that is neither backup nor restore yet."""
        self.state = SessionState.CREATED
        self.in_flight: SessionCall | None = None

    def allows(self, call: SessionCall) -> bool:
        """Whether ``call`` would be legal now."""
        if self.in_flight is not None and call is not SessionCall.RELEASE:
            return False
        return (self.state, call) in TRANSITIONS

    def call(self, call: SessionCall) -> None:
        """The requestor calls.

        Raises:
            BadStateError: out of sequence; nothing was changed.
        """
        if not self.allows(call):
            raise BadStateError(self._refusal(call))
        if call in TWO_MOMENTS:
            self.in_flight = call
        else:
            self.in_flight = None
            self.state = TRANSITIONS[self.state, call]

    def done(self, call: SessionCall) -> None:
        """A call that takes time has succeeded. After Release its end no longer matters."""
        self._settle(call, ok=True)

    def fail(self, call: SessionCall) -> None:
        """A call that takes time has failed, or its task was cancelled. After Release its end no longer matters."""
        self._settle(call, ok=False)

    def _settle(self, call: SessionCall, *, ok: bool) -> None:
        if self.state is SessionState.RELEASED:
            return
        assert self.in_flight is call, f"{call.value} ended, but {self.in_flight} is in flight"
        self.in_flight = None
        self.state = TRANSITIONS[self.state, call] if ok else state_after_failure(self.state, call)

    def _refusal(self, call: SessionCall) -> str:
        if self.in_flight is not None:
            return f"session cannot take {call.value} while {self.in_flight.value} is running: expected Release"
        legal = ", ".join(each.value for each in SessionCall if self.allows(each))
        return f"session cannot take {call.value} in state '{self.state.value}': expected one of {legal}"
