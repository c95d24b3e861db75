"""Runs a scenario: one simulated machine, switched on as often as the method says, its steps in order, the judgement last.

Every step is a task of its own, as a requestor is a process of its own: it may fail, it may be killed, the method goes on.
What a step raised is its outcome, never the runner's. The run itself fails only by what no step may do: a deadlock, a livelock,
a leak, an exception that nobody took.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from vss.errors import ConfigurationError, NotFoundError, PluginError, VssError
from vss.events import Event, Record
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss.lab.state import seed_of_start
from vss.observe import Recorder
from vss.plugins.hosts import Workload
from vss.plugins.registry import Registry
from vss.ports import NANOSECONDS, Ports
from vss.scenarios.faults import ScenarioFaults, Watch
from vss.scenarios.judgement import LifeEnd, left_of
from vss.scenarios.media import Media
from vss.scenarios.observation import EvidenceLevel, Observation
from vss.scenarios.outcome import Outcome, Shortfall, StepOutcome
from vss.scenarios.power import PowerFailure
from vss.scenarios.scenario import Scenario
from vss.scenarios.stage import Stage
from vss.scenarios.steps import PowerCut, Restart, Step
from vss.scenarios.verdict import RunEnd, outcome_of
from vss.simulation import ChoiceSource, Order, Simulation, SimulationError, SimulationLoop
from vss.simulation.fault_grammar import Fault, parse_duration
from vss.simulation.invariants import EndState
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
    power: PowerFailure | None = None,
    evidence: EvidenceLevel = "full",
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
        power: when power fails in the middle of a step; the machine is on again a minute later.
        evidence: what the invariants are judged by: ``full`` is all there is; ``light`` leaves out stores, shadow copies,
            backup sets and restores, for runs by the hundred thousand. The run is the same.

    Raises:
        NotFoundError: the lab names a kind that is not registered.
        ConfigurationError: a role refuses its options.
    """
    run = _ScenarioRun(scenario, registry, scenario.seed if seed is None else seed, faults, watch, power, evidence)
    return run.run(choices, order, max_steps, max_virtual_s)


class _PowerLost(Exception):
    """The machine is off; nothing of it is shut down."""


