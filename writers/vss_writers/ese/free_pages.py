"""Which pages of a database file no table uses: damage there costs nobody a row, and goes with an offline defragmentation.

A page counts as free when the tree of available extents of some table, index or of the database itself lists it, and no page
that is in use points to it. The second condition is for files that are not clean: their space trees may be older than the
pages that they speak of. Where the catalog or a space tree cannot be read, the pages it speaks of do not count as free.

Reads only. Sources: published engine, space.cxx (available extents).
"""

from __future__ import annotations

from collections.abc import Collection

from vss_writers.ese.catalog import all_schemas
from vss_writers.ese.errors import JetError
from vss_writers.ese.layout import PAGE_DATABASE_ROOT
from vss_writers.ese.page import Page
from vss_writers.ese.reader import FilePages, ReadAt
from vss_writers.ese.space import Space


async def find_free_pages(read: ReadAt, size_bytes: int, page_size: int, among: Collection[int]) -> list[int]:
    """Return those of the page numbers ``among`` that no table uses, in order. Damage never raises; only ``read`` may."""
    pages = FilePages(read, size_bytes, page_size)
    available: dict[int, None] = {}
    for root in await _roots(pages):
        available.update(await _available(pages, root))
    candidates = [number for number in sorted(among) if number in available]
    if not candidates:
        return []
    used = await _referred(pages, available)
    return [number for number in candidates if number not in used]


async def _roots(pages: FilePages) -> list[int]:
    """Roots of all trees that own pages; the database's own alone where the catalog cannot be read."""
    roots = [PAGE_DATABASE_ROOT]
    try:
        schemas = await all_schemas(pages)
    except JetError:
        return roots
    for schema in schemas:
        roots += [schema.fdp, *(index.fdp for index in schema.secondary_indexes)]
        if schema.long_value_fdp:
            roots.append(schema.long_value_fdp)
    return roots


async def _available(pages: FilePages, root: int) -> dict[int, None]:
    """Pages that a tree owns and does not use; none where it cannot be told."""
    try:
        extents = await (await Space.open(pages, root)).available()
    except JetError:
        return {}
    return {number: None for each in extents for number in range(each.first, min(each.last, pages.page_count) + 1)}


async def _referred(pages: FilePages, available: Collection[int]) -> dict[int, None]:
    """Pages that another one points to, as its child or its neighbour; what available pages still say does not count."""
    referred: dict[int, None] = {}
    for number in range(1, pages.page_count + 1):
        if number in available:
            continue
        try:
            referred.update(_targets(await pages.read(number)))
        except JetError:
            continue
    return referred


def _targets(page: Page) -> dict[int, None]:
    children = [] if page.is_leaf else [page.child(line) for line in range(page.line_count)]
    return dict.fromkeys((page.previous, page.next, *children))
