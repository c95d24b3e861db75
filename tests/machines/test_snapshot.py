"""The states of a shadow copy follow from its provider's phases, with the vendor's values."""

from __future__ import annotations

from vss.machines import ProviderMachine, ProviderPhase, ProviderState, SnapshotState, snapshot_state
from vss.machines.snapshot import AT_REST, IN_FLIGHT

HAPPY_PATH = list(ProviderPhase)[:-1]


def test_states_have_the_vendors_values() -> None:
    assert [state.value for state in SnapshotState] == list(range(16))
    assert SnapshotState.CREATED == 12


def test_every_phase_has_its_state() -> None:
    assert set(AT_REST) == set(ProviderState)
    assert set(IN_FLIGHT) == set(ProviderPhase)
    machine = ProviderMachine("P")
    seen = [snapshot_state(machine).name]
    for phase in HAPPY_PATH:
        machine.begin(phase)
        seen.append(snapshot_state(machine).name)
        machine.finish(True)
        seen.append(snapshot_state(machine).name)
    assert seen == [
        "UNKNOWN",
        "PREPARING",
        "PREPARING",
        "PROCESSING_PREPARE",
        "PREPARED",
        "PROCESSING_PRECOMMIT",
        "PRECOMMITTED",
        "PROCESSING_COMMIT",
        "COMMITTED",
        "PROCESSING_POSTCOMMIT",
        "POSTCOMMITTED",
        "PROCESSING_PREFINALCOMMIT",
        "PREFINALCOMMITTED",
        "PROCESSING_POSTFINALCOMMIT",
        "CREATED",
    ]
