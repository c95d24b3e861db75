"""A storage group: one log stream and its mailbox databases, mounted and dismounted.

Invariants: the databases are mounted together or not at all; when a disk under it fails the group takes itself down without
writing, as the real store does, and mounting again recovers; a database whose file is gone is never silently made anew; the
group can be restored over only when it is dismounted and flagged ``can_be_overwritten``. A damaged page fails the operation
that meets it and nothing else; a log disk without room fails every change while reading and backups go on (a full backup makes
room). What is done with folders and messages is in ``vss_writers.exchange.mailboxes``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from vss.errors import BadStateError, NotFoundError, VolumeError, VolumeFullError, VssError
from vss.events import DatabaseDismounted, DatabaseMounted, RecoveryFinished
from vss.plugins.hosts import WriterHost
from vss.ports import no_faults
from vss_writers.ese.attached_database import Database, InstanceTable
from vss_writers.ese.engine_event import EngineEvent
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import is_out_of_space
from vss_writers.ese.instance import Instance
from vss_writers.ese.log_reader import list_logs
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.sites import Work, just_do
from vss_writers.exchange.directory import Directory
from vss_writers.exchange.engine_events import EngineEvents
from vss_writers.exchange.options import StorageGroupOptions
from vss_writers.exchange.restore_logs import put_logs_back
from vss_writers.exchange.schema import DELETED_ITEMS, TABLES
from vss_writers.exchange.store_log import GROUP_DOWN, StoreLog

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FATAL = (JetCode.DiskIO, JetCode.DiskFull, JetCode.LogWriteFail, JetCode.InstanceUnavailable)
"""Errors after which an engine cannot go on."""
_LOG_HALTED = 492
"""The engine's event: nothing is logged any more."""


class StoreError(VssError):
    """The engine below the store refused or failed; ``code`` is its own code, None where a volume failed."""

    def __init__(self, message: str, code: JetCode | None = None) -> None:
        """Say what failed."""
        super().__init__(message)
        self.code = code


