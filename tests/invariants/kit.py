"""A small machine that is watched: real coordinator, file system and provider, and bystanders that never stop writing.

``play`` runs a script on it in a fresh simulated world and returns the evidence of the run. Sectors of the volumes differ
everywhere, also where nothing was ever written, so that misplaced bytes are told from wrong ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from vss.coordinator import Coordinator, Limits, Session
from vss.documents import BackupType, ExcludedFiles, RestoreMethod, RestoreMethodKind, WriterMetadata, WriterRestore
from vss.errors import VssError
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.writer import ApplicationLevel, WriterContext
from vss.simulation import run
from vss.simulation.invariants import (
    ApplicationWrite,
    BackupSetFiles,
    Catalogue,
    Document,
    EndState,
    Evidence,
    FrozenFiles,
    Outcome,
    RestoreEvidence,
    SnapshotRead,
    Trial,
)
from vss.testing import StubWriter
from vss.volumes import BlockVolume, Latency, MemoryStore, VolumeNamespace
from vss.volumes.watched_store import VOLUME_HEADER, RunWatch
from vss_providers.copy_on_write import CopyOnWriteProvider

BLOCK = 16384
BLOCKS = 64
PLACES = {"Mail": "D:\\Mail", "Notes": "L:\\Notes", "Registry": "D:\\Registry"}
LEVELS = {"Mail": ApplicationLevel.FRONT_END, "Notes": ApplicationLevel.BACK_END, "Registry": ApplicationLevel.SYSTEM}
WRITE_BYTES = 4096
TARGET = Path("/backups")
MOST_VIRTUAL_S = 250.0
RESTORE = RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS)


def _fill(name: str) -> bytes:
    content = bytearray(random.Random(name).randbytes(BLOCKS * BLOCK))
    content[VOLUME_HEADER[0] : VOLUME_HEADER[1]] = bytes(VOLUME_HEADER[1] - VOLUME_HEADER[0])
    return bytes(content)


_FILL = {name: _fill(name) for name in ("D:", "L:")}
"""What the disks hold before they are formatted: no two sectors alike, and no header of shadow copies."""


class KitProvider(CopyOnWriteProvider):
    """The real one, with a commit that takes time, so that somebody writes while writes are held."""

    clock: Any = None

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Take the shadow copies in the middle of half a second."""
        await self._ports.clock.sleep(0.2)
        await super().commit_snapshots(snapshot_set_id)
        await self._ports.clock.sleep(0.3)


class KitWriter(StubWriter):
    """A file group that takes time to freeze and remembers what its files were while it was frozen."""

    def __init__(self, name: str, machine: Machine, **options: Any) -> None:
        """Look after the files below the place that belongs to ``name``."""
        super().__init__(name, machine.calls, paths=(PLACES[name],), level=LEVELS[name], **options)
        self.machine = machine
        self.at_freeze: dict[str, str] = {}

    async def identify(self) -> WriterMetadata:
        """Declare a file group that can be restored in place."""
        excluded = (ExcludedFiles(PLACES[self.name], "*.tmp"),)
        return replace(await super().identify(), restore_method=RESTORE, excluded=excluded)

    async def on_freeze(self, context: WriterContext) -> None:
        """Stop, and look."""
        await super().on_freeze(context)
        await asyncio.sleep(0.1)
        self.at_freeze = await self.machine.digests(self.name)

    async def on_thaw(self, context: WriterContext) -> None:
        """Look, and go on."""
        at_thaw = await self.machine.digests(self.name)
        self.machine.frozen_files.append(FrozenFiles(self.name, str(context.session_id), self.at_freeze, at_thaw))
        await super().on_thaw(context)


