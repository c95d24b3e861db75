"""The faults of a scenario as one plan over all lives of its machine, each confined to its step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from vss.io_faults import IoFault
from vss.scenarios.outcome import FaultReport
from vss.simulation.fault_grammar import Fault
from vss.simulation.faults import FaultPlan

ConfinedFault = tuple[str, Fault]
"""The step a fault is confined to, "" for the whole run, and the fault."""

Watch = Callable[[str, str, Mapping[str, str]], None]
"""Called at every visit of a fault site: the innermost step, the site, what the site says of itself."""


class ScenarioFaults(FaultPlan):
    """The plan; counts go on when the machine is switched on again."""

    def __init__(self, faults: Sequence[ConfinedFault], watch: Watch | None = None) -> None:
        """Take faults, and who wants to know of every visit."""
        super().__init__([fault for _, fault in faults], scopes=[during for during, _ in faults], spans_worlds=True)
        self._watch = watch
        self._steps: list[str] = []
        self._is_unseen = False

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Let nobody notice what is done in the block: its visits are not counted, and nothing strikes."""
        before, self._is_unseen = self._is_unseen, True
        try:
            yield
        finally:
            self._is_unseen = before

    def enter(self, scope: str) -> None:
        """A step begins."""
        self._steps.append(scope)
        super().enter(scope)

    def leave(self, scope: str) -> None:
        """A step has ended; whom its faults killed stays dead."""
        if scope in self._steps:
            self._steps.remove(scope)
        super().leave(scope)

    def at(self, site: str, size: int = 0, **selectors: str) -> IoFault | None:
        """Return the fault that strikes this visit of a site passed by a plain call."""
        if self._is_unseen:
            return None
        self._noticed(site, selectors)
        return super().at(site, size, **selectors)

    def _noticed(self, site: str, selectors: Mapping[str, str]) -> None:
        if self._watch is not None:
            self._watch(self._steps[-1] if self._steps else "", site, selectors)

    def report(self) -> tuple[FaultReport, ...]:
        """Return every fault and how often it struck, in the order of the file."""
        return tuple(
            FaultReport(fault=str(fault), during=during, strikes=standing.strikes, visits=standing.visits)
            for fault, during, standing in zip(self.faults, self.scopes, self._standings, strict=True)
        )
