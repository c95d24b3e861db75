"""The common block header, chains and times."""

from __future__ import annotations

import pytest

from vss.errors import VolumeDamagedError
from vss.volumes.block_store import MemoryStore
from vss_providers.on_disk.layout import (
    BLOCK_SIZE,
    FILETIME_UNIX_EPOCH,
    BlockHeader,
    RecordType,
    check_identity,
    filetime_from_ns,
    ns_from_filetime,
    read_block,
    round_up,
    walk_chain,
)


def block(offset: int, next_offset: int = 0, kind: RecordType = RecordType.BLOCK_LIST) -> bytes:
    return BlockHeader(kind, 0, offset, next_offset).pack().ljust(BLOCK_SIZE, b"\0")


def test_header_survives_packing() -> None:
    header = BlockHeader(RecordType.STORE_HEADER, 0x4000, 0x8000, 0xC000, 77)

    packed = header.pack()

    assert len(packed) == 128
    assert packed[:16].hex() == "6b87083876c1484eb7ae04046e6cc752"
    assert BlockHeader.parse(packed, RecordType.STORE_HEADER, 0x8000) == header


@pytest.mark.parametrize(
    ("at", "value", "named"),
    [(0, 0xFF, "identifier"), (16, 9, "version"), (20, 5, "record type"), (32, 1, "own offset")],
)
def test_a_wrong_header_field_is_named_with_structure_and_offset(at: int, value: int, named: str) -> None:
    data = bytearray(block(0x8000))
    data[at] = value

    with pytest.raises(VolumeDamagedError, match=f"block list at offset 0x8000: expected {named}"):
        BlockHeader.parse(bytes(data), RecordType.BLOCK_LIST, 0x8000)


def test_short_data_are_damage() -> None:
    with pytest.raises(VolumeDamagedError, match="128 bytes at least, found 5 bytes"):
        check_identity(b"12345", RecordType.BITMAP, 0)


@pytest.mark.parametrize(("offset", "found"), [(0x4100, "whole blocks"), (2 * BLOCK_SIZE, "the end of the image")])
def test_a_block_must_lie_aligned_inside_the_image(offset: int, found: str) -> None:
    with pytest.raises(VolumeDamagedError, match=found):
        read_block(MemoryStore(2 * BLOCK_SIZE), RecordType.CATALOG, offset)


def test_a_chain_is_walked_to_its_end() -> None:
    device = MemoryStore(4 * BLOCK_SIZE, content=bytes(BLOCK_SIZE) + block(BLOCK_SIZE, 3 * BLOCK_SIZE))
    device.write(3 * BLOCK_SIZE, block(3 * BLOCK_SIZE))

    assert [header.offset for header, _ in walk_chain(device, RecordType.BLOCK_LIST, BLOCK_SIZE)] == [0x4000, 0xC000]
    assert list(walk_chain(device, RecordType.BLOCK_LIST, 0)) == []


def test_a_chain_that_meets_itself_is_damage() -> None:
    device = MemoryStore(2 * BLOCK_SIZE, content=bytes(BLOCK_SIZE) + block(BLOCK_SIZE, BLOCK_SIZE))

    with pytest.raises(VolumeDamagedError, match="a chain that ends"):
        list(walk_chain(device, RecordType.BLOCK_LIST, BLOCK_SIZE))


def test_times_are_filetimes() -> None:
    assert filetime_from_ns(0) == FILETIME_UNIX_EPOCH
    assert ns_from_filetime(filetime_from_ns(1_700_000_000_123_456_789)) == 1_700_000_000_123_456_700


def test_sizes_round_up_to_whole_blocks() -> None:
    assert [round_up(size) for size in (0, 1, BLOCK_SIZE, BLOCK_SIZE + 1)] == [0, BLOCK_SIZE, BLOCK_SIZE, 2 * BLOCK_SIZE]
