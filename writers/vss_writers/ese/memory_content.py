"""The bytes of one file of a ``MemoryFileSystem``: as written, as durable, and the writes in between.

Bytes that nobody changes are one immutable object, shared by all files that hold them, however many states of a disk are made
of one. What is durable is asked for at power loss only, so synced writes are put there together, before they take much memory.
"""

from __future__ import annotations

from collections.abc import Callable

from vss_writers.ese.files import SECTOR_SIZE

Keep = Callable[[], bool]
"""Decides, at power loss, whether the next sector, length or name survives."""

Change = tuple[int, bytes | None]
"""Offset and data of a write, or the new length and None."""


class Content:
    """The bytes of one file. ``pending`` holds the changes since the last ``sync``."""

    __slots__ = ("_current", "_durable", "_synced", "_synced_bytes", "pending")

    def __init__(self, data: bytes = b"") -> None:
        self._current: bytes | bytearray = data
        self._durable: bytes | bytearray = data
        self._synced: list[Change] = []
        self._synced_bytes = 0
        self.pending: list[Change] = []

    @property
    def size_bytes(self) -> int:
        """The length as written."""
        return len(self._current)

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes as written."""
        if isinstance(self._current, bytes):
            return self._current[offset : offset + length]  # the object itself where that is all of it
        return bytes(memoryview(self._current)[offset : offset + length])

    def current(self) -> bytes:
        """All bytes as written; the same object until they change."""
        if isinstance(self._current, bytearray):
            self._current = bytes(self._current)
        return self._current

    def durable(self) -> bytes:
        """All bytes as durable; the same object until they change."""
        self._settle()
        if isinstance(self._durable, bytearray):
            self._durable = bytes(self._durable)
        return self._durable

    def write(self, offset: int, data: bytes) -> None:
        """Write ``data``; durable after ``sync``."""
        self._current = _write(self._current, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size_bytes: int) -> None:
        """Cut or extend; durable after ``sync``."""
        self._current = _truncate(self._current, size_bytes)
        self.pending.append((size_bytes, None))

    def sync(self) -> None:
        """Make everything written durable."""
        self._synced += self.pending
        self._synced_bytes += sum(SECTOR_SIZE if data is None else len(data) for _, data in self.pending)
        self.pending.clear()
        if self._synced_bytes > len(self._current):
            self._settle()

    def _settle(self) -> None:
        for offset, data in self._synced:
            self._durable = _truncate(self._durable, offset) if data is None else _write(self._durable, offset, data)
        self._synced.clear()
        self._synced_bytes = 0

    def survivor(self, keep: Keep) -> Content:
        """What power loss leaves: all that is durable, and of the rest the sectors and lengths that ``keep`` says."""
        durable: bytes | bytearray = self.durable()
        for offset, data in self.pending:
            if data is None:
                if keep():
                    durable = _truncate(durable, offset)
                continue
            for start, piece in _sectors(offset, data):
                if keep():
                    durable = _write(durable, start, piece)
        return Content(bytes(durable))

    def flip(self, offset: int, bit: int) -> None:
        """Flip one bit of what is written and durable."""
        self._settle()
        self._current = _flipped(self._current, offset, bit)
        if offset < len(self._durable):
            self._durable = _flipped(self._durable, offset, bit)


def _write(target: bytes | bytearray, offset: int, data: bytes) -> bytearray:
    """Write into ``target``, or into a copy where others may share it."""
    changed = target if isinstance(target, bytearray) else bytearray(target)
    if len(changed) < offset:
        changed.extend(bytes(offset - len(changed)))
    changed[offset : offset + len(data)] = data
    return changed


def _truncate(target: bytes | bytearray, size_bytes: int) -> bytes | bytearray:
    """Cut or extend ``target``, or a copy where others may share it."""
    if size_bytes == len(target):
        return target
    changed = target if isinstance(target, bytearray) else bytearray(target)
    if size_bytes < len(changed):
        del changed[size_bytes:]
    else:
        changed.extend(bytes(size_bytes - len(changed)))
    return changed


def _flipped(target: bytes | bytearray, offset: int, bit: int) -> bytearray:
    return _write(target, offset, bytes([target[offset] ^ 1 << bit]))


def _sectors(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    pieces = []
    end = offset + len(data)
    start = offset
    while start < end:
        stop = min(end, (start // SECTOR_SIZE + 1) * SECTOR_SIZE)
        pieces.append((start, data[start - offset : stop - offset]))
        start = stop
    return pieces
