"""One store: the saved blocks of one shadow copy, on disk and in memory.

Decides how a store grows. Order on disk, safe after any prefix and with torn writes: saved bytes, then the descriptor that
points at them, with a barrier between; a full block list gets a new block that is complete before the old one points at it
(libyal/libvshadow format document, "Store"; order after the format's own reading rules).

Invariants: the maps in memory say exactly what the block list on disk says; descriptors are appended without holes; blocks of
the volume are saved at most once per store, so the first saved content wins. Whoever calls has checked that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from vss.volumes.block_store import BlockStore
from vss_providers.digests import PENDING_MAX, SideCar, digest_of, pack_side_car
from vss_providers.exposed_name import ExposedName
from vss_providers.on_disk.catalog import CatalogRecord, SnapshotEntry, StoreEntry
from vss_providers.on_disk.layout import (
    BLOCK_HEADER_SIZE,
    BLOCK_SHIFT,
    BLOCK_SIZE,
    SECTOR_SIZE,
    RecordType,
    damaged,
    walk_chain,
)
from vss_providers.on_disk.store_blocks import (
    ATTRIBUTES_AT,
    DESCRIPTOR_SIZE,
    DESCRIPTORS_PER_BLOCK,
    EXTENDS_OVERLAY,
    FORWARDER,
    NOT_USED,
    OVERLAY,
    BlockDescriptor,
    StoreInformation,
    check_descriptor,
    pack_descriptor,
    pack_list_block,
    pack_range_block,
    pack_store_header,
    parse_descriptors,
    read_store_header,
)
from vss_providers.shared_bitmaps import SharedBitmaps
from vss_providers.space import Space
from vss_providers.store_room import FIRST_EXTENT_AT, StoreRoom

EMPTY_STORE_BYTES = FIRST_EXTENT_AT + BLOCK_SIZE
"""What a new store takes: the three, and its side-car."""


CopyBlock = Callable[[int, int, int, int, bytes], bytes | memoryview]
"""Copies a block from the volume to the area, (source, target, length), then writes a record, (offset, bytes); see
``CopyingStore``. Returns the block."""


class Store(StoreRoom):
    """The store of one shadow copy.

    Attributes:
        entry: where its chains start.
        information: ids, context, attributes, machines.
        snapshot: its description for the catalog; creation time and position are set when it is published.
        pair_at: absolute offset of its two catalog entries; 0 while it has none.
        is_pending: whether these entries do not count yet.
        saved: block number → absolute offset of the saved block.
        overlays: block number → (absolute offset, bitmap of valid sectors).
        side_car: digests of the saved blocks.
        exposed: what it is called on the host.
        lost: why the content is gone, or an empty string.
    """

    def __init__(self, device: BlockStore, space: Space, entry: StoreEntry, information: StoreInformation) -> None:
        """Made by ``create`` and ``load``."""
        super().__init__(device, space, entry.range_list_offset)
        self.entry = entry
        self.information = information
        self.snapshot = SnapshotEntry(entry.store_id, 0, 0, 0)
        self.pair_at = 0
        self.is_pending = False
        self.saved: dict[int, int] = {}
        self.overlays: dict[int, tuple[int, int]] = {}
        self.lost = ""
        self.exposed = ExposedName()
        self._list_at = entry.block_list_offset
        self._list_count = 0
        self.side_car = SideCar(device.write, lambda: self._take_block()[0], entry.store_id)

    @classmethod
    def create(
        cls,
        device: BlockStore,
        space: Space,
        information: StoreInformation,
        store_id: UUID,
        volume_size: int,
        bitmaps: SharedBitmaps,
    ) -> Store:
        """Write an empty store into free space; nothing points at it yet. The bitmaps are the area's.

        Raises:
            VolumeFullError: no room; nothing is allocated.
            VolumeWriteError: the device failed; nothing is allocated.
        """
        total = EMPTY_STORE_BYTES
        at = space.allocate(total)
        entry = StoreEntry(store_id, at, at + BLOCK_SIZE, at + 2 * BLOCK_SIZE, bitmaps.current, bitmaps.previous)
        blocks = [
            pack_store_header(at, information),
            pack_list_block(BLOCK_SIZE, at + BLOCK_SIZE),
            pack_range_block(2 * BLOCK_SIZE, at + 2 * BLOCK_SIZE),
            pack_side_car(store_id, at + FIRST_EXTENT_AT),
        ]
        try:
            device.write(at, b"".join(blocks))
        except BaseException:
            space.free(at, total)
            raise
        store = cls(device, space, entry, information)
        store.snapshot = SnapshotEntry(store_id, volume_size, 0, 0)
        store._metadata = list(range(at, at + total, BLOCK_SIZE))
        store._relative_end = total
        store.side_car.start(at + FIRST_EXTENT_AT)
        return store

    @classmethod
    def load(
        cls, device: BlockStore, space: Space, record: CatalogRecord, bitmaps: SharedBitmaps | None, *, is_pending: bool
    ) -> Store:
        """Read a store back, repairing what a crash may have left behind the end of its block list.

        ``bitmaps`` are those of the area, where it has some.

        Raises:
            VolumeDamagedError: a structure is damaged, or not one that this provider writes.
        """
        entry = record.store
        if entry is None:
            raise damaged("catalog entry", record.snapshot_at, "a store on this volume", "none")
        store = cls(device, space, entry, read_store_header(device, entry.header_offset))
        store.snapshot, store.pair_at, store.is_pending = record.snapshot, record.snapshot_at, is_pending
        store._metadata.append(entry.header_offset)
        store._load_block_list()
        store._load_ranges()
        if bitmaps is not None and entry.bitmap_offset == bitmaps.current:
            at = entry.header_offset + FIRST_EXTENT_AT
        else:
            at = store._load_own_bitmaps()
        store.side_car.load(device, at, store.saved.values())
        store.exposed.load(device, entry.store_id, store.side_car.blocks)
        store._find_next()
        return store

    def _load_own_bitmaps(self) -> int:
        """Take in bitmaps of the store's own; return where its side-car is, if it has one: right behind them."""
        chain: list[int] = []
        for first in (self.entry.bitmap_offset, self.entry.previous_bitmap_offset):
            chain = [header.offset for header, _ in walk_chain(self._device, RecordType.BITMAP, first)]
            self._metadata += chain
        return chain[-1] + BLOCK_SIZE if chain else 0

    def _load_block_list(self) -> None:
        data: bytes = b""
        for header, data in walk_chain(self._device, RecordType.BLOCK_LIST, self.entry.block_list_offset):
            self._metadata.append(header.offset)
            self._list_at, self._list_count = header.offset, 0
            for descriptor in parse_descriptors(data):
                self._take_in(descriptor, header.offset + BLOCK_HEADER_SIZE + self._list_count * DESCRIPTOR_SIZE)
                self._list_count += 1
        if any(data[(end := BLOCK_HEADER_SIZE + self._list_count * DESCRIPTOR_SIZE) :]):
            # A torn append left later descriptors without the first: their blocks were never overwritten on the volume.
            self._device.write(self._list_at + end, bytes(BLOCK_SIZE - end))

    def _take_in(self, descriptor: BlockDescriptor, at: int) -> None:
        check_descriptor(descriptor, at, self.snapshot.volume_size, self._device.size_bytes)
        if descriptor.flags & (FORWARDER | NOT_USED):
            raise damaged("block descriptor", at, "a plain one or an overlay", f"flags {descriptor.flags:#x}")
        block = descriptor.original_offset >> BLOCK_SHIFT
        if descriptor.flags & OVERLAY:
            offset, bitmap = self.overlays.get(block, (descriptor.store_offset, 0))
            self.overlays[block] = (offset, bitmap | descriptor.bitmap)
        else:
            self.saved[block] = descriptor.store_offset

    # -- what is where ---------------------------------------------------------------------------------------------------------

    @property
    def snapshot_id(self) -> UUID:
        """The shadow copy it belongs to."""
        return self.information.snapshot_id

    def blocks_used(self) -> Iterator[int]:
        """Yield the absolute offset of every block that holds metadata or saved data."""
        yield from self._metadata
        yield from self.side_car.blocks
        yield from self.exposed.blocks
        yield from self.saved.values()
        for offset, _ in self.overlays.values():
            yield offset

    def set_attributes(self, attributes: int) -> None:
        """Change the attribute bits, durably: four bytes of the store header; ``VolumeError`` when the device fails."""
        at = self.entry.header_offset + BLOCK_HEADER_SIZE + ATTRIBUTES_AT
        self._device.write(at, attributes.to_bytes(4, "little"))
        self._device.flush()
        self.information = replace(self.information, attributes=attributes)

    def set_exposed_name(self, name: str) -> None:
        """Note, durably, what the shadow copy is called on the host; ``VolumeError`` when the device fails or is full."""
        self.exposed.write(self._device, self.entry.store_id, self.side_car.blocks, name, lambda: self._take_block()[0])

    # -- growing ---------------------------------------------------------------------------------------------------------------

    def save_block(self, block: int, copy: CopyBlock) -> bool:
        """Save one whole block of the volume the short way, without flushes; False where the list block is full and ``save``
        must help. ``copy`` copies it.

        Raises:
            VolumeError: no room, or the device failed.
        """
        count = self._list_count
        if count == DESCRIPTORS_PER_BLOCK:
            return False
        if self._next == self._extent_end:
            self._take_extent()
        at, start = self._next, block << BLOCK_SHIFT
        self._next = at + BLOCK_SIZE
        descriptor = pack_descriptor(start, at - self._relative_shift, at, 0, 0)
        data = copy(start, at, BLOCK_SIZE, self._list_at + BLOCK_HEADER_SIZE + count * DESCRIPTOR_SIZE, descriptor)
        self._list_count = count + 1
        self.saved[block] = at
        pending = self.side_car.pending
        pending += (at, digest_of(data))  # while the block is in the processor's cache
        if len(pending) >= PENDING_MAX:
            self.side_car.settle()
        return True

    def save(self, block: int, data: bytes, *, is_durable: bool) -> None:
        """Save the content of consecutive blocks from ``block`` on; ``data`` is whole blocks.

        Raises:
            VolumeError: no room, or the device failed; what was saved before stays.
        """
        done = 0
        while done < len(data):
            at, length = self._take_run(len(data) - done)
            self._device.write(at, data[done : done + length] if length < len(data) else data)
            relative, first = at - self._relative_shift, block + (done >> BLOCK_SHIFT)
            count = length >> BLOCK_SHIFT
            if is_durable:
                self._device.flush()
            if count == 1:
                self._append(pack_descriptor(first << BLOCK_SHIFT, relative, at, 0, 0), is_durable=is_durable)
                self.saved[first] = at
            else:
                steps = range(0, length, BLOCK_SIZE)
                start = first << BLOCK_SHIFT
                self._append(
                    b"".join([pack_descriptor(start + step, relative + step, at + step, 0, 0) for step in steps]),
                    is_durable=is_durable,
                )
                self.saved.update(zip(range(first, first + count), range(at, at + length, BLOCK_SIZE), strict=True))
            if is_durable:
                self._device.flush()
            for step in range(0, length, BLOCK_SIZE):
                self.side_car.note(at + step, data[done + step : done + step + BLOCK_SIZE])
            done += length

    def take_over(self, other: Store, blocks: Sequence[tuple[int, int]], *, is_durable: bool) -> None:
        """Enter saved blocks of another store, (block, absolute offset), as this store's own; the data stay where they are.

        Their relative offset has no meaning in this store; readers go by the absolute one, which is entered twice.
        """
        packed = b"".join([pack_descriptor(block << BLOCK_SHIFT, offset, offset, 0, 0) for block, offset in blocks])
        self._append(packed, is_durable=is_durable)
        self.saved.update(blocks)
        if is_durable:
            self._device.flush()
        self.side_car.take_over(other.side_car.digests, [offset for _, offset in blocks])

    def write_overlay(self, block: int, first_sector: int, data: bytes, *, is_durable: bool) -> None:
        """Put whole sectors of the shadow copy itself in place of what it read there; errors as ``save``."""
        bitmap = (1 << len(data) // SECTOR_SIZE) - 1 << first_sector
        known = self.overlays.get(block)
        at, relative = (known[0], EXTENDS_OVERLAY) if known else self._take_block()
        self._device.write(at + first_sector * SECTOR_SIZE, data)
        if known and known[1] & bitmap == bitmap:
            return
        if is_durable:
            self._device.flush()
        self._append(pack_descriptor(block << BLOCK_SHIFT, relative, at, OVERLAY, bitmap), is_durable=is_durable)
        self.overlays[block] = (at, bitmap | (known[1] if known else 0))

    def _append(self, packed: bytes, *, is_durable: bool) -> None:
        """Append packed descriptors to the block list."""
        while packed:
            room = (DESCRIPTORS_PER_BLOCK - self._list_count) * DESCRIPTOR_SIZE
            if not room:
                room = DESCRIPTORS_PER_BLOCK * DESCRIPTOR_SIZE
                at, relative = self._take_block()
                self._device.write(at, pack_list_block(relative, at, packed[:room]))
                self._link(self._list_at, at, is_durable=is_durable)
                self._list_at, self._list_count = at, 0
            else:
                self._device.write(self._list_at + BLOCK_HEADER_SIZE + self._list_count * DESCRIPTOR_SIZE, packed[:room])
            self._list_count += min(room, len(packed)) // DESCRIPTOR_SIZE
            packed = packed[room:]
