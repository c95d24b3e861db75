"""A writer did its work and its answer was lost, it was started anew, or what it declares fits into no document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vss.coordinator import limits_of_profile
from vss.events import Event, PluginProblem, WriterAborted, WriterVetoed
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import Ports
from vss.simulation import run
from vss.simulation.faults import FaultPlan
from vss.testing import Scene, StubWriter


def play(story: Any, faults: str = "", *, has_gone: bool = False) -> list[Event]:
    """Run a story; the judge of runs does not see that a writer has gone in the middle, and misses its BackupShutdown."""
    events: list[Event] = []
    plan = FaultPlan.parse(faults) if faults else None
    run(story, emit=events.append, faults=plan, unjudged="a writer has gone in the middle" if has_gone else "")
    return events


async def statuses(scene: Scene, session: Any) -> dict[str, tuple[WriterState, HResult]]:
    return {each.name: (each.state, each.failure) for each in await session.gather_writer_status()}


@pytest.mark.parametrize("effect", ["fail-after code=F3", "crash=after"])
def test_a_writer_whose_answer_to_freeze_is_lost_has_failed_at_freeze_and_is_aborted(effect: str) -> None:
    found: dict[str, Any] = {}

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A"), StubWriter("B")])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            found.update(await statuses(scene, session))

    events = play(story, f"writer.freeze when=writer:A {effect}", has_gone="crash" in effect)

    assert found["A"][0] is WriterState.FAILED_AT_FREEZE
    assert found["A"][1].is_failure
    assert found["B"] == (WriterState.WAITING_FOR_BACKUP_COMPLETE, HResult.S_OK)
    assert next(each for each in events if isinstance(each, WriterVetoed) and each.writer == "A").step == "Freeze"
    assert any(isinstance(each, WriterAborted) and each.writer == "A" for each in events)


def test_a_writer_whose_answer_to_freeze_comes_too_late_has_failed_too() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A"), StubWriter("B")])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            with pytest.raises(Exception, match="window"):
                await session.do_snapshot_set()

    assert any(
        isinstance(each, WriterVetoed) and "no answer" in each.message
        for each in play(story, "writer.freeze when=writer:A hang=after")
    )


def test_a_writer_that_was_started_anew_gets_nothing_of_the_old_session_and_counts_as_failed() -> None:
    found: dict[str, Any] = {}

    async def story(ports: Ports) -> None:
        writer = StubWriter("A")
        scene = await Scene.build(ports, writers=[writer])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            scene.coordinator.remove_writer(writer)
            scene.coordinator.add_writer(writer)
            await session.backup_complete()
            found.update(await statuses(scene, session))
        assert "A.on_backup_complete" not in scene.calls

    play(story, has_gone=True)

    assert found["A"] == (WriterState.FAILED_AT_BACKUP_COMPLETE, HResult.VSS_E_WRITER_NOT_RESPONDING)


def test_metadata_that_no_document_can_hold_leave_its_writer_out_and_the_others_in() -> None:
    class Unspeakable(StubWriter):
        async def identify(self) -> Any:
            return replace(await super().identify(), friendly_name="a\x00b")

    names: list[str] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[Unspeakable("A"), StubWriter("B")])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            names.extend(each.friendly_name for each in await session.gather_writer_metadata())

    events = play(story)

    assert names == ["B"]
    assert [(each.plugin, each.stage) for each in events if isinstance(each, PluginProblem)] == [("A", "identify")]


def test_a_freeze_that_never_reaches_its_writer_ends_in_a_profile_without_a_window() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, limits=limits_of_profile("windows"))
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            (status,) = await session.gather_writer_status()
            assert status.failure is HResult.VSS_E_WRITERERROR_TIMEOUT

    play(story, "writer.freeze hang")
