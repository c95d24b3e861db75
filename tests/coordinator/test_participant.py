"""Steps of a writer that are given up, late, lost or cut short: what counts afterwards, and who still hears of the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from vss.coordinator import Limits, Session, WriterStatus
from vss.coordinator.limits import limits_of_profile
from vss.documents import BackupType
from vss.errors import BadStateError, VssError, WriterRetryableError
from vss.events import ApplicationLogged, Event, WriterAborted, WriterTimedOut, WriterVetoed
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import NANOSECONDS, Ports
from vss.roles.writer import ApplicationLevel, WriterContext
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubWriter

Story = Callable[[Scene, Session], Awaitable[Any]]


def play(
    story: Story, writers: Sequence[StubWriter], *, limits: Limits | None = None, faults: str = "", **provider: Any
) -> list[Event]:
    """Run ``story`` with a session that has not begun; nothing may be left."""
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        calls: list[str] = []
        for writer in writers:
            writer.calls = calls
        providers = [StubProvider(calls=calls, behaviour=provider)]
        scene = await Scene.build(ports, writers=writers, providers=providers, calls=calls, limits=limits)
        async with scene.coordinator.open_session() as session:
            await story(scene, session)
        scene.assert_nothing_left()
        await scene.coordinator.close()

    run(main, emit=events.append, faults=FaultPlan.parse(faults) if faults else None)
    return events


async def status_of(session: Session, name: str = "A") -> WriterStatus:
    return next(each for each in await session.gather_writer_status() if each.name == name)


def test_a_writer_that_was_not_reached_yet_is_aborted_as_soon_as_the_freeze_is_given_up() -> None:
    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        taking = asyncio.create_task(session.do_snapshot_set())
        await scene.ports.clock.sleep(1.0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert "B.on_freeze" not in scene.calls

    writers = [StubWriter("A", behaviour={"on_freeze": "hang"}), StubWriter("B", level=ApplicationLevel.SYSTEM)]
    events = play(story, writers)

    told = [(each.writer, each.cause) for each in events if isinstance(each, WriterAborted)]
    assert told == [("A", "freeze failed"), ("B", "freeze failed")]


def test_a_context_is_of_no_use_after_its_handler_returned() -> None:
    kept: list[WriterContext] = []

    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        context = kept[0]
        assert context.session_id == session.session_id
        part = context.components
        assert part is not None
        (component,) = part.components
        key = (component.type, component.logical_path, component.component_name)
        uses: list[Callable[[], Any]] = [
            lambda: context.set_failure(HResult.VSS_E_WRITERERROR_RETRYABLE),
            lambda: context.set_components(part),
            lambda: context.set_component_failure(*key, HResult.VSS_E_WRITERERROR_RETRYABLE),
        ]
        for use in uses:
            with pytest.raises(BadStateError, match="after its handler returned"):
                use()
        with pytest.raises(BadStateError, match="after its handler returned"):
            await context.snapshot_files("D:")

    play(story, [StubWriter("A", behaviour={"on_prepare_backup": kept.append})])


def test_a_component_that_failed_makes_a_partial_failure_without_a_code_of_the_application() -> None:
    async def partly(context: WriterContext) -> None:
        assert context.components is not None
        (component,) = context.components.components
        key = (component.type, component.logical_path, component.component_name)
        context.set_component_failure(*key, HResult.VSS_E_WRITERERROR_RETRYABLE, "torn", 7)

    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        status = await status_of(session)
        assert (status.failure, status.application_failure) == (HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE, 0)
        (failure,) = status.component_failures
        assert (failure.failure, failure.message, failure.application_failure) == (
            HResult.VSS_E_WRITERERROR_RETRYABLE,
            "torn",
            7,
        )

    play(story, [StubWriter("A", behaviour={"on_prepare_backup": partly})])


def test_a_status_is_as_old_as_the_last_answer_and_says_no_failure_of_the_application() -> None:
    async def story(scene: Scene, session: Session) -> None:
        await scene.ports.clock.sleep(3.0)
        await scene.prepare(session)
        await scene.ports.clock.sleep(7.0)
        status = await status_of(session)
        assert (status.age_ns, status.application_failure) == (7 * NANOSECONDS, 0)
        assert (status.failure, status.message) == (HResult.S_OK, "")

    play(story, [StubWriter("A")])


def test_a_status_of_no_answer_is_as_old_as_the_limit() -> None:
    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        assert (await status_of(session)).age_ns == 0
        assert scene.ports.clock.now_ns() == 600 * NANOSECONDS

    play(story, [StubWriter("A", behaviour={"on_prepare_backup": "hang"})])


def test_a_writer_that_did_not_answer_post_snapshot_hears_no_abort_of_the_backup() -> None:
    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        await session.do_snapshot_set()
        assert (await status_of(session)).state is WriterState.UNKNOWN
        await session.abort_backup()
        assert "A.on_abort" not in scene.calls

    play(story, [StubWriter("A", behaviour={"on_post_snapshot": "hang"})])


@pytest.mark.parametrize(("timeout_s", "is_named"), [(120.0, False), (120.5, True)])
def test_a_freeze_is_long_when_it_takes_more_than_two_minutes(timeout_s: float, is_named: bool) -> None:
    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        await session.do_snapshot_set()

    writer = StubWriter("A", freeze_timeout_s=timeout_s, behaviour={"on_freeze": "hang"})
    events = play(story, [writer], limits=limits_of_profile("windows"))

    assert (4003 in [each.event_id for each in events if isinstance(each, ApplicationLogged)]) is is_named


def test_a_freeze_that_ends_after_its_timer_changes_nothing() -> None:
    async def stubborn(context: WriterContext) -> None:
        try:
            await asyncio.sleep(1000.0)
        except asyncio.CancelledError:
            await asyncio.sleep(5.0)  # thaws nothing, and does not say so either

    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        await session.do_snapshot_set()
        status = await status_of(session)
        assert (status.state, status.failure) == (WriterState.FAILED_AT_FREEZE, HResult.VSS_E_WRITERERROR_TIMEOUT)
        assert status.message == "frozen longer than 2 s"
        assert status.age_ns == 5 * NANOSECONDS  # since its timer sent Abort
        assert scene.calls.count("A.on_abort") == 1

    play(story, [StubWriter("A", freeze_timeout_s=2.0, behaviour={"on_freeze": stubborn})])


@pytest.mark.parametrize("step", ["on_prepare_backup", "on_post_snapshot"])
def test_an_answer_after_the_limit_changes_nothing(step: str) -> None:
    async def stubborn(context: WriterContext) -> None:
        try:
            await asyncio.sleep(5000.0)
        except asyncio.CancelledError:
            await asyncio.sleep(5.0)

    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        await session.do_snapshot_set()
        before = await status_of(session)
        await scene.ports.clock.sleep(60.0)
        after = await status_of(session)
        assert (after.state, after.failure) == (before.state, before.failure)
        assert (after.state, after.failure) == (WriterState.UNKNOWN, HResult.VSS_E_WRITER_NOT_RESPONDING)
        assert after.age_ns - before.age_ns == 60 * NANOSECONDS

    play(story, [StubWriter("A", behaviour={step: stubborn}), StubWriter("B")])


def test_an_answer_after_the_set_was_given_up_changes_nothing() -> None:
    ended: list[str] = []

    async def stubborn(context: WriterContext) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + 6.0
        while loop.time() < until:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(until - loop.time())
        ended.append("late")

    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        taking = asyncio.create_task(session.do_snapshot_set())
        await scene.ports.clock.sleep(1.0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        await scene.ports.clock.sleep(9.0)
        status = await status_of(session)
        assert ended == ["late"]
        assert (status.state, status.age_ns) == (WriterState.FAILED_AT_POST_SNAPSHOT, 9 * NANOSECONDS)

    play(story, [StubWriter("A", behaviour={"on_post_snapshot": stubborn})])


@pytest.mark.parametrize("has_set", [True, False])
def test_a_prepare_for_backup_that_is_cut_short_keeps_nobody_from_aborting_the_backup(has_set: bool) -> None:
    async def story(scene: Scene, session: Session) -> None:
        async def prepare() -> None:
            session.initialize_for_backup()
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
            await session.gather_writer_metadata()
            if has_set:
                session.start_snapshot_set()
                await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()

        preparing = asyncio.create_task(prepare())
        await scene.ports.clock.sleep(1.0)
        preparing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await preparing
        await session.abort_backup()
        await session.release()
        assert scene.calls[-1] == "A.on_backup_shutdown"
        assert scene.ports.clock.now_ns() == NANOSECONDS

    events = play(story, [StubWriter("A", behaviour={"on_prepare_backup": "hang"})])

    assert not [each for each in events if isinstance(each, WriterVetoed)]


def test_an_abort_without_an_answer_is_over_at_its_limit_and_not_sent_again() -> None:
    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        await session.abort_backup()
        assert scene.ports.clock.now_ns() == 60 * NANOSECONDS
        assert scene.calls.count("A.on_abort") == 1

    events = play(story, [StubWriter("A", behaviour={"on_abort": "hang"})])

    assert [(each.step, each.limit_ns) for each in events if isinstance(each, WriterTimedOut)] == [("Abort", 60 * NANOSECONDS)]
    assert len([each for each in events if isinstance(each, WriterAborted)]) == 1


def test_an_abort_that_is_sent_again_reaches_a_writer_that_did_not_answer_the_first() -> None:
    heard: list[str] = []

    async def hang_once(context: WriterContext) -> None:
        heard.append("abort")
        if len(heard) == 1:
            await asyncio.sleep(3600.0)

    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        with pytest.raises(VssError):
            await session.do_snapshot_set()
        await session.abort_backup()

    play(story, [StubWriter("A", behaviour={"on_freeze": 5.0, "on_abort": hang_once})], faults="provider.pre_commit fail")

    assert heard == ["abort", "abort"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [("writer.freeze fail-after", "injected fault"), ("writer.post_snapshot hang=after", "no answer to PostSnapshot")],
)
def test_an_answer_that_was_lost_is_told_in_the_status(fault: str, message: str) -> None:
    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        with suppress(VssError):
            await session.do_snapshot_set()
        assert message in (await status_of(session)).message

    play(story, [StubWriter("A")], faults=fault)


def test_the_first_failure_of_a_writer_stays_with_the_code_of_its_application() -> None:
    async def refuse(context: WriterContext) -> None:
        context.set_failure(HResult.VSS_E_WRITERERROR_RETRYABLE, "not now", 42)

    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        await session.do_snapshot_set()
        status = await status_of(session)
        assert (status.failure, status.message, status.application_failure) == (
            HResult.VSS_E_WRITERERROR_RETRYABLE,
            "not now",
            42,
        )

    play(story, [StubWriter("A", behaviour={"on_freeze": refuse, "on_abort": WriterRetryableError("and then")})])


def test_a_failure_without_a_code_of_the_application_has_none() -> None:
    async def refuse(context: WriterContext) -> None:
        assert context.components is not None
        (component,) = context.components.components
        key = (component.type, component.logical_path, component.component_name)
        context.set_component_failure(*key, HResult.VSS_E_WRITERERROR_RETRYABLE)
        context.set_failure(HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE, "partly")

    async def story(scene: Scene, session: Session) -> None:
        await scene.prepare(session)
        status = await status_of(session)
        assert (status.failure, status.application_failure) == (HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE, 0)
        assert [each.application_failure for each in status.component_failures] == [0]

    play(story, [StubWriter("A", behaviour={"on_prepare_backup": refuse})])
