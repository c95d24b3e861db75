"""Which files a backup of some components means, by the framework's own rules for masks and exclusions, on the live volumes.

Differenced files go before partial ones and both before the mask ("Requestor role in backing up complex stores"): a file set
that a differenced file names exactly gives only what changed since, a partial file gives its ranges only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from vss.documents import BackupSchema, BackupType, DifferencedFile, ExcludedFiles, FileSpec, PartialFile
from vss.documents.file_sets import effective_backup_type, select_files
from vss.documents.machine_paths import FileListing, is_in_file_set
from vss.documents.selection import ComponentSet
from vss.roles.volume import FileSystem
from vss_writers.scripted.content import find_files

_FILETIME_EPOCH_NS = 11_644_473_600 * 1_000_000_000  # 1601-01-01 to 1970-01-01


class PlanKind(Enum):
    """By which rule a file is in the backup."""

    WHOLE = "whole"
    PARTIAL = "partial"
    DIFFERENCED = "differenced"


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that the backup must hold: its own path, where its bytes are, whose it is, which bytes count."""

    path: str
    source_path: str
    component: str
    kind: PlanKind = PlanKind.WHOLE
    ranges: str = ""


@dataclass(frozen=True, slots=True)
class PlanRules:
    """What besides the component set decides: exclusions, and what PostSnapshot will add."""

    excluded: tuple[ExcludedFiles, ...] = ()
    differenced: tuple[DifferencedFile, ...] = ()
    partial: tuple[PartialFile, ...] = ()


def type_for_files(schema: BackupSchema, requested: BackupType) -> BackupType:
    """Return the type by which file sets are judged: what a writer does not support, or nobody said, counts as FULL."""
    return BackupType.FULL if requested is BackupType.UNDEFINED else effective_backup_type(schema, requested)


async def plan_files(files: FileSystem, chosen: ComponentSet, rules: PlanRules, backup_type: BackupType) -> list[PlannedFile]:
    """Return the files of one component set, by path.

    Raises:
        VolumeReadError: a volume failed.
    """
    found: dict[str, PlannedFile] = {}
    listing = FileListing(await _listed(files, [spec for member in chosen.members for spec in member.files]))
    for each in select_files([chosen], rules.excluded, backup_type, listing):
        if not any(_is_same_set(each.spec, differenced) for differenced in rules.differenced):
            found[each.path.lower()] = PlannedFile(each.path, each.source_path, each.component.full_path)
    owner = chosen.explicit.full_path
    for differenced in rules.differenced:
        for path in await _changed(files, differenced):
            if not _is_excluded(path, rules.excluded):
                found[path.lower()] = PlannedFile(path, path, owner, PlanKind.DIFFERENCED)
    for partial in rules.partial:
        path = f"{partial.path}\\{partial.filename}"
        before = found.get(path.lower())
        if before is None or before.kind is not PlanKind.DIFFERENCED:
            source = path if before is None else before.source_path
            found[path.lower()] = PlannedFile(path, source, owner, PlanKind.PARTIAL, partial.ranges)
    return [found[key] for key in sorted(found)]


async def _listed(files: FileSystem, specs: Sequence[FileSpec]) -> list[str]:
    """Every file that a file set may mean, where its bytes are, named once."""
    paths: dict[str, None] = {}
    for spec in specs:
        place = spec.alternate_location or spec.path
        for path in await find_files(files, place, spec.filespec, spec.recursive):
            paths[path] = None
    return list(paths)


async def _changed(files: FileSystem, differenced: DifferencedFile) -> list[str]:
    since_ns = differenced.last_modify_time * 100 - _FILETIME_EPOCH_NS
    paths = await find_files(files, differenced.path, differenced.filespec, differenced.recursive)
    return [path for path in paths if (await files.stat(path)).modified_ns > since_ns]


def _is_same_set(spec: FileSpec, differenced: DifferencedFile) -> bool:
    return (spec.path.lower(), spec.filespec.lower(), spec.recursive) == (
        differenced.path.lower(),
        differenced.filespec.lower(),
        differenced.recursive,
    )


def _is_excluded(path: str, excluded: Sequence[ExcludedFiles]) -> bool:
    return any(is_in_file_set(path, each.path, each.filespec, each.recursive) for each in excluded)
