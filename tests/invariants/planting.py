"""A planted bug: one small change of a machine's code, made for one run by a test, and the invariant that has to notice it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.invariants.kit import Plant, Script, play
from vss.simulation.invariants import Evidence

Run = Callable[[Plant | None], Evidence]


@dataclass(frozen=True)
class Planted:
    """One bug.

    Attributes:
        invariant_id: the invariant that has to be reported.
        what: the bug in words, for the table in the documentation.
        plant: puts it in; taken out again after the run.
        script: what the machine does, or a whole run of its own (``run``).
        options: how the machine is made; the run without the bug is made the same way and must be good.
    """

    invariant_id: str
    what: str
    plant: Plant
    script: Script | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    run: Run | None = None

    def evidence(self, *, with_bug: bool) -> Evidence:
        """Run with the bug, or without; bugs of the same run share the one without."""
        if not with_bug:
            key = (self.run or self.script, repr(sorted(self.options.items())))
            if key not in _GOOD:
                _GOOD[key] = self._run(None)
            return _GOOD[key]
        return self._run(self.plant)

    def _run(self, plant: Plant | None) -> Evidence:
        if self.run is not None:
            return self.run(plant)
        assert self.script is not None, "a bug needs something to happen"
        return play(self.script, plant, **self.options)


_GOOD: dict[object, Evidence] = {}
"""Runs without a bug that were made already."""


def replacing(owner: object, name: str, value: object) -> Plant:
    """A bug that is one attribute of a class or module put in the place of another."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, name, value)

    return plant


def wrapping(owner: Any, name: str, make: Callable[[Any], Any]) -> Plant:
    """A bug that is built around the real function: ``make`` is handed the original and returns what takes its place."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, name, make(getattr(owner, name)))

    return plant


def both(*plants: Plant) -> Plant:
    """A bug that takes several changes."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        for each in plants:
            each(patch)

    return plant


async def do_nothing(*_: object, **__: object) -> None:
    """Leave something out that is awaited."""


def nothing(*_: object, **__: object) -> None:
    """Leave something out."""
