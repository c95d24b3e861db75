"""Simulated runs for tests, without any test framework: run a story or a scenario, look at what came of it.

    run = Simulator().run(story, faults="writer.freeze hang", seed=7)
    assert not run.ok and run.fired

A story is an async function; what it asks for by the names of its parameters it is given: ``scene`` (a machine of stubs),
``ports`` (the world). Every run is a fresh world with a loop of its own, so that property-based tests and repeated seeds never
share one. After each run the invariants that its records can show are checked; a broken one raises, whatever the story was
about. A failed story does not: look at ``ok``, ``error``, or call ``result``.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vss.coordinator import Limits
from vss.errors import ConfigurationError, InvariantError, VssError
from vss.events import Event, FaultFired, Record
from vss.observe import Recorder
from vss.observe.console import line
from vss.observe.timeline import timeline
from vss.ports import Ports
from vss.simulation import ChoiceSource, FaultPlan, Order, SeededChoices, Simulation, SimulationError
from vss.simulation.fault_grammar import Fault, parse_fault
from vss.simulation.invariants import INVARIANTS, Evidence, Verdict, check
from vss.simulation.invariants import report as report_of_invariants
from vss.testing.run_log import RUN_LOG
from vss.testing.scene import Scene
from vss.testing.stubs import StubVolume, StubWriter

if TYPE_CHECKING:
    from vss.scenarios import Outcome, Scenario

Story = Callable[..., Awaitable[Any]]
Faults = str | Fault | Mapping[str, Any] | Iterable[str | Fault | Mapping[str, Any]]
MAX_VIRTUAL_S = 400 * 86400.0
_LAST_EVENTS = 25
_GIVEN = ("ports", "scene")
_DISORDERING = ("lie", "drop", "duplicate", "reorder", "late")
_OF_ORDER = ("F8", "R8", "S6")
JUDGED_HERE = "judged by vss.testing, which knows the faults of the run"


@dataclass(frozen=True)
class SimulatedRun:
    """What came of one run.

    Attributes:
        seed: where its random streams came from.
        value: what the story returned.
        error: what it raised, None where it returned.
        records: everything recorded, in order.
        verdict: the invariants.
        fired: the faults that struck, as written.
        never_fired: those that did not.
        outcome: of a scenario; None for a story.
    """

    seed: int
    value: Any
    error: BaseException | None
    records: tuple[Record, ...] = field(repr=False)
    verdict: Verdict = field(repr=False)
    fired: tuple[str, ...] = ()
    never_fired: tuple[str, ...] = ()
    outcome: Outcome | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the story ended well (a scenario: as expected) and no invariant is broken."""
        return self.error is None and self.verdict.is_good and (self.outcome is None or self.outcome.ok)

    @property
    def events(self) -> list[Event]:
        """The events without their stamps."""
        return [record.event for record in self.records]

    @property
    def event_names(self) -> list[str]:
        """The names of the events, in order."""
        return [type(event).__name__ for event in self.events]

    @property
    def result(self) -> Any:
        """What the story returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self.value

    def timeline(self) -> str:
        """Return the run's sessions as pictures."""
        return timeline(self.records)

    def report(self) -> str:
        """Return what to show to a person: how it ended, the faults, the first broken invariant, timeline and last events."""
        parts = [f"seed {self.seed}, {len(self.records)} events"]
        if self.error is not None:
            parts.append(f"ended with {type(self.error).__name__}: {self.error}")
        parts += [f"struck: {each}" for each in self.fired]
        parts += [f"never struck: {each}" for each in self.never_fired]
        if self.outcome is not None:
            parts += [f"{each.kind} {each.name}: {each.message}" for each in self.outcome.shortfalls]
        if not self.verdict.is_good:
            parts.append(report_of_invariants(self.verdict, self.records))
        drawn = self.timeline()
        if drawn:
            parts.append(drawn.rstrip())
        shown = self.records[-_LAST_EVENTS:]
        if shown:
            parts.append("\n".join(["last events", *(f"  {line(record)}" for record in shown)]))
        return "\n".join(parts)


