"""A database file as the engine sees it: two header copies and pages, read with verification, written behind the guard.

Reading judges every page: a wrong checksum is −1018 (event 474), a wrong page number −1018 (475), one wrong bit is corrected
(399) and the page marked for rewriting, a blank page is the caller's business (−1019, event 476, where data is expected).
Writing a header writes and syncs the primary before the shadow, so one of them is whole at any time.

Sources: published engine, io.cxx; checksum rules as in ``checksum``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from vss_writers.ese.checksum import PageVerdict, correct_page, verify_page
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import File, FileSystem
from vss_writers.ese.header import HEADER_PROBE_SIZE, DatabaseHeader, unpack_headers
from vss_writers.ese.header_values import LogPosition
from vss_writers.ese.latch import Latch
from vss_writers.ese.layout import HEADER_PAGES, PAGE_SIZES, page_count, page_offset
from vss_writers.ese.page import Page
from vss_writers.ese.page_guard import GuardedPages, PageGuard
from vss_writers.ese.page_writes import RUN_BYTES_MAX
from vss_writers.ese.sites import AtSite, just_do


class DatabaseFile:
    """An open database file. Make one with ``open_database_file`` or ``create_database_file``."""

    def __init__(
        self,
        file: File,
        header: DatabaseHeader,
        guard: PageGuard,
        on_event: EventSink,
        is_full: Callable[..., bool],
        at_site: AtSite = just_do,
    ) -> None:
        self._file = file
        self._at_site = at_site
        self._in_place = Latch()
        self.on_written: Callable[[Sequence[int]], None] | None = None
        """Told the numbers of pages that were written in place; set by a backup that copies the file."""
        self.header = header
        self._guard = guard
        self._on_event = on_event
        self._is_full = is_full

    @property
    def path(self) -> str:
        """Path of the file."""
        return self._file.path

    @property
    def page_size(self) -> int:
        """Bytes in a page."""
        return self.header.page_size

    @property
    def page_count(self) -> int:
        """Whole pages the file has room for."""
        return page_count(self._file.size_bytes, self.page_size)

    async def write_header(self, header: DatabaseHeader) -> None:
        """Write both copies, each durable before the next; ``self.header`` is the new one afterwards.

        Raises:
            JetError: ``DiskIO`` or ``DiskFull``.
        """
        page = header.pack()
        with self._io(0):
            for copy in range(HEADER_PAGES):
                await self._file.pwrite(copy * self.page_size, page)
                await self._file.sync()
        self.header = header

    async def change_header(self, **changes: object) -> None:
        """Write the header with some fields replaced; nothing happens where none differs."""
        if any(getattr(self.header, name) != value for name, value in changes.items()):
            await self.write_header(replace(self.header, **changes))  # type: ignore[arg-type] # checked by the dataclass

    async def read_page(self, page_number: int) -> tuple[bytes, bool]:
        """Return a page's bytes and whether a wrong bit was corrected in them; beyond the end of the file it is blank.

        Raises:
            JetError: ``ReadVerifyFailure`` for a wrong checksum or page number, ``DiskIO`` where the device failed.
        """
        page_size = self.page_size
        offset = page_offset(page_number, page_size)
        try:
            reading = partial(self._file.pread, offset, page_size)
            data: bytes = await self._at_site("page.read", reading, file=self.path, page=str(page_number))
        except Exception as error:
            raise self._failure(error, offset, page_number) from error
        if len(data) < page_size:
            # A file cut in the middle of a page holds none of it; a page behind the end was never written.
            return bytes(page_size), False
        return self.verified(data, page_number)

    def is_sound(self, data: bytes, page_number: int) -> bool:
        """Whether a page that was read needs no second look: good, blank, or with one wrong bit that can be corrected."""
        return verify_page(data, page_number).verdict in (PageVerdict.GOOD, PageVerdict.BLANK, PageVerdict.CORRECTABLE)

    def verified(self, data: bytes, page_number: int) -> tuple[bytes, bool]:
        """Return a page that was read, and whether a wrong bit was corrected in it (event 399).

        Raises:
            JetError: ``ReadVerifyFailure`` for a wrong checksum (event 474) or page number (475).
        """
        check = verify_page(data, page_number)
        if check.verdict is PageVerdict.GOOD or check.verdict is PageVerdict.BLANK:
            return data, False
        offset = page_offset(page_number, self.page_size)
        if check.verdict is PageVerdict.CORRECTABLE:
            corrected = correct_page(data, check, page_number)
            if corrected is not None:
                self._emit(399, "a wrong bit of a page was corrected", Severity.WARNING, page_number, check.wrong_bits[0])
                return corrected, True
            self._emit(398, "a corrected page is still wrong", Severity.ERROR, page_number, check.wrong_bits[0])
        if check.verdict is PageVerdict.WRONG_PAGE_NUMBER:
            detail = f"page number: expected {page_number}, probably found {check.probable_page_number}"
            self._emit(475, "a page holds another page", Severity.ERROR, page_number, check.probable_page_number)
        else:
            detail = f"checksum: expected {check.computed:#018x}, found {check.stored:#018x}"
            self._emit(474, "the checksum of a page is wrong", Severity.ERROR, page_number, check.stored)
        raise JetError(JetCode.ReadVerifyFailure, detail, path=self.path, page_number=page_number, offset=offset)

    async def write_pages(self, pages: Sequence[tuple[int, bytes]], position: LogPosition) -> None:
        """Write sealed pages, with no changes from behind ``position``: to the guard first, then in place, then durable.

        Raises:
            JetError: ``DiskFull``, ``DiskIO``; pages may be half written then, and the guard holds them.
        """
        with self._io(0):
            await self._guard.write(self.header.signature, position, self.page_size, pages)
            async with self._in_place:
                for first, data in _runs(pages, self.page_size):
                    writing = partial(self._file.pwrite, page_offset(first, self.page_size), data)
                    await self._at_site("page.write", writing, file=self.path, page=str(first))
            await self._file.sync()
        if self.on_written is not None:
            self.on_written([number for number, _ in pages])

    def give_up(self, error: JetError) -> None:
        """The instance is over: whoever waits to read or write gets ``error``."""
        self._in_place.give_up(error)

    async def read_run(self, first: int, count: int) -> bytes:
        """Return ``count`` pages as they are in the file, unverified, while nobody overwrites pages; pages that the file does
        not have are blank.

        Raises:
            JetError: ``DiskIO``.
        """
        offset = page_offset(first, self.page_size)
        with self._io(offset, first):
            async with self._in_place:
                reading = partial(self._file.pread, offset, count * self.page_size)
                data: bytes = await self._at_site("page.read", reading, file=self.path, page=str(first))
        whole = len(data) - len(data) % self.page_size
        return data[:whole].ljust(count * self.page_size, b"\0")

    async def mend(self, guarded: GuardedPages) -> list[int]:
        """Put guarded images in place of pages that are not newer; return the numbers of those that differed."""
        mended: list[int] = []
        with self._io(0):
            for number, image in sorted(guarded.images.items()):
                stored = await self._file.pread(page_offset(number, self.page_size), self.page_size)
                if stored != image and not _is_newer(stored, image, number):
                    await self._file.pwrite(page_offset(number, self.page_size), image)
                    mended.append(number)
            await self._file.sync()
        return mended

    async def resize(self, count: int) -> None:
        """Cut or grow the file to ``count`` pages.

        Raises:
            JetError: ``DiskFull`` (event 424), ``DiskIO``.
        """
        if self._file.size_bytes == (count + HEADER_PAGES) * self.page_size:
            return
        with self._io(page_offset(count, self.page_size)):
            await self._file.truncate((count + HEADER_PAGES) * self.page_size)

    async def sync(self) -> None:
        """Make everything written durable; raises as ``write_pages``."""
        with self._io(0):
            await self._file.sync()

    async def close(self) -> None:
        """Release the file."""
        await self._file.close()

    @contextmanager
    def _io(self, offset: int, page_number: int | None = None) -> Iterator[None]:
        """Turn whatever the file system raises into ``DiskFull`` (event 424) or ``DiskIO`` (event 481)."""
        try:
            yield
        except Exception as error:
            raise self._failure(error, offset, page_number) from error

    def _failure(self, error: Exception, offset: int, page_number: int | None) -> JetError:
        if self._is_full(error):
            self._on_event(EngineEvent(424, "the disk of a database is full", Severity.ERROR, self.path))
            return JetError(JetCode.DiskFull, str(error), path=self.path)
        values = (("offset", offset),)
        self._on_event(EngineEvent(481, f"the device failed: {error}", Severity.ERROR, self.path, values))
        return JetError(JetCode.DiskIO, str(error), path=self.path, page_number=page_number, offset=offset)

    def _emit(self, event_id: int, text: str, severity: Severity, page_number: int, value: int) -> None:
        offset = page_offset(page_number, self.page_size)
        values = (("offset", offset), ("length", self.page_size), ("page", page_number), ("found", value))
        self._on_event(EngineEvent(event_id, text, severity, self.path, values))


def _is_newer(stored: bytes, image: bytes, page_number: int) -> bool:
    """Whether a whole page stands there that was changed after ``image`` was taken."""
    if len(stored) < len(image) or not verify_page(stored, page_number).verdict.is_good:
        return False
    return Page(bytearray(stored), page_number).dbtime > Page(bytearray(image), page_number).dbtime


def _runs(pages: Sequence[tuple[int, bytes]], page_size: int) -> list[tuple[int, bytes]]:
    """Join neighbours: (first page number, bytes of the run)."""
    runs: list[tuple[int, list[bytes]]] = []
    limit = max(1, RUN_BYTES_MAX // page_size)
    for number, data in sorted(pages, key=lambda page: page[0]):
        if runs and number == runs[-1][0] + len(runs[-1][1]) and len(runs[-1][1]) < limit:
            runs[-1][1].append(data)
        else:
            runs.append((number, [data]))
    return [(first, b"".join(parts)) for first, parts in runs]


async def read_database_header(files: FileSystem, path: str, on_event: EventSink) -> DatabaseHeader:
    """Read the header of a database; the shadow where the primary is damaged (events 456 and 472).

    Raises:
        JetError: ``FileNotFound``; ``DatabaseCorrupted``, ``InvalidDatabaseVersion`` where neither copy can be used.
    """
    if not await files.exists(path):
        raise JetError(JetCode.FileNotFound, path=path)
    file = await files.open(path)
    try:
        pair = unpack_headers(await file.pread(0, HEADER_PROBE_SIZE), path=path)
    finally:
        await file.close()
    if pair.primary_error is not None:
        on_event(EngineEvent(456, "the primary header is damaged, the shadow is used", Severity.WARNING, path))
    elif pair.shadow_error is not None:
        on_event(EngineEvent(472, "the shadow header is damaged, the primary is used", Severity.WARNING, path))
    return pair.header


async def open_database_file(
    files: FileSystem,
    path: str,
    guard: PageGuard,
    on_event: EventSink,
    is_full: Callable[..., bool],
    at_site: AtSite = just_do,
) -> DatabaseFile:
    """Open a database file; a damaged header copy is mended by the next header change. Raises as ``read_database_header``."""
    header = await read_database_header(files, path, on_event)
    return DatabaseFile(await files.open(path, write=True), header, guard, on_event, is_full, at_site)


async def create_database_file(
    files: FileSystem,
    path: str,
    header: DatabaseHeader,
    guard: PageGuard,
    on_event: EventSink,
    is_full: Callable[..., bool],
    at_site: AtSite = just_do,
) -> DatabaseFile:
    """Make a database file that holds nothing but its two headers; where they cannot be written no file stays."""
    if header.page_size not in PAGE_SIZES:
        raise JetError(JetCode.InvalidParameter, f"page size {header.page_size}", path=path)
    database = DatabaseFile(await files.open(path, write=True, create=True), header, guard, on_event, is_full, at_site)
    try:
        await database.resize(0)
        await database.write_header(header)
    except JetError:
        await database.close()
        with suppress(Exception):
            await files.remove(path)  # a file system that is gone keeps it; the next creation overwrites it
        raise
    return database
