"""Copy-on-write against a qcow2 overlay, the copy-on-write that virtual machines run on: random 4 KiB writes, first and later.

Like against like: both sides work on a raw image of the same size in the same directory, in the same places, saving into room
that was never used before; rounds alternate. Three comparisons, each with the same durability on both sides:

*unflushed*: nobody flushes. ``qemu-io`` (Debian package qemu-utils) opens images *writethrough* unless it is told otherwise,
with a sync for every write; it runs with ``-t writeback`` here, first and later writes in one process, for it flushes when it
ends. Its own clock is read, write by write, so that neither the process nor the script counts. Times are medians of batches.
*flushed*: one flush after the writes counts on both sides, as it does for whoever wants them kept. Here qemu-io is timed from
outside, by the wall clock and by processor time, and what it takes for as many commands that touch no data is taken off.
*written through*: a flush for every write: the first write under a persistent shadow copy against a writethrough overlay; the
later write is left out, for ours needs no flush and theirs does.

Ratios are medians of ratios round by round, so that what else the machine did counts on both sides; above 1 they say how many
times faster we are. What each side takes for a plain write, without shadow copy or overlay, is given as well: the rest is what
copy-on-write adds. On a busy machine qemu-io waits for its worker thread with every write, which we do not have; processor time
shows what is left without that. ``ours_first_reused`` is the first write into room that an earlier shadow copy had. Where
``qemu-io`` is missing the result says so and nothing is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "providers"))

from benchmarks.taking import take
from vss.ids import Guid
from vss.real import real_ports
from vss.volumes import BlockVolume, ImageStore
from vss_providers.copy_on_write import CopyOnWriteProvider

_VOLUME_BYTES = 64 << 20
_WRITE_BYTES = 4096
_WRITES = 1000
_BATCH = 50
_ROUNDS = 7
_CLUSTER_SIZES = (65536, 16384)
_WRITTEN_THROUGH = 100
_PERSISTENT = 0x9

Times = dict[str, float]
"""Microseconds a write, by kind."""


def _places(seed: int) -> list[int]:
    """Random 4 KiB places, no two in one block of ours, or in one cluster of the larger size."""
    source = random.Random(seed)
    clusters = source.sample(range(1, _VOLUME_BYTES // max(_CLUSTER_SIZES)), _WRITES)
    return [cluster * max(_CLUSTER_SIZES) + _WRITE_BYTES * source.randrange(16) for cluster in clusters]


def _batches(times: list[float]) -> float:
    """Return the median of the means of batches."""
    return statistics.median(statistics.mean(times[at : at + _BATCH]) for at in range(0, len(times), _BATCH))


# -- theirs --------------------------------------------------------------------------------------------------------------------


def _run(image: Path, kind: str, commands: list[str], cache: str = "writeback") -> tuple[float, float, str]:
    """Return what qemu-io takes for these commands by both clocks, start and end of the process included, and what it says."""
    script = "\n".join([*commands, "quit", ""])
    begun, spent = time.perf_counter(), _children_s()
    done = subprocess.run(
        ["qemu-io", "-t", cache, "-f", kind, str(image)], input=script, text=True, check=True, capture_output=True
    )
    return time.perf_counter() - begun, _children_s() - spent, done.stdout


def _children_s() -> float:
    """Processor seconds of processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _own_clock(image: Path, kind: str, places: list[int]) -> list[float]:
    """Return microseconds of each write by qemu-io's clock: the fifth field of its report is how many it would do a second."""
    _, _, said = _run(image, kind, [f"write -C {place} {_WRITE_BYTES}" for place in places])
    reports = [line.split("> ")[-1].split(",") for line in said.splitlines() if line.count(",") == 4]
    assert len(reports) == len(places), said
    return [1e6 / float(report[4]) for report in reports]


def _from_outside(image: Path, places: list[int], kind: str, cache: str = "writeback") -> Times:
    """Return microseconds a write by both clocks, one flush at the end included."""
    idle, idle_cpu, _ = _run(image, "qcow2", ["length"] * len(places), cache)
    commands = [*(f"write -q {place} {_WRITE_BYTES}" for place in places), "flush"]
    taken, taken_cpu, _ = _run(image, "qcow2", commands, cache)
    count = len(places)
    return {kind: (taken - idle) / count * 1e6, f"{kind}_cpu": (taken_cpu - idle_cpu) / count * 1e6}


def _overlay(directory: Path, cluster_size: int) -> Path:
    base, overlay = directory / "base.img", directory / "overlay.qcow2"
    overlay.unlink(missing_ok=True)
    options = ["-f", "qcow2", "-o", f"cluster_size={cluster_size}", "-b", str(base), "-F", "raw"]
    subprocess.run(["qemu-img", "create", "-q", *options, str(overlay)], check=True)
    return overlay


def _their_unflushed(directory: Path, places: list[int], cluster_size: int) -> Times:
    times = _own_clock(_overlay(directory, cluster_size), "qcow2", places * 2)
    return {"first_unflushed": _batches(times[: len(places)]), "later_unflushed": _batches(times[len(places) :])}


def _their_flushed(directory: Path, places: list[int], cluster_size: int) -> Times:
    overlay = _overlay(directory, cluster_size)
    return _from_outside(overlay, places, "first_flushed") | _from_outside(overlay, places, "later_flushed")


