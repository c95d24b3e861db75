"""The copy-on-write provider: differential shadow copies in the real on-disk format, behind the volume in its image.

What happens in which phase. *Begin* only remembers the volume. *End prepare* writes the new stores, outside every window.
*Commit* switches copy-on-write to them in memory, for all volumes of the set without giving way to anything else, and then
writes one catalog sector per volume; the sector of the first volume is the commit point. Until it is written the other volumes'
entries are pending, so that a crash in between leaves the set whole or gone (``_settle``). *Pre-final* to *post-final commit*
the shadow copies take writes, as overlays. Aborting deletes what was begun and gives back what was prepared.

When saving a block fails, the shadow copies of that volume are given up and the volume's write goes on; their readers get
``VolumeReadError`` with the reason, the machine an event. At the maximum size the oldest goes first.

Sources: Volume Shadow Copy Service documentation, provider pages; libyal/libvshadow format document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vss.errors import (
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    UnsupportedError,
    VolumeError,
    VolumeNotSupportedError,
)
from vss.events import SnapshotDeleted
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import Provider, ProviderCapabilities, ProviderType, SnapshotProperties
from vss.roles.volume import FileSystem, Volume
from vss.volumes.block_volume import BlockVolume
from vss.volumes.extent_file_system import ExtentFileSystem
from vss_providers.attached_volume import AttachedVolume
from vss_providers.catalog_slots import SNAPSHOTS_MAX
from vss_providers.diff_area import PERSISTENT, DiffArea
from vss_providers.on_disk.layout import filetime_from_ns, ns_from_filetime
from vss_providers.on_disk.store_blocks import CONTEXT_BITS, StoreInformation
from vss_providers.snapshot_device import SnapshotDevice, WritableSnapshotDevice
from vss_providers.snapshot_set import Member, SnapshotSet, Stage, as_provider_error
from vss_providers.store import Store

PROVIDER_ID = Guid("6c1f7f0a-3f0e-4c55-9a3b-52d1c7e4b801")

DIFFERENTIAL = 0x20000
REFUSED_ATTRIBUTES = 0x4 | 0x20 | 0x10000 | 0x40000
"""Client accessible (the system provider's privilege), transportable, hardware assisted, plex."""


class CopyOnWriteProvider(Provider):
    """See the module. One set is in the making at a time."""

    provider_id = PROVIDER_ID
    name = "Copy-on-write shadow copy provider"
    version = "1.0"
    type = ProviderType.SOFTWARE
    capabilities = ProviderCapabilities(
        is_differential=True,
        supports_auto_recovery=True,
        supports_persistent=True,
        max_snapshots_per_volume=SNAPSHOTS_MAX,
    )

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

    # -- volumes ---------------------------------------------------------------------------------------------------------------

    async def attach(self, volume: Volume) -> None:
        """Take up the shadow copies behind ``volume``; those that were not to outlive the last start are deleted.

        Attaching again is harmless, and needed after a lost disk was replaced. Volumes that are not block volumes are ignored.

        Raises:
            VolumeDamagedError: the diff area is damaged; nothing was changed and nothing is protected.
            UnsupportedError: the shadow copies there were made by another provider.
        """
        if isinstance(volume, BlockVolume):
            self._attach(volume)

    def _attach(self, volume: BlockVolume) -> AttachedVolume:
        known = self._attached.get(volume.volume_id)
        if known is not None and known.volume is volume and known.is_current:
            return known
        if known is not None:
            known.area.forget(known.absence)
        area = DiffArea(
            volume.raw_store,
            volume.size_bytes,
            volume.volume_id,
            lambda stores, reason: self._report_lost(attached, stores, reason),
            maximum_size=self._maximum_size,
            is_durable=self._is_durable,
        )
        attached = self._attached[volume.volume_id] = AttachedVolume(volume, area)
        attached.set_filter()
        for store in list(area.stack):
            if not store.lost and not store.information.attributes & PERSISTENT and self._drop(attached, store):
                reason = "not persistent, left from an earlier start"
                self._ports.emit(SnapshotDeleted(snapshot_id=str(store.snapshot_id), reason=reason))
        return attached

    def _report_lost(self, attached: AttachedVolume, stores: Sequence[Store], reason: str) -> None:
        attached.set_filter()
        for store in stores:
            self._ports.emit(SnapshotDeleted(snapshot_id=str(store.snapshot_id), reason=reason))

    def _drop(self, attached: AttachedVolume, store: Store) -> bool:
        """Delete a shadow copy that must not stay; where that fails give up all of its volume and return False."""
        try:
            attached.area.delete(store)
        except VolumeError as error:
            attached.area.lose_all(f"shadow copy {store.snapshot_id} could not be deleted: {error.message}")
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

    # -- making a set ----------------------------------------------------------------------------------------------------------

    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        """Block volumes that are there, and attributes that a differential software provider can honour.

        Raises:
            ProviderVetoError: the diff area cannot be read.
        """
        if not isinstance(volume, BlockVolume) or volume.is_lost or attributes & REFUSED_ATTRIBUTES:
            return False
        try:
            self._attach(volume)
        except UnsupportedError:
            return False
        except VolumeError as error:
            raise as_provider_error(error, f"volume {volume.name} could not be taken up") from error
        return True

    async def begin_prepare_snapshot(self, snapshot_set_id: Guid, snapshot_id: Guid, volume: Volume, attributes: int) -> None:
        """Take ``volume`` into the set.

        Raises:
            VolumeNotSupportedError: not a block volume, or an attribute that cannot be honoured.
            ProviderVetoError: the set is past preparing, or has the volume already; or the diff area cannot be read.
            ProviderError: the volume has 512 shadow copies already.
        """
        if self._set is not None and self._set.snapshot_set_id != snapshot_set_id:
            self._undo(self._set)
        if not isinstance(volume, BlockVolume) or not await self.is_volume_supported(volume, attributes):
            raise VolumeNotSupportedError(
                f"volume {volume.name} with attributes {attributes:#x}: expected a block volume and a differential shadow copy",
                hresult=HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
            )
        current = self._set or SnapshotSet(snapshot_set_id)
        current.require(Stage.PREPARING, "BeginPrepareSnapshot")
        if any(member.volume is volume for member in current.members):
            raise ProviderVetoError(f"shadow copy set {snapshot_set_id}: volume {volume.name} is in the set already")
        attached = self._attach(volume)
        try:
            self._settle()
        except VolumeError as error:
            raise as_provider_error(error, f"volume {volume.name} could not be taken up") from error
        if len(attached.area.stack) >= SNAPSHOTS_MAX:
            raise ProviderError(
                f"volume {volume.name}: has {SNAPSHOTS_MAX} shadow copies, the most a volume may have",
                hresult=HResult.VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED,
                hint="delete one",
            )
        current.members.append(Member(snapshot_id, attached, attributes | DIFFERENTIAL))
        self._set = current

    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        """Write the new stores behind their volumes; nothing refers to them yet.

        Raises:
            InsufficientStorageError: no room.
            ProviderVetoError: out of order, or a device failed.
        """
        current = self._current(snapshot_set_id, Stage.PREPARING, "EndPrepareSnapshots")
        for member in current.members:
            information = StoreInformation(
                member.snapshot_id,
                snapshot_set_id,
                member.attributes & CONTEXT_BITS,
                member.attributes,
                len(current.members),
                self._machine_name,
                self._machine_name,
            )
            try:
                member.store = member.area.prepare(information, self._ports.ids.guid())
            except VolumeError as error:
                raise as_provider_error(error, f"volume {member.volume.name} could not be prepared") from error
        current.stage = Stage.PREPARED

    async def pre_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Check that nothing was lost since the set was prepared; everything is ready."""
        current = self._current(snapshot_set_id, Stage.PREPARED, "PreCommitSnapshots")
        for member in current.members:
            if not member.attached.is_current:
                raise ProviderVetoError(f"volume {member.volume.name}: lost or replaced since the set was prepared")
        current.stage = Stage.PRECOMMITTED

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Take the shadow copies. Nothing here waits; the catalog sector of the first volume is the commit point.

        Raises:
            ProviderVetoError: out of order, or a device failed; no shadow copy of the set is left.
        """
        current = self._current(snapshot_set_id, Stage.PRECOMMITTED, "CommitSnapshots")
        created = filetime_from_ns(self._ports.clock.wall_ns())
        try:
            for member in current.members:
                member.area.begin(member.prepared, created)
                member.is_begun = True
                member.attached.set_filter()
            for member in current.members[1:]:
                member.area.publish(member.prepared, is_pending=True)
            for member in current.members:
                member.area.publish(member.prepared, is_pending=False)
        except VolumeError as error:
            self._undo(current)
            raise as_provider_error(error, f"shadow copy set {snapshot_set_id} could not be entered in a catalog") from error
        current.stage = Stage.COMMITTED

    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        """Check that the set is still whole; writes flow again."""
        current = self._current(snapshot_set_id, Stage.COMMITTED, "PostCommitSnapshots")
        current.stage = Stage.POSTCOMMITTED

    async def pre_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Let ``open_snapshot`` hand out file systems that can be written."""
        current = self._current(snapshot_set_id, Stage.POSTCOMMITTED, "PreFinalCommitSnapshots")
        current.stage = Stage.WRITABLE

    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Refuse writes from now on; the set is finished."""
        current = self._current(snapshot_set_id, Stage.WRITABLE, "PostFinalCommitSnapshots")
        for device in current.devices:
            device.finish()
        current.stage = Stage.CREATED
        self._set = None

    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        """Undo the set, whatever was reached; an unknown or finished one is left alone."""
        if self._set is not None and self._set.snapshot_set_id == snapshot_set_id:
            self._undo(self._set)

    def _undo(self, current: SnapshotSet) -> None:
        for device in current.devices:
            device.finish()
        for member in reversed(current.members):
            store, member.store = member.store, None
            if store is None or store.lost:
                continue
            if member.is_begun:
                self._drop(member.attached, store)
            else:
                member.area.discard(store)
        self._set = None

    def _current(self, snapshot_set_id: Guid, stage: Stage, call: str) -> SnapshotSet:
        current = self._set
        if current is None or current.snapshot_set_id != snapshot_set_id:
            raise ProviderError(
                f"{call}: expected the shadow copy set in the making, found {snapshot_set_id}",
                hresult=HResult.VSS_E_OBJECT_NOT_FOUND,
            )
        self._forget_absent()
        current.require(stage, call)
        return current

    # -- finished shadow copies ------------------------------------------------------------------------------------------------

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

    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        """Delete one shadow copy; all others read as before.

        Raises:
            NotFoundError: there is none with this id.
            ProviderError: the device failed or has no room for handing blocks down; the shadow copy is still there.
        """
        attached, store = self._find(snapshot_id)
        if self._set is not None and store.information.snapshot_set_id == self._set.snapshot_set_id:
            raise ProviderVetoError(f"shadow copy {snapshot_id} is in the making: expected its set to be finished or aborted")
        try:
            attached.area.delete(store)
        except VolumeError as error:
            raise as_provider_error(error, f"deleting shadow copy {snapshot_id}") from error
        attached.set_filter()

    def _find(self, snapshot_id: Guid) -> tuple[AttachedVolume, Store]:
        self._settle()
        for attached, store in self._stores():
            if store.snapshot_id == snapshot_id:
                return attached, store
        raise NotFoundError(f"shadow copy {snapshot_id} does not exist")

    def diff_area(self, volume: Volume) -> DiffArea:
        """Return the diff area of an attached volume: sizes and maximum; ``NotFoundError`` where there is none."""
        attached = self._attached.get(volume.volume_id)
        if attached is None:
            raise NotFoundError(f"volume {volume.name} has no diff area")
        return attached.area

    async def close(self) -> None:
        """The machine shuts down: an unfinished set is undone, the others stay as they are."""
        if self._set is not None:
            self._undo(self._set)
        for attached in self._attached.values():
            attached.detach()
        self._attached.clear()