class StorageGroup:
    """The application behind the writer. Databases are known by the names in the options."""

    def __init__(self, host: WriterHost, options: StorageGroupOptions) -> None:
        """Prepare a group that is not running."""
        self.options = options
        self.instance: Instance | None = None
        self.directory = Directory()
        self.host = host
        self._databases: dict[str, Database] = {}
        self._tables: dict[tuple[str, str], InstanceTable] = {}
        self._events = EngineEvents(host, options.storage_group)
        self._log = StoreLog(host, options.storage_group)

    @property
    def name(self) -> str:
        """The group's display name."""
        return self.options.storage_group

    @property
    def is_mounted(self) -> bool:
        """Whether the group runs and its databases are mounted."""
        return self.instance is not None

    @property
    def parameters(self) -> InstanceParameters:
        """What the engine is started with."""
        options = self.options
        return InstanceParameters(
            base_name=options.base_name,
            log_directory=options.log_directory,
            system_directory=options.log_directory,
            profile=options.log_profile,
            log_file_size=options.log_file_bytes,
            first_generation=1 if self.directory.databases else options.first_generation,
            page_size=options.page_size,
            checkpoint_depth=options.checkpoint_depth_bytes,
            circular=options.circular,
            cache_pages=options.cache_pages,
            computer_name=self.host.machine_name,
            is_out_of_space=lambda error: isinstance(error, VolumeFullError) or is_out_of_space(error),
            at_site=just_do if self.host.ports.faults is no_faults else self._at_site,
        )

    async def _at_site(self, site: str, work: Work, /, **selectors: str) -> Any:
        return await self.host.ports.faults(site, work, writer=self.host.name, **selectors)

    def wall_clock(self) -> datetime:
        """The machine's wall clock, as the engine stamps with it."""
        return _EPOCH + timedelta(microseconds=self.host.ports.clock.wall_ns() // 1000)

    # -- mounting --------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """The machine has booted: mount, unless the administrator wants the group down. Raises as ``mount``."""
        try:
            self.directory = await Directory.read(self.host, self.options.log_directory)
        except (VolumeError, NotFoundError) as error:
            self._log.write(GROUP_DOWN, f"down: {error}", "error")
            raise StoreError(f"storage group '{self.name}' cannot be started: {error}") from error
        if not self.directory.is_dismounted:
            await self.mount()

    async def keep_dismounted(self, *, can_be_overwritten: bool) -> None:
        """Dismount and stay down over restarts, until ``mount`` or a restore; ``VolumeError`` where that cannot be noted."""
        await self.dismount()
        await self._note(is_dismounted=True, can_be_overwritten=can_be_overwritten)

    async def allow_overwriting(self) -> None:
        """Note that what stands in the databases' places is half a restore; it may be restored over, and is not mounted."""
        await self._note(is_dismounted=True, can_be_overwritten=True)

    async def has_precious_files(self) -> bool:
        """Whether a restore would replace a database that is not flagged ``can_be_overwritten``."""
        self.directory = await Directory.read(self.host, self.options.log_directory)
        if self.directory.can_be_overwritten:
            return False
        paths = [self.options.database_path(name) for name in self.options.databases]
        return any([await self.host.files.exists(path) for path in paths])

    async def _note(self, **changes: Any) -> None:
        """Change the directory as it is on the disk now; the one in memory may be of a disk that was replaced since."""
        await self.host.files.make_directory(self.options.log_directory)
        directory = await Directory.read(self.host, self.options.log_directory)
        self.directory = await directory.changed(self.host, self.options.log_directory, **changes)

    async def mount(self) -> None:
        """Start the engine, recover what is there, and mount every database; a new group gets new databases.

        Raises:
            StoreError: the engine refused (missing or foreign logs, a damaged or lost database); nothing is mounted.
        """
        if self.instance is not None:
            return
        instance: Instance | None = None
        try:
            instance = await self._start_engine()
            for name in self.options.databases:
                await self._open(instance, name)
            if self.directory.is_dismounted or self.directory.can_be_overwritten:
                await self._note(is_dismounted=False, can_be_overwritten=False)
        except (JetError, VolumeError, NotFoundError) as error:
            if instance is not None:
                instance.abandon()
            self._databases.clear()
            self._tables.clear()
            self._log.write(GROUP_DOWN, f"cannot be mounted: {error}", "error")
            code = error.code if isinstance(error, JetError) else None
            raise StoreError(f"storage group '{self.name}' cannot be mounted: {error}", code) from error
        self.instance = instance
        for name in self.options.databases:
            self.host.ports.emit(DatabaseMounted(store=self.name, database=name))

    async def _start_engine(self) -> Instance:
        options = self.options
        for directory in (options.log_directory, options.database_directory):
            await self.host.files.make_directory(directory)
        await self.settle_logs()
        self.directory = await Directory.read(self.host, options.log_directory)
        instance = await Instance.open(
            self.host.files,
            self.parameters,
            now=self.wall_clock,
            random=self.host.ports.random.stream(f"ese:{self.host.name}"),
            on_event=self._take_event,
            databases=[options.database_path(each) for each in options.databases if each in self.directory.databases],
        )
        report = instance.recovery
        if report is not None and report.generation_last:
            self.host.ports.emit(
                RecoveryFinished(
                    store=self.name,
                    kind="soft",
                    generation_first=report.generation_first,
                    generation_last=report.generation_last,
                    records_redone=report.records_redone,
                    records_skipped=report.records_skipped,
                    transactions_undone=report.transactions_undone,
                )
            )
        return instance

    def _take_event(self, event: EngineEvent) -> None:
        self._events.take(event)
        if event.event_id == _LOG_HALTED:  # whoever found it may be nobody of the store's: a backup, an idle moment
            self.take_down("its logs cannot be written any more")

    async def settle_logs(self) -> None:
        """Bring logs that stepped aside for a restore together with the restored ones, as far as they belong together."""
        reason = await put_logs_back(self.host.files, self.options.log_directory, self.options.base_name)
        if reason:
            self._log.write(GROUP_DOWN, f"logs from before the restore are not used: {reason}", "warning")

    async def _open(self, instance: Instance, name: str) -> None:
        """Attach or make one database, with the tables of a mailbox database."""
        database = self._databases[name] = await self._attach_or_create(instance, name)
        there = await database.table_names()
        wanted = (*TABLES, DELETED_ITEMS) if self.options.deleted_item_retention_days else TABLES
        missing = [each for each in wanted if each.name not in there]
        if missing:
            async with instance.transaction() as transaction:
                for definition in missing:
                    await database.create_table(transaction, definition)
        for definition in wanted:
            self._tables[name, definition.name] = await database.open_table(definition.name)

    async def _attach_or_create(self, instance: Instance, name: str) -> Database:
        """A database that the directory does not know is made, unless its file is there: restored, or made before a crash."""
        path = self.options.database_path(name)
        if name in self.directory.databases:
            return await instance.attach_database(path)
        try:
            database = await instance.create_database(path, page_size=self.options.page_size)
        except JetError as error:
            if error.code is not JetCode.DatabaseDuplicate:
                raise
            database = await instance.attach_database(path)
        self.directory = await self.directory.with_database(self.host, self.options.log_directory, name)
        return database

    async def dismount(self) -> None:
        """Dismount every database cleanly and stop the engine. Harmless when it is not running."""
        instance = self.instance
        if instance is None:
            return
        try:
            await instance.close()
        except (JetError, VolumeError) as error:
            self.take_down(str(error))
            return
        self._forget("Clean Shutdown")

    def take_down(self, reason: str) -> None:
        """A disk under the group failed: stop at once, write nothing more. Harmless when it is not running."""
        if self.instance is None:
            return
        self.instance.abandon()
        self._log.write(GROUP_DOWN, f"down: {reason}", "error")
        self._forget("Dirty Shutdown")

    def _forget(self, state: str) -> None:
        names, self._databases, self._tables, self.instance = list(self._databases), {}, {}, None
        for name in names:
            self.host.ports.emit(DatabaseDismounted(store=self.name, database=name, state=state))

    # -- at work ---------------------------------------------------------------------------------------------------------------

    def table(self, database: str, table: str) -> InstanceTable:
        """Return a table of a mounted database.

        Raises:
            NotFoundError: the group has no such database.
            BadStateError: it is not mounted.
        """
        if database not in self.options.databases:
            known = ", ".join(self.options.databases)
            raise NotFoundError(f"storage group '{self.name}' has no database '{database}': found {known}")
        if (database, table) not in self._tables:
            raise BadStateError(f"database '{database}' is not mounted")
        return self._tables[database, table]

    @asynccontextmanager
    async def engine_at_work(self) -> AsyncIterator[Instance]:
        """Hand out the engine; what it cannot survive takes the group down.

        Raises:
            BadStateError: the group is not mounted.
            StoreError: the engine refused or failed.
        """
        instance = self.instance
        if instance is None:
            raise BadStateError(f"storage group '{self.name}' is not mounted")
        try:
            yield instance
        except JetError as error:
            if error.code in _FATAL or instance.stream.error is not None:
                self._take_down_if_running(instance, str(error))
            raise StoreError(f"storage group '{self.name}': {error}", error.code) from error
        except VolumeError as error:
            self._take_down_if_running(instance, error.message)
            raise StoreError(f"storage group '{self.name}': {error.message}") from error

    def _take_down_if_running(self, instance: Instance, reason: str) -> None:
        """An operation failed; where its engine has been replaced meanwhile, the new one is none of its business."""
        if instance is self.instance:
            self.take_down(reason)

    async def idle(self) -> None:
        """The store has had nothing to do for a while: the engine writes changed pages. Harmless when it is not running."""
        if self.instance is not None:
            async with self.engine_at_work() as instance:
                await instance.idle()

    def database(self, name: str) -> Database:
        """Return a mounted database; raises as ``table``."""
        self.table(name, TABLES[0].name)
        return self._databases[name]

    # -- for backups -----------------------------------------------------------------------------------------------------------

    @property
    def has_all_databases(self) -> bool:
        """Whether every database that ever used this log stream is mounted: one that is not may still need old logs."""
        return all(name in self._databases for name in self.directory.databases)

    async def closed_generations(self) -> list[int]:
        """Return the closed log generations that are really on the disk, lowest first; none where the disk cannot be read."""
        try:
            logs = await list_logs(self.host.files, self.options.log_directory, self.options.base_name)
        except (VolumeError, NotFoundError):
            return []
        return sorted(logs.archived)

    def describe(self) -> dict[str, Any]:
        """Return JSON-ready facts."""
        instance = self.instance
        return {
            "storage_group": self.name,
            "databases": [
                {
                    "name": name,
                    "path": self.options.database_path(name),
                    "state": "mounted" if name in self._databases else "dismounted",
                }
                for name in self.options.databases
            ],
            "log_directory": self.options.log_directory,
            "generation": instance.generation if instance is not None else 0,
            "checkpoint": str(instance.checkpoint) if instance is not None else "",
            "can_be_overwritten": self.directory.can_be_overwritten,
            "page_writes": instance.page_writes.as_dict() if instance is not None else {},
        }
