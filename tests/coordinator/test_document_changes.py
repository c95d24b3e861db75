"""Changes of the backup components document as pure functions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vss.coordinator.components_editor import ComponentKey, add_components, change_component, find_component
from vss.documents import BackupComponents, ComponentType, SelectedComponent, WriterComponents
from vss.errors import AlreadyExistsError, NotFoundError
from vss.testing.stubs import stub_guid

WRITER, INSTANCE = stub_guid("writer"), stub_guid("instance")


def part(*names: str, instance: str = "instance") -> WriterComponents:
    components = tuple(SelectedComponent(ComponentType.DATABASE, name) for name in names)
    return WriterComponents(WRITER, stub_guid(instance), components=components)


def key(name: str, path: str = "") -> ComponentKey:
    return ComponentKey(WRITER, ComponentType.DATABASE, path, name)


def test_components_of_one_instance_are_collected_in_its_part() -> None:
    document = add_components(add_components(BackupComponents(), part("one")), part("two"))

    assert document.writers == (part("one", "two"),)


def test_a_component_is_there_once_whatever_the_case_of_its_name() -> None:
    document = add_components(BackupComponents(), part("one"))

    with pytest.raises(AlreadyExistsError, match="component 'ONE'"):
        add_components(document, part("two", "ONE"))


def test_a_change_meets_one_instance_or_all_of_the_class() -> None:
    document = add_components(add_components(BackupComponents(), part("one")), part("one", instance="other"))

    of_one = change_component(document, key("One"), INSTANCE, backup_options="x")
    of_all = change_component(document, key("one"), backup_options="y")

    assert [writer.components[0].backup_options for writer in of_one.writers] == ["x", ""]
    assert [writer.components[0].backup_options for writer in of_all.writers] == ["y", "y"]


def test_a_component_is_found_behind_others_or_named_as_missing() -> None:
    document = add_components(BackupComponents(), replace(part("three", instance="foreign"), writer_id=stub_guid("foreign")))
    document = add_components(add_components(document, part("one", "two")), part("three", instance="other"))

    assert find_component(document, key("three")).component_name == "three"
    with pytest.raises(NotFoundError, match=r"component 'path\\two'"):
        find_component(document, key("two", "path"))
