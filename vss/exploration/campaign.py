"""The campaign: many seeded runs, each with its own mixture of faults and its own order, resumable at any point.

What a run does follows from its seed alone (swarm testing, Groce et al., ISSTA 2012; the two draws per fault spot are those of
FoundationDB's Buggify): each kind of effect is on with probability 1/2, each site with 1/4, and a fault that is on strikes with
1/4 at each visit of the clean run, drawn beforehand, so that the plan is fixed. Half of the runs confine their faults to one
step, so that the others are reached. The order is asyncio's in half of the runs, else jittered or any. State is one small file,
replaced atomically; it is the report, too: killed and resumed, or done by any number of workers, a campaign ends with the same
bytes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from vss.errors import ConfigurationError
from vss.exploration.coverage import Coverage, coverage_of
from vss.exploration.points import Point
from vss.exploration.schedules import SEEDED
from vss.exploration.trials import Finding, Trial, TrialResult, note_findings
from vss.exploration.workers import Crew
from vss.ports import HostFiles
from vss.simulation import Order
from vss.simulation.choices import derived_seed
from vss.simulation.fault_sites import applicable_effects

FORMAT = "vss.campaign/1"
CHUNK_RUNS = 256
P_EFFECT, P_SITE, P_FIRE, P_ALWAYS = 0.5, 0.25, 0.25, 0.1
MAX_FAULTS = 12
PCT_PICKS = 400


class State(msgspec.Struct, kw_only=True):
    """How far a campaign is and what it found; JSON as it stands.

    Attributes:
        format: of the file.
        scenario: digest of the scenario's text.
        title: of the scenario.
        first_seed: seeds count from here.
        seeds: how many there are to do.
        done: how many are done, from the first on without gap.
        violations: runs with at least one.
        findings: kinds of violations by key, in order of first appearance.
        cells: what was reached, with runs.
        digest: over the results, in order.
    """

    format: str = FORMAT
    scenario: str
    title: str
    first_seed: int
    seeds: int
    done: int = 0
    violations: int = 0
    findings: dict[str, Finding] = msgspec.field(default_factory=dict)
    cells: dict[str, int] = msgspec.field(default_factory=dict)
    digest: str = ""

    @property
    def coverage(self) -> Coverage:
        """What the runs reached."""
        return coverage_of(self.cells)

    def add(self, trial: Trial, result: TrialResult) -> None:
        """Count the next run."""
        self.done += 1
        text = self.digest.encode() + result.digest.encode() + msgspec.json.encode(result.violations)
        self.digest = hashlib.blake2b(text, digest_size=16).hexdigest()
        for cell in result.cells:
            self.cells[cell] = self.cells.get(cell, 0) + 1
        if result.violations:
            self.violations += 1
        note_findings(self.findings, trial, result)

    def encoded(self) -> bytes:
        """Return the bytes of the file: cells sorted, so that the order in which they were reached does not matter."""
        ordered = msgspec.structs.replace(self, cells=dict(sorted(self.cells.items())))
        return msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n"


def swarm_trial(points: Sequence[Point], seed: int) -> Trial:
    """Return the run of a seed: its faults and its order."""
    rng = random.Random(derived_seed(seed, "swarm"))
    known = [point for point in points if point.known is not None]
    words = dict.fromkeys(form.effect for point in known for form in applicable_effects(point.site))
    effects_on = [word for word in words if rng.random() < P_EFFECT]
    sites_on = [site for site in dict.fromkeys(point.site for point in known) if rng.random() < P_SITE]
    steps = list(dict.fromkeys(point.step for point in known))
    only = rng.choice(steps) if steps and rng.random() < 0.5 else ""
    faults: list[tuple[str, str]] = []
    for point in known:
        forms = [form for form in applicable_effects(point.site) if form.effect in effects_on]
        if point.site in sites_on and only in ("", point.step) and forms:
            form = rng.choice(forms)
            if rng.random() < P_ALWAYS:
                faults.append(point.fault(form.text, None))
            else:
                struck = [nth for nth in range(1, point.visits + 1) if rng.random() < P_FIRE]
                faults += [point.fault(form.text, nth) for nth in struck]
    if len(faults) > MAX_FAULTS:
        faults = [faults[index] for index in sorted(rng.sample(range(len(faults)), MAX_FAULTS))]
    order, choices = rng.choice(
        [(Order.FIFO, "")] * 4 + [(Order.JITTER, SEEDED)] * 2 + [(Order.ANY, SEEDED), (Order.ANY, f"pct:3:{PCT_PICKS}")]
    )
    return Trial(seed=seed, faults=tuple(faults), order=order.value, choices=choices)


class Campaign:
    """One campaign over a crew.

    Args:
        crew: who does the runs.
        points: of the clean run.
        text: of the scenario file: a state of another text is refused.
        first_seed: where seeds begin.
        seeds: how many.
        files: where the state is kept.
        path: of the state file; None keeps none.
    """

    def __init__(
        self,
        crew: Crew,
        points: Sequence[Point],
        text: str,
        *,
        first_seed: int = 1,
        seeds: int,
        files: HostFiles | None = None,
        path: Path | None = None,
    ) -> None:
        """Take up the state where there is one.

        Raises:
            ConfigurationError: no seeds; or the state file is that of another campaign, or no state file.
        """
        if seeds < 1:
            raise ConfigurationError(f"seeds: expected at least 1, found {seeds}")
        self._crew = crew
        self._points = points
        self._files = files
        self._path = path
        self.state = State(
            scenario=hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
            title=crew.explorer.scenario.title,
            first_seed=first_seed,
            seeds=seeds,
        )
        if files is not None and path is not None and files.exists(path):
            self.state = self._taken_up(files.read_bytes(path), path)

    def _taken_up(self, data: bytes, path: Path) -> State:
        try:
            known = msgspec.json.decode(data, type=State)
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"{path}: expected the state of a campaign, found: {error}") from error
        for key in ("format", "scenario", "first_seed"):
            if getattr(known, key) != getattr(self.state, key):
                raise ConfigurationError(
                    f"{path}: {key}: expected {getattr(self.state, key)}, found {getattr(known, key)}",
                    hint="the state is another campaign's; name another file",
                )
        known.seeds = max(known.done, self.state.seeds)
        return known

    def run(self, go_on: Callable[[], bool] = lambda: True) -> Iterator[State]:
        """Do what is left, in chunks; the state after each. ``go_on`` is asked before each chunk."""
        state = self.state
        while state.done < state.seeds and go_on():
            first = state.first_seed + state.done
            count = min(CHUNK_RUNS, state.seeds - state.done)
            for trial, result in self._crew.run(swarm_trial(self._points, seed) for seed in range(first, first + count)):
                state.add(trial, result)
            self._keep()
            yield state

    def _keep(self) -> None:
        if self._files is not None and self._path is not None:
            self._files.write_atomically(self._path, self.state.encoded())
