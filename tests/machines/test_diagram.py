"""The generated diagrams are what the tables say, and the file in the documentation is up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vss.machines import diagram

STATES = Path(__file__).parents[2] / "docs" / "states.md"


def test_the_documentation_holds_the_generated_diagrams() -> None:
    assert STATES.read_text(encoding="utf-8") == diagram.document(), "run python -m vss.machines.diagram > docs/states.md"


def test_the_module_prints_the_document() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "vss.machines.diagram"], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert printed.stdout == diagram.document()


def test_parallel_edges_share_an_arrow_and_loops_are_left_out() -> None:
    edges = [("A", "go", "B"), ("A", "stay", "A"), ("A", "run", "B"), ("B", "stop", "C")]
    assert diagram.mermaid(edges, "A", ["C"]) == (
        "stateDiagram-v2\n    [*] --> A\n    A --> B: go, run\n    B --> C: stop\n    C --> [*]\n"
    )


def test_every_change_of_state_but_release_is_drawn() -> None:
    lines = diagram.document().splitlines()
    for edges in (diagram.writer_edges(), diagram.provider_edges(), diagram.session_edges()):
        for before, label, after in edges:
            if before != after and label != "Release":
                assert any(line.startswith(f"    {before} --> {after}: ") and label in line for line in lines)
