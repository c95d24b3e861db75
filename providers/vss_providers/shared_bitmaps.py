"""The two bitmaps of a diff area, shared by all its stores: making a shadow copy costs the same whatever the volume's size.

The format gives every store a bitmap of what it need not save and a previous one; each has a bit for every block of the volume,
so that writing them took longer than all the rest. Ours say the same in every store: nothing is exempt but a diff area inside
the volume, and a previous bitmap of ones changes nothing in that (readers that demand one, or test it the wrong way round, are
content). So they are written once, with the area, and every store points at the same chains, which no reader minds.

An area that is made by its first shadow copy begins with the first block of each chain; the rest of long ones, 17 MB for
1 TiB, is written afterwards, as Windows writes bitmaps later than stores, and linked by one sector write when it is durable.
Until then the block says that it is to be continued: what a chain lacks are bits that are clear, and exempt nothing.

Where they stand is noted in an entry of the catalog that readers take for a free one (type 1, with our mark and two offsets),
the very first of the catalog where the area is behind or inside its volume. An area made before there were shared bitmaps
gets them with its next shadow copy; its stores keep their own.

Sources: libyal/libvshadow format document, "Bitmap"; the behaviour of readers was tried.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import islice

from vss.volumes.block_store import BlockStore, DiscardingStore
from vss_providers.on_disk.catalog import ENTRY_SIZE, FREE, NOTE_MARK
from vss_providers.on_disk.layout import BLOCK_HEADER_SIZE, BLOCK_SIZE, NEXT_OFFSET_AT, RecordType, damaged, walk_chain
from vss_providers.on_disk.store_blocks import bitmap_block_count, is_continued, pack_bitmap_blocks, pack_continued
from vss_providers.space import Space

_ENTRY = struct.Struct("<QQ16sQ88x")
"""Type, offset of the current bitmap, mark, offset of the previous one."""
assert _ENTRY.size == ENTRY_SIZE

_PIECE_BLOCKS = 16


class SharedBitmaps:
    """Both chains of an area.

    Attributes:
        current: absolute offset of the first block of what need not be saved.
        previous: the same of the bitmap of ones.
        blocks: the absolute offset of every block of both, those not written yet included.
    """

    def __init__(self, current: int, previous: int, blocks: Iterable[int], unlinked: Iterable[int] = ()) -> None:
        """Made by ``create`` and ``load``; ``unlinked`` are the first blocks of chains to be continued."""
        self.current = current
        self.previous = previous
        self.blocks = tuple(blocks)
        self._unlinked = list(unlinked)

    @property
    def is_whole(self) -> bool:
        """Whether both chains have a bit for every block of the volume."""
        return not self._unlinked

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
        is_durable: bool = True,
        is_whole: bool = True,
    ) -> SharedBitmaps:
        """Write both and note them in the catalog entry at ``note_at``, which ``note_end`` may follow in the same sector.

        Args:
            device: the bytes of the area.
            space: where room is taken.
            note_at: absolute offset of the catalog entry.
            volume_size: length of the volume in bytes.
            note_end: what stands behind the note.
            is_in_use: whether something points at the catalog, so that the note must not be durable before the bitmaps.
            is_durable: whether they are durable on return.
            is_whole: whether all of both is written at once, or ``write_rest`` and ``link`` follow.

        Raises:
            VolumeError: there is no room, or the device failed; nothing is allocated.
        """
        count = bitmap_block_count(-(-volume_size // BLOCK_SIZE))
        at = space.allocate(2 * count * BLOCK_SIZE)
        starts = (at, at + count * BLOCK_SIZE)
        made = cls(*starts, range(at, at + 2 * count * BLOCK_SIZE, BLOCK_SIZE), starts if count > 1 and not is_whole else ())
        try:
            for start in starts:
                blocks = made._chain_blocks(start, volume_size, space)
                if made.is_whole:
                    for _ in _write(device, start, blocks, count):
                        pass
                else:
                    device.write(start, pack_continued(next(blocks)))
            if is_in_use:
                device.flush()
            device.write(note_at, _ENTRY.pack(FREE, at, NOTE_MARK, starts[1]) + note_end)
            if is_durable:
                device.flush()
        except BaseException:
            space.free(at, 2 * count * BLOCK_SIZE)
            raise
        return made

    @classmethod
    def load(cls, device: BlockStore, note_at: int) -> SharedBitmaps | None:
        """Return those noted there; None where the area has none yet, ``VolumeDamagedError`` where they are damaged."""
        if note_at + ENTRY_SIZE > device.size_bytes:
            raise damaged("catalog", note_at, "a catalog", f"the end of the image at {device.size_bytes:#x}")
        _, current, mark, previous = _ENTRY.unpack(device.read(note_at, ENTRY_SIZE))
        if mark != NOTE_MARK:
            return None
        blocks: list[int] = []
        unlinked = []
        for first in (current, previous):
            chain = list(walk_chain(device, RecordType.BITMAP, first))
            blocks += [header.offset for header, _ in chain]
            if chain and is_continued(chain[-1][1]):
                unlinked.append(first)
        if unlinked:
            # Both were given their whole room at once, the previous one's right behind the current one's.
            count = (previous - current) // BLOCK_SIZE
            room = range(current, current + 2 * count * BLOCK_SIZE, BLOCK_SIZE)
            if not set(blocks) <= set(room):
                raise damaged("bitmap", current, f"room up to the previous bitmap at {previous:#x}", "a chain that leaves it")
            blocks = list(room)
        return cls(current, previous, blocks, unlinked)

    # -- the rest of long ones -------------------------------------------------------------------------------------------------

    def write_rest(self, device: BlockStore, volume_size: int, space: Space) -> Iterator[None]:
        """Write what the chains lack, a piece a step; nothing points there yet. Make it durable, then ``link``.

        Raises:
            VolumeError: the device failed; it can be done again.
        """
        for start in self._unlinked:
            rest = islice(self._chain_blocks(start, volume_size, space), 1, None)
            yield from _write(device, start + BLOCK_SIZE, rest, self._count - 1)

    def link(self, device: BlockStore) -> None:
        """Join what ``write_rest`` wrote, by one sector write a chain; ``VolumeError`` when the device failed."""
        while self._unlinked:
            start = self._unlinked[-1]
            after = (start + BLOCK_SIZE).to_bytes(8, "little")
            device.write(start + NEXT_OFFSET_AT, after.ljust(BLOCK_HEADER_SIZE - NEXT_OFFSET_AT, b"\0"))
            self._unlinked.pop()

    def abandon(self) -> None:
        """The area is given up: what is being written of it is not to be linked."""
        self._unlinked.clear()

    @property
    def _count(self) -> int:
        return len(self.blocks) // 2

    def _chain_blocks(self, start: int, volume_size: int, space: Space) -> Iterator[bytes]:
        block_count = -(-volume_size // BLOCK_SIZE)
        offsets = range(start, start + self._count * BLOCK_SIZE, BLOCK_SIZE)
        if start == self.current:
            return pack_bitmap_blocks(0, offsets, block_count, set_blocks=space.blocks_below(volume_size))
        return pack_bitmap_blocks(start - self.current, offsets, block_count, is_set=True)


def _write(device: BlockStore, at: int, blocks: Iterator[bytes], count: int) -> Iterator[None]:
    """Write ``count`` neighbouring blocks in pieces: whole bitmaps in one piece are slower by far. Blank ones become holes."""
    has_holes = False
    if count > _PIECE_BLOCKS and isinstance(device, DiscardingStore):
        device.discard(at, count * BLOCK_SIZE)
        has_holes = True
    while piece := list(islice(blocks, _PIECE_BLOCKS)):
        if has_holes and not any(map(_has_bits, piece)):
            for index, block in enumerate(piece):
                device.write(at + index * BLOCK_SIZE, block[:BLOCK_HEADER_SIZE])
        else:
            device.write(at, b"".join(piece))
        at += len(piece) * BLOCK_SIZE
        yield


def _has_bits(block: bytes) -> bool:
    return block.count(0, BLOCK_HEADER_SIZE) != BLOCK_SIZE - BLOCK_HEADER_SIZE
