"""The log stream: records appended in memory, flushed with checksums, rolled over into numbered generations.

Invariants:
- a position, once returned by ``append``, never changes; positions increase;
- ``flush`` returns after everything appended before the call is durable; several callers share one write;
- the sector that holds the last LRCHECKSUM is rewritten in place with all its earlier bytes unchanged, so no torn write
  loses an acknowledged record; its shadow stands behind it;
- the order of a roll-over: next log prepared and synced · End record flushed · header of the next log written and synced ·
  current log renamed to its archive name · next log renamed to the current name · headers of the databases (the owner's
  callback) · the log after that prepared.

Sources: published engine, log.cxx, logstream.cxx (roll-over, reserve logs), logread_legacy.cxx (layout of a flush).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeVar

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import SECTOR_SIZE, File, FileSystem, join_path
from vss_writers.ese.header_values import LogPosition
from vss_writers.ese.latch import Latch
from vss_writers.ese.log_checksum import CHECKSUM_SIZE, FILL_SECTOR, LogState, pack_checksum, shadow_of
from vss_writers.ese.log_file import (
    LOG_HEADER_SIZE,
    LogFlag,
    LogHeader,
    current_log_name,
    temporary_log_name,
)
from vss_writers.ese.log_preparation import (
    RESERVE_LOGS,
    StreamOwner,
    StreamParameters,
    fill_log,
    next_header,
    remove_left_overs,
    repaired_name,
    write_header,
)
from vss_writers.ese.log_reader import LoadedLog, position_at
from vss_writers.ese.log_records import End, FlushCheck
from vss_writers.ese.shielding import uninterrupted
from vss_writers.ese.sites import Work

T = TypeVar("T")

_CLOSING_ROOM = 1 + 2 * (FlushCheck.LAYOUT.size + 2 * CHECKSUM_SIZE) + 3 * SECTOR_SIZE
"""Kept free in every log: an End record, two LRCHECKSUMs with what stands before them, the last sector's rest and shadow."""

LOG_FILE_SIZE_MIN = LOG_HEADER_SIZE + 8 * SECTOR_SIZE
LOG_FILE_SIZE_MAX = 0xFFFF * SECTOR_SIZE


