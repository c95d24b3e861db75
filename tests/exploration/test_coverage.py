"""Coverage is read from records: cells of the writer's machine, codes, kinds of events, sites."""

from __future__ import annotations

from vss.events import Record, WriterCalled, WriterTimedOut, WriterVetoed
from vss.exploration.coverage import cells_of, coverage_of
from vss.machines.writer import TRANSITIONS, WriterEvent
from vss.scenarios import Outcome


def outcome_of(*events: object) -> Outcome:
    records = tuple(Record(number, 0, event) for number, event in enumerate(events, start=1))  # type: ignore[arg-type]
    empty = Outcome(
        title="t",
        seed=1,
        steps=(),
        faults=(),
        shortfalls=(),
        not_judged=(),
        records=records,
        virtual_ns=0,
        loop_steps=0,
        digest="",
    )
    assert empty.ok
    return empty


def test_a_writer_is_followed_by_its_events() -> None:
    outcome = outcome_of(
        WriterCalled(writer="A", step="PrepareForSnapshot", session_id="1"),
        WriterTimedOut(writer="A", step="PrepareForSnapshot", limit_ns=1, session_id="1"),
        WriterCalled(writer="A", step="Abort", session_id="1"),
        WriterTimedOut(writer="A", step="Abort", limit_ns=1, session_id="1"),
        WriterCalled(writer="A", step="BackupShutdown", session_id="1"),
        WriterVetoed(
            writer="A", step="BackupShutdown", state="FAILED_AT_BACKUPSHUTDOWN", hresult="VSS_E_WRITERERROR_TIMEOUT (0x1)",
            message="late", session_id="1",
        ),
        WriterCalled(writer="A", step="Freeze", session_id="2"),
    )  # fmt: skip

    cells = cells_of(outcome, "reported")

    assert [each for each in cells if each.startswith("writer ")] == [
        "writer STABLE Freeze", "writer STABLE PrepareForSnapshot", "writer UNKNOWN Abort", "writer UNKNOWN BackupShutdown",
    ]  # fmt: skip
    assert "code VSS_E_WRITERERROR_TIMEOUT" in cells
    assert "event WriterVetoed" in cells
    assert "outcome reported" in cells


def test_what_was_not_reached_is_named() -> None:
    coverage = coverage_of(
        {"writer STABLE Freeze": 3, "writer UNKNOWN Abort": 2, "site writer.freeze": 1, "outcome absorbed": 4}
    )

    assert coverage.writer_cells == {"UNKNOWN Abort": 2}
    legal = [cell for cell in TRANSITIONS if cell[1] is not WriterEvent.FREEZE_TIMER_EXPIRED]
    assert len(coverage.writer_cells) + len(coverage.writer_cells_missing) == len(legal)
    assert "WAITING_FOR_FREEZE Freeze" in coverage.writer_cells_missing
    assert (coverage.sites, coverage.outcomes) == ({"writer.freeze": 1}, {"absorbed": 4})
    assert "provider.commit" in coverage.sites_missing
    assert "WriterVetoed" in coverage.events_missing
