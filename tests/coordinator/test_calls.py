"""Calls under a deadline, faults at their sites, and windows in odd corners."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vss.coordinator.calls import Call, Caller
from vss.coordinator.limits import Limits
from vss.coordinator.windows import HoldWindow
from vss.errors import FreezeWindowError, HoldWritesTimeoutError, WriterRetryableError
from vss.events import Event, FaultFired
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import Ports
from vss.simulation import run
from vss.simulation.faults import FaultPlan
from vss.testing import Scene, StubProvider, StubVolume, StubWriter


async def answer(value: int, after_s: float = 0.0) -> int:
    await asyncio.sleep(after_s)
    return value


def test_outcomes_come_in_the_order_asked_whoever_answers_first() -> None:
    async def story(ports: Ports) -> None:
        caller = Caller(ports)
        calls = [Call(f"r{n}", "s", lambda n=n: answer(n, 3.0 - n)) for n in range(3)]  # type: ignore[misc]
        assert [each.value for each in await caller.fan_out(calls, 10.0)] == [0, 1, 2]
        assert await caller.fan_out([], 1.0) == []

    run(story)


def test_no_answer_is_a_time_out_and_the_others_are_not_disturbed() -> None:
    async def story(ports: Ports) -> None:
        caller = Caller(ports)
        outcomes = await caller.fan_out(
            [Call("slow", "s", lambda: answer(1, 9.0)), Call("quick", "s", lambda: answer(2))], limit_s=5.0
        )
        assert outcomes[0].is_timeout
        assert str(outcomes[0].error) == "no answer within 5 s"
        assert outcomes[1].value == 2
        await caller.close(1.0)
        assert caller.left_behind_count == 0

    run(story)


def test_an_answer_given_at_once_counts_though_no_time_is_left() -> None:
    async def at_once() -> int:
        return 1

    async def story(ports: Ports) -> None:
        outcomes = await Caller(ports).fan_out([Call("quick", "s", at_once), Call("slow", "s", lambda: answer(2, 1.0))], 0.0)
        assert (outcomes[0].value, outcomes[1].is_timeout) == (1, True)
        assert (await Caller(ports).call(Call("quick", "s", at_once), 0.0)).value == 1

    run(story)


def test_a_role_that_cancels_itself_counts_as_no_answer() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    async def story(ports: Ports) -> None:
        outcome = await Caller(ports).call(Call("odd", "s", give_up), 1.0)
        assert outcome.is_timeout

    run(story)


def test_when_the_caller_is_cancelled_answers_that_came_are_collected_quietly() -> None:
    async def fail() -> None:
        raise RuntimeError("nobody will ask")

    async def give_up() -> None:
        raise asyncio.CancelledError

    async def story(ports: Ports) -> None:
        caller = Caller(ports)
        calls = [Call("a", "s", fail), Call("b", "s", lambda: answer(1)), Call("c", "s", lambda: answer(1, 60.0))]
        calls.append(Call("d", "s", give_up))
        task = asyncio.create_task(caller.fan_out(calls, 100.0))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await caller.close(1.0)
        assert caller.left_behind_count == 0

    run(story)


def test_a_fault_before_the_writer_is_reached_is_the_writers_failure() -> None:
    async def faulty(site: str, work: Any, **selectors: str) -> Any:
        if site == "writer.freeze" and selectors == {"writer": "A"}:
            raise WriterRetryableError("injected")
        return await work()

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            (status,) = await session.gather_writer_status()
        assert (status.state, status.failure) == (WriterState.FAILED_AT_FREEZE, HResult.VSS_E_WRITERERROR_RETRYABLE)
        scene.assert_nothing_left()

    run(story, faults=faulty)


def test_an_abort_that_fails_leaves_the_state_unknown_and_is_reported() -> None:
    async def story(ports: Ports) -> None:
        bad = {"on_freeze": WriterRetryableError("first cause"), "on_abort": RuntimeError("and then")}
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour=bad)])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            (status,) = await session.gather_writer_status()
        assert status.message == "first cause"

    run(story)


def test_an_abort_without_an_answer_ends_at_its_limit_and_loses_the_window() -> None:
    async def story(ports: Ports) -> None:
        bad = {"on_freeze": WriterRetryableError("no"), "on_abort": "hang"}
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour=bad)])
        with pytest.raises(FreezeWindowError):
            await scene.backup()
        assert ports.clock.now_ns() == 60_000_000_000
        scene.assert_nothing_left()

    run(story)


def test_a_hold_lost_while_the_commit_failed_names_both() -> None:
    async def story(ports: Ports) -> None:
        volume = StubVolume(ports, "D:")

        async def hold_and_fail() -> None:
            async with HoldWindow(ports, Caller(ports), [volume], Limits(hold_window_s=1.0)):
                await asyncio.sleep(2.0)
                raise RuntimeError("commit broke")

        with pytest.raises(HoldWritesTimeoutError) as caught:
            await hold_and_fail()
        assert caught.value.__notes__ == ["the commit had failed as well: RuntimeError: commit broke"]

    run(story)


def test_cancelling_inside_a_lost_hold_stays_a_cancellation() -> None:
    async def story(ports: Ports) -> None:
        async def hold() -> None:
            async with HoldWindow(ports, Caller(ports), [StubVolume(ports, "D:")], Limits(hold_window_s=1.0)):
                await asyncio.sleep(60.0)

        task = asyncio.create_task(hold())
        await asyncio.sleep(2.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story)


def test_the_freeze_timer_aborts_a_writer_whose_coordinator_is_busy_elsewhere() -> None:
    async def story(ports: Ports) -> None:
        quick = StubWriter("quick", freeze_timeout_s=2.0, behaviour={"on_abort": 1.0})
        provider = StubProvider(behaviour={"pre_commit_snapshots": 5.0})
        scene = await Scene.build(ports, writers=[quick], providers=[provider])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            (status,) = await session.gather_writer_status()
        assert (status.state, status.failure) == (WriterState.FAILED_AT_THAW, HResult.VSS_E_WRITERERROR_TIMEOUT)
        assert quick.calls.count("quick.on_abort") == 1
        assert "quick.on_thaw" not in quick.calls

    run(story)


@pytest.mark.parametrize("fails_at", [2.5, 1.5])
def test_a_set_that_fails_while_the_freeze_timer_aborts_sends_one_abort(fails_at: float) -> None:
    async def story(ports: Ports) -> None:
        async def fail_later(*arguments: object) -> None:
            await asyncio.sleep(fails_at)
            raise RuntimeError("pre-commit broke")

        quick = StubWriter("quick", freeze_timeout_s=2.0, behaviour={"on_abort": 1.0})
        provider = StubProvider(behaviour={"pre_commit_snapshots": fail_later})
        scene = await Scene.build(ports, writers=[quick], providers=[provider])
        with pytest.raises(Exception, match="pre-commit broke"):
            await scene.backup()
        assert quick.calls.count("quick.on_abort") == 1
        scene.assert_nothing_left()

    run(story)


def test_what_faults_do_is_seen_in_the_event_log() -> None:
    events: list[Event] = []
    plan = FaultPlan.parse(["fault writer.thaw when=writer:A delay=1s"])

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        await scene.backup()
        assert ports.clock.now_ns() == 1_000_000_000

    run(story, faults=plan, emit=events.append)
    assert [each.site for each in events if isinstance(each, FaultFired)] == ["writer.thaw"]
