"""The smallest scenarios that are worth exploring, as texts."""

from __future__ import annotations

RACY = """
title = "Writers that disturb each other"
[lab]
template = "small"
workloads = []
volumes = [{ name = "D:", size = "2 MiB" }]
[[lab.writers]]
name = "A"
kind = "racy"
[lab.writers.options]
name = "A"
components = [{ name = "C", file_sets = [{ path = 'D:\\A' }] }]
files = [{ path = 'D:\\A\\a.dat', size = "512 B", seed = 1 }]
[[lab.writers]]
name = "B"
kind = "racy"
[lab.writers.options]
name = "B"
components = [{ name = "C", file_sets = [{ path = 'D:\\B' }] }]
files = [{ path = 'D:\\B\\b.dat', size = "512 B", seed = 2 }]
[[method]]
do = "backup"
name = "backup"
"""

ONE_BACKUP = """
title = "One writer, small backups"
[lab]
template = "small"
workloads = []
volumes = [{ name = "D:", size = "2 MiB" }]
[[lab.writers]]
name = "A"
kind = "scripted"
[lab.writers.options]
name = "A"
components = [{ name = "C", file_sets = [{ path = 'D:\\A' }] }]
files = [{ path = 'D:\\A\\a.dat', size = "512 B", seed = 1 }]
[[method]]
do = "backup"
name = "backup"
"""

TINY = (
    ONE_BACKUP
    + """
[[method]]
do = "sleep"
name = "heal"
duration = "2h"
[[method]]
do = "backup"
name = "fresh"
"""
)
