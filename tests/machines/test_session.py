"""The session's table as a graph, and the machine that applies it."""

from __future__ import annotations

import networkx as nx
import pytest

from vss.errors import BadStateError
from vss.machines.session import (
    STATUS_IS_MEANINGFUL,
    TRANSITIONS,
    TWO_MOMENTS,
    SessionCall,
    SessionMachine,
    SessionState,
    state_after_failure,
)

S = SessionState
C = SessionCall

BACKUP = (
    C.INITIALIZE_FOR_BACKUP,
    C.SET_CONTEXT,
    C.SET_BACKUP_STATE,
    C.DISABLE_WRITER_CLASSES,
    C.GATHER_WRITER_METADATA,
    C.ADD_COMPONENT,
    C.START_SNAPSHOT_SET,
    C.ADD_COMPONENT,
    C.SET_PREVIOUS_BACKUP_STAMP,
    C.IS_VOLUME_SUPPORTED,
    C.ADD_TO_SNAPSHOT_SET,
    C.PREPARE_FOR_BACKUP,
    C.GATHER_WRITER_STATUS,
    C.DO_SNAPSHOT_SET,
    C.GATHER_WRITER_STATUS,
    C.GET_SNAPSHOT_PROPERTIES,
    C.OPEN_SNAPSHOT,
    C.SET_BACKUP_SUCCEEDED,
    C.BACKUP_COMPLETE,
    C.GATHER_WRITER_STATUS,
    C.SAVE_AS_XML,
    C.DELETE_SNAPSHOTS,
    C.RELEASE,
)
RESTORE = (
    C.INITIALIZE_FOR_RESTORE,
    C.GATHER_WRITER_METADATA,
    C.SET_SELECTED_FOR_RESTORE,
    C.ADD_RESTORE_SUBCOMPONENT,
    C.SET_ADDITIONAL_RESTORES,
    C.PRE_RESTORE,
    C.GATHER_WRITER_STATUS,
    C.SET_FILE_RESTORE_STATUS,
    C.POST_RESTORE,
    C.GATHER_WRITER_STATUS,
    C.RELEASE,
)
WRITERLESS = (
    C.INITIALIZE_FOR_BACKUP,
    C.SET_CONTEXT_WITHOUT_WRITERS,
    C.START_SNAPSHOT_SET,
    C.ADD_TO_SNAPSHOT_SET,
    C.DO_SNAPSHOT_SET,
    C.GET_SNAPSHOT_PROPERTIES,
    C.RELEASE,
)


WITHOUT_SET = (
    C.INITIALIZE_FOR_BACKUP,
    C.GATHER_WRITER_METADATA,
    C.ADD_COMPONENT,
    C.PREPARE_FOR_BACKUP,
    C.GATHER_WRITER_STATUS,
    C.SET_BACKUP_SUCCEEDED,
    C.BACKUP_COMPLETE,
    C.RELEASE,
)
LEFT_WAITING = (*BACKUP[: BACKUP.index(C.BACKUP_COMPLETE)], C.LEAVE_WAITING)
COMPLETION = (C.INITIALIZE_WITH_DOCUMENT, C.GATHER_WRITER_METADATA, C.BACKUP_COMPLETE, C.GATHER_WRITER_STATUS, C.RELEASE)
IMPORT = (C.INITIALIZE_WITH_DOCUMENT, C.IMPORT_SNAPSHOTS, C.QUERY, C.BREAK_SNAPSHOT_SET, C.RELEASE)

