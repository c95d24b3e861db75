"""One trial: a scenario with a plan and a schedule, run and judged. All of it is data, so that it can be done anywhere.

Beside the invariants a trial is judged by the clean run: a fault may spoil the step that it strikes, and the steps that build
on a step that failed; every other step must end as it does without the fault, and what a backup that reported success gives
back must be what was there. That is not asked of a plan that never heals (a role that stays dead), nor of silent faults of the
live volumes' own media, which no backup can undo.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence

import msgspec

from vss.errors import ConfigurationError, VssError
from vss.events import FaultFired
from vss.exploration.coverage import cells_of
from vss.exploration.points import clean_run, parsed
from vss.exploration.schedules import checked_order, choice_source
from vss.nearest import nearest
from vss.plugins.registry import Registry
from vss.scenarios import Outcome, Scenario, StepOutcome, run_scenario
from vss.scenarios.observation import EvidenceLevel
from vss.scenarios.power import DURING, PowerFailure
from vss.scenarios.steps import PowerCut
from vss.simulation import ChoiceSource, Order, RecordedChoices
from vss.simulation.fault_grammar import Fault, parse_fault
from vss.simulation.fault_words import EFFECT_WORDS, Visibility

REBOOT = "reboot"
MAX_STEPS = 400_000
MAX_VIRTUAL_S = 30 * 86400.0
_STILL_IN_A_BACKUP = ("a backup or recovery is running already", "is being backed up already")
"""What a store says that waits for the end of another backup."""
_LEFT_BY_THE_DEAD = ("run machine", "invariant S8", "invariant C6")
"""A service that stays dead cannot be shut down in order, and what it held stays: a provider's unfinished copies, too."""
_CONTENT_OF_MEDIA = ("C1", "C2", "C7", "C10", "B6")
"""What a disk that damages bytes and says nothing makes untrue by itself, below everybody."""
_DAMAGE = ("torn", "lose", "misdirect", "short", "flip", "partial", "corrupt", "stale", "lie", "drop", "fsyncgate")
_LIVE_MEDIA = ("volume", "store", "diffarea", "page", "log", "checkpoint")
KILLED = "killed"
_PROCESSES = ("writer", "provider", "service")
_REFERENCES = ("of", "previous", "set", "step")


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What to run.

    Attributes:
        seed: of every random stream.
        faults: step ("" for the whole run) and line of each.
        order: "fifo", "jitter" or "any".
        choices: as ``vss.exploration.schedules`` reads it.
        reboot_after: the step after which the machine loses power for a minute; "" for none.
        power_fails: where power fails, as ``vss.scenarios.power`` reads it; "" for nowhere.
    """

    seed: int = 1
    faults: tuple[tuple[str, str], ...] = ()
    order: str = Order.FIFO.value
    choices: str = ""
    reboot_after: str = ""
    power_fails: str = ""


class Violation(msgspec.Struct, frozen=True):
    """One thing that must never be.

    Attributes:
        kind: "invariant", "run" (it did not end), "recovery" (after the fault), "content" (what is there at the end).
        name: the invariant's id, the step, or the error's class.
        message: one sentence.
    """

    kind: str
    name: str
    message: str

    @property
    def key(self) -> str:
        """What makes two of them the same finding."""
        return f"{self.kind} {self.name}"


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a trial; the same bytes for the same trial and code.

    Attributes:
        violations: what must never be.
        outcome: "violated", "reported" (a struck step says so), "absorbed" (nobody notices), "not struck".
        endings: exit code of each step, -1 for a requestor that died.
        strikes: of each fault.
        visits: of the place of each fault, while the fault was in force.
        picks: how many choices the schedule offered.
        answers: those taken, where asked for: a violation's only.
        cells: what was reached.
        virtual_ns: length of the run.
        digest: of its records.
        is_known: it was not run: the trial before it is the same run.
    """

    violations: tuple[Violation, ...] = ()
    outcome: str
    endings: tuple[tuple[str, int], ...] = ()
    strikes: tuple[int, ...] = ()
    visits: tuple[int, ...] = ()
    picks: int = 0
    answers: tuple[int, ...] = ()
    cells: tuple[str, ...] = ()
    virtual_ns: int = 0
    digest: str = ""
    is_known: bool = False


