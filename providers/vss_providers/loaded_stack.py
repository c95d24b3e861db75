"""The stack of stores of one volume as a start finds it: what counts, what is left over, what is free.

Decides which entries of the catalog become shadow copies again; what a crash left unfinished is taken away. Nothing is changed
where a structure is damaged. Saving, making and deleting are in ``vss_providers.shadow_stack``.

Source: libyal/libvshadow format document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from mmap import mmap
from uuid import UUID

from vss.errors import UnsupportedError, VolumeDamagedError
from vss.roles.attributes import SnapshotAttributes
from vss.volumes.block_store import BlockStore, CopyingStore
from vss_providers.catalog_slots import CATALOG_BLOCKS, CatalogSlots
from vss_providers.on_disk.catalog import ENTRY_SIZE, CatalogRecord, StoreEntry, read_catalog, read_pending
from vss_providers.on_disk.layout import (
    BLOCK_HEADER_SIZE,
    BLOCK_SHIFT,
    BLOCK_SIZE,
    VOLUME_HEADER_OFFSET,
    VOLUME_HEADER_SIZE,
    damaged,
)
from vss_providers.on_disk.volume_header import VolumeHeader, read_volume_header
from vss_providers.shared_bitmaps import SharedBitmaps
from vss_providers.space import GROWTH_BYTES, DiffSpace, Space, area_start
from vss_providers.storage_volume import ElsewhereSlots, StorageVolume
from vss_providers.store import CopyBlock, Store
from vss_providers.volsnap import Loss

PERSISTENT = SnapshotAttributes.PERSISTENT.value

LostCallback = Callable[[Sequence[Store], Loss], None]


def _copier(device: BlockStore, area_device: BlockStore) -> CopyBlock:
    """Return how a block is saved: at once where volume and area are one device that can."""
    if area_device is device and isinstance(device, CopyingStore):
        return device.copy_within

    def copy(source: int, target: int, length: int, record_at: int, record: bytes) -> bytes:
        data = device.read(source, length)
        area_device.write(target, data)
        area_device.write(record_at, record)
        return data

    return copy


class LoadedStack:
    """The stack of stores as it stands on the devices.

    Attributes:
        stack: the stores that count, oldest first.
        area_device: the bytes that hold the area: those of the volume, or of its storage volume.
        space: where its blocks come from.
        missing: store ids that the catalog named at the start and the storage volume does not have.
        bitmaps: those that all its stores share; None while there is no area, and in one from before there were such.
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
        storage: StorageVolume | None = None,
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
            storage: the volume that has the stores, where that is another one; it has an association for this one.

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
        self.bitmaps: SharedBitmaps | None = None
        self.missing: list[UUID] = []
        self._merged: dict[Store, dict[int, int]] = {}
        self._quick_below = 0
        header = read_volume_header(device)
        self.storage = storage
        storage_id = volume_id if storage is None else storage.volume.volume_id
        self._header = header or VolumeHeader(0, maximum_size, volume_id, storage_id)
        bound = self._header.maximum_size
        self._own_space = DiffSpace(
            device,
            area_start(volume_size),
            maximum_size=0 if storage else bound,
            growth_bytes=growth_bytes,
            extents=extents,
        )
        self.area_device: BlockStore = device
        self.space: Space = self._own_space
        if storage is not None:
            association = storage.associations[volume_id]
            self.area_device, self.space, self.bitmaps = storage.device, association.space, association.bitmaps
            self.space.maximum_size = bound
        self._copy_block = _copier(self.device, self.area_device)
        self._catalog = self._slots(self._header.catalog_offset)
        if self._header.catalog_offset:
            try:
                self._load()
            except VolumeDamagedError:
                if not self._header.is_provisional:
                    raise
                self._start_over()

    def _slots(self, first_offset: int) -> CatalogSlots:
        if self.storage is None:
            return CatalogSlots(self.device, first_offset)
        return ElsewhereSlots(self.device, first_offset, self.storage)

    # -- start-up --------------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        first, length = self._header.catalog_offset, CATALOG_BLOCKS * BLOCK_SIZE
        is_elsewhere = self.storage is not None
        if self._header.is_stored_elsewhere != is_elsewhere or not self._own_space.contains(first, length):
            raise UnsupportedError(
                f"{self.device.name}: its shadow copies were made by another provider: expected a catalog in the diff area, "
                f"at {self._own_space.start:#x} or later, found it at {first:#x}",
                hint="the shadow copies can be listed and read, and erased, from the image",
            )
        if self.storage is None:
            self.bitmaps = SharedBitmaps.load(self.device, first + BLOCK_HEADER_SIZE)
        stack = []
        for record in read_catalog(self.device, first):
            if not self._is_there(record):
                self.missing.append(record.snapshot.store_id)
                continue
            try:
                stack.append(self._load_store(record, is_pending=False))
            except VolumeDamagedError:
                if not self._entry_of(record).is_expendable:
                    raise
                self._catalog.give_up(record.snapshot_at, is_durable=False)
        for record in read_pending(self.device, first):
            try:
                # It was written when its set was committed, so it is the newest.
                stack.append(self._load_store(record, is_pending=True))
            except VolumeDamagedError:
                self._catalog.give_up(record.snapshot_at, is_durable=False)  # a left-over that never became a shadow copy
        used = [first + index * BLOCK_SIZE for index in range(CATALOG_BLOCKS)]
        if self.storage is not None:
            self.storage.reconcile(self._header.volume_id, {store.entry.store_id for store in stack})
        else:
            used += self.bitmaps.blocks if self.bitmaps is not None else ()
            for store in stack:
                used += store.blocks_owned()
        self._own_space.set_used(used)
        self.stack = stack
        self._stack_changed()
        self._renumber()

    def _start_over(self) -> None:
        """Give up an area that did not become durable before power was lost, or never may: nothing was promised of it."""
        self._header = replace(self._header, catalog_offset=0, is_provisional=False)
        if self.bitmaps is not None:
            self.bitmaps.abandon()
        self.bitmaps = None
        self._catalog = self._slots(0)
        self._own_space.set_used(())
        self.device.write(VOLUME_HEADER_OFFSET, bytes(VOLUME_HEADER_SIZE))

    def _is_there(self, record: CatalogRecord) -> bool:
        """Whether the store is where it must be; where its own volume does not know it the entry is taken away."""
        if self.storage is None or self.storage.has(record.snapshot.store_id):
            return True
        self._catalog.give_up(record.snapshot_at, is_durable=True)
        return False

    def _entry_of(self, record: CatalogRecord) -> StoreEntry:
        """Return the second entry of a pair, whatever its type."""
        return StoreEntry.parse(self.device.read(record.snapshot_at + ENTRY_SIZE, ENTRY_SIZE))

    def _load_store(self, record: CatalogRecord, *, is_pending: bool) -> Store:
        if isinstance(self._catalog, ElsewhereSlots):
            entry = self._entry_of(record)
            record = replace(record, store=entry)
            self._catalog.know(record.snapshot_at, entry.store_id)
        if record.snapshot.volume_size != self.volume_size:
            raise damaged("catalog entry", record.snapshot_at, f"volume size {self.volume_size}", record.snapshot.volume_size)
        store = Store.load(self.area_device, self.space, record, self.bitmaps, is_pending=is_pending)
        for at in store.blocks_owned():
            if not self.space.contains(at, BLOCK_SIZE):
                raise damaged("store", store.entry.header_offset, f"blocks from {self.space.start:#x} on", f"one at {at:#x}")
        return store

    def _stack_changed(self) -> None:
        """Derive what depends on the stack."""
        self._merged.clear()
        self.is_durable = self._wants_durable and any(store.information.attributes & PERSISTENT for store in self.stack)
        # Blocks below this are whole and saved without flushes: the short way.
        self._quick_below = 0 if self.is_durable else self.volume_size >> BLOCK_SHIFT
        self._rebuild_copied()

    def _rebuild_copied(self) -> None:
        """Derive what is copied already from the newest store."""
        if not self.stack:
            self._copied = bytearray()
            return
        # Anonymous memory is zero without being touched: switching to a new store costs the same whatever the volume's size.
        # One more than there are blocks, for a write of nothing at the very end.
        block_count = -(-self.volume_size // BLOCK_SIZE)
        copied = mmap(-1, block_count + 1)
        copied[block_count] = 1
        for block in self.space.blocks_below(self.volume_size):
            copied[block] = 1
        for block in self.stack[-1].saved:
            copied[block] = 1
        self._copied = copied

    def _renumber(self) -> None:
        """Close gaps in the stack positions; readers that pair by position need them gapless, from whatever number on."""
        for older, newer in pairwise(self.stack):
            position = older.snapshot.position + 1
            if newer.snapshot.position != position:
                self._catalog.set_position(newer.pair_at, position)
                newer.snapshot = replace(newer.snapshot, position=position)
