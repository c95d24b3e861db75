"""What a backup type means beyond the files it selects: who treats it as FULL, which stamps go on to the next document.

"A type a writer's schema lacks is treated as FULL for that writer" (VSS_BACKUP_SCHEMA, VSS_BACKUP_TYPE). COPY needs no bit to
be harmless, so it is not warned of: its files are those of a full backup and the writer is told COPY.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vss.documents import BackupComponents, BackupSchema, BackupType, ComponentType, WriterMetadata
from vss.documents.file_sets import effective_backup_type
from vss.errors import InvalidArgumentError
from vss.ids import Guid
from vss_requestors.component_selection import ChosenWriter


def type_warnings(writers: Sequence[WriterMetadata], backup_type: BackupType) -> list[str]:
    """Return one warning per writer that treats ``backup_type`` as FULL."""
    if backup_type is BackupType.COPY:
        return []
    return [
        f"writer '{writer.friendly_name}' knows no {backup_type.name} backup and treats it as FULL"
        for writer in writers
        if effective_backup_type(writer.backup_schema, backup_type) is not backup_type
    ]


def check_previous(previous: BackupComponents, chosen: Sequence[ChosenWriter], backup_type: BackupType) -> list[str]:
    """Return one warning per stamped component that the earlier backup knows nothing of: it is no base for that one.

    Raises:
        InvalidArgumentError: the earlier backup is no base at all: not FULL or INCREMENTAL; or a writer keeps incremental and
            differential backups apart and the two would be mixed in one chain.
    """
    if previous.backup_type not in (BackupType.FULL, BackupType.INCREMENTAL):
        raise InvalidArgumentError(
            f"the previous document is of a {previous.backup_type.name} backup, expected FULL or INCREMENTAL"
        )
    known = {
        (writer.writer_id, component.full_path.casefold())
        for writer in previous.writers
        for component in writer.components
        if component.backup_stamp
    }
    warnings: list[str] = []
    for each in chosen:
        writer = each.metadata
        is_exclusive = bool(writer.backup_schema & BackupSchema.EXCLUSIVE_INCREMENTAL_DIFFERENTIAL)
        if is_exclusive and {previous.backup_type, backup_type} == {BackupType.INCREMENTAL, BackupType.DIFFERENTIAL}:
            raise InvalidArgumentError(
                f"writer '{writer.friendly_name}' keeps incremental and differential backups apart: "
                f"{backup_type.name} cannot build on {previous.backup_type.name}"
            )
        if writer.backup_schema & BackupSchema.TIMESTAMPED:
            warnings += [
                f"the previous document has no stamp of component '{one.explicit.full_path}' of writer '{writer.friendly_name}'"
                for one in each.sets
                if (writer.writer_id, one.explicit.full_path.casefold()) not in known
            ]
    return warnings


Stamp = tuple[Guid, ComponentType, str, str, bytes]


def previous_stamps(previous: BackupComponents, document: BackupComponents) -> Iterator[Stamp]:
    """Yield the stamp of the earlier backup for every component of ``document`` that has one there."""
    stamps = {
        (writer.writer_id, component.full_path.casefold()): component.backup_stamp
        for writer in previous.writers
        for component in writer.components
    }
    for writer in document.writers:
        for component in writer.components:
            stamp = stamps.get((writer.writer_id, component.full_path.casefold()))
            if stamp:
                yield writer.writer_id, component.type, component.logical_path, component.component_name, stamp
