"""Folders and messages of a storage group's databases.

Invariants: an operation is acknowledged (its coroutine returns) only when its transaction is durable; a message keeps its
number for life and no number is given twice; while the group is frozen operations wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from vss.errors import NotFoundError
from vss_writers.ese.attached_database import InstanceTable
from vss_writers.ese.table import Row
from vss_writers.ese.transaction import Transaction
from vss_writers.exchange.deleted_items import retain
from vss_writers.exchange.schema import COUNTERS, FOLDERS, MESSAGES, NEWEST_FOLDER, NEWEST_MESSAGE
from vss_writers.exchange.storage_group import StorageGroup


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message. ``received_ns`` is wall time; ``content`` the bytes as they came."""

    message_id: int
    folder_id: int
    received_ns: int
    content: bytes
    envelope: bytes = b""

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of one mailbox."""

    folder_id: int
    mailbox: str
    name: str


class Mailboxes:
    """What users and mail servers do with a storage group."""

    def __init__(self, group: StorageGroup) -> None:
        """Work on ``group``, mounted or not."""
        self.group = group

    async def ensure_folder(self, database: str, mailbox: str, name: str) -> int:
        """Return the id of a folder, making it where it is missing."""
        async with self.group.engine_at_work() as instance, instance.transaction() as transaction:
            table = self.group.table(database, FOLDERS.name)
            found = [
                row["FolderId"]
                async for row in table.rows(transaction=transaction)
                if (row["Mailbox"], row["Name"]) == (mailbox, name)
            ]
            if found:
                return int(found[0])
            folder_id = await self._next_number(database, transaction, NEWEST_FOLDER)
            await table.insert(transaction, {"FolderId": folder_id, "Mailbox": mailbox, "Name": name})
        return folder_id

    async def folders(self, database: str) -> list[Folder]:
        """Return the folders of a database, oldest first."""
        async with self.group.engine_at_work():
            rows = self.group.table(database, FOLDERS.name).rows()
            return [Folder(row["FolderId"], row["Mailbox"], row["Name"]) async for row in rows]

    async def deliver(self, database: str, folder_id: int, content: bytes, envelope: bytes = b"") -> int:
        """Store a message and return its number.

        Raises:
            BadStateError: the group is not mounted; nothing was stored.
            StoreError: the engine failed; whether the message was stored is unknown.
        """
        values = {
            "FolderId": folder_id,
            "Received": self.group.host.ports.clock.wall_ns(),
            "Size": len(content),
            "Content": content,
            "Envelope": envelope or None,
        }
        async with self.group.engine_at_work() as instance, instance.transaction() as transaction:
            message_id = await self._next_number(database, transaction, NEWEST_MESSAGE)
            await self.group.table(database, MESSAGES.name).insert(transaction, {"MessageId": message_id, **values})
        return message_id

    async def move(self, database: str, message_id: int, folder_id: int) -> None:
        """Put a message into another folder; ``NotFoundError`` where there is no such message."""
        async with self.group.engine_at_work() as instance, instance.transaction() as transaction:
            table = self.group.table(database, MESSAGES.name)
            row = await self._find(table, database, message_id, transaction)
            await table.update(transaction, row.key, {"FolderId": folder_id})

    async def delete(self, database: str, message_id: int) -> None:
        """Delete a message; where deleted items are retained it can be recovered for a while.

        Raises:
            NotFoundError: there is no such message.
        """
        async with self.group.engine_at_work() as instance, instance.transaction() as transaction:
            table = self.group.table(database, MESSAGES.name)
            row = await self._find(table, database, message_id, transaction)
            if self.group.options.deleted_item_retention_days:
                await retain(self.group, database, row.key, transaction)
            await table.delete(transaction, row.key)

    async def messages(self, database: str) -> AsyncIterator[Message]:
        """Yield the messages of a database, oldest first."""
        async with self.group.engine_at_work():
            async for row in self.group.table(database, MESSAGES.name).rows():
                yield Message(
                    row["MessageId"],
                    row["FolderId"],
                    row["Received"],
                    row.get("Content", b""),
                    row.get("Envelope", b""),
                )

    async def _find(self, table: InstanceTable, database: str, message_id: int, transaction: Transaction) -> Row:
        row = await table.get(table.key("ByMessageId", message_id), transaction=transaction, columns=["MessageId", "FolderId"])
        if row is None:
            raise NotFoundError(f"database '{database}' has no message {message_id}")
        return row

    async def _next_number(self, database: str, transaction: Transaction, counter: int) -> int:
        """Return the next number of a counter, counted in the caller's transaction."""
        table = self.group.table(database, COUNTERS.name)
        key = table.key("ByCounterId", counter)
        row = await table.get(key, transaction=transaction)
        if row is None:
            await table.insert(transaction, {"CounterId": counter, "Value": 1})
            return 1
        number = int(row["Value"]) + 1
        await table.update(transaction, key, {"Value": number})
        return number
