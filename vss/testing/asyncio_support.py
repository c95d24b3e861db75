"""For tests that are run by pytest-asyncio: the world of the running loop, which must be a simulated one.

Our plugin never tells pytest-asyncio which loop to use (its hook is the user's: whoever implements it answers for every
async test). A conftest does; ``docs/testing.md`` has the lines. Where it was forgotten, ``running_ports`` says so instead of
letting a test run in real time.
"""

from __future__ import annotations

import asyncio

from vss.errors import BadStateError
from vss.events import Event
from vss.ports import FaultSite, Ports
from vss.simulation import SimulationLoop, simulated_ports
from vss.simulation.ports import START_WALL_NS
from vss.testing.run_log import RUN_LOG


def running_ports(*, seed: int | None = None, faults: FaultSite | None = None, events: list[Event] | None = None) -> Ports:
    """Return the ports of a world on the running loop.

    Args:
        seed: where its random streams come from; the session's by default.
        faults: the fault site.
        events: where events go.

    Raises:
        BadStateError: the running loop is none of ours.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimulationLoop):
        raise BadStateError(
            f"this test runs on {type(loop).__name__}, not on a SimulationLoop: its time would be real",
            hint="let conftest.py name SimulationLoop in pytest_asyncio_loop_factories, or use vss_sim_test",
        )
    return simulated_ports(
        loop,
        seed=RUN_LOG.seed if seed is None else seed,
        files=None,
        emit=(lambda event: None) if events is None else events.append,
        start_wall_ns=START_WALL_NS,
        faults=faults,
        processes=None,
    )
