"""The restore requestor: a verified set goes back, in the vendor's order, or nothing is touched.

Refused before anything changes: a set that is damaged, incomplete, failed or not the one of the given document; a component
the set does not have or did not succeed with; a writer that is not running, declares no usable restore method, or refuses in
PreRestore (a mounted database). After PreRestore every selected component gets its file restore status, PostRestore is sent
whatever happened to the files (writers must leave the restore state), and a failed component shows in the result.

Stored writer metadata, not the live ones, say which files belong where ("Overview of restore initialization").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vss.coordinator import Session, WriterStatus
from vss.documents import (
    BackupSchema,
    Component,
    ComponentType,
    FileRestoreStatus,
    SelectedComponent,
    WriterComponents,
    WriterMetadata,
)
from vss.documents.selection import component_set
from vss.errors import (
    BackupSetError,
    NotFoundError,
    RestoreRefusedError,
    UnsupportedError,
    VerificationError,
    VssError,
)
from vss.exit_codes import ExitCode
from vss.ids import Guid
from vss.roles.requestor import Machine, Requestor
from vss_requestors.component_outcomes import describe
from vss_requestors.component_selection import ComponentName, find_named
from vss_requestors.options import RestoreOptions
from vss_requestors.phases import Phases
from vss_requestors.repository.records import Owner
from vss_requestors.repository.set_reader import BackupSet, find_set, open_set
from vss_requestors.restore_copy import RestoreCopy
from vss_requestors.restore_placement import check_method, place_files
from vss_requestors.results import RestoredComponent, RestoredFile, RestoreResult, SetVerification
from vss_requestors.verify import verify_opened_set


class RestoreRequestor(Requestor):
    """Restores a backup set. Options of ``run`` are the fields of ``RestoreOptions``."""

    name = "restore"

    async def run(self, machine: Machine, **options: Any) -> RestoreResult:
        """Restore one set.

        Raises:
            VssError: nothing was changed; see the module's promises. A component that could not be restored is not an error
                but data: see ``RestoreResult.exit_code``.
        """
        return await RestoreRun(machine, RestoreOptions(**options)).run()


@dataclass(slots=True)
class RestoringComponent:
    """One component that is being restored."""

    metadata: WriterMetadata
    writer: WriterComponents
    members: tuple[Component, ...]
    component: SelectedComponent
    status: FileRestoreStatus = FileRestoreStatus.NONE
    reason: str = ""

    @property
    def key(self) -> tuple[Guid, ComponentType, str, str]:
        """The arguments by which a session knows the component."""
        return self.writer.writer_id, self.component.type, self.component.logical_path, self.component.component_name

    @property
    def owner(self) -> Owner:
        """How manifest entries name the component."""
        return Owner(str(self.writer.instance_id), self.component.full_path)


class RestoreRun:
    """One restore."""

    def __init__(self, machine: Machine, options: RestoreOptions) -> None:
        """Prepare; nothing happens before ``run``."""
        options.check()
        self._machine = machine
        self._options = options
        self._ports = machine.ports
        self._phases = Phases(machine.ports)
        self._verification: SetVerification | None = None
        self._chosen: list[RestoringComponent] = []
        self._files: list[RestoredFile] = []
        self._warnings: list[str] = []

    async def run(self) -> RestoreResult:
        """Restore, and say what came of it."""
        self._set = await self._open()
        async with self._phases.phase("verify"):
            await self._verify()
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

    # -- up to PreRestore ------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Everything before the first file: any exception leaves the machine as it was."""
        session = self._session
        session.initialize_for_restore(self._set.document)
        await session.gather_writer_metadata()
        self._chosen = self._choose()
        for each in self._chosen:
            check_method(each.metadata)
            session.set_selected_for_restore(*each.key)
            if self._options.additional_restores:
                session.set_additional_restores(*each.key, True)
            options = self._restore_options(each)
            if options:
                session.set_restore_options(*each.key, options)
        async with self._phases.phase("pre-restore"):
            await session.pre_restore()
        await self._refuse_where_writers_do()

    def _choose(self) -> list[RestoringComponent]:
        """The components that were backed up explicitly: the wanted, or all."""
        found: list[RestoringComponent] = []
        for writer in self._set.document.writers:
            metadata = next((each for each in self._set.writers if each.instance_id == writer.instance_id), None)
            if metadata is None:
                raise BackupSetError(f"the set lacks the metadata of writer {writer.writer_id}")
            for component in writer.components:
                declared = metadata.component(component.full_path)
                if declared is None:
                    raise BackupSetError(f"writer '{metadata.friendly_name}' declares no component '{component.full_path}'")
                found.append(RestoringComponent(metadata, writer, component_set(metadata, declared).members, component))
        if self._options.components:
            wanted = [self._wanted(name, found) for name in self._options.components]
            found = [each for each in found if each in wanted]
        if not found:
            raise NotFoundError(f"backup set '{self._set.record.set_id}' has no component")
        return found

    def _wanted(self, name: ComponentName, found: list[RestoringComponent]) -> RestoringComponent:
        number, full_path = find_named(self._set.writers, name)
        for each in found:
            if each.metadata is self._set.writers[number] and each.component.full_path == full_path:
                return each
        raise NotFoundError(
            f"component '{full_path}' was not backed up on its own",
            hint="restore the component it came with: " + ", ".join(each.component.full_path for each in found),
        )

    def _restore_options(self, each: RestoringComponent) -> str:
        if not self._options.authoritative:
            return self._options.restore_options
        if not each.metadata.backup_schema & BackupSchema.AUTHORITATIVE_RESTORE:
            raise UnsupportedError(f"writer '{each.metadata.friendly_name}' knows no authoritative restore")
        return ",".join(filter(None, ['"Authoritative"="All"', self._options.restore_options]))

    async def _refuse_where_writers_do(self) -> None:
        """One refusal refuses all: nothing was copied yet, so everything can be left as it is."""
        for status in await self._session.gather_writer_status():
            if status.failure.is_failure and self._concerns(status):
                raise RestoreRefusedError(
                    f"writer '{status.name}' refuses the restore: {status.message or status.failure.meaning}",
                    hresult=status.failure,
                )

    def _concerns(self, status: WriterStatus) -> bool:
        return any(each.writer.writer_id == status.writer_id for each in self._chosen)

    # -- files -----------------------------------------------------------------------------------------------------------------

    async def _copy(self) -> None:
        for each in self._chosen:
            copy = RestoreCopy(
                self._ports,
                self._machine.files,
                self._set.root,
                throttle_bytes_per_s=self._options.throttle_bytes_per_s,
                progress=self._options.progress,
            )
            entries = [entry for entry in self._set.manifest.files if each.owner in entry.owners]
            try:
                selected = self._selected(each)
                (placements, *_) = await place_files(self._machine.files, each.metadata, each.members, selected, entries)
                self._files.extend(await copy.restore(placements))
                each.status = FileRestoreStatus.ALL
            except VssError as error:
                each.reason = error.message
            finally:
                if each.status is FileRestoreStatus.NONE and copy.has_renamed:
                    each.status = FileRestoreStatus.FAILED

    def _selected(self, each: RestoringComponent) -> SelectedComponent:
        """The component as it is after PreRestore: the writer may have changed its target.

        Found by its place: a session binds the stored parts to the instances that run now, in the order of the document.
        """
        number = next(number for number, writer in enumerate(self._set.document.writers) if writer is each.writer)
        components = self._session.document.writers[number].components
        return next(component for component in components if component.full_path == each.component.full_path)

    async def _end(self) -> None:
        """Statuses, PostRestore, and what the writers say of it."""
        for each in self._chosen:
            self._session.set_file_restore_status(*each.key, each.status)
        async with self._phases.phase("post-restore"):
            await self._session.post_restore()
        for status in await self._session.gather_writer_status():
            if status.failure.is_failure and self._concerns(status):
                for each in self._chosen:
                    if each.writer.writer_id == status.writer_id and not each.reason:
                        each.reason = f"writer failed in PostRestore: {status.message or status.failure.meaning}"

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
