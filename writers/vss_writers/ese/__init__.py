"""The store: an ESE database engine with real pages, importable alone.

Here are the words that callers of any part need; the parts themselves are imported from their modules.
"""

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import BackupInfo, LogPosition, LogTime, Signature
from vss_writers.ese.layout import BackupType, ColumnType, DatabaseState
from vss_writers.ese.schema import CODE_PAGE_ASCII, CODE_PAGE_UNICODE, ColumnDefinition, IndexDefinition, TableDefinition

__all__ = [
    "CODE_PAGE_ASCII",
    "CODE_PAGE_UNICODE",
    "BackupInfo",
    "BackupType",
    "ColumnDefinition",
    "ColumnType",
    "DatabaseHeader",
    "DatabaseState",
    "IndexDefinition",
    "JetCode",
    "JetError",
    "LogPosition",
    "LogTime",
    "Signature",
    "TableDefinition",
]
