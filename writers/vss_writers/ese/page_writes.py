"""Why a page is written to its database file, and how often each reason came up.

A **normal** write makes room: too many changed pages are in memory, those unused for longest go. A **checkpoint** write is of a
page whose oldest change is so old that recovery would have to read too much log. An **idle** write is of a page that no one
presses for, while there is nothing else to do. An **opportune** write is of a changed neighbour of a page that is written for
another reason: it goes along in the same transfer. A **repeated** write is any of these where the page was written shortly
before; it is counted besides its reason. A **detach** write brings a file up to date before it is closed.

Sources: the vendor's description of database page writes and the performance counters of the engine (pages written, opportune,
repeatedly written); published engine, bf.cxx. What counts as shortly before is our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

RUN_BYTES_MAX = 256 * 1024
"""Neighbouring pages are written together up to this many bytes."""

OPPORTUNE_BYTES_MAX = 64 * 1024
"""A page takes changed neighbours along up to a run of this many bytes."""

IDLE_PAGES = 64
"""Pages that one idle moment writes at most, for each database."""

REPEATED_GENERATIONS = 1
"""A page written again while the log has gone on by no more generations than this is written repeatedly."""


class PageWrite(StrEnum):
    """Why a page is written."""

    NORMAL = "normal"
    CHECKPOINT = "checkpoint"
    IDLE = "idle"
    OPPORTUNE = "opportune"
    DETACH = "detach"


@dataclass(slots=True)
class PageWrites:
    """Pages written since the instance was started; ``repeated`` ones are in one of the other counts too."""

    normal: int = 0
    checkpoint: int = 0
    idle: int = 0
    opportune: int = 0
    detach: int = 0
    repeated: int = 0

    def count(self, why: PageWrite, *, is_repeated: bool) -> None:
        """Count one page."""
        setattr(self, why.value, getattr(self, why.value) + 1)
        self.repeated += is_repeated

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


def with_neighbours(chosen: Iterable[int], may_go: Callable[[int], bool], pages_max: int) -> list[int]:
    """Return ``chosen`` with the unbroken runs of pages next to them that may go along; a run has at most ``pages_max``."""
    wanted = dict.fromkeys(chosen)
    runs: dict[int, None] = {}
    for number in sorted(wanted):
        if number in runs:
            continue
        first = last = number
        while last - first + 1 < pages_max and (last + 1 in wanted or may_go(last + 1)):
            last += 1
        while last - first + 1 < pages_max and first - 1 not in runs and may_go(first - 1):
            first -= 1
        runs.update(dict.fromkeys(range(first, last + 1)))
    return sorted(runs)
