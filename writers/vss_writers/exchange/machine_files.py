"""The machine's files as the engine wants them: an open file knows the whole machine path it was opened by.

The engine writes the paths of its databases into logs and checkpoint, and finds the databases by them in recovery. A file of a
machine's namespace calls itself by its place inside its volume, which would be found nowhere.
"""

from __future__ import annotations

from vss.roles.volume import File, FileStat, FileSystem


class MachineFile:
    """An open file under its machine path. Its methods are the file's own."""

    __slots__ = ("_file", "close", "path", "pread", "pwrite", "sync", "truncate")

    def __init__(self, file: File, path: str) -> None:
        """Call ``file`` by ``path``."""
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


class MachineFiles:
    """A machine's file system whose open files know their machine paths."""

    __slots__ = ("_files", "exists", "list_directory", "make_directory", "remove", "rename", "sync")

    def __init__(self, files: FileSystem) -> None:
        """Serve ``files``."""
        self._files = files
        self.exists = files.exists
        self.list_directory = files.list_directory
        self.make_directory = files.make_directory
        self.rename = files.rename
        self.remove = files.remove
        self.sync = files.sync

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> MachineFile:
        """Open a file; see ``FileSystem.open``."""
        return MachineFile(await self._files.open(path, write=write, create=create, exclusive=exclusive), path)

    async def stat(self, path: str) -> FileStat:
        """Return what is known of ``path``."""
        return await self._files.stat(path)
