"""The machine's service: who is known, who is gone, and what it says of names that it does not know."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from vss.coordinator import Coordinator
from vss.errors import AlreadyExistsError, BadStateError, NotFoundError
from vss.events import Event, PluginProblem, WriterIdentified
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.machines import SessionState
from vss.ports import NANOSECONDS, Ports
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter


def test_a_writer_that_unsubscribed_has_failed_in_sessions_that_know_it_and_hears_nothing() -> None:
    async def main(ports: Ports) -> None:
        calls: list[str] = []
        writer = StubWriter("A", calls)
        scene = await Scene.build(ports, writers=[writer, StubWriter("B", calls)], calls=calls)
        assert writer.instance_id != GUID_NULL
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            scene.coordinator.remove_writer(writer)
            assert writer.instance_id == GUID_NULL
            await session.do_snapshot_set()
            first, second = await session.gather_writer_status()
            assert first.failure is HResult.VSS_E_WRITER_NOT_RESPONDING
            assert second.failure is HResult.S_OK
        assert [each.name for each in scene.coordinator.writers] == ["B"]
        assert "A.on_freeze" not in calls
        await scene.coordinator.close()

    run(main)


def test_a_writer_without_a_freeze_limit_is_told_as_one() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", freeze_timeout_s=math.inf), StubWriter("B")])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
        await scene.coordinator.close()

    run(main, emit=events.append)

    limits = {each.writer: each.freeze_limit_ns for each in events if isinstance(each, WriterIdentified)}
    assert limits == {"A": -1, "B": 60 * NANOSECONDS}


def test_a_requestor_whose_task_ends_is_released_and_one_that_released_itself_is_not_watched() -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports)

        async def forgetful() -> None:
            await scene.prepare(scene.coordinator.open_session())

        async def orderly() -> None:
            await scene.backup()

        await asyncio.create_task(orderly())
        assert scene.calls.count("A.on_backup_shutdown") == 1
        await asyncio.create_task(forgetful())
        await ports.clock.sleep(1.0)
        assert scene.calls.count("A.on_backup_shutdown") == 2
        scene.assert_nothing_left()
        await scene.coordinator.close()

    run(main)


def test_each_point_where_a_fault_may_strike_is_passed_once_and_in_order() -> None:
    sites: list[str] = []

    async def passing(site: str, work: Callable[[], Awaitable[Any]], **selectors: str) -> Any:
        sites.append(" ".join([site, *selectors.values()]))
        return await work()

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider("P")])
        async with scene.coordinator.open_session() as session:
            assert not scene.coordinator.is_creating
            await scene.prepare(session)
            assert scene.coordinator.is_creating is True
            await session.do_snapshot_set()
            assert scene.coordinator.is_creating is False
            scene.report_all(session)
            await session.backup_complete()
            await session.gather_writer_status()
        await scene.coordinator.close()

    run(main, faults=passing)

    assert sites == SITES


SITES = [
    "provider.query P",
    "coord.gather",
    "writer.identify A",
    "coord.add_volume D:",
    "provider.is_volume_supported P D:",
    "provider.begin_prepare P",
    "coord.prepare_backup",
    "writer.prepare_backup A",
    "coord.create",
    "coord.end_prepare",
    "provider.end_prepare P",
    "coord.prepare_snapshot",
    "writer.prepare_snapshot A",
    "coord.freeze",
    "writer.freeze A",
    "coord.pre_commit",
    "provider.pre_commit P",
    "coord.flush_and_hold",
    "coord.commit",
    "provider.commit P",
    "coord.release",
    "coord.post_commit",
    "provider.post_commit P",
    "coord.thaw",
    "writer.thaw A",
    "coord.pre_final",
    "provider.pre_final P",
    "coord.post_snapshot",
    "writer.post_snapshot A",
    "coord.post_final",
    "provider.post_final P",
    "provider.query P",
    "coord.complete",
    "writer.backup_complete A",
    "coord.status",
    "coord.release_session",
    "coord.abort",
    "writer.backup_shutdown A",
    "provider.delete P",
]
"""Of one clean backup; a site is named by whoever is asked, or by the coordinator's own step."""


