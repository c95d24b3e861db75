"""A database in memory whose operations can be looked at: a ``PageAccess`` for tests of what stands on one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.layout import (
    DEFAULT_PAGE_SIZE,
    OBJID_LAST_SYSTEM,
    DatabaseState,
)
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import PageOperation, apply


class MemoryPages:
    """A ``PageAccess`` over a dict of pages. Every operation takes effect at once and for good."""

    def __init__(self, page_size: int = DEFAULT_PAGE_SIZE, *, first_objid: int = OBJID_LAST_SYSTEM + 1) -> None:
        self._page_size = page_size
        self._page_count = 0
        self._pages: dict[int, Page] = {}
        self._objid_next = first_objid
        self.dbtime = 0
        self.operations: list[PageOperation] = []
        """Every operation so far, in order: what a log would hold."""

    @property
    def page_size(self) -> int:
        """Page size in bytes."""
        return self._page_size

    @property
    def page_count(self) -> int:
        """Highest page number."""
        return self._page_count

    async def read(self, page_number: int) -> Page:
        """Return a page; ``PageNotInitialized`` behind the end of the file."""
        if not 1 <= page_number <= self._page_count:
            text = f"the database has {self._page_count} pages"
            raise JetError(JetCode.PageNotInitialized, text, page_number=page_number)
        page = self._pages.get(page_number)
        if page is None:
            page = self._pages[page_number] = Page.blank(self._page_size, page_number)
        return page

    async def apply(self, operation: PageOperation) -> Page:
        """Change the page and give it the next dbtime."""
        page = await self.read(operation.page_number)
        apply(page, operation)
        self.dbtime += 1
        page.dbtime = self.dbtime
        self.operations.append(operation)
        return page

    @asynccontextmanager
    async def macro(self) -> AsyncIterator[None]:
        """Nothing can fail half-way here."""
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

    @property
    def objid_last(self) -> int:
        """Highest object id given out."""
        return self._objid_next - 1

    def to_bytes(self, header: DatabaseHeader, *, state: DatabaseState = DatabaseState.CLEAN_SHUTDOWN) -> bytes:
        """The complete file: header and shadow, brought up to date, and every page sealed."""
        current = replace(header, page_size=self._page_size, state=state, dbtime=self.dbtime, objid_last=self.objid_last)
        packed = current.pack()
        blank = bytes(self._page_size)
        pages = (self._pages.get(number) for number in range(1, self._page_count + 1))
        return b"".join((packed, packed, *(blank if page is None else page.sealed() for page in pages)))
