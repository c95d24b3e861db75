"""The snapshot interface of an instance (JetOSSnapshot…): prepare, freeze, thaw, truncate, end, abort, in that order only.

Freeze takes the writer's turn and keeps it: no transaction begins, no page, header, checkpoint or log is written until thaw,
abort or time-out. It first closes the current generation and writes the backup mark as the first record of the next one, so a
backup that copies the closed generations has everything up to the freeze. There is no clock here: the snapshot's owner calls
``time_out`` when its time is up (20 s for the store, 70 s are the engine's default), and ``thaw`` then says −2402.

Sources: published engine, osshadow and backup.cxx (ErrBKOSSnapshotStopLogging, BKOSSnapshotSaveInfo), io.cxx; jethdr.w.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from vss_writers.ese.backup_chain import check_full_backups, check_unbroken_logs, first_to_copy
from vss_writers.ese.backup_record import SCOPES, record_backup
from vss_writers.ese.engine_event import EngineEvent, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import is_same_path
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import NOWHERE, BackupInfo, LogPosition, LogTime
from vss_writers.ese.layout import BackupType
from vss_writers.ese.log_reader import LogDirectory, list_logs
from vss_writers.ese.log_records import Backup2, BackupPhase
from vss_writers.ese.truncation import OtherDatabase, SnapshotKind, TruncationPlan, plan_truncation
from vss_writers.ese.truncation_files import TruncationResult, delete_logs

if TYPE_CHECKING:
    from vss_writers.ese.attached_database import Database
    from vss_writers.ese.instance import Instance

FREEZE_TIMEOUT_STORE_S = 20.0
"""What the store allows between freeze and thaw."""
FREEZE_TIMEOUT_ENGINE_S = 70.0
"""The engine's own default (JET_paramOSSnapshotTimeout)."""


class SnapshotState(Enum):
    """Where a snapshot stands."""

    START = "start"
    PREPARED = "prepared"
    FROZEN = "frozen"
    TIMED_OUT = "timed out"
    THAWED = "thawed"
    LOGS_TRUNCATED = "logs truncated"


_STARTING = {SnapshotKind.FULL: 2005, SnapshotKind.INCREMENTAL: 2008, SnapshotKind.COPY: 2009, SnapshotKind.DIFFERENTIAL: 2010}


@dataclass(frozen=True, slots=True)
class FreezeInfo:
    """What a freeze fixed.

    Attributes:
        mark: position of the backup mark, first record of the generation after the copied ones.
        time: when.
        generation_first: first generation a backup of this kind has to copy.
        generation_last: last generation it has to copy: the one the freeze closed.
        checkpoint_generation: generation of the checkpoint, which stays where it is during the freeze.
        databases: paths of the attached databases.
    """

    mark: LogPosition
    time: LogTime
    generation_first: int
    generation_last: int
    checkpoint_generation: int
    databases: tuple[str, ...]


