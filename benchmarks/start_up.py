"""How long people wait before anything happens: ``vss --help``, ``vss --version``, imports; each in a fresh process.

An empty Python process is started in turn with the others. Compare ``…_over_python``: how many times the processor time of
Python alone. Milliseconds are of wall time, which other people's work stretches, and (``cpu_ms``) of processor time.
``python benchmarks/start_up.py`` prints JSON.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PATHS = os.pathsep.join(str(_ROOT / shelf) for shelf in ("", "providers", "writers", "requestors"))
_ROUNDS = 15
_CASES = {
    "python": ["-c", "pass"],
    "import_vss": ["-c", "import vss"],
    "import_coordinator": ["-c", "import vss.coordinator"],
    "import_requestors": ["-c", "import vss_requestors.backup, vss_requestors.restore"],
    "vss_help": ["-m", "vss", "--help"],
    "vss_version": ["-m", "vss", "--version"],
}


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _start(arguments: list[str]) -> tuple[float, float]:
    """Return the milliseconds one process took, and its processor time."""
    environment = {**os.environ, "PYTHONPATH": _PATHS}
    begun, used = time.perf_counter(), _used_s()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    return (time.perf_counter() - begun) * 1e3, (_used_s() - used) * 1e3


def measure() -> dict[str, float]:
    """Return milliseconds (medians; for ``vss --help`` the extremes too) and multiples of an empty process."""
    walls: dict[str, list[float]] = {name: [] for name in _CASES}
    cpus: dict[str, list[float]] = {name: [] for name in _CASES}
    for number in range(_ROUNDS + 1):
        for name, arguments in _CASES.items():
            wall_ms, cpu_ms = _start(arguments)
            if number:  # the first round compiles and fills the page cache
                walls[name].append(wall_ms)
                cpus[name].append(cpu_ms)
    figures = {"vss_help_ms_min": min(walls["vss_help"]), "vss_help_ms_max": max(walls["vss_help"])}
    for name in _CASES:
        figures[f"{name}_ms"] = statistics.median(walls[name])
        figures[f"{name}_cpu_ms"] = statistics.median(cpus[name])
        figures[f"{name}_over_python"] = statistics.median(cpus[name]) / statistics.median(cpus["python"])
    return {name: round(figure, 2) for name, figure in figures.items()}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
