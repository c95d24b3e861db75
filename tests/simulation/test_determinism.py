"""The same seed gives the same run in every process: no address, no hash seed, no history of the process shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _output(hash_seed: int, order: str) -> str:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("traced_run.py")), str(hash_seed), order],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        timeout=60,
        check=True,
        text=True,
    )
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("order", ["fifo", "any", "jitter"])
def test_traces_are_equal_in_processes_with_other_hash_seeds(order: str) -> None:
    first, *others = [_output(hash_seed, order) for hash_seed in (0, 1, 4711)]
    assert len(first.splitlines()) == 2
    assert others == [first, first]
