"""The room of one store: extents of the diff area, and the range list that says which are its own.

Decides how a store grows: by extents, the longer the more it has already, blocks taken from the last one in order. No reader
needs the range list, so a torn entry costs nothing (libyal/libvshadow format document, "Store block range list").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from vss.volumes.block_store import BlockStore
from vss_providers.on_disk.layout import BLOCK_HEADER_SIZE, BLOCK_SIZE, NEXT_OFFSET_AT, RecordType, walk_chain
from vss_providers.on_disk.store_blocks import RANGE_SIZE, RANGES_PER_BLOCK, BlockRange, pack_range_block, parse_ranges
from vss_providers.space import Space

FIRST_EXTENT_BYTES = 4 * BLOCK_SIZE

FIRST_EXTENT_AT = 3 * BLOCK_SIZE
"""Relative offset of the first space after header, block list and range list; where Windows-made stores begin as well."""


class StoreRoom(ABC):
    """What a store has of the area.

    Attributes:
        ranges: the space set aside for it.
    """

    def __init__(self, device: BlockStore, space: Space, first_range_block: int) -> None:
        """Begin with nothing but a range list at ``first_range_block``."""
        self._device = device
        self._space = space
        self._metadata: list[int] = []  # every block of the chains, header included
        self._ranges_at = first_range_block
        self._ranges_count = 0
        self.ranges: list[BlockRange] = []
        self._relative_end = FIRST_EXTENT_AT
        self._next = self._extent_end = 0  # what is left of the extent that blocks are taken from
        self._relative_shift = 0  # absolute minus relative offset in that extent

    @abstractmethod
    def blocks_used(self) -> Iterator[int]:
        """Yield the absolute offset of every block that holds metadata or saved data."""

    def blocks_owned(self) -> Iterator[int]:
        """Yield every block used, and those set aside for it; some twice."""
        yield from self.blocks_used()
        for each in self.ranges:
            yield from range(each.start, each.start + each.length, BLOCK_SIZE)

    def _load_ranges(self) -> None:
        for header, data in walk_chain(self._device, RecordType.RANGE_LIST, self._ranges_at):
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

    def _link(self, last_at: int, next_at: int, *, is_durable: bool) -> None:
        """Make the block at ``next_at``, which is complete, the next one of the chain that ends at ``last_at``."""
        self._metadata.append(next_at)
        if is_durable:
            self._device.flush()
        self._device.write(last_at + NEXT_OFFSET_AT, next_at.to_bytes(8, "little"))
