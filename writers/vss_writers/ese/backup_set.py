"""A streaming backup set in a directory: writing one from a running instance, and restoring one for hard recovery.

A set holds the copied databases (with trailer), the closed logs, in the older profile the patch files, and a ``restore.env``
that is written as the last: a directory without one is no set. Restoring puts databases where they belong and everything else
into a temporary directory that is none of the production paths. A set of logs only is put beside those of the sets before it;
hard recovery runs once, when the set is said to be the last.

Sources: published engine, backup.cxx; Exchange documentation on restore.env and "last restore set".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from vss_writers.ese.engine_event import EventSink, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem, base_name, directory_name, join_path
from vss_writers.ese.hard_recovery import (
    HardRecoveryOptions,
    HardRecoveryReport,
    check_temporary_path,
    recover_restored,
)
from vss_writers.ese.header_values import LogTime
from vss_writers.ese.instance import Instance
from vss_writers.ese.log_reader import list_logs
from vss_writers.ese.patch_page import patch_name
from vss_writers.ese.restore_environment import (
    FILE_NAME,
    RecoverStatus,
    RestoredFile,
    RestoreEnvironment,
    read_environment,
    with_more_logs,
    write_environment,
)
from vss_writers.ese.streaming import READ_SIZE
from vss_writers.ese.truncation import SnapshotKind


async def write_backup_set(
    instance: Instance,
    target: FileSystem,
    directory: str,
    kind: SnapshotKind = SnapshotKind.FULL,
    *,
    annotation: str = "",
    guids: Mapping[str, str] | None = None,
) -> RestoreEnvironment:
    """Back up an instance into ``directory`` of ``target``; logs are truncated once everything is durable there.

    Args:
        instance: what is backed up.
        target: where the set goes.
        directory: its directory; must be empty or missing.
        kind: full and copy sets hold databases, incremental and differential ones logs only.
        annotation: free text for ``restore.env``.
        guids: identities of databases by path, for ``restore.env``.

    Raises:
        JetError: ``BackupDirectoryNotEmpty``; ``MakeBackupDirectoryFail``; what the streaming interface raises; the backup is
            given up then and no log deleted.
    """
    await _make_empty_directory(target, directory)
    backup = instance.backup
    await backup.begin(kind)
    try:
        names: dict[str, str] = {}
        if not kind.is_incremental:
            for path in backup.databases():
                names[path] = _free_name(base_name(path), names)
                await _copy_out(instance, path, target, join_path(directory, names[path]))
        for path in await backup.log_files():
            name = next((patch_name(names[each]) for each in names if _patch_path(each) == path), base_name(path))
            await _copy_out(instance, path, target, join_path(directory, name))
        await target.sync()
        if kind.truncates:
            await backup.truncate_logs()
        environment = _environment_of(instance, names, annotation, guids or {})
        await write_environment(target, directory, environment)
        await backup.end()
    except BaseException:
        backup.abort()
        raise
    return environment


async def _make_empty_directory(target: FileSystem, directory: str) -> None:
    try:
        await target.make_directory(directory)
        names = await target.list_directory(directory)
    except Exception as error:
        raise JetError(JetCode.MakeBackupDirectoryFail, str(error), path=directory) from error
    if names:
        raise JetError(JetCode.BackupDirectoryNotEmpty, f"found {names[0]}", path=directory)


def _free_name(name: str, taken: Mapping[str, str]) -> str:
    """``name``, with a number in front where two databases in different directories share it."""
    used = [each.casefold() for each in taken.values()]
    number, free = 1, name
    while free.casefold() in used:
        number += 1
        free = f"{number}-{name}"
    return free


def _patch_path(path: str) -> str:
    return join_path(directory_name(path), patch_name(base_name(path)))


async def _copy_out(instance: Instance, path: str, target: FileSystem, copy_path: str) -> None:
    source = await instance.backup.open_file(path)
    page_size = instance.parameters.page_size
    size = max(READ_SIZE, 3 * page_size)
    try:
        copy = await target.open(copy_path, write=True, create=True)
        try:
            while data := await source.read(size):
                await copy.pwrite(source.position - len(data), data)
            await copy.sync()
        finally:
            await copy.close()
    finally:
        source.close()


def _environment_of(
    instance: Instance, names: Mapping[str, str], annotation: str, guids: Mapping[str, str]
) -> RestoreEnvironment:
    parameters, backup = instance.parameters, instance.backup
    databases = [each for each in instance.databases if each.path in names]
    return RestoreEnvironment(
        restore_log_path="",
        base_name=parameters.base_name,
        log_signature=instance.signature,
        log_file_size=parameters.log_file_size,
        page_size=parameters.page_size,
        generation_low=backup.info.generation_low,
        generation_high=backup.info.generation_high,
        databases=tuple(
            RestoredFile(
                name=names[each.path],
                guid=guids.get(each.path, ""),
                source=each.path,
                destination=each.path,
                signature=each.signature,
                patch=patch_name(names[each.path]) if parameters.patch_files else "",
            )
            for each in databases
        ),
        annotation=annotation,
        server=parameters.computer_name,
        backup_instance=parameters.base_name,
        target_instance=parameters.base_name,
        target_system_path=parameters.system_path,
        target_log_path=parameters.log_directory,
        backup=backup.info,
        is_full=backup.kind is SnapshotKind.FULL,
    )


@dataclass(frozen=True, slots=True)
class RestoreTarget:
    """Where a set goes.

    Attributes:
        directory: the temporary directory for logs.
        destinations: new paths of databases by the paths they were backed up from.
        log_path: logs of the instance that goes on with the databases, instead of those the set names.
        system_path: directory of its checkpoint.
        may_overwrite: whether databases that stand there may be replaced.
    """

    directory: str
    destinations: Mapping[str, str] | None = None
    log_path: str | None = None
    system_path: str | None = None
    may_overwrite: bool = False


async def restore_backup_set(
    source: FileSystem,
    set_directory: str,
    files: FileSystem,
    target: RestoreTarget,
    *,
    now: Callable[[], datetime],
    is_last: bool = True,
    on_event: EventSink = ignore_events,
    options: HardRecoveryOptions | None = None,
) -> HardRecoveryReport | None:
    """Restore a set, and run hard recovery where it is the last one of the chain; return what recovery did, else None.

    Raises:
        JetError: ``InvalidParameter`` where the temporary directory is a production path; ``MissingFullBackup`` for a set of
            logs without the databases before it; ``RestoreInProgress`` where hard recovery has begun there, or other databases
            wait there; ``DatabaseDuplicate`` for a database that may not be overwritten; what ``with_more_logs`` and
            ``recover_restored`` raise.
    """
    found = await read_environment(source, set_directory)
    environment = _placed(found, target, LogTime.of(now().replace(tzinfo=None)))
    check_temporary_path(target.directory, environment)
    await files.make_directory(target.directory)
    before = None
    if await files.exists(join_path(target.directory, FILE_NAME)):
        before = await read_environment(files, target.directory)
    merged = _joined(before, environment)
    await _check_destinations(files, environment, target)
    for each in environment.databases:
        await _copy_in(source, join_path(set_directory, each.name), files, each.destination)
        if each.patch:
            await _copy_in(source, join_path(set_directory, each.patch), files, join_path(target.directory, each.patch))
    logs = await list_logs(source, set_directory, environment.base_name)
    for generation in range(environment.generation_low, environment.generation_high + 1):
        path = logs.closed_path(generation)
        await _copy_in(source, path, files, join_path(target.directory, base_name(path)))
    await write_environment(files, target.directory, merged)
    if not is_last:
        return None
    return await recover_restored(files, target.directory, now=now, on_event=on_event, options=options)


def _placed(environment: RestoreEnvironment, target: RestoreTarget, time: LogTime) -> RestoreEnvironment:
    destinations = target.destinations or {}
    return replace(
        environment,
        restore_log_path=target.directory,
        restore_time=time,
        target_log_path=environment.target_log_path if target.log_path is None else target.log_path,
        target_system_path=environment.target_system_path if target.system_path is None else target.system_path,
        databases=tuple(
            replace(each, destination=destinations.get(each.source, each.source)) for each in environment.databases
        ),
    )


def _joined(before: RestoreEnvironment | None, environment: RestoreEnvironment) -> RestoreEnvironment:
    """What ``restore.env`` says with this set added to those that are there."""
    path = environment.restore_log_path
    if before is None:
        if not environment.databases:
            raise JetError(JetCode.MissingFullBackup, "the set holds logs only, and no databases were restored", path=path)
        return environment
    if before.status is not RecoverStatus.NOT_STARTED or environment.databases:
        detail = f"{before.status.value}, {len(before.databases)} databases"
        raise JetError(JetCode.RestoreInProgress, detail, path=path)
    return with_more_logs(before, environment)


async def _check_destinations(files: FileSystem, environment: RestoreEnvironment, target: RestoreTarget) -> None:
    for each in environment.databases:
        if not target.may_overwrite and await files.exists(each.destination):
            raise JetError(JetCode.DatabaseDuplicate, "it may not be overwritten", path=each.destination)


async def _copy_in(source: FileSystem, path: str, files: FileSystem, copy_path: str) -> None:
    """Copy a file of the set; it is durable when this returns.

    Raises:
        JetError: ``MissingRestoreLogFiles`` for a log the set lacks, ``FileNotFound`` for anything else.
    """
    if not await source.exists(path):
        code = JetCode.MissingRestoreLogFiles if path.lower().endswith(".log") else JetCode.FileNotFound
        raise JetError(code, path=path)
    await files.make_directory(directory_name(copy_path))
    original = await source.open(path)
    try:
        copy = await files.open(copy_path, write=True, create=True)
        try:
            await copy.truncate(0)
            for offset in range(0, original.size_bytes, READ_SIZE):
                await copy.pwrite(offset, await original.pread(offset, READ_SIZE))
            await copy.sync()
        finally:
            await copy.close()
    finally:
        await original.close()
