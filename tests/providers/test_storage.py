"""Shadow copy storage: associations, maximum, growth and its failure, the diff area inside the volume."""

from __future__ import annotations

import pytest

from tests.providers.kit import BLOCK, read_with_dissect
from tests.providers.world import PERSISTENT, SIZE, VOLATILE, Machine, get, on_machine, put
from vss.errors import (
    AlreadyExistsError,
    InsufficientStorageError,
    NotFoundError,
    ProviderError,
    UnsupportedError,
    VolumeFullError,
    VolumeNotSupportedError,
)
from vss.events import ApplicationLogged, Event, SnapshotDeleted
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import ShadowStorage
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss_providers.inside_volume import AREA_FILE, _whole_blocks, find_extents, make_area_file
from vss_providers.repair import erase_diff_area, finish_revert
from vss_providers.storage import MAXIMUM_BYTES_MIN

MAXIMUM = 40 * BLOCK


async def storage_of(machine: Machine) -> ShadowStorage:
    (found,) = await machine.provider.query_storage()
    assert isinstance(found, ShadowStorage)
    return found


def test_the_first_shadow_copy_makes_the_association_and_it_stays() -> None:
    async def story(machine: Machine) -> None:
        assert await machine.provider.query_storage() == []
        (snapshot_id,) = await machine.create()
        found = await storage_of(machine)
        assert (found.volume, found.storage_volume, found.volume_bytes, found.maximum_bytes) == ("D:", "D:", SIZE, 0)
        assert 0 < found.used_bytes <= found.allocated_bytes
        await machine.provider.delete_snapshot(snapshot_id)
        assert (await storage_of(machine)).used_bytes < found.used_bytes
        await machine.restart()
        assert (await storage_of(machine)).volume == "D:"
        machine.volumes[0].lose()
        assert await machine.provider.query_storage() == []

    on_machine(story)


def test_storage_is_added_resized_and_deleted() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await machine.provider.add_storage(volume, volume, MAXIMUM)
        assert (await storage_of(machine)).maximum_bytes == MAXIMUM
        with pytest.raises(ProviderError, match="already") as caught:
            await machine.provider.add_storage(volume, volume, MAXIMUM)
        assert caught.value.hresult is HResult.VSS_E_MAXIMUM_DIFFAREA_ASSOCIATIONS_REACHED
        await machine.provider.resize_storage(volume, 0)
        await machine.restart()
        (volume,) = machine.volumes
        assert (await storage_of(machine)).maximum_bytes == 0
        (snapshot_id,) = await machine.create()
        with pytest.raises(ProviderError, match="1 shadow copies"):
            await machine.provider.delete_storage(volume)
        await machine.provider.delete_snapshot(snapshot_id)
        await machine.provider.delete_storage(volume)
        assert await machine.provider.query_storage() == []
        with pytest.raises(NotFoundError):
            await machine.provider.delete_storage(volume)
        await machine.provider.resize_storage(volume, MAXIMUM)
        assert (await storage_of(machine)).maximum_bytes == MAXIMUM
        (again,) = await machine.create()
        assert await machine.read(again) == b"before D:"

    on_machine(story)


def test_what_cannot_be_meant_is_refused() -> None:
    async def story(machine: Machine) -> None:
        first, second = machine.volumes
        await machine.provider.add_storage(second, second, MAXIMUM)
        with pytest.raises(VolumeNotSupportedError, match="of its own"):
            await machine.provider.add_storage(first, second, MAXIMUM)
        with pytest.raises(ProviderError, match="at least") as caught:
            await machine.provider.resize_storage(first, MAXIMUM_BYTES_MIN - 1)
        assert caught.value.hresult is HResult.VSS_E_INSUFFICIENT_STORAGE
        with pytest.raises(ProviderError, match="at least"):
            await machine.provider.add_storage(first, first, 0, is_inside=True)
        stranger = BlockVolume.format(machine.ports, "X:", MemoryStore(SIZE), volume_id=Guid(int=77))
        with pytest.raises(UnsupportedError):
            await machine.provider.add_storage(stranger, stranger, MAXIMUM)

    on_machine(story, names="DE")


def test_a_set_in_the_making_keeps_its_storage() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        set_id, _ = await machine.prepare()
        with pytest.raises(ProviderError, match="in the making"):
            await machine.provider.delete_storage(volume)
        await machine.provider.abort_snapshots(set_id)
        await machine.provider.delete_storage(volume)

    on_machine(story)


