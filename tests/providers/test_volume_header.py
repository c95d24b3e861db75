"""The volume header."""

from __future__ import annotations

from uuid import UUID

import pytest

from vss.errors import VolumeDamagedError
from vss.volumes.block_store import MemoryStore
from vss_providers.on_disk.layout import VOLUME_HEADER_OFFSET
from vss_providers.on_disk.volume_header import VolumeHeader, read_volume_header

ONE, OTHER = UUID(int=1), UUID(int=2)


def device_with(data: bytes) -> MemoryStore:
    device = MemoryStore(0x4000)
    device.write(VOLUME_HEADER_OFFSET, data)
    return device


def test_header_survives_packing() -> None:
    header = VolumeHeader(0x8000, 1 << 30, ONE, OTHER)

    assert len(header.pack()) == 512
    assert read_volume_header(device_with(header.pack())) == header
    assert header.is_stored_elsewhere
    assert not VolumeHeader(0, 0, ONE, ONE).is_stored_elsewhere


def test_version_2_is_read() -> None:
    assert VolumeHeader.parse(VolumeHeader(0, 0, ONE, ONE, 2).pack()).version == 2


@pytest.mark.parametrize("device", [MemoryStore(512), MemoryStore(0x4000)], ids=["too small", "blank"])
def test_a_volume_without_header_has_no_shadow_copies(device: MemoryStore) -> None:
    assert read_volume_header(device) is None


@pytest.mark.parametrize(
    ("at", "value", "named"),
    [(16, 3, "version 1 or 2"), (20, 2, "record type 1"), (24, 1, "own offset"), (48, 1, "catalog offset in whole blocks")],
)
def test_a_wrong_field_is_named(at: int, value: int, named: str) -> None:
    data = bytearray(VolumeHeader(0x8000, 0, ONE, ONE).pack())
    data[at] = value

    with pytest.raises(VolumeDamagedError, match=f"volume header at offset 0x1e00: expected .*{named}"):
        read_volume_header(device_with(bytes(data)))
