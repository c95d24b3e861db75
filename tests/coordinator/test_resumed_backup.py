"""A waiting backup that goes through a suspended machine: what its writers know afterwards, and what a later session reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.protocol.kit import begin
from vss.coordinator import Limits, Session, SnapshotContext
from vss.coordinator.waiting import WaitingBackup
from vss.documents import BackupType
from vss.errors import BadStateError, WriterRetryableError
from vss.events import Event, SessionReleased, WaitingBackupEnded, WriterCalled, WriterTimedOut
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import NANOSECONDS, Ports
from vss.simulation import run
from vss.testing import Scene, StubWriter
from vss.testing.stubs import stub_guid


async def left(scene: Scene) -> Session:
    session = scene.coordinator.open_session()
    await scene.prepare(session)
    await session.do_snapshot_set()
    scene.report_all(session)
    await session.leave_waiting()
    return session


async def resumed(ports: Ports, reason: str = "", slots: int = 1) -> tuple[Scene, Session]:
    """A machine that took up a backup which was suspended five seconds ago, and the session that left it."""
    writer = StubWriter("A")
    before = await Scene.build(ports, writers=[writer])
    await ports.clock.sleep(3.0)
    session = await left(before)
    (backup,) = before.coordinator.waiting.suspend()
    assert before.coordinator.waiting.suspend() == []
    instance_id, changed_ns = writer.instance_id, ports.clock.now_ns()
    await ports.clock.sleep(5.0)
    after = await Scene.build(ports, writers=[writer], limits=Limits(writer_status_slots=slots))
    writer.instance_id = instance_id  # the same running instance, as far as the backup can tell
    taken = WaitingBackup(backup.session_id, session.document, backup.snapshot_context)
    after.coordinator.waiting.resume(taken, [(writer, changed_ns, reason)])
    return after, session


async def completing(scene: Scene, session: Session) -> Session:
    later = scene.coordinator.open_session()
    later.initialize_for_backup(session.document)
    await later.gather_writer_metadata()
    await later.backup_complete()
    return later


def test_its_writer_waits_since_then_and_hears_backup_complete_and_shutdown() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        scene, session = await resumed(ports)
        async with scene.coordinator.open_session() as idle:
            idle.initialize_for_backup()
            await idle.gather_writer_metadata()
            (status,) = await idle.gather_writer_status()
            assert (status.state, status.age_ns) == (WriterState.WAITING_FOR_BACKUP_COMPLETE, 5 * NANOSECONDS)
            assert status.session_id == session.session_id
        events.clear()
        later = await completing(scene, session)
        (status,) = await later.gather_writer_status()
        assert (status.state, status.failure) == (WriterState.STABLE, HResult.S_OK)
        await later.release()
        assert len([each for each in events if isinstance(each, SessionReleased)]) == 2
        await scene.coordinator.close()

    run(main, emit=events.append)

    steps = [each.step for each in events if isinstance(each, WriterCalled)]
    assert steps == ["BackupComplete", "BackupShutdown"]


def test_it_has_a_slot_of_its_writer() -> None:
    async def main(ports: Ports) -> None:
        scene, session = await resumed(ports, slots=2)
        other = scene.coordinator.open_session()
        other.initialize_for_backup()
        other.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
        await other.gather_writer_metadata()
        later = await completing(scene, session)
        (own,) = await later.gather_writer_status()
        assert own.failure is HResult.S_OK
        await other.prepare_for_backup()
        (status,) = await other.gather_writer_status()
        assert status.failure is HResult.S_OK
        await scene.coordinator.close()

    run(main)


def test_a_writer_that_forgot_it_is_told_nothing_and_its_status_says_why() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        scene, session = await resumed(ports, reason="it was started anew")
        events.clear()
        later = await completing(scene, session)
        (status,) = await later.gather_writer_status()
        assert status.state is WriterState.UNKNOWN
        assert status.failure is HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE
        assert status.message == "it was started anew"
        assert (status.session_id, status.is_meaningful) == (session.session_id, True)
        await later.release()
        await scene.coordinator.close()

    run(main, emit=events.append)

    assert not [each for each in events if isinstance(each, WriterCalled)]


def test_the_next_backup_of_its_writer_ends_it() -> None:
    async def main(ports: Ports) -> None:
        scene, session = await resumed(ports)
        await scene.backup()
        with pytest.raises(BadStateError, match="waits for BackupComplete on this machine: found none"):
            await completing(scene, session)
        await scene.coordinator.close()

    run(main)


def test_a_backup_of_other_writers_leaves_it_waiting() -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A")])
        session = await left(scene)
        scene.coordinator.add_writer(StubWriter("B"))
        async with scene.coordinator.open_session() as other:
            other.initialize_for_backup()
            other.set_backup_state(select_components=True, bootable_system_state=False, backup_type=BackupType.FULL)
            (metadata,) = [each for each in await other.gather_writer_metadata() if each.friendly_name == "B"]
            (component,) = metadata.components
            other.add_component(metadata.instance_id, stub_guid("B"), component.type, "", component.component_name)
            other.start_snapshot_set()
            await other.add_to_snapshot_set("D:")
            await other.prepare_for_backup()
            await other.do_snapshot_set()
        later = await completing(scene, session)
        (status,) = [each for each in await later.gather_writer_status() if each.name == "A"]
        assert (status.state, status.failure) == (WriterState.STABLE, HResult.S_OK)
        await scene.coordinator.close()

    run(main)


def test_its_document_and_its_shadow_copies_are_closed() -> None:
    async def main(ports: Ports) -> None:
        scene, session = await resumed(ports)
        backup = scene.coordinator.waiting.find(session.document)
        assert backup.backup_type is BackupType.FULL
        assert backup.snapshot_set_id == session.document.snapshot_set_id
        (part,) = session.document.writers
        assert backup.components_of(part.instance_id) == part
        with pytest.raises(BadStateError, match="is closed"):
            backup.replace_components(part)
        with pytest.raises(BadStateError, match="cannot be changed"):
            await backup.writable_snapshot("D:")
        await scene.coordinator.close()

    run(main)


def test_another_document_than_the_one_it_was_left_with_completes_nothing() -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports)
        session = await left(scene)
        changed = replace(session.document, bootable_system_state=True)
        async with scene.coordinator.open_session() as later:
            later.initialize_for_backup(changed)
            await later.gather_writer_metadata()
            with pytest.raises(BadStateError, match="is not the one that its backup was left with"):
                await later.backup_complete()
        await completing(scene, session)
        await scene.coordinator.close()

    run(main)


@pytest.mark.parametrize("how", ["started anew", "gone"])
def test_a_writer_that_was_started_anew_or_went_since_knows_nothing_of_it(how: str) -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        writer = StubWriter("A")
        scene = await Scene.build(ports, writers=[writer])
        session = await left(scene)
        scene.coordinator.remove_writer(writer)
        if how == "started anew":
            scene.coordinator.add_writer(writer)
        events.clear()
        later = await completing(scene, session)
        (status,) = await later.gather_writer_status()
        assert (status.state, status.failure) == (WriterState.UNKNOWN, HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE)
        assert status.message.startswith("the writer was started anew since")
        await scene.coordinator.close()

    run(main, emit=events.append)

    assert not [each for each in events if isinstance(each, WriterCalled)]


def test_it_ends_with_the_machine_and_a_writer_that_does_not_answer_is_told_of() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_backup_shutdown": "hang"})])
        await left(scene)
        await scene.coordinator.close()

    run(main, emit=events.append)

    told = [each for each in events if isinstance(each, WriterTimedOut | WaitingBackupEnded)]
    assert [type(each) for each in told] == [WriterTimedOut, WaitingBackupEnded]


@pytest.mark.parametrize("how", ["ended", "suspended"])
def test_it_gives_the_slot_of_its_writer_back(how: str) -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, limits=Limits(writer_status_slots=1))
        await left(scene)
        if how == "ended":
            await scene.coordinator.waiting.end_all("enough")
        else:
            scene.coordinator.waiting.suspend()
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            (status,) = await session.gather_writer_status()
            assert status.failure is HResult.S_OK
        await scene.coordinator.close()

    run(main)


def test_who_left_it_waiting_has_nothing_to_release_and_the_other_writers_hear_the_end() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        refusing = StubWriter("B", behaviour={"on_freeze": WriterRetryableError("no")})
        limits = Limits(writer_status_slots=1)
        scene = await Scene.build(ports, writers=[StubWriter("A"), refusing, StubWriter("C")], limits=limits)
        session = scene.coordinator.open_session()
        async with session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=BackupType.FULL)
            for each in await session.gather_writer_metadata():
                if each.friendly_name != "C":  # takes no part
                    (component,) = each.components
                    key = (each.instance_id, each.writer_id, component.type, "", component.component_name)
                    session.add_component(*key)
            session.start_snapshot_set()
            await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            await session.leave_waiting()
        steps = [(each.writer, each.step) for each in events if isinstance(each, WriterCalled)]
        assert [each for each in steps if each[1] == "BackupShutdown"] == [("B", "BackupShutdown")]
        assert not [each for each in events if isinstance(each, SessionReleased)]
        refusing.behaviour.clear()
        async with scene.coordinator.open_session() as other:  # the slot of B is free again, that of A is taken
            other.initialize_for_backup()
            other.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
            await other.gather_writer_metadata()
            scene.coordinator.waiting.suspend()
            await other.prepare_for_backup()
            failures = {each.name: each.failure for each in await other.gather_writer_status()}
            assert failures["B"] is HResult.S_OK
        await scene.coordinator.close()

    run(main, emit=events.append)


def test_who_completes_it_looks_at_the_shadow_copies_of_its_context() -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports)
        session = scene.coordinator.open_session()
        (snapshot_id,) = await begin(scene, session, context=SnapshotContext.APP_ROLLBACK)
        await session.do_snapshot_set()
        await session.leave_waiting()
        later = await completing(scene, session)
        assert [each.snapshot_id for each in await later.query()] == [snapshot_id]
        await later.release()
        assert [each.snapshot_id for each in await scene.coordinator.query_snapshots()] == [snapshot_id]
        await scene.coordinator.close()

    run(main)
