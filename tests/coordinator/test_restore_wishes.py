"""What a requestor asks of a writer beyond its files: authority, roll forward, another name, another instance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from vss.coordinator import Session
from vss.documents import (
    BackupComponents,
    BackupSchema,
    ComponentType,
    RestoreMethod,
    RestoreMethodKind,
    RestoreType,
    RollForwardType,
    SelectedComponent,
    WriterMetadata,
    WriterRestore,
)
from vss.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError, UnsupportedError, VssError
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.ports import Ports
from vss.roles.writer import ApplicationLevel, WriterContext
from vss.simulation import run
from vss.testing import Scene, StubWriter
from vss.testing.stubs import stub_guid

ALL = (
    BackupSchema.AUTHORITATIVE_RESTORE
    | BackupSchema.ROLLFORWARD_RESTORE
    | BackupSchema.RESTORE_RENAME
    | BackupSchema.WRITER_SUPPORTS_RESTORE_WITH_MOVE
)


class Instance(StubWriter):
    """One of several instances of writer class "A"; keeps what it sees in each restore event."""

    def __init__(self, instance_name: str, schema: BackupSchema = ALL, **options: Any) -> None:
        super().__init__("A", **options)
        self.instance_name = instance_name
        self.schema = schema
        self.seen: dict[str, tuple[SelectedComponent, ...]] = {}
        self.facts: list[tuple[RestoreType, int, ApplicationLevel]] = []

    async def identify(self) -> WriterMetadata:
        method = RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS)
        return replace(
            await super().identify(), instance_name=self.instance_name, restore_method=method, backup_schema=self.schema
        )

    async def _record(self, method: str, context: WriterContext) -> None:
        self.seen[method] = () if context.components is None else context.components.components
        self.facts.append((context.restore_type, context.snapshot_context, context.level))
        await super()._record(method, context)


Key = tuple[Guid, ComponentType, str, str]
Story = Callable[[Session, Key], Any]


def restoring(story: Story, *writers: Instance, document: Callable[[BackupComponents], BackupComponents] = lambda d: d) -> None:
    """Run ``story`` in a restore session after its discovery, with the key of writer class A's component."""

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=writers)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            scene.report_all(session)
            await session.backup_complete()
            stored = document(session.document)
        for writer in writers:
            writer.calls.clear()
            writer.seen.clear()
            writer.facts.clear()
        component = writers[0].components[0]
        key = (stub_guid("A"), component.type, component.logical_path, component.component_name)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_restore(stored)
            await session.gather_writer_metadata()
            await story(session, key)
        scene.assert_nothing_left()

    run(main)


def refused(session: Session, call: Callable[[], None], error: type[VssError], code: HResult) -> None:
    """The call fails with this code and changes nothing."""
    before = (session.document, session.state)
    with pytest.raises(error) as caught:
        call()
    assert caught.value.hresult is code
    assert (session.document, session.state) == before


@pytest.mark.parametrize(
    ("roll_forward", "point"),
    [(RollForwardType.NONE, ""), (RollForwardType.ALL, ""), (RollForwardType.PARTIAL, "2026-01-05T08:00")],
)
def test_the_writer_sees_them_in_both_restore_events(roll_forward: RollForwardType, point: str) -> None:
    writer = Instance("one")

    async def story(session: Session, key: Key) -> None:
        session.set_selected_for_restore_ex(*key)
        session.set_restore_state(RestoreType.IMPORT)
        session.set_authoritative_restore(*key, True)
        session.set_roll_forward(*key, roll_forward, point)
        session.set_restore_name(*key, "Servers\\Renamed")
        await session.pre_restore()
        await session.post_restore()

    restoring(story, writer)
    assert list(writer.seen) == ["on_pre_restore", "on_post_restore"]
    for (component,) in writer.seen.values():
        assert component.selected_for_restore
        assert component.authoritative_restore
        assert (component.roll_forward, component.roll_forward_point) == (roll_forward, point)
        assert component.restore_name == "Servers\\Renamed"
    assert writer.facts == [(RestoreType.IMPORT, 0, ApplicationLevel.FRONT_END)] * 2


def test_without_the_schema_bit_they_are_refused() -> None:
    async def story(session: Session, key: Key) -> None:
        calls: list[Callable[[], None]] = [
            lambda: session.set_authoritative_restore(*key, True),
            lambda: session.set_roll_forward(*key, RollForwardType.ALL),
            lambda: session.set_restore_name(*key, "x"),
        ]
        for call in calls:
            refused(session, call, UnsupportedError, HResult.VSS_E_NOT_SUPPORTED)

    restoring(story, Instance("one", BackupSchema.NONE))


