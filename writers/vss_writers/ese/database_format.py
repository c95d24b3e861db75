"""A new database: what every file begins with, laid out through any ``PageAccess``.

Sources: published engine, db.cxx and _cat.cxx (pages 1 to 32 of a new database).
"""

from __future__ import annotations

from vss_writers.ese.catalog import Catalog, create_catalog
from vss_writers.ese.layout import (
    OBJID_DATABASE,
    PAGE_DATABASE_ROOT,
    SYSTEM_PAGES,
)
from vss_writers.ese.page_operation import PageAccess
from vss_writers.ese.space import FDP_PAGES, Extent, create_space


async def create_database(access: PageAccess) -> Catalog:
    """Lay out an empty file: database root with its space trees, catalog with its indexes and shadow.

    The access must give out object ids above ``OBJID_LAST_SYSTEM``.
    """
    assert access.page_count == 0, f"database of {access.page_count} pages created anew"
    async with access.macro():
        first = await access.extend(SYSTEM_PAGES)
        assert first == PAGE_DATABASE_ROOT, f"file begins with page {first}"
        root = await create_space(access, Extent(PAGE_DATABASE_ROOT, FDP_PAGES), OBJID_DATABASE, 0)
        # The root owns all system pages; those after its own go to the catalog and its shadow, so none is available.
        await root.own(Extent(FDP_PAGES + 1, SYSTEM_PAGES - FDP_PAGES))
        return await create_catalog(access)
