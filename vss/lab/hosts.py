"""What the lab hands to the factories of writers and workloads (see ``vss.plugins.hosts``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vss.ports import Ports
from vss.roles.volume import FileSystem
from vss.roles.writer import Writer


@dataclass(frozen=True, slots=True)
class LabWriterHost:
    """The machine as one writer sees it."""

    ports: Ports
    files: FileSystem
    machine_name: str
    name: str
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class LabWorkloadHost:
    """The machine as one workload sees it."""

    ports: Ports
    files: FileSystem
    machine_name: str
    name: str
    find_writer: Callable[[str], Writer]

    def writer(self, name: str) -> Writer:
        """Return the writer that the lab calls ``name``; ``NotFoundError`` where there is none."""
        return self.find_writer(name)
