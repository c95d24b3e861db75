"""A simulated storage array: LUNs, how they are copied inside it, and which machine sees which.

Decides what a copy holds. A *plex* is a mirror that is synchronised and then split. A *differential* LUN holds what was
overwritten on its source since the split and reads everything else there; so it goes with its source. Mapping is by machine
name; a LUN that was unmasked arrives after the array's delay, or never where it is withheld (a fault to be injected).
"""

from __future__ import annotations

from collections.abc import Iterator

from vss.errors import VolumeReadError, VolumeWriteError
from vss.ids import Guid
from vss.ports import NANOSECONDS
from vss.volumes.block_store import BlockStore, Buffer, MemoryStore
from vss.volumes.block_volume import BlockVolume
from vss_providers.mirror import Mirror
from vss_providers.on_disk.layout import BLOCK_SHIFT, BLOCK_SIZE
from vss_providers.transport import LunCopy, TransportableSet


class Lun:
    """A disk of the array, as a device.

    Attributes:
        lun_id: its identifier (page 83), unique in the array.
        size_bytes: length.
        source: what it is a copy of; itself when it is none.
        is_writable: whether it takes writes.
        is_withheld: whether it never arrives anywhere, whoever unmasks it.
    """

    def __init__(self, lun_id: str, size_bytes: int) -> None:
        """Make one that nobody sees."""
        self.lun_id = lun_id
        self.size_bytes = size_bytes
        self.source: Lun = self
        self.is_writable = True
        self.is_withheld = False
        self.is_removed = False
        self.arrivals_ns: dict[str, int] = {}

    def has_arrived(self, machine: str, now_ns: int) -> bool:
        """Whether ``machine`` sees it now."""
        return not self.is_withheld and not self.is_removed and self.arrivals_ns.get(machine, now_ns + 1) <= now_ns

    # What differs by kind.

    @property
    def is_source_current(self) -> bool:
        """Whether what it copies is still there."""
        return True

    def synchronise(self) -> Iterator[int]:
        """Copy what is missing, piece by piece; nothing by default."""
        yield from ()

    def split(self) -> None:
        """Fix the content."""

    def discard(self) -> None:
        """Give the blocks back."""

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes; ``VolumeReadError`` when it was removed."""
        if self.is_removed:
            raise VolumeReadError(f"LUN {self.lun_id} was removed from the array")
        return self._read(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """Change it; ``VolumeWriteError`` when it was removed or is read-only."""
        if self.is_removed or not self.is_writable:
            raise VolumeWriteError(f"LUN {self.lun_id} is " + ("removed from the array" if self.is_removed else "read-only"))
        self._write(offset, bytes(data))

    def flush(self) -> None:
        """The array has a battery."""

    def _read(self, offset: int, length: int) -> bytes:
        raise NotImplementedError

    def _write(self, offset: int, data: bytes) -> None:
        raise NotImplementedError


class VolumeLun(Lun):
    """The LUN under a volume of a machine."""

    def __init__(self, lun_id: str, volume: BlockVolume) -> None:
        """Stand for the disk under ``volume``."""
        super().__init__(lun_id, volume.size_bytes)
        self.volume = volume
        self.store = volume.raw_store

    def _read(self, offset: int, length: int) -> bytes:
        return self.store.read(offset, length)

    def _write(self, offset: int, data: bytes) -> None:
        raise VolumeWriteError(f"LUN {self.lun_id} is written through volume {self.volume.name}")


class PlexLun(Lun):
    """A full copy."""

    def __init__(self, lun_id: str, source: VolumeLun, store: BlockStore) -> None:
        """Begin to mirror ``source`` to ``store``; ``VolumeError`` when the volume is lost."""
        super().__init__(lun_id, source.size_bytes)
        self.source = source
        self._mirror = Mirror(source.volume, store)
        self._mirror.attach()

    @property
    def is_source_current(self) -> bool:
        """Whether the volume has still the disk that is mirrored."""
        return self._mirror.is_current

    def synchronise(self) -> Iterator[int]:
        """Copy everything the first time, later what changed; yield after each piece."""
        yield from self._mirror.catch_up() if self._mirror.is_whole else self._mirror.establish()

    def split(self) -> None:
        """Stop mirroring."""
        self._mirror.detach()

    def discard(self) -> None:
        """Stop mirroring and give the blocks back."""
        self._mirror.detach()
        self._mirror.store.close()

    def _read(self, offset: int, length: int) -> bytes:
        return self._mirror.store.read(offset, length)

    def _write(self, offset: int, data: bytes) -> None:
        self._mirror.store.write(offset, data)


class DifferentialLun(Lun):
    """A copy that shares with its source what neither has changed since the split."""

    def __init__(self, lun_id: str, source: VolumeLun) -> None:
        """Share everything; nothing is kept before the split."""
        super().__init__(lun_id, source.size_bytes)
        self.source = source
        self._origin = source
        self._kept: dict[int, bytearray] = {}
        self._is_split = False

    @property
    def is_source_current(self) -> bool:
        """Whether the volume has still the disk that is shared."""
        return self._origin.volume.raw_store is self._origin.store

    def split(self) -> None:
        """Keep from now on what is overwritten."""
        self._origin.volume.attach_filter(self)
        self._is_split = True

    def follow(self) -> None:
        """The source is under another volume object now: its machine started again."""
        if self._is_split:
            self._origin.volume.attach_filter(self)

    def discard(self) -> None:
        """Keep nothing any more."""
        self._origin.volume.detach_filter(self)
        self._kept.clear()

    def before_write(self, offset: int, length: int) -> None:
        """Keep the blocks of the source that are about to change."""
        for block in range(offset >> BLOCK_SHIFT, (offset + length - 1 >> BLOCK_SHIFT) + 1):
            self._keep(block)

    def _keep(self, block: int) -> bytearray:
        if block not in self._kept:
            offset = block << BLOCK_SHIFT
            self._kept[block] = bytearray(self._origin.store.read(offset, min(BLOCK_SIZE, self.size_bytes - offset)))
        return self._kept[block]

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Yield (block, start in it, length) of a range."""
        end = offset + length
        while offset < end:
            block, start = offset >> BLOCK_SHIFT, offset % BLOCK_SIZE
            size = min(BLOCK_SIZE - start, end - offset)
            yield block, start, size
            offset += size

    def _read(self, offset: int, length: int) -> bytes:
        pieces = []
        for block, start, size in self._pieces(offset, length):
            kept = self._kept.get(block)
            at = (block << BLOCK_SHIFT) + start
            pieces.append(self._origin.store.read(at, size) if kept is None else bytes(kept[start : start + size]))
        return b"".join(pieces)

    def _write(self, offset: int, data: bytes) -> None:
        done = 0
        for block, start, size in self._pieces(offset, len(data)):
            self._keep(block)[start : start + size] = data[done : done + size]
            done += size


