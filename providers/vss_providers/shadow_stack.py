"""The stack of stores of one volume: copy-on-write into the newest, catalog, deletion, giving up.

Invariants: a block is saved, and the descriptor that says so is on disk, before the volume's block changes; a store is complete
before the catalog names it, and a shadow copy appears and goes with one sector write; freed space is used again only after the
catalog has let go of it. While a persistent shadow copy is in the stack there is a flush at each of these points, so that they
hold after power loss too; shadow copies that go at the next start anyway do without.

The saved content of a block lies in the store that was newest when the block was overwritten, and serves all older shadow
copies as well (reading: ``vss_providers.diff_area``). Nothing of the volume is exempt from copying, but the blocks
of the area itself where it lies inside the volume.

Sources: libyal/libvshadow format document; Microsoft event log messages of volsnap (what happens when there is no room).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from mmap import mmap
from uuid import UUID

from vss.errors import UnsupportedError, VolumeDamagedError, VolumeError
from vss.volumes.block_store import BlockStore
from vss_providers.catalog_slots import CATALOG_BLOCKS, CatalogSlots
from vss_providers.on_disk.catalog import CatalogRecord, read_catalog, read_pending
from vss_providers.on_disk.layout import (
    BLOCK_SHIFT,
    BLOCK_SIZE,
    VOLUME_HEADER_OFFSET,
    damaged,
)
from vss_providers.on_disk.store_blocks import StoreInformation
from vss_providers.on_disk.volume_header import VolumeHeader, read_volume_header
from vss_providers.space import GROWTH_BYTES, DiffSpace, MaximumReachedError, area_start
from vss_providers.store import Store
from vss_providers.volsnap import Loss, VolsnapEvent, loss_of

PERSISTENT = 0x1
RUN_BYTES = 1 << 20
"""Most that is copied in one piece."""

LostCallback = Callable[[Sequence[Store], Loss], None]


class ShadowStack:
    """The stack of stores, saving and giving up. A write filter: ``before_write`` is called before the volume changes.

    Attributes:
        stack: the stores that count, oldest first.
        is_durable: whether flushes stand between the steps now.
        volume_size: length of the volume in bytes.
    """

    def __init__(
        self,
        device: BlockStore,
        volume_size: int,
        volume_id: UUID,
        on_lost: LostCallback,
        *,
        maximum_size: int = 0,
        growth_bytes: int = GROWTH_BYTES,
        is_durable: bool = True,
        extents: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Read what stands on ``device``: the bytes below the volume's gate, volume first.

        Args:
            device: the store; it grows behind the volume.
            volume_size: length of the volume.
            volume_id: goes into the volume header when one is written.
            on_lost: told which stores were given up and why, oldest first.
            maximum_size: most bytes the area may take, 0 for no bound; an area that exists keeps its own.
            growth_bytes: step in which the image grows.
            is_durable: whether persistent shadow copies are to survive power loss; without it they survive a crash of the
                program only, and the first write to a block costs no flush.
            extents: where the area lies inside the volume, (start, end) in whole blocks; empty: behind it.

        Raises:
            VolumeDamagedError: what stands there is damaged; nothing was changed.
            UnsupportedError: what stands there was made by another provider; nothing was changed.
        """
        self.device = device
        self.volume_size = volume_size
        self.stack: list[Store] = []
        self.is_durable = False
        self._on_lost = on_lost
        self._wants_durable = is_durable
        self._copied: bytearray | mmap = bytearray()
        header = read_volume_header(device)
        self._header = header or VolumeHeader(0, maximum_size, volume_id, volume_id)
        self._space = DiffSpace(
            device,
            area_start(volume_size),
            maximum_size=self._header.maximum_size,
            growth_bytes=growth_bytes,
            extents=extents,
        )
        self._catalog = CatalogSlots(device, self._header.catalog_offset)
        if self._header.catalog_offset:
            self._load()

    # -- start-up --------------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        first, length = self._header.catalog_offset, CATALOG_BLOCKS * BLOCK_SIZE
        if self._header.is_stored_elsewhere or not self._space.contains(first, length):
            raise UnsupportedError(
                f"{self.device.name}: its shadow copies were made by another provider: expected a catalog in the diff area, "
                f"at {self._space.start:#x} or later, found it at {first:#x}",
                hint="the shadow copies can be listed and read, and erased, from the image",
            )
        stack = [self._load_store(record, is_pending=False) for record in read_catalog(self.device, first)]
        for record in read_pending(self.device, first):
            try:
                # It was written when its set was committed, so it is the newest.
                stack.append(self._load_store(record, is_pending=True))
            except VolumeDamagedError:
                self._catalog.give_up(record.snapshot_at, is_durable=False)  # a left-over that never became a shadow copy
        used = [first + index * BLOCK_SIZE for index in range(CATALOG_BLOCKS)]
        for store in stack:
            used += store.blocks_owned()
        self._space.set_used(used)
        self.stack = stack
        self._stack_changed()
        self._renumber()

    def _load_store(self, record: CatalogRecord, *, is_pending: bool) -> Store:
        if record.snapshot.volume_size != self.volume_size:
            raise damaged("catalog entry", record.snapshot_at, f"volume size {self.volume_size}", record.snapshot.volume_size)
        store = Store.load(self.device, self._space, record, is_pending=is_pending)
        for at in store.blocks_owned():
            if not self._space.contains(at, BLOCK_SIZE):
                raise damaged("store", store.entry.header_offset, f"blocks from {self._space.start:#x} on", f"one at {at:#x}")
        return store

    def _stack_changed(self) -> None:
        """Derive what depends on the stack."""
        self.is_durable = self._wants_durable and any(store.information.attributes & PERSISTENT for store in self.stack)
        self._rebuild_copied()

    def _rebuild_copied(self) -> None:
        """Derive what is copied already from the newest store."""
        if not self.stack:
            self._copied = bytearray()
            return
        # Anonymous memory is zero without being touched: switching to a new store costs the same whatever the volume's size.
        copied = mmap(-1, -(-self.volume_size // BLOCK_SIZE))
        for block in self._space.blocks_below(self.volume_size):
            copied[block] = 1
        for block in self.stack[-1].saved:
            copied[block] = 1
        self._copied = copied

    # -- copy on write ---------------------------------------------------------------------------------------------------------

    def before_write(self, offset: int, length: int) -> None:
        """Save the blocks that are about to change and are not saved yet. Never raises: the volume goes before its copies."""
        last = offset + length - 1 >> BLOCK_SHIFT
        first = self._copied.find(b"\0", offset >> BLOCK_SHIFT, last + 1)
        if first < 0 or (first == last and not self.is_durable and self._save_one(first)):
            return
        self._copy(first, last)

    def _save_one(self, block: int) -> bool:
        """Save one block the short way; False where it takes the long one. Most first writes of a busy volume come here."""
        start = block << BLOCK_SHIFT
        if start + BLOCK_SIZE > self.volume_size:
            return False
        newest = self.stack[-1]
        try:
            if not newest.save_block(block, self.device.read(start, BLOCK_SIZE)):
                return False
        except VolumeError as error:
            self.lose_all(loss_of(error, "copy-on-write failed"))
            return True
        self._copied[block] = 1
        if newest.side_car.is_due:
            newest.side_car.settle()
        return True

    def _copy(self, first: int, last: int) -> None:
        try:
            while True:
                try:
                    self._save_missing(first, last)
                    break
                except MaximumReachedError:
                    if len(self.stack) < 2:
                        raise
                self._make_room()
                first = self._copied.find(b"\0", first, last + 1)  # what was saved before the room ran out stays saved
        except VolumeError as error:
            self.lose_all(loss_of(error, "copy-on-write failed"))
            return
        if self.stack[-1].side_car.is_due:
            self.stack[-1].side_car.settle()

    def _save_missing(self, first: int, last: int) -> None:
        copied, newest, is_durable = self._copied, self.stack[-1], self.is_durable
        while first >= 0:
            end = copied.find(b"\1", first, last + 1)
            end = min(end if end >= 0 else last + 1, first + (RUN_BYTES >> BLOCK_SHIFT))
            start = first << BLOCK_SHIFT
            length = min(end << BLOCK_SHIFT, self.volume_size) - start
            data = self.device.read(start, length)
            if length % BLOCK_SIZE:
                data = data.ljust(end - first << BLOCK_SHIFT, b"\0")
            newest.save(first, data, is_durable=is_durable)
            copied[first:end] = b"\1" * (end - first)
            first = copied.find(b"\0", end, last + 1)

    def _make_room(self) -> None:
        """Give up the oldest shadow copy for room (volsnap does, event 33; with only one left it gives up that, event 36)."""
        self.give_up_oldest(
            Loss(VolsnapEvent.OLDEST_DELETED_AT_LIMIT, "deleted to make room: the diff area has its maximum size")
        )

    def give_up_oldest(self, loss: Loss) -> None:
        """Delete the oldest shadow copy without being asked to; ``VolumeError`` when the device fails: it is still there."""
        oldest = self.stack[0]
        self.delete(oldest)
        oldest.lost = loss.reason
        self._on_lost([oldest], loss)

    def lose_all(self, loss: Loss) -> None:
        """Give up every shadow copy of the volume: it must not be read any more, now or after a restart.

        Oldest first, so that after any prefix those that are left are whole. Where the catalog cannot be written the entries
        are taken away before the next set is prepared.
        """
        is_durable = self.is_durable
        lost, self.stack = self.stack, []
        self._stack_changed()
        for store in lost:
            store.lost = loss.reason
            self._catalog.give_up(store.pair_at, is_durable=is_durable)
        self._release(lost)
        self._on_lost(lost, loss)

    def settle(self) -> None:
        """Write what was collected beside the format: the digests of the newest store."""
        if self.stack:
            self.stack[-1].side_car.settle()

    def forget(self, reason: str) -> None:
        """Give up every shadow copy without touching the device, which is not there any more."""
        lost, self.stack = self.stack, []
        self._stack_changed()
        for store in lost:
            store.lost = reason
        if lost:
            self._on_lost(lost, Loss(VolsnapEvent.STORAGE_OFFLINE, reason))

    # -- making ----------------------------------------------------------------------------------------------------------------

    def prepare(self, information: StoreInformation, store_id: UUID) -> Store:
        """Write everything a new shadow copy needs but its catalog entries.

        Raises:
            VolumeFullError: no room.
            VolumeError: the device failed. Either way only free space was written to, and header and catalog may stand.
        """
        self._catalog.clean()
        if not self._header.catalog_offset:
            self._write_header()
        return Store.create(self.device, self._space, information, store_id, self.volume_size)

    def _write_header(self) -> None:
        """Put catalog and header in place. The header lies in block 0, so this comes before the first shadow copy."""
        length = CATALOG_BLOCKS * BLOCK_SIZE
        at = self._space.allocate(length)
        header = replace(self._header, catalog_offset=at)
        try:
            self._catalog = CatalogSlots.create(self.device, at)
            self.device.write(VOLUME_HEADER_OFFSET, header.pack())
        except BaseException:
            self._space.free(at, length)
            raise
        self._header = header

    def discard(self, store: Store) -> None:
        """Give back the space of a store that was prepared and never began."""
        self._space.free_blocks(store.blocks_owned())

    def begin(self, store: Store, created: int) -> None:
        """From now on changed blocks are saved for ``store`` (and through it for older ones). In memory only; cannot fail.

        ``created`` is the FILETIME of the set; it is moved on where the newest shadow copy has it or a later one already,
        because two equal times on one volume make readers fail.
        """
        position = 1
        self.settle()
        if self.stack:
            newest = self.stack[-1].snapshot
            position, created = newest.position + 1, max(created, newest.created + 1)
        store.snapshot = replace(store.snapshot, position=position, created=created)
        store.pair_at = self._catalog.free_pair(each.pair_at for each in self.stack)
        self.stack.append(store)
        self._stack_changed()

    def publish(self, store: Store, *, is_pending: bool) -> None:
        """Enter ``store`` in the catalog, for good or as pending.

        Raises:
            VolumeError: the device failed; whether the entries stand is unknown.
        """
        self._catalog.enter(store.pair_at, store.snapshot, store.entry, is_pending=is_pending, is_durable=self.is_durable)
        store.is_pending = is_pending

    # -- deleting --------------------------------------------------------------------------------------------------------------

    def delete(self, store: Store) -> None:
        """Delete one shadow copy; every other one reads as before.

        Blocks that only ``store`` has saved and the next older shadow copy needs are handed down first.

        Raises:
            VolumeError: the device failed or has no room for the hand-over; the shadow copy is still there.
        """
        index, is_durable = self.stack.index(store), self.is_durable
        if index:
            older = self.stack[index - 1]
            handed_down = [each for each in store.saved.items() if each[0] not in older.saved]
            older.take_over(store, handed_down, is_durable=is_durable)
            older.side_car.settle()
        self._catalog.remove(store.pair_at, is_durable=is_durable)
        del self.stack[index]
        store.lost = "deleted"
        self._stack_changed()
        self._release([store])
        self._renumber()

    def _renumber(self) -> None:
        """Close gaps in the stack positions; readers that pair by position need them gapless, from whatever number on."""
        for older, newer in pairwise(self.stack):
            position = older.snapshot.position + 1
            if newer.snapshot.position != position:
                self._catalog.set_position(newer.pair_at, position)
                newer.snapshot = replace(newer.snapshot, position=position)

    def _release(self, gone: Sequence[Store]) -> None:
        """Free what the stores owned and no store in the stack points at."""
        kept = {offset for store in self.stack for offset in store.blocks_used()}
        self._space.free_blocks(offset for store in gone for offset in store.blocks_owned() if offset not in kept)
