"""An application that dies with its writer's process: its memory is gone, its disks are not, and it is a new instance after."""

from __future__ import annotations

import pytest

from tests.scenarios.kit import run
from vss.events import (
    ApplicationLogged,
    DatabaseDismounted,
    DatabaseMounted,
    FaultFired,
    WorkloadAcknowledged,
    WriterIdentified,
)

MAIL = """
title = "x"
[lab]
template = "mail"
[[method]]
do = "backup"
name = "b"
under_load = true
[[method]]
do = "sleep"
duration = "10m"
"""
CHECK = '[[method]]\ndo = "check"\nname = "check"\n'
START = '[[method]]\ndo = "start_service"\nname = "start"\nwriter = "SG1"\n'
FRESH = '[[method]]\ndo = "backup"\nname = "fresh"\n'


def dying(site: str, when: str, rest: str = "") -> str:
    return f'[[faults]]\nduring = "b"\nfault = "{site} when=nth:1 crash={when}{rest}"\n'


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("site", ["writer.prepare_backup", "writer.freeze", "writer.thaw"])
def test_a_store_that_dies_in_a_backup_recovers_when_its_process_is_back_and_is_backed_up(site: str, when: str) -> None:
    outcome = run(MAIL + CHECK + FRESH + dying(site, when, " restart=10s"))

    assert {each.name for each in outcome.shortfalls} == {"b"}, "only the backup itself is not as without the fault"
    assert outcome.step("b").exit_code == 5
    identified = [each.event for each in outcome.records if isinstance(each.event, WriterIdentified)]
    assert len({each.instance_id for each in identified}) == 2
    moments = [
        (type(each.event).__name__, each.instant_ns // 10**9)
        for each in outcome.records
        if isinstance(each.event, DatabaseMounted | DatabaseDismounted)
    ]
    assert moments[:3] == [("DatabaseMounted", 0), ("DatabaseDismounted", 0), ("DatabaseMounted", 10)]


def test_a_store_that_is_not_started_again_stays_down_until_somebody_starts_it() -> None:
    died = dying("writer.freeze", "during")
    down = run(MAIL + CHECK + died)
    started = run(MAIL + START + CHECK + died)

    assert {each.name for each in down.shortfalls} == {"b", "check", "at the end"}
    assert "is not mounted" in down.step("check").message
    assert {each.name for each in started.shortfalls} == {"b"}


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("site", ["mail.request", "log.write", "page.write", "checkpoint.write", "volume.flush when=volume:L:"])
def test_a_store_that_dies_while_it_works_for_a_user_dies_as_a_whole_and_the_user_lives(site: str, when: str) -> None:
    work = '[[method]]\ndo = "work"\nname = "b"\nduration = "20m"\n'
    outcome = run('title = "x"\n[lab]\ntemplate = "mail"\n' + work + CHECK + FRESH + dying(site, when, " restart=10s"))

    assert outcome.shortfalls == ()
    died, mounted = (
        [each.instant_ns for each in outcome.records if isinstance(each.event, kind)] for kind in (FaultFired, DatabaseMounted)
    )
    assert len(died) == 1
    assert len([instant for instant in mounted if instant > died[0]]) == 1, "it was started again"
    told = [each.event for each in outcome.records if isinstance(each.event, WorkloadAcknowledged)]
    assert max(each.operations for each in told if each.workload == "mail-flow") > 100, "its users went on"
    logged = [each.event.event_id for each in outcome.records if isinstance(each.event, ApplicationLogged)]
    assert 492 not in logged, "the dead say nothing"


def test_a_machine_that_goes_down_first_starts_nothing_any_more() -> None:
    outcome = run(MAIL.replace("10m", "1s") + dying("writer.freeze", "during", " restart=3h"))

    assert {each.kind for each in outcome.shortfalls} <= {"expectation", "check"}
    assert [each.event.database for each in outcome.records if isinstance(each.event, DatabaseMounted)] == [
        "Mailbox Database 1"
    ]


def test_one_that_dies_again_before_it_is_back_is_started_once() -> None:
    twice = "".join(
        f'[[faults]]\nduring = "b"\nfault = "service.writer_host when=nth:{visit} crash restart={restart}"\n'
        for visit, restart in ((150, "20s"), (160, "10s"))
    )
    outcome = run(MAIL + CHECK + twice)

    mounted = [each.instant_ns // 10**9 for each in outcome.records if isinstance(each.event, DatabaseMounted)]
    assert len([each for each in outcome.records if isinstance(each.event, FaultFired)]) == 2
    assert mounted == [0, 10]
