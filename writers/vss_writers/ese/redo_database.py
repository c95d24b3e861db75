"""One database during redo: its file, opened and checked against the logs, and what redo knows of it.

Sources: published engine, logredo.cxx (attach comparison, ErrLGRICheckAttachedDb), log.cxx (generations required).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vss_writers.ese.database_file import DatabaseFile, create_database_file, open_database_file
from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import FileSystem
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.header_values import LogPosition, Signature
from vss_writers.ese.layout import OBJID_LAST_SYSTEM, DatabaseState
from vss_writers.ese.page import Page
from vss_writers.ese.page_guard import PageGuard
from vss_writers.ese.sites import AtSite, just_do


@dataclass(frozen=True, slots=True)
class RedoScope:
    """What redo works on.

    Attributes:
        signature: identity of the log stream.
        generation_first: first generation that is replayed.
        logs_end: position behind the last record on disk.
        page_size: page size of the stream's databases.
        paths: where databases are that do not stand where the logs say.
        only: the databases to bring forward, or None for all.
        accept_lost_logs: whether missing committed generations are accepted.
        cache_pages: changed pages kept in memory before they are written.
    """

    signature: Signature
    generation_first: int
    logs_end: LogPosition
    page_size: int
    paths: dict[Signature, str] = field(default_factory=dict)
    only: tuple[Signature, ...] | None = None
    accept_lost_logs: bool = False
    cache_pages: int = 4096

    @property
    def generation_last(self) -> int:
        """Last generation on disk."""
        return self.logs_end.generation


class RedoDatabase:
    """One database during redo."""

    def __init__(self, path: str, signature: Signature) -> None:
        self.path = path
        self.signature = signature
        self.dbid = 0
        self.file: DatabaseFile | None = None
        self.is_active = False
        self.problem: JetError | None = None
        self.dbtime = 0
        self.objid_last = OBJID_LAST_SYSTEM
        self.page_count = 0
        self.has_seen_growth = False
        self.pages: dict[int, Page] = {}

    @property
    def header(self) -> DatabaseHeader:
        """The header; the file has to be open."""
        assert self.file is not None, f"database is not open: {self.path}"
        return self.file.header


class RedoFiles:
    """Opens the files that redo works on."""

    def __init__(
        self,
        files: FileSystem,
        guard: PageGuard,
        scope: RedoScope,
        on_event: EventSink,
        is_out_of_space: Callable[[BaseException], bool],
        at_site: AtSite = just_do,
    ) -> None:
        self._at_site = at_site
        self._files = files
        self._guard = guard
        self._scope = scope
        self._on_event = on_event
        self._is_out_of_space = is_out_of_space

    async def open(self, database: RedoDatabase, *, created: bool) -> None:
        """Open the file, or make it where its creation is redone; check that the logs suffice; mend torn pages.

        Raises:
            JetError: ``AttachedDatabaseMismatch`` (event 494) for a missing file or another database; ``check_required_logs``.
        """
        path = database.path
        exists = await self._files.exists(path)
        if not exists and not created:
            text = "a database that the logs refer to is missing"
            self._on_event(EngineEvent(494, text, Severity.ERROR, path))
            raise JetError(JetCode.AttachedDatabaseMismatch, "file is missing", path=path)
        if not exists or (created and (await self._files.stat(path)).size_bytes == 0):
            header = DatabaseHeader(
                signature=database.signature,
                page_size=self._scope.page_size,
                objid_last=OBJID_LAST_SYSTEM,
                log_signature=self._scope.signature,
            )
            database.file = await create_database_file(
                self._files, path, header, self._guard, self._on_event, self._is_out_of_space, self._at_site
            )
        else:
            database.file = await open_database_file(
                self._files, path, self._guard, self._on_event, self._is_out_of_space, self._at_site
            )
        self._check_header(database)
        await self._mend_torn_pages(database)
        header = database.file.header
        database.dbtime = max(database.dbtime, header.dbtime)
        database.objid_last = max(database.objid_last, header.objid_last)
        database.page_count = database.file.page_count
        if header.state is DatabaseState.DIRTY_SHUTDOWN:
            await self.require_all_logs(database)

    def _check_header(self, database: RedoDatabase) -> None:
        header = database.header
        if header.signature != database.signature:
            text = "another database stands where the logs expect one"
            self._on_event(EngineEvent(494, text, Severity.ERROR, database.path))
            detail = f"signature expected {database.signature.random}, found {header.signature.random}"
            raise JetError(JetCode.AttachedDatabaseMismatch, detail, path=database.path)
        check_required_logs(
            header,
            database.path,
            self._scope.signature,
            self._scope.generation_first,
            self._scope.generation_last,
            self._on_event,
            accept_lost_logs=self._scope.accept_lost_logs,
        )

    async def _mend_torn_pages(self, database: RedoDatabase) -> None:
        """Put whole images from the guard in place of pages whose write may be torn."""
        assert database.file is not None, f"database is not open: {database.path}"
        guarded = await self._guard.read()
        if guarded is None or guarded.signature != database.signature or guarded.page_size != database.file.page_size:
            return
        if guarded.position > self._scope.logs_end:
            return
        for number in await database.file.mend(guarded):
            text = "a page was put back from the page guard"
            self._on_event(EngineEvent(_MENDED, text, path=database.path, values=(("page", number),)))

    async def require_all_logs(self, database: RedoDatabase) -> None:
        """Before pages are written, the header has to require every generation they may get changes from."""
        assert database.file is not None, f"database is not open: {database.path}"
        last = self._scope.generation_last
        header = database.header
        await database.file.change_header(
            generation_max_required=max(header.generation_max_required, last),
            generation_max_committed=max(header.generation_max_committed, last),
        )


_MENDED = 399
"""No event of the vendor's fits; the one for a corrected page comes nearest."""


