"""Sorting more entries than memory holds: sorted runs go to a temporary file and are merged as they are read.

Invariants:
- a sorter holds at most its share of the memory in entries, and one block of each run it reads: ``RUNS_MERGED`` runs of one
  generation are merged into one of the next, so that their number grows with the logarithm of the entries;
- a run lies in one piece in the file, in blocks with a checksum each: what the disk made of it is noticed;
- the file is made when the first run needs it, has a name that nothing had before, and is removed at the end.

Sources: ours; external merge sort as in Knuth, The Art of Computer Programming, volume 3, section 5.4.
"""

from __future__ import annotations

import heapq
import struct
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import File, FileSystem

SORT_BYTES = 4 << 20
"""Memory for the entries of one sorter, unless told otherwise."""
RUNS_MERGED = 16
_BLOCK_BYTES_MAX = 1 << 14
_BLOCK_BYTES_MIN = 1 << 6
_ENTRY_OVERHEAD = 160
"""What the interpreter needs for an entry besides its bytes."""
_FRAME = struct.Struct("<II")
"""Length and CRC-32 of a block."""
_LENGTHS = struct.Struct("<II")
"""Length of an entry's key and of its data."""

Entry = tuple[bytes, bytes]
Entries = AsyncIterator[Entry]
"""Keys and data in order."""


class Run(NamedTuple):
    """Sorted entries in the file, from ``first`` to before ``end``, in bytes."""

    first: int
    end: int


