"""The extent file system on disk: where each structure lies and how it is encoded. No behaviour beyond encoding.

    0x0000  boot record (``boot_record``); 0x1e00 is left to the shadow copy header
    0x4000  superblock A          0x6000  superblock B           one sector each, used in turn
    0x8000  body A · body B · journal · data                      each on a 16 KiB boundary
    last sector: boot record again, outside the data area

A *superblock* names an epoch and the length and checksum of its *body*: the whole tree of files, as of one instant. *Journal
records* of that epoch, numbered from 1, change the tree; each is a checksummed list of ``Change``s, sector aligned. Integers
of headers are little-endian; bodies and changes are MessagePack arrays. Checksums are XXH3 (64 bits) over everything else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgspec
import xxhash

from vss.errors import InvalidArgumentError, VolumeDamagedError
from vss.ids import Guid
from vss.volumes.block_store import BLOCK_BYTES, SECTOR_BYTES
from vss.volumes.boot_record import CLUSTER_BYTES

SUPERBLOCK_OFFSETS = (0x4000, 0x6000)
SIZE_BYTES_MIN = 128 * 1024
FILE_BYTES_MAX = 1 << 48
ROOT_ID = 1

_SUPERBLOCK_MAGIC = b"EXTENTFS"
_RECORD_MAGIC = b"EXTJRNL1"
_VERSION = 1
_BODY_BYTES_MAX = 64 << 20
_JOURNAL_BYTES_MAX = 4 << 20
_AREA_START = 0x8000

# magic, version, cluster bytes, volume bytes, volume id, epoch, body bytes, journal bytes, stored body length, body checksum
_SUPERBLOCK = struct.Struct("<8sIIQ16sQQQQQ")
_CHECKSUM = struct.Struct("<Q")
# magic, epoch, sequence, payload length, checksum of the four and the payload
_RECORD = struct.Struct("<8sQQQQ")


class Create(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A new, empty file or directory."""

    node_id: int
    parent_id: int
    name: str
    is_directory: bool
    modified_ns: int


