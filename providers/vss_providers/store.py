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
    NEXT_OFFSET_AT,
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
    RANGE_SIZE,
    RANGES_PER_BLOCK,
    BlockDescriptor,
    BlockRange,
    StoreInformation,
    check_descriptor,
    pack_descriptor,
    pack_list_block,
    pack_range_block,
    pack_store_header,
    parse_descriptors,
    parse_ranges,
    read_store_header,
)
from vss_providers.shared_bitmaps import SharedBitmaps
from vss_providers.space import Space

FIRST_EXTENT_BYTES = 4 * BLOCK_SIZE

FIRST_EXTENT_AT = 3 * BLOCK_SIZE
"""Relative offset of the first space after header, block list and range list; where Windows-made stores begin as well."""

EMPTY_STORE_BYTES = FIRST_EXTENT_AT + BLOCK_SIZE
"""What a new store takes: the three, and its side-car."""


class Store:
    """The store of one shadow copy.

    Attributes:
        entry: where its chains start.
        information: ids, context, attributes, machines.
        snapshot: its description for the catalog; creation time and position are set when it is published.
        pair_at: absolute offset of its two catalog entries; 0 while it has none.
        is_pending: whether these entries do not count yet.
        saved: block number → absolute offset of the saved block.
        overlays: block number → (absolute offset, bitmap of valid sectors).
        ranges: the space set aside for it.
        side_car: digests of the saved blocks.
        exposed: what it is called on the host.
        lost: why the content is gone, or an empty string.
    """

    def __init__(self, device: BlockStore, space: Space, entry: StoreEntry, information: StoreInformation) -> None:
        """Made by ``create`` and ``load``."""
        self._device = device
        self._write = device.write
        self._space = space
        self.entry = entry
        self.information = information
        self.snapshot = SnapshotEntry(entry.store_id, 0, 0, 0)
        self.pair_at = 0
        self.is_pending = False
        self.saved: dict[int, int] = {}
        self.overlays: dict[int, tuple[int, int]] = {}
        self.lost = ""
        self.exposed = ExposedName()
        self._metadata: list[int] = []  # every block of the chains, header included
        self._list_at = entry.block_list_offset
        self._list_count = 0
        self._ranges_at = entry.range_list_offset
        self._ranges_count = 0
        self.ranges: list[BlockRange] = []
        self._relative_end = FIRST_EXTENT_AT
        self._next = self._extent_end = 0  # what is left of the extent that blocks are taken from
        self._relative_shift = 0  # absolute minus relative offset in that extent
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

    def _load_ranges(self) -> None:
        for header, data in walk_chain(self._device, RecordType.RANGE_LIST, self.entry.range_list_offset):
            self._metadata.append(header.offset)
            self._ranges_at, self._ranges_count = header.offset, 0
            for each in parse_ranges(data):
                if each.start % BLOCK_SIZE or not self._space.start <= each.start <= self._device.size_bytes - each.length:
                    return  # a torn last entry: its space is known by the descriptors that point there, or is free
                self._ranges_count += 1
                self.ranges.append(each)
                self._relative_end = max(self._relative_end, each.relative_start + each.length)

    def _find_next(self) -> None:
        """Find what is left of the last extent; everything that may lie in it is loaded."""
        if self.ranges:
            last = self.ranges[-1]
            self._extent_end = last.start + last.length
            self._relative_shift = last.start - last.relative_start
            inside = [offset for offset in self.blocks_used() if last.start <= offset < self._extent_end]
            self._next = max(inside, default=last.start - BLOCK_SIZE) + BLOCK_SIZE

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

    def blocks_owned(self) -> Iterator[int]:
        """Yield every block used, and those set aside for it; some twice."""
        yield from self.blocks_used()
        for each in self.ranges:
            yield from range(each.start, each.start + each.length, BLOCK_SIZE)

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

    def save_block(self, block: int, read: Callable[[int, int], bytes], copy: Callable[..., memoryview] | None) -> bool:
        """Save one whole block of the volume the short way, without flushes; False where list or extent is full and ``save``
        must help. ``read`` reads it; ``copy`` copies it at once where volume and area are one device that can.
        ``VolumeError`` when the device failed.
        """
        at, count = self._next, self._list_count
        if at == self._extent_end or count == DESCRIPTORS_PER_BLOCK:
            return False
        self._next = at + BLOCK_SIZE
        start = block << BLOCK_SHIFT
        write = self._write
        data = read(start, BLOCK_SIZE) if copy is None else copy(start, at, BLOCK_SIZE)
        digest = digest_of(data)  # while the block is in the processor's cache
        if copy is None:
            write(at, data)
        descriptor = pack_descriptor(start, at - self._relative_shift, at, 0, 0)
        write(self._list_at + BLOCK_HEADER_SIZE + count * DESCRIPTOR_SIZE, descriptor)
        self._list_count = count + 1
        self.saved[block] = at
        side_car = self.side_car
        pending = side_car.pending
        pending += (at, digest)
        if len(pending) >= PENDING_MAX:
            side_car.settle()
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

    def _link(self, last_at: int, next_at: int, *, is_durable: bool) -> None:
        """Make the block at ``next_at``, which is complete, the next one of the chain that ends at ``last_at``."""
        self._metadata.append(next_at)
        if is_durable:
            self._device.flush()
        self._device.write(last_at + NEXT_OFFSET_AT, next_at.to_bytes(8, "little"))

    # -- space -----------------------------------------------------------------------------------------------------------------

    def _take_block(self) -> tuple[int, int]:
        """Return absolute and relative offset of a fresh block."""
        at, _ = self._take_run(BLOCK_SIZE)
        return at, at - self._relative_shift

    def _take_run(self, length: int) -> tuple[int, int]:
        """Return absolute offset and length of at least one and at most ``length`` bytes of fresh blocks."""
        if self._next == self._extent_end:
            self._take_extent()
        at, taken = self._next, min(length, self._extent_end - self._next)
        self._next += taken
        return at, taken

    def _take_extent(self) -> None:
        """Take space from the area, the more the more there is already, and enter it in the range list."""
        wanted = min(max(self._relative_end // 2 // BLOCK_SIZE * BLOCK_SIZE, FIRST_EXTENT_BYTES), self._space.growth_bytes)
        at, length = self._space.allocate_extent(wanted)
        try:
            self._append_range(BlockRange(at, self._relative_end, length))
        except BaseException:
            self._space.free(at, length)
            raise
        self._relative_shift = at - self._relative_end
        self._relative_end += length
        self._next, self._extent_end = at, at + length

    def _append_range(self, new: BlockRange) -> None:
        """Enter a range; no reader needs the list, so a torn entry costs nothing and there are no barriers."""
        if self._ranges_count < RANGES_PER_BLOCK:
            self._device.write(self._ranges_at + BLOCK_HEADER_SIZE + self._ranges_count * RANGE_SIZE, new.pack())
            self._ranges_count += 1
        else:
            at = self._space.allocate(BLOCK_SIZE)
            self._device.write(at, pack_range_block(new.relative_start + new.length, at, new.pack()))
            self._link(self._ranges_at, at, is_durable=False)
            self._ranges_at, self._ranges_count = at, 1
        self.ranges.append(new)
