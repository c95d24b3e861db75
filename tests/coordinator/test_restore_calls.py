"""The restore side of a session: who is told, and in which order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from vss.documents import (
    AlternateLocationMapping,
    BackupComponents,
    BackupSchema,
    Component,
    ComponentType,
    FileRestoreStatus,
    FileSpec,
    NewTarget,
    PartialFile,
    RestoreMethod,
    RestoreMethodKind,
    RestoreSubcomponent,
    RestoreType,
    WriterMetadata,
    WriterRestore,
)
from vss.errors import BadStateError, InvalidArgumentError, NotFoundError, UnsupportedError, VssError, WriterRetryableError
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import Ports
from vss.simulation import run
from vss.testing import Scene, StubWriter
from vss.testing.stubs import stub_guid


class RestorableWriter(StubWriter):
    """A stub writer that takes part in restores as told."""

    writer_restore = WriterRestore.ALWAYS
    schema = BackupSchema.WRITER_SUPPORTS_NEW_TARGET

    async def identify(self) -> WriterMetadata:
        method = RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, self.writer_restore)
        return replace(await super().identify(), restore_method=method, backup_schema=self.schema)


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
            session.set_restore_state(RestoreType.UNDEFINED)
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
        assert session.restore_type is RestoreType.BY_COPY
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
            with pytest.raises(NotFoundError, match="is not in the backup components document"):
                session.set_selected_for_restore(writer.writer_class_id, component.type, "", "nobody")
            with pytest.raises(NotFoundError, match="is not running on this machine"):
                session.set_selected_for_restore(writer.writer_class_id, component.type, "", "A")

    play(story)


MAPPING = AlternateLocationMapping("D:\\data", "*", True, "E:\\other")
TREE = (
    Component(ComponentType.FILE_GROUP, "All", files=(FileSpec("D:\\data", "*"),)),
    Component(
        ComponentType.FILE_GROUP,
        "Part",
        logical_path="All",
        selectable=False,
        selectable_for_restore=True,
        files=(FileSpec("D:\\part", "*.dat"),),
    ),
)


async def restoring(ports: Ports, writer: StubWriter, story: Callable[[Any, tuple[Any, ...]], Awaitable[None]]) -> None:
    """Run ``story`` with a restore session after its discovery, and the key of the only component."""
    scene, document = await backed_up(ports, writer)
    component = document.writers[0].components[0]
    key = (writer.writer_class_id, component.type, component.logical_path, component.component_name)
    async with scene.coordinator.open_session() as session:
        session.initialize_for_restore(document)
        await session.gather_writer_metadata()
        await story(session, key)


def refused(session: Any, error: type[VssError], call: Callable[[], None], code: HResult) -> None:
    """The call fails with this code and changes nothing."""
    before = (session.document, session.state)
    with pytest.raises(error) as caught:
        call()
    assert caught.value.hresult is code
    assert (session.document, session.state) == before


def test_parts_of_a_selected_component_are_named_after_it() -> None:
    async def story(session: Any, key: tuple[Any, ...]) -> None:
        def add(path: str, name: str, *, repair: bool = False) -> Callable[[], None]:
            return lambda: session.add_restore_subcomponent(*key, RestoreSubcomponent(path, name, repair))

        refused(session, BadStateError, add("All", "Part"), HResult.VSS_E_BAD_STATE)
        session.set_selected_for_restore(*key)
        refused(session, NotFoundError, add("", "Part"), HResult.VSS_E_OBJECT_NOT_FOUND)
        refused(session, InvalidArgumentError, add("All", "Part", repair=True), HResult.E_INVALIDARG)
        other = (*key[:3], "Nobody")
        missing = RestoreSubcomponent("All", "Part")
        refused(
            session,
            NotFoundError,
            lambda: session.add_restore_subcomponent(*other, missing),
            HResult.VSS_E_OBJECT_NOT_FOUND,
        )
        add("All", "Part")()
        assert session.document.writers[0].components[0].restore_subcomponents == (missing,)
        await session.pre_restore()
        refused(session, BadStateError, add("All", "Part"), HResult.VSS_E_BAD_STATE)

    play(lambda ports: restoring(ports, RestorableWriter("A", components=TREE), story))


def test_a_new_target_needs_the_schema_and_a_file_set_of_the_component_set() -> None:
    async def story(session: Any, key: tuple[Any, ...]) -> None:
        part = NewTarget("d:\\Part\\", "*.DAT", False, "E:\\x")
        session.add_new_target(*key, part)
        assert session.document.writers[0].components[0].new_targets == (part,)
        for wrong in (replace(part, recursive=True), replace(part, path="D:\\none"), replace(part, filespec="*.*")):
            refused(
                session, NotFoundError, lambda each=wrong: session.add_new_target(*key, each), HResult.VSS_E_OBJECT_NOT_FOUND
            )

    async def without(session: Any, key: tuple[Any, ...]) -> None:
        target = NewTarget("D:\\data", "*", False, "E:\\x")
        refused(session, UnsupportedError, lambda: session.add_new_target(*key, target), HResult.VSS_E_NOT_SUPPORTED)

    play(lambda ports: restoring(ports, RestorableWriter("A", components=TREE), story))
    writer = RestorableWriter("A", components=TREE)
    writer.schema = BackupSchema.NONE
    play(lambda ports: restoring(ports, writer, without))


def test_a_writer_that_lost_the_component_takes_no_new_target() -> None:
    async def story(ports: Ports) -> None:
        writer = RestorableWriter("A", components=TREE)
        scene, document = await backed_up(ports, writer)
        writer.components = (Component(ComponentType.FILE_GROUP, "Else"),)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await session.gather_writer_metadata()
            key = (writer.writer_class_id, ComponentType.FILE_GROUP, "", "All")
            with pytest.raises(NotFoundError, match="has no file set"):
                session.add_new_target(*key, NewTarget("D:\\data", "*", False, "E:\\x"))

    play(story)


def test_used_mappings_are_recorded_between_pre_and_post_restore() -> None:
    async def story(session: Any, key: tuple[Any, ...]) -> None:
        def record() -> None:
            session.add_alternative_location_mapping(*key, MAPPING)

        refused(session, BadStateError, record, HResult.VSS_E_BAD_STATE)
        session.set_selected_for_restore(*key)
        await session.pre_restore()
        record()
        record()
        assert session.document.writers[0].components[0].mappings_used == (MAPPING,)
        refused(
            session,
            NotFoundError,
            lambda: session.add_alternative_location_mapping(*key[:3], "Nobody", MAPPING),
            HResult.VSS_E_OBJECT_NOT_FOUND,
        )
        await session.post_restore()
        refused(session, BadStateError, record, HResult.VSS_E_BAD_STATE)

    play(lambda ports: restoring(ports, RestorableWriter("A"), story))


def test_a_moved_ranges_file_is_told() -> None:
    async def partial(context: Any) -> None:
        part = context.components
        (component,) = part.components
        files = (
            PartialFile("D:\\data", "a", "0:5"),
            PartialFile("D:\\data", "b", "D:\\data\\ranges"),
            PartialFile("D:\\data", "c", "7:1"),
        )
        context.set_components(replace(part, components=(replace(component, partial_files=files),)))

    async def story(session: Any, key: tuple[Any, ...]) -> None:
        await session.pre_restore()
        session.set_ranges_file_path(*key, 1, "D:\\moved\\ranges")
        assert [each.ranges for each in session.document.writers[0].components[0].partial_files] == [
            "0:5",
            "D:\\moved\\ranges",
            "7:1",
        ]
        session.set_ranges_file_path(*key, 0, "D:\\first")
        assert session.document.writers[0].components[0].partial_files[0].ranges == "D:\\first"
        for index in (3, -1):
            refused(
                session,
                NotFoundError,
                lambda number=index: session.set_ranges_file_path(*key, number, "D:\\x"),
                HResult.VSS_E_OBJECT_NOT_FOUND,
            )

    play(lambda ports: restoring(ports, RestorableWriter("A", behaviour={"on_post_snapshot": partial}), story))


def test_the_restore_type_is_kept_and_undefined_is_by_copy() -> None:
    async def story(session: Any, key: tuple[Any, ...]) -> None:
        for restore_type in (RestoreType.IMPORT, RestoreType.OTHER):
            session.set_restore_state(restore_type)
            assert session.restore_type is restore_type
        session.set_restore_state(RestoreType.UNDEFINED)
        assert session.restore_type is RestoreType.BY_COPY

    play(lambda ports: restoring(ports, RestorableWriter("A"), story))


@pytest.mark.parametrize(
    ("status", "mapping", "heard"),
    [
        (FileRestoreStatus.ALL, None, False),
        (FileRestoreStatus.ALL, MAPPING, True),
        (FileRestoreStatus.FAILED, None, True),
        (FileRestoreStatus.NONE, None, True),
    ],
)
def test_if_replace_fails_means_post_restore_only_then(
    status: FileRestoreStatus, mapping: AlternateLocationMapping | None, heard: bool
) -> None:
    writer = RestorableWriter("A")
    writer.writer_restore = WriterRestore.IF_REPLACE_FAILS

    async def story(session: Any, key: tuple[Any, ...]) -> None:
        session.set_selected_for_restore(*key)
        await session.pre_restore()
        if mapping is not None:
            session.add_alternative_location_mapping(*key, mapping)
        session.set_file_restore_status(*key, status)
        await session.post_restore()
        assert writer.calls == ["A.identify", "A.on_pre_restore", *(["A.on_post_restore"] if heard else [])]

    play(lambda ports: restoring(ports, writer, story))


@pytest.mark.parametrize("step", ["pre_restore", "post_restore"])
def test_a_writer_that_does_not_answer_is_not_responding(step: str) -> None:
    async def story(session: Any, key: tuple[Any, ...]) -> None:
        session.set_selected_for_restore(*key)
        await session.pre_restore()
        await session.post_restore()
        (status,) = await session.gather_writer_status()
        assert (status.state, status.failure) == (WriterState.UNKNOWN, HResult.VSS_E_WRITER_NOT_RESPONDING)

    play(lambda ports: restoring(ports, RestorableWriter("A", behaviour={f"on_{step}": "hang"}), story))


def test_a_part_whose_instance_does_not_run_is_for_the_instances_of_its_class_alone() -> None:
    async def story(ports: Ports) -> None:
        writer, other = RestorableWriter("A"), RestorableWriter("B")
        scene, document = await backed_up(ports, writer, other)
        scene.coordinator.remove_writer(writer)
        writer.instance_name = "renamed"
        scene.coordinator.add_writer(writer)
        component = next(each for each in document.writers if each.writer_id == writer.writer_class_id).components[0]
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await session.gather_writer_metadata()
            session.set_selected_for_restore(writer.writer_class_id, component.type, "", component.component_name)
            await session.pre_restore()
            await session.post_restore()
        assert [each for each in writer.calls if "restore" in each] == ["A.on_pre_restore", "A.on_post_restore"]
        assert [each for each in other.calls if "restore" in each] == []

    play(story)


@pytest.mark.parametrize("step", ["pre_restore", "post_restore"])
def test_a_writer_may_change_its_part_of_the_document_in_both_restore_events(step: str) -> None:
    async def change(context: Any) -> None:
        part = context.components
        context.set_components(replace(part, components=(replace(part.components[0], backup_stamp=step.encode()),)))

    async def story(session: Any, key: tuple[Any, ...]) -> None:
        session.set_selected_for_restore(*key)
        await session.pre_restore()
        await session.post_restore()
        assert session.document.writers[0].components[0].backup_stamp == step.encode()
        (status,) = await session.gather_writer_status()
        assert status.failure is HResult.S_OK

    play(lambda ports: restoring(ports, RestorableWriter("A", behaviour={f"on_{step}": change}), story))
