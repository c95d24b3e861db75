"""The provider's table as a graph, and the machine that applies it."""

from __future__ import annotations

import networkx as nx
import pytest

from vss.errors import BadStateError
from vss.machines.provider import FINAL_STATES, TRANSITIONS, ProviderMachine, ProviderPhase, ProviderState

S = ProviderState
P = ProviderPhase

HAPPY_PATH = (
    (P.BEGIN_PREPARE, S.PREPARING),
    (P.BEGIN_PREPARE, S.PREPARING),
    (P.END_PREPARE, S.PREPARED),
    (P.PRE_COMMIT, S.PRECOMMITTED),
    (P.COMMIT, S.COMMITTED),
    (P.POST_COMMIT, S.POSTCOMMITTED),
    (P.PRE_FINAL_COMMIT, S.PRE_FINAL),
    (P.POST_FINAL_COMMIT, S.CREATED),
)


def graph(*without: ProviderPhase) -> nx.MultiDiGraph:
    result = nx.MultiDiGraph()
    result.add_nodes_from(S)
    for (before, phase), (when_ok, when_failed) in TRANSITIONS.items():
        if phase not in without:
            result.add_edge(before, when_ok, phase=phase)
            result.add_edge(before, when_failed, phase=phase)
    return result


def machine_in(state: ProviderState) -> ProviderMachine:
    machine = ProviderMachine("copy-on-write")
    machine.state = state
    return machine


def test_every_state_is_reachable() -> None:
    assert nx.descendants(graph(), S.EMPTY) | {S.EMPTY} == set(S)


def test_every_state_can_end_and_only_created_and_aborted_do() -> None:
    table = graph()
    for state in S:
        assert FINAL_STATES & (nx.descendants(table, state) | {state})
    assert {state for state in S if set(table.successors(state)) <= {state}} == FINAL_STATES


def test_no_phase_of_the_happy_path_can_be_skipped() -> None:
    for phase in P:
        if phase is not P.ABORT:
            assert not nx.has_path(graph(phase), S.EMPTY, S.CREATED)


def test_a_failed_set_can_only_be_aborted() -> None:
    assert {phase for state, phase in TRANSITIONS if state is S.FAILED} == {P.ABORT}


def test_abort_is_legal_from_the_first_volume_to_the_end_and_at_the_end_changes_nothing() -> None:
    assert {state: after for (state, phase), after in TRANSITIONS.items() if phase is P.ABORT} == {
        S.CREATED: (S.CREATED, S.CREATED),
        **{state: (S.ABORTED, S.ABORTED) for state in S if state not in (S.EMPTY, S.CREATED)},
    }


@pytest.mark.parametrize("phase", list(P))
@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("ok", [True, False])
def test_every_pair_is_a_row_or_a_refusal_that_changes_nothing(state: ProviderState, phase: ProviderPhase, ok: bool) -> None:
    machine = machine_in(state)
    if (state, phase) in TRANSITIONS and (state, phase) != (S.PREPARING, P.ABORT):
        machine.begin(phase)
        assert (machine.state, machine.in_flight) == (state, phase)
        assert machine.finish(ok) is TRANSITIONS[state, phase][0 if ok else 1]
    else:
        with pytest.raises(BadStateError, match=f"provider 'copy-on-write' cannot take {phase.value} in state {state.name}"):
            machine.begin(phase)
        assert machine.state is state
    assert machine.in_flight is None


def test_happy_path() -> None:
    machine = ProviderMachine("copy-on-write")
    for phase, state in HAPPY_PATH:
        machine.begin(phase)
        assert machine.finish(True) is state


def test_abort_may_interrupt_end_prepare() -> None:
    machine = machine_in(S.PREPARING)
    machine.begin(P.END_PREPARE)
    machine.begin(P.ABORT)
    assert machine.finish(False) is S.ABORTED


def test_abort_never_comes_while_volumes_are_being_added() -> None:
    machine = machine_in(S.PREPARING)
    machine.begin(P.BEGIN_PREPARE)
    with pytest.raises(BadStateError, match="in state PREPARING"):
        machine.begin(P.ABORT)
    assert machine.in_flight is P.BEGIN_PREPARE


def test_a_refusal_names_what_would_be_legal() -> None:
    with pytest.raises(BadStateError, match=r"in state PREPARED: expected one of PreCommitSnapshots, AbortSnapshots$"):
        machine_in(S.PREPARED).begin(P.COMMIT)


def test_abort_twice_is_harmless_and_a_finished_set_is_left_alone() -> None:
    for state in (S.ABORTED, S.CREATED):
        machine = machine_in(state)
        machine.begin(P.ABORT)
        assert machine.finish(True) is state


def test_two_phases_at_once_are_our_own_mistake() -> None:
    machine = machine_in(S.PREPARED)
    machine.begin(P.PRE_COMMIT)
    with pytest.raises(AssertionError, match="in flight"):
        machine.begin(P.COMMIT)


def test_finish_without_begin_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="no phase"):
        ProviderMachine("copy-on-write").finish(True)
