"""Mutation testing: ``python benchmarks/mutate.py MODULE… TEST… [--every N] [--patience S] [--report FILE] [--again FILE]``.

Makes the mutants of the modules (``mutants.py`` says what is changed), runs the tests on each and prints those that no test
notices: the survivors. What is under ``tests/`` is a test, anything else a module. Each mutant gets a process of its own:

* The tests are collected once, and each is run once by itself, in a fork, to see which lines of the modules it comes by. A
  mutant is put into a fork of that process, as new code of the functions that are there already, and meets only the tests that
  come by its statement, up to the first that fails: first those that have killed others, then those that come by most lines.
* A mutant in what a module does when it is imported (tables, defaults, constants) meets all tests, in a fork that has loaded
  the packages of others and nothing of ours: first the files named after the module, then those with tests that come by it.

With ``--patience`` a mutant in a function meets no more tests after so many seconds: a score is then a lower bound. A mutant
that needs far more processor time than its tests did without it counts as killed. A test must pass without any change: one
that does not ends the run.
"""

from __future__ import annotations

import argparse
import gc
import importlib.abc
import importlib.util
import json
import math
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHELVES = [str(ROOT), *(str(ROOT / shelf) for shelf in ("providers", "writers", "requestors"))]
OURS = ("vss", "vss_providers", "vss_requestors", "vss_writers")
HEAVY = (
    "click", "coverage", "hypothesis", "lxml.etree", "msgspec", "networkx", "numpy", "pluggy", "pytest", "structlog", "xxhash",
)  # fmt: skip
OPTIONS = ["-x", "-q", "-s", "-p", "no:cacheprovider", "--assert=plain"]
KILLED, SURVIVED, ELSEWHERE = 1, 0, 3
Functions = dict[tuple[str, int], list[FunctionType]]
CPU_FACTOR, CPU_LEAST_S = 5.0, 3.0
"""A test may take so many times the processor time that it took without a change, and so much beside."""


@dataclass
class Result:
    """What became of one mutant."""

    number: int
    line: int
    what: str
    is_killed: bool
    by: str

    def tell(self, path: Path) -> Result:
        """Print a survivor as soon as it is known."""
        if not self.is_killed:
            text = f"{path.relative_to(ROOT).as_posix()}:{self.line}: survived: {self.what}"
            print(text + (self.by and f" ({self.by})"), file=sys.stderr, flush=True)
        return self


