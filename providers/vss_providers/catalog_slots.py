"""The catalog of a diff area, being written: slots for pairs of entries, each changed by one sector write.

Decides where a pair goes (the first free slot) and what becomes of entries that could not be removed when their shadow copies
were given up: they are remembered and cleared before the next set is prepared, because nothing may leave a shadow copy listed
that is not true any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from vss.errors import VolumeError
from vss.volumes.block_store import BlockStore
from vss_providers.on_disk.catalog import (
    FLAGS_AT,
    FREE,
    FREE_PAIR,
    PAIRS_PER_BLOCK,
    POSITION_AT,
    SNAPSHOT,
    STORE,
    SnapshotEntry,
    StoreEntry,
    pack_empty_catalog,
    pair_offsets,
)
from vss_providers.on_disk.layout import BLOCK_SIZE

SNAPSHOTS_MAX = 512
"""Most software shadow copies of a volume (Volume Shadow Copy Service documentation, "Limits")."""

CATALOG_BLOCKS = 9
assert (CATALOG_BLOCKS - 1) * PAIRS_PER_BLOCK < SNAPSHOTS_MAX <= CATALOG_BLOCKS * PAIRS_PER_BLOCK


def write_empty_catalog(device: BlockStore, first_offset: int) -> None:
    """Write a catalog without entries, durable before anything points at it; ``VolumeError`` when the device fails."""
    device.write(first_offset, pack_empty_catalog(first_offset, CATALOG_BLOCKS))
    device.flush()


class CatalogSlots:
    """The slots of the catalog at ``first_offset``, which is ``CATALOG_BLOCKS`` contiguous blocks long."""

    def __init__(self, device: BlockStore, first_offset: int) -> None:
        """Write to the catalog that stands there."""
        self._device = device
        self._first_offset = first_offset
        self._given_up: list[int] = []

    def free_pair(self, taken: Iterable[int]) -> int:
        """Return the absolute offset of the first slot that is not ``taken``."""
        used = {*taken, *self._given_up}
        for index in range(CATALOG_BLOCKS):
            for at in pair_offsets(self._first_offset + index * BLOCK_SIZE):
                if at not in used:
                    return at
        raise AssertionError(f"the catalog has {CATALOG_BLOCKS * PAIRS_PER_BLOCK} slots and one more was wanted")

    def enter(self, pair_at: int, snapshot: SnapshotEntry, store: StoreEntry, *, is_pending: bool, is_durable: bool) -> None:
        """Write a pair; what it points at is durable before it, if that is wanted. ``VolumeError``: it may stand or not."""
        self._write_pair(pair_at, snapshot, store, snapshot_only=False, is_pending=is_pending, is_durable=is_durable)

    def _write_pair(
        self,
        pair_at: int,
        snapshot: SnapshotEntry,
        store: StoreEntry,
        *,
        snapshot_only: bool,
        is_pending: bool,
        is_durable: bool,
    ) -> None:
        kinds = (FREE if is_pending else SNAPSHOT, FREE if is_pending or snapshot_only else STORE)
        if is_durable:
            self._device.flush()
        self._device.write(pair_at, snapshot.pack(kinds[0]) + store.pack(kinds[1]))
        if is_durable:
            self._device.flush()

    def remove(self, pair_at: int, *, is_durable: bool) -> None:
        """Take a pair away; ``VolumeError``: it may stand or not."""
        self._device.write(pair_at, FREE_PAIR)
        if is_durable:
            self._device.flush()

    def give_up(self, pair_at: int, *, is_durable: bool) -> None:
        """Take a pair away now, or, where the device refuses, before the next set is prepared."""
        try:
            self.remove(pair_at, is_durable=is_durable)
        except VolumeError:
            self._given_up.append(pair_at)

    def clean(self) -> None:
        """Take away what was given up; ``VolumeError`` when the device still refuses."""
        while self._given_up:
            self.remove(self._given_up[-1], is_durable=True)
            self._given_up.pop()

    def set_position(self, pair_at: int, position: int) -> None:
        """Change the stack position in a pair; ``VolumeError`` when the device fails."""
        self._device.write(pair_at + POSITION_AT, position.to_bytes(8, "little"))

    def set_flags(self, pair_at: int, flags: int) -> None:
        """Change the flags in a pair, durably; ``VolumeError`` when the device fails."""
        self._device.write(pair_at + FLAGS_AT, flags.to_bytes(8, "little"))
        self._device.flush()
