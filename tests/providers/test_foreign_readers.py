"""Readers that others wrote list every shadow copy that our writer makes and read each one bit-exact."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tests.providers.kit import (
    BLOCK,
    PERSISTENT,
    VOLATILE,
    VOLUME_ID,
    DiffAreaScene,
    SparseFile,
    list_with_vshadowinfo,
    read_with_dfir_ntfs,
    read_with_dissect,
    read_with_libvshadow,
)
from vss.volumes.block_store import MemoryStore
from vss.volumes.boot_record import boot_record
from vss_providers.diff_area import DiffArea
from vss_providers.on_disk.store_blocks import StoreInformation

SIZES = [40 * BLOCK, 61 * BLOCK + 512, 3_000_320]


def worked_on(seed: int, size_bytes: int) -> DiffAreaScene:
    """A volume with 1 to 16 shadow copies, random writes of 512 bytes to 1 MiB, overlays, deletions and restarts."""
    scene = DiffAreaScene(size_bytes, seed=seed)
    for _ in range(scene.random.randint(1, 16)):
        store = scene.snapshot(scene.random.choice([PERSISTENT, VOLATILE]))
        if scene.random.random() < 0.4:
            scene.write_randomly(1)
            for _ in range(3):
                offset = scene.random.randrange(0x4000, size_bytes - 3000)
                scene.write_into(store, offset, scene.random.randbytes(scene.random.choice([100, 512, 3000])))
        scene.write_randomly(scene.random.randint(0, 8), longest=min(1 << 20, size_bytes // 2))
        if scene.random.random() < 0.2:
            scene.delete(scene.random.choice(scene.area.stack))
        if scene.random.random() < 0.2:
            scene.restart()
    if not scene.area.stack:
        scene.snapshot()
    return scene


@pytest.mark.slow
@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_libvshadow_and_dissect_read_every_shadow_copy_exactly(seed: int, size_bytes: int) -> None:
    scene = worked_on(seed, size_bytes)

    scene.check()
    image = scene.image()
    for reader in (read_with_libvshadow, read_with_dissect):
        found = reader(image)
        assert list(found) == list(scene.expected)
        assert found == scene.expected


@pytest.mark.slow
@pytest.mark.parametrize("size_bytes", SIZES)
def test_dfir_ntfs_reads_every_shadow_copy_exactly(size_bytes: int) -> None:
    scene = worked_on(0, size_bytes)

    assert read_with_dfir_ntfs(scene.image()) == list(scene.expected.values())


@pytest.mark.parametrize("seed", range(2))
def test_vshadowinfo_lists_every_shadow_copy(seed: int, tmp_path: Path) -> None:
    scene = worked_on(seed, 40 * BLOCK)

    assert list_with_vshadowinfo(scene.image(), tmp_path) == [str(each) for each in scene.expected]


@pytest.mark.slow
def test_more_shadow_copies_than_a_catalog_block_holds_are_read(tmp_path: Path) -> None:
    scene = DiffAreaScene(10 * BLOCK)
    for number in range(130):
        scene.snapshot()
        scene.write((1 + number % 9) * BLOCK, scene.random.randbytes(512))
    image = scene.image()

    scene.check()
    assert read_with_libvshadow(image) == scene.expected
    assert read_with_dissect(image) == scene.expected
    assert len(list_with_vshadowinfo(image, tmp_path)) == 130


def test_a_volume_that_needs_two_bitmap_blocks_is_read() -> None:
    pyvshadow = pytest.importorskip("pyvshadow", reason="libvshadow-python is not installed")
    size_bytes = (2032 << 20) + 5 * BLOCK
    device, record = MemoryStore(size_bytes), boot_record(size_bytes, VOLUME_ID)
    device.write(0, record)
    device.write(size_bytes - 512, record)
    area = DiffArea(device, size_bytes, VOLUME_ID, lambda stores, reason: None)
    store = area.prepare(StoreInformation(UUID(int=1), UUID(int=2), 0, VOLATILE), UUID(int=3))
    area.begin(store, 133_000_000_000_000_000)
    area.publish(store, is_pending=False)
    places = (BLOCK, 2032 << 20, (2032 << 20) + 3 * BLOCK)
    for at in places:
        area.before_write(at, BLOCK)
        device.write(at, b"\x11" * BLOCK)

    volume = pyvshadow.volume()
    volume.open_file_object(SparseFile(device))

    for at in places:
        assert volume.get_store(0).read_buffer_at_offset(BLOCK, at) == bytes(BLOCK) == area.read(store, at, BLOCK)