@dataclass
class Seen:
    """What the run without changes showed: the lines of each module that were run at import, and per test its time in seconds
    and the lines that it came by."""

    imported: dict[str, set[int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    def tests(self, path: Path, lines: Iterable[int]) -> list[str]:
        """The tests that come by these lines: first those that have killed most, then those that come by most of the module."""
        wanted = set(lines)
        found = {test: by_path[str(path)] for test, by_path in self.lines.items() if by_path[str(path)] & wanted}
        return sorted(found, key=lambda test: (-self.kills[test], -len(found[test]), self.seconds[test], test))

    def within(self, tests: Sequence[str], patience_s: float) -> list[str]:
        """The first of ``tests`` that together take no longer than that."""
        sums = accumulate(self.seconds[test] for test in tests)
        return [test for test, taken_s in zip(tests, sums, strict=True) if taken_s <= patience_s]

    def comes_by(self, file: str, path: Path) -> bool:
        """Whether any test of a file comes by the module."""
        return any(by_path[str(path)] for test, by_path in self.lines.items() if test.partition("::")[0] == file)

    def limit_s(self, tests: Iterable[str]) -> float:
        """The processor time that a mutant may take for these tests."""
        return CPU_LEAST_S + CPU_FACTOR * sum(self.seconds[test] for test in tests)


class MutantLoader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutant where the module is imported."""

    def __init__(self, path: Path, code: CodeType) -> None:
        """Stand for the module in ``path``."""
        base = next(Path(shelf) for shelf in reversed(SHELVES) if path.is_relative_to(shelf))
        self._name = ".".join(path.relative_to(base).with_suffix("").parts)
        self._path, self._code = path, code

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:
        """Find our module only."""
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self) if fullname == self._name else None

    def create_module(self, spec: object) -> None:
        """Let Python make it."""

    def exec_module(self, module: Any) -> None:
        """Run the mutant."""
        exec(self._code, module.__dict__)


# -- processes -----------------------------------------------------------------------------------------------------------------


def in_fork(work: Callable[[], int], cpu_s: float) -> int:
    """Do ``work`` in a fork that prints nothing; return its exit code, or ``KILLED`` where it was ended by force."""
    child = os.fork()
    if child == 0:
        code = KILLED
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 2))
            resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            code = work()
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60.0 + 10.0 * cpu_s  # of a processor that others use too, or of one that waits for ever
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else KILLED
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return KILLED
        time.sleep(0.005)


def stop_after(cpu_s: float) -> None:
    """Let this process end once it has taken so much more processor time."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(int(time.process_time() + cpu_s) + 1, hard), hard))


def under_pytest(tests: Sequence[str], plugins: Sequence[object] = ()) -> int:
    """Run pytest here and return its exit code."""
    import pytest

    with tempfile.TemporaryDirectory() as directory:
        return int(pytest.main([*OPTIONS, f"--basetemp={directory}/tmp", f"--rootdir={ROOT}", *tests], plugins=list(plugins)))


# -- the quick way: the functions of a process that has collected the tests get new code ---------------------------------------


class Bench:
    """A pytest plugin: in place of running the tests once, runs the mutants that can be put into functions that exist."""

    def __init__(self, wanted: Mapping[Path, Sequence[int]], patience_s: float, answer: Path, tracer: Any) -> None:
        """Try the mutants with these numbers and put what was seen and found into the file ``answer``."""
        self._wanted, self._modules, self._answer, self._tracer = wanted, list(wanted), answer, tracer
        self._patience_s = patience_s
        self._items: dict[str, Any] = {}

    def pytest_runtestloop(self, session: Any) -> bool:
        """Look at each test by itself, then at each mutant."""
        self._items = {item.nodeid: item for item in session.items}
        seen = Seen()
        for item in session.items:
            self._look_at(item, seen)
        self._tracer.stop()
        seen.imported = lines_of(self._tracer, self._modules)
        functions = {path: functions_of(path) for path in self._modules}
        gc.collect()
        gc.freeze()  # so that no fork copies pages only because its collector has looked at them
        print(f"{len(seen.seconds)} tests, {sum(seen.seconds.values()):.0f} s of processor time", file=sys.stderr, flush=True)
        results: dict[Path, list[tuple[int, Result | None]]] = {}
        for path in self._modules:
            seen.kills.clear()
            results[path] = list(self._try(path, functions[path], seen))
            tried = [result for _, result in results[path] if result is not None]
            told = f"{len(tried)} in functions, {sum(each.is_killed for each in tried)} of them killed"
            print(f"{path.stem}: {told}; {len(results[path]) - len(tried)} to import anew", file=sys.stderr, flush=True)
        self._answer.write_bytes(pickle.dumps((seen, results)))
        return True

    def _look_at(self, item: Any, seen: Seen) -> None:
        def work() -> int:
            self._tracer.get_data().erase()
            before = time.process_time()
            is_good = self._passes(item, None)
            taken = time.process_time() - before
            self._tracer.stop()
            ours = [name for name in sys.modules if name.partition(".")[0] in OURS]
            self._answer.write_bytes(pickle.dumps((taken, lines_of(self._tracer, self._modules), ours)))
            return 0 if is_good else KILLED

        if in_fork(work, 60.0) != 0:
            raise SystemExit(f"{item.nodeid}: fails by itself without any change")
        seen.seconds[item.nodeid], seen.lines[item.nodeid], ours = pickle.loads(self._answer.read_bytes())
        for late in ours:
            importlib.import_module(late)  # what a test imports as it runs is imported once, and not by every fork

    def _try(self, path: Path, functions: Functions, seen: Seen) -> Iterator[tuple[int, Result | None]]:
        """Yield each mutant's number and what became of it; None where it cannot be tried in this way."""
        from mutants import mutant

        at_import = seen.imported[str(path)]
        for number in self._wanted[path]:
            one = mutant(path, number)
            tests = seen.tests(path, one.lines)
            if at_import & set(one.lines):
                yield number, None
                continue
            if not tests:
                yield number, Result(number, one.line, one.what, False, "not reached by any test").tell(path)
                continue
            tests = seen.within(tests, self._patience_s)
            code = compile(one.tree, str(path), "exec")
            ended = in_fork(partial(self._tried, functions, code, tests, seen), seen.limit_s(tests))
            by = self._answer.read_text("utf-8") if ended == KILLED else ""
            seen.kills[by] += 1
            if ended == ELSEWHERE:
                yield number, None
            else:
                yield number, Result(number, one.line, one.what, ended == KILLED, by).tell(path)

    def _tried(self, functions: Functions, code: CodeType, tests: Sequence[str], seen: Seen) -> int:
        self._answer.write_text("no answer in time", "utf-8")
        try:
            for key, new in functions_in(code):
                for function in functions.get(key, ()):
                    function.__code__ = new
        except ValueError:  # other free variables than before
            return ELSEWHERE
        items = [self._items[test] for test in tests]
        for item, after in zip(items, [*items[1:], None], strict=True):
            stop_after(seen.limit_s([item.nodeid]))
            if not self._passes(item, after):
                self._answer.write_text(item.nodeid, "utf-8")
                return KILLED
        return SURVIVED

    def _passes(self, item: Any, after: Any) -> bool:
        from _pytest.runner import runtestprotocol

        return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=after))


