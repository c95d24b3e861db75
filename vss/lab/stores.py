"""Where a lab keeps its volumes and its workloads' records: in memory, or in a directory of the host.

A flush of a simulated volume is not a sync on the host: images are made durable once, when the machine is switched off and
before its state is kept. A killed process loses nothing by that; a host that loses power in the middle of a run may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from vss.errors import ConfigurationError, NotFoundError, VolumeError, VolumeWriteError
from vss.lab.configuration import VolumeTable, parse_size
from vss.lab.state import SUSPENDED_FILE, VOLUMES_DIRECTORY, WORKLOADS_DIRECTORY, image_path, workload_path
from vss.ports import HostFile, HostFiles, Ports, blank
from vss.volumes import BlockStore, BlockVolume, ImageStore, Latency, MemoryStore

BeforeMount = Callable[[BlockVolume], None]


class StoreKeeper(Protocol):
    """Makes and mounts volumes, keeps records."""

    @property
    def root(self) -> Path | None:
        """The lab's directory; None in memory."""
        ...

    @property
    def lost_volumes(self) -> list[str]:
        """Volumes whose disk is gone."""
        ...

    def lose(self, name: str) -> None:
        """The disk of a volume is gone; it stays gone over restarts until ``blank`` puts a new one in its place."""
        ...

    def make(self, table: VolumeTable, ports: Ports) -> BlockVolume:
        """Make a new volume."""
        ...

    def mount(self, table: VolumeTable, ports: Ports, before_mount: BeforeMount | None = None) -> BlockVolume:
        """Mount an existing volume, after giving it to ``before_mount``; one that was lost comes back as lost."""
        ...

    def blank(self, table: VolumeTable) -> BlockStore:
        """Return an empty store in the place of a lost one."""
        ...

    def read_workload(self, name: str) -> bytes | None:
        """Return a workload's record; None where there is none."""
        ...

    def write_workloads(self, records: Mapping[str, bytes]) -> None:
        """Keep the workloads' records."""
        ...

    def take_suspended(self) -> bytes:
        """Return what was suspended with the machine and forget it: a run that is killed has lost its memory."""
        ...

    def write_suspended(self, data: bytes) -> None:
        """Keep what is suspended with the machine."""
        ...


def latency_of(table: VolumeTable) -> Latency:
    """Return how slow the configured disk is."""
    return Latency(table.read_latency_ms / 1000, table.write_latency_ms / 1000, table.flush_latency_ms / 1000)


class MemoryKeeper:
    """Keeps everything in memory; a second lab on the same keeper sees what the first left."""

    root: Path | None = None

    def __init__(self) -> None:
        """Begin with nothing."""
        self.lost_volumes: list[str] = []
        self._stores: dict[str, BlockStore] = {}
        self._records: dict[str, bytes] = {}
        self._suspended = b""

    def make(self, table: VolumeTable, ports: Ports) -> BlockVolume:
        """Make a new volume."""
        return _format(table, ports, self.blank(table))

    def lose(self, name: str) -> None:
        """The disk of a volume is gone."""
        self.lost_volumes.append(name)

    def mount(self, table: VolumeTable, ports: Ports, before_mount: BeforeMount | None = None) -> BlockVolume:
        """Mount what ``make`` or an earlier lab left; ``NotFoundError`` where there is nothing."""
        if table.name in self.lost_volumes:
            return _lost_volume(table, ports)
        store = self._stores.get(table.name)
        if store is None:
            raise NotFoundError(f"volume {table.name} was never made")
        return BlockVolume.mount(ports, table.name, store, latency=latency_of(table), before_mount=before_mount)

    def blank(self, table: VolumeTable) -> BlockStore:
        """Return an empty store."""
        self.lost_volumes = [each for each in self.lost_volumes if each != table.name]
        store = MemoryStore(parse_size(table.size, table.name), name=table.name)
        self._stores[table.name] = store
        return store

    def read_workload(self, name: str) -> bytes | None:
        """Return a workload's record."""
        return self._records.get(name)

    def write_workloads(self, records: Mapping[str, bytes]) -> None:
        """Keep the records."""
        self._records.update(records)

    def take_suspended(self) -> bytes:
        """Return what was suspended, and forget it."""
        data, self._suspended = self._suspended, b""
        return data

    def write_suspended(self, data: bytes) -> None:
        """Keep it."""
        self._suspended = data


