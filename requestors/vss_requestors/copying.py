"""Streaming bytes from a shadow copy into a backup set, hashed on the way.

The source is always the file system of a shadow copy that the caller opened; this module knows no other. Four things run beside
one another in the real world: reading on the loop; writing, hashing and sending to the disk each on a thread of
``Ports.blocking``, every batch of one kind after the one before it. At most three batches are in memory. Each file is durable
when its copy is done.

Sizes come from measurement: writing pieces larger than 256 KiB is slower into a page cache, and a thread hop costs tens of
microseconds, so a hop carries a batch of several pieces.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import xxhash

from vss.documents.ranges import ByteRange
from vss.errors import VolumeReadError
from vss.ports import HostFile, Ports
from vss.roles.verifier import Progress
from vss.roles.volume import File
from vss_requestors.errors import target_errors
from vss_requestors.pacing import Throttle

PIECE_BYTES = 1 << 20
"""What one read asks for and one quick digest covers."""

WRITE_BYTES = 256 << 10
BATCH_BYTES = 4 << 20

SYNC_BYTES = 32 << 20
"""How much may be written before it is sent to the disk, beside everything else, so that hashing hides the disk's time."""

COPY_BYTES_PER_S = 1e9
"""What copying costs in virtual time."""


@dataclass(frozen=True, slots=True)
class Digests:
    """What was copied, as digests (see ``ManifestFile``)."""

    size_bytes: int
    sha256: str
    quick_digests: str


class Readable(Protocol):
    """What is copied from: an open file, or ranges of one."""

    @property
    def path(self) -> str:
        """For messages."""
        ...

    @property
    def size_bytes(self) -> int:
        """How much there is."""
        ...

    async def pread(self, offset: int, length: int) -> bytes:
        """Bytes; fewer only at the end."""
        ...


class RangesOfFile:
    """Ranges of an open file, one behind the other."""

    def __init__(self, source: File, ranges: Sequence[ByteRange]) -> None:
        """Show ``ranges`` of ``source``, which stays the caller's to close."""
        self._source = source
        self._ranges = ranges
        self.path = source.path
        self.size_bytes = sum(each.length for each in ranges)

    async def pread(self, offset: int, length: int) -> bytes:
        """Bytes of the ranges; fewer where the file is shorter than they say."""
        parts: list[bytes] = []
        before = 0
        for each in self._ranges:
            start, end = max(offset, before), min(offset + length, before + each.length)
            if start < end:
                parts.append(await self._source.pread(each.offset + start - before, end - start))
            before += each.length
        return b"".join(parts)


class PieceHasher:
    """SHA-256 over everything and one XXH3 per piece. Feed it whole pieces; only the last may be shorter."""

    def __init__(self) -> None:
        """Start empty."""
        self._sha256 = hashlib.sha256()
        self._quick: list[str] = []
        self._size_bytes = 0

    def add(self, pieces: list[bytes]) -> None:
        """Take the next pieces."""
        for piece in pieces:
            self._sha256.update(piece)
            self._quick.append(quick_digest(piece))
            self._size_bytes += len(piece)

    def digests(self) -> Digests:
        """Return what came together."""
        return Digests(self._size_bytes, self._sha256.hexdigest(), "".join(self._quick))


def quick_digest(piece: bytes | memoryview) -> str:
    """Return the quick digest of one piece."""
    return xxhash.xxh3_64_hexdigest(piece)


class _Lane:
    """Blocking work of one kind: in order, one at a time, beside everything else."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._under_way: asyncio.Future[None] | None = None

    async def start(self, work: Callable[[], None], cost_s: float = 0.0) -> None:
        """Start ``work`` when what was started before is done; raises what that raised."""
        await self.settle()
        self._under_way = asyncio.ensure_future(_done(self._ports, work, cost_s))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self._under_way is None or self._under_way.done()

    async def settle(self) -> None:
        """Wait for what is under way. Shielded: a thread cannot be cancelled, and ``leave`` must still find it."""
        if self._under_way is not None:
            await asyncio.shield(self._under_way)
            self._under_way = None

    async def leave(self) -> None:
        """Wait for what is under way, whatever became of it; a file must not be closed under a thread's hands."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
            if not self._under_way.cancelled():
                self._under_way.exception()  # taken: the caller is on its way out with the first error
            self._under_way = None


async def _done(ports: Ports, work: Callable[[], None], cost_s: float) -> None:
    await ports.blocking(work, cost_s=cost_s)


async def copy_file(
    ports: Ports,
    source: Readable,
    target: HostFile,
    *,
    name: str,
    throttle: Throttle,
    progress: Progress | None = None,
) -> Digests:
    """Copy all of ``source`` to ``target``, make it durable, return the digests of what was read.

    Args:
        name: the path inside the set, for messages.
        progress: called after every batch with the source's path.

    Raises:
        VolumeReadError: the shadow copy could not be read, or ended early.
        TargetError: the target could not be written.
    """
    size_bytes = source.size_bytes
    hasher = PieceHasher()
    writing, hashing, syncing = _Lane(ports), _Lane(ports), _Lane(ports)
    done_bytes = synced_bytes = 0
    try:
        while done_bytes < size_bytes:
            pieces = await _read_batch(source, done_bytes, min(BATCH_BYTES, size_bytes - done_bytes))
            batch_bytes = sum(map(len, pieces))
            await writing.start(_write_work(target, name, done_bytes, pieces), batch_bytes / COPY_BYTES_PER_S)
            await hashing.start(_hash_work(hasher, pieces))
            done_bytes += batch_bytes
            if done_bytes - synced_bytes >= SYNC_BYTES and syncing.is_idle:
                synced_bytes = done_bytes
                await syncing.start(_sync_work(target, name))
            if progress is not None:
                progress(source.path, done_bytes, size_bytes)
            await throttle.passed(batch_bytes)
        await writing.start(_sync_work(target, name))
        for lane in (hashing, syncing, writing):
            await lane.settle()
    finally:
        for lane in (writing, hashing, syncing):
            await lane.leave()
    return hasher.digests()


async def _read_batch(source: Readable, offset: int, length: int) -> list[bytes]:
    pieces: list[bytes] = []
    end = offset + length
    while offset < end:
        wanted = min(PIECE_BYTES, end - offset)
        piece = await source.pread(offset, wanted)
        if len(piece) != wanted:
            raise VolumeReadError(
                f"'{source.path}' ended at offset {offset + len(piece)} of the shadow copy, "
                f"expected {wanted - len(piece)} more bytes"
            )
        pieces.append(piece)
        offset += wanted
    return pieces


def _write_work(target: HostFile, name: str, offset: int, pieces: list[bytes]) -> Callable[[], None]:
    def write() -> None:
        position = offset
        with target_errors(name, "write"):
            for piece in pieces:
                view = memoryview(piece)
                for start in range(0, len(piece), WRITE_BYTES):
                    part = view[start : start + WRITE_BYTES]
                    target.pwrite(position, part)
                    position += len(part)

    return write


def _hash_work(hasher: PieceHasher, pieces: list[bytes]) -> Callable[[], None]:
    return lambda: hasher.add(pieces)


def _sync_work(target: HostFile, name: str) -> Callable[[], None]:
    def sync() -> None:
        with target_errors(name, "sync"):
            target.sync()

    return sync
