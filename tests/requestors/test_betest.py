"""The ``betest`` command: both spellings, contradictions, files, reports, data, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from vss.documents import BackupType
from vss.errors import (
    BadStateError,
    ConfigurationError,
    DocumentError,
    NotFoundError,
    VssError,
)
from vss.exit_codes import ExitCode
from vss.ids import Guid
from vss.simulation.memory_files import MemoryFiles
from vss_requestors.backup import BackupRequestor
from vss_requestors.betest_command import make_betest
from vss_requestors.betest_report import backup_report, restore_report, verification_report
from vss_requestors.betest_spelling import SPELLINGS, normalise
from vss_requestors.results import (
    BackupResult,
    ComponentOutcome,
    PhaseTiming,
    RestoredComponent,
    RestoreResult,
    SetVerification,
    TruncatedLogs,
)

# -- spelling ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/B", "/T", "FULL"], ["--backup", "--type=FULL"]),
        (["-b", "/d", "/srv/backups", "/s", "/bcd.xml"], ["--backup", "--destination=/srv/backups", "--document=/bcd.xml"]),
        (["--backup", "--type=full"], ["--backup", "--type=full"]),
        (
            ["--BACKUP", "/sToPeRrOr", "-rollback", "/PRE", "x"],
            ["--backup", "--stop-on-writer-error", "--rollback", "--previous-document=x"],
        ),
        (["/P", "/Pre", "/P"], ["--persistent", "--previous-document=/P"]),
        (["/?"], ["--help"]),
        (["--no-verify", "--document="], ["--no-verify", "--document="]),
    ],
)
def test_both_spellings_mean_one_thing(words: list[str], expected: list[str]) -> None:
    assert normalise(words) == expected


def test_every_option_of_the_field_is_known() -> None:
    field = ["B", "R", "S", "D", "T", "C", "X", "O", "Pre", "P", "Rollback", "Snapshot", "BC", "NBC", "Auth", "StopError", "V"]
    assert {each.windows for each in SPELLINGS} >= set(field)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/Snapshoot"], r"No such option '/Snapshoot'\. Did you mean '/Snapshot'"),
        (["--destinaton", "x"], "Did you mean '--destination'"),
        (["-rollbak"], "Did you mean '/Rollback'"),
        (["/zzzzzz"], "'--help', which lists them"),
        (["word"], "No such argument 'word'"),
        (["/S"], "'/S' requires an argument"),
        (["--backup=yes"], "does not take a value"),
    ],
)
def test_a_wrong_option_names_the_nearest(words: list[str], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        normalise(words)


# -- the command over a real machine -----------------------------------------------------------------------------------------


class Betest:
    """Runs the command against a fresh world per call, over host files that stay."""

    def __init__(self, kit: Any) -> None:
        self.kit = kit
        self.files = MemoryFiles()
        self.seed = 0
        self.lab = Path()
        self.files_after: dict[str, bytes] = {}
        self.before: Any = None

    def __call__(self, *words: str) -> Any:
        """Invoke; returns Click's result, exceptions included."""
        self.seed += 1

        def run_on_machine(lab: Path, job: Any, watch: Any) -> Any:
            self.lab = lab

            async def script(world: Any) -> Any:
                world.recorder.subscribe(watch)
                await world.start()
                if self.before is not None:
                    await self.before(world)
                try:
                    return await job(world)
                finally:
                    self.files_after = await world.tree()

            return self.kit.play(script, files=self.files, seed=self.seed)

        command = make_betest(run_on_machine, self.files)
        return CliRunner().invoke(command, ["--lab", "/lab", *words], standalone_mode=False)


@pytest.fixture
def betest(kit: Any) -> Betest:
    return Betest(kit)


def test_a_full_backup_reports_for_people(betest: Betest) -> None:
    result = betest("/B", "/T", "full", "/D", "/backups", "/S", "/bcd.xml", "/V")
    assert result.exception is None, result.exception
    assert result.return_value == ExitCode.OK
    assert betest.lab == Path("/lab")
    text = result.output
    assert text.startswith("FULL backup, set ")
    for part in ("frozen ", " of 10 s", "held         D:", "copied       4 files", "verified     4 of 4 files, 8 pages"):
        assert part in text
    assert "D:\\data\\one.edb" in text
    assert "component    Store:Store  succeeded" in text
    assert "truncated    Store: 1 log removed (1 to 1), kept 2 to 2: below the checkpoint" in text
    assert text.rstrip().splitlines()[-1] == "backed up and verified; the writers were told"
    assert betest.files.exists(Path("/bcd.xml"))


