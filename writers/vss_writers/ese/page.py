"""One database page: header fields, tags, lines and nodes over a bytearray.

A *line* is a stored entry, a *tag* says where it lies, a *node* is its meaning (key, data, flags). Tag 0 is the external
header: SPACE_HEADER on the root of a tree, the shared key prefix elsewhere. Lines are counted without it, from 0.

Invariant: ``cbFree = page size − page header − Σ line sizes − 4 × tags``. Changes are deterministic, so that replaying the same
operations on the same image gives the same bytes. The checksum is not kept up to date here: ``sealed`` computes it for writing.

Sources: published engine, cpage.hxx and node.cxx; libesedb format documentation.
"""

from __future__ import annotations

import struct
from bisect import bisect_left

from vss_writers.ese.checksum import is_zero, seal_page
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import (
    LARGE_PAGE_NUMBER_OFFSET,
    OFFSET_DBTIME,
    OFFSET_FIRST_FREE,
    OFFSET_FLAGS,
    OFFSET_FREE,
    OFFSET_NEXT,
    OFFSET_OBJID,
    OFFSET_PREVIOUS,
    OFFSET_TAG_COUNT,
    SMALL_PAGE_MAX,
    TAG_COUNT_MASK,
    TAG_SIZE,
    NodeFlag,
    PageFlag,
    page_header_size,
)
from vss_writers.ese.node import COMPRESSED, PREFIX_MIN, Node, common_prefix_size, decode_line, encode_line, key_end

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_TAG = struct.Struct("<HH")
_COUNTS = struct.Struct("<HHHH")
"""``cbFree``, ``cbUncommittedFree``, ``ibMicFree``, ``itagMicFree``."""

# Plain integers: pages are read far too often for the arithmetic of enumerations.
_ROOT = int(PageFlag.ROOT)
_LEAF = int(PageFlag.LEAF)
_NON_UNIQUE_LEAF = int(PageFlag.NON_UNIQUE | PageFlag.LEAF)
_DELETED = int(NodeFlag.DELETED)


