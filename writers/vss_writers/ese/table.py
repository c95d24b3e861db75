"""Tables: rows by primary key, secondary indexes kept in step, long values moved out of records that would not fit.

Works through ``PageAccess`` only; transactions are the access's business. A refused change (duplicate key, wrong value) is
noticed before the first page is touched, so that the caller may go on in the same transaction.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from vss_writers.ese.compression import decompress
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.keys import after_prefix, big_endian, index_key, join, segment
from vss_writers.ese.layout import IndexFlag, PageFlag, page_header_size
from vss_writers.ese.long_value import LongValues
from vss_writers.ese.node import Node
from vss_writers.ese.page_operation import PageAccess
from vss_writers.ese.record import (
    COMPRESSED,
    LONG_VALUE,
    MULTI_VALUES,
    Item,
    decode_record,
    decode_value,
    encode_record,
    encode_value,
    instances,
    separated,
)
from vss_writers.ese.schema import Column, Index, TableSchema
from vss_writers.ese.space import Space
from vss_writers.ese.tree import Tree

LONG_VALUE_INTRINSIC_MAX = 1024
"""Longer values always go to the long-value tree."""
_SEPARATED_SIZE = 4
_NODE_OVERHEAD = 2 + 4 + 4 + 16
"""Key length, tag, the external header's tag and a root's space header."""


class Row(dict[str, Any]):
    """Values of one row by column name, nulls left out; ``key`` is its primary key."""

    __slots__ = ("key",)

    def __init__(self, key: bytes, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.key = key


class Table:
    """One table, open for reading and changing."""

    def __init__(self, access: PageAccess, schema: TableSchema) -> None:
        self._access = access
        self.schema = schema
        self.tree = table_tree(access, schema)
        self._index_trees = {index.name: index_tree(access, index) for index in schema.secondary_indexes}
        self.long_values: LongValues | None = None
        if schema.long_value_fdp:
            tree = _tree(access, schema.long_value_fdp, schema.long_value_objid, PageFlag.LONG_VALUE)
            self.long_values = LongValues(tree, access.page_size)
        self._number_next = 0

    # -- reading ----------------------------------------------------------------------------------------------------------

    async def get(self, key: bytes, columns: Sequence[str] | None = None) -> Row | None:
        """The row with this primary key, or None. ``columns`` limits what is decoded, long values included."""
        data = await self.tree.get(key)
        return None if data is None else await self._row(Node(key, data), columns)

    async def rows(
        self, first: bytes = b"", stop: bytes | None = None, columns: Sequence[str] | None = None
    ) -> AsyncIterator[Row]:
        """Rows with ``first`` ≤ primary key < ``stop``, in key order."""
        async for node in self.tree.entries(first, stop):
            yield await self._row(node, columns)

    async def seek(self, index: str, *values: Any) -> Row | None:
        """The first row whose index columns begin with ``values``, or None."""
        async for row in self.select(index, *values):
            return row
        return None

    async def select(self, index: str, *values: Any, columns: Sequence[str] | None = None) -> AsyncIterator[Row]:
        """All rows whose index columns begin with ``values``, in index order."""
        prefix = self.key(index, *values)
        async for row in self.range(index, prefix, after_prefix(prefix), columns):
            yield row

    async def range(
        self, index: str, first: bytes = b"", stop: bytes | None = None, columns: Sequence[str] | None = None
    ) -> AsyncIterator[Row]:
        """Rows with ``first`` ≤ key in ``index`` < ``stop``, in index order; keys come from ``key``."""
        description = self.schema.index(index)
        if description.is_primary:
            async for row in self.rows(first, stop, columns):
                yield row
            return
        async for entry in self._index_trees[index].entries(first, stop):
            data = await self.tree.get(entry.data)
            if data is not None:
                yield await self._row(Node(entry.data, data), columns)

    def key(self, index: str, *values: Any) -> bytes:
        """Key in ``index`` of the first ``len(values)`` columns; None stands for null."""
        description = self.schema.index(index)
        if len(values) > len(description.column_ids):
            text = f"{len(values)} values for the {len(description.column_ids)} columns of index {index}"
            raise JetError(JetCode.InvalidParameter, text)
        columns = [self.schema.columns_by_id[column_id] for column_id in description.column_ids]
        return join(
            description,
            (
                segment(column, None if value is None else encode_value(column, value))
                for column, value in zip(columns, values, strict=False)
            ),
        )

    async def last_key(self) -> bytes | None:
        """The greatest primary key, or None in an empty table."""
        last = await self.tree.last()
        return last.key if last else None

    async def _row(self, node: Node, columns: Sequence[str] | None) -> Row:
        items = decode_record(self.schema, node.data, self._access.page_size)
        wanted = None if columns is None else {self.schema.column(name).column_id for name in columns}
        values: dict[str, Any] = {}
        columns_by_id = self.schema.columns_by_id
        for column_id, item in items.items():
            column = columns_by_id.get(column_id)
            if column is not None and (wanted is None or column_id in wanted):
                try:
                    is_plain = not item.flags
                    values[column.name] = decode_value(column, item.data) if is_plain else await self._value(column, item)
                except (struct.error, IndexError, ValueError) as error:
                    text = f"column {column.name} of row {node.key.hex()} of table {self.schema.name}: {error}"
                    raise JetError(JetCode.NodeCorrupted, text) from error
        return Row(node.key, values)

    async def _value(self, column: Column, item: Item) -> Any:
        if not item.flags & MULTI_VALUES:
            return decode_value(column, await self._stored(item))
        values: list[Any] = []
        for data, is_separated, is_compressed in instances(item):
            one = await self._long_value(data[::-1]) if is_separated else data
            values.append(decode_value(column, decompress(one) if is_compressed else one))
        return values

    async def _stored(self, item: Item) -> bytes:
        if item.is_separated:
            return await self._long_value(item.long_value_key)
        return decompress(item.data) if item.flags & COMPRESSED else item.data

    async def _long_value(self, key: bytes) -> bytes:
        if self.long_values is None:
            raise JetError(JetCode.NodeCorrupted, f"table {self.schema.name} refers to long value {key.hex()}, has none")
        return await self.long_values.read(key)

    # -- changing ---------------------------------------------------------------------------------------------------------

    async def insert(self, values: Mapping[str, Any]) -> bytes:
        """Add a row and return its primary key. An autoincrement column is numbered when it has no value.

        Raises:
            JetError: ``KeyDuplicate``, ``NullInvalid``, ``ColumnNotFound``, ``InvalidColumnType``, ``ColumnTooBig``,
                ``KeyTooBig``, ``RecordTooBig``; nothing is changed.
        """
        items = self._items(values)
        column = self.schema.autoincrement
        if column is not None and column.column_id not in items:
            items[column.column_id] = Item(encode_value(column, await self._next_number(column)))
        self._check_nulls(items)
        key = await self._new_key(items)
        entries = [(index, self.entry(index, items)) for index in self.schema.secondary_indexes]
        if await self.tree.get(key) is not None:
            raise JetError(JetCode.KeyDuplicate, f"primary key {key.hex()} of table {self.schema.name}")
        for index, entry in entries:
            await self._check_unique(index, entry, key)
        record = await self._record(items, key)
        await self.tree.insert(key, record)
        for index, entry in entries:
            if entry is not None:
                await self._index_trees[index.name].insert(entry, key)
        return key

    async def update(self, key: bytes, changes: Mapping[str, Any]) -> bytes:
        """Change columns of a row (None makes one null) and return its primary key, which may be a new one.

        Raises:
            JetError: ``RecordNotFound``, and as ``insert``; nothing is changed.
        """
        data = await self.tree.get(key)
        if data is None:
            raise JetError(JetCode.RecordNotFound, f"key {key.hex()} of table {self.schema.name}")
        before = decode_record(self.schema, data, self._access.page_size)
        items = {**before, **self._items(changes)}
        for name, value in changes.items():
            if value is None:
                items.pop(self.schema.column(name).column_id, None)
        self._check_nulls(items)
        primary = self.schema.primary_index
        new_key = key if primary is None else index_key(self.schema, primary, _stored_values(items))
        if new_key != key and await self.tree.get(new_key) is not None:
            raise JetError(JetCode.KeyDuplicate, f"primary key {new_key.hex()} of table {self.schema.name}")
        moves = await self._index_moves(before, items, key, new_key)
        record = await self._record(items, new_key)
        if new_key == key:
            await self.tree.replace(key, record)
        else:
            await self.tree.delete(key)
            await self.tree.insert(new_key, record)
        for index, old_entry, new_entry in moves:
            await self._move(index, old_entry, key, new_entry, new_key)
        await self._drop_long_values(before, items)
        return new_key

    async def delete(self, key: bytes) -> None:
        """Remove a row.

        Raises:
            JetError: ``RecordNotFound``.
        """
        data = await self.tree.delete(key)
        items = decode_record(self.schema, data, self._access.page_size)
        for index in self.schema.secondary_indexes:
            await self._move(index, self.entry(index, items), key, None, key)
        await self._drop_long_values(items, {})

    # -- records ----------------------------------------------------------------------------------------------------------

    def _items(self, values: Mapping[str, Any]) -> dict[int, Item]:
        items: dict[int, Item] = {}
        for name, value in values.items():
            column = self.schema.column(name)
            if value is not None:
                flags = LONG_VALUE if column.is_long else 0
                items[column.column_id] = Item(encode_value(column, value), flags)
        return items

    def _check_nulls(self, items: Mapping[int, Item]) -> None:
        for column in self.schema.required_columns:
            if column.column_id not in items:
                raise JetError(JetCode.NullInvalid, f"column {column.name} of table {self.schema.name}")

    def _plan_separation(self, items: Mapping[int, Item], key: bytes, size: int) -> list[int]:
        """Column ids whose values go to the long-value tree: every long one, then the largest until the record, which has
        ``size`` bytes with all of them, fits."""
        limit = self._access.page_size - page_header_size(self._access.page_size) - _NODE_OVERHEAD - len(key)
        candidates = sorted(
            (
                (len(item.data), column_id)
                for column_id, item in items.items()
                if item.flags & LONG_VALUE and not item.is_separated
            ),
            reverse=True,
        )
        plan: list[int] = []
        for length, column_id in candidates:
            if length <= LONG_VALUE_INTRINSIC_MAX and (size <= limit or length <= _SEPARATED_SIZE):
                break
            plan.append(column_id)
            size -= length - _SEPARATED_SIZE
        if size > limit:
            raise JetError(JetCode.RecordTooBig, f"record of {size} bytes in table {self.schema.name}, at most {limit}")
        if plan and self.long_values is None:
            raise JetError(JetCode.RecordTooBig, f"table {self.schema.name} has no long-value tree")
        return plan

    async def _record(self, items: Mapping[int, Item], key: bytes) -> bytes:
        """The record as it is stored; what is too long for it goes to the long-value tree. A refusal changes nothing."""
        record = encode_record(self.schema, items, self._access.page_size)
        plan = self._plan_separation(items, key, len(record))
        if not plan:
            return record
        stored = dict(items)
        for column_id in sorted(plan):
            assert self.long_values is not None, "planned without a long-value tree"
            stored[column_id] = separated(await self.long_values.insert(items[column_id].data))
        return encode_record(self.schema, stored, self._access.page_size)

    async def _drop_long_values(self, before: Mapping[int, Item], after: Mapping[int, Item]) -> None:
        for column_id, item in before.items():
            if item.is_separated and after.get(column_id) != item and self.long_values is not None:
                await self.long_values.delete(item.long_value_key)

    # -- keys -------------------------------------------------------------------------------------------------------------

    async def _new_key(self, items: Mapping[int, Item]) -> bytes:
        primary = self.schema.primary_index
        if primary is not None:
            return index_key(self.schema, primary, _stored_values(items))
        last = await self.tree.last()
        return big_endian(int.from_bytes(last.key, "big") + 1 if last else 1)

    async def _next_number(self, column: Column) -> int:
        """One more than the highest number given out: kept here, and found through an index after opening."""
        for index in self.schema.indexes:
            if index.column_ids[0] == column.column_id:
                tree = self.tree if index.is_primary else self._index_trees[index.name]
                last = await tree.last()
                if last is not None:
                    data = last.data if index.is_primary else await self.tree.get(last.data)
                    assert data is not None, f"entry of index {index.name} without a row: {last.data.hex()}"
                    item = decode_record(self.schema, data, self._access.page_size)[column.column_id]
                    self._number_next = max(self._number_next, decode_value(column, item.data) + 1)
                break
        else:
            if not self._number_next:
                async for row in self.rows(columns=[column.name]):
                    self._number_next = max(self._number_next, row[column.name] + 1)
        number = max(self._number_next, 1)
        self._number_next = number + 1
        return number

    def entry(self, index: Index, items: Mapping[int, Item]) -> bytes | None:
        """Key of a row in a secondary index, or None when it has no entry there.

        Raises:
            JetError: ``NullKeyDisallowed`` when the index takes no nulls.
        """
        nulls = [column_id not in items for column_id in index.column_ids]
        if any(nulls) and index.flags & IndexFlag.NO_NULL_SEGMENT:
            raise JetError(JetCode.NullKeyDisallowed, f"index {index.name} of table {self.schema.name}")
        allowed = IndexFlag.ALLOW_ALL_NULLS if all(nulls) else IndexFlag.ALLOW_SOME_NULLS
        if any(nulls) and not index.flags & allowed:
            return None
        if nulls[0] and not index.flags & IndexFlag.ALLOW_FIRST_NULL:
            return None
        return index_key(self.schema, index, _stored_values(items))

    async def _check_unique(self, index: Index, entry: bytes | None, *owners: bytes) -> None:
        if entry is None or not index.is_unique:
            return
        owner = await self._index_trees[index.name].get(entry)
        if owner is not None and owner not in owners:
            raise JetError(JetCode.KeyDuplicate, f"key {entry.hex()} of index {index.name} of table {self.schema.name}")

    async def _index_moves(
        self, before: Mapping[int, Item], after: Mapping[int, Item], key: bytes, new_key: bytes
    ) -> list[tuple[Index, bytes | None, bytes | None]]:
        moves: list[tuple[Index, bytes | None, bytes | None]] = []
        for index in self.schema.secondary_indexes:
            old_entry, new_entry = self.entry(index, before), self.entry(index, after)
            if old_entry != new_entry or key != new_key:
                await self._check_unique(index, new_entry, key, new_key)
                moves.append((index, old_entry, new_entry))
        return moves

    async def _move(self, index: Index, old: bytes | None, old_key: bytes, new: bytes | None, new_key: bytes) -> None:
        tree = self._index_trees[index.name]
        if old is not None:
            await tree.delete(old if index.is_unique else old + old_key)
        if new is not None:
            await tree.insert(new, new_key)


def _stored_values(items: Mapping[int, Item]) -> dict[int, bytes | None]:
    return {column_id: item.data for column_id, item in items.items()}


class _LazySpace:
    """Space of a tree, opened at the first page it gives: reading a table needs none."""

    def __init__(self, access: PageAccess, fdp: int) -> None:
        self._access = access
        self._fdp = fdp

    async def allocate_page(self) -> int:
        return await (await Space.open(self._access, self._fdp)).allocate_page()

    async def free_page(self, page_number: int) -> None:
        await (await Space.open(self._access, self._fdp)).free_page(page_number)


def _tree(access: PageAccess, fdp: int, objid: int, kind: PageFlag) -> Tree:
    return Tree(access, fdp, objid, _LazySpace(access, fdp), kind)


def table_tree(access: PageAccess, schema: TableSchema) -> Tree:
    """The tree that holds a table's rows."""
    return _tree(access, schema.fdp, schema.objid, PageFlag.NONE)


def index_tree(access: PageAccess, index: Index) -> Tree:
    """The tree of a secondary index."""
    return _tree(access, index.fdp, index.objid, index_kind(index.is_unique))


def index_kind(is_unique: bool) -> PageFlag:
    """Page flags of a secondary index's tree."""
    return PageFlag.INDEX | (PageFlag.NONE if is_unique else PageFlag.NON_UNIQUE)
