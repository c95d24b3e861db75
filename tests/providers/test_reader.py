"""Our own reader: forwarders, overlays, bitmaps, damage, and a volume that Windows made."""

from __future__ import annotations

import os
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.providers.kit import BLOCK, VOLUME_ID, list_with_vshadowinfo, read_with_libvshadow
from vss.errors import UnsupportedError, VolumeDamagedError
from vss.volumes.block_store import MemoryStore
from vss.volumes.boot_record import boot_record
from vss_providers.on_disk import Partition, ShadowVolume
from vss_providers.on_disk.catalog import SnapshotEntry, StoreEntry, pack_empty_catalog, pair_offsets
from vss_providers.on_disk.layout import VOLUME_HEADER_OFFSET, RecordType, read_block
from vss_providers.on_disk.store_blocks import (
    FORWARDER,
    HIDDEN_APPLICATION_ID,
    NOT_USED,
    OVERLAY,
    BlockDescriptor,
    StoreInformation,
    pack_bitmap_blocks,
    pack_list_block,
    pack_range_block,
    pack_store_header,
    parse_ranges,
)
from vss_providers.on_disk.volume_header import VolumeHeader

VOLUME_BLOCKS = 16
SIZE = VOLUME_BLOCKS * BLOCK
CATALOG_AT = SIZE


class HandMadeImage:
    """An image put together from packed structures, for what our own provider never writes."""

    def __init__(self, stores: int = 1) -> None:
        self.random = random.Random(5)
        self.device = MemoryStore(SIZE + (1 + 16 * stores) * BLOCK)
        record = boot_record(SIZE, VOLUME_ID)
        self.device.write(0, record)
        self.device.write(BLOCK, self.random.randbytes(SIZE - BLOCK - 512) + record)
        self.device.write(VOLUME_HEADER_OFFSET, VolumeHeader(CATALOG_AT, 0, VOLUME_ID, VOLUME_ID).pack())
        self.device.write(CATALOG_AT, pack_empty_catalog(CATALOG_AT, 1))

    def add_store(self, number: int, descriptors: list[BlockDescriptor], **bitmaps: bytes) -> None:
        """Store ``number`` (0 is the oldest) with this block list; blocks from ``saved_at(number, 0)`` on are free for data."""
        at = SIZE + (1 + 16 * number) * BLOCK
        store_id = UUID(int=100 + number)
        information = StoreInformation(UUID(int=200 + number), UUID(int=300), 0, 0x20000)
        self.device.write(at, pack_store_header(at, information))
        self.device.write(at + BLOCK, pack_list_block(BLOCK, at + BLOCK, b"".join(each.pack() for each in descriptors)))
        self.device.write(at + 2 * BLOCK, pack_range_block(2 * BLOCK, at + 2 * BLOCK))
        for index, (name, is_set) in enumerate((("current", False), ("previous", True))):
            bitmap_at = at + (3 + index) * BLOCK
            (block,) = pack_bitmap_blocks((3 + index) * BLOCK, [bitmap_at], VOLUME_BLOCKS, is_set=is_set)
            bits = bitmaps.get(name, b"")
            self.device.write(bitmap_at, block[:128] + bits + block[128 + len(bits) :])
        snapshot = SnapshotEntry(store_id, SIZE, number + 1, 130_000_000_000_000_000 + number)
        entry = StoreEntry(store_id, at, at + BLOCK, at + 2 * BLOCK, at + 3 * BLOCK, at + 4 * BLOCK)
        self.device.write(pair_offsets(CATALOG_AT)[number], snapshot.pack() + entry.pack())

    def save(self, number: int, index: int) -> tuple[int, bytes]:
        """Put random bytes into saved block ``index`` of store ``number``; return its offset and content."""
        at = SIZE + (1 + 16 * number + 5 + index) * BLOCK
        content = self.random.randbytes(BLOCK)
        self.device.write(at, content)
        return at, content

    def live(self, block: int) -> bytes:
        return self.device.read(block * BLOCK, BLOCK)

    def check_against_libvshadow(self) -> None:
        expected = read_with_libvshadow(self.device.read(0, self.device.size_bytes))
        found = {copy.information.snapshot_id: copy.read(0, SIZE) for copy in ShadowVolume(self.device).shadow_copies}
        assert found == expected


