"""A diff area inside its volume: a file that is set aside once and never grows.

Where other systems keep one file per store and let it grow, this is one file of fixed size, made while there are no shadow
copies, so that no block of it was ever anything that a shadow copy must show. Its blocks are exempt from copying and marked so
in every bitmap; what a shadow copy shows in their place is undefined, as the format has it.

Source: libyal/libvshadow format document ("control block files": name and place of the file).
"""

from __future__ import annotations

from collections.abc import Iterator

from vss.errors import AlreadyExistsError, BadStateError, NotFoundError, VolumeError
from vss.roles.volume import FileSystem
from vss.volumes.block_volume import BlockVolume
from vss_providers.on_disk.layout import BLOCK_SIZE

DIRECTORY = "/System Volume Information"
AREA_FILE = DIRECTORY + "/{3808876b-c176-4e48-b7ae-04046e6cc752}"

_CLUSTER = 4096
_PIECE = 1 << 20


async def find_extents(volume: BlockVolume) -> list[tuple[int, int]]:
    """Return where the file lies on the volume, (start, end) in whole blocks; empty where there is none."""
    try:
        files = volume.files
        if not await files.exists(AREA_FILE):
            return []
        size = (await files.stat(AREA_FILE)).size_bytes
        places = [await files.locate(AREA_FILE, offset) for offset in range(0, size, _CLUSTER)]
    except (BadStateError, NotFoundError, VolumeError):
        return []  # nothing is mounted, or it is too damaged to say
    return list(_whole_blocks(places))


def _whole_blocks(places: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of whole, aligned blocks in a list of clusters."""
    start = end = -1
    for place in [*places, -1]:
        if place != end:
            first, last = -(-start // BLOCK_SIZE) * BLOCK_SIZE, end // BLOCK_SIZE * BLOCK_SIZE
            if start >= 0 and first < last:
                yield first, last
            start = place
        end = place + _CLUSTER


async def make_area_file(files: FileSystem, size_bytes: int) -> None:
    """Set ``size_bytes`` aside, and a little more so that whole blocks of that size are in it.

    Raises:
        AlreadyExistsError: the file is there.
        VolumeError: no room, or the device failed; nothing is set aside.
    """
    if await files.exists(AREA_FILE):
        raise AlreadyExistsError(f"path {AREA_FILE!r}: there is a diff area inside the volume already")
    await files.make_directory(DIRECTORY)
    file = await files.open(AREA_FILE, write=True, create=True, exclusive=True)
    try:
        for offset in range(0, size_bytes + BLOCK_SIZE, _PIECE):
            await file.pwrite(offset, bytes(min(_PIECE, size_bytes + BLOCK_SIZE - offset)))
        await file.sync()
    except BaseException:
        await file.close()
        await files.remove(AREA_FILE)
        raise
    await file.close()
    await files.sync()
