"""A file system in memory that can lose power, for tests of everything that must survive it.

Fault model: each file has durable content and a list of writes since its last ``sync``. Power loss keeps any subset of those
writes, each cut at any set of 512-byte sectors; length changes survive or not in the same way. Names (create, remove) survive
as a prefix of their order, because file systems journal them; ``rename`` and every kind of ``sync`` make all earlier names
durable. Sectors are atomic. A durable byte never changes by itself.

Paths are compared as given; ``\\`` and ``/`` both separate.
"""

from __future__ import annotations

import errno
import random
import re
from collections.abc import Callable
from functools import lru_cache

from vss_writers.ese.files import FileStat, base_name, directory_name
from vss_writers.ese.memory_content import Content, Keep


class PowerLossError(Exception):
    """The machine lost power before this call took effect; take ``after_power_loss`` and start again from that."""


class MemoryFile:
    """An open file of a ``MemoryFileSystem``."""

    def __init__(self, system: MemoryFileSystem, path: str, content: Content, *, write: bool) -> None:
        self._system = system
        self._path = path
        self._content = content
        self._write = write
        self._is_open = True

    @property
    def path(self) -> str:
        """The path it was opened by."""
        return self._path

    @property
    def size_bytes(self) -> int:
        """The length now."""
        return self._content.size_bytes

    async def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes."""
        self._check(write=False)
        self._system.before_read(self._path, offset, length)
        return self._content.read(offset, length)

    async def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write ``data``; durable after ``sync``."""
        self._check(write=True)
        self._system.before_effect("write", self._path)
        self._system.check_space(max(0, offset + len(data) - self._content.size_bytes))
        written = bytes(data)
        self._content.write(offset, written)
        self._system.after_write(self._path, offset, written)

    async def truncate(self, size_bytes: int) -> None:
        """Cut or extend; durable after ``sync``."""
        self._check(write=True)
        self._system.before_effect("truncate", self._path)
        self._system.check_space(max(0, size_bytes - self._content.size_bytes))
        self._content.truncate(size_bytes)

    async def sync(self) -> None:
        """Make this file and all names durable."""
        self._check(write=False)
        self._system.before_effect("sync", self._path)
        self._system.sync_names()
        self._content.sync()

    async def close(self) -> None:
        """Release the handle."""
        self._is_open = False

    def _check(self, *, write: bool) -> None:
        if not self._is_open:
            raise ValueError(f"file is closed: {self._path}")
        if write and not self._write:
            raise OSError(errno.EBADF, "file is open for reading", self._path)


