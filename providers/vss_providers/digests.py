"""The side-car of a store: a digest of every saved block, because the format has none.

The digests lie in blocks of our own beside the store, which no reader of the format knows or needs: the first one right behind
the bitmaps, where ``Store.create`` puts it, the next ones wherever there is room. An entry is the absolute offset of a saved
block and the XXH3 (64 bit) of its 16 KiB. Entries are appended, later ones for the same offset win, an all-zero one ends a
block.

Invariant: an entry is written only after the descriptor of its block; they are collected and written many at a time, so a crash
leaves blocks without a digest, never a digest of something else. Overlays are not covered: they
change. What a bad disk did to a saved block is found by ``wrong_blocks`` and by nothing else, for the format has no checksums.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from uuid import UUID

import xxhash

from vss.errors import VolumeError
from vss_providers.on_disk.layout import BLOCK_HEADER_SIZE, BLOCK_SIZE, ReadableDevice

SIDE_CAR_ID = UUID("5f0b9c1e-7d4a-4f7b-8f10-6a2c94d3e001").bytes_le

_HEADER = struct.Struct("<16s16sQQ80x")
"""Identifier, store id, own absolute offset, absolute offset of the next block."""
assert _HEADER.size == BLOCK_HEADER_SIZE
_NEXT_AT = 40

_ENTRY = struct.Struct("<QQ")
ENTRIES_PER_BLOCK = (BLOCK_SIZE - BLOCK_HEADER_SIZE) // _ENTRY.size
assert ENTRIES_PER_BLOCK == 1016

BATCH = 64
"""Entries collected before they are written."""

PENDING_MAX = 2 * BATCH
"""The same in numbers: two an entry."""

digest_of: Callable[[bytes | memoryview], int] = xxhash.xxh3_64_intdigest


def pack_side_car(store_id: UUID, offset: int, entries: bytes = b"") -> bytes:
    """Return a last side-car block with these packed entries, to stand at ``offset``."""
    return (_HEADER.pack(SIDE_CAR_ID, store_id.bytes_le, offset, 0) + entries).ljust(BLOCK_SIZE, b"\0")


def walk_side_car(device: ReadableDevice, store_id: UUID, first_offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of every side-car block; none where no side-car stands, and no more after a damaged one."""
    offset, seen = first_offset, set[int]()
    while offset and offset not in seen and offset % BLOCK_SIZE == 0 and offset + BLOCK_SIZE <= device.size_bytes:
        seen.add(offset)
        data = device.read(offset, BLOCK_SIZE)
        identifier, owner, own_offset, next_offset = _HEADER.unpack_from(data)
        if identifier != SIDE_CAR_ID or owner != store_id.bytes_le or own_offset != offset:
            return
        yield offset, data
        offset = next_offset


def parse_entries(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (absolute offset, digest) of one side-car block."""
    for at, digest in _ENTRY.iter_unpack(data[BLOCK_HEADER_SIZE:]):
        if not at:
            return
        yield at, digest


def read_digests(device: ReadableDevice, store_id: UUID, first_offset: int) -> dict[int, int]:
    """Return digest by absolute offset; empty where there is no side-car."""
    return {at: digest for _, data in walk_side_car(device, store_id, first_offset) for at, digest in parse_entries(data)}


def wrong_blocks(device: ReadableDevice, saved: Mapping[int, int], digests: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return (block of the volume, absolute offset) of every saved block that is not what was saved.

    Blocks without a digest are passed over; count them with ``saved.keys()`` and ``digests`` where that matters.
    """
    return [
        (block, at)
        for block, at in sorted(saved.items())
        if at in digests and digest_of(device.read(at, BLOCK_SIZE)) != digests[at]
    ]


class SideCar:
    """The side-car of one store, being written.

    Attributes:
        pending: absolute offset and digest, one after the other, of the blocks saved last; not written yet.
        blocks: the absolute offsets of its blocks; empty where the store has none.
    """

    def __init__(self, write: Callable[[int, bytes], None], take_block: Callable[[], int], store_id: UUID) -> None:
        """Begin without a block: digests are kept in memory only, until ``start`` or ``load`` finds one."""
        self.pending: list[int] = []
        self.blocks: list[int] = []
        self._digests: dict[int, int] = {}
        self._settled: list[int] = []  # as ``pending``, not entered in ``_digests`` yet: nobody has asked
        self._write = write
        self._take_block = take_block
        self._store_id = store_id
        self._count = 0

    @property
    def digests(self) -> Mapping[int, int]:
        """Digest by absolute offset, those not written yet included."""
        numbers, self._settled = self._settled, []
        self._digests.update(zip(numbers[::2], numbers[1::2], strict=True))
        return self._digests | dict(zip(self.pending[::2], self.pending[1::2], strict=True)) if self.pending else self._digests

    def start(self, offset: int) -> None:
        """An empty side-car block was written at ``offset``."""
        self.blocks, self._count = [offset], 0

    def load(self, device: ReadableDevice, first_offset: int, saved: Iterable[int]) -> None:
        """Take up what stands at ``first_offset``, as far as it is about ``saved`` offsets."""
        known = set(saved)
        for offset, data in walk_side_car(device, self._store_id, first_offset):
            entries = list(parse_entries(data))
            self.blocks.append(offset)
            self._count = len(entries)
            self._digests.update(each for each in entries if each[0] in known)

    def note(self, at: int, data: bytes) -> None:
        """The block at ``at`` was saved with this content, and its descriptor stands."""
        self.pending += (at, digest_of(data))

    def take_over(self, digests: Mapping[int, int], offsets: Iterable[int]) -> None:
        """Blocks at ``offsets`` were handed down by another store, with what it knows of them."""
        self.pending += chain.from_iterable((at, digests[at]) for at in offsets if at in digests)

    @property
    def is_due(self) -> bool:
        """Whether enough has been collected to be written."""
        return len(self.pending) >= PENDING_MAX

    def settle(self) -> None:
        """Write what was collected; where the device fails or has no room it is known until the next start only."""
        numbers, self.pending = self.pending, []
        self._settled += numbers
        if self.blocks:
            with suppress(VolumeError):
                self._append(numbers)

    def _append(self, numbers: list[int]) -> None:
        while numbers:
            room = 2 * (ENTRIES_PER_BLOCK - self._count)
            some = numbers[: room or 2 * ENTRIES_PER_BLOCK]
            packed = struct.pack(f"<{len(some)}Q", *some)
            if room:
                self._write(self.blocks[-1] + BLOCK_HEADER_SIZE + self._count * _ENTRY.size, packed)
            else:
                at = self._take_block()
                self._write(at, pack_side_car(self._store_id, at, packed))
                self._write(self.blocks[-1] + _NEXT_AT, at.to_bytes(8, "little"))
                self.blocks.append(at)
                self._count = 0
            self._count += len(some) // 2
            numbers = numbers[len(some) :]
