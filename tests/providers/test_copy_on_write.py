"""The copy-on-write provider: phases, sets over several volumes, loss, restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.providers.kit import read_with_reader
from vss.errors import (
    InsufficientStorageError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    VolumeDamagedError,
    VolumeNotSupportedError,
    VolumeReadError,
    VolumeWriteError,
)
from vss.events import Event, SnapshotDeleted
from vss.hresult import PROVIDER_FAILURES, HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import ProviderType
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, HostVolume, MemoryStore, StoreEffect, StoreFault
from vss.volumes.block_store import BlockStore
from vss_providers.copy_on_write import PROVIDER_ID, CopyOnWriteProvider
from vss_providers.on_disk.layout import VOLUME_HEADER_OFFSET
from vss_providers.on_disk.store_blocks import pack_list_block
from vss_providers.on_disk.volume_header import VolumeHeader
from vss_providers.stages import Stage
from vss_providers.volsnap import Loss, VolsnapEvent

SIZE = 2 << 20
BACKUP, PERSISTENT = 0x0, 0x9
SET, OTHER_SET = Guid(int=0xA0), Guid(int=0xB0)


class World:
    """Ports, a provider and volumes D: and L: with a file each."""

    def __init__(self, ports: Ports, **options: Any) -> None:
        self.ports = ports
        self.options = options
        self.provider = CopyOnWriteProvider(ports, **options)
        self.volumes: list[BlockVolume] = []
        self.stores: list[BlockStore] = []

    async def add(self, name: str, store: BlockStore | None = None) -> BlockVolume:
        store = store or MemoryStore(SIZE, name=name)
        volume = BlockVolume.format(self.ports, name, store, volume_id=Guid(int=ord(name[0])), size_bytes=SIZE)
        await put(volume, "/file", b"before " + name.encode())
        await self.provider.attach(volume)
        self.volumes.append(volume)
        self.stores.append(store)
        return volume

    async def restart(self) -> None:
        """The machine starts again from what is on the stores."""
        self.provider = CopyOnWriteProvider(self.ports, **self.options)
        self.volumes = [
            BlockVolume.mount(self.ports, volume.name, store) for volume, store in zip(self.volumes, self.stores, strict=True)
        ]
        for volume in self.volumes:
            await self.provider.attach(volume)

    async def prepare(self, set_id: Guid = SET, attributes: int = BACKUP) -> list[Guid]:
        ids = [Guid(int=set_id.int + 1 + index) for index in range(len(self.volumes))]
        for snapshot_id, volume in zip(ids, self.volumes, strict=True):
            assert await self.provider.is_volume_supported(volume, attributes)
            await self.provider.begin_prepare_snapshot(set_id, snapshot_id, volume, attributes)
        await self.provider.end_prepare_snapshots(set_id)
        return ids

    async def commit(self, set_id: Guid = SET) -> None:
        await self.provider.pre_commit_snapshots(set_id)
        for volume in self.volumes:
            await volume.flush_and_hold(10.0)
        try:
            await self.provider.commit_snapshots(set_id)
        finally:
            for volume in self.volumes:
                await volume.release_writes()

    async def finish(self, set_id: Guid = SET) -> None:
        await self.provider.post_commit_snapshots(set_id, len(self.volumes))
        await self.provider.pre_final_commit_snapshots(set_id)
        await self.provider.post_final_commit_snapshots(set_id)

    async def create(self, set_id: Guid = SET, attributes: int = BACKUP) -> list[Guid]:
        ids = await self.prepare(set_id, attributes)
        await self.commit(set_id)
        await self.finish(set_id)
        return ids

    async def read_file(self, snapshot_id: Guid, path: str = "/file") -> bytes:
        return await get(await self.provider.open_snapshot(snapshot_id), path)


async def put(volume: BlockVolume, path: str, data: bytes) -> None:
    file = await volume.files.open(path, write=True, create=True)
    await file.truncate(0)
    await file.pwrite(0, data)
    await file.sync()
    await file.close()


async def write_and_sync(file: Any, data: bytes) -> None:
    await file.pwrite(0, data)
    await file.sync()


async def get(files: Any, path: str) -> bytes:
    file = await files.open(path)
    data: bytes = await file.pread(0, file.size_bytes)
    await file.close()
    return data


def in_world(
    story: Callable[[World], Awaitable[None]], *, names: str = "D", events: list[Event] | None = None, **options: Any
) -> None:
    """Run ``story`` in a simulated world with a volume for each letter of ``names``."""

    async def main(ports: Ports) -> None:
        world = World(ports, **options)
        for name in names:
            await world.add(f"{name}:")
        await story(world)

    run(main, emit=None if events is None else events.append)


# -- the face ------------------------------------------------------------------------------------------------------------------


def test_the_provider_says_what_it_is() -> None:
    assert CopyOnWriteProvider.provider_id == PROVIDER_ID
    assert CopyOnWriteProvider.type is ProviderType.SOFTWARE
    capabilities = CopyOnWriteProvider.capabilities
    assert capabilities.is_differential
    assert not capabilities.is_plex
    assert capabilities.supports_revert
    assert capabilities.max_snapshots_per_volume == 512


def test_a_shadow_copy_shows_the_files_as_they_were() -> None:
    async def story(world: World) -> None:
        (snapshot_id,) = await world.create()

        await put(world.volumes[0], "/file", b"after, and longer than before")
        await put(world.volumes[0], "/new", b"x" * 100_000)

        files = await world.provider.open_snapshot(snapshot_id)
        assert files.is_read_only
        assert await get(files, "/file") == b"before D:"
        assert await files.list_directory("/") == ["file"]

    in_world(story)


def test_query_describes_finished_shadow_copies_oldest_first() -> None:
    async def story(world: World) -> None:
        await world.create(SET)
        await world.ports.clock.sleep(1)
        ids = await world.create(OTHER_SET, PERSISTENT)

        found = await world.provider.query()

        assert [each.snapshot_set_id for each in found] == [SET, SET, OTHER_SET, OTHER_SET]
        last = found[-1]
        assert last.snapshot_id == ids[1]
        assert last.provider_id == PROVIDER_ID
        assert (last.original_volume, last.original_volume_id) == ("L:", world.volumes[1].volume_id)
        assert (last.snapshots_in_set, last.size_bytes, last.context) == (2, SIZE, 0x9)
        assert last.attributes == 0x20009
        assert abs(last.created_ns - world.ports.clock.wall_ns()) < 1000
        assert last.originating_machine == last.service_machine == "EXCH01"
        assert [each.device_name[-1] for each in found] == ["1", "2", "3", "4"]

    in_world(story, names="DL", machine_name="EXCH01")


@pytest.mark.parametrize("attributes", [0x4 | 0x9, 0x20, 0x10000, 0x40000])
def test_attributes_that_cannot_be_honoured_are_refused(attributes: int) -> None:
    async def story(world: World) -> None:
        assert not await world.provider.is_volume_supported(world.volumes[0], attributes)
        with pytest.raises(VolumeNotSupportedError, match=f"attributes {attributes:#x}"):
            await world.provider.begin_prepare_snapshot(SET, Guid(int=1), world.volumes[0], attributes)

    in_world(story)


def test_only_block_volumes_that_are_there_are_supported() -> None:
    async def story(world: World) -> None:
        world.ports.files.make_directory(Path("/host"))
        host = HostVolume(world.ports, "H:", Path("/host"), volume_id=Guid(int=7), is_link=lambda path: False)
        await world.provider.attach(host)
        assert not await world.provider.is_volume_supported(host, BACKUP)
        world.volumes[0].lose()
        assert not await world.provider.is_volume_supported(world.volumes[0], BACKUP)

    in_world(story)


# -- order and abort -----------------------------------------------------------------------------------------------------------


def test_a_call_out_of_order_is_vetoed_and_changes_nothing() -> None:
    async def story(world: World) -> None:
        await world.prepare()

        for call in (
            world.provider.commit_snapshots(SET),
            world.provider.post_commit_snapshots(SET, 1),
            world.provider.pre_final_commit_snapshots(SET),
            world.provider.post_final_commit_snapshots(SET),
            world.provider.end_prepare_snapshots(SET),
            world.provider.begin_prepare_snapshot(SET, Guid(int=9), world.volumes[0], BACKUP),
        ):
            with pytest.raises(ProviderVetoError, match="found PREPARED"):
                await call

        await world.commit()
        await world.finish()
        assert len(await world.provider.query()) == 1

    in_world(story)


def test_an_unknown_set_is_not_found() -> None:
    async def story(world: World) -> None:
        await world.prepare()
        with pytest.raises(ProviderError, match="expected the shadow copy set in the making") as caught:
            await world.provider.pre_commit_snapshots(OTHER_SET)
        assert caught.value.hresult is HResult.VSS_E_OBJECT_NOT_FOUND
        await world.provider.abort_snapshots(OTHER_SET)
        await world.commit()

    in_world(story)


def test_a_volume_is_in_a_set_once() -> None:
    async def story(world: World) -> None:
        await world.provider.begin_prepare_snapshot(SET, Guid(int=1), world.volumes[0], BACKUP)
        with pytest.raises(ProviderVetoError, match="volume D: is in the set already"):
            await world.provider.begin_prepare_snapshot(SET, Guid(int=2), world.volumes[0], BACKUP)

    in_world(story)


@pytest.mark.parametrize("stage", list(Stage)[:-1], ids=lambda stage: stage.name)
def test_aborting_twice_at_any_stage_leaves_only_what_was_there(stage: Stage) -> None:
    async def story(world: World) -> None:
        (kept,) = await world.create(OTHER_SET, PERSISTENT)
        await put(world.volumes[0], "/file", b"second")
        used = world.provider.diff_area(world.volumes[0]).used_bytes
        content = world.stores[0].read(0, SIZE)
        catalog = read_with_reader(world.stores[0])

        provider = world.provider
        await provider.begin_prepare_snapshot(SET, Guid(int=0xA1), world.volumes[0], BACKUP)
        steps: list[Callable[[], Awaitable[None]]] = [
            lambda: provider.end_prepare_snapshots(SET),
            lambda: provider.pre_commit_snapshots(SET),
            lambda: provider.commit_snapshots(SET),
            lambda: provider.post_commit_snapshots(SET, 1),
            lambda: provider.pre_final_commit_snapshots(SET),
        ]
        for step in steps[: stage - 1]:
            await step()
        await provider.abort_snapshots(SET)
        await provider.abort_snapshots(SET)

        assert [each.snapshot_id for each in await provider.query()] == [kept]
        assert read_with_reader(world.stores[0]) == catalog
        assert world.stores[0].read(0, SIZE) == content
        assert provider.diff_area(world.volumes[0]).used_bytes == used
        assert await world.read_file(kept) == b"before D:"

    in_world(story)


def test_aborting_a_finished_set_leaves_it_alone() -> None:
    async def story(world: World) -> None:
        (snapshot_id,) = await world.create()

        await world.provider.abort_snapshots(SET)

        assert await world.read_file(snapshot_id) == b"before D:"

    in_world(story)


def test_a_new_set_means_that_an_unfinished_one_is_dead() -> None:
    async def story(world: World) -> None:
        await world.prepare(SET)
        await world.commit(SET)

        await world.create(OTHER_SET)

        assert [each.snapshot_set_id for each in await world.provider.query()] == [OTHER_SET]

    in_world(story)


def test_a_write_after_an_aborted_commit_is_handed_down_to_older_shadow_copies() -> None:
    async def story(world: World) -> None:
        (kept,) = await world.create(OTHER_SET)
        await world.prepare(SET)
        await world.commit(SET)
        await put(world.volumes[0], "/file", b"after the commit")

        await world.provider.abort_snapshots(SET)

        assert await world.read_file(kept) == b"before D:"

    in_world(story)


def test_the_513th_shadow_copy_of_a_volume_is_refused() -> None:
    async def story(world: World) -> None:
        area = world.provider.diff_area(world.volumes[0])
        await world.create()
        area.stack.extend(area.stack * 511)
        with pytest.raises(ProviderError, match="512 shadow copies") as caught:
            await world.provider.begin_prepare_snapshot(OTHER_SET, Guid(int=1), world.volumes[0], BACKUP)
        assert caught.value.hresult is HResult.VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED
        del area.stack[1:]

    in_world(story)


# -- auto-recovery -------------------------------------------------------------------------------------------------------------


def test_a_shadow_copy_takes_writes_between_pre_final_and_post_final_commit_only() -> None:
    async def story(world: World) -> None:
        (snapshot_id,) = await world.prepare()
        await world.commit()
        with pytest.raises(NotFoundError, match="is in the making"):
            await world.provider.open_snapshot(snapshot_id)
        await world.provider.post_commit_snapshots(SET, 1)
        await world.provider.pre_final_commit_snapshots(SET)

        files = await world.provider.open_snapshot(snapshot_id)
        assert not files.is_read_only
        file = await files.open("/file", write=True)
        await file.pwrite(0, b"healed")
        await file.sync()
        with pytest.raises(ProviderVetoError, match="is in the making"):
            await world.provider.delete_snapshot(snapshot_id)
        await world.provider.post_final_commit_snapshots(SET)

        with pytest.raises(VolumeWriteError, match="read-only since its final commit"):
            await write_and_sync(file, b"late")
        assert await world.read_file(snapshot_id) == b"healed D:"
        assert await get(world.volumes[0].files, "/file") == b"before D:"

    in_world(story)


def test_an_abort_ends_the_right_to_write() -> None:
    async def story(world: World) -> None:
        (snapshot_id,) = await world.prepare()
        await world.commit()
        await world.provider.post_commit_snapshots(SET, 1)
        await world.provider.pre_final_commit_snapshots(SET)
        files = await world.provider.open_snapshot(snapshot_id)
        file = await files.open("/file", write=True)

        await world.provider.abort_snapshots(SET)

        with pytest.raises(VolumeWriteError, match="read-only"):
            await write_and_sync(file, b"late")

    in_world(story)


# -- deleting, loss, restart ---------------------------------------------------------------------------------------------------


def test_deleting_one_leaves_the_others() -> None:
    async def story(world: World) -> None:
        ids = []
        for number in range(3):
            ids += await world.create(Guid(int=0x100 * (number + 1)))
            await put(world.volumes[0], "/file", b"version %d" % number)

        await world.provider.delete_snapshot(ids[1])

        with pytest.raises(NotFoundError, match="does not exist"):
            await world.provider.delete_snapshot(ids[1])
        assert await world.read_file(ids[0]) == b"before D:"
        assert await world.read_file(ids[2]) == b"version 1"

    in_world(story)


def test_a_deletion_that_fails_leaves_the_shadow_copy_there() -> None:
    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(SIZE, name="D:"))
        world = World(ports)
        await world.add("D:", store)
        (snapshot_id,) = await world.create()
        store.arm(StoreFault(StoreEffect.WRITE_ERROR, SIZE))

        with pytest.raises(ProviderVetoError, match=r"deleting shadow copy .* input/output error"):
            await world.provider.delete_snapshot(snapshot_id)

        assert await world.read_file(snapshot_id) == b"before D:"
        await world.provider.delete_snapshot(snapshot_id)

    run(main)


def test_the_volume_is_filtered_only_while_there_are_shadow_copies() -> None:
    async def story(world: World) -> None:
        (snapshot_id,) = await world.create()
        area = world.provider.diff_area(world.volumes[0])
        assert list(world.volumes[0].device._filters) == [area]

        await world.provider.delete_snapshot(snapshot_id)
        assert list(world.volumes[0].device._filters) == []

    in_world(story)


def test_when_saving_fails_the_write_goes_on_and_readers_are_told() -> None:
    events: list[Event] = []

    async def story(world: World) -> None:
        (snapshot_id,) = await world.create()
        device = world.provider.open_device(snapshot_id)
        store = world.stores[0]
        assert isinstance(store, FaultyStore)
        store.arm(StoreFault(StoreEffect.FULL, SIZE, is_sticky=True))

        await put(world.volumes[0], "/file", b"this must not be lost")

        with pytest.raises(VolumeReadError, match=r"copy-on-write failed: D:: .* no space left on device"):
            device.read(0, 512)
        with pytest.raises(NotFoundError):
            await world.provider.open_snapshot(snapshot_id)
        assert await get(world.volumes[0].files, "/file") == b"this must not be lost"
        assert world.volumes[0].device._filters == ()
        assert [event.snapshot_id for event in events if isinstance(event, SnapshotDeleted)] == [str(snapshot_id)]

    async def main(ports: Ports) -> None:
        world = World(ports)
        await world.add("D:", FaultyStore(MemoryStore(SIZE, name="D:")))
        await story(world)

    run(main, emit=events.append)


@pytest.mark.parametrize("stage", [Stage.PREPARED, Stage.COMMITTED, Stage.POSTCOMMITTED, Stage.WRITABLE])
def test_a_set_that_lost_a_shadow_copy_fails(stage: Stage) -> None:
    async def story(world: World) -> None:
        await world.prepare()
        provider = world.provider
        steps = [
            provider.pre_commit_snapshots,
            provider.commit_snapshots,
            lambda set_id: provider.post_commit_snapshots(set_id, 1),
            provider.pre_final_commit_snapshots,
            provider.post_final_commit_snapshots,
        ]
        for step in steps[: stage - Stage.PREPARED]:
            await step(SET)
        if stage is Stage.PREPARED:
            world.volumes[0].lose()
            error: type[ProviderError] = ProviderVetoError
        else:
            provider.diff_area(world.volumes[0]).lose_all(Loss(VolsnapEvent.ABORTED_BY_IO_FAILURE, "no room"))
            error = InsufficientStorageError

        with pytest.raises(error, match="lost"):
            await steps[stage - Stage.PREPARED](SET)

        await provider.abort_snapshots(SET)
        assert await provider.query() == []

    in_world(story)


def test_no_room_for_a_set_is_said_before_anybody_freezes() -> None:
    async def story(world: World) -> None:
        with pytest.raises(InsufficientStorageError, match=r"volume D: could not be prepared: .* its maximum is 65536"):
            await world.prepare()
        await world.provider.abort_snapshots(SET)
        assert await world.provider.query() == []

    in_world(story, maximum_size=65536)


def test_a_device_that_fails_in_prepare_is_a_veto() -> None:
    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(SIZE, name="D:"))
        world = World(ports)
        await world.add("D:", store)
        store.arm(StoreFault(StoreEffect.WRITE_ERROR, SIZE))
        with pytest.raises(ProviderVetoError, match="input/output error") as caught:
            await world.prepare()
        assert caught.value.hresult in PROVIDER_FAILURES
        await world.provider.abort_snapshots(SET)
        await world.create()

    run(main)


@pytest.mark.parametrize("attributes", [BACKUP, PERSISTENT])
@pytest.mark.parametrize("skip", range(4))
def test_a_catalog_that_cannot_be_written_leaves_no_shadow_copy_on_any_volume(skip: int, attributes: int) -> None:
    async def main(ports: Ports) -> None:
        stores = [FaultyStore(MemoryStore(SIZE, name=name)) for name in ("D:", "L:")]
        world = World(ports)
        for store in stores:
            await world.add(store.name, store)
        await world.prepare(SET, attributes)
        index = skip % 2
        stores[index].arm(StoreFault(StoreEffect.WRITE_ERROR, SIZE, skip=skip // 2))

        if index == 0 and skip == 2:
            await world.commit()  # the first volume's catalog is written only once
            return
        with pytest.raises(ProviderVetoError, match="could not be entered in a catalog"):
            await world.commit()
        await world.provider.abort_snapshots(SET)
        assert await world.provider.query() == []
        assert [read_with_reader(store) for store in stores] == [{}, {}]
        await world.create(OTHER_SET)

    run(main)


def test_persistent_shadow_copies_outlive_a_restart_and_others_do_not() -> None:
    events: list[Event] = []

    async def story(world: World) -> None:
        first = await world.create(Guid(int=0x100), PERSISTENT)
        await put(world.volumes[0], "/file", b"second")
        second = await world.create(Guid(int=0x200), BACKUP)
        await put(world.volumes[0], "/file", b"third")
        third = await world.create(Guid(int=0x300), PERSISTENT)
        await put(world.volumes[0], "/file", b"fourth")
        await world.provider.close()

        await world.restart()

        assert [each.snapshot_id for each in await world.provider.query()] == [first[0], third[0]]
        assert await world.read_file(first[0]) == b"before D:"
        assert await world.read_file(third[0]) == b"third"
        gone = [event for event in events if isinstance(event, SnapshotDeleted)]
        assert [(event.snapshot_id, event.reason) for event in gone] == [
            (str(second[0]), "not persistent, left from an earlier start")
        ]
        await put(world.volumes[0], "/file", b"fifth")
        assert await world.read_file(third[0]) == b"third"

    in_world(story, events=events)


def test_closing_undoes_an_unfinished_set() -> None:
    async def story(world: World) -> None:
        (kept,) = await world.create(OTHER_SET, PERSISTENT)
        await world.prepare(SET, PERSISTENT)
        await world.commit(SET)

        await world.provider.close()
        await world.provider.close()

        assert world.volumes[0].device._filters == ()
        assert list(read_with_reader(world.stores[0])) == [kept]
        with pytest.raises(NotFoundError, match="has no diff area"):
            world.provider.diff_area(world.volumes[0])

    in_world(story)


def test_attaching_again_is_harmless() -> None:
    async def story(world: World) -> None:
        (snapshot_id,) = await world.create()
        await world.provider.attach(world.volumes[0])
        assert await world.read_file(snapshot_id) == b"before D:"

    in_world(story)


def test_a_replaced_disk_has_no_shadow_copies() -> None:
    events: list[Event] = []

    async def story(world: World) -> None:
        (snapshot_id,) = await world.create()
        device = world.provider.open_device(snapshot_id)
        world.volumes[0].lose()
        world.volumes[0].replace_with_blank()

        await world.provider.attach(world.volumes[0])

        assert await world.provider.query() == []
        with pytest.raises(VolumeReadError, match="volume D: was lost or replaced"):
            device.read(0, 512)
        assert SnapshotDeleted(snapshot_id=str(snapshot_id), reason="volume D: was lost or replaced") in events
        await put(world.volumes[0], "/file", b"restored")
        (second,) = await world.create(OTHER_SET)
        assert await world.read_file(second) == b"restored"

    in_world(story, events=events)


def test_shadow_copies_go_with_the_disk_they_are_on() -> None:
    async def story(world: World) -> None:
        finished = await world.create(OTHER_SET)
        await world.prepare()
        await world.commit()
        await world.provider.post_commit_snapshots(SET, 1)
        await world.provider.pre_final_commit_snapshots(SET)
        files = await world.provider.open_snapshot(Guid(int=SET.int + 1))
        file = await files.open("/file", write=True)
        device = world.provider.open_device(finished[0])

        world.volumes[0].lose()

        with pytest.raises(VolumeReadError, match="volume D: was lost or replaced"):
            device.read(0, 512)
        with pytest.raises(VolumeWriteError, match="volume D: was lost or replaced"):
            await write_and_sync(file, b"late")
        with pytest.raises(InsufficientStorageError, match="was lost"):
            await world.provider.post_final_commit_snapshots(SET)
        assert await world.provider.query() == []

    in_world(story)


def test_a_lost_volume_fails_the_commit() -> None:
    async def story(world: World) -> None:
        await world.prepare()
        await world.provider.pre_commit_snapshots(SET)
        world.volumes[1].lose()
        with pytest.raises(ProviderVetoError, match="lost"):
            await world.provider.commit_snapshots(SET)
        assert await world.provider.query() == []

    in_world(story, names="DL")


def test_a_damaged_diff_area_is_reported_and_nothing_is_promised() -> None:
    async def story(world: World) -> None:
        await world.create(SET, PERSISTENT)
        store = world.provider.diff_area(world.volumes[0]).stack[0]
        world.stores[0].write(store.entry.header_offset, pack_list_block(0, 0))

        with pytest.raises(VolumeDamagedError, match="store header at offset"):
            await world.restart()
        with pytest.raises(ProviderVetoError, match="store header at offset"):
            await world.provider.is_volume_supported(world.volumes[0], BACKUP)

    in_world(story)


def test_a_volume_with_shadow_copies_of_another_provider_is_not_supported() -> None:
    async def story(world: World) -> None:
        header = VolumeHeader(0x4000, 0, Guid(int=1), Guid(int=1))
        world.stores[0].write(VOLUME_HEADER_OFFSET, header.pack())
        provider = CopyOnWriteProvider(world.ports)

        assert not await provider.is_volume_supported(world.volumes[0], BACKUP)

    in_world(story)


def test_a_shadow_copy_left_over_that_cannot_be_deleted_takes_the_others_with_it() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(SIZE, name="D:"))
        world = World(ports)
        await world.add("D:", store)
        await world.create(SET, PERSISTENT)
        await world.create(OTHER_SET, BACKUP)
        await put(world.volumes[0], "/file", b"x" * 40_000)
        await world.provider.close()
        store.arm(StoreFault(StoreEffect.WRITE_ERROR, SIZE))

        await world.restart()

        assert await world.provider.query() == []
        assert read_with_reader(store) == {}

    run(main, emit=events.append)
    assert sum(isinstance(event, SnapshotDeleted) for event in events) == 2


# -- the commit point ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("survives", range(7))
def test_a_crash_in_the_commit_leaves_the_set_whole_or_gone(survives: int) -> None:
    """Only the first ``survives`` writes of the commit reach the disks; the machine starts again."""

    async def story(world: World) -> None:
        (kept, *_) = await world.create(OTHER_SET, PERSISTENT)
        ids = await world.prepare(SET, PERSISTENT)
        before = [store.read(0, store.size_bytes) for store in world.stores]
        writes: list[tuple[int, int, bytes]] = []
        for index, store in enumerate(world.stores):
            record_writes(store, index, writes)
        await world.commit(SET)
        assert len(writes) == 5  # pending on L: and M:, then D: (the commit point), L:, M:

        world.stores = [MemoryStore(len(content), content=content) for content in before]
        for index, offset, data in writes[:survives]:
            world.stores[index].write(offset, data)
        await world.restart()
        await put(world.volumes[1], "/file", b"written before anybody asked")

        found = [each.snapshot_id for each in await world.provider.query()]
        assert len(found) == (6 if survives >= 3 else 3)
        for snapshot_id in found:
            assert (await world.read_file(snapshot_id)).startswith(b"before ")
        assert kept in found
        assert (set(ids) <= set(found)) is (survives >= 3)
        assert [len(read_with_reader(store)) for store in world.stores] == [len(found) // 3] * 3

    in_world(story, names="DLM")


def test_what_a_crash_left_pending_is_settled_before_a_new_set_begins() -> None:
    async def main(ports: Ports) -> None:
        world = World(ports)
        stores = [FaultyStore(MemoryStore(SIZE, name=name)) for name in ("D:", "L:")]
        for store in stores:
            await world.add(store.name, store)
        await world.prepare(SET, PERSISTENT)
        first, second = (member.prepared for member in world.provider._set.members)  # type: ignore[union-attr]
        areas = [world.provider.diff_area(volume) for volume in world.volumes]
        areas[0].begin(first, 1)
        areas[1].begin(second, 1)
        areas[1].publish(second, is_pending=True)
        areas[0].publish(first, is_pending=False)
        await world.restart()
        stores[1].arm(StoreFault(StoreEffect.WRITE_ERROR, SIZE))

        with pytest.raises(ProviderVetoError, match="volume D: could not be taken up: L:: writing"):
            await world.prepare(OTHER_SET)
        await world.create(OTHER_SET)

        assert len(await world.provider.query()) == 4

    run(main)


def record_writes(store: BlockStore, index: int, writes: list[tuple[int, int, bytes]]) -> None:
    original = store.write

    def write(offset: int, data: bytes) -> None:
        writes.append((index, offset, bytes(data)))
        original(offset, data)

    store.write = write  # type: ignore[method-assign, assignment]


def test_the_commit_does_not_wait() -> None:
    async def story(world: World) -> None:
        await world.prepare()
        await world.provider.pre_commit_snapshots(SET)
        order: list[str] = []

        async def other() -> None:
            order.append("other")

        task = asyncio.ensure_future(other())
        await world.provider.commit_snapshots(SET)
        order.append("committed")
        await task

        assert order == ["committed", "other"]

    in_world(story, names="DL")