def forward(block: int, target: int) -> BlockDescriptor:
    return BlockDescriptor(block * BLOCK, target * BLOCK, 0, FORWARDER)


def test_an_image_without_header_has_no_shadow_copies() -> None:
    assert ShadowVolume(MemoryStore(SIZE)).shadow_copies == []


def test_a_header_without_catalog_means_none_yet() -> None:
    image = HandMadeImage()
    image.device.write(VOLUME_HEADER_OFFSET, VolumeHeader(0, 0, VOLUME_ID, VOLUME_ID).pack())

    assert ShadowVolume(image.device).shadow_copies == []


def test_a_forwarder_sends_the_search_to_another_block() -> None:
    image = HandMadeImage(2)
    at, content = image.save(1, 0)
    image.add_store(0, [forward(3, 5), forward(4, 6)])
    image.add_store(1, [BlockDescriptor(5 * BLOCK, 0xC000, at)])

    oldest = ShadowVolume(image.device).shadow_copies[0]

    assert oldest.read(3 * BLOCK, BLOCK) == content
    assert oldest.read(4 * BLOCK, BLOCK) == image.live(6)
    image.check_against_libvshadow()


def test_a_forwarder_whose_target_was_overwritten_later_is_a_saved_block() -> None:
    image = HandMadeImage()
    at, content = image.save(0, 0)
    image.add_store(0, [forward(3, 5), BlockDescriptor(5 * BLOCK, 0xC000, at)])

    (copy,) = ShadowVolume(image.device).shadow_copies

    assert copy.read(3 * BLOCK, BLOCK) == content
    assert copy.read(5 * BLOCK, BLOCK) == image.live(5)
    image.check_against_libvshadow()


def test_a_block_moved_twice_is_found_where_it_went_last() -> None:
    image = HandMadeImage()
    image.add_store(0, [forward(3, 5), forward(5, 7)])

    (copy,) = ShadowVolume(image.device).shadow_copies

    assert copy.read(3 * BLOCK, BLOCK) == image.live(7)
    image.check_against_libvshadow()


def test_a_forwarder_to_itself_and_unused_descriptors_count_for_nothing() -> None:
    image = HandMadeImage()
    at, _ = image.save(0, 0)
    image.add_store(0, [forward(3, 3), BlockDescriptor(4 * BLOCK, 0xC000, at, NOT_USED)])

    (copy,) = ShadowVolume(image.device).shadow_copies

    assert copy.read(3 * BLOCK, 2 * BLOCK) == image.live(3) + image.live(4)
    image.check_against_libvshadow()


def test_overlays_win_wherever_they_stand_in_the_list() -> None:
    image = HandMadeImage(2)
    plain_at, plain = image.save(1, 0)
    over_at, over = image.save(1, 1)
    image.add_store(0, [])
    image.add_store(
        1,
        [
            BlockDescriptor(3 * BLOCK, 0x10000, over_at, OVERLAY, 0b1),
            BlockDescriptor(3 * BLOCK, 0xC000, plain_at),
            BlockDescriptor(3 * BLOCK, 1, over_at, OVERLAY, 0b100),
        ],
    )

    oldest, newest = ShadowVolume(image.device).shadow_copies

    assert newest.read(3 * BLOCK, BLOCK) == over[:512] + plain[512:1024] + over[1024:1536] + plain[1536:]
    assert oldest.read(3 * BLOCK, BLOCK) == plain
    image.check_against_libvshadow()


def test_the_newest_reads_blocks_that_nobody_needs_as_zeros() -> None:
    image = HandMadeImage(2)
    image.add_store(0, [], current=b"\x08")
    image.add_store(1, [forward(9, 6)], current=b"\x68", previous=b"\x5f")

    oldest, newest = ShadowVolume(image.device).shadow_copies

    assert newest.read(3 * BLOCK, BLOCK) == bytes(BLOCK)  # in both bitmaps
    assert newest.read(5 * BLOCK, BLOCK) == image.live(5)  # not in the previous one
    assert newest.read(6 * BLOCK, BLOCK) == image.live(6)  # a forwarder points at it
    assert newest.read(9 * BLOCK, BLOCK) == image.live(6)
    assert oldest.read(3 * BLOCK, BLOCK) == image.live(3)
    image.check_against_libvshadow()


