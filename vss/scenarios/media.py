"""What outlives the lives of a scenario's machine, its disks and the files of its host, and what a power cut leaves of both.

Decides that disks and host lose power in the same instant: the effects that nobody made durable are numbered over all of them
in the order of issue, and ``Survivors`` says which are there afterwards. Where no power cut of a run can lose anything, nothing
is recorded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from vss.plugins.hosts import Workload, is_durable
from vss.scenarios.keeper import ScenarioKeeper
from vss.simulation import MemoryFiles, RecordedFiles
from vss.simulation.survivors import Survivors, UnsyncedEffect
from vss.volumes.watched_store import Moment

TOLD_MAX = 64
"""Of how many unsynced effects an outcome tells."""


class Media:
    """The media of one run.

    Args:
        may_lose: whether a power cut of the run may lose something, at the price of a second copy of everything in memory.
        moment: as for ``ScenarioKeeper``.

    Attributes:
        keeper: the disks.
        files: the host's files; others after each power cut.
    """

    def __init__(self, *, may_lose: bool, moment: Moment | None) -> None:
        """Begin with nothing."""
        self._may_lose = may_lose
        self._numbers = count(1).__next__
        self.keeper = ScenarioKeeper(knows_unsynced=may_lose, numbers=self._numbers, moment=moment)
        self.files = self._recorded(MemoryFiles())

    def _recorded(self, files: MemoryFiles) -> MemoryFiles | RecordedFiles:
        return RecordedFiles(files, Path("/"), self._numbers) if self._may_lose else files

    def unsynced(self) -> list[UnsyncedEffect]:
        """Return the effects that a power cut may take now, in order of issue; nothing where nothing is recorded."""
        if not isinstance(self.files, RecordedFiles):
            return []
        return sorted([*self.keeper.unsynced(), *self.files.unsynced()])

    def cut_power(self, survivors: Survivors, workloads: Mapping[str, Workload] | None = None) -> dict[str, list[str]]:
        """Put disks and host into the state that a power cut leaves, and tell what was unsynced and what of it is there.

        The users of ``workloads`` still know what they were told, where that was promised to be durable. Of others, even where
        every write survives, nobody can say what is there: a file system keeps names in memory until they are made durable.
        """
        known = {name: each for name, each in (workloads or {}).items() if is_durable(each)}
        self.keeper.keep_workloads({name: each.state() for name, each in known.items()})
        if not isinstance(self.files, RecordedFiles):
            self.keeper.cut_power(None, {})
            self.files = copy.deepcopy(self.files)  # what still runs writes to nobody
            return {}
        effects = self.unsynced()
        state = survivors.state(effects)
        numbers = {effects[place].number for place in state.kept}
        torn = {} if state.torn_sectors is None else {effects[state.kept[-1]].number: state.torn_sectors}
        self.keeper.cut_power(numbers, torn)
        self.files = self._recorded(self.files.after_power_loss(numbers, torn))
        return {"unsynced": _told(effects, numbers, torn)} if effects else {}


def _told(effects: list[UnsyncedEffect], numbers: set[int], torn: dict[int, tuple[int, ...]]) -> list[str]:
    told = []
    for place, each in enumerate(effects[:TOLD_MAX], 1):
        became = "torn" if each.number in torn else "kept" if each.number in numbers else "lost"
        told.append(f"{place} {became} {each.medium.removesuffix(':')}: {each.text}")
    if len(effects) > TOLD_MAX:
        told.append(f"and {len(effects) - TOLD_MAX} more")
    return told
