"""Mutation testing: ``python benchmarks/mutate.py MODULE.py TEST… [--every N] [--report FILE]``.

Changes one thing of a module at a time (a comparison, a boolean operator, a constant, a sign, a ``not``, a statement left out)
and runs the tests: a mutant that no test notices survives and is printed with its line. Each mutant runs in a forked process
that has the heavy packages loaded and nothing of ours, so that nothing is left of the mutant before. ``assert`` and docstrings
are not touched; a mutant that runs longer than ``--timeout`` counts as killed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SHELVES = [str(ROOT), *(str(ROOT / shelf) for shelf in ("providers", "writers", "requestors"))]
HEAVY = ("click", "lxml.etree", "msgspec", "numpy", "pluggy", "pytest", "structlog", "xxhash")
SWAPPED: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add,
}  # fmt: skip


class Mutator(ast.NodeTransformer):
    """Counts the places where a mutant is possible; changes the one with the number ``target``."""

    def __init__(self, target: int) -> None:
        """Change place ``target``; -1 none."""
        self.target = target
        self.count = 0
        self.told = ""

    def _is_it(self, node: Any, what: str) -> bool:
        self.count += 1
        if self.count - 1 == self.target:
            self.told = f"line {node.lineno}: {what}"
            return True
        return False

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Leave our own checks alone."""
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Swap a comparison for its neighbour."""
        self.generic_visit(node)
        for index, operator in enumerate(node.ops):
            other = SWAPPED.get(type(operator))
            if other is not None and self._is_it(node, f"{type(operator).__name__} becomes {other.__name__}"):
                node.ops[index] = other()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """Swap ``and`` and ``or``."""
        self.generic_visit(node)
        if self._is_it(node, "and/or swapped"):
            node.op = SWAPPED[type(node.op)]()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Swap plus and minus."""
        self.generic_visit(node)
        if type(node.op) in SWAPPED and self._is_it(node, f"{type(node.op).__name__} swapped"):
            node.op = SWAPPED[type(node.op)]()
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Drop a ``not``."""
        self.generic_visit(node)
        return node.operand if isinstance(node.op, ast.Not) and self._is_it(node, "not dropped") else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Change a number or a truth value; texts are for people."""
        if isinstance(node.value, bool):
            return ast.Constant(not node.value) if self._is_it(node, f"{node.value} inverted") else node
        if isinstance(node.value, (int, float)) and self._is_it(node, f"{node.value} plus one"):
            return ast.Constant(node.value + 1)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Leave a call out whose result nobody uses."""
        if isinstance(node.value, ast.Constant):
            return node
        self.generic_visit(node)
        is_statement = isinstance(node.value, (ast.Call, ast.Await))
        return ast.copy_location(ast.Pass(), node) if is_statement and self._is_it(node, "statement left out") else node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Leave an error out; its text stays as it is."""
        return ast.copy_location(ast.Pass(), node) if self._is_it(node, "raise left out") else node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """Leave out an assignment to an attribute."""
        self.generic_visit(node)
        is_field = all(isinstance(each, (ast.Attribute, ast.Subscript)) for each in node.targets)
        return ast.copy_location(ast.Pass(), node) if is_field and self._is_it(node, "assignment left out") else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Look at the value only."""
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        """Look at the defaults only."""
        node.defaults = [self.visit(each) for each in node.defaults]
        node.kw_defaults = [each if each is None else self.visit(each) for each in node.kw_defaults]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Look at the body only: how a record is made is not behaviour."""
        node.body = [self.visit(each) for each in node.body]
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        """What only type checkers see is not changed."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node
        self.generic_visit(node)
        return node


class MutantLoader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutant where the module is imported."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        """Stand for the module ``name``."""
        self._name, self._path, self._tree = name, path, tree

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:
        """Find our module only."""
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def create_module(self, spec: object) -> None:
        """Let Python make it."""

    def exec_module(self, module: Any) -> None:
        """Run the mutant."""
        exec(compile(self._tree, str(self._path), "exec"), module.__dict__)


def mutants(path: Path) -> Iterator[tuple[str, ast.Module]]:
    """Yield what was changed, and the changed module."""
    source = ast.parse(path.read_text("utf-8"))
    counter = Mutator(-1)
    counter.visit(copy.deepcopy(source))
    for number in range(counter.count):
        mutator = Mutator(number)
        tree = ast.fix_missing_locations(mutator.visit(copy.deepcopy(source)))
        yield mutator.told, tree


def is_killed(name: str, path: Path, tree: ast.Module | None, tests: Sequence[str], timeout_s: float) -> bool:
    """Run the tests on a mutant in a child process; whether any failed."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        import pytest

        if tree is not None:
            sys.meta_path.insert(0, MutantLoader(name, path, tree))
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--assert=plain", *tests])) and 1)
    deadline = time.monotonic() + timeout_s
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return True
        time.sleep(0.02)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    sys.path[:0] = SHELVES
    for heavy in HEAVY:
        importlib.import_module(heavy)
    path = options.module.resolve()
    base = next(Path(shelf) for shelf in reversed(SHELVES) if path.is_relative_to(shelf))
    name = ".".join(path.relative_to(base).with_suffix("").parts)
    if is_killed(name, path, None, options.tests, options.timeout):
        print("the tests fail without any change", file=sys.stderr)
        return 1
    total, survivors = 0, list[str]()
    for number, (told, tree) in enumerate(mutants(path)):
        if number % options.every:
            continue
        total += 1
        if not is_killed(name, path, tree, options.tests, options.timeout):
            survivors.append(told)
            print(f"{options.module}: survived: {told}", flush=True)
    score = 100.0 * (total - len(survivors)) / max(total, 1)
    print(f"{options.module}: {total} mutants, {len(survivors)} survived, {score:.1f} % killed")
    if options.report is not None:
        options.report.write_text(
            json.dumps({"module": str(options.module), "mutants": total, "survivors": survivors}) + "\n", "utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
