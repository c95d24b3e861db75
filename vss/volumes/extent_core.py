"""The extent file system, synchronous: what operations on names mean, when they are committed, who is refused.

Every operation is one synchronous piece of work, so that the write gate can let it pass or wait whole. The parts: ``FileTree``
the names, ``FileData`` the bytes, ``ClusterAllocator`` the room, ``ChangeLog`` and ``Journal`` the way to the volume.

Invariants:

- A cluster that a change frees is not used again before that change is committed; else power loss could bring back a file whose
  bytes belong to another by then.
- Where an operation fails for want of room, nothing has changed. Where the device fails under overwritten bytes, those may be
  old or new; names, lengths and all else are as before.
- Times are kept lazily: a new time alone is no reason for a commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vss.errors import (
    AlreadyExistsError,
    BadStateError,
    InvalidArgumentError,
    NotFoundError,
    VolumeError,
    VolumeFullError,
    VolumeWriteError,
)
from vss.ids import Guid
from vss.roles.volume import FileStat
from vss.volumes.block_store import SECTOR_BYTES, BlockDevice, Buffer, WritableBlockDevice
from vss.volumes.boot_record import CLUSTER_BYTES, boot_record
from vss.volumes.change_log import ChangeLog
from vss.volumes.cluster_allocator import ClusterAllocator
from vss.volumes.extent_layout import NODE_BYTES_MAX, Create, Move, Remove
from vss.volumes.file_data import FileData
from vss.volumes.file_tree import Directory, FileNode, FileTree, Node
from vss.volumes.journal import Journal, LoadedVolume, load, write_empty
from vss.volumes.paths import parse_path


class ExtentCore:
    """One mounted extent file system. Make one with ``mount``, ``mount_read_only`` or ``format`` and ``mount``."""

    def __init__(
        self, device: BlockDevice, loaded: LoadedVolume, writer: WritableBlockDevice | None, now_ns: Callable[[], int]
    ) -> None:
        """Put the loaded tree to work; ``writer`` is the device again where it may be written."""
        self._now_ns = now_ns
        self._tree: FileTree = loaded.tree
        self._clusters = ClusterAllocator(loaded.tree.free_space(loaded.superblock.geometry), self.commit)
        self._tree.body_bytes_max = loaded.superblock.geometry.body_bytes
        self._device_flush: Callable[[], None] | None = getattr(writer, "flush", None)
        self._journal = None if writer is None else Journal(writer, loaded, self.flush)
        self._log = ChangeLog()
        self._data = FileData(device, writer, self._tree, self._clusters, self._log, now_ns)
        self._refusal: VolumeError | None = None
        self.volume_id: Guid = loaded.superblock.volume_id
        self.failed_flushes = 0

    # -- life -----------------------------------------------------------------------------------------------------------------

    @staticmethod
    def format(device: WritableBlockDevice, *, volume_id: Guid) -> None:
        """Make an empty file system over the whole device, boot records in the first and last sector included."""
        write_empty(device, volume_id)
        record = boot_record(device.size_bytes, volume_id)
        device.write(0, record)
        device.write(device.size_bytes - SECTOR_BYTES, record)
        flush: Callable[[], None] | None = getattr(device, "flush", None)
        if flush is not None:
            flush()

    @classmethod
    def mount(cls, device: WritableBlockDevice, *, now_ns: Callable[[], int]) -> ExtentCore:
        """Mount for reading and writing; recovers in memory, writes nothing yet.

        Raises:
            VolumeDamagedError: a structure does not hold what it must.
        """
        return cls(device, load(device), device, now_ns)

    @classmethod
    def mount_read_only(cls, device: BlockDevice) -> ExtentCore:
        """Mount the device of a shadow copy, or any other, without ever writing."""
        return cls(device, load(device), None, lambda: 0)

    @property
    def is_read_only(self) -> bool:
        """Whether every change is refused."""
        return self._journal is None

    @property
    def free_bytes(self) -> int:
        """Room for data, what is set aside for growth and what becomes free with the next commit included."""
        return self._clusters.free_bytes

    @property
    def has_pending(self) -> bool:
        """Whether there are changes of names, lengths or extents that no commit has made durable."""
        return not self._log.is_empty

    @property
    def open_file_count(self) -> int:
        """How many handles are open on files that have a name."""
        return sum(node.open_count for node in self._tree.nodes.values() if isinstance(node, FileNode))

    def refuse(self, error: VolumeError) -> None:
        """Answer every later operation with ``error``; the first reason stays."""
        self._refusal = self._refusal or error

    def check_usable(self) -> None:
        """Raise what the file system was told to answer, if it was."""
        if self._refusal is not None:
            raise type(self._refusal)(self._refusal.message, hint=self._refusal.hint)

    def flush(self) -> None:
        """Flush the device; a failure is counted, so that every open file can learn of it."""
        if self._device_flush is None:
            return
        try:
            self._device_flush()
        except VolumeError:
            self.failed_flushes += 1
            if self._journal is not None:
                self._journal.distrust()
            raise

    def commit(self) -> None:
        """Make every change so far durable, together with all data; does nothing where there is none.

        Raises:
            VolumeWriteError: it is unknown whether the changes are durable; they are kept for the next commit.
        """
        self.check_usable()
        if self._journal is not None and self.has_pending:
            self._journal.commit(self._log.changes(), self._tree)
            self._log.clear()
        self._clusters.committed()

    def grow(self, size_bytes: int) -> None:
        """Take the device, which has that length now, as a whole: durable when it returns. Body and journal keep their areas.

        Raises:
            VolumeWriteError: whether the volume says so is unknown; the file system goes on as it was.
        """
        self.check_usable()
        if self._journal is None:
            raise VolumeWriteError("the file system is read-only")
        old = self._journal.geometry
        new = replace(old, size_bytes=size_bytes)
        if new != old:
            self._journal.change_geometry(new, self._tree)
            self._log.clear()
            self._clusters.committed()
            self._clusters.add(old.end_cluster, new.end_cluster - old.end_cluster)

    # -- names ----------------------------------------------------------------------------------------------------------------

    def find(self, path: str) -> Node:
        """Return the node at ``path``; ``NotFoundError`` where there is none."""
        self.check_usable()
        node = self._tree.find(parse_path(path))
        if node is None:
            raise NotFoundError(f"path {path!r}: no such file or directory")
        return node

    def exists(self, path: str) -> bool:
        """Whether anything stands at ``path``."""
        self.check_usable()
        return self._tree.find(parse_path(path)) is not None

    def stat(self, path: str) -> FileStat:
        """Return what is known of ``path``."""
        node = self.find(path)
        size = node.size_bytes if isinstance(node, FileNode) else 0
        return FileStat(size_bytes=size, is_directory=isinstance(node, Directory), modified_ns=node.modified_ns)

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        node = self.find(path)
        if not isinstance(node, Directory):
            raise InvalidArgumentError(f"path {path!r}: expected a directory, found a file")
        return sorted(node.children)

    def find_file(self, path: str) -> FileNode:
        """Return the file at ``path``."""
        node = self.find(path)
        if not isinstance(node, FileNode):
            raise InvalidArgumentError(f"path {path!r}: expected a file, found a directory")
        return node

    def create_file(self, path: str, *, exclusive: bool) -> FileNode:
        """Return the file at ``path``, a new one where there is none; ``exclusive`` refuses an existing one."""
        if self.exists(path):
            if exclusive:
                raise AlreadyExistsError(f"path {path!r}: exists already")
            return self.find_file(path)
        node = self._create(path, is_directory=False)
        assert isinstance(node, FileNode)
        return node

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents."""
        self._begin_change(path)
        names = parse_path(path)
        for depth in range(1, len(names) + 1):
            prefix = "/" + "/".join(names[:depth])
            node = self._tree.find(names[:depth])
            if isinstance(node, FileNode):
                raise AlreadyExistsError(f"path {prefix!r}: expected a directory, found a file")
            if node is None:
                self._create(prefix, is_directory=True)

    def _create(self, path: str, *, is_directory: bool) -> Node:
        self._begin_change(path)
        parent, name = self._parent_of(path)
        self._check_room(NODE_BYTES_MAX + len(name.encode()), path)
        change = Create(self._tree.next_id, parent.node_id, name, is_directory, self._now_ns())
        self._log.note(change)
        return self._tree.create(change)

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory; a file that is open lives on until it is closed."""
        self._begin_change(path)
        node = self.find(path)
        if node is self._tree.root:
            raise InvalidArgumentError("path '/': expected a file or directory below the root")
        if isinstance(node, Directory) and node.children:
            raise BadStateError(f"path {path!r}: expected an empty directory, found {len(node.children)} entries in it")
        self._tree.remove(node)
        self._log.note(Remove(node.node_id))
        if isinstance(node, FileNode):
            self._forget(node)

    def rename(self, source: str, target: str) -> None:
        """Rename, over a file at ``target``, and commit: after power loss the old or the new name, never neither or both."""
        self._begin_change(source)
        node = self.find(source)
        parent, name = self._parent_of(target)
        if self._tree.is_inside(parent, node):
            raise InvalidArgumentError(f"path {target!r}: expected a place outside {source!r}")
        there = parent.children.get(name)
        if there is not node:
            if there is not None and (isinstance(there, Directory) or isinstance(node, Directory)):
                raise AlreadyExistsError(f"path {target!r}: exists already and is not a file to rename {source!r} over")
            self._check_room(len(name.encode()) - len(node.name.encode()), target)
            replaced = self._tree.move(node, parent, name)
            self._log.note(Move(node.node_id, parent.node_id, name))
            if replaced is not None:
                self._forget(replaced)
        self.commit()

    def _parent_of(self, path: str) -> tuple[Directory, str]:
        names = parse_path(path)
        if not names:
            raise InvalidArgumentError("path '/': expected a file or directory below the root")
        parent = self._tree.find(names[:-1])
        if not isinstance(parent, Directory):
            raise NotFoundError(f"path {path!r}: no such directory as its parent")
        return parent, names[-1]

    def _begin_change(self, path: str) -> None:
        """Refuse where nothing may be changed; commit first where many changes wait, so that a failure changes nothing else."""
        self.check_usable()
        if self._journal is None:
            raise VolumeWriteError(f"path {path!r}: the file system is read-only")
        if self._log.is_long:
            self.commit()

    def _check_room(self, more_bytes: int, path: str) -> None:
        if not self._tree.has_room(more_bytes):
            raise VolumeFullError(f"path {path!r}: no room left on the volume for its name")

    # -- open files -----------------------------------------------------------------------------------------------------------

    def close(self, node: FileNode) -> None:
        """One handle less; the last one gives back what was set aside, and the clusters of a file without a name."""
        node.open_count -= 1
        if node.open_count == 0:
            self._clusters.drop_reserve(node)
            if not node.is_linked:
                self._forget(node)

    def _forget(self, node: FileNode) -> None:
        """A file without a name has nothing to commit, and once nobody has it open it owns nothing."""
        self._log.forget(node)
        if node.open_count == 0:
            self._clusters.drop_reserve(node)
            self._clusters.free_later(node.extents.cut(0))

    def read(self, node: FileNode, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes; fewer only at the end of the file."""
        if self._refusal is not None:
            self.check_usable()
        return self._data.read(node, offset, length)

    def write(self, node: FileNode, offset: int, data: Buffer) -> None:
        """Write all of ``data``, growing the file where needed; no bytes change nothing."""
        self._begin_change(node.name)
        self._data.write(node, offset, data)

    def truncate(self, node: FileNode, size_bytes: int) -> None:
        """Cut the file, or extend it by a hole."""
        self._begin_change(node.name)
        self._data.truncate(node, size_bytes)

    def locate(self, path: str, offset: int) -> int:
        """Return where on the volume the byte at ``offset`` of a file is.

        Raises:
            NotFoundError: it is nowhere: past the end, or in a hole.
        """
        node = self.find_file(path)
        if 0 <= offset < node.size_bytes:
            logical = offset // CLUSTER_BYTES
            _, physical, _ = next(node.extents.pieces(logical, logical + 1))
            if physical >= 0:
                return physical * CLUSTER_BYTES + offset % CLUSTER_BYTES
        raise NotFoundError(f"path {path!r}: expected stored bytes at offset {offset}, found a hole or the end of the file")
