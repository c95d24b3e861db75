"""What the copy-on-write provider does with volumes and with finished shadow copies: take up, show, open, delete, revert.

Invariants: a shadow copy is listed only while every block of it can be read; what was lost says why to whoever still reads it.
The making of sets is in ``vss_providers.copy_on_write``.

Sources: Volume Shadow Copy Service documentation, provider pages, "RevertToSnapshot" and "ExposeSnapshot".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vss.errors import (
    InsufficientStorageError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    SetInProgressError,
    VolumeError,
)
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.attributes import SnapshotAttributes as Attribute
from vss.roles.provider import CopyStatus, SnapshotProperties
from vss.roles.volume import FileSystem, Volume
from vss.volumes.extent_file_system import ExtentFileSystem
from vss_providers.attached_volume import AttachedVolume
from vss_providers.diff_area import DiffArea
from vss_providers.digests import wrong_blocks
from vss_providers.loaded_stack import PERSISTENT
from vss_providers.on_disk.layout import BLOCK_SHIFT, ns_from_filetime
from vss_providers.overwriting import Overwrite, require_idle
from vss_providers.snapshot_device import SnapshotDevice, WritableSnapshotDevice
from vss_providers.snapshot_set import SnapshotSet, as_provider_error
from vss_providers.stages import Stage
from vss_providers.store import Store
from vss_providers.taking_up import TakingUp
from vss_providers.volsnap import VolsnapEvent

CLIENT_ACCESSIBLE, EXPOSED_LOCALLY = Attribute.CLIENT_ACCESSIBLE.value, Attribute.EXPOSED_LOCALLY.value


class FinishedCopies(TakingUp):
    """The shadow copies that are there."""

    def __init__(self, ports: Ports, **options: Any) -> None:
        """Begin with no volume; arguments as for ``TakingUp``."""
        super().__init__(ports, **options)
        self._set: SnapshotSet | None = None
        self._numbers: dict[Guid, int] = {}
        self._reverts: dict[Guid, Overwrite] = {}

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
            exposed_name=store.exposed.name,
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
        """Note where a shadow copy can be reached on the host; it outlives a restart.

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
            store.set_exposed_name(name)
            store.set_attributes(attributes | EXPOSED_LOCALLY if name else attributes & ~EXPOSED_LOCALLY)
        except VolumeError as error:
            raise as_provider_error(error, f"exposing shadow copy {snapshot_id}") from error

    def verify(self, snapshot_id: Guid) -> list[tuple[int, int]]:
        """Compare a shadow copy's saved blocks with their digests; return (offset on the volume, offset in the image) of each
        that is wrong. Blocks that newer shadow copies saved for it are part of it. ``VolumeReadError`` when the device failed.
        """
        attached, store = self._find(snapshot_id)
        stack, wrong, seen = attached.area.stack, [], set[int]()
        for each in stack[stack.index(store) :]:
            needed = {block: at for block, at in each.saved.items() if block not in seen}
            seen.update(needed)
            wrong += wrong_blocks(attached.area.area_device, needed, each.side_car.digests)
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
            await attached.growth.close()
            if attached.is_current:
                attached.area.settle()
            attached.detach()
        self._attached.clear()

    def _undo_current(self) -> None:
        """Undo the set in the making, if any."""
