"""The buffer pool of one database: pages in memory, changes written ahead to the log, pages written behind it.

Rules:
- write-ahead: a page is written only after the log is flushed behind its last change;
- no-steal: a page changed by the open transaction is not written; its before-image serves rollback and readers outside;
- ``first`` of a dirty page is where the transaction of its oldest change that is not in the file began; the checkpoint never
  passes it;
- clean pages are evicted beyond ``cache_pages``, oldest use first; dirty ones and those somebody holds stay the same object;
- a page goes for one of the reasons of ``page_writes``, and takes changed neighbours along.

Recovery redoes committed transactions only, so nothing of an open one may reach the file except blank pages at its end.

Sources: published engine, bf.cxx, io.cxx.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol
from weakref import WeakValueDictionary

from vss_writers.ese.checksum_batch import sealed_pages
from vss_writers.ese.committed_pages import CommittedPages
from vss_writers.ese.database_file import DatabaseFile
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import LogPosition
from vss_writers.ese.latch import Latch
from vss_writers.ese.layout import page_offset
from vss_writers.ese.log_page_change import PageChange
from vss_writers.ese.log_records import ExtendDatabase, Macro
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import Format, PageOperation, apply
from vss_writers.ese.page_writes import OPPORTUNE_BYTES_MAX, REPEATED_GENERATIONS, PageWrite, PageWrites, with_neighbours

WRITE_BATCH_PAGES = 256


class LogSink(Protocol):
    """What the buffer needs of the log stream."""

    @property
    def position(self) -> LogPosition:
        """Where the next record will stand."""
        ...

    @property
    def begun_at(self) -> LogPosition | None:
        """Where the open transaction began: redo of any of its changes has to start there."""
        ...

    async def append(self, record: bytes) -> LogPosition:
        """Add a record; not durable yet."""
        ...

    async def flush(self, through: LogPosition | None = None) -> None:
        """Make the record at ``through``, or everything, durable."""
        ...


class BufferedPage(Page):
    """A page of the pool; it can be held weakly, so one page number never has two objects in use."""

    __slots__ = ("__weakref__", "written_in")

    def __init__(self, data: bytearray, page_number: int) -> None:
        super().__init__(data, page_number)
        self.written_in: int | None = None
        """Log generation in which it was written last, or None."""


@dataclass(slots=True)
class DirtyPage:
    """A page that differs from the file: begin of the transaction of its oldest change, position of its newest."""

    page: BufferedPage
    first: LogPosition
    last: LogPosition


@dataclass(slots=True)
class _Open:
    """The open transaction as this database sees it."""

    session: int
    number: int
    page_count: int
    before: dict[int, Page]
    dirty_before: dict[int, DirtyPage | None]
    shown: set[int]
    macro_depth: int = 0
    is_broken: bool = False


class BufferedPages:
    """Pages of one database, as the open transaction sees them. Readers outside use ``committed``."""

    def __init__(
        self,
        file: DatabaseFile,
        log: LogSink,
        on_event: EventSink,
        *,
        dbid: int,
        page_count: int,
        dbtime: int,
        objid_last: int,
        cache_pages: int,
        writes: PageWrites,
    ) -> None:
        self.file = file
        self.dbid = dbid
        self.dbtime = dbtime
        self.objid_last = objid_last
        self.ecc_fixes = 0
        self._log = log
        self._on_event = on_event
        self._page_count = page_count
        self._cache_pages = cache_pages
        self._writes = writes
        self._alive: WeakValueDictionary[int, BufferedPage] = WeakValueDictionary()
        self._recent: OrderedDict[int, BufferedPage] = OrderedDict()
        self._dirty: dict[int, DirtyPage] = {}
        self.loading = Latch()
        self._open: _Open | None = None
        self._has_grown = False
        self.committed = CommittedPages(self)

    # -- PageAccess ------------------------------------------------------------------------------------------------------------

    @property
    def page_size(self) -> int:
        """Page size in bytes."""
        return self.file.page_size

    @property
    def page_count(self) -> int:
        """Highest page number, the open transaction's growth included."""
        return self._page_count

    async def read(self, page_number: int) -> Page:
        """Return the buffered page as the open transaction sees it.

        Raises:
            JetError: ``PageNotInitialized`` for a blank page (event 476), ``BadPageLink`` for one outside the file,
                ``ReadVerifyFailure``, ``DiskIO``.
        """
        page = await self._get(page_number)
        if page.is_blank:
            raise self._blank(page_number)
        return page

    async def apply(self, operation: PageOperation) -> Page:
        """Log ``operation`` with the next dbtime and change the buffered page.

        Raises:
            JetError: ``NotInTransaction``; what reading the page or writing the log raised.
        """
        opened = self._transaction()
        number = operation.page_number
        page = await self._get(number)
        self.dbtime += 1
        dbtime = self.dbtime
        change = PageChange(operation, self.dbid, dbtime, page.dbtime, opened.session, opened.number, page.objid)
        position = await self._log.append(change.pack())
        self._keep_before(opened, page)
        apply(page, operation)
        page.dbtime = dbtime
        if isinstance(operation, Format):
            self.objid_last = max(self.objid_last, operation.objid)
        dirty = self._dirty.get(number)
        if dirty is None:
            self._dirty[number] = DirtyPage(page, self._log.begun_at or position, position)
        else:
            dirty.last = position
        return page

    def macro(self) -> AbstractAsyncContextManager[None]:
        """Enclose a change of several pages. An exception that leaves it dooms the transaction: it can only be rolled back."""
        return self._macro()

    @asynccontextmanager
    async def _macro(self) -> AsyncIterator[None]:
        opened = self._transaction()
        opened.macro_depth += 1
        try:
            if opened.macro_depth == 1:
                await self._log.append(Macro(opened.session, is_begin=True, dbtime=self.dbtime).pack())
            yield
            if opened.macro_depth == 1:
                await self._log.append(Macro(opened.session, is_begin=False, dbtime=self.dbtime).pack())
        except BaseException:
            opened.is_broken = True
            raise
        finally:
            opened.macro_depth -= 1

    async def extend(self, page_count: int) -> int:
        """Grow the file by blank pages and return the first new page number.

        The record is flushed before the file grows, so recovery knows which pages never belonged to a committed file.
        """
        self._transaction()
        first = self._page_count + 1
        last = self._page_count + page_count
        await self._log.append(ExtendDatabase(self.dbid, first, last).pack())
        await self._log.flush()
        await self.file.resize(last)
        self._has_grown = True
        self._page_count = last
        return first

    def next_objid(self) -> int:
        """Give out a new object id; one given out by a transaction that is rolled back is not used again."""
        self.objid_last += 1
        return self.objid_last

    # -- transactions ----------------------------------------------------------------------------------------------------------

    def begin(self, session: int, number: int) -> None:
        """A transaction begins."""
        assert self._open is None, f"two transactions on {self.file.path}"
        self._open = _Open(session, number, self._page_count, {}, {}, set())

    @property
    def is_changed(self) -> bool:
        """Whether the open transaction changed this database."""
        return self._open is not None and (bool(self._open.before) or self._open.page_count != self._page_count)

    @property
    def is_broken(self) -> bool:
        """Whether the open transaction can only be rolled back, because an exception left a macro."""
        return self._open is not None and self._open.is_broken

    def commit(self) -> None:
        """The open transaction is committed; its changes become visible to everybody at once."""
        opened = self._transaction()
        self._open = None
        for number in opened.shown:
            # A reader may still hold the before-image; it has to see that the page has changed.
            opened.before[number].restore(self._dirty[number].page.data)
        self._evict()

    def rollback(self) -> None:
        """Undo the open transaction in memory. A file that had grown is cut back when pages are written next."""
        opened = self._transaction()
        self._open = None
        for number, before in opened.before.items():
            self._dirty[number].page.restore(before.data)
            previous = opened.dirty_before[number]
            if previous is None:
                del self._dirty[number]
            else:
                self._dirty[number] = previous
        if self._page_count != opened.page_count:
            self._page_count = opened.page_count
            for number in [number for number in self._recent if number > self._page_count]:
                del self._recent[number]
        self._evict()

    def _transaction(self) -> _Open:
        if self._open is None:
            raise JetError(JetCode.NotInTransaction, path=self.file.path)
        return self._open

    def _keep_before(self, opened: _Open, page: BufferedPage) -> None:
        number = page.page_number
        if number not in opened.before:
            opened.before[number] = page.copy()
            dirty = self._dirty.get(number)
            opened.dirty_before[number] = None if dirty is None else DirtyPage(page, dirty.first, dirty.last)

    # -- writing ---------------------------------------------------------------------------------------------------------------

    @property
    def dirty_count(self) -> int:
        """Number of pages that differ from the file."""
        return len(self._dirty)

    def oldest_change(self) -> LogPosition | None:
        """Position of the oldest change that is not in the file, or None."""
        return min((dirty.first for dirty in self._dirty.values()), default=None)

    async def write_behind(
        self,
        before: LogPosition | None = None,
        generation_max: int | None = None,
        *,
        why: PageWrite = PageWrite.CHECKPOINT,
        at_most: int | None = None,
    ) -> int:
        """Write dirty pages that no open transaction changed, and dirty neighbours of these; return how many.

        Args:
            before: only pages whose oldest change lies before this position.
            generation_max: only pages whose newest change lies in this generation or an earlier one (the waypoint).
            why: the reason, to be counted. Normal writes choose the pages unused for longest, all others those whose oldest
                change is oldest.
            at_most: how many pages to choose.
        """
        if self._has_grown:
            await self.file.resize(self._page_count)
            await self.file.sync()
            self._has_grown = False
        ready = [number for number in self._by_age(why) if self._may_go(number, generation_max)]
        chosen = [number for number in ready if before is None or self._dirty[number].first < before][:at_most]
        pages_max = OPPORTUNE_BYTES_MAX // self.page_size
        numbers = with_neighbours(chosen, lambda number: self._may_go(number, generation_max), pages_max)
        reasons = dict.fromkeys(numbers, PageWrite.OPPORTUNE) | dict.fromkeys(chosen, why)
        if numbers:
            await self._log.flush(max(self._dirty[number].last for number in numbers))
        for start in range(0, len(numbers), WRITE_BATCH_PAGES):
            await self._write_batch({number: reasons[number] for number in numbers[start : start + WRITE_BATCH_PAGES]})
        self._evict()
        return len(numbers)

    def _may_go(self, number: int, generation_max: int | None) -> bool:
        """Whether a page is dirty, not of the open transaction, and not changed behind the waypoint."""
        dirty = self._dirty.get(number)
        if dirty is None or (self._open is not None and number in self._open.before):
            return False
        return generation_max is None or dirty.last.generation <= generation_max

    def _by_age(self, why: PageWrite) -> list[int]:
        if why is PageWrite.NORMAL:
            unused = [number for number in self._dirty if number not in self._recent]
            return unused + [number for number in self._recent if number in self._dirty]
        return sorted(self._dirty, key=lambda number: (self._dirty[number].first, number))

    async def _write_batch(self, reasons: dict[int, PageWrite]) -> None:
        newest = max(self._dirty[number].last for number in reasons)
        images = sealed_pages([(self._dirty[number].page.data, number) for number in reasons])
        await self.file.write_pages(list(zip(reasons, images, strict=True)), newest)
        generation = self._log.position.generation
        for number, why in reasons.items():
            page = self._dirty.pop(number).page
            is_repeated = page.written_in is not None and generation - page.written_in <= REPEATED_GENERATIONS
            self._writes.count(why, is_repeated=is_repeated)
            page.written_in = generation
            self._recent[number] = page

    # -- reading ---------------------------------------------------------------------------------------------------------------

    async def get_committed(self, page_number: int) -> Page:
        """Return the page as of the last commit; see ``CommittedPages``."""
        page: Page = await self._get(page_number)
        if self._open is not None and page_number in self._open.before:
            self._open.shown.add(page_number)
            page = self._open.before[page_number]
        if page.is_blank:
            raise self._blank(page_number)
        return page

    @property
    def committed_page_count(self) -> int:
        """Highest page number as of the last commit."""
        return self._page_count if self._open is None else self._open.page_count

    async def _get(self, page_number: int) -> BufferedPage:
        page = self._alive.get(page_number)
        if page is None:
            if not 1 <= page_number <= self._page_count:
                detail = f"the file has {self._page_count} pages"
                raise JetError(JetCode.BadPageLink, detail, path=self.file.path, page_number=page_number)
            async with self.loading:
                page = self._alive.get(page_number)
                if page is None:
                    page = await self._load(page_number)
        self._recent[page_number] = page
        self._recent.move_to_end(page_number)
        if len(self._recent) > self._cache_pages:
            self._evict()
        return page

    async def _load(self, page_number: int) -> BufferedPage:
        data, was_corrected = await self.file.read_page(page_number)
        page = BufferedPage(bytearray(data), page_number)
        self._alive[page_number] = page
        if was_corrected:
            self.ecc_fixes += 1
            self._dirty[page_number] = DirtyPage(page, self._log.position, self._log.position)
        return page

    def _evict(self) -> None:
        """Forget clean pages beyond the limit, longest unused first."""
        excess = len(self._recent) - self._cache_pages
        if excess > 0:
            for number in list(islice(self._recent, excess)):
                del self._recent[number]

    def _blank(self, page_number: int) -> JetError:
        offset = page_offset(page_number, self.page_size)
        values = (("offset", offset), ("page", page_number))
        self._on_event(EngineEvent(476, "a page is blank where data is expected", Severity.ERROR, self.file.path, values))
        return JetError(JetCode.PageNotInitialized, path=self.file.path, page_number=page_number, offset=offset)
