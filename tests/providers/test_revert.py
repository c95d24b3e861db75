"""Reverting a volume to a shadow copy: exact, refused in time, never half, found again after a crash."""

from __future__ import annotations

import asyncio

import pytest

from tests.providers.kit import BLOCK, PERSISTENT, DiffAreaScene, read_with_dissect, read_with_libvshadow
from tests.providers.world import SIZE, VOLATILE, Machine, get, on_machine, put
from vss.errors import (
    InsufficientStorageError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    SetInProgressError,
    UnsupportedError,
    VolumeError,
    VolumeWriteError,
)
from vss.events import ApplicationLogged, BlocksCopied, Event, SnapshotDeleted
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import Provider
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss_providers.clone import CloneProvider
from vss_providers.copy_on_write import CopyOnWriteProvider


def log_ids(events: list[Event]) -> list[int]:
    return [each.event_id for each in events if isinstance(each, ApplicationLogged)]


def test_the_volume_is_as_in_the_shadow_copy_and_older_ones_stay() -> None:
    events: list[Event] = []

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        (first,) = await machine.create()
        await put(volume, "/file", b"between")
        await put(volume, "/other", bytes(range(256)) * 300)
        (second,) = await machine.create()
        await put(volume, "/file", b"after")
        await volume.files.remove("/other")
        (third,) = await machine.create()
        await put(volume, "/new", b"new" * 9999)

        await machine.provider.revert(second)

        assert await get(volume.files, "/file") == b"between"
        assert await get(volume.files, "/other") == bytes(range(256)) * 300
        assert not await volume.files.exists("/new")
        assert [each.snapshot_id for each in await machine.provider.query()] == [first, second]
        assert await machine.read(first) == b"before D:"
        await put(volume, "/file", b"later")
        assert await machine.read(second) == b"between"
        with pytest.raises(NotFoundError):
            await machine.read(third)
        status = await machine.provider.query_revert(volume)
        assert status is not None
        assert (status.is_finished, status.failure) == (True, "")
        assert 0 < status.done_bytes == status.total_bytes

    on_machine(story, events=events)

    assert log_ids(events) == [64, 66]
    assert [each for each in events if isinstance(each, BlocksCopied)][-1].work == "revert"
    assert [each.reason.split()[0] for each in events if isinstance(each, SnapshotDeleted)] == ["newer"]


def test_what_writers_changed_in_the_shadow_copy_comes_back_too() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await put(volume, "/quiet", b"never changed on the volume")
        (older,) = await machine.create()
        set_id, (snapshot_id,) = await machine.prepare()
        await machine.provider.commit_snapshots(set_id)
        await machine.provider.post_commit_snapshots(set_id, 1)
        await machine.provider.pre_final_commit_snapshots(set_id)
        files = await machine.provider.open_snapshot(snapshot_id)
        file = await files.open("/quiet", write=True)
        await file.pwrite(0, b"recovered")
        await file.sync()
        await machine.provider.post_final_commit_snapshots(set_id)
        await put(volume, "/file", b"after")

        await machine.provider.revert(snapshot_id)

        assert await get(volume.files, "/quiet") == b"recoverednged on the volume"
        assert await machine.read(older, "/quiet") == b"never changed on the volume"

    on_machine(story)


def test_only_persistent_shadow_copies_are_reverted_to() -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create(VOLATILE)
        with pytest.raises(ProviderError, match="not persistent") as caught:
            await machine.provider.revert(snapshot_id)
        assert caught.value.hresult is HResult.VSS_E_UNSUPPORTED_CONTEXT
        with pytest.raises(NotFoundError):
            await machine.provider.revert(Guid(int=99))
        assert await machine.provider.query_revert(machine.volumes[0]) is None

    on_machine(story)


def test_a_volume_in_use_is_left_alone_unless_it_is_forced() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        (snapshot_id,) = await machine.create()
        await put(volume, "/file", b"after")
        file = await volume.files.open("/file", write=True)

        with pytest.raises(ProviderError, match="in use: 1 open files") as caught:
            await machine.provider.revert(snapshot_id)
        assert caught.value.hresult is HResult.VSS_E_VOLUME_IN_USE
        await file.pwrite(0, b"still")

        await machine.provider.revert(snapshot_id, force_dismount=True)
        assert await get(volume.files, "/file") == b"before D:"
        with pytest.raises(VolumeError):
            await file.pwrite(0, b"too late")

    on_machine(story)


