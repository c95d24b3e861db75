"""The database header (DBFILEHDR).

A header is one page of the file, sealed with XOR-32; its shadow is an identical copy one page further. ``DatabaseHeader`` is
frozen: a change is ``dataclasses.replace`` and writing both copies again, primary first. What lies beyond the fields of 2007
is carried in ``tail`` so that a header written by a newer engine survives a round trip.

Sources: published engine, daedef.hxx (DBFILEHDR); libesedb format documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

from vss_writers.ese.checksum import xor32
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import (
    NEVER,
    NO_BACKUP,
    NO_ERRORS,
    NO_SIGNATURE,
    NOWHERE,
    BackupInfo,
    EccCounter,
    LogPosition,
    LogTime,
    Signature,
)
from vss_writers.ese.layout import (
    DEFAULT_PAGE_SIZE,
    FORMAT_UPDATE_EXCHANGE_2007,
    FORMAT_VERSION,
    MAGIC,
    PAGE_SIZES,
    BackupType,
    DatabaseState,
    FileType,
)

_PAGE_SIZE = struct.Struct("<I")
_HEADERS_KEPT = 16
"""Headers decoded last: opening a database reads its header several times."""


@dataclass(frozen=True, slots=True)
class DatabaseHeader:
    """Every field a 2007 engine fills, in file order; see the vendor's names beside ``_LAYOUT``."""

    signature: Signature
    page_size: int = DEFAULT_PAGE_SIZE
    state: DatabaseState = DatabaseState.JUST_CREATED
    version: int = FORMAT_VERSION
    update: int = FORMAT_UPDATE_EXCHANGE_2007
    attributes: int = 0
    dbtime: int = 0
    consistent_position: LogPosition = NOWHERE
    consistent_time: LogTime = NEVER
    attach_time: LogTime = NEVER
    attach_position: LogPosition = NOWHERE
    detach_time: LogTime = NEVER
    detach_position: LogPosition = NOWHERE
    dbid: int = 0
    log_signature: Signature = NO_SIGNATURE
    full_previous: BackupInfo = NO_BACKUP
    incremental_previous: BackupInfo = NO_BACKUP
    full_current: BackupInfo = NO_BACKUP
    flags: int = 0
    objid_last: int = 0
    os_major: int = 0
    os_minor: int = 0
    os_build: int = 0
    os_service_pack: int = 0
    repair_count: int = 0
    repair_time: LogTime = NEVER
    streaming_signature: Signature = NO_SIGNATURE
    scrub_dbtime: int = 0
    scrub_time: LogTime = NEVER
    generation_min_required: int = 0
    generation_max_required: int = 0
    upgrade_pages: bytes = bytes(12)
    snapshot_current: BackupInfo = NO_BACKUP
    create_version: int = FORMAT_VERSION
    create_update: int = FORMAT_UPDATE_EXCHANGE_2007
    generation_max_create_time: LogTime = NEVER
    full_previous_type: BackupType = BackupType.STREAMING
    incremental_previous_type: BackupType = BackupType.STREAMING
    repair_count_old: int = 0
    ecc_fix_success: EccCounter = NO_ERRORS
    ecc_fix_failure: EccCounter = NO_ERRORS
    bad_checksum: EccCounter = NO_ERRORS
    generation_max_committed: int = 0
    copy_previous: BackupInfo = NO_BACKUP
    differential_previous: BackupInfo = NO_BACKUP
    copy_previous_type: BackupType = BackupType.STREAMING
    differential_previous_type: BackupType = BackupType.STREAMING
    file_type: FileType = FileType.DATABASE
    tail: bytes = b""
    """Bytes from offset 476 on as read, the file type left out, without trailing zeros."""

    def pack(self) -> bytes:
        """Return the header page, sealed."""
        page = bytearray(self.page_size)
        struct.pack_into("<I", page, 4, MAGIC)
        page[_TAIL_OFFSET : _TAIL_OFFSET + len(self.tail)] = self.tail
        values = list(_PACKED_VALUES(self))
        for at, encode in _ENCODERS:
            values[at] = encode(values[at])
        _FIELDS.pack_into(page, _FIELDS_OFFSET, *values)
        struct.pack_into("<I", page, _FILE_TYPE_OFFSET, self.file_type)
        assert len(page) == self.page_size, f"{self.page_size - len(page)} bytes lost while packing a header"
        struct.pack_into("<I", page, 0, xor32(memoryview(page)[4:]))
        return bytes(page)

    @classmethod
    def unpack(cls, page: bytes | memoryview, *, path: str | None = None, offset: int = 0) -> DatabaseHeader:
        """Read one header page; ``path`` and ``offset`` only name it in errors.

        Raises:
            JetError: ``DatabaseCorrupted`` for a wrong magic number, page size or checksum; ``InvalidDatabaseVersion`` for
                another format version.
        """
        _check_header(page, path, offset)
        page_size = _PAGE_SIZE.unpack_from(page, _PAGE_SIZE_OFFSET)[0] or 4096
        return _decode_header(bytes(page[:page_size]))

    @property
    def is_clean(self) -> bool:
        """Whether the file needs no log to be used."""
        return self.state is DatabaseState.CLEAN_SHUTDOWN