class Page:
    """A page in memory. Everybody may read it; only ``page_operation.apply`` and the buffer change it."""

    __slots__ = ("_header_size", "_is_large", "_keys", "data", "page_number")

    def __init__(self, data: bytearray, page_number: int) -> None:
        self.data = data
        self.page_number = page_number
        self._is_large = len(data) > SMALL_PAGE_MAX
        self._header_size = page_header_size(len(data))
        self._keys: list[bytes] | None = None

    @classmethod
    def blank(cls, page_size: int, page_number: int) -> Page:
        """An all-zero page, as a freshly grown file holds."""
        return cls(bytearray(page_size), page_number)

    def copy(self) -> Page:
        """An independent page with the same bytes."""
        return Page(bytearray(self.data), self.page_number)

    def restore(self, image: bytes | bytearray) -> None:
        """Replace every byte; the object (which others may hold) stays the same."""
        assert len(image) == len(self.data), f"page of {len(self.data)} bytes restored from {len(image)}"
        self.data[:] = image
        self._keys = None

    def sealed(self) -> bytes:
        """The bytes to write, checksum computed. A blank page stays blank."""
        if self.is_blank:
            return bytes(self.data)
        sealed = bytearray(self.data)
        seal_page(sealed, self.page_number)
        return bytes(sealed)

    # -- header fields ----------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Page size in bytes."""
        return len(self.data)

    @property
    def is_blank(self) -> bool:
        """Whether the page was never formatted."""
        return self.tag_count == 0 and is_zero(self.data)

    @property
    def dbtime(self) -> int:
        """Database time of the last change."""
        dbtime: int = _U64.unpack_from(self.data, OFFSET_DBTIME)[0]
        return dbtime

    @dbtime.setter
    def dbtime(self, value: int) -> None:
        _U64.pack_into(self.data, OFFSET_DBTIME, value)

    @property
    def previous(self) -> int:
        """Left sibling, 0 for none."""
        return int(_U32.unpack_from(self.data, OFFSET_PREVIOUS)[0])

    @property
    def next(self) -> int:
        """Right sibling, 0 for none."""
        return int(_U32.unpack_from(self.data, OFFSET_NEXT)[0])

    @property
    def objid(self) -> int:
        """Which tree the page belongs to."""
        return int(_U32.unpack_from(self.data, OFFSET_OBJID)[0])

    @property
    def flags(self) -> PageFlag:
        """Page flags."""
        return PageFlag(_U32.unpack_from(self.data, OFFSET_FLAGS)[0])

    @property
    def is_root(self) -> bool:
        """Whether the page is the root of its tree."""
        return bool(self.data[OFFSET_FLAGS] & _ROOT)

    @property
    def is_leaf(self) -> bool:
        """Whether the page holds entries, not child pointers."""
        return bool(self.data[OFFSET_FLAGS] & _LEAF)

    @property
    def free_bytes(self) -> int:
        """``cbFree``."""
        return int(_U16.unpack_from(self.data, OFFSET_FREE)[0])

    @property
    def tag_count(self) -> int:
        """Number of tags, the external header's included; 0 on a blank page."""
        return int(_U16.unpack_from(self.data, OFFSET_TAG_COUNT)[0]) & TAG_COUNT_MASK

    @property
    def line_count(self) -> int:
        """Number of nodes."""
        return max(0, self.tag_count - 1)

    @property
    def capacity(self) -> int:
        """Bytes that lines and tags of an empty page may take, the external header's tag left out."""
        return self.size - self._header_size - TAG_SIZE

    # -- reading ----------------------------------------------------------------------------------------------------------

    @property
    def external_header(self) -> bytes:
        """Data of tag 0."""
        return self._line(0)[0]

    def node(self, line: int) -> Node:
        """Return entry ``line``.

        Raises:
            JetError: ``BadLineCount`` for a line the page does not have, ``PageTagCorrupted`` or ``NodeCorrupted`` for damage.
        """
        raw, flags = self._line(line + 1)
        return self._decode(raw, flags)

    def nodes(self) -> list[Node]:
        """Return all entries in order."""
        return [self.node(line) for line in range(self.line_count)]

    def key(self, line: int) -> bytes:
        """Full key of entry ``line``."""
        return self.node(line).key

    def child(self, line: int) -> int:
        """Child page number of entry ``line`` of a branch page."""
        data = self.node(line).data
        if len(data) != 4:
            raise self._damage(JetCode.NodeCorrupted, f"branch entry {line} has {len(data)} bytes of data")
        return int(_U32.unpack(data)[0])

    def sort_keys(self) -> list[bytes]:
        """What the page's entries are ordered by: keys, on leaves of a non-unique index key + data. Not to be changed.

        The empty key of the last branch entry means "everything else" and stays empty here.
        """
        if self._keys is None:
            with_data = self._has_data_in_keys
            self._keys = [node.key + node.data if with_data else node.key for node in self.nodes()]
        return self._keys

    def position(self, key: bytes) -> int:
        """First line whose sort key is ≥ ``key``; the line count when there is none (leaf pages)."""
        return bisect_left(self.sort_keys(), key)

    def is_deleted(self, line: int) -> bool:
        """Whether entry ``line`` carries the deleted flag."""
        return bool(self._line(line + 1)[1] & _DELETED)

    @property
    def _has_data_in_keys(self) -> bool:
        return bool(_U32.unpack_from(self.data, OFFSET_FLAGS)[0] & _NON_UNIQUE_LEAF == _NON_UNIQUE_LEAF)

    def _line(self, tag: int) -> tuple[bytes, int]:
        count = self.tag_count
        if not 0 <= tag < count:
            raise self._damage(JetCode.BadLineCount, f"tag {tag} of {count}")
        page_size = len(self.data)
        position = page_size - TAG_SIZE * (tag + 1)
        if position < self._header_size:
            raise self._damage(JetCode.PageTagCorrupted, f"tag {tag} lies in the page header")
        size, offset = _TAG.unpack_from(self.data, position)
        if self._is_large:
            flags = 0
            size, offset = size & 0x7FFF, offset & 0x7FFF
        else:
            flags = offset >> 13
            size, offset = size & 0x1FFF, offset & 0x1FFF
        start = self._header_size + offset
        if start + size > page_size - TAG_SIZE * count:
            raise self._damage(JetCode.PageTagCorrupted, f"line {tag} at {start} with {size} bytes leaves the page")
        raw = bytes(self.data[start : start + size])
        if self._is_large and tag and size >= 2:
            flags = raw[1] >> 5
            raw = bytes((raw[0], raw[1] & 0x1F)) + raw[2:]
        return raw, flags

    def _decode(self, raw: bytes, flags: int) -> Node:
        try:
            return decode_line(raw, flags, self.external_header if flags & COMPRESSED else b"")
        except ValueError as error:
            raise self._damage(JetCode.NodeCorrupted, str(error)) from error

    def _damage(self, code: JetCode, detail: str) -> JetError:
        return JetError(code, detail, page_number=self.page_number)

    # -- changing: called by page_operation.apply only --------------------------------------------------------------------

    def format(self, objid: int, flags: int) -> None:
        """Make the page an empty one with an empty external header; dbtime stays."""
        dbtime = self.dbtime
        self.data[:] = bytes(self.size)
        self.dbtime = dbtime
        _U32.pack_into(self.data, OFFSET_OBJID, objid)
        self.set_flags(flags)
        if self._is_large:
            _U32.pack_into(self.data, LARGE_PAGE_NUMBER_OFFSET, self.page_number)
        self._set_counts(free=self.capacity, first_free=0, tags=1)
        self._keys = None

    def set_flags(self, flags: int) -> None:
        """Set the page flags; sort keys depend on them."""
        _U32.pack_into(self.data, OFFSET_FLAGS, flags)
        self._keys = None

    def set_links(self, previous: int, next_page: int) -> None:
        """Set both sibling links."""
        _U32.pack_into(self.data, OFFSET_PREVIOUS, previous)
        _U32.pack_into(self.data, OFFSET_NEXT, next_page)

    def set_external_header(self, header: bytes) -> None:
        """Replace tag 0. On a page with compressed nodes only an equal or longer prefix keeps their keys."""
        self._replace(0, header, 0, len(self.external_header))
        self._keys = None

    def insert_node(self, line: int, prefix_count: int, suffix: bytes, data: bytes, flags: int) -> None:
        """Insert an entry before ``line``; its key is ``prefix_count`` bytes of the shared prefix and ``suffix``."""
        raw, flags = encode_line(prefix_count, suffix, data, flags)
        page, size = self.data, len(raw)
        free, _, first_free, count = _COUNTS.unpack_from(page, OFFSET_FREE)
        count &= TAG_COUNT_MASK
        assert 0 <= line < count, f"line {line} of {count - 1} on page {self.page_number}"
        low = len(page) - TAG_SIZE * count
        if size + TAG_SIZE > free or first_free + size + TAG_SIZE > low - self._header_size:
            self._make_room(size + TAG_SIZE)
            first_free = self._first_free
        high = len(page) - TAG_SIZE * (line + 1)
        if low != high:
            page[low - TAG_SIZE : high - TAG_SIZE] = page[low:high]
        start = self._header_size + first_free
        page[start : start + size] = raw
        if self._is_large:
            self._set_tag(line + 1, size, first_free, flags)
        else:
            _TAG.pack_into(page, high - TAG_SIZE, size, first_free | flags << 13)
        _COUNTS.pack_into(page, OFFSET_FREE, free - size - TAG_SIZE, 0, first_free + size, count + 1)
        if self._keys is not None:
            key = self.external_header[:prefix_count] + suffix if prefix_count else suffix
            self._keys.insert(line, key + data if self._has_data_in_keys else key)

    def replace_node(self, line: int, data: bytes, flags: int | None = None) -> None:
        """Replace the data of entry ``line``, and its flags unless None; the key stays as stored."""
        raw, old_flags = self._line(line + 1)
        new_flags = old_flags if flags is None else (flags & ~COMPRESSED) | (old_flags & COMPRESSED)
        self._replace(line + 1, raw[: key_end(raw, old_flags)] + data, new_flags, len(raw))
        if self._keys is not None and self._has_data_in_keys:
            self._keys[line] = self.node(line).key + data

    def delete_node(self, line: int) -> None:
        """Remove entry ``line``."""
        assert 0 <= line < self.line_count, f"line {line} of {self.line_count} on page {self.page_number}"
        raw, _ = self._line(line + 1)
        count = self.tag_count
        low = self.size - TAG_SIZE * count
        high = self.size - TAG_SIZE * (line + 2)
        self.data[low + TAG_SIZE : high + TAG_SIZE] = self.data[low:high]
        self.data[low : low + TAG_SIZE] = bytes(TAG_SIZE)
        self._set_counts(self.free_bytes + len(raw) + TAG_SIZE, self._first_free, count - 1)
        if self._keys is not None:
            del self._keys[line]

    def line_size(self, line: int) -> int:
        """Bytes that entry ``line`` takes, its tag included."""
        return len(self._line(line + 1)[0]) + TAG_SIZE

    def shared_prefix(self, key: bytes) -> int:
        """How many bytes of the page's prefix a new entry with ``key`` should use; 0 when it does not pay."""
        if self.is_root:
            return 0
        shared = common_prefix_size(self.external_header, key)
        return shared if shared >= PREFIX_MIN else 0

    @property
    def _first_free(self) -> int:
        return int(_U16.unpack_from(self.data, OFFSET_FIRST_FREE)[0])

    def _replace(self, tag: int, raw: bytes, flags: int, old_size: int) -> None:
        position = self.size - TAG_SIZE * (tag + 1)
        _, word = _TAG.unpack_from(self.data, position)
        offset = word & (0x7FFF if self._is_large else 0x1FFF)
        first_free = self._first_free
        if len(raw) <= old_size:
            self._put(offset, raw)
            self._set_tag(tag, len(raw), offset, flags)
        else:
            # The old line becomes a hole first, so that making room can use its bytes.
            self._set_tag(tag, 0, 0, 0)
            self._set_counts(self.free_bytes + old_size, first_free, self.tag_count)
            self._make_room(len(raw))
            offset = self._append(raw)
            first_free = offset + len(raw)
            self._set_tag(tag, len(raw), offset, flags)
            self._set_counts(self.free_bytes - old_size, first_free, self.tag_count)
        self._set_counts(self.free_bytes + old_size - len(raw), first_free, self.tag_count)

    def _make_room(self, needed: int) -> None:
        """Have ``needed`` contiguous bytes (a new tag's included) behind the last line, compacting if they are scattered."""
        assert needed <= self.free_bytes, f"{needed} bytes needed on page {self.page_number}, {self.free_bytes} free"
        tags_start = self.size - self._header_size - TAG_SIZE * self.tag_count
        if self._first_free + needed <= tags_start:
            return
        lines = [self._raw_line(tag) for tag in range(self.tag_count)]
        self.data[self._header_size : self._header_size + tags_start] = bytes(tags_start)
        offset = 0
        for tag, (raw, word_flags) in enumerate(lines):
            start = self._header_size + offset
            self.data[start : start + len(raw)] = raw
            _TAG.pack_into(self.data, self.size - TAG_SIZE * (tag + 1), len(raw), offset | word_flags)
            offset += len(raw)
        _U16.pack_into(self.data, OFFSET_FIRST_FREE, offset)

    def _raw_line(self, tag: int) -> tuple[bytes, int]:
        """Bytes of a line as stored, and the flag bits of its tag's second word."""
        size, word = _TAG.unpack_from(self.data, self.size - TAG_SIZE * (tag + 1))
        mask = 0x7FFF if self._is_large else 0x1FFF
        start = self._header_size + (word & mask)
        return bytes(self.data[start : start + (size & mask)]), word & ~mask & 0xFFFF

    def _append(self, raw: bytes) -> int:
        offset = self._first_free
        self._put(offset, raw)
        return offset

    def _put(self, offset: int, raw: bytes) -> None:
        start = self._header_size + offset
        self.data[start : start + len(raw)] = raw

    def _set_tag(self, tag: int, size: int, offset: int, flags: int) -> None:
        if self._is_large:
            if tag and size >= 2:
                position = self._header_size + offset + 1
                self.data[position] = self.data[position] & 0x1F | flags << 5
        else:
            offset |= flags << 13
        _TAG.pack_into(self.data, self.size - TAG_SIZE * (tag + 1), size, offset)

    def _set_counts(self, free: int, first_free: int, tags: int) -> None:
        _COUNTS.pack_into(self.data, OFFSET_FREE, free, 0, first_free, tags)
