"""The README tells the truth: its generated parts are current, its examples run, its files exist (the last: test_tidy)."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
REFRESH = runpy.run_path(str(ROOT / "docs" / "refresh.py"))


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("block", python_blocks(), ids=["writer", "provider"])
def test_an_example_runs_as_it_stands(block: str) -> None:
    exec(compile(block, str(README), "exec"), {"__name__": "readme"})


def test_the_state_diagram_is_the_table() -> None:
    assert f"```mermaid\n{REFRESH['writer_diagram']()}```" in README.read_text("utf-8")


@pytest.mark.slow
def test_the_demo_prints_what_the_readme_shows() -> None:
    assert f"```text\n{REFRESH['demo_excerpt']()}```" in README.read_text("utf-8"), "run python docs/refresh.py"


def test_the_two_commands_set_everything_up_themselves() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README.read_text("utf-8"), flags=re.MULTILINE)

    assert len(commands) == 2
    assert all("pip install" in each for each in commands)
    assert "vss demo" in commands[0]
    assert "pytest" in commands[1]
