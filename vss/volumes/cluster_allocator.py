"""Which clusters a growing file gets, and when freed ones may be used again.

Decides placement: behind the file's last run where that is free, and with a *reserve* of free clusters set aside right behind,
so that files that grow in turns stay in few pieces. Reserves are in memory only and are dropped before a volume counts as full.

Invariants: a cluster freed by a change is handed out again only after ``committed``; what an operation did not use goes back at
once. Every cluster of the data area is at any time in exactly one of: a file, free space, a reserve, the freed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vss.errors import VolumeError, VolumeFullError
from vss.volumes.boot_record import CLUSTER_BYTES
from vss.volumes.extents import FreeSpace, Run
from vss.volumes.file_tree import FileNode

Mapping = list[tuple[int, int, int]]
"""Runs as (logical, physical, count)."""

_RESERVE_MIN = 4
_RESERVE_MAX = 256
_RESERVE_SHARE = 16


class ClusterAllocator:
    """Hands out the clusters of one volume."""

    def __init__(self, free: FreeSpace, commit: Callable[[], None]) -> None:
        """Start from what is free; ``commit`` makes freed clusters usable when nothing else is left."""
        self._free = free
        self._commit = commit
        self._freed: list[Run] = []
        self._reserving: dict[int, FileNode] = {}

    @property
    def free_bytes(self) -> int:
        """Room for data, with reserves and with what the next commit makes free."""
        reserved = sum(node.reserve[1] for node in self._reserving.values())
        return (self._free.free_count + reserved + sum(count for _, count in self._freed)) * CLUSTER_BYTES

    def allocate(self, node: FileNode, holes: Iterable[Run]) -> Mapping:
        """Find clusters for every hole (logical, count) of ``node``; map nothing yet.

        Raises:
            VolumeFullError: there are not enough; nothing has changed.
        """
        mapped: Mapping = []
        try:
            for logical, count in holes:
                for physical, length in self._for_hole(node, logical, count):
                    mapped.append((logical, physical, length))
                    logical += length
        except VolumeError:
            self.give_back(mapped)
            raise
        return mapped

    def give_back(self, mapped: Mapping) -> None:
        """Take back clusters that were allocated and never mapped."""
        self._free.release((physical, count) for _, physical, count in mapped)

    def free_later(self, runs: Iterable[Run]) -> None:
        """Clusters that a change has freed: unusable until it is committed."""
        self._freed.extend(runs)

    def add(self, start: int, count: int) -> None:
        """The volume has so many clusters more."""
        if count:
            self._free.release([(start, count)])

    def committed(self) -> None:
        """Every change so far is durable: what was freed is free."""
        self._free.release(self._freed)
        self._freed.clear()

    def drop_reserve(self, node: FileNode) -> None:
        """Give back what was set aside for ``node``."""
        if node.reserve[1]:
            self._free.release([node.reserve])
            node.reserve = (0, 0)
            del self._reserving[node.node_id]

    def _for_hole(self, node: FileNode, logical: int, count: int) -> list[Run]:
        """Take clusters for one hole; where the file grows at its end, from its reserve, or with a new reserve behind them."""
        last = node.extents.last_end
        if last is not None and logical < last[0]:
            return self._exactly(node, count, -1)
        goal = last[1] if last is not None and logical == last[0] else -1
        start, reserved = node.reserve
        if start == goal and reserved > count:
            node.reserve = (start + count, reserved - count)
            return [(start, count)]
        self.drop_reserve(node)
        wish = min(max(node.extents.cluster_count + count, _RESERVE_MIN), _RESERVE_MAX, self._free.free_count // _RESERVE_SHARE)
        runs = self._free.allocate(count + wish, goal=goal) if wish else []
        if len(runs) == 1:
            start = runs[0][0]
            node.reserve = (start + count, wish)
            self._reserving[node.node_id] = node
            return [(start, count)]
        self._free.release(runs)
        return self._exactly(node, count, goal)

    def _exactly(self, node: FileNode, count: int, goal: int) -> list[Run]:
        """Take ``count`` clusters: from free space, else from the reserves, else from what a commit makes free."""
        runs = self._free.allocate(count, goal=goal)
        if not runs:
            for other in list(self._reserving.values()):
                self.drop_reserve(other)
            runs = self._free.allocate(count, goal=goal)
        if not runs and self._freed:
            self._commit()
            runs = self._free.allocate(count, goal=goal)
        if not runs:
            wanted, found = count * CLUSTER_BYTES, self._free.free_count * CLUSTER_BYTES
            raise VolumeFullError(f"file '{node.name}': expected room for {wanted} more bytes, found {found}")
        return runs
