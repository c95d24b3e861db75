"""One contract for host files: those in memory behave as those of the host, down to the errno."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import pytest

from vss.ports import HostFiles
from vss.real import RealFiles
from vss.simulation import MemoryFiles


def refused(number: int, call: Callable[[], object]) -> None:
    """Expect the ``OSError`` with this number."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is checked below
        call()
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


class HostFilesContract(ABC):
    """What every implementation of ``HostFiles`` keeps; ``root`` is an empty directory in it."""

    @pytest.fixture
    @abstractmethod
    def files(self) -> HostFiles: ...

    @pytest.fixture
    @abstractmethod
    def root(self, files: HostFiles, tmp_path: Path) -> Path: ...

    def test_what_is_written_is_read(self, files: HostFiles, root: Path) -> None:
        file = files.open(root / "a", create=True)
        file.pwrite(0, b"hello")
        file.pwrite(8, bytearray(b"world"))
        file.pwrite(3, memoryview(b"--"))
        file.pwrite(100, b"")
        file.sync()
        assert file.size() == 13
        assert file.pread(0, 100) == b"hel--\0\0\0world"
        assert file.pread(3, 2) == b"--"
        assert file.pread(13, 5) == b""
        assert file.pread(99, 5) == b""
        file.close()
        file.close()
        assert files.read_bytes(root / "a") == b"hel--\0\0\0world"

    def test_a_lock_is_exclusive_until_it_is_given_back(self, files: HostFiles, root: Path) -> None:
        lock = files.lock(root / ".lock")
        refused(errno.EWOULDBLOCK, lambda: files.lock(root / ".lock"))
        other = files.lock(root / "other")
        lock.close()
        lock.close()
        files.lock(root / ".lock").close()
        other.close()
        assert files.list_directory(root) == [".lock", "other"]
        assert files.read_bytes(root / ".lock") == b""
        refused(errno.ENOENT, lambda: files.lock(root / "missing" / ".lock"))

    def test_writing_overwrites_across_the_end(self, files: HostFiles, root: Path) -> None:
        files.write_atomically(root / "a", b"0123456789")
        file = files.open(root / "a", write=True)
        file.pwrite(8, b"abcd")
        file.close()
        assert files.read_bytes(root / "a") == b"01234567abcd"

    def test_truncate_cuts_and_extends_with_zeros(self, files: HostFiles, root: Path) -> None:
        files.write_atomically(root / "a", b"0123456789")
        file = files.open(root / "a", write=True)
        file.truncate(4)
        file.truncate(6)
        assert file.pread(0, 10) == b"0123\0\0"
        refused(errno.EINVAL, lambda: file.truncate(-1))
        file.close()

    def test_bad_offsets_are_refused(self, files: HostFiles, root: Path) -> None:
        file = files.open(root / "a", create=True)
        refused(errno.EINVAL, lambda: file.pread(-1, 5))
        refused(errno.EINVAL, lambda: file.pread(0, -5))
        refused(errno.EINVAL, lambda: file.pwrite(-1, b"x"))
        file.close()

    def test_a_handle_for_reading_does_not_write(self, files: HostFiles, root: Path) -> None:
        files.write_atomically(root / "a", b"x")
        file = files.open(root / "a")
        refused(errno.EBADF, lambda: file.pwrite(0, b"y"))
        refused(errno.EINVAL, lambda: file.truncate(0))
        file.close()
        assert files.read_bytes(root / "a") == b"x"

    def test_a_closed_handle_does_nothing(self, files: HostFiles, root: Path) -> None:
        file = files.open(root / "a", create=True)
        file.close()
        for call in (
            lambda: file.pread(0, 1),
            lambda: file.pwrite(0, b"x"),
            lambda: file.truncate(0),
            file.size,
            file.sync,
        ):
            refused(errno.EBADF, call)

    def test_opening(self, files: HostFiles, root: Path) -> None:
        files.make_directory(root / "directory")
        refused(errno.ENOENT, lambda: files.open(root / "a"))
        refused(errno.ENOENT, lambda: files.open(root / "a", write=True))
        refused(errno.ENOENT, lambda: files.open(root / "missing" / "a", create=True))
        files.open(root / "a", exclusive=True).close()
        refused(errno.EEXIST, lambda: files.open(root / "a", exclusive=True))
        refused(errno.EEXIST, lambda: files.open(root / "directory", exclusive=True))
        refused(errno.ENOTDIR, lambda: files.open(root / "a" / "b", create=True))
        refused(errno.EISDIR, lambda: files.open(root / "directory"))
        refused(errno.EISDIR, lambda: files.open(root / "directory", write=True))

    def test_an_open_file_outlives_its_name(self, files: HostFiles, root: Path) -> None:
        file = files.open(root / "a", create=True)
        files.remove(root / "a")
        file.pwrite(0, b"still here")
        assert file.pread(0, 5) == b"still"
        file.close()
        assert not files.exists(root / "a")

    def test_atomic_writing_replaces(self, files: HostFiles, root: Path) -> None:
        files.write_atomically(root / "a", b"old")
        file = files.open(root / "a")
        files.write_atomically(root / "a", b"new and longer")
        assert file.pread(0, 99) == b"old"
        file.close()
        assert files.read_bytes(root / "a") == b"new and longer"
        assert files.list_directory(root) == ["a"]

    def test_atomic_writing_is_refused_without_a_trace(self, files: HostFiles, root: Path) -> None:
        files.make_directory(root / "directory")
        refused(errno.EISDIR, lambda: files.write_atomically(root / "directory", b""))
        refused(errno.ENOENT, lambda: files.write_atomically(root / "missing" / "a", b""))
        assert files.list_directory(root) == ["directory"]

    def test_reading_what_is_no_file(self, files: HostFiles, root: Path) -> None:
        refused(errno.EISDIR, lambda: files.read_bytes(root))
        refused(errno.ENOENT, lambda: files.read_bytes(root / "a"))

    def test_directories(self, files: HostFiles, root: Path) -> None:
        files.make_directory(root / "b" / "c")
        files.make_directory(root / "b" / "c")
        files.write_atomically(root / "a", b"")
        files.sync_directory(root)
        assert files.list_directory(root) == ["a", "b"]
        assert files.is_directory(root / "b")
        assert not files.is_directory(root / "a")
        assert not files.is_directory(root / "x" / "y")
        assert files.exists(root / "b" / "c")
        assert not files.exists(root / "a" / "c")
        refused(errno.EEXIST, lambda: files.make_directory(root / "a"))
        refused(errno.ENOTDIR, lambda: files.make_directory(root / "a" / "b"))
        refused(errno.ENOTDIR, lambda: files.list_directory(root / "a"))
        refused(errno.ENOENT, lambda: files.list_directory(root / "x"))
        refused(errno.ENOTDIR, lambda: files.list_directory(root / "a" / "b"))
        refused(errno.ENOTDIR, lambda: files.sync_directory(root / "a"))

    def test_renaming(self, files: HostFiles, root: Path) -> None:
        files.write_atomically(root / "a", b"a")
        files.write_atomically(root / "b", b"b")
        files.make_directory(root / "full" / "inner")
        files.make_directory(root / "empty")
        files.rename(root / "a", root / "b")
        files.rename(root / "b", root / "b")
        assert files.read_bytes(root / "b") == b"a"
        refused(errno.ENOENT, lambda: files.rename(root / "a", root / "c"))
        refused(errno.ENOENT, lambda: files.rename(root / "b", root / "x" / "c"))
        refused(errno.EISDIR, lambda: files.rename(root / "b", root / "empty"))
        refused(errno.ENOTDIR, lambda: files.rename(root / "empty", root / "b"))
        refused(errno.ENOTEMPTY, lambda: files.rename(root / "empty", root / "full"))
        refused(errno.EINVAL, lambda: files.rename(root / "full", root / "full" / "inner" / "x"))
        files.rename(root / "full", root / "empty")
        files.rename(root / "b", root / "c")
        assert files.list_directory(root) == ["c", "empty"]
        assert files.list_directory(root / "empty") == ["inner"]

    def test_removing(self, files: HostFiles, root: Path) -> None:
        files.make_directory(root / "full" / "inner")
        files.write_atomically(root / "a", b"a")
        refused(errno.ENOTEMPTY, lambda: files.remove(root / "full"))
        refused(errno.ENOENT, lambda: files.remove(root / "x"))
        files.remove(root / "full" / "inner")
        files.remove(root / "full")
        files.remove(root / "a")
        assert files.list_directory(root) == []

    def test_removing_a_tree(self, files: HostFiles, root: Path) -> None:
        files.make_directory(root / "full" / "inner")
        files.write_atomically(root / "full" / "inner" / "a", b"a")
        refused(errno.ENOTDIR, lambda: files.remove_tree(root / "full" / "inner" / "a"))
        files.remove_tree(root / "full")
        files.remove_tree(root / "full")
        assert files.list_directory(root) == []

    def test_free_bytes(self, files: HostFiles, root: Path) -> None:
        assert files.free_bytes(root) > 0
        refused(errno.ENOENT, lambda: files.free_bytes(root / "x"))

    def test_a_shut_tree_refuses_until_it_is_opened(self, files: HostFiles, root: Path) -> None:
        assert isinstance(files, (MemoryFiles, RealFiles))
        file = files.open(root / "a", create=True)
        with files.shut():
            refused(errno.EBADF, lambda: file.pwrite(0, b"x"))
            refused(errno.EIO, lambda: files.exists(root))
            refused(errno.EIO, lambda: files.write_atomically(root / "b", b""))
        file.close()
        assert files.list_directory(root) == ["a"]
        assert files.read_bytes(root / "a") == b""


