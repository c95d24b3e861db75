"""What re-implementations of the protocol commonly get wrong, one test per mistake."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.protocol import test_traces_of_the_field as traces
from tests.protocol.kit import begin, logged, of, play, provider_of, status_of, take
from tests.writers.exchange import conftest as exchange
from vss.coordinator import AsyncOperation, Limits, SnapshotContext, limits_of_profile
from vss.documents import (
    AlternateLocationMapping,
    BackupType,
    Component,
    ComponentType,
    ExcludedFiles,
    FileSpec,
    RestoreMethod,
    RestoreMethodKind,
    RestoreTarget,
    SelectedComponent,
    SourceType,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.documents.file_sets import select_files
from vss.documents.machine_paths import FileListing
from vss.documents.selection import component_set
from vss.documents.xml import parse_backup_components, parse_writer_metadata, render_backup_components, render_writer_metadata
from vss.errors import BadStateError, ProviderError, ProviderVetoError, SetInProgressError, WriterRetryableError
from vss.events import LogsTruncated
from vss.hresult import HResult
from vss.ids import Guid
from vss.machines import WriterState
from vss.ports import NANOSECONDS
from vss.roles.provider import ProviderType
from vss.roles.writer import ApplicationLevel, WriterContext
from vss.testing import Scene, StubProvider, StubWriter
from vss.testing.stubs import StubFiles
from vss_requestors.repository.records import ManifestFile
from vss_requestors.restore_placement import place_files


def test_01_the_result_of_an_async_operation_is_in_query_status_not_in_wait() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            operation = AsyncOperation(session.do_snapshot_set())
            assert await operation.wait() is HResult.S_OK
            assert operation.query_status() is HResult.VSS_E_PROVIDER_VETO
            with pytest.raises(ProviderVetoError):
                _ = operation.result

    play(story, providers=[StubProvider(behaviour={"commit_snapshots": ProviderVetoError("no")})])


def test_02_finished_and_s_false_are_no_errors() -> None:
    for code in (HResult.VSS_S_ASYNC_FINISHED, HResult.VSS_S_ASYNC_CANCELLED, HResult.S_FALSE):
        assert not code.is_failure


def test_03_do_snapshot_set_does_not_fail_because_one_writer_vetoed() -> None:
    bad = StubWriter("bad", behaviour={"on_freeze": WriterRetryableError("no")})

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            assert (await status_of(session, "bad")).failure is HResult.VSS_E_WRITERERROR_RETRYABLE

    play(story, writers=[bad, StubWriter("good")])


@pytest.mark.parametrize("selects", [True, False])
def test_04_who_gets_snapshot_events_depends_on_the_mode(selects: bool) -> None:
    idle = StubWriter("idle")
    idle.components = ()

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await (scene.prepare(session) if selects else begin(scene, session))
            await session.do_snapshot_set()
        assert bool(of(scene.calls, "idle.on_")) is not selects

    play(story, writers=[StubWriter("A"), idle])


def test_05_levels_freeze_one_after_the_other_and_nobody_thaws_before_post_commit() -> None:
    levels = {"S": ApplicationLevel.SYSTEM, "B": ApplicationLevel.BACK_END, "F": ApplicationLevel.FRONT_END}
    begun: list[tuple[str, int]] = []

    def note(name: str) -> Any:
        async def freeze(context: WriterContext) -> None:
            begun.append((name, asyncio.get_running_loop().time().__trunc__()))
            await asyncio.sleep(1.0)

        return freeze

    async def story(scene: Scene) -> None:
        await scene.backup()
        assert begun == [("F", 0), ("B", 1), ("S", 2)]
        first_thaw = min(scene.calls.index(f"{name}.on_thaw") for name in levels)
        assert scene.calls.index("provider.post_commit_snapshots") < first_thaw

    play(story, writers=[StubWriter(name, level=level, behaviour={"on_freeze": note(name)}) for name, level in levels.items()])


@pytest.mark.parametrize("method", ["on_prepare_snapshot", "on_post_snapshot"])
def test_06_no_abort_follows_a_failed_prepare_for_snapshot_or_post_snapshot(method: str) -> None:
    async def story(scene: Scene) -> None:
        await scene.backup()
        assert not [each for each in scene.calls if each.endswith("on_abort")]

    play(story, writers=[StubWriter("bad", behaviour={method: WriterRetryableError("no")}), StubWriter("good")])


def test_07_abort_snapshots_comes_not_before_end_prepare_and_is_not_translated() -> None:
    async def before(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
        assert "provider.abort_snapshots" not in scene.calls

    async def odd(scene: Scene) -> None:
        with pytest.raises(ProviderVetoError) as caught:
            await scene.backup()
        assert "RuntimeError: odd" in caught.value.__notes__[0]

    play(before)
    trouble = {"end_prepare_snapshots": ProviderVetoError("no"), "abort_snapshots": RuntimeError("odd")}
    assert logged(play(odd, providers=[StubProvider(behaviour=trouble)])) == [("VSS", 12293)]


def test_08_the_creation_lock_goes_with_the_async_operation_and_not_with_the_copy_phase() -> None:
    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as first, scene.coordinator.open_session() as second:
            await begin(scene, first)
            second.initialize_for_backup()
            second.set_context(SnapshotContext.FILE_SHARE_BACKUP)
            operation = AsyncOperation(first.do_snapshot_set())
            await operation.wait(1.0)
            with pytest.raises(SetInProgressError):
                second.start_snapshot_set()
            await operation.wait()
            second.start_snapshot_set()

    play(story, providers=[StubProvider(behaviour={"post_final_commit_snapshots": 2.0})])


@pytest.mark.slow
@pytest.mark.parametrize("succeeded", [None, False, True])
def test_09_logs_are_truncated_for_what_succeeded_and_never_in_backup_shutdown(succeeded: bool | None) -> None:
    async def story(bench: exchange.Bench) -> None:
        await bench.work(200)
        async with bench.lab.open_session() as session:
            await Scene(bench.ports, bench.lab.coordinator, []).prepare(session, volumes=("D:", "L:"))
            await session.do_snapshot_set()
            if succeeded is not None:
                Scene(bench.ports, bench.lab.coordinator, []).report_all(session, succeeded)
            before = await bench.generations()
            await session.backup_complete()
            after = await bench.generations()
        assert await bench.generations() == after
        assert (len(after) < len(before)) is (succeeded is True)
        assert any(each.removed_count for each in bench.events(LogsTruncated)) is (succeeded is True)

    exchange.play(story)


def test_10_a_requestor_that_just_ends_still_causes_backup_shutdown() -> None:
    async def story(scene: Scene) -> None:
        async def requestor() -> None:
            session = scene.coordinator.open_session()
            await begin(scene, session)
            await session.do_snapshot_set()

        await asyncio.create_task(requestor())
        await asyncio.sleep(1.0)
        assert scene.calls.count("A.on_backup_shutdown") == 1
        assert provider_of(scene).finished == {}

    play(story)


def test_11_identify_is_asked_anew_by_every_session_and_once_in_each() -> None:
    async def story(scene: Scene) -> None:
        for count in (1, 2):
            async with scene.coordinator.open_session() as session:
                session.initialize_for_backup()
                await session.gather_writer_metadata()
                with pytest.raises(BadStateError):
                    await session.gather_writer_metadata()
            assert scene.calls.count("A.identify") == count

    play(story)


def test_12_the_restore_target_original_means_what_the_method_says() -> None:
    mapping = AlternateLocationMapping("D:\\a", "*.txt", True, "E:\\other")
    spec = FileSpec("D:\\a", "*.txt", recursive=True)
    component = Component(ComponentType.FILE_GROUP, "files", files=(spec,))
    method = RestoreMethod(RestoreMethodKind.RESTORE_TO_ALTERNATE_LOCATION, WriterRestore.ALWAYS, mappings=(mapping,))
    metadata = replace(metadata_of(component), restore_method=method)
    entry = ManifestFile(
        machine_path="D:\\a\\x.txt", path="", size_bytes=0, sha256="", quick_digests="", modified_ns=0, kind="file", owners=()
    )

    async def place(target: RestoreTarget) -> Iterable[str]:
        selected = SelectedComponent(ComponentType.FILE_GROUP, "files", restore_target=target)
        (placements,) = await place_files(StubFiles(), metadata, [component], selected, [entry])
        return [each.destination for each in placements]

    assert asyncio.run(place(RestoreTarget.ORIGINAL)) == ["E:\\other\\x.txt"]
    assert asyncio.run(place(RestoreTarget.ORIGINAL_LOCATION)) == ["D:\\a\\x.txt"]


def metadata_of(*components: Component) -> WriterMetadata:
    return WriterMetadata(Guid(int=1), Guid(int=2), "W", UsageType.USER_DATA, SourceType.OTHER, components=components)


def spit(*excluded: ExcludedFiles) -> list[tuple[str, str]]:
    """A backup of files that the writer has laid aside."""
    spec = FileSpec("D:\\live", "*", recursive=True, alternate_location="E:\\spit")
    metadata = metadata_of(Component(ComponentType.FILE_GROUP, "files", files=(spec,)))
    sets = [component_set(metadata, metadata.components[0])]
    found = select_files(sets, excluded, BackupType.FULL, FileListing(["E:\\spit\\a.txt", "D:\\live\\a.txt"]))
    return [(each.path, each.source_path) for each in found]


def test_13_an_alternate_path_is_where_a_backup_reads_and_nothing_that_a_restore_sees() -> None:
    assert spit() == [("D:\\live\\a.txt", "E:\\spit\\a.txt")]


def test_14_exclusions_are_matched_against_the_normal_path() -> None:
    assert spit(ExcludedFiles("E:\\spit", "*")) != []
    assert spit(ExcludedFiles("D:\\live", "*")) == []


def test_15_neither_file_sets_nor_implicit_components_are_in_the_backup_components_document() -> None:
    tree = (
        Component(ComponentType.FILE_GROUP, "All", files=(FileSpec("D:\\data", "*"),)),
        Component(ComponentType.FILE_GROUP, "Part", "All", files=(FileSpec("D:\\part", "*"),), selectable=False),
    )

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=BackupType.FULL)
            (metadata,) = await session.gather_writer_metadata()
            session.add_component(metadata.instance_id, metadata.writer_id, ComponentType.FILE_GROUP, "", "All")
            session.start_snapshot_set()
            await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()
            text = session.save_as_xml().decode()
            assert text.count("<COMPONENT ") == 1
            assert "Part" not in text
            assert "FILE_LIST" not in text
            assert "D:\\data" not in text

    play(story, writers=[StubWriter("A", components=tree)])


def test_16_documents_without_restore_method_recursive_no_and_backup_metadata_are_read() -> None:
    component = Component(ComponentType.FILE_GROUP, "files", files=(FileSpec("D:\\a", "*", recursive=False),))
    metadata = metadata_of(component)
    assert parse_writer_metadata(render_writer_metadata(metadata)) == metadata
    stated = render_writer_metadata(metadata).replace(b'filespec="*"', b'filespec="*" recursive="no"')
    assert parse_writer_metadata(stated).components[0].files[0].recursive is False
    selected = SelectedComponent(ComponentType.FILE_GROUP, "files", backup_metadata=b"private")

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            (part,) = session.document.writers
            document = replace(session.document, writers=(replace(part, components=(selected,)),))
            assert parse_backup_components(render_backup_components(document)) == document

    play(story)


def test_17_the_oldest_goes_at_the_size_limit_and_all_go_when_growth_fails() -> None:
    traces.test_at_the_limit_of_the_diff_area_the_oldest_goes()
    traces.test_a_diff_area_that_cannot_grow_loses_every_snapshot_of_the_volume()


def test_18_device_names_have_no_trailing_backslash_and_the_count_of_the_set_stays() -> None:
    async def story(scene: Scene) -> None:
        first, second = await take(scene, SnapshotContext.NAS_ROLLBACK, volumes=("D:", "L:"))
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.ALL)
            await session.delete_snapshots([first])
            (left,) = await session.query()
        assert left.snapshot_id == second
        assert left.snapshots_in_set == 2
        assert left.device_name == r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy2"

    play(story, volumes=("D:", "L:"))


def test_19_query_filters_by_context() -> None:
    traces.test_query_in_another_context_is_empty_and_all_shows_everything()


def test_20_software_snapshots_are_not_broken() -> None:
    traces.test_breaking_a_software_snapshot()


def test_21_each_writer_has_its_own_freeze_timer_and_the_hold_window_is_independent_of_it() -> None:
    quick = StubWriter("quick", freeze_timeout_s=5.0, behaviour={"on_thaw": "hang"})
    patient = StubWriter("patient", freeze_timeout_s=30.0, behaviour={"on_thaw": "hang"})

    async def story(scene: Scene) -> None:
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            operation = AsyncOperation(session.do_snapshot_set())
            await asyncio.sleep(6.0)
            assert (await board_state(scene, session, "quick"), await board_state(scene, session, "patient")) == (
                WriterState.FAILED_AT_THAW,
                WriterState.WAITING_FOR_THAW,
            )
            await operation.wait()
            assert scene.ports.clock.now_ns() == 30 * NANOSECONDS
        assert not scene.coordinator.volume("D:").is_holding

    play(story, writers=[quick, patient], limits=limits_of_profile("windows"))
    assert Limits().hold_window_s == limits_of_profile("windows").hold_window_s == 10.0


async def board_state(scene: Scene, session: Any, name: str) -> WriterState:
    """What another session reads while the first is busy."""
    async with scene.coordinator.open_session() as reader:
        reader.initialize_for_backup()
        await reader.gather_writer_metadata()
        status = await status_of(reader, name)
        assert (status.session_id, status.is_meaningful) == (session.session_id, False)
        return status.state


def test_22_what_a_provider_must_not_return_becomes_unexpected_provider_error() -> None:
    async def story(scene: Scene) -> None:
        with pytest.raises(ProviderError) as caught:
            await scene.backup()
        assert caught.value.hresult is HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR

    generic = ProviderError("generic", hresult=HResult.E_FAIL)
    for method in ("pre_commit_snapshots", "commit_snapshots", "post_commit_snapshots", "pre_final_commit_snapshots"):
        assert ("VSS", 12293) in logged(play(story, providers=[StubProvider(behaviour={method: generic})]))


@pytest.mark.parametrize("context", [each for each in SnapshotContext if each is not SnapshotContext.ALL])
def test_23_persistent_snapshots_stay_at_release_and_others_do_not(context: SnapshotContext) -> None:
    async def story(scene: Scene) -> None:
        await take(scene, context)
        assert len(await scene.coordinator.query_snapshots()) == (0 if context.is_auto_release else 1)

    play(story, providers=[StubProvider(type=ProviderType.SYSTEM)])
