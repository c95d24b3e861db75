"""Recovery of one database for a running instance: a dirty file of the instance's own stream, brought to the end of its logs.

Other databases of the instance are not touched, and nothing is logged: the attach record that follows says where it stands.

Sources: published engine, logredo.cxx.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from vss_writers.ese.database_file import read_database_header
from vss_writers.ese.engine_event import EventSink, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem
from vss_writers.ese.header_values import LogTime
from vss_writers.ese.log_reader import list_logs
from vss_writers.ese.log_replay import load_last, replay
from vss_writers.ese.log_stream import LogStream
from vss_writers.ese.page_guard import PageGuard
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.recovery_report import RecoveredDatabase, RecoveryReport, make_report
from vss_writers.ese.redo import Redo
from vss_writers.ese.redo_database import RedoScope


async def recover_database(
    files: FileSystem,
    parameters: InstanceParameters,
    path: str,
    stream: LogStream,
    *,
    now: Callable[[], datetime],
    on_event: EventSink,
) -> RecoveryReport:
    """Bring one dirty database to the end of a running stream, whose records are flushed, and mark it clean there.

    Raises:
        JetError: the refusals; other databases of the instance are not touched.
    """
    header = await read_database_header(files, path, ignore_events)
    logs = await list_logs(files, parameters.log_directory, parameters.base_name)
    signature = stream.header.signature
    lowest = logs.lowest if logs.lowest is not None else stream.generation
    last = await load_last(files, logs, on_event, parameters.at_site)
    scope = RedoScope(
        signature=signature,
        generation_first=max(lowest, header.generation_min_required),
        logs_end=last.end_position,
        page_size=parameters.page_size,
        paths={header.signature: path},
        only=(header.signature,),
        cache_pages=parameters.cache_pages,
    )
    guard = PageGuard(files, parameters.guard_path)
    redo = Redo(
        files,
        guard,
        scope,
        now=lambda: LogTime.of(now().replace(tzinfo=None)),
        on_event=on_event,
        is_out_of_space=parameters.is_out_of_space,
        at_site=parameters.at_site,
    )
    try:
        await replay(files, parameters, logs, last, scope, redo, on_event)
        database = redo.find(header.signature)
        if database is None:
            raise JetError(JetCode.ConsistentTimeMismatch, "the logs do not mention the database", path=path)
        if database.problem is not None:
            raise database.problem
        if database.is_active:
            await redo.close_cleanly(database, stream.position)
        elif not database.header.is_clean:
            raise JetError(JetCode.ConsistentTimeMismatch, "the file is newer than the end of the logs", path=path)
    finally:
        await redo.release()
    recovered = (RecoveredDatabase(path, database.header.consistent_position),)
    return make_report(scope.generation_first, last, redo.counts, recovered, ())
