"""A volume that keeps the diff areas of other volumes: ``vss admin add shadowstorage /for=D: /on=E:``.

Layout of the format: the original volume has a header that names the storage volume, and a catalog with nothing but the
descriptions (type 2); the storage volume has a header and a catalog of its own with the stores (type 3), whose offsets are its
own. Both catalogs lie behind their volumes. Which volumes are served, and where their bitmaps are, stands in pairs of entries
that readers take for free (our mark, and the id of the volume).

Decides that a storage volume has no shadow copies itself: libvshadow would take a foreign store entry for its own. Stores no
catalog of an original volume knows any more (a crash between two disks) are freed when that volume is attached.

Source: libyal/libvshadow format document, "Catalog"; msuhanov/dfir_ntfs, ShadowCopy (the two-volume layout).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from vss.errors import VolumeDamagedError, VolumeError, VolumeFullError
from vss.volumes.block_store import BlockStore
from vss.volumes.block_volume import BlockVolume
from vss_providers.borrowed_space import BorrowedSpace, StorageDevice
from vss_providers.catalog_slots import CATALOG_BLOCKS, CatalogSlots, write_empty_catalog
from vss_providers.on_disk.catalog import (
    ENTRY_SIZE,
    FREE_ENTRY,
    FREE_PAIR,
    NOTE_MARK,
    PAIR_SIZE,
    STORE,
    CatalogRecord,
    SnapshotEntry,
    StoreEntry,
    pair_offsets,
)
from vss_providers.on_disk.layout import BLOCK_SIZE, VOLUME_HEADER_OFFSET, VOLUME_HEADER_SIZE
from vss_providers.on_disk.volume_header import VolumeHeader, read_volume_header
from vss_providers.shared_bitmaps import SharedBitmaps
from vss_providers.space import GROWTH_BYTES, DiffSpace, area_start
from vss_providers.store import Store

STORES_MAX = 512
"""Most shadow copies kept on one storage volume."""

_ANY_SIZE = 1 << 62
_VOLUME_ID_AT = 16
"""Where in the second entry of an association the volume's id stands."""


@dataclass(slots=True)
class Association:
    """One original volume: where its note stands, its bitmaps, its room."""

    volume_id: UUID
    note_at: int
    bitmaps: SharedBitmaps
    space: BorrowedSpace


