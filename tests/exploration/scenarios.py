"""The smallest scenarios that are worth exploring, as texts."""

from __future__ import annotations


def one_volume(title: str) -> str:
    """A lab of one volume without a workload; its writers follow, then its method."""
    return f"""
title = "{title}"
[lab]
template = "small"
workloads = []
volumes = [{{ name = "D:", size = "2 MiB" }}]
"""


def with_writer(name: str, kind: str, seed: int) -> str:
    """A writer with one file."""
    return f"""
[[lab.writers]]
name = "{name}"
kind = "{kind}"
[lab.writers.options]
name = "{name}"
components = [{{ name = "C", file_sets = [{{ path = 'D:\\{name}' }}] }}]
files = [{{ path = 'D:\\{name}\\{name.lower()}.dat', size = "512 B", seed = {seed} }}]
"""


def backup(name: str) -> str:
    """A step."""
    return f"""
[[method]]
do = "backup"
name = "{name}"
"""


HEAL = """
[[method]]
do = "sleep"
name = "heal"
duration = "2h"
"""

RACY = (
    one_volume("Writers that disturb each other") + with_writer("A", "racy", 1) + with_writer("B", "racy", 2) + backup("backup")
)
ONE_BACKUP = one_volume("One writer, small backups") + with_writer("A", "scripted", 1) + backup("backup")
TINY = ONE_BACKUP + HEAL + backup("fresh")
