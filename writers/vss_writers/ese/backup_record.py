"""What a finished backup leaves behind: records in the log, header fields of the databases in it, positions in the checkpoint.

Sources: published engine, backup.cxx (ErrBKUpdateHdrBackupInfo).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vss_writers.ese.backup_chain import header_changes
from vss_writers.ese.header_values import NEVER, NOWHERE, BackupInfo, LogPosition
from vss_writers.ese.layout import BackupType
from vss_writers.ese.log_records import Backup2, BackupPhase, BackupScope
from vss_writers.ese.truncation import SnapshotKind

if TYPE_CHECKING:
    from vss_writers.ese.attached_database import Database
    from vss_writers.ese.instance import Instance

SCOPES = {
    SnapshotKind.FULL: BackupScope.FULL,
    SnapshotKind.INCREMENTAL: BackupScope.INCREMENTAL,
    SnapshotKind.COPY: BackupScope.COPY,
    SnapshotKind.DIFFERENTIAL: BackupScope.DIFFERENTIAL,
}
"""How the log calls the kinds of backup."""


async def record_backup(
    instance: Instance,
    backed_up: Callable[[], Sequence[Database]],
    backup: BackupInfo,
    *,
    kind: SnapshotKind,
    backup_type: BackupType,
    checkpoint_generation: int,
) -> None:
    """Record a backup of the databases that ``backed_up`` finds once nobody else writes; raises what writing raises."""
    async with instance.writer:
        instance.check_running()
        databases = backed_up()
        for database in databases:
            record = Backup2(BackupPhase.UPDATE, backup_type, SCOPES[kind], database.dbid, backup, database.path)
            await instance.stream.append(record.pack())
        await instance.stream.flush()
        for database in databases:
            await database.pages.file.change_header(**header_changes(kind, backup, backup_type))
        if kind is SnapshotKind.FULL:
            await instance.checkpointer.note_backup(
                full_backup_position=backup.mark,
                full_backup_time=backup.time,
                last_full_backup_checkpoint=LogPosition(checkpoint_generation, 0, 0),
                incremental_backup_position=NOWHERE,
                incremental_backup_time=NEVER,
            )
        elif kind is SnapshotKind.INCREMENTAL:
            await instance.checkpointer.note_backup(
                incremental_backup_position=backup.mark, incremental_backup_time=backup.time
            )
