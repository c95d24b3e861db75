"""``plugins``, ``schema``, ``completion`` and ``doctor``."""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vss.cli import doctor as doctor_module
from vss.cli import plugins as plugins_module
from vss.cli import version as version_module
from vss.cli.main import main
from vss.cli.output import SCHEMA, json_line, json_schema, table
from vss.cli.schema import SCHEMAS
from vss.exit_codes import ExitCode
from vss.plugins import Candidate, Origin, PluginHost, Registrar, hookimpl, load


class Good:
    VSS_API = "1.0"

    @hookimpl
    def vss_register_writers(self, registry: Registrar) -> None:
        registry.writer("notes", "vss_notes:create")
        registry.command("", "notes", "vss_notes:command")


class Undeclared:
    @hookimpl
    def vss_event_recorded(self) -> None: ...


def explode() -> Any:
    raise ImportError("gone")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> PluginHost:
    host = load(
        [
            Candidate(Origin("notes", "vss_notes", "vss-writer-notes", "0.3"), Good),
            Candidate(Origin("own", is_built_in=True), Undeclared),
            Candidate(Origin("bad"), explode),
            Candidate(Origin("out"), explode),
        ],
        environment={"VSS_DISABLE_PLUGINS": "out"},
    )
    for module in (plugins_module, doctor_module):
        monkeypatch.setattr(module, "plugin_host", lambda: host)
    return host


def test_plugins_lists_what_is_loaded(host: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "plugin  status  distribution          origin       registers",
        "notes   ok      vss-writer-notes 0.3  entry point  writers: notes; commands: notes",
        "own     ok      -                     built in     declares no VSS_API",
        "2 blocked or broken; --all shows them",
    ]


def test_plugins_all_lists_what_is_not(host: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--all"]) == 0

    out = capsys.readouterr().out
    assert "bad     failed" in out
    assert "out     blocked" in out
    assert "problem: plugin bad, stage import\n  ImportError: gone\n" in out
    assert "warning: plugin own, stage api-version\n" in out
    assert "in explode" in out


def test_plugins_as_json(host: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--all", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["type"], document["api"]) == (SCHEMA, "plugins", "1.0")
    assert [(each["name"], each["status"]) for each in document["plugins"]] == [
        ("notes", "ok"),
        ("own", "ok"),
        ("bad", "failed"),
        ("out", "blocked"),
    ]
    assert document["plugins"][0]["registered"] == {"writer": ["notes"], "command": ["notes"]}
    assert [each["stage"] for each in document["problems"]] == ["api-version", "import"]


def test_plugins_without_trouble_has_no_footer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    host = load([Candidate(Origin("notes"), Good)], environment={})
    monkeypatch.setattr(plugins_module, "plugin_host", lambda: host)

    assert main(["plugins"]) == 0

    assert "--all" not in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schemas_are_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    pretty = capsys.readouterr().out
    assert main(["schema", name, "--json"]) == 0
    short = capsys.readouterr().out

    assert json.loads(pretty) == json.loads(short)
    assert len(short.splitlines()) == 1


def test_the_schema_of_objects_knows_every_failing_exit_code() -> None:
    assert json_schema()["then"]["properties"]["exit_code"]["enum"] == [code.value for code in ExitCode if code]


def test_json_keeps_letters_and_writes_unknown_things_as_text() -> None:
    assert json_line("x", name="ü", path=Path("/a")) == '{"schema":"vss.cli/1","type":"x","name":"ü","path":"/a"}'


def test_a_table_has_no_trailing_blanks() -> None:
    assert table([("a", "bb"), ("ccc", "")], ("h", "i")) == "h    i\na    bb\nccc"


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert main(["completion", shell, "--json"]) == 0

    assert "_VSS_COMPLETE" in script
    assert json.loads(capsys.readouterr().out)["script"] + "\n" == script


def test_the_version_of_a_checkout_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version_module, "version_of", absent)

    assert version_module.version() == "(not installed)"


def test_the_version_of_an_installed_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_module, "version_of", lambda name: "1.2")

    assert version_module.version() == "1.2"


# -- doctor --------------------------------------------------------------------------------------------------------------------


