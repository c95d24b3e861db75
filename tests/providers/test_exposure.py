"""Writing a shadow copy out as a folder tree, and images that the host fails to read or write."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.providers.kit import DiffAreaScene
from tests.providers.world import VOLATILE, Machine, on_machine, put
from vss.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    ProviderError,
    VolumeDamagedError,
    VolumeReadError,
    VolumeWriteError,
)
from vss.ids import Guid
from vss.ports import HostFiles
from vss.simulation import MemoryFiles
from vss_providers.exposed_name import POINTER_AT
from vss_providers.exposure import MARKER, exposed_snapshot, take_away, write_out
from vss_providers.images import ImageFile, export, open_volume

TARGET = Path("/exposed")
FULL = OSError(errno.ENOSPC, "no space left")


class Failing:
    """Host files of which one call fails."""

    def __init__(self, files: HostFiles, call: str) -> None:
        self._files, self._call = files, call

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._files, name)
        return self._fail if name == self._call else found

    def _fail(self, *arguments: Any, **options: Any) -> Any:
        raise FULL


class FailingFile:
    """An open file that cannot be read or written."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> int:
            if name in ("pread", "pwrite", "truncate"):
                raise FULL
            return 1 << 30

        return call


def test_a_tree_is_written_and_taken_away() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await volume.files.make_directory("/a/b")
        await put(volume, "/a/b/deep", b"\0" * (1 << 20) + b"end")
        await put(volume, "/blank", bytes(5000))
        (snapshot_id,) = await machine.create()
        host = machine.ports.files
        host.make_directory(TARGET)

        found = await write_out(machine.ports, await machine.provider.open_snapshot(snapshot_id), snapshot_id, TARGET)

        assert (found.file_count, found.size_bytes) == (3, (1 << 20) + 3 + 5000 + 9)
        assert host.read_bytes(TARGET / "a" / "b" / "deep") == b"\0" * (1 << 20) + b"end"
        assert host.read_bytes(TARGET / "blank") == bytes(5000)
        assert exposed_snapshot(host, TARGET) == snapshot_id
        with pytest.raises(AlreadyExistsError):
            await write_out(machine.ports, await machine.provider.open_snapshot(snapshot_id), snapshot_id, TARGET)
        with pytest.raises(VolumeWriteError, match="could not be removed"):
            take_away(Failing(host, "remove_tree"), TARGET)  # type: ignore[arg-type]
        take_away(host, TARGET)
        assert not host.exists(TARGET)

    on_machine(story)


@pytest.mark.parametrize("was_there", [True, False])
def test_when_the_host_is_full_nothing_stays(was_there: bool) -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create()
        host = machine.ports.files
        if was_there:
            host.make_directory(TARGET)
        ports = replace(machine.ports, files=Failing(host, "open"))  # type: ignore[arg-type]
        with pytest.raises(VolumeWriteError, match="could not be written out"):
            await write_out(ports, await machine.provider.open_snapshot(snapshot_id), snapshot_id, TARGET)
        assert host.exists(TARGET) == was_there
        assert not was_there or host.list_directory(TARGET) == []

    on_machine(story)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "nul\0", MARKER])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str) -> None:
    class Hostile:
        async def list_directory(self, path: str) -> list[str]:
            return [name]

    async def story(machine: Machine) -> None:
        with pytest.raises(VolumeDamagedError, match="names that the host can have"):
            await write_out(machine.ports, Hostile(), Guid(int=1), TARGET)  # type: ignore[arg-type]
        assert not machine.ports.files.exists(TARGET)

    on_machine(story)


