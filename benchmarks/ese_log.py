"""Commits of the store beside SQLite in WAL mode, and how fast logs are replayed.

Both write the same rows, one durable transaction each: ours ends in one fdatasync of the log, SQLite's (``synchronous=FULL``)
in one of its WAL. Rounds are interleaved in one run, on files of the same file system; ``commit_ratio`` is ours over SQLite's
commits per second. Group commit is measured with several tasks that commit at once. Replay starts from a database restored as
it was empty and reads every log: small rows, where the number of records counts, and rows of the size of a mail message, where
bytes do; by the clock and, for a machine that others use, by the processor's time.
``python benchmarks/ese_log.py [ROWS]`` prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

for _shelf in ("", "writers"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / _shelf))

from vss_writers.ese.attached_database import InstanceTable
from vss_writers.ese.files import HostFileSystem
from vss_writers.ese.instance import Instance
from vss_writers.ese.layout import ColumnType
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.recovery import recover
from vss_writers.ese.schema import ColumnDefinition, IndexDefinition, TableDefinition

T = TypeVar("T")
ROWS = 400
ROW_BYTES = 400
MESSAGE_BYTES = 8000
ROUNDS = 5
WRITERS = 8
TABLE = TableDefinition(
    "Rows",
    (ColumnDefinition("Id", ColumnType.LONG, not_null=True), ColumnDefinition("Body", ColumnType.LONG_BINARY)),
    (IndexDefinition("ById", ("Id",), primary=True),),
)


def _moment() -> datetime:
    return datetime(2007, 1, 1)  # noqa: DTZ001 - logs hold local times


def _parameters(directory: Path) -> InstanceParameters:
    return InstanceParameters("E00", str(directory), cache_pages=20_000, checkpoint_depth=1 << 30)


async def _open(directory: Path) -> Instance:
    return await Instance.open(HostFileSystem(), _parameters(directory), now=_moment, random=random.Random(1))


async def _new_table(directory: Path) -> tuple[Instance, InstanceTable]:
    instance = await _open(directory)
    database = await instance.create_database(str(directory / "rows.edb"))
    async with instance.transaction() as transaction:
        return instance, await database.create_table(transaction, TABLE)


async def _insert(instance: Instance, table: InstanceTable, numbers: range, body: bytes) -> None:
    for number in numbers:
        async with instance.transaction() as transaction:
            await table.insert(transaction, {"Id": number, "Body": body})


async def _ours(directory: Path, rows: int, writers: int = 1) -> float:
    instance, table = await _new_table(directory)
    body = random.Random(1).randbytes(ROW_BYTES)
    share = rows // writers
    start = time.perf_counter()
    await asyncio.gather(*(_insert(instance, table, range(w * share, (w + 1) * share), body) for w in range(writers)))
    elapsed = time.perf_counter() - start
    instance.abandon()
    return share * writers / elapsed


def _sqlite(directory: Path, rows: int) -> float:
    connection = sqlite3.connect(directory / "rows.db", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("create table rows (id integer primary key, body blob)")
    body = random.Random(1).randbytes(ROW_BYTES)
    start = time.perf_counter()
    for number in range(rows):
        connection.execute("begin immediate")
        connection.execute("insert into rows values (?, ?)", (number, body))
        connection.execute("commit")
    elapsed = time.perf_counter() - start
    connection.close()
    return rows / elapsed


async def _fill(directory: Path, rows: int, row_bytes: int) -> bytes:
    """Fill a store in long transactions and abandon it; return the database file as it was before."""
    instance, table = await _new_table(directory)
    await instance.detach_database(str(directory / "rows.edb"))
    await instance.attach_database(str(directory / "rows.edb"))
    empty = await instance.files.open(str(directory / "rows.edb"))
    content = await empty.pread(0, empty.size_bytes)
    table = await instance.databases[0].open_table("Rows")
    body = random.Random(1).randbytes(row_bytes)
    for first in range(0, rows, 100):
        async with instance.transaction() as transaction:
            for number in range(first, first + 100):
                await table.insert(transaction, {"Id": number, "Body": body})
    instance.abandon()
    return content


def _replay(directory: Path, rows: int, row_bytes: int) -> dict[str, float]:
    (directory / "rows.edb").write_bytes(asyncio.run(_fill(directory, rows, row_bytes)))
    logs = sum(path.stat().st_size for path in directory.glob("E00*.log"))
    start, processor_start = time.perf_counter(), time.process_time()
    report = asyncio.run(recover(HostFileSystem(), _parameters(directory), now=_moment, random=random.Random(1)))
    elapsed, processor_elapsed = time.perf_counter() - start, time.process_time() - processor_start
    return {
        f"replay_{row_bytes}_mb_per_s": logs / 1e6 / elapsed,
        f"replay_{row_bytes}_mb_per_processor_s": logs / 1e6 / processor_elapsed,
        f"replay_{row_bytes}_records_per_s": report.records_redone / elapsed,
        f"replay_{row_bytes}_log_mb": logs / 1e6,
    }


def _in_new_directory(run: Callable[[Path], T]) -> T:
    directory = Path(tempfile.mkdtemp())
    try:
        return run(directory)
    finally:
        shutil.rmtree(directory)


def measure(rows: int = ROWS) -> Mapping[str, Any]:
    """Return commits per second of both, their ratio, group commit, and replay speed: medians of interleaved rounds."""
    ours: list[float] = []
    theirs: list[float] = []
    grouped: list[float] = []
    replayed: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        ours.append(_in_new_directory(lambda directory: asyncio.run(_ours(directory, rows))))
        theirs.append(_in_new_directory(lambda directory: _sqlite(directory, rows)))
        grouped.append(_in_new_directory(lambda directory: asyncio.run(_ours(directory, rows, WRITERS))))
        replayed.append(
            _in_new_directory(lambda directory: _replay(directory, 20 * rows, ROW_BYTES))
            | _in_new_directory(lambda directory: _replay(directory, 5 * rows, MESSAGE_BYTES))
        )
    return {
        "commits_per_s": median(ours),
        "sqlite_commits_per_s": median(theirs),
        "commit_ratio": median(mine / other for mine, other in zip(ours, theirs, strict=True)),
        "group_commits_per_s": median(grouped),
        "group_commit_ratio": median(mine / other for mine, other in zip(grouped, theirs, strict=True)),
        **{key: median(round_[key] for round_ in replayed) for key in replayed[0]},
    }


if __name__ == "__main__":
    print(json.dumps(measure(*(int(argument) for argument in sys.argv[1:2])), indent=1))
