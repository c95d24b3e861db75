"""Sweeps, interleavings and determinism at full size: ``python benchmarks/exploration.py [--jobs 2] [--fill] [--determinism]``.

``--fill`` does the default sweep and writes its table into docs/exploration.md. ``--report FILE`` takes the table from a report
that ``vss sweep --json`` printed instead. ``--interleavings`` prints the counts of the searches. ``--determinism`` runs seeded
trials in processes with three hash seeds, with one worker and two, and compares the digests of all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), *(str(ROOT / shelf) for shelf in ("providers", "writers", "requestors"))]

import msgspec

from vss.exploration.interleavings import freeze_to_thaw, near_fifo
from vss.exploration.page import sweep_table
from vss.exploration.processes import local_processes
from vss.exploration.sweep import Report, points_of, shipped, sweep, trials
from vss.exploration.workers import Crew
from vss.plugins import load
from vss.scenarios import parse_scenario

PAGE = ROOT / "docs" / "exploration.md"
HASH_SEEDS = ("0", "1", "4711")


def default_sweep(jobs: int) -> tuple[Report, float]:
    """Do the default sweep; return its report and how long it took."""
    began = time.perf_counter()
    with local_processes(jobs) as executor:
        crew = Crew(shipped("default"), "shipped:default", executor=executor)
        points = points_of(crew)
        report, _ = sweep(crew, "single", points, trials("single", points, crew))
    return report, time.perf_counter() - began


def filled(page: str, report: Report, took: str) -> str:
    """Return the page with the table of a report in it."""
    text = (
        f"{report.runs} runs, {report.known} of them the same as the one before and done once,"
        f" {report.violations} with violations{took}; writer states × events reached:"
        f" {len(report.coverage.writer_cells)}, result codes: {len(report.coverage.codes)}, kinds of events:"
        f" {len(report.coverage.events)}.\n\n{sweep_table(report)}"
    )
    return re.sub(r"(<!-- sweep -->\n).*?(<!-- /sweep -->)", lambda match: match[1] + text + match[2], page, flags=re.DOTALL)


def interleavings(max_runs: int) -> None:
    """Print the counts of every search."""
    registry = load().registry
    print(f"{'search':28} {'runs':>8} {'pruned':>8} {'states':>8} {'choices':>8}  complete  findings  seconds")
    for writers in (1, 2, 3, 4, 5):
        began = time.perf_counter()
        found = freeze_to_thaw(writers, registry, max_runs=max_runs)
        _tell(f"{writers} writers, freeze to thaw", found, began)
    scenario = parse_scenario(shipped("pairs"))
    for deviations in (1, 2):
        began = time.perf_counter()
        found = near_fifo(scenario, registry, deviations=deviations, max_runs=max_runs)
        _tell(f"whole method, <= {deviations} deviations", found, began)


def _tell(name: str, found: object, began: float) -> None:
    data = msgspec.to_builtins(found)
    counts = " ".join(f"{data[key]:>8}" for key in ("runs", "pruned", "states", "choices"))
    print(
        f"{name:28} {counts}  {data['is_complete']!s:8}  {len(data['findings']):8}  {time.perf_counter() - began:7.1f}",
        flush=True,
    )


def determinism(seeds: int) -> bool:
    """Compare the digests of a campaign over hash seeds, repeats and worker counts."""
    digests: dict[str, str] = {}
    for hash_seed in HASH_SEEDS:
        for jobs in (1, 2):
            command = [
                sys.executable,
                "-m",
                "vss",
                "campaign",
                "--seeds",
                str(seeds),
                "--jobs",
                str(jobs),
                "--json",
                "--no-shrink",
            ]
            path = os.pathsep.join(sys.path[:4])
            done = subprocess.run(
                command,
                env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            digests[f"hash seed {hash_seed}, {jobs} processes"] = json.loads(done.stdout.splitlines()[0])["digest"]
    for name, digest in digests.items():
        print(name, digest)
    return len(set(digests.values())) == 1


def main() -> int:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fill", action="store_true")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--took", default="", help="what 'vss sweep' said that the sweep of the report took")
    parser.add_argument("--interleavings", action="store_true")
    parser.add_argument("--max-runs", type=int, default=50_000)
    parser.add_argument("--determinism", action="store_true")
    parser.add_argument("--seeds", type=int, default=1000)
    options = parser.parse_args()
    if options.fill:
        if options.report is None:
            report, took_s = default_sweep(options.jobs)
            took = f", in {took_s:.0f} s with {options.jobs} processes"
        else:
            line = json.loads(options.report.read_text("utf-8").splitlines()[0])
            report = msgspec.convert(line, Report, strict=False)
            took = f", in {options.took} with {options.jobs} processes" if options.took else ""
        PAGE.write_text(filled(PAGE.read_text("utf-8"), report, took), "utf-8")
        print(f"{report.runs} runs, {report.violations} with violations{took}")
    if options.interleavings:
        interleavings(options.max_runs)
    if options.determinism and not determinism(options.seeds):
        print("the digests differ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
