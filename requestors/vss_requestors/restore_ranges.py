"""Restoring by ranges: what a partial file covers, and what a writer's directed targets make of the files of a set. Pure.

A directed target takes ranges of one file of the set to ranges of the same number and sizes in another file, or in itself. The
file it names is not restored as a whole. Source: VSS documentation, "Working with directed targets",
"IVssComponent::AddDirectedTarget".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vss.documents import DirectedTarget
from vss.documents.ranges import ByteRange, parse_ranges, within
from vss.errors import InvalidArgumentError, RestoreRefusedError
from vss_requestors.repository.records import ManifestFile

_FOREVER = 1 << 64


@dataclass(frozen=True, slots=True)
class Piece:
    """``length`` bytes of a file of the set, from ``source_offset`` (as on the machine) to ``offset``."""

    entry: ManifestFile
    source_offset: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class DirectedImages:
    """What directed targets make: pieces by destination, and the sources that are not restored as they are."""

    by_destination: Mapping[str, tuple[Piece, ...]]
    sources: frozenset[str]


def straight_pieces(entry: ManifestFile) -> tuple[Piece, ...]:
    """Return everything the set has of a file, each byte where it was."""
    return tuple(Piece(entry, each.offset, each.offset, each.length) for each in entry.byte_ranges)


def direct(entries: Sequence[ManifestFile], targets: Sequence[DirectedTarget], component: str) -> DirectedImages:
    """Return what ``targets`` make of ``entries``; ``component`` is for messages.

    Raises:
        RestoreRefusedError: a target names a file that the set does not have, or ranges that do not belong together.
    """
    by_path = {entry.machine_path.casefold(): entry for entry in entries}
    images: dict[str, tuple[str, list[Piece]]] = {}
    sources: list[str] = []
    for target in targets:
        source = _path(target.source_path, target.source_filename)
        entry = by_path.get(source.casefold())
        if entry is None:
            raise RestoreRefusedError(f"component '{component}' directs '{source}', which is not in the set")
        sources.append(source.casefold())
        destination = _path(target.destination_path, target.destination_filename)
        _, pieces = images.setdefault(destination.casefold(), (destination, []))
        pieces.extend(_pieces(entry, target, component))
    return DirectedImages({path: tuple(pieces) for path, pieces in images.values()}, frozenset(sources))


def _pieces(entry: ManifestFile, target: DirectedTarget, component: str) -> list[Piece]:
    try:
        sources, destinations = parse_ranges(target.source_ranges), parse_ranges(target.destination_ranges)
    except InvalidArgumentError as error:
        raise RestoreRefusedError(f"component '{component}' directs '{entry.machine_path}': {error.message}") from error
    if [each.length for each in sources] != [each.length for each in destinations]:
        raise RestoreRefusedError(
            f"component '{component}' directs '{entry.machine_path}' from {target.source_ranges} "
            f"to {target.destination_ranges}, expected as many ranges of the same sizes"
        )
    if sum(each.length for each in within(destinations, _FOREVER)) != sum(each.length for each in destinations):
        raise RestoreRefusedError(
            f"component '{component}' directs '{entry.machine_path}' to ranges that overlap: {target.destination_ranges}"
        )
    for each in sources:
        if not _covers(entry.byte_ranges, each):
            raise RestoreRefusedError(
                f"component '{component}' directs {each.offset}:{each.length} of '{entry.machine_path}', "
                "which the set does not have"
            )
    return [
        Piece(entry, source.offset, destination.offset, source.length)
        for source, destination in zip(sources, destinations, strict=True)
    ]


def _covers(ranges: Sequence[ByteRange], wanted: ByteRange) -> bool:
    return any(each.offset <= wanted.offset and wanted.end <= each.end for each in ranges)


def _path(directory: str, name: str) -> str:
    return f"{directory.rstrip(chr(92))}\\{name}"
