"""A host's disk as the model of power loss has it: files by node, names in directories, and the effects on both.

Decides what an effect does to the disk and what a sync makes durable of it: a file's bytes with the file, the names of a
directory with the directory. Invariant: a rename is one effect. Who records the effects is ``vss.simulation.host_log``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vss.simulation.memory_files import MemoryFiles
from vss.simulation.power_loss import UnsyncedWrite


class Entry(NamedTuple):
    """A change of names: in directory ``directory`` ``name`` stands for node ``node`` now, None for nothing; a rename takes the
    name ``old_name`` of ``old_directory`` away in the same moment."""

    directory: int
    name: str
    node: int | None
    old_directory: int = -1
    old_name: str = ""


class Cut(NamedTuple):
    """A file was cut or extended."""

    size: int


class Change(NamedTuple):
    """What happened to bytes: the file and the write or cut."""

    node: int
    effect: UnsyncedWrite | Cut


@dataclass(slots=True)
class Disk:
    """Files by node number, directories as names; node 0 is the root."""

    files: dict[int, bytes] = field(default_factory=dict)
    directories: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})

    def copy(self) -> Disk:
        """Return a disk that is the same now."""
        return Disk(dict(self.files), {number: dict(names) for number, names in self.directories.items()})

    def apply(self, change: Change | Entry, torn_sectors: tuple[int, ...] | None = None) -> None:
        """Let an effect happen; of a write only ``torn_sectors`` where they are given."""
        if isinstance(change, Entry):
            names = self.directories.setdefault(change.directory, {})
            if change.node is None:
                names.pop(change.name, None)
            else:
                names[change.name] = change.node
            if change.old_directory >= 0:
                self.directories.setdefault(change.old_directory, {}).pop(change.old_name, None)
            return
        content = bytearray(self.files.get(change.node, b""))
        if isinstance(change.effect, Cut):
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
        """Yield what is below a directory: path and bytes of each file, None for a directory, sorted."""
        for name, node in sorted(self.directories.get(directory, {}).items()):
            if node in self.directories:
                yield path / name, None
                yield from self.walk(path / name, node)
            else:
                yield path / name, self.files.get(node, b"")

    def paths(self, path: PurePosixPath, directory: int = 0) -> Iterator[tuple[int, PurePosixPath]]:
        """Yield every node with its path."""
        yield directory, path
        for name, node in self.directories.get(directory, {}).items():
            if node in self.directories:
                yield from self.paths(path / name, node)
            else:
                yield node, path / name


def settle(durable: Disk, pending: list[Change | Entry], node: int) -> list[Change | Entry]:
    """Make durable what concerns ``node``: a file's bytes, or a directory's names; return what is left."""
    left: list[Change | Entry] = []
    for change in pending:
        if (change.node if isinstance(change, Change) else change.directory) == node:
            durable.apply(change)
        else:
            left.append(change)
    return left


def files_of(contents: Iterable[tuple[PurePosixPath, bytes | None]]) -> MemoryFiles:
    """Return host files with this content."""
    files = MemoryFiles()
    for path, data in contents:
        if data is None:
            files.make_directory(Path(path))
        else:
            files.write_atomically(Path(path), data)
    return files


def told(change: Change | Entry, paths: Mapping[int, PurePosixPath]) -> tuple[str, int]:
    """Return an effect in words, and how many sectors it writes."""
    if isinstance(change, Entry):
        where = paths.get(change.directory, PurePosixPath("a removed directory")) / change.name
        if change.old_directory >= 0:
            return f"name {change.old_name} becomes {where}", 0
        return f"name {where} " + ("goes" if change.node is None else "comes"), 0
    where = paths.get(change.node, PurePosixPath("a removed file"))
    if isinstance(change.effect, Cut):
        return f"{where} has {change.effect.size} bytes", 0
    written = change.effect
    return f"{len(written.data)} bytes at {written.offset} of {where}", len(written.sectors())
