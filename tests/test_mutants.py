"""What mutation testing changes in a module: one thing at a time, and nothing that is not behaviour."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_mutants", ROOT / "benchmarks" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def changed(mutants: ModuleType, path: Path, source: str) -> list[str]:
    """Every mutant of ``source``, as text."""
    path.write_text(source, encoding="utf-8")
    return [ast.unparse(mutants.mutant(path, number).tree) for number in range(mutants.count(path))]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a <= b"]),
        ("a < b < c", ["a <= b < c", "a < b <= c"]),
        ("x = a and b", ["x = a or b"]),
        ("x = a - b", ["x = a + b"]),
        ("x -= a", ["x += a"]),
        ("x = not a", ["x = a"]),
        ("x = 5", ["x = 6"]),
        ("x = True", ["x = False"]),
        ("x = {a, b}", ["x = {b}", "x = {a}"]),
        ("x = {a}", ["x = set()"]),
        ("x = (a, b)", ["x = (b,)", "x = (a,)"]),
        ("x = {a: b, c: d}", ["x = {c: d}", "x = {a: b}"]),
        ("go(a)", ["pass"]),
        ("x.y = a", ["pass"]),
        ("del x", ["pass"]),
        ("def f():\n    raise a", ["def f():\n    pass"]),
        ("def f():\n    return a", ["def f():\n    return None"]),
        ("if a:\n    x = b", ["if not a:\n    x = b"]),
        ("x = a if b else c", ["x = a if not b else c"]),
        ("x = [a for a in b if a.c]", ["x = [a for a in b if not a.c]"]),
        ("def f(a=1):\n    pass", ["def f(a=2):\n    pass"]),
    ],
)
def test_one_thing_is_changed(mutants: ModuleType, tmp_path: Path, source: str, expected: list[str]) -> None:
    assert changed(mutants, tmp_path / "one.py", source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Words."""',
        "assert a < b",
        "x = 'text'",
        "def f() -> A | B:\n    pass",
        "x: dict[A, B]",
        "X = Mapping[A, B]",
        "def f():\n    return None",
        "def f():\n    a, b = b, a",
        "if TYPE_CHECKING:\n    import a",
        "if __name__ == '__main__':\n    main()",
    ],
)
def test_what_is_not_behaviour_is_left_alone(mutants: ModuleType, tmp_path: Path, source: str) -> None:
    assert changed(mutants, tmp_path / "one.py", source) == []


def test_a_mutant_knows_its_line_and_the_lines_of_its_statement(mutants: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("x = y\nif a(\n    b < c\n):\n    z = 1\n", encoding="utf-8")

    first, second, third = (mutants.mutant(path, number) for number in range(3))

    assert (first.line, first.what, list(first.lines)) == (3, "Lt becomes LtE", [2, 3, 4])
    assert (second.line, list(second.lines)) == (5, [5])
    assert (third.line, third.what, list(third.lines)) == (2, "condition turned round", [2, 3, 4])
