"""A store that remembers: every write and flush that reached it, and copies of its volume at the instants that matter.

``WatchedStore`` goes below the gate, between a volume and its real store; what it notes is evidence for
``vss.simulation.invariants`` and owes nothing to the code that is judged. Attached to its volume as a filter it can tell an
application's writes, which came through the gate, from those of providers and tools below it. ``RunWatch`` stamps records as
the recorder does and takes a copy of each watched volume when its writes are held: while they are, nothing changes, so that
is the volume at the commit. Watching changes nothing: same bytes, same errors, same order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from vss.events import Event, Record, WritesHeld
from vss.simulation.invariants.evidence import Evidence, RegionCopy, StoreFlush, StoreWrite, VolumeEvidence
from vss.simulation.invariants.image import BLOCK, Image
from vss.volumes.block_store import BLOCK_BYTES, BlockStore, Buffer
from vss.volumes.block_volume import BlockVolume

Moment = Callable[[], tuple[int, int]]
"""How many records were emitted, and the instant in nanoseconds."""

VOLUME_HEADER = (0x1E00, 0x2000)
"""Where the on-disk format keeps its header inside the volume (libvshadow format document, "Volume header")."""


class WatchedStore:
    """A ``BlockStore`` over another one, and a ``WriteFilter`` of the volume on it."""

    def __init__(
        self, inner: BlockStore, moment: Moment, *, region_bytes: int | None = None, written: Collection[int] | None = None
    ) -> None:
        """Watch ``inner``.

        Args:
            inner: the store.
            moment: stamps what is noted.
            region_bytes: the length of the volume on it, by default all of it.
            written: numbers of the blocks that hold something (the others are known to be zeros); by default all are read.
        """
        self._inner = inner
        self._moment = moment
        self.region_bytes = inner.size_bytes if region_bytes is None else region_bytes
        self._image = Image.of_device(inner, self.region_bytes, written)
        self._dirty: set[int] = set()
        self._announced: tuple[int, int] | None = None
        self.begin()

    def begin(self) -> None:
        """Forget what was noted: evidence begins here."""
        self.first = self.image()
        self.writes: list[StoreWrite] = []
        self.flushes: list[StoreFlush] = []
        self.copies: list[RegionCopy] = []

    def image(self) -> Image:
        """Return the volume's bytes as they are now, at the price of what was written since this was last asked."""
        if self._dirty:
            fresh = {each: self._read_block(each) for each in sorted(self._dirty)}
            self._image = Image({**self._image.blocks, **fresh}, self.region_bytes)
            self._dirty.clear()
        return self._image

    def _read_block(self, number: int) -> bytes:
        return self._inner.read(number * BLOCK, min(BLOCK, self.region_bytes - number * BLOCK))

    # -- the store -------------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What error messages call it."""
        return self._inner.name

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        return self._inner.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes."""
        return self._inner.read(offset, length)

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill all of ``buffer`` from ``offset``."""
        self._inner.read_into(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``, and note it when it was written."""
        announced, self._announced = self._announced, None
        is_application = announced == (offset, len(data))
        if announced is not None and not is_application:
            self._announced = announced  # somebody saves blocks first; the announced write is still to come
        copy = bytes(data)
        end = min(offset + len(copy), self.region_bytes)
        if end > offset:
            self._dirty.update(range(offset // BLOCK, (end - 1) // BLOCK + 1))
        self._inner.write(offset, data)
        sequence, instant_ns = self._moment()
        self.writes.append(StoreWrite(sequence, instant_ns, offset, copy, is_application))

    def flush(self) -> None:
        """Make every write so far durable, and note when."""
        self._inner.flush()
        sequence, instant_ns = self._moment()
        self.flushes.append(StoreFlush(sequence, instant_ns, len(self.writes)))

    def grow(self, size_bytes: int) -> None:
        """Lengthen the store."""
        self._inner.grow(size_bytes)

    def close(self) -> None:
        """Close the store below."""
        self._inner.close()

    # -- the filter ------------------------------------------------------------------------------------------------------------

    def before_write(self, offset: int, length: int) -> None:
        """The volume's owner is about to write: the next write of this range is an application's."""
        self._announced = (offset, length)

    # -- evidence --------------------------------------------------------------------------------------------------------------

    def take_copy(self, reason: str) -> None:
        """Keep the volume's bytes as they are now."""
        sequence, instant_ns = self._moment()
        self.copies.append(RegionCopy(sequence, instant_ns, reason, self.image()))

    def evidence(
        self,
        *,
        excluded: tuple[tuple[int, int], ...] = (VOLUME_HEADER,),
        block_bytes: int = BLOCK_BYTES,
        has_faults: bool = False,
    ) -> VolumeEvidence:
        """Return what was noted so far, with the volume's bytes of now.

        Args:
            excluded: ranges of the volume that belong to the provider.
            block_bytes: granularity of copy-on-write; 0 where shadow copies are made another way.
            has_faults: whether storage faults were injected below.
        """
        return VolumeEvidence(
            size_bytes=self.region_bytes,
            first=self.first,
            writes=tuple(self.writes),
            flushes=tuple(self.flushes),
            copies=tuple(self.copies),
            last=self.image(),
            excluded=excluded,
            block_bytes=block_bytes,
            has_faults=has_faults,
        )


class RunWatch:
    """The records of a run and the watched stores of its machine: hand ``emit`` to the run."""

    def __init__(self, copied_at: Collection[type[Event]] = (WritesHeld,)) -> None:
        """Take copies of the volumes at these events; those with a ``volume`` field mean that volume only."""
        self.records: list[Record] = []
        self.stores: dict[str, WatchedStore] = {}
        self._copied_at = tuple(copied_at)
        self._now_ns: Callable[[], int] = _at_zero

    def start(self, now_ns: Callable[[], int]) -> None:
        """Stamp by this clock from now on."""
        self._now_ns = now_ns

    def moment(self) -> tuple[int, int]:
        """How many records there are, and the instant."""
        return len(self.records), self._now_ns()

    def emit(self, event: Event) -> None:
        """Record ``event``, and copy what is to be copied at it."""
        self.records.append(Record(len(self.records) + 1, self._now_ns(), event))
        if not isinstance(event, self._copied_at):
            return
        only = getattr(event, "volume", None)
        for name, store in self.stores.items():
            if only is None or only == name:
                store.take_copy(type(event).__name__)

    def wrap(self, name: str, store: BlockStore, *, region_bytes: int | None = None) -> WatchedStore:
        """Return a watched store for the volume that will be called ``name``."""
        self.stores[name] = watched = WatchedStore(store, self.moment, region_bytes=region_bytes)
        return watched

    def attach(self, volume: BlockVolume) -> None:
        """Tell the writes of ``volume`` from those of its providers; before any provider is attached."""
        volume.device.attach(self.stores[volume.name])

    def evidence(self, *, volume_options: Mapping[str, Any] | None = None, **parts: Any) -> Evidence:
        """Return the evidence of the run so far; ``parts`` are the other fields of ``Evidence``."""
        volumes = {name: store.evidence(**(volume_options or {})) for name, store in self.stores.items()}
        return Evidence(records=tuple(self.records), end_ns=self._now_ns(), volumes=volumes, **parts)


def _at_zero() -> int:
    return 0
