"""What a volume uses of another one, its storage volume: bytes that are only there as long as the disk is, and room.

Invariant: what is written to a disk that was lost or replaced fails, and never lands on the one in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vss.volumes.block_store import BlockStore, Buffer
from vss.volumes.block_volume import BlockVolume
from vss_providers.on_disk.layout import BLOCK_SIZE
from vss_providers.space import DiffSpace, MaximumReachedError, StorageGoneError


class StorageDevice:
    """The bytes below a storage volume, as long as they are the ones that were there at first."""

    def __init__(self, volume: BlockVolume) -> None:
        """Hold on to what is below ``volume`` now."""
        self._volume, self._store = volume, volume.raw_store

    @property
    def is_current(self) -> bool:
        """Whether the volume still stands on the same bytes."""
        return self._volume.raw_store is self._store

    def _checked(self) -> BlockStore:
        if self._volume.raw_store is not self._store:
            raise StorageGoneError(f"volume {self._volume.name}, which stores saved blocks, was lost or replaced")
        return self._store

    @property
    def name(self) -> str:
        """What error messages call it."""
        return self._store.name

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        return self._store.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes."""
        return self._checked().read(offset, length)

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill all of ``buffer``."""
        self._checked().read_into(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``."""
        self._checked().write(offset, data)

    def flush(self) -> None:
        """Make every write so far durable."""
        self._checked().flush()

    def grow(self, size_bytes: int) -> None:
        """Lengthen the image."""
        self._checked().grow(size_bytes)

    def close(self) -> None:
        """Do nothing: the volume owns its bytes."""


class BorrowedSpace:
    """What one volume uses of a storage volume's diff space, and may use; the face of ``DiffSpace``."""

    def __init__(self, space: DiffSpace, taken_bytes: int) -> None:
        """Begin with ``taken_bytes`` taken; no bound."""
        self._space = space
        self._taken = taken_bytes
        self.maximum_size = 0
        self.on_low: Callable[[], None] | None = None
        self.growth_bytes = space.growth_bytes

    @property
    def grows_at_once(self) -> bool:
        """See ``DiffSpace``; what follows is one for all that the storage volume serves."""
        return self._space.grows_at_once

    @grows_at_once.setter
    def grows_at_once(self, value: bool) -> None:
        self._space.grows_at_once = value

    @property
    def is_growing(self) -> bool:
        """See ``DiffSpace``."""
        return self._space.is_growing

    @is_growing.setter
    def is_growing(self, value: bool) -> None:
        self._space.is_growing = value

    @property
    def growth_failure(self) -> str:
        """See ``DiffSpace``."""
        return self._space.growth_failure

    @growth_failure.setter
    def growth_failure(self, value: str) -> None:
        self._space.growth_failure = value

    @property
    def room_bytes(self) -> int:
        """See ``DiffSpace``."""
        return self._space.room_bytes

    @property
    def can_grow(self) -> bool:
        """See ``DiffSpace``; the bound of this volume counts as well."""
        return self._space.can_grow and not 0 < self.maximum_size <= self._taken

    def grow_ahead(self) -> None:
        """See ``DiffSpace``."""
        self._space.grow_ahead()

    def _tell_low(self) -> None:
        if self.on_low is not None and self._space.free_bytes < self.growth_bytes:
            self.on_low()

    @property
    def start(self) -> int:
        """Where the space begins on the storage volume."""
        return self._space.start

    @property
    def allocated_bytes(self) -> int:
        """Bytes taken; nothing is set aside beyond them."""
        return self._taken

    @property
    def free_bytes(self) -> int:
        """None: see ``allocated_bytes``."""
        return 0

    def contains(self, offset: int, length: int) -> bool:
        """Whether this can be the space's."""
        return self._space.contains(offset, length)

    def blocks_below(self, size_bytes: int) -> Iterator[int]:
        """Nothing of the original volume is the area's."""
        yield from ()

    def allocate(self, length: int) -> int:
        """Return the offset of ``length`` contiguous bytes; errors as ``DiffSpace.allocate``."""
        self._room_for(length)
        at = self._space.allocate(length)
        self._taken += length
        self._tell_low()
        return at

    def allocate_extent(self, length: int) -> tuple[int, int]:
        """Return (offset, length) of a run of at most ``length`` bytes; errors as ``DiffSpace.allocate_extent``."""
        at, taken = self._space.allocate_extent(self._room_for(BLOCK_SIZE, length))
        self._taken += taken
        self._tell_low()
        return at, taken

    def _room_for(self, least: int, wanted: int = 0) -> int:
        """Return how many bytes may be taken: ``wanted``, or what is left, but ``least``."""
        if not self.maximum_size:
            return wanted
        left = (self.maximum_size - self._taken) // BLOCK_SIZE * BLOCK_SIZE
        if left < least:
            raise MaximumReachedError(
                f"diff area takes {self._taken} bytes of its storage volume and needs {least} more, "
                f"its maximum is {self.maximum_size}"
            )
        return min(left, wanted)

    def free_blocks(self, offsets: Iterable[int]) -> None:
        """Give blocks back; naming one twice is fine."""
        gone = set(offsets)
        self._taken -= len(gone) * BLOCK_SIZE
        self._space.free_blocks(gone)

    def free(self, offset: int, length: int) -> None:
        """Give ``length`` bytes at ``offset`` back."""
        self._taken -= length
        self._space.free(offset, length)
