"""The sweep: every point of a clean run × every effect that makes sense there × once and always, each in a run of its own.

Enumerating comes before sampling: single faults are few and can all be tried (SQLite, "How SQLite Is Tested", section 3.2, does
the same with allocations and I/O). Sites of roles and steps are tried at every visit; effects on media, of which a run has
hundreds, at the first, the middle and the last visit of each point unless all are asked for, and the table says how many were
left out. Sites that are not passed by anybody (a clock, a service) are tried once per step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from importlib import resources
from itertools import combinations, islice

import msgspec

from vss.errors import ConfigurationError, NotFoundError
from vss.exploration.coverage import Coverage, coverage_of
from vss.exploration.points import Point, clean_run, is_medium
from vss.exploration.power import power_trials, survey
from vss.exploration.trials import Finding, Trial, TrialResult, Violation, note_findings
from vss.exploration.workers import Crew
from vss.nearest import nearest
from vss.simulation.fault_site_kinds import Passage
from vss.simulation.fault_sites import FAULT_SITES, EffectForm, applicable_effects
from vss.simulation.fault_words import EFFECT_WORDS
from vss.simulation.invariants import INVARIANTS

UNSTRUCK_STEPS = ("repair", "replace", "heal", "dismount", "again", "start", "check", "fresh")
"""Steps that are there to show that all is well after a fault: no fault is put there."""
PAIR_EFFECTS = ("fail", "fail-after", "hang", "lie", "crash", "drop", "late", "torn", "lose")
REPEAT_EVERY = 500
"""So often a trial is done twice, the first one included."""
TOLD_EVERY = 256
"""So often whoever waits hears how far a sweep is."""
_CRASH_RESTARTS = ("", " restart=0s")


class Cell(msgspec.Struct, kw_only=True):
    """One row of the table: a site.

    Attributes:
        site: its name.
        points: points of the clean run at that site.
        visits: how often the clean run passed it.
        tried: visits that were struck.
        effects: forms of effects tried.
        runs: trials.
        outcomes: how many by outcome.
        violations: trials with at least one.
    """

    site: str
    points: int = 0
    visits: int = 0
    tried: int = 0
    effects: int = 0
    runs: int = 0
    outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    violations: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep found. The same bytes for the same scenario and code, however many workers did it.

    Attributes:
        kind: "single", "pairs", "crash" or "power-loss".
        scenario: its title.
        runs: trials done.
        known: trials that were not run, since the one before each is the same run.
        violations: trials with at least one violation.
        findings: kinds of violations, in order of first appearance.
        cells: by site, in the order of the table of sites.
        not_tabled: sites of the clean run that the table of sites does not have; nothing was tried there.
        coverage: what was reached.
        digest: of all results, to compare two sweeps.
    """

    kind: str
    scenario: str
    runs: int
    known: int
    violations: int
    findings: tuple[Finding, ...]
    cells: tuple[Cell, ...]
    not_tabled: tuple[str, ...]
    coverage: Coverage
    digest: str


