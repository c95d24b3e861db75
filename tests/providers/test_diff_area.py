"""The diff area of one volume: copy on write, stack, overlays, deletion, restart, limits."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.providers.kit import BLOCK, FIRST_FILETIME, PERSISTENT, VOLATILE, VOLUME_ID, DiffAreaScene
from vss.errors import UnsupportedError, VolumeDamagedError, VolumeFullError, VolumeReadError, VolumeWriteError
from vss.volumes.block_store import MemoryStore
from vss.volumes.fault_store import FaultyStore, StoreEffect, StoreFault
from vss_providers.catalog_slots import CATALOG_BLOCKS
from vss_providers.diff_area import DiffArea
from vss_providers.on_disk.catalog import FREE_PAIR, read_catalog
from vss_providers.on_disk.layout import VOLUME_HEADER_OFFSET
from vss_providers.on_disk.store_blocks import FORWARDER, BlockDescriptor, pack_bitmap_blocks
from vss_providers.on_disk.volume_header import VolumeHeader, read_volume_header
from vss_providers.repair import erase_diff_area
from vss_providers.volsnap import VolsnapEvent


def test_a_shadow_copy_keeps_what_the_volume_held() -> None:
    scene = DiffAreaScene()
    scene.snapshot()

    scene.write_randomly(20)

    scene.check()


def test_a_block_is_saved_once() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()

    for _ in range(3):
        scene.write(5 * BLOCK + 100, b"again")

    assert list(store.saved) == [5]


def test_a_write_of_many_blocks_saves_only_those_not_saved_yet() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()
    scene.write(3 * BLOCK, b"x")
    scene.write(6 * BLOCK, b"x")

    scene.write(2 * BLOCK, bytes(6 * BLOCK))

    assert sorted(store.saved) == [2, 3, 4, 5, 6, 7]
    assert len(set(store.saved.values())) == 6
    scene.check()


def test_nothing_is_saved_without_a_shadow_copy() -> None:
    scene = DiffAreaScene()

    scene.write_randomly(5)

    assert scene.device.size_bytes == scene.size_bytes
    assert read_volume_header(scene.device) is None


def test_an_older_shadow_copy_reads_through_the_newer_ones() -> None:
    scene = DiffAreaScene()
    for _ in range(5):
        scene.snapshot()
        scene.write_randomly(4)

    scene.check()


@pytest.mark.parametrize("size_bytes", [20 * BLOCK + 512, 20 * BLOCK + BLOCK - 512, 33 * BLOCK])
def test_a_last_block_that_is_not_whole_is_kept(size_bytes: int) -> None:
    scene = DiffAreaScene(size_bytes)
    scene.snapshot()

    scene.write(size_bytes - 512, b"\xaa" * 512)
    scene.snapshot()

    scene.check()


def test_parts_are_read_as_parts() -> None:
    scene = DiffAreaScene()
    first = scene.snapshot()
    scene.write_randomly(6, longest=3 * BLOCK)
    scene.snapshot()
    expected = scene.expected[first.snapshot_id]

    for offset, length in [(0, 0), (BLOCK - 1, 2), (7, 3 * BLOCK), (scene.size_bytes - 1, 1), (5 * BLOCK, BLOCK)]:
        assert scene.area.read(first, offset, length) == expected[offset : offset + length]


def test_reading_outside_is_refused() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()

    with pytest.raises(VolumeReadError, match=r"shadow copy .* expected a range inside"):
        scene.area.read(store, scene.size_bytes - 1, 2)


def test_more_than_508_saved_blocks_continue_in_another_list_block() -> None:
    scene = DiffAreaScene(1100 * BLOCK)
    scene.snapshot(PERSISTENT)

    scene.write(2 * BLOCK, bytes(600 * BLOCK))
    for block in range(700, 1090):
        scene.write(block * BLOCK, b"x")

    scene.check()
    scene.restart()
    scene.check()


def test_copying_goes_on_after_a_restart() -> None:
    scene = DiffAreaScene()
    scene.snapshot(PERSISTENT)
    scene.write_randomly(5)

    scene.restart()
    scene.write_randomly(5)
    scene.snapshot(PERSISTENT)
    scene.write_randomly(5)
    scene.restart()

    scene.check()


def test_space_is_neither_lost_nor_given_twice_by_a_restart() -> None:
    scene = DiffAreaScene()
    for _ in range(3):
        scene.snapshot()
        scene.write_randomly(6, longest=BLOCK)
    used = scene.area.used_bytes

    scene.restart()

    assert scene.area.used_bytes == used
    owned = [set(store.blocks_owned()) for store in scene.area.stack]
    assert not owned[0] & owned[1]
    assert not owned[1] & owned[2]


def test_creation_times_differ_whatever_the_clock_says() -> None:
    scene = DiffAreaScene()
    for created in (FIRST_FILETIME, FIRST_FILETIME, FIRST_FILETIME - 5):
        scene.snapshot(created=created)

    assert [store.snapshot.created - FIRST_FILETIME for store in scene.area.stack] == [0, 1, 2]


# -- deleting ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("attributes", [PERSISTENT, VOLATILE])
def test_the_others_read_as_before_when_one_is_deleted(index: int, attributes: int) -> None:
    scene = DiffAreaScene()
    for _ in range(3):
        scene.snapshot(attributes)
        scene.write_randomly(8, longest=BLOCK)

    scene.delete(scene.area.stack[index])

    scene.check()
    scene.write_randomly(8, longest=BLOCK)
    scene.check()
    scene.restart()
    scene.check()


def test_positions_stay_gapless() -> None:
    scene = DiffAreaScene()
    for _ in range(4):
        scene.snapshot()

    scene.delete(scene.area.stack[2])
    scene.delete(scene.area.stack[0])

    header = read_volume_header(scene.device)
    assert header is not None
    assert [record.snapshot.position for record in read_catalog(scene.device, header.catalog_offset)] == [2, 3]


def test_the_space_of_deleted_shadow_copies_is_used_again() -> None:
    scene = DiffAreaScene()
    for _ in range(40):
        scene.snapshot()
        scene.write_randomly(3)
        scene.delete(scene.area.stack[0])

    assert scene.area.allocated_bytes < 3 * scene.size_bytes
    assert scene.area.used_bytes == (CATALOG_BLOCKS + 2) * BLOCK  # the catalog, and a block of each bitmap


def test_a_deleted_shadow_copy_says_so_when_read_or_written() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()
    scene.delete(store)

    with pytest.raises(VolumeReadError, match="deleted"):
        scene.area.read(store, 0, 1)
    with pytest.raises(VolumeWriteError, match="deleted"):
        scene.area.write(store, 0, b"x")


def test_discarding_a_prepared_store_gives_its_space_back() -> None:
    scene = DiffAreaScene()
    scene.snapshot()
    used = scene.area.used_bytes

    store = scene.area.prepare(scene.information(), scene.guid())
    assert scene.area.used_bytes > used
    scene.area.discard(store)

    assert scene.area.used_bytes == used
    scene.check()


# -- overlays ------------------------------------------------------------------------------------------------------------------


def test_what_is_written_into_a_shadow_copy_is_seen_there_only() -> None:
    scene = DiffAreaScene()
    scene.snapshot()
    scene.write(7 * BLOCK, bytes(BLOCK))
    newest = scene.snapshot()

    scene.write_into(newest, 7 * BLOCK + 100, b"inside one sector")
    scene.write_into(newest, 9 * BLOCK - 700, bytes(2000))
    scene.write(9 * BLOCK, b"the volume itself")
    scene.write_into(newest, 9 * BLOCK + 512, b"a further sector")
    scene.write_into(newest, 7 * BLOCK + 110, b"the same sector again")

    scene.check()
    assert scene.area.read(newest, 9 * BLOCK - 3, 700) == scene.expected[newest.snapshot_id][9 * BLOCK - 3 : 9 * BLOCK + 697]
    scene.restart()
    scene.check()


def test_overlays_of_a_persistent_shadow_copy_survive_a_restart() -> None:
    scene = DiffAreaScene(20 * BLOCK + 1024)
    store = scene.snapshot(PERSISTENT)

    scene.write_into(store, scene.size_bytes - 1, b"z")
    scene.write_into(store, 0x3000, bytes(range(256)) * 200)

    scene.restart()
    scene.check()


def test_writing_outside_a_shadow_copy_is_refused() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()

    with pytest.raises(VolumeWriteError, match="expected a range inside"):
        scene.area.write(store, scene.size_bytes, b"x")


# -- limits and loss -----------------------------------------------------------------------------------------------------------


def test_at_the_maximum_the_oldest_shadow_copy_goes_first() -> None:
    scene = DiffAreaScene(maximum_size=40 * BLOCK, growth_bytes=4 * BLOCK)
    oldest = scene.snapshot()
    scene.write(BLOCK, bytes(12 * BLOCK))
    scene.snapshot()

    scene.write(BLOCK, bytes(12 * BLOCK))
    del scene.expected[oldest.snapshot_id]

    assert [(ids, reason.split(":")[0]) for ids, reason in scene.lost] == [([oldest.snapshot_id], "deleted to make room")]
    assert scene.area.allocated_bytes <= 40 * BLOCK
    scene.check()


def test_the_last_shadow_copy_goes_when_the_maximum_does_not_suffice_and_the_write_goes_on() -> None:
    scene = DiffAreaScene(maximum_size=30 * BLOCK)
    store = scene.snapshot()

    scene.write(BLOCK, b"\x55" * 30 * BLOCK)

    assert scene.area.stack == []
    ((ids, reason),) = scene.lost
    assert ids == [store.snapshot_id]
    assert reason.startswith("copy-on-write failed: memory: diff area has")
    with pytest.raises(VolumeReadError, match="copy-on-write failed"):
        scene.area.read(store, 0, 512)
    assert scene.device.read(BLOCK, 30 * BLOCK) == b"\x55" * 30 * BLOCK
    scene.expected.clear()
    scene.restart()
    scene.check()


def test_the_maximum_can_be_changed_and_is_remembered() -> None:
    scene = DiffAreaScene()
    scene.area.set_maximum_size(64 * BLOCK)
    assert scene.area.maximum_size == 64 * BLOCK
    scene.snapshot()

    scene.area.set_maximum_size(100 * BLOCK)

    scene.restart()
    assert scene.area.maximum_size == 100 * BLOCK
    scene.check()  # the header is part of block 0, which the shadow copy shows as it was


def test_an_overlay_that_finds_no_room_fails_alone() -> None:
    scene = DiffAreaScene(maximum_size=15 * BLOCK)
    store = scene.snapshot()

    with pytest.raises(VolumeFullError, match="its maximum"):
        scene.area.write(store, 0, bytes(5 * BLOCK))

    assert scene.area.stack == [store]


class BrokenDevice(MemoryStore):
    """Memory that refuses writes and growth from ``broken_from`` on, once told."""

    broken_from: int | None = None

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if self.broken_from is not None and offset >= self.broken_from:
            raise VolumeWriteError(f"broken: writing at offset {offset}")
        super().write(offset, data)

    def grow(self, size_bytes: int) -> None:
        if self.broken_from is not None:
            raise VolumeFullError("broken: no space left on device")
        super().grow(size_bytes)


def broken_scene() -> tuple[DiffAreaScene, BrokenDevice]:
    device = BrokenDevice(40 * BLOCK)
    return DiffAreaScene(device=device), device


def test_when_saving_fails_all_shadow_copies_of_the_volume_go_oldest_first() -> None:
    scene, device = broken_scene()
    stores = [scene.snapshot(), scene.snapshot()]
    device.broken_from = 52 * BLOCK  # catalog and first store still take writes

    scene.write(BLOCK, b"x")

    ((ids, reason),) = scene.lost
    assert ids == [store.snapshot_id for store in stores]
    assert reason.startswith("copy-on-write failed: broken: ")
    assert scene.device.read(BLOCK, 1) == b"x"
    scene.expected.clear()
    device.broken_from = None
    scene.restart()
    scene.check()


def test_a_shadow_copy_that_cannot_be_unlisted_is_unlisted_before_the_next_one() -> None:
    scene, device = broken_scene()
    scene.snapshot()
    device.broken_from = scene.size_bytes
    scene.write(BLOCK, b"x")
    header = read_volume_header(device)
    assert header is not None
    assert len(read_catalog(device, header.catalog_offset)) == 1

    device.broken_from = None
    scene.expected.clear()
    scene.snapshot()

    scene.check()


def test_a_failed_prepare_leaves_no_trace() -> None:
    scene, device = broken_scene()
    before = scene.image()
    device.broken_from = scene.size_bytes

    with pytest.raises(VolumeFullError):
        scene.area.prepare(scene.information(), scene.guid())

    assert scene.image() == before
    device.broken_from = None
    scene.snapshot()
    used = scene.area.used_bytes
    device.broken_from = scene.size_bytes
    with pytest.raises(VolumeWriteError):
        scene.area.prepare(scene.information(), scene.guid())
    assert scene.area.used_bytes == used
    scene.check()


def test_a_catalog_that_cannot_be_written_leaves_no_header() -> None:
    scene, device = broken_scene()
    device.grow(60 * BLOCK)
    scene.restart()
    device.broken_from = scene.size_bytes

    with pytest.raises(VolumeWriteError):
        scene.area.prepare(scene.information(), scene.guid())

    assert read_volume_header(device) is None
    assert scene.area.used_bytes == 0


def test_a_failed_deletion_leaves_everything_as_it_was() -> None:
    scene, device = broken_scene()
    scene.snapshot()
    newest = scene.snapshot()
    scene.write(BLOCK, bytes(4 * BLOCK))
    device.broken_from = scene.size_bytes

    with pytest.raises(VolumeWriteError):
        scene.area.delete(newest)

    device.broken_from = None
    scene.check()


def test_forgotten_shadow_copies_say_why() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()

    scene.area.forget("the disk is gone")

    assert scene.lost == [([store.snapshot_id], "the disk is gone")]
    with pytest.raises(VolumeReadError, match="the disk is gone"):
        scene.area.read(store, 0, 1)


# -- what stands on the disk ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        VolumeHeader(BLOCK, 0, VOLUME_ID, VOLUME_ID),
        VolumeHeader(40 * BLOCK, 0, VOLUME_ID, VOLUME_ID.__class__(int=5)),
    ],
    ids=["inside the volume", "on another volume"],
)
def test_a_diff_area_of_another_provider_is_left_alone(header: VolumeHeader) -> None:
    scene = DiffAreaScene()
    scene.device.write(VOLUME_HEADER_OFFSET, header.pack())

    with pytest.raises(UnsupportedError, match="another provider"):
        scene.restart()


def test_a_header_without_catalog_is_an_empty_diff_area() -> None:
    scene = DiffAreaScene()
    scene.device.write(VOLUME_HEADER_OFFSET, VolumeHeader(0, 7 * BLOCK, VOLUME_ID, VOLUME_ID).pack())

    scene.restart()

    assert scene.area.stack == []
    assert scene.area.maximum_size == 7 * BLOCK


def test_a_volume_of_another_size_is_damage() -> None:
    scene = DiffAreaScene()
    scene.snapshot(PERSISTENT)

    with pytest.raises(VolumeDamagedError, match="volume size"):
        DiffArea(scene.device, scene.size_bytes - 512, VOLUME_ID, lambda stores, reason: None)


def test_a_shadow_copy_without_store_is_damage() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot(PERSISTENT)
    scene.device.write(store.pair_at + 128, FREE_PAIR[:128])

    with pytest.raises(VolumeDamagedError, match="a store on this volume"):
        scene.restart()


def test_a_saved_block_inside_the_volume_is_damage() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot(PERSISTENT)
    scene.write(5 * BLOCK, b"x")
    scene.device.write(store.entry.block_list_offset + 128, BlockDescriptor(5 * BLOCK, 0, BLOCK).pack())

    with pytest.raises(VolumeDamagedError, match="blocks from 0xa0000 on, found one at 0x4000"):
        scene.restart()


def test_a_forwarder_is_damage_here() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot(PERSISTENT)
    scene.device.write(store.entry.block_list_offset + 128, BlockDescriptor(5 * BLOCK, BLOCK, 0, FORWARDER).pack())

    with pytest.raises(VolumeDamagedError, match="a plain one or an overlay"):
        scene.restart()


def test_descriptors_behind_a_torn_one_are_wiped() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()
    scene.write(5 * BLOCK, b"x")
    behind = store.entry.block_list_offset + 128 + 3 * 32
    scene.device.write(behind, BlockDescriptor(9 * BLOCK, 0, store.saved[5]).pack())

    scene.restart()

    assert list(scene.area.stack[0].saved) == [5]
    assert scene.device.read(behind, 32) == bytes(32)


def test_a_torn_range_is_not_believed() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()
    scene.write(5 * BLOCK, b"x")
    scene.device.write(store.entry.range_list_offset + 128, bytes(8))

    scene.restart()
    scene.write(7 * BLOCK, b"x")

    scene.check()


def test_a_damaged_pending_store_is_no_shadow_copy() -> None:
    scene = DiffAreaScene()
    scene.snapshot()
    store = scene.area.prepare(scene.information(), scene.guid())
    scene.area.begin(store, FIRST_FILETIME)
    scene.area.publish(store, is_pending=True)
    scene.device.write(store.entry.header_offset, bytes(512))

    scene.restart()

    assert len(scene.area.stack) == 1
    assert scene.device.read(store.pair_at, 256) == FREE_PAIR


def test_an_erased_diff_area_is_none() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot(PERSISTENT)
    scene.device.write(store.entry.header_offset, bytes(512))
    with pytest.raises(VolumeDamagedError, match="store header at offset"):
        scene.restart()

    erase_diff_area(scene.device)

    scene.restart()
    assert scene.area.stack == []


def test_a_range_list_longer_than_a_block_is_continued() -> None:
    # Space in single blocks, nowhere two in a row: every extent is a range of its own.
    scene = DiffAreaScene(760 * BLOCK)
    scene.snapshot()
    hold = scene.area.space
    at = hold.allocate(1500 * BLOCK)
    hold.free_blocks(range(at, at + 1500 * BLOCK, 2 * BLOCK))

    for block in range(1, 750):
        scene.write(block * BLOCK, b"x")

    scene.check()
    scene.restart()
    scene.check()


def test_bitmaps_exempt_nothing() -> None:
    scene = DiffAreaScene()
    entry = scene.snapshot().entry

    for index, (at, is_set) in enumerate(((entry.bitmap_offset, False), (entry.previous_bitmap_offset, True))):
        (expected,) = pack_bitmap_blocks(index * BLOCK, [at], 40, is_set=is_set)
        assert scene.device.read(at, BLOCK) == expected


def test_all_stores_share_the_bitmaps_of_the_area_over_restarts_and_deletions() -> None:
    scene = DiffAreaScene()
    first = scene.snapshot()
    second = scene.snapshot()
    places = (first.entry.bitmap_offset, first.entry.previous_bitmap_offset)
    assert (second.entry.bitmap_offset, second.entry.previous_bitmap_offset) == places

    for store in (first, second):
        scene.delete(store)
    scene.restart()
    third = scene.snapshot()
    scene.write_randomly(10)

    assert (third.entry.bitmap_offset, third.entry.previous_bitmap_offset) == places
    scene.check()


def test_an_area_without_shared_bitmaps_gets_them_with_its_next_shadow_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = DiffAreaScene()
    old = scene.snapshot()
    assert scene.area.bitmaps is not None
    scene.device.write(scene.area._header.catalog_offset + 128, FREE_PAIR[:128])  # now they are the first store's own
    scene.restart()
    scene.write_randomly(3)

    new = scene.snapshot()

    assert new.entry.bitmap_offset != old.entry.bitmap_offset
    scene.write_randomly(3)
    scene.check()
    scene.delete(scene.area.stack[0])
    scene.restart()
    scene.check()


@pytest.mark.parametrize(
    "fault",
    [StoreFault(StoreEffect.FLUSH_ERROR), StoreFault(StoreEffect.WRITE_ERROR, offset=0x1E00, length=512)],
    ids=["before the header", "the header"],
)
def test_an_area_that_cannot_be_made_leaves_its_room_free(fault: StoreFault) -> None:
    device = FaultyStore(MemoryStore(40 * BLOCK))
    scene = DiffAreaScene(device=device)
    device.arm(fault)

    with pytest.raises(VolumeWriteError):
        scene.area.prepare(scene.information(PERSISTENT), scene.guid())

    assert scene.area.used_bytes == 0
    assert not scene.area.has_catalog
    scene.snapshot()
    scene.check()


def test_at_the_maximum_a_new_shadow_copy_costs_the_oldest() -> None:
    scene = DiffAreaScene(maximum_size=30 * BLOCK)
    for _ in range(12):
        scene.snapshot()
        left = [store.snapshot_id for store in scene.area.stack]
        scene.expected = {each: content for each, content in scene.expected.items() if each in left}
    scene.check()

    assert set(scene.events) == {VolsnapEvent.OLDEST_DELETED_AT_LIMIT}
    assert len(scene.area.stack) == 4


# -- against a dict of blocks --------------------------------------------------------------------------------------------------


def test_a_single_block_that_finds_no_room_costs_the_oldest_shadow_copy() -> None:
    scene = DiffAreaScene(maximum_size=(CATALOG_BLOCKS + 2 + 2 * 4 + 16) * BLOCK)
    oldest, newest = scene.snapshot(), scene.snapshot()
    for block in range(2, 40):
        scene.write(block * BLOCK, b"x")
        if scene.events:
            break

    assert scene.events == [VolsnapEvent.OLDEST_DELETED_AT_LIMIT]
    assert [ids for ids, _ in scene.lost] == [[oldest.snapshot_id]]
    del scene.expected[oldest.snapshot_id]
    assert [each.snapshot_id for each in scene.area.stack] == [newest.snapshot_id]
    scene.check()


def test_a_maximum_that_not_even_a_store_fits_into_is_refused() -> None:
    scene = DiffAreaScene(maximum_size=(CATALOG_BLOCKS + 3) * BLOCK)

    with pytest.raises(VolumeFullError, match="its maximum is"):
        scene.snapshot()


BLOCKS = 24


class DiffAreaMachine(RuleBasedStateMachine):
    """Any order of writes, shadow copies, overlays, deletions and restarts reads like a plain record of the contents."""

    @initialize(odd=st.integers(0, 3), maximum=st.sampled_from([0, 0, 120 * BLOCK]))
    def begin(self, odd: int, maximum: int) -> None:
        self.scene = DiffAreaScene(BLOCKS * BLOCK + odd * 512, maximum_size=maximum, growth_bytes=8 * BLOCK)

    @rule(block=st.integers(1, BLOCKS - 1), start=st.integers(0, BLOCK - 1), length=st.integers(1, 5 * BLOCK))
    def write(self, block: int, start: int, length: int) -> None:
        offset = block * BLOCK + start
        length = min(length, self.scene.size_bytes - 512 - offset)
        if length > 0:
            self.scene.write(offset, self.scene.random.randbytes(length))

    @precondition(lambda self: len(self.scene.area.stack) < 8)
    @rule(attributes=st.sampled_from([PERSISTENT, VOLATILE]))
    def snapshot(self, attributes: int) -> None:
        try:
            self.scene.snapshot(attributes)
        except VolumeFullError:
            assert self.scene.area.maximum_size

    @precondition(lambda self: self.scene.area.stack)
    @rule(offset=st.integers(0, BLOCKS * BLOCK - 2000), length=st.integers(1, 2000))
    def write_into_the_newest(self, offset: int, length: int) -> None:
        try:
            self.scene.write_into(self.scene.area.stack[-1], offset, self.scene.random.randbytes(length))
        except VolumeFullError:
            assert self.scene.area.maximum_size
            newest = self.scene.area.stack[-1]
            self.scene.expected[newest.snapshot_id][:] = self.scene.area.read(newest, 0, self.scene.size_bytes)

    @precondition(lambda self: self.scene.area.stack)
    @rule(index=st.integers(0, 7))
    def delete(self, index: int) -> None:
        stack = self.scene.area.stack
        try:
            self.scene.delete(stack[index % len(stack)])
        except VolumeFullError:
            assert self.scene.area.maximum_size

    @rule()
    def restart(self) -> None:
        self.scene.restart()

    @invariant()
    def every_shadow_copy_reads_as_recorded(self) -> None:
        if hasattr(self, "scene"):
            for ids, _ in self.scene.lost:
                for each in ids:
                    self.scene.expected.pop(each, None)
            self.scene.check()


TestDiffAreaMachine = pytest.mark.slow(DiffAreaMachine.TestCase)
DiffAreaMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_part_reads_like_the_whole(data: st.DataObject) -> None:
    scene = DiffAreaScene(BLOCKS * BLOCK + 1024, seed=data.draw(st.integers(0, 1000)))
    store = scene.snapshot()
    scene.write_randomly(3)
    scene.write_into(store, data.draw(st.integers(0, 20 * BLOCK)), bytes(data.draw(st.integers(1, 3000))))
    offset = data.draw(st.integers(0, scene.size_bytes))
    length = data.draw(st.integers(0, scene.size_bytes - offset))

    assert scene.area.read(store, offset, length) == scene.expected[store.snapshot_id][offset : offset + length]
