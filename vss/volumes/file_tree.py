"""The tree of files and directories in memory, and the changes that take it from one state to the next.

Decides what a legal tree is. The live file system and the recovery of a journal change the tree through the same methods, so
what recovery rebuilds is what the live system had. Knows no device: clusters are numbers here.

Invariants: names are unique in their directory; every node but the root hangs on a directory; no cluster belongs to two files
(checked once after loading). ``metadata_bytes`` is an upper bound of the size of the encoded body.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from vss.errors import InvalidArgumentError, VolumeDamagedError
from vss.volumes.block_store import BLOCK_BYTES
from vss.volumes.extent_layout import (
    EXTENT_BYTES_MAX,
    FILE_BYTES_MAX,
    NODE_BYTES_MAX,
    ROOT_ID,
    Body,
    Change,
    Create,
    Cut,
    Geometry,
    Map,
    Move,
    Remove,
    Resize,
    StoredNode,
)
from vss.volumes.extents import ExtentMap, FreeSpace, Run
from vss.volumes.paths import check_name

_NODE_ID_MAX = 1 << 62


class Directory:
    """A directory; ``children`` by name."""

    __slots__ = ("children", "modified_ns", "name", "node_id", "parent_id")

    def __init__(self, node_id: int, parent_id: int, name: str, modified_ns: int) -> None:
        """Make an empty directory."""
        self.node_id = node_id
        self.parent_id = parent_id
        self.name = name
        self.modified_ns = modified_ns
        self.children: dict[str, FileNode | Directory] = {}


class FileNode:
    """A file.

    Attributes:
        reserve: free clusters set aside right behind the last run, for growth; known to nobody but this file.
        is_linked: whether a name leads here; an open file lives on without one until it is closed.
        open_count: how many handles are open.
    """

    __slots__ = (
        "extents",
        "is_linked",
        "modified_ns",
        "name",
        "node_id",
        "open_count",
        "parent_id",
        "reserve",
        "size_bytes",
    )

    def __init__(self, node_id: int, parent_id: int, name: str, modified_ns: int) -> None:
        """Make an empty file."""
        self.node_id = node_id
        self.parent_id = parent_id
        self.name = name
        self.modified_ns = modified_ns
        self.size_bytes = 0
        self.extents = ExtentMap()
        self.reserve: Run = (0, 0)
        self.is_linked = True
        self.open_count = 0


Node = FileNode | Directory


class FileTree:
    """All nodes of one file system.

    Attributes:
        body_bytes_max: room for the encoded body on the volume.
    """

    def __init__(self) -> None:
        """Make a tree that holds the root alone."""
        self.root = Directory(ROOT_ID, ROOT_ID, "", 0)
        self.nodes: dict[int, Node] = {ROOT_ID: self.root}
        self.next_id = ROOT_ID + 1
        self.body_bytes_max = BLOCK_BYTES
        self._name_bytes = 0
        self._extent_count = 0

    @property
    def metadata_bytes(self) -> int:
        """Upper bound of the encoded body's length."""
        return 16 + len(self.nodes) * NODE_BYTES_MAX + self._name_bytes + self._extent_count * EXTENT_BYTES_MAX

    def has_room(self, more_bytes: int) -> bool:
        """Whether the encoded body may get ``more_bytes`` longer; getting shorter always fits."""
        return more_bytes <= 0 or self.metadata_bytes + more_bytes <= self.body_bytes_max

    def find(self, names: tuple[str, ...]) -> Node | None:
        """Return the node that ``names`` lead to, or None."""
        node: Node = self.root
        for name in names:
            if not isinstance(node, Directory):
                return None
            child = node.children.get(name)
            if child is None:
                return None
            node = child
        return node

    # -- changes: each assumes that the caller has checked; ``apply`` is the caller for journals -------------------------------

    def create(self, change: Create) -> Node:
        """Add a node."""
        kind = Directory if change.is_directory else FileNode
        node = kind(change.node_id, change.parent_id, change.name, change.modified_ns)
        self._directory(change.parent_id).children[change.name] = node
        self.nodes[change.node_id] = node
        self.next_id = max(self.next_id, change.node_id + 1)
        self._name_bytes += len(change.name.encode())
        return node

    def remove(self, node: Node) -> None:
        """Take a node out; its clusters are the caller's to free."""
        del self._directory(node.parent_id).children[node.name]
        del self.nodes[node.node_id]
        self._name_bytes -= len(node.name.encode())
        if isinstance(node, FileNode):
            node.is_linked = False
            self._extent_count -= len(node.extents)

    def move(self, node: Node, parent: Directory, name: str) -> FileNode | None:
        """Give a node its new place; return the file that stood there and is now out of the tree."""
        replaced = parent.children.get(name)
        if isinstance(replaced, FileNode):
            self.remove(replaced)
        del self._directory(node.parent_id).children[node.name]
        self._name_bytes += len(name.encode()) - len(node.name.encode())
        node.parent_id = parent.node_id
        node.name = name
        parent.children[name] = node
        return replaced if isinstance(replaced, FileNode) else None

    def map(self, node: FileNode, logical: int, physical: int, count: int) -> bool:
        """Map a run onto a hole; False where it is none."""
        before = len(node.extents)
        done = node.extents.insert(logical, physical, count)
        if node.is_linked:
            self._extent_count += len(node.extents) - before
        return done

    def cut(self, node: FileNode, cluster_count: int) -> list[Run]:
        """Unmap from ``cluster_count`` on; return what was freed."""
        before = len(node.extents)
        freed = node.extents.cut(cluster_count)
        if node.is_linked:
            self._extent_count += len(node.extents) - before
        return freed

    def is_inside(self, directory: Directory, ancestor: Node) -> bool:
        """Whether ``directory`` is ``ancestor`` or stands below it."""
        while directory is not ancestor:
            if directory is self.root:
                return False
            directory = self._directory(directory.parent_id)
        return True

    def _directory(self, node_id: int) -> Directory:
        node = self.nodes[node_id]
        assert isinstance(node, Directory)
        return node

    # -- loading and saving ---------------------------------------------------------------------------------------------------

    def to_body(self) -> bytes:
        """Encode the whole tree, parents before children."""
        stored: list[StoredNode] = []
        waiting: list[Directory] = [self.root]
        while waiting:
            directory = waiting.pop()
            for child in directory.children.values():
                if isinstance(child, Directory):
                    size, extents = 0, []
                    waiting.append(child)
                else:
                    size, extents = child.size_bytes, list(child.extents)
                is_directory = isinstance(child, Directory)
                stored.append(
                    StoredNode(child.node_id, child.parent_id, child.name, is_directory, size, child.modified_ns, extents)
                )
        data = msgspec.msgpack.encode(Body(self.next_id, stored))
        assert len(data) <= self.metadata_bytes
        return data

    @classmethod
    def from_body(cls, body: Body, where: str) -> FileTree:
        """Rebuild a tree; ``VolumeDamagedError`` names ``where`` it was stored."""
        tree = cls()
        for stored in body.nodes:
            tree.apply(
                Create(stored.node_id, stored.parent_id, stored.name, stored.is_directory, stored.modified_ns),
                where,
            )
            for logical, physical, count in stored.extents:
                tree.apply(Map(stored.node_id, logical, physical, count), where)
            if not stored.is_directory:
                tree.apply(Resize(stored.node_id, stored.size_bytes, stored.modified_ns), where)
        tree.next_id = max(tree.next_id, body.next_id)
        return tree

    def apply(self, change: Change, where: str) -> None:
        """Make a change that was read from the volume; ``VolumeDamagedError`` where it cannot be made."""
        if isinstance(change, Create):
            parent = self.nodes.get(change.parent_id)
            is_id_new = ROOT_ID < change.node_id < _NODE_ID_MAX and change.node_id not in self.nodes
            if not isinstance(parent, Directory) or change.name in parent.children or not is_id_new:
                _impossible(change, where)
            _check_stored_name(change, where)
            self.create(change)
            return
        node = self.nodes.get(change.node_id)
        if isinstance(change, Remove):
            if node is None or node is self.root or (isinstance(node, Directory) and node.children):
                _impossible(change, where)
            self.remove(node)
        elif isinstance(change, Move):
            self._apply_move(change, node, where)
        elif not isinstance(node, FileNode):
            _impossible(change, where)
        elif isinstance(change, Map):
            if not self.map(node, change.logical, change.physical, change.count):
                _impossible(change, where)
        elif isinstance(change, Cut):
            self.cut(node, change.cluster_count)
        elif not 0 <= change.size_bytes <= FILE_BYTES_MAX:
            _impossible(change, where)
        else:
            node.size_bytes = change.size_bytes
            node.modified_ns = change.modified_ns

    def _apply_move(self, change: Move, node: Node | None, where: str) -> None:
        parent = self.nodes.get(change.parent_id)
        if node is None or node is self.root or not isinstance(parent, Directory) or self.is_inside(parent, node):
            _impossible(change, where)
        if isinstance(parent.children.get(change.name), Directory):
            _impossible(change, where)
        _check_stored_name(change, where)
        self.move(node, parent, change.name)

    def free_space(self, geometry: Geometry) -> FreeSpace:
        """Return the clusters that no file owns.

        Raises:
            VolumeDamagedError: a run lies outside the data area or belongs to two files.
        """
        free = FreeSpace(geometry.first_cluster, geometry.end_cluster)
        for node in self.nodes.values():
            if isinstance(node, FileNode):
                for logical, physical, count in node.extents:
                    if not free.take(physical, count):
                        raise VolumeDamagedError(
                            f"extent of file '{node.name}' (id {node.node_id}, cluster {logical}): expected {count} clusters "
                            f"at {physical} to be in the data area and to belong to no other file"
                        )
        return free


def _check_stored_name(change: Create | Move, where: str) -> None:
    """A name on the volume may not be one that no path can have: whoever copies the file would be led elsewhere."""
    try:
        check_name(change.name, change.name)
    except InvalidArgumentError as error:
        raise VolumeDamagedError(f"{where}: {error.message}") from error


def _impossible(change: Change, where: str) -> NoReturn:
    raise VolumeDamagedError(f"{where}: expected a change that fits the tree, found {change}")
