"""The array provider: hardware shadow copies, made inside a simulated storage array, and the array itself.

What is simulated. An array has LUNs, each with one identifier of its own, mapped to machines by name. It copies a LUN in one of
two ways: as a *plex*, a full copy that is synchronised before commit, or *differential*, where the array keeps what is
overwritten from the commit on. Machines that share an array see the same LUNs, which is what makes copies transportable.

What happens in which phase. *End prepare* makes the copies' LUNs, *commit* fixes their content. A set that is not transportable
is then imported by the machine that made it (*pre-final commit*: its LUNs must arrive); a transportable one is listed there as
not surfaced, and can be opened nowhere until ``import_snapshots`` is called, once, on one of the machines. Shadow copies live
as long as the array: a machine that starts again finds its persistent ones there when it attaches the original volume.

Sources: Volume Shadow Copy Service documentation, "Hardware providers", "Importing transportable shadow copied volumes",
"Breaking shadow copies"; IVssHardwareSnapshotProvider(Ex).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vss.errors import (
    InvalidArgumentError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    VolumeError,
    VolumeNotSupportedError,
)
from vss.events import SnapshotDeleted
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.attributes import SnapshotAttributes as Attribute
from vss.roles.provider import (
    BreakOptions,
    BrokenSnapshot,
    Provider,
    ProviderCapabilities,
    ProviderType,
    SnapshotProperties,
)
from vss.roles.volume import FileSystem, Volume
from vss.volumes.block_volume import BlockVolume
from vss.volumes.extent_file_system import ExtentFileSystem
from vss_providers.luns import Lun, SimulatedArray
from vss_providers.snapshot_set import as_provider_error
from vss_providers.stages import Stage, require_stage
from vss_providers.transport import ArraySet, ImportResult, LunCopy, TransportableSet

PROVIDER_ID = Guid("3f5b1c1d-92d4-4a6e-8f0a-7d1b5a6e4c03")

PERSISTENT, TRANSPORTABLE = Attribute.PERSISTENT.value, Attribute.TRANSPORTABLE.value
NOT_SURFACED, HARDWARE_ASSISTED = Attribute.NOT_SURFACED.value, Attribute.HARDWARE_ASSISTED.value
DIFFERENTIAL, PLEX, IMPORTED = Attribute.DIFFERENTIAL.value, Attribute.PLEX.value, Attribute.IMPORTED.value
REFUSED_ATTRIBUTES = Attribute.CLIENT_ACCESSIBLE.value
"""The system provider's privilege."""

ARRIVAL_LIMIT_S = 30.0
"""How long a machine waits for LUNs to arrive after they were unmasked."""

_POLL_S = 0.5


