"""The writer's table as a graph, and the machine that applies it."""

from __future__ import annotations

import networkx as nx
import pytest

from vss.errors import BadStateError
from vss.machines.writer import FINAL_STATES, TRANSITIONS, WriterEvent, WriterMachine, WriterState

S = WriterState
E = WriterEvent

HAPPY_PATH = (
    (E.IDENTIFY, S.STABLE),
    (E.PREPARE_FOR_BACKUP, S.STABLE),
    (E.PREPARE_FOR_SNAPSHOT, S.WAITING_FOR_FREEZE),
    (E.FREEZE, S.WAITING_FOR_THAW),
    (E.THAW, S.WAITING_FOR_POST_SNAPSHOT),
    (E.POST_SNAPSHOT, S.WAITING_FOR_BACKUP_COMPLETE),
    (E.BACKUP_COMPLETE, S.STABLE),
    (E.BACKUP_SHUTDOWN, S.STABLE),
)


def graph(*without: WriterEvent) -> nx.MultiDiGraph:
    result = nx.MultiDiGraph()
    result.add_nodes_from(S)
    for (before, event), (when_ok, when_failed) in TRANSITIONS.items():
        if event not in without:
            result.add_edge(before, when_ok, event=event, ok=True)
            result.add_edge(before, when_failed, event=event, ok=False)
    return result


def machine_in(state: WriterState) -> WriterMachine:
    machine = WriterMachine("Store")
    machine.state = state
    return machine


def step(machine: WriterMachine, event: WriterEvent, ok: bool = True) -> WriterState:
    machine.begin(event)
    return machine.finish(ok)


# -- the table as a graph ------------------------------------------------------------------------------------------------------


def test_states_have_the_vendors_values() -> None:
    assert [state.value for state in S] == list(range(16))
    assert S.WAITING_FOR_BACKUP_COMPLETE == 5
    assert S.FAILED_AT_BACKUPSHUTDOWN == 15


def test_every_state_is_reachable_from_stable() -> None:
    assert nx.descendants(graph(), S.STABLE) | {S.STABLE} == set(S)


def test_only_failed_states_never_come_back_to_stable() -> None:
    table = graph()
    assert {state for state in S if not nx.has_path(table, state, S.STABLE)} == FINAL_STATES


def test_no_path_to_freeze_skips_prepare_for_snapshot() -> None:
    assert not nx.has_path(graph(E.PREPARE_FOR_SNAPSHOT), S.STABLE, S.WAITING_FOR_THAW)


def test_no_path_to_log_truncation_skips_the_snapshot() -> None:
    for event in (E.PREPARE_FOR_SNAPSHOT, E.FREEZE, E.THAW, E.POST_SNAPSHOT):
        assert not nx.has_path(graph(event), S.STABLE, S.WAITING_FOR_BACKUP_COMPLETE)


def test_every_way_out_of_frozen_is_thaw_abort_or_expiry() -> None:
    ways = {
        data["event"] for _, after, data in graph().out_edges(S.WAITING_FOR_THAW, data=True) if after is not S.WAITING_FOR_THAW
    }
    assert ways == {E.THAW, E.ABORT, E.FREEZE_TIMER_EXPIRED}


def test_without_thaw_abort_and_expiry_frozen_is_a_trap() -> None:
    table = graph(E.THAW, E.ABORT, E.FREEZE_TIMER_EXPIRED)
    assert nx.descendants(table, S.WAITING_FOR_THAW) == set()


def test_restore_events_never_leave_the_restore_states() -> None:
    only = graph(*(event for event in E if event not in (E.PRE_RESTORE, E.POST_RESTORE)))
    assert nx.descendants(only, S.STABLE) == {S.FAILED_AT_PRE_RESTORE, S.FAILED_AT_POST_RESTORE}


def test_failed_states_are_left_by_nothing_but_a_failed_shutdown() -> None:
    for before, after, data in graph().edges(data=True):
        if before in FINAL_STATES and before is not after:
            assert (after, data["event"], data["ok"]) == (S.FAILED_AT_BACKUPSHUTDOWN, E.BACKUP_SHUTDOWN, False)


def test_a_metadata_request_is_legal_everywhere_and_keeps_the_state_outside_stable() -> None:
    assert {state: TRANSITIONS.get((state, E.IDENTIFY)) for state in S} == {
        **{state: (state, state) for state in S},
        S.STABLE: (S.STABLE, S.FAILED_AT_IDENTIFY),
    }


def test_abort_undoes_what_is_not_over_keeps_what_failed_and_is_refused_elsewhere() -> None:
    undone = (S.STABLE, S.WAITING_FOR_FREEZE, S.WAITING_FOR_THAW, S.WAITING_FOR_POST_SNAPSHOT)
    kept = (
        S.UNKNOWN,
        S.FAILED_AT_PREPARE_BACKUP,
        S.FAILED_AT_PREPARE_SNAPSHOT,
        S.FAILED_AT_FREEZE,
        S.FAILED_AT_THAW,
    )
    assert {state: after for (state, event), after in TRANSITIONS.items() if event is E.ABORT} == {
        **dict.fromkeys(undone, (S.STABLE, S.UNKNOWN)),
        **{state: (state, state) for state in kept},
    }


