"""What the calls of a backup return, and what a refused call leaves as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.protocol.kit import take
from vss.coordinator import Limits, SnapshotAttributes, SnapshotContext
from vss.coordinator.calls import Call, Caller
from vss.documents import BackupType
from vss.documents.xml import parse_backup_components
from vss.errors import BadStateError, InvalidArgumentError, NotFoundError, ProviderError, ProviderVetoError, SetInProgressError
from vss.events import Event, SnapshotDeleted
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import BreakOptions, BrokenSnapshot, ProviderCapabilities, ProviderType
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubVolume


def play(story: Callable[[Scene], Awaitable[Any]]) -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports)
        await story(scene)
        scene.assert_nothing_left()
        await scene.coordinator.close()

    run(main)


def test_the_id_of_the_set_is_the_one_in_the_document() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            await session.gather_writer_metadata()
            set_id = session.start_snapshot_set()
            assert set_id == session.snapshot_set_id == session.document.snapshot_set_id
            assert session.set_volumes == []
            await session.add_to_snapshot_set("D:")
            assert session.set_volumes == ["D:"]

    play(story)


def test_who_was_refused_the_creation_lock_can_ask_again() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as first, scene.coordinator.open_session() as second:
            await scene.prepare(first)
            second.initialize_for_backup()
            await second.gather_writer_metadata()
            before = second.state
            with pytest.raises(SetInProgressError):
                second.start_snapshot_set()
            assert second.state is before
            await first.do_snapshot_set()
            second.start_snapshot_set()

    play(story)


def test_the_state_of_the_backup_is_in_the_document() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(
                select_components=True,
                bootable_system_state=True,
                backup_type=BackupType.DIFFERENTIAL,
                partial_file_support=True,
            )
            document = session.document
            assert (document.select_components, document.bootable_system_state) == (True, True)
            assert (document.backup_type, document.partial_file_support) == (BackupType.DIFFERENTIAL, True)
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
            assert not session.document.partial_file_support

    play(story)


@pytest.mark.parametrize("limit_s", [0.0, -5.0])
def test_a_call_without_time_left_is_given_up_at_once(limit_s: float) -> None:
    async def main(ports: Ports) -> None:
        caller = Caller(ports)
        outcome = await caller.call(Call("slow", "s", lambda: asyncio.sleep(60.0)), limit_s)
        assert outcome.is_timeout
        assert ports.clock.now_ns() == 0
        await caller.close(1.0)

    run(main)


class Forgetful(StubProvider):
    """Says that it finished the set, and loses the shadow copy of E: on the way."""

    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        await super().post_final_commit_snapshots(snapshot_set_id)
        self.finished = {key: each for key, each in self.finished.items() if each.original_volume != "E:"}


def test_of_a_set_that_is_not_whole_nothing_stays_and_the_counts_are_told() -> None:
    events: list[Event] = []
    provider = Forgetful()

    async def main(ports: Ports) -> None:
        volumes = [StubVolume(ports, name) for name in ("D:", "E:", "F:")]
        scene = await Scene.build(ports, providers=[provider], volumes=volumes)
        with pytest.raises(ProviderError, match="expected 3, found 2 shadow copies"):
            await scene.backup(volumes=["D:", "E:", "F:"])
        assert provider.finished == {}
        await scene.coordinator.close()

    run(main, emit=events.append)

    assert [each.reason for each in events if isinstance(each, SnapshotDeleted)] == ["its set is not whole"] * 2


def test_room_is_made_for_people_among_what_people_see() -> None:
    async def main(ports: Ports) -> None:
        provider = StubProvider(type=ProviderType.SYSTEM)
        limits = Limits(client_accessible_max=1)
        volumes = [StubVolume(ports, name) for name in ("D:", "E:")]
        scene = await Scene.build(ports, providers=[provider], volumes=volumes, limits=limits)
        ids = [
            (await take(scene, context))[0]
            for context in (
                SnapshotContext.NAS_ROLLBACK,
                SnapshotContext.CLIENT_ACCESSIBLE,
                SnapshotContext.CLIENT_ACCESSIBLE,
            )
        ]
        assert list(provider.finished) == [ids[0], ids[2]]
        (elsewhere,) = await take(scene, SnapshotContext.CLIENT_ACCESSIBLE, volumes=("E:",))
        assert list(provider.finished) == [ids[0], ids[2], elsewhere]
        await scene.coordinator.close()

    run(main)


def test_closing_cancels_once_more_what_ignored_the_first_cancellation() -> None:
    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60.0)
        await asyncio.sleep(3600.0)

    async def main(ports: Ports) -> None:
        caller = Caller(ports)
        assert (await caller.call(Call("stubborn", "s", stubborn), 1.0)).is_timeout
        await asyncio.sleep(1.0)
        assert caller.left_behind_count == 1
        await caller.close(5.0)
        assert caller.left_behind_count == 0
        assert ports.clock.now_ns() == 2_000_000_000

    run(main)


def test_a_provider_is_not_asked_again_to_delete_what_is_gone() -> None:
    calls: list[str] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(calls=calls)], calls=calls)
        (snapshot_id,) = await take(scene, SnapshotContext.NAS_ROLLBACK)
        assert await scene.coordinator.delete_snapshot_if_there(snapshot_id, "not needed")
        assert not await scene.coordinator.delete_snapshot_if_there(snapshot_id, "not needed")
        await scene.coordinator.close()

    run(main)

    assert calls.count("provider.delete_snapshot") == 1


def test_a_copy_whose_provider_falls_silent_after_the_set_is_deleted_with_its_session() -> None:
    provider = StubProvider()

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[provider])
        provider.behaviour["query"] = RuntimeError("silent")
        with pytest.raises(ProviderError):
            await scene.backup()
        assert provider.finished == {}
        provider.behaviour.clear()
        await scene.coordinator.close()

    run(main)


class Exposing(StubProvider):
    """Keeps the names under which its shadow copies are exposed."""

    async def set_exposed_name(self, snapshot_id: Guid, name: str) -> None:
        self.calls.append(f"provider.expose {name}".strip())
        self.finished[snapshot_id] = replace(self.finished[snapshot_id], exposed_name=name)


def test_what_is_exposed_is_deleted_by_force_only_and_unexposed_first() -> None:
    calls: list[str] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[Exposing(calls=calls)], calls=calls)
        (snapshot_id,) = await take(scene, SnapshotContext.NAS_ROLLBACK)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.ALL)
            assert await session.expose_snapshot(snapshot_id, SnapshotAttributes.EXPOSED_LOCALLY, "X:") == "X:"
            assert session.get_snapshot_properties(snapshot_id).exposed_name == "X:"
            with pytest.raises(ProviderVetoError, match="is exposed as X:"):
                await session.delete_snapshots([snapshot_id])
            set_id = session.get_snapshot_properties(snapshot_id).snapshot_set_id
            for refused in (await session.try_delete_snapshots([snapshot_id]), await session.delete_snapshot_set(set_id)):
                assert (refused.deleted_count, refused.non_deleted_id) == (0, snapshot_id)
                assert isinstance(refused.failure, ProviderVetoError)
            assert await session.delete_snapshots([snapshot_id], force=True) == 1
        await scene.coordinator.close()

    run(main)

    assert calls[-3:] == ["provider.expose X:", "provider.expose", "provider.delete_snapshot"]


def test_unexposing_takes_the_name_back() -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[Exposing()])
        (snapshot_id,) = await take(scene, SnapshotContext.NAS_ROLLBACK)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.ALL)
            await session.expose_snapshot(snapshot_id, SnapshotAttributes.EXPOSED_REMOTELY, "share")
            await session.unexpose_snapshot(snapshot_id)
            assert session.get_snapshot_properties(snapshot_id).exposed_name == ""
            with pytest.raises(BadStateError, match="is not exposed"):
                await session.unexpose_snapshot(snapshot_id)
        await scene.coordinator.close()

    run(main)


@pytest.mark.parametrize("attributes", [SnapshotAttributes.NONE, SnapshotAttributes.PERSISTENT])
def test_an_exposure_is_local_or_remote_and_has_a_name(attributes: SnapshotAttributes) -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[Exposing()])
        (snapshot_id,) = await take(scene, SnapshotContext.NAS_ROLLBACK)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            with pytest.raises(InvalidArgumentError):
                await session.expose_snapshot(snapshot_id, attributes, "X:")
            with pytest.raises(InvalidArgumentError):
                await session.expose_snapshot(snapshot_id, SnapshotAttributes.EXPOSED_LOCALLY, "")
        await scene.coordinator.close()

    run(main)


class Breaking(StubProvider):
    """A hardware provider that breaks its sets."""

    async def break_snapshot_set(self, snapshot_set_id: Guid, options: BreakOptions) -> list[BrokenSnapshot]:
        broken = [each for each in self.finished.values() if each.snapshot_set_id == snapshot_set_id]
        for each in broken:
            del self.finished[each.snapshot_id]
        return [BrokenSnapshot(each.snapshot_id, each.original_volume, None) for each in broken]


def test_what_was_broken_or_deleted_as_a_set_is_known_no_more() -> None:
    async def main(ports: Ports) -> None:
        provider = Breaking(type=ProviderType.HARDWARE)
        volumes = [StubVolume(ports, name) for name in ("D:", "E:")]
        scene = await Scene.build(ports, providers=[provider], volumes=volumes)
        first = await take(scene, SnapshotContext.NAS_ROLLBACK, volumes=("D:", "E:"))
        second = await take(scene, SnapshotContext.NAS_ROLLBACK, volumes=("D:", "E:"))
        (third,) = await take(scene, SnapshotContext.NAS_ROLLBACK)
        session = scene.coordinator.open_session()
        with pytest.raises(BadStateError):
            await session.delete_snapshot_set(Guid(int=1))
        session.initialize_for_backup()
        session.set_context(SnapshotContext.ALL)
        sets = [session.get_snapshot_properties(one).snapshot_set_id for one in (first[0], second[0], third)]
        del provider.finished[third]  # went by itself
        with pytest.raises(NotFoundError):
            await session.break_snapshot_set(sets[2])
        assert [each.snapshot_id for each in await session.break_snapshot_set(sets[0])] == first
        with pytest.raises(NotFoundError):
            session.get_snapshot_properties(first[0])
        del provider.finished[second[0]]  # went by itself
        deletion = await session.delete_snapshot_set(sets[1])
        assert (deletion.deleted_count, deletion.hresult) == (1, HResult.S_OK)
        with pytest.raises(NotFoundError):
            await session.break_snapshot_set(sets[1])
        await session.release()
        await scene.coordinator.close()

    run(main)


def test_what_is_left_of_a_failed_set_is_nobodys_shadow_copy() -> None:
    calls: list[str] = []

    class Keeping(StubProvider):
        async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
            await super().post_final_commit_snapshots(snapshot_set_id)
            raise RuntimeError("and then")

    async def main(ports: Ports) -> None:
        provider = Keeping(calls=calls, behaviour={"delete_snapshot": RuntimeError("no")})
        scene = await Scene.build(ports, providers=[provider], calls=calls)
        with pytest.raises(ProviderError):
            await scene.backup()
        (snapshot_id,) = provider.finished
        asked = calls.count("provider.delete_snapshot")
        assert not await scene.coordinator.delete_snapshot_if_there(snapshot_id, "not needed")
        assert calls.count("provider.delete_snapshot") == asked == 1
        provider.behaviour.clear()
        await scene.coordinator.close()

    run(main)


def test_writer_instances_are_kept_out_before_they_are_asked_and_not_later() -> None:
    async def story(scene: Scene) -> None:
        (writer,) = scene.coordinator.writers
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.disable_writer_instances([writer.instance_id])
            assert await session.gather_writer_metadata() == []
            for refused in (session.disable_writer_instances, session.disable_writer_classes, session.enable_writer_classes):
                with pytest.raises(BadStateError):
                    refused([])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.disable_writer_classes([writer.writer_class_id])
            session.enable_writer_classes([writer.writer_class_id])
            assert len(await session.gather_writer_metadata()) == 1

    play(story)


def test_calls_before_their_time_are_refused_and_change_nothing() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            before = session.state
            with pytest.raises(BadStateError, match="cannot take SaveAsXML"):
                session.save_as_xml()
            with pytest.raises(BadStateError, match="cannot take GatherWriterStatus"):
                await session.gather_writer_status()
            with pytest.raises(BadStateError, match="cannot take LeaveWaiting"):
                await session.leave_waiting()
            assert session.state is before
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
            await session.gather_writer_metadata()
            await session.prepare_for_backup()
            assert parse_backup_components(session.save_as_xml()) == session.document

    play(story)


def test_a_volume_in_use_is_dismounted_for_a_revert_only_where_that_was_asked() -> None:
    forced: list[bool] = []

    class Reverting(StubProvider):
        async def revert(self, snapshot_id: Guid, *, force_dismount: bool) -> None:
            forced.append(force_dismount)

    async def main(ports: Ports) -> None:
        provider = Reverting()
        provider.capabilities = ProviderCapabilities(supports_persistent=True, supports_revert=True)
        scene = await Scene.build(ports, providers=[provider])
        (snapshot_id,) = await take(scene, SnapshotContext.NAS_ROLLBACK)
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            await session.revert_to_snapshot(snapshot_id)
            await session.revert_to_snapshot(snapshot_id, force_dismount=True)
        await scene.coordinator.close()

    run(main)

    assert forced == [False, True]
