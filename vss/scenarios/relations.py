"""Statements that one look cannot prove: what several steps of a run show together, put to the proof as trials.

A scenario's own steps are the proof: a backup after the faults (R2), the same thing tried again (R3), a check after a power cut
(D2) or after a restore (B7, D10), what an operator's mistake left (B10). Nothing is run for it. A trial is only made where the
run says something: what an expectation speaks of, and what comes after damage to a medium, proves nothing against the code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from vss.events import FaultFired, FreezeWindowOpened, LogsTruncated, PhaseEntered, Record, SessionStarted
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.scenarios.outcome import StepOutcome
from vss.simulation.fault_site_kinds import Passage
from vss.simulation.fault_sites import SITE_BY_NAME
from vss.simulation.invariants import Trial

TRIES = 3
_HARMLESS = ("sleep", "wait", "work", "status", "facts", "files", "session", "backup", "verify", "restart", "power_cut")
"""Steps that change nothing of what an application must find again."""
_HEALING = ("fail", "fail-after", "delay", "hang", "late", "stall", "raise")
"""Effects that are over when the fault is."""


class Relations:
    """The trials of one run.

    Args:
        steps: in order.
        records: of the whole run.
        spoken_of: steps of whose ending an expectation speaks.
        cuts: how many records there were at each power cut.
        durable: workloads that must find what was acknowledged to them after a power cut.
        refused: what changed on the machine around each step that was refused.
    """

    def __init__(
        self,
        steps: Sequence[StepOutcome],
        records: Sequence[Record],
        *,
        spoken_of: Collection[str],
        cuts: Sequence[int],
        durable: Collection[str],
        refused: Mapping[str, Sequence[str]],
    ) -> None:
        """Look for the faults first."""
        self._steps = steps
        self._records = records
        self._spoken_of = spoken_of
        self._cuts = cuts
        self._durable = durable
        self._refused = refused
        self._fired = [(number, each.event) for number, each in enumerate(records) if isinstance(each.event, FaultFired)]
        self._is_spoilt = any(_is_medium(event.site) for _, event in self._fired)

    def trials(self) -> Iterator[Trial]:
        """Yield everything that the run proves, or disproves."""
        yield from self._fresh_backups()
        yield from self._retries()
        yield from self._after_power_cuts()
        yield from self._after_restores()
        yield from self._mistakes()

    def _is_struck(self, step: StepOutcome) -> bool:
        return any(step.first_record <= number < step.end_record for number, _ in self._fired)

    # -- trying again ----------------------------------------------------------------------------------------------------------

    def _fresh_backups(self) -> Iterator[Trial]:
        """R2: of the backups after the last strike of a fault."""
        if not self._fired:
            return
        tries = [
            each
            for each in self._steps
            if each.kind == "backup" and each.first_record > self._fired[-1][0] and each.step not in self._spoken_of
        ][:TRIES]
        if any(_is_good(each) for each in tries):
            yield Trial("R2", f"step '{tries[0].step}'")
        elif len(tries) == TRIES and self._is_healed(tries[0]):
            said = "; ".join(f"exit code {each.exit_code}{each.told}" for each in tries)
            yield Trial("R2", f"step '{tries[0].step}'", (f"{TRIES} backups failed after the faults had stopped: {said}",))

    def _retries(self) -> Iterator[Trial]:
        """R3: of steps that failed by an error with a code."""
        for place, failed in enumerate(self._steps):
            code = HResult.__members__.get(failed.hresult.partition(" ")[0])
            if code is None or failed.kind not in ("backup", "restore"):
                continue
            name = f"step '{failed.step}'"
            if not code.is_retryable:
                if not self._is_alone(failed):
                    continue
                told = [type(each.event) for each in failed.records_of(self._records)]
                tried = max(told.count(SessionStarted), told.count(FreezeWindowOpened), 1) - 1
                problems = (f"{code.name} is not retryable, and it was tried again {tried} times",) if tried else ()
                yield Trial("R3", name, problems)
                continue
            again = next((each for each in self._steps[place + 1 :] if each.kind == failed.kind), None)
            if again is None or again.step in self._spoken_of or not self._is_healed(again):
                continue
            problems = (f"{code.name} is retryable, its cause is gone, and step '{again.step}' failed{again.told}",)
            yield Trial("R3", name, () if _is_good(again) else problems)

    def _is_alone(self, step: StepOutcome) -> bool:
        others = [each for each in self._steps if each is not step]
        return not any(each.first_record < step.end_record and step.first_record < each.end_record for each in others)

    def _is_healed(self, step: StepOutcome) -> bool:
        if self._is_spoilt or not self._fired or self._fired[-1][0] >= step.first_record:
            return False
        return all(event.effect.partition(" ")[0].partition("=")[0] in _HEALING for _, event in self._fired)

    # -- what was acknowledged -------------------------------------------------------------------------------------------------

    def _after_power_cuts(self) -> Iterator[Trial]:
        """D2: of the first check after a power cut, where nothing was done before it that could change the answer."""
        for cut in self._cuts:
            check = _first_check(each for each in self._steps if each.first_record >= cut)
            if check is not None:
                yield from self._compared("D2", "after a power cut", check)

    def _after_restores(self) -> Iterator[Trial]:
        """B7, and where logs had been truncated before the restore D10, too: of the first check after a restore."""
        for place, restore in enumerate(self._steps):
            if restore.kind != "restore" or not self._should_be_whole(restore):
                continue
            check = _first_check(self._steps[place + 1 :])
            if check is None:
                continue
            yield from self._compared("B7", f"after step '{restore.step}'", check)
            before = self._records[: restore.first_record]
            if any(isinstance(each.event, LogsTruncated) and each.event.removed_count for each in before):
                yield from self._compared("D10", f"after step '{restore.step}'", check)

    def _should_be_whole(self, restore: StepOutcome) -> bool:
        """Whether it said it was done, be it with warnings that nobody foresaw."""
        is_foreseen = restore.step in self._spoken_of or self._is_struck(restore)
        return not restore.error and not (restore.exit_code and is_foreseen)

    def _compared(self, invariant_id: str, name: str, check: StepOutcome) -> Iterator[Trial]:
        if not self._durable:
            return
        wrong = tuple(each for each in check.message.split("; ") if each.partition(":")[0] in self._durable)
        if not wrong or not (self._is_spoilt or check.step in self._spoken_of):
            yield Trial(invariant_id, name, wrong)

    # -- mistakes --------------------------------------------------------------------------------------------------------------

    def _mistakes(self) -> Iterator[Trial]:
        """B10: of steps that were refused although no fault struck."""
        for each in self._steps:
            if each.step not in self._refused or self._is_struck(each):
                continue
            if any(isinstance(record.event, PhaseEntered) and record.event.phase == "restore" for record in self._of(each)):
                continue  # it had begun to write: whether it left a mixture is B9
            named = () if each.message else ("the refusal says nothing",)
            typed = () if each.hresult else (f"was answered by {each.error}: {each.message}",)
            changed = tuple(f"{what} is another although it was refused" for what in self._refused[each.step])
            yield Trial("B10", f"step '{each.step}'", named + typed + changed)

    def _of(self, step: StepOutcome) -> Sequence[Record]:
        return step.records_of(self._records)


def _is_good(step: StepOutcome) -> bool:
    return not step.error and step.exit_code in (ExitCode.OK, ExitCode.WARNINGS)


def _first_check(steps: Iterable[StepOutcome]) -> StepOutcome | None:
    """Return the first check, where nothing comes before it that may change its answer."""
    found = next((each for each in steps if each.kind not in _HARMLESS), None)
    return found if found is not None and found.kind == "check" else None


def _is_medium(site: str) -> bool:
    known = SITE_BY_NAME.get(site)
    return known is None or known.passage in (Passage.AWAITED_IO, Passage.IO, Passage.WORLD)
