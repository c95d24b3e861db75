"""Where a run can be struck: the visits of fault sites in a clean run, named so that the name stays when the path changes.

A point is a step of the method, a site, and what the site says of itself as far as that is the same in every run: a writer's
name is, the id of a session is not. Visits of a point are counted within the step, from 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from vss.errors import ConfigurationError
from vss.plugins.registry import Registry
from vss.scenarios import Outcome, Scenario, run_scenario
from vss.simulation.fault_grammar import KNOWN_SELECTORS, Fault, parse_fault
from vss.simulation.fault_site_kinds import FaultSite, Passage
from vss.simulation.fault_sites import SITE_BY_NAME

_PASSING = ("session", "snapshot", "offset", "percent", "nth", "after")
_ALWAYS, _FIRST = "times=always", "when=nth:1"
_GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-")
_SPECIAL = re.compile(r"[,*?\[\]\"'#]")


class Point(msgspec.Struct, frozen=True):
    """One point of a clean run.

    Attributes:
        step: of the method.
        site: by name.
        selectors: what tells it from other points of the site.
        visits: how often the clean run passed it in that step.
    """

    step: str
    site: str
    selectors: tuple[tuple[str, str], ...]
    visits: int

    @property
    def known(self) -> FaultSite | None:
        """Its row in the table of sites; None for a site that only a plugin knows."""
        return SITE_BY_NAME.get(self.site)

    def fault(self, effect: str, nth: int | None) -> tuple[str, str]:
        """Return the step and the line of a fault here: at the ``nth`` visit, or (None) at every one until the step ends."""
        when = [f'when="{key}:{value}"' if " " in value else f"when={key}:{value}" for key, value in self.selectors]
        how_often = [_ALWAYS] if nth is None else [f"when=nth:{nth}"]
        return self.step, " ".join(["fault", self.site, *when, *how_often, effect])

    def __str__(self) -> str:
        told = ",".join(f"{key}={value}" for key, value in self.selectors)
        return f"{self.step}: {self.site}[{told}]"


def always_instead(fault: tuple[str, str]) -> tuple[str, str] | None:
    """Return the fault at every visit where ``fault``, made by a point, strikes the first; None where it strikes another."""
    step, line = fault
    return (step, line.replace(f" {_FIRST} ", f" {_ALWAYS} ", 1)) if f" {_FIRST} " in line else None


class Track:
    """Collects the visits of a run: pass ``note`` to ``run_scenario`` as ``watch``."""

    def __init__(self) -> None:
        """Begin with none."""
        self._visits: dict[tuple[str, str, tuple[tuple[str, str], ...]], int] = {}

    def note(self, step: str, site: str, selectors: Mapping[str, str]) -> None:
        """Count one visit."""
        key = (step, site, stable_selectors(selectors))
        self._visits[key] = self._visits.get(key, 0) + 1

    def points(self) -> list[Point]:
        """Return the points, in the order of their first visits."""
        return [Point(*key, visits) for key, visits in self._visits.items()]


def stable_selectors(selectors: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the selectors that name the same thing in every run; characters that a plan would read otherwise become ``?``."""
    return tuple(
        (key, _SPECIAL.sub("?", value))
        for key, value in selectors.items()
        if value and key in KNOWN_SELECTORS and key not in _PASSING and not _GUID.search(value)
    )


def clean_run(scenario: Scenario, registry: Registry, *, seed: int | None = None) -> tuple[Outcome, list[Point]]:
    """Run a scenario as it stands and return what came of it, and where it can be struck.

    Raises:
        ConfigurationError: it is not clean: a fault of its own, or something that is not as it must be.
    """
    track = Track()
    outcome = run_scenario(scenario, registry, seed=seed, watch=track.note)
    if outcome.shortfalls:
        first = outcome.shortfalls[0]
        raise ConfigurationError(
            f"{scenario.source}: the run without injected faults is not clean: {first.kind} {first.name}: {first.message}",
            hint="exploration needs a scenario that is well by itself; 'vss run' shows the whole outcome",
        )
    return outcome, track.points()


def parsed(faults: tuple[tuple[str, str], ...]) -> tuple[tuple[str, Fault], ...]:
    """Return faults as a scenario keeps them."""
    return tuple((during, parse_fault(line)) for during, line in faults)


def is_medium(point: Point) -> bool:
    """Whether it is an effect on a medium, of which a run has hundreds."""
    return point.known is not None and point.known.passage in (Passage.AWAITED_IO, Passage.IO)
