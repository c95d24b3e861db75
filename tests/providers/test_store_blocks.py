"""The blocks of a store."""

from __future__ import annotations

from uuid import UUID

import pytest

from vss.errors import VolumeDamagedError
from vss.volumes.block_store import MemoryStore
from vss_providers.on_disk.layout import BLOCK_SIZE
from vss_providers.on_disk.store_blocks import (
    BITS_PER_BLOCK,
    FORWARDER,
    NOT_USED,
    OVERLAY,
    BlockDescriptor,
    BlockRange,
    StoreInformation,
    bitmap_block_count,
    check_descriptor,
    is_bit_set,
    pack_bitmap_blocks,
    pack_list_block,
    pack_range_block,
    pack_store_header,
    parse_descriptors,
    parse_ranges,
    read_bitmap,
    read_descriptors,
    read_store_header,
)

INFORMATION = StoreInformation(UUID(int=7), UUID(int=8), 0x9, 0x20009, 3, "EXCH01", "EXCH02")


def device_with(offset: int, data: bytes, size: int = 8 * BLOCK_SIZE) -> MemoryStore:
    device = MemoryStore(size)
    device.write(offset, data)
    return device


def test_store_information_survives_packing() -> None:
    device = device_with(BLOCK_SIZE, pack_store_header(BLOCK_SIZE, INFORMATION))

    assert read_store_header(device, BLOCK_SIZE) == INFORMATION
    assert len(INFORMATION.pack()) == 68 + 2 * 12


@pytest.mark.parametrize("length", [10, 64, 70])
def test_store_information_cut_short_is_damage(length: int) -> None:
    with pytest.raises(VolumeDamagedError, match="store information at offset 0x80"):
        StoreInformation.parse(INFORMATION.pack()[:length], 0x80)


def test_a_name_that_is_not_utf_16_is_damage() -> None:
    data = bytearray(INFORMATION.pack())
    data[66:68] = b"\x00\xd8"

    with pytest.raises(VolumeDamagedError, match="store information"):
        StoreInformation.parse(bytes(data), 0)


def test_the_block_list_ends_at_the_first_empty_descriptor() -> None:
    descriptors = [BlockDescriptor(0, 0x8000, 0x18000), BlockDescriptor(0x4000, 0xC000, 0x1C000, OVERLAY, 0xF)]
    packed = b"".join(each.pack() for each in descriptors)
    block = pack_list_block(0x4000, 0x10000, packed + bytes(32) + packed)

    assert list(parse_descriptors(block)) == descriptors
    assert list(read_descriptors(device_with(0x10000, block), 0x10000, 1 << 16)) == descriptors


def test_a_full_block_list_block_is_read_to_its_end() -> None:
    block = pack_list_block(0, 0, BlockDescriptor(0, 1, 2).pack() * 508)

    assert len(list(parse_descriptors(block))) == 508


@pytest.mark.parametrize(
    ("descriptor", "named"),
    [
        (BlockDescriptor(0x4001, 0, 0x4000), "original offset 0x4001"),
        (BlockDescriptor(0x10000, 0, 0x4000), "original offset 0x10000"),
        (BlockDescriptor(0, 0, 0x4001), "saved block inside an image"),
        (BlockDescriptor(0, 0x4000, 0), "saved block inside an image"),
        (BlockDescriptor(0, 0, 0x20000), "saved block inside an image"),
        (BlockDescriptor(0, 0x10000, 0, FORWARDER), "saved block inside an image"),
        (BlockDescriptor(0, 0, 0x4000, FORWARDER | OVERLAY), "both"),
    ],
)
def test_a_descriptor_must_point_into_volume_and_image(descriptor: BlockDescriptor, named: str) -> None:
    with pytest.raises(VolumeDamagedError, match=f"block descriptor at offset 0x99: .*{named}"):
        check_descriptor(descriptor, 0x99, 0x10000, 0x20000)


def test_a_descriptor_that_is_not_used_may_hold_anything() -> None:
    block = pack_list_block(0, 0x4000, BlockDescriptor(0x77, 0, 0, NOT_USED).pack())

    assert len(list(read_descriptors(device_with(0x4000, block), 0x4000, 0x4000))) == 1


def test_ranges_end_at_length_0() -> None:
    ranges = [BlockRange(0x10000, 0xC000, 0x8000), BlockRange(0x20000, 0x14000, 0x4000)]

    assert list(parse_ranges(pack_range_block(0, 0, b"".join(each.pack() for each in ranges)))) == ranges
    assert len(list(parse_ranges(pack_range_block(0, 0, ranges[0].pack() * 677)))) == 677


@pytest.mark.parametrize("block_count", [1, 7, 8, 9, BITS_PER_BLOCK - 1, BITS_PER_BLOCK, BITS_PER_BLOCK + 3])
def test_bitmaps_have_a_bit_for_every_block_and_none_beyond(block_count: int) -> None:
    count = bitmap_block_count(block_count)
    offsets = [BLOCK_SIZE * (1 + index) for index in range(count)]
    device = MemoryStore(BLOCK_SIZE * (1 + count))
    for offset, data in zip(offsets, pack_bitmap_blocks(0, offsets, block_count, is_set=True), strict=True):
        device.write(offset, data)

    bits = read_bitmap(device, offsets[0], block_count)

    assert int.from_bytes(bits, "little") == (1 << block_count) - 1
    assert is_bit_set(bits, block_count - 1)


def test_a_cleared_bitmap_has_no_bit_set() -> None:
    (block,) = pack_bitmap_blocks(0, [BLOCK_SIZE], 100, is_set=False)

    assert not any(read_bitmap(device_with(BLOCK_SIZE, block), BLOCK_SIZE, 100))


def test_a_bitmap_too_short_for_the_volume_is_damage() -> None:
    (block,) = pack_bitmap_blocks(0, [BLOCK_SIZE], 100, is_set=False)

    with pytest.raises(VolumeDamagedError, match="bitmap at offset 0x4000: expected 200000 bits"):
        read_bitmap(device_with(BLOCK_SIZE, block), BLOCK_SIZE, 200_000)
