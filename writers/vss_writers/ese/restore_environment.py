"""``restore.env``: what a restore into a temporary directory has to know to run hard recovery there, and how far it got.

The vendor's layout is not public; the name is theirs, the layout ours: a first line with a magic word and a CRC-32 of
the rest, which is one JSON object. It is always replaced as a whole, so it is of one moment.

Sources: eseutil documentation, "/cm" (the fields); exchange backup documentation (restore environment).
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem, join_path, read_whole
from vss_writers.ese.header_values import NEVER, NO_BACKUP, BackupInfo, LogTime, Signature

FILE_NAME = "restore.env"
_MAGIC = "ESE-RESTORE-1"
_SIZE_MAX = 1 << 20


class RecoverStatus(Enum):
    """How far hard recovery got."""

    INVALID = "recoverInvalid"
    NOT_STARTED = "recoverNotStarted"
    STARTED = "recoverStarted"
    ENDED = "recoverEnded"


@dataclass(frozen=True, slots=True)
class RestoredFile:
    """One database of a set.

    Attributes:
        name: its display name.
        guid: its identity for people; may be empty.
        source: path it was backed up from.
        destination: path it is restored to.
        signature: its identity in headers and logs.
        patch: name of its patch file in the restore directory, empty where it has none.
    """

    name: str
    guid: str
    source: str
    destination: str
    signature: Signature
    patch: str = ""


@dataclass(frozen=True, slots=True)
class RestoreEnvironment:
    """One ``restore.env``.

    Attributes:
        restore_log_path: the temporary directory: restored logs, patch files and this file.
        base_name: base name of the logs.
        log_signature: identity of the log stream.
        log_file_size: bytes of one generation.
        page_size: of the databases.
        generation_low: first restored generation.
        generation_high: last restored generation.
        databases: what was restored.
        annotation: free text of the backup program.
        server: the computer that was backed up.
        backup_instance: instance that was backed up.
        target_instance: instance whose logs are played afterwards; empty for none.
        target_system_path: directory of that instance's checkpoint.
        target_log_path: directory of that instance's logs.
        backup: mark, time and range of the full or copy backup that the databases are from.
        is_full: whether that backup truncated logs, so that it counts as full.
        restore_time: when the files were put here.
        status: how far hard recovery got.
        error: JET code it ended with, 0 for none.
        recover_time: when it last ended.
    """

    restore_log_path: str
    base_name: str
    log_signature: Signature
    log_file_size: int
    page_size: int
    generation_low: int
    generation_high: int
    databases: tuple[RestoredFile, ...] = ()
    annotation: str = ""
    server: str = ""
    backup_instance: str = ""
    target_instance: str = ""
    target_system_path: str = ""
    target_log_path: str = ""
    backup: BackupInfo = NO_BACKUP
    is_full: bool = False
    restore_time: LogTime = NEVER
    status: RecoverStatus = RecoverStatus.NOT_STARTED
    error: int = 0
    recover_time: LogTime = NEVER

    def pack(self) -> bytes:
        """Return the file."""
        body = json.dumps({name: _plain(getattr(self, name)) for name in self.__slots__}, indent=1).encode()
        return f"{_MAGIC} {zlib.crc32(body):08x}\n".encode() + body

    @classmethod
    def unpack(cls, data: bytes, *, path: str) -> RestoreEnvironment:
        """Read the file.

        Raises:
            JetError: ``InvalidParameter`` where it is none, or damaged.
        """
        line, _, body = data.partition(b"\n")
        expected = f"{_MAGIC} {zlib.crc32(body):08x}".encode()
        if line != expected:
            detail = f"first line expected {expected.decode()!r}, found {line[:40]!r}"
            raise JetError(JetCode.InvalidParameter, f"no restore environment: {detail}", path=path)
        try:
            return _from_plain(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JetError(JetCode.InvalidParameter, f"restore environment: {error!r}", path=path) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Signature | BackupInfo | LogTime):
        return value.pack().hex()
    if isinstance(value, RecoverStatus):
        return value.value
    if isinstance(value, tuple):
        return [{name: _plain(getattr(each, name)) for name in RestoredFile.__slots__} for each in value]
    return value


def _from_plain(fields: dict[str, Any]) -> RestoreEnvironment:
    databases = tuple(
        RestoredFile(
            **{**_checked(RestoredFile, each, "signature"), "signature": Signature.unpack(bytes.fromhex(each["signature"]))}
        )
        for each in fields["databases"]
    )
    packed = ("log_signature", "backup", "restore_time", "recover_time", "status", "databases")
    return RestoreEnvironment(
        **_checked(RestoreEnvironment, fields, *packed),
        log_signature=_unpacked(Signature, fields["log_signature"]),
        backup=_unpacked(BackupInfo, fields["backup"]),
        restore_time=_unpacked(LogTime, fields["restore_time"]),
        recover_time=_unpacked(LogTime, fields["recover_time"]),
        status=RecoverStatus(fields["status"]),
        databases=databases,
    )


_NUMBERS = ("log_file_size", "page_size", "generation_low", "generation_high", "error")


def _checked(kind: type, fields: dict[str, Any], *others: str) -> dict[str, Any]:
    """Plain fields of the right type; ``ValueError`` names a wrong one."""
    names = [name for name in kind.__slots__ if name not in others]  # type: ignore[attr-defined] # dataclasses with slots
    for name in names:
        expected = int if name in _NUMBERS else bool if name == "is_full" else str
        if type(fields[name]) is not expected:
            raise ValueError(f"{name}: {expected.__name__} expected, found {fields[name]!r}")
    return {name: fields[name] for name in names}


def _unpacked(kind: Any, text: str) -> Any:
    data = bytes.fromhex(text)
    size = getattr(kind, "SIZE", 8)
    if len(data) != size:
        raise ValueError(f"{size} bytes expected, found {len(data)}")
    return kind.unpack(data)


async def read_environment(files: FileSystem, directory: str) -> RestoreEnvironment:
    """Read the ``restore.env`` of a directory.

    Raises:
        JetError: ``FileNotFound``; ``InvalidParameter`` where it is damaged.
    """
    path = join_path(directory, FILE_NAME)
    if not await files.exists(path):
        raise JetError(JetCode.FileNotFound, path=path)
    if (await files.stat(path)).size_bytes > _SIZE_MAX:
        raise JetError(JetCode.InvalidParameter, f"a restore environment of more than {_SIZE_MAX} bytes", path=path)
    return RestoreEnvironment.unpack(await read_whole(files, path), path=path)


async def write_environment(files: FileSystem, directory: str, environment: RestoreEnvironment) -> None:
    """Write the ``restore.env`` of a directory: the old one or the new one is there at any time."""
    path = join_path(directory, FILE_NAME)
    temporary = join_path(directory, f"{FILE_NAME}.tmp")
    file = await files.open(temporary, write=True, create=True)
    try:
        await file.truncate(0)
        await file.pwrite(0, environment.pack())
        await file.sync()
    finally:
        await file.close()
    await files.rename(temporary, path)


def with_more_logs(environment: RestoreEnvironment, later: RestoreEnvironment) -> RestoreEnvironment:
    """The environment after another set of the chain was restored into the same directory.

    Raises:
        JetError: ``GivenLogFileHasBadSignature`` for a set of another stream; ``GivenLogFileIsNotContiguous`` where its logs do
            not follow on those that are there.
    """
    path = environment.restore_log_path
    if later.log_signature != environment.log_signature:
        raise JetError(JetCode.GivenLogFileHasBadSignature, "the set is of another log stream", path=path)
    if later.generation_low > environment.generation_high + 1 or later.generation_high < environment.generation_low - 1:
        detail = (
            f"generations {environment.generation_low:#x} to {environment.generation_high:#x} are there,"
            f" the set has {later.generation_low:#x} to {later.generation_high:#x}"
        )
        raise JetError(JetCode.GivenLogFileIsNotContiguous, detail, path=path)
    return replace(
        environment,
        generation_low=min(environment.generation_low, later.generation_low),
        generation_high=max(environment.generation_high, later.generation_high),
        restore_time=later.restore_time,
    )
