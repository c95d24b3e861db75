"""Changes of the backup components document, as pure functions: old document in, new document out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from vss.documents import BackupComponents, ComponentType, SelectedComponent, WriterComponents
from vss.errors import AlreadyExistsError, NotFoundError
from vss.ids import Guid


@dataclass(frozen=True, slots=True)
class ComponentKey:
    """A component's identity in the document. Logical path and name compare without case."""

    writer_id: Guid
    type: ComponentType
    logical_path: str
    component_name: str

    def matches(self, component: SelectedComponent) -> bool:
        """Whether ``component`` is the one meant."""
        return (
            component.type == self.type
            and component.component_name.lower() == self.component_name.lower()
            and component.logical_path.lower() == self.logical_path.lower()
        )

    def __str__(self) -> str:
        """Logical path and name."""
        return f"{self.logical_path}\\{self.component_name}" if self.logical_path else self.component_name


def add_components(document: BackupComponents, writer: WriterComponents) -> BackupComponents:
    """Add the components of ``writer`` to those that the document has of this instance.

    Raises:
        AlreadyExistsError: the document has one of them already.
    """
    existing = document.writer(writer.instance_id)
    if existing is None:
        return replace(document, writers=(*document.writers, writer))
    for component in writer.components:
        key = ComponentKey(writer.writer_id, component.type, component.logical_path, component.component_name)
        if any(key.matches(each) for each in existing.components):
            raise AlreadyExistsError(f"component '{component.full_path}' of writer {writer.writer_id} was added already")
    return replace_writer(document, replace(existing, components=(*existing.components, *writer.components)))


def replace_writer(document: BackupComponents, writer: WriterComponents) -> BackupComponents:
    """Put ``writer`` in the place of the part with the same instance id."""
    return replace(
        document,
        writers=tuple(writer if each.instance_id == writer.instance_id else each for each in document.writers),
    )


def rebind_writer(document: BackupComponents, writer_id: Guid, instance_name: str, instance_id: Guid) -> BackupComponents:
    """Give the parts of a stored document to the running instance: same writer class, same instance name."""
    return replace(
        document,
        writers=tuple(
            replace(each, instance_id=instance_id)
            if each.writer_id == writer_id and each.instance_name == instance_name
            else each
            for each in document.writers
        ),
    )


def change_component(
    document: BackupComponents, key: ComponentKey, instance_id: Guid | None = None, **changes: Any
) -> BackupComponents:
    """Change fields of one component, in every instance of the writer or only in ``instance_id``.

    Raises:
        NotFoundError: the document has no such component.
    """
    found = False
    writers: list[WriterComponents] = []
    for writer in document.writers:
        if writer.writer_id != key.writer_id or (instance_id is not None and writer.instance_id != instance_id):
            writers.append(writer)
            continue
        found = found or any(key.matches(each) for each in writer.components)
        components = tuple(replace(each, **changes) if key.matches(each) else each for each in writer.components)
        writers.append(replace(writer, components=components))
    if not found:
        raise NotFoundError(f"component '{key}' of writer {key.writer_id} is not in the backup components document")
    return replace(document, writers=tuple(writers))


def move_component(document: BackupComponents, key: ComponentKey, target: WriterComponents) -> BackupComponents:
    """Give a component to another instance of its writer; ``target`` is that instance's part, without components.

    Raises:
        NotFoundError: the document has no such component.
        AlreadyExistsError: the other instance has a component of this name.
    """
    component = find_component(document, key)
    left = replace(
        document,
        writers=tuple(
            replace(each, components=tuple(one for one in each.components if one is not component)) for each in document.writers
        ),
    )
    return add_components(left, replace(target, components=(component,)))


def find_component(document: BackupComponents, key: ComponentKey) -> SelectedComponent:
    """Return the component.

    Raises:
        NotFoundError: the document has no such component.
    """
    for writer in document.writers:
        if writer.writer_id == key.writer_id:
            for component in writer.components:
                if key.matches(component):
                    return component
    raise NotFoundError(f"component '{key}' of writer {key.writer_id} is not in the backup components document")
