"""The examples and the blocks of the documentation run and show what they say."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from vss.cli.main import main
from vss.plugins import load
from vss.plugins.registry import Registry
from vss.scenarios import load_scenario, parse_scenario, run_scenario
from vss.scenarios.steps import AnyStep

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples" / "scenarios").glob("*.toml"))
TEXT = (ROOT / "docs" / "scenarios.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


@cache
def registry() -> Registry:
    return load().registry


@pytest.mark.parametrize("path", EXAMPLES, ids=[each.stem for each in EXAMPLES])
def test_an_example_is_as_it_must_be_with_more_than_one_seed(path: Path) -> None:
    scenario = load_scenario(str(path), path.read_bytes())

    for seed in (1, 2):
        assert run_scenario(scenario, registry(), seed=seed).shortfalls == ()


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "toml"])
def test_a_scenario_in_the_documentation_is_as_it_must_be(block: str) -> None:
    assert run_scenario(parse_scenario(block), registry()).shortfalls == ()


def test_the_commands_in_the_documentation_are_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = (ROOT / "examples" / "scenarios" / "wrong-order.toml").read_text("utf-8")
    (tmp_path / "broken.toml").write_text(broken)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)

    commands = [line[2:] for kind, text in BLOCKS if kind == "console" for line in text.splitlines() if line.startswith("$ ")]
    assert [main(shlex.split(each)[1:]) for each in commands] == [0, 0, 11, 0]


def test_the_python_in_the_documentation_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    for code in [text for kind, text in BLOCKS if kind == "python"]:
        exec(compile(code, "scenarios.md", "exec"), {})


def test_every_kind_of_step_is_in_the_documentation() -> None:
    kinds = [str(kind.__struct_config__.tag) for kind in AnyStep.__args__]

    assert [kind for kind in kinds if f"`{kind}`" not in TEXT] == []
