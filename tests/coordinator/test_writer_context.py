"""What a handler may do, and when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from vss.documents import BackupType
from vss.errors import BadStateError, InvalidArgumentError, NotFoundError
from vss.hresult import HResult
from vss.ids import GUID_NULL
from vss.ports import Ports
from vss.roles.writer import WriterContext
from vss.simulation import run
from vss.testing import Scene, StubWriter
from vss.testing.stubs import stub_guid


def during(method: str, look: Callable[[WriterContext], Any]) -> list[Any]:
    """Run a backup whose writer calls ``look`` in ``method``; return what it returned, or the error it met."""
    seen: list[Any] = []

    async def handle(context: WriterContext) -> None:
        try:
            result = look(context)
            seen.append(await result if isinstance(result, Awaitable) else result)
        except (BadStateError, InvalidArgumentError, NotFoundError) as error:
            seen.append(error)

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={method: handle})])
        await scene.backup()

    run(story)
    return seen


@pytest.mark.parametrize(
    ("method", "is_known"),
    [
        ("on_prepare_backup", False),
        ("on_prepare_snapshot", True),
        ("on_freeze", True),
        ("on_thaw", True),
        ("on_post_snapshot", True),
        ("on_backup_complete", True),
        ("on_backup_shutdown", True),
    ],
)
def test_the_set_id_is_known_from_prepare_snapshot_on(method: str, is_known: bool) -> None:
    (set_id,) = during(method, lambda context: context.snapshot_set_id)

    assert (set_id != GUID_NULL) is is_known


def test_session_type_and_volumes_are_told() -> None:
    (seen,) = during("on_freeze", lambda context: (context.backup_type, list(context.volumes), context.session_id))

    assert seen[:2] == (BackupType.FULL, ["D:"])
    assert seen[2] != GUID_NULL


@pytest.mark.parametrize(("path", "is_affected"), [("D:\\data\\x", True), ("d:\\x", True), ("L:\\x", False), ("D:", True)])
def test_a_path_is_affected_when_its_volume_is_in_the_set(path: str, is_affected: bool) -> None:
    assert during("on_prepare_snapshot", lambda context: context.is_path_affected(path)) == [is_affected]


def test_the_shadow_copy_can_be_had_in_post_snapshot_only() -> None:
    (files,) = during("on_post_snapshot", lambda context: context.snapshot_files("d:"))
    assert files.is_read_only
    (error,) = during("on_freeze", lambda context: context.snapshot_files("D:"))
    assert isinstance(error, BadStateError)
    (missing,) = during("on_post_snapshot", lambda context: context.snapshot_files("X:"))
    assert isinstance(missing, NotFoundError)


def test_the_document_is_closed_outside_its_phases_and_to_other_instances() -> None:
    def change(context: WriterContext) -> None:
        assert context.components is not None
        context.set_components(context.components)

    def steal(context: WriterContext) -> None:
        assert context.components is not None
        context.set_components(replace(context.components, instance_id=stub_guid("other")))

    assert isinstance(during("on_backup_complete", change)[0], BadStateError)
    assert isinstance(during("on_prepare_backup", steal)[0], InvalidArgumentError)


def test_changes_of_a_handler_reach_the_document_and_the_handler_sees_them() -> None:
    async def story(ports: Ports) -> None:
        def stamp(context: WriterContext) -> None:
            part = context.components
            assert part is not None
            context.set_components(replace(part, components=(replace(part.components[0], backup_stamp=b"7"),)))
            assert context.components is not None
            assert context.components.components[0].backup_stamp == b"7"

        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_post_snapshot": stamp})])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            assert session.document.writers[0].components[0].backup_stamp == b"7"

    run(story)


def test_only_the_legal_failure_codes_can_be_reported() -> None:
    (error,) = during("on_freeze", lambda context: context.set_failure(HResult.E_FAIL))

    assert isinstance(error, InvalidArgumentError)


def test_a_context_is_dead_after_its_handler_returned() -> None:
    async def story(ports: Ports) -> None:
        writer = StubWriter("A")
        scene = await Scene.build(ports, writers=[writer])
        await scene.backup()
        with pytest.raises(BadStateError, match="after its handler returned"):
            writer.contexts["on_freeze"].set_failure(HResult.VSS_E_WRITERERROR_RETRYABLE)

    run(story)