def test_shrinking_deletes_the_oldest_shadow_copies_that_do_not_fit() -> None:
    events: list[Event] = []

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        ids = []
        for number in range(4):
            ids += await machine.create()
            await put(volume, "/file", bytes([number]) * 3 * BLOCK)
        area = machine.provider.diff_area(volume)
        await machine.provider.resize_storage(volume, area.used_bytes - 1)
        left = [each.snapshot_id for each in await machine.provider.query()]
        assert left == ids[1:]
        assert await machine.read(ids[1]) == bytes([0]) * 3 * BLOCK
        await machine.provider.resize_storage(volume, MAXIMUM_BYTES_MIN)
        await machine.provider.resize_storage(volume, MAXIMUM_BYTES_MIN)
        for each in await machine.provider.query():
            await machine.read(each.snapshot_id)

    on_machine(story, events=events)

    assert next(each.event_id for each in events if isinstance(each, ApplicationLogged)) == 33


async def write_rounds(machine: Machine, rounds: int) -> None:
    for number in range(rounds):
        await put(machine.volumes[0], "/file", bytes([number]) * 12 * BLOCK)


def test_at_the_maximum_the_oldest_goes_and_volsnap_says_33() -> None:
    events: list[Event] = []

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await machine.provider.add_storage(volume, volume, 60 * BLOCK)
        ids = []
        for _ in range(4):
            ids += await machine.create()
            await write_rounds(machine, 2)
        left = [each.snapshot_id for each in await machine.provider.query()]
        assert left
        assert left == ids[-len(left) :]
        assert len(left) < 4

    on_machine(story, events=events)

    logged = [each for each in events if isinstance(each, ApplicationLogged)]
    assert {each.event_id for each in logged} == {33}
    assert logged[0].severity == "information"
    assert logged[0].source == "volsnap"
    assert len([each for each in events if isinstance(each, SnapshotDeleted)]) == len(logged)


def test_with_one_left_at_the_maximum_it_goes_and_volsnap_says_36() -> None:
    events: list[Event] = []

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await machine.provider.add_storage(volume, volume, MAXIMUM_BYTES_MIN)
        await machine.create()
        await put(volume, "/file", b"x" * 40 * BLOCK)
        await put(volume, "/file2", b"x" * 40 * BLOCK)
        assert await machine.provider.query() == []
        assert await get(volume.files, "/file") == b"x" * 40 * BLOCK

    on_machine(story, events=events)

    assert [each.event_id for each in events if isinstance(each, ApplicationLogged)] == [36]


def test_when_growing_fails_all_of_the_volume_go_and_volsnap_says_25() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(SIZE, name="D:"))
        machine = Machine(ports)
        volume = await machine.add("D:", store)
        await machine.create()
        await machine.create()
        store.arm(StoreFault(StoreEffect.FULL, store.size_bytes, is_sticky=True))
        area = machine.provider.diff_area(volume)
        while area.stack:
            area.space._runs.clear()
            area.stack[-1]._next = area.stack[-1]._extent_end
            await put(volume, "/file", b"z" * BLOCK)
        assert await machine.provider.query() == []

    run(main, emit=events.append)

    assert [each.event_id for each in events if isinstance(each, ApplicationLogged)] == [25]
    assert len([each for each in events if isinstance(each, SnapshotDeleted)]) == 2


@pytest.mark.parametrize("call", ["resizing", "deleting", "exposing"])
def test_a_failing_device_fails_the_call_by_name(call: str) -> None:
    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(SIZE, name="D:"))
        machine = Machine(ports)
        volume = await machine.add("D:", store)
        (snapshot_id,) = await machine.create()
        provider = machine.provider
        if call == "deleting":
            await provider.delete_snapshot(snapshot_id)
        store.arm(StoreFault(StoreEffect.WRITE_ERROR, 0, 1 << 40, is_sticky=True))
        with pytest.raises(ProviderError, match=call):
            await {
                "resizing": lambda: provider.resize_storage(volume, MAXIMUM),
                "deleting": lambda: provider.delete_storage(volume),
                "exposing": lambda: provider.set_exposed_name(snapshot_id, "/exposed"),
            }[call]()

    run(main)


# -- inside the volume ---------------------------------------------------------------------------------------------------------


def test_a_diff_area_inside_the_volume_holds_shadow_copies_over_restarts() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        size = volume.raw_store.size_bytes
        await machine.provider.add_storage(volume, volume, MAXIMUM, is_inside=True)
        extents = await find_extents(volume)
        assert sum(end - start for start, end in extents) >= MAXIMUM
        (first,) = await machine.create()
        await put(volume, "/file", b"after" * 1000)
        (second,) = await machine.create(PERSISTENT)
        await put(volume, "/file", b"later" * 1000)
        assert await machine.read(first) == b"before D:"
        assert await machine.read(second) == b"after" * 1000
        area = machine.provider.diff_area(volume)
        assert area.is_inside_volume
        with pytest.raises(ProviderError, match="inside"):
            await machine.provider.resize_storage(volume, 2 * MAXIMUM)
        await machine.restart()
        (volume,) = machine.volumes
        assert await machine.read(first) == b"before D:"
        assert volume.raw_store.size_bytes == size
        await machine.provider.revert(second)
        assert await get(volume.files, "/file") == b"after" * 1000
        for each in (first, second):
            await machine.provider.delete_snapshot(each)
        await machine.provider.delete_storage(volume)
        assert not await volume.files.exists(AREA_FILE)
        (third,) = await machine.create(VOLATILE)
        assert await machine.read(third) == b"after" * 1000

    on_machine(story)


