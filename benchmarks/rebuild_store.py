"""Defragmentation and repair of a mailbox database: processor time, and memory beside the number of its pages.

    python benchmarks/mail_store.py --messages 10000 --keep small.edb
    python benchmarks/mail_store.py --messages 100000 --keep large.edb
    python benchmarks/rebuild_store.py small.edb large.edb

Every rebuild runs in a process of its own, over a copy of the file. ``peak_mb`` is the most memory that process had, less what
it had before it began; 16 MB of it are the pool of pages. ``entries_held_max`` counts entries that were in memory to be sorted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT / each) for each in ("", "writers")]

from vss_writers.ese.defragment import DefragmentReport, defragment
from vss_writers.ese.files import HostFileSystem
from vss_writers.ese.header_values import LogTime
from vss_writers.ese.repair import repair
from vss_writers.ese.repair_losses import RepairReport

_TIME = LogTime(0, 0, 12, 1, 1, 107)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def rebuilt(mode: str, path: Path) -> dict[str, Any]:
    """Rebuild a copy of the database in this process."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "mail.edb"
        shutil.copyfile(path, copy)
        before_mb, begun = _peak_mb(), time.process_time()
        report = asyncio.run(_rebuild(mode, str(copy), str(copy.with_name("new.edb"))))
        cpu_s = time.process_time() - begun
        return {
            "mb_before": round(path.stat().st_size / 1e6, 1),
            "mb_after": round(copy.stat().st_size / 1e6, 1),
            "rows": sum(report.rows.values()),
            "cpu_s": round(cpu_s, 1),
            "peak_mb": round(_peak_mb() - before_mb, 1),
            "entries_held_max": report.entries_held_max,
        }


async def _rebuild(mode: str, path: str, temporary: str) -> DefragmentReport | RepairReport:
    files = HostFileSystem()
    if mode == "d":
        return await defragment(files, path, temporary, time=_TIME, random=1)
    return await repair(files, path, temporary, time=_TIME, random=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--mode", choices=("d", "p"), help="one rebuild, in this process")
    arguments = parser.parse_args()
    if arguments.mode:
        print(json.dumps(rebuilt(arguments.mode, arguments.files[0])))
        sys.exit(0)
    for path in arguments.files:
        for mode in ("d", "p"):
            command = [sys.executable, __file__, "--mode", mode, str(path)]
            print(f"{path.name} /{mode}", subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
