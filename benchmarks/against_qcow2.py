"""Copy-on-write against a qcow2 overlay, the copy-on-write that virtual machines run on: random 4 KiB writes, first and later.

Like against like: both sides work on a raw image of the same size in the same directory, rounds alternate, neither flushes.
``qemu-io`` (Debian package qemu-utils) opens images *writethrough* unless it is told otherwise, with a sync for every write; it
runs with ``-t writeback`` here. One process reads a script of writes; what it takes for as many commands that touch no data is
taken off, so that reading the script does not count. Ratios above 1 say how many times faster we are. Separately, with flushes
on both sides: the first write under a persistent shadow copy against a writethrough overlay; the later write is left out there,
for ours needs no flush and theirs does. Ratios are given by
the wall clock and by processor time, which means more where other programs keep the machine busy. Where ``qemu-io`` is missing
the result says so and nothing is measured.
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

from vss.ids import Guid
from vss.real import real_ports
from vss.volumes import BlockVolume, ImageStore
from vss_providers.copy_on_write import CopyOnWriteProvider

_VOLUME_BYTES = 64 << 20
_WRITE_BYTES = 4096
_WRITES = 1000
_ROUNDS = 5
_CLUSTER_SIZES = (65536, 16384)
_FLUSHED_WRITES = 100
_PERSISTENT = 0x9

Seconds = tuple[float, float]
"""By the wall clock, and of the processor: user and system."""


def _places(seed: int) -> list[int]:
    """Random 4 KiB places, no two in one block of ours, or in one cluster of the larger size."""
    source = random.Random(seed)
    clusters = source.sample(range(1, _VOLUME_BYTES // max(_CLUSTER_SIZES)), _WRITES)
    return [cluster * max(_CLUSTER_SIZES) + _WRITE_BYTES * source.randrange(16) for cluster in clusters]


def _run(image: Path, commands: list[str], cache: str) -> Seconds:
    """Return what qemu-io takes for these commands, start and end of the process included."""
    arguments = ["qemu-io", "-t", cache, "-f", "qcow2", str(image)]
    script = "\n".join([*commands, "quit", ""])
    begun, spent = time.perf_counter(), _children_s()
    subprocess.run(arguments, input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun, _children_s() - spent


def _children_s() -> float:
    """Processor seconds of processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _per_write(taken: Seconds, idle: Seconds, count: int) -> Seconds:
    """Return microseconds a write, without what the process takes for nothing."""
    return (taken[0] - idle[0]) / count * 1e6, (taken[1] - idle[1]) / count * 1e6


def _qcow2_round(directory: Path, places: list[int], cluster_size: int, cache: str) -> tuple[Seconds, Seconds]:
    """Microseconds of a first and of a later write to a new overlay."""
    base, overlay = directory / "base.img", directory / "overlay.qcow2"
    options = ["-f", "qcow2", "-o", f"cluster_size={cluster_size}", "-b", str(base), "-F", "raw"]
    subprocess.run(["qemu-img", "create", "-q", *options, str(overlay)], check=True)
    writes = [f"write -q {place} {_WRITE_BYTES}" for place in places]
    idle = _run(overlay, ["length"] * len(places), cache)
    first, later = (_per_write(_run(overlay, writes, cache), idle, len(places)) for _ in range(2))
    overlay.unlink()
    return first, later


async def _our_round(
    provider: CopyOnWriteProvider, volume: BlockVolume, places: list[int], number: int, attributes: int
) -> tuple[Seconds, Seconds]:
    """The same of a volume in an image with a new shadow copy."""
    set_id, snapshot_id = Guid(int=2 * number + 2), Guid(int=2 * number + 3)
    await provider.begin_prepare_snapshot(set_id, snapshot_id, volume, attributes)
    await provider.end_prepare_snapshots(set_id)
    await provider.pre_commit_snapshots(set_id)
    await provider.commit_snapshots(set_id)
    await provider.post_commit_snapshots(set_id, 1)
    await provider.pre_final_commit_snapshots(set_id)
    await provider.post_final_commit_snapshots(set_id)
    data, times = os.urandom(_WRITE_BYTES), []
    for _ in range(2):
        begun, spent = time.perf_counter(), time.process_time()
        for place in places:
            await volume.write(place, data)
        taken = time.perf_counter() - begun, time.process_time() - spent
        times.append(_per_write(taken, (0.0, 0.0), len(places)))
    await provider.delete_snapshot(snapshot_id)
    return times[0], times[1]


async def _measure(directory: Path) -> dict[str, float | str]:
    (directory / "base.img").write_bytes(b"\x5a" * _VOLUME_BYTES)
    ports = real_ports()
    store = ImageStore.create(ports.files, directory / "volume.img", _VOLUME_BYTES)
    for at in range(0, _VOLUME_BYTES, 1 << 20):
        store.write(at, b"\x5a" * (1 << 20))
    volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=_VOLUME_BYTES)
    provider = CopyOnWriteProvider(ports)
    times: dict[str, list[tuple[Seconds, Seconds]]] = {}
    for number in range(_ROUNDS + 1):
        places = _places(number)
        rounds = {"ours": await _our_round(provider, volume, places, 2 * number, 0)}
        for size in _CLUSTER_SIZES:
            rounds[f"qcow2_{size >> 10}k"] = _qcow2_round(directory, places, size, "writeback")
        if number:  # the first round fills caches and the diff area
            for name, value in rounds.items():
                times.setdefault(name, []).append(value)
    for number in range(_ROUNDS):  # apart: a sync cleans pages, and the next write to each would pay for it
        few = _places(number)[:_FLUSHED_WRITES]
        ours = await _our_round(provider, volume, few, 2 * number + 1, _PERSISTENT)
        times.setdefault("ours_flushed", []).append(ours)
        theirs = _qcow2_round(directory, few, _CLUSTER_SIZES[0], "writethrough")
        times.setdefault("qcow2_64k_flushed", []).append(theirs)
    store.close()
    result: dict[str, float | str] = {}
    for name, values in times.items():
        own = times["ours_flushed" if name.endswith("flushed") else "ours"]
        for index, kind in enumerate(("first", "later")):
            if name.endswith("flushed") and kind == "later":
                continue
            for clock, unit in enumerate(("us", "cpu_us")):
                result[f"{name}_{kind}_{unit}"] = statistics.median(value[index][clock] for value in values)
                if name.startswith("qcow2"):
                    # Ratios are taken round by round, so that what else the machine did in between counts on both sides.
                    pairs = [(theirs[index][clock], mine[index][clock]) for theirs, mine in zip(values, own, strict=True)]
                    ratio = statistics.median(theirs / mine for theirs, mine in pairs)
                    result[f"{name}_{kind}_{unit.removesuffix('us')}ratio"] = ratio
    return result


def measure() -> dict[str, float | str]:
    """Return microseconds per write of both sides and how many times faster we are."""
    if shutil.which("qemu-io") is None or shutil.which("qemu-img") is None:
        return {"skipped": "qemu-io is not installed (Debian package qemu-utils)"}
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_measure(Path(name)))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
