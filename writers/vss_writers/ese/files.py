"""The files below the engine: what it asks of a file system, and two of them.

The engine reaches storage through the two Protocols only, so a simulated machine, a real directory and a memory with power
loss look alike. Rules every implementation keeps: a write is durable after ``File.sync``; a name is durable after ``rename``,
after ``sync`` of the file or of the whole file system; a sector of 512 bytes is written whole or not at all.

Paths are opaque strings; ``join_path`` picks the separator from the directory, so machine paths (``L:\\Exchange\\SG1``) and
host paths (``/srv/sg1``) both work.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SECTOR_SIZE = 512
_DRIVE = re.compile(r"^[A-Za-z]:")


class FileInformation(Protocol):
    """What is known of a file without opening it."""

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        ...

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        ...


class File(Protocol):
    """An open file."""

    @property
    def path(self) -> str:
        """The path it was opened by."""
        ...

    @property
    def size_bytes(self) -> int:
        """The length now."""
        ...

    async def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes, fewer only at the end of the file."""
        ...

    async def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``, growing the file where needed."""
        ...

    async def truncate(self, size_bytes: int) -> None:
        """Cut or extend (reads as zeros) to ``size_bytes``."""
        ...

    async def sync(self) -> None:
        """Make content, length and name durable."""
        ...

    async def close(self) -> None:
        """Release the handle; calling it twice is harmless."""
        ...


class FileSystem(Protocol):
    """A tree of files."""

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        """Open a file; ``create`` makes it where missing, ``exclusive`` refuses an existing one."""
        ...

    async def stat(self, path: str) -> FileInformation:
        """Return what is known of ``path``; raises where there is nothing."""
        ...

    async def exists(self, path: str) -> bool:
        """Whether anything stands at ``path``."""
        ...

    async def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        ...

    async def make_directory(self, path: str) -> None:
        """Make a directory and its parents; an existing one is fine."""
        ...

    async def rename(self, source: str, target: str) -> None:
        """Rename a file, over ``target`` if that exists; durable when it returns."""
        ...

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        ...

    async def sync(self) -> None:
        """Make everything written so far durable, names included."""
        ...


@dataclass(frozen=True, slots=True)
class FileStat:
    """Length and kind of a file."""

    size_bytes: int
    is_directory: bool


def join_path(directory: str, name: str) -> str:
    """Return the path of ``name`` in ``directory``, with the separator the directory itself uses."""
    separator = "\\" if "\\" in directory or _DRIVE.match(directory) else "/"
    return directory + name if directory.endswith(separator) else f"{directory}{separator}{name}"


def base_name(path: str) -> str:
    """Return the last part of a path of either kind."""
    return path[max(path.rfind("/"), path.rfind("\\")) + 1 :]


def directory_name(path: str) -> str:
    """Return the path without its last part; ``.`` where there is no directory."""
    directory = path[: len(path) - len(base_name(path))]
    stripped = directory.rstrip("\\/")
    if _DRIVE.fullmatch(stripped):
        return directory
    return stripped or directory or "."


def is_same_path(first: str, second: str) -> bool:
    """Whether two machine paths name one file: letter case and kind of slash do not matter on machines with drives."""
    if _DRIVE.match(first):
        return first.replace("/", "\\").casefold() == second.replace("/", "\\").casefold()
    return first == second


def is_out_of_space(error: BaseException) -> bool:
    """Whether an error of the host's file system says that the disk is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


async def read_whole(files: FileSystem, path: str) -> bytes:
    """Return the content of a file."""
    file = await files.open(path)
    try:
        return await file.pread(0, file.size_bytes)
    finally:
        await file.close()


class HostFile:
    """A file of the host, synchronous below its asynchronous face."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @property
    def path(self) -> str:
        """The path it was opened by."""
        return self._path

    @property
    def size_bytes(self) -> int:
        """The length now."""
        return os.fstat(self._open()).st_size

    async def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes, fewer only at the end of the file."""
        pieces: list[bytes] = []
        while length > 0:
            piece = os.pread(self._open(), length, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``."""
        rest = memoryview(data)
        while len(rest):
            written = os.pwrite(self._open(), rest, offset)
            offset += written
            rest = rest[written:]

    async def truncate(self, size_bytes: int) -> None:
        """Cut or extend to ``size_bytes``."""
        os.ftruncate(self._open(), size_bytes)

    async def sync(self) -> None:
        """Make content and length durable; new names become durable with ``HostFileSystem`` calls that create them."""
        os.fdatasync(self._open())

    async def close(self) -> None:
        """Release the descriptor."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"file is closed: {self._path}")
        return self._descriptor


class HostFileSystem:
    """Files of the host, for using the engine and ``eseutil`` on their own. Calls block: nothing else shares the loop then."""

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> HostFile:
        """Open a file; a newly created name is made durable at once."""
        return _open_host(path, write=write, create=create, exclusive=exclusive)

    async def stat(self, path: str) -> FileStat:
        """Return length and kind; raises ``FileNotFoundError``."""
        return _stat_host(Path(path))

    async def exists(self, path: str) -> bool:
        """Whether anything stands at ``path``."""
        return _exists_host(Path(path))

    async def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        return _list_host(Path(path))

    async def make_directory(self, path: str) -> None:
        """Make a directory and its parents."""
        _make_host_directory(Path(path))

    async def rename(self, source: str, target: str) -> None:
        """Rename over ``target`` and make the names durable."""
        _rename_host(source, target)

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        _remove_host(Path(path))
        _sync_directory(directory_name(path))

    async def sync(self) -> None:
        """Nothing is left to do: every call above has made its own effect durable, or ``HostFile.sync`` does."""


def _open_host(path: str, *, write: bool, create: bool, exclusive: bool) -> HostFile:
    flags = os.O_RDWR if write else os.O_RDONLY
    is_new = create and not Path(path).exists()
    if create:
        flags |= os.O_CREAT | (os.O_EXCL if exclusive else 0)
    file = HostFile(path, os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o644))
    if is_new:
        _sync_directory(directory_name(path))
    return file


def _stat_host(path: Path) -> FileStat:
    return FileStat(path.stat().st_size, path.is_dir())


def _exists_host(path: Path) -> bool:
    return path.exists()


def _list_host(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def _make_host_directory(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)


def _rename_host(source: str, target: str) -> None:
    Path(source).replace(target)
    _sync_directory(directory_name(target))
    if directory_name(source) != directory_name(target):
        _sync_directory(directory_name(source))


def _remove_host(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Some file systems refuse to sync a directory; they order names themselves.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
