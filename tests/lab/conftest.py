"""A small machine on a host in memory: two volumes, copy-on-write, one storage group, users and a bystander."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from vss.documents import BackupType
from vss.events import Record
from vss.lab import Lab
from vss.lab.world import LabRun, create_lab, run_in_lab
from vss.plugins import PluginHost, load
from vss.simulation import MemoryFiles
from vss_requestors.backup import BackupRequestor
from vss_requestors.results import BackupResult

T = TypeVar("T")

SMALL = r"""
[machine]
name = "EX1"
seed = 7

[[volumes]]
name = "D:"
size = "8 MiB"

[[volumes]]
name = "L:"
size = "8 MiB"
flush_latency_ms = 10

[[providers]]
kind = "copy-on-write"

[[writers]]
name = "SG1"
kind = "exchange"

[writers.options]
databases = ["DB1"]
database_directory = 'D:\Exchange\SG1'
log_directory = 'L:\Exchange\SG1'
log_file_size = "64 KiB"
checkpoint_depth = "64 KiB"
cache_pages = 128

[[workloads]]
name = "users"
kind = "mail-flow"

[workloads.options]
writer = "SG1"
mailboxes = 2
operations_per_minute = 60
message_bytes_max = 2000

[[workloads]]
name = "bystander"
kind = "activity-log"
only_under_load = true

[workloads.options]
path = 'L:\Logs\activity.log'
interval_s = 0.004
"""


class Stage:
    """The host, the lab's place on it, and shortcuts."""

    root = Path("/host/lab")
    target = Path("/host/sets")

    def __init__(self, plugins: PluginHost, files: MemoryFiles | None = None) -> None:
        self.plugins = plugins
        self.files = MemoryFiles() if files is None else files
        self.files.make_directory(self.target)
        self.records: list[Record] = []

    def create(self, text: str = SMALL) -> None:
        create_lab(self.files, self.root, text, self.plugins.registry, plugins=self.plugins)

    def run(self, main: Callable[[Lab], Awaitable[T]], **options: Any) -> LabRun[T]:
        options.setdefault("plugins", self.plugins)
        options.setdefault("watch", self.records.append)
        return run_in_lab(self.files, self.root, main, self.plugins.registry, **options)

    def back_up(self, **options: Any) -> BackupResult:
        async def job(lab: Lab) -> BackupResult:
            return await BackupRequestor().run(
                lab, target=self.target, backup_type=BackupType.FULL, records=lambda: self.records
            )

        return self.run(job, under_load=True, **options).result

    def assert_at_rest(self) -> None:
        """Nobody frozen, nothing held, no lock, no shadow copy, no session, everything acknowledged is there."""

        async def look(lab: Lab) -> list[str]:
            await lab.coordinator.refresh_snapshots()
            return [*await lab.check(), *(f"shadow copy {each.snapshot_id}" for each in lab.coordinator.snapshots())]

        assert self.run(look).result == []
        assert self.files.open_paths() == []


@pytest.fixture(scope="session")
def plugins() -> PluginHost:
    return load(environment={"VSS_NO_PLUGINS": "1"}, is_strict=True)


@pytest.fixture
def stage(plugins: PluginHost) -> Stage:
    made = Stage(plugins)
    made.create()
    return made


@pytest.fixture
def make_stage(plugins: PluginHost) -> Callable[..., Stage]:
    """Make stages without a lab yet."""
    return lambda files=None: Stage(plugins, files)


@pytest.fixture
def small() -> str:
    """The text of the small lab."""
    return SMALL