class Snapshots:
    """The one snapshot an instance can be part of at a time."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.state = SnapshotState.START
        self.snapshot_id = 0
        self.freeze_info: FreezeInfo | None = None
        self._kind = SnapshotKind.FULL
        self._selected: tuple[str, ...] | None = None
        self._is_freezing = False

    @property
    def is_frozen(self) -> bool:
        """Whether writing is stopped right now."""
        return self.state is SnapshotState.FROZEN

    @property
    def holds_logs(self) -> bool:
        """Whether a backup is in progress that still needs its logs; circular logging deletes nothing then."""
        return self.state is not SnapshotState.START

    @property
    def defers_headers(self) -> bool:
        """Whether headers must not name the generation that the freeze begins; they do at thaw."""
        return self._is_freezing or self.is_frozen

    # -- the calls, in their order ---------------------------------------------------------------------------------------------

    def prepare(self, kind: SnapshotKind, databases: Sequence[str] | None = None) -> int:
        """Begin a snapshot and return its number.

        Args:
            kind: what will be backed up.
            databases: paths of the databases in the backup; None for all that are attached.

        Raises:
            JetError: ``OSSnapshotNotAllowed`` where one is in progress; ``InvalidBackup`` for an incremental kind with circular
                logging; ``MissingFullBackup`` (event 206) where there is no full snapshot backup to build on;
                ``DatabaseNotFound`` for a path that is not attached.
        """
        self._instance.check_running()
        if self.state is not SnapshotState.START:
            raise JetError(JetCode.OSSnapshotNotAllowed, f"a snapshot is {self.state.value}")
        if self._instance.backup.is_running:
            raise JetError(JetCode.OSSnapshotNotAllowed, "a streaming backup is in progress")
        if kind.is_incremental and self._instance.parameters.circular:
            raise JetError(JetCode.InvalidBackup, "circular logging is on")
        selected = None if databases is None else tuple(databases)
        for path in selected or ():
            self._find(path)
        if kind.is_incremental:
            check_full_backups(self._headers(selected), self._instance.emit)
        self._kind = kind
        self._selected = selected
        self.freeze_info = None
        self.snapshot_id += 1
        self.state = SnapshotState.PREPARED
        self._instance.emit(EngineEvent(_STARTING[kind], f"a {kind.value} snapshot backup is starting"))
        return self.snapshot_id

    async def freeze(self, snapshot_id: int | None = None) -> FreezeInfo:
        """Stop writing at a point from which everything acknowledged can be recovered.

        Raises:
            JetError: ``OSSnapshotInvalidSequence``, ``OSSnapshotInvalidSnapId``; ``MissingFileToBackup`` (event 459) where
                an incremental backup would have a gap; what writing the log raises. Nothing stays frozen then (event 2002),
                and the snapshot is back where it was prepared.
        """
        self._check(snapshot_id, SnapshotState.PREPARED)
        await self._instance.writer.acquire()
        try:
            self._check(snapshot_id, SnapshotState.PREPARED)
            self._is_freezing = True
            self.freeze_info = await self._stop()
        except BaseException as error:
            self._is_freezing = False
            await self._resume()
            self._instance.emit(EngineEvent(2002, f"the freeze failed: {error}", Severity.ERROR))
            raise
        self._is_freezing = False
        self.state = SnapshotState.FROZEN
        self._instance.emit(EngineEvent(2001, "the freeze has begun"))
        return self.freeze_info

    async def thaw(self, snapshot_id: int | None = None) -> None:
        """Let writing go on.

        Raises:
            JetError: ``OSSnapshotTimeOut`` where the freeze was given up in between: the snapshot is worth nothing, only
                ``abort`` is left. ``OSSnapshotInvalidSequence``, ``OSSnapshotInvalidSnapId``.
        """
        if self.state is SnapshotState.TIMED_OUT:
            raise JetError(JetCode.OSSnapshotTimeOut)
        self._check(snapshot_id, SnapshotState.FROZEN)
        self.state = SnapshotState.THAWED
        await self._resume()
        self._instance.emit(EngineEvent(2003, "the freeze has ended"))

    def recall(self, kind: SnapshotKind, info: FreezeInfo) -> None:
        """Stand where ``thaw`` left a snapshot whose machine was suspended since; the log goes on behind what it fixed."""
        self._kind, self.freeze_info, self.state = kind, info, SnapshotState.THAWED

    async def time_out(self, after_ms: int) -> None:
        """Give up a freeze that lasted too long; with none going on nothing happens."""
        if self.state is not SnapshotState.FROZEN:
            return
        self.state = SnapshotState.TIMED_OUT
        self._instance.emit(EngineEvent(2004, "the freeze timed out", Severity.ERROR, values=(("milliseconds", after_ms),)))
        await self._resume()

    async def truncate_logs(self, *, all_databases_attached: bool, snapshot_id: int | None = None) -> TruncationResult:
        """Delete the generations that nobody needs any more; call it when the backup is safe.

        Args:
            all_databases_attached: whether the caller knows that no database of this stream is detached. Without that
                nothing is deleted.
            snapshot_id: number that ``prepare`` returned, to be sure.

        Raises:
            JetError: ``OSSnapshotInvalidSequence`` out of order and for copy and differential backups;
                ``DeleteBackupFileFail`` where a file cannot be deleted; calling it again goes on from there. ``DiskIO`` where
                the log directory cannot be read or made durable.
        """
        self._check(snapshot_id, SnapshotState.THAWED)
        if not self._kind.truncates:
            raise JetError(JetCode.OSSnapshotInvalidSequence, f"a {self._kind.value} backup does not truncate logs")
        self._instance.check_running()
        result = await delete_logs(self._instance, lambda logs: self._plan(logs, all_databases_attached=all_databases_attached))
        self.state = SnapshotState.LOGS_TRUNCATED
        return result

    async def end(self, *, success: bool, snapshot_id: int | None = None) -> None:
        """Finish; with success the headers of the databases in the backup say so.

        Raises:
            JetError: ``OSSnapshotInvalidSequence``, ``OSSnapshotInvalidSnapId``; what writing raises (event 219).
        """
        if not success:
            await self.abort(snapshot_id)
            return
        self._check(snapshot_id, SnapshotState.THAWED, SnapshotState.LOGS_TRUNCATED)
        self._instance.check_running()
        try:
            await self._write_backup_infos()
        except JetError as error:
            self._instance.emit(EngineEvent(219, f"headers could not be updated after a backup: {error}", Severity.WARNING))
            raise
        self.state = SnapshotState.START
        self._instance.emit(EngineEvent(2006, "the snapshot backup is complete"))

    async def abort(self, snapshot_id: int | None = None) -> None:
        """Give up from any state; with no snapshot in progress nothing happens.

        Raises:
            JetError: ``OSSnapshotInvalidSnapId``.
        """
        if self.state is SnapshotState.START:
            return
        self._check_id(snapshot_id)
        was_frozen = self.is_frozen
        self.state = SnapshotState.START
        if was_frozen:
            await self._resume()
        self._instance.emit(EngineEvent(2007, "the snapshot backup was aborted", Severity.WARNING))

    # -- inner workings --------------------------------------------------------------------------------------------------------

    async def _stop(self) -> FreezeInfo:
        instance = self._instance
        instance.check_running()
        if self._kind.is_incremental:
            check_unbroken_logs(self._headers(self._selected), await self._logs(), instance.generation, instance.emit)
        time = replace(instance.log_time(), is_os_snapshot=True)
        checkpoint = instance.checkpoint.generation
        closed = instance.generation
        if not instance.parameters.circular:
            await instance.stream.roll_over()
        first = first_to_copy(
            self._kind, self._headers(self._selected), await self._logs(), checkpoint=checkpoint, current=instance.generation
        )
        details = BackupInfo(NOWHERE, time, first, closed)
        record = Backup2(BackupPhase.PREPARE_LOGS, BackupType.OS_SNAPSHOT, SCOPES[self._kind], 0, details)
        mark = await instance.stream.append(record.pack())
        await instance.stream.flush()
        paths = tuple(database.path for database in instance.databases)
        return FreezeInfo(mark, time, first, closed, checkpoint, paths)

    async def _resume(self) -> None:
        """Let the writer go; a stream that is down leaves the headers as they are."""
        instance = self._instance
        try:
            if instance.is_open and instance.stream.error is None:
                await instance.checkpointer.write_waiting()
        finally:
            instance.writer.release()

    def _plan(self, logs: LogDirectory, *, all_databases_attached: bool) -> TruncationPlan:
        instance = self._instance
        assert self.freeze_info is not None, "truncation without a freeze"
        backed_up = [database.path for database in self._backed_up()]
        others = [
            OtherDatabase(database.path, database.header.full_previous.generation_high)
            for database in instance.databases
            if database.path not in backed_up
        ]
        return plan_truncation(
            self._kind,
            lowest=logs.lowest or 0,
            highest=logs.highest or 0,
            checkpoint_generation=self.freeze_info.checkpoint_generation,
            copy_generation_last=self.freeze_info.generation_last,
            others=others,
            all_databases_attached=all_databases_attached,
            is_circular=instance.parameters.circular,
        )

    async def _write_backup_infos(self) -> None:
        """Record the backup: log record, headers, checkpoint file."""
        instance = self._instance
        info = self.freeze_info
        assert info is not None, "backup finished without a freeze"
        backup = BackupInfo(info.mark, info.time, info.generation_first, info.generation_last)
        await record_backup(
            instance,
            self._backed_up,
            backup,
            kind=self._kind,
            backup_type=BackupType.OS_SNAPSHOT,
            checkpoint_generation=info.checkpoint_generation,
        )

    async def _logs(self) -> LogDirectory:
        parameters = self._instance.parameters
        return await list_logs(self._instance.files, parameters.log_directory, parameters.base_name)

    def _headers(self, selected: tuple[str, ...] | None) -> list[tuple[str, DatabaseHeader]]:
        """Paths and headers of the selected databases."""
        return [
            (database.path, database.header)
            for database in self._instance.databases
            if selected is None or any(is_same_path(path, database.path) for path in selected)
        ]

    def _backed_up(self) -> list[Database]:
        """Databases in the backup that were attached at the freeze and still are."""
        frozen = self.freeze_info.databases if self.freeze_info is not None else None
        return [
            database
            for database in self._instance.databases
            if (self._selected is None or any(is_same_path(path, database.path) for path in self._selected))
            and (frozen is None or database.path in frozen)
        ]

    def _check(self, snapshot_id: int | None, *states: SnapshotState) -> None:
        self._check_id(snapshot_id)
        if self.state not in states:
            expected = " or ".join(state.value for state in states)
            raise JetError(JetCode.OSSnapshotInvalidSequence, f"expected state {expected}, found {self.state.value}")

    def _check_id(self, snapshot_id: int | None) -> None:
        if snapshot_id is not None and snapshot_id != self.snapshot_id:
            raise JetError(JetCode.OSSnapshotInvalidSnapId, f"expected {self.snapshot_id}, found {snapshot_id}")

    def _find(self, path: str) -> None:
        if not any(is_same_path(path, database.path) for database in self._instance.databases):
            raise JetError(JetCode.DatabaseNotFound, "it is not attached", path=path)
