"""Streaming backup and restore of a storage group, as backup programs did it before shadow copies.

The group goes on working during a backup. A restore has the safeguards of the documents: the group is dismounted, its databases
are flagged "can be overwritten by a restore", logs come back into a folder of their own and never into the log folder, and hard
recovery runs only when the set is said to be the last. The group is not mounted by it.

Sources: Exchange documentation, "restoring with the streaming API", restore.env and "last restore set".
"""

from __future__ import annotations

from vss.errors import BadStateError, VolumeError
from vss_writers.ese.backup_set import RestoreTarget, restore_backup_set, write_backup_set
from vss_writers.ese.errors import JetError
from vss_writers.ese.files import FileSystem
from vss_writers.ese.hard_recovery import HardRecoveryOptions, HardRecoveryReport
from vss_writers.ese.restore_environment import RestoreEnvironment
from vss_writers.ese.truncation import SnapshotKind
from vss_writers.exchange.engine_events import EngineEvents
from vss_writers.exchange.storage_group import StorageGroup, StoreError

RESTORED_LOGS = "_restoredLogs"


async def back_up_streaming(
    group: StorageGroup, target: FileSystem, directory: str, kind: SnapshotKind, *, annotation: str = ""
) -> RestoreEnvironment:
    """Back a mounted group up into ``directory`` of ``target`` and return what its ``restore.env`` says.

    Raises:
        BadStateError: the group is not mounted.
        StoreError: the engine refused or failed.
    """
    guids = {group.options.database_path(name): str(guid) for name, guid in group.directory.databases.items()}
    async with group.engine_at_work() as instance:
        return await write_backup_set(instance, target, directory, kind, annotation=annotation, guids=guids)


async def restore_streaming(
    group: StorageGroup, source: FileSystem, directory: str, *, is_last: bool = True, play_forward: bool = True
) -> HardRecoveryReport | None:
    """Restore a set over a dismounted group; return what hard recovery did, None where more sets are to follow.

    Raises:
        BadStateError: the group is mounted, or its databases may not be overwritten.
        StoreError: the engine refused or failed; the restore can be tried again.
    """
    if group.is_mounted:
        raise BadStateError(f"storage group '{group.name}' is mounted: dismount it before restoring over it")
    if await group.has_precious_files():
        raise BadStateError(f"the databases of storage group '{group.name}' are not flagged 'can be overwritten by a restore'")
    files, log_directory = group.host.files, group.options.log_directory
    temporary = f"{log_directory}\\{RESTORED_LOGS}"
    await group.allow_overwriting()  # what stands there from now on is half a restore
    try:
        report = await restore_backup_set(
            source,
            directory,
            files,
            RestoreTarget(temporary, log_path=log_directory, system_path=log_directory, may_overwrite=True),
            now=group.wall_clock,
            is_last=is_last,
            on_event=EngineEvents(group.host, group.name).take,
            options=HardRecoveryOptions(play_forward=play_forward),
        )
        if report is not None and not await files.list_directory(temporary):
            await files.remove(temporary)
    except JetError as error:
        raise StoreError(f"storage group '{group.name}' cannot be restored: {error}", error.code) from error
    except VolumeError as error:
        raise StoreError(f"storage group '{group.name}' cannot be restored: {error.message}") from error
    return report
