"""Reading log records back: the inverse of ``pack`` in ``log_records``.

Everything comes from a file that may be damaged or hostile, so every size is checked before it is believed; a record that
makes no sense raises ``LogFileCorrupt`` with its offset. No behaviour beyond that.

Sources: published engine, logapi.hxx.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import BackupInfo, LogPosition, LogTime, Signature
from vss_writers.ese.layout import BackupType
from vss_writers.ese.log_file import PARAMETERS_SIZE, EngineParameters, decode_path
from vss_writers.ese.log_page_change import NEW_PAGE, NODE_TAIL, PAGE_BASE, ChangeFlag, PageChange
from vss_writers.ese.log_record_type import RecordType
from vss_writers.ese.log_records import (
    AttachDatabase,
    Backup2,
    BackupPhase,
    BackupScope,
    Begin0,
    Commit0,
    CreateDatabase,
    DetachDatabase,
    End,
    ExtendDatabase,
    FlushCheck,
    Init2,
    LogRecord,
    Macro,
    Nop,
    RecoveryUndo2,
    Rollback,
    Terminate2,
)
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


def unpack_record(data: bytes, offset: int) -> tuple[LogRecord, int]:
    """Read the record at ``offset``; return it with the offset behind it. LRCHECKSUM is not a record of this function.

    Raises:
        JetError: ``LogFileCorrupt`` for an unknown type or a record that runs over the data.
    """
    try:
        record, end = READERS[data[offset]](data, offset)
    except (struct.error, ValueError) as error:
        raise cut_off(data, offset) from error
    if end > len(data):
        raise cut_off(data, offset)
    return record, end


def cut_off(data: bytes, offset: int) -> JetError:
    """The error of a record whose reader failed or left the data."""
    return JetError(JetCode.LogFileCorrupt, f"record of type {data[offset]} is cut off or malformed", offset=offset)


def _read_unknown(data: bytes, offset: int) -> tuple[LogRecord, int]:
    raise JetError(JetCode.LogFileCorrupt, f"unknown record type {data[offset]}", offset=offset)


def _read_nop(data: bytes, offset: int) -> tuple[LogRecord, int]:
    return Nop(), offset + 1


def _read_flush_check(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, size, crc = FlushCheck.LAYOUT.unpack_from(data, offset)
    return FlushCheck(crc), offset + 5 + size


def _read_end(data: bytes, offset: int) -> tuple[LogRecord, int]:
    return End(), offset + 1


def _read_begin(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, session, _, transaction = Begin0.LAYOUT.unpack_from(data, offset)
    return Begin0(session, transaction), offset + Begin0.LAYOUT.size


def _read_commit(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, session, _, transaction = Commit0.LAYOUT.unpack_from(data, offset)
    return Commit0(session, transaction), offset + Commit0.LAYOUT.size


def _read_rollback(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, session, levels = Rollback.LAYOUT.unpack_from(data, offset)
    return Rollback(session, levels), offset + Rollback.LAYOUT.size


def _read_macro(data: bytes, offset: int) -> tuple[LogRecord, int]:
    kind, session, dbtime = Macro.LAYOUT.unpack_from(data, offset)
    return Macro(session, kind == RecordType.MACRO_BEGIN, dbtime), offset + Macro.LAYOUT.size


def _read_create(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, session, dbid, _, limit, signature, size, flags, version, update = CreateDatabase.LAYOUT.unpack_from(data, offset)
    start = offset + CreateDatabase.LAYOUT.size
    path = decode_path(data[start : start + size], is_unicode=bool(flags & 0x08))
    return CreateDatabase(session, dbid, Signature.unpack(signature), path, version, update, limit), start + size


def _read_attach(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, session, dbid, limit, consistent, signature, log, size, flags = AttachDatabase.LAYOUT.unpack_from(data, offset)
    start = offset + AttachDatabase.LAYOUT.size
    path = decode_path(data[start : start + size], is_unicode=bool(flags & 0x08))
    position = LogPosition.unpack(consistent)
    record = AttachDatabase(session, dbid, Signature.unpack(signature), Signature.unpack(log), position, path, limit)
    return record, start + size


def _read_detach(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, session, dbid, size, flags = DetachDatabase.LAYOUT.unpack_from(data, offset)
    start = offset + DetachDatabase.LAYOUT.size
    return DetachDatabase(session, dbid, decode_path(data[start : start + size], is_unicode=bool(flags & 0x10))), start + size


def _read_extend(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, size, dbid, last, first = ExtendDatabase.LAYOUT.unpack_from(data, offset)
    return ExtendDatabase(dbid, first, last), offset + 5 + size


def _read_init(data: bytes, offset: int) -> tuple[LogRecord, int]:
    start = offset + 1
    end = start + PARAMETERS_SIZE
    return Init2(EngineParameters.unpack(data[start:end]), LogTime.unpack(data[end : end + LogTime.SIZE])), end + LogTime.SIZE


def _read_terminate(data: bytes, offset: int) -> tuple[LogRecord, int]:
    kind, undo, redo, hard, time = Terminate2.LAYOUT.unpack_from(data, offset)
    record = Terminate2(RecordType(kind), LogPosition.unpack(undo), LogPosition.unpack(redo), bool(hard), LogTime.unpack(time))
    return record, offset + Terminate2.LAYOUT.size


def _read_undo(data: bytes, offset: int) -> tuple[LogRecord, int]:
    end = offset + 1 + LogTime.SIZE
    return RecoveryUndo2(LogTime.unpack(data[offset + 1 : end])), end


def _read_backup(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, phase, kind, scope, dbid, details, _, size = Backup2.LAYOUT.unpack_from(data, offset)
    start = offset + Backup2.LAYOUT.size
    path = data[start : start + size].decode("latin-1")
    record = Backup2(BackupPhase(phase), BackupType(kind), BackupScope(scope), dbid, BackupInfo.unpack(details), path)
    return record, start + size


def _read_new_page(data: bytes, offset: int) -> tuple[LogRecord, int]:
    _, session, dbid, number, objid, dbtime, before, flags, transaction = NEW_PAGE.unpack_from(data, offset)
    operation = Format(number, objid, flags)
    change = PageChange(operation, dbid, dbtime, before, session, transaction, objid, ChangeFlag.NONE)
    return change, offset + NEW_PAGE.size


_NODE_SIZE = PAGE_BASE.size + NODE_TAIL.size
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_SIZES = struct.Struct("<HHH")
_LINKS = struct.Struct("<II")
_INSERT = struct.Struct(PAGE_BASE.format + NODE_TAIL.format.removeprefix("<") + "HHH")
_PAGE_KINDS = (int(RecordType.MERGE2), int(RecordType.SCRUB), int(RecordType.SPLIT2))
_MERGE2, _SCRUB, _DELETE = int(RecordType.MERGE2), int(RecordType.SCRUB), int(RecordType.DELETE)
_SET_EXTERNAL_HEADER = int(RecordType.SET_EXTERNAL_HEADER)
_NODE_FLAGS = int(ChangeFlag.NODE_FLAGS)


def _read_insert(data: bytes, offset: int) -> tuple[LogRecord, int]:
    """Nearly every record of a log is one of these."""
    _, session, dbid, number, dbtime, before, transaction, _, line, flags, _, _, objid, key_size, prefix, size = (
        _INSERT.unpack_from(data, offset)
    )
    start = offset + _INSERT.size
    key_end = start + key_size
    end = key_end + size
    operation = InsertNode(number, line, prefix, data[start:key_end], data[key_end:end], flags & 3)
    kept = _CHANGE_FLAGS[flags & _KEPT_FLAGS]
    return PageChange(operation, dbid, dbtime, before, session, transaction, objid, kept), end


def _read_page_change(data: bytes, offset: int) -> tuple[LogRecord, int]:
    kind, session, dbid, number, dbtime, before, transaction, _, line, flags = PAGE_BASE.unpack_from(data, offset)
    objid = 0
    operation: PageOperation
    if kind in _PAGE_KINDS:
        operation, end = _read_page_body(kind, number, data, offset + PAGE_BASE.size)
    else:
        objid = NODE_TAIL.unpack_from(data, offset + PAGE_BASE.size)[2]
        operation, end = _read_node_body(kind, number, line, flags, data, offset + _NODE_SIZE)
    kept = _CHANGE_FLAGS[flags & _KEPT_FLAGS]
    return PageChange(operation, dbid, dbtime, before, session, transaction, objid, kept), end


_KEPT_FLAGS = int(ChangeFlag.UNIQUE | ChangeFlag.SPACE)
_CHANGE_FLAGS = {number: ChangeFlag(number) for number in range(256) if number & _KEPT_FLAGS == number}


def _read_page_body(kind: int, number: int, data: bytes, start: int) -> tuple[PageOperation, int]:
    if kind == _MERGE2:
        previous, following = _LINKS.unpack_from(data, start)
        return SetLinks(number, previous, following), start + _LINKS.size
    if kind == _SCRUB:
        return SetFlags(number, _U32.unpack_from(data, start)[0]), start + _U32.size
    kilobytes, front, back = _SIZES.unpack_from(data, start)
    start += _SIZES.size
    end = start + front + back
    hole = kilobytes * 1024 - front - back
    if hole < 0 or end > len(data):
        raise ValueError(f"page image of {front} + {back} bytes in a page of {kilobytes} KB")
    return Image(number, data[start : start + front] + bytes(hole) + data[start + front : end]), end


def _read_node_body(kind: int, number: int, line: int, flags: int, data: bytes, start: int) -> tuple[PageOperation, int]:
    if kind == _DELETE:
        return DeleteNode(number, line), start
    if kind == _SET_EXTERNAL_HEADER:
        size = _U16.unpack_from(data, start)[0]
        start += _U16.size
        return SetExternalHeader(number, data[start : start + size]), start + size
    size = _SIZES.unpack_from(data, start)[0]
    start += _SIZES.size
    node_flags = flags & 3 if flags & _NODE_FLAGS else None
    return ReplaceNode(number, line, data[start : start + size], node_flags), start + size


_READER_OF: dict[int, Callable[[bytes, int], tuple[LogRecord, int]]] = {
    RecordType.NOP: _read_nop,
    RecordType.END: _read_end,
    RecordType.ROLLBACK: _read_rollback,
    RecordType.BEGIN0: _read_begin,
    RecordType.COMMIT0: _read_commit,
    RecordType.MACRO_BEGIN: _read_macro,
    RecordType.MACRO_COMMIT: _read_macro,
    RecordType.CREATE_DATABASE: _read_create,
    RecordType.ATTACH_DATABASE: _read_attach,
    RecordType.DETACH_DATABASE: _read_detach,
    RecordType.INSERT: _read_insert,
    RecordType.REPLACE: _read_page_change,
    RecordType.DELETE: _read_page_change,
    RecordType.SET_EXTERNAL_HEADER: _read_page_change,
    RecordType.INIT2: _read_init,
    RecordType.TERM2: _read_terminate,
    RecordType.RECOVERY_UNDO2: _read_undo,
    RecordType.RECOVERY_QUIT2: _read_terminate,
    RecordType.BACKUP2: _read_backup,
    RecordType.SPLIT2: _read_page_change,
    RecordType.MERGE2: _read_page_change,
    RecordType.SCRUB: _read_page_change,
    RecordType.EXTEND_DATABASE: _read_extend,
    RecordType.NOP2: _read_flush_check,
    RecordType.NEW_PAGE: _read_new_page,
}
READERS = tuple(_READER_OF.get(number, _read_unknown) for number in range(256))
"""What reads a record, by its first byte; raises ``struct.error`` or ``ValueError`` for one that is cut off or malformed."""
