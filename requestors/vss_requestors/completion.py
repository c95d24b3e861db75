"""The completing requestor: BackupComplete for a backup that an earlier run left waiting, and nothing else.

The stored document says which backup; the machine says which of its writers still know it. A writer that was started anew
since is not told and keeps its logs: what it knew of the backup lived in its memory. The vendor's test tool can leave
BackupComplete out and send it alone, too ("BETest Tool"); how its later run finds the backup is not documented.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vss.coordinator import WriterStatus
from vss.documents import BackupComponents
from vss.errors import InvalidArgumentError, WriterError
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.ids import GUID_NULL
from vss.roles.requestor import Machine, Requestor
from vss_requestors.options import Records
from vss_requestors.phases import Phases
from vss_requestors.results import CompletionResult, WriterCompletion
from vss_requestors.run_records import truncations_of


class CompletionRequestor(Requestor):
    """Completes a backup. Options of ``run``: ``document``, the one that was saved with the backup, and ``records``."""

    name = "complete"

    async def run(self, machine: Machine, **options: Any) -> CompletionResult:
        """Send BackupComplete to the writers that wait for it.

        Raises:
            BadStateError: no backup waits for it, or it was left with another document; nobody was told anything.
            WriterError: none of its writers knows the backup any more.
        """
        return await _complete(machine, **options)


async def _complete(machine: Machine, document: BackupComponents, records: Records | None = None) -> CompletionResult:
    if document.snapshot_set_id == GUID_NULL:
        raise InvalidArgumentError("the document names no shadow copy set, so no backup waits for it")
    first = 0 if records is None else len(records())
    phases = Phases(machine.ports)
    async with machine.open_session() as session:
        phases.session_id = str(session.session_id)
        session.initialize_for_backup(document)
        await session.gather_writer_metadata()
        async with phases.phase("complete"):
            await session.backup_complete()
        statuses = await session.gather_writer_status()
    writers = tuple(_judged(each) for each in statuses) + _missing(document, statuses)
    if not any(each.is_told for each in writers):
        reasons = "; ".join(f"writer '{each.writer}': {each.reason}" for each in writers) or "it has no writers"
        raise WriterError(f"nobody could be told that the backup of set {document.snapshot_set_id} is complete: {reasons}")
    return CompletionResult(
        set_id=str(document.snapshot_set_id),
        session_id=phases.session_id,
        phases=tuple(phases.timings),
        writers=writers,
        truncations=truncations_of([] if records is None else list(records())[first:]),
        exit_code=ExitCode.WARNINGS if any(each.reason for each in writers) else ExitCode.OK,
    )


def _judged(status: WriterStatus) -> WriterCompletion:
    is_told = status.failure is not HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE
    reason = (status.message or status.failure.meaning) if status.failure.is_failure else ""
    return WriterCompletion(writer=status.name, is_told=is_told, reason=reason)


def _missing(document: BackupComponents, statuses: Sequence[WriterStatus]) -> tuple[WriterCompletion, ...]:
    """The writers of the document that did not wait: they failed in the backup, or the machine has them no longer."""
    answered = [status.writer_id for status in statuses]
    missing: list[WriterCompletion] = []
    for part in document.writers:
        if part.writer_id in answered:
            answered.remove(part.writer_id)  # one answer stands for one instance
        elif part.components:
            name = part.instance_name or str(part.writer_id)
            missing.append(WriterCompletion(writer=name, is_told=False, reason="it did not wait for BackupComplete"))
    return tuple(missing)
