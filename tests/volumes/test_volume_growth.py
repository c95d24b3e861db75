"""Growth of a volume: files stay, the new room is used, shadow copies refuse it, power loss leaves the old or the new size."""

from __future__ import annotations

import asyncio

import pytest

from tests.providers.kit import BLOCK, read_with_dissect, read_with_libvshadow, take
from tests.volumes.kit import ID, get, put
from vss.errors import BadStateError, InvalidArgumentError, VolumeError, VolumeFullError, VolumeWriteError
from vss.ports import Ports
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss.volumes.boot_record import volume_size_of
from vss.volumes.extent_core import ExtentCore
from vss.volumes.fault_store import copy_of
from vss_providers.clone import CloneProvider
from vss_providers.copy_on_write import CopyOnWriteProvider

OLD, NEW = 256 * 1024, 1 << 20


def test_files_stay_and_the_new_room_is_used_and_outlives_a_restart() -> None:
    async def main(ports: Ports) -> None:
        store = MemoryStore(OLD)
        volume = BlockVolume.format(ports, "D:", store, volume_id=ID)
        await put(volume, "/kept", b"k" * 5000)
        with pytest.raises(VolumeFullError):
            await put(volume, "/large", b"l" * (NEW // 2))
        before = volume.files.free_bytes

        await volume.grow(NEW)

        assert volume.size_bytes == NEW == volume_size_of(store) == store.size_bytes
        assert volume.files.free_bytes == before + NEW - OLD
        await put(volume, "/large", b"l" * (NEW // 2))
        for each in (volume, BlockVolume.mount(ports, "D:", store)):
            assert each.size_bytes == NEW
            assert await get(each, "/kept") == b"k" * 5000
            assert await get(each, "/large") == b"l" * (NEW // 2)

    run(main)


def test_an_open_file_and_uncommitted_changes_live_through_growth() -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume.format(ports, "D:", store := MemoryStore(OLD), volume_id=ID)
        file = await volume.files.open("/open", create=True)
        await file.pwrite(0, b"before")
        await volume.grow(NEW)
        await file.pwrite(6, b" after")
        await volume.files.sync()
        assert await get(BlockVolume.mount(ports, "D:", store), "/open") == b"before after"

    run(main)


def test_what_stood_behind_the_volume_is_blank_afterwards() -> None:
    async def main(ports: Ports) -> None:
        store = MemoryStore(2 * NEW)
        volume = BlockVolume.format(ports, "D:", store, volume_id=ID, size_bytes=OLD)
        store.write(OLD, b"\xee" * NEW)
        await volume.grow(NEW)
        assert store.read(OLD, NEW - OLD - 512) == bytes(NEW - OLD - 512)
        assert store.read(NEW, OLD) == b"\xee" * OLD

    run(main)


@pytest.mark.parametrize("size", [OLD - 512, NEW + 1])
def test_a_size_that_is_none_changes_nothing(size: int) -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume.format(ports, "D:", MemoryStore(OLD), volume_id=ID)
        with pytest.raises(InvalidArgumentError, match="volume D: expected a size of at least 262144 bytes in whole sectors"):
            await volume.grow(size)
        assert volume.raw_store.size_bytes == OLD

    run(main)


def test_growth_waits_while_writes_are_held() -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume.format(ports, "D:", MemoryStore(OLD), volume_id=ID)
        await volume.flush_and_hold(10)
        growth = asyncio.ensure_future(volume.grow(NEW))
        await ports.clock.sleep(1)
        assert volume.size_bytes == OLD
        await volume.release_writes()
        await growth
        assert volume.size_bytes == NEW

    run(main)


def test_a_volume_without_a_file_system_and_a_lost_one() -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume(ports, "D:", MemoryStore(OLD), volume_id=ID)
        await volume.grow(NEW)
        assert volume.size_bytes == NEW
        volume.lose()
        with pytest.raises(VolumeError, match="lost"):
            await volume.grow(2 * NEW)

    run(main)


def test_a_read_only_file_system_does_not_grow() -> None:
    store = MemoryStore(OLD)
    ExtentCore.format(store, volume_id=ID)
    with pytest.raises(VolumeWriteError, match="read-only"):
        ExtentCore.mount_read_only(store).grow(NEW)


def test_shadow_copies_and_their_storage_refuse_it_and_can_be_made_afterwards() -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume.format(ports, "D:", MemoryStore(OLD), volume_id=ID)
        provider = CopyOnWriteProvider(ports)
        snapshot_id = await take(provider, volume, 1)
        with pytest.raises(BadStateError, match="volume D: cannot grow: it has shadow copy storage"):
            await volume.grow(NEW)
        await provider.delete_snapshot(snapshot_id)
        with pytest.raises(BadStateError, match="storage"):
            await volume.grow(NEW)
        await provider.delete_storage(volume)

        await volume.grow(NEW)

        await put(volume, "/large", b"l" * (NEW // 2))
        expected = volume.device.read(0, NEW)
        snapshot_id = await take(provider, volume, 2)
        await put(volume, "/large", b"m" * (NEW // 2))
        found = provider.open_device(snapshot_id).read(0, NEW)
        first = 0x1E00, 0x2000  # the header of the storage
        assert found[: first[0]] + found[first[1] :] == expected[: first[0]] + expected[first[1] :]

    run(main)


def test_a_mirror_refuses_it() -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume.format(ports, "D:", MemoryStore(OLD), volume_id=ID)
        await take(CloneProvider(ports), volume, 1)
        with pytest.raises(BadStateError, match="a provider follows its writes"):
            await volume.grow(NEW)
        assert volume.size_bytes == OLD

    run(main)


def test_other_readers_read_shadow_copies_made_after_growth() -> None:
    async def main(ports: Ports) -> None:
        store = MemoryStore(OLD)
        volume = BlockVolume.format(ports, "D:", store, volume_id=ID)
        await volume.grow(NEW)
        await put(volume, "/large", b"l" * (NEW // 2))
        provider = CopyOnWriteProvider(ports)
        snapshot_id = await take(provider, volume, 1)
        await put(volume, "/large", b"m" * (NEW // 2))
        expected = provider.open_device(snapshot_id).read(0, NEW)
        assert b"l" * BLOCK in expected
        image = store.read(0, store.size_bytes)
        assert list(read_with_libvshadow(image).values()) == [expected]
        assert list(read_with_dissect(image).values()) == [expected]

    run(main)


def test_power_loss_at_every_write_of_growth_leaves_the_old_or_the_new_size_with_all_files() -> None:
    judged: list[tuple[int, int]] = []

    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(OLD))
        volume = BlockVolume.format(ports, "D:", store, volume_id=ID)
        await put(volume, "/kept", b"k" * 5000)

        states = [store.after_power_loss(state) for state in store.power_loss_states(subset_max=3, torn_max=4)]
        flush = store.flush

        def flush_and_judge() -> None:
            states.extend(store.after_power_loss(state) for state in store.power_loss_states(subset_max=3, torn_max=4))
            flush()

        store.flush = flush_and_judge  # type: ignore[method-assign]
        await volume.grow(NEW)
        for state in [*states, copy_of(store)]:
            mounted = BlockVolume.mount(ports, "D:", state)
            assert await get(mounted, "/kept") == b"k" * 5000
            assert state.read(mounted.size_bytes - 512, 512) == state.read(0, 512)  # other readers look for the second one
            judged.append((mounted.size_bytes, mounted.files.free_bytes))
            await mounted.grow(NEW)  # what was cut off is ended, what was not begun is done
            await put(mounted, "/large", b"l" * (NEW // 2))
            again = BlockVolume.mount(ports, "D:", state)
            assert again.size_bytes == NEW
            assert await get(again, "/large") == b"l" * (NEW // 2)
            assert await get(again, "/kept") == b"k" * 5000

    run(main)
    assert {size for size, _ in judged} == {OLD, NEW}
    assert len({free for size, free in judged if size == NEW}) == 2  # the file system follows one flush later


@pytest.mark.parametrize("number", range(4))
def test_a_device_that_fails_in_the_middle_leaves_a_volume_that_works(number: int) -> None:
    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(OLD))
        volume = BlockVolume.format(ports, "D:", store, volume_id=ID)
        await put(volume, "/kept", b"k" * 5000)
        flush, left = store.flush, [number]

        def failing_flush() -> None:
            left[0] -= 1
            if left[0] < 0:
                store.arm(StoreFault(StoreEffect.FLUSH_ERROR))
            flush()

        store.flush = failing_flush  # type: ignore[method-assign]
        with pytest.raises(VolumeWriteError):
            await volume.grow(NEW)
        store.flush = flush  # type: ignore[method-assign]
        store.disarm()
        assert volume.size_bytes in (OLD, NEW)
        await put(volume, "/more", b"m" * 5000)
        await volume.grow(NEW)
        await put(volume, "/large", b"l" * (NEW // 2))
        mounted = BlockVolume.mount(ports, "D:", copy_of(store))
        assert mounted.size_bytes == NEW
        assert [await get(mounted, path) for path in ("/kept", "/more")] == [b"k" * 5000, b"m" * 5000]

    run(main)
