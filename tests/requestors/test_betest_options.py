"""Every option of ``betest``, in both spellings, and the examples of its page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import vss.cli.main
from vss.documents import BackupSchema, BackupType, NewTarget, RestoreMethod, RestoreMethodKind, WriterRestore
from vss.documents.xml import parse_backup_components
from vss.errors import AlreadyExistsError, BackupSetError, InvalidArgumentError, NotFoundError, UnsupportedError, WriterError
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.roles.requestor import Machine
from vss.simulation.memory_files import MemoryFiles
from vss.testing.stubs import stub_guid
from vss_requestors.backup import BackupRequestor
from vss_requestors.betest_command import make_betest
from vss_requestors.betest_report import restore_report
from vss_requestors.betest_spelling import SPELLINGS
from vss_requestors.new_target_names import parse_new_target
from vss_requestors.options import BackupOptions, RestoreOptions
from vss_requestors.restore import RestoreRequestor
from vss_requestors.results import RestoredComponent, RestoreResult

PAGE = Path(__file__).parents[2] / "docs" / "betest.md"

FILES = {
    "/c.txt": f'"{stub_guid("Store")}" : "Store";'.encode(),
    "/x.xml": f'<BETest><Writer writerid="{stub_guid("Store")}"><Component componentName="Store"/></Writer></BETest>'.encode(),
    "/full.xml": b'<BACKUP_COMPONENTS xmlns="x-schema:#VssComponentMetadata" version="1.2" bootableSystemStateBackup="no" '
    b'selectComponents="yes" backupType="full" partialFileSupport="no"/>',
}


class Stopped(Exception):
    """The requestor was reached; its options are known."""


@pytest.fixture
def understood(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command up to the requestor and returns the options it was given."""

    def invoke(*words: str) -> BackupOptions | RestoreOptions:
        found: list[Any] = []

        async def back_up(self: BackupRequestor, machine: Machine, **options: Any) -> Any:
            found.append(BackupOptions(**options))
            raise Stopped

        async def restore(self: RestoreRequestor, machine: Machine, **options: Any) -> Any:
            found.append(RestoreOptions(**options))
            raise Stopped

        monkeypatch.setattr(BackupRequestor, "run", back_up)
        monkeypatch.setattr(RestoreRequestor, "run", restore)
        files = MemoryFiles()
        for name, data in FILES.items():
            files.write_atomically(Path(name), data)

        def run_on_machine(lab: Path, job: Any, watch: Any) -> Any:
            job(object()).send(None)

        result = CliRunner().invoke(make_betest(run_on_machine, files), ["--lab", "/lab", *words], standalone_mode=False)
        assert isinstance(result.exception, Stopped), result.exception
        return found[0]

    return invoke


BACKUP = ("/B", "/D", "/t")
RESTORE = ("/R", "/D", "/t")

OPTIONS: list[tuple[tuple[str, ...], str, str, tuple[str, ...], str, Any]] = [
    (("/D", "/t"), "/B", "--backup", (), "snapshot_only", False),
    (("/D", "/t"), "/R", "--restore", (), "source", Path("/t")),
    ((), "/Snapshot", "--snapshot-only", (), "snapshot_only", True),
    (("/B",), "/D", "--destination", ("/t",), "target", Path("/t")),
    (BACKUP, "/S", "--document", ("/s.xml",), "document_file", Path("/s.xml")),
    (BACKUP, "/T", "--type", ("differential",), "backup_type", BackupType.DIFFERENTIAL),
    (BACKUP, "/C", "--components-text", ("/c.txt",), "components", (str(stub_guid("Store")), "Store")),
    (BACKUP, "/X", "--components-xml", ("/x.xml",), "components", (str(stub_guid("Store")), "Store")),
    (BACKUP, "/O", "--bootable-system-state", (), "bootable_system_state", True),
    (BACKUP, "/P", "--persistent", (), "persistent", True),
    (BACKUP, "/Rollback", "--rollback", (), "rollback", True),
    (BACKUP, "/NBC", "--no-backup-complete", (), "send_backup_complete", False),
    (BACKUP, "/StopError", "--stop-on-writer-error", (), "stop_on_writer_error", True),
    (RESTORE, "/Auth", "--authoritative", (), "authoritative", True),
]


@pytest.mark.parametrize(("words", "windows", "long", "value", "field", "expected"), OPTIONS, ids=[each[1] for each in OPTIONS])
def test_an_option_reaches_the_requestor_in_both_spellings(
    understood: Any, words: Any, windows: str, long: str, value: Any, field: str, expected: Any
) -> None:
    for spelling in (windows, windows.lower(), "-" + windows[1:].upper(), long):
        found = getattr(understood(*words, spelling, *value), field)
        if field == "components":
            found = (found[0].writer, found[0].component)
        assert found == expected


