"""The restore requestor: a verified set goes back, or nothing is touched."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vss.documents import (
    BackupComponents,
    BackupSchema,
    BackupType,
    Component,
    ComponentType,
    FileRestoreStatus,
    FileSpec,
    RestoreMethod,
    RestoreMethodKind,
    WriterRestore,
)
from vss.documents.xml import render_backup_components
from vss.errors import (
    BackupSetError,
    InvalidArgumentError,
    NotFoundError,
    RestoreRefusedError,
    UnsupportedError,
    VerificationError,
    VolumeFullError,
    VolumeWriteError,
    WriterError,
)
from vss.events import FileRestored
from vss.exit_codes import ExitCode
from vss.simulation.memory_files import MemoryFiles
from vss.volumes import MemoryStore
from vss_requestors.backup import BackupRequestor
from vss_requestors.component_selection import ComponentName
from vss_requestors.repository import open_set
from vss_requestors.repository.records import Manifest, ManifestDocument, SessionRecord, decode, encode, sha256_of
from vss_requestors.restore import RestoreRequestor
from vss_requestors.results import BackupResult, RestoreResult


async def back_up(world: Any, **options: Any) -> BackupResult:
    result: BackupResult = await BackupRequestor().run(world, **{**world.options, **options})
    assert result.state == "complete"
    return result


async def restore(world: Any, kit: Any, **options: Any) -> RestoreResult:
    result: RestoreResult = await RestoreRequestor().run(world, **{"source": kit.TARGET, **options})
    return result


async def leftovers(world: Any) -> list[str]:
    return [path for path in await world.tree() if path.endswith(".vss-restore")]


# -- the story ---------------------------------------------------------------------------------------------------------------


def test_everything_comes_back_onto_a_new_volume(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await back_up(world)
        world.volumes["D:"].lose()
        world.volumes["D:"].replace_with_blank(MemoryStore(4 << 20, name="D:"))
        world.calls.clear()
        result = await restore(world, kit)
        assert result.exit_code == ExitCode.OK
        assert result.is_success
        assert await world.tree() == kit.STORE_FILES
        assert [each.status for each in result.components] == ["ALL"]
        assert world.calls == ["Store.identify", "Store.on_pre_restore", "Store.on_post_restore"]
        assert {each.path: each.action for each in result.files} == {
            "D:\\data\\one.edb": "restored",
            "D:\\data\\deep\\two.edb": "restored",
            "L:\\logs\\E0001.log": "same bytes there",
            "L:\\logs\\E0002.log": "same bytes there",
        }
        assert [event.path for event in world.events(FileRestored)] == ["D:\\data\\deep\\two.edb", "D:\\data\\one.edb"]

    kit.play(script)


def test_the_writer_sees_what_became_of_its_files(kit: Any) -> None:
    async def script(world: Any) -> None:
        async def look(context: Any) -> None:
            seen.extend(
                (each.file_restore_status, each.additional_restores, each.restore_options)
                for each in context.components.components
            )

        seen: list[Any] = []
        schema = BackupSchema.ROLLFORWARD_RESTORE
        behaviour = {"on_post_restore": look}
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour=behaviour, schema=schema)])
        await back_up(world)
        await restore(world, kit, additional_restores=True, restore_options='"Roll Forward"="None"')
        assert seen == [(FileRestoreStatus.ALL, True, '"Roll Forward"="None"')]

    kit.play(script)


def test_newer_logs_stay_and_older_ones_are_replaced(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await back_up(world)
        await asyncio.sleep(60)
        await world.write("L:\\logs\\E0002.log", b"later log " * 100)
        await world.write("L:\\logs\\E0003.log", b"third log " * 100)
        await world.write("D:\\data\\one.edb", kit.database(5, fill=1))
        result = await restore(world, kit)
        tree = await world.tree()
        assert tree["L:\\logs\\E0002.log"] == b"later log " * 100
        assert tree["L:\\logs\\E0003.log"] == b"third log " * 100
        assert tree["D:\\data\\one.edb"] == kit.STORE_FILES["D:\\data\\one.edb"]
        assert {each.path: each.action for each in result.files}["L:\\logs\\E0002.log"] == "newer log kept"
        assert result.exit_code == ExitCode.OK

    kit.play(script)


def test_an_older_log_with_other_bytes_is_replaced(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await world.files.remove("L:\\logs\\E0002.log")
        await world.write("L:\\logs\\E0001.log", b"older log " * 100)
        image = world.volumes["L:"].raw_store.read(0, 4 << 20)
        await asyncio.sleep(60)
        await world.write("L:\\logs\\E0001.log", b"newer log " * 100)
        await back_up(world)
        world.volumes["L:"].lose()
        world.volumes["L:"].replace_with_blank(MemoryStore(4 << 20, name="L:", content=image))
        world.volumes["L:"].raw_store.write(0, image)
        world.volumes["L:"].remount()
        assert await world.read("L:\\logs\\E0001.log") == b"older log " * 100
        await restore(world, kit)
        assert await world.read("L:\\logs\\E0001.log") == b"newer log " * 100

    kit.play(script)


def test_a_temporary_file_of_an_interrupted_restore_does_no_harm(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await back_up(world)
        await world.write("D:\\data\\one.edb.vss-restore", b"x" * 1_000_000)
        assert (await restore(world, kit)).exit_code == ExitCode.OK
        assert await world.tree() == kit.STORE_FILES

    kit.play(script)


def test_only_wanted_components_come_back(kit: Any) -> None:
    async def script(world: Any) -> None:
        components = (
            Component(ComponentType.FILE_GROUP, "One", files=(FileSpec("D:\\data", "one.edb"),)),
            Component(ComponentType.FILE_GROUP, "Two", files=(FileSpec("D:\\data\\deep", "two.edb"),)),
            Component(ComponentType.FILE_GROUP, "Part", logical_path="Two", selectable=False),
        )
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, components=components)])
        await back_up(world)
        await world.destroy_originals()
        result = await restore(world, kit, components=(ComponentName("", "Two"),))
        assert list(await world.tree()) == ["D:\\data\\deep\\two.edb"]
        assert [each.component for each in result.components] == ["Two"]
        with pytest.raises(InvalidArgumentError, match="not selectable for restore: it comes with 'Two' only"):
            await restore(world, kit, components=(ComponentName("", "Part"),))
        with pytest.raises(NotFoundError, match="no component 'Nothing'"):
            await restore(world, kit, components=(ComponentName("", "Nothing"),))

    kit.play(script)


def test_one_of_several_sets_is_found_by_its_document(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        first = await back_up(world)
        await back_up(world)
        with pytest.raises(InvalidArgumentError, match="holds 2 backup sets"):
            await restore(world, kit)
        document = (await open_set(world.ports, kit.TARGET / first.set_id)).document
        assert (await restore(world, kit, document=document)).set_id == first.set_id
        other = replace(document, backup_type=BackupType.LOG)
        with pytest.raises(BackupSetError, match="is not that of backup set"):
            await restore(world, kit, document=other)

    kit.play(script)


# -- refusals: nothing is touched --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["files/D/data/one.edb", "files/L/logs/E0001.log"])
def test_a_damaged_set_is_refused_before_the_writer_is_asked(kit: Any, path: str) -> None:
    async def script(world: Any) -> None:
        await world.start()
        result = await back_up(world)
        before = await world.tree()
        handle = world.ports.files.open(kit.TARGET / result.set_id / path, write=True)
        handle.pwrite(100, b"\x00")
        handle.close()
        world.calls.clear()
        with pytest.raises(VerificationError, match=r"is damaged, nothing was restored: .* offset 0") as caught:
            await restore(world, kit)
        assert caught.value.exit_code == ExitCode.VERIFICATION_MISMATCH
        assert world.calls == []
        assert await world.tree() == before

    kit.play(script)


def test_damage_that_comes_after_verification_is_found_while_copying(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        result = await back_up(world)
        handle = world.ports.files.open(kit.TARGET / result.set_id / "files/D/data/one.edb", write=True)
        handle.pwrite(100, b"\x00")
        handle.close()
        await world.write("D:\\data\\one.edb", kit.database(5, fill=7))
        restored = await restore(world, kit, verify=False)
        assert restored.exit_code == ExitCode.UNEXPECTED
        assert restored.components[0].status == "NONE"
        assert "changed while it was restored" in restored.components[0].reason
        assert await world.read("D:\\data\\one.edb") == kit.database(5, fill=7)
        assert await leftovers(world) == []

    kit.play(script)


def test_several_wrong_files_are_counted(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        result = await back_up(world)
        for name in ("one.edb", "deep/two.edb"):
            world.ports.files.remove(kit.TARGET / result.set_id / "files/D/data" / name)
        with pytest.raises(VerificationError, match=r"and 1 more"):
            await restore(world, kit)

    kit.play(script)


def test_a_failed_set_is_refused(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await world.write("D:\\data\\one.edb", b"broken" + kit.database(5)[6:])
        await BackupRequestor().run(world, **world.options)
        with pytest.raises(BackupSetError, match="has state 'failed'"):
            await restore(world, kit)

    kit.play(script)


def test_no_set_is_not_found(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        with pytest.raises(NotFoundError, match="no backup set"):
            await restore(world, kit)

    kit.play(script)


def test_a_mounted_store_refuses_and_nothing_is_touched(kit: Any) -> None:
    async def script(world: Any) -> None:
        behaviour = {"on_pre_restore": WriterError("database DB1 is mounted")}
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour=behaviour)])
        await back_up(world)
        await world.write("D:\\data\\one.edb", kit.database(5, fill=9))
        before = await world.tree()
        with pytest.raises(RestoreRefusedError, match="refuses the restore: database DB1 is mounted") as caught:
            await restore(world, kit)
        assert caught.value.exit_code == ExitCode.UNSUPPORTED
        assert await world.tree() == before
        assert "Store.on_post_restore" not in world.calls

    kit.play(script)


def test_a_writer_that_is_not_running_is_not_found(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        await back_up(world)
        world.coordinator.remove_writer(writer)
        with pytest.raises(NotFoundError, match="is not running"):
            await restore(world, kit)

    kit.play(script)


@pytest.mark.parametrize("kind", [RestoreMethodKind.CUSTOM, RestoreMethodKind.RESTORE_AT_REBOOT, None])
def test_a_method_nobody_can_carry_out_is_refused(kit: Any, kind: RestoreMethodKind | None) -> None:
    async def script(world: Any) -> None:
        method = None if kind is None else RestoreMethod(kind, WriterRestore.ALWAYS)
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, restore_method=method)])
        await back_up(world)
        with pytest.raises(UnsupportedError, match="cannot be carried out"):
            await restore(world, kit)

    kit.play(script)


def test_restore_if_not_there_refuses_over_existing_files(kit: Any) -> None:
    async def script(world: Any) -> None:
        method = RestoreMethod(RestoreMethodKind.RESTORE_IF_NOT_THERE, WriterRestore.ALWAYS)
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, restore_method=method)])
        await back_up(world)
        result = await restore(world, kit)
        assert result.components[0].status == "NONE"
        assert "restores only what is not there" in result.components[0].reason
        assert result.exit_code == ExitCode.UNEXPECTED
        await world.destroy_originals()
        assert (await restore(world, kit)).exit_code == ExitCode.OK

    kit.play(script)


def test_authoritative_restore_needs_a_writer_that_knows_it(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        await back_up(world)
        with pytest.raises(UnsupportedError, match="knows no authoritative restore"):
            await restore(world, kit, authoritative=True)
        writer.schema = BackupSchema.AUTHORITATIVE_RESTORE
        second = await back_up(world, target=Path("/second"))
        result = await restore(world, kit, source=Path("/second"), authoritative=True)
        assert result.set_id == second.set_id

    kit.play(script)


def test_a_throttle_that_means_nothing_is_refused(kit: Any) -> None:
    async def script(world: Any) -> None:
        with pytest.raises(InvalidArgumentError):
            await restore(world, kit, throttle_bytes_per_s=-1)

    kit.play(script)


def reseal(world: Any, kit: Any, change: Any) -> None:
    """Change the documents of the only set as somebody could who computes every digest."""
    files = world.ports.files
    root = kit.TARGET / files.list_directory(kit.TARGET)[0]
    seal = decode(files.read_bytes(root / "session.json"), SessionRecord)
    manifest = decode(files.read_bytes(root / "manifest.json"), Manifest)
    entries = []
    for each in manifest.documents:
        data = change(each.path, files.read_bytes(root / each.path))
        if data is not None:
            files.write_atomically(root / each.path, data)
            entries.append(ManifestDocument(path=each.path, size_bytes=len(data), sha256=sha256_of(data)))
    data = encode(msgspec.structs.replace(manifest, documents=tuple(entries)))
    files.write_atomically(root / "manifest.json", data)
    changed = msgspec.structs.replace(seal, manifest_sha256=sha256_of(data)).sealed()
    files.write_atomically(root / "session.json", encode(changed))


def test_a_component_whose_writer_is_not_in_the_document_was_not_backed_up(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await back_up(world)
        reseal(world, kit, lambda path, data: render_backup_components(BackupComponents()) if "components" in path else data)
        with pytest.raises(NotFoundError, match="'Store' of writer 'Store' was not backed up"):
            await restore(world, kit, components=(ComponentName("", "Store"),))

    kit.play(script)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda path, data: None if "writer_metadata" in path else data, BackupSetError, "lacks the metadata of writer"),
        (
            lambda path, data: data.replace(b'"Store"', b'"Other"') if "components" in path else data,
            BackupSetError,
            "declares no",
        ),
        (
            lambda path, data: render_backup_components(BackupComponents()) if "components" in path else data,
            NotFoundError,
            "has no component",
        ),
    ],
)
def test_documents_that_do_not_belong_together_are_refused(kit: Any, change: Any, error: Any, message: str) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await back_up(world)
        before = await world.tree()
        reseal(world, kit, change)
        with pytest.raises(error, match=message):
            await restore(world, kit)
        assert await world.tree() == before
        assert "Store.on_pre_restore" not in world.calls

    kit.play(script)


def test_a_document_whose_set_lies_elsewhere_does_not_fit(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        first = await back_up(world)
        await back_up(world, target=Path("/second"))
        document = (await open_set(world.ports, kit.TARGET / first.set_id)).document
        with pytest.raises(BackupSetError, match="is not that of backup set"):
            await restore(world, kit, source=Path("/second"), document=document)

    kit.play(script)


# -- failures half-way -------------------------------------------------------------------------------------------------------


def test_a_full_volume_leaves_the_old_files_and_no_temporary_one(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await back_up(world)
        await world.write("D:\\data\\one.edb", kit.database(5, fill=9))
        before = await world.tree()
        result = await restore(world, kit)
        assert [(each.status, each.reason) for each in result.components] == [("NONE", "no room")]
        assert await world.tree() == before

    async def faults(site: str, work: Any, **selectors: str) -> Any:
        if site == "restore.write" and selectors["file"].endswith("one.edb"):
            raise VolumeFullError("no room")
        return await work()

    kit.play(script, faults=faults)


class Renaming:
    """The machine's files, but the n-th rename does something else."""

    def __init__(self, files: Any, number: int, action: Any) -> None:
        self._files, self._left, self._action = files, number, action

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    async def rename(self, source: str, target: str) -> None:
        self._left -= 1
        if self._left == 0:
            await self._action()
        await self._files.rename(source, target)