class Explorer:
    """Does trials on one scenario. Knows how the clean run ends, by seed."""

    def __init__(self, scenario: Scenario, registry: Registry, *, evidence: EvidenceLevel = "full") -> None:
        """Take the scenario, and what its runs are judged by; nothing runs yet."""
        self.scenario = scenario
        self._registry = registry
        self._evidence: EvidenceLevel = evidence
        self._clean: dict[int, dict[str, int]] = {}
        self._step_names = [step.name for step in scenario.method]

    def clean_endings(self, seed: int) -> Mapping[str, int]:
        """Return how each step ends without faults. Raises ``ConfigurationError`` where that is not clean."""
        if seed not in self._clean:
            outcome, _ = clean_run(self.scenario, self._registry, seed=seed)
            self._clean[seed] = dict(_endings(outcome))
        return self._clean[seed]

    def outcome(self, trial: Trial, choices: ChoiceSource | None = None) -> Outcome:
        """Run a trial and return all of it. Raises what ``run_scenario`` raises, and ``ConfigurationError`` for a bad plan."""
        return run_scenario(
            scenario_of(self.scenario, trial),
            self._registry,
            seed=trial.seed,
            choices=_source(trial) if choices is None else choices,
            order=Order(trial.order),
            max_steps=MAX_STEPS,
            max_virtual_s=MAX_VIRTUAL_S,
            power=PowerFailure.parse(trial.power_fails, self._step_names) if trial.power_fails else None,
            evidence=self._evidence,
        )

    def run(self, trial: Trial, *, with_cells: bool = True) -> TrialResult:
        """Run a trial and judge it; whatever goes wrong with the run itself is a violation."""
        clean = self.clean_endings(self.scenario.seed)
        source = _source(trial)
        recorded = None if source is None else RecordedChoices(source)
        try:
            outcome = self.outcome(trial, recorded)
        except VssError as error:
            return _broken(error, error.message)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a run that ends by any exception is what a trial looks for
            return _broken(error, str(error))
        violations = tuple(judge(scenario_of(self.scenario, trial), clean, outcome))
        reports = outcome.faults[len(self.scenario.faults) :]
        strikes = tuple(each.strikes for each in reports)
        endings = _endings(outcome)
        has_failed = any(step.error == KILLED for step in outcome.steps)
        if violations:
            word = "violated"
        elif not any(strikes) and not (trial.power_fails and has_failed):
            word = "not struck"
        else:
            word = "absorbed" if all(clean.get(step, 0) == code for step, code in endings) else "reported"
        return TrialResult(
            violations=violations,
            outcome=word,
            endings=endings,
            strikes=strikes,
            visits=tuple(each.visits for each in reports),
            picks=0 if recorded is None else len(recorded.answers),
            answers=tuple(recorded.answers) if recorded is not None and violations else (),
            cells=cells_of(outcome, word) if with_cells else (),
            virtual_ns=outcome.virtual_ns,
            digest=outcome.digest,
        )


def scenario_of(scenario: Scenario, trial: Trial) -> Scenario:
    """Return the scenario with the trial's faults, and its restart of the machine, in it."""
    method = list(scenario.method)
    if trial.reboot_after:
        place = next(index for index, step in enumerate(method) if step.name == trial.reboot_after)
        method.insert(place + 1, PowerCut(name=REBOOT, unsynced="kept"))
    if not trial.faults and not trial.reboot_after:
        return scenario
    return msgspec.structs.replace(
        scenario, method=tuple(method), faults=(*scenario.faults, *parsed(trial.faults)), lets_faults_rest=True
    )