class _ScenarioRun:
    """One run. State is in fields, since it outlives the machine's lives."""

    def __init__(
        self,
        scenario: Scenario,
        registry: Registry,
        seed: int,
        faults: Sequence[Fault],
        watch: Watch | None,
        power: PowerFailure | None,
        evidence: EvidenceLevel,
    ) -> None:
        self._scenario = scenario
        self._registry = registry
        self._seed = seed
        self._faults = ScenarioFaults(
            [*scenario.faults, *(("", fault) for fault in faults)], watch if power is None else self._note_visit
        )
        self._watch = watch
        self._power = power
        self._is_off = False
        self._main: asyncio.Task[Any] | None = None
        self._under_way: dict[str, tuple[Step, StepOutcome]] = {}
        cuts = [step for step in scenario.method if isinstance(step, PowerCut)]
        losses = [*(step.survivors for step in cuts), *([] if power is None else [power.survivors])]
        self._recorder = Recorder(lambda: self._now_ns)
        self._observation = Observation(self._records, lambda: self._now_ns, self._faults, evidence)
        self._media = Media(
            may_lose=not all(each.keeps_all for each in losses),
            moment=self._observation.moment if evidence == "full" else None,
        )
        self._observation.watch(self._media.keeper)
        self._outcomes: dict[str, StepOutcome] = {}
        self._shortfalls: list[Shortfall] = []
        self._next = 0
        self._lives = 0
        self._loop: SimulationLoop | None = None
        self._off_at_ns = 0
        self._loop_steps = 0
        self._life_ends: list[LifeEnd] = []
        self._has_booted = False
        self._left: EndState | None = None
        self._killed: list[str] = []
        self._workloads: Mapping[str, Workload] = {}
        self._configuration = scenario.lab
        self._faults.when_died.append(self._killed.append)

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
                files=self._media.files,
                emit=self._emit,
                start_now_ns=self._off_at_ns,
                start_wall_ns=round(self._scenario.lab.machine.start.timestamp()) * NANOSECONDS + self._off_at_ns,
                choices=choices,
                order=order,
                faults=self._faults,
                max_steps=max_steps,
                max_virtual_s=max_virtual_s,
                unjudged="all lives are judged at the end, with what requestors reported",
            )
            self._loop = simulation.loop
            is_ended = False
            self._left = None
            first_record = len(self._recorder.records)
            self._observation.begin_life()
            try:
                simulation.run()
                is_ended = True
            except _PowerLost:
                self._is_off = False
            except SimulationError as error:
                self._fail("run", type(error).__name__, error.message)
                break
            except VssError as error:
                if not self._has_booted and isinstance(error, (NotFoundError, ConfigurationError, PluginError)):
                    raise  # the lab is not one: nothing was tried
                self._fail("run", "machine", f"the machine did not come up or go down in order: {error.message}")
                break
            finally:
                self._off_at_ns = simulation.now_ns
                self._loop_steps += simulation.steps
                self._loop = None
                ends = (first_record, len(self._recorder.records), self._off_at_ns)
                left = self._left if is_ended else None
                seen = self._observation.parts()
                self._life_ends.append(LifeEnd(*ends, simulation.loop.lateness_ns, is_ended, tuple(self._killed), left, seen))
            self._off_at_ns += self._down_ns()
        self._recorder.flush()
        return outcome_of(self._end())

    def _down_ns(self) -> int:
        """How long the machine is off after this life."""
        if self._power is not None and self._power.has_happened and self._main is not None:
            self._main = None
            return round(parse_duration(Restart().down_for) * NANOSECONDS)
        last = self._scenario.method[self._next - 1] if self._next else None
        return last.down_ns if isinstance(last, Restart) else 0

    async def _life(self, ports: Ports) -> None:
        if self._power is None or self._power.has_happened:
            await self._live(ports)
            return
        self._main = asyncio.current_task()
        try:
            await self._live(ports)
        except asyncio.CancelledError:
            if self._is_off:
                raise _PowerLost from None  # the cancellation is how we let ourselves know
            raise
        self._main = None

    async def _live(self, ports: Ports) -> None:
        lab = Lab(self._configuration, ports, self._registry, self._media.keeper)
        self._workloads = lab.workloads
        stage = Stage(lab, self._registry, self._media.files, self._outcomes, self._records, self._killed)
        if self._lives == 1:
            await lab.create()
            self._has_booted = True
            await self._steady_state(lab)
        else:
            await lab.start()
        self._observation.booted(lab)
        while self._next < len(self._scenario.method):
            step = self._scenario.method[self._next]
            self._next += 1
            if not self._is_due(step):
                continue
            if isinstance(step, Restart):
                began = self._begin(step)
                self._configuration = step.reconfigured(self._configuration)
                if isinstance(step, PowerCut):
                    self._cut_power(step, began)
                self._note(step, began, None)
                break
            await self._take(step, stage)
        for name in stage.background:
            await stage.wait_for(name)
        if self._next == len(self._scenario.method) and self._scenario.steady_state.check_at_end:
            self._shortfalls += [Shortfall(kind="check", name="at the end", message=each) for each in await lab.check()]
        self._observation.ended()
        await lab.stop()
        self._left = left_of(lab)

    def _is_due(self, step: Step) -> bool:
        """Whether the steps that decide about this one ended as it wants; a step that is skipped has no outcome."""
        well = [each.step for each in self._outcomes.values() if not each.exit_code and not each.error]
        return all(name in well for name in step.needs) and not (step.unless and all(name in well for name in step.unless))

    def _cut_power(self, step: PowerCut, began: StepOutcome) -> NoReturn:
        assert self._loop is not None
        self._observation.power_failed()
        self._note(step, began, self._media.cut_power(step.survivors, self._workloads) or None)
        self._loop.kill_all_but(asyncio.current_task())
        raise _PowerLost

    def _emit(self, event: Event) -> None:
        if self._is_off:
            return
        self._recorder.emit(event)
        self._observation.noticed(event)

    def _note_visit(self, step: str, site: str, selectors: Mapping[str, str]) -> None:
        if self._watch is not None:
            self._watch(step, site, selectors)
        assert self._power is not None, "visits are noted for it"
        if not self._power.happens_now(step, site, selectors, self._media.unsynced):
            return
        assert self._loop is not None
        assert self._main is not None
        self._observation.power_failed()
        told = self._media.cut_power(self._power.survivors, self._workloads)
        for step_under_way, began in list(self._under_way.values()):
            self._note(step_under_way, began, told or None, error=KILLED, message="power failed", exit_code=ExitCode.UNEXPECTED)
        self._is_off = True
        self._loop.kill_all_but(asyncio.current_task(), self._main)
        self._loop.call_soon(self._go_dark)  # the task that visits runs to its next wait before it stops, too

    def _go_dark(self) -> None:
        assert self._loop is not None
        assert self._main is not None
        self._loop.kill_all_but(self._main)
        self._main.cancel()

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
            await asyncio.wait([task])  # not the task itself: a cancellation must reach us though it was killed
            task.result()

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
        began = StepOutcome(step=step.name, kind=kind, first_record=len(self._recorder.records), began_ns=self._now_ns)
        self._under_way[step.name] = (step, began)
        self._observation.step_began(step, is_alone=len(self._under_way) == 1)
        return began

    async def _act(self, step: Step, stage: Stage, began: StepOutcome) -> None:
        """Let the step run in a task of its own, and note how it ended."""
        loop = self._loop
        assert loop is not None
        token = ACTOR.set("requestor")
        task = loop.create_task(step.run(stage), name=f"step:{step.name}")
        ACTOR.reset(token)
        killed = loop.create_future()
        loop.when_killed(task, lambda: _settle(killed))
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
        if self._is_off:
            return  # what a dead machine still says reaches nobody
        del self._under_way[step.name]
        data = msgspec.to_builtins(result) if result is not None else None
        if "error" not in ending:
            exit_code = int(getattr(result, "exit_code", 0))
        self._outcomes[step.name] = ended = msgspec.structs.replace(
            began,
            data=data,
            exit_code=int(exit_code),
            end_record=len(self._recorder.records),
            ended_ns=self._now_ns,
            **ending,
        )
        self._observation.step_ended(step, ended, self._media.files)

    # -- judgement -------------------------------------------------------------------------------------------------------------

    def _fail(self, kind: str, name: str, message: str) -> None:
        self._shortfalls.append(Shortfall(kind=kind, name=name, message=message))

    def _end(self) -> RunEnd:
        return RunEnd(
            scenario=self._scenario,
            seed=self._seed,
            outcomes=self._outcomes,
            faults=self._faults.report(),
            records=tuple(self._recorder.records),
            lives=self._life_ends,
            shortfalls=self._shortfalls,
            workloads=self._workloads,
            refused=self._observation.refusals.changed,
            power=self._power,
            virtual_ns=self._off_at_ns,
            loop_steps=self._loop_steps,
        )


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
