"""Pages of a file in the making: the same database as in memory, with bounded memory, and nothing lost or mixed up."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.writers.ese.kit import MESSAGES, SIGNATURE, random_message
from tests.writers.ese.memory_pages import MemoryPages
from tests.writers.ese.store_kit import memory
from vss_writers.ese.database_format import create_database
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.file_pages import FilePages
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.integrity import check_database
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.page_operation import PageAccess, SetLinks
from vss_writers.ese.table import Table

PATH = "D:\\new.edb"
PAGE = 4096
POOL = 12 * PAGE


async def empty(files: MemoryFileSystem) -> FilePages:
    return FilePages(await files.open(PATH, write=True, create=True), PAGE, pool_bytes=POOL)


async def fill(pages: PageAccess, count: int) -> None:
    table = Table(pages, await (await create_database(pages)).create_table(MESSAGES))
    stream = random.Random(1)
    for number in range(1, count + 1):
        await table.insert(random_message(stream, number, long_max=2 * PAGE))
        if isinstance(pages, FilePages):
            assert pages.pages_in_memory <= POOL // PAGE + 1


@pytest.mark.slow
def test_the_file_is_byte_for_byte_what_memory_would_have_made() -> None:
    files = memory()

    async def main() -> None:
        pages, plain = await empty(files), MemoryPages(PAGE)
        for each in (pages, plain):
            await fill(each, 90)
        assert pages.page_count > 4 * POOL // PAGE
        assert (await check_database(pages)).problems == []
        assert pages.pages_in_memory <= POOL // PAGE
        await pages.finish(DatabaseHeader(SIGNATURE))
        assert files.read(PATH) == plain.to_bytes(DatabaseHeader(SIGNATURE))

    asyncio.run(main())


def test_a_page_somebody_holds_stays_the_same_object_when_it_was_written() -> None:
    async def main() -> None:
        pages = await empty(memory())
        await pages.extend(100)
        held = await pages.apply(SetLinks(1, 0, 7))
        for number in range(2, 101):
            await pages.apply(SetLinks(number, number - 1, 0))
        assert await pages.read(1) is held
        await pages.apply(SetLinks(1, 0, 8))
        assert held.next == 8
        for number in range(2, 101):
            assert (await pages.read(number)).previous == number - 1

    asyncio.run(main())


def test_blank_pages_read_as_blank_and_pages_outside_are_refused() -> None:
    async def main() -> None:
        pages = await empty(memory())
        await pages.extend(3)
        assert (await pages.read(3)).is_blank
        for number in (0, 4):
            with pytest.raises(JetError) as caught:
                await pages.read(number)
            assert caught.value.code == JetCode.PageNotInitialized
        assert await pages.extend(2) == 4
        first = pages.next_objid()
        assert pages.next_objid() == first + 1

    asyncio.run(main())


def test_a_page_that_the_file_lost_is_noticed() -> None:
    files = memory()

    async def main() -> None:
        pages = await empty(files)
        await pages.extend(60)
        for number in range(1, 61):
            await pages.apply(SetLinks(number, 0, 0))
        files.flip(PATH, 2 * PAGE + 100, 0)
        with pytest.raises(JetError) as caught:
            await pages.read(1)
        assert caught.value.code == JetCode.ReadVerifyFailure
        assert caught.value.page_number == 1

    asyncio.run(main())
