"""What a table looks like: definitions that callers write, and schemas as the catalog keeps them.

A ``TableDefinition`` names columns and indexes; creating the table gives each column its id (fixed from 1, variable from 128,
tagged from 256) and each tree its object id and FDP page, and the result is a ``TableSchema``. Both are frozen.

Sources: published engine, _cat.cxx and jethdr.w (column types, index flags).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import (
    FIRST_FIXED_COLUMN,
    FIRST_TAGGED_COLUMN,
    FIRST_VARIABLE_COLUMN,
    FIXED_COLUMN_SIZES,
    LAST_FIXED_COLUMN,
    LAST_VARIABLE_COLUMN,
    ColumnFlag,
    ColumnType,
    IndexFlag,
    TableFlag,
)

CODE_PAGE_ASCII = 1252
"""The engine's "ASCII" text: code page 1252, indexed by upper-cased bytes."""
CODE_PAGE_UNICODE = 1200

LONG_TYPES = frozenset({ColumnType.LONG_BINARY, ColumnType.LONG_TEXT})
TEXT_TYPES = frozenset({ColumnType.TEXT, ColumnType.LONG_TEXT})
BINARY_TYPES = frozenset({ColumnType.BINARY, ColumnType.LONG_BINARY})

SHORT_VALUE_MAX = 255
KEY_MOST = 255
"""Longest key of an index that does not ask for more."""

FIRST_RECORD_OFFSET = 4
"""Where the first fixed column lies in a record."""

# Plain integers: indexes are asked far too often for the arithmetic of enumerations.
_PRIMARY = int(IndexFlag.PRIMARY)
_UNIQUE = int(IndexFlag.UNIQUE | IndexFlag.PRIMARY)


class FixedPlace(NamedTuple):
    """Where the value of a fixed column lies in every record."""

    column_id: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column to create. ``is_tagged`` keeps a short type out of the record unless it has a value."""

    name: str
    type: ColumnType
    not_null: bool = False
    autoincrement: bool = False
    is_tagged: bool = False
    code_page: int = CODE_PAGE_UNICODE
    size_max: int = 0


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """An index to create over ``columns`` in that order, ascending. A unique one leaves out rows where all of them are null."""

    name: str
    columns: tuple[str, ...]
    primary: bool = False
    unique: bool = False


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A table to create. Without a primary index records are kept in the order of insertion."""

    name: str
    columns: tuple[ColumnDefinition, ...]
    indexes: tuple[IndexDefinition, ...] = ()
    initial_pages: int = 3
    density_percent: int = 80


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an existing table."""

    column_id: int
    name: str
    type: ColumnType
    size_max: int = 0
    flags: ColumnFlag = ColumnFlag.NONE
    code_page: int = CODE_PAGE_ASCII
    record_offset: int = 0
    default: bytes | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether the value has its place in every record."""
        return self.column_id <= LAST_FIXED_COLUMN

    @property
    def is_variable(self) -> bool:
        """Whether the value is found through the record's offset table."""
        return FIRST_VARIABLE_COLUMN <= self.column_id <= LAST_VARIABLE_COLUMN

    @property
    def is_tagged(self) -> bool:
        """Whether the value is in the record only when there is one."""
        return self.column_id >= FIRST_TAGGED_COLUMN

    @property
    def is_long(self) -> bool:
        """Whether values may be stored outside the record."""
        return self.type in LONG_TYPES

    @property
    def size(self) -> int:
        """Bytes of a fixed column in the record."""
        return FIXED_COLUMN_SIZES.get(self.type) or self.size_max


@dataclass(frozen=True, slots=True)
class Index:
    """An index of an existing table; ``column_ids`` in key order."""

    name: str
    objid: int
    fdp: int
    column_ids: tuple[int, ...]
    flags: IndexFlag
    key_most: int = KEY_MOST
    var_seg_most: int = 0

    @property
    def is_primary(self) -> bool:
        """Whether the table's own tree is ordered by it."""
        return bool(int(self.flags) & _PRIMARY)

    @property
    def is_unique(self) -> bool:
        """Whether two records may not share a key."""
        return bool(int(self.flags) & _UNIQUE)


