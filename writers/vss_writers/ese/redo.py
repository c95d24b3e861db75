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
from dataclasses import dataclass

from vss_writers.ese.attached_database import attached_header, detached_header
from vss_writers.ese.checksum_batch import sealed_pages
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem, is_same_path
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import NOWHERE, LogPosition, LogTime, Signature
from vss_writers.ese.layout import DatabaseState
from vss_writers.ese.log_file import Attachment
from vss_writers.ese.log_page_change import PageChange
from vss_writers.ese.log_reader import LoadedLog, position_at
from vss_writers.ese.log_records import (
    AttachDatabase,
    Begin0,
    Commit0,
    CreateDatabase,
    DetachDatabase,
    ExtendDatabase,
    LogRecord,
    RecoveryUndo2,
    Rollback,
)
from vss_writers.ese.page import Page
from vss_writers.ese.page_guard import PageGuard
from vss_writers.ese.page_operation import Format, Image, apply
from vss_writers.ese.redo_database import RedoDatabase, RedoFiles, RedoScope
from vss_writers.ese.sites import AtSite, just_do


@dataclass(slots=True)
class RedoCounts:
    """What redo did."""

    records_redone: int = 0
    records_skipped: int = 0
    transactions_redone: int = 0
    transactions_undone: int = 0


