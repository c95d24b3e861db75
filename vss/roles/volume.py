"""What roles may ask of a volume and of the files on it. The machinery is in ``vss.volumes``; this is the face.

Paths inside a file system are POSIX-like and absolute: ``/Exchange/SG1/DB1.edb``. Paths of the machine, as writers declare
them and documents carry them, are ``D:\\Exchange\\SG1\\DB1.edb``: the volume's name, then the path with backslashes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from vss.ids import Guid


@dataclass(frozen=True, slots=True)
class FileStat:
    """What is known of a file without opening it. ``modified_ns`` is wall time."""

    size_bytes: int
    is_directory: bool
    modified_ns: int


class File(Protocol):
    """An open file on a volume. Writes wait while the volume holds writes; each completes once, in issue order."""

    @property
    def path(self) -> str:
        """The path it was opened by."""
        ...

    @property
    def size_bytes(self) -> int:
        """The length as seen by this handle now."""
        ...

    async def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes; fewer only at the end of the file. Unwritten ranges read as zeros.

        Raises:
            VolumeReadError: the device failed.
        """
        ...

    async def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``, growing the file where needed.

        Raises:
            VolumeFullError: no space; the file is as before.
            VolumeWriteError: the device failed or is read-only.
        """
        ...

    async def truncate(self, size_bytes: int) -> None:
        """Cut or extend (reads as zeros) to ``size_bytes``."""
        ...

    async def sync(self) -> None:
        """Make data and length durable."""
        ...

    async def close(self) -> None:
        """Release the handle; calling it twice is harmless."""
        ...


class FileSystem(Protocol):
    """The files of one volume or shadow copy."""

    @property
    def is_read_only(self) -> bool:
        """Whether every change is refused."""
        ...

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        """Open a file; ``create`` makes it where missing, ``exclusive`` fails with ``AlreadyExistsError`` where it exists."""
        ...

    async def stat(self, path: str) -> FileStat:
        """Return what is known of ``path``; ``NotFoundError`` where there is nothing."""
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


class Volume(ABC):
    """An original volume: a name, an identity, a file system, and a gate in front of its writes."""

    volume_id: Guid
    name: str

    @property
    @abstractmethod
    def files(self) -> FileSystem:
        """The live file system."""

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """Length of the volume."""

    @abstractmethod
    async def flush_and_hold(self, window_s: float) -> None:
        """Flush, then queue every later write until ``release_writes`` or until ``window_s`` has passed since this call.

        The volume's own timer does the latter whatever anyone else does (the field's kernel behaviour, 10 s).

        Raises:
            FlushWritesTimeoutError: flushing took longer than the window; nothing is held.
            BadStateError: writes are held already.
        """

    @abstractmethod
    async def release_writes(self) -> None:
        """Let the queued writes go, once and in order.

        Raises:
            HoldWritesTimeoutError: the volume had let them go by itself; the point in time is lost. Raised once per hold;
                with nothing held and nothing lost the call does nothing.
        """

    @property
    @abstractmethod
    def is_holding(self) -> bool:
        """Whether writes are held right now."""