def test_a_component_that_is_not_in_the_document_is_not_found() -> None:
    async def story(session: Session, key: Key) -> None:
        other = (key[0], key[1], key[2], "Nobody")
        calls: list[Callable[[], None]] = [
            lambda: session.set_authoritative_restore(*other, True),
            lambda: session.set_roll_forward(*other, RollForwardType.ALL),
            lambda: session.set_restore_name(*other, "x"),
            lambda: session.set_selected_for_restore_ex(*other),
        ]
        for call in calls:
            refused(session, call, NotFoundError, HResult.VSS_E_OBJECT_NOT_FOUND)

    restoring(story, Instance("one"))


@pytest.mark.parametrize(
    ("roll_forward", "point"),
    [(RollForwardType.PARTIAL, ""), (RollForwardType.ALL, "here"), (RollForwardType.UNDEFINED, "here")],
)
def test_a_point_goes_with_partial_and_with_nothing_else(roll_forward: RollForwardType, point: str) -> None:
    async def story(session: Session, key: Key) -> None:
        refused(
            session,
            lambda: session.set_roll_forward(*key, roll_forward, point),
            InvalidArgumentError,
            HResult.E_INVALIDARG,
        )

    restoring(story, Instance("one"))


# -- to another instance -------------------------------------------------------------------------------------------------------


def only_the_first(document: BackupComponents) -> BackupComponents:
    """The backup took instance "one" alone."""
    return replace(document, writers=document.writers[:1])


def test_a_component_moves_to_another_instance_which_alone_hears_of_it() -> None:
    one, two = Instance("one"), Instance("two")

    async def story(session: Session, key: Key) -> None:
        session.set_selected_for_restore_ex(*key, instance_id=two.instance_id)
        moved = session.document.writer(two.instance_id)
        assert moved is not None
        assert (moved.instance_name, [each.selected_for_restore for each in moved.components]) == ("two", [True])
        await session.pre_restore()
        await session.post_restore()

    restoring(story, one, two, document=only_the_first)
    assert list(one.seen) == []
    assert [len(each) for each in two.seen.values()] == [1, 1]


def test_the_instance_it_came_from_needs_no_move() -> None:
    one, two = Instance("one", BackupSchema.NONE), Instance("two", BackupSchema.NONE)

    async def story(session: Session, key: Key) -> None:
        session.set_selected_for_restore_ex(*key, instance_id=one.instance_id)
        await session.pre_restore()

    restoring(story, one, two, document=only_the_first)
    assert list(one.seen) == ["on_pre_restore"]
    assert list(two.seen) == []


def test_a_writer_that_does_not_support_a_move_refuses_it() -> None:
    one, two = Instance("one"), Instance("two", BackupSchema.NONE)

    async def story(session: Session, key: Key) -> None:
        refused(
            session,
            lambda: session.set_selected_for_restore_ex(*key, instance_id=two.instance_id),
            UnsupportedError,
            HResult.VSS_E_NOT_SUPPORTED,
        )

    restoring(story, one, two, document=only_the_first)


def test_an_instance_that_has_a_component_of_this_name_takes_no_other() -> None:
    one, two = Instance("one"), Instance("two")

    async def story(session: Session, key: Key) -> None:
        refused(
            session,
            lambda: session.set_selected_for_restore_ex(*key, instance_id=two.instance_id),
            AlreadyExistsError,
            HResult.VSS_E_OBJECT_ALREADY_EXISTS,
        )

    restoring(story, one, two)


def test_an_instance_that_does_not_run_is_not_found() -> None:
    async def story(session: Session, key: Key) -> None:
        for wrong in (stub_guid("nobody"), stub_guid("A")):
            refused(
                session,
                lambda instance=wrong: session.set_selected_for_restore_ex(*key, instance_id=instance),  # type: ignore[misc]
                NotFoundError,
                HResult.VSS_E_OBJECT_NOT_FOUND,
            )

    restoring(story, Instance("one"))


def test_a_component_whose_writer_is_gone_cannot_be_selected() -> None:
    def of_another_class(document: BackupComponents) -> BackupComponents:
        (part,) = document.writers
        return replace(document, writers=(replace(part, writer_id=stub_guid("gone")),))

    async def story(session: Session, key: Key) -> None:
        refused(
            session,
            lambda: session.set_selected_for_restore_ex(stub_guid("gone"), key[1], key[2], key[3], instance_id=GUID_NULL),
            NotFoundError,
            HResult.VSS_E_OBJECT_NOT_FOUND,
        )

    restoring(story, Instance("one"), document=of_another_class)
