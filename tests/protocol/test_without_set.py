"""A backup without a shadow copy set, and what a writer can ask for about the session it is in."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.protocol.kit import begin, of, play, status_of
from vss.coordinator import Session, SnapshotAttributes, SnapshotContext
from vss.documents import BackupType
from vss.errors import BadStateError, WriterError
from vss.hresult import HResult
from vss.ids import GUID_NULL
from vss.machines import SessionState, WriterState
from vss.roles.writer import ApplicationLevel, WriterContext
from vss.testing import Scene, StubWriter


class AskingWriter(StubWriter):
    """Notes what the context says in each handler; stamps its components in PrepareForBackup."""

    def __init__(self, name: str = "A", **options: Any) -> None:
        super().__init__(name, **options)
        self.told: dict[str, tuple[Any, ...]] = {}
        self.succeeded: list[bool | None] = []

    async def _record(self, method: str, context: WriterContext) -> None:
        self.told[method] = (
            SnapshotContext(context.snapshot_context),
            context.level,
            tuple(context.volumes),
            context.is_bootable_system_state_backed_up,
            context.is_partial_file_support_enabled,
        )
        if method == "on_prepare_backup" and context.components is not None:
            stamped = tuple(replace(each, backup_stamp=b"now") for each in context.components.components)
            context.set_components(replace(context.components, components=stamped))
        if method == "on_backup_complete" and context.components is not None:
            self.succeeded = [each.backup_succeeded for each in context.components.components]
        if method == "on_backup_shutdown":
            assert context.snapshot_set_id == GUID_NULL or context.volumes
        await super()._record(method, context)


async def prepare(scene: Scene, session: Session) -> None:
    """Bring a session with every component to the answers of PrepareForBackup, without a set."""
    session.initialize_for_backup()
    session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=BackupType.FULL)
    for metadata in await session.gather_writer_metadata():
        for each in metadata.components:
            session.add_component(metadata.instance_id, metadata.writer_id, each.type, each.logical_path, each.component_name)
    await session.prepare_for_backup()


def test_writers_hear_prepare_for_backup_and_backup_complete_and_nothing_between() -> None:
    writer = AskingWriter()

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await prepare(scene, session)
            assert session.state is SessionState.PREPARED_WITHOUT_SET
            assert (await status_of(session, "A")).is_meaningful
            scene.report_all(session)
            await session.backup_complete()
            assert (await status_of(session, "A")).state is WriterState.STABLE
            (component,) = session.document.writers[0].components
            assert component.backup_stamp == b"now"  # written in PrepareForBackup: PostSnapshot never comes
        assert of(scene.calls, "A.on_") == ["A.on_prepare_backup", "A.on_backup_complete", "A.on_backup_shutdown"]
        assert of(scene.calls, "provider.") == []

    play(story, writers=[writer])
    assert writer.succeeded == [True]


def test_no_set_is_started_or_made_after_prepare_for_backup() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await prepare(scene, session)
            with pytest.raises(BadStateError):
                session.start_snapshot_set()
            with pytest.raises(BadStateError):
                await session.do_snapshot_set()
            with pytest.raises(BadStateError):
                await session.leave_waiting()
            assert not scene.coordinator.is_creating

    play(story)


def test_a_writer_that_refused_does_not_hear_that_it_is_complete() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await prepare(scene, session)
            status = await status_of(session, "A")
            assert (status.state, status.failure) == (
                WriterState.FAILED_AT_PREPARE_BACKUP,
                HResult.VSS_E_WRITERERROR_NONRETRYABLE,
            )
            await session.backup_complete()
        assert "A.on_backup_complete" not in scene.calls

    play(story, writers=[StubWriter("A", behaviour={"on_prepare_backup": WriterError("no")})])


def test_it_can_be_aborted() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await prepare(scene, session)
            await session.abort_backup()
        assert of(scene.calls, "A.on_") == ["A.on_prepare_backup", "A.on_abort", "A.on_backup_shutdown"]

    play(story)


def test_a_writer_can_ask_for_context_level_and_volumes() -> None:
    writer = AskingWriter(level=ApplicationLevel.BACK_END)

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.APP_ROLLBACK, SnapshotAttributes.NOT_TRANSACTED)
            session.set_backup_state(
                select_components=False,
                bootable_system_state=True,
                backup_type=BackupType.FULL,
                partial_file_support=True,
            )
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            for volume in ("D:", "L:"):
                await session.add_to_snapshot_set(volume)
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            await session.backup_complete()

    play(story, writers=[writer], volumes=("D:", "L:"))
    expected = (SnapshotContext.APP_ROLLBACK, ApplicationLevel.BACK_END, ("D:", "L:"), True, True)
    assert set(writer.told.values()) == {expected}
    assert "on_freeze" in writer.told


def test_without_being_told_the_context_is_a_backup() -> None:
    writer = AskingWriter()

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await begin(scene, session)
            await session.do_snapshot_set()

    play(story, writers=[writer])
    expected = (SnapshotContext.BACKUP, ApplicationLevel.FRONT_END, ("D:",), False, False)
    assert writer.told["on_freeze"] == expected


@pytest.mark.parametrize("has_set", [True, False])
def test_a_writer_whose_prepare_for_backup_was_given_up_gets_no_abort(has_set: bool) -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            call = asyncio.create_task(scene.prepare(session) if has_set else prepare(scene, session))
            await asyncio.sleep(1.0)
            call.cancel()
            await asyncio.wait([call])
            await session.abort_backup()
        assert of(scene.calls, "A.on_abort", "A.on_backup_shutdown") == ["A.on_backup_shutdown"]

    play(story, writers=[StubWriter("A", behaviour={"on_prepare_backup": 5.0})])
