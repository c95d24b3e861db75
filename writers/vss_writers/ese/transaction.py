"""Transactions: one writer at a time, durable with the Commit0 record, undone from before-images.

``async with instance.transaction() as transaction`` commits when the block ends and rolls back when an exception leaves it. The
Begin0 record is written with the first change, so a transaction that only reads leaves no trace. The writer's lock is let go
before the commit record is durable: the next transaction may begin, and commits that wait together share one write of the log.

Sources: published engine, ver.cxx and log.cxx, for the records; the single writer is our simplification.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import LogPosition
from vss_writers.ese.log_records import Begin0, Commit0, Rollback
from vss_writers.ese.page_cleaning import write_behind_if_due

if TYPE_CHECKING:
    from vss_writers.ese.instance import Instance
    from vss_writers.ese.log_stream import LogStream

SESSION = 1
"""Number of the one session that writes."""


class TransactionLog:
    """The log as the buffers see it: it begins the open transaction with its first record."""

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream
        self._pending: Begin0 | None = None
        self.begun_at: LogPosition | None = None

    @property
    def position(self) -> LogPosition:
        """Where the next record will stand."""
        return self._stream.position

    def open(self, number: int) -> None:
        """A transaction begins; its Begin0 is written when needed."""
        self._pending = Begin0(SESSION, number)

    def close(self) -> None:
        """The transaction is over."""
        self._pending = None
        self.begun_at = None

    async def append(self, record: bytes) -> LogPosition:
        """Add a record."""
        if self._pending is not None:
            begin, self._pending = self._pending, None
            self.begun_at = self._stream.position
            self.begun_at = await self._stream.append(begin.pack())
        return await self._stream.append(record)

    async def flush(self, through: LogPosition | None = None) -> None:
        """Make the record at ``through``, or everything, durable."""
        await self._stream.flush(through)


class Transaction:
    """One transaction; see ``Instance.transaction``. It holds the writer's turn while it is open."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.number = 0
        self.is_open = False

    async def __aenter__(self) -> Transaction:
        """Wait for the writer's turn, and while the instance is frozen.

        Raises:
            JetError: ``InstanceUnavailable``, ``LogDiskFull``, or what stopped the log.
        """
        instance = self._instance
        instance.check_running()
        await instance.writer.acquire()
        try:
            instance.check_writable()
        except JetError:
            instance.writer.release()
            raise
        self.number = instance.next_transaction_number()
        instance.log.open(self.number)
        for database in instance.databases:
            database.pages.begin(SESSION, self.number)
        self.is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit, or roll back where an exception leaves the block.

        Raises:
            JetError: ``InvalidLoggedOperation`` where a structure change was left half done and the block went on; the
                transaction is rolled back. What writing the log raised: then nobody knows whether it is committed.
        """
        self.is_open = False
        if kind is not None:
            await self._roll_back()
            return
        if any(database.pages.is_broken for database in self._instance.databases):
            await self._roll_back()
            detail = f"transaction {self.number} was left inside a structure change and is rolled back"
            raise JetError(JetCode.InvalidLoggedOperation, detail)
        position = await self._commit()
        if position is not None:
            await self._instance.stream.flush(position)
            await write_behind_if_due(self._instance)

    def check_open(self) -> None:
        """Refuse a transaction that is over: ``NotInTransaction``."""
        if not self.is_open:
            raise JetError(JetCode.NotInTransaction, f"transaction {self.number} is over")

    async def _commit(self) -> LogPosition | None:
        """Write the commit record and let everybody see the changes; return its position, None where nothing changed."""
        instance = self._instance
        position: LogPosition | None = None
        try:
            if instance.log.begun_at is not None:
                position = await self._append_commit()
            for database in instance.databases:
                database.pages.commit()
        finally:
            self._end()
        return position

    async def _append_commit(self) -> LogPosition:
        try:
            self._instance.check_running()
            return await self._instance.stream.append(Commit0(SESSION, self.number).pack())
        except BaseException:
            self._undo()
            raise

    async def _roll_back(self) -> None:
        instance = self._instance
        try:
            self._undo()
            if instance.log.begun_at is not None and instance.is_open and instance.stream.error is None:
                await instance.stream.append(Rollback(SESSION).pack())
        finally:
            self._end()

    def _undo(self) -> None:
        for database in self._instance.databases:
            database.pages.rollback()

    def _end(self) -> None:
        self._instance.log.close()
        self._instance.writer.release()