# -- ours ----------------------------------------------------------------------------------------------------------------------


class _Ours:
    """A volume in a new image, and its provider."""

    def __init__(self, directory: Path) -> None:
        ports = real_ports()
        self._path = directory / "volume.img"
        self.store = ImageStore.create(ports.files, self._path, _VOLUME_BYTES)
        for at in range(0, _VOLUME_BYTES, 1 << 20):
            self.store.write(at, b"\x5a" * (1 << 20))
        self.volume = BlockVolume(ports, "D:", self.store, volume_id=Guid(int=1), size_bytes=_VOLUME_BYTES)
        self.provider = CopyOnWriteProvider(ports)
        self._count = 0

    async def take(self, attributes: int = 0) -> Guid:
        """Make a shadow copy."""
        self._count += 1
        return (await take(self.provider, self.volume, self._count, attributes)).snapshot_id

    async def write(self, places: list[int]) -> list[float]:
        """Return microseconds of each write."""
        data, times = os.urandom(_WRITE_BYTES), []
        for place in places:
            begun = time.perf_counter()
            await self.volume.write(place, data)
            times.append((time.perf_counter() - begun) * 1e6)
        return times

    async def write_flushed(self, places: list[int], kind: str) -> Times:
        """Return microseconds a write by both clocks, one flush at the end included."""
        begun, spent = time.perf_counter(), time.process_time()
        await self.write(places)
        self.store.flush()
        taken, taken_cpu = time.perf_counter() - begun, time.process_time() - spent
        return {kind: taken / len(places) * 1e6, f"{kind}_cpu": taken_cpu / len(places) * 1e6}

    def end(self) -> None:
        """Remove the image."""
        self.store.close()
        self._path.unlink()


async def _our_unflushed(directory: Path, places: list[int]) -> Times:
    side = _Ours(directory)
    times = {"plain_unflushed": await side.write(places)}
    snapshot_id = await side.take()
    times |= {kind: await side.write(places) for kind in ("first_unflushed", "later_unflushed")}
    await side.provider.delete_snapshot(snapshot_id)
    await side.take()
    times["first_reused"] = await side.write(places)
    side.end()
    return {kind: _batches(values) for kind, values in times.items()}


async def _our_flushed(directory: Path, places: list[int]) -> Times:
    side = _Ours(directory)
    await side.take()
    side.store.flush()
    times = await side.write_flushed(places, "first_flushed") | await side.write_flushed(places, "later_flushed")
    side.end()
    return times


async def _our_written_through(directory: Path, places: list[int]) -> Times:
    side = _Ours(directory)
    await side.take(_PERSISTENT)
    times = {"first_written_through": statistics.mean(await side.write(places))}
    side.end()
    return times


# -- both ----------------------------------------------------------------------------------------------------------------------


class _Table:
    """The times of every round."""

    def __init__(self) -> None:
        self._rounds: list[dict[str, Times]] = []

    def add(self, **sides: Times) -> None:
        """Enter a round: times by side, ``ours`` among them."""
        self._rounds.append(sides)

    def summary(self) -> dict[str, float | str]:
        """Return medians, and medians of ratios where both sides did the same."""
        result: dict[str, float | str] = {}
        for name, times in self._rounds[0].items():
            for kind in times:
                result[f"{name}_{kind}_us"] = statistics.median(each[name][kind] for each in self._rounds)
                if name != "ours" and kind in self._rounds[0]["ours"]:
                    ratios = [each[name][kind] / each["ours"][kind] for each in self._rounds]
                    result[f"{name}_{kind}_ratio"] = statistics.median(ratios)
        return result


async def _measure(directory: Path) -> dict[str, float | str]:
    for name in ("base.img", "raw.img"):
        (directory / name).write_bytes(b"\x5a" * _VOLUME_BYTES)
    unflushed, flushed, through = _Table(), _Table(), _Table()
    for number in range(_ROUNDS):
        places = _places(number)
        theirs = {f"qcow2_{size >> 10}k": _their_unflushed(directory, places, size) for size in _CLUSTER_SIZES}
        raw = {"plain_unflushed": _batches(_own_clock(directory / "raw.img", "raw", places))}
        unflushed.add(ours=await _our_unflushed(directory, places), qemu_raw=raw, **theirs)
    for number in range(_ROUNDS):
        places = _places(number)
        theirs = {f"qcow2_{size >> 10}k": _their_flushed(directory, places, size) for size in _CLUSTER_SIZES}
        flushed.add(ours=await _our_flushed(directory, places), **theirs)
        few, overlay = places[:_WRITTEN_THROUGH], _overlay(directory, _CLUSTER_SIZES[0])
        slow = _from_outside(overlay, few, "first_written_through", "writethrough")
        through.add(ours=await _our_written_through(directory, few), qcow2_64k=slow)
    return unflushed.summary() | flushed.summary() | through.summary()


def measure() -> dict[str, float | str]:
    """Return microseconds per write of both sides and how many times faster we are."""
    if shutil.which("qemu-io") is None or shutil.which("qemu-img") is None:
        return {"skipped": "qemu-io is not installed (Debian package qemu-utils)"}
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_measure(Path(name)))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
