"""A host directory as a volume: in memory, and on the real host where links exist."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from vss.errors import (
    AlreadyExistsError,
    BadStateError,
    HoldWritesTimeoutError,
    InvalidArgumentError,
    NotFoundError,
    VolumeFullError,
    VolumeReadError,
    VolumeWriteError,
)
from vss.ids import Guid
from vss.ports import Ports
from vss.real import real_ports
from vss.simulation import MemoryFiles, run
from vss.volumes import HostVolume

ROOT = Path("/srv/data")


def no_links(path: Path) -> bool:
    return False


def volume_on(ports: Ports) -> HostVolume:
    ports.files.make_directory(ROOT)
    return HostVolume(ports, "H:", ROOT, volume_id=Guid(int=1), is_link=no_links)


def test_files_of_the_directory_are_the_volume_s() -> None:
    async def main(ports: Ports) -> None:
        volume = volume_on(ports)
        files = volume.files
        assert volume.size_bytes > 0
        assert not files.is_read_only
        await files.make_directory("/a/b")
        file = await files.open("/a/b/f", create=True)
        await file.pwrite(3, memoryview(b"content"))
        await file.truncate(8)
        assert (file.path, file.size_bytes) == ("/a/b/f", 8)
        assert await file.pread(0, 100) == b"\0\0\0conte"
        await file.sync()
        await file.close()
        await file.close()
        assert ports.files.read_bytes(ROOT / "a/b/f") == b"\0\0\0conte"
        stat = await files.stat("/a/b/f")
        assert (stat.size_bytes, stat.is_directory, stat.modified_ns) == (8, False, ports.clock.wall_ns())
        assert (await files.stat("/a")).is_directory
        await files.rename("/a/b/f", "/g")
        assert await files.list_directory("/") == ["a", "g"]
        assert not await files.exists("/a/b/f")
        reader = await files.open("/g")
        with pytest.raises(VolumeWriteError, match="reading only"):
            await reader.pwrite(0, b"x")
        await reader.close()
        await files.remove("/g")
        await files.remove("/a/b")
        await files.sync()
        assert ports.files.list_directory(ROOT) == ["a"]

    run(main)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda files: files.open("/nothing"), NotFoundError),
        (lambda files: files.open("/f", exclusive=True), AlreadyExistsError),
        (lambda files: files.open("/d"), InvalidArgumentError),
        (lambda files: files.open("/../f"), InvalidArgumentError),
        (lambda files: files.open("/f/below"), InvalidArgumentError),
        (lambda files: files.stat("/nothing"), NotFoundError),
        (lambda files: files.list_directory("/nothing"), NotFoundError),
        (lambda files: files.remove("/d"), BadStateError),
        (lambda files: files.remove("/"), InvalidArgumentError),
        (lambda files: files.rename("/f", "/d"), AlreadyExistsError),
        (lambda files: files.rename("/nothing", "/x"), NotFoundError),
    ],
)
def test_host_errors_come_out_in_our_words(call: Callable[..., object], error: type[Exception]) -> None:
    async def main(ports: Ports) -> None:
        volume = volume_on(ports)
        await volume.files.make_directory("/d/sub")
        await volume.files.open("/f", create=True)
        with pytest.raises(error):
            await call(volume.files)  # type: ignore[misc]

    run(main)


def test_impossible_ranges_and_closed_files_are_refused() -> None:
    async def main(ports: Ports) -> None:
        file = await volume_on(ports).files.open("/f", create=True)
        for call in (file.pread(-1, 1), file.pread(0, -1), file.pwrite(-1, b"x"), file.truncate(-1)):
            with pytest.raises(InvalidArgumentError):
                await call
        await file.close()
        for call in (file.pread(0, 1), file.pwrite(0, b"x"), file.sync()):
            with pytest.raises(BadStateError, match="closed"):
                await call
        with pytest.raises(BadStateError):
            _ = file.size_bytes

    run(main)


def test_writes_are_held_and_released_in_order() -> None:
    async def main(ports: Ports) -> None:
        volume = volume_on(ports)
        file = await volume.files.open("/f", create=True)
        await file.pwrite(0, b"0")
        await volume.flush_and_hold(10)
        assert volume.is_holding
        tasks = [asyncio.ensure_future(file.pwrite(0, bytes([number]))) for number in range(1, 4)]
        tasks.append(asyncio.ensure_future(volume.files.rename("/f", "/g")))
        await ports.clock.sleep(1)
        assert volume.queued_count == 4
        assert ports.files.read_bytes(ROOT / "f") == b"0"
        assert await file.pread(0, 1) == b"0"
        await volume.release_writes()
        for task in tasks:
            await task
        assert ports.files.read_bytes(ROOT / "g") == b"\x03"
        await volume.flush_and_hold(1)
        await ports.clock.sleep(2)
        with pytest.raises(HoldWritesTimeoutError):
            await volume.release_writes()

    run(main)


def test_faults_reach_reads_and_writes() -> None:
    async def refuse(site: str, work: Callable[[], object], **selectors: str) -> object:
        raise VolumeReadError(site) if site == "volume.read" else VolumeWriteError(site)

    async def main(ports: Ports) -> None:
        volume = volume_on(ports)
        with pytest.raises(VolumeWriteError, match=r"volume\.write"):
            await volume.files.open("/f", create=True)
        ports.files.write_atomically(ROOT / "f", b"content")
        file = await volume.files.open("/f", write=True)
        with pytest.raises(VolumeReadError, match=r"volume\.read"):
            await file.pread(0, 1)
        with pytest.raises(VolumeWriteError, match=r"volume\.flush"):
            await file.sync()

    run(main, faults=refuse)


class FailingFiles(MemoryFiles):
    """Host files whose directories cannot be flushed."""

    def sync_directory(self, path: Path) -> None:
        raise OSError(errno.EIO, "broken disk", str(path))


def test_a_flush_that_fails_keeps_what_is_unflushed() -> None:
    async def main(ports: Ports) -> None:
        volume = volume_on(ports)
        await volume.files.open("/f", create=True)
        for _ in range(2):
            with pytest.raises(VolumeWriteError, match="broken disk"):
                await volume.flush_and_hold(10)
            assert not volume.is_holding

    run(main, files=FailingFiles())


def test_a_full_host_is_volume_full() -> None:
    async def main(ports: Ports) -> None:
        file = await volume_on(ports).files.open("/f", create=True)
        with pytest.raises(VolumeFullError):
            await file.pwrite(0, bytes(5000))

    run(main, files=MemoryFiles(capacity_bytes=4096))


def test_a_read_only_host_is_a_write_error() -> None:
    files = MemoryFiles()
    files.make_directory(ROOT)
    files.make_read_only(ROOT)

    async def main(ports: Ports) -> None:
        volume = HostVolume(ports, "H:", ROOT, volume_id=Guid(int=1), is_link=no_links)
        with pytest.raises(VolumeWriteError):
            await volume.files.make_directory("/d")

    run(main, files=files)


def test_a_volume_needs_a_directory_and_a_name() -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(NotFoundError, match="expected a directory"):
            HostVolume(ports, "H:", ROOT, volume_id=Guid(int=1), is_link=no_links)
        with pytest.raises(InvalidArgumentError, match="volume name"):
            HostVolume(ports, "H", ROOT, volume_id=Guid(int=1), is_link=no_links)

    run(main)


def test_no_link_leads_out_of_the_directory(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (inside / "link").symlink_to(outside)
    (inside / "file").symlink_to(outside / "secret")

    async def main() -> None:
        ports = real_ports(seed=1)
        volume = HostVolume(ports, "H:", inside, volume_id=Guid(int=1), is_link=Path.is_symlink)
        for path in ("/link/secret", "/file", "/link"):
            for call in (
                volume.files.open(path),
                volume.files.open(path, create=True),
                volume.files.stat(path),
                volume.files.remove(path),
                volume.files.rename(path, "/x"),
                volume.files.exists(path),
            ):
                with pytest.raises(InvalidArgumentError, match="symbolic link"):
                    await call
        file = await volume.files.open("/real", create=True)
        await file.pwrite(0, b"data")
        await volume.files.sync()
        await volume.flush_and_hold(10)
        await volume.release_writes()
        await file.close()

    asyncio.run(main())
    assert (outside / "secret").read_bytes() == b"secret"
    assert (inside / "real").read_bytes() == b"data"


def test_files_that_went_meanwhile_need_no_flush() -> None:
    async def main(ports: Ports) -> None:
        volume = volume_on(ports)
        await volume.files.make_directory("/d")
        file = await volume.files.open("/d/f", create=True)
        await file.pwrite(0, b"x")
        await volume.files.rename("/d/f", "/d/g")
        await file.pwrite(0, b"y")
        ports.files.remove_tree(ROOT / "d")
        await volume.files.sync()

    run(main)