def trial_of(
    scenario: Scenario,
    *,
    seed: int,
    faults: Sequence[str],
    order: str,
    choices: str,
    reboot_after: str,
    power_fails: str = "",
) -> Trial:
    """Return the trial that the words of a command line describe; a fault may begin with ``during=STEP``.

    Raises:
        ConfigurationError: a word means nothing, or names no step.
    """
    checked_order(order, choices)
    names = [step.name for step in scenario.method]
    split: list[tuple[str, str]] = []
    for each in faults:
        first, _, rest = each.strip().partition(" ")
        during = first.removeprefix(DURING) if first.startswith(DURING) else ""
        split.append((during, str(parse_fault(rest if during else each))))
    for name in (*(during for during, _ in split), reboot_after):
        if name and name not in names:
            raise ConfigurationError(f"{scenario.source}: no step is called '{name}'{nearest(name, names)}")
    if power_fails:
        PowerFailure.parse(power_fails, names)
    return Trial(
        seed=seed, faults=tuple(split), order=order, choices=choices, reboot_after=reboot_after, power_fails=power_fails
    )


def replay_command(trial: Trial, scenario: str) -> str:
    """Return the command that runs a trial on the scenario file ``scenario``, ready for a shell."""
    words = ["vss", "run", scenario, "--seed", str(trial.seed)]
    for during, line in trial.faults:
        text = line.removeprefix("fault ")
        words += ["--fault", f"during={during} {text}" if during else text]
    if trial.order != Order.FIFO.value:
        words += ["--order", trial.order]
    if trial.choices:
        words += ["--choices", trial.choices]
    if trial.power_fails:
        words += ["--power-fails", trial.power_fails]
    if trial.reboot_after:
        words += ["--reboot-after", trial.reboot_after]
    return shlex.join(words)


def _source(trial: Trial) -> ChoiceSource | None:
    return choice_source(trial.order, trial.choices, trial.seed)


# -- judgement -----------------------------------------------------------------------------------------------------------------


def judge(scenario: Scenario, clean: Mapping[str, int], outcome: Outcome) -> list[Violation]:
    """Return what is not as it must be in a run with faults.

    Args:
        scenario: with the faults in it.
        clean: how each step ends without them.
        outcome: the run.
    """
    struck = [fault for (_, fault), report in zip(scenario.faults, outcome.faults, strict=True) if report.strikes]
    untrue = [name for fault in struck for name in _untrue_by(fault)]
    found = [Violation(each.kind, each.name, each.message) for each in outcome.violations() if each.name not in untrue]
    if not _is_healed(struck, outcome) or any(_is_beyond_repair(fault) for fault in struck):
        return [each for each in found if each.key not in _LEFT_BY_THE_DEAD]
    excused = _excused(scenario, outcome)
    if any(EFFECT_WORDS[fault.effect].visibility is Visibility.SILENT for fault in struck):
        excused += [step.step for step in outcome.steps if step.kind == "verify"]  # that is what it is for
        excused += _users_of_damaged_sets(scenario, outcome)
    for step in outcome.steps:
        expected = clean.get(step.step, 0)
        if step.step not in excused and _ending(step) != expected and not _was_left_waiting(struck, step):
            kind = "content" if step.kind == "check" else "recovery"
            found.append(
                Violation(
                    kind, step.step, f"ended with exit code {_ending(step)}{step.told}, expected {expected} as without faults"
                )
            )
    restores = [step for step in outcome.steps if step.kind == "restore"]
    if not restores or not _ending(restores[-1]):
        found += [
            Violation("content", each.name, each.message)
            for each in outcome.shortfalls
            if each.kind == "check" and each.name not in clean
        ]
    return found


def _is_healed(struck: Sequence[Fault], outcome: Outcome) -> bool:
    """Whether whoever died is back, or was the requestor, which nobody needs any more."""
    deaths = [fault for fault in struck if fault.effect == "crash" and not fault.parameter("restart")]
    if not deaths or any(step.step == REBOOT for step in outcome.steps):
        return True
    has_requestor_died = any(step.error == KILLED for step in outcome.steps)
    return has_requestor_died and len(deaths) == 1 and _role(deaths[0]) not in _PROCESSES


