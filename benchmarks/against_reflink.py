"""Copy-on-write against the reflinks of XFS and btrfs: a clone of the image file is their shadow copy.

Like against like: the same writes of random 4 KiB, in Python on both sides, on the same file system: theirs with ``os.pwrite``
to a file of which a reflink was made just before (ioctl FICLONE), ours through a block volume with a shadow copy in an image
beside it. Rounds alternate, both sides are flushed before a round. Ratios above 1 say how many times faster we are; making the
clone is compared with making the shadow copy.

Without a flush theirs is a write to the page cache and nothing else: the file system allocates and unshares at writeback, in
nobody's time, and copies nothing, for it writes 4 KiB elsewhere where we save 16 KiB. So each is measured twice: without, and
with the flush that makes the writes durable (``flushed``), where all that copy-on-write does counts on both sides.

The file systems are made in image files in a temporary directory and mounted through loop devices inside a mount namespace of
their own (``unshare -m``), in a process of their own: when that ends, however it does, the mounts are gone with it. Where the
machine allows no mounts or has no tools for a file system the result says so. ``python benchmarks/against_reflink.py``.
"""

from __future__ import annotations

import asyncio
import fcntl
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
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "providers"))

from benchmarks.taking import take
from vss.ids import Guid
from vss.real import real_ports
from vss.volumes import BlockVolume, ImageStore
from vss_providers.copy_on_write import CopyOnWriteProvider

_VOLUME_BYTES = 64 << 20
_DISK_BYTES = 1 << 30
_WRITE_BYTES = 4096
_WRITES = 1000
_ROUNDS = 5
_FICLONE = 0x40049409
_MAKERS = {"xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"), "btrfs": ("mkfs.btrfs", "-q")}
_LIMIT_S = 300.0


def _places(seed: int) -> list[int]:
    source = random.Random(seed)
    blocks = source.sample(range(1, _VOLUME_BYTES // 16384), _WRITES)
    return [block * 16384 + _WRITE_BYTES * source.randrange(4) for block in blocks]


_NAMES = ("create_ms", "first_us", "later_us", "first_flushed_us", "later_flushed_us")


def _reflink_round(directory: Path, places: list[int], data: bytes) -> list[float]:
    """Milliseconds to clone, microseconds of a first and of a later write, the same flushed."""
    source = os.open(directory / "plain", os.O_RDWR)
    times = []
    for is_flushed in (False, True):
        clone = os.open(directory / "clone", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.fsync(source)
        begun = time.perf_counter()
        fcntl.ioctl(clone, _FICLONE, source)
        if not is_flushed:
            times.append((time.perf_counter() - begun) * 1e3)
        for _ in range(2):
            begun = time.perf_counter()
            for place in places:
                os.pwrite(source, data, place)
            if is_flushed:
                os.fsync(source)
            times.append((time.perf_counter() - begun) / len(places) * 1e6)
        os.close(clone)
        (directory / "clone").unlink()
    os.close(source)
    return times


async def _our_round(
    provider: CopyOnWriteProvider, volume: BlockVolume, places: list[int], data: bytes, number: int
) -> list[float]:
    """The same of a volume in an image."""
    times = []
    for is_flushed in (False, True):
        volume.raw_store.flush()
        taken = await take(provider, volume, 2 * number + is_flushed)
        if not is_flushed:
            times.append(taken.whole_ms)
        for _ in range(2):
            begun = time.perf_counter()
            for place in places:
                await volume.write(place, data)
            if is_flushed:
                volume.raw_store.flush()
            times.append((time.perf_counter() - begun) / len(places) * 1e6)
        await provider.delete_snapshot(taken.snapshot_id)
    return times


async def _compare(directory: Path) -> dict[str, float]:
    """Measure both on the file system that ``directory`` is on."""
    ports = real_ports()
    (directory / "plain").write_bytes(b"\x5a" * _VOLUME_BYTES)
    store = ImageStore.create(ports.files, directory / "volume.img", _VOLUME_BYTES)
    for at in range(0, _VOLUME_BYTES, 1 << 20):
        store.write(at, b"\x5a" * (1 << 20))
    volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=_VOLUME_BYTES)
    provider, data = CopyOnWriteProvider(ports), os.urandom(_WRITE_BYTES)
    theirs: list[list[float]] = []
    ours: list[list[float]] = []
    for number in range(_ROUNDS + 1):
        places = _places(number)
        rounds = _reflink_round(directory, places, data), await _our_round(provider, volume, places, data, number)
        if number:  # the first round fills caches and the diff area
            theirs.append(rounds[0])
            ours.append(rounds[1])
    store.close()
    result = {}
    for index, name in enumerate(_NAMES):
        result[f"reflink_{name}"] = statistics.median(each[index] for each in theirs)
        result[f"ours_{name}"] = statistics.median(each[index] for each in ours)
        ratios = [one[index] / other[index] for one, other in zip(theirs, ours, strict=True)]
        result[f"{name.rpartition('_')[0]}_ratio"] = statistics.median(ratios)
    return result


def _inside(maker: list[str], directory: Path) -> None:
    """Make, mount and measure one file system; runs in a mount namespace of its own."""
    image, mount = directory / "disk.img", directory / "mount"
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    subprocess.run([*maker, str(image)], check=True, stdout=subprocess.DEVNULL)
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
    try:
        print(json.dumps(asyncio.run(_compare(mount))))
    finally:
        subprocess.run(["umount", str(mount)], check=False)


def _measure_one(kind: str) -> dict[str, Any]:
    program, *options = _MAKERS[kind]
    found = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None or shutil.which("unshare") is None:
        return {f"{kind}_skipped": f"{program} or unshare is not installed"}
    with tempfile.TemporaryDirectory() as directory:
        words = ["unshare", "-m", sys.executable, __file__, "--inside", directory, found, *options]
        done = subprocess.run(words, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return {f"{kind}_skipped": f"this machine cannot mount it: {reason}"}
    return {f"{kind}_{name}": value for name, value in json.loads(done.stdout).items()}


def measure() -> dict[str, Any]:
    """Return times of both sides on each file system and how many times faster we are, or why it was not measured."""
    result: dict[str, Any] = {}
    for kind in _MAKERS:
        result |= _measure_one(kind)
    return result


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _inside(sys.argv[3:], Path(sys.argv[2]))
    else:
        print(json.dumps(measure(), indent=1))
