"""Every entry of the catalogue that can run does what it says; the page of the catalogue is current."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import msgspec
import pytest

from vss.errors import BadStateError, ConfigurationError, NotFoundError
from vss.plugins import load
from vss.plugins.registry import Registry
from vss.scenarios import run_scenario
from vss.scenarios.catalogue import Entry, entries, entry, parse_entry
from vss.scenarios.catalogue_page import catalogue_page
from vss.scenarios.failure import GUARANTEES, PACKS, PHASES
from vss.scenarios.scenario import scenario_of

PAGE = Path(__file__).parents[2] / "docs" / "failures.md"
READY = [each for each in entries() if not each.failure.is_pending]

ENTRY = """
title = "Something"
[failure]
id = "Z01"
phase = "freeze"
evidence = "derived"
sees = "It."
why = "Because."
must_hold = ["THAW"]
retry = "no"
source = "derived"
"""


@cache
def registry() -> Registry:
    return load().registry


@pytest.mark.slow
@pytest.mark.parametrize("found", READY, ids=[each.id for each in READY])
def test_the_entry_runs_and_everything_is_as_it_must_be(found: Entry) -> None:
    outcome = run_scenario(found.scenario(), registry())

    assert [f"{each.kind} {each.name}: {each.message}" for each in outcome.shortfalls] == []


def test_no_fewer_than_110_entries_can_run_and_none_is_there_twice() -> None:
    identifiers = [each.id for each in entries()]

    assert len(READY) >= 110
    assert len(identifiers) == len(dict.fromkeys(identifiers)) == 161


def test_every_entry_that_can_run_expects_something_or_checks_something() -> None:
    for each in READY:
        scenario = each.scenario()
        checks = [step for step in scenario.method if step.__struct_config__.tag in ("check", "session")]
        assert scenario.expect or scenario.faults or checks, each.id


def test_every_text_says_something_and_every_pack_and_guarantee_is_used() -> None:
    for each in entries():
        texts = (each.title, each.failure.sees, each.failure.why, each.failure.retry, each.failure.source)
        assert all(text.strip() for text in texts), each.id
    assert {number for each in entries() for number in each.failure.packs} == set(PACKS)
    assert {name for each in entries() for name in each.failure.must_hold} == set(GUARANTEES)


def test_only_what_waits_for_replication_is_missing_from_the_packs_but_the_one_of_failovers() -> None:
    waiting = [each for each in entries() if each.failure.is_pending and any(pack != 7 for pack in each.failure.packs)]

    assert [each.id for each in waiting] == ["X01", "X06"]


STRUCK = [each for each in READY if each.tables.get("faults") and each.id != "C06"]
"""Entries whose fault shows in what they expect; of C06 nothing may show."""


@pytest.mark.slow
@pytest.mark.parametrize("found", STRUCK, ids=[each.id for each in STRUCK])
def test_without_its_fault_the_entry_is_not_as_it_must_be(found: Entry) -> None:
    calm = {**found.tables, "faults": [], "lets_faults_rest": True}

    assert not run_scenario(scenario_of(calm), registry()).ok


def without(identifier: str, *steps: str, **tables: object) -> Entry:
    """An entry without some of its steps, by name or kind, or with other tables."""
    found = entry(identifier)
    method = [each for each in found.tables["method"] if each.get("name", each["do"]) not in steps]
    return Entry(title=found.title, failure=found.failure, tables={**found.tables, "method": method, **tables})


def changed_method(identifier: str, before: str, after: str) -> object:
    """The steps of an entry with something else in its calls."""
    return json.loads(json.dumps(entry(identifier).tables["method"]).replace(before, after))


@pytest.mark.parametrize(
    "harmless",
    [
        without("L01", "delete_file"),
        without("L02", "foreign"),
        without("L04", "write_file"),
        without("L07", lab={"template": "mail"}),
        without("L16", "delete_file"),
        without("L19", "copy_file-2", "copy_file"),
        without("R06", "write_file"),
        without("R07", "write_file"),
        without("R17", "write_file", "delete_file"),
        without("R18", method=changed_method("R18", '"succeeded": false', '"succeeded": true')),
        without("R21", method=changed_method("R21", '"do_snapshot_set"', '"query"'), lets_faults_rest=True),
        without("L17", lab={"template": "mail"}),
        without("S01", "write_file"),
        without("S02", "write_file"),
        without("S02", "defragment"),
        without("S04", "write_file"),
        without("S09", "truncate_file"),
        without("S15", "write_file"),
        without("T06", "delete_file"),
        without("T14", "write_file"),
        without("T16", "stop_service"),
        without("T18", "write_file"),
        without("T25", "repair"),
        without("W21", lab={"template": "small"}),
        without("P12", "write_file", "limit_shadows"),
    ],
    ids=lambda each: each.id,
)
def test_without_its_circumstance_an_entry_is_not_as_it_must_be(harmless: Entry) -> None:
    assert not run_scenario(harmless.scenario(), registry()).ok


def test_a_pending_entry_says_what_it_waits_for_and_does_not_run() -> None:
    with pytest.raises(BadStateError, match="failure X01 cannot run yet: it waits for replication"):
        entry("x01").scenario()


def test_an_unknown_entry_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'W01'"):
        entry("W001")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('phase = "freeze"', 'phase = "freezing"'), "phase: 'freezing' is none of .*did you mean 'freeze'"),
        (('["THAW"]', '["THAWN"]'), "must_hold: 'THAWN' is none of .*did you mean 'THAW'"),
        (('retry = "no"', 'retry = "no"\npacks = [9]'), "packs: there is no pack 9"),
        (('id = "Z01"', "id = 1"), "Expected `str`"),
        (("[failure]", "[failure"), "Z.toml: "),
        (('evidence = "derived"', 'evidence = "guessed"'), "Invalid enum value"),
    ],
)
def test_an_entry_that_means_nothing_is_refused(change: tuple[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse_entry(ENTRY.replace(*change), "Z.toml")


def test_a_scenario_file_may_carry_the_table_and_it_is_checked_there_too() -> None:
    body = '\n[lab]\ntemplate = "small"\n[[method]]\ndo = "check"\n'
    found = parse_entry(ENTRY + body, "Z01.toml")

    assert found.scenario().failure == found.failure
    with pytest.raises(ConfigurationError, match="phase: 'x' is none of"):
        scenario_of({**found.tables, "failure": {**found.tables["failure"], "phase": "x"}})


def test_the_page_is_what_the_catalogue_says() -> None:
    assert PAGE.read_text("utf-8") == catalogue_page(entries()), "run python docs/refresh.py"


def test_cells_of_the_page_cannot_break_its_tables() -> None:
    found = parse_entry(ENTRY.replace('"It."', '"a | b\\n<script>"').replace("Z01", "W99"), "W99.toml")
    (line,) = [each for each in catalogue_page([found]).splitlines() if each.startswith("| W99")]

    assert "a \\| b &lt;script>" in line
    assert line.count(" | ") == 5


def test_phases_are_those_of_the_files() -> None:
    assert {each.failure.phase for each in entries()} <= set(PHASES)
    assert msgspec.json.encode([each.failure for each in entries()])
