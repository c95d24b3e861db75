"""Runs a scenario: one simulated machine, switched on as often as the method says, its steps in order, the judgement at the end.

Every step is a task of its own, as a requestor is a process of its own: it may fail, and it may be killed, and the method goes on.
What a step raised is its outcome, never the runner's. The run itself fails only by what no step may do: a deadlock, a livelock,
a leak, an exception that nobody took.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from vss.errors import InvariantError, VssError
from vss.events import Record
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss.lab.state import seed_of_start
from vss.observe import Recorder
from vss.plugins.registry import Registry
from vss.ports import NANOSECONDS, Ports
from vss.scenarios.faults import ScenarioFaults, Watch
from vss.scenarios.keeper import ScenarioKeeper
from vss.scenarios.outcome import ExpectationReport, Outcome, Shortfall, StepOutcome, digest_of
from vss.scenarios.scenario import Scenario
from vss.scenarios.stage import Stage
from vss.scenarios.steps import PowerCut, Restart, Step
from vss.simulation import ChoiceSource, MemoryFiles, Order, Simulation, SimulationError, SimulationLoop
from vss.simulation.fault_grammar import Fault, parse_duration
from vss.simulation.parts import ACTOR

KILLED = "killed"
MAX_VIRTUAL_S = 400 * 86400.0
MAX_STEPS = 5_000_000


def run_scenario(
    scenario: Scenario,
    registry: Registry,
    *,
    seed: int | None = None,
    faults: Sequence[Fault] = (),
    choices: ChoiceSource | None = None,
    order: Order | None = None,
    max_steps: int = MAX_STEPS,
    max_virtual_s: float = MAX_VIRTUAL_S,
    watch: Watch | None = None,
) -> Outcome:
    """Run a scenario once and judge it.

    Args:
        scenario: what to do.
        registry: where the kinds that its lab names come from.
        seed: instead of the scenario's own.
        faults: more faults, beside the scenario's own.
        choices: who decides what ``order`` leaves open.
        order: the order of steps; asyncio's own by default.
        max_steps: bound on steps of each life of the machine.
        max_virtual_s: bound on virtual time.
        watch: told of every visit of a fault site: the step, the site, its selectors.

    Raises:
        NotFoundError: the lab names a kind that is not registered.
        ConfigurationError: a role refuses its options.
    """
    run = _ScenarioRun(scenario, registry, scenario.seed if seed is None else seed, faults, watch)
    return run.run(choices, order, max_steps, max_virtual_s)


class _PowerLost(Exception):
    """The machine is off; nothing of it is shut down."""


class _ScenarioRun:
    """One run. State is in fields, since it outlives the machine's lives."""

    def __init__(self, scenario: Scenario, registry: Registry, seed: int, faults: Sequence[Fault], watch: Watch | None) -> None:
        self._scenario = scenario
        self._registry = registry
        self._seed = seed
        self._faults = ScenarioFaults([*scenario.faults, *(("", fault) for fault in faults)], watch)
        cuts = [step for step in scenario.method if isinstance(step, PowerCut)]
        self._keeper = ScenarioKeeper(knows_unsynced=any(step.unsynced == "lost" for step in cuts))
        self._files = MemoryFiles()
        self._recorder = Recorder(lambda: self._now_ns)
        self._outcomes: dict[str, StepOutcome] = {}
        self._shortfalls: list[Shortfall] = []
        self._next = 0
        self._lives = 0
        self._loop: SimulationLoop | None = None
        self._off_at_ns = 0
        self._loop_steps = 0

    @property
    def _now_ns(self) -> int:
        return self._off_at_ns if self._loop is None else self._loop.now_ns

    def _records(self) -> Sequence[Record]:
        return self._recorder.records

    # -- lives -----------------------------------------------------------------------------------------------------------------

    def run(self, choices: ChoiceSource | None, order: Order | None, max_steps: int, max_virtual_s: float) -> Outcome:
        """Live until the method is done, then judge."""
        method = self._scenario.method
        while self._lives == 0 or self._next < len(method):
            self._lives += 1
            simulation = Simulation(
                self._life,
                seed=seed_of_start(self._seed, self._lives),
                files=self._files,
                emit=self._recorder.emit,
                start_now_ns=self._off_at_ns,
                start_wall_ns=round(self._scenario.lab.machine.start.timestamp()) * NANOSECONDS + self._off_at_ns,
                choices=choices,
                order=order,
                faults=self._faults,
                max_steps=max_steps,
                max_virtual_s=max_virtual_s,
            )
            self._loop = simulation.loop
            try:
                simulation.run()
            except _PowerLost:
                pass
            except SimulationError as error:
                self._fail("run", type(error).__name__, error.message)
                break
            except VssError as error:
                self._fail("run", "machine", f"the machine did not come up or go down in order: {error.message}")
                break
            finally:
                self._off_at_ns = simulation.now_ns
                self._loop_steps += simulation.steps
                self._loop = None
            self._off_at_ns += self._down_ns()
        self._recorder.flush()
        return self._outcome()

    def _down_ns(self) -> int:
        """How long the machine is off after this life."""
        last = self._scenario.method[self._next - 1] if self._next else None
        return last.down_ns if isinstance(last, Restart) else 0

    async def _life(self, ports: Ports) -> None:
        lab = Lab(self._scenario.lab, ports, self._registry, self._keeper)
        stage = Stage(lab, self._registry, self._files, self._outcomes, self._records)
        if self._lives == 1:
            await lab.create()
            await self._steady_state(lab)
        else:
            await lab.start()
        while self._next < len(self._scenario.method):
            step = self._scenario.method[self._next]
            self._next += 1
            if not self._is_due(step):
                continue
            if isinstance(step, Restart):
                self._note(step, self._begin(step), None)
                if isinstance(step, PowerCut):
                    self._cut_power(step)
                break
            await self._take(step, stage)
        for name in stage.background:
            await stage.wait_for(name)
        if self._next == len(self._scenario.method) and self._scenario.steady_state.check_at_end:
            self._shortfalls += [Shortfall(kind="check", name="at the end", message=each) for each in await lab.check()]
        await lab.stop()

    def _is_due(self, step: Step) -> bool:
        """Whether the steps that decide about this one ended as it wants; a step that is skipped has no outcome."""
        well = [each.step for each in self._outcomes.values() if not each.exit_code and not each.error]
        return all(name in well for name in step.needs) and not (step.unless and all(name in well for name in step.unless))

    def _cut_power(self, step: PowerCut) -> None:
        assert self._loop is not None
        self._keeper.cut_power(keeps_unsynced=step.unsynced == "kept")
        current = asyncio.current_task()
        for task in self._loop.tasks():
            if task is not current:
                self._loop.kill(task)
        raise _PowerLost

    async def _steady_state(self, lab: Lab) -> None:
        if self._scenario.steady_state.run_for:
            await lab.run_for(parse_duration(self._scenario.steady_state.run_for))
        self._shortfalls += [Shortfall(kind="check", name="steady state", message=each) for each in await lab.check()]

    # -- steps -----------------------------------------------------------------------------------------------------------------

    async def _take(self, step: Step, stage: Stage) -> None:
        """Take one step, in the foreground or in the background."""
        task = asyncio.get_running_loop().create_task(self._carry_out(step, stage), name=f"method:{step.name}")
        if step.background:
            stage.background[step.name] = task
        else:
            await task

    async def _carry_out(self, step: Step, stage: Stage) -> None:
        began = self._begin(step)
        try:
            if step.under_load:
                async with stage.lab.under_load():
                    await self._act(step, stage, began)
            else:
                await self._act(step, stage, began)
        finally:
            self._faults.leave(step.name)

    def _begin(self, step: Step) -> StepOutcome:
        self._faults.enter(step.name)
        kind = str(step.__struct_config__.tag)
        return StepOutcome(step=step.name, kind=kind, first_record=len(self._recorder.records), began_ns=self._now_ns)

    async def _act(self, step: Step, stage: Stage, began: StepOutcome) -> None:
        """Let the step run in a task of its own, and note how it ended."""
        loop = self._loop
        assert loop is not None
        token = ACTOR.set("requestor")
        task = loop.create_task(step.run(stage), name=f"step:{step.name}")
        ACTOR.reset(token)
        killed = loop.create_future()
        loop.when_killed(task, lambda: killed.done() or killed.set_result(None))
        await asyncio.wait([task, killed], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await stage.lab.coordinator.requestor_killed(task)
            self._note(step, began, None, error=KILLED, message="its requestor died", exit_code=ExitCode.UNEXPECTED)
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._note(step, began, task.result())
        elif isinstance(error, VssError):
            self._note_error(step, began, error)
        else:
            where = traceback.extract_tb(error.__traceback__)
            place = f" in {where[-1].name}" if where else ""
            self._note(step, began, None, error=type(error).__name__, message=f"{error}{place}", exit_code=ExitCode.UNEXPECTED)

    def _note_error(self, step: Step, began: StepOutcome, error: VssError) -> None:
        self._note(
            step,
            began,
            {"hint": error.hint, "notes": list(getattr(error, "__notes__", []))},
            error=type(error).__name__,
            message=error.message,
            hresult=str(error.hresult),
            exit_code=error.exit_code,
        )

    def _note(self, step: Step, began: StepOutcome, result: Any, *, exit_code: int = 0, **ending: Any) -> None:
        data = msgspec.to_builtins(result) if result is not None else None
        if "error" not in ending:
            exit_code = int(getattr(result, "exit_code", 0))
        self._outcomes[step.name] = msgspec.structs.replace(
            began,
            data=data,
            exit_code=int(exit_code),
            end_record=len(self._recorder.records),
            ended_ns=self._now_ns,
            **ending,
        )

    # -- judgement -------------------------------------------------------------------------------------------------------------

    def _fail(self, kind: str, name: str, message: str, records: tuple[int, ...] = ()) -> None:
        self._shortfalls.append(Shortfall(kind=kind, name=name, message=message, records=records))

    def _outcome(self) -> Outcome:
        self._judge_steps()
        expected = tuple(self._judge_expectations())
        reports = self._faults.report()
        if not self._scenario.lets_faults_rest:
            for report in reports[: len(self._scenario.faults)]:
                if not report.strikes:
                    self._fail("expectation", "faults", f"'{report.fault}' never struck")
        records = tuple(self._recorder.records)
        return Outcome(
            title=self._scenario.title,
            seed=self._seed,
            steps=tuple(self._outcomes.values()),
            faults=reports,
            shortfalls=tuple(self._shortfalls),
            not_judged=(),
            records=records,
            virtual_ns=self._off_at_ns,
            loop_steps=self._loop_steps,
            digest=digest_of(records),
            expected=expected,
        )

    def _judge_steps(self) -> None:
        spoken_of = [each.step for each in self._scenario.expect if each.is_about_ending]
        for outcome in self._outcomes.values():
            if outcome.step not in spoken_of and (outcome.exit_code or outcome.error):
                message = f"step '{outcome.step}' ended with exit code {outcome.exit_code}{outcome.told}, expected 0"
                kind = "check" if outcome.error == InvariantError.__name__ else "expectation"
                self._fail(kind, outcome.step, message, _last_record_of(outcome))

    def _judge_expectations(self) -> Iterator[ExpectationReport]:
        for expectation in self._scenario.expect:
            wrong = expectation.shortfalls(self._outcomes, self._recorder.records)
            because = f" ({expectation.because})" if expectation.because else ""
            for message in wrong:
                outcome = self._outcomes.get(expectation.step)
                records = () if outcome is None else _last_record_of(outcome)
                self._fail("expectation", expectation.step or expectation.event, message + because, records)
            yield ExpectationReport(text=str(expectation), because=expectation.because, shortfalls=tuple(wrong))


def _last_record_of(outcome: StepOutcome) -> tuple[int, ...]:
    """The last record of a step; nothing where it recorded none."""
    return (outcome.end_record - 1,) if outcome.end_record > outcome.first_record else ()
