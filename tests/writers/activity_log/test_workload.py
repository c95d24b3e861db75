"""The bystander: its lines, its record, and what it finds wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from vss.errors import ConfigurationError
from vss.ports import Ports
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, MemoryStore, StoreEffect, StoreFault, VolumeNamespace
from vss_writers.activity_log.workload import LINE_BYTES, ActivityLog, ActivityLogState, make_activity_log

PATH = "D:\\Logs\\activity.log"


@dataclass
class Host:
    ports: Ports
    files: VolumeNamespace
    disk: FaultyStore
    volume: BlockVolume
    machine_name: str = "MAIL"
    name: str = "bystander"

    def log(self, **options: Any) -> ActivityLog:
        return make_activity_log(self, {"path": PATH, **options})  # type: ignore[arg-type]

    async def read(self) -> bytes:
        handle = await self.files.open(PATH)
        return await handle.pread(0, handle.size_bytes)

    async def write(self, data: bytes) -> None:
        handle = await self.files.open(PATH, write=True)
        await handle.truncate(0)
        await handle.pwrite(0, data)


def on_machine(script: Callable[[Host], Awaitable[None]]) -> None:
    async def main(ports: Ports) -> None:
        disk = FaultyStore(MemoryStore(4 << 20), records_writes=False)
        volume = BlockVolume.format(ports, "D:", disk, volume_id=ports.ids.guid())
        await script(Host(ports, VolumeNamespace([volume]), disk, volume))

    run(main)


async def work(host: Host, log: ActivityLog, seconds: float) -> None:
    await log.run_until(host.ports.clock.now_ns() + round(seconds * 1e9))


def record_of(log: ActivityLog) -> ActivityLogState:
    return msgspec.json.decode(log.state(), type=ActivityLogState)


def test_a_line_a_second() -> None:
    async def script(host: Host) -> None:
        log = host.log()
        await work(host, log, 10.5)

        assert log.report()["operations"] == 10
        assert len(await host.read()) == 10 * LINE_BYTES
        assert await log.check() == []

    on_machine(script)


def test_it_stops_when_told_to() -> None:
    async def script(host: Host) -> None:
        log = host.log(interval_s=0.5)
        running = asyncio.ensure_future(work(host, log, 1e9))
        await asyncio.sleep(5)
        await log.stop()
        await running

        assert log.report()["operations"] > 0

    on_machine(script)


def test_the_record_goes_on_after_a_restart() -> None:
    async def script(host: Host) -> None:
        first, second = host.log(), host.log()
        await work(host, first, 3.5)
        second.load_state(first.state())
        await work(host, second, 3.5)

        assert len(await host.read()) == 6 * LINE_BYTES
        assert await second.check() == []

    on_machine(script)


def test_without_a_line_there_is_nothing_to_compare() -> None:
    async def script(host: Host) -> None:
        assert await host.log().check() == []

    on_machine(script)


def test_a_failing_disk_is_tried_again_and_what_failed_is_in_doubt() -> None:
    async def script(host: Host) -> None:
        log = host.log()
        await work(host, log, 2.5)
        host.disk.arm(StoreFault(StoreEffect.WRITE_ERROR, is_sticky=True))
        await work(host, log, 2.5)
        host.disk.disarm()
        assert log.report()["failures"] == 2
        await work(host, log, 1.5)

        assert record_of(log).in_doubt is False
        assert log.report()["operations"] == 3
        assert await log.check() == []

    on_machine(script)


def test_it_rests_after_so_many_lines_also_where_none_could_be_written() -> None:
    async def script(host: Host) -> None:
        log = host.log(lines_at_once=3)
        await work(host, log, 60)
        assert (log.report()["operations"], log.report()["failures"]) == (3, 0)
        host.disk.arm(StoreFault(StoreEffect.WRITE_ERROR, is_sticky=True))
        await work(host, log, 60)
        assert (log.report()["operations"], log.report()["failures"]) == (3, 3)

    on_machine(script)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda data: data[:-LINE_BYTES], 5),
        (lambda data: data + data[:LINE_BYTES], 6),
        (lambda data: data[:LINE_BYTES] + b"x" + data[LINE_BYTES + 1 :], 2),
    ],
    ids=["lost", "doubled", "changed"],
)
def test_a_difference_is_named_with_its_line(change: Callable[[bytes], bytes], line: int) -> None:
    async def script(host: Host) -> None:
        log = host.log()
        await work(host, log, 5.5)
        await host.write(change(await host.read()))
        found = await log.check()

        assert len(found) == 1
        assert found[0].startswith(f"{PATH}: expected 5 lines as acknowledged")
        assert found[0].endswith(f"the first difference in line {line}")

    on_machine(script)


def test_a_line_in_doubt_may_be_there() -> None:
    async def script(host: Host) -> None:
        log = host.log()
        await work(host, log, 5.5)
        log.load_state(msgspec.json.encode(ActivityLogState(lines=4, in_doubt=True)))
        assert await log.check() == []
        log.load_state(msgspec.json.encode(ActivityLogState(lines=4)))

        assert len(await log.check()) == 1

    on_machine(script)


def test_a_file_that_is_gone_cannot_be_compared() -> None:
    async def script(host: Host) -> None:
        log = host.log()
        await work(host, log, 2.5)
        host.volume.lose()

        assert (await log.check())[0].startswith(f"{PATH}: cannot be compared: volume D: is lost")

    on_machine(script)


def test_a_damaged_record_is_refused_by_name() -> None:
    async def script(host: Host) -> None:
        with pytest.raises(ConfigurationError, match="record of workload 'bystander' is damaged"):
            host.log().load_state(b"[")

    on_machine(script)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"interval_s": 0}, "interval_s: expected more than 0"), ({"interval": 1}, "unknown field `interval`")],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    async def script(host: Host) -> None:
        with pytest.raises(ConfigurationError, match=message):
            host.log(**options)

    on_machine(script)
