"""New databases: what is on which page, and that writing them down again gives the same bytes."""

from __future__ import annotations

import pytest

from tests.writers.ese.kit import SIGNATURE, run, sample, sample_bytes
from tests.writers.ese.memory_pages import MemoryPages
from vss_writers.ese.checksum import verify_page
from vss_writers.ese.database_format import create_database
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader, unpack_headers
from vss_writers.ese.layout import CURRENT_FORMAT, SYSTEM_PAGES, DatabaseState, PageFlag, page_offset
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import apply


@pytest.mark.parametrize("page_size", [4096, 8192])
def test_system_pages_are_where_the_engine_expects_them(page_size: int) -> None:
    async def main() -> None:
        pages = MemoryPages(page_size)
        await create_database(pages)
        assert pages.page_count == SYSTEM_PAGES
        roots = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2, 7: 4, 8: 4, 9: 4, 10: 5, 11: 5, 12: 5, 24: 3, 25: 3, 26: 3}
        for number, objid in roots.items():
            page = await pages.read(number)
            assert page.objid == objid
            assert page.is_root
            assert page.flags & CURRENT_FORMAT == CURRENT_FORMAT
            is_space = number in (2, 3, 5, 6, 8, 9, 11, 12, 25, 26)
            assert bool(page.flags & PageFlag.SPACE_TREE) == is_space
            assert len(page.external_header) == 16
        # What Windows writes there: primary pages, parent, multiple extents, root of the owned extents.
        assert (await pages.read(4)).external_header == bytes.fromhex("14000000 01000000 01000000 05000000")
        assert (await pages.read(7)).external_header == bytes.fromhex("03000000 04000000 01000000 08000000")
        assert (await pages.read(11)).node(0) == (b"\0\0\0\x0c", b"\3\0\0\0", 0)

    run(main())


def test_the_file_is_two_headers_and_the_sealed_pages() -> None:
    data = sample_bytes(8192)
    pages = sample(8192).pages
    pair = unpack_headers(data)

    assert len(data) == page_offset(pages.page_count + 1, 8192)
    assert not pair.has_damage
    assert data[:8192] == data[8192:16384]
    assert pair.header.state is DatabaseState.CLEAN_SHUTDOWN
    assert pair.header.dbtime == pages.dbtime
    assert pair.header.objid_last == pages.objid_last == 9
    for number in range(1, pages.page_count + 1):
        check = verify_page(data[page_offset(number, 8192) :][:8192], number)
        assert check.verdict.value in ("good", "blank")


def test_replaying_all_operations_gives_the_same_pages() -> None:
    """What recovery relies on: operations are deterministic, and dbtimes count them."""
    pages = sample(4096).pages
    replayed: dict[int, Page] = {}
    for dbtime, operation in enumerate(pages.operations, 1):
        page = replayed.setdefault(operation.page_number, Page.blank(4096, operation.page_number))
        apply(page, operation)
        page.dbtime = dbtime

    async def main() -> None:
        for number, page in replayed.items():
            assert page.data == (await pages.read(number)).data

    run(main())


def test_pages_that_are_not_there() -> None:
    async def main() -> None:
        pages = MemoryPages()
        await create_database(pages)
        for number in (0, 33):
            with pytest.raises(JetError, match="the database has 32 pages") as caught:
                await pages.read(number)
            assert caught.value.code == JetCode.PageNotInitialized

    run(main())


def test_a_dirty_file_says_so() -> None:
    header = DatabaseHeader(SIGNATURE)
    data = sample(4096).pages.to_bytes(header, state=DatabaseState.DIRTY_SHUTDOWN)

    assert unpack_headers(data).header.state is DatabaseState.DIRTY_SHUTDOWN
