"""A session that is released while one of its calls is under way: the call ends first, then the session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vss.coordinator import Limits
from vss.errors import BadStateError, ProviderError
from vss.events import Event, SessionReleased, SnapshotSetAborted, WriterCalled
from vss.ids import Guid
from vss.ports import NANOSECONDS, Ports
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubWriter

PHASES = ["on_prepare_backup", "on_prepare_snapshot", "on_freeze", "on_post_snapshot", "on_backup_complete"]


async def take(scene: Scene) -> None:
    """A requestor that never releases its session."""
    session = scene.coordinator.open_session()
    await scene.prepare(session)
    await session.do_snapshot_set()
    await session.backup_complete()


async def build(ports: Ports, *, abort_s: float = 30.0, provider: dict[str, Any] | None = None, **writer: Any) -> Scene:
    calls: list[str] = []
    return await Scene.build(
        ports,
        writers=[StubWriter("A", calls, behaviour=writer)],
        providers=[StubProvider(calls=calls, behaviour=provider or {})],
        calls=calls,
        limits=Limits(abort_s=abort_s),
    )


def play(story: Any) -> list[Event]:
    events: list[Event] = []
    run(story, emit=events.append)
    return events


@pytest.mark.parametrize("phase", PHASES)
def test_a_call_under_way_is_told_and_over_before_the_session_is_released(phase: str) -> None:
    async def story(ports: Ports) -> None:
        scene = await build(ports, **{phase: 5.0})
        session = scene.coordinator.open_session()

        async def call() -> None:
            await scene.prepare(session)
            await session.do_snapshot_set()
            await session.backup_complete()

        task = asyncio.create_task(call())
        await asyncio.sleep(1.0)
        await session.release()
        assert task.done()
        with pytest.raises(BadStateError, match="the session was released while the call was under way"):
            await task
        assert ports.clock.now_ns() == NANOSECONDS
        scene.assert_nothing_left()
        await scene.coordinator.close()

    events = play(story)

    assert isinstance(events[-1], SessionReleased)
    called = [each.step for each in events if isinstance(each, WriterCalled)]
    assert called[-1] == "BackupShutdown"


def test_a_release_waits_until_the_set_that_failed_is_undone() -> None:
    async def story(ports: Ports) -> None:
        scene = await build(ports, provider={"end_prepare_snapshots": RuntimeError("no"), "abort_snapshots": 2.0})
        session = scene.coordinator.open_session()

        async def call() -> None:
            await scene.prepare(session)
            await session.do_snapshot_set()

        task = asyncio.create_task(call())
        await asyncio.sleep(1.0)
        await session.release()
        assert ports.clock.now_ns() == 2 * NANOSECONDS
        with pytest.raises(BadStateError) as caught:
            await task
        assert isinstance(caught.value.__context__, asyncio.CancelledError)
        assert isinstance(caught.value.__context__.__context__, ProviderError)
        scene.assert_nothing_left()
        await scene.coordinator.close()

    events = play(story)

    ends = [each for each in events if isinstance(each, SnapshotSetAborted | SessionReleased)]
    assert [type(each).__name__ for each in ends] == ["SnapshotSetAborted", "SessionReleased"]
    assert isinstance(ends[0], SnapshotSetAborted)
    assert "end_prepare" in ends[0].cause


def test_a_requestor_killed_while_its_set_is_undone_is_released_when_that_is_done() -> None:
    async def story(ports: Ports) -> None:
        scene = await build(ports, provider={"end_prepare_snapshots": RuntimeError("no"), "abort_snapshots": 2.0})
        loop: Any = asyncio.get_running_loop()
        task = loop.create_task(take(scene))
        await asyncio.sleep(1.0)
        loop.kill(task)
        await scene.coordinator.requestor_killed(task)
        assert ports.clock.now_ns() == 2 * NANOSECONDS
        scene.assert_nothing_left()
        await scene.coordinator.close()

    events = play(story)

    ends = [type(each).__name__ for each in events if isinstance(each, SnapshotSetAborted | SessionReleased)]
    assert ends == ["SnapshotSetAborted", "SessionReleased"]


def test_the_call_of_a_requestor_that_is_reported_dead_is_not_waited_for() -> None:
    async def story(ports: Ports) -> None:
        scene = await build(ports, on_prepare_backup=3600.0)
        loop: Any = asyncio.get_running_loop()
        ids: list[Guid] = []

        async def requestor() -> None:
            session = scene.coordinator.open_session()
            ids.append(session.session_id)
            await scene.prepare(session)

        task = loop.create_task(requestor())
        await asyncio.sleep(1.0)
        loop.kill(task)
        await scene.coordinator.requestor_died(ids[0])
        assert ports.clock.now_ns() == NANOSECONDS
        scene.assert_nothing_left()
        await scene.coordinator.close()
        await asyncio.sleep(3600.0)  # what the dead had set runs out

    play(story)


def test_a_call_that_died_unnoticed_is_waited_for_no_longer_than_an_abort_may_take() -> None:
    async def story(ports: Ports) -> None:
        scene = await build(ports, abort_s=7.0, on_prepare_backup=3600.0)
        loop: Any = asyncio.get_running_loop()
        task = loop.create_task(take(scene))
        await asyncio.sleep(1.0)
        loop.kill(task)
        await scene.coordinator.close()
        assert ports.clock.now_ns() == 8 * NANOSECONDS
        scene.assert_nothing_left()
        await asyncio.sleep(3600.0)  # what the dead had set runs out

    assert any(isinstance(each, SessionReleased) for each in play(story))


def test_a_call_that_comes_while_the_session_is_released_is_refused() -> None:
    async def story(ports: Ports) -> None:
        scene = await build(ports, on_backup_shutdown=2.0)
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        release = asyncio.create_task(session.release())
        await asyncio.sleep(1.0)
        with pytest.raises(BadStateError, match="in state 'released'"):
            await session.do_snapshot_set()
        await release
        scene.assert_nothing_left()
        await scene.coordinator.close()

    assert not [each for each in play(story) if isinstance(each, WriterCalled) and each.step == "PrepareForSnapshot"]


def test_a_release_that_is_cancelled_at_once_ends_the_set_all_the_same() -> None:
    async def story(ports: Ports) -> None:
        scene = await build(ports)
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        release = asyncio.create_task(session.release())
        await asyncio.sleep(0)
        release.cancel()
        with pytest.raises(asyncio.CancelledError):
            await release
        assert scene.calls[-1] == "A.on_backup_shutdown"
        scene.assert_nothing_left()
        await scene.coordinator.close()

    ends = [type(each).__name__ for each in play(story) if isinstance(each, SnapshotSetAborted | SessionReleased)]
    assert ends == ["SnapshotSetAborted", "SessionReleased"]


def test_a_caller_that_is_cancelled_while_its_session_is_released_is_cancelled() -> None:
    async def story(ports: Ports) -> None:
        scene = await build(ports, on_freeze=5.0, on_abort=2.0)
        session = scene.coordinator.open_session()

        async def call() -> None:
            await scene.prepare(session)
            await session.do_snapshot_set()

        task = asyncio.create_task(call())
        await asyncio.sleep(1.0)
        release = asyncio.create_task(session.release())
        await asyncio.sleep(1.0)
        task.cancel()
        await release
        assert task.cancelled()
        scene.assert_nothing_left()
        await scene.coordinator.close()

    play(story)
