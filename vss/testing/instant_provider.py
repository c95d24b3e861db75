"""The smallest complete provider: the whole volume copied in memory at the point in time, at no cost in virtual time.

Writers are tested on it, and it is the model to read before writing a provider: one set in the making, phases in order, a set
whole or gone. Its copies need as much memory as the volume and live as long as the object. Order of calls and codes: Volume
Shadow Copy Service documentation, "Shadow copy creation for providers", "Error handling in shadow copy providers".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum

from vss.errors import NotFoundError, ProviderError, ProviderVetoError, VolumeError, VolumeNotSupportedError, VolumeWriteError
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.attributes import NOT_FOR_VOLATILE_FULL_COPIES, SnapshotAttributes
from vss.roles.provider import Provider, ProviderCapabilities, SnapshotProperties
from vss.roles.volume import FileSystem, Volume
from vss.volumes.block_store import Buffer, MemoryStore
from vss.volumes.block_volume import BlockVolume
from vss.volumes.extent_file_system import ExtentFileSystem

_COPY_BYTES = 1 << 16
_BLANK = bytes(_COPY_BYTES)


class Phase(IntEnum):
    """The last phase that succeeded."""

    BEGUN = 1
    PREPARED = 2
    PRE_COMMITTED = 3
    COMMITTED = 4
    POST_COMMITTED = 5
    WRITABLE = 6


class CopyDevice:
    """The bytes of one copy; writable until ``is_final``, readable until ``is_gone``."""

    def __init__(self, name: str, size_bytes: int) -> None:
        """Begin with zeros."""
        self.size_bytes = size_bytes
        self.store = MemoryStore(size_bytes, name=name)
        self.was_taken = False
        self.is_final = False
        self.is_gone = False

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes; ``VolumeError`` once the copy was deleted."""
        if self.is_gone:
            raise VolumeError(f"{self.store.name} was deleted")
        return self.store.read(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """Change the copy; ``VolumeWriteError`` after its final commit."""
        if self.is_final or self.is_gone:
            raise VolumeWriteError(f"{self.store.name} is read-only")
        self.store.write(offset, data)

    def take(self, volume: BlockVolume) -> None:
        """Copy all of ``volume`` as it is now, into a blank store: what is blank costs nothing, unless it was taken before."""
        for offset in range(0, self.size_bytes, _COPY_BYTES):
            data = volume.device.read(offset, min(_COPY_BYTES, self.size_bytes - offset))
            if self.was_taken or data != _BLANK[: len(data)]:
                self.store.write(offset, data)
        self.was_taken = True


@dataclass(slots=True)
class _Copy:
    volume: BlockVolume
    properties: SnapshotProperties
    device: CopyDevice


@dataclass(slots=True)
class _Set:
    set_id: Guid
    phase: Phase = Phase.BEGUN
    copies: dict[Guid, _Copy] = field(default_factory=dict)


class InstantProvider(Provider):
    """See the module."""

    provider_id = Guid("2c0f5f0e-9a0b-4b57-8a55-0a1de05c2f77")
    name = "Instant copy provider"
    capabilities = ProviderCapabilities(is_plex=True, supports_auto_recovery=True)

    def __init__(self, ports: Ports) -> None:
        """Begin with no shadow copy."""
        self._ports = ports
        self._set: _Set | None = None
        self._finished: dict[Guid, _Copy] = {}
        self._count = 0

    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        """Block volumes that are there, and attributes that a copy in memory can honour."""
        return isinstance(volume, BlockVolume) and not volume.is_lost and not attributes & NOT_FOR_VOLATILE_FULL_COPIES

    async def begin_prepare_snapshot(self, snapshot_set_id: Guid, snapshot_id: Guid, volume: Volume, attributes: int) -> None:
        """Take ``volume`` into the set; an unfinished set of another id is dead from here."""
        if not isinstance(volume, BlockVolume) or not await self.is_volume_supported(volume, attributes):
            raise VolumeNotSupportedError(
                f"volume {volume.name} with attributes {attributes:#x}: expected a block volume and a volatile full copy",
                hresult=HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
            )
        if self._set is None or self._set.set_id != snapshot_set_id:
            self._undo()
            self._set = _Set(snapshot_set_id)
        current = self._current(snapshot_set_id, Phase.BEGUN)
        if any(copy.volume is volume for copy in current.copies.values()):
            raise ProviderVetoError(f"volume {volume.name} is in the shadow copy set {snapshot_set_id} already")
        self._count += 1
        name = rf"\\?\GLOBALROOT\Device\HarddiskVolumeCopy{self._count}"
        properties = SnapshotProperties.in_the_making(
            self.provider_id, snapshot_set_id, snapshot_id, volume, attributes | SnapshotAttributes.PLEX, name
        )
        device = CopyDevice(f"shadow copy {snapshot_id}", volume.size_bytes)
        current.copies[snapshot_id] = _Copy(volume, properties, device)

    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        """Nothing is slow here."""
        self._current(snapshot_set_id, Phase.BEGUN).phase = Phase.PREPARED

    async def pre_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Nothing is left to prepare."""
        self._current(snapshot_set_id, Phase.PREPARED).phase = Phase.PRE_COMMITTED

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Copy every volume, giving way to nothing else between the first and the last."""
        current = self._current(snapshot_set_id, Phase.PRE_COMMITTED)
        created_ns, count = self._ports.clock.wall_ns(), len(current.copies)
        for copy in current.copies.values():
            try:
                copy.device.take(copy.volume)
            except VolumeError as error:
                raise ProviderVetoError(f"volume {copy.volume.name} could not be copied: {error.message}") from error
            copy.properties = replace(copy.properties, created_ns=created_ns, snapshots_in_set=count)
        current.phase = Phase.COMMITTED

    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        """Nothing is left to clean up."""
        self._current(snapshot_set_id, Phase.COMMITTED).phase = Phase.POST_COMMITTED

    async def pre_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """The copies take writes from here."""
        self._current(snapshot_set_id, Phase.POST_COMMITTED).phase = Phase.WRITABLE

    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """The copies are final, and only now known to others."""
        current = self._current(snapshot_set_id, Phase.WRITABLE)
        for copy in current.copies.values():
            copy.device.is_final = True
        self._finished |= current.copies
        self._set = None

    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        """Undo the set in the making; any other is left alone."""
        if self._set is not None and self._set.set_id == snapshot_set_id:
            self._undo()

    async def query(self) -> list[SnapshotProperties]:
        """Return the finished copies, oldest first."""
        return [copy.properties for copy in self._finished.values()]

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """Mount a copy; writable between pre-final and post-final commit."""
        if snapshot_id in self._finished:
            return ExtentFileSystem.on_device(self._finished[snapshot_id].device)
        if self._set is None or self._set.phase is not Phase.WRITABLE or snapshot_id not in self._set.copies:
            raise NotFoundError(f"shadow copy {snapshot_id} does not exist, or its set is in the making")
        return ExtentFileSystem.on_writable_device(self._set.copies[snapshot_id].device, self._ports.clock.wall_ns)

    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        """Delete one copy; ``NotFoundError`` where there is none."""
        if snapshot_id not in self._finished:
            raise NotFoundError(f"shadow copy {snapshot_id} does not exist")
        self._finished.pop(snapshot_id).device.is_gone = True

    def _undo(self) -> None:
        if self._set is not None:
            for copy in self._set.copies.values():
                copy.device.is_gone = True
            self._set = None

    def _current(self, set_id: Guid, phase: Phase) -> _Set:
        current = self._set
        if current is None or current.set_id != set_id:
            raise ProviderError(
                f"shadow copy set {set_id} is not in the making at provider '{self.name}'",
                hresult=HResult.VSS_E_OBJECT_NOT_FOUND,
            )
        if current.phase is not phase:
            raise ProviderVetoError(
                f"shadow copy set {set_id}: expected a set that is {phase.name}, found {current.phase.name}"
            )
        return current