@dataclass
class Machine:
    """The watched machine and what was seen of its run."""

    ports: Ports
    coordinator: Coordinator
    provider: CopyOnWriteProvider
    files: VolumeNamespace
    volumes: list[BlockVolume]
    watch: RunWatch
    calls: list[str] = field(default_factory=list)
    frozen_files: list[FrozenFiles] = field(default_factory=list)
    writes: list[ApplicationWrite] = field(default_factory=list)
    reads: list[SnapshotRead] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    restores: list[RestoreEvidence] = field(default_factory=list)
    sets: dict[str, BackupSetFiles] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    workloads: dict[str, list[str]] = field(default_factory=dict)
    persistent: list[dict[str, str]] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    real: list[str] = field(default_factory=list)
    is_ended: bool = False
    name: str = "KIT01"
    root: Path | None = None
    verifiers: dict[Guid, Any] = field(default_factory=dict)

    # -- making ----------------------------------------------------------------------------------------------------------------

    @staticmethod
    async def build(
        ports: Ports,
        watch: RunWatch,
        *,
        limits: Limits | None = None,
        latency: Latency | None = None,
        writer_class: type[KitWriter] = KitWriter,
        provider_class: type[CopyOnWriteProvider] = KitProvider,
        writers: Sequence[str] = tuple(PLACES),
        behaviour: dict[str, dict[str, Any]] | None = None,
        freeze_timeout_s: float = 60.0,
    ) -> Machine:
        """Make it: volumes D: and L:, three writers at three levels, two files each."""
        watch.start(ports.clock.now_ns)
        coordinator, provider = Coordinator(ports, limits=limits), provider_class(ports)
        volumes = []
        for name, fill in _FILL.items():
            store = watch.wrap(name, MemoryStore(len(fill), name=name, content=fill), region_bytes=len(fill))
            volume = BlockVolume.format(ports, name, store, volume_id=ports.ids.guid(), latency=latency or Latency())
            watch.attach(volume)
            store.first = store.read(0, len(fill))  # formatting is no application's work
            store.writes.clear()
            coordinator.add_volume(volume)
            await provider.attach(volume)
            volumes.append(volume)
        await coordinator.add_provider(provider)
        machine = Machine(ports, coordinator, provider, VolumeNamespace(volumes), volumes, watch)
        for name in writers:
            await machine.files.make_directory(PLACES[name])
            for number in range(2):
                await machine.write(f"{PLACES[name]}\\{number}.dat", random.Random(f"{name}{number}").randbytes(9000))
            options = {"behaviour": behaviour[name]} if behaviour and name in behaviour else {}
            coordinator.add_writer(writer_class(name, machine, freeze_timeout_s=freeze_timeout_s, **options))
        if "Mail" in writers:
            await machine.write(f"{PLACES['Mail']}\\left out.tmp", b"scratch")
        for name in ("D:", "L:"):
            await machine.write(f"{name}\\bystander.dat", random.Random(name + "by").randbytes(36 * WRITE_BYTES))
        return machine

    def open_session(self) -> Session:
        """Open a session of the coordinator."""
        return self.coordinator.open_session()

    async def write(self, path: str, data: bytes, offset: int = 0) -> None:
        """Write and make it durable."""
        file = await self.files.open(path, write=True, create=True)
        await file.pwrite(offset, data)
        await file.sync()
        await file.close()

    async def read(self, path: str) -> bytes:
        """Return a whole file."""
        file = await self.files.open(path)
        data = await file.pread(0, file.size_bytes)
        await file.close()
        return data

    async def contents(self) -> dict[str, bytes]:
        """Return every file of the machine."""
        found = {}
        for place in (*PLACES.values(), "D:", "L:"):
            for name in await self.files.list_directory(place + ("\\" if place.endswith(":") else "")):
                path = f"{place}\\{name}"
                if not (await self.files.stat(path)).is_directory:
                    found[path] = await self.read(path)
        return found

    async def digests(self, writer: str) -> dict[str, str]:
        """Return a digest of each of a writer's files."""
        place = PLACES[writer]
        names = await self.files.list_directory(place)
        return {f"{place}\\{name}": hashlib.sha256(await self.read(f"{place}\\{name}")).hexdigest() for name in names}

    # -- bystanders ------------------------------------------------------------------------------------------------------------

    async def bystand(self, application: str, volumes: Sequence[str], stop: asyncio.Event) -> None:
        """Write to the volumes in turn, one write after the other, until told to stop; keep a record of one's own."""
        stream = random.Random(application)
        number = 0
        while not stop.is_set():
            volume = volumes[number % len(volumes)]
            slot = (number // len(volumes)) % 12 + 12 * "ABC".index(application)
            data = stream.randbytes(WRITE_BYTES)
            index = len(self.writes)
            issued = len(self.watch.records)
            place = f"{volume}{slot}"
            self.writes.append(ApplicationWrite(application, number, volume, data, issued, place=place))
            try:
                file = await self.files.open(f"{volume}\\bystander.dat", write=True)
                await file.pwrite(slot * WRITE_BYTES, data)
                await file.close()
            except VssError as error:
                self.writes[index] = replace(self.writes[index], error=type(error).__name__)
            else:
                done = self.writes[index]
                self.writes[index] = replace(done, completed=len(self.watch.records), completions=done.completions + 1)
            number += 1
            await asyncio.sleep(0.03)

    async def among_bystanders(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` while three applications write, one to both volumes and two to L: alone."""
        stop = asyncio.Event()
        tasks = [
            asyncio.get_running_loop().create_task(self.bystand("A", ("D:", "L:"), stop)),
            asyncio.get_running_loop().create_task(self.bystand("B", ("L:",), stop)),
            asyncio.get_running_loop().create_task(self.bystand("C", ("L:",), stop)),
        ]
        await asyncio.sleep(0.1)
        try:
            await work()
            await asyncio.sleep(0.2)
        finally:
            stop.set()
            _, stuck = await asyncio.wait(tasks, timeout=20)
            for task in tasks:
                if task in stuck:  # a bug keeps its write for ever
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- shadow copies ---------------------------------------------------------------------------------------------------------

    async def beside_files_of(self, writers: Sequence[str], volume: str) -> tuple[tuple[int, int], ...]:
        """Return all ranges of a volume but those of files of others than ``writers``: what their recovery may change."""
        strangers = [f"{volume}\\bystander.dat"]
        for name, place in PLACES.items():
            if name not in writers and place.startswith(volume):
                strangers += [f"{place}\\{each}" for each in await self.files.list_directory(place)]
        taken = set()
        live = next(each for each in self.volumes if each.name == volume).files
        for path in strangers:
            inner = path[2:].replace("\\", "/")
            for offset in range(0, (await live.stat(inner)).size_bytes, 512):
                at = await live.locate(inner, offset)
                if at is not None:
                    taken.add(at // 512)
        return tuple((each * 512, (each + 1) * 512) for each in range(BLOCKS * BLOCK // 512) if each not in taken)

    def look(self, snapshot_id: Guid, volume: str, **facts: Any) -> None:
        """Read a whole shadow copy, or note the error."""
        data, error = None, ""
        sequence = len(self.watch.records)
        try:
            device = self.provider.open_device(snapshot_id)
            data = device.read(0, device.size_bytes)
        except VssError as raised:
            error = type(raised).__name__
        except Exception as raised:  # noqa: BLE001 - that it is no typed error is the finding
            error = f"!{type(raised).__name__}"
        self.reads.append(SnapshotRead(str(snapshot_id), volume, sequence, data, error, **facts))

    async def prepare(self, session: Session, *, backup_type: BackupType = BackupType.FULL) -> dict[str, Guid]:
        """Bring a session from initialise to the answers of PrepareForBackup, everything chosen, both volumes in the set."""
        session.initialize_for_backup()
        session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=backup_type)
        for metadata in await session.gather_writer_metadata():
            for each in metadata.components:
                session.add_component(
                    metadata.instance_id, metadata.writer_id, each.type, each.logical_path, each.component_name
                )
        session.start_snapshot_set()
        made = {volume.name: await session.add_to_snapshot_set(volume.name) for volume in self.volumes}
        await session.prepare_for_backup()
        await session.gather_writer_status()
        return made

    def report_all(self, session: Session, succeeded: bool = True) -> None:
        """Report every component as backed up, or as failed."""
        for writer in session.document.writers:
            for each in writer.components:
                session.set_backup_succeeded(
                    writer.instance_id, writer.writer_id, each.type, each.logical_path, each.component_name, succeeded
                )

    async def end(self) -> None:
        """Close the machine; what shadow copies there are is looked up before."""
        self.listed = [str(each.snapshot_id) for each in await self.coordinator.query_snapshots()]
        self.real = [str(each.snapshot_id) for each in await self.provider.query()]
        await self.coordinator.close()
        self.is_ended = True

    # -- evidence --------------------------------------------------------------------------------------------------------------

    async def evidence(self) -> Evidence:
        """Return everything that was seen."""
        before, after = self.persistent if len(self.persistent) == 2 else ({}, {})
        tasks = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        end = EndState(
            open_tasks=tuple(sorted(each.get_name() for each in tasks if each.get_name().startswith("leak"))),
            held_volumes=tuple(each.name for each in self.volumes if each.is_holding),
            locks=("the creation lock",) if self.coordinator.is_creating else (),
            sessions=tuple(f"session {number}" for number in range(self.coordinator.open_session_count)),
            pending_calls=tuple(f"call {number}" for number in range(self.coordinator.caller.left_behind_count)),
        )
        return self.watch.evidence(
            is_ended=self.is_ended,
            snapshots=tuple(self.reads),
            applications=tuple(self.writes),
            end=end,
            outcomes=tuple(self.outcomes),
            catalogue=Catalogue(tuple(self.listed), tuple(self.real), before, after),
            frozen_files=tuple(self.frozen_files),
            documents=tuple(self.documents),
            sets=dict(self.sets),
            restores=tuple(self.restores),
            trials=tuple(self.trials),
            workloads=dict(self.workloads),
        )


Script = Callable[[Machine], Awaitable[None]]
Plant = Callable[[pytest.MonkeyPatch], None]


def play(script: Script, plant: Plant | None = None, *, seed: int = 0, **options: Any) -> Evidence:
    """Run ``script`` on a machine made with ``options``, with the bug of ``plant`` in it, and return the evidence."""
    watch = RunWatch()

    async def main(ports: Ports) -> Evidence:
        machine = await Machine.build(ports, watch, **options)
        try:
            await script(machine)
        except Exception:
            if plant is None:
                raise
            machine.is_ended = True  # a bug may well end in an error; what was seen until then is the evidence
        return await machine.evidence()

    with pytest.MonkeyPatch.context() as patch:
        if plant is not None:
            plant(patch)
        return run(
            main, seed=seed, emit=watch.emit, max_virtual_s=MOST_VIRTUAL_S, unjudged="the test judges, with more evidence"
        )