def test_a_volume_in_a_set_or_held_or_lost_is_not_reverted() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        (snapshot_id,) = await machine.create()
        set_id, (in_the_making,) = await machine.prepare()
        with pytest.raises(SetInProgressError):
            await machine.provider.revert(snapshot_id)
        await machine.provider.commit_snapshots(set_id)
        with pytest.raises(ProviderVetoError, match="in the making"):
            await machine.provider.revert(in_the_making)
        await machine.provider.abort_snapshots(set_id)
        await volume.flush_and_hold(10.0)
        with pytest.raises(ProviderError, match="holds writes"):
            await machine.provider.revert(snapshot_id)
        await volume.release_writes()
        volume.lose()
        with pytest.raises(NotFoundError):
            await machine.provider.revert(snapshot_id)

    on_machine(story)


async def big_machine(ports: Ports, store: FaultyStore | None = None) -> tuple[Machine, Guid]:
    """A machine whose revert takes many turns."""
    machine = Machine(ports)
    volume = await machine.add("D:", store, size_bytes=6 << 20)
    await put(volume, "/big", b"a" * (3 << 20))
    (snapshot_id,) = await machine.create()
    await put(volume, "/big", b"b" * (3 << 20))
    file = await volume.files.open("/big", write=True)
    await file.pwrite(0, b"c" * (3 << 20))
    await file.sync()
    await file.close()
    return machine, snapshot_id


def test_a_revert_cannot_be_cancelled_and_nobody_writes_meanwhile() -> None:
    async def main(ports: Ports) -> None:
        machine, snapshot_id = await big_machine(ports)
        (volume,) = machine.volumes
        task = asyncio.ensure_future(machine.provider.revert(snapshot_id))
        await ports.clock.sleep(0)
        await ports.clock.sleep(0)
        status = await machine.provider.query_revert(volume)
        assert status is not None
        assert not status.is_finished

        with pytest.raises(VolumeWriteError, match="being overwritten"):
            await volume.write(BLOCK, b"x" * BLOCK)
        with pytest.raises(VolumeError, match="being overwritten"):
            await volume.files.open("/big", write=True, create=True)
        with pytest.raises(ProviderError, match="already") as caught:
            await machine.provider.revert(snapshot_id)
        assert caught.value.hresult is HResult.VSS_E_REVERT_IN_PROGRESS
        with pytest.raises(ProviderVetoError, match="being reverted"):
            await machine.provider.delete_snapshot(snapshot_id)
        with pytest.raises(ProviderError, match="being reverted"):
            await machine.provider.begin_prepare_snapshot(Guid(int=1), Guid(int=2), volume, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await machine.provider.close()

        assert await get(volume.files, "/big") == b"a" * (3 << 20)

    run(main)


def test_a_revert_that_fails_goes_on_at_the_next_start() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(6 << 20, name="D:"))
        machine, snapshot_id = await big_machine(ports, store)
        (volume,) = machine.volumes
        store.arm(StoreFault(StoreEffect.WRITE_ERROR, skip=40))
        with pytest.raises(VolumeWriteError):
            await machine.provider.revert(snapshot_id)
        status = await machine.provider.query_revert(volume)
        assert status is not None
        assert status.is_finished
        assert status.failure
        with pytest.raises(VolumeError):
            await volume.files.open("/big")

        await machine.restart()

        assert await get(machine.volumes[0].files, "/big") == b"a" * (3 << 20)
        assert await machine.read(snapshot_id, "/big") == b"a" * (3 << 20)

    run(main, emit=events.append)

    assert log_ids(events) == [64, 65, 66]


