"""The traces that a machine with the vendor's service shows: who is called in which order, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.protocol.kit import begin, logged, of, play, status_of, take
from tests.providers.kit import BLOCK
from tests.providers.world import Machine, on_machine, put
from vss.coordinator import AsyncOperation, Coordinator, SnapshotContext, limits_of_profile
from vss.documents import BackupSchema, BackupType, RestoreMethod, RestoreMethodKind, WriterMetadata, WriterRestore
from vss.documents.file_sets import effective_backup_type
from vss.errors import (
    BadStateError,
    FlushWritesTimeoutError,
    HoldWritesTimeoutError,
    InsufficientStorageError,
    InvalidArgumentError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    SetInProgressError,
    WriterRetryableError,
)
from vss.events import ApplicationLogged, Event, SnapshotDeleted
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import NANOSECONDS, Ports
from vss.roles.writer import ApplicationLevel, WriterContext
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter
from vss.volumes import FaultyStore, MemoryStore, StoreEffect, StoreFault

FRONT, BACK, SYSTEM = ApplicationLevel.FRONT_END, ApplicationLevel.BACK_END, ApplicationLevel.SYSTEM


def refuse(hresult: HResult) -> Callable[[WriterContext], None]:
    """What a handler does that reports a failure."""
    return lambda context: context.set_failure(hresult, "refused")


def test_success_with_one_volume_in_component_mode() -> None:
    writers = [StubWriter("S", level=SYSTEM), StubWriter("F", level=FRONT), StubWriter("B", level=BACK)]

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            operation = AsyncOperation(session.do_snapshot_set())
            await operation.wait()
            assert operation.query_status() is HResult.VSS_S_ASYNC_FINISHED
            states = [each.state for each in await session.gather_writer_status()]
            assert states == [WriterState.WAITING_FOR_BACKUP_COMPLETE] * 3
            scene.report_all(session)
            await session.backup_complete()
            assert [each.state for each in await session.gather_writer_status()] == [WriterState.STABLE] * 3
        each = ("S", "F", "B")
        assert scene.calls == [
            *(f"{name}.identify" for name in each),
            "provider.begin_prepare_snapshot",
            *(f"{name}.on_prepare_backup" for name in each),
            "provider.end_prepare_snapshots",
            *(f"{name}.on_prepare_snapshot" for name in each),
            "F.on_freeze",
            "B.on_freeze",
            "S.on_freeze",
            "provider.pre_commit_snapshots",
            "D:.hold",
            "provider.commit_snapshots",
            "D:.release",
            "provider.post_commit_snapshots",
            "S.on_thaw",
            "B.on_thaw",
            "F.on_thaw",
            "provider.pre_final_commit_snapshots",
            *(f"{name}.on_post_snapshot" for name in each),
            "provider.post_final_commit_snapshots",
            *(f"{name}.on_backup_complete" for name in each),
            *(f"{name}.on_backup_shutdown" for name in each),
            "provider.delete_snapshot",
        ]

    play(story, writers=writers)


def test_a_writer_without_a_selected_component_gets_identify_only() -> None:
    idle = StubWriter("idle")
    idle.components = ()

    async def story(scene: Scene) -> None:
        await scene.backup()
        assert of(scene.calls, "idle.") == ["idle.identify"]

    play(story, writers=[StubWriter("A"), idle])


def test_without_component_selection_all_writers_get_all_events_and_no_component_list() -> None:
    seen: list[object] = []
    note = {"on_prepare_backup": lambda context: seen.append(context.components)}
    writers = [StubWriter("A", behaviour=note), StubWriter("B", behaviour=note)]

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await begin(scene, session)
            await session.do_snapshot_set()
            await session.backup_complete()
        assert seen == [None, None]
        for name in ("A", "B"):
            assert len(of(scene.calls, f"{name}.on_")) == 7

    play(story, writers=writers)


def test_a_retryable_veto_in_prepare_for_snapshot_aborts_nobody() -> None:
    bad = StubWriter("bad", behaviour={"on_prepare_snapshot": WriterRetryableError("not now")})

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            operation = AsyncOperation(session.do_snapshot_set())
            await operation.wait()
            assert operation.query_status() is HResult.VSS_S_ASYNC_FINISHED
            status = await status_of(session, "bad")
            assert (status.state, int(status.failure)) == (WriterState.FAILED_AT_PREPARE_SNAPSHOT, 0x800423F3)
            assert (await status_of(session, "good")).state is WriterState.WAITING_FOR_BACKUP_COMPLETE
        assert not [each for each in scene.calls if each.endswith("on_abort")]
        assert "bad.on_freeze" not in scene.calls

    assert ("VSS", 8229) in logged(play(story, writers=[bad, StubWriter("good")]))


def test_a_non_retryable_veto_in_freeze_aborts_that_writer_and_the_set_is_made() -> None:
    bad = StubWriter("bad", behaviour={"on_freeze": refuse(HResult.VSS_E_WRITERERROR_NONRETRYABLE)})

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            status = await status_of(session, "bad")
            assert (status.state, int(status.failure)) == (WriterState.FAILED_AT_FREEZE, 0x800423F4)
        assert "bad.on_abort" in scene.calls
        assert "bad.on_thaw" not in scene.calls
        assert "good.on_thaw" in scene.calls

    play(story, writers=[bad, StubWriter("good")])


@pytest.mark.parametrize(
    ("slow", "state"), [("on_freeze", WriterState.FAILED_AT_FREEZE), ("on_thaw", WriterState.FAILED_AT_THAW)]
)
def test_a_freeze_timer_of_sixty_seconds_runs_out(slow: str, state: WriterState) -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            assert scene.ports.clock.now_ns() == 60 * NANOSECONDS
            status = await status_of(session, "slow")
            assert (status.state, int(status.failure)) == (state, 0x800423F2)
        assert scene.calls.count("slow.on_abort") == 1

    writers = [StubWriter("slow", behaviour={slow: "hang"}), StubWriter("A")]
    events = play(story, writers=writers, limits=limits_of_profile("windows"))
    assert (("VSS", 12349) in logged(events)) is (slow == "on_freeze")


def test_a_writer_frozen_for_more_than_two_minutes_is_named_in_the_log() -> None:
    patient = StubWriter("patient", freeze_timeout_s=300.0)
    slow = StubProvider(behaviour={"pre_commit_snapshots": 130.0})

    async def story(scene: Scene) -> None:
        await scene.backup()
        assert "patient.on_abort" not in scene.calls

    limits = replace(limits_of_profile("windows"), pre_commit_s=200.0)
    assert logged(play(story, writers=[patient], providers=[slow], limits=limits)) == [("VSS", 4003)]


def test_a_failure_in_post_snapshot_aborts_nobody_and_keeps_the_snapshot() -> None:
    bad = StubWriter("bad", behaviour={"on_post_snapshot": WriterRetryableError("no")})

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            (snapshot_id,) = await scene.prepare(session)
            await session.do_snapshot_set()
            assert (await status_of(session, "bad")).state is WriterState.FAILED_AT_POST_SNAPSHOT
            assert session.get_snapshot_properties(snapshot_id).snapshot_id == snapshot_id
            await session.abort_backup()
        assert "bad.on_abort" not in scene.calls
        assert "bad.on_backup_shutdown" in scene.calls

    play(story, writers=[bad])


def test_a_provider_vetoes_the_commit() -> None:
    names = ("D:", "L:")
    bad = StubProvider("bad", behaviour={"commit_snapshots": ProviderVetoError("no")}, supports=lambda v: v.name == "D:")
    good = StubProvider("good", supports=lambda v: v.name == "L:")

    async def story(scene: Scene) -> None:
        with pytest.raises(ProviderVetoError) as caught:
            await scene.backup(volumes=names)
        assert int(caught.value.hresult) == 0x80042306
        calls = scene.calls
        assert calls.index("D:.release") < calls.index("A.on_abort")
        assert calls.count("provider.abort_snapshots") == 2
        assert {"A.on_abort", "B.on_abort"} <= set(calls)
        assert (bad.finished, good.finished) == ({}, {})

    events = play(story, writers=[StubWriter("A"), StubWriter("B")], providers=[bad, good], volumes=names)
    assert ("VSS", 12293) in logged(events)
    held = [type(each).__name__ for each in events]
    assert held.index("ApplicationLogged") > held.index("WritesReleased")


def test_a_provider_returns_e_fail_in_end_prepare() -> None:
    provider = StubProvider(behaviour={"end_prepare_snapshots": ProviderError("generic", hresult=HResult.E_FAIL)})

    async def story(scene: Scene) -> None:
        with pytest.raises(ProviderError) as caught:
            await scene.backup()
        assert int(caught.value.hresult) == 0x8004230F
        assert not [each for each in scene.calls if each.endswith(("on_freeze", "on_abort"))]

    assert logged(play(story, providers=[provider])) == [("VSS", 12293)]


@pytest.mark.parametrize(
    ("behaviour", "volume", "code", "entries"),
    [
        ({"commit_snapshots": 11.0}, {}, 0x80042314, [("volsnap", 8), ("VSS", 12298), ("VSS", 12310)]),
        (
            {},
            {"flush_and_hold": FlushWritesTimeoutError("the file system took too long")},
            0x80042313,
            [("volsnap", 9), ("VSS", 12297)],
        ),
    ],
)
def test_a_commit_of_more_than_ten_seconds(
    behaviour: dict[str, Any], volume: dict[str, Any], code: int, entries: list[tuple[str, int]]
) -> None:
    async def story(scene: Scene) -> None:
        found = scene.coordinator.volume("D:")
        assert isinstance(found, StubVolume)
        found.behaviour.update(volume)
        with pytest.raises((HoldWritesTimeoutError, FlushWritesTimeoutError)) as caught:
            await scene.backup()
        assert int(caught.value.hresult) == code
        assert scene.calls.count("A.on_abort") == 1

    log = logged(play(story, providers=[StubProvider(behaviour=behaviour)]))
    assert [each for each in log if each != ("VSS", 12293)] == entries


def test_the_diff_area_is_too_small_at_creation() -> None:
    provider = StubProvider(behaviour={"end_prepare_snapshots": InsufficientStorageError("no room")})

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            operation = AsyncOperation(session.do_snapshot_set())
            await operation.wait()
            assert int(operation.query_status()) == 0x8004231F

    assert ("volsnap", 23) in logged(play(story, providers=[provider]))


def test_a_second_requestor_during_creation() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as first, scene.coordinator.open_session() as second:
            await scene.prepare(first)
            second.initialize_for_backup()
            await second.gather_writer_metadata()
            operation = AsyncOperation(first.do_snapshot_set())
            await asyncio.sleep(1.0)
            assert operation.query_status() is HResult.VSS_S_ASYNC_PENDING
            with pytest.raises(SetInProgressError) as caught:
                second.start_snapshot_set()
            assert int(caught.value.hresult) == 0x80042316
            await operation.wait()
            second.start_snapshot_set()  # while the first still copies
            await second.add_to_snapshot_set("D:")
            await second.prepare_for_backup()
            await second.do_snapshot_set()
            assert len(await second.query()) == 2

    play(story, providers=[StubProvider(behaviour={"end_prepare_snapshots": 2.0})])


def test_the_65th_volume() -> None:
    names = [f"V{number}:" for number in range(65)]

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.FILE_SHARE_BACKUP)
            session.start_snapshot_set()
            for name in names[:64]:
                await session.add_to_snapshot_set(name)
            with pytest.raises(InvalidArgumentError) as caught:
                await session.add_to_snapshot_set(names[64])
            assert int(caught.value.hresult) == 0x80042312
            await session.do_snapshot_set()
            assert {each.snapshots_in_set for each in await session.query()} == {64}

    play(story, volumes=names)


@pytest.mark.parametrize("ending", ["ends", "is cancelled", "is killed"])
def test_the_requestor_dies_after_freeze(ending: str) -> None:
    async def story(scene: Scene) -> None:
        frozen = asyncio.Event()
        writer = scene.coordinator.writers[0]
        assert isinstance(writer, StubWriter)
        writer.behaviour["on_freeze"] = lambda context: frozen.set()

        async def requestor() -> None:
            session = scene.coordinator.open_session()
            ids.append(session.session_id)
            await scene.prepare(session)
            operations.append(asyncio.create_task(session.do_snapshot_set()))
            await frozen.wait()
            if ending != "ends":
                await operations[0]

        ids: list[Any] = []
        operations: list[asyncio.Task[None]] = []
        task = asyncio.create_task(requestor())
        await frozen.wait()
        if ending == "is cancelled":
            task.cancel()
        if ending == "is killed":
            asyncio.get_running_loop().kill(task)  # type: ignore[attr-defined]
            await scene.coordinator.requestor_died(ids[0])
        await asyncio.sleep(30.0)
        assert isinstance(operations[0].exception(), BadStateError)
        calls = scene.calls
        assert calls.index("A.on_freeze") < min(calls.index(each) for each in ("A.on_thaw", "A.on_abort") if each in calls)
        assert calls.count("A.on_backup_shutdown") == 1
        assert await scene.coordinator.query_snapshots() == []
        await scene.backup()  # the next requestor is not held up

    play(story, providers=[StubProvider(behaviour={"pre_commit_snapshots": 2.0})])


def test_abort_backup_between_do_snapshot_set_and_backup_complete() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            await session.abort_backup()
            assert "A.on_backup_shutdown" not in scene.calls
        assert "A.on_abort" not in scene.calls
        assert "A.on_backup_shutdown" in scene.calls

    play(story)


def test_a_log_backup_of_a_writer_without_that_schema_is_a_full_one() -> None:
    assert effective_backup_type(BackupSchema.DIFFERENTIAL, BackupType.LOG) is BackupType.FULL
    assert effective_backup_type(BackupSchema.LOG, BackupType.LOG) is BackupType.LOG


class RestorableWriter(StubWriter):
    """Takes part in restores."""

    async def identify(self) -> WriterMetadata:
        method = RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS)
        return replace(await super().identify(), restore_method=method)


def test_a_restore_with_more_to_come_leaves_recovery_to_the_last() -> None:
    seen: list[bool] = []

    def post_restore(context: WriterContext) -> None:
        assert context.components is not None
        seen.extend(each.additional_restores for each in context.components.components)

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            document = session.document
        (part,) = document.writers
        (component,) = part.components
        key = (part.writer_id, component.type, component.logical_path, component.component_name)
        for more in (True, False):
            async with scene.coordinator.open_session() as session:
                session.initialize_for_restore(document)
                await session.gather_writer_metadata()
                session.set_selected_for_restore(*key)
                session.set_additional_restores(*key, more)
                await session.pre_restore()
                await session.post_restore()
        assert seen == [True, False]

    play(story, writers=[RestorableWriter("A", behaviour={"on_post_restore": post_restore})])


def test_a_component_whose_writer_is_absent_cannot_be_selected_for_restore() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            document = session.document
        (part,) = document.writers
        (component,) = part.components
        scene.coordinator.remove_writer(scene.coordinator.writers[0])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await session.gather_writer_metadata()
            with pytest.raises(NotFoundError) as caught:
                session.set_selected_for_restore(part.writer_id, component.type, "", component.component_name)
            assert int(caught.value.hresult) == 0x80042308

    play(story, writers=[RestorableWriter("A")])


def test_a_writer_that_sets_backup_metadata_in_backup_complete() -> None:
    caught: list[BadStateError] = []

    def backup_complete(context: WriterContext) -> None:
        assert context.components is not None
        (component,) = context.components.components
        with pytest.raises(BadStateError) as refusal:
            context.set_components(replace(context.components, components=(replace(component, backup_metadata=b"late"),)))
        caught.append(refusal.value)

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            scene.report_all(session)
            before = session.document
            await session.backup_complete()
            assert session.document == before
        assert int(caught[0].hresult) == 0x80042301

    play(story, writers=[StubWriter("A", behaviour={"on_backup_complete": backup_complete})])


def test_breaking_a_software_snapshot() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await begin(scene, session)
            await session.do_snapshot_set()
            with pytest.raises(ProviderVetoError) as caught:
                await session.break_snapshot_set(session.snapshot_set_id)
            assert int(caught.value.hresult) == 0x80042306
            assert len(await session.query()) == 1

    play(story)


def test_query_in_another_context_is_empty_and_all_shows_everything() -> None:
    async def story(scene: Scene) -> None:
        await take(scene, SnapshotContext.APP_ROLLBACK)
        for context, count in ((SnapshotContext.NAS_ROLLBACK, 0), (SnapshotContext.APP_ROLLBACK, 1), (SnapshotContext.ALL, 1)):
            async with scene.coordinator.open_session() as session:
                session.initialize_for_backup()
                session.set_context(context)
                assert len(await session.query()) == count

    play(story)


# -- the diff area of a real provider ------------------------------------------------------------------------------------------


def test_at_the_limit_of_the_diff_area_the_oldest_goes() -> None:
    events: list[Event] = []

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await machine.provider.add_storage(volume, volume, 60 * BLOCK)
        ids = []
        for number in range(4):
            ids += await machine.create()
            await put(volume, "/file", bytes([number]) * 12 * BLOCK)
            await put(volume, "/file", bytes([number + 8]) * 12 * BLOCK)
        coordinator = Coordinator(machine.ports)
        await coordinator.add_provider(machine.provider)
        left = [each.snapshot_id for each in await coordinator.query_snapshots()]
        assert 0 < len(left) < 4
        assert left == ids[-len(left) :]

    on_machine(story, events=events)
    assert {each.event_id for each in events if isinstance(each, ApplicationLogged)} == {33}


def test_a_diff_area_that_cannot_grow_loses_every_snapshot_of_the_volume() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(4 << 20, name="D:"))
        machine = Machine(ports)
        volume = await machine.add("D:", store)
        await machine.create()
        await machine.create()
        coordinator = Coordinator(ports)
        await coordinator.add_provider(machine.provider)
        assert len(coordinator.snapshots()) == 2
        store.arm(StoreFault(StoreEffect.FULL, store.size_bytes, is_sticky=True))
        area = machine.provider.diff_area(volume)
        while area.stack:
            area.space._runs.clear()
            area.stack[-1]._next = area.stack[-1]._extent_end
            await put(volume, "/file", b"z" * BLOCK)
        assert await coordinator.query_snapshots() == []

    run(main, emit=events.append)
    assert [each.event_id for each in events if isinstance(each, ApplicationLogged)] == [25]
    assert len([each for each in events if isinstance(each, SnapshotDeleted)]) == 2
