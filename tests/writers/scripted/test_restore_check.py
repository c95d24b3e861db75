"""What the writer finds out after a restore, with the real requestors in a lab and with requestors that do it wrong."""

from __future__ import annotations

import datetime
import random
import string
import zlib
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from vss.documents import (
    AlternateLocationMapping,
    BackupType,
    ComponentType,
    FileRestoreStatus,
    FileSpec,
    NewTarget,
    RestoreSubcomponent,
    RestoreTarget,
    SelectedComponent,
)
from vss.errors import DocumentError
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.machines import WriterState
from vss_writers.scripted.content import made_bytes
from vss_writers.scripted.declaration import declare
from vss_writers.scripted.records import FileRecord, decode_record, encode_record
from vss_writers.scripted.restore_check import Place, places_of
from vss_writers.scripted.script_reader import parse_script

OK = (WriterState.STABLE, HResult.S_OK)
BROKEN = (WriterState.FAILED_AT_POST_RESTORE, HResult.VSS_E_WRITERERROR_NONRETRYABLE)
A, B = "D:\\Data\\a.txt", "D:\\Data\\b.txt"


# -- the real requestors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delete_files", [True, False])
def test_a_backup_and_a_restore_with_every_check_on(kit: Any, delete_files: bool) -> None:
    async def script(bench: Any) -> tuple[ExitCode, ExitCode, bytes]:
        backup = await bench.backup()
        for path in (A, B, "D:\\Data\\deep\\c.txt"):
            if await bench.lab.files.exists(path):
                await bench.lab.files.remove(path)
        restore = await bench.restore()
        return backup.exit_code, restore.exit_code, await kit.read(bench.lab.files, A)

    found = kit.bench(script, kit.options(delete_files=delete_files, verbosity="high"))

    assert found == (ExitCode.OK, ExitCode.OK, made_bytes(A, 5000, 1))


def test_the_files_checked_are_counted(kit: Any) -> None:
    async def script(bench: Any) -> list[str]:
        await bench.backup()
        await bench.restore()
        found: list[str] = bench.log()
        return found

    log = kit.bench(script, kit.options(verbosity="high"))

    assert log[-2:] == ["T1: 3 files checked after the restore", "T1: 1 files checked after the restore"]


@pytest.mark.parametrize("method", ["RESTORE_TO_ALTERNATE_LOCATION", "RESTORE_IF_NOT_THERE"])
def test_files_at_their_alternate_location_are_found_there(kit: Any, method: str) -> None:
    mapping = {"path": "D:\\Data", "filespec": "*", "recursive": True, "alternate_path": "D:\\Other"}

    async def script(bench: Any) -> tuple[ExitCode, list[str], bytes]:
        await bench.backup()
        await kit.write(bench.lab.files, A, b"newer")
        restore = await bench.restore()
        return restore.exit_code, bench.log(), await kit.read(bench.lab.files, "D:\\Other\\a.txt")

    changed = kit.options(restore_method={"method": method, "mappings": [mapping]})
    exit_code, log, data = kit.bench(script, changed)

    assert (exit_code, data) == (ExitCode.OK, made_bytes(A, 5000, 1))
    assert not any("did not record that it used the alternate location" in each for each in log)


def test_a_file_lost_after_the_copy_shows_in_the_result_of_the_restore(kit: Any) -> None:
    async def script(bench: Any) -> tuple[ExitCode, str]:
        await bench.backup()
        writer = bench.writer
        honest = writer.on_post_restore

        async def on_post_restore(context: Any) -> None:
            await bench.lab.files.remove(B)
            await honest(context)

        writer.on_post_restore = on_post_restore
        restore = await bench.restore()
        return restore.exit_code, restore.components[0].reason

    exit_code, reason = kit.bench(script)

    assert exit_code is ExitCode.WARNINGS
    assert reason == "writer failed in PostRestore: after the restore: component 'Data': 'D:\\Data\\b.txt' is missing"


# -- requestors that do it wrong -----------------------------------------------------------------------------------------------


async def lose(kit: Any, files: Any) -> None:
    await files.remove(B)


async def change_a_byte(kit: Any, files: Any) -> None:
    data = bytearray(await kit.read(files, B))
    data[-1] ^= 1
    await kit.write(files, B, bytes(data))


async def cut(kit: Any, files: Any) -> None:
    await kit.write(files, B, (await kit.read(files, B))[:-1])


async def bring_back_excluded(kit: Any, files: Any) -> None:
    await kit.write(files, "D:\\Data\\deep\\old.tmp", b"old")


async def change_excluded(kit: Any, files: Any) -> None:
    await kit.write(files, "D:\\Data\\skip.tmp", b"another")


