"""Redo: applying logged changes of committed transactions to database files, page by page, by dbtime.

A page whose dbtime is the record's *before* lacks the change and gets it; one at or above the record's dbtime has it. In
between or below, writes were lost or the page is from elsewhere: −567, −566. Because of that rule the same log may be applied
again and again, to a file of any age between the first record and the last.

Which records concern a file follows from its header. A dirty file takes part from its attach position on, a clean one from the
first attach behind its consistent position; before that the records are older than the file. A database that is missing, or is
another one, is only a problem if the logs leave it attached at their end.

Sources: published engine, logredo.cxx (ErrLGRIRedoOperations, FLGRICheckRedoScenario, attach comparison).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vss_writers.ese.attached_database import attached_header, detached_header
from vss_writers.ese.database_file import DatabaseFile, create_database_file, open_database_file
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem, is_same_path
from vss_writers.ese.header import DatabaseHeader, LogPosition, LogTime, Signature
from vss_writers.ese.layout import OBJID_LAST_SYSTEM, DatabaseState
from vss_writers.ese.log_file import NOWHERE, Attachment
from vss_writers.ese.log_records import (
    AttachDatabase,
    Begin0,
    Commit0,
    CreateDatabase,
    DetachDatabase,
    ExtendDatabase,
    LogRecord,
    PageChange,
    RecoveryUndo2,
    Rollback,
)
from vss_writers.ese.page import Page
from vss_writers.ese.page_guard import PageGuard
from vss_writers.ese.page_operation import Format, Image, apply


@dataclass(frozen=True, slots=True)
class RedoScope:
    """What redo works on.

    Attributes:
        signature: identity of the log stream.
        generation_first: first generation that is replayed.
        logs_end: position behind the last record on disk.
        page_size: page size of the stream's databases.
        paths: where databases are that do not stand where the logs say.
        only: the one database to bring forward, or None for all.
        accept_lost_logs: whether missing committed generations are accepted.
        cache_pages: changed pages kept in memory before they are written.
    """

    signature: Signature
    generation_first: int
    logs_end: LogPosition
    page_size: int
    paths: dict[Signature, str] = field(default_factory=dict)
    only: Signature | None = None
    accept_lost_logs: bool = False
    cache_pages: int = 4096

    @property
    def generation_last(self) -> int:
        """Last generation on disk."""
        return self.logs_end.generation


@dataclass(slots=True)
class RedoCounts:
    """What redo did."""

    records_redone: int = 0
    records_skipped: int = 0
    transactions_redone: int = 0
    transactions_undone: int = 0


class RedoDatabase:
    """One database during redo."""

    def __init__(self, path: str, signature: Signature) -> None:
        self.path = path
        self.signature = signature
        self.dbid = 0
        self.file: DatabaseFile | None = None
        self.is_active = False
        self.problem: JetError | None = None
        self.dbtime = 0
        self.objid_last = OBJID_LAST_SYSTEM
        self.page_count = 0
        self.has_seen_growth = False
        self.pages: dict[int, Page] = {}

    @property
    def header(self) -> DatabaseHeader:
        """The header; the file has to be open."""
        assert self.file is not None, f"database is not open: {self.path}"
        return self.file.header


class Redo:
    """One pass over the logs. Feed it records in order, then ``finish``."""

    def __init__(
        self,
        files: FileSystem,
        guard: PageGuard,
        scope: RedoScope,
        *,
        now: Callable[[], LogTime],
        on_event: EventSink,
        is_out_of_space: Callable[[BaseException], bool],
    ) -> None:
        self._files = files
        self._guard = guard
        self._scope = scope
        self._now = now
        self._on_event = on_event
        self._is_out_of_space = is_out_of_space
        self._known: dict[Signature, RedoDatabase] = {}
        self._by_dbid: dict[int, RedoDatabase] = {}
        self._pending: list[tuple[LogPosition, PageChange | ExtendDatabase]] | None = None
        self.counts = RedoCounts()

    # -- records ---------------------------------------------------------------------------------------------------------------

    async def begin(self, attachments: Iterable[Attachment]) -> None:
        """Take over the databases that were attached when the first log began."""
        for attachment in attachments:
            database = await self._refer(attachment.dbid, attachment.path, attachment.signature)
            if database is not None and database.problem is None:
                self._start_attached(database, attachment.attach_position)

    async def record(self, position: LogPosition, record: LogRecord) -> None:
        """Take the next record.

        Raises:
            JetError: ``DbTimeTooOld``, ``DbTimeTooNew`` (event 516); ``ReadVerifyFailure``; what reading or writing raises.
        """
        match record:
            case PageChange():
                self._note_change(record)
                self._keep(position, record)
            case Begin0():
                self._drop_open_transaction()
                self._pending = []
            case Commit0():
                await self._commit()
            case ExtendDatabase():
                self._note_growth(record)
                self._keep(position, record)
            case Rollback() | RecoveryUndo2():
                self._drop_open_transaction()
            case CreateDatabase():
                await self._create(position, record)
            case AttachDatabase():
                await self._attach(position, record)
            case DetachDatabase():
                await self._detach(position, record)
            case _:
                pass

    def end_of_logs(self) -> None:
        """No record follows: the open transaction, if any, is undone, which means that it is not redone."""
        self._drop_open_transaction()

    def attached(self) -> list[RedoDatabase]:
        """Databases that the logs leave attached, in order of their slots."""
        return [self._by_dbid[dbid] for dbid in sorted(self._by_dbid)]

    def find(self, signature: Signature) -> RedoDatabase | None:
        """The database with this signature, if the logs mentioned it."""
        return self._known.get(signature)

    async def flush(self, database: RedoDatabase) -> None:
        """Write all changed pages of a database and make them durable."""
        assert database.file is not None, f"database is not open: {database.path}"
        numbers = sorted(number for number, page in database.pages.items() if page.dbtime)
        for start in range(0, len(numbers), _WRITE_BATCH):
            batch = numbers[start : start + _WRITE_BATCH]
            pages = [(number, database.pages[number].sealed()) for number in batch]
            await database.file.write_pages(pages, self._scope.logs_end)
        database.pages.clear()

    async def close_cleanly(self, database: RedoDatabase, position: LogPosition) -> None:
        """Write everything and mark the file clean as of ``position``."""
        assert database.file is not None, f"database is not open: {database.path}"
        await self.flush(database)
        await database.file.resize(database.page_count)
        await database.file.sync()
        header = detached_header(
            database.header, position=position, time=self._now(), dbtime=database.dbtime, objid_last=database.objid_last
        )
        await database.file.write_header(header)
        database.is_active = False

    async def release(self) -> None:
        """Close all files."""
        for database in self._known.values():
            if database.file is not None:
                await database.file.close()

    # -- transactions ----------------------------------------------------------------------------------------------------------

    def _keep(self, position: LogPosition, record: PageChange | ExtendDatabase) -> None:
        if self._pending is not None:
            self._pending.append((position, record))
        else:
            # Its transaction began before the first log: then it was over before the checkpoint, and the file has the change.
            self.counts.records_skipped += 1

    async def _commit(self) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        self.counts.transactions_redone += 1
        for position, record in pending:
            if isinstance(record, PageChange):
                await self._redo(position, record)
            else:
                self._grow(record)

    def _drop_open_transaction(self) -> None:
        if self._pending:
            self.counts.transactions_undone += 1
        self._pending = None

    async def _redo(self, position: LogPosition, change: PageChange) -> None:
        database = self._by_dbid.get(change.dbid)
        if database is None or not database.is_active:
            self.counts.records_skipped += 1
            return
        operation = change.operation
        page = database.pages.get(operation.page_number)
        if page is None:
            page = await self._read(database, change)
        dbtime = page.dbtime
        if dbtime >= change.dbtime:
            self.counts.records_skipped += 1
            return
        if dbtime != change.dbtime_before:
            raise self._wrong_dbtime(database, position, change, dbtime)
        apply(page, operation)
        page.dbtime = change.dbtime
        database.pages[operation.page_number] = page
        self.counts.records_redone += 1
        if len(database.pages) > self._scope.cache_pages:
            await self.flush(database)

    async def _read(self, database: RedoDatabase, change: PageChange) -> Page:
        assert database.file is not None, f"database is not open: {database.path}"
        number = change.operation.page_number
        try:
            data, _ = await database.file.read_page(number)
        except JetError as error:
            if error.code is not JetCode.ReadVerifyFailure or not isinstance(change.operation, Format | Image):
                raise
            # The record brings the whole page, so its old content does not matter.
            page = Page.blank(database.file.page_size, number)
            page.dbtime = change.dbtime_before
            return page
        return Page(bytearray(data), number)

    def _wrong_dbtime(self, database: RedoDatabase, position: LogPosition, change: PageChange, found: int) -> JetError:
        number = change.operation.page_number
        code = JetCode.DbTimeTooOld if found < change.dbtime_before else JetCode.DbTimeTooNew
        values = (("page", number), ("found", found), ("before", change.dbtime_before), ("after", change.dbtime))
        self._on_event(
            EngineEvent(516, f"dbtime of a page does not match the log at {position}", Severity.ERROR, database.path, values)
        )
        detail = f"record at {position} takes dbtime {change.dbtime_before} to {change.dbtime}, found {found}"
        return JetError(code, detail, path=database.path, page_number=number)

    # -- numbers that only the log knows ---------------------------------------------------------------------------------------

    def _note_change(self, change: PageChange) -> None:
        database = self._by_dbid.get(change.dbid)
        if database is not None:
            # Also of transactions that are not redone: a dbtime or object id is never used twice.
            database.dbtime = max(database.dbtime, change.dbtime)
            if isinstance(change.operation, Format):
                database.objid_last = max(database.objid_last, change.operation.objid)

    def _note_growth(self, record: ExtendDatabase) -> None:
        """The first growth tells how long the committed file was before it; pages beyond may stem from an undone one."""
        database = self._by_dbid.get(record.dbid)
        if database is not None and database.is_active and not database.has_seen_growth:
            database.has_seen_growth = True
            database.page_count = record.first_page - 1

    def _grow(self, record: ExtendDatabase) -> None:
        database = self._by_dbid.get(record.dbid)
        if database is not None and database.is_active:
            database.page_count = record.last_page

    # -- attach and detach -----------------------------------------------------------------------------------------------------

    async def _create(self, position: LogPosition, record: CreateDatabase) -> None:
        database = await self._refer(record.dbid, record.path, record.signature, created=True)
        if database is not None and database.problem is None and not database.is_active:
            header = database.header
            if header.state is DatabaseState.JUST_CREATED:
                await self._activate(database, position, NOWHERE)
            else:
                self._start_attached(database, position)

    async def _attach(self, position: LogPosition, record: AttachDatabase) -> None:
        database = await self._refer(record.dbid, record.path, record.signature)
        if database is None or database.problem is not None:
            return
        header = database.header
        is_dirty = header.state is DatabaseState.DIRTY_SHUTDOWN
        if database.is_active:
            await self._activate(database, position, record.consistent_position)
        elif is_dirty or self._consistent(header) > position:
            self._start_attached(database, position)
        elif self._consistent(header) == record.consistent_position:
            await self._activate(database, position, record.consistent_position)
        else:
            database.problem = self._not_consistent(database, record.consistent_position, self._consistent(header))

    async def _detach(self, position: LogPosition, record: DetachDatabase) -> None:
        database = self._by_dbid.pop(record.dbid, None)
        if database is not None and database.is_active:
            await self.close_cleanly(database, position)

    def _consistent(self, header: DatabaseHeader) -> LogPosition:
        """The consistent position as far as this stream is concerned."""
        return header.consistent_position if header.log_signature == self._scope.signature else NOWHERE

    def _start_attached(self, database: RedoDatabase, position: LogPosition) -> None:
        """The logs say the database was attached at ``position``; see whether its file is that far or farther."""
        header = database.header
        if header.state is DatabaseState.DIRTY_SHUTDOWN:
            if header.attach_position == position:
                database.is_active = True
            elif header.attach_position < position:
                database.problem = self._not_consistent(database, position, header.attach_position)
        elif self._consistent(header) < position:
            database.problem = self._not_consistent(database, position, self._consistent(header))

    async def _activate(self, database: RedoDatabase, position: LogPosition, consistent: LogPosition) -> None:
        """Do what an attach at ``position`` does to the header."""
        assert database.file is not None, f"database is not open: {database.path}"
        await self.flush(database)
        header = attached_header(
            database.header,
            position=position,
            time=self._now(),
            dbid=database.dbid,
            log_signature=self._scope.signature,
            created=database.header.generation_max_create_time,
        )
        await database.file.write_header(header)
        database.is_active = True
        await self._require_all_logs(database)

    async def _require_all_logs(self, database: RedoDatabase) -> None:
        """Before pages are written, the header has to require every generation they may get changes from."""
        assert database.file is not None, f"database is not open: {database.path}"
        last = self._scope.generation_last
        header = database.header
        await database.file.change_header(
            generation_max_required=max(header.generation_max_required, last),
            generation_max_committed=max(header.generation_max_committed, last),
        )

    def _not_consistent(self, database: RedoDatabase, expected: LogPosition, found: LogPosition) -> JetError:
        values = (("expected", str(expected)), ("found", str(found)))
        text = "a database is not at the position the logs expect"
        self._on_event(EngineEvent(495, text, Severity.ERROR, database.path, values))
        return JetError(JetCode.ConsistentTimeMismatch, f"expected {expected}, found {found}", path=database.path)

    # -- opening files ---------------------------------------------------------------------------------------------------------

    async def _refer(self, dbid: int, path: str, signature: Signature, *, created: bool = False) -> RedoDatabase | None:
        """Note that slot ``dbid`` means this database from here on; open its file at the first mention."""
        if self._scope.only is not None and signature != self._scope.only:
            self._by_dbid.pop(dbid, None)
            return None
        database = self._known.get(signature)
        if database is None:
            database = self._known[signature] = RedoDatabase(self._scope.paths.get(signature, path), signature)
            if not is_same_path(database.path, path):
                text = f"a database has moved from {path}"
                self._on_event(EngineEvent(216, text, path=database.path, values=(("from", path), ("to", database.path))))
            try:
                await self._open(database, created=created)
            except JetError as error:
                database.problem = error
        for other in [other for other, known in self._by_dbid.items() if known is database and other != dbid]:
            del self._by_dbid[other]
        database.dbid = dbid
        self._by_dbid[dbid] = database
        return database

    async def _open(self, database: RedoDatabase, *, created: bool) -> None:
        path = database.path
        exists = await self._files.exists(path)
        if not exists and not created:
            text = "a database that the logs refer to is missing"
            self._on_event(EngineEvent(494, text, Severity.ERROR, path))
            raise JetError(JetCode.AttachedDatabaseMismatch, "file is missing", path=path)
        if not exists or (created and (await self._files.stat(path)).size_bytes == 0):
            header = DatabaseHeader(
                signature=database.signature,
                page_size=self._scope.page_size,
                objid_last=OBJID_LAST_SYSTEM,
                log_signature=self._scope.signature,
            )
            database.file = await create_database_file(
                self._files, path, header, self._guard, self._on_event, self._is_out_of_space
            )
        else:
            database.file = await open_database_file(self._files, path, self._guard, self._on_event, self._is_out_of_space)
        self._check_header(database)
        await self._mend_torn_pages(database)
        header = database.file.header
        database.dbtime = max(database.dbtime, header.dbtime)
        database.objid_last = max(database.objid_last, header.objid_last)
        database.page_count = database.file.page_count
        if header.state is DatabaseState.DIRTY_SHUTDOWN:
            await self._require_all_logs(database)

    def _check_header(self, database: RedoDatabase) -> None:
        header = database.header
        if header.signature != database.signature:
            text = "another database stands where the logs expect one"
            self._on_event(EngineEvent(494, text, Severity.ERROR, database.path))
            detail = f"signature expected {database.signature.random}, found {header.signature.random}"
            raise JetError(JetCode.AttachedDatabaseMismatch, detail, path=database.path)
        check_required_logs(
            header,
            database.path,
            self._scope.signature,
            self._scope.generation_first,
            self._scope.generation_last,
            self._on_event,
            accept_lost_logs=self._scope.accept_lost_logs,
        )

    async def _mend_torn_pages(self, database: RedoDatabase) -> None:
        """Put whole images from the guard in place of pages whose write may be torn."""
        assert database.file is not None, f"database is not open: {database.path}"
        guarded = await self._guard.read()
        if guarded is None or guarded.signature != database.signature or guarded.page_size != database.file.page_size:
            return
        if guarded.position > self._scope.logs_end:
            return
        for number in await database.file.mend(guarded):
            text = "a page was put back from the page guard"
            self._on_event(EngineEvent(_MENDED, text, path=database.path, values=(("page", number),)))


_MENDED = 399
"""No event of the vendor's fits; the one for a corrected page comes nearest."""
_WRITE_BATCH = 256


