"""Runs the benchmarks beside this file and prints what they measured: ``python benchmarks/run.py [--json] [NAME …]``.

A benchmark is a module with ``measure() -> dict[str, float | int | str]``. Ratios taken within one run are worth comparing
between machines, absolute times are not; a benchmark that compares with something (``cp``, a plain loop) does so itself, in the
same call. One that fails is reported and the others run; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
SCHEMA = "vss.benchmark/1"


def benchmarks(directory: Path, wanted: Sequence[str] = ()) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield name and ``measure`` of every benchmark in ``directory``, sorted by name; only those ``wanted``, if any."""
    for path in sorted(directory.glob("*.py")):
        if path.name == Path(__file__).name or (wanted and path.stem not in wanted):
            continue
        measure = getattr(_loaded(path), "measure", None)
        if measure is not None:
            yield path.stem, measure


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run(directory: Path, wanted: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Run benchmarks one after the other; yield a result per benchmark, with ``error`` where one failed."""
    for name, measure in benchmarks(directory, wanted):
        started = time.perf_counter()
        try:
            result: dict[str, Any] = {"benchmark": name, "measured": measure()}
        except Exception:  # noqa: BLE001 - reported, and the other benchmarks run
            result = {"benchmark": name, "measured": {}, "error": traceback.format_exc()}
        yield {**result, "took_s": round(time.perf_counter() - started, 3)}


def as_text(result: dict[str, Any]) -> str:
    """Return a block of lines: the name, then one line per quantity."""
    measured = result["measured"]
    width = max(map(len, measured), default=0)
    lines = [
        f"  {name:<{width}}  {value:.4g}" if isinstance(value, float) else f"  {name:<{width}}  {value}"
        for name, value in measured.items()
    ]
    if "error" in result:
        lines.append("  failed: " + result["error"].strip().replace("\n", "\n  "))
    return "\n".join([f"{result['benchmark']} ({result['took_s']} s)", *lines])


def main(arguments: Sequence[str] | None = None, directory: Path = HERE) -> int:
    """Run what the command line asks for and return the exit code."""
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", help="names of benchmarks; default is all")
    parser.add_argument("--json", action="store_true", help="one JSON object per benchmark and line")
    options = parser.parse_args(arguments)
    has_failed = False
    for result in run(directory, options.names):
        has_failed = has_failed or "error" in result
        if options.json:
            machine = {"python": platform.python_version(), "machine": platform.machine()}
            print(json.dumps({"schema": SCHEMA, **machine, **result}, default=str), flush=True)
        else:
            print(as_text(result), flush=True)
    return 1 if has_failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
