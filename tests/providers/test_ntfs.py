"""A real NTFS volume under our provider: others open our shadow copies as NTFS trees, with the files of their time."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.providers.kit import BLOCK, read_with_libvshadow
from tests.providers.world import PERSISTENT, Machine
from vss.ids import Guid
from vss.ports import Ports
from vss.real import RealFiles
from vss.simulation import run
from vss.volumes import BlockVolume, MemoryStore
from vss_providers.images import ImageFile, export, open_volume

SIZE = 8 << 20

pytestmark = pytest.mark.slow


def tool(name: str, *arguments: str) -> bytes:
    """Run a program of ntfs-3g; the test is skipped where it is not installed."""
    program = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        pytest.skip(f"{name} (Debian package ntfs-3g) is not installed")
    return subprocess.run([program, *arguments], check=True, capture_output=True).stdout


class NtfsMachine(Machine):
    """A volume with NTFS on it, which is changed by ntfscp on a copy and brought to the volume block by block."""

    def __init__(self, ports: Ports, directory: Path) -> None:
        super().__init__(ports)
        self.image, self.source = directory / "ntfs.img", directory / "source"
        self.image.write_bytes(bytes(SIZE))
        tool("mkntfs", "--force", "--quick", "--quiet", "--label", "DATA", str(self.image))
        store = MemoryStore(SIZE, name="N:", content=self.image.read_bytes())
        self.volume = BlockVolume(ports, "N:", store, volume_id=Guid(int=14), size_bytes=SIZE)
        self.volumes = [self.volume]

    async def put(self, name: str, content: bytes) -> None:
        """Write a file as NTFS does, through the gate and past the provider."""
        before = self.volume.raw_store.read(0, SIZE)
        self.image.write_bytes(before)
        self.source.write_bytes(content)
        tool("ntfscp", "--force", "--quiet", str(self.image), str(self.source), name)
        after = self.image.read_bytes()
        for at in range(0, SIZE, 4096):
            if after[at : at + 4096] != before[at : at + 4096]:
                await self.volume.write(at, after[at : at + 4096])

    async def snapshot(self) -> Guid:
        (snapshot_id,) = await self.create(PERSISTENT)
        return snapshot_id


def test_others_open_our_shadow_copies_as_ntfs_trees(tmp_path: Path) -> None:
    contents = [b"first " * 1000, b"second" * 9000, b"third!" * 20_000]

    async def main(ports: Ports) -> bytes:
        machine = NtfsMachine(ports, tmp_path)
        for number, content in enumerate(contents):
            await machine.put("mail.edb", content)
            await machine.put(f"only{number}.log", content[:100])
            await machine.snapshot()
        await machine.put("mail.edb", b"live")
        store = machine.volume.raw_store
        return store.read(0, store.size_bytes)

    image = run(main)
    path = tmp_path / "volume.img"
    path.write_bytes(image)
    ntfs = pytest.importorskip("dissect.ntfs", reason="dissect.ntfs is not installed")
    vss = pytest.importorskip("dissect.volume.vss", reason="dissect.volume is not installed")
    libvshadow = list(read_with_libvshadow(image).values())
    file = ImageFile(RealFiles().open(path), str(path))
    stores = vss.VSS(io.BytesIO(image)).catalog.stores
    assert len(stores) == len(libvshadow) == len(contents)
    for number, (store, expected) in enumerate(zip(stores, contents, strict=True)):
        tree = ntfs.NTFS(io.BytesIO(store.open().read(store.volume_size)))
        assert tree.mft.get("mail.edb").open().read() == expected
        exported = tmp_path / f"copy{number}.img"
        export(open_volume(file).shadow_copies[number], RealFiles(), exported)
        assert exported.read_bytes() == libvshadow[number]
        assert tool("ntfscat", "--force", str(exported), "mail.edb") == expected
        names = tool("ntfsls", "--force", str(exported)).decode().split()
        assert [name for name in names if name.startswith("only")] == [f"only{each}.log" for each in range(number + 1)]
    file.close()
    assert tool("ntfscat", "--force", str(path), "mail.edb") == b"live"
    assert len(image) > SIZE + len(contents) * BLOCK


def test_an_ntfs_volume_is_reverted_to_a_shadow_copy(tmp_path: Path) -> None:
    async def main(ports: Ports) -> bytes:
        machine = NtfsMachine(ports, tmp_path)
        await machine.put("mail.edb", b"before" * 5000)
        snapshot_id = await machine.snapshot()
        await machine.put("mail.edb", b"after")
        await machine.put("more.log", b"more")
        await machine.provider.revert(snapshot_id)
        return machine.volume.raw_store.read(0, SIZE)

    path = tmp_path / "reverted.img"
    path.write_bytes(run(main))

    assert tool("ntfscat", "--force", str(path), "mail.edb") == b"before" * 5000
    assert "more.log" not in tool("ntfsls", "--force", str(path)).decode().split()
