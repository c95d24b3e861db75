"""What survives a failure of power, as text and as a state: every kind of state can be said, nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss.simulation.power_loss import PowerLossState
from vss.simulation.survivors import Survivors, UnsyncedEffect, possible_survivors


def effects(*sectors: int) -> list[UnsyncedEffect]:
    return [UnsyncedEffect(10 * number, "C:", f"effect {number}", each) for number, each in enumerate(sectors, 1)]


@pytest.mark.parametrize(
    ("text", "kept", "torn"),
    [
        ("lost", (), None),
        ("kept", (0, 1, 2), None),
        ("kept+torn:head", (0, 1, 2), (0, 1, 2)),
        ("kept+torn:tail", (0, 1, 2), (3, 4)),
        ("kept+torn:alternate", (0, 1, 2), (0, 2, 4)),
        ("first:2", (0, 1), None),
        ("first:9", (0, 1, 2), None),
        ("first:2+torn:head", (0, 1), None),
        ("first:1+torn:tail", (0,), (1,)),
        ("only:3", (2,), None),
        ("only:1,3,7", (0, 2), None),
        ("only:4", (), None),
        ("only:4+torn:head", (), None),
        ("without:2", (0, 2), None),
    ],
)
def test_a_text_says_what_survives(text: str, kept: tuple[int, ...], torn: tuple[int, ...] | None) -> None:
    survivors = Survivors.parse(text)
    assert survivors.state(effects(2, 0, 5)) == PowerLossState(kept, torn)
    assert str(survivors) == text


def test_a_sample_is_drawn_from_its_number_alone() -> None:
    states = {Survivors.parse(f"sample:{number}").state(effects(*[1] * 12)).kept for number in range(1, 9)}
    assert len(states) == 8
    assert Survivors.parse("sample:3").state(effects(1, 1, 1)) == Survivors.parse("sample:3").state(effects(1, 1, 1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected lost, kept"),
        ("lots", "found 'lots'; did you mean 'lost'"),
        ("kept:1", "with numbers from 1, found 'kept:1'"),
        ("first", "with numbers from 1"),
        ("first:1,2", "with numbers from 1"),
        ("only:0", "with numbers from 1"),
        ("only:x", "with numbers from 1"),
        ("only:²", "with numbers from 1"),
        ("only", "with numbers from 1"),
        ("kept+torn:hed", r"found '\+torn:hed'; did you mean 'head'"),
        ("kept+head", r"expected \+torn:head"),
        ("lost+torn:head", "of nothing, nothing is torn"),
    ],
)
def test_a_text_that_says_nothing_is_refused_with_the_nearest_word(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Survivors.parse(text)


def test_of_few_effects_every_subset_and_every_torn_half_is_possible() -> None:
    states = {each.state(effects(1, 4, 0)) for each in possible_survivors(effects(1, 4, 0))}
    assert {each.kept for each in states} == {(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)}
    assert PowerLossState((0, 1), (0, 1)) in states
    assert PowerLossState((0, 1), (2, 3)) in states


def test_of_many_effects_each_alone_all_but_each_prefixes_and_a_sample_are_possible() -> None:
    many = effects(*[2] * 9)
    forms = list(possible_survivors(many, samples=2))
    states = {each.state(many).kept for each in forms}
    assert {(number,) for number in range(9)} <= states
    assert {tuple(other for other in range(9) if other != number) for number in range(9)} <= states
    assert {tuple(range(length)) for length in range(10)} <= states
    assert sum(each.way == "sample" for each in forms) == 2
    assert len(forms) < 60


@given(st.lists(st.integers(0, 5), max_size=7))
def test_every_possible_form_can_be_said_and_means_the_same(sectors: list[int]) -> None:
    told = effects(*sectors)
    for each in possible_survivors(told):
        again = Survivors.parse(str(each))
        assert again.state(told) == each.state(told)
        assert again.keeps_all == (str(each) == "kept")
        state = each.state(told)
        assert state.torn_sectors is None or 0 < len(state.torn_sectors) < told[state.kept[-1]].sectors