def test_others_read_shadow_copies_that_are_stored_inside_the_volume() -> None:
    pyvshadow = pytest.importorskip("pyvshadow", reason="libvshadow-python is not installed")
    import io

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await machine.provider.add_storage(volume, volume, MAXIMUM, is_inside=True)
        (snapshot_id,) = await machine.create()
        expected = bytearray(volume.raw_store.read(0, SIZE))
        await put(volume, "/file", b"after" * 5000)
        image = volume.raw_store.read(0, SIZE)
        outside = set(range(SIZE // BLOCK))
        for start, end in await find_extents(volume):
            outside -= set(range(start // BLOCK, end // BLOCK))
        reader = pyvshadow.volume()
        reader.open_file_object(io.BytesIO(image))
        libvshadow = reader.get_store(0).read_buffer_at_offset(SIZE, 0)
        dissect = read_with_dissect(image)[snapshot_id]
        for block in sorted(outside):
            at = block * BLOCK
            assert libvshadow[at : at + BLOCK] == expected[at : at + BLOCK] == dissect[at : at + BLOCK]

    on_machine(story)


def test_at_the_end_of_the_room_inside_the_oldest_goes() -> None:
    events: list[Event] = []

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await machine.provider.add_storage(volume, volume, 44 * BLOCK, is_inside=True)
        ids = []
        for number in range(3):
            ids += await machine.create()
            await put(volume, "/file", bytes([number]) * 8 * BLOCK)
        left = [each.snapshot_id for each in await machine.provider.query()]
        assert 0 < len(left) < 3
        assert left == ids[-len(left) :]

    on_machine(story, events=events)

    assert {each.event_id for each in events if isinstance(each, ApplicationLogged)} == {33}


def test_a_volume_without_room_for_the_area_stays_as_it_is() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        with pytest.raises(InsufficientStorageError):
            await machine.provider.add_storage(volume, volume, 2 * SIZE, is_inside=True)
        assert not await volume.files.exists(AREA_FILE)
        await make_area_file(volume.files, BLOCK)
        with pytest.raises(AlreadyExistsError):
            await make_area_file(volume.files, BLOCK)
        await volume.files.remove(AREA_FILE)
        with pytest.raises(VolumeFullError):
            await make_area_file(volume.files, 2 * SIZE)

    on_machine(story)


def test_clusters_that_make_no_whole_block_are_left_out() -> None:
    clusters = [4096 * each for each in (5, 6, 7, 8, 9, 10, 11, 12, 40, 41, 44, 45, 46, 47)]

    assert list(_whole_blocks(clusters)) == [(2 * BLOCK, 3 * BLOCK), (11 * BLOCK, 12 * BLOCK)]
    assert list(_whole_blocks([])) == []


def test_a_volume_without_files_has_no_area_inside() -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume(ports, "D:", MemoryStore(SIZE), volume_id=Guid(int=1), size_bytes=SIZE)
        assert await find_extents(volume) == []

    run(main)


# -- ways out ------------------------------------------------------------------------------------------------------------------


def test_an_interrupted_revert_is_finished_on_the_image() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        assert finish_revert(volume.raw_store) == ""
        (snapshot_id,) = await machine.create()
        await put(volume, "/file", b"after")
        assert finish_revert(volume.raw_store) == ""
        area = machine.provider.diff_area(volume)
        area.mark_revert(area.stack[0], is_reverting=True)

        assert finish_revert(volume.raw_store) == str(snapshot_id)

        await machine.restart()
        assert await get(machine.volumes[0].files, "/file") == b"before D:"
        erase_diff_area(volume.raw_store)
        await machine.restart()
        assert await machine.provider.query() == []

    on_machine(story)


def test_a_shadow_copy_keeps_what_its_volume_discards() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        at = await volume.files.locate("/file", 0)
        (snapshot_id,) = await machine.create()
        await volume.discard(at, 4096)
        assert await volume.read(at, 4096) == bytes(4096)
        assert await machine.read(snapshot_id) == b"before D:"

    on_machine(story)
