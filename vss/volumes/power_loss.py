"""What a store may hold after power loss. The model is in ``vss.simulation.power_loss``; here its states become bytes."""

from __future__ import annotations

from collections.abc import Sequence

from vss.simulation.power_loss import PowerLossState, UnsyncedWrite, power_loss_states
from vss.volumes.block_store import BlockStore

__all__ = ["PowerLossState", "UnsyncedWrite", "apply_state", "power_loss_states"]


def apply_state(store: BlockStore, writes: Sequence[UnsyncedWrite], state: PowerLossState) -> None:
    """Put what survived of ``writes`` over the durable bytes in ``store``."""
    for number in state.kept:
        write = writes[number]
        if number == state.kept[-1] and state.torn_sectors is not None:
            sectors = write.sectors()
            for sector in state.torn_sectors:
                store.write(*sectors[sector])
        else:
            store.write(write.offset, write.data)
