"""Which components are in a backup or a restore, explicitly or implicitly. Pure functions over the documents.

    not selectable, no selectable ancestor   explicit whenever anything of its writer is backed up
    selectable, no selectable ancestor       explicit when wanted
    not selectable, selectable ancestor      implicit with that ancestor, never without it
    selectable, selectable ancestor          implicit when an ancestor is in, else explicit when wanted

A is an ancestor of B when A's full path, compared without case, is a proper prefix of B's by whole parts; nothing needs to be
declared between the two. An explicit component with its implicit ones is a component set and succeeds or fails as a whole.
Which files a selection means is in ``vss.documents.file_sets``, who depends on whom in ``vss.documents.dependencies``. Sources:
VSS documentation, "Working with selectability for backup", "Working with selectability for restore and subcomponents",
"Logical pathing of components"; where the first and the third disagree about a non-selectable parent, the third is followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vss.documents.model import BackupType, Component, RestoreSubcomponent, WriterComponents, WriterMetadata
from vss.errors import InvalidArgumentError, NotFoundError


@dataclass(frozen=True, slots=True)
class ComponentSet:
    """An explicit component and all its members, itself first."""

    explicit: Component
    members: tuple[Component, ...]


@dataclass(frozen=True, slots=True)
class RestoreChoice:
    """What to select for restore: an explicitly backed-up component, and if not empty only these parts of it."""

    full_path: str
    subcomponents: tuple[RestoreSubcomponent, ...] = ()


def is_ancestor(ancestor: str, descendant: str) -> bool:
    """Whether the full path ``ancestor`` lies above ``descendant`` in the logical tree."""
    return descendant.lower().startswith(ancestor.lower() + "\\")


def selectable_ancestors(metadata: WriterMetadata, component: Component) -> tuple[Component, ...]:
    """Return the selectable components above ``component``, outermost first."""
    above = [each for each in metadata.components if each.selectable and is_ancestor(each.full_path, component.full_path)]
    return tuple(sorted(above, key=lambda each: len(each.full_path)))


def component_set(metadata: WriterMetadata, explicit: Component) -> ComponentSet:
    """Return ``explicit`` with what comes in implicitly; below a non-selectable component that is nothing."""
    implicit = (each for each in metadata.components if explicit.selectable and is_ancestor(explicit.full_path, each.full_path))
    return ComponentSet(explicit, (explicit, *implicit))


def explicit_when_everything_is_chosen(metadata: WriterMetadata) -> tuple[Component, ...]:
    """Return the components to add for a backup of the whole writer, in declared order."""
    return tuple(each for each in metadata.components if not selectable_ancestors(metadata, each))


def find_component(metadata: WriterMetadata, name: str) -> Component:
    """Return the component with this full path or, where only one has it, this name; compared without case.

    Raises:
        NotFoundError: the writer has no such component.
        InvalidArgumentError: several components have the name.
    """
    by_path = metadata.component(name.strip("\\"))
    if by_path is not None:
        return by_path
    found = [each for each in metadata.components if each.component_name.lower() == name.lower()]
    if not found:
        known = ", ".join(each.full_path for each in metadata.components) or "none"
        raise NotFoundError(f"writer '{metadata.friendly_name}' has no component '{name}': it has {known}")
    if len(found) > 1:
        paths = ", ".join(each.full_path for each in found)
        raise InvalidArgumentError(
            f"component '{name}' of writer '{metadata.friendly_name}' may be {paths}: name the full path"
        )
    return found[0]


def select_for_backup(metadata: WriterMetadata, wanted: Iterable[str] | None = None) -> tuple[ComponentSet, ...]:
    """Return the component sets to back up, in declared order: the wanted ones (all when None) and what must come along.

    Nothing wanted, or a writer without components, gives nothing: the writer is out.

    Raises:
        NotFoundError: a wanted name is no component of this writer.
        InvalidArgumentError: a wanted component cannot be had without an ancestor that is not wanted, or is ambiguous.
    """
    if wanted is None:
        explicit: Sequence[Component] = explicit_when_everything_is_chosen(metadata)
    else:
        explicit = _explicit_for(metadata, [find_component(metadata, name) for name in wanted])
    return tuple(component_set(metadata, each) for each in explicit)


def _explicit_for(metadata: WriterMetadata, wanted: Sequence[Component]) -> Sequence[Component]:
    if not wanted:
        return ()
    paths = {each.full_path.lower() for each in wanted}
    explicit = []
    for component in metadata.components:
        above = selectable_ancestors(metadata, component)
        is_wanted = component.full_path.lower() in paths
        comes_with_an_ancestor = any(each.full_path.lower() in paths for each in above)
        if is_wanted and above and not component.selectable and not comes_with_an_ancestor:
            raise InvalidArgumentError(
                f"component '{component.full_path}' of writer '{metadata.friendly_name}' is not selectable:"
                f" it comes with '{above[0].full_path}' only"
            )
        must_come = not component.selectable and not above
        if (is_wanted and not comes_with_an_ancestor) or must_come:
            explicit.append(component)
    return explicit


def select_for_restore(
    metadata: WriterMetadata, backed_up: WriterComponents, wanted: Iterable[str] | None = None
) -> tuple[RestoreChoice, ...]:
    """Return what to select for restore of what was ``backed_up``: all (None), or the wanted components and subcomponents.

    An explicitly backed-up component can always be selected. One that came implicitly can only when it is selectable for
    restore, as a subcomponent of the explicit one above it; then only the named subcomponents are restored.

    Raises:
        NotFoundError: a wanted name is no component of this writer, or it was not backed up.
        InvalidArgumentError: a wanted component came implicitly and is not selectable for restore, or is ambiguous.
    """
    explicit = {each.full_path.lower(): each.full_path for each in backed_up.components}
    if wanted is None:
        return tuple(RestoreChoice(path) for path in explicit.values())
    whole: set[str] = set()
    parts: dict[str, list[RestoreSubcomponent]] = {}
    for name in wanted:
        component = find_component(metadata, name)
        path = component.full_path.lower()
        if path in explicit:
            whole.add(path)
            continue
        parent = next((each for each in explicit if is_ancestor(each, path)), None)
        if parent is None:
            raise NotFoundError(f"component '{component.full_path}' of writer '{metadata.friendly_name}' was not backed up")
        if not component.selectable_for_restore:
            raise InvalidArgumentError(
                f"component '{component.full_path}' of writer '{metadata.friendly_name}' is not selectable for restore:"
                f" it comes with '{explicit[parent]}' only"
            )
        parts.setdefault(parent, []).append(RestoreSubcomponent(component.logical_path, component.component_name))
    return tuple(
        RestoreChoice(full_path, () if path in whole else tuple(parts[path]))
        for path, full_path in explicit.items()
        if path in whole or path in parts
    )


def restore_chain(history: Sequence[BackupType]) -> tuple[int, ...]:
    """Return which backups of ``history`` (oldest first) it takes to restore the last one, in the order to restore them.

    full or copy: itself. Differential: the last full and itself. Incremental and log: the last full and every incremental and
    log backup since. Source: VSS documentation, "VSS_BACKUP_TYPE".

    Raises:
        InvalidArgumentError: the history is empty, or its last backup has no defined type.
        NotFoundError: there is no full backup before the last one.
    """
    if not history:
        raise InvalidArgumentError("no backup to restore: the history is empty")
    last = len(history) - 1
    kind = history[last]
    if kind in (BackupType.FULL, BackupType.COPY):
        return (last,)
    if kind not in (BackupType.DIFFERENTIAL, BackupType.INCREMENTAL, BackupType.LOG):
        raise InvalidArgumentError(f"backup type {kind.name} says nothing about what a restore needs")
    base = next((number for number in range(last, -1, -1) if history[number] is BackupType.FULL), None)
    if base is None:
        raise NotFoundError(f"no full backup before the {kind.name.lower()} backup to restore")
    if kind is BackupType.DIFFERENTIAL:
        return (base, last)
    since = (number for number in range(base + 1, last + 1) if history[number] in (BackupType.INCREMENTAL, BackupType.LOG))
    return (base, *since)
