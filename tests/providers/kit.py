"""What the provider tests share: a volume with a diff area and a plain record of every shadow copy, foreign readers."""

from __future__ import annotations

import io
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from vss.ids import Guid
from vss.roles.provider import Provider
from vss.volumes import BlockVolume
from vss.volumes.block_store import BlockStore, MemoryStore
from vss.volumes.boot_record import boot_record
from vss_providers.diff_area import DiffArea
from vss_providers.on_disk.reader import ShadowVolume
from vss_providers.on_disk.store_blocks import StoreInformation
from vss_providers.store import Store
from vss_providers.volsnap import Loss, VolsnapEvent

BLOCK = 0x4000
VOLUME_ID = UUID("0c5ab0f2-6a51-4c3e-9d0b-0b8f2c1d7e55")
PERSISTENT, VOLATILE = 0x20009, 0x20000
FIRST_FILETIME = 133_000_000_000_000_000


async def take(provider: Provider, volume: BlockVolume, number: int, attributes: int = 0) -> Guid:
    """Make a shadow copy of one volume, call by call; ``number`` is one that no other has."""
    set_id, snapshot_id = Guid(int=2 * number), Guid(int=2 * number + 1)
    await provider.begin_prepare_snapshot(set_id, snapshot_id, volume, attributes)
    await provider.end_prepare_snapshots(set_id)
    await provider.pre_commit_snapshots(set_id)
    await provider.commit_snapshots(set_id)
    await provider.post_commit_snapshots(set_id, 1)
    await provider.pre_final_commit_snapshots(set_id)
    await provider.post_final_commit_snapshots(set_id)
    return snapshot_id


class DiffAreaScene:
    """One volume, its diff area, and what every shadow copy must read as."""

    def __init__(
        self, size_bytes: int = 40 * BLOCK, *, seed: int = 0, device: BlockStore | None = None, **options: object
    ) -> None:
        self.random = random.Random(seed)
        self.size_bytes = size_bytes
        self.options = options
        self.lost: list[tuple[list[UUID], str]] = []
        self.events: list[VolsnapEvent] = []
        self.device = MemoryStore(size_bytes) if device is None else device
        record = boot_record(size_bytes, VOLUME_ID)
        self.device.write(0, record.ljust(BLOCK, b"\0"))
        self.device.write(BLOCK, self.random.randbytes(size_bytes - BLOCK - 512) + record)
        self.expected: dict[UUID, bytearray] = {}
        self.area = self.open_area()

    def open_area(self) -> DiffArea:
        def note(stores: Sequence[Store], loss: Loss) -> None:
            self.lost.append(([each.snapshot_id for each in stores], loss.reason))
            self.events.append(loss.event)

        return DiffArea(self.device, self.size_bytes, VOLUME_ID, note, **self.options)  # type: ignore[arg-type]

    def restart(self) -> None:
        self.area = self.open_area()

    def guid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    def information(self, attributes: int = VOLATILE) -> StoreInformation:
        return StoreInformation(self.guid(), self.guid(), attributes & 0x1D, attributes, 1, "LAB", "LAB")

    def snapshot(self, attributes: int = VOLATILE, *, created: int = FIRST_FILETIME) -> Store:
        store = self.area.prepare(self.information(attributes), self.guid())
        self.area.begin(store, created)
        self.area.publish(store, is_pending=False)
        self.expected[store.snapshot_id] = bytearray(self.device.read(0, self.size_bytes))
        return store

    def write(self, offset: int, data: bytes) -> None:
        """Change the volume as the gate would, filters first."""
        self.area.before_write(offset, len(data))
        self.device.write(offset, data)

    def write_randomly(self, count: int, *, longest: int = 1 << 20) -> None:
        for _ in range(count):
            room = self.size_bytes - BLOCK - 512
            length = min(self.random.choice([512, 4096, BLOCK, 3 * BLOCK + 512, longest]), room)
            self.write(BLOCK + self.random.randrange(room - length + 1), self.random.randbytes(length))

    def write_into(self, store: Store, offset: int, data: bytes) -> None:
        self.area.write(store, offset, data)
        self.expected[store.snapshot_id][offset : offset + len(data)] = data

    def delete(self, store: Store) -> None:
        self.area.delete(store)
        del self.expected[store.snapshot_id]

    def image(self) -> bytes:
        return self.device.read(0, self.device.size_bytes)

    def check(self) -> None:
        """Every shadow copy reads as recorded, through the writer's memory and from the bytes alone."""
        assert [store.snapshot_id for store in self.area.stack] == list(self.expected)
        for store in self.area.stack:
            assert self.area.read(store, 0, self.size_bytes) == self.expected[store.snapshot_id]
        assert read_with_reader(self.device) == self.expected


class SparseFile:
    """A store as a file object, without a copy of its gigabytes."""

    def __init__(self, device: BlockStore) -> None:
        self._device, self._at = device, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self.get_size())[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        data = self._device.read(self._at, min(size, self.get_size() - self._at))
        self._at += len(data)
        return data

    def get_size(self) -> int:
        return self._device.size_bytes


def read_with_reader(device: BlockStore) -> dict[UUID, bytes]:
    """Read every shadow copy with our own reader, oldest first."""
    copies = ShadowVolume(device).shadow_copies
    return {copy.information.snapshot_id: copy.read(0, copy.size_bytes) for copy in copies}


def read_with_libvshadow(image: bytes) -> dict[UUID, bytes]:
    """Read every shadow copy with libvshadow's Python binding, oldest first."""
    pyvshadow = pytest.importorskip("pyvshadow", reason="libvshadow-python is not installed")
    volume = pyvshadow.volume()
    volume.open_file_object(io.BytesIO(image))
    found = {}
    for index in range(volume.number_of_stores):
        store = volume.get_store(index)
        found[UUID(store.copy_identifier)] = store.read_buffer_at_offset(store.volume_size, 0)
    return found


def read_with_dissect(image: bytes) -> dict[UUID, bytes]:
    """Read every shadow copy with dissect.volume, oldest first."""
    vss = pytest.importorskip("dissect.volume.vss", reason="dissect.volume is not installed")
    return {store.copy_identifier: store.open().read(store.volume_size) for store in vss.VSS(io.BytesIO(image)).catalog.stores}


def read_with_dfir_ntfs(image: bytes, storage_image: bytes = b"") -> list[bytes]:
    """Read every shadow copy with dfir_ntfs, oldest first; the one reader that takes the image of a storage volume as well."""
    reader = pytest.importorskip("dfir_ntfs.ShadowCopy", reason="dfir_ntfs is not installed")
    files = [io.BytesIO(each) for each in (image, storage_image) if each]
    parser = (reader.ShadowParserTwoVolumes if storage_image else reader.ShadowParser)(*files)
    found = []
    for each in sorted(parser.shadows(), key=lambda each: int(each.stack_position)):
        parser.select_shadow(each.stack_position)
        parser.seek(0)
        found.append(bytes(parser.read(each.volume_size)))
    return found


def list_with_vshadowinfo(image: bytes, directory: Path, offset: int = 0) -> list[str]:
    """Return the shadow copy ids that vshadowinfo prints, oldest first."""
    program = shutil.which("vshadowinfo")
    if program is None:
        pytest.skip("vshadowinfo (libvshadow-utils) is not installed")
    path = directory / "volume.img"
    path.write_bytes(image)
    result = subprocess.run([program, "-o", str(offset), str(path)], capture_output=True, text=True, check=True)
    return re.findall(r"Shadow copy ID\s*: ([0-9a-f-]{36})", result.stdout)
