"""What the tests of block volumes share: an id, and whole files in and out."""

from __future__ import annotations

from vss.ids import Guid
from vss.volumes import BlockVolume

ID = Guid(int=0x1234)


async def put(volume: BlockVolume, path: str, data: bytes) -> None:
    """Write ``data`` to the beginning of a file, made where missing, durably."""
    file = await volume.files.open(path, create=True)
    await file.pwrite(0, data)
    await file.sync()
    await file.close()


async def get(volume: BlockVolume, path: str) -> bytes:
    """Return the content of a file."""
    file = await volume.files.open(path)
    data = await file.pread(0, file.size_bytes)
    await file.close()
    return data