class StorageVolume:
    """The diff areas of others behind one volume.

    Attributes:
        volume: the storage volume.
        device: its bytes.
        associations: by id of the original volume.
    """

    def __init__(self, volume: BlockVolume, header: VolumeHeader, *, growth_bytes: int = GROWTH_BYTES) -> None:
        """Take up what stands there; made by ``find`` and ``make``."""
        self.volume = volume
        self.device = StorageDevice(volume)
        self.associations: dict[UUID, Association] = {}
        self._first = header.catalog_offset
        self._space = DiffSpace(self.device, area_start(volume.size_bytes), growth_bytes=growth_bytes)
        self._stores: dict[UUID, tuple[int, StoreEntry]] = {}
        self._damaged: dict[UUID, VolumeDamagedError] = {}
        self._load()

    @classmethod
    def find(cls, volume: BlockVolume) -> StorageVolume | None:
        """Return the storage volume that ``volume`` is, if it is one; ``VolumeDamagedError`` where it is damaged."""
        header = read_volume_header(volume.raw_store)
        if header is None or not header.catalog_offset or header.is_stored_elsewhere:
            return None
        if header.catalog_offset < area_start(volume.size_bytes):
            return None
        found = any(_is_note(pair) for _, pair in _pairs(volume.raw_store, header.catalog_offset))
        return cls(volume, header) if found else None

    @classmethod
    def make(cls, volume: BlockVolume) -> StorageVolume:
        """Make a storage volume of one without shadow copies; ``VolumeError`` when the device fails or has no room."""
        device = volume.raw_store
        at = DiffSpace(device, area_start(volume.size_bytes)).allocate(CATALOG_BLOCKS * BLOCK_SIZE)
        write_empty_catalog(device, at)
        header = VolumeHeader(at, 0, volume.volume_id, volume.volume_id)
        device.write(VOLUME_HEADER_OFFSET, header.pack())
        device.flush()
        return cls(volume, header)

    def _load(self) -> None:
        used = [self._first + index * BLOCK_SIZE for index in range(CATALOG_BLOCKS)]
        notes: list[tuple[UUID, int, SharedBitmaps]] = []
        for at, pair in _pairs(self.device, self._first):
            if _is_note(pair):
                bitmaps = SharedBitmaps.load(self.device, at)
                assert bitmaps is not None, "it has the mark"
                volume_id = UUID(bytes_le=pair[ENTRY_SIZE + _VOLUME_ID_AT : ENTRY_SIZE + _VOLUME_ID_AT + 16])
                notes.append((volume_id, at, bitmaps))
                used += bitmaps.blocks
            elif pair[ENTRY_SIZE] == STORE:
                entry = StoreEntry.parse(pair[ENTRY_SIZE:])
                self._stores[entry.store_id] = (at, entry)
        by_bitmap: dict[int, tuple[SharedBitmaps, set[int]]] = {}
        for _, _, bitmaps in notes:
            by_bitmap[bitmaps.current] = (bitmaps, set(bitmaps.blocks))
        for store_id, (_, entry) in list(self._stores.items()):
            try:
                bitmaps, owned = by_bitmap[entry.bitmap_offset]
                owned |= self._blocks_of(entry, bitmaps)
            except KeyError:
                self._drop_entry(store_id)  # its association is gone
            except VolumeDamagedError as error:
                if entry.is_expendable:
                    self._drop_entry(store_id)
                else:
                    self._damaged[store_id] = error
        if self._damaged:
            # What belongs to a damaged store is unknown, so nothing that was there is given to others.
            used = list(range(self._space.start, self._space.end, BLOCK_SIZE))
        for volume_id, at, bitmaps in notes:
            owned = by_bitmap[bitmaps.current][1]
            used += owned
            space = BorrowedSpace(self._space, len(owned) * BLOCK_SIZE)
            self.associations[volume_id] = Association(volume_id, at, bitmaps, space)
        self._space.set_used(used)

    def _blocks_of(self, entry: StoreEntry, bitmaps: SharedBitmaps) -> set[int]:
        record = CatalogRecord(SnapshotEntry(entry.store_id, _ANY_SIZE, 0, 0), entry, 0)
        return set(Store.load(self.device, self._space, record, bitmaps, is_pending=False).blocks_owned())

    @property
    def is_current(self) -> bool:
        """Whether the volume still stands on the same bytes."""
        return self.device.is_current

    # -- associations ----------------------------------------------------------------------------------------------------------

    def associate(self, volume_id: UUID, volume_size: int) -> Association:
        """Make room for another volume; ``VolumeError`` when the device fails or has no room."""
        at = self._free_pair()
        owner = FREE_ENTRY[:_VOLUME_ID_AT] + volume_id.bytes_le + FREE_ENTRY[_VOLUME_ID_AT + 16 :]
        space = BorrowedSpace(self._space, 0)
        bitmaps = SharedBitmaps.create(self.device, space, at, volume_size, note_end=owner)
        association = self.associations[volume_id] = Association(volume_id, at, bitmaps, space)
        return association

    def dissociate(self, volume_id: UUID) -> None:
        """Take an association away; with the last one the volume is one like any other. ``VolumeError``: the device failed."""
        association = self.associations[volume_id]
        self.reconcile(volume_id, ())
        self.device.write(association.note_at, FREE_PAIR)
        self.device.flush()
        association.space.free_blocks(association.bitmaps.blocks)
        del self.associations[volume_id]
        if not self.associations:
            self.device.write(VOLUME_HEADER_OFFSET, bytes(VOLUME_HEADER_SIZE))
            self.device.flush()

    def reconcile(self, volume_id: UUID, kept: Collection[UUID]) -> int:
        """Free the stores of a volume that its catalog does not name; return how many there were."""
        association = self.associations[volume_id]
        bitmaps = association.bitmaps
        stores = {each: entry for each, (_, entry) in self._stores.items() if entry.bitmap_offset == bitmaps.current}
        orphans = [each for each in stores if each not in kept]
        if not orphans:
            return 0
        owned = {each: self._blocks_of(entry, bitmaps) for each, entry in stores.items() if each not in self._damaged}
        for store_id in orphans:
            self._drop_entry(store_id)
            self._damaged.pop(store_id, None)
        # What a deleted store had saved may have been handed down to another one, which points into it now.
        still_used = set().union(*(blocks for each, blocks in owned.items() if each in kept))
        association.space.free_blocks(set().union(*(owned.get(each, ()) for each in orphans)) - still_used)
        return len(orphans)

    # -- stores ----------------------------------------------------------------------------------------------------------------

    def has(self, store_id: UUID) -> bool:
        """Whether the catalog has this store; ``VolumeDamagedError`` where it has and the store is damaged."""
        if store_id in self._damaged:
            raise self._damaged[store_id]
        return store_id in self._stores

    def enter(self, entry: StoreEntry, *, is_durable: bool) -> None:
        """Enter a store, durable before the original volume's catalog names it, if that is wanted.

        Raises:
            VolumeFullError: it has 512 already.
            VolumeError: the device failed; whether it stands is unknown.
        """
        if entry.store_id in self._stores:
            return
        if len(self._stores) >= STORES_MAX:
            raise VolumeFullError(f"volume {self.volume.name} stores {STORES_MAX} shadow copies, the most there may be")
        at = self._free_pair()
        if is_durable:
            self.device.flush()
        self._stores[entry.store_id] = (at, entry)
        self.device.write(at, FREE_ENTRY + entry.pack())
        if is_durable:
            self.device.flush()

    def remove(self, store_id: UUID) -> None:
        """Take a store out of the catalog, which no other catalog names any more; a disk that fails keeps an orphan."""
        self._drop_entry(store_id)

    def _drop_entry(self, store_id: UUID) -> None:
        at, _ = self._stores.pop(store_id, (0, None))
        if at:
            with suppress(VolumeError):
                self.device.write(at, FREE_PAIR)
                self.device.flush()  # before its room is used again

    def _free_pair(self) -> int:
        taken = {at for at, _ in self._stores.values()} | {each.note_at for each in self.associations.values()}
        return CatalogSlots(self.device, self._first).free_pair(taken)


