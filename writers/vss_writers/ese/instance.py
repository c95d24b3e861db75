"""An instance: one log stream, the databases attached to it, their buffers, the checkpoint, transactions and snapshots.

Order of things, which recovery relies on:
- attach and create: record flushed, then the header says Dirty; detach: pages written, record flushed, then it says Clean;
- checkpoint: pages written and durable, then the headers of **all** attached databases, then the checkpoint file;
- new generation: the log exists first, then the headers name it (during a freeze: only at thaw, so that the headers in the
  snapshot ask for no generation that the snapshot's closed logs do not have).

After a failed write of the log nothing is written any more: every call raises what stopped it, and only ``abandon`` is left.

Sources: published engine, db.cxx, log.cxx, io.cxx.
"""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from vss_writers.ese.attached_database import Database, attached_header, attachment_of, detached_header
from vss_writers.ese.buffer import BufferedPages
from vss_writers.ese.checkpoint import Checkpoint, write_checkpoint
from vss_writers.ese.database_file import (
    DatabaseFile,
    create_database_file,
    open_database_file,
    read_database_header,
)
from vss_writers.ese.database_format import create_database
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import SECTOR_SIZE, FileSystem, is_same_path
from vss_writers.ese.header import DatabaseHeader, LogPosition, LogTime, Signature
from vss_writers.ese.layout import OBJID_LAST_SYSTEM, DatabaseState
from vss_writers.ese.log_file import NOWHERE, Attachment, LogHeader
from vss_writers.ese.log_reader import list_logs, offset_of
from vss_writers.ese.log_records import (
    AttachDatabase,
    CreateDatabase,
    DetachDatabase,
    Init2,
    RecordType,
    Terminate2,
)
from vss_writers.ese.log_stream import LogStream, StreamOwner, make_reserve_logs
from vss_writers.ese.page_guard import PageGuard
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.recovery import Recovery, RecoveryOptions, RecoveryReport, recover_database
from vss_writers.ese.snapshot import Snapshots
from vss_writers.ese.transaction import SESSION, Transaction, TransactionLog, commit_record, rollback_record

DATABASES_MAX = 100
"""Databases of one instance; slot numbers begin at 1."""


