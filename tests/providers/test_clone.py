"""The clone provider: mirrors are complete, catch up, and stand alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.errors import (
    InsufficientStorageError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    VolumeFullError,
    VolumeNotSupportedError,
    VolumeReadError,
    VolumeWriteError,
)
from vss.ids import Guid
from vss.ports import Ports
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss.volumes.block_store import BlockStore
from vss_providers.clone import CloneProvider

SIZE = (3 << 20) + 1024
SET, OTHER_SET, FIRST, SECOND = (Guid(int=number) for number in (0xA0, 0xB0, 1, 2))


class World:
    """Ports, a provider and one volume with a file."""

    def __init__(self, ports: Ports, **options: Any) -> None:
        self.ports = ports
        self.provider = CloneProvider(ports, **options)
        self.store = FaultyStore(MemoryStore(SIZE, name="D:"))
        self.volume = BlockVolume.format(ports, "D:", self.store, volume_id=Guid(int=7))

    async def put(self, data: bytes, path: str = "/file") -> None:
        file = await self.volume.files.open(path, write=True, create=True)
        await file.pwrite(0, data)
        await file.sync()

    async def prepare(self, set_id: Guid = SET, snapshot_id: Guid = FIRST) -> None:
        await self.provider.begin_prepare_snapshot(set_id, snapshot_id, self.volume, 0)
        await self.provider.end_prepare_snapshots(set_id)

    async def commit(self, set_id: Guid = SET) -> None:
        await self.provider.pre_commit_snapshots(set_id)
        await self.volume.flush_and_hold(10.0)
        await self.provider.commit_snapshots(set_id)
        await self.volume.release_writes()
        await self.provider.post_commit_snapshots(set_id, 1)

    async def finish(self, set_id: Guid = SET) -> None:
        await self.provider.pre_final_commit_snapshots(set_id)
        await self.provider.post_final_commit_snapshots(set_id)

    async def read(self, snapshot_id: Guid = FIRST) -> bytes:
        files = await self.provider.open_snapshot(snapshot_id)
        file = await files.open("/file")
        return await file.pread(0, file.size_bytes)


def in_world(story: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def main(ports: Ports) -> None:
        world = World(ports, **options)
        await world.put(b"before")
        await story(world)

    run(main)


def test_a_clone_shows_the_files_as_they_were_and_needs_the_volume_no_more() -> None:
    async def story(world: World) -> None:
        await world.prepare()
        await world.commit()
        await world.finish()
        await world.put(b"after!")
        assert await world.read() == b"before"

        world.volume.lose()

        assert await world.read() == b"before"
        (properties,) = await world.provider.query()
        assert properties.snapshot_id == FIRST
        assert properties.attributes == 0x40000
        assert properties.snapshots_in_set == 1
        assert properties.size_bytes == SIZE
        assert not await world.provider.is_volume_supported(world.volume, 0)

    in_world(story)


def test_what_changes_while_the_mirror_is_made_is_copied_again() -> None:
    async def story(world: World) -> None:
        await world.volume.write(SIZE - 2048, b"\x01" * 512)
        preparing = asyncio.ensure_future(world.prepare())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await world.put(b"during")
        await preparing
        await world.put(b"frozen")
        await world.provider.pre_commit_snapshots(SET)
        await world.put(b"latest")
        await world.volume.write(SIZE - 2048, bytes(512))
        await world.volume.flush_and_hold(10.0)
        content = world.store.read(0, SIZE)
        await world.provider.commit_snapshots(SET)
        mirror = world.provider._set.clones[FIRST].mirror.store  # type: ignore[union-attr]

        assert mirror.read(0, SIZE) == content

        await world.volume.release_writes()
        await world.provider.post_commit_snapshots(SET, 1)
        await world.finish()
        assert await world.read() == b"latest"

    in_world(story)


def test_a_clone_takes_writes_between_pre_final_and_post_final_commit_only() -> None:
    async def story(world: World) -> None:
        await world.prepare()
        await world.commit()
        with pytest.raises(NotFoundError):
            await world.provider.open_snapshot(FIRST)
        await world.provider.pre_final_commit_snapshots(SET)
        files = await world.provider.open_snapshot(FIRST)
        file = await files.open("/file", write=True)
        await file.pwrite(0, b"healed")
        await files.sync()
        await world.provider.post_final_commit_snapshots(SET)

        async def write_late() -> None:
            await file.pwrite(0, b"late")
            await file.sync()

        with pytest.raises(VolumeWriteError, match="read-only since its final commit"):
            await write_late()
        assert await world.read() == b"healed"

    in_world(story)


@pytest.mark.parametrize("steps", range(6))
def test_aborting_twice_at_any_stage_leaves_nothing(steps: int) -> None:
    async def story(world: World) -> None:
        provider = world.provider
        await provider.begin_prepare_snapshot(SET, FIRST, world.volume, 0)
        calls: list[Callable[[], Awaitable[None]]] = [
            lambda: provider.end_prepare_snapshots(SET),
            lambda: provider.pre_commit_snapshots(SET),
            lambda: provider.commit_snapshots(SET),
            lambda: provider.post_commit_snapshots(SET, 1),
            lambda: provider.pre_final_commit_snapshots(SET),
        ]
        for call in calls[:steps]:
            await call()
        if steps == 5:
            await provider.open_snapshot(FIRST)

        await provider.abort_snapshots(SET)
        await provider.abort_snapshots(SET)

        assert await provider.query() == []
        await world.prepare()
        await world.commit()
        await world.finish()
        await provider.abort_snapshots(SET)
        assert await world.read() == b"before"

    in_world(story)


def test_an_abort_ends_a_long_preparation() -> None:
    async def story(world: World) -> None:
        preparing = asyncio.ensure_future(world.prepare())
        await asyncio.sleep(0)
        await world.provider.abort_snapshots(SET)

        with pytest.raises(ProviderVetoError, match="aborted while it was being prepared"):
            await preparing

    in_world(story)


def test_a_new_set_means_that_an_unfinished_one_is_dead() -> None:
    async def story(world: World) -> None:
        await world.prepare(SET, FIRST)
        await world.prepare(OTHER_SET, SECOND)
        with pytest.raises(ProviderError, match="found 00000000-0000-0000-0000-0000000000a0"):
            await world.provider.pre_commit_snapshots(SET)
        await world.commit(OTHER_SET)
        await world.finish(OTHER_SET)
        assert await world.read(SECOND) == b"before"

    in_world(story)


def test_calls_out_of_order_and_volumes_twice_are_vetoed() -> None:
    async def story(world: World) -> None:
        await world.provider.begin_prepare_snapshot(SET, FIRST, world.volume, 0)
        with pytest.raises(ProviderVetoError, match="volume D: is in the set already"):
            await world.provider.begin_prepare_snapshot(SET, SECOND, world.volume, 0)
        with pytest.raises(ProviderVetoError, match="expected CommitSnapshots in stage PRECOMMITTED, found PREPARING"):
            await world.provider.commit_snapshots(SET)

    in_world(story)


@pytest.mark.parametrize("attributes", [0x9, 0x20, 0x20000])
def test_attributes_that_cannot_be_honoured_are_refused(attributes: int) -> None:
    async def story(world: World) -> None:
        assert not await world.provider.is_volume_supported(world.volume, attributes)
        with pytest.raises(VolumeNotSupportedError):
            await world.provider.begin_prepare_snapshot(SET, FIRST, world.volume, attributes)

    in_world(story)


def test_no_room_for_a_mirror_is_said_in_the_first_call() -> None:
    def refuse(name: str, size_bytes: int) -> BlockStore:
        raise VolumeFullError(f"{name}: no space left on device")

    async def story(world: World) -> None:
        with pytest.raises(InsufficientStorageError, match="clone 1 of D:: no space left"):
            await world.prepare()

    in_world(story, make_mirror=refuse)


def test_a_device_that_fails_while_it_is_copied_is_a_veto() -> None:
    async def story(world: World) -> None:
        world.store.arm(StoreFault(StoreEffect.READ_ERROR, 1 << 20))
        with pytest.raises(ProviderVetoError, match="input/output error"):
            await world.prepare()
        await world.provider.abort_snapshots(SET)

        await world.prepare()
        await world.put(b"x")
        world.store.arm(StoreFault(StoreEffect.READ_ERROR))
        with pytest.raises(ProviderVetoError, match="could not be copied"):
            await world.provider.pre_commit_snapshots(SET)

    in_world(story)


def test_a_volume_lost_since_the_set_was_prepared_fails_it() -> None:
    async def story(world: World) -> None:
        await world.prepare()
        world.volume.lose()
        with pytest.raises(ProviderVetoError, match="lost or replaced"):
            await world.provider.pre_commit_snapshots(SET)

    in_world(story)


def test_deleted_clones_and_those_of_a_closed_provider_are_gone() -> None:
    async def story(world: World) -> None:
        for set_id, snapshot_id in ((SET, FIRST), (OTHER_SET, SECOND)):
            await world.prepare(set_id, snapshot_id)
            await world.commit(set_id)
            await world.finish(set_id)
        files = await world.provider.open_snapshot(FIRST)
        file = await files.open("/file")
        await world.provider.delete_snapshot(FIRST)
        with pytest.raises(NotFoundError):
            await world.provider.delete_snapshot(FIRST)
        with pytest.raises(VolumeReadError):
            await file.pread(0, 6)
        await world.prepare(SET, FIRST)

        await world.provider.close()

        assert await world.provider.query() == []

    in_world(story)
