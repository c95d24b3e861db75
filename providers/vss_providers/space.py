"""The free space of a diff area: 16 KiB blocks of the image behind the volume, or of a file inside it.

Decides where new blocks go: the first free run that is long enough, else at the end after growing the image in steps; a file
inside the volume never grows. What is free is never written down: it is everything of the area that no catalog, store or
descriptor points at, so a crash can lose no space and free nothing that is in use.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from vss.errors import VolumeFullError, VolumeReadError, VolumeWriteError
from vss.volumes.block_store import BlockStore
from vss_providers.on_disk.layout import BLOCK_SHIFT, BLOCK_SIZE, round_up

GROWTH_BYTES = 1 << 20
"""Step in which the image grows, and most that one store takes in one piece."""


class MaximumReachedError(VolumeFullError):
    """The diff area has its maximum size; deleting the oldest shadow copy may help."""


class StorageGoneError(VolumeReadError, VolumeWriteError):
    """The volume that keeps the saved blocks was lost or replaced."""


class Space(Protocol):
    """What a store takes its blocks from; see ``DiffSpace``."""

    maximum_size: int
    growth_bytes: int
    on_low: Callable[[], None] | None

    @property
    def grows_at_once(self) -> bool: ...

    @grows_at_once.setter
    def grows_at_once(self, value: bool) -> None: ...

    @property
    def is_growing(self) -> bool: ...

    @is_growing.setter
    def is_growing(self, value: bool) -> None: ...

    @property
    def growth_failure(self) -> str: ...

    @growth_failure.setter
    def growth_failure(self, value: str) -> None: ...

    @property
    def room_bytes(self) -> int: ...

    @property
    def can_grow(self) -> bool: ...

    def grow_ahead(self) -> None: ...

    @property
    def start(self) -> int: ...

    @property
    def allocated_bytes(self) -> int: ...

    @property
    def free_bytes(self) -> int: ...

    def contains(self, offset: int, length: int) -> bool: ...

    def blocks_below(self, size_bytes: int) -> Iterator[int]: ...

    def allocate(self, length: int) -> int: ...

    def allocate_extent(self, length: int) -> tuple[int, int]: ...

    def free_blocks(self, offsets: Iterable[int]) -> None: ...

    def free(self, offset: int, length: int) -> None: ...


class GrowthTooSlowError(VolumeFullError):
    """The diff area is used up faster than it grows."""


class DiffSpace:
    """Allocation in whole blocks. ``start`` and ``end`` bound the area, absolute; ``maximum_size`` in bytes, 0 is no bound.

    Attributes:
        grows_at_once: whether it may grow in the middle of an allocation; otherwise somebody grows it ahead of need.
        is_growing: whether somebody does so right now, and takes time for it.
        growth_failure: why the last growth ahead of need failed, or an empty string.
        on_low: called when less than one step is free.
    """

    def __init__(
        self,
        store: BlockStore,
        start: int,
        *,
        maximum_size: int = 0,
        growth_bytes: int = GROWTH_BYTES,
        extents: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Take everything from ``start`` to the end of the image as free; or ``extents``, (start, end), which never grow."""
        self._store = store
        self.extents = tuple(sorted(extents))
        self.start = self.extents[0][0] if extents else start
        self.end = self.extents[-1][1] if extents else max(start, store.size_bytes // BLOCK_SIZE * BLOCK_SIZE)
        self.maximum_size = maximum_size
        self.growth_bytes = growth_bytes
        self.grows_at_once = True
        self.is_growing = False
        self.growth_failure = ""
        self.on_low: Callable[[], None] | None = None
        self._runs: list[tuple[int, int]] = []
        self.set_used(())

    def set_used(self, used: Iterable[int]) -> None:
        """Take everything as free but the blocks at the offsets ``used``."""
        self._runs = []
        taken = sorted(set(used))
        for start, end in self.extents or ((self.start, self.end),):
            at = start
            for offset in taken[bisect_left(taken, start) : bisect_left(taken, end)]:
                if offset > at:
                    self._runs.append((at, offset))
                at = offset + BLOCK_SIZE
            if at < end:
                self._runs.append((at, end))

    def contains(self, offset: int, length: int) -> bool:
        """Whether ``length`` bytes at ``offset`` are the area's, those beyond its present end included."""
        if not self.extents:
            return offset >= self.start
        index = bisect_right(self.extents, (offset, self.end)) - 1
        return index >= 0 and self.extents[index][0] <= offset and offset + length <= self.extents[index][1]

    def blocks_below(self, size_bytes: int) -> Iterator[int]:
        """Yield the blocks of the area that lie in the first ``size_bytes``, the volume."""
        for start, end in self.extents:
            yield from range(start >> BLOCK_SHIFT, min(end, size_bytes) >> BLOCK_SHIFT)

    @property
    def allocated_bytes(self) -> int:
        """Bytes set aside for the area, used or not."""
        return sum(end - start for start, end in self.extents) if self.extents else self.end - self.start

    @property
    def free_bytes(self) -> int:
        """Bytes of these that nothing uses."""
        return sum(end - start for start, end in self._runs)

    def allocate(self, length: int) -> int:
        """Return the offset of ``length`` contiguous bytes.

        Raises:
            MaximumReachedError: the maximum size is reached.
            VolumeFullError: the image cannot grow.
        """
        for index, (start, end) in enumerate(self._runs):
            if end - start >= length:
                self._cut(index, length)
                self._tell_low()
                return start
        self._grow(length)
        start = self._runs[-1][0]
        self._cut(len(self._runs) - 1, length)
        self._tell_low()
        return start

    def allocate_extent(self, length: int) -> tuple[int, int]:
        """Return (offset, length) of a run of at least one block and at most ``length`` bytes; errors as ``allocate``."""
        if not self._runs:
            self._grow(BLOCK_SIZE)
        start, end = self._runs[0]
        taken = min(length, end - start)
        self._cut(0, taken)
        self._tell_low()
        return start, taken

    def _tell_low(self) -> None:
        if self.on_low is not None and self.free_bytes < self.growth_bytes:
            self.on_low()

    def free_blocks(self, offsets: Iterable[int]) -> None:
        """Give blocks back; naming one twice is fine."""
        start = end = -1
        for offset in sorted(set(offsets)):
            if offset != end:
                self.free(start, end - start)
                start = offset
            end = offset + BLOCK_SIZE
        self.free(start, end - start)

    def free(self, offset: int, length: int) -> None:
        """Give ``length`` bytes at ``offset`` back."""
        if not length:
            return
        end = offset + length
        index = bisect_left(self._runs, (offset, end))
        if index < len(self._runs):
            assert end <= self._runs[index][0], f"block {offset:#x} is free already"
        if index and self._runs[index - 1][1] >= offset:
            assert self._runs[index - 1][1] == offset, f"block {offset:#x} is free already"
            index -= 1
            offset = self._runs.pop(index)[0]
        if index < len(self._runs) and self._runs[index][0] == end:
            end = self._runs.pop(index)[1]
        self._runs.insert(index, (offset, end))

    def _cut(self, index: int, length: int) -> None:
        """Take ``length`` bytes from the front of a free run."""
        start, end = self._runs[index]
        if start + length == end:
            del self._runs[index]
        else:
            self._runs[index] = (start + length, end)

    def _grow(self, length: int) -> None:
        """Grow the image so that the free run at its end has ``length`` bytes; by a whole step where the maximum allows."""
        if self.extents:
            raise MaximumReachedError(
                f"{self._store.name}: diff area inside the volume has {self.allocated_bytes} bytes, "
                f"and no {length} of them are free in one piece"
            )
        tail = self.end - self._runs[-1][0] if self._runs and self._runs[-1][1] == self.end else 0
        missing = length - tail
        growth = self._growth(missing)
        if growth < missing:
            raise MaximumReachedError(
                f"{self._store.name}: diff area has {self.allocated_bytes} bytes and needs {missing} more, "
                f"its maximum is {self.maximum_size}"
            )
        if self.is_growing or not self.grows_at_once:
            raise GrowthTooSlowError(
                f"{self._store.name}: diff area has no {length} bytes free, and growing it takes longer than using it up"
            )
        if self.growth_failure:
            raise VolumeFullError(f"{self._store.name}: diff area could not grow: {self.growth_failure}")
        self._lengthen(growth)

    def _growth(self, missing: int) -> int:
        """Return by how many bytes it may grow: a step, or what is missing if that is more; the maximum permitting."""
        growth = max(missing, self.growth_bytes)
        if self.maximum_size:
            growth = min(growth, self.maximum_size - self.allocated_bytes)
        return growth // BLOCK_SIZE * BLOCK_SIZE

    def _lengthen(self, growth: int) -> None:
        new_end = self.end + growth
        self._store.grow(new_end)
        old_end, self.end = self.end, new_end
        self.free(old_end, new_end - old_end)

    # -- growing ahead of need -------------------------------------------------------------------------------------------------

    @property
    def room_bytes(self) -> int:
        """Bytes free in the longest run."""
        return max((end - start for start, end in self._runs), default=0)

    @property
    def can_grow(self) -> bool:
        """Whether it may grow at all."""
        return not self.extents and self._growth(BLOCK_SIZE) >= BLOCK_SIZE

    def grow_ahead(self) -> None:
        """Grow by a step, or by what the maximum leaves; ``VolumeError`` where the image cannot."""
        growth = self._growth(BLOCK_SIZE)
        if growth >= BLOCK_SIZE:
            self._lengthen(growth)


def area_start(volume_size: int) -> int:
    """Return where the diff area of a volume begins: behind the volume, at a whole block."""
    return round_up(volume_size)
