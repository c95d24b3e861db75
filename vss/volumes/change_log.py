"""The changes since the last commit, in memory.

Decides what a commit has to write. Extents that continue the file's last one are one change, and of a file's lengths only the
last is kept. Only files with a name have changes: the others are gone after any recovery.
"""

from __future__ import annotations

from vss.volumes.extent_layout import Change, Map, Resize
from vss.volumes.file_tree import FileNode

_LONG = 256


class ChangeLog:
    """Changes in the order they were made; lengths come last."""

    def __init__(self) -> None:
        """Start without changes."""
        self._changes: list[Change] = []
        self._last_map: dict[int, int] = {}
        self._resized: dict[int, FileNode] = {}

    @property
    def is_empty(self) -> bool:
        """Whether a commit would have nothing to write."""
        return not self._changes and not self._resized

    @property
    def is_long(self) -> bool:
        """Whether it is time to commit even though nobody asked."""
        return len(self._changes) >= _LONG

    def note(self, change: Change) -> None:
        """Add a change."""
        self._changes.append(change)

    def note_map(self, node: FileNode, logical: int, physical: int, count: int) -> None:
        """A run was mapped."""
        if not node.is_linked:
            return
        index = self._last_map.get(node.node_id, -1)
        last = self._changes[index] if index >= 0 else None
        if isinstance(last, Map) and last.logical + last.count == logical and last.physical + last.count == physical:
            self._changes[index] = Map(node.node_id, last.logical, last.physical, last.count + count)
            return
        self._last_map[node.node_id] = len(self._changes)
        self._changes.append(Map(node.node_id, logical, physical, count))

    def note_cut(self, node: FileNode, change: Change) -> None:
        """Clusters were unmapped: what is mapped from now on does not continue what was mapped before."""
        if node.is_linked:
            self._last_map.pop(node.node_id, None)
            self._changes.append(change)

    def note_resize(self, node: FileNode) -> None:
        """The file's length changed."""
        if node.is_linked:
            self._resized[node.node_id] = node

    def forget(self, node: FileNode) -> None:
        """The file has no name any more."""
        self._resized.pop(node.node_id, None)

    def changes(self) -> list[Change]:
        """Return what a commit must write now."""
        resized = [Resize(node.node_id, node.size_bytes, node.modified_ns) for node in self._resized.values()]
        return [*self._changes, *resized]

    def clear(self) -> None:
        """Everything is committed."""
        self._changes.clear()
        self._last_map.clear()
        self._resized.clear()
