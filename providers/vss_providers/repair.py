"""Ways out when the structures behind a volume are damaged or a revert was cut short, on the image alone."""

from __future__ import annotations

from vss.volumes.block_store import BlockStore
from vss_providers.on_disk.layout import VOLUME_HEADER_OFFSET, VOLUME_HEADER_SIZE


def erase_diff_area(device: BlockStore) -> None:
    """Make a volume one without shadow copies, whatever stands there: the way out when its diff area is damaged.

    Raises:
        VolumeWriteError: the device failed.
    """
    device.write(VOLUME_HEADER_OFFSET, bytes(VOLUME_HEADER_SIZE))
    device.flush()
