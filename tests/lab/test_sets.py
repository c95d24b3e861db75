"""Backup sets of a lab: originals destroyed under the copy, sets damaged file by file, restores that must be refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from vss.documents import BackupType
from vss.errors import AlreadyExistsError, BackupSetError, NotFoundError, RestoreRefusedError, VssError
from vss.events import PhaseEntered, PhaseLeft, Record, SessionReleased
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss.simulation import MemoryFiles
from vss_requestors.backup import BackupRequestor
from vss_requestors.errors import TargetFullError, TargetRefusedError
from vss_requestors.restore import RestoreRequestor
from vss_requestors.verify import verify_set


def files_below(files: MemoryFiles, path: Path) -> list[Path]:
    found: list[Path] = []
    for name in files.list_directory(path):
        below = path / name
        found += files_below(files, below) if files.is_directory(below) else [below]
    return found


async def destroyed(lab: Lab) -> None:
    """The disk under the databases is lost and replaced."""
    await lab.lose_volume("D:")
    await lab.take_down("gone")
    await lab.replace_volume("D:")


def test_files_come_from_the_shadow_copies_even_when_the_originals_are_destroyed(stage: Any) -> None:
    """Right after the snapshot every byte of the live database files is overwritten, below the store's feet."""

    async def job(lab: Lab) -> Any:
        await lab.run_for(60)
        destroyed_paths: list[str] = []

        async def destroy() -> None:
            for _ in range(1_000):
                await asyncio.sleep(0.001)
                if any(isinstance(each.event, PhaseLeft) and each.event.phase == "freeze" for each in stage.records):
                    break
            async for path in lab.files_below("D:"):
                file = await lab.files.open(path, write=True)
                await file.pwrite(0, b"\xee" * file.size_bytes)
                await file.close()
                destroyed_paths.append(path)

        destroyer = asyncio.ensure_future(destroy())
        result = await BackupRequestor().run(
            lab, target=stage.target, backup_type=BackupType.COPY, records=lambda: stage.records
        )
        await destroyer
        assert destroyed_paths == [r"D:\Exchange\SG1\DB1.edb"]
        await destroyed(lab)
        restored = await RestoreRequestor().run(lab, source=stage.target / result.set_id)
        return result, restored, await lab.check()

    backup, restore, problems = stage.run(job).result

    assert (backup.exit_code, restore.exit_code, problems) == (ExitCode.OK, ExitCode.OK, [])
    assert all(each.is_good for each in backup.verified)
    stage.assert_at_rest()


@pytest.fixture
def backed_up(stage: Any) -> Path:
    stage.run(lambda lab: lab.run_for(60))
    result = stage.back_up()
    stage.records.clear()
    found: Path = stage.target / result.set_id
    return found


def restore(stage: Any, source: Path, *, lose: bool = True, **options: Any) -> Any:
    async def job(lab: Lab) -> Any:
        if lose:
            await destroyed(lab)
        return await RestoreRequestor().run(lab, source=source, **options)

    return stage.run(job).result


