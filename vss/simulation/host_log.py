"""Host directories and power loss: every effect on files and names is noted, and every state that a disk may show enumerated.

The names of a directory are durable only when the directory was synced, a file's bytes only when the file was; a rename is
whole or not at all. A state shows at most what a POSIX host may (Pillai et al., "All File Systems Are Not Created Equal", OSDI
2014). The model of what survives is ``vss.simulation.power_loss``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from vss.ports import HostFile, HostFiles, HostLock
from vss.simulation.memory_files import MemoryFiles
from vss.simulation.power_loss import PowerLossState, UnsyncedWrite, power_loss_states


class _Entry(NamedTuple):
    """A change of names: in directory ``directory`` ``name`` stands for node ``node`` now, None for nothing; a rename takes the
    name ``old_name`` of ``old_directory`` away in the same moment."""

    directory: int
    name: str
    node: int | None
    old_directory: int = -1
    old_name: str = ""


class _Cut(NamedTuple):
    """A file was cut or extended."""

    size: int


class _Change(NamedTuple):
    """What happened to bytes: the file and the write or cut."""

    node: int
    effect: UnsyncedWrite | _Cut


@dataclass(slots=True)
class _Disk:
    """Files by node number, directories as names; node 0 is the root."""

    files: dict[int, bytes] = field(default_factory=dict)
    directories: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})

    def copy(self) -> _Disk:
        return _Disk(dict(self.files), {number: dict(names) for number, names in self.directories.items()})

    def apply(self, change: _Change | _Entry, torn_sectors: tuple[int, ...] | None = None) -> None:
        if isinstance(change, _Entry):
            names = self.directories.setdefault(change.directory, {})
            if change.node is None:
                names.pop(change.name, None)
            else:
                names[change.name] = change.node
            if change.old_directory >= 0:
                self.directories.setdefault(change.old_directory, {}).pop(change.old_name, None)
            return
        content = bytearray(self.files.get(change.node, b""))
        if isinstance(change.effect, _Cut):
            content = content[: change.effect.size].ljust(change.effect.size, b"\0")
        else:
            sectors = change.effect.sectors()
            kept = range(len(sectors)) if torn_sectors is None else torn_sectors
            for number in kept:
                offset, data = sectors[number]
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data
        self.files[change.node] = bytes(content)

    def walk(self, path: PurePosixPath, directory: int = 0) -> Iterator[tuple[PurePosixPath, bytes | None]]:
        for name, node in sorted(self.directories.get(directory, {}).items()):
            if node in self.directories:
                yield path / name, None
                yield from self.walk(path / name, node)
            else:
                yield path / name, self.files.get(node, b"")


class HostState(NamedTuple):
    """What a host's disk may show after power loss.

    Attributes:
        after_event: how many recorded events had happened.
        state: which effects survived.
        acknowledged: marks that had been set by then: what somebody was told is durable.
        contents: path and bytes of each file, None for a directory, sorted.
        digest: of the contents; equal contents have equal digests.
    """

    after_event: int
    state: PowerLossState
    acknowledged: tuple[str, ...]
    contents: tuple[tuple[PurePosixPath, bytes | None], ...]
    digest: str

    def files(self) -> MemoryFiles:
        """Return the disk as the host finds it when it is switched on again."""
        files = MemoryFiles()
        for path, data in self.contents:
            if data is None:
                files.make_directory(Path(path))
            else:
                files.write_atomically(Path(path), data)
        return files


class RecordedFiles:
    """Host files that note every effect and every sync on their way to the files below, for ``states``.

    What stands there when it is made counts as durable. Everything goes through here: what is changed behind its back is
    unknown to it.
    """

    def __init__(self, inner: HostFiles, root: Path) -> None:
        """Record the effects on ``inner``, of which ``root`` and what is below is taken up as it is."""
        self._inner = inner
        self._next_node = 1
        self._live = _Disk()
        self._events: list[_Change | _Entry | int | str] = []  # a number is a node that was synced, a text a mark
        self._take_up(root)
        self._durable = self._live.copy()
        self.list_directory = inner.list_directory
        self.is_directory = inner.is_directory
        self.exists = inner.exists
        self.free_bytes = inner.free_bytes
        self.read_bytes = inner.read_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _take_up(self, path: Path) -> None:
        if not self._inner.is_directory(path):
            return
        self._node_of(path, makes=True)
        for name in self._inner.list_directory(path):
            child = path / name
            if self._inner.is_directory(child):
                self._take_up(child)
            else:
                directory = self._node_of(path)
                node = self._live.directories[directory][name] = self._new_node()
                self._live.files[node] = self._inner.read_bytes(child)

    # -- recording -------------------------------------------------------------------------------------------------------------

    @property
    def event_count(self) -> int:
        """Events recorded so far."""
        return len(self._events)

    def mark(self, text: str) -> None:
        """Note that somebody was told: ``text`` is durable."""
        self._events.append(text)

    def note(self, change: _Change | _Entry | int) -> None:
        """Note an effect, or the node that was synced."""
        self._events.append(change)
        if not isinstance(change, int):
            self._live.apply(change)

    def _new_node(self) -> int:
        self._next_node += 1
        return self._next_node - 1

    def _node_of(self, path: Path, *, makes: bool = False) -> int:
        node = 0
        for part in path.parts[1:] if path.is_absolute() else path.parts:
            names = self._live.directories[node]
            if makes and part not in names:
                number = names[part] = self._new_node()
                self._live.directories[number] = {}
            node = names[part]
        return node

    def _entry(self, path: Path, node: int | None) -> None:
        self.note(_Entry(self._node_of(path.parent), path.name, node))

    # -- HostFiles -------------------------------------------------------------------------------------------------------------

    def open(self, path: Path, *, write: bool = False, create: bool = False, exclusive: bool = False) -> HostFile:
        """Open a file; ``exclusive`` implies ``create`` and fails where the file exists."""
        is_new = (create or exclusive) and not self._inner.exists(path)
        file = self._inner.open(path, write=write, create=create, exclusive=exclusive)
        if is_new:
            self._entry(path, self._new_node())
        return _RecordedFile(self, file, self._node_of(path))

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Replace ``path`` by ``data``: temporary file, sync, rename, directory sync."""
        self._inner.write_atomically(path, data)
        node, directory = self._new_node(), self._node_of(path.parent)
        temporary = f".{path.name}.{node}.tmp"
        self.note(_Entry(directory, temporary, node))
        self.note(_Change(node, UnsyncedWrite(0, bytes(data))))
        self.note(node)
        self.note(_Entry(directory, path.name, node, directory, temporary))
        self.note(directory)

    def make_directory(self, path: Path) -> None:
        """Make a directory and its parents; an existing one is fine."""
        missing = [each for each in (path, *path.parents) if not self._inner.exists(each)]
        self._inner.make_directory(path)
        for each in reversed(missing):
            node = self._new_node()
            self._live.directories[node] = {}
            self._durable.directories[node] = {}
            self._entry(each, node)

    def rename(self, source: Path, target: Path) -> None:
        """Rename over ``target``."""
        self._inner.rename(source, target)
        if source != target:
            node = self._node_of(source)
            old = self._node_of(source.parent)
            self.note(_Entry(self._node_of(target.parent), target.name, node, old, source.name))

    def remove(self, path: Path) -> None:
        """Remove a file or an empty directory."""
        self._inner.remove(path)
        self._entry(path, None)

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and all below it; a missing one is fine."""
        was_there = self._inner.exists(path)
        self._inner.remove_tree(path)
        if was_there:
            self._entry(path, None)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable."""
        self._inner.sync_directory(path)
        self.note(self._node_of(path))

    def lock(self, path: Path) -> HostLock:
        """Take the exclusive lock on the file at ``path``."""
        self.open(path, write=True, create=True).close()
        return self._inner.lock(path)

    # -- power loss ------------------------------------------------------------------------------------------------------------

    def states(self, *, first_event: int = 0, subset_max: int = 6, torn_max: int = 16) -> Iterator[HostState]:
        """Enumerate what the disk may show when power fails after ``first_event`` events or later; each content once.

        Arguments as for ``power_loss_states``. A write is tried torn where it is the newest effect of all.
        """
        durable = self._durable.copy()
        pending: list[_Change | _Entry] = []
        marks: list[str] = []
        seen: set[str] = set()
        for number in range(len(self._events) + 1):
            if number >= first_event:
                yield from self._states_at(number, durable, pending, tuple(marks), seen, subset_max, torn_max)
            if number < len(self._events):
                event = self._events[number]
                if isinstance(event, str):
                    marks.append(event)
                elif isinstance(event, int):
                    pending = _synced(durable, pending, event)
                else:
                    pending = [*pending, event]

    def _states_at(
        self,
        number: int,
        durable: _Disk,
        pending: list[_Change | _Entry],
        marks: tuple[str, ...],
        seen: set[str],
        subset_max: int,
        torn_max: int,
    ) -> Iterator[HostState]:
        tearable = [each.effect if isinstance(each, _Change) else each for each in pending]
        for state in power_loss_states(tearable, subset_max=subset_max, torn_max=torn_max):
            disk = durable.copy()
            for kept in state.kept:
                disk.apply(pending[kept], state.torn_sectors if kept == state.kept[-1] else None)
            contents = tuple(disk.walk(PurePosixPath("/")))
            digest = _digest_of(contents, marks)
            if digest not in seen:
                seen.add(digest)
                yield HostState(number, state, marks, contents, digest)


