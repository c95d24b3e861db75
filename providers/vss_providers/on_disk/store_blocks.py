"""The blocks of one store: header with store information, block list, range list and bitmaps.

A store holds what one shadow copy needs of the blocks written since it was made. Its block list says which block of the volume
is saved where; descriptors are appended without holes (an all-zero one ends the list) and never cross a sector, so appending
one cannot tear. A bitmap has one bit per 16 KiB block of the volume, least significant first.

Sources: libyal/libvshadow format document, "Store"; application ids: DFIR-ORC, Ntfs/ShadowCopy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from vss_providers.on_disk.layout import (
    BLOCK_HEADER_SIZE,
    BLOCK_SIZE,
    NEXT_OFFSET_AT,
    BlockHeader,
    ReadableDevice,
    RecordType,
    damaged,
    read_block,
    walk_chain,
)

# -- store header and information ----------------------------------------------------------------------------------------------

APPLICATION_ID = UUID("e5de7d45-49f2-40a4-817c-7dc82b72587f")
HIDDEN_APPLICATION_ID = UUID("f12142b4-9a4b-49af-a851-700c42fdc2be")

_INFORMATION = struct.Struct("<16s16s16sIIII")
assert _INFORMATION.size == 64

ATTRIBUTES_AT = 56
"""Where in the store information the attribute bits stand; four bytes that never cross a sector."""


@dataclass(frozen=True, slots=True)
class StoreInformation:
    """What a shadow copy is, apart from its blocks (store header block, from byte 128).

    ``context`` is the snapshot context, ``attributes`` the VSS_VOLSNAP_ATTR bits, ``snapshots_in_set`` the number of shadow
    copies in the set when it was made.
    """

    snapshot_id: UUID
    snapshot_set_id: UUID
    context: int
    attributes: int
    snapshots_in_set: int = 1
    originating_machine: str = ""
    service_machine: str = ""
    application_id: UUID = APPLICATION_ID

    def pack(self) -> bytes:
        """Return the store information."""
        return _INFORMATION.pack(
            self.application_id.bytes_le,
            self.snapshot_id.bytes_le,
            self.snapshot_set_id.bytes_le,
            self.context,
            self.snapshots_in_set,
            self.attributes,
            0,
        ) + b"".join(
            struct.pack("<H", len(text)) + text
            for text in (self.originating_machine.encode("utf-16-le"), self.service_machine.encode("utf-16-le"))
        )

    @classmethod
    def parse(cls, data: bytes, offset: int) -> StoreInformation:
        """Read the information; ``offset`` is where it stands, for messages.

        Raises:
            VolumeDamagedError: it is cut short, or a name is not UTF-16.
        """
        try:
            application_id, snapshot_id, set_id, context, count, attributes, _ = _INFORMATION.unpack_from(data)
            originating_machine, after = _parse_text(data, _INFORMATION.size)
            service_machine, _ = _parse_text(data, after)
        except (struct.error, UnicodeDecodeError) as error:
            raise damaged("store information", offset, "three ids, numbers and two names", str(error)) from error
        return cls(
            UUID(bytes_le=snapshot_id),
            UUID(bytes_le=set_id),
            context,
            attributes,
            count,
            originating_machine,
            service_machine,
            UUID(bytes_le=application_id),
        )


def _parse_text(data: bytes, at: int) -> tuple[str, int]:
    """Return a name that is prefixed by its length in bytes, and where it ends."""
    (length,) = struct.unpack_from("<H", data, at)
    (text,) = struct.unpack_from(f"<{length}s", data, at + 2)
    return text.decode("utf-16-le"), at + 2 + length


def pack_store_header(offset: int, information: StoreInformation) -> bytes:
    """Return the store header block that stands at ``offset``, padded with zeros."""
    data = information.pack()
    header = BlockHeader(RecordType.STORE_HEADER, 0, offset, 0, len(data))
    return (header.pack() + data).ljust(BLOCK_SIZE, b"\0")


def read_store_header(device: ReadableDevice, offset: int) -> StoreInformation:
    """Read the store header block at ``offset``.

    Raises:
        VolumeDamagedError: block or information is damaged.
    """
    header, data = read_block(device, RecordType.STORE_HEADER, offset)
    information = data[BLOCK_HEADER_SIZE : BLOCK_HEADER_SIZE + header.information_size]
    return StoreInformation.parse(information, offset + BLOCK_HEADER_SIZE)


# -- block list ----------------------------------------------------------------------------------------------------------------

FORWARDER, OVERLAY, NOT_USED = 0x1, 0x2, 0x4
EXTENDS_OVERLAY = 1
"""Relative offset of a descriptor that only adds sectors to an overlay."""

_DESCRIPTOR = struct.Struct("<QQQII")
DESCRIPTOR_SIZE = 32
assert _DESCRIPTOR.size == DESCRIPTOR_SIZE
DESCRIPTORS_PER_BLOCK = (BLOCK_SIZE - BLOCK_HEADER_SIZE) // DESCRIPTOR_SIZE
assert DESCRIPTORS_PER_BLOCK == 508

pack_descriptor = _DESCRIPTOR.pack
"""(original offset, relative offset, store offset, flags, bitmap) to 32 bytes; the fast form of ``BlockDescriptor.pack``."""


@dataclass(frozen=True, slots=True)
class BlockDescriptor:
    """Where one block of the volume is saved.

    Attributes:
        original_offset: the block on the volume.
        relative_offset: of the saved block in the store; for a forwarder the offset on the volume to look up instead; for a
            descriptor that only adds sectors to an overlay 1.
        store_offset: absolute offset of the saved block; 0 for a forwarder.
        flags: 0 for a plain saved block, or ``FORWARDER``, ``OVERLAY``, ``NOT_USED``.
        bitmap: which 512-byte sectors count; overlays only.
    """

    original_offset: int
    relative_offset: int
    store_offset: int
    flags: int = 0
    bitmap: int = 0

    def pack(self) -> bytes:
        """Return the 32 bytes."""
        return _DESCRIPTOR.pack(self.original_offset, self.relative_offset, self.store_offset, self.flags, self.bitmap)


def pack_list_block(relative_offset: int, offset: int, descriptors: bytes = b"") -> bytes:
    """Return a last block list block with these packed descriptors."""
    header = BlockHeader(RecordType.BLOCK_LIST, relative_offset, offset)
    return (header.pack() + descriptors).ljust(BLOCK_SIZE, b"\0")


def parse_descriptors(data: bytes) -> Iterator[BlockDescriptor]:
    """Yield the descriptors of one block list block up to the first all-zero one."""
    payload = data[BLOCK_HEADER_SIZE:]
    for fields in _DESCRIPTOR.iter_unpack(payload):
        if not any(fields):
            return
        yield BlockDescriptor(*fields)


def read_descriptors(device: ReadableDevice, first_offset: int, volume_size: int) -> Iterator[BlockDescriptor]:
    """Yield every descriptor of a block list, in the order of writing.

    Raises:
        VolumeDamagedError: a block is damaged, or a descriptor points outside the volume or the image.
    """
    for header, data in walk_chain(device, RecordType.BLOCK_LIST, first_offset):
        for index, descriptor in enumerate(parse_descriptors(data)):
            if not descriptor.flags & NOT_USED:
                at = header.offset + BLOCK_HEADER_SIZE + index * DESCRIPTOR_SIZE
                check_descriptor(descriptor, at, volume_size, device.size_bytes)
            yield descriptor


def check_descriptor(descriptor: BlockDescriptor, at: int, volume_size: int, image_size: int) -> None:
    """Check that a used descriptor points at a block of the volume and at a saved block inside the image.

    Raises:
        VolumeDamagedError: it does not.
    """
    original, flags = descriptor.original_offset, descriptor.flags
    if original % BLOCK_SIZE or original >= volume_size:
        raise damaged("block descriptor", at, f"a block of a volume of {volume_size} bytes", f"original offset {original:#x}")
    if flags & FORWARDER and flags & OVERLAY:
        raise damaged("block descriptor", at, "forwarder or overlay", f"both (flags {flags:#x})")
    if flags & FORWARDER:
        is_inside = descriptor.relative_offset % BLOCK_SIZE == 0 and descriptor.relative_offset < volume_size
    else:
        is_inside = descriptor.store_offset % BLOCK_SIZE == 0 and 0 < descriptor.store_offset <= image_size - BLOCK_SIZE
    if not is_inside:
        found = f"{descriptor.store_offset:#x} (relative {descriptor.relative_offset:#x})"
        raise damaged("block descriptor", at, f"a saved block inside an image of {image_size} bytes", found)


# -- range list ----------------------------------------------------------------------------------------------------------------

_RANGE = struct.Struct("<QQQ")
RANGE_SIZE = 24
RANGES_PER_BLOCK = (BLOCK_SIZE - BLOCK_HEADER_SIZE) // RANGE_SIZE
assert RANGES_PER_BLOCK == 677


@dataclass(frozen=True, slots=True)
class BlockRange:
    """A run of space that the store owns: absolute start, start relative to the store, length, all in bytes."""

    start: int
    relative_start: int
    length: int

    def pack(self) -> bytes:
        """Return the 24 bytes."""
        return _RANGE.pack(self.start, self.relative_start, self.length)


def pack_range_block(relative_offset: int, offset: int, ranges: bytes = b"") -> bytes:
    """Return a last range list block with these packed ranges."""
    header = BlockHeader(RecordType.RANGE_LIST, relative_offset, offset)
    return (header.pack() + ranges).ljust(BLOCK_SIZE, b"\0")


def parse_ranges(data: bytes) -> Iterator[BlockRange]:
    """Yield the ranges of one range list block; one of length 0 ends it."""
    for at in range(BLOCK_HEADER_SIZE, BLOCK_HEADER_SIZE + RANGES_PER_BLOCK * RANGE_SIZE, RANGE_SIZE):
        found = BlockRange(*_RANGE.unpack_from(data, at))
        if not found.length:
            return
        yield found


# -- bitmaps -------------------------------------------------------------------------------------------------------------------

BITMAP_BYTES_PER_BLOCK = BLOCK_SIZE - BLOCK_HEADER_SIZE
BITS_PER_BLOCK = BITMAP_BYTES_PER_BLOCK * 8
assert BITS_PER_BLOCK == 130_048


def bitmap_block_count(block_count: int) -> int:
    """Return how many bitmap blocks a volume of ``block_count`` blocks needs."""
    return max(1, -(-block_count // BITS_PER_BLOCK))


def pack_bitmap_blocks(
    relative_offset: int, offsets: Sequence[int], block_count: int, *, is_set: bool = False, set_blocks: Iterable[int] = ()
) -> Iterator[bytes]:
    """Yield chained bitmap blocks, to stand at ``offsets``: the bit of every block of the volume set, or of ``set_blocks``."""
    clear, ones, marked = bytes(BITMAP_BYTES_PER_BLOCK), b"\xff" * BITMAP_BYTES_PER_BLOCK, dict[int, bytearray]()
    for block in set_blocks:
        index, bit = divmod(block, BITS_PER_BLOCK)
        marked.setdefault(index, bytearray(clear))[bit >> 3] |= 1 << (bit & 7)
    for index, offset in enumerate(offsets):
        next_offset = offsets[index + 1] if index + 1 < len(offsets) else 0
        header = BlockHeader(RecordType.BITMAP, relative_offset + index * BLOCK_SIZE, offset, next_offset)
        bits: bytes | bytearray = marked.get(index, clear)
        if is_set:
            count = min(max(0, block_count - index * BITS_PER_BLOCK), BITS_PER_BLOCK)
            bits = (ones[: count // 8] + bytes([(1 << count % 8) - 1])).ljust(BITMAP_BYTES_PER_BLOCK, b"\0")
        yield header.pack() + bits[:BITMAP_BYTES_PER_BLOCK]


_CONTINUED_AT = 56
_CONTINUED_MARK = UUID("2f0a8f43-6a0d-4d3c-9d57-7be1a3c0e803").bytes_le
"""In bytes of the block header that nothing is known of: the chain ends here for now."""


def pack_continued(block: bytes) -> bytes:
    """Return the first block of a chain as a last one that is to be continued; linking the next one takes the mark away."""
    header = block[:NEXT_OFFSET_AT].ljust(_CONTINUED_AT, b"\0") + _CONTINUED_MARK
    return header.ljust(BLOCK_HEADER_SIZE, b"\0") + block[BLOCK_HEADER_SIZE:]


def is_continued(block: bytes) -> bool:
    """Whether a bitmap block is the last of a chain that is to be continued: the bits that are missing are clear."""
    return block[_CONTINUED_AT : _CONTINUED_AT + 16] == _CONTINUED_MARK


def read_bitmap(device: ReadableDevice, first_offset: int, block_count: int) -> bytes:
    """Return the bits of a bitmap, one per block of the volume, least significant first.

    Raises:
        VolumeDamagedError: a block is damaged, or the chain is too short for the volume.
    """
    blocks = [data for _, data in walk_chain(device, RecordType.BITMAP, first_offset)]
    bits = b"".join([data[BLOCK_HEADER_SIZE:] for data in blocks])
    if len(bits) * 8 < block_count:
        if not blocks or not is_continued(blocks[-1]):
            raise damaged("bitmap", first_offset, f"{block_count} bits at least", f"{len(bits) * 8} bits")
        bits = bits.ljust(-(-block_count // 8), b"\0")
    return bits


def is_bit_set(bits: bytes, block: int) -> bool:
    """Whether the bit of ``block`` is set."""
    return bool(bits[block >> 3] >> (block & 7) & 1)
