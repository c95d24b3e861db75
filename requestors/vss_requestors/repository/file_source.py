"""The files of a backup set as verifiers see them: by machine path, read from the target again.

A partial file is shown as the machine had it: its ranges where they belong, zeros between them, up to the end of the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vss.documents import SelectedComponent
from vss.errors import NotFoundError
from vss.ports import HostFile, Ports
from vss_requestors.blocking_work import finished
from vss_requestors.errors import target_errors
from vss_requestors.repository.records import ManifestFile

MAX_OPEN_FILES = 8


class SetFileSource:
    """A ``FileSource`` over entries of a manifest. Keeps a few files open; ``close`` it."""

    def __init__(
        self,
        ports: Ports,
        root: Path,
        entries: Sequence[ManifestFile],
        components: Sequence[SelectedComponent] = (),
    ) -> None:
        """Show ``entries`` of the set in ``root``, in this order, as the files of ``components`` of one writer."""
        self._components = tuple(components)
        self._ports = ports
        self._root = root
        self._entries = {entry.machine_path: entry for entry in entries}
        self._open: dict[str, HostFile] = {}

    def components(self) -> Sequence[SelectedComponent]:
        """The components whose files these are, with what their writer wrote into the document; empty where nobody said."""
        return self._components

    def paths(self) -> Sequence[str]:
        """All machine paths, in manifest order."""
        return list(self._entries)

    async def size(self, path: str) -> int:
        """Length of the file on the target now; ``NotFoundError`` where it is missing."""
        size_bytes = await finished(self._ports, lambda: self._handle(path).size())
        entry = self._entries[path]
        return entry.byte_ranges[-1].end if entry.ranges else size_bytes

    async def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes from the target; fewer only at the end of the file."""

        def read() -> bytes:
            handle = self._handle(path)
            entry = self._entries[path]
            with target_errors(entry.path, "read"):
                return _read_ranges(handle, entry, offset, length) if entry.ranges else handle.pread(offset, length)

        return await finished(self._ports, read)

    def _handle(self, path: str) -> HostFile:
        entry = self._entries.get(path)
        if entry is None:
            raise NotFoundError(f"'{path}' is not in the backup set")
        handle = self._open.pop(path, None)
        if handle is None:
            host_path = self._root / entry.path
            with target_errors(entry.path, "read"):
                if not self._ports.files.exists(host_path):
                    raise NotFoundError(f"'{entry.path}' is missing from the backup set")
                handle = self._ports.files.open(host_path)
            if len(self._open) >= MAX_OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
        self._open[path] = handle  # last: the least recently used one stands first
        return handle

    def close(self) -> None:
        """Close what is open."""
        for handle in self._open.values():
            handle.close()
        self._open.clear()


def _read_ranges(handle: HostFile, entry: ManifestFile, offset: int, length: int) -> bytes:
    ranges = entry.byte_ranges
    data = bytearray(max(0, min(offset + length, ranges[-1].end) - offset))
    stored = 0
    for each in ranges:
        start, end = max(each.offset, offset), min(each.end, offset + len(data))
        if start < end:
            data[start - offset : end - offset] = handle.pread(stored + start - each.offset, end - start)
        stored += each.length
    return bytes(data)