class TestMemoryFiles(HostFilesContract):
    @pytest.fixture
    def files(self) -> HostFiles:
        return MemoryFiles()

    @pytest.fixture
    def root(self, files: HostFiles, tmp_path: Path) -> Path:
        files.make_directory(Path("/lab"))
        return Path("/lab")


class TestRealFiles(HostFilesContract):
    @pytest.fixture
    def files(self) -> HostFiles:
        return RealFiles()

    @pytest.fixture
    def root(self, files: HostFiles, tmp_path: Path) -> Path:
        return tmp_path


# -- memory only ---------------------------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_and_changes_nothing() -> None:
    files = MemoryFiles(capacity_bytes=10)
    file = files.open(Path("a"), create=True)
    file.pwrite(0, b"01234567")
    refused(errno.ENOSPC, lambda: file.pwrite(6, b"abcdef"))
    refused(errno.ENOSPC, lambda: file.truncate(11))
    refused(errno.ENOSPC, lambda: files.write_atomically(Path("b"), b"abc"))
    assert file.pread(0, 99) == b"01234567"
    assert (files.used_bytes, files.free_bytes(Path("/")), files.list_directory(Path("/"))) == (8, 2, ["a"])
    file.close()


def test_room_is_given_back() -> None:
    files = MemoryFiles(capacity_bytes=100)
    files.make_directory(Path("/d/e"))
    files.write_atomically(Path("/d/e/a"), bytes(30))
    files.write_atomically(Path("/d/e/a"), bytes(20))
    files.write_atomically(Path("/d/b"), bytes(10))
    files.write_atomically(Path("/c"), bytes(5))
    files.rename(Path("/c"), Path("/d/b"))
    assert files.used_bytes == 25
    files.remove(Path("/d/b"))
    assert files.used_bytes == 20
    files.remove_tree(Path("/d"))
    assert files.used_bytes == 0


