"""Mirrors outside sets: established ahead, resynchronised in both directions, broken off; and the window they must fit."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.providers.world import SIZE, Machine, get, on_machine, put
from vss.coordinator import Coordinator
from vss.documents import BackupType
from vss.errors import (
    InsufficientStorageError,
    InvalidArgumentError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    VolumeFullError,
    VolumeReadError,
    VolumeWriteError,
    VssError,
)
from vss.events import BlocksCopied, Event
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.ports import Ports
from vss.roles.provider import BreakOptions
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss.volumes.block_store import BlockStore
from vss_providers.clone import CloneProvider

VOLATILE = 0
MIB = 1 << 20


def copied(events: list[Event]) -> list[tuple[str, int, int]]:
    return [(each.work, each.done_bytes, each.total_bytes) for each in events if isinstance(each, BlocksCopied)]


def test_a_mirror_that_was_established_ahead_is_only_brought_up_to_date() -> None:
    events: list[Event] = []

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await machine.provider.establish(volume)
        await machine.provider.establish(volume)
        assert await machine.provider.query() == []
        await put(volume, "/file", b"changed")
        (snapshot_id,) = await machine.create(VOLATILE)
        await put(volume, "/file", b"after")
        assert await machine.read(snapshot_id) == b"changed"
        (second,) = await machine.create(VOLATILE)
        assert await machine.read(second) == b"after"

    on_machine(story, make=CloneProvider, events=events)

    steps = copied(events)
    assert steps[:2] == [("establish", 0, SIZE), ("establish", SIZE, SIZE)]
    assert steps[2][0] == "resync"
    assert steps[3][1] == steps[3][2] < SIZE // 4
    assert [work for work, _, _ in steps[4:]] == ["establish", "establish"]


def test_a_clone_is_brought_up_to_date_and_split_again() -> None:
    events: list[Event] = []

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        (first,) = await machine.create(VOLATILE)
        await put(volume, "/file", b"after")
        await machine.provider.resync_clone(first)
        assert await machine.provider.query() == []
        await put(volume, "/file", b"later")
        (second,) = await machine.create(VOLATILE)
        assert await machine.read(second) == b"later"
        await machine.provider.establish(volume)
        await machine.provider.resync_clone(second)
        (third,) = await machine.create(VOLATILE)
        assert await machine.read(third) == b"later"
        with pytest.raises(NotFoundError):
            await machine.provider.resync_clone(first)
        await machine.provider.establish(volume)
        await machine.provider.close()

    on_machine(story, make=CloneProvider, events=events)

    assert [work for work, done, _ in copied(events) if not done][:3] == ["establish", "resync", "resync"]


def test_the_volume_is_brought_back_to_a_clone_by_its_changed_blocks() -> None:
    events: list[Event] = []

    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        assert machine.provider.resync_status(volume) is None
        set_id, (snapshot_id,) = await machine.prepare(VOLATILE)
        await machine.provider.commit_snapshots(set_id)
        await machine.provider.post_commit_snapshots(set_id, 1)
        await machine.provider.pre_final_commit_snapshots(set_id)
        files = await machine.provider.open_snapshot(snapshot_id)
        file = await files.open("/recovered", write=True, create=True)
        await file.pwrite(0, b"by its writer")
        await file.sync()
        await files.sync()
        await machine.provider.post_final_commit_snapshots(set_id)
        await put(volume, "/file", b"after")

        await machine.provider.resync_volume(snapshot_id)

        assert await get(volume.files, "/file") == b"before D:"
        assert await get(volume.files, "/recovered") == b"by its writer"
        status = machine.provider.resync_status(volume)
        assert status is not None
        assert status.is_finished
        assert status.total_bytes < SIZE
        await put(volume, "/file", b"again")
        assert await machine.read(snapshot_id) == b"before D:"
        await machine.provider.resync_volume(snapshot_id)
        assert await get(volume.files, "/file") == b"before D:"

    on_machine(story, make=CloneProvider, events=events)

    assert [work for work, done, _ in copied(events) if not done] == ["establish", "restore", "restore"]


def test_a_lost_disk_is_filled_from_a_clone_as_a_whole() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        (snapshot_id,) = await machine.create(VOLATILE)
        volume.lose()
        with pytest.raises(ProviderError, match="lost"):
            await machine.provider.resync_volume(snapshot_id)
        with pytest.raises(ProviderVetoError, match="stays as it is"):
            await machine.provider.resync_clone(snapshot_id)
        volume.replace_with_blank()
        await machine.provider.resync_volume(snapshot_id)
        assert await get(volume.files, "/file") == b"before D:"
        volume.lose()
        volume.replace_with_blank()
        await machine.provider.resync_clone(snapshot_id)
        (second,) = await machine.create(VOLATILE)
        assert not await (await machine.provider.open_snapshot(second)).exists("/file")
        await machine.provider.establish(volume)
        volume.lose()
        volume.replace_with_blank()
        (third,) = await machine.create(VOLATILE)
        assert not await (await machine.provider.open_snapshot(third)).exists("/file")

    on_machine(story, make=CloneProvider)


def test_while_a_volume_is_resynchronised_its_clone_stays() -> None:
    async def main(ports: Ports) -> None:
        machine = Machine(ports, CloneProvider)
        volume = await machine.add("D:", size_bytes=6 * MIB)
        await put(volume, "/big", b"a" * 3 * MIB)
        (snapshot_id,) = await machine.create(VOLATILE)
        set_id = (await machine.provider.query())[0].snapshot_set_id
        await put(volume, "/big", b"b" * 3 * MIB)
        file = await volume.files.open("/big", write=True)
        await file.pwrite(0, b"c" * 3 * MIB)
        with pytest.raises(ProviderError, match="in use"):
            await machine.provider.resync_volume(snapshot_id)
        task = asyncio.ensure_future(machine.provider.resync_volume(snapshot_id, force_dismount=True))
        await ports.clock.sleep(0)
        await ports.clock.sleep(0)
        for call in (
            machine.provider.delete_snapshot(snapshot_id),
            machine.provider.resync_clone(snapshot_id),
            machine.provider.resync_volume(snapshot_id),
            machine.provider.break_snapshot_set(set_id),
        ):
            with pytest.raises(ProviderError) as caught:
                await call
            assert caught.value.hresult is HResult.VSS_E_RESYNC_IN_PROGRESS
        task.cancel()
        await machine.provider.close()
        assert await get(volume.files, "/big") == b"a" * 3 * MIB

    run(main)


def test_a_set_of_clones_is_broken_off() -> None:
    async def story(machine: Machine) -> None:
        await machine.create(VOLATILE)
        found = await machine.provider.query()
        with pytest.raises(InvalidArgumentError):
            await machine.provider.break_snapshot_set(found[0].snapshot_set_id, BreakOptions.MASK_LUNS)
        with pytest.raises(NotFoundError):
            await machine.provider.break_snapshot_set(Guid(int=77))
        broken = await machine.provider.break_snapshot_set(found[0].snapshot_set_id, BreakOptions.MAKE_READ_WRITE)
        assert [each.original_volume for each in broken] == ["D:", "E:"]
        assert await machine.provider.query() == []
        device = broken[0].device
        assert device is not None
        device.write(0, b"mine")
        assert device.read(0, 4) == b"mine"
        await machine.create(VOLATILE)
        (again,) = {each.snapshot_set_id for each in await machine.provider.query()}
        read_only = (await machine.provider.break_snapshot_set(again))[0].device
        assert read_only is not None
        with pytest.raises(VolumeWriteError):
            read_only.write(0, b"no")

    on_machine(story, names="DE", make=CloneProvider)


def test_a_clone_that_was_given_back_serves_nothing() -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create(VOLATILE)
        files = await machine.provider.open_snapshot(snapshot_id)
        await machine.provider.resync_clone(snapshot_id)
        with pytest.raises(VolumeReadError):
            await get(files, "/file")

    on_machine(story, make=CloneProvider)


@pytest.mark.parametrize("work", ["establish", "resync"])
def test_a_mirror_that_cannot_be_written_is_given_back(work: str) -> None:
    async def main(ports: Ports) -> None:
        stores: list[FaultyStore] = []

        def make(name: str, size_bytes: int) -> BlockStore:
            stores.append(FaultyStore(MemoryStore(size_bytes, name=name)))
            return stores[-1]

        machine = Machine(ports, lambda ports: CloneProvider(ports, make_mirror=make))
        volume = await machine.add("D:")
        if work == "resync":
            (snapshot_id,) = await machine.create(VOLATILE)
            await put(volume, "/file", b"after")
            stores[0].arm(StoreFault(StoreEffect.FULL))
            with pytest.raises(InsufficientStorageError):
                await machine.provider.resync_clone(snapshot_id)
            assert await machine.provider.query() == []
        else:
            task = asyncio.ensure_future(machine.provider.establish(volume))
            await ports.clock.sleep(0)
            stores[0].arm(StoreFault(StoreEffect.FULL, is_sticky=True))
            await volume.write(SIZE - 4096, b"x" * 512)
            with pytest.raises(InsufficientStorageError):
                await task
        assert await get(volume.files, "/file")
        await machine.provider.establish(volume)
        (again,) = await machine.create(VOLATILE)
        assert await machine.read(again) == await get(volume.files, "/file")

    run(main)


def test_no_room_for_a_mirror_is_said_at_once() -> None:
    def make(name: str, size_bytes: int) -> BlockStore:
        raise VolumeFullError(f"{name}: no room")

    async def story(machine: Machine) -> None:
        with pytest.raises(InsufficientStorageError):
            await machine.provider.establish(machine.volumes[0])

    on_machine(story, make=lambda ports: CloneProvider(ports, make_mirror=make))


@pytest.mark.parametrize("seed", range(4))
def test_mirror_and_volume_agree_whatever_is_written_meanwhile(seed: int) -> None:
    async def main(ports: Ports) -> None:
        source = random.Random(seed)
        machine = Machine(ports, lambda ports: CloneProvider(ports, seconds_per_mib=0.01))
        volume = await machine.add("D:", size_bytes=3 * MIB + 1024)
        is_over = False

        async def write() -> None:
            while not is_over:
                length = source.choice([512, 4096, 70_000])
                at = source.randrange(MIB, volume.size_bytes - 512 - length)
                await volume.write(at, source.randbytes(length))
                await ports.clock.sleep(source.random() * 0.004)

        task = asyncio.ensure_future(write())
        for _ in range(3):
            set_id, (snapshot_id,) = await machine.prepare(VOLATILE)
            await volume.flush_and_hold(10.0)
            content = volume.raw_store.read(0, volume.size_bytes)
            await machine.provider.commit_snapshots(set_id)
            await volume.release_writes()
            await machine.finish(set_id)
            clone = machine.provider._clones[snapshot_id]
            assert clone.device.read(0, volume.size_bytes) == content
            await ports.clock.sleep(0.05)
            if source.random() < 0.5:
                await machine.provider.resync_clone(snapshot_id)
        is_over = True
        await task

    run(main)


def backed_up(seconds_per_mib: float, *, slower_by: float = 1.0) -> tuple[list[Guid], BaseException | None]:
    """Make a set through the coordinator while somebody writes a lot; return the clones that are there, and the error.

    Copying slows down by ``slower_by`` once the set is prepared, as an array does under load.
    """

    async def main(ports: Ports) -> tuple[list[Guid], BaseException | None]:
        coordinator = Coordinator(ports)
        volume = BlockVolume.format(ports, "D:", MemoryStore(16 * MIB, name="D:"), volume_id=Guid(int=1))
        coordinator.add_volume(volume)
        provider = SlowingProvider(ports, seconds_per_mib=seconds_per_mib)
        provider.slower_by = slower_by
        await coordinator.add_provider(provider)
        is_over = False

        async def write() -> None:
            at = 0
            while not is_over:
                at = (at + MIB) % (12 * MIB)
                await volume.write(2 * MIB + at, b"x" * MIB)
                await ports.clock.sleep(0.01)

        error: BaseException | None = None
        task = asyncio.ensure_future(write())
        async with coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.COPY)
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            await session.add_to_snapshot_set("D:", GUID_NULL)
            await session.prepare_for_backup()
            try:
                await session.do_snapshot_set()
            except VssError as caught:
                error = caught
            found = [each.snapshot_id for each in coordinator.snapshots()]
        is_over = True
        await task
        await coordinator.close()
        return found, error

    return run(main)


class SlowingProvider(CloneProvider):
    """A clone provider whose copying gets slower between pre-commit and commit."""

    slower_by = 1.0

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        self._seconds_per_mib *= self.slower_by
        await super().commit_snapshots(snapshot_set_id)


def test_what_is_left_to_mirror_must_fit_the_window() -> None:
    found, error = backed_up(0.02)
    assert error is None
    assert len(found) == 1

    found, error = backed_up(1.5)
    assert found == []
    assert isinstance(error, ProviderVetoError)
    assert "mirroring the remaining 12582912 bytes takes 18.0 s, expected at most 10 s" in error.message


def test_a_window_that_is_lost_while_mirroring_fails_the_set() -> None:
    found, error = backed_up(0.02, slower_by=200)

    assert found == []
    assert isinstance(error, VssError)
    assert error.hresult in (HResult.VSS_E_HOLD_WRITES_TIMEOUT, HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR)


def test_a_volume_that_changed_in_the_hold_vetoes_the_commit() -> None:
    async def story(machine: Machine) -> None:
        set_id, _ = await machine.prepare(VOLATILE)
        (volume,) = machine.volumes
        mirror = next(iter(machine.provider._set.clones.values())).mirror
        machine.provider._seconds_per_mib = 1.0
        mirror.before_write(0, 1)
        task = asyncio.ensure_future(machine.provider.commit_snapshots(set_id))
        await machine.ports.clock.sleep(0)
        mirror.before_write(SIZE // 2, 1)
        with pytest.raises(ProviderVetoError, match="should have been held"):
            await task
        await machine.provider.abort_snapshots(set_id)
        assert volume.raw_store.size_bytes == SIZE

    on_machine(story, make=CloneProvider)
