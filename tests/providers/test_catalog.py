"""The catalog, read and written."""

from __future__ import annotations

from uuid import UUID

import pytest

from vss.errors import VolumeDamagedError
from vss.volumes.block_store import MemoryStore
from vss_providers.catalog_slots import CatalogSlots
from vss_providers.on_disk.catalog import (
    FREE,
    FREE_PAIR,
    SnapshotEntry,
    StoreEntry,
    pack_empty_catalog,
    pair_offsets,
    read_catalog,
    read_pending,
)
from vss_providers.on_disk.layout import BLOCK_SIZE, SECTOR_SIZE

FIRST = BLOCK_SIZE


def snapshot(number: int, position: int | None = None) -> SnapshotEntry:
    return SnapshotEntry(UUID(int=number), 1 << 20, number if position is None else position, 1000 + number)


def store(number: int) -> StoreEntry:
    return StoreEntry(UUID(int=number), 0x10000, 0x14000, 0x18000, 0x1C000, 0x20000, 5, 6, 7)


def empty(block_count: int = 2) -> MemoryStore:
    device = MemoryStore((1 + block_count) * BLOCK_SIZE)
    device.write(FIRST, pack_empty_catalog(FIRST, block_count))
    return device


def test_entries_survive_packing() -> None:
    assert SnapshotEntry.parse(snapshot(3).pack()) == snapshot(3)
    assert StoreEntry.parse(store(3).pack()) == store(3)


def test_pairs_lie_in_one_sector_and_63_fit_a_block() -> None:
    offsets = pair_offsets(FIRST)

    assert len(offsets) == 63
    assert all(at // SECTOR_SIZE == (at + 255) // SECTOR_SIZE for at in offsets)


def test_an_empty_catalog_has_no_type_0_entry() -> None:
    data = pack_empty_catalog(FIRST, 2)

    assert {data[at] for start in (0, BLOCK_SIZE) for at in range(start + 128, start + BLOCK_SIZE, 128)} == {FREE}
    assert read_catalog(empty(), FIRST) == []


def test_shadow_copies_are_read_oldest_first_over_all_blocks() -> None:
    device = empty()
    places = [pair_offsets(2 * BLOCK_SIZE)[62], pair_offsets(FIRST)[5]]
    for number, at in zip((1, 2), places, strict=True):
        device.write(at, snapshot(number).pack() + store(number).pack())

    records = read_catalog(device, FIRST)

    assert [(record.snapshot, record.store) for record in records] == [(snapshot(1), store(1)), (snapshot(2), store(2))]
    assert [(record.snapshot_at, record.store_at) for record in records] == [(at, at + 128) for at in places]


def test_a_snapshot_without_store_is_one_stored_elsewhere_and_a_store_without_snapshot_is_left_out() -> None:
    device = empty()
    device.write(FIRST + 128, snapshot(1).pack() + store(2).pack())

    (record,) = read_catalog(device, FIRST)

    assert record.store is None


def test_a_type_0_entry_is_skipped() -> None:
    device = empty()
    device.write(FIRST + 128, bytes(256))
    device.write(FIRST + 512, snapshot(1).pack() + store(1).pack())

    assert len(read_catalog(device, FIRST)) == 1


def test_an_unknown_entry_type_is_damage() -> None:
    device = empty()
    device.write(FIRST + 128, b"\x09")

    with pytest.raises(VolumeDamagedError, match="catalog entry at offset 0x4080: expected type 0 to 3, found 9"):
        read_catalog(device, FIRST)


@pytest.mark.parametrize("entry", [snapshot(1).pack(), store(1).pack()])
def test_a_store_id_that_occurs_twice_is_damage(entry: bytes) -> None:
    device = empty()
    device.write(FIRST + 128, entry * 2)

    with pytest.raises(VolumeDamagedError, match="a store id that occurs once"):
        read_catalog(device, FIRST)


def test_a_pending_pair_is_free_to_readers_and_complete_to_its_writer() -> None:
    device = empty()
    at = pair_offsets(2 * BLOCK_SIZE)[1]
    device.write(at, snapshot(1).pack(FREE) + store(1).pack(FREE))

    assert read_catalog(device, FIRST) == []
    (record,) = read_pending(device, FIRST)
    assert (record.snapshot, record.store, record.snapshot_at) == (snapshot(1), store(1), at)

    device.write(at, FREE_PAIR)
    assert read_pending(device, FIRST) == []


def test_slots_are_handed_out_from_the_front_and_end_some_time() -> None:
    slots = CatalogSlots(empty(9), FIRST)
    every = [at for index in range(9) for at in pair_offsets(FIRST + index * BLOCK_SIZE)]

    assert slots.free_pair([every[0], every[2]]) == every[1]
    assert len(every) >= 512
    with pytest.raises(AssertionError, match="567 slots"):
        slots.free_pair(every)
