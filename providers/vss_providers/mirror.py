"""The mirror of a volume: a full copy that knows in which blocks it differs, and the device it becomes when it is split.

Decides what is copied when. A mirror is blank at first and is *established* by one pass over the volume while that is in use;
from before the first byte a filter notes which blocks change. Later passes copy only these. After the split the filter stays:
what it notes then is what a resynchronisation, in either direction, has to copy.

Invariant: a block that is not dirty is equal on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator

from vss.errors import VolumeReadError, VolumeWriteError
from vss.volumes.block_store import BlockStore, Buffer
from vss.volumes.block_volume import BlockVolume
from vss_providers.on_disk.layout import BLOCK_SHIFT, BLOCK_SIZE

COPY_BYTES = 1 << 20
"""Most that is copied in one piece."""


class Mirror:
    """A full copy of one volume; a write filter that notes what changes.

    Attributes:
        is_whole: whether it was established.
        is_split: whether it stands for a point in time now; the volume is then ahead of it in the dirty blocks.
    """

    def __init__(self, volume: BlockVolume, store: BlockStore) -> None:
        """Copy ``volume`` to ``store``, which is blank and as long; nothing is copied yet and nothing is noted."""
        self.volume = volume
        self.store = store
        self.is_whole = False
        self.is_split = False
        self._source = volume.raw_store
        self._is_dirty = bytearray(-(-volume.size_bytes // BLOCK_SIZE))

    def attach(self) -> None:
        """Begin to note changes; ``VolumeError`` when the volume is lost."""
        self.volume.attach_filter(self)

    def detach(self) -> None:
        """Stop noting; harmless when nothing is noted."""
        self.volume.detach_filter(self)

    def before_write(self, offset: int, length: int) -> None:
        """Note the blocks that are about to change."""
        first, last = offset >> BLOCK_SHIFT, offset + length - 1 >> BLOCK_SHIFT
        self._is_dirty[first : last + 1] = b"\1" * (last + 1 - first)

    def establish(self) -> Iterator[int]:
        """Copy the volume piece by piece; yield the bytes done after each. Blank pieces are blank already."""
        size = self.volume.size_bytes
        for offset in range(0, size, COPY_BYTES):
            length = min(COPY_BYTES, size - offset)
            data = self._source.read(offset, length)
            if data.count(0) != length:
                self.store.write(offset, data)
            yield offset + length
        self.is_whole = True

    def catch_up(self) -> Iterator[int]:
        """Copy every block that changed since it was copied, piece by piece; yield the bytes of each."""
        block = self._is_dirty.find(1)
        while block >= 0:
            end = self._is_dirty.find(0, block, block + (COPY_BYTES >> BLOCK_SHIFT))
            end = min(end if end >= 0 else block + (COPY_BYTES >> BLOCK_SHIFT), len(self._is_dirty))
            offset = block << BLOCK_SHIFT
            length = min(end << BLOCK_SHIFT, self.volume.size_bytes) - offset
            self.store.write(offset, self._source.read(offset, length))
            self._is_dirty[block:end] = bytes(end - block)
            yield length
            block = self._is_dirty.find(1)

    @property
    def dirty_bytes(self) -> int:
        """How much is different."""
        beyond = -self.volume.size_bytes % BLOCK_SIZE if self._is_dirty[-1] else 0
        return (self._is_dirty.count(1) << BLOCK_SHIFT) - beyond

    def dirty_blocks(self) -> list[int]:
        """Return the blocks that are different."""
        return [block for block, is_dirty in enumerate(self._is_dirty) if is_dirty]

    def set_equal(self) -> None:
        """The volume was made equal to the mirror."""
        self._is_dirty[:] = bytes(len(self._is_dirty))

    @property
    def is_current(self) -> bool:
        """Whether the volume still stands on what was copied: not after the disk was lost or replaced."""
        return self.volume.raw_store is self._source

    def take_new_disk(self) -> None:
        """The volume has another disk: everything is different, and it is watched from now on."""
        self._source = self.volume.raw_store
        self._is_dirty[:] = b"\1" * len(self._is_dirty)
        self.attach()


class CloneDevice:
    """A split mirror as a device: takes writes until ``finish`` was called, and nothing at all once ``discard`` was."""

    def __init__(self, mirror: Mirror) -> None:
        """Serve the blocks of ``mirror``."""
        store = mirror.store
        self._store: BlockStore | None = store
        self._note = mirror.before_write  # what is written here is different from the volume as well
        self._name = store.name
        self.size_bytes = store.size_bytes
        self._is_writable = True

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes; ``VolumeReadError`` when the clone is deleted."""
        if self._store is None:
            raise VolumeReadError(f"{self._name}: deleted")
        return self._store.read(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """Change the clone; ``VolumeWriteError`` after its final commit."""
        if self._store is None or not self._is_writable:
            raise VolumeWriteError(f"{self._name}: read-only since its final commit")
        self._store.write(offset, data)
        if len(data):
            self._note(offset, len(data))

    def flush(self) -> None:
        """Make the changes durable."""
        if self._store is not None:
            self._store.flush()

    def finish(self) -> None:
        """Refuse writes from now on."""
        self._is_writable = False

    def make_writable(self) -> None:
        """Take writes again: the clone was broken off."""
        self._is_writable = True

    def release(self) -> None:
        """Serve nothing any more; the blocks belong to somebody else."""
        self._store = None

    def discard(self) -> None:
        """Give the blocks back and serve nothing any more."""
        if self._store is not None:
            self._store.close()
            self._store = None
