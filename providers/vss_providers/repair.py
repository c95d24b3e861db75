"""Ways out on the image alone: a revert that was cut short is brought to its end, a damaged diff area is erased.

Both work below everything else and need no mounted file system: half a reverted volume may hold none.
"""

from __future__ import annotations

from vss.volumes.block_store import BlockStore
from vss.volumes.boot_record import volume_size_of
from vss_providers.diff_area import DiffArea
from vss_providers.on_disk.catalog import FLAG_REVERT, read_catalog
from vss_providers.on_disk.layout import BLOCK_SHIFT, VOLUME_HEADER_OFFSET, VOLUME_HEADER_SIZE
from vss_providers.on_disk.volume_header import read_volume_header


def finish_revert(device: BlockStore) -> str:
    """Bring a revert that was cut short to its end; return the id of the shadow copy, or nothing where there was none.

    Raises:
        VolumeDamagedError: the diff area is damaged.
        UnsupportedError: the shadow copies there were made by another provider, or lie inside the volume.
        VolumeError: the device failed; the next attempt goes on.
    """
    header = read_volume_header(device)
    if header is None or not header.catalog_offset:
        return ""
    if not any(record.snapshot.flags & FLAG_REVERT for record in read_catalog(device, header.catalog_offset)):
        return ""
    area = DiffArea(device, volume_size_of(device), header.volume_id, lambda stores, loss: None)
    store = area.reverting
    if store is None:
        return ""
    for block in area.blocks_to_revert(store):
        data = area.read_for_revert(store, block)
        area.before_write(block << BLOCK_SHIFT, len(data))
        device.write(block << BLOCK_SHIFT, data)
    device.flush()
    area.mark_revert(store, is_reverting=False)
    return str(store.snapshot_id)


def erase_diff_area(device: BlockStore) -> None:
    """Make a volume one without shadow copies, whatever stands there: the way out when its diff area is damaged.

    Raises:
        VolumeWriteError: the device failed.
    """
    device.write(VOLUME_HEADER_OFFSET, bytes(VOLUME_HEADER_SIZE))
    device.flush()
