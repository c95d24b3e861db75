"""The text of the demo, from data alone."""

from __future__ import annotations

from pathlib import Path

from vss.roles.verifier import FileVerification, Finding
from vss_requestors.demo.act import Act, Comparison, Refusal, RolledForward
from vss_requestors.demo.report import COLUMNS, demo_report
from vss_requestors.results import (
    BackupResult,
    ComponentOutcome,
    CopiedFile,
    FreezeTiming,
    HoldTiming,
    PhaseTiming,
    RestoredComponent,
    RestoredFile,
    RestoreResult,
    TruncatedLogs,
)


def backup(**changes: object) -> BackupResult:
    facts: dict[str, object] = {
        "set_id": "5e7",
        "session_id": "5e55",
        "backup_type": "FULL",
        "state": "complete",
        "is_verified": True,
        "backup_complete": "delivered",
        "phases": (),
        "freeze": FreezeTiming(duration_ns=66_000_000, limit_ns=10_000_000_000),
        "holds": (
            HoldTiming(volume="D:", held_ns=8_000_000, queued_count=0, queued_bytes=0),
            HoldTiming(volume="L:", held_ns=8_000_000, queued_count=2, queued_bytes=128),
        ),
        "snapshots": (),
        "copied": (CopiedFile(path="D:\\a.edb", size_bytes=16384, sha256="00"),),
        "copied_bytes": 16384,
        "verified": (FileVerification("D:\\a.edb", 16384, "pages", 2, True),),
        "findings": (),
        "components": (ComponentOutcome(writer="W", component="Store\\SG", succeeded=True),),
        "truncations": (
            TruncatedLogs(
                store="SG", removed_first=1, removed_last=9, removed_count=9, kept_first=10, kept_last=13, reason="checkpoint"
            ),
        ),
        "warnings": (),
        "notes": (),
        "exit_code": 0,
    }
    return BackupResult(**{**facts, **changes})  # type: ignore[arg-type]


RESTORE = RestoreResult(
    set_id="5e7",
    session_id="5e56",
    phases=(PhaseTiming(phase="restore", duration_ns=182_000_000),),
    verification=None,
    files=(RestoredFile(path="D:\\a.edb", destination="D:\\a.edb", size_bytes=16384, action="restored"),),
    restored_bytes=16384,
    components=(RestoredComponent(writer="W", component="Store\\SG", status="ALL", reason="mounted"),),
    warnings=(),
    exit_code=0,
)
ROLLED = RolledForward(
    store="SG", generation_first=10, generation_last=20, records_redone=1198, records_skipped=733, transactions_undone=1
)
COMPARED = Comparison(workload="users", operations=731, compared=418, noun="message")


def act(**changes: object) -> Act:
    facts: dict[str, object] = {"name": "a", "title": "t", "expectation": "e", "failures": ()}
    return Act(**{**facts, **changes})  # type: ignore[arg-type]


def test_an_act_that_goes_well_says_what_was_held_copied_verified_truncated_and_replayed() -> None:
    good = act(before=(COMPARED,), backup=backup(), lost_volumes=("D:",), restore=RESTORE, rolled_forward=(ROLLED,))

    text = demo_report([good], {}, 3, None)

    for expected in (
        "seed 3.",
        "workload     users: 731 operations acknowledged so far",
        "backup       FULL, set 5e7",
        "froze        66.0 ms of 10 s allowed, from the first Freeze to the last Thaw",
        "held         D: 8.0 ms; no write came",
        "held         L: 8.0 ms; 2 writes (128 bytes) waited, done once, in order, after it",
        "copied       1 file, 16.0 KiB, from the shadow copies",
        "verified     1 of 1 file good; 2 database pages, every log, every digest, read again from the set",
        "reported     SG: succeeded",
        "truncated    generations 0x1 to 0x9 went (9), 0xa to 0xd stayed: checkpoint",
        "disaster     D: is lost",
        "restored     1 file, 16.0 KiB, from a set verified first; copying took 182.0 ms",
        "reported     SG: files restored: ALL: mounted",
        "replayed     generations 0xa to 0x14 of SG: 1,198 records redone, 733 skipped, 1 transaction undone",
        "As it must be.",
        "Nothing of this is kept; 'vss demo --out DIR' keeps lab, backup sets and event log.",
        "Verdict: 1 of 1 acts went as they must.",
    ):
        assert expected in text
    assert text.splitlines()[-1].startswith("Verdict:")


def test_an_act_that_goes_wrong_says_so_and_the_verdict_too() -> None:
    finding = Finding("D:\\a.edb", "-1018", "bad " * 60, page_number=80, offset=663552)
    bad = act(
        failures=("logs stay",),
        damage="bit 0",
        backup=backup(
            findings=(finding, Finding("D:\\b", "digest", "differs")),
            exit_code=6,
            freeze=FreezeTiming(duration_ns=1, limit_ns=-1),
            components=(ComponentOutcome(writer="W", component="SG", succeeded=False, reason="r"),),
            truncations=(
                TruncatedLogs(
                    store="SG", removed_first=0, removed_last=0, removed_count=0, kept_first=0, kept_last=0, reason="failed"
                ),
            ),
        ),
        compared=(COMPARED,),
        problems=("a message is missing",),
    )

    text = demo_report([bad], {}, 1, None)

    for expected in (
        "damaged      bit 0, on the disk",
        "froze        0 µs, from",
        "WRONG        D:\\a.edb, page 80, offset 663552: -1018: bad",
        "WRONG        D:\\b: digest: differs",
        "reported     SG: FAILED",
        "truncated    NOTHING: failed",
        "exit code    6",
        "compared     users: 418 messages of 731 acknowledged operations, with its own record: see below",
        "PROBLEM      a message is missing",
        "NOT as it must be: expected that logs stay",
        "Verdict: 0 of 1 acts went as they must. THE REST DID NOT.",
    ):
        assert expected in text
    assert max(map(len, text.splitlines())) <= COLUMNS


def test_a_set_that_failed_and_the_one_after_it() -> None:
    failed = act(
        refusal=Refusal(error="FreezeWindowError", message="late", hresult="VSS_E (0x1)", exit_code=5),
        retry=backup(freeze=None),
    )

    text = demo_report([failed], {}, 1, Path("out"))

    assert "failed       late\n             VSS_E (0x1), exit code 5" in text
    assert "once more    the same backup, nothing else changed:\nbackup       FULL, set 5e7\nheld" in text
    assert "lab          out/lab  (vss lab show, vss lab run, vss lab check)" in text
    assert "sets         out/sets  (1 set; vss verify out/sets/5e7)" in text
    assert "events       out/lab/events.jsonl" in text


def test_without_any_set_there_is_no_set_to_verify() -> None:
    assert "(0 sets)" in demo_report([act()], {}, 1, Path("out"))
