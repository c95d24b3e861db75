"""Statements about several runs: each is kept by what is good, and broken by what is not, also by an error of no type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vss.errors import ConfigurationError, VssError
from vss.simulation.invariants import relations
from vss.simulation.invariants.evidence import Trial


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


A, B = {"a": b"1"}, {"a": b"2"}
PREFIXES = [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (relations.isolation(lambda: A, lambda: A), relations.isolation(lambda: A, lambda: B)),
        (relations.fresh_backup_succeeds(lambda n: n == 3), relations.fresh_backup_succeeds(lambda n: n == 4)),
        (
            relations.fresh_backup_succeeds(lambda n: True),
            relations.fresh_backup_succeeds(raising(ConfigurationError("no"))),
        ),
        (
            relations.retries_keep_their_class(is_retryable=True, again=lambda: True, automatic_retries=1),
            relations.retries_keep_their_class(is_retryable=True, again=raising(VssError("no")), automatic_retries=0),
        ),
        (
            relations.retries_keep_their_class(is_retryable=False, again=lambda: True, automatic_retries=0),
            relations.retries_keep_their_class(is_retryable=False, again=lambda: True, automatic_retries=1),
        ),
        (relations.runs_repeat(lambda: "same"), relations.runs_repeat(iter("ab").__next__)),
        (
            relations.clean_up_is_idempotent(lambda: A, lambda: None),
            relations.clean_up_is_idempotent(iter([A, B]).__next__, lambda: None),
        ),
        (
            relations.clean_up_is_idempotent(lambda: A, lambda: None),
            relations.clean_up_is_idempotent(lambda: A, raising(ValueError("twice"))),
        ),
        (
            relations.acknowledged_survive([("disk", lambda: 3)], 3),
            relations.acknowledged_survive([("disk", lambda: 2), ("other", raising(OSError("no")))], 3),
        ),
        (
            relations.recovered_is_a_prefix([("disk", lambda: 3)], PREFIXES, 2),
            relations.recovered_is_a_prefix([("disk", lambda: 1), ("b", lambda: 9), ("c", raising(OSError()))], PREFIXES, 2),
        ),
        (
            relations.recovery_can_be_cut(lambda: A, [("cut", lambda: A)]),
            relations.recovery_can_be_cut(lambda: A, [("cut", lambda: B), ("c", raising(OSError("no")))]),
        ),
        (
            relations.recovery_can_be_cut(lambda: A, []),
            relations.recovery_can_be_cut(raising(OSError("no")), []),
        ),
        (relations.chain_restores("D10", lambda: 3, 3), relations.chain_restores("D10", lambda: 2, 3)),
        (relations.chain_restores("B7", lambda: 3, 3), relations.chain_restores("B7", raising(OSError("no")), 3)),
        (
            relations.mistake_is_harmless(raising(VssError("the set is damaged")), lambda: A, "wrong set"),
            relations.mistake_is_harmless(raising(VssError("")), lambda: A, "wrong set"),
        ),
        (
            relations.mistake_is_harmless(lambda: None, lambda: A, "no effect"),
            relations.mistake_is_harmless(lambda: None, iter([A, B]).__next__, "an effect"),
        ),
        (
            relations.mistake_is_harmless(lambda: None, lambda: A, "no effect"),
            relations.mistake_is_harmless(raising(KeyError("x")), lambda: A, "an effect"),
        ),
    ],
)
def test_good_is_kept_and_bad_is_named(good: Trial, bad: Trial) -> None:
    assert good.problems == ()
    assert bad.problems != ()
    assert good.invariant_id == bad.invariant_id
