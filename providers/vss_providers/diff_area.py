"""The diff area of one volume: its stack of stores, read and written into, its size, and the way back to a shadow copy.

Reading block X of a shadow copy goes up the stack from its own store to the first that has X saved, then to the live volume;
sectors written into the shadow copy itself win. A revert is noted in the catalog before the first block of the volume changes,
so that a start finds it and goes on; all shadow copies read as before at every point of it.

Source: libyal/libvshadow format document (the flag of a revert: msuhanov/dfir_ntfs, ShadowCopy).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from vss.errors import VolumeReadError, VolumeWriteError
from vss.volumes.block_store import check_range
from vss_providers.on_disk.catalog import FLAG_REVERT
from vss_providers.on_disk.layout import BLOCK_SHIFT, BLOCK_SIZE, SECTOR_SIZE, VOLUME_HEADER_OFFSET, VOLUME_HEADER_SIZE
from vss_providers.shadow_stack import ShadowStack
from vss_providers.stack_reading import apply_overlays, read_through
from vss_providers.store import Store

MERGED_MAX = 4
"""Maps of whole stacks kept for reading; each costs some 100 bytes a saved block."""


class DiffArea(ShadowStack):
    """The shadow copies of one volume, whole."""

    # -- reading and overlays --------------------------------------------------------------------------------------------------

    def read(self, store: Store, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes of the shadow copy that ``store`` belongs to.

        Raises:
            VolumeReadError: outside it, it is lost, or the device failed.
        """
        if store.lost:
            raise VolumeReadError(f"shadow copy {store.snapshot_id}: {store.lost}")
        if offset < 0 or length < 0 or offset + length > self.volume_size:
            check_range(f"shadow copy {store.snapshot_id}", self.volume_size, offset, length, VolumeReadError)
        first, last = offset >> BLOCK_SHIFT, offset + length - 1 >> BLOCK_SHIFT
        maps = self._maps(store)
        if first == last:
            at = next((saved[first] for saved in maps if first in saved), None)
            data = self.device.read(offset, length) if at is None else self.area_device.read(at + offset % BLOCK_SIZE, length)
        elif store is self.stack[-1] and self._copied.find(b"\1", first, last + 1) < 0:
            data = self.device.read(offset, length)
        else:
            data = read_through(self.device, self.area_device, maps, offset, length)
        return apply_overlays(self.area_device, store.overlays, offset, data) if store.overlays else data

    def _maps(self, store: Store) -> Sequence[Mapping[int, int]]:
        """Return where blocks of ``store`` are saved: in it and the full ones above, as one map, then in the newest.

        Only the newest store grows, so the map of the others stays right until the stack changes; it is made when it is first
        needed and kept for the few that are being read.
        """
        newest = self.stack[-1]
        if store is newest:
            return (newest.saved,)
        merged = self._merged.get(store)
        if merged is None:
            merged = {}
            for each in reversed(self.stack[self.stack.index(store) : -1]):
                merged.update(each.saved)
            while len(self._merged) >= MERGED_MAX:
                del self._merged[next(iter(self._merged))]
            self._merged[store] = merged
        return (merged, newest.saved)

    def write(self, store: Store, offset: int, data: bytes) -> None:
        """Write into the shadow copy itself; older ones and the volume do not see it.

        Raises:
            VolumeWriteError: outside it, it is lost, or the device failed.
            VolumeFullError: the diff area has no room.
        """
        if store.lost:
            raise VolumeWriteError(f"shadow copy {store.snapshot_id}: {store.lost}")
        check_range(f"shadow copy {store.snapshot_id}", self.volume_size, offset, len(data), VolumeWriteError)
        # Overlays count whole sectors: the ends are filled up with what the shadow copy reads there.
        head, end = offset % SECTOR_SIZE, offset + len(data)
        tail_end = min(-(-end // SECTOR_SIZE) * SECTOR_SIZE, self.volume_size)
        data = self.read(store, offset - head, head) + data + self.read(store, end, tail_end - end)
        data, offset = data.ljust(-(-len(data) // SECTOR_SIZE) * SECTOR_SIZE, b"\0"), offset - head
        done = 0
        while done < len(data):
            block, start = offset + done >> BLOCK_SHIFT, (offset + done) % BLOCK_SIZE
            piece = data[done : done + BLOCK_SIZE - start]
            store.write_overlay(block, start // SECTOR_SIZE, piece, is_durable=self.is_durable)
            done += len(piece)

    # -- size and the rest -----------------------------------------------------------------------------------------------------

    @property
    def allocated_bytes(self) -> int:
        """Bytes set aside for the area: of the image behind the volume, or of the file inside it."""
        return self.space.allocated_bytes

    @property
    def used_bytes(self) -> int:
        """Bytes of these that catalog and stores hold or have set aside."""
        return self.space.allocated_bytes - self.space.free_bytes

    @property
    def maximum_size(self) -> int:
        """Most bytes that the area may take; 0 is no bound."""
        return self.space.maximum_size

    @property
    def has_catalog(self) -> bool:
        """Whether there is an area on the device, if only an empty one."""
        return bool(self._header.catalog_offset)

    @property
    def is_inside_volume(self) -> bool:
        """Whether the area lies in a file of the volume itself."""
        return bool(self._own_space.extents)

    def create(self, maximum_size: int) -> None:
        """Put an empty area in place; ``VolumeError`` when the device fails or has no room for it."""
        self._header = replace(self._header, maximum_size=maximum_size)
        self.space.maximum_size = maximum_size
        self._write_header()
        self.device.flush()

    def set_maximum_size(self, size_bytes: int) -> None:
        """Change the bound. Where more is used than it allows the oldest shadow copies go; what is allocated stays allocated.

        Raises:
            VolumeError: the device failed; the bound is as before.
        """
        header = replace(self._header, maximum_size=size_bytes)
        if self._header.catalog_offset:
            self._change_header(header)
        self._header, self.space.maximum_size = header, size_bytes
        while size_bytes and self.stack and self.used_bytes > size_bytes:
            self._make_room()

    # -- reverting -------------------------------------------------------------------------------------------------------------

    def mark_revert(self, store: Store, *, is_reverting: bool) -> None:
        """Note in the catalog, durably, that the volume is being reverted to ``store``, or is not any more.

        Raises:
            VolumeError: the device failed.
        """
        flags = store.snapshot.flags | FLAG_REVERT if is_reverting else store.snapshot.flags & ~FLAG_REVERT
        self._catalog.set_flags(store.pair_at, flags)
        store.snapshot = replace(store.snapshot, flags=flags)

    @property
    def reverting(self) -> Store | None:
        """The store that the volume is being reverted to, if any."""
        return next((store for store in self.stack if store.snapshot.flags & FLAG_REVERT), None)

    def newer_than(self, store: Store) -> list[Store]:
        """Return the stores above ``store``, newest first."""
        return self.stack[: self.stack.index(store) : -1]

    def blocks_to_revert(self, store: Store) -> Collection[int]:
        """Return the blocks in which the volume may differ from ``store``, the newest, in order."""
        assert store is self.stack[-1], "newer shadow copies are deleted first"
        return sorted({*store.saved, *store.overlays})

    def read_for_revert(self, store: Store, block: int) -> bytes:
        """Return what must stand in ``block`` of the volume after a revert: the shadow copy, but the area's own header."""
        offset = block << BLOCK_SHIFT
        data = self.read(store, offset, min(BLOCK_SIZE, self.volume_size - offset))
        if block == VOLUME_HEADER_OFFSET >> BLOCK_SHIFT:
            end = VOLUME_HEADER_OFFSET + VOLUME_HEADER_SIZE
            data = data[:VOLUME_HEADER_OFFSET] + self._header.pack() + data[end:]
        return data
