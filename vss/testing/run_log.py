"""What a test framework and simulated runs tell each other: the seed and faults that hold now, and the runs made so far.

A leaf that imports nothing of the project but types: the pytest plugin loads it in every pytest run of an environment. Without
a framework the settings stay as they are here, and nobody reads the runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

KEPT_RUNS = 8
"""So many runs of one test are kept; a property-based test makes hundreds."""


class Run(Protocol):
    """A simulated run as the framework shows it."""

    @property
    def seed(self) -> int:
        """Where its random streams came from."""
        ...

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong."""
        ...

    def report(self) -> str:
        """Return what to show to a person."""
        ...


@dataclass
class RunLog:
    """The state of the test under way.

    Attributes:
        seed: the seed of runs that name none.
        is_seed_chosen: whether a person chose it; then only that one is run.
        faults: faults that every run gets beside its own.
        runs: the last runs of the test under way, oldest first.
    """

    seed: int = 1
    is_seed_chosen: bool = False
    faults: tuple[str, ...] = ()
    runs: list[Run] = field(default_factory=list)

    def begin(self, faults: tuple[str, ...]) -> None:
        """Another test begins."""
        self.faults = faults
        self.runs.clear()

    def note(self, run: Run) -> None:
        """Keep a run; the oldest good one makes room."""
        self.runs.append(run)
        if len(self.runs) > KEPT_RUNS:
            del self.runs[next((index for index, each in enumerate(self.runs) if each.ok), 0)]

    def worth_showing(self) -> Run | None:
        """Return the last run that went wrong, else the last run; None where there was none."""
        bad = [each for each in self.runs if not each.ok]
        return bad[-1] if bad else self.runs[-1] if self.runs else None


RUN_LOG = RunLog()
"""One per process: tests run one after another."""
