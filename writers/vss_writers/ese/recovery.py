"""Recovery: bringing databases to the end of the logs, and refusing where that cannot be done without loss.

Start: the checkpoint's generation, or a lower one that a database header asks for; without a usable checkpoint the lowest log.
A restored database is older than the checkpoint, so the header decides. Every log from there is checked (checksums, signature,
generation, size, creation time of its predecessor) before its records are redone. At the end open transactions are undone, and
every database is detached cleanly, all of it logged; a crash anywhere in between leaves files that recover to the same state.

Roll-forward after a restore is the same procedure: restored closed logs and the later ones still in the log directory are
one sequence. ``recover`` does it offline, ``Instance.open`` while starting; ``database_recovery`` does it for one database of
a running instance.

Sources: published engine, log.cxx (ErrLGSoftStart), logredo.cxx.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NoReturn

from vss_writers.ese.attached_database import attachment_of
from vss_writers.ese.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from vss_writers.ese.database_file import read_database_header
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem, join_path
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import NOWHERE, LogTime, Signature
from vss_writers.ese.layout import DatabaseState
from vss_writers.ese.log_file import Attachment, LogHeader
from vss_writers.ese.log_preparation import StreamOwner, StreamParameters
from vss_writers.ese.log_reader import LoadedLog, LogDirectory, list_logs
from vss_writers.ese.log_record_type import RecordType
from vss_writers.ese.log_records import DetachDatabase, RecoveryUndo2, Terminate2
from vss_writers.ese.log_replay import read_newest_header, replay
from vss_writers.ese.log_stream import LogStream, begin_generation, mend_tail, open_stream
from vss_writers.ese.lost_logs import refuse_other_profile, refuse_unusable_stream, remove_lost, usable_logs
from vss_writers.ese.page_guard import PageGuard
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.recovery_report import RecoveredDatabase, RecoveryOptions, RecoveryReport, make_report
from vss_writers.ese.redo import Redo
from vss_writers.ese.redo_database import RedoDatabase, RedoScope
from vss_writers.ese.transaction import SESSION


async def recover(
    files: FileSystem,
    parameters: InstanceParameters,
    *,
    now: Callable[[], datetime],
    random: random_module.Random,
    on_event: EventSink = ignore_events,
    databases: Sequence[str] = (),
    ignore_missing: bool = False,
    accept_lost_logs: bool = False,
    stop_before_undo: bool = False,
) -> RecoveryReport:
    """Recover offline: redo, undo, detach everything cleanly. No logs at all is nothing to do.

    Raises:
        JetError: the refusals; nothing was changed but what an earlier recovery of the same logs would have changed too. With
            ``stop_before_undo`` at the end ``RecoveredWithoutUndo``, or ``RecoveredWithoutUndoDatabasesConsistent`` where the
            logs leave no database attached: the logs are as they were, and recovery can be run again, with more logs too.
    """
    logs = await list_logs(files, parameters.log_directory, parameters.base_name)
    if logs.is_empty:
        return RecoveryReport()
    options = RecoveryOptions(
        tuple(databases),
        ignore_missing=ignore_missing,
        accept_lost_logs=accept_lost_logs,
        stop_before_undo=stop_before_undo,
    )
    recovery = Recovery(files, parameters, now=now, random=random, on_event=on_event, options=options)
    stream = await recovery.run()
    await stream.close()
    return recovery.report()


class Recovery:
    """One recovery. ``run`` returns the open stream, at whose end an instance may go on."""

    def __init__(
        self,
        files: FileSystem,
        parameters: InstanceParameters,
        *,
        now: Callable[[], datetime],
        random: random_module.Random,
        on_event: EventSink,
        options: RecoveryOptions,
    ) -> None:
        self._files = files
        self._parameters = parameters
        self._now = now
        self._random = random
        self._on_event = on_event
        self._options = options
        self._guard = PageGuard(files, parameters.guard_path)
        self._report = RecoveryReport()
        self._redo: Redo | None = None
        self.checkpoint = Checkpoint(NOWHERE, Signature())

    def report(self) -> RecoveryReport:
        """What ``run`` did."""
        return self._report

    def log_time(self) -> LogTime:
        """The wall clock as the logs write it."""
        return LogTime.of(self._now().replace(tzinfo=None))

    async def run(self) -> LogStream:
        """Recover and return the stream.

        Raises:
            JetError: the refusals.
        """
        directory = self._parameters.log_directory
        await refuse_other_profile(self._files, self._parameters)
        logs = await list_logs(self._files, directory, self._parameters.base_name)
        if logs.is_empty:
            return await self._new_stream()
        last_header = await read_newest_header(self._files, logs, self._on_event)
        signature = last_header.signature
        checkpoint = await self._read_checkpoint(signature)
        paths, headers = await self._known_databases(checkpoint, last_header)
        first = await self._first_generation(logs, last_header, checkpoint, headers)
        usable = await usable_logs(
            self._files,
            self._parameters,
            logs,
            last_header,
            headers,
            self._on_event,
            accept_loss=self._options.accept_lost_logs,
        )
        logs, last = usable.logs, usable.last
        refuse_unusable_stream(last, self._parameters)
        self._on_event(EngineEvent(300, f"recovery begins at generation {first:#x}", values=(("generation", first),)))
        redo, first = await self._redo_all(logs, last, paths, first)
        self._redo = redo
        try:
            ignored = self._check_attached(redo)
            if self._options.stop_before_undo:
                await self._stop_before_undo(redo, last)
            await remove_lost(self._files, usable, self._parameters.at_site, self._on_event)
            stream = await self._open_stream(logs, last, signature)
            await self._finish(stream, redo)
        finally:
            await redo.release()
        self._report = make_report(first, last, redo.counts, self._report.databases, tuple(ignored))
        self._on_event(EngineEvent(302, "recovery is done"))
        return stream

    async def _redo_all(self, logs: LogDirectory, last: LoadedLog, paths: dict[Signature, str], first: int) -> tuple[Redo, int]:
        """Redo from ``first``, or from an earlier generation where a database turns up in the logs that needs it."""
        while True:
            scope = RedoScope(
                signature=last.header.signature,
                generation_first=first,
                logs_end=last.end_position,
                page_size=self._parameters.page_size,
                paths=paths,
                accept_lost_logs=self._options.accept_lost_logs,
                cache_pages=self._parameters.cache_pages,
            )
            redo = self._make_redo(scope)
            try:
                await replay(self._files, self._parameters, logs, last, scope, redo, self._on_event)
            except BaseException:
                await redo.release()
                raise
            needed = [generation_needed(header, scope.signature) for header in redo.refused_headers()]
            earlier = [generation for generation in needed if (logs.lowest or first) <= generation < first]
            if not earlier:
                return redo, first
            await redo.release()
            first = min(earlier)

    def _make_redo(self, scope: RedoScope) -> Redo:
        return Redo(
            self._files,
            self._guard,
            scope,
            now=self.log_time,
            on_event=self._on_event,
            is_out_of_space=self._parameters.is_out_of_space,
            at_site=self._parameters.at_site,
        )

    # -- where to begin --------------------------------------------------------------------------------------------------------

    async def _read_checkpoint(self, signature: Signature) -> Checkpoint | None:
        """Return the checkpoint, or None where it is missing or damaged: then the lowest log is the start."""
        path = self._parameters.checkpoint_path
        try:
            checkpoint = await read_checkpoint(self._files, path)
        except JetError as error:
            self._on_event(EngineEvent(_CHECKPOINT_UNUSABLE, f"no checkpoint: {error}", Severity.WARNING, path))
            return None
        if checkpoint.signature != signature:
            detail = f"signature expected {signature.random}, found {checkpoint.signature.random}"
            raise JetError(JetCode.BadCheckpointSignature, detail, path=path)
        self.checkpoint = checkpoint
        return checkpoint

    async def _known_databases(
        self, checkpoint: Checkpoint | None, last_header: LogHeader
    ) -> tuple[dict[Signature, str], list[tuple[str, DatabaseHeader]]]:
        """Return where given databases are, and the headers of all that are known before a log is read."""
        paths: dict[Signature, str] = {}
        headers: list[tuple[str, DatabaseHeader]] = []
        for path in self._options.databases:
            header = await read_database_header(self._files, path, self._on_event)
            paths[header.signature] = path
            headers.append((path, header))
        attachments = [*(checkpoint.attachments if checkpoint is not None else ()), *last_header.attachments]
        for attachment in attachments:
            if attachment.signature in paths or not await self._files.exists(attachment.path):
                continue
            try:
                header = await read_database_header(self._files, attachment.path, ignore_events)
            except JetError:
                continue  # reported when the logs refer to it
            headers.append((attachment.path, header))
        return paths, headers

    async def _first_generation(
        self,
        logs: LogDirectory,
        last_header: LogHeader,
        checkpoint: Checkpoint | None,
        headers: list[tuple[str, DatabaseHeader]],
    ) -> int:
        lowest = logs.lowest if logs.lowest is not None else last_header.generation
        first = lowest
        if checkpoint is not None:
            first = checkpoint.position.generation
            if not lowest <= first <= last_header.generation:
                text = f"the checkpoint's generation {first:#x} is missing"
                self._on_event(EngineEvent(450, text, Severity.ERROR, self._parameters.log_directory))
                raise JetError(JetCode.MissingPreviousLogFile, text, path=self._parameters.checkpoint_path)
        for path, header in headers:
            needed = generation_needed(header, last_header.signature)
            if 0 < needed < first:
                first = max(needed, lowest)
                self._on_event(
                    EngineEvent(
                        _CHECKPOINT_UNUSABLE, f"a database needs generation {needed:#x}, before the checkpoint", path=path
                    )
                )
        return first

    # -- the end ---------------------------------------------------------------------------------------------------------------

    def _check_attached(self, redo: Redo) -> list[str]:
        """Refuse databases that the logs leave attached but that cannot be brought to their end."""
        ignored: list[str] = []
        for database in redo.attached():
            if database.problem is not None:
                is_missing = database.problem.code is JetCode.AttachedDatabaseMismatch
                if not (is_missing and self._options.ignore_missing):
                    raise database.problem
                ignored.append(database.path)
            elif not database.is_active and not redo.is_at_end(database):
                detail = "the file is newer than the end of the logs"
                raise JetError(JetCode.ConsistentTimeMismatch, detail, path=database.path)
        return ignored

    async def _stop_before_undo(self, redo: Redo, last: LoadedLog) -> NoReturn:
        """Write what was redone, and leave databases dirty and logs alone (event 304)."""
        attached = redo.attached()
        for database in attached:
            if database.is_active:
                await redo.flush(database)
        self._on_event(EngineEvent(304, "the logs were replayed without undo", path=last.path))
        is_clean = not attached
        code = JetCode.RecoveredWithoutUndoDatabasesConsistent if is_clean else JetCode.RecoveredWithoutUndo
        detail = f"replayed to {last.end_position}, {redo.counts.records_redone} records redone"
        raise JetError(code, detail, path=last.path)

    async def _finish(self, stream: LogStream, redo: Redo) -> None:
        """Detach what is attached, cleanly and logged, and write the checkpoint."""
        attached = redo.attached()
        await stream.append(RecoveryUndo2(self.log_time()).pack())
        recovered: list[RecoveredDatabase] = []
        for database in attached:
            if database.is_active:
                await redo.flush(database)
            position = await stream.append(DetachDatabase(SESSION, database.dbid, database.path).pack())
            await stream.flush()
            if database.is_active:
                await redo.close_cleanly(database, position)
                recovered.append(RecoveredDatabase(database.path, position))
        position = stream.position
        quit_record = Terminate2(RecordType.RECOVERY_QUIT2, position, position, is_hard=False, time=self.log_time())
        await stream.append(quit_record.pack())
        await stream.flush()
        self.checkpoint = replace(
            self.checkpoint,
            position=stream.position,
            signature=stream.header.signature,
            parameters=self._parameters.engine_parameters(),
            attachments=(),
        )
        path = self._parameters.checkpoint_path
        writing = partial(write_checkpoint, self._files, path, self.checkpoint)
        await self._parameters.at_site("checkpoint.write", writing, file=path)
        await self._guard.remove()
        self._report = replace(self._report, databases=tuple(recovered))

    # -- the stream ------------------------------------------------------------------------------------------------------------

    def _stream_parameters(self, signature: Signature) -> StreamParameters:
        return StreamParameters(
            directory=self._parameters.log_directory,
            base=self._parameters.base_name,
            signature=signature,
            file_size=self._parameters.log_file_size,
            page_size=self._parameters.page_size,
            engine=self._parameters.engine_parameters(),
            is_circular=self._parameters.circular,
            profile=self._parameters.profile,
        )

    def _owner(self) -> StreamOwner:
        return StreamOwner(
            now=self.log_time,
            attachments=self._attachments,
            checkpoint=lambda: self.checkpoint.position,
            on_new_generation=self._new_generation,
            is_out_of_space=self._parameters.is_out_of_space,
            on_low_space=lambda path: self._on_event(EngineEvent(428, "a reserve log is in use", Severity.WARNING, path)),
            at_site=self._parameters.at_site,
        )

    def _attachments(self) -> tuple[Attachment, ...]:
        databases: list[RedoDatabase] = self._redo.attached() if self._redo is not None else []
        return tuple(
            attachment_of(database.header, database.path, dbtime=database.dbtime, objid_last=database.objid_last)
            for database in databases
            if database.file is not None and database.problem is None
        )

    async def _new_generation(self, header: LogHeader) -> None:
        """Nothing: pages and headers of databases in recovery are written as of the generations that exist already."""

    async def _new_stream(self) -> LogStream:
        signature = Signature(self._random.getrandbits(32), self.log_time(), self._parameters.computer_name)
        parameters, first = self._stream_parameters(signature), self._parameters.first_generation
        stream = await begin_generation(self._files, parameters, self._owner(), None, first)
        await self._guard.remove()
        return stream

    async def _open_stream(self, logs: LogDirectory, last: LoadedLog, signature: Signature) -> LogStream:
        parameters = self._stream_parameters(signature)
        if logs.current is None:
            return await begin_generation(self._files, parameters, self._owner(), last.header)
        if last.is_closed:
            # The crash came between the End record and the renaming; an archived log may not be torn any more.
            await mend_tail(self._files, parameters, self._owner(), last)
            archived = parameters.profile.archived_name(parameters.base, last.header.generation)
            await self._files.rename(logs.current, join_path(parameters.directory, archived))
            return await begin_generation(self._files, parameters, self._owner(), last.header)
        return await open_stream(self._files, parameters, self._owner(), last)


_CHECKPOINT_UNUSABLE = 301
"""No event of the vendor's fits; reported as a step of the replay."""


def generation_needed(header: DatabaseHeader, signature: Signature) -> int:
    """Lowest generation a database needs, or 0 for none."""
    if header.log_signature != signature:
        return 0
    if header.state is DatabaseState.DIRTY_SHUTDOWN:
        return header.generation_min_required
    return header.consistent_position.generation
