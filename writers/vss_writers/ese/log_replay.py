"""Reading the logs for recovery: each one loaded, judged, checked against its predecessor, and its records handed to redo.

Sources: published engine, logredo.cxx, logread_legacy.cxx.
"""

from __future__ import annotations

from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import SECTOR_SIZE, FileSystem, join_path
from vss_writers.ese.header_values import Signature
from vss_writers.ese.log_checksum import LogState
from vss_writers.ese.log_file import LogHeader, current_log_name
from vss_writers.ese.log_reader import LoadedLog, LogDirectory, load_log, read_log_header
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.redo import Redo
from vss_writers.ese.redo_database import RedoScope
from vss_writers.ese.sites import AtSite, just_do


async def replay(
    files: FileSystem,
    parameters: InstanceParameters,
    logs: LogDirectory,
    last: LoadedLog,
    scope: RedoScope,
    redo: Redo,
    on_event: EventSink,
) -> None:
    """Check and replay the logs from ``scope.generation_first`` to ``last``.

    Raises:
        JetError: the refusals about logs; what redo raises.
    """
    previous: LogHeader | None = None
    for generation in range(scope.generation_first, scope.generation_last + 1):
        is_last = generation == scope.generation_last
        log = last if is_last else await load_closed(files, logs, generation, on_event, parameters.at_site)
        try:
            check_sequence(log.header, log.path, scope.signature, generation, parameters.log_file_size, previous)
        except JetError as error:
            on_event(EngineEvent(_MISPLACED.get(error.code, 440), f"a log cannot be used: {error}", Severity.ERROR, log.path))
            raise
        if previous is None:
            await redo.begin(log.header.attachments)
        await redo.replay(log)
        on_event(EngineEvent(301, f"generation {generation:#x} was replayed", path=log.path))
        previous = log.header
    redo.end_of_logs()


_MISPLACED = {
    JetCode.BadLogSignature: 457,
    JetCode.LogGenerationMismatch: 458,
    JetCode.InvalidLogSequence: 458,
}
"""Events of logs that are whole but not the expected ones; 440 for any other."""


async def load_last(files: FileSystem, logs: LogDirectory, on_event: EventSink, at_site: AtSite = just_do) -> LoadedLog:
    """Load the newest log: the current one, whose tail may be torn, or the highest closed one, which has to be complete.

    Raises:
        JetError: ``LogFileCorrupt`` (event 465); ``MissingLogFile`` where the highest closed one is not complete.
    """
    if logs.current is None:
        log = await _load(files, logs.archived[max(logs.archived)], on_event, at_site, may_be_torn=False)
        if not log.is_closed:
            path = join_path(logs.directory, current_log_name(logs.base))
            raise JetError(JetCode.MissingLogFile, "the highest closed log is not complete", path=path)
        return log
    log = await _load(files, logs.current, on_event, at_site, may_be_torn=True)
    if log.scan.state is LogState.TORN:
        values = (("position", str(log.end_position)),)
        on_event(EngineEvent(462, "a torn write at the end of the logs was cut off", Severity.WARNING, log.path, values))
    if log.scan.from_shadow:
        on_event(EngineEvent(466, "the last sector of a log was taken from its shadow", Severity.WARNING, log.path))
    return log


async def load_closed(
    files: FileSystem, logs: LogDirectory, generation: int, on_event: EventSink, at_site: AtSite = just_do
) -> LoadedLog:
    """Load a closed generation, which has to be complete.

    Raises:
        JetError: ``MissingLogFile`` (event 450); ``LogFileCorrupt`` (event 465); ``DiskIO`` (event 455).
    """
    path = logs.archived.get(generation)
    if path is None:
        name = logs.closed_path(generation)
        on_event(EngineEvent(450, "there is a gap in the sequence of logs", Severity.ERROR, name))
        raise JetError(JetCode.MissingLogFile, f"generation {generation:#x}", path=name)
    log = await _load(files, path, on_event, at_site, may_be_torn=False)
    if not log.is_closed:
        raise JetError(JetCode.LogFileCorrupt, "a closed generation has no end record", path=path)
    return log


async def _load(files: FileSystem, path: str, on_event: EventSink, at_site: AtSite, *, may_be_torn: bool) -> LoadedLog:
    try:
        return await load_log(files, path, may_be_torn=may_be_torn, at_site=at_site)
    except JetError as error:
        _report(error, path, on_event)
        raise
    except Exception as error:
        on_event(EngineEvent(455, f"a log cannot be read: {error}", Severity.ERROR, path))
        raise JetError(JetCode.DiskIO, str(error), path=path) from error


def _report(error: JetError, path: str, on_event: EventSink) -> None:
    if error.code is JetCode.LogFileCorrupt:
        on_event(EngineEvent(465, f"a log is damaged: {error}", Severity.ERROR, path))
    elif error.code is JetCode.BadLogVersion:
        on_event(EngineEvent(411, f"a log has another format: {error}", Severity.ERROR, path))


async def read_newest_header(files: FileSystem, logs: LogDirectory, on_event: EventSink) -> LogHeader:
    """Read the header of the current log, or of the highest closed one where there is none.

    Raises:
        JetError: ``LogFileCorrupt`` (event 465); ``BadLogVersion`` (event 411); ``LogSectorSizeMismatch``.
    """
    path = logs.current or logs.archived[max(logs.archived)]
    try:
        return await read_log_header(files, path)
    except JetError as error:
        _report(error, path, on_event)
        raise


def check_sequence(
    header: LogHeader, path: str, signature: Signature, generation: int, file_size: int, previous: LogHeader | None
) -> None:
    """Refuse a log that is not the expected one.

    Raises:
        JetError: ``BadLogSignature``, ``LogGenerationMismatch``, ``LogFileSizeMismatch``, ``InvalidLogSequence``.
    """
    if header.signature != signature:
        detail = f"signature expected {signature.random}, found {header.signature.random}"
        raise JetError(JetCode.BadLogSignature, detail, path=path)
    if header.generation != generation:
        detail = f"generation expected {generation:#x}, found {header.generation:#x}"
        raise JetError(JetCode.LogGenerationMismatch, detail, path=path)
    if header.file_sectors * SECTOR_SIZE != file_size:
        detail = f"expected {file_size} bytes, found {header.file_sectors * SECTOR_SIZE}"
        raise JetError(JetCode.LogFileSizeMismatch, detail, path=path)
    if previous is not None and header.previous_created != previous.created:
        detail = f"expected a predecessor made {previous.created}, found {header.previous_created}"
        raise JetError(JetCode.InvalidLogSequence, detail, path=path)
