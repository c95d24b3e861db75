"""A diff area whose first shadow copy is not persistent: made without a flush, and marked as such until one needs more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.providers.kit import (
    BLOCK,
    PERSISTENT,
    VOLATILE,
    VOLUME_ID,
    DiffAreaScene,
    list_with_vshadowinfo,
    read_with_dissect,
    read_with_libvshadow,
    read_with_reader,
)
from vss.errors import VolumeDamagedError, VolumeWriteError
from vss.volumes.block_store import MemoryStore
from vss.volumes.fault_store import FaultyStore, StoreEffect, StoreFault
from vss_providers.catalog_slots import CATALOG_BLOCKS
from vss_providers.diff_area import DiffArea
from vss_providers.on_disk.volume_header import VolumeHeader, read_volume_header
from vss_providers.volsnap import VolsnapEvent


def header_of(scene: DiffAreaScene) -> VolumeHeader:
    header = read_volume_header(scene.device)
    assert header is not None
    return header


@pytest.mark.parametrize(("attributes", "count"), [(VOLATILE, 0), (PERSISTENT, 3)])
def test_only_a_persistent_shadow_copy_costs_flushes(attributes: int, count: int) -> None:
    flushes: list[None] = []
    scene = DiffAreaScene(device=FaultyStore(MemoryStore(40 * BLOCK), before_flush=lambda: flushes.append(None)))

    scene.snapshot(attributes)

    assert len(flushes) == count
    assert header_of(scene).is_provisional == (attributes == VOLATILE)
    scene.check()


def test_other_readers_take_no_offence(tmp_path: Path) -> None:
    scene = DiffAreaScene()
    scene.snapshot()
    scene.write_randomly(5)

    image = scene.image()

    assert header_of(scene).is_provisional
    assert read_with_libvshadow(image) == scene.expected == read_with_dissect(image)
    assert list_with_vshadowinfo(image, tmp_path) == [str(each) for each in scene.expected]


def test_a_start_finds_what_can_be_read() -> None:
    scene = DiffAreaScene()
    scene.snapshot()
    scene.write_randomly(5)

    scene.restart()

    scene.check()
    assert header_of(scene).is_provisional


def test_the_first_persistent_shadow_copy_confirms_the_area_and_older_ones_show_the_header_that_was() -> None:
    scene = DiffAreaScene()
    scene.snapshot()
    scene.write_randomly(5)

    scene.snapshot(PERSISTENT)

    assert not header_of(scene).is_provisional
    scene.write_randomly(5)
    scene.check()
    scene.device.write(header_of(scene).catalog_offset, bytes(512))
    with pytest.raises(VolumeDamagedError, match="catalog at offset"):
        scene.restart()


@pytest.mark.parametrize("lost", ["catalog", "bitmap", "end of the image"])
def test_what_power_loss_made_unreadable_is_no_area_any_more(lost: str) -> None:
    scene = DiffAreaScene(maximum_size=100 * BLOCK)
    entry = scene.snapshot().entry
    at = header_of(scene).catalog_offset
    if lost == "end of the image":
        scene.device = MemoryStore(scene.size_bytes, content=scene.device.read(0, scene.size_bytes))
    else:
        scene.device.write({"catalog": at, "bitmap": entry.bitmap_offset}[lost], bytes(BLOCK))

    scene.restart()

    assert scene.area.stack == []
    assert not scene.area.has_catalog
    assert scene.area.used_bytes == 0
    assert scene.area.maximum_size == 100 * BLOCK
    assert read_volume_header(scene.device) is None
    scene.expected.clear()
    scene.snapshot(PERSISTENT)
    scene.write_randomly(5)
    scene.check()
    assert scene.area.used_bytes > (CATALOG_BLOCKS + 2) * BLOCK


def test_a_store_that_power_loss_made_unreadable_is_that_shadow_copy_only() -> None:
    scene = DiffAreaScene()
    stores = [scene.snapshot() for _ in range(3)]
    scene.device.write(stores[1].entry.block_list_offset, bytes(512))

    scene.restart()

    assert [each.snapshot_id for each in scene.area.stack] == [stores[0].snapshot_id, stores[2].snapshot_id]
    del scene.expected[stores[1].snapshot_id]
    scene.write_randomly(3)
    scene.snapshot(PERSISTENT)
    scene.write_randomly(3)
    scene.check()


@pytest.mark.parametrize("count", range(3))
def test_an_area_that_no_flush_can_be_trusted_with_is_given_up(count: int) -> None:
    device = FaultyStore(MemoryStore(40 * BLOCK))
    scene = DiffAreaScene(device=device)
    device.flush()
    scene.area.prepare(scene.information(), scene.guid())  # never begun: the area has no shadow copy
    for _ in range(count):
        scene.snapshot()
    device.arm(StoreFault(StoreEffect.FLUSH_ERROR))

    with pytest.raises(VolumeWriteError):
        scene.area.prepare(scene.information(PERSISTENT), scene.guid())

    assert [len(ids) for ids, _ in scene.lost] == ([count] if count else [])
    assert scene.events == ([VolsnapEvent.ABORTED_BY_IO_FAILURE] if count else [])
    assert not scene.area.has_catalog
    scene.expected.clear()
    device.flush()  # it makes nothing durable of what the failed one dropped
    store = scene.snapshot(PERSISTENT)
    for state in device.power_loss_states():
        assert read_with_reader(device.after_power_loss(state)) == {store.snapshot_id: scene.expected[store.snapshot_id]}


def test_a_flush_of_somebody_else_that_failed_costs_nothing_later() -> None:
    device = FaultyStore(MemoryStore(40 * BLOCK))
    scene = DiffAreaScene(device=device)
    device.flush()
    scene.snapshot()
    device.arm(StoreFault(StoreEffect.FLUSH_ERROR))
    with pytest.raises(VolumeWriteError):
        device.flush()

    store = scene.snapshot(PERSISTENT)

    for state in device.power_loss_states():
        image = device.after_power_loss(state)
        area = DiffArea(image, scene.size_bytes, VOLUME_ID, lambda stores, loss: None)
        assert store.snapshot_id in [each.snapshot_id for each in area.stack]
        assert area.read(area.stack[-1], BLOCK, 39 * BLOCK) == scene.expected[store.snapshot_id][BLOCK:]


def test_an_area_that_was_asked_for_is_durable_at_once() -> None:
    scene = DiffAreaScene()

    scene.area.create(0)

    assert not header_of(scene).is_provisional
