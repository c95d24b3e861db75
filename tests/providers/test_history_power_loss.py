"""Power loss in the middle of whole histories: writes, sets of both kinds, splits, resynchronisation both ways, reverts.

Copy-on-write and clone stand on one volume. In every state that the volume's unsynced writes allow, the persistent shadow
copies are there and exact, and the clones, which are on another disk, are what they were.
"""

from __future__ import annotations

import pytest

from tests.providers.histories import BLOCK, History
from tests.providers.kit import read_with_reader
from vss.ids import Guid
from vss.ports import Ports
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, MemoryStore
from vss.volumes.boot_record import volume_size_of
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_providers.diff_area import DiffArea
from vss_providers.repair import finish_revert


class CheckedHistory(History):
    """A history that is looked at in every state of its disk, at each flush and after each step."""

    def __init__(self, ports: Ports, seed: int, *, subset_max: int) -> None:
        super().__init__(ports, seed)
        size = self.volume.size_bytes
        self.states = 0
        self.subset_max = subset_max
        self.in_doubt: list[Guid] = []
        self.reverting: Guid | None = None
        self.is_armed = False
        self.disk = FaultyStore(
            MemoryStore(size, content=self.volume.raw_store.read(0, size), name="D:"), before_flush=self.look
        )
        self.volume = BlockVolume(ports, "D:", self.disk, volume_id=Guid(int=1), size_bytes=size)
        self.saving = CopyOnWriteProvider(ports)

    def look(self) -> None:
        if not self.is_armed:
            return
        size = self.volume.size_bytes
        for state in self.disk.power_loss_states(subset_max=self.subset_max, torn_max=1):
            self.states += 1
            image = self.disk.after_power_loss(state)
            assert volume_size_of(image) == image.size_bytes
            self.check(read_with_reader(image), state)
            area = DiffArea(image, size, self.volume.volume_id, lambda stores, loss: pytest.fail(loss.reason))
            self.check({store.snapshot_id: area.read(store, 0, size) for store in area.stack}, state)
            if self.reverting is not None and area.reverting is not None:
                self.check_revert(area, image, state)
        for key in self.expected:
            clone = self.cloning._clones.get(self.clones[key])
            assert clone is None or clone.device.read(0, size) == self.expected[key]

    def check(self, found: dict[Guid, bytes], state: object) -> None:
        for key, content in self.expected.items():
            assert key in found or key in self.in_doubt, (key, state)
            assert key not in found or found[key] == content, (key, state)

    def check_revert(self, area: DiffArea, image: MemoryStore, state: object) -> None:
        """A start finishes the revert, and the volume is as in the shadow copy."""
        assert self.reverting is not None
        store = area.reverting
        assert store is not None
        for block in area.blocks_to_revert(store):
            data = area.read_for_revert(store, block)
            area.before_write(block * BLOCK, len(data))
            image.write(block * BLOCK, data)
        area.mark_revert(store, is_reverting=False)
        found = image.read(BLOCK, self.volume.size_bytes - BLOCK)
        assert found == self.expected[self.reverting][BLOCK:], state
        assert finish_revert(image) == ""

    async def take_checked(self) -> Guid:
        """Make a set; its shadow copy is in doubt until it is there."""
        self.in_doubt = [Guid(int=(self.count + 1) << 8)]
        await self.take()
        self.in_doubt = []
        self.look()
        return self.ids[0]

    async def change(self, count: int) -> None:
        for _ in range(count):
            await self.write()
            self.look()

    async def revert_checked(self, key: Guid) -> None:
        newer = [each for each in self.expected if each > key]
        self.in_doubt, self.reverting = newer, key
        await self.saving.revert(key)
        for each in newer:
            del self.expected[each]
        self.in_doubt, self.reverting = [], None
        self.look()

    async def whole(self) -> None:
        await self.saving.attach(self.volume)
        self.is_armed = True
        first = await self.take_checked()
        await self.change(3)
        second = await self.take_checked()
        await self.change(2)
        await self.cloning.resync_clone(self.clones[first])
        await self.change(2)
        third = await self.take_checked()
        await self.change(2)
        await self.cloning.resync_volume(self.clones[second])
        self.look()
        await self.change(1)
        self.in_doubt = [second]
        await self.saving.delete_snapshot(second)
        del self.expected[second]
        self.in_doubt = []
        await self.change(2)
        await self.revert_checked(third)
        await self.change(1)
        await self.revert_checked(first)
        self.compare()


def live_through(seed: int, subset_max: int) -> int:
    """Return how many states were looked at."""

    async def main(ports: Ports) -> int:
        history = CheckedHistory(ports, seed, subset_max=subset_max)
        await history.whole()
        assert history.differences == []
        return history.states

    return run(main)


@pytest.mark.slow
def test_no_power_loss_in_a_history_costs_a_shadow_copy() -> None:
    assert live_through(2, 2) > 200
