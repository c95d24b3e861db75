"""Faults in a whole machine: a clean run's visits, the same ones again, and what is left when a role dies at each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from vss.cli.loading import loaded_plugins
from vss.events import HoldLost, Record, WriterAborted
from vss.lab import Lab, template_text
from vss.lab.world import create_lab, run_in_lab
from vss.simulation import FAULT_SITES, KNOWN_SITES, FaultPlan, MemoryFiles
from vss_requestors.backup import BackupRequestor
from vss_requestors.restore import RestoreRequestor
from vss_requestors.results import BackupResult

LAB, SETS = Path("/lab"), Path("/sets")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def disk() -> bytes:
    """A lab, as it lies on the host; copied for every run."""
    return template_text("small", 7).encode()


def played(disk: bytes, play: Callable[[Lab], Awaitable[Any]], plan: FaultPlan) -> tuple[Any, list[Record]]:
    files, plugins, records = MemoryFiles(), loaded_plugins(), list[Record]()
    create_lab(files, LAB, disk.decode(), plugins.registry, plugins=plugins)
    files.make_directory(SETS)
    run = run_in_lab(files, LAB, play, plugins.registry, watch=records.append, faults=plan, plugins=plugins)
    return run.result, records


async def back_up(lab: Lab) -> BackupResult:
    return await BackupRequestor().run(lab, target=SETS)


async def back_up_and_restore(lab: Lab) -> None:
    backup = await back_up(lab)
    await RestoreRequestor().run(lab, source=SETS / backup.set_id)


def test_a_clean_run_visits_known_sites_of_every_role_and_the_same_ones_again(disk: bytes) -> None:
    plan = FaultPlan(records_visits=True)
    played(disk, back_up_and_restore, plan)
    first = plan.visits
    played(disk, back_up_and_restore, plan)
    assert plan.visits == first
    sites = {visit.site for visit in first}
    assert sites <= set(KNOWN_SITES)
    expected = {"writer", "provider", "coord", "requestor", "restore", "volume", "diffarea", "store", "set"}
    assert {site.role for site in FAULT_SITES if site.name in sites} == expected
    assert len(sites) >= 80


def test_every_visit_of_a_clean_run_can_be_struck_alone(disk: bytes) -> None:
    plan = FaultPlan(records_visits=True)
    played(disk, back_up, plan)
    for visit in plan.visits[:: len(plan.visits) // 12]:
        again = FaultPlan([visit.fault("jump=-1h")])
        played(disk, back_up, again)
        assert again.strikes() == [1], visit


@pytest.mark.parametrize("site", ["coord.freeze", "coord.flush_and_hold", "coord.commit", "coord.release", "coord.thaw"])
@pytest.mark.parametrize("point", ["before", "during", "after"])
def test_when_the_service_dies_in_the_window_writers_and_volumes_help_themselves_and_the_next_backup_works(
    disk: bytes, site: str, point: str
) -> None:
    async def play(lab: Lab) -> BackupResult:
        first = asyncio.create_task(back_up(lab))
        await asyncio.wait([first], timeout=3600)
        assert first.exception() is not None
        await lab.run_for(61)
        assert not lab.coordinator.is_creating
        assert lab.coordinator.open_session_count == 0
        return await back_up(lab)

    plan = FaultPlan.parse(f"{site} crash={point} restart=30s")
    result, records = played(disk, play, plan)
    assert (result.exit_code, plan.strikes()) == (0, [1])
    if (site, point) == ("coord.commit", "before"):
        assert {type(each.event) for each in records} >= {HoldLost, WriterAborted}


@pytest.mark.parametrize("site", ["requestor.snapshot", "requestor.copy", "requestor.seal", "set.rename", "set.write"])
def test_when_the_requestor_dies_the_service_ends_its_session_and_the_next_backup_works(disk: bytes, site: str) -> None:
    async def play(lab: Lab) -> BackupResult:
        first = asyncio.create_task(back_up(lab))
        await asyncio.wait([first], timeout=3600)
        if not first.done():
            await lab.coordinator.requestor_killed(first)
        assert lab.coordinator.open_session_count == 0
        return await back_up(lab)

    plan = FaultPlan.parse(f"{site} crash=after")
    result, _ = played(disk, play, plan)
    assert (result.exit_code, plan.strikes()) == (0, [1])
