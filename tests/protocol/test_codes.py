"""Which code comes out of what: legal and illegal returns of providers, the vocabulary of writers, the system's own limits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.protocol.kit import begin, logged, play, provider_of, status_of, take
from vss.coordinator import (
    AsyncOperation,
    Limits,
    Session,
    SnapshotAttributes,
    SnapshotContext,
    TransactionSystem,
)
from vss.documents import BackupType, Component, ComponentFlags, ComponentType
from vss.errors import (
    AlreadyExistsError,
    BadStateError,
    InvalidArgumentError,
    NotFoundError,
    ProviderError,
    SetInProgressError,
    UnsupportedError,
    VolumeError,
    VolumeNotSupportedError,
    VssError,
    WriterError,
)
from vss.events import PluginProblem
from vss.hresult import PROVIDER_FAILURES, WRITER_FAILURES, HResult
from vss.ids import Guid
from vss.machines import WriterState
from vss.ports import NANOSECONDS
from vss.roles.provider import CopyStatus, ProviderCapabilities, ProviderType
from vss.roles.volume import FileSystem
from vss.roles.writer import WriterContext
from vss.testing import Scene, StubProvider, StubVolume, StubWriter
from vss.testing.stubs import StubFiles, stub_guid

PARTIAL = HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE


@pytest.mark.parametrize("code", sorted(PROVIDER_FAILURES), ids=lambda code: code.name)
def test_what_a_provider_may_return_reaches_the_requestor_as_it_is(code: HResult) -> None:
    async def story(scene: Scene) -> None:
        with pytest.raises(ProviderError) as caught:
            await scene.backup()
        assert caught.value.hresult is code

    events = play(story, providers=[StubProvider(behaviour={"pre_commit_snapshots": ProviderError("x", hresult=code)})])
    assert logged(events) == [("VSS", 12294 if code is HResult.E_INVALIDARG else 12293)]


@pytest.mark.parametrize("code", sorted(WRITER_FAILURES), ids=lambda code: code.name)
def test_what_a_writer_may_report_is_in_its_status_as_it_is(code: HResult) -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            status = await status_of(session, "A")
            assert (status.failure, status.is_meaningful) == (code, True)

    play(story, writers=[StubWriter("A", behaviour={"on_prepare_backup": WriterError("x", hresult=code)})])


def test_an_exception_that_escapes_a_writer_is_named_in_the_log() -> None:
    events = play(Scene.backup, writers=[StubWriter("A", behaviour={"on_prepare_snapshot": ZeroDivisionError("oops")})])
    assert logged(events) == [("VSS", 12366), ("VSS", 8229)]


def test_a_partial_failure_keeps_the_writer_in_the_backup() -> None:
    key = (ComponentType.FILE_GROUP, "", "A")

    def freeze(context: WriterContext) -> None:
        with pytest.raises(InvalidArgumentError):
            context.set_component_failure(*key, PARTIAL)
        with pytest.raises(NotFoundError):
            context.set_component_failure(ComponentType.FILE_GROUP, "", "B", HResult.VSS_E_WRITERERROR_RETRYABLE)
        context.set_failure(HResult.VSS_E_WRITERERROR_TIMEOUT)
        context.set_failure(HResult.S_OK)
        context.set_component_failure(*key, HResult.VSS_E_WRITERERROR_RETRYABLE, "one database", 1234)
        context.set_failure(PARTIAL, "some", 99)
        context.set_component_failure(*key, HResult.VSS_E_WRITERERROR_RETRYABLE, "again")

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            status = await status_of(session, "A")
            assert (status.state, status.failure) == (WriterState.WAITING_FOR_BACKUP_COMPLETE, PARTIAL)
            assert (status.message, status.application_failure) == ("some", 99)
            assert [(each.message, each.application_failure) for each in status.component_failures] == [
                ("one database", 1234),
                ("again", 0),
            ]
            await session.backup_complete()
        assert "A.on_backup_complete" in scene.calls
        assert "A.on_abort" not in scene.calls

    play(story, writers=[StubWriter("A", behaviour={"on_freeze": freeze})])


def test_a_component_failure_alone_makes_the_writers_report_a_partial_one() -> None:
    def prepare(context: WriterContext) -> None:
        context.set_component_failure(ComponentType.FILE_GROUP, "", "a", HResult.VSS_E_WRITERERROR_NONRETRYABLE, "gone")

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            status = await status_of(session, "A")
            assert (status.failure, status.message) == (PARTIAL, "component 'a' failed: gone")

    play(story, writers=[StubWriter("A", behaviour={"on_prepare_backup": prepare})])


# -- writer status -------------------------------------------------------------------------------------------------------------


def test_a_writer_that_does_not_answer_is_unknown_and_named_in_the_log() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            status = await status_of(session, "A")
            assert (status.state, status.failure) == (WriterState.UNKNOWN, HResult.VSS_E_WRITER_NOT_RESPONDING)

    assert logged(play(story, writers=[StubWriter("A", behaviour={"on_prepare_backup": "hang"})])) == [("VSS", 12301)]


def test_sessions_beyond_the_slots_of_a_writer_have_no_status() -> None:
    async def story(scene: Scene) -> None:
        open_session = scene.coordinator.open_session
        async with open_session() as first, open_session() as second, open_session() as third:
            await scene.prepare(first)
            await first.do_snapshot_set()
            await scene.prepare(second)
            status = await status_of(second, "A")
            assert (status.state, status.failure) == (WriterState.UNKNOWN, HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE)
            await second.do_snapshot_set()
            assert scene.calls.count("A.on_freeze") == 2  # the writer takes part all the same
            await first.backup_complete()
            await first.gather_writer_status()  # gives the slot back
            await first.gather_writer_status()
            await scene.prepare(third)
            assert (await status_of(third, "A")).failure is HResult.S_OK

    play(story, limits=Limits(writer_status_slots=1))


def test_a_session_that_sent_nothing_reads_what_the_most_recent_one_left() -> None:
    async def read(scene: Scene) -> Any:
        async with scene.coordinator.open_session() as reader:
            reader.initialize_for_backup()
            await reader.gather_writer_metadata()
            return await status_of(reader, "A")

    async def story(scene: Scene) -> None:
        fresh = await read(scene)
        assert (fresh.state, fresh.failure, fresh.session_id.int) == (WriterState.STABLE, HResult.S_OK, 0)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            await asyncio.sleep(5.0)
            stale = await read(scene)
            assert (stale.state, stale.session_id) == (WriterState.FAILED_AT_POST_SNAPSHOT, session.session_id)
            assert (stale.age_ns, stale.is_meaningful) == (5 * NANOSECONDS, False)
        assert (await read(scene)).state is WriterState.FAILED_AT_POST_SNAPSHOT
        async with scene.coordinator.open_session() as session:  # the next session starts at STABLE
            await scene.prepare(session)
            assert (await status_of(session, "A")).state is WriterState.STABLE

    play(story, writers=[StubWriter("A", behaviour={"on_post_snapshot": WriterError("no")})])


# -- the system's transaction managers -----------------------------------------------------------------------------------------


class Manager:
    """A transaction manager that records."""

    def __init__(self, name: str, system: TransactionSystem, calls: list[str], **trouble: Any) -> None:
        self.name, self.system, self.calls, self.trouble = name, system, calls, trouble

    async def freeze(self, snapshot_set_id: Guid) -> None:
        """Freeze, or not."""
        self.calls.append(f"{self.name}.freeze")
        if "freeze" in self.trouble:
            await asyncio.sleep(self.trouble["freeze"])

    async def thaw(self, snapshot_set_id: Guid) -> None:
        """Thaw, or not."""
        self.calls.append(f"{self.name}.thaw")
        if "thaw" in self.trouble:
            await asyncio.sleep(self.trouble["thaw"])


def with_managers(scene: Scene, **trouble: Any) -> None:
    """Give the machine both managers."""
    scene.coordinator.transaction_managers = (
        Manager("DTC", TransactionSystem.DISTRIBUTED, scene.calls),
        Manager("KTM", TransactionSystem.KERNEL, scene.calls, **trouble),
    )


def test_transaction_managers_freeze_after_the_last_writer_and_thaw_before_the_first() -> None:
    async def story(scene: Scene) -> None:
        with_managers(scene)
        await scene.backup()
        inside = scene.calls[scene.calls.index("A.on_freeze") : scene.calls.index("A.on_thaw") + 1]
        assert inside[:3] == ["A.on_freeze", "DTC.freeze", "KTM.freeze"]
        assert inside[-3:] == ["KTM.thaw", "DTC.thaw", "A.on_thaw"]

    play(story)


def test_a_set_that_is_not_transacted_leaves_them_alone() -> None:
    async def story(scene: Scene) -> None:
        with_managers(scene)
        await take(scene, SnapshotContext.BACKUP, attributes=SnapshotAttributes.NOT_TRANSACTED)
        assert "KTM.freeze" not in scene.calls

    play(story)


@pytest.mark.parametrize(
    ("late", "step", "code", "entry"),
    [
        ("KTM", "freeze", HResult.VSS_E_TRANSACTION_FREEZE_TIMEOUT, 12323),
        ("KTM", "thaw", HResult.VSS_E_TRANSACTION_THAW_TIMEOUT, 12324),
        ("DTC", "freeze", HResult.VSS_E_TRANSACTION_FREEZE_TIMEOUT, 12325),
        ("DTC", "thaw", HResult.VSS_E_TRANSACTION_THAW_TIMEOUT, 12326),
    ],
)
def test_a_transaction_manager_that_is_too_late_fails_the_set(late: str, step: str, code: HResult, entry: int) -> None:
    async def story(scene: Scene) -> None:
        with_managers(scene)
        for manager in scene.coordinator.transaction_managers:
            assert isinstance(manager, Manager)
            manager.trouble = {step: 40.0} if manager.name == late else {}
        with pytest.raises(VssError) as caught:
            await scene.backup()
        assert caught.value.hresult is code
        assert "DTC.thaw" in scene.calls
        assert "A.on_abort" in scene.calls

    assert logged(play(story, limits=Limits(freeze_window_s=100.0)))[0] == ("VSS", entry)


def test_transactions_are_thawed_when_the_commit_fails_and_their_trouble_is_only_logged() -> None:
    async def story(scene: Scene) -> None:
        with_managers(scene, thaw=40.0)
        with pytest.raises(ProviderError):
            await scene.backup()
        assert "DTC.thaw" in scene.calls

    provider = StubProvider(behaviour={"commit_snapshots": ProviderError("no")})
    assert ("VSS", 12324) in logged(play(story, providers=[provider], limits=Limits(freeze_window_s=100.0)))


# -- limits and shadow copies --------------------------------------------------------------------------------------------------


def system_provider(most: int = 512) -> StubProvider:
    """A provider that may make every kind, and keeps ``most`` a volume."""
    provider = StubProvider(type=ProviderType.SYSTEM)
    provider.capabilities = ProviderCapabilities(supports_persistent=True, max_snapshots_per_volume=most)
    return provider


def test_a_volume_has_at_most_as_many_shadow_copies_as_its_provider_keeps() -> None:
    async def story(scene: Scene) -> None:
        for _ in range(2):
            await take(scene, SnapshotContext.NAS_ROLLBACK)
        with pytest.raises(ProviderError) as caught:
            await take(scene, SnapshotContext.NAS_ROLLBACK)
        assert caught.value.hresult is HResult.VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED
        provider_of(scene).finished.popitem()  # the provider gives one up by itself
        await take(scene, SnapshotContext.NAS_ROLLBACK)
        assert len(await scene.coordinator.query_snapshots()) == 2

    play(story, providers=[system_provider(2)])


def test_of_client_accessible_shadow_copies_the_oldest_goes() -> None:
    async def story(scene: Scene) -> None:
        ids = []
        for _ in range(4):
            ids += await take(scene, SnapshotContext.CLIENT_ACCESSIBLE)
        assert [each.snapshot_id for each in await scene.coordinator.query_snapshots()] == ids[1:]

    assert logged(play(story, providers=[system_provider()], limits=Limits(client_accessible_max=3))) == [("volsnap", 58)]


def test_only_the_system_provider_makes_client_accessible_shadow_copies() -> None:
    async def story(scene: Scene) -> None:
        with pytest.raises(VolumeNotSupportedError):
            await take(scene, SnapshotContext.CLIENT_ACCESSIBLE)

    play(story)


def test_a_set_that_a_provider_only_claims_to_have_made_fails_as_a_whole() -> None:
    class Liar(StubProvider):
        async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
            await super().post_final_commit_snapshots(snapshot_set_id)
            self.finished.popitem()

    async def story(scene: Scene) -> None:
        with pytest.raises(ProviderError) as caught:
            await scene.backup(volumes=("D:", "L:"))
        assert caught.value.hresult is HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR
        assert provider_of(scene).finished == {}

    assert logged(play(story, providers=[Liar()], volumes=("D:", "L:"))) == [("VSS", 12299)]


@pytest.mark.parametrize(
    ("context", "attributes"),
    [
        (SnapshotContext.CLIENT_ACCESSIBLE, SnapshotAttributes.DIFFERENTIAL),
        (SnapshotContext.ALL, SnapshotAttributes.DIFFERENTIAL),
        (SnapshotContext.BACKUP, SnapshotAttributes.EXPOSED_LOCALLY),
        (SnapshotContext.BACKUP, SnapshotAttributes.DIFFERENTIAL | SnapshotAttributes.PLEX),
        (SnapshotContext.BACKUP, SnapshotAttributes.NO_AUTORECOVERY | SnapshotAttributes.TXF_RECOVERY),
    ],
)
def test_attributes_that_cannot_be_added_to_a_context(context: SnapshotContext, attributes: SnapshotAttributes) -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            with pytest.raises(InvalidArgumentError):
                session.set_context(context, attributes)
            session.set_context(SnapshotContext.BACKUP, SnapshotAttributes.PLEX)

    play(story)


RECOVERING = Component(ComponentType.FILE_GROUP, "A", flags=ComponentFlags.BACKUP_RECOVERY)


@pytest.mark.parametrize(
    ("selects", "context", "attributes", "is_set"),
    [
        (True, SnapshotContext.BACKUP, SnapshotAttributes.NONE, True),
        (False, SnapshotContext.BACKUP, SnapshotAttributes.NONE, True),
        (True, SnapshotContext.APP_ROLLBACK, SnapshotAttributes.NONE, False),
        (True, SnapshotContext.BACKUP, SnapshotAttributes.NO_AUTORECOVERY, False),
        (True, SnapshotContext.BACKUP, SnapshotAttributes.ROLLBACK_RECOVERY, False),
    ],
)
def test_autorecover_is_set_where_a_chosen_component_recovers(
    selects: bool, context: SnapshotContext, attributes: SnapshotAttributes, is_set: bool
) -> None:
    tried: list[object] = []

    async def post_snapshot(context: WriterContext) -> None:
        try:
            tried.append(await context.snapshot_files("D:"))
        except BadStateError as error:
            tried.append(error)

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_context(context, attributes)
            session.set_backup_state(select_components=selects, bootable_system_state=False, backup_type=BackupType.FULL)
            (metadata,) = await session.gather_writer_metadata()
            if selects:
                session.add_component(metadata.instance_id, metadata.writer_id, ComponentType.FILE_GROUP, "", "A")
            session.start_snapshot_set()
            snapshot_id = await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            found = session.get_snapshot_properties(snapshot_id).attributes
            assert bool(found & SnapshotAttributes.AUTORECOVER) is is_set
            await session.delete_snapshots([snapshot_id])
        is_refused = SnapshotAttributes.NO_AUTORECOVERY in attributes
        assert isinstance(tried[0], BadStateError if is_refused else StubFiles)

    play(story, writers=[StubWriter("A", components=(RECOVERING,), behaviour={"on_post_snapshot": post_snapshot})])


def test_recovered_files_that_cannot_be_kept_fail_the_set() -> None:
    class Broken(StubFiles):
        async def sync(self) -> None:
            raise OSError("no")

    class Provider(StubProvider):
        async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
            return Broken()

    async def post_snapshot(context: WriterContext) -> None:
        await context.snapshot_files("D:")

    async def story(scene: Scene) -> None:
        with pytest.raises(ProviderError) as caught:
            await scene.backup()
        assert caught.value.hresult is HResult.VSS_E_AUTORECOVERY_FAILED

    play(story, writers=[StubWriter("A", behaviour={"on_post_snapshot": post_snapshot})], providers=[Provider()])


def test_a_volume_that_is_gone_at_the_hold_and_one_twice_in_a_set_are_named_in_the_log() -> None:
    async def story(scene: Scene) -> None:
        volume = scene.coordinator.volume("D:")
        assert isinstance(volume, StubVolume)
        for trouble in (VolumeError("the disk is gone"), RuntimeError("odd")):
            volume.behaviour["flush_and_hold"] = trouble
            with pytest.raises(VolumeError, match=str(trouble)):
                await scene.backup()
        async with scene.coordinator.open_session() as session:
            await begin(scene, session)
            with pytest.raises(InvalidArgumentError) as caught:
                await session.add_to_snapshot_set("D:")
            assert caught.value.hresult is HResult.VSS_E_OBJECT_ALREADY_EXISTS
        for name, entry in (("", 8217), ("one", 8218)):
            writer = StubWriter("A")
            writer.instance_name = scene.coordinator.writers[0].instance_name = name
            with pytest.raises(AlreadyExistsError):
                scene.coordinator.add_writer(writer)
            numbers.append(entry)

    numbers = [12308, 12298, 4002]
    assert [entry for _, entry in logged(play(story))] == numbers


class Reverting(StubProvider):
    """Can revert and expose."""

    def __init__(self, **options: Any) -> None:
        super().__init__(type=ProviderType.SYSTEM, **options)
        self.capabilities = ProviderCapabilities(supports_revert=True)
        self.running = False

    async def revert(self, snapshot_id: Guid, *, force_dismount: bool = False) -> None:
        if self.running:
            raise ProviderError("already", hresult=HResult.VSS_E_REVERT_IN_PROGRESS)
        if not force_dismount:
            raise ProviderError("open files", hresult=HResult.VSS_E_VOLUME_IN_USE)
        self.running = True

    async def query_revert(self, volume: Any) -> CopyStatus | None:
        return CopyStatus(stub_guid("x"), volume.name, 1, 2) if self.running else None

    async def set_exposed_name(self, snapshot_id: Guid, name: str) -> None:
        self.finished[snapshot_id] = replace(self.finished[snapshot_id], exposed_name=name)


def test_reverting() -> None:
    async def story(scene: Scene) -> None:
        (snapshot_id,) = await take(scene, SnapshotContext.NAS_ROLLBACK)
        async with scene.coordinator.open_session() as session:
            (own,) = await begin(scene, session)
            await session.do_snapshot_set()
            assert await session.query_revert_status("D:") is None
            with pytest.raises(UnsupportedError) as caught:
                await session.revert_to_snapshot(own)
            assert caught.value.hresult is HResult.VSS_E_UNSUPPORTED_CONTEXT
            for force, code in ((False, HResult.VSS_E_VOLUME_IN_USE), (True, None), (True, HResult.VSS_E_REVERT_IN_PROGRESS)):
                if code is None:
                    await session.revert_to_snapshot(snapshot_id, force_dismount=force)
                    continue
                with pytest.raises(ProviderError) as refused:
                    await session.revert_to_snapshot(snapshot_id, force_dismount=force)
                assert refused.value.hresult is code
            status = await session.query_revert_status("D:")
            assert status is not None
            assert status.total_bytes == 2
            scene.coordinator.providers[0].capabilities = ProviderCapabilities()
            with pytest.raises(UnsupportedError) as unable:
                await session.revert_to_snapshot(snapshot_id)
            assert unable.value.hresult is HResult.E_NOTIMPL

    play(story, providers=[Reverting()])


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("is_volume_supported", HResult.VSS_E_NESTED_VOLUME_LIMIT),
        ("begin_prepare_snapshot", HResult.VSS_E_UNSUPPORTED_CONTEXT),
        ("query_revert", HResult.VSS_E_REVERT_VOLUME_LOST),
        ("break_snapshot_set", HResult.VSS_E_BREAK_REVERT_ID_FAILED),
    ],
)
def test_what_only_one_routine_may_return(method: str, code: HResult) -> None:
    class Refusing(StubProvider):
        async def query_revert(self, volume: Any) -> CopyStatus | None:
            raise ProviderError("no", hresult=code)

        async def break_snapshot_set(self, snapshot_set_id: Guid, options: Any = None) -> Any:
            raise ProviderError("no", hresult=code)

    async def ask(scene: Scene, session: Session) -> None:
        await begin(scene, session)
        await session.do_snapshot_set()
        if method == "query_revert":
            await session.query_revert_status("D:")
        await session.break_snapshot_set(session.snapshot_set_id)

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            with pytest.raises(ProviderError) as caught:
                await ask(scene, session)
            assert caught.value.hresult is code

    play(story, providers=[Refusing(behaviour={method: ProviderError("no", hresult=code)})])


def test_exposing_and_deleting_what_is_exposed() -> None:
    local, remote = SnapshotAttributes.EXPOSED_LOCALLY, SnapshotAttributes.EXPOSED_REMOTELY

    async def story(scene: Scene) -> None:
        first, second = await take(scene, SnapshotContext.NAS_ROLLBACK, volumes=("D:", "L:"))
        (seen_by_people,) = await take(scene, SnapshotContext.CLIENT_ACCESSIBLE)
        async with scene.coordinator.open_session() as session:
            (own,) = await begin(scene, session)
            await session.do_snapshot_set()
            for wrong in (local | remote, SnapshotAttributes.PERSISTENT):
                with pytest.raises(InvalidArgumentError):
                    await session.expose_snapshot(first, wrong, "X:")
            for snapshot_id in (own, seen_by_people):
                with pytest.raises(BadStateError):
                    await session.expose_snapshot(snapshot_id, local, "X:")
            with pytest.raises(BadStateError):
                await session.unexpose_snapshot(first)
            assert await session.expose_snapshot(own, remote, "share") == "share"
            await session.unexpose_snapshot(own)
            await session.expose_snapshot(first, local, "X:")
            set_id = session.get_snapshot_properties(first).snapshot_set_id
            refused = await session.delete_snapshot_set(set_id)
            assert (refused.deleted_count, refused.non_deleted_id) == (0, first)
            assert refused.hresult is HResult.VSS_E_PROVIDER_VETO
            partly = await session.try_delete_snapshots([second, stub_guid("none"), first])
            assert (partly.deleted_count, partly.non_deleted_id) == (1, stub_guid("none"))
            assert partly.hresult is HResult.VSS_E_OBJECT_NOT_FOUND
            forced = await session.delete_snapshot_set(set_id, force=True)
            assert (forced.deleted_count, forced.non_deleted_id.int, forced.hresult) == (1, 0, HResult.S_OK)
            with pytest.raises(NotFoundError):
                await session.delete_snapshot_set(set_id)

    play(story, providers=[Reverting()], volumes=("D:", "L:"))


def test_what_a_provider_gave_up_by_itself_is_not_listed() -> None:
    async def story(scene: Scene) -> None:
        await take(scene, SnapshotContext.NAS_ROLLBACK)
        provider_of(scene).finished.clear()
        assert await scene.coordinator.query_snapshots() == []

    play(story)


def test_a_disabled_instance_is_not_asked() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.disable_writer_instances([scene.coordinator.writers[0].instance_id])
            assert await session.gather_writer_metadata() == []

    play(story)


def test_abort_backup_reaches_writers_again_after_a_failed_set_and_those_that_refused_the_snapshot() -> None:
    picky = StubWriter("picky", behaviour={"on_prepare_snapshot": WriterError("no")})
    unable = StubWriter("unable", behaviour={"on_prepare_backup": WriterError("no")})

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            with pytest.raises(ProviderError):
                await session.do_snapshot_set()
            assert [scene.calls.count(f"{name}.on_abort") for name in ("A", "picky", "unable")] == [1, 1, 0]
            await session.abort_backup()
            assert [scene.calls.count(f"{name}.on_abort") for name in ("A", "picky", "unable")] == [2, 2, 0]

    provider = StubProvider(behaviour={"pre_commit_snapshots": ProviderError("no")})
    play(story, writers=[StubWriter("A"), picky, unable], providers=[provider])


def test_abort_backup_before_the_set_is_taken_aborts_those_that_prepared() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.abort_backup()
        assert scene.calls[-2:] == ["A.on_abort", "A.on_backup_shutdown"]

    play(story)


def test_cancelling_an_async_operation_undoes_what_it_began() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await begin(scene, session)
            operation = AsyncOperation(session.do_snapshot_set())
            assert await operation.wait(1.0) is HResult.VSS_S_ASYNC_PENDING
            assert operation.query_status() is HResult.VSS_S_ASYNC_PENDING
            assert operation.cancel() is HResult.S_OK
            await operation.wait()
            assert operation.cancel() is HResult.VSS_S_ASYNC_CANCELLED
            assert "provider.abort_snapshots" in scene.calls
        finished = AsyncOperation(asyncio.sleep(0, result=7))
        await finished.wait()
        assert (finished.cancel(), finished.result) == (HResult.VSS_S_ASYNC_FINISHED, 7)

        async def odd() -> None:
            raise KeyError("odd")

        broken = AsyncOperation(odd())
        await broken.wait()
        assert broken.query_status() is HResult.VSS_E_UNEXPECTED

    play(story, providers=[StubProvider(behaviour={"end_prepare_snapshots": 30.0})])


def test_a_set_released_while_a_volume_is_flushed_holds_nothing() -> None:
    async def story(scene: Scene) -> None:
        volume = scene.coordinator.volume("D:")
        assert isinstance(volume, StubVolume)
        volume.behaviour["flush_and_hold"] = 2.0
        session = scene.coordinator.open_session()
        await begin(scene, session)
        operation = AsyncOperation(session.do_snapshot_set())
        await operation.wait(1.0)
        await scene.coordinator.requestor_died(session.session_id)
        await operation.wait()
        assert operation.query_status() is HResult.VSS_E_BAD_STATE
        assert not volume.is_holding
        with pytest.raises(NotFoundError):
            await scene.coordinator.requestor_died(session.session_id)

    play(story)


def test_the_states_of_a_shadow_copy_in_creation() -> None:
    seen: list[str] = []

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            (snapshot_id,) = await begin(scene, session)
            creation = session._creation
            assert creation is not None

            def look(*arguments: object) -> None:
                assert creation is not None
                seen.append(creation.state_of(snapshot_id).name)

            provider = provider_of(scene)
            look()
            provider.behaviour.update(dict.fromkeys(("end_prepare_snapshots", "commit_snapshots"), look))
            await session.do_snapshot_set()
            look()
            with pytest.raises(NotFoundError):
                creation.state_of(stub_guid("other"))
        assert seen == ["PREPARING", "PROCESSING_PREPARE", "PROCESSING_COMMIT", "CREATED"]

    play(story)


def test_a_requestor_that_dies_while_a_provider_cannot_delete_is_reported() -> None:
    async def story(scene: Scene) -> None:
        async def requestor() -> None:
            session = scene.coordinator.open_session()
            await begin(scene, session)
            await session.do_snapshot_set()

        provider_of(scene).behaviour["delete_snapshot"] = ProviderError("busy", hresult=HResult.VSS_E_PROVIDER_VETO)
        await asyncio.create_task(requestor())
        await asyncio.sleep(1.0)

    events = play(story)
    assert [each.plugin for each in events if isinstance(each, PluginProblem)] == ["requestor"]


def test_a_set_in_creation_is_named_to_the_next_requestor() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as first, scene.coordinator.open_session() as second:
            await begin(scene, first)
            second.initialize_for_backup()
            second.set_context(SnapshotContext.NAS_ROLLBACK)
            with pytest.raises(SetInProgressError, match=str(first.session_id)):
                second.start_snapshot_set()

    play(story)
