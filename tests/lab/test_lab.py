"""The machine itself, in memory: boot and shutdown, load, disasters, what its check finds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.errors import InvalidArgumentError, NotFoundError, PluginError, VolumeError, VolumeReadError
from vss.events import WorkloadAcknowledged
from vss.ids import GUID_NULL
from vss.lab import Lab, parse_configuration
from vss.lab.facts import facts_of
from vss.lab.stores import DirectoryKeeper, MemoryKeeper
from vss.observe import Recorder
from vss.ports import Ports
from vss.simulation import MemoryFiles, Simulation

Script = Callable[[Lab], Awaitable[Any]]


class Machine:
    """Labs on one keeper."""

    def __init__(self, text: str, plugins: Any) -> None:
        self.configuration = parse_configuration(text)
        self.plugins = plugins
        self.keeper = MemoryKeeper()
        self.recorder: Recorder

    def live(self, script: Script, *, is_new: bool = False) -> Any:
        async def life(ports: Ports) -> Any:
            lab = Lab(self.configuration, ports, self.plugins.registry, self.keeper)
            try:
                await (lab.create() if is_new else lab.start())
                return await script(lab)
            finally:
                await lab.stop()
                await lab.stop()

        simulation: Simulation[Any] = Simulation(life, emit=lambda event: self.recorder.emit(event))
        self.recorder = Recorder(lambda: simulation.now_ns)
        return simulation.run()


@pytest.fixture
def machine(plugins: Any, small: str) -> Machine:
    made = Machine(small, plugins)
    made.live(lambda lab: lab.run_for(30), is_new=True)
    return made


def test_a_second_lab_on_the_same_keeper_sees_what_the_first_left(machine: Machine) -> None:
    async def look(lab: Lab) -> Any:
        assert lab.root is None
        assert lab.name == "EX1"
        return await lab.check(), await facts_of(lab)

    problems, facts = machine.live(look)

    assert problems == []
    assert facts["workloads"][0]["operations"] > 5
    assert facts["workloads"][1]["operations"] == 0  # the bystander works only under load


def test_a_memory_keeper_mounts_only_what_was_made(plugins: Any, small: str) -> None:
    with pytest.raises(NotFoundError, match="volume D: was never made"):
        Machine(small, plugins).live(lambda lab: lab.run_for(1))


def test_load_lasts_as_long_as_the_block(machine: Machine) -> None:
    async def work(lab: Lab) -> list[int]:
        async with lab.under_load():
            await asyncio.sleep(1)
        counts = [int(each.report()["operations"]) for each in lab.workloads.values()]
        await asyncio.sleep(5)
        assert counts == [int(each.report()["operations"]) for each in lab.workloads.values()]
        return counts

    users, bystander = machine.live(work)

    assert users > 5
    assert bystander > 50
    told = [each.event for each in machine.recorder.records if isinstance(each.event, WorkloadAcknowledged)]
    assert [each.operations for each in told] == [users, bystander]


def test_a_block_that_ends_at_once_ends_the_load_too(machine: Machine) -> None:
    async def fail(lab: Lab) -> None:
        async with lab.under_load():
            raise InvalidArgumentError("at once")

    with pytest.raises(InvalidArgumentError, match="at once"):
        machine.live(fail)


@pytest.mark.parametrize("steps", range(6))
def test_load_that_is_cancelled_while_it_begins_ends(machine: Machine, steps: int) -> None:
    async def begin(lab: Lab) -> None:
        async def loaded() -> None:
            async with lab.under_load():
                await asyncio.sleep(3600)

        task = asyncio.ensure_future(loaded())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [each.get_name() for each in asyncio.all_tasks() if each.get_name().startswith("workload:")] == []

    machine.live(begin)


def test_check_names_what_does_not_hold(machine: Machine) -> None:
    async def look(lab: Lab) -> list[str]:
        session = lab.open_session()
        session.initialize_for_backup()
        session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=_full())
        await session.gather_writer_metadata()
        session.start_snapshot_set()
        lab.coordinator.caller._left_behind[0] = asyncio.ensure_future(asyncio.sleep(0))  # type: ignore[index]
        await lab.volume("l:").flush_and_hold(5)
        await lab.lose_volume("D:")
        await lab.take_down("gone")
        problems = await lab.check()
        await lab.volume("L:").release_writes()
        lab.coordinator.caller._left_behind.clear()
        await session.release()
        return problems

    problems = machine.live(look)

    for expected in (
        "volume L: holds writes",
        "volume D: is lost",
        "a shadow copy set is in creation",
        "1 sessions are open",
        "1 calls to plugins are still pending",
    ):
        assert expected in problems
    assert any(each.startswith("users: ") for each in problems), problems


def test_check_says_when_a_workload_cannot_compare(machine: Machine) -> None:
    async def look(lab: Lab) -> list[str]:
        async def check() -> list[str]:
            raise VolumeReadError("the disk does not answer")

        for workload in lab.workloads.values():
            workload.check = check  # type: ignore[method-assign]
        return await lab.check()

    problems = machine.live(look)

    assert any(each.endswith(": cannot be compared: the disk does not answer") for each in problems)


def _full() -> Any:
    from vss.documents import BackupType

    return BackupType.FULL


def test_a_lost_volume_stays_lost_until_it_is_replaced(machine: Machine) -> None:
    machine.live(lambda lab: lab.lose_volume("D:"))

    async def look(lab: Lab) -> None:
        assert lab.volume("D:").is_lost
        with pytest.raises(VolumeError, match="volume D: is lost"):
            await lab.flip_bit(r"D:\Exchange\SG1\DB1.edb", 0)
        await lab.replace_volume("d:")
        with pytest.raises(InvalidArgumentError, match="volume D: is not lost"):
            await lab.replace_volume("D:")

    machine.live(look)

    async def count(lab: Lab) -> bool:
        return lab.volume("D:").is_lost

    assert machine.live(count) is False


def test_a_bit_is_flipped_only_where_something_is_stored(machine: Machine) -> None:
    path = r"D:\Exchange\SG1\DB1.edb"

    async def flip(lab: Lab) -> None:
        file = await lab.files.open(path)
        before = await file.pread(16384, 1)
        await lab.flip_bit(path, 16384, 7)
        assert (await file.pread(16384, 1))[0] == before[0] ^ 0x80
        await lab.flip_bit(path, 16384, 7)
        await file.close()
        for offset, bit in ((1 << 40, 0), (0, 8)):
            with pytest.raises((InvalidArgumentError, NotFoundError)):
                await lab.flip_bit(path, offset, bit)

    machine.live(flip)


def test_providers_and_writers_are_found_by_name(machine: Machine) -> None:
    async def look(lab: Lab) -> None:
        (provider,) = lab.coordinator.providers
        for name in ("copy-on-write", provider.name, str(provider.provider_id)):
            assert lab.provider_id(name) == provider.provider_id
        assert lab.provider_id("") == GUID_NULL
        assert lab.writer("SG1") is lab.writers["SG1"]
        with pytest.raises(NotFoundError, match="the lab has no writer 'SG2': found SG1"):
            lab.writer("SG2")

    machine.live(look)


def test_an_application_that_raises_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from vss_writers.exchange.writer import ExchangeWriter

    async def boom(self: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(ExchangeWriter, "start", boom)
    with pytest.raises(PluginError, match="the application of writer 'Microsoft Exchange Writer' failed: RuntimeError: boom"):
        machine.live(lambda lab: lab.run_for(1))
    monkeypatch.undo()
    monkeypatch.setattr(ExchangeWriter, "stop", boom)
    with pytest.raises(PluginError, match="shutting down: the application of writer 'SG1' failed: RuntimeError: boom"):
        machine.live(lambda lab: lab.run_for(1))


def test_every_part_is_shut_down_and_every_failure_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(records: Any) -> None:
        raise VolumeError("no room for records")

    monkeypatch.setattr(machine.keeper, "write_workloads", full)

    async def break_everything(lab: Lab) -> None:
        async def boom() -> None:
            raise RuntimeError("boom")

        for workload in lab.workloads.values():
            monkeypatch.setattr(workload, "stop", boom)

    with pytest.raises(PluginError, match="shutting down: workload 'users' failed") as caught:
        machine.live(break_everything)
    notes = " ".join(caught.value.__notes__)
    assert "workload 'bystander'" in notes
    assert "no room for records" in notes


def test_an_image_that_cannot_be_made_durable_is_a_named_error(plugins: Any, small: str) -> None:
    class Failing(MemoryFiles):
        """Files whose sync fails."""

    files = Failing()
    machine = Machine(small, plugins)
    from pathlib import Path

    files.make_directory(Path("/lab"))
    machine.keeper = DirectoryKeeper(files, Path("/lab"))  # type: ignore[assignment]
    from vss.simulation import memory_files

    def fail(self: Any) -> None:
        raise OSError(5, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_files._MemoryFile, "sync", fail)
        with pytest.raises(VolumeError, match="image cannot be made durable"):
            machine.live(lambda lab: lab.run_for(1), is_new=True)
    assert files.open_paths() == []
