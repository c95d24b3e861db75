"""Log records: what each type carries and how it is packed. Numbers and field order are the engine's; nothing is aligned.

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
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import ClassVar

from vss_writers.ese.header import BackupInfo, LogPosition, LogTime, Signature
from vss_writers.ese.layout import BackupType
from vss_writers.ese.log_file import NO_BACKUP, EngineParameters, encode_path
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


class RecordType(IntEnum):
    """Types this engine writes."""

    NOP = 0
    END = 4
    ROLLBACK = 7
    BEGIN0 = 8
    COMMIT0 = 9
    MACRO_BEGIN = 11
    MACRO_COMMIT = 12
    CREATE_DATABASE = 14
    ATTACH_DATABASE = 15
    DETACH_DATABASE = 16
    INSERT = 29
    REPLACE = 33
    DELETE = 35
    SET_EXTERNAL_HEADER = 38
    CHECKSUM = 42
    INIT2 = 49
    TERM2 = 50
    RECOVERY_UNDO2 = 51
    RECOVERY_QUIT2 = 52
    BACKUP2 = 60
    SPLIT2 = 62
    MERGE2 = 63
    SCRUB = 64
    EXTEND_DATABASE = 68
    NOP2 = 71
    NEW_PAGE = 95


class BackupPhase(IntEnum):
    """Phase of a Backup2 record."""

    BEGIN = 1
    PREPARE_LOGS = 2
    TRUNCATE = 3
    UPDATE = 4
    ABORT = 5
    STOP = 6


class BackupScope(IntEnum):
    """Scope of a Backup2 record: which kind of backup it is."""

    FULL = 1
    INCREMENTAL = 2
    COPY = 5
    DIFFERENTIAL = 6


class ChangeFlag(IntFlag):
    """Flag byte of a page record. The two low bits repeat the node flags *version* and *deleted*."""

    NONE = 0
    VERSIONED = 0x01
    DELETED = 0x02
    UNIQUE = 0x04
    SPACE = 0x08
    NODE_FLAGS = 0x80  # ReplaceNode: the node's flags are replaced as well


@dataclass(frozen=True, slots=True)
class Nop:
    """One byte of padding."""

    def pack(self) -> bytes:
        """Return the record."""
        return b"\x00"


@dataclass(frozen=True, slots=True)
class FlushCheck:
    """CRC-32 of everything one flush wrote behind its LRCHECKSUM, in a record type that readers skip (NOP2).

    The XOR sums of LRCHECKSUM cannot see two lost sectors with equal content; this does.
    """

    crc: int
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BII")
    DATA_SIZE: ClassVar[int] = 4

    def pack(self) -> bytes:
        """Return the record."""
        return self.LAYOUT.pack(RecordType.NOP2, self.DATA_SIZE, self.crc)


@dataclass(frozen=True, slots=True)
class End:
    """The generation is closed; nothing follows it."""

    def pack(self) -> bytes:
        """Return the record."""
        return bytes((RecordType.END,))


@dataclass(frozen=True, slots=True)
class Begin0:
    """An outermost transaction begins."""

    session: int
    transaction: int
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BHBI")

    def pack(self) -> bytes:
        """Return the record; it begins one level from level 0."""
        return self.LAYOUT.pack(RecordType.BEGIN0, self.session, 0x10, self.transaction)


@dataclass(frozen=True, slots=True)
class Commit0:
    """An outermost transaction commits; durable with this record."""

    session: int
    transaction: int
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BHBI")

    def pack(self) -> bytes:
        """Return the record; it commits to level 0."""
        return self.LAYOUT.pack(RecordType.COMMIT0, self.session, 0, self.transaction)


@dataclass(frozen=True, slots=True)
class Rollback:
    """The open transaction is undone: its records are not redone."""

    session: int
    levels: int = 1
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BHB")

    def pack(self) -> bytes:
        """Return the record."""
        return self.LAYOUT.pack(RecordType.ROLLBACK, self.session, self.levels)


@dataclass(frozen=True, slots=True)
class Macro:
    """Begin or end of a structure change over several pages."""

    session: int
    is_begin: bool
    dbtime: int
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BHQ")

    def pack(self) -> bytes:
        """Return the record."""
        kind = RecordType.MACRO_BEGIN if self.is_begin else RecordType.MACRO_COMMIT
        return self.LAYOUT.pack(kind, self.session, self.dbtime)


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    """A database file was created and attached under ``dbid``."""

    session: int
    dbid: int
    signature: Signature
    path: str
    version: int
    update: int
    size_limit_pages: int = 0
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BHBII28sHBHH")
    _FLAGS: ClassVar[int] = 0x04 | 0x08  # version information, Unicode path

    def pack(self) -> bytes:
        """Return the record."""
        path = encode_path(self.path)
        fixed = self.LAYOUT.pack(
            RecordType.CREATE_DATABASE,
            self.session,
            self.dbid,
            0,
            self.size_limit_pages,
            self.signature.pack(),
            len(path),
            self._FLAGS,
            self.version,
            self.update,
        )
        return fixed + path


@dataclass(frozen=True, slots=True)
class AttachDatabase:
    """A database file was attached under ``dbid``; ``consistent_position`` is what its header said before."""

    session: int
    dbid: int
    signature: Signature
    log_signature: Signature
    consistent_position: LogPosition
    path: str
    size_limit_pages: int = 0
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BHBI8s28s28sHB")

    def pack(self) -> bytes:
        """Return the record."""
        path = encode_path(self.path)
        fixed = self.LAYOUT.pack(
            RecordType.ATTACH_DATABASE,
            self.session,
            self.dbid,
            self.size_limit_pages,
            self.consistent_position.pack(),
            self.signature.pack(),
            self.log_signature.pack(),
            len(path),
            0x08,  # Unicode path
        )
        return fixed + path


@dataclass(frozen=True, slots=True)
class DetachDatabase:
    """A database is detached; everything before this record is in its file."""

    session: int
    dbid: int
    path: str
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BHBHB")

    def pack(self) -> bytes:
        """Return the record."""
        path = encode_path(self.path)
        return self.LAYOUT.pack(RecordType.DETACH_DATABASE, self.session, self.dbid, len(path), 0x10) + path


@dataclass(frozen=True, slots=True)
class ExtendDatabase:
    """The file grew. ``first_page`` is our addition: it tells recovery what belonged to the file before."""

    dbid: int
    first_page: int
    last_page: int
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BIBII")

    def pack(self) -> bytes:
        """Return the record."""
        size = self.LAYOUT.size - 5
        return self.LAYOUT.pack(RecordType.EXTEND_DATABASE, size, self.dbid, self.last_page, self.first_page)


@dataclass(frozen=True, slots=True)
class Init2:
    """The instance started."""

    parameters: EngineParameters
    time: LogTime

    def pack(self) -> bytes:
        """Return the record."""
        return bytes((RecordType.INIT2,)) + self.parameters.pack() + self.time.pack()


@dataclass(frozen=True, slots=True)
class Terminate2:
    """The instance stopped (``kind`` TERM2), or recovery ended (RECOVERY_QUIT2): every database is detached and clean."""

    kind: RecordType
    undo_from: LogPosition
    redo_from: LogPosition
    is_hard: bool
    time: LogTime
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<B8s8sB8s")

    def pack(self) -> bytes:
        """Return the record."""
        return self.LAYOUT.pack(self.kind, self.undo_from.pack(), self.redo_from.pack(), int(self.is_hard), self.time.pack())


@dataclass(frozen=True, slots=True)
class RecoveryUndo2:
    """Recovery has redone everything and undoes the open transactions."""

    time: LogTime

    def pack(self) -> bytes:
        """Return the record."""
        return bytes((RecordType.RECOVERY_UNDO2,)) + self.time.pack()


@dataclass(frozen=True, slots=True)
class Backup2:
    """A step of a backup."""

    phase: BackupPhase
    type: BackupType
    scope: BackupScope
    dbid: int = 0
    details: BackupInfo = NO_BACKUP
    path: str = ""
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BBIBB24sBH")

    def pack(self) -> bytes:
        """Return the record."""
        path = self.path.encode("latin-1", "replace")
        fixed = self.LAYOUT.pack(
            RecordType.BACKUP2, self.phase, self.type, self.scope, self.dbid, self.details.pack(), 0, len(path)
        )
        return fixed + path


@dataclass(frozen=True, slots=True)
class PageChange:
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
    flags: ChangeFlag = field(default=ChangeFlag.NONE)

    def pack(self) -> bytes:
        """Return the record."""
        operation = self.operation
        match operation:
            case InsertNode(_, line, prefix, suffix, data, node_flags):
                sizes = struct.pack("<HHH", len(suffix), prefix, len(data))
                return self._node(RecordType.INSERT, line, node_flags & 3) + sizes + suffix + data
            case ReplaceNode(_, line, data, None):
                return self._node(RecordType.REPLACE, line, 0) + struct.pack("<HHH", len(data), 0, len(data)) + data
            case ReplaceNode(_, line, data, int(node_flags)):
                flags = ChangeFlag.NODE_FLAGS | node_flags & 3
                return self._node(RecordType.REPLACE, line, flags) + struct.pack("<HHH", len(data), 0, len(data)) + data
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
                    self._page(RecordType.SPLIT2, 0, 0)
                    + struct.pack("<HHH", len(data) // 1024, len(front), len(back))
                    + front
                    + back
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
            self.flags | flags,
        )

    def _node(self, kind: RecordType, line: int, flags: int) -> bytes:
        return self._page(kind, line, flags) + NODE_TAIL.pack(0, 0, self.objid)


PAGE_BASE = struct.Struct("<BHBIQQIBHB")
NODE_TAIL = struct.Struct("<III")
NEW_PAGE = struct.Struct("<BHBIIQQII")

assert PAGE_BASE.size == 32, f"page base has {PAGE_BASE.size} bytes, not 32"
assert AttachDatabase.LAYOUT.size == 75, f"AttachDB has {AttachDatabase.LAYOUT.size} bytes, not 75"
assert Backup2.LAYOUT.size == 35, f"Backup2 has {Backup2.LAYOUT.size} bytes, not 35"
assert Terminate2.LAYOUT.size == 26, f"Term2 has {Terminate2.LAYOUT.size} bytes, not 26"

LogRecord = (
    Nop
    | FlushCheck
    | End
    | Begin0
    | Commit0
    | Rollback
    | Macro
    | CreateDatabase
    | AttachDatabase
    | DetachDatabase
    | ExtendDatabase
    | Init2
    | Terminate2
    | RecoveryUndo2
    | Backup2
    | PageChange
)


def _without_hole(page: bytes) -> tuple[bytes, bytes]:
    """Split a page image around its longest run of zeros in the middle, found by halving; the run need not be exact."""
    middle = page.find(bytes(_HOLE_MIN))
    if middle < 0:
        return page, b""
    rest = page[middle:].lstrip(b"\0")
    return page[:middle], rest


_HOLE_MIN = 64
