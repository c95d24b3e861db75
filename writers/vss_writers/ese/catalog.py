"""The catalog: which tables, columns, indexes and long-value trees a database has (MSysObjects and its shadow).

The catalog is itself a table, whose shape is fixed; every row is written a second time to MSysObjectsShadow. Objects of one
table stand together, ordered by type: the table, its columns, its indexes, its long-value tree.

Sources: published engine, _cat.cxx (columns, fixed pages and object ids, row contents); rows compared with real databases.
"""

from __future__ import annotations

from dataclasses import replace

from vss_writers.ese.catalog_rows import rows_of, schema_from_rows
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import (
    CATALOG_PAGES,
    CATALOG_SHADOW_PAGES,
    FIXED_COLUMN_SIZES,
    OBJID_CATALOG,
    OBJID_CATALOG_NAME_INDEX,
    OBJID_CATALOG_ROOT_OBJECTS_INDEX,
    OBJID_CATALOG_SHADOW,
    PAGE_CATALOG,
    PAGE_CATALOG_NAME_INDEX,
    PAGE_CATALOG_ROOT_OBJECTS_INDEX,
    PAGE_CATALOG_SHADOW,
    PAGE_DATABASE_ROOT,
    ColumnFlag,
    ColumnType,
    IndexFlag,
    PageFlag,
    TableFlag,
)
from vss_writers.ese.page_operation import PageAccess
from vss_writers.ese.schema import (
    CODE_PAGE_ASCII,
    CODE_PAGE_UNICODE,
    LONG_TYPES,
    SHORT_VALUE_MAX,
    TEXT_TYPES,
    Column,
    Index,
    IndexDefinition,
    TableDefinition,
    TableSchema,
    assign_column_ids,
)
from vss_writers.ese.space import FDP_PAGES, Extent, Space, create_space
from vss_writers.ese.table import Row, Table, index_kind

CATALOG_NAME = "MSysObjects"
CATALOG_SHADOW_NAME = "MSysObjectsShadow"

_LONG, _SHORT, _BIT, _WORD = ColumnType.LONG, ColumnType.SHORT, ColumnType.BIT, ColumnType.UNSIGNED_SHORT
_TEXT, _BINARY, _LONG_BINARY = ColumnType.TEXT, ColumnType.BINARY, ColumnType.LONG_BINARY

_CATALOG_COLUMNS: tuple[tuple[int, str, ColumnType, bool], ...] = (
    (1, "ObjidTable", _LONG, True),
    (2, "Type", _SHORT, True),
    (3, "Id", _LONG, True),
    (4, "ColtypOrPgnoFDP", _LONG, True),
    (5, "SpaceUsage", _LONG, True),
    (6, "Flags", _LONG, True),
    (7, "PagesOrLocale", _LONG, True),
    (8, "RootFlag", _BIT, False),
    (9, "RecordOffset", _SHORT, False),
    (10, "LCMapFlags", _LONG, False),
    (11, "KeyMost", _WORD, False),
    (12, "LVChunkMax", _LONG, False),
    (128, "Name", _TEXT, True),
    (129, "Stats", _BINARY, False),
    (130, "TemplateTable", _TEXT, False),
    (131, "DefaultValue", _BINARY, False),
    (132, "KeyFldIDs", _BINARY, False),
    (133, "VarSegMac", _BINARY, False),
    (134, "ConditionalColumns", _BINARY, False),
    (135, "TupleLimits", _BINARY, False),
    (136, "Version", _BINARY, False),
    (137, "SortID", _BINARY, False),
    (256, "CallbackData", _LONG_BINARY, False),
    (257, "CallbackDependencies", _LONG_BINARY, False),
    (258, "SeparateLV", _LONG_BINARY, False),
    (259, "SpaceHints", _LONG_BINARY, False),
    (260, "SpaceDeferredLVHints", _LONG_BINARY, False),
    (261, "LocaleName", _LONG_BINARY, False),
)
"""Id, name, type, not null. Readers know these by id, so later columns do no harm where older revisions lack them."""


def _catalog_columns() -> tuple[Column, ...]:
    columns: list[Column] = []
    offset = 4
    for column_id, name, column_type, not_null in _CATALOG_COLUMNS:
        flags = ColumnFlag.NOT_NULL if not_null else ColumnFlag.NONE
        size = FIXED_COLUMN_SIZES.get(column_type, 0 if column_type in LONG_TYPES else SHORT_VALUE_MAX)
        is_fixed = column_type in FIXED_COLUMN_SIZES
        columns.append(Column(column_id, name, column_type, size, flags, CODE_PAGE_ASCII, offset if is_fixed else 0))
        offset += size if is_fixed else 0
    return tuple(columns)


