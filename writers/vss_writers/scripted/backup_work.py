"""What the writer does for one backup: spit copies, the record of its files, and the deletion of the originals.

Spit files ("Backing up spit writers" of "VSS Test Writer Tool") are copies that the requestor backs up in place of the
originals: made in PrepareForSnapshot, deleted at the end of the session, or with the originals when files are to be deleted.
An aborted backup leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vss.documents import (
    BackupType,
    DifferencedFile,
    FileSpec,
    PartialFile,
    SelectedComponent,
    WriterComponents,
    WriterMetadata,
)
from vss.documents.file_sets import is_backed_up, needs_snapshot
from vss.documents.machine_paths import is_in_file_set
from vss.documents.selection import ComponentSet, component_set
from vss.errors import InvalidArgumentError, NotFoundError, WriterError
from vss.roles.volume import FileSystem
from vss_writers.scripted.content import copy_file, find_files
from vss_writers.scripted.declaration import differenced_files_of, partial_files_of
from vss_writers.scripted.plan import PlanKind, PlannedFile, PlanRules, plan_files, type_for_files
from vss_writers.scripted.records import FileRecord, TakenFile, encode_record, take
from vss_writers.scripted.script import Script

CLAIMED_NAME = "claimed and never there.dat"
"""The file that a lie about metadata adds to the record."""


@dataclass(slots=True)
class _SpitFile:
    original: str
    copy: str
    is_original_deleted: bool


@dataclass(slots=True)
class _Part:
    """One component set in this backup."""

    chosen: ComponentSet
    selected: SelectedComponent | None
    rules: PlanRules
    planned: list[PlannedFile] = field(default_factory=list)
    taken: list[TakenFile] = field(default_factory=list)


class BackupWork:
    """One session's backup, from PrepareForSnapshot to BackupShutdown."""

    def __init__(
        self,
        files: FileSystem,
        script: Script,
        metadata: WriterMetadata,
        components: WriterComponents | None,
        backup_type: BackupType,
    ) -> None:
        """Prepare the backup of the selected components, or of all where components are not selected."""
        self._files = files
        self._script = script
        self._type = type_for_files(metadata.backup_schema, backup_type)
        partial, differenced = partial_files_of(script), differenced_files_of(script)
        self._parts = [
            _Part(chosen, selected, _rules(metadata, chosen, partial, differenced))
            for chosen, selected in chosen_sets(metadata, components)
        ]
        self._spit: list[_SpitFile] = []

    def volumes_needed(self) -> list[str]:
        """Return the directories whose volumes must be in the shadow copy set."""
        return [spec.alternate_location or spec.path for spec in self._specs() if needs_snapshot(spec, self._type)]

    def _specs(self) -> list[FileSpec]:
        return [spec for part in self._parts for member in part.chosen.members for spec in member.files]

    # -- spit ------------------------------------------------------------------------------------------------------------------

    async def spit(self) -> int:
        """Copy the files of spit file sets to their alternate paths; return how many."""
        for part in self._parts:
            for member in part.chosen.members:
                for spec in member.files:
                    if spec.alternate_location and is_backed_up(spec, self._type):
                        await self._spit_set(spec, part.rules)
        return len(self._spit)

    async def _spit_set(self, spec: FileSpec, rules: PlanRules) -> None:
        below = spec.alternate_location.lower() + "\\"
        for path in await find_files(self._files, spec.path, spec.filespec, spec.recursive):
            if path.lower().startswith(below):
                continue
            if any(is_in_file_set(path, each.path, each.filespec, each.recursive) for each in rules.excluded):
                continue
            copy = spec.alternate_location + path[len(spec.path) :]
            self._spit.append(_SpitFile(path, copy, self._script.delete_files))  # first: a copy cut short is cleaned up, too
            await copy_file(self._files, path, copy)
            if self._script.delete_files:
                await self._files.remove(path)

    @property
    def spit_copies(self) -> list[str]:
        """Where the copies of spit file sets are."""
        return [each.copy for each in self._spit]

    def recall_spit(self, copies: Sequence[str]) -> None:
        """Take up copies that were made before the machine was suspended, to delete them at the end."""
        self._spit = [_SpitFile(each, each, is_original_deleted=False) for each in copies]

    async def end_spit(self, *, undo: bool) -> None:
        """Delete the copies; ``undo`` puts deleted originals back first. The second call finds nothing to do."""
        spit, self._spit = self._spit, []
        for each in spit:
            if undo and each.is_original_deleted and not await self._files.exists(each.original):
                await copy_file(self._files, each.copy, each.original)
            await _remove(self._files, each.copy)

    # -- record ----------------------------------------------------------------------------------------------------------------

    async def take(self) -> int:
        """Record the files as they are now; what has not changed since the last time is not read again. Returns how many."""
        for part in self._parts:
            part.planned = await plan_files(self._files, part.chosen, part.rules, self._type)
            part.taken = await take(self._files, part.planned, part.taken)
        return sum(len(part.taken) for part in self._parts)

    def described(self, components: WriterComponents, *, has_lie: bool) -> tuple[WriterComponents, list[str]]:
        """Return the writer's part of the document with records, partial and differenced files, and notes on what is missing.

        Raises:
            WriterError: a record is too long, and a restore is to be checked by it.
        """
        by_path = {part.chosen.explicit.full_path.lower(): part for part in self._parts}
        notes: list[str] = []
        changed: list[SelectedComponent] = []
        for selected in components.components:
            part = by_path.get(selected.full_path.lower())
            if part is None:
                changed.append(selected)
                continue
            records = [each.record for each in part.taken]
            if has_lie and not changed:
                records.append(_claimed(part.chosen))
            try:
                data = encode_record(records)
            except InvalidArgumentError as error:
                text = f"component '{selected.full_path}': {error.message}"
                if self._script.check_includes:
                    raise WriterError(text) from error
                notes.append(text)
                data = b""
            changed.append(
                replace(
                    selected,
                    backup_metadata=data,
                    partial_files=part.rules.partial,
                    differenced_files=part.rules.differenced,
                )
            )
        return replace(components, components=tuple(changed)), notes

    # -- deletion --------------------------------------------------------------------------------------------------------------

    async def delete_originals(self) -> int:
        """Delete from the live volumes what the script says; return how many files."""
        kinds = {
            PlanKind.WHOLE: self._script.delete_files,
            PlanKind.PARTIAL: self._script.delete_partial_files,
            PlanKind.DIFFERENCED: self._script.delete_differenced_files,
        }
        paths = [each.source_path for part in self._parts for each in part.planned if kinds[each.kind]]
        for path in paths:
            await _remove(self._files, path)
        return len(paths)


