"""Making a shadow copy of one volume, call by call as the coordinator does, with a clock: what benchmarks share."""

from __future__ import annotations

import time
from dataclasses import dataclass

from vss.ids import Guid
from vss.roles.provider import Provider
from vss.volumes import BlockVolume


@dataclass(frozen=True, slots=True)
class Taken:
    """A shadow copy that was made; milliseconds for all of it, and inside the commit."""

    snapshot_id: Guid
    whole_ms: float
    commit_ms: float


async def take(provider: Provider, volume: BlockVolume, number: int, attributes: int = 0) -> Taken:
    """Make a shadow copy; ``number`` is one that no other has."""
    set_id, snapshot_id = Guid(int=2 * number), Guid(int=2 * number + 1)
    begun = time.perf_counter()
    await provider.begin_prepare_snapshot(set_id, snapshot_id, volume, attributes)
    await provider.end_prepare_snapshots(set_id)
    await provider.pre_commit_snapshots(set_id)
    committing = time.perf_counter()
    await provider.commit_snapshots(set_id)
    committed = time.perf_counter()
    await provider.post_commit_snapshots(set_id, 1)
    await provider.pre_final_commit_snapshots(set_id)
    await provider.post_final_commit_snapshots(set_id)
    return Taken(snapshot_id, (time.perf_counter() - begun) * 1e3, (committed - committing) * 1e3)