class Instance:
    """An open instance; make one with ``Instance.open``."""

    def __init__(
        self,
        files: FileSystem,
        parameters: InstanceParameters,
        *,
        now: Callable[[], datetime],
        random: random_module.Random,
        on_event: EventSink,
    ) -> None:
        self.files = files
        self.parameters = parameters
        self.databases: list[Database] = []
        self.is_open = False
        self.writer = asyncio.Lock()
        self.snapshot = Snapshots(self)
        self.recovery: RecoveryReport | None = None
        self._now = now
        self._random = random
        self.emit = on_event
        self._guard = PageGuard(files, parameters.guard_path)
        self._checkpoint = Checkpoint(NOWHERE, Signature())
        self._transaction_number = 0
        self._writing = False
        self._headers_wait = False
        self._low_space: str | None = None
        self._stream: LogStream
        self._log: TransactionLog

    # -- opening and closing ---------------------------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        files: FileSystem,
        parameters: InstanceParameters,
        *,
        now: Callable[[], datetime],
        random: random_module.Random,
        on_event: EventSink = ignore_events,
        databases: Sequence[str] = (),
        ignore_missing: bool = False,
        accept_lost_logs: bool = False,
    ) -> Instance:
        """Start an instance, recovering its databases first where that is needed. The caller attaches them afterwards.

        Args:
            files: where logs and databases are.
            parameters: the instance's settings.
            now: the wall clock.
            random: for new signatures.
            on_event: told every engine event.
            databases: files that recovery shall bring forward besides those the logs name, for example restored ones under
                another path.
            ignore_missing: whether databases the logs name may be absent; they can be restored and attached later.
            accept_lost_logs: whether to go on without committed generations that are not required.

        Raises:
            JetError: whatever ``recovery.recover`` refuses with.
        """
        instance = cls(files, parameters, now=now, random=random, on_event=on_event)
        await files.make_directory(parameters.log_directory)
        await files.make_directory(parameters.system_path)
        on_event(EngineEvent(102, f"instance {parameters.base_name} is starting"))
        options = RecoveryOptions(tuple(databases), ignore_missing=ignore_missing, accept_lost_logs=accept_lost_logs)
        recovery = Recovery(files, parameters, now=now, random=random, on_event=on_event, options=options)
        try:
            instance._stream = await recovery.run()
        except JetError as error:
            on_event(EngineEvent(454, f"recovery failed: {error}", Severity.ERROR, error.path or ""))
            raise
        instance.recovery = recovery.report()
        instance._log = TransactionLog(instance._stream)
        instance._stream.hand_over(instance._owner())
        await make_reserve_logs(files, parameters.log_directory, parameters.base_name, parameters.log_file_size)
        await instance._stream.append(Init2(parameters.engine_parameters(), instance.log_time()).pack())
        await instance._stream.flush()
        instance.is_open = True
        instance._checkpoint = recovery.checkpoint
        await instance.write_checkpoint()
        on_event(EngineEvent(105, f"instance {parameters.base_name} has started"))
        return instance

    async def close(self) -> None:
        """Detach every database cleanly and stop; the logs end with Term2.

        Raises:
            JetError: what stopped the log before; the databases are dirty then, as after ``abandon``.
        """
        if not self.is_open:
            return
        for database in list(self.databases):
            await self.detach_database(database.path)
        async with self.writer:
            position = self._stream.position
            record = Terminate2(RecordType.TERM2, position, position, is_hard=False, time=self.log_time())
            await self._stream.append(record.pack())
            await self._stream.flush()
            await self.write_checkpoint()
            await self._guard.remove()
            self.is_open = False
            await self._stream.close()
        self.emit(EngineEvent(103, f"instance {self.parameters.base_name} has stopped", values=(("dirty", 0),)))

    def abandon(self) -> None:
        """End as a crash does: nothing is written. The instance cannot be used any more."""
        self.is_open = False
        for database in self.databases:
            database.is_attached = False

    def log_time(self) -> LogTime:
        """The wall clock as the logs write it."""
        return LogTime.of(self._now().replace(tzinfo=None))

    @property
    def stream(self) -> LogStream:
        """The log stream."""
        return self._stream

    @property
    def signature(self) -> Signature:
        """Identity of the log stream."""
        return self._stream.header.signature

    @property
    def generation(self) -> int:
        """The generation being written."""
        return self._stream.generation

    @property
    def checkpoint(self) -> LogPosition:
        """The checkpoint position that is in the checkpoint file."""
        return self._checkpoint.position

    def check_running(self) -> None:
        """Refuse work on an instance that is closed or down: ``InstanceUnavailable`` or what stopped the log."""
        if not self.is_open:
            raise JetError(JetCode.InstanceUnavailable, f"instance {self.parameters.base_name} is not open")
        if self._stream.error is not None:
            raise self._stream.error

    # -- databases -------------------------------------------------------------------------------------------------------------

    async def create_database(self, path: str, *, page_size: int | None = None) -> Database:
        """Create a database file with an empty catalog and attach it.

        Raises:
            JetError: ``DatabaseDuplicate`` where a file stands there that holds a database; ``PageSizeMismatch``;
                ``InvalidParameter`` where no slot is free.
        """
        self.check_running()
        if page_size is not None and page_size != self.parameters.page_size:
            detail = f"the instance has {self.parameters.page_size}-byte pages, asked for {page_size}"
            raise JetError(JetCode.PageSizeMismatch, detail, path=path)
        await self._check_new(path)
        async with self.writer:
            self.check_running()
            time = self.log_time()
            signature = Signature(self._random.getrandbits(32), time, self.parameters.computer_name)
            header = DatabaseHeader(
                signature=signature,
                page_size=self.parameters.page_size,
                objid_last=OBJID_LAST_SYSTEM,
                log_signature=self.signature,
            )
            dbid = self._free_dbid(path)
            file = await create_database_file(self.files, path, header, self._guard, self.emit, self.parameters.is_out_of_space)
            record = CreateDatabase(SESSION, dbid, signature, path, header.create_version, header.create_update)
            position = await self._stream.append(record.pack())
            await self._stream.flush()
            database = await self._attached(file, position, time, dbid)
        async with self.transaction():
            await create_database(database.pages)
        self.emit(EngineEvent(325, "a database was created", path=path))
        return database

    async def _check_new(self, path: str) -> None:
        """Refuse a path where a database stands; what an interrupted creation left behind is overwritten."""
        if not await self.files.exists(path):
            return
        if (await self.files.stat(path)).size_bytes:
            try:
                header = await read_database_header(self.files, path, ignore_events)
            except JetError as error:
                raise JetError(JetCode.DatabaseDuplicate, f"a file stands there: {error}", path=path) from error
            if header.state is not DatabaseState.JUST_CREATED:
                raise JetError(JetCode.DatabaseDuplicate, path=path)
        await self.files.remove(path)

    async def attach_database(self, path: str) -> Database:
        """Attach a database file. One that is dirty but belongs to this stream is brought forward from the logs first.

        Raises:
            JetError: ``FileNotFound``; ``DatabaseCorrupted``; ``PageSizeMismatch``; ``DatabaseInUse`` where it is attached;
                ``DatabaseSignInUse`` where a copy of it is; ``DatabaseDirtyShutdown`` where it is dirty and of another stream;
                what recovery refuses with.
        """
        self.check_running()
        header = await read_database_header(self.files, path, self.emit)
        self._check_attachable(path, header)
        async with self.writer:
            self.check_running()
            if not header.is_clean:
                await self._bring_forward(path, header)
            file = await open_database_file(self.files, path, self._guard, self.emit, self.parameters.is_out_of_space)
            dbid = self._free_dbid(path)
            is_known = file.header.log_signature == self.signature
            record = AttachDatabase(
                SESSION,
                dbid,
                file.header.signature,
                self.signature,
                file.header.consistent_position if is_known else NOWHERE,
                path,
            )
            position = await self._stream.append(record.pack())
            await self._stream.flush()
            database = await self._attached(file, position, self.log_time(), dbid)
        self.emit(EngineEvent(326, "a database was attached", path=path))
        return database

    def _check_attachable(self, path: str, header: DatabaseHeader) -> None:
        for database in self.databases:
            if is_same_path(database.path, path):
                raise JetError(JetCode.DatabaseInUse, "it is attached", path=path)
            if database.signature == header.signature:
                raise JetError(JetCode.DatabaseSignInUse, f"a copy of it is attached: {database.path}", path=path)
        if header.page_size != self.parameters.page_size:
            detail = f"expected {self.parameters.page_size}, found {header.page_size}"
            raise JetError(JetCode.PageSizeMismatch, detail, path=path)

    async def _bring_forward(self, path: str, header: DatabaseHeader) -> None:
        if header.full_current.generation_low and not header.full_current.generation_high:
            raise JetError(JetCode.SoftRecoveryOnBackupDatabase, path=path)
        if header.log_signature != self.signature or header.state is not DatabaseState.DIRTY_SHUTDOWN:
            detail = f"state {header.state}, logs of this stream cannot help"
            raise JetError(JetCode.DatabaseDirtyShutdown, detail, path=path)
        await self._stream.flush()
        self.recovery = await recover_database(
            self.files, self.parameters, path, self._stream, now=self._now, on_event=self.emit
        )

    async def _attached(self, file: DatabaseFile, position: LogPosition, time: LogTime, dbid: int) -> Database:
        created = self._stream.header.created
        await file.write_header(
            attached_header(file.header, position=position, time=time, dbid=dbid, log_signature=self.signature, created=created)
        )
        pages = BufferedPages(
            file,
            self._log,
            self.emit,
            dbid=dbid,
            page_count=file.page_count,
            dbtime=file.header.dbtime,
            objid_last=max(file.header.objid_last, OBJID_LAST_SYSTEM),
            cache_pages=self.parameters.cache_pages,
        )
        database = Database(pages)
        self.databases.append(database)
        return database

    async def detach_database(self, path: str) -> None:
        """Write everything of a database to its file and close it cleanly.

        Raises:
            JetError: ``DatabaseNotFound``; what writing raises.
        """
        self.check_running()
        async with self.writer:
            self.check_running()
            database = self._find(path)
            pages = database.pages
            await self._require_current_generation(database)
            await pages.write_behind()
            await pages.file.resize(pages.page_count)
            await pages.file.sync()
            position = await self._stream.append(DetachDatabase(SESSION, database.dbid, path).pack())
            await self._stream.flush()
            await pages.file.write_header(
                detached_header(
                    database.header, position=position, time=self.log_time(), dbtime=pages.dbtime, objid_last=pages.objid_last
                )
            )
            await pages.file.close()
            database.is_attached = False
            self.databases.remove(database)
        self.emit(EngineEvent(327, "a database was detached", path=path))

    async def _require_current_generation(self, database: Database) -> None:
        """Before pages of the newest generation are written, the header has to require it: the waypoint ends here."""
        await database.pages.file.change_header(
            generation_max_required=self.generation, generation_max_committed=self.generation
        )

    def _find(self, path: str) -> Database:
        for database in self.databases:
            if is_same_path(database.path, path):
                return database
        raise JetError(JetCode.DatabaseNotFound, "it is not attached", path=path)

    def _free_dbid(self, path: str) -> int:
        used = [database.dbid for database in self.databases]
        for dbid in range(1, DATABASES_MAX + 1):
            if dbid not in used:
                return dbid
        raise JetError(JetCode.InvalidParameter, f"{DATABASES_MAX} databases are attached", path=path)

    # -- transactions ----------------------------------------------------------------------------------------------------------

    def transaction(self) -> Transaction:
        """Return a transaction to be entered with ``async with``."""
        return Transaction(self)

    async def begin_transaction(self) -> int:
        """Take the writer's turn; used by ``Transaction``."""
        self.check_running()
        await self.writer.acquire()
        try:
            self.check_running()
            if self._low_space is not None:
                detail = f"reserve log {self._low_space} is in use: free space, then restart the instance"
                raise JetError(JetCode.LogDiskFull, detail, path=self.parameters.log_directory)
        except JetError:
            self.writer.release()
            raise
        self._transaction_number += 1
        self._writing = True
        self._log.open(self._transaction_number)
        for database in self.databases:
            database.pages.begin(SESSION, self._transaction_number)
        return self._transaction_number

    def is_transaction_broken(self) -> bool:
        """Whether the open transaction can only be rolled back."""
        return any(database.pages.is_broken for database in self.databases)

    async def commit_transaction(self, number: int) -> None:
        """Commit and wait until that is durable; used by ``Transaction``."""
        position: LogPosition | None = None
        try:
            if self._log.begun_at is not None:
                try:
                    self.check_running()
                    position = await self._stream.append(commit_record(number))
                except BaseException:
                    self._undo()
                    raise
            for database in self.databases:
                database.pages.commit()
        finally:
            self._end_transaction()
        if position is not None:
            await self._stream.flush(position)
            await self._keep_checkpoint_depth()

    async def rollback_transaction(self, number: int) -> None:
        """Undo the open transaction; used by ``Transaction``."""
        try:
            self._undo()
            if self._log.begun_at is not None and self.is_open and self._stream.error is None:
                await self._stream.append(rollback_record())
        finally:
            self._end_transaction()

    def _undo(self) -> None:
        for database in self.databases:
            database.pages.rollback()

    def _end_transaction(self) -> None:
        self._log.close()
        self._writing = False
        self.writer.release()

    # -- checkpoint ------------------------------------------------------------------------------------------------------------

    def oldest_needed(self) -> LogPosition:
        """Where recovery would start: oldest change that is in no file, begin of the open transaction, or end of the log."""
        positions = [self._stream.position]
        if self._log.begun_at is not None:
            positions.append(self._log.begun_at)
        for database in self.databases:
            oldest = database.pages.oldest_change()
            if oldest is not None:
                positions.append(oldest)
        return min(positions)

    def _distance(self, first: LogPosition, last: LogPosition) -> int:
        """Bytes of log from ``first`` to ``last``."""
        return (last.generation - first.generation) * self.parameters.log_file_size + offset_of(last) - offset_of(first)

    async def _keep_checkpoint_depth(self) -> None:
        """Write pages and move the checkpoint where too much log would have to be replayed; else the next commit sees to it."""
        depth = self._distance(self._checkpoint.position, self._stream.position)
        dirty = max((database.pages.dirty_count for database in self.databases), default=0)
        if self.writer.locked() or (depth <= self.parameters.checkpoint_depth and dirty <= self.parameters.cache_pages):
            return
        async with self.writer:
            self.check_running()
            # Half the depth at once: a page that changes all the time is then written once per half depth, not per commit.
            keep = self.parameters.checkpoint_depth // 2 if dirty <= self.parameters.cache_pages else 0
            await self.write_behind(keep)

    async def write_behind(self, keep_bytes: int = 0) -> None:
        """Write pages whose oldest change is more than ``keep_bytes`` of log ago; move the checkpoint. Call as the writer."""
        limit = self._position_before(keep_bytes)
        waypoint = self.waypoint
        for database in self.databases:
            pages = database.pages
            await pages.file.change_header(dbtime=pages.dbtime, objid_last=pages.objid_last)
            await pages.write_behind(limit, waypoint)
        await self.write_checkpoint()

    @property
    def waypoint(self) -> int:
        """Newest generation whose changes may be in a database file."""
        return max(1, self.generation - self.parameters.waypoint_generations)

    def _position_before(self, distance: int) -> LogPosition | None:
        if not distance:
            return None
        position = self._stream.position
        generations, rest = divmod(distance, self.parameters.log_file_size)
        sector = position.sector - rest // SECTOR_SIZE
        generation = position.generation - generations
        if sector < 0:
            generation, sector = generation - 1, sector + self.parameters.log_file_size // SECTOR_SIZE
        return LogPosition(max(0, generation), sector if generation > 0 else 0, 0)

    async def write_checkpoint(self) -> None:
        """Write all headers, then the checkpoint file. Call as the writer, with the pages it speaks of durable."""
        position = self.oldest_needed()
        for database in self.databases:
            pages = database.pages
            header = database.header
            lowest = max(header.generation_min_required, header.attach_position.generation, position.generation)
            fixes = header.ecc_fix_success
            if pages.ecc_fixes:
                fixes = replace(fixes, count=fixes.count + pages.ecc_fixes, time=self.log_time())
                pages.ecc_fixes = 0
            await pages.file.change_header(
                generation_min_required=lowest, dbtime=pages.dbtime, objid_last=pages.objid_last, ecc_fix_success=fixes
            )
        self._checkpoint = replace(
            self._checkpoint,
            position=position,
            signature=self.signature,
            parameters=self.parameters.engine_parameters(),
            attachments=self._attachments(),
        )
        await write_checkpoint(self.files, self.parameters.checkpoint_path, self._checkpoint)
        await self._remove_circular_logs()

    async def note_backup(self, **changes: LogPosition | LogTime) -> None:
        """Put backup positions into the checkpoint file."""
        self._checkpoint = replace(self._checkpoint, **changes)  # type: ignore[arg-type] # names are checked by the dataclass
        await write_checkpoint(self.files, self.parameters.checkpoint_path, self._checkpoint)

    async def _remove_circular_logs(self) -> None:
        if not self.parameters.circular or self.snapshot.holds_logs:
            return
        logs = await list_logs(self.files, self.parameters.log_directory, self.parameters.base_name)
        for generation, path in logs.archived.items():
            if generation < self._checkpoint.position.generation:
                await self.files.remove(path)

    # -- what the stream asks --------------------------------------------------------------------------------------------------

    def _owner(self) -> StreamOwner:
        return StreamOwner(
            now=self.log_time,
            attachments=self._attachments,
            checkpoint=lambda: self._checkpoint.position,
            on_new_generation=self._new_generation,
            is_out_of_space=self.parameters.is_out_of_space,
            on_low_space=self._out_of_log_space,
        )

    def _attachments(self) -> tuple[Attachment, ...]:
        return tuple(
            attachment_of(database.header, database.path, dbtime=database.pages.dbtime, objid_last=database.pages.objid_last)
            for database in self.databases
        )

    async def _new_generation(self, header: LogHeader) -> None:
        if self.snapshot.defers_headers:
            self._headers_wait = True
            return
        await self.name_generation(header)

    async def name_generation(self, header: LogHeader) -> None:
        """Write into all headers that generation ``header`` exists."""
        self._headers_wait = False
        for database in self.databases:
            await database.pages.file.change_header(
                generation_max_committed=header.generation,
                generation_max_create_time=header.created,
                generation_max_required=max(database.header.generation_max_required, self.waypoint),
            )

    async def write_waiting_headers(self) -> None:
        """Do what a freeze put off."""
        if self._headers_wait:
            await self.name_generation(self._stream.header)

    def _out_of_log_space(self, reserve: str) -> None:
        self._low_space = reserve
        self.emit(EngineEvent(428, "the log disk is nearly full, a reserve log is in use", Severity.WARNING, reserve))
