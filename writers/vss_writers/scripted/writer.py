"""The scripted writer: declares, records, deletes and checks as its script says, and misbehaves where the script wants it to.

The counterpart of the vendor's VSS Test Writer. Each handler has the same shape: the event is recorded and its order checked,
then the scripted steps have their say (``behaviour``), then the honest work is done. Honest work means: files are recorded by
digest at Freeze, the record goes into the component's backup metadata, and PostRestore compares.

Source: reference page "VSS Test Writer Tool".
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vss.documents import BackupType, FileRestoreStatus, SelectedComponent, WriterMetadata
from vss.documents.file_sets import effective_backup_type
from vss.documents.selection import ComponentSet
from vss.errors import DocumentError, InconsistentSnapshotError, VssError, WriterError
from vss.events import ApplicationLogged
from vss.ids import GUID_NULL, Guid
from vss.plugins.hosts import WriterHost
from vss.roles.writer import ApplicationLevel, Writer, WriterContext
from vss_writers.scripted.backup_work import BackupWork, chosen_sets
from vss_writers.scripted.behaviour import Behaviour, Verdict
from vss_writers.scripted.call_order import CallOrder
from vss_writers.scripted.configuration import load_script
from vss_writers.scripted.declaration import WRITER_CLASS_ID, declare
from vss_writers.scripted.own_files import OwnFiles
from vss_writers.scripted.records import FileRecord, decode_record
from vss_writers.scripted.restore_check import AT_REBOOT, CheckResult, check_excludes, check_includes, excluded_files
from vss_writers.scripted.script import RESTORE_METHODS, Script, seconds

SOURCE = "Scripted Writer"
RECEIVED, FAILED, NOTED, MISUSED = 1, 2, 3, 4
"""Ids in the event log: an event came, something failed, something is worth knowing, the writer was called out of order."""

_SEVERITIES = {RECEIVED: "information", FAILED: "error", NOTED: "warning", MISUSED: "error"}
_SHOWN = {"low": (FAILED, MISUSED), "medium": (RECEIVED, FAILED, NOTED, MISUSED), "high": (RECEIVED, FAILED, NOTED, MISUSED)}
_RECEIVED_MAX = 10_000

Work = Callable[[WriterContext, Verdict], Awaitable[None]]


@dataclass(slots=True)
class ReceivedEvent:
    """One call of a handler. ``outcome`` is ``done``, ``lied``, ``cancelled``, ``failed: …``, or ``under way``."""

    instant_ns: int
    event: str
    session_id: Guid
    outcome: str = "under way"


class ScriptedWriter(Writer):
    """The writer, and as the lab sees it the application too."""

    writer_class_id = WRITER_CLASS_ID

    def __init__(self, host: WriterHost, script: Script) -> None:
        """Behave as ``script`` says on the machine of ``host``."""
        self.name = script.name
        self.instance_name = host.name
        self.application_level = ApplicationLevel[script.application_level.upper()]
        self.freeze_timeout_s = seconds(script.freeze_timeout)
        self.script = script
        self.received: deque[ReceivedEvent] = deque(maxlen=_RECEIVED_MAX)
        self.misuses: list[str] = []
        self.is_frozen = False
        self._host = host
        self._files = host.files
        self._metadata = declare(script, host.name)
        self._behaviour = Behaviour(script.on, host.ports, host.name)
        self._order = CallOrder()
        self._own_files = OwnFiles(host.files, script, host.name)
        self._down = ""
        self._work: dict[Guid, BackupWork] = {}
        self._excluded_before: dict[Guid, dict[str, str]] = {}

    # -- the application -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Make the files at the first start; where that is impossible the application stays down and logs why."""
        try:
            made = await self._own_files.make()
        except VssError as error:
            self._down = error.message
            self._log(FAILED, f"the files could not be made: {error.message}")
            return
        self._down = ""
        self._detail(f"{made} files made")

    async def stop(self) -> None:
        """Go down; the files stay."""
        self._down = "the application was stopped"

    async def fail(self, reason: str) -> None:
        """A disk is gone: go down if it held files of this writer."""
        lost = await self._own_files.first_lost_volume()
        if lost:
            self._down = f"volume {lost} is lost: {reason}"

    def describe(self) -> dict[str, Any]:
        """Return JSON-ready facts; events and misuses are those since the machine started."""
        counts: dict[str, int] = {}
        for each in self.received:
            counts[each.event] = counts.get(each.event, 0) + 1
        return {
            "is_up": not self._down,
            "down_because": self._down,
            "is_frozen": self.is_frozen,
            "components": [each.full_path for each in self._metadata.components],
            "made_files": self._own_files.count,
            "events": dict(sorted(counts.items())),
            "misuses": list(self.misuses),
        }

    # -- the shape of every handler --------------------------------------------------------------------------------------------

    async def _handle(self, event: str, context: WriterContext, work: Work) -> None:
        received = self._receive(event, context.session_id)
        try:
            misuse = self._order.call(context.session_id, event)
            if misuse:
                self.misuses.append(misuse)
                self._log(MISUSED, misuse)
                raise WriterError(misuse)
            received.outcome = await self._play(event, context, work)
        except asyncio.CancelledError:
            received.outcome = "cancelled"
            raise
        except Exception as error:
            received.outcome = f"failed: {error}"
            self._log(FAILED, f"{event} failed: {error}")
            raise

    async def _play(self, event: str, context: WriterContext, work: Work) -> str:
        verdict = await self._behaviour.meet(event)
        if verdict.fail is not None:
            if verdict.fail.is_reported:
                raise verdict.fail.as_error()
            self._log(FAILED, f"{event} failed, unreported: {verdict.fail.message} ({verdict.fail.code})")
            return f"failed: {verdict.fail.message}"
        if verdict.lie == "nothing":
            return "lied"
        await work(context, verdict)
        if verdict.set_failure is not None:
            context.set_failure(verdict.set_failure.code, verdict.set_failure.message)
            self._log(FAILED, f"{event} reported as failed: {verdict.set_failure.message}")
            return f"failed: {verdict.set_failure.message}"
        return "lied" if verdict.lie else "done"

    def _receive(self, event: str, session_id: Guid) -> ReceivedEvent:
        received = ReceivedEvent(self._host.ports.clock.now_ns(), event, session_id)
        self.received.append(received)
        self._log(RECEIVED, f"{event} received")
        return received

    def _log(self, event_id: int, message: str) -> None:
        if event_id in _SHOWN[self.script.verbosity]:
            self._host.ports.emit(
                ApplicationLogged(
                    source=SOURCE,
                    event_id=event_id,
                    severity=_SEVERITIES[event_id],
                    message=f"{self.instance_name}: {message}",
                )
            )

    def _detail(self, message: str) -> None:
        if self.script.verbosity == "high":
            self._log(RECEIVED, message)

    # -- metadata --------------------------------------------------------------------------------------------------------------

    async def identify(self) -> WriterMetadata:
        """Declare what the script says; a lie leaves the last component out. A failure keeps the writer out of the list."""
        received = self._receive("Identify", GUID_NULL)
        try:
            verdict = await self._behaviour.meet("Identify")
            if verdict.fail is not None:
                raise verdict.fail.as_error()
        except Exception as error:
            received.outcome = f"failed: {error}"
            self._log(FAILED, f"Identify failed: {error}")
            raise
        except asyncio.CancelledError:
            received.outcome = "cancelled"
            raise
        received.outcome = "lied" if verdict.lie else "done"
        metadata = replace(self._metadata, instance_id=self.instance_id)
        return replace(metadata, components=metadata.components[:-1]) if verdict.lie else metadata

    # -- backup ----------------------------------------------------------------------------------------------------------------

    async def on_prepare_backup(self, context: WriterContext) -> None:
        """Refuse while the application is down; note a backup type that the script does not support."""
        await self._handle("PrepareForBackup", context, self._prepare_backup)

    async def _prepare_backup(self, context: WriterContext, verdict: Verdict) -> None:
        if self._down:
            raise WriterError(f"nothing can be backed up: {self._down}")
        requested = context.backup_type
        if requested is not BackupType.UNDEFINED:
            effective = effective_backup_type(self._metadata.backup_schema, requested)
            if effective is not requested:
                self._log(NOTED, f"backup type {requested.name} is not supported, the files count as for {effective.name}")

    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        """Check the volumes of the set, make the spit copies, record the files."""
        await self._handle("PrepareForSnapshot", context, self._prepare_snapshot)

    async def _prepare_snapshot(self, context: WriterContext, verdict: Verdict) -> None:
        work = self._work_of(context)
        for path in work.volumes_needed():
            if not context.is_path_affected(path):
                raise InconsistentSnapshotError(f"the set lacks the volume of '{path}'")
        spit = await work.spit()
        taken = await work.take()
        self._detail(f"{spit} files copied to their alternate paths, {taken} files recorded")

    async def on_freeze(self, context: WriterContext) -> None:
        """Stop, and bring the record up to date."""
        await self._handle("Freeze", context, self._freeze)

    async def _freeze(self, context: WriterContext, verdict: Verdict) -> None:
        self.is_frozen = True
        await self._work_of(context).take()

    async def on_thaw(self, context: WriterContext) -> None:
        """Go on."""
        await self._handle("Thaw", context, self._thaw)

    async def _thaw(self, context: WriterContext, verdict: Verdict) -> None:
        self.is_frozen = False

    async def on_post_snapshot(self, context: WriterContext) -> None:
        """Put the record into the document; delete the originals where the script says so."""
        await self._handle("PostSnapshot", context, self._post_snapshot)

    async def _post_snapshot(self, context: WriterContext, verdict: Verdict) -> None:
        work = self._work_of(context)
        if context.components is not None:
            components, notes = work.described(context.components, has_lie=verdict.lie == "metadata")
            context.set_components(components)
            for note in notes:
                self._log(NOTED, note)
        deleted = await work.delete_originals()
        self._detail(f"{deleted} files deleted from the live volumes")

    async def on_abort(self, context: WriterContext) -> None:
        """Undo everything, whatever was reached."""
        await self._handle("Abort", context, self._abort)

    async def _abort(self, context: WriterContext, verdict: Verdict) -> None:
        self.is_frozen = False
        work = self._work.pop(context.session_id, None)
        if work is not None:
            await work.end_spit(undo=True)

    async def on_backup_complete(self, context: WriterContext) -> None:
        """Note the components that the requestor does not report as successful."""
        await self._handle("BackupComplete", context, self._backup_complete)

    async def _backup_complete(self, context: WriterContext, verdict: Verdict) -> None:
        for each in () if context.components is None else context.components.components:
            if each.backup_succeeded is not True:
                said = "as failed" if each.backup_succeeded is False else "neither as successful nor as failed"
                self._log(NOTED, f"the requestor reports component '{each.full_path}' {said}")

    async def on_backup_shutdown(self, context: WriterContext) -> None:
        """Forget the session."""
        await self._handle("BackupShutdown", context, self._backup_shutdown)

    async def _backup_shutdown(self, context: WriterContext, verdict: Verdict) -> None:
        work = self._work.pop(context.session_id, None)
        if work is not None:
            await work.end_spit(undo=False)

    def backup_memory(self, session_id: Guid) -> dict[str, Any]:
        """Which copies of files are still to be deleted."""
        work = self._work.get(session_id)
        return {"spit": [] if work is None else work.spit_copies}

    async def recall_backup(self, session_id: Guid, memory: Mapping[str, Any]) -> None:
        """PostSnapshot was the last that was heard."""
        self._order.recall(session_id, "PostSnapshot")
        work = BackupWork(self._files, self.script, self._metadata, None, BackupType.FULL)
        work.recall_spit([str(each) for each in memory.get("spit", ())])
        self._work[session_id] = work

    def _work_of(self, context: WriterContext) -> BackupWork:
        """The session's work; begun here by whichever handler comes first, as earlier ones may have lied."""
        work = self._work.get(context.session_id)
        if work is None:
            work = BackupWork(self._files, self.script, self._metadata, context.components, context.backup_type)
            self._work[context.session_id] = work
        return work

    # -- restore ---------------------------------------------------------------------------------------------------------------

    async def on_pre_restore(self, context: WriterContext) -> None:
        """Remember the excluded files that are there."""
        await self._handle("PreRestore", context, self._pre_restore)

    async def _pre_restore(self, context: WriterContext, verdict: Verdict) -> None:
        if self.script.check_excludes:
            self._excluded_before = {
                context.session_id: await excluded_files(self._files, self._metadata.excluded)
            }  # a restore that was given up before has nothing to compare any more

    async def on_post_restore(self, context: WriterContext) -> None:
        """Check that every file is back and no excluded one is; the first difference fails the writer."""
        await self._handle("PostRestore", context, self._post_restore)

    async def _post_restore(self, context: WriterContext, verdict: Verdict) -> None:
        for chosen, selected in chosen_sets(self._metadata, context.components):
            if selected is not None and selected.selected_for_restore:
                await self._check_component(chosen, selected)
        before = self._excluded_before.pop(context.session_id, None)
        if before is not None:
            self._judge(check_excludes(before, await excluded_files(self._files, self._metadata.excluded)))
        self._down = ""

    async def _check_component(self, chosen: ComponentSet, selected: SelectedComponent) -> None:
        path = selected.full_path
        if selected.additional_restores:
            self._detail(f"component '{path}': more sets follow, nothing is checked yet")
            return
        status = selected.file_restore_status
        if status is FileRestoreStatus.FAILED:
            raise WriterError(f"component '{path}': the requestor restored some of its files only")
        if status is FileRestoreStatus.NONE:
            self._log(NOTED, f"component '{path}': the requestor restored nothing")
            return
        if status is FileRestoreStatus.UNDEFINED:
            self._log(NOTED, f"component '{path}': the requestor set no file restore status")
        if not self.script.check_includes or RESTORE_METHODS[self.script.restore_method.method] in AT_REBOOT:
            return
        records = self._records(selected)
        if records is not None:
            self._judge(await check_includes(self._files, self._metadata, chosen.members, selected, records))

    def _records(self, selected: SelectedComponent) -> tuple[FileRecord, ...] | None:
        if not selected.backup_metadata:
            self._log(NOTED, f"component '{selected.full_path}': no record came with the backup, nothing is checked")
            return None
        try:
            return decode_record(selected.backup_metadata, selected.full_path)
        except DocumentError as error:
            raise WriterError(error.message) from error

    def _judge(self, result: CheckResult) -> None:
        for note in result.notes:
            self._log(NOTED, note)
        if result.difference:
            raise WriterError(f"after the restore: {result.difference}")
        self._detail(f"{result.checked} files checked after the restore")


def make_scripted_writer(host: WriterHost, options: Mapping[str, Any]) -> ScriptedWriter:
    """Make the writer that ``lab.toml`` describes (the factory registered by the plugin).

    Raises:
        ConfigurationError: an option means nothing; names the key.
        DocumentError: an XML configuration is malformed, hostile, or not in the format; names line and reason.
    """
    return ScriptedWriter(host, load_script(host, options))
