"""Shrinking: from a run that breaks something to the smallest plan and schedule that break the same thing.

A candidate counts when the same violation comes (kind and name), whatever its words. Order of attempts: no schedule at all,
fewer faults, each fault once instead of often and at a fixed visit instead of by chance, a simpler effect (an error before a
crash before a silence), no restart of the machine, a plainer failure of power; then the schedule: the tail cut off, spans set
to zero, single numbers lowered. Each attempt is one run, and their number is bounded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import msgspec

from vss.errors import BadStateError
from vss.exploration.schedules import schedule_text
from vss.exploration.trials import Explorer, Trial, TrialResult, Violation
from vss.scenarios.power import UNSYNCED
from vss.simulation import Order
from vss.simulation.fault_grammar import Fault, parse_fault
from vss.simulation.fault_sites import effects_at
from vss.simulation.survivors import Survivors

MAX_RUNS = 600
MAX_NTH = 8
SIMPLER = ("fail", "crash=before", "hang")


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest that was found.

    Attributes:
        trial: plan and schedule.
        violation: what it breaks.
        runs: attempts made.
        deviations: choices of the schedule that are not asyncio's own.
    """

    trial: Trial
    violation: Violation
    runs: int
    deviations: int


def shrink(explorer: Explorer, trial: Trial, *, key: str = "", max_runs: int = MAX_RUNS) -> Shrunk:
    """Shrink a trial.

    Args:
        explorer: who runs the attempts.
        trial: that breaks something.
        key: ``Violation.key`` of what must stay broken; the first violation by default.
        max_runs: bound on attempts.

    Raises:
        BadStateError: the trial breaks nothing, or not that.
    """
    return _Shrinker(explorer, trial, key, max_runs).shrunk()


