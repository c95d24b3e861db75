"""Pages of a database file in the making: no log, no transactions, and only so many of them in memory.

Changed pages go to the file when the pool is full, the headers last: before ``finish`` the file is no database. A page that
somebody holds stays the same object after it was written. What was written is verified when it is read again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice
from weakref import WeakValueDictionary

from vss_writers.ese.checksum import verify_page
from vss_writers.ese.checksum_batch import sealed_pages
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import File
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.layout import HEADER_PAGES, OBJID_LAST_SYSTEM, DatabaseState, page_offset
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import PageOperation, apply

POOL_BYTES = 16 << 20
"""Memory for pages, unless told otherwise."""

_WRITE_BATCH = 256


class _HeldPage(Page):
    """A page that can be held weakly."""

    __slots__ = ("__weakref__",)


class FilePages:
    """A ``PageAccess`` over an open, empty file. Every operation takes effect at once and for good."""

    def __init__(self, file: File, page_size: int, *, pool_bytes: int = POOL_BYTES) -> None:
        self._file = file
        self._page_size = page_size
        self._pool_pages = max(4, pool_bytes // page_size)
        self._page_count = 0
        self._alive: WeakValueDictionary[int, _HeldPage] = WeakValueDictionary()
        self._recent: OrderedDict[int, _HeldPage] = OrderedDict()
        self._dirty: dict[int, _HeldPage] = {}
        self._objid_next = OBJID_LAST_SYSTEM + 1
        self.dbtime = 0

    @property
    def page_size(self) -> int:
        """Page size in bytes."""
        return self._page_size

    @property
    def page_count(self) -> int:
        """Highest page number."""
        return self._page_count

    @property
    def pages_in_memory(self) -> int:
        """Pages that the pool keeps, besides those somebody holds."""
        return len(self._recent.keys() | self._dirty.keys())

    async def read(self, page_number: int) -> Page:
        """Return a page; ``PageNotInitialized`` behind the end, ``ReadVerifyFailure`` for one that the file lost."""
        if not 1 <= page_number <= self._page_count:
            text = f"the database has {self._page_count} pages"
            raise JetError(JetCode.PageNotInitialized, text, path=self._file.path, page_number=page_number)
        return await self._get(page_number)

    async def _get(self, page_number: int) -> _HeldPage:
        page = self._alive.get(page_number)
        if page is None:
            page = self._alive[page_number] = await self._load(page_number)
        self._recent[page_number] = page
        self._recent.move_to_end(page_number)
        if len(self._recent) > self._pool_pages:
            await self._write_dirty()
            for number in list(islice(self._recent, self._pool_pages // 4)):
                del self._recent[number]
        return page

    async def _load(self, page_number: int) -> _HeldPage:
        offset = page_offset(page_number, self._page_size)
        data = (await self._file.pread(offset, self._page_size)).ljust(self._page_size, b"\0")
        if any(data) and not verify_page(data, page_number).verdict.is_good:
            raise JetError(JetCode.ReadVerifyFailure, path=self._file.path, page_number=page_number, offset=offset)
        return _HeldPage(bytearray(data), page_number)

    async def apply(self, operation: PageOperation) -> Page:
        """Change the page and give it the next dbtime; raises as ``read``."""
        await self.read(operation.page_number)  # now it is in memory
        page = await self._get(operation.page_number)
        apply(page, operation)
        self.dbtime += 1
        page.dbtime = self.dbtime
        self._dirty[operation.page_number] = page
        return page

    @asynccontextmanager
    async def macro(self) -> AsyncIterator[None]:
        """A file that is not finished is no database, so nothing has to be undone."""
        yield

    async def extend(self, page_count: int) -> int:
        """Grow by blank pages."""
        first = self._page_count + 1
        self._page_count += page_count
        return first

    def next_objid(self) -> int:
        """Count up."""
        objid = self._objid_next
        self._objid_next += 1
        return objid

    async def _write_dirty(self) -> None:
        numbers = sorted(self._dirty)
        for start in range(0, len(numbers), _WRITE_BATCH):
            batch = numbers[start : start + _WRITE_BATCH]
            for number, image in zip(batch, sealed_pages([(self._dirty[each].data, each) for each in batch]), strict=True):
                await self._file.pwrite(page_offset(number, self._page_size), image)
        self._dirty.clear()

    async def finish(self, header: DatabaseHeader) -> None:
        """Make the file a whole database with ``header``, brought up to date and clean; durable when this returns."""
        await self._write_dirty()
        await self._file.truncate((self._page_count + HEADER_PAGES) * self._page_size)
        await self._file.sync()
        current = replace(
            header,
            page_size=self._page_size,
            state=DatabaseState.CLEAN_SHUTDOWN,
            dbtime=self.dbtime,
            objid_last=self._objid_next - 1,
        )
        await self._file.pwrite(0, current.pack() * HEADER_PAGES)
        await self._file.sync()
