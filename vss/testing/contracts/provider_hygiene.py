"""Provider checks: nothing of the outside world, nothing left behind, any order of tasks."""

from __future__ import annotations

import asyncio
from typing import Any

from vss.events import Event
from vss.simulation import SeededChoices, SimulationLoop
from vss.testing.contracts.hidden_inputs import watched
from vss.testing.contracts.provider_base import ProviderChecks
from vss.testing.contracts.provider_bench import PHASES, ProviderBench
from vss.testing.contracts.verdict import broken, not_applicable

_TWO = ("D:", "E:")
_SEEDS = 10


class HygieneChecks(ProviderChecks):
    """What a simulated world can demand, and a real one profits from."""

    async def _visit(self, bench: ProviderBench) -> list[Any]:
        """Make, read, abort and delete; return everything that can be observed."""
        made = await bench.make()
        await bench.scribble_everywhere(10)
        aborted = await bench.begin(self.volatile_attributes)
        await bench.demand_steps(aborted, *PHASES[:3])
        await bench.demand("abort_snapshots", aborted.set_id)
        seen: list[Any] = [await bench.fetch("query"), [await bench.read(each) for each in made.ids.values()]]
        seen.append([store.read(0, store.size_bytes) for store in bench.stores])
        await bench.demand("delete_snapshot", made.ids["D:"])
        return seen

    def test_the_same_seed_gives_the_same_run(self) -> None:
        """Events, properties, files and the bytes of the stores of two runs are equal."""
        runs = []
        for _ in range(2):
            events: list[Event] = []
            runs.append((self.play(self._visit, names=_TWO, events=events), events))
        if runs[0] != runs[1]:
            names = ("properties", "files of the copies", "bytes of the stores")
            seen = [name for name, one, other in zip(names, runs[0][0], runs[1][0], strict=True) if one != other]
            broken(
                "the provider behaves differently in two runs with the same seed",
                expected="the same events, properties, files and bytes",
                found=f"different: {', '.join(seen) or 'events'}",
                mend="take time, randomness and ids from ports, and never iterate a set of objects",
                source="vss.ports",
            )

    def test_clock_and_randomness_come_from_the_ports(self) -> None:
        """No call of the system's clocks or random sources by the provider's own code."""

        async def name_package(bench: ProviderBench) -> str:
            return type(bench.provider).__module__

        module = self.play(name_package)
        package = module.partition(".")[0]
        with watched((module if package in ("vss", "tests") else package,)) as seen:
            self.play(self._visit, names=_TWO)
        if not seen.is_watching:
            not_applicable("another profiler is running")
        if seen.places:
            broken(
                "the provider reads a clock or draws randomness past its ports",
                expected="ports.clock, ports.random and ports.ids only",
                found="; ".join(seen.places),
                mend="take it from ports: the run cannot be repeated otherwise",
                source="vss.ports",
            )

    def test_no_set_leaves_a_task_or_a_timer_behind(self) -> None:
        """Counted between sets that were made, aborted and deleted."""

        async def story(bench: ProviderBench) -> None:
            counts = []
            for _ in range(4):
                made = await bench.make()
                await bench.demand("delete_snapshot", made.ids["D:"])
                aborted = await bench.begin(self.volatile_attributes)
                await bench.demand_steps(aborted, *PHASES[:2])
                await bench.demand("abort_snapshots", aborted.set_id)
                loop = asyncio.get_running_loop()
                assert isinstance(loop, SimulationLoop), "checks run in a simulated world"
                counts.append(len(asyncio.all_tasks()) + len(loop.armed_timers()))
            if counts[-1] > counts[1]:
                broken(
                    f"{bench.name} leaves tasks or timers behind after each set",
                    expected=f"as many after four sets as after two ({counts[1]})",
                    found=str(counts[-1]),
                    mend="await or cancel what a set began, in its last phase and in abort_snapshots",
                    source="vss.simulation.world: what is left at the end of a run is an error",
                )

        self.play(story)

    def test_any_order_of_ready_tasks_is_survived(self) -> None:
        """A dozen seeds decide who runs first at each instant, while a program writes."""

        async def story(bench: ProviderBench) -> None:
            async def write() -> None:
                while True:
                    await bench.scribble_everywhere(1)
                    await bench.ports.clock.sleep(0.001)

            writing = asyncio.create_task(write(), name="a program that writes")
            try:
                made = await bench.begin(self.volatile_attributes)
                for phase in PHASES:
                    await bench.ports.clock.sleep(0.003)
                    await bench.demand_steps(made, phase)
            finally:
                writing.cancel()
                await asyncio.wait([writing])
            await bench.demand_whole(made, "with tasks in another order, while a program wrote")

        for seed in range(_SEEDS):
            self.play(story, names=_TWO, choices=SeededChoices(seed))

    def test_two_providers_in_one_world_share_nothing(self) -> None:
        """What one has made the other does not list, unless both look at the same volumes."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            fresh = type(bench.provider)
            others = await self.make_provider(bench.ports).query()
            if others:
                broken(
                    f"{bench.name}: a second object of {fresh.__name__} lists the shadow copies of the first",
                    expected="nothing before a volume was attached",
                    found=f"{len(others)} shadow copies",
                    mend="keep state in the object, not in the class or the module",
                    source="vss.roles.provider",
                )
            await bench.demand_whole(made, "a second provider was made")

        self.play(story)
