"""Where things lie in a database file: offsets, sizes, flags. No behaviour beyond address arithmetic.

Little-endian throughout. Page 0 of the file is the header, page 1 its shadow; database page *n* (from 1) starts at
``(n + 1) × page size``.

Sources: published engine (daedef.hxx, cpage.hxx, node.cxx, space.hxx, _cat.cxx, rec.hxx); libesedb format documentation.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

MAGIC = 0x89ABCDEF
FORMAT_VERSION = 0x620
FORMAT_UPDATE_EXCHANGE_2007 = 0x0C
"""Revision 0x620,0x0C: the format this engine writes."""
FORMAT_UPDATE_ECC = 0x0B
"""From this revision on pages carry the error-correcting checksum."""
FORMAT_UPDATE_LARGE_PAGES = 0x11

PAGE_SIZES = (2048, 4096, 8192, 16384, 32768)
DEFAULT_PAGE_SIZE = 8192
SMALL_PAGE_MAX = 8192
"""Above this size pages have the longer header, four checksums and wider tags."""

HEADER_PAGES = 2


class FileType(IntEnum):
    """What a file of the engine is."""

    UNKNOWN = 0
    DATABASE = 1
    STREAMING = 2
    LOG = 3
    CHECKPOINT = 4
    TEMPORARY_DATABASE = 5
    FLUSH_MAP = 7


class DatabaseState(IntEnum):
    """``dbstate`` of the header."""

    JUST_CREATED = 1
    DIRTY_SHUTDOWN = 2
    CLEAN_SHUTDOWN = 3
    BEING_CONVERTED = 4
    FORCE_DETACH = 5
    INCREMENTAL_RESEED = 6
    DIRTY_AND_PATCHED = 7
    REVERT_IN_PROGRESS = 8


class BackupType(IntEnum):
    """How the backup a header mentions was taken."""

    STREAMING = 0
    OS_SNAPSHOT = 1
    SNAPSHOT = 2
    SURROGATE = 3


class PageFlag(IntFlag):
    """``fFlags`` of a page header."""

    NONE = 0
    ROOT = 0x1
    LEAF = 0x2
    PARENT_OF_LEAF = 0x4
    EMPTY = 0x8
    REPAIRED = 0x10
    SPACE_TREE = 0x20
    INDEX = 0x40
    LONG_VALUE = 0x80
    NON_UNIQUE = 0x400
    NEW_RECORD_FORMAT = 0x800
    NEW_CHECKSUM_FORMAT = 0x2000
    SCRUBBED = 0x4000
    PREINITIALISED = 0x20000


CURRENT_FORMAT = PageFlag.NEW_RECORD_FORMAT | PageFlag.NEW_CHECKSUM_FORMAT
"""Flags that every page of the format we write carries."""


class NodeFlag(IntFlag):
    """Flags of one line."""

    NONE = 0
    VERSION = 1
    DELETED = 2
    COMPRESSED = 4


PAGE_HEADER = struct.Struct("<QQIIIHHHHI")
"""checksum, dbtime u64 · previous, next, objid u32 · cbFree, cbUncommittedFree, ibMicFree, itagMicFree u16 · flags u32."""
PAGE_HEADER_SIZE = 40
LARGE_PAGE_HEADER_SIZE = 80
LARGE_PAGE_NUMBER_OFFSET = 64
BLOCK_CHECKSUM_OFFSETS = (0, 40, 48, 56)
"""Where the checksums of the four blocks of a large page are stored."""

OFFSET_DBTIME = 8
OFFSET_PREVIOUS = 16
OFFSET_NEXT = 20
OFFSET_OBJID = 24
OFFSET_FREE = 28
OFFSET_UNCOMMITTED_FREE = 30
OFFSET_FIRST_FREE = 32
OFFSET_TAG_COUNT = 34
OFFSET_FLAGS = 36
TAG_COUNT_MASK = 0x0FFF
"""Newer engines keep other bits above the tag count."""

TAG_SIZE = 4
SPACE_HEADER = struct.Struct("<IIII")
"""primary page count · parent FDP · flags · root of the owned extents (available extents: the page after)."""
EMPTY_SPLIT_BUFFER = bytes(16)
"""External header of the root of a space tree."""

assert PAGE_HEADER.size == PAGE_HEADER_SIZE
assert SPACE_HEADER.size == 16


class SpaceFlag(IntFlag):
    """Flags of a space header."""

    NONE = 0
    MULTIPLE_EXTENT = 1
    NON_UNIQUE = 2
    V2 = 4


PAGE_DATABASE_ROOT = 1
PAGE_CATALOG = 4
PAGE_CATALOG_NAME_INDEX = 7
PAGE_CATALOG_ROOT_OBJECTS_INDEX = 10
PAGE_CATALOG_SHADOW = 24
CATALOG_PAGES = 20
"""Pages the catalog owns at creation: 4 to 23."""
CATALOG_SHADOW_PAGES = 9
"""Pages the shadow catalog owns at creation: 24 to 32."""
SYSTEM_PAGES = 32
"""Pages of a new database before any other table."""

OBJID_DATABASE = 1
OBJID_CATALOG = 2
OBJID_CATALOG_SHADOW = 3
OBJID_CATALOG_NAME_INDEX = 4
OBJID_CATALOG_ROOT_OBJECTS_INDEX = 5
OBJID_LAST_SYSTEM = 5

LONG_VALUE_OVERHEAD = 82
LARGE_PAGE_LONG_VALUE_OVERHEAD = 122


class ObjectType(IntEnum):
    """``Type`` of a catalog row."""

    TABLE = 1
    COLUMN = 2
    INDEX = 3
    LONG_VALUE_TREE = 4
    CALLBACK = 5


class ColumnType(IntEnum):
    """Column types (``JET_coltyp``)."""

    NIL = 0
    BIT = 1
    UNSIGNED_BYTE = 2
    SHORT = 3
    LONG = 4
    CURRENCY = 5
    SINGLE = 6
    DOUBLE = 7
    DATE_TIME = 8
    BINARY = 9
    TEXT = 10
    LONG_BINARY = 11
    LONG_TEXT = 12
    SLV = 13
    UNSIGNED_LONG = 14
    LONG_LONG = 15
    GUID = 16
    UNSIGNED_SHORT = 17


class ColumnFlag(IntFlag):
    """Flags of a column's catalog row."""

    NONE = 0
    NOT_NULL = 0x1
    VERSION = 0x2
    AUTOINCREMENT = 0x4
    MULTI_VALUED = 0x8
    DEFAULT = 0x10
    ESCROW_UPDATE = 0x20
    FINALIZE = 0x40
    USER_DEFINED_DEFAULT = 0x80
    DELETE_ON_ZERO = 0x200
    PRIMARY_INDEX_PLACEHOLDER = 0x800
    COMPRESSED = 0x1000
    ENCRYPTED = 0x2000


