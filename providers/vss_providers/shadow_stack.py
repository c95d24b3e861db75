"""The stack of stores of one volume: copy-on-write into the newest, catalog, deletion, giving up.

Invariants: a block is saved, and the descriptor that says so is on disk, before the volume's block changes; a store is complete
before the catalog names it, and a shadow copy appears and goes with one sector write; freed space is used again only after the
catalog has let go of it. While a persistent shadow copy is in the stack there is a flush at each of these points, so that they
hold after power loss too; shadow copies that go at the next start anyway do without. What power loss can make of those is told
apart from damage by two marks: their stores are entered as expendable, and an area that never held others is provisional.

The saved content of a block lies in the store that was newest when the block was overwritten, and serves all older shadow
copies as well (reading: ``vss_providers.diff_area``). Nothing of the volume is exempt from copying, but the blocks
of the area itself where it lies inside the volume.

Sources: libyal/libvshadow format document; Microsoft event log messages of volsnap (what happens when there is no room).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from vss.errors import VolumeError
from vss_providers.catalog_slots import CATALOG_BLOCKS
from vss_providers.loaded_stack import PERSISTENT, LoadedStack
from vss_providers.on_disk.catalog import pack_empty_catalog
from vss_providers.on_disk.layout import (
    BLOCK_HEADER_SIZE,
    BLOCK_SHIFT,
    BLOCK_SIZE,
    VOLUME_HEADER_OFFSET,
    VOLUME_HEADER_SIZE,
)
from vss_providers.on_disk.store_blocks import StoreInformation, bitmap_block_count
from vss_providers.on_disk.volume_header import VolumeHeader
from vss_providers.shared_bitmaps import SharedBitmaps
from vss_providers.space import MaximumReachedError
from vss_providers.store import EMPTY_STORE_BYTES, Store
from vss_providers.store_room import FIRST_EXTENT_BYTES
from vss_providers.volsnap import Loss, VolsnapEvent, loss_of

RUN_BYTES = 1 << 20
"""Most that is copied in one piece."""


class ShadowStack(LoadedStack):
    """The stack of stores, saving and giving up. A write filter: ``before_write`` is called before the volume changes."""

    # -- copy on write ---------------------------------------------------------------------------------------------------------

    def before_write(self, offset: int, length: int) -> None:
        """Save the blocks that are about to change and are not saved yet. Never raises: the volume goes before its copies."""
        first, last = offset >> BLOCK_SHIFT, offset + length - 1 >> BLOCK_SHIFT
        if first < last:
            first = self._copied.find(b"\0", first, last + 1)
            if first >= 0:
                self._copy(first, last)
            return
        # Most writes of a busy volume come here: in one block.
        copied = self._copied
        if not copied or copied[first]:
            return
        if first < self._quick_below:
            try:
                if self.stack[-1].save_block(first, self._copy_block):
                    copied[first] = 1
                    return
            except MaximumReachedError:
                pass  # room is made below
            except VolumeError as error:
                self.lose_all(loss_of(error, "copy-on-write failed"))
                return
        self._copy(first, first)

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
        """Write everything a new shadow copy needs but its catalog entries. At the maximum size the oldest one goes for it.

        Raises:
            VolumeFullError: no room.
            VolumeError: the device failed. Either way only free space was written to, and header and catalog may stand.
        """
        self._catalog.clean()
        is_durable = bool(information.attributes & PERSISTENT)
        if not self._header.catalog_offset:
            self._write_header(is_durable=is_durable, is_whole=bool(self._own_space.extents))
        elif is_durable and self._header.is_provisional:
            self._confirm_header()
        while True:
            try:
                bitmaps = self._shared_bitmaps()
                return Store.create(self.area_device, self.space, information, store_id, self.volume_size, bitmaps)
            except MaximumReachedError:
                if not self.stack:
                    raise
            self._make_room()

    @property
    def room_to_begin(self) -> int:
        """Bytes in one piece with which a new shadow copy can be prepared."""
        bitmaps = 0 if self.bitmaps is not None else 2 * bitmap_block_count(-(-self.volume_size // BLOCK_SIZE))
        catalog = 0 if self._header.catalog_offset or self.storage is not None else CATALOG_BLOCKS
        header = FIRST_EXTENT_BYTES if self._header.is_provisional else 0
        return (catalog + bitmaps) * BLOCK_SIZE + header + EMPTY_STORE_BYTES

    def _shared_bitmaps(self) -> SharedBitmaps:
        """Return the bitmaps of the area, made now where it has none."""
        if self.bitmaps is None:
            note_at = self._header.catalog_offset + BLOCK_HEADER_SIZE
            self.bitmaps = SharedBitmaps.create(self.device, self.space, note_at, self.volume_size)
        return self.bitmaps

    def _write_header(self, *, is_durable: bool = True, is_whole: bool = True) -> None:
        """Put catalog, bitmaps and header in place. The header lies in block 0, so this comes before the first shadow copy.

        Durable: one flush, before the header points at the rest; whoever needs the header itself to be durable flushes later.
        Otherwise the header is provisional. Unless they are to be whole long bitmaps are begun only.
        """
        length = CATALOG_BLOCKS * BLOCK_SIZE
        at, made = self._own_space.allocate(length), None
        header = replace(self._header, catalog_offset=at, is_provisional=not is_durable)
        try:
            self.device.write(at, pack_empty_catalog(at, CATALOG_BLOCKS))
            if self.bitmaps is None:
                self.bitmaps = made = SharedBitmaps.create(
                    self.device,
                    self.space,
                    at + BLOCK_HEADER_SIZE,
                    self.volume_size,
                    is_in_use=False,
                    is_durable=is_durable,
                    is_whole=is_whole,
                )
            elif is_durable:
                self.device.flush()
            self.device.write(VOLUME_HEADER_OFFSET, header.pack())
        except BaseException:
            if made is not None:
                self.bitmaps = None
                self.space.free_blocks(made.blocks)
            self._own_space.free(at, length)
            raise
        self._header, self._catalog = header, self._slots(at)

    def _confirm_header(self) -> None:
        """Make what a provisional header points at durable, and write one that says so; it is durable with the next flush.

        Where that fails it is open what of the area will ever be durable, whatever later flushes say: it is given up.
        """
        first = self._header.catalog_offset
        blocks = [*range(first, first + CATALOG_BLOCKS * BLOCK_SIZE, BLOCK_SIZE)]
        if self.bitmaps is not None:
            blocks += (self.bitmaps.current, self.bitmaps.previous)
        try:
            # Written once more: a flush may have failed meanwhile, of which nobody told us, and dropped the first time.
            for at in blocks:
                self.device.write(at, self.device.read(at, BLOCK_SIZE))
            self.device.flush()
        except VolumeError as error:
            if self.stack:
                self.lose_all(loss_of(error, "the diff area could not be made durable"))
            self._start_over()
            raise
        self._change_header(replace(self._header, is_provisional=False))

    def _change_header(self, header: VolumeHeader) -> None:
        """Put another header in place; what stood there is part of what shadow copies show."""
        self.before_write(VOLUME_HEADER_OFFSET, VOLUME_HEADER_SIZE)
        self.device.write(VOLUME_HEADER_OFFSET, header.pack())
        self._header = header

    def discard(self, store: Store) -> None:
        """Give back the space of a store that was prepared and never began."""
        self.space.free_blocks(store.blocks_owned())

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
        is_expendable = not any(each.information.attributes & PERSISTENT for each in self.stack)
        store.entry = replace(store.entry, is_expendable=is_expendable)
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

    def _release(self, gone: Sequence[Store]) -> None:
        """Free what the stores owned and no store in the stack points at."""
        kept = {offset for store in self.stack for offset in store.blocks_used()}
        self.space.free_blocks(offset for store in gone for offset in store.blocks_owned() if offset not in kept)
