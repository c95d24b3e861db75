"""What is discarded gives the host its room back where it takes it, and reads as zeros everywhere."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from tests.volumes.test_volume_growth import take
from vss import real
from vss.errors import VolumeFullError, VolumeWriteError
from vss.ids import Guid
from vss.ports import HostFile, blank
from vss.real import RealFiles, real_ports
from vss.simulation import MemoryFiles
from vss.volumes import BlockVolume, ImageStore
from vss_providers.copy_on_write import CopyOnWriteProvider

MIB = 1 << 20


def blocks_of(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_an_image_shrinks_by_what_is_discarded(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "D.img"
        ports = real_ports()
        volume = BlockVolume(ports, "D:", ImageStore.create(ports.files, path, 4 * MIB), volume_id=Guid(int=1))
        await volume.write(0, b"x" * 4 * MIB)
        await volume.flush()
        before = blocks_of(path)

        await volume.discard(MIB + 100, 2 * MIB)
        await volume.flush()

        assert path.stat().st_size == 4 * MIB
        assert await volume.read(0, 4 * MIB) == b"x" * (MIB + 100) + bytes(2 * MIB) + b"x" * (MIB - 100)
        if blocks_of(path) == before:
            pytest.skip("the file system of the temporary directory has no holes")
        assert blocks_of(path) <= before - 2 * MIB + 8192
        volume.close()

    asyncio.run(main())


def test_a_shadow_copy_keeps_what_was_discarded(tmp_path: Path) -> None:
    async def main() -> None:
        ports = real_ports()
        store = ImageStore.create(ports.files, tmp_path / "D.img", MIB)
        volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=MIB)
        await volume.write(MIB // 2, b"x" * (MIB // 2))
        provider = CopyOnWriteProvider(ports)
        snapshot_id = await take(provider, volume, 1)
        await volume.discard(MIB // 2, MIB // 2)
        assert await volume.read(MIB // 2, MIB // 2) == bytes(MIB // 2)
        assert provider.open_device(snapshot_id).read(MIB // 2, MIB // 2) == b"x" * (MIB // 2)
        volume.close()

    asyncio.run(main())


def make(files: RealFiles | MemoryFiles, path: Path) -> HostFile:
    file = files.open(path, write=True, create=True)
    file.pwrite(0, b"x" * 10_000)
    return file


def test_a_host_without_holes_gets_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_holes(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(real, "_punch_hole", no_holes)
    for file in (make(RealFiles(), tmp_path / "real"), make(MemoryFiles(), Path("/memory"))):
        blank(file, 5000, 100)
        assert file.pread(0, 10_000) == b"x" * 5000 + bytes(100) + b"x" * 4900
        file.close()


def test_a_c_library_without_fallocate_counts_as_no_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    file = make(RealFiles(), tmp_path / "real")
    blank(file, 0, 10_000)
    assert file.pread(0, 10_000) == bytes(10_000)
    file.close()


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, VolumeWriteError), (errno.ENOSPC, VolumeFullError)])
def test_a_failing_host_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[VolumeWriteError]
) -> None:
    def fail(descriptor: int, offset: int, length: int) -> None:
        raise OSError(number, "broken")

    store = ImageStore.create(RealFiles(), tmp_path / "image", MIB)
    monkeypatch.setattr(real, "_punch_hole", fail)
    with pytest.raises(kind, match="discarding 100 bytes at offset 7"):
        store.discard(7, 100)
    store.discard(7, 0)
    with pytest.raises(VolumeWriteError, match="expected a range inside"):
        store.discard(MIB, 1)
    store.close()


def test_a_file_that_is_read_only_cannot_have_holes_punched(tmp_path: Path) -> None:
    make(RealFiles(), tmp_path / "image").close()
    store = ImageStore.open(RealFiles(), tmp_path / "image", write=False)
    with pytest.raises(VolumeWriteError, match="discarding"):
        store.discard(0, 100)
    store.close()
