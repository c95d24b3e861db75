"""The examples in writers/README.md run as they stand, and what it says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vss.coordinator.limits import Limits
from vss.roles.writer import Writer

README = Path(__file__).parents[3] / "writers" / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_there_is_one_example() -> None:
    assert len(BLOCKS) == 1


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_runs(number: int) -> None:
    exec(compile(BLOCKS[number], f"{README}:block {number}", "exec"), {"__name__": f"readme_{number}"})


def test_the_table_names_every_method_of_the_face_with_its_deadline() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", TEXT, re.MULTILINE))
    limits = Limits()
    methods = {name for name in vars(Writer) if name.startswith("on_") or name == "identify"}

    assert rows.keys() == methods
    for name, limit in (
        ("identify", limits.identify_s),
        ("on_prepare_backup", limits.prepare_backup_s),
        ("on_prepare_snapshot", limits.prepare_snapshot_s),
        ("on_freeze", limits.freeze_window_s),
        ("on_abort", limits.abort_s),
        ("on_post_snapshot", limits.post_snapshot_s),
        ("on_backup_complete", limits.backup_complete_s),
        ("on_backup_shutdown", limits.backup_shutdown_s),
        ("on_pre_restore", limits.pre_restore_s),
        ("on_post_restore", limits.post_restore_s),
    ):
        assert rows[name].startswith(f"{limit:g} s"), name


def test_every_file_that_is_named_exists() -> None:
    named = re.findall(r"`((?:vss_writers|vss|tests|examples)/[\w/.-]+)`", TEXT)

    assert named
    for each in named:
        assert (README.parent / each).exists() or (README.parents[1] / each).exists(), each
