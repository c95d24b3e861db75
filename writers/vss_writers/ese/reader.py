"""Reading a database file without an engine: header, catalog, tables, rows; whatever its page size and revision.

Every page is verified when it is read. Nothing is ever written; a dirty database is read as it lies, which may be inconsistent
where its log would have changed it. Tables come from the catalog's own tree, so that a file without the catalog's indexes, or
with a newer engine's columns, is read too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import cached_property

from vss_writers.ese.catalog import all_schemas
from vss_writers.ese.checksum import PageVerdict, verify_page
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import HEADER_PROBE_SIZE, DatabaseHeader, HeaderPair, unpack_headers
from vss_writers.ese.layout import TableFlag, page_count, page_offset
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import PageOperation
from vss_writers.ese.schema import TableSchema
from vss_writers.ese.table import Table

ReadAt = Callable[[int, int], Awaitable[bytes]]
"""``(offset, length)`` to bytes, fewer only at the end of the file."""

CACHE_PAGES = 1024


def read_from(data: bytes | memoryview) -> ReadAt:
    """A ``ReadAt`` over bytes in memory."""

    async def read(offset: int, length: int) -> bytes:
        return bytes(data[offset : offset + length])

    return read


class FilePages:
    """A read-only ``PageAccess`` over a file. Pages that are not good raise instead of being used."""

    def __init__(
        self, read: ReadAt, size_bytes: int, page_size: int, *, path: str | None = None, cache_pages: int = CACHE_PAGES
    ) -> None:
        self._read = read
        self._page_size = page_size
        self._page_count = page_count(size_bytes, page_size)
        self._path = path
        self._cache_pages = cache_pages
        self._cache: OrderedDict[int, Page] = OrderedDict()

    @property
    def page_size(self) -> int:
        """Page size in bytes."""
        return self._page_size

    @property
    def page_count(self) -> int:
        """Highest page number."""
        return self._page_count

    async def read(self, page_number: int) -> Page:
        """Return a verified page.

        Raises:
            JetError: ``ReadVerifyFailure`` for a wrong checksum or page number, ``PageNotInitialized`` for a blank page or one
                behind the end of the file.
        """
        page = self._cache.get(page_number)
        if page is not None:
            self._cache.move_to_end(page_number)
            return page
        page = Page(bytearray(await self._load(page_number)), page_number)
        self._cache[page_number] = page
        if len(self._cache) > self._cache_pages:
            self._cache.popitem(last=False)
        return page

    async def _load(self, page_number: int) -> bytes:
        offset = page_offset(page_number, self._page_size)
        data = await self._read(offset, self._page_size) if 1 <= page_number <= self._page_count else b""
        if len(data) != self._page_size:
            raise self._error(JetCode.PageNotInitialized, f"the file has {self._page_count} pages", page_number)
        check = verify_page(data, page_number)
        if check.verdict is PageVerdict.BLANK:
            raise self._error(JetCode.PageNotInitialized, "", page_number)
        if check.verdict is not PageVerdict.GOOD:
            text = f"{check.verdict.value}: stored {check.stored:#x}, computed {check.computed:#x}"
            raise self._error(JetCode.ReadVerifyFailure, text, page_number)
        return data

    def _error(self, code: JetCode, detail: str, page_number: int) -> JetError:
        offset = page_offset(page_number, self._page_size)
        return JetError(code, detail, path=self._path, page_number=page_number, offset=offset)

    async def apply(self, operation: PageOperation) -> Page:
        """Refused."""
        raise self._read_only(operation.page_number)

    def macro(self) -> AbstractAsyncContextManager[None]:
        """Refused."""
        raise self._read_only()

    async def extend(self, page_count: int) -> int:
        """Refused."""
        raise self._read_only(page_count=page_count)

    def next_objid(self) -> int:
        """Refused."""
        raise self._read_only()

    def _read_only(self, page_number: int | None = None, page_count: int = 0) -> JetError:
        detail = f"{page_count} pages more asked for" if page_count else ""
        return JetError(JetCode.DatabaseFileReadOnly, detail, path=self._path, page_number=page_number)


class DatabaseReader:
    """One open database file."""

    def __init__(self, pages: FilePages, headers: HeaderPair, schemas: dict[str, TableSchema]) -> None:
        self.pages = pages
        self.headers = headers
        self._schemas = schemas

    @classmethod
    async def open(cls, read: ReadAt, size_bytes: int, *, path: str | None = None) -> DatabaseReader:
        """Read the headers and the catalog.

        Raises:
            JetError: ``DatabaseCorrupted`` when neither header can be used, or as ``FilePages.read`` for the catalog's pages.
        """
        headers = unpack_headers(await read(0, HEADER_PROBE_SIZE), path=path)
        pages = FilePages(read, size_bytes, headers.header.page_size, path=path)
        return cls(pages, headers, {schema.name: schema for schema in await all_schemas(pages)})

    @classmethod
    async def from_bytes(cls, data: bytes | memoryview, *, path: str | None = None) -> DatabaseReader:
        """The same over bytes in memory."""
        return await cls.open(read_from(data), len(data), path=path)

    @property
    def header(self) -> DatabaseHeader:
        """The header in use."""
        return self.headers.header

    @cached_property
    def table_names(self) -> tuple[str, ...]:
        """Names of the tables that users made, in the order of their object ids."""
        return tuple(name for name, schema in self._schemas.items() if not schema.flags & TableFlag.SYSTEM)

    @cached_property
    def all_table_names(self) -> tuple[str, ...]:
        """The same with system tables."""
        return tuple(self._schemas)

    def schema(self, name: str) -> TableSchema:
        """Schema of a table.

        Raises:
            JetError: ``ObjectNotFound``.
        """
        schema = self._schemas.get(name)
        if schema is None:
            raise JetError(JetCode.ObjectNotFound, f"table {name}")
        return schema

    def table(self, name: str) -> Table:
        """A table, for reading; changing it raises ``DatabaseFileReadOnly``."""
        return Table(self.pages, self.schema(name))
