"""The checkpoint of a running instance: which pages to write when, which headers, and where recovery would begin.

Order: pages written and durable, then the headers of **all** attached databases, then the checkpoint file. Everything here is
called by whoever holds the writer's turn.

Sources: published engine, log.cxx (ErrLGIUpdateCheckpointFile, ErrLGUpdateGenRequired), bf.cxx.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from vss_writers.ese.attached_database import Database, attachment_of
from vss_writers.ese.checkpoint import Checkpoint, write_checkpoint
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import SECTOR_SIZE, FileSystem
from vss_writers.ese.header_values import LogPosition, LogTime
from vss_writers.ese.log_file import Attachment, LogHeader
from vss_writers.ese.log_reader import list_logs, offset_of, remove_log
from vss_writers.ese.log_stream import LogStream
from vss_writers.ese.page_writes import IDLE_PAGES, PageWrite
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.transaction import TransactionLog

_CANNOT_WRITE = 482


class Checkpointer:
    """Writes behind the log for one instance. ``databases`` is the instance's own list."""

    def __init__(
        self,
        files: FileSystem,
        parameters: InstanceParameters,
        stream: LogStream,
        log: TransactionLog,
        databases: list[Database],
        checkpoint: Checkpoint,
        *,
        now: Callable[[], LogTime],
        on_event: EventSink,
        holds_logs: Callable[[], bool],
    ) -> None:
        self._files = files
        self._parameters = parameters
        self._stream = stream
        self._log = log
        self._databases = databases
        self._checkpoint = checkpoint
        self._now = now
        self._on_event = on_event
        self._holds_logs = holds_logs
        self._waiting: LogHeader | None = None

    @property
    def position(self) -> LogPosition:
        """The position that is in the checkpoint file."""
        return self._checkpoint.position

    @property
    def waypoint(self) -> int:
        """Newest generation whose changes may be in a database file."""
        return max(1, self._stream.generation - self._parameters.waypoint_generations)

    def oldest_needed(self) -> LogPosition:
        """Where recovery would start: oldest change that is in no file, begin of the open transaction, or end of the log."""
        positions = [self._stream.position]
        if self._log.begun_at is not None:
            positions.append(self._log.begun_at)
        for database in self._databases:
            oldest = database.pages.oldest_change()
            if oldest is not None:
                positions.append(oldest)
        return min(positions)

    @property
    def is_due(self) -> bool:
        """Whether too much log would have to be replayed, or too many changed pages are in memory."""
        first, last = self._checkpoint.position, self._stream.position
        size = self._parameters.log_file_size
        distance = (last.generation - first.generation) * size + offset_of(last) - offset_of(first)
        return distance > self._parameters.checkpoint_depth or self._has_many_dirty

    @property
    def _has_many_dirty(self) -> bool:
        return any(database.pages.dirty_count > self._parameters.cache_pages for database in self._databases)

    async def write_behind(self) -> None:
        """Write pages that have waited longest, make room where too many are in memory, and move the checkpoint.

        Pages of the newer half of the depth stay: one that changes all the time is written once per half depth, not per call.
        """
        limit = self._position_before(self._parameters.checkpoint_depth // 2)
        for database in self._databases:
            await self._prepare(database)
            pages = database.pages
            await pages.write_behind(limit, self.waypoint)
            if pages.dirty_count > self._parameters.cache_pages:
                excess = pages.dirty_count - self._parameters.cache_pages * 3 // 4
                await pages.write_behind(None, self.waypoint, why=PageWrite.NORMAL, at_most=excess)
        await self.write()

    async def write_idle(self) -> int:
        """Write some pages that nobody presses for, oldest change first, and move the checkpoint; return how many."""
        count = 0
        for database in self._databases:
            if database.pages.dirty_count:
                await self._prepare(database)
                count += await database.pages.write_behind(None, self.waypoint, why=PageWrite.IDLE, at_most=IDLE_PAGES)
        if count:
            await self.write()
        return count

    async def _prepare(self, database: Database) -> None:
        """Let the header require what the pages to be written may hold."""
        await database.pages.file.change_header(
            dbtime=database.pages.dbtime,
            objid_last=database.pages.objid_last,
            generation_max_required=max(database.header.generation_max_required, self.waypoint),
            generation_max_committed=self._stream.generation,
        )

    async def write_everything(self, database: Database) -> None:
        """Bring one database's file up to date, whatever the waypoint says: its header requires the newest generation first."""
        pages = database.pages
        newest = self._stream.generation
        await pages.file.change_header(generation_max_required=newest, generation_max_committed=newest)
        await pages.write_behind(why=PageWrite.DETACH)
        await pages.file.resize(pages.page_count)
        await pages.file.sync()

    def _position_before(self, distance: int) -> LogPosition:
        position = self._stream.position
        generations, rest = divmod(distance, self._parameters.log_file_size)
        generation, sector = position.generation - generations, position.sector - rest // SECTOR_SIZE
        if sector < 0:
            generation, sector = generation - 1, sector + self._parameters.log_file_size // SECTOR_SIZE
        return LogPosition(generation, sector, 0) if generation > 0 else LogPosition()

    async def write(self) -> None:
        """Write all headers, then the checkpoint file."""
        position = self.oldest_needed()
        for database in self._databases:
            await self._write_header(database, position)
        checkpoint = replace(
            self._checkpoint,
            position=position,
            signature=self._stream.header.signature,
            parameters=self._parameters.engine_parameters(),
            attachments=self.attachments(),
        )
        await self._write_file(checkpoint)
        if self._parameters.circular and not self._holds_logs():
            await self._remove_logs_below(position.generation)

    async def _write_header(self, database: Database, position: LogPosition) -> None:
        pages = database.pages
        header = database.header
        fixes = header.ecc_fix_success
        if pages.ecc_fixes:
            fixes = replace(fixes, count=fixes.count + pages.ecc_fixes, time=self._now())
            pages.ecc_fixes = 0
        await pages.file.change_header(
            generation_min_required=max(header.generation_min_required, header.attach_position.generation, position.generation),
            dbtime=pages.dbtime,
            objid_last=pages.objid_last,
            ecc_fix_success=fixes,
        )

    async def note_backup(self, **changes: LogPosition | LogTime) -> None:
        """Put backup positions into the checkpoint file."""
        await self._write_file(replace(self._checkpoint, **changes))  # type: ignore[arg-type] # names are checked by the dataclass

    async def _write_file(self, checkpoint: Checkpoint) -> None:
        path = self._parameters.checkpoint_path
        try:
            writing = partial(write_checkpoint, self._files, path, checkpoint)
            await self._parameters.at_site("checkpoint.write", writing, file=path)
        except Exception as error:
            code = JetCode.DiskFull if self._parameters.is_out_of_space(error) else JetCode.DiskIO
            self._on_event(EngineEvent(_CANNOT_WRITE, f"the checkpoint cannot be written: {error}", Severity.ERROR, path))
            raise JetError(code, str(error), path=path) from error
        # Believed only now that it is durable: logs below it may be deleted.
        self._checkpoint = checkpoint

    async def _remove_logs_below(self, generation: int) -> None:
        logs = await list_logs(self._files, self._parameters.log_directory, self._parameters.base_name)
        for closed, path in logs.archived.items():
            if closed < generation:
                await remove_log(self._files, path, closed, self._parameters.at_site)

    def attachments(self) -> tuple[Attachment, ...]:
        """Attachment list of the databases as they are now."""
        return tuple(
            attachment_of(database.header, database.path, dbtime=database.pages.dbtime, objid_last=database.pages.objid_last)
            for database in self._databases
        )

    async def name_generation(self, header: LogHeader, *, wait: bool) -> None:
        """Write into all headers that generation ``header`` exists; with ``wait`` only once ``write_waiting`` is called."""
        if wait:
            self._waiting = header
            return
        for database in self._databases:
            await database.pages.file.change_header(
                generation_max_committed=header.generation,
                generation_max_create_time=header.created,
                generation_max_required=max(database.header.generation_max_required, self.waypoint),
            )

    async def write_waiting(self) -> None:
        """Do what a freeze put off."""
        if self._waiting is not None:
            header, self._waiting = self._waiting, None
            await self.name_generation(header, wait=False)
