"""How long answers took, how long they were waited for, and closing what does not want to close."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from vss.coordinator import Limits
from vss.coordinator.calls import Call, Caller, DeadlineError, Outcome
from vss.errors import ProviderError
from vss.events import Event, ProviderAnswered, WriterTimedOut
from vss.ports import NANOSECONDS, Ports
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubWriter


def test_a_call_tells_how_long_it_took_each_by_itself() -> None:
    async def main(ports: Ports) -> list[Outcome]:
        def calls(*seconds: float) -> list[Call]:
            return [Call("r", "s", lambda each=each: ports.clock.sleep(each)) for each in seconds]  # type: ignore[misc]

        caller = Caller(ports)
        outcomes = await caller.fan_out(calls(0.25, 1.0, 99.0), 2.0)
        await caller.close(1.0)
        return outcomes

    outcomes = run(main)
    assert [each.duration_ns for each in outcomes] == [NANOSECONDS // 4, NANOSECONDS, 2 * NANOSECONDS]
    assert [each.limit_ns for each in outcomes] == [-1, -1, 2 * NANOSECONDS]


def test_where_nothing_limits_a_call_there_is_no_limit_to_tell() -> None:
    assert Outcome("r", "s", error=DeadlineError("the call was cancelled")).limit_ns == -1
    assert math.isinf(DeadlineError("x").limit_s)


@pytest.mark.parametrize("late_s", [60, 90], ids=["just then", "later"])
def test_an_event_that_was_held_up_until_nobody_waits_for_it_does_not_reach_the_writer(late_s: int) -> None:
    told: list[Event] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, limits=replace(Limits(), backup_shutdown_s=60.0))
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        await session.do_snapshot_set()
        await session.release()
        await ports.clock.sleep(120)
        await scene.coordinator.close()

    crash = "fault writer.freeze when=writer:nobody crash=before"  # a plan that may kill runs each role in a task of its own
    run(main, emit=told.append, faults=FaultPlan.parse(f"fault writer.backup_shutdown delay={late_s}s\n{crash}"))

    assert [type(each) for each in told if getattr(each, "step", "") == "BackupShutdown"] == [WriterTimedOut]


def test_a_writer_that_does_not_answer_is_told_of_with_the_limit_it_had() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        limits = Limits(prepare_backup_s=12.5)
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_prepare_backup": "hang"})], limits=limits)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
        await scene.coordinator.close()

    run(main, emit=events.append)
    (late,) = [each for each in events if isinstance(each, WriterTimedOut)]
    assert (late.step, late.limit_ns) == ("PrepareForBackup", round(12.5 * NANOSECONDS))


def test_what_a_provider_takes_to_commit_is_in_the_events() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"commit_snapshots": 0.75})])
        await scene.backup()
        await scene.coordinator.close()

    run(main, emit=events.append)
    took = {each.step: each.duration_ns for each in events if isinstance(each, ProviderAnswered)}
    assert (took["commit"], took["pre_commit"]) == (NANOSECONDS * 3 // 4, 0)


class Stubborn(StubProvider):
    """Its close fails."""

    def __init__(self, name: str, error: Exception | None) -> None:
        super().__init__(name)
        self.error = error
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True
        if self.error is not None:
            raise self.error


def closed(*errors: Exception | None) -> tuple[BaseException | None, list[bool]]:
    """Close a machine with one provider per error; return what came of it, and who was closed."""
    providers = [Stubborn(f"P{number}", error) for number, error in enumerate(errors)]

    async def main(ports: Ports) -> BaseException | None:
        scene = await Scene.build(ports, providers=providers)
        try:
            await scene.coordinator.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            return error
        return None

    return run(main), [each.is_closed for each in providers]


def test_every_provider_is_closed_whatever_the_others_raise() -> None:
    first, second = ProviderError("first"), RuntimeError("second")
    raised, who = closed(None, first, second, None)
    assert raised is first
    assert getattr(raised, "__notes__", []) == ["while closing: second"]
    assert who == [True, True, True, True]


def test_a_machine_that_closes_well_raises_nothing() -> None:
    assert closed(None, None) == (None, [True, True])


@pytest.mark.parametrize("limit_s", [5.0, math.inf])
def test_limits_of_a_hung_provider_end_the_set_in_time(limit_s: float) -> None:
    async def main(ports: Ports) -> Any:
        limits = replace(Limits(), end_prepare_s=min(limit_s, 60.0))
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"end_prepare_snapshots": "hang"})], limits=limits)
        with pytest.raises(ProviderError):
            await scene.backup()
        elapsed_ns = ports.clock.now_ns()
        await scene.coordinator.close()
        return elapsed_ns

    assert run(main) == round(min(limit_s, 60.0) * NANOSECONDS)
