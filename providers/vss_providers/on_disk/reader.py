"""Reads the shadow copies of any image that carries them, Windows-made ones included.

Rules of reading block X of shadow copy k (libyal/libvshadow, format document and library; dfir_ntfs for comparison): sectors
of an overlay of k win; then a saved block in the store of k, else of k+1, and so on up to the newest; a forwarder sends the
search to another block, to be looked up from the next newer store on; what no store has is read from the live volume, except
that the newest shadow copy reads a block as zeros when both bitmaps say that no shadow copy needs it. Overlays are seen only
by the shadow copy they belong to.

Readers disagree on blocks that no shadow copy needs (zeros or current bytes); they are free space or the diff area itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from vss.errors import UnsupportedError
from vss_providers.on_disk.catalog import CatalogRecord, read_catalog
from vss_providers.on_disk.layout import (
    BLOCK_SHIFT,
    BLOCK_SIZE,
    SECTOR_SIZE,
    SECTORS_PER_BLOCK,
    ReadableDevice,
    ns_from_filetime,
)
from vss_providers.on_disk.store_blocks import (
    FORWARDER,
    NOT_USED,
    OVERLAY,
    BlockDescriptor,
    StoreInformation,
    is_bit_set,
    read_bitmap,
    read_descriptors,
    read_store_header,
)
from vss_providers.on_disk.volume_header import VolumeHeader, read_volume_header


class Partition:
    """A part of a device, read as a device of its own."""

    def __init__(self, device: ReadableDevice, offset: int, size_bytes: int | None = None) -> None:
        """Take ``size_bytes`` (default: the rest) of ``device`` from ``offset``."""
        self._device, self._offset = device, offset
        self.size_bytes = device.size_bytes - offset if size_bytes is None else size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``."""
        return self._device.read(self._offset + offset, length)


@dataclass(slots=True)
class BlockMap:
    """The block list of one store, resolved: block number → absolute offset, target block, or (offset, sector bitmap)."""

    saved: dict[int, int] = field(default_factory=dict)
    forwarders: dict[int, int] = field(default_factory=dict)
    overlays: dict[int, tuple[int, int]] = field(default_factory=dict)
    targets: dict[int, int] = field(default_factory=dict)

    def add(self, descriptor: BlockDescriptor) -> None:
        """Take in the next descriptor of the list; later plain ones replace earlier, overlays are merged."""
        if descriptor.flags & NOT_USED:
            return
        block = descriptor.original_offset >> BLOCK_SHIFT
        if descriptor.flags & OVERLAY:
            offset, bitmap = self.overlays.get(block, (descriptor.store_offset, 0))
            self.overlays[block] = (offset, bitmap | descriptor.bitmap)
            return
        # A saved block that a forwarder points at is what was moved there: it belongs to where it was moved from.
        block = self.targets.pop(block, block)
        self.targets.pop(self.forwarders.pop(block, -1), None)
        if not descriptor.flags & FORWARDER:
            self.saved[block] = descriptor.store_offset
            return
        target = descriptor.relative_offset >> BLOCK_SHIFT
        if target != block:
            self.saved.pop(block, None)
            self.forwarders[block] = target
            self.targets[target] = block


