"""Copy-on-write against a qcow2 overlay, the copy-on-write that virtual machines run on: random 4 KiB writes, first and later.

Both sides work on a raw image of the same size in the same directory, in one run, without flushing. qcow2 is driven by
``qemu-io`` (Debian package qemu-utils): one process reads a script of writes; what it takes with no writes is taken off. Ratios
above 1 say how many times faster we are. Where ``qemu-io`` is missing the result says so and nothing is measured.
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
_BLOCK_BYTES = 16384
_WRITE_BYTES = 4096
_WRITES = 1000
_ROUNDS = 5
_CLUSTER_SIZES = (65536, 16384)


def _places(seed: int) -> list[int]:
    """Random 4 KiB places, no two in one block of ours, or in one cluster of the larger size."""
    source = random.Random(seed)
    clusters = source.sample(range(1, _VOLUME_BYTES // max(_CLUSTER_SIZES)), _WRITES)
    return [cluster * max(_CLUSTER_SIZES) + _WRITE_BYTES * source.randrange(16) for cluster in clusters]


def _run(image: Path, places: list[int]) -> float:
    """Return the seconds that qemu-io takes for these writes, start and end of the process included."""
    script = "".join(f"write -q {place} {_WRITE_BYTES}\n" for place in places) + "quit\n"
    begun = time.perf_counter()
    subprocess.run(["qemu-io", "-f", "qcow2", str(image)], input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _qcow2(directory: Path, cluster_size: int) -> tuple[float, float]:
    """Median microseconds of a first and of a later write to an overlay."""
    base, overlay = directory / "base.img", directory / "overlay.qcow2"
    base.write_bytes(b"\x5a" * _VOLUME_BYTES)
    first, later = [], []
    for number in range(_ROUNDS):
        options = ["-f", "qcow2", "-o", f"cluster_size={cluster_size}", "-b", str(base), "-F", "raw"]
        subprocess.run(["qemu-img", "create", "-q", *options, str(overlay)], check=True)
        places = _places(number)
        idle = _run(overlay, [])
        first.append((_run(overlay, places) - idle) / _WRITES * 1e6)
        later.append((_run(overlay, places) - idle) / _WRITES * 1e6)
        overlay.unlink()
    return statistics.median(first), statistics.median(later)


async def _ours(directory: Path) -> tuple[float, float]:
    """The same of a volume in an image with a shadow copy."""
    ports = real_ports()
    store = ImageStore.create(ports.files, directory / "volume.img", _VOLUME_BYTES)
    for at in range(0, _VOLUME_BYTES, 1 << 20):
        store.write(at, b"\x5a" * (1 << 20))
    volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=_VOLUME_BYTES)
    provider = CopyOnWriteProvider(ports)
    times: dict[str, list[float]] = {"first": [], "later": []}
    data = os.urandom(_WRITE_BYTES)
    for number in range(_ROUNDS):
        set_id, snapshot_id = Guid(int=2 * number + 2), Guid(int=2 * number + 3)
        await provider.begin_prepare_snapshot(set_id, snapshot_id, volume, 0)
        await provider.end_prepare_snapshots(set_id)
        await provider.pre_commit_snapshots(set_id)
        await provider.commit_snapshots(set_id)
        await provider.post_commit_snapshots(set_id, 1)
        await provider.pre_final_commit_snapshots(set_id)
        await provider.post_final_commit_snapshots(set_id)
        places = _places(number)
        for name in times:
            begun = time.perf_counter()
            for place in places:
                await volume.write(place, data)
            times[name].append((time.perf_counter() - begun) / _WRITES * 1e6)
        await provider.delete_snapshot(snapshot_id)
    store.close()
    return statistics.median(times["first"]), statistics.median(times["later"])


def measure() -> dict[str, float | str]:
    """Return microseconds per write of both sides and how many times faster we are."""
    if shutil.which("qemu-io") is None or shutil.which("qemu-img") is None:
        return {"skipped": "qemu-io is not installed (Debian package qemu-utils)"}
    result: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        ours = asyncio.run(_ours(directory))
        result |= {"ours_first_us": ours[0], "ours_later_us": ours[1]}
        for cluster_size in _CLUSTER_SIZES:
            theirs = _qcow2(directory, cluster_size)
            label = f"qcow2_{cluster_size // 1024}k"
            result |= {f"{label}_first_us": theirs[0], f"{label}_later_us": theirs[1]}
            result |= {f"{label}_first_ratio": theirs[0] / ours[0], f"{label}_later_ratio": theirs[1] / ours[1]}
    return result


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
