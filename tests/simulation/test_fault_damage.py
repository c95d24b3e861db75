"""Damage to answers: each kind makes of the writer metadata document what it says, and of anything else nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vss.documents import Component, ComponentType, ExcludedFiles, FileSpec, SourceType, UsageType, WriterMetadata
from vss.ids import GUID_NULL, Guid
from vss.simulation import applicable_effects, parse_fault
from vss.simulation.fault_damage import OVERSIZE, damaged
from vss.simulation.fault_words import CORRUPTIONS

FILES = (FileSpec("D:\\Mail", "*.edb"),)
METADATA = WriterMetadata(
    Guid(int=1),
    Guid(int=2),
    "Mail",
    UsageType.USER_DATA,
    SourceType.TRANSACTION_DB,
    components=(Component(ComponentType.DATABASE, "First", files=FILES), Component(ComponentType.DATABASE, "Second")),
    excluded=(ExcludedFiles("D:\\Mail", "*.tmp"),),
)


def made_of(value: Any, effect: str, site: str = "writer.identify") -> Any:
    return damaged(parse_fault(f"{site} {effect}"), value)


def test_kinds_of_damage_to_the_metadata_document() -> None:
    assert len(made_of(METADATA, "corrupt kind=oversize").friendly_name) > OVERSIZE
    assert "\x00" in made_of(METADATA, "corrupt kind=bad_xml").friendly_name
    outside = made_of(METADATA, "corrupt kind=wrong_path")
    assert outside.components[0].files[0].path == outside.excluded[0].path == "..\\..\\outside"
    assert [each.component_name for each in made_of(METADATA, "corrupt kind=duplicate_id").components] == [
        "First", "Second", "First",
    ]  # fmt: skip
    assert made_of(METADATA, "corrupt kind=unknown_enum").usage == 9999
    assert made_of(METADATA, "corrupt kind=foreign_id").writer_id not in (METADATA.writer_id, GUID_NULL)
    assert math.isnan(made_of(METADATA, "corrupt kind=nan").major_version)
    assert made_of(METADATA, "corrupt kind=empty").components == ()
    assert made_of(METADATA, "corrupt kind=wrong_type") == "corrupt"


@pytest.mark.parametrize("form", [form.text for form in applicable_effects("writer.identify") if form.effect == "corrupt"])
def test_every_kind_that_a_sweep_tries_at_identify_changes_something(form: str) -> None:
    assert made_of(METADATA, form) != METADATA


def test_parts_are_left_out_of_the_document() -> None:
    assert [each.component_name for each in made_of(METADATA, "partial=1/2").components] == ["First"]
    assert [each.component_name for each in made_of(METADATA, "omit=F*").components] == ["Second"]


def test_a_value_that_cannot_have_a_kind_of_damage_stays() -> None:
    for kind in CORRUPTIONS:
        if kind != "wrong_type":
            assert made_of(5, f"corrupt kind={kind}") == 5
    assert made_of([1, 2], "corrupt kind=oversize") == [1, 2]
    assert made_of(METADATA, "corrupt kind=bitflip") is METADATA
    assert made_of(5, "partial=1/2") == made_of(5, "omit=*") == 5
    assert made_of(5, "flip", "page.read") == made_of(5, "short", "page.read") == 5
    assert made_of(True, "corrupt kind=wrong_type", "provider.is_volume_supported") == "corrupt"


def test_items_are_named_by_what_they_are_called() -> None:
    class Named:
        name = "L:"

    assert made_of([Named(), "D:"], "omit=L:", "requestor.volumes") == ["D:"]
