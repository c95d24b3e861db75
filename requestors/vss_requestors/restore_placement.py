"""Where each file of a set goes back to: restore method × restore target × new targets. Pure but for looking what exists.

    new target of the file set (requestor)      overrides everything
    target ORIGINAL_LOCATION                    the original place, whatever the method
    target ALTERNATE                            the alternate location mapping, or refused
    target DIRECTED                             ranges of the named files into ranges of others; the other files by method
    target ORIGINAL (or none)                   by method:
        RESTORE_IF_NOT_THERE                    in place when no file of the component exists, else its mapping, else refused
        RESTORE_IF_CAN_REPLACE                  in place; where that cannot be done, its mapping if it has one
        RESTORE_TO_ALTERNATE_LOCATION           the mapping, or refused
        STOP_RESTORE_START, RESTORE_STOP_START  in place; ``vss_requestors.services`` stops and starts
        RESTORE_AT_REBOOT_IF_CANNOT_REPLACE     in place, whatever the target; what cannot be replaced stays as it is

A component goes to its mapping whole or not at all. RESTORE_AT_REBOOT is refused, because nothing here replaces files while the
machine starts, CUSTOM because only the writer's own requestor knows what it means. Sources: "Setting VSS restore methods",
"Setting VSS restore targets", "Non-default backup and restore locations", "Working with directed targets".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vss.documents import (
    AlternateLocationMapping,
    Component,
    FileSpec,
    NewTarget,
    RestoreMethodKind,
    RestoreTarget,
    SelectedComponent,
    WriterMetadata,
)
from vss.documents.machine_paths import is_in_file_set
from vss.documents.ranges import ranges_file_of
from vss.errors import BackupSetError, RestoreRefusedError, UnsupportedError
from vss.roles.volume import FileSystem
from vss_requestors.repository.layout import split_machine_path
from vss_requestors.repository.records import ManifestFile
from vss_requestors.restore_ranges import Piece, direct, straight_pieces

Kind = RestoreMethodKind

_REBOOT = (Kind.RESTORE_AT_REBOOT, Kind.RESTORE_AT_REBOOT_IF_CANNOT_REPLACE)
_REFUSED = {
    Kind.UNDEFINED: "it declares none",
    Kind.CUSTOM: "only its own requestor knows how",
    Kind.RESTORE_AT_REBOOT: "nothing here replaces files while the machine starts",
}


@dataclass(frozen=True, slots=True)
class Placement:
    """What becomes of one file of the machine.

    Attributes:
        destination: its machine path.
        pieces: what is written there, in this order.
        is_overlay: the bytes beside the pieces stay as they are on the machine; else the file consists of the pieces.
        mapping: the alternate location mapping that brought it here, or None.
    """

    destination: str
    pieces: tuple[Piece, ...]
    is_overlay: bool = False
    mapping: AlternateLocationMapping | None = None

    @property
    def entry(self) -> ManifestFile:
        """The file of the set that (most of) it comes from."""
        return self.pieces[0].entry

    @property
    def is_straight(self) -> bool:
        """Whether it is one file of the set, all of it, each byte where it was."""
        return self.pieces == straight_pieces(self.entry)

    @property
    def size_bytes(self) -> int:
        """How many bytes are written."""
        return sum(each.length for each in self.pieces)


def method_of(metadata: WriterMetadata) -> RestoreMethodKind:
    """Return the writer's restore method; UNDEFINED where it declares none."""
    return metadata.restore_method.method if metadata.restore_method is not None else Kind.UNDEFINED


def check_method(metadata: WriterMetadata) -> None:
    """Refuse a writer whose files no requestor can put back, before anything is asked of it.

    Raises:
        UnsupportedError: CUSTOM, RESTORE_AT_REBOOT, or no method at all.
    """
    kind = method_of(metadata)
    if kind in _REFUSED:
        raise UnsupportedError(
            f"writer '{metadata.friendly_name}' declares restore method {kind.name}, which cannot be carried out here: "
            f"{_REFUSED[kind]}"
        )


