"""Repair of a damaged database: what can be kept is kept, what is lost is said.

The database is written anew from what a scan of all pages finds. The catalog tells which tables there are, its shadow helps out
row by row. A record that makes no sense is lost, a long value that is not whole is lost with its column, or with its record
where the column must not be null, a record whose key another one has in a unique index is lost. The new database has a
signature of its own and no backup to build on: logs and chains of backups from before do not apply to it any more.

Memory does not grow with rows and long values: they are sorted by way of a file and go by in their order (``repair_table``).

Sources: published engine, repair.cxx, dbutil.cxx; header fields as eseutil /p leaves them.
"""

from __future__ import annotations

from dataclasses import replace

from vss_writers.ese.catalog import CATALOG_SCHEMA, SHADOW_SCHEMA
from vss_writers.ese.catalog_rows import schema_from_rows
from vss_writers.ese.database_file import read_database_header
from vss_writers.ese.engine_event import EventSink, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.external_sort import SORT_BYTES, SpillFile
from vss_writers.ese.files import File, FileSystem
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import LogTime, Signature
from vss_writers.ese.layout import OBJID_CATALOG, OBJID_CATALOG_SHADOW, OBJID_LAST_SYSTEM
from vss_writers.ese.rebuild import SORT_SUFFIX, Rebuild, check_format, check_rebuildable, new_header, replace_file
from vss_writers.ese.record import decode_record, decode_value
from vss_writers.ese.repair_losses import Losses, RepairReport
from vss_writers.ese.repair_table import UNUSABLE, TableRepair
from vss_writers.ese.salvage import Salvage, guess_page_size, scan_pages
from vss_writers.ese.schema import TableSchema
from vss_writers.ese.table import Row

_CATALOG_OBJIDS = (OBJID_CATALOG, OBJID_CATALOG_SHADOW)


async def repair(
    files: FileSystem,
    path: str,
    temporary: str,
    *,
    time: LogTime,
    random: int,
    on_event: EventSink = ignore_events,
    sort_bytes: int = SORT_BYTES,
) -> RepairReport:
    """Repair the database at ``path`` by way of a new file at ``temporary``; dirty ones are repaired without their logs.

    Events 500 (page), 502 (columns), 503 (record) and 504 (table) tell what is lost. What exceeds ``sort_bytes`` of memory
    goes to a file beside ``temporary``.

    Raises:
        JetError: ``FileNotFound``; ``DatabaseDuplicate`` where ``temporary`` or the file for sorting exists;
            ``InvalidDatabaseVersion``; ``DatabaseCorruptedNoRepair`` where nothing can be kept; the old file is as it was
            then.
    """
    if not await files.exists(path):
        raise JetError(JetCode.FileNotFound, path=path)
    if await files.exists(temporary):
        raise JetError(JetCode.DatabaseDuplicate, "the temporary database exists", path=temporary)
    async with SpillFile.begin(files, temporary + SORT_SUFFIX, sort_bytes) as spill:
        source = await files.open(path)
        try:
            header = await _header(files, source, path, on_event)
            salvage = await scan_pages(source, header.page_size, spill)
        finally:
            await source.close()
        losses = Losses(path, on_event)
        work = _Repair(path, header.page_size, salvage, losses)
        changed = replace(new_header(header, time, random), repair_count=header.repair_count + 1, repair_time=time)
        async with Rebuild.begin(files, temporary, header.page_size, spill) as rebuild:
            await work.run(rebuild)
            await rebuild.finish(changed)
    await replace_file(files, temporary, path)
    return replace(losses.report, entries_held_max=spill.held_max)


async def _header(files: FileSystem, source: File, path: str, on_event: EventSink) -> DatabaseHeader:
    """The header in use, or a plain one where both copies are damaged."""
    try:
        header = await read_database_header(files, path, on_event)
    except JetError as error:
        if error.code is not JetCode.DatabaseCorrupted:
            raise
        return DatabaseHeader(Signature(), page_size=await guess_page_size(source, path))
    check_format(header, path)
    return header


class _Repair:
    """One repair on its way."""

    def __init__(self, path: str, page_size: int, salvage: Salvage, losses: Losses) -> None:
        self._path = path
        self._page_size = page_size
        self._salvage = salvage
        self._losses = losses
        self._left = dict.fromkeys(sorted(salvage.runs))
        """Object ids whose entries nobody has asked for."""

    async def run(self, rebuild: Rebuild) -> None:
        self._losses.pages(self._salvage.lost_pages, self._salvage.corrected_pages)
        for schema in await self._schemas():
            table = TableRepair(self._salvage, schema, self._page_size, self._losses)
            self._losses.report.rows[schema.name] = await table.run(rebuild, self._take)
        for objid in self._left:
            if objid > OBJID_LAST_SYSTEM:
                self._losses.table(objid)

    def _take(self, objid: int) -> bool:
        """Whether there are entries of ``objid`` that nobody has asked for before."""
        is_there = objid in self._left
        self._left.pop(objid, None)
        return is_there

    async def _schemas(self) -> list[TableSchema]:
        """Tables of the catalog and its shadow together, by object id."""
        rows: dict[int, dict[bytes, Row]] = {}
        for schema in (SHADOW_SCHEMA, CATALOG_SCHEMA):
            self._take(schema.objid)
            async for key, data in self._salvage.entries(schema.objid):
                row = self._catalog_row(schema, key, data)
                if row is not None:
                    rows.setdefault(row.get("ObjidTable", 0), {})[key] = row
        schemas: list[TableSchema] = []
        for objid in sorted(rows):
            try:
                found = schema_from_rows([rows[objid][key] for key in sorted(rows[objid])])
                check_rebuildable(found)
            except (JetError, KeyError, ValueError):
                continue  # its rows are reported as a lost table
            if found.objid not in _CATALOG_OBJIDS:
                schemas.append(found)
        if not rows:
            raise JetError(JetCode.DatabaseCorruptedNoRepair, "the catalog and its shadow are gone", path=self._path)
        return schemas

    def _catalog_row(self, schema: TableSchema, key: bytes, data: bytes) -> Row | None:
        try:
            items = decode_record(schema, data, self._page_size)
            return Row(
                key,
                {
                    schema.columns_by_id[column_id].name: decode_value(schema.columns_by_id[column_id], item.data)
                    for column_id, item in items.items()
                    if column_id in schema.columns_by_id
                },
            )
        except UNUSABLE:
            self._losses.row(schema.name, key)
            return None
