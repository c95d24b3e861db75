"""The restore requestor: a verified set goes back, in the vendor's order, or nothing is touched.

Refused before anything changes: a set that is damaged, incomplete, failed or not the one of the given document; a component
the set does not have or did not succeed with; a writer that is not running, declares no usable restore method, or refuses in
PreRestore (a mounted database). A writer may refuse single components and go on with the others. After PreRestore every
selected component gets its file restore status, PostRestore is sent whatever happened to the files (writers must leave the
restore state), and a failed component shows in the result.

Stored writer metadata, not the live ones, say which files belong where ("Overview of restore initialization"); where they go
is decided by ``vss_requestors.restore_placement``, what is selected by ``vss_requestors.restore_selection``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from vss.coordinator import Session, WriterStatus
from vss.documents import FileRestoreStatus, RestoreMethodKind, SelectedComponent
from vss.documents.environment import expanded_metadata
from vss.documents.ranges import ranges_file_of
from vss.errors import BackupSetError, RestoreRefusedError, VerificationError, VolumeError, VssError
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.ids import GUID_NULL
from vss.roles.machine_settings import settings_of
from vss.roles.requestor import Machine, Requestor
from vss_requestors.component_outcomes import describe
from vss_requestors.options import RestoreOptions
from vss_requestors.phases import Phases
from vss_requestors.repository.set_reader import BackupSet, find_set, open_set
from vss_requestors.restore_copy import RestoreCopy
from vss_requestors.restore_placement import Placement, check_method, method_of, place_files
from vss_requestors.restore_selection import (
    RestoringComponent,
    choose_for_restore,
    dependency_warnings,
    give_new_targets,
    restore_options_for,
)
from vss_requestors.restore_wishes import give_wishes, instance_named
from vss_requestors.results import RestoredComponent, RestoredFile, RestoreResult, SetVerification
from vss_requestors.services import service_of, services_of
from vss_requestors.verify import verify_opened_set
from vss_requestors.written_options import written_options


class RestoreRequestor(Requestor):
    """Restores a backup set, or a chain of them. Options of ``run`` are the fields of ``RestoreOptions``."""

    name = "restore"

    def written_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Parse the fields of ``RestoreOptions`` that a file may have."""
        return written_options(RestoreOptions, options)

    async def run(self, machine: Machine, **options: Any) -> RestoreResult:
        """Restore.

        Raises:
            VssError: nothing was changed; see the module's promises. A component that could not be restored is not an error
                but data: see ``RestoreResult.exit_code``.
        """
        chosen = RestoreOptions(**options)
        if chosen.increments:
            from vss_requestors.restore_chain import restore_sets

            return await restore_sets(machine, chosen)
        return await RestoreRun(machine, chosen).run()


