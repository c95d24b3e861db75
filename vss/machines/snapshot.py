"""What state a shadow copy is in, from how far its set has come at its provider. No I/O, no clock.

Requestors only ever meet CREATED: earlier states are between coordinator and provider, and a set that fails leaves nothing.
Source: vss.h (values of VSS_SNAPSHOT_STATE; POSTCOMMITTED was added late and is out of order).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from vss.machines.provider import ProviderMachine, ProviderPhase, ProviderState


class SnapshotState(IntEnum):
    """VSS_SNAPSHOT_STATE, with the vendor's values."""

    UNKNOWN = 0
    PREPARING = 1
    PROCESSING_PREPARE = 2
    PREPARED = 3
    PROCESSING_PRECOMMIT = 4
    PRECOMMITTED = 5
    PROCESSING_COMMIT = 6
    COMMITTED = 7
    PROCESSING_POSTCOMMIT = 8
    PROCESSING_PREFINALCOMMIT = 9
    PREFINALCOMMITTED = 10
    PROCESSING_POSTFINALCOMMIT = 11
    CREATED = 12
    ABORTED = 13
    DELETED = 14
    POSTCOMMITTED = 15


AT_REST: Mapping[ProviderState, SnapshotState] = {
    ProviderState.EMPTY: SnapshotState.UNKNOWN,
    ProviderState.PREPARING: SnapshotState.PREPARING,
    ProviderState.PREPARED: SnapshotState.PREPARED,
    ProviderState.PRECOMMITTED: SnapshotState.PRECOMMITTED,
    ProviderState.COMMITTED: SnapshotState.COMMITTED,
    ProviderState.POSTCOMMITTED: SnapshotState.POSTCOMMITTED,
    ProviderState.PRE_FINAL: SnapshotState.PREFINALCOMMITTED,
    ProviderState.CREATED: SnapshotState.CREATED,
    ProviderState.FAILED: SnapshotState.ABORTED,
    ProviderState.ABORTED: SnapshotState.ABORTED,
}
"""Between two phases."""

IN_FLIGHT: Mapping[ProviderPhase, SnapshotState] = {
    ProviderPhase.BEGIN_PREPARE: SnapshotState.PREPARING,
    ProviderPhase.END_PREPARE: SnapshotState.PROCESSING_PREPARE,
    ProviderPhase.PRE_COMMIT: SnapshotState.PROCESSING_PRECOMMIT,
    ProviderPhase.COMMIT: SnapshotState.PROCESSING_COMMIT,
    ProviderPhase.POST_COMMIT: SnapshotState.PROCESSING_POSTCOMMIT,
    ProviderPhase.PRE_FINAL_COMMIT: SnapshotState.PROCESSING_PREFINALCOMMIT,
    ProviderPhase.POST_FINAL_COMMIT: SnapshotState.PROCESSING_POSTFINALCOMMIT,
    ProviderPhase.ABORT: SnapshotState.ABORTED,
}
"""While the provider works on a phase."""


def snapshot_state(machine: ProviderMachine) -> SnapshotState:
    """Return the state of the shadow copies of the set that ``machine`` follows."""
    return AT_REST[machine.state] if machine.in_flight is None else IN_FLIGHT[machine.in_flight]
