"""The fault layer: a store that misbehaves on purpose, and knows what power loss would leave of it.

Decides what each storage fault means in bytes. Faults are armed as ``StoreFault`` records, tried in the order they were armed,
and fire once unless they are sticky; every firing is noted and told. A fault never makes an error look like success except
where that is the fault (lost, torn and misdirected writes, lying flush, bit flips).

Invariants: without armed faults the store behaves exactly like the one below; the same calls give the same bytes; ``durable``
holds what is sure to survive power loss. A failed flush drops the writes since the last one for good: they stay readable but no
later flush makes them durable (the behaviour known as fsyncgate; Rebello et al., "Can Applications Recover from fsync
Failures?", 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from vss.errors import BadStateError, InvalidArgumentError, VolumeFullError, VolumeReadError, VolumeWriteError
from vss.volumes.block_store import SECTOR_BYTES, BlockStore, Buffer, MemoryStore
from vss.volumes.power_loss import PowerLossState, UnsyncedWrite, apply_state, power_loss_states

_COPY_BYTES = 1 << 20


class StoreEffect(Enum):
    """What an armed fault does to the operation it strikes."""

    READ_ERROR = "read_error"
    SHORT_READ = "short_read"
    FLIPPED_READ = "flipped_read"
    WRITE_ERROR = "write_error"
    FULL = "full"
    LOST_WRITE = "lost_write"
    TORN_WRITE = "torn_write"
    MISDIRECTED_WRITE = "misdirected_write"
    FLUSH_ERROR = "flush_error"
    FLUSH_LIE = "flush_lie"


_READS = (StoreEffect.READ_ERROR, StoreEffect.SHORT_READ, StoreEffect.FLIPPED_READ)
_WRITES = (
    StoreEffect.WRITE_ERROR,
    StoreEffect.FULL,
    StoreEffect.LOST_WRITE,
    StoreEffect.TORN_WRITE,
    StoreEffect.MISDIRECTED_WRITE,
)
_FLUSHES = (StoreEffect.FLUSH_ERROR, StoreEffect.FLUSH_LIE)


@dataclass(frozen=True, slots=True)
class StoreFault:
    """One armed fault.

    Attributes:
        effect: what happens.
        offset: start of the range that an operation must touch; flushes have none.
        length: its length; None reaches to the end of the store.
        is_sticky: strike every time instead of once.
        skip: let so many operations that match pass first.
        kept_sectors: TORN_WRITE: which sectors of the write survive, counted from its first.
        target_offset: MISDIRECTED_WRITE: where the data goes instead; the intended place keeps its old bytes.
        mask: FLIPPED_READ: what is XORed onto the byte at ``offset``.
    """

    effect: StoreEffect
    offset: int = 0
    length: int | None = None
    is_sticky: bool = False
    skip: int = 0
    kept_sectors: tuple[int, ...] = ()
    target_offset: int = 0
    mask: int = 1

    def touches(self, offset: int, length: int) -> bool:
        """Whether an operation on this range can be struck."""
        return offset + length > self.offset and (self.length is None or offset < self.offset + self.length)


class FaultyStore:
    """A ``BlockStore`` over another one."""

    def __init__(
        self,
        inner: BlockStore,
        *,
        records_writes: bool = True,
        on_fault: Callable[[StoreFault], None] | None = None,
        before_flush: Callable[[], None] | None = None,
        numbers: Callable[[], int] | None = None,
    ) -> None:
        """Wrap ``inner``.

        Args:
            inner: the real bytes; what it holds now counts as durable.
            records_writes: keep the durable bytes and the unsynced writes, at the price of a second copy in memory.
            on_fault: told each time a fault strikes.
            before_flush: called before each flush, while everything since the last one is unsynced: the place to enumerate
                states after power loss, because every earlier state is among them.
            numbers: gives unsynced writes their place in the order of issue over several media.
        """
        self._inner = inner
        self._numbers = numbers
        self._on_fault = on_fault
        self._before_flush = before_flush
        self._armed: list[tuple[StoreFault, int]] = []
        self._durable = copy_of(inner) if records_writes else None
        self._unsynced: list[UnsyncedWrite] = []
        self.fired: list[StoreFault] = []

    # -- arming ---------------------------------------------------------------------------------------------------------------

    def arm(self, fault: StoreFault) -> None:
        """Have ``fault`` strike the next operation it matches."""
        self._armed.append((fault, fault.skip))

    def disarm(self) -> None:
        """Forget every armed fault."""
        self._armed.clear()

    def flip_bits(self, offset: int, mask: int = 1) -> None:
        """Flip bits of the byte at ``offset`` at rest: durable at once, unknown to everyone above."""
        if not 0 < mask < 256:
            raise InvalidArgumentError(f"{self.name}: expected a mask of 1 to 255, found {mask}")
        flipped = bytes([self._inner.read(offset, 1)[0] ^ mask])
        self._inner.write(offset, flipped)
        if self._durable is not None:
            self._durable.write(offset, bytes([self._durable.read(offset, 1)[0] ^ mask]))

    def _strike(self, effects: tuple[StoreEffect, ...], offset: int, length: int) -> StoreFault | None:
        for index, (fault, skip) in enumerate(self._armed):
            if fault.effect not in effects or not (effects is _FLUSHES or fault.touches(offset, length)):
                continue
            if skip:
                self._armed[index] = (fault, skip - 1)
                continue
            if not fault.is_sticky:
                del self._armed[index]
            self.fired.append(fault)
            if self._on_fault is not None:
                self._on_fault(fault)
            return fault
        return None

    # -- the store ------------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What error messages call it: the name of the store below."""
        return self._inner.name

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        return self._inner.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes, unless a fault strikes."""
        fault = self._strike(_READS, offset, length) if self._armed else None
        if fault is None:
            return self._inner.read(offset, length)
        if fault.effect is StoreEffect.READ_ERROR:
            raise VolumeReadError(f"{self.name}: reading {length} bytes at offset {offset}: input/output error")
        if fault.effect is StoreEffect.SHORT_READ:
            raise VolumeReadError(f"{self.name}: expected {length} bytes at offset {offset}, found {length // 2}")
        data = bytearray(self._inner.read(offset, length))
        data[max(fault.offset - offset, 0)] ^= fault.mask
        return bytes(data)

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill all of ``buffer`` from ``offset``, unless a fault strikes."""
        buffer[:] = self.read(offset, len(buffer))

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``, unless a fault strikes."""
        fault = self._strike(_WRITES, offset, len(data)) if self._armed else None
        if fault is None:
            self._record(offset, data)
        elif fault.effect is StoreEffect.WRITE_ERROR:
            raise VolumeWriteError(f"{self.name}: writing {len(data)} bytes at offset {offset}: input/output error")
        elif fault.effect is StoreEffect.FULL:
            raise VolumeFullError(f"{self.name}: writing {len(data)} bytes at offset {offset}: no space left on device")
        elif fault.effect is StoreEffect.MISDIRECTED_WRITE:
            self._record(fault.target_offset, data)
        elif fault.effect is StoreEffect.TORN_WRITE:
            sectors = UnsyncedWrite(offset, bytes(data)).sectors()
            for sector in fault.kept_sectors:
                if sector < len(sectors):
                    self._record(*sectors[sector])

    def _record(self, offset: int, data: Buffer) -> None:
        self._inner.write(offset, data)
        if self._durable is not None:
            number = 0 if self._numbers is None else self._numbers()
            self._unsynced.append(UnsyncedWrite(offset, bytes(data), number))

    def flush(self) -> None:
        """Make every write so far durable, unless a fault strikes."""
        if self._before_flush is not None:
            self._before_flush()
        fault = self._strike(_FLUSHES, 0, 0) if self._armed else None
        if fault is not None and fault.effect is StoreEffect.FLUSH_LIE:
            return
        unsynced, self._unsynced = self._unsynced, []
        if fault is not None:
            raise VolumeWriteError(f"{self.name}: flushing: input/output error")
        self._inner.flush()
        if self._durable is not None:
            for write in unsynced:
                self._durable.write(write.offset, write.data)

    def grow(self, size_bytes: int) -> None:
        """Lengthen, unless the store was told to be full."""
        for fault, _ in self._armed:
            if fault.effect is StoreEffect.FULL:
                raise VolumeFullError(f"{self.name}: growing to {size_bytes} bytes: no space left on device")
        self._inner.grow(size_bytes)
        if self._durable is not None:
            self._durable.grow(size_bytes)

    def close(self) -> None:
        """Close the store below."""
        self._inner.close()

    # -- power loss -----------------------------------------------------------------------------------------------------------

    @property
    def unsynced(self) -> tuple[UnsyncedWrite, ...]:
        """The writes that power loss may take, oldest first."""
        return tuple(self._unsynced)

    def power_loss_states(self, *, subset_max: int = 6, torn_max: int = 16) -> Iterator[PowerLossState]:
        """Enumerate what power loss could leave now; arguments as for ``power_loss.power_loss_states``."""
        return power_loss_states(self.unsynced, subset_max=subset_max, torn_max=torn_max)

    def after_power_loss(self, state: PowerLossState) -> MemoryStore:
        """Return a copy of the store as ``state`` leaves it; this one stays as it is."""
        copy = copy_of(self._recorded())
        apply_state(copy, self._unsynced, state)
        return copy

    def lose_power(self, state: PowerLossState) -> None:
        """Leave this very store as ``state`` says; what survived is durable. Whoever uses the store must mount it anew."""
        durable = self._recorded()
        apply_state(durable, self._unsynced, state)
        self._unsynced = []
        for offset in range(0, durable.size_bytes, _COPY_BYTES):
            self._inner.write(offset, durable.read(offset, min(_COPY_BYTES, durable.size_bytes - offset)))

    def _recorded(self) -> MemoryStore:
        if self._durable is None:
            raise BadStateError(f"{self.name}: expected a store that records its writes")
        return self._durable


def copy_of(store: BlockStore) -> MemoryStore:
    """Copy a store into memory, sparse where it is blank."""
    assert _COPY_BYTES % SECTOR_BYTES == 0
    copy = MemoryStore(store.size_bytes, name=store.name)
    blank = bytes(_COPY_BYTES)
    for offset in range(0, store.size_bytes, _COPY_BYTES):
        data = store.read(offset, min(_COPY_BYTES, store.size_bytes - offset))
        if data != blank:
            copy.write(offset, data)
    return copy
