"""The bitmaps of large volumes: begun by the first shadow copy, written to their end afterwards, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.providers.kit import BLOCK, SparseFile
from tests.providers.world import VOLATILE, Machine
from vss.errors import VolumeDamagedError, VolumeError
from vss.ids import Guid
from vss.ports import Ports
from vss.real import RealFiles
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, ImageStore, MemoryStore, StoreEffect, StoreFault
from vss.volumes.block_store import BlockStore
from vss.volumes.boot_record import boot_record
from vss_providers.on_disk.layout import RecordType, walk_chain
from vss_providers.on_disk.reader import ShadowVolume
from vss_providers.on_disk.store_blocks import BITS_PER_BLOCK, pack_bitmap_blocks, read_bitmap
from vss_providers.shared_bitmaps import SharedBitmaps
from vss_providers.space import DiffSpace

CHAIN = 3
BLOCK_COUNT = (CHAIN - 1) * BITS_PER_BLOCK + 1005
VOLUME_BYTES = BLOCK_COUNT * BLOCK - 512
PLACES = (5 * BLOCK, BITS_PER_BLOCK * BLOCK, VOLUME_BYTES - 3 * BLOCK)
NOTE_AT = 128
"""Where the note stands when there is nothing but bitmaps."""


class Bitmaps:
    """The bitmaps of a volume on a small disk of their own."""

    def __init__(self, device: BlockStore) -> None:
        self.device = device
        self.space = DiffSpace(device, BLOCK)

    def begin(self) -> SharedBitmaps:
        return SharedBitmaps.create(self.device, self.space, NOTE_AT, VOLUME_BYTES, is_in_use=False, is_whole=False)

    def rest(self, bitmaps: SharedBitmaps) -> Iterator[None]:
        return bitmaps.write_rest(self.device, VOLUME_BYTES, self.space)


def begun() -> tuple[Bitmaps, SharedBitmaps]:
    scene = Bitmaps(MemoryStore(BLOCK))
    return scene, scene.begin()


def load(device: BlockStore) -> SharedBitmaps:
    bitmaps = SharedBitmaps.load(device, NOTE_AT)
    assert bitmaps is not None
    return bitmaps


def check_whole(device: BlockStore, bitmaps: SharedBitmaps) -> None:
    places = [[start + index * BLOCK for index in range(CHAIN)] for start in (bitmaps.current, bitmaps.previous)]
    for index, offsets in enumerate(places):
        expected = list(pack_bitmap_blocks(index * CHAIN * BLOCK, offsets, BLOCK_COUNT, is_set=index == 1))
        assert [device.read(at, BLOCK) for at in offsets] == expected
        assert [header.offset for header, _ in walk_chain(device, RecordType.BITMAP, offsets[0])] == offsets
    assert load(device).is_whole
    assert load(device).blocks == (*places[0], *places[1])


def test_bits_that_are_not_there_yet_exempt_nothing() -> None:
    scene, bitmaps = begun()

    assert not bitmaps.is_whole
    assert not any(read_bitmap(scene.device, bitmaps.current, BLOCK_COUNT))
    previous = read_bitmap(scene.device, bitmaps.previous, BLOCK_COUNT)
    assert previous == b"\xff" * (BITS_PER_BLOCK // 8) + bytes(len(previous) - BITS_PER_BLOCK // 8)


def test_whole_chains_are_those_of_the_format() -> None:
    scene, bitmaps = begun()

    for _ in scene.rest(bitmaps):
        assert not load(scene.device).is_whole
    bitmaps.link(scene.device)

    assert bitmaps.is_whole
    check_whole(scene.device, bitmaps)


def test_no_power_loss_tears_a_chain() -> None:
    states = 0

    def look() -> None:
        nonlocal states
        for state in store.power_loss_states(subset_max=8, torn_max=6):
            states += 1
            image = store.after_power_loss(state)
            if not any(image.read(NOTE_AT, 128)):
                continue
            loaded = load(image)
            assert set(loaded.blocks) == set(range(BLOCK, (1 + 2 * CHAIN) * BLOCK, BLOCK))
            assert not any(read_bitmap(image, loaded.current, BLOCK_COUNT))
            for _ in Bitmaps(image).rest(loaded):
                pass
            loaded.link(image)
            check_whole(image, loaded)

    store = FaultyStore(MemoryStore(BLOCK))
    scene = Bitmaps(store)
    bitmaps = scene.begin()
    for _ in scene.rest(bitmaps):
        look()
    store.flush()
    bitmaps.link(store)
    look()

    assert states > 40


def test_a_chain_that_is_to_be_continued_in_a_foreign_place_is_damage() -> None:
    scene, bitmaps = begun()
    assert bitmaps.current == BLOCK
    note = scene.device.read(NOTE_AT, 128)
    scene.device.write(NOTE_AT, note[:32] + (bitmaps.current).to_bytes(8, "little") + note[40:])

    with pytest.raises(VolumeDamagedError, match="bitmap at offset 0x4000: expected room up to the previous bitmap"):
        load(scene.device)


def test_an_area_beyond_the_end_of_the_image_is_damage() -> None:
    with pytest.raises(VolumeDamagedError, match="expected a catalog, found the end of the image at 0x4000"):
        SharedBitmaps.load(MemoryStore(BLOCK), BLOCK)


def test_a_long_bitmap_of_zeros_is_made_of_holes_and_reads_whole(tmp_path: Path) -> None:
    size_bytes = 40 << 30
    device = ImageStore.create(RealFiles(), tmp_path / "area.img", BLOCK)
    bitmaps = SharedBitmaps.create(device, DiffSpace(device, BLOCK), NOTE_AT, size_bytes)
    count = size_bytes // BLOCK

    assert bitmaps.is_whole
    assert not any(read_bitmap(device, bitmaps.current, count))
    assert read_bitmap(device, bitmaps.previous, count)[: count // 8] == b"\xff" * (count // 8)
    device.close()


# -- at the provider -----------------------------------------------------------------------------------------------------------


def on_large_volume(story: Callable[[Machine, BlockVolume, FaultyStore], Awaitable[None]]) -> None:
    """Run ``story`` on a volume whose bitmaps have several blocks; no file system is on it."""

    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(VOLUME_BYTES), records_writes=False)
        record = boot_record(VOLUME_BYTES, UUID(int=4))
        store.write(0, record)
        store.write(VOLUME_BYTES - 512, record)
        for place in PLACES:
            store.write(place, b"before".ljust(BLOCK))
        volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=4), size_bytes=VOLUME_BYTES)
        machine = Machine(ports)
        machine.volumes.append(volume)
        await machine.provider.attach(volume)
        await story(machine, volume, store)
        await machine.provider.close()

    run(main)


def bitmaps_of(machine: Machine, volume: BlockVolume) -> SharedBitmaps:
    bitmaps = machine.provider.diff_area(volume).bitmaps
    assert isinstance(bitmaps, SharedBitmaps)
    return bitmaps


def ones_of(device: BlockStore, bitmaps: SharedBitmaps) -> int:
    """Return how many bytes of the previous bitmap have every bit set."""
    return read_bitmap(device, bitmaps.previous, BLOCK_COUNT).count(0xFF)


def test_a_shadow_copy_is_exact_before_and_after_its_bitmaps_are_whole() -> None:
    pyvshadow = pytest.importorskip("pyvshadow", reason="libvshadow-python is not installed")
    dissect = pytest.importorskip("dissect.volume.vss", reason="dissect.volume is not installed")

    async def story(machine: Machine, volume: BlockVolume, store: FaultyStore) -> None:
        def check() -> None:
            foreign = pyvshadow.volume()
            foreign.open_file_object(SparseFile(store))
            for read in (foreign.get_store(0).read_buffer_at_offset, lambda size, at: ours.read(at, size)):
                for place in PLACES:
                    assert read(BLOCK, place) == b"before".ljust(BLOCK)
                    assert not any(read(BLOCK, place + BLOCK))

        ids = await machine.create(VOLATILE)
        for place in PLACES[:2]:
            await volume.write(place, b"after")
        ours = ShadowVolume(store).shadow_copies[0]
        assert not bitmaps_of(machine, volume).is_whole
        check()

        await machine.ports.clock.sleep(1)

        assert bitmaps_of(machine, volume).is_whole
        assert ones_of(store, bitmaps_of(machine, volume)) == BLOCK_COUNT // 8
        ours = ShadowVolume(store).shadow_copies[0]
        check()
        stream = dissect.VSS(SparseFile(store)).catalog.stores[0].open()
        for place in PLACES:
            stream.seek(place)
            assert stream.read(BLOCK) == b"before".ljust(BLOCK)
        assert machine.provider.open_device(ids[0]).read(PLACES[1], 6) == b"before"

    on_large_volume(story)


def test_a_shutdown_writes_them_to_their_end() -> None:
    async def story(machine: Machine, volume: BlockVolume, store: FaultyStore) -> None:
        await machine.create(VOLATILE)
        bitmaps = bitmaps_of(machine, volume)
        assert not bitmaps_of(machine, volume).is_whole

        await machine.provider.close()

        assert bitmaps.is_whole
        assert ones_of(store, bitmaps) == BLOCK_COUNT // 8

    on_large_volume(story)


def test_a_start_goes_on_with_what_a_crash_left_short() -> None:
    async def story(machine: Machine, volume: BlockVolume, store: FaultyStore) -> None:
        set_id, _ = await machine.prepare(VOLATILE)
        await machine.provider.commit_snapshots(set_id)
        machine.provider = machine.make(machine.ports)
        machine.volumes = [BlockVolume(machine.ports, "D:", store, volume_id=Guid(int=4), size_bytes=VOLUME_BYTES)]
        await machine.provider.attach(machine.volumes[0])
        bitmaps = bitmaps_of(machine, volume)
        assert not bitmaps_of(machine, volume).is_whole

        await machine.ports.clock.sleep(1)

        assert bitmaps.is_whole
        assert ones_of(store, bitmaps) == BLOCK_COUNT // 8

    on_large_volume(story)


@pytest.mark.parametrize("effect", [StoreEffect.WRITE_ERROR, StoreEffect.FLUSH_ERROR])
def test_after_a_failing_device_the_next_shadow_copy_goes_on(effect: StoreEffect) -> None:
    async def story(machine: Machine, volume: BlockVolume, store: FaultyStore) -> None:
        await machine.create(VOLATILE)
        bitmaps = bitmaps_of(machine, volume)
        store.arm(StoreFault(effect, offset=bitmaps.current, length=2 * CHAIN * BLOCK))
        await machine.ports.clock.sleep(1)
        assert store.fired
        assert not bitmaps_of(machine, volume).is_whole

        await machine.create(VOLATILE)
        await machine.ports.clock.sleep(1)

        assert bitmaps.is_whole
        assert ones_of(store, bitmaps) == BLOCK_COUNT // 8

    on_large_volume(story)


@pytest.mark.parametrize("steps", range(4))
def test_storage_that_is_deleted_meanwhile_is_left_alone(steps: int) -> None:
    async def story(machine: Machine, volume: BlockVolume, store: FaultyStore) -> None:
        (snapshot_id,) = await machine.create(VOLATILE)
        bitmaps = bitmaps_of(machine, volume)
        for _ in range(steps):
            await machine.ports.clock.sleep(0)
        is_whole = bitmaps.is_whole
        await machine.provider.delete_snapshot(snapshot_id)
        await machine.provider.delete_storage(volume)
        store.write(bitmaps.current, bytes(2 * CHAIN * BLOCK))

        await machine.ports.clock.sleep(1)

        assert is_whole or not any(store.read(bitmaps.current, 2 * CHAIN * BLOCK))

    on_large_volume(story)


def test_a_volume_that_is_lost_meanwhile_is_left_alone() -> None:
    async def story(machine: Machine, volume: BlockVolume, store: FaultyStore) -> None:
        await machine.create(VOLATILE)
        bitmaps = bitmaps_of(machine, volume)
        volume.lose()
        with pytest.raises(VolumeError, match="is lost"):
            await machine.provider.attach(volume)

        await machine.ports.clock.sleep(1)

        assert not any(read_bitmap(store, bitmaps.previous, BLOCK_COUNT)[BITS_PER_BLOCK // 8 :])

    on_large_volume(story)


def test_storage_that_was_asked_for_has_whole_bitmaps_at_once() -> None:
    async def story(machine: Machine, volume: BlockVolume, store: FaultyStore) -> None:
        await machine.provider.resize_storage(volume, 64 << 20)

        assert bitmaps_of(machine, volume).is_whole
        await machine.create(VOLATILE)
        (copy,) = ShadowVolume(store).shadow_copies
        assert all(copy.read(place, BLOCK) == b"before".ljust(BLOCK) for place in PLACES)

    on_large_volume(story)
