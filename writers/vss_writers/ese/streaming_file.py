"""The files of a streaming backup as its client reads them: databases page by page, logs and patch files.

A database is delivered as its two headers, its pages and the trailer page. The headers carry what the file on disk never does:
FullCur, the backup in progress. Pages are read from the file while nobody overwrites them, verified (sixteen more attempts,
then −1018), corrected where one bit is wrong, scrubbed of what was deleted. A log is judged as a whole before it is delivered.

Sources: published engine, backup.cxx (ErrBKReadFile, ErrBKReadPages); JET documentation, JetReadFileInstance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vss_writers.ese.database_file import DatabaseFile
from vss_writers.ese.engine_event import EngineEvent, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import base_name, read_whole
from vss_writers.ese.header_values import BackupInfo, LogTime
from vss_writers.ese.layout import HEADER_PAGES
from vss_writers.ese.log_reader import judge_log
from vss_writers.ese.patch_page import PatchHeader
from vss_writers.ese.scrubbing import scrubbed

if TYPE_CHECKING:
    from vss_writers.ese.attached_database import Database
    from vss_writers.ese.instance import Instance

READ_SIZE = 64 * 1024
"""How much clients of the interface read at once."""
_ATTEMPTS = 1 + 16

Closed = Callable[["BackupFile"], None]


class BackupFile(ABC):
    """One file being copied, read from front to back. Make one with ``StreamingBackups.open_file``."""

    def __init__(self, instance: Instance, path: str, size_bytes: int, closed: Closed) -> None:
        self._instance = instance
        self._closed = closed
        self._is_open = True
        self.path = path
        self.size_bytes = size_bytes
        self.position = 0

    @property
    def is_complete(self) -> bool:
        """Whether everything was read."""
        return self.position == self.size_bytes

    async def read(self, size_bytes: int = READ_SIZE) -> bytes:
        """Return the next bytes, none at the end.

        Raises:
            JetError: ``BackupAbortByServer`` where the instance has ended, ``InvalidBackupSequence`` where the file is closed;
                ``InvalidParameter`` for a size that suits no page; ``ReadVerifyFailure``, ``DiskIO`` (events 217, 218).
        """
        if not self._is_open:
            code = JetCode.InvalidBackupSequence if self._instance.is_open else JetCode.BackupAbortByServer
            raise JetError(code, "the file is closed", path=self.path)
        self._instance.check_running()
        data = await self._next(size_bytes)
        self.position += len(data)
        return data

    @abstractmethod
    async def _next(self, size_bytes: int) -> bytes:
        """Return what follows ``position``."""

    def close(self) -> None:
        """Close the file; calling it twice is harmless."""
        if self._is_open:
            self.give_up()
            self._closed(self)

    def give_up(self) -> None:
        """Release it without a word."""
        self._is_open = False


class CopiedDatabase:
    """A database in a backup: what its copy's headers say, and which pages were written behind the copy's back."""

    def __init__(self, database: Database, backup: BackupInfo, time: LogTime) -> None:
        self.database = database
        self.backup = backup
        file = database.pages.file
        self.page_count = file.page_count
        self.page_next = 1
        self.written_behind: set[int] = set()
        # Whatever was deleted before this moment is in no page of the copy.
        self.header = replace(file.header, full_current=backup, scrub_dbtime=database.pages.dbtime, scrub_time=time)
        file.on_written = self._written

    def _written(self, numbers: Sequence[int]) -> None:
        self.written_behind.update(number for number in numbers if number < self.page_next)

    def stop_watching(self) -> None:
        """The copy is over."""
        self.database.pages.file.on_written = None


class DatabaseBackupFile(BackupFile):
    """A database: two headers, its pages, the trailer."""

    def __init__(self, instance: Instance, copied: CopiedDatabase, closed: Closed) -> None:
        file = copied.database.pages.file
        size_bytes = (HEADER_PAGES + copied.page_count + 1) * file.page_size
        super().__init__(instance, file.path, size_bytes, closed)
        self._copied = copied
        self._file = file

    async def _next(self, size_bytes: int) -> bytes:
        page_size = self._file.page_size
        count = size_bytes // page_size
        if size_bytes % page_size or count < (HEADER_PAGES + 1 if not self.position else 1):
            detail = f"{size_bytes} bytes: whole pages of {page_size} bytes expected, three at first"
            raise JetError(JetCode.InvalidParameter, detail, path=self.path)
        parts: list[bytes] = []
        if not self.position:
            parts = [self._copied.header.pack()] * HEADER_PAGES
        first = self._copied.page_next
        pages = min(count - len(parts), self._copied.page_count - first + 1)
        if pages:
            parts += await self._pages(first, pages)
        if len(parts) < count and self.position // page_size + len(parts) == HEADER_PAGES + self._copied.page_count:
            parts.append(self._trailer().pack(page_size))
        return b"".join(parts)

    async def _pages(self, first: int, count: int) -> list[bytes]:
        # From now on a write of these pages is behind the copy's back, also one that comes while they are read.
        self._copied.page_next = first + count
        try:
            return await read_verified(self._file, first, count)
        except JetError as error:
            text = f"a database could not be copied: {error}"
            self._instance.emit(EngineEvent(217, text, Severity.ERROR, self.path, (("error", int(error.code)),)))
            raise

    def _trailer(self) -> PatchHeader:
        database, backup = self._copied.database, self._copied.backup
        newest = self._instance.generation
        return PatchHeader(backup, database.signature, self._instance.signature, backup.generation_low, newest)


async def read_verified(file: DatabaseFile, first: int, count: int) -> list[bytes]:
    """Return pages as they go into a backup: verified, corrected, scrubbed.

    Raises:
        JetError: ``ReadVerifyFailure`` for a page that stays wrong however often it is read (events 474, 475); ``DiskIO``.
    """
    data = await file.read_run(first, count)
    pages: list[bytes] = []
    for number in range(first, first + count):
        start = (number - first) * file.page_size
        pages.append(await _one_page(file, number, data[start : start + file.page_size]))
    return pages


async def _one_page(file: DatabaseFile, number: int, data: bytes) -> bytes:
    for _ in range(1, _ATTEMPTS):
        if file.is_sound(data, number):
            break
        data = await file.read_run(number, 1)
    page, _ = file.verified(data, number)
    return scrubbed(page, number)


class LogBackupFile(BackupFile):
    """A closed log, whole in memory: its checksums are verified before the first byte is delivered."""

    def __init__(self, instance: Instance, path: str, data: bytes, closed: Closed) -> None:
        super().__init__(instance, path, len(data), closed)
        self._data = data

    @classmethod
    async def load(cls, instance: Instance, path: str, generation: int, closed: Closed) -> LogBackupFile:
        """Read and judge a log.

        Raises:
            JetError: ``LogReadVerifyFailure`` for one that is damaged, not closed or of another generation; ``DiskIO`` where it
                cannot be read (event 218).
        """
        try:
            data = await read_whole(instance.files, path)
            log = judge_log(data, path, may_be_torn=False)
        except JetError as error:
            raise _unreadable(instance, path, JetCode.LogReadVerifyFailure, str(error)) from error
        except Exception as error:
            raise _unreadable(instance, path, JetCode.DiskIO, str(error)) from error
        if not log.is_closed or log.header.generation != generation:
            detail = f"{base_name(path)} holds generation {log.header.generation:#x}, closed: {log.is_closed}"
            raise _unreadable(instance, path, JetCode.LogReadVerifyFailure, detail)
        return cls(instance, path, data, closed)

    async def _next(self, size_bytes: int) -> bytes:
        return self._data[self.position : self.position + size_bytes]


def _unreadable(instance: Instance, path: str, code: JetCode, detail: str) -> JetError:
    error = JetError(code, detail, path=path)
    instance.emit(EngineEvent(218, f"a file could not be read: {error}", Severity.ERROR, path, (("error", int(code)),)))
    return error


class PatchBackupFile(LogBackupFile):
    """The patch file of a database, made when the logs were listed."""