class DirectoryKeeper:
    """Keeps images and records in a lab directory.

    Args:
        files: the host.
        root: the lab's directory.
        lost_volumes: as an earlier run left it.
        expendable: volumes that come up as lost, instead of stopping the machine, where their image cannot be used.
    """

    def __init__(
        self, files: HostFiles, root: Path, lost_volumes: Sequence[str] = (), *, expendable: Sequence[str] = ()
    ) -> None:
        """Keep them below ``root``."""
        self.lost_volumes = list(lost_volumes)
        self._files = files
        self._root = root
        self._expendable = [each.rstrip("\\").upper() for each in expendable]

    @property
    def root(self) -> Path | None:
        """The lab's directory."""
        return self._root

    def make(self, table: VolumeTable, ports: Ports) -> BlockVolume:
        """Make a new image and format it."""
        return _format(table, ports, self.blank(table))

    def mount(self, table: VolumeTable, ports: Ports, before_mount: BeforeMount | None = None) -> BlockVolume:
        """Mount the image.

        Raises:
            NotFoundError: the image is gone.
            ConfigurationError: it is cut short, or holds no file system, or a damaged one.
        """
        if table.name in self.lost_volumes:
            return _lost_volume(table, ports)
        path = image_path(self._root, table.name)
        hint = f"put the image back, or give the disk up: 'vss lab lose {self._root} {table.name}'"
        try:
            return self._mount_image(table, ports, path, before_mount)
        except (VolumeError, OSError) as error:
            if table.name.upper() in self._expendable:
                return _lost_volume(table, ports)
            if isinstance(error, FileNotFoundError):
                raise NotFoundError(f"the image of volume {table.name}, {path}, is gone", hint=hint) from error
            raise ConfigurationError(f"the image of volume {table.name}, {path}, cannot be used: {error}", hint=hint) from error

    def _mount_image(self, table: VolumeTable, ports: Ports, path: Path, before_mount: BeforeMount | None) -> BlockVolume:
        store = _open_image(self._files, path)
        try:
            size = parse_size(table.size, table.name)
            if store.size_bytes < size:
                raise VolumeError(f"expected {size} bytes, as the configuration says, found {store.size_bytes}")
            return BlockVolume.mount(ports, table.name, store, latency=latency_of(table), before_mount=before_mount)
        except BaseException:
            store.close()
            raise

    def lose(self, name: str) -> None:
        """The disk of a volume is gone, and with it its image."""
        self.lost_volumes.append(name)
        path = image_path(self._root, name)
        if self._files.exists(path):
            self._files.remove(path)

    def blank(self, table: VolumeTable) -> BlockStore:
        """Make an empty image, in the place of an old one if there is one.

        Raises:
            VolumeWriteError: the host refuses.
        """
        path = image_path(self._root, table.name)
        try:
            self._files.make_directory(self._root / VOLUMES_DIRECTORY)
            if self._files.exists(path):
                self._files.remove(path)
            ImageStore.create(self._files, path, parse_size(table.size, table.name)).close()
            store = _open_image(self._files, path)
        except OSError as error:
            raise VolumeWriteError(f"the image of volume {table.name}, {path}, cannot be made: {error}") from error
        self.lost_volumes = [each for each in self.lost_volumes if each != table.name]
        return store

    def read_workload(self, name: str) -> bytes | None:
        """Return a workload's record; ``ConfigurationError`` where it cannot be read."""
        path = workload_path(self._root, name)
        try:
            return self._files.read_bytes(path) if self._files.exists(path) else None
        except OSError as error:
            raise ConfigurationError(f"the record of workload '{name}', {path}, cannot be read: {error}") from error

    def write_workloads(self, records: Mapping[str, bytes]) -> None:
        """Keep the records; ``VolumeWriteError`` where the host refuses."""
        try:
            self._files.make_directory(self._root / WORKLOADS_DIRECTORY)
            for name, record in records.items():
                self._files.write_atomically(workload_path(self._root, name), record)
        except OSError as error:
            raise VolumeWriteError(f"the workloads' records in {self._root} cannot be kept: {error}") from error

    def take_suspended(self) -> bytes:
        """Return what was suspended, and remove it; ``ConfigurationError`` where that cannot be done."""
        path = self._root / SUSPENDED_FILE
        try:
            if not self._files.exists(path):
                return b""
            data = self._files.read_bytes(path)
            self._files.remove(path)
        except OSError as error:
            raise ConfigurationError(f"what was suspended, {path}, cannot be taken up: {error}") from error
        return data

    def write_suspended(self, data: bytes) -> None:
        """Keep it; ``VolumeWriteError`` where the host refuses."""
        try:
            self._files.write_atomically(self._root / SUSPENDED_FILE, data)
        except OSError as error:
            raise VolumeWriteError(f"what is suspended with {self._root} cannot be kept: {error}") from error


class _LateSync:
    """An image's host file that is made durable once, when it is closed."""

    def __init__(self, file: HostFile) -> None:
        self._file = file
        self._is_dirty = False

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        return self._file.pread(offset, length)

    def size(self) -> int:
        """Return the length in bytes."""
        return self._file.size()

    def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``."""
        self._is_dirty = True
        self._file.pwrite(offset, data)

    def punch_hole(self, offset: int, length: int) -> None:
        """Make ``length`` bytes zeros, as a hole where the file can have one."""
        self._is_dirty = True
        blank(self._file, offset, length)

    def truncate(self, size: int) -> None:
        """Cut or extend."""
        self._is_dirty = True
        self._file.truncate(size)

    def sync(self) -> None:
        """Put it off."""

    def close(self) -> None:
        """Make everything durable and release the handle."""
        is_dirty, self._is_dirty = self._is_dirty, False
        try:
            if is_dirty:
                self._file.sync()
        except OSError as error:
            raise VolumeWriteError(f"a volume's image cannot be made durable: {error}") from error
        finally:
            self._file.close()


def _open_image(files: HostFiles, path: Path) -> ImageStore:
    return ImageStore(_LateSync(files.open(path, write=True)), name=str(path))


def _format(table: VolumeTable, ports: Ports, store: BlockStore) -> BlockVolume:
    return BlockVolume.format(ports, table.name, store, volume_id=ports.ids.guid(), latency=latency_of(table))


def _lost_volume(table: VolumeTable, ports: Ports) -> BlockVolume:
    """Return a volume of the configured size whose disk is gone."""
    return BlockVolume.lost(ports, table.name, parse_size(table.size, table.name), volume_id=ports.ids.guid())
