"""Files of the host as the tool opens them: a failure of the operating system always names the file it concerns.

``failure_of`` turns such a failure into the engine's: what was given wrongly (a directory, an impossible name) is an error of
usage, what the disk or its rights refuse has the engine's code.

Sources: published engine, jethdr.w (codes); which errno becomes which code is ours.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import click

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import File, HostFileSystem

_CODES = {
    errno.ENOENT: JetCode.FileNotFound,
    errno.ENOTDIR: JetCode.FileNotFound,
    errno.EACCES: JetCode.FileAccessDenied,
    errno.EPERM: JetCode.FileAccessDenied,
    errno.EROFS: JetCode.FileAccessDenied,
    errno.EBUSY: JetCode.FileAccessDenied,
    errno.ETXTBSY: JetCode.FileAccessDenied,
    errno.ENOSPC: JetCode.DiskFull,
    errno.EDQUOT: JetCode.DiskFull,
}
_USAGE = {
    errno.EISDIR: "a file is expected, found a directory",
    errno.ENAMETOOLONG: "a shorter name is expected: the file system does not take one of this length",
}


class ToolFileSystem(HostFileSystem):
    """The host's files; reads and writes name their file in errors."""

    async def open(  # type: ignore[override] # the engine asks for no more than a ``File``
        self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False
    ) -> File:
        """Open a file; a directory is refused here, not at the first read."""
        file = await super().open(path, write=write, create=create, exclusive=exclusive)
        if (await self.stat(path)).is_directory:
            await file.close()
            raise IsADirectoryError(errno.EISDIR, "is a directory", path)
        return _NamedFile(file)


class _NamedFile:
    """A file whose path stands in every ``OSError``."""

    def __init__(self, file: File) -> None:
        self._file = file

    @property
    def path(self) -> str:
        """The path it was opened by."""
        return self._file.path

    @property
    def size_bytes(self) -> int:
        """The length now."""
        return self._file.size_bytes

    async def pread(self, offset: int, length: int) -> bytes:
        """As ``File.pread``."""
        with self._named():
            return await self._file.pread(offset, length)

    async def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """As ``File.pwrite``."""
        with self._named():
            await self._file.pwrite(offset, data)

    async def truncate(self, size_bytes: int) -> None:
        """As ``File.truncate``."""
        with self._named():
            await self._file.truncate(size_bytes)

    async def sync(self) -> None:
        """As ``File.sync``."""
        with self._named():
            await self._file.sync()

    async def close(self) -> None:
        """As ``File.close``."""
        await self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from error


def failure_of(error: OSError, target: str) -> JetError:
    """The engine's error for one of the operating system; ``target`` is named where the error names no file.

    Raises:
        click.UsageError: where the name that was given cannot be that of a file.
    """
    path = str(error.filename or target)
    number = error.errno or 0
    if number in _USAGE:
        raise click.UsageError(f"{path}: {_USAGE[number]}") from error
    code = _CODES.get(number, JetCode.DiskIO)
    detail = f"the operating system says: {error.strerror or error}"
    return JetError(code, "" if number == errno.ENOENT else detail, path=path)
