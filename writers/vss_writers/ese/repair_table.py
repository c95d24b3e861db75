"""Repair of one table, in four passes over sorted entries, none of which needs more memory than it is given.

1. Rows are read for the long values they refer to; the references are sorted by long value.
2. References and long values go by together; those without a whole long value are sorted by row.
3. Rows and broken references go by together: columns are dropped, rows that cannot be kept are lost, the others are written,
   and the long values they still refer to are sorted.
4. Long values that are still referred to are written.

Sources: published engine, repair.cxx, for what is lost with what; the passes are ours.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from vss_writers.ese.errors import JetError
from vss_writers.ese.external_sort import Entries, Sorter, entries_of
from vss_writers.ese.layout import ColumnFlag
from vss_writers.ese.rebuild import Rebuild, TableRebuild
from vss_writers.ese.record import MULTI_VALUES, Item, decode_record, encode_record, instances
from vss_writers.ese.repair_losses import Losses
from vss_writers.ese.salvage import Salvage
from vss_writers.ese.salvage_long_values import broken_references, only_used
from vss_writers.ese.schema import TableSchema

UNUSABLE = (JetError, struct.error, IndexError, ValueError)
"""What decoding a record raises that makes no sense."""


class TableRepair:
    """The repair of one table."""

    def __init__(self, salvage: Salvage, schema: TableSchema, page_size: int, losses: Losses) -> None:
        self._salvage = salvage
        self._schema = schema
        self._page_size = page_size
        self._losses = losses
        spill = salvage.spill
        self._references = Sorter(spill)
        self._broken = Sorter(spill)
        self._used = Sorter(spill)

    async def run(self, rebuild: Rebuild, take: Callable[[int], bool]) -> int:
        """Write what can be kept and return the number of rows; ``take`` tells whether an object id is this table's to take."""
        schema, salvage = self._schema, self._salvage
        mark = salvage.spill.size_bytes
        has_long_values = bool(schema.long_value_objid) and take(schema.long_value_objid)
        has_rows = take(schema.objid)

        def rows() -> Entries:
            return salvage.entries(schema.objid) if has_rows else entries_of(())

        def long_values() -> Entries:
            return salvage.entries(schema.long_value_objid) if has_long_values else entries_of(())

        await self._refer(rows())
        async for row, wanted in broken_references(long_values(), self._references.entries()):
            await self._broken.add(row, wanted)
        self._references.drop()
        table = await rebuild.begin_table(schema, checks_unique=True)
        await self._keep(rows(), table)
        self._broken.drop()
        async for key, data in only_used(long_values(), self._used.entries()):
            await table.add_long_value(key, data)
        self._used.drop()
        await table.finish()
        await salvage.spill.release(mark)
        return table.row_count

    async def _refer(self, rows: Entries) -> None:
        """Pass 1; rows that make no sense are dealt with in pass 3."""
        async for key, data in rows:
            try:
                wanted = [each for item in self._decoded(data).values() for each in _long_keys(item)]
            except UNUSABLE:
                continue
            for each in wanted:
                await self._references.add(each, key)

    async def _keep(self, rows: Entries, table: TableRebuild) -> None:
        """Pass 3."""
        broken = self._broken.entries()
        head = await anext(broken, None)
        async for key, data in rows:
            gone: dict[bytes, bool] = {}
            items: dict[int, Item] = {}
            while head is not None and head[0] == key:
                gone[head[1]] = True
                head = await anext(broken, None)
            try:
                items = self._decoded(data)
                kept = self._without(key, items, gone)
                is_kept = kept and await table.accepts(items)
            except UNUSABLE:
                is_kept = False
            if not is_kept:
                self._losses.row(self._schema.name, key)
                continue
            await table.add_row(key, encode_record(self._schema, items, self._page_size) if gone else data, items)
            for item in items.values():
                for each in _long_keys(item):
                    await self._used.add(each, b"")

    def _without(self, key: bytes, items: dict[int, Item], gone: Mapping[bytes, bool]) -> bool:
        """Drop columns whose long values are not whole from ``items``; False where one of them must not be null."""
        broken = [column_id for column_id, item in items.items() if any(each in gone for each in _long_keys(item))]
        for column_id in broken:
            column = self._schema.columns_by_id[column_id]
            if column.flags & ColumnFlag.NOT_NULL:
                return False
            del items[column_id]
            self._losses.column(self._schema.name, key, column.name)
        return True

    def _decoded(self, data: bytes) -> dict[int, Item]:
        return decode_record(self._schema, data, self._page_size)


def _long_keys(item: Item) -> list[bytes]:
    """Ids of the long values that a column refers to."""
    if item.is_separated:
        return [item.long_value_key]
    if item.flags & MULTI_VALUES:
        return [data[::-1] for data, is_separated, _ in instances(item) if is_separated]
    return []
