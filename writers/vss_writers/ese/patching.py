"""Trailers and patch files of restored databases: read, cut off, put in place. Every step may be repeated.

Sources: published engine, logredo.cxx and backup.cxx (patch page); Exchange 2000 documentation on patch files.
"""

from __future__ import annotations

from vss_writers.ese.database_file import DatabaseFile
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem, read_whole
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.page import Page
from vss_writers.ese.patch_page import PatchHeader, unpack_patch

_BATCH_PAGES = 256


async def read_trailer(files: FileSystem, path: str, header: DatabaseHeader) -> PatchHeader:
    """Read the last page of a copy.

    Raises:
        JetError: ``BadPatchPage`` where it is no trailer, or that of another database or backup.
    """
    file = await files.open(path)
    try:
        offset = file.size_bytes - header.page_size
        data = await file.pread(max(0, offset), header.page_size)
    finally:
        await file.close()
    trailer = PatchHeader.unpack(data, path=path, offset=offset)
    if trailer.signature != header.signature or trailer.generation_low != header.full_current.generation_low:
        detail = f"it is of database {trailer.signature.random}, from generation {trailer.generation_low:#x} on"
        raise JetError(JetCode.BadPatchPage, detail, path=path, offset=offset)
    return trailer


async def cut_trailer(files: FileSystem, file: DatabaseFile) -> None:
    """Take the trailer off a copy, where it is still there."""
    try:
        await read_trailer(files, file.path, file.header)
    except JetError as error:
        if error.code is not JetCode.BadPatchPage:
            raise
        return
    await file.resize(file.page_count - 1)
    await file.sync()


async def put_patch_in_place(files: FileSystem, path: str, file: DatabaseFile, on_event: EventSink) -> int:
    """Put the pages of a patch file in place of older ones; return how many were newer.

    Raises:
        JetError: ``PatchFileMissing``; ``DatabasePatchFileMismatch`` (event 430) where it is of another database or backup;
            ``BadPatchPage`` (event 479) where it is damaged; ``DiskIO``.
    """
    if not await files.exists(path):
        raise JetError(JetCode.PatchFileMissing, path=path)
    try:
        header, images = unpack_patch(await read_whole(files, path), file.page_size, path=path)
    except JetError as error:
        on_event(EngineEvent(479, f"a patch file is damaged: {error}", Severity.ERROR, path))
        raise
    current = file.header.full_current
    if header.signature != file.header.signature or header.backup.mark != current.mark:
        on_event(EngineEvent(430, "a patch file is of another database or backup", Severity.ERROR, path))
        raise JetError(
            JetCode.DatabasePatchFileMismatch, f"mark expected {current.mark}, found {header.backup.mark}", path=path
        )
    newer: list[tuple[int, bytes]] = []
    for number, image in images.items():
        stored, _ = await file.read_page(number)
        if Page(bytearray(stored), number).dbtime < Page(bytearray(image), number).dbtime:
            newer.append((number, image))
    for start in range(0, len(newer), _BATCH_PAGES):
        await file.write_pages(newer[start : start + _BATCH_PAGES], header.backup.mark)
    return len(newer)
