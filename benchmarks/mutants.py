"""What a mutant is: one place of a module changed. Used by ``mutate.py``.

Changed are comparisons, boolean and arithmetic operators, conditions (turned round), numbers, truth values, and what a function
returns (None in its place). Left out are elements of sets, mappings and tables, statements without a result, errors, and
assignments to attributes. Not changed are ``assert``, texts, annotations and what only type checkers see. Each mutant has one
change; it is named by its line and by what was done.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SWAPPED: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
}  # fmt: skip
SPEAKS_FOR_ITSELF = (ast.Compare, ast.BoolOp, ast.Constant)
"""Conditions that have mutants of their own; the others are turned round."""


@dataclass(frozen=True)
class Mutant:
    """One changed place: its number in the module, its line, what was done, and the lines of the statement it stands in."""

    number: int
    line: int
    what: str
    lines: range
    tree: ast.Module


class Mutator(ast.NodeTransformer):
    """Counts the places where a mutant is possible; changes the one with the number ``target``."""

    def __init__(self, target: int) -> None:
        """Change place ``target``; -1 none."""
        self.target = target
        self.count = 0
        self.line = 0
        self.what = ""
        self.lines = range(0)
        self._statements: list[ast.stmt] = []
        self._functions = 0

    def visit(self, node: ast.AST) -> Any:
        """Keep track of the statement and of whether it is inside a function."""
        if not isinstance(node, ast.stmt):
            return super().visit(node)
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        self._statements.append(node)
        self._functions += is_function
        changed = super().visit(node)
        self._functions -= is_function
        self._statements.pop()
        return changed

    def _is_it(self, node: Any, what: str) -> bool:
        self.count += 1
        if self.count - 1 == self.target:
            statement: Any = self._statements[-1]
            body = getattr(statement, "body", None)
            last = max(body[0].lineno - 1, statement.lineno) if body else statement.end_lineno
            self.lines = range(statement.lineno, last + 1)
            self.line, self.what = node.lineno, what
            return True
        return False

    def _left_out(self, node: ast.stmt, what: str) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node) if self._is_it(node, what) else node

    def _turned(self, test: ast.expr) -> ast.expr:
        is_not = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        if not is_not and not isinstance(test, SPEAKS_FOR_ITSELF) and self._is_it(test, "condition turned round"):
            return ast.copy_location(ast.UnaryOp(ast.Not(), test), test)
        return test

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Leave our own checks alone."""
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        """Leave the annotation of the result alone."""
        returns, node.returns = node.returns, None
        self.generic_visit(node)
        node.returns = returns
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

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
        """Swap plus and minus, and the like."""
        self.generic_visit(node)
        if type(node.op) in SWAPPED and self._is_it(node, f"{type(node.op).__name__} swapped"):
            node.op = SWAPPED[type(node.op)]()
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        """Swap plus and minus, and the like."""
        self.generic_visit(node)
        if type(node.op) in SWAPPED and self._is_it(node, f"{type(node.op).__name__} swapped"):
            node.op = SWAPPED[type(node.op)]()
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Drop a ``not``."""
        self.generic_visit(node)
        is_it = isinstance(node.op, ast.Not) and self._is_it(node, "not dropped")
        return node.operand if is_it else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Change a number or a truth value; texts are for people."""
        if isinstance(node.value, bool):
            return ast.Constant(not node.value) if self._is_it(node, f"{node.value} inverted") else node
        if isinstance(node.value, (int, float)) and self._is_it(node, f"{node.value} plus one"):
            return ast.Constant(node.value + 1)
        return node

    def visit_Set(self, node: ast.Set) -> ast.AST:
        """Leave an element out."""
        self.generic_visit(node)
        for index, element in enumerate(node.elts):
            if self._is_it(element, f"{ast.unparse(element)} left out of the set"):
                rest = [*node.elts[:index], *node.elts[index + 1 :]]
                return ast.Call(ast.Name("set", ast.Load()), [], []) if not rest else ast.Set(rest)
        return node

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        """Leave an element out of a table; the pairs inside functions are for unpacking."""
        self.generic_visit(node)
        if self._functions == 0 and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
            for index, element in enumerate(node.elts):
                if self._is_it(element, f"{ast.unparse(element)} left out of the tuple"):
                    node.elts = [*node.elts[:index], *node.elts[index + 1 :]]
                    break
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Leave the tuple of an index alone, above all that of a type."""
        node.value = self.visit(node.value)
        if not isinstance(node.slice, ast.Tuple):
            node.slice = self.visit(node.slice)
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        """Leave an entry out, with its key; look at the value."""
        node.values = [self.visit(each) for each in node.values]
        for index, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
            if self._is_it(key or value, f"{ast.unparse(key or value)} left out of the mapping"):
                del node.keys[index], node.values[index]
                break
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Leave a call out whose result nobody uses."""
        if isinstance(node.value, ast.Constant):
            return node
        self.generic_visit(node)
        is_statement = isinstance(node.value, (ast.Call, ast.Await))
        return self._left_out(node, "statement left out") if is_statement else node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Leave an error out; its text stays as it is."""
        return self._left_out(node, "raise left out")

    def visit_Delete(self, node: ast.Delete) -> ast.AST:
        """Leave it out."""
        return self._left_out(node, "del left out")

    def visit_Return(self, node: ast.Return) -> ast.AST:
        """Give None in place of a result."""
        self.generic_visit(node)
        if node.value is not None and not isinstance(node.value, ast.Constant) and self._is_it(node, "None returned"):
            node.value = ast.copy_location(ast.Constant(None), node.value)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """Leave out an assignment to an attribute."""
        self.generic_visit(node)
        is_field = all(isinstance(each, (ast.Attribute, ast.Subscript)) for each in node.targets)
        return self._left_out(node, "assignment left out") if is_field else node

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
        """Turn a condition round; what only type checkers see, and what makes a script of a module, is not changed."""
        if ast.unparse(node.test) in {"TYPE_CHECKING", "__name__ == '__main__'"}:
            return node
        self.generic_visit(node)
        node.test = self._turned(node.test)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """Turn a condition round."""
        self.generic_visit(node)
        node.test = self._turned(node.test)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        """Turn a condition round."""
        self.generic_visit(node)
        node.test = self._turned(node.test)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """Turn conditions round."""
        self.generic_visit(node)
        node.ifs = [self._turned(each) for each in node.ifs]
        return node


def count(path: Path) -> int:
    """Return how many mutants a module has."""
    counter = Mutator(-1)
    counter.visit(ast.parse(path.read_text("utf-8")))
    return counter.count


def mutant(path: Path, number: int) -> Mutant:
    """Return one of a module's mutants, counted from zero."""
    mutator = Mutator(number)
    tree = ast.fix_missing_locations(mutator.visit(copy.deepcopy(ast.parse(path.read_text("utf-8")))))
    return Mutant(number, mutator.line, mutator.what, mutator.lines, tree)
