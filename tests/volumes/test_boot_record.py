"""The boot record says what readers of shadow copies look for."""

from __future__ import annotations

import io

import pytest

from vss.ids import Guid
from vss.volumes import VSS_HEADER_OFFSET, MemoryStore, boot_record, volume_size_of
from vss.volumes.extent_core import ExtentCore

VSS_IDENTIFIER = bytes.fromhex("6b87083876c1484eb7ae04046e6cc752")


def test_the_size_of_the_volume_comes_back() -> None:
    store = MemoryStore(2 << 20)
    store.write(0, boot_record(1 << 20, Guid(int=9)))
    assert volume_size_of(store) == 1 << 20


@pytest.mark.parametrize("offset", [3, 10, 510])
def test_without_the_record_the_device_is_the_volume(offset: int) -> None:
    store = MemoryStore(2 << 20)
    store.write(0, boot_record(1 << 20, Guid(int=9)))
    store.write(offset, b"\x01")
    assert volume_size_of(store) == 2 << 20
    assert volume_size_of(MemoryStore(100)) == 100


@pytest.mark.parametrize("total_sectors", [b"\xff" * 8, (1 << 20).to_bytes(8, "little")])
def test_a_record_of_an_impossible_size_is_ignored(total_sectors: bytes) -> None:
    store = MemoryStore(1 << 20)
    store.write(0, boot_record(1 << 20, Guid(int=9)))
    store.write(40, total_sectors)
    assert volume_size_of(store) == 1 << 20


def test_the_file_system_keeps_clear_of_header_and_last_sector() -> None:
    store = MemoryStore(300 * 1024 + 512)
    ExtentCore.format(store, volume_id=Guid(int=9))
    core = ExtentCore.mount(store, now_ns=lambda: 0)
    core.write(core.create_file("/f", exclusive=True), 0, b"\xff" * core.free_bytes)
    core.commit()
    record = boot_record(store.size_bytes, Guid(int=9))
    assert store.read(0, 512) == record
    assert store.read(store.size_bytes - 512, 512) == record
    assert store.read(512, 0x4000 - 512) == bytes(0x4000 - 512)


def test_libvshadow_takes_the_volume_for_one() -> None:
    pyvshadow = pytest.importorskip("pyvshadow", reason="libvshadow is not installed")
    store = MemoryStore(1 << 20)
    ExtentCore.format(store, volume_id=Guid(int=9))
    header = bytearray(512)
    header[:16] = VSS_IDENTIFIER
    header[16:24] = (1).to_bytes(4, "little") * 2
    header[24:40] = VSS_HEADER_OFFSET.to_bytes(8, "little") * 2
    header[64:96] = Guid(int=9).bytes_le * 2
    store.write(VSS_HEADER_OFFSET, bytes(header))
    volume = pyvshadow.volume()
    volume.open_file_object(io.BytesIO(store.read(0, store.size_bytes)))
    assert volume.get_number_of_stores() == 0
    volume.close()