UNFINISHED_BACKUP = {
    S.INITIALIZED,
    S.CONTEXT_SET,
    S.DISCOVERED,
    S.PREPARED_WITHOUT_SET,
    S.SET_STARTED,
    S.PREPARED,
    S.SNAPSHOT_TAKEN,
    S.BACKUP_FAILED,
    S.WRITERLESS,
    S.WRITERLESS_DISCOVERED,
    S.WRITERLESS_SET_STARTED,
    S.WRITERLESS_SNAPSHOT_TAKEN,
}
LOOKED_AT = UNFINISHED_BACKUP | {S.COMPLETED, S.QUERYING, S.DOCUMENT_LOADED, S.DOCUMENT_DISCOVERED, S.IMPORTED}
BEFORE_WRITERS_ARE_ASKED = {S.INITIALIZED, S.CONTEXT_SET, S.WRITERLESS, S.DOCUMENT_LOADED, S.RESTORE_INITIALIZED}
CHOOSING = {S.DISCOVERED, S.SET_STARTED}
LEGAL_IN: dict[SessionCall, set[SessionState]] = {
    C.INITIALIZE_FOR_BACKUP: {S.CREATED},
    C.INITIALIZE_WITH_DOCUMENT: {S.CREATED},
    C.INITIALIZE_FOR_RESTORE: {S.CREATED},
    C.SET_CONTEXT: {S.INITIALIZED},
    C.SET_CONTEXT_WITHOUT_WRITERS: {S.INITIALIZED},
    C.SET_CONTEXT_ALL: {S.INITIALIZED},
    C.SET_BACKUP_STATE: {S.INITIALIZED, S.CONTEXT_SET, S.WRITERLESS, S.WRITERLESS_DISCOVERED} | CHOOSING,
    C.ENABLE_WRITER_CLASSES: BEFORE_WRITERS_ARE_ASKED,
    C.DISABLE_WRITER_CLASSES: BEFORE_WRITERS_ARE_ASKED,
    C.DISABLE_WRITER_INSTANCES: BEFORE_WRITERS_ARE_ASKED,
    C.GATHER_WRITER_METADATA: BEFORE_WRITERS_ARE_ASKED,
    C.GATHER_WRITER_STATUS: set(S)
    - BEFORE_WRITERS_ARE_ASKED
    - {S.CREATED, S.WRITERLESS_SET_STARTED, S.WRITERLESS_SNAPSHOT_TAKEN, S.QUERYING, S.IMPORTED, S.ABORTED, S.RELEASED},
    C.ADD_COMPONENT: CHOOSING,
    C.SET_BACKUP_OPTIONS: CHOOSING,
    C.SET_PREVIOUS_BACKUP_STAMP: CHOOSING | {S.RESTORE_DISCOVERED},
    C.IS_VOLUME_SUPPORTED: UNFINISHED_BACKUP | {S.COMPLETED},
    C.START_SNAPSHOT_SET: {S.DISCOVERED, S.WRITERLESS, S.WRITERLESS_DISCOVERED},
    C.ADD_TO_SNAPSHOT_SET: {S.SET_STARTED, S.PREPARED, S.WRITERLESS_SET_STARTED},
    C.PREPARE_FOR_BACKUP: CHOOSING,
    C.DO_SNAPSHOT_SET: {S.PREPARED, S.WRITERLESS_SET_STARTED},
    C.IMPORT_SNAPSHOTS: {S.DOCUMENT_LOADED},
    C.GET_SNAPSHOT_PROPERTIES: LOOKED_AT,
    C.QUERY: LOOKED_AT,
    C.OPEN_SNAPSHOT: LOOKED_AT,
    C.DELETE_SNAPSHOTS: LOOKED_AT,
    C.BREAK_SNAPSHOT_SET: LOOKED_AT,
    C.EXPOSE_SNAPSHOT: LOOKED_AT,
    C.UNEXPOSE_SNAPSHOT: LOOKED_AT,
    C.REVERT_TO_SNAPSHOT: LOOKED_AT,
    C.QUERY_REVERT_STATUS: LOOKED_AT,
    C.SET_BACKUP_SUCCEEDED: {S.SNAPSHOT_TAKEN, S.PREPARED_WITHOUT_SET},
    C.BACKUP_COMPLETE: {S.SNAPSHOT_TAKEN, S.PREPARED_WITHOUT_SET, S.DOCUMENT_DISCOVERED},
    C.LEAVE_WAITING: {S.SNAPSHOT_TAKEN},
    C.SAVE_AS_XML: {S.WRITERLESS_SNAPSHOT_TAKEN, S.IMPORTED, *STATUS_IS_MEANINGFUL},
    C.ABORT_BACKUP: UNFINISHED_BACKUP,
    C.SET_RESTORE_STATE: {S.RESTORE_INITIALIZED, S.RESTORE_DISCOVERED},
    C.SET_SELECTED_FOR_RESTORE: {S.RESTORE_DISCOVERED},
    C.SET_SELECTED_FOR_RESTORE_EX: {S.RESTORE_DISCOVERED},
    C.ADD_RESTORE_SUBCOMPONENT: {S.RESTORE_DISCOVERED},
    C.SET_RESTORE_OPTIONS: {S.RESTORE_DISCOVERED},
    C.SET_ADDITIONAL_RESTORES: {S.RESTORE_DISCOVERED},
    C.SET_AUTHORITATIVE_RESTORE: {S.RESTORE_DISCOVERED},
    C.SET_ROLL_FORWARD: {S.RESTORE_DISCOVERED},
    C.SET_RESTORE_NAME: {S.RESTORE_DISCOVERED},
    C.ADD_NEW_TARGET: {S.RESTORE_DISCOVERED},
    C.PRE_RESTORE: {S.RESTORE_DISCOVERED},
    C.ADD_ALTERNATIVE_LOCATION_MAPPING: {S.RESTORING},
    C.SET_RANGES_FILE_PATH: {S.RESTORING},
    C.SET_FILE_RESTORE_STATUS: {S.RESTORING},
    C.POST_RESTORE: {S.RESTORING},
    C.RELEASE: set(S),
}
"""The table said a second time, by call and not by state."""