def chosen_sets(
    metadata: WriterMetadata, components: WriterComponents | None
) -> list[tuple[ComponentSet, SelectedComponent | None]]:
    """Return the component sets of a session; each component by itself where components are not selected.

    A component of the document that the script does not declare (any more) is left out.
    """
    if components is None:
        return [(ComponentSet(each, (each,)), None) for each in metadata.components]
    declared = [(metadata.component(each.full_path), each) for each in components.components]
    return [(component_set(metadata, component), each) for component, each in declared if component is not None]


def _rules(
    metadata: WriterMetadata,
    chosen: ComponentSet,
    partial: dict[str, tuple[PartialFile, ...]],
    differenced: dict[str, tuple[DifferencedFile, ...]],
) -> PlanRules:
    keys: Sequence[str] = [member.full_path.lower() for member in chosen.members]
    return PlanRules(
        metadata.excluded,
        tuple(each for key in keys for each in differenced[key]),
        tuple(each for key in keys for each in partial[key]),
    )


def _claimed(chosen: ComponentSet) -> FileRecord:
    """A record of a file that never was, where a file of the component would be."""
    specs = [spec for member in chosen.members for spec in member.files]
    directory = specs[0].path if specs else "C:"
    return FileRecord(f"{directory}\\{CLAIMED_NAME}", chosen.explicit.full_path, 1, "0" * 64)


async def _remove(files: FileSystem, path: str) -> None:
    try:
        await files.remove(path)
    except NotFoundError:
        return  # somebody was quicker
