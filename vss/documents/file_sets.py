"""Which files, and which volumes, a selection of components means. Pure: the listing of files is handed in.

The mask of a file set says for each backup type whether its files belong to it, and whether they must be read from the shadow
copy. There is no bit for COPY, which counts as FULL. A log backup takes no database files whatever their mask says. Exclusions
are compared with a file's normal path, never with the alternate path its bytes may be read from. Sources: VSS documentation,
"VSS_FILE_SPEC_BACKUP_TYPE", "VSS_BACKUP_TYPE", "Generating a backup set", "Working with alternate paths during backup".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vss.documents.machine_paths import FileListing, expand_variables, is_in_file_set, normalise, volume_of
from vss.documents.model import BackupSchema, BackupType, Component, ExcludedFiles, FileSpec, FileSpecKind
from vss.documents.selection import ComponentSet
from vss.errors import InvalidArgumentError

FULL_BIT, DIFFERENTIAL_BIT, INCREMENTAL_BIT, LOG_BIT = 0x1, 0x2, 0x4, 0x8
_SNAPSHOT_SHIFT = 8

_BITS = {
    BackupType.FULL: FULL_BIT,
    BackupType.COPY: FULL_BIT,
    BackupType.OTHER: FULL_BIT,
    BackupType.DIFFERENTIAL: DIFFERENTIAL_BIT,
    BackupType.INCREMENTAL: INCREMENTAL_BIT,
    BackupType.LOG: LOG_BIT,
}

_SCHEMA_BITS = {
    BackupType.DIFFERENTIAL: BackupSchema.DIFFERENTIAL,
    BackupType.INCREMENTAL: BackupSchema.INCREMENTAL,
    BackupType.LOG: BackupSchema.LOG,
    BackupType.COPY: BackupSchema.COPY,
}


@dataclass(frozen=True, slots=True)
class SelectedFile:
    """One file of a backup: its normal path, where its bytes are read from, and whose it is."""

    path: str
    source_path: str
    component: Component
    spec: FileSpec


def effective_backup_type(schema: BackupSchema, requested: BackupType) -> BackupType:
    """Return the type a writer with this schema is backed up by: one that it lacks counts as FULL."""
    needed = _SCHEMA_BITS.get(requested, BackupSchema.NONE)
    return requested if needed in schema else BackupType.FULL


def _bit(backup_type: BackupType) -> int:
    bit = _BITS.get(backup_type)
    if bit is None:
        raise InvalidArgumentError(f"backup type {backup_type.name} selects no files")
    return bit


def is_backed_up(spec: FileSpec, backup_type: BackupType) -> bool:
    """Whether the files of ``spec`` belong to a backup of this type.

    Raises:
        InvalidArgumentError: the type is UNDEFINED.
    """
    if backup_type is BackupType.LOG and spec.kind is FileSpecKind.DATABASE_FILES:
        return False
    return bool(spec.backup_type_mask & _bit(backup_type))


def needs_snapshot(spec: FileSpec, backup_type: BackupType) -> bool:
    """Whether the files of ``spec`` must be read from the shadow copy in a backup of this type."""
    return is_backed_up(spec, backup_type) and bool(spec.backup_type_mask & _bit(backup_type) << _SNAPSHOT_SHIFT)


def volumes_needed(
    sets: Iterable[ComponentSet], backup_type: BackupType, environment: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the volumes that must be in the shadow copy set, in the order in which they are first needed.

    Raises:
        InvalidArgumentError: a file set names no volume; names component and path.
    """
    volumes: dict[str, None] = {}
    for component in (member for each in sets for member in each.members):
        for spec in component.files:
            if not needs_snapshot(spec, backup_type):
                continue
            place = expand_variables(spec.alternate_location or spec.path, environment or {})
            try:
                volumes[volume_of(place)] = None
            except InvalidArgumentError as error:
                raise InvalidArgumentError(f"component '{component.full_path}': {error.message}") from error
    return tuple(volumes)


def select_files(
    sets: Iterable[ComponentSet],
    excluded: Sequence[ExcludedFiles],
    backup_type: BackupType,
    listing: FileListing,
    environment: Mapping[str, str] | None = None,
) -> list[SelectedFile]:
    """Return the files of the selection, in declared order; a file named twice belongs to who names it first.

    Raises:
        InvalidArgumentError: a path is not plain (``..``).
    """
    environment = environment or {}
    exclusions = [
        (expand_variables(each.path, environment), each.filespec, each.recursive) for each in excluded if not each.from_snapshot
    ]
    selected: dict[str, SelectedFile] = {}
    for component in (member for each in sets for member in each.members):
        for spec in component.files:
            if not is_backed_up(spec, backup_type):
                continue
            normal = normalise(expand_variables(spec.path, environment))
            place = normalise(expand_variables(spec.alternate_location, environment)) or normal
            for source_path in listing.find(place, spec.filespec, spec.recursive):
                path = normal + source_path[len(place) :]
                if not any(is_in_file_set(path, *each) for each in exclusions):
                    selected.setdefault(path.lower(), SelectedFile(path, source_path, component, spec))
    return list(selected.values())
