"""Whether a database file holds all pages that it owns: what shows that a copy was broken off between two pages.

No page says how many there are, but the tree of owned extents of the database root does, and for what has not reached that tree
on disk, the log: a change of a page, or the entry of an extent that the file has just grown by. In both the file has grown
before the record is written, so in a set taken at one instant, however dirty its database, neither names a page behind the end.
A streaming copy is no such set: it was read over a time in which the database grew; there the page behind the last one tells.
Sources: published engine, space.cxx (owned extents, growing the file), logapi.hxx (records).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vss.roles.verifier import Finding
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import LogPosition, Signature
from vss_writers.ese.keys import big_endian
from vss_writers.ese.layout import PAGE_DATABASE_ROOT, PageFlag, page_offset
from vss_writers.ese.log_page_change import PageChange
from vss_writers.ese.log_reader import LoadedLog
from vss_writers.ese.log_records import ExtendDatabase
from vss_writers.ese.page_operation import InsertNode
from vss_writers.ese.reader import FilePages, ReadAt
from vss_writers.ese.space import SpaceHeader
from vss_writers.exchange.verifier_logs import name_of

_DEPTH_MAX = 16


class LoggedPage(NamedTuple):
    """At this point of a log stream the file of a database held at least so many pages."""

    stream: Signature
    position: LogPosition
    dbid: int
    page_number: int


class DatabaseSize(NamedTuple):
    """A database of the set: what its file holds, and what its tree of owned extents says, 0 where it says nothing."""

    path: str
    header: DatabaseHeader
    page_count: int
    owned: int


def logged_pages(log: LoadedLog) -> Iterator[LoggedPage]:
    """Yield what a log says about the sizes of its databases, of each only what is more than before."""
    highest: dict[int, int] = {}
    growing: dict[int, int] = {}  # the growth itself is logged before it happens
    for position, record in log.records:
        if isinstance(record, ExtendDatabase):
            growing[record.dbid] = record.last_page
        elif isinstance(record, PageChange):
            number = record.operation.page_number
            if record.dbid in growing and _enters(record, growing[record.dbid]):
                number = max(number, growing.pop(record.dbid))
            if number > highest.get(record.dbid, 0):
                highest[record.dbid] = number
                yield LoggedPage(log.header.signature, position, record.dbid, number)


def _enters(change: PageChange, last: int) -> bool:
    """Whether a change enters the extent that ends with page ``last`` into a space tree."""
    operation = change.operation
    return isinstance(operation, InsertNode) and operation.suffix == big_endian(last)[operation.prefix_count :]


async def measure(path: str, read: ReadAt, size_bytes: int, header: DatabaseHeader) -> DatabaseSize:
    """Return the size of a database and how many pages it owns; what cannot be read or understood says nothing here."""
    pages = FilePages(read, size_bytes, header.page_size)
    try:
        owned = await _last_owned(pages)
    except JetError:
        owned = 0
    return DatabaseSize(path, header, pages.page_count, owned)


async def _last_owned(pages: FilePages) -> int:
    """The highest page that the tree of owned extents names, or leads to."""
    root = await pages.read(PAGE_DATABASE_ROOT)
    number = SpaceHeader.unpack(root.external_header).owned_root
    for _ in range(_DEPTH_MAX):
        if number > pages.page_count:
            return number
        page = await pages.read(number)
        if page.objid != root.objid or not page.flags & PageFlag.SPACE_TREE:
            return 0
        if page.is_leaf:
            keys = [page.node(line).key for line in range(page.line_count) if not page.is_deleted(line)]
            return int.from_bytes(keys[-1], "big") if keys and len(keys[-1]) == 4 else 0
        if not page.line_count:
            return 0
        number = page.child(page.line_count - 1)
    return 0


def judge_size(database: DatabaseSize, logged: Iterable[LoggedPage]) -> list[Finding]:
    """Return a finding where the file ends before the last page that the database owns, or that a log of the set changes."""
    header = database.header
    if header.full_current:
        return []
    known = database.owned
    if not header.is_clean:
        known = max(
            known,
            *(
                each.page_number
                for each in logged
                if each.stream == header.log_signature and each.dbid == header.dbid and each.position >= header.attach_position
            ),
            0,
        )
    if known <= database.page_count:
        return []
    first = database.page_count + 1
    return [
        Finding(
            path=database.path,
            code=name_of(JetCode.DatabaseCorrupted),
            message="the file ends before the last page that the database owns",
            page_number=first,
            offset=page_offset(first, header.page_size),
            expected=f"{known} pages",
            found=f"{database.page_count} pages",
        )
    ]
