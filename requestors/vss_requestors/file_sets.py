"""From file specifications to files: expanding what writers declared, on the shadow copies.

Expansion happens on the shadow copy and never on the live volume ("Overview of actual backup of files"): what is there is what
was there at the point in time. Which file sets count, wildcards and exclusions are ``vss.documents``' rules; here are the walk,
the files a writer says have changed, and that what must be there and is not (a name without wildcards, any database file set)
is reported, not passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vss.documents import (
    BackupType,
    Component,
    DifferencedFile,
    ExcludedFiles,
    FileSpec,
    FileSpecKind,
)
from vss.documents.file_sets import is_backed_up
from vss.documents.machine_paths import is_in_file_set, matches_filespec
from vss.errors import NotFoundError
from vss.roles.volume import FileSystem
from vss.volumes.paths import join_path
from vss_requestors.repository.layout import MAX_DEPTH, split_machine_path
from vss_requestors.repository.records import Owner

KIND_NAMES = {FileSpecKind.FILE_LIST: "file", FileSpecKind.DATABASE_FILES: "database", FileSpecKind.DATABASE_LOG_FILES: "log"}

_FILETIME_EPOCH_NS = 11_644_473_600 * 1_000_000_000  # 1601-01-01 to 1970-01-01


@dataclass(slots=True)
class PlannedFile:
    """One file to copy: its own (normal) path, where its bytes are, and whom it belongs to."""

    machine_path: str
    source_path: str
    size_bytes: int
    modified_ns: int
    kind: str
    owners: list[Owner] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A declared file that is not on the shadow copy."""

    machine_path: str
    owner: Owner


def volumes_of(components: Sequence[Component], backup_type: BackupType) -> list[str]:
    """Return the volumes on which files of a backup of this type lie, sorted.

    Files that a writer does not ask to be read from a shadow copy are read from one all the same: they are then of the same
    instant as the others, and nothing here ever reads a live volume.

    Raises:
        InvalidArgumentError: a declared path is not one.
    """
    places = [
        spec.alternate_location or spec.path
        for component in components
        for spec in component.files
        if is_backed_up(spec, backup_type)
    ]
    return sorted({split_machine_path(place)[0] for place in places})


def has_wildcard(filespec: str) -> bool:
    """Whether ``filespec`` may mean several files."""
    return "*" in filespec or "?" in filespec


class FileSetExpander:
    """Collects the files of many components; a file named by several is planned once and owned by all."""

    def __init__(self, snapshots: Mapping[str, FileSystem]) -> None:
        """Expand on ``snapshots``, by volume name."""
        self._snapshots = snapshots
        self._planned: dict[str, PlannedFile] = {}
        self.missing: list[MissingFile] = []

    @property
    def planned(self) -> list[PlannedFile]:
        """The files to copy, by machine path."""
        return [self._planned[key] for key in sorted(self._planned)]

    async def add(
        self,
        component: Component,
        owner: Owner,
        backup_type: BackupType,
        excluded: Sequence[ExcludedFiles] = (),
        differenced: Sequence[DifferencedFile] = (),
    ) -> None:
        """Add the files of one component that a backup of this type wants.

        Raises:
            InvalidArgumentError: a declared path is not one.
            VolumeReadError: the shadow copy failed.
        """
        for spec in component.files:
            since = _differenced_since(spec, differenced)
            if is_backed_up(spec, backup_type) or since is not None:
                await self._add_spec(spec, owner, excluded, since)

    async def _add_spec(self, spec: FileSpec, owner: Owner, excluded: Sequence[ExcludedFiles], since_ns: int | None) -> None:
        place = (spec.alternate_location or spec.path).rstrip("\\")
        normal = spec.path.rstrip("\\")
        found = await self._find(place, spec.filespec, spec.recursive)
        if not found and (spec.kind is FileSpecKind.DATABASE_FILES or not has_wildcard(spec.filespec)):
            self.missing.append(MissingFile(f"{normal}\\{spec.filespec}", owner))
        for source_path, size_bytes, modified_ns in found:
            machine_path = normal + source_path[len(place) :]
            if any(is_in_file_set(machine_path, each.path, each.filespec, each.recursive) for each in excluded):
                continue
            if since_ns is not None and modified_ns <= since_ns:
                continue
            planned = self._planned.setdefault(
                machine_path.casefold(),
                PlannedFile(machine_path, source_path, size_bytes, modified_ns, KIND_NAMES[spec.kind]),
            )
            if owner not in planned.owners:
                planned.owners.append(owner)

    async def _find(self, directory: str, filespec: str, recursive: bool) -> list[tuple[str, int, int]]:
        volume, inner = split_machine_path(directory)
        files = self._snapshots.get(volume)
        if files is None:
            raise NotFoundError(f"volume '{volume}' of '{directory}\\{filespec}' has no shadow copy in this set")
        found: list[tuple[str, int, int]] = []
        await _walk(files, inner, filespec, recursive, found)
        return [(join_path(volume, path), size_bytes, modified_ns) for path, size_bytes, modified_ns in found]


async def _walk(files: FileSystem, directory: str, filespec: str, recursive: bool, found: list[tuple[str, int, int]]) -> None:
    pending = [directory]
    while pending:
        here = pending.pop(0)
        try:
            names = await files.list_directory(here)
        except NotFoundError:
            continue
        for name in names:
            path = f"{here.rstrip('/')}/{name}"
            stat = await files.stat(path)
            if stat.is_directory:
                if recursive and path.count("/") < MAX_DEPTH:
                    pending.append(path)
            elif matches_filespec(name, filespec):
                found.append((path, stat.size_bytes, stat.modified_ns))


def _differenced_since(spec: FileSpec, differenced: Sequence[DifferencedFile]) -> int | None:
    """The wall instant after which a file of ``spec`` counts as changed, where the writer gave one; -1 (all) for time 0."""
    for each in differenced:
        if (each.path.rstrip("\\").casefold(), each.filespec.casefold(), each.recursive) == (
            spec.path.rstrip("\\").casefold(),
            spec.filespec.casefold(),
            spec.recursive,
        ):
            return each.last_modify_time * 100 - _FILETIME_EPOCH_NS if each.last_modify_time else -1
    return None
