"""The backup requestor: one whole snapshot backup, from initialise to release, in the vendor's order.

What it promises ("Overview of processing a backup under VSS" tells the order, the rest is ours):

- files are read from the shadow copies and from nowhere else;
- a component is reported as successful only when all its files were copied whole, read again from the target with the right
  digests, and judged good by the writer's verifier;
- the set on disk is complete and durable before BackupComplete is sent, because writers truncate their logs on it;
- whatever goes wrong before that, nothing is truncated, the set says "failed", shadow copies go, the session is released, and
  the first cause is what the caller gets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from vss.coordinator import Session, SnapshotContext, WriterStatus
from vss.documents import WriterMetadata
from vss.errors import BadStateError, NotFoundError, VerificationError, VssError
from vss.events import BackupSetWritten, ComponentFailed, ComponentSucceeded, Record
from vss.ids import Guid
from vss.observe import jsonl
from vss.roles.requestor import Machine, Requestor
from vss.roles.volume import FileSystem
from vss_requestors.backup_plan import needed_volumes, plan_files
from vss_requestors.backup_result import backup_result
from vss_requestors.backup_types import check_previous, previous_stamps, type_warnings
from vss_requestors.component_outcomes import ComponentOutcomes, with_silent, writer_error
from vss_requestors.component_selection import choose_components, missing_dependency_warnings
from vss_requestors.errors import TargetError
from vss_requestors.fault_points import passing
from vss_requestors.file_sets import PlannedFile
from vss_requestors.machine_rules import MachineRules
from vss_requestors.options import BackupOptions
from vss_requestors.phases import Phases
from vss_requestors.repository.records import CompleteState, SessionRecord, SetState
from vss_requestors.repository.set_writer import SetWriter
from vss_requestors.results import BackupResult
from vss_requestors.set_copy import SetCopy
from vss_requestors.set_documents import SetDocuments
from vss_requestors.set_judgement import SetJudgement, judge
from vss_requestors.target import check_document, check_set_is_new, check_target
from vss_requestors.written_options import written_options

DOCUMENTS_BYTES = 1 << 20
"""Room kept for the set's own documents beside the files."""


