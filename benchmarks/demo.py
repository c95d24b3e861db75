"""What the demo takes: wall time, processor time and peak memory of ``vss demo`` in a process of its own.

Most of it is the processor's time, so ``demo_cpu_s`` is the steadier figure on a busy machine. The seconds are also given in
units of a fixed piece of pure Python run between the demos (``demo_over_loop``), to compare between machines.
``python benchmarks/demo.py`` prints JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PATHS = os.pathsep.join(str(_ROOT / shelf) for shelf in ("", "providers", "writers", "requestors"))
_ROUNDS = 3
_COMMAND = ["-m", "vss", "demo"]
_LOOP_COUNT = 10_000_000
# Its own process reports on its only child, so that no other child of the benchmark counts.
_MEASURED = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
code = subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def _demo() -> tuple[float, float, float]:
    """Return wall seconds, processor seconds and peak mebibytes of one demo."""
    environment = {**os.environ, "PYTHONPATH": _PATHS}
    run = subprocess.run(
        [sys.executable, "-c", _MEASURED, *_COMMAND], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    code, wall_s, cpu_s, peak_kib = json.loads(run.stdout)
    if code != 0:
        raise RuntimeError(f"vss demo ended with exit code {code}")
    return wall_s, cpu_s, peak_kib / 1024


def _loop() -> float:
    begun = time.process_time()
    total = 0
    for number in range(_LOOP_COUNT):
        total += number
    return time.process_time() - begun


def measure() -> dict[str, float]:
    """Return seconds and mebibytes."""
    demos, loops = [], []
    for _ in range(_ROUNDS):
        loops.append(_loop())
        demos.append(_demo())
    wall, cpu, peak = (list(column) for column in zip(*demos, strict=True))
    figures = {
        "demo_s_min": min(wall),
        "demo_s_median": statistics.median(wall),
        "demo_s_max": max(wall),
        "demo_cpu_s": statistics.median(cpu),
        "demo_peak_mib": max(peak),
        "demo_over_loop": statistics.median(cpu) / statistics.median(loops),
    }
    return {name: round(figure, 3) for name, figure in figures.items()}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