def _synced(durable: _Disk, pending: list[_Change | _Entry], node: int) -> list[_Change | _Entry]:
    """Make durable what concerns ``node``: a file's bytes, or a directory's names; return what is left."""
    left: list[_Change | _Entry] = []
    for change in pending:
        if (change.node if isinstance(change, _Change) else change.directory) == node:
            durable.apply(change)
        else:
            left.append(change)
    return left


def _digest_of(contents: Sequence[tuple[PurePosixPath, bytes | None]], marks: tuple[str, ...]) -> str:
    digest = hashlib.blake2b("\n".join(marks).encode(), digest_size=16)
    for path, data in contents:
        digest.update(f"\0{path}\0{-1 if data is None else len(data)}\0".encode())
        digest.update(data or b"")
    return digest.hexdigest()


class _RecordedFile:
    """An open file of ``RecordedFiles``."""

    def __init__(self, files: RecordedFiles, inner: HostFile, node: int) -> None:
        self._files = files
        self._inner = inner
        self._node = node
        self.pread = inner.pread
        self.size = inner.size
        self.close = inner.close

    def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``."""
        self._inner.pwrite(offset, data)
        if len(data):
            self._files.note(_Change(self._node, UnsyncedWrite(offset, bytes(data))))

    def truncate(self, size: int) -> None:
        """Cut or extend (with zeros) to ``size`` bytes."""
        self._inner.truncate(size)
        self._files.note(_Change(self._node, _Cut(size)))

    def sync(self) -> None:
        """Make the written bytes durable."""
        self._inner.sync()
        self._files.note(self._node)
