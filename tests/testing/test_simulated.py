"""Simulated runs for tests: stories, machines to order, faults, seeds, orders, reports, scenarios."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from vss.errors import BadStateError, ConfigurationError, FreezeWindowError, InvariantError
from vss.events import SnapshotSetCreated, WriterFroze, WritesHeld
from vss.ports import Ports
from vss.simulation import FifoChoices, Order, SeededChoices, parse_fault
from vss.testing import Scene, SimulatedMachine, Simulator, running_ports, vss_sim_test
from vss.testing.run_log import KEPT_RUNS, RUN_LOG, RunLog
from vss.testing.simulated import parse_plan


async def backup(scene: Scene) -> int:
    return len(await scene.backup())


def test_a_story_gets_what_it_asks_for_by_name() -> None:
    async def story(scene: Scene, ports: Ports) -> bool:
        return scene.ports is ports

    assert Simulator().run(story).result is True


def test_a_story_may_have_defaults_of_its_own_but_no_unknown_wishes() -> None:
    async def with_default(ports: Ports, volumes: int = 3) -> int:
        return volumes

    async def with_wish(moon: object) -> None: ...

    assert Simulator().run(with_default).value == 3
    with pytest.raises(ConfigurationError, match="asks for 'moon'"):
        Simulator().run(with_wish).result  # noqa: B018 - a property that raises


def test_a_good_run_is_ok_and_shows_its_events() -> None:
    run = Simulator().run(backup)

    assert run.ok
    assert run.result == 1
    assert any(isinstance(event, SnapshotSetCreated) for event in run.events)
    assert "WriterFroze" in run.event_names
    assert [event.writer for event in run.events if isinstance(event, WriterFroze)] == ["A"]
    assert "frozen" in run.timeline()
    assert "last events" in run.report()


@pytest.mark.parametrize(
    "faults",
    [
        "writer.freeze hang",
        parse_fault("writer.freeze hang"),
        {"site": "writer.freeze", "effect": "hang"},
        ["writer.freeze hang"],
        [parse_fault("writer.freeze hang")],
    ],
    ids=["line", "fault", "table", "lines", "faults"],
)
def test_faults_may_be_given_in_every_form(faults: Any) -> None:
    run = Simulator().run(backup, faults=faults)

    assert not run.ok
    assert run.fired == ("fault writer.freeze hang",)
    assert isinstance(run.error, FreezeWindowError)
    with pytest.raises(FreezeWindowError):
        run.result  # noqa: B018 - a property that raises


def test_a_fault_that_never_strikes_is_told() -> None:
    run = Simulator().run(backup, faults="writer.pre_restore hang")

    assert run.ok
    assert run.never_fired == ("fault writer.pre_restore hang",)
    assert "never struck: fault writer.pre_restore hang" in run.report()


def test_a_malformed_fault_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean 'writer\.freeze'"):
        Simulator().run(backup, faults="writer.freze hang")


def test_the_same_seed_gives_the_same_records_and_another_seed_others() -> None:
    first, second, third = (Simulator().run(backup, seed=seed).records for seed in (5, 5, 6))

    assert first == second
    assert first != third


@pytest.mark.parametrize("order", ["fifo", "any", "jitter", Order.ANY])
def test_the_order_may_be_chosen(order: Any) -> None:
    assert Simulator().run(backup, order=order, seed=3).ok


def test_choices_decide_what_the_order_leaves_open() -> None:
    assert Simulator().run(backup, choices=SeededChoices(9)).ok
    assert Simulator().run(backup, order=Order.ANY, choices=FifoChoices()).ok


def test_a_broken_invariant_raises_and_can_be_looked_at_instead() -> None:
    async def story(ports: Ports) -> None:
        ports.emit(WritesHeld(volume="D:", limit_ns=10**10))
        await ports.clock.sleep(60.0)

    with pytest.raises(InvariantError):
        Simulator().run(story)
    run = Simulator().run(story, check_invariants=False)
    assert not run.ok
    assert run.error is None
    assert "invariant violation" in run.report()


def test_a_machine_is_made_to_order() -> None:
    machine = SimulatedMachine(writers=["Store", "Index"], volumes=["D:", "E:"])
    run = machine.backup()

    assert run.ok
    assert [event.writer for event in run.events if isinstance(event, WriterFroze)] == ["Store", "Index"]
    assert run.event_names.count("VolumeAddedToSet") == 2
    assert machine.backup(faults="writer.freeze when=writer:Index fail").fired


def test_a_machine_runs_stories() -> None:
    async def story(scene: Scene) -> list[str]:
        return [writer.name for writer in scene.coordinator.writers]

    assert SimulatedMachine(writers=["Store"]).run(story).result == ["Store"]


def test_plans_are_flattened() -> None:
    plan = parse_plan(["writer.freeze hang\nwriter.thaw fail", {"site": "provider.commit", "effect": "fail"}])

    assert [fault.site for fault in plan] == ["writer.freeze", "writer.thaw", "provider.commit"]


# -- scenarios -----------------------------------------------------------------------------------------------------------------

SCENARIO = """
title = "a backup"