async def place_files(
    files: FileSystem,
    metadata: WriterMetadata,
    members: Sequence[Component],
    selected: SelectedComponent,
    entries: Sequence[ManifestFile],
) -> list[list[Placement]]:
    """Return where the files of one component set go: what to try first, and what when that cannot be written.

    ``members`` are the components whose files are restored; a file of the set that is none of theirs must be one of
    ``selected``, and is then left out.

    Raises:
        BackupSetError: a file lies outside every file set of its component.
        RestoreRefusedError: method or target forbid it now: files exist, no mapping fits, directed ranges do not fit.
    """
    found = await _Places.of(files, metadata, members, selected, entries)
    if selected.restore_target is RestoreTarget.ORIGINAL_LOCATION and method_of(metadata) not in _REBOOT:
        return [found.in_place()]
    if selected.restore_target is RestoreTarget.ALTERNATE and method_of(metadata) not in _REBOOT:
        return [found.mapped()]
    return await _by_method(files, metadata, found)


async def _by_method(files: FileSystem, metadata: WriterMetadata, found: _Places) -> list[list[Placement]]:
    kind = method_of(metadata)
    if kind is Kind.RESTORE_TO_ALTERNATE_LOCATION:
        return [found.mapped()]
    if kind is Kind.RESTORE_IF_CAN_REPLACE and found.has_mapping:
        return [found.in_place(), found.mapped()]
    if kind is Kind.RESTORE_IF_NOT_THERE:
        there = await found.first_there(files)
        if there and found.has_mapping:
            return [found.mapped()]
        if there:
            raise RestoreRefusedError(
                f"'{there}' exists, and writer '{metadata.friendly_name}' restores only what is not there",
                hint="move the existing files away, or restore to another place",
            )
    return [found.in_place()]


@dataclass(frozen=True, slots=True)
class _Places:
    """The files that are restored, each with its file set; new and directed targets are taken out already."""

    selected: SelectedComponent
    free: tuple[tuple[ManifestFile, FileSpec], ...]
    fixed: tuple[Placement, ...]
    mappings: tuple[AlternateLocationMapping, ...]

    @classmethod
    async def of(
        cls,
        files: FileSystem,
        metadata: WriterMetadata,
        members: Sequence[Component],
        selected: SelectedComponent,
        entries: Sequence[ManifestFile],
    ) -> _Places:
        specs = [spec for member in members for spec in member.files]
        directed = selected.directed_targets if selected.restore_target is RestoreTarget.DIRECTED else ()
        if method_of(metadata) in _REBOOT:
            directed = ()
        images = direct(entries, directed, selected.full_path)
        free: list[tuple[ManifestFile, FileSpec]] = []
        fixed: list[Placement] = []
        for entry in entries:
            spec = _spec_of(entry, specs, metadata, selected)
            if spec is None or entry.machine_path.casefold() in images.sources:
                continue
            target = _new_target(spec, selected.new_targets)
            if target is None:
                free.append((entry, spec))
            else:
                fixed.append(_placed(entry, _moved(entry.machine_path, spec.path, target.alternate_path)))
        for destination, pieces in images.by_destination.items():
            split_machine_path(destination)
            fixed.append(Placement(destination, pieces, is_overlay=True))
        mappings = metadata.restore_method.mappings if metadata.restore_method is not None else ()
        return cls(selected, tuple(free), tuple(fixed), mappings)

    @property
    def has_mapping(self) -> bool:
        """Whether every file has an alternate location."""
        return all(self._mapping(entry) is not None for entry, _ in self.free)

    async def first_there(self, files: FileSystem) -> str:
        """The first file that exists at its original place, or nothing."""
        for entry, _ in self.free:
            if await files.exists(entry.machine_path):
                return entry.machine_path
        return ""

    def in_place(self) -> list[Placement]:
        """Everything that is free at its original place."""
        return _joined([*(_placed(entry, entry.machine_path) for entry, _ in self.free), *self.fixed])

    def mapped(self) -> list[Placement]:
        """Everything that is free at its alternate location; ``RestoreRefusedError`` where one has none."""
        placements: list[Placement] = []
        for entry, _ in self.free:
            mapping = self._mapping(entry)
            if mapping is None:
                raise RestoreRefusedError(
                    f"component '{self.selected.full_path}' goes to its alternate location, "
                    f"and no mapping fits '{entry.machine_path}'"
                )
            placed = _placed(entry, _moved(entry.machine_path, mapping.path, mapping.destination))
            placements.append(replace(placed, mapping=mapping))
        return _joined([*placements, *self.fixed])

    def _mapping(self, entry: ManifestFile) -> AlternateLocationMapping | None:
        for mapping in self.mappings:
            if is_in_file_set(entry.machine_path, mapping.path, mapping.filespec, mapping.recursive):
                return mapping
        return None


