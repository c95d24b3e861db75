"""What a streaming backup adds to a copy: the trailer page, and in the older profile the patch file.

The trailer (PATCHHDR) stands behind the last page of the copy and is sealed like a header; it tells hard recovery how far the
logs have to reach, which nobody knew when the copy's header was delivered. The patch file holds the pages that were written
behind the back of the copy; up to Exchange 2000 recovery put them in place before it replayed the logs. Our log holds whole
page images of every split, so the pages it brings are the same ones the log would make. Layout of the patch file beyond its
first page is ours: that page, then as many pages as needed with the page numbers (u32 each), then the images.

Sources: published engine, daedef.hxx (PATCHHDR), backup.cxx; Exchange 2000 documentation on patch files.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from vss_writers.ese.checksum import verify_page, xor32
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import BackupInfo, Signature

_FIXED = struct.Struct("<24s28s28sII8sI")
_OFFSET = 40
_MAGIC = b"PATCHHDR"


@dataclass(frozen=True, slots=True)
class PatchHeader:
    """The trailer of a copy, and the first page of a patch file.

    Attributes:
        backup: mark, time and range of the backup.
        signature: identity of the database.
        log_signature: identity of its log stream.
        generation_low: first generation that the copy needs.
        generation_high: last one.
        page_count: pages that follow in a patch file; 0 in a trailer.
    """

    backup: BackupInfo
    signature: Signature
    log_signature: Signature
    generation_low: int
    generation_high: int
    page_count: int = 0

    def pack(self, page_size: int) -> bytes:
        """Return the page, sealed."""
        page = bytearray(page_size)
        _FIXED.pack_into(
            page,
            _OFFSET,
            self.backup.pack(),
            self.signature.pack(),
            self.log_signature.pack(),
            self.generation_low,
            self.generation_high,
            _MAGIC,
            self.page_count,
        )
        struct.pack_into("<I", page, 0, xor32(memoryview(page)[4:]))
        return bytes(page)

    @classmethod
    def unpack(cls, page: bytes, *, path: str, offset: int = 0) -> PatchHeader:
        """Read the page.

        Raises:
            JetError: ``BadPatchPage`` for a short page, a wrong checksum or anything else that stands there.
        """
        if len(page) < _OFFSET + _FIXED.size:
            raise JetError(JetCode.BadPatchPage, f"page of {len(page)} bytes", path=path, offset=offset)
        stored = struct.unpack_from("<I", page)[0]
        computed = xor32(memoryview(page)[4:])
        backup, signature, log_signature, low, high, magic, count = _FIXED.unpack_from(page, _OFFSET)
        if stored != computed or magic != _MAGIC:
            detail = f"checksum expected {computed:#010x}, found {stored:#010x}, mark {magic!r}"
            raise JetError(JetCode.BadPatchPage, detail, path=path, offset=offset)
        return cls(BackupInfo.unpack(backup), Signature.unpack(signature), Signature.unpack(log_signature), low, high, count)


def patch_name(database_name: str) -> str:
    """Name of the patch file of a database: its own with the ending ``.pat``."""
    return f"{database_name.rpartition('.')[0] or database_name}.pat"


def pack_patch(header: PatchHeader, images: Mapping[int, bytes], page_size: int) -> bytes:
    """Return a patch file with sealed page images by page number."""
    numbers = sorted(images)
    table = struct.pack(f"<{len(numbers)}I", *numbers)
    table += bytes(-len(table) % page_size)
    return header.pack(page_size) + table + b"".join(images[number] for number in numbers)


def unpack_patch(data: bytes, page_size: int, *, path: str) -> tuple[PatchHeader, dict[int, bytes]]:
    """Read a patch file.

    Raises:
        JetError: ``BadPatchPage`` where its first page or a page image is damaged, or the file is too short.
    """
    header = PatchHeader.unpack(data[:page_size], path=path)
    count = header.page_count
    first_image = page_size + count * 4 + (-count * 4) % page_size
    if len(data) < first_image + count * page_size:
        raise JetError(JetCode.BadPatchPage, f"{count} pages announced, the file has {len(data)} bytes", path=path)
    images: dict[int, bytes] = {}
    for place, number in enumerate(struct.unpack_from(f"<{count}I", data, page_size)):
        offset = first_image + place * page_size
        image = data[offset : offset + page_size]
        if not verify_page(image, number).verdict.is_good:
            raise JetError(JetCode.BadPatchPage, "checksum", path=path, page_number=number, offset=offset)
        images[number] = image
    return header, images
