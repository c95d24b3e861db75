"""Backup of one large database with every page verified, beside ``cp`` + fsync of the same file on the same disk.

Nothing is left out: a block volume in an image file, a copy-on-write shadow copy, the session, copying with SHA-256 and quick
digests, fsync, every byte read again from the target, every page's checksum recomputed by the database's own verifier, the
sealed set. Rounds of ``cp`` and backup alternate; both sources are in the page cache, as a file is that was just written, and
before each a file of the same size is written and removed, since memory that a virtual machine has to fetch from its host first
can cost more than everything else. The figure to compare is ``cp_over_backup``: 1 means that a verified backup takes as long as
``cp`` + fsync. What bounds it is measured beside: processor seconds (two cores can share them), SHA-256 of the same bytes on
one core, and a plain write + fsync of them without reading. ``parallel`` says how many cores there were to be had: how much
sooner two threads are done than one after the other; near 1 the machine is busy and the ratio says nothing of the pipeline.

``python benchmarks/big_backup.py [--mib N] [--rounds N] [--directory PATH]`` prints JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "providers"), str(_ROOT / "requestors"), str(_ROOT / "writers")]

from vss.coordinator import Coordinator, Session
from vss.documents import Component, ComponentType, FileSpec, FileSpecKind
from vss.ids import Guid
from vss.ports import Ports
from vss.real import run_real
from vss.roles.verifier import Verifier
from vss.roles.volume import FileSystem
from vss.testing import StubWriter
from vss.volumes import BlockVolume, ImageStore, VolumeNamespace
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_requestors.backup import BackupRequestor
from vss_writers.ese.checksum import seal_page
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import LogTime, Signature
from vss_writers.ese.layout import HEADER_PAGES, OFFSET_FLAGS, DatabaseState, PageFlag
from vss_writers.exchange.verifier import ExchangeVerifier

_PAGE_BYTES = 8192
_CHUNK_BYTES = 1 << 20
_PIECE_BYTES = 256 << 10
_ROOM_BYTES = 64 << 20
_MIB = 256
_ROUNDS = 5
_PATH = "D:\\Store\\DB1.edb"


@dataclass
class Machine:
    """One volume in an image file, one writer, the copy-on-write provider."""

    ports: Ports
    coordinator: Coordinator
    files: FileSystem
    verifiers: Mapping[Guid, Verifier] = field(default_factory=dict)
    name: str = "BENCH01"
    root: Path | None = None

    def open_session(self) -> Session:
        """Open a session of the coordinator."""
        return self.coordinator.open_session()


def _database(path: Path, size_bytes: int) -> None:
    """Write a database as a shadow copy of a running store holds it: headers in the dirty state, every page sealed."""
    signature = Signature(1, LogTime(), "BENCH01")
    header = DatabaseHeader(signature, page_size=_PAGE_BYTES, state=DatabaseState.DIRTY_SHUTDOWN).pack()
    page = bytearray(os.urandom(_PAGE_BYTES))
    page[OFFSET_FLAGS : OFFSET_FLAGS + 4] = (PageFlag.NEW_CHECKSUM_FORMAT | PageFlag.LEAF).to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(header * HEADER_PAGES)
        for number in range(1, size_bytes // _PAGE_BYTES - HEADER_PAGES + 1):
            seal_page(page, number)
            file.write(page)


async def _make_volume(ports: Ports, image: Path, database: Path, size_bytes: int) -> None:
    store = ImageStore.create(ports.files, image, size_bytes + _ROOM_BYTES)
    volume = BlockVolume.format(ports, "D:", store, volume_id=ports.ids.guid())
    await volume.files.make_directory("/Store")
    file = await volume.files.open("/Store/DB1.edb", write=True, create=True)
    with database.open("rb") as source:
        for offset in range(0, size_bytes, _CHUNK_BYTES):
            await file.pwrite(offset, source.read(_CHUNK_BYTES))
    await file.sync()
    await file.close()
    store.close()


async def _backup(ports: Ports, image: Path, target: Path) -> dict[str, float]:
    """Take a backup; return the seconds it took, and those of its phases."""
    coordinator = Coordinator(ports)
    volume = BlockVolume.mount(ports, "D:", ImageStore.open(ports.files, image))
    provider = CopyOnWriteProvider(ports)
    coordinator.add_volume(volume)
    await provider.attach(volume)
    await coordinator.add_provider(provider)
    directory, _, name = _PATH.rpartition("\\")
    files = (FileSpec(directory, name, kind=FileSpecKind.DATABASE_FILES),)
    writer = StubWriter("Store", components=(Component(ComponentType.DATABASE, "DB1", files=files),))
    coordinator.add_writer(writer)
    verifiers = {writer.writer_class_id: ExchangeVerifier()}
    machine = Machine(ports, coordinator, VolumeNamespace([volume]), verifiers)
    begun = time.perf_counter()
    result = await BackupRequestor().run(machine, target=target)
    took_s = time.perf_counter() - begun
    assert result.is_success, result
    await coordinator.close()
    volume.raw_store.close()
    return {"backup_s": took_s, **{f"backup_{each.phase}_s": each.duration_ns / 1e9 for each in result.phases}}


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", str(source), str(target)], check=True)
    _sync(target)


def _hash(source: Path) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)


def _write(target: Path, size_bytes: int) -> None:
    piece = os.urandom(_PIECE_BYTES)
    with target.open("wb", buffering=0) as file:
        for _ in range(size_bytes // _PIECE_BYTES):
            file.write(piece)
        os.fsync(file.fileno())


def _warm(scratch: Path, size_bytes: int) -> None:
    """Make the kernel hold free memory that the host has given already."""
    os.sync()
    with scratch.open("wb", buffering=0) as file:
        for _ in range(size_bytes // _CHUNK_BYTES):
            file.write(bytes(_CHUNK_BYTES))
    scratch.unlink()


def _hash_memory() -> None:
    digest, piece = hashlib.sha256(), bytes(_CHUNK_BYTES)
    for _ in range(64):
        digest.update(piece)


def _parallel() -> float:
    def both() -> None:
        with ThreadPoolExecutor(2) as pool:
            for each in [pool.submit(_hash_memory) for _ in range(2)]:
                each.result()

    return 2 * _timed(_hash_memory) / _timed(both)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(mib: int = _MIB, rounds: int = _ROUNDS, directory: Path | None = None) -> dict[str, float]:
    """Return medians (seconds, cores), and the ratios with their extremes."""
    size_bytes = mib << 20
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=directory) as place:
        database, image = Path(place, "DB1.edb"), Path(place, "D.img")
        scratch, sets = Path(place, "scratch"), Path(place, "sets")
        _database(database, size_bytes)
        run_real(lambda ports: _make_volume(ports, image, database, size_bytes))
        for _ in range(rounds):
            _warm(scratch, size_bytes)
            used_s = _cpu_s()
            taken = {"cp_s": _timed(lambda: _copy(database, scratch)), "cp_cpu_s": _cpu_s() - used_s}
            scratch.unlink()
            _warm(scratch, size_bytes)
            used_s = _cpu_s()
            taken |= run_real(lambda ports: _backup(ports, image, sets))
            taken["backup_cpu_s"] = _cpu_s() - used_s
            shutil.rmtree(sets)
            taken["parallel"] = _parallel()
            _warm(scratch, size_bytes)
            taken["write_s"] = _timed(lambda: _write(scratch, size_bytes))
            scratch.unlink()
            taken["sha256_s"] = _timed(lambda: _hash(database))
            for name, seconds in taken.items():
                times.setdefault(name, []).append(seconds)
    ratios = [cp / backup for cp, backup in zip(times["cp_s"], times["backup_s"], strict=True)]
    figures = {name: median(values) for name, values in times.items()}
    figures["backup_mb_per_s"] = size_bytes / 1e6 / figures["backup_s"]
    figures |= {"cp_over_backup_min": min(ratios), "cp_over_backup": median(ratios), "cp_over_backup_max": max(ratios)}
    return {"mib": mib, "rounds": rounds, **{name: round(figure, 4) for name, figure in figures.items()}}


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description="Measure a backup of one large database beside cp + fsync.")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--directory", type=Path, help="where to work; the disk measured is the one below it")
    options = parser.parse_args()
    print(json.dumps(measure(options.mib, options.rounds, options.directory), indent=2))


if __name__ == "__main__":
    main()