class Redo:
    """One pass over the logs. ``begin`` it, feed it log by log with ``replay``, then tell it the ``end_of_logs``."""

    def __init__(
        self,
        files: FileSystem,
        guard: PageGuard,
        scope: RedoScope,
        *,
        now: Callable[[], LogTime],
        on_event: EventSink,
        is_out_of_space: Callable[[BaseException], bool],
        at_site: AtSite = just_do,
    ) -> None:
        self._files = RedoFiles(files, guard, scope, on_event, is_out_of_space, at_site)
        self._scope = scope
        self._now = now
        self._on_event = on_event
        self._known: dict[Signature, RedoDatabase] = {}
        self._by_dbid: dict[int, RedoDatabase] = {}
        self._pending: list[PageChange | ExtendDatabase] | None = None
        """Changes of the open transaction; None where none is open."""
        self._places: list[int] = []
        """Where their records are: generation and offset in one number, because a tuple for each would cost as much as it."""
        self.counts = RedoCounts()

    # -- records ---------------------------------------------------------------------------------------------------------------

    async def begin(self, attachments: Iterable[Attachment]) -> None:
        """Take over the databases that were attached when the first log began."""
        for attachment in attachments:
            database = await self._refer(attachment.dbid, attachment.path, attachment.signature)
            if database is not None and database.problem is None:
                self._start_attached(database, attachment.attach_position)

    async def replay(self, log: LoadedLog) -> None:
        """Take the records of the next log.

        Raises:
            JetError: ``DbTimeTooOld``, ``DbTimeTooNew`` (event 516); ``ReadVerifyFailure``; what reading or writing raises.
        """
        place = log.header.generation << _OFFSET_BITS
        for offset, record in zip(log.offsets, log.contents, strict=True):
            # Page changes are nearly all there is, so they are told from the rest first.
            if type(record) is PageChange:
                database = self._by_dbid.get(record.dbid)
                if database is not None:
                    # Also of transactions that are not redone: a dbtime or object id is never used twice.
                    if record.dbtime > database.dbtime:
                        database.dbtime = record.dbtime
                    if type(record.operation) is Format:
                        database.objid_last = max(database.objid_last, record.operation.objid)
                if self._pending is None:
                    self._skip_rest_of_transaction()
                else:
                    self._pending.append(record)
                    self._places.append(place + offset)
            else:
                await self._record(place + offset, record)

    async def _record(self, place: int, record: LogRecord) -> None:
        match record:
            case Begin0():
                self._drop_open_transaction()
                self._pending, self._places = [], []
            case Commit0():
                await self._commit()
            case ExtendDatabase():
                self._note_growth(record)
                if self._pending is None:
                    self._skip_rest_of_transaction()
                else:
                    self._pending.append(record)
                    self._places.append(place)
            case Rollback() | RecoveryUndo2():
                self._drop_open_transaction()
            case CreateDatabase() | AttachDatabase() | DetachDatabase():
                await self._attachment(_position_of(place), record)
            case _:
                pass

    async def _attachment(self, position: LogPosition, record: CreateDatabase | AttachDatabase | DetachDatabase) -> None:
        match record:
            case CreateDatabase():
                await self._create(position, record)
            case AttachDatabase():
                await self._attach(position, record)
            case DetachDatabase():  # pragma: no branch - the union has no other member
                await self._detach(position, record)

    def end_of_logs(self) -> None:
        """No record follows: the open transaction, if any, is undone, which means that it is not redone."""
        self._drop_open_transaction()

    def attached(self) -> list[RedoDatabase]:
        """Databases that the logs leave attached, in order of their slots."""
        return [self._by_dbid[dbid] for dbid in sorted(self._by_dbid)]

    def find(self, signature: Signature) -> RedoDatabase | None:
        """The database with this signature, if the logs mentioned it."""
        return self._known.get(signature)

    def is_at_end(self, database: RedoDatabase) -> bool:
        """Whether a file is clean exactly as of the end of the logs, as hard recovery with these logs leaves it."""
        return database.header.is_clean and self._consistent(database.header) == self._scope.logs_end

    def refused_headers(self) -> list[DatabaseHeader]:
        """Headers of databases that could be opened but not brought forward from here."""
        return [
            database.header for database in self._known.values() if database.problem is not None and database.file is not None
        ]

    async def flush(self, database: RedoDatabase) -> None:
        """Write all changed pages of a database and make them durable."""
        assert database.file is not None, f"database is not open: {database.path}"
        numbers = sorted(number for number, page in database.pages.items() if page.dbtime)
        for start in range(0, len(numbers), _WRITE_BATCH):
            batch = numbers[start : start + _WRITE_BATCH]
            images = sealed_pages([(database.pages[number].data, number) for number in batch])
            await database.file.write_pages(list(zip(batch, images, strict=True)), self._scope.logs_end)
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

    def _skip_rest_of_transaction(self) -> None:
        """Its transaction began before the first log: then it was over before the checkpoint, and the file has the change."""
        self.counts.records_skipped += 1

    async def _commit(self) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        counts, cache_pages = self.counts, self._scope.cache_pages
        counts.transactions_redone += 1
        for place, record in zip(self._places, pending, strict=True):
            if isinstance(record, ExtendDatabase):
                self._grow(record)
                continue
            database = self._by_dbid.get(record.dbid)
            if database is None or not database.is_active:
                counts.records_skipped += 1
                continue
            operation, pages = record.operation, database.pages
            number = operation.page_number
            page = pages.get(number)
            is_first = page is None
            if page is None:
                page = await self._read(database, record)
            dbtime = page.dbtime
            if dbtime >= record.dbtime:
                counts.records_skipped += 1
                continue
            if dbtime != record.dbtime_before:
                raise self._wrong_dbtime(database, _position_of(place), record, dbtime)
            apply(page, operation)
            page.dbtime = record.dbtime
            counts.records_redone += 1
            if is_first:
                pages[number] = page
                if len(pages) > cache_pages:
                    await self.flush(database)

    def _drop_open_transaction(self) -> None:
        if self._pending:
            self.counts.transactions_undone += 1
        self._pending = None

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
        await self._files.require_all_logs(database)

    def _not_consistent(self, database: RedoDatabase, expected: LogPosition, found: LogPosition) -> JetError:
        values = (("expected", str(expected)), ("found", str(found)))
        text = "a database is not at the position the logs expect"
        self._on_event(EngineEvent(495, text, Severity.ERROR, database.path, values))
        return JetError(JetCode.ConsistentTimeMismatch, f"expected {expected}, found {found}", path=database.path)

    # -- opening files ---------------------------------------------------------------------------------------------------------

    async def _refer(self, dbid: int, path: str, signature: Signature, *, created: bool = False) -> RedoDatabase | None:
        """Note that slot ``dbid`` means this database from here on; open its file at the first mention."""
        if self._scope.only is not None and signature not in self._scope.only:
            self._by_dbid.pop(dbid, None)
            return None
        database = self._known.get(signature)
        if database is None:
            database = self._known[signature] = RedoDatabase(self._scope.paths.get(signature, path), signature)
            if not is_same_path(database.path, path):
                text = f"a database has moved from {path}"
                self._on_event(EngineEvent(216, text, path=database.path, values=(("from", path), ("to", database.path))))
            try:
                await self._files.open(database, created=created)
            except JetError as error:
                database.problem = error
        for other in [other for other, known in self._by_dbid.items() if known is database and other != dbid]:
            del self._by_dbid[other]
        database.dbid = dbid
        self._by_dbid[dbid] = database
        return database


def _position_of(place: int) -> LogPosition:
    return position_at(place >> _OFFSET_BITS, place & (1 << _OFFSET_BITS) - 1)


_OFFSET_BITS = 32
_WRITE_BATCH = 256
