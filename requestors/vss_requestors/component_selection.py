"""From the names a person gave to the component sets of a backup. The rules of selection are ``vss.documents.selection``.

Kept here: a name may leave the writer open and may name it by friendly name, class id, instance id or instance name; wanted
components take what they depend on with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vss.documents import WriterMetadata
from vss.documents.selection import ComponentSet, find_component, select_for_backup
from vss.documents.selection_file import WriterSelection
from vss.errors import ConfigurationError, InvalidArgumentError, NotFoundError
from vss.plugins.registry import nearest_names


@dataclass(frozen=True, slots=True)
class ComponentName:
    """A component as a person names it: the writer by id or name ("" for any), the component by name or full path."""

    writer: str
    component: str

    @classmethod
    def parse(cls, text: str) -> ComponentName:
        """Read ``writer:component`` or ``component``; ``ConfigurationError`` where a part is empty."""
        writer, colon, component = text.rpartition(":")
        if not component or (colon and not writer):
            raise ConfigurationError(f"component {text!r} must be 'writer:component' or 'component'")
        return cls(writer, component)


def names_of(selections: Iterable[WriterSelection]) -> list[ComponentName]:
    """Return what a selection file chose."""
    return [ComponentName(str(each.writer_id), component) for each in selections for component in each.components]


@dataclass(frozen=True, slots=True)
class ChosenWriter:
    """One writer with what is included of it; never empty."""

    metadata: WriterMetadata
    sets: tuple[ComponentSet, ...]


def choose_components(writers: Sequence[WriterMetadata], wanted: Sequence[ComponentName]) -> list[ChosenWriter]:
    """Return what a backup includes: everything where nothing is ``wanted``, else the wanted and what belongs to them.

    Raises:
        NotFoundError: no writer or component has a wanted name; the hint names the nearest.
        InvalidArgumentError: a wanted component cannot be had without its ancestor, or a name fits several components.
    """
    names: list[list[str] | None] = [None] * len(writers)
    if wanted:
        found = [find_named(writers, name) for name in wanted]
        names = [[path for number, path in found if number == each] for each in range(len(writers))]
        _add_dependencies(writers, names)
    chosen = [ChosenWriter(writer, select_for_backup(writer, each)) for writer, each in zip(writers, names, strict=True)]
    return [each for each in chosen if each.sets]


def find_named(writers: Sequence[WriterMetadata], name: ComponentName) -> tuple[int, str]:
    """Return the number of the writer and the full path of the component that ``name`` means; raises as above."""
    numbers = [number for number, writer in enumerate(writers) if not name.writer or _is_named(writer, name.writer)]
    if not numbers:
        known = [writer.friendly_name for writer in writers]
        raise NotFoundError(f"no writer '{name.writer}' on this machine", hint=_hint(name.writer, known))
    found = [(number, path) for number in numbers if (path := _path_in(writers[number], name.component)) is not None]
    if not found:
        known = [each.full_path for number in numbers for each in writers[number].components]
        of_writer = f" of writer '{name.writer}'" if name.writer else ""
        raise NotFoundError(f"no component '{name.component}'{of_writer}", hint=_hint(name.component, known))
    if len(found) > 1:
        places = ", ".join(f"{writers[number].friendly_name}:{path}" for number, path in found)
        raise InvalidArgumentError(f"component '{name.component}' may be {places}", hint="name the writer too")
    return found[0]


def _path_in(writer: WriterMetadata, name: str) -> str | None:
    try:
        return find_component(writer, name).full_path
    except NotFoundError:
        return None


def _is_named(writer: WriterMetadata, name: str) -> bool:
    names = (writer.friendly_name, str(writer.writer_id), str(writer.instance_id), writer.instance_name)
    return name.strip("{}").casefold() in [each.casefold() for each in names if each]


def _hint(name: str, known: Sequence[str]) -> str:
    nearest = nearest_names(name, known)
    if nearest:
        return "did you mean " + " or ".join(f"'{each}'" for each in nearest) + "?"
    return "known: " + ", ".join(known) if known else "there is none at all"


def missing_dependency_warnings(writers: Sequence[WriterMetadata], chosen: Sequence[ChosenWriter]) -> list[str]:
    """Return one sentence per included component that depends on one that no writer of the machine declares."""
    if not any(component.dependencies for writer in writers for component in writer.components):
        return []
    from vss.documents.dependencies import ComponentKey, missing_dependencies

    included = {
        ComponentKey.of(writer.metadata.writer_id, member.full_path): (writer.metadata.friendly_name, member.full_path)
        for writer in chosen
        for each in writer.sets
        for member in each.members
    }
    warnings: list[str] = []
    for key, missing in missing_dependencies(writers):
        if key in included:
            name, path = included[key]
            warnings.append(
                f"component '{path}' of writer '{name}' depends on '{missing.full_path}' of writer {missing.writer_id}, "
                "which no writer here declares"
            )
    return warnings


def _add_dependencies(writers: Sequence[WriterMetadata], names: list[list[str] | None]) -> None:
    if not any(component.dependencies for writer in writers for component in writer.components):
        return  # spares the graph library, which takes long to import
    from vss.documents.dependencies import ComponentKey, with_dependencies

    pairs = list(zip(writers, names, strict=True))
    selected = [ComponentKey.of(writer.writer_id, path) for writer, paths in pairs for path in paths or ()]
    for key in with_dependencies(writers, selected, allow_missing=True):
        if key not in selected:
            for writer, paths in pairs:  # of several instances of a class those that have it
                if writer.writer_id == key.writer_id and paths is not None and writer.component(key.full_path) is not None:
                    paths.append(key.full_path)
