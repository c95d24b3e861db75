"""Repair and defragmentation: every row that can be kept is kept, what is lost is named, chains are broken, sizes shrink."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.writers.ese.kit import build_sample, golden, run, sample
from tests.writers.ese.memory_pages import MemoryPages
from tests.writers.ese.store_kit import event_ids, memory, open_instance, small_parameters
from vss_writers.ese.catalog import CATALOG_SCHEMA, SHADOW_SCHEMA, Catalog
from vss_writers.ese.checksum import seal_page, xor32
from vss_writers.ese.database_format import create_database
from vss_writers.ese.defragment import DefragmentReport, defragment
from vss_writers.ese.engine_event import EngineEvent
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import BackupInfo, EccCounter, LogPosition, LogTime, Signature
from vss_writers.ese.integrity import check_database
from vss_writers.ese.layout import ColumnType, DatabaseState, IndexFlag, PageFlag, page_count
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.page import Page
from vss_writers.ese.reader import DatabaseReader, read_from
from vss_writers.ese.rebuild import check_rebuildable
from vss_writers.ese.repair import repair
from vss_writers.ese.repair_losses import NAMED_MAX, Losses, RepairReport
from vss_writers.ese.schema import ColumnDefinition, IndexDefinition, TableDefinition
from vss_writers.ese.table import Table
from vss_writers.ese.verify import verify_database

PATH, TEMPORARY = "D:\\DB1.edb", "D:\\temp.edb"
TIME = LogTime(1, 2, 3, 4, 5, 107)
BACKUP = BackupInfo(LogPosition(5, 8, 0), TIME, 1, 5)
HEADER = DatabaseHeader(
    Signature(1, TIME, "MAILBOX1"),
    full_previous=BACKUP,
    incremental_previous=BACKUP,
    copy_previous=BACKUP,
    differential_previous=BACKUP,
    log_signature=Signature(9),
    consistent_position=LogPosition(6, 8, 0),
    repair_count=2,
    repair_count_old=1,
    ecc_fix_success=EccCounter(3, TIME, 4),
)


def store(
    page_size: int = 4096, *, header: DatabaseHeader = HEADER, state: DatabaseState = DatabaseState.CLEAN_SHUTDOWN
) -> bytes:
    """The sample database, in which a third of the rows was deleted."""
    return sample(page_size).pages.to_bytes(header, state=state)


def files_with(data: bytes) -> MemoryFileSystem:
    files = memory()
    files.write(PATH, data)
    return files


async def rows_of(files: MemoryFileSystem, path: str = PATH) -> dict[bytes, dict[str, Any]]:
    """Rows, after the whole file was found sound."""
    data = files.read(path)
    reader = await DatabaseReader.from_bytes(data)
    assert (await check_database(reader.pages)).problems == []
    report = await verify_database(read_from(data), len(data))
    assert report.is_intact
    return {row.key: dict(row) async for row in reader.table("Messages").rows()}


def do_repair(files: MemoryFileSystem, events: list[EngineEvent] | None = None) -> RepairReport:
    collected = [] if events is None else events
    return asyncio.run(repair(files, PATH, TEMPORARY, time=TIME, random=77, on_event=collected.append))


def do_defragment(files: MemoryFileSystem, **options: Any) -> DefragmentReport:
    return asyncio.run(defragment(files, PATH, TEMPORARY, time=TIME, random=77, **options))


def code_of(call: Callable[[], object]) -> JetCode:
    with pytest.raises(JetError) as caught:
        call()
    return caught.value.code


def leaves_of(data: bytes, page_size: int, objid: int, *, kind: PageFlag = PageFlag.NONE) -> list[int]:
    """Leaf pages of a table's own tree, or of its long values."""
    found = []
    for number in range(1, page_count(len(data), page_size) + 1):
        page = Page(bytearray(data[(number + 1) * page_size : (number + 2) * page_size]), number)
        wanted = page.flags & (PageFlag.SPACE_TREE | PageFlag.EMPTY | PageFlag.INDEX | PageFlag.LONG_VALUE) == kind
        if not page.is_blank and page.is_leaf and page.objid == objid and wanted:
            found.append(number)
    return found


