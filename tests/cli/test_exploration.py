"""``vss sweep``, ``vss campaign``, ``vss replay``: what they print, keep and return."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.exploration.scenarios import ONE_BACKUP
from vss.cli.main import main
from vss.exit_codes import ExitCode
from vss.exploration import sweep as sweeping
from vss.exploration.trials import Trial
from vss.simulation.fault_sites import EffectForm
from vss.simulation.fault_words import Visibility

TINY = (
    ONE_BACKUP
    + """
[[method]]
do = "backup"
name = "second"
"""
)


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return str(path)


def test_a_sweep_prints_a_table_and_what_was_reached(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["sweep", tiny, "--site", "writer.freeze", "--step", "backup", "--every", "20"])

    out, err = capsys.readouterr()
    assert code == ExitCode.OK
    assert "writer.freeze" in out
    assert "writer states × events reached:" in out
    assert "0 with violations; digest" in out
    assert " runs in " in err
    assert " runs in " not in out


def test_a_long_sweep_says_how_far_it_is(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["sweep", tiny, "--pairs", "--step", "backup", "--site", "writer.p*", "--site", "writer.freeze"])

    out, err = capsys.readouterr()
    runs = int(err.splitlines()[-1].split()[0])
    lines = [f"{done} of {runs} runs, 0 with violations" for done in range(256, runs + 1, 256)]
    assert lines
    assert err.splitlines()[:-1] == lines
    assert "256 of" not in out


def test_a_sweep_as_an_object(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["sweep", tiny, "--site", "writer.freeze", "--step", "backup", "--every", "30", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert (report["type"], report["kind"], report["violations"]) == ("sweep", "single", 0)
    assert {cell["site"] for cell in report["cells"]} >= {"writer.freeze"}


def test_what_is_found_is_told_with_the_command_that_shows_it_again(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The provider is away for a minute, and the second backup of this scenario does not wait for it."""
    form = EffectForm("crash=after restart=60s", Visibility.ABSENT)
    trial = Trial(faults=(("backup", f"provider.commit {form}"), ("backup", "writer.identify delay=1ms")))
    monkeypatch.setattr(sweeping, "trials", lambda *_: iter([("provider.commit", form, trial)]))

    code = main(["sweep", tiny, "--traces", str(tmp_path)])

    out = capsys.readouterr().out
    assert code == ExitCode.INVARIANT
    assert "recovery second, 1 runs: ended with exit code 4" in out
    command = next(line for line in out.splitlines() if "Again:" in line)
    assert command == f"  Again: vss run {tiny} --seed 1 --fault 'during=backup provider.commit crash=after restart=60s'"

    assert main(shlex.split(command)[2:]) == ExitCode.INVARIANT
    assert main(["replay", str(tmp_path / "finding-1.jsonl")]) == ExitCode.INVARIANT
    assert "the same run, record for record\nrecovery second: ended with exit code 4" in capsys.readouterr().out
    assert main(["sweep", tiny, "--json", "--no-shrink"]) == ExitCode.INVARIANT
    finding = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (finding["type"], finding["runs"], len(finding["trial"]["faults"])) == ("finding", 1, 2)
    assert main(["replay", str(tmp_path / "finding-1.jsonl"), "--json"]) == ExitCode.INVARIANT
    assert json.loads(capsys.readouterr().out)["differences"] == []


def test_a_campaign_keeps_its_state_and_goes_on(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = main(["campaign", tiny, "--seeds", "4", "--resume", str(tmp_path), "--no-shrink"])
    second = main(["campaign", tiny, "--seeds", "6", "--resume", str(tmp_path / "campaign.json"), "--json", "--no-shrink"])

    out = capsys.readouterr().out.splitlines()
    state = json.loads(next(line for line in out if '"type":"campaign"' in line))
    assert (state["done"], state["seeds"]) == (6, 6)
    assert json.loads((tmp_path / "campaign.json").read_bytes())["digest"] == state["digest"]
    assert {first, second} <= {ExitCode.OK, ExitCode.INVARIANT}


def test_a_budget_that_is_spent_stops_before_the_next_chunk(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", tiny, "--seeds", "3", "--budget", "0s"]) == ExitCode.OK
    assert "0 runs, 0 with violations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["sweep", "nowhere.toml"], ExitCode.NOT_FOUND, "there is no scenario file nowhere.toml"),
        (["sweep", "shipped:defualt"], ExitCode.NOT_FOUND, "found default, mail, pairs"),
        (["sweep", "--jobs", "0"], ExitCode.USAGE, "jobs: expected at least 1, found 0"),
        (
            ["sweep", "--site", "writer.frieze"],
            ExitCode.USAGE,
            "point of writer.frieze; did you mean 'writer.freeze'",
        ),
        (["sweep", "--step", "bakup"], ExitCode.USAGE, "point of step 'bakup'; did you mean 'backup'"),
        (["sweep", "--step", "backup", "--site", "writer.post_restore"], ExitCode.USAGE, "found none together"),
        (["campaign", "--seeds", "1", "--budget", "soon"], ExitCode.USAGE, "budget: 'soon' is no duration"),
        (["campaign", "--seeds", "1", "--dask", "tcp://127.0.0.1:1"], ExitCode.UNSUPPORTED, "'distributed' is not installed"),
        (["replay", "nowhere.jsonl"], ExitCode.NOT_FOUND, "there is no scenario file nowhere.jsonl"),
    ],
)
def test_what_cannot_be_done_is_refused(
    arguments: list[str], code: ExitCode, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)

    assert main(arguments) == code
    assert told in capsys.readouterr().err


def test_a_scenario_that_is_no_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff")

    assert main(["sweep", str(tmp_path / "x.toml")]) == ExitCode.USAGE
    assert "expected UTF-8 text" in capsys.readouterr().err
