"""Databases that the tests of the engine's format share: built in memory, with every kind of column and index."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from tests.writers.ese.memory_pages import MemoryPages
from vss_writers.ese.database_format import create_database
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import LogTime, Signature
from vss_writers.ese.layout import ColumnType
from vss_writers.ese.schema import CODE_PAGE_ASCII, ColumnDefinition, IndexDefinition, TableDefinition
from vss_writers.ese.table import Table

T = TypeVar("T")

SIGNATURE = Signature(0x12345678, LogTime(10, 20, 3, 24, 12, 107), "MAILBOX1")
GOLDEN = Path(os.environ.get("VSS_GOLDEN", Path(__file__).parents[3].parent / "shared" / "golden")) / "ese"
GOLDEN_NAMES = ("Current.mdb", "basic.edb", "index.edb", "multi.edb", "qmgr.db")

MESSAGES = TableDefinition(
    "Messages",
    (
        ColumnDefinition("Id", ColumnType.LONG, autoincrement=True),
        ColumnDefinition("Folder", ColumnType.LONG, not_null=True),
        ColumnDefinition("Delivered", ColumnType.LONG_LONG),
        ColumnDefinition("IsRead", ColumnType.BIT),
        ColumnDefinition("Tag", ColumnType.TEXT, code_page=CODE_PAGE_ASCII),
        ColumnDefinition("Subject", ColumnType.TEXT),
        ColumnDefinition("Digest", ColumnType.BINARY),
        ColumnDefinition("Priority", ColumnType.SHORT, is_tagged=True),
        ColumnDefinition("Body", ColumnType.LONG_BINARY),
        ColumnDefinition("Note", ColumnType.LONG_TEXT),
    ),
    (
        IndexDefinition("ById", ("Id",), primary=True),
        IndexDefinition("ByFolder", ("Folder", "Delivered")),
        IndexDefinition("ByTag", ("Tag",), unique=True),
    ),
)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine; the engine's format needs no particular loop."""
    return asyncio.run(main)


class Sample(NamedTuple):
    """A database with its expected content."""

    pages: MemoryPages
    rows: dict[bytes, dict[str, Any]]

    def to_bytes(self) -> bytes:
        """The whole file, cleanly shut down."""
        return self.pages.to_bytes(DatabaseHeader(SIGNATURE))


async def new_table(page_size: int = 8192, definition: TableDefinition = MESSAGES) -> tuple[MemoryPages, Table]:
    """A new database with one table."""
    pages = MemoryPages(page_size)
    catalog = await create_database(pages)
    return pages, Table(pages, await catalog.create_table(definition))


def random_message(stream: random.Random, number: int, *, long_max: int) -> dict[str, Any]:
    """Values of one row; some columns null, some values long."""
    values: dict[str, Any] = {
        "Folder": stream.randrange(12),
        "Delivered": stream.randrange(1 << 40),
        "IsRead": bool(number & 1),
        "Tag": f"tag-{stream.randrange(1 << 60)}",
    }
    if stream.random() < 0.8:
        values["Subject"] = f"Grüße {number}"
    if stream.random() < 0.5:
        values["Digest"] = stream.randbytes(stream.randrange(33))
    if stream.random() < 0.3:
        values["Priority"] = stream.randrange(-5, 5)
    if stream.random() < 0.3:
        # libesedb takes a long value that begins with a byte below 56 for compressed, whatever the record says.
        values["Body"] = bytes(byte | 0x80 for byte in stream.randbytes(stream.choice((1, 900, 1500, long_max))))
    if stream.random() < 0.2:
        values["Note"] = "note " * stream.randrange(1, 300)
    return values


async def build_sample(page_size: int, count: int = 400) -> Sample:
    """Rows inserted, a third deleted again, a sixth changed; long values of up to two chunks."""
    stream = random.Random(page_size)
    pages, table = await new_table(page_size)
    rows: dict[bytes, dict[str, Any]] = {}
    for number in range(1, count + 1):
        values = random_message(stream, number, long_max=2 * (page_size - 82))
        rows[await table.insert(values)] = {**values, "Id": number}
    keys = list(rows)
    stream.shuffle(keys)
    for key in keys[: count // 3]:
        await table.delete(key)
        del rows[key]
    for key in keys[count // 3 : count // 2]:
        changes = {"Folder": stream.randrange(12), "Subject": "changed " * stream.randrange(15), "Body": None}
        await table.update(key, changes)
        rows[key] = {name: value for name, value in {**rows[key], **changes}.items() if value is not None}
    return Sample(pages, rows)


@cache
def sample(page_size: int) -> Sample:
    """The sample of this page size, built once; not to be changed. To be called outside of coroutines."""
    return run(build_sample(page_size))


@cache
def sample_bytes(page_size: int) -> bytes:
    """The file of ``sample``."""
    return sample(page_size).to_bytes()


@cache
def golden(name: str) -> bytes:
    """A database that Windows wrote; skips where the reference files are absent."""
    path = GOLDEN / f"{name}.gz"
    if not path.is_file():
        pytest.skip(f"reference database {name} is not at hand (set VSS_GOLDEN)")
    return gzip.decompress(path.read_bytes())
