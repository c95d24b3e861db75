"""Machine paths over several volumes."""

from __future__ import annotations

import pytest

from vss.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError, VolumeError
from vss.ids import Guid
from vss.ports import Ports
from vss.simulation import run
from vss.volumes import BlockVolume, ExtentFileSystem, MemoryStore, VolumeNamespace

SIZE = 256 * 1024


def volume(ports: Ports, name: str) -> BlockVolume:
    return BlockVolume.format(ports, name, MemoryStore(SIZE), volume_id=Guid(int=len(name)))


def test_paths_lead_to_their_volume_without_regard_to_the_drive_s_case() -> None:
    async def main(ports: Ports) -> None:
        data, logs = volume(ports, "D:"), volume(ports, "Logs:")
        machine = VolumeNamespace([data, logs])
        assert machine.volume_names == ["D:", "LOGS:"]
        assert not machine.is_read_only
        await machine.make_directory("d:\\Exchange\\SG1")
        file = await machine.open("D:\\Exchange\\SG1\\DB1.edb", create=True)
        assert file.path == "D:\\Exchange\\SG1\\DB1.edb"
        await file.pwrite(0, b"content")
        assert file.size_bytes == 7
        await file.close()
        await machine.sync()
        assert await machine.exists("d:\\Exchange\\SG1\\DB1.edb")
        assert not await machine.exists("LOGS:\\Exchange")
        assert (await machine.stat("D:\\Exchange\\SG1\\DB1.edb")).size_bytes == 7
        await machine.rename("D:\\Exchange\\SG1\\DB1.edb", "d:\\DB1.edb")
        assert await machine.list_directory("D:") == ["DB1.edb", "Exchange"]
        await machine.remove("D:\\DB1.edb")
        assert await data.files.list_directory("/") == ["Exchange"]

    run(main)


def test_renaming_across_volumes_is_refused() -> None:
    async def main(ports: Ports) -> None:
        machine = VolumeNamespace([volume(ports, "D:"), volume(ports, "L:")])
        await machine.open("D:\\f", create=True)
        with pytest.raises(InvalidArgumentError, match="on the volume of"):
            await machine.rename("D:\\f", "L:\\f")
        assert await machine.exists("D:\\f")

    run(main)


@pytest.mark.parametrize("path", ["f", "D:f", "D:\\..\\f", "D:\\a\0b", "D:\\\\a", "D:/f", ""])
def test_illegal_paths_are_refused(path: str) -> None:
    async def main(ports: Ports) -> None:
        machine = VolumeNamespace([volume(ports, "D:")])
        with pytest.raises(InvalidArgumentError):
            await machine.open(path, create=True)

    run(main)


def test_names_of_volumes_are_unique_and_known() -> None:
    async def main(ports: Ports) -> None:
        machine = VolumeNamespace([volume(ports, "D:")])
        with pytest.raises(AlreadyExistsError, match="d:"):
            machine.add("d:", volume(ports, "E:"))
        with pytest.raises(InvalidArgumentError):
            machine.add("D", volume(ports, "E:"))
        with pytest.raises(NotFoundError, match="expected one of D:"):
            await machine.stat("X:\\f")
        with pytest.raises(NotFoundError, match="expected one of none"):
            VolumeNamespace().file_system("D:")

    run(main)


def test_a_replaced_volume_is_reached_as_it_is_now() -> None:
    async def main(ports: Ports) -> None:
        data = volume(ports, "D:")
        machine = VolumeNamespace([data])
        await machine.open("D:\\f", create=True)
        data.lose()
        with pytest.raises(VolumeError, match="is lost"):
            await machine.exists("D:\\f")
        data.replace_with_blank()
        assert await machine.list_directory("D:\\") == []

    run(main)


def test_shadow_copies_stand_under_the_names_of_their_volumes() -> None:
    async def main(ports: Ports) -> None:
        data = volume(ports, "D:")
        file = await data.files.open("/f", create=True)
        await file.pwrite(0, b"content")
        await data.files.sync()
        copies = VolumeNamespace.of_file_systems({"D:": ExtentFileSystem.on_device(data.raw_store)})
        assert copies.is_read_only
        await copies.sync()
        assert await (await copies.open("D:\\f")).pread(0, 10) == b"content"

    run(main)
