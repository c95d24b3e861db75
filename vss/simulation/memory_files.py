"""Host files in memory, with the host's own errors.

Decides what the simulated world's disk looks like: a tree of nodes, a capacity, read-only paths. Invariant: every refusal is
the ``OSError`` subclass and ``errno`` that a POSIX host raises for the same call; a refused call changes nothing. One
contract (``tests/simulation/test_host_files.py``) runs over this and ``vss.real.RealFiles``. Relative paths are taken from
``/``. Links do not exist here.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_DEFAULT_CAPACITY = 1 << 40


@dataclass(slots=True, eq=False)
class _Node:
    """A file (``children`` is None) or a directory."""

    data: bytearray = field(default_factory=bytearray)
    children: dict[str, _Node] | None = None
    has_name: bool = True
    lock: _MemoryLock | None = None


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))


class _MemoryFile:
    """An open file. It goes on working after its name is removed, as on a POSIX host."""

    def __init__(self, files: MemoryFiles, node: _Node, path: Path, *, write: bool) -> None:
        self._files = files
        self._node = node
        self._path = path
        self._write = write
        self._is_open = True

    def _check(self, *, write: bool = False) -> bytearray:
        if not self._is_open or self._files.is_shut or (write and not self._write):
            raise _error(errno.EBADF, self._path)
        return self._node.data

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        data = self._check()
        if offset < 0 or length < 0:
            raise _error(errno.EINVAL, self._path)
        return bytes(memoryview(data)[offset : offset + length])

    def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``; a gap reads as zeros."""
        content = self._check(write=True)
        if offset < 0:
            raise _error(errno.EINVAL, self._path)
        length = len(data) if not isinstance(data, memoryview) else data.nbytes
        if not length:
            return
        self._files.grow(max(0, offset + length - len(content)), self._path, self._node)
        if offset > len(content):
            content.extend(bytes(offset - len(content)))
        content[offset : offset + length] = data

    def truncate(self, size: int) -> None:
        """Cut or extend (with zeros) to ``size`` bytes."""
        content = self._check()
        if size < 0 or not self._write:
            raise _error(errno.EINVAL, self._path)
        self._files.grow(size - len(content), self._path, self._node)
        if size < len(content):
            del content[size:]
        else:
            content.extend(bytes(size - len(content)))

    def size(self) -> int:
        """Return the length in bytes."""
        return len(self._check())

    def sync(self) -> None:
        """Do nothing: memory is as durable as it gets here."""
        self._check()

    def close(self) -> None:
        """Release the handle; calling it twice is harmless."""
        if self._is_open:
            self._is_open = False
            self._files.forget_handle(self._node, self._path)


class _MemoryLock:
    """A lock that is held; its file counts as open."""

    def __init__(self, files: MemoryFiles, node: _Node, path: Path) -> None:
        self._files = files
        self._node = node
        self._path = path

    def close(self) -> None:
        """Give the lock back; calling it twice is harmless."""
        if self._node.lock is self:
            self._node.lock = None
            self._files.forget_handle(self._node, self._path)


