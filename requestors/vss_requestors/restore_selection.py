"""From a backup set and the names a person gave to what is restored: components, parts of them, options and new targets.

The rules of selection are ``vss.documents.selection``; stored metadata decide, never the live ones. Everything here is refused
before a session exists or a writer is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vss.documents import (
    BackupSchema,
    Component,
    ComponentType,
    FileRestoreStatus,
    NewTarget,
    RestoreSubcomponent,
    SelectedComponent,
    WriterComponents,
    WriterMetadata,
)
from vss.documents.restore_options import (
    AUTHORITATIVE,
    RestoreOption,
    is_private,
    parse_restore_options,
    render_restore_options,
)
from vss.documents.selection import component_set, is_ancestor, select_for_restore
from vss.errors import BackupSetError, InvalidArgumentError, NotFoundError, UnsupportedError
from vss.ids import GUID_NULL, Guid
from vss_requestors.component_selection import ComponentName, find_named
from vss_requestors.repository.records import Owner
from vss_requestors.repository.set_reader import BackupSet


@dataclass(slots=True)
class RestoringComponent:
    """One component that is being restored.

    Attributes:
        members: the components whose files come back: the whole component set, or the parts that were asked for.
        service: what the restore method stops and starts; nothing for most.
        restore_name: what the component is to be called; nothing where it keeps its name.
        to_instance: instance name of the writer that takes the component; nothing for the one it came from.
        target_id: that instance as it runs now; GUID_NULL before it is known, and for the one the component came from.
        is_refused: the writer refused this component alone.
    """

    metadata: WriterMetadata
    writer: WriterComponents
    members: tuple[Component, ...]
    component: SelectedComponent
    subcomponents: tuple[RestoreSubcomponent, ...] = ()
    new_targets: tuple[NewTarget, ...] = ()
    restore_options: str = ""
    restore_name: str = ""
    to_instance: str = ""
    target_id: Guid = GUID_NULL
    service: str = ""
    status: FileRestoreStatus = FileRestoreStatus.NONE
    reason: str = ""
    is_refused: bool = False

    @property
    def key(self) -> tuple[Guid, ComponentType, str, str]:
        """The arguments by which a session knows the component."""
        return self.writer.writer_id, self.component.type, self.component.logical_path, self.component.component_name

    @property
    def owner(self) -> Owner:
        """How manifest entries name the component."""
        return Owner(str(self.writer.instance_id), self.component.full_path)

    def fail(self, reason: str) -> None:
        """Keep the first reason."""
        self.reason = self.reason or reason


def choose_for_restore(backup_set: BackupSet, names: Sequence[ComponentName]) -> list[RestoringComponent]:
    """Return what was backed up explicitly: all, or the wanted components and those whose parts are wanted.

    Raises:
        NotFoundError: the set has no component, no such component, or did not back it up.
        InvalidArgumentError: a wanted part is not selectable for restore, or a name fits several components.
        BackupSetError: the documents of the set do not belong together.
    """
    wanted: dict[int, list[str]] | None = None
    if names:
        wanted = {}
        for name in names:
            number, full_path = find_named(backup_set.writers, name)
            wanted.setdefault(number, []).append(full_path)
    found: list[RestoringComponent] = []
    for writer in backup_set.document.writers:
        number, metadata = _metadata_of(backup_set, writer)
        for component in writer.components:
            if metadata.component(component.full_path) is None:
                raise BackupSetError(f"writer '{metadata.friendly_name}' declares no component '{component.full_path}'")
        paths = None if wanted is None else wanted.pop(number, [])
        for choice in select_for_restore(metadata, writer, paths):
            component = next(each for each in writer.components if each.full_path == choice.full_path)
            members = _members(metadata, component, choice.subcomponents)
            found.append(RestoringComponent(metadata, writer, members, component, choice.subcomponents))
    for number, paths in (wanted or {}).items():
        friendly_name = backup_set.writers[number].friendly_name
        raise NotFoundError(f"component '{paths[0]}' of writer '{friendly_name}' was not backed up")
    if not found:
        raise NotFoundError(f"backup set '{backup_set.record.set_id}' has no component")
    return found


def _metadata_of(backup_set: BackupSet, writer: WriterComponents) -> tuple[int, WriterMetadata]:
    for number, metadata in enumerate(backup_set.writers):
        if metadata.instance_id == writer.instance_id:
            return number, metadata
    raise BackupSetError(f"the set lacks the metadata of writer {writer.writer_id}")


def _members(
    metadata: WriterMetadata, component: SelectedComponent, subcomponents: Sequence[RestoreSubcomponent]
) -> tuple[Component, ...]:
    declared = metadata.component(component.full_path)
    assert declared is not None, "components of the set are looked up before"
    members = component_set(metadata, declared).members
    if not subcomponents:
        return members
    parts = [
        f"{each.logical_path}\\{each.component_name}" if each.logical_path else each.component_name for each in subcomponents
    ]
    return tuple(
        each
        for each in members
        if any(each.full_path.lower() == part.lower() or is_ancestor(part, each.full_path) for part in parts)
    )


def restore_options_for(metadata: WriterMetadata, text: str, *, authoritative: bool) -> str:
    """Return the options string for a component of this writer.

    Raises:
        InvalidArgumentError: not in the grammar; or ``authoritative`` beside an options string in the writer's own form.
        UnsupportedError: the writer's schema says nothing of an option.
    """
    if is_private(text):
        if authoritative:
            raise InvalidArgumentError("an authoritative restore cannot be said beside options in the writer's own form")
        return text
    options = list(parse_restore_options(text))
    if authoritative and not any(each.is_named(AUTHORITATIVE) for each in options):
        options.insert(0, RestoreOption(AUTHORITATIVE, "All"))
    for each in options:
        if each.needed_schema not in metadata.backup_schema:
            what = "authoritative restore" if each.is_named(AUTHORITATIVE) else f"restore option '{each.name}'"
            raise UnsupportedError(f"writer '{metadata.friendly_name}' knows no {what}")
    return render_restore_options(options)


def give_new_targets(chosen: Sequence[RestoringComponent], targets: Sequence[NewTarget]) -> None:
    """Give each new target to the component that has its file set.

    Raises:
        NotFoundError: no chosen component has such a file set; the message says which there are.
        UnsupportedError: its writer does not support new targets.
    """
    for target in targets:
        wanted = (target.path.rstrip("\\").casefold(), target.filespec.casefold(), target.recursive)
        owners = [
            each
            for each in chosen
            for member in each.members
            for spec in member.files
            if (spec.path.rstrip("\\").casefold(), spec.filespec.casefold(), spec.recursive) == wanted
        ]
        if not owners:
            specs = [spec for each in chosen for member in each.members for spec in member.files]
            known = ", ".join(f"{spec.path.rstrip(chr(92))}\\{spec.filespec}" for spec in specs) or "none"
            raise NotFoundError(
                f"no chosen component has the file set '{target.path}' '{target.filespec}' for its new target: found {known}"
            )
        for each in owners:
            if not each.metadata.backup_schema & BackupSchema.WRITER_SUPPORTS_NEW_TARGET:
                raise UnsupportedError(f"writer '{each.metadata.friendly_name}' does not support new targets")
            each.new_targets += (target,)


def dependency_warnings(chosen: Sequence[RestoringComponent]) -> list[str]:
    """Return one sentence per component that is restored without one it depends on ("must be restored together")."""
    restored = {(each.metadata.writer_id, member.full_path.casefold()) for each in chosen for member in each.members}
    warnings: dict[str, None] = {}
    for each in chosen:
        for member in each.members:
            for dependency in member.dependencies:
                path = "\\".join(filter(None, (dependency.logical_path, dependency.component_name)))
                if not path.startswith("\\\\") and (dependency.writer_id, path.casefold()) not in restored:
                    text = f"component '{member.full_path}' of writer '{each.metadata.friendly_name}' is restored without"
                    warnings[f"{text} '{path}' of writer {dependency.writer_id}, which it depends on"] = None
    return list(warnings)
