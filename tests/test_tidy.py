"""The code base itself: who may import whom, what may not be called, how long things may get, what must be documented."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from vss.observe.jsonl import event_types
from vss.plugins import hookspecs

ROOT = Path(__file__).parents[1]
SHELVES = {
    "vss": ROOT,
    "vss_providers": ROOT / "providers",
    "vss_writers": ROOT / "writers",
    "vss_requestors": ROOT / "requestors",
}

# Lower layers first; a module imports from layers below its own and from its own package. The words may use one another.
LAYERS = (
    {"hresult", "exit_codes", "errors", "events", "ids", "ports", "io_faults", "interrupts", "nearest"},
    {"documents", "machines", "observe", "simulation"},
    {"roles", "real"},
    {"plugins", "coordinator", "volumes"},
    {"lab"},
    {"scenarios"},
    {"testing", "exploration"},
    {"cli"},
    {"__init__", "__main__"},
)
LAYER_OF = {piece: number for number, pieces in enumerate(LAYERS) for piece in pieces}

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400

BANNED = re.compile(
    r"""time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|sleep)
    | datetime\.(datetime\.)?(now|utcnow|today)
    | datetime\.date\.today
    | uuid\.(uuid1|uuid4)
    | random\.(?!Random$).+
    | secrets\..+ | os\.(urandom|getrandom)
    | threading(\..+)? | concurrent\.futures(\..+)? | multiprocessing(\..+)? | subprocess(\..+)?
    | asyncio\.(wait_for|as_completed|to_thread|create_subprocess_\w+|new_event_loop)
    | .*\.run_in_executor
    """,
    re.VERBOSE,
)
BANNED_FILES = re.compile(
    r"""open | io\.open
    | os\.(open|read|write|remove|unlink|rename|replace|mkdir|makedirs|listdir|scandir|stat|fsync|truncate|statvfs|walk)
    | os\.path\.(exists|isdir|isfile|getsize)
    | shutil\..+ | tempfile\..+ | glob\..+
    | .*\.(read_text|write_text|write_bytes|unlink|iterdir|rglob|touch)
    """,
    re.VERBOSE,
)
THE_WAY_OUT = {"vss/real.py", "vss/simulation/ports.py"}
"""The two implementations of the ports: clock, randomness, threads and files are their business."""
ALLOWED = {
    "vss/interrupts.py": (
        {"threading.current_thread", "threading.main_thread", "threading"},
        "signals belong to the main thread",
    ),
    "vss/exploration/processes.py": (
        {
            "concurrent.futures",
            "concurrent.futures.Executor",
            "concurrent.futures.Future",
            "concurrent.futures.ProcessPoolExecutor",
            "multiprocessing",
            "multiprocessing.get_context",
        },
        "the executors behind the seam of exploration: whole simulated runs are done in other processes",
    ),
    "vss/simulation/loop.py": ({"threading", "threading.get_ident"}, "asyncio asks a loop for the thread it runs in"),
    "vss/simulation/steps.py": ({"threading", "threading.get_ident"}, "asyncio asks a loop for the thread it runs in"),
}
FILES_ALLOWED = {
    "vss/cli/": "commands read what the user names",
    "vss/testing/": "test tools are for tests",
    "requestors/vss_requestors/demo/command.py": "a demo that is not kept runs in a temporary directory",
    "vss/lab/templates.py": "reads templates that ship inside the package",
    "vss/scenarios/catalogue/__init__.py": "reads the catalogue that ships inside the package",
    "vss/exploration/sweep.py": "reads scenarios that ship inside the package",
    "writers/vss_writers/ese/files.py": "the engine stands alone, so it has host files of its own for its tool",
}


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of the four packages, parsed, by path in the tree."""
    paths = [path for package, shelf in SHELVES.items() for path in sorted((shelf / package).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def tree() -> list[str]:
    """The files of the tree: what git tracks or would."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout: it says which files are the project's")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listing.split("\0") if name and (ROOT / name).is_file())


def module_name(path: str) -> str:
    parts = Path(path).with_suffix("").parts
    start = next(index for index, part in enumerate(parts) if part in SHELVES)
    return ".".join(parts[start:])


@cache
def runtime_nodes(module: ast.Module) -> list[ast.AST]:
    """All nodes but those that only type checkers see."""
    found: list[ast.AST] = [module]
    for node in found:
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            found.extend(ast.iter_child_nodes(node))
    return found


def imports(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported; for ``from a import b`` both ``a`` and ``a.b``."""
    for node in runtime_nodes(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}: say the whole name"
            base = node.module or ""
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


# -- direction -----------------------------------------------------------------------------------------------------------------


def layer(name: str) -> int | None:
    """The layer of ``vss.<piece>…``; None for ``vss`` itself."""
    parts = name.split(".")
    return LAYER_OF.get(parts[1]) if len(parts) > 1 else None


def test_every_piece_of_the_framework_has_a_layer() -> None:
    pieces = {module_name(path).split(".")[1] for path in sources() if path.startswith("vss/")}

    assert pieces <= set(LAYER_OF)


def test_the_framework_imports_downwards_only() -> None:
    wrong = []
    for path, module in sources().items():
        own = module_name(path).split(".")
        if own[0] != "vss":
            continue
        for line, name in imports(module):
            parts = name.split(".")
            target = layer(name) if parts[0] == "vss" else None
            if target is not None and parts[1] != own[1] and (target > LAYER_OF[own[1]] or target == LAYER_OF[own[1]] > 0):
                wrong.append(f"{path}:{line} imports {name}")

    assert wrong == []


def test_the_framework_knows_no_role_package_and_these_do_not_know_each_other() -> None:
    wrong = [
        f"{path}:{line} imports {name}"
        for path, module in sources().items()
        for line, name in imports(module)
        if name.split(".")[0] in set(SHELVES) - {"vss", module_name(path).split(".")[0]}
    ]

    assert wrong == []


def test_the_database_engine_stands_alone() -> None:
    wrong = [
        f"{path}:{line} imports {name}"
        for path, module in sources().items()
        if path.startswith("writers/vss_writers/ese/")
        for line, name in imports(module)
        if name.split(".")[0] == "vss" or (name.startswith("vss_writers") and not name.startswith("vss_writers.ese"))
    ]

    # The engine's own tool is a command of ours and may use the command line's face.
    assert [each for each in wrong if "/eseutil/" not in each] == []


# -- banned calls --------------------------------------------------------------------------------------------------------------


@cache
def names_of(module: ast.Module) -> dict[str, str]:
    """Local name to full name, for what a module imports."""
    known: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            known.update(
                {
                    (alias.asname or alias.name.split(".")[0]): (alias.name if alias.asname else alias.name.split(".")[0])
                    for alias in node.names
                }
            )
        elif isinstance(node, ast.ImportFrom):
            known.update({(alias.asname or alias.name): f"{node.module}.{alias.name}" for alias in node.names})
    return known


def dotted(node: ast.expr, known: dict[str, str]) -> str:
    """The full name of an attribute chain; what is not a plain name at its start is written as nothing."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, known)}.{node.attr}"
    return known.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def used_names(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Every call and every imported name, with its line."""
    known = names_of(module)
    yield from imports(module)
    for node in runtime_nodes(module):
        if isinstance(node, ast.Call):
            yield node.lineno, dotted(node.func, known)
        elif isinstance(node, ast.Attribute):
            yield node.lineno, dotted(node, known)


def test_clock_randomness_ids_threads_and_processes_come_through_the_ports_only() -> None:
    wrong = sorted(
        {
            f"{path}:{line} uses {name}"
            for path, module in sources().items()
            if path not in THE_WAY_OUT
            for line, name in used_names(module)
            if BANNED.fullmatch(name) and name not in ALLOWED.get(path, (set(), ""))[0]
        }
    )

    assert wrong == []


def test_host_files_come_through_the_ports_only() -> None:
    wrong = sorted(
        {
            f"{path}:{node.lineno} calls {dotted(node.func, names_of(module))}"
            for path, module in sources().items()
            if path not in THE_WAY_OUT and not path.startswith(tuple(FILES_ALLOWED))
            for node in runtime_nodes(module)
            if isinstance(node, ast.Call) and BANNED_FILES.fullmatch(dotted(node.func, names_of(module)))
        }
    )

    assert wrong == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import time\ntime.time()", True),
        ("from time import monotonic as m\nm()", True),
        ("from datetime import datetime\ndatetime.now()", True),
        ("import datetime as d\nd.datetime.utcnow()", True),
        ("from uuid import uuid4", True),
        ("import random\nrandom.choice([1])", True),
        ("import random\nrandom.Random(1).choice([1])", False),
        ("import asyncio\nasyncio.sleep(1)", False),
        ("import asyncio\nasyncio.to_thread(print)", True),
        ("loop.run_in_executor(None, print)", True),
        ("import threading", True),
        ("from datetime import timedelta\ntimedelta(1)", False),
    ],
)
def test_the_ban_sees_through_aliases(source: str, expected: bool) -> None:
    assert any(BANNED.fullmatch(name) for _, name in used_names(ast.parse(source))) is expected


