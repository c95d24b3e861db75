"""Power loss at every place where a clean run makes something durable, with the states that the media may legally show there.

A failure of power takes all memory of the machine, so what comes afterwards depends on the media and on what somebody was told
before. Hence at every place nothing and everything that was unsynced survives, and every other state (some survive, the newest
is torn) is tried at the first place that can show it. Which states there are is known from a survey: one clean run that notes
at each place what is unsynced. At most ``STATES_MAX`` of these other states are tried at one place, drawn from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from vss.exploration.points import Point, stable_selectors
from vss.exploration.trials import Trial
from vss.plugins.registry import Registry
from vss.scenarios import Scenario, run_scenario
from vss.scenarios.power import DURING, UNSYNCED, PowerSurvey, Unsynced
from vss.simulation.choices import derived_seed
from vss.simulation.fault_sites import SITE_BY_NAME, EffectForm
from vss.simulation.fault_words import Visibility
from vss.simulation.survivors import Survivors, UnsyncedEffect, possible_survivors

VISITS_MAX = 24
STATES_MAX = 6
_SAMPLES = 2

_Content = tuple[int, tuple[int, ...], str]
"""What the media hold: the newest effect that is there, older ones that are not, what of the newest is there."""


class Place(NamedTuple):
    """One visit of a site in a clean run, and what was unsynced then.

    Attributes:
        step: of the method.
        site: by name.
        selectors: what tells the point from others of the site.
        nth: visit of that point, from 1.
        unsynced: the effects that a failure of power may take, in order of issue.
    """

    step: str
    site: str
    selectors: tuple[tuple[str, str], ...]
    nth: int
    unsynced: tuple[UnsyncedEffect, ...]


def survey(scenario: Scenario, registry: Registry, *, seed: int | None = None) -> list[Place]:
    """Run a scenario without faults and return its places, in order of time."""
    places: list[Place] = []
    visits: dict[tuple[str, str, tuple[tuple[str, str], ...]], int] = {}

    def note(step: str, site: str, selectors: Mapping[str, str], unsynced: Unsynced) -> None:
        known = SITE_BY_NAME.get(site)
        if known is None or not known.is_durable:
            return
        key = (step, site, stable_selectors(selectors))
        visits[key] = nth = visits.get(key, 0) + 1
        places.append(Place(*key, nth, tuple(unsynced())))

    run_scenario(scenario, registry, seed=seed, power=PowerSurvey(note), evidence="light")
    return places


def power_trials(
    points: Sequence[Point], places: Iterable[Place], seed: int, *, all_visits: bool = False
) -> Iterator[tuple[str, EffectForm, Trial]]:
    """Yield site, form and trial of every failure of power, in order of time.

    Of points with many visits every ``VISITS_MAX``-th part, unless ``all_visits``.
    """
    found = {(point.step, point.site, point.selectors): point for point in points}
    seen: set[_Content] = set()
    issued = 0
    for place in places:
        issued = max([issued, *(each.number for each in place.unsynced)])
        point = found.get((place.step, place.site, place.selectors))
        if point is None or (not all_visits and (place.nth - 1) % max(1, point.visits // VISITS_MAX)):
            continue
        step, line = point.fault("", place.nth)
        for form in _forms(place, issued, seed, seen):
            effect = EffectForm(f"{UNSYNCED}{form}", Visibility.ABSENT)
            where = f"{DURING}{step} {line.removeprefix('fault ').strip()} {effect.text}"
            yield place.site, effect, Trial(seed=seed, power_fails=where)


def _forms(place: Place, issued: int, seed: int, seen: set[_Content]) -> list[Survivors]:
    """Return what is tried at a place; note it as seen."""
    ends = [Survivors("lost"), Survivors("kept")]
    seen.update(_content(each, place.unsynced, issued) for each in ends)
    new: dict[_Content, Survivors] = {}
    for each in possible_survivors(place.unsynced, seed=seed, samples=_SAMPLES):
        content = _content(each, place.unsynced, issued)
        if content not in seen:
            new.setdefault(content, each)
    chosen = list(new)
    if len(chosen) > STATES_MAX:
        rng = random.Random(derived_seed(seed, f"{place.step} {place.site} {place.selectors} {place.nth}"))
        chosen = [chosen[index] for index in sorted(rng.sample(range(len(chosen)), STATES_MAX))]
    seen.update(chosen)
    return ends + [new[each] for each in chosen]


def _content(form: Survivors, effects: Sequence[UnsyncedEffect], issued: int) -> _Content:
    state = form.state(effects)
    lost = [each.number for place, each in enumerate(effects) if place not in state.kept]
    top = issued
    while lost and lost[-1] == top:
        top = lost.pop() - 1
    torn = "" if state.torn_sectors is None else str(state.torn_sectors)
    return top, tuple(lost), torn
