"""Paths of both kinds, files of the host, and the memory that can lose power."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from vss_writers.ese.files import (
    FileSystem,
    HostFileSystem,
    base_name,
    directory_name,
    is_out_of_space,
    is_same_path,
    join_path,
    read_whole,
)
from vss_writers.ese.memory_files import MemoryFileSystem, PowerLossError


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("L:\\logs", "L:\\logs\\a"),
        ("L:", "L:\\a"),
        ("L:\\", "L:\\a"),
        ("/srv/logs", "/srv/logs/a"),
        ("logs", "logs/a"),
        ("/", "/a"),
    ],
)
def test_paths_are_joined_with_the_separator_of_the_directory(directory: str, expected: str) -> None:
    assert join_path(directory, "a") == expected
    assert base_name(expected) == "a"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("L:\\logs\\a", "L:\\logs"), ("L:\\a", "L:\\"), ("/srv/a", "/srv"), ("/a", "/"), ("a", "."), ("srv/a", "srv")],
)
def test_directory_of_a_path(path: str, expected: str) -> None:
    assert directory_name(path) == expected


def test_machine_paths_compare_without_case_and_host_paths_as_they_are() -> None:
    assert is_same_path("D:\\Db\\A.edb", "d:/db/a.EDB")
    assert not is_same_path("/srv/A.edb", "/srv/a.edb")
    assert is_same_path("/srv/a.edb", "/srv/a.edb")


def test_a_full_disk_is_told_from_other_errors() -> None:
    assert is_out_of_space(OSError(errno.ENOSPC, ""))
    assert is_out_of_space(OSError(errno.EDQUOT, ""))
    assert not is_out_of_space(OSError(errno.EIO, ""))
    assert not is_out_of_space(ValueError())


async def exercise(files: FileSystem, root: str) -> None:
    """What every implementation has to do."""
    await files.make_directory(join_path(root, "sub"))
    path = join_path(root, "a.bin")
    file = await files.open(path, write=True, create=True)
    await file.pwrite(5, b"hello")
    assert file.path == path
    assert file.size_bytes == 10
    assert await file.pread(0, 100) == b"\0\0\0\0\0hello"
    assert await file.pread(50, 10) == b""
    await file.truncate(7)
    await file.truncate(8)
    await file.sync()
    await file.close()
    await file.close()
    assert await read_whole(files, path) == b"\0\0\0\0\0he\0"
    assert (await files.stat(path)).size_bytes == 8
    assert not (await files.stat(path)).is_directory
    assert (await files.stat(join_path(root, "sub"))).is_directory
    with pytest.raises(FileExistsError):
        await files.open(path, write=True, create=True, exclusive=True)
    with pytest.raises(FileNotFoundError):
        await files.open(join_path(root, "none"))
    with pytest.raises(FileNotFoundError):
        await files.stat(join_path(root, "none"))
    moved = join_path(join_path(root, "sub"), "b.bin")
    await files.rename(path, moved)
    await files.rename(moved, join_path(join_path(root, "sub"), "c.bin"))
    assert not await files.exists(path)
    assert await files.list_directory(root) == ["sub"]
    assert await files.list_directory(join_path(root, "sub")) == ["c.bin"]
    await files.remove(join_path(join_path(root, "sub"), "c.bin"))
    await files.remove(join_path(root, "sub"))
    assert await files.list_directory(root) == []
    await files.sync()
    with pytest.raises(ValueError, match="closed"):
        await file.pread(0, 1)


def test_host_files_keep_the_rules(tmp_path: Path) -> None:
    asyncio.run(exercise(HostFileSystem(), str(tmp_path)))


def test_memory_files_keep_the_rules() -> None:
    files = MemoryFileSystem()

    async def main() -> None:
        await files.make_directory("D:\\root")
        await exercise(files, "D:\\root")

    asyncio.run(main())


def test_host_files_without_a_directory_are_found_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        file = await HostFileSystem().open("here.bin", write=True, create=True)
        await file.pwrite(0, b"1")
        await file.close()

    asyncio.run(main())
    assert (tmp_path / "here.bin").read_bytes() == b"1"


def test_memory_refuses_what_is_not_there_or_not_open_for_writing() -> None:
    files = MemoryFileSystem()
    files.write("D:\\a", b"x")

    async def main() -> None:
        file = await files.open("D:\\a")
        with pytest.raises(OSError, match="reading"):
            await file.pwrite(0, b"y")
        for call in (files.remove("D:\\none"), files.rename("D:\\none", "D:\\b"), files.list_directory("E:\\")):
            with pytest.raises(FileNotFoundError):
                await call

    asyncio.run(main())


def write_three_sectors(files: MemoryFileSystem) -> None:
    async def main() -> None:
        file = await files.open("a", write=True, create=True)
        await file.pwrite(0, b"0" * 1536)
        await file.sync()
        await file.pwrite(256, b"1" * 1280)
        await file.truncate(3000)
        await (await files.open("b", write=True, create=True)).pwrite(0, b"b")

    asyncio.run(main())


def test_power_loss_keeps_nothing_or_everything_that_was_not_synced() -> None:
    files = MemoryFileSystem()
    write_three_sectors(files)

    nothing, everything = files.after_power_loss(False), files.after_power_loss(True)

    assert nothing.paths() == ["a"]
    assert nothing.read("a") == b"0" * 1536
    assert everything.paths() == ["a", "b"]
    assert everything.read("a") == b"0" * 256 + b"1" * 1280 + bytes(3000 - 1536)
    assert everything.read("b") == b"b"


def test_power_loss_tears_writes_at_sectors_only() -> None:
    files = MemoryFileSystem()
    write_three_sectors(files)
    seen: set[bytes] = set()

    for seed in range(40):
        content = files.after_power_loss(random.Random(seed)).read("a")[:1536]
        assert content[:256] == b"0" * 256
        for start, end in ((256, 512), (512, 1024), (1024, 1536)):
            assert len(set(content[start:end])) == 1, "a sector is torn"
        seen.add(content)

    assert len(seen) == 8


def test_names_survive_as_a_prefix_of_their_order() -> None:
    files = MemoryFileSystem()

    async def main() -> None:
        for name in ("a", "b"):
            await (await files.open(name, write=True, create=True)).close()
        await files.remove("a")

    asyncio.run(main())

    seen = {tuple(files.after_power_loss(random.Random(seed)).paths()) for seed in range(60)}
    assert seen == {(), ("a",), ("a", "b"), ("b",)}


def test_power_goes_at_the_chosen_effect_and_stays_off() -> None:
    files = MemoryFileSystem(power_loss_at=2)

    async def main() -> None:
        file = await files.open("a", write=True, create=True)
        await file.pwrite(0, b"1")
        for _ in range(2):
            with pytest.raises(PowerLossError, match=r"write of a"):
                await file.pwrite(0, b"2")

    asyncio.run(main())
    assert files.effects == [("create", "a"), ("write", "a")]


def test_sync_of_the_whole_makes_everything_durable() -> None:
    files = MemoryFileSystem()
    write_three_sectors(files)

    asyncio.run(files.sync())

    assert files.after_power_loss(False).paths() == ["a", "b"]
    assert files.copy().read("b") == b"b"


def test_what_survives_and_what_it_came_from_change_on_their_own() -> None:
    files = MemoryFileSystem()
    write_three_sectors(files)
    before = files.read("a")
    survivors = [files.after_power_loss(True), files.after_power_loss(True), files.copy()]

    async def main() -> None:
        file = await survivors[0].open("a", write=True)
        await file.pwrite(0, b"x")
        await file.sync()
        await (await survivors[1].open("a", write=True)).truncate(10)
        survivors[2].flip("a", 5)

    asyncio.run(main())

    assert files.read("a") == before
    assert survivors[0].read("a") == survivors[0].after_power_loss(False).read("a") == b"x" + before[1:]
    assert survivors[1].read("a") == before[:10]
    assert survivors[1].after_power_loss(False).read("a") == before
    assert survivors[2].read("a") != before


def test_a_content_is_the_same_object_until_it_changes() -> None:
    files = MemoryFileSystem()
    write_three_sectors(files)
    asyncio.run(files.sync())

    states = [files.after_power_loss(choice) for choice in (False, True)]

    assert states[0].read("a") is states[1].read("a")
    assert states[0].copy().read("a") is states[0].read("a")


def test_durable_content_is_what_was_written_however_often_it_was_synced() -> None:
    files = MemoryFileSystem()
    stream = random.Random(1)
    model = bytearray()

    async def main() -> None:
        file = await files.open("a", write=True, create=True)
        for _ in range(60):
            offset, data = stream.randrange(3000), stream.randbytes(stream.randrange(1, 900))
            await file.pwrite(offset, data)
            model[len(model) :] = bytes(max(0, offset - len(model)))
            model[offset : offset + len(data)] = data
            if stream.random() < 0.2:
                size = stream.randrange(4000)
                await file.truncate(size)
                model[size:] = bytes(max(0, size - len(model)))
            await file.sync()
            if stream.random() < 0.1:
                assert files.after_power_loss(False).read("a") == model
        await file.pwrite(0, bytes(10))

    asyncio.run(main())

    assert files.after_power_loss(False).read("a") == model


def test_a_limit_on_space_is_met_by_writing_and_growing() -> None:
    files = MemoryFileSystem(space_bytes=1000)

    async def main() -> None:
        file = await files.open("a", write=True, create=True)
        await file.pwrite(0, bytes(900))
        await file.pwrite(0, bytes(900))
        grow: list[Callable[[], object]] = [lambda: file.pwrite(900, bytes(200)), lambda: file.truncate(2000)]
        for call in grow:
            with pytest.raises(OSError, match="no space"):
                await call()  # type: ignore[misc]
        assert file.size_bytes == 900

    asyncio.run(main())


def test_bits_flip_and_files_vanish_on_demand() -> None:
    files = MemoryFileSystem()
    files.write("a", b"\x01")
    files.flip("a", 0, 1)
    assert files.read("a") == b"\x03"
    assert files.after_power_loss(False).read("a") == b"\x03"
    files.delete("a")
    assert files.paths() == []
