"""The volume header: 512 bytes at 0x1e00 that say where the catalog of shadow copies is.

It lies inside block 0 of the volume. So it is written before the first shadow copy and left alone afterwards; whoever must
change it copies block 0 first. Version 2 (Windows 8 and later) differs from version 1 in nothing that readers know of.

Source: libyal/libvshadow format document, "Volume header"; names of the fields from 96 on: msuhanov/dfir_ntfs, ShadowCopy.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

from vss_providers.on_disk.layout import (
    BLOCK_SIZE,
    FORMAT_ID,
    FORMAT_VERSION,
    VOLUME_HEADER_OFFSET,
    VOLUME_HEADER_SIZE,
    ReadableDevice,
    RecordType,
    check_identity,
    damaged,
)

_VOLUME_HEADER = struct.Struct("<16sIIQQQQQ16s16sQQQII16s368x")
assert _VOLUME_HEADER.size == VOLUME_HEADER_SIZE

_PROVISIONAL_MARK = UUID("6b1de0a4-93d5-4c0e-8a57-0e8b6a4f5c04").bytes_le
"""In bytes that nothing is known of and other writers leave zero."""

APPLICATION_FLAGS = 1  # what Vista and later write; earlier systems wrote 0


@dataclass(frozen=True, slots=True)
class VolumeHeader:
    """Where the catalog is and whose volume this is.

    Attributes:
        catalog_offset: absolute offset of the first catalog block; 0 when there is none yet.
        maximum_size: most bytes the diff area may take; 0 means unbounded.
        volume_id: this volume.
        storage_volume_id: the volume that holds the diff area; the same one when it is in or behind this volume.
        version: 1, or 2 on Windows 8 and later.
        is_provisional: written before what it points at was durable; only shadow copies that end with the next start are
            there. Where that cannot be read power was lost, and there is nothing.
    """

    catalog_offset: int
    maximum_size: int
    volume_id: UUID
    storage_volume_id: UUID
    version: int = FORMAT_VERSION
    is_provisional: bool = False

    @property
    def is_stored_elsewhere(self) -> bool:
        """Whether the saved blocks lie on another volume."""
        return self.volume_id != self.storage_volume_id

    def pack(self) -> bytes:
        """Return the 512 bytes."""
        return _VOLUME_HEADER.pack(
            FORMAT_ID,
            self.version,
            RecordType.VOLUME_HEADER,
            VOLUME_HEADER_OFFSET,
            VOLUME_HEADER_OFFSET,
            0,
            self.catalog_offset,
            self.maximum_size,
            self.volume_id.bytes_le,
            self.storage_volume_id.bytes_le,
            APPLICATION_FLAGS,
            0,
            0,
            0,
            0,
            _PROVISIONAL_MARK if self.is_provisional else bytes(16),
        )

    @classmethod
    def parse(cls, data: bytes) -> VolumeHeader:
        """Read the header from the 512 bytes at 0x1e00.

        Raises:
            VolumeDamagedError: identifier, version, type or an offset is wrong.
        """
        check_identity(data, RecordType.VOLUME_HEADER, VOLUME_HEADER_OFFSET, versions=(1, 2))
        fields = _VOLUME_HEADER.unpack_from(data)
        version, own_offset, catalog_offset, maximum_size = fields[1], fields[3], fields[6], fields[7]
        if own_offset != VOLUME_HEADER_OFFSET:
            raise damaged("volume header", VOLUME_HEADER_OFFSET, f"own offset {VOLUME_HEADER_OFFSET:#x}", f"{own_offset:#x}")
        if catalog_offset % BLOCK_SIZE:
            raise damaged("volume header", VOLUME_HEADER_OFFSET, "a catalog offset in whole blocks", f"{catalog_offset:#x}")
        volume_id, storage_volume_id = UUID(bytes_le=fields[8]), UUID(bytes_le=fields[9])
        return cls(catalog_offset, maximum_size, volume_id, storage_volume_id, version, fields[-1] == _PROVISIONAL_MARK)


def read_volume_header(device: ReadableDevice) -> VolumeHeader | None:
    """Return the volume header, or None where the volume never had shadow copies.

    Raises:
        VolumeDamagedError: the identifier is there and the rest is wrong.
    """
    if device.size_bytes < VOLUME_HEADER_OFFSET + VOLUME_HEADER_SIZE:
        return None
    data = device.read(VOLUME_HEADER_OFFSET, VOLUME_HEADER_SIZE)
    if data[:16] != FORMAT_ID:
        return None
    return VolumeHeader.parse(data)
