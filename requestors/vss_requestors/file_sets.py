"""From file specifications to files: expanding what writers declared, and what they added, on the shadow copies.

Expansion happens on the shadow copy and never on the live volume ("Overview of actual backup of files"): what is there is what
was there at the point in time. Which file sets count, wildcards and exclusions are ``vss.documents``' rules; here are the walk,
the files a writer says have changed, the files it wants by ranges, and that what must be there and is not (a name without
wildcards, any database file set) is reported, not passed over.

Order of precedence: differenced, then partial, then the file set's mask; a file named as both is differenced. Source:
"Requestor role in backing up complex stores".
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vss.documents import (
    BackupSchema,
    BackupType,
    Component,
    DifferencedFile,
    ExcludedFiles,
    FileSpec,
    FileSpecKind,
    PartialFile,
)
from vss.documents.file_sets import is_backed_up
from vss.documents.machine_paths import is_in_file_set, matches_filespec
from vss.documents.ranges import ByteRange, parse_ranges, parse_ranges_file, ranges_file_of, within
from vss.errors import InvalidArgumentError, NotFoundError
from vss.roles.volume import FileSystem
from vss.volumes.paths import join_path
from vss_requestors.repository.layout import MAX_DEPTH, split_machine_path
from vss_requestors.repository.records import Owner

KIND_NAMES = {FileSpecKind.FILE_LIST: "file", FileSpecKind.DATABASE_FILES: "database", FileSpecKind.DATABASE_LOG_FILES: "log"}

MAX_RANGES_FILE_BYTES = 16 << 20

_FILETIME_EPOCH_NS = 11_644_473_600 * 1_000_000_000  # 1601-01-01 to 1970-01-01


@dataclass(slots=True)
class PlannedFile:
    """One file to copy: its own (normal) path, where its bytes are, and whom it belongs to.

    With ``ranges`` only these bytes are copied, and ``size_bytes`` is their number.
    """

    machine_path: str
    source_path: str
    size_bytes: int
    modified_ns: int
    kind: str
    owners: list[Owner] = field(default_factory=list)
    ranges: tuple[ByteRange, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A declared file that is not on the shadow copy."""

    machine_path: str
    owner: Owner


def volumes_of(components: Sequence[Component], backup_type: BackupType, schema: BackupSchema = BackupSchema.NONE) -> list[str]:
    """Return the volumes on which files of a backup of this type lie, sorted.

    Files that a writer does not ask to be read from a shadow copy are read from one all the same: they are then of the same
    instant as the others, and nothing here ever reads a live volume. A writer that may say later what has changed
    (LAST_MODIFY) may name any of its file sets then, so all their volumes count.

    Raises:
        InvalidArgumentError: a declared path is not one.
    """
    by_time = BackupSchema.LAST_MODIFY in schema and backup_type in (BackupType.INCREMENTAL, BackupType.DIFFERENTIAL)
    places = [
        spec.alternate_location or spec.path
        for component in components
        for spec in component.files
        if by_time or is_backed_up(spec, backup_type)
    ]
    return sorted({split_machine_path(place)[0] for place in places})


def has_wildcard(filespec: str) -> bool:
    """Whether ``filespec`` may mean several files."""
    return "*" in filespec or "?" in filespec


