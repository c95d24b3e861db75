"""The catalog: which shadow copies there are, and where the store of each is.

A chain of blocks of 127 entries of 128 bytes. A shadow copy is two entries with one store id: its description (type 2) and,
where the saved blocks are on the same volume, its store (type 3). We keep the two in one 512-byte sector, so that a shadow
copy appears and disappears with one sector write: slot 0 of each block stays free and pair ``n`` starts at 256 + 256 n.
Unused entries are written as free (type 1), never as type 0: some readers stop for good at a type 0 entry.

While a set over several volumes is being committed, a pair stands in its slot complete but with type 1 twice: a *pending*
pair, which every reader takes for free slots and only the provider that wrote it turns into a shadow copy, or not.

Sources: libyal/libvshadow format document, "Catalog"; msuhanov/dfir_ntfs, ShadowCopy (stack position, flags).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from vss_providers.on_disk.layout import (
    BLOCK_HEADER_SIZE,
    BLOCK_SIZE,
    SECTOR_SIZE,
    BlockHeader,
    ReadableDevice,
    RecordType,
    damaged,
    walk_chain,
)

ENTRY_SIZE = 128
PAIR_SIZE = 2 * ENTRY_SIZE
FIRST_PAIR_AT = 256
PAIRS_PER_BLOCK = (BLOCK_SIZE - FIRST_PAIR_AT) // PAIR_SIZE
assert PAIRS_PER_BLOCK == 63
assert SECTOR_SIZE % PAIR_SIZE == 0, "a pair of entries must lie in one sector"

NEVER_USED, FREE, SNAPSHOT, STORE = 0, 1, 2, 3

FLAG_ORDINARY = 0x40
FLAG_REVERT = 0x1
"""The volume is being reverted to this shadow copy."""

POSITION_AT = 32
"""Where in a snapshot entry the stack position stands; eight bytes that never cross a sector."""

FLAGS_AT = 40
"""Where in a snapshot entry the flags stand; eight bytes that never cross a sector."""

_SNAPSHOT = struct.Struct("<QQ16sQQQH70x")
_STORE = struct.Struct("<QQ16sQQQQQQI28x16s")
assert _SNAPSHOT.size == ENTRY_SIZE
assert _STORE.size == ENTRY_SIZE

NOTE_MARK = UUID("9d1c6a52-0b7e-4b0b-8a4e-3f5a7c1d2e02").bytes_le
"""Where the store id of an entry would stand: one of the free type with this is a note of ours (``shared_bitmaps``)."""

_EXPENDABLE_MARK = UUID("c3f1a7d8-52be-4f0a-b6a1-90d2e4c7ab05").bytes_le
"""In bytes of a store entry that nothing is known of and other writers leave zero."""

FREE_ENTRY = struct.pack("<Q120x", FREE)
FREE_PAIR = FREE_ENTRY * 2


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """Type 2: a shadow copy.

    Attributes:
        store_id: joins it with its store.
        volume_size: length of the volume, and so of the shadow copy, in bytes.
        position: 1 for the oldest in the stack, one more for each newer.
        created: FILETIME; differs within a volume, or readers fail.
        flags: ``FLAG_ORDINARY`` and others.
    """

    store_id: UUID
    volume_size: int
    position: int
    created: int
    flags: int = FLAG_ORDINARY
    unknown_56: int = 0

    def pack(self, kind: int = SNAPSHOT) -> bytes:
        """Return the 128 bytes; ``kind`` is the type field, ``FREE`` for a pending entry."""
        return _SNAPSHOT.pack(
            kind, self.volume_size, self.store_id.bytes_le, self.position, self.flags, self.created, self.unknown_56
        )

    @classmethod
    def parse(cls, data: bytes) -> SnapshotEntry:
        """Read the entry from its 128 bytes."""
        _, volume_size, store_id, position, flags, created, unknown = _SNAPSHOT.unpack(data)
        return cls(UUID(bytes_le=store_id), volume_size, position, created, flags, unknown)


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """Type 3: where the store of a shadow copy is, as absolute offsets of the first block of each chain.

    ``is_expendable``: it was entered while no shadow copy of its volume was to outlive the next start, and so without flushes.
    Where it is damaged power was lost, and it is as good as gone.
    """

    store_id: UUID
    header_offset: int
    block_list_offset: int
    range_list_offset: int
    bitmap_offset: int
    previous_bitmap_offset: int = 0
    file_reference: int = 0
    allocated_size: int = 0
    unknown_80: int = 0
    is_expendable: bool = False

    def pack(self, kind: int = STORE) -> bytes:
        """Return the 128 bytes; ``kind`` is the type field, ``FREE`` for a pending entry."""
        return _STORE.pack(
            kind,
            self.block_list_offset,
            self.store_id.bytes_le,
            self.header_offset,
            self.range_list_offset,
            self.bitmap_offset,
            self.file_reference,
            self.allocated_size,
            self.previous_bitmap_offset,
            self.unknown_80,
            _EXPENDABLE_MARK if self.is_expendable else bytes(16),
        )

    @classmethod
    def parse(cls, data: bytes) -> StoreEntry:
        """Read the entry from its 128 bytes."""
        _, block_list, store_id, header, range_list, bitmap, reference, size, previous, unknown, mark = _STORE.unpack(data)
        return cls(
            UUID(bytes_le=store_id),
            header,
            block_list,
            range_list,
            bitmap,
            previous,
            reference,
            size,
            unknown,
            mark == _EXPENDABLE_MARK,
        )


@dataclass(frozen=True, slots=True)
class CatalogRecord:
    """One shadow copy as the catalog knows it; ``store`` is None when the saved blocks are on another volume.

    ``snapshot_at`` and ``store_at`` are the absolute offsets of the entries.
    """

    snapshot: SnapshotEntry
    store: StoreEntry | None
    snapshot_at: int
    store_at: int = 0


def pack_empty_catalog(first_offset: int, block_count: int) -> bytes:
    """Return ``block_count`` chained blocks with every entry free, to stand at ``first_offset``."""
    blocks = []
    for index in range(block_count):
        offset = first_offset + index * BLOCK_SIZE
        next_offset = offset + BLOCK_SIZE if index + 1 < block_count else 0
        header = BlockHeader(RecordType.CATALOG, index * BLOCK_SIZE, offset, next_offset)
        blocks.append(header.pack() + FREE_ENTRY * ((BLOCK_SIZE - BLOCK_HEADER_SIZE) // ENTRY_SIZE))
    return b"".join(blocks)


def pair_offsets(block_offset: int) -> range:
    """Return the absolute offsets at which pairs of entries may stand in the catalog block at ``block_offset``."""
    return range(block_offset + FIRST_PAIR_AT, block_offset + FIRST_PAIR_AT + PAIRS_PER_BLOCK * PAIR_SIZE, PAIR_SIZE)


def _entries(device: ReadableDevice, first_offset: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield absolute offset, type and bytes of every entry that describes something."""
    for header, data in walk_chain(device, RecordType.CATALOG, first_offset):
        for at in range(BLOCK_HEADER_SIZE, BLOCK_SIZE, ENTRY_SIZE):
            entry = data[at : at + ENTRY_SIZE]
            kind = entry[0]  # the other bytes of the type field hold flags on newer systems
            if kind in (SNAPSHOT, STORE):
                yield header.offset + at, kind, entry
            elif kind not in (NEVER_USED, FREE):
                raise damaged("catalog entry", header.offset + at, "type 0 to 3", kind)


