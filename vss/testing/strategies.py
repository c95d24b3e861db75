"""Hypothesis strategies: plans of faults, and schedules. Needs Hypothesis; nothing else here does.

    @given(plan=plans(sites="writer.*"), schedule=schedules())
    def test_nobody_stays_frozen(vss_sim, plan, schedule):
        vss_sim.run(backup, faults=plan, choices=schedule.choices())   # the invariants are checked in every run

Both shrink: plans to fewer faults, and to those that stand first in the table of sites; schedules to asyncio's own order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hypothesis import strategies as st

from vss.errors import ConfigurationError
from vss.simulation import ChoiceSource, PctChoices, SeededChoices, applicable_effects
from vss.simulation.fault_sites import FAULT_SITES


class WrappedChoices:
    """Gives answers in turn, each reduced to what the run offers; 0 after the last. Any list of numbers is a schedule so."""

    def __init__(self, answers: Sequence[int]) -> None:
        """Keep ``answers``."""
        self._answers = tuple(answers)
        self._used = 0

    def pick(self, keys: Sequence[int]) -> int:
        """Return an index into ``keys``."""
        return self._next(len(keys))

    def draw(self, bound: int) -> int:
        """Return a number below ``bound``."""
        return self._next(bound)

    def _next(self, bound: int) -> int:
        self._used += 1
        return self._answers[self._used - 1] % bound if self._used <= len(self._answers) else 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as data; ``choices`` makes a fresh source for one run, None for asyncio's own order."""

    kind: str = "fifo"
    seed: int = 0
    answers: tuple[int, ...] = ()

    def choices(self) -> ChoiceSource | None:
        """Return the source."""
        if self.kind == "fifo":
            return None
        if self.kind == "answers":
            return WrappedChoices(self.answers)
        return PctChoices(self.seed) if self.kind == "pct" else SeededChoices(self.seed)


def plans(
    sites: str | Iterable[str] = ("writer.*", "provider.*"),
    *,
    effects: Iterable[str] = ("fail", "fail-after", "raise", "delay", "hang", "lie"),
    faults_max: int = 3,
) -> st.SearchStrategy[list[str]]:
    """Return plans of up to ``faults_max`` faults, as lines: every site that fits ``sites``, every form of ``effects`` there.

    Raises:
        ConfigurationError: no site fits.
    """
    patterns = (sites,) if isinstance(sites, str) else tuple(sites)
    words = tuple(effects)
    forms = [
        f"{site.name} {form.text}"
        for site in FAULT_SITES
        if any(fnmatchcase(site.name, pattern) for pattern in patterns)
        for form in applicable_effects(site)
        if form.effect in words
    ]
    if not forms:
        raise ConfigurationError(f"no site fits {', '.join(patterns)} with an effect of {', '.join(words)}")
    when = st.sampled_from(["", " when=nth:2", " times=2", " times=always"])
    fault = st.builds(_with, st.sampled_from(forms), when)
    return st.lists(fault, max_size=faults_max)


def _with(form: str, when: str) -> str:
    site, _, effect = form.partition(" ")
    return f"{site}{when} {effect}"


def schedules(*, answers_max: int = 40) -> st.SearchStrategy[Schedule]:
    """Return schedules: asyncio's own, seeded ones, ones with priorities, and short recordings of answers."""
    seeds = st.integers(0, 2**32 - 1)
    return st.one_of(
        st.just(Schedule()),
        st.builds(Schedule, st.just("answers"), answers=st.lists(st.integers(0, 7), max_size=answers_max).map(tuple)),
        st.builds(Schedule, st.just("seeded"), seeds),
        st.builds(Schedule, st.just("pct"), seeds),
    )
