"""A store that records writes, flushes and acknowledgements, and enumerates every state that power loss may leave of it.

``FaultyStore`` answers what power loss would leave now; this one answers it for every instant of a whole run, afterwards.
States with equal bytes and equal acknowledgements come once: their digests combine the digests of the sectors that differ from
the beginning, so that a state costs what it changes, not what the store holds. Recording changes nothing of what users see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from vss.volumes.block_store import SECTOR_BYTES, BlockStore, Buffer, MemoryStore
from vss.volumes.fault_store import copy_of
from vss.volumes.power_loss import PowerLossState, UnsyncedWrite, power_loss_states

Sectors = dict[int, bytes]
"""Sectors that differ from the first content, by number."""


class _Grown(NamedTuple):
    size_bytes: int


class _Flushed(NamedTuple):
    pass


_FLUSHED = _Flushed()


class StoreState(NamedTuple):
    """What a store may hold after power loss.

    Attributes:
        log: whose.
        after_event: how many recorded events had happened.
        state: which writes since the last flush survived.
        acknowledged: marks that had been set by then: what somebody was told is durable.
        digest: of bytes and marks.
        sectors: what differs from the first content.
    """

    log: RecordedStore
    after_event: int
    state: PowerLossState
    acknowledged: tuple[str, ...]
    digest: int
    sectors: Sectors

    def store(self) -> MemoryStore:
        """Return the store as whoever switches on again finds it."""
        return self.log.with_sectors(self.sectors)


class RecordedStore:
    """A ``BlockStore`` over another one. What that holds when this is made counts as durable."""

    def __init__(self, inner: BlockStore) -> None:
        """Record what reaches ``inner``."""
        self._inner = inner
        self._first = copy_of(inner)
        self._events: list[UnsyncedWrite | _Flushed | _Grown | str] = []

    @property
    def name(self) -> str:
        """What error messages call it: the name of the store below."""
        return self._inner.name

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        return self._inner.size_bytes

    @property
    def event_count(self) -> int:
        """Events recorded so far."""
        return len(self._events)

    def mark(self, text: str) -> None:
        """Note that somebody was told: ``text`` is durable."""
        self._events.append(text)

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes."""
        return self._inner.read(offset, length)

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill all of ``buffer`` from ``offset``."""
        self._inner.read_into(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``."""
        self._inner.write(offset, data)
        self._events.append(UnsyncedWrite(offset, bytes(data)))

    def flush(self) -> None:
        """Make every write so far durable."""
        self._inner.flush()
        self._events.append(_FLUSHED)

    def grow(self, size_bytes: int) -> None:
        """Lengthen; the new length is durable at once."""
        self._inner.grow(size_bytes)
        self._events.append(_Grown(size_bytes))

    def close(self) -> None:
        """Close the store below."""
        self._inner.close()

    # -- power loss ------------------------------------------------------------------------------------------------------------

    def with_sectors(self, sectors: Sectors) -> MemoryStore:
        """Return the first content with ``sectors`` over it, as long as the store is now."""
        store = copy_of(self._first)
        store.grow(self.size_bytes)
        for number, data in sectors.items():
            store.write(number * SECTOR_BYTES, data)
        return store

    def states(self, *, first_event: int = 0, subset_max: int = 6, torn_max: int = 16) -> Iterator[StoreState]:
        """Enumerate what the store may hold when power fails after ``first_event`` events or later; each content once.

        Arguments as for ``power_loss_states``.
        """
        durable: Sectors = {}
        pending: list[UnsyncedWrite] = []
        marks: list[str] = []
        seen: set[int] = set()
        for number in range(len(self._events) + 1):
            if number >= first_event:
                for state in power_loss_states(pending, subset_max=subset_max, torn_max=torn_max):
                    sectors = self._kept(durable, pending, state)
                    digest = self._digest(sectors, marks)
                    if digest not in seen:
                        seen.add(digest)
                        yield StoreState(self, number, state, tuple(marks), digest, sectors)
            if number < len(self._events):
                event = self._events[number]
                if isinstance(event, str):
                    marks.append(event)
                elif isinstance(event, UnsyncedWrite):
                    pending.append(event)
                elif isinstance(event, _Flushed):
                    durable = self._kept(durable, pending, PowerLossState(tuple(range(len(pending)))))
                    pending = []

    def _kept(self, durable: Sectors, pending: Sequence[UnsyncedWrite], state: PowerLossState) -> Sectors:
        sectors = dict(durable)
        for number in state.kept:
            parts = pending[number].sectors()
            is_torn = number == state.kept[-1] and state.torn_sectors is not None
            for part in state.torn_sectors or () if is_torn else range(len(parts)):
                self._put(sectors, *parts[part])
        return sectors

    def _put(self, sectors: Sectors, offset: int, data: bytes) -> None:
        number, start = divmod(offset, SECTOR_BYTES)
        if len(data) < SECTOR_BYTES:
            old = sectors[number] if number in sectors else self._first_sector(number)
            data = old[:start] + data + old[start + len(data) :]
        sectors[number] = data

    def _first_sector(self, number: int) -> bytes:
        offset = number * SECTOR_BYTES
        length = max(0, min(SECTOR_BYTES, self._first.size_bytes - offset))
        data = self._first.read(offset, length) if length else b""
        return data.ljust(min(SECTOR_BYTES, self.size_bytes - offset), b"\0")

    def _digest(self, sectors: Sectors, marks: Sequence[str]) -> int:
        digest = _hash(b"".join(mark.encode() + b"\0" for mark in marks), -1)
        for number, data in sectors.items():
            if data != self._first_sector(number):
                digest ^= _hash(data, number)
        return digest


@lru_cache(maxsize=1 << 16)
def _hash(data: bytes, number: int) -> int:
    salted = hashlib.blake2b(data, digest_size=16, key=number.to_bytes(8, "big", signed=True))
    return int.from_bytes(salted.digest(), "big")
