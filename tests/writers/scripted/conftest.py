"""Two worlds for scripted writers: a scene (real volumes, stub provider, raw sessions) and a lab (real provider, requestors).

Both check at the end that nothing was left behind: no open session, no held volume, no frozen writer, no misuse of the writer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from vss.coordinator import Session, WriterStatus
from vss.documents import BackupType, FileRestoreStatus
from vss.errors import VssError
from vss.events import ApplicationLogged
from vss.lab.configuration import parse_configuration
from vss.lab.lab import Lab
from vss.lab.stores import MemoryKeeper
from vss.observe import Recorder
from vss.plugins import Origin, Registrar, Registry
from vss.ports import Ports
from vss.roles.verifier import Verifier
from vss.roles.volume import FileSystem
from vss.simulation import MemoryFiles, Simulation
from vss.testing import Scene, StubProvider
from vss.volumes import BlockVolume, MemoryStore, VolumeNamespace
from vss_providers import plugin as providers
from vss_requestors.backup import BackupRequestor
from vss_requestors.restore import RestoreRequestor
from vss_writers.scripted.declaration import WRITER_CLASS_ID
from vss_writers.scripted.verifier import ScriptedVerifier
from vss_writers.scripted.writer import SOURCE, ScriptedWriter, make_scripted_writer

T = TypeVar("T")

VOLUME_BYTES = 16 << 20
TARGET = Path("/backups")

FILES = (
    {"path": "D:\\Data\\a.txt", "size": 5000, "seed": 1},
    {"path": "D:\\Data\\b.txt", "size": 700, "seed": 1},
    {"path": "D:\\Data\\deep\\c.txt", "size": 10, "seed": 2},
    {"path": "D:\\Data\\skip.tmp", "size": 20, "seed": 3},
)
OPTIONS: dict[str, Any] = {
    "check_includes": True,
    "check_excludes": True,
    "components": [{"name": "Data", "file_sets": [{"path": "D:\\Data", "recursive": True}]}],
    "exclude": [{"path": "D:\\Data", "filespec": "*.tmp", "recursive": True}],
    "files": list(FILES),
}


@dataclass(frozen=True)
class Host:
    """A machine as the writer sees it."""

    ports: Ports
    files: FileSystem
    machine_name: str = "LAB01"
    name: str = "T1"
    root: Path | None = None


def options(**changes: Any) -> dict[str, Any]:
    """The options of most tests, with changes."""
    return {**OPTIONS, **changes}


async def read(files: FileSystem, path: str) -> bytes:
    """Read a whole file."""
    handle = await files.open(path)
    try:
        return await handle.pread(0, handle.size_bytes)
    finally:
        await handle.close()


async def write(files: FileSystem, path: str, data: bytes) -> None:
    """Write a whole file."""
    await files.make_directory(path.rpartition("\\")[0])
    handle = await files.open(path, write=True, create=True)
    await handle.truncate(0)
    await handle.pwrite(0, data)
    await handle.close()


@dataclass
class Stage:
    """A scene with one scripted writer."""

    ports: Ports
    scene: Scene
    writer: ScriptedWriter
    files: FileSystem
    recorder: Recorder
    stored: Any = field(default=None)

    def log(self, event_id: int | None = None) -> list[str]:
        """What the writer wrote to the event log."""
        events = [record.event for record in self.recorder.records]
        return [
            each.message
            for each in events
            if isinstance(each, ApplicationLogged) and each.source == SOURCE and event_id in (None, each.event_id)
        ]

    async def status(self, session: Session) -> WriterStatus:
        """The writer's status in a session."""
        return (await session.gather_writer_status())[0]

    async def backup(self, *, backup_type: BackupType = BackupType.FULL, succeeded: bool = True) -> WriterStatus | None:
        """Go through a whole backup without copying; return the status at the end, None where the writer was not listed."""
        async with self.scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=backup_type)
            listed = await session.gather_writer_metadata()
            for metadata in listed:
                for each in metadata.components:
                    session.add_component(
                        metadata.instance_id, metadata.writer_id, each.type, each.logical_path, each.component_name
                    )
            if not listed:
                return None
            session.start_snapshot_set()
            for volume in ("D:", "L:"):
                await session.add_to_snapshot_set(volume)
            await session.prepare_for_backup()
            status = await self.status(session)
            if status.failure.is_failure:
                return status
            try:
                await session.do_snapshot_set()
            except VssError:
                return await self.status(session)
            status = await self.status(session)
            if status.failure.is_failure:
                return status
            self.scene.report_all(session, succeeded)
            await session.backup_complete()
            self.stored = session.document
            return await self.status(session)

    async def restore(self, copy: Callable[[], Awaitable[None]] | None = None, **statuses: Any) -> WriterStatus:
        """Restore every stored component: ``copy`` stands for the requestor's copying."""
        async with self.scene.coordinator.open_session() as session:
            session.initialize_for_restore(self.stored)
            await session.gather_writer_metadata()
            keys = [
                (writer.writer_id, each.type, each.logical_path, each.component_name)
                for writer in self.stored.writers
                for each in writer.components
            ]
            for key in keys:
                session.set_selected_for_restore(*key)
                if statuses.get("additional"):
                    session.set_additional_restores(*key, True)
            await session.pre_restore()
            status = await self.status(session)
            if status.failure.is_failure:
                return status
            if copy is not None:
                await copy()
            for key in keys:
                if statuses.get("status", FileRestoreStatus.ALL) is not None:
                    session.set_file_restore_status(*key, statuses.get("status", FileRestoreStatus.ALL))
            await session.post_restore()
            return await self.status(session)