def test_without_a_previous_bitmap_the_current_one_decides() -> None:
    image = HandMadeImage()
    image.add_store(0, [], current=b"\x08")
    pair_at = pair_offsets(CATALOG_AT)[0]
    image.device.write(pair_at + 128 + 72, bytes(8))

    (copy,) = ShadowVolume(image.device).shadow_copies

    assert copy.read(3 * BLOCK, BLOCK) == bytes(BLOCK)
    image.check_against_libvshadow()


def test_reading_ends_at_the_end_of_the_shadow_copy() -> None:
    image = HandMadeImage()
    image.add_store(0, [])

    (copy,) = ShadowVolume(image.device).shadow_copies

    assert copy.read(SIZE - 10, 100) == image.live(15)[-10:]
    assert copy.created_ns % 100 == 0
    assert copy.store_id == UUID(int=100)


def test_every_flipped_bit_of_the_headers_is_named_or_harmless() -> None:
    image = HandMadeImage()
    at, _ = image.save(0, 0)
    image.add_store(0, [BlockDescriptor(3 * BLOCK, 0xC000, at)])
    store_at = SIZE + BLOCK
    good = image.device.read(0, image.device.size_bytes)
    for header_at in (VOLUME_HEADER_OFFSET, CATALOG_AT, store_at, store_at + BLOCK, store_at + 3 * BLOCK):
        for byte in range(16 + 8 + 16):
            device = MemoryStore(len(good), content=good)
            device.write(header_at + byte, bytes([good[header_at + byte] ^ 1]))
            copies = []
            try:
                copies = ShadowVolume(device).shadow_copies
                for copy in copies:
                    assert copy.information.snapshot_id == UUID(int=200)
                    copy.read(0, SIZE)
            except VolumeDamagedError as error:
                assert "offset 0x" in error.message  # noqa: PT017 - most flips raise, those in unread fields do not


# -- made by Windows -----------------------------------------------------------------------------------------------------------

GOLDEN = Path(os.environ.get("VSS_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")) / "vss" / "vss_1_vol.tar.gz"
PARTITION_AT = 0x2100000
STORE_AT = 0x9EF00000
"""Where, on the volume, the store of a shadow copy lies that Windows had given up: its blocks are all still there."""


