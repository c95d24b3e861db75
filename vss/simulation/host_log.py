"""Host directories and power loss: every effect on files and names is noted, and every state that a disk may show enumerated.

The names of a directory are durable only when the directory was synced, a file's bytes only when the file was; a rename is
whole or not at all. A state shows at most what a POSIX host may (Pillai et al., "All File Systems Are Not Created Equal", OSDI
2014). The model of what survives is ``vss.simulation.power_loss``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from vss.ports import HostFile, HostFiles, HostLock
from vss.simulation.host_disk import Change, Cut, Disk, Entry, files_of, settle, told
from vss.simulation.memory_files import MemoryFiles
from vss.simulation.power_loss import PowerLossState, UnsyncedWrite, power_loss_states
from vss.simulation.survivors import UnsyncedEffect


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
        return files_of(self.contents)


class RecordedFiles:
    """Host files that note every effect and every sync on their way to the files below, for ``states``.

    What stands there when it is made counts as durable. Everything goes through here: what is changed behind its back is
    unknown to it.
    """

    def __init__(self, inner: HostFiles, root: Path, numbers: Callable[[], int] | None = None) -> None:
        """Record the effects on ``inner``, of which ``root`` and what is below is taken up as it is.

        ``numbers`` gives effects their place in the order of issue where there are other media beside these.
        """
        self._inner = inner
        self._number = count(1).__next__ if numbers is None else numbers
        self._next_node = 1
        self._live = Disk()
        self._events: list[Change | Entry | int | str] = []  # a number is a node that was synced, a text a mark
        self._take_up(root)
        self._durable = self._live.copy()
        self._synced = self._live.copy()
        self._unsynced: list[tuple[int, Change | Entry]] = []
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

    def note(self, change: Change | Entry | int) -> None:
        """Note an effect, or the node that was synced."""
        self._events.append(change)
        if isinstance(change, int):
            left = settle(self._synced, [each for _, each in self._unsynced], change)
            still = {id(each) for each in left}
            self._unsynced = [each for each in self._unsynced if id(each[1]) in still]
            return
        self._unsynced.append((self._number(), change))
        if isinstance(change, Entry):
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
        self.note(Entry(self._node_of(path.parent), path.name, node))

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
        self.note(Entry(directory, temporary, node))
        self.note(Change(node, UnsyncedWrite(0, bytes(data))))
        self.note(node)
        self.note(Entry(directory, path.name, node, directory, temporary))
        self.note(directory)

    def make_directory(self, path: Path) -> None:
        """Make a directory and its parents; an existing one is fine."""
        missing = [each for each in (path, *path.parents) if not self._inner.exists(each)]
        self._inner.make_directory(path)
        for each in reversed(missing):
            node = self._new_node()
            self._live.directories[node] = {}
            self._durable.directories[node] = {}
            self._synced.directories[node] = {}
            self._entry(each, node)

    def rename(self, source: Path, target: Path) -> None:
        """Rename over ``target``."""
        self._inner.rename(source, target)
        if source != target:
            node = self._node_of(source)
            old = self._node_of(source.parent)
            self.note(Entry(self._node_of(target.parent), target.name, node, old, source.name))

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

    def unsynced(self) -> list[UnsyncedEffect]:
        """Return the effects that power loss may take now, in order of issue."""
        paths = dict(self._live.paths(PurePosixPath("/")))
        return [UnsyncedEffect(number, "host", *told(change, paths)) for number, change in self._unsynced]

    def after_power_loss(self, survivors: Collection[int], torn: Mapping[int, tuple[int, ...]]) -> MemoryFiles:
        """Return the disk as the host finds it: the effects with the numbers ``survivors`` are there, of those that are in
        ``torn`` only these sectors."""
        disk = self._synced.copy()
        for number, change in self._unsynced:
            if number in survivors:
                disk.apply(change, torn.get(number))
        return files_of(disk.walk(PurePosixPath("/")))

    def states(self, *, first_event: int = 0, subset_max: int = 6, torn_max: int = 16) -> Iterator[HostState]:
        """Enumerate what the disk may show when power fails after ``first_event`` events or later; each content once.

        Arguments as for ``power_loss_states``. A write is tried torn where it is the newest effect of all.
        """
        durable = self._durable.copy()
        pending: list[Change | Entry] = []
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
                    pending = settle(durable, pending, event)
                else:
                    pending = [*pending, event]

    def _states_at(
        self,
        number: int,
        durable: Disk,
        pending: list[Change | Entry],
        marks: tuple[str, ...],
        seen: set[str],
        subset_max: int,
        torn_max: int,
    ) -> Iterator[HostState]:
        tearable = [each.effect if isinstance(each, Change) else each for each in pending]
        for state in power_loss_states(tearable, subset_max=subset_max, torn_max=torn_max):
            disk = durable.copy()
            for kept in state.kept:
                disk.apply(pending[kept], state.torn_sectors if kept == state.kept[-1] else None)
            contents = tuple(disk.walk(PurePosixPath("/")))
            digest = _digest_of(contents, marks)
            if digest not in seen:
                seen.add(digest)
                yield HostState(number, state, marks, contents, digest)


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
            self._files.note(Change(self._node, UnsyncedWrite(offset, bytes(data))))

    def truncate(self, size: int) -> None:
        """Cut or extend (with zeros) to ``size`` bytes."""
        self._inner.truncate(size)
        self._files.note(Change(self._node, Cut(size)))

    def sync(self) -> None:
        """Make the written bytes durable."""
        self._inner.sync()
        self._files.note(self._node)
