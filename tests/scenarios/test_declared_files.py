"""Which files belong into a full backup, by the documents alone; a requestor that takes others is found."""

from __future__ import annotations

import pytest

from tests.invariants.planted import ALL
from tests.scenarios.kit import run
from vss.scenarios import Outcome
from vss.scenarios.declared_files import declared_files
from vss.simulation.invariants.image import Image

SCENARIO = """
title = "x"
[lab]
template = "small"
workloads = []
volumes = [{ name = "D:", size = "2 MiB" }]
[[lab.writers]]
name = "A"
kind = "scripted"
[lab.writers.options]
name = "A"
exclude = [{ path = 'D:\\A\\deep', filespec = "*.tmp" }]
components = [{ name = "C", file_sets = [{ path = 'D:\\A', filespec = "*.dat" }, { path = 'D:\\A\\deep', recursive = true }] }]
files = [
    { path = 'D:\\A\\a.dat', size = "512 B", seed = 1 },
    { path = 'D:\\A\\a.txt', size = "512 B", seed = 2 },
    { path = 'D:\\A\\deep\\b.tmp', size = "512 B", seed = 3 },
    { path = 'D:\\A\\deep\\er\\c.bin', size = "512 B", seed = 4 },
]
[[method]]
do = "backup"
name = "b"
"""


def broken(outcome: Outcome) -> dict[str, str]:
    return {each.name: each.message for each in outcome.shortfalls if each.kind == "invariant"}


def test_wildcards_recursion_and_exclusions_are_read_from_the_documents() -> None:
    outcome = run(SCENARIO)
    assert broken(outcome) == {}
    assert "B11" not in outcome.not_judged


def test_a_requestor_that_takes_what_a_writer_leaves_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    next(each for each in ALL if each.invariant_id == "B11").plant(monkeypatch)
    assert "d/a/deep/b.tmp is in the set and belongs to no component" in broken(run(SCENARIO))["B11"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "b"', 'name = "b"\ntype = "COPY"'),
        ("workloads = []", 'workloads = []\nfiles_not_to_backup = { Temp = ["D:\\\\temp\\\\* /s"] }'),
    ],
)
def test_where_other_rules_decide_too_nothing_is_judged(old: str, new: str) -> None:
    outcome = run(SCENARIO.replace(old, new))
    assert broken(outcome) == {}
    assert "B11" in outcome.not_judged


COMPONENTS = """<BACKUP_COMPONENTS xmlns="x" backupType="full"><WRITER_COMPONENTS instanceId="I">
<COMPONENT componentName="C" backupSucceeded="yes"/></WRITER_COMPONENTS></BACKUP_COMPONENTS>"""
METADATA = """<WRITER_METADATA xmlns="x"><IDENTIFICATION instanceId="I"/><BACKUP_LOCATIONS>
<FILE_GROUP componentName="C"><FILE_LIST path="C:\\x" filespec="*"/></FILE_GROUP></BACKUP_LOCATIONS></WRITER_METADATA>"""


@pytest.mark.parametrize(
    ("components", "metadata"),
    [
        ("<", METADATA),
        ("", METADATA),
        (COMPONENTS.replace('"yes"', '"no"'), METADATA),
        (COMPONENTS.replace("/></WRITER", "><PARTIAL_FILE/></COMPONENT></WRITER"), METADATA),
        (COMPONENTS, METADATA),
        (COMPONENTS, METADATA.replace("C:\\x", "%TEMP%\\x")),
    ],
)
def test_documents_that_do_not_say_it_alone_say_nothing(components: str, metadata: str) -> None:
    written = {"backup_components.xml": components.encode(), "writer_metadata/a.xml": metadata.encode()}
    assert declared_files({path: data for path, data in written.items() if data}, {}) is None


def test_what_a_full_backup_does_not_ask_for_is_not_wanted() -> None:
    metadata = METADATA.replace('filespec="*"', 'filespec="*" filespecBackupType="2570" alternatePath="D:\\\\y"')
    written = {"backup_components.xml": COMPONENTS.encode(), "writer_metadata/a.xml": metadata.encode()}
    assert declared_files(written, {"D:": Image({}, 1 << 20)}) == {}
