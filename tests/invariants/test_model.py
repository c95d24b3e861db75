"""The protocol model: every reachable state of small machines keeps its statements; legal and illegal are told apart."""

from __future__ import annotations

import pytest

from tests.invariants import scripts
from tests.invariants.kit import play
from vss import events
from vss.events import Record
from vss.simulation.invariants.model_walk import alphabet, begun, enabled, explore
from vss.simulation.invariants.protocol_model import START, rejections, step


@pytest.mark.parametrize(("writers", "volumes"), [(0, 1), (0, 3), pytest.param(1, 1, marks=pytest.mark.slow)])
def test_every_state_keeps_the_statements_and_leads_to_an_end(writers: int, volumes: int) -> None:
    walk = explore(writers, volumes)

    assert walk.broken == ""
    assert walk.stuck == 0
    assert walk.states > 200
    assert walk.illegal > walk.legal


def test_the_walk_reaches_every_kind_of_event() -> None:
    reached = {label.split()[0] for label in explore(0, 1).reached}

    assert reached >= {"ProviderCalled", "WritesHeld", "WritesReleased", "HoldLost", "SnapshotSetCreated", "SnapshotSetAborted"}


def test_a_statement_that_the_rules_break_is_found_with_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    from vss.simulation.invariants import protocol_model

    def careless(state: object, made: object, provider: object, phase: str) -> str:
        return ""

    monkeypatch.setattr(protocol_model, "_not_due", careless)

    assert "after" in explore(0, 1, most_states=20_000).broken


def test_a_good_log_is_accepted_and_a_shuffled_one_is_not() -> None:
    good = list(play(scripts.backup).records)
    places = [index for index, each in enumerate(good) if isinstance(each.event, events.WriterCalled)]
    shuffled = list(good)
    one, other = places[5], places[9]
    shuffled[one], shuffled[other] = shuffled[other], shuffled[one]

    assert list(rejections(good)) == []
    assert list(rejections(shuffled)) != []


def test_events_of_strangers_change_nothing() -> None:
    stranger = events.WriterCalled(writer="A", step="Thaw", session_id="unknown")

    assert step(START, stranger) is START
    assert step(START, events.VolumeFlushed(volume="D:")) is START
    assert list(rejections([Record(1, 0, stranger)])) == []


def test_what_may_happen_first_is_what_the_vendor_says() -> None:
    letters = alphabet(1, 1)
    first = {type(event).__name__ + getattr(event, "step", "") for event, _ in enabled(begun(1, 1), letters)}

    assert "ProviderCalledend_prepare" in first
    assert "WriterCalledPrepareForBackup" in first
    assert "WriterCalledFreeze" not in first
    assert "WritesHeld" not in first
