"""The block volume: a store, a gate in front of its writes, filters for copy-on-write, and the file system mounted on it.

Decides how the parts are stacked. From above: the file system's operations and raw writes pass the gate (``write_gate``); what
the gate lets through reaches the ``VolumeDevice``, which tells every attached filter before the store changes; the store holds
the bytes. Providers work below the gate on ``raw_store``, which may be longer than the volume: a diff area lives behind it.

Invariants: nothing but the gate's owner and ``raw_store`` changes the store; a filter that raises leaves the store as it was
and fails that write; a volume that was lost answers every access with ``VolumeError`` until it is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vss.errors import BadStateError, InvalidArgumentError, VolumeError, VolumeReadError, VolumeWriteError
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.volume import Volume
from vss.volumes.block_store import BlockStore, Buffer, DiscardingStore, MemoryStore, byte_view, check_range
from vss.volumes.boot_record import volume_size_of
from vss.volumes.extent_core import ExtentCore
from vss.volumes.extent_file_system import ExtentFileSystem
from vss.volumes.no_store import NoStore
from vss.volumes.paths import check_volume_name
from vss.volumes.planned_store import planned_store
from vss.volumes.volume_growth import check_growth, lengthen
from vss.volumes.write_gate import NO_LATENCY, Latency, WriteGate

_DISCARD_BYTES = 1 << 20


class WriteFilter(Protocol):
    """What stands between gate and store. Filters are told in the order they were attached."""

    def before_write(self, offset: int, length: int) -> None:
        """The bytes at ``offset``..``offset + length`` of the volume are about to change; save them now if they matter.

        Called synchronously, below the gate. What it raises fails the write, and the volume stays as it was; a filter that
        would rather lose its shadow copies than the write must swallow its own errors.
        """
        ...


class VolumeDevice:
    """The bytes of the volume below the gate and above the store, through the filters.

    Attributes:
        size_bytes: length of the volume, not of the store.
        is_dirty: whether anything was written since the last flush began.
    """

    __slots__ = ("_filters", "_name", "_store", "is_dirty", "size_bytes")

    def __init__(self, name: str, store: BlockStore, size_bytes: int) -> None:
        """Put a device of ``size_bytes`` on the beginning of ``store``."""
        self._name = name
        self._store = store
        self._filters: tuple[WriteFilter, ...] = ()
        self.size_bytes = size_bytes
        self.is_dirty = False

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes of the volume."""
        if offset < 0 or offset + length > self.size_bytes:
            check_range(self._name, self.size_bytes, offset, length, VolumeReadError)
        return self._store.read(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """Tell the filters, then change the store."""
        if offset < 0 or offset + len(data) > self.size_bytes:
            check_range(self._name, self.size_bytes, offset, len(data), VolumeWriteError)
        for each in self._filters:
            each.before_write(offset, len(data))
        self.is_dirty = True
        self._store.write(offset, data)

    def discard(self, offset: int, length: int) -> None:
        """Put zeros, filters first, wherever something else stands; a store that can gives its room back."""
        check_range(self._name, self.size_bytes, offset, length, VolumeWriteError)
        for at in range(offset, offset + length, _DISCARD_BYTES):
            size = min(_DISCARD_BYTES, offset + length - at)
            is_blank = self._store.read(at, size).count(0) == size
            if not isinstance(self._store, DiscardingStore):
                if not is_blank:
                    self.write(at, bytes(size))
                continue
            for each in () if is_blank else self._filters:
                each.before_write(at, size)
            self.is_dirty = True
            self._store.discard(at, size)

    def flush(self) -> None:
        """Flush the store where something was written since the last time."""
        if not self.is_dirty:
            return
        self.is_dirty = False
        try:
            self._store.flush()
        except VolumeError:
            self.is_dirty = True
            raise

    @property
    def is_followed(self) -> bool:
        """Whether any filter is attached."""
        return bool(self._filters)

    def attach(self, each: WriteFilter) -> None:
        """Add a filter."""
        self._filters = (*self._filters, each)

    def detach(self, each: WriteFilter) -> None:
        """Take a filter away; one that is not there is fine."""
        self._filters = tuple(other for other in self._filters if other is not each)

    def lose(self, error: VolumeError) -> None:
        """Answer everything with ``error`` from now on."""
        self._filters = ()
        self.replace(NoStore(self._name, self.size_bytes, error))

    def replace(self, store: BlockStore) -> None:
        """Put another store below."""
        self._store = store
        self.is_dirty = False


class BlockVolume(Volume):
    """A volume of blocks with one extent file system on it. Make one with ``format`` or ``mount``."""

    def __init__(
        self,
        ports: Ports,
        name: str,
        store: BlockStore,
        *,
        volume_id: Guid,
        size_bytes: int | None = None,
        latency: Latency = NO_LATENCY,
    ) -> None:
        """Stack gate and device on ``store``; no file system is mounted yet.

        Args:
            ports: the world.
            name: the drive name, ``D:``.
            store: the bytes; the volume owns it from now on.
            volume_id: the volume's identity.
            size_bytes: length of the volume; by default what the boot record says, else the store's length.
            latency: what an operation costs in simulated time.
        """
        check_volume_name(name)
        store = planned_store(ports, name, store)
        size = volume_size_of(store) if size_bytes is None else size_bytes
        if not 0 < size <= store.size_bytes:
            raise InvalidArgumentError(f"volume {name} expected a size of 1 to {store.size_bytes} bytes, found {size}")
        self.name = name
        self.volume_id = volume_id
        self._ports = ports
        self._store = store
        self._device = VolumeDevice(name, store, size)
        self._gate = WriteGate(ports, name, latency)
        self._files: ExtentFileSystem | None = None
        self._lost: VolumeError | None = None

    @classmethod
    def format(
        cls,
        ports: Ports,
        name: str,
        store: BlockStore,
        *,
        volume_id: Guid,
        size_bytes: int | None = None,
        latency: Latency = NO_LATENCY,
    ) -> BlockVolume:
        """Make a volume with a new, empty file system; arguments as for the class (default size: the whole store)."""
        size = store.size_bytes if size_bytes is None else size_bytes
        volume = cls(ports, name, store, volume_id=volume_id, size_bytes=size, latency=latency)
        ExtentCore.format(volume._device, volume_id=volume_id)
        volume.remount()
        return volume

    @classmethod
    def mount(
        cls,
        ports: Ports,
        name: str,
        store: BlockStore,
        *,
        volume_id: Guid | None = None,
        latency: Latency = NO_LATENCY,
        before_mount: Callable[[BlockVolume], None] | None = None,
    ) -> BlockVolume:
        """Mount the volume that stands on ``store``; its id is the one it was formatted with unless another is given.

        ``before_mount`` is given the volume while nothing is mounted on it.

        Raises:
            VolumeDamagedError: there is no file system, or it is damaged.
        """
        volume = cls(ports, name, store, volume_id=Guid(int=0), latency=latency)
        if before_mount is not None:
            before_mount(volume)
        volume.remount()
        volume.volume_id = volume.files.volume_id if volume_id is None else volume_id
        return volume

    @classmethod
    def lost(cls, ports: Ports, name: str, size_bytes: int, *, volume_id: Guid) -> BlockVolume:
        """Make the volume of a disk that is gone: every access fails until ``replace_with_blank``."""
        volume = cls(ports, name, MemoryStore(size_bytes, name=name), volume_id=volume_id, size_bytes=size_bytes)
        volume.lose()
        return volume

    # -- faces ----------------------------------------------------------------------------------------------------------------

    @property
    def files(self) -> ExtentFileSystem:
        """The live file system; the same object for the volume's whole life."""
        if self._files is None:
            self._check_present()
            raise BadStateError(f"volume {self.name} expected a mounted file system, found none")
        return self._files

    @property
    def size_bytes(self) -> int:
        """Length of the volume."""
        return self._device.size_bytes

    @property
    def raw_store(self) -> BlockStore:
        """The bytes below gate and filters, as long as the store is. For providers and fault tools."""
        return self._device._store

    @property
    def device(self) -> VolumeDevice:
        """The bytes below the gate, through the filters."""
        return self._device

    @property
    def is_lost(self) -> bool:
        """Whether the disk is gone."""
        return self._lost is not None

    @property
    def is_holding(self) -> bool:
        """Whether writes are held right now."""
        return self._gate.is_holding

    @property
    def queued_count(self) -> int:
        """How many writes wait at the gate."""
        return self._gate.queued_count

    def attach_filter(self, write_filter: WriteFilter) -> None:
        """Have ``write_filter`` told before every change of the volume."""
        self._check_present()
        self._device.attach(write_filter)

    def detach_filter(self, write_filter: WriteFilter) -> None:
        """Stop telling it; one that is not attached is fine."""
        self._device.detach(write_filter)

    # -- blocks ---------------------------------------------------------------------------------------------------------------

    async def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes of the volume as it is now; ``VolumeReadError`` where that fails."""
        return await self._gate.pass_read(lambda: self._device.read(offset, length))

    async def write(self, offset: int, data: Buffer) -> None:
        """Write ``data`` at ``offset``; waits while writes are held. Raises ``VolumeWriteError`` where that fails."""
        content = byte_view(data)
        await self._gate.pass_write(lambda: self._device.write(offset, content), len(content))

    async def discard(self, offset: int, length: int) -> None:
        """Say that the bytes there matter no more: they read as zeros from now on, and shadow copies keep what they were.

        Waits while writes are held, like a write. An image gets holes there, where the host has them, so that it shrinks.

        Raises:
            VolumeWriteError: outside the volume, or the device failed; part of it may be zeros.
        """
        await self._gate.pass_write(lambda: self._device.discard(offset, length), length)

    async def flush(self) -> None:
        """Make every block written so far durable. What the file system keeps in memory is ``files.sync``'s concern."""
        await self._gate.pass_flush(self._flush)

    # -- hold -----------------------------------------------------------------------------------------------------------------

    async def flush_and_hold(self, window_s: float) -> None:
        """Flush files and blocks, then hold writes; see ``Volume.flush_and_hold`` and ``WriteGate.flush_and_hold``."""
        self._check_present()
        await self._gate.flush_and_hold(window_s, self._flush, self._settle)

    async def release_writes(self) -> None:
        """Let the queued writes go; ``HoldWritesTimeoutError`` once where the volume had done so by itself."""
        await self._gate.release_writes()

    def _flush(self) -> None:
        """Flush through the file system where one is mounted, so that its open files learn of a failure."""
        if self._files is not None:
            self._files.flush_device()
        else:
            self._device.flush()

    def _settle(self) -> None:
        if self._files is not None:
            self._files.settle()
        self._flush()

    # -- life -----------------------------------------------------------------------------------------------------------------

    def remount(self) -> None:
        """Mount what stands on the store now, recovering it where needed; files opened before are refused from now on.

        Used after power loss and after a provider put other blocks in place.

        Raises:
            VolumeDamagedError: no file system can be mounted; the one mounted before refuses everything with the same error.
        """
        self._check_present()
        try:
            core = ExtentCore.mount(self._device, now_ns=self._ports.clock.wall_ns)
        except VolumeError as error:
            if self._files is not None:
                self._files.refuse(error)
            raise
        if self._files is None:
            self._files = ExtentFileSystem(core, self._gate)
        else:
            self._files.replace(core)

    async def grow(self, size_bytes: int) -> None:
        """Make volume and file system ``size_bytes`` long; the same size ends a growth that was cut off. Waits while held.

        Raises:
            InvalidArgumentError: smaller, or not in whole sectors.
            BadStateError: it has shadow copies or storage for them, or a provider follows its writes; nothing was changed.
            VolumeError: the device failed; the length is the old or the new one.
        """
        self._check_present()
        await self._gate.pass_write(lambda: self._grow(size_bytes))

    def _grow(self, size_bytes: int) -> None:
        store, device = self.raw_store, self._device
        check_growth(self.name, store, device.size_bytes, size_bytes, is_followed=device.is_followed)
        if size_bytes > device.size_bytes:
            lengthen(store, device.size_bytes, size_bytes, self.volume_id)
            device.size_bytes = size_bytes
        if self._files is not None:
            self._files.grow(size_bytes)

    def lose(self) -> None:
        """The disk is gone: every access fails with ``VolumeError``, waiting writes too; a hold ends."""
        if self._lost is not None:
            return
        error = VolumeError(f"volume {self.name} is lost", hint="replace it with a blank one and restore")
        self._lost = error
        self._device.lose(error)
        if self._files is not None:
            self._files.refuse(error)
        self._gate.refuse(error)
        self._store.close()

    def replace_with_blank(self, store: BlockStore | None = None) -> None:
        """Put a new disk in the place of the lost one, formatted and empty, with the same name, id and size.

        Args:
            store: the new bytes, all zeros and at least as long as the volume; memory by default.

        Raises:
            BadStateError: the volume is not lost.
        """
        if self._lost is None:
            raise BadStateError(f"volume {self.name} expected a lost volume, found a working one")
        blank = MemoryStore(self.size_bytes, name=self.name) if store is None else store
        if blank.size_bytes < self.size_bytes:
            raise InvalidArgumentError(
                f"volume {self.name} expected a store of at least {self.size_bytes} bytes, found {blank.size_bytes}"
            )
        self._lost = None
        self._store = blank = planned_store(self._ports, self.name, blank)
        self._device.replace(blank)
        ExtentCore.format(self._device, volume_id=self.volume_id)
        self.remount()

    def close(self) -> None:
        """Bring everything to the store and let go of it; a volume that is lost has nothing to bring."""
        if self._lost is None:
            self._settle()
            self._store.close()

    def _check_present(self) -> None:
        if self._lost is not None:
            raise VolumeError(self._lost.message, hint=self._lost.hint)