def check_required_logs(
    header: DatabaseHeader,
    path: str,
    signature: Signature,
    generation_first: int,
    generation_last: int,
    on_event: EventSink,
    *,
    accept_lost_logs: bool,
) -> None:
    """Refuse a dirty database for which logs are missing.

    Raises:
        JetError: ``SoftRecoveryOnBackupDatabase``; ``BadLogSignature`` for one of another stream (event 517);
            ``RequiredLogFilesMissing`` (events 452, 453); ``CommittedLogFilesMissing`` (event 523) unless accepted (524).
    """
    if header.full_current.generation_low and not header.full_current.generation_high:
        raise JetError(JetCode.SoftRecoveryOnBackupDatabase, path=path)
    if header.state is not DatabaseState.DIRTY_SHUTDOWN:
        return
    if header.log_signature != signature:
        on_event(EngineEvent(517, "a database does not belong to this set of logs", Severity.ERROR, path))
        raise JetError(JetCode.BadLogSignature, "the database belongs to another log stream", path=path)
    needed = (header.generation_min_required, header.generation_max_required)
    values = (
        ("required_first", needed[0]),
        ("required_last", needed[1]),
        ("first", generation_first),
        ("last", generation_last),
    )
    wanted = f"generations {needed[0]:#x} to {needed[1]:#x} required, found {generation_first:#x} to {generation_last:#x}"
    if needed[0] < generation_first or needed[1] > generation_last:
        event_id = 452 if needed[0] < generation_first else 453
        on_event(EngineEvent(event_id, "log files required for recovery are missing", Severity.ERROR, path, values))
        raise JetError(JetCode.RequiredLogFilesMissing, wanted, path=path)
    if header.generation_max_committed > generation_last:
        if not accept_lost_logs:
            on_event(EngineEvent(523, "committed log files are missing", Severity.ERROR, path, values))
            detail = f"committed up to {header.generation_max_committed:#x}, logs end at {generation_last:#x}"
            raise JetError(JetCode.CommittedLogFilesMissing, detail, path=path)
        on_event(EngineEvent(524, "committed log files are missing; their loss was accepted", Severity.WARNING, path, values))
