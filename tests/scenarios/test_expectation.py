"""Expectations judge endings, data and events; what can never be true is refused when it is read."""

from __future__ import annotations

from typing import Any

import pytest

from vss.errors import ConfigurationError
from vss.events import Record, WriterFroze, WriterThawed
from vss.scenarios.expectation import Expectation, is_equal, values_at
from vss.scenarios.outcome import StepOutcome

RECORDS = [
    Record(1, 0, WriterFroze(writer="Mail")),
    Record(2, 1, WriterFroze(writer="Notes")),
    Record(3, 2, WriterThawed(writer="Mail", frozen_ns=5)),
]
OUTCOMES = {
    "b": StepOutcome(
        step="b", kind="backup", exit_code=3, error="WriterError", message="writer 'Mail' failed", hresult="VSS_E_X (0x1)",
        data={"components": [{"ok": True, "reason": ""}, {"ok": False, "reason": "bad page 7"}], "size": 12, "none": None},
        first_record=1, end_record=3,
    )
}  # fmt: skip


def wrong(**fields: Any) -> list[str]:
    return Expectation(**fields).shortfalls(OUTCOMES, RECORDS)


@pytest.mark.parametrize(
    "fields",
    [
        {"exit_code": 3},
        {"error": "Writer*", "message": "*Mail*", "hresult": "VSS_E_X*"},
        {"data": {"components.1.ok": False, "components.#": 2, "components.*.reason": "*page*", "size": ">=12"}},
        {"data": {"components.#": "<3", "none": None, "size": "!=11", "components.0.reason": ""}},
        {"event": "WriterThawed", "where": {"writer": "M*", "frozen_ns": ">4"}},
        {"event": "WriterFroze", "count": 1},
        {"event": "WriterFroze", "where": {"writer": "Mail"}, "count": 0},
    ],
)
def test_what_is_so_is_met(fields: dict[str, Any]) -> None:
    assert wrong(step="b", **fields) == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"step": "b", "exit_code": 0}, "step 'b': expected exit code 0, found 3 (WriterError: writer 'Mail' failed)"),
        ({"step": "b", "error": "VssError"}, "step 'b': expected error 'VssError', found 'WriterError'"),
        ({"step": "b", "data": {"size": 13}}, "step 'b': expected size to be 13, found 12"),
        ({"step": "b", "data": {"components.*.ok": "x"}}, "step 'b': expected components.*.ok to be 'x', found true, false"),
        ({"step": "b", "data": {"components.7": 1}}, "step 'b': its result has no 'components.7'"),
        ({"step": "b", "data": {"size.deeper": 1}}, "step 'b': its result has no 'size.deeper'"),
        ({"event": "WriterFroze", "count": 3}, "expected 3 events WriterFroze, found 2"),
        ({"event": "HoldLost"}, "expected >=1 events HoldLost, found 0"),
        (
            {"step": "b", "event": "WriterFroze", "where": {"writer": "X"}, "count": ">1"},
            "expected >1 events WriterFroze with writer 'X' during 'b', found 0",
        ),
        ({"step": "never", "exit_code": 0}, "step 'never' was never reached"),
    ],
)
def test_what_is_not_so_is_told_with_what_was_found(fields: dict[str, Any], told: str) -> None:
    assert wrong(**fields) == [told] or wrong(**fields)[0].startswith(told)


@pytest.mark.parametrize(
    ("found", "expected", "answer"),
    [
        (1, "1", True), (1, ">1", False), (2.5, "<=2.5", True), (1, "soon", False), (True, 1, False), (True, True, True),
        ("abc", "a*", True), ("abc", "A*", False), (1, 1, True), (None, None, True), ("5", ">=1", False),
    ],
)  # fmt: skip
def test_values_are_compared_by_pattern_and_bound(found: Any, expected: Any, answer: bool) -> None:
    assert is_equal(found, expected) is answer


def test_paths_lead_through_tables_and_lists() -> None:
    value = {"a": [{"b": 1}, {"b": 2}], "c": {"x": 3, "y": 4}}

    assert values_at(value, "a.*.b") == [1, 2]
    assert values_at(value, "c.*") == [3, 4]
    assert values_at(value, "c.#") == [2]
    assert values_at(value, "a.1.b") == [2]
    assert values_at(value, "a.b") == values_at(value, "d") == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "expected 'step' or 'event', found neither"),
        ({"step": "b"}, "says nothing of step 'b'"),
        ({"step": "c", "exit_code": 0}, "no step is called 'c'"),
        ({"event": "WriterFrozen"}, "did you mean 'WriterFroze'"),
        ({"event": "Record"}, "no event is called 'Record'"),
        ({"event": "WriterFroze", "where": {"writr": "x"}}, "did you mean 'writer'"),
        ({"event": "WriterFroze", "count": "many"}, "expected a number or a bound such as '>=1', found 'many'"),
    ],
)
def test_what_can_never_be_true_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match="expect") as error:
        Expectation(**fields).check(["b"], "expect[0]")

    assert told in error.value.message


def test_an_expectation_says_itself_on_one_line() -> None:
    assert (
        str(Expectation(step="b", exit_code=3, data={"a": False}, message="*x*"))
        == "step 'b': exit code 3, message '*x*', a false"
    )
    assert str(Expectation(event="HoldLost", count=0, step="b")) == "0 events HoldLost during 'b'"
