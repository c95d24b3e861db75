"""The report of a run shows what happened, which faults struck, what was expected, and how to see it again."""

from __future__ import annotations

from pathlib import Path

from vss.plugins import load
from vss.scenarios import Outcome, parse_scenario, run_scenario
from vss.scenarios.report import facts_of, report, reproduce_line
from vss.simulation.fault_grammar import parse_fault

SCENARIO = """
title = "Two faults"
[lab]
template = "small"
[[method]]
do = "backup"
name = "slow"
[[faults]]
fault = "provider.commit delay=15s"
[[faults]]
fault = "writer.post_restore fail"
[[expect]]
step = "slow"
exit_code = 4
because = "so it is written"
[[expect]]
event = "HoldLost"
[[expect]]
event = "WriterFroze"
where = { writer = "Mail" }
count = 2
"""


def outcome() -> Outcome:
    return run_scenario(parse_scenario(SCENARIO), load().registry, seed=7)


def test_the_report_tells_steps_faults_expectations_and_evidence() -> None:
    lines = report(outcome(), "vss run x.toml --seed 7").splitlines()

    assert lines[0] == "Two faults (seed 7)"
    assert any("slow (backup): exit 5" in line for line in lines)
    assert any("HoldWritesTimeoutError: volume D:" in line for line in lines)
    assert "  struck 1 time: fault provider.commit delay=15s" in lines
    assert "  NEVER STRUCK: fault writer.post_restore fail" in lines
    assert "  NOT  step 'slow': exit code 4 (so it is written)" in lines
    assert "  yes  >=1 events HoldLost" in lines
    assert "  NOT  2 events WriterFroze with writer 'Mail'" in lines
    assert any(line.startswith("  expectation slow: step 'slow': expected exit code 4, found 5") for line in lines)
    assert any(line.startswith("      → ") for line in lines), "the record it is blamed on"
    assert any("… and" in line and "--trace has them all" in line for line in lines)
    assert "3 things NOT as it must be" in lines[-2]
    assert lines[-1] == "Again: vss run x.toml --seed 7"


def test_five_events_stand_before_the_one_that_is_blamed() -> None:
    lines = report(outcome(), "").splitlines()
    blamed = next(number for number, line in enumerate(lines) if line.startswith("      → "))

    assert all(line.startswith("        00:") for line in lines[blamed - 5 : blamed])


def test_the_line_that_reproduces_a_run_is_quoted_for_a_shell(tmp_path: Path) -> None:
    line = reproduce_line(outcome(), "a b.toml", ["writer.freeze when='writer:A B' hang"])

    assert line == """vss run 'a b.toml' --seed 7 --fault 'writer.freeze when='"'"'writer:A B'"'"' hang'"""


def test_the_facts_are_json_without_the_records() -> None:
    facts = facts_of(outcome(), "again")

    assert (facts["ok"], facts["exit_code"], facts["reproduce"], facts["seed"]) == (False, 11, "again", 7)
    assert facts["events"] > 100
    assert [each["strikes"] for each in facts["faults"]] == [1, 0]


def test_faults_of_the_command_line_come_on_top_and_may_rest() -> None:
    more = [parse_fault("writer.post_restore fail")]
    calm = parse_scenario('title = "x"\n[lab]\ntemplate = "small"\n[[method]]\ndo = "backup"\n')

    assert run_scenario(calm, load().registry, faults=more).ok
