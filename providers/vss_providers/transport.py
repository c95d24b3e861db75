"""What travels of a hardware shadow copy set: the records of its making, of its transport and of its import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vss.ids import Guid
from vss.roles.provider import ImportResult, SnapshotProperties, TransportableSet
from vss.volumes.block_volume import BlockVolume
from vss_providers.stages import Stage

if TYPE_CHECKING:
    from vss_providers.luns import Lun

__all__ = ["ArraySet", "ImportResult", "LunCopy", "TransportableSet"]


@dataclass(slots=True)
class LunCopy:
    """One shadow copy on a LUN. ``volume`` is None on a machine that imported it, ``lun`` before it is prepared."""

    properties: SnapshotProperties
    volume: BlockVolume | None
    source: Lun
    lun: Lun | None = None

    @property
    def target(self) -> Lun:
        """The LUN of the copy; only asked for when it is prepared."""
        assert self.lun is not None, f"shadow copy {self.properties.snapshot_id} is not prepared"
        return self.lun


@dataclass(slots=True)
class ArraySet:
    """The set in the making."""

    snapshot_set_id: Guid
    stage: Stage = Stage.PREPARING
    copies: list[LunCopy] = field(default_factory=list)