_ID_INDEX_FLAGS = IndexFlag.EXTENDED_COLUMNS | IndexFlag.PRIMARY | IndexFlag.NO_NULL_SEGMENT | IndexFlag.UNIQUE
_INDEXES = (
    Index("Id", OBJID_CATALOG, PAGE_CATALOG, (1, 2, 3), _ID_INDEX_FLAGS),
    Index(
        "Name",
        OBJID_CATALOG_NAME_INDEX,
        PAGE_CATALOG_NAME_INDEX,
        (1, 2, 128),
        IndexFlag.EXTENDED_COLUMNS | IndexFlag.NO_NULL_SEGMENT | IndexFlag.UNIQUE,
    ),
    Index(
        "RootObjects",
        OBJID_CATALOG_ROOT_OBJECTS_INDEX,
        PAGE_CATALOG_ROOT_OBJECTS_INDEX,
        (8, 128),
        IndexFlag.EXTENDED_COLUMNS | IndexFlag.ALLOW_SOME_NULLS | IndexFlag.UNIQUE,
    ),
)
_SYSTEM = TableFlag.SYSTEM | TableFlag.FIXED_DDL

CATALOG_SCHEMA = TableSchema(CATALOG_NAME, OBJID_CATALOG, PAGE_CATALOG, _catalog_columns(), _INDEXES, flags=_SYSTEM)
SHADOW_SCHEMA = TableSchema(
    CATALOG_SHADOW_NAME,
    OBJID_CATALOG_SHADOW,
    PAGE_CATALOG_SHADOW,
    _catalog_columns(),
    (Index("Id", OBJID_CATALOG_SHADOW, PAGE_CATALOG_SHADOW, (1, 2, 3), _ID_INDEX_FLAGS),),
    flags=_SYSTEM,
)

_USER_INDEX = IndexFlag.EXTENDED_COLUMNS | IndexFlag.ALLOW_ALL_NULLS | IndexFlag.ALLOW_FIRST_NULL | IndexFlag.ALLOW_SOME_NULLS


class Catalog:
    """The catalog of one database."""

    def __init__(self, access: PageAccess) -> None:
        self._access = access
        self._objects = Table(access, CATALOG_SCHEMA)
        self._shadow = Table(access, SHADOW_SCHEMA)

    # -- reading ----------------------------------------------------------------------------------------------------------

    async def table_names(self, *, include_system: bool = False) -> list[str]:
        """Names of all tables, sorted as the RootObjects index sorts them."""
        roots = self._objects.select("RootObjects", True, columns=["Name", "Flags"])
        return [row["Name"] async for row in roots if include_system or not row["Flags"] & int(TableFlag.SYSTEM)]

    async def table(self, name: str) -> TableSchema:
        """Schema of a table.

        Raises:
            JetError: ``ObjectNotFound``.
        """
        root = await self._objects.seek("RootObjects", True, name)
        if root is None or root["Name"].upper() != name.upper():
            raise JetError(JetCode.ObjectNotFound, f"table {name}")
        rows = [row async for row in self._objects.select("Id", root["ObjidTable"])]
        return schema_from_rows(rows)

    async def exists(self, name: str) -> bool:
        """Whether there is a table of this name."""
        root = await self._objects.seek("RootObjects", True, name)
        return root is not None and root["Name"].upper() == name.upper()

    # -- changing ---------------------------------------------------------------------------------------------------------

    async def create_table(self, definition: TableDefinition) -> TableSchema:
        """Create a table with its trees and describe it.

        Raises:
            JetError: ``TableDuplicate``, ``IndexDuplicate``, ``ColumnDuplicate``, ``ColumnNotFound``, ``InvalidParameter``.
        """
        if await self.exists(definition.name):
            raise JetError(JetCode.TableDuplicate, f"table {definition.name}")
        columns = assign_column_ids(definition.columns)
        by_name = {column.name: column for column in columns}
        _check_indexes(definition, by_name)
        async with self._access.macro():
            schema = await self._create_trees(definition, columns, by_name)
            await self.describe(schema, definition.initial_pages, definition.density_percent)
        return schema

    async def _create_trees(
        self, definition: TableDefinition, columns: tuple[Column, ...], by_name: dict[str, Column]
    ) -> TableSchema:
        objid = self._access.next_objid()
        parent = await Space.open(self._access, PAGE_DATABASE_ROOT)
        extent = await parent.take_extent(max(definition.initial_pages, FDP_PAGES))
        space = await create_space(self._access, extent, objid, PAGE_DATABASE_ROOT)
        indexes: list[Index] = []
        for index in definition.indexes:
            column_ids = tuple(by_name[name].column_id for name in index.columns)
            flags = _index_flags(index)
            if index.primary:
                indexes.append(Index(index.name, objid, extent.first, column_ids, flags))
            else:
                index_objid, fdp = await self._create_child(space, index_kind(index.unique))
                indexes.append(Index(index.name, index_objid, fdp, column_ids, flags))
        long_value_objid = long_value_fdp = 0
        if any(column.is_long for column in columns):
            long_value_objid, long_value_fdp = await self._create_child(space, PageFlag.LONG_VALUE)
        return TableSchema(definition.name, objid, extent.first, columns, tuple(indexes), long_value_objid, long_value_fdp)

    async def create_like(self, schema: TableSchema) -> TableSchema:
        """Create an empty table with the columns and indexes of another database's, ids of columns and flags kept."""
        async with self._access.macro():
            objid = self._access.next_objid()
            parent = await Space.open(self._access, PAGE_DATABASE_ROOT)
            extent = await parent.take_extent(FDP_PAGES)
            space = await create_space(self._access, extent, objid, PAGE_DATABASE_ROOT)
            indexes: list[Index] = []
            for index in schema.indexes:
                place = (objid, extent.first)
                if not index.is_primary:
                    place = await self._create_child(space, index_kind(index.is_unique))
                indexes.append(replace(index, objid=place[0], fdp=place[1]))
            long_values = (0, 0)
            if schema.long_value_fdp:
                long_values = await self._create_child(space, PageFlag.LONG_VALUE)
            made = replace(
                schema,
                objid=objid,
                fdp=extent.first,
                indexes=tuple(indexes),
                long_value_objid=long_values[0],
                long_value_fdp=long_values[1],
            )
            await self.describe(made, FDP_PAGES, 80)
        return made

    async def _create_child(self, space: Space, kind: PageFlag) -> tuple[int, int]:
        objid = self._access.next_objid()
        extent = await space.take_extent(FDP_PAGES)
        await create_space(self._access, extent, objid, space.fdp, kind)
        return objid, extent.first

    async def describe(self, schema: TableSchema, initial_pages: int, density: int) -> None:
        """Write the rows of a table to the catalog and its shadow."""
        for values in rows_of(schema, initial_pages, density):
            await self._objects.insert(values)
            await self._shadow.insert(values)


