"""What tests of scenarios share: a run from a text, a bug planted for it, the invariants that it broke."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.invariants.planted import ALL
from vss.plugins import load
from vss.plugins.registry import Registry
from vss.scenarios import Outcome, parse_scenario, run_scenario


@cache
def registry() -> Registry:
    """What is installed, looked up once."""
    return load().registry


def run(text: str, **options: Any) -> Outcome:
    """Run the scenario that ``text`` is."""
    return run_scenario(parse_scenario(text), registry(), **options)


def plant(invariant: str, bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a bug into the code, one of those that the invariants themselves are tried with."""
    next(each for each in ALL if (each.invariant_id, each.what) == (invariant, bug)).plant(monkeypatch)


def broken(outcome: Outcome) -> list[str]:
    """The invariants that were broken, each once."""
    return list(dict.fromkeys(each.name for each in outcome.shortfalls if each.kind == "invariant"))
