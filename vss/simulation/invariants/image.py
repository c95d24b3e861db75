"""The bytes of a whole volume at one moment, kept by blocks: what was never written takes no room and no time.

Decides how bytes of volumes are compared. Blocks that two images share are the same objects, so an image costs what changed
since the last one. An image is a device that can be read, so that files can be looked up in it. Invariant: a block that is not
kept is zeros; kept blocks are as long as the volume allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

BLOCK = 16384
"""Bytes of a block; the granularity of the comparison, whatever the shadow copies are made of."""

_ZEROS = bytes(BLOCK)
_PIECE = 64 * BLOCK


class Readable(Protocol):
    """What an image can be taken of."""

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes."""
        ...


class Image:
    """The bytes of a volume. Equal to ``bytes`` and to other images that say the same."""

    __slots__ = ("blocks", "size_bytes")
    __hash__ = None  # type: ignore[assignment]  # compared by content

    def __init__(self, blocks: Mapping[int, bytes], size_bytes: int) -> None:
        """Keep ``blocks`` by number; the caller changes them no more."""
        self.blocks = blocks
        self.size_bytes = size_bytes

    @classmethod
    def of(cls, data: bytes | Image) -> Image:
        """Return ``data`` as an image."""
        if isinstance(data, Image):
            return data
        return cls(_split(data, 0), len(data))

    @classmethod
    def of_device(cls, device: Readable, size_bytes: int, only: Iterable[int] | None = None) -> Image:
        """Read a device, or only some blocks of it, of which the others are known to be zeros. Raises what reading raises."""
        blocks: dict[int, bytes] = {}
        if only is None:
            for start in range(0, size_bytes, _PIECE):
                blocks.update(_split(device.read(start, min(_PIECE, size_bytes - start)), start // BLOCK))
        else:
            for number in only:
                blocks[number] = device.read(number * BLOCK, min(BLOCK, size_bytes - number * BLOCK))
        return cls(blocks, size_bytes)

    def __len__(self) -> int:
        """Length in bytes."""
        return self.size_bytes

    def block(self, number: int) -> bytes:
        """Return one block, shorter at the end of the volume."""
        return self.blocks.get(number) or _ZEROS[: max(min(BLOCK, self.size_bytes - number * BLOCK), 0)]

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes, fewer at the end of the volume."""
        end = min(offset + length, self.size_bytes)
        if length <= 0 or offset >= end:
            return b""
        first, last = offset // BLOCK, (end - 1) // BLOCK
        if first == last:
            return self.block(first)[offset - first * BLOCK : end - first * BLOCK]
        return b"".join(map(self.block, range(first, last + 1)))[offset - first * BLOCK : end - first * BLOCK]

    def __getitem__(self, part: slice) -> bytes:
        """Return a part, as of ``bytes``."""
        start, stop, _ = part.indices(self.size_bytes)
        return self.read(start, stop - start)

    def __bytes__(self) -> bytes:
        """Return all of it."""
        return self.read(0, self.size_bytes)

    def __contains__(self, data: bytes) -> bool:
        """Whether ``data`` stands anywhere in it."""
        if len(data) > BLOCK or not any(data[:1] + data[-1:]):
            return data in bytes(self)  # longer than a block, or it may lie in what is not kept
        before, last = b"", -1
        for number in sorted(self.blocks):
            block = self.block(number)
            joint = before[len(before) - len(data) + 1 :] + block[: len(data) - 1] if last == number - 1 else b""
            if data in block or data in joint:
                return True
            before, last = block, number
        return False

    def __eq__(self, other: object) -> bool:
        """Whether both say the same."""
        if not isinstance(other, Image | bytes):
            return NotImplemented
        return len(self) == len(other) and not self.different(Image.of(other))

    def find(self, data: bytes) -> int:
        """Return where ``data`` stands first; -1 where it does not."""
        return bytes(self).find(data)

    def different(self, other: Image) -> list[int]:
        """Return the numbers of the blocks in which the two differ, ascending."""
        if self.blocks is other.blocks and self.size_bytes == other.size_bytes:
            return []
        kept = self.blocks.keys() | other.blocks.keys()
        if self.size_bytes != other.size_bytes:
            shorter, longer = sorted((self.size_bytes, other.size_bytes))
            kept |= set(range(shorter // BLOCK, (longer - 1) // BLOCK + 1))
        return [number for number in sorted(kept) if self.block(number) != other.block(number)]

    def written(self, writes: Iterable[tuple[int, bytes]]) -> Image:
        """Return the image after ``writes`` of (offset, bytes), in order; what goes beyond the end is left out."""
        changed: dict[int, bytearray] = {}
        for offset, data in writes:
            end = min(offset + len(data), self.size_bytes)
            for number in range(offset // BLOCK, (end - 1) // BLOCK + 1 if end > offset else 0):
                block = changed.get(number)
                if block is None:
                    block = changed[number] = bytearray(self.block(number))
                start = max(offset, number * BLOCK)
                stop = min(end, (number + 1) * BLOCK)
                block[start - number * BLOCK : stop - number * BLOCK] = data[start - offset : stop - offset]
        return Image({**self.blocks, **{number: bytes(block) for number, block in changed.items()}}, self.size_bytes)


def _split(data: bytes, first: int) -> dict[int, bytes]:
    """Return the blocks of ``data`` that are not zeros."""
    if data.count(0) == len(data):
        return {}
    found = {}
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        if block != _ZEROS and block.count(0) != len(block):
            found[first + at // BLOCK] = block
    return found