def parse_plan(faults: Faults) -> tuple[Fault, ...]:
    """Return the faults of a text (one per line), a table, a fault, or a list of these."""
    if isinstance(faults, str):
        return FaultPlan.parse(faults).faults
    if isinstance(faults, Fault):
        return (faults,)
    if isinstance(faults, Mapping):
        return (parse_fault(cast("Mapping[str, Any]", faults)),)
    return tuple(each for one in faults for each in parse_plan(one))


class Simulator:
    """Makes runs. Holds nothing: one serves a whole test session, and every run is a world of its own."""

    def run(
        self,
        subject: Story | Scenario | str | Path,
        *,
        seed: int | None = None,
        faults: Faults = (),
        order: Order | str = Order.FIFO,
        choices: ChoiceSource | None = None,
        limits: Limits | None = None,
        check_invariants: bool = True,
        max_virtual_s: float = MAX_VIRTUAL_S,
    ) -> SimulatedRun:
        """Run a story, a scenario, or the scenario file at a path, once.

        Args:
            subject: what to run.
            seed: where every random stream comes from; by default the session's (``--vss-seed``).
            faults: what goes wrong, in the grammar of faults.
            order: ``fifo``, ``jitter`` or ``any``: what the scheduler may do; drawn from the seed unless ``choices`` are given.
            choices: who decides what ``order`` leaves open.
            limits: of the scene's coordinator.
            check_invariants: whether a broken invariant raises.
            max_virtual_s: bound on virtual time.

        Raises:
            InvariantError: an invariant is broken; the message shows the events that break it.
            ConfigurationError: a fault, or the scenario, does not say what it must.
        """
        seed = RUN_LOG.seed if seed is None else seed
        plan = (*parse_plan(RUN_LOG.faults), *parse_plan(faults))
        order = Order[order.upper()] if isinstance(order, str) else order
        if choices is not None and order is Order.FIFO:
            order = Order.ANY
        elif order is not Order.FIFO and choices is None:
            choices = SeededChoices(seed)
        if callable(subject):
            run = _run_story(subject, seed, plan, order, choices, limits, max_virtual_s)
        else:
            run = _run_scenario(_scenario(subject), seed, plan, order, choices, max_virtual_s)
        RUN_LOG.note(run)
        if check_invariants and not run.verdict.is_good:
            raise InvariantError(
                report_of_invariants(run.verdict, run.records), hint="replay the run with the same seed and plan"
            )
        return run


@dataclass(frozen=True)
class SimulatedMachine:
    """A machine of stubs to order: ``SimulatedMachine(writers=("Store",)).backup(faults="writer.freeze hang")``.

    Attributes:
        writers: names of stub writers, each with one component of its name.
        volumes: names of stub volumes; all are in the set.
        limits: the coordinator's; the strict ones by default.
    """

    writers: Sequence[str] = ("Store",)
    volumes: Sequence[str] = ("D:",)
    limits: Limits | None = None

    async def build(self, ports: Ports) -> Scene:
        """Make the scene in a world."""
        calls: list[str] = []
        writers = [StubWriter(name, calls, paths=(f"{self.volumes[0]}\\{name}",)) for name in self.writers]
        volumes = [StubVolume(ports, name, calls) for name in self.volumes]
        return await Scene.build(ports, writers=writers, volumes=volumes, calls=calls, limits=self.limits)

    def run(self, story: Callable[[Scene], Awaitable[Any]], **options: Any) -> SimulatedRun:
        """Run ``story`` on the machine; options as for ``Simulator.run``."""

        async def on_machine(ports: Ports) -> Any:
            return await story(await self.build(ports))

        return Simulator().run(on_machine, **options)

    def backup(self, **options: Any) -> SimulatedRun:
        """Take one full backup; options as for ``Simulator.run``."""
        return self.run(lambda scene: scene.backup(volumes=tuple(self.volumes)), **options)