def test_the_end_of_a_backup_may_be_told_to_all_but_those_between_prepare_and_post_snapshot() -> None:
    failed = S.FAILED_AT_BACKUPSHUTDOWN
    assert {state: after for (state, event), after in TRANSITIONS.items() if event is E.BACKUP_SHUTDOWN} == {
        S.STABLE: (S.STABLE, failed),
        S.WAITING_FOR_BACKUP_COMPLETE: (S.STABLE, failed),
        S.UNKNOWN: (S.UNKNOWN, failed),
        S.FAILED_AT_PREPARE_BACKUP: (S.FAILED_AT_PREPARE_BACKUP, failed),
        S.FAILED_AT_PREPARE_SNAPSHOT: (S.FAILED_AT_PREPARE_SNAPSHOT, failed),
        S.FAILED_AT_FREEZE: (S.FAILED_AT_FREEZE, failed),
        S.FAILED_AT_THAW: (S.FAILED_AT_THAW, failed),
        S.FAILED_AT_POST_SNAPSHOT: (S.FAILED_AT_POST_SNAPSHOT, failed),
        S.FAILED_AT_BACKUP_COMPLETE: (S.FAILED_AT_BACKUP_COMPLETE, failed),
    }


# -- the machine ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [event for event in E if event is not E.FREEZE_TIMER_EXPIRED])
@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("ok", [True, False])
def test_every_pair_is_a_row_or_a_refusal_that_changes_nothing(state: WriterState, event: WriterEvent, ok: bool) -> None:
    machine = machine_in(state)
    assert machine.allows(event) == ((state, event) in TRANSITIONS)
    if machine.allows(event):
        machine.begin(event)
        assert (machine.state, machine.in_flight) == (state, event)
        assert machine.finish(ok) is TRANSITIONS[state, event][0 if ok else 1]
    else:
        with pytest.raises(BadStateError, match=f"writer 'Store' cannot take {event.value} in state {state.name}: expected "):
            machine.begin(event)
        assert machine.state is state
    assert machine.in_flight is None


def test_happy_path() -> None:
    machine = WriterMachine("Store")
    assert [(event, step(machine, event)) for event, _ in HAPPY_PATH] == list(HAPPY_PATH)


def test_an_answer_that_was_lost_on_its_way_makes_the_step_that_succeeded_fail_once() -> None:
    machine = WriterMachine("Store")
    step(machine, E.PREPARE_FOR_BACKUP)
    assert machine.retract(E.PREPARE_FOR_BACKUP)
    assert machine.state is S.FAILED_AT_PREPARE_BACKUP
    assert not machine.retract(E.PREPARE_FOR_BACKUP)
    assert machine.state is S.FAILED_AT_PREPARE_BACKUP


def test_a_step_that_left_the_state_as_it_was_is_taken_back_once_too() -> None:
    machine = machine_in(S.FAILED_AT_FREEZE)
    step(machine, E.ABORT)
    assert machine.retract(E.ABORT)
    assert not machine.retract(E.ABORT)


def test_only_the_last_step_and_one_that_succeeded_can_be_taken_back() -> None:
    fresh = WriterMachine("Store")
    assert not fresh.retract(E.PREPARE_FOR_BACKUP)

    machine = WriterMachine("Store")
    step(machine, E.PREPARE_FOR_BACKUP)
    step(machine, E.PREPARE_FOR_SNAPSHOT)
    assert not machine.retract(E.PREPARE_FOR_BACKUP)
    assert machine.state is S.WAITING_FOR_FREEZE

    step(machine, E.FREEZE, ok=False)
    assert not machine.retract(E.PREPARE_FOR_SNAPSHOT)
    assert not machine.retract(E.FREEZE)
    assert machine.state is S.FAILED_AT_FREEZE


def test_a_step_is_not_taken_back_where_the_window_ran_out_in_between() -> None:
    machine = machine_in(S.WAITING_FOR_FREEZE)
    step(machine, E.FREEZE)
    machine.expire()
    assert not machine.retract(E.FREEZE)
    assert machine.state is S.FAILED_AT_THAW


def test_a_fresh_session_resumes_waiting_for_backup_complete() -> None:
    machine = WriterMachine("Store")
    machine.resume()
    assert machine.state is S.WAITING_FOR_BACKUP_COMPLETE
    with pytest.raises(AssertionError, match="resumed in state WAITING_FOR_BACKUP_COMPLETE"):
        machine.resume()