def test_every_file_of_the_set_damaged_in_turn_is_found_before_anything_is_touched(stage: Any, backed_up: Path) -> None:
    stage.run(destroyed)
    untouched: list[str] = []
    for path in files_below(stage.files, backed_up):
        good = stage.files.read_bytes(path)
        damaged = bytearray(good)
        damaged[len(good) // 2] ^= 1
        stage.files.write_atomically(path, bytes(damaged))
        try:
            with pytest.raises(VssError) as caught:
                restore(stage, backed_up, lose=False)
            assert caught.value.exit_code in (ExitCode.VERIFICATION_MISMATCH, ExitCode.USAGE), path
            live = stage.run(lambda lab: _names(lab)).result
            assert not [each for each in live if each.endswith(".edb")], path
        except pytest.fail.Exception:
            untouched.append(path.name)
        stage.files.write_atomically(path, good)

    assert untouched in ([], ["events.jsonl"])  # the event log of the backup is for people: no restore depends on it
    if not untouched:
        assert restore(stage, backed_up, lose=False).exit_code == ExitCode.OK
    stage.assert_at_rest()


async def _names(lab: Lab) -> list[str]:
    return [path async for path in lab.files_below("D:")]


@pytest.mark.parametrize("kind", ["removed", "cut", "emptied"])
def test_a_missing_or_short_file_is_found_too(stage: Any, backed_up: Path, kind: str) -> None:
    for path in files_below(stage.files, backed_up / "files"):
        good = stage.files.read_bytes(path)
        stage.files.remove(path)
        if kind != "removed":
            stage.files.write_atomically(path, good[: len(good) // 2] if kind == "cut" else b"")
        with pytest.raises(VssError) as caught:
            restore(stage, backed_up, lose=False)
        assert caught.value.exit_code == ExitCode.VERIFICATION_MISMATCH, path
        if stage.files.exists(path):
            stage.files.remove(path)
        stage.files.write_atomically(path, good)
    assert restore(stage, backed_up).exit_code == ExitCode.OK
    stage.assert_at_rest()


def test_a_set_that_never_became_complete_is_not_restored(stage: Any) -> None:
    async def job(lab: Lab) -> Any:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        return await BackupRequestor().run(lab, target=stage.target, records=lambda: stage.records)

    tasks: list[asyncio.Task[Any]] = []

    def cut(record: Record) -> None:
        stage.records.append(record)
        if isinstance(record.event, PhaseEntered) and record.event.phase == "verify":
            tasks[0].cancel()

    with pytest.raises(asyncio.CancelledError):
        stage.run(job, watch=cut)
    (name,) = stage.files.list_directory(stage.target)
    with pytest.raises(BackupSetError, match="failed"):
        restore(stage, stage.target / name, lose=False)
    stage.assert_at_rest()


def test_a_restore_onto_a_mounted_database_is_refused(stage: Any, backed_up: Path) -> None:
    with pytest.raises(VssError, match="mounted") as caught:
        restore(stage, backed_up, lose=False)
    assert caught.value.exit_code == ExitCode.UNSUPPORTED
    stage.assert_at_rest()


def test_unknown_component_writer_and_provider_are_named(stage: Any, backed_up: Path) -> None:
    from vss_requestors.component_selection import ComponentName

    for text in ("Nobody:thing", "Microsoft Exchange Writer:Nothing"):

        async def job(lab: Lab, text: str = text) -> None:
            await BackupRequestor().run(lab, target=stage.target, components=(ComponentName.parse(text),))

        with pytest.raises(NotFoundError, match="No"):
            stage.run(job)
    with pytest.raises(NotFoundError, match="no provider 'tape': found copy-on-write"):
        stage.run(lambda lab: _provider(lab, "tape"))
    with pytest.raises(VssError):
        restore(stage, backed_up, components=(ComponentName.parse("Nobody:thing"),))


async def _provider(lab: Lab, name: str) -> Any:
    return lab.provider_id(name)


def test_a_full_target_leaves_nothing_that_looks_like_a_set(stage: Any) -> None:
    stage.run(lambda lab: lab.run_for(60))
    for room in (0, 4096, 1 << 20, 2 << 20):
        stage.records.clear()

        def fill(record: Record, room: int = room) -> None:
            stage.records.append(record)
            if isinstance(record.event, PhaseEntered) and record.event.phase == "copy":
                stage.files.capacity_bytes = stage.files.used_bytes + room
            if isinstance(record.event, SessionReleased):
                stage.files.capacity_bytes = 1 << 40

        with pytest.raises(TargetFullError):
            stage.back_up(watch=fill)
        for name in stage.files.list_directory(stage.target):
            state = json.loads(stage.files.read_bytes(stage.target / name / "session.json"))["state"]
            assert state == "failed"
        stage.assert_at_rest()


def test_an_unwritable_target_and_one_inside_the_lab_are_refused_before_anybody_is_asked(stage: Any) -> None:
    for target in (Path("/host/closed/x"), stage.root / "sets", stage.root, stage.root / "volumes" / ".." / "x"):
        stage.files.make_directory(Path("/host/closed"))
        stage.files.make_read_only(Path("/host/closed"))
        stage.records.clear()

        async def job(lab: Lab, target: Path = target) -> None:
            await BackupRequestor().run(lab, target=target)

        with pytest.raises(TargetRefusedError):
            stage.run(job)
        names = [type(each.event).__name__ for each in stage.records]
        assert "SessionStarted" not in names
    stage.assert_at_rest()


def test_a_set_that_exists_already_is_left_alone(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state = stage.files.read_bytes(stage.root / "state.json")
    images = {name: stage.files.read_bytes(stage.root / "volumes" / name) for name in ("D.img", "L.img")}
    first = stage.back_up()
    before = {path: stage.files.read_bytes(path) for path in files_below(stage.files, stage.target / first.set_id)}
    stage.files.write_atomically(stage.root / "state.json", state)
    for name, image in images.items():
        stage.files.write_atomically(stage.root / "volumes" / name, image)

    with pytest.raises(AlreadyExistsError, match=first.set_id):  # the same start of the same lab draws the same ids
        stage.back_up()

    assert {path: stage.files.read_bytes(path) for path in before} == before


def test_a_verified_set_says_so(stage: Any, backed_up: Path) -> None:
    async def job(lab: Lab) -> Any:
        return await verify_set(lab.ports, backed_up, lab.verifiers)

    assert stage.run(job).result.exit_code == ExitCode.OK


def test_refusals_are_errors_of_their_own() -> None:
    assert RestoreRefusedError.exit_code == ExitCode.UNSUPPORTED
