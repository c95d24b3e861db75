"""Components that must be backed up and restored together, across writers, as a graph.

The vendor implies no order by a dependency ("IVssCreateWriterMetadata::AddComponentDependency"); ``dependency_order`` is for
requestors that bring things back one after the other. Dependencies on other computers (``\\\\name\\`` before the path) are left
to people. networkx is imported where it is used: most commands need no graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vss.documents.model import Component, ComponentDependency, WriterMetadata
from vss.errors import InvalidArgumentError, NotFoundError
from vss.ids import Guid

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class ComponentKey:
    """A component's identity on one machine; the path is kept in lower case, so keys compare without case."""

    writer_id: Guid
    full_path: str

    @classmethod
    def of(cls, writer_id: Guid, full_path: str) -> ComponentKey:
        """Return the key of this component."""
        return cls(writer_id, full_path.lower())

    def __str__(self) -> str:
        """Writer id and path, for messages."""
        return f"{self.writer_id}:{self.full_path}"


def _is_remote(dependency: ComponentDependency) -> bool:
    # One page of the vendor puts the computer's name into the logical path, another looks for it in the component name.
    return dependency.logical_path.startswith("\\\\") or dependency.component_name.startswith("\\\\")


def _target(dependency: ComponentDependency) -> ComponentKey:
    path = dependency.component_name
    return ComponentKey.of(dependency.writer_id, f"{dependency.logical_path}\\{path}" if dependency.logical_path else path)


def _declared(writers: Iterable[WriterMetadata]) -> dict[ComponentKey, Component]:
    return {ComponentKey.of(writer.writer_id, each.full_path): each for writer in writers for each in writer.components}


def missing_dependencies(writers: Sequence[WriterMetadata]) -> tuple[tuple[ComponentKey, ComponentKey], ...]:
    """Return every component that depends on one that no writer declares, with that one, in declared order."""
    declared = _declared(writers)
    return tuple(
        (key, _target(dependency))
        for key, component in declared.items()
        for dependency in component.dependencies
        if not _is_remote(dependency) and _target(dependency) not in declared
    )


def dependency_graph(writers: Sequence[WriterMetadata], *, allow_missing: bool = False) -> nx.DiGraph[ComponentKey]:
    """Return the graph of all components, an edge from each to those it depends on.

    Raises:
        NotFoundError: a component depends on one that no writer declares; names both. With ``allow_missing`` such a dependency
            is left out instead.
    """
    import networkx as nx

    declared = _declared(writers)
    graph: nx.DiGraph[ComponentKey] = nx.DiGraph()
    graph.add_nodes_from(declared)
    for key, component in declared.items():
        for dependency in component.dependencies:
            if _is_remote(dependency):
                continue
            target = _target(dependency)
            if target not in declared and allow_missing:
                continue
            if target not in declared:
                raise NotFoundError(f"component '{key}' depends on '{target}', which no writer declares")
            graph.add_edge(key, target)
    return graph


def with_dependencies(
    writers: Sequence[WriterMetadata], selected: Iterable[ComponentKey], *, allow_missing: bool = False
) -> tuple[ComponentKey, ...]:
    """Return ``selected`` and everything it depends on, in declared order.

    Raises:
        NotFoundError: a selected component is not declared, or (without ``allow_missing``) one that any component depends on.
    """
    import networkx as nx

    graph = dependency_graph(writers, allow_missing=allow_missing)
    needed: set[ComponentKey] = set()
    for key in selected:
        if key not in graph:
            raise NotFoundError(f"component '{key}' is declared by no writer")
        needed |= {key} | nx.descendants(graph, key)
    return tuple(key for key in graph if key in needed)


def dependency_order(writers: Sequence[WriterMetadata], selected: Iterable[ComponentKey]) -> tuple[ComponentKey, ...]:
    """Return ``selected``, each after those it depends on, otherwise in declared order.

    Raises:
        NotFoundError: a component depends on one that is not declared, or not selected; names both.
        InvalidArgumentError: components depend on each other in a circle; names them in order.
    """
    import networkx as nx

    graph = dependency_graph(writers)
    chosen = dict.fromkeys(selected)
    for key in chosen:
        for target in graph.successors(key) if key in graph else ():
            if target not in chosen:
                raise NotFoundError(f"component '{key}' depends on '{target}', which is not selected")
    declared = {key: number for number, key in enumerate(graph)}
    part = nx.DiGraph(graph.subgraph(chosen)).reverse()
    try:
        return tuple(nx.lexicographical_topological_sort(part, key=declared.__getitem__))
    except nx.NetworkXUnfeasible as error:
        circle = [edge[0] for edge in nx.find_cycle(graph.subgraph(chosen))]
        start = circle.index(min(circle, key=declared.__getitem__))
        names = " → ".join(str(key) for key in (*circle[start:], *circle[: start + 1]))
        raise InvalidArgumentError(f"components depend on each other in a circle: {names}") from error
