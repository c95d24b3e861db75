"""Which faults strike a visit: what a run has shown so far, and how selectors match it.

Invariants: an answer depends on what the run did in its virtual time, never on anything outside it; visits are counted per
fault, and only those that its other selectors match, so that a fault elsewhere never moves the count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from vss.events import Event, PhaseEntered, PhaseLeft, SessionStarted
from vss.ports import NANOSECONDS
from vss.simulation.fault_grammar import Fault, parse_after, parse_fault
from vss.simulation.fault_sites import SITE_BY_NAME
from vss.simulation.fault_words import parse_duration

MEASURES = ("percent", "bytes")
"""What a site tells of its progress; not part of which visit it is."""
PASSING = (*MEASURES, "offset", "path", "session", "snapshot_set", "snapshot")
"""Selectors that differ from visit to visit or from run to run; they can be matched, but say nothing of which instance is
meant."""
_LITERAL = ("gen", "page", "offset", "phase", "level")
"""Selectors whose numbers mean themselves."""

PHASES: Mapping[str, tuple[str, ...]] = {
    "identify": ("gather",),
    "prep-snap": ("prepare-snapshot",),
    "commit": ("hold",),
    "post-snap": ("post-snapshot",),
    "restore-files": ("restore",),
    "replay": ("post-restore",),
}
"""Other names that a plan may use for phases."""
_AFTER_HOLD = "thaw"
"""What is open between the end of the hold and that of the freeze; no event says so."""


@dataclass(slots=True)
class Standing:
    """A fault in a run.

    Attributes:
        fault: the fault.
        scope: the part of the run it is confined to; "" is the whole.
        visits: visits that its selectors matched.
        strikes: how often it struck.
    """

    fault: Fault
    scope: str = ""
    visits: int = 0
    strikes: int = 0


class SiteVisit(NamedTuple):
    """One visit of a site.

    Attributes:
        site: its name.
        selectors: which instance it was: key and value, in the order told.
        nth: number among the visits of this site with these selectors, from 1.
        instant_ns: when.
    """

    site: str
    selectors: tuple[tuple[str, str], ...]
    nth: int
    instant_ns: int

    def fault(self, effect: str, *, is_sticky: bool = False) -> Fault:
        """Return the fault with this effect, as written, at just this visit; ``is_sticky``: and at every visit of the site by
        the same instance from the first one on."""
        when = {key: _literal(value) for key, value in self.selectors}
        if not is_sticky and self.nth > 1:
            when["nth"] = str(self.nth)
        table = {"site": self.site, "when": when, "times": "always" if is_sticky else 1, "effect": effect}
        return parse_fault(table, extra_sites=() if self.site in SITE_BY_NAME else (self.site,))


def _literal(value: str) -> str:
    """Return a pattern that matches just ``value``."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in value)


@dataclass(slots=True)
class RunState:
    """What a run has shown.

    Attributes:
        start_ns: its first instant.
        phases: open ones, in the order in which they were entered.
        is_booting: whether no session was started yet.
        visits: every visit, where they are recorded.
    """

    start_ns: int = 0
    phases: list[str] = field(default_factory=list)
    is_booting: bool = True
    visits: list[SiteVisit] = field(default_factory=list)
    _counts: dict[tuple[str, tuple[tuple[str, str], ...]], int] = field(default_factory=dict)
    _seen: dict[str, dict[str, int]] = field(default_factory=dict)
    _passed_bytes: dict[str, int] = field(default_factory=dict)
    _percent: float = 0.0
    _last_visit_ns: int = -1
    _idle_ns: int = 0

    def listen(self, event: Event) -> None:
        """Take note of what an event says about phases and sessions."""
        if isinstance(event, PhaseEntered):
            self.phases.append(event.phase)
            self._percent = 0.0
        elif isinstance(event, PhaseLeft):
            self._leave(event.phase)
        elif isinstance(event, SessionStarted):
            self.is_booting = False

    def _leave(self, phase: str) -> None:
        if phase in self.phases:
            self.phases.remove(phase)
        if phase == "hold" and "freeze" in self.phases:
            self.phases.append(_AFTER_HOLD)
        elif phase == "freeze" and _AFTER_HOLD in self.phases:
            self.phases.remove(_AFTER_HOLD)

    def visit(
        self, site: str, selectors: Mapping[str, str], now_ns: int, size_bytes: int = 0, *, is_kept: bool = False
    ) -> None:
        """Take note of a visit; ``is_kept``: list it."""
        self._idle_ns = now_ns - self._last_visit_ns if self._last_visit_ns >= 0 else 0
        self._last_visit_ns = now_ns
        if size_bytes:
            self._passed_bytes[site] = self._passed_bytes.get(site, 0) + size_bytes
        for key, value in selectors.items():
            if key == "percent":
                self._percent = float(value)
            else:
                values = self._seen.setdefault(key, {})
                values.setdefault(value, len(values) + 1)
        if is_kept:
            told = tuple((key, value) for key, value in selectors.items() if key not in PASSING)
            nth = self._counts[site, told] = self._counts.get((site, told), 0) + 1
            self.visits.append(SiteVisit(site, told, nth, now_ns))

    def matches(self, fault: Fault, site: str, selectors: Mapping[str, str], now_ns: int) -> bool:
        """Whether all selectors of ``fault`` but ``nth`` match this visit."""
        return all(self._matches(key, value, site, selectors, now_ns) for key, value in fault.when)

    def _matches(self, key: str, value: str, site: str, selectors: Mapping[str, str], now_ns: int) -> bool:
        match key:
            case "nth":
                return True
            case "after":
                return self._has_passed(value, site, now_ns)
            case "idle":
                return self._idle_ns >= round(parse_duration(value) * NANOSECONDS)
            case "boot":
                return self.is_booting
            case "phase":
                names = (value, *PHASES.get(value, ()))
                return any(fnmatchcase(phase, name) for phase in self._all_phases(selectors) for name in names)
            case _:
                return key in selectors and self._is_meant(key, selectors[key], value)

    def _all_phases(self, selectors: Mapping[str, str]) -> list[str]:
        return [*self.phases, selectors["phase"]] if "phase" in selectors else self.phases

    def _is_meant(self, key: str, told: str, wanted: str) -> bool:
        if fnmatchcase(told, wanted):
            return True
        number = wanted.partition("/")[0]
        return number.isdecimal() and key not in _LITERAL and self._seen.get(key, {}).get(told) == int(number)

    def _has_passed(self, value: str, site: str, now_ns: int) -> bool:
        unit, amount = parse_after(value)
        if unit == "percent":
            return self._percent >= amount
        return self.has_passed_bytes(site, amount) if unit == "bytes" else now_ns - self.start_ns >= round(amount * NANOSECONDS)

    def has_passed_bytes(self, site: str, amount: float) -> bool:
        """Whether, with this visit, more than ``amount`` bytes have passed ``site``."""
        return self._passed_bytes.get(site, 0) > amount
