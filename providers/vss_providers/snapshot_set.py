"""One shadow copy set in the making at the copy-on-write provider: how far it is, and its volumes."""

from __future__ import annotations

from dataclasses import dataclass, field

from vss.errors import InsufficientStorageError, ProviderError, ProviderVetoError, VolumeError, VolumeFullError
from vss.ids import Guid
from vss.volumes.block_volume import BlockVolume
from vss_providers.attached_volume import AttachedVolume
from vss_providers.diff_area import DiffArea
from vss_providers.snapshot_device import WritableSnapshotDevice
from vss_providers.stages import Stage
from vss_providers.store import Store


@dataclass(slots=True)
class Member:
    """One volume of the set. ``store`` is there once prepared, ``is_begun`` once it saves blocks."""

    snapshot_id: Guid
    attached: AttachedVolume
    attributes: int
    store: Store | None = None
    is_begun: bool = False

    @property
    def volume(self) -> BlockVolume:
        """The original volume."""
        return self.attached.volume

    @property
    def area(self) -> DiffArea:
        """Its diff area."""
        return self.attached.area

    @property
    def prepared(self) -> Store:
        """The store; only asked for when the set is prepared."""
        assert self.store is not None, f"shadow copy {self.snapshot_id} is not prepared"
        return self.store


@dataclass(slots=True)
class SnapshotSet:
    """The set; ``devices`` are those opened for writing."""

    snapshot_set_id: Guid
    stage: Stage = Stage.PREPARING
    members: list[Member] = field(default_factory=list)
    devices: list[WritableSnapshotDevice] = field(default_factory=list)

    def require_whole(self) -> None:
        """Refuse to go on with a set that lost a part.

        Raises:
            InsufficientStorageError: a shadow copy of the set was lost meanwhile.
        """
        for member in self.members:
            if member.store is not None and member.store.lost:
                raise InsufficientStorageError(
                    f"shadow copy {member.snapshot_id} of volume {member.volume.name} was lost: {member.store.lost}"
                )


def as_provider_error(error: VolumeError, doing: str) -> ProviderError:
    """Return what a provider may raise for a failure of storage."""
    kind = InsufficientStorageError if isinstance(error, VolumeFullError) else ProviderVetoError
    return kind(f"{doing}: {error.message}", hint=error.hint)
