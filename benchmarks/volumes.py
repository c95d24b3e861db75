"""Volumes: what the file system on a block volume costs beside plain files, as ratios taken in one run.

4 KiB rewrites and sequential 1 MiB writes and reads go through ``ExtentFile`` on a volume in memory and on an image file, and,
interleaved with them, through ``os.pwrite`` and ``os.pread`` on a plain file of the same directory.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from vss.ids import Guid
from vss.real import real_ports
from vss.volumes import BlockStore, BlockVolume, ExtentFile, ImageStore, MemoryStore

FILE_BYTES = 64 << 20
VOLUME_BYTES = 160 << 20
PAGE_BYTES = 4096
CHUNK_BYTES = 1 << 20
REWRITES = 20_000
ROUNDS = 5


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


class _Plain:
    """A plain file with the face of ``ExtentFile``."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    async def pwrite(self, offset: int, data: bytes) -> None:
        os.pwrite(self._descriptor, data, offset)

    async def pread(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    async def close(self) -> None:
        os.close(self._descriptor)


async def _rewrite(file: _Plain | ExtentFile, offsets: list[int], page: bytes) -> None:
    for offset in offsets:
        await file.pwrite(offset, page)


async def _write_all(file: _Plain | ExtentFile, chunk: bytes) -> None:
    for offset in range(0, FILE_BYTES, CHUNK_BYTES):
        await file.pwrite(offset, chunk)


async def _read_all(file: _Plain | ExtentFile) -> None:
    for offset in range(0, FILE_BYTES, CHUNK_BYTES):
        await file.pread(offset, CHUNK_BYTES)


async def _measure(directory: Path) -> dict[str, float]:
    ports = real_ports(seed=0)
    stores: dict[str, BlockStore] = {
        "memory": MemoryStore(VOLUME_BYTES),
        "image": ImageStore.create(ports.files, directory / "volume.img", VOLUME_BYTES),
    }
    files: dict[str, _Plain | ExtentFile] = {"plain": _Plain(directory / "plain")}
    for name, store in stores.items():
        volume = BlockVolume.format(ports, "D:", store, volume_id=Guid(int=1))
        files[name] = await volume.files.open("/file", create=True)
    chunk = random.Random(0).randbytes(CHUNK_BYTES)
    draw = random.Random(1)
    offsets = [draw.randrange(FILE_BYTES // PAGE_BYTES) * PAGE_BYTES for _ in range(REWRITES)]
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, file in files.items():
            works: dict[str, Callable[[], Awaitable[None]]] = {
                "write": lambda file=file: _write_all(file, chunk),  # type: ignore[misc]
                "read": lambda file=file: _read_all(file),  # type: ignore[misc]
                "rewrite": lambda file=file: _rewrite(file, offsets, chunk[:PAGE_BYTES]),  # type: ignore[misc]
            }
            for kind, work in works.items():
                times.setdefault(f"{kind}_{name}", []).append(await _timed(work))
    for file in files.values():
        await file.close()
    typical = {key: median(values) for key, values in times.items()}
    result = {f"rewrite_4k_{name}_us": typical[f"rewrite_{name}"] / REWRITES * 1e6 for name in files}
    for kind in ("write", "read"):
        result |= {f"{kind}_1m_{name}_mb_per_s": FILE_BYTES / typical[f"{kind}_{name}"] / 1e6 for name in files}
    for name in stores:
        for kind in ("rewrite", "write", "read"):
            result[f"{kind}_{name}_time_over_plain"] = typical[f"{kind}_{name}"] / typical[f"{kind}_plain"]
    return {key: round(value, 3) for key, value in result.items()}


def measure() -> dict[str, float]:
    """Return microseconds per 4 KiB rewrite, megabytes per second of 1 MiB operations, and times over the plain file's."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_measure(Path(directory)))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
