"""Long values: columns too large for a record, kept in a tree of their own per table.

An entry {reference count, size} stands under the value's id, its chunks under id + offset. Ids count up and are not given out
again while any higher one is in use. Chunks fill a page each.

Sources: published engine, lv.cxx; chunk sizes of small pages seen in real files, of large pages unverified.
"""

from __future__ import annotations

import struct

from vss_writers.ese.compression import decompress
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.keys import after_prefix, big_endian
from vss_writers.ese.layout import long_value_chunk_size
from vss_writers.ese.tree import Tree

_ROOT = struct.Struct("<II")
_ID_SIZE = 4


class LongValues:
    """The long values of one table."""

    def __init__(self, tree: Tree, page_size: int) -> None:
        self.tree = tree
        self._chunk_size = long_value_chunk_size(page_size)

    async def insert(self, data: bytes) -> bytes:
        """Store a value with one reference and return its key."""
        last = await self.tree.last()
        key = big_endian(int.from_bytes(last.key[:_ID_SIZE], "big") + 1 if last else 1)
        await self.tree.insert(key, _ROOT.pack(1, len(data)))
        for offset in range(0, len(data), self._chunk_size):
            await self.tree.insert(key + big_endian(offset), data[offset : offset + self._chunk_size])
        return key

    async def read(self, key: bytes) -> bytes:
        """Return a value.

        Raises:
            JetError: ``RecordNotFound`` for an unknown id, ``NodeCorrupted`` when chunks do not add up to the size.
        """
        size = -1
        parts: list[tuple[int, bytes]] = []
        async for node in self.tree.entries(key, after_prefix(key)):
            if size < 0 and len(node.data) >= _ROOT.size:
                size = _ROOT.unpack_from(node.data)[1]
            else:
                parts.append((int.from_bytes(node.key[len(key) :], "big"), node.data))
        if size < 0:
            raise JetError(JetCode.RecordNotFound, f"long value {key.hex()} of tree {self.tree.objid}")
        data = _join_chunks(parts, size)
        if len(data) != size:
            text = f"long value {key.hex()} of tree {self.tree.objid}: {size} bytes expected, {len(data)} found"
            raise JetError(JetCode.NodeCorrupted, text)
        return data

    async def delete(self, key: bytes) -> None:
        """Remove a value and its chunks."""
        found = [node.key async for node in self.tree.entries(key, after_prefix(key))]
        for node_key in found:
            await self.tree.delete(node_key)


def _join_chunks(parts: list[tuple[int, bytes]], size: int) -> bytes:
    """Put chunks together; one shorter than the distance to the next offset is compressed."""
    joined: list[bytes] = []
    for number, (offset, data) in enumerate(parts):
        end = parts[number + 1][0] if number + 1 < len(parts) else size
        joined.append(data if len(data) == end - offset else decompress(data))
    return b"".join(joined)
