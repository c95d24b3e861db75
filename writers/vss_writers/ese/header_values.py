"""The small structures that database headers share with logs and the checkpoint: positions, times, signatures, backups.

Frozen, so that those decoded last can be kept and shared. Sources: published engine, daedef.hxx (LGPOS, LOGTIME, SIGNATURE,
BKINFO); libesedb format documentation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

_POSITION = struct.Struct("<HHi")
_SIGNATURE = struct.Struct("<I8s16s")
_BACKUP_INFO = struct.Struct("<8s8sII")
_ECC_COUNTER = struct.Struct("<I8sI")
_VALUES_KEPT = 512
"""Times, signatures and backups decoded last: every header, log and record of a stream repeats the same few."""


class LogPosition(NamedTuple):
    """LGPOS: generation, sector in the log file, byte in the sector; ordered in that sequence."""

    generation: int = 0
    sector: int = 0
    byte: int = 0

    def pack(self) -> bytes:
        """Return the 8 bytes of the format."""
        return _POSITION.pack(self.byte, self.sector, self.generation)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> LogPosition:
        """Read the 8 bytes of the format."""
        byte, sector, generation = _POSITION.unpack(data)
        return cls(generation, sector, byte)

    def __str__(self) -> str:
        return f"({self.generation:#x},{self.sector:X},{self.byte:X})"


NOWHERE = LogPosition()


@dataclass(frozen=True, slots=True)
class LogTime:
    """LOGTIME: a calendar time of one-second grain (milliseconds in newer engines); all zero means "never".

    ``year`` counts from 1900. ``is_os_snapshot`` is meaningful in the time of a backup record only.
    """

    second: int = 0
    minute: int = 0
    hour: int = 0
    day: int = 0
    month: int = 0
    year: int = 0
    is_utc: bool = False
    milliseconds: int = 0
    is_os_snapshot: bool = False

    SIZE = 8

    @classmethod
    def of(cls, moment: datetime, *, is_os_snapshot: bool = False) -> LogTime:
        """The time of ``moment``; one with a time zone is kept as UTC, a naive one as local time. Milliseconds are dropped."""
        is_utc = moment.tzinfo is not None
        if is_utc:
            moment = moment.astimezone(UTC)
        return cls(
            moment.second,
            moment.minute,
            moment.hour,
            moment.day,
            moment.month,
            moment.year - 1900,
            is_utc=is_utc,
            is_os_snapshot=is_os_snapshot,
        )

    def to_datetime(self) -> datetime | None:
        """The moment, or None for "never" and for values that are no calendar time."""
        try:
            moment = datetime(  # noqa: DTZ001 - the flag below decides about the zone
                self.year + 1900,
                self.month,
                self.day,
                self.hour,
                self.minute,
                self.second,
                self.milliseconds * 1000,
            )
        except ValueError:
            return None
        return moment.replace(tzinfo=UTC) if self.is_utc else moment

    def pack(self) -> bytes:
        """Return the 8 bytes of the format."""
        low = int(self.is_utc) | (self.milliseconds & 0x7F) << 1
        high = int(self.is_os_snapshot) | (self.milliseconds >> 7 & 7) << 1
        return bytes((self.second, self.minute, self.hour, self.day, self.month, self.year, low, high))

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> LogTime:
        """Read the 8 bytes of the format."""
        return _decode_time(bytes(data))

    def __bool__(self) -> bool:
        return self.month != 0

    def __str__(self) -> str:
        return f"{self.month:02}/{self.day:02}/{self.year + 1900} {self.hour:02}:{self.minute:02}:{self.second:02}"


@lru_cache(_VALUES_KEPT)
def _decode_time(data: bytes) -> LogTime:
    second, minute, hour, day, month, year, low, high = data
    return LogTime(
        second,
        minute,
        hour,
        day,
        month,
        year,
        is_utc=bool(low & 1),
        milliseconds=low >> 1 | (high >> 1 & 7) << 7,
        is_os_snapshot=bool(high & 1),
    )


@dataclass(frozen=True, slots=True)
class Signature:
    """SIGNATURE: identity of a database or log stream; a random number, its creation time, the computer's name."""

    random: int = 0
    created: LogTime = LogTime()
    computer: str = ""

    SIZE = 28

    def pack(self) -> bytes:
        """Return the 28 bytes of the format; a name over 15 bytes is cut."""
        return _SIGNATURE.pack(self.random, self.created.pack(), self.computer.encode("latin-1", "replace")[:15])

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Signature:
        """Read the 28 bytes of the format."""
        return _decode_signature(bytes(data))

    def __bool__(self) -> bool:
        return self != Signature()


@lru_cache(_VALUES_KEPT)
def _decode_signature(data: bytes) -> Signature:
    random, created, computer = _SIGNATURE.unpack(data)
    return Signature(random, LogTime.unpack(created), computer.split(b"\0", 1)[0].decode("latin-1"))


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """BKINFO: mark in the log, time, and the generations that belong to a backup."""

    mark: LogPosition = NOWHERE
    time: LogTime = LogTime()
    generation_low: int = 0
    generation_high: int = 0

    SIZE = 24

    def pack(self) -> bytes:
        """Return the 24 bytes of the format."""
        return _BACKUP_INFO.pack(self.mark.pack(), self.time.pack(), self.generation_low, self.generation_high)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> BackupInfo:
        """Read the 24 bytes of the format."""
        return _decode_backup_info(bytes(data))

    def __bool__(self) -> bool:
        return self != BackupInfo()


@lru_cache(_VALUES_KEPT)
def _decode_backup_info(data: bytes) -> BackupInfo:
    mark, time, low, high = _BACKUP_INFO.unpack(data)
    return BackupInfo(LogPosition.unpack(mark), LogTime.unpack(time), low, high)


@dataclass(frozen=True, slots=True)
class EccCounter:
    """How often something was seen on pages: since the last reset, when last, before."""

    count: int = 0
    time: LogTime = LogTime()
    count_old: int = 0

    SIZE = 16

    def pack(self) -> bytes:
        """Return the 16 bytes of the format."""
        return _ECC_COUNTER.pack(self.count, self.time.pack(), self.count_old)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> EccCounter:
        """Read the 16 bytes of the format."""
        count, time, count_old = _ECC_COUNTER.unpack(data)
        return cls(count, LogTime.unpack(time), count_old)


NEVER = LogTime()
NO_SIGNATURE = Signature()
NO_BACKUP = BackupInfo()
NO_ERRORS = EccCounter()
