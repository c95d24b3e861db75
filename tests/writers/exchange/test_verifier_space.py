"""A database that was cut between two pages is found out: its space tree, or the log, knows of pages that are not there."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.writers.ese.kit import GOLDEN_NAMES, SIGNATURE, golden, run, sample_bytes
from tests.writers.ese.memory_pages import MemoryPages
from vss_writers.ese.database_format import create_database
from vss_writers.ese.header import DatabaseHeader, unpack_headers
from vss_writers.ese.header_values import BackupInfo, LogPosition, Signature
from vss_writers.ese.keys import big_endian
from vss_writers.ese.layout import PAGE_DATABASE_ROOT, SYSTEM_PAGES, DatabaseState, page_count, page_offset
from vss_writers.ese.log_page_change import PageChange
from vss_writers.ese.log_reader import LoadedLog
from vss_writers.ese.log_records import Begin0, ExtendDatabase, LogRecord
from vss_writers.ese.page_operation import InsertNode, PageOperation, SetExternalHeader, SetFlags
from vss_writers.ese.reader import read_from
from vss_writers.ese.space import Extent, Space, SpaceHeader
from vss_writers.exchange.verifier_space import DatabaseSize, LoggedPage, judge_size, logged_pages, measure

SIZE = 8192
STREAM = Signature(7)
HEADER = replace(
    DatabaseHeader(SIGNATURE),
    state=DatabaseState.DIRTY_SHUTDOWN,
    log_signature=STREAM,
    dbid=1,
    attach_position=LogPosition(2, 8, 0),
)


def measured(data: bytes) -> DatabaseSize:
    header = unpack_headers(data).header
    assert header is not None
    return run(measure("D:\\db.edb", read_from(data), len(data), header))


def with_page(data: bytes, page_number: int, page: bytes) -> bytes:
    start = page_offset(page_number, SIZE)
    return data[:start] + page + data[start + SIZE :]


# -- what the space tree says --------------------------------------------------------------------------------------------------


def test_a_whole_file_holds_what_it_owns() -> None:
    database = measured(sample_bytes(SIZE))

    assert database.owned == database.page_count
    assert judge_size(database, []) == []


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_file_cut_between_two_pages_is_found(kept: float) -> None:
    data = sample_bytes(SIZE)
    whole = page_count(len(data), SIZE)
    held = int(whole * kept)
    (finding,) = judge_size(measured(data[: page_offset(held + 1, SIZE)]), [])

    assert (finding.expected, finding.found) == (f"{whole} pages", f"{held} pages")
    assert (finding.page_number, finding.offset) == (held + 1, page_offset(held + 1, SIZE))
    assert finding.code == "JET_errDatabaseCorrupted -1206"


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_files_that_windows_wrote_hold_what_they_own_and_are_found_out_when_cut(name: str) -> None:
    data = golden(name)
    whole = measured(data)
    assert 0 < whole.owned <= whole.page_count
    assert judge_size(whole, []) == []

    cut = measured(data[: page_offset(whole.owned, whole.header.page_size)])
    assert [each.found for each in judge_size(cut, [])] == [f"{whole.owned - 1} pages"]


def scattered() -> bytes:
    """A database whose tree of owned extents has several levels: every other page of what it grew by."""

    async def main() -> bytes:
        pages = MemoryPages(2048)
        await create_database(pages)
        space = await Space.open(pages, PAGE_DATABASE_ROOT)
        await pages.extend(2000)
        for number in range(SYSTEM_PAGES + 2, pages.page_count + 1, 2):
            await space.own(Extent(number, 1))
        return pages.to_bytes(DatabaseHeader(SIGNATURE))

    return run(main())


def test_a_tree_of_many_levels_is_followed_to_its_last_entry_or_out_of_the_file() -> None:
    data = scattered()
    whole = measured(data)
    assert 2000 < whole.owned <= whole.page_count
    assert judge_size(whole, []) == []

    for held in random.Random(1).sample(range(4, whole.owned), 20):
        cut = measured(data[: page_offset(held + 1, 2048)])
        assert len(judge_size(cut, [])) == 1, f"{held} of {whole.page_count} pages"


def broken_tree(*operations: PageOperation) -> DatabaseSize:
    async def main() -> bytes:
        pages = MemoryPages(SIZE)
        await create_database(pages)
        for each in operations:
            await pages.apply(each)
        return pages.to_bytes(DatabaseHeader(SIGNATURE))

    return measured(run(main()))


@pytest.mark.parametrize(
    "operations",
    [
        [SetExternalHeader(PAGE_DATABASE_ROOT, b"abc")],
        [SetExternalHeader(PAGE_DATABASE_ROOT, SpaceHeader(3, 0, cast("Any", 1), PAGE_DATABASE_ROOT).pack())],
        [SetExternalHeader(PAGE_DATABASE_ROOT, SpaceHeader(3, 0, cast("Any", 1), 4).pack())],
        [InsertNode(2, 1, 0, b"\xff\xff", b"")],
        [SetFlags(3, 0x2821), SetExternalHeader(PAGE_DATABASE_ROOT, SpaceHeader(3, 0, cast("Any", 1), 3).pack())],
    ],
    ids=["no space header", "the root itself", "a page of another tree", "a key that is none", "a branch without children"],
)
def test_a_tree_that_is_none_says_nothing(operations: list[PageOperation]) -> None:
    assert broken_tree(*operations).owned == 0


def test_a_blank_or_damaged_tree_says_nothing() -> None:
    data = sample_bytes(SIZE)

    assert measured(with_page(data, 1, bytes(SIZE))).owned == 0
    assert measured(with_page(data, 2, b"\x01" * SIZE)).owned == 0


# -- what the log says ---------------------------------------------------------------------------------------------------------


def log_of(*records: LogRecord) -> LoadedLog:
    placed = [(LogPosition(2, 9, number), record) for number, record in enumerate(records)]
    return cast("LoadedLog", SimpleNamespace(header=SimpleNamespace(signature=STREAM), records=placed))


def change(operation: PageOperation, dbid: int = 1) -> PageChange:
    return PageChange(operation, dbid, 5, 4)


def pages(*records: LogRecord) -> list[tuple[int, int]]:
    return [(each.dbid, each.page_number) for each in logged_pages(log_of(*records))]


def test_a_change_of_a_page_says_that_it_was_there() -> None:
    changes = [change(SetFlags(number, 0), dbid) for number, dbid in ((5, 1), (9, 2), (3, 1), (6, 1))]

    assert pages(Begin0(1, 1), *changes) == [(1, 5), (2, 9), (1, 6)]


def test_growth_counts_once_its_extent_is_entered() -> None:
    grown = ExtendDatabase(1, 33, 96)
    entered = InsertNode(2, 0, 0, big_endian(96), b"\x40\0\0\0")

    assert pages(grown) == []
    assert pages(grown, change(SetFlags(2, 0))) == [(1, 2)], "the file may not have grown yet"
    assert pages(grown, change(entered)) == [(1, 96)]
    assert pages(grown, change(replace_suffix(entered, 3))) == [(1, 96)]
    assert pages(grown, change(entered, dbid=2)) == [(2, 2)]


def replace_suffix(operation: InsertNode, prefix: int) -> InsertNode:
    """The same key, stored behind a prefix of its page."""
    return InsertNode(operation.page_number, operation.line, prefix, operation.suffix[prefix:], operation.data)


def logged(**changes: Any) -> LoggedPage:
    return LoggedPage(STREAM, LogPosition(2, 9, 0), 1, 96)._replace(**changes)


def test_a_dirty_database_lacks_pages_that_its_log_changed() -> None:
    (finding,) = judge_size(DatabaseSize("x.edb", HEADER, 47, 32), [logged(), logged(page_number=50)])

    assert (finding.expected, finding.found) == ("96 pages", "47 pages")


@pytest.mark.parametrize(
    ("header", "page"),
    [
        (HEADER, logged(stream=Signature(8))),
        (HEADER, logged(dbid=2)),
        (HEADER, logged(position=LogPosition(2, 7, 0))),
        (HEADER, logged(page_number=47)),
        (replace(HEADER, state=DatabaseState.CLEAN_SHUTDOWN), logged()),
        (replace(HEADER, full_current=BackupInfo(LogPosition(1, 8, 0))), logged()),
    ],
    ids=["another stream", "another database", "before it was attached", "a page that is there", "clean", "streaming copy"],
)
def test_what_concerns_another_file_or_another_time_says_nothing(header: DatabaseHeader, page: LoggedPage) -> None:
    assert judge_size(DatabaseSize("x.edb", header, 47, 32), [page]) == []
