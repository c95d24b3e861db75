"""A store whose every access passes a fault site: what a plan of faults does to the bytes of a volume, below the gate.

Unlike ``FaultyStore``, whose faults are armed by hand, this one asks the world's plan (``Ports.io_faults``) at ``store.read``,
``store.write``, ``store.flush`` and ``store.grow``. Invariant: without a fault it behaves exactly like the store below. A
failed flush with ``fsyncgate`` drops what was written since the last one; ``stale`` reads show what the last write replaced.
"""

from __future__ import annotations

from collections import deque

from vss.errors import VolumeReadError, VolumeWriteError
from vss.io_faults import IoFault, IoFaultSite, no_io_faults
from vss.ports import Ports
from vss.volumes.block_store import BlockStore, Buffer

_REMEMBERED_WRITES = 256


def planned_store(ports: Ports, volume: str, store: BlockStore) -> BlockStore:
    """Return ``store`` with fault sites where the world has a plan, else ``store`` itself."""
    if ports.io_faults is no_io_faults or isinstance(store, PlannedStore):
        return store
    return PlannedStore(store, ports.io_faults, volume)


class PlannedStore:
    """A ``BlockStore`` over another one."""

    def __init__(self, inner: BlockStore, io_faults: IoFaultSite, volume: str) -> None:
        """Wrap ``inner``, the store of the volume called ``volume``."""
        self.inner = inner
        self._io_faults = io_faults
        self._volume = volume
        self._replaced: deque[tuple[int, bytes]] = deque(maxlen=_REMEMBERED_WRITES)
        self._unsynced_count = 0

    @property
    def name(self) -> str:
        """What error messages call it: the name of the store below."""
        return self.inner.name

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        return self.inner.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes, unless a fault strikes."""
        fault = self._io_faults("store.read", length, volume=self._volume, offset=str(offset))
        if fault is None:
            return self.inner.read(offset, length)
        self._check(fault)
        data = self.inner.read(offset, length)
        if fault.effect == "stale":
            return self._as_it_was(offset, data)
        damaged = fault.read(data)
        if len(damaged) < length:
            raise VolumeReadError(f"{self.name}: expected {length} bytes at offset {offset}, found {len(damaged)}")
        return damaged

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill all of ``buffer`` from ``offset``, unless a fault strikes."""
        buffer[:] = self.read(offset, len(buffer))

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``, unless a fault strikes."""
        fault = self._io_faults("store.write", len(data), volume=self._volume, offset=str(offset))
        if fault is None:
            self._write(offset, data)
            return
        for piece_offset, piece in fault.pieces(offset, bytes(data)):
            if piece_offset + len(piece) <= self.size_bytes:  # what is led beyond the end is lost
                self._write(piece_offset, piece)
        self._check(fault)
        if fault.effect == "short":
            raise VolumeWriteError(
                f"{self.name}: expected to write {len(data)} bytes at offset {offset}, found {len(data) // 2}"
            )

    def _write(self, offset: int, data: Buffer) -> None:
        self._replaced.append((offset, self.inner.read(offset, len(data))))
        self._unsynced_count += 1
        self.inner.write(offset, data)

    def flush(self) -> None:
        """Make every write so far durable, unless a fault strikes."""
        fault = self._io_faults("store.flush", 0, volume=self._volume)
        if fault is not None:
            if fault.is_skipped:
                return
            if fault.effect == "fsyncgate":
                self._drop_unsynced()
            if fault.effect == "fail-after":
                self._flush()
            self._check(fault)
        self._flush()

    def _flush(self) -> None:
        self.inner.flush()
        self._unsynced_count = 0

    def _drop_unsynced(self) -> None:
        for _ in range(min(self._unsynced_count, len(self._replaced))):
            offset, data = self._replaced.pop()
            self.inner.write(offset, data)
        self._unsynced_count = 0

    def grow(self, size_bytes: int) -> None:
        """Lengthen, unless a fault strikes."""
        fault = self._io_faults("store.grow", 0, volume=self._volume)
        if fault is not None:
            self._check(fault)
        self.inner.grow(size_bytes)

    def close(self) -> None:
        """Close the store below."""
        self.inner.close()

    def _check(self, fault: IoFault) -> None:
        """Raise what the fault says."""
        failure = fault.failure()
        if failure is not None:
            raise failure

    def _as_it_was(self, offset: int, data: bytes) -> bytes:
        """Return ``data`` with the last write that touched it undone."""
        for start, old in reversed(self._replaced):
            first, end = max(start, offset), min(start + len(old), offset + len(data))
            if first < end:
                undone = bytearray(data)
                undone[first - offset : end - offset] = old[first - start : end - start]
                return bytes(undone)
        return data
