"""What applications remember of their own writes, as far as they tell: those around the commits, for the order between them.

An application tells through an attribute ``when_written`` (path, number, bytes, whether the write is over). Only writes near a
commit can show that a shadow copy is no cut through them, so only those are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Protocol, runtime_checkable

from vss.plugins.hosts import Workload
from vss.simulation.invariants import ApplicationWrite

NEAR = 8
"""So many writes of each application before a commit, and after it."""


@runtime_checkable
class _Tells(Protocol):
    """A workload that tells of its writes."""

    when_written: Callable[[str, int, bytes, bool], object] | None


class ObservedWrites:
    """The writes of one life."""

    def __init__(self, sequence: Callable[[], int]) -> None:
        """Take from where it is known how many records there are."""
        self._sequence = sequence
        self._writes: dict[str, list[ApplicationWrite]] = {}
        self._commits: list[int] = []
        self._ticks = count()

    def watch(self, workloads: Mapping[str, Workload]) -> None:
        """Listen to those that tell."""
        for name, each in workloads.items():
            if isinstance(each, _Tells):
                each.when_written = partial(self._told, name)

    def committed(self) -> None:
        """A set was committed now."""
        self._commits.append(self._sequence())

    def _told(self, application: str, path: str, number: int, data: bytes, is_over: bool) -> None:
        writes = self._writes.setdefault(application, [])
        now, tick = self._sequence(), next(self._ticks)
        if is_over:
            writes[-1] = replace(writes[-1], completed=now, completions=1, ended=tick)
        else:
            writes.append(ApplicationWrite(application, number, path[:2].upper(), data, issued=now, began=tick))

    def evidence(self) -> tuple[ApplicationWrite, ...] | None:
        """Return the writes near commits; None where nobody told of any."""
        near = [each for writes in self._writes.values() for each in self._near(writes)]
        return tuple(near) if near else None

    def _near(self, writes: Sequence[ApplicationWrite]) -> list[ApplicationWrite]:
        chosen: dict[int, None] = {}
        for commit in self._commits:
            first_after = next((place for place, each in enumerate(writes) if each.issued >= commit), len(writes))
            chosen.update(dict.fromkeys(range(max(0, first_after - NEAR), min(len(writes), first_after + NEAR))))
        return [writes[place] for place in sorted(chosen)]
