"""Trailers and patch files: read back as written, refused where they are damaged or of something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.writers.ese.store_kit import DATABASE, memory
from vss_writers.ese.database_file import DatabaseFile, open_database_file
from vss_writers.ese.engine_event import ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import is_out_of_space
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import BackupInfo, LogPosition, LogTime, Signature
from vss_writers.ese.layout import CURRENT_FORMAT
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.page import Page
from vss_writers.ese.page_guard import PageGuard
from vss_writers.ese.patch_page import PatchHeader, pack_patch, patch_name, unpack_patch
from vss_writers.ese.patching import cut_trailer, put_patch_in_place, read_trailer

SIZE = 2048
BACKUP = BackupInfo(LogPosition(3, 8, 22), LogTime(1, 2, 3, 4, 5, 107), 2, 0)
HEADER = PatchHeader(BACKUP, Signature(1), Signature(2), 2, 4)
DATABASE_HEADER = DatabaseHeader(Signature(1), page_size=SIZE, full_current=BACKUP, log_signature=Signature(2))
PATCH = "R:\\DB1.pat"


def image(number: int, dbtime: int) -> bytes:
    page = Page.blank(SIZE, number)
    page.format(9, int(CURRENT_FORMAT))
    page.dbtime = dbtime
    return page.sealed()


def code_of(call: Callable[[], object]) -> JetCode:
    with pytest.raises(JetError) as caught:
        call()
    return caught.value.code


def files_with(*pages: bytes) -> MemoryFileSystem:
    files = memory()
    files.write(DATABASE, DATABASE_HEADER.pack() * 2 + b"".join(pages))
    return files


async def opened(files: MemoryFileSystem) -> DatabaseFile:
    return await open_database_file(files, DATABASE, PageGuard(files, "R:\\guard"), ignore_events, is_out_of_space)


def test_a_patch_file_comes_back_as_it_was() -> None:
    images = {number: image(number, 5) for number in range(3, 900)}
    header = replace(HEADER, page_count=len(images))
    data = pack_patch(header, images, SIZE)
    assert unpack_patch(data, SIZE, path=PATCH) == (header, images)
    assert patch_name("DB1.edb") == "DB1.pat"
    assert patch_name("plain") == "plain.pat"


def test_a_damaged_patch_file_is_refused() -> None:
    data = pack_patch(replace(HEADER, page_count=1), {3: image(3, 5)}, SIZE)
    for bad in (b"", data[:100], data[:-1], data[:50] + b"x" + data[51:], data[:-900] + b"xx" + data[-898:]):
        assert code_of(lambda bad=bad: unpack_patch(bad, SIZE, path=PATCH)) is JetCode.BadPatchPage  # type: ignore[misc]


def test_newer_pages_are_put_in_place_and_older_ones_are_not() -> None:
    files = files_with(image(1, 5), image(2, 9))
    files.write(PATCH, pack_patch(replace(HEADER, page_count=2), {1: image(1, 7), 2: image(2, 7)}, SIZE))

    async def main() -> None:
        file = await opened(files)
        assert await put_patch_in_place(files, PATCH, file, ignore_events) == 1
        assert await put_patch_in_place(files, PATCH, file, ignore_events) == 0
        assert (await file.read_page(1), await file.read_page(2)) == ((image(1, 7), False), (image(2, 9), False))

    asyncio.run(main())


def test_the_trailer_is_cut_off_once() -> None:
    files = files_with(image(1, 5), HEADER.pack(SIZE))

    async def main() -> None:
        file = await opened(files)
        assert await read_trailer(files, DATABASE, file.header) == HEADER
        await cut_trailer(files, file)
        await cut_trailer(files, file)
        assert file.page_count == 1

    asyncio.run(main())


def test_only_what_is_no_trailer_is_left_alone() -> None:
    files = files_with(image(1, 5))

    async def main() -> None:
        file = await opened(files)
        files.delete(DATABASE)
        with pytest.raises(OSError, match="DB1"):
            await cut_trailer(files, file)

    asyncio.run(main())
