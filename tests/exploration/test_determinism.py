"""The same seeds give the same digests in every process: whatever the hash seed, again, and with any number of workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vss.exploration.campaign import Campaign
from vss.exploration.sweep import points_of
from vss.exploration.workers import Crew

SEEDS = 12


@pytest.mark.slow
def test_a_campaign_has_one_digest_under_three_hash_seeds_and_two_worker_counts(tiny: Crew, tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(tiny.text)
    run = Campaign(tiny, points_of(tiny), tiny.text, seeds=SEEDS)
    for _ in run.run():
        pass
    digests = [run.state.digest]
    for hash_seed, jobs in (("0", "1"), ("1", "2"), ("4711", "1")):
        command = [
            sys.executable,
            "-m",
            "vss",
            "campaign",
            str(path),
            "--seeds",
            str(SEEDS),
            "--jobs",
            jobs,
            "--json",
            "--no-shrink",
        ]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        digests.append(json.loads(done.stdout.splitlines()[0])["digest"])

    assert len(set(digests)) == 1