async def leave(kit: Any, files: Any) -> None:
    """Everything as it was."""


REQUESTORS: list[tuple[Callable[..., Any], str]] = [
    (lose, "after the restore: component 'Data': 'D:\\Data\\b.txt' is missing"),
    (change_a_byte, "after the restore: component 'Data': 'D:\\Data\\b.txt' was changed: SHA-256 of the file is "),
    (cut, "after the restore: component 'Data': 'D:\\Data\\b.txt' has 699 bytes in the file, expected 700"),
    (bring_back_excluded, "after the restore: 'D:\\Data\\deep\\old.tmp' is excluded, and the restore brought it back"),
    (change_excluded, "after the restore: 'D:\\Data\\skip.tmp' is excluded, and the restore changed it"),
]


@pytest.mark.parametrize(("wrong", "reason"), REQUESTORS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_wrong_restore_fails_post_restore_naming_the_first_difference(kit: Any, wrong: Any, reason: str) -> None:
    async def script(stage: Any) -> Any:
        await stage.backup()
        status = await stage.restore(lambda: wrong(kit, stage.files))
        return (status.state, status.failure), status.message

    found, message = kit.play(script)

    assert found == BROKEN
    assert message.startswith(reason)


@pytest.mark.parametrize("wrong", [each for each, _ in REQUESTORS] + [leave])
def test_without_checks_nothing_is_found(kit: Any, wrong: Any) -> None:
    async def script(stage: Any) -> Any:
        await stage.backup()
        status = await stage.restore(lambda: wrong(kit, stage.files))
        return status.state, status.failure

    assert kit.play(script, kit.options(check_includes=False, check_excludes=False)) == OK


def test_excluded_files_that_were_there_before_may_stay(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        await stage.backup()
        assert await stage.files.exists("D:\\Data\\skip.tmp")
        status = await stage.restore(lambda: leave(kit, stage.files))
        return status.state, status.failure

    assert kit.play(script) == OK


@pytest.mark.parametrize(
    ("status", "expected", "note"),
    [
        (FileRestoreStatus.ALL, OK, None),
        (FileRestoreStatus.NONE, OK, "component 'Data': the requestor restored nothing"),
        (None, OK, "component 'Data': the requestor set no file restore status"),
        (FileRestoreStatus.FAILED, BROKEN, None),
    ],
)
def test_the_file_restore_status_counts(kit: Any, status: Any, expected: Any, note: str | None) -> None:
    async def script(stage: Any) -> Any:
        await stage.backup()
        found = await stage.restore(status=status)
        return (found.state, found.failure), stage.log(3)

    found, notes = kit.play(script)

    assert found == expected
    assert notes == ([] if note is None else [f"T1: {note}"])


def test_while_more_sets_follow_nothing_is_checked(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        await stage.backup()
        found = await stage.restore(lambda: lose(kit, stage.files), additional=True)
        return found.state, found.failure

    assert kit.play(script, kit.options(verbosity="high")) == OK


@pytest.mark.parametrize("method", ["RESTORE_AT_REBOOT", "RESTORE_AT_REBOOT_IF_CANNOT_REPLACE"])
def test_what_comes_with_the_next_boot_is_not_looked_for(kit: Any, method: str) -> None:
    async def script(stage: Any) -> Any:
        await stage.backup()
        found = await stage.restore(lambda: lose(kit, stage.files))
        return found.state, found.failure

    assert kit.play(script, kit.options(restore_method={"method": method})) == OK


def test_a_backup_without_record_is_noted(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        await stage.backup()
        found = await stage.restore(lambda: lose(kit, stage.files))
        return (found.state, found.failure), stage.log(3)

    found, notes = kit.play(script, kit.options(on=[{"event": "PostSnapshot", "lie": "nothing"}]))

    assert found == OK
    assert notes == ["T1: component 'Data': no record came with the backup, nothing is checked"]


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense",
        b"x\x9c",
        encode_record([])[:-1],
        encode_record([FileRecord(A, "Data", 1, "0" * 64, ranges="x")]),
        encode_record([FileRecord(A, "Data", -1, "0" * 64)]),
        zlib.compress(b"[" * (5 << 20)),
        zlib.compress(b'{"version":2,"files":[]}'),
    ],
    ids=["text", "empty stream", "cut", "ranges", "size", "bomb", "version"],
)
def test_a_record_from_elsewhere_is_refused(kit: Any, data: bytes) -> None:
    with pytest.raises(DocumentError, match="backup metadata of component 'Data'"):
        decode_record(data, "Data")

    async def script(stage: Any) -> Any:
        await stage.backup()
        (writer,) = stage.stored.writers
        components = tuple(replace(each, backup_metadata=data) for each in writer.components)
        stage.stored = replace(stage.stored, writers=(replace(writer, components=components),))
        found = await stage.restore()
        return found.state, found.failure

    assert kit.play(script) == BROKEN


def test_a_record_too_long_fails_the_backup_only_where_it_is_needed(kit: Any) -> None:
    names = random.Random(1)
    words = ["".join(names.choices(string.ascii_lowercase + string.digits, k=240)) for _ in range(300)]
    files = [{"path": f"D:\\Data\\{word}"} for word in words]

    async def script(stage: Any) -> Any:
        found = await stage.backup()
        return (found.state, found.failure), stage.log(3)

    needed = kit.play(script, kit.options(files=files))
    unneeded = kit.play(script, kit.options(files=files, check_includes=False))

    assert needed[0] == (WriterState.FAILED_AT_POST_SNAPSHOT, HResult.VSS_E_WRITERERROR_NONRETRYABLE)
    assert unneeded[0] == OK
    assert unneeded[1][0].startswith("T1: component 'Data': the record of 300 files takes ")


# -- partial and differenced files ---------------------------------------------------------------------------------------------

PARTIAL = {
    "delete_partial_files": True,
    "components": [
        {
            "name": "Data",
            "file_sets": [{"path": "D:\\Data"}],
            "partial_files": [
                {"path": "D:\\Data", "filename": "a.txt", "ranges": "0:5, 0x64:20"},
                {"path": "D:\\Data", "filename": "none.txt", "ranges": "0:1"},
            ],
        }
    ],
}


def test_of_a_partial_file_only_the_ranges_count(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        data = bytearray(await kit.read(stage.files, A))
        await stage.backup()
        assert not await stage.files.exists(A)
        found = []
        for offset in (5, 4):
            data[offset] ^= 1
            changed = bytes(data)
            status = await stage.restore(lambda changed=changed: kit.write(stage.files, A, changed))
            found.append((status.state, status.message))
        return found, [each.path for each in stage.stored.writers[0].components[0].partial_files]

    found, paths = kit.play(script, kit.options(**PARTIAL))

    assert found[0] == (WriterState.STABLE, "")
    assert found[1][0] is WriterState.FAILED_AT_POST_RESTORE
    assert "'D:\\Data\\a.txt' was changed: SHA-256 of the ranges is" in found[1][1]
    assert paths == ["D:\\Data", "D:\\Data"]


def differenced(kit: Any, **changes: Any) -> dict[str, Any]:
    table = {"path": "D:\\Data", "filespec": "*", "since": datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC), **changes}
    component = {"name": "Data", "file_sets": [{"path": "D:\\Data"}], "differenced_files": [table]}
    found: dict[str, Any] = kit.options(delete_differenced_files=True, supports=["incremental"], components=[component])
    return found


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ({}, []),
        ({"since": datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)}, ["a.txt", "b.txt"]),
        ({"filespec": "a*"}, ["a.txt", "b.txt"]),
    ],
)
def test_of_a_differenced_file_set_only_what_changed_counts(kit: Any, changes: dict[str, Any], recorded: list[str]) -> None:
    async def script(stage: Any) -> Any:
        found = await stage.backup(backup_type=BackupType.INCREMENTAL)
        assert (found.state, found.failure) == OK
        component = stage.stored.writers[0].components[0]
        return [each.path.rpartition("\\")[2] for each in decode_record(component.backup_metadata, "Data")], [
            await stage.files.exists(path) for path in (A, B)
        ]

    found, are_there = kit.play(script, differenced(kit, **changes))

    assert found == recorded
    assert are_there == [changes.get("since") is None] * 2


