"""The clone provider: full copies, made by splitting a mirror (the protocol's *plex*).

What happens in which phase. *End prepare* copies the whole volume while it is in use, and from before the first byte a filter
notes which blocks change. *Pre-commit* copies those again, *commit* the few that changed since, with writes held; then the
mirror is split off and the volume is no longer watched. A clone needs as much room as the volume, and nothing of it later:
it is readable when the original is lost. Clones live as long as the provider: persistent ones are refused.

Invariant: outside a set in the making no volume is watched. Source: Volume Shadow Copy Service documentation, provider pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from vss.errors import (
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    VolumeError,
    VolumeNotSupportedError,
    VolumeReadError,
    VolumeWriteError,
)
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import Provider, ProviderCapabilities, ProviderType, SnapshotProperties
from vss.roles.volume import FileSystem, Volume
from vss.volumes.block_store import BlockStore, Buffer, MemoryStore
from vss.volumes.block_volume import BlockVolume
from vss.volumes.extent_file_system import ExtentFileSystem
from vss_providers.on_disk.layout import BLOCK_SHIFT, BLOCK_SIZE
from vss_providers.snapshot_set import Stage, as_provider_error

PROVIDER_ID = Guid("b1d06b5e-5a0d-4c1b-8a63-0f3e5f1b9c02")

PLEX = 0x40000
REFUSED_ATTRIBUTES = 0x1 | 0x4 | 0x8 | 0x20 | 0x10000 | 0x20000
"""Persistent, client accessible, no auto release, transportable, hardware assisted, differential."""

COPY_BYTES = 1 << 20

MakeMirror = Callable[[str, int], BlockStore]


def memory_mirror(name: str, size_bytes: int) -> BlockStore:
    """Return blank memory for the mirror called ``name``."""
    return MemoryStore(size_bytes, name=name)


class Mirror:
    """A full copy of one volume in the making; a write filter that notes what changes."""

    def __init__(self, volume: BlockVolume, store: BlockStore) -> None:
        """Copy ``volume`` to ``store``, which is blank and as long; nothing is copied yet."""
        self.volume = volume
        self.store = store
        self._source = volume.raw_store
        self._is_dirty = bytearray(-(-volume.size_bytes // BLOCK_SIZE))

    def before_write(self, offset: int, length: int) -> None:
        """Note the blocks that are about to change."""
        first, last = offset >> BLOCK_SHIFT, offset + length - 1 >> BLOCK_SHIFT
        self._is_dirty[first : last + 1] = b"\1" * (last + 1 - first)

    def copy(self, offset: int, length: int) -> None:
        """Copy a piece; blank ones are blank already."""
        data = self._source.read(offset, length)
        if data.count(0) != length:
            self.store.write(offset, data)

    def catch_up(self) -> None:
        """Copy every block that changed since it was copied. Nothing changes meanwhile: this does not give way."""
        size, block = self.volume.size_bytes, self._is_dirty.find(1)
        while block >= 0:
            offset = block << BLOCK_SHIFT
            self.store.write(offset, self._source.read(offset, min(BLOCK_SIZE, size - offset)))
            self._is_dirty[block] = 0
            block = self._is_dirty.find(1, block + 1)

    @property
    def is_current(self) -> bool:
        """Whether the volume still stands on what is copied: not after the disk was lost or replaced."""
        return self.volume.raw_store is self._source


class CloneDevice:
    """A clone as a device: takes writes until ``finish`` was called, and nothing at all once ``discard`` was."""

    def __init__(self, store: BlockStore) -> None:
        """Serve the blocks of ``store``."""
        self._store: BlockStore | None = store
        self._name = store.name
        self.size_bytes = store.size_bytes
        self._is_finished = False

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes; ``VolumeReadError`` when the clone is deleted."""
        if self._store is None:
            raise VolumeReadError(f"{self._name}: deleted")
        return self._store.read(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """Change the clone; ``VolumeWriteError`` after its final commit."""
        if self._store is None or self._is_finished:
            raise VolumeWriteError(f"{self._name}: read-only since its final commit")
        self._store.write(offset, data)

    def flush(self) -> None:
        """Make the changes durable."""
        if self._store is not None:
            self._store.flush()

    def finish(self) -> None:
        """Refuse writes from now on."""
        self._is_finished = True

    def discard(self) -> None:
        """Give the blocks back and refuse everything."""
        if self._store is not None:
            self._store.close()
            self._store = None


@dataclass(slots=True)
class _Clone:
    """One clone, in the making or finished."""

    properties: SnapshotProperties
    mirror: Mirror
    device: CloneDevice


@dataclass(slots=True)
class _CloneSet:
    """The set in the making."""

    snapshot_set_id: Guid
    stage: Stage = Stage.PREPARING
    clones: dict[Guid, _Clone] = field(default_factory=dict)


class CloneProvider(Provider):
    """See the module. One set is in the making at a time."""

    provider_id = PROVIDER_ID
    name = "Clone shadow copy provider"
    version = "1.0"
    type = ProviderType.SOFTWARE
    capabilities = ProviderCapabilities(is_plex=True, supports_auto_recovery=True)

    def __init__(self, ports: Ports, *, make_mirror: MakeMirror = memory_mirror) -> None:
        """Begin with no clone; ``make_mirror(name, size_bytes)`` returns a blank store for each."""
        self._ports = ports
        self._make_mirror = make_mirror
        self._set: _CloneSet | None = None
        self._clones: dict[Guid, _Clone] = {}
        self._count = 0

    # -- making a set ----------------------------------------------------------------------------------------------------------

    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        """Block volumes that are there, and attributes that a clone in memory can honour."""
        return isinstance(volume, BlockVolume) and not volume.is_lost and not attributes & REFUSED_ATTRIBUTES

    async def begin_prepare_snapshot(self, snapshot_set_id: Guid, snapshot_id: Guid, volume: Volume, attributes: int) -> None:
        """Take ``volume`` into the set.

        Raises:
            VolumeNotSupportedError: not a block volume, or an attribute that cannot be honoured.
            ProviderVetoError: the set is past preparing, or has the volume already.
        """
        if self._set is not None and self._set.snapshot_set_id != snapshot_set_id:
            self._undo(self._set)
        if not isinstance(volume, BlockVolume) or not await self.is_volume_supported(volume, attributes):
            raise VolumeNotSupportedError(
                f"volume {volume.name} with attributes {attributes:#x}: expected a block volume and no persistent clone",
                hresult=HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
            )
        if self._set is None:
            self._set = _CloneSet(snapshot_set_id)
        current = self._current(snapshot_set_id, Stage.PREPARING, "BeginPrepareSnapshot")
        if any(clone.mirror.volume is volume for clone in current.clones.values()):
            raise ProviderVetoError(f"shadow copy set {snapshot_set_id}: volume {volume.name} is in the set already")
        self._count += 1
        properties = SnapshotProperties(
            snapshot_id=snapshot_id,
            snapshot_set_id=snapshot_set_id,
            provider_id=self.provider_id,
            original_volume=volume.name,
            original_volume_id=volume.volume_id,
            snapshots_in_set=0,
            created_ns=0,
            attributes=attributes | PLEX,
            size_bytes=volume.size_bytes,
            device_name=rf"\\?\GLOBALROOT\Device\HarddiskVolumeClone{self._count}",
            context=attributes & 0x1D,
        )
        try:
            store = self._make_mirror(f"clone {self._count} of {volume.name}", volume.size_bytes)
        except VolumeError as error:
            raise as_provider_error(error, f"volume {volume.name} could not be prepared") from error
        current.clones[snapshot_id] = _Clone(properties, Mirror(volume, store), CloneDevice(store))

    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        """Copy the volumes, giving way after each piece.

        Raises:
            InsufficientStorageError: no room for a mirror.
            ProviderVetoError: out of order, aborted meanwhile, or a device failed.
        """
        current = self._current(snapshot_set_id, Stage.PREPARING, "EndPrepareSnapshots")
        for clone in current.clones.values():
            mirror, size = clone.mirror, clone.properties.size_bytes
            try:
                mirror.volume.attach_filter(mirror)
                for offset in range(0, size, COPY_BYTES):
                    mirror.copy(offset, min(COPY_BYTES, size - offset))
                    await self._ports.clock.sleep(0)
                    if self._set is not current:
                        raise ProviderVetoError(f"shadow copy set {snapshot_set_id}: aborted while it was being prepared")
            except VolumeError as error:
                raise as_provider_error(error, f"volume {mirror.volume.name} could not be copied") from error
        current.stage = Stage.PREPARED

    async def pre_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Copy what changed since: writers are frozen, little more will."""
        current = self._current(snapshot_set_id, Stage.PREPARED, "PreCommitSnapshots")
        self._catch_up(current)
        current.stage = Stage.PRECOMMITTED

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Copy the rest and split the mirrors. Nothing here waits."""
        current = self._current(snapshot_set_id, Stage.PRECOMMITTED, "CommitSnapshots")
        self._catch_up(current)
        created_ns, count = self._ports.clock.wall_ns(), len(current.clones)
        for clone in current.clones.values():
            clone.mirror.volume.detach_filter(clone.mirror)
            clone.properties = replace(clone.properties, created_ns=created_ns, snapshots_in_set=count)
        current.stage = Stage.COMMITTED

    def _catch_up(self, current: _CloneSet) -> None:
        for clone in current.clones.values():
            volume = clone.mirror.volume
            if not clone.mirror.is_current:
                raise ProviderVetoError(f"volume {volume.name}: lost or replaced since the set was prepared")
            try:
                clone.mirror.catch_up()
            except VolumeError as error:
                raise as_provider_error(error, f"volume {volume.name} could not be copied") from error

    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        """Nothing is left to clean up."""
        self._current(snapshot_set_id, Stage.COMMITTED, "PostCommitSnapshots").stage = Stage.POSTCOMMITTED

    async def pre_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Let ``open_snapshot`` hand out file systems that can be written."""
        self._current(snapshot_set_id, Stage.POSTCOMMITTED, "PreFinalCommitSnapshots").stage = Stage.WRITABLE

    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Refuse writes from now on; the set is finished."""
        current = self._current(snapshot_set_id, Stage.WRITABLE, "PostFinalCommitSnapshots")
        for clone in current.clones.values():
            clone.device.finish()
        self._clones |= current.clones
        self._set = None

    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        """Undo the set, whatever was reached; an unknown or finished one is left alone."""
        if self._set is not None and self._set.snapshot_set_id == snapshot_set_id:
            self._undo(self._set)

    def _undo(self, current: _CloneSet) -> None:
        for clone in current.clones.values():
            clone.mirror.volume.detach_filter(clone.mirror)
            clone.device.discard()
        self._set = None

    def _current(self, snapshot_set_id: Guid, stage: Stage, call: str) -> _CloneSet:
        current = self._set
        if current is None or current.snapshot_set_id != snapshot_set_id:
            raise ProviderError(
                f"{call}: expected the shadow copy set in the making, found {snapshot_set_id}",
                hresult=HResult.VSS_E_OBJECT_NOT_FOUND,
            )
        if current.stage is not stage:
            raise ProviderVetoError(
                f"shadow copy set {snapshot_set_id}: expected {call} in stage {stage.name}, found {current.stage.name}"
            )
        return current

    # -- finished clones -------------------------------------------------------------------------------------------------------

    async def query(self) -> list[SnapshotProperties]:
        """Return every finished clone, oldest first."""
        return [clone.properties for clone in self._clones.values()]

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """Mount a clone; writable between pre-final and post-final commit of its set.

        Raises:
            NotFoundError: there is none with this id.
            VolumeDamagedError: there is no file system on it.
        """
        if snapshot_id in self._clones:
            return ExtentFileSystem.on_device(self._clones[snapshot_id].device)
        if self._set is None or self._set.stage is not Stage.WRITABLE or snapshot_id not in self._set.clones:
            raise NotFoundError(f"shadow copy {snapshot_id} does not exist, or its set is in the making")
        return ExtentFileSystem.on_writable_device(self._set.clones[snapshot_id].device, self._ports.clock.wall_ns)

    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        """Delete one clone; ``NotFoundError`` where there is none."""
        clone = self._clones.pop(snapshot_id, None)
        if clone is None:
            raise NotFoundError(f"shadow copy {snapshot_id} does not exist")
        clone.device.discard()

    async def close(self) -> None:
        """The machine shuts down: no clone outlives it."""
        if self._set is not None:
            self._undo(self._set)
        for clone in self._clones.values():
            clone.device.discard()
        self._clones.clear()