def test_a_dead_requestor_is_one_that_has_a_session_open() -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports)
        session = scene.coordinator.open_session()
        with pytest.raises(NotFoundError, match="no open session has the id"):
            await scene.coordinator.requestor_died(Guid(int=1))
        assert scene.coordinator.open_session_count == 1
        await scene.coordinator.requestor_died(session.session_id)
        assert scene.coordinator.open_session_count == 0
        await scene.coordinator.close()

    run(main)


def test_a_volume_is_found_by_its_name_in_any_case_and_with_a_backslash() -> None:
    async def main(ports: Ports) -> None:
        coordinator = Coordinator(ports)
        with pytest.raises(NotFoundError, match="no volume D:: found none"):
            coordinator.volume("D:")
        volume = StubVolume(ports, "D:")
        coordinator.add_volume(volume)
        assert coordinator.volume("d:\\") is volume
        with pytest.raises(NotFoundError, match="no volume E:: found D:"):
            coordinator.volume("E:")
        with pytest.raises(AlreadyExistsError):
            coordinator.add_volume(StubVolume(ports, "d:"))

    run(main)


def test_writers_of_one_class_need_names_of_their_own() -> None:
    async def main(ports: Ports) -> None:
        coordinator = Coordinator(ports)
        first, second = StubWriter("A"), StubWriter("A")
        coordinator.add_writer(first)
        with pytest.raises(AlreadyExistsError, match="writer 'A' has subscribed already"):
            coordinator.add_writer(second)
        second.instance_name = "other"
        coordinator.add_writer(second)
        coordinator.add_writer(StubWriter("B"))
        assert len({each.instance_id for each in coordinator.writers}) == 3

    run(main)


def test_a_provider_is_registered_once() -> None:
    async def main(ports: Ports) -> None:
        coordinator = Coordinator(ports)
        await coordinator.add_provider(StubProvider("P"))
        with pytest.raises(AlreadyExistsError) as caught:
            await coordinator.add_provider(StubProvider("P"))
        assert caught.value.hresult is HResult.VSS_E_PROVIDER_ALREADY_REGISTERED
        assert len(coordinator.providers) == 1

    run(main)


def test_a_provider_whose_close_hangs_costs_the_limit_and_the_others_are_closed() -> None:
    closed: list[str] = []

    class Closing(StubProvider):
        async def close(self) -> None:
            if self.name == "hangs":
                await asyncio.sleep(1000.0)
            closed.append(self.name)
            raise RuntimeError(f"{self.name} is torn")

    async def main(ports: Ports) -> None:
        coordinator = Coordinator(ports)
        for name in ("hangs", "P", "Q"):
            await coordinator.add_provider(Closing(name))
        with pytest.raises(Exception, match="'hangs' failed in close: DeadlineError") as caught:
            await coordinator.close()
        assert caught.value.__notes__ == ["while closing: P is torn", "while closing: Q is torn"]
        assert ports.clock.now_ns() == 60 * NANOSECONDS

    run(main)

    assert closed == ["P", "Q"]


def test_closing_collects_a_writer_that_ignored_the_end_of_its_limit() -> None:
    async def stubborn(context: object) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(5000.0)
        await asyncio.sleep(5000.0)

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_prepare_backup": stubborn})])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
        assert scene.coordinator.caller.left_behind_count == 1
        await scene.coordinator.close()
        assert scene.coordinator.caller.left_behind_count == 0
        assert ports.clock.now_ns() == 600 * NANOSECONDS

    run(main)


def test_a_release_after_the_requestors_death_that_fails_is_told() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        provider = StubProvider("P", behaviour={"delete_snapshot": RuntimeError("no")})
        scene = await Scene.build(ports, providers=[provider])

        async def requestor() -> None:
            session = scene.coordinator.open_session()
            await scene.prepare(session)
            await session.do_snapshot_set()

        await asyncio.create_task(requestor())
        await ports.clock.sleep(1.0)
        provider.behaviour.clear()
        await scene.coordinator.close()

    run(main, emit=events.append)

    told = [(each.plugin, each.stage) for each in events if isinstance(each, PluginProblem)]
    assert told == [("requestor", "release")]


def test_a_released_session_takes_no_call() -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports)
        session = scene.coordinator.open_session()
        session.initialize_for_backup()
        await session.release()
        assert session.state is SessionState.RELEASED
        with pytest.raises(BadStateError):
            session.start_snapshot_set()
        await scene.coordinator.close()

    run(main)
