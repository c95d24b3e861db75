"""Interleavings: every order in which a few writers go through freeze and thaw, and every order near the stock one of a backup.

A depth-first search over the loop's choices. A run repeats a prefix of choices and goes on with the first option; where it
comes to a state that was seen, it is given up, since everything from there on was or will be tried. A state is what every task
is at (its chain of suspended frames with their plain values), which tasks are ready, how often each site was passed, and how
much time went by. That is sound as far as roles keep their state in such places; a search without pruning over few writers is
the check. Bounded deviations: Musuvathi and Qadeer, "Iterative Context Bounding" (PLDI 2007).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

from vss.errors import ConfigurationError
from vss.exploration.schedules import schedule_text
from vss.exploration.trials import Finding, Trial, Violation, judge
from vss.plugins.registry import Registry
from vss.scenarios import Scenario, parse_scenario, run_scenario
from vss.simulation import Order, SimulationError, SimulationLoop

WINDOW = ("writer.freeze", "writer.post_snapshot")
"""The sites whose first visits begin and end the search's window."""
MAX_WRITERS = 5
_PLAIN = (int, float, str, bytes, bool, type(None), Enum)


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What a search saw.

    Attributes:
        writers: how many there were; 0 for a given scenario.
        deviations: bound on choices other than the stock loop's; -1 for none.
        runs: runs made.
        pruned: of these, given up at a state seen before.
        states: different states at which there was a choice.
        choices: the most choices that one run offered.
        is_complete: whether nothing was left when the search ended.
        findings: what broke.
    """

    writers: int
    deviations: int
    runs: int
    pruned: int
    states: int
    choices: int
    is_complete: bool
    findings: tuple[Finding, ...]


class SeenBeforeError(SimulationError):
    """The run has come to a state from which everything was tried; it is given up."""


def writers_scenario(writers: int) -> str:
    """Return the text of a scenario in which that many writers of one level take part in a backup.

    Raises:
        ConfigurationError: none, or more than ``MAX_WRITERS``.
    """
    if not 1 <= writers <= MAX_WRITERS:
        raise ConfigurationError(f"writers: expected 1 to {MAX_WRITERS}, found {writers}")
    tables = "".join(
        f"""
[[lab.writers]]
name = "W{number}"
kind = "scripted"
[lab.writers.options]
name = "W{number}"
components = [{{ name = "C", file_sets = [{{ path = 'D:\\W{number}' }}] }}]
files = [{{ path = 'D:\\W{number}\\a.dat', size = "512 B", seed = {number} }}]
"""
        for number in range(1, writers + 1)
    )
    return f"""