async def failing() -> None:
    raise VolumeWriteError("the device failed")


@pytest.mark.parametrize(("number", "status"), [(1, "NONE"), (2, "FAILED")])
def test_a_failing_rename_is_told_as_what_it_left(kit: Any, number: int, status: str) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await back_up(world)
        await world.write("D:\\data\\one.edb", kit.database(5, fill=9))
        await world.write("D:\\data\\deep\\two.edb", kit.database(3, fill=9))
        world.files = Renaming(world.files, number, failing)
        result = await restore(world, kit)
        assert result.components[0].status == status
        assert await leftovers(world) == []
        expected = ExitCode.UNEXPECTED if status == "NONE" else ExitCode.WARNINGS
        assert result.exit_code == expected
        world.files = world.files._files
        assert (await restore(world, kit)).exit_code == ExitCode.OK, "the restore can be done again"

    kit.play(script)


def test_cancelled_between_renames_the_writer_is_told_failed(kit: Any) -> None:
    async def script(world: Any) -> None:
        async def look(context: Any) -> None:
            seen.append(context.components.components[0].file_restore_status)

        async def cancel() -> None:
            task.cancel()
            await asyncio.sleep(0)

        seen: list[Any] = []
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_post_restore": look})])
        await back_up(world)
        world.files = Renaming(world.files, 2, cancel)
        task = asyncio.ensure_future(restore(world, kit))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == [FileRestoreStatus.FAILED]

    kit.play(script)