def graph(*without: SessionCall) -> nx.MultiDiGraph:
    result = nx.MultiDiGraph()
    result.add_nodes_from(S)
    for (before, call), after in TRANSITIONS.items():
        if call in without:
            continue
        result.add_edge(before, after, call=call)
        if call in TWO_MOMENTS:
            result.add_edge(before, state_after_failure(before, call), call=call)
    return result


def machine_in(state: SessionState) -> SessionMachine:
    machine = SessionMachine()
    machine.state = state
    return machine


def walk(calls: tuple[SessionCall, ...]) -> SessionMachine:
    machine = SessionMachine()
    for call in calls:
        machine.call(call)
        if call in TWO_MOMENTS:
            machine.done(call)
    return machine


def before(calls: tuple[SessionCall, ...], call: SessionCall) -> SessionMachine:
    return walk(calls[: calls.index(call)])


# -- the table as a graph ------------------------------------------------------------------------------------------------------


def test_every_state_is_reachable_and_every_state_can_be_released() -> None:
    table = graph()
    assert nx.descendants(table, S.CREATED) | {S.CREATED} == set(S)
    assert all(table.has_edge(state, S.RELEASED) for state in S)


def test_released_is_the_only_trap() -> None:
    table = graph()
    assert {state for state in S if set(table.successors(state)) <= {state}} == {S.RELEASED}


def test_with_writers_no_step_to_backup_complete_can_be_skipped() -> None:
    with_set = (C.PREPARE_FOR_BACKUP, C.START_SNAPSHOT_SET, C.DO_SNAPSHOT_SET)
    for call in (C.GATHER_WRITER_METADATA, C.BACKUP_COMPLETE, *with_set):
        table = graph(call, C.INITIALIZE_WITH_DOCUMENT)
        if call in with_set[1:]:
            table.remove_node(S.PREPARED_WITHOUT_SET)  # the backup that has no set
        assert not nx.has_path(table, S.CREATED, S.COMPLETED)


def test_a_stored_document_is_for_import_or_for_completion_and_for_nothing_else() -> None:
    table = graph(C.RELEASE)
    assert nx.descendants(table, S.DOCUMENT_LOADED) == {
        S.DOCUMENT_DISCOVERED,
        S.IMPORTED,
        S.COMPLETED,
        S.BACKUP_FAILED,
        S.ABORTED,
    }
    assert not nx.has_path(table, S.IMPORTED, S.COMPLETED)


def test_an_import_that_failed_can_be_tried_again() -> None:
    machine = machine_in(S.DOCUMENT_LOADED)
    machine.call(C.IMPORT_SNAPSHOTS)
    machine.fail(C.IMPORT_SNAPSHOTS)
    assert machine.allows(C.IMPORT_SNAPSHOTS)


def test_backup_and_restore_share_nothing_but_start_and_end() -> None:
    table = graph(C.RELEASE)
    backup = nx.descendants(table, S.INITIALIZED)
    restore = nx.descendants(table, S.RESTORE_INITIALIZED)
    assert not backup & restore


