"""The logs of a hard recovery: the restored range, then those of other directories as far as they follow on it.

Restored logs have to be one whole, undamaged sequence: −557 (event 435) for a missing one, −555 (433) for another stream,
−556 (434) for one that does not follow, −570 or −573 (460, 463) for a torn or damaged one. Logs that are played afterwards only
have to follow on them: −610 (436) for another stream, −611 (437) for a gap, −571 or −574 (461, 464) for damage; the newest of
them may end anywhere.

Sources: published engine, logredo.cxx (ErrLGRSTCheckLogFiles, ErrLGRSTPlayLogs).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.log_checksum import LogState
from vss_writers.ese.log_file import LogHeader
from vss_writers.ese.log_reader import LoadedLog, list_logs, load_log, read_log_header
from vss_writers.ese.restore_environment import RestoreEnvironment


@dataclass(frozen=True, slots=True)
class LogProblem:
    """A refusal: what to report and what to raise."""

    event: EngineEvent
    error: JetError


def _problem(event_id: int, code: JetCode, text: str, path: str, detail: str = "") -> LogProblem:
    return LogProblem(EngineEvent(event_id, text, Severity.ERROR, path), JetError(code, detail or text, path=path))


class HardLogs:
    """The logs to replay, in order. Make one with ``load_hard_logs``."""

    def __init__(
        self,
        files: FileSystem,
        environment: RestoreEnvironment,
        restored: dict[int, str],
        following: dict[int, str],
        on_event: EventSink,
    ) -> None:
        self._files = files
        self.environment = environment
        self.restored = restored
        self.following = following
        self._on_event = on_event

    @property
    def lowest(self) -> int:
        """First restored generation that is there."""
        return min(self.restored, default=0)

    @property
    def highest(self) -> int:
        """Last restored generation that is there."""
        return max(self.restored, default=0)

    async def each(self) -> AsyncIterator[LoadedLog]:
        """Load and yield every log.

        Raises:
            JetError: for a log that is damaged or does not follow on the one before.
        """
        previous: LogHeader | None = None
        for generation in range(self.lowest, max(self.following, default=self.highest) + 1):
            log = await self._load(generation)
            self._check(log, generation, previous)
            previous = log.header
            yield log

    async def last(self) -> LoadedLog:
        """Load the newest log; raises as ``each``."""
        return await self._load(max(self.following, default=self.highest))

    async def _load(self, generation: int) -> LoadedLog:
        is_restored = generation in self.restored
        path = self.restored[generation] if is_restored else self.following[generation]
        may_be_torn = not is_restored and generation == max(self.following)
        try:
            log = await load_log(self._files, path, may_be_torn=may_be_torn)
        except JetError as error:
            if error.code is not JetCode.LogFileCorrupt:
                raise
            raise self._damage(path, error, is_restored=is_restored, is_torn="torn" in error.detail) from error
        if not log.is_closed and not may_be_torn:
            raise self._damage(path, None, is_restored=is_restored, is_torn=True)
        if log.scan.state is LogState.TORN:
            self._on_event(EngineEvent(461, "a torn write at the end of the logs is left out", Severity.WARNING, path))
        return log

    def _damage(self, path: str, error: JetError | None, *, is_restored: bool, is_torn: bool) -> JetError:
        event_id, code = _DAMAGE[is_restored, is_torn]
        detail = error.detail if error is not None else "the log is not closed"
        self._on_event(EngineEvent(event_id, f"a log is damaged: {detail}", Severity.ERROR, path))
        return JetError(code, detail, path=path, offset=error.offset if error is not None else None)

    def _check(self, log: LoadedLog, generation: int, previous: LogHeader | None) -> None:
        header, path = log.header, log.path
        is_restored = generation in self.restored
        if header.signature != self.environment.log_signature:
            problem = _problem(*_SIGNATURE[is_restored], "a log is of another log stream", path)
        elif header.generation != generation or (previous is not None and header.previous_created != previous.created):
            expected = previous.created if previous is not None else "-"
            detail = f"generation {generation:#x} made after {expected} expected, found {header.generation:#x} after"
            detail += f" {header.previous_created}"
            problem = _problem(*_SEQUENCE[is_restored], "a log does not follow on the one before", path, detail)
        elif header.file_size_bytes != self.environment.log_file_size:
            detail = f"expected {self.environment.log_file_size} bytes, found {header.file_size_bytes}"
            raise JetError(JetCode.LogFileSizeMismatch, detail, path=path)
        else:
            return
        self._on_event(problem.event)
        raise problem.error


_DAMAGE = {
    (True, True): (460, JetCode.LogTornWriteDuringHardRestore),
    (True, False): (463, JetCode.LogCorruptDuringHardRestore),
    (False, True): (461, JetCode.LogTornWriteDuringHardRecovery),
    (False, False): (464, JetCode.LogCorruptDuringHardRecovery),
}
"""By: restored or played afterwards; torn or damaged otherwise."""
_SIGNATURE = {
    True: (433, JetCode.GivenLogFileHasBadSignature),
    False: (436, JetCode.ExistingLogFileHasBadSignature),
}
_SEQUENCE = {
    True: (434, JetCode.GivenLogFileIsNotContiguous),
    False: (437, JetCode.ExistingLogFileIsNotContiguous),
}


async def load_hard_logs(
    files: FileSystem,
    directory: str,
    environment: RestoreEnvironment,
    following: tuple[str, ...],
    on_event: EventSink,
) -> HardLogs:
    """Find the restored logs in ``directory`` and, in each of ``following``, those with higher generations.

    Raises:
        JetError: ``MissingRestoreLogFiles`` (event 435); ``ExistingLogFileHasBadSignature`` (event 436),
            ``ExistingLogFileIsNotContiguous`` (event 437).
    """
    base = environment.base_name
    logs = await list_logs(files, directory, base)
    there = logs.archived
    wanted = range(environment.generation_low, environment.generation_high + 1)
    inner = range(min(there, default=0), max(there, default=0))
    missing = [generation for generation in wanted if generation in inner and generation not in there]
    if missing or not there:
        path = logs.closed_path(missing[0] if missing else environment.generation_low)
        problem = _problem(435, JetCode.MissingRestoreLogFiles, "a restored log is missing", path)
        on_event(problem.event)
        raise problem.error
    restored = {generation: path for generation, path in there.items() if generation in wanted}
    later: dict[int, str] = {}
    for path in following:
        await _add_following(files, path, environment, later, on_event)
    return HardLogs(files, environment, restored, dict(sorted(later.items())), on_event)


async def _add_following(
    files: FileSystem, directory: str, environment: RestoreEnvironment, later: dict[int, str], on_event: EventSink
) -> None:
    """Add the logs of a directory that come after the restored ones; a gap before them, or another stream, is refused."""
    logs = await list_logs(files, directory, environment.base_name)
    found = dict(logs.archived)
    if logs.current is not None:
        header = await read_log_header(files, logs.current)
        if header.signature != environment.log_signature:
            problem = _problem(*_SIGNATURE[False], "a log is of another log stream", logs.current)
            on_event(problem.event)
            raise problem.error
        found.setdefault(header.generation, logs.current)
    newer = sorted(generation for generation in found if generation > environment.generation_high)
    expected = max(later, default=environment.generation_high) + 1
    for generation in newer:
        if generation < expected:
            continue
        if generation != expected:
            detail = f"generation {expected:#x} expected, found {generation:#x}"
            problem = _problem(*_SEQUENCE[False], "a log does not follow on the restored ones", found[generation], detail)
            on_event(problem.event)
            raise problem.error
        later[generation] = found[generation]
        expected += 1


def range_problem(logs: HardLogs, header: DatabaseHeader, path: str, low: int, high: int) -> LogProblem | None:
    """Why the restored logs do not suffice for a database that needs generations ``low`` to ``high``, or None."""
    if header.log_signature != logs.environment.log_signature:
        return _problem(*_SIGNATURE[True], "the restored logs are of another log stream than the database", path)
    if logs.lowest > low:
        detail = f"generation {low:#x} needed, the restored logs begin at {logs.lowest:#x}"
        return _problem(431, JetCode.StartingRestoreLogTooHigh, "restored logs begin too late", path, detail)
    needed = max(high, logs.environment.generation_high)
    if logs.highest < needed:
        detail = f"generation {needed:#x} needed, the restored logs end at {logs.highest:#x}"
        return _problem(432, JetCode.EndingRestoreLogTooLow, "restored logs end too early", path, detail)
    return None
