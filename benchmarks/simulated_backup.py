"""What a small whole job costs in the simulator: full backup, verification, loss, restore, comparison, in a world of its own.

Three writers with a few files each on two volumes of 256 blocks, in memory, with the real file system, copy-on-write provider,
requestors and coordinator. One run is everything from the empty world to its end, garbage collection included; times are of
processor time, since a run never waits, with ``tasks_per_run`` (how many empty tasks the stock loop creates and awaits in the
time of the median run, measured between the runs) to compare between machines. ``python benchmarks/simulated_backup.py`` prints
JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "providers"), str(_ROOT / "requestors")]

from vss.coordinator import Coordinator, Session
from vss.documents import RestoreMethod, RestoreMethodKind, WriterMetadata, WriterRestore
from vss.exit_codes import ExitCode
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.verifier import Verifier
from vss.simulation import run
from vss.testing import StubWriter
from vss.volumes import BlockVolume, MemoryStore, VolumeNamespace
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_requestors.backup import BackupRequestor
from vss_requestors.restore import RestoreRequestor
from vss_requestors.verify import verify_set

_BLOCK_BYTES = 16384
_VOLUME_BLOCKS = 256
_RUNS = 200
_TASKS = 1000
_TARGET = Path("/backups")
_PLACES: Mapping[str, tuple[str, ...]] = {
    "Mail": ("D:\\Mail", "L:\\Mail"),
    "Notes": ("D:\\Notes",),
    "Journal": ("L:\\Journal",),
}
_FILES_PER_PLACE = 4
_FILE_BYTES = 40_000
_RESTORE = RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS)


class FileGroupWriter(StubWriter):
    """A file group that can be restored in place."""

    async def identify(self) -> WriterMetadata:
        """Declare the file group."""
        return replace(await super().identify(), restore_method=_RESTORE)


@dataclass
class SmallMachine:
    """Two volumes, three writers, one provider: what the requestors see."""

    ports: Ports
    coordinator: Coordinator
    files: VolumeNamespace
    name: str = "BENCH01"
    root: Path | None = None
    verifiers: Mapping[Guid, Verifier] = field(default_factory=dict)

    def open_session(self) -> Session:
        """Open a session of the coordinator."""
        return self.coordinator.open_session()

    @staticmethod
    async def build(ports: Ports) -> SmallMachine:
        """Make the machine, its volumes formatted and empty."""
        coordinator, provider = Coordinator(ports), CopyOnWriteProvider(ports)
        volumes = []
        for name in ("D:", "L:"):
            store = MemoryStore(_VOLUME_BLOCKS * _BLOCK_BYTES, name=name)
            volume = BlockVolume.format(ports, name, store, volume_id=ports.ids.guid())
            coordinator.add_volume(volume)
            await provider.attach(volume)
            volumes.append(volume)
        await coordinator.add_provider(provider)
        for name, paths in _PLACES.items():
            coordinator.add_writer(FileGroupWriter(name, paths=paths))
        return SmallMachine(ports, coordinator, VolumeNamespace(volumes))

    async def write(self, path: str, data: bytes) -> None:
        """Write a whole file."""
        file = await self.files.open(path, write=True, create=True)
        await file.pwrite(0, data)
        await file.sync()
        await file.close()

    async def read(self, path: str) -> bytes:
        """Return a whole file."""
        file = await self.files.open(path)
        data = await file.pread(0, file.size_bytes)
        await file.close()
        return data


def _content() -> dict[str, bytes]:
    stream = random.Random(0)
    places = [place for paths in _PLACES.values() for place in paths]
    return {f"{place}\\{number}.dat": stream.randbytes(_FILE_BYTES) for place in places for number in range(_FILES_PER_PLACE)}


_CONTENT = _content()


async def _job(ports: Ports) -> None:
    machine = await SmallMachine.build(ports)
    for path, data in _CONTENT.items():
        await machine.files.make_directory(path.rpartition("\\")[0])
        await machine.write(path, data)
    backed_up = await BackupRequestor().run(machine, target=_TARGET)
    assert backed_up.exit_code == ExitCode.OK, backed_up
    verified = await verify_set(ports, _TARGET / backed_up.set_id, machine.verifiers)
    assert verified.is_good, verified.findings
    for path in _CONTENT:
        await machine.files.remove(path)
    restored = await RestoreRequestor().run(machine, source=_TARGET)
    assert not restored.warnings, restored.warnings
    assert {path: await machine.read(path) for path in _CONTENT} == _CONTENT
    await machine.coordinator.close()


async def _nothing() -> None:
    """Do nothing."""


async def _tasks() -> None:
    for _ in range(_TASKS):
        await asyncio.create_task(_nothing())


def measure() -> dict[str, float]:
    """Return milliseconds per run, and the median run in empty tasks of the stock loop."""
    runs, tasks = [], []
    for seed in range(_RUNS):
        begun = time.process_time()
        run(_job, seed=seed)
        runs.append((time.process_time() - begun) * 1e3)
        if seed % 10 == 0:
            begun = time.process_time()
            asyncio.run(_tasks())
            tasks.append((time.process_time() - begun) * 1e3 / _TASKS)
    figures = {
        "run_ms_min": min(runs),
        "run_ms_median": statistics.median(runs),
        "run_ms_p95": statistics.quantiles(runs, n=20)[-1],
        "run_ms_max": max(runs),
        "tasks_per_run": statistics.median(runs) / statistics.median(tasks),
        "runs": _RUNS,
    }
    return {name: round(figure, 2) for name, figure in figures.items()}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
