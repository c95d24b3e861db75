"""What a lab takes along between two runs of backups that wait for BackupComplete.

A command is one run of the machine, and people see one machine that stands still between two commands. So a run that ends in
order suspends the machine: the backups that wait are kept with what their writers remember of them, and the next run gives both
back. It is memory all the same: a run that is killed loses it, as does a writer that says it does not remember.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from vss.coordinator import SnapshotContext
from vss.coordinator.waiting import WaitingBackup
from vss.documents.xml import parse_backup_components, render_backup_components
from vss.errors import ConfigurationError, VssError
from vss.ids import Guid

if TYPE_CHECKING:
    from vss.lab.lab import Lab
    from vss.lab.stores import StoreKeeper
    from vss.roles.writer import Writer


class WriterMemory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One writer that waits: its name in the lab, the instance the backup knows, since when, and what it remembers."""

    writer: str
    instance_id: str
    changed_ns: int
    memory: dict[str, Any] | None


class SuspendedBackup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One backup that waits."""

    session_id: str
    context: int
    document: str
    writers: tuple[WriterMemory, ...]


class SuspendedBackups(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file."""

    schema: str = "vss.suspended-backups/1"
    backups: tuple[SuspendedBackup, ...] = ()


async def suspend(lab: Lab, keeper: StoreKeeper) -> None:
    """Take what waits off the machine, before its applications stop, and let ``keeper`` have it."""
    names = {id(writer): name for name, writer in lab.writers.items()}
    backups = tuple(_suspended(backup, names) for backup in lab.coordinator.waiting.suspend())
    if backups:
        data = msgspec.json.encode(SuspendedBackups(backups=backups))
        keeper.write_suspended(msgspec.json.format(data, indent=2) + b"\n")


def _suspended(backup: WaitingBackup, names: dict[int, str]) -> SuspendedBackup:
    return SuspendedBackup(
        session_id=str(backup.session_id),
        context=int(backup.snapshot_context),
        document=render_backup_components(backup.document).decode("utf-8"),
        writers=tuple(
            WriterMemory(
                writer=names[id(each.writer)],
                instance_id=str(each.instance_id),
                changed_ns=each.changed_ns,
                memory=_remembered(each.writer, backup.session_id),
            )
            for each in backup.participants
            if id(each.writer) in names
        ),
    )


def _remembered(writer: Writer, session_id: Guid) -> dict[str, Any] | None:
    memory = writer.backup_memory(session_id)
    return None if memory is None else dict(memory)


async def resume(lab: Lab, keeper: StoreKeeper) -> None:
    """Give the machine back what ``suspend`` took, after its applications have started.

    Raises:
        ConfigurationError: what ``keeper`` has is damaged, or cannot be had.
    """
    data = keeper.take_suspended()
    if not data:
        return
    try:
        suspended = msgspec.json.decode(data, type=SuspendedBackups)
        documents = [parse_backup_components(each.document.encode("utf-8")) for each in suspended.backups]
        contexts = [SnapshotContext(each.context) for each in suspended.backups]
    except (msgspec.MsgspecError, UnicodeError, ValueError, VssError) as error:
        raise ConfigurationError(f"what the lab remembers of waiting backups is damaged: {error}") from error
    for each, document, context in zip(suspended.backups, documents, contexts, strict=True):
        backup = WaitingBackup(Guid(each.session_id), document, context)
        known = [(memory, lab.writers[memory.writer]) for memory in each.writers if memory.writer in lab.writers]
        writers = []
        for memory, writer in known:
            reason = await _reason_forgotten(writer, backup.session_id, memory)
            if not reason:
                writer.instance_id = Guid(memory.instance_id)  # the same running instance, as far as the backup can tell
            writers.append((writer, memory.changed_ns, reason))
        lab.coordinator.waiting.resume(backup, writers)


async def _reason_forgotten(writer: Writer, session_id: Guid, memory: WriterMemory) -> str:
    """Let a writer remember; return why it cannot, or nothing."""
    if memory.memory is None:
        return "the application was restarted or went down since, and what it knew of the backup lived in its memory"
    try:
        await writer.recall_backup(session_id, memory.memory)
    except VssError as error:
        return f"the backup cannot go on: {error.message}"
    return ""