class ArrayProvider(Provider):
    """One machine's way to an array. One set is in the making at a time."""

    provider_id = PROVIDER_ID
    name = "Array shadow copy provider"
    version = "1.0"
    type = ProviderType.HARDWARE
    capabilities = ProviderCapabilities(
        is_differential=True,
        is_plex=True,
        is_transportable=True,
        supports_auto_recovery=True,
        supports_persistent=True,
        max_snapshots_per_volume=1 << 31,  # there is no limit for hardware providers
    )

    def __init__(self, ports: Ports, *, array: SimulatedArray | None = None, machine_name: str = "") -> None:
        """Begin with the LUNs that ``array`` maps to ``machine_name``; an array of its own by default."""
        self._ports = ports
        self._array = array or SimulatedArray()
        self._machine_name = machine_name
        self._set: ArraySet | None = None
        self._copies: dict[Guid, LunCopy] = {}
        self._waiting: dict[Guid, LunCopy] = {}

    async def attach(self, volume: Volume) -> None:
        """Put a block volume on the array: its disk is a LUN of it from now on."""
        if not isinstance(volume, BlockVolume) or volume.is_lost:
            return
        source = self._array.adopt(volume, self._machine_name)
        if source is not None:
            self._take_up(volume, source)

    def _take_up(self, volume: BlockVolume, source: Lun) -> None:
        """Find what an earlier start made of ``source``; what was not to outlast it goes."""
        for snapshot_id, (machine, copy) in list(self._array.copies.items()):
            if machine != self._machine_name or copy.source is not source:
                continue
            if copy.properties.attributes & PERSISTENT:
                self._copies[snapshot_id] = replace(copy, volume=volume)
            else:
                del self._array.copies[snapshot_id]
                self._array.remove(copy.target)
                self._ports.emit(
                    SnapshotDeleted(snapshot_id=str(snapshot_id), reason="not persistent, left from an earlier start")
                )
        for each in self._array.transportable.values():
            for properties, lun_id in each.copies:
                lun = self._array.find(lun_id)
                if lun is not None and lun.source is source:
                    self._waiting[properties.snapshot_id] = LunCopy(properties, volume, source, lun)

    # -- making a set ----------------------------------------------------------------------------------------------------------

    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        """Volumes whose LUN is on the array, and attributes that it can honour (AreLunsSupported)."""
        if not isinstance(volume, BlockVolume) or volume.is_lost or attributes & REFUSED_ATTRIBUTES:
            return False
        wants_both = attributes & DIFFERENTIAL and attributes & PLEX
        # A differential copy lives off the original LUN and so cannot leave it behind.
        is_impossible = wants_both or (attributes & DIFFERENTIAL and attributes & TRANSPORTABLE)
        return not is_impossible and self._array.lun_of(volume) is not None

    async def begin_prepare_snapshot(self, snapshot_set_id: Guid, snapshot_id: Guid, volume: Volume, attributes: int) -> None:
        """Take ``volume`` into the set.

        Raises:
            VolumeNotSupportedError: its LUN is not on the array, or an attribute cannot be honoured.
            ProviderVetoError: the set is past preparing, or has the volume already.
        """
        if self._set is not None and self._set.snapshot_set_id != snapshot_set_id:
            self._undo(self._set)
        if not isinstance(volume, BlockVolume) or not await self.is_volume_supported(volume, attributes):
            raise VolumeNotSupportedError(
                f"volume {volume.name} with attributes {attributes:#x}: expected a LUN of array {self._array.name}",
                hresult=HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
            )
        source = self._array.lun_of(volume)
        assert source is not None, "supported volumes have a LUN"
        current = self._set or ArraySet(snapshot_set_id)
        self._set = require_stage(current, snapshot_set_id, Stage.PREPARING, "BeginPrepareSnapshot")
        if any(copy.volume is volume for copy in current.copies):
            raise ProviderVetoError(f"shadow copy set {snapshot_set_id}: volume {volume.name} is in the set already")
        kind = DIFFERENTIAL if attributes & DIFFERENTIAL else PLEX
        properties = SnapshotProperties.in_the_making(
            self.provider_id, snapshot_set_id, snapshot_id, volume, attributes | kind | HARDWARE_ASSISTED, ""
        )
        properties = replace(properties, originating_machine=self._machine_name, service_machine=self._machine_name)
        current.copies.append(LunCopy(properties, volume, source))

    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        """Make the LUNs; full copies are synchronised, giving way after each piece.

        Raises:
            ProviderVetoError: out of order, aborted meanwhile, or a device failed.
        """
        current = require_stage(self._set, snapshot_set_id, Stage.PREPARING, "EndPrepareSnapshots")
        for copy in current.copies:
            try:
                copy.lun = self._array.begin_copy(copy.source, is_plex=bool(copy.properties.attributes & PLEX))
                for _ in copy.lun.synchronise():
                    await self._ports.clock.sleep(0)
                    if self._set is not current:
                        raise ProviderVetoError(f"shadow copy set {snapshot_set_id}: aborted while it was being prepared")
            except VolumeError as error:
                raise as_provider_error(error, f"volume {copy.properties.original_volume} could not be copied") from error
        current.stage = Stage.PREPARED

    async def pre_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Synchronise what changed since."""
        current = require_stage(self._set, snapshot_set_id, Stage.PREPARED, "PreCommitSnapshots")
        self._synchronise(current)
        current.stage = Stage.PRECOMMITTED

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Fix the content of every LUN of the set, at one instant."""
        current = require_stage(self._set, snapshot_set_id, Stage.PRECOMMITTED, "CommitSnapshots")
        self._synchronise(current)
        created_ns, count = self._ports.clock.wall_ns(), len(current.copies)
        for copy in current.copies:
            copy.target.split()
            copy.properties = replace(copy.properties, created_ns=created_ns, snapshots_in_set=count)
        current.stage = Stage.COMMITTED

    def _synchronise(self, current: ArraySet) -> None:
        for copy in current.copies:
            if not copy.target.is_source_current:
                raise ProviderVetoError(
                    f"volume {copy.properties.original_volume}: lost or replaced since the set was prepared"
                )
            try:
                for _ in copy.target.synchronise():
                    pass
            except VolumeError as error:
                raise as_provider_error(error, f"volume {copy.properties.original_volume} could not be copied") from error

    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        """Identify the copies (GetTargetLuns); they are visible nowhere yet."""
        require_stage(self._set, snapshot_set_id, Stage.COMMITTED, "PostCommitSnapshots").stage = Stage.POSTCOMMITTED

    async def pre_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Import the copies here, unless they are transportable; from now on they take writes.

        Raises:
            ProviderVetoError: a LUN did not arrive; the set is to be aborted.
        """
        current = require_stage(self._set, snapshot_set_id, Stage.POSTCOMMITTED, "PreFinalCommitSnapshots")
        local = [copy for copy in current.copies if not copy.properties.attributes & TRANSPORTABLE]
        missing = await self._locate([copy.target for copy in local])
        if missing:
            raise ProviderVetoError(f"shadow copy set {snapshot_set_id}: LUN {missing[0].lun_id} did not arrive")
        current.stage = Stage.WRITABLE

    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Refuse writes from now on; the set is finished. The array keeps what a transportable one is imported by."""
        current = require_stage(self._set, snapshot_set_id, Stage.WRITABLE, "PostFinalCommitSnapshots")
        travelling = []
        for copy in current.copies:
            copy.target.is_writable = False
            if copy.properties.attributes & TRANSPORTABLE:
                copy.properties = replace(copy.properties, attributes=copy.properties.attributes | NOT_SURFACED)
                self._waiting[copy.properties.snapshot_id] = copy
                travelling.append((copy.properties, copy.target.lun_id))
            else:
                self._keep(copy)
        if travelling:
            self._array.transportable[snapshot_set_id] = TransportableSet(snapshot_set_id, tuple(travelling))
        self._set = None

    def _keep(self, copy: LunCopy) -> None:
        number = self._array.next_device_number()
        name = rf"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy{number}"
        copy.properties = replace(copy.properties, device_name=name)
        self._copies[copy.properties.snapshot_id] = copy
        self._array.copies[copy.properties.snapshot_id] = (self._machine_name, copy)

    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        """Undo the set, whatever was reached; an unknown or finished one is left alone."""
        if self._set is not None and self._set.snapshot_set_id == snapshot_set_id:
            self._undo(self._set)

    def _undo(self, current: ArraySet) -> None:
        for copy in current.copies:
            if copy.lun is not None:
                self._array.remove(copy.lun)
        self._set = None

    # -- transport -------------------------------------------------------------------------------------------------------------

    async def _locate(self, luns: Sequence[Lun]) -> list[Lun]:
        """Unmask LUNs for this machine and wait for them (LocateLuns); return those that did not arrive in time."""
        for lun in luns:
            self._array.unmask(lun, self._machine_name, self._ports.clock.now_ns())
        waited_s = 0.0
        while True:
            missing = [lun for lun in luns if not lun.has_arrived(self._machine_name, self._ports.clock.now_ns())]
            if not missing or waited_s >= ARRIVAL_LIMIT_S:
                return missing
            await self._ports.clock.sleep(_POLL_S)
            waited_s += _POLL_S

    async def get_target_luns(self, snapshot_set_id: Guid) -> TransportableSet | None:
        """Return what waits for import of a set that was made here."""
        return self._array.transportable.get(snapshot_set_id)

    async def import_snapshots(self, transportable: TransportableSet) -> ImportResult:
        """Make the copies of a transportable set shadow copies of this machine; once per set.

        Returns:
            what was imported and which LUNs are missing; VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED where there are some.

        Raises:
            NotFoundError: the array does not know the set, or it was imported already.
            ProviderError: no LUN arrived at all (VSS_E_MISSING_DISK); it can be tried again.
        """
        set_id = transportable.snapshot_set_id
        if self._array.transportable.get(set_id) is None:
            raise NotFoundError(f"array {self._array.name} has no transportable shadow copy set {set_id} that waits for import")
        found = [(properties, self._array.find(lun_id)) for properties, lun_id in transportable.copies]
        present = [lun for _, lun in found if lun is not None]
        missing = {lun.lun_id for lun in await self._locate(present)}
        arrived = [(properties, lun) for properties, lun in found if lun is not None and lun.lun_id not in missing]
        absent = tuple(
            lun_id
            for (_, lun_id), (_, lun) in zip(transportable.copies, found, strict=True)
            if lun is None or lun_id in missing
        )
        if not arrived:
            raise ProviderError(
                f"shadow copy set {set_id}: none of its {len(absent)} LUNs arrived",
                hresult=HResult.VSS_E_MISSING_DISK,
                hint="check the zoning of the array, then import again",
            )
        del self._array.transportable[set_id]
        for properties, lun in arrived:
            attributes = properties.attributes & ~NOT_SURFACED | IMPORTED
            imported = replace(properties, attributes=attributes, service_machine=self._machine_name)
            self._keep(LunCopy(imported, None, lun.source, lun))
        code = HResult.VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED if absent else HResult.S_OK
        return ImportResult(code, tuple(properties.snapshot_id for properties, _ in arrived), absent)

    async def break_snapshot_set(
        self, snapshot_set_id: Guid, options: BreakOptions = BreakOptions.NONE
    ) -> list[BrokenSnapshot]:
        """Make ordinary LUNs of the copies of a set.

        Args:
            snapshot_set_id: the set.
            options: take them away from this machine (MASK_LUNS, alone), let them be written, give them the identifiers of
                their originals.

        Raises:
            NotFoundError: the set has no shadow copy here.
            InvalidArgumentError: the options contradict each other.
            ProviderError: the identity of an original that the machine still sees was asked for; nothing was broken.
        """
        identity = BreakOptions.REVERT_IDENTITY_ALL
        contradicts = options & BreakOptions.MASK_LUNS and options != BreakOptions.MASK_LUNS
        if contradicts or (options & identity and options & BreakOptions.REVERT_IDENTITY_NONE):
            raise InvalidArgumentError(f"shadow copy set {snapshot_set_id}: {options!r} cannot all be meant")
        members = [copy for copy in self._copies.values() if copy.properties.snapshot_set_id == snapshot_set_id]
        if not members:
            raise NotFoundError(f"shadow copy set {snapshot_set_id} does not exist")
        now_ns = self._ports.clock.now_ns()
        if options & identity:
            for copy in members:
                if copy.source.has_arrived(self._machine_name, now_ns):
                    raise ProviderError(
                        f"LUN {copy.source.lun_id} of volume {copy.properties.original_volume} is visible: "
                        "its identity cannot be given to a copy",
                        hresult=HResult.VSS_E_BREAK_REVERT_ID_FAILED,
                        hint="mask the original first",
                    )
        broken = []
        for copy in members:
            lun = copy.target
            del self._copies[copy.properties.snapshot_id]
            self._array.copies.pop(copy.properties.snapshot_id, None)
            if options & BreakOptions.MASK_LUNS:
                self._array.mask(lun, self._machine_name)
            lun.is_writable = bool(options & BreakOptions.MAKE_READ_WRITE)
            if options & identity:
                self._array.exchange_identities(lun, copy.source)
            device = None if options & BreakOptions.MASK_LUNS else lun
            broken.append(BrokenSnapshot(copy.properties.snapshot_id, copy.properties.original_volume, device))
        return broken

    # -- finished shadow copies ------------------------------------------------------------------------------------------------

    async def query(self) -> list[SnapshotProperties]:
        """Return every shadow copy of this machine, oldest first; those it made that wait for import have no device."""
        waiting = [copy for copy in self._waiting.values() if copy.properties.snapshot_set_id in self._array.transportable]
        found = [copy.properties for copy in (*self._copies.values(), *waiting)]
        return sorted(found, key=lambda each: each.created_ns)

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """Mount a shadow copy; writable between pre-final and post-final commit of its set.

        Raises:
            NotFoundError: this machine has none with this id.
            VolumeDamagedError: there is no file system on it.
        """
        if snapshot_id in self._copies:
            return ExtentFileSystem.on_device(self._copies[snapshot_id].target)
        for copy in self._set.copies if self._set is not None and self._set.stage is Stage.WRITABLE else []:
            if copy.properties.snapshot_id == snapshot_id:
                return ExtentFileSystem.on_writable_device(copy.target, self._ports.clock.wall_ns)
        raise NotFoundError(f"shadow copy {snapshot_id} does not exist here, or its set is in the making")

    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        """Delete one shadow copy and its LUN (OnLunEmpty); ``NotFoundError`` where there is none."""
        copy = self._copies.pop(snapshot_id, None)
        if copy is not None:
            self._array.copies.pop(snapshot_id, None)
        elif snapshot_id in {each.snapshot_id for each in await self.query()}:
            copy = self._waiting.pop(snapshot_id)
        if copy is None:
            raise NotFoundError(f"shadow copy {snapshot_id} does not exist")
        self._array.remove(copy.target)

    async def close(self) -> None:
        """The machine shuts down: an unfinished set is undone; everything else is the array's."""
        if self._set is not None:
            self._undo(self._set)
