"""The bytes of files: reading, writing and cutting through a file's extents.

Decides how an operation on a file becomes operations on the device: one for each run it touches, one alone in the usual case.

Invariants: a new cluster is written in full before it is mapped, so allocated clusters always hold what the file says; growth
over the end of a file clears what its last cluster holds behind the end; what is not mapped reads as zeros. Where there is no
room, nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable

from vss.errors import InvalidArgumentError, VolumeFullError
from vss.volumes.block_store import BlockDevice, Buffer, WritableBlockDevice
from vss.volumes.boot_record import CLUSTER_BYTES
from vss.volumes.change_log import ChangeLog
from vss.volumes.cluster_allocator import ClusterAllocator, Mapping
from vss.volumes.extent_layout import EXTENT_BYTES_MAX, FILE_BYTES_MAX, Cut
from vss.volumes.file_tree import FileNode, FileTree


class FileData:
    """Moves bytes between files of one volume and its device."""

    def __init__(
        self,
        device: BlockDevice,
        writer: WritableBlockDevice | None,
        tree: FileTree,
        clusters: ClusterAllocator,
        log: ChangeLog,
        now_ns: Callable[[], int],
    ) -> None:
        """Work for ``tree``; without a ``writer`` nothing but ``read`` may be called."""
        self._device = device
        self._writer = writer
        self._tree = tree
        self._clusters = clusters
        self._log = log
        self._now_ns = now_ns

    def read(self, node: FileNode, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes; fewer only at the end of the file."""
        if offset < 0 or length < 0:
            raise InvalidArgumentError(
                f"file '{node.name}': expected offset and length of at least 0, found {offset} and {length}"
            )
        length = min(length, node.size_bytes - offset)
        if length <= 0:
            return b""
        first = offset // CLUSTER_BYTES
        end = offset + length
        run = node.extents.contiguous(first, (end - 1) // CLUSTER_BYTES)
        if run >= 0:
            return self._device.read(run * CLUSTER_BYTES + offset % CLUSTER_BYTES, length)
        parts: list[bytes] = []
        for logical, physical, count in node.extents.pieces(first, -(-end // CLUSTER_BYTES)):
            start = max(logical * CLUSTER_BYTES, offset)
            size = min((logical + count) * CLUSTER_BYTES, end) - start
            if physical < 0:
                parts.append(bytes(size))
            else:
                parts.append(self._device.read(physical * CLUSTER_BYTES + start - logical * CLUSTER_BYTES, size))
        return b"".join(parts)

    def write(self, node: FileNode, offset: int, data: Buffer) -> None:
        """Write all of ``data``, growing the file where needed; no bytes change nothing."""
        end = offset + len(data)
        if offset < 0 or end > FILE_BYTES_MAX:
            raise InvalidArgumentError(f"file '{node.name}': expected a place below {FILE_BYTES_MAX}, found {offset}..{end}")
        if not data:
            return
        run = node.extents.contiguous(offset // CLUSTER_BYTES, (end - 1) // CLUSTER_BYTES)
        if run >= 0 and offset <= node.size_bytes:
            assert self._writer is not None
            self._writer.write(run * CLUSTER_BYTES + offset % CLUSTER_BYTES, data)
        else:
            self._write_with_gaps(node, offset, data)
        node.modified_ns = self._now_ns()
        if end > node.size_bytes:
            self._resize(node, end)

    def truncate(self, node: FileNode, size_bytes: int) -> None:
        """Cut the file, or extend it by a hole."""
        if not 0 <= size_bytes <= FILE_BYTES_MAX:
            raise InvalidArgumentError(f"file '{node.name}': expected a size of 0 to {FILE_BYTES_MAX}, found {size_bytes}")
        if size_bytes > node.size_bytes:
            self._clear_tail(node, size_bytes)
        elif size_bytes < node.size_bytes:
            self._clusters.drop_reserve(node)
            clusters = -(-size_bytes // CLUSTER_BYTES)
            freed = self._tree.cut(node, clusters)
            self._clusters.free_later(freed)
            if freed:
                self._log.note_cut(node, Cut(node.node_id, clusters))
        if size_bytes != node.size_bytes:
            node.modified_ns = self._now_ns()
            self._resize(node, size_bytes)

    def _write_with_gaps(self, node: FileNode, offset: int, data: Buffer) -> None:
        """Write over several runs and into holes; new clusters are filled up with zeros and mapped when the bytes are there."""
        end = offset + len(data)
        pieces = list(node.extents.pieces(offset // CLUSTER_BYTES, -(-end // CLUSTER_BYTES)))
        mapped = self._clusters.allocate(node, [(logical, count) for logical, physical, count in pieces if physical < 0])
        try:
            if not self._tree.has_room(len(mapped) * EXTENT_BYTES_MAX):
                raise VolumeFullError(f"file '{node.name}': no room left on the volume for the places of its clusters")
            if offset > node.size_bytes:
                self._clear_tail(node, offset)
            front = offset % CLUSTER_BYTES if pieces[0][1] < 0 else 0
            back = -end % CLUSTER_BYTES if pieces[-1][1] < 0 else 0
            if front or back:
                data = b"".join((bytes(front), data, bytes(back)))
            old = [piece for piece in pieces if piece[1] >= 0]
            self._write_pieces(_joined(sorted([*old, *mapped])), offset - front, data)
        except BaseException:
            self._clusters.give_back(mapped)
            raise
        for logical, physical, count in mapped:
            done = self._tree.map(node, logical, physical, count)
            assert done
            self._log.note_map(node, logical, physical, count)

    def _write_pieces(self, pieces: Mapping, offset: int, data: Buffer) -> None:
        """Write ``data`` into clusters that are all mapped, one device write per run."""
        assert self._writer is not None
        view = memoryview(data)
        end = offset + len(data)
        for logical, physical, count in pieces:
            start = max(logical * CLUSTER_BYTES, offset)
            stop = min((logical + count) * CLUSTER_BYTES, end)
            self._writer.write(physical * CLUSTER_BYTES + start - logical * CLUSTER_BYTES, view[start - offset : stop - offset])

    def _clear_tail(self, node: FileNode, new_end: int) -> None:
        """Zero what a mapped last cluster holds behind the end of the file, as far as ``new_end``."""
        size = node.size_bytes
        inside = size % CLUSTER_BYTES
        if not inside:
            return
        logical = size // CLUSTER_BYTES
        _, physical, _ = next(node.extents.pieces(logical, logical + 1))
        if physical >= 0:
            assert self._writer is not None
            self._writer.write(physical * CLUSTER_BYTES + inside, bytes(min(CLUSTER_BYTES - inside, new_end - size)))

    def _resize(self, node: FileNode, size_bytes: int) -> None:
        node.size_bytes = size_bytes
        self._log.note_resize(node)


def _joined(pieces: Mapping) -> Mapping:
    """Make one of neighbours that continue each other."""
    joined = [pieces[0]]
    for logical, physical, count in pieces[1:]:
        previous = joined[-1]
        if previous[0] + previous[2] == logical and previous[1] + previous[2] == physical:
            joined[-1] = (previous[0], previous[1], previous[2] + count)
        else:
            joined.append((logical, physical, count))
    return joined