class RestoreRun:
    """One restore of one set."""

    def __init__(self, machine: Machine, options: RestoreOptions) -> None:
        """Prepare; nothing happens before ``run``."""
        options.check()
        self._machine = machine
        self._options = options
        self._ports = machine.ports
        self._services = services_of(machine)
        self._phases = Phases(machine.ports)
        self._verification: SetVerification | None = None
        self._chosen: list[RestoringComponent] = []
        self._files: list[RestoredFile] = []
        self._warnings: list[str] = []

    async def run(self) -> RestoreResult:
        """Restore, and say what came of it."""
        await self.prepare()
        return await self.carry_out()

    async def prepare(self) -> BackupSet:
        """Open the set, verify it, and choose from it; nothing of the machine is asked or changed."""
        opened: BackupSet = await self._ports.faults("restore.open", self._open)
        environment = settings_of(self._machine).environment
        self._set = replace(opened, writers=tuple(expanded_metadata(each, environment) for each in opened.writers))
        self._chosen = self._choose()
        async with self._phases.phase("verify"):
            await self._ports.faults("restore.verify", self._verify)
        return self._set

    async def carry_out(self) -> RestoreResult:
        """Restore what ``prepare`` found."""
        async with self._machine.open_session() as session:
            self._session: Session = session
            self._phases.session_id = str(session.session_id)
            await self._begin()
            try:
                async with self._phases.phase("restore"):
                    await self._copy()
            finally:
                await self._end()
        return self._result()

    # -- the set ---------------------------------------------------------------------------------------------------------------

    async def _open(self) -> BackupSet:
        source, document = self._options.source, self._options.document
        if document is not None:
            of_document = source / str(document.snapshot_set_id)
            if await self._ports.blocking(lambda: self._ports.files.is_directory(of_document)):
                source = of_document
        backup_set = await open_set(self._ports, await find_set(self._ports, source))
        backup_set.require_complete()
        if document is not None and document != backup_set.document:
            raise BackupSetError(
                f"the given document is not that of backup set '{backup_set.record.set_id}'",
                hint="give the document that was saved with this set, or none",
            )
        return backup_set

    async def _verify(self) -> None:
        if not self._options.verify:
            self._warnings.append("the set was not verified before the restore")
            return
        self._verification = await verify_opened_set(
            self._ports,
            self._set,
            self._machine.verifiers,
            throttle_bytes_per_s=self._options.throttle_bytes_per_s,
            progress=self._options.progress,
        )
        wrong = [finding for finding in self._verification.findings if not finding.is_warning]
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise VerificationError(
                f"backup set '{self._set.record.set_id}' is damaged, nothing was restored: {describe(wrong[0])}{more}"
            )

    def _choose(self) -> list[RestoringComponent]:
        chosen = choose_for_restore(self._set, self._options.components)
        for each in chosen:
            check_method(each.metadata)
            each.service = service_of(each.metadata, self._services)
            each.restore_options = restore_options_for(
                each.metadata, self._options.restore_options, authoritative=self._options.authoritative
            )
        give_new_targets(chosen, self._options.new_targets)
        names, instances = self._options.restore_names, self._options.instances
        give_wishes(chosen, self._set.writers, names=names, instances=instances)
        self._warnings.extend(dependency_warnings(chosen))
        return chosen

    # -- up to PreRestore ------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Everything before the first file: any exception leaves the machine as it was."""
        session = self._session
        session.initialize_for_restore(self._set.document)
        running = await self._ports.faults("restore.gather", session.gather_writer_metadata)
        for each in self._chosen:
            if each.to_instance:
                each.target_id = instance_named(running, each.writer.writer_id, each.to_instance)
            session.set_selected_for_restore_ex(*each.key, instance_id=each.target_id)
            for part in each.subcomponents:
                session.add_restore_subcomponent(*each.key, part)
            for target in each.new_targets:
                session.add_new_target(*each.key, target)
            if self._options.additional_restores:
                session.set_additional_restores(*each.key, True)
            if each.restore_options:
                session.set_restore_options(*each.key, each.restore_options)
            self._wish(each)
        async with self._phases.phase("pre-restore"):
            await self._ports.faults("restore.pre_restore", session.pre_restore)
        await self._refuse_where_writers_do()

    def _wish(self, each: RestoringComponent) -> None:
        """What the writer is asked for beyond its files."""
        if self._options.authoritative:
            self._session.set_authoritative_restore(*each.key, True)
        if self._options.roll_forward is not None:
            self._session.set_roll_forward(*each.key, self._options.roll_forward.type, self._options.roll_forward.point)
        if each.restore_name:
            self._session.set_restore_name(*each.key, each.restore_name)

    async def _refuse_where_writers_do(self) -> None:
        """One refusal refuses all: nothing was copied yet, so everything can be left as it is. A writer that refuses single
        components has said that the others may be restored."""
        for status in await self._session.gather_writer_status():
            if not status.failure.is_failure or not self._concerns(status):
                continue
            if status.failure is not HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE:
                raise RestoreRefusedError(
                    f"writer '{status.name}' refuses the restore: {status.message or status.failure.meaning}",
                    hresult=status.failure,
                )
            self._refuse_components(status)

    def _refuse_components(self, status: WriterStatus) -> None:
        for failed in status.component_failures:
            path = "\\".join(filter(None, (failed.logical_path, failed.component_name))).casefold()
            for each in self._chosen:
                if each.writer.writer_id == status.writer_id and each.component.full_path.casefold() == path:
                    each.is_refused = True
                    each.fail(f"writer refuses the restore: {failed.message or failed.failure.meaning}")

    def _concerns(self, status: WriterStatus) -> bool:
        return any(each.writer.writer_id == status.writer_id for each in self._chosen)

    # -- files -----------------------------------------------------------------------------------------------------------------

    async def _copy(self) -> None:
        stopped: list[str] = []
        try:
            for each in self._chosen:
                try:
                    await self._stop_service(each, RestoreMethodKind.STOP_RESTORE_START, stopped)
                    if not each.is_refused:
                        await self._copy_component(each)
                except VssError as error:
                    each.fail(error.message)
        finally:
            for name in stopped:
                await self._start_service(name)

    async def _stop_service(self, each: RestoringComponent, kind: RestoreMethodKind, stopped: list[str]) -> None:
        if each.service and each.service not in stopped and method_of(each.metadata) is kind and not each.is_refused:
            assert self._services is not None, "services are looked up before the session is opened"
            stop = partial(self._services.stop_service, each.service)
            await self._ports.faults("restore.stop_service", stop, service=each.service)
            stopped.append(each.service)

    async def _start_service(self, name: str) -> None:
        assert self._services is not None, "services are looked up before the session is opened"
        try:
            await self._ports.faults("restore.start_service", partial(self._services.start_service, name), service=name)
        except VssError as error:
            for each in self._chosen:
                if each.service == name:
                    each.fail(f"service '{name}' did not start: {error.message}")

    async def _copy_component(self, each: RestoringComponent) -> None:
        """Copy what comes back of one component: to the first of its places that takes it."""
        copy = RestoreCopy(
            self._ports,
            self._machine.files,
            self._set.root,
            throttle_bytes_per_s=self._options.throttle_bytes_per_s,
            progress=self._options.progress,
        )
        entries = [entry for entry in self._set.manifest.files if each.owner in entry.owners]
        selected = self._selected(each)
        try:
            *others, last = await place_files(self._machine.files, each.metadata, each.members, selected, entries)
            for placements in others:
                try:
                    await self._restore(copy, each, placements)
                    return
                except VolumeError as error:
                    self._warnings.append(f"'{each.component.full_path}' goes to its alternate location: {error.message}")
            await self._restore(copy, each, last)
        except VolumeError as error:
            at_reboot = method_of(each.metadata) is RestoreMethodKind.RESTORE_AT_REBOOT_IF_CANNOT_REPLACE
            each.fail(error.message + ("; nothing here replaces files while the machine starts" if at_reboot else ""))
        finally:
            if each.status is FileRestoreStatus.NONE and copy.has_renamed:
                each.status = FileRestoreStatus.FAILED

    async def _restore(self, copy: RestoreCopy, each: RestoringComponent, placements: list[Placement]) -> None:
        self._files.extend(await copy.restore(placements))
        each.status = FileRestoreStatus.ALL
        for mapping in dict.fromkeys(placed.mapping for placed in placements if placed.mapping is not None):
            self._session.add_alternative_location_mapping(*each.key, mapping)
        moved = {placed.entry.machine_path.casefold(): placed.destination for placed in placements}
        for index, partly in enumerate(self._selected(each).partial_files):
            path = ranges_file_of(partly.ranges)
            destination = moved.get(path.casefold(), path)
            if destination != path:
                self._session.set_ranges_file_path(*each.key, index, destination)

    def _selected(self, each: RestoringComponent) -> SelectedComponent:
        """The component as it is after PreRestore: the writer may have changed its target.

        Found by its place: a session binds the stored parts to the instances that run now, in the order of the document.
        """
        number = next(number for number, writer in enumerate(self._set.document.writers) if writer is each.writer)
        here = self._session.document.writers[number]
        moved = None if each.target_id == GUID_NULL else self._session.document.writer(each.target_id)
        components = (moved or here).components
        return next(component for component in components if component.full_path == each.component.full_path)

    async def _end(self) -> None:
        """Statuses, PostRestore, what the writers say of it, and the services that restart afterwards."""
        for each in self._chosen:
            self._session.set_file_restore_status(*each.key, each.status)
        async with self._phases.phase("post-restore"):
            await self._ports.faults("restore.post_restore", self._session.post_restore)
        for status in await self._session.gather_writer_status():
            if status.failure.is_failure and self._concerns(status):
                self._take_failure(status)
        restarted: list[str] = []
        for each in self._chosen:
            try:
                await self._stop_service(each, RestoreMethodKind.RESTORE_STOP_START, restarted)
            except VssError as error:
                each.fail(f"service '{each.service}' did not stop: {error.message}")
        for name in restarted:
            await self._start_service(name)

    def _take_failure(self, status: WriterStatus) -> None:
        failed = {
            "\\".join(filter(None, (one.logical_path, one.component_name))).casefold(): one.message or one.failure.meaning
            for one in status.component_failures
        }
        for each in self._chosen:
            if each.writer.writer_id != status.writer_id:
                continue
            why = failed.get(each.component.full_path.casefold())
            if failed and why is None:
                continue  # the writer went on with this one
            each.fail(f"writer failed in PostRestore: {why or status.message or status.failure.meaning}")

    def _result(self) -> RestoreResult:
        has_failed = any(each.reason for each in self._chosen)
        restored = [file for file in self._files if file.action == "restored"]
        if all(each.status is FileRestoreStatus.NONE for each in self._chosen):
            exit_code = ExitCode.UNEXPECTED
        elif has_failed or self._warnings:
            exit_code = ExitCode.WARNINGS
        else:
            exit_code = ExitCode.OK
        return RestoreResult(
            set_id=self._set.record.set_id,
            session_id=self._phases.session_id,
            phases=tuple(self._phases.timings),
            verification=self._verification,
            files=tuple(self._files),
            restored_bytes=sum(file.size_bytes for file in restored),
            components=tuple(
                RestoredComponent(
                    writer=each.metadata.friendly_name,
                    component=each.component.full_path,
                    status=each.status.name,
                    reason=each.reason,
                )
                for each in self._chosen
            ),
            warnings=tuple(self._warnings),
            exit_code=exit_code,
        )
