"""Scrubbing: the bytes of deleted entries taken out of a page, without moving anything that is still there.

A deleted entry leaves its bytes in a hole of the page until the page is compacted; one that carries the deleted flag still has
its line. Zeros in their place change nothing for later operations on the page, so a scrubbed copy can be brought forward from
the log. The key of a flagged entry stays: the page's order depends on it.

Sources: published engine, scrub.cxx (what is overwritten), cpage.hxx.
"""

from __future__ import annotations

import struct

from vss_writers.ese.checksum import is_zero, seal_page
from vss_writers.ese.layout import (
    OFFSET_TAG_COUNT,
    SMALL_PAGE_MAX,
    TAG_COUNT_MASK,
    TAG_SIZE,
    NodeFlag,
    page_header_size,
)
from vss_writers.ese.node import key_end

_U16 = struct.Struct("<H")
_TAG = struct.Struct("<HH")


def scrubbed(data: bytes, page_number: int) -> bytes:
    """Return a page without the bytes of deleted entries, sealed anew where there were any; damage stays as it is."""
    if is_zero(data):
        return data
    page = bytearray(data)
    try:
        lines = _lines(page)
    except ValueError:
        return data
    position = page_header_size(len(page))
    end = len(page) - TAG_SIZE * len(lines)
    for start, size, _ in sorted(lines):
        if start > position:
            page[position:start] = bytes(start - position)
        position = max(position, start + size)
    page[position:end] = bytes(max(0, end - position))
    for start, size, flags in lines[1:]:
        if flags & NodeFlag.DELETED:
            _wipe(page, start, size, flags)
    if page == data:
        return data
    seal_page(page, page_number)
    return bytes(page)


def _lines(page: bytearray) -> list[tuple[int, int, int]]:
    """Start, size and flags of each line; ``ValueError`` for a line outside its page."""
    is_large = len(page) > SMALL_PAGE_MAX
    header = page_header_size(len(page))
    count = _U16.unpack_from(page, OFFSET_TAG_COUNT)[0] & TAG_COUNT_MASK
    end = len(page) - TAG_SIZE * count
    mask = 0x7FFF if is_large else 0x1FFF
    lines: list[tuple[int, int, int]] = []
    for tag in range(count):
        size, word = _TAG.unpack_from(page, len(page) - TAG_SIZE * (tag + 1)) if end >= header else (0, 0)
        start, size = header + (word & mask), size & mask
        if start + size > end:
            raise ValueError(f"line {tag} leaves the page")
        flags = 0 if is_large and size < 2 else page[start + 1] >> 5 if is_large else word >> 13
        lines.append((start, size, flags))
    return lines


def _wipe(page: bytearray, start: int, size: int, flags: int) -> None:
    raw = bytearray(page[start : start + size])
    if len(page) > SMALL_PAGE_MAX:
        raw[1] &= 0x1F
    try:
        data_at = key_end(bytes(raw), flags)
    except ValueError:
        return
    page[start + data_at : start + size] = bytes(size - data_at)