def functions_in(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    """Yield the code of each function in a module's code, under its name and first line; not where two have the same."""
    codes: list[CodeType] = [code]
    for each in codes:
        codes += [constant for constant in each.co_consts if isinstance(constant, CodeType)]
    keys = Counter((each.co_qualname, each.co_firstlineno) for each in codes)
    for each in codes:
        key = (each.co_qualname, each.co_firstlineno)
        if keys[key] == 1:
            yield key, each


def functions_of(path: Path) -> Functions:
    """Return every function there is whose code comes from a file, by name and first line."""
    found: Functions = {}
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename == str(path):
            found.setdefault((each.__code__.co_qualname, each.__code__.co_firstlineno), []).append(each)
    return found


def tracer_of(modules: Sequence[Path]) -> Any:
    """Return something that notes the lines of the modules that are run."""
    import coverage

    tracer = coverage.Coverage(data_file=None, config_file=False, include=[str(path) for path in modules])
    tracer.set_option("run:disable_warnings", ["no-data-collected"])
    return tracer


def lines_of(tracer: Any, modules: Sequence[Path]) -> dict[str, set[int]]:
    """Return the lines that were run, by module."""
    data = tracer.get_data()
    return {str(path): set(data.lines(str(path)) or ()) for path in modules}


# -- the other way: everything is imported anew --------------------------------------------------------------------------------


def tried_anew(path: Path, number: int, seen: Seen) -> Result:
    """Try one mutant in a fork of this process, which has nothing of ours loaded."""
    from mutants import mutant

    one = mutant(path, number)
    code = compile(one.tree, str(path), "exec")
    files: dict[str, float] = {}
    for test in seen.seconds:
        file = test.partition("::")[0]
        files[file] = files.get(file, 0.0) + seen.seconds[test]
    near = [file for file in files if file.endswith(f"/test_{path.stem}.py")]
    far = sorted(set(files) - set(near), key=lambda file: (not seen.comes_by(file, path), files[file], file))

    def work(chosen: Sequence[str]) -> int:
        sys.meta_path.insert(0, MutantLoader(path, code))
        return KILLED if under_pytest([str(ROOT / file) for file in chosen]) else SURVIVED

    for chosen, told in ((near, "the files named after it"), (far[:3], "the quickest others"), (far[3:], "the others")):
        limit_s = 15.0 + seen.limit_s(test for test in seen.seconds if test.partition("::")[0] in chosen)
        if chosen and in_fork(partial(work, chosen), limit_s) != SURVIVED:
            return Result(number, one.line, one.what, True, told)
    return Result(number, one.line, one.what, False, "")


def run(wanted: Mapping[Path, Sequence[int]], tests: Sequence[str], patience_s: float) -> Iterator[tuple[Path, list[Result]]]:
    """Yield the modules and what became of the mutants with these numbers."""
    with tempfile.TemporaryDirectory() as directory:
        answer, output = Path(directory) / "answer", Path(directory) / "output"

        def quick() -> int:
            from hypothesis import Phase, settings

            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
            phases = (Phase.explicit, Phase.generate)
            settings.register_profile("mutants", database=None, deadline=None, derandomize=True, phases=phases)
            settings.load_profile("mutants")
            tracer = tracer_of(list(wanted))
            tracer.start()
            return under_pytest(tests, [Bench(wanted, patience_s, answer, tracer)])

        child = os.fork()
        if child == 0:
            os._exit(quick())
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise SystemExit(f"{output.read_text('utf-8')}\nthe tests cannot be run")
        seen, results = pickle.loads(answer.read_bytes())
    for path in wanted:
        yield path, [result or tried_anew(path, number, seen).tell(path) for number, result in results[path]]


def survivors_of(report: Path) -> dict[Path, list[int]]:
    """Return the numbers of the mutants that survived, as an earlier report has them."""
    return {
        ROOT / each["module"]: [one["number"] for one in each["mutants"] if not one["is_killed"]]
        for each in json.loads(report.read_text("utf-8"))
    }


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="MODULE|TEST")
    parser.add_argument("--every", type=int, default=1, help="try every so-manieth mutant only")
    parser.add_argument(
        "--patience", type=float, default=math.inf, help="seconds of tests that a mutant in a function meets at most"
    )
    parser.add_argument("--report", type=Path, help="a file for everything, as JSON")
    parser.add_argument("--again", type=Path, help="a report of the same modules: only its survivors are tried")
    options = parser.parse_args()
    sys.path[:0] = SHELVES
    for heavy in HEAVY:
        importlib.import_module(heavy)
    paths = [path.resolve() for path in options.paths]
    tests = [str(path) for path in paths if path.is_relative_to(ROOT / "tests")]
    modules = [path for path in paths if not path.is_relative_to(ROOT / "tests")]
    from mutants import count

    started, report, total, killed = time.monotonic(), [], 0, 0
    wanted: Mapping[Path, Sequence[int]] = {path: range(0, count(path), options.every) for path in modules}
    if options.again is not None:
        wanted = {path: numbers for path, numbers in survivors_of(options.again).items() if path in wanted}
    for path, results in run(wanted, tests, options.patience):
        name = path.relative_to(ROOT).as_posix()
        good = sum(result.is_killed for result in results)
        total, killed = total + len(results), killed + good
        if results:
            print(f"{name}: {len(results)} mutants, {good} killed, {100 * good / len(results):.1f} %", flush=True)
        report.append({"module": name, "mutants": [vars(result) for result in results]})
        if options.report is not None:
            options.report.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(f"all: {total} mutants, {killed} killed, {100 * killed / max(total, 1):.1f} %, {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