class LogStream:
    """The stream of one instance. Make one with ``create_stream`` or ``open_stream``."""

    def __init__(
        self, files: FileSystem, parameters: StreamParameters, owner: StreamOwner, header: LogHeader, file: File
    ) -> None:
        self._files = files
        self._parameters = parameters
        self._owner = owner
        self._header = header
        self._file = file
        self._lock = Latch()
        self._error: JetError | None = None
        self._is_rolling = False
        self._is_reserve_next = False
        self._start_buffer(LOG_HEADER_SIZE, bytearray(CHECKSUM_SIZE), LOG_HEADER_SIZE)
        self._flushed = self.position
        self.flush_count = 0

    def _start_buffer(self, base: int, buffer: bytearray, checksum_at: int) -> None:
        """``buffer`` holds the file from the sector start ``base`` to the end; the last LRCHECKSUM is at ``checksum_at``."""
        self._base = base
        self._buffer = buffer
        self._checksum_at = checksum_at

    def hand_over(self, owner: StreamOwner) -> None:
        """Give the stream another owner: recovery hands it to the instance."""
        self._owner = owner

    @property
    def header(self) -> LogHeader:
        """Header of the current generation."""
        return self._header

    @property
    def generation(self) -> int:
        """The current generation."""
        return self._header.generation

    @property
    def position(self) -> LogPosition:
        """Where the next record will stand, unless it needs a new generation or a checksum comes first."""
        return position_at(self.generation, self._base + len(self._buffer))

    @property
    def flushed_position(self) -> LogPosition:
        """Everything before this is durable."""
        return self._flushed

    @property
    def error(self) -> JetError | None:
        """What stopped the stream, or None."""
        return self._error

    def resume(self, log: LoadedLog) -> None:
        """Continue behind the last complete record of ``log``, which this stream's file holds."""
        base = log.scan.last_checksum // SECTOR_SIZE * SECTOR_SIZE
        self._start_buffer(base, bytearray(log.scan.data[base : log.data_end]), log.scan.last_checksum)

    def mark_flushed(self) -> None:
        """Take everything in the buffer as durable: it was read from the file."""
        self._flushed = self.position

    async def append(self, record: bytes) -> LogPosition:
        """Add a packed record, in a new generation where it does not fit; return its position. It is not durable yet.

        Raises:
            JetError: ``LogBufferTooSmall`` for a record no generation can hold; what stopped the stream.
        """
        if LOG_HEADER_SIZE + CHECKSUM_SIZE + len(record) + _CLOSING_ROOM > self._header.file_size_bytes:
            detail = f"record of {len(record)} bytes in a log of {self._header.file_size_bytes}"
            raise JetError(JetCode.LogBufferTooSmall, detail, path=self._file.path)
        while self._is_rolling or self._base + len(self._buffer) + len(record) + _CLOSING_ROOM > self._header.file_size_bytes:
            await self.roll_over()
        self._check_running()
        position = self.position
        self._buffer += record
        return position

    async def flush(self, through: LogPosition | None = None) -> None:
        """Make the record at ``through`` (default: everything appended so far) and all before it durable.

        Raises:
            JetError: ``LogWriteFail`` or ``LogDiskFull``; the stream is down afterwards.
        """
        end = self.position
        if not self._is_durable(end, through):
            await uninterrupted(self._flush(end, through))

    async def _flush(self, end: LogPosition, through: LogPosition | None) -> None:
        async with self._lock:
            if not self._is_durable(end, through):
                await self._write_out()

    def _is_durable(self, end: LogPosition, through: LogPosition | None) -> bool:
        return self._flushed >= end if through is None else self._flushed > through

    async def roll_over(self) -> None:
        """Close the current generation and begin the next; where that is going on already, wait for it.

        Raises:
            JetError: ``LogSequenceEnd``; ``LogDiskFull`` when not even a reserve log is left; ``LogWriteFail``.
        """
        await uninterrupted(self._roll_over(self.generation))

    async def _roll_over(self, generation: int) -> None:
        async with self._lock:
            self._check_running()
            if self.generation != generation:
                return
            self._is_rolling = True
            try:
                header = await self._guard(self._next_generation())
                await self._owner.on_new_generation(header)
                await self._guard(self._prepare_ahead())
            finally:
                self._is_rolling = False

    def give_up(self, error: JetError) -> None:
        """Stop the stream: whoever waits for a flush or a roll-over gets ``error``, unless it failed before."""
        if self._error is None:
            self._error = error
        self._lock.give_up(self._error)

    async def close(self) -> None:
        """Release the file; nothing is written."""
        await self._file.close()

    def _check_running(self) -> None:
        if self._error is not None:
            raise self._error

    async def _guard(self, work: Awaitable[T]) -> T:
        """Await ``work``; any failure stops the stream for good, because nobody knows what reached the disk."""
        try:
            return await work
        except asyncio.CancelledError:  # of the disk itself: whoever waits for the log is not let in here
            self._halt(JetError(JetCode.LogWriteFail, "the write was cancelled", path=self._file.path))
            raise
        except JetError as error:
            raise self._halt(error) from error.__cause__
        except Exception as error:
            code = JetCode.LogDiskFull if self._owner.is_out_of_space(error) else JetCode.LogWriteFail
            raise self._halt(JetError(code, str(error), path=self._file.path)) from error

    def _halt(self, error: JetError) -> JetError:
        if self._error is None:  # whoever was given up has nothing to tell any more
            self._error = error
            self._owner.on_halt(error)
        return error

    async def _write_out(self) -> None:
        self._check_running()
        if self._flushed < self.position:
            offset, data = self.seal_tail()
            flushed = self.position
            await self._guard(self._write(offset, data))
            self._flushed = flushed
            self.flush_count += 1

    async def _write(self, offset: int, data: bytes) -> None:
        await self._at_site("log.write", partial(self._write_now, offset, data))

    async def _write_now(self, offset: int, data: bytes) -> None:
        await self._file.pwrite(offset, data)
        await self._file.sync()

    async def _at_site(self, site: str, work: Work) -> Any:
        return await self._owner.at_site(site, work, file=self._file.path, gen=str(self.generation))

    def seal_tail(self) -> tuple[int, bytes]:
        """Return offset and bytes to write for everything since the last LRCHECKSUM's sector, shadow included.

        Data beyond that sector gets an LRCHECKSUM of its own at its end, which moves the position.
        """
        generation = self.generation
        at = self._checksum_at - self._base
        if len(self._buffer) <= SECTOR_SIZE:
            sector = _padded(self._buffer)
            pack_checksum(sector, at, len(self._buffer) - at - CHECKSUM_SIZE, 0, generation)
            return self._base, bytes(sector) + shadow_of(sector, at)
        room = SECTOR_SIZE - (len(self._buffer) + FlushCheck.LAYOUT.size) % SECTOR_SIZE
        if room < CHECKSUM_SIZE:
            self._buffer += bytes(room)  # NOP records
        self._buffer += FlushCheck(zlib.crc32(memoryview(self._buffer)[at + CHECKSUM_SIZE :])).pack()
        new_at = len(self._buffer)
        self._buffer += bytes(CHECKSUM_SIZE)
        last_sector = new_at - new_at % SECTOR_SIZE
        data = _padded(self._buffer)
        pack_checksum(data, new_at, 0, 0, generation)
        pack_checksum(data, at, last_sector - at - CHECKSUM_SIZE, new_at - at - CHECKSUM_SIZE, generation)
        offset = self._base
        self._start_buffer(offset + last_sector, self._buffer[last_sector:], offset + new_at)
        return offset, bytes(data) + shadow_of(data[last_sector:], new_at - last_sector)

    async def _next_generation(self) -> LogHeader:
        if self.generation + 1 >= self._parameters.profile.generation_max:
            raise JetError(JetCode.LogSequenceEnd, f"generation {self.generation:#x}", path=self._file.path)
        await self._prepare_temporary()
        self._buffer += End().pack()
        await self._write_out()
        await self._file.close()
        header = next_header(self._parameters, self._header, self._owner, self._flags())
        directory, base = self._parameters.directory, self._parameters.base
        temporary = join_path(directory, temporary_log_name(base))
        current = join_path(directory, current_log_name(base))
        await write_header(self._files, temporary, header)
        archived = join_path(directory, self._parameters.profile.archived_name(base, self.generation))
        await self._at_site("log.rotate", partial(self._rename_both, current, archived, temporary))
        self._header = header
        self._file = await self._at_site("log.open", partial(self._files.open, current, write=True))
        self._start_buffer(LOG_HEADER_SIZE, bytearray(CHECKSUM_SIZE), LOG_HEADER_SIZE)
        self._flushed = self.position
        return header

    async def _rename_both(self, current: str, archived: str, temporary: str) -> None:
        await self._files.rename(current, archived)
        await self._files.rename(temporary, current)

    def _flags(self) -> LogFlag:
        flags = LogFlag.CIRCULAR if self._parameters.is_circular else LogFlag.NONE
        if self._header.flags & (LogFlag.CIRCULAR | LogFlag.CIRCULAR_HISTORY) and not self._parameters.is_circular:
            flags |= LogFlag.CIRCULAR_HISTORY
        if self._is_reserve_next:
            self._is_reserve_next = False
            flags |= LogFlag.RESERVED
        return flags

    async def _prepare_temporary(self) -> None:
        """Have the next log ready: filled with the pattern and durable. A full disk is met with a reserve log."""
        temporary = join_path(self._parameters.directory, temporary_log_name(self._parameters.base))
        if await self._files.exists(temporary):
            return
        try:
            await fill_log(self._files, temporary, self._header.file_size_bytes)
        except Exception as error:
            if not self._owner.is_out_of_space(error):
                raise
            await self._take_reserve(temporary, error)

    async def _prepare_ahead(self) -> None:
        """Have the next log ready early. Where there is no room the generation that has just begun can still be written."""
        try:
            await self._prepare_temporary()
        except Exception as error:
            if not self._owner.is_out_of_space(error):
                raise

    async def _take_reserve(self, temporary: str, error: Exception) -> None:
        if await self._files.exists(temporary):
            await self._files.remove(temporary)
        for number in range(1, RESERVE_LOGS + 1):
            reserve = join_path(
                self._parameters.directory, self._parameters.profile.reserve_name(self._parameters.base, number)
            )
            if await self._files.exists(reserve):
                await self._files.rename(reserve, temporary)
                self._is_reserve_next = True
                self._owner.on_low_space(reserve)
                return
        raise error


