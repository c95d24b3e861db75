"""What the store declares: one selectable component per storage group, its files in components below it.

    Microsoft Exchange Server\\Microsoft Information Store\\SERVER \\ First Storage Group          selectable, no files
        …\\First Storage Group \\ Mailbox Database 1                                            the database file
        …\\First Storage Group \\ Logs                                                          transaction logs, checkpoint

Database files belong to full and copy backups; incremental and differential ones take logs and checkpoint only, and need no
shadow copy of the databases' volume. Sources: Exchange developer documentation, "Exchange writer"; VSS documentation,
"VSS_FILE_SPEC_BACKUP_TYPE" (a copy counts as full).
"""

from __future__ import annotations

from vss.documents import BackupType, Component, ComponentType, FileSpec, FileSpecKind
from vss_writers.exchange.options import StorageGroupOptions

STORE_PATH = "Microsoft Exchange Server\\Microsoft Information Store"
LOGS = "Logs"

_IN_FULL_BACKUPS = 0x101
"""FULL_BACKUP_REQUIRED and FULL_SNAPSHOT_REQUIRED."""


def components_of(machine_name: str, options: StorageGroupOptions) -> tuple[Component, ...]:
    """Return the components of a storage group, the selectable one first."""
    server = f"{STORE_PATH}\\{machine_name}"
    inside = f"{server}\\{options.storage_group}"
    base = options.base_name
    logs = tuple(
        FileSpec(options.log_directory, filespec, kind=FileSpecKind.DATABASE_LOG_FILES)
        for filespec in (f"{base}*.log", f"{base}.chk")
    )
    return (
        Component(
            ComponentType.FILE_GROUP, options.storage_group, server, caption=options.storage_group, selectable_for_restore=True
        ),
        *(_database(name, inside, options.database_directory) for name in options.databases),
        Component(ComponentType.DATABASE, LOGS, inside, files=logs, selectable=False),
    )


def _database(name: str, logical_path: str, directory: str) -> Component:
    file = FileSpec(directory, f"{name}.edb", kind=FileSpecKind.DATABASE_FILES, backup_type_mask=_IN_FULL_BACKUPS)
    return Component(ComponentType.DATABASE, name, logical_path, files=(file,), selectable=False)


def directories_needed(options: StorageGroupOptions, backup_type: BackupType) -> tuple[str, ...]:
    """Return the directories whose volumes a backup of this type needs in its shadow copy set."""
    if backup_type in (BackupType.INCREMENTAL, BackupType.DIFFERENTIAL):
        return (options.log_directory,)
    return options.database_directory, options.log_directory