@pytest.mark.parametrize("call", [5, 6])
def test_cancelled_while_writing_the_old_files_stay(kit: Any, call: int) -> None:
    async def script(world: Any) -> None:
        calls: list[str] = []

        def progress(path: str, done: int, size: int) -> None:
            calls.append(path)
            if len(calls) == call:
                task.cancel()

        await world.start()
        await back_up(world)
        await world.write("D:\\data\\one.edb", kit.database(5, fill=9))
        before = await world.tree()
        task = asyncio.ensure_future(restore(world, kit, progress=progress))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await world.tree() == before

    kit.play(script)


def test_temporary_files_on_a_volume_that_is_gone_are_left_to_the_next_restore(kit: Any) -> None:
    async def script(world: Any) -> None:
        async def lose() -> None:
            world.volumes["D:"].lose()

        await world.start()
        await back_up(world)
        world.files = Renaming(world.files, 1, lose)
        result = await restore(world, kit)
        assert result.components[0].status == "NONE"

    kit.play(script)


def test_a_writer_that_fails_in_post_restore_makes_the_result_partial(kit: Any) -> None:
    async def script(world: Any) -> None:
        behaviour = {"on_post_restore": WriterError("log generation 7 is missing")}
        await world.start([kit.StoreWriter(world.ports, calls=world.calls, behaviour=behaviour)])
        await back_up(world)
        result = await restore(world, kit)
        assert result.exit_code == ExitCode.WARNINGS
        assert "log generation 7 is missing" in result.components[0].reason
        assert result.components[0].status == "ALL"

    kit.play(script)


def test_without_verification_the_result_warns(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await back_up(world)
        result = await restore(world, kit, verify=False)
        assert result.exit_code == ExitCode.WARNINGS
        assert result.verification is None
        assert result.warnings == ("the set was not verified before the restore",)

    kit.play(script, files=MemoryFiles())