[lab]
template = "small"

[[method]]
do = "backup"
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "backup.toml"
    path.write_text(SCENARIO)
    return path


def test_a_scenario_file_is_run(scenario: Path) -> None:
    run = Simulator().run(scenario)

    assert run.ok, run.report()
    assert run.outcome is not None
    assert run.value is run.outcome
    assert run.event_names.count("SnapshotSetCreated") == 1


def test_a_scenario_gets_more_faults(scenario: Path) -> None:
    run = Simulator().run(str(scenario), faults="provider.commit fail")

    assert not run.ok
    assert run.fired == ("fault provider.commit fail",)
    assert "expectation" in run.report()


def test_a_scenario_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml' cannot be read"):
        Simulator().run(tmp_path / "none.toml")


def test_a_scenario_whose_lab_names_an_unknown_kind_is_told(scenario: Path) -> None:
    scenario.write_text(SCENARIO + '\n[[lab.writers]]\nname = "x"\nkind = "nothing-like-it"\n')
    run = Simulator().run(scenario)

    assert not run.ok
    assert "nothing-like-it" in run.report()


# -- async tests as plain ones -------------------------------------------------------------------------------------------------


def test_an_async_test_becomes_a_plain_one() -> None:
    seen = []

    @vss_sim_test
    async def test(ports: Ports, extra: int) -> None:
        """What it says."""
        await ports.clock.sleep(3600.0)
        seen.append((ports.clock.now_ns(), extra))

    assert not asyncio.iscoroutinefunction(test)
    test(extra=5)
    assert seen == [(3600 * 10**9, 5)]
    assert test.__doc__ == "What it says."


def test_the_seed_that_fails_is_told() -> None:
    @vss_sim_test(seeds=10)
    async def test(ports: Ports) -> None:
        assert ports.random.stream("dice").random() < 0.5

    with pytest.raises(AssertionError) as caught:
        test()

    assert [note for note in caught.value.__notes__ if note.startswith("in the simulated world of seed ")]


def test_seeds_may_be_named_and_faults_and_order_apply() -> None:
    seen = []

    @vss_sim_test(seeds=[4, 9], order="any", faults="writer.prepare_backup delay=1s")
    async def test(scene: Scene, ports: Ports) -> None:
        await scene.backup()
        seen.append(ports.clock.now_ns())

    test()
    assert seen == [10**9, 10**9]


def test_a_chosen_seed_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_LOG, "seed", 77)
    monkeypatch.setattr(RUN_LOG, "is_seed_chosen", True)
    count = []

    @vss_sim_test(seeds=50)
    async def test(ports: Ports) -> None:
        count.append(1)

    test()
    assert len(count) == 1


def test_methods_are_decorated_like_functions() -> None:
    class Tests:
        @vss_sim_test
        async def test(self, ports: Ports) -> None:
            self.ran = ports.is_simulated

    tests = Tests()
    tests.test()
    assert tests.ran


def test_a_plain_function_is_refused() -> None:
    with pytest.raises(TypeError, match="is not an async function"):
        vss_sim_test(lambda ports: None)  # type: ignore[arg-type, return-value]


# -- the log of runs -----------------------------------------------------------------------------------------------------------


def test_a_bad_run_is_kept_among_many_good_ones() -> None:
    log = RunLog()
    runs = [Simulator().run(backup, faults="writer.freeze hang" if number == 0 else ()) for number in range(3)]
    for run in [runs[0], *([runs[1]] * (KEPT_RUNS + 5)), runs[2]]:
        log.note(run)

    assert len(log.runs) == KEPT_RUNS
    assert log.worth_showing() is runs[0]
    log.begin(())
    assert log.worth_showing() is None


def test_the_last_good_run_is_shown_where_none_is_bad() -> None:
    log = RunLog()
    run = Simulator().run(backup)
    log.note(run)

    assert log.worth_showing() is run


def test_a_real_loop_is_refused() -> None:
    async def main() -> None:
        running_ports()

    with pytest.raises(BadStateError, match="not on a SimulationLoop"):
        asyncio.run(main())


def test_unknown_names_of_the_package_are_refused() -> None:
    import vss.testing

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vss.testing.nothing  # noqa: B018
    assert "WriterContract" in dir(vss.testing)
