"""An attached database: its file, its pages, its tables.

``Database`` is what users of an instance hold. Reading goes by the last commit; changing goes through a transaction. Its header
is written by the instance, at the moments the engine writes it.

Sources: published engine, db.cxx (header fields at attach and detach).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vss_writers.ese.buffer import BufferedPages
from vss_writers.ese.catalog import Catalog
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import NEVER, NO_BACKUP, NOWHERE, LogPosition, LogTime, Signature
from vss_writers.ese.layout import DatabaseState
from vss_writers.ese.log_file import Attachment
from vss_writers.ese.schema import TableDefinition, TableSchema
from vss_writers.ese.table import Row, Table
from vss_writers.ese.transaction import Transaction


class Database:
    """A database attached to an instance. Made by ``Instance.create_database`` and ``attach_database``."""

    def __init__(self, pages: BufferedPages) -> None:
        self.pages = pages
        self.is_attached = True
        self._tables: dict[str, InstanceTable] = {}

    @property
    def path(self) -> str:
        """Path of the file."""
        return self.pages.file.path

    @property
    def dbid(self) -> int:
        """Slot number in the instance."""
        return self.pages.dbid

    @property
    def header(self) -> DatabaseHeader:
        """The header as it is in the file."""
        return self.pages.file.header

    @property
    def signature(self) -> Signature:
        """Identity of the database."""
        return self.header.signature

    def give_up(self, error: JetError) -> None:
        """The instance was abandoned: whoever waits for a page gets ``error``."""
        self.is_attached = False
        self.pages.loading.give_up(error)
        self.pages.file.give_up(error)

    async def table_names(self) -> list[str]:
        """Names of the user's tables, sorted."""
        return await Catalog(self.pages.committed).table_names()

    async def create_table(self, transaction: Transaction, definition: TableDefinition) -> InstanceTable:
        """Create a table; it exists for others once the transaction is committed.

        Raises:
            JetError: ``TableDuplicate`` and what the definition breaks; ``NotInTransaction``.
        """
        self.check(transaction)
        schema = await Catalog(self.pages).create_table(definition)
        return InstanceTable(self, schema)

    async def open_table(self, name: str, transaction: Transaction | None = None) -> InstanceTable:
        """Open a table by name; with a transaction also one that the transaction created.

        Raises:
            JetError: ``ObjectNotFound``.
        """
        if transaction is not None:
            self.check(transaction)
            return InstanceTable(self, await Catalog(self.pages).table(name))
        self.check_attached()
        if name not in self._tables:
            self._tables[name] = InstanceTable(self, await Catalog(self.pages.committed).table(name))
        return self._tables[name]

    def check(self, transaction: Transaction) -> None:
        """Refuse a transaction that is over, and a database that was detached."""
        transaction.check_open()
        self.check_attached()

    def check_attached(self) -> None:
        """Refuse a database that was detached: ``DatabaseNotFound``."""
        if not self.is_attached:
            raise JetError(JetCode.DatabaseNotFound, "it was detached", path=self.path)


