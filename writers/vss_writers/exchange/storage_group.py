"""A storage group: one log stream and its mailbox databases, mounted and dismounted.

Invariants: when a disk under it fails the group takes itself down without writing, as the real store does, and mounting again
recovers; a database whose file is gone is never silently made anew; the group can be restored over only when it is dismounted
and flagged ``can_be_overwritten``. What is done with folders and messages is in ``vss_writers.exchange.mailboxes``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from vss.errors import BadStateError, NotFoundError, VolumeError, VolumeFullError, VssError
from vss.events import ApplicationLogged, DatabaseDismounted, DatabaseMounted, RecoveryFinished
from vss.plugins.hosts import WriterHost
from vss_writers.ese.attached_database import Database, InstanceTable
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import is_out_of_space
from vss_writers.ese.instance import Instance
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.exchange.directory import Directory
from vss_writers.exchange.engine_events import EngineEvents
from vss_writers.exchange.options import StorageGroupOptions
from vss_writers.exchange.restore_logs import put_logs_back
from vss_writers.exchange.schema import TABLES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STORE_DOWN = 9518  # the store's event for a storage group that could not be started or was stopped


class StoreError(VssError):
    """The engine below the store refused or failed; the message carries its own code."""


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
            log_file_size=options.log_file_bytes,
            page_size=options.page_size,
            checkpoint_depth=options.checkpoint_depth_bytes,
            circular=options.circular,
            cache_pages=options.cache_pages,
            computer_name=self.host.machine_name,
            is_out_of_space=lambda error: isinstance(error, VolumeFullError) or is_out_of_space(error),
        )

    def wall_clock(self) -> datetime:
        """The machine's wall clock, as the engine stamps with it."""
        return _EPOCH + timedelta(microseconds=self.host.ports.clock.wall_ns() // 1000)

    # -- mounting --------------------------------------------------------------------------------------------------------------

    @property
    def can_be_overwritten(self) -> bool:
        """Whether a restore may replace the databases; as the directory has it since the last look."""
        return self.directory.can_be_overwritten

    async def start(self) -> None:
        """The machine has booted: mount, unless the administrator wants the group down. Raises as ``mount``."""
        try:
            self.directory = await Directory.read(self.host, self.options.log_directory)
        except (VolumeError, NotFoundError) as error:
            self._log_down(str(error))
            raise StoreError(f"storage group '{self.name}' cannot be started: {error}") from error
        if not self.directory.is_dismounted:
            await self.mount()

    async def keep_dismounted(self, *, can_be_overwritten: bool) -> None:
        """Dismount and stay down over restarts, until ``mount`` or a restore."""
        await self.dismount()
        self.directory = await self.directory.changed(
            self.host, self.options.log_directory, is_dismounted=True, can_be_overwritten=can_be_overwritten
        )

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
                database = self._databases[name] = await self._open(instance, name)
                for definition in TABLES:
                    self._tables[name, definition.name] = await database.open_table(definition.name)
        except (JetError, VolumeError, NotFoundError) as error:
            if instance is not None:
                instance.abandon()
            self._databases.clear()
            self._tables.clear()
            self._log_down(str(error))
            raise StoreError(f"storage group '{self.name}' cannot be mounted: {error}") from error
        self.instance = instance
        if self.directory.is_dismounted or self.directory.can_be_overwritten:
            self.directory = await self.directory.changed(
                self.host, self.options.log_directory, is_dismounted=False, can_be_overwritten=False
            )
        for name in self.options.databases:
            self.host.ports.emit(DatabaseMounted(store=self.name, database=name))

    async def _start_engine(self) -> Instance:
        options = self.options
        for directory in (options.log_directory, options.database_directory):
            await self.host.files.make_directory(directory)
        await put_logs_back(self.host.files, options.log_directory, options.base_name)
        self.directory = await Directory.read(self.host, options.log_directory)
        instance = await Instance.open(
            self.host.files,
            self.parameters,
            now=self.wall_clock,
            random=self.host.ports.random.stream(f"ese:{self.host.name}"),
            on_event=self._events.take,
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

    async def _open(self, instance: Instance, name: str) -> Database:
        path = self.options.database_path(name)
        if name in self.directory.databases:
            return await instance.attach_database(path)
        database = await instance.create_database(path, page_size=self.options.page_size)
        async with instance.transaction() as transaction:
            for definition in TABLES:
                await database.create_table(transaction, definition)
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
        self._log_down(reason)
        self._forget("Dirty Shutdown")

    def _forget(self, state: str) -> None:
        names, self._databases, self._tables, self.instance = list(self._databases), {}, {}, None
        for name in names:
            self.host.ports.emit(DatabaseDismounted(store=self.name, database=name, state=state))

    def _log_down(self, reason: str) -> None:
        text = f"storage group '{self.name}' is down: {reason}"
        self.host.ports.emit(ApplicationLogged(source="MSExchangeIS", event_id=_STORE_DOWN, severity="error", message=text))

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
            if error.code in (JetCode.DiskIO, JetCode.LogWriteFail, JetCode.InstanceUnavailable, JetCode.DiskFull):
                self.take_down(str(error))
            raise StoreError(f"storage group '{self.name}': {error}") from error
        except VolumeError as error:
            self.take_down(str(error))
            raise StoreError(f"storage group '{self.name}': {error.message}") from error

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
            "can_be_overwritten": self.can_be_overwritten,
        }
