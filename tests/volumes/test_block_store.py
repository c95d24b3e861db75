"""Both stores keep the contract of ``BlockStore``; host errors come out typed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from vss.errors import InvalidArgumentError, VolumeFullError, VolumeReadError, VolumeWriteError
from vss.simulation import MemoryFiles
from vss.volumes import BlockStore, ImageStore, MemoryStore
from vss.volumes.block_store import byte_view

SIZE = 64 * 1024


def memory_store() -> BlockStore:
    return MemoryStore(SIZE, name="memory")


def image_store() -> BlockStore:
    files = MemoryFiles()
    return ImageStore.create(files, Path("/image"), SIZE)


@pytest.fixture(params=[memory_store, image_store])
def store(request: pytest.FixtureRequest) -> BlockStore:
    build: Callable[[], BlockStore] = request.param
    return build()


def test_unwritten_bytes_are_zeros(store: BlockStore) -> None:
    assert store.read(0, SIZE) == bytes(SIZE)


def test_written_bytes_come_back_and_neighbours_stay(store: BlockStore) -> None:
    store.write(1000, b"abc")
    assert store.read(998, 7) == b"\0\0abc\0\0"
    buffer = bytearray(3)
    store.read_into(1000, buffer)
    assert buffer == b"abc"


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (SIZE, 1), (SIZE - 1, 2), (0, -1)])
def test_reading_outside_is_a_read_error(store: BlockStore, offset: int, length: int) -> None:
    with pytest.raises(VolumeReadError, match=f"offset {offset} length {length}"):
        store.read(offset, length)


@pytest.mark.parametrize("offset", [-1, SIZE - 2])
def test_writing_outside_is_a_write_error_and_changes_nothing(store: BlockStore, offset: int) -> None:
    with pytest.raises(VolumeWriteError):
        store.write(offset, b"abc")
    assert store.read(0, SIZE) == bytes(SIZE)


@pytest.mark.parametrize("size", [SIZE + 512, SIZE * 2 + (40 << 20)])
def test_growing_keeps_the_bytes_and_adds_zeros(store: BlockStore, size: int) -> None:
    store.write(SIZE - 3, b"end")
    store.grow(size)
    assert store.size_bytes == size
    assert store.read(SIZE - 3, 6) == b"end\0\0\0"
    store.write(size - 1, b"x")
    store.grow(10)
    assert store.size_bytes == size


def test_closing_twice_is_harmless(store: BlockStore) -> None:
    store.flush()
    store.close()
    store.close()


def test_memory_can_start_with_content() -> None:
    assert MemoryStore(8, content=b"abc").read(0, 8) == b"abc\0\0\0\0\0"


@pytest.mark.parametrize("size", [0, -5, 2])
def test_memory_refuses_impossible_sizes(size: int) -> None:
    with pytest.raises(InvalidArgumentError):
        MemoryStore(size, content=b"abc")


def test_image_survives_closing() -> None:
    files = MemoryFiles()
    store = ImageStore.create(files, Path("/image"), SIZE)
    store.write(5, b"kept")
    store.close()
    again = ImageStore.open(files, Path("/image"))
    assert again.name == "/image"
    assert again.read(5, 4) == b"kept"
    assert again.size_bytes == SIZE


def test_image_of_no_size_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        ImageStore.create(MemoryFiles(), Path("/image"), 0)


def test_image_that_cannot_be_made_leaves_no_file() -> None:
    files = MemoryFiles(capacity_bytes=1000)
    with pytest.raises(OSError, match="No space"):
        ImageStore.create(files, Path("/image"), SIZE)
    assert not files.exists(Path("/image"))
    assert files.open_paths() == []


class BrokenFile:
    """A host file on which everything fails with one error number, or reads short."""

    def __init__(self, number: int) -> None:
        self.number = number

    def _fail(self) -> None:
        if self.number:
            raise OSError(self.number, "broken")

    def pread(self, offset: int, length: int) -> bytes:
        self._fail()
        return bytes(length // 2)

    def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._fail()

    def truncate(self, size: int) -> None:
        self._fail()

    def size(self) -> int:
        return SIZE

    def sync(self) -> None:
        self._fail()

    def close(self) -> None:
        return


def test_host_errors_are_typed_and_name_the_offset() -> None:
    store = ImageStore(BrokenFile(errno.EIO), name="image")
    with pytest.raises(VolumeReadError, match="image: reading 8 bytes at offset 16"):
        store.read(16, 8)
    with pytest.raises(VolumeWriteError, match="image: writing 1 bytes at offset 3"):
        store.write(3, b"x")
    with pytest.raises(VolumeWriteError, match="flushing"):
        store.flush()
    with pytest.raises(VolumeWriteError, match="growing"):
        store.grow(SIZE * 2)
    assert store.size_bytes == SIZE


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_host_is_volume_full(number: int) -> None:
    store = ImageStore(BrokenFile(number), name="image")
    with pytest.raises(VolumeFullError):
        store.write(0, b"x")
    with pytest.raises(VolumeFullError):
        store.grow(SIZE * 2)


def test_a_short_read_of_the_host_is_never_taken_for_zeros() -> None:
    with pytest.raises(VolumeReadError, match="expected 8 bytes at offset 0, found 4"):
        ImageStore(BrokenFile(0), name="image").read(0, 8)


def test_byte_view_counts_bytes() -> None:
    words = memoryview(bytearray(8)).cast("I")
    assert len(words) == 2
    assert len(byte_view(words)) == 8
    data = b"abc"
    assert byte_view(data) is data


def test_memory_copies_inside_itself_and_grows_afterwards() -> None:
    store = MemoryStore(SIZE, content=b"abcdef")
    view = store.copy_within(2, 100, 4)
    assert view == b"cdef" == store.read(100, 4)
    view.release()
    assert store.read(0, 6) == b"abcdef"
    for source, target, kind in ((SIZE - 3, 0, VolumeReadError), (-1, 0, VolumeReadError), (0, SIZE - 3, VolumeWriteError)):
        with pytest.raises(kind, match="expected a range inside"):
            store.copy_within(source, target, 4)
    store.grow(SIZE * 100)
    assert store.read(100, 4) == b"cdef"
    assert store.copy_within(0, SIZE * 99, 2) == b"ab"


def test_memory_copies_and_records_that_it_did() -> None:
    store = MemoryStore(SIZE, content=b"abcdef")

    assert store.copy_within(2, 100, 4, 200, b"done") == b"cdef"
    assert store.read(200, 4) == b"done"
    for record_at in (-1, SIZE - 3):
        with pytest.raises(VolumeWriteError, match="expected a range inside"):
            store.copy_within(0, 300, 4, record_at, b"done")
    assert store.read(300, 4) == bytes(4)
