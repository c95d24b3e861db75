"""Reading log files: which generations a directory holds, one file with its verdict, and its records in order.

A closed generation must be whole and end with an End record. The current one may end anywhere; a torn tail is cut at the last
complete record. Nothing is written here.

Sources: published engine, log.cxx (names, order at roll-over), logread_legacy.cxx.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import SECTOR_SIZE, FileSystem, base_name, join_path, read_whole
from vss_writers.ese.header_values import LogPosition
from vss_writers.ese.log_checksum import CHECKSUM_SIZE, LogScan, LogState, scan
from vss_writers.ese.log_file import (
    LOG_HEADER_SIZE,
    LogHeader,
    current_log_name,
    temporary_log_name,
)
from vss_writers.ese.log_profile import LogProfile, generation_of, profile_of
from vss_writers.ese.log_record_reader import READERS, cut_off
from vss_writers.ese.log_record_type import RecordType
from vss_writers.ese.log_records import End, LogRecord
from vss_writers.ese.sites import AtSite, just_do


@dataclass(frozen=True, slots=True)
class LoadedLog:
    """One log file in memory.

    Attributes:
        path: where it was read.
        header: its header.
        scan: how far it can be believed.
        data_end: offset behind the last complete record.
        is_closed: whether an End record closes the generation.
        contents: its records, padding and checksums left out.
        offsets: where in the file each of them begins; apart from them, so that no object is made for each.
    """

    path: str
    header: LogHeader
    scan: LogScan
    data_end: int
    is_closed: bool
    contents: list[LogRecord]
    offsets: list[int]

    @property
    def records(self) -> list[tuple[LogPosition, LogRecord]]:
        """The records with their positions."""
        generation = self.header.generation
        return [(position_at(generation, offset), record) for offset, record in zip(self.offsets, self.contents, strict=True)]

    @property
    def end_position(self) -> LogPosition:
        """Position behind the last complete record."""
        return position_at(self.header.generation, self.data_end)


@dataclass(frozen=True, slots=True)
class LogDirectory:
    """The log files of one base name.

    Attributes:
        archived: path of each closed generation.
        current: path of the current log, or None.
        temporary: path of the prepared next log, or None.
    """

    directory: str
    base: str
    archived: dict[int, str]
    current: str | None
    temporary: str | None

    @property
    def lowest(self) -> int | None:
        """Lowest closed generation."""
        return min(self.archived, default=None)

    @property
    def highest(self) -> int | None:
        """Highest closed generation."""
        return max(self.archived, default=None)

    def closed_path(self, generation: int) -> str:
        """Path of a closed generation, or the one it would have beside the others that are there."""
        if generation in self.archived:
            return self.archived[generation]
        profile = profile_of(self.base, map(base_name, self.archived.values())) or LogProfile.EXCHANGE_2007
        return join_path(self.directory, profile.archived_name(self.base, generation))

    @property
    def is_empty(self) -> bool:
        """Whether there is no log at all."""
        return not self.archived and self.current is None


def position_at(generation: int, offset: int) -> LogPosition:
    """Log position of a byte of a log file."""
    return LogPosition(generation, offset // SECTOR_SIZE, offset % SECTOR_SIZE)


def offset_of(position: LogPosition) -> int:
    """Byte of a log file that a position means."""
    return position.sector * SECTOR_SIZE + position.byte


async def list_logs(files: FileSystem, directory: str, base: str) -> LogDirectory:
    """Return the log files of ``base`` in a directory; a missing directory holds none."""
    names = await files.list_directory(directory) if await files.exists(directory) else []
    archived: dict[int, str] = {}
    for name in names:
        generation = generation_of(base, name)
        if generation is not None:
            archived[generation] = join_path(directory, name)
    known = {name.casefold(): name for name in names}
    current = known.get(current_log_name(base).casefold())
    temporary = known.get(temporary_log_name(base).casefold())
    return LogDirectory(
        directory,
        base,
        dict(sorted(archived.items())),
        None if current is None else join_path(directory, current),
        None if temporary is None else join_path(directory, temporary),
    )


async def read_log_header(files: FileSystem, path: str) -> LogHeader:
    """Read only the header of a log.

    Raises:
        JetError: ``LogFileCorrupt``, ``BadLogVersion``, ``LogSectorSizeMismatch``.
    """
    file = await files.open(path)
    try:
        return LogHeader.unpack(await file.pread(0, LOG_HEADER_SIZE), path=path)
    finally:
        await file.close()


async def load_log(files: FileSystem, path: str, *, may_be_torn: bool, at_site: AtSite = just_do) -> LoadedLog:
    """Read and judge a log file.

    Args:
        files: where it lies.
        path: the file.
        may_be_torn: whether a torn tail is cut off (the newest log) or refused (every other).
        at_site: what stands at the sites ``log.open`` and ``log.read``.

    Raises:
        JetError: ``LogFileCorrupt`` with the offset of the first bad sector; see also ``read_log_header``.
    """
    if at_site is just_do:
        return judge_log(await read_whole(files, path), path, may_be_torn=may_be_torn)
    name = base_name(path)
    selectors = {"file": path, "gen": str(generation_of(name[:3], name) or 0)}
    file = await at_site("log.open", partial(files.open, path), **selectors)
    try:
        data = await at_site("log.read", partial(file.pread, 0, file.size_bytes), **selectors)
    finally:
        await file.close()
    return judge_log(data, path, may_be_torn=may_be_torn)


def judge_log(data: bytes, path: str, *, may_be_torn: bool) -> LoadedLog:
    """Judge a log file given as bytes; see ``load_log``."""
    header = LogHeader.unpack(data, path=path)
    if len(data) != header.file_size_bytes:
        detail = f"expected {header.file_size_bytes} bytes, found {len(data)}"
        raise JetError(JetCode.LogFileCorrupt, detail, path=path)
    verdict = scan(data, header.generation)
    if verdict.state is LogState.DAMAGED or (verdict.state is LogState.TORN and not may_be_torn):
        detail = f"records are {verdict.state.value}, good up to {position_at(header.generation, verdict.valid_end)}"
        raise JetError(JetCode.LogFileCorrupt, detail, path=path, offset=verdict.bad_offset)
    contents, offsets, data_end = _read(verdict, path)
    is_closed = bool(contents) and isinstance(contents[-1], End)
    if verdict.state is LogState.WHOLE:
        data_end = verdict.valid_end
    elif verdict.last_checksum:
        data_end = max(data_end, verdict.last_checksum + CHECKSUM_SIZE)
    return LoadedLog(path, header, verdict, data_end, is_closed, contents, offsets)


def _read(verdict: LogScan, path: str) -> tuple[list[LogRecord], list[int], int]:
    """Return every record, their offsets, and the end of the last; stop at one that a torn tail cuts off."""
    contents: list[LogRecord] = []
    offsets: list[int] = []
    data_end = LOG_HEADER_SIZE
    last_kind = _NOP
    data, offset, valid_end = verdict.data, LOG_HEADER_SIZE, verdict.valid_end
    while offset < valid_end:
        kind = data[offset]
        if kind == _CHECKSUM:
            offset += CHECKSUM_SIZE
            continue
        if kind == _NOP:
            offset += 1
            continue
        try:
            try:
                record, end = READERS[kind](data, offset)
            except (struct.error, ValueError) as error:
                raise cut_off(data, offset) from error
            if end > valid_end and kind != _NOP2:
                raise JetError(JetCode.LogFileCorrupt, "last record runs over the end of the data", offset=offset)
        except JetError as error:
            if verdict.state is LogState.TORN:
                break
            raise JetError(error.code, error.detail, path=path, offset=error.offset) from error
        if kind != _NOP2:
            if last_kind == _END:
                raise JetError(JetCode.LogFileCorrupt, "records follow the end of the generation", path=path, offset=offset)
            contents.append(record)
            offsets.append(offset)
            data_end, last_kind = end, kind
        offset = end
    return contents, offsets, data_end


# Plain integers: every record of a log is compared with them.
_CHECKSUM, _END, _NOP, _NOP2 = (int(kind) for kind in (RecordType.CHECKSUM, RecordType.END, RecordType.NOP, RecordType.NOP2))


async def remove_log(files: FileSystem, path: str, generation: int, at_site: AtSite) -> None:
    """Remove a closed log, at the site ``log.delete``."""
    await at_site("log.delete", partial(files.remove, path), file=path, gen=str(generation))
