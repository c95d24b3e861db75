"""Writer checks: nothing of the outside world, nothing left behind, several on one machine, any order of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from vss.documents.xml import render_backup_components
from vss.errors import AlreadyExistsError
from vss.events import Event
from vss.roles.writer import Writer
from vss.simulation import SeededChoices, SimulationLoop
from vss.testing.contracts.direct_session import DirectSession
from vss.testing.contracts.hidden_inputs import watched
from vss.testing.contracts.verdict import broken, not_applicable, page
from vss.testing.contracts.writer_base import WriterChecks
from vss.testing.contracts.writer_bench import BenchHost, WriterBench, read_file

_SEEDS = 12
_PORTS = "vss.ports"


class HygieneChecks(WriterChecks):
    """What a simulated world can demand, and a real one profits from."""

    async def _visit(self, bench: WriterBench) -> list[Any]:
        """Take two backups under load; return everything that can be observed."""
        seen: list[Any] = []

        async def look(session: Any) -> None:
            seen.append(render_backup_components(session.document))

        for _ in range(2):
            async with bench.under_load():
                await bench.ports.clock.sleep(0.1)
                await bench.demand_backup("a backup that is compared", on_snapshot=look)
        seen.append([str(change) for change in bench.files.changes])
        seen.append([(path, await read_file(bench.files.files, path)) for path in await bench.live_files()])
        return seen

    def test_the_same_seed_gives_the_same_run(self) -> None:
        """Events, documents, changes and bytes on the volumes of two runs are equal."""
        runs = []
        for _ in range(2):
            events: list[Event] = []
            runs.append((self.play(self._visit, events=events), events))
        if runs[0] != runs[1]:
            names = (
                "document of the first backup",
                "document of the second backup",
                "changes of files",
                "bytes on the volumes",
            )
            seen = [name for name, one, other in zip(names, runs[0][0], runs[1][0], strict=False) if one != other]
            broken(
                "the writer behaves differently in two runs with the same seed",
                expected="the same events, documents, changes and bytes",
                found=f"different: {', '.join(seen) or 'events'}",
                mend="take time, randomness and ids from host.ports, and never iterate a set of objects",
                source=_PORTS,
            )

    def test_clock_and_randomness_come_from_the_ports(self) -> None:
        """No call of the system's clocks or random sources by the writer's own code."""

        async def name_package(bench: WriterBench) -> str:
            return type(bench.writer).__module__

        module = self.play(name_package)
        package = module.partition(".")[0]
        with watched((module if package in ("vss", "tests") else package,)) as seen:
            self.play(self._visit)
        if not seen.is_watching:
            not_applicable("another profiler is running")
        if seen.places:
            broken(
                "the writer reads a clock or draws randomness past its ports",
                expected="host.ports.clock, host.ports.random and host.ports.ids only",
                found="; ".join(seen.places),
                mend="take it from host.ports: the run cannot be repeated otherwise",
                source=_PORTS,
            )

    async def _count_over_sessions(self, bench: WriterBench, count: Callable[[], int]) -> tuple[int, int]:
        for _ in range(2):
            await bench.demand_backup("a backup after which is counted")
        first = count()
        for _ in range(3):
            await bench.demand_backup("a backup after which is counted")
        async with bench.coordinator.open_session() as session:
            await bench.prepare(session)
            await session.abort_backup()
        return first, count()

    def _check_growth(self, what: str, count: Callable[[WriterBench], int], mend: str) -> None:
        async def story(bench: WriterBench) -> None:
            first, last = await self._count_over_sessions(bench, lambda: count(bench))
            if last > first:
                broken(
                    f"{bench.name} leaves {what} behind after each session",
                    expected=f"as many after five sessions as after two ({first})",
                    found=str(last),
                    mend=mend,
                    source="vss.simulation.world: what is left at the end of a run is an error",
                )

        self.play(story)

    def test_no_session_leaves_a_task_running(self) -> None:
        """Counted between sessions."""
        self._check_growth(
            "tasks", lambda bench: len(asyncio.all_tasks()), "await or cancel in the handler what the handler began"
        )

    def test_no_session_leaves_a_file_open(self) -> None:
        """Counted between sessions."""
        self._check_growth("open files", lambda bench: len(bench.files.open_paths), "close every handle, in finally")

    def test_no_session_leaves_a_timer_armed(self) -> None:
        """Counted between sessions."""
        self._check_growth("armed timers", lambda bench: _timers(), "cancel the handle that call_later returned")

    def test_a_stopped_writer_leaves_nothing_behind(self) -> None:
        """No task, no timer, no lost exception at the end of a world that saw a backup and an abort."""

        async def story(session: DirectSession) -> None:
            await session.demand("prepare_backup", "prepare_snapshot", "freeze", "abort")
            await session.call("backup_shutdown")

        self.play_directly(story)

    def test_any_order_of_ready_tasks_is_survived(self) -> None:
        """A dozen seeds decide who runs first at each instant."""

        async def story(bench: WriterBench) -> None:
            async with bench.under_load():
                await bench.ports.clock.sleep(0.1)
                await bench.demand_backup("with tasks in another order")
            await bench.demand_signs_of_life("a backup with tasks in another order")

        for seed in range(_SEEDS):
            self.play(story, choices=SeededChoices(seed))

    def _second(self, story: Callable[[WriterBench, Writer], Awaitable[None]]) -> None:
        if not self.several_instances:
            not_applicable("several_instances is False: one writer of this class per machine")

        async def with_second(bench: WriterBench) -> None:
            other = self.make_writer(BenchHost(bench.ports, bench.files, name="second"))
            try:
                await bench.add(other)
            except AlreadyExistsError:
                broken(
                    f"{bench.name}: two instances cannot be told apart",
                    expected="an instance_name of its own for each",
                    found=f"instance name '{other.instance_name}' twice",
                    mend="set instance_name = host.name, or several_instances = False in the contract class",
                    source=page("CVssWriterEx::InitializeEx"),
                )
            await story(bench, other)
            await self.after_stop(other)

        self.play(with_second)

    def test_two_instances_are_backed_up_side_by_side(self) -> None:
        """Both are listed under their own instance ids, both succeed."""

        async def story(bench: WriterBench, other: Writer) -> None:
            async with bench.coordinator.open_session() as session:
                await bench.prepare(session, select=False)
                await session.do_snapshot_set()
                await session.backup_complete()
                for status in await session.gather_writer_status():
                    if status.state.is_failed:
                        broken(
                            f"writer '{status.name}', instance {status.instance_id}, fails beside another of its class",
                            expected="both instances succeed",
                            found=f"{status.state.name}, {status.failure.name}: {status.message}",
                            mend="keep no state in the class or the module",
                            source=page("Writer instances"),
                        )

        self._second(story)

    def test_one_instance_frozen_leaves_the_other_working(self) -> None:
        """Freeze is for the instance that is called."""

        async def story(bench: WriterBench, other: Writer) -> None:
            if not self.has_work:
                not_applicable("the contract class does not say how the application works (override work)")
            session = await DirectSession.begin(bench)
            await session.demand("prepare_backup", "prepare_snapshot", "freeze")
            try:
                async with asyncio.timeout(60.0):
                    await self.work(other, 1000)
            except TimeoutError:
                broken(
                    f"{bench.name}: freezing one instance freezes the other",
                    expected="the other instance's application works on",
                    found="it waited for 60 s",
                    mend="keep what is frozen in the instance, not in the class or the module",
                    source=page("Writer instances"),
                )
            finally:
                await session.calls("abort", "backup_shutdown")

        self._second(story)

    def test_a_context_is_not_used_after_its_handler_returned(self) -> None:
        """Whatever runs on afterwards must not look at it: an exception in a task that nobody awaits would show."""

        async def story(bench: WriterBench) -> None:
            await bench.demand_backup("a backup whose contexts are closed")
            await bench.ports.clock.sleep(600.0)

        self.play(story)

    def test_long_rest_changes_no_file_of_a_frozen_writer_after_its_session(self) -> None:
        """A day after an aborted session the writer still works."""

        async def story(session: DirectSession) -> None:
            await session.demand("prepare_backup", "prepare_snapshot", "freeze", "abort")
            await session.call("backup_shutdown")
            await session.bench.ports.clock.sleep(86400.0)
            await session.bench.demand_signs_of_life("a day after an aborted session")

        self.play_directly(story)


def _timers() -> int:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop), "checks run in a simulated world"
    return len(loop.armed_timers())
