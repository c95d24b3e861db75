"""The examples in providers/README.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "providers" / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_runs(number: int) -> None:
    exec(compile(BLOCKS[number], f"{README}:block {number}", "exec"), {"__name__": f"readme_{number}"})


def test_every_file_that_the_table_names_exists() -> None:
    named = re.findall(r"`((?:vss_providers|tests)/[\w/.]+)`", README.read_text(encoding="utf-8"))

    assert named
    for each in named:
        assert (README.parent / each).exists() or (README.parents[1] / each).exists(), each
