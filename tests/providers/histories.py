"""Random histories of one volume under two providers at once: ``python -m tests.providers.histories [COUNT] [FIRST_SEED]``.

Copy-on-write and clone stand on the same volume and take their shadow copies at the same instants; whatever was written,
deleted, resynchronised or reverted in between, both must read as the plain record says, byte for byte.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from vss.ids import Guid
from vss.ports import Ports
from vss.simulation import run
from vss.volumes import BlockVolume, MemoryStore
from vss_providers.clone import CloneProvider
from vss_providers.copy_on_write import CopyOnWriteProvider

BLOCK = 0x4000
PERSISTENT = 0x9


class History:
    """One history; ``differences`` is empty when all went well."""

    def __init__(self, ports: Ports, seed: int) -> None:
        self.random = random.Random(seed)
        size = self.random.choice([9, 12, 20]) * BLOCK + self.random.choice([0, 512, 5120])
        store = MemoryStore(size, content=self.random.randbytes(size), name="D:")
        self.volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=size)
        self.saving = CopyOnWriteProvider(ports, maximum_size=0, is_durable=self.random.random() < 0.5)
        self.cloning = CloneProvider(ports)
        self.expected: dict[Guid, bytes] = {}
        self.clones: dict[Guid, Guid] = {}
        self.count = 0
        self.differences: list[str] = []

    async def live(self, steps: int) -> None:
        """Live through ``steps`` random steps, then compare everything."""
        await self.saving.attach(self.volume)
        moves = (self.write, self.write, self.write, self.take, self.delete, self.resync_clone, self.go_back)
        await self.take()
        for _ in range(steps):
            await self.random.choice(moves)()
        self.compare()

    async def write(self) -> None:
        length = min(self.random.choice([1, 512, 4096, BLOCK, 3 * BLOCK + 7]), self.volume.size_bytes - BLOCK)
        # Block 0 is left alone: the header of the diff area is in it.
        offset = self.random.randrange(BLOCK, self.volume.size_bytes - length + 1)
        await self.volume.write(offset, self.random.randbytes(length))

    async def take(self) -> None:
        self.count += 1
        ids = Guid(int=self.count << 8), Guid(int=(self.count << 8) + 1)
        providers: tuple[Any, ...] = (self.saving, self.cloning)
        for provider, snapshot_id, attributes in zip(providers, ids, (PERSISTENT, 0), strict=True):
            await provider.begin_prepare_snapshot(ids[0], snapshot_id, self.volume, attributes)
        for provider in providers:
            await provider.end_prepare_snapshots(ids[0])
        if self.random.random() < 0.3:
            await self.write()
        for call in ("pre_commit_snapshots", "commit_snapshots"):
            for provider in providers:
                await getattr(provider, call)(ids[0])
        self.expected[ids[0]] = self.volume.raw_store.read(0, self.volume.size_bytes)
        self.clones[ids[0]] = ids[1]
        for provider in providers:
            await provider.post_commit_snapshots(ids[0], 1)
            await provider.pre_final_commit_snapshots(ids[0])
            await provider.post_final_commit_snapshots(ids[0])
        # The id of the set serves as the key for both copies.
        self.ids = ids

    def pick(self) -> Guid | None:
        return self.random.choice(sorted(self.expected)) if len(self.expected) > 1 else None

    async def delete(self) -> None:
        key = self.pick()
        if key is not None:
            await self.saving.delete_snapshot(key)
            if self.clones[key] in self.cloning._clones:
                await self.cloning.delete_snapshot(self.clones[key])
            del self.expected[key]

    async def resync_clone(self) -> None:
        """The clone becomes the mirror of the next set; the copy-on-write one stays."""
        key = self.pick()
        if key is not None and self.clones[key] in self.cloning._clones:
            await self.cloning.resync_clone(self.clones[key])

    async def go_back(self) -> None:
        """Bring the volume back to a clone, or to a saved copy and lose what is newer, by turns."""
        key = self.pick()
        if key is None or self.random.random() < 0.5:
            return
        if self.random.random() < 0.5 and self.clones[key] in self.cloning._clones:
            await self.cloning.resync_volume(self.clones[key])
        else:
            await self.saving.revert(key)
            for newer in [each for each in self.expected if each > key]:
                del self.expected[newer]
        if self.volume.raw_store.read(BLOCK, self.volume.size_bytes - BLOCK) != self.expected[key][BLOCK:]:
            self.differences.append(f"the volume is not as in {key}")

    def compare(self) -> None:
        size = self.volume.size_bytes
        for key, content in self.expected.items():
            if self.saving.open_device(key).read(0, size) != content:
                self.differences.append(f"copy-on-write {key} is not what was there")
            clone = self.cloning._clones.get(self.clones[key])
            if clone is not None and clone.device.read(0, size) != content:
                self.differences.append(f"clone {key} is not what was there")
        if [each.snapshot_id for each in self.saving._attached[self.volume.volume_id].area.stack] != list(self.expected):
            self.differences.append("copy-on-write has other shadow copies than were made")


def live_through(seed: int, steps: int = 14) -> list[str]:
    """Return what was wrong in the history of ``seed``; nothing when all was well."""

    async def main(ports: Ports) -> list[str]:
        history = History(ports, seed)
        await history.live(steps)
        return history.differences

    return run(main)


def main(arguments: list[str]) -> int:
    """Live through COUNT histories; print the seeds that went wrong."""
    count = int(arguments[0]) if arguments else 1000
    first = int(arguments[1]) if len(arguments) > 1 else 0
    wrong = 0
    for seed in range(first, first + count):
        for difference in live_through(seed):
            wrong += 1
            print(f"seed {seed}: {difference}")
    print(f"{count} histories, {wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
