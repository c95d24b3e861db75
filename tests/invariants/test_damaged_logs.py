"""Logs that cannot be: a record lost, doubled, or out of its place. The checker always answers, and mostly notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.invariants import scripts, set_scripts
from tests.invariants.kit import play
from tests.invariants.planted.freeze_bugs import VETO
from vss import events
from vss.events import Event, Record
from vss.simulation.invariants import (
    ApplicationWrite,
    BackupSetFiles,
    Catalogue,
    Evidence,
    Outcome,
    RestoreEvidence,
    StoreEvidence,
    check,
)


def numbered(found: Sequence[Record]) -> list[Record]:
    return [Record(number, each.instant_ns, each.event) for number, each in enumerate(found, 1)]


def lost(log: list[Record], at: int) -> list[Record]:
    return log[:at] + log[at + 1 :]


def doubled(log: list[Record], at: int) -> list[Record]:
    return [*log[: at + 1], *log[at:]]


def early(log: list[Record], at: int) -> list[Record]:
    before = max(at - 6, 0)
    return [*log[:before], log[at], *log[before:at], *log[at + 1 :]]


def at_the_end(log: list[Record], at: int) -> list[Record]:
    return [*log[:at], *log[at + 1 :], log[at]]


@pytest.mark.parametrize("damage", [lost, doubled, early, at_the_end])
@pytest.mark.parametrize("is_good", [True, False], ids=["of a good run", "of a failed run"])
def test_the_checker_answers_and_mostly_notices(damage: Callable[[list[Record], int], list[Record]], is_good: bool) -> None:
    evidence = play(scripts.backup) if is_good else play(scripts.failing, **VETO)
    log = list(evidence.records)
    noticed = 0
    for at in range(len(log)):
        verdict = check(Evidence(records=numbered(damage(log, at)), is_ended=True, outcomes=evidence.outcomes))
        noticed += not verdict.is_good

    assert noticed > len(log) * 0.4


def broken(**parts: object) -> tuple[str, ...]:
    return check(replace(Evidence(records=()), **parts)).broken_ids  # type: ignore[arg-type]


def told(*found: Event) -> list[Record]:
    return [Record(number, number, event) for number, event in enumerate(found, 1)]


def test_time_that_goes_back_is_noticed() -> None:
    flushed = events.VolumeFlushed(volume="D:")

    assert broken(records=[Record(1, 5, flushed), Record(2, 4, flushed)]) == ("R7",)
    assert broken(records=[Record(1, 5, flushed), Record(3, 6, flushed)]) == ("R7",)


def test_copies_that_exist_of_a_set_that_does_not_are_noticed() -> None:
    log = list(play(scripts.failing, **VETO).records)
    made = next(each.event for each in log if isinstance(each.event, events.VolumeAddedToSet))
    both = Catalogue((made.snapshot_id,), (made.snapshot_id,))

    assert "C6" in broken(records=log, catalogue=both)
    assert broken(catalogue=Catalogue(("a",), ("b",))) == ("S9",)
    assert broken(catalogue=Catalogue((), (), {"a": "1", "b": "2"}, {"a": "3"})) == ("S7",)


def test_what_an_application_was_told_wrongly_is_noticed() -> None:
    log = list(play(scripts.backup).records)
    held = next(each for each in log if isinstance(each.event, events.WritesHeld))
    volume = held.event.volume  # type: ignore[attr-defined]
    write = ApplicationWrite("A", 1, volume, b"1", held.sequence, len(log), 1)

    assert broken(records=log, applications=[write]) == ()
    for wrong in (
        replace(write, completions=2),
        replace(write, completions=0, error="!KeyError"),
        replace(write, completions=0, completed=-1),
        replace(write, completed=held.sequence),
    ):
        assert broken(records=log, applications=[wrong], is_ended=True) == ("F4",), wrong


def test_a_set_that_is_not_what_its_documents_say_is_noticed() -> None:
    good = next(iter((play(set_scripts.whole).sets or {}).values()))
    copy = "files/L/Notes/1.dat"

    assert broken(sets={"set": good}) == ()
    without = {path: data for path, data in good.files.items() if path != copy}
    assert "B2" in broken(sets={"set": replace(good, files=without)})
    assert "B2" in broken(sets={"set": replace(good, files={**good.files, copy: bytes(9000)})})
    assert "B11" in broken(sets={"set": replace(good, expected={**(good.expected or {}), "D:\\Mail\\9.dat": b""})})
    assert broken(sets={"set": BackupSetFiles({"manifest.json": b"{", "session.json": b"[]"})}) == ()


def test_restores_are_judged_by_what_they_left() -> None:
    old, new = {"D:\\a": b"1", "D:\\b": b"1"}, {"D:\\a": b"2", "D:\\b": b"2"}

    assert broken(restores=[RestoreEvidence(True, old, new, new, ("D:\\",))]) == ()
    assert broken(restores=[RestoreEvidence(True, old, {"D:\\a": b"2"}, new, ("D:\\",))]) == ("B6",)
    assert broken(restores=[RestoreEvidence(False, old, {**old, "D:\\a": b"2"}, new, ("D:\\",))]) == ("B9",)
    assert broken(restores=[RestoreEvidence(False, old, {**old, "D:\\a": b"x"}, new, ("D:\\",))]) == ("B9",)
    assert broken(restores=[RestoreEvidence(False, old, {**old, "D:\\a": b"2"}, new, ("D:\\",), is_marked=True)]) == ()


def test_a_store_is_judged_by_its_files() -> None:
    two, three = "E0000000002.log", "E0000000003.log"

    assert broken(stores={"S": StoreEvidence({two: b"", three: b""}, {three: b""}, is_whole_group=False)}) == ("D9",)
    assert broken(stores={"S": StoreEvidence({two: b"", three: b""}, {three: b""}, oldest_needed=2)}) == ("D9",)
    assert broken(stores={"S": StoreEvidence({}, {"a": b"1"}, is_success=False, twin={"a": b"2"})}) == ("D12",)
    assert broken(stores={"S": StoreEvidence({}, {}, pages_used=[(1, False, False, False)])}) == ("D5",)


def test_logs_that_go_for_the_wrong_backup_are_noticed() -> None:
    started = events.SessionStarted(session_id="s", kind="backup")
    identified = events.WriterIdentified(session_id="s", writer="W", writer_id="", component_count=1, instance_id="i")
    component = events.ComponentAdded(session_id="s", writer="W", component="C", instance_id="i")
    called = events.WriterCalled(writer="W", step="BackupComplete", session_id="s")
    gone = events.LogsTruncated(
        store="W", removed_first=1, removed_last=2, removed_count=2, kept_first=3, kept_last=3, reason=""
    )

    def judged(backup_type: str, *reports: bool) -> tuple[str, ...]:
        kind = events.BackupStateSet(session_id="s", backup_type=backup_type)
        said = [events.ComponentReported(session_id="s", instance_id="i", component="C", succeeded=each) for each in reports]
        return check(Evidence(records=told(started, kind, identified, component, *said, called, gone)), only=["D8"]).broken_ids

    assert judged("FULL", True) == ()
    assert judged("COPY", True) == ("D8",)
    assert judged("FULL", False) == ("D8",)
    assert judged("FULL") == ("D8",)


def test_success_without_a_look_at_the_writers_is_noticed() -> None:
    log = [each for each in play(scripts.backup).records if not isinstance(each.event, events.WriterStatusGathered)]
    session = next(each.event.session_id for each in log if isinstance(each.event, events.SessionStarted))

    assert "S4" in broken(records=numbered(log), outcomes=[Outcome("backup", True, session)])
    assert broken(workloads={"mail": ["message 3 is missing"]}, outcomes=[Outcome("restore", True)]) == ("R6",)
