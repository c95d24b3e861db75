"""What the copy-on-write provider does with volumes and with finished shadow copies: take up, show, open, delete, revert.

Invariants: a shadow copy is listed only while every block of it can be read; what was lost says why to whoever still reads it.
The making of sets is in ``vss_providers.copy_on_write``.

Sources: Volume Shadow Copy Service documentation, provider pages, "RevertToSnapshot" and "ExposeSnapshot".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vss.errors import (
    InsufficientStorageError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    SetInProgressError,
    UnsupportedError,
    VolumeError,
)
from vss.events import SnapshotDeleted
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import CopyStatus, Provider, SnapshotProperties
from vss.roles.volume import FileSystem, Volume
from vss.volumes.block_volume import BlockVolume
from vss.volumes.extent_file_system import ExtentFileSystem
from vss_providers.attached_volume import AttachedVolume
from vss_providers.diff_area import DiffArea
from vss_providers.digests import wrong_blocks
from vss_providers.inside_volume import find_extents
from vss_providers.on_disk.layout import BLOCK_SHIFT, ns_from_filetime
from vss_providers.overwriting import Overwrite, require_idle
from vss_providers.shadow_stack import PERSISTENT
from vss_providers.snapshot_device import SnapshotDevice, WritableSnapshotDevice
from vss_providers.snapshot_set import SnapshotSet, Stage, as_provider_error
from vss_providers.store import Store
from vss_providers.volsnap import Loss, VolsnapEvent

CLIENT_ACCESSIBLE, EXPOSED_LOCALLY = 0x4, 0x100000


class FinishedCopies(Provider):
    """The volumes, and the shadow copies that are there."""

    def __init__(self, ports: Ports, *, maximum_size: int = 0, is_durable: bool = True, machine_name: str = "") -> None:
        """Begin with no volume.

        Args:
            ports: the world.
            maximum_size: most bytes a new diff area may take, 0 for no bound.
            is_durable: whether persistent shadow copies survive power loss; it costs flushes on first writes.
            machine_name: what the stores carry as originating and service machine.
        """
        self._ports = ports
        self._maximum_size = maximum_size
        self._is_durable = is_durable
        self._machine_name = machine_name
        self._attached: dict[Guid, AttachedVolume] = {}
        self._set: SnapshotSet | None = None
        self._numbers: dict[Guid, int] = {}
        self._reverts: dict[Guid, Overwrite] = {}
        self._exposed: dict[Guid, str] = {}

    # -- volumes ---------------------------------------------------------------------------------------------------------------

    async def attach(self, volume: Volume) -> None:
        """Take up the shadow copies behind ``volume``; those that were not to outlive the last start are deleted.

        A revert that was cut short goes on to its end. Attaching again is harmless, and needed after a lost disk was replaced.
        Volumes that are not block volumes are ignored.

        Raises:
            VolumeDamagedError: the diff area is damaged; nothing was changed and nothing is protected.
            UnsupportedError: the shadow copies there were made by another provider.
        """
        if isinstance(volume, BlockVolume):
            await self._attach(volume)

    async def _attach(self, volume: BlockVolume) -> AttachedVolume:
        known = self._attached.get(volume.volume_id)
        if known is not None and known.volume is volume and known.is_current:
            return known
        if known is not None:
            known.area.forget(known.absence)
        attached = self._take_up(volume, await find_extents(volume))
        reverting = attached.area.reverting
        if reverting is not None:
            await self._go_on_reverting(attached, reverting)
        return attached

    def _take_up(self, volume: BlockVolume, extents: Sequence[tuple[int, int]]) -> AttachedVolume:
        area = DiffArea(
            volume.raw_store,
            volume.size_bytes,
            volume.volume_id,
            lambda stores, loss: self._report_lost(attached, stores, loss),
            maximum_size=self._maximum_size,
            is_durable=self._is_durable,
            extents=extents,
        )
        attached = self._attached[volume.volume_id] = AttachedVolume(volume, area)
        attached.set_filter()
        for store in list(area.stack):
            if not store.lost and not store.information.attributes & PERSISTENT and self._drop(attached, store):
                self._report_deleted(store, "not persistent, left from an earlier start")
        return attached

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
        """Leave out what went with a lost disk."""
        for attached in self._attached.values():
            if not attached.is_current:
                attached.area.forget(attached.absence)

    def _settle(self) -> None:
        """Decide what a crash in the middle of a commit left pending: whole if any volume of the set has its entry, else gone.

        Done at first use, when the machine has attached its volumes; nothing is pending between two calls later on.
        """
        self._forget_absent()
        pending = [(attached, store) for attached, store in self._stores() if store.is_pending]
        committed = {store.information.snapshot_set_id for _, store in self._stores() if not store.is_pending}
        for attached, store in pending:
            if store.information.snapshot_set_id in committed:
                attached.area.publish(store, is_pending=False)
            else:
                self._drop(attached, store)

    def _stores(self) -> Iterator[tuple[AttachedVolume, Store]]:
        """Yield every store that counts, by volume, oldest first."""
        for attached in self._attached.values():
            for store in attached.area.stack:
                yield attached, store

    def _find(self, snapshot_id: Guid) -> tuple[AttachedVolume, Store]:
        self._settle()
        for attached, store in self._stores():
            if store.snapshot_id == snapshot_id:
                return attached, store
        raise NotFoundError(f"shadow copy {snapshot_id} does not exist")

    def _find_finished(self, snapshot_id: Guid) -> tuple[AttachedVolume, Store]:
        """Find a shadow copy whose set is not in the making.

        Raises:
            NotFoundError: there is none with this id.
            ProviderVetoError: its set is in the making.
        """
        attached, store = self._find(snapshot_id)
        if self._set is not None and store.information.snapshot_set_id == self._set.snapshot_set_id:
            raise ProviderVetoError(f"shadow copy {snapshot_id} is in the making: expected its set to be finished or aborted")
        return attached, store

    def diff_area(self, volume: Volume) -> DiffArea:
        """Return the diff area of an attached volume: sizes and maximum; ``NotFoundError`` where there is none."""
        attached = self._attached.get(volume.volume_id)
        if attached is None:
            raise NotFoundError(f"volume {volume.name} has no diff area")
        return attached.area

    # -- showing and opening ---------------------------------------------------------------------------------------------------

    async def query(self) -> list[SnapshotProperties]:
        """Return every finished shadow copy, oldest first."""
        self._settle()
        in_the_making = self._set.snapshot_set_id if self._set else None
        finished = [each for each in self._stores() if each[1].information.snapshot_set_id != in_the_making]
        return [
            self._properties(attached, store) for attached, store in sorted(finished, key=lambda each: each[1].snapshot.created)
        ]

    def _properties(self, attached: AttachedVolume, store: Store) -> SnapshotProperties:
        number = self._numbers.setdefault(store.snapshot_id, len(self._numbers) + 1)
        information = store.information
        return SnapshotProperties(
            snapshot_id=information.snapshot_id,
            snapshot_set_id=information.snapshot_set_id,
            provider_id=self.provider_id,
            original_volume=attached.volume.name,
            original_volume_id=attached.volume.volume_id,
            snapshots_in_set=information.snapshots_in_set,
            created_ns=ns_from_filetime(store.snapshot.created),
            attributes=information.attributes,
            size_bytes=store.snapshot.volume_size,
            device_name=rf"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy{number}",
            context=information.context,
            originating_machine=information.originating_machine,
            service_machine=information.service_machine,
            exposed_name=self._exposed.get(store.snapshot_id, ""),
        )

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """Mount a shadow copy; writable between pre-final and post-final commit of its set.

        Raises:
            NotFoundError: there is none with this id, or none any more.
            VolumeDamagedError: there is no file system on it.
        """
        attached, store = self._find(snapshot_id)
        current = self._set
        if current is None or store.information.snapshot_set_id != current.snapshot_set_id:
            return ExtentFileSystem.on_device(SnapshotDevice(attached, store))
        if current.stage is not Stage.WRITABLE:
            raise NotFoundError(f"shadow copy {snapshot_id} is in the making: expected its set in stage WRITABLE or finished")
        device = WritableSnapshotDevice(attached, store)
        current.devices.append(device)
        return ExtentFileSystem.on_writable_device(device, self._ports.clock.wall_ns)

    def open_device(self, snapshot_id: Guid) -> SnapshotDevice:
        """Return the bytes of a finished shadow copy, whatever file system is on it; ``NotFoundError`` where there is none."""
        attached, store = self._find(snapshot_id)
        return SnapshotDevice(attached, store)

    async def set_exposed_name(self, snapshot_id: Guid, name: str) -> None:
        """Note where a shadow copy can be reached on the host; that it is exposed outlives a restart, the name does not.

        Raises:
            NotFoundError: there is none with this id.
            ProviderError: it is not persistent, or client accessible, or the device failed.
        """
        _, store = self._find_finished(snapshot_id)
        attributes = store.information.attributes
        if name and (not attributes & PERSISTENT or attributes & CLIENT_ACCESSIBLE):
            raise ProviderError(
                f"shadow copy {snapshot_id} cannot be exposed: expected a persistent one that is not client accessible",
                hresult=HResult.VSS_E_UNSUPPORTED_CONTEXT,
            )
        try:
            store.set_attributes(attributes | EXPOSED_LOCALLY if name else attributes & ~EXPOSED_LOCALLY)
        except VolumeError as error:
            raise as_provider_error(error, f"exposing shadow copy {snapshot_id}") from error
        self._exposed.pop(snapshot_id, None)
        if name:
            self._exposed[snapshot_id] = name

    def verify(self, snapshot_id: Guid) -> list[tuple[int, int]]:
        """Compare a shadow copy's saved blocks with their digests; return (offset on the volume, offset in the image) of each
        that is wrong. Blocks that newer shadow copies saved for it are part of it. ``VolumeReadError`` when the device failed.
        """
        attached, store = self._find(snapshot_id)
        stack, wrong, seen = attached.area.stack, [], set[int]()
        for each in stack[stack.index(store) :]:
            needed = {block: at for block, at in each.saved.items() if block not in seen}
            seen.update(needed)
            wrong += wrong_blocks(attached.area.device, needed, each.side_car.digests)
        return sorted((block << BLOCK_SHIFT, at) for block, at in wrong)

    # -- deleting and reverting ------------------------------------------------------------------------------------------------

    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        """Delete one shadow copy; all others read as before.

        Raises:
            NotFoundError: there is none with this id.
            ProviderError: it is in the making or being reverted to, or the device failed or has no room for handing blocks
                down; the shadow copy is still there.
        """
        attached, store = self._find_finished(snapshot_id)
        if attached.area.reverting is store:
            raise ProviderVetoError(f"shadow copy {snapshot_id}: its volume is being reverted to it")
        try:
            attached.area.delete(store)
        except VolumeError as error:
            raise as_provider_error(error, f"deleting shadow copy {snapshot_id}") from error
        attached.set_filter()
        self._exposed.pop(snapshot_id, None)

    async def revert(self, snapshot_id: Guid, *, force_dismount: bool = False) -> None:
        """Bring the original volume back to a shadow copy; newer ones are deleted, this one and older ones stay.

        It cannot be cancelled or undone: cancelling this call lets it go on, and after a crash the next start does.

        Raises:
            NotFoundError: there is none with this id.
            SetInProgressError: a set with this volume is in the making.
            ProviderError: the shadow copy is not persistent; the volume is in use, lost, held or being reverted already; or a
                device failed. Unless the revert has begun nothing of the volume has changed.
            VolumeDamagedError: the volume is as in the shadow copy, and no file system can be mounted on it.
        """
        attached, store = self._find_finished(snapshot_id)
        volume = attached.volume
        if not store.information.attributes & PERSISTENT:
            raise ProviderError(
                f"shadow copy {snapshot_id} is not persistent: volume {volume.name} cannot be reverted to it",
                hresult=HResult.VSS_E_UNSUPPORTED_CONTEXT,
            )
        if self._set is not None and any(member.attached is attached for member in self._set.members):
            raise SetInProgressError(f"volume {volume.name} is in shadow copy set {self._set.snapshot_set_id}, in the making")
        running = self._reverts.get(volume.volume_id)
        require_idle(volume, running, force_dismount=force_dismount, code=HResult.VSS_E_REVERT_IN_PROGRESS)
        try:
            self._make_newest(attached, store)
            attached.area.mark_revert(store, is_reverting=True)
        except VolumeError as error:
            raise as_provider_error(error, f"reverting volume {volume.name} to shadow copy {snapshot_id}") from error
        self._ports.emit(VolsnapEvent.REVERT_STARTED.record(volume.name, str(snapshot_id)))
        await self._start_revert(attached, store).wait()

    def _make_newest(self, attached: AttachedVolume, store: Store) -> None:
        """Delete the newer shadow copies and save what the revert will overwrite, so that it needs no room any more."""
        area = attached.area
        for newer in area.newer_than(store):
            area.delete(newer)
            self._report_deleted(newer, f"newer than shadow copy {store.snapshot_id}, to which its volume is being reverted")
        for block in area.blocks_to_revert(store):
            area.before_write(block << BLOCK_SHIFT, 1)
        if store.lost:
            raise InsufficientStorageError(f"shadow copy {store.snapshot_id} was lost: {store.lost}")

    def _start_revert(self, attached: AttachedVolume, store: Store) -> Overwrite:
        area, volume = attached.area, attached.volume

        def finish() -> None:
            area.mark_revert(store, is_reverting=False)
            self._ports.emit(VolsnapEvent.REVERT_FINISHED.record(volume.name, str(store.snapshot_id)))

        overwrite = self._reverts[volume.volume_id] = Overwrite(self._ports, volume, store.snapshot_id, "revert")
        overwrite.start(area.blocks_to_revert(store), lambda block: area.read_for_revert(store, block), finish)
        return overwrite

    async def _go_on_reverting(self, attached: AttachedVolume, store: Store) -> None:
        self._ports.emit(VolsnapEvent.REVERT_RESTARTED.record(attached.volume.name, str(store.snapshot_id)))
        await self._start_revert(attached, store).wait()

    async def query_revert(self, volume: Volume) -> CopyStatus | None:
        """Return how far the volume's last revert is; None where there was none since the start."""
        overwrite = self._reverts.get(volume.volume_id)
        return None if overwrite is None else overwrite.status

    async def close(self) -> None:
        """The machine shuts down: reverts run to their end, an unfinished set is undone, the others stay as they are."""
        for overwrite in self._reverts.values():
            await overwrite.ended()
        self._undo_current()
        for attached in self._attached.values():
            if attached.is_current:
                attached.area.settle()
            attached.detach()
        self._attached.clear()

    def _undo_current(self) -> None:
        """Undo the set in the making, if any."""

    def _attached_volume(self, volume: Volume) -> AttachedVolume:
        """Return a volume that was taken up; ``UnsupportedError`` where it is none of ours."""
        attached = self._attached.get(volume.volume_id)
        if attached is None or not attached.is_current:
            raise UnsupportedError(f"volume {volume.name} has no shadow copies of provider '{self.name}' and can have none")
        return attached