def test_writes_to_a_removed_file_take_no_room_after_it_is_closed() -> None:
    files = MemoryFiles(capacity_bytes=100)
    file = files.open(Path("/a"), create=True)
    file.pwrite(0, bytes(30))
    files.remove(Path("/a"))
    file.pwrite(30, bytes(30))
    file.close()
    assert files.used_bytes == 0


def test_read_only_paths_refuse_every_change() -> None:
    files = MemoryFiles()
    files.make_directory(Path("/ro/d"))
    files.write_atomically(Path("/ro/a"), b"a")
    files.write_atomically(Path("/b"), b"b")
    files.make_read_only(Path("/ro"))
    for call in (
        lambda: files.open(Path("/ro/a"), write=True),
        lambda: files.open(Path("/ro/new"), create=True),
        lambda: files.write_atomically(Path("/ro/a"), b""),
        lambda: files.make_directory(Path("/ro/x")),
        lambda: files.rename(Path("/ro/a"), Path("/c")),
        lambda: files.rename(Path("/b"), Path("/ro/b")),
        lambda: files.remove(Path("/ro/a")),
        lambda: files.remove_tree(Path("/ro")),
    ):
        refused(errno.EROFS, call)
    files.make_directory(Path("/ro/d"))
    assert files.read_bytes(Path("/ro/a")) == b"a"
    refused(errno.EROFS, lambda: MemoryFiles(read_only=("/",)).make_directory(Path("/a")))


def test_open_handles_are_known() -> None:
    files = MemoryFiles()
    first = files.open(Path("/a"), create=True)
    second = files.open(Path("/b"), create=True)
    assert files.open_paths() == [Path("/a"), Path("/b")]
    first.close()
    assert files.open_paths() == [Path("/b")]
    second.close()


def test_the_root_cannot_be_replaced() -> None:
    files = MemoryFiles()
    refused(errno.EISDIR, lambda: files.open(Path("/"), write=True))
    refused(errno.EEXIST, lambda: files.open(Path("/"), exclusive=True))
    refused(errno.EISDIR, lambda: files.write_atomically(Path("/"), b""))
    refused(errno.EBUSY, lambda: files.remove(Path("/")))
    refused(errno.EBUSY, lambda: files.remove_tree(Path("/")))
    refused(errno.EBUSY, lambda: files.rename(Path("/"), Path("/x")))
    assert files.list_directory(Path("/")) == []