def _run_story(
    story: Story,
    seed: int,
    plan: Sequence[Fault],
    order: Order,
    choices: ChoiceSource | None,
    limits: Limits | None,
    max_virtual_s: float,
) -> SimulatedRun:
    faults = FaultPlan(plan)
    recorder = Recorder(lambda: simulation.now_ns)

    async def main(ports: Ports) -> Any:
        return await story(**await _given(story, ports, limits))

    simulation: Simulation[Any] = Simulation(
        main,
        seed=seed,
        emit=recorder.emit,
        faults=faults,
        order=order,
        choices=choices,
        max_virtual_s=max_virtual_s,
        unjudged=JUDGED_HERE,
    )
    value, error = None, None
    try:
        value = simulation.run()
    except (Exception, SimulationError) as caught:  # noqa: BLE001 - the caller looks at it in the result
        error = caught
    recorder.flush()
    verdict = judge(recorder.records, simulation.now_ns)
    return SimulatedRun(
        seed,
        value,
        error,
        tuple(recorder.records),
        verdict,
        tuple(str(each) for each in faults.fired),
        tuple(str(each) for each in faults.never_fired),
    )


def judge(records: Sequence[Record], end_ns: int, excused_ids: Collection[str] = ()) -> Verdict:
    """Check what the records of a run can show, but for ``excused_ids``.

    Roles that died for good owe nothing more. Where calls were swallowed, doubled or exchanged by a fault, the order of events
    at the writer is the fault's: the invariants about that order are left out.
    """
    fired = [record.event for record in records if isinstance(record.event, FaultFired)]
    left_out = {*excused_ids}
    if any(each.effect.startswith(_DISORDERING) for each in fired):
        left_out.update(_OF_ORDER)
    if any(each.site == "writer.backup_shutdown" for each in fired):
        left_out.add("S6")  # that it arrives is what the fault prevents
    excused = dict.fromkeys(
        selector.replace("=", ":", 1)
        for record in records
        if isinstance(record.event, FaultFired) and _excuses(record.event.effect)
        for selector in record.event.selectors.split(" ")
        if selector.startswith(("writer=", "provider="))
    )
    evidence = Evidence(records=records, end_ns=end_ns, killed=tuple(excused))
    return check(evidence, [each for each in INVARIANTS if each not in left_out])


def _excuses(effect: str) -> bool:
    return effect.startswith("crash") and "restart=" not in effect


async def _given(story: Story, ports: Ports, limits: Limits | None) -> dict[str, Any]:
    """Return what a story asks for by the names of its parameters."""
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(story).parameters.items():
        if name == "ports":
            given[name] = ports
        elif name == "scene":
            given[name] = await Scene.build(ports, limits=limits)
        elif parameter.default is parameter.empty:
            raise ConfigurationError(f"the story asks for '{name}': expected parameters of the names {', '.join(_GIVEN)}")
    return given


def _scenario(subject: Scenario | str | Path) -> Scenario:
    from vss.scenarios import load_scenario

    if isinstance(subject, str | Path):
        path = Path(subject)
        try:
            return load_scenario(str(path), path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"scenario '{path}' cannot be read: {error.strerror}") from error
    return subject


def _run_scenario(
    scenario: Scenario,
    seed: int,
    plan: Sequence[Fault],
    order: Order,
    choices: ChoiceSource | None,
    max_virtual_s: float,
) -> SimulatedRun:
    from vss.plugins import plugin_host
    from vss.scenarios import run_scenario

    try:
        outcome = run_scenario(
            scenario,
            plugin_host().registry,
            seed=seed,
            faults=plan,
            order=order,
            choices=choices,
            max_virtual_s=max_virtual_s,
        )
    except VssError as error:
        return SimulatedRun(seed, None, error, (), Verdict((), {}, ()))
    struck = [str(each.fault) for each in outcome.faults if each.strikes]
    rested = [str(each.fault) for each in outcome.faults if not each.strikes]
    verdict = judge(outcome.records, outcome.virtual_ns)
    return SimulatedRun(seed, outcome, None, outcome.records, verdict, tuple(struck), tuple(rested), outcome)
