"""The files of a backup as verifiers see them on the shadow copies: by machine path, read where their bytes are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vss.documents import SelectedComponent
from vss.errors import NotFoundError
from vss.roles.volume import File, FileSystem
from vss_requestors.file_sets import PlannedFile
from vss_requestors.repository.layout import split_machine_path


class SnapshotFileSource:
    """A ``FileSource`` over planned files. Keeps one file open; ``close`` it. Of partial files the whole file is shown."""

    def __init__(
        self,
        shadow_copies: Mapping[str, FileSystem],
        files: Sequence[PlannedFile],
        components: Sequence[SelectedComponent] = (),
    ) -> None:
        """Show ``files`` of ``shadow_copies``, which are by volume name, as the files of ``components`` of one writer."""
        self._components = tuple(components)
        self._shadow_copies = shadow_copies
        self._files = {file.machine_path: file for file in files}
        self._path = ""
        self._open: File | None = None

    def components(self) -> Sequence[SelectedComponent]:
        """The components whose files these are, with what their writer wrote into the document; empty where nobody said."""
        return self._components

    def paths(self) -> Sequence[str]:
        """All machine paths, in the order given."""
        return list(self._files)

    async def size(self, path: str) -> int:
        """Length of the file on the shadow copy; ``NotFoundError`` where it is missing."""
        return (await self._opened(path)).size_bytes

    async def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes from the shadow copy; fewer only at the end of the file."""
        return await (await self._opened(path)).pread(offset, length)

    async def _opened(self, path: str) -> File:
        if self._open is not None and path == self._path:
            return self._open
        file = self._files.get(path)
        if file is None:
            raise NotFoundError(f"'{path}' is not in the backup")
        await self.close()
        volume, inner = split_machine_path(file.source_path)
        self._open, self._path = await self._shadow_copies[volume].open(inner), path
        return self._open

    async def close(self) -> None:
        """Close what is open."""
        if self._open is not None:
            await self._open.close()
            self._open = None
