"""A machine for provider tests: ports, a copy-on-write provider, volumes with a file each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from vss.events import Event
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.volume import FileSystem
from vss.simulation import run
from vss.volumes import BlockVolume, MemoryStore
from vss.volumes.block_store import BlockStore
from vss_providers.copy_on_write import CopyOnWriteProvider

SIZE = 2 << 20
VOLATILE, PERSISTENT = 0x0, 0x9


class Machine:
    """Volumes and one provider. ``make`` builds the provider, so that a restart can do so again."""

    def __init__(self, ports: Ports, make: Callable[[Ports], Any] = CopyOnWriteProvider) -> None:
        self.ports = ports
        self.make = make
        self.provider: Any = make(ports)
        self.volumes: list[BlockVolume] = []
        self._count = 0

    async def add(self, name: str, store: BlockStore | None = None, size_bytes: int = SIZE) -> BlockVolume:
        store = store or MemoryStore(size_bytes, name=name)
        volume = BlockVolume.format(self.ports, name, store, volume_id=Guid(int=ord(name[0])), size_bytes=size_bytes)
        await put(volume, "/file", b"before " + name.encode())
        await self.provider.attach(volume)
        self.volumes.append(volume)
        return volume

    async def restart(self) -> None:
        """The machine starts again from what is on the stores."""
        self.provider = self.make(self.ports)
        self.volumes = [BlockVolume.mount(self.ports, each.name, each.raw_store) for each in self.volumes]
        for volume in self.volumes:
            await self.provider.attach(volume)

    async def prepare(self, attributes: int = PERSISTENT) -> tuple[Guid, list[Guid]]:
        """Bring a set of all volumes to the point before commit; return its id and those of its shadow copies."""
        self._count += 1
        set_id = Guid(int=self._count << 16)
        ids = [Guid(int=(self._count << 16) + 1 + index) for index in range(len(self.volumes))]
        for snapshot_id, volume in zip(ids, self.volumes, strict=True):
            await self.provider.begin_prepare_snapshot(set_id, snapshot_id, volume, attributes)
        await self.provider.end_prepare_snapshots(set_id)
        await self.provider.pre_commit_snapshots(set_id)
        return set_id, ids

    async def finish(self, set_id: Guid) -> None:
        await self.provider.post_commit_snapshots(set_id, len(self.volumes))
        await self.provider.pre_final_commit_snapshots(set_id)
        await self.provider.post_final_commit_snapshots(set_id)

    async def create(self, attributes: int = PERSISTENT) -> list[Guid]:
        """Make a set of all volumes; return the ids of its shadow copies."""
        set_id, ids = await self.prepare(attributes)
        for volume in self.volumes:
            await volume.flush_and_hold(10.0)
        await self.provider.commit_snapshots(set_id)
        for volume in self.volumes:
            await volume.release_writes()
        await self.finish(set_id)
        return ids

    async def read(self, snapshot_id: Guid, path: str = "/file") -> bytes:
        return await get(await self.provider.open_snapshot(snapshot_id), path)


async def put(volume: BlockVolume, path: str, data: bytes) -> None:
    file = await volume.files.open(path, write=True, create=True)
    await file.truncate(0)
    await file.pwrite(0, data)
    await file.sync()
    await file.close()


async def get(files: FileSystem, path: str) -> bytes:
    file = await files.open(path)
    data = await file.pread(0, file.size_bytes)
    await file.close()
    return data


def on_machine(
    story: Callable[[Machine], Awaitable[None]],
    *,
    names: str = "D",
    events: list[Event] | None = None,
    make: Callable[[Ports], Any] = CopyOnWriteProvider,
) -> None:
    """Run ``story`` on a simulated machine with a volume for each letter of ``names``."""

    async def main(ports: Ports) -> None:
        machine = Machine(ports, make)
        for name in names:
            await machine.add(f"{name}:")
        await story(machine)

    run(main, emit=None if events is None else events.append)
