"""The checker: what it judges, what it does not, and what it says."""

from __future__ import annotations

import random

import pytest

from tests.invariants import scripts
from tests.invariants.kit import play
from vss.errors import InvariantError
from vss.events import Event, HoldLost, Record, VolumeFlushed, WritesHeld
from vss.exit_codes import ExitCode
from vss.simulation.invariants import (
    INVARIANTS,
    EndState,
    Evidence,
    Kind,
    Trial,
    assert_invariants,
    check,
    report,
)
from vss.volumes import MemoryStore
from vss.volumes.watched_store import RunWatch

S = 10**9


def records(*moments: tuple[int, Event]) -> list[Record]:
    return [Record(number, instant_ns, event) for number, (instant_ns, event) in enumerate(moments, 1)]


OVERDUE = records(
    *[(0, VolumeFlushed(volume="D:"))] * 7,
    (0, WritesHeld(volume="D:", limit_ns=10 * S)),
    (12 * S, HoldLost(volume="D:", held_ns=12 * S, queued_count=0)),
)


def test_there_are_64_statements_with_distinct_ids_and_words() -> None:
    families = {letter: sum(each.startswith(letter) for each in INVARIANTS) for letter in "FCSBDR"}

    assert families == {"F": 9, "C": 10, "S": 13, "B": 11, "D": 12, "R": 9}
    assert len({each.statement for each in INVARIANTS.values()}) == 64
    assert {each.kind for each in INVARIANTS.values()} == {Kind.SAFETY, Kind.LIVENESS}


def test_what_lacks_evidence_is_named_and_never_counts_as_kept() -> None:
    verdict = check(Evidence(records=()))

    assert set(verdict.judged) | set(verdict.not_judged) == set(INVARIANTS)
    assert not set(verdict.judged) & set(verdict.not_judged)
    assert verdict.not_judged["C1"] == "needs volumes, snapshots"
    assert verdict.not_judged["D10"] == "needs a trial"
    assert verdict.not_judged["R9"] == "simulated time"
    assert verdict.is_good


def test_a_violation_names_its_statement_its_evidence_and_the_records() -> None:
    (found,) = check(Evidence(records=OVERDUE)).broken

    assert found.invariant_id == "F3"
    assert found.evidence == "volume D:: the hold ended after 12.000 s, allowed are 10 s"
    assert found.statement.startswith("Every hold ends within")
    assert found.records == (8, 9)


def test_a_stall_of_the_loop_excuses_what_it_delayed() -> None:
    assert check(Evidence(records=OVERDUE, stall_ns=2 * S)).is_good


def test_the_error_shows_five_records_before_the_violation() -> None:
    with pytest.raises(InvariantError, match="1 invariant violation: F3") as raised:
        assert_invariants(Evidence(records=OVERDUE))

    lines = raised.value.message.splitlines()
    assert raised.value.exit_code == ExitCode.INVARIANT
    assert [line.split()[0] for line in lines if "VolumeFlushed" in line] == ["3", "4", "5", "6", "7"]
    assert [line.split()[:2] for line in lines if line.startswith("  >")] == [[">", "8"], [">", "9"]]


def test_only_the_asked_for_are_judged() -> None:
    assert check(Evidence(records=OVERDUE), only=["F4"]).judged == ("F4",)


def test_a_good_verdict_is_returned() -> None:
    assert assert_invariants(Evidence(records=records((0, VolumeFlushed(volume="D:"))))).is_good


def test_a_trial_is_judged_with_the_statement_that_it_is_about() -> None:
    good = check(Evidence(records=(), trials=[Trial("R4", "twice")]))
    bad = check(Evidence(records=(), trials=[Trial("R4", "twice", ("digests differ",))]))

    assert "R4" in good.judged
    assert good.is_good
    assert [(each.invariant_id, each.evidence) for each in bad.broken] == [("R4", "twice: digests differ")]


def test_many_violations_of_one_statement_are_cut_short() -> None:
    verdict = check(Evidence(records=(), end=EndState(open_tasks=tuple(f"task {number}" for number in range(100)))))

    assert verdict.broken_ids == ("S8",)
    assert len(verdict.broken) == 20
    assert "20 invariant violations: S8" in report(verdict, ())


def test_a_watched_run_is_judged_by_all_that_can_be() -> None:
    verdict = check(play(scripts.backup))

    assert verdict.is_good
    assert {"F1", "F6", "C1", "C2", "C5", "C7", "C8", "C9", "C10", "S8", "S13"} <= set(verdict.judged)


def test_watching_changes_nothing_and_forgets_nothing() -> None:
    watch = RunWatch()
    plain, inner = MemoryStore(8192, name="plain"), MemoryStore(8192, name="inner")
    watched = watch.wrap("D:", inner)
    stream = random.Random(1)
    for number in range(20):
        offset, data = stream.randrange(0, 16) * 512, stream.randbytes(512)
        if number % 3:
            watched.before_write(offset, len(data))
        plain.write(offset, data)
        watched.write(offset, data)
    watched.flush()
    watch.emit(WritesHeld(volume="D:", limit_ns=1))
    watched.grow(10_000)
    buffer = bytearray(512)
    watched.read_into(512, buffer)

    assert watched.read(0, 8192) == plain.read(0, 8192)
    assert bytes(buffer) == plain.read(512, 512)
    assert (watched.name, watched.size_bytes) == ("inner", 10_000)
    assert [each.is_application for each in watched.writes] == [bool(number % 3) for number in range(20)]
    assert [each.after for each in watched.flushes] == [20]
    assert [each.data for each in watched.copies] == [plain.read(0, 8192)]
    assert watch.evidence().volumes is not None
    watched.close()
