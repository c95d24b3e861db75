"""The rows of the generated pages, from the two tables beside this module (their first lines say how to read them)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

Row = tuple[str, str, str]
"""Concept, module and name (or a dash), test (or why not)."""

_HERE = Path(__file__).parent


def _groups() -> Iterator[tuple[str, list[Row]]]:
    for block in (_HERE / "concepts.txt").read_text("utf-8").split("\n## ")[1:]:
        title, *lines = block.strip().splitlines()
        yield title, [_row(line) for line in lines]


def _row(line: str) -> Row:
    concept, place, shown = (part.strip() for part in line.split(" | "))
    return concept, place, shown


_CODES, _, _ABSENT = (_HERE / "codes.txt").read_text("utf-8").partition("---\n")

GROUPS: list[tuple[str, list[Row]]] = list(_groups())

CODES: dict[str, str] = dict(line.split(" | ") for line in _CODES.splitlines() if " | " in line)
"""Code → the test that produces it."""

ABSENT_CODES: dict[str, str] = dict(line.split(" = ") for line in _ABSENT.splitlines())
"""Pattern of codes → why nothing here produces them."""
