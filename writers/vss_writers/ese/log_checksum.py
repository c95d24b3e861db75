"""Checksums of a log's records: LRCHECKSUM, and what a log file holds up to where.

The records of a generation are one stream of bytes behind the header. In it stand LRCHECKSUM records, each covering a range:
from the start of its own sector to the end of a whole number of sectors (``SHORT_ON``), or, for the last one, to the end of
the data inside its own sector (``SHORT_OFF``). That last sector is written a second time behind itself, as its *shadow*.
Space never written holds a fill pattern.

XOR sums cannot see two lost sectors with equal content. Where a range is followed by another one, the stream therefore puts a
CRC-32 of the range's data into a NOP2 record right before the next LRCHECKSUM; a range that has it must match it as well.

``scan`` judges a log. Sectors are atomic, so after power loss a sector holds what was written last or what stood there before:
the pattern or an old shadow. A bad range that contains such a sector, with nothing but pattern behind the range, is a **torn**
write, and the log ends before it. Anything else that does not match is **damage**: acknowledged records may be behind it.

Sources: published engine, logread_legacy.cxx (FValidLRCKRecord, UlComputeChecksum, torn-write rules), logapi.hxx.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import Enum

from vss_writers.ese.checksum import xor_dwords
from vss_writers.ese.files import SECTOR_SIZE
from vss_writers.ese.log_file import LOG_HEADER_SIZE
from vss_writers.ese.log_record_type import RecordType
from vss_writers.ese.log_records import FlushCheck

CHECKSUM_SIZE = 22
SHORT_ON = 0x9A
SHORT_OFF = 0xD1
_SEED = 0xFEEDBEAF
_SHORT_SEED = 0xDEADC0DE
_SHADOW = 0x5AD05EC7
_RECORD = struct.Struct("<BIIIIIB")

assert _RECORD.size == CHECKSUM_SIZE, f"LRCHECKSUM has {_RECORD.size} bytes, not {CHECKSUM_SIZE}"

FILL_SECTOR = bytes((0xDA + offset) & 0xFF if offset % 16 == 0 else 0xDA for offset in range(SECTOR_SIZE))
"""What a sector holds that was never written."""


@dataclass(frozen=True, slots=True)
class ChecksumRecord:
    """One LRCHECKSUM: sizes of its ranges, distance to the next one (0: the last), and the stored sums."""

    backwards: int
    forwards: int
    next: int
    checksum: int
    short_checksum: int
    short_flag: int

    @classmethod
    def unpack(cls, data: bytes | bytearray, offset: int) -> ChecksumRecord | None:
        """Read the record at ``offset``, or None where there is none."""
        if offset + CHECKSUM_SIZE > len(data) or data[offset] != RecordType.CHECKSUM:
            return None
        _, backwards, forwards, following, checksum, short, flag = _RECORD.unpack_from(data, offset)
        return cls(backwards, forwards, following, checksum, short, flag)


def pack_checksum(data: bytearray, offset: int, forwards: int, following: int, generation: int) -> None:
    """Write the LRCHECKSUM at ``offset`` of ``data`` (which starts at a sector) for the bytes around it.

    ``forwards`` bytes behind the record are covered; a range over more than its own sector gets the short checksum as well and
    must end at the end of a sector.
    """
    backwards = offset % SECTOR_SIZE
    sector_end = offset - backwards + SECTOR_SIZE
    end = offset + CHECKSUM_SIZE + forwards
    assert backwards <= SECTOR_SIZE - CHECKSUM_SIZE, f"LRCHECKSUM at {offset} crosses its sector"
    flag = SHORT_ON if end > sector_end else SHORT_OFF
    assert flag == SHORT_OFF or end % SECTOR_SIZE == 0, f"range over sectors ends at {end}"
    fields = backwards ^ forwards ^ following ^ flag ^ generation
    view = memoryview(data)
    common = xor_dwords(view[offset - backwards : offset]) ^ fields
    short = 0
    if flag == SHORT_ON:
        short = _SHORT_SEED ^ common ^ xor_dwords(view[offset + CHECKSUM_SIZE : sector_end])
    checksum = _SEED ^ common ^ xor_dwords(view[offset + CHECKSUM_SIZE : end])
    view.release()
    _RECORD.pack_into(data, offset, RecordType.CHECKSUM, backwards, forwards, following, checksum, short, flag)


def shadow_of(sector: bytes | bytearray, offset: int) -> bytes:
    """Return the shadow of the last ``sector``, whose LRCHECKSUM lies at ``offset`` in it."""
    shadow = bytearray(sector)
    checksum = struct.unpack_from("<I", shadow, offset + 13)[0]
    struct.pack_into("<I", shadow, offset + 13, checksum ^ _SHADOW)
    return bytes(shadow)


class LogState(Enum):
    """What ``scan`` found."""

    WHOLE = "whole"
    TORN = "torn"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class LogScan:
    """How far a log can be believed.

    Attributes:
        state: whole, torn at its end, or damaged.
        valid_end: bytes of the file that are covered by good checksums; records that end later are not there.
        last_checksum: offset of the last good LRCHECKSUM, 0 where there is none.
        bad_offset: offset of the first sector that does not match, 0 where all do.
        from_shadow: whether the last sector had to be taken from its shadow.
        data: the bytes to read records from; differs from the file only where the shadow was taken.
        ranges: number of good ranges.
        is_tail_clean: whether only pattern (and the shadow) follows. A flush that never happened for its first sector leaves
            the log whole and its tail dirty; the tail has to be cleaned before anything is appended.
    """

    state: LogState
    valid_end: int
    last_checksum: int
    bad_offset: int
    from_shadow: bool
    data: bytes
    ranges: int
    is_tail_clean: bool


def scan(data: bytes, generation: int) -> LogScan:
    """Judge the log file ``data``, header included but not checked."""
    return _Scanner(data, generation).scan()


class _Scanner:
    """One walk along the chain of LRCHECKSUMs."""

    def __init__(self, data: bytes, generation: int) -> None:
        self._data = data
        self._generation = generation
        self._last = 0
        self._valid_end = LOG_HEADER_SIZE
        self._from_shadow = False
        self._ranges = 0
        self._next: tuple[int, ChecksumRecord | None] = (0, None)

    def scan(self) -> LogScan:
        offset = LOG_HEADER_SIZE
        while True:
            record = self._next[1] if self._next[0] == offset else self._structure(offset)
            holds = record is not None and self._range_holds(offset, record)
            if record is None or (record.short_flag == SHORT_OFF and not holds):
                return self._end_before(offset)
            end = offset + CHECKSUM_SIZE + record.forwards
            if not holds or (record.next and not self._is_complete(offset, record)):
                return self._torn_range(offset, end)
            self._last = offset
            self._valid_end = end
            self._ranges += 1
            if record.next == 0:
                return self._result(LogState.WHOLE)
            offset += CHECKSUM_SIZE + record.next

    def _structure(self, offset: int) -> ChecksumRecord | None:
        """Return the LRCHECKSUM at ``offset`` where its sizes make sense and, over sectors, its own sector is whole."""
        record = ChecksumRecord.unpack(self._data, offset)
        in_sector = offset % SECTOR_SIZE
        if record is None or record.backwards not in (0, in_sector):
            return None
        end = offset + CHECKSUM_SIZE + record.forwards
        sector_end = offset - in_sector + SECTOR_SIZE
        if end > len(self._data):
            return None
        if record.short_flag == SHORT_OFF:
            next_is_possible = record.next == 0 or (end == sector_end and self._lies_behind(offset, record, end))
            return record if end <= sector_end and record.short_checksum == 0 and next_is_possible else None
        if record.short_flag != SHORT_ON or end % SECTOR_SIZE or end <= sector_end:
            return None
        if record.next and not self._lies_behind(offset, record, end):
            return None
        common = xor_dwords(self._data[offset - record.backwards : offset]) ^ self._fields(record)
        short = _SHORT_SEED ^ common ^ xor_dwords(self._data[offset + CHECKSUM_SIZE : sector_end])
        return record if short == record.short_checksum else None

    def _lies_behind(self, offset: int, record: ChecksumRecord, end: int) -> bool:
        """Whether the next LRCHECKSUM lies in the sector right behind the range that ends at ``end``."""
        following = offset + CHECKSUM_SIZE + record.next
        return following // SECTOR_SIZE == end // SECTOR_SIZE and following + CHECKSUM_SIZE <= len(self._data)

    def _fields(self, record: ChecksumRecord) -> int:
        return record.backwards ^ record.forwards ^ record.next ^ record.short_flag ^ self._generation

    def _range_sum(self, offset: int, record: ChecksumRecord) -> int:
        start = offset + CHECKSUM_SIZE
        backward = xor_dwords(self._data[offset - record.backwards : offset])
        return _SEED ^ self._fields(record) ^ backward ^ xor_dwords(self._data[start : start + record.forwards])

    def _range_holds(self, offset: int, record: ChecksumRecord) -> bool:
        return self._range_sum(offset, record) == record.checksum

    def _is_complete(self, offset: int, record: ChecksumRecord) -> bool:
        """Whether a range whose sum holds has all its sectors: by the CRC behind it, or because none holds the fill pattern."""
        start = offset + CHECKSUM_SIZE
        next_at = start + record.next
        following = self._structure(next_at)
        self._next = (next_at, following)
        if following is not None and (following.short_flag == SHORT_ON or self._range_holds(next_at, following)):
            at = next_at - FlushCheck.LAYOUT.size
            kind, size, crc = FlushCheck.LAYOUT.unpack_from(self._data, at)
            if kind == RecordType.NOP2 and size == FlushCheck.DATA_SIZE:
                return zlib.crc32(memoryview(self._data)[start:at]) == int(crc)
        first = offset - offset % SECTOR_SIZE + SECTOR_SIZE
        sectors = range(first, start + record.forwards, SECTOR_SIZE)
        return all(self._data[at : at + SECTOR_SIZE] != FILL_SECTOR for at in sectors)

    def _is_pattern(self, start: int, end: int) -> bool:
        return self._data[start:end] == FILL_SECTOR * ((end - start) // SECTOR_SIZE)

    def _shadow_at(self, sector: int, in_sector: int) -> ChecksumRecord | None:
        """Return the LRCHECKSUM of a shadow that stands in the sector at ``sector``, or None."""
        record = ChecksumRecord.unpack(self._data, sector + in_sector)
        if record is None or record.short_flag != SHORT_OFF or record.next or record.backwards not in (0, in_sector):
            return None
        if in_sector + CHECKSUM_SIZE + record.forwards > SECTOR_SIZE:
            return None
        expected = self._range_sum(sector + in_sector, record) ^ _SHADOW
        return record if expected == record.checksum else None

    def _end_before(self, offset: int) -> LogScan:
        """The LRCHECKSUM expected at ``offset`` is not there: take its shadow, or end before it, or give up."""
        in_sector = offset % SECTOR_SIZE
        sector = offset - in_sector
        behind = min(sector + 2 * SECTOR_SIZE, len(self._data))
        shadow = self._shadow_at(sector + SECTOR_SIZE, in_sector)
        if shadow is not None and self._is_pattern(behind, len(self._data)):
            return self._take_shadow(sector, in_sector, shadow)
        if offset == LOG_HEADER_SIZE and self._is_pattern(sector, sector + SECTOR_SIZE):
            # Nothing was ever flushed here, or the first flush lost its first sector: whatever survived behind it is void.
            is_empty = self._is_pattern(sector, len(self._data))
            return self._result(LogState.WHOLE if is_empty else LogState.TORN, bad=0 if is_empty else sector)
        was_not_written = self._is_pattern(sector, sector + SECTOR_SIZE) or self._is_old_shadow(sector)
        if was_not_written and self._is_pattern(behind, len(self._data)):
            return self._result(LogState.TORN, bad=sector)
        return self._result(LogState.DAMAGED, bad=sector)

    def _torn_range(self, offset: int, end: int) -> LogScan:
        """The range of the LRCHECKSUM at ``offset`` is bad although its own sector is whole."""
        first = offset - offset % SECTOR_SIZE + SECTOR_SIZE
        missing = [at for at in range(first, end, SECTOR_SIZE) if self._is_pattern(at, at + SECTOR_SIZE)]
        if not missing and self._shadow_at(first, offset % SECTOR_SIZE) is not None:
            missing = [first]
        is_last = self._is_pattern(min(end + 2 * SECTOR_SIZE, len(self._data)), len(self._data))
        if not missing or not is_last:
            return self._result(LogState.DAMAGED, bad=first)
        self._last = offset
        self._valid_end = first
        return self._result(LogState.TORN, bad=missing[0])

    def _is_old_shadow(self, sector: int) -> bool:
        """Whether the sector still holds the shadow of the last good LRCHECKSUM's sector, one before it."""
        return self._last // SECTOR_SIZE * SECTOR_SIZE + SECTOR_SIZE == sector and (
            self._shadow_at(sector, self._last % SECTOR_SIZE) is not None
        )

    def _take_shadow(self, sector: int, in_sector: int, shadow: ChecksumRecord) -> LogScan:
        patched = bytearray(self._data)
        patched[sector : sector + SECTOR_SIZE] = shadow_of(
            self._data[sector + SECTOR_SIZE : sector + 2 * SECTOR_SIZE], in_sector
        )
        self._data = bytes(patched)
        self._from_shadow = True
        self._last = sector + in_sector
        self._valid_end = self._last + CHECKSUM_SIZE + shadow.forwards
        self._ranges += 1
        return self._result(LogState.TORN, bad=sector)

    def _result(self, state: LogState, bad: int = 0) -> LogScan:
        return LogScan(
            state, self._valid_end, self._last, bad, self._from_shadow, self._data, self._ranges, self._is_tail_clean()
        )

    def _is_tail_clean(self) -> bool:
        tail = self._last // SECTOR_SIZE * SECTOR_SIZE + SECTOR_SIZE if self._last else LOG_HEADER_SIZE
        if self._last and self._shadow_at(tail, self._last % SECTOR_SIZE) is not None:
            tail += SECTOR_SIZE
        return self._is_pattern(tail, len(self._data))
