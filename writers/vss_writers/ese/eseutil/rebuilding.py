"""``/p``: repair; ``/d``: offline defragmentation. Both write a new file beside the old one, which it then replaces.

``/t FILE`` names the new file while it is being made. ``/d /p`` leaves it there and the old one alone, ``/d /b FILE`` copies
the old one first. The tool has no clock of its own: the times it writes are the database's newest.

Sources: published engine, eseutil.cxx.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from vss_writers.ese.database_file import read_database_header
from vss_writers.ese.defragment import defragment
from vss_writers.ese.engine_event import EngineEvent, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.eseutil.labels import Dump
from vss_writers.ese.files import FileSystem, directory_name, join_path
from vss_writers.ese.header_values import LogTime
from vss_writers.ese.repair import repair

_COPY_BYTES = 1 << 20
_SHOWN = 50


async def _new_identity(files: FileSystem, path: str) -> tuple[LogTime, int]:
    """Time and random number of the new signature; they differ from the old ones, and are the same on every attempt."""
    try:
        header = await read_database_header(files, path, ignore_events)
    except JetError as error:
        if error.code is not JetCode.DatabaseCorrupted:
            raise
        return LogTime(), 1
    time = header.consistent_time or header.attach_time or header.signature.created
    number = header.signature.random
    while number == header.signature.random:
        number = Random(f"{header.signature.random}:{header.repair_count}:{number}").getrandbits(32)
    return time, number


def _temporary(path: str, options: Mapping[str, str], name: str) -> str:
    return options.get("t") or join_path(directory_name(path), name)


async def run_repair(files: FileSystem, path: str, options: Mapping[str, str]) -> Dump:
    """``/p``: repair a database.

    Raises:
        JetError: as ``repair``.
    """
    time, number = await _new_identity(files, path)
    temporary = _temporary(path, options, "temprepair.edb")
    events = _FirstEvents()
    report = await repair(files, path, temporary, time=time, random=number, on_event=events.take)
    told = [f"Event {event.event_id}: {event.text} {_values(event)}" for event in events.first]
    if events.count > _SHOWN:
        told.append(f"... and {events.count - _SHOWN} more")
    lines = (
        "Initiating REPAIR mode...",
        f"        Database: {path}",
        f"  Temp. Database: {temporary}",
        "",
        *told,
        *(f"Table {name}: {count} rows kept" for name, count in report.rows.items()),
        f"Pages lost: {len(report.lost_pages)}, corrected: {len(report.corrected_pages)}",
        f"Columns lost: {report.lost_column_count}, records lost: {report.lost_row_count}",
        f"Tables lost: {len(report.lost_tables)}",
        "",
        "The database has a new signature: logs and backups from before do not apply to it. Take a full backup now.",
    )
    data = {
        "path": path,
        "rows": report.rows,
        "lost_pages": report.lost_pages,
        "corrected_pages": report.corrected_pages,
        "lost_columns": [{"table": table, "key": key.hex(), "column": name} for table, key, name in report.lost_columns],
        "lost_column_count": report.lost_column_count,
        "lost_row_count": report.lost_row_count,
        "lost_rows": [{"table": table, "key": key.hex()} for table, key in report.lost_rows],
        "lost_tables": report.lost_tables,
        "has_losses": report.has_losses,
    }
    return Dump(lines, data)


class _FirstEvents:
    """Events that are shown, and the number of all."""

    def __init__(self) -> None:
        self.first: list[EngineEvent] = []
        self.count = 0

    def take(self, event: EngineEvent) -> None:
        self.count += 1
        if self.count <= _SHOWN:
            self.first.append(event)


def _values(event: EngineEvent) -> str:
    return ", ".join(f"{name} {value}" for name, value in event.values)


async def run_defragmentation(files: FileSystem, path: str, options: Mapping[str, str]) -> Dump:
    """``/d``: write a database anew.

    Raises:
        JetError: as ``defragment``; ``DatabaseDuplicate`` where the copy to keep exists.
    """
    time, number = await _new_identity(files, path)
    temporary = _temporary(path, options, "tempdfrg.edb")
    backup = options.get("b", "")
    if backup:
        await _copy(files, path, backup)
    report = await defragment(files, path, temporary, time=time, random=number, replaces="p" not in options)
    lines = (
        "Initiating DEFRAGMENTATION mode...",
        f"        Database: {path}",
        f"  Temp. Database: {temporary}",
        *([f"     Backup copy: {backup}"] if backup else []),
        "",
        *(f"Table {name}: {count} rows" for name, count in report.rows.items()),
        f"Size before: {report.size_before} bytes, after: {report.size_after} bytes",
        "",
        "The database has a new signature: backups from before do not apply to it. Take a full backup now.",
    )
    data = {
        "path": path,
        "result": temporary if "p" in options else path,
        "rows": report.rows,
        "size_before": report.size_before,
        "size_after": report.size_after,
    }
    return Dump(lines, data)


async def _copy(files: FileSystem, path: str, copy_path: str) -> None:
    if await files.exists(copy_path):
        raise JetError(JetCode.DatabaseDuplicate, "the backup copy exists", path=copy_path)
    source = await files.open(path)
    try:
        copy = await files.open(copy_path, write=True, create=True)
        try:
            for offset in range(0, source.size_bytes, _COPY_BYTES):
                await copy.pwrite(offset, await source.pread(offset, _COPY_BYTES))
            await copy.sync()
        finally:
            await copy.close()
    finally:
        await source.close()
