"""An abort runs to its end, whoever is cancelled meanwhile and whatever fails on the way, and says that the set is aborted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from vss.events import Event, FreezeWindowClosed, ProviderCalled, SnapshotSetAborted, WriterAborted
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import Ports
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubWriter


@pytest.mark.parametrize("site", ["coord.release", "coord.thaw", "coord.abort"])
def test_the_first_cause_is_told_whatever_is_cancelled_while_it_is_cleared_up(site: str) -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"commit_snapshots": RuntimeError("no")})])
        with suppress(asyncio.CancelledError):
            await scene.backup()
        await scene.coordinator.close()

    run(story, emit=events.append, faults=FaultPlan.parse(f"{site} cancel"))

    (told,) = [each for each in events if isinstance(each, SnapshotSetAborted)]
    assert ("commit: RuntimeError: no" in told.cause) or site == "coord.abort"


@pytest.mark.parametrize(
    ("writer", "provider", "cancel_s"),
    [
        ({}, {"commit_snapshots": RuntimeError("no"), "abort_snapshots": 5.0}, [2.0]),
        ({"on_abort": 5.0}, {"commit_snapshots": RuntimeError("no")}, [2.0]),
        ({"on_abort": 5.0}, {"commit_snapshots": "hang", "abort_snapshots": 5.0}, [1.0, 3.0, 7.0]),
    ],
    ids=["while the provider undoes", "while a writer is told", "again and again"],
)
def test_a_cancelled_abort_ends_and_is_told(writer: Any, provider: Any, cancel_s: list[float]) -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        stub = StubProvider(behaviour=provider)
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour=writer)], providers=[stub])
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        taking = asyncio.get_running_loop().create_task(session.do_snapshot_set())
        for instant_s in cancel_s:
            await ports.clock.sleep(instant_s - ports.clock.now_ns() / 1e9)
            taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        await session.release()
        assert stub.unfinished_count == 0
        await scene.coordinator.close()

    run(story, emit=events.append)

    assert sum(isinstance(each, SnapshotSetAborted) for each in events) == 1
    assert sum(isinstance(each, FreezeWindowClosed) for each in events) == 1
    assert [each.step for each in events if isinstance(each, ProviderCalled)].count("abort") == 1
    assert sum(isinstance(each, WriterAborted) for each in events) == 1


def test_a_set_whose_abort_is_stopped_by_a_fault_is_told_of_by_the_release() -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"commit_snapshots": RuntimeError("no")})])
        with pytest.raises(BaseException):  # noqa: B017, PT011 - what the fault raises is not what is looked at
            await scene.backup()
        await scene.coordinator.close()

    run(story, emit=events.append, faults=FaultPlan.parse("coord.abort when=nth:1 cancel"))

    assert sum(isinstance(each, SnapshotSetAborted) for each in events) == 1


def test_a_writer_in_the_middle_of_post_snapshot_has_failed_at_it_when_the_set_is_given_up() -> None:
    async def story(ports: Ports) -> None:
        writers = [StubWriter("A", behaviour={"on_post_snapshot": "hang"}), StubWriter("B")]
        scene = await Scene.build(ports, writers=writers)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            taking = asyncio.get_running_loop().create_task(session.do_snapshot_set())
            await ports.clock.sleep(1.0)
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
            first, second = await session.gather_writer_status()
        assert (first.state, first.failure) == (WriterState.FAILED_AT_POST_SNAPSHOT, HResult.VSS_E_WRITERERROR_RETRYABLE)
        assert first.message == "PostSnapshot was interrupted"
        assert (second.state, second.failure) == (WriterState.WAITING_FOR_BACKUP_COMPLETE, HResult.S_OK)
        await scene.coordinator.close()

    run(story)


def test_a_release_waits_for_the_abort_of_a_writer_that_was_frozen_too_long() -> None:
    ended: list[str] = []

    async def story(ports: Ports) -> None:
        async def slow_abort(context: object) -> None:
            await ports.clock.sleep(50.0)
            ended.append("A.on_abort")

        async def shut_down(context: object) -> None:
            ended.append("A.on_backup_shutdown")

        behaviour = {"on_abort": slow_abort, "on_backup_shutdown": shut_down}
        writer = StubWriter("A", freeze_timeout_s=2.0, behaviour=behaviour)
        scene = await Scene.build(ports, writers=[writer], providers=[StubProvider(behaviour={"pre_commit_snapshots": 3.0})])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
        assert ports.clock.now_ns() == 52_000_000_000
        await scene.coordinator.close()

    run(story)

    assert ended == ["A.on_abort", "A.on_backup_shutdown"]


def test_a_release_gives_up_a_backup_complete_that_nobody_waits_for_any_more() -> None:
    calls: list[str] = []

    async def story(ports: Ports) -> None:
        writer = StubWriter("A", calls, behaviour={"on_backup_complete": "hang"})
        scene = await Scene.build(ports, writers=[writer], calls=calls)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            scene.report_all(session)
            completing = asyncio.get_running_loop().create_task(session.backup_complete())
            await ports.clock.sleep(1.0)
            completing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await completing
        assert ports.clock.now_ns() == 1_000_000_000
        await scene.coordinator.close()

    run(story)

    assert calls[-2:] == ["A.on_backup_shutdown", "provider.delete_snapshot"]
