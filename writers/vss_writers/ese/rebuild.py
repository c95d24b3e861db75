"""A database written anew, table by table, from its rows and long values; used by defragmentation and repair.

Records and long values are taken as stored bytes, so nothing is lost in translation. Entries go in by key, which fills pages;
secondary indexes are made from the rows. The new database is made in memory, all of it. The new file replaces the old one by a
rename, once it is whole and durable.

Sources: ours; the real engine copies cursor by cursor (compact.cxx).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from vss_writers.ese.catalog import Catalog
from vss_writers.ese.database_format import MemoryPages, create_database
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem
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

    def __init__(self, pages: MemoryPages, catalog: Catalog) -> None:
        self.pages = pages
        self._catalog = catalog

    @classmethod
    async def begin(cls, page_size: int) -> Rebuild:
        """Begin with an empty catalog."""
        pages = MemoryPages(page_size)
        return cls(pages, await create_database(pages))

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

    async def write(self, files: FileSystem, path: str, header: DatabaseHeader) -> None:
        """Write the file with ``header``, durable."""
        file = await files.open(path, write=True, create=True)
        try:
            await file.truncate(0)
            await file.pwrite(0, self.pages.to_bytes(header))
            await file.sync()
        finally:
            await file.close()


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


async def nothing() -> Entries:
    """No entries."""
    empty: tuple[tuple[bytes, bytes], ...] = ()
    for entry in empty:
        yield entry


async def replace_file(files: FileSystem, temporary: str, path: str) -> None:
    """Put the new file in place of the old one; either is there at any time."""
    await files.rename(temporary, path)
    await files.sync()