@pytest.mark.parametrize("spelling", ["/Pre", "-pre", "--previous-document"])
def test_the_previous_document_reaches_the_requestor(understood: Any, spelling: str) -> None:
    options = understood(*BACKUP, "/T", "INCREMENTAL", spelling, "/full.xml")
    assert options.previous.backup_type is BackupType.FULL


@pytest.mark.parametrize("spelling", ["/S", "-s", "--document"])
def test_the_document_of_a_restore_is_read(understood: Any, spelling: str) -> None:
    assert understood(*RESTORE, spelling, "/full.xml").document.backup_type is BackupType.FULL


def test_what_has_no_windows_spelling_reaches_the_requestor_too(understood: Any) -> None:
    options = understood(*BACKUP, "--verify-on", "both", "--no-verify", "--throttle", "1k", "--component", "a:b")
    assert (options.verify_on, options.verify, options.throttle_bytes_per_s) == ("both", False, 1024)
    assert options.components[0].component == "b"
    words = ("--new-target", "D:\\data\\*.edb /s=E:\\x", "--then", "/a", "--then", "/b", "--additional-restores")
    options = understood(*RESTORE, *words, "--restore-options", '"a"="b"')
    assert options.new_targets == (NewTarget("D:\\data", "*.edb", True, "E:\\x"),)
    assert options.increments == (Path("/a"), Path("/b"))
    assert options.additional_restores
    assert options.restore_options == '"a"="b"'


@pytest.mark.parametrize("spelling", ["/BC", "-bc", "--backup-complete"])
def test_backup_complete_alone_needs_the_document_in_both_spellings(spelling: str) -> None:
    result = CliRunner().invoke(make_betest(), ["--lab", "/lab", spelling], standalone_mode=False)
    assert isinstance(result.exception, click.UsageError)
    assert "needs '/S'" in result.exception.message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*BACKUP, "--then", "/x"), "'--then' goes with '/R'"),
        ((*BACKUP, "--new-target", "D:\\a\\b=E:\\c"), "'--new-target' goes with '/R'"),
        ((*BACKUP, "--additional-restores"), "'--additional-restores' goes with '/R'"),
        ((*BACKUP, "--restore-options", "x"), "'--restore-options' goes with '/R'"),
        ((*RESTORE, "--verify-on", "both"), "'--verify-on' does not go with '/R'"),
        ((*RESTORE, "--new-target", "x"), "expected something like"),
    ],
)
def test_options_of_the_other_job_are_usage_errors(words: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(make_betest(), ["--lab", "/lab", *words], standalone_mode=False)
    assert isinstance(result.exception, click.UsageError)
    assert message in result.exception.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("D:\\a\\*.txt=E:\\b", NewTarget("D:\\a", "*.txt", False, "E:\\b")),
        ("D:\\*=E:\\b", NewTarget("D:\\", "*", False, "E:\\b")),
        ("D:\\a\\x /S=E:\\b\\c", NewTarget("D:\\a", "x", True, "E:\\b\\c")),
    ],
)
def test_new_targets_are_read(text: str, expected: NewTarget) -> None:
    assert parse_new_target(text) == expected


@pytest.mark.parametrize(
    "text", ["", "D:\\a\\b", "D:\\a\\=E:\\b", "b=E:\\c", "D:\\a\\b=", "a\\b=E:\\c", "D:\\a\\..\\b=E:\\c", "D:\\a\\b=c"]
)
def test_what_is_no_new_target_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_new_target(text)


def test_a_chain_is_reported_set_by_set() -> None:
    def result(set_id: str, *earlier: RestoreResult) -> RestoreResult:
        component = RestoredComponent(writer="W", component="C", status="ALL")
        return RestoreResult(
            set_id=set_id,
            session_id="s",
            phases=(),
            verification=None,
            files=(),
            restored_bytes=0,
            components=(component,),
            warnings=(),
            exit_code=0,
            earlier=earlier,
        )

    text = restore_report(result("second", result("first")))
    assert text.index("set first") < text.index("set second")
    assert text.count("restored: every component") == 1


# -- documents and bad input, end to end -------------------------------------------------------------------------------------


class Betest:
    """Runs the command against a fresh world per call, over host files that stay."""

    def __init__(self, kit: Any) -> None:
        self.kit, self.files, self.seed = kit, MemoryFiles(), 0
        self.before: Any = None
        self.unchanged = True
        self.calls: list[str] = []
        self.writer: dict[str, Any] = {}

    def __call__(self, *words: str) -> Any:
        self.seed += 1

        def run_on_machine(lab: Path, job: Any, watch: Any) -> Any:
            async def script(world: Any) -> Any:
                world.recorder.subscribe(watch)
                await world.start([self.kit.StoreWriter(world.ports, calls=world.calls, **self.writer)])
                before = await world.tree()
                try:
                    return await job(world)
                finally:
                    self.unchanged, self.calls = await world.tree() == before, list(world.calls)

            return self.kit.play(script, files=self.files, seed=self.seed)

        return CliRunner().invoke(make_betest(run_on_machine, self.files), ["--lab", "/lab", *words], standalone_mode=False)


