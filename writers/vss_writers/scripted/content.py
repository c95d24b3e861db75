"""The writer's own files: bytes from a seed, and small services over the machine's file system.

What a file holds depends on its seed, its path and nothing else, so a test can tell what must be there without having seen it
made; the path is in it, so that two files with one seed cannot stand in for each other.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence

from vss.documents.machine_paths import matches_filespec
from vss.errors import NotFoundError
from vss.roles.volume import FileSystem

PIECE_BYTES = 1 << 18
DEPTH_MAX = 64
"""Deepest path that is looked at, as in backup sets."""


def made_bytes(path: str, size_bytes: int, seed: int) -> bytes:
    """Return what a made file holds."""
    return random.Random(f"{seed} {path.lower()}").randbytes(size_bytes)


async def write_file(files: FileSystem, path: str, data: bytes) -> None:
    """Write a whole file and make it durable; its directory is made where missing."""
    await files.make_directory(path.rpartition("\\")[0])
    handle = await files.open(path, write=True, create=True)
    try:
        await handle.truncate(0)
        for offset in range(0, len(data), PIECE_BYTES):
            await handle.pwrite(offset, data[offset : offset + PIECE_BYTES])
        await handle.sync()
    finally:
        await handle.close()


async def read_pieces(files: FileSystem, path: str, ranges: Sequence[tuple[int, int]] | None = None) -> AsyncIterator[bytes]:
    """Yield the bytes of a file, or of some ranges of it as far as it goes, in small pieces.

    Raises:
        NotFoundError: there is no such file.
        VolumeReadError: the volume failed.
    """
    handle = await files.open(path)
    try:
        for start, length in [(0, handle.size_bytes)] if ranges is None else ranges:
            end = min(start + length, handle.size_bytes)
            for offset in range(start, end, PIECE_BYTES):
                yield await handle.pread(offset, min(PIECE_BYTES, end - offset))
    finally:
        await handle.close()


async def copy_file(files: FileSystem, source: str, target: str) -> None:
    """Copy a file."""
    await write_file(files, target, b"".join([piece async for piece in read_pieces(files, source)]))


async def find_files(files: FileSystem, directory: str, filespec: str, recursive: bool) -> list[str]:
    """Return the paths of the files in ``directory`` (and below) whose names fit, sorted; none where it does not exist."""
    found: list[str] = []
    pending = [directory]
    while pending:
        here = pending.pop()
        try:
            names = await files.list_directory(here if "\\" in here else here + "\\")
        except NotFoundError:
            continue
        for name in names:
            path = f"{here}\\{name}"
            if (await files.stat(path)).is_directory:
                if recursive and path.count("\\") < DEPTH_MAX:
                    pending.append(path)
            elif matches_filespec(name, filespec):
                found.append(path)
    return sorted(found)