def play(
    script: Callable[[Stage], Awaitable[T]],
    writer_options: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    provider: Mapping[str, Any] | None = None,
    limits: Any = None,
    files: MemoryFiles | None = None,
    start: bool = True,
    leaves_frozen: bool = False,
    misuses: int = 0,
) -> T:
    """Run ``script`` with a writer of ``writer_options`` on a stage."""
    recorder = Recorder(lambda: simulation.now_ns)

    async def main(ports: Ports) -> T:
        volumes = [
            BlockVolume.format(ports, name, MemoryStore(VOLUME_BYTES, name=name), volume_id=ports.ids.guid())
            for name in ("D:", "L:")
        ]
        namespace = VolumeNamespace(volumes)
        writer = make_scripted_writer(Host(ports, namespace), OPTIONS if writer_options is None else writer_options)
        scene = await Scene.build(
            ports, writers=[writer], volumes=volumes, providers=[StubProvider(behaviour=provider)], limits=limits
        )
        stage = Stage(ports, scene, writer, namespace, recorder)
        if start:
            await writer.start()
        try:
            return await script(stage)
        finally:
            scene.assert_nothing_left()
            assert writer.is_frozen is leaves_frozen
            assert len(writer.misuses) == misuses, writer.misuses
            await writer.stop()
            await scene.coordinator.close()

    simulation = Simulation(main, seed=seed, files=files, emit=recorder.emit)
    return simulation.run()


LAB = """
[machine]
name = "LAB01"

[[volumes]]
name = "D:"
size = "16 MiB"

[[providers]]
kind = "copy-on-write"

[[writers]]
name = "T1"
kind = "scripted"
"""


def registry(*, with_verifier: bool = True) -> Registry:
    """The real providers, the scripted writer, its verifier."""
    registrar = Registrar(Origin("test"))
    providers.vss_register_providers(registrar)
    registrar.writer("scripted", "vss_writers.scripted.writer:make_scripted_writer")
    if with_verifier:
        registrar.verifier(WRITER_CLASS_ID, "vss_writers.scripted.verifier:ScriptedVerifier")
    return Registry(registrar.registrations)


@dataclass
class Bench:
    """A lab with one scripted writer, and requestors."""

    lab: Lab
    recorder: Recorder

    @property
    def writer(self) -> ScriptedWriter:
        """The writer."""
        found = self.lab.writer("T1")
        assert isinstance(found, ScriptedWriter)
        return found

    def log(self) -> list[str]:
        """What the writer wrote to the event log."""
        events = [record.event for record in self.recorder.records]
        return [each.message for each in events if isinstance(each, ApplicationLogged) and each.source == SOURCE]

    async def backup(self, machine: Any = None, **changes: Any) -> Any:
        """Back up with the real requestor."""
        changes.setdefault("target", TARGET)
        return await BackupRequestor().run(machine or self.lab, records=lambda: self.recorder.records, **changes)

    async def restore(self, **changes: Any) -> Any:
        """Restore with the real requestor."""
        return await RestoreRequestor().run(self.lab, source=TARGET, **changes)


def bench(
    script: Callable[[Bench], Awaitable[T]],
    writer_options: Mapping[str, Any] | None = None,
    *,
    lab_text: str | None = None,
    files: MemoryFiles | None = None,
    seed: int = 0,
) -> T:
    """Run ``script`` in a lab in memory."""
    recorder = Recorder(lambda: simulation.now_ns)

    async def main(ports: Ports) -> T:
        configuration = parse_configuration(lab_text or LAB)
        if lab_text is None:
            configuration.writers[0].options.update(OPTIONS if writer_options is None else writer_options)
        lab = Lab(configuration, ports, registry(), MemoryKeeper())
        await lab.create()
        try:
            return await script(Bench(lab, recorder))
        finally:
            Scene(ports, lab.coordinator, []).assert_nothing_left()
            for writer in lab.writers.values():
                assert isinstance(writer, ScriptedWriter)
                assert not writer.is_frozen
                assert writer.misuses == []
            await lab.stop()

    host_files = files or MemoryFiles()
    simulation = Simulation(main, seed=seed, files=host_files, emit=recorder.emit)
    result = simulation.run()
    assert not host_files.open_paths()
    return result


class Kit:
    """What tests get."""

    play = staticmethod(play)
    bench = staticmethod(bench)
    options = staticmethod(options)
    read = staticmethod(read)
    write = staticmethod(write)
    registry = staticmethod(registry)
    Host = Host
    Stage = Stage
    Bench = Bench
    FILES = FILES
    TARGET = TARGET
    LAB = LAB
    VERIFIER: type[Verifier] = ScriptedVerifier


@pytest.fixture
def kit() -> type[Kit]:
    """The builders of this directory."""
    return Kit
