"""Who has one of a writer's status slots, and from when to when; who may release what the service lost."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from vss.coordinator import Limits, Session
from vss.coordinator.writer_status import ComponentFailure
from vss.documents import BackupType, ComponentType
from vss.events import Event, PluginProblem, SessionLost, SessionReleased, WriterCalled, WriterIdentified
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import NANOSECONDS, Ports
from vss.simulation import run
from vss.testing import Scene, StubWriter

NO_SLOT = (WriterState.UNKNOWN, HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE)


def play(story: Callable[[Scene], Awaitable[Any]], slots: int = 1, **behaviour: Any) -> list[Event]:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        writer = StubWriter("A", behaviour=behaviour)
        scene = await Scene.build(ports, writers=[writer], limits=Limits(writer_status_slots=slots))
        await story(scene)
        await scene.coordinator.close()

    run(main, emit=events.append)
    return events


async def seen_by(session: Session) -> tuple[WriterState, HResult]:
    (status,) = await session.gather_writer_status()
    return status.state, status.failure


async def prepared(scene: Scene) -> Session:
    """A session without a set that has sent PrepareForBackup."""
    session = scene.coordinator.open_session()
    session.initialize_for_backup()
    session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
    await session.gather_writer_metadata()
    await session.prepare_for_backup()
    return session


def test_a_slot_is_taken_with_the_first_event_and_given_back_with_the_status_of_the_finished_backup() -> None:
    async def story(scene: Scene) -> None:
        first = await prepared(scene)
        second = await prepared(scene)
        assert await seen_by(first) == (WriterState.STABLE, HResult.S_OK)
        assert await seen_by(second) == NO_SLOT
        assert await seen_by(await prepared(scene)) == NO_SLOT  # asking for the status in between frees none
        await first.backup_complete()
        assert await seen_by(await prepared(scene)) == NO_SLOT
        await seen_by(first)
        await seen_by(first)  # once is enough, twice frees no other
        third = await prepared(scene)
        assert await seen_by(third) == (WriterState.STABLE, HResult.S_OK)
        assert await seen_by(await prepared(scene)) == NO_SLOT

    play(story)


def test_a_release_gives_the_slot_back_too_and_only_once() -> None:
    async def story(scene: Scene) -> None:
        first = await prepared(scene)
        await first.backup_complete()
        await seen_by(first)
        await first.release()
        second, third = await prepared(scene), await prepared(scene)
        assert await seen_by(second) == (WriterState.STABLE, HResult.S_OK)
        assert await seen_by(third) == NO_SLOT
        await second.release()
        assert await seen_by(await prepared(scene)) == (WriterState.STABLE, HResult.S_OK)

    play(story)


def test_a_session_that_sent_nothing_reads_what_the_latest_left_with_its_age() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as idle:
            idle.initialize_for_backup()
            await idle.gather_writer_metadata()
            (status,) = await idle.gather_writer_status()
            assert (status.age_ns, status.is_meaningful, status.session_id.int) == (0, False, 0)
            busy = await prepared(scene)
            await scene.ports.clock.sleep(7.0)
            (status,) = await idle.gather_writer_status()
            assert (status.age_ns, status.is_meaningful) == (7 * NANOSECONDS, False)
            assert status.session_id == busy.session_id
            (own,) = await busy.gather_writer_status()
            assert (own.age_ns, own.is_meaningful) == (7 * NANOSECONDS, True)

    play(story, slots=2)


def test_a_writer_that_does_not_identify_itself_is_told_of() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            assert await session.gather_writer_metadata() == []

    events = play(story, identify=RuntimeError("odd"))

    told = [(each.plugin, each.stage, each.message) for each in events if isinstance(each, PluginProblem)]
    assert told == [("A", "identify", "odd")]


def test_a_session_that_was_lost_with_the_service_is_not_released_later() -> None:
    async def story(scene: Scene) -> None:
        session = await prepared(scene)
        scene.coordinator.role_died("coord")
        await session.release()

    events = play(story)

    assert [type(each) for each in events if isinstance(each, SessionLost | SessionReleased)] == [SessionLost]
    assert "BackupShutdown" not in [each.step for each in events if isinstance(each, WriterCalled)]


def test_a_writer_without_a_freeze_timer_of_its_own_says_so() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        patient = [StubWriter("A", freeze_timeout_s=math.inf), StubWriter("B", freeze_timeout_s=1.5)]
        scene = await Scene.build(ports, writers=patient)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            await session.gather_writer_metadata()

    run(main, emit=events.append)

    limits = [each.freeze_limit_ns for each in events if isinstance(each, WriterIdentified)]
    assert limits == [-1, 1_500_000_000]


def test_a_status_without_a_slot_says_nothing_else() -> None:
    async def story(scene: Scene) -> None:
        await prepared(scene)
        late = await prepared(scene)
        await scene.ports.clock.sleep(7.0)
        (status,) = await late.gather_writer_status()
        assert (status.application_failure, status.age_ns, status.is_meaningful) == (0, 0, False)
        assert (status.session_id, status.component_failures) == (late.session_id, ())

    play(story)


def test_a_component_failure_has_no_code_of_the_application_unless_one_is_given() -> None:
    failure = ComponentFailure(ComponentType.FILE_GROUP, "", "A", HResult.VSS_E_WRITERERROR_RETRYABLE)

    assert (failure.application_failure, failure.message) == (0, "")
