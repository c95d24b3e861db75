"""Sessions where calls come early, twice, or are cancelled while they undo something."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.coordinator import Coordinator, Session, SnapshotAttributes
from vss.coordinator.limits import limits_of_profile
from vss.errors import AlreadyExistsError, BadStateError, NotFoundError, VssError
from vss.events import (
    CreationLockFreed,
    CreationLockTaken,
    Event,
    SessionLost,
    SessionReleased,
    SnapshotSetBroken,
    SnapshotSetCreated,
)
from vss.ids import Guid
from vss.machines import SessionState, WriterState
from vss.ports import NANOSECONDS, Ports
from vss.roles.provider import BreakOptions, BrokenSnapshot
from vss.roles.volume import FileSystem
from vss.roles.writer import WriterContext
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter


def play(story: Callable[[Ports], Awaitable[Any]]) -> list[Event]:
    seen: list[Event] = []
    run(story, emit=seen.append)
    return seen


def test_only_the_strict_profile_has_a_freeze_window() -> None:
    assert limits_of_profile("strict").freeze_window_s == 10.0
    assert limits_of_profile("windows").freeze_window_s == math.inf


def test_a_session_says_whether_a_volume_can_be_taken() -> None:
    async def story(ports: Ports) -> None:
        provider = StubProvider(supports=lambda volume: volume.name == "D:")
        scene = await Scene.build(ports, providers=[provider], volumes=[StubVolume(ports, "D:"), StubVolume(ports, "L:")])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            assert await session.is_volume_supported("D:")
            assert not await session.is_volume_supported("L:")

    play(story)


def test_a_session_without_a_set_has_no_shadow_copy_to_open() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            with pytest.raises(NotFoundError, match="the session has none"):
                await session.writable_snapshot("D:")

    play(story)


def test_a_shadow_copy_is_opened_for_changes_once() -> None:
    opened: list[FileSystem] = []

    async def post_snapshot(context: WriterContext) -> None:
        opened.append(await context.snapshot_files("D:"))
        opened.append(await context.snapshot_files("d:"))

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_post_snapshot": post_snapshot})])
        await scene.backup()

    play(story)
    assert opened[0] is opened[1]


def test_a_role_without_coroutines_fails_alone() -> None:
    class PlainWriter(StubWriter):
        def identify(self) -> Any:
            raise RuntimeError("not even asynchronous")

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[PlainWriter("A"), StubWriter("B")])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            assert [each.friendly_name for each in await session.gather_writer_metadata()] == ["B"]

    play(story)


async def cancelled_while_undoing(scene: Scene, session: Session) -> None:
    """Cancel DoSnapshotSet while writer B prepares, and cancel again while the provider undoes the set: the undo goes on."""
    await scene.prepare(session)
    task = asyncio.create_task(session.do_snapshot_set())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    status = {each.name: each.state for each in await session.gather_writer_status()}
    assert status["A"] is WriterState.STABLE
    assert scene.calls.count("A.on_abort") == 1


async def scene_with_a_slow_undo(ports: Ports) -> Scene:
    calls: list[str] = []
    writers = [StubWriter("A", calls), StubWriter("B", calls, behaviour={"on_prepare_snapshot": 60.0})]
    return await Scene.build(
        ports, writers=writers, providers=[StubProvider(calls=calls, behaviour={"abort_snapshots": 5.0})], calls=calls
    )


def test_an_interrupted_undo_reaches_every_writer_before_release() -> None:
    async def story(ports: Ports) -> None:
        scene = await scene_with_a_slow_undo(ports)
        async with scene.coordinator.open_session() as session:
            await cancelled_while_undoing(scene, session)
        assert scene.calls.index("A.on_abort") < scene.calls.index("A.on_backup_shutdown")
        assert scene.calls.count("A.on_abort") == 1
        scene.assert_nothing_left()

    play(story)


def test_a_writer_that_an_interrupted_undo_reached_may_hear_of_the_abort_of_the_backup() -> None:
    async def story(ports: Ports) -> None:
        scene = await scene_with_a_slow_undo(ports)
        async with scene.coordinator.open_session() as session:
            await cancelled_while_undoing(scene, session)
            await session.abort_backup()
            assert scene.calls.count("A.on_abort") == 2
        assert scene.calls.count("A.on_abort") == 2
        scene.assert_nothing_left()

    play(story)


def test_a_session_opened_outside_a_loop_has_no_requestor_to_die() -> None:
    coordinators: list[Coordinator] = []

    async def story(ports: Ports) -> None:
        coordinators.append(Coordinator(ports))
        asyncio.get_running_loop().call_soon(coordinators[0].open_session)
        await asyncio.sleep(0)
        assert coordinators[0].open_session_count == 1
        await coordinators[0].close()

    play(story)
    coordinators[0].open_session()
    assert coordinators[0].open_session_count == 1


def test_closing_the_machine_waits_for_sessions_of_dead_requestors() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_backup_shutdown": 5.0})])

        async def requestor() -> None:
            await scene.prepare(scene.coordinator.open_session())

        await asyncio.create_task(requestor())
        await asyncio.sleep(1.0)
        await scene.coordinator.close()
        assert ports.clock.now_ns() == 5 * NANOSECONDS
        scene.assert_nothing_left()

    play(story)


def test_unexposing_what_is_not_exposed_is_refused() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            (snapshot_id,) = await scene.prepare(session)
            await session.do_snapshot_set()
            with pytest.raises(BadStateError, match="is not exposed"):
                await session.unexpose_snapshot(snapshot_id)
            with pytest.raises(BadStateError, match="not persistent"):
                await session.expose_snapshot(snapshot_id, SnapshotAttributes.EXPOSED_LOCALLY, "X:")

    play(story)


def test_a_set_of_copies_that_stand_alone_is_broken() -> None:
    class Array(StubProvider):
        async def break_snapshot_set(
            self, snapshot_set_id: Guid, options: BreakOptions = BreakOptions.NONE
        ) -> list[BrokenSnapshot]:
            broken = [BrokenSnapshot(each.snapshot_id, each.original_volume, None) for each in self.finished.values()]
            self.finished.clear()
            return broken

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[Array()])
        async with scene.coordinator.open_session() as session:
            (snapshot_id,) = await scene.prepare(session)
            await session.do_snapshot_set()
            (broken,) = await session.break_snapshot_set(session.snapshot_set_id, BreakOptions.MASK_LUNS)
            assert broken.snapshot_id == snapshot_id
            assert await session.query() == []

    assert any(isinstance(each, SnapshotSetBroken) for each in play(story))


def test_the_lock_of_creation_is_taken_for_a_set_and_freed_when_it_is_there() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()

    kinds = [type(each) for each in play(story)]

    assert kinds.count(CreationLockTaken) == kinds.count(CreationLockFreed) == 1
    assert kinds.index(CreationLockTaken) < kinds.index(SnapshotSetCreated) < kinds.index(CreationLockFreed)


def test_a_session_that_was_being_released_when_the_service_died_is_lost_with_it() -> None:
    plan = FaultPlan.parse("fault coord.abort crash=after")
    seen: list[Event] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        plan.when_died.append(scene.coordinator.role_died)
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        with pytest.raises(VssError, match="it died"):
            await session.release()
        with pytest.raises(BadStateError):
            session.initialize_for_backup()

    run(story, faults=plan, emit=seen.append)

    assert [type(each) for each in seen if isinstance(each, SessionLost | SessionReleased | CreationLockFreed)] == [SessionLost]


def test_sessions_are_lost_with_the_service_that_died_and_the_lock_with_them() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        scene.coordinator.role_died("coord")
        assert scene.coordinator.open_session_count == 0
        assert not scene.coordinator.is_creating
        with pytest.raises(BadStateError):
            await session.do_snapshot_set()
        await scene.coordinator.close()

    kinds = [type(each) for each in play(story)]

    assert SessionLost in kinds
    assert SessionReleased not in kinds


def test_the_requestor_that_died_is_the_one_meant_and_a_writer_subscribes_once() -> None:
    async def story(ports: Ports) -> None:
        patient = StubWriter("A", freeze_timeout_s=300.0)
        scene = await Scene.build(ports, writers=[patient])
        with pytest.raises(AlreadyExistsError):
            scene.coordinator.add_writer(patient)
        async with scene.coordinator.open_session() as first, scene.coordinator.open_session() as second:
            await scene.prepare(first)
            await first.do_snapshot_set()
            await scene.coordinator.requestor_died(second.session_id)
            assert scene.coordinator.open_session_count == 1
            assert first.state is SessionState.SNAPSHOT_TAKEN
        await scene.coordinator.close()

    play(story)
