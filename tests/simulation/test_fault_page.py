"""The page about faults is current, and what it shows works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vss.simulation import FAULT_SITES, parse_fault
from vss.simulation.fault_page import page
from vss.simulation.fault_words import EFFECT_WORDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


def test_the_page_is_what_the_tables_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m vss.simulation.fault_page > docs/faults.md"


def test_every_site_and_every_effect_has_its_row() -> None:
    text = page()
    assert all(f"| `{site.name}` |" in text for site in FAULT_SITES)
    assert all(f"| `{word}` |" in text for word in EFFECT_WORDS)


@pytest.mark.parametrize("line", re.findall(r"^    (fault [^<\n]+)$", page(), re.MULTILINE))
def test_the_lines_it_shows_are_faults(line: str) -> None:
    assert str(parse_fault(line)) == line


@pytest.mark.parametrize("source", re.findall(r"```python\n(.*?)```", page(), re.DOTALL))
def test_the_examples_run(source: str) -> None:
    exec(compile(source, str(PAGE), "exec"), {"__name__": "example"})
