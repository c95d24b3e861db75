"""The provider: makes and keeps shadow copies.

Called by the coordinator, per set, in this order (Volume Shadow Copy Service documentation, "Shadow copy creation for
providers"; each call has a deadline):

    is_volume_supported · begin_prepare_snapshot (once per volume) · end_prepare_snapshots · [writers freeze]
    pre_commit_snapshots · [writes are held] · commit_snapshots · [writes are released] · post_commit_snapshots
    [writers thaw] · pre_final_commit_snapshots · [writers may change the shadow copy] · post_final_commit_snapshots
    abort_snapshots at any point after end_prepare_snapshots was called; twice is harmless

Rules for authors: ``commit_snapshots`` is the point in time: under a second, no I/O to the original volumes through their
gate (it would wait for the hold). A set is whole or gone: if any provider fails, all are aborted. Raise ``ProviderVetoError``
or another ``ProviderError`` with a code of ``PROVIDER_FAILURES``; anything else is translated to
VSS_E_UNEXPECTED_PROVIDER_ERROR.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum

from vss.errors import UnsupportedError
from vss.ids import Guid
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


class Provider(ABC):
    """Subclass, give the class attributes, implement the phases. See the module's rules."""

    provider_id: Guid
    name: str
    version: str = "1.0"
    type: ProviderType = ProviderType.SOFTWARE
    capabilities: ProviderCapabilities = ProviderCapabilities()

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

    async def revert(self, snapshot_id: Guid) -> None:
        """Bring the original volume back to the shadow copy."""
        raise UnsupportedError(f"provider '{self.name}' cannot revert volumes")

    async def close(self) -> None:
        """The machine shuts down; persistent shadow copies stay, others are left as they are."""