class BackupRequestor(Requestor):
    """Backs a machine up. Options of ``run`` are the fields of ``BackupOptions``."""

    name = "backup"

    def written_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Parse the fields of ``BackupOptions`` that a file may have."""
        return written_options(BackupOptions, options)

    async def run(self, machine: Machine, **options: Any) -> BackupResult:
        """Take one backup.

        Raises:
            VssError: nothing was reported as backed up; see the module's promises. Wrong bytes and writers left out are not
                errors but data: see ``BackupResult.exit_code``.
        """
        return await BackupRun(machine, BackupOptions(**options)).run()


class BackupRun:
    """One backup. State is in fields, so that it can be undone from any point."""

    def __init__(self, machine: Machine, options: BackupOptions) -> None:
        """Prepare; nothing happens before ``run``."""
        options.check()
        self._machine = machine
        self._options = options
        self._ports = machine.ports
        self._phases = Phases(machine.ports)
        self._first_record = len(self._all_records())
        self._started_ns = self._ports.clock.wall_ns()
        self._metadata: list[WriterMetadata] = []  # of the writers that have a part in this
        self._documents = SetDocuments(machine.ports, options.document_file)
        self._outcomes = ComponentOutcomes([])
        self._warnings: list[str] = []
        self._snapshots: dict[str, Guid] = {}  # by volume
        self._shadow_copies: dict[str, FileSystem] = {}  # the same, opened
        self._rules = MachineRules(machine)
        self._planned: list[PlannedFile] = []
        self._set: SetWriter | None = None
        self._judgement = SetJudgement()
        self._is_reported = False

    async def run(self) -> BackupResult:
        """Take the backup and say what came of it."""
        await self._check_places()
        async with self._machine.open_session() as session:
            self._session: Session = session
            self._phases.session_id = str(session.session_id)
            try:
                await self._discover()
                await self._take_snapshots()
                if self._options.snapshot_only:
                    await self._end_without_copy()
                else:
                    await self._copy()
                    await self._judge()
                    await self._ports.faults("requestor.seal", self._seal)
                    await self._complete()
                await self._ports.faults("requestor.release", self._release)
            except BaseException as error:
                await self._ports.faults("requestor.undo", partial(self._undo, error))
                raise
        await self._ports.faults("requestor.reseal", self._reseal)
        return self._result()

    # -- before anybody is asked -----------------------------------------------------------------------------------------------

    async def _check_places(self) -> None:
        if self._options.target is not None:
            await check_target(self._ports, self._options.target, lab=self._machine.root)
        if self._options.document_file is not None:
            await check_document(self._ports, self._options.document_file)

    # -- discovery -------------------------------------------------------------------------------------------------------------

    async def _discover(self) -> None:
        session, options = self._session, self._options
        session.initialize_for_backup()
        if options.persistent or options.rollback:
            session.set_context(SnapshotContext.APP_ROLLBACK)
        session.set_backup_state(
            select_components=True,
            bootable_system_state=options.bootable_system_state,
            backup_type=options.backup_type,
            partial_file_support=True,
        )
        async with self._phases.phase("gather"):
            declared = await self._ports.faults("requestor.gather", session.gather_writer_metadata)
        identified = self._rules.expanded(declared)
        chosen = await passing(self._ports, "requestor.select", choose_components(identified, options.components))
        if not chosen:
            raise NotFoundError("no writer of this machine declares anything to back up")
        self._outcomes = ComponentOutcomes(chosen)
        self._metadata = [each.metadata for each in chosen]
        self._documents.take(self._rules.as_declared(self._metadata))
        for each in self._outcomes.components:
            metadata, component = each.metadata, each.component
            session.add_component(
                metadata.instance_id, metadata.writer_id, component.type, component.logical_path, component.component_name
            )
        self._warnings.extend(type_warnings(self._metadata, options.backup_type))
        self._warnings.extend(missing_dependency_warnings(identified, chosen))
        if options.previous is not None:
            self._warnings.extend(check_previous(options.previous, chosen, options.backup_type))

    # -- snapshots -------------------------------------------------------------------------------------------------------------

    async def _take_snapshots(self) -> None:
        session, target = self._session, self._options.target
        set_id = session.start_snapshot_set()
        if target is not None:
            await check_set_is_new(self._ports, target, set_id)
        volumes = needed_volumes(self._outcomes, self._options.backup_type)
        for volume in await passing(self._ports, "requestor.volumes", volumes):
            add = partial(session.add_to_snapshot_set, volume, self._options.provider_id)
            self._snapshots[volume] = await self._ports.faults("requestor.add_volume", add, volume=volume)
        if self._options.previous is not None:
            for each in previous_stamps(self._options.previous, session.document):
                session.set_previous_backup_stamp(*each)
        async with self._phases.phase("prepare"):
            await self._ports.faults("requestor.prepare", session.prepare_for_backup)
            await passing(self._ports, "requestor.after_prepare", None)
        await self._leave_failed_writers_out()
        async with self._phases.phase("snapshot"):
            await self._ports.faults("requestor.snapshot", session.do_snapshot_set)
            await passing(self._ports, "requestor.after_snapshot", None)
        await self._leave_failed_writers_out()

    async def _leave_failed_writers_out(self) -> None:
        """Fail the components of writers that failed; end where none is left, or where the first failure is to end it.

        Raises:
            WriterError: as above.
        """
        first: VssError | None = None
        for status in await self._statuses():
            if status.failure.is_failure and self._outcomes.of_writer(status.instance_id):
                error = writer_error(status.name, status.failure, status.message)
                self._outcomes.fail_status(status, error.message)
                first = first or error
        if first is not None and (self._options.stop_on_writer_error or not self._outcomes.hopeful):
            raise first

    async def _statuses(self) -> list[WriterStatus]:
        statuses: list[WriterStatus] = await self._ports.faults("requestor.status", self._session.gather_writer_status)
        return with_silent(statuses, [each.metadata for each in self._outcomes.components])

    async def _end_without_copy(self) -> None:
        """Nothing was copied, so nothing may be reported as backed up: abort; writers hear BackupShutdown at release."""
        await self._documents.write_file(self._session.save_as_xml())
        await self._session.abort_backup()

    # -- copy and verify -------------------------------------------------------------------------------------------------------

    async def _copy(self) -> None:
        assert self._options.target is not None, "options are checked before the session is opened"
        async with self._phases.phase("copy"):
            for volume, snapshot_id in self._snapshots.items():
                opening = partial(self._session.open_snapshot, snapshot_id)
                self._shadow_copies[volume] = await self._ports.faults("requestor.open", opening, volume=volume)
            planned = await plan_files(
                self._outcomes, self._session.document, self._shadow_copies, self._options.backup_type, self._rules.environment
            )
            self._planned = self._rules.keep_out(planned)
            needed_bytes = sum(file.size_bytes for file in self._planned) + DOCUMENTS_BYTES
            await check_target(self._ports, self._options.target, lab=self._machine.root, needed_bytes=needed_bytes)
            self._set = SetWriter(self._ports, self._options.target, self._record("writing"))
            await self._set.begin()
            copy = SetCopy(
                self._ports,
                self._set,
                self._shadow_copies,
                throttle_bytes_per_s=self._options.throttle_bytes_per_s,
                progress=self._options.progress,
            )
            await copy.copy_all(self._planned, self._outcomes)

    async def _judge(self) -> None:
        if not self._options.verify:
            return
        assert self._set is not None, "verification follows copying"
        async with self._phases.phase("verify"):
            self._judgement = await judge(
                self._ports,
                self._set,
                self._outcomes,
                self._machine.verifiers,
                document=self._session.document,
                verify_on=self._options.verify_on,
                shadow_copies=self._shadow_copies,
                planned=self._planned,
                throttle_bytes_per_s=self._options.throttle_bytes_per_s,
                progress=self._options.progress,
            )

    # -- the end ---------------------------------------------------------------------------------------------------------------

    async def _seal(self) -> None:
        """Say what succeeded, write the documents, make the set durable. After this a crash loses nothing."""
        assert self._set is not None, "sealing follows copying"
        self._outcomes.settle()
        self._set_backup_succeeded()
        await self._documents.write_file(await self._documents.write(self._set, self._session.document))
        state: SetState = "complete" if all(each.succeeded for each in self._outcomes.records) else "failed"
        sealed = await self._set.finish(self._record(state), jsonl.encode_all(self._records()))
        self._ports.emit(
            BackupSetWritten(
                snapshot_set_id=sealed.set_id,
                state=sealed.state,
                file_count=len(self._set.files),
                size_bytes=sum(file.size_bytes for file in self._set.files),
            )
        )

    def _set_backup_succeeded(self) -> None:
        for each in self._outcomes.components:
            metadata, component = each.metadata, each.component
            self._session.set_backup_succeeded(
                metadata.instance_id,
                metadata.writer_id,
                component.type,
                component.logical_path,
                component.component_name,
                bool(each.record.succeeded),
            )
            names = {"session_id": self._phases.session_id, "writer": metadata.friendly_name, "component": component.full_path}
            if each.record.succeeded:
                self._ports.emit(ComponentSucceeded(**names))
            else:
                self._ports.emit(ComponentFailed(**names, reason=each.record.reason))

    async def _complete(self) -> None:
        """Tell the writers. They learn of failed components too, and truncate for successful ones only."""
        assert self._set is not None, "completion follows sealing"
        if not self._options.send_backup_complete:
            self._set.record = msgspec.structs.replace(self._set.record, backup_complete="left out")
            return
        self._is_reported = True
        reached: CompleteState = "delivered"
        async with self._phases.phase("complete"):
            try:
                await self._ports.faults("requestor.complete", self._session.backup_complete)
            except VssError as error:  # the set is complete all the same; what suffers is truncation
                reached = "failed"
                self._warnings.append(f"BackupComplete failed: {error.message}")
        for status in await self._statuses():
            included = self._outcomes.of_writer(status.instance_id)
            if status.failure.is_failure and any(each.record.succeeded for each in included):
                self._warnings.append(f"writer '{status.name}' failed at BackupComplete: {status.message}")
        self._set.record = msgspec.structs.replace(self._set.record, backup_complete=reached)

    async def _release(self) -> None:
        """Release here, where a failure can still be told: the backup is good, a shadow copy may have stayed. Without
        BackupComplete the backup is left waiting for it."""
        is_left_waiting = not self._options.send_backup_complete and not self._options.snapshot_only
        try:
            await (self._session.leave_waiting() if is_left_waiting else self._session.release())
        except VssError as error:
            self._warnings.append(f"the session was not released cleanly: {error.message}")

    async def _reseal(self) -> None:
        """Bring seal and event log up to date with how the session ended; the set is good without: failing is a warning."""
        if self._set is None:
            return
        finished_ns = self._ports.clock.wall_ns()
        record = msgspec.structs.replace(self._set.record, finished_ns=finished_ns, warnings=tuple(self._warnings))
        try:
            await self._set.reseal(record, jsonl.encode_all(self._records()))
        except (TargetError, VerificationError) as error:
            self._warnings.append(f"the set does not say how the session ended: {error.message}")

    async def _undo(self, error: BaseException) -> None:
        """Leave nothing behind that looks like a backup; what fails here is noted on ``error``, which stays the cause."""
        if self._is_reported:
            return  # the set is complete and the writers may have truncated: it must stay as it is
        undone = [self._delete_kept_snapshots, self._abort_backup, self._mark_failed, self._remove_document_file]
        for step in undone:
            try:
                await step(error)
            except (VssError, OSError) as problem:
                error.add_note(f"while undoing: {problem}")

    async def _delete_kept_snapshots(self, error: BaseException) -> None:
        made = [snapshot_id for snapshot_id in self._snapshots.values() if self._is_made(snapshot_id)]
        if made and (self._options.persistent or self._options.rollback):
            await self._session.delete_snapshots(made)

    def _is_made(self, snapshot_id: Guid) -> bool:
        try:
            self._session.get_snapshot_properties(snapshot_id)
        except (NotFoundError, BadStateError):
            return False
        return True

    async def _abort_backup(self, error: BaseException) -> None:
        try:
            await self._session.abort_backup()
        except BadStateError:
            return  # nothing was begun, or it was aborted already

    async def _mark_failed(self, error: BaseException) -> None:
        if self._set is None or not self._set.is_begun:
            return
        await self._documents.write(self._set, self._session.document)
        cause = str(error) or type(error).__name__
        await self._set.finish(self._record("failed", error=cause), jsonl.encode_all(self._records()))

    async def _remove_document_file(self, error: BaseException) -> None:
        await self._documents.remove_file()

    # -- what is said of it ----------------------------------------------------------------------------------------------------

    def _record(self, state: SetState, *, error: str = "") -> SessionRecord:
        return SessionRecord(
            state=state,
            set_id=str(self._session.document.snapshot_set_id),
            session_id=str(self._session.session_id),
            machine=self._machine.name,
            backup_type=self._options.backup_type.name,
            started_ns=self._started_ns,
            finished_ns=self._ports.clock.wall_ns(),
            is_verified=self._judgement.is_verified,
            components=self._outcomes.records,
            warnings=tuple(self._warnings),
            error=error,
        )

    def _all_records(self) -> Sequence[Record]:
        return self._options.records() if self._options.records is not None else ()

    def _records(self) -> Sequence[Record]:
        return self._all_records()[self._first_record :]

    def _result(self) -> BackupResult:
        return backup_result(
            set_id=str(self._session.document.snapshot_set_id),
            backup_type=self._options.backup_type,
            written=self._set,
            judgement=self._judgement,
            components=self._outcomes.records,
            snapshots=self._snapshots,
            are_snapshots_kept=self._options.persistent or self._options.rollback,
            left_out=self._rules.left_out,
            warnings=self._warnings,
            phases=self._phases,
            records=self._records(),
        )
