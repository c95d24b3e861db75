"""The story of the demo, told by hand with the installed commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vss.exit_codes import ExitCode

pytestmark = pytest.mark.slow


def acknowledged(shell: Any) -> dict[str, int]:
    workloads = shell.must("vss", "lab", "show", "lab", "--json").data["workloads"]
    return {each["name"]: each["operations"] for each in workloads}


def test_create_run_back_up_verify_lose_replace_restore_check(shell: Any, tmp_path: Path) -> None:
    shell.must("vss", "lab", "create", "lab", "--seed", "3")
    shell.must("vss", "lab", "run", "lab", "--for", "10m")
    before = acknowledged(shell)
    assert before["mail-flow"] > 100

    backup = shell.must("betest", "--lab", "lab", "/B", "/T", "FULL", "/D", "sets", "/S", "backup.xml", "--json").data["result"]
    assert (backup["exit_code"], backup["is_verified"], backup["state"]) == (0, True, "complete")
    assert any(each["removed_count"] for each in backup["truncations"])
    assert any(each["queued_count"] for each in backup["holds"]), "the bystander was held: the backup ran under load"
    assert acknowledged(shell)["activity-log"] > 0, "workloads work while betest backs up"

    source = tmp_path / "sets" / backup["set_id"]
    assert "good: every file is what was backed up" in shell.must("vss", "verify", str(source)).out
    (database,) = source.glob("files/**/Mailbox Database 1.edb")
    header = shell.must("vss", "eseutil", "/mh", str(database)).out
    assert "Shutdown" in header

    shell.must("vss", "lab", "run", "lab", "--for", "5m")
    told = acknowledged(shell)
    assert told["mail-flow"] > before["mail-flow"]
    shell.must("vss", "lab", "lose", "lab", "D:")
    assert shell.run("vss", "lab", "check", "lab").code == ExitCode.INVARIANT
    shell.must("vss", "lab", "replace", "lab", "D:")

    restore = shell.must("betest", "--lab", "lab", "/R", "/D", "sets", "/S", "backup.xml", "--json").data["result"]
    assert [each["status"] for each in restore["components"]] == ["ALL"]
    assert shell.must("vss", "lab", "check", "lab").out == "all invariants hold\n"
    assert acknowledged(shell)["mail-flow"] >= told["mail-flow"]
    assert shell.must("vss", "admin", "list", "shadows", "--lab", "lab", "--json").data["shadows"] == []


def test_a_flipped_bit_is_exit_code_6_and_a_mounted_store_is_not_restored(shell: Any) -> None:
    shell.must("vss", "lab", "create", "lab")
    shell.must("vss", "lab", "run", "lab", "--for", "5m")
    good = shell.must("betest", "--lab", "lab", "/B", "/T", "FULL", "/D", "sets", "--json").data["result"]

    refused = shell.run("betest", "--lab", "lab", "/R", "/D", f"sets/{good['set_id']}")
    assert refused.code == ExitCode.UNSUPPORTED
    assert "mounted" in refused.err

    path = r"D:\Exchange\SG1\Mailbox Database 1.edb"
    shell.must("vss", "lab", "flip-bit", "lab", path, "401000")
    wrong = shell.run("betest", "--lab", "lab", "/B", "/T", "FULL", "/D", "sets")
    assert wrong.code == ExitCode.VERIFICATION_MISMATCH
    assert f"{path} page" in wrong.out
    assert "no log removed" in wrong.out
    shell.must("vss", "lab", "flip-bit", "lab", path, "401000")
    shell.must("vss", "lab", "check", "lab")
