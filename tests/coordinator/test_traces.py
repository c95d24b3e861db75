"""Whole sessions against stub roles, in virtual time: who is called in which order, and what is left when something fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.coordinator import Limits, SnapshotContext, limits_of_profile
from vss.errors import (
    AlreadyExistsError,
    BadStateError,
    ConfigurationError,
    FlushWritesTimeoutError,
    FreezeWindowError,
    HoldWritesTimeoutError,
    InsufficientStorageError,
    InvalidArgumentError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    SetInProgressError,
    VolumeError,
    VolumeNotSupportedError,
    WriterError,
    WriterRetryableError,
)
from vss.events import Event, FreezeWindowLost, HoldLost, LateAnswerIgnored, WriterTimedOut
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import NANOSECONDS, Ports
from vss.roles.provider import ProviderType
from vss.roles.writer import ApplicationLevel, WriterContext
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter
from vss.testing.stubs import stub_guid

Story = Callable[[Ports], Awaitable[Any]]


def play(story: Story) -> list[Event]:
    """Run a story in a fresh world and return what was recorded."""
    events: list[Event] = []
    run(story, emit=events.append)
    return events


def without(prefix: str, calls: list[str]) -> list[str]:
    return [each for each in calls if not each.startswith(prefix)]


def test_one_writer_one_volume_is_called_in_the_order_of_the_vendor() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        await scene.backup()

        assert scene.calls == [
            "A.identify",
            "provider.begin_prepare_snapshot",
            "A.on_prepare_backup",
            "provider.end_prepare_snapshots",
            "A.on_prepare_snapshot",
            "A.on_freeze",
            "provider.pre_commit_snapshots",
            "D:.hold",
            "provider.commit_snapshots",
            "D:.release",
            "provider.post_commit_snapshots",
            "A.on_thaw",
            "provider.pre_final_commit_snapshots",
            "A.on_post_snapshot",
            "provider.post_final_commit_snapshots",
            "A.on_backup_complete",
            "A.on_backup_shutdown",
            "provider.delete_snapshot",
        ]
        scene.assert_nothing_left()

    play(story)


def test_levels_freeze_front_to_back_and_thaw_back_to_front() -> None:
    async def story(ports: Ports) -> None:
        calls: list[str] = []
        writers = [
            StubWriter("S", calls, level=ApplicationLevel.SYSTEM),
            StubWriter("F", calls, level=ApplicationLevel.FRONT_END),
            StubWriter("B", calls, level=ApplicationLevel.BACK_END),
        ]
        scene = await Scene.build(ports, writers=writers, calls=calls)
        await scene.backup()

        assert [each for each in calls if each.endswith("on_freeze")] == ["F.on_freeze", "B.on_freeze", "S.on_freeze"]
        assert [each for each in calls if each.endswith("on_thaw")] == ["S.on_thaw", "B.on_thaw", "F.on_thaw"]

    play(story)


def test_a_writer_without_a_selected_component_gets_identify_only() -> None:
    async def story(ports: Ports) -> None:
        calls: list[str] = []
        idle = StubWriter("B", calls, components=())
        idle.components = ()
        scene = await Scene.build(ports, writers=[StubWriter("A", calls), idle], calls=calls)
        await scene.backup()

        assert [each for each in calls if each.startswith("B.")] == ["B.identify"]

    play(story)


def test_volume_mode_sends_every_event_with_no_component_list() -> None:
    async def story(ports: Ports) -> None:
        seen: list[object] = []
        writer = StubWriter("A", behaviour={"on_prepare_backup": lambda context: seen.append(context.components)})
        scene = await Scene.build(ports, writers=[writer])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=session.backup_type)
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            await session.backup_complete()

        assert seen == [None]
        assert "A.on_backup_complete" in writer.calls

    play(story)


@pytest.mark.parametrize(
    ("method", "state", "is_aborted"),
    [
        ("on_prepare_backup", WriterState.FAILED_AT_PREPARE_BACKUP, False),
        ("on_prepare_snapshot", WriterState.FAILED_AT_PREPARE_SNAPSHOT, False),
        ("on_freeze", WriterState.FAILED_AT_FREEZE, True),
        ("on_thaw", WriterState.FAILED_AT_THAW, True),
        ("on_post_snapshot", WriterState.FAILED_AT_POST_SNAPSHOT, False),
    ],
)
def test_a_veto_marks_that_writer_only_and_the_set_is_taken(method: str, state: WriterState, is_aborted: bool) -> None:
    async def story(ports: Ports) -> None:
        calls: list[str] = []
        bad = StubWriter("bad", calls, behaviour={method: WriterRetryableError("not now")})
        scene = await Scene.build(ports, writers=[bad, StubWriter("good", calls)], calls=calls)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            bad_status, good_status = await session.gather_writer_status()

        assert (bad_status.state, bad_status.failure) == (state, HResult.VSS_E_WRITERERROR_RETRYABLE)
        assert (good_status.state, good_status.failure) == (WriterState.WAITING_FOR_BACKUP_COMPLETE, HResult.S_OK)
        assert ("bad.on_abort" in calls) is is_aborted
        assert calls[-1] == "provider.delete_snapshot"
        scene.assert_nothing_left()

    play(story)


def test_an_exception_of_a_writer_is_its_non_retryable_failure() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_prepare_backup": ZeroDivisionError("oops")})])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            (status,) = await session.gather_writer_status()

        assert status.failure is HResult.VSS_E_WRITERERROR_NONRETRYABLE
        assert status.message == "ZeroDivisionError: oops"

    play(story)


def test_a_writer_error_with_an_illegal_code_is_reported_as_non_retryable() -> None:
    async def story(ports: Ports) -> None:
        veto = WriterError("wrong vocabulary", hresult=HResult.E_FAIL)
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_freeze": veto})])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            (status,) = await session.gather_writer_status()

        assert status.failure is HResult.VSS_E_WRITERERROR_NONRETRYABLE

    play(story)


def test_set_failure_without_raising_counts_as_a_veto_and_drops_document_changes() -> None:
    async def story(ports: Ports) -> None:
        def fail(context: WriterContext) -> None:
            part = context.components
            assert part is not None
            context.set_components(part.__class__(part.writer_id, part.instance_id))
            context.set_failure(HResult.VSS_E_WRITERERROR_OUTOFRESOURCES, "no memory")

        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_prepare_backup": fail})])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            (status,) = await session.gather_writer_status()
            assert len(session.document.writers[0].components) == 1

        assert (status.failure, status.message) == (HResult.VSS_E_WRITERERROR_OUTOFRESOURCES, "no memory")

    play(story)


@pytest.mark.parametrize(
    "method",
    [
        "end_prepare_snapshots",
        "pre_commit_snapshots",
        "commit_snapshots",
        "post_commit_snapshots",
        "pre_final_commit_snapshots",
        "post_final_commit_snapshots",
    ],
)
def test_a_provider_veto_in_any_phase_leaves_nothing(method: str) -> None:
    async def story(ports: Ports) -> None:
        calls: list[str] = []
        provider = StubProvider(calls=calls, behaviour={method: ProviderVetoError("disk says no")})
        scene = await Scene.build(ports, providers=[provider], calls=calls)
        with pytest.raises(ProviderVetoError, match=r"provider 'Stub provider' failed in .*: disk says no") as caught:
            await scene.backup()

        assert caught.value.hresult is HResult.VSS_E_PROVIDER_VETO
        assert calls.count("provider.abort_snapshots") == 1
        assert not provider.finished
        scene.assert_nothing_left()
        reached_writers = method != "end_prepare_snapshots"
        past_post_snapshot = method == "post_final_commit_snapshots"
        assert ("A.on_abort" in calls) is (reached_writers and not past_post_snapshot)

    play(story)


def test_what_a_provider_must_not_return_is_translated() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"end_prepare_snapshots": RuntimeError("E_FAIL")})])
        with pytest.raises(ProviderError) as caught:
            await scene.backup()

        assert caught.value.hresult is HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR
        assert caught.value.exit_code is ExitCode.SNAPSHOT_FAILED
        assert isinstance(caught.value.__cause__, RuntimeError)

    play(story)


def test_all_failing_providers_are_named_the_first_leads() -> None:
    async def story(ports: Ports) -> None:
        volumes = [StubVolume(ports, "D:"), StubVolume(ports, "L:")]
        one = StubProvider(
            "one", behaviour={"commit_snapshots": InsufficientStorageError("full")}, supports=lambda v: v.name == "D:"
        )
        two = StubProvider("two", behaviour={"commit_snapshots": ProviderVetoError("no")}, supports=lambda v: v.name == "L:")
        scene = await Scene.build(ports, providers=[one, two], volumes=volumes)
        with pytest.raises(InsufficientStorageError) as caught:
            await scene.backup(volumes=["D:", "L:"])

        assert caught.value.__notes__[0] == "provider 'two' failed in commit: no"
        scene.assert_nothing_left()

    play(story)


def test_a_failing_abort_is_noted_and_stops_nothing() -> None:
    async def story(ports: Ports) -> None:
        behaviour = {"commit_snapshots": ProviderVetoError("no"), "abort_snapshots": RuntimeError("stuck")}
        scene = await Scene.build(ports, providers=[StubProvider(behaviour=behaviour)])
        with pytest.raises(ProviderVetoError) as caught:
            await scene.backup()

        assert any("stuck" in note for note in caught.value.__notes__)
        scene.assert_nothing_left()

    play(story)


def test_a_commit_that_takes_too_long_loses_the_hold_and_the_next_backup_works() -> None:
    async def story(ports: Ports) -> None:
        provider = StubProvider(behaviour={"commit_snapshots": 15.0})
        scene = await Scene.build(ports, providers=[provider])
        with pytest.raises(HoldWritesTimeoutError) as caught:
            await scene.backup()
        assert caught.value.hresult is HResult.VSS_E_HOLD_WRITES_TIMEOUT
        assert ports.clock.now_ns() == 10 * NANOSECONDS
        scene.assert_nothing_left()

        provider.behaviour.clear()
        await scene.backup()
        scene.assert_nothing_left()

    events = play(story)
    assert [each.held_ns for each in events if isinstance(each, HoldLost)] == [10 * NANOSECONDS]


def test_a_provider_that_never_answers_in_commit_loses_the_hold() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"commit_snapshots": "hang"})])
        with pytest.raises(HoldWritesTimeoutError):
            await scene.backup()
        scene.assert_nothing_left()

    play(story)


def test_one_volume_that_cannot_be_flushed_releases_the_others() -> None:
    async def story(ports: Ports) -> None:
        calls: list[str] = []
        slow = StubVolume(ports, "L:", calls, {"flush_and_hold": FlushWritesTimeoutError("flushing L: took too long")})
        scene = await Scene.build(ports, volumes=[StubVolume(ports, "D:", calls), slow], calls=calls)
        with pytest.raises(FlushWritesTimeoutError):
            await scene.backup(volumes=["D:", "L:"])
        assert "D:.release" in calls
        scene.assert_nothing_left()

    play(story)


def test_whatever_a_volume_raises_the_requestor_hears_of_a_volume() -> None:
    async def story(ports: Ports) -> None:
        calls: list[str] = []
        broken = StubVolume(ports, "L:", calls, {"flush_and_hold": RuntimeError("a bug")})
        scene = await Scene.build(ports, volumes=[StubVolume(ports, "D:", calls), broken], calls=calls)
        with pytest.raises(VolumeError, match="volume L: did not hold its writes: RuntimeError: a bug"):
            await scene.backup(volumes=["D:", "L:"])
        assert "D:.release" in calls
        scene.assert_nothing_left()

    play(story)


@pytest.mark.parametrize(("method", "left"), [("on_freeze", "freezing"), ("on_thaw", "thawing")])
def test_a_writer_that_hangs_loses_the_freeze_window_of_ten_seconds(method: str, left: str) -> None:
    async def story(ports: Ports) -> None:
        calls: list[str] = []
        writers = [StubWriter("slow", calls, behaviour={method: "hang"}), StubWriter("A", calls)]
        scene = await Scene.build(ports, writers=writers, calls=calls)
        with pytest.raises(FreezeWindowError, match=rf"freeze window lost while {left} the writers.*\(late: slow\)") as caught:
            await scene.backup()

        assert caught.value.exit_code is ExitCode.WINDOW_LOST
        assert ports.clock.now_ns() == 10 * NANOSECONDS
        assert "slow.on_abort" in calls
        assert calls.count("provider.abort_snapshots") == 1
        scene.assert_nothing_left()

        writers[0].behaviour.clear()
        await scene.backup()
        scene.assert_nothing_left()

    events = play(story)
    assert any(isinstance(each, FreezeWindowLost) for each in events)


@pytest.mark.parametrize(
    ("method", "state"), [("on_freeze", WriterState.FAILED_AT_FREEZE), ("on_thaw", WriterState.FAILED_AT_THAW)]
)
def test_in_the_windows_profile_a_hanging_writer_fails_alone_after_its_own_timeout(method: str, state: WriterState) -> None:
    async def story(ports: Ports) -> None:
        slow = StubWriter("slow", behaviour={method: "hang"}, freeze_timeout_s=20.0)
        scene = await Scene.build(ports, writers=[slow, StubWriter("A")], limits=limits_of_profile("windows"))
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            status, healthy = await session.gather_writer_status()
            assert ports.clock.now_ns() == 20 * NANOSECONDS

        assert (status.state, status.failure) == (state, HResult.VSS_E_WRITERERROR_TIMEOUT)
        assert healthy.failure is HResult.S_OK
        assert slow.calls.count("on_abort") == 0
        assert slow.calls.count("slow.on_abort") == 1

    events = play(story)
    assert [each.writer for each in events if isinstance(each, WriterTimedOut)] == ["slow"]


def test_a_late_answer_has_no_effect() -> None:
    async def story(ports: Ports) -> None:
        answered: list[str] = []

        async def ignore_cancellation(context: WriterContext) -> None:
            for _ in range(3):
                try:
                    await asyncio.sleep(30.0)
                except asyncio.CancelledError:
                    answered.append("cancelled")
            answered.append("returned")

        slow = StubWriter("slow", behaviour={"on_thaw": ignore_cancellation})
        scene = await Scene.build(ports, writers=[slow])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            with pytest.raises(FreezeWindowError):
                await session.do_snapshot_set()
            await asyncio.sleep(120.0)
            (status,) = await session.gather_writer_status()

        assert answered[-1] == "returned"
        assert status.state is WriterState.FAILED_AT_THAW

    events = play(story)
    assert any(isinstance(each, LateAnswerIgnored) for each in events)


def test_no_answer_outside_the_window_is_writer_not_responding() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_prepare_backup": "hang"})])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            (status,) = await session.gather_writer_status()

        assert status.failure is HResult.VSS_E_WRITER_NOT_RESPONDING
        assert ports.clock.now_ns() == 600 * NANOSECONDS

    play(story)


def test_a_writer_that_fails_identify_is_missing_and_the_rest_goes_on() -> None:
    async def story(ports: Ports) -> None:
        wrong = StubWriter("wrong")
        wrong.behaviour["identify"] = lambda: setattr(wrong, "writer_class_id", stub_guid("other"))
        broken = StubWriter("broken", behaviour={"identify": RuntimeError("no")})
        scene = await Scene.build(ports, writers=[broken, StubWriter("A")])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            found = await session.gather_writer_metadata()

        assert [each.friendly_name for each in found] == ["A"]

    play(story)


def test_identify_must_return_metadata_of_the_writers_own_class() -> None:
    async def story(ports: Ports) -> None:
        liar = StubWriter("liar")

        async def identify() -> Any:
            return "a document"

        liar.identify = identify  # type: ignore[method-assign]
        scene = await Scene.build(ports, writers=[liar])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            assert await session.gather_writer_metadata() == []

    play(story)


def test_a_second_requestor_is_refused_while_a_set_is_in_creation_and_only_then() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as first, scene.coordinator.open_session() as second:
            await scene.prepare(first)
            second.initialize_for_backup()
            await second.gather_writer_metadata()
            with pytest.raises(SetInProgressError) as caught:
                second.start_snapshot_set()
            assert caught.value.exit_code is ExitCode.SET_IN_PROGRESS
            await first.do_snapshot_set()
            second.start_snapshot_set()
        scene.assert_nothing_left()

    play(story)


def test_the_creation_lock_is_free_after_release_without_a_set() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
        scene.assert_nothing_left()
        assert scene.calls[-1] == "A.on_backup_shutdown"
        await scene.backup()

    play(story)


def test_release_deletes_auto_release_copies_and_keeps_persistent_ones() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        await scene.backup()
        assert scene.coordinator.snapshots() == []
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.APP_ROLLBACK)
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            snapshot_id = await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            assert session.get_snapshot_properties(snapshot_id).original_volume == "D:"
            assert await (await session.open_snapshot(snapshot_id)).list_directory("/") == []

        assert [each.snapshot_id for each in scene.coordinator.snapshots()] == [snapshot_id]
        assert scene.coordinator.snapshots(SnapshotContext.BACKUP) == []
        assert len(scene.coordinator.snapshots(SnapshotContext.APP_ROLLBACK)) == 1

    play(story)


def test_a_context_without_writers_sends_no_events() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.FILE_SHARE_BACKUP)
            session.start_snapshot_set()
            await session.add_to_snapshot_set("D:")
            await session.do_snapshot_set()
            with pytest.raises(BadStateError):
                await session.backup_complete()

        assert without("provider", without("D:", scene.calls)) == []

    play(story)


def test_the_context_for_queries_cannot_be_created_in() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.ALL)
            with pytest.raises(BadStateError):
                session.start_snapshot_set()
            assert await session.query() == []

    play(story)


def test_abort_after_the_set_was_taken_sends_no_abort_to_writers_past_post_snapshot() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            await session.abort_backup()
            with pytest.raises(BadStateError):
                await session.backup_complete()

        assert "A.on_abort" not in scene.calls
        assert scene.calls[-2:] == ["A.on_backup_shutdown", "provider.delete_snapshot"]
        scene.assert_nothing_left()

    play(story)


@pytest.mark.parametrize(
    "where",
    [
        "on_prepare_backup",
        "on_prepare_snapshot",
        "on_freeze",
        "on_thaw",
        "on_post_snapshot",
        "on_backup_complete",
        "provider.end_prepare_snapshots",
        "provider.pre_commit_snapshots",
        "provider.commit_snapshots",
        "provider.post_commit_snapshots",
        "provider.pre_final_commit_snapshots",
        "provider.post_final_commit_snapshots",
    ],
)
def test_cancelling_the_requestor_at_any_point_leaves_nothing(where: str) -> None:
    async def story(ports: Ports) -> None:
        calls: list[str] = []
        reached = asyncio.Event()

        async def wait_there(*arguments: object) -> None:
            reached.set()
            await asyncio.sleep(5.0)

        role, _, method = where.rpartition(".")
        behaviour = {method: wait_there}
        writer = StubWriter("A", calls, behaviour={} if role else behaviour)
        provider = StubProvider(calls=calls, behaviour=behaviour if role else {})
        scene = await Scene.build(ports, writers=[writer], providers=[provider], calls=calls)
        task = asyncio.create_task(scene.backup())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        scene.assert_nothing_left()
        assert not provider.finished

        writer.behaviour.clear()
        provider.behaviour.clear()
        await scene.backup()
        scene.assert_nothing_left()

    play(story)


def test_default_selection_prefers_hardware_to_software_to_system() -> None:
    async def story(ports: Ports) -> None:
        kinds = (ProviderType.SYSTEM, ProviderType.SOFTWARE, ProviderType.HARDWARE)
        providers = [StubProvider(kind.name, type=kind) for kind in kinds]
        scene = await Scene.build(ports, providers=providers)
        await scene.backup()
        assert [each.name for each in providers if each.calls] == ["HARDWARE"]

    play(story)


def test_a_chosen_provider_must_exist_and_support_the_volume() -> None:
    async def story(ports: Ports) -> None:
        picky = StubProvider("picky", supports=lambda volume: False)
        scene = await Scene.build(ports, providers=[picky])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            with pytest.raises(NotFoundError, match="registered are picky") as unknown:
                await session.add_to_snapshot_set("D:", stub_guid("nobody"))
            assert unknown.value.hresult is HResult.VSS_E_PROVIDER_NOT_REGISTERED
            with pytest.raises(VolumeNotSupportedError) as chosen:
                await session.add_to_snapshot_set("D:", picky.provider_id)
            assert chosen.value.hresult is HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER
            with pytest.raises(VolumeNotSupportedError) as default:
                await session.add_to_snapshot_set("D:")
            assert default.value.hresult is HResult.VSS_E_VOLUME_NOT_SUPPORTED
            assert not await session.is_volume_supported("D:")
            with pytest.raises(NotFoundError, match="no volume X:: found D:"):
                await session.add_to_snapshot_set("X:")

    play(story)


def test_a_provider_that_fails_the_question_is_translated() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"is_volume_supported": KeyError("x")})])
        with pytest.raises(ProviderError, match="is_volume_supported"):
            await scene.backup()
        scene.assert_nothing_left()

    play(story)


def test_the_machine_may_choose_the_provider() -> None:
    async def story(ports: Ports) -> None:
        providers = [StubProvider("one"), StubProvider("two")]
        scene = await Scene.build(ports, providers=providers)
        scene.coordinator._choose_provider = lambda volume, context: providers[1].provider_id
        await scene.backup()
        assert not providers[0].calls

    play(story)


def test_the_65th_volume_and_a_volume_twice_are_refused_and_the_set_stays_usable() -> None:
    async def story(ports: Ports) -> None:
        names = [f"V{number}:" for number in range(65)]
        scene = await Scene.build(ports, volumes=[StubVolume(ports, each) for each in names])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            for name in names[:64]:
                await session.add_to_snapshot_set(name)
            with pytest.raises(InvalidArgumentError) as twice:
                await session.add_to_snapshot_set("v0:")
            assert twice.value.hresult is HResult.VSS_E_OBJECT_ALREADY_EXISTS
            with pytest.raises(InvalidArgumentError) as full:
                await session.add_to_snapshot_set(names[64])
            assert full.value.hresult is HResult.VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED
            await session.prepare_for_backup()
            await session.do_snapshot_set()

    play(story)


def test_components_must_exist_and_are_added_once() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=session.backup_type)
            (metadata,) = await session.gather_writer_metadata()
            kind = metadata.components[0].type
            with pytest.raises(NotFoundError, match="found A"):
                session.add_component(metadata.instance_id, metadata.writer_id, kind, "", "B")
            with pytest.raises(NotFoundError, match="answered Identify"):
                session.add_component(stub_guid("x"), metadata.writer_id, kind, "", "A")
            session.add_component(metadata.instance_id, metadata.writer_id, kind, "", "a")
            with pytest.raises(AlreadyExistsError):
                session.add_component(metadata.instance_id, metadata.writer_id, kind, "", "A")
            session.set_backup_options(metadata.writer_id, kind, "", "A", "verbose")
            session.set_previous_backup_stamp(metadata.writer_id, kind, "", "A", b"stamp")
            with pytest.raises(NotFoundError):
                session.set_backup_options(metadata.writer_id, kind, "", "nobody", "verbose")
            part = session.components_of(metadata.instance_id)
            assert part is not None
            assert (part.components[0].backup_options, part.components[0].previous_backup_stamp) == ("verbose", b"stamp")

    play(story)


def test_disabled_writer_classes_are_not_asked() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A"), StubWriter("B")])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.disable_writer_classes([stub_guid("A"), stub_guid("B")])
            session.enable_writer_classes([stub_guid("B")])
            assert [each.friendly_name for each in await session.gather_writer_metadata()] == ["B"]

    play(story)


def test_deleting_a_shadow_copy_that_is_gone_is_not_found() -> None:
    async def story(ports: Ports) -> None:
        provider = StubProvider()
        scene = await Scene.build(ports, providers=[provider])
        async with scene.coordinator.open_session() as session:
            (snapshot_id,) = await scene.prepare(session)
            await session.do_snapshot_set()
            assert await session.delete_snapshots([snapshot_id]) == 1
            with pytest.raises(NotFoundError):
                await session.delete_snapshots([snapshot_id])
            with pytest.raises(NotFoundError):
                session.get_snapshot_properties(snapshot_id)
        async with scene.coordinator.open_session() as session:
            (snapshot_id,) = await scene.prepare(session)
            await session.do_snapshot_set()
            provider.finished.clear()
            with pytest.raises(NotFoundError):
                await session.delete_snapshots([snapshot_id])

    run(story, unjudged="the shadow copy goes behind the coordinator's back")


@pytest.mark.parametrize("trouble", ["hang", OSError("the disk is gone")])
def test_auto_release_copies_go_even_when_the_provider_could_not_be_asked_about_them(trouble: object) -> None:
    async def story(ports: Ports) -> None:
        provider = StubProvider()
        scene = await Scene.build(ports, providers=[provider])
        provider.behaviour["query"] = trouble
        with pytest.raises(ProviderError, match="query"):
            await scene.backup()
        assert provider.finished == {}
        provider.behaviour.clear()
        scene.assert_nothing_left()

    play(story)


def test_provider_failures_outside_a_set_are_translated() -> None:
    async def story(ports: Ports) -> None:
        provider = StubProvider()
        scene = await Scene.build(ports, providers=[provider])
        async with scene.coordinator.open_session() as session:
            (snapshot_id,) = await scene.prepare(session)
            await session.do_snapshot_set()
            provider.behaviour.update(open_snapshot=OSError("x"), delete_snapshot=OSError("y"), query=OSError("z"))
            with pytest.raises(ProviderError, match="failed in open"):
                await session.open_snapshot(snapshot_id)
            with pytest.raises(ProviderError, match="delete"):
                await session.delete_snapshots([snapshot_id])
            with pytest.raises(ProviderError, match="query"):
                await scene.coordinator.refresh_snapshots()
            provider.behaviour.clear()

    play(story)


def test_roles_register_once() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        with pytest.raises(AlreadyExistsError):
            scene.coordinator.add_volume(StubVolume(ports, "d:"))
        with pytest.raises(AlreadyExistsError) as writer:
            scene.coordinator.add_writer(StubWriter("A"))
        assert writer.value.hresult is HResult.VSS_E_WRITER_ALREADY_SUBSCRIBED
        with pytest.raises(AlreadyExistsError) as provider:
            await scene.coordinator.add_provider(StubProvider())
        assert provider.value.hresult is HResult.VSS_E_PROVIDER_ALREADY_REGISTERED
        scene.coordinator.remove_writer(scene.coordinator.writers[0])
        assert scene.coordinator.writers == []

    play(story)


def test_closing_the_machine_releases_sessions_and_collects_calls_given_up() -> None:
    async def story(ports: Ports) -> None:
        stubborn = StubWriter("A", behaviour={"on_prepare_backup": lambda context: asyncio.shield(asyncio.sleep(700.0))})
        scene = await Scene.build(ports, writers=[stubborn], limits=Limits(prepare_backup_s=1.0))
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        await scene.coordinator.close()
        await session.release()
        scene.assert_nothing_left()

    play(story)


def test_an_unknown_limits_profile_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected 'strict' or 'windows'"):
        limits_of_profile("lenient")
