"""Choice sources: every decision that a run leaves open is asked of one object, so that a run is a function of its answers.

Two questions exist. ``pick(keys)``: which of several ready steps goes next; a key is the number of the task that will be
stepped, 0 for a plain callback. ``draw(bound)``: a number in ``[0, bound)``, for latencies and data. The loop asks only where
there is a choice (two or more options). Index 0 is always what the stock loop would do, so an exhausted or all-zero source
is plain asyncio order. Sources do not share streams with workload or faults: a choice never moves a drawn datum.

Source for PCT: Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs" (ASPLOS 2010).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Protocol

from vss.simulation.errors import ReplayError


class Order(Enum):
    """What the loop asks about. A bug seen only under ``ANY`` still counts, unless asyncio documents the order it needs."""

    FIFO = "fifo"
    """asyncio's own order; nothing is asked."""
    JITTER = "jitter"
    """asyncio's order, and every timer fires late by a drawn latency: only schedules that a real loop can show."""
    ANY = "any"
    """Any ready step may go next. Plain callbacks keep their order among themselves (documented for ``call_soon``); timers of
    the same instant are permuted."""


class ChoiceSource(Protocol):
    """Answers the loop's questions."""

    def pick(self, keys: Sequence[int]) -> int:
        """Return the index of the step to run; ``len(keys)`` is at least 2."""
        ...

    def draw(self, bound: int) -> int:
        """Return a number in ``[0, bound)``; ``bound`` is at least 2."""
        ...


def derived_seed(seed: int, name: str) -> int:
    """Return the seed of the stream called ``name``: independent of every other name and of the order of asking."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:16], "big")


class FifoChoices:
    """Always what the stock loop would do, without delay."""

    def pick(self, keys: Sequence[int]) -> int:
        """Return 0."""
        return 0

    def draw(self, bound: int) -> int:
        """Return 0."""
        return 0


class SeededChoices:
    """Uniformly random answers from a seed."""

    def __init__(self, seed: int) -> None:
        """Derive the schedule's own stream from ``seed``."""
        self._random = random.Random(derived_seed(seed, "choices"))

    def pick(self, keys: Sequence[int]) -> int:
        """Return any index, each as likely."""
        return self._random.randrange(len(keys))

    def draw(self, bound: int) -> int:
        """Return any number, each as likely."""
        return self._random.randrange(bound)


class PctChoices:
    """Probabilistic concurrency testing: random priorities with ``depth - 1`` change points.

    Finds a bug that needs ``depth`` ordering constraints, among n tasks and k picks, with a probability of at least
    1/(n·k^(depth-1)). ``expected_picks`` is k: where the change points are drawn from.
    """

    def __init__(self, seed: int, *, depth: int = 3, expected_picks: int = 1000) -> None:
        """Draw the change points; priorities are drawn as tasks appear."""
        self._random = random.Random(derived_seed(seed, "pct"))
        count = min(depth - 1, expected_picks)
        self._change_points = sorted(self._random.sample(range(expected_picks), count), reverse=True)
        self._priorities: dict[int, float] = {}
        self._lowest = 0.0
        self._picks = 0

    def pick(self, keys: Sequence[int]) -> int:
        """Return the ready step of highest priority; at a change point that one first falls below all others."""
        priorities = self._priorities
        for key in keys:
            if key not in priorities:
                priorities[key] = 1.0 + self._random.random()
        index = max(range(len(keys)), key=lambda i: priorities[keys[i]])
        if self._change_points and self._picks >= self._change_points[-1]:
            self._change_points.pop()
            self._lowest -= 1.0
            priorities[keys[index]] = self._lowest
            index = max(range(len(keys)), key=lambda i: priorities[keys[i]])
        self._picks += 1
        return index

    def draw(self, bound: int) -> int:
        """Return any number, each as likely."""
        return self._random.randrange(bound)


class RecordedChoices:
    """Passes another source's answers on and keeps them: ``answers`` replays the run."""

    def __init__(self, source: ChoiceSource) -> None:
        """Wrap ``source``."""
        self._source = source
        self.answers: list[int] = []

    def pick(self, keys: Sequence[int]) -> int:
        """Return and keep the source's pick."""
        self.answers.append(self._source.pick(keys))
        return self.answers[-1]

    def draw(self, bound: int) -> int:
        """Return and keep the source's number."""
        self.answers.append(self._source.draw(bound))
        return self.answers[-1]


class ReplayChoices:
    """Gives recorded answers again; 0 after the last one, so that a shortened recording is a run too."""

    def __init__(self, answers: Sequence[int]) -> None:
        """Keep ``answers``, in the order in which they were given."""
        self._answers = tuple(answers)
        self.used = 0

    def pick(self, keys: Sequence[int]) -> int:
        """Return the next recorded index.

        Raises:
            ReplayError: it is not an index into ``keys``.
        """
        return self._next(len(keys))

    def draw(self, bound: int) -> int:
        """Return the next recorded number; raises as ``pick``."""
        return self._next(bound)

    def _next(self, bound: int) -> int:
        position = self.used
        self.used += 1
        if position >= len(self._answers):
            return 0
        answer = self._answers[position]
        if not 0 <= answer < bound:
            raise ReplayError(
                f"recorded choice {position} is {answer}, the run offers {bound} options",
                hint="the recording was made with other code, another seed or another fault plan",
            )
        return answer


class PrefixChoices:
    """One leaf of a depth-first search: answers a prefix, then 0, and remembers how many options there were."""

    def __init__(self, prefix: Sequence[int] = ()) -> None:
        """Start with the answers of ``prefix``."""
        self._replay = ReplayChoices(prefix)
        self.taken: list[int] = []
        self.bounds: list[int] = []

    def pick(self, keys: Sequence[int]) -> int:
        """Return the prefix's index, then 0."""
        return self.draw(len(keys))

    def draw(self, bound: int) -> int:
        """Return the prefix's number, then 0."""
        answer = self._replay.draw(bound)
        self.taken.append(answer)
        self.bounds.append(bound)
        return answer

    def next_prefix(self, max_depth: int | None = None) -> tuple[int, ...] | None:
        """Return the prefix of the next leaf, looking at the first ``max_depth`` choices only; None when all were visited."""
        for position in reversed(range(min(len(self.taken), len(self.taken) if max_depth is None else max_depth))):
            if self.taken[position] + 1 < self.bounds[position]:
                return (*self.taken[:position], self.taken[position] + 1)
        return None


def depth_first(*, max_depth: int | None = None, max_runs: int | None = None) -> Iterator[PrefixChoices]:
    """Yield one source per run until every combination of the first ``max_depth`` choices was tried.

    Use each source for exactly one run before asking for the next.
    """
    prefix: tuple[int, ...] | None = ()
    runs = 0
    while prefix is not None and (max_runs is None or runs < max_runs):
        source = PrefixChoices(prefix)
        yield source
        runs += 1
        prefix = source.next_prefix(max_depth)