class HostDevice:
    """A file of the host as a device, with a few sectors replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = path.stat().st_size
        self.replaced: dict[int, bytes] = {}
        self._file = path.open("rb")

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        data = bytearray(self._file.read(length))
        for at, content in self.replaced.items():
            start, end = max(at, offset), min(at + len(content), offset + len(data))
            if start < end:
                data[start - offset : end - offset] = content[start - at : end - at]
        return bytes(data)

    def close(self) -> None:
        self._file.close()


@pytest.fixture(scope="module")
def windows_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDevice]:
    """The disk with a volume whose shadow copies are on another volume, extracted sparsely."""
    if not GOLDEN.exists():
        pytest.skip(f"the Windows-made volume {GOLDEN.name} is not at hand")
    directory = tmp_path_factory.mktemp("windows")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(directory, filter="data")
    (path,) = directory.iterdir()
    device = HostDevice(path)
    yield device
    device.close()
    path.unlink()


def test_shadow_copies_that_windows_made_are_listed(windows_disk: HostDevice) -> None:
    pyvshadow = pytest.importorskip("pyvshadow", reason="libvshadow-python is not installed")
    volume = ShadowVolume(Partition(windows_disk, PARTITION_AT))
    theirs = pyvshadow.volume()
    theirs.open_file_object(PartitionFile(windows_disk))

    assert volume.header is not None
    assert volume.header.is_stored_elsewhere
    assert [str(copy.store_id) for copy in volume.shadow_copies] == [
        "bbaa765b-8204-11eb-90f4-080027768df7",
        "bbaa7663-8204-11eb-90f4-080027768df7",
    ]
    assert theirs.number_of_stores == len(volume.shadow_copies)
    for index, copy in enumerate(volume.shadow_copies):
        store = theirs.get_store(index)
        assert store.identifier == str(copy.store_id)
        assert store.get_creation_time_as_integer() == copy.created_filetime
        assert store.volume_size == copy.size_bytes


def test_shadow_copies_whose_store_is_on_another_volume_cannot_be_read_here(windows_disk: HostDevice) -> None:
    copy = ShadowVolume(Partition(windows_disk, PARTITION_AT)).shadow_copies[0]

    assert copy.is_stored_elsewhere
    with pytest.raises(UnsupportedError, match="its store is on another volume"):
        copy.read(0, 512)
    with pytest.raises(UnsupportedError, match="its store is on another volume"):
        _ = copy.information


class PartitionFile:
    """The partition as a file, for foreign readers."""

    def __init__(self, device: HostDevice) -> None:
        self._device, self._at = device, 0
        self._size = device.size_bytes - PARTITION_AT

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        size = min(size if size >= 0 else self._size, max(0, self._size - self._at))
        data = self._device.read(PARTITION_AT + self._at, size)
        self._at += len(data)
        return data

    def get_size(self) -> int:
        return self._size


@pytest.fixture
def windows_store(windows_disk: HostDevice) -> Iterator[HostDevice]:
    """The same disk with the store that Windows had given up entered into the catalog again.

    Header, block list, range list, bitmaps and saved blocks are as Windows wrote them; only the catalog entries are ours.
    """
    volume = ShadowVolume(Partition(windows_disk, PARTITION_AT))
    assert volume.header is not None
    catalog_at, size = volume.header.catalog_offset, volume.shadow_copies[0].size_bytes
    store_id = UUID(int=1)
    snapshot = SnapshotEntry(store_id, size, 1, volume.shadow_copies[0].created_filetime)
    entry = StoreEntry(store_id, STORE_AT, STORE_AT + 0x4000, STORE_AT + 0x8000, STORE_AT + 0x10000)
    header, _ = read_block(Partition(windows_disk, PARTITION_AT), RecordType.CATALOG, catalog_at)
    free = pack_empty_catalog(catalog_at, 1)
    block = header.pack() + snapshot.pack() + entry.pack() + free[128 + 256 :]
    windows_disk.replaced = {PARTITION_AT + catalog_at: block}
    yield windows_disk
    windows_disk.replaced = {}


def test_a_store_that_windows_wrote_is_read_like_libvshadow_and_dissect_read_it(windows_store: HostDevice) -> None:
    pyvshadow = pytest.importorskip("pyvshadow", reason="libvshadow-python is not installed")
    vss = pytest.importorskip("dissect.volume.vss", reason="dissect.volume is not installed")
    (copy,) = ShadowVolume(Partition(windows_store, PARTITION_AT)).shadow_copies
    theirs = pyvshadow.volume()
    theirs.open_file_object(PartitionFile(windows_store))
    store = theirs.get_store(0)
    stream = vss.VSS(PartitionFile(windows_store)).catalog.stores[0].open()

    assert copy.information.application_id == HIDDEN_APPLICATION_ID
    assert copy.information.originating_machine == "WIN-BJQQCVN4IUD"
    assert str(copy.information.snapshot_id) == store.copy_identifier
    assert len(copy.blocks.saved) >= 6
    for block in copy.blocks.saved:
        ours = copy.read(block * BLOCK, BLOCK)
        assert ours == store.read_buffer_at_offset(BLOCK, block * BLOCK)
        stream.seek(block * BLOCK)
        assert ours == stream.read(BLOCK)
        assert ours != windows_store.read(PARTITION_AT + block * BLOCK, BLOCK) or block == 0
    for at in [*range(0, copy.size_bytes, 97 * BLOCK), copy.size_bytes - 700]:
        assert copy.read(at, 700) == store.read_buffer_at_offset(700, at)


def test_the_range_list_that_windows_wrote_covers_the_rest_of_its_store(windows_disk: HostDevice) -> None:
    partition = Partition(windows_disk, PARTITION_AT)

    _, data = read_block(partition, RecordType.RANGE_LIST, STORE_AT + 0x8000)

    (found,) = parse_ranges(data)
    assert (found.start, found.relative_start) == (STORE_AT + 0xC000, 0xC000)


def test_vshadowinfo_lists_what_we_list(tmp_path: Path) -> None:
    image = HandMadeImage(2)
    image.add_store(0, [])
    image.add_store(1, [])

    listed = list_with_vshadowinfo(image.device.read(0, image.device.size_bytes), tmp_path)

    assert listed == [str(copy.information.snapshot_id) for copy in ShadowVolume(image.device).shadow_copies]
