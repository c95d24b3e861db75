"""The files of a machine as a writer uses them, with every change noted and every handle counted.

A change is noted when it is done, with the instant at which it was asked for: a write that waited at a volume which held writes
was issued when the writer issued it, and that is what the rules of Freeze are about.
"""

from __future__ import annotations

from dataclasses import dataclass

from vss.ports import Ports
from vss.roles.volume import File, FileStat, FileSystem


@dataclass(slots=True)
class Change:
    """One change, by machine path. ``kind``: write, truncate, rename, remove, create, directory."""

    issued_ns: int
    kind: str
    path: str
    detail: str = ""
    is_done: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.path}{' ' + self.detail if self.detail else ''} at {self.issued_ns / 1e9:g} s"

    @property
    def is_loss(self) -> bool:
        """Whether it takes bytes away: a removed or a shortened file."""
        return self.kind == "remove" or self.detail.startswith("shorter")


class WatchedFiles:
    """A ``FileSystem`` over another one."""

    def __init__(self, files: FileSystem, ports: Ports) -> None:
        """Watch ``files``; instants are those of ``ports.clock``."""
        self.files = files
        self.changes: list[Change] = []
        self.open_paths: list[str] = []
        self._ports = ports

    def note(self, kind: str, path: str, detail: str = "") -> Change:
        """Note a change that is about to be asked for."""
        change = Change(self._ports.clock.now_ns(), kind, path, detail)
        self.changes.append(change)
        return change

    @property
    def is_read_only(self) -> bool:
        """Whether every change is refused."""
        return self.files.is_read_only

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        """Open a file; making one is a change."""
        change = None
        if (create or exclusive) and not await self.files.exists(path):
            change = self.note("create", path)
        handle = await self.files.open(path, write=write, create=create, exclusive=exclusive)
        if change is not None:
            change.is_done = True
        self.open_paths.append(path)
        return _WatchedFile(self, handle, path)

    async def stat(self, path: str) -> FileStat:
        """Return what is known of ``path``."""
        return await self.files.stat(path)

    async def exists(self, path: str) -> bool:
        """Whether anything stands at ``path``."""
        return await self.files.exists(path)

    async def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory."""
        return await self.files.list_directory(path)

    async def make_directory(self, path: str) -> None:
        """Make a directory."""
        change = self.note("directory", path)
        await self.files.make_directory(path)
        change.is_done = True

    async def rename(self, source: str, target: str) -> None:
        """Rename a file."""
        change = self.note("rename", source, f"to {target}")
        await self.files.rename(source, target)
        change.is_done = True

    async def remove(self, path: str) -> None:
        """Remove a file."""
        change = self.note("remove", path)
        await self.files.remove(path)
        change.is_done = True

    async def sync(self) -> None:
        """Make everything durable."""
        await self.files.sync()


class _WatchedFile:
    """An open file."""

    def __init__(self, watched: WatchedFiles, handle: File, path: str) -> None:
        self.path = path
        self._watched = watched
        self._handle = handle
        self._is_closed = False
        self.pread = handle.pread
        self.sync = handle.sync

    @property
    def size_bytes(self) -> int:
        """The length now."""
        return self._handle.size_bytes

    async def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write."""
        change = self._watched.note("write", self.path, f"{len(data)} bytes at offset {offset}")
        await self._handle.pwrite(offset, data)
        change.is_done = True

    async def truncate(self, size_bytes: int) -> None:
        """Cut or extend."""
        now = self._handle.size_bytes
        detail = f"{'shorter' if size_bytes < now else 'longer'}: {now} to {size_bytes} bytes"
        change = self._watched.note("truncate", self.path, detail)
        await self._handle.truncate(size_bytes)
        change.is_done = True

    async def close(self) -> None:
        """Release the handle."""
        await self._handle.close()
        if not self._is_closed:
            self._is_closed = True
            self._watched.open_paths.remove(self.path)
