"""Looking things up in the documents."""

from __future__ import annotations

from vss.documents import (
    BackupComponents,
    Component,
    ComponentType,
    SelectedComponent,
    SourceType,
    UsageType,
    WriterComponents,
    WriterMetadata,
)
from vss.ids import Guid

ONE, TWO = Guid(int=1), Guid(int=2)


def test_a_component_is_found_by_full_path_without_case() -> None:
    component = Component(ComponentType.FILE_GROUP, "Store", "Server\\One")
    metadata = WriterMetadata(ONE, ONE, "Demo", UsageType.OTHER, SourceType.OTHER, components=(component,))
    assert metadata.component("server\\one\\STORE") is component
    assert metadata.component("Store") is None


def test_a_writers_part_is_found_by_instance() -> None:
    part = WriterComponents(ONE, TWO)
    document = BackupComponents(writers=(part,))
    assert document.writer(TWO) is part
    assert document.writer(ONE) is None


def test_full_path_is_path_and_name() -> None:
    assert SelectedComponent(ComponentType.DATABASE, "db", "p\\q").full_path == "p\\q\\db"
    assert SelectedComponent(ComponentType.DATABASE, "db").full_path == "db"
