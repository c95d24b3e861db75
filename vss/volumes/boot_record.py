"""The NTFS-looking boot record in the first and the last sector of a volume.

It is there for the readers of shadow copies: libvshadow takes the volume's size from it and looks for the second one in the
last sector (libvshadow, ``libvshadow_ntfs_volume_header.c``; NTFS documentation of the same project, "Volume header"). Nothing
of the file system is stored in it: there is no NTFS behind it, and the partition code says so to no one but a human reader.

Layout, little-endian: 3 "NTFS    " · 11 bytes per sector (2) · 13 sectors per cluster (1) · 21 media (1) · 40 total sectors
without the last (8) · 64 MFT record size (4, signed power of two) · 68 index record size in clusters (4) · 72 serial (8) ·
510 signature 55 aa.
"""

from __future__ import annotations

import struct

from vss.ids import Guid
from vss.volumes.block_store import SECTOR_BYTES, BlockDevice

CLUSTER_BYTES = 4096
VSS_HEADER_OFFSET = 0x1E00
"""Where the shadow copy header of the volume lives (libvshadow format document, "Volume header"); left to providers."""

_SIGNATURE = b"NTFS    "
_RECORD_1024 = 0xF6  # 2 ** 10 bytes, as a negative signed byte


def boot_record(size_bytes: int, volume_id: Guid) -> bytes:
    """Return the 512 bytes for a volume of ``size_bytes``, a multiple of 512."""
    assert size_bytes % SECTOR_BYTES == 0
    record = bytearray(SECTOR_BYTES)
    record[0:3] = b"\xeb\x52\x90"
    record[3:11] = _SIGNATURE
    struct.pack_into("<HB", record, 11, SECTOR_BYTES, CLUSTER_BYTES // SECTOR_BYTES)
    record[21] = 0xF8
    struct.pack_into("<Q", record, 40, size_bytes // SECTOR_BYTES - 1)
    struct.pack_into("<II", record, 64, _RECORD_1024, 1)
    struct.pack_into("<Q", record, 72, volume_id.int & 0xFFFF_FFFF_FFFF_FFFF)
    record[510:512] = b"\x55\xaa"
    return bytes(record)


def volume_size_of(device: BlockDevice) -> int:
    """Return the volume's size as its boot record says, or the device's where there is no such record."""
    if device.size_bytes < SECTOR_BYTES:
        return device.size_bytes
    record = device.read(0, SECTOR_BYTES)
    if record[3:11] != _SIGNATURE or record[510:512] != b"\x55\xaa":
        return device.size_bytes
    bytes_per_sector = int.from_bytes(record[11:13], "little")
    total_sectors = int.from_bytes(record[40:48], "little")
    size_bytes = (total_sectors + 1) * bytes_per_sector
    return size_bytes if 0 < size_bytes <= device.size_bytes else device.size_bytes
