"""A directory of the host as a volume: its files, behind a write gate of their own.

Decides what of a host directory is the volume: what stands below it, reached by plain names only. Paths are checked before the
host sees them, and a symbolic link anywhere on the way is refused, so no path leads outside. The gate holds what is written
through this object; other programs of the host are not held, which is the difference between a host volume and a block volume
and why a provider must say what its shadow copies of one are worth.

Invariants: host errors come out as ``VolumeError`` or one of its kin, with the path; writes held by the gate are synchronous
pieces of work done whole. Host files are touched on the loop for data that the host caches, outside it for flushes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vss.errors import (
    AlreadyExistsError,
    BadStateError,
    InvalidArgumentError,
    NotFoundError,
    VolumeError,
    VolumeFullError,
    VolumeReadError,
    VolumeWriteError,
)
from vss.ids import Guid
from vss.ports import HostFile, HostFiles, Ports
from vss.roles.volume import FileStat, Volume
from vss.volumes.block_store import Buffer, byte_view
from vss.volumes.paths import check_volume_name, parse_path
from vss.volumes.write_gate import WriteGate

T = TypeVar("T")


class HostVolume(Volume):
    """A host directory under a volume name."""

    def __init__(self, ports: Ports, name: str, root: Path, *, volume_id: Guid, is_link: Callable[[Path], bool]) -> None:
        """Serve the existing directory ``root`` as ``name``.

        Args:
            ports: the world.
            name: the drive name, ``H:``.
            root: the directory; may itself be reached through links.
            volume_id: the volume's identity.
            is_link: tells symbolic links of the host from all else: ``Path.is_symlink`` where ``ports.files`` is the real host;
                a world without links says False.

        Raises:
            NotFoundError: ``root`` is no directory.
        """
        check_volume_name(name)
        if not ports.files.is_directory(root):
            raise NotFoundError(f"volume {name} expected a directory at {root}")
        self.name = name
        self.volume_id = volume_id
        self.root = root
        self._host = ports.files
        self._gate = WriteGate(ports, name)
        self._files = HostFileSystem(ports, self._gate, root, is_link)

    @property
    def files(self) -> HostFileSystem:
        """The files below the directory."""
        return self._files

    @property
    def size_bytes(self) -> int:
        """The room left on the host: a directory has no length of its own."""
        return told("/", VolumeReadError, lambda: self._host.free_bytes(self.root))

    @property
    def is_holding(self) -> bool:
        """Whether writes are held right now."""
        return self._gate.is_holding

    @property
    def queued_count(self) -> int:
        """How many writes wait at the gate."""
        return self._gate.queued_count

    async def flush_and_hold(self, window_s: float) -> None:
        """Flush what was written through this volume, then hold writes; see ``WriteGate.flush_and_hold``."""
        await self._gate.flush_and_hold(window_s, self._files.flush, _nothing)

    async def release_writes(self) -> None:
        """Let the queued writes go; ``HoldWritesTimeoutError`` once where the volume had done so by itself."""
        await self._gate.release_writes()


class HostFileSystem:
    """The files below one host directory."""

    def __init__(self, ports: Ports, gate: WriteGate, root: Path, is_link: Callable[[Path], bool]) -> None:
        """Serve what is below ``root`` through ``gate``."""
        self.host: HostFiles = ports.files
        self.gate = gate
        self._now_ns = ports.clock.wall_ns
        self._root = root
        self._is_link = is_link
        self._unflushed: dict[Path, None] = {}
        self._modified: dict[Path, int] = {}

    @property
    def is_read_only(self) -> bool:
        """Never by itself; the host may refuse single writes."""
        return False

    def host_path(self, path: str) -> Path:
        """Return where ``path`` is on the host.

        Raises:
            InvalidArgumentError: the path is not plain, or a symbolic link stands on its way.
        """
        place = self._root
        for name in parse_path(path):
            place = place / name
            if self._is_link(place):
                raise InvalidArgumentError(f"path {path!r}: expected no symbolic links, found one at {name!r}")
        return place

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> HostVolumeFile:
        """Open a file; ``create`` and ``exclusive`` imply ``write``."""
        is_writable = write or create or exclusive

        def opened() -> HostVolumeFile:
            place = self.host_path(path)
            if self.host.is_directory(place):
                raise InvalidArgumentError(f"path {path!r}: expected a file, found a directory")
            is_new = is_writable and not self.host.exists(place)
            file = self.host.open(place, write=is_writable, create=create, exclusive=exclusive)
            if is_new:
                self.note_changed(place, place.parent)
            return HostVolumeFile(self, file, path, place, is_writable=is_writable)

        if create or exclusive:
            return await self._change(path, opened)
        return told(path, VolumeReadError, opened)

    async def stat(self, path: str) -> FileStat:
        """Return what is known of ``path``; the time is that of the last change through this volume, else 0."""
        place = self.host_path(path)
        return told(path, VolumeReadError, lambda: self._stat(place))

    def _stat(self, place: Path) -> FileStat:
        modified = self._modified.get(place, 0)
        if self.host.is_directory(place):
            return FileStat(size_bytes=0, is_directory=True, modified_ns=modified)
        file = self.host.open(place)
        try:
            return FileStat(size_bytes=file.size(), is_directory=False, modified_ns=modified)
        finally:
            file.close()

    async def exists(self, path: str) -> bool:
        """Whether anything stands at ``path``."""
        place = self.host_path(path)
        return told(path, VolumeReadError, lambda: self.host.exists(place))

    async def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        place = self.host_path(path)
        return told(path, VolumeReadError, lambda: self.host.list_directory(place))

    async def make_directory(self, path: str) -> None:
        """Make a directory and its parents."""

        def made() -> None:
            place = self.host_path(path)
            self.host.make_directory(place)
            while place != self._root:
                self.note_changed(place, place.parent)
                place = place.parent

        await self._change(path, made)

    async def rename(self, source: str, target: str) -> None:
        """Rename over a file at ``target``; durable when it returns."""

        def renamed() -> None:
            old, new = self.host_path(source), self.host_path(target)
            if self.host.is_directory(new):
                raise AlreadyExistsError(f"path {target!r}: exists already and is a directory")
            self.host.rename(old, new)
            self._modified[new] = self._modified.pop(old, 0)
            if old in self._unflushed:
                del self._unflushed[old]
                self.note_changed(new)
            self.note_changed(old.parent, new.parent)

        await self._change(source, renamed)
        await self.gate.pass_flush(self.flush)

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""

        def removed() -> None:
            place = self.host_path(path)
            if place == self._root:
                raise InvalidArgumentError("path '/': expected a file or directory below the root")
            self.host.remove(place)
            self._modified.pop(place, None)
            self._unflushed.pop(place, None)
            self.note_changed(place.parent)

        await self._change(path, removed)

    async def sync(self) -> None:
        """Make everything that was changed through this volume durable, names included."""
        await self.gate.pass_flush(self.flush)

    async def _change(self, path: str, work: Callable[[], T]) -> T:
        if self.gate.is_open:
            return told(path, VolumeWriteError, work)
        return await self.gate.pass_write(lambda: told(path, VolumeWriteError, work))

    # -- for the files and the volume -----------------------------------------------------------------------------------------

    def note_changed(self, *places: Path) -> None:
        """Files and directories that have something to flush."""
        for place in places:
            self._unflushed[place] = None
            self._modified[place] = self._now_ns()

    def flush(self) -> None:
        """Flush every file and directory changed through this volume since it was last flushed, in the order of change.

        Raises:
            VolumeWriteError: one could not be flushed; it and those after it count as changed still.
        """
        while self._unflushed:
            place = next(iter(self._unflushed))
            told(str(place), VolumeWriteError, lambda place=place: self._flush_one(place))  # type: ignore[misc]
            self._unflushed.pop(place, None)

    def _flush_one(self, place: Path) -> None:
        if self.host.is_directory(place):
            self.host.sync_directory(place)
        elif self.host.exists(place):
            file = self.host.open(place, write=True)
            try:
                file.sync()
            finally:
                file.close()


class HostVolumeFile:
    """An open file below a host directory."""

    def __init__(self, files: HostFileSystem, file: HostFile, path: str, place: Path, *, is_writable: bool) -> None:
        """Serve an open host file, which was at ``place`` when it was opened."""
        self._files = files
        self._file = file
        self._path = path
        self._place = place
        self._is_writable = is_writable
        self._is_closed = False

    @property
    def path(self) -> str:
        """The path it was opened by."""
        return self._path

    @property
    def size_bytes(self) -> int:
        """The length now."""
        self._check_open()
        return told(self._path, VolumeReadError, self._file.size)

    async def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes; fewer only at the end of the file."""
        self._check_open()
        if offset < 0 or length < 0:
            raise InvalidArgumentError(f"file {self._path!r}: expected a range, found offset {offset} length {length}")
        gate = self._files.gate
        if gate.reads_directly:
            return told(self._path, VolumeReadError, lambda: self._file.pread(offset, length))
        return await gate.pass_read(lambda: told(self._path, VolumeReadError, lambda: self._file.pread(offset, length)))

    async def pwrite(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at ``offset``; waits while the volume holds writes."""
        content = byte_view(data)
        if offset < 0:
            raise InvalidArgumentError(f"file {self._path!r}: expected an offset of at least 0, found {offset}")
        await self._change(lambda: self._file.pwrite(offset, content), len(content))

    async def truncate(self, size_bytes: int) -> None:
        """Cut or extend to ``size_bytes``."""
        if size_bytes < 0:
            raise InvalidArgumentError(f"file {self._path!r}: expected a size of at least 0, found {size_bytes}")
        await self._change(lambda: self._file.truncate(size_bytes), 0)

    async def _change(self, work: Callable[[], None], byte_count: int) -> None:
        self._check_open()
        if not self._is_writable:
            raise VolumeWriteError(f"file {self._path!r}: opened for reading only")

        def changed() -> None:
            self._check_open()
            told(self._path, VolumeWriteError, work)
            self._files.note_changed(self._place)

        gate = self._files.gate
        if gate.is_open:
            changed()
        else:
            await gate.pass_write(changed, byte_count)

    async def sync(self) -> None:
        """Make data and length durable."""
        self._check_open()
        await self._files.gate.pass_flush(lambda: told(self._path, VolumeWriteError, self._file.sync))

    async def close(self) -> None:
        """Release the handle; what was written is flushed with the volume."""
        self._is_closed = True
        self._file.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise BadStateError(f"file {self._path!r}: expected an open file, found it closed")


def told(path: str, otherwise: type[VolumeError], work: Callable[[], T]) -> T:
    """Do ``work`` and say host errors in the framework's words."""
    try:
        return work()
    except FileNotFoundError as error:
        raise NotFoundError(f"path {path!r}: no such file or directory") from error
    except FileExistsError as error:
        raise AlreadyExistsError(f"path {path!r}: exists already") from error
    except (NotADirectoryError, IsADirectoryError) as error:
        raise InvalidArgumentError(f"path {path!r}: {error}") from error
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            raise BadStateError(f"path {path!r}: expected an empty directory") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise VolumeFullError(f"path {path!r}: {error}") from error
        raise otherwise(f"path {path!r}: {error}") from error


def _nothing() -> None:
    """A host directory has nothing in memory to settle."""