# -- defragmentation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [4096, 8192])
def test_defragmentation_keeps_every_row_in_a_smaller_sound_file(page_size: int) -> None:
    files = files_with(store(page_size))
    report = do_defragment(files)
    assert report.size_after < report.size_before
    assert report.rows == {"Messages": len(sample(page_size).rows)}
    assert run(rows_of(files)) == sample(page_size).rows
    assert TEMPORARY not in files.paths()
    header = DatabaseHeader.unpack(files.read(PATH))
    assert header.signature == Signature(77, TIME, "MAILBOX1")
    assert (header.full_previous, header.log_signature) == (BackupInfo(), Signature())
    assert (header.repair_count, header.repair_count_old) == (0, 3)
    assert header.ecc_fix_success == EccCounter(count_old=7)


def test_defragmentation_can_leave_the_old_file_alone() -> None:
    data = store()
    files = files_with(data)
    do_defragment(files, replaces=False)
    assert files.read(PATH) == data
    assert run(rows_of(files, TEMPORARY)) == sample(4096).rows
    assert code_of(lambda: do_defragment(files)) is JetCode.DatabaseDuplicate
    assert code_of(lambda: do_repair(files)) is JetCode.DatabaseDuplicate


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (lambda: store(state=DatabaseState.DIRTY_SHUTDOWN), JetCode.DatabaseDirtyShutdown),
        (lambda: golden("basic.edb"), JetCode.InvalidDatabaseVersion),
        (lambda: bytes(100_000), JetCode.DatabaseCorrupted),
    ],
)
def test_what_cannot_be_defragmented_stays_as_it_is(data: Callable[[], bytes], code: JetCode) -> None:
    before = data()
    files = files_with(before)
    assert code_of(lambda: do_defragment(files)) is code
    assert files.read(PATH) == before
    assert code_of(lambda: asyncio.run(defragment(files, "D:\\no.edb", TEMPORARY, time=TIME, random=1))) is JetCode.FileNotFound


def test_a_damaged_page_stops_defragmentation() -> None:
    data = store()
    files = files_with(data)
    leaf = leaves_of(data, 4096, _objid(data))[0]
    for bit in (0, 5):
        files.flip(PATH, (leaf + 1) * 4096 + 300, bit)
    before = files.read(PATH)
    assert code_of(lambda: do_defragment(files)) is JetCode.ReadVerifyFailure
    assert (files.read(PATH), asyncio.run(files.exists(TEMPORARY))) == (before, False)
    asyncio.run(rewrite(files, data))
    do_defragment(files)


async def rewrite(files: MemoryFileSystem, data: bytes) -> None:
    file = await files.open(PATH, write=True)
    await file.pwrite(0, data)


def test_a_disk_that_goes_while_a_database_is_rebuilt_costs_only_the_new_file() -> None:
    files = files_with(store())
    before = files.read(PATH)

    def fail(kind: str, path: str) -> None:
        if path == TEMPORARY and kind != "create":
            raise OSError(5, "the disk is gone")

    files.fail = fail
    for work in (do_defragment, do_repair):
        with pytest.raises(OSError, match="the disk is gone"):
            work(files)
        assert files.read(PATH) == before
        assert code_of(lambda work=work: work(files)) is JetCode.DatabaseDuplicate  # type: ignore[misc] # bound per turn
        files.delete(TEMPORARY)


def _objid(data: bytes) -> int:
    return asyncio.run(DatabaseReader.from_bytes(data)).schema("Messages").objid


