"""How the copy-on-write provider takes volumes up: what stands behind them, on which volume, and what came too late.

A volume may store its saved blocks on another one. Where that one is not there when the volume is attached, nothing is lost
yet: the provider waits for it, and so does the volume's content, until the first write. That write cannot be kept from the
shadow copies any more, so they are given up before it goes through (volsnap 32); when their storage comes at last it is
cleared (volsnap 59). A storage volume that goes while it is in use takes the shadow copies with it (volsnap 60).

Sources: Microsoft event log messages of volsnap; Microsoft KB 940041 (storage that comes late at boot).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress

from vss.errors import UnsupportedError, VolumeDamagedError, VolumeError
from vss.events import SnapshotDeleted
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import Provider
from vss.roles.volume import Volume
from vss.volumes.block_volume import BlockVolume
from vss_providers.attached_volume import AttachedVolume
from vss_providers.catalog_slots import CatalogSlots
from vss_providers.diff_area import DiffArea
from vss_providers.growth import AreaFaults
from vss_providers.inside_volume import find_extents
from vss_providers.loaded_stack import PERSISTENT
from vss_providers.on_disk.catalog import read_catalog, read_pending
from vss_providers.on_disk.volume_header import VolumeHeader, read_volume_header
from vss_providers.repair import finish_revert
from vss_providers.storage_volume import StorageVolume
from vss_providers.store import Store
from vss_providers.volsnap import Loss, VolsnapEvent


class AwaitedStorage:
    """A write filter on a volume whose storage volume is not there: the first write costs the shadow copies."""

    def __init__(self, ports: Ports, volume: BlockVolume, header: VolumeHeader) -> None:
        """Wait for the storage volume that ``header`` names."""
        self._ports = ports
        self._volume = volume
        self._catalog_offset = header.catalog_offset
        self.storage_id = header.storage_volume_id
        self.is_given_up = False
        volume.attach_filter(self)

    @property
    def volume(self) -> BlockVolume:
        """The volume that waits."""
        return self._volume

    def before_write(self, offset: int, length: int) -> None:
        """Give the shadow copies up, oldest first; what the device raises fails the write, so that none is listed wrongly."""
        device = self._volume.raw_store
        records = [*read_catalog(device, self._catalog_offset), *read_pending(device, self._catalog_offset)]
        catalog = CatalogSlots(device, self._catalog_offset)
        for record in records:
            catalog.remove(record.snapshot_at, is_durable=True)
        self.stop()
        if records:
            self.is_given_up = True
            self._ports.emit(VolsnapEvent.STORAGE_NOT_PRESENT.record(self._volume.name, f"{len(records)} shadow copies"))

    def stop(self) -> None:
        """Wait no longer."""
        self._volume.detach_filter(self)


class TakingUp(Provider):
    """The volumes of a machine, and the diff area of each."""

    def __init__(
        self,
        ports: Ports,
        *,
        maximum_size: int = 0,
        is_durable: bool = True,
        machine_name: str = "",
        growth_s: float = 0.0,
    ) -> None:
        """Begin with no volume.

        Args:
            ports: the world.
            maximum_size: most bytes a new diff area may take, 0 for no bound.
            is_durable: whether persistent shadow copies survive power loss; it costs flushes on first writes.
            machine_name: what the stores carry as originating and service machine.
            growth_s: how long a diff area takes to grow by a step; 0: it grows the moment it must.
        """
        self._ports = ports
        self._maximum_size = maximum_size
        self._is_durable = is_durable
        self._machine_name = machine_name
        self._growth_s = growth_s
        self._attached: dict[Guid, AttachedVolume] = {}
        self._storage_volumes: dict[Guid, StorageVolume] = {}
        self._waiting: dict[Guid, AwaitedStorage] = {}

    def before_mount(self, volume: Volume) -> None:
        """Finish a revert that was cut short: half a reverted volume may hold no file system that could be mounted.

        A diff area that is damaged, or is not here, is a matter of ``attach``.

        Raises:
            VolumeError: the device failed; the next start goes on.
        """
        if not isinstance(volume, BlockVolume):
            return
        with suppress(VolumeDamagedError, UnsupportedError):
            snapshot_id = finish_revert(volume.raw_store)
            if snapshot_id:
                self._ports.emit(VolsnapEvent.REVERT_RESTARTED.record(volume.name, snapshot_id))
                self._ports.emit(VolsnapEvent.REVERT_FINISHED.record(volume.name, snapshot_id))

    async def attach(self, volume: Volume) -> None:
        """Take up the shadow copies behind ``volume``; those that were not to outlive the last start are deleted.

        A revert that was cut short goes on to its end. Attaching again is harmless, and needed after a lost disk was replaced.
        Volumes that are not block volumes are ignored; one whose saved blocks are on another volume waits for that.

        Raises:
            VolumeDamagedError: the diff area is damaged; nothing was changed and nothing is protected.
            UnsupportedError: the shadow copies there were made by another provider.
        """
        if isinstance(volume, BlockVolume):
            await self._find_area(volume)

    async def _attach(self, volume: BlockVolume) -> AttachedVolume:
        """Take ``volume`` up; ``UnsupportedError`` where it can have no shadow copies now."""
        attached = await self._find_area(volume)
        if attached is not None:
            return attached
        raise self._refusal(volume)

    def _refusal(self, volume: Volume) -> UnsupportedError:
        """Return why a volume that was not taken up was not."""
        if volume.volume_id in self._waiting:
            return UnsupportedError(f"volume {volume.name} waits for the volume that stores its shadow copies")
        if volume.volume_id not in self._storage_volumes:
            return UnsupportedError(f"volume {volume.name} has no shadow copies of provider '{self.name}' and can have none")
        return UnsupportedError(
            f"volume {volume.name} stores the shadow copies of other volumes and can have none itself",
            hint="no reader of the format can tell the two apart",
        )

    async def _find_area(self, volume: BlockVolume) -> AttachedVolume | None:
        """Return the volume with its diff area; None where it is a storage volume, or waits for one."""
        known = self._attached.get(volume.volume_id)
        if known is not None and known.volume is volume and known.is_current:
            return known
        if known is not None:
            known.area.forget(known.absence)
            known.growth.abandon_bitmaps()
            del self._attached[volume.volume_id]
        serving = self._storage_volumes.get(volume.volume_id)
        if serving is not None and serving.volume is volume and serving.is_current:
            return None
        waiting = self._waiting.pop(volume.volume_id, None)
        if waiting is not None:
            waiting.stop()
        serving = StorageVolume.find(volume)
        if serving is not None:
            self._storage_volumes[volume.volume_id] = serving
            await self._storage_came(serving)
            return None
        header = read_volume_header(volume.raw_store)
        storage = None
        if header is not None and header.is_stored_elsewhere:
            storage = self._storage_volumes.get(header.storage_volume_id)
            if storage is None or not storage.is_current or header.volume_id not in storage.associations:
                self._waiting[volume.volume_id] = AwaitedStorage(self._ports, volume, header)
                return None
        attached = await self._take_up(volume, storage)
        for other in list(self._storage_volumes.values()):
            await self._end_left_over(other, attached)
        return attached

    async def _end_left_over(self, storage: StorageVolume, attached: AttachedVolume) -> None:
        """Take away an association that the volume itself knows nothing of: a crash fell between the two disks."""
        if attached.area.storage is not storage and storage.is_current and attached.volume.volume_id in storage.associations:
            await self._dissociate(storage, attached.volume.volume_id)

    async def _dissociate(self, storage: StorageVolume, volume_id: Guid) -> None:
        """End an association; a storage volume that serves nobody any more is one like any other."""
        storage.dissociate(volume_id)
        if not storage.associations:
            del self._storage_volumes[storage.volume.volume_id]
            await self._find_area(storage.volume)

    async def _storage_came(self, storage: StorageVolume) -> None:
        """Take up the volumes that waited for it."""
        self._forget_absent()
        for waiting in list(self._waiting.values()):
            if waiting.storage_id == storage.volume.volume_id and waiting.volume.volume_id in storage.associations:
                if waiting.is_given_up:
                    self._ports.emit(VolsnapEvent.STORAGE_CAME_LATE.record(waiting.volume.name))
                await self._find_area(waiting.volume)
        for attached in list(self._attached.values()):
            if attached.is_current:
                await self._end_left_over(storage, attached)

    async def _take_up(self, volume: BlockVolume, storage: StorageVolume | None) -> AttachedVolume:
        area = DiffArea(
            volume.raw_store,
            volume.size_bytes,
            volume.volume_id,
            lambda stores, loss: self._report_lost(attached, stores, loss),
            maximum_size=self._maximum_size,
            is_durable=self._is_durable,
            extents=await find_extents(volume) if storage is None else (),
            storage=storage,
        )
        growth = AreaFaults(self._ports, volume, area, self._growth_s)
        attached = self._attached[volume.volume_id] = AttachedVolume(volume, area, growth)
        attached.set_filter()
        growth.complete_bitmaps()
        if area.missing:
            text = f"{len(area.missing)} shadow copies have no store on their storage volume"
            self._ports.emit(VolsnapEvent.STORE_NOT_FOUND.record(volume.name, text))
        for store in list(area.stack):
            if not store.lost and not store.information.attributes & PERSISTENT and self._drop(attached, store):
                self._report_deleted(store, "not persistent, left from an earlier start")
        reverting = area.reverting
        if reverting is not None:
            await self._go_on_reverting(attached, reverting)
        return attached

    @abstractmethod
    async def _go_on_reverting(self, attached: AttachedVolume, store: Store) -> None:
        """Bring a revert that was cut short to its end."""

    def _report_lost(self, attached: AttachedVolume, stores: Sequence[Store], loss: Loss) -> None:
        attached.set_filter()
        self._ports.emit(loss.event.record(attached.volume.name, loss.reason))
        for store in stores:
            self._report_deleted(store, loss.reason)

    def _report_deleted(self, store: Store, reason: str) -> None:
        self._ports.emit(SnapshotDeleted(snapshot_id=str(store.snapshot_id), reason=reason))

    def _drop(self, attached: AttachedVolume, store: Store) -> bool:
        """Delete a shadow copy that must not stay; where that fails give up all of its volume and return False."""
        try:
            attached.area.delete(store)
        except VolumeError as error:
            reason = f"shadow copy {store.snapshot_id} could not be deleted: {error.message}"
            attached.area.lose_all(Loss(VolsnapEvent.ABORTED_BY_IO_FAILURE, reason))
            return False
        attached.set_filter()
        return True

    def _forget_absent(self) -> None:
        """Leave out what went with a lost disk: the volume's own, or the one that stored its saved blocks."""
        for attached in self._attached.values():
            storage = attached.area.storage
            if not attached.is_current:
                attached.area.forget(attached.absence)
            elif storage is not None and not storage.is_current and attached.area.stack:
                reason = f"volume {storage.volume.name}, which stored them, was lost or replaced"
                attached.area.lose_all(Loss(VolsnapEvent.STORAGE_OFFLINE, reason))

    def _attached_volume(self, volume: Volume) -> AttachedVolume:
        """Return a volume that was taken up; ``UnsupportedError`` where it is none of ours."""
        attached = self._attached.get(volume.volume_id)
        if attached is None or not attached.is_current:
            raise self._refusal(volume)
        return attached
