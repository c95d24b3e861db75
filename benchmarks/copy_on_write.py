"""What copy-on-write costs: random 4 KiB writes through a block volume with a shadow copy, and making one.

What matters are ratios of two times taken in one run, rounds of both interleaved: the first write to a block after a shadow
copy was made (read 16 KiB, write it to the diff area, append a descriptor) and every later write (one look into a byte
array), each against the same write without shadow copies and against a plain ``os.pwrite``. Times are medians of batches of 50
writes, so short that what else the machine does spoils few of them. The first write under a persistent shadow copy flushes
twice; it is given apart. Making a shadow copy, a volume's first one and later ones, is measured against the volume's size and
its number of files (both must not matter); persistent ones, which flush, against one flush of the host; and what is written
after the first one in the background, the rest of long bitmaps. Reading one under a stack of 64 is measured against reading the
volume, sequential overwriting in GB/s. ``python benchmarks/copy_on_write.py`` prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "providers"))

from benchmarks.taking import Taken, take
from vss.ids import Guid
from vss.ports import Ports
from vss.real import real_ports
from vss.volumes import BlockDevice, BlockStore, BlockVolume, ImageStore, MemoryStore
from vss_providers.copy_on_write import CopyOnWriteProvider

_VOLUME_BYTES = 64 << 20
_BLOCK_BYTES = 16384
_WRITE_BYTES = 4096
_WRITES = 2000
_FLUSHED_WRITES = 50
_BATCH = 50
_ROUNDS = 5
_FRESH_VOLUMES = 11
_PERSISTENT = 0x9
_SIZES_MIB = (16, 256, 4096, 65536, 1 << 20)
_FILE_COUNTS = (0, 100, 2000)
_STACK = 64
_SEQUENTIAL_BYTES = 1 << 20


def _places(seed: int) -> list[int]:
    """Random 4 KiB places, no two in one block, block 0 left out."""
    source = random.Random(seed)
    blocks = source.sample(range(1, _VOLUME_BYTES // _BLOCK_BYTES), _WRITES)
    return [block * _BLOCK_BYTES + _WRITE_BYTES * source.randrange(4) for block in blocks]


async def _write_all(volume: BlockVolume, places: list[int], data: bytes) -> list[float]:
    """Return microseconds per write, of each batch."""
    times = []
    for first in range(0, len(places), _BATCH):
        batch = places[first : first + _BATCH]
        begun = time.perf_counter()
        for place in batch:
            await volume.write(place, data)
        times.append((time.perf_counter() - begun) / len(batch) * 1e6)
    return times


def _pwrite_all(descriptor: int, places: list[int], data: bytes) -> list[float]:
    times = []
    for first in range(0, len(places), _BATCH):
        batch = places[first : first + _BATCH]
        begun = time.perf_counter()
        for place in batch:
            os.pwrite(descriptor, data, place)
        times.append((time.perf_counter() - begun) / len(batch) * 1e6)
    return times


async def _writes(ports: Ports, make_store: Callable[[], BlockStore], descriptor: int) -> dict[str, float]:
    """Median microseconds per write: plain, without shadow copy, first, later."""
    store = make_store()
    for at in range(0, _VOLUME_BYTES, 1 << 20):
        store.write(at, b"\x5a" * (1 << 20))  # no hole is left to be filled while the clock runs
    volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=_VOLUME_BYTES)
    provider = CopyOnWriteProvider(ports)
    data = bytes(_WRITE_BYTES)
    times: dict[str, list[float]] = {"plain": [], "without": [], "first": [], "later": []}
    for number in range(_ROUNDS + 1):
        places = _places(number)
        plain = _pwrite_all(descriptor, places, data)
        without = await _write_all(volume, places, data)
        snapshot_id = (await take(provider, volume, number)).snapshot_id
        first = await _write_all(volume, places, data)
        later = await _write_all(volume, places, data)
        await provider.delete_snapshot(snapshot_id)
        if number:  # the first round fills caches and the diff area
            for name, value in (("plain", plain), ("without", without), ("first", first), ("later", later)):
                times[name] += value
    await take(provider, volume, _ROUNDS + 1, _PERSISTENT)
    times["first_persistent"] = await _write_all(volume, _places(_ROUNDS + 1)[:_FLUSHED_WRITES], data)
    store.close()
    return {name: statistics.median(values) for name, values in times.items()}


async def _creation(ports: Ports, directory: Path) -> dict[str, float]:
    """Milliseconds to make a shadow copy, and to commit it, by volume size; sparse images.

    The first one of a volume is given apart: it makes the diff area. What it leaves for the background, the rest of bitmaps
    that have a bit for each block of the volume, is timed as ``bitmaps_ms``.
    """
    result: dict[str, float] = {}
    path = directory / "sparse.img"
    for size_mib in _SIZES_MIB:
        firsts, laters, rests = list[Taken](), list[Taken](), list[float]()
        for _ in range(_FRESH_VOLUMES):
            store = ImageStore.create(ports.files, path, size_mib << 20)
            volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=size_mib << 20)
            provider = CopyOnWriteProvider(ports)
            firsts.append(await take(provider, volume, 1))
            begun = time.perf_counter()
            await provider.close()
            rests.append((time.perf_counter() - begun) * 1e3)
            provider = CopyOnWriteProvider(ports)
            await provider.attach(volume)
            laters += [await take(provider, volume, number) for number in range(2, 6)]
            store.close()
            path.unlink()
        for name, taken in (("first", firsts), ("later", laters)):
            result[f"create_{name}_ms_{size_mib}_mib"] = statistics.median(each.whole_ms for each in taken)
            result[f"commit_{name}_ms_{size_mib}_mib"] = statistics.median(each.commit_ms for each in taken)
        result[f"bitmaps_ms_{size_mib}_mib"] = statistics.median(rests)
    return result


async def _persistent_creation(ports: Ports, directory: Path) -> dict[str, float]:
    """The same for persistent shadow copies, which flush, and one flush of the host after a write of 4 KiB."""
    path, times = directory / "sparse.img", dict[str, list[float]]()
    for number in range(_FRESH_VOLUMES):
        store = ImageStore.create(ports.files, path, _VOLUME_BYTES)
        volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=_VOLUME_BYTES)
        provider = CopyOnWriteProvider(ports)
        for name in ("first", "later", "later"):
            begun = time.perf_counter()
            store.write(_VOLUME_BYTES // 2 + number * _WRITE_BYTES, bytes(_WRITE_BYTES))
            store.flush()
            times.setdefault("host_flush_ms", []).append((time.perf_counter() - begun) * 1e3)
            taken = await take(provider, volume, len(times["host_flush_ms"]), _PERSISTENT)
            times.setdefault(f"create_{name}_persistent_ms", []).append(taken.whole_ms)
        store.close()
        path.unlink()
    return {name: statistics.median(values) for name, values in times.items()}


async def _creation_with_files(ports: Ports) -> dict[str, float]:
    """Milliseconds to make a shadow copy of a volume with so many files."""
    result = {}
    for count in _FILE_COUNTS:
        volume = BlockVolume.format(ports, "D:", MemoryStore(_VOLUME_BYTES), volume_id=Guid(int=1))
        for number in range(count):
            file = await volume.files.open(f"/{number}", write=True, create=True)
            await file.pwrite(0, b"x" * 100)
            await file.close()
        await volume.files.sync()
        provider = CopyOnWriteProvider(ports)
        taken = [await take(provider, volume, number) for number in range(1, 8)]
        result[f"create_ms_{count}_files"] = statistics.median(each.whole_ms for each in taken[1:])
        volume.raw_store.close()
    return result


async def _stack(ports: Ports) -> dict[str, float]:
    """Microseconds to read random 4 KiB: of the volume, of the newest and of the oldest of 64 shadow copies."""
    store = MemoryStore(_VOLUME_BYTES)
    for at in range(0, _VOLUME_BYTES, 1 << 20):
        store.write(at, b"\x5a" * (1 << 20))
    volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=_VOLUME_BYTES)
    provider = CopyOnWriteProvider(ports)
    ids = []
    for number in range(_STACK):
        ids.append((await take(provider, volume, number)).snapshot_id)
        await _write_all(volume, _places(number)[:100], bytes(_WRITE_BYTES))
    places = _places(_STACK)
    times: dict[str, list[float]] = {"volume": [], "newest": [], "oldest": []}
    for _ in range(_ROUNDS):
        readers: dict[str, BlockDevice] = {
            "volume": store,
            "newest": provider.open_device(ids[-1]),
            "oldest": provider.open_device(ids[0]),
        }
        for name, reader in readers.items():
            for first in range(0, len(places), _BATCH):
                batch = places[first : first + _BATCH]
                begun = time.perf_counter()
                for place in batch:
                    reader.read(place, _WRITE_BYTES)
                times[name].append((time.perf_counter() - begun) / len(batch) * 1e6)
    found = {f"read_{name}_us": statistics.median(values) for name, values in times.items()}
    return found | {f"read_oldest_of_{_STACK}_ratio": found["read_oldest_us"] / found["read_volume_us"]}


async def _sequential(ports: Ports, make_store: Callable[[], BlockStore]) -> dict[str, float]:
    """GB/s of overwriting the whole volume in 1 MiB writes: without shadow copy, the first time under one, the second time."""
    store = make_store()
    volume = BlockVolume(ports, "D:", store, volume_id=Guid(int=1), size_bytes=_VOLUME_BYTES)
    provider = CopyOnWriteProvider(ports)
    rates: dict[str, list[float]] = {"without": [], "first": [], "later": []}
    for number in range(4):
        for name in rates:
            if name == "first":
                snapshot_id = (await take(provider, volume, number)).snapshot_id
            data = bytes([number + 1]) * _SEQUENTIAL_BYTES
            begun = time.perf_counter()
            for at in range(0, _VOLUME_BYTES, _SEQUENTIAL_BYTES):
                await volume.write(at, data)
            rate = _VOLUME_BYTES / (time.perf_counter() - begun) / 1e9
            if number:
                rates[name].append(rate)
        await provider.delete_snapshot(snapshot_id)
    store.close()
    return {f"sequential_{name}_gb_s": statistics.median(values) for name, values in rates.items()}


async def _measure(directory: Path) -> dict[str, float]:
    ports = real_ports()
    descriptor = os.open(directory / "plain", os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, b"\x5a" * _VOLUME_BYTES, 0)
    result: dict[str, float] = {}
    image = directory / "volume.img"
    kinds: dict[str, Callable[[], BlockStore]] = {
        "memory": lambda: MemoryStore(_VOLUME_BYTES),
        "image": lambda: ImageStore.create(ports.files, image, _VOLUME_BYTES),
    }
    for kind, make_store in kinds.items():
        times = await _writes(ports, make_store, descriptor)
        result |= {f"{kind}_{name}_us": value for name, value in times.items()}
        result[f"{kind}_first_write_ratio"] = times["first"] / times["without"]
        result[f"{kind}_later_write_ratio"] = times["later"] / times["without"]
        result[f"{kind}_first_write_to_pwrite"] = times["first"] / times["plain"]
        result[f"{kind}_later_write_to_pwrite"] = times["later"] / times["plain"]
        image.unlink(missing_ok=True)
        result |= {f"{kind}_{name}": value for name, value in (await _sequential(ports, make_store)).items()}
        image.unlink(missing_ok=True)
    os.close(descriptor)
    result |= await _creation(ports, directory) | await _persistent_creation(ports, directory)
    return result | await _creation_with_files(ports) | await _stack(ports)


def measure() -> dict[str, float]:
    """Return microseconds per 4 KiB write, their ratios, and milliseconds to make a shadow copy."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_measure(Path(directory)))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
