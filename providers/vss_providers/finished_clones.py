"""Mirrors and finished clones: what the clone provider does outside the making of a set.

Invariants: a clone is listed only when it is whole; a mirror that could not be made or brought up to date is given back. What a
resynchronisation copies is what became different since the split, on either side.

Source: Volume Shadow Copy Service documentation, "Fast recovery using LUN resynchronization", "Breaking shadow copies".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vss.errors import (
    InvalidArgumentError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    VolumeError,
)
from vss.events import BlocksCopied
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.ports import NANOSECONDS, Ports
from vss.roles.provider import (
    BreakOptions,
    BrokenSnapshot,
    CopyStatus,
    Provider,
    SnapshotProperties,
)
from vss.roles.volume import FileSystem, Volume
from vss.volumes.block_store import BlockStore, MemoryStore
from vss.volumes.block_volume import BlockVolume
from vss.volumes.extent_file_system import ExtentFileSystem
from vss_providers.mirror import CloneDevice, Mirror
from vss_providers.on_disk.layout import BLOCK_SHIFT, BLOCK_SIZE
from vss_providers.overwriting import REPORT_BYTES, Overwrite, require_idle
from vss_providers.snapshot_set import as_provider_error
from vss_providers.stages import Stage

MakeMirror = Callable[[str, int], BlockStore]


def memory_mirror(name: str, size_bytes: int) -> BlockStore:
    """Return blank memory for the mirror called ``name``."""
    return MemoryStore(size_bytes, name=name)


@dataclass(slots=True)
class Clone:
    """One clone, in the making or finished."""

    properties: SnapshotProperties
    mirror: Mirror
    device: CloneDevice


@dataclass(slots=True)
class CloneSet:
    """The set in the making."""

    snapshot_set_id: Guid
    stage: Stage = Stage.PREPARING
    clones: dict[Guid, Clone] = field(default_factory=dict)


class FinishedClones(Provider):
    """The mirrors, and the clones that are there."""

    def __init__(self, ports: Ports, *, make_mirror: MakeMirror = memory_mirror, seconds_per_mib: float = 0.0) -> None:
        """Begin with no clone.

        Args:
            ports: the world.
            make_mirror: ``make_mirror(name, size_bytes)`` returns a blank store.
            seconds_per_mib: what copying takes in simulated time.
        """
        self._ports = ports
        self._make_mirror = make_mirror
        self._seconds_per_mib = seconds_per_mib
        self._seconds_per_byte = 0.0  # as seen when a mirror was copied the last time
        self._spares: dict[Guid, Mirror] = {}
        self._resyncs: dict[Guid, Overwrite] = {}
        self._set: CloneSet | None = None
        self._clones: dict[Guid, Clone] = {}
        self._count = 0

    # -- mirrors ---------------------------------------------------------------------------------------------------------------

    def _take_spare(self, volume: BlockVolume) -> Mirror | None:
        """Return the mirror that was established ahead, if it is of this volume as it is now."""
        spare = self._spares.pop(volume.volume_id, None)
        if spare is not None and (spare.volume is not volume or not spare.is_current):
            _give_back(spare)
            return None
        return spare

    def _new_mirror(self, volume: BlockVolume) -> Mirror:
        try:
            return Mirror(volume, self._make_mirror(f"clone {self._count} of {volume.name}", volume.size_bytes))
        except VolumeError as error:
            raise as_provider_error(error, f"volume {volume.name} could not be prepared") from error

    async def _synchronise(self, mirror: Mirror, snapshot_id: Guid, check: Callable[[], None]) -> None:
        """Establish a new mirror, or copy what became different of an older one; give way and ``check`` after each piece."""
        volume = mirror.volume
        is_new = not mirror.is_whole
        total = volume.size_bytes if is_new else mirror.dirty_bytes
        done = told = 0
        started_ns = self._ports.clock.now_ns()
        try:
            if is_new:
                mirror.attach()
            self._tell("establish" if is_new else "resync", volume, snapshot_id, 0, total)
            for step in mirror.establish() if is_new else mirror.catch_up():
                length = step - done if is_new else step
                done += length
                if done - told >= REPORT_BYTES or done >= total:
                    told = done
                    self._tell("establish" if is_new else "resync", volume, snapshot_id, min(done, total), total)
                await self._ports.clock.sleep(self._seconds_for(length))
                check()
            if done:
                self._seconds_per_byte = (self._ports.clock.now_ns() - started_ns) / NANOSECONDS / done
        except VolumeError as error:
            raise as_provider_error(error, f"volume {volume.name} could not be copied") from error

    def _seconds_for(self, length: int) -> float:
        return length / (1 << 20) * self._seconds_per_mib

    def _tell(self, work: str, volume: BlockVolume, snapshot_id: Guid, done: int, total: int) -> None:
        self._ports.emit(
            BlocksCopied(work=work, volume=volume.name, snapshot_id=str(snapshot_id), done_bytes=done, total_bytes=total)
        )

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
        """Delete one clone.

        Raises:
            NotFoundError: there is none with this id.
            ProviderError: its volume is being resynchronised from it.
        """
        clone = self._find(snapshot_id)
        self._require_no_resync(clone)
        del self._clones[snapshot_id]
        clone.mirror.detach()
        clone.device.discard()

    def _find(self, snapshot_id: Guid) -> Clone:
        if snapshot_id not in self._clones:
            raise NotFoundError(f"shadow copy {snapshot_id} does not exist")
        return self._clones[snapshot_id]

    def _require_no_resync(self, clone: Clone) -> None:
        running = self._resyncs.get(clone.mirror.volume.volume_id)
        if running is not None and running.is_running and running.status.snapshot_id == clone.properties.snapshot_id:
            raise ProviderError(
                f"volume {clone.mirror.volume.name} is being resynchronised from shadow copy {clone.properties.snapshot_id}",
                hresult=HResult.VSS_E_RESYNC_IN_PROGRESS,
            )

    async def break_snapshot_set(
        self, snapshot_set_id: Guid, options: BreakOptions = BreakOptions.NONE
    ) -> list[BrokenSnapshot]:
        """Make ordinary disks of the clones of a set, writable if ``MAKE_READ_WRITE`` says so.

        Raises:
            NotFoundError: the set has no clone.
            InvalidArgumentError: masking and identities are a matter of arrays.
            ProviderError: a volume is being resynchronised from one of them.
        """
        if options & ~BreakOptions.MAKE_READ_WRITE:
            raise InvalidArgumentError(f"provider '{self.name}' breaks with MAKE_READ_WRITE or nothing, found {options!r}")
        members = [each for each in self._clones.values() if each.properties.snapshot_set_id == snapshot_set_id]
        if not members:
            raise NotFoundError(f"shadow copy set {snapshot_set_id} does not exist")
        for clone in members:
            self._require_no_resync(clone)
        broken = []
        for clone in members:
            clone.mirror.detach()
            if options & BreakOptions.MAKE_READ_WRITE:
                clone.device.make_writable()
            del self._clones[clone.properties.snapshot_id]
            broken.append(BrokenSnapshot(clone.properties.snapshot_id, clone.properties.original_volume, clone.device))
        return broken

    # -- mirrors outside sets --------------------------------------------------------------------------------------------------

    async def establish(self, volume: BlockVolume) -> None:
        """Make a mirror ahead of the next set with ``volume``, and keep note of what changes; nothing where there is one.

        Raises:
            ProviderError: no room for it, or a device failed; there is no mirror then.
        """
        if volume.volume_id in self._spares:
            return
        self._count += 1
        mirror = self._new_mirror(volume)
        try:
            await self._synchronise(mirror, GUID_NULL, lambda: None)
        except BaseException:
            _give_back(mirror)
            raise
        self._spares[volume.volume_id] = mirror

    async def resync_clone(self, snapshot_id: Guid) -> None:
        """Give a clone up as a shadow copy and bring it up to date with its volume: the mirror of the next set.

        Raises:
            NotFoundError: there is none with this id.
            ProviderError: the volume is lost, or being resynchronised from it; or a device failed and the mirror is given up.
        """
        clone = self._find(snapshot_id)
        self._require_no_resync(clone)
        mirror = clone.mirror
        if mirror.volume.is_lost:
            raise ProviderVetoError(f"volume {mirror.volume.name} is lost: shadow copy {snapshot_id} stays as it is")
        del self._clones[snapshot_id]
        clone.device.release()
        try:
            if not mirror.is_current:
                mirror.take_new_disk()
            mirror.is_split = False
            await self._synchronise(mirror, snapshot_id, lambda: None)
        except BaseException:
            _give_back(mirror)
            raise
        spare = self._spares.pop(mirror.volume.volume_id, None)
        if spare is not None:
            _give_back(spare)
        self._spares[mirror.volume.volume_id] = mirror

    async def resync_volume(self, snapshot_id: Guid, *, force_dismount: bool = False) -> None:
        """Bring the original volume back to a clone; only blocks that became different are copied. The clone stays.

        A disk that was replaced is filled as a whole. Cancelling this call does not stop it.

        Raises:
            NotFoundError: there is none with this id.
            ProviderError: the volume is lost, held, in use or being resynchronised.
            VolumeError: a device failed, or no file system can be mounted on what stands there now.
        """
        clone = self._find(snapshot_id)
        mirror, volume = clone.mirror, clone.mirror.volume
        running = self._resyncs.get(volume.volume_id)
        require_idle(volume, running, force_dismount=force_dismount, code=HResult.VSS_E_RESYNC_IN_PROGRESS)
        if not mirror.is_current:
            mirror.take_new_disk()

        def read(block: int) -> bytes:
            offset = block << BLOCK_SHIFT
            return mirror.store.read(offset, min(BLOCK_SIZE, volume.size_bytes - offset))

        overwrite = self._resyncs[volume.volume_id] = Overwrite(self._ports, volume, snapshot_id, "restore")
        overwrite.start(mirror.dirty_blocks(), read, mirror.set_equal)
        await overwrite.wait()

    def resync_status(self, volume: Volume) -> CopyStatus | None:
        """Return how far the last resynchronisation of a volume is; None where there was none."""
        overwrite = self._resyncs.get(volume.volume_id)
        return None if overwrite is None else overwrite.status

    def _undo_current(self) -> None:
        """Undo the set in the making, if any."""

    async def close(self) -> None:
        """The machine shuts down: resynchronisations run to their end, no clone outlives it."""
        for overwrite in self._resyncs.values():
            await overwrite.ended()
        self._undo_current()
        for clone in self._clones.values():
            clone.mirror.detach()
            clone.device.discard()
        self._clones.clear()
        for mirror in self._spares.values():
            _give_back(mirror)
        self._spares.clear()


def _give_back(mirror: Mirror) -> None:
    """Stop watching and let go of the blocks."""
    mirror.detach()
    mirror.store.close()
