"""The table of fault sites: complete, consistent with the rest, and what a sweep makes of it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from vss.coordinator.limits import Limits
from vss.hresult import PROVIDER_FAILURES, WRITER_FAILURES
from vss.simulation import FAULT_SITES, applicable_effects, parse_fault
from vss.simulation.fault_site_kinds import DATA_EFFECTS, Answer, Passage
from vss.simulation.fault_sites import SITE_BY_NAME, effects_at, sites_named
from vss.simulation.fault_words import EFFECT_WORDS, Visibility

ROOT = Path(__file__).resolve().parents[2]
NOT_PASSED_HERE = {site.name for site in FAULT_SITES if site.passage is Passage.WORLD}


def test_names_are_unique_and_say_role_and_step() -> None:
    assert len(SITE_BY_NAME) == len(FAULT_SITES)
    assert all(re.fullmatch(r"[a-z]+(\.[a-z_]+)?", site.name) and site.passes for site in FAULT_SITES)
    assert SITE_BY_NAME["writer.freeze"].role == "writer"


def test_every_effect_of_the_language_applies_somewhere_and_no_other_does() -> None:
    assert {effect for site in FAULT_SITES for effect in site.effects} == set(EFFECT_WORDS)


@pytest.mark.parametrize("site", FAULT_SITES, ids=lambda site: site.name)
def test_what_a_sweep_tries_at_a_site_is_accepted_and_tried_once(site: object) -> None:
    known = next(each for each in FAULT_SITES if each is site)
    forms = applicable_effects(known)
    assert forms == applicable_effects(known.name)
    assert len({form.text for form in forms}) == len(forms)
    for form in forms:
        fault = parse_fault(f"{known.name} {form}")
        assert fault.effect == form.effect
        assert form.visibility is EFFECT_WORDS[form.effect].visibility


def test_writers_and_providers_are_tried_with_every_legal_code_and_some_illegal_ones() -> None:
    for name, legal in (("writer.freeze", WRITER_FAILURES), ("provider.commit", PROVIDER_FAILURES)):
        forms = [form for form in applicable_effects(name) if form.effect == "fail"]
        assert {form.text for form in forms if form.is_legal} == {f"fail code={code.name}" for code in legal}
        assert len([form for form in forms if not form.is_legal]) >= 3


def test_delays_lie_round_the_limit() -> None:
    forms = [form.text for form in applicable_effects("provider.commit") if form.effect == "delay"]
    assert forms == ["delay=0.001s", "delay=9.999s", "delay=10s", "delay=10.001s", "delay=20s"]
    assert "delay=11s" in [form.text for form in applicable_effects("requestor.seal")]


def test_nobody_is_made_to_wait_for_ever_where_nobody_has_a_limit() -> None:
    for site in FAULT_SITES:
        hangs = [form for form in applicable_effects(site) if form.effect == "hang"]
        assert not hangs or site.limit_s > 0, site.name


def test_the_limits_are_the_coordinators() -> None:
    limits = dataclasses.asdict(Limits())
    expected = {
        "writer.freeze": "freeze_window_s", "writer.thaw": "freeze_window_s", "provider.pre_commit": "freeze_window_s",
        "provider.commit": "hold_window_s", "provider.post_commit": "freeze_window_s", "provider.pre_final": "final_commit_s",
        "provider.post_final": "final_commit_s", "provider.is_volume_supported": "is_supported_s",
        "provider.query_revert": "query_s", "provider.expose": "query_s", "provider.unexpose": "query_s",
        "provider.open": "query_s", "provider.break": "delete_s", "coord.flush_and_hold": "hold_window_s",
        "coord.freeze_transactions": "transaction_s", "coord.thaw_transactions": "transaction_s",
        "coord.sync_recovered": "final_commit_s",
    }  # fmt: skip
    for site in FAULT_SITES:
        if not site.limit_s or site.name in NOT_PASSED_HERE:
            continue
        if site.name == "provider.locate_luns":
            continue  # asked for by providers' own tools only
        name = expected.get(site.name) or f"{site.name.partition('.')[2]}_s"
        assert site.limit_s == limits[name], site.name


def test_the_sites_of_volumes_logs_and_documents_that_change_something_are_tried_with_power_loss() -> None:
    durable = {site.name for site in FAULT_SITES if site.is_durable}
    assert {"store.write", "store.flush", "set.write", "set.rename", "log.write", "checkpoint.write", "diffarea.cow"} <= durable
    assert not durable & {"store.read", "set.open", "volume.read", "log.open", "log.read", "page.read", "volume.hold"}


def test_patterns_name_the_sites_and_effects_they_cover() -> None:
    assert {site.name for site in sites_named("*.freeze")} == {"writer.freeze", "coord.freeze"}
    assert "torn" in effects_at("*.write")
    assert "torn" not in effects_at("writer.*")
    assert effects_at("nothing") == ()


def test_only_silent_effects_leave_no_trace() -> None:
    assert {word.name for word in EFFECT_WORDS.values() if word.visibility is Visibility.SILENT} >= DATA_EFFECTS - {"short"}


def test_damage_is_for_sites_with_an_answer_or_data() -> None:
    for site in FAULT_SITES:
        if site.passage in (Passage.CALL, Passage.STEP) and site.answer is Answer.NOTHING:
            assert not DATA_EFFECTS & set(site.effects), site.name


def test_every_site_of_the_table_is_passed_in_the_source() -> None:
    sources = [
        path.read_text(encoding="utf-8")
        for package in ("vss", "providers", "writers", "requestors")
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.name.startswith("fault_sites")
    ]
    text = "\n".join(sources)
    passed = set(re.findall(r'"((?:[a-z]+)\.[a-z_]+)"', text))
    passed |= {f"set.{step}" for step in re.findall(r'self\._(?:do|fault)\("([a-z_]+)"', text)}
    passed |= {f"provider.{step}" for step in re.findall(r'ask\(\s*(?:\w+,\s*)?"([a-z_]+)"', text)}
    passed |= {f"provider.{step}" for step in re.findall(r'ProviderPhase\.[A-Z_]+: "([a-z_]+)"', text)}
    missing = set(SITE_BY_NAME) - passed - NOT_PASSED_HERE
    assert not {name for name in missing if not name.startswith("provider.")}