def test_a_writer_of_which_nobody_knows_is_unknown() -> None:
    machine = machine_in(S.WAITING_FOR_BACKUP_COMPLETE)
    machine.forget()
    assert machine.state is S.UNKNOWN


def test_a_second_begin_while_a_step_is_in_flight_is_our_own_mistake() -> None:
    machine = WriterMachine("Store")
    machine.begin(E.PREPARE_FOR_BACKUP)
    with pytest.raises(AssertionError, match="in flight"):
        machine.begin(E.PREPARE_FOR_SNAPSHOT)
    with pytest.raises(AssertionError, match="in flight"):
        machine.reset()


def test_finish_without_begin_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="no step"):
        WriterMachine("Store").finish(True)


def test_the_timer_is_not_a_step() -> None:
    with pytest.raises(AssertionError, match="expire"):
        machine_in(S.WAITING_FOR_THAW).begin(E.FREEZE_TIMER_EXPIRED)


def test_expiry_while_freeze_runs_fails_at_freeze_and_abort_may_follow() -> None:
    machine = machine_in(S.WAITING_FOR_FREEZE)
    machine.begin(E.FREEZE)
    assert machine.expire() is S.FAILED_AT_FREEZE
    assert machine.in_flight is None
    assert step(machine, E.ABORT) is S.FAILED_AT_FREEZE


@pytest.mark.parametrize("thaw_runs", [False, True])
def test_expiry_while_frozen_fails_at_thaw(thaw_runs: bool) -> None:
    machine = machine_in(S.WAITING_FOR_THAW)
    if thaw_runs:
        machine.begin(E.THAW)
    assert machine.expire() is S.FAILED_AT_THAW
    assert step(machine, E.ABORT) is S.FAILED_AT_THAW


@pytest.mark.parametrize("state", [state for state in S if state is not S.WAITING_FOR_THAW])
def test_expiry_is_refused_where_nobody_is_frozen(state: WriterState) -> None:
    machine = machine_in(state)
    with pytest.raises(BadStateError, match="FreezeTimerExpired"):
        machine.expire()
    assert machine.state is state


def test_a_writer_whose_abort_failed_is_unknown_and_stays_so_until_the_next_session() -> None:
    machine = machine_in(S.WAITING_FOR_THAW)
    assert step(machine, E.ABORT, ok=False) is S.UNKNOWN
    assert step(machine, E.ABORT) is S.UNKNOWN
    assert step(machine, E.BACKUP_SHUTDOWN) is S.UNKNOWN
    machine.reset()
    assert machine.state is S.STABLE


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        (S.STABLE, E.PREPARE_FOR_BACKUP, S.UNKNOWN),
        (S.STABLE, E.PREPARE_FOR_SNAPSHOT, S.UNKNOWN),
        (S.WAITING_FOR_FREEZE, E.FREEZE, S.FAILED_AT_FREEZE),
        (S.WAITING_FOR_THAW, E.THAW, S.FAILED_AT_THAW),
        (S.WAITING_FOR_POST_SNAPSHOT, E.POST_SNAPSHOT, S.UNKNOWN),
        (S.WAITING_FOR_BACKUP_COMPLETE, E.BACKUP_COMPLETE, S.UNKNOWN),
        (S.FAILED_AT_THAW, E.ABORT, S.FAILED_AT_THAW),
        (S.STABLE, E.PRE_RESTORE, S.UNKNOWN),
    ],
)
def test_no_answer_leaves_a_writer_unknown_outside_the_window(state: S, event: E, after: S) -> None:
    machine = machine_in(state)
    machine.begin(event)
    assert machine.lose() is after
    assert machine.in_flight is None


def test_losing_nothing_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="no step"):
        WriterMachine("Store").lose()


def test_a_refusal_names_what_would_be_legal() -> None:
    legal = "Identify, Thaw, Abort, FreezeTimerExpired"
    with pytest.raises(BadStateError, match=f"in state WAITING_FOR_THAW: expected one of {legal}$"):
        machine_in(S.WAITING_FOR_THAW).begin(E.FREEZE)


def test_abort_is_refused_after_post_snapshot() -> None:
    with pytest.raises(BadStateError):
        machine_in(S.WAITING_FOR_BACKUP_COMPLETE).begin(E.ABORT)


def test_a_failure_stays_visible_after_shutdown() -> None:
    machine = machine_in(S.FAILED_AT_FREEZE)
    assert step(machine, E.BACKUP_SHUTDOWN) is S.FAILED_AT_FREEZE


def test_words_are_those_of_the_vendors_tools() -> None:
    words = [state.word for state in S]
    assert words[:6] == [
        "Unknown",
        "Stable",
        "Waiting for freeze",
        "Frozen",
        "Waiting for completion",
        "Waiting for completion",
    ]
    assert set(words[6:]) == {"Failed"}


def test_is_failed_covers_unknown_and_all_failed_at() -> None:
    assert [state for state in S if not state.is_failed] == [S(value) for value in range(1, 6)]
