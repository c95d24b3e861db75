"""The parts of a log file that are not records: its name, its 4096-byte header, the environment block and attachment list.

``LogHeader`` is frozen and written once, when its generation begins. ``EngineParameters`` (DBMS_PARAM) and the attachment
list are shared with the checkpoint file. A log belongs to its stream by ``signature`` and to its place in it by generation
and by ``previous_created``, the creation time of the generation before.

Sources: published engine, log.hxx (LGFILEHDR), daedef.hxx (DBMS_PARAM, ATTACHINFO), log.cxx (names).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

from vss_writers.ese.checksum import xor32
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import SECTOR_SIZE
from vss_writers.ese.header_values import NEVER, NOWHERE, LogPosition, LogTime, Signature
from vss_writers.ese.layout import FileType

LOG_HEADER_SIZE = 4096
HEADER_SECTORS = LOG_HEADER_SIZE // SECTOR_SIZE
LOG_VERSION_MAJOR = 7
LOG_VERSION_MINOR = 3704
LOG_VERSION_UPDATE = 12
"""Format 7.3704.12, of the Exchange 2007 line (the exact update number of its releases is not published)."""

ATTACHMENTS_SIZE = 2048
PARAMETERS_SIZE = 567
_PATH_SIZE = 261
_HEADER = struct.Struct("<IiHHHH8s8sIII28s")
_ATTACHMENTS_OFFSET = 671
_FLAGS_OFFSET = 639
_CHECKPOINT_OFFSET = 640
_FILE_TYPE_OFFSET = 667
_ENTRY = struct.Struct("<BBHQII8s8s28s")
ATTACH_UNICODE = 0x20


class LogFlag(IntFlag):
    """Flags of a log header."""

    NONE = 0
    RESERVED = 1  # made from a reserve log
    CIRCULAR = 2
    CIRCULAR_HISTORY = 4


def current_log_name(base: str) -> str:
    """Name of the generation being written."""
    return f"{base}.log"


def temporary_log_name(base: str) -> str:
    """Name of the next generation while it is being prepared."""
    return f"{base}tmp.log"


def checkpoint_name(base: str) -> str:
    """Name of the checkpoint file."""
    return f"{base}.chk"


@dataclass(frozen=True, slots=True)
class EngineParameters:
    """DBMS_PARAM: the settings an instance ran with, as logs and checkpoint remember them."""

    system_path: str = ""
    log_path: str = ""
    is_circular: bool = False
    sessions: int = 20
    open_tables: int = 300
    version_pages: int = 64
    cursors: int = 2000
    log_buffer_sectors: int = 1024
    log_file_sectors: int = 2048
    cache_buffers: int = 512

    def pack(self) -> bytes:
        """Return the 567 bytes of the format; paths longer than 260 bytes are cut."""
        return struct.pack(
            f"<{_PATH_SIZE}s{_PATH_SIZE}sB7I16x",
            _path_bytes(self.system_path),
            _path_bytes(self.log_path),
            int(self.is_circular),
            self.sessions,
            self.open_tables,
            self.version_pages,
            self.cursors,
            self.log_buffer_sectors,
            self.log_file_sectors,
            self.cache_buffers,
        )

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> EngineParameters:
        """Read the 567 bytes of the format."""
        system, log, flags, *numbers = struct.unpack(f"<{_PATH_SIZE}s{_PATH_SIZE}sB7I16x", data)
        return cls(_path_text(system), _path_text(log), bool(flags & 1), *numbers)


DEFAULT_PARAMETERS = EngineParameters()


@dataclass(frozen=True, slots=True)
class Attachment:
    """One entry of the attachment list: a database that was attached when the file was written."""

    dbid: int
    path: str
    signature: Signature
    dbtime: int = 0
    objid_last: int = 0
    size_limit_pages: int = 0
    attach_position: LogPosition = NOWHERE
    consistent_position: LogPosition = NOWHERE

    def pack(self) -> bytes:
        """Return the entry with its path."""
        path = encode_path(self.path)
        entry = _ENTRY.pack(
            self.dbid,
            ATTACH_UNICODE,
            len(path),
            self.dbtime,
            self.objid_last,
            self.size_limit_pages,
            self.attach_position.pack(),
            self.consistent_position.pack(),
            self.signature.pack(),
        )
        return entry + path


def encode_path(path: str) -> bytes:
    """A path as records and attachment lists carry it: UTF-16, NUL terminated."""
    return (path + "\0").encode("utf-16-le")


def decode_path(data: bytes, *, is_unicode: bool) -> str:
    """Read a NUL-terminated path."""
    text = data.decode("utf-16-le" if is_unicode else "latin-1", "replace")
    return text.split("\0", 1)[0]


def pack_attachments(attachments: list[Attachment] | tuple[Attachment, ...]) -> bytes:
    """Return the 2048-byte attachment list.

    Raises:
        JetError: ``InvalidParameter`` where the entries do not fit.
    """
    data = b"".join(attachment.pack() for attachment in attachments)
    if len(data) >= ATTACHMENTS_SIZE:
        raise JetError(JetCode.InvalidParameter, f"attachment list needs {len(data)} bytes of {ATTACHMENTS_SIZE - 1}")
    return data.ljust(ATTACHMENTS_SIZE, b"\0")


def unpack_attachments(data: bytes) -> tuple[Attachment, ...]:
    """Read an attachment list; ``ValueError`` where an entry runs over its end."""
    found: list[Attachment] = []
    offset = 0
    while offset < len(data) and data[offset] != 0:
        if offset + _ENTRY.size > len(data):
            raise ValueError(f"attachment entry at byte {offset} runs over the list")
        dbid, flags, size, dbtime, objid, limit, attach, consistent, signature = _ENTRY.unpack_from(data, offset)
        offset += _ENTRY.size
        if offset + size > len(data):
            raise ValueError(f"attachment path at byte {offset} runs over the list")
        path = decode_path(data[offset : offset + size], is_unicode=bool(flags & ATTACH_UNICODE))
        offset += size
        found.append(
            Attachment(
                dbid,
                path,
                Signature.unpack(signature),
                dbtime,
                objid,
                limit,
                LogPosition.unpack(attach),
                LogPosition.unpack(consistent),
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LogHeader:
    """LGFILEHDR: what one generation says of itself."""

    generation: int
    signature: Signature
    created: LogTime
    previous_created: LogTime = NEVER
    file_sectors: int = 2048
    page_size: int = 8192
    parameters: EngineParameters = DEFAULT_PARAMETERS
    flags: LogFlag = LogFlag.NONE
    checkpoint: LogPosition = NOWHERE
    attachments: tuple[Attachment, ...] = ()
    sector_size: int = SECTOR_SIZE
    header_sectors: int = HEADER_SECTORS
    version_major: int = LOG_VERSION_MAJOR
    version_minor: int = LOG_VERSION_MINOR
    version_update: int = LOG_VERSION_UPDATE

    @property
    def file_size_bytes(self) -> int:
        """Length of the file."""
        return self.file_sectors * self.sector_size

    def pack(self) -> bytes:
        """Return the 4096 bytes of the header, sealed."""
        page = bytearray(LOG_HEADER_SIZE)
        _HEADER.pack_into(
            page,
            0,
            0,
            self.generation,
            self.sector_size,
            self.header_sectors,
            self.file_sectors,
            self.page_size,
            self.created.pack(),
            self.previous_created.pack(),
            self.version_major,
            self.version_minor,
            self.version_update,
            self.signature.pack(),
        )
        page[_HEADER.size : _HEADER.size + PARAMETERS_SIZE] = self.parameters.pack()
        page[_FLAGS_OFFSET] = self.flags
        page[_CHECKPOINT_OFFSET : _CHECKPOINT_OFFSET + 8] = self.checkpoint.pack()
        struct.pack_into("<I", page, _FILE_TYPE_OFFSET, FileType.LOG)
        page[_ATTACHMENTS_OFFSET : _ATTACHMENTS_OFFSET + ATTACHMENTS_SIZE] = pack_attachments(self.attachments)
        assert len(page) == LOG_HEADER_SIZE, "a field of the log header has the wrong size"
        struct.pack_into("<I", page, 0, xor32(memoryview(page)[4:]))
        return bytes(page)

    @classmethod
    def unpack(cls, page: bytes, *, path: str | None = None) -> LogHeader:
        """Read a log header; ``path`` only names it in errors.

        Raises:
            JetError: ``LogFileCorrupt`` for a short page, a wrong checksum or an impossible field; ``BadLogVersion`` for
                another format.
        """
        if len(page) < LOG_HEADER_SIZE:
            detail = f"log header of {LOG_HEADER_SIZE} bytes expected, found {len(page)}"
            raise JetError(JetCode.LogFileCorrupt, detail, path=path)
        page = page[:LOG_HEADER_SIZE]
        stored = struct.unpack_from("<I", page)[0]
        computed = xor32(memoryview(page)[4:])
        if stored != computed:
            detail = f"checksum of the header: expected {computed:#010x}, found {stored:#010x}"
            raise JetError(JetCode.LogFileCorrupt, detail, path=path, offset=0)
        _, generation, sector, headers, sectors, page_size, created, previous, major, minor, update, signature = (
            _HEADER.unpack_from(page)
        )
        if (major, minor) != (LOG_VERSION_MAJOR, LOG_VERSION_MINOR):
            expected = f"{LOG_VERSION_MAJOR}.{LOG_VERSION_MINOR}"
            raise JetError(JetCode.BadLogVersion, f"expected {expected}, found {major}.{minor}.{update}", path=path)
        if sector != SECTOR_SIZE:
            raise JetError(JetCode.LogSectorSizeMismatch, f"expected {SECTOR_SIZE} bytes, found {sector}", path=path)
        try:
            attachments = unpack_attachments(page[_ATTACHMENTS_OFFSET : _ATTACHMENTS_OFFSET + ATTACHMENTS_SIZE])
        except ValueError as error:
            raise JetError(JetCode.LogFileCorrupt, str(error), path=path, offset=_ATTACHMENTS_OFFSET) from error
        return cls(
            generation=generation,
            signature=Signature.unpack(signature),
            created=LogTime.unpack(created),
            previous_created=LogTime.unpack(previous),
            file_sectors=sectors,
            page_size=page_size,
            parameters=EngineParameters.unpack(page[_HEADER.size : _HEADER.size + PARAMETERS_SIZE]),
            flags=LogFlag(page[_FLAGS_OFFSET]),
            checkpoint=LogPosition.unpack(page[_CHECKPOINT_OFFSET : _CHECKPOINT_OFFSET + 8]),
            attachments=attachments,
            sector_size=sector,
            header_sectors=headers,
            version_major=major,
            version_minor=minor,
            version_update=update,
        )


assert _HEADER.size == 72, f"start of the log header has {_HEADER.size} bytes, not 72"
assert _HEADER.size + PARAMETERS_SIZE == _FLAGS_OFFSET, "environment block does not end where the flags begin"


def _path_bytes(path: str) -> bytes:
    return path.encode("latin-1", "replace")[: _PATH_SIZE - 1]


def _path_text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("latin-1")
