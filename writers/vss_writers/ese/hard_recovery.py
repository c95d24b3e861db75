"""Hard recovery: databases from a streaming backup brought forward with the restored logs, then with the instance's own.

A copy is of no single moment, so soft recovery refuses it (−544); here its header (FullCur) says where the logs have to begin
and its trailer how far they have to reach. Order of writes: ``restore.env`` says *started* · every header gets the end of the
range · trailers are cut off · patch pages are put in place · pages are redone · databases are marked clean · FullCur is cleared
and becomes FullPrev where the backup had truncated logs · ``restore.env`` says *ended* · restored files are removed. Every step
can be done twice, so recovery that was cut off anywhere is begun again and ends in the same state. The instance's own logs are
read only; it finds the databases at the end of its logs when it starts.

Sources: published engine, logredo.cxx (hard restore), eseutil.cxx (/cc); JET documentation, JetExternalRestore.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from vss_writers.ese.database_file import DatabaseFile, open_database_file, read_database_header
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem, directory_name, is_same_path, join_path
from vss_writers.ese.hard_recovery_logs import HardLogs, load_hard_logs, range_problem
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import NO_BACKUP, NOWHERE, LogPosition, LogTime
from vss_writers.ese.layout import DatabaseState
from vss_writers.ese.log_reader import LoadedLog, list_logs
from vss_writers.ese.page_guard import PageGuard
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.patching import cut_trailer, put_patch_in_place, read_trailer
from vss_writers.ese.redo import Redo
from vss_writers.ese.redo_database import RedoScope
from vss_writers.ese.restore_environment import (
    FILE_NAME,
    RecoverStatus,
    RestoredFile,
    RestoreEnvironment,
    read_environment,
    write_environment,
)


@dataclass(frozen=True, slots=True)
class HardRecoveryOptions:
    """What to do besides replaying the restored logs.

    Attributes:
        play_forward: whether the logs of the target instance follow.
        target_log_path: where those are, instead of where ``restore.env`` says.
        more_logs: a further directory of logs that follow on the restored ones.
        keep_files: whether restored logs and ``restore.env`` stay.
    """

    play_forward: bool = True
    target_log_path: str = ""
    more_logs: str = ""
    keep_files: bool = False


@dataclass(frozen=True, slots=True)
class HardRecoveryReport:
    """What it did: generations from the set and those played afterwards (0 for none), records, databases."""

    generation_first: int
    generation_last: int
    played_forward_last: int
    records_redone: int
    records_skipped: int
    databases: tuple[str, ...]
    end: LogPosition


async def recover_restored(
    files: FileSystem,
    directory: str,
    *,
    now: Callable[[], datetime],
    on_event: EventSink = ignore_events,
    options: HardRecoveryOptions | None = None,
) -> HardRecoveryReport:
    """Run hard recovery on what was restored into ``directory``; events 204 and 205 enclose it.

    Raises:
        JetError: ``FileNotFound``, ``InvalidParameter`` for ``restore.env``; ``RestoreOfNonBackupDatabase``;
            ``BadPatchPage``, ``PatchFileMissing``, ``DatabasePatchFileMismatch``; ``EndingRestoreLogTooLow``,
            ``StartingRestoreLogTooHigh``, ``GivenLogFileHasBadSignature``, ``GivenLogFileIsNotContiguous``,
            ``MissingRestoreLogFiles``; ``ExistingLogFileHasBadSignature``, ``ExistingLogFileIsNotContiguous``;
            ``LogTornWriteDuringHardRestore`` and the three beside it; what redo raises. ``restore.env`` keeps the code.
    """
    environment = await read_environment(files, directory)
    work = _HardRecovery(files, directory, environment, now, on_event, options or HardRecoveryOptions())
    values = (("from", directory), ("to", environment.target_log_path))
    on_event(EngineEvent(204, "the restore begins", path=directory, values=values))
    try:
        report = await work.run()
    except JetError as error:
        on_event(EngineEvent(454, f"the restore failed: {error}", Severity.ERROR, error.path or ""))
        await work.note_failure(error)
        raise
    on_event(EngineEvent(205, "the restore ends", path=directory, values=values))
    return report


@dataclass(slots=True)
class _HardRecovery:
    """One hard recovery on its way."""

    files: FileSystem
    directory: str
    environment: RestoreEnvironment
    now: Callable[[], datetime]
    on_event: EventSink
    options: HardRecoveryOptions
    headers: dict[str, DatabaseHeader] = field(default_factory=dict)

    async def run(self) -> HardRecoveryReport:
        environment = self.environment
        check_temporary_path(self.directory, environment)
        report = HardRecoveryReport(
            environment.generation_low, environment.generation_high, 0, 0, 0, tuple(self._destinations()), NOWHERE
        )
        if environment.status is not RecoverStatus.ENDED:
            report = await self._recover(report)
            await self._note(status=RecoverStatus.ENDED, error=0, recover_time=self._log_time())
        if not self.options.keep_files:
            await self._remove_files()
        return report

    async def _recover(self, report: HardRecoveryReport) -> HardRecoveryReport:
        logs = await self._logs()
        await self._check_databases(logs)
        last = await logs.last()
        await self._note(status=RecoverStatus.STARTED, error=0)
        for each in self.environment.databases:
            await self._prepare(each)
        redo = await self._redo(logs, last)
        try:
            for each in self.environment.databases:
                await self._finish(each, redo, last.end_position)
        finally:
            await redo.release()
        forward = last.header.generation if last.header.generation > self.environment.generation_high else 0
        return replace(
            report,
            played_forward_last=forward,
            records_redone=redo.counts.records_redone,
            records_skipped=redo.counts.records_skipped,
            end=last.end_position,
        )

    def _destinations(self) -> list[str]:
        return [each.destination for each in self.environment.databases]

    def _log_time(self) -> LogTime:
        return LogTime.of(self.now().replace(tzinfo=None))

    async def _note(self, **changes: object) -> None:
        noted = replace(self.environment, **changes)  # type: ignore[arg-type] # names are checked by the dataclass
        await write_environment(self.files, self.directory, noted)

    async def note_failure(self, error: JetError) -> None:
        """Keep the code where the user's next look at ``restore.env`` finds it; what was started stays started."""
        status = (await read_environment(self.files, self.directory)).status
        await self._note(status=status, error=int(error.code), recover_time=self._log_time())

    # -- before anything is changed --------------------------------------------------------------------------------------------

    async def _logs(self) -> HardLogs:
        target = ""
        if self.options.play_forward:
            target = self.options.target_log_path or self.environment.target_log_path
        directories = tuple(path for path in (self.options.more_logs, target) if path)
        return await load_hard_logs(self.files, self.directory, self.environment, directories, self.on_event)

    async def _check_databases(self, logs: HardLogs) -> None:
        """Refuse what is no backup copy, and logs that do not reach from its beginning to its end."""
        environment = self.environment
        for each in environment.databases:
            path = each.destination
            header = await read_database_header(self.files, path, self.on_event)
            self.headers[path] = header
            if header.signature != each.signature:
                detail = f"signature expected {each.signature.random}, found {header.signature.random}"
                raise JetError(JetCode.BadDbSignature, detail, path=path)
            is_copy = bool(header.full_current.generation_low or header.snapshot_current)
            if not is_copy and environment.status is not RecoverStatus.STARTED:
                raise JetError(JetCode.RestoreOfNonBackupDatabase, path=path)
            low = header.full_current.generation_low or environment.generation_low
            high = header.full_current.generation_high
            if header.full_current.generation_low and not high:
                high = (await read_trailer(self.files, path, header)).generation_high
            problem = range_problem(logs, header, path, low, high)
            if problem is not None:
                self.on_event(problem.event)
                raise problem.error

    # -- the steps -------------------------------------------------------------------------------------------------------------

    def _parameters(self) -> InstanceParameters:
        environment = self.environment
        return InstanceParameters(
            environment.base_name,
            self.directory,
            log_file_size=environment.log_file_size,
            page_size=environment.page_size,
        )

    async def _open(self, path: str) -> DatabaseFile:
        parameters = self._parameters()
        guard = PageGuard(self.files, parameters.guard_path)
        return await open_database_file(self.files, path, guard, self.on_event, parameters.is_out_of_space)

    async def _prepare(self, restored: RestoredFile) -> None:
        """Say in the header how far the logs reach, cut the trailer off, put patch pages in place."""
        file = await self._open(restored.destination)
        try:
            current = file.header.full_current
            if current.generation_low:
                await file.change_header(full_current=replace(current, generation_high=self.environment.generation_high))
                await cut_trailer(self.files, file)
            if restored.patch and file.header.full_current:
                await put_patch_in_place(self.files, join_path(self.directory, restored.patch), file, self.on_event)
        finally:
            await file.close()

    async def _redo(self, logs: HardLogs, last: LoadedLog) -> Redo:
        parameters = self._parameters()
        environment = self.environment
        scope = RedoScope(
            signature=environment.log_signature,
            generation_first=logs.lowest,
            logs_end=last.end_position,
            page_size=environment.page_size,
            paths={each.signature: each.destination for each in environment.databases},
            only=tuple(each.signature for each in environment.databases),
        )
        redo = Redo(
            self.files,
            PageGuard(self.files, parameters.guard_path),
            scope,
            now=self._log_time,
            on_event=self.on_event,
            is_out_of_space=parameters.is_out_of_space,
        )
        try:
            async for log in logs.each():
                if log.header.generation == logs.lowest:
                    await redo.begin(log.header.attachments)
                await redo.replay(log)
                self.on_event(EngineEvent(301, f"generation {log.header.generation:#x} was replayed", path=log.path))
            redo.end_of_logs()
        except BaseException:
            await redo.release()
            raise
        return redo

    async def _finish(self, restored: RestoredFile, redo: Redo, end: LogPosition) -> None:
        path = restored.destination
        database = redo.find(restored.signature)
        if database is None:
            raise JetError(JetCode.ConsistentTimeMismatch, "the logs do not mention the database", path=path)
        if database.problem is not None:
            raise database.problem
        if database.is_active:
            await redo.close_cleanly(database, end)
        if database.header.state is not DatabaseState.CLEAN_SHUTDOWN:
            raise JetError(JetCode.ConsistentTimeMismatch, "the file is newer than the end of the logs", path=path)
        assert database.file is not None, f"database is not open: {path}"
        changes: dict[str, object] = {
            "full_current": NO_BACKUP,
            "snapshot_current": NO_BACKUP,
            "incremental_previous": NO_BACKUP,
        }
        if self.environment.is_full:
            changes["full_previous"] = self.environment.backup
        await database.file.change_header(**changes)

    async def _remove_files(self) -> None:
        """Remove restored logs, patch files, guard, and ``restore.env`` as the last."""
        environment = self.environment
        there = await list_logs(self.files, self.directory, environment.base_name)
        paths = [
            path
            for generation, path in there.archived.items()
            if environment.generation_low <= generation <= environment.generation_high
        ]
        paths += [join_path(self.directory, each.patch) for each in environment.databases if each.patch]
        for path in [*paths, self._parameters().guard_path, join_path(self.directory, FILE_NAME)]:
            if await self.files.exists(path):
                await self.files.remove(path)


def check_temporary_path(directory: str, environment: RestoreEnvironment) -> None:
    """Refuse to work in a directory of the target instance or of a database: restored logs would replace its own.

    Raises:
        JetError: ``InvalidParameter``.
    """
    production = [environment.target_log_path, environment.target_system_path]
    production += [directory_name(each.destination) for each in environment.databases]
    for path in production:
        if path and is_same_path(path.rstrip("\\/"), directory.rstrip("\\/")):
            detail = f"the temporary directory must not be one of the production paths: {path}"
            raise JetError(JetCode.InvalidParameter, detail, path=directory)