class FileSetExpander:
    """Collects the files of many components; a file named by several is planned once and owned by all.

    Attributes:
        missing: declared files that are not there.
        refused: what writers added and cannot mean, with whose it is.
    """

    def __init__(self, snapshots: Mapping[str, FileSystem]) -> None:
        """Expand on ``snapshots``, by volume name."""
        self._snapshots = snapshots
        self._planned: dict[str, PlannedFile] = {}
        self._differenced: set[tuple[str, Owner]] = set()
        self.missing: list[MissingFile] = []
        self.refused: list[tuple[Owner, str]] = []

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

    async def add_what_writers_added(
        self,
        members: Sequence[Component],
        owner: Owner,
        excluded: Sequence[ExcludedFiles],
        differenced: Sequence[DifferencedFile],
        partial: Sequence[PartialFile],
    ) -> None:
        """Add the differenced file sets that are none of the component set's own, then its partial files.

        Raises:
            VolumeReadError: the shadow copy failed.
        """
        specs = [spec for member in members for spec in member.files]
        for each in differenced:
            if not any(_is_same(spec, each) for spec in specs):
                await self._try(self._add_differenced(each, owner, excluded), owner)
        for file in partial:
            await self._try(self._add_partial(file, owner, specs, excluded), owner)

    async def _try(self, work: Coroutine[Any, Any, None], owner: Owner) -> None:
        try:
            await work
        except (InvalidArgumentError, NotFoundError) as error:
            self.refused.append((owner, error.message))

    async def _add_differenced(self, each: DifferencedFile, owner: Owner, excluded: Sequence[ExcludedFiles]) -> None:
        spec = FileSpec(each.path, each.filespec, each.recursive)
        await self._add_spec(spec, owner, excluded, _since_ns(each))

    async def _add_partial(
        self, file: PartialFile, owner: Owner, specs: Sequence[FileSpec], excluded: Sequence[ExcludedFiles]
    ) -> None:
        path = f"{file.path.rstrip(chr(92))}\\{file.filename}"
        if (path.casefold(), owner) in self._differenced or _is_excluded(path, excluded):
            return
        spec = next((each for each in specs if is_in_file_set(path, each.path, each.filespec, each.recursive)), None)
        source = path
        if spec is not None and spec.alternate_location:
            source = spec.alternate_location.rstrip("\\") + path[len(spec.path.rstrip("\\")) :]
        whole = await self._planned_at(path, source, KIND_NAMES[spec.kind] if spec is not None else "file")
        ranges = within(await self._ranges(file, owner), whole.size_bytes)
        before = self._planned.pop(path.casefold(), None)
        others = [each for each in before.owners if each != owner] if before is not None else []
        if before is not None and others:
            ranges = within((*before.ranges, *ranges), whole.size_bytes) if before.ranges else ()  # what any of them wants
        elif not ranges:
            return
        whole.ranges, whole.owners = ranges, [*others, owner]
        whole.size_bytes = sum(each.length for each in ranges) if ranges else whole.size_bytes
        self._planned[path.casefold()] = whole

    async def _ranges(self, file: PartialFile, owner: Owner) -> tuple[ByteRange, ...]:
        """The ranges of a partial file; a ranges file is part of the backup too."""
        path = ranges_file_of(file.ranges)
        if not path:
            return parse_ranges(file.ranges)
        planned = self._planned.setdefault(path.casefold(), await self._planned_at(path, path, "file"))
        if owner not in planned.owners:
            planned.owners.append(owner)
        if planned.size_bytes > MAX_RANGES_FILE_BYTES:
            raise InvalidArgumentError(
                f"ranges file '{path}' has {planned.size_bytes} bytes, more than {MAX_RANGES_FILE_BYTES}"
            )
        volume, inner = split_machine_path(path)
        handle = await self._snapshots[volume].open(inner)
        try:
            return parse_ranges_file(await handle.pread(0, planned.size_bytes), path)
        finally:
            await handle.close()

    async def _planned_at(self, machine_path: str, source_path: str, kind: str) -> PlannedFile:
        volume, inner = split_machine_path(source_path)
        if volume not in self._snapshots:
            raise NotFoundError(f"volume '{volume}' of '{machine_path}' has no shadow copy in this set")
        try:
            stat = await self._snapshots[volume].stat(inner)
        except NotFoundError as error:
            raise NotFoundError(f"'{machine_path}', which a partial file names, is not on the shadow copy") from error
        return PlannedFile(machine_path, join_path(volume, inner), stat.size_bytes, stat.modified_ns, kind)

    async def _add_spec(self, spec: FileSpec, owner: Owner, excluded: Sequence[ExcludedFiles], since_ns: int | None) -> None:
        place = (spec.alternate_location or spec.path).rstrip("\\")
        normal = spec.path.rstrip("\\")
        found = await self._find(place, spec.filespec, spec.recursive)
        if not found and (spec.kind is FileSpecKind.DATABASE_FILES or not has_wildcard(spec.filespec)):
            self.missing.append(MissingFile(f"{normal}\\{spec.filespec}", owner))
        for source_path, size_bytes, modified_ns in found:
            machine_path = normal + source_path[len(place) :]
            if _is_excluded(machine_path, excluded):
                continue
            if since_ns is not None:
                self._differenced.add((machine_path.casefold(), owner))
                if modified_ns <= since_ns:
                    continue
            planned = self._planned.setdefault(
                machine_path.casefold(),
                PlannedFile(machine_path, source_path, size_bytes, modified_ns, KIND_NAMES[spec.kind]),
            )
            if planned.ranges:  # one component wants ranges of it, this one all
                planned.ranges, planned.size_bytes = (), size_bytes
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


def _is_excluded(machine_path: str, excluded: Sequence[ExcludedFiles]) -> bool:
    return any(is_in_file_set(machine_path, each.path, each.filespec, each.recursive) for each in excluded)


def _is_same(spec: FileSpec, each: DifferencedFile) -> bool:
    return (each.path.rstrip("\\").casefold(), each.filespec.casefold(), each.recursive) == (
        spec.path.rstrip("\\").casefold(),
        spec.filespec.casefold(),
        spec.recursive,
    )


def _since_ns(each: DifferencedFile) -> int:
    """The wall instant after which a file counts as changed; -1 (all) for time 0, which leaves it to the requestor."""
    return each.last_modify_time * 100 - _FILETIME_EPOCH_NS if each.last_modify_time else -1


def _differenced_since(spec: FileSpec, differenced: Sequence[DifferencedFile]) -> int | None:
    """The same for a file set, where the writer gave a time."""
    return next((_since_ns(each) for each in differenced if _is_same(spec, each)), None)
