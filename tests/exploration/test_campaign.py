"""A campaign follows from its seeds alone: killed, resumed, in pieces or at once, it ends with the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from vss.errors import ConfigurationError, UnsupportedError
from vss.exploration import campaign as campaigning
from vss.exploration.campaign import Campaign, swarm_trial
from vss.exploration.processes import dask_cluster, local_processes
from vss.exploration.sweep import points_of
from vss.exploration.workers import Crew
from vss.simulation import MemoryFiles
from vss.simulation.fault_grammar import parse_fault

STATE = Path("/state.json")


def campaign(crew: Crew, files: MemoryFiles, seeds: int) -> Campaign:
    return Campaign(crew, points_of(crew), crew.text, seeds=seeds, files=files, path=STATE)


def test_a_seed_gives_one_plan_and_other_seeds_others(tiny: Crew) -> None:
    points = points_of(tiny)
    trials = [swarm_trial(points, seed) for seed in range(1, 41)]

    assert trials == [swarm_trial(points, seed) for seed in range(1, 41)]
    assert len({trial.faults for trial in trials}) > 20
    assert {trial.order for trial in trials} == {"fifo", "jitter", "any"}
    for trial in trials:
        for _, line in trial.faults:
            parse_fault(line)


def test_a_campaign_that_was_stopped_and_taken_up_again_has_the_same_bytes(tiny: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigning, "CHUNK_RUNS", 4)
    at_once, in_pieces = MemoryFiles(), MemoryFiles()

    done = [state.done for state in campaign(tiny, at_once, 10).run()]
    for _ in campaign(tiny, in_pieces, 10).run():
        break  # killed after the first chunk
    pieces = iter([True, False])
    for _ in campaign(tiny, in_pieces, 10).run(lambda: next(pieces)):
        pass
    for _ in campaign(tiny, in_pieces, 10).run():
        pass

    assert done == [4, 8, 10]
    assert in_pieces.read_bytes(STATE) == at_once.read_bytes(STATE)


def test_more_seeds_go_on_from_where_the_state_is(tiny: Crew) -> None:
    files = MemoryFiles()
    for _ in campaign(tiny, files, 3).run():
        pass

    longer = campaign(tiny, files, 5)

    assert (longer.state.done, longer.state.seeds) == (3, 5)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(tiny: Crew) -> None:
    here, elsewhere = MemoryFiles(), MemoryFiles()
    for _ in campaign(tiny, here, 40).run():
        pass
    with local_processes(2) as executor:
        for _ in campaign(Crew(tiny.text, "tiny.toml", executor=executor), elsewhere, 40).run():
            pass

    assert elsewhere.read_bytes(STATE) == here.read_bytes(STATE)


def test_a_planted_bug_is_found(grudging: Crew) -> None:
    run = Campaign(grudging, points_of(grudging), grudging.text, seeds=40)
    for _ in run.run():
        pass

    assert "recovery fresh" in run.state.findings
    assert run.state.findings["recovery fresh"].runs <= run.state.violations
    assert run.state.coverage.outcomes["violated"] == run.state.violations


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{}", "expected the state of a campaign"), (b"not JSON", "expected the state of a campaign")],
)
def test_a_file_that_is_no_state_is_refused(tiny: Crew, content: bytes, told: str) -> None:
    files = MemoryFiles()
    files.write_atomically(STATE, content)

    with pytest.raises(ConfigurationError, match=told):
        campaign(tiny, files, 3)


def test_the_state_of_another_scenario_is_refused(tiny: Crew, grudging: Crew) -> None:
    files = MemoryFiles()
    for _ in campaign(tiny, files, 1).run():
        pass

    with pytest.raises(ConfigurationError, match=r"/state\.json: scenario: expected"):
        campaign(grudging, files, 1)


def test_no_seeds_and_no_processes_are_refused(tiny: Crew) -> None:
    with pytest.raises(ConfigurationError, match="seeds: expected at least 1, found 0"):
        campaign(tiny, MemoryFiles(), 0)
    with pytest.raises(ConfigurationError, match="jobs: expected at least 1, found 0"):
        local_processes(0)


def test_a_cluster_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)

    with pytest.raises(UnsupportedError, match="the package 'distributed' is not installed"):
        dask_cluster("tcp://127.0.0.1:8786")
