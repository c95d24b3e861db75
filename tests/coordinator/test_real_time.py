"""The same coordinator, provider and requestor on the stock loop: real clock, real threads, real files, a small real backup."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vss.coordinator import Coordinator, Session
from vss.documents import BackupType
from vss.events import Event, FreezeWindowClosed, WritesHeld, WritesReleased
from vss.exit_codes import ExitCode
from vss.ids import Guid
from vss.ports import NANOSECONDS, Ports
from vss.real import RealFiles, run_real
from vss.roles.verifier import Verifier
from vss.roles.writer import WriterContext
from vss.simulation import SimulationLoop
from vss.testing import StubWriter
from vss.volumes import BlockVolume, ImageStore, VolumeNamespace
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_requestors.backup import BackupRequestor
from vss_requestors.verify import verify_set

CONTENT = bytes(range(256)) * 512


@dataclass
class SmallMachine:
    """One volume on an image file, one writer, the copy-on-write provider."""

    ports: Ports
    coordinator: Coordinator
    files: VolumeNamespace
    name: str = "REAL01"
    root: Path | None = None
    verifiers: Mapping[Guid, Verifier] = field(default_factory=dict)

    def open_session(self) -> Session:
        return self.coordinator.open_session()


@pytest.mark.slow
def test_a_small_backup_in_real_time_copies_from_the_shadow_copy(tmp_path: Path) -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        assert not isinstance(asyncio.get_running_loop(), SimulationLoop)
        store = ImageStore.create(RealFiles(), tmp_path / "D.img", 8 << 20)
        volume = BlockVolume.format(ports, "D:", store, volume_id=ports.ids.guid())
        machine = SmallMachine(ports, Coordinator(ports), VolumeNamespace([volume]))
        machine.coordinator.add_volume(volume)

        async def write(content: bytes) -> None:
            await machine.files.make_directory("D:\\data")
            file = await machine.files.open("D:\\data\\notes.bin", write=True, create=True)
            await file.pwrite(0, content)
            await file.sync()
            await file.close()

        async def destroy_the_original(context: WriterContext) -> None:
            await write(bytes(len(CONTENT)))

        await write(CONTENT)
        machine.coordinator.add_writer(StubWriter("notes", behaviour={"on_post_snapshot": destroy_the_original}))
        provider = CopyOnWriteProvider(ports)
        await provider.attach(volume)
        await machine.coordinator.add_provider(provider)

        result = await BackupRequestor().run(machine, target=tmp_path / "sets", backup_type=BackupType.FULL)
        verdict = await verify_set(machine.ports, tmp_path / "sets" / result.set_id, {})
        await machine.coordinator.close()

        assert result.exit_code == ExitCode.OK
        assert verdict.is_good
        (copied,) = (tmp_path / "sets" / result.set_id / "files").rglob("notes.bin")
        assert copied.read_bytes() == CONTENT

    run_real(story, emit=events.append)

    (window,) = [each for each in events if isinstance(each, FreezeWindowClosed)]
    assert 0 < window.duration_ns < 10 * NANOSECONDS
    assert [type(each) for each in events if isinstance(each, WritesHeld | WritesReleased)] == [WritesHeld, WritesReleased]
