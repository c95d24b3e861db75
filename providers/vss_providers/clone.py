"""The clone provider: full copies, made by splitting a mirror (the protocol's *plex*).

What happens in which phase. Mirrors are *established* outside every window: by ``establish`` ahead of any set, or in *end
prepare*, while the volume is in use. *Pre-commit* copies again what changed meanwhile, *commit* the little that changed since,
with writes held: when that does not fit the window, the window is lost and the set fails. Then the mirrors are split. A clone
needs as much room as the volume, and nothing of it later: it is readable when the original is lost. Clones live as long as the
provider: persistent ones are refused. No clone is shown before it is whole.

After the split the volume stays watched, so that a later resynchronisation copies only what became different: of the volume
from the clone (``resync_volume``), or of the clone, as a mirror for the next set, from the volume (``resync_clone``).

Sources: Volume Shadow Copy Service documentation, provider pages, "Fast recovery using LUN resynchronization".
"""

from __future__ import annotations

from dataclasses import replace

from vss.errors import (
    ProviderVetoError,
    VolumeError,
    VolumeNotSupportedError,
)
from vss.hresult import HResult
from vss.ids import Guid
from vss.roles.attributes import NOT_FOR_VOLATILE_FULL_COPIES, SnapshotAttributes
from vss.roles.provider import (
    ProviderCapabilities,
    ProviderType,
    SnapshotProperties,
)
from vss.roles.volume import Volume
from vss.volumes.block_volume import BlockVolume
from vss_providers.finished_clones import Clone, CloneSet, FinishedClones
from vss_providers.mirror import CloneDevice
from vss_providers.snapshot_set import as_provider_error
from vss_providers.stages import Stage, require_stage

PROVIDER_ID = Guid("b1d06b5e-5a0d-4c1b-8a63-0f3e5f1b9c02")

HOLD_WINDOW_S = 10.0
"""How long a volume holds its writes (the vendor's flush-and-hold window)."""


class CloneProvider(FinishedClones):
    """See the module. One set is in the making at a time."""

    provider_id = PROVIDER_ID
    name = "Clone shadow copy provider"
    version = "1.0"
    type = ProviderType.SOFTWARE
    capabilities = ProviderCapabilities(is_plex=True, supports_auto_recovery=True)

    # -- making a set ----------------------------------------------------------------------------------------------------------

    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        """Block volumes that are there, and attributes that a clone in memory can honour."""
        return isinstance(volume, BlockVolume) and not volume.is_lost and not attributes & NOT_FOR_VOLATILE_FULL_COPIES

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
            self._set = CloneSet(snapshot_set_id)
        current = require_stage(self._set, snapshot_set_id, Stage.PREPARING, "BeginPrepareSnapshot")
        if any(clone.mirror.volume is volume for clone in current.clones.values()):
            raise ProviderVetoError(f"shadow copy set {snapshot_set_id}: volume {volume.name} is in the set already")
        self._count += 1
        name = rf"\\?\GLOBALROOT\Device\HarddiskVolumeClone{self._count}"
        properties = SnapshotProperties.in_the_making(
            self.provider_id, snapshot_set_id, snapshot_id, volume, attributes | SnapshotAttributes.PLEX, name
        )
        mirror = self._take_spare(volume) or self._new_mirror(volume)
        current.clones[snapshot_id] = Clone(properties, mirror, CloneDevice(mirror))

    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        """Establish the mirrors, or bring those that were established ahead up to date, giving way after each piece.

        Raises:
            InsufficientStorageError: no room for a mirror.
            ProviderVetoError: out of order, aborted meanwhile, or a device failed.
        """
        current = require_stage(self._set, snapshot_set_id, Stage.PREPARING, "EndPrepareSnapshots")
        for snapshot_id, clone in current.clones.items():
            await self._synchronise(clone.mirror, snapshot_id, lambda: self._require_not_aborted(current))
        current.stage = Stage.PREPARED

    def _require_not_aborted(self, current: CloneSet) -> None:
        if self._set is not current:
            raise ProviderVetoError(f"shadow copy set {current.snapshot_set_id}: aborted while it was being prepared")

    async def pre_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Copy what changed since, once: writers are frozen, little more will.

        Raises:
            ProviderVetoError: at the speed seen so far that, and so what will be left with writes held, takes longer than the
                window; or out of order, or a device failed.
        """
        current = require_stage(self._set, snapshot_set_id, Stage.PREPARED, "PreCommitSnapshots")
        left = sum(clone.mirror.dirty_bytes for clone in current.clones.values())
        seconds = left * self._seconds_per_byte
        if seconds > HOLD_WINDOW_S:
            raise ProviderVetoError(
                f"shadow copy set {snapshot_set_id}: mirroring the remaining {left} bytes takes {seconds:.1f} s, "
                f"expected at most {HOLD_WINDOW_S:g} s",
                hint="try again when less is written",
            )
        await self._catch_up(current)
        current.stage = Stage.PRECOMMITTED

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Copy the rest and split the mirrors. Only the copying takes time, and it must fit the window."""
        current = require_stage(self._set, snapshot_set_id, Stage.PRECOMMITTED, "CommitSnapshots")
        await self._catch_up(current)
        late = [clone.mirror.volume.name for clone in current.clones.values() if clone.mirror.dirty_bytes]
        if late:
            raise ProviderVetoError(f"volume {late[0]}: changed while its writes should have been held")
        created_ns, count = self._ports.clock.wall_ns(), len(current.clones)
        for clone in current.clones.values():
            clone.mirror.is_split = True
            clone.properties = replace(clone.properties, created_ns=created_ns, snapshots_in_set=count)
        current.stage = Stage.COMMITTED

    async def _catch_up(self, current: CloneSet) -> None:
        """Copy what is different now; what becomes different meanwhile is for the next time."""
        for clone in current.clones.values():
            volume, left = clone.mirror.volume, clone.mirror.dirty_bytes
            try:
                for length in clone.mirror.catch_up():
                    left -= length
                    if self._seconds_per_mib:
                        await self._ports.clock.sleep(self._seconds_for(length))
                    if left <= 0:
                        break
            except VolumeError as error:
                raise as_provider_error(error, f"volume {volume.name} could not be copied") from error
            if not clone.mirror.is_current:
                raise ProviderVetoError(f"volume {volume.name}: lost or replaced since the set was prepared")

    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        """Nothing is left to clean up."""
        require_stage(self._set, snapshot_set_id, Stage.COMMITTED, "PostCommitSnapshots").stage = Stage.POSTCOMMITTED

    async def pre_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Let ``open_snapshot`` hand out file systems that can be written."""
        require_stage(self._set, snapshot_set_id, Stage.POSTCOMMITTED, "PreFinalCommitSnapshots").stage = Stage.WRITABLE

    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Refuse writes from now on; the set is finished."""
        current = require_stage(self._set, snapshot_set_id, Stage.WRITABLE, "PostFinalCommitSnapshots")
        for clone in current.clones.values():
            clone.device.finish()
        self._clones |= current.clones
        self._set = None

    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        """Undo the set, whatever was reached; an unknown or finished one is left alone."""
        if self._set is not None and self._set.snapshot_set_id == snapshot_set_id:
            self._undo(self._set)

    def _undo(self, current: CloneSet) -> None:
        for clone in current.clones.values():
            clone.mirror.detach()
            clone.device.discard()
        self._set = None

    def _undo_current(self) -> None:
        if self._set is not None:
            self._undo(self._set)
