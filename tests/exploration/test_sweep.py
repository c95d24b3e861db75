"""A sweep tries every point with every effect; what it finds it tells once, with the first run that showed it."""

from __future__ import annotations

from itertools import islice

import msgspec
import pytest

from tests.invariants.planted import ALL
from vss.errors import NotFoundError
from vss.exploration.points import Point
from vss.exploration.processes import local_processes
from vss.exploration.sweep import Report, crash_trials, pair_trials, points_of, selected, shipped, single_trials, sweep, trials
from vss.exploration.workers import Crew
from vss.plugins.registry import Registry
from vss.simulation.fault_grammar import parse_fault
from vss.simulation.fault_sites import applicable_effects


def report_of(crew: Crew, *sites: str, every: int) -> Report:
    points = selected(points_of(crew), ["backup"], sites or ("provider.commit", "writer.freeze"))
    report, bad = sweep(crew, "single", points, trials("single", points, crew, every=every))
    assert len(bad) == report.violations
    return report


def test_every_effect_of_a_point_is_tried_once_and_always() -> None:
    point = Point("backup", "writer.freeze", (("writer", "A"),), 1)
    faults = [parse_fault(trial.faults[0][1]) for site, _, trial in single_trials([point], 1) if site == "writer.freeze"]
    forms = applicable_effects("writer.freeze")

    assert len(faults) == 2 * len(forms)
    assert sorted(fault.effect_text for fault in faults if fault.times is None) == sorted(form.text for form in forms)
    assert {fault.times for fault in faults} == {1, None}


def test_what_nobody_passes_is_tried_once_per_step() -> None:
    points = [Point(step, "writer.freeze", (), 1) for step in ("backup", "restore")]
    clocks = [trial.faults[0][0] for site, _, trial in single_trials(points, 1) if site == "clock"]

    assert sorted(clocks) == ["backup"] * 2 + ["restore"] * 2


def test_a_crash_is_tried_before_during_and_after_with_a_restart_of_role_or_machine() -> None:
    found = [
        (trial.faults[0][1].rpartition("nth:1 ")[2], trial.reboot_after)
        for _, _, trial in crash_trials([Point("backup", "writer.freeze", (), 1)], 1)
    ]

    assert ("crash=during", "") in found
    assert ("crash=during", "backup") in found
    assert ("crash=after restart=0s", "") in found
    assert len(found) == 9


def test_pairs_are_all_pairs_and_none_twice() -> None:
    points = [Point("backup", site, (), 1) for site in ("writer.freeze", "provider.commit")]
    pairs = [trial.faults for _, _, trial in pair_trials(points, 1)]
    singles = {fault for pair in pairs for fault in pair}

    assert len(pairs) == len({frozenset(pair) for pair in pairs}) == len(singles) * (len(singles) - 1) // 2


@pytest.mark.slow
def test_a_run_that_is_left_out_is_the_one_before_it(tiny: Crew) -> None:
    points = selected(points_of(tiny), ["backup"], ["requestor.snapshot", "set.rename"])
    every = [trial for site, _, trial in single_trials(points, 1) if site not in ("clock", "service.coord")]
    told = list(tiny.run(every))
    left_out = [(trial, msgspec.structs.replace(result, is_known=False)) for trial, result in told if result.is_known]

    assert 20 < len(left_out) < len(told) / 2
    assert {trial.faults[0][1].split()[1] for trial, _ in left_out} == {
        "requestor.snapshot",
        "set.rename",
    }
    assert [result for _, result in left_out] == [tiny.explorer.run(trial) for trial, _ in left_out]


def test_sites_that_the_table_does_not_have_are_told(tiny: Crew) -> None:
    points = [Point("backup", "plugin.own_site", (), 1)]

    report, _ = sweep(tiny, "single", points, [])

    assert (report.not_tabled, report.runs) == (("plugin.own_site",), 0)


@pytest.mark.slow
def test_a_tiny_sweep_finds_nothing_and_counts_everything(tiny: Crew) -> None:
    report = report_of(tiny, every=5)

    assert (report.violations, report.findings) == (0, ())
    rows = {cell.site: cell for cell in report.cells}
    assert rows["writer.freeze"].points == 1
    assert report.runs == sum(cell.runs for cell in report.cells) == sum(report.coverage.outcomes.values())
    assert {"writer.freeze", "provider.commit"} <= set(report.coverage.sites)
    assert "WAITING_FOR_FREEZE Freeze" in report.coverage.writer_cells
    assert "VSS_E_WRITERERROR_NONRETRYABLE" in report.coverage.codes


def test_a_planted_bug_is_found_and_told_once(grudging: Crew) -> None:
    report = report_of(grudging, "provider.commit", every=9)

    assert report.violations > 1
    told = {finding.violation.key: finding.runs for finding in report.findings}
    assert len(told) == len(report.findings)
    assert told.keys() == {"recovery fresh", "invariant R3"}, "what may be tried again must succeed then"
    assert told["recovery fresh"] == report.violations


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_report(tiny: Crew) -> None:
    with local_processes(2) as executor:
        elsewhere = report_of(Crew(tiny.text, "tiny.toml", executor=executor), every=9)

    assert elsewhere == report_of(tiny, every=9)


def test_a_scenario_that_does_not_come_with_the_program_is_refused() -> None:
    with pytest.raises(NotFoundError, match="no scenario 'defualt' comes with the program: found default, mail, pairs"):
        shipped("defualt")


@pytest.mark.slow
def test_power_that_fails_at_any_write_leaves_a_machine_that_goes_on(crew: Crew) -> None:
    points = selected(points_of(crew), ["backup"], ["set.*", "volume.flush", "diffarea.*"])
    report, _ = sweep(crew, "power-loss", points, trials("power-loss", points, crew, every=6))

    assert (report.violations, report.findings) == (0, ())
    assert report.runs > 10
    assert report.coverage.outcomes.get("reported", 0) > 0


def test_a_run_that_does_not_repeat_is_found(tiny: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = next(each for each in ALL if each.invariant_id == "R4")
    points = selected(points_of(tiny), ["backup"], ["writer.freeze"])
    few = list(islice(trials("single", points, tiny), 2))
    assert sweep(tiny, "single", points, few)[0].violations == 0
    planted.plant(monkeypatch)

    report, _ = sweep(tiny, "single", points, few)
    assert [each.violation.key for each in report.findings] == ["invariant R4"]
    assert report.violations == 1


@pytest.mark.slow
def test_a_mail_store_is_as_ever_after_a_fault_anywhere(registry: Registry) -> None:
    mail = Crew(shipped("mail"), "shipped:mail", registry=registry)
    points = points_of(mail)
    report, _ = sweep(mail, "single", points, trials("single", points, mail, every=90))
    crashes, _ = sweep(mail, "crash", points, trials("crash", points, mail, every=30))

    assert not {"repair", "replace", "dismount", "again", "start"} & {point.step for point in points}
    assert {point.site for point in points} >= {"log.write", "page.read", "checkpoint.write", "restore.post_restore"}
    assert report.runs > 100
    assert crashes.runs > 30
    assert (report.findings, crashes.findings) == ((), ())
