"""A volume, its diff area, and whether the one is told of the other's writes."""

from __future__ import annotations

from vss.volumes.block_volume import BlockVolume
from vss_providers.diff_area import DiffArea
from vss_providers.growth import AreaFaults


class AttachedVolume:
    """A volume and its diff area. The area stands between gate and store exactly while it has something to protect."""

    def __init__(self, volume: BlockVolume, area: DiffArea, growth: AreaFaults) -> None:
        """Join them; call ``set_filter`` whenever the stack may have become empty or not."""
        self.volume = volume
        self.area = area
        self.growth = growth
        self._is_filtering = False

    @property
    def is_current(self) -> bool:
        """Whether the area is still the one below the volume: not after the disk was lost or replaced, or the volume grew."""
        return self.volume.raw_store is self.area.device and self.volume.size_bytes == self.area.volume_size

    @property
    def storage_volume(self) -> BlockVolume:
        """The volume that has the area: itself, or another one."""
        return self.volume if self.area.storage is None else self.area.storage.volume

    @property
    def absence(self) -> str:
        """What is said of shadow copies when the area is not current: they went with the disk they were on."""
        return f"volume {self.volume.name} was lost or replaced"

    def set_filter(self) -> None:
        """Attach or detach the area as a write filter; ``VolumeError`` when the volume is lost."""
        if bool(self.area.stack) and not self._is_filtering:
            self.volume.attach_filter(self.growth.write_filter)
            self._is_filtering = True
        elif not self.area.stack and self._is_filtering:
            self.volume.detach_filter(self.growth.write_filter)
            self._is_filtering = False

    def detach(self) -> None:
        """Stop telling the area, whatever it protects: the machine shuts down."""
        self.volume.detach_filter(self.growth.write_filter)
        self._is_filtering = False