class SpillFile:
    """The temporary file of one piece of work, and the count of the entries that its sorters hold in memory.

    Attributes:
        sort_bytes: memory for each sorter.
        block_bytes: a block ends with the entry that makes it as long; those of all runs together take half as much memory.
        size_bytes, size_bytes_max: length now, and at most.
        held, held_max: entries in memory now, and at most.
    """

    def __init__(self, files: FileSystem, path: str, sort_bytes: int = SORT_BYTES) -> None:
        self.sort_bytes = sort_bytes
        self.block_bytes = max(_BLOCK_BYTES_MIN, min(_BLOCK_BYTES_MAX, sort_bytes // RUNS_MERGED // 8))
        self._files = files
        self._file: File | None = None
        self.path = path
        self.size_bytes = 0
        self.size_bytes_max = 0
        self.held = 0
        self.held_max = 0

    @classmethod
    @asynccontextmanager
    async def begin(cls, files: FileSystem, path: str, sort_bytes: int = SORT_BYTES) -> AsyncIterator[SpillFile]:
        """Offer a file at ``path``, which is gone again behind the block.

        Raises:
            JetError: ``DatabaseDuplicate`` where something stands at ``path``.
        """
        if await files.exists(path):
            raise JetError(JetCode.DatabaseDuplicate, "no file expected where sorting needs one, found one", path=path)
        spill = cls(files, path, sort_bytes)
        try:
            yield spill
        finally:
            with suppress(Exception):  # a file system that is gone keeps the file; the name is refused until it is removed
                await spill._remove()

    async def _remove(self) -> None:
        if self._file is not None:
            await self._file.close()
            await self._files.remove(self.path)

    def hold(self, entries: int) -> None:
        """Count entries that came into memory, or left it where negative."""
        self.held += entries
        self.held_max = max(self.held_max, self.held)

    async def append(self, data: bytes) -> None:
        """Write behind everything else."""
        if self._file is None:
            self._file = await self._files.open(self.path, write=True, create=True, exclusive=True)
        await self._file.pwrite(self.size_bytes, data)
        self.size_bytes += len(data)
        self.size_bytes_max = max(self.size_bytes_max, self.size_bytes)

    async def release(self, size_bytes: int) -> None:
        """Give back everything from ``size_bytes`` on: the runs there are no longer read."""
        if self._file is not None and size_bytes < self.size_bytes:
            await self._file.truncate(size_bytes)
            self.size_bytes = size_bytes

    async def write_run(self, entries: AsyncIterator[Entry]) -> Run:
        """Write sorted entries as a run; nothing else may be written meanwhile."""
        first = expected = self.size_bytes
        block = bytearray()
        async for key, data in entries:
            block += _LENGTHS.pack(len(key), len(data))
            block += key
            block += data
            if len(block) >= self.block_bytes:
                expected = await self._write_block(block, expected)
                block = bytearray()
        if block:
            expected = await self._write_block(block, expected)
        return Run(first, expected)

    async def _write_block(self, block: bytearray, expected: int) -> int:
        assert self.size_bytes == expected, f"a run ends at {expected}, the file at {self.size_bytes}"
        await self.append(_FRAME.pack(len(block), zlib.crc32(block)) + block)
        return self.size_bytes

    async def read_run(self, run: Run) -> AsyncIterator[Entry]:
        """The entries of a run, a block of them in memory.

        Raises:
            JetError: ``DiskIO`` where the file does not hold what was written.
        """
        offset = run.first
        while offset < run.end:
            block = await self._read_block(offset)
            offset += _FRAME.size + len(block)
            entries = list(_unpacked(block))
            self.hold(len(entries))
            try:
                for entry in entries:
                    yield entry
            finally:
                self.hold(-len(entries))

    async def _read_block(self, offset: int) -> bytes:
        assert self._file is not None, "a run without a file"
        data = await self._file.pread(offset, _FRAME.size + self.block_bytes * 3 // 2)
        length, checksum = _FRAME.unpack_from(data) if len(data) >= _FRAME.size else (0, 0)
        block = data[_FRAME.size : _FRAME.size + length]
        if len(block) < length <= self.size_bytes:  # its last entry is a large one
            block = await self._file.pread(offset + _FRAME.size, length)
        found = zlib.crc32(block)
        if not block or found != checksum:
            detail = f"checksum of what was written for sorting: expected {checksum:#010x}, found {found:#010x}"
            raise JetError(JetCode.DiskIO, detail, path=self.path, offset=offset)
        return block


def _unpacked(block: bytes) -> Iterator[Entry]:
    offset = 0
    while offset < len(block):
        key_size, data_size = _LENGTHS.unpack_from(block, offset)
        offset += _LENGTHS.size
        yield block[offset : offset + key_size], block[offset + key_size : offset + key_size + data_size]
        offset += key_size + data_size


class Sorter:
    """Sorts entries by key, then data. First all are added, then they are read, as often as wanted.

    It is one of ``sorters`` that share the memory for one.
    """

    def __init__(self, spill: SpillFile, sorters: int = 1) -> None:
        self._spill = spill
        self._budget = spill.sort_bytes // sorters
        self._buffer: list[Entry] = []
        self._buffer_bytes = 0
        self._generations: list[list[Run]] = []

    async def add(self, key: bytes, data: bytes) -> None:
        """Take one entry."""
        self._buffer.append((key, data))
        self._buffer_bytes += len(key) + len(data) + _ENTRY_OVERHEAD
        self._spill.hold(1)
        if self._buffer_bytes > self._budget:
            await self._write_out()

    async def _write_out(self) -> None:
        run = await self._spill.write_run(entries_of(sorted(self._buffer)))
        self.drop()
        for generation in range(len(self._generations) + 1):
            if generation == len(self._generations):
                self._generations.append([])
            runs = self._generations[generation]
            runs.append(run)
            if len(runs) < RUNS_MERGED:
                return
            run = await self._spill.write_run(_merged([self._spill.read_run(each) for each in runs]))
            runs.clear()

    def drop(self) -> None:
        """Forget what is in memory."""
        self._spill.hold(-len(self._buffer))
        self._buffer = []
        self._buffer_bytes = 0

    async def entries(self) -> Entries:
        """Everything that was added, in order."""
        self._buffer.sort()
        runs = [self._spill.read_run(run) for generation in self._generations for run in generation]
        async for entry in _merged([*runs, entries_of(self._buffer)]):
            yield entry


async def entries_of(entries: Iterable[Entry]) -> Entries:
    """Entries that are in memory."""
    for entry in entries:
        yield entry


async def _merged(streams: list[Entries]) -> Entries:
    """Sorted streams as one."""
    heads = [(entry, place) for place, stream in enumerate(streams) if (entry := await anext(stream, None)) is not None]
    heapq.heapify(heads)
    while heads:
        entry, place = heads[0]
        yield entry
        following = await anext(streams[place], None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following, place))