def read_catalog(device: ReadableDevice, first_offset: int) -> list[CatalogRecord]:
    """Return the shadow copies of the catalog that starts at ``first_offset``, oldest first (by stack position).

    Store entries without a snapshot entry are those of another volume and are left out.

    Raises:
        VolumeDamagedError: a block is wrong, an entry has an unknown type, or a store id occurs twice.
    """
    snapshots: dict[UUID, tuple[int, SnapshotEntry]] = {}
    stores: dict[UUID, tuple[int, StoreEntry]] = {}
    for at, kind, data in _entries(device, first_offset):
        if kind == SNAPSHOT:
            snapshot = SnapshotEntry.parse(data)
            is_new = snapshots.setdefault(snapshot.store_id, (at, snapshot))[0] == at
        else:
            store = StoreEntry.parse(data)
            is_new = stores.setdefault(store.store_id, (at, store))[0] == at
        if not is_new:
            raise damaged("catalog entry", at, "a store id that occurs once", UUID(bytes_le=data[16:32]))
    records = []
    for snapshot_at, snapshot in snapshots.values():
        store_at, found = stores.get(snapshot.store_id, (0, None))
        records.append(CatalogRecord(snapshot, found, snapshot_at, store_at))
    return sorted(records, key=lambda record: (record.snapshot.position, record.snapshot.created))


def read_pending(device: ReadableDevice, first_offset: int) -> list[CatalogRecord]:
    """Return the pending pairs of a catalog that this provider wrote, in the order of their slots."""
    records = []
    for header, data in walk_chain(device, RecordType.CATALOG, first_offset):
        for pair_at in pair_offsets(header.offset):
            at = pair_at - header.offset
            pair = data[at : at + PAIR_SIZE]
            if pair[0] == FREE and pair[ENTRY_SIZE] == FREE and pair != FREE_PAIR and pair[16:32] != NOTE_MARK:
                snapshot, store = SnapshotEntry.parse(pair[:ENTRY_SIZE]), StoreEntry.parse(pair[ENTRY_SIZE:])
                records.append(CatalogRecord(snapshot, store, pair_at, pair_at + ENTRY_SIZE))
    return records
