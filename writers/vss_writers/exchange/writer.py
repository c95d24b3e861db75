"""The VSS writer of the Exchange-like store: one writer instance per storage group, as Exchange 2007 exposes it.

Rules (Exchange developer documentation, "Exchange writer", "Types of backup operations", "Restoring Exchange databases"): the
log is rolled over at freeze; the store thaws itself after 20 s; logs are truncated at BackupComplete only, when the group was
reported as successful, for full and incremental backups; a group that was dismounted in between counts as copied; a restore
needs the group dismounted and flagged as overwritable. Logs that stand on the volume at a restore are newer than the set's:
they step aside before the files come back and follow on them afterwards, then all are replayed.

One deviation: a dismounted group is declared too, and refuses in PrepareBackup. The model leaves it out of its metadata, and a
backup of "everything" then succeeds without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from vss.documents import (
    BackupSchema,
    FileRestoreStatus,
    RestoreMethod,
    RestoreMethodKind,
    SelectedComponent,
    SourceType,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.documents.file_sets import effective_backup_type
from vss.errors import InconsistentSnapshotError, VolumeError, VssError, WriterError, WriterRetryableError
from vss.events import LogRolledOver, LogsTruncated
from vss.plugins.hosts import WriterHost
from vss.roles.writer import Writer, WriterContext
from vss_writers.ese.errors import JetError
from vss_writers.ese.instance import Instance
from vss_writers.ese.snapshot import FREEZE_TIMEOUT_STORE_S
from vss_writers.exchange.backup import KINDS, GroupBackup
from vss_writers.exchange.metadata import components_of, directories_needed
from vss_writers.exchange.operator import operate
from vss_writers.exchange.options import parse_options
from vss_writers.exchange.refusals import as_refusal
from vss_writers.exchange.restore_logs import set_logs_aside
from vss_writers.exchange.storage_group import StorageGroup, StoreError
from vss_writers.exchange.store_log import (
    BACKED_UP_ALREADY,
    BACKUP_FINISHED,
    BACKUP_FINISHED_WITH_ERRORS,
    ENGINE_PREPARED,
    WRITER_STARTED,
    Step,
    StoreLog,
)

WRITER_CLASS_ID = UUID("76fe1ac4-15f7-4bcd-987e-8e1acb462fb7")
"""The class id that field reports give for the Microsoft Exchange Writer."""

BACKUP_SCHEMA = BackupSchema.DIFFERENTIAL | BackupSchema.INCREMENTAL | BackupSchema.COPY
"""What the store supports besides full backups; a log backup counts as full."""


class ExchangeWriter(Writer):
    """The writer, and as the lab sees it the application too."""

    writer_class_id = WRITER_CLASS_ID
    name = "Microsoft Exchange Writer"
    freeze_timeout_s = FREEZE_TIMEOUT_STORE_S

    def __init__(self, host: WriterHost, group: StorageGroup) -> None:
        """Speak for ``group``."""
        self.group = group
        self.instance_name = group.name
        self._host = host
        self._log = StoreLog(host, group.name)
        self._backup: GroupBackup | None = None

    # -- the application -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Mount the group; one that cannot be mounted stays down, as a mail server does, and says so in the event log."""
        self._backup = None  # what was in progress lived in the memory of the process before
        self._log.write(WRITER_STARTED, "the writer has started")
        try:
            await self.group.start()
        except StoreError:
            return

    async def stop(self) -> None:
        """Dismount the group cleanly."""
        await self.group.dismount()

    async def fail(self, reason: str) -> None:
        """A disk is gone: the group goes down without writing; operations that waited for a thaw fail now."""
        self.group.take_down(reason)
        if self._backup is not None:
            await self._backup.give_up()

    def die(self) -> None:
        """The store's process was killed: nothing is written any more, and what was in its memory is gone."""
        if self._backup is not None:
            self._backup.forget()
            self._backup = None
        self.group.take_down("its process died")

    def describe(self) -> dict[str, Any]:
        """Return JSON-ready facts."""
        return self.group.describe()

    async def operate(self, action: str, options: Mapping[str, Any]) -> None:
        """Do what an administrator of the store does; see ``vss_writers.exchange.operator``."""
        await operate(self.group, action, options)

    # -- metadata --------------------------------------------------------------------------------------------------------------

    async def identify(self) -> WriterMetadata:
        """Declare the group, mounted or not."""
        return WriterMetadata(
            writer_id=self.writer_class_id,
            instance_id=self.instance_id,
            instance_name=self.instance_name,
            friendly_name=self.name,
            usage=UsageType.USER_DATA,
            source=SourceType.TRANSACTION_DB,
            backup_schema=BACKUP_SCHEMA,
            restore_method=RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS),
            components=components_of(self._host.machine_name, self.group.options),
        )

    # -- backup ----------------------------------------------------------------------------------------------------------------

    async def on_prepare_backup(self, context: WriterContext) -> None:
        """Refuse what the store cannot back up now."""
        async with self._step(Step.PREPARE_BACKUP):
            instance = self.group.instance
            if instance is None:
                raise WriterError(f"storage group '{self.group.name}' is dismounted and cannot be backed up")
            if self._backup is not None:
                self._log.write(BACKED_UP_ALREADY, "is being backed up already", "error")
                raise WriterRetryableError(f"storage group '{self.group.name}' is being backed up already")
            kind = KINDS.get(effective_backup_type(BACKUP_SCHEMA, context.backup_type))
            if kind is None:
                raise WriterError(f"the store supports no backups of type {context.backup_type.name}")
            self._backup = GroupBackup(
                context.session_id,
                kind,
                instance,
                freeze_limit_s=self.freeze_timeout_s,
                on_failure=self.group.take_down,
            )

    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        """Check that the set has every volume that is needed, then prepare the engine."""
        async with self._step(Step.PREPARE_SNAPSHOT):
            for path in directories_needed(self.group.options, context.backup_type):
                if not context.is_path_affected(path):
                    raise InconsistentSnapshotError(f"the set lacks the volume of {path}")
            backup = self._running_backup(context)
            backup.prepare()
            self._log.write(ENGINE_PREPARED, f"the engine is prepared for a {backup.kind.value} backup")

    async def on_freeze(self, context: WriterContext) -> None:
        """Roll the log over and stop writing."""
        async with self._step(Step.FREEZE):
            backup = self._running_backup(context)
            async with self.group.engine_at_work() as instance:
                await backup.freeze()
            self._host.ports.emit(LogRolledOver(store=self.group.name, generation=instance.generation))

    async def on_thaw(self, context: WriterContext) -> None:
        """Go on writing."""
        async with self._step(Step.THAW):
            if self._own_backup(context).instance is not self.group.instance:
                await self._own_backup(context).give_up()  # operations may still wait on the engine that went down
            backup = self._running_backup(context)
            async with self.group.engine_at_work():
                await backup.thaw()

    async def on_post_snapshot(self, context: WriterContext) -> None:
        """Nothing is changed in the shadow copy: the requestor copies the logs that a restore replays."""
        async with self._step(Step.POST_SNAPSHOT):
            self._running_backup(context)

    async def on_abort(self, context: WriterContext) -> None:
        """Give the snapshot up, whatever was reached."""
        async with self._step(Step.ABORT):
            await self._end(context)

    async def on_backup_complete(self, context: WriterContext) -> None:
        """Truncate the logs when the group was backed up, and only then."""
        async with self._step(Step.BACKUP_COMPLETE):
            try:
                await self._complete(context)
            finally:
                await self._end(context)

    async def on_backup_shutdown(self, context: WriterContext) -> None:
        """Forget the session; a snapshot that nobody completed is given up and no log goes."""
        async with self._step(Step.BACKUP_SHUTDOWN):
            await self._end(context)

    def backup_memory(self, session_id: UUID) -> dict[str, Any] | None:
        """What a thawed snapshot has fixed; nothing where the group went down since, for its engine knew it."""
        backup = self._backup
        if backup is None or backup.session_id != session_id or backup.instance is not self.group.instance:
            return None
        return backup.memory()

    async def recall_backup(self, session_id: UUID, memory: Mapping[str, Any]) -> None:
        """Let the engine that runs now know of the snapshot."""
        instance = self.group.instance
        if instance is None:
            raise WriterError(f"storage group '{self.group.name}' is dismounted")
        self._backup = GroupBackup.recalled(
            session_id, memory, instance, freeze_limit_s=self.freeze_timeout_s, on_failure=self.group.take_down
        )

    async def _complete(self, context: WriterContext) -> None:
        backup = self._own_backup(context)
        selected = self._selected(context)
        if selected is None or selected.backup_succeeded is not True:
            await self._keep_logs("the backup was not reported as successful")
            self._log.write(BACKUP_FINISHED_WITH_ERRORS, "the backup failed, no logs were truncated", "warning")
            return
        if backup.instance is not self.group.instance:
            await self._keep_logs("the storage group was dismounted during the backup, which counts as a copy")
            self._log.write(BACKUP_FINISHED_WITH_ERRORS, "dismounted during the backup, no logs were truncated", "warning")
            return
        async with self.group.engine_at_work() as instance:
            if backup.kind.truncates:
                await self._truncate(instance)
            else:
                await self._keep_logs(f"a {backup.kind.value} backup leaves the logs alone")
            await instance.snapshot.end(success=True)
        self._log.write(BACKUP_FINISHED, "the backup is complete")

    async def _truncate(self, instance: Instance) -> None:
        before = await self.group.closed_generations()
        try:
            result = await instance.snapshot.truncate_logs(all_databases_attached=self.group.has_all_databases)
        except (JetError, VolumeError) as error:
            await self._report_logs(before, str(error))
            raise
        await self._report_logs(before, result.plan.reason)

    async def _keep_logs(self, reason: str) -> None:
        await self._report_logs([], reason)

    async def _report_logs(self, before: list[int], reason: str) -> None:
        """Tell what is on the disk now, and what of ``before`` is not there any more."""
        kept = await self.group.closed_generations()
        removed = [each for each in before if each not in kept]
        self._host.ports.emit(
            LogsTruncated(
                store=self.group.name,
                removed_first=removed[0] if removed else 0,
                removed_last=removed[-1] if removed else 0,
                removed_count=len(removed),
                kept_first=kept[0] if kept else 0,
                kept_last=kept[-1] if kept else 0,
                reason=reason,
            )
        )

    async def _end(self, context: WriterContext) -> None:
        """The session's backup is over; the backup of another session is none of its business."""
        backup = self._backup
        if backup is None or backup.session_id != context.session_id:
            return
        self._backup = None
        try:
            await backup.give_up()
        except (JetError, VolumeError) as error:
            if backup.instance is self.group.instance:
                self.group.take_down(str(error))
            raise

    def _own_backup(self, context: WriterContext) -> GroupBackup:
        backup = self._backup
        if backup is None or backup.session_id != context.session_id:
            raise WriterError(f"storage group '{self.group.name}' is not being backed up by session {context.session_id}")
        return backup

    def _running_backup(self, context: WriterContext) -> GroupBackup:
        """Return the session's backup where the engine that it began on still runs."""
        backup = self._own_backup(context)
        if backup.instance is not self.group.instance:
            raise WriterError(f"storage group '{self.group.name}' went down during the backup")
        return backup

    def _selected(self, context: WriterContext) -> SelectedComponent | None:
        """The storage group in the document; None where the requestor left it out or selects no components."""
        part = context.components
        if part is None:
            return None
        full_path = components_of(self._host.machine_name, self.group.options)[0].full_path.casefold()
        return next((each for each in part.components if each.full_path.casefold() == full_path), None)

    # -- restore ---------------------------------------------------------------------------------------------------------------

    async def on_pre_restore(self, context: WriterContext) -> None:
        """Refuse while files are in use or precious; else move the group's own logs out of the way."""
        group = self.group
        if self._restoring(context) is None:
            return
        if group.is_mounted:
            raise WriterError(f"storage group '{group.name}' is mounted: dismount it before restoring over it")
        if await group.has_precious_files():
            raise WriterError(
                f"the databases of storage group '{group.name}' are not flagged 'can be overwritten by a restore'"
            )
        await set_logs_aside(self._host.files, group.options.log_directory, group.options.base_name)

    async def on_post_restore(self, context: WriterContext) -> None:
        """Let the group's own logs follow on the restored ones, replay, mount; unless more sets are to follow."""
        restored = self._restoring(context)
        if restored is None:
            return
        if restored.file_restore_status is not FileRestoreStatus.NONE:
            await self.group.allow_overwriting()  # until it is mounted: the next set, or another attempt, must not be refused
        if restored.file_restore_status is not FileRestoreStatus.ALL:
            raise WriterError(
                f"the files of storage group '{self.group.name}' came back with status"
                f" {restored.file_restore_status.name}: it stays dismounted"
            )
        if restored.additional_restores:
            return
        try:
            await self.group.mount()
        except StoreError as error:
            raise as_refusal(error) from error

    def _restoring(self, context: WriterContext) -> SelectedComponent | None:
        selected = self._selected(context)
        return selected if selected is not None and selected.selected_for_restore else None

    # -- the event log ---------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _step(self, step: Step) -> AsyncIterator[None]:
        """Log how a step of a backup ends; what the store or its engine raises becomes the writer's refusal."""
        try:
            yield
        except (JetError, VssError, TimeoutError) as error:
            refusal = as_refusal(error)
            self._log.failed(step, refusal.message)
            if refusal is error:
                raise
            raise refusal from error
        self._log.done(step)


def make_exchange_writer(host: WriterHost, options: Mapping[str, Any]) -> ExchangeWriter:
    """Make the writer that ``lab.toml`` describes (the factory registered by the plugin).

    Raises:
        ConfigurationError: an option means nothing; names the key.
    """
    return ExchangeWriter(host, StorageGroup(host, parse_options(host.name, options)))