class Remove(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A file or an empty directory goes."""

    node_id: int


class Move(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A node gets another parent or name; a file that stands there goes."""

    node_id: int
    parent_id: int
    name: str


class Map(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A hole of a file becomes a run of clusters."""

    node_id: int
    logical: int
    physical: int
    count: int


class Cut(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A file loses its clusters from ``cluster_count`` on."""

    node_id: int
    cluster_count: int


class Resize(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A file's length and time."""

    node_id: int
    size_bytes: int
    modified_ns: int


Change = Create | Remove | Move | Map | Cut | Resize


class StoredNode(msgspec.Struct, frozen=True, array_like=True):
    """One file or directory in a body; parents come before their children."""

    node_id: int
    parent_id: int
    name: str
    is_directory: bool
    size_bytes: int
    modified_ns: int
    extents: list[tuple[int, int, int]]


class Body(msgspec.Struct, frozen=True, array_like=True):
    """The whole tree, without the root."""

    next_id: int
    nodes: list[StoredNode]


NODE_BYTES_MAX = 56
EXTENT_BYTES_MAX = 28
"""Upper bounds of what a node (without its name) and an extent take in a body, whatever the integers are."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where things lie on a volume of ``size_bytes``; offsets and lengths in bytes, data area in clusters of the volume."""

    size_bytes: int
    body_bytes: int
    journal_bytes: int

    @classmethod
    def for_volume(cls, size_bytes: int) -> Geometry:
        """Choose areas in proportion to the volume."""
        if size_bytes < SIZE_BYTES_MIN or size_bytes % SECTOR_BYTES:
            raise InvalidArgumentError(
                f"expected a volume of at least {SIZE_BYTES_MIN} bytes in whole sectors of {SECTOR_BYTES}, found {size_bytes}"
            )
        return cls(
            size_bytes=size_bytes,
            body_bytes=_area(size_bytes // 128, _BODY_BYTES_MAX),
            journal_bytes=_area(size_bytes // 64, _JOURNAL_BYTES_MAX),
        )

    @property
    def is_possible(self) -> bool:
        """Whether a volume may have it: areas as ``for_volume`` chooses them, or smaller where the volume has grown since."""
        chosen = Geometry.for_volume(self.size_bytes)
        areas = ((self.body_bytes, chosen.body_bytes), (self.journal_bytes, chosen.journal_bytes))
        return all(0 < found <= most and found % BLOCK_BYTES == 0 for found, most in areas)

    def body_offset(self, which: int) -> int:
        """Return where body 0 or 1 starts."""
        return _AREA_START + which * self.body_bytes

    @property
    def journal_offset(self) -> int:
        """Where the journal starts."""
        return _AREA_START + 2 * self.body_bytes

    @property
    def first_cluster(self) -> int:
        """The first cluster of the data area."""
        return (self.journal_offset + self.journal_bytes) // CLUSTER_BYTES

    @property
    def end_cluster(self) -> int:
        """The cluster after the data area; the last sector is never inside."""
        return (self.size_bytes - SECTOR_BYTES) // CLUSTER_BYTES


def _area(size_bytes: int, maximum: int) -> int:
    return min(max(-(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES, BLOCK_BYTES), maximum)


@dataclass(frozen=True, slots=True)
class Superblock:
    """What one superblock says."""

    geometry: Geometry
    volume_id: Guid
    epoch: int
    body_length: int
    body_checksum: int


def checksum(data: bytes | bytearray | memoryview) -> int:
    """Return the XXH3 checksum of ``data``."""
    return xxhash.xxh3_64_intdigest(data)


def encode_superblock(superblock: Superblock) -> bytes:
    """Return one sector."""
    geometry = superblock.geometry
    head = _SUPERBLOCK.pack(
        _SUPERBLOCK_MAGIC,
        _VERSION,
        CLUSTER_BYTES,
        geometry.size_bytes,
        superblock.volume_id.bytes_le,
        superblock.epoch,
        geometry.body_bytes,
        geometry.journal_bytes,
        superblock.body_length,
        superblock.body_checksum,
    )
    padded = head.ljust(SECTOR_BYTES - _CHECKSUM.size, b"\0")
    return padded + _CHECKSUM.pack(checksum(padded))


def decode_superblock(sector: bytes, offset: int) -> Superblock:
    """Return what the sector at ``offset`` says; ``VolumeDamagedError`` where it is no superblock."""
    padded, stored = sector[: -_CHECKSUM.size], _CHECKSUM.unpack(sector[-_CHECKSUM.size :])[0]
    magic, version, cluster, size, volume_id, epoch, body_bytes, journal_bytes, length, body_checksum = _SUPERBLOCK.unpack_from(
        sector
    )
    if magic != _SUPERBLOCK_MAGIC:
        raise VolumeDamagedError(f"superblock at offset {offset}: expected {_SUPERBLOCK_MAGIC!r}, found {magic!r}")
    if checksum(padded) != stored:
        raise VolumeDamagedError(
            f"superblock at offset {offset}: expected checksum {checksum(padded):016x}, found {stored:016x}"
        )
    if version != _VERSION or cluster != CLUSTER_BYTES:
        raise VolumeDamagedError(
            f"superblock at offset {offset}: expected version {_VERSION} with clusters of {CLUSTER_BYTES} bytes, "
            f"found version {version} with {cluster}"
        )
    if size < SIZE_BYTES_MIN or size % SECTOR_BYTES:
        raise VolumeDamagedError(f"superblock at offset {offset}: expected a possible volume size, found {size}")
    geometry = Geometry(size_bytes=size, body_bytes=body_bytes, journal_bytes=journal_bytes)
    return Superblock(geometry, Guid(bytes_le=volume_id), epoch, length, body_checksum)


def encode_record(epoch: int, sequence: int, changes: list[Change]) -> bytes:
    """Return a journal record in whole sectors."""
    payload = msgspec.msgpack.encode(changes)
    head = _RECORD.pack(_RECORD_MAGIC, epoch, sequence, len(payload), 0)[: -_CHECKSUM.size]
    record = head + _CHECKSUM.pack(checksum(head + payload)) + payload
    return record.ljust(-(-len(record) // SECTOR_BYTES) * SECTOR_BYTES, b"\0")


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """A record found whole in a journal."""

    epoch: int
    sequence: int
    length: int
    payload: bytes


def find_record(journal: bytes, position: int) -> JournalRecord | None:
    """Return the record at ``position`` of a journal's bytes, or None where none stands there whole."""
    if position + _RECORD.size > len(journal):
        return None
    magic, epoch, sequence, length, stored = _RECORD.unpack_from(journal, position)
    start = position + _RECORD.size
    if magic != _RECORD_MAGIC or start + length > len(journal):
        return None
    payload = journal[start : start + length]
    if checksum(journal[position : start - _CHECKSUM.size] + payload) != stored:
        return None
    total = -(-(_RECORD.size + length) // SECTOR_BYTES) * SECTOR_BYTES
    return JournalRecord(epoch, sequence, total, payload)


def find_later_record(journal: bytes, position: int, epoch: int) -> int:
    """Return where a whole record of ``epoch`` stands at or after ``position``, or -1."""
    found = journal.find(_RECORD_MAGIC, position)
    while found >= 0:
        record = find_record(journal, found) if found % SECTOR_BYTES == 0 else None
        if record is not None and record.epoch == epoch:
            return found
        found = journal.find(_RECORD_MAGIC, found + 1)
    return -1


def decode_changes(payload: bytes, offset: int) -> list[Change]:
    """Return the changes of the record at volume ``offset``; its checksum was right, so anything else is a foreign hand's."""
    try:
        return msgspec.msgpack.decode(payload, type=list[Change])
    except msgspec.MsgspecError as error:
        raise VolumeDamagedError(f"journal record at offset {offset}: {error}") from error


def decode_body(data: bytes, offset: int) -> Body:
    """Return the tree stored at volume ``offset``."""
    try:
        return msgspec.msgpack.decode(data, type=Body)
    except msgspec.MsgspecError as error:
        raise VolumeDamagedError(f"checkpoint body at offset {offset}: {error}") from error
