"""A database written anew, table by table, from its rows and long values; used by defragmentation and repair.

Records and long values are taken as stored bytes, so nothing is lost in translation. Entries go in by key, which fills pages;
secondary indexes are made from the rows. Pages go to the new file as they fill, their memory is bounded; the entries of the
indexes of one table are sorted in memory. The new file replaces the old one by a rename, once it is whole and durable.

Sources: ours; the real engine copies cursor by cursor (compact.cxx).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from vss_writers.ese.catalog import Catalog
from vss_writers.ese.database_format import create_database
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.file_pages import FilePages
from vss_writers.ese.files import File, FileSystem
from vss_writers.ese.header import DatabaseHeader, LogTime, Signature
from vss_writers.ese.layout import FORMAT_UPDATE_ECC, FORMAT_UPDATE_EXCHANGE_2007, DatabaseState, IndexFlag
from vss_writers.ese.log_file import NEVER, NO_BACKUP, NOWHERE
from vss_writers.ese.record import decode_record
from vss_writers.ese.schema import TableSchema
from vss_writers.ese.table import Table, index_tree, table_tree

Entries = AsyncIterator[tuple[bytes, bytes]]
"""Keys and data in key order."""


class Rebuild:
    """One new database in the making."""

    def __init__(self, file: File, pages: FilePages, catalog: Catalog) -> None:
        self.pages = pages
        self._file = file
        self._catalog = catalog

    @classmethod
    @asynccontextmanager
    async def begin(cls, files: FileSystem, path: str, page_size: int) -> AsyncIterator[Rebuild]:
        """Begin with an empty catalog in a new file at ``path``, which is removed again where the block fails."""
        file = await files.open(path, write=True, create=True, exclusive=True)
        try:
            pages = FilePages(file, page_size)
            yield cls(file, pages, await create_database(pages))
            await file.close()
        except BaseException:
            await file.close()
            with suppress(Exception):
                await files.remove(path)  # a file system that is gone keeps it; the name is refused until it is removed
            raise

    async def add_table(self, schema: TableSchema, rows: Entries, long_values: Entries) -> int:
        """Write one table and return how many rows it has.

        Raises:
            JetError: ``DatabaseCorruptedNoRepair`` for an index whose keys cannot be made here.
        """
        check_rebuildable(schema)
        made = await self._catalog.create_like(schema)
        table = Table(self.pages, made)
        async for key, data in long_values:
            assert table.long_values is not None, f"long values without a tree: {schema.name}"
            await table.long_values.tree.insert(key, data)
        tree = table_tree(self.pages, made)
        entries: dict[str, list[tuple[bytes, bytes]]] = {index.name: [] for index in made.secondary_indexes}
        count = 0
        async for key, data in rows:
            await tree.insert(key, data)
            count += 1
            items = decode_record(made, data, self.pages.page_size)
            for index in made.secondary_indexes:
                entry = table.entry(index, items)
                if entry is not None:
                    entries[index.name].append((entry, key))
        for index in made.secondary_indexes:
            target = index_tree(self.pages, index)
            for entry, key in sorted(entries[index.name]):
                await target.insert(entry, key)
        return count

    async def finish(self, header: DatabaseHeader) -> int:
        """Make the file whole with ``header``, durable; return its length."""
        await self.pages.finish(header)
        return self._file.size_bytes


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


async def entries_of(found: Mapping[bytes, bytes]) -> Entries:
    """Entries of a mapping, in key order."""
    for key in sorted(found):
        yield key, found[key]


async def replace_file(files: FileSystem, temporary: str, path: str) -> None:
    """Put the new file in place of the old one; either is there at any time."""
    await files.rename(temporary, path)
    await files.sync()
