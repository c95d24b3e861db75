"""Bugs of backup sets, verification and restore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.invariants import set_scripts
from tests.invariants.kit import PLACES
from tests.invariants.planting import Planted, both, do_nothing, nothing, replacing, wrapping
from vss.coordinator.session import Session
from vss.documents import xml
from vss.roles.verifier import Finding
from vss_requestors import copying, file_sets, restore_copy, restore_placement, verify
from vss_requestors.backup import BackupRun
from vss_requestors.repository.file_source import SetFileSource
from vss_requestors.repository.set_writer import SetWriter


def _live(open_snapshot: Callable[..., Any]) -> Callable[..., Any]:
    async def open_live(self: Session, snapshot_id: Any) -> Any:
        creation = self._creation
        assert creation is not None
        return next(each.volume.files for each in creation.snapshots if each.snapshot_id == snapshot_id)

    return open_live


def _short(write_work: Callable[..., Any]) -> Callable[..., Any]:
    def shorter(target: Any, name: str, offset: int, pieces: list[bytes]) -> Any:
        return write_work(target, name, offset, [*pieces[:-1], pieces[-1][:-1]])

    return shorter


def _without_digest(manifest: Callable[..., Any]) -> Callable[..., Any]:
    def forget(self: SetWriter) -> Any:
        made = manifest(self)
        from msgspec.structs import replace as changed

        return changed(made, documents=tuple(each for each in made.documents if "components" not in each.path))

    return forget


def _forgetful(parse: Callable[..., Any]) -> Callable[..., Any]:
    def forget(*arguments: Any) -> Any:
        return replace(parse(*arguments), partial_file_support=False)

    return forget


async def _blind(*_: object, **__: object) -> list[Finding]:
    return []


def _suspicious(verify_opened: Callable[..., Any]) -> Callable[..., Any]:
    async def find(*arguments: Any, **options: Any) -> Any:
        from msgspec.structs import replace as changed

        found = await verify_opened(*arguments, **options)
        return changed(found, findings=(*found.findings, Finding("D:\\Mail\\0.dat", "wrong digest", "looks odd", offset=0)))

    return find


def _mixed_up(read: Callable[..., Any]) -> Callable[..., Any]:
    async def swap(self: SetFileSource, path: str, offset: int, length: int) -> bytes:
        data: bytes = await read(self, path, offset, length)
        return data if "Notes" not in path else data[::-1]

    return swap


def _elsewhere(placed: Callable[..., Any]) -> Callable[..., Any]:
    def place(entry: Any, destination: str) -> Any:
        return placed(entry, destination.replace(PLACES["Mail"], "D:"))

    return place


def _none_left_out(*_: object) -> bool:
    return False


LIVE = wrapping(Session, "open_snapshot", _live)

BUGS = [
    Planted("B1", "files are copied from the live volume", LIVE, set_scripts.whole),
    Planted(
        "B2",
        "the last byte of a copy is lost, and nobody reads it again",
        both(wrapping(copying, "_write_work", _short), replacing(BackupRun, "_judge", do_nothing)),
        set_scripts.whole,
    ),
    Planted(
        "B3",
        "a field of the components document is not read back",
        wrapping(xml, "parse_backup_components", _forgetful),
        set_scripts.whole,
    ),
    Planted(
        "B3", "the manifest lacks the components document", wrapping(SetWriter, "manifest", _without_digest), set_scripts.whole
    ),
    Planted("B4", "verification compares nothing", replacing(verify, "_compare", _blind), set_scripts.whole),
    Planted("B5", "verification suspects a good file", wrapping(verify, "verify_opened_set", _suspicious), set_scripts.whole),
    Planted(
        "B6",
        "a file is restored backwards, and nobody compares it",
        both(wrapping(SetFileSource, "read", _mixed_up), replacing(restore_copy, "_compare", nothing)),
        set_scripts.whole,
    ),
    Planted(
        "B8",
        "files are restored beside the place that they came from",
        wrapping(restore_placement, "_placed", _elsewhere),
        set_scripts.whole,
    ),
    Planted(
        "B9",
        "a restore writes over the old files at once",
        both(
            replacing(restore_copy, "TEMPORARY_SUFFIX", ""),
            replacing(restore_copy.RestoreCopy, "_remove_temporary", do_nothing),
        ),
        set_scripts.failed_restore,
    ),
    Planted(
        "B11", "what a writer leaves out is backed up", replacing(file_sets, "_is_excluded", _none_left_out), set_scripts.whole
    ),
    Planted(
        "B10",
        "a damaged set is restored without a word",
        both(replacing(verify, "_compare", _blind), replacing(restore_copy, "_compare", nothing)),
        set_scripts.damaged_set,
    ),
    Planted("R6", "files are copied from the live volume, and the set is called verified", LIVE, set_scripts.whole),
]
