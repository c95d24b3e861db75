"""The provider: makes and keeps shadow copies.

Called by the coordinator, per set, in this order (Volume Shadow Copy Service documentation, "Shadow copy creation for
providers"; each call has a deadline):

    is_volume_supported · begin_prepare_snapshot (once per volume) · end_prepare_snapshots · [writers freeze]
    pre_commit_snapshots · [writes are held] · commit_snapshots · [writes are released] · post_commit_snapshots
    [writers thaw] · pre_final_commit_snapshots · [writers may change the shadow copy] · post_final_commit_snapshots
    abort_snapshots at any point after end_prepare_snapshots was called; twice is harmless

Finished shadow copies can be reverted to, exposed, broken off and imported where a provider's capabilities say so; the space
that differential ones take is managed through the storage calls. All of these have a default that refuses.

Rules for authors: ``commit_snapshots`` is the point in time: under a second, no I/O to the original volumes through their
gate (it would wait for the hold). A set is whole or gone: if any provider fails, all are aborted. Raise ``ProviderVetoError``
or another ``ProviderError`` with a code of ``PROVIDER_FAILURES``; anything else is translated to
VSS_E_UNEXPECTED_PROVIDER_ERROR.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Protocol

from vss.errors import ProviderVetoError, UnsupportedError
from vss.hresult import HResult
from vss.ids import Guid
from vss.roles.attributes import CONTEXT_BITS
from vss.roles.volume import FileSystem, Volume


class ProviderType(IntEnum):
    """VSS_PROVIDER_TYPE. Default selection goes hardware, software, system."""

    SYSTEM = 1
    SOFTWARE = 2
    HARDWARE = 3
    FILE_SHARE = 4


@dataclass(frozen=True, slots=True)
class ProviderCapabilities:
    """What a provider can do; asked for by record, never by class."""

    is_differential: bool = False
    is_plex: bool = False
    is_transportable: bool = False
    supports_auto_recovery: bool = False
    supports_persistent: bool = False
    supports_revert: bool = False
    max_snapshots_per_volume: int = 512


@dataclass(frozen=True, slots=True)
class SnapshotProperties:
    """One shadow copy (VSS_SNAPSHOT_PROP). ``created_ns`` is wall time; ``attributes`` the VSS_VOLSNAP_ATTR bits."""

    snapshot_id: Guid
    snapshot_set_id: Guid
    provider_id: Guid
    original_volume: str
    original_volume_id: Guid
    snapshots_in_set: int
    created_ns: int
    attributes: int
    size_bytes: int
    device_name: str
    context: int = 0
    originating_machine: str = ""
    service_machine: str = ""
    exposed_name: str = ""

    @classmethod
    def in_the_making(
        cls, provider_id: Guid, snapshot_set_id: Guid, snapshot_id: Guid, volume: Volume, attributes: int, device_name: str
    ) -> SnapshotProperties:
        """Return what is known of a shadow copy of ``volume`` before its commit, which gives it time and set size."""
        return cls(
            snapshot_id=snapshot_id,
            snapshot_set_id=snapshot_set_id,
            provider_id=provider_id,
            original_volume=volume.name,
            original_volume_id=volume.volume_id,
            snapshots_in_set=0,
            created_ns=0,
            attributes=int(attributes),
            size_bytes=volume.size_bytes,
            device_name=device_name,
            context=attributes & CONTEXT_BITS,
        )


class BreakOptions(IntFlag):
    """What becomes of the copies when a set is broken off (VSS_HARDWARE_OPTIONS, BreakSnapshotSetEx)."""

    NONE = 0
    MASK_LUNS = 0x1
    MAKE_READ_WRITE = 0x2
    REVERT_IDENTITY_ALL = 0x4
    REVERT_IDENTITY_NONE = 0x8


class Device(Protocol):
    """The bytes of a copy that was broken off."""

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``."""
        ...

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data``; ``VolumeWriteError`` where the copy stayed read-only."""
        ...


@dataclass(frozen=True, slots=True)
class BrokenSnapshot:
    """A copy that is no shadow copy any more; ``device`` is None where it was masked from the machine."""

    snapshot_id: Guid
    original_volume: str
    device: Device | None


@dataclass(frozen=True, slots=True)
class CopyStatus:
    """How far a revert or a resynchronisation is (QueryRevertStatus). ``failure`` is empty unless it ended badly."""

    snapshot_id: Guid
    volume: str
    done_bytes: int
    total_bytes: int
    is_finished: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True)
class ShadowStorage:
    """Where the saved blocks of a volume go and how much room they may take (VSS_DIFF_AREA_PROP); ``maximum_bytes`` 0: any."""

    volume: str
    volume_id: Guid
    storage_volume: str
    storage_volume_id: Guid
    volume_bytes: int
    used_bytes: int
    allocated_bytes: int
    maximum_bytes: int


@dataclass(frozen=True, slots=True)
class TransportableSet:
    """What another machine needs to import a set: each shadow copy and the LUN it is on (part of the components document)."""

    snapshot_set_id: Guid
    copies: tuple[tuple[SnapshotProperties, str], ...]


@dataclass(frozen=True, slots=True)
class ImportResult:
    """``hresult`` is S_OK, or VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED where ``missing`` names LUNs that did not arrive."""

    hresult: HResult
    imported: tuple[Guid, ...]
    missing: tuple[str, ...] = ()


class Provider(ABC):
    """Subclass, give the class attributes, implement the phases. See the module's rules."""

    provider_id: Guid
    name: str
    version: str = "1.0"
    type: ProviderType = ProviderType.SOFTWARE
    capabilities: ProviderCapabilities = ProviderCapabilities()

    def before_mount(self, volume: Volume) -> None:
        """The disk of ``volume`` is there at a start and its file system is not mounted yet: bring to its end, on the bytes
        alone, what was cut short and keeps it from being mounted. ``attach`` comes later.

        Raises:
            VolumeError: the device failed; the machine does not start with it.
        """

    async def attach(self, volume: Volume) -> None:
        """``volume`` was mounted on this machine: take up the shadow copies it carries. Called before any set is made."""

    @abstractmethod
    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        """Whether a shadow copy of ``volume`` with these attributes can be made. True is a promise."""

    @abstractmethod
    async def begin_prepare_snapshot(self, snapshot_set_id: Guid, snapshot_id: Guid, volume: Volume, attributes: int) -> None:
        """Start preparing; return fast. A new set id means that an unfinished earlier set is dead."""

    @abstractmethod
    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        """Finish preparing; may take long; ``abort_snapshots`` may arrive meanwhile."""

    @abstractmethod
    async def pre_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Writers are frozen: last preparations, minimal time."""

    @abstractmethod
    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Writes are held: this is the point in time."""

    @abstractmethod
    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        """Writes flow again, writers are still frozen: clean up quickly."""

    async def pre_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """From now the shadow copies are writable for auto-recovery."""

    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """From now they are read-only."""

    @abstractmethod
    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        """Undo an unfinished set, whatever was reached; an unknown or finished set is left alone."""

    @abstractmethod
    async def query(self) -> list[SnapshotProperties]:
        """Return every finished shadow copy, oldest first."""

    @abstractmethod
    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """Return the files of a shadow copy; writable only between pre-final and post-final commit."""

    @abstractmethod
    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        """Remove one shadow copy; ``NotFoundError`` where there is none."""

    async def revert(self, snapshot_id: Guid, *, force_dismount: bool = False) -> None:
        """Bring the original volume back to the shadow copy. Cancelling the caller does not stop it.

        Args:
            snapshot_id: the shadow copy.
            force_dismount: take the volume away from those who have files open on it.
        """
        raise UnsupportedError(f"provider '{self.name}' cannot revert volumes")

    async def query_revert(self, volume: Volume) -> CopyStatus | None:
        """Return how far the volume's last revert is; None where there was none since the start."""
        return None

    async def set_exposed_name(self, snapshot_id: Guid, name: str) -> None:
        """Note that the files of a shadow copy can be reached as ``name`` on the host; an empty name takes that back."""
        raise UnsupportedError(f"provider '{self.name}' cannot expose shadow copies")

    async def break_snapshot_set(
        self, snapshot_set_id: Guid, options: BreakOptions = BreakOptions.NONE
    ) -> list[BrokenSnapshot]:
        """Make ordinary disks of the copies of a set; they are no shadow copies any more.

        Raises:
            ProviderVetoError: these copies cannot stand alone (vendor documentation, "Breaking shadow copies").
        """
        raise ProviderVetoError(f"provider '{self.name}' cannot break shadow copies: they do not stand alone")

    # -- transport (IVssHardwareSnapshotProvider) ------------------------------------------------------------------------------

    async def get_target_luns(self, snapshot_set_id: Guid) -> TransportableSet | None:
        """Return what another machine needs to import a finished transportable set (GetTargetLuns); None where nothing
        travels."""
        return None

    async def import_snapshots(self, transportable: TransportableSet) -> ImportResult:
        """Make the copies of a transportable set shadow copies of this machine; once per set (LocateLuns, FillInLunInfo).

        Raises:
            NotFoundError: the set does not wait for import.
            ProviderError: nothing arrived (VSS_E_MISSING_DISK and the like); it can be tried again.
        """
        raise UnsupportedError(f"provider '{self.name}' cannot import shadow copies")

    # -- shadow copy storage (IVssDifferentialSoftwareSnapshotMgmt) ------------------------------------------------------------

    async def query_storage(self) -> list[ShadowStorage]:
        """Return the storage association of every volume that has one, in the order of attaching."""
        return []

    async def add_storage(self, volume: Volume, storage_volume: Volume, maximum_bytes: int, *, is_inside: bool = False) -> None:
        """Associate ``volume`` with the place of its saved blocks, if wanted inside the volume; at most one per volume."""
        raise UnsupportedError(f"provider '{self.name}' has no shadow copy storage")

    async def resize_storage(self, volume: Volume, maximum_bytes: int) -> None:
        """Change the maximum; the oldest shadow copies go where they do not fit any more. 0 is no bound."""
        raise UnsupportedError(f"provider '{self.name}' has no shadow copy storage")

    async def delete_storage(self, volume: Volume) -> None:
        """Take the association away; refused while there are shadow copies."""
        raise UnsupportedError(f"provider '{self.name}' has no shadow copy storage")

    async def close(self) -> None:
        """The machine shuts down; persistent shadow copies stay, others are left as they are."""