class ShadowCopy:
    """One shadow copy of an image; reads like a device of ``size_bytes``."""

    def __init__(self, volume: ShadowVolume, index: int, record: CatalogRecord) -> None:
        """Made by ``ShadowVolume``."""
        self._volume, self._index, self.record = volume, index, record
        self.size_bytes = record.snapshot.volume_size
        self.created_filetime = record.snapshot.created
        self.created_ns = ns_from_filetime(record.snapshot.created)
        self.store_id: UUID = record.snapshot.store_id

    @property
    def is_stored_elsewhere(self) -> bool:
        """Whether the saved blocks are on another volume, so that this image alone cannot tell the content."""
        return self.record.store is None

    @cached_property
    def information(self) -> StoreInformation:
        """Ids, context, attributes, machines.

        Raises:
            UnsupportedError: the store is on another volume.
            VolumeDamagedError: the store header is damaged.
        """
        store = self.record.store
        if store is None:
            raise UnsupportedError(f"shadow copy {self.store_id}: its store is on another volume, not in this image")
        return read_store_header(self._volume.device, store.header_offset)

    @cached_property
    def blocks(self) -> BlockMap:
        """The resolved block list.

        Raises:
            UnsupportedError: the store is on another volume.
            VolumeDamagedError: the block list is damaged.
        """
        store = self.record.store
        if store is None:
            raise UnsupportedError(f"shadow copy {self.store_id}: its store is on another volume, not in this image")
        block_map = BlockMap()
        for descriptor in read_descriptors(self._volume.device, store.block_list_offset, self.size_bytes):
            block_map.add(descriptor)
        return block_map

    @cached_property
    def _unneeded(self) -> tuple[bytes, bytes | None]:
        """The current bitmap and the previous one, if any."""
        store, device = self.record.store, self._volume.device
        assert store is not None, "blocks are resolved first and refuse a store on another volume"
        block_count = -(-self.size_bytes // BLOCK_SIZE)
        current = read_bitmap(device, store.bitmap_offset, block_count)
        previous = store.previous_bitmap_offset
        return current, read_bitmap(device, previous, block_count) if previous else None

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``; fewer only at the end.

        Raises:
            UnsupportedError: a store that is needed is on another volume.
            VolumeDamagedError: a structure that is needed is damaged.
        """
        end = min(offset + length, self.size_bytes)
        pieces = []
        while offset < end:
            block, start = divmod(offset, BLOCK_SIZE)
            stop = min(BLOCK_SIZE, start + end - offset)
            pieces.append(self._read_block(block)[start:stop])
            offset += stop - start
        return b"".join(pieces)

    def _read_block(self, block: int) -> bytes:
        """Return one block, overlays applied."""
        device = self._volume.device
        data = self._read_below_overlay(block)
        overlay = self.blocks.overlays.get(block)
        if overlay is None:
            return data
        at, bitmap = overlay
        merged = bytearray(data.ljust(BLOCK_SIZE, b"\0"))
        for sector in range(SECTORS_PER_BLOCK):
            if bitmap >> sector & 1:
                start = sector * SECTOR_SIZE
                merged[start : start + SECTOR_SIZE] = device.read(at + start, SECTOR_SIZE)
        return bytes(merged)

    def _read_below_overlay(self, block: int) -> bytes:
        """Search this store and every newer one, then the live volume."""
        device, copies = self._volume.device, self._volume.shadow_copies
        is_forwarded = False
        for copy in copies[self._index :]:
            at = copy.blocks.saved.get(block)
            if at is not None:
                return device.read(at, BLOCK_SIZE)
            target = copy.blocks.forwarders.get(block)
            if target is not None:
                block, is_forwarded = target, True
        if self is copies[-1] and not is_forwarded and block not in self.blocks.targets:
            current, previous = self._unneeded
            if is_bit_set(current, block) and (previous is None or is_bit_set(previous, block)):
                return bytes(BLOCK_SIZE)
        at = block * BLOCK_SIZE
        return device.read(at, min(BLOCK_SIZE, self.size_bytes - at))


class ShadowVolume:
    """A volume in an image, and its shadow copies."""

    def __init__(self, device: ReadableDevice) -> None:
        """Read volume header and catalog of the volume that starts at the first byte of ``device``.

        A device without a volume header has no shadow copies; that is no error.

        Raises:
            VolumeDamagedError: header or catalog is damaged.
        """
        self.device = device
        self.header: VolumeHeader | None = read_volume_header(device)
        first = self.header.catalog_offset if self.header else 0
        records = read_catalog(device, first) if first else []
        self.shadow_copies = [ShadowCopy(self, index, record) for index, record in enumerate(records)]
        """Oldest first."""