def test_a_failed_backup_never_completes_and_a_failed_restore_never_goes_on() -> None:
    assert nx.descendants(graph(), S.BACKUP_FAILED) == {S.ABORTED, S.RELEASED, S.BACKUP_FAILED} - {S.BACKUP_FAILED}
    assert nx.descendants(graph(), S.RESTORE_FAILED) == {S.RELEASED}


@pytest.mark.parametrize("call", list(C))
def test_a_call_is_legal_where_the_order_of_calls_has_it_and_nowhere_else(call: SessionCall) -> None:
    assert {state for state in S if machine_in(state).allows(call)} == LEGAL_IN[call]


def test_the_status_tells_of_this_session_after_each_step_that_writers_answer() -> None:
    after_steps = {
        after
        for (_, call), after in TRANSITIONS.items()
        if call in (C.PREPARE_FOR_BACKUP, C.DO_SNAPSHOT_SET, C.BACKUP_COMPLETE, C.PRE_RESTORE, C.POST_RESTORE)
    }
    assert after_steps - {S.WRITERLESS_SNAPSHOT_TAKEN} | {S.BACKUP_FAILED, S.RESTORE_FAILED} == STATUS_IS_MEANINGFUL


# -- the machine ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", list(C))
def test_every_pair_is_a_row_or_a_refusal_that_changes_nothing(call: SessionCall) -> None:
    for state in S:
        machine = machine_in(state)
        assert machine.allows(call) == ((state, call) in TRANSITIONS)
        if not machine.allows(call):
            with pytest.raises(BadStateError) as refusal:
                machine.call(call)
            assert call.value in refusal.value.message
            assert f"'{state.value}'" in refusal.value.message
            assert machine.state is state
        elif call in TWO_MOMENTS:
            machine.call(call)
            assert (machine.state, machine.in_flight) == (state, call)
            machine.done(call)
            assert machine.state is TRANSITIONS[state, call]
        else:
            machine.call(call)
            assert machine.state is TRANSITIONS[state, call]
        assert machine.in_flight is None


@pytest.mark.parametrize("calls", [BACKUP, RESTORE, WRITERLESS, WITHOUT_SET, LEFT_WAITING, COMPLETION, IMPORT])
def test_the_vendors_order_is_legal(calls: tuple[SessionCall, ...]) -> None:
    assert walk(calls).state is S.RELEASED


@pytest.mark.parametrize(
    "calls",
    [
        (C.INITIALIZE_FOR_BACKUP, C.INITIALIZE_FOR_BACKUP),
        (C.INITIALIZE_FOR_BACKUP, C.SET_CONTEXT, C.SET_CONTEXT),
        (C.INITIALIZE_FOR_BACKUP, C.SET_CONTEXT, C.SET_CONTEXT_WITHOUT_WRITERS),
        (C.INITIALIZE_FOR_BACKUP, C.GATHER_WRITER_METADATA, C.GATHER_WRITER_METADATA),
        (C.INITIALIZE_FOR_BACKUP, C.GATHER_WRITER_METADATA, C.SET_CONTEXT),
        (C.INITIALIZE_FOR_BACKUP, C.GATHER_WRITER_METADATA, C.DISABLE_WRITER_CLASSES),
        (C.INITIALIZE_FOR_BACKUP, C.START_SNAPSHOT_SET),
        (*WITHOUT_SET[:4], C.START_SNAPSHOT_SET),
        (*WITHOUT_SET[:4], C.DO_SNAPSHOT_SET),
        (*WITHOUT_SET[:4], C.LEAVE_WAITING),
        (C.INITIALIZE_WITH_DOCUMENT, C.BACKUP_COMPLETE),
        (*COMPLETION[:-2], C.BACKUP_COMPLETE),
        (*IMPORT[:2], C.IMPORT_SNAPSHOTS),
        (*IMPORT[:2], C.BACKUP_COMPLETE),
        (C.INITIALIZE_WITH_DOCUMENT, C.START_SNAPSHOT_SET),
        (C.INITIALIZE_FOR_BACKUP, C.GATHER_WRITER_METADATA, C.START_SNAPSHOT_SET, C.DO_SNAPSHOT_SET),
        (C.INITIALIZE_FOR_BACKUP, C.SET_CONTEXT_WITHOUT_WRITERS, C.ADD_COMPONENT),
        (C.INITIALIZE_FOR_BACKUP, C.SET_CONTEXT_WITHOUT_WRITERS, C.START_SNAPSHOT_SET, C.PREPARE_FOR_BACKUP),
        (*WRITERLESS[:-1], C.BACKUP_COMPLETE),
        (C.INITIALIZE_FOR_BACKUP, C.SET_SELECTED_FOR_RESTORE),
        (C.INITIALIZE_FOR_BACKUP, C.GATHER_WRITER_METADATA, C.PRE_RESTORE),
        (C.INITIALIZE_FOR_RESTORE, C.SET_BACKUP_STATE),
        (C.INITIALIZE_FOR_RESTORE, C.ABORT_BACKUP),
        (C.INITIALIZE_FOR_RESTORE, C.PRE_RESTORE),
        (C.INITIALIZE_FOR_BACKUP, C.ABORT_BACKUP, C.ABORT_BACKUP),
        (C.INITIALIZE_FOR_BACKUP, C.ABORT_BACKUP, C.GATHER_WRITER_STATUS),
    ],
)
def test_the_last_call_is_out_of_sequence(calls: tuple[SessionCall, ...]) -> None:
    machine = walk(calls[:-1])
    with pytest.raises(BadStateError):
        machine.call(calls[-1])


