"""Dependencies between components of different writers."""

from __future__ import annotations

import pytest

from vss.documents import Component, ComponentDependency, ComponentType, SourceType, UsageType, WriterMetadata
from vss.documents.dependencies import (
    ComponentKey,
    dependency_graph,
    dependency_order,
    missing_dependencies,
    with_dependencies,
)
from vss.errors import InvalidArgumentError, NotFoundError
from vss.ids import Guid

A, B, C = (Guid(int=number) for number in (1, 2, 3))


def writer(writer_id: Guid, *components: tuple[str, list[tuple[Guid, str, str]]]) -> WriterMetadata:
    declared = tuple(
        Component(
            ComponentType.FILE_GROUP, name, dependencies=tuple(ComponentDependency(*dependency) for dependency in dependencies)
        )
        for name, dependencies in components
    )
    return WriterMetadata(writer_id, writer_id, str(writer_id), UsageType.OTHER, SourceType.OTHER, components=declared)


def key(writer_id: Guid, name: str) -> ComponentKey:
    return ComponentKey.of(writer_id, name)


CHAIN = [
    writer(A, ("Portal", [(B, "", "store"), (C, "", "Web")])),
    writer(B, ("Store", []), ("Other", [])),
    writer(C, ("Web", [(B, "", "Store")])),
]


def test_the_graph_has_every_component_and_an_edge_per_dependency() -> None:
    graph = dependency_graph(CHAIN)
    assert list(graph) == [key(A, "portal"), key(B, "store"), key(B, "other"), key(C, "web")]
    assert list(graph.edges) == [
        (key(A, "portal"), key(B, "store")),
        (key(A, "portal"), key(C, "web")),
        (key(C, "web"), key(B, "store")),
    ]


def test_what_is_depended_on_comes_first() -> None:
    selected = [key(A, "Portal"), key(C, "Web"), key(B, "Other"), key(B, "Store")]
    assert dependency_order(CHAIN, selected) == (key(B, "store"), key(B, "other"), key(C, "web"), key(A, "portal"))


def test_selecting_one_component_pulls_in_what_it_depends_on() -> None:
    assert with_dependencies(CHAIN, [key(C, "Web")]) == (key(B, "store"), key(C, "web"))


def test_a_dependency_that_nobody_declares_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"1:one' depends on '0{8}.*2:p\\two', which no writer declares"):
        dependency_graph([writer(A, ("one", [(B, "p", "two")]))])


def test_what_is_missing_may_be_allowed_and_is_listed() -> None:
    writers = [writer(A, ("one", [(B, "p", "two"), (C, "", "web"), (B, "\\\\host\\p", "far")])), CHAIN[2], CHAIN[1]]
    assert missing_dependencies(writers) == ((key(A, "one"), key(B, "p\\two")),)
    assert with_dependencies(writers, [key(A, "one")], allow_missing=True) == (key(A, "one"), key(C, "web"), key(B, "store"))
    with pytest.raises(NotFoundError):
        with_dependencies(writers, [key(A, "one")])


def test_a_dependency_that_is_not_selected_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"3:web' depends on '.*2:store', which is not selected"):
        dependency_order(CHAIN, [key(C, "Web")])


def test_an_undeclared_selection_is_named() -> None:
    with pytest.raises(NotFoundError, match="1:none' is declared by no writer"):
        with_dependencies(CHAIN, [key(A, "none")])


def test_an_undeclared_selection_does_not_take_part_in_the_order() -> None:
    assert dependency_order(CHAIN, [key(A, "none"), key(B, "Store")]) == (key(B, "store"),)


def test_a_circle_is_named_in_order() -> None:
    circle = [
        writer(A, ("one", [(B, "", "two")])),
        writer(B, ("two", [(C, "", "three")])),
        writer(C, ("three", [(A, "", "one")])),
    ]
    with pytest.raises(InvalidArgumentError, match=r"in a circle: \S*1:one → \S*2:two → \S*3:three → \S*1:one$"):
        dependency_order(circle, [key(C, "three"), key(B, "two"), key(A, "one")])
    assert len(with_dependencies(circle, [key(B, "two")])) == 3


@pytest.mark.parametrize(("path", "name"), [("\\\\server\\p", "x"), ("", "\\\\server\\x")])
def test_dependencies_on_other_computers_are_left_out(path: str, name: str) -> None:
    assert list(dependency_graph([writer(A, ("one", [(B, path, name)]))]).edges) == []
