"""Bugs of the store: write-ahead, recovery, page checks, truncation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from tests.invariants import scripts
from tests.invariants.kit import KitWriter
from tests.invariants.planting import Planted, replacing, wrapping
from tests.invariants.store_runs import engine_run
from vss.documents import BackupType
from vss.events import LogsTruncated
from vss.roles.writer import WriterContext
from vss_writers.ese import redo, snapshot
from vss_writers.ese.database_file import DatabaseFile
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.log_stream import LogStream
from vss_writers.ese.snapshot import Snapshots

FAILED = partial(engine_run, is_success=False)


def _not_before_pages(flush: Callable[..., Any]) -> Callable[..., Any]:
    async def lazy(self: LogStream, through: Any = None) -> None:
        if through is None:
            await flush(self)

    return lazy


def _not_at_commit(flush: Callable[..., Any]) -> Callable[..., Any]:
    count = 0

    async def lazy(self: LogStream, through: Any = None) -> None:
        nonlocal count
        count += 1
        if count < 60:
            await flush(self, through)

    return lazy


def _leave_out_changes(plain: Callable[..., Any]) -> Callable[..., Any]:
    count = 0

    async def skip(self: redo.Redo) -> None:
        nonlocal count
        kept, places = [], []
        for place, each in zip(self._places, self._pending or (), strict=True):
            count += 1
            if count % 7:
                kept.append(each)
                places.append(place)
        self._pending, self._places = kept, places
        await plain(self)

    return skip


def _unchecked(self: DatabaseFile, data: bytes, page_number: int) -> tuple[bytes, bool]:
    return data, False


def _lower_requirement(pack: Callable[..., bytes]) -> Callable[..., bytes]:
    def lie(self: DatabaseHeader, *arguments: Any, **more: Any) -> bytes:
        low = self.generation_min_required
        return pack(replace(self, generation_min_required=1 if low > 1 else low), *arguments, **more)

    return lie


def _everything_goes(plan: Callable[..., Any]) -> Callable[..., Any]:
    def greedy(*arguments: Any, **more: Any) -> Any:
        made = plan(*arguments, **more)
        return replace(made, remove_first=more["lowest"], remove_last=more["highest"])

    return greedy


def _from_the_middle(plan: Callable[..., Any]) -> Callable[..., Any]:
    def middle(*arguments: Any, **more: Any) -> Any:
        made = plan(*arguments, **more)
        middle_one = more["lowest"] + 1
        return replace(made, remove_first=middle_one, remove_last=middle_one)

    return middle


async def _always_stamped(self: Snapshots, *, success: bool, snapshot_id: int | None = None) -> None:
    await _END(self, success=True, snapshot_id=snapshot_id)


_END = Snapshots.end


async def _truncate_on_failure(self: Snapshots, *, success: bool, snapshot_id: int | None = None) -> None:
    if not success:
        await self.truncate_logs(all_databases_attached=True)
    await _END(self, success=success, snapshot_id=snapshot_id)


def _truncation(name: str) -> LogsTruncated:
    return LogsTruncated(
        store=name, removed_first=1, removed_last=3, removed_count=3, kept_first=4, kept_last=5, reason="below the checkpoint"
    )


class TruncatingWriter(KitWriter):
    """Removes logs after a backup that succeeded and that is no copy."""

    async def on_backup_complete(self, context: WriterContext) -> None:
        """Truncate."""
        await super().on_backup_complete(context)
        if context.backup_type is not BackupType.COPY:
            self.machine.ports.emit(_truncation(self.name))


async def _at_shutdown(self: TruncatingWriter, context: WriterContext) -> None:
    self.machine.ports.emit(_truncation(self.name))


BUGS = [
    Planted(
        "D1", "pages are written before their log is flushed", wrapping(LogStream, "flush", _not_before_pages), run=engine_run
    ),
    Planted(
        "D2", "a commit is acknowledged before its log is flushed", wrapping(LogStream, "flush", _not_at_commit), run=engine_run
    ),
    Planted("D3", "recovery leaves out some changes", wrapping(redo.Redo, "_commit", _leave_out_changes), run=engine_run),
    Planted(
        "D4", "recovery leaves out other changes each time", wrapping(redo.Redo, "_commit", _leave_out_changes), run=engine_run
    ),
    Planted("B7", "roll-forward leaves out some changes", wrapping(redo.Redo, "_commit", _leave_out_changes), run=engine_run),
    Planted(
        "D5", "pages are used without a look at their sum", replacing(DatabaseFile, "verified", _unchecked), run=engine_run
    ),
    Planted("D6", "the header names logs that are gone", wrapping(DatabaseHeader, "pack", _lower_requirement), run=engine_run),
    Planted(
        "D7", "truncation deletes from the middle", wrapping(snapshot, "plan_truncation", _from_the_middle), run=engine_run
    ),
    Planted(
        "D8",
        "a writer truncates its logs in BackupShutdown",
        replacing(TruncatingWriter, "on_backup_shutdown", _at_shutdown),
        scripts.backup,
        {"writer_class": TruncatingWriter},
    ),
    Planted(
        "D9",
        "truncation takes every closed generation",
        wrapping(snapshot, "plan_truncation", _everything_goes),
        run=engine_run,
    ),
    Planted(
        "D10",
        "truncation deletes what the chain needs",
        wrapping(snapshot, "plan_truncation", _everything_goes),
        run=engine_run,
    ),
    Planted("D11", "a failed backup is stamped into the headers", replacing(Snapshots, "end", _always_stamped), run=FAILED),
    Planted("D12", "a failed backup truncates the logs", replacing(Snapshots, "end", _truncate_on_failure), run=FAILED),
]
