"""Saved blocks on another volume: association, stack, limits, restarts, disks that come late or go, crashes, other readers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from tests.providers.kit import BLOCK, list_with_vshadowinfo, read_with_dfir_ntfs
from tests.providers.world import PERSISTENT, SIZE, VOLATILE, Machine, get, put
from vss.errors import NotFoundError, ProviderError, UnsupportedError, VolumeDamagedError, VolumeNotSupportedError
from vss.events import ApplicationLogged, Event, SnapshotDeleted
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import ShadowStorage
from vss.simulation import run
from vss.volumes import BlockStore, BlockVolume, FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_providers.on_disk.reader import ShadowVolume
from vss_providers.on_disk.volume_header import read_volume_header
from vss_providers.repair import finish_revert
from vss_providers.storage import MAXIMUM_BYTES_MIN
from vss_providers.storage_volume import STORES_MAX, StorageVolume

MAXIMUM = 60 * BLOCK


class TwoVolumes(Machine):
    """D: with its saved blocks on F:."""

    async def build(self, *, maximum: int = 0, stores: tuple[BlockStore | None, BlockStore | None] = (None, None)) -> None:
        self.data = await self.add("D:", stores[0])
        self.storage = await self.add("F:", stores[1])
        self.volumes = [self.data]
        await self.provider.add_storage(self.data, self.storage, maximum)

    async def restart(self, order: str = "FD") -> None:
        self.provider = self.make(self.ports)
        self.data = BlockVolume.mount(self.ports, "D:", self.data.raw_store)
        self.storage = BlockVolume.mount(self.ports, "F:", self.storage.raw_store)
        self.volumes = [self.data]
        for name in order:
            await self.provider.attach({"D": self.data, "F": self.storage}[name])


def on_two_volumes(
    story: Callable[[TwoVolumes], Awaitable[None]], *, events: list[Event] | None = None, maximum: int = 0
) -> None:
    async def main(ports: Ports) -> None:
        machine = TwoVolumes(ports)
        await machine.build(maximum=maximum)
        await story(machine)

    run(main, emit=(events if events is not None else []).append)


def logged(events: list[Event]) -> list[int]:
    return [each.event_id for each in events if isinstance(each, ApplicationLogged)]


def test_saved_blocks_go_to_the_other_volume_and_none_behind_the_original() -> None:
    async def story(machine: TwoVolumes) -> None:
        before = machine.data.raw_store.size_bytes, machine.storage.raw_store.size_bytes
        (first,) = await machine.create()
        await put(machine.data, "/file", b"after" * 5000)
        (second,) = await machine.create(VOLATILE)
        await put(machine.data, "/file", b"later" * 30000)
        assert await machine.read(first) == b"before D:"
        assert await machine.read(second) == b"after" * 5000
        assert machine.provider.verify(first) == []
        assert machine.data.raw_store.size_bytes == before[0]
        assert machine.storage.raw_store.size_bytes >= before[1]
        (found,) = await machine.provider.query_storage()
        assert isinstance(found, ShadowStorage)
        assert (found.volume, found.storage_volume, found.maximum_bytes) == ("D:", "F:", 0)
        assert found.used_bytes == found.allocated_bytes > 0

    on_two_volumes(story)


@pytest.mark.parametrize("order", ["FD", "DF"])
def test_persistent_shadow_copies_survive_a_restart_in_any_order_of_the_disks(order: str) -> None:
    async def story(machine: TwoVolumes) -> None:
        contents = {}
        for number in range(4):
            (snapshot_id,) = await machine.create(PERSISTENT)
            contents[snapshot_id] = await get(machine.data.files, "/file")
            await put(machine.data, "/file", bytes([number]) * 70_000)
        (volatile,) = await machine.create(VOLATILE)
        await machine.restart(order)
        assert [each.snapshot_id for each in await machine.provider.query()] == list(contents)
        for snapshot_id, content in contents.items():
            assert await machine.read(snapshot_id) == content
        with pytest.raises(NotFoundError):
            await machine.read(volatile)
        middle = list(contents)[1]
        await machine.provider.delete_snapshot(middle)
        del contents[middle]
        await put(machine.data, "/file", b"end")
        await machine.restart(order)
        for snapshot_id, content in contents.items():
            assert await machine.read(snapshot_id) == content
        await machine.provider.revert(next(iter(contents)))
        assert await get(machine.data.files, "/file") == b"before D:"

    on_two_volumes(story)


def test_the_association_is_listed_resized_and_deleted() -> None:
    async def story(machine: TwoVolumes) -> None:
        provider = machine.provider
        with pytest.raises(ProviderError, match="already"):
            await provider.add_storage(machine.data, machine.storage, MAXIMUM)
        await provider.resize_storage(machine.data, MAXIMUM)
        await machine.restart()
        provider = machine.provider
        (found,) = await provider.query_storage()
        assert found.maximum_bytes == MAXIMUM
        (snapshot_id,) = await machine.create()
        with pytest.raises(ProviderError, match="1 shadow copies"):
            await provider.delete_storage(machine.data)
        used = (await provider.query_storage())[0].used_bytes
        await provider.delete_snapshot(snapshot_id)
        assert (await provider.query_storage())[0].used_bytes < used
        await provider.delete_storage(machine.data)
        assert await provider.query_storage() == []
        assert read_volume_header(machine.storage.raw_store) is None
        machine.volumes = [machine.data, machine.storage]
        ids = await machine.create()
        assert await machine.read(ids[1]) == b"before F:"

    on_two_volumes(story)


def test_a_storage_volume_serves_several_and_has_no_shadow_copies_itself() -> None:
    async def story(machine: TwoVolumes) -> None:
        third = await machine.add("E:")
        provider = machine.provider
        await provider.add_storage(third, machine.storage, 0)
        machine.volumes = [machine.data, third]
        ids = await machine.create()
        for volume in machine.volumes:
            await put(volume, "/file", b"x" * 200_000)
        assert [await machine.read(each) for each in ids] == [b"before D:", b"before E:"]
        assert [each.storage_volume for each in await provider.query_storage()] == ["F:", "F:"]
        assert not await provider.is_volume_supported(machine.storage, 0)
        with pytest.raises(VolumeNotSupportedError):
            await provider.begin_prepare_snapshot(Guid(int=99), Guid(int=98), machine.storage, 0)
        with pytest.raises(UnsupportedError):
            await provider.add_storage(machine.storage, machine.storage, 0)
        with pytest.raises(ProviderError, match="already"):
            await provider.add_storage(third, machine.data, 0)
        await provider.delete_snapshot(ids[0])
        await provider.delete_storage(machine.data)
        assert await machine.read(ids[1]) == b"before E:"

    on_two_volumes(story)


def test_a_volume_with_storage_of_its_own_serves_nobody() -> None:
    async def main(ports: Ports) -> None:
        machine = Machine(ports)
        first, second = await machine.add("D:"), await machine.add("F:")
        await machine.provider.add_storage(second, second, 0)
        with pytest.raises(VolumeNotSupportedError, match="of its own"):
            await machine.provider.add_storage(first, second, 0)
        second.lose()
        with pytest.raises(VolumeNotSupportedError, match="expected a block volume"):
            await machine.provider.add_storage(first, second, 0)

    run(main)


def test_at_the_maximum_the_oldest_goes_and_with_one_left_that() -> None:
    events: list[Event] = []

    async def story(machine: TwoVolumes) -> None:
        ids = []
        for number in range(4):
            ids += await machine.create()
            await put(machine.data, "/file", bytes([number]) * 16 * BLOCK)
        left = [each.snapshot_id for each in await machine.provider.query()]
        assert 0 < len(left) < 4
        assert left == ids[-len(left) :]
        assert (await machine.provider.query_storage())[0].used_bytes <= MAXIMUM
        await machine.provider.resize_storage(machine.data, MAXIMUM_BYTES_MIN)
        await machine.create()
        for number in range(4):
            await put(machine.data, f"/file{number}", b"x" * 12 * BLOCK)

    on_two_volumes(story, events=events, maximum=MAXIMUM)

    assert logged(events)[0] == 33
    assert logged(events)[-1] == 36


def test_a_storage_volume_that_goes_takes_the_shadow_copies_with_it_at_the_next_write() -> None:
    events: list[Event] = []

    async def story(machine: TwoVolumes) -> None:
        (snapshot_id,) = await machine.create()
        files = await machine.provider.open_snapshot(snapshot_id)
        machine.storage.lose()
        await put(machine.data, "/file", b"goes through")
        assert await get(machine.data.files, "/file") == b"goes through"
        assert await machine.provider.query() == []
        with pytest.raises(Exception, match="lost or replaced"):
            await get(files, "/file")
        with pytest.raises(ProviderError, match="lost or replaced"):
            await machine.create()
        machine.storage.replace_with_blank()
        await machine.provider.attach(machine.storage)
        with pytest.raises(ProviderError, match="lost or replaced"):
            await machine.create()
        await machine.provider.abort_snapshots(Guid(int=3 << 16))
        await machine.provider.delete_storage(machine.data)
        (again,) = await machine.create()
        assert await machine.read(again) == b"goes through"

    on_two_volumes(story, events=events)

    assert logged(events) == [60]
    assert len([each for each in events if isinstance(each, SnapshotDeleted)]) == 1


def test_a_storage_volume_that_goes_is_noticed_without_a_write() -> None:
    events: list[Event] = []

    async def story(machine: TwoVolumes) -> None:
        await machine.create()
        machine.storage.lose()
        assert await machine.provider.query() == []
        machine.storage.replace_with_blank()
        await machine.restart()
        assert await machine.provider.query() == []

    on_two_volumes(story, events=events)

    assert logged(events) == [60]


def test_storage_that_comes_before_the_first_write_comes_in_time() -> None:
    events: list[Event] = []

    async def story(machine: TwoVolumes) -> None:
        (snapshot_id,) = await machine.create()
        await put(machine.data, "/file", b"after")
        await machine.restart("D")
        assert await machine.provider.query() == []
        assert not await machine.provider.is_volume_supported(machine.data, 0)
        await machine.provider.attach(machine.data)
        await machine.provider.attach(machine.storage)
        await put(machine.data, "/file", b"later")
        assert await machine.read(snapshot_id) == b"before D:"

    on_two_volumes(story, events=events)

    assert logged(events) == []


def test_a_write_before_the_storage_comes_costs_the_shadow_copies_and_they_stay_gone() -> None:
    events: list[Event] = []

    async def story(machine: TwoVolumes) -> None:
        for number in range(3):
            await machine.create()
            await put(machine.data, "/file", bytes([number]) * 50_000)
        used = (await machine.provider.query_storage())[0].used_bytes
        await machine.restart("D")
        await put(machine.data, "/file", b"too early")
        assert ShadowVolume(machine.data.raw_store).shadow_copies == []
        await machine.provider.attach(machine.storage)
        assert await machine.provider.query() == []
        assert (await machine.provider.query_storage())[0].used_bytes < used
        (snapshot_id,) = await machine.create()
        await put(machine.data, "/file", b"after")
        assert await machine.read(snapshot_id) == b"too early"

    on_two_volumes(story, events=events)

    assert logged(events) == [32, 59]


def test_a_write_that_cannot_give_the_shadow_copies_up_fails() -> None:
    async def main(ports: Ports) -> None:
        faulty = FaultyStore(MemoryStore(SIZE, name="D:"))
        machine = TwoVolumes(ports)
        await machine.build(stores=(faulty, None))
        (snapshot_id,) = await machine.create()
        await machine.restart("D")
        faulty.arm(StoreFault(StoreEffect.WRITE_ERROR))
        with pytest.raises(Exception, match="input/output"):
            await machine.data.write(SIZE - 4096, b"x" * 4096)
        await machine.provider.attach(machine.storage)
        assert await machine.read(snapshot_id) == b"before D:"

    run(main)


def test_a_store_that_its_storage_volume_does_not_have_is_reported_and_dropped() -> None:
    events: list[Event] = []

    async def story(machine: TwoVolumes) -> None:
        (first,) = await machine.create()
        (second,) = await machine.create()
        storage = StorageVolume.find(machine.storage)
        assert storage is not None
        storage.remove(machine.provider.diff_area(machine.data).stack[0].entry.store_id)
        await machine.restart()
        assert [each.snapshot_id for each in await machine.provider.query()] == [second]
        assert first != second

    on_two_volumes(story, events=events)

    assert logged(events) == [27]


@pytest.mark.parametrize("order", ["FD", "DF"])
def test_an_association_that_the_volume_knows_nothing_of_is_taken_away(order: str) -> None:
    async def story(machine: TwoVolumes) -> None:
        await machine.provider.close()
        machine.data.raw_store.write(0x1E00, bytes(512))
        await machine.restart(order)
        assert StorageVolume.find(machine.storage) is None
        machine.volumes = [machine.data, machine.storage]
        assert len(await machine.create()) == 2

    on_two_volumes(story)


def test_another_association_outlives_one_that_is_left_over() -> None:
    async def story(machine: TwoVolumes) -> None:
        third = await machine.add("E:")
        await machine.provider.add_storage(third, machine.storage, 0)
        machine.volumes = [third]
        (snapshot_id,) = await machine.create()
        machine.data.raw_store.write(0x1E00, bytes(512))
        await machine.restart()
        await machine.provider.attach(third)
        found = StorageVolume.find(machine.storage)
        assert found is not None
        assert list(found.associations) == [third.volume_id]
        assert await machine.read(snapshot_id) == b"before E:"

    on_two_volumes(story)


def test_finishing_a_revert_on_a_storage_volume_changes_nothing() -> None:
    async def story(machine: TwoVolumes) -> None:
        (snapshot_id,) = await machine.create()
        assert finish_revert(machine.storage.raw_store) == ""
        await machine.restart()
        assert await machine.read(snapshot_id) == b"before D:"

    on_two_volumes(story)


def test_a_storage_volume_takes_512_shadow_copies() -> None:
    async def story(machine: TwoVolumes) -> None:
        storage = machine.provider._storage_volumes[machine.storage.volume_id]
        (snapshot_id,) = await machine.create()
        at = next(iter(storage._stores.values()))
        storage._stores |= {UUID(int=number): at for number in range(1, STORES_MAX)}
        set_id, _ = await machine.prepare()
        with pytest.raises(ProviderError, match="512"):
            await machine.provider.commit_snapshots(set_id)
        assert [each.snapshot_id for each in await machine.provider.query()] == [snapshot_id]

    on_two_volumes(story)


def test_a_damaged_storage_volume_is_named_when_it_is_attached() -> None:
    async def story(machine: TwoVolumes) -> None:
        await machine.create()
        storage = machine.provider._storage_volumes[machine.storage.volume_id]
        at = storage.associations[machine.data.volume_id].bitmaps.current
        machine.storage.raw_store.write(at, b"damage")
        machine.provider = CopyOnWriteProvider(machine.ports)
        with pytest.raises(VolumeDamagedError, match="bitmap at offset"):
            await machine.provider.attach(machine.storage)

    on_two_volumes(story)


def test_a_damaged_store_is_named_and_nothing_is_changed() -> None:
    async def story(machine: TwoVolumes) -> None:
        await machine.create()
        await machine.create()
        await put(machine.data, "/file", b"x" * 100_000)
        entry = machine.provider.diff_area(machine.data).stack[0].entry
        header = machine.storage.raw_store.read(entry.header_offset, 16)
        machine.storage.raw_store.write(entry.header_offset, bytes(16))
        with pytest.raises(VolumeDamagedError, match=f"store header at offset {entry.header_offset:#x}"):
            await machine.restart()
        machine.storage.raw_store.write(entry.header_offset, header)
        await machine.restart()
        assert len(await machine.provider.query()) == 2
        machine.storage.raw_store.write(entry.header_offset, bytes(16))
        machine.data.raw_store.write(0x1E00, bytes(512))  # and now the volume knows nothing of it
        await machine.restart()
        assert StorageVolume.find(machine.storage) is None

    on_two_volumes(story)


def test_shadow_copies_that_are_not_to_last_are_stored_elsewhere_as_well() -> None:
    async def story(machine: TwoVolumes) -> None:
        (snapshot_id,) = await machine.create(VOLATILE)
        await put(machine.data, "/file", b"x" * 100_000)
        assert await machine.read(snapshot_id) == b"before D:"
        storage = machine.provider._storage_volumes[machine.storage.volume_id]
        (at, entry) = next(iter(storage._stores.values()))
        machine.storage.raw_store.write(at + 128 + 48, bytes(8))  # its bitmap: that of no association
        machine.provider.before_mount(None)
        await machine.restart()
        assert await machine.provider.query() == []
        assert StorageVolume.find(machine.storage) is not None
        assert entry.bitmap_offset

    on_two_volumes(story)


def test_power_loss_among_shadow_copies_that_are_not_to_last_keeps_no_storage_volume_from_starting() -> None:
    async def story(machine: TwoVolumes) -> None:
        await machine.create(VOLATILE)
        entry = machine.provider.diff_area(machine.data).stack[0].entry
        machine.storage.raw_store.write(entry.header_offset, bytes(512))
        await machine.restart()
        assert await machine.provider.query() == []
        (snapshot_id,) = await machine.create()
        await put(machine.data, "/file", b"after")
        await machine.restart()
        assert await machine.read(snapshot_id) == b"before D:"

    on_two_volumes(story)


def test_others_list_what_is_stored_elsewhere_and_say_that_they_cannot_read_it(tmp_path: Path) -> None:
    async def story(machine: TwoVolumes) -> None:
        ids = [*await machine.create(), *await machine.create()]
        image = machine.data.raw_store.read(0, machine.data.raw_store.size_bytes)
        copies = ShadowVolume(machine.data.raw_store).shadow_copies
        assert [each.is_stored_elsewhere for each in copies] == [True] * len(ids)
        assert ShadowVolume(machine.storage.raw_store).shadow_copies == []
        listed = list_with_vshadowinfo(image, tmp_path)
        assert listed == []  # vshadowinfo prints ids from the store, which is not there; that it ends well is what is tested
        storage_image = machine.storage.raw_store.read(0, machine.storage.raw_store.size_bytes)
        assert list_with_vshadowinfo(storage_image, tmp_path) == []

    on_two_volumes(story)


def test_a_reader_that_is_given_both_volumes_reads_every_shadow_copy_exactly() -> None:
    async def story(machine: TwoVolumes) -> None:
        def image(volume: BlockVolume) -> bytes:
            return volume.raw_store.read(0, volume.raw_store.size_bytes)

        expected = []
        for number in range(4):
            await machine.create()
            expected.append(image(machine.data)[: machine.data.size_bytes])
            await put(machine.data, "/file", b"%d" % number * 20000 * (1 + number))
        assert read_with_dfir_ntfs(image(machine.data), image(machine.storage)) == expected

    on_two_volumes(story)


def test_failing_storage_fails_the_call_and_leaves_the_volume_as_it_was() -> None:
    async def main(ports: Ports) -> None:
        faulty = FaultyStore(MemoryStore(SIZE, name="F:"))
        machine = Machine(ports)
        data, storage = await machine.add("D:"), await machine.add("F:", faulty)
        faulty.arm(StoreFault(StoreEffect.WRITE_ERROR))
        with pytest.raises(ProviderError, match="adding shadow copy storage"):
            await machine.provider.add_storage(data, storage, 0)
        await machine.provider.add_storage(data, storage, 0)
        machine.volumes = [data]
        (snapshot_id,) = await machine.create()
        assert await machine.read(snapshot_id) == b"before D:"

    run(main)
