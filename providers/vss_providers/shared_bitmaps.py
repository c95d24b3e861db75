"""The two bitmaps of a diff area, shared by all its stores: making a shadow copy costs the same whatever the volume's size.

The format gives every store a bitmap of what it need not save and a previous one; each has a bit for every block of the volume,
so that writing them took longer than all the rest. Ours say the same in every store: nothing is exempt but a diff area inside
the volume, and a previous bitmap of ones changes nothing in that (readers that demand one, or test it the wrong way round, are
content). So they are written once, with the area, and every store points at the same chains, which no reader minds.

Where they stand is noted in an entry of the catalog that readers take for a free one (type 1, with our mark and two offsets),
the very first of the catalog where the area is behind or inside its volume; it is written when both chains are
durable. An area made before there were shared bitmaps gets them with its next shadow copy; its stores keep their own.

Sources: libyal/libvshadow format document, "Bitmap"; the behaviour of readers was tried.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vss.volumes.block_store import BlockStore, DiscardingStore
from vss_providers.on_disk.catalog import ENTRY_SIZE, FREE, NOTE_MARK
from vss_providers.on_disk.layout import BLOCK_HEADER_SIZE, BLOCK_SIZE, RecordType, walk_chain
from vss_providers.on_disk.store_blocks import bitmap_block_count, pack_bitmap_blocks
from vss_providers.space import Space

_ENTRY = struct.Struct("<QQ16sQ88x")
"""Type, offset of the current bitmap, mark, offset of the previous one."""
assert _ENTRY.size == ENTRY_SIZE

_PIECE_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class SharedBitmaps:
    """Absolute offsets: of the first block of each chain, and of every block of both."""

    current: int
    previous: int
    blocks: tuple[int, ...]

    @classmethod
    def create(
        cls,
        device: BlockStore,
        space: Space,
        note_at: int,
        volume_size: int,
        *,
        note_end: bytes = b"",
        is_in_use: bool = True,
    ) -> SharedBitmaps:
        """Write both and note them in the catalog entry at ``note_at``, which ``note_end`` may follow in the same sector.

        Durable when it returns. Where nothing points at the catalog yet (not ``is_in_use``), no order is needed before that.

        Raises:
            VolumeError: there is no room, or the device failed; nothing is allocated.
        """
        block_count = -(-volume_size // BLOCK_SIZE)
        count = bitmap_block_count(block_count)
        at = space.allocate(2 * count * BLOCK_SIZE)
        offsets = [at + index * BLOCK_SIZE for index in range(2 * count)]
        chains = (offsets[:count], offsets[count:])
        try:
            _write(device, chains[0], pack_bitmap_blocks(0, chains[0], block_count, set_blocks=space.blocks_below(volume_size)))
            _write(device, chains[1], pack_bitmap_blocks(count * BLOCK_SIZE, chains[1], block_count, is_set=True))
            if is_in_use:
                device.flush()
            device.write(note_at, _ENTRY.pack(FREE, at, NOTE_MARK, chains[1][0]) + note_end)
            device.flush()
        except BaseException:
            space.free(at, 2 * count * BLOCK_SIZE)
            raise
        return cls(at, chains[1][0], tuple(offsets))

    @classmethod
    def load(cls, device: BlockStore, note_at: int) -> SharedBitmaps | None:
        """Return those noted there; None where the area has none yet, ``VolumeDamagedError`` where they are damaged."""
        _, current, mark, previous = _ENTRY.unpack(device.read(note_at, ENTRY_SIZE))
        if mark != NOTE_MARK:
            return None
        return cls(current, previous, (*_chain(device, current), *_chain(device, previous)))


def _chain(device: BlockStore, first: int) -> Iterator[int]:
    for header, _ in walk_chain(device, RecordType.BITMAP, first):
        yield header.offset


def _has_bits(block: bytes) -> bool:
    return block.count(0, BLOCK_HEADER_SIZE) != BLOCK_SIZE - BLOCK_HEADER_SIZE


def _write(device: BlockStore, offsets: list[int], blocks: list[bytes]) -> None:
    """Write neighbouring blocks in pieces: whole bitmaps in one piece are slower by far. A long blank one becomes holes."""
    if len(blocks) > _PIECE_BLOCKS and isinstance(device, DiscardingStore) and not any(map(_has_bits, blocks)):
        device.discard(offsets[0], len(offsets) * BLOCK_SIZE)
        for at, block in zip(offsets, blocks, strict=True):
            device.write(at, block[:BLOCK_HEADER_SIZE])
        return
    for index in range(0, len(blocks), _PIECE_BLOCKS):
        device.write(offsets[index], b"".join(blocks[index : index + _PIECE_BLOCKS]))
