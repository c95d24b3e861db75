"""A database written anew, table by table, from its rows and long values; used by defragmentation and repair.

Records and long values are taken as stored bytes, so nothing is lost in translation. Entries go in by key, which fills pages;
secondary indexes are made from the rows. Memory is bounded: pages go to the new file as they fill, the entries of indexes to a
file for sorting beside it. The new file replaces the old one by a rename, once it is whole and durable.

Sources: ours; the real engine copies cursor by cursor (compact.cxx).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from vss_writers.ese.catalog import Catalog
from vss_writers.ese.database_format import create_database
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.external_sort import Entries, Sorter, SpillFile
from vss_writers.ese.file_pages import FilePages
from vss_writers.ese.files import File, FileSystem
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import NEVER, NO_BACKUP, NOWHERE, LogTime, Signature
from vss_writers.ese.layout import FORMAT_UPDATE_ECC, FORMAT_UPDATE_EXCHANGE_2007, DatabaseState, IndexFlag
from vss_writers.ese.record import Item, decode_record
from vss_writers.ese.schema import TableSchema
from vss_writers.ese.table import Table, index_tree, table_tree

SORT_SUFFIX = ".sort"
"""Behind the name of the new database: the file for sorting."""


class Rebuild:
    """One new database in the making."""

    def __init__(self, file: File, pages: FilePages, catalog: Catalog, spill: SpillFile) -> None:
        self.pages = pages
        self._file = file
        self._catalog = catalog
        self._spill = spill

    @classmethod
    @asynccontextmanager
    async def begin(cls, files: FileSystem, path: str, page_size: int, spill: SpillFile) -> AsyncIterator[Rebuild]:
        """Begin with an empty catalog in a new file at ``path``, which is removed again where the block fails.

        Entries of indexes are sorted by way of ``spill``.
        """
        file = await files.open(path, write=True, create=True, exclusive=True)
        try:
            pages = FilePages(file, page_size)
            yield cls(file, pages, await create_database(pages), spill)
            await file.close()
        except BaseException:
            await file.close()
            with suppress(Exception):
                await files.remove(path)  # a file system that is gone keeps it; the name is refused until it is removed
            raise

    async def begin_table(self, schema: TableSchema, *, checks_unique: bool = False) -> TableRebuild:
        """Begin one table; ``checks_unique``: its rows may contradict one another.

        Raises:
            JetError: ``DatabaseCorruptedNoRepair`` for an index whose keys cannot be made here.
        """
        check_rebuildable(schema)
        made = await self._catalog.create_like(schema)
        return TableRebuild(self.pages, made, self._spill, checks_unique=checks_unique)

    async def add_table(self, schema: TableSchema, rows: Entries, long_values: Entries) -> int:
        """Write one table, whose rows were in one before, and return how many it has; raises as ``begin_table``."""
        mark = self._spill.size_bytes
        table = await self.begin_table(schema)
        async for key, data in long_values:
            await table.add_long_value(key, data)
        async for key, data in rows:
            await table.add_row(key, data, decode_record(schema, data, self.pages.page_size))
        await table.finish()
        await self._spill.release(mark)
        return table.row_count

    async def finish(self, header: DatabaseHeader) -> int:
        """Make the file whole with ``header``, durable; return its length."""
        await self.pages.finish(header)
        return self._file.size_bytes


class TableRebuild:
    """One new table in the making: rows and long values in key order, then ``finish``, which makes the indexes."""

    def __init__(self, pages: FilePages, schema: TableSchema, spill: SpillFile, *, checks_unique: bool) -> None:
        self.row_count = 0
        self._pages = pages
        self._schema = schema
        self._table = Table(pages, schema)
        self._rows = table_tree(pages, schema)
        indexes = schema.secondary_indexes
        self._now = [index for index in indexes if checks_unique and index.is_unique]
        """Indexes that are kept up row by row, because they are asked whether a key is there."""
        self._later = [index for index in indexes if index not in self._now]
        self._sorters = {index.name: Sorter(spill, len(self._later)) for index in self._later}

    async def add_long_value(self, key: bytes, data: bytes) -> None:
        """Add an entry of the long-value tree."""
        assert self._table.long_values is not None, f"long values without a tree: {self._schema.name}"
        await self._table.long_values.tree.insert(key, data)

    async def accepts(self, items: Mapping[int, Item]) -> bool:
        """Whether no row so far has one of this row's keys in a unique index; asked only where that is checked."""
        for index in self._now:
            entry = self._table.entry(index, items)
            if entry is not None and await index_tree(self._pages, index).get(entry) is not None:
                return False
        return True

    async def add_row(self, key: bytes, data: bytes, items: Mapping[int, Item]) -> None:
        """Add a row; ``items`` is what ``data`` holds."""
        await self._rows.insert(key, data)
        self.row_count += 1
        for index in self._now:
            entry = self._table.entry(index, items)
            if entry is not None:
                await index_tree(self._pages, index).insert(entry, key)
        for index in self._later:
            entry = self._table.entry(index, items)
            if entry is not None:
                await self._sorters[index.name].add(entry, key)

    async def finish(self) -> None:
        """Make the indexes that are made in the end."""
        for index in self._later:
            target = index_tree(self._pages, index)
            sorter = self._sorters[index.name]
            async for entry, key in sorter.entries():
                await target.insert(entry, key)
            sorter.drop()


def check_rebuildable(schema: TableSchema) -> None:
    """Refuse an index over localised text or several values of a column: its keys need what only Windows has."""
    for index in schema.secondary_indexes:
        if index.flags & (IndexFlag.LOCALISED_TEXT | IndexFlag.MULTI_VALUED | IndexFlag.NULLS_SORT_HIGH):
            text = f"index {index.name} of table {schema.name} cannot be made anew"
            raise JetError(JetCode.DatabaseCorruptedNoRepair, text)


def check_format(header: DatabaseHeader, path: str) -> None:
    """Refuse databases of formats that we read but do not write: ``InvalidDatabaseVersion``."""
    if not FORMAT_UPDATE_ECC <= header.update <= FORMAT_UPDATE_EXCHANGE_2007:
        detail = f"update {FORMAT_UPDATE_ECC} to {FORMAT_UPDATE_EXCHANGE_2007} expected, found {header.update}"
        raise JetError(JetCode.InvalidDatabaseVersion, detail, path=path)


def new_header(before: DatabaseHeader, time: LogTime, random: int) -> DatabaseHeader:
    """Header of a database made from another: clean, of no log stream, with a signature of its own."""
    return replace(
        before,
        signature=Signature(random, time, before.signature.computer),
        state=DatabaseState.CLEAN_SHUTDOWN,
        update=FORMAT_UPDATE_EXCHANGE_2007,
        consistent_position=NOWHERE,
        consistent_time=NEVER,
        attach_position=NOWHERE,
        attach_time=NEVER,
        detach_position=NOWHERE,
        detach_time=NEVER,
        dbid=0,
        log_signature=Signature(),
        full_previous=NO_BACKUP,
        incremental_previous=NO_BACKUP,
        copy_previous=NO_BACKUP,
        differential_previous=NO_BACKUP,
        full_current=NO_BACKUP,
        snapshot_current=NO_BACKUP,
        generation_min_required=0,
        generation_max_required=0,
        generation_max_committed=0,
        generation_max_create_time=NEVER,
    )


async def replace_file(files: FileSystem, temporary: str, path: str) -> None:
    """Put the new file in place of the old one; either is there at any time."""
    await files.rename(temporary, path)
    await files.sync()