def test_doctor_reports_every_check_and_broken_plugins_are_exit_3(host: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == ExitCode.WARNINGS
    text = capsys.readouterr().out
    assert main(["doctor", "--json"]) == ExitCode.WARNINGS
    document = json.loads(capsys.readouterr().out)

    names = [check["name"] for check in document["checks"]]
    assert names[0] == "python"
    assert {"reflink", "fuse", "postgres", "vshadowinfo", "dissect.esedb"} <= set(names)
    assert all(name in text for name in names)
    assert {check["status"] for check in document["checks"]} <= {"ok", "absent", "broken"}


def test_doctor_looks_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor_module, "plugin_host", lambda: load([], environment={}))

    assert main(["doctor", "--at", str(tmp_path)]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    assert main(["doctor", "--at", str(tmp_path / "nothing")]) == ExitCode.USAGE


@pytest.mark.parametrize(("version", "status"), [((3, 11, 0), "ok"), ((3, 10, 9), "broken")])
def test_python_must_be_recent(version: tuple[int, ...], status: str) -> None:
    assert doctor_module.python_check(version).status == status


def test_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "requires", lambda name: ["click>=8", "no-such-thing (>=1)", 'x; extra == "test"'])
    assert doctor_module.requirements_check() == ("requirements", "broken", "not installed: no-such-thing")

    monkeypatch.setattr(doctor_module, "requires", lambda name: ["click"])
    assert doctor_module.requirements_check().detail.startswith("click ")

    monkeypatch.setattr(doctor_module, "requires", lambda name: None)
    assert doctor_module.requirements_check().status == "ok"


def test_requirements_of_a_checkout_that_is_not_installed() -> None:
    assert doctor_module.requirements_check("no-such-distribution").status == "absent"


@pytest.mark.parametrize(
    ("output", "status"), [("utf-8", "ok"), ("latin-1", "absent"), ("", "absent"), ("no-such-encoding", "absent")]
)
def test_encodings(output: str, status: str) -> None:
    assert doctor_module.encoding_check(output, "").status == status


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(("free", "status"), [(1 << 40, "ok"), (1 << 20, "absent")])
def test_room(free: int, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda where: Usage(free))

    assert doctor_module.space_check(tmp_path).status == status


def test_reflinks(tmp_path: Path) -> None:
    def refuse(target: int, source: int) -> None:
        raise OSError(95, "Operation not supported")

    assert doctor_module.reflink_check(tmp_path, lambda target, source: None).status == "ok"
    assert doctor_module.reflink_check(tmp_path, refuse).detail.endswith("cannot share blocks: Operation not supported")


@pytest.mark.parametrize(
    ("mounts", "status", "kind"),
    [
        ("dev / ext4 rw\ndev {here} btrfs rw\n", "ok", "btrfs"),
        ("dev / ext4 rw\ndev {here}-other btrfs rw\n", "absent", "ext4"),
        ("", "absent", "unknown"),
    ],
)
def test_the_longest_mount_decides_what_a_directory_is_on(mounts: str, status: str, kind: str, tmp_path: Path) -> None:
    listing = tmp_path / "mounts"
    listing.write_text(mounts.format(here=tmp_path.resolve()), encoding="utf-8")

    check = doctor_module.btrfs_check(tmp_path, listing)

    assert (check.status, check.detail) == (status, f"{tmp_path} is on {kind}")


def test_a_machine_without_a_list_of_mounts(tmp_path: Path) -> None:
    assert "cannot be read" in doctor_module.btrfs_check(tmp_path, tmp_path / "none").detail


def test_fuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "fuse"
    assert doctor_module.fuse_check(device).status == "absent"

    device.touch()
    assert doctor_module.fuse_check(device).status == "ok"

    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert doctor_module.fuse_check(device).detail == f"{device} is not ours to open"


def test_postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor_module.postgres_check(tmp_path).status == "absent"

    server = tmp_path / "15" / "bin" / "postgres"
    server.parent.mkdir(parents=True)
    server.touch()
    assert doctor_module.postgres_check(tmp_path) == ("postgres", "ok", str(server))

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/postgres")
    assert doctor_module.postgres_check(tmp_path).detail == "/usr/bin/postgres"


def test_programs_and_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)

    assert doctor_module.program_check("vshadowinfo", "diff areas").detail == "not on the path; left out: diff areas"
    assert doctor_module.module_check("no_such.module", "x").status == "absent"
    assert doctor_module.module_check("no_such_module", "x").status == "absent"
    assert doctor_module.module_check("json", "x").status == "ok"


def test_sharing_blocks_asks_the_kernel_which_refuses_a_directory(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=r"\[Errno \d+\]"):
            doctor_module.share_blocks(directory, directory)
    finally:
        os.close(directory)