def test_the_default_type_leaves_logs_alone(betest: Betest) -> None:
    assert betest("/B", "/D", "/backups").output.startswith("COPY backup")


def test_json_is_the_same_as_data(betest: Betest) -> None:
    result = betest("--backup", "--destination", "/backups", "--json")
    data = json.loads(result.output)
    assert (data["schema"], data["command"], data["exit_code"]) == ("vss.cli/1", "betest", 0)
    assert data["result"]["state"] == "complete"
    assert [each["volume"] for each in data["result"]["holds"]] == ["D:", "L:"]
    assert len(data["result"]["copied"]) == 4


def test_a_restore_takes_the_saved_document(betest: Betest, kit: Any) -> None:
    betest("/B", "/D", "/backups", "/S", "/bcd.xml")

    async def lose(world: Any) -> None:
        await world.write("D:\\data\\one.edb", b"lost")

    betest.before = lose
    result = betest("/R", "/S", "/bcd.xml", "/D", "/backups", "--verbose")
    assert result.exception is None, result.exception
    assert betest.files_after == kit.STORE_FILES
    assert "restored     2 files" in result.output
    assert "L:\\logs\\E0001.log  same bytes there" in result.output
    assert result.output.rstrip().endswith("its writer has recovered it")
    as_data = json.loads(betest("/R", "/D", "/backups", "--json").output)
    assert as_data["result"]["components"][0]["status"] == "ALL"


def test_wrong_bytes_give_exit_code_6(betest: Betest, kit: Any) -> None:
    async def flip(world: Any) -> None:
        await world.write("D:\\data\\one.edb", b"x" + kit.database(5)[1:])

    betest.before = flip
    result = betest("/B", "/D", "/backups")
    assert result.return_value == ExitCode.VERIFICATION_MISMATCH
    assert "WRONG        D:\\data\\one.edb page 0 offset 0: bad page" in result.output
    assert "Store:Store  FAILED: " in result.output
    assert "NOT backed up: 1 of 1 component failed" in result.output


def test_selection_files_and_names_select(betest: Betest, kit: Any) -> None:
    from vss.testing.stubs import stub_guid

    writer_id = stub_guid("Store")
    betest.files.write_atomically(Path("/c.txt"), f'"{writer_id}" : "Store";'.encode())
    xml = f'<BETest><Writer writerid="{writer_id}"><Component componentName="Store"/></Writer></BETest>'
    betest.files.write_atomically(Path("/x.xml"), xml.encode())
    result = betest("/B", "/D", "/backups", "/C", "/c.txt", "/X", "/x.xml", "--component", "Store:Store")
    assert result.exception is None, result.exception
    assert isinstance(betest("/B", "/D", "/backups", "--component", "Nobody:x").exception, NotFoundError)
    assert isinstance(betest("/B", "/D", "/b", "/C", "/x.xml").exception, DocumentError)
    assert isinstance(betest("/B", "/D", "/b", "/C", "/none").exception, NotFoundError)
    assert isinstance(betest("/B", "/D", "/b", "/C", "/backups").exception, ConfigurationError)


def test_a_previous_document_is_read(betest: Betest) -> None:
    betest("/B", "/T", "FULL", "/D", "/backups", "/S", "/bcd.xml")
    result = betest("/B", "/T", "INCREMENTAL", "/Pre", "/bcd.xml", "/D", "/more")
    assert result.return_value == ExitCode.WARNINGS
    assert "warning      writer 'Store' knows no INCREMENTAL" in result.output


def test_snapshot_only_says_what_it_did_not_do(betest: Betest) -> None:
    result = betest("/Snapshot", "/P")
    assert "kept" in result.output
    assert "component    Store:Store  not reported" in result.output
    assert result.output.rstrip().endswith("nothing reported as backed up")


