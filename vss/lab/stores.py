"""Where a lab keeps its volumes and its workloads' records: in memory, or in a directory of the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from vss.errors import NotFoundError, VolumeDamagedError
from vss.lab.configuration import VolumeTable, parse_size
from vss.lab.state import VOLUMES_DIRECTORY, WORKLOADS_DIRECTORY, image_path, workload_path
from vss.ports import HostFiles, Ports
from vss.volumes import BlockStore, BlockVolume, ImageStore, MemoryStore


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

    def mount(self, table: VolumeTable, ports: Ports) -> BlockVolume:
        """Mount an existing volume; one that was lost comes back as lost."""
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


class MemoryKeeper:
    """Keeps everything in memory; a second lab on the same keeper sees what the first left."""

    root: Path | None = None

    def __init__(self) -> None:
        """Begin with nothing."""
        self.lost_volumes: list[str] = []
        self._stores: dict[str, BlockStore] = {}
        self._records: dict[str, bytes] = {}

    def make(self, table: VolumeTable, ports: Ports) -> BlockVolume:
        """Make a new volume."""
        return BlockVolume.format(ports, table.name, self.blank(table), volume_id=ports.ids.guid())

    def lose(self, name: str) -> None:
        """The disk of a volume is gone."""
        self.lost_volumes.append(name)

    def mount(self, table: VolumeTable, ports: Ports) -> BlockVolume:
        """Mount what ``make`` or an earlier lab left; ``NotFoundError`` where there is nothing."""
        if table.name in self.lost_volumes:
            return _lost_volume(table, ports)
        store = self._stores.get(table.name)
        if store is None:
            raise NotFoundError(f"volume {table.name} was never made")
        return BlockVolume.mount(ports, table.name, store)

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


class DirectoryKeeper:
    """Keeps images and records in a lab directory."""

    def __init__(self, files: HostFiles, root: Path, lost_volumes: Sequence[str] = ()) -> None:
        """Keep them below ``root``; ``lost_volumes`` as an earlier run left it."""
        self.lost_volumes = list(lost_volumes)
        self._files = files
        self._root = root

    @property
    def root(self) -> Path | None:
        """The lab's directory."""
        return self._root

    def make(self, table: VolumeTable, ports: Ports) -> BlockVolume:
        """Make a new image and format it."""
        return BlockVolume.format(ports, table.name, self.blank(table), volume_id=ports.ids.guid())

    def mount(self, table: VolumeTable, ports: Ports) -> BlockVolume:
        """Mount the image.

        Raises:
            NotFoundError: the image is gone.
            VolumeDamagedError: it holds no file system, or a damaged one.
        """
        if table.name in self.lost_volumes:
            return _lost_volume(table, ports)
        path = image_path(self._root, table.name)
        try:
            store = ImageStore.open(self._files, path)
        except FileNotFoundError as error:
            raise NotFoundError(f"volume {table.name}: its image {path} is gone") from error
        except OSError as error:
            raise VolumeDamagedError(f"volume {table.name}: its image {path} cannot be opened: {error}") from error
        try:
            return BlockVolume.mount(ports, table.name, store)
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
        """Make an empty image, in the place of an old one if there is one."""
        self.lost_volumes = [each for each in self.lost_volumes if each != table.name]
        self._files.make_directory(self._root / VOLUMES_DIRECTORY)
        path = image_path(self._root, table.name)
        if self._files.exists(path):
            self._files.remove(path)
        return ImageStore.create(self._files, path, parse_size(table.size, table.name))

    def read_workload(self, name: str) -> bytes | None:
        """Return a workload's record."""
        path = workload_path(self._root, name)
        return self._files.read_bytes(path) if self._files.exists(path) else None

    def write_workloads(self, records: Mapping[str, bytes]) -> None:
        """Keep the records."""
        self._files.make_directory(self._root / WORKLOADS_DIRECTORY)
        for name, record in records.items():
            self._files.write_atomically(workload_path(self._root, name), record)


def _lost_volume(table: VolumeTable, ports: Ports) -> BlockVolume:
    """Return a volume of the configured size whose disk is gone."""
    store = MemoryStore(parse_size(table.size, table.name), name=table.name)
    volume = BlockVolume.format(ports, table.name, store, volume_id=ports.ids.guid())
    volume.lose()
    return volume
