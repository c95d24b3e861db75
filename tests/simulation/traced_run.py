"""One traced run, for ``test_determinism.py``: prints its digests. What it does depends on sets, hashes, timers and crashes.

Usage: ``python traced_run.py SEED ORDER``.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

from vss.events import Event
from vss.ports import Ports
from vss.simulation import FaultPlan, Order, SeededChoices, Simulation


async def main(ports: Ports) -> None:
    workload = ports.random.stream("workload")
    order: list[str] = []

    async def worker(name: str) -> None:
        try:
            for _ in range(workload.randrange(1, 6)):
                await ports.clock.sleep(workload.choice((0.0, 0.5, 1.0)))
                order.append(name)
            if name == "w7":
                raise ValueError(name)
            await ports.clock.sleep(1000)
        finally:
            order.append(f"{name} ended")

    async def freeze() -> None:
        await ports.clock.sleep(1)

    ballast = [object() for _ in range(int(sys.argv[1]) * 7)]  # moves the addresses of what comes after
    names = {f"w{number}" for number in range(40)}
    try:
        async with asyncio.TaskGroup() as group:
            for name in sorted(names):
                group.create_task(worker(name))
    except ExceptionGroup as errors:
        order.append(str(errors))
    tasks = [asyncio.create_task(ports.clock.sleep(workload.random())) for _ in range(20)]
    done, pending = await asyncio.wait(tasks, timeout=0.5)
    order += [task.get_name() for task in done] + [task.get_name() for task in pending]
    futures = [asyncio.get_running_loop().create_future() for _ in range(20)]
    for future in futures:
        future.set_result(None)
    done_futures, _ = await asyncio.wait(futures)
    order += [str(futures.index(future)) for future in done_futures]
    for name in ("A", "B"):
        try:
            await ports.faults("writer.freeze", freeze, writer=name)
        except Exception as error:  # noqa: BLE001 - its text is compared
            order.append(repr(error))
    order.append(str(ports.ids.guid()))
    print(hashlib.sha256("\n".join(order).encode()).hexdigest(), len(ballast) >= 0)


if __name__ == "__main__":
    seed = int(sys.argv[1])
    events: list[Event] = []
    simulation = Simulation(
        main,
        seed=3,
        order=Order(sys.argv[2]),
        choices=SeededChoices(3),
        faults=FaultPlan.parse("writer.freeze when=writer:A crash=during"),
        emit=events.append,
        trace=True,
    )
    simulation.run()
    print(simulation.trace_digest, simulation.now_ns, simulation.steps, events)
