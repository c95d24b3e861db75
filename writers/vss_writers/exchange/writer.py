"""The VSS writer of the Exchange-like store: one component per storage group, as Exchange 2007 exposes it.

    Microsoft Exchange Server\\Microsoft Information Store\\SERVER \\ First Storage Group          selectable, no files
        …\\First Storage Group \\ Mailbox Database 1                                            the database file
        …\\First Storage Group \\ Logs                                                          transaction logs, checkpoint

Rules (Exchange developer documentation, "Exchange writer" and "Restoring Exchange databases"): the log is rolled over at
freeze; logs are truncated at BackupComplete only, when the group was reported as successful, for full and incremental backups;
a restore needs the group dismounted and flagged as overwritable. Logs that stand on the volume at a restore are newer than the
set's: they step aside before the files come back and stand over them afterwards, then all are replayed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any
from uuid import UUID

from vss.documents import (
    BackupSchema,
    BackupType,
    Component,
    ComponentType,
    FileRestoreStatus,
    FileSpec,
    FileSpecKind,
    RestoreMethod,
    RestoreMethodKind,
    SelectedComponent,
    SourceType,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.errors import InconsistentSnapshotError, VolumeError, WriterError, WriterRetryableError
from vss.events import ApplicationLogged, LogRolledOver, LogsTruncated
from vss.plugins.hosts import WriterHost
from vss.roles.writer import Writer, WriterContext
from vss_writers.ese.errors import JetError
from vss_writers.ese.instance import Instance
from vss_writers.ese.truncation import SnapshotKind
from vss_writers.exchange.options import parse_options
from vss_writers.exchange.restore_logs import set_logs_aside
from vss_writers.exchange.storage_group import StorageGroup, StoreError

WRITER_CLASS_ID = UUID("76fe1ac4-15f7-4bcd-987e-8e1acb462fb7")
"""The class id that field reports give for the Microsoft Exchange Writer."""

STORE_PATH = "Microsoft Exchange Server\\Microsoft Information Store"
LOGS = "Logs"

_KINDS = {
    BackupType.FULL: SnapshotKind.FULL,
    BackupType.INCREMENTAL: SnapshotKind.INCREMENTAL,
    BackupType.DIFFERENTIAL: SnapshotKind.DIFFERENTIAL,
    BackupType.COPY: SnapshotKind.COPY,
}

_DONE_EVENTS = {"PrepareBackup": 9606, "PrepareSnapshot": 9608, "Freeze": 9610, "Thaw": 9612, "Abort": 9614}
"""Ids of the store's own events for finished steps, as field reports have them."""


