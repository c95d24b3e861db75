"""What travels of a hardware shadow copy set: the records of its making, of its transport and of its import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vss.errors import ProviderError, ProviderVetoError
from vss.hresult import HResult
from vss.ids import Guid
from vss.roles.provider import ImportResult, SnapshotProperties, TransportableSet
from vss.volumes.block_volume import BlockVolume
from vss_providers.snapshot_set import Stage

if TYPE_CHECKING:
    from vss_providers.luns import Lun

__all__ = ["ArraySet", "ImportResult", "LunCopy", "TransportableSet", "require_stage"]


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


def require_stage(current: ArraySet | None, snapshot_set_id: Guid, stage: Stage, call: str) -> ArraySet:
    """Return the set in the making if it is this one and has come exactly this far.

    Raises:
        ProviderError: it is another one, or none.
        ProviderVetoError: it is at another stage.
    """
    if current is None or current.snapshot_set_id != snapshot_set_id:
        raise ProviderError(
            f"{call}: expected the shadow copy set in the making, found {snapshot_set_id}",
            hresult=HResult.VSS_E_OBJECT_NOT_FOUND,
        )
    if current.stage is not stage:
        raise ProviderVetoError(
            f"shadow copy set {snapshot_set_id}: expected {call} in stage {stage.name}, found {current.stage.name}"
        )
    return current