@lru_cache(_HEADERS_KEPT)
def _decode_header(page: bytes) -> DatabaseHeader:
    """Read one header page that was checked."""
    values: list[Any] = [*_FIELDS.unpack_from(page, _FIELDS_OFFSET), *struct.unpack_from("<I", page, _FILE_TYPE_OFFSET)]
    for at, decode in _DECODERS:
        values[at] = decode(values[at])
    values[_PAGE_SIZE_AT] = values[_PAGE_SIZE_AT] or 4096
    tail = bytearray(page[_TAIL_OFFSET:])
    file_type_at = _FILE_TYPE_OFFSET - _TAIL_OFFSET
    tail[file_type_at : file_type_at + 4] = bytes(4)
    values.append(bytes(tail).rstrip(b"\0"))
    return DatabaseHeader(*_IN_ORDER_OF_CLASS(values))


_TAIL_OFFSET = 476
_PAGE_SIZE_OFFSET = 236
_FILE_TYPE_OFFSET = 667

_LAYOUT: tuple[tuple[str, int, Any], ...] = (
    ("version", 8, "<I"),  # ulVersion
    ("attributes", 12, "<I"),  # attrib: 0 database, 1 streaming file
    ("dbtime", 16, "<Q"),  # dbtimeDirtied
    ("signature", 24, Signature),  # signDb
    ("state", 52, DatabaseState),  # dbstate
    ("consistent_position", 56, LogPosition),
    ("consistent_time", 64, LogTime),
    ("attach_time", 72, LogTime),
    ("attach_position", 80, LogPosition),
    ("detach_time", 88, LogTime),
    ("detach_position", 96, LogPosition),
    ("dbid", 104, "<I"),
    ("log_signature", 108, Signature),  # signLog
    ("full_previous", 136, BackupInfo),  # bkinfoFullPrev
    ("incremental_previous", 160, BackupInfo),
    ("full_current", 184, BackupInfo),
    ("flags", 208, "<I"),
    ("objid_last", 212, "<I"),
    ("os_major", 216, "<I"),
    ("os_minor", 220, "<I"),
    ("os_build", 224, "<I"),
    ("os_service_pack", 228, "<I"),
    ("update", 232, "<I"),  # ulDaeUpdateMajor
    ("page_size", 236, "<I"),  # 0 means 4096
    ("repair_count", 240, "<I"),
    ("repair_time", 244, LogTime),
    ("streaming_signature", 252, Signature),  # signSLV
    ("scrub_dbtime", 280, "<Q"),
    ("scrub_time", 288, LogTime),
    ("generation_min_required", 296, "<I"),
    ("generation_max_required", 300, "<I"),
    ("upgrade_pages", 304, 12),
    ("snapshot_current", 316, BackupInfo),
    ("create_version", 340, "<I"),
    ("create_update", 344, "<I"),
    ("generation_max_create_time", 348, LogTime),
    ("full_previous_type", 356, BackupType),
    ("incremental_previous_type", 360, BackupType),
    ("repair_count_old", 364, "<I"),
    ("ecc_fix_success", 368, EccCounter),
    ("ecc_fix_failure", 384, EccCounter),
    ("bad_checksum", 400, EccCounter),
    ("generation_max_committed", 416, "<I"),
    ("copy_previous", 420, BackupInfo),
    ("differential_previous", 444, BackupInfo),
    ("copy_previous_type", 468, BackupType),
    ("differential_previous_type", 472, BackupType),
    ("file_type", _FILE_TYPE_OFFSET, FileType),  # unaligned
)
_FORMATS: dict[Any, str] = {
    "<I": "I",
    "<Q": "Q",
    LogPosition: "8s",
    LogTime: "8s",
    Signature: "28s",
    BackupInfo: "24s",
    EccCounter: "16s",
}


def _format_of(kind: Any) -> str:
    return f"{kind}s" if isinstance(kind, int) else _FORMATS.get(kind, "I")


def _encoder_of(kind: Any) -> Callable[[Any], bytes] | None:
    """How a value becomes what ``struct`` packs; None where it is a number or bytes."""
    return None if not isinstance(kind, type) or issubclass(kind, int) else getattr(kind, "pack")  # noqa: B009 - of any structure


def _decoder_of(kind: Any) -> Callable[[Any], Any] | None:
    """How what ``struct`` unpacks becomes a value; an enumeration keeps a number it does not know."""
    if not isinstance(kind, type):
        return None
    if issubclass(kind, IntEnum):
        known = {int(member): member for member in kind}
        return lambda number: known.get(number, number)
    return kind.unpack  # type: ignore[no-any-return,attr-defined] # every structure above has ``unpack``


