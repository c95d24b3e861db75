"""One simulated world of a check: recorded, so that a check that fails can show its timeline, and judged by the invariants.

The invariants are the framework's own promise (``vss.simulation.invariants``); a role that breaks one in a run that passes
every other demand of its contract is still wrong, or has found a mistake of the framework's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from vss.events import Event
from vss.observe import Recorder
from vss.ports import FaultSite, Ports
from vss.simulation import ChoiceSource, Simulation
from vss.simulation.invariants import Verdict
from vss.testing.contracts.verdict import broken, good_end
from vss.testing.run_log import RUN_LOG
from vss.testing.simulated import JUDGED_HERE, SimulatedRun, judge

T = TypeVar("T")


def run_world(
    main: Callable[[Ports], Awaitable[T]],
    role: str,
    *,
    seed: int = 1,
    faults: FaultSite | None = None,
    choices: ChoiceSource | None = None,
    events: list[Event] | None = None,
    max_virtual_s: float,
    excused: Collection[str] = (),
) -> T:
    """Run ``main`` in a fresh world and return its result.

    Args:
        main: gets the world's ports.
        role: how messages call what is under test.
        seed: where every random stream comes from.
        faults: the fault site.
        choices: who decides the order of steps.
        events: where events go besides.
        max_virtual_s: bound on virtual time.
        excused: ids of invariants that this run cannot be held to.

    Raises:
        ContractBroken: the world ended badly, or an invariant is broken.
    """
    recorder = Recorder(lambda: simulation.now_ns)

    def emit(event: Event) -> None:
        recorder.emit(event)
        if events is not None:
            events.append(event)

    simulation = Simulation(
        main, seed=seed, emit=emit, faults=faults, choices=choices, max_virtual_s=max_virtual_s, unjudged=JUDGED_HERE
    )
    try:
        with good_end(role):
            result = simulation.run()
        _demand_invariants(role, judge(recorder.records, simulation.now_ns, excused))
    except BaseException as error:
        records = tuple(recorder.records)
        RUN_LOG.note(SimulatedRun(seed, None, error, records, judge(records, simulation.now_ns)))
        raise
    return result


def _demand_invariants(role: str, verdict: Verdict) -> None:
    if verdict.is_good:
        return
    first = verdict.broken[0]
    broken(
        f"{role}: invariant {first.invariant_id} is broken",
        expected=first.statement,
        found=first.evidence,
        mend="look at the timeline for what the role did last before this; where that was right, tell the framework's authors",
        source=f"vss.simulation.invariants, {first.invariant_id}",
    )
