"""The side-car: every saved block has a digest that survives a restart, and a bad disk is found by it."""

from __future__ import annotations

import random

import pytest

from tests.providers.kit import BLOCK, PERSISTENT, VOLATILE, DiffAreaScene, read_with_dissect, read_with_libvshadow
from tests.providers.world import Machine, on_machine, put
from vss.volumes import FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss_providers.digests import (
    ENTRIES_PER_BLOCK,
    SideCar,
    digest_of,
    pack_side_car,
    parse_entries,
    read_digests,
    walk_side_car,
    wrong_blocks,
)
from vss_providers.store import Store

SIZE = 40 * BLOCK


def check_digests(scene: DiffAreaScene) -> None:
    for store in scene.area.stack:
        for at in store.saved.values():
            assert store.side_car.digests[at] == digest_of(scene.device.read(at, BLOCK))


@pytest.mark.parametrize("seed", range(6))
def test_every_saved_block_has_its_digest_after_deletions_and_restarts(seed: int) -> None:
    scene = DiffAreaScene(seed=seed)
    for _ in range(5):
        scene.snapshot(scene.random.choice([PERSISTENT, VOLATILE]))
        scene.write_randomly(4, longest=9 * BLOCK)
    scene.delete(scene.area.stack[2])
    check_digests(scene)
    scene.area.settle()

    scene.restart()

    scene.check()
    check_digests(scene)
    assert read_with_libvshadow(scene.image()) == scene.expected
    assert read_with_dissect(scene.image()) == scene.expected


def test_a_side_car_grows_over_several_blocks() -> None:
    count = 2 * ENTRIES_PER_BLOCK + 100
    scene = DiffAreaScene((count + 10) * BLOCK)
    store = scene.snapshot()
    for block in range(1, count + 1):
        scene.write(block * BLOCK, b"x")
    scene.area.settle()

    scene.restart()

    (store,) = scene.area.stack
    assert len(store.side_car.blocks) == 3
    assert len(store.side_car.digests) == count
    assert wrong_blocks(scene.device, store.saved, store.side_car.digests) == []


def test_a_flipped_bit_in_a_saved_block_is_found_and_named() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        (first,) = await machine.create()
        (second,) = await machine.create()
        await put(volume, "/file", b"after")
        area = machine.provider.diff_area(volume)
        block, at = next(iter(sorted(area.stack[1].saved.items())))
        assert machine.provider.verify(first) == machine.provider.verify(second) == []
        byte = volume.raw_store.read(at + 77, 1)[0]
        volume.raw_store.write(at + 77, bytes([byte ^ 4]))

        # The block was saved in the newer store and belongs to both shadow copies.
        assert machine.provider.verify(first) == machine.provider.verify(second) == [(block * BLOCK, at)]
        await machine.provider.close()
        await machine.restart()
        assert machine.provider.verify(first) == [(block * BLOCK, at)]

    on_machine(story)


def test_a_side_car_that_cannot_be_written_costs_no_shadow_copy() -> None:
    device = FaultyStore(MemoryStore(SIZE))
    scene = DiffAreaScene(SIZE, device=device)
    store = scene.snapshot()
    scene.write(BLOCK, b"x")
    device.arm(StoreFault(StoreEffect.WRITE_ERROR, store.side_car.blocks[0], BLOCK))
    scene.area.settle()
    scene.write(2 * BLOCK, b"y")
    scene.area.settle()

    scene.restart()

    scene.check()
    (store,) = scene.area.stack
    assert len(store.side_car.digests) == 1


def test_a_store_without_a_side_car_is_read_and_goes_on_without() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()
    scene.device.write(store.side_car.blocks[0], bytes(BLOCK))

    scene.restart()
    (store,) = scene.area.stack
    assert store.side_car.blocks == []
    scene.write(BLOCK, b"x")
    scene.area.settle()
    scene.check()
    assert len(store.side_car.digests) == 1


def test_walking_stops_at_what_is_no_side_car() -> None:
    scene = DiffAreaScene()
    device, owner = scene.device, scene.guid()
    first, second = 5 * BLOCK, 7 * BLOCK
    device.write(first, pack_side_car(owner, first))
    device.write(first + 40, second.to_bytes(8, "little"))
    device.write(second, pack_side_car(owner, second, digest_of(b"").to_bytes(8, "little") + bytes(8)))

    assert [at for at, _ in walk_side_car(device, owner, first)] == [first, second]
    assert list(walk_side_car(device, scene.guid(), first)) == []
    device.write(second + 40, first.to_bytes(8, "little"))
    assert [at for at, _ in walk_side_car(device, owner, first)] == [first, second]
    for end in (3, SIZE * 9):
        device.write(second + 40, end.to_bytes(8, "little"))
        assert [at for at, _ in walk_side_car(device, owner, first)] == [first, second]


def test_any_bytes_are_walked_without_an_error() -> None:
    source = random.Random(1)
    for _ in range(300):
        device = MemoryStore(4 * BLOCK, content=source.randbytes(4 * BLOCK))
        owner = DiffAreaScene().guid()
        device.write(BLOCK, pack_side_car(owner, BLOCK, source.randbytes(64)))
        device.write(BLOCK + 40, source.choice([0, BLOCK, 2 * BLOCK, 5 * BLOCK]).to_bytes(8, "little"))
        assert len(read_digests(device, owner, BLOCK)) <= 4


def test_digests_of_other_blocks_are_not_taken_up() -> None:
    scene = DiffAreaScene()
    owner = scene.guid()
    entry = (3 * BLOCK).to_bytes(8, "little") + (99).to_bytes(8, "little")
    scene.device.write(BLOCK, pack_side_car(owner, BLOCK, entry))
    side_car = SideCar(scene.device.write, lambda: 0, owner)
    side_car.load(scene.device, BLOCK, [])

    assert list(parse_entries(scene.device.read(BLOCK, BLOCK))) == [(3 * BLOCK, 99)]
    assert side_car.digests == {}
    assert side_car.blocks == [BLOCK]


def test_saving_the_short_way_and_the_long_way_is_the_same() -> None:
    images = []
    for durable in (True, False):
        scene = DiffAreaScene(is_durable=durable, seed=4)
        scene.snapshot(PERSISTENT)
        scene.write_randomly(30, longest=3 * BLOCK)
        scene.check()
        images.append(scene.image())

    assert images[0] == images[1]


def test_an_error_on_the_short_way_gives_up_the_shadow_copies_only() -> None:
    device = FaultyStore(MemoryStore(SIZE))
    scene = DiffAreaScene(SIZE, device=device)
    store: Store = scene.snapshot()
    scene.write(BLOCK, b"x")
    device.arm(StoreFault(StoreEffect.WRITE_ERROR, SIZE, skip=1))
    scene.write(2 * BLOCK, b"y")

    assert scene.area.stack == []
    assert "copy-on-write failed" in store.lost
    assert scene.device.read(2 * BLOCK, 1) == b"y"
    assert [each.event_id for each in scene.events] == [14]


def test_a_start_takes_no_side_car_block_for_free() -> None:
    scene = DiffAreaScene(1200 * BLOCK)
    store = scene.snapshot()
    count = ENTRIES_PER_BLOCK + 1
    scene.write(BLOCK, bytes(count * BLOCK))
    scene.area.settle()
    assert len(store.side_car.blocks) == 2
    scene.restart()
    scene.write((count + 2) * BLOCK, bytes(60 * BLOCK))
    scene.area.settle()
    scene.restart()

    (store,) = scene.area.stack

    assert len(store.side_car.digests) == count + 60
    scene.check()