_FIELDS_OFFSET = _LAYOUT[0][1]
_FIELDS = struct.Struct("<" + "".join(_format_of(kind) for _, offset, kind in _LAYOUT if offset < _TAIL_OFFSET))
"""The fields up to the tail, which lie without gaps; the file type lies inside the tail."""
_NAMES = tuple(name for name, _, _ in _LAYOUT)
_PAGE_SIZE_AT = _NAMES.index("page_size")
_PACKED_VALUES = attrgetter(*_NAMES[:-1])
_ENCODERS: tuple[tuple[int, Callable[[Any], bytes]], ...] = tuple(
    (at, code) for at, (_, _, kind) in enumerate(_LAYOUT) if (code := _encoder_of(kind)) is not None
)
_DECODERS: tuple[tuple[int, Callable[[Any], Any]], ...] = tuple(
    (at, code) for at, (_, _, kind) in enumerate(_LAYOUT) if (code := _decoder_of(kind)) is not None
)
_IN_ORDER_OF_CLASS = itemgetter(*((*_NAMES, "tail").index(field.name) for field in fields(DatabaseHeader)))

assert {*_NAMES, "tail"} == {field.name for field in fields(DatabaseHeader)}
assert _NAMES[-1] == "file_type"
assert _FIELDS_OFFSET + _FIELDS.size == _TAIL_OFFSET, f"fields of the header end at {_FIELDS_OFFSET + _FIELDS.size}"
assert all(
    _FIELDS_OFFSET + struct.calcsize("<" + "".join(_format_of(kind) for _, _, kind in _LAYOUT[:at])) == offset
    for at, (_, offset, _) in enumerate(_LAYOUT[:-1])
), "the fields of the header leave gaps"


def _check_header(page: bytes | memoryview, path: str | None, offset: int) -> None:
    if len(page) < 668:
        text = f"header of at least {min(PAGE_SIZES)} bytes expected, found {len(page)}"
        raise JetError(JetCode.DatabaseCorrupted, text, path=path, offset=offset)
    checksum, magic, version = struct.unpack_from("<III", page)
    page_size = _PAGE_SIZE.unpack_from(page, _PAGE_SIZE_OFFSET)[0] or 4096
    if magic != MAGIC:
        raise JetError(
            JetCode.DatabaseCorrupted, f"magic number expected {MAGIC:#x}, found {magic:#x}", path=path, offset=offset + 4
        )
    if page_size not in PAGE_SIZES:
        text = f"page size expected one of {', '.join(map(str, PAGE_SIZES))}, found {page_size}"
        raise JetError(JetCode.DatabaseCorrupted, text, path=path, offset=offset + 236)
    if len(page) < page_size:
        text = f"header of {page_size} bytes expected, found {len(page)}"
        raise JetError(JetCode.DatabaseCorrupted, text, path=path, offset=offset)
    found = xor32(memoryview(page)[4:page_size])
    if checksum != found:
        text = f"header checksum stored {checksum:#010x}, computed {found:#010x}"
        raise JetError(JetCode.DatabaseCorrupted, text, path=path, offset=offset)
    if version != FORMAT_VERSION:
        text = f"format version expected {FORMAT_VERSION:#x}, found {version:#x}"
        raise JetError(JetCode.InvalidDatabaseVersion, text, path=path, offset=offset + 8)


@dataclass(frozen=True, slots=True)
class HeaderPair:
    """What the two headers of a file say. ``header`` is the one to use: the primary unless that is damaged."""

    header: DatabaseHeader
    primary_error: JetError | None
    shadow_error: JetError | None

    @property
    def has_damage(self) -> bool:
        """Whether one of the copies cannot be used (events 456 and 472)."""
        return self.primary_error is not None or self.shadow_error is not None


HEADER_PROBE_SIZE = 2 * max(PAGE_SIZES)
"""Bytes from the start of a file that hold both headers, whatever its page size."""


def unpack_headers(data: bytes | memoryview, *, path: str | None = None) -> HeaderPair:
    """Read both headers from the first ``HEADER_PROBE_SIZE`` bytes of a file (fewer if it is shorter).

    The primary is used if its checksum holds, else the shadow, which is looked for behind every legal page size.

    Raises:
        JetError: the primary's error when neither copy can be used.
    """
    primary: DatabaseHeader | JetError = _try_unpack(data, 0, path)
    if isinstance(primary, DatabaseHeader):
        size = primary.page_size
        if data[size : 2 * size] == data[:size]:
            return HeaderPair(primary, None, None)  # the same bytes have the same verdict
        shadow = _try_unpack(data, size, path)
        return HeaderPair(primary, None, shadow if isinstance(shadow, JetError) else None)
    for page_size in _likely_page_sizes(data):
        shadow = _try_unpack(data, page_size, path)
        if isinstance(shadow, DatabaseHeader) and shadow.page_size == page_size:
            return HeaderPair(shadow, primary, None)
    raise primary


def _likely_page_sizes(data: bytes | memoryview) -> Sequence[int]:
    return [size for size in PAGE_SIZES if len(data) >= 2 * size]


def _try_unpack(data: bytes | memoryview, offset: int, path: str | None) -> DatabaseHeader | JetError:
    try:
        return DatabaseHeader.unpack(memoryview(data)[offset:], path=path, offset=offset)
    except JetError as error:
        return error