@dataclass(frozen=True)
class TableSchema:
    """A table as the catalog describes it. ``long_value_fdp`` is 0 while the table has no long-value tree."""

    name: str
    objid: int
    fdp: int
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()
    long_value_objid: int = 0
    long_value_fdp: int = 0
    flags: TableFlag = TableFlag.NONE
    template: str = ""
    columns_by_name: dict[str, Column] = field(init=False, repr=False, compare=False)
    columns_by_id: dict[int, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns_by_name", {column.name: column for column in self.columns})
        object.__setattr__(self, "columns_by_id", {column.column_id: column for column in self.columns})

    @cached_property
    def primary_index(self) -> Index | None:
        """The index that orders the table, or None."""
        return next((index for index in self.indexes if index.is_primary), None)

    @cached_property
    def secondary_indexes(self) -> tuple[Index, ...]:
        """All others."""
        return tuple(index for index in self.indexes if not index.is_primary)

    @cached_property
    def fixed_places(self) -> tuple[FixedPlace, ...]:
        """Places of the fixed columns, in their order."""
        return tuple(
            FixedPlace(column.column_id, column.record_offset, column.record_offset + column.size)
            for column in self.columns
            if column.is_fixed
        )

    @cached_property
    def required_columns(self) -> tuple[Column, ...]:
        """Columns that may not be null."""
        return tuple(column for column in self.columns if column.flags & ColumnFlag.NOT_NULL)

    @cached_property
    def columns_with_default(self) -> tuple[Column, ...]:
        """Columns for which the catalog has a default."""
        return tuple(column for column in self.columns if column.default is not None)

    @cached_property
    def autoincrement(self) -> Column | None:
        """The column the engine numbers, or None."""
        return next((column for column in self.columns if column.flags & ColumnFlag.AUTOINCREMENT), None)

    def column(self, name: str) -> Column:
        """Return a column.

        Raises:
            JetError: ``ColumnNotFound``.
        """
        column = self.columns_by_name.get(name)
        if column is None:
            raise JetError(JetCode.ColumnNotFound, f"column {name} of table {self.name}")
        return column

    def index(self, name: str) -> Index:
        """Return an index.

        Raises:
            JetError: ``IndexNotFound``.
        """
        for index in self.indexes:
            if index.name == name:
                return index
        raise JetError(JetCode.IndexNotFound, f"index {name} of table {self.name}")


def assign_column_ids(definitions: Sequence[ColumnDefinition]) -> tuple[Column, ...]:
    """Give every column of a new table its id and place: fixed types in records, short ones variable, long ones tagged.

    Raises:
        JetError: ``ColumnDuplicate`` for a name used twice, ``InvalidColumnType`` for a type that cannot be stored.
    """
    next_id = {FIRST_FIXED_COLUMN: FIRST_FIXED_COLUMN, FIRST_VARIABLE_COLUMN: FIRST_VARIABLE_COLUMN}
    next_id[FIRST_TAGGED_COLUMN] = FIRST_TAGGED_COLUMN
    offset = FIRST_RECORD_OFFSET
    columns: list[Column] = []
    names: set[str] = set()
    for definition in definitions:
        if definition.name in names:
            raise JetError(JetCode.ColumnDuplicate, f"column {definition.name}")
        names.add(definition.name)
        group = _first_id(definition)
        column_id = next_id[group]
        next_id[group] += 1
        column = _column(definition, column_id, offset if group == FIRST_FIXED_COLUMN else 0)
        columns.append(column)
        if column.is_fixed:
            offset += column.size
    for group, last in ((FIRST_FIXED_COLUMN, LAST_FIXED_COLUMN), (FIRST_VARIABLE_COLUMN, LAST_VARIABLE_COLUMN)):
        if next_id[group] > last + 1:
            raise JetError(
                JetCode.InvalidParameter, f"{next_id[group] - group} columns of one kind, at most {last + 1 - group}"
            )
    return tuple(sorted(columns, key=lambda column: column.column_id))


def _first_id(definition: ColumnDefinition) -> int:
    if definition.type in LONG_TYPES or definition.is_tagged:
        return FIRST_TAGGED_COLUMN
    if definition.type in (ColumnType.TEXT, ColumnType.BINARY):
        return FIRST_VARIABLE_COLUMN
    if definition.type in FIXED_COLUMN_SIZES:
        return FIRST_FIXED_COLUMN
    raise JetError(JetCode.InvalidColumnType, f"column {definition.name}, type {definition.type}")


def _column(definition: ColumnDefinition, column_id: int, offset: int) -> Column:
    flags = ColumnFlag.NONE
    if definition.not_null or definition.autoincrement:
        flags |= ColumnFlag.NOT_NULL
    if definition.autoincrement:
        if definition.type not in (ColumnType.LONG, ColumnType.LONG_LONG, ColumnType.UNSIGNED_LONG):
            raise JetError(
                JetCode.InvalidColumnType, f"column {definition.name}: autoincrement needs an integer of 4 or 8 bytes"
            )
        flags |= ColumnFlag.AUTOINCREMENT
    size_max = FIXED_COLUMN_SIZES.get(definition.type, definition.size_max)
    if not size_max and definition.type not in LONG_TYPES:
        size_max = SHORT_VALUE_MAX
    code_page = definition.code_page if definition.type in TEXT_TYPES else 0
    return Column(column_id, definition.name, definition.type, size_max, flags, code_page, offset)
