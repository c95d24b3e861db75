"""The log record of a page change: one operation of the seam ``PageOperation``, packed as the engine's nearest record.

Every page change is one record with the page's dbtime before and after it, so redo can tell a page that lacks the change from
one that has it. Where the seam ``PageOperation`` says more than the engine's record of that time, the rest is appended or a
neighbouring type is used:

=====================  ====  ===========================================================================================
operation              type  body beyond the page base
=====================  ====  ===========================================================================================
Format                 95    NewPage: the real fields, then dbtimeBefore u64 and page flags u32
InsertNode             29    as published; node flags lie in the two low bits of the flag byte
ReplaceNode            33    as published; bit 7 of the flag byte says that node flags are replaced too
DeleteNode             35    as published
SetExternalHeader      38    as published
SetLinks               63    Merge2: previous u32, next u32
SetFlags               64    Scrub: page flags u32
Image                  62    Split2: size of the front u16, size of the back u16, both parts; the hole between is zero
=====================  ====  ===========================================================================================

Sources: published engine, logapi.hxx.
"""

from __future__ import annotations

import struct
from enum import IntFlag

import msgspec

from vss_writers.ese.log_record_type import RecordType
from vss_writers.ese.page_operation import (
    DeleteNode,
    Format,
    Image,
    InsertNode,
    PageOperation,
    ReplaceNode,
    SetExternalHeader,
    SetFlags,
    SetLinks,
)


class ChangeFlag(IntFlag):
    """Flag byte of a page record. The two low bits repeat the node flags *version* and *deleted*."""

    NONE = 0
    VERSIONED = 0x01
    DELETED = 0x02
    UNIQUE = 0x04
    SPACE = 0x08
    NODE_FLAGS = 0x80  # ReplaceNode: the node's flags are replaced as well


PAGE_BASE = struct.Struct("<BHBIQQIBHB")
NODE_TAIL = struct.Struct("<III")
NEW_PAGE = struct.Struct("<BHBIIQQII")
_SIZES = struct.Struct("<HHH")
_NODE_FLAGS = int(ChangeFlag.NODE_FLAGS)
assert PAGE_BASE.size == 32, f"page base has {PAGE_BASE.size} bytes, not 32"


class PageChange(msgspec.Struct, frozen=True, gc=False):
    """One operation on one page of database ``dbid``, with the page's dbtime before and after it.

    ``objid`` is the page's tree, for people who read the log.
    """

    operation: PageOperation
    dbid: int
    dbtime: int
    dbtime_before: int
    session: int = 1
    transaction: int = 0
    objid: int = 0
    flags: ChangeFlag = ChangeFlag.NONE

    def pack(self) -> bytes:
        """Return the record."""
        operation = self.operation
        match operation:
            case InsertNode(_, line, prefix, suffix, data, node_flags):
                sizes = _SIZES.pack(len(suffix), prefix, len(data))
                return b"".join((self._node(RecordType.INSERT, line, node_flags & 3), sizes, suffix, data))
            case ReplaceNode(_, line, data, None):
                return self._node(RecordType.REPLACE, line, 0) + _SIZES.pack(len(data), 0, len(data)) + data
            case ReplaceNode(_, line, data, int(node_flags)):
                flags = _NODE_FLAGS | node_flags & 3
                return self._node(RecordType.REPLACE, line, flags) + _SIZES.pack(len(data), 0, len(data)) + data
            case DeleteNode(_, line):
                return self._node(RecordType.DELETE, line, 0)
            case SetExternalHeader(_, data):
                return self._node(RecordType.SET_EXTERNAL_HEADER, 0, 0) + struct.pack("<H", len(data)) + data
            case SetLinks(_, previous, following):
                return self._page(RecordType.MERGE2, 0, 0) + struct.pack("<II", previous, following)
            case SetFlags(_, page_flags):
                return self._page(RecordType.SCRUB, 0, 0) + struct.pack("<I", page_flags)
            case Image(_, data):
                front, back = _without_hole(data)
                return (
                    self._page(RecordType.SPLIT2, 0, 0) + _SIZES.pack(len(data) // 1024, len(front), len(back)) + front + back
                )
            case Format(number, objid, page_flags):
                body = (self.session, self.dbid, number, objid, self.dbtime, self.dbtime_before, page_flags, self.transaction)
                return NEW_PAGE.pack(RecordType.NEW_PAGE, *body)
        raise AssertionError(f"no record for {operation}")

    def _page(self, kind: RecordType, line: int, flags: int) -> bytes:
        return PAGE_BASE.pack(
            kind,
            self.session,
            self.dbid,
            self.operation.page_number,
            self.dbtime,
            self.dbtime_before,
            self.transaction,
            1 if self.transaction else 0,
            line,
            int(self.flags) | flags,
        )

    def _node(self, kind: RecordType, line: int, flags: int) -> bytes:
        return self._page(kind, line, flags) + NODE_TAIL.pack(0, 0, self.objid)


def _without_hole(page: bytes) -> tuple[bytes, bytes]:
    """Split a page image around its longest run of zeros in the middle, found by halving; the run need not be exact."""
    middle = page.find(bytes(_HOLE_MIN))
    if middle < 0:
        return page, b""
    rest = page[middle:].lstrip(b"\0")
    return page[:middle], rest


_HOLE_MIN = 64