class MemoryFiles:
    """A host file tree in memory.

    Args:
        capacity_bytes: room for file contents; writing more raises ``OSError`` ENOSPC.
        read_only: paths at and below which every change raises ``OSError`` EROFS.
    """

    def __init__(self, *, capacity_bytes: int = _DEFAULT_CAPACITY, read_only: tuple[str | Path, ...] = ()) -> None:
        """Start with an empty root directory."""
        self.capacity_bytes = capacity_bytes
        self._read_only = tuple(PurePosixPath("/", str(path)) for path in read_only)
        self._root = _Node(children={})
        self._used = 0
        self._handles: list[tuple[_Node, Path]] = []
        self.is_shut = False

    # -- what the simulated world may look at ----------------------------------------------------------------------------------

    @property
    def used_bytes(self) -> int:
        """Bytes of all file contents."""
        return self._used

    def open_paths(self) -> list[Path]:
        """Return the paths of the handles that are open, in order of opening: a leak check."""
        return [path for _, path in self._handles]

    def make_read_only(self, path: Path) -> None:
        """Refuse every change at and below ``path`` from now on."""
        self._read_only += (PurePosixPath("/", path),)

    @contextlib.contextmanager
    def shut(self) -> Iterator[None]:
        """Refuse every access, through open handles too, inside the block: what a simulated crash killed has no effect."""
        self.is_shut = True
        try:
            yield
        finally:
            self.is_shut = False

    # -- HostFiles -------------------------------------------------------------------------------------------------------------

    def open(self, path: Path, *, write: bool = False, create: bool = False, exclusive: bool = False) -> _MemoryFile:
        """Open a file; ``exclusive`` implies ``create`` and fails where the file exists."""
        parent, name = self._parent(path)
        node = parent.get(name) if name else self._root
        if node is not None and exclusive:
            raise _error(errno.EEXIST, path)
        if node is None:
            if not (create or exclusive):
                raise _error(errno.ENOENT, path)
            self._check_writable(path)
            node = parent[name] = _Node()
        elif node.children is not None:
            raise _error(errno.EISDIR, path)
        elif write or create:
            self._check_writable(path)
        self._handles.append((node, path))
        return _MemoryFile(self, node, path, write=write or create or exclusive)

    def read_bytes(self, path: Path) -> bytes:
        """Return a whole (small) file."""
        node = self._node(path)
        if node.children is not None:
            raise _error(errno.EISDIR, path)
        return bytes(node.data)

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Replace ``path`` by ``data``; the room for both contents is needed, as on a host."""
        parent, name = self._parent(path)
        self._check_writable(path)
        old = parent.get(name) if name else self._root
        if old is not None and old.children is not None:
            raise _error(errno.EISDIR, path)
        self.grow(len(data), path)
        parent[name] = _Node(bytearray(data))
        if old is not None:
            self._release(old)

    def make_directory(self, path: Path) -> None:
        """Make a directory and its parents; an existing one is fine."""
        node = self._root
        for part in self._parts(path):
            if node.children is None:
                raise _error(errno.ENOTDIR, path)
            if part not in node.children:
                self._check_writable(path)
                node.children[part] = _Node(children={})
            node = node.children[part]
        if node.children is None:
            raise _error(errno.EEXIST, path)

    def list_directory(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted."""
        node = self._node(path)
        if node.children is None:
            raise _error(errno.ENOTDIR, path)
        return sorted(node.children)

    def is_directory(self, path: Path) -> bool:
        """Whether ``path`` is a directory."""
        node = self._find(path)
        return node is not None and node.children is not None

    def exists(self, path: Path) -> bool:
        """Whether anything stands at ``path``."""
        return self._find(path) is not None

    def rename(self, source: Path, target: Path) -> None:
        """Rename over ``target``."""
        source_parent, source_name = self._entry(source)
        target_parent, target_name = self._entry(target)
        node = source_parent.get(source_name)
        if node is None:
            raise _error(errno.ENOENT, source)
        self._check_writable(source)
        self._check_writable(target)
        source_parts, target_parts = self._parts(source), self._parts(target)
        old = target_parent.get(target_name)
        if old is node:
            return
        if target_parts[: len(source_parts)] == source_parts:
            raise _error(errno.EINVAL, target)
        if old is not None:
            if old.children is not None and node.children is None:
                raise _error(errno.EISDIR, target)
            if old.children is None and node.children is not None:
                raise _error(errno.ENOTDIR, target)
            if old.children:
                raise _error(errno.ENOTEMPTY, target)
        del source_parent[source_name]
        target_parent[target_name] = node
        if old is not None:
            self._release(old)

    def remove(self, path: Path) -> None:
        """Remove a file or an empty directory."""
        parent, name = self._entry(path)
        node = parent.get(name)
        if node is None:
            raise _error(errno.ENOENT, path)
        self._check_writable(path)
        if node.children:
            raise _error(errno.ENOTEMPTY, path)
        del parent[name]
        self._release(node)

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and all below it; a missing one is fine."""
        node = self._find(path)
        if node is None:
            return
        self._check_writable(path)
        if node.children is None:
            raise _error(errno.ENOTDIR, path)
        parent, name = self._entry(path)
        del parent[name]
        self._release(node)

    def sync_directory(self, path: Path) -> None:
        """Do nothing but check that ``path`` is a directory."""
        self.list_directory(path)

    def free_bytes(self, path: Path) -> int:
        """Return the room left."""
        self._node(path)
        return self.capacity_bytes - self._used

    def lock(self, path: Path) -> _MemoryLock:
        """Take the exclusive lock on the file at ``path``, made empty where missing; ``BlockingIOError`` when it is taken."""
        self.open(path, write=True, create=True).close()
        node = self._node(path)
        if node.lock is not None:
            raise _error(errno.EWOULDBLOCK, path)
        node.lock = _MemoryLock(self, node, path)
        self._handles.append((node, path))
        return node.lock

    # -- room and handles ------------------------------------------------------------------------------------------------------

    def grow(self, size_bytes: int, path: Path, node: _Node | None = None) -> None:
        """Take ``size_bytes`` of the capacity, or give them back where negative; a file without a name takes none."""
        if node is not None and not node.has_name:
            return
        if size_bytes > 0 and self._used + size_bytes > self.capacity_bytes:
            raise _error(errno.ENOSPC, path)
        self._used += size_bytes

    def forget_handle(self, node: _Node, path: Path) -> None:
        """Note that a handle was closed."""
        self._handles.remove((node, path))

    def _release(self, node: _Node) -> None:
        """Give back the room of everything below ``node``; an open handle keeps its content, not its room."""
        self._used -= len(node.data)
        node.has_name = False
        for child in (node.children or {}).values():
            self._release(child)

    # -- paths -----------------------------------------------------------------------------------------------------------------

    def _check_writable(self, path: Path) -> None:
        if self._read_only and any(PurePosixPath("/", path).is_relative_to(root) for root in self._read_only):
            raise _error(errno.EROFS, path)

    def _find(self, path: Path) -> _Node | None:
        node = self._root
        for part in self._parts(path):
            if node.children is None or part not in node.children:
                return None
            node = node.children[part]
        return node

    def _node(self, path: Path) -> _Node:
        return self._walk(self._parts(path), path)

    def _walk(self, parts: tuple[str, ...], path: Path) -> _Node:
        """Return what stands at ``parts``; errors name ``path``."""
        node = self._root
        for part in parts:
            if node.children is None:
                raise _error(errno.ENOTDIR, path)
            if part not in node.children:
                raise _error(errno.ENOENT, path)
            node = node.children[part]
        return node

    def _parent(self, path: Path) -> tuple[dict[str, _Node], str]:
        """Return the directory that holds ``path``, and its name there ("" for the root)."""
        parts = self._parts(path)
        if not parts:
            return {}, ""
        parent = self._walk(parts[:-1], path)
        if parent.children is None:
            raise _error(errno.ENOTDIR, path)
        return parent.children, parts[-1]

    def _entry(self, path: Path) -> tuple[dict[str, _Node], str]:
        """Return the directory that holds ``path``, and its name there, for changing the entry; the root has none."""
        parent, name = self._parent(path)
        if not name:
            raise _error(errno.EBUSY, path)
        return parent, name

    def _parts(self, path: Path) -> tuple[str, ...]:
        if self.is_shut:
            raise OSError(errno.EIO, "the world has ended", str(path))
        parts = path.parts
        return parts[1:] if path.is_absolute() else parts