def check_required_logs(
    header: DatabaseHeader,
    path: str,
    signature: Signature,
    generation_first: int,
    generation_last: int,
    on_event: EventSink,
    *,
    accept_lost_logs: bool,
) -> None:
    """Refuse a dirty database for which logs are missing.

    Raises:
        JetError: ``SoftRecoveryOnBackupDatabase``; ``BadLogSignature`` for one of another stream (event 517);
            ``RequiredLogFilesMissing`` (events 452, 453); ``CommittedLogFilesMissing`` (event 523) unless accepted (524).
    """
    if header.full_current.generation_low and not header.full_current.generation_high:
        raise JetError(JetCode.SoftRecoveryOnBackupDatabase, path=path)
    if header.state is not DatabaseState.DIRTY_SHUTDOWN:
        return
    if header.log_signature != signature:
        on_event(EngineEvent(517, "a database does not belong to this set of logs", Severity.ERROR, path))
        raise JetError(JetCode.BadLogSignature, "the database belongs to another log stream", path=path)
    needed = (header.generation_min_required, header.generation_max_required)
    values = (
        ("required_first", needed[0]),
        ("required_last", needed[1]),
        ("first", generation_first),
        ("last", generation_last),
    )
    wanted = f"generations {needed[0]:#x} to {needed[1]:#x} required, found {generation_first:#x} to {generation_last:#x}"
    if needed[0] < generation_first or needed[1] > generation_last:
        event_id = 452 if needed[0] < generation_first else 453
        on_event(EngineEvent(event_id, "log files required for recovery are missing", Severity.ERROR, path, values))
        raise JetError(JetCode.RequiredLogFilesMissing, wanted, path=path)
    if header.generation_max_committed > generation_last:
        if not accept_lost_logs:
            on_event(EngineEvent(523, "committed log files are missing", Severity.ERROR, path, values))
            detail = f"committed up to {header.generation_max_committed:#x}, logs end at {generation_last:#x}"
            raise JetError(JetCode.CommittedLogFilesMissing, detail, path=path)
        on_event(EngineEvent(524, "committed log files are missing; their loss was accepted", Severity.WARNING, path, values))