class ExchangeWriter(Writer):
    """The writer, and as the lab sees it the application too."""

    writer_class_id = WRITER_CLASS_ID
    name = "Microsoft Exchange Writer"
    freeze_timeout_s = 20.0  # the store thaws itself after 20 s

    def __init__(self, host: WriterHost, group: StorageGroup) -> None:
        """Speak for ``group``."""
        self.group = group
        self.instance_name = group.name
        self._host = host
        self._is_backing_up = False

    # -- the application -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Mount the group; one that cannot be mounted stays down, as a mail server does, and says so in the event log."""
        try:
            await self.group.start()
        except StoreError:
            return

    async def stop(self) -> None:
        """Dismount the group cleanly."""
        await self.group.dismount()

    async def fail(self, reason: str) -> None:
        """A disk is gone: the group goes down without writing."""
        self.group.take_down(reason)

    def describe(self) -> dict[str, Any]:
        """Return JSON-ready facts."""
        return self.group.describe()

    # -- metadata --------------------------------------------------------------------------------------------------------------

    async def identify(self) -> WriterMetadata:
        """Declare the group when it is mounted; a dismounted one declares itself too, so that it can be restored."""
        return WriterMetadata(
            writer_id=self.writer_class_id,
            instance_id=self.instance_id,
            instance_name=self.instance_name,
            friendly_name=self.name,
            usage=UsageType.USER_DATA,
            source=SourceType.TRANSACTION_DB,
            backup_schema=BackupSchema.DIFFERENTIAL | BackupSchema.INCREMENTAL | BackupSchema.COPY,
            restore_method=RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS),
            components=self._components(),
        )

    def _components(self) -> tuple[Component, ...]:
        options = self.group.options
        server = f"{STORE_PATH}\\{self._host.machine_name}"
        inside = f"{server}\\{self.group.name}"
        databases = [
            Component(
                ComponentType.DATABASE,
                name,
                inside,
                files=(FileSpec(options.database_directory, f"{name}.edb", kind=FileSpecKind.DATABASE_FILES),),
                selectable=False,
            )
            for name in options.databases
        ]
        base = options.base_name
        logs = tuple(
            FileSpec(options.log_directory, filespec, kind=FileSpecKind.DATABASE_LOG_FILES)
            for filespec in (f"{base}*.log", f"{base}.chk")
        )
        group = Component(
            ComponentType.FILE_GROUP, self.group.name, server, caption=self.group.name, selectable_for_restore=True
        )
        return (group, *databases, Component(ComponentType.DATABASE, LOGS, inside, files=logs, selectable=False))

    # -- backup ----------------------------------------------------------------------------------------------------------------

    async def on_prepare_backup(self, context: WriterContext) -> None:
        """Refuse what the store cannot back up now."""
        if not self.group.is_mounted:
            raise WriterError(f"storage group '{self.group.name}' is dismounted and cannot be backed up")
        if self._is_backing_up:
            raise WriterRetryableError(f"storage group '{self.group.name}' is being backed up already")
        if context.backup_type not in _KINDS:
            raise WriterError(f"the store supports no backups of type {context.backup_type.name}")
        self._is_backing_up = True
        self._log_done("PrepareBackup")

    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        """Check that the set has every volume of the group, then prepare the engine."""
        options = self.group.options
        for path in (options.database_directory, options.log_directory):
            if not context.is_path_affected(path):
                raise InconsistentSnapshotError(f"the set lacks the volume of {path}")
        try:
            self._running_engine().snapshot.prepare(_KINDS[context.backup_type])
        except JetError as error:
            raise WriterRetryableError(str(error)) from error
        self._log_done("PrepareSnapshot")

    async def on_freeze(self, context: WriterContext) -> None:
        """Roll the log over and stop writing."""
        instance = self._running_engine()
        await _as_veto(instance.snapshot.freeze())
        self._host.ports.emit(LogRolledOver(store=self.group.name, generation=instance.generation))
        self._log_done("Freeze")

    async def on_thaw(self, context: WriterContext) -> None:
        """Go on writing."""
        await _as_veto(self._running_engine().snapshot.thaw())
        self._log_done("Thaw")

    async def on_abort(self, context: WriterContext) -> None:
        """Give the snapshot up, whatever was reached."""
        self._is_backing_up = False
        if self.group.instance is not None:
            await self.group.instance.snapshot.abort()
        self._log_done("Abort")

    async def on_backup_complete(self, context: WriterContext) -> None:
        """Truncate the logs when the group was backed up, and only then."""
        instance = self.group.instance
        if instance is None:
            raise WriterError(f"storage group '{self.group.name}' went down during the backup")
        selected = self._selected(context)
        try:
            if selected is None or selected.backup_succeeded is not True:
                await instance.snapshot.abort()
                self._report_kept("the backup was not reported as successful")
            else:
                await self._truncate(context.backup_type)
        finally:
            self._is_backing_up = False

    async def on_backup_shutdown(self, context: WriterContext) -> None:
        """Forget the session; a snapshot that nobody completed is given up and no log goes."""
        if self._is_backing_up and self.group.instance is not None:
            await self.group.instance.snapshot.abort()
        self._is_backing_up = False

    async def _truncate(self, backup_type: BackupType) -> None:
        async with self.group.engine_at_work() as instance:
            if not _KINDS[backup_type].truncates:
                await instance.snapshot.end(success=True)
                self._report_kept(f"a {backup_type.name.lower()} backup leaves the logs alone")
                return
            plan = (await instance.snapshot.truncate_logs(all_databases_attached=True)).plan
            await instance.snapshot.end(success=True)
        self._host.ports.emit(
            LogsTruncated(
                store=self.group.name,
                removed_first=plan.remove_first,
                removed_last=plan.remove_last,
                removed_count=plan.removed_count,
                kept_first=plan.keep_first,
                kept_last=plan.keep_last,
                reason=plan.reason,
            )
        )

    def _report_kept(self, reason: str) -> None:
        self._host.ports.emit(
            LogsTruncated(
                store=self.group.name,
                removed_first=0,
                removed_last=0,
                removed_count=0,
                kept_first=0,
                kept_last=0,
                reason=reason,
            )
        )

    def _selected(self, context: WriterContext) -> SelectedComponent | None:
        part = context.components
        if part is None:
            return None
        return next((each for each in part.components if each.component_name == self.group.name), None)

    # -- restore ---------------------------------------------------------------------------------------------------------------

    async def on_pre_restore(self, context: WriterContext) -> None:
        """Refuse while files are in use or precious; else move the group's own logs out of the way."""
        group = self.group
        if group.is_mounted:
            raise WriterError(f"storage group '{group.name}' is mounted: dismount it before restoring over it")
        if not group.can_be_overwritten and await self._has_database_files():
            raise WriterError(
                f"the databases of storage group '{group.name}' are not flagged 'can be overwritten by a restore'"
            )
        await set_logs_aside(self._host.files, group.options.log_directory, group.options.base_name)

    async def _has_database_files(self) -> bool:
        options = self.group.options
        return any([await self._host.files.exists(options.database_path(name)) for name in options.databases])

    async def on_post_restore(self, context: WriterContext) -> None:
        """Put the group's own logs over the restored ones, replay, mount; unless more sets are to follow."""
        selected = self._selected(context)
        if selected is None:
            return
        if selected.file_restore_status is not FileRestoreStatus.ALL:
            raise WriterError(
                f"the files of storage group '{self.group.name}' came back with status"
                f" {selected.file_restore_status.name}: it stays dismounted"
            )
        if selected.additional_restores:
            return
        try:
            await self.group.mount()
        except StoreError as error:
            raise WriterError(error.message) from error

    # -- small things ----------------------------------------------------------------------------------------------------------

    def _running_engine(self) -> Instance:
        if self.group.instance is None:
            raise WriterError(f"storage group '{self.group.name}' is down")
        return self.group.instance

    def _log_done(self, step: str) -> None:
        text = f"storage group '{self.group.name}': {step} finished"
        self._host.ports.emit(
            ApplicationLogged(source="MSExchangeIS", event_id=_DONE_EVENTS[step], severity="information", message=text)
        )


async def _as_veto(step: Awaitable[object]) -> None:
    """Await a step of the engine; what it refuses becomes the writer's refusal, worth another attempt."""
    try:
        await step
    except (JetError, VolumeError) as error:
        raise WriterRetryableError(str(error)) from error


def make_exchange_writer(host: WriterHost, options: Mapping[str, Any]) -> ExchangeWriter:
    """Make the writer that ``lab.toml`` describes (the factory registered by the plugin).

    Raises:
        ConfigurationError: an option means nothing; names the key.
    """
    return ExchangeWriter(host, StorageGroup(host, parse_options(host.name, options)))
