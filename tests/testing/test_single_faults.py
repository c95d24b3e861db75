"""Every single fault of a run: ids, order, choice of sites and effects, and that each one strikes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vss.testing import Scene, Simulator, every_fault, vss_every_fault

SCENARIO = 'title = "a backup"\n[lab]\ntemplate = "small"\n[[method]]\ndo = "backup"\n'


async def backup(scene: Scene) -> None:
    await scene.backup()


def test_ids_name_site_instance_visit_and_effect() -> None:
    faults = every_fault(backup)

    assert "writer.freeze[A]#1-hang" in [each.test_id for each in faults]
    assert all(re.fullmatch(r"[a-z_.]+(\[[^\]]+\])?#\d+-[a-z-]+", each.test_id) for each in faults)
    assert len({each.test_id for each in faults}) == len(faults)


def test_the_order_is_that_of_the_run_and_the_same_each_time() -> None:
    faults = every_fault(backup)
    sites = [each.test_id.partition("[")[0] for each in faults]

    assert faults == every_fault(backup)
    assert sites.index("writer.freeze") < sites.index("provider.commit") < sites.index("writer.thaw")


def test_sites_and_effects_may_be_chosen() -> None:
    faults = every_fault(backup, sites="writer.*", effects=("hang",))

    assert {each.test_id.rpartition("-")[2] for each in faults} == {"hang"}
    assert all(each.test_id.startswith("writer.") for each in faults)


def test_all_forms_of_all_effects_can_be_had() -> None:
    few = every_fault(backup, sites="writer.freeze")
    many = every_fault(backup, sites=["writer.freeze"], effects=["*"], one_per_effect=False)

    assert len(many) > 3 * len(few)
    assert "writer.freeze[A]#1-fail,code=VSS_E_WRITERERROR_RETRYABLE" in [each.test_id for each in many]


@vss_every_fault(backup, sites="writer.*", effects=("fail", "delay"))
def test_each_single_fault_strikes(single_fault: object) -> None:
    run = Simulator().run(backup, faults=str(single_fault))

    assert run.fired == (str(single_fault),)


def test_a_scenario_is_enumerated_by_a_clean_run(tmp_path: Path) -> None:
    path = tmp_path / "backup.toml"
    path.write_text(SCENARIO)
    faults = every_fault(path, sites=("writer.freeze", "provider.commit"), effects=("fail",))

    assert {each.test_id.partition("[")[0] for each in faults} == {"writer.freeze", "provider.commit"}
    for each in faults:
        assert Simulator().run(path, faults=str(each)).fired == (str(each),)


def test_a_story_that_fails_by_itself_cannot_be_enumerated() -> None:
    async def broken() -> None:
        raise LookupError("by itself")

    with pytest.raises(LookupError, match="by itself"):
        every_fault(broken)
