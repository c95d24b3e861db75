"""The page about the invariants is the one that they make."""

from __future__ import annotations

from tests.invariants.page import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.invariants.page"
