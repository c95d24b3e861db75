"""Power loss at any moment when the saved blocks are on another volume: two disks, each with writes of its own in doubt."""

from __future__ import annotations

from itertools import islice
from uuid import UUID

import pytest

from tests.providers.kit import BLOCK, FIRST_FILETIME, PERSISTENT, VOLUME_ID, DiffAreaScene
from vss.ids import Guid
from vss.ports import Ports
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, MemoryStore
from vss.volumes.power_loss import PowerLossState
from vss_providers.diff_area import DiffArea
from vss_providers.storage_volume import StorageVolume

STORAGE_ID = Guid(int=0xF)
STORAGE_BYTES = 4 * BLOCK


class TwoDisks(DiffAreaScene):
    """A scene whose two devices are checked in every pair of states that power loss could leave them in."""

    def __init__(self, ports: Ports, *, subset_max: int) -> None:
        self.ports = ports
        self.states = 0
        self.subset_max = subset_max
        self.in_doubt: set[UUID] = set()
        self.is_armed = False
        self.storage_disk = FaultyStore(MemoryStore(STORAGE_BYTES, name="F:"), before_flush=self.look)
        data = FaultyStore(MemoryStore(8 * BLOCK + 1024, name="D:"), before_flush=self.look)
        storage = StorageVolume.make(self.mounted(self.storage_disk))
        storage.associate(VOLUME_ID, data.size_bytes)
        super().__init__(data.size_bytes, device=data, storage=storage)
        self.disk = data
        self.area.create(0)
        data.flush()
        self.storage_disk.flush()
        self.is_armed = True

    def mounted(self, store: MemoryStore | FaultyStore) -> BlockVolume:
        return BlockVolume(self.ports, "F:", store, volume_id=STORAGE_ID, size_bytes=STORAGE_BYTES)

    def some(self, disk: FaultyStore) -> list[PowerLossState]:
        return list(disk.power_loss_states(subset_max=self.subset_max, torn_max=1))

    def look(self) -> None:
        """Every state of one disk with nothing, everything and the first halves of the other, and the other way round."""
        if not self.is_armed:
            return
        first, second = self.some(self.disk), self.some(self.storage_disk)
        pairs = [(one, two) for one in first for two in islice(second, 0, None, max(1, len(second) // 6))]
        pairs += [(one, two) for one in islice(first, 0, None, max(1, len(first) // 6)) for two in second]
        seen: dict[tuple[PowerLossState, PowerLossState], None] = dict.fromkeys(pairs)
        for one, two in seen:
            self.states += 1
            self.check_start(self.disk.after_power_loss(one), self.storage_disk.after_power_loss(two), (one, two))

    def check_start(self, data: MemoryStore, disk: MemoryStore, state: object) -> None:
        """Start from the two disks, read, write, make another shadow copy, read again, and start once more."""
        for _ in range(2):
            storage = StorageVolume.find(self.mounted(disk))
            assert storage is not None, state
            area = DiffArea(data, self.size_bytes, VOLUME_ID, lambda stores, loss: pytest.fail(loss.reason), storage=storage)
            assert area.missing == [], state
            self.check_found(area, state)
            area.before_write(BLOCK, 5 * BLOCK)
            data.write(BLOCK, b"\x77" * 5 * BLOCK)
            store = area.prepare(self.information(PERSISTENT), self.guid())
            area.begin(store, 0)
            area.publish(store, is_pending=False)
            area.before_write(6 * BLOCK, 100)
            data.write(6 * BLOCK, bytes(100))
            self.check_found(area, state, also=store.snapshot_id)
            area.delete(store)

    def check_found(self, area: DiffArea, state: object, also: UUID | None = None) -> None:
        found = [store for store in area.stack if store.snapshot_id != also]
        required = [each for each in self.expected if each not in self.in_doubt]
        assert [store.snapshot_id for store in found if store.snapshot_id not in self.in_doubt] == required, state
        for store in found:
            assert area.read(store, 0, self.size_bytes) == self.expected[store.snapshot_id], (store.snapshot_id, state)

    def make(self) -> UUID:
        store = self.area.prepare(self.information(PERSISTENT), self.guid())
        self.in_doubt.add(store.snapshot_id)
        self.expected[store.snapshot_id] = bytearray(self.device.read(0, self.size_bytes))
        self.area.begin(store, FIRST_FILETIME)
        self.area.publish(store, is_pending=False)
        self.in_doubt.clear()
        self.look()
        return store.snapshot_id

    def change(self, block: int, count: int = 1) -> None:
        self.write(block * BLOCK + 300, self.random.randbytes(count * BLOCK - 400))
        self.look()

    def drop(self, snapshot_id: UUID) -> None:
        self.in_doubt.add(snapshot_id)
        self.area.delete(next(each for each in self.area.stack if each.snapshot_id == snapshot_id))
        del self.expected[snapshot_id]
        self.in_doubt.clear()
        self.look()


def live_through(subset_max: int, *, is_whole: bool) -> int:
    """Make, change and delete shadow copies; return how many states were looked at."""

    async def main(ports: Ports) -> int:
        scene = TwoDisks(ports, subset_max=subset_max)
        first = scene.make()
        scene.change(2)
        second = scene.make()
        scene.change(2, 2)
        if is_whole:
            third = scene.make()
            scene.change(5)
            scene.drop(second)
            scene.change(1, 3)
            scene.drop(third)
            scene.drop(first)
            scene.make()
            scene.change(6)
        return scene.states

    return run(main)


def test_no_power_loss_of_two_disks_costs_a_shadow_copy() -> None:
    assert live_through(2, is_whole=False) > 50


@pytest.mark.slow
def test_no_power_loss_of_two_disks_costs_a_shadow_copy_whatever_is_done() -> None:
    assert live_through(4, is_whole=True) > 250