def test_a_revert_for_which_there_is_no_room_changes_nothing() -> None:
    async def main(ports: Ports) -> None:
        machine = Machine(ports)
        volume = await machine.add("D:", size_bytes=SIZE)
        await put(volume, "/quiet", b"q" * 5000)
        set_id, (snapshot_id,) = await machine.prepare()
        await machine.provider.commit_snapshots(set_id)
        await machine.provider.post_commit_snapshots(set_id, 1)
        await machine.provider.pre_final_commit_snapshots(set_id)
        files = await machine.provider.open_snapshot(snapshot_id)
        file = await files.open("/quiet", write=True)
        await file.pwrite(0, b"recovered" * 500)
        await file.sync()
        await machine.provider.post_final_commit_snapshots(set_id)
        area = machine.provider.diff_area(volume)
        area.set_maximum_size(area.used_bytes)
        before = volume.raw_store.read(BLOCK, SIZE - BLOCK)
        taken = [area.space.allocate(BLOCK) for _ in range(area.space.free_bytes // BLOCK)]
        area.stack[0]._next = area.stack[0]._extent_end

        with pytest.raises(InsufficientStorageError):
            await machine.provider.revert(snapshot_id)

        assert taken is not None
        assert volume.raw_store.read(BLOCK, SIZE - BLOCK) == before
        assert await get(volume.files, "/quiet") == b"q" * 5000

    run(main)


@pytest.mark.parametrize("call", ["newer", "mark"])
def test_a_device_that_refuses_stops_a_revert_before_it_begins(call: str) -> None:
    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(SIZE, name="D:"))
        machine = Machine(ports)
        volume = await machine.add("D:", store)
        (snapshot_id,) = await machine.create()
        await put(volume, "/file", b"after")
        if call == "newer":
            await machine.create()
        store.arm(StoreFault(StoreEffect.WRITE_ERROR, SIZE))
        with pytest.raises(ProviderVetoError, match="reverting volume D:"):
            await machine.provider.revert(snapshot_id)
        assert await get(volume.files, "/file") == b"after"

    run(main)


@pytest.mark.parametrize("stop_after", range(0, 60, 7))
def test_every_shadow_copy_is_exact_wherever_a_revert_is_cut_short(stop_after: int) -> None:
    scene = DiffAreaScene(seed=stop_after)
    scene.snapshot(PERSISTENT)
    scene.write_randomly(3, longest=9 * BLOCK)
    target = scene.snapshot(PERSISTENT)
    scene.write_randomly(6, longest=9 * BLOCK)
    target_image = bytes(scene.expected[target.snapshot_id])
    scene.area.mark_revert(target, is_reverting=True)
    blocks = list(scene.area.blocks_to_revert(target))
    for block in blocks[:stop_after]:
        scene.write(block * BLOCK, scene.area.read_for_revert(target, block))

    scene.restart()

    scene.check()
    assert read_with_libvshadow(scene.image()) == scene.expected
    assert read_with_dissect(scene.image()) == scene.expected
    again = scene.area.reverting
    assert again is not None
    assert again.snapshot_id == target.snapshot_id
    for block in scene.area.blocks_to_revert(again):
        scene.write(block * BLOCK, scene.area.read_for_revert(again, block))
    scene.area.mark_revert(again, is_reverting=False)
    assert scene.area.reverting is None
    assert scene.device.read(BLOCK, scene.size_bytes - BLOCK) == target_image[BLOCK:]
    scene.check()


def test_block_0_keeps_the_header_of_the_diff_area() -> None:
    scene = DiffAreaScene()
    target = scene.snapshot(PERSISTENT)
    scene.area.set_maximum_size(64 * BLOCK)
    scene.write(0, b"\x77" * 512)
    data = scene.area.read_for_revert(target, 0)

    assert data[:0x1E00] == bytes(scene.expected[target.snapshot_id][:0x1E00])
    assert data[0x1E00:0x2000] == scene.device.read(0x1E00, 0x200)
    assert data[0x2000:] == bytes(scene.expected[target.snapshot_id][0x2000:BLOCK])


def test_a_volume_without_a_file_system_is_reverted_as_well() -> None:
    async def main(ports: Ports) -> None:
        store = MemoryStore(SIZE, content=b"a" * SIZE)
        volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=SIZE)
        provider = CopyOnWriteProvider(ports)
        await provider.attach(volume)
        machine = Machine(ports)
        machine.provider, machine.volumes = provider, [volume]
        (snapshot_id,) = await machine.create()
        await volume.write(3 * BLOCK + 5, b"changed")

        await provider.revert(snapshot_id)

        assert await volume.read(3 * BLOCK, BLOCK) == b"a" * BLOCK

    run(main)


def test_a_provider_that_cannot_says_so() -> None:
    async def main(ports: Ports) -> None:
        provider: Provider = CloneProvider(ports)
        with pytest.raises(UnsupportedError, match="cannot revert"):
            await provider.revert(Guid(int=1))
        with pytest.raises(UnsupportedError, match="cannot expose"):
            await provider.set_exposed_name(Guid(int=1), "/x")
        volume = BlockVolume.format(ports, "D:", MemoryStore(SIZE), volume_id=Guid(int=1))
        assert await provider.query_storage() == []
        assert await provider.query_revert(volume) is None
        for call in (
            provider.add_storage(volume, volume, 0),
            provider.resize_storage(volume, 0),
            provider.delete_storage(volume),
        ):
            with pytest.raises(UnsupportedError, match="no shadow copy storage"):
                await call
        with pytest.raises(ProviderVetoError, match="cannot break"):
            await CopyOnWriteProvider(ports).break_snapshot_set(Guid(int=1))

    run(main)
