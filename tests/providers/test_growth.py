"""Growth of the diff area that takes time, and the fault sites of copy-on-write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from tests.providers.kit import BLOCK
from tests.providers.world import PERSISTENT, SIZE, Machine, get, put
from vss.errors import InsufficientStorageError, ProviderVetoError, VssError
from vss.events import ApplicationLogged, Event, SnapshotDeleted
from vss.ids import Guid
from vss.ports import FaultSite, Ports
from vss.simulation import run
from vss.simulation.faults import FaultPlan
from vss.volumes import BlockVolume, FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss_providers.copy_on_write import CopyOnWriteProvider

MIB = 1 << 20
VOLUME_BYTES = 16 * MIB


def on_growing_area(
    story: Callable[[Machine], Awaitable[None]], *, growth_s: float = 0.0, faults: str | FaultSite = "", names: str = "D"
) -> list[int]:
    """Run a story on volumes with a file that fills them; return the numbers that volsnap logged."""
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        machine = Machine(ports, partial(CopyOnWriteProvider, growth_s=growth_s))
        for name in names:
            volume = await machine.add(f"{name}:", size_bytes=VOLUME_BYTES)
            await put(volume, "/big", bytes(12 * MIB))
            await volume.files.sync()
        await story(machine)
        await machine.provider.close()

    run(main, emit=events.append, faults=FaultPlan.parse(faults) if faults and isinstance(faults, str) else faults or None)
    return [each.event_id for each in events if isinstance(each, ApplicationLogged)]


async def overwrite(machine: Machine, count: int, *, pause_s: float = 0.0) -> None:
    """Write to ``count`` MiB of the big file, a block at a time."""
    file = await machine.volumes[0].files.open("/big", write=True)
    for at in range(0, count * MIB, BLOCK):
        await file.pwrite(at, b"x" * BLOCK)
        if pause_s:
            await machine.ports.clock.sleep(pause_s)
    await file.close()


async def has_exact_copy(machine: Machine, snapshot_id: Guid) -> bool:
    return await machine.read(snapshot_id, "/big") == bytes(12 * MIB)


def test_growth_that_keeps_up_is_not_noticed() -> None:
    async def story(machine: Machine) -> None:
        begun = machine.ports.clock.now_ns()
        (snapshot_id,) = await machine.create()
        assert machine.ports.clock.now_ns() - begun == 3_000_000_000
        await overwrite(machine, 6, pause_s=0.1)
        assert await has_exact_copy(machine, snapshot_id)

    assert on_growing_area(story, growth_s=3.0) == []


def test_a_burst_that_is_faster_than_the_growth_costs_all_shadow_copies_of_the_volume() -> None:
    async def story(machine: Machine) -> None:
        await machine.create()
        await machine.create()
        await overwrite(machine, 4)
        assert await machine.provider.query() == []
        assert (await get(machine.volumes[0].files, "/big"))[: 4 * MIB] == b"x" * 4 * MIB

    assert on_growing_area(story, growth_s=3.0) == [25]


def test_a_delayed_growth_is_too_slow_for_a_burst() -> None:
    async def story(machine: Machine) -> None:
        await machine.create()
        await overwrite(machine, 8)
        assert await machine.provider.query() == []

    assert on_growing_area(story, faults="fault diffarea.grow times=always delay=3s") == [25]


def test_a_plan_that_does_not_concern_the_growth_leaves_it_alone() -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create()
        await overwrite(machine, 8)
        assert await has_exact_copy(machine, snapshot_id)

    assert on_growing_area(story, faults='fault diffarea.grow when="volume:X:" times=always delay=3s') == []


class Site:
    """A fault site that does something else at one place."""

    def __init__(self, site: str, error: Exception | None = None) -> None:
        self.site, self.error = site, error

    async def __call__(self, site: str, work: Callable[[], Awaitable[object]], **selectors: str) -> object:
        if site != self.site:
            return await work()
        if self.error is not None:
            raise self.error
        return None


@pytest.mark.parametrize("faults", ["fault diffarea.grow times=always fail code=ENOSPC", "lies", "raises"])
def test_growth_that_fails_is_a_warning_and_then_costs_the_shadow_copies(faults: str) -> None:
    async def story(machine: Machine) -> None:
        await machine.create()
        await overwrite(machine, 8, pause_s=0.001)
        assert await machine.provider.query() == []

    sites = {"lies": Site("diffarea.grow"), "raises": Site("diffarea.grow", RuntimeError("odd"))}
    logged = on_growing_area(story, faults=sites.get(faults, faults))
    assert logged[0] == 24
    assert logged[-1] == 25
    assert set(logged) == {24, 25}


def test_growth_that_fails_once_is_made_up_for() -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create()
        await overwrite(machine, 8, pause_s=0.001)
        assert await has_exact_copy(machine, snapshot_id)

    assert on_growing_area(story, faults="fault diffarea.grow fail code=ENOSPC") == [24]


def test_no_room_to_begin_fails_the_preparation_and_deletes_nothing() -> None:
    async def story(machine: Machine) -> None:
        (first,) = await machine.create()
        await machine.provider.begin_prepare_snapshot(Guid(int=77), Guid(int=78), machine.volumes[0], PERSISTENT)
        with pytest.raises(InsufficientStorageError, match="could not be prepared"):
            await machine.provider.end_prepare_snapshots(Guid(int=77))
        await machine.provider.abort_snapshots(Guid(int=77))
        assert [each.snapshot_id for each in await machine.provider.query()] == [first]

    assert on_growing_area(story, faults='fault diffarea.alloc when="nth:2" fail code=ENOSPC') == []


def test_a_room_that_is_only_said_to_be_there_fails_the_preparation() -> None:
    async def main(ports: Ports) -> None:
        machine = Machine(ports)
        await machine.add("D:")
        with pytest.raises(InsufficientStorageError, match="said to have"):
            await machine.create()

    run(main, faults=Site("diffarea.alloc"))


def test_a_set_that_is_aborted_while_room_is_made_leaves_nothing() -> None:
    async def story(machine: Machine) -> None:
        provider = machine.provider
        await provider.begin_prepare_snapshot(Guid(int=77), Guid(int=78), machine.volumes[0], PERSISTENT)
        ending = asyncio.ensure_future(provider.end_prepare_snapshots(Guid(int=77)))
        await machine.ports.clock.sleep(1.0)
        await provider.abort_snapshots(Guid(int=77))
        with pytest.raises(ProviderVetoError, match="aborted while"):
            await ending
        (snapshot_id,) = await machine.create()
        assert await has_exact_copy(machine, snapshot_id)

    assert on_growing_area(story, growth_s=3.0) == []


def test_copy_on_write_that_fails_costs_the_shadow_copies_and_not_the_write() -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create()
        files = await machine.provider.open_snapshot(snapshot_id)
        await overwrite(machine, 1, pause_s=0.001)
        assert await machine.provider.query() == []
        with pytest.raises(VssError, match="copy-on-write failed"):
            await get(files, "/big")
        assert (await get(machine.volumes[0].files, "/big"))[:MIB] == b"x" * MIB

    assert on_growing_area(story, faults='fault diffarea.cow when="volume:D:" fail') == [14]


class DamagedOnce:
    """Damages what the fifth block is saved as."""

    def __init__(self, damage: Callable[[bytes], bytes]) -> None:
        self.damage, self.count = damage, 0

    async def __call__(self, site: str, work: Callable[[], Awaitable[object]], **selectors: str) -> object:
        self.count += site == "diffarea.cow"
        if site != "diffarea.cow" or self.count != 5:
            return await work()
        assert isinstance(work, partial)
        offset, data = work.args
        damaged = self.damage(data)
        return await work.func(offset, damaged) if damaged else None


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"!" + data[1:], lambda data: data[:512]])
def test_saved_blocks_that_are_damaged_are_found_by_the_digests(damage: Callable[[bytes], bytes]) -> None:
    async def story(machine: Machine) -> None:
        file = await machine.volumes[0].files.open("/big", write=True)
        await file.pwrite(0, b"y" * MIB)
        await file.close()
        await machine.volumes[0].files.sync()
        (snapshot_id,) = await machine.create()
        await overwrite(machine, 1, pause_s=0.001)
        assert len(machine.provider.verify(snapshot_id)) == 1
        content = await machine.read(snapshot_id, "/big")
        assert MIB - BLOCK <= content.count(b"y") < MIB

    assert on_growing_area(story, faults=DamagedOnce(damage)) == []


def test_a_real_failure_of_the_image_to_grow_ahead_is_a_warning() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(SIZE, name="D:"))
        machine = Machine(ports, partial(CopyOnWriteProvider, growth_s=1.0))
        volume = await machine.add("D:", store)
        await machine.create()
        store.arm(StoreFault(StoreEffect.FULL, store.size_bytes, is_sticky=True))
        for number in range(12):
            await put(volume, "/file", bytes([number]) * 8 * BLOCK)
            await put(volume, f"/file{number}", bytes([number]) * 7 * BLOCK)
            await ports.clock.sleep(2.0)
        await machine.provider.close()

    run(main, emit=events.append)

    assert 24 in [each.event_id for each in events if isinstance(each, ApplicationLogged)]


def test_closing_ends_a_growth_that_is_under_way() -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create()
        file = await machine.volumes[0].files.open("/big", write=True)
        await file.pwrite(0, b"x" * 40 * BLOCK)
        assert await has_exact_copy(machine, snapshot_id)

    assert on_growing_area(story, growth_s=3.0) == []


def test_a_saved_block_whose_shadow_copy_is_gone_is_passed_over() -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create()
        file = await machine.volumes[0].files.open("/big", write=True)
        await file.pwrite(0, b"x" * 4 * BLOCK)
        await machine.provider.delete_snapshot(snapshot_id)
        await machine.ports.clock.sleep(1.0)

    assert on_growing_area(story, faults="fault diffarea.cow times=always fail") == []


def test_growth_on_another_volume_takes_time_as_well() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        machine = Machine(ports, partial(CopyOnWriteProvider, growth_s=3.0))
        data = await machine.add("D:", size_bytes=VOLUME_BYTES)
        storage: BlockVolume = await machine.add("F:")
        machine.volumes = [data]
        await put(data, "/big", bytes(12 * MIB))
        await data.files.sync()
        await machine.provider.add_storage(data, storage, 0)
        await machine.create()
        await overwrite(machine, 8)
        assert await machine.provider.query() == []
        await machine.provider.close()

    run(main, emit=events.append)

    assert [each.event_id for each in events if isinstance(each, ApplicationLogged)] == [25]
    assert any(isinstance(each, SnapshotDeleted) for each in events)
