"""A whole job on the watched machine: backup by the requestor, originals spoilt after the snapshot, verification, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.invariants.kit import PLACES, TARGET, Machine
from vss.documents import BackupType
from vss.documents import xml as documents
from vss.errors import VssError
from vss.exit_codes import ExitCode
from vss.roles.writer import WriterContext
from vss.simulation.invariants import BackupSetFiles, Document, Outcome, RestoreEvidence, Trial
from vss.testing import StubWriter
from vss_requestors import verify
from vss_requestors.backup import BackupRequestor
from vss_requestors.restore import RestoreRequestor


async def whole(machine: Machine) -> None:
    """Back up, verify, alter a copy and verify again, lose the originals, restore."""
    expected = await _originals(machine)
    set_id = await _back_up(machine)
    root = TARGET / set_id
    await _verify(machine, set_id, expected, ())
    path, offset = "D:\\Mail\\1.dat", 4321
    _flip(machine, root / "files/D/Mail/1.dat", offset)
    await _verify(machine, f"{set_id} altered", expected, ((path, offset),))
    _flip(machine, root / "files/D/Mail/1.dat", offset)
    for each in expected:
        await machine.files.remove(each)
    await _restore(machine, root, expected)
    await machine.end()


async def failed_restore(machine: Machine) -> None:
    """A restore that fails at the second file of a component, over files that are there."""
    expected = await _originals(machine)
    set_id = await _back_up(machine)
    copy = TARGET / set_id / "files/D/Mail/1.dat"
    machine.ports.files.write_atomically(copy, machine.ports.files.read_bytes(copy)[:4000])
    wanted = {path: data for path, data in expected.items() if path.startswith("D:\\Mail")}
    await _restore(machine, TARGET / set_id, wanted, verify=False)
    await machine.end()


async def damaged_set(machine: Machine) -> None:
    """An operator restores a set in which a byte was changed."""
    await _originals(machine)
    set_id = await _back_up(machine)
    _flip(machine, TARGET / set_id / "files/D/Mail/1.dat", 10)
    before = await machine.contents()
    problems = []
    try:
        result = await RestoreRequestor().run(machine, source=TARGET / set_id)
        if result.exit_code == ExitCode.OK and await machine.contents() != before:
            problems.append("it was restored, and nobody said so")
    except VssError as error:
        if not error.message:
            problems.append("the refusal says nothing")
    machine.trials.append(Trial("B10", "restore of a damaged set", tuple(problems)))
    await machine.end()


async def _originals(machine: Machine) -> dict[str, bytes]:
    """Every file of the writers but what they leave out."""
    found = await machine.contents()
    places = tuple(PLACES.values())
    return {path: data for path, data in found.items() if path.startswith(places) and not path.endswith(".tmp")}


async def _back_up(machine: Machine) -> str:
    async def spoil(context: WriterContext) -> None:
        for place in PLACES.values():
            await machine.write(f"{place}\\0.dat", b"changed after the snapshot", 100)

    for writer in machine.coordinator.writers:
        assert isinstance(writer, StubWriter)
        if writer.name == "Mail":
            writer.behaviour["on_post_snapshot"] = spoil
    result = await BackupRequestor().run(machine, target=TARGET, backup_type=BackupType.FULL)
    machine.outcomes.append(
        Outcome(
            "backup",
            not any(each.succeeded is False for each in result.components),
            result.session_id,
            result.set_id,
            is_verified=result.is_verified,
            sequence=len(machine.watch.records),
        )
    )
    text = machine.ports.files.read_bytes(TARGET / result.set_id / "backup_components.xml")
    again = documents.render_backup_components(documents.parse_backup_components(text))
    machine.documents.append(Document("backup components", text, again))
    return result.set_id


async def _verify(machine: Machine, name: str, expected: dict[str, bytes], altered: tuple[tuple[str, int], ...]) -> None:
    root = TARGET / name.split()[0]
    wrong: tuple[tuple[str, int], ...] | None
    files = {each.relative_to(root).as_posix(): machine.ports.files.read_bytes(each) for each in _below(machine, root)}
    try:
        found = await verify.verify_set(machine.ports, root, {})
        wrong = tuple((each.path, each.offset) for each in found.findings if not each.is_warning)
    except VssError:
        wrong = None
    machine.sets[name] = BackupSetFiles(files, expected, wrong, altered)


async def _restore(machine: Machine, root: Path, wanted: dict[str, bytes], **options: Any) -> None:
    before = await machine.contents()
    try:
        result = await RestoreRequestor().run(machine, source=root, **options)
        is_success = result.exit_code == ExitCode.OK
    except VssError:
        is_success = False
    after = await machine.contents()
    granted = tuple(PLACES.values())
    machine.restores.append(RestoreEvidence(is_success, before, after, wanted, granted))


def _below(machine: Machine, directory: Path) -> list[Path]:
    found = []
    for name in machine.ports.files.list_directory(directory):
        path = directory / name
        found += _below(machine, path) if machine.ports.files.is_directory(path) else [path]
    return found


def _flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def _flip(machine: Machine, path: Path, offset: int) -> None:
    data = _flipped(machine.ports.files.read_bytes(path), offset)
    machine.ports.files.write_atomically(path, data)
