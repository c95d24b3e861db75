"""Entries of a damaged database, page by page, without trusting any tree: every good leaf is taken for what its object id says.

A key that several pages hold is taken from the page changed last. Pages that are damaged, empty or part of space trees give
nothing. Correctable pages are corrected.

Sources: published engine, repair.cxx (page scan); the choice by dbtime is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vss_writers.ese.checksum import PageVerdict, correct_page, verify_page
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import File
from vss_writers.ese.layout import HEADER_PAGES, PAGE_SIZES, PageFlag, page_count, page_offset
from vss_writers.ese.page import Page

_BATCH_PAGES = 64
_PROBE_PAGES = 64


@dataclass(slots=True)
class Salvage:
    """What a scan found.

    Attributes:
        entries: key to data by object id; of non-unique trees nothing is kept, they can be made anew.
        lost_pages: pages that could not be read.
        corrected_pages: pages with one wrong bit.
    """

    entries: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    lost_pages: list[int] = field(default_factory=list)
    corrected_pages: list[int] = field(default_factory=list)
    _ages: dict[tuple[int, bytes], int] = field(default_factory=dict)

    def take(self, page: Page) -> None:
        """Take the entries of a good leaf; a page whose inside makes no sense counts as lost."""
        skipped = PageFlag.EMPTY | PageFlag.SPACE_TREE | PageFlag.INDEX
        if not page.is_leaf or page.flags & skipped:
            return
        try:
            nodes = [(page.node(line), page.is_deleted(line)) for line in range(page.line_count)]
        except JetError:
            self.lost_pages.append(page.page_number)
            return
        found = self.entries.setdefault(page.objid, {})
        for node, is_deleted in nodes:
            if not is_deleted and self._ages.get((page.objid, node.key), -1) < page.dbtime:
                self._ages[page.objid, node.key] = page.dbtime
                found[node.key] = node.data


async def scan_pages(file: File, page_size: int) -> Salvage:
    """Scan every page of an open file."""
    salvage = Salvage()
    total = page_count(file.size_bytes, page_size)
    for first in range(1, total + 1, _BATCH_PAGES):
        count = min(_BATCH_PAGES, total + 1 - first)
        data = await file.pread(page_offset(first, page_size), count * page_size)
        for place in range(count):
            _take(salvage, data[place * page_size : (place + 1) * page_size], first + place)
    return salvage


def _take(salvage: Salvage, data: bytes, number: int) -> None:
    check = verify_page(data, number)
    if check.verdict is PageVerdict.BLANK:
        return
    if check.verdict is PageVerdict.CORRECTABLE:
        corrected = correct_page(data, check, number)
        if corrected is not None:
            salvage.corrected_pages.append(number)
            data = corrected
            check = verify_page(data, number)
    if check.verdict is PageVerdict.GOOD:
        salvage.take(Page(bytearray(data), number))
    else:
        salvage.lost_pages.append(number)


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
        raise JetError(JetCode.DatabaseCorruptedNoRepair, "neither a header nor a page can be used", path=path)
    return best
