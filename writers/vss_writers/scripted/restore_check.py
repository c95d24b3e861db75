"""The self-check after a restore: every file that was backed up is back where it belongs, and no excluded one came along.

Includes are compared with the record in the backup metadata, each file at its new target, at its alternate location, or at
home, by the rules of "Working with alternate locations during restore". Excludes are compared with what was there before
PreRestore, so the directories need not be emptied first, as the vendor's test writer wants it. The first difference, in order
of path, is what the writer reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vss.documents import (
    Component,
    ExcludedFiles,
    FileSpec,
    RestoreMethodKind,
    RestoreTarget,
    SelectedComponent,
    WriterMetadata,
)
from vss.documents.machine_paths import is_in_file_set
from vss.documents.selection import is_ancestor
from vss.roles.volume import FileSystem
from vss_writers.scripted.content import find_files
from vss_writers.scripted.records import FileRecord, difference, digest

AT_REBOOT = (RestoreMethodKind.RESTORE_AT_REBOOT, RestoreMethodKind.RESTORE_AT_REBOOT_IF_CANNOT_REPLACE)
"""Methods after which the files may come only with the next boot."""

_MAY_BE_MAPPED = (RestoreMethodKind.RESTORE_IF_NOT_THERE, RestoreMethodKind.RESTORE_IF_CAN_REPLACE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file may be after a restore. ``is_unrecorded``: in a mapping that the requestor did not record as used."""

    path: str
    is_unrecorded: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the check found: the first difference, or nothing, and what is worth a note."""

    difference: str = ""
    checked: int = 0
    notes: tuple[str, ...] = ()


async def check_includes(
    files: FileSystem,
    metadata: WriterMetadata,
    members: Sequence[Component],
    selected: SelectedComponent,
    records: Sequence[FileRecord],
) -> CheckResult:
    """Compare every restored file of one component set with its record.

    Raises:
        VolumeReadError: a volume failed.
    """
    specs = [spec for member in members for spec in member.files]
    wanted = [each for each in records if _is_restored(each.component, selected)]
    notes: dict[str, None] = {}
    for number, record in enumerate(sorted(wanted, key=lambda each: each.path.lower())):
        first = ""
        for place in places_of(record.path, metadata, specs, selected):
            found = await difference(files, record, place.path)
            if not found:
                if place.is_unrecorded:
                    notes[f"'{place.path}': the requestor did not record that it used the alternate location"] = None
                break
            first = first or f"'{place.path}' {found}"
        else:
            return CheckResult(f"component '{selected.full_path}': {first}", number, tuple(notes))
    return CheckResult(checked=len(wanted), notes=tuple(notes))


def _is_restored(component: str, selected: SelectedComponent) -> bool:
    """Whether the files of a member were to be restored: all, or only those of the named subcomponents."""
    if not selected.restore_subcomponents:
        return True
    for each in selected.restore_subcomponents:
        path = f"{each.logical_path}\\{each.component_name}" if each.logical_path else each.component_name
        if component.lower() == path.lower() or is_ancestor(path, component):
            return True
    return False


def places_of(path: str, metadata: WriterMetadata, specs: Sequence[FileSpec], selected: SelectedComponent) -> tuple[Place, ...]:
    """Return where the file may be, most likely first; at least one place."""
    spec = next((each for each in specs if is_in_file_set(path, each.path, each.filespec, each.recursive)), None)
    for target in selected.new_targets:
        if spec is not None and (target.path.rstrip("\\").lower(), target.filespec.lower(), target.recursive) == (
            spec.path.lower(),
            spec.filespec.lower(),
            spec.recursive,
        ):
            return (Place(_moved(path, spec.path, target.alternate_path)),)
    mapped = _mapped(path, metadata, selected)
    method = RestoreMethodKind.UNDEFINED if metadata.restore_method is None else metadata.restore_method.method
    if mapped is None or selected.restore_target is RestoreTarget.ORIGINAL_LOCATION:
        return (Place(path),)
    if method is RestoreMethodKind.RESTORE_TO_ALTERNATE_LOCATION or selected.restore_target is RestoreTarget.ALTERNATE:
        return (mapped,)
    if not mapped.is_unrecorded:
        return (mapped,)
    return (Place(path), mapped) if method in _MAY_BE_MAPPED else (Place(path),)


def _mapped(path: str, metadata: WriterMetadata, selected: SelectedComponent) -> Place | None:
    for mapping in selected.mappings_used:
        if is_in_file_set(path, mapping.path, mapping.filespec, mapping.recursive):
            return Place(_moved(path, mapping.path, mapping.destination))
    declared = () if metadata.restore_method is None else metadata.restore_method.mappings
    for mapping in declared:
        if is_in_file_set(path, mapping.path, mapping.filespec, mapping.recursive):
            return Place(_moved(path, mapping.path, mapping.destination), is_unrecorded=True)
    return None


def _moved(path: str, directory: str, to: str) -> str:
    return to.rstrip("\\") + path[len(directory.rstrip("\\")) :]


async def excluded_files(files: FileSystem, excluded: Sequence[ExcludedFiles]) -> dict[str, str]:
    """Return the SHA-256 of every excluded file that is there, by path.

    Raises:
        VolumeReadError: a volume failed.
    """
    found: dict[str, str] = {}
    for each in excluded:
        for path in await find_files(files, each.path, each.filespec, each.recursive):
            found[path] = (await digest(files, path))[1]
    return found


def check_excludes(before: Mapping[str, str], after: Mapping[str, str]) -> CheckResult:
    """Compare the excluded files from before the restore with those after it."""
    for path in sorted(after):
        if path not in before:
            return CheckResult(f"'{path}' is excluded, and the restore brought it back")
        if after[path] != before[path]:
            return CheckResult(f"'{path}' is excluded, and the restore changed it")
    return CheckResult(checked=len(after))
