"""Log records: what each type carries and how it is packed. Numbers and field order are the engine's; nothing is aligned.

Sources: published engine, logapi.hxx.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from vss_writers.ese.header_values import NO_BACKUP, BackupInfo, LogPosition, LogTime, Signature
from vss_writers.ese.layout import BackupType
from vss_writers.ese.log_file import EngineParameters, encode_path
from vss_writers.ese.log_page_change import PageChange
from vss_writers.ese.log_record_type import RecordType


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