def test_rows_that_contradict_their_key_stop_defragmentation() -> None:
    data = store()
    objid = _objid(data)
    leaf = leaves_of(data, 4096, objid)[0]
    page = Page(bytearray(data[(leaf + 1) * 4096 : (leaf + 2) * 4096]), leaf)
    node = page.node(1)
    page.replace_node(0, node.data[: len(page.node(0).data)].ljust(len(page.node(0).data), b"\0"))
    files = files_with(data[: (leaf + 1) * 4096] + page.sealed() + data[(leaf + 2) * 4096 :])
    with pytest.raises(JetError):
        do_defragment(files)


def test_foreign_readers_agree_with_a_defragmented_file(tmp_path: Path) -> None:
    if shutil.which("esedbinfo") is None:
        pytest.skip("needs esedbinfo of libesedb-utils")
    pyesedb = pytest.importorskip("pyesedb", reason="needs libesedb-python")
    files = files_with(store())
    do_defragment(files)
    path = tmp_path / "small.edb"
    path.write_bytes(files.read(PATH))
    result = subprocess.run(["esedbinfo", "-v", str(path)], capture_output=True, text=True, check=True, timeout=60)
    assert "mismatch" not in result.stdout + result.stderr
    file = pyesedb.file()
    file.open(str(path))
    try:
        table = file.get_table_by_name("Messages")
        expected = sorted(values["Id"] for values in sample(4096).rows.values())
        found = [int.from_bytes(record.get_value_data(0), "little") for record in table.records]
        assert found == expected
    finally:
        file.close()


def test_the_store_attaches_what_was_rebuilt() -> None:
    async def main() -> None:
        files = memory()
        instance = await open_instance(files, small_parameters(page_size=4096, log_file_size=64 * 1024))
        files.write(PATH, store())
        await repair(files, PATH, TEMPORARY, time=TIME, random=77)
        database = await instance.attach_database(PATH)
        table = await database.open_table("Messages")
        async with instance.transaction() as transaction:
            key = await table.insert(transaction, {"Folder": 1})
        row = await table.get(key)
        assert row is not None
        assert row["Id"] > max(values["Id"] for values in sample(4096).rows.values())
        assert database.signature == Signature(77, TIME, "MAILBOX1")
        await instance.close()

    asyncio.run(main())


# -- repair --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [DatabaseState.CLEAN_SHUTDOWN, DatabaseState.DIRTY_SHUTDOWN])
def test_a_sound_database_loses_nothing_but_its_identity(state: DatabaseState) -> None:
    files, events = files_with(store(state=state)), list[EngineEvent]()
    report = do_repair(files, events)
    assert not report.has_losses
    assert report.rows == {"Messages": len(sample(4096).rows)}
    assert run(rows_of(files)) == sample(4096).rows
    assert not events
    header = DatabaseHeader.unpack(files.read(PATH))
    assert header.signature == Signature(77, TIME, "MAILBOX1")
    assert header.state is DatabaseState.CLEAN_SHUTDOWN
    assert (header.repair_count, header.repair_time) == (3, TIME)
    previous = (header.full_previous, header.incremental_previous, header.copy_previous, header.differential_previous)
    assert previous == (BackupInfo(),) * 4
    assert not header.full_current


