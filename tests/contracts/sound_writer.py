"""A sound writer with everything the contract looks at: data, logs to truncate, work in steps, restores. The bad ones differ
from it in one thing each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from vss.documents import (
    BackupSchema,
    BackupType,
    Component,
    ComponentType,
    FileSpec,
    RestoreMethod,
    RestoreMethodKind,
    SourceType,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.errors import VolumeError, WriterError, WriterRetryableError
from vss.ids import Guid
from vss.plugins.hosts import WriterHost
from vss.roles.writer import Writer, WriterContext
from vss.testing import WriterContract


class SoundWriter(Writer):
    """Operations append to a log and to a table, in two steps; both logs and table are components."""

    writer_class_id = Guid("7b0c6a54-93a5-4d0f-9d0a-4be2ccd1a6e0")
    name = "Sound Writer"

    def __init__(self, host: WriterHost) -> None:
        self.instance_name = host.name
        self.host = host
        self.files = host.files
        self.place = f"D:\\{host.name}"
        self.session_id: Guid | None = None
        self.is_frozen_by: Guid | None = None
        self.may_work = asyncio.Event()
        self.may_work.set()
        self.under_way = 0
        self.at_rest = asyncio.Event()
        self.at_rest.set()

    # -- the application

    async def operate(self, number: int) -> None:
        async with self.at_work():
            await self.append(f"{self.place}\\logs\\{number:06}.log", b"log")
            await self.host.ports.clock.sleep(0.001)
            await self.append(f"{self.place}\\table.db", b"row")

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        await self.may_work.wait()
        self.under_way += 1
        self.at_rest.clear()
        try:
            yield
        finally:
            self.under_way -= 1
            if not self.under_way:
                self.at_rest.set()

    async def append(self, path: str, data: bytes) -> None:
        await self.files.make_directory(path.rpartition("\\")[0])
        handle = await self.files.open(path, write=True, create=True)
        try:
            await handle.pwrite(handle.size_bytes, data)
            await handle.sync()
        finally:
            await handle.close()

    # -- the writer

    async def identify(self) -> WriterMetadata:
        return WriterMetadata(
            writer_id=self.writer_class_id,
            instance_id=self.instance_id,
            instance_name=self.instance_name,
            friendly_name=self.name,
            usage=UsageType.USER_DATA,
            source=SourceType.TRANSACTION_DB,
            backup_schema=BackupSchema.COPY,
            restore_method=RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS),
            components=self.components(),
        )

    def components(self) -> tuple[Component, ...]:
        return (
            Component(ComponentType.FILE_GROUP, "Table", files=(FileSpec(self.place, "*.db"),)),
            Component(ComponentType.FILE_GROUP, "Logs", files=(FileSpec(f"{self.place}\\logs", "*.log"),)),
        )

    async def on_prepare_backup(self, context: WriterContext) -> None:
        if self.session_id is not None:
            raise WriterRetryableError("a backup is under way")
        self.session_id = context.session_id

    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        await self.host.ports.clock.sleep(0.01)

    async def on_freeze(self, context: WriterContext) -> None:
        self.is_frozen_by = context.session_id
        self.may_work.clear()
        await self.at_rest.wait()

    async def on_thaw(self, context: WriterContext) -> None:
        self.thaw(context)

    def thaw(self, context: WriterContext) -> None:
        if self.is_frozen_by == context.session_id:
            self.is_frozen_by = None
            self.may_work.set()

    def forget(self, context: WriterContext) -> None:
        self.thaw(context)
        if self.session_id == context.session_id:
            self.session_id = None

    async def on_post_snapshot(self, context: WriterContext) -> None:
        part = context.components
        if part is not None:
            stamped = tuple(replace(each, backup_stamp=b"stamp") for each in part.components)
            context.set_components(replace(part, components=stamped))

    async def on_abort(self, context: WriterContext) -> None:
        self.forget(context)

    async def on_backup_complete(self, context: WriterContext) -> None:
        is_own = self.session_id == context.session_id
        self.forget(context)  # BackupShutdown may be lost
        part = context.components
        if not is_own or part is None or context.backup_type is BackupType.COPY:
            return
        if len(part.components) == 2 and all(each.backup_succeeded for each in part.components):
            await self.truncate()

    async def truncate(self) -> None:
        logs = f"{self.place}\\logs"
        try:
            for name in (await self.files.list_directory(logs) if await self.files.exists(logs) else [])[:-1]:
                await self.files.remove(f"{logs}\\{name}")
        except VolumeError as error:
            raise WriterError(f"logs could not be truncated: {error.message}") from error

    async def on_backup_shutdown(self, context: WriterContext) -> None:
        self.forget(context)


class SoundContract(WriterContract):
    """The contract of a writer class; ``of`` makes one."""

    writer_class: type[SoundWriter] = SoundWriter

    def make_writer(self, host: WriterHost) -> Writer:
        return self.writer_class(host)

    async def work(self, writer: Any, number: int) -> None:
        await writer.operate(number)

    @classmethod
    def of(cls, writer_class: type[SoundWriter]) -> SoundContract:
        return type(f"Test{writer_class.__name__}", (cls,), {"writer_class": writer_class})()
