"""A small machine with real volumes, a provider that copies a volume at the commit, and a store writer with a verifier.

``play(script)`` runs ``script(world)`` in a fresh simulated world and checks afterwards that nothing was left behind: no open
session, no held volume, no frozen writer, no open host file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from vss.coordinator import Coordinator, Session
from vss.documents import (
    BackupSchema,
    BackupType,
    Component,
    ComponentType,
    FileSpec,
    FileSpecKind,
    RestoreMethod,
    RestoreMethodKind,
    WriterMetadata,
    WriterRestore,
)
from vss.events import LogsTruncated
from vss.ids import GUID_NULL, Guid
from vss.observe import Recorder
from vss.ports import Ports
from vss.roles.verifier import FileSource, FileVerification, Finding, Progress, VerificationReport, Verifier
from vss.roles.volume import FileSystem, Volume
from vss.roles.writer import WriterContext
from vss.simulation import Simulation
from vss.simulation.memory_files import MemoryFiles
from vss.testing import Scene, StubProvider, StubWriter
from vss.volumes import BlockVolume, ExtentFileSystem, MemoryStore, VolumeNamespace

T = TypeVar("T")

LAB = Path("/lab")
TARGET = Path("/backups")
PAGE = 4096
VOLUME_BYTES = 4 << 20


def page(number: int, fill: int = 0x5A) -> bytes:
    """A page that the verifier finds good."""
    return b"PAGE" + number.to_bytes(4, "little") + bytes([fill]) * (PAGE - 8)


def database(pages: int, fill: int = 0x5A) -> bytes:
    """A database file."""
    return b"".join(page(number, fill) for number in range(pages))


STORE_FILES = {
    "D:\\data\\one.edb": database(5),
    "D:\\data\\deep\\two.edb": database(3),
    "L:\\logs\\E0001.log": b"first log " * 100,
    "L:\\logs\\E0002.log": b"second log " * 100,
}
STORE_SPECS = (
    FileSpec("D:\\data", "*.edb", kind=FileSpecKind.DATABASE_FILES),
    FileSpec("D:\\data\\deep", "*.edb", kind=FileSpecKind.DATABASE_FILES),
    FileSpec("L:\\logs", "*.log", kind=FileSpecKind.DATABASE_LOG_FILES),
)
IN_PLACE = RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS)


class StoreWriter(StubWriter):
    """A writer with a database component; truncates (says so) when told that every component succeeded."""

    def __init__(self, ports: Ports, name: str = "Store", **options: Any) -> None:
        self.ports = ports
        self.restore_method: RestoreMethod | None = options.pop("restore_method", IN_PLACE)
        self.schema = options.pop("schema", BackupSchema.NONE)
        self.excluded = options.pop("excluded", ())
        options.setdefault("components", (Component(ComponentType.DATABASE, name, files=STORE_SPECS),))
        super().__init__(name, **options)
        self.told: list[tuple[str, bool | None]] = []
        self.truncations = 0

    async def identify(self) -> WriterMetadata:
        metadata = await super().identify()
        return replace(metadata, restore_method=self.restore_method, backup_schema=self.schema, excluded=self.excluded)

    async def on_backup_complete(self, context: WriterContext) -> None:
        await super().on_backup_complete(context)
        assert context.components is not None
        self.told = [(each.full_path, each.backup_succeeded) for each in context.components.components]
        if all(succeeded for _, succeeded in self.told):
            self.truncations += 1  # what a copy backup is told counts here too; logs go for the others only
            is_copy = context.backup_type is BackupType.COPY
            self.ports.emit(
                LogsTruncated(
                    store=self.name,
                    removed_first=0 if is_copy else 1,
                    removed_last=0 if is_copy else 1,
                    removed_count=0 if is_copy else 1,
                    kept_first=2,
                    kept_last=2,
                    reason="below the checkpoint",
                )
            )


class PageVerifier(Verifier):
    """Judges ``.edb`` files page by page and takes the rest as it is."""

    name = "page verifier"

    def __init__(self, writer_class_id: Guid) -> None:
        self.writer_class_id = writer_class_id

    async def verify(
        self, source: FileSource, *, throttle_bytes_per_s: float | None = None, progress: Progress | None = None
    ) -> VerificationReport:
        files: list[FileVerification] = []
        findings: list[Finding] = []
        for path in source.paths():
            size = await source.size(path)
            pages = size // PAGE if path.endswith(".edb") else 0
            for number in range(pages):
                found = await source.read(path, number * PAGE, PAGE)
                if found[:8] != page(number)[:8] or len(set(found[8:])) != 1:
                    findings.append(Finding(path, "bad page", "the pattern is broken", number, number * PAGE))
            files.append(FileVerification(path, size, "pages", pages, not findings))
        return VerificationReport(tuple(files), tuple(findings))


class CopyingProvider(StubProvider):
    """At the commit copies every block of its volumes: simple, and surely independent of the live ones."""

    def __init__(self, **options: Any) -> None:
        super().__init__("Copying provider", **options)
        self.volumes: dict[Guid, BlockVolume] = {}
        self.copies: dict[Guid, bytes] = {}

    async def begin_prepare_snapshot(self, snapshot_set_id: Guid, snapshot_id: Guid, volume: Volume, attributes: int) -> None:
        await super().begin_prepare_snapshot(snapshot_set_id, snapshot_id, volume, attributes)
        assert isinstance(volume, BlockVolume)
        self.volumes[snapshot_id] = volume

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        await super().commit_snapshots(snapshot_set_id)
        for each in self.sets[snapshot_set_id]:
            volume = self.volumes[each.snapshot_id]
            self.copies[each.snapshot_id] = volume.raw_store.read(0, volume.size_bytes)

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        await super().open_snapshot(snapshot_id)
        return ExtentFileSystem.on_device(MemoryStore(VOLUME_BYTES, content=self.copies[snapshot_id]))


class World:
    """The machine, and what a test wants to see of it. It is itself the ``Machine`` of the requestors."""

    name = "testbed"
    root = LAB

    def __init__(self, ports: Ports, recorder: Recorder) -> None:
        self.ports = ports
        self.recorder = recorder
        self.coordinator = Coordinator(ports)
        self.volumes = {
            name: BlockVolume.format(ports, name, MemoryStore(VOLUME_BYTES, name=name), volume_id=ports.ids.guid())
            for name in ("D:", "L:")
        }
        self.files = VolumeNamespace(self.volumes.values())
        self.verifiers: dict[Guid, Verifier] = {}
        self.provider = CopyingProvider()
        self.calls: list[str] = []

    async def start(self, writers: Sequence[StubWriter] | None = None, *, with_verifier: bool = True) -> StoreWriter:
        """Make volumes, provider and writers; returns the first writer."""
        for volume in self.volumes.values():
            self.coordinator.add_volume(volume)
        await self.coordinator.add_provider(self.provider)
        self.writers = list(writers) if writers is not None else [StoreWriter(self.ports, calls=self.calls)]
        for writer in self.writers:
            self.coordinator.add_writer(writer)
            if with_verifier:
                self.verifiers[writer.writer_class_id] = PageVerifier(writer.writer_class_id)
        for path, data in STORE_FILES.items():
            await self.write(path, data)
        first = self.writers[0]
        assert isinstance(first, StoreWriter)
        return first

    def open_session(self) -> Session:
        """A session of the real coordinator."""
        return self.coordinator.open_session()

    async def write(self, path: str, data: bytes) -> None:
        """Write a whole file."""
        await self.files.make_directory(path.rpartition("\\")[0])
        handle = await self.files.open(path, write=True, create=True)
        await handle.truncate(0)
        await handle.pwrite(0, data)
        await handle.sync()
        await handle.close()

    async def read(self, path: str) -> bytes:
        """Read a whole file."""
        handle = await self.files.open(path)
        data = await handle.pread(0, handle.size_bytes)
        await handle.close()
        return data

    async def destroy_originals(self) -> None:
        """Overwrite and remove every file of the store."""
        for path, data in STORE_FILES.items():
            await self.write(path, b"\xff" * len(data))
            await self.files.remove(path)
        await self.files.sync()

    async def tree(self) -> dict[str, bytes]:
        """Every file of the store's directories."""
        found: dict[str, bytes] = {}
        for directory in ("D:\\data", "D:\\data\\deep", "L:\\logs"):
            if not await self.files.exists(directory):
                continue
            for name in await self.files.list_directory(directory):
                path = f"{directory}\\{name}"
                if not (await self.files.stat(path)).is_directory:
                    found[path] = await self.read(path)
        return found

    def events(self, kind: type[Any]) -> list[Any]:
        """What was recorded, of one kind."""
        return [record.event for record in self.recorder.records if isinstance(record.event, kind)]

    def set_tree(self, target: Path = TARGET) -> dict[str, bytes]:
        """Every host file below ``target``, by relative path."""
        found: dict[str, bytes] = {}
        pending = [target]
        while pending:
            directory = pending.pop()
            for name in self.ports.files.list_directory(directory) if self.ports.files.exists(directory) else ():
                path = directory / name
                if self.ports.files.is_directory(path):
                    pending.append(path)
                else:
                    found[path.relative_to(target).as_posix()] = self.ports.files.read_bytes(path)
        return dict(sorted(found.items()))

    def assert_nothing_left(self) -> None:
        """No session, lock, hold, frozen writer, unfinished set or open host file; no auto-release shadow copy."""
        Scene(self.ports, self.coordinator, self.calls).assert_nothing_left()
        open_paths: list[Path] = getattr(self.ports.files, "open_paths", list)()
        assert not open_paths, f"host files are open: {open_paths}"

    @property
    def options(self) -> dict[str, Any]:
        """What most backups say."""
        return {"target": TARGET, "records": lambda: self.recorder.records}


