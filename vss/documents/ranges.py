"""Byte ranges of partial files and directed targets: ``0:5, 0x64:20``, offset and length, decimal or hexadecimal, 64 bits each.

Where ranges are many, the text names a ranges file instead, as ``File=D:\\dir\\name`` or as the bare path: a 64-bit count, then
that many pairs of 64-bit offset and length, little-endian. Pure: the file's bytes are handed in. Sources: VSS documentation,
"IVssComponent::AddPartialFile", "Working with partial files" (bare path) and "Writer role in backing up complex stores"
(``File=``); both spellings are read, the bare path is written.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from vss.errors import InvalidArgumentError

MAX_RANGES = 1 << 20
"""More ranges than this in one file are hostile."""

_RANGE = re.compile(r"\s*(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})\s*:\s*(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})\s*")
_PATH = re.compile(r"\s*(?:File\s*=\s*)?([^\\/:*?\"<>|\x00-\x1f]+:\\.+?)\s*", re.IGNORECASE)
_PAIR = struct.Struct("<QQ")
_COUNT = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """``length`` bytes from ``offset``."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + self.length


def ranges_file_of(text: str) -> str:
    """Return the path of the ranges file that ``text`` names, or nothing where it holds the ranges themselves."""
    match = _PATH.fullmatch(text)
    return "" if match is None or _RANGE.fullmatch(text.partition(",")[0]) else match[1]


def parse_ranges(text: str) -> tuple[ByteRange, ...]:
    """Return the ranges of ``text``, in the order given.

    Raises:
        InvalidArgumentError: a part is no range, or ends beyond 64 bits; names it.
    """
    found: list[ByteRange] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise InvalidArgumentError(f"'{part.strip()[:80]}' is no range, expected OFFSET:LENGTH")
        offset, length = (int(number, 16 if number[1:2] in ("x", "X") else 10) for number in match.groups())
        found.append(_checked(offset, length))
    return tuple(found)


def parse_ranges_file(data: bytes, name: str = "ranges file") -> tuple[ByteRange, ...]:
    """Return the ranges in the bytes of a ranges file; ``name`` is what messages call it.

    Raises:
        InvalidArgumentError: its length is not that of its count, it has too many, or a range ends beyond 64 bits.
    """
    if len(data) < _COUNT.size:
        raise InvalidArgumentError(f"'{name}' has {len(data)} bytes, expected a count of {_COUNT.size}")
    (count,) = _COUNT.unpack_from(data)
    expected = _COUNT.size + count * _PAIR.size
    if count > MAX_RANGES or len(data) != expected:
        raise InvalidArgumentError(f"'{name}' counts {count} ranges and has {len(data)} bytes, expected {expected}")
    return tuple(_checked(*pair) for pair in _PAIR.iter_unpack(data[_COUNT.size :]))


def render_ranges_file(ranges: Iterable[ByteRange]) -> bytes:
    """Return the bytes of a ranges file."""
    pairs = [_PAIR.pack(each.offset, each.length) for each in ranges]
    return _COUNT.pack(len(pairs)) + b"".join(pairs)


def render_ranges(ranges: Iterable[ByteRange]) -> str:
    """Return the ranges as text, decimal."""
    return ",".join(f"{each.offset}:{each.length}" for each in ranges)


def within(ranges: Iterable[ByteRange], size_bytes: int) -> tuple[ByteRange, ...]:
    """Return ``ranges`` as far as a file of ``size_bytes`` goes, in order of offset, overlapping and adjacent ones joined."""
    joined: list[ByteRange] = []
    for each in sorted(ranges, key=lambda one: one.offset):
        end = min(each.end, size_bytes)
        if end <= each.offset:
            continue
        if joined and each.offset <= joined[-1].end:
            joined[-1] = ByteRange(joined[-1].offset, max(end, joined[-1].end) - joined[-1].offset)
        else:
            joined.append(ByteRange(each.offset, end - each.offset))
    return tuple(joined)


def _checked(offset: int, length: int) -> ByteRange:
    if offset + length >= 1 << 64:
        raise InvalidArgumentError(f"range {offset}:{length} ends beyond 64 bits")
    return ByteRange(offset, length)
