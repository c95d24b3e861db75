"""Power loss at any moment: every state that the unsynced writes allow is read by every reader at hand, then started from.

What must hold: a persistent shadow copy that was made is there and exact; one that is being made or deleted is there and
exact, or not there; nothing keeps the volume from starting again. Shadow copies that are not persistent promise nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from tests.providers.kit import (
    BLOCK,
    PERSISTENT,
    VOLATILE,
    VOLUME_ID,
    DiffAreaScene,
    read_with_dissect,
    read_with_libvshadow,
    read_with_reader,
)
from vss.errors import VolumeDamagedError
from vss.volumes.block_store import MemoryStore
from vss.volumes.fault_store import FaultyStore
from vss_providers.diff_area import DiffArea
from vss_providers.on_disk.volume_header import read_volume_header


class PowerLossScene(DiffAreaScene):
    """A scene whose device is checked in every state that power loss could leave it in."""

    def __init__(
        self,
        blocks: int = 8,
        *,
        torn_max: int,
        readers: list[Callable[[bytes], dict[UUID, bytes]]],
        extents: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.states = 0
        self.in_doubt: set[UUID] = set()
        self.volatile: set[UUID] = set()
        self.changing: set[UUID] = set()
        self.torn_max = torn_max
        self.readers = readers
        self.is_armed = False
        store = FaultyStore(MemoryStore(blocks * BLOCK + 1024), before_flush=self.look)
        super().__init__(store.size_bytes, device=store, extents=extents)
        self.extents = extents
        store.flush()
        self.faulty = store
        self.is_armed = True

    def look(self) -> None:
        """Check every state that power loss could leave now."""
        if not self.is_armed:
            return
        for state in self.faulty.power_loss_states(subset_max=4, torn_max=self.torn_max):
            self.states += 1
            image = self.faulty.after_power_loss(state)
            if self.volatile and not self.promised():
                self.check_start(image, state)  # whether a reader can make something of it is left open
                continue
            self.check_found(read_with_reader(image), state)
            header = read_volume_header(image)
            if header is not None and header.catalog_offset:
                assert not header.is_provisional, state
                data = image.read(0, image.size_bytes)
                for reader in self.readers:
                    self.check_found(reader(data), state)
            self.check_start(image, state)

    def promised(self) -> list[UUID]:
        """Return the shadow copies that must be there."""
        return [each for each in self.expected if each not in self.in_doubt | self.volatile]

    def check_found(self, found: dict[UUID, bytes], state: object) -> None:
        assert [each for each in found if each not in self.in_doubt | self.volatile] == self.promised(), state
        for each, content in found.items():
            assert (
                each in self.volatile or each in self.changing or self.outside(content) == self.outside(self.expected[each])
            ), (each, state)

    def outside(self, content: bytes | bytearray) -> bytes:
        """What counts of a shadow copy: all but the diff area itself, where that is inside the volume."""
        kept = bytearray(content)
        for start, end in self.extents:
            kept[start:end] = bytes(end - start)
        return bytes(kept)

    def check_start(self, image: MemoryStore, state: object) -> None:
        """Start from the state, write, make another shadow copy, and look again."""
        area = DiffArea(image, self.size_bytes, VOLUME_ID, lambda stores, loss: pytest.fail(loss.reason), extents=self.extents)
        area.before_write(BLOCK, 5 * BLOCK)
        image.write(BLOCK, b"\x77" * 5 * BLOCK)
        store = area.prepare(self.information(PERSISTENT), self.guid())
        area.begin(store, 0)
        area.publish(store, is_pending=False)
        newest = image.read(0, self.size_bytes)
        area.before_write(6 * BLOCK, 100)
        image.write(6 * BLOCK, bytes(100))
        found = read_with_reader(image)
        assert self.outside(found.pop(store.snapshot_id)) == self.outside(newest)
        self.check_found(found, state)

    # -- steps -----------------------------------------------------------------------------------------------------------------

    def make(self, attributes: int = PERSISTENT) -> UUID:
        store = self.area.prepare(self.information(attributes), self.guid())
        (self.in_doubt if attributes == PERSISTENT else self.volatile).add(store.snapshot_id)
        self.expected[store.snapshot_id] = bytearray(self.device.read(0, self.size_bytes))
        self.area.begin(store, 133_000_000_000_000_000)
        self.area.publish(store, is_pending=False)
        self.in_doubt.clear()
        self.look()
        return store.snapshot_id

    def change(self, block: int, count: int = 1) -> None:
        self.write(block * BLOCK + 300, self.random.randbytes(count * BLOCK - 400))
        self.look()

    def change_copy(self, snapshot_id: UUID, offset: int, data: bytes) -> None:
        store = next(each for each in self.area.stack if each.snapshot_id == snapshot_id)
        self.changing.add(snapshot_id)
        self.write_into(store, offset, data)
        self.faulty.flush()
        self.changing.clear()
        self.look()

    def drop(self, snapshot_id: UUID) -> None:
        self.in_doubt.add(snapshot_id)
        self.area.delete(next(each for each in self.area.stack if each.snapshot_id == snapshot_id))
        del self.expected[snapshot_id]
        self.in_doubt.clear()
        self.look()


def story(scene: PowerLossScene) -> Iterator[None]:
    """Making, copying on write, overlays, deleting newest, middle and oldest, and using the freed space again."""
    first = scene.make()
    scene.change(2)
    scene.change(3, 3)
    second = scene.make()
    scene.change(2)
    scene.change(6)
    yield
    scene.change_copy(second, 4 * BLOCK + 100, bytes(2000))
    scene.change_copy(second, 4 * BLOCK + 4096, b"x" * 512)
    third = scene.make()
    scene.change(1, 2)
    scene.drop(second)
    yield
    scene.drop(third)
    scene.change(5)
    fourth = scene.make()
    scene.change(1, 4)
    scene.drop(first)
    scene.change(7)
    scene.drop(fourth)


def test_no_power_loss_costs_a_shadow_copy() -> None:
    scene = PowerLossScene(torn_max=2, readers=[])

    next(story(scene))

    assert scene.states > 50
    scene.check()


@pytest.mark.slow
def test_no_power_loss_costs_a_shadow_copy_for_any_reader() -> None:
    pytest.importorskip("pyvshadow", reason="libvshadow-python is not installed")
    pytest.importorskip("dissect.volume.vss", reason="dissect.volume is not installed")
    scene = PowerLossScene(torn_max=1, readers=[read_with_libvshadow, read_with_dissect])

    for _ in story(scene):
        scene.check()

    assert scene.states > 200
    assert scene.expected == {}


@pytest.mark.slow
def test_no_power_loss_between_two_list_blocks_costs_a_shadow_copy() -> None:
    scene = PowerLossScene(512, torn_max=1, readers=[])
    scene.is_armed = False
    scene.make()
    scene.write(BLOCK, bytes(507 * BLOCK))
    scene.faulty.flush()
    scene.is_armed = True

    scene.change(508)
    scene.change(509)

    assert len(scene.area.stack[0].saved) == 509
    scene.check()


@pytest.mark.slow
def test_no_power_loss_costs_a_shadow_copy_that_is_stored_inside_its_volume() -> None:
    scene = PowerLossScene(128, torn_max=1, readers=[], extents=((16 * BLOCK, 60 * BLOCK), (70 * BLOCK, 120 * BLOCK)))

    for _ in story(scene):
        assert scene.device.size_bytes == scene.size_bytes

    assert scene.states > 200
    assert scene.expected == {}


@pytest.mark.slow
def test_an_area_made_without_a_flush_keeps_no_volume_from_starting() -> None:
    scene = PowerLossScene(torn_max=3, readers=[])

    scene.make(VOLATILE)
    scene.change(2)
    scene.make()
    scene.change(3, 2)
    scene.drop(next(iter(scene.volatile)))
    scene.change(2)

    assert scene.states > 50
    scene.check()


def test_shadow_copies_that_promise_nothing_keep_no_volume_from_starting() -> None:
    scene = PowerLossScene(torn_max=2, readers=[])
    scene.is_armed = False
    scene.area.create(0)
    scene.is_armed = True

    scene.make(VOLATILE)
    scene.change(2)

    assert scene.states > 10
    scene.is_armed = False
    scene.make()
    scene.device.write(scene.area.stack[0].entry.header_offset, bytes(512))
    scene.restart()  # the older one promised nothing
    assert [store.information.attributes for store in scene.area.stack] == [PERSISTENT]
    scene.make(VOLATILE)  # the older one needs what this saves
    scene.device.write(scene.area.stack[1].entry.header_offset, bytes(512))
    with pytest.raises(VolumeDamagedError, match="store header"):
        scene.restart()
