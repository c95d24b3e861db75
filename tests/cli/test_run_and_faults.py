"""``vss run`` and ``vss faults``: reports, pages, traces, exit codes, and what is refused."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vss.cli.main import main
from vss.exit_codes import ExitCode
from vss.observe import jsonl
from vss.scenarios.catalogue import entries

SCENARIO = """
title = "A slow provider"
[lab]
template = "small"
[[method]]
do = "backup"
name = "slow"
[[faults]]
fault = "provider.commit delay=15s"
[[expect]]
step = "slow"
exit_code = 5
"""


class Result(NamedTuple):
    """What a command printed and exited with."""

    exit_code: int
    stdout: str
    stderr: str


Command = Callable[..., Result]


@pytest.fixture
def vss(capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*words: str) -> Result:
        code = main(list(words))
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return command


def data(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "slow.toml"
    path.write_text(SCENARIO)
    return path


def test_a_scenario_is_run_reported_traced_and_put_on_a_page(vss: Command, scenario: Path, tmp_path: Path) -> None:
    trace, html = tmp_path / "trace.jsonl", tmp_path / "page.html"
    result = vss("run", str(scenario), "--trace", str(trace), "--html", str(html))

    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("A slow provider (seed 1)\n")
    assert result.stdout.endswith(f"Again: vss run {scenario} --seed 1\n")
    assert len(list(jsonl.decode_all(trace.read_bytes()))) > 50
    assert html.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert max(map(len, result.stdout.splitlines())) <= 120


def test_a_broken_expectation_is_exit_code_11_and_json_says_what_broke(vss: Command, scenario: Path) -> None:
    scenario.write_text(SCENARIO.replace("exit_code = 5", "exit_code = 4"))
    result = vss("run", str(scenario), "--seed", "9", "--json")
    found = data(result)

    assert result.exit_code == ExitCode.INVARIANT
    assert (found["type"], found["ok"], found["seed"], found["exit_code"]) == ("scenario", False, 9, 11)
    assert found["shortfalls"][0]["kind"] == "expectation"
    assert found["reproduce"] == f"vss run {scenario} --seed 9"


def test_the_same_seed_gives_the_same_digest(vss: Command, scenario: Path) -> None:
    digests = [data(vss("run", str(scenario), "--seed", seed, "--json"))["digest"] for seed in ("3", "3", "4")]

    assert digests[0] == digests[1] != digests[2]


def test_a_fault_of_the_command_line_is_in_the_run_and_in_the_line_that_reproduces_it(vss: Command, scenario: Path) -> None:
    result = vss("run", str(scenario), "--fault", "writer.thaw when=writer:Mail fail")

    assert "writer.thaw when=writer:Mail fail" in result.stdout
    again = result.stdout[result.stdout.index("Again: vss run ") + len("Again: ") :].replace("\\\n", " ")
    assert vss(*shlex.split(again)[1:]).stdout.splitlines()[:-2] == result.stdout.splitlines()[:-2]


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (("provider.commit", "provider.comit"), ExitCode.USAGE, "did you mean 'provider.commit'"),
        (("delay=15s", "dellay=15s"), ExitCode.USAGE, "did you mean 'delay'"),
        (("delay=15s", "delay=soon"), ExitCode.USAGE, "no duration"),
        (('do = "backup"', 'do = "backop"'), ExitCode.USAGE, "did you mean 'backup'"),
        (('step = "slow"', 'step = "slo"'), ExitCode.USAGE, "did you mean 'slow'"),
        (("exit_code = 5", 'event = "HoldLots"'), ExitCode.USAGE, "did you mean 'HoldLost'"),
        (("exit_code = 5", "exit_cod = 5"), ExitCode.USAGE, "did you mean 'exit_code'"),
        (("exit_code = 5", ""), ExitCode.USAGE, "says nothing of step 'slow'"),
        (('"small"', '"smol"'), ExitCode.NOT_FOUND, "no lab template 'smol'"),
        (("title", "\x00"), ExitCode.USAGE, "not valid TOML"),
    ],
)
def test_what_means_nothing_is_refused_with_the_nearest_word(
    vss: Command, scenario: Path, change: tuple[str, str], code: int, told: str
) -> None:
    scenario.write_text(SCENARIO.replace(*change))
    result = vss("run", str(scenario))

    assert result.exit_code == code
    assert told in result.stderr


def test_a_missing_file_an_unreadable_one_and_one_that_is_no_text_are_refused(
    vss: Command, tmp_path: Path, scenario: Path
) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes('title = "Größe"'.encode("latin-1"))

    assert vss("run", str(tmp_path / "none.toml")).exit_code == ExitCode.NOT_FOUND
    assert "cannot be read" in vss("run", str(tmp_path)).stderr
    assert "expected UTF-8 text" in vss("run", str(latin)).stderr
    assert vss("run", str(scenario), "--html", str(tmp_path / "no" / "page.html")).exit_code == ExitCode.UNEXPECTED
    assert "did you mean 'writer.freeze'" in vss("run", str(scenario), "--fault", "writer.freese hang").stderr


def test_the_schema_of_a_scenario_is_printed(vss: Command) -> None:
    assert "method" in json.dumps(json.loads(vss("schema", "scenario", "--json").stdout))


# -- the catalogue -------------------------------------------------------------------------------------------------------------


def test_the_catalogue_is_listed_by_pack_phase_and_what_is_pending(vss: Command) -> None:
    everything = vss("faults", "list").stdout

    assert f"{len(entries())} failures, " in everything
    assert max(map(len, everything.splitlines())) <= 120
    assert [each["id"] for each in data(vss("faults", "list", "--pack", "2", "--json"))["failures"]] == [
        "C12", "P06", "R14", "W01", "W02",
    ]  # fmt: skip
    assert {each["phase"] for each in data(vss("faults", "list", "--phase", "freeze", "--json"))["failures"]} == {"freeze"}
    assert all(each["is_pending"] for each in data(vss("faults", "list", "--pending", "--json"))["failures"])
    assert "did you mean 'freeze'" in vss("faults", "list", "--phase", "freze").stderr


def test_a_failure_is_shown_with_all_there_is_to_know(vss: Command) -> None:
    shown = vss("faults", "show", "p06").stdout

    for text in ("What is seen", "Why ", "THAW: every writer", "Try again", "KubeVirt", "Run it"):
        assert text in shown
    assert "waits for replication" in vss("faults", "show", "X01").stdout
    assert data(vss("faults", "show", "W01", "--json"))["phase"] == "freeze"
    assert vss("faults", "show", "W99").exit_code == ExitCode.NOT_FOUND


def test_one_failure_is_run_with_the_report_of_a_run(vss: Command, tmp_path: Path) -> None:
    html = tmp_path / "page.html"
    result = vss("faults", "run", "w06", "--seed", "5", "--html", str(html))

    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("Again: vss faults run W06 --seed 5\n")
    assert html.exists()
    assert data(vss("faults", "run", "W06", "--json"))["failure"]["id"] == "W06"
    assert vss("faults", "run", "X01").exit_code == ExitCode.USAGE


@pytest.mark.slow
def test_a_pack_is_run_as_a_table(vss: Command) -> None:
    result = vss("faults", "run", "--pack", "8")

    assert result.exit_code == 0, result.stderr
    assert "5 run, 0 not as they must be, 0 pending" in result.stdout
    assert [each["id"] for each in data(vss("faults", "run", "--pack", "8", "--json"))["results"]] == [
        "C03", "C06", "M07", "M11", "W23",
    ]  # fmt: skip


def test_a_pack_of_pending_entries_runs_none_and_contradictions_are_refused(vss: Command) -> None:
    assert "0 run, 0 not as they must be, 9 pending" in vss("faults", "run", "--pack", "7").stdout
    for words in ([], ["W01", "--all"], ["--all", "--pack", "1"]):
        assert "expected one of ID, --pack and --all" in vss("faults", "run", *words).stderr
    assert "go with one failure" in vss("faults", "run", "--pack", "7", "--fault", "writer.freeze hang").stderr


def test_a_failure_that_is_not_as_it_must_be_is_exit_code_11(vss: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from vss.scenarios import catalogue

    good = catalogue.entry("W06")
    bad = {**good.tables, "faults": []}
    monkeypatch.setattr(catalogue, "entries", lambda: (catalogue.Entry(title="x", failure=good.failure, tables=bad),))
    result = vss("faults", "run", "--all", "--seed", "2")

    assert result.exit_code == ExitCode.INVARIANT
    assert "1 run, 1 not as they must be, 0 pending\n  vss faults run W06 --seed 2\n" in result.stdout