def play(
    script: Callable[[World], Awaitable[T]],
    *,
    files: Any = None,
    faults: Any = None,
    seed: int = 0,
    check: Callable[[World], None] = World.assert_nothing_left,
) -> T:
    """Run ``script`` on a fresh world."""

    async def main(ports: Ports) -> T:
        ports.files.make_directory(LAB)
        world = World(ports, recorder)
        try:
            return await script(world)
        finally:
            check(world)
            await world.coordinator.close()

    recorder = Recorder(lambda: simulation.now_ns)
    simulation = Simulation(main, seed=seed, files=files or MemoryFiles(), emit=recorder.emit, faults=faults)
    return simulation.run()


class Kit:
    """What tests get: the names above."""

    play = staticmethod(play)
    page = staticmethod(page)
    database = staticmethod(database)
    StoreWriter = StoreWriter
    CopyingProvider = CopyingProvider
    PageVerifier = PageVerifier
    World = World
    STORE_FILES: Mapping[str, bytes] = STORE_FILES
    STORE_SPECS = STORE_SPECS
    IN_PLACE = IN_PLACE
    LAB = LAB
    TARGET = TARGET
    PAGE = PAGE
    NO_PROVIDER = GUID_NULL


@pytest.fixture
def kit() -> type[Kit]:
    """The builders of this directory."""
    return Kit
