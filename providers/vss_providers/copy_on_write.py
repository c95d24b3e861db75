"""The copy-on-write provider: differential shadow copies in the real on-disk format, behind the volume in its image.

What happens in which phase. *Begin* only remembers the volume. *End prepare* writes the new stores, outside every window, and
a volume's first time its catalog and the beginning of its bitmaps; the rest of those follows when the set is finished.
*Commit* switches copy-on-write to them in memory, for all volumes of the set without giving way to anything else, and then
writes one catalog sector per volume; the sector of the first volume is the commit point. Until it is written the other volumes'
entries are pending, so that a crash in between leaves the set whole or gone (``FinishedCopies._settle``). *Pre-final* to
*post-final commit* the shadow copies take writes, as overlays. Aborting deletes what was begun, gives back what was prepared.

When saving a block fails, the shadow copies of that volume are given up and the volume's write goes on; their readers get
``VolumeReadError`` with the reason, the machine an event. At the maximum size the oldest goes first. What is done with finished
shadow copies is in ``vss_providers.finished_copies``, their room in ``vss_providers.storage``.

Sources: Volume Shadow Copy Service documentation, provider pages; libyal/libvshadow format document.
"""

from __future__ import annotations

from vss.errors import (
    ProviderError,
    ProviderVetoError,
    UnsupportedError,
    VolumeError,
    VolumeFullError,
    VolumeNotSupportedError,
)
from vss.hresult import HResult
from vss.ids import Guid
from vss.roles.attributes import CONTEXT_BITS
from vss.roles.attributes import SnapshotAttributes as Attribute
from vss.roles.provider import ProviderCapabilities, ProviderType
from vss.roles.volume import Volume
from vss.volumes.block_volume import BlockVolume
from vss_providers.catalog_slots import SNAPSHOTS_MAX
from vss_providers.on_disk.layout import filetime_from_ns
from vss_providers.on_disk.store_blocks import StoreInformation
from vss_providers.snapshot_set import Member, SnapshotSet, as_provider_error
from vss_providers.stages import Stage, require_set, require_stage
from vss_providers.storage import StorageManagement

PROVIDER_ID = Guid("6c1f7f0a-3f0e-4c55-9a3b-52d1c7e4b801")

DIFFERENTIAL = Attribute.DIFFERENTIAL.value
REFUSED_ATTRIBUTES = int(Attribute.CLIENT_ACCESSIBLE | Attribute.TRANSPORTABLE | Attribute.HARDWARE_ASSISTED | Attribute.PLEX)
"""Client accessible is the system provider's privilege."""


class CopyOnWriteProvider(StorageManagement):
    """See the module. One set is in the making at a time."""

    provider_id = PROVIDER_ID
    name = "Copy-on-write shadow copy provider"
    version = "1.0"
    type = ProviderType.SOFTWARE
    capabilities = ProviderCapabilities(
        is_differential=True,
        supports_auto_recovery=True,
        supports_persistent=True,
        supports_revert=True,
        max_snapshots_per_volume=SNAPSHOTS_MAX,
    )

    _refused_attributes = REFUSED_ATTRIBUTES

    # -- making a set ----------------------------------------------------------------------------------------------------------

    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        """Block volumes that are there, and attributes that a differential software provider can honour.

        Raises:
            ProviderVetoError: the diff area cannot be read.
        """
        if not isinstance(volume, BlockVolume) or volume.is_lost or attributes & self._refused_attributes:
            return False
        try:
            await self._attach(volume)
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
        require_stage(current, snapshot_set_id, Stage.PREPARING, "BeginPrepareSnapshot")
        current.require_whole()
        if any(member.volume is volume for member in current.members):
            raise ProviderVetoError(f"shadow copy set {snapshot_set_id}: volume {volume.name} is in the set already")
        attached = await self._attach(volume)
        try:
            self._settle()
        except VolumeError as error:
            raise as_provider_error(error, f"volume {volume.name} could not be taken up") from error
        if attached.area.reverting is not None:
            raise ProviderError(f"volume {volume.name} is being reverted", hresult=HResult.VSS_E_BAD_STATE)
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
                await self._allocate(member, information)
            except VolumeError as error:
                raise as_provider_error(error, f"volume {member.volume.name} could not be prepared") from error
        self._current(snapshot_set_id, Stage.PREPARING, "EndPrepareSnapshots")
        current.stage = Stage.PREPARED

    async def _allocate(self, member: Member, information: StoreInformation) -> None:
        """Give a shadow copy its store, as soon as there is room for it."""

        async def allocate() -> None:
            await member.attached.growth.make_room()
            if self._set is None or member not in self._set.members:
                raise ProviderVetoError(f"shadow copy {member.snapshot_id}: its set was aborted while room was made for it")
            member.store = member.area.prepare(information, self._ports.ids.guid())

        selectors = {"volume": member.volume.name, "snapshot": str(member.snapshot_id)}
        await self._ports.faults("diffarea.alloc", allocate, **selectors)
        if member.store is None:
            raise VolumeFullError(f"volume {member.volume.name}: its diff area has not the room that it was said to have")

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
        for member in current.members:
            member.attached.growth.complete_bitmaps()
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
        require_set(self._set, snapshot_set_id, call)
        self._forget_absent()
        current = require_stage(self._set, snapshot_set_id, stage, call)
        current.require_whole()
        return current

    def _undo_current(self) -> None:
        if self._set is not None:
            self._undo(self._set)
