"""Every call of a real session in every state: a row of the table, or a refusal with its code that changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from tests.protocol.kit import TravellingProvider, begin
from vss.coordinator import Session, SnapshotAttributes, SnapshotContext
from vss.documents import (
    AlternateLocationMapping,
    BackupComponents,
    BackupType,
    ComponentType,
    FileRestoreStatus,
    NewTarget,
    RestoreSubcomponent,
    RestoreType,
    RollForwardType,
)
from vss.errors import BadStateError, VssError, WriterError
from vss.hresult import HResult
from vss.ids import GUID_NULL
from vss.machines import SessionCall, SessionState
from vss.machines.session import TRANSITIONS
from vss.ports import Ports
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter
from vss.testing.stubs import stub_guid

S, C = SessionState, SessionCall
WRITER = stub_guid("A")
KEY = (WRITER, ComponentType.FILE_GROUP, "", "A")
NOTHING = stub_guid("nothing")

CALLS: Mapping[SessionCall, Callable[[Session], Any]] = {
    C.INITIALIZE_FOR_BACKUP: lambda s: s.initialize_for_backup(),
    C.INITIALIZE_WITH_DOCUMENT: lambda s: s.initialize_for_backup(STORED.get(id(s._coordinator), BackupComponents())),
    C.INITIALIZE_FOR_RESTORE: lambda s: s.initialize_for_restore(BackupComponents()),
    C.SET_CONTEXT: lambda s: s.set_context(SnapshotContext.APP_ROLLBACK),
    C.SET_CONTEXT_WITHOUT_WRITERS: lambda s: s.set_context(SnapshotContext.NAS_ROLLBACK),
    C.SET_CONTEXT_ALL: lambda s: s.set_context(SnapshotContext.ALL),
    C.SET_BACKUP_STATE: lambda s: s.set_backup_state(
        select_components=True, bootable_system_state=False, backup_type=BackupType.FULL
    ),
    C.ENABLE_WRITER_CLASSES: lambda s: s.enable_writer_classes([NOTHING]),
    C.DISABLE_WRITER_CLASSES: lambda s: s.disable_writer_classes([NOTHING]),
    C.DISABLE_WRITER_INSTANCES: lambda s: s.disable_writer_instances([NOTHING]),
    C.GATHER_WRITER_METADATA: lambda s: s.gather_writer_metadata(),
    C.GATHER_WRITER_STATUS: lambda s: s.gather_writer_status(),
    C.ADD_COMPONENT: lambda s: s.add_component(instance_of(s), *KEY),
    C.SET_BACKUP_OPTIONS: lambda s: s.set_backup_options(*KEY, "x"),
    C.SET_PREVIOUS_BACKUP_STAMP: lambda s: s.set_previous_backup_stamp(*KEY, b"x"),
    C.IS_VOLUME_SUPPORTED: lambda s: s.is_volume_supported("D:"),
    C.START_SNAPSHOT_SET: lambda s: s.start_snapshot_set(),
    C.ADD_TO_SNAPSHOT_SET: lambda s: s.add_to_snapshot_set("L:"),
    C.PREPARE_FOR_BACKUP: lambda s: s.prepare_for_backup(),
    C.DO_SNAPSHOT_SET: lambda s: s.do_snapshot_set(),
    C.IMPORT_SNAPSHOTS: lambda s: s.import_snapshots(),
    C.GET_SNAPSHOT_PROPERTIES: lambda s: s.get_snapshot_properties(NOTHING),
    C.QUERY: lambda s: s.query(),
    C.OPEN_SNAPSHOT: lambda s: s.open_snapshot(NOTHING),
    C.DELETE_SNAPSHOTS: lambda s: s.delete_snapshots([]),
    C.BREAK_SNAPSHOT_SET: lambda s: s.break_snapshot_set(NOTHING),
    C.EXPOSE_SNAPSHOT: lambda s: s.expose_snapshot(NOTHING, SnapshotAttributes.EXPOSED_LOCALLY, "X:"),
    C.UNEXPOSE_SNAPSHOT: lambda s: s.unexpose_snapshot(NOTHING),
    C.REVERT_TO_SNAPSHOT: lambda s: s.revert_to_snapshot(NOTHING),
    C.QUERY_REVERT_STATUS: lambda s: s.query_revert_status("D:"),
    C.SET_BACKUP_SUCCEEDED: lambda s: s.set_backup_succeeded(instance_of(s), *KEY, True),
    C.BACKUP_COMPLETE: lambda s: s.backup_complete(),
    C.LEAVE_WAITING: lambda s: s.leave_waiting(),
    C.SAVE_AS_XML: lambda s: s.save_as_xml(),
    C.ABORT_BACKUP: lambda s: s.abort_backup(),
    C.SET_RESTORE_STATE: lambda s: s.set_restore_state(RestoreType.BY_COPY),
    C.SET_SELECTED_FOR_RESTORE: lambda s: s.set_selected_for_restore(*KEY),
    C.SET_SELECTED_FOR_RESTORE_EX: lambda s: s.set_selected_for_restore_ex(*KEY),
    C.ADD_RESTORE_SUBCOMPONENT: lambda s: s.add_restore_subcomponent(*KEY, RestoreSubcomponent("A", "B")),
    C.SET_RESTORE_OPTIONS: lambda s: s.set_restore_options(*KEY, "x"),
    C.SET_ADDITIONAL_RESTORES: lambda s: s.set_additional_restores(*KEY, True),
    C.SET_AUTHORITATIVE_RESTORE: lambda s: s.set_authoritative_restore(*KEY, True),
    C.SET_ROLL_FORWARD: lambda s: s.set_roll_forward(*KEY, RollForwardType.ALL),
    C.SET_RESTORE_NAME: lambda s: s.set_restore_name(*KEY, "x"),
    C.ADD_NEW_TARGET: lambda s: s.add_new_target(*KEY, NewTarget("D:\\data", "*", True, "E:\\x")),
    C.PRE_RESTORE: lambda s: s.pre_restore(),
    C.ADD_ALTERNATIVE_LOCATION_MAPPING: lambda s: s.add_alternative_location_mapping(
        *KEY, AlternateLocationMapping("D:\\data", "*", True, "E:\\x")
    ),
    C.SET_RANGES_FILE_PATH: lambda s: s.set_ranges_file_path(*KEY, 0, "D:\\ranges"),
    C.SET_FILE_RESTORE_STATUS: lambda s: s.set_file_restore_status(*KEY, FileRestoreStatus.ALL),
    C.POST_RESTORE: lambda s: s.post_restore(),
    C.RELEASE: lambda s: s.release(),
}

ARGUMENTS_FIRST = {
    C.ADD_COMPONENT,
    C.SET_BACKUP_OPTIONS,
    C.SET_PREVIOUS_BACKUP_STAMP,
    C.SET_SELECTED_FOR_RESTORE,
    C.SET_SELECTED_FOR_RESTORE_EX,
    C.SET_AUTHORITATIVE_RESTORE,
    C.SET_ROLL_FORWARD,
    C.SET_RESTORE_NAME,
    C.ADD_RESTORE_SUBCOMPONENT,
    C.SET_RESTORE_OPTIONS,
    C.SET_ADDITIONAL_RESTORES,
    C.ADD_NEW_TARGET,
    C.ADD_ALTERNATIVE_LOCATION_MAPPING,
    C.SET_RANGES_FILE_PATH,
    C.SET_FILE_RESTORE_STATUS,
}
"""A component that does not exist is named before the state is looked at, so these may say NotFound where both are wrong."""


STORED: dict[int, BackupComponents] = {}
"""By coordinator, the document of a set that travels and whose backup waits for BackupComplete."""


async def scene_for(ports: Ports, state: SessionState) -> Scene:
    """A machine with two volumes and writer A; for sessions with a stored document also with the backup it describes."""
    calls: list[str] = []
    volumes = [StubVolume(ports, "D:", calls), StubVolume(ports, "L:", calls)]
    provider = TravellingProvider(calls=calls)
    scene = await Scene.build(ports, writers=[StubWriter("A", calls)], providers=[provider], volumes=volumes, calls=calls)
    if state in (S.DOCUMENT_LOADED, S.DOCUMENT_DISCOVERED, S.IMPORTED):
        session = scene.coordinator.open_session()
        session.initialize_for_backup()
        session.set_context(SnapshotContext.BACKUP, SnapshotAttributes.TRANSPORTABLE)
        session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
        await session.gather_writer_metadata()
        session.start_snapshot_set()
        await session.add_to_snapshot_set("D:")
        await session.prepare_for_backup()
        await session.do_snapshot_set()
        await session.leave_waiting()
        STORED[id(scene.coordinator)] = session.document
        calls.clear()
    return scene


def instance_of(session: Session) -> Any:
    """The instance id of writer A as the session met it."""
    return next((each.instance_id for each in session._metadata), GUID_NULL)


async def do(session: Session, call: SessionCall) -> None:
    """Make one call and wait for it."""
    result = CALLS[call](session)
    if isinstance(result, Awaitable):
        await result


async def fail(scene: Scene, session: Session, call: SessionCall) -> None:
    """Make a long call fail as its task would be cancelled."""
    session._machine.call(call)
    session._machine.fail(call)


def path_to(state: SessionState) -> list[SessionCall]:
    """The calls that lead to ``state``, shortest first found; failing calls are not among them."""
    if state is S.BACKUP_FAILED:
        return [C.INITIALIZE_FOR_BACKUP]
    if state is S.RESTORE_FAILED:
        return [C.INITIALIZE_FOR_RESTORE]
    paths: dict[SessionState, list[SessionCall]] = {S.CREATED: []}
    while state not in paths:
        for (before, call), after in TRANSITIONS.items():
            if before in paths and after not in paths and call is not C.RELEASE:
                paths[after] = [*paths[before], call]
        if state is S.RELEASED:
            return [C.RELEASE]
    return paths[state]


async def session_in(scene: Scene, state: SessionState) -> Session:
    """Bring a fresh session into ``state`` by real calls."""
    session = scene.coordinator.open_session()
    for call in path_to(state):
        await do(session, call)
        if call is C.GATHER_WRITER_METADATA and TRANSITIONS.get((session.state, C.ADD_COMPONENT)):
            await do(session, C.SET_BACKUP_STATE)
            await do(session, C.ADD_COMPONENT)
        if call is C.START_SNAPSHOT_SET:
            await session.add_to_snapshot_set("D:")
    if state in (S.BACKUP_FAILED, S.RESTORE_FAILED):
        await fail(scene, session, C.GATHER_WRITER_METADATA)
    assert session.state is state
    return session


def seen(scene: Scene, session: Session) -> Any:
    """Everything that a refused call must leave as it is."""
    provider = scene.coordinator.providers[0]
    assert isinstance(provider, StubProvider)
    return (
        session.state,
        session._machine.in_flight,
        session.document,
        session.set_volumes,
        list(scene.calls),
        dict(provider.finished),
        scene.coordinator.is_creating,
        scene.coordinator.open_session_count,
    )


_WRONG = (HResult.VSS_E_BAD_STATE, HResult.VSS_E_OBJECT_NOT_FOUND, HResult.VSS_E_NOT_SUPPORTED)


def test_every_call_has_its_entry() -> None:
    assert list(CALLS) == list(SessionCall)


@pytest.mark.parametrize("state", list(S))
def test_a_call_out_of_sequence_is_bad_state_and_changes_nothing(state: SessionState) -> None:
    async def story(ports: Ports) -> None:
        scene = await scene_for(ports, state)
        session = await session_in(scene, state)
        for call in SessionCall:
            if (state, call) in TRANSITIONS:
                continue
            before = seen(scene, session)
            with pytest.raises(VssError) as caught:
                await do(session, call)
            if call in ARGUMENTS_FIRST:
                assert caught.value.hresult in _WRONG
            else:
                assert isinstance(caught.value, BadStateError), call
                assert caught.value.hresult is HResult.VSS_E_BAD_STATE
            assert seen(scene, session) == before, call
        await session.release()
        scene.assert_nothing_left()

    run(story)


@pytest.mark.parametrize(("state", "call"), list(TRANSITIONS), ids=lambda each: each.name)
def test_a_call_in_sequence_is_taken(state: SessionState, call: SessionCall) -> None:
    async def story(ports: Ports) -> None:
        scene = await scene_for(ports, state)
        session = await session_in(scene, state)
        try:
            await do(session, call)
        except BadStateError:
            raise
        except VssError as error:  # the object does not exist: the call itself was in order
            assert error.hresult in (  # noqa: PT017 - which of these depends on the call
                HResult.VSS_E_OBJECT_NOT_FOUND,
                HResult.VSS_E_OBJECT_ALREADY_EXISTS,
                HResult.VSS_E_NOT_SUPPORTED,
            )
        else:
            assert session.state is TRANSITIONS[state, call]
        await session.release()
        scene.assert_nothing_left()

    run(story)


def test_a_failed_do_snapshot_set_leaves_status_abort_and_release() -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[StubProvider(behaviour={"commit_snapshots": WriterError("odd")})])
        async with scene.coordinator.open_session() as session:
            await begin(scene, session)
            with pytest.raises(VssError):
                await session.do_snapshot_set()
            assert session.state is S.BACKUP_FAILED
            with pytest.raises(BadStateError):
                await session.backup_complete()
            await session.abort_backup()

    run(story)