class SimulatedArray:
    """The array. Machines share one by being given the same object.

    Attributes:
        name: what messages call it.
        arrival_s: how long an unmasked LUN takes to arrive, in seconds.
        transportable: the sets that wait for import.
        copies: the finished shadow copies, each with the machine that has it; what a machine finds when it starts again.
    """

    def __init__(self, name: str = "array", *, arrival_s: float = 0.0) -> None:
        """Make an empty one."""
        self.name = name
        self.arrival_s = arrival_s
        self.transportable: dict[object, TransportableSet] = {}
        self.copies: dict[Guid, tuple[str, LunCopy]] = {}
        self._luns: list[Lun] = []
        self._count = 0
        self._devices = 0

    def _next_id(self) -> str:
        self._count += 1
        return f"naa.6000c29{self._count:025x}"

    def next_device_number(self) -> int:
        """Return a number for a device name; none is given twice."""
        self._devices += 1
        return self._devices

    def adopt(self, volume: BlockVolume, machine: str) -> VolumeLun | None:
        """Take the disk under ``volume`` as a LUN of ``machine``; once is enough, and again after it was replaced.

        Returns:
            the LUN, where the array had it already under a volume that is gone: the machine started again.
        """
        ours = [lun for lun in self._luns if isinstance(lun, VolumeLun) and machine in lun.arrivals_ns]
        known = next((lun for lun in ours if lun.volume is volume), None)
        if known is not None:
            known.store = volume.raw_store
            return None
        again = next((lun for lun in ours if lun.store is volume.raw_store), None)
        if again is not None:
            self._follow(again, volume)
            return again
        lun = VolumeLun(self._next_id(), volume)
        lun.arrivals_ns[machine] = 0
        self._luns.append(lun)
        return None

    def _follow(self, lun: VolumeLun, volume: BlockVolume) -> None:
        """Put a LUN under the volume of a machine that started again; copies that were not finished go."""
        lun.volume = volume
        finished = [copy.target for _, copy in self.copies.values()]
        travelling = {lun_id for each in self.transportable.values() for _, lun_id in each.copies}
        for copy in [each for each in self._luns if isinstance(each, PlexLun | DifferentialLun) and each.source is lun]:
            if copy.lun_id not in travelling and not any(copy is each for each in finished):
                self.remove(copy)
            elif isinstance(copy, DifferentialLun):
                copy.follow()

    def lun_of(self, volume: BlockVolume) -> VolumeLun | None:
        """Return the LUN under ``volume`` as it is now, or None."""
        for lun in self._luns:
            if isinstance(lun, VolumeLun) and lun.volume is volume and lun.store is volume.raw_store:
                return lun
        return None

    def find(self, lun_id: str) -> Lun | None:
        """Return the LUN with an identifier, or None."""
        return next((lun for lun in self._luns if lun.lun_id == lun_id), None)

    def begin_copy(self, source: Lun, *, is_plex: bool) -> Lun:
        """Make the LUN of a copy; ``VolumeError`` when the volume is lost."""
        assert isinstance(source, VolumeLun), "only LUNs under volumes are copied"
        lun_id = self._next_id()
        lun: Lun
        if is_plex:
            lun = PlexLun(lun_id, source, MemoryStore(source.size_bytes, name=f"LUN {lun_id}"))
        else:
            lun = DifferentialLun(lun_id, source)
        self._luns.append(lun)
        return lun

    def remove(self, lun: Lun) -> None:
        """Take a LUN off the array and give its blocks back."""
        lun.discard()
        lun.is_removed = True
        self._luns = [each for each in self._luns if each is not lun]

    def unmask(self, lun: Lun, machine: str, now_ns: int) -> None:
        """Show a LUN to ``machine``, where it will arrive."""
        lun.arrivals_ns.setdefault(machine, now_ns + round(self.arrival_s * NANOSECONDS))

    def mask(self, lun: Lun, machine: str) -> None:
        """Hide a LUN from ``machine``."""
        lun.arrivals_ns.pop(machine, None)

    def exchange_identities(self, copy: Lun, original: Lun) -> None:
        """Give a copy the identifier of its original, which gets the copy's."""
        copy.lun_id, original.lun_id = original.lun_id, copy.lun_id
