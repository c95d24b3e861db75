"""A release that is cancelled on its way leaves no auto-release shadow copy: nobody would come back for it."""

from __future__ import annotations

import asyncio

import pytest

from vss.events import Event, WriterAnswered
from vss.ports import Ports
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubWriter


async def cancelled(ports: Ports, scene: Scene, *, is_taken: bool = True, leaves_waiting: bool = False, times: int = 1) -> None:
    """Let a requestor back up, and cancel it a second after it began to end its session; again every second."""

    async def requestor() -> None:
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        if is_taken:
            await session.do_snapshot_set()
            assert len(scene.coordinator.snapshots()) == 1
        if leaves_waiting:
            scene.report_all(session)
            await session.leave_waiting()
        else:
            await session.release()

    task = asyncio.ensure_future(requestor())
    for _ in range(times):
        await ports.clock.sleep(1)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("writer", "provider"),
    [({"on_backup_shutdown": 5}, {}), ({}, {"delete_snapshot": 5})],
    ids=["while a writer is told", "while a shadow copy is deleted"],
)
def test_the_shadow_copies_are_gone(writer: dict[str, int], provider: dict[str, int]) -> None:
    async def main(ports: Ports) -> None:
        stub = StubProvider(behaviour=provider)
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour=writer)], providers=[stub])

        await cancelled(ports, scene)
        assert await scene.coordinator.query_snapshots() == []
        assert scene.coordinator.open_session_count == 0
        await scene.coordinator.close()

    run(main)


@pytest.mark.parametrize("is_taken", [True, False], ids=["after the set was taken", "while the set is unfinished"])
def test_every_writer_hears_of_the_end(is_taken: bool) -> None:
    writers = [StubWriter(name, behaviour={"on_backup_shutdown": 5, "on_abort": 5}) for name in "AB"]
    told: list[str] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=writers)
        await cancelled(ports, scene, is_taken=is_taken, times=3)
        await scene.coordinator.close()

    def listen(event: Event) -> None:
        if isinstance(event, WriterAnswered) and event.step == "BackupShutdown":
            told.append(event.writer)

    run(main, emit=listen)

    assert told == ["A", "B"]


def test_who_leaves_a_backup_waiting_leaves_it_though_cancelled() -> None:
    kinds: list[str] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"delete_snapshot": 5})])
        await cancelled(ports, scene, leaves_waiting=True)
        assert await scene.coordinator.query_snapshots() == []
        await scene.coordinator.close()

    run(main, emit=lambda event: kinds.append(type(event).__name__))

    assert kinds.count("BackupLeftWaiting") == 1


def test_a_copy_that_cannot_be_deleted_then_is_recorded() -> None:
    events: list[str] = []

    async def main(ports: Ports) -> None:
        async def fail(*_: object) -> None:
            await asyncio.sleep(5)
            raise OSError("the array is gone")

        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"delete_snapshot": fail})])
        await cancelled(ports, scene)
        await scene.coordinator.close()

    run(main, emit=lambda event: events.append(type(event).__name__))
    assert "PluginProblem" in events


def test_an_undo_that_is_cancelled_leaves_no_writer_untold() -> None:
    told: list[str] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports)
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        with pytest.raises(asyncio.CancelledError):
            await session.release()
        assert scene.coordinator.open_session_count == 0
        await scene.coordinator.close()

    def listen(event: Event) -> None:
        if isinstance(event, WriterAnswered):
            told.append(event.step)

    run(main, emit=listen, faults=FaultPlan.parse("fault coord.abort cancel=after"))

    assert told[-1] == "BackupShutdown"
