"""What the tests of the engine's log and instance share: a clock, small parameters, a table, instances on memory files."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from vss_writers.ese.attached_database import Database, InstanceTable
from vss_writers.ese.engine_event import EngineEvent
from vss_writers.ese.files import FileSystem
from vss_writers.ese.header_values import LogPosition, LogTime, Signature
from vss_writers.ese.instance import Instance
from vss_writers.ese.layout import ColumnType
from vss_writers.ese.log_file import EngineParameters, LogHeader
from vss_writers.ese.log_preparation import StreamOwner, StreamParameters
from vss_writers.ese.memory_files import MemoryFileSystem, PowerLossError
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.schema import ColumnDefinition, IndexDefinition, TableDefinition

LOGS = "L:\\logs"
DATABASE = "D:\\DB1.edb"
OTHER_DATABASE = "D:\\DB2.edb"

NOTES = TableDefinition(
    "Notes",
    (
        ColumnDefinition("Id", ColumnType.LONG, not_null=True),
        ColumnDefinition("Body", ColumnType.LONG_BINARY),
    ),
    (IndexDefinition("ById", ("Id",), primary=True),),
)


class Clock:
    """A wall clock that goes one second per look."""

    def __init__(self) -> None:
        self.moment = datetime(2007, 1, 1, 12, 0, 0)  # noqa: DTZ001 - logs hold local times

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


def small_parameters(**changes: Any) -> InstanceParameters:
    """An instance with small logs and pages."""
    values: dict[str, Any] = {
        "log_file_size": 32 * 1024,
        "page_size": 2048,
        "checkpoint_depth": 20_000,
        "cache_pages": 40,
        **changes,
    }
    return InstanceParameters("E00", LOGS, **values)


async def open_instance(
    files: FileSystem,
    parameters: InstanceParameters | None = None,
    *,
    events: list[EngineEvent] | None = None,
    clock: Callable[[], datetime] | None = None,
    **options: Any,
) -> Instance:
    """Open an instance; events are collected where a list is given."""
    collected = [] if events is None else events
    return await Instance.open(
        files,
        parameters or small_parameters(),
        now=clock or Clock(),
        random=random.Random(1),
        on_event=collected.append,
        **options,
    )


async def new_store(
    files: FileSystem, parameters: InstanceParameters | None = None, *, path: str = DATABASE, **options: Any
) -> tuple[Instance, Database, InstanceTable]:
    """An instance with one database and one table."""
    instance = await open_instance(files, parameters, **options)
    database = await instance.create_database(path)
    return instance, database, await add_table(instance, database)


async def add_table(instance: Instance, database: Database) -> InstanceTable:
    """Create the table."""
    async with instance.transaction() as transaction:
        return await database.create_table(transaction, NOTES)


async def reopen(
    files: FileSystem, parameters: InstanceParameters | None = None, *, path: str = DATABASE, **options: Any
) -> tuple[Instance, Database, InstanceTable]:
    """Start again on the same files and attach the database."""
    instance = await open_instance(files, parameters, **options)
    database = await instance.attach_database(path)
    return instance, database, await database.open_table("Notes")


def body(number: int, size: int = 300) -> bytes:
    """Content that differs in every sector, so that no lost sector goes unnoticed."""
    return random.Random(number).randbytes(size)


async def add(instance: Instance, table: InstanceTable, first: int, count: int = 1, size: int = 300) -> None:
    """Insert rows, one transaction each."""
    for number in range(first, first + count):
        async with instance.transaction() as transaction:
            await table.insert(transaction, {"Id": number, "Body": body(number, size)})


async def content(table: InstanceTable) -> dict[int, bytes]:
    """All rows as of the last commit."""
    return {row["Id"]: row["Body"] async for row in table.rows()}


def rows(first: int, count: int, size: int = 300) -> dict[int, bytes]:
    """What ``add`` inserts."""
    return {number: body(number, size) for number in range(first, first + count)}


def event_ids(events: list[EngineEvent]) -> list[int]:
    """Numbers of events, in order."""
    return [event.event_id for event in events]


def is_power_loss(error: BaseException | None) -> bool:
    """Whether an error comes from the power loss, however wrapped."""
    while error is not None:
        if isinstance(error, PowerLossError):
            return True
        error = error.__cause__ or error.__context__
    return False


def stream_parameters(**changes: Any) -> StreamParameters:
    """Parameters of a bare log stream with 16 KB generations."""
    values: dict[str, Any] = {
        "directory": LOGS,
        "base": "E00",
        "signature": Signature(7, LogTime(1, 2, 3, 4, 5, 107), "TEST"),
        "file_size": 16 * 1024,
        "page_size": 2048,
        "engine": EngineParameters(),
        **changes,
    }
    return StreamParameters(**values)


def stream_owner(**changes: Any) -> StreamOwner:
    """An owner that wants nothing."""

    async def nothing(header: LogHeader) -> None:
        """No header to write."""

    values: dict[str, Any] = {
        "now": lambda: LogTime(1, 2, 3, 4, 5, 107),
        "attachments": tuple,
        "checkpoint": LogPosition,
        "on_new_generation": nothing,
        "is_out_of_space": lambda error: isinstance(error, OSError) and error.errno == 28,
        "on_low_space": lambda path: None,
        **changes,
    }
    return StreamOwner(**values)


def memory() -> MemoryFileSystem:
    """Empty files in memory."""
    return MemoryFileSystem()
