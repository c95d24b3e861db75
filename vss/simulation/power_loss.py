"""Power loss: which of the effects since the last sync survive, for media of any kind.

Decides the model: what was synced is there; of the effects since any subset is, applied in issue order; the newest write that
survives may be torn between sectors, a sector never is. States come in a fixed order, prefixes first, so that the first one
that breaks something is also the easiest to read. Host directories: ``vss.simulation.host_log``; images of volumes:
``vss.volumes.store_log``; all media of a machine in one run: ``vss.simulation.survivors``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from vss.io_faults import cut_at_sectors


@dataclass(frozen=True, slots=True)
class UnsyncedWrite:
    """A write that no flush has made durable.

    Attributes:
        offset: where, in bytes.
        data: what.
        number: place in the order of issue over several media, where somebody counts.
    """

    offset: int
    data: bytes
    number: int = field(default=0, compare=False)

    def sectors(self) -> list[tuple[int, bytes]]:
        """Return the write cut at sector boundaries of the store: (offset, bytes) in order."""
        return cut_at_sectors(self.offset, self.data)


@dataclass(frozen=True, slots=True)
class PowerLossState:
    """Which unsynced effects survived.

    Attributes:
        kept: their numbers, in issue order.
        torn_sectors: of the newest kept write only these sectors survived; None where it is whole.
    """

    kept: tuple[int, ...]
    torn_sectors: tuple[int, ...] | None = None


def power_loss_states(writes: Sequence[object], *, subset_max: int = 6, torn_max: int = 16) -> Iterator[PowerLossState]:
    """Enumerate the states after power loss.

    Args:
        writes: what was done since the last flush; only an ``UnsyncedWrite`` can be torn.
        subset_max: up to so many effects all subsets are taken; of more, those that lack one effect or hold only one.
        torn_max: at most so many places are tried for the tear in one write.
    """
    seen: set[PowerLossState] = set()
    for state in _candidates(writes, subset_max, torn_max):
        if state not in seen:
            seen.add(state)
            yield state


def _candidates(writes: Sequence[object], subset_max: int, torn_max: int) -> Iterator[PowerLossState]:
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


def _tears(write: object, torn_max: int) -> Iterator[tuple[int, ...]]:
    """Yield the sectors that survive: a prefix, a suffix, every other one."""
    if not isinstance(write, UnsyncedWrite):
        return
    count = len(write.sectors())
    step = max(1, -(-(count - 1) // torn_max))
    for place in range(1, count, step):
        yield tuple(range(place))
        yield tuple(range(place, count))
    if count > 2:
        yield tuple(range(0, count, 2))
