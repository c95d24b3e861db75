"""Which logs recovery may use: damage beyond the required range, streams of another size, streams at their end.

A page is written only when its change lies below the waypoint, so a database needs the logs up to MaxRequired to be consistent;
those up to MaxCommitted hold acknowledged transactions besides. One of these that is damaged is −586 (event 525), and where the
loss is accepted recovery ends before it (event 526) and the logs from there on are removed (event 498). A log size other than
the configured one is −541, or −545 where the last log ends in a clean shutdown, so that the logs may simply be removed; the
same holds for a stream whose generations are used up, −548.

Sources: published engine, log.cxx (ErrLGSoftStart), logredo.cxx (lost-log resilience).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem, join_path
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.layout import DatabaseState
from vss_writers.ese.log_file import LogHeader
from vss_writers.ese.log_profile import name_of_other_profile
from vss_writers.ese.log_reader import LoadedLog, LogDirectory, remove_log
from vss_writers.ese.log_records import End, Terminate2
from vss_writers.ese.log_replay import load_closed, load_last
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.sites import AtSite


@dataclass(frozen=True, slots=True)
class UsableLogs:
    """The logs to replay, the newest of them, and those that are given up, by generation."""

    logs: LogDirectory
    last: LoadedLog
    lost: dict[int, str]


async def usable_logs(
    files: FileSystem,
    parameters: InstanceParameters,
    logs: LogDirectory,
    last_header: LogHeader,
    headers: Sequence[tuple[str, DatabaseHeader]],
    on_event: EventSink,
    *,
    accept_loss: bool,
) -> UsableLogs:
    """Load the newest log; judge those that are committed but not required before anything is redone.

    Raises:
        JetError: ``CommittedLogFileCorrupt`` (event 525) for one of these unless its loss is accepted; ``LogFileCorrupt`` for
            any other; ``MissingLogFile``; ``DiskIO``.
    """
    newest = last_header.generation
    at_site = parameters.at_site
    for generation in _committed(headers, last_header):
        if generation == newest or generation in logs.archived:
            try:
                if generation == newest:
                    return UsableLogs(logs, await load_last(files, logs, on_event, at_site), {})
                await load_closed(files, logs, generation, on_event, at_site)
            except JetError as error:
                if error.code is not JetCode.LogFileCorrupt:
                    raise
                return await _without(files, logs, generation, newest, error, on_event, at_site, accept_loss=accept_loss)
    return UsableLogs(logs, await load_last(files, logs, on_event, at_site), {})


def _committed(headers: Sequence[tuple[str, DatabaseHeader]], last: LogHeader) -> range:
    """Generations that dirty databases of the stream know to be committed, and no one needs to be consistent."""
    dirty = [
        header
        for _, header in headers
        if header.state is DatabaseState.DIRTY_SHUTDOWN and header.log_signature == last.signature
    ]
    if not dirty:
        return range(0)
    required = max(header.generation_max_required for header in dirty)
    committed = max(header.generation_max_committed for header in dirty)
    return range(required + 1, min(committed, last.generation) + 1)


async def _without(
    files: FileSystem,
    logs: LogDirectory,
    generation: int,
    newest: int,
    error: JetError,
    on_event: EventSink,
    at_site: AtSite,
    *,
    accept_loss: bool,
) -> UsableLogs:
    """The logs below ``generation``, where giving up the others is accepted."""
    values = (("generation", generation), ("last", newest))
    if not accept_loss or generation - 1 not in logs.archived:
        on_event(EngineEvent(525, "a committed log is damaged", Severity.ERROR, error.path or "", values))
        raise JetError(JetCode.CommittedLogFileCorrupt, error.detail, path=error.path, offset=error.offset) from error
    on_event(EngineEvent(526, "a committed log is damaged; its loss was accepted", Severity.WARNING, error.path or "", values))
    lost = {each: path for each, path in logs.archived.items() if each >= generation}
    if logs.current is not None:
        lost[newest] = logs.current
    kept = {each: path for each, path in logs.archived.items() if each < generation}
    rest = replace(logs, archived=kept, current=None)
    return UsableLogs(rest, await load_last(files, rest, on_event, at_site), lost)


async def remove_lost(files: FileSystem, usable: UsableLogs, at_site: AtSite, on_event: EventSink) -> None:
    """Remove the logs that were given up, newest first: what is left is one sequence at any time."""
    for generation in sorted(usable.lost, reverse=True):
        path = usable.lost[generation]
        on_event(EngineEvent(498, "a log that is too new is removed", Severity.WARNING, path, (("generation", generation),)))
        await remove_log(files, path, generation, at_site)


async def refuse_other_profile(files: FileSystem, parameters: InstanceParameters) -> None:
    """Refuse a directory with logs that another profile named.

    Raises:
        JetError: ``InvalidParameter`` with the path of one of them.
    """
    directory, base = parameters.log_directory, parameters.base_name
    names = await files.list_directory(directory) if await files.exists(directory) else []
    name = name_of_other_profile(base, names, parameters.profile)
    if name is not None:
        expected = f"{parameters.profile.archived_name(base, 1)} and {parameters.profile.reserve_name(base, 1)}"
        detail = f"profile {parameters.profile}: log names such as {expected} expected, found {name}"
        raise JetError(JetCode.InvalidParameter, detail, path=join_path(directory, name))


def refuse_unusable_stream(last: LoadedLog, parameters: InstanceParameters) -> None:
    """Refuse a stream that cannot go on; the code says whether its databases are consistent without it.

    Raises:
        JetError: ``LogFileSizeMismatch``, ``LogFileSizeMismatchDatabasesConsistent``; ``LogSequenceEndDatabasesConsistent``.
    """
    is_clean = ends_cleanly(last)
    if last.header.file_size_bytes != parameters.log_file_size:
        code = JetCode.LogFileSizeMismatchDatabasesConsistent if is_clean else JetCode.LogFileSizeMismatch
        detail = f"expected {parameters.log_file_size} bytes, found {last.header.file_size_bytes}"
        raise JetError(code, detail, path=last.path)
    if last.header.generation + 1 >= parameters.profile.generation_max and is_clean:
        raise JetError(JetCode.LogSequenceEndDatabasesConsistent, f"generation {last.header.generation:#x}", path=last.path)


def ends_cleanly(last: LoadedLog) -> bool:
    """Whether the instance, or its recovery, came to its end with every database detached."""
    newest = next((record for record in reversed(last.contents) if not isinstance(record, End)), None)
    return isinstance(newest, Terminate2)
