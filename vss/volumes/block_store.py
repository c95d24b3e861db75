"""Where the bytes of a block volume live: the synchronous face, and the two stores that hold bytes.

Decides how a volume's bytes are kept: in memory (``MemoryStore``) or in an image file of the host (``ImageStore``). A store may
be larger than the volume on it: a diff area lives behind the volume. Stores know nothing of gates, filters and file systems;
whoever holds one is below the gate.

Invariants: every access lies wholly inside ``size_bytes`` or fails with nothing changed; bytes never written read as zeros;
``flush`` is the only durability promise. Errors are ``VolumeReadError``, ``VolumeWriteError`` and ``VolumeFullError`` and name
the store and the offset.
"""

from __future__ import annotations

import errno
import mmap
from pathlib import Path
from typing import Protocol, runtime_checkable

from vss.errors import InvalidArgumentError, VolumeFullError, VolumeReadError, VolumeWriteError
from vss.ports import HostFile, HostFiles, blank

SECTOR_BYTES = 512
BLOCK_BYTES = 16384
"""The unit of copy-on-write (libvshadow format document, "Overview")."""

Buffer = bytes | bytearray | memoryview

_RESERVE_BYTES = 16 << 20
_COPY_BYTES = 1 << 20


class BlockDevice(Protocol):
    """What a file system needs to read: a live volume, a store, or the device of a shadow copy."""

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes.

        Raises:
            VolumeReadError: outside the device, or the device failed.
        """
        ...


class WritableBlockDevice(BlockDevice, Protocol):
    """What a file system needs to write. A device without ``flush`` is taken to be durable at once."""

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at ``offset``.

        Raises:
            VolumeWriteError: outside the device, or the device failed.
            VolumeFullError: the host has no room left for it.
        """
        ...


class BlockStore(WritableBlockDevice, Protocol):
    """The bytes under a volume, without any gate."""

    @property
    def name(self) -> str:
        """What error messages call it."""
        ...

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill all of ``buffer`` from ``offset``; errors as ``read``."""
        ...

    def flush(self) -> None:
        """Make every write so far durable.

        Raises:
            VolumeWriteError: which writes since the last flush are durable is unknown; flushing again does not change that.
        """
        ...

    def grow(self, size_bytes: int) -> None:
        """Lengthen to ``size_bytes`` (new bytes are zeros); a smaller or equal size does nothing.

        Raises:
            VolumeFullError: no room.
        """
        ...

    def close(self) -> None:
        """Let go of handles; calling it twice is harmless."""
        ...


@runtime_checkable
class DiscardingStore(Protocol):
    """What a ``BlockStore`` may offer besides: room that goes back to the host."""

    def discard(self, offset: int, length: int) -> None:
        """Make ``length`` bytes zeros without keeping room for them; errors as ``write``."""
        ...


@runtime_checkable
class CopyingStore(Protocol):
    """What a ``BlockStore`` may offer besides: copying inside it without a detour."""

    def copy_within(self, source: int, target: int, length: int, record_at: int = 0, record: bytes = b"") -> memoryview:
        """Copy ``length`` bytes from ``source`` to ``target``, then write ``record`` at ``record_at``.

        Returns a view of the copy, for one look; errors as ``read`` and ``write``.
        """
        ...


def check_range(name: str, size_bytes: int, offset: int, length: int, error: type[VolumeReadError | VolumeWriteError]) -> None:
    """Raise ``error`` unless ``offset``..``offset + length`` lies inside the ``size_bytes`` of ``name``."""
    if offset < 0 or length < 0 or offset + length > size_bytes:
        raise error(f"{name}: expected a range inside {size_bytes} bytes, found offset {offset} length {length}")


def byte_view(data: Buffer) -> Buffer:
    """Return ``data`` with a length that counts bytes, whatever the items of a memoryview are."""
    if isinstance(data, memoryview) and (data.itemsize != 1 or data.ndim != 1):
        return data.cast("B")
    return data


class MemoryStore:
    """Bytes in anonymous memory. Pages never written cost nothing, so a large volume is cheap until it is filled."""

    def __init__(self, size_bytes: int, *, name: str = "memory", content: bytes = b"") -> None:
        """Make a store of ``size_bytes`` zeros that begins with ``content``."""
        if size_bytes <= 0 or len(content) > size_bytes:
            raise InvalidArgumentError(f"{name}: expected a positive size of at least {len(content)} bytes, found {size_bytes}")
        self._name = name
        self._size = size_bytes
        self._memory = _anonymous_memory(size_bytes)
        self._view = memoryview(self._memory)
        if content:
            self._memory[: len(content)] = content

    @property
    def name(self) -> str:
        """What error messages call it."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes; ``VolumeReadError`` outside the store."""
        end = offset + length
        if offset < 0 or end > self._size or length < 0:
            check_range(self._name, self._size, offset, length, VolumeReadError)
        return self._memory[offset:end]

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill all of ``buffer`` from ``offset``."""
        length = len(buffer)
        check_range(self._name, self._size, offset, length, VolumeReadError)
        buffer[:] = self._memory[offset : offset + length]

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``; ``VolumeWriteError`` outside the store."""
        end = offset + len(data)
        if offset < 0 or end > self._size:
            check_range(self._name, self._size, offset, len(data), VolumeWriteError)
        self._memory[offset:end] = data

    def copy_within(self, source: int, target: int, length: int, record_at: int = 0, record: bytes = b"") -> memoryview:
        """Copy inside the store, then write ``record``; ``VolumeReadError`` or ``VolumeWriteError`` outside it."""
        size, end, record_end = self._size, target + length, record_at + len(record)
        if source < 0 or source + length > size or length < 0:
            check_range(self._name, size, source, length, VolumeReadError)
        if target < 0 or end > size:
            check_range(self._name, size, target, length, VolumeWriteError)
        if record_at < 0 or record_end > size:
            check_range(self._name, size, record_at, len(record), VolumeWriteError)
        memory = self._memory
        memory.move(target, source, length)
        memory[record_at:record_end] = record
        return self._view[target:end]

    def flush(self) -> None:
        """Do nothing: memory has no durability to promise. Power loss is ``FaultyStore``'s subject."""

    def grow(self, size_bytes: int) -> None:
        """Lengthen; beyond the reserved address range the written pages are copied once."""
        if size_bytes <= self._size:
            return
        if size_bytes > len(self._memory):
            memory = _anonymous_memory(size_bytes)
            blank = bytes(_COPY_BYTES)
            for start in range(0, self._size, _COPY_BYTES):
                chunk = self._memory[start : min(start + _COPY_BYTES, self._size)]
                if chunk != blank:
                    memory[start : start + len(chunk)] = chunk
            self._view.release()
            self._memory.close()
            self._memory, self._view = memory, memoryview(memory)
        self._size = size_bytes

    def close(self) -> None:
        """Do nothing: the bytes live as long as the object, so that a volume can be closed and mounted again."""