def shipped(name: str) -> str:
    """Return the text of a scenario that comes with this package: "default" or "pairs".

    Raises:
        NotFoundError: there is none of that name.
    """
    folder = resources.files("vss.exploration") / "scenarios"
    names = sorted(each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml"))
    if name not in names:
        raise NotFoundError(f"no scenario '{name}' comes with the program: found {', '.join(names)}")
    return (folder / f"{name}.toml").read_text("utf-8")


# -- what is tried -------------------------------------------------------------------------------------------------------------


def points_of(crew: Crew) -> list[Point]:
    """Return the points of the clean run that a sweep strikes. Raises ``ConfigurationError`` where that run is not clean."""
    _, points = clean_run(crew.explorer.scenario, crew.registry)
    return [point for point in points if point.step and point.step not in UNSTRUCK_STEPS]


def visits_tried(point: Point, *, all_visits: bool) -> list[int]:
    """Return which visits of a point are struck."""
    if all_visits or not is_medium(point):
        return list(range(1, point.visits + 1))
    return sorted({1, (point.visits + 1) // 2, point.visits})


def single_trials(points: Sequence[Point], seed: int, *, all_visits: bool = False) -> Iterator[tuple[str, EffectForm, Trial]]:
    """Yield site, effect and trial of every single fault."""
    for point in points:
        if point.known is None:
            continue
        for form in applicable_effects(point.site):
            for nth in (*visits_tried(point, all_visits=all_visits), None):
                yield point.site, form, Trial(seed=seed, faults=(point.fault(form.text, nth),))
    for step in dict.fromkeys(point.step for point in points):
        for site in FAULT_SITES:
            if site.passage is Passage.WORLD:
                for form in applicable_effects(site):
                    yield site.name, form, Trial(seed=seed, faults=((step, f"fault {site.name} {form}"),))


def crash_trials(points: Sequence[Point], seed: int) -> Iterator[tuple[str, EffectForm, Trial]]:
    """Yield a crash before, during and after each visit: of roles with and without a restart, and with one of the machine."""
    for point in points:
        if point.known is None or "crash" not in point.known.effects:
            continue
        is_called = point.known.passage is Passage.CALL
        where = ("before", "after") if point.known.passage is Passage.IO else ("before", "during", "after")
        texts = [f"crash={when}{rest}" for when in where for rest in (_CRASH_RESTARTS if is_called else ("",))]
        for text in texts:
            form = EffectForm(text, EFFECT_WORDS["crash"].visibility)
            for nth in visits_tried(point, all_visits=False):
                faults = (point.fault(text, nth),)
                yield point.site, form, Trial(seed=seed, faults=faults)
                if "restart" not in text:
                    yield point.site, form, Trial(seed=seed, faults=faults, reboot_after=point.step)


def pair_trials(points: Sequence[Point], seed: int) -> Iterator[tuple[str, EffectForm, Trial]]:
    """Yield every pair of single faults, each once, one form of each effect; the row is that of the first fault's site."""
    singles: list[tuple[str, EffectForm, tuple[str, str]]] = []
    for point in points:
        if point.known is None or is_medium(point):
            continue
        words = dict.fromkeys(form.effect for form in applicable_effects(point.site) if form.effect in PAIR_EFFECTS)
        for word in words:
            form = next(each for each in applicable_effects(point.site) if each.effect == word)
            singles.append((point.site, form, point.fault(form.text, 1)))
    for (site, form, first), (_, _, second) in combinations(singles, 2):
        yield site, form, Trial(seed=seed, faults=(first, second))


def selected(points: Sequence[Point], steps: Sequence[str], sites: Sequence[str]) -> list[Point]:
    """Return the points of some steps and sites; nothing named means all.

    Raises:
        ConfigurationError: the clean run passes no such point; each name must have one.
    """
    known = list(dict.fromkeys(point.step for point in points))
    for step in steps:
        if step not in known:
            raise ConfigurationError(f"the clean run passes no point of step '{step}'{nearest(step, known)}")
    known = list(dict.fromkeys(point.site for point in points))
    for site in sites:
        if not any(fnmatchcase(each, site) for each in known):
            raise ConfigurationError(
                f"the clean run passes no point of {site}{nearest(site, known)}",
                hint="without --site and --step all are tried; 'docs/faults.md' lists the sites",
            )
    found = [
        point
        for point in points
        if (not steps or point.step in steps) and (not sites or any(fnmatchcase(point.site, each) for each in sites))
    ]
    if not found:
        named = ", ".join((*sites, *steps)) or "any step"
        raise ConfigurationError(f"the clean run passes no point of {named}: found none together")
    return found


def trials(
    kind: str, points: Sequence[Point], crew: Crew, all_visits: bool = False, every: int = 1
) -> Iterator[tuple[str, EffectForm, Trial]]:
    """Yield the trials of one kind of sweep, or each ``every``-th of them."""
    scenario = crew.explorer.scenario
    seed = scenario.seed
    match kind:
        case "single":
            found = single_trials(points, seed, all_visits=all_visits)
        case "pairs":
            found = pair_trials(points, seed)
        case "power-loss":
            found = power_trials(points, survey(scenario, crew.registry), seed, all_visits=all_visits)
        case _:
            found = crash_trials(points, seed)
    return islice(found, 0, None, every)


# -- the sweep -----------------------------------------------------------------------------------------------------------------


def sweep(
    crew: Crew,
    kind: str,
    points: Sequence[Point],
    trials: Iterable[tuple[str, EffectForm, Trial]],
    tell: Callable[[int, int], object] | None = None,
) -> tuple[Report, list[tuple[Trial, TrialResult]]]:
    """Do all trials and report; also return the trials with violations, in order.

    ``tell`` is called after every ``TOLD_EVERY`` runs with how many are done, and how many of them have violations.
    """
    tally = _Tally(points)
    bad: list[tuple[Trial, TrialResult]] = []
    labels: list[tuple[str, EffectForm]] = []

    def unlabelled() -> Iterator[Trial]:
        for site, form, trial in trials:
            labels.append((site, form))
            yield trial

    for number, (trial, told) in enumerate(crew.run(unlabelled())):
        result = told if number % REPEAT_EVERY else _repeated(crew, trial, told)
        tally.add(*labels[number], trial, result)
        if result.violations:
            bad.append((trial, result))
        if tell is not None and (number + 1) % TOLD_EVERY == 0:
            tell(number + 1, len(bad))
    return tally.report(kind, crew.explorer.scenario.title), bad


def _repeated(crew: Crew, trial: Trial, result: TrialResult) -> TrialResult:
    """Do a trial again, here, whoever did it first: the same seed and plan must give the same records (R4)."""
    again = crew.explorer.run(trial, with_cells=False)
    if again.digest == result.digest:
        return result
    message = f"run again the digest is {again.digest}, it was {result.digest}; expected: {INVARIANTS['R4'].statement}"
    found = (*result.violations, Violation("invariant", "R4", message))
    return msgspec.structs.replace(result, violations=found, outcome="violated")


class _Tally:
    """Counts results."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._cells: dict[str, Cell] = {site.name: Cell(site=site.name) for site in FAULT_SITES}
        self._forms: dict[str, dict[str, None]] = {}
        self._struck: dict[str, dict[str, None]] = {}
        self._findings: dict[str, Finding] = {}
        self._coverage: dict[str, int] = {}
        self._runs = self._known = self._violations = 0
        self._digest = _Digest()
        self._not_tabled = tuple(dict.fromkeys(point.site for point in points if point.known is None))
        for point in points:
            if point.known is not None:
                self._cells[point.site].points += 1
                self._cells[point.site].visits += point.visits

    def add(self, site: str, form: EffectForm, trial: Trial, result: TrialResult) -> None:
        cell = self._cells[site]
        cell.runs += 1
        cell.outcomes[result.outcome] = cell.outcomes.get(result.outcome, 0) + 1
        self._forms.setdefault(site, {})[form.text] = None
        step, line = trial.faults[0] if trial.faults else ("", trial.power_fails)
        if "nth:" in line:
            self._struck.setdefault(site, {})[step + line.removesuffix(form.text)] = None
        self._runs += 1
        self._known += result.is_known
        self._digest.add(result)
        for each in result.cells:
            self._coverage[each] = self._coverage.get(each, 0) + 1
        if result.violations:
            cell.violations += 1
            self._violations += 1
        note_findings(self._findings, trial, result)

    def report(self, kind: str, title: str) -> Report:
        for site, cell in self._cells.items():
            cell.effects = len(self._forms.get(site, {}))
            cell.tried = len(self._struck.get(site, {}))
        return Report(
            kind=kind,
            scenario=title,
            runs=self._runs,
            known=self._known,
            violations=self._violations,
            findings=tuple(self._findings.values()),
            cells=tuple(cell for cell in self._cells.values() if cell.runs or cell.visits),
            not_tabled=self._not_tabled,
            coverage=coverage_of(self._coverage),
            digest=self._digest.text,
        )


class _Digest:
    """A digest over results, in order."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, result: TrialResult) -> None:
        self._hash.update(result.digest.encode())
        self._hash.update(msgspec.json.encode(result.violations))

    @property
    def text(self) -> str:
        return self._hash.hexdigest()
