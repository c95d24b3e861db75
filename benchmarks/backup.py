"""A whole verified backup of one large database file beside ``cp`` + fsync of it, rounds of both interleaved in one run.

The backup is the real thing in the real world: session, writer, snapshot set, copy with SHA-256 and quick digests, fsync, every
byte read again from the target, every page's checksum recomputed, set sealed, BackupComplete. The shadow copy is the directory
itself, since what a provider costs is measured elsewhere. The source is in the page cache. What matters is the ratio
``cp_s / backup_s``. ``python benchmarks/backup.py [MIB]`` prints JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

for _shelf in ("", "writers", "requestors"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / _shelf))

from vss.coordinator import Coordinator, Session
from vss.documents import BackupType, Component, ComponentType, FileSpec, FileSpecKind
from vss.ids import Guid
from vss.ports import Ports
from vss.real import run_real
from vss.roles.verifier import FileSource, FileVerification, Finding, Progress, VerificationReport, Verifier
from vss.roles.volume import FileSystem
from vss.testing import StubProvider, StubWriter
from vss.volumes import HostVolume
from vss_requestors.backup import BackupRequestor
from vss_writers.ese.checksum import seal_page
from vss_writers.ese.checksum_batch import BatchVerifier
from vss_writers.ese.layout import OFFSET_FLAGS, PageFlag

PAGE_BYTES = 8192
BATCH_PAGES = 512
SIZE_BYTES = 1 << 30
ROUNDS = 5


class DirectoryProvider(StubProvider):
    """Opens the live directory as the shadow copy: costs nothing, protects nothing."""

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """Return the live files."""
        return self.live

    live: FileSystem


class PageVerifier(Verifier):
    """Recomputes every page's checksum."""

    name = "page checksums"

    def __init__(self, writer_class_id: Guid) -> None:
        """Judge the files of this writer class."""
        self.writer_class_id = writer_class_id

    async def verify(
        self, source: FileSource, *, throttle_bytes_per_s: float | None = None, progress: Progress | None = None
    ) -> VerificationReport:
        """Judge every file."""
        files: list[FileVerification] = []
        findings: list[Finding] = []
        verifier = BatchVerifier(PAGE_BYTES, BATCH_PAGES)
        for path in source.paths():
            pages = await source.size(path) // PAGE_BYTES
            for first in range(0, pages, BATCH_PAGES):
                data = await source.read(path, first * PAGE_BYTES, BATCH_PAGES * PAGE_BYTES)
                for number, _ in verifier.verify(data, first + 1).findings:
                    findings.append(Finding(path, "checksum", "wrong", number, (number - 1) * PAGE_BYTES))
            files.append(FileVerification(path, pages * PAGE_BYTES, "checksums", pages))
        return VerificationReport(tuple(files), tuple(findings))


@dataclass
class Machine:
    """A machine whose one volume is a directory."""

    ports: Ports
    coordinator: Coordinator
    files: FileSystem
    verifiers: Mapping[Guid, Verifier] = field(default_factory=dict)
    name: str = "benchmark"
    root: Path | None = None

    def open_session(self) -> Session:
        """A session."""
        return self.coordinator.open_session()


def _make_database(path: Path, size_bytes: int) -> None:
    template = bytearray(os.urandom(PAGE_BYTES))
    template[OFFSET_FLAGS : OFFSET_FLAGS + 4] = PageFlag.NEW_CHECKSUM_FORMAT.to_bytes(4, "little")
    with path.open("wb") as file:
        for number in range(1, size_bytes // PAGE_BYTES + 1):
            seal_page(template, number)
            file.write(template)


def _copy(source: Path, target: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(["cp", str(source), str(target)], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return time.perf_counter() - begun


async def _backup(ports: Ports, source: Path, target: Path, *, with_pages: bool) -> tuple[float, dict[str, float]]:
    coordinator = Coordinator(ports)
    volume = HostVolume(ports, "D:", source, volume_id=Guid(int=1), is_link=Path.is_symlink)
    coordinator.add_volume(volume)
    provider = DirectoryProvider()
    provider.live = volume.files
    await coordinator.add_provider(provider)
    component = Component(ComponentType.DATABASE, "Store", files=(FileSpec("D:\\", "*.edb", kind=FileSpecKind.DATABASE_FILES),))
    writer = StubWriter("Store", components=(component,))
    coordinator.add_writer(writer)
    verifiers = {writer.writer_class_id: PageVerifier(writer.writer_class_id)} if with_pages else {}
    machine = Machine(ports, coordinator, volume.files, verifiers)
    begun = time.perf_counter()
    result = await BackupRequestor().run(machine, target=target, backup_type=BackupType.FULL)
    took = time.perf_counter() - begun
    assert result.is_success, result
    await coordinator.close()
    return took, {f"{each.phase}_s": each.duration_ns / 1e9 for each in result.phases}


def measure(size_bytes: int = SIZE_BYTES, rounds: int = ROUNDS, directory: Path | None = None) -> dict[str, Any]:
    """Return seconds (medians) and ratios."""
    with tempfile.TemporaryDirectory(dir=directory) as place:
        source = Path(place) / "source"
        source.mkdir()
        database = source / "db.edb"
        _make_database(database, size_bytes)
        times: dict[str, list[float]] = {}
        for _ in range(rounds):
            os.sync()
            times.setdefault("cp_s", []).append(_copy(database, Path(place) / "copy"))
            (Path(place) / "copy").unlink()
            os.sync()
            took, phases = run_real(lambda ports: _backup(ports, source, Path(place) / "sets", with_pages=True))
            for name, seconds in {"backup_s": took, **phases}.items():
                times.setdefault(name, []).append(seconds)
            shutil.rmtree(Path(place) / "sets")
    medians = {name: round(median(values), 4) for name, values in times.items()}
    return {
        "size_mib": size_bytes >> 20,
        **medians,
        "backup_mb_per_s": round(size_bytes / 1e6 / medians["backup_s"], 1),
        "cp_over_backup": round(median(a / b for a, b in zip(times["cp_s"], times["backup_s"], strict=True)), 3),
    }


if __name__ == "__main__":
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE_BYTES >> 20
    print(json.dumps(measure(mib << 20), indent=2))