@pytest.mark.parametrize("seed", range(6))
def test_damaged_pages_cost_only_the_rows_that_were_on_them(seed: int) -> None:
    """Whatever pages are hit, every row found afterwards is one that was there, less the columns that are said to be lost."""
    data = store()
    choices = random.Random(seed)
    total = page_count(len(data), 4096)
    hit = choices.sample(range(1, total + 1), 4)
    files, events = files_with(data), list[EngineEvent]()
    for number in hit:
        for bit in choices.sample(range(40 * 8, 4096 * 8), 2):  # three may look like one, which is then "corrected"
            files.flip(PATH, (number + 1) * 4096 + bit // 8, bit % 8)
    report = do_repair(files, events)
    expected = sample(4096).rows
    found = run(rows_of(files))
    lost_columns = {(key, name) for _, key, name in report.lost_columns}
    for key, row in found.items():
        missing = expected[key].keys() - row.keys()
        assert {(key, name) for name in missing} <= lost_columns
        assert row == {name: value for name, value in expected[key].items() if name not in missing}
    lost = set(report.lost_pages)
    leaves = [number for number in leaves_of(data, 4096, _objid(data)) if number in lost]
    if not leaves:
        assert len(found) == len(expected) - len(report.lost_rows)
    assert event_ids(events).count(500) == len(report.lost_pages)
    assert event_ids(events).count(502) == len(report.lost_columns)


def test_a_wrong_bit_is_corrected_and_costs_nothing() -> None:
    data = store()
    leaf = leaves_of(data, 4096, _objid(data))[0]
    files = files_with(data)
    files.flip(PATH, (leaf + 1) * 4096 + 300)
    report = do_repair(files)
    assert report.corrected_pages == [leaf]
    assert not report.has_losses
    assert run(rows_of(files)) == sample(4096).rows


@pytest.mark.parametrize("objid", [2, 3])
def test_either_catalog_suffices(objid: int) -> None:
    data = store()
    files, events = files_with(data), list[EngineEvent]()
    for number in leaves_of(data, 4096, objid):
        for bit in (0, 5):
            files.flip(PATH, (number + 1) * 4096 + 300, bit)
    report = do_repair(files, events)
    assert report.lost_pages
    assert run(rows_of(files)) == sample(4096).rows


def test_without_any_catalog_nothing_can_be_kept_and_the_file_stays() -> None:
    data = store()
    files = files_with(data)
    for objid in (2, 3):
        for number in leaves_of(data, 4096, objid):
            for bit in (0, 5):
                files.flip(PATH, (number + 1) * 4096 + 300, bit)
    before = files.read(PATH)
    assert code_of(lambda: do_repair(files)) is JetCode.DatabaseCorruptedNoRepair
    assert files.read(PATH) == before


def test_damaged_headers_are_made_anew_from_the_pages() -> None:
    data = store()
    files = files_with(bytes(2 * 4096) + data[2 * 4096 :])
    assert not do_repair(files).has_losses
    assert run(rows_of(files)) == sample(4096).rows
    assert code_of(lambda: do_repair(files_with(bytes(50_000)))) is JetCode.DatabaseCorruptedNoRepair
    assert code_of(lambda: do_repair(memory())) is JetCode.FileNotFound
    assert code_of(lambda: do_repair(files_with(golden("basic.edb")))) is JetCode.InvalidDatabaseVersion
    header = bytearray(replace(HEADER, page_size=4096).pack())
    header[8] = 0x21
    header[:4] = xor32(memoryview(header)[4:]).to_bytes(4, "little")
    assert code_of(lambda: do_repair(files_with(bytes(header) * 2 + data[8192:]))) is JetCode.InvalidDatabaseVersion


def test_a_lost_chunk_costs_the_column_and_a_lost_row_its_long_values() -> None:
    data = store()
    schema = asyncio.run(DatabaseReader.from_bytes(data)).schema("Messages")
    files, events = files_with(data), list[EngineEvent]()
    chunk = leaves_of(data, 4096, schema.long_value_objid, kind=PageFlag.LONG_VALUE)[0]
    for bit in (0, 5):
        files.flip(PATH, (chunk + 1) * 4096 + 300, bit)
    report = do_repair(files, events)
    assert report.lost_columns
    assert not report.lost_rows
    assert 502 in event_ids(events)
    found = run(rows_of(files))
    assert found.keys() == sample(4096).rows.keys()


STRICT = TableDefinition(
    "Messages",
    (
        ColumnDefinition("Id", ColumnType.LONG, not_null=True),
        ColumnDefinition("Tag", ColumnType.LONG),
        ColumnDefinition("Body", ColumnType.LONG_BINARY, not_null=True),
    ),
    (IndexDefinition("ById", ("Id",), primary=True), IndexDefinition("ByTag", ("Tag",), unique=True)),
)


async def _strict() -> tuple[MemoryPages, Table]:
    pages = MemoryPages(4096)
    table = Table(pages, await (await create_database(pages)).create_table(STRICT))
    for number in range(1, 4):
        await table.insert({"Id": number, "Tag": number, "Body": bytes([number]) * 5000})
    return pages, table


def test_rows_that_cannot_be_kept_are_named() -> None:
    """A value that must not be null is gone; two rows share a unique key; a record makes no sense; rows without a table."""

    async def main() -> bytes:
        pages, table = await _strict()
        assert table.long_values is not None
        await table.long_values.tree.delete(b"\0\0\0\1" + b"\0\0\0\0")
        other = await table.tree.get(table.key("ById", 3))
        assert other is not None
        await table.tree.insert(table.key("ById", 8), other)
        await table.tree.insert(table.key("ById", 9), b"\xff\xff")
        return pages.to_bytes(replace(HEADER, page_size=4096))

    data = asyncio.run(main())
    stray = bytearray(data[-4096:])
    page = Page(stray, page_count(len(data), 4096))
    page.format(99, int(PageFlag.LEAF | PageFlag.ROOT | PageFlag.NEW_CHECKSUM_FORMAT | PageFlag.NEW_RECORD_FORMAT))
    page.insert_node(0, 0, b"\1", b"data", 0)
    seal_page(page.data, page.page_number)
    files, events = files_with(data[:-4096] + bytes(page.data)), list[EngineEvent]()
    report = do_repair(files, events)
    assert {key[-1] for _, key in report.lost_rows} == {1, 8, 9}
    assert report.lost_tables == [99]
    assert {503, 504} <= set(event_ids(events))
    found = run(rows_of(files))
    assert sorted(row["Id"] for row in found.values()) == [2, 3]


def test_a_table_whose_description_makes_no_sense_is_lost_and_the_others_are_kept() -> None:
    async def main() -> bytes:
        pages, _ = await _strict()
        other = Table(pages, await Catalog(pages).create_table(PLAIN))
        await other.insert({"Id": 1})
        schema = await Catalog(pages).table("Messages")
        for catalog in (CATALOG_SCHEMA, SHADOW_SCHEMA):
            tree = Table(pages, catalog).tree
            for row in [each async for each in Table(pages, catalog).rows() if each["ObjidTable"] == schema.objid]:
                await tree.replace(row.key, b"\xff\xff")
        return pages.to_bytes(replace(HEADER, page_size=4096))

    files, events = files_with(asyncio.run(main())), list[EngineEvent]()
    report = do_repair(files, events)
    assert report.rows == {"Plain": 1}
    assert {name for name, _ in report.lost_rows} == {"MSysObjects", "MSysObjectsShadow"}
    assert report.lost_row_count == len(report.lost_rows) == event_ids(events).count(503)
    assert len(report.lost_tables) == event_ids(events).count(504) == 2, "its rows and its long values"


def test_losses_are_counted_in_full_and_named_up_to_a_limit() -> None:
    events = list[EngineEvent]()
    losses = Losses(PATH, events.append)
    for number in range(NAMED_MAX + 5):
        losses.row("Mail", number.to_bytes(4, "big"))
        losses.column("Mail", number.to_bytes(4, "big"), "Body")
    report = losses.report
    assert (len(report.lost_rows), len(report.lost_columns)) == (NAMED_MAX, NAMED_MAX)
    assert (report.lost_row_count, report.lost_column_count) == (NAMED_MAX + 5, NAMED_MAX + 5)
    assert len(events) == 2 * (NAMED_MAX + 5)


def test_a_leaf_that_makes_no_sense_inside_is_lost() -> None:
    data = store()
    leaf = leaves_of(data, 4096, _objid(data))[0]
    page = bytearray(data[(leaf + 1) * 4096 : (leaf + 2) * 4096])
    page[-8:-4] = b"\xff\x1f\xff\x1f"
    seal_page(page, leaf)
    files = files_with(data[: (leaf + 1) * 4096] + bytes(page) + data[(leaf + 2) * 4096 :])
    assert do_repair(files).lost_pages == [leaf]


def test_indexes_that_need_windows_are_refused() -> None:
    schema = asyncio.run(DatabaseReader.from_bytes(store())).schema("Messages")
    indexes = tuple(replace(index, flags=index.flags | IndexFlag.LOCALISED_TEXT) for index in schema.indexes)
    changed = replace(schema, indexes=indexes)
    assert code_of(lambda: check_rebuildable(changed)) is JetCode.DatabaseCorruptedNoRepair


PLAIN = TableDefinition(
    "Plain",
    (ColumnDefinition("Id", ColumnType.LONG, not_null=True), ColumnDefinition("Tag", ColumnType.LONG)),
    (IndexDefinition("ById", ("Id",), primary=True), IndexDefinition("ByTag", ("Tag",))),
)


def test_tables_without_long_values_and_rows_in_no_index_are_rebuilt_too() -> None:
    async def main() -> bytes:
        pages = MemoryPages(4096)
        table = Table(pages, await (await create_database(pages)).create_table(PLAIN))
        for number in range(20):
            await table.insert({"Id": number, "Tag": number % 3})
        return pages.to_bytes(replace(HEADER, page_size=4096))

    data = asyncio.run(main())
    for work in (do_defragment, do_repair):
        files = files_with(data)
        report = work(files)
        assert report.rows == {"Plain": 20}

        async def found(files: MemoryFileSystem = files) -> list[int]:
            reader = await DatabaseReader.from_bytes(files.read(PATH))
            assert (await check_database(reader.pages)).problems == []
            return [row["Id"] async for row in reader.table("Plain").select("ByTag", 1)]

        assert asyncio.run(found()) == [1, 4, 7, 10, 13, 16, 19]


@pytest.mark.slow
def test_a_large_database_shrinks_to_what_its_rows_need() -> None:
    large = run(build_sample(8192, 1500))
    files = files_with(large.pages.to_bytes(HEADER))
    report = do_defragment(files)
    assert report.size_after < report.size_before
    assert run(rows_of(files)) == large.rows


MAIL = TableDefinition(
    "Mail",
    (
        ColumnDefinition("Id", ColumnType.LONG, not_null=True),
        ColumnDefinition("Folder", ColumnType.LONG),
        ColumnDefinition("Body", ColumnType.LONG_BINARY),
    ),
    (
        IndexDefinition("ById", ("Id",), primary=True),
        IndexDefinition("ByFolder", ("Folder",)),
        IndexDefinition("ByFolderAndId", ("Folder", "Id"), unique=True),
    ),
)


async def _mail(count: int) -> bytes:
    pages = MemoryPages(4096)
    table = Table(pages, await (await create_database(pages)).create_table(MAIL))
    for number in range(count):
        await table.insert({"Id": number, "Folder": number * 7 % 50, "Body": bytes([number % 256]) * 1100})
    return pages.to_bytes(replace(HEADER, page_size=4096))


@pytest.mark.slow
@pytest.mark.parametrize("work", [defragment, repair])
def test_memory_does_not_grow_with_the_rows(work: Callable[..., Any]) -> None:
    """Memory for 25 entries of each of at most four sorters, and a block of 64 bytes of each run: two or three entries."""
    for count in (300, 1200):
        files = files_with(asyncio.run(_mail(count)))
        report = asyncio.run(work(files, PATH, TEMPORARY, time=TIME, random=77, sort_bytes=4000))
        assert report.rows == {"Mail": count}
        assert 25 < report.entries_held_max < 150
        assert len(files.paths()) == 1