@pytest.fixture
def betest(kit: Any) -> Betest:
    return Betest(kit)


@pytest.mark.parametrize("words", [("/Snapshot",), ("/B", "/D", "/t"), ("/B", "/NBC", "/D", "/t")])
def test_the_document_is_saved_and_never_over_another(betest: Betest, words: tuple[str, ...]) -> None:
    assert betest(*words, "/S", "/bcd.xml").exception is None
    document = parse_backup_components(betest.files.read_bytes(Path("/bcd.xml")))
    assert [each.component_name for each in document.writers[0].components] == ["Store"]
    assert document.partial_file_support
    assert isinstance(betest(*words, "/S", "/bcd.xml").exception, AlreadyExistsError)
    assert betest.calls == []


def test_every_option_of_a_backup_goes_together(betest: Betest) -> None:
    words = ("/B", "/O", "/P", "/Rollback", "/StopError", "/V", "/T", "full", "/D", "/t", "--verify-on", "both")
    result = betest(*words)
    assert result.return_value == ExitCode.OK
    assert "kept" in result.output


def test_stop_error_ends_at_the_first_writer_that_fails(betest: Betest) -> None:
    betest.writer = {"behaviour": {"on_prepare_backup": WriterError("it is busy")}}
    error = betest("/B", "/StopError", "/D", "/t").exception
    assert isinstance(error, WriterError)
    assert error.hresult is HResult.VSS_E_WRITERERROR_NONRETRYABLE


def test_auth_asks_for_an_authoritative_restore(betest: Betest) -> None:
    betest.writer = {"schema": BackupSchema.AUTHORITATIVE_RESTORE}
    betest("/B", "/D", "/t")
    assert betest("/R", "/Auth", "/D", "/t").return_value == ExitCode.OK
    betest.writer = {}
    betest("/B", "/D", "/plain")
    error = betest("/R", "/Auth", "/D", "/plain").exception
    assert isinstance(error, UnsupportedError)
    assert betest.calls == []


CUSTOM = RestoreMethod(RestoreMethodKind.CUSTOM, WriterRestore.ALWAYS)


@pytest.mark.parametrize(
    ("writer", "words", "error", "code"),
    [
        ({}, ("/S", "/other.xml"), BackupSetError, HResult.VSS_E_UNEXPECTED),
        ({}, ("--component", "Nobody:Store"), NotFoundError, HResult.VSS_E_OBJECT_NOT_FOUND),
        ({}, ("--component", "Store:Nothing"), NotFoundError, HResult.VSS_E_OBJECT_NOT_FOUND),
        ({}, ("--new-target", "D:\\data\\*.edb=E:\\x"), UnsupportedError, HResult.VSS_E_NOT_SUPPORTED),
        ({}, ("--restore-options", '"a"'), InvalidArgumentError, HResult.E_INVALIDARG),
        ({}, ("--then", "/nowhere"), NotFoundError, HResult.VSS_E_OBJECT_NOT_FOUND),
        ({"name": "Renamed"}, (), NotFoundError, HResult.VSS_E_OBJECT_NOT_FOUND),
        ({"restore_method": CUSTOM}, (), UnsupportedError, HResult.VSS_E_NOT_SUPPORTED),
    ],
)
def test_bad_input_of_a_restore_gets_its_code_and_changes_nothing(
    betest: Betest, writer: dict[str, Any], words: tuple[str, ...], error: type[Exception], code: HResult
) -> None:
    betest.writer = {} if "name" in writer else writer
    betest("/B", "/D", "/t")
    betest("/B", "/D", "/elsewhere", "/S", "/other.xml")
    betest.writer = writer
    found = betest("/R", "/D", "/t", *words).exception
    assert isinstance(found, error)
    assert found.hresult is code  # type: ignore[attr-defined]
    assert betest.unchanged
    assert not [call for call in betest.calls if call.endswith("restore")]


# -- the page ----------------------------------------------------------------------------------------------------------------


def test_the_page_names_every_option_and_no_other() -> None:
    rows = re.findall(r"^\| (?:`/(\S+)`)? ?\| (`--[^|]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    named = {(windows, long) for windows, longs in rows for long in re.findall(r"`(--[a-z-]+)`", longs)}
    assert named == {(each.windows, each.long) for each in SPELLINGS}


def examples() -> list[tuple[list[str], int]]:
    """The commands of the page, each with its exit code."""
    found: list[tuple[list[str], int]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((shlex.split(line[2:]), 0))
            else:
                found[-1] = (found[-1][0], int(line.removeprefix("# exit code ")))
    return found


@pytest.mark.slow
def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    programs = {"vss": vss.cli.main.main, "betest": vss.cli.main.betest}
    for words, expected in examples():
        if words[0] == "printf":
            Path(words[3]).write_text(words[1].replace("\\n", "\n"), "ascii")
        else:
            assert programs[words[0]](words[1:]) == expected, words
