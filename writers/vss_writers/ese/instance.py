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

import random as random_module
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from vss_writers.ese.attached_database import Database, attached_header, detached_header
from vss_writers.ese.buffer import BufferedPages
from vss_writers.ese.checkpointing import Checkpointer
from vss_writers.ese.database_file import (
    DatabaseFile,
    create_database_file,
    open_database_file,
    read_database_header,
)
from vss_writers.ese.database_format import create_database
from vss_writers.ese.database_recovery import recover_database
from vss_writers.ese.database_slots import check_attachable, check_new_path, find_database, free_slot
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import NOWHERE, LogPosition, LogTime, Signature
from vss_writers.ese.latch import Latch
from vss_writers.ese.layout import OBJID_LAST_SYSTEM, DatabaseState
from vss_writers.ese.log_file import LogHeader
from vss_writers.ese.log_preparation import StreamOwner, make_reserve_logs, report_halt, report_last_generations
from vss_writers.ese.log_record_type import RecordType
from vss_writers.ese.log_records import AttachDatabase, CreateDatabase, DetachDatabase, Init2, Terminate2
from vss_writers.ese.log_stream import LogStream
from vss_writers.ese.page_cleaning import write_idle
from vss_writers.ese.page_guard import PageGuard
from vss_writers.ese.page_writes import PageWrites
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.recovery import Recovery
from vss_writers.ese.recovery_report import RecoveryOptions, RecoveryReport
from vss_writers.ese.shielding import uninterrupted
from vss_writers.ese.snapshot import Snapshots
from vss_writers.ese.streaming import StreamingBackups
from vss_writers.ese.transaction import SESSION, Transaction, TransactionLog


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
        self.writer = Latch()
        self.snapshot = Snapshots(self)
        self.backup = StreamingBackups(self)
        self.recovery: RecoveryReport | None = None
        self.page_writes = PageWrites()
        self._now = now
        self._random = random
        self.emit = on_event
        self._guard = PageGuard(files, parameters.guard_path)
        self._transaction_number = 0
        self._low_space: str | None = None
        self._stream: LogStream
        self.log: TransactionLog
        self.checkpointer: Checkpointer

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
        instance.log = TransactionLog(instance._stream)
        instance.checkpointer = Checkpointer(
            files,
            parameters,
            instance._stream,
            instance.log,
            instance.databases,
            recovery.checkpoint,
            now=instance.log_time,
            on_event=on_event,
            holds_logs=lambda: instance.snapshot.holds_logs or instance.backup.is_running,
        )
        instance._stream.hand_over(instance._owner())
        directory, size = parameters.log_directory, parameters.log_file_size
        await make_reserve_logs(files, directory, parameters.base_name, size, parameters.profile)
        await instance._stream.append(Init2(parameters.engine_parameters(), instance.log_time()).pack())
        await instance._stream.flush()
        instance.is_open = True
        await instance.checkpointer.write()
        on_event(EngineEvent(105, f"instance {parameters.base_name} has started"))
        return instance

    async def close(self) -> None:
        """Detach every database cleanly and stop; the logs end with Term2.

        Raises:
            JetError: what stopped the log before; the databases are dirty then, as after ``abandon``.
        """
        if not self.is_open:
            return
        self.backup.stop()
        for database in list(self.databases):
            await self.detach_database(database.path)
        async with self.writer:
            position = self._stream.position
            record = Terminate2(RecordType.TERM2, position, position, is_hard=False, time=self.log_time())
            await self._stream.append(record.pack())
            await self._stream.flush()
            await self.checkpointer.write()
            await self._guard.remove()
            self.is_open = False
            await self._stream.close()
        self.emit(EngineEvent(103, f"instance {self.parameters.base_name} has stopped", values=(("dirty", 0),)))

    def abandon(self) -> None:
        """End as a crash does: nothing is written. The instance cannot be used any more."""
        self.backup.stop()
        self.is_open = False
        error = JetError(JetCode.InstanceUnavailable, f"instance {self.parameters.base_name} was abandoned")
        self._stream.give_up(error)
        self.writer.give_up(error)
        for database in self.databases:
            database.give_up(error)

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
        return self.checkpointer.position

    def check_running(self) -> None:
        """Refuse work on an instance that is closed or down: ``InstanceUnavailable``, −1092, or what stopped the log."""
        if not self.is_open:
            raise JetError(JetCode.InstanceUnavailable, f"instance {self.parameters.base_name} is not open")
        error = self._stream.error
        if error is not None and error.code is JetCode.LogDiskFull:
            raise JetError(JetCode.InstanceUnavailableDueToFatalLogDiskFull, error.detail, path=error.path) from error
        if error is not None:
            raise error

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
        await check_new_path(self.files, path, self.parameters.page_size)
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
            dbid = free_slot(self.databases, path)
            file = await create_database_file(
                self.files, path, header, self._guard, self.emit, self.parameters.is_out_of_space, self.parameters.at_site
            )
            record = CreateDatabase(SESSION, dbid, signature, path, header.create_version, header.create_update)
            position = await self._stream.append(record.pack())
            await self._stream.flush()
            database = await self._attached(file, position, time, dbid)
        try:
            async with self.transaction():
                await create_database(database.pages)
        except JetError:
            if self._stream.error is None:
                await self.detach_database(path)  # a file without pages stays; the next creation overwrites it
            raise
        self.emit(EngineEvent(325, "a database was created", path=path))
        return database

    async def attach_database(self, path: str) -> Database:
        """Attach a database file. One that is dirty but belongs to this stream is brought forward from the logs first.

        Raises:
            JetError: ``FileNotFound``; ``DatabaseCorrupted``; ``PageSizeMismatch``; ``DatabaseInUse`` where it is attached;
                ``DatabaseSignInUse`` where a copy of it is; ``DatabaseDirtyShutdown`` where it is dirty and of another stream;
                what recovery refuses with.
        """
        self.check_running()
        header = await read_database_header(self.files, path, self.emit)
        if header.full_current:
            text = "a database from a backup set cannot be attached before hard recovery"
            self.emit(EngineEvent(619, text, Severity.ERROR, path))
            raise JetError(JetCode.SoftRecoveryOnBackupDatabase, path=path)
        check_attachable(self.databases, path, header, self.parameters.page_size)
        async with self.writer:
            self.check_running()
            if not header.is_clean:
                await self._bring_forward(path, header)
            file = await open_database_file(
                self.files, path, self._guard, self.emit, self.parameters.is_out_of_space, self.parameters.at_site
            )
            dbid = free_slot(self.databases, path)
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

    async def _bring_forward(self, path: str, header: DatabaseHeader) -> None:
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
            self.log,
            self.emit,
            dbid=dbid,
            page_count=file.page_count,
            dbtime=file.header.dbtime,
            objid_last=max(file.header.objid_last, OBJID_LAST_SYSTEM),
            cache_pages=self.parameters.cache_pages,
            writes=self.page_writes,
        )
        database = Database(pages)
        self.databases.append(database)
        await self.checkpointer.write()  # the checkpoint file names what is attached
        return database

    async def detach_database(self, path: str) -> None:
        """Write everything of a database to its file and close it cleanly.

        Raises:
            JetError: ``DatabaseNotFound``; what writing raises.
        """
        await uninterrupted(self._detach(path))
        self.emit(EngineEvent(327, "a database was detached", path=path))

    async def _detach(self, path: str) -> None:
        self.check_running()
        async with self.writer:
            self.check_running()
            database = find_database(self.databases, path)
            if self.backup.holds(path):
                raise JetError(JetCode.BackupInProgress, "it is being copied", path=path)
            pages = database.pages
            await self.checkpointer.write_everything(database)
            position = await self._stream.append(DetachDatabase(SESSION, database.dbid, path).pack())
            await self._stream.flush()
            # From here on no record may concern it, even if its header cannot be written: recovery does that then.
            database.is_attached = False
            self.databases.remove(database)
            header = detached_header(
                database.header, position=position, time=self.log_time(), dbtime=pages.dbtime, objid_last=pages.objid_last
            )
            await pages.file.write_header(header)
            await pages.file.close()

    # -- transactions ----------------------------------------------------------------------------------------------------------

    def transaction(self) -> Transaction:
        """Return a transaction to be entered with ``async with``."""
        return Transaction(self)

    def check_writable(self) -> None:
        """Refuse a transaction where it could not be logged: as ``check_running``, and ``LogDiskFull`` on the last reserve."""
        self.check_running()
        if self._low_space is not None:
            detail = f"reserve log {self._low_space} is in use: free space, then restart the instance"
            raise JetError(JetCode.LogDiskFull, detail, path=self.parameters.log_directory)

    async def idle(self) -> int:
        """Nothing else is to be done: write some changed pages, and return how many; see ``page_cleaning.write_idle``."""
        return await write_idle(self)

    def next_transaction_number(self) -> int:
        """Number of a new transaction."""
        self._transaction_number += 1
        return self._transaction_number

    # -- what the stream asks --------------------------------------------------------------------------------------------------

    def _owner(self) -> StreamOwner:
        return StreamOwner(
            now=self.log_time,
            attachments=self.checkpointer.attachments,
            checkpoint=lambda: self.checkpoint,
            on_new_generation=self._new_generation,
            is_out_of_space=self.parameters.is_out_of_space,
            on_low_space=self._out_of_log_space,
            at_site=self.parameters.at_site,
            on_halt=partial(report_halt, self.emit, self.parameters.log_directory),
        )

    async def _new_generation(self, header: LogHeader) -> None:
        report_last_generations(self.emit, self.parameters.profile, self.parameters.log_directory, header.generation)
        await self.checkpointer.name_generation(header, wait=self.snapshot.defers_headers)

    def _out_of_log_space(self, reserve: str) -> None:
        self._low_space = reserve
        self.emit(EngineEvent(428, "the log disk is nearly full, a reserve log is in use", Severity.WARNING, reserve))
