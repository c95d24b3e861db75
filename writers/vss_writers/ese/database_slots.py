"""The databases of an instance: which slots are taken, and what may be attached or created.

Sources: published engine, db.cxx (ErrDBAttachDatabase, ErrDBCreateDatabase refusals).
"""

from __future__ import annotations

from collections.abc import Sequence

from vss_writers.ese.attached_database import Database
from vss_writers.ese.database_file import read_database_header
from vss_writers.ese.engine_event import ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import SECTOR_SIZE, FileSystem, is_same_path, read_whole
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.layout import HEADER_PAGES, MAGIC, DatabaseState, page_count

DATABASES_MAX = 100
"""Databases of one instance; slot numbers begin at 1."""


async def check_new_path(files: FileSystem, path: str, page_size: int) -> None:
    """Refuse a path where a database or anything else stands; remove what an interrupted creation left behind.

    Raises:
        JetError: ``DatabaseDuplicate``.
    """
    if not await files.exists(path):
        return
    size_bytes = (await files.stat(path)).size_bytes
    try:
        header = await read_database_header(files, path, ignore_events)
    except JetError as error:
        if size_bytes > HEADER_PAGES * page_size or not await _is_torn_header(files, path):
            raise JetError(JetCode.DatabaseDuplicate, f"a file stands there: {error}", path=path) from error
    else:
        if header.state is not DatabaseState.JUST_CREATED and page_count(size_bytes, header.page_size):
            raise JetError(JetCode.DatabaseDuplicate, path=path)
    await files.remove(path)


async def _is_torn_header(files: FileSystem, path: str) -> bool:
    """Whether a file without room for pages begins with zeros or our magic number: headers whose first write was cut off."""
    data = await read_whole(files, path)
    return not any(data[:SECTOR_SIZE]) or data[4:8] == MAGIC.to_bytes(4, "little")


def check_attachable(databases: Sequence[Database], path: str, header: DatabaseHeader, page_size: int) -> None:
    """Refuse what cannot be attached beside ``databases``.

    Raises:
        JetError: ``DatabaseInUse``, ``DatabaseSignInUse``, ``PageSizeMismatch``.
    """
    for database in databases:
        if is_same_path(database.path, path):
            raise JetError(JetCode.DatabaseInUse, "it is attached", path=path)
        if database.signature == header.signature:
            raise JetError(JetCode.DatabaseSignInUse, f"a copy of it is attached: {database.path}", path=path)
    if header.page_size != page_size:
        raise JetError(JetCode.PageSizeMismatch, f"expected {page_size}, found {header.page_size}", path=path)


def find_database(databases: Sequence[Database], path: str) -> Database:
    """Return the attached database at ``path``; ``DatabaseNotFound`` where there is none."""
    for database in databases:
        if is_same_path(database.path, path):
            return database
    raise JetError(JetCode.DatabaseNotFound, "it is not attached", path=path)


def free_slot(databases: Sequence[Database], path: str) -> int:
    """Return the lowest free slot number; ``InvalidParameter`` where all are taken."""
    used = [database.dbid for database in databases]
    for dbid in range(1, DATABASES_MAX + 1):
        if dbid not in used:
            return dbid
    raise JetError(JetCode.InvalidParameter, f"{DATABASES_MAX} databases are attached", path=path)
