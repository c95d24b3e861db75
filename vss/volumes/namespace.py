"""The files of a machine: several volumes under their drive names, as one file system of machine paths.

Decides how ``D:\\Exchange\\DB1.edb`` finds its volume. Drive names are compared without case, everything behind them as the
volume does. A volume's file system is asked for at each call, so a volume that was lost, replaced or mounted anew is reached as
it is now. Renaming never crosses volumes: it would not be atomic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vss.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from vss.roles.volume import File, FileStat, FileSystem, Volume
from vss.volumes.paths import check_volume_name, split_path


class VolumeNamespace:
    """A ``FileSystem`` whose paths begin with a drive name."""

    def __init__(self, volumes: Iterable[Volume] = ()) -> None:
        """Serve ``volumes`` by their names."""
        self._places: dict[str, Volume | FileSystem] = {}
        for volume in volumes:
            self.add(volume.name, volume)

    @classmethod
    def of_file_systems(cls, file_systems: Mapping[str, FileSystem]) -> VolumeNamespace:
        """Serve file systems by drive name: the shadow copies of a set under the names of their original volumes."""
        namespace = cls()
        for name, files in file_systems.items():
            namespace.add(name, files)
        return namespace

    def add(self, name: str, place: Volume | FileSystem) -> None:
        """Serve ``place`` as ``name`` (``D:``); ``AlreadyExistsError`` where there is one."""
        check_volume_name(name)
        if name.upper() in self._places:
            raise AlreadyExistsError(f"volume {name} exists already")
        self._places[name.upper()] = place

    @property
    def volume_names(self) -> list[str]:
        """The drive names in upper case, in the order they were added."""
        return list(self._places)

    def file_system(self, name: str) -> FileSystem:
        """Return the files of one volume; ``NotFoundError`` where there is none of that name."""
        place = self._places.get(name.upper())
        if place is None:
            raise NotFoundError(f"volume {name} expected one of {', '.join(self._places) or 'none'}")
        return place.files if isinstance(place, Volume) else place

    def _resolve(self, path: str) -> tuple[FileSystem, str]:
        name, inner = split_path(path)
        return self.file_system(name), inner

    @property
    def is_read_only(self) -> bool:
        """Whether every volume refuses changes."""
        return all(self.file_system(name).is_read_only for name in self._places)

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        """Open a file."""
        files, inner = self._resolve(path)
        return _MachineFile(await files.open(inner, write=write, create=create, exclusive=exclusive), path)

    async def stat(self, path: str) -> FileStat:
        """Return what is known of ``path``."""
        files, inner = self._resolve(path)
        return await files.stat(inner)

    async def exists(self, path: str) -> bool:
        """Whether anything stands at ``path``; a volume that is not there is an error, not False."""
        files, inner = self._resolve(path)
        return await files.exists(inner)

    async def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        files, inner = self._resolve(path)
        return await files.list_directory(inner)

    async def make_directory(self, path: str) -> None:
        """Make a directory and its parents."""
        files, inner = self._resolve(path)
        await files.make_directory(inner)

    async def rename(self, source: str, target: str) -> None:
        """Rename on one volume; ``InvalidArgumentError`` where the paths are on two."""
        files, inner_source = self._resolve(source)
        target_files, inner_target = self._resolve(target)
        if files is not target_files:
            raise InvalidArgumentError(f"path {target!r}: expected a place on the volume of {source!r}")
        await files.rename(inner_source, inner_target)

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        files, inner = self._resolve(path)
        await files.remove(inner)

    async def sync(self) -> None:
        """Make everything on every writable volume durable, in the order the volumes were added."""
        for name in self._places:
            files = self.file_system(name)
            if not files.is_read_only:
                await files.sync()


class _MachineFile:
    """An open file under the machine path it was opened by, not its place inside its volume. Its methods are the file's own."""

    __slots__ = ("_file", "close", "path", "pread", "pwrite", "sync", "truncate")

    def __init__(self, file: File, path: str) -> None:
        self.path = path
        self._file = file
        self.pread = file.pread
        self.pwrite = file.pwrite
        self.truncate = file.truncate
        self.sync = file.sync
        self.close = file.close

    @property
    def size_bytes(self) -> int:
        """The length now."""
        return self._file.size_bytes
