"""The extent file system as roles use it: asynchronous, behind the write gate of its volume.

Decides which operations pass the gate and which wait for the device. Everything that changes the volume is one synchronous
piece of work of ``ExtentCore`` that the gate lets through whole; reads are never held. While the gate is open and nobody
injects faults, an operation runs at once without a further task switch.

Invariants: ``sync`` returns only when data and names are durable, and where any flush of this file system failed since the file
was opened or last told, it fails once: what was written before that is of unknown durability, and a later successful flush
proves nothing about it. The object lives as long as its volume; files opened before a remount are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from vss.errors import BadStateError, VolumeError, VolumeWriteError
from vss.ids import Guid
from vss.roles.volume import FileStat
from vss.volumes.block_store import BlockDevice, Buffer, WritableBlockDevice, byte_view
from vss.volumes.extent_core import ExtentCore
from vss.volumes.file_tree import FileNode
from vss.volumes.write_gate import WriteGate

T = TypeVar("T")


class ExtentFile:
    """An open file."""

    __slots__ = ("_core", "_failed_flushes", "_files", "_is_closed", "_is_writable", "_node", "_path")

    def __init__(self, files: ExtentFileSystem, core: ExtentCore, node: FileNode, path: str, *, is_writable: bool) -> None:
        """Open ``node``; the file system counts the handle."""
        self._files = files
        self._core = core
        self._node = node
        self._path = path
        self._is_writable = is_writable
        self._is_closed = False
        self._failed_flushes = core.failed_flushes
        node.open_count += 1

    @property
    def path(self) -> str:
        """The path it was opened by."""
        return self._path

    @property
    def size_bytes(self) -> int:
        """The length now."""
        return self._node.size_bytes

    async def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes; fewer only at the end of the file."""
        if self._is_closed:
            self._refuse_closed()
        gate = self._files.gate
        if gate is None or gate.reads_directly:
            return self._core.read(self._node, offset, length)
        return await gate.pass_read(lambda: self._core.read(self._node, offset, length))

    async def pwrite(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at ``offset``; waits while the volume holds writes."""
        if self._is_closed or not self._is_writable:
            self._refuse_write()
        content = byte_view(data)
        gate = self._files.gate
        if gate is None or gate.is_open:
            self._core.write(self._node, offset, content)
        else:
            await gate.pass_write(lambda: self._core.write(self._node, offset, content), len(content))

    async def truncate(self, size_bytes: int) -> None:
        """Cut or extend to ``size_bytes``."""
        if self._is_closed or not self._is_writable:
            self._refuse_write()
        await self._files.change(lambda: self._core.truncate(self._node, size_bytes))

    async def sync(self) -> None:
        """Make data and length durable.

        Raises:
            VolumeWriteError: it is unknown which writes are durable.
        """
        if self._is_closed:
            self._refuse_closed()
        try:
            await self._files.sync_core(self._core)
        finally:
            failed, self._failed_flushes = self._core.failed_flushes - self._failed_flushes, self._core.failed_flushes
        if failed:
            raise VolumeWriteError(f"file {self._path!r}: an earlier flush of the volume failed; writes before it may be lost")

    async def close(self) -> None:
        """Release the handle."""
        if not self._is_closed:
            self._is_closed = True
            self._core.close(self._node)

    def _refuse_closed(self) -> None:
        raise BadStateError(f"file {self._path!r}: expected an open file, found it closed")

    def _refuse_write(self) -> None:
        if self._is_closed:
            self._refuse_closed()
        raise VolumeWriteError(f"file {self._path!r}: opened for reading only")


class ExtentFileSystem:
    """The files of a live volume, or of a shadow copy."""

    def __init__(self, core: ExtentCore, gate: WriteGate | None = None) -> None:
        """Serve ``core``; without a gate every operation runs at once."""
        self._core = core
        self.gate = gate

    @classmethod
    def on_device(cls, device: BlockDevice) -> ExtentFileSystem:
        """Mount any device read-only: the block device of a shadow copy.

        Raises:
            VolumeDamagedError: there is no file system, or it is damaged.
        """
        return cls(ExtentCore.mount_read_only(device))

    @classmethod
    def on_writable_device(cls, device: WritableBlockDevice, now_ns: Callable[[], int]) -> ExtentFileSystem:
        """Mount a device for writing without any gate: a shadow copy while its writer may still change it."""
        return cls(ExtentCore.mount(device, now_ns=now_ns))

    @property
    def is_read_only(self) -> bool:
        """Whether every change is refused."""
        return self._core.is_read_only

    @property
    def volume_id(self) -> Guid:
        """The id the volume was formatted with."""
        return self._core.volume_id

    @property
    def free_bytes(self) -> int:
        """Room left for data."""
        return self._core.free_bytes

    def grow(self, size_bytes: int) -> None:
        """Take all of a device that has become longer; see ``ExtentCore.grow``. For the volume, below its gate."""
        self._core.grow(size_bytes)

    @property
    def open_file_count(self) -> int:
        """How many handles are open on files that have a name."""
        return self._core.open_file_count

    # -- names ----------------------------------------------------------------------------------------------------------------

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> ExtentFile:
        """Open a file; ``create`` makes it where missing, ``exclusive`` fails where it exists; both imply ``write``.

        Raises:
            NotFoundError: neither the file nor leave to make it.
            AlreadyExistsError: it exists and ``exclusive`` was asked for.
            VolumeWriteError: the file system is read-only.
        """
        if (write or create or exclusive) and self.is_read_only:
            raise VolumeWriteError(f"path {path!r}: the file system is read-only")
        if not (create or exclusive):
            return self._opened(path, self._core.find_file, is_writable=write)
        opened: ExtentFile | None = await self.change(
            lambda: self._opened(path, lambda path: self._core.create_file(path, exclusive=exclusive), is_writable=True)
        )
        if opened is None:  # the volume said that it was done and did nothing
            raise VolumeWriteError(f"path {path!r}: the volume acknowledged that it was made, and it is not there")
        return opened

    def _opened(self, path: str, find: Callable[[str], FileNode], *, is_writable: bool) -> ExtentFile:
        return ExtentFile(self, self._core, find(path), path, is_writable=is_writable)

    async def stat(self, path: str) -> FileStat:
        """Return what is known of ``path``; ``NotFoundError`` where there is nothing."""
        return self._core.stat(path)

    async def exists(self, path: str) -> bool:
        """Whether anything stands at ``path``."""
        return self._core.exists(path)

    async def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        return self._core.list_directory(path)

    async def make_directory(self, path: str) -> None:
        """Make a directory and its parents; an existing one is fine."""
        await self.change(lambda: self._core.make_directory(path))

    async def rename(self, source: str, target: str) -> None:
        """Rename, over a file at ``target``; durable when it returns.

        Raises:
            VolumeWriteError: the rename is done, but it is unknown whether it is durable.
        """
        await self._flush_ahead()
        await self.change(lambda: self._core.rename(source, target))

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory; open handles keep the file's bytes until they are closed."""
        await self.change(lambda: self._core.remove(path))

    async def sync(self) -> None:
        """Make everything written so far durable, names included."""
        await self.sync_core(self._core)

    async def locate(self, path: str, offset: int) -> int:
        """Return the offset on the volume of the byte at ``offset`` of a file; ``NotFoundError`` where none is stored."""
        return self._core.locate(path, offset)

    # -- for the files and the volume -----------------------------------------------------------------------------------------

    async def change(self, work: Callable[[], T]) -> T:
        """Pass the gate with a piece of work that changes the volume."""
        if self.gate is None or self.gate.is_open:
            return work()
        return await self.gate.pass_write(work)

    async def sync_core(self, core: ExtentCore) -> None:
        """Make everything ``core`` was told durable. The data goes first, outside the loop: little is left to flush on it."""
        core.check_usable()
        if core.is_read_only:
            return
        await self._flush_ahead()
        if core.has_pending:
            await self.change(core.commit)

    async def _flush_ahead(self) -> None:
        """Flush outside the loop; with no gate there is no loop to keep free."""
        if self.gate is None:
            self._core.flush()
        else:
            await self.gate.pass_flush(self._core.flush)

    def flush_device(self) -> None:
        """Flush the device; open files learn of a failure."""
        self._core.flush()

    def settle(self) -> None:
        """Commit what is in memory, at once and below the gate: the volume is about to hold writes."""
        self._core.commit()

    def replace(self, core: ExtentCore) -> None:
        """Serve what was mounted anew; files opened before are refused."""
        self._core.refuse(VolumeError("the volume was mounted anew; open the file again"))
        self._core = core

    def refuse(self, error: VolumeError) -> None:
        """Answer everything with ``error``."""
        self._core.refuse(error)
