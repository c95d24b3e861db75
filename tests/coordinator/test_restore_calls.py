"""The restore side of a session: who is told, and in which order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from vss.documents import (
    BackupComponents,
    FileRestoreStatus,
    NewTarget,
    RestoreMethod,
    RestoreMethodKind,
    WriterMetadata,
    WriterRestore,
)
from vss.errors import BadStateError, NotFoundError, WriterRetryableError
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import Ports
from vss.simulation import run
from vss.testing import Scene, StubWriter
from vss.testing.stubs import stub_guid


class RestorableWriter(StubWriter):
    """A stub writer that takes part in restores as told."""

    writer_restore = WriterRestore.ALWAYS

    async def identify(self) -> WriterMetadata:
        method = RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, self.writer_restore)
        return replace(await super().identify(), restore_method=method)


async def backed_up(ports: Ports, *writers: StubWriter) -> tuple[Scene, BackupComponents]:
    """Back up and return the machine and the document of that backup."""
    scene = await Scene.build(ports, writers=writers)
    async with scene.coordinator.open_session() as session:
        await scene.prepare(session)
        await session.do_snapshot_set()
        scene.report_all(session)
        await session.backup_complete()
        document = session.document
    for writer in writers:
        writer.calls.clear()
    return scene, document


def play(story: Callable[[Ports], Awaitable[Any]]) -> None:
    run(story)


def test_a_selected_component_is_restored_between_pre_and_post_restore() -> None:
    async def story(ports: Ports) -> None:
        writer = RestorableWriter("A")
        scene, document = await backed_up(ports, writer)
        component = document.writers[0].components[0]
        key = (writer.writer_class_id, component.type, component.logical_path, component.component_name)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await session.gather_writer_metadata()
            session.set_selected_for_restore(*key)
            session.set_restore_options(*key, "Roll Forward=All")
            session.set_additional_restores(*key, True)
            session.add_new_target(*key, NewTarget("D:\\data", "*", True, "E:\\data"))
            await session.pre_restore()
            session.set_file_restore_status(*key, FileRestoreStatus.ALL)
            await session.post_restore()
            (status,) = await session.gather_writer_status()
            restored = session.document.writers[0].components[0]

        assert writer.calls == ["A.identify", "A.on_pre_restore", "A.on_post_restore"]
        assert (status.state, status.failure) == (WriterState.STABLE, HResult.S_OK)
        assert restored.selected_for_restore
        assert restored.additional_restores
        assert restored.restore_options == "Roll Forward=All"
        assert restored.new_targets[0].alternate_path == "E:\\data"
        assert restored.file_restore_status is FileRestoreStatus.ALL

    play(story)


def test_the_writer_finds_its_part_by_class_though_its_instance_is_new() -> None:
    async def story(ports: Ports) -> None:
        writer = RestorableWriter("A")
        scene, document = await backed_up(ports, writer)
        writer.instance_id = stub_guid("restarted")
        component = document.writers[0].components[0]
        seen: list[Any] = []
        writer.behaviour["on_post_restore"] = lambda context: seen.append(context.components)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await session.gather_writer_metadata()
            session.set_selected_for_restore(writer.writer_class_id, component.type, "", "A")
            await session.pre_restore()
            await session.post_restore()

        assert [each.component_name for each in seen[0].components] == ["A"]

    play(story)


def test_a_writer_that_refuses_in_pre_restore_hears_no_post_restore() -> None:
    async def story(ports: Ports) -> None:
        writer = RestorableWriter("A", behaviour={"on_pre_restore": WriterRetryableError("mounted")})
        scene, document = await backed_up(ports, writer)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await session.gather_writer_metadata()
            component = document.writers[0].components[0]
            session.set_selected_for_restore(writer.writer_class_id, component.type, "", "A")
            await session.pre_restore()
            await session.post_restore()
            (status,) = await session.gather_writer_status()

        assert writer.calls == ["A.identify", "A.on_pre_restore"]
        assert status.state is WriterState.FAILED_AT_PRE_RESTORE

    play(story)


@pytest.mark.parametrize("selected", [True, False])
def test_writers_without_restore_events_or_selection_are_left_alone(selected: bool) -> None:
    async def story(ports: Ports) -> None:
        writer = RestorableWriter("A")
        writer.writer_restore = WriterRestore.NEVER if selected else WriterRestore.ALWAYS
        scene, document = await backed_up(ports, writer, StubWriter("B"))
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await session.gather_writer_metadata()
            if selected:
                component = document.writers[0].components[0]
                session.set_selected_for_restore(writer.writer_class_id, component.type, "", "A")
            await session.pre_restore()
            await session.post_restore()

        assert writer.calls == ["A.identify"]

    play(story)


def test_what_cannot_be_selected_says_why() -> None:
    async def story(ports: Ports) -> None:
        writer = RestorableWriter("A")
        scene, document = await backed_up(ports, writer)
        component = document.writers[0].components[0]
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await session.gather_writer_metadata()
            with pytest.raises(NotFoundError, match="component 'nobody'"):
                session.set_selected_for_restore(writer.writer_class_id, component.type, "", "nobody")
            with pytest.raises(NotFoundError):
                session.add_new_target(writer.writer_class_id, component.type, "", "no", NewTarget("a", "b", False, "c"))
            with pytest.raises(BadStateError):
                await session.do_snapshot_set()
        scene.coordinator.remove_writer(writer)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await session.gather_writer_metadata()
            with pytest.raises(NotFoundError, match="is not running on this machine"):
                session.set_selected_for_restore(writer.writer_class_id, component.type, "", "A")

    play(story)
