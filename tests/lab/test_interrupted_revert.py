"""A machine whose volume is half reverted, and holds no file system that could be mounted, starts all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.cli.loading import loaded_registry
from vss.errors import PluginError, VolumeError, VolumeWriteError
from vss.events import ApplicationLogged, Event
from vss.ids import Guid
from vss.lab import Lab, parse_configuration
from vss.lab.stores import MemoryKeeper
from vss.ports import Ports
from vss.roles.volume import Volume
from vss.simulation import run
from vss_providers.copy_on_write import CopyOnWriteProvider

LAB = """
[machine]
name = "EX1"

[[volumes]]
name = "D:"
size = "4 MiB"

[[providers]]
kind = "copy-on-write"
"""


def live(keeper: MemoryKeeper, script: Callable[[Lab], Awaitable[Any]], *, is_new: bool = False) -> tuple[Any, list[Event]]:
    """Switch the machine on, do something, switch it off; return the result and what was told."""
    events: list[Event] = []

    async def life(ports: Ports) -> Any:
        lab = Lab(parse_configuration(LAB), ports, loaded_registry(), keeper)
        try:
            await (lab.create() if is_new else lab.start())
            return await script(lab)
        finally:
            await lab.stop()

    return run(life, emit=events.append), events


async def put(lab: Lab, data: bytes) -> None:
    file = await lab.files.open("D:\\file", write=True, create=True)
    await file.pwrite(0, data)
    await file.close()
    await lab.volume("D:").files.sync()


async def revert_by_half(lab: Lab) -> None:
    """Leave the volume as a machine does that dies while it is being reverted: marked, and torn."""
    volume, provider = lab.volume("D:"), lab.coordinator.providers[0]
    assert isinstance(provider, CopyOnWriteProvider)
    await put(lab, b"before")
    set_id, snapshot_id = Guid(int=1), Guid(int=2)
    await provider.begin_prepare_snapshot(set_id, snapshot_id, volume, 0x9)
    await provider.end_prepare_snapshots(set_id)
    await provider.pre_commit_snapshots(set_id)
    await provider.commit_snapshots(set_id)
    await provider.post_commit_snapshots(set_id, 1)
    await provider.pre_final_commit_snapshots(set_id)
    await provider.post_final_commit_snapshots(set_id)
    await put(lab, b"after ")
    area = provider.diff_area(volume)
    area.mark_revert(area.stack[0], is_reverting=True)
    area.before_write(0, volume.size_bytes)
    area.device.write(512, b"\xee" * (0x1E00 - 512))  # the header of the shadow copies stays, the boot record too
    area.device.write(0x2000, b"\xee" * (volume.size_bytes - 512 - 0x2000))


async def content(lab: Lab) -> bytes:
    file = await lab.files.open("D:\\file")
    return await file.pread(0, 6)


def test_the_revert_is_finished_before_the_volume_is_mounted() -> None:
    keeper = MemoryKeeper()
    live(keeper, revert_by_half, is_new=True)

    found, events = live(keeper, content)

    assert found == b"before"
    assert [each.event_id for each in events if isinstance(each, ApplicationLogged)] == [65, 66]
    assert live(keeper, content)[0] == b"before"


def test_without_a_provider_that_knows_how_it_cannot_be_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = MemoryKeeper()
    live(keeper, revert_by_half, is_new=True)
    monkeypatch.setattr(CopyOnWriteProvider, "before_mount", lambda self, volume: None)

    with pytest.raises(VolumeError):
        live(keeper, content)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(RuntimeError("odd"), PluginError), (VolumeWriteError("the disk refuses"), VolumeWriteError)],
)
def test_a_provider_that_fails_before_a_mount_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception]
) -> None:
    def fail(self: CopyOnWriteProvider, volume: Volume) -> None:
        raise error

    keeper = MemoryKeeper()
    live(keeper, lambda lab: put(lab, b"x"), is_new=True)
    monkeypatch.setattr(CopyOnWriteProvider, "before_mount", fail)

    with pytest.raises(expected, match=str(error)):
        live(keeper, content)
