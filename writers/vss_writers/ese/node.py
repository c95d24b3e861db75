"""One entry of a page as stored bytes and as meaning: full key, data, flags.

Stored: ``[u16 shared prefix length, with flag 4 only] u16 suffix length · suffix · data``. Large pages keep the entry's flags
in the top three bits of its second byte; that is the page's business, here lines come without them.

Sources: published engine, node.cxx; libesedb format documentation.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from vss_writers.ese.layout import NodeFlag

_U16 = struct.Struct("<H")
_PAIR = struct.Struct("<HH")

# Plain integers: pages are read far too often for the arithmetic of enumerations.
COMPRESSED = int(NodeFlag.COMPRESSED)

PREFIX_MIN = 3
"""A shared prefix has to be longer than the two bytes that its length costs."""


class Node(NamedTuple):
    """One entry of a tree: full key, data, flags (``NodeFlag`` without the storage detail ``COMPRESSED``)."""

    key: bytes
    data: bytes
    flags: int = 0


def encode_line(prefix_count: int, suffix: bytes, data: bytes, flags: int) -> tuple[bytes, int]:
    """Stored bytes and flags of an entry whose key is ``prefix_count`` bytes of the page's prefix and ``suffix``."""
    if prefix_count:
        return b"".join((_PAIR.pack(prefix_count, len(suffix)), suffix, data)), flags | COMPRESSED
    return b"".join((_U16.pack(len(suffix)), suffix, data)), flags & ~COMPRESSED


def key_end(raw: bytes, flags: int) -> int:
    """Where the stored key of a line ends and its data begins; ``ValueError`` when that is outside the line."""
    start = 4 if flags & COMPRESSED else 2
    if len(raw) < start:
        raise ValueError(f"line has {len(raw)} bytes")
    end = start + int(_U16.unpack_from(raw, start - 2)[0])
    if end > len(raw):
        raise ValueError(f"key ends at {end} in a line of {len(raw)}")
    return end


def decode_line(raw: bytes, flags: int, prefix: bytes) -> Node:
    """Meaning of a line on a page with ``prefix``; ``ValueError`` for damage."""
    end = key_end(raw, flags)
    if not flags & COMPRESSED:
        return Node(raw[2:end], raw[end:], flags)
    shared = _U16.unpack_from(raw)[0]
    if shared > len(prefix):
        raise ValueError(f"shared prefix of {shared} bytes, the page has {len(prefix)}")
    return Node(prefix[:shared] + raw[4:end], raw[end:], flags ^ COMPRESSED)


def common_prefix_size(left: bytes, right: bytes) -> int:
    """Length of the longest common prefix."""
    limit = min(len(left), len(right))
    if left[:limit] == right[:limit]:
        return limit
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        if left[:middle] == right[:middle]:
            low = middle
        else:
            high = middle
    return low
