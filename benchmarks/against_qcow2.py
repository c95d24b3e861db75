"""Copy-on-write against a qcow2 overlay, the copy-on-write that virtual machines run on: random 4 KiB writes, first and later.

Like against like: both sides work on a raw image of the same size in the same directory, rounds alternate, neither flushes.
``qemu-io`` (Debian package qemu-utils) opens images *writethrough* unless it is told otherwise, with a sync for every write; it
runs with ``-t writeback`` here. One process reads a script of writes; what it takes for as many commands that touch no data is
taken off, so that reading the script does not count. Ratios above 1 say how many times faster we are. Separately, with flushes
on both sides: the first write under a persistent shadow copy against a writethrough overlay; the later write is left out there,
for ours needs no flush and theirs does. Where ``qemu-io`` is missing the result says so and nothing is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
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


def _places(seed: int) -> list[int]:
    """Random 4 KiB places, no two in one block of ours, or in one cluster of the larger size."""
    source = random.Random(seed)
    clusters = source.sample(range(1, _VOLUME_BYTES // max(_CLUSTER_SIZES)), _WRITES)
    return [cluster * max(_CLUSTER_SIZES) + _WRITE_BYTES * source.randrange(16) for cluster in clusters]


def _run(image: Path, commands: list[str], cache: str) -> float:
    """Return the seconds that qemu-io takes for these commands, start and end of the process included."""
    arguments = ["qemu-io", "-t", cache, "-f", "qcow2", str(image)]
    script = "\n".join([*commands, "quit", ""])
    begun = time.perf_counter()
    subprocess.run(arguments, input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _qcow2_round(directory: Path, places: list[int], cluster_size: int, cache: str) -> tuple[float, float]:
    """Microseconds of a first and of a later write to a new overlay."""
    base, overlay = directory / "base.img", directory / "overlay.qcow2"
    options = ["-f", "qcow2", "-o", f"cluster_size={cluster_size}", "-b", str(base), "-F", "raw"]
    subprocess.run(["qemu-img", "create", "-q", *options, str(overlay)], check=True)
    writes = [f"write -q {place} {_WRITE_BYTES}" for place in places]
    idle = _run(overlay, ["length"] * len(places), cache)
    first, later = (_run(overlay, writes, cache) - idle for _ in range(2))
    overlay.unlink()
    return first / len(places) * 1e6, later / len(places) * 1e6


async def _our_round(
    provider: CopyOnWriteProvider, volume: BlockVolume, places: list[int], number: int, attributes: int
) -> tuple[float, float]:
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
        begun = time.perf_counter()
        for place in places:
            await volume.write(place, data)
        times.append((time.perf_counter() - begun) / len(places) * 1e6)
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
    times: dict[str, list[tuple[float, float]]] = {}
    for number in range(_ROUNDS + 1):
        places = _places(number)
        rounds = {"ours": await _our_round(provider, volume, places, 2 * number, 0)}
        for size in _CLUSTER_SIZES:
            rounds[f"qcow2_{size >> 10}k"] = _qcow2_round(directory, places, size, "writeback")
        few = places[:_FLUSHED_WRITES]
        rounds["ours_flushed"] = await _our_round(provider, volume, few, 2 * number + 1, _PERSISTENT)
        rounds["qcow2_64k_flushed"] = _qcow2_round(directory, few, _CLUSTER_SIZES[0], "writethrough")
        if number:  # the first round fills caches and the diff area
            for name, value in rounds.items():
                times.setdefault(name, []).append(value)
    store.close()
    result: dict[str, float | str] = {}
    for name, values in times.items():
        own = times["ours_flushed" if name.endswith("flushed") else "ours"]
        for index, kind in enumerate(("first", "later")):
            if name.endswith("flushed") and kind == "later":
                continue
            result[f"{name}_{kind}_us"] = statistics.median(value[index] for value in values)
            if name.startswith("qcow2"):
                # Ratios are taken round by round, so that what else the machine did in between counts on both sides.
                ratios = [theirs[index] / ours[index] for theirs, ours in zip(values, own, strict=True)]
                result[f"{name}_{kind}_ratio"] = statistics.median(ratios)
    return result


def measure() -> dict[str, float | str]:
    """Return microseconds per write of both sides and how many times faster we are."""
    if shutil.which("qemu-io") is None or shutil.which("qemu-img") is None:
        return {"skipped": "qemu-io is not installed (Debian package qemu-utils)"}
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_measure(Path(name)))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
