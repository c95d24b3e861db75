"""``/r``: soft recovery of a set of logs and the databases it names, offline.

``/d DIR`` tells where the databases are when they are not where the logs say; ``/i`` ignores missing ones, ``/a`` accepts the
loss of committed logs that are not required. ``/c5`` and ``/c8`` say how many digits the names of closed logs have; without
them the names that are there tell, or a reserve log, and eight where there is none. ``/u`` stops before undo: databases stay
dirty, logs as they were, and the error is −579, or −584 where the logs leave every database clean. ``/2`` to ``/32`` say how
many KB a page has; the logs say it too, and another size is −1213.

Sources: published engine, eseutil.cxx.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random

from vss_writers.ese.engine_event import EngineEvent, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.eseutil.labels import Dump, position_text, range_text
from vss_writers.ese.files import FileSystem, base_name, directory_name, join_path
from vss_writers.ese.log_file import LogHeader
from vss_writers.ese.log_profile import LogProfile, name_of_other_profile, profile_of
from vss_writers.ese.log_reader import list_logs, read_log_header
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.recovery import recover


async def run_recovery(
    files: FileSystem,
    base: str,
    options: Mapping[str, str],
) -> Dump:
    """Recover the logs of base name ``base`` (with a directory, or with ``l`` in ``options``).

    The tool has no clock of its own: the times it writes into headers are that of the newest log.

    Raises:
        JetError: ``FileNotFound`` where there are no logs; the refusals of recovery.
    """
    parameters, header = await _parameters(files, base, options)
    events: list[EngineEvent] = []
    moment = header.created.to_datetime() or datetime(1900, 1, 1, tzinfo=UTC)
    report = await recover(
        files,
        parameters,
        now=lambda: moment,
        random=Random(header.signature.random),
        on_event=events.append,
        databases=await _databases_in(files, options.get("d")),
        ignore_missing="i" in options,
        accept_lost_logs="a" in options,
        stop_before_undo="u" in options,
    )
    warnings = [event for event in events if event.severity is not Severity.INFORMATION]
    lines = (
        "Initiating RECOVERY mode...",
        f"    Logfile base name: {parameters.base_name}",
        f"            Log files: {parameters.log_directory}",
        f"         System files: {parameters.system_path}",
        "",
        f"Replayed log files: {range_text(report.generation_first, report.generation_last)}",
        f"Records redone: {report.records_redone}, skipped: {report.records_skipped}",
        f"Transactions redone: {report.transactions_redone}, undone: {report.transactions_undone}",
        *(f"Torn write cut off at {position_text(report.torn_at)}" for _ in [0] if report.torn_at is not None),
        *(f"Recovered: {database.path} to {position_text(database.consistent_position)}" for database in report.databases),
        *(f"Missing, ignored: {path}" for path in report.ignored),
        *(f"Event {event.event_id}: {event.text}" for event in warnings),
    )
    data = {
        "base": parameters.base_name,
        "generation_first": report.generation_first,
        "generation_last": report.generation_last,
        "records_redone": report.records_redone,
        "records_skipped": report.records_skipped,
        "transactions_redone": report.transactions_redone,
        "transactions_undone": report.transactions_undone,
        "torn_at": None if report.torn_at is None else position_text(report.torn_at),
        "databases": [database.path for database in report.databases],
        "ignored": list(report.ignored),
        "events": [{"id": event.event_id, "text": event.text, "path": event.path} for event in warnings],
    }
    return Dump(lines, data)


async def _parameters(files: FileSystem, base: str, options: Mapping[str, str]) -> tuple[InstanceParameters, LogHeader]:
    """Parameters of the instance whose logs these are, and the header of the newest log, which tells most of them."""
    directory, name = options.get("l", directory_name(base)), base_name(base)
    logs = await list_logs(files, directory, name)
    if logs.is_empty:
        raise JetError(JetCode.FileNotFound, f"no log of base name {name}", path=directory)
    newest = logs.current or logs.archived[max(logs.archived)]
    header = await read_log_header(files, newest)
    page_size = int(options.get("page size", 0)) * 1024 or header.page_size
    if page_size != header.page_size:
        detail = f"pages of {page_size} bytes expected, found {header.page_size}"
        raise JetError(JetCode.PageSizeMismatch, detail, path=newest)
    parameters = InstanceParameters(
        base_name=name,
        log_directory=directory,
        system_directory=options.get("s", directory),
        profile=await _profile(files, directory, name, options.get("c")),
        log_file_size=header.file_size_bytes,
        page_size=page_size,
    )
    return parameters, header


async def _profile(files: FileSystem, directory: str, base: str, digits: str | None) -> LogProfile:
    if digits is not None:
        return LogProfile.EXCHANGE_2003 if digits == "5" else LogProfile.EXCHANGE_2007
    names = await files.list_directory(directory)
    is_older = name_of_other_profile(base, names, LogProfile.EXCHANGE_2007) is not None
    return profile_of(base, names) or (LogProfile.EXCHANGE_2003 if is_older else LogProfile.EXCHANGE_2007)


async def _databases_in(files: FileSystem, directory: str | None) -> list[str]:
    """Database files in a directory; none where no directory was given."""
    if directory is None:
        return []
    names = await files.list_directory(directory)
    return [join_path(directory, name) for name in names if name.lower().endswith((".edb", ".mdb", ".db"))]