title = "{writers} writers through freeze and thaw"
[lab]
template = "small"
workloads = []
volumes = [{{ name = "D:", size = "2 MiB" }}]
{tables}
[[method]]
do = "backup"
name = "backup"
"""


class _SearchChoices:
    """The choices of one run: a prefix, then the first option each time, until a state that was seen."""

    def __init__(self, search: _Searcher, prefix: Sequence[int]) -> None:
        self._search = search
        self._prefix = prefix
        self._site_visits: Counter[str] = Counter()
        self._is_open = not search.window
        self._start_ns = 0
        self.taken: list[int] = []
        self.is_pruned = False

    def watch(self, step: str, site: str, selectors: Mapping[str, str]) -> None:
        """A site is passed: the window may begin or end."""
        first, last = self._search.window or ("", "")
        if site == first and not self._is_open and not self._site_visits[last]:
            self._is_open = True
            self._start_ns = _loop().now_ns
        elif site == last:
            self._is_open = False
        self._site_visits[f"{site} {sorted(selectors.items())}" if site != last else site] += 1

    def pick(self, keys: Sequence[int]) -> int:
        """Return which of the ready steps goes next."""
        return self._choose(len(keys), keys)

    def draw(self, bound: int) -> int:
        """Return which of the timers of one instant comes next."""
        return self._choose(bound, ())

    def _choose(self, count: int, keys: Sequence[int]) -> int:
        if not self._is_open or self.is_pruned:
            return 0
        position = len(self.taken)
        if position < len(self._prefix):
            answer = min(self._prefix[position], count - 1)
        else:
            answer = 0
            if not self._search.enter(self._fingerprint(keys), self.taken, count):
                self.is_pruned = True
                raise SeenBeforeError("a state that was seen before")
        self.taken.append(answer)
        return answer

    def _fingerprint(self, keys: Sequence[int]) -> bytes:
        loop = _loop()
        places = sorted(_place(task, task_number(task) in keys) for task in loop.tasks())
        visits = sorted(self._site_visits.items())
        text = repr((places, visits, keys.count(0), len(keys), loop.now_ns - self._start_ns))
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


class _Searcher:
    """A whole search."""

    def __init__(self, scenario: Scenario, registry: Registry, window: tuple[str, str] | None, deviations: int) -> None:
        self._scenario = scenario
        self._registry = registry
        self.window = window
        self._deviations = deviations
        self._seen: dict[bytes, int] = {}
        self._stack: list[tuple[int, ...]] = [()]
        self._prunes = True
        self._findings: dict[str, Finding] = {}
        self._runs = self._pruned = self._choices = 0

    def enter(self, state: bytes, taken: Sequence[int], count: int) -> bool:
        """Come to a state after ``taken``, with ``count`` options; False where all from here on was tried."""
        left = len(taken) + 1 if self._deviations < 0 else self._deviations - sum(1 for each in taken if each)
        known = self._seen.get(state)
        if self._prunes and known is not None and (self._deviations < 0 or known >= left):
            return False
        self._seen[state] = left
        if left > 0:
            self._stack += [(*taken, other) for other in range(count - 1, 0, -1)]
        return True

    def run(self, writers: int, max_runs: int, *, prunes: bool) -> Search:
        self._prunes = prunes
        clean: dict[str, int] = {}
        while self._stack and self._runs < max_runs:
            choices = _SearchChoices(self, self._stack.pop())
            outcome = run_scenario(
                self._scenario, self._registry, choices=choices, order=Order.ANY, watch=choices.watch, evidence="light"
            )
            self._runs += 1
            self._choices = max(self._choices, len(choices.taken))
            if choices.is_pruned:
                self._pruned += 1
                continue
            clean = clean or {step.step: 0 for step in outcome.steps}
            self._note(judge(self._scenario, clean, outcome), choices.taken)
        return Search(
            writers=writers,
            deviations=self._deviations,
            runs=self._runs,
            pruned=self._pruned,
            states=len(self._seen),
            choices=self._choices,
            is_complete=not self._stack,
            findings=tuple(self._findings.values()),
        )

    def _note(self, violations: Sequence[Violation], taken: Sequence[int]) -> None:
        for violation in violations:
            trial = Trial(seed=self._scenario.seed, order=Order.ANY.value, choices=schedule_text(taken))
            known = self._findings.get(violation.key)
            runs = 1 if known is None else known.runs + 1
            first = Finding(violation=violation, trial=trial, runs=1) if known is None else known
            self._findings[violation.key] = msgspec.structs.replace(first, runs=runs)


def freeze_to_thaw(writers: int, registry: Registry, *, max_runs: int = 100_000, prunes: bool = True) -> Search:
    """Try every order of the loop's steps from the first Freeze to the last Thaw.

    Args:
        writers: how many, all of one level.
        registry: of the roles.
        max_runs: bound; ``is_complete`` tells whether it sufficed.
        prunes: whether states that were seen are left; without it the search is the plain one.
    """
    scenario = parse_scenario(writers_scenario(writers), f"{writers} writers")
    return _Searcher(scenario, registry, WINDOW, -1).run(writers, max_runs, prunes=prunes)


def near_fifo(scenario: Scenario, registry: Registry, *, deviations: int = 2, max_runs: int = 1_000_000) -> Search:
    """Try every order of a whole scenario that differs from the stock one in at most so many choices."""
    return _Searcher(scenario, registry, None, deviations).run(0, max_runs, prunes=True)


# -- states --------------------------------------------------------------------------------------------------------------------


def _loop() -> SimulationLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop), "choices are asked by the simulation's loop only"
    return loop


def task_number(task: asyncio.Task[Any]) -> int:
    """Return a task's number, by which the loop asks."""
    return int(getattr(task, "number", 0))


def _place(task: asyncio.Task[Any], is_ready: bool) -> str:
    """Return where a task is: whose it is, and its chain of frames with what they hold of plain values."""
    chain: list[str] = []
    waits: Any = task.get_coro()
    while waits is not None:
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None) or getattr(waits, "ag_frame", None)
        if frame is None:
            break
        held = [f"{key}={value!r}" for key, value in sorted(frame.f_locals.items()) if isinstance(value, _PLAIN)]
        chain.append(f"{frame.f_code.co_qualname}:{frame.f_lasti} {held}")
        waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None) or getattr(waits, "ag_await", None)
    return f"{getattr(task, 'actor', '')} {is_ready} {chain}"