def test_a_partial_file_in_a_differenced_set_stays_differenced(kit: Any) -> None:
    changed = differenced(kit, since=datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC))
    changed["components"][0]["partial_files"] = [{"path": "D:\\Data", "filename": "a.txt", "ranges": "0:5"}]

    async def script(stage: Any) -> list[str]:
        await stage.backup()
        return [each.ranges for each in decode_record(stage.stored.writers[0].components[0].backup_metadata, "Data")]

    assert kit.play(script, changed) == ["", ""]


# -- where a file may be -------------------------------------------------------------------------------------------------------

MAPPING = AlternateLocationMapping("D:\\Data", "*", False, "D:\\Other")
SPECS = (FileSpec("D:\\Data", "*"),)


def places(method: str, selected: SelectedComponent, *, mapped: str = "*") -> tuple[Place, ...]:
    mappings = [{"path": "D:\\Data", "filespec": mapped, "alternate_path": "D:\\Other"}]
    script = parse_script({"restore_method": {"method": method, "mappings": mappings}}, "test")
    return places_of(A, declare(script, "T1"), SPECS, selected)


HOME, ELSEWHERE, RECORDED = Place(A), Place("D:\\Other\\a.txt", is_unrecorded=True), Place("D:\\Other\\a.txt")
SELECTED = SelectedComponent(ComponentType.FILE_GROUP, "Data")


