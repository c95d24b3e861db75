"""The generated diagrams are what the tables say, and the file in the documentation is up to date."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from vss.machines import diagram

STATES = Path(__file__).parents[2] / "docs" / "states.md"


def test_the_documentation_holds_the_generated_diagrams() -> None:
    assert STATES.read_text(encoding="utf-8") == diagram.document(), "run python -m vss.machines.diagram > docs/states.md"


@pytest.mark.filterwarnings("ignore:.*found in sys.modules.*:RuntimeWarning")
def test_the_module_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("vss.machines.diagram", run_name="__main__")
    assert capsys.readouterr().out == diagram.document()


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
