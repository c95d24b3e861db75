"""The page guard: a file that holds whole images of the pages about to be overwritten, against torn page writes.

Pages are written in place only after their images are durable in the guard. Recovery puts the images back, because a torn page
cannot always be told from a whole one: page checksums are linear, and two lost sectors with equal content cancel out. A page
that is newer than its image stays, and a guard is believed only if the logs reach as far as its images do; a restored older
file is then simply brought forward a little. The guard's own checksum covers everything, so a guard that was being written
itself counts as empty: no page had been touched then.

The real engine has no such file (it leaves torn pages to the hardware and reports −1018); name and layout are ours.
Layout: magic 8 · page size u32 · count u32 · CRC-32 of all that follows u32 · signature 28 · log position 8 · page numbers u32
each · images.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from vss_writers.ese.files import FileSystem, read_whole
from vss_writers.ese.header_values import LogPosition, Signature

_FIXED = struct.Struct("<8sIII28s8s")
_MAGIC = b"ESEGUARD"
_CRC_OFFSET = 16


@dataclass(frozen=True, slots=True)
class GuardedPages:
    """What a guard holds: images by page number, of one database, none with changes from behind ``position``."""

    signature: Signature
    position: LogPosition
    page_size: int
    images: dict[int, bytes]


def pack_guard(signature: Signature, position: LogPosition, page_size: int, pages: Sequence[tuple[int, bytes]]) -> bytes:
    """Return the content of a guard for ``pages`` (number, sealed image) of one database."""
    numbers = struct.pack(f"<{len(pages)}I", *(number for number, _ in pages))
    parts = [signature.pack() + position.pack() + numbers, *(image for _, image in pages)]
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return b"".join((struct.pack("<8sIII", _MAGIC, page_size, len(pages), crc), *parts))


def unpack_guard(data: bytes) -> GuardedPages | None:
    """Return what a guard holds, or None where the data is no whole guard."""
    if len(data) < _FIXED.size or not data.startswith(_MAGIC):
        return None
    _, page_size, count, crc, signature, position = _FIXED.unpack_from(data)
    end = _FIXED.size + count * (4 + page_size)
    if end > len(data) or zlib.crc32(memoryview(data)[_CRC_OFFSET + 4 : end]) != crc:
        return None
    numbers = struct.unpack_from(f"<{count}I", data, _FIXED.size)
    start = _FIXED.size + 4 * count
    images = {number: data[start + page_size * at : start + page_size * (at + 1)] for at, number in enumerate(numbers)}
    return GuardedPages(Signature.unpack(signature), LogPosition.unpack(position), page_size, images)


class PageGuard:
    """The guard file of one instance."""

    def __init__(self, files: FileSystem, path: str) -> None:
        self._files = files
        self.path = path

    async def write(
        self, signature: Signature, position: LogPosition, page_size: int, pages: Sequence[tuple[int, bytes]]
    ) -> None:
        """Make the images of ``pages`` durable; the ones written before are given up."""
        file = await self._files.open(self.path, write=True, create=True)
        try:
            await file.pwrite(0, pack_guard(signature, position, page_size, pages))
            await file.sync()
        finally:
            await file.close()

    async def read(self) -> GuardedPages | None:
        """Return what the guard holds, or None."""
        if not await self._files.exists(self.path):
            return None
        return unpack_guard(await read_whole(self._files, self.path))

    async def remove(self) -> None:
        """Remove the guard; called when every database is clean."""
        if await self._files.exists(self.path):
            await self._files.remove(self.path)
