"""Writer checks: PreRestore and PostRestore, in order, refused, failed, twice, without one another.

Source of the rules: Volume Shadow Copy Service documentation, "Overview of processing a restore under VSS",
"VSS_WRITERRESTORE_ENUM".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vss.coordinator import Session, WriterStatus
from vss.documents import BackupComponents, FileRestoreStatus, WriterMetadata, WriterRestore
from vss.hresult import HResult
from vss.testing.contracts.direct_session import DirectSession
from vss.testing.contracts.verdict import broken, not_applicable, page
from vss.testing.contracts.writer_base import WriterChecks
from vss.testing.contracts.writer_bench import WriterBench, read_file
from vss.testing.contracts.writer_freeze import ShadowFiles, shadow_files

_RESTORE = page("Overview of processing a restore under VSS")


class RestoreChecks(WriterChecks):
    """Sessions that put files back."""

    async def _metadata(self, bench: WriterBench) -> WriterMetadata:
        """Return the metadata of a writer that takes part in restores; skip otherwise."""
        metadata = await bench.observed.identify()
        if metadata.restore_method is None or metadata.restore_method.writer_restore is WriterRestore.NEVER:
            not_applicable("the writer's restore method says that it takes no part in restores (VSS_WRE_NEVER)")
        return metadata

    async def _stored(self, bench: WriterBench) -> tuple[BackupComponents, dict[str, bytes]]:
        """Back up; return the document and the bytes of every declared file, as a requestor keeps them."""
        copies: dict[str, bytes] = {}
        documents: list[BackupComponents] = []
        metadata = await bench.observed.identify()

        async def copy(session: Session) -> None:
            files = await shadow_files(bench, session)
            for path in await bench.own_files(metadata):
                if await files.exists(path):
                    copies[path] = await read_file(files, path)
            documents.append(session.document)

        await bench.demand_backup("the backup to restore from", on_snapshot=copy)
        return documents[0], copies

    async def _put_back(self, bench: WriterBench, copies: Mapping[str, bytes]) -> None:
        for path, data in copies.items():
            await bench.files.files.make_directory(path.rpartition("\\")[0])
            handle = await bench.files.files.open(path, write=True, create=True)
            await handle.truncate(0)
            await handle.pwrite(0, data)
            await handle.sync()
            await handle.close()

    async def _restore(
        self,
        bench: WriterBench,
        document: BackupComponents,
        copies: Mapping[str, bytes],
        status: FileRestoreStatus = FileRestoreStatus.ALL,
    ) -> tuple[WriterStatus, WriterStatus]:
        """Restore; return the status after PreRestore and after PostRestore."""
        async with bench.coordinator.open_session() as session:
            session.initialize_for_restore(document)
            await bench.demand_metadata(session)
            keys = [
                (writer.writer_id, each.type, each.logical_path, each.component_name)
                for writer in document.writers
                if writer.writer_id == bench.writer.writer_class_id
                for each in writer.components
            ]
            for key in keys:
                session.set_selected_for_restore(*key)
            await session.pre_restore()
            before = await bench.status(session)
            if before.failure is HResult.S_OK:
                if status is FileRestoreStatus.ALL:
                    await self._put_back(bench, copies)
                for key in keys:
                    session.set_file_restore_status(*key, status)
            await session.post_restore()
            return before, await bench.status(session)

    def test_a_restore_of_everything_succeeds(self) -> None:
        """After what an operator does first (``before_restore``): both events are answered, and the application goes on."""

        async def story(bench: WriterBench) -> None:
            await self._metadata(bench)
            document, copies = await self._stored(bench)
            await bench.work_once()
            await self.before_restore(bench.writer)
            for step, status in zip(("PreRestore", "PostRestore"), await self._restore(bench, document, copies), strict=True):
                if status.failure is not HResult.S_OK:
                    broken(
                        f"{bench.name} refuses a restore of everything at {step}",
                        expected="S_OK: the files are back as they were on the shadow copy",
                        found=f"{status.failure.name}: {status.message}",
                        mend="accept it, or do in before_restore what an operator has to do first",
                        source=_RESTORE,
                    )
            await bench.demand_recovered("a restore")

        self.play(story)

    def test_restored_files_pass_the_verifier(self) -> None:
        """Before PostRestore has touched them the verifier accepts what lies on the live volumes."""
        verifier = self.make_verifier()
        if verifier is None:
            not_applicable("the contract class names no verifier (override make_verifier)")

        async def story(bench: WriterBench) -> None:
            metadata = await bench.observed.identify()
            _, copies = await self._stored(bench)
            await self.before_restore(bench.writer)
            for path in await bench.own_files(metadata):
                await bench.files.files.remove(path)
            await self._put_back(bench, copies)
            report = await verifier.verify(ShadowFiles(bench.files.files, list(copies)))
            bad = [each for each in report.findings if not each.is_warning]
            if bad:
                broken(
                    f"{bench.name}: its backed-up files are damaged by its own verifier's measure",
                    expected="no finding",
                    found=f"{bad[0].path}: {bad[0].code} {bad[0].message}",
                    mend="declare every file that belongs together, and freeze all of them at one point in time",
                    source=_RESTORE,
                )

        self.play(story)

    def test_a_restore_over_a_running_application_is_refused_or_served(self) -> None:
        """Without ``before_restore``: a legal refusal in PreRestore is right, silent damage is not."""

        async def story(bench: WriterBench) -> None:
            await self._metadata(bench)
            document, copies = await self._stored(bench)
            await self._restore(bench, document, copies)
            bench.demand_legal_failures("a restore over a running application")

        self.play(story)

    def _check_status(self, status: FileRestoreStatus) -> None:
        async def story(bench: WriterBench) -> None:
            await self._metadata(bench)
            document, copies = await self._stored(bench)
            await self.before_restore(bench.writer)
            await self._restore(bench, document, copies, status)
            bench.demand_legal_failures(f"a restore with file restore status {status.name}")

        self.play(story)

    def test_a_restore_that_put_nothing_back_is_answered(self) -> None:
        """VSS_RS_NONE: the files are as they were."""
        self._check_status(FileRestoreStatus.NONE)

    def test_a_restore_that_failed_midway_is_answered(self) -> None:
        """VSS_RS_FAILED: some files are back, some are not."""
        self._check_status(FileRestoreStatus.FAILED)

    def test_a_restore_that_reports_nothing_is_answered(self) -> None:
        """The requestor set no status at all."""
        self._check_status(FileRestoreStatus.UNDEFINED)

    def test_a_second_restore_is_answered(self) -> None:
        """The same set again, as after a first attempt that somebody did not trust."""

        async def story(bench: WriterBench) -> None:
            await self._metadata(bench)
            document, copies = await self._stored(bench)
            for _ in range(2):
                await self.before_restore(bench.writer)
                await self._restore(bench, document, copies)
                bench.demand_legal_failures("two restores")
            await bench.demand_recovered("two restores")

        self.play(story)

    def _check_lonely(self, *steps: str) -> None:
        async def story(session: DirectSession) -> None:
            await self._metadata(session.bench)
            assert session.part is not None
            components = tuple(replace(each, selected_for_restore=True) for each in session.part.components)
            session.part = replace(session.part, components=components)
            await self.before_restore(session.bench.writer)
            await session.calls(*steps)

        self.play_directly(story)

    def test_post_restore_alone_is_answered(self) -> None:
        """PreRestore may have been lost, or the writer restarted between."""
        self._check_lonely("post_restore")

    def test_repeated_restore_events_are_answered(self) -> None:
        """Each twice."""
        self._check_lonely("pre_restore", "pre_restore", "post_restore", "post_restore")

    def test_a_restore_that_stops_after_pre_restore_is_answered(self) -> None:
        """The requestor dies; the next restore begins anew."""
        self._check_lonely("pre_restore", "pre_restore", "post_restore")

    def test_restore_events_of_a_writer_that_takes_no_part_change_nothing(self) -> None:
        """VSS_WRE_NEVER: should an event arrive all the same, it is harmless."""

        async def story(session: DirectSession) -> None:
            metadata = session.metadata
            if metadata.restore_method is not None and metadata.restore_method.writer_restore is not WriterRestore.NEVER:
                not_applicable("the writer takes part in restores")
            since = len(session.bench.files.changes)
            await session.demand("pre_restore", "post_restore")
            changes = session.bench.changes_of(metadata, session.bench.files.changes[since:])
            if changes:
                broken(
                    f"{session.bench.name} changes files in a restore that it takes no part in",
                    expected="no change",
                    found=str(changes[0]),
                    mend="declare VSS_WRE_ALWAYS in the restore method, or leave the files alone",
                    source=page("VSS_WRITERRESTORE_ENUM"),
                )

        self.play_directly(story)
