"""What a store may hold after power loss: every state that the writes since the last flush allow.

Decides the model: writes before the last flush are there; of the later ones any subset is, applied in issue order; the newest
one that survives may be torn between sectors, a sector never is. The states are enumerated in a fixed order, prefixes first, so
that the first state that breaks something is also the easiest to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from vss.volumes.block_store import SECTOR_BYTES, BlockStore


@dataclass(frozen=True, slots=True)
class UnsyncedWrite:
    """A write that no flush has made durable."""

    offset: int
    data: bytes

    def sectors(self) -> list[tuple[int, bytes]]:
        """Return the write cut at sector boundaries of the store: (offset, bytes) in order."""
        parts: list[tuple[int, bytes]] = []
        start = 0
        while start < len(self.data):
            end = min(start + SECTOR_BYTES - (self.offset + start) % SECTOR_BYTES, len(self.data))
            parts.append((self.offset + start, self.data[start:end]))
            start = end
        return parts


@dataclass(frozen=True, slots=True)
class PowerLossState:
    """Which unsynced writes survived.

    Attributes:
        kept: their numbers, in issue order.
        torn_sectors: of the newest kept write only these sectors survived; None where it is whole.
    """

    kept: tuple[int, ...]
    torn_sectors: tuple[int, ...] | None = None


def power_loss_states(writes: Sequence[UnsyncedWrite], *, subset_max: int = 6, torn_max: int = 16) -> Iterator[PowerLossState]:
    """Enumerate the states after power loss.

    Args:
        writes: what was written since the last flush.
        subset_max: up to so many writes all subsets are taken; of more, those that lack one write or hold only one.
        torn_max: at most so many places are tried for the tear in one write.
    """
    seen: set[PowerLossState] = set()
    for state in _candidates(writes, subset_max, torn_max):
        if state not in seen:
            seen.add(state)
            yield state


def _candidates(writes: Sequence[UnsyncedWrite], subset_max: int, torn_max: int) -> Iterator[PowerLossState]:
    numbers = range(len(writes))
    for end in range(len(writes) + 1):
        kept = tuple(numbers[:end])
        yield PowerLossState(kept)
        if kept:
            yield from (PowerLossState(kept, torn) for torn in _tears(writes[kept[-1]], torn_max))
    for kept in _subsets(len(writes), subset_max):
        yield PowerLossState(kept)
        if kept:
            yield from (PowerLossState(kept, torn) for torn in _tears(writes[kept[-1]], 1))


def _subsets(count: int, subset_max: int) -> Iterator[tuple[int, ...]]:
    if count <= subset_max:
        for size in range(count + 1):
            yield from combinations(range(count), size)
        return
    for number in range(count):
        yield tuple(other for other in range(count) if other != number)
        yield (number,)


def _tears(write: UnsyncedWrite, torn_max: int) -> Iterator[tuple[int, ...]]:
    """Yield the sectors that survive: a prefix, a suffix, every other one."""
    count = len(write.sectors())
    step = max(1, -(-(count - 1) // torn_max))
    for place in range(1, count, step):
        yield tuple(range(place))
        yield tuple(range(place, count))
    if count > 2:
        yield tuple(range(0, count, 2))


def apply_state(store: BlockStore, writes: Sequence[UnsyncedWrite], state: PowerLossState) -> None:
    """Put what survived of ``writes`` over the durable bytes in ``store``."""
    for number in state.kept:
        write = writes[number]
        if number == state.kept[-1] and state.torn_sectors is not None:
            sectors = write.sectors()
            for sector in state.torn_sectors:
                store.write(*sectors[sector])
        else:
            store.write(write.offset, write.data)
