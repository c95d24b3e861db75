"""The tables of a mailbox database. No Unicode text is indexed: keys must not depend on a locale.

``Counters`` holds the number given to the newest message, so that the number of a deleted one is never given again.
"""

from __future__ import annotations

from vss_writers.ese.layout import ColumnType
from vss_writers.ese.schema import ColumnDefinition, IndexDefinition, TableDefinition

NEWEST_MESSAGE = 1
NEWEST_FOLDER = 2

COUNTERS = TableDefinition(
    name="Counters",
    columns=(
        ColumnDefinition("CounterId", ColumnType.LONG, not_null=True),
        ColumnDefinition("Value", ColumnType.LONG, not_null=True),
    ),
    indexes=(IndexDefinition("ByCounterId", ("CounterId",), primary=True),),
)

FOLDERS = TableDefinition(
    name="Folders",
    columns=(
        ColumnDefinition("FolderId", ColumnType.LONG, not_null=True),
        ColumnDefinition("Mailbox", ColumnType.TEXT),
        ColumnDefinition("Name", ColumnType.TEXT),
    ),
    indexes=(IndexDefinition("ByFolderId", ("FolderId",), primary=True),),
)

MESSAGES = TableDefinition(
    name="Messages",
    columns=(
        ColumnDefinition("MessageId", ColumnType.LONG, not_null=True),
        ColumnDefinition("FolderId", ColumnType.LONG, not_null=True),
        ColumnDefinition("Received", ColumnType.CURRENCY),
        ColumnDefinition("Size", ColumnType.LONG),
        ColumnDefinition("Envelope", ColumnType.LONG_BINARY),
        ColumnDefinition("Content", ColumnType.LONG_BINARY),
    ),
    indexes=(
        IndexDefinition("ByMessageId", ("MessageId",), primary=True),
        IndexDefinition("ByFolder", ("FolderId", "MessageId")),
    ),
)

DELETED_ITEMS = TableDefinition(
    name="DeletedItems",
    columns=(*MESSAGES.columns, ColumnDefinition("Deleted", ColumnType.CURRENCY)),
    indexes=(
        IndexDefinition("ByMessageId", ("MessageId",), primary=True),
        IndexDefinition("ByDeleted", ("Deleted", "MessageId")),
    ),
)
"""Messages that were deleted and are retained, with the wall time of their deletion (ns)."""

TABLES = (COUNTERS, FOLDERS, MESSAGES)
"""Tables of every mailbox database; a group that retains deleted items has ``DELETED_ITEMS`` besides."""
