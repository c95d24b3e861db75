"""Express writers: writers that are a document only. What such a document may hold, and reading one.

It has no process behind it, so nothing in it may need an event: file groups only, restore without the writer, no backup type
but full and copy, no recovery of shadow copies, nothing copied aside. Whatever else it holds is refused as not supported.
The vendor forbids the bits of differential, incremental and log backups in the masks of file sets, yet the express writers of
Windows carry the default mask, which has them all; so the default is accepted, and any other mask with one of them is not.
Source: VSS documentation, "IVssCreateExpressWriterMetadata" and its methods; documents written by Windows.
"""

from __future__ import annotations

from collections.abc import Iterator

from vss.documents.model import (
    FILE_SPEC_BACKUP_ALL,
    BackupSchema,
    Component,
    ComponentFlags,
    ComponentType,
    WriterMetadata,
    WriterRestore,
)
from vss.documents.xml_reader import parse_writer_metadata
from vss.errors import UnsupportedError

SCHEMA_ALLOWED = BackupSchema.COPY | BackupSchema.INDEPENDENT_SYSTEM_STATE
FLAGS_FORBIDDEN = ComponentFlags.BACKUP_RECOVERY | ComponentFlags.APP_ROLLBACK_RECOVERY
BACKUP_BITS_FORBIDDEN = 0x2 | 0x4 | 0x8
"""Backup required in a differential, incremental or log backup."""


def load_express_metadata(data: bytes, name: str = "express writer document") -> WriterMetadata:
    """Read the document of an express writer; ``name`` is what messages call it.

    Raises:
        DocumentError: malformed, hostile, or not in the schema; names line and reason.
        UnsupportedError: it needs a writer that runs; names what.
    """
    metadata = parse_writer_metadata(data, name)
    check_express_metadata(metadata)
    return metadata


def check_express_metadata(metadata: WriterMetadata) -> None:
    """Refuse metadata that need a running writer; ``UnsupportedError`` (VSS_E_NOT_SUPPORTED) names all that is wrong."""
    wrong = list(_wrong(metadata))
    if wrong:
        raise UnsupportedError(f"express writer '{metadata.friendly_name}': {'; '.join(wrong)}")


def _wrong(metadata: WriterMetadata) -> Iterator[str]:
    method = metadata.restore_method
    if method is not None and method.writer_restore is not WriterRestore.NEVER:
        yield f"writerRestore is {method.writer_restore.name}, expected NEVER"
    more = metadata.backup_schema & ~SCHEMA_ALLOWED
    if more:
        yield f"backup schema has {more!s}, expected COPY and INDEPENDENT_SYSTEM_STATE at most"
    for component in metadata.components:
        yield from _wrong_in(component)


def _wrong_in(component: Component) -> Iterator[str]:
    path = component.full_path
    if component.type is not ComponentType.FILE_GROUP:
        yield f"component '{path}' is a {component.type.name}, expected FILE_GROUP"
    if component.flags & FLAGS_FORBIDDEN:
        yield f"component '{path}' has flags {component.flags & FLAGS_FORBIDDEN!s}, expected none of recovery"
    for spec in component.files:
        where = f"'{spec.path}' '{spec.filespec}' of component '{path}'"
        if spec.alternate_location:
            yield f"{where} has an alternate path, expected none"
        if spec.backup_type_mask != FILE_SPEC_BACKUP_ALL and spec.backup_type_mask & BACKUP_BITS_FORBIDDEN:
            mask = f"backup type mask {spec.backup_type_mask:#x}"
            yield f"{where} has {mask}, expected no differential, incremental or log backup"