@pytest.mark.parametrize(
    ("method", "changes", "expected"),
    [
        ("RESTORE_IF_CAN_REPLACE", {}, (HOME, ELSEWHERE)),
        ("RESTORE_IF_NOT_THERE", {}, (HOME, ELSEWHERE)),
        ("STOP_RESTORE_START", {}, (HOME,)),
        ("RESTORE_TO_ALTERNATE_LOCATION", {}, (ELSEWHERE,)),
        ("RESTORE_TO_ALTERNATE_LOCATION", {"mappings_used": (MAPPING,)}, (RECORDED,)),
        ("RESTORE_IF_CAN_REPLACE", {"mappings_used": (MAPPING,)}, (RECORDED,)),
        ("RESTORE_IF_CAN_REPLACE", {"mappings_used": (replace(MAPPING, filespec="b*"),)}, (HOME, ELSEWHERE)),
        ("RESTORE_IF_CAN_REPLACE", {"restore_target": RestoreTarget.ALTERNATE}, (ELSEWHERE,)),
        ("RESTORE_TO_ALTERNATE_LOCATION", {"restore_target": RestoreTarget.ORIGINAL_LOCATION}, (HOME,)),
        (
            "RESTORE_IF_CAN_REPLACE",
            {"new_targets": (NewTarget("D:\\Data\\", "*", False, "D:\\New"),)},
            (Place("D:\\New\\a.txt"),),
        ),
        ("RESTORE_IF_CAN_REPLACE", {"new_targets": (NewTarget("D:\\Data", "*", True, "D:\\New"),)}, (HOME, ELSEWHERE)),
    ],
)
def test_where_a_file_may_be_follows_method_target_and_mappings(method: str, changes: Any, expected: Any) -> None:
    assert places(method, replace(SELECTED, **changes)) == expected


@pytest.mark.parametrize("method", ["RESTORE_TO_ALTERNATE_LOCATION", "RESTORE_IF_CAN_REPLACE"])
def test_without_a_mapping_that_fits_a_file_belongs_home(method: str) -> None:
    assert places(method, SELECTED, mapped="b*") == (HOME,)


def test_a_component_that_is_not_selected_is_not_checked(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        await stage.backup()
        context: Any = SimpleNamespace(session_id=stage.ports.ids.guid(), components=stage.stored.writers[0])
        await stage.files.remove(A)
        await stage.writer.on_pre_restore(context)
        await stage.writer.on_post_restore(context)
        return stage.writer.received[-1].outcome

    assert kit.play(script) == "done"


SUB = {
    "components": [
        {"name": "Data", "selectable": True},
        {"name": "One", "logical_path": "Data", "file_sets": [{"path": "D:\\Data", "filespec": "a*"}]},
        {"name": "Two", "logical_path": "Data", "file_sets": [{"path": "D:\\Data", "filespec": "b*"}]},
        {"name": "Three", "logical_path": "Data\\Two", "file_sets": [{"path": "D:\\Data\\deep"}]},
    ]
}


@pytest.mark.parametrize(
    ("sub", "is_found"),
    [(("Data", "One"), False), (("Data", "Two"), True), (("", "Data"), True), (("Data\\Two", "Three"), False), (None, True)],
)
def test_only_the_named_subcomponents_are_looked_for(kit: Any, sub: tuple[str, str] | None, is_found: bool) -> None:
    async def script(stage: Any) -> bool:
        await stage.backup()
        (writer,) = stage.stored.writers
        subs = () if sub is None else (RestoreSubcomponent(*sub),)
        chosen = tuple(replace(each, restore_subcomponents=subs) for each in writer.components if not each.logical_path)
        stage.stored = replace(stage.stored, writers=(replace(writer, components=chosen),))
        status = await stage.restore(lambda: lose(kit, stage.files))
        return status.state is WriterState.FAILED_AT_POST_RESTORE

    assert kit.play(script, kit.options(**SUB)) is is_found


def test_a_component_the_script_no_longer_declares_is_left_alone(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        await stage.backup()
        (writer,) = stage.stored.writers
        chosen = tuple(replace(each, component_name="Gone") for each in writer.components)
        stage.stored = replace(stage.stored, writers=(replace(writer, components=chosen),))
        status = await stage.restore(lambda: lose(kit, stage.files))
        return status.state, status.failure

    assert kit.play(script) == OK