def test_no_verification_and_no_backup_complete_are_said(betest: Betest) -> None:
    text = betest("/B", "/NBC", "--no-verify", "/D", "/backups").output
    assert "verified     NO" in text
    assert text.rstrip().endswith(
        "backed up but NOT verified; BackupComplete was left out: the writers wait for it, no log was truncated"
    )


def test_backup_complete_alone_on_another_machine_is_bad_state(betest: Betest) -> None:
    """Each call is another machine here: nobody on it knows of the backup."""
    betest("/B", "/NBC", "/D", "/backups", "/S", "/bcd.xml")
    error = betest("/BC", "/S", "/bcd.xml").exception
    assert isinstance(error, BadStateError)
    assert "waits for BackupComplete on this machine" in error.message


def test_backup_complete_alone_reports_whom_it_told(betest: Betest) -> None:
    """The second machine has the seed of the first, and its requestor leaves the same backup behind."""
    betest("/B", "/NBC", "/T", "FULL", "/D", "/backups", "/S", "/bcd.xml")

    async def leave(world: Any) -> None:
        await BackupRequestor().run(
            world, target=Path(f"/more{len(seeds)}"), send_backup_complete=False, backup_type=BackupType.FULL
        )

    seeds = [betest.seed]
    betest.before = leave
    betest.seed -= 1
    result = betest("/BC", "/S", "/bcd.xml")
    assert result.exception is None, result.exception
    assert result.return_value == ExitCode.OK
    assert "writer       Store  told" in result.output
    assert "truncated    Store: 1 log removed (1 to 1)" in result.output
    assert result.output.rstrip().endswith("complete; the writers were told")
    betest.seed -= 1
    seeds.append(betest.seed)
    data = json.loads(betest("--backup-complete", "--document", "/bcd.xml", "--json").output)
    assert data["result"]["writers"] == [{"writer": "Store", "is_told": True, "reason": ""}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "found none"),
        (["/B", "/R"], "found /B and /R"),
        (["/B"], "'/D'"),
        (["/R", "/D", "/x", "/NBC"], "'/NBC' does not go with '/R'"),
        (["/BC"], "'/BC' (--backup-complete) needs '/S'"),
        (["/BC", "/S", "/x", "/NBC"], "'/NBC' does not go with '/BC'"),
        (["/B", "/BC", "/S", "/x"], "'/B' does not go with '/BC'"),
        (["/BC", "/S", "/x", "/D", "/y"], "'/D' does not go with '/BC'"),
        (["/BC", "/S", "/x", "/Auth"], "'/Auth' does not go with '/BC'"),
        (["/R", "/D", "/x", "--provider", "p"], "'--provider' does not go"),
        (["/B", "/D", "/x", "/Auth"], "goes with '/R'"),
        (["/B", "/D", "/x", "/T", "OTHER"], "'OTHER' is not one of"),
        (["/B", "/D", "/x", "--throttle", "fast"], "bytes a second"),
        (["/B", "/Dd", "/x"], "No such option '/Dd'"),
    ],
)
def test_contradictions_are_usage_errors(betest: Betest, words: list[str], message: str) -> None:
    error = betest(*words).exception
    assert isinstance(error, click.UsageError)
    assert message in error.message
    assert betest.lab == Path(), "no machine was started"


def test_a_provider_is_named_by_id_or_by_the_names_the_machine_knows(betest: Betest, kit: Any) -> None:
    from vss.testing.stubs import stub_guid

    known = str(stub_guid("Copying provider"))
    assert betest("/B", "/D", "/one", "--provider", known).return_value == ExitCode.OK
    assert isinstance(betest("/B", "/D", "/two", "--provider", str(Guid(int=9))).exception, NotFoundError)
    error = betest("/B", "/D", "/two", "--provider", "copying").exception
    assert isinstance(error, NotFoundError)
    assert "knows no provider names" in error.message

    async def name_providers(world: Any) -> None:
        world.provider_id = {"copying": world.provider.provider_id}.__getitem__

    betest.before = name_providers
    assert betest("/B", "/D", "/two", "--provider", "copying", "--throttle", "10MiB").return_value == ExitCode.OK