def _padded(data: bytearray) -> bytearray:
    """Copy ``data`` and fill it up to a whole number of sectors with the pattern."""
    used = len(data) % SECTOR_SIZE
    return data + FILL_SECTOR[used:] if used else bytearray(data)


async def begin_generation(
    files: FileSystem,
    parameters: StreamParameters,
    owner: StreamOwner,
    previous: LogHeader | None,
    generation: int | None = None,
) -> LogStream:
    """Begin a stream (``previous`` None), or go on behind a closed generation where there is no current log.

    A log prepared under the temporary name is made anew: it may be half written.
    """
    directory, base = parameters.directory, parameters.base
    temporary = join_path(directory, temporary_log_name(base))
    current = join_path(directory, current_log_name(base))
    await remove_left_overs(files, parameters)
    await fill_log(files, temporary, parameters.file_size)
    flags = LogFlag.CIRCULAR if parameters.is_circular else LogFlag.NONE
    header = next_header(parameters, previous, owner, flags, generation)
    await write_header(files, temporary, header)
    await files.rename(temporary, current)
    return LogStream(files, parameters, owner, header, await files.open(current, write=True))


async def open_stream(files: FileSystem, parameters: StreamParameters, owner: StreamOwner, log: LoadedLog) -> LogStream:
    """Go on at the end of the current log; a torn tail is cut off first, by writing the log anew and renaming it."""
    await mend_tail(files, parameters, owner, log)
    opening = partial(files.open, log.path, write=True)
    file = await owner.at_site("log.open", opening, file=log.path, gen=str(log.header.generation))
    stream = LogStream(files, parameters, owner, log.header, file)
    if log.scan.last_checksum:
        stream.resume(log)
        if not log.scan.is_tail_clean or log.scan.state is not LogState.WHOLE:
            stream.seal_tail()  # as the repaired file was written
        stream.mark_flushed()
    return stream


async def mend_tail(files: FileSystem, parameters: StreamParameters, owner: StreamOwner, log: LoadedLog) -> None:
    """Cut a torn tail off the newest log, whatever name it is to bear: only the newest may have one."""
    await remove_left_overs(files, parameters)
    if not log.scan.is_tail_clean or log.scan.state is not LogState.WHOLE:
        await _write_repaired(files, parameters, owner, log)


async def _write_repaired(files: FileSystem, parameters: StreamParameters, owner: StreamOwner, log: LoadedLog) -> None:
    repaired = join_path(parameters.directory, repaired_name(parameters))
    await fill_log(files, repaired, log.header.file_size_bytes)
    file = await files.open(repaired, write=True)
    try:
        stream = LogStream(files, parameters, owner, log.header, file)
        head_end = LOG_HEADER_SIZE
        if log.scan.last_checksum:
            stream.resume(log)
            head_end, tail = stream.seal_tail()
            await file.pwrite(head_end, tail)
        await file.pwrite(0, log.scan.data[:head_end])
        await file.sync()
    finally:
        await file.close()
    await files.rename(repaired, log.path)