# -- size and documentation ----------------------------------------------------------------------------------------------------


def test_functions_stay_short() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}: {length} lines"
        for path, module in sources().items()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]

    assert long == []


def test_modules_stay_short() -> None:
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in sources()}
    long = {path: length for path, length in lengths.items() if length > MODULE_LINES_MAX}

    assert long == {}


def test_every_module_says_what_it_decides() -> None:
    assert [path for path, module in sources().items() if module.body and not ast.get_docstring(module)] == []


def test_every_hook_is_documented() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for name in hookspecs.HOOKS:
        hook = getattr(hookspecs, name)
        arguments = ", ".join(hook.__code__.co_varnames[: hook.__code__.co_argcount])
        assert f"`{name}({arguments})`" in page
        assert hook.__doc__
        assert "Called" in hook.__doc__

    assert len(hookspecs.HOOKS) <= 8
    assert set(hookspecs.HOOKS) == {name for name in vars(hookspecs) if name.startswith("vss_")}


def test_every_event_is_named_by_a_test_of_what_emits_it() -> None:
    own = [name for name, event_type in event_types().items() if event_type.__module__.startswith("vss.events.")]
    renderings = ROOT / "tests" / "observe"
    tests = [path for path in sorted((ROOT / "tests").rglob("*.py")) if not path.is_relative_to(renderings)]
    text = "\n".join(path.read_text(encoding="utf-8") for path in tests)

    assert [name for name in own if not re.search(rf"\b{name}\b", text)] == []


# -- the tree ------------------------------------------------------------------------------------------------------------------


def test_paths_in_the_readmes_tables_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("|")]
    paths = [found for row in rows for found in re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|toml))`", row)]

    assert paths, "the README says where to look"
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_tree_has_no_marks_of_unfinished_work_and_no_paths_of_a_machine() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|(?<![\w.])/(work|root|home|Users)/[\w.]")
    found = []
    for name in tree():
        if name == Path(__file__).relative_to(ROOT).as_posix():
            continue
        try:
            lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # binary test data
        found += [f"{name}:{number} {line.strip()}" for number, line in enumerate(lines, start=1) if marks.search(line)]

    assert found == []


def test_the_tree_has_no_large_or_generated_files() -> None:
    stray = [name for name in tree() if Path(name).suffix in {".pyc", ".whl", ".img", ".orig", ".rej", ".swp"}]
    large = [name for name in tree() if (ROOT / name).stat().st_size > 512 * 1024]

    assert (stray, large) == ([], [])
