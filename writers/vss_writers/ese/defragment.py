"""Offline defragmentation: the same rows in a new, smaller file, which takes the old one's place.

The source has to be clean. The new file has a signature of its own: logs of the old one do not apply to it, so backups begin
anew. It is verified before it replaces anything.

Sources: published engine, compact.cxx, eseutil.cxx (/d).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vss_writers.ese.catalog import all_schemas
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.external_sort import SORT_BYTES, Entries, SpillFile
from vss_writers.ese.files import FileSystem
from vss_writers.ese.header_values import EccCounter, LogTime
from vss_writers.ese.integrity import check_database
from vss_writers.ese.layout import OBJID_CATALOG, OBJID_CATALOG_SHADOW
from vss_writers.ese.page_operation import PageAccess
from vss_writers.ese.reader import DatabaseReader
from vss_writers.ese.rebuild import (
    SORT_SUFFIX,
    Rebuild,
    check_format,
    check_rebuildable,
    new_header,
    replace_file,
)
from vss_writers.ese.schema import TableSchema
from vss_writers.ese.table import Table, table_tree


@dataclass(frozen=True, slots=True)
class DefragmentReport:
    """Sizes in bytes, and rows by table; ``entries_held_max`` is how many entries of indexes were in memory at once."""

    size_before: int
    size_after: int
    rows: dict[str, int]
    entries_held_max: int = 0


async def defragment(
    files: FileSystem,
    path: str,
    temporary: str,
    *,
    time: LogTime,
    random: int,
    replaces: bool = True,
    sort_bytes: int = SORT_BYTES,
) -> DefragmentReport:
    """Write the database at ``path`` anew at ``temporary``, and put that in its place unless told otherwise.

    Entries of indexes that exceed ``sort_bytes`` of memory go to a file beside ``temporary``.

    Raises:
        JetError: ``FileNotFound``; ``DatabaseDirtyShutdown``; ``InvalidDatabaseVersion``; ``DatabaseDuplicate`` where
            ``temporary`` or the file for sorting exists; what reading a damaged database raises; the old file is as it
            was then.
    """
    if not await files.exists(path):
        raise JetError(JetCode.FileNotFound, path=path)
    if await files.exists(temporary):
        raise JetError(JetCode.DatabaseDuplicate, "the temporary database exists", path=temporary)
    source = await files.open(path)
    try:
        reader = await DatabaseReader.open(source.pread, source.size_bytes, path=path)
        header = reader.header
        if not header.is_clean:
            raise JetError(JetCode.DatabaseDirtyShutdown, "recover it first", path=path)
        check_format(header, path)
        changed = replace(
            new_header(header, time, random),
            repair_count=0,
            repair_count_old=header.repair_count + header.repair_count_old,
            ecc_fix_success=_aged(header.ecc_fix_success),
            ecc_fix_failure=_aged(header.ecc_fix_failure),
            bad_checksum=_aged(header.bad_checksum),
        )
        async with (
            SpillFile.begin(files, temporary + SORT_SUFFIX, sort_bytes) as spill,
            Rebuild.begin(files, temporary, header.page_size, spill) as rebuild,
        ):
            rows = await _copy_tables(reader, rebuild)
            problems = (await check_database(rebuild.pages)).problems
            if problems:
                raise JetError(problems[0].code, problems[0].detail, path=path)  # what is wrong now was wrong before
            size_after = await rebuild.finish(changed)
        size_before = source.size_bytes
    finally:
        await source.close()
    if replaces:
        await replace_file(files, temporary, path)
    return DefragmentReport(size_before, size_after, rows, spill.held_max)


async def _copy_tables(reader: DatabaseReader, rebuild: Rebuild) -> dict[str, int]:
    rows: dict[str, int] = {}
    for schema in await all_schemas(reader.pages):
        if schema.objid not in (OBJID_CATALOG, OBJID_CATALOG_SHADOW):
            check_rebuildable(schema)
            rows[schema.name] = await rebuild.add_table(schema, _rows(reader.pages, schema), _long_values(reader.pages, schema))
    return rows


async def _rows(pages: PageAccess, schema: TableSchema) -> Entries:
    async for node in table_tree(pages, schema).entries():
        yield node.key, node.data


async def _long_values(pages: PageAccess, schema: TableSchema) -> Entries:
    table = Table(pages, schema)
    if table.long_values is not None:
        async for node in table.long_values.tree.entries():
            yield node.key, node.data


def _aged(counter: EccCounter) -> EccCounter:
    return EccCounter(count_old=counter.count + counter.count_old)