@pytest.mark.parametrize("marker", [b"", b"{}", b"[]", b'{"snapshot_id": "x"}', b"\xff"])
def test_a_directory_that_is_no_exposure_is_never_removed(marker: bytes) -> None:
    host = MemoryFiles()
    host.make_directory(TARGET)
    host.write_atomically(TARGET / "precious", b"data")
    with pytest.raises(NotFoundError):
        take_away(host, TARGET)
    host.write_atomically(TARGET / MARKER, marker)
    with pytest.raises(InvalidArgumentError):
        take_away(host, TARGET)
    assert host.read_bytes(TARGET / "precious") == b"data"
    host.write_atomically(TARGET / MARKER, json.dumps({"snapshot_id": str(Guid(int=5))}).encode())
    assert exposed_snapshot(host, TARGET) == Guid(int=5)


def test_only_persistent_shadow_copies_are_exposed_and_it_outlives_a_restart() -> None:
    async def story(machine: Machine) -> None:
        (volatile,) = await machine.create(VOLATILE)
        with pytest.raises(ProviderError, match="cannot be exposed"):
            await machine.provider.set_exposed_name(volatile, "X:")
        (snapshot_id,) = await machine.create()
        await machine.provider.set_exposed_name(snapshot_id, "X:")
        assert (await machine.provider.query())[-1].exposed_name == "X:"
        await machine.restart()
        (properties,) = await machine.provider.query()
        assert properties.attributes & 0x100000
        assert properties.exposed_name == "X:"
        await put(machine.volumes[0], "/file", b"x" * 300_000)
        await machine.provider.set_exposed_name(snapshot_id, "/srv/other name ü")
        await machine.restart()
        (properties,) = await machine.provider.query()
        assert properties.exposed_name == "/srv/other name ü"
        assert await machine.read(snapshot_id) == b"before D:"
        await machine.provider.set_exposed_name(snapshot_id, "")
        (properties,) = await machine.provider.query()
        assert not properties.attributes & 0x100000
        await machine.restart()
        assert (await machine.provider.query())[0].exposed_name == ""

    on_machine(story)


@pytest.mark.parametrize("damage", ["pointer", "block"])
def test_a_damaged_name_is_none_and_costs_nothing_else(damage: str) -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create()
        await machine.provider.set_exposed_name(snapshot_id, "X:")
        store = machine.provider.diff_area(machine.volumes[0]).stack[0]
        if damage == "pointer":
            machine.volumes[0].raw_store.write(store.side_car.blocks[0] + POINTER_AT, b"\x01")
        else:
            machine.volumes[0].raw_store.write(store.exposed.blocks[0], b"?")
        await machine.restart()
        (properties,) = await machine.provider.query()
        assert properties.exposed_name == ""
        assert await machine.read(snapshot_id) == b"before D:"

    on_machine(story)


def test_a_store_without_a_side_car_has_its_name_until_the_next_start() -> None:
    scene = DiffAreaScene()
    store = scene.snapshot()
    store.side_car.blocks.clear()

    store.set_exposed_name("X:")

    assert store.exposed.name == "X:"
    scene.check()


def test_an_image_that_the_host_cannot_read_or_write_is_a_typed_error() -> None:
    file = ImageFile(FailingFile(), "D.img")  # type: ignore[arg-type]
    with pytest.raises(VolumeReadError, match=r"D\.img"):
        file.read(0, 512)

    scene = DiffAreaScene()
    scene.snapshot()
    host = MemoryFiles()
    host.make_directory(TARGET)
    host.write_atomically(TARGET / "D.img", scene.image())
    image = ImageFile(host.open(TARGET / "D.img"), "D.img")
    with pytest.raises(VolumeDamagedError, match="offset 0x"):
        image.read(image.size_bytes - 10, 20)

    class Full(Failing):
        def _fail(self, *arguments: Any, **options: Any) -> Any:
            self._files.write_atomically(TARGET / "out.img", b"")
            return FailingFile()

    with pytest.raises(VolumeWriteError, match="cannot be written"):
        export(open_volume(image).shadow_copies[0], Full(host, "open"), TARGET / "out.img")  # type: ignore[arg-type]
    assert not host.exists(TARGET / "out.img")