class IndexFlag(IntFlag):
    """Flags of an index's catalog row."""

    NONE = 0
    UNIQUE = 0x1
    ALLOW_ALL_NULLS = 0x2
    ALLOW_FIRST_NULL = 0x4
    ALLOW_SOME_NULLS = 0x8
    NO_NULL_SEGMENT = 0x10
    PRIMARY = 0x20
    LOCALE_SET = 0x40
    MULTI_VALUED = 0x80
    LOCALISED_TEXT = 0x400
    NULLS_SORT_HIGH = 0x800
    EXTENDED_COLUMNS = 0x10000


class TableFlag(IntFlag):
    """Flags of a table's catalog row."""

    NONE = 0
    DERIVED = 0x10000000
    TEMPLATE = 0x20000000
    FIXED_DDL = 0x40000000
    SYSTEM = 0x80000000


FIRST_FIXED_COLUMN = 1
FIRST_VARIABLE_COLUMN = 128
FIRST_TAGGED_COLUMN = 256
LAST_FIXED_COLUMN = 127
LAST_VARIABLE_COLUMN = 255

FIXED_COLUMN_SIZES: dict[ColumnType, int] = {
    ColumnType.BIT: 1,
    ColumnType.UNSIGNED_BYTE: 1,
    ColumnType.SHORT: 2,
    ColumnType.LONG: 4,
    ColumnType.CURRENCY: 8,
    ColumnType.SINGLE: 4,
    ColumnType.DOUBLE: 8,
    ColumnType.DATE_TIME: 8,
    ColumnType.UNSIGNED_LONG: 4,
    ColumnType.LONG_LONG: 8,
    ColumnType.GUID: 16,
    ColumnType.UNSIGNED_SHORT: 2,
}


def page_header_size(page_size: int) -> int:
    """Bytes of a page before its first line."""
    return PAGE_HEADER_SIZE if page_size <= SMALL_PAGE_MAX else LARGE_PAGE_HEADER_SIZE


def page_offset(page_number: int, page_size: int) -> int:
    """File offset of database page ``page_number`` (from 1)."""
    return (page_number + HEADER_PAGES - 1) * page_size


def page_count(file_size_bytes: int, page_size: int) -> int:
    """How many database pages a file of this length holds."""
    return max(0, file_size_bytes // page_size - HEADER_PAGES)


def long_value_chunk_size(page_size: int) -> int:
    """Largest chunk of a separated long value in one node."""
    return page_size - (LONG_VALUE_OVERHEAD if page_size <= SMALL_PAGE_MAX else LARGE_PAGE_LONG_VALUE_OVERHEAD)