def test_success_is_reported_only_after_the_snapshot_and_before_complete() -> None:
    allowed = {state for state in S if machine_in(state).allows(C.SET_BACKUP_SUCCEEDED)}
    assert allowed == {S.SNAPSHOT_TAKEN, S.PREPARED_WITHOUT_SET}


def test_components_may_be_added_before_and_after_the_set_is_started() -> None:
    assert {state for state in S if machine_in(state).allows(C.ADD_COMPONENT)} == {S.DISCOVERED, S.SET_STARTED}


@pytest.mark.parametrize(
    ("calls", "call", "state"),
    [
        (BACKUP, C.GATHER_WRITER_METADATA, S.BACKUP_FAILED),
        (BACKUP, C.PREPARE_FOR_BACKUP, S.BACKUP_FAILED),
        (BACKUP, C.DO_SNAPSHOT_SET, S.BACKUP_FAILED),
        (BACKUP, C.BACKUP_COMPLETE, S.COMPLETED),
        (WRITERLESS, C.DO_SNAPSHOT_SET, S.BACKUP_FAILED),
        (RESTORE, C.GATHER_WRITER_METADATA, S.RESTORE_FAILED),
        (RESTORE, C.PRE_RESTORE, S.RESTORE_FAILED),
        (RESTORE, C.POST_RESTORE, S.RESTORE_FAILED),
    ],
)
def test_where_a_failed_call_leads(calls: tuple[SessionCall, ...], call: SessionCall, state: SessionState) -> None:
    machine = before(calls, call)
    machine.call(call)
    machine.fail(call)
    assert machine.state is state


def test_a_refusal_names_what_would_be_legal() -> None:
    with pytest.raises(BadStateError, match=r"expected one of GatherWriterStatus, SaveAsXML, Release$"):
        machine_in(S.RESTORED).call(C.POST_RESTORE)


def test_while_a_call_runs_only_release_is_legal() -> None:
    machine = before(BACKUP, C.DO_SNAPSHOT_SET)
    machine.call(C.DO_SNAPSHOT_SET)
    assert [call for call in C if machine.allows(call)] == [C.RELEASE]
    with pytest.raises(BadStateError, match="cannot take AbortBackup while DoSnapshotSet is running: expected Release"):
        machine.call(C.ABORT_BACKUP)


def test_the_end_of_a_call_after_release_changes_nothing() -> None:
    machine = before(BACKUP, C.DO_SNAPSHOT_SET)
    machine.call(C.DO_SNAPSHOT_SET)
    machine.call(C.RELEASE)
    machine.done(C.DO_SNAPSHOT_SET)
    assert machine.state is S.RELEASED
    assert machine.in_flight is None


def test_ending_a_call_that_does_not_run_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="ended"):
        before(BACKUP, C.DO_SNAPSHOT_SET).done(C.DO_SNAPSHOT_SET)