def _spec_of(
    entry: ManifestFile, specs: Sequence[FileSpec], metadata: WriterMetadata, selected: SelectedComponent
) -> FileSpec | None:
    """The file set the file belongs to; None where it belongs to a part of the component that is not restored."""
    for spec in specs:
        if is_in_file_set(entry.machine_path, spec.path, spec.filespec, spec.recursive):
            return spec
    directory, _, name = entry.machine_path.rpartition("\\")
    if _is_added(entry, selected):
        return None if selected.restore_subcomponents else FileSpec(directory, name)
    others = [spec for component in metadata.components for spec in component.files]
    if selected.restore_subcomponents and any(
        is_in_file_set(entry.machine_path, spec.path, spec.filespec, spec.recursive) for spec in others
    ):
        return None
    known = ", ".join(spec.path + "\\" + spec.filespec for spec in specs) or "none"
    raise BackupSetError(
        f"the set gives component '{selected.full_path}' the file '{entry.machine_path}', "
        f"which lies outside its file sets: {known}"
    )


def _is_added(entry: ManifestFile, selected: SelectedComponent) -> bool:
    """Whether the writer added the file during the backup: as a partial file, its ranges file, or a differenced file."""
    path = entry.machine_path.casefold()
    for partial in selected.partial_files:
        if path in (
            f"{partial.path.rstrip(chr(92))}\\{partial.filename}".casefold(),
            ranges_file_of(partial.ranges).casefold(),
        ):
            return True
    return any(
        is_in_file_set(entry.machine_path, each.path, each.filespec, each.recursive) for each in selected.differenced_files
    )


def _new_target(spec: FileSpec, targets: Sequence[NewTarget]) -> NewTarget | None:
    for target in targets:
        same_place = target.path.rstrip("\\").casefold() == spec.path.rstrip("\\").casefold()
        if same_place and target.filespec.casefold() == spec.filespec.casefold() and target.recursive == spec.recursive:
            return target
    return None


def _placed(entry: ManifestFile, destination: str) -> Placement:
    split_machine_path(destination)
    return Placement(destination, straight_pieces(entry), is_overlay=bool(entry.ranges))


def _joined(placements: Sequence[Placement]) -> list[Placement]:
    """One placement per destination: ranges directed into a file that is restored too go over it."""
    joined: dict[str, Placement] = {}
    for each in placements:
        before = joined.get(each.destination.casefold())
        if before is not None and not (each.is_overlay and not each.is_straight):
            raise RestoreRefusedError(
                f"'{before.entry.machine_path}' and '{each.entry.machine_path}' would both be '{each.destination}'"
            )
        if before is not None:
            each = replace(before, pieces=(*before.pieces, *each.pieces))
        joined[each.destination.casefold()] = each
    return list(joined.values())


def _moved(path: str, directory: str, to: str) -> str:
    return to.rstrip("\\") + path[len(directory.rstrip("\\")) :]
