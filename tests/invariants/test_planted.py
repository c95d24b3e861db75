"""Every planted bug is found by its invariant, and the same run without the bug breaks none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.invariants.planted import ALL, store_bugs
from tests.invariants.planting import Planted
from vss.simulation.invariants import INVARIANTS, check, report


def _case(bug: Planted) -> Any:
    """The engine's runs take a second each, the others some 50 ms."""
    marks = [pytest.mark.slow] if bug in store_bugs.BUGS and bug.run is not None else []
    return pytest.param(bug, id=f"{bug.invariant_id}: {bug.what}", marks=marks)


@pytest.mark.parametrize("bug", [_case(bug) for bug in ALL])
def test_the_bug_is_found(bug: Planted) -> None:
    good = bug.evidence(with_bug=False)
    verdict = check(good)
    assert verdict.is_good, report(verdict, good.records)

    bad = bug.evidence(with_bug=True)
    assert bug.invariant_id in check(bad).broken_ids, check(bad).broken_ids


def test_every_invariant_has_a_bug_that_shows_it() -> None:
    assert sorted(set(INVARIANTS) - {bug.invariant_id for bug in ALL}) == []
