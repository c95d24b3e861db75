"""``vss verify`` on the real host, with the plugins as they are loaded; and how the requestors are registered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vss.errors import NotFoundError
from vss.exit_codes import ExitCode
from vss.plugins.registry import Kind, Origin, Registrar, Registry
from vss.real import RealFiles
from vss_requestors import plugin
from vss_requestors.backup import BackupRequestor
from vss_requestors.restore import RestoreRequestor
from vss_requestors.verify_command import verify, worst


class HostBesideLab(RealFiles):
    """The host, where the machine's own directory need not exist."""

    def make_directory(self, path: Path) -> None:
        if path.is_relative_to("/lab"):
            return
        super().make_directory(path)


@pytest.fixture
def backed_up(kit: Any, tmp_path: Path) -> Path:
    async def script(world: Any) -> Path:
        await world.start()
        result = await BackupRequestor().run(world, **{**world.options, "target": tmp_path / "sets"})
        return tmp_path / "sets" / str(result.set_id)

    root: Path = kit.play(script, files=HostBesideLab())
    return root


def invoke(*words: str) -> Any:
    return CliRunner().invoke(verify, words, standalone_mode=False)


def test_a_good_set_is_called_good(backed_up: Path) -> None:
    result = invoke(str(backed_up.parent), "--verbose", "--throttle", "1GiB")
    assert result.exception is None, result.exception
    assert result.return_value == ExitCode.OK
    assert "verified     4 files" in result.output
    assert "SHA-256  good" in result.output
    assert result.output.rstrip().endswith("good: every file is what was backed up")


def test_damage_gives_exit_code_6_and_an_offset(backed_up: Path) -> None:
    path = backed_up / "files/D/data/one.edb"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    result = invoke(str(backed_up), "--json")
    found = json.loads(result.output)
    assert (result.return_value, found["exit_code"]) == (ExitCode.VERIFICATION_MISMATCH, 6)
    assert found["result"]["findings"][0]["path"] == "D:\\data\\one.edb"
    assert invoke(str(backed_up)).output.rstrip().endswith("NOT good: 1 finding")


def damage(root: Path) -> None:
    path = root / "files/D/data/one.edb"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)


def test_several_sets_are_judged_one_by_one_and_the_worst_gives_the_exit_code(backed_up: Path, tmp_path: Path) -> None:
    other = tmp_path / "sets" / "other"
    shutil.copytree(backed_up, other)
    assert invoke(str(backed_up), str(other)).return_value == ExitCode.OK
    damage(other)
    result = invoke(str(other), str(tmp_path / "none"), str(backed_up))
    assert result.return_value == ExitCode.VERIFICATION_MISMATCH
    texts = result.output.split("\n\n")
    assert [each for each in texts if each.startswith(("NOT", "good"))] == [
        "NOT good: 1 finding",
        f"NOT judged: no backup set at '{tmp_path / 'none'}'",
        "good: every file is what was backed up\n",
    ]


def test_several_sets_as_data(backed_up: Path, tmp_path: Path) -> None:
    result = invoke(str(backed_up), str(tmp_path / "none"), "--json")
    data = json.loads(result.output)
    assert result.return_value == ExitCode.NOT_FOUND == data["exit_code"]
    good, missing = data["results"]
    assert good["state"] == "complete"
    assert (missing["hresult"], missing["exit_code"]) == ("VSS_E_OBJECT_NOT_FOUND", ExitCode.NOT_FOUND)


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([ExitCode.OK, ExitCode.WARNINGS], ExitCode.WARNINGS),
        ([ExitCode.NOT_FOUND, ExitCode.WARNINGS], ExitCode.NOT_FOUND),
        ([ExitCode.NOT_FOUND, ExitCode.VERIFICATION_MISMATCH, ExitCode.OK], ExitCode.VERIFICATION_MISMATCH),
    ],
)
def test_wrong_bytes_are_worse_than_no_judgement_and_that_than_a_warning(codes: list[ExitCode], code: ExitCode) -> None:
    assert worst(codes) is code


def test_no_set_and_bad_options_are_refused(tmp_path: Path) -> None:
    assert isinstance(invoke(str(tmp_path)).exception, NotFoundError)
    assert "bytes a second" in str(invoke(str(tmp_path), "--throttle", "slow").exception)


def test_the_plugin_registers_by_name_and_everything_resolves() -> None:
    registrar = Registrar(Origin("requestors"))
    plugin.vss_register_requestors(registry=registrar)
    plugin.vss_register_commands(registry=registrar)
    registry = Registry(registrar.registrations)
    assert registry.names(Kind.REQUESTOR) == ["backup", "restore", "verify"]
    assert {"betest", "verify"} <= set(registry.names(Kind.COMMAND))
    assert isinstance(registry.create_requestor("backup"), BackupRequestor)
    assert isinstance(registry.create_requestor("restore"), RestoreRequestor)
    for name in ("betest", "verify"):
        assert registry.find(Kind.COMMAND, name).resolve().name == name