class InstanceTable:
    """A table of an attached database. Reads without a transaction see the last commit; with one they see its changes too."""

    def __init__(self, database: Database, schema: TableSchema) -> None:
        self._database = database
        self.schema = schema
        self._committed = Table(database.pages.committed, schema)
        self._changing = Table(database.pages, schema)

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.schema.name

    async def insert(self, transaction: Transaction, values: Mapping[str, Any]) -> bytes:
        """Add a row and return its primary key; raises as ``Table.insert``."""
        self._database.check(transaction)
        return await self._changing.insert(values)

    async def update(self, transaction: Transaction, key: bytes, changes: Mapping[str, Any]) -> bytes:
        """Change columns of a row and return its primary key; raises as ``Table.update``."""
        self._database.check(transaction)
        return await self._changing.update(key, changes)

    async def delete(self, transaction: Transaction, key: bytes) -> None:
        """Remove a row; raises as ``Table.delete``."""
        self._database.check(transaction)
        await self._changing.delete(key)

    async def get(
        self, key: bytes, *, transaction: Transaction | None = None, columns: Sequence[str] | None = None
    ) -> Row | None:
        """The row with this primary key, or None."""
        return await self._table(transaction).get(key, columns)

    def rows(
        self,
        first: bytes = b"",
        stop: bytes | None = None,
        *,
        transaction: Transaction | None = None,
        columns: Sequence[str] | None = None,
    ) -> AsyncIterator[Row]:
        """Rows with ``first`` ≤ primary key < ``stop``, in key order."""
        return self._table(transaction).rows(first, stop, columns)

    async def seek(self, index: str, *values: Any, transaction: Transaction | None = None) -> Row | None:
        """The first row whose index columns begin with ``values``, or None."""
        return await self._table(transaction).seek(index, *values)

    def select(
        self, index: str, *values: Any, transaction: Transaction | None = None, columns: Sequence[str] | None = None
    ) -> AsyncIterator[Row]:
        """All rows whose index columns begin with ``values``, in index order."""
        return self._table(transaction).select(index, *values, columns=columns)

    def range(
        self,
        index: str,
        first: bytes = b"",
        stop: bytes | None = None,
        *,
        transaction: Transaction | None = None,
        columns: Sequence[str] | None = None,
    ) -> AsyncIterator[Row]:
        """Rows with ``first`` ≤ key in ``index`` < ``stop``, in index order; keys come from ``key``."""
        return self._table(transaction).range(index, first, stop, columns)

    def key(self, index: str, *values: Any) -> bytes:
        """Key in ``index`` of the first columns' values."""
        return self._committed.key(index, *values)

    async def last_key(self, *, transaction: Transaction | None = None) -> bytes | None:
        """The greatest primary key, or None in an empty table."""
        return await self._table(transaction).last_key()

    def _table(self, transaction: Transaction | None) -> Table:
        if transaction is None:
            self._database.check_attached()
            return self._committed
        self._database.check(transaction)
        return self._changing


def attached_header(
    header: DatabaseHeader, *, position: LogPosition, time: LogTime, dbid: int, log_signature: Signature, created: LogTime
) -> DatabaseHeader:
    """Header after an attach at ``position``; ``created`` is the creation time of that generation."""
    is_other_stream = header.log_signature != log_signature
    changed = replace(
        header,
        state=DatabaseState.DIRTY_SHUTDOWN,
        attach_position=position,
        attach_time=time,
        detach_position=NOWHERE,
        detach_time=NEVER,
        generation_min_required=position.generation,
        generation_max_required=position.generation,
        generation_max_committed=position.generation,
        generation_max_create_time=created,
        full_current=NO_BACKUP,
        snapshot_current=NO_BACKUP,
        dbid=dbid,
        log_signature=log_signature,
    )
    if is_other_stream:
        changed = replace(
            changed,
            consistent_position=NOWHERE,
            full_previous=NO_BACKUP,
            incremental_previous=NO_BACKUP,
            copy_previous=NO_BACKUP,
            differential_previous=NO_BACKUP,
        )
    return changed


def detached_header(
    header: DatabaseHeader, *, position: LogPosition, time: LogTime, dbtime: int, objid_last: int
) -> DatabaseHeader:
    """Header of a database that was closed cleanly at ``position``."""
    return replace(
        header,
        state=DatabaseState.CLEAN_SHUTDOWN,
        consistent_position=position,
        consistent_time=time,
        detach_position=position,
        detach_time=time,
        generation_min_required=0,
        generation_max_required=0,
        generation_max_committed=0,
        generation_max_create_time=NEVER,
        snapshot_current=NO_BACKUP,
        dbtime=dbtime,
        objid_last=objid_last,
    )


def attachment_of(header: DatabaseHeader, path: str, *, dbtime: int, objid_last: int) -> Attachment:
    """Entry of the attachment list for a database that is attached."""
    return Attachment(
        dbid=header.dbid,
        path=path,
        signature=header.signature,
        dbtime=dbtime,
        objid_last=objid_last,
        attach_position=header.attach_position,
        consistent_position=header.consistent_position,
    )
