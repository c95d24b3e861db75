"""The backup requestor, end to end over the real coordinator: what it promises, and what it leaves when something breaks."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vss.documents import BackupComponents, BackupType, Component, ComponentDependency, ComponentType, FileSpec
from vss.documents.xml import parse_backup_components
from vss.errors import (
    AlreadyExistsError,
    BackupSetError,
    InvalidArgumentError,
    NotFoundError,
    ProviderError,
    VolumeReadError,
    VssError,
    WriterError,
    WriterRetryableError,
    WriterTimeoutError,
)
from vss.events import BackupSetWritten, ComponentFailed, CorruptionFound, FileCopied, FileVerified, PhaseLeft, SnapshotDeleted
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import NANOSECONDS
from vss.simulation.memory_files import MemoryFiles
from vss_requestors.backup import BackupRequestor
from vss_requestors.component_selection import ComponentName
from vss_requestors.errors import TargetError, TargetFullError, TargetRefusedError
from vss_requestors.repository import open_set
from vss_requestors.results import BackupResult


async def back_up(world: Any, **options: Any) -> BackupResult:
    result: BackupResult = await BackupRequestor().run(world, **{**world.options, **options})
    return result


# -- the story ---------------------------------------------------------------------------------------------------------------


def test_full_backup_copies_verifies_reports_and_lets_the_writer_truncate(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        result = await back_up(world, backup_type=BackupType.FULL)
        assert result.exit_code == ExitCode.OK
        assert result.is_success
        assert (result.state, result.is_verified, result.backup_complete) == ("complete", True, "delivered")
        assert {each.path for each in result.copied} == set(kit.STORE_FILES)
        assert result.copied_bytes == sum(map(len, kit.STORE_FILES.values()))
        assert all(each.is_good for each in result.verified)
        assert {each.path: each.pages for each in result.verified}["D:\\data\\one.edb"] == 5
        assert writer.told == [("Store", True)]
        assert [each.removed_count for each in result.truncations] == [1]
        assert result.freeze is not None
        assert result.freeze.limit_ns == 10 * NANOSECONDS
        assert [hold.volume for hold in result.holds] == ["D:", "L:"]
        phases = [each.phase for each in result.phases]
        assert phases.index("copy") < phases.index("verify") < phases.index("complete")
        tree = world.set_tree()
        for path, data in kit.STORE_FILES.items():
            assert tree[f"{result.set_id}/files/{path[0]}{path[2:].replace(chr(92), '/')}"] == data

    kit.play(script)


def test_sha256sums_name_every_file_and_document(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        result = await back_up(world)
        tree = {path.partition("/")[2]: data for path, data in world.set_tree().items()}
        lines = dict(reversed(line.split("  ")) for line in tree["SHA256SUMS"].decode().splitlines())
        assert set(lines) == set(tree) - {"SHA256SUMS", "session.json", "events.jsonl"}
        assert all(hashlib.sha256(tree[path]).hexdigest() == digest for path, digest in lines.items())
        assert result.set_id

    kit.play(script)


def test_files_come_from_the_shadow_copy_even_when_the_originals_are_destroyed_right_after_thaw(kit: Any) -> None:
    async def script(world: Any) -> None:
        async def destroy(context: Any) -> None:
            await world.destroy_originals()

        writer = kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_post_snapshot": destroy})
        await world.start([writer])
        result = await back_up(world)
        assert result.exit_code == ExitCode.OK
        assert await world.tree() == {}
        stored = {each.path: each.sha256 for each in result.copied}
        assert stored == {path: hashlib.sha256(data).hexdigest() for path, data in kit.STORE_FILES.items()}
        assert {event.source for event in world.events(FileCopied)} == {"shadow copy"}

    kit.play(script)


def test_same_seed_gives_the_same_set_byte_for_byte(kit: Any) -> None:
    async def script(world: Any) -> dict[str, bytes]:
        await world.start()
        await back_up(world)
        tree: dict[str, bytes] = world.set_tree()
        return tree

    first, second, other = kit.play(script, seed=3), kit.play(script, seed=3), kit.play(script, seed=4)
    assert first == second
    assert first.keys() != other.keys()


def test_no_document_of_a_set_names_a_host_path(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await back_up(world, target=Path("/srv/very-private/backups"))
        tree = world.set_tree(Path("/srv/very-private/backups"))
        assert not [path for path, data in tree.items() if b"very-private" in data]

    kit.play(script)


def test_the_set_is_complete_on_disk_before_backup_complete_is_sent(kit: Any) -> None:
    async def script(world: Any) -> None:
        states: list[tuple[str, str]] = []

        async def look(context: Any) -> None:
            root = kit.TARGET / world.ports.files.list_directory(kit.TARGET)[0]
            opened = await open_set(world.ports, root)
            states.append((opened.record.state, opened.record.backup_complete))

        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_backup_complete": look})])
        result = await back_up(world)
        assert states == [("complete", "pending")]
        sealed = await open_set(world.ports, kit.TARGET / result.set_id)
        assert sealed.record.backup_complete == "delivered"
        assert b"SessionReleased" in world.set_tree()[f"{result.set_id}/events.jsonl"]

    kit.play(script)


# -- wrong bytes -------------------------------------------------------------------------------------------------------------


def test_a_broken_page_is_named_and_nothing_is_truncated(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        broken = bytearray(kit.database(5))
        broken[3 * kit.PAGE + 100] ^= 1
        await world.write("D:\\data\\one.edb", bytes(broken))
        result = await back_up(world, backup_type=BackupType.FULL)
        assert result.exit_code == ExitCode.VERIFICATION_MISMATCH
        finding = result.findings[0]
        assert (finding.path, finding.page_number, finding.offset) == ("D:\\data\\one.edb", 3, 3 * kit.PAGE)
        assert writer.told == [("Store", False)]
        assert writer.truncations == 0
        assert result.state == "failed"
        assert "page 3" in result.components[0].reason
        assert world.events(CorruptionFound)[0].page_number == 3
        assert world.events(ComponentFailed)
        with pytest.raises(BackupSetError, match="state 'failed'"):
            (await open_set(world.ports, kit.TARGET / result.set_id)).require_complete()

    kit.play(script)


class LyingFiles(MemoryFiles):
    """Takes one write and keeps other bytes, as a bad disk does."""

    def open(self, path: Path, **options: bool) -> Any:
        handle = super().open(path, **options)
        if path.name == "two.edb" and options.get("exclusive"):
            honest = handle.pwrite
            handle.pwrite = lambda offset, data: honest(offset, bytes([data[0] ^ 1]) + bytes(data[1:]))  # type: ignore[method-assign]
        return handle


def test_bytes_that_the_target_did_not_keep_fail_the_component(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start(with_verifier=False)
        result = await back_up(world)
        assert result.exit_code == ExitCode.VERIFICATION_MISMATCH
        assert [(each.path, each.code, each.offset) for each in result.findings] == [
            ("D:\\data\\deep\\two.edb", "wrong digest", 0)
        ]
        assert writer.truncations == 0
        assert "D:\\data\\deep\\two.edb" not in [event.path for event in world.events(FileVerified)]

    kit.play(script, files=LyingFiles())


def test_without_verification_the_result_says_so(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        result = await back_up(world, verify=False)
        assert (result.exit_code, result.is_verified, result.verified) == (ExitCode.OK, False, ())
        assert not (await open_set(world.ports, kit.TARGET / result.set_id)).record.is_verified

    kit.play(script)


def test_a_writer_without_verifier_is_noted(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start(with_verifier=False)
        result = await back_up(world)
        assert result.exit_code == ExitCode.OK
        assert "digest only" in result.notes[0]

    kit.play(script)


# -- what is backed up -------------------------------------------------------------------------------------------------------


def writer_with_two(kit: Any, world: Any, **options: Any) -> Any:
    components = (
        Component(ComponentType.FILE_GROUP, "One", files=(FileSpec("D:\\data", "one.edb"),)),
        Component(ComponentType.FILE_GROUP, "Two", files=(FileSpec("D:\\data\\deep", "two.edb"),)),
    )
    return kit.StoreWriter(world.ports, calls=world.calls, components=components, **options)


def test_only_chosen_components_are_in_the_document_and_the_set(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = writer_with_two(kit, world)
        await world.start([writer])
        result = await back_up(world, components=(ComponentName("store", "two"),))
        assert [each.path for each in result.copied] == ["D:\\data\\deep\\two.edb"]
        assert writer.told == [("Two", True)]
        assert [hold.volume for hold in result.holds] == ["D:"]

    kit.play(script)


def test_what_a_chosen_component_depends_on_comes_along(kit: Any) -> None:
    async def script(world: Any) -> None:
        second = kit.StoreWriter(
            world.ports,
            "Other",
            calls=world.calls,
            components=(Component(ComponentType.FILE_GROUP, "Other", files=(FileSpec("L:\\logs", "*"),)),),
        )
        needs = ComponentDependency(second.writer_class_id, "", "Other")
        component = Component(
            ComponentType.FILE_GROUP, "Store", files=(FileSpec("D:\\data", "one.edb"),), dependencies=(needs,)
        )
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, components=(component,)), second])
        result = await back_up(world, components=(ComponentName("", "Store"),))
        assert [each.component for each in result.components] == ["Store", "Other"]

    kit.play(script)


def test_a_declared_file_that_is_missing_fails_its_component_only(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = writer_with_two(kit, world)
        await world.start([writer])
        await world.files.remove("D:\\data\\one.edb")
        result = await back_up(world)
        assert result.exit_code == ExitCode.WARNINGS
        assert writer.told == [("One", False), ("Two", True)]
        assert "one.edb' is missing from the shadow copy" in result.components[0].reason
        assert result.state == "failed"

    kit.play(script)


def test_a_file_the_shadow_copy_cannot_give_fails_its_component_only(kit: Any) -> None:
    async def faults(site: str, work: Any, **selectors: str) -> Any:
        if site == "requestor.copy" and selectors["file"].endswith("one.edb"):
            raise VolumeReadError("the device failed at offset 4096")
        return await work()

    async def script(world: Any) -> None:
        writer = writer_with_two(kit, world)
        await world.start([writer])
        result = await back_up(world)
        assert result.exit_code == ExitCode.WARNINGS
        assert writer.told == [("One", False), ("Two", True)]
        assert [each.path for each in result.copied] == ["D:\\data\\deep\\two.edb"]

    kit.play(script, faults=faults)


def test_when_nothing_succeeds_the_backup_fails(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = writer_with_two(kit, world)
        await world.start([writer])
        await world.destroy_originals()
        result = await back_up(world)
        assert result.exit_code == ExitCode.UNEXPECTED
        assert writer.told == [("One", False), ("Two", False)]

    kit.play(script)


def test_a_writer_that_lacks_the_type_is_backed_up_as_full_with_a_warning(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        result = await back_up(world, backup_type=BackupType.INCREMENTAL)
        assert result.exit_code == ExitCode.WARNINGS
        assert "treats it as FULL" in result.warnings[0]
        assert len(result.copied) == 4

    kit.play(script)


def test_the_stamp_of_the_previous_backup_reaches_the_writer(kit: Any) -> None:
    async def script(world: Any) -> None:
        async def stamp(context: Any) -> None:
            own = context.components
            seen.extend(each.previous_backup_stamp for each in own.components)
            context.set_components(replace(own, components=tuple(replace(e, backup_stamp=b"one") for e in own.components)))

        seen: list[bytes] = []
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_prepare_backup": stamp})])
        first = await back_up(world, backup_type=BackupType.FULL)
        document = (await open_set(world.ports, kit.TARGET / first.set_id)).document
        await back_up(world, backup_type=BackupType.INCREMENTAL, previous=document)
        assert seen == [b"", b"one"]
        with pytest.raises(InvalidArgumentError, match="COPY backup, expected FULL or INCREMENTAL"):
            await back_up(world, backup_type=BackupType.INCREMENTAL, previous=replace(document, backup_type=BackupType.COPY))

    kit.play(script)


# -- writers that fail -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["on_prepare_backup", "on_prepare_snapshot", "on_freeze", "on_thaw", "on_post_snapshot"])
def test_when_the_only_writer_fails_its_error_comes_out_and_no_set_is_written(kit: Any, step: str) -> None:
    async def script(world: Any) -> None:
        behaviour = {step: WriterRetryableError("the store is busy")}
        writer = kit.StoreWriter(world.ports, calls=world.calls, behaviour=behaviour)
        await world.start([writer])
        with pytest.raises(WriterRetryableError, match="the store is busy"):
            await back_up(world)
        assert world.set_tree() == {}
        assert writer.truncations == 0
        assert not world.provider.finished

    kit.play(script)


@pytest.mark.parametrize("stop", [False, True])
def test_one_of_two_writers_may_fail_unless_told_to_stop(kit: Any, stop: bool) -> None:
    async def script(world: Any) -> None:
        bad = kit.StoreWriter(
            world.ports,
            "Bad",
            calls=world.calls,
            behaviour={"on_freeze": WriterError("no")},
            components=(Component(ComponentType.FILE_GROUP, "Bad", files=(FileSpec("L:\\logs", "*"),)),),
        )
        good = writer_with_two(kit, world)
        await world.start([good, bad])
        if stop:
            with pytest.raises(WriterError, match="writer 'Bad' failed: no"):
                await back_up(world, stop_on_writer_error=True)
            assert good.truncations == 0
            return
        result = await back_up(world)
        assert result.exit_code == ExitCode.WARNINGS
        assert [(each.component, each.succeeded) for each in result.components] == [
            ("One", True),
            ("Two", True),
            ("Bad", False),
        ]
        assert not [each.path for each in result.copied if each.path.startswith("L:")]
        assert good.truncations == 1

    kit.play(script)


def test_a_writer_that_times_out_gives_the_exit_code_of_a_lost_window(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_thaw": "hang"})])
        with pytest.raises(VssError) as caught:
            await back_up(world)
        assert caught.value.exit_code == ExitCode.WINDOW_LOST
        assert world.set_tree() == {}

    kit.play(script)


def test_after_a_failed_backup_the_next_one_works(kit: Any) -> None:
    async def script(world: Any) -> None:
        behaviour: dict[str, Any] = {"on_freeze": WriterTimeoutError("late")}
        writer = kit.StoreWriter(world.ports, calls=world.calls, behaviour=behaviour)
        await world.start([writer])
        with pytest.raises(WriterTimeoutError):
            await back_up(world)
        writer.behaviour.clear()
        assert (await back_up(world)).exit_code == ExitCode.OK

    kit.play(script)


def test_a_writer_that_fails_at_backup_complete_leaves_a_good_set_and_a_warning(kit: Any) -> None:
    async def script(world: Any) -> None:
        behaviour = {"on_backup_complete": WriterError("cannot truncate")}
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour=behaviour)])
        result = await back_up(world)
        assert result.exit_code == ExitCode.WARNINGS
        assert "cannot truncate" in result.warnings[0]
        assert (await open_set(world.ports, kit.TARGET / result.set_id)).record.state == "complete"

    kit.play(script)


def test_a_lost_backup_complete_leaves_a_good_set_and_a_warning(kit: Any) -> None:
    async def faults(site: str, work: Any, **selectors: str) -> Any:
        if site == "requestor.complete":
            raise WriterError("connection lost")
        return await work()

    async def script(world: Any) -> None:
        writer = await world.start()
        result = await back_up(world)
        assert (result.exit_code, result.backup_complete) == (ExitCode.WARNINGS, "failed")
        assert result.warnings == ("BackupComplete failed: connection lost",)
        assert writer.truncations == 0

    kit.play(script, faults=faults)


def test_a_writer_whose_status_is_missing_counts_as_failed(kit: Any) -> None:
    async def faults(site: str, work: Any, **selectors: str) -> Any:
        found = await work()
        return [] if site == "requestor.status" else found

    async def script(world: Any) -> None:
        await world.start()
        with pytest.raises(WriterError, match="no status was told") as raised:
            await back_up(world)
        assert raised.value.hresult is HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE

    kit.play(script, faults=faults)


# -- providers and sessions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["begin_prepare_snapshot", "end_prepare_snapshots", "commit_snapshots", "open_snapshot"])
def test_a_failing_provider_ends_the_backup_with_nothing_written(kit: Any, step: str) -> None:
    async def script(world: Any) -> None:
        world.provider.behaviour[step] = ProviderError("disk array said no")
        writer = await world.start()
        with pytest.raises(ProviderError):
            await back_up(world)
        assert world.set_tree() == {}
        assert writer.truncations == 0
        assert not world.provider.finished

    kit.play(script)


def test_a_shadow_copy_that_cannot_be_deleted_is_a_warning_of_a_good_backup(kit: Any) -> None:
    async def script(world: Any) -> None:
        world.provider.behaviour["delete_snapshot"] = ProviderError("busy")
        await world.start()
        result = await back_up(world)
        assert result.exit_code == ExitCode.WARNINGS
        assert "not released cleanly" in result.warnings[0]
        assert (await open_set(world.ports, kit.TARGET / result.set_id)).record.state == "complete"

    kit.play(script)


def test_an_unknown_provider_is_not_found(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        with pytest.raises(NotFoundError):
            await back_up(world, provider_id=Guid(int=77))
        assert world.set_tree() == {}

    kit.play(script)


def test_persistent_shadow_copies_stay_after_success_and_go_after_failure(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        result = await back_up(world, persistent=True)
        assert len(world.provider.finished) == 2
        assert all(each.is_kept for each in result.snapshots)
        writer.behaviour["on_post_snapshot"] = WriterError("no")
        with pytest.raises(WriterError):
            await back_up(world, rollback=True)
        assert len(world.provider.finished) == 2
        assert len(world.events(SnapshotDeleted)) == 2

    kit.play(script)


def test_a_failure_while_undoing_is_noted_on_the_first_cause(kit: Any) -> None:
    async def script(world: Any) -> None:
        world.provider.behaviour["delete_snapshot"] = ProviderError("busy")
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_post_snapshot": WriterError("no")})])
        with pytest.raises(WriterError, match="no") as caught:
            await back_up(world, persistent=True)
        assert any("while undoing: " in note for note in caught.value.__notes__)

    kit.play(script)


def test_snapshot_only_copies_nothing_and_reports_nothing(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        result = await back_up(world, target=None, snapshot_only=True, persistent=True)
        assert (result.state, result.exit_code, result.copied) == ("", ExitCode.OK, ())
        assert [each.succeeded for each in result.components] == [None]
        assert len(world.provider.finished) == 2
        assert writer.told == []
        assert "Store.on_backup_shutdown" in world.calls

    kit.play(script)


def test_without_backup_complete_the_set_is_whole_and_no_log_goes(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        result = await back_up(world, send_backup_complete=False)
        assert (result.backup_complete, result.exit_code) == ("left out", ExitCode.OK)
        assert writer.truncations == 0
        assert (await open_set(world.ports, kit.TARGET / result.set_id)).record.backup_complete == "left out"

    kit.play(script)


# -- cancellation ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", ["identify", "on_prepare_backup", "on_prepare_snapshot", "on_freeze", "on_thaw", "on_post_snapshot"]
)
def test_cancelled_while_a_writer_works_everything_is_released(kit: Any, step: str) -> None:
    async def script(world: Any) -> None:
        async def cancel(*_: Any) -> None:
            task.cancel()
            await asyncio.sleep(1)

        writer = kit.StoreWriter(world.ports, calls=world.calls, behaviour={step: cancel})
        await world.start([writer])
        task = asyncio.ensure_future(back_up(world))
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(2)  # late answers of the writer
        assert world.set_tree() == {}
        assert writer.truncations == 0
        assert not world.provider.finished

    kit.play(script)


@pytest.mark.parametrize("call", range(1, 9))
def test_cancelled_while_copying_or_verifying_the_set_says_failed(kit: Any, call: int) -> None:
    async def script(world: Any) -> None:
        calls: list[str] = []

        def progress(path: str, done: int, size: int) -> None:
            calls.append(path)
            if len(calls) == call:
                task.cancel()

        writer = await world.start()
        task = asyncio.ensure_future(back_up(world, progress=progress))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert writer.truncations == 0
        name = world.ports.files.list_directory(kit.TARGET)[0]
        record = (await open_set(world.ports, kit.TARGET / name)).record
        assert (record.state, record.error) == ("failed", "CancelledError")

    kit.play(script)


def test_cancelled_in_backup_complete_the_set_stays_complete(kit: Any) -> None:
    async def script(world: Any) -> None:
        async def cancel(context: Any) -> None:
            task.cancel()
            await asyncio.sleep(1)

        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_backup_complete": cancel})])
        task = asyncio.ensure_future(back_up(world))
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(2)
        name = world.ports.files.list_directory(kit.TARGET)[0]
        record = (await open_set(world.ports, kit.TARGET / name)).record
        assert (record.state, record.backup_complete) == ("complete", "pending")

    kit.play(script)


@pytest.mark.slow
def test_cancelled_at_any_step_of_the_loop_no_set_looks_whole_and_nothing_is_truncated(kit: Any) -> None:
    """By steps until time passes, by virtual time from then on."""

    async def clean(world: Any) -> int:
        await world.start()
        begun: int = world.ports.clock.now_ns()
        await back_up(world)
        return int(world.ports.clock.now_ns()) - begun

    duration_ns = kit.play(clean)
    pauses = [[0.0] * steps for steps in range(1, 90, 2)]
    pauses += [[0.0, duration_ns * part / 12 / NANOSECONDS, *[0.0] * steps] for part in range(12) for steps in (0, 9, 18)]
    pauses += [[0.0, duration_ns / NANOSECONDS, *[0.0] * steps] for steps in range(0, 240, 3)]
    seen: set[tuple[str, ...]] = set()
    for waits in pauses:

        async def script(world: Any, waits: list[float] = waits) -> None:
            writer = await world.start()
            task = asyncio.ensure_future(back_up(world))
            for wait in waits:
                await asyncio.sleep(wait)
            task.cancel()
            await asyncio.wait([task])
            await asyncio.sleep(2)
            names = world.ports.files.list_directory(kit.TARGET) if world.ports.files.exists(kit.TARGET) else []
            states = tuple([(await open_set(world.ports, kit.TARGET / name)).record.state for name in names])
            assert not writer.truncations or states == ("complete",), f"cancelled after {waits}"
            seen.add(states)

        kit.play(script)
    assert seen == {(), ("failed",), ("complete",)}


def test_cancelled_after_the_abort_of_a_snapshot_alone_there_is_nothing_to_abort(kit: Any) -> None:
    async def script(world: Any) -> None:
        async def cancel(context: Any) -> None:
            task.cancel()
            await asyncio.sleep(1)

        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_backup_shutdown": cancel})])
        task = asyncio.ensure_future(back_up(world, snapshot_only=True))
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(2)

    kit.play(script)


def test_what_belongs_to_a_failed_component_only_is_not_copied(kit: Any) -> None:
    async def faults(site: str, work: Any, **selectors: str) -> Any:
        if site == "requestor.copy" and selectors["file"].endswith("two.edb"):
            raise VolumeReadError("the device failed at offset 4096")
        return await work()

    async def script(world: Any) -> None:
        await world.start()
        result = await back_up(world)
        assert result.copied == ()
        assert result.exit_code == ExitCode.UNEXPECTED

    kit.play(script, faults=faults)


def test_a_persistent_set_that_never_came_to_be_leaves_nothing_to_delete(kit: Any) -> None:
    async def script(world: Any) -> None:
        world.provider.behaviour["commit_snapshots"] = ProviderError("no")
        await world.start()
        with pytest.raises(ProviderError) as caught:
            await back_up(world, persistent=True)
        assert not getattr(caught.value, "__notes__", [])

    kit.play(script)


# -- refusals ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/lab", "/lab/volumes/backups", "/other/../lab/x"])
def test_a_target_inside_the_lab_is_refused_before_anybody_is_asked(kit: Any, target: str) -> None:
    async def script(world: Any) -> None:
        await world.start()
        with pytest.raises(TargetRefusedError, match="inside the lab"):
            await back_up(world, target=Path(target))
        assert world.calls == []

    kit.play(script)


def test_a_read_only_target_is_refused_before_anybody_is_asked(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        with pytest.raises(TargetRefusedError, match="EROFS") as caught:
            await back_up(world)
        assert caught.value.exit_code == ExitCode.USAGE
        assert world.calls == []

    kit.play(script, files=read_only_target(kit))


def read_only_target(kit: Any) -> MemoryFiles:
    files = MemoryFiles()
    files.make_directory(kit.TARGET)
    files.make_read_only(kit.TARGET)
    return files


def test_a_target_that_is_a_file_is_refused(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        world.ports.files.open(kit.TARGET, exclusive=True).close()
        with pytest.raises(TargetRefusedError, match="is a file"):
            await back_up(world, target=kit.TARGET / "below")

    kit.play(script)


def test_a_target_too_small_for_the_files_is_refused_before_the_set_is_begun(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        with pytest.raises(TargetFullError) as caught:
            await back_up(world)
        assert caught.value.exit_code == ExitCode.USAGE
        assert world.set_tree() == {}
        assert writer.truncations == 0

    kit.play(script, files=MemoryFiles(capacity_bytes=1 << 20))


def test_a_target_that_fills_up_meanwhile_fails_the_set_and_truncates_nothing(kit: Any) -> None:
    async def script(world: Any) -> None:
        def progress(path: str, done: int, size: int) -> None:
            world.ports.files.capacity_bytes = world.ports.files.used_bytes + 100

        writer = await world.start()
        with pytest.raises(TargetFullError, match="ENOSPC"):
            await back_up(world, progress=progress)
        assert writer.truncations == 0
        name = world.ports.files.list_directory(kit.TARGET)[0]
        with pytest.raises(BackupSetError, match="state 'writing'"):
            await open_set(world.ports, kit.TARGET / name)

    kit.play(script, files=MemoryFiles())


def test_a_set_that_exists_is_never_touched(kit: Any) -> None:
    """Same seed, same directory: the second run draws the same set id."""
    files = MemoryFiles()

    async def script(world: Any) -> dict[str, bytes]:
        await world.start()
        await back_up(world)
        tree: dict[str, bytes] = world.set_tree()
        return tree

    before = kit.play(script, files=files)

    async def again(world: Any) -> None:
        writer = await world.start()
        with pytest.raises(AlreadyExistsError, match="exists already"):
            await back_up(world)
        assert world.set_tree() == before
        assert writer.truncations == 0
        assert "Store.on_prepare_backup" not in world.calls

    kit.play(again, files=files)


def test_the_document_file_is_written_and_never_overwritten(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        result = await back_up(world, document_file=Path("/bcd.xml"))
        document: BackupComponents = parse_backup_components(world.ports.files.read_bytes(Path("/bcd.xml")))
        assert str(document.snapshot_set_id) == result.set_id
        assert document.writers[0].components[0].backup_succeeded is True
        world.calls.clear()
        with pytest.raises(AlreadyExistsError, match=r"bcd\.xml"):
            await back_up(world, document_file=Path("/bcd.xml"))
        with pytest.raises(TargetRefusedError, match="is not a directory"):
            await back_up(world, document_file=Path("/nowhere/bcd.xml"))
        assert world.calls == []

    kit.play(script)


def test_the_document_file_goes_when_the_set_cannot_be_sealed(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        with pytest.raises(TargetError):
            await back_up(world, document_file=Path("/bcd.xml"))
        assert not world.ports.files.exists(Path("/bcd.xml"))

    class NoManifest(MemoryFiles):
        def write_atomically(self, path: Path, data: bytes) -> None:
            if path.name == "manifest.json":
                raise OSError(5, "Input/output error")
            super().write_atomically(path, data)

    kit.play(script, files=NoManifest())


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (ComponentName("Nobody", "Store"), "no writer 'Nobody'"),
        (ComponentName("", "Stor"), "no component 'Stor'"),
    ],
)
def test_an_unknown_writer_or_component_is_named_with_the_nearest(kit: Any, name: ComponentName, error: str) -> None:
    async def script(world: Any) -> None:
        await world.start()
        with pytest.raises(NotFoundError, match=error) as caught:
            await back_up(world, components=(name,))
        assert "Store" in caught.value.hint
        assert world.set_tree() == {}

    kit.play(script)


def test_a_machine_with_nothing_to_back_up_is_refused(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.coordinator.add_provider(world.provider)
        with pytest.raises(NotFoundError, match="declares anything"):
            await back_up(world)

    kit.play(script)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"backup_type": BackupType.OTHER}, "means nothing"),
        ({"backup_type": BackupType.UNDEFINED}, "means nothing"),
        ({"target": None}, "needs a target"),
        ({"previous": BackupComponents()}, "goes with INCREMENTAL"),
        ({"throttle_bytes_per_s": 0.0}, "more than 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(kit: Any, options: dict[str, Any], error: str) -> None:
    async def script(world: Any) -> None:
        await world.start()
        with pytest.raises(InvalidArgumentError, match=error):
            await back_up(world, **options)
        assert world.calls == []

    kit.play(script)


# -- time --------------------------------------------------------------------------------------------------------------------


def test_throttled_copying_takes_its_exact_time(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        size = sum(map(len, kit.STORE_FILES.values()))
        await back_up(world, throttle_bytes_per_s=size / 4, verify=False)
        copy = next(event for event in world.events(PhaseLeft) if event.phase == "copy")
        assert abs(copy.duration_ns - 4 * NANOSECONDS) < 1_000_000

    kit.play(script)


def test_without_records_phases_are_timed_all_the_same(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        result = await back_up(world, records=None)
        assert [each.phase for each in result.phases] == ["gather", "prepare", "snapshot", "copy", "verify", "complete"]
        assert result.freeze is None
        assert world.set_tree()[f"{result.set_id}/events.jsonl"] == b""
        assert world.events(BackupSetWritten)[0].state == "complete"

    kit.play(script)
