"""The examples of ``docs/testing.md``, run as they stand there, and the contract test of the example writer."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILES = {match[1]: block for block in BLOCKS if (match := re.match(r"# (\w+\.py)\n", block))}
LOADED = [] if any(each.name == "vss" for each in entry_points(group="pytest11")) else ["-p", "vss.testing.pytest_plugin"]
OPTIONS = [*LOADED, "-p", "no:looptime_plugin", "-p", "no:cacheprovider", "--strict-markers", "-q", "-ra"]


def run(pytester: pytest.Pytester, *arguments: str, subprocess: bool = False) -> dict[str, int]:
    pytester.makefile(".ini", pytest="[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    go = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
    result = go(*OPTIONS, *arguments)
    outcomes: dict[str, int] = result.parseoutcomes()
    return outcomes


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("test_") and "asyncio" not in name])
def test_the_example_passes(name: str, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath(name).write_text(FILES[name], encoding="utf-8")
    few = ["-k", "identify or original or flipped"] if "class Test" in FILES[name] else []
    outcomes = run(pytester, *few)

    assert outcomes.get("passed")
    assert not outcomes.get("failed")
    assert not outcomes.get("errors")


@pytest.mark.slow
def test_the_lines_for_pytest_asyncio_work(pytester: pytest.Pytester) -> None:
    for name in ("conftest.py", "test_with_pytest_asyncio.py"):
        pytester.path.joinpath(name).write_text(FILES[name], encoding="utf-8")

    assert run(pytester, subprocess=True) == {"passed": 1}


def test_the_example_without_pytest_works() -> None:
    (plain,) = [block for block in BLOCKS if not block.startswith("# ")]

    exec(compile(plain, "docs/testing.md", "exec"), {})


def test_the_first_example_has_ten_lines() -> None:
    assert len(FILES["test_freeze.py"].splitlines()) <= 10


def test_the_example_writers_contract_test_has_ten_lines_and_passes(pytester: pytest.Pytester) -> None:
    example = ROOT / "examples" / "vss-writer-notes"
    lines = (example / "test_vss_writer_notes.py").read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line.strip() and not line.startswith('"""')]
    for path in sorted(example.glob("*.py")):
        pytester.path.joinpath(path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    pytester.syspathinsert()
    outcomes = run(pytester, "-k", "frozen or freeze or identify")

    assert len(code) <= 10
    assert outcomes["passed"] > 8
    assert "failed" not in outcomes