def _pairs(device: BlockStore, first: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of every pair of the catalog at ``first`` that is not free."""
    for index in range(CATALOG_BLOCKS):
        block_at = first + index * BLOCK_SIZE
        if block_at + BLOCK_SIZE > device.size_bytes:
            return
        data = device.read(block_at, BLOCK_SIZE)
        for at in pair_offsets(block_at):
            pair = data[at - block_at : at - block_at + PAIR_SIZE]
            if pair != FREE_PAIR:
                yield at, pair


def _is_note(pair: bytes) -> bool:
    return pair[16:32] == NOTE_MARK


class ElsewhereSlots(CatalogSlots):
    """The catalog of a volume whose stores are on another one: a store is entered there first, and taken away there last.

    In our own catalog the second entry of a pair stands complete but of the free type: nobody reads it but we.
    """

    def __init__(self, device: BlockStore, first_offset: int, storage: StorageVolume) -> None:
        """Write to the catalog that stands there, and to that of ``storage``."""
        super().__init__(device, first_offset)
        self._storage = storage
        self._store_ids: dict[int, UUID] = {}

    def know(self, pair_at: int, store_id: UUID) -> None:
        """A pair was found standing there."""
        self._store_ids[pair_at] = store_id

    def enter(self, pair_at: int, snapshot: SnapshotEntry, store: StoreEntry, *, is_pending: bool, is_durable: bool) -> None:
        """Write both catalogs; ``VolumeError``: either may stand or not."""
        self.know(pair_at, store.store_id)
        self._storage.enter(store, is_durable=is_durable)
        self._write_pair(pair_at, snapshot, store, snapshot_only=True, is_pending=is_pending, is_durable=is_durable)

    def remove(self, pair_at: int, *, is_durable: bool) -> None:
        """Take the pair away, then the store; ``VolumeError``: the pair may stand or not."""
        super().remove(pair_at, is_durable=is_durable)
        store_id = self._store_ids.pop(pair_at, None)
        if store_id is not None:
            self._storage.remove(store_id)
