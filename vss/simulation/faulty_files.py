"""The host's files with fault sites: every open, read, write, sync, rename and removal of a role passes one.

Decides how a document reaches its name, step by step, so that each step can fail, tear or be the last one: temporary file,
sync, rename, directory sync (``HostFiles.write_atomically``). Invariants: without a fault the outcome is that of the files
below; an error leaves neither a temporary file nor half a document under the final name, a crash may leave the temporary file.
A failed sync with ``fsyncgate`` drops what was written since the last one for good (Rebello et al., "Can Applications Recover
from fsync Failures?", 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vss.io_faults import IoFault, IoFaultSite, struck, struck_read, struck_write
from vss.ports import HostFile, HostFiles, HostLock
from vss.simulation.fault_processes import RoleCrashedError

_FAILED_FLUSH = "fsyncgate"


class FaultyFile:
    """An open file that passes sites; what it cannot do itself the file below does."""

    def __init__(self, inner: HostFile, io_faults: IoFaultSite, path: Path, *, keeps_unsynced: bool) -> None:
        """Wrap ``inner``; ``keeps_unsynced``: remember what writes replace, for a sync that loses them."""
        self._inner = inner
        self._io_faults = io_faults
        self._path = path
        self._told = {"path": str(path), "name": path.name}
        self._keeps_unsynced = keeps_unsynced
        self._replaced: list[tuple[int, bytes]] = []
        self._synced_size = inner.size() if keeps_unsynced else 0
        self.close = inner.close
        self.size = inner.size

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        fault = self._io_faults("set.read", length, **self._told)
        return struck_read(fault, lambda: self._inner.pread(offset, length), str(self._path))

    def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``."""
        fault = self._io_faults("set.write", len(data), **self._told)
        if fault is None:
            self._write(offset, data)
        else:
            struck_write(fault, offset, bytes(data), self._write, str(self._path))

    def _write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if self._keeps_unsynced:
            self._replaced.append((offset, self._inner.pread(offset, len(data))))
        self._inner.pwrite(offset, data)

    def truncate(self, size: int) -> None:
        """Cut or extend (with zeros) to ``size`` bytes."""
        struck(self._io_faults("set.write", 0, **self._told), lambda: self._inner.truncate(size), str(self._path))

    def sync(self) -> None:
        """Make the written bytes durable."""
        fault = self._io_faults("set.sync", 0, **self._told)
        if fault is not None and fault.effect == _FAILED_FLUSH:
            self._drop_unsynced()
        struck(fault, self._sync, str(self._path))

    def _sync(self) -> None:
        self._inner.sync()
        if self._keeps_unsynced:
            self._replaced.clear()
            self._synced_size = self._inner.size()

    def _drop_unsynced(self) -> None:
        for offset, data in reversed(self._replaced):
            self._inner.pwrite(offset, data)
        self._replaced.clear()
        self._inner.truncate(self._synced_size)


class FaultyFiles:
    """A host file tree that passes sites; what is not an effect goes straight to the files below."""

    def __init__(self, inner: HostFiles, io_faults: IoFaultSite, *, keeps_unsynced: bool = False) -> None:
        """Wrap ``inner``.

        Args:
            inner: the host's files.
            io_faults: the fault site of plain calls.
            keeps_unsynced: whether a failed sync may lose what was written since the last one.
        """
        self._inner = inner
        self._io_faults = io_faults
        self._keeps_unsynced = keeps_unsynced
        self._temporary_number = 0
        self.list_directory = inner.list_directory
        self.is_directory = inner.is_directory
        self.exists = inner.exists
        self.free_bytes = inner.free_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _fault(self, step: str, path: Path, size: int = 0) -> IoFault | None:
        return self._io_faults(f"set.{step}", size, path=str(path), name=path.name)

    def _do(self, step: str, path: Path, work: Callable[[], object]) -> None:
        struck(self._fault(step, path), work, str(path))

    def open(self, path: Path, *, write: bool = False, create: bool = False, exclusive: bool = False) -> HostFile:
        """Open a file; ``exclusive`` implies ``create`` and fails where the file exists."""
        fault = self._fault("open", path)
        opened = struck(fault, lambda: self._inner.open(path, write=write, create=create, exclusive=exclusive), str(path))
        assert opened is not None, "no fault of an open is silent"
        return FaultyFile(opened, self._io_faults, path, keeps_unsynced=self._keeps_unsynced)

    def read_bytes(self, path: Path) -> bytes:
        """Return a whole (small) file."""
        return struck_read(self._fault("read", path), lambda: self._inner.read_bytes(path), str(path))

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Replace ``path`` by ``data``: temporary file, sync, rename, directory sync; each of them a site of ``path``."""
        if self._inner.is_directory(path):
            self._inner.write_atomically(path, data)  # says what is wrong
        self._temporary_number += 1
        temporary = path.with_name(f".{path.name}.{self._temporary_number}.tmp")
        opened = struck(self._fault("open", path), lambda: self._inner.open(temporary, exclusive=True), str(path))
        assert opened is not None, "no fault of an open is silent"
        try:
            file = FaultyFile(opened, self._io_faults, path, keeps_unsynced=self._keeps_unsynced)
            try:
                file.pwrite(0, data)
                file.sync()
            finally:
                file.close()
            self._do("rename", path, lambda: self._inner.rename(temporary, path))
        except RoleCrashedError:
            raise
        except BaseException:
            self._inner.remove(temporary)
            raise
        if self._inner.exists(temporary):  # a lie: the name is still the old one
            self._inner.remove(temporary)
        self.sync_directory(path.parent)

    def make_directory(self, path: Path) -> None:
        """Make a directory and its parents; an existing one is fine."""
        self._do("make_directory", path, lambda: self._inner.make_directory(path))

    def rename(self, source: Path, target: Path) -> None:
        """Rename over ``target``."""
        self._do("rename", target, lambda: self._inner.rename(source, target))

    def remove(self, path: Path) -> None:
        """Remove a file or an empty directory."""
        self._do("delete", path, lambda: self._inner.remove(path))

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and all below it; a missing one is fine."""
        self._do("delete", path, lambda: self._inner.remove_tree(path))

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable."""
        self._do("sync_directory", path, lambda: self._inner.sync_directory(path))

    def lock(self, path: Path) -> HostLock:
        """Take the exclusive lock on the file at ``path``."""
        return self._inner.lock(path)
