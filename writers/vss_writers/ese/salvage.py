"""Entries of a damaged database, page by page, without trusting any tree: every good leaf is taken for what its object id says.

A key that several pages hold is taken from the page changed last. Pages that are damaged, empty or part of space trees give
nothing. Correctable pages are corrected. Only the whole scan tells which copy of an entry is the newest: they are sorted, by
way of a file, and then stand there by object id and key.

Sources: published engine, repair.cxx (page scan); the choice by dbtime is ours.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from vss_writers.ese.checksum import PageVerdict, correct_page, verify_page
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.external_sort import Entries, Run, Sorter, SpillFile
from vss_writers.ese.files import File
from vss_writers.ese.layout import HEADER_PAGES, PAGE_SIZES, PageFlag, page_count, page_offset
from vss_writers.ese.page import Page

_BATCH_PAGES = 64
_PROBE_PAGES = 64
_OBJID = struct.Struct(">I")
_RANK = struct.Struct(">QI")
"""How old a copy is and which page holds it: the newest sorts first, among equally old ones the first page."""
_DBTIME_MAX = (1 << 64) - 1


@dataclass(slots=True)
class Salvage:
    """What a scan found.

    Attributes:
        spill: the file that holds the entries.
        runs: where the entries of each object id are; of non-unique trees nothing is kept, they can be made anew.
        lost_pages: pages that could not be read.
        corrected_pages: pages with one wrong bit.
    """

    spill: SpillFile
    runs: dict[int, Run] = field(default_factory=dict)
    lost_pages: list[int] = field(default_factory=list)
    corrected_pages: list[int] = field(default_factory=list)

    async def entries(self, objid: int) -> Entries:
        """Entries of one object id, in key order, each key once; none where nothing was found."""
        if objid in self.runs:
            async for entry in self.spill.read_run(self.runs[objid]):
                yield entry

    async def take(self, page: Page, sorter: Sorter) -> None:
        """Take the entries of a good leaf; a page whose inside makes no sense counts as lost."""
        skipped = PageFlag.EMPTY | PageFlag.SPACE_TREE | PageFlag.INDEX
        if not page.is_leaf or page.flags & skipped:
            return
        try:
            nodes = [page.node(line) for line in range(page.line_count) if not page.is_deleted(line)]
        except JetError:
            self.lost_pages.append(page.page_number)
            return
        objid, rank = _OBJID.pack(page.objid), _RANK.pack(_DBTIME_MAX - page.dbtime, page.page_number)
        for node in nodes:
            await sorter.add(objid + node.key, rank + node.data)

    async def settle(self, sorter: Sorter) -> None:
        """Keep the newest copy of everything that was taken."""
        entries = sorter.entries()
        head = await anext(entries, None)
        while head is not None:
            group = _Group(head, entries)
            self.runs[group.objid] = await self.spill.write_run(group.newest())
            head = group.head


class _Group:
    """The entries of one object id within a sorted stream; afterwards ``head`` is the first one of the next, if any."""

    def __init__(self, head: tuple[bytes, bytes], rest: Entries) -> None:
        self.objid = _OBJID.unpack_from(head[0])[0]
        self.head: tuple[bytes, bytes] | None = head
        self._rest = rest

    async def newest(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Keys without the object id and the newest data of each."""
        objid = _OBJID.pack(self.objid)
        last: bytes | None = None
        while self.head is not None and self.head[0].startswith(objid):
            key, data = self.head
            if key != last:
                yield key[_OBJID.size :], data[_RANK.size :]
            last = key
            self.head = await anext(self._rest, None)


async def scan_pages(file: File, page_size: int, spill: SpillFile) -> Salvage:
    """Scan every page of an open file."""
    salvage = Salvage(spill)
    sorter = Sorter(spill)
    total = page_count(file.size_bytes, page_size)
    for first in range(1, total + 1, _BATCH_PAGES):
        count = min(_BATCH_PAGES, total + 1 - first)
        data = await file.pread(page_offset(first, page_size), count * page_size)
        for place in range(count):
            page = _good_page(salvage, data[place * page_size : (place + 1) * page_size], first + place)
            if page is not None:
                await salvage.take(page, sorter)
    await salvage.settle(sorter)
    sorter.drop()
    return salvage


def _good_page(salvage: Salvage, data: bytes, number: int) -> Page | None:
    check = verify_page(data, number)
    if check.verdict is PageVerdict.CORRECTABLE:
        corrected = correct_page(data, check, number)
        if corrected is not None:
            salvage.corrected_pages.append(number)
            data = corrected
            check = verify_page(data, number)
    if check.verdict is PageVerdict.GOOD:
        return Page(bytearray(data), number)
    if check.verdict is not PageVerdict.BLANK:
        salvage.lost_pages.append(number)
    return None


async def guess_page_size(file: File, path: str) -> int:
    """Page size of a file whose headers are both damaged: the one with which most of the first pages are good.

    Raises:
        JetError: ``DatabaseCorruptedNoRepair`` where no page is good with any.
    """
    best, best_count = 0, 0
    for size in PAGE_SIZES:
        data = await file.pread(HEADER_PAGES * size, _PROBE_PAGES * size)
        pages = range(len(data) // size)
        good = sum(verify_page(data[at * size : (at + 1) * size], at + 1).verdict is PageVerdict.GOOD for at in pages)
        if good > best_count:
            best, best_count = size, good
    if not best:
        text = (
            f"a header or a page with a good checksum expected, found neither: {file.size_bytes} bytes,"
            f" page sizes of {', '.join(map(str, PAGE_SIZES))} were tried on the first {_PROBE_PAGES} pages"
        )
        raise JetError(JetCode.DatabaseCorruptedNoRepair, text, path=path)
    return best
