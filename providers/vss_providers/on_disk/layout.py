"""Constants, the common block header and chain walking of the shadow copy format.

Invariants of the format: little-endian throughout; every block but the volume header is 16 KiB at a multiple of 16 KiB from
the start of the volume; every block carries identifier, version, record type and its own offset, and there are no checksums,
so these are all that can be checked. GUIDs are in the mixed-endian Windows layout, times are FILETIMEs.

Sources: libyal/libvshadow, "Volume Shadow Snapshot (VSS) format" (structures); msuhanov/dfir_ntfs, module ShadowCopy (names
of fields that the former leaves unknown).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from vss.errors import VolumeDamagedError

BLOCK_SIZE = 0x4000
BLOCK_SHIFT = 14
SECTOR_SIZE = 512
SECTORS_PER_BLOCK = BLOCK_SIZE // SECTOR_SIZE
BLOCK_HEADER_SIZE = 128
VOLUME_HEADER_OFFSET = 0x1E00
VOLUME_HEADER_SIZE = 512

FORMAT_ID = UUID("3808876b-c176-4e48-b7ae-04046e6cc752").bytes_le
FORMAT_VERSION = 1

FILETIME_UNIX_EPOCH = 116_444_736_000_000_000
"""1970-01-01 as a FILETIME (100 ns units since 1601-01-01 UTC)."""

CHAIN_BLOCKS_MAX = 1 << 20
"""Longer chains (16 GiB of metadata) are taken for damage."""


class RecordType(IntEnum):
    """What a block is; at offset 20 of every block."""

    VOLUME_HEADER = 1
    CATALOG = 2
    BLOCK_LIST = 3
    STORE_HEADER = 4
    RANGE_LIST = 5
    BITMAP = 6

    @property
    def title(self) -> str:
        """The words used in messages: ``block list``."""
        return self.name.lower().replace("_", " ")


class ReadableDevice(Protocol):
    """What the format is read from: an image, a volume below its gate, a shadow copy."""

    @property
    def size_bytes(self) -> int:
        """Length of what can be read."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; nobody here asks beyond ``size_bytes``."""
        ...


def filetime_from_ns(wall_ns: int) -> int:
    """Return the FILETIME of a wall instant (nanoseconds since 1970-01-01 UTC), rounded down to 100 ns."""
    return wall_ns // 100 + FILETIME_UNIX_EPOCH


def ns_from_filetime(filetime: int) -> int:
    """Return the wall instant of a FILETIME."""
    return (filetime - FILETIME_UNIX_EPOCH) * 100


def round_up(size: int) -> int:
    """Return ``size`` rounded up to whole blocks, in bytes."""
    return -(-size // BLOCK_SIZE) * BLOCK_SIZE


def damaged(structure: str, offset: int, expected: object, found: object) -> VolumeDamagedError:
    """Return the error for a structure that does not hold what it must."""
    return VolumeDamagedError(f"{structure} at offset {offset:#x}: expected {expected}, found {found}")


def check_identity(data: bytes, record_type: RecordType, offset: int, *, versions: tuple[int, ...] = (FORMAT_VERSION,)) -> None:
    """Check identifier, version and record type of a block or of the volume header.

    Raises:
        VolumeDamagedError: one of them is wrong, or the data are too short to hold them.
    """
    title = record_type.title
    if len(data) < BLOCK_HEADER_SIZE:
        raise damaged(title, offset, f"{BLOCK_HEADER_SIZE} bytes at least", f"{len(data)} bytes")
    if data[:16] != FORMAT_ID:
        raise damaged(title, offset, f"identifier {FORMAT_ID.hex()}", bytes(data[:16]).hex())
    version, kind = struct.unpack_from("<II", data, 16)
    if version not in versions:
        raise damaged(title, offset, f"version {' or '.join(map(str, versions))}", version)
    if kind != record_type:
        raise damaged(title, offset, f"record type {record_type.value}", kind)


_BLOCK_HEADER = struct.Struct("<16sIIQQQQ72x")
assert _BLOCK_HEADER.size == BLOCK_HEADER_SIZE

NEXT_OFFSET_AT = 40
"""Where in a block the absolute offset of the next block of its chain stands; eight bytes that never cross a sector."""


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """The first 128 bytes of every block but the volume header.

    Attributes:
        record_type: what the block is.
        relative_offset: from the start of the store, or of the catalog.
        offset: its own absolute offset.
        next_offset: absolute offset of the next block of the chain, 0 in the last.
        information_size: bytes of store information after the header; store header only.
    """

    record_type: RecordType
    relative_offset: int
    offset: int
    next_offset: int = 0
    information_size: int = 0

    def pack(self) -> bytes:
        """Return the 128 bytes."""
        return _BLOCK_HEADER.pack(
            FORMAT_ID,
            FORMAT_VERSION,
            self.record_type,
            self.relative_offset,
            self.offset,
            self.next_offset,
            self.information_size,
        )

    @classmethod
    def parse(cls, data: bytes, record_type: RecordType, offset: int) -> BlockHeader:
        """Read the header of a block that stands at the absolute ``offset``.

        Raises:
            VolumeDamagedError: identifier, version, record type or own offset is wrong.
        """
        check_identity(data, record_type, offset)
        _, _, _, relative_offset, own_offset, next_offset, information_size = _BLOCK_HEADER.unpack_from(data)
        if own_offset != offset:
            raise damaged(record_type.title, offset, f"own offset {offset:#x}", f"{own_offset:#x}")
        return cls(record_type, relative_offset, own_offset, next_offset, information_size)


def read_block(device: ReadableDevice, record_type: RecordType, offset: int) -> tuple[BlockHeader, bytes]:
    """Read one whole block and check its header.

    Raises:
        VolumeDamagedError: it is not where or what it must be.
    """
    if offset % BLOCK_SIZE:
        raise damaged(record_type.title, offset, "an offset in whole blocks of 16 KiB", f"{offset:#x}")
    data = device.read(offset, BLOCK_SIZE) if offset + BLOCK_SIZE <= device.size_bytes else b""
    if len(data) < BLOCK_SIZE:
        raise damaged(record_type.title, offset, f"{BLOCK_SIZE} bytes", f"the end of the image at {device.size_bytes:#x}")
    return BlockHeader.parse(data, record_type, offset), data


def walk_chain(device: ReadableDevice, record_type: RecordType, first_offset: int) -> Iterator[tuple[BlockHeader, bytes]]:
    """Yield every block of a chain, first to last.

    Raises:
        VolumeDamagedError: a block is wrong, or the chain meets itself.
    """
    offset, seen = first_offset, set[int]()
    while offset:
        if offset in seen or len(seen) >= CHAIN_BLOCKS_MAX:
            raise damaged(record_type.title, offset, "a chain that ends", "a block that is in the chain already")
        seen.add(offset)
        header, data = read_block(device, record_type, offset)
        yield header, data
        offset = header.next_offset
