"""An abort runs to its end, whoever is cancelled meanwhile and whatever fails on the way, and says that the set is aborted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from vss.events import Event, FreezeWindowClosed, ProviderCalled, SnapshotSetAborted, WriterAborted
from vss.ports import Ports
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubWriter


@pytest.mark.parametrize("site", ["coord.release", "coord.thaw", "coord.abort"])
def test_the_first_cause_is_told_whatever_is_cancelled_while_it_is_cleared_up(site: str) -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"commit_snapshots": RuntimeError("no")})])
        with suppress(asyncio.CancelledError):
            await scene.backup()
        await scene.coordinator.close()

    run(story, emit=events.append, faults=FaultPlan.parse(f"{site} cancel"))

    (told,) = [each for each in events if isinstance(each, SnapshotSetAborted)]
    assert ("commit: RuntimeError: no" in told.cause) or site == "coord.abort"


@pytest.mark.parametrize(
    ("writer", "provider", "cancel_s"),
    [
        ({}, {"commit_snapshots": RuntimeError("no"), "abort_snapshots": 5.0}, [2.0]),
        ({"on_abort": 5.0}, {"commit_snapshots": RuntimeError("no")}, [2.0]),
        ({"on_abort": 5.0}, {"commit_snapshots": "hang", "abort_snapshots": 5.0}, [1.0, 3.0, 7.0]),
    ],
    ids=["while the provider undoes", "while a writer is told", "again and again"],
)
def test_a_cancelled_abort_ends_and_is_told(writer: Any, provider: Any, cancel_s: list[float]) -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        stub = StubProvider(behaviour=provider)
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour=writer)], providers=[stub])
        session = scene.coordinator.open_session()
        await scene.prepare(session)
        taking = asyncio.get_running_loop().create_task(session.do_snapshot_set())
        for instant_s in cancel_s:
            await ports.clock.sleep(instant_s - ports.clock.now_ns() / 1e9)
            taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        await session.release()
        assert stub.unfinished_count == 0
        await scene.coordinator.close()

    run(story, emit=events.append)

    assert sum(isinstance(each, SnapshotSetAborted) for each in events) == 1
    assert sum(isinstance(each, FreezeWindowClosed) for each in events) == 1
    assert [each.step for each in events if isinstance(each, ProviderCalled)].count("abort") == 1
    assert sum(isinstance(each, WriterAborted) for each in events) == 1


def test_a_set_whose_abort_is_stopped_by_a_fault_is_told_of_by_the_release() -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"commit_snapshots": RuntimeError("no")})])
        with pytest.raises(BaseException):  # noqa: B017, PT011 - what the fault raises is not what is looked at
            await scene.backup()
        await scene.coordinator.close()

    run(story, emit=events.append, faults=FaultPlan.parse("coord.abort when=nth:1 cancel"))

    assert sum(isinstance(each, SnapshotSetAborted) for each in events) == 1
