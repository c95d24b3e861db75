"""Runs of clusters: which belong to a file, and which are free.

Decides where clusters come from. ``ExtentMap`` is one file's mapping from logical to physical clusters; what is not mapped is a
hole. ``FreeSpace`` hands out runs, the run asked for first where it is free, else the first that is long enough, else the
longest ones, so that a file is in as few pieces as the space allows.

Invariants: the runs of a map are sorted, never overlap, and neighbours that continue each other on both sides are one run; free
runs are sorted and never touch. Knows no device, no journal and no clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Run = tuple[int, int]
"""First physical cluster and count."""


class ExtentMap:
    """Sorted runs (logical, physical, count) of one file, as three parallel lists so that a search is one ``bisect``."""

    __slots__ = ("counts", "logical", "physical")

    def __init__(self) -> None:
        """Make a map without runs: all holes."""
        self.logical: list[int] = []
        self.physical: list[int] = []
        self.counts: list[int] = []

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self.logical)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yield (logical, physical, count) in logical order."""
        return zip(self.logical, self.physical, self.counts, strict=True)

    @property
    def cluster_count(self) -> int:
        """How many clusters are mapped."""
        return sum(self.counts)

    @property
    def last_end(self) -> Run | None:
        """Logical and physical cluster after the last run; None where nothing is mapped."""
        if not self.logical:
            return None
        count = self.counts[-1]
        return self.logical[-1] + count, self.physical[-1] + count

    def contiguous(self, first: int, last: int) -> int:
        """Return the physical cluster of ``first`` where ``first``..``last`` lies in one run, else -1."""
        index = bisect_right(self.logical, first) - 1
        if index < 0:
            return -1
        into = first - self.logical[index]
        return self.physical[index] + into if into + last - first < self.counts[index] else -1

    def pieces(self, first: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield (logical, physical, count) covering ``first``..``end`` in order; physical is -1 for a hole."""
        index = max(bisect_right(self.logical, first) - 1, 0)
        position = first
        while position < end and index < len(self.logical):
            start, count = self.logical[index], self.counts[index]
            if start > position:
                hole_end = min(start, end)
                yield position, -1, hole_end - position
                position = hole_end
            elif start + count > position:
                piece_end = min(start + count, end)
                yield position, self.physical[index] + position - start, piece_end - position
                position = piece_end
                index += 1
            else:
                index += 1
        if position < end:
            yield position, -1, end - position

    def insert(self, logical: int, physical: int, count: int) -> bool:
        """Map a run onto a hole; False, with nothing changed, where part of it is mapped already."""
        index = bisect_left(self.logical, logical)
        follows = index > 0 and self.logical[index - 1] + self.counts[index - 1]
        if count <= 0 or logical < 0 or (index > 0 and follows > logical):
            return False
        if index < len(self.logical) and logical + count > self.logical[index]:
            return False
        self.logical.insert(index, logical)
        self.physical.insert(index, physical)
        self.counts.insert(index, count)
        self._merge(index)
        if index > 0:
            self._merge(index - 1)
        return True

    def _merge(self, index: int) -> None:
        """Make one run of ``index`` and the next where the next continues it."""
        following = index + 1
        if following >= len(self.logical):
            return
        count = self.counts[index]
        if self.logical[index] + count == self.logical[following] and self.physical[index] + count == self.physical[following]:
            self.counts[index] += self.counts[following]
            del self.logical[following], self.physical[following], self.counts[following]

    def cut(self, cluster_count: int) -> list[Run]:
        """Unmap every logical cluster from ``cluster_count`` on; return the physical runs that went."""
        freed: list[Run] = []
        while self.logical and self.logical[-1] + self.counts[-1] > cluster_count:
            keep = max(cluster_count - self.logical[-1], 0)
            freed.append((self.physical[-1] + keep, self.counts[-1] - keep))
            if keep:
                self.counts[-1] = keep
            else:
                del self.logical[-1], self.physical[-1], self.counts[-1]
        return freed


class FreeSpace:
    """The free runs between ``first`` and ``end``."""

    __slots__ = ("_counts", "_starts", "free_count")

    def __init__(self, first: int, end: int) -> None:
        """Start with one free run."""
        self.free_count = max(end - first, 0)
        self._starts: list[int] = [first] if self.free_count else []
        self._counts: list[int] = [self.free_count] if self.free_count else []

    def runs(self) -> list[Run]:
        """Return the free runs, lowest first."""
        return list(zip(self._starts, self._counts, strict=True))

    def take(self, start: int, count: int) -> bool:
        """Take exactly this run; False, with nothing changed, where part of it is not free."""
        index = bisect_right(self._starts, start) - 1
        if count <= 0 or index < 0:
            return False
        run_start, run_count = self._starts[index], self._counts[index]
        if start + count > run_start + run_count:
            return False
        after = run_start + run_count - (start + count)
        if start > run_start:
            self._counts[index] = start - run_start
            if after:
                self._starts.insert(index + 1, start + count)
                self._counts.insert(index + 1, after)
        elif after:
            self._starts[index] = start + count
            self._counts[index] = after
        else:
            del self._starts[index], self._counts[index]
        self.free_count -= count
        return True

    def allocate(self, count: int, *, goal: int = -1) -> list[Run]:
        """Take ``count`` clusters in as few runs as possible, at ``goal`` first; an empty list where they are not there."""
        if count > self.free_count:
            return []
        taken: list[Run] = []
        left = count
        while left:
            start, length = self._best(left, goal if not taken else -1)
            length = min(length, left)
            done = self.take(start, length)
            assert done
            taken.append((start, length))
            left -= length
        return taken

    def _best(self, count: int, goal: int) -> Run:
        """The free run at ``goal``, else the first that holds ``count``, else the longest."""
        index = bisect_left(self._starts, goal)
        if index < len(self._starts) and self._starts[index] == goal:
            return goal, self._counts[index]
        for start, length in zip(self._starts, self._counts, strict=True):
            if length >= count:
                return start, length
        longest = max(self._counts)
        return self._starts[self._counts.index(longest)], longest

    def release(self, runs: Iterable[Run]) -> None:
        """Give runs back; giving back what is free already is our own mistake."""
        for start, count in runs:
            self._release(start, count)

    def _release(self, start: int, count: int) -> None:
        index = bisect_left(self._starts, start)
        assert index == 0 or self._starts[index - 1] + self._counts[index - 1] <= start
        assert index == len(self._starts) or start + count <= self._starts[index]
        self.free_count += count
        joins_next = index < len(self._starts) and start + count == self._starts[index]
        if index > 0 and self._starts[index - 1] + self._counts[index - 1] == start:
            self._counts[index - 1] += count
            if joins_next:
                self._counts[index - 1] += self._counts[index]
                del self._starts[index], self._counts[index]
        elif joins_next:
            self._starts[index] = start
            self._counts[index] += count
        else:
            self._starts.insert(index, start)
            self._counts.insert(index, count)
