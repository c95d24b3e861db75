"""The streaming backup interface of an instance (JetBeginExternalBackup …): begin, copy files, read logs, truncate, end.

The instance goes on working while its databases are read page by page; that is why a copy is of no single moment, and why its
header says (FullCur) that it needs hard recovery with every log from the checkpoint at the beginning to the one that
``log_files`` closes. No log is deleted while a backup runs. Order: ``begin`` · full and copy backups: ``open_file`` for
databases · ``log_files``, which rolls the log over · ``open_file`` for each of them · ``truncate_logs`` (full, incremental) ·
``end``. What was done decides what the backup counts as (databases copied × logs truncated), and that field of the headers is
set at the end and not before.

Sources: published engine, backup.cxx; JET documentation (JetBeginExternalBackup and the calls that follow it).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from vss_writers.ese.backup_chain import check_full_backups, check_unbroken_logs, first_to_copy
from vss_writers.ese.backup_record import SCOPES, record_backup
from vss_writers.ese.engine_event import EngineEvent, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import base_name, directory_name, is_same_path, join_path
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import NO_BACKUP, NOWHERE, BackupInfo
from vss_writers.ese.layout import BackupType
from vss_writers.ese.log_reader import LogDirectory, list_logs
from vss_writers.ese.log_records import Backup2, BackupPhase
from vss_writers.ese.patch_page import PatchHeader, pack_patch, patch_name
from vss_writers.ese.streaming_file import (
    READ_SIZE,
    BackupFile,
    CopiedDatabase,
    DatabaseBackupFile,
    LogBackupFile,
    PatchBackupFile,
    read_verified,
)
from vss_writers.ese.truncation import OtherDatabase, SnapshotKind, TruncationPlan, plan_truncation
from vss_writers.ese.truncation_files import TruncationResult, delete_logs

if TYPE_CHECKING:
    from vss_writers.ese.attached_database import Database
    from vss_writers.ese.instance import Instance

__all__ = ["READ_SIZE", "BackupFile", "StreamingBackups", "StreamingState"]


class StreamingState(Enum):
    """Where a streaming backup stands."""

    NONE = "no backup"
    BEGUN = "begun"
    LOGS = "logs"
    TRUNCATED = "logs truncated"
    STOPPED = "stopped by the instance"


class StreamingBackups:
    """The one streaming backup an instance can run at a time."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.state = StreamingState.NONE
        self.kind = SnapshotKind.FULL
        self.info = NO_BACKUP
        """Mark, time and range; the range's end is 0 until ``log_files`` has fixed it."""
        self._checkpoint = 0
        self._copies: list[CopiedDatabase] = []
        self._open_files: list[BackupFile] = []
        self._patches: dict[str, bytes] = {}
        self._logs: dict[str, int] = {}
        self._unread: list[str] = []
        self._is_cut_short = False

    @property
    def is_running(self) -> bool:
        """Whether a backup has begun and not ended; its logs are held."""
        return self.state is not StreamingState.NONE

    def holds(self, path: str) -> bool:
        """Whether the running backup has copied a database, which must stay attached until the end."""
        return self.state not in (StreamingState.NONE, StreamingState.STOPPED) and any(
            is_same_path(copy.database.path, path) for copy in self._copies
        )

    # -- the calls, in their order ---------------------------------------------------------------------------------------------

    async def begin(self, kind: SnapshotKind) -> None:
        """Begin a backup (event 210 for one with databases, 211 for logs only).

        Raises:
            JetError: ``BackupNotAllowedYet`` before the instance is open; ``BackupInProgress`` where any backup runs;
                ``InvalidBackup`` for logs only with circular logging; ``MissingFullBackup`` (event 206);
                ``MissingFileToBackup`` (event 459) where the chain of logs is broken.
        """
        instance = self._instance
        if instance.recovery is None:
            raise JetError(JetCode.BackupNotAllowedYet, f"instance {instance.parameters.base_name} is not open yet")
        instance.check_running()
        if self.is_running or instance.snapshot.holds_logs:
            raise JetError(JetCode.BackupInProgress)
        if kind.is_incremental and instance.parameters.circular:
            raise JetError(JetCode.InvalidBackup, "circular logging is on")
        self._reset(kind)
        self.state = StreamingState.BEGUN
        try:
            async with instance.writer:
                await self._begin()
        except BaseException:
            self.state = StreamingState.NONE
            raise
        text = "a full backup begins" if not kind.is_incremental else "an incremental backup begins"
        instance.emit(EngineEvent(211 if kind.is_incremental else 210, text, values=(("kind", kind.value),)))

    async def _begin(self) -> None:
        instance, kind = self._instance, self.kind
        instance.check_running()
        headers = self._headers()
        logs = await self._list()
        if kind.is_incremental:
            check_full_backups(headers, instance.emit, BackupType.STREAMING)
            check_unbroken_logs(headers, logs, instance.generation, instance.emit)
        self._checkpoint = instance.checkpoint.generation
        low = first_to_copy(kind, headers, logs, checkpoint=self._checkpoint, current=instance.generation)
        time = instance.log_time()
        record = Backup2(BackupPhase.BEGIN, BackupType.STREAMING, SCOPES[kind], 0, BackupInfo(NOWHERE, time, low, 0))
        mark = await instance.stream.append(record.pack())
        await instance.stream.flush()
        self.info = BackupInfo(mark, time, low, 0)

    def databases(self) -> tuple[str, ...]:
        """Paths of the databases that can be copied (JetGetAttachInfo).

        Raises:
            JetError: ``NoBackup``; ``InvalidBackupSequence`` for a backup of logs only, or once the logs are asked for.
        """
        self._check(StreamingState.BEGUN)
        if self.kind.is_incremental:
            raise JetError(JetCode.InvalidBackupSequence, f"a {self.kind.value} backup copies no database")
        return tuple(database.path for database in self._instance.databases)

    async def open_file(self, path: str) -> BackupFile:
        """Open a database, or a file that ``log_files`` has listed, for copying (event 220).

        Raises:
            JetError: ``NoBackup``; ``InvalidBackupSequence`` out of order; ``InvalidParameter`` for any other file;
                ``LogReadVerifyFailure`` for a damaged log.
        """
        self._check(StreamingState.BEGUN, StreamingState.LOGS)
        if self.state is StreamingState.LOGS:
            opened = await self._open_listed(path)
        else:
            self.databases()
            opened = await self._open_database(path)
        self._open_files.append(opened)
        values = (("size", opened.size_bytes),)
        self._instance.emit(EngineEvent(220, "the copy of a file begins", path=path, values=values))
        return opened

    async def _open_database(self, path: str) -> BackupFile:
        found = [each for each in self._instance.databases if is_same_path(each.path, path)]
        if not found or any(copy.database is found[0] for copy in self._copies):
            raise JetError(JetCode.InvalidParameter, "no attached database, or one that is copied already", path=path)
        copied = CopiedDatabase(found[0], self.info, self._instance.log_time())
        self._copies.append(copied)
        return DatabaseBackupFile(self._instance, copied, self._closed)

    async def _open_listed(self, path: str) -> BackupFile:
        if path in self._patches:
            return PatchBackupFile(self._instance, path, self._patches[path], self._closed)
        if path not in self._logs:
            raise JetError(JetCode.InvalidParameter, "not among the files to copy", path=path)
        return await LogBackupFile.load(self._instance, path, self._logs[path], self._closed)

    async def log_files(self) -> tuple[str, ...]:
        """Close the current generation and return what is to be copied now: logs, and patch files in the older profile.

        Raises:
            JetError: ``NoBackup``; ``InvalidBackupSequence`` out of order, with a file open, or for a copied database that
                was not read to its end; ``MissingFileToBackup`` (event 459) for a log that is gone; what writing raises.
        """
        self._check(StreamingState.BEGUN)
        self._check_closed()
        if not self.kind.is_incremental and not self._copies:
            raise JetError(JetCode.InvalidBackupSequence, f"a {self.kind.value} backup without a database")
        instance = self._instance
        async with instance.writer:
            instance.check_running()
            await self._make_patches()
            await instance.stream.roll_over()
            last = instance.generation - 1
            info = BackupInfo(self.info.mark, self.info.time, self.info.generation_low, last)
            record = Backup2(BackupPhase.PREPARE_LOGS, BackupType.STREAMING, SCOPES[self.kind], 0, info)
            await instance.stream.append(record.pack())
            await instance.stream.flush()
        logs = await self._list()
        wanted = range(info.generation_low, last + 1)
        missing = [generation for generation in wanted if generation not in logs.archived]
        if missing:
            text = f"generation {missing[0]:#x} is needed for the backup and is missing"
            instance.emit(EngineEvent(459, text, Severity.ERROR, logs.directory))
            raise JetError(JetCode.MissingFileToBackup, text, path=logs.directory)
        self.info = info
        self._logs = {logs.archived[generation]: generation for generation in wanted}
        self._unread = [*self._logs, *self._patches]
        self.state = StreamingState.LOGS
        values = (("first", info.generation_low), ("last", last))
        instance.emit(EngineEvent(223, "the copy of logs begins", values=values))
        return tuple(self._unread)

    async def _make_patches(self) -> None:
        """Take the pages written behind the copies now: the generation that is closed next has all their changes."""
        for copy in self._copies:
            copy.stop_watching()
            if not self._instance.parameters.patch_files:
                continue
            file = copy.database.pages.file
            images = {number: (await read_verified(file, number, 1))[0] for number in sorted(copy.written_behind)}
            header = PatchHeader(
                self.info,
                copy.database.signature,
                self._instance.signature,
                self.info.generation_low,
                self._instance.generation,
                len(images),
            )
            path = join_path(directory_name(file.path), patch_name(base_name(file.path)))
            self._patches[path] = pack_patch(header, images, file.page_size)

    async def truncatable(self) -> tuple[int, int]:
        """First and last generation that ``truncate_logs`` would delete (JetGetTruncateLogInfo); both 0 for none.

        Raises:
            JetError: as ``truncate_logs``.
        """
        self._check_truncation()
        plan = self._plan(await self._list())
        return plan.remove_first, plan.remove_last

    async def truncate_logs(self) -> TruncationResult:
        """Delete the generations that nobody needs any more (event 224, or 225 where there is none).

        Raises:
            JetError: ``NoBackup``; ``InvalidBackupSequence`` out of order, with a file still open, and for copy and
                differential backups; ``LogFileNotCopied`` (event 520) before every log was read; ``DeleteBackupFileFail``.
        """
        self._check_truncation()
        instance = self._instance
        instance.check_running()
        if self._unread:
            text = "the logs are not truncated, since not all of them were copied"
            instance.emit(EngineEvent(520, text, Severity.ERROR, self._unread[0]))
            raise JetError(JetCode.LogFileNotCopied, path=self._unread[0])
        async with instance.writer:
            record = Backup2(BackupPhase.TRUNCATE, BackupType.STREAMING, SCOPES[self.kind], 0, self.info)
            await instance.stream.append(record.pack())
            await instance.stream.flush()
        result = await delete_logs(instance, self._plan)
        self.state = StreamingState.TRUNCATED
        return result

    def _check_truncation(self) -> None:
        self._check(StreamingState.LOGS)
        self._check_closed()
        if not self.kind.truncates:
            raise JetError(JetCode.InvalidBackupSequence, f"a {self.kind.value} backup does not truncate logs")

    def _plan(self, logs: LogDirectory) -> TruncationPlan:
        copied = [copy.database for copy in self._copies]
        others = [
            OtherDatabase(database.path, database.header.full_previous.generation_high)
            for database in self._instance.databases
            if database not in copied
        ]
        return plan_truncation(
            self.kind,
            lowest=logs.lowest or 0,
            highest=logs.highest or 0,
            checkpoint_generation=self._checkpoint,
            copy_generation_last=self.info.generation_high,
            others=others,
            is_circular=self._instance.parameters.circular,
        )

    async def end(self, *, truncated_by_client: bool = False, update_headers: bool = True) -> SnapshotKind:
        """Finish well (event 213) and return what the backup counts as; the headers say so now.

        Args:
            truncated_by_client: whether the client has deleted the logs itself.
            update_headers: whether the headers are told.

        Raises:
            JetError: ``NoBackup``; ``InvalidBackupSequence`` before the logs were listed and copied, or after a file was closed
                early (event 214): only ``abort`` is left then; what writing raises (event 219).
        """
        self._check(StreamingState.LOGS, StreamingState.TRUNCATED)
        self._check_closed()
        if self._unread or self._is_cut_short:
            detail = "a file was closed early" if self._is_cut_short else f"{len(self._unread)} files were not copied"
            self._instance.emit(EngineEvent(214, f"the backup failed: {detail}", Severity.ERROR))
            raise JetError(JetCode.InvalidBackupSequence, detail)
        counts_as = _counts_as(
            has_databases=bool(self._copies), is_truncated=truncated_by_client or self.state is StreamingState.TRUNCATED
        )
        if update_headers:
            await self._record(counts_as)
        self.state = StreamingState.NONE
        self._instance.emit(EngineEvent(213, "the backup is complete", values=(("kind", counts_as.value),)))
        return counts_as

    async def _record(self, counts_as: SnapshotKind) -> None:
        """A backup with databases concerns those; one of logs only concerns all that are attached."""
        instance = self._instance
        try:
            await record_backup(
                instance,
                self._in_backup,
                self.info,
                kind=counts_as,
                backup_type=BackupType.STREAMING,
                checkpoint_generation=self._checkpoint,
            )
        except JetError as error:
            instance.emit(EngineEvent(219, f"headers could not be updated after a backup: {error}", Severity.WARNING))
            raise

    def _in_backup(self) -> list[Database]:
        copied = [copy.database for copy in self._copies]
        return [each for each in self._instance.databases if not copied or each in copied]

    def abort(self) -> None:
        """The client gives up (event 215), from any state. With no backup running nothing happens."""
        if not self.is_running:
            return
        self._release()
        self.state = StreamingState.NONE
        self._instance.emit(EngineEvent(215, "the backup was given up by the client", Severity.WARNING))

    def stop(self) -> None:
        """The instance ends: whatever the client calls next but ``abort`` says −801 (event 226)."""
        if not self.is_running:
            return
        self._release()
        self.state = StreamingState.STOPPED
        self._instance.emit(EngineEvent(226, "the backup was stopped: the instance ends", Severity.WARNING))

    # -- inner workings --------------------------------------------------------------------------------------------------------

    def _reset(self, kind: SnapshotKind) -> None:
        self.kind = kind
        self.info = NO_BACKUP
        self._copies, self._open_files, self._patches, self._logs, self._unread = [], [], {}, {}, []
        self._is_cut_short = False

    def _release(self) -> None:
        for copy in self._copies:
            copy.stop_watching()
        for opened in self._open_files:
            opened.give_up()
        self._open_files = []

    def _closed(self, opened: BackupFile) -> None:
        """A file was closed: fully read (event 221), or early (event 222), which spoils the backup."""
        self._open_files.remove(opened)
        values = (("size", opened.size_bytes), ("read", opened.position))
        if opened.is_complete:
            self._instance.emit(EngineEvent(221, "the copy of a file ends", path=opened.path, values=values))
            if opened.path in self._unread:
                self._unread.remove(opened.path)
        else:
            self._is_cut_short = True
            text = "a file was closed before everything was read"
            self._instance.emit(EngineEvent(222, text, Severity.WARNING, opened.path, values))

    def _check(self, *states: StreamingState) -> None:
        if self.state is StreamingState.NONE:
            raise JetError(JetCode.NoBackup)
        if self.state is StreamingState.STOPPED:
            raise JetError(JetCode.BackupAbortByServer)
        if self.state not in states:
            expected = " or ".join(state.value for state in states)
            raise JetError(JetCode.InvalidBackupSequence, f"expected {expected}, found {self.state.value}")

    def _check_closed(self) -> None:
        if self._open_files:
            raise JetError(JetCode.InvalidBackupSequence, "a file is still open", path=self._open_files[0].path)

    async def _list(self) -> LogDirectory:
        parameters = self._instance.parameters
        return await list_logs(self._instance.files, parameters.log_directory, parameters.base_name)

    def _headers(self) -> list[tuple[str, DatabaseHeader]]:
        return [(database.path, database.header) for database in self._instance.databases]


def _counts_as(*, has_databases: bool, is_truncated: bool) -> SnapshotKind:
    if has_databases:
        return SnapshotKind.FULL if is_truncated else SnapshotKind.COPY
    return SnapshotKind.INCREMENTAL if is_truncated else SnapshotKind.DIFFERENTIAL
