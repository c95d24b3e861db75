"""The demo as played: all acts on one lab on a host in memory, and the command around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vss.cli.main import main
from vss.events import HoldLost, LogsTruncated, WritesReleased
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss.lab.world import run_in_lab
from vss.plugins import load
from vss.simulation import MemoryFiles
from vss_requestors.demo import command as command_module
from vss_requestors.demo.act import Act
from vss_requestors.demo.report import COLUMNS, demo_report
from vss_requestors.demo.story import LAB, SETS, Stage, tell, to_data

pytestmark = pytest.mark.slow

ROOT = Path("/demo")


class Played:
    """One whole demo."""

    def __init__(self) -> None:
        self.files = MemoryFiles()
        self.plugins = load(environment={"VSS_NO_PLUGINS": "1"})
        self.stage = Stage(self.files, ROOT, self.plugins, 1)
        self.acts = tell(self.stage)

    def act(self, name: str) -> Act:
        return next(each for each in self.acts if each.name == name)


@pytest.fixture(scope="module")
def played() -> Played:
    return Played()


def test_every_act_goes_as_it_must(played: Played) -> None:
    assert [(each.name, each.failures) for each in played.acts] == [
        ("backup-and-recovery", ()),
        ("wrong-bit", ()),
        ("late-thaw", ()),
        ("slow-commit", ()),
    ]


def test_the_acts_end_with_the_exit_codes_of_the_table(played: Played) -> None:
    backup, restore = played.act("backup-and-recovery").backup, played.act("backup-and-recovery").restore
    assert backup is not None
    assert restore is not None
    assert (backup.exit_code, restore.exit_code) == (ExitCode.OK, ExitCode.OK)
    wrong = played.act("wrong-bit").backup
    assert wrong is not None
    assert wrong.exit_code == ExitCode.VERIFICATION_MISMATCH
    for name in ("late-thaw", "slow-commit"):
        refusal, retry = played.act(name).refusal, played.act(name).retry
        assert refusal is not None
        assert retry is not None
        assert (refusal.exit_code, retry.exit_code) == (ExitCode.WINDOW_LOST, ExitCode.OK)


def test_writes_issued_during_the_hold_are_queued_and_the_bystander_misses_none(played: Played) -> None:
    act = played.act("backup-and-recovery")
    assert act.backup is not None
    assert sorted((each.volume, each.held_ns > 0, each.queued_count > 0) for each in act.backup.holds) == [
        ("D:", True, False),
        ("L:", True, True),
    ]
    released = [each.event for each in played.stage.records_of[act.name] if isinstance(each.event, WritesReleased)]
    assert sum(each.queued_count for each in released) >= 1
    assert {each.workload: each.operations for each in act.compared}["activity-log"] > 0
    assert act.problems == ()


def test_every_phase_costs_plausible_virtual_time(played: Played) -> None:
    backup = played.act("backup-and-recovery").backup
    assert backup is not None
    assert backup.freeze is not None
    took = {each.phase: each.duration_ns for each in backup.phases}
    for phase in ("hold", "freeze", "copy", "verify", "complete"):
        assert 1_000_000 < took[phase] < 5_000_000_000, phase
    assert 0 < took["hold"] < backup.freeze.duration_ns < backup.freeze.limit_ns


def test_nothing_is_truncated_where_a_bit_is_wrong(played: Played) -> None:
    events = [each.event for each in played.stage.records_of["wrong-bit"]]
    assert all(each.removed_count == 0 for each in events if isinstance(each, LogsTruncated))
    backup = played.act("wrong-bit").backup
    assert backup is not None
    (finding,) = [each for each in backup.findings if not each.is_warning]
    assert (finding.path.endswith(".edb"), finding.page_number > 0, finding.offset > 0) == (True, True, True)


def test_volumes_let_go_by_themselves_when_the_commit_is_slow(played: Played) -> None:
    lost = [each.event for each in played.stage.records_of["slow-commit"] if isinstance(each.event, HoldLost)]
    assert [each.held_ns for each in lost] == [10_000_000_000] * 2


def test_the_text_fits_the_page_and_ends_with_the_verdict(played: Played) -> None:
    text = demo_report(played.acts, played.stage.records_of, 1, None)

    assert max(map(len, text.splitlines())) <= COLUMNS
    assert text.splitlines()[-1] == "Verdict: 4 of 4 acts went as they must."
    assert text.count("As it must be.") == 4
    assert text.count("freeze window") >= 4


def test_the_data_is_json_and_names_no_place_of_the_host(played: Played) -> None:
    text = json.dumps(to_data(played.acts))

    assert str(ROOT) not in text
    assert [each["is_met"] for each in json.loads(text)] == [True] * 4


def test_the_lab_is_at_rest_afterwards(played: Played) -> None:
    async def look(lab: Lab) -> Sequence[str]:
        await lab.coordinator.refresh_snapshots()
        return [*await lab.check(), *map(str, lab.coordinator.snapshots())]

    assert run_in_lab(played.files, ROOT / LAB, look, played.plugins.registry).result == []
    assert played.files.open_paths() == []
    assert len(played.files.list_directory(ROOT / SETS)) >= 4


def test_an_act_that_goes_wrong_is_exit_code_11(
    played: Played, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [Act(name="a", title="t", expectation="e", failures=("it worked",))]
    monkeypatch.setattr(command_module, "tell", lambda stage: bad)

    assert main(["demo"]) == ExitCode.INVARIANT
    assert "NOT as it must be: expected that it worked" in capsys.readouterr().out
    assert main(["demo", "--json"]) == ExitCode.INVARIANT
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (document["type"], document["is_met"]) == ("demo", False)


@pytest.mark.parametrize("name", [LAB, SETS])
def test_the_demo_never_writes_over_anything(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).mkdir()
    assert main(["demo", "--out", str(tmp_path)]) == ExitCode.USAGE
    assert f"{tmp_path / name} exists" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["demo", "--out", str(tmp_path / "file")]) == ExitCode.UNEXPECTED
    assert "a lab cannot be made there" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_bytes_under_any_hash_seed(tmp_path: Path) -> None:
    def played_at(hash_seed: str) -> tuple[bytes, dict[str, bytes]]:
        out = tmp_path / hash_seed
        command = [sys.executable, "-m", "vss", "demo", "--seed", "5", "--json", "--out", str(out)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True, timeout=120
        )
        files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
        return done.stdout, files

    first, second = played_at("0"), played_at("4711")

    assert first[0] == second[0]
    assert str(tmp_path).encode() not in first[0]
    assert list(first[1]) == list(second[1])
    assert [name for name in first[1] if first[1][name] != second[1][name]] == []