def _was_left_waiting(struck: Sequence[Fault], step: StepOutcome) -> bool:
    """Whether a step was refused because a writer did not hear that a backup which failed for another reason is over: it waits
    for its end until its service is started anew, as in the field."""
    is_unheard = len(struck) > 1 and any(fault.site == "writer.backup_shutdown" for fault in struck)
    return is_unheard and any(text in step.told for text in _STILL_IN_A_BACKUP)


def _is_beyond_repair(fault: Fault) -> bool:
    """Whether it spoils what is on the live volumes, which no backup can undo."""
    return _role(fault) in _LIVE_MEDIA and fault.effect in _DAMAGE


def _untrue_by(fault: Fault) -> tuple[str, ...]:
    """Return the invariants that a fault itself makes untrue: an event that comes twice or not at all was injected so."""
    if fault.effect == "duplicate" and _role(fault) == "writer":
        return ("F8", "R8")
    if fault.effect in ("lie", "drop") and _role(fault) == "writer":
        return ("R8", "S3", "S6") if fault.site == "writer.backup_shutdown" else ("R8",)
    if fault.effect == "lie" and fault.site == "provider.query":
        return ("C6",)  # what it says that it has is what it is compared with
    return _CONTENT_OF_MEDIA if _is_beyond_repair(fault) else ()


def _role(fault: Fault) -> str:
    return fault.site.partition(".")[0]


def _excused(scenario: Scenario, outcome: Outcome) -> list[str]:
    """Return the steps that may end otherwise: those that were struck, and those that build on one that failed."""
    during = [report.during for report in outcome.faults if report.strikes]
    during += [step.step for step in outcome.steps if step.error == KILLED]
    excused = [
        step.step
        for step in outcome.steps
        if step.step in during or any(isinstance(each.event, FaultFired) for each in step.records_of(outcome.records))
    ]
    failed = [step.step for step in outcome.steps if step.step in excused and _ending(step)]
    for step in scenario.method:
        if step.name not in excused and any(name in failed for name in _referenced(step)):
            excused.append(step.name)
            failed.append(step.name)
    return excused


def _users_of_damaged_sets(scenario: Scenario, outcome: Outcome) -> list[str]:
    """Return the steps that need a backup set which was damaged unseen: it is for good, and they must refuse it."""
    damaging = [
        during
        for (during, fault), report in zip(scenario.faults, outcome.faults, strict=True)
        if report.strikes and _role(fault) == "set" and EFFECT_WORDS[fault.effect].visibility is Visibility.SILENT
    ]
    return [step.name for step in scenario.method if any(name in damaging for name in _referenced(step))]


def _referenced(step: object) -> list[str]:
    names: list[str] = []
    for key in _REFERENCES:
        value = getattr(step, key, "")
        names += [value] if isinstance(value, str) else list(value)
    return names


def _ending(step: StepOutcome) -> int:
    return -1 if step.error == KILLED else step.exit_code


def _endings(outcome: Outcome) -> tuple[tuple[str, int], ...]:
    return tuple((step.step, _ending(step)) for step in outcome.steps)


def _broken(error: BaseException, message: str) -> TrialResult:
    return TrialResult(violations=(Violation("run", type(error).__name__, message),), outcome="violated")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of violation.

    Attributes:
        violation: as the first run showed it.
        trial: that run.
        runs: how many showed it.
    """

    violation: Violation
    trial: Trial
    runs: int


def note_findings(findings: dict[str, Finding], trial: Trial, result: TrialResult) -> None:
    """Count what a result shows, by ``Violation.key``."""
    for violation in {each.key: each for each in reversed(result.violations)}.values():
        known = findings.get(violation.key)
        findings[violation.key] = (
            Finding(violation=violation, trial=trial, runs=1)
            if known is None
            else msgspec.structs.replace(known, runs=known.runs + 1)
        )
