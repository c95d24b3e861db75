"""Where each file of a set goes back to: restore method × restore target × new targets. Pure but for looking what exists.

    new target of the file set (requestor)      overrides everything
    target ORIGINAL_LOCATION                    the original place, whatever the method
    target ALTERNATE                            the alternate location mapping, or an error
    target ORIGINAL (or none)                   by method:
        RESTORE_IF_NOT_THERE                    in place when no file of the component exists, else its mapping, else refused
        RESTORE_TO_ALTERNATE_LOCATION           the mapping, or an error
        RESTORE_IF_CAN_REPLACE and the rest     in place

Services are not stopped and started here (a writer dismounts and mounts by itself), and nothing waits for a reboot: where no
running program can free the files, the method is refused. Source: "Setting VSS restore methods", "Setting VSS restore targets",
"Non-default backup and restore locations".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from vss.errors import BackupSetError, RestoreRefusedError, UnsupportedError
from vss.roles.volume import FileSystem
from vss_requestors.repository.layout import split_machine_path
from vss_requestors.repository.records import ManifestFile

_IN_PLACE = (
    RestoreMethodKind.RESTORE_IF_CAN_REPLACE,
    RestoreMethodKind.STOP_RESTORE_START,
    RestoreMethodKind.RESTORE_STOP_START,
    RestoreMethodKind.RESTORE_AT_REBOOT_IF_CANNOT_REPLACE,
)


@dataclass(frozen=True, slots=True)
class Placement:
    """One file and where it goes."""

    entry: ManifestFile
    destination: str


def check_method(metadata: WriterMetadata) -> None:
    """Refuse a writer whose files no requestor can put back, before anything is asked of it.

    Raises:
        UnsupportedError: CUSTOM, RESTORE_AT_REBOOT, or no method at all.
    """
    kind = metadata.restore_method.method if metadata.restore_method is not None else RestoreMethodKind.UNDEFINED
    if kind in (RestoreMethodKind.UNDEFINED, RestoreMethodKind.CUSTOM, RestoreMethodKind.RESTORE_AT_REBOOT):
        raise UnsupportedError(
            f"writer '{metadata.friendly_name}' declares restore method {kind.name}, which cannot be carried out here"
        )


async def place_files(
    files: FileSystem,
    metadata: WriterMetadata,
    members: Sequence[Component],
    selected: SelectedComponent,
    entries: Sequence[ManifestFile],
) -> list[Placement]:
    """Return where the files of one component set go.

    Raises:
        BackupSetError: a file lies outside every file set of its component.
        RestoreRefusedError: the method forbids it now: files exist, or no mapping fits.
        UnsupportedError: the writer directs ranges of files elsewhere.
    """
    specs = [spec for member in members for spec in member.files]
    by_spec = [(entry, _spec_of(entry, specs, selected)) for entry in entries]
    if selected.restore_target is RestoreTarget.DIRECTED:
        raise UnsupportedError(f"component '{selected.full_path}' wants a directed restore, which is not supported")
    use_mapping = await _wants_mapping(files, metadata, selected, by_spec)
    mappings = metadata.restore_method.mappings if metadata.restore_method is not None else ()
    placements: list[Placement] = []
    for entry, spec in by_spec:
        new_target = _new_target(spec, selected.new_targets)
        if new_target is not None:
            directory = new_target.alternate_path
        elif use_mapping:
            directory = _mapping(entry, mappings, selected).destination
        else:
            directory = spec.path
        destination = _moved(entry.machine_path, spec.path, directory)
        split_machine_path(destination)
        placements.append(Placement(entry, destination))
    return placements


def _spec_of(entry: ManifestFile, specs: Sequence[FileSpec], selected: SelectedComponent) -> FileSpec:
    for spec in specs:
        if is_in_file_set(entry.machine_path, spec.path, spec.filespec, spec.recursive):
            return spec
    known = ", ".join(spec.path + "\\" + spec.filespec for spec in specs) or "none"
    raise BackupSetError(
        f"the set gives component '{selected.full_path}' the file '{entry.machine_path}', "
        f"which lies outside its file sets: {known}"
    )


async def _wants_mapping(
    files: FileSystem,
    metadata: WriterMetadata,
    selected: SelectedComponent,
    by_spec: Sequence[tuple[ManifestFile, FileSpec]],
) -> bool:
    if selected.restore_target is RestoreTarget.ORIGINAL_LOCATION:
        return False
    if selected.restore_target is RestoreTarget.ALTERNATE:
        return True
    method = metadata.restore_method
    kind = method.method if method is not None else RestoreMethodKind.UNDEFINED
    if kind is RestoreMethodKind.RESTORE_TO_ALTERNATE_LOCATION:
        return True
    if kind in _IN_PLACE:
        return False
    for entry, spec in by_spec:
        if _new_target(spec, selected.new_targets) is None and await files.exists(entry.machine_path):
            if method is not None and method.mappings:
                return True
            raise RestoreRefusedError(
                f"'{entry.machine_path}' exists, and writer '{metadata.friendly_name}' restores only what is not there",
                hint="move the existing files away, or restore to another place",
            )
    return False


def _new_target(spec: FileSpec, targets: Sequence[NewTarget]) -> NewTarget | None:
    for target in targets:
        same_place = target.path.rstrip("\\").casefold() == spec.path.rstrip("\\").casefold()
        if same_place and target.filespec.casefold() == spec.filespec.casefold() and target.recursive == spec.recursive:
            return target
    return None


def _mapping(
    entry: ManifestFile, mappings: Sequence[AlternateLocationMapping], selected: SelectedComponent
) -> AlternateLocationMapping:
    for mapping in mappings:
        if is_in_file_set(entry.machine_path, mapping.path, mapping.filespec, mapping.recursive):
            return mapping
    raise RestoreRefusedError(
        f"component '{selected.full_path}' goes to its alternate location, and no mapping fits '{entry.machine_path}'"
    )


def _moved(path: str, directory: str, to: str) -> str:
    return to.rstrip("\\") + path[len(directory.rstrip("\\")) :]
