"""The generated pages are complete, up to date, and point at things that exist."""

from __future__ import annotations

import re

import pytest

from tests.protocol import pages
from tests.protocol.concepts import ABSENT_CODES, CODES, GROUPS
from vss.coordinator import SnapshotAttributes, SnapshotContext
from vss.coordinator.service_log import ENTRIES
from vss.hresult import HResult
from vss.machines import SessionCall, SnapshotState, WriterEvent, WriterState


def test_every_code_is_shown_or_has_a_reason_and_not_both() -> None:
    for code in HResult:
        reasons = [pattern for pattern in ABSENT_CODES if re.fullmatch(pattern, code.name)]
        assert len(reasons) == (0 if code.name in CODES else 1), code.name


def test_what_the_rows_point_at_exists() -> None:
    assert [each for each in pages.references() if not pages.is_there(each)] == []


@pytest.mark.parametrize("words", [WriterState, WriterEvent, SnapshotState, SnapshotContext, SnapshotAttributes, SessionCall])
def test_every_member_has_a_row(words: type) -> None:
    known = {part for _, rows in GROUPS for concept, _, _ in rows for part in re.split(r"[ ,]+", concept)}
    calls = words in (SessionCall, WriterEvent)
    names = [str(each.value).partition(" ")[0] if calls else each.name for each in words]  # type: ignore[attr-defined]
    assert [name for name in names if name not in known] == []


def test_every_entry_of_the_event_log_is_looked_for_by_a_test() -> None:
    text = "".join(path.read_text("utf-8") for path in sorted((pages.ROOT / "tests" / "protocol").glob("test_*.py")))
    assert [event_id for _, event_id in ENTRIES if not re.search(rf"\b{event_id}\b", text)] == []


def test_the_pages_are_up_to_date() -> None:
    assert pages.PROTOCOL.read_text("utf-8") == pages.protocol_page(), "run python -m tests.protocol.pages"
    assert pages.CONCEPTS.read_text("utf-8") == pages.concepts_page(), "run python -m tests.protocol.pages"