class MemoryFileSystem:
    """Files in memory.

    ``power_loss_at``: number of the effect (write, truncate, sync, create, rename, remove, counted from 0) that does not
    happen any more; every later one fails too. ``space_bytes``: room in all files together. Tests may replace ``before_read``
    and ``after_write`` to watch or to fail single calls.
    """

    def __init__(self, *, power_loss_at: int | None = None, space_bytes: int | None = None) -> None:
        self.power_loss_at = power_loss_at
        self.space_bytes = space_bytes
        self.effect_count = 0
        self.effects: list[tuple[str, str]] = []
        self._files: dict[str, Content] = {}
        self._directories: list[str] = []
        self._durable_names: dict[str, Content] = {}
        self._pending_names: list[tuple[str, Content | None]] = []
        self.fail: Callable[[str, str], None] = _no_failure
        self.fail_read: Callable[[str, int, int], None] = _no_read_failure
        self.written: Callable[[str, int, bytes], None] = _not_watched

    # -- the face the engine uses ----------------------------------------------------------------------------------------------

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> MemoryFile:
        """Open a file."""
        key = _key(path)
        content = self._files.get(key)
        if content is None:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "no such file", path)
            self.before_effect("create", path)
            content = Content()
            self._files[key] = content
            self._pending_names.append((key, content))
        elif exclusive:
            raise FileExistsError(errno.EEXIST, "file exists", path)
        return MemoryFile(self, path, content, write=write)

    async def stat(self, path: str) -> FileStat:
        """Return length and kind; raises ``FileNotFoundError``."""
        key = _key(path)
        if key in self._files:
            return FileStat(self._files[key].size_bytes, is_directory=False)
        if self._is_directory(key):
            return FileStat(0, is_directory=True)
        raise FileNotFoundError(errno.ENOENT, "no such file or directory", path)

    async def exists(self, path: str) -> bool:
        """Whether anything stands at ``path``."""
        return _key(path) in self._files or self._is_directory(_key(path))

    async def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        key = _key(path)
        if not self._is_directory(key):
            raise FileNotFoundError(errno.ENOENT, "no such directory", path)
        prefix = f"{key}/"
        below = [name[len(prefix) :] for name in [*self._files, *self._directories] if name.startswith(prefix)]
        return sorted({name.split("/")[0] for name in below})

    async def make_directory(self, path: str) -> None:
        """Make a directory and its parents; directories are durable at once."""
        key = _key(path)
        if key not in self._directories:
            self._directories.append(key)

    async def rename(self, source: str, target: str) -> None:
        """Rename over ``target``; durable when it returns."""
        if _key(source) not in self._files:
            raise FileNotFoundError(errno.ENOENT, "no such file", source)
        self.before_effect("rename", f"{source} -> {base_name(target)}")
        self._files[_key(target)] = self._files.pop(_key(source))
        self.sync_names()

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        key = _key(path)
        if key in self._files:
            self.before_effect("remove", path)
            del self._files[key]
            self._pending_names.append((key, None))
        elif key in self._directories:
            self._directories.remove(key)
        else:
            raise FileNotFoundError(errno.ENOENT, "no such file or directory", path)

    async def sync(self) -> None:
        """Make everything durable."""
        self.before_effect("sync", "*")
        for content in self._files.values():
            content.sync()
        self.sync_names()

    # -- power loss and damage -------------------------------------------------------------------------------------------------

    def after_power_loss(self, chosen: random.Random | bool = False) -> MemoryFileSystem:
        """Return the file system a restarted machine finds.

        Args:
            chosen: False keeps nothing that was not durable, True keeps everything, a generator picks.
        """
        keep: Keep = (lambda: chosen) if isinstance(chosen, bool) else (lambda: chosen.random() < 0.5)
        names = dict(self._durable_names)
        for key, content in self._pending_names:
            if not keep():
                break
            if content is None:
                names.pop(key, None)
            else:
                names[key] = content
        result = MemoryFileSystem()
        result._directories = list(self._directories)
        result._files = {key: content.survivor(keep) for key, content in names.items()}
        result._durable_names = dict(result._files)
        return result

    def copy(self) -> MemoryFileSystem:
        """Return an independent copy of the durable and undurable state as if everything had been synced."""
        self_copy = MemoryFileSystem()
        self_copy._directories = list(self._directories)
        self_copy._files = {key: Content(content.current()) for key, content in self._files.items()}
        self_copy._durable_names = dict(self_copy._files)
        return self_copy

    def read(self, path: str) -> bytes:
        """Return a file's content, for tests; the same object until it changes."""
        return self._files[_key(path)].current()

    def write(self, path: str, data: bytes) -> None:
        """Set a file's durable content, for tests and restores."""
        content = Content(bytes(data))
        self._files[_key(path)] = content
        self._durable_names[_key(path)] = content

    def delete(self, path: str) -> None:
        """Remove a file for good, for tests."""
        del self._files[_key(path)]
        self._durable_names.pop(_key(path), None)

    def flip(self, path: str, offset: int, bit: int = 0) -> None:
        """Flip one bit of a file, for tests."""
        self._files[_key(path)].flip(offset, bit)

    def paths(self) -> list[str]:
        """Return all file paths, with forward slashes, sorted."""
        return sorted(self._files)

    # -- called by open files --------------------------------------------------------------------------------------------------

    def before_effect(self, kind: str, path: str) -> None:
        """Count an effect; raises ``PowerLossError`` from the chosen one on."""
        if self.power_loss_at is not None and self.effect_count >= self.power_loss_at:
            raise PowerLossError(f"power lost before {kind} of {path}")
        self.fail(kind, path)
        self.effect_count += 1
        self.effects.append((kind, path))

    def before_read(self, path: str, offset: int, length: int) -> None:
        """Give a test the chance to fail a read."""
        self.fail_read(path, offset, length)

    def after_write(self, path: str, offset: int, data: bytes) -> None:
        """Tell a watching test about a write."""
        self.written(path, offset, data)

    def check_space(self, growth_bytes: int) -> None:
        """Raise ENOSPC where the files together would outgrow ``space_bytes``."""
        if self.space_bytes is None or growth_bytes == 0:
            return
        used = sum(content.size_bytes for content in self._files.values())
        if used + growth_bytes > self.space_bytes:
            raise OSError(errno.ENOSPC, "no space left")

    def sync_names(self) -> None:
        """Make every name durable."""
        self._durable_names = dict(self._files)
        self._pending_names.clear()

    def _is_directory(self, key: str) -> bool:
        return key in self._directories or any(name.startswith(f"{key}/") for name in [*self._files, *self._directories])


def _no_failure(kind: str, path: str) -> None:
    """No call fails."""


def _no_read_failure(path: str, offset: int, length: int) -> None:
    """No read fails."""


def _not_watched(path: str, offset: int, data: bytes) -> None:
    """Nobody watches."""


@lru_cache(1024)
def _key(path: str) -> str:
    directory = directory_name(path)
    key = base_name(path) if directory == "." else f"{directory}/{base_name(path)}"
    return re.sub(r"[\\/]+", "/", key).rstrip("/")
