"""A requestor that is killed where it stands: no ``finally`` of it runs, and the service clears up what it left open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vss.coordinator import Coordinator
from vss.coordinator.transactions import TransactionSystem
from vss.events import Event, SnapshotSetAborted, WriterAborted
from vss.ids import Guid
from vss.ports import NANOSECONDS, Ports
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter


class Manager:
    """A transaction manager that notes when it is frozen and thawed."""

    name = "transactions"
    system = TransactionSystem.KERNEL

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    async def freeze(self, snapshot_set_id: Guid) -> None:
        self.calls.append("transactions.freeze")

    async def thaw(self, snapshot_set_id: Guid) -> None:
        self.calls.append("transactions.thaw")


async def killed(ports: Ports, scene: Scene, after_s: float) -> None:
    """Kill a requestor in DoSnapshotSet, and let the service hear of it."""

    async def requestor() -> None:
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        await session.do_snapshot_set()

    loop: Any = asyncio.get_running_loop()
    task = loop.create_task(requestor())
    await asyncio.sleep(after_s)
    loop.kill(task)
    await scene.coordinator.requestor_killed(task)


def test_a_requestor_killed_with_writes_held_leaves_no_hold_no_freeze_and_no_set() -> None:
    calls: list[str] = []
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        volume, provider = StubVolume(ports, "D:", calls), StubProvider(calls=calls, behaviour={"commit_snapshots": 8.0})
        coordinator = Coordinator(ports, transaction_managers=[Manager(calls)])
        coordinator.add_volume(volume)
        coordinator.add_writer(StubWriter("A", calls))
        await coordinator.add_provider(provider)
        scene = Scene(ports, coordinator, calls)
        await killed(ports, scene, 2.0)
        assert not volume.is_holding
        assert ports.clock.now_ns() == 2 * NANOSECONDS
        scene.assert_nothing_left()
        await asyncio.sleep(3600.0)  # what the dead had set runs out
        await coordinator.close()

    run(story, emit=events.append)

    ends = [each for each in calls if each in ("D:.release", "transactions.thaw", "provider.abort_snapshots", "A.on_abort")]
    assert ends == ["D:.release", "transactions.thaw", "provider.abort_snapshots", "A.on_abort"]
    assert [each.cause for each in events if isinstance(each, SnapshotSetAborted)] == ["the session was released"]


@pytest.mark.parametrize("step", ["on_prepare_snapshot", "on_freeze", "on_post_snapshot"])
def test_a_requestor_killed_while_a_writer_works_gives_the_step_up(step: str) -> None:
    calls: list[str] = []
    events: list[Event] = []

    async def work(context: object) -> None:
        try:
            await asyncio.sleep(5000.0)
        finally:
            calls.append("given up")

    async def story(ports: Ports) -> None:
        writers = [StubWriter("A", calls, behaviour={step: work}), StubWriter("B", calls)]
        scene = await Scene.build(ports, writers=writers, providers=[StubProvider(calls=calls)], calls=calls)
        await killed(ports, scene, 2.0)
        assert ports.clock.now_ns() == 2 * NANOSECONDS
        assert calls.count("given up") == 1
        scene.assert_nothing_left()
        await asyncio.sleep(3600.0)  # what the dead had set runs out
        await scene.coordinator.close()

    run(story, emit=events.append)

    told = [each.writer for each in events if isinstance(each, WriterAborted)]
    assert told == ([] if step == "on_post_snapshot" else ["A", "B"])


def test_a_requestor_killed_while_a_freeze_timer_aborts_waits_for_that_abort() -> None:
    calls: list[str] = []

    async def story(ports: Ports) -> None:
        writer = StubWriter("A", calls, freeze_timeout_s=1.0, behaviour={"on_abort": 5.0})
        provider = StubProvider(calls=calls, behaviour={"pre_commit_snapshots": 8.0})
        scene = await Scene.build(ports, writers=[writer], providers=[provider], calls=calls)
        await killed(ports, scene, 2.0)
        assert calls.count("A.on_abort") == 1
        assert calls[-1] == "A.on_backup_shutdown"
        assert ports.clock.now_ns() == 6 * NANOSECONDS
        scene.assert_nothing_left()
        await asyncio.sleep(3600.0)  # what the dead had set runs out
        await scene.coordinator.close()

    run(story)


def test_a_requestor_killed_after_its_set_failed_is_not_the_cause() -> None:
    calls: list[str] = []
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        writer = StubWriter("A", calls, behaviour={"on_thaw": 5.0, "on_abort": 5.0})
        provider = StubProvider(calls=calls, behaviour={"commit_snapshots": RuntimeError("out of order")})
        scene = await Scene.build(ports, writers=[writer], providers=[provider], calls=calls)
        await killed(ports, scene, 2.0)
        scene.assert_nothing_left()
        await asyncio.sleep(3600.0)  # what the dead had set runs out
        await scene.coordinator.close()

    run(story, emit=events.append)

    (aborted,) = [each for each in events if isinstance(each, SnapshotSetAborted)]
    assert "out of order" in aborted.cause
    assert aborted.hresult == "VSS_E_UNEXPECTED_PROVIDER_ERROR"
