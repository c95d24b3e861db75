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
from vss_writers.ese.header import LogPosition
from vss_writers.ese.log_records import Begin0, Commit0, Rollback

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
    """One transaction; see ``Instance.transaction``."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.number = 0
        self.is_open = False

    async def __aenter__(self) -> Transaction:
        """Wait for the writer's turn, and while the instance is frozen."""
        self.number = await self._instance.begin_transaction()
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
            await self._instance.rollback_transaction(self.number)
            return
        if self._instance.is_transaction_broken():
            await self._instance.rollback_transaction(self.number)
            detail = f"transaction {self.number} was left inside a structure change and is rolled back"
            raise JetError(JetCode.InvalidLoggedOperation, detail)
        await self._instance.commit_transaction(self.number)

    def check_open(self) -> None:
        """Refuse a transaction that is over: ``NotInTransaction``."""
        if not self.is_open:
            raise JetError(JetCode.NotInTransaction, f"transaction {self.number} is over")


def commit_record(number: int) -> bytes:
    """Return the packed Commit0 record."""
    return Commit0(SESSION, number).pack()


def rollback_record() -> bytes:
    """Return the packed Rollback record."""
    return Rollback(SESSION).pack()
