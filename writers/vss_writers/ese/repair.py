"""Repair of a damaged database: what can be kept is kept, what is lost is said.

The database is written anew from what a scan of all pages finds. The catalog tells which tables there are, its shadow helps out
row by row. A record that makes no sense is lost, a long value that is not whole is lost with its column, or with its record
where the column must not be null, a record whose key another one has in a unique index is lost. The new database has a
signature of its own and no backup to build on: logs and chains of backups from before do not apply to it any more.

Sources: published engine, repair.cxx, dbutil.cxx; header fields as eseutil /p leaves them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

from vss_writers.ese.catalog import CATALOG_SCHEMA, SHADOW_SCHEMA
from vss_writers.ese.catalog_rows import schema_from_rows
from vss_writers.ese.database_file import read_database_header
from vss_writers.ese.database_format import MemoryPages
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import File, FileSystem
from vss_writers.ese.header import DatabaseHeader, LogTime, Signature
from vss_writers.ese.layout import OBJID_CATALOG, OBJID_CATALOG_SHADOW, OBJID_LAST_SYSTEM, ColumnFlag
from vss_writers.ese.rebuild import Rebuild, check_format, check_rebuildable, entries_of, new_header, replace_file
from vss_writers.ese.record import MULTI_VALUES, Item, decode_record, decode_value, encode_record, instances
from vss_writers.ese.salvage import Salvage, guess_page_size, scan_pages
from vss_writers.ese.schema import TableSchema
from vss_writers.ese.table import Row, Table

_CATALOG_OBJIDS = (OBJID_CATALOG, OBJID_CATALOG_SHADOW)


@dataclass(slots=True)
class RepairReport:
    """What repair kept and lost.

    Attributes:
        rows: rows kept by table.
        lost_pages: pages that could not be used.
        corrected_pages: pages with one wrong bit, which was corrected.
        lost_columns: table, row key and column of values that are gone.
        lost_rows: table and row key of rows that were found but could not be kept.
        lost_tables: object ids whose rows are there but whose description is not.
    """

    rows: dict[str, int] = field(default_factory=dict)
    lost_pages: list[int] = field(default_factory=list)
    corrected_pages: list[int] = field(default_factory=list)
    lost_columns: list[tuple[str, bytes, str]] = field(default_factory=list)
    lost_rows: list[tuple[str, bytes]] = field(default_factory=list)
    lost_tables: list[int] = field(default_factory=list)

    @property
    def has_losses(self) -> bool:
        """Whether anything is gone for sure; a lost page may have been an unused one or part of an index."""
        return bool(self.lost_pages or self.lost_columns or self.lost_rows or self.lost_tables)


async def repair(
    files: FileSystem, path: str, temporary: str, *, time: LogTime, random: int, on_event: EventSink = ignore_events
) -> RepairReport:
    """Repair the database at ``path`` by way of a new file at ``temporary``; dirty ones are repaired without their logs.

    Events 500 (page), 502 (columns), 503 (record) and 504 (table) tell what is lost.

    Raises:
        JetError: ``FileNotFound``; ``DatabaseDuplicate`` where ``temporary`` exists; ``InvalidDatabaseVersion``;
            ``DatabaseCorruptedNoRepair`` where nothing can be kept; the old file is as it was then.
    """
    if not await files.exists(path):
        raise JetError(JetCode.FileNotFound, path=path)
    if await files.exists(temporary):
        raise JetError(JetCode.DatabaseDuplicate, "the temporary database exists", path=temporary)
    source = await files.open(path)
    try:
        header = await _header(files, source, path, on_event)
        salvage = await scan_pages(source, header.page_size)
    finally:
        await source.close()
    work = _Repair(path, header.page_size, salvage, on_event)
    changed = replace(
        new_header(header, time, random),
        repair_count=header.repair_count + 1,
        repair_time=time,
    )
    async with Rebuild.begin(files, temporary, header.page_size) as rebuild:
        await work.run(rebuild)
        await rebuild.finish(changed)
    await replace_file(files, temporary, path)
    return work.report


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

    def __init__(self, path: str, page_size: int, salvage: Salvage, on_event: EventSink) -> None:
        self._path = path
        self._page_size = page_size
        self._found = salvage.entries
        self._on_event = on_event
        self.report = RepairReport(lost_pages=salvage.lost_pages, corrected_pages=salvage.corrected_pages)

    async def run(self, rebuild: Rebuild) -> None:
        for number in self.report.lost_pages:
            self._lost(500, "a page is lost", ("page", number))
        schemas = self._schemas()
        for schema in schemas:
            long_values = self._found.pop(schema.long_value_objid, {}) if schema.long_value_objid else {}
            used: dict[bytes, bool] = {}
            rows = self._rows(schema, self._found.pop(schema.objid, {}), _whole_long_values(long_values), used)
            long_values = {key: data for key, data in long_values.items() if key[:4] in used}
            self.report.rows[schema.name] = await rebuild.add_table(schema, entries_of(rows), entries_of(long_values))
        for objid in sorted(self._found):
            if objid > OBJID_LAST_SYSTEM and self._found[objid]:
                self.report.lost_tables.append(objid)
                self._lost(504, "rows whose table nobody describes are lost", ("objid", objid))

    def _lost(self, event_id: int, text: str, *values: tuple[str, str | int]) -> None:
        self._on_event(EngineEvent(event_id, text, Severity.WARNING, self._path, values))

    # -- the catalog -----------------------------------------------------------------------------------------------------------

    def _schemas(self) -> list[TableSchema]:
        """Tables of the catalog and its shadow together, by object id."""
        rows: dict[int, dict[bytes, Row]] = {}
        for schema in (SHADOW_SCHEMA, CATALOG_SCHEMA):
            for key, data in sorted(self._found.pop(schema.objid, {}).items()):
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
        except (JetError, struct.error, IndexError, ValueError):
            self._lost_row(schema.name, key)
            return None

    # -- rows ------------------------------------------------------------------------------------------------------------------

    def _rows(
        self,
        schema: TableSchema,
        found: dict[bytes, bytes],
        whole_long_values: dict[bytes, bool],
        used: dict[bytes, bool],
    ) -> dict[bytes, bytes]:
        """Rows that can be kept; ``used`` gets the keys of the long values they refer to."""
        kept: dict[bytes, bytes] = {}
        taken: dict[str, dict[bytes, bool]] = {index.name: {} for index in schema.secondary_indexes if index.is_unique}
        table = Table(MemoryPages(self._page_size), schema)  # asked for keys only
        for key in sorted(found):
            try:
                items = decode_record(schema, found[key], self._page_size)
                data = self._with_whole_values(schema, key, items, found[key], whole_long_values)
                entries = {index.name: table.entry(index, items) for index in schema.secondary_indexes if index.name in taken}
            except (JetError, struct.error, IndexError, ValueError):
                items, data, entries = {}, None, {}
            if data is None or any(entry is not None and entry in taken[name] for name, entry in entries.items()):
                self._lost_row(schema.name, key)
                continue
            for name, entry in entries.items():
                if entry is not None:
                    taken[name][entry] = True
            kept[key] = data
            used.update((each, True) for item in items.values() for each in _long_keys(item))
        return kept

    def _with_whole_values(
        self, schema: TableSchema, key: bytes, items: dict[int, Item], data: bytes, whole: dict[bytes, bool]
    ) -> bytes | None:
        """The record without columns whose long values are not whole; None where one of them must not be null."""
        broken = [column_id for column_id, item in items.items() if not all(each in whole for each in _long_keys(item))]
        for column_id in broken:
            column = schema.columns_by_id[column_id]
            if column.flags & ColumnFlag.NOT_NULL:
                return None
            del items[column_id]
            self.report.lost_columns.append((schema.name, key, column.name))
            self._lost(502, "a column of a record is lost", ("table", schema.name), ("column", column.name), ("key", key.hex()))
        return encode_record(schema, items, self._page_size) if broken else data

    def _lost_row(self, table: str, key: bytes) -> None:
        self.report.lost_rows.append((table, key))
        self._lost(503, "a record is lost", ("table", table), ("key", key.hex()))


def _long_keys(item: Item) -> list[bytes]:
    """Keys of the long values that a column refers to."""
    if item.is_separated:
        return [item.long_value_key]
    if item.flags & MULTI_VALUES:
        return [data[::-1] for data, is_separated, _ in instances(item) if is_separated]
    return []


_ROOT = struct.Struct("<II")


def _whole_long_values(found: dict[bytes, bytes]) -> dict[bytes, bool]:
    """Keys of the long values that have their entry and every chunk; the entries of all others are removed from ``found``."""
    whole: dict[bytes, bool] = {}
    chunks: dict[bytes, list[bytes]] = {}
    for key in sorted(found):
        chunks.setdefault(key[:4], []).append(key)
    for root, keys in chunks.items():
        if keys[0] == root and len(found[root]) >= _ROOT.size and _has_all_chunks(found, keys):
            whole[root] = True
        else:
            for key in keys:
                del found[key]
    return whole


def _has_all_chunks(found: dict[bytes, bytes], keys: list[bytes]) -> bool:
    """Whether chunks follow on one another from 0 to the size that the first entry says."""
    size = _ROOT.unpack_from(found[keys[0]])[1]
    expected = 0
    for key in keys[1:]:
        if int.from_bytes(key[4:], "big") != expected:
            return False
        expected += len(found[key])
    return bool(expected == size)