class _Shrinker:
    """One shrinking: the best trial so far, and how many attempts are left."""

    def __init__(self, explorer: Explorer, trial: Trial, key: str, max_runs: int) -> None:
        self._explorer = explorer
        self._left = max_runs
        self._runs = 0
        result = self._result(trial)
        broken = [each for each in result.violations if key in ("", each.key)]
        if not broken:
            raise BadStateError(f"the run to be shrunk breaks nothing{f' called {key!r}' if key else ''}")
        self._violation = broken[0]
        self._best = self._with_answers(trial, result)

    def shrunk(self) -> Shrunk:
        self._try(msgspec.structs.replace(self._best, order=Order.FIFO.value, choices=""))
        self._drop_faults()
        for index in range(len(self._best.faults)):
            self._simplify(index)
        self._try(msgspec.structs.replace(self._best, reboot_after=""))
        self._simplify_power()
        if self._best.order != Order.FIFO.value:
            self._shrink_schedule()
        deviations = sum(1 for each in self._answers() if each)
        return Shrunk(trial=self._best, violation=self._violation, runs=self._runs, deviations=deviations)

    # -- attempts --------------------------------------------------------------------------------------------------------------

    def _result(self, trial: Trial) -> TrialResult:
        self._left -= 1
        self._runs += 1
        return self._explorer.run(trial, with_cells=False)

    def _try(self, trial: Trial) -> bool:
        """Run a candidate; keep it and return True where the same thing breaks."""
        if self._left <= 0 or trial == self._best:
            return False
        result = self._result(trial)
        found = next((each for each in result.violations if each.key == self._violation.key), None)
        if found is None:
            return False
        self._violation = found
        self._best = self._with_answers(trial, result)
        return True

    def _with_answers(self, trial: Trial, result: TrialResult) -> Trial:
        """A schedule is kept as the answers that were given; a run that did not end well enough to tell keeps its text."""
        if trial.order == Order.FIFO.value or not result.answers:
            return trial
        return msgspec.structs.replace(trial, choices=schedule_text(result.answers))

    # -- faults ----------------------------------------------------------------------------------------------------------------

    def _drop_faults(self) -> None:
        size = max(1, len(self._best.faults) // 2)
        while True:
            start = 0
            while start < len(self._best.faults):
                faults = self._best.faults[:start] + self._best.faults[start + size :]
                if not self._try(msgspec.structs.replace(self._best, faults=faults)):
                    start += size
            if size == 1:
                return
            size = max(1, size // 2)

    def _simplify(self, index: int) -> None:
        self._try_fault(index, self._simpler_counts)
        self._try_fault(index, self._simpler_effects)

    def _try_fault(self, index: int, candidates: Callable[[Fault], Iterator[str]]) -> None:
        """Put the first candidate that still breaks the same thing in the place of a fault."""
        during, line = self._best.faults[index]
        for text in candidates(parse_fault(line)):
            faults = (*self._best.faults[:index], (during, text), *self._best.faults[index + 1 :])
            if self._try(msgspec.structs.replace(self._best, faults=faults)):
                return

    def _simplify_power(self) -> None:
        """Let power fail in a plainer way: nothing or everything survives, nothing is torn, fewer effects are named."""
        while any(self._try(msgspec.structs.replace(self._best, power_fails=each)) for each in _plainer(self._best)):
            pass

    def _simpler_counts(self, fault: Fault) -> Iterator[str]:
        if fault.times == 1 and fault.probability >= 1.0:
            return
        when = [(key, value) for key, value in fault.when if key != "nth"]
        for nth in range(1, MAX_NTH + 1):
            yield _line(fault, (*when, ("nth", str(nth))), fault.effect_text)
        if fault.probability < 1.0:
            yield str(_replaced(fault, probability=1.0))

    def _simpler_effects(self, fault: Fault) -> Iterator[str]:
        possible = effects_at(fault.site)
        for text in SIMPLER:
            word = text.partition("=")[0]
            if fault.effect == word:
                return
            if word in possible:
                yield _line(fault, fault.when, text)

    # -- schedule --------------------------------------------------------------------------------------------------------------

    def _answers(self) -> list[int]:
        text = self._best.choices
        return [int(each) for each in text.split(",")] if text[:1].isdigit() else []

    def _try_answers(self, answers: list[int]) -> bool:
        return self._try(msgspec.structs.replace(self._best, choices=schedule_text(answers)))

    def _shrink_schedule(self) -> None:
        low, high = 0, len(self._answers())
        while low < high and self._left > 0:  # the shortest head that suffices, by halving
            middle = (low + high) // 2
            if self._try_answers(self._answers()[:middle]):
                high = min(middle, len(self._answers()))
            else:
                low = middle + 1
        size = max(1, len(self._answers()) // 2)
        while self._left > 0:
            start = 0
            while start < len(self._answers()):
                answers = self._answers()
                if any(answers[start : start + size]):
                    self._try_answers([*answers[:start], *[0] * len(answers[start : start + size]), *answers[start + size :]])
                start += size
            if size == 1:
                break
            size //= 2
        for position in range(len(self._answers())):
            answers = self._answers()
            if position < len(answers) and answers[position] > 1:
                self._try_answers([*answers[:position], 1, *answers[position + 1 :]])


def _plainer(trial: Trial) -> Iterator[str]:
    """Yield the place of the trial's failure of power with each form that is plainer than the one it has."""
    place, has_form, text = trial.power_fails.rpartition(UNSYNCED)
    if not has_form or text == "lost":
        return
    form = Survivors.parse(text)
    plainer = [Survivors("lost"), Survivors("kept")] if str(form) != "kept" else [Survivors("lost")]
    if form.torn:
        plainer.append(dataclasses.replace(form, torn=""))
    if form.way in ("only", "without") and len(form.numbers) > 1:
        plainer += [
            dataclasses.replace(form, numbers=tuple(other for other in form.numbers if other != each)) for each in form.numbers
        ]
    yield from (f"{place}{UNSYNCED}{each}" for each in plainer)


def _line(fault: Fault, when: tuple[tuple[str, str], ...], effect: str) -> str:
    """A fault as a line: at the visits of ``when``, once."""
    head = _replaced(fault, when=when, times=1, probability=1.0)
    return str(head).removesuffix(head.effect_text) + effect


def _replaced(fault: Fault, **changes: object) -> Fault:
    return dataclasses.replace(fault, **changes)  # type: ignore[arg-type]