def _index_flags(index: IndexDefinition) -> IndexFlag:
    if index.primary:
        return _USER_INDEX | IndexFlag.UNIQUE | IndexFlag.PRIMARY
    # All-null keys would be duplicates of each other, so a unique index leaves them out.
    return _USER_INDEX & ~IndexFlag.ALLOW_ALL_NULLS | IndexFlag.UNIQUE if index.unique else _USER_INDEX


def _check_indexes(definition: TableDefinition, by_name: dict[str, Column]) -> None:
    names: set[str] = set()
    for index in definition.indexes:
        if index.name in names:
            raise JetError(JetCode.IndexDuplicate, f"index {index.name} of table {definition.name}")
        names.add(index.name)
        _check_index(definition, index, by_name)
    if sum(index.primary for index in definition.indexes) > 1:
        raise JetError(JetCode.IndexDuplicate, f"table {definition.name} with several primary indexes")


def _check_index(definition: TableDefinition, index: IndexDefinition, by_name: dict[str, Column]) -> None:
    if not index.columns:
        raise JetError(JetCode.InvalidParameter, f"index {index.name} of table {definition.name} without columns")
    for name in index.columns:
        column = by_name.get(name)
        if column is None:
            raise JetError(JetCode.ColumnNotFound, f"column {name} in index {index.name} of table {definition.name}")
        if column.is_long or (column.type in TEXT_TYPES and column.code_page == CODE_PAGE_UNICODE):
            text = f"column {name} of type {column.type.name} in index {index.name}: index integers, binary or ASCII text"
            raise JetError(JetCode.InvalidParameter, text)


async def all_schemas(access: PageAccess) -> list[TableSchema]:
    """Schemas of all tables, system tables included, by object id; read from the catalog's own tree, without its indexes.

    Raises:
        JetError: ``DatabaseCorrupted`` for rows that make no sense, or what reading pages raises.
    """
    rows: dict[int, list[Row]] = {}
    async for row in Table(access, CATALOG_SCHEMA).rows():
        rows.setdefault(row.get("ObjidTable", 0), []).append(row)
    return [schema_from_rows(group) for group in rows.values()]


async def create_catalog(access: PageAccess) -> Catalog:
    """Make the trees of the catalog on their fixed pages and let it describe itself. The database root exists already."""
    extent = Extent(PAGE_CATALOG, CATALOG_PAGES)
    space = await create_space(access, extent, OBJID_CATALOG, PAGE_DATABASE_ROOT)
    for index in CATALOG_SCHEMA.secondary_indexes:
        child = await space.take_extent(FDP_PAGES)
        assert child.first == index.fdp, f"index {index.name} expected on page {index.fdp}, got {child.first}"
        await create_space(access, child, index.objid, PAGE_CATALOG, index_kind(index.is_unique))
    shadow = Extent(PAGE_CATALOG_SHADOW, CATALOG_SHADOW_PAGES)
    await create_space(access, shadow, OBJID_CATALOG_SHADOW, PAGE_DATABASE_ROOT)
    catalog = Catalog(access)
    await catalog.describe(CATALOG_SCHEMA, CATALOG_PAGES, 80)
    await catalog.describe(SHADOW_SCHEMA, CATALOG_SHADOW_PAGES, 80)
    return catalog