def _anonymous_memory(size_bytes: int) -> mmap.mmap:
    """Map private zero pages with room to grow: address space is free, a page costs only when it is first written."""
    return mmap.mmap(-1, size_bytes * 2 + _RESERVE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class ImageStore:
    """Bytes in a (sparse) image file of the host, which other people's tools open directly."""

    def __init__(self, file: HostFile, *, name: str) -> None:
        """Take over an open host file; its length is the store's."""
        self._file = file
        self._name = name
        self._size = file.size()

    @classmethod
    def create(cls, files: HostFiles, path: Path, size_bytes: int) -> ImageStore:
        """Make a sparse image of ``size_bytes`` zeros; ``FileExistsError`` where ``path`` exists."""
        if size_bytes <= 0:
            raise InvalidArgumentError(f"{path}: expected a positive size, found {size_bytes}")
        file = files.open(path, write=True, create=True, exclusive=True)
        try:
            file.truncate(size_bytes)
        except BaseException:
            file.close()
            files.remove(path)
            raise
        return cls(file, name=str(path))

    @classmethod
    def open(cls, files: HostFiles, path: Path, *, write: bool = True) -> ImageStore:
        """Open an existing image; ``FileNotFoundError`` where there is none."""
        return cls(files.open(path, write=write), name=str(path))

    @property
    def name(self) -> str:
        """The image's path."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes; a short answer of the host is an error, never zeros."""
        if offset < 0 or length < 0 or offset + length > self._size:
            check_range(self._name, self._size, offset, length, VolumeReadError)
        try:
            data = self._file.pread(offset, length)
        except OSError as error:
            raise VolumeReadError(f"{self._name}: reading {length} bytes at offset {offset}: {error}") from error
        if len(data) != length:
            raise VolumeReadError(f"{self._name}: expected {length} bytes at offset {offset}, found {len(data)}")
        return data

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill all of ``buffer`` from ``offset``."""
        buffer[:] = self.read(offset, len(buffer))

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``."""
        if offset < 0 or offset + len(data) > self._size:
            check_range(self._name, self._size, offset, len(data), VolumeWriteError)
        try:
            self._file.pwrite(offset, data)
        except OSError as error:
            raise _write_error(self._name, f"writing {len(data)} bytes at offset {offset}", error) from error

    def discard(self, offset: int, length: int) -> None:
        """Make ``length`` bytes zeros, a hole of the image where the host has holes."""
        check_range(self._name, self._size, offset, length, VolumeWriteError)
        if not length:
            return
        try:
            blank(self._file, offset, length)
        except OSError as error:
            raise _write_error(self._name, f"discarding {length} bytes at offset {offset}", error) from error

    def flush(self) -> None:
        """Make every write so far durable on the host."""
        try:
            self._file.sync()
        except OSError as error:
            raise _write_error(self._name, "flushing", error) from error

    def grow(self, size_bytes: int) -> None:
        """Lengthen the image; it stays sparse."""
        if size_bytes <= self._size:
            return
        try:
            self._file.truncate(size_bytes)
        except OSError as error:
            raise _write_error(self._name, f"growing to {size_bytes} bytes", error) from error
        self._size = size_bytes

    def close(self) -> None:
        """Close the host file."""
        self._file.close()


def _write_error(name: str, doing: str, error: OSError) -> VolumeFullError | VolumeWriteError:
    kind = VolumeFullError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else VolumeWriteError
    return kind(f"{name}: {doing}: {error}")
