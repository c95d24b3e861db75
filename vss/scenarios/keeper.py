"""The disks of a scenario's machine: in memory, watched below the gate, and able to lose power."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from vss.lab.configuration import VolumeTable, parse_size
from vss.lab.stores import BeforeMount, MemoryKeeper
from vss.ports import Ports
from vss.simulation.survivors import UnsyncedEffect
from vss.volumes import BlockStore, BlockVolume, FaultyStore, MemoryStore, PowerLossState
from vss.volumes.fault_store import copy_of
from vss.volumes.watched_store import Moment, WatchedStore


class ScenarioKeeper(MemoryKeeper):
    """Keeps volumes in memory under a store that knows which writes were flushed.

    Args:
        knows_unsynced: whether power cuts may lose writes that were not flushed, at the price of a second copy in memory.
        numbers: gives writes that were not flushed their place in the order of issue.
        moment: stamps what the stores note of their writes; where there is none they are not watched.

    Attributes:
        watched: the stores under the volumes, by name; empty where nobody watches.
    """

    def __init__(
        self, *, knows_unsynced: bool = False, numbers: Callable[[], int] | None = None, moment: Moment | None = None
    ) -> None:
        """Begin with nothing."""
        super().__init__()
        self._knows_unsynced = knows_unsynced
        self._numbers = numbers
        self._moment = moment
        self._below: dict[str, FaultyStore] = {}
        self._written: dict[str, set[int]] = {}
        self.watched: dict[str, WatchedStore] = {}

    def make(self, table: VolumeTable, ports: Ports) -> BlockVolume:
        """Make a new volume, and watch it from here on: formatting is no application's work."""
        return self._watch(super().make(table, ports))

    def mount(self, table: VolumeTable, ports: Ports, before_mount: BeforeMount | None = None) -> BlockVolume:
        """Mount a volume, and watch it from here on."""
        return self._watch(super().mount(table, ports, before_mount))

    def _watch(self, volume: BlockVolume) -> BlockVolume:
        watched = self.watched.get(volume.name)
        if watched is not None and not volume.is_lost:
            watched.begin()
            volume.device.attach(watched)
        return volume

    def blank(self, table: VolumeTable) -> BlockStore:
        """Return an empty store."""
        self.lost_volumes = [each for each in self.lost_volumes if each != table.name]
        store = MemoryStore(parse_size(table.size, table.name), name=table.name)
        return self._put(table.name, store, set())

    def _put(self, name: str, store: BlockStore, written: set[int]) -> BlockStore:
        self._below[name] = below = FaultyStore(store, records_writes=self._knows_unsynced, numbers=self._numbers)
        self._stores[name] = below
        if self._moment is not None:
            size = self.watched[name].region_bytes if name in self.watched else below.size_bytes
            self._stores[name] = self.watched[name] = WatchedStore(below, self._moment, region_bytes=size, written=written)
        return self._stores[name]

    def keep_workloads(self, records: Mapping[str, bytes]) -> None:
        """Keep these records, and forget all others."""
        self._records = dict(records)

    def unsynced(self) -> list[UnsyncedEffect]:
        """Return the writes that a power cut may take, volume by volume."""
        return [
            UnsyncedEffect(each.number, name, f"{len(each.data)} bytes at {each.offset}", len(each.sectors()))
            for name, store in self._below.items()
            for each in store.unsynced
        ]

    def cut_power(self, survivors: Collection[int] | None, torn: Mapping[int, tuple[int, ...]]) -> None:
        """Put the disks into the state that a power cut leaves: what is still running goes on writing to nobody.

        Args:
            survivors: numbers of the unsynced writes that are there afterwards; None for all.
            torn: of which write only some sectors are.
        """
        for name, store in self._below.items():
            if survivors is None:
                left = copy_of(store)
            else:
                writes = store.unsynced
                kept = tuple(place for place, write in enumerate(writes) if write.number in survivors)
                left = store.after_power_loss(PowerLossState(kept, torn.get(writes[kept[-1]].number) if kept else None))
            watched = self.watched.get(name)
            self._put(name, left, set() if watched is None else set(watched.image().blocks))
