"""The checkpoint file: the log position from which recovery has to start.

Two identical 4096-byte copies, each sealed by itself. The copies are written and synced one after the other, so one of them
is whole after any power loss. Everything before ``position`` is in the database files; that is why headers are written and
synced before the checkpoint moves.

Sources: published engine, log.hxx (CHECKPOINT_FIXED), daedef.hxx.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vss_writers.ese.checksum import xor32
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem
from vss_writers.ese.header_values import NEVER, NOWHERE, LogPosition, LogTime, Signature
from vss_writers.ese.layout import FileType
from vss_writers.ese.log_file import (
    ATTACHMENTS_SIZE,
    DEFAULT_PARAMETERS,
    PARAMETERS_SIZE,
    Attachment,
    EngineParameters,
    pack_attachments,
    unpack_attachments,
)

CHECKPOINT_COPY_SIZE = 4096
_FIXED = struct.Struct(f"<I8s8s28s{PARAMETERS_SIZE}s8s8s8s8sB")
_FILE_TYPE_OFFSET = 667
_ATTACHMENTS_OFFSET = 679

assert _FIXED.size == 648, f"fixed part of the checkpoint has {_FIXED.size} bytes, not 648"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint file says."""

    position: LogPosition
    signature: Signature
    parameters: EngineParameters = DEFAULT_PARAMETERS
    last_full_backup_checkpoint: LogPosition = NOWHERE
    full_backup_position: LogPosition = NOWHERE
    full_backup_time: LogTime = NEVER
    incremental_backup_position: LogPosition = NOWHERE
    incremental_backup_time: LogTime = NEVER
    attachments: tuple[Attachment, ...] = ()

    def pack(self) -> bytes:
        """Return one 4096-byte copy, sealed."""
        page = bytearray(CHECKPOINT_COPY_SIZE)
        _FIXED.pack_into(
            page,
            0,
            0,
            self.last_full_backup_checkpoint.pack(),
            self.position.pack(),
            self.signature.pack(),
            self.parameters.pack(),
            self.full_backup_position.pack(),
            self.full_backup_time.pack(),
            self.incremental_backup_position.pack(),
            self.incremental_backup_time.pack(),
            1,  # version: an attachment list is present
        )
        struct.pack_into("<I", page, _FILE_TYPE_OFFSET, FileType.CHECKPOINT)
        page[_ATTACHMENTS_OFFSET : _ATTACHMENTS_OFFSET + ATTACHMENTS_SIZE] = pack_attachments(self.attachments)
        struct.pack_into("<I", page, 0, xor32(memoryview(page)[4:]))
        return bytes(page)

    @classmethod
    def unpack(cls, page: bytes, *, path: str | None = None) -> Checkpoint:
        """Read one copy.

        Raises:
            JetError: ``CheckpointCorrupt`` for a short page, a wrong checksum or an impossible attachment list.
        """
        if len(page) < CHECKPOINT_COPY_SIZE:
            detail = f"copy of {CHECKPOINT_COPY_SIZE} bytes expected, found {len(page)}"
            raise JetError(JetCode.CheckpointCorrupt, detail, path=path)
        stored, last_full, position, signature, parameters, full, full_time, incremental, incremental_time, version = (
            _FIXED.unpack_from(page)
        )
        computed = xor32(memoryview(page)[4:])
        if stored != computed:
            detail = f"checksum expected {computed:#010x}, found {stored:#010x}"
            raise JetError(JetCode.CheckpointCorrupt, detail, path=path)
        attachments: tuple[Attachment, ...] = ()
        if version:
            try:
                attachments = unpack_attachments(page[_ATTACHMENTS_OFFSET : _ATTACHMENTS_OFFSET + ATTACHMENTS_SIZE])
            except ValueError as error:
                raise JetError(JetCode.CheckpointCorrupt, str(error), path=path) from error
        return cls(
            position=LogPosition.unpack(position),
            signature=Signature.unpack(signature),
            parameters=EngineParameters.unpack(parameters),
            last_full_backup_checkpoint=LogPosition.unpack(last_full),
            full_backup_position=LogPosition.unpack(full),
            full_backup_time=LogTime.unpack(full_time),
            incremental_backup_position=LogPosition.unpack(incremental),
            incremental_backup_time=LogTime.unpack(incremental_time),
            attachments=attachments,
        )


def unpack_checkpoint(data: bytes, *, path: str | None = None) -> Checkpoint:
    """Read a checkpoint file: the first copy, or the second where the first is damaged.

    Raises:
        JetError: ``CheckpointCorrupt`` where neither copy holds.
    """
    try:
        return Checkpoint.unpack(data[:CHECKPOINT_COPY_SIZE], path=path)
    except JetError as first_error:
        try:
            return Checkpoint.unpack(data[CHECKPOINT_COPY_SIZE:], path=path)
        except JetError:
            raise first_error from None  # both copies are bad; the first copy's error is the one that tools print


async def read_checkpoint(files: FileSystem, path: str) -> Checkpoint:
    """Read a checkpoint file.

    Raises:
        JetError: ``CheckpointFileNotFound``, ``CheckpointCorrupt``.
    """
    if not await files.exists(path):
        raise JetError(JetCode.CheckpointFileNotFound, path=path)
    file = await files.open(path)
    try:
        return unpack_checkpoint(await file.pread(0, 2 * CHECKPOINT_COPY_SIZE), path=path)
    finally:
        await file.close()


async def write_checkpoint(files: FileSystem, path: str, checkpoint: Checkpoint) -> None:
    """Write both copies, each made durable before the next begins."""
    page = checkpoint.pack()
    file = await files.open(path, write=True, create=True)
    try:
        for copy in range(2):
            await file.pwrite(copy * CHECKPOINT_COPY_SIZE, page)
            await file.sync()
    finally:
        await file.close()
