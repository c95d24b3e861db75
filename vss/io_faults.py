"""Injected faults of plain calls: what a fault does to one read, write, sync or other effect that nobody awaits.

Files and images are read and written by plain calls, and the data is at hand there only. Whoever does such an effect asks
``Ports.io_faults`` for a fault first, with the site's name; None, almost always, means: go on. Invariants: what a fault makes
of given data depends on the fault and the data only; an error never looks like success except where that is the fault.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")

SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class IoFault:
    """One fault that strikes now.

    Attributes:
        site: where.
        effect: its word in the language of faults.
        code: errno of the error, 0 where none is raised.
        error: raised instead of an ``OSError`` with ``code`` where the site's role has errors of its own.
        kind: of ``corrupt``.
        keep: of ``torn``: prefix, suffix, checkerboard or none.
        count: sectors that ``torn`` keeps, bits that ``flip`` flips, k of ``partial``.
        of: n of ``partial``.
        offset: how far ``misdirect`` leads, or the byte at which ``flip`` begins.
    """

    site: str
    effect: str
    code: int = 0
    error: BaseException | None = None
    kind: str = ""
    keep: str = ""
    count: int = 1
    of: int = 2
    offset: int = 0

    @property
    def is_skipped(self) -> bool:
        """Whether nothing is done and success is reported."""
        return self.effect in ("lie", "lose", "drop")

    def failure(self, path: str = "") -> BaseException | None:
        """Return what is to be raised; None for a fault that is silent."""
        if self.error is not None:
            return self.error
        return OSError(self.code, os.strerror(self.code), path or f"injected at {self.site}") if self.code else None

    def read(self, data: bytes) -> bytes:
        """Return what a read gives instead of ``data``. ``stale`` is the store's business: only it knows what was there."""
        match self.effect:
            case "flip":
                return flipped(data, self.offset, self.count)
            case "corrupt":
                return corrupted(data, self.kind)
            case "short":
                return data[: len(data) // 2]
            case "partial":
                return data[: len(data) * self.count // self.of]
            case _:
                return data

    def pieces(self, offset: int, data: bytes) -> list[tuple[int, bytes]]:
        """Return what reaches the medium of a write of ``data`` at ``offset``: (offset, bytes) in order."""
        match self.effect:
            case "torn":
                return _kept(cut_at_sectors(offset, data), self.keep or "prefix", self.count)
            case "lose" | "lie" | "drop" | "fail" | "full" | "stale":
                return []
            case "misdirect":
                return [(offset + self.offset, data)]
            case "short":
                return [(offset, data[: len(data) // 2])]
            case _:
                return [(offset, self.read(data))]


class IoFaultSite(Protocol):
    """Where faults of plain calls are asked for."""

    def __call__(self, site: str, size: int = 0, **selectors: str) -> IoFault | None:
        """Return the fault that strikes this visit of ``site``, None where none does; may raise what ends the caller.

        ``size`` is how many bytes are read or written.
        """
        ...


def no_io_faults(site: str, size: int = 0, **selectors: str) -> IoFault | None:
    """The site of a world without faults."""
    return None


def struck_read(fault: IoFault | None, read: Callable[[], bytes], path: str = "") -> bytes:
    """Return what ``read`` gives, as ``fault`` has it."""
    if fault is None:
        return read()
    failure = fault.failure(path)
    if failure is not None:
        raise failure
    return fault.read(read())


def struck_write(
    fault: IoFault | None, offset: int, data: bytes, write: Callable[[int, bytes], object], path: str = ""
) -> None:
    """Write ``data`` at ``offset`` as ``fault`` has it: perhaps less, elsewhere, damaged, or with an error afterwards."""
    if fault is None:
        write(offset, data)
        return
    for piece_offset, piece in fault.pieces(offset, data):
        write(piece_offset, piece)
    failure = fault.failure(path)
    if failure is not None:
        raise failure
    if fault.effect == "short":
        raise OSError(errno.EIO, os.strerror(errno.EIO), path or f"injected at {fault.site}")


def struck(fault: IoFault | None, work: Callable[[], T], path: str = "") -> T | None:
    """Do ``work`` as ``fault`` has it: for effects that have no data, such as a sync, a rename or a removal."""
    if fault is None:
        return work()
    if fault.effect == "fail-after":
        work()
    failure = fault.failure(path)
    if failure is not None:
        raise failure
    return None if fault.is_skipped else work()


# -- damage --------------------------------------------------------------------------------------------------------------------


def flipped(data: bytes, offset: int = 0, bits: int = 1) -> bytes:
    """Return ``data`` with ``bits`` bits flipped, from the lowest one of the byte at ``offset`` (counted round the end)."""
    if not data:
        return data
    changed = bytearray(data)
    for number in range(bits):
        changed[(offset + number // 8) % len(changed)] ^= 1 << number % 8
    return bytes(changed)


def corrupted(data: bytes, kind: str) -> bytes:
    """Return ``data`` damaged; kinds that make no sense for bytes flip a bit in the middle."""
    match kind:
        case "zeros" | "empty":
            return bytes(len(data))
        case "checksum":
            return _inverted(data, 4)
        case "header":
            return _inverted(data, SECTOR_BYTES)
        case _:
            return flipped(data, len(data) // 2)


def _inverted(data: bytes, length: int) -> bytes:
    return bytes(byte ^ 0xFF for byte in data[:length]) + data[length:]


def cut_at_sectors(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """Return ``data`` cut where sectors of the medium begin: (offset, bytes) in order."""
    parts: list[tuple[int, bytes]] = []
    start = 0
    while start < len(data):
        end = min(start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES, len(data))
        parts.append((offset + start, data[start:end]))
        start = end
    return parts


def _kept(sectors: list[tuple[int, bytes]], keep: str, count: int) -> list[tuple[int, bytes]]:
    match keep:
        case "prefix":
            return sectors[: min(count, len(sectors) - 1)]
        case "suffix":
            return sectors[max(len(sectors) - count, 1) :]
        case "checkerboard":
            return sectors[1::2]
        case _:
            return []