def test_help_names_both_spellings(betest: Betest) -> None:
    text = betest("/?").output
    assert "--backup" in text
    assert "/NBC" in text


def test_a_machine_that_is_no_lab_is_not_found(tmp_path: Path) -> None:
    command = make_betest()
    result = CliRunner().invoke(command, ["--lab", str(tmp_path), "/B", "/D", str(tmp_path / "x")], standalone_mode=False)
    assert isinstance(result.exception, VssError)
    assert result.exception.exit_code == ExitCode.NOT_FOUND


def test_a_document_that_cannot_be_read_is_refused(betest: Betest) -> None:
    betest.files.write_atomically(Path("/bad.xml"), b"<nothing/>")
    assert isinstance(betest("/R", "/D", "/backups", "/S", "/bad.xml").exception, DocumentError)


# -- reports -----------------------------------------------------------------------------------------------------------------


def a_backup(**fields: Any) -> BackupResult:
    defaults: dict[str, Any] = {
        "set_id": "set",
        "session_id": "s",
        "backup_type": "FULL",
        "state": "complete",
        "is_verified": True,
        "backup_complete": "delivered",
        "phases": (PhaseTiming(phase="copy", duration_ns=5, outcome="failed"),),
        "freeze": None,
        "holds": (),
        "snapshots": (),
        "copied": (),
        "copied_bytes": 0,
        "verified": (),
        "findings": (),
        "components": (ComponentOutcome(writer="W", component="C", succeeded=True),),
        "truncations": (),
        "warnings": (),
        "notes": ("note this",),
        "exit_code": 0,
    }
    return BackupResult(**{**defaults, **fields})


def test_no_line_of_a_report_has_more_than_120_columns() -> None:
    reason = "expected " + "a very long reason, " * 12
    component = ComponentOutcome(writer="Store", component="a\\" * 70, succeeded=False, reason=reason)
    text = backup_report(a_backup(components=(component,), warnings=(reason,)))
    assert max(len(line) for line in text.splitlines() if "\\" not in line) <= 120
    assert " " * 13 + "reason" in text or "\n             " in text
    assert reason.split()[-1] in text


def test_a_store_without_logs_keeps_none() -> None:
    kept = TruncatedLogs(
        store="Store", removed_first=0, removed_last=0, removed_count=0, kept_first=0, kept_last=0, reason="none was there"
    )
    text = backup_report(a_backup(truncations=(kept,)))
    assert "truncated    Store: no log removed: none was there" in text


def test_what_was_not_truncated_is_said_with_its_reason() -> None:
    kept = TruncatedLogs(
        store="SG1", removed_first=0, removed_last=0, removed_count=0, kept_first=0, kept_last=-1, reason="copy backup"
    )
    text = backup_report(a_backup(truncations=(kept,)))
    assert "truncated    SG1: no log removed: copy backup" in text
    assert "note         note this" in text
    assert "failed" in text


@pytest.mark.parametrize(
    ("state", "verdict"), [("failed", "BackupComplete failed, so logs may remain"), ("pending", "the writers were not told")]
)
def test_the_verdict_says_what_the_writers_know(state: str, verdict: str) -> None:
    assert backup_report(a_backup(backup_complete=state)).endswith(verdict)


def test_a_partial_restore_is_not_called_restored() -> None:
    result = RestoreResult(
        set_id="set",
        session_id="s",
        phases=(),
        verification=None,
        files=(),
        restored_bytes=0,
        components=(RestoredComponent(writer="W", component="C", status="FAILED", reason="no room"),),
        warnings=("careful",),
        exit_code=3,
    )
    text = restore_report(result)
    assert "files restored: FAILED: no room" in text
    assert "warning      careful" in text
    assert text.endswith("NOT restored completely (exit code 3)")
    assert not result.is_success


def test_a_verification_ends_with_its_verdict() -> None:
    good = SetVerification(set_id="set", state="complete", files=(), findings=(), writers_without_verifier=("W",))
    assert verification_report(good).endswith("good: every file is what was backed up")
    assert "writer 'W' has no verifier" in verification_report(good)
    failed = SetVerification(set_id="set", state="failed", files=(), findings=())
    assert verification_report(failed).endswith("NOT good: the set's state is failed")
