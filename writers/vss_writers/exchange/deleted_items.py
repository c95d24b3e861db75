"""Deleted-item retention: messages that were deleted stay recoverable for a number of days, and until a backup has them.

Invariants: a message is in the mailbox or among the deleted items, never in both, never in neither before its time is up; an
item is purged only when its retention is over and, where the group retains items until backup, when a full or incremental
backup of its database that began after the deletion is complete. A group without retention deletes at once.

Sources: Exchange documentation, "deleted item retention" (DeletedItemRetention, RetainDeletedItemsUntilBackup).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC

from vss.errors import NotFoundError
from vss.ports import NANOSECONDS
from vss_writers.ese.header_values import BackupInfo
from vss_writers.ese.transaction import Transaction
from vss_writers.exchange.schema import DELETED_ITEMS, MESSAGES
from vss_writers.exchange.storage_group import StorageGroup

_DAY_S = 86_400
_BATCH = 100
"""Items that one transaction purges."""


@dataclass(frozen=True, slots=True)
class DeletedItem:
    """One retained message; times are wall time."""

    message_id: int
    folder_id: int
    deleted_ns: int
    content: bytes


async def retain(group: StorageGroup, database: str, key: bytes, transaction: Transaction) -> None:
    """Copy a message to the deleted items, in the transaction that deletes it."""
    row = await group.table(database, MESSAGES.name).get(key, transaction=transaction)
    assert row is not None, f"message vanished inside its transaction: {key.hex()}"
    deleted = {**row, "Deleted": group.host.ports.clock.wall_ns()}
    await group.table(database, DELETED_ITEMS.name).insert(transaction, deleted)


class DeletedItems:
    """The deleted items of a storage group's databases."""

    def __init__(self, group: StorageGroup) -> None:
        """Work on ``group``, which retains deleted items."""
        self.group = group

    async def items(self, database: str) -> AsyncIterator[DeletedItem]:
        """Yield what can be recovered, lowest number first."""
        async with self.group.engine_at_work():
            async for row in self.group.table(database, DELETED_ITEMS.name).rows():
                yield DeletedItem(row["MessageId"], row["FolderId"], row["Deleted"], row.get("Content", b""))

    async def recover(self, database: str, message_id: int) -> int:
        """Put a message back where it was deleted and return its folder; ``NotFoundError`` where it is not retained."""
        async with self.group.engine_at_work() as instance, instance.transaction() as transaction:
            deleted = self.group.table(database, DELETED_ITEMS.name)
            row = await deleted.get(deleted.key("ByMessageId", message_id), transaction=transaction)
            if row is None:
                raise NotFoundError(f"database '{database}' retains no deleted message {message_id}")
            message = {name: value for name, value in row.items() if name != "Deleted"}
            await self.group.table(database, MESSAGES.name).insert(transaction, message)
            await deleted.delete(transaction, row.key)
        return int(row["FolderId"])

    async def purge(self, database: str) -> list[int]:
        """Remove for good whatever need not be retained any more; return the numbers of the messages."""
        purged: list[int] = []
        while True:
            async with self.group.engine_at_work() as instance, instance.transaction() as transaction:
                table = self.group.table(database, DELETED_ITEMS.name)
                stop = table.key("ByDeleted", self._purgeable_before_ns(database))
                batch: list[tuple[bytes, int]] = []
                async for row in table.range("ByDeleted", stop=stop, transaction=transaction, columns=["MessageId"]):
                    batch.append((row.key, row["MessageId"]))
                    if len(batch) == _BATCH:
                        break
                for key, _ in batch:
                    await table.delete(transaction, key)
            purged += [message_id for _, message_id in batch]
            if len(batch) < _BATCH:
                return purged

    def _purgeable_before_ns(self, database: str) -> int:
        """Items deleted before this wall time may go."""
        options = self.group.options
        retention_ns = round(options.deleted_item_retention_days * _DAY_S) * NANOSECONDS
        limit_ns = self.group.host.ports.clock.wall_ns() - retention_ns
        if not options.retain_until_backup:
            return limit_ns
        header = self.group.database(database).header
        return min(limit_ns, max(_begun_ns(header.full_previous), _begun_ns(header.incremental_previous)))


def _begun_ns(backup: BackupInfo) -> int:
    """Wall time at which a backup fixed its content, 0 for none; the header keeps whole seconds, rounded down."""
    moment = backup.time.to_datetime() if backup else None
    if moment is None:
        return 0
    return int(moment.replace(tzinfo=UTC).timestamp()) * NANOSECONDS
