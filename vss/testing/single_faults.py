"""Every single fault of a run: the sites that a clean run visits, times the effects that make sense there.

An id says where and what, ``writer.freeze[Store]#1-hang``: site, instance, visit, effect. It never holds a position in a list,
so that it stays when other sites come and go. Enumerating costs one clean run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vss.ports import Ports
from vss.simulation import FaultPlan, Simulation, SiteVisit, applicable_effects
from vss.simulation.fault_sites import SITE_BY_NAME

if TYPE_CHECKING:
    from vss.scenarios import Scenario
    from vss.testing.simulated import Story

DEFAULT_EFFECTS = ("fail", "fail-after", "hang", "lie", "crash", "delay")
"""What is tried unless told otherwise: the effects that a test is mostly about. ``effects=("*",)`` tries all."""


@dataclass(frozen=True, slots=True)
class SingleFault:
    """One fault at one visit; ``str`` is the line that injects it."""

    test_id: str
    fault: str

    def __str__(self) -> str:
        return self.fault


def every_fault(
    subject: Story | Scenario | str | Path,
    *,
    sites: str | Iterable[str] = "*",
    effects: Iterable[str] = DEFAULT_EFFECTS,
    seed: int = 1,
    one_per_effect: bool = True,
) -> list[SingleFault]:
    """Return every single fault of a story or scenario, in the order in which a clean run meets the sites.

    Args:
        subject: what would be run.
        sites: patterns of site names.
        effects: words of effects; ``*`` for all.
        seed: of the clean run.
        one_per_effect: only the first form of each effect (one code, one delay) instead of all.
    """
    patterns = (sites,) if isinstance(sites, str) else tuple(sites)
    words = tuple(effects)
    found: dict[str, SingleFault] = {}
    for visit in _visits(subject, seed):
        if visit.site not in SITE_BY_NAME or not any(fnmatchcase(visit.site, pattern) for pattern in patterns):
            continue
        seen: set[str] = set()
        for form in applicable_effects(visit.site):
            if ("*" not in words and form.effect not in words) or (one_per_effect and form.effect in seen):
                continue
            seen.add(form.effect)
            text = form.effect if one_per_effect else form.text.replace(" ", ",")
            test_id = f"{visit.site}{_instance(visit)}#{visit.nth}-{text}"
            found.setdefault(test_id, SingleFault(test_id, str(visit.fault(form.text))))
    return list(found.values())


def _instance(visit: SiteVisit) -> str:
    """Name the instance that was visited, by the selector that says most about it."""
    for key, value in visit.selectors:
        if key not in ("session", "percent", "snapshot"):
            return f"[{value}]"
    return ""


def _visits(subject: Story | Scenario | str | Path, seed: int) -> list[SiteVisit]:
    from vss.testing.simulated import _given, _scenario

    if not callable(subject):
        return _visits_of_scenario(_scenario(subject), seed)
    plan = FaultPlan([], records_visits=True)

    async def main(ports: Ports) -> Any:
        return await subject(**await _given(subject, ports, None))

    Simulation(main, seed=seed, faults=plan, unjudged="a clean run, made to see its sites").run()
    return [_without_session(visit) for visit in plan.visits]


def _without_session(visit: SiteVisit) -> SiteVisit:
    """Leave the session out: its id is drawn anew where the path of the run changes."""
    return visit._replace(selectors=tuple(pair for pair in visit.selectors if pair[0] != "session"))


def _visits_of_scenario(scenario: Scenario, seed: int) -> list[SiteVisit]:
    from vss.plugins import plugin_host
    from vss.scenarios import run_scenario

    counts: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    visits: list[SiteVisit] = []

    def note(step: str, site: str, selectors: Any) -> None:
        kept = tuple((key, value) for key, value in selectors.items() if key in ("writer", "provider", "volume", "file"))
        nth = counts[site, kept] = counts.get((site, kept), 0) + 1
        visits.append(SiteVisit(site, kept, nth, 0))

    run_scenario(scenario, plugin_host().registry, seed=seed, watch=note)
    return visits


def vss_every_fault(subject: Story | Scenario | str | Path, **options: Any) -> Callable[[Any], Any]:
    """Return a pytest decorator that runs the test once for each single fault; it gets it as ``single_fault``.

    Options as for ``every_fault``.
    """
    import pytest

    faults = every_fault(subject, **options)
    return pytest.mark.parametrize("single_fault", faults, ids=[each.test_id for each in faults])
