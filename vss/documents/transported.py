"""What the components document says of the shadow copies of a transportable set: enough for another machine to import them.

No document of Windows with these parts is public, so the element and its attributes are a convention of ours. It stands in no
namespace, as Windows leaves metadata: whoever reads the vendor's vocabulary alone passes it over. Source of the fields: pages
"VSS_SNAPSHOT_PROP" and "IVssHardwareSnapshotProvider::GetTargetLuns".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vss.ids import Guid

TAG = "SNAPSHOT_DESCRIPTION"


@dataclass(frozen=True, slots=True)
class SnapshotDescription:
    """One shadow copy of a transportable set and the LUN that it is on.

    Attributes:
        created_ns: wall time.
        attributes: VSS_VOLSNAP_ATTR bits.
        context: the low ones, as the set was made.
        lun_id: the identifier by which the LUN is found on the other machine.
    """

    snapshot_id: Guid
    provider_id: Guid
    original_volume: str
    original_volume_id: Guid
    snapshots_in_set: int
    created_ns: int
    attributes: int
    context: int
    size_bytes: int
    originating_machine: str
    lun_id: str

    def as_attributes(self) -> tuple[tuple[str, str | None], ...]:
        """Names and values of the element's attributes."""
        return (
            ("snapshotId", str(self.snapshot_id)),
            ("providerId", str(self.provider_id)),
            ("originalVolume", self.original_volume),
            ("originalVolumeId", str(self.original_volume_id)),
            ("snapshotsCount", str(self.snapshots_in_set)),
            ("creationTimestamp", str(self.created_ns)),
            ("snapshotAttributes", str(self.attributes)),
            ("context", str(self.context)),
            ("size", str(self.size_bytes)),
            ("originatingMachine", self.originating_machine or None),
            ("lunId", self.lun_id),
        )

    @classmethod
    def of_attributes(cls, get: Callable[[str], str]) -> SnapshotDescription:
        """Return what the attributes of a checked element say; ``get`` returns an empty text for one that is left out."""
        return cls(
            snapshot_id=Guid(get("snapshotId")),
            provider_id=Guid(get("providerId")),
            original_volume=get("originalVolume"),
            original_volume_id=Guid(get("originalVolumeId")),
            snapshots_in_set=int(get("snapshotsCount")),
            created_ns=int(get("creationTimestamp")),
            attributes=int(get("snapshotAttributes")),
            context=int(get("context")),
            size_bytes=int(get("size")),
            originating_machine=get("originatingMachine"),
            lun_id=get("lunId"),
        )
