"""Environment variables in the paths that writers declare: expanded per machine, never in the documents themselves.

``%NAME%`` in a directory stands for the machine's value; names compare without case. A writer metadata document is kept as its
writer made it; only whoever looks for files expands it. A variable that the machine does not have is an error that names it: a
path with the name left in it would mean no file at all. Source: VSS documentation, "IVssWMFiledesc::GetPath".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vss.documents.machine_paths import VARIABLE, expand_variables
from vss.documents.model import (
    AlternateLocationMapping,
    Component,
    DifferencedFile,
    FileSpec,
    PartialFile,
    SelectedComponent,
    WriterMetadata,
)
from vss.errors import UnknownVariableError

Environment = Mapping[str, str]


def expanded(path: str, environment: Environment) -> str:
    """Return ``path`` with its variables expanded.

    Raises:
        UnknownVariableError: the machine has no such variable.
    """
    if "%" not in path:
        return path
    text = expand_variables(path, environment)
    unknown = VARIABLE.search(text)
    if unknown is not None:
        known = ", ".join(sorted(environment)) or "none"
        raise UnknownVariableError(
            f"path '{path}': environment variable '{unknown[1]}' is not defined on this machine, found {known}",
            variable=unknown[1],
        )
    return text


def expanded_metadata(metadata: WriterMetadata, environment: Environment) -> WriterMetadata:
    """Return ``metadata`` with the variables of all its paths expanded; itself where there are none.

    Raises:
        UnknownVariableError: names the writer, and the component where the path is one of its.
    """
    try:
        method = metadata.restore_method
        changed = replace(
            metadata,
            components=tuple(_component(each, environment) for each in metadata.components),
            excluded=tuple(replace(each, path=expanded(each.path, environment)) for each in metadata.excluded),
            restore_method=None
            if method is None
            else replace(method, mappings=tuple(_mapping(each, environment) for each in method.mappings)),
        )
    except UnknownVariableError as error:
        raise UnknownVariableError(f"writer '{metadata.friendly_name}': {error.message}", variable=error.variable) from error
    return metadata if changed == metadata else changed


def _component(component: Component, environment: Environment) -> Component:
    try:
        return replace(component, files=tuple(_file_spec(each, environment) for each in component.files))
    except UnknownVariableError as error:
        raise UnknownVariableError(f"component '{component.full_path}': {error.message}", variable=error.variable) from error


def _file_spec(spec: FileSpec, environment: Environment) -> FileSpec:
    place = expanded(spec.alternate_location, environment)
    return replace(spec, path=expanded(spec.path, environment), alternate_location=place)


def _mapping(mapping: AlternateLocationMapping, environment: Environment) -> AlternateLocationMapping:
    return replace(mapping, path=expanded(mapping.path, environment), destination=expanded(mapping.destination, environment))


def expanded_selection(component: SelectedComponent, environment: Environment) -> SelectedComponent:
    """Return ``component`` with the paths expanded that its writer added in the backup.

    Raises:
        UnknownVariableError: as ``expanded``.
    """
    return replace(
        component,
        partial_files=tuple(_partial(each, environment) for each in component.partial_files),
        differenced_files=tuple(_differenced(each, environment) for each in component.differenced_files),
    )


def _partial(file: PartialFile, environment: Environment) -> PartialFile:
    return replace(file, path=expanded(file.path, environment))


def _differenced(files: DifferencedFile, environment: Environment) -> DifferencedFile:
    return replace(files, path=expanded(files.path, environment))
