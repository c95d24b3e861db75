"""The runner of the benchmarks: finds them, prints what they measured, survives one that fails."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_runner", ROOT / "benchmarks" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "b_fails.py").write_text("def measure():\n    raise ValueError('no room')\n", encoding="utf-8")
    (tmp_path / "a_good.py").write_text("def measure():\n    return {'ratio': 0.81234567, 'runs': 3}\n", encoding="utf-8")
    (tmp_path / "c_other.py").write_text("VALUE = 1\n", encoding="utf-8")
    return tmp_path


def test_benchmarks_run_in_order_of_their_names_and_a_failure_stops_nobody(
    runner: ModuleType, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main([], directory) == 1

    out = capsys.readouterr().out
    assert out.index("a_good (") < out.index("b_fails (")
    assert "  ratio  0.8123\n  runs   3\n" in out
    assert "ValueError: no room" in out
    assert "c_other" not in out


def test_results_as_json_and_by_name(runner: ModuleType, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--json", "a_good"], directory) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "vss.benchmark/1"
    assert document["measured"] == {"ratio": 0.81234567, "runs": 3}


def test_every_file_here_can_be_loaded(runner: ModuleType) -> None:
    names = [name for name, _ in runner.benchmarks(ROOT / "benchmarks")]

    assert names == sorted(names)
