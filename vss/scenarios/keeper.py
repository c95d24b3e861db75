"""The disks of a scenario's machine: in memory, watched below the gate, and able to lose power."""

from __future__ import annotations

from vss.lab.configuration import VolumeTable, parse_size
from vss.lab.stores import MemoryKeeper
from vss.volumes import BlockStore, FaultyStore, MemoryStore, PowerLossState
from vss.volumes.fault_store import copy_of


class ScenarioKeeper(MemoryKeeper):
    """Keeps volumes in memory under a store that knows which writes were flushed.

    Args:
        knows_unsynced: whether power cuts may lose writes that were not flushed, at the price of a second copy in memory.
    """

    def __init__(self, *, knows_unsynced: bool = False) -> None:
        """Begin with nothing."""
        super().__init__()
        self._knows_unsynced = knows_unsynced

    def blank(self, table: VolumeTable) -> BlockStore:
        """Return an empty store."""
        self.lost_volumes = [each for each in self.lost_volumes if each != table.name]
        store = MemoryStore(parse_size(table.size, table.name), name=table.name)
        self._stores[table.name] = FaultyStore(store, records_writes=self._knows_unsynced)
        return self._stores[table.name]

    def cut_power(self, *, keeps_unsynced: bool) -> None:
        """Put the disks into the state that a power cut leaves: what is still running goes on writing to nobody."""
        nothing = PowerLossState(())
        for name, store in self._stores.items():
            assert isinstance(store, FaultyStore), "this keeper makes no other"
            loses = self._knows_unsynced and not keeps_unsynced
            left = store.after_power_loss(nothing) if loses else copy_of(store)
            self._stores[name] = FaultyStore(left, records_writes=self._knows_unsynced)
