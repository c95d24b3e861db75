"""Writer checks: what may be thrown away, and when: in BackupComplete only, and only of components reported as backed up.

Source of the rules: Volume Shadow Copy Service documentation, "CVssWriter::OnBackupComplete",
"IVssComponent::GetBackupSucceeded".
"""

from __future__ import annotations

from collections.abc import Callable

from vss.documents import BackupType
from vss.documents.selection import explicit_when_everything_is_chosen
from vss.testing.contracts.direct_session import DirectSession
from vss.testing.contracts.verdict import broken, not_applicable, page
from vss.testing.contracts.watched_files import Change
from vss.testing.contracts.writer_base import WriterChecks
from vss.testing.contracts.writer_bench import WriterBench

_COMPLETE = page("CVssWriter::OnBackupComplete")


class CompletionChecks(WriterChecks):
    """BackupComplete, with success, without, with some."""

    async def _losses(self, bench: WriterBench, handler: str, since: int) -> list[Change]:
        metadata = await bench.observed.identify()
        return [each for each in bench.changes_of(metadata, bench.files.changes[since:]) if each.is_loss]

    def _refuse_loss(self, bench: WriterBench, when: str, loss: Change) -> None:
        broken(
            f"{bench.name} throws data away {when}",
            expected="no declared file removed or shortened",
            found=str(loss),
            mend="truncate in on_backup_complete only, and only where backup_succeeded is True",
            source=_COMPLETE,
        )

    def _check_keeps(
        self, when: str, succeeded: Callable[[int], bool | None], backup_type: BackupType = BackupType.FULL
    ) -> None:
        async def story(bench: WriterBench) -> None:
            for _ in range(20):
                await bench.work_once()
            since = len(bench.files.changes)
            await bench.backup(succeeded=succeeded, backup_type=backup_type)
            bench.demand_legal_failures(when)
            for loss in await self._losses(bench, "on_backup_complete", since):
                self._refuse_loss(bench, when, loss)
            await bench.demand_recovered(when)

        self.play(story)

    def test_nothing_is_thrown_away_when_components_failed(self) -> None:
        """The requestor says of every component that it was not backed up."""
        self._check_keeps("although no component was reported as backed up", lambda index: False)

    def test_nothing_is_thrown_away_when_nothing_was_reported(self) -> None:
        """The requestor says nothing: that is no success."""
        self._check_keeps("although the requestor reported nothing", lambda index: None)

    def test_nothing_is_thrown_away_for_a_copy_backup(self) -> None:
        """A copy leaves history and logs alone, successful or not."""
        self._check_keeps("for a COPY backup", lambda index: True, BackupType.COPY)

    def test_nothing_is_thrown_away_when_the_session_is_dropped(self) -> None:
        """BackupShutdown without BackupComplete."""

        async def story(bench: WriterBench) -> None:
            for _ in range(20):
                await bench.work_once()
            since = len(bench.files.changes)
            async with bench.coordinator.open_session() as session:
                await bench.prepare(session)
                await session.do_snapshot_set()
                bench.report(session, lambda index: True)
            for loss in await self._losses(bench, "on_backup_shutdown", since):
                self._refuse_loss(bench, "in BackupShutdown, without BackupComplete", loss)

        self.play(story)

    def test_nothing_is_thrown_away_before_backup_complete(self) -> None:
        """The requestor still copies, and may fail."""

        async def story(bench: WriterBench) -> None:
            for _ in range(20):
                await bench.work_once()
            since = len(bench.files.changes)
            async with bench.coordinator.open_session() as session:
                await bench.prepare(session)
                await session.do_snapshot_set()
                for loss in await self._losses(bench, "on_post_snapshot", since):
                    self._refuse_loss(bench, "before BackupComplete", loss)

        self.play(story)

    def test_nothing_is_thrown_away_when_the_set_is_aborted(self) -> None:
        """At every point of the set."""

        async def story(session: DirectSession) -> None:
            bench = session.bench
            steps = ("prepare_backup", "prepare_snapshot", "freeze", "thaw")
            for count in range(len(steps) + 1):
                since = len(bench.files.changes)
                another = session.another()
                await another.demand(*steps[:count], "abort")
                await another.call("backup_shutdown")
                for loss in await self._losses(bench, "on_abort", since):
                    self._refuse_loss(bench, "in Abort", loss)

        self.play_directly(story)

    def test_partial_success_is_taken(self) -> None:
        """Some components were backed up, others not: BackupComplete succeeds, and what failed keeps its data."""

        async def story(bench: WriterBench) -> None:
            metadata = await bench.observed.identify()
            if len(explicit_when_everything_is_chosen(metadata)) < 2:
                not_applicable("the writer has one component that can be chosen")
            failed = [path.lower() for path in await self._files_but_of_first(bench)]
            since = len(bench.files.changes)
            await bench.demand_backup("partial success", succeeded=lambda index: index == 0)
            for loss in await self._losses(bench, "on_backup_complete", since):
                if loss.path.lower() in failed:
                    self._refuse_loss(bench, "of a component that was reported as failed", loss)
            await bench.demand_recovered("a backup with partial success")

        self.play(story)

    async def _files_but_of_first(self, bench: WriterBench) -> list[str]:
        metadata = await bench.observed.identify()
        own = await bench.own_files(metadata)
        first = explicit_when_everything_is_chosen(metadata)[0]
        kept = [spec for each in metadata.components if each is not first for spec in each.files]
        return [path for path in own if any(path.lower().startswith(spec.path.lower()) for spec in kept)]

    def test_backup_complete_after_success_is_taken(self) -> None:
        """Called by itself after a whole set, and nothing is asked of the writer that it has forgotten."""

        async def story(session: DirectSession) -> None:
            await session.demand("prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot")
            await session.bench.work_once()
            await session.call("backup_complete")
            await session.call("backup_shutdown")
            await session.bench.demand_recovered("BackupComplete")

        self.play_directly(story)

    def test_backup_complete_of_another_session_throws_nothing_away(self) -> None:
        """A session that took no snapshot cannot vouch for any data."""

        async def story(session: DirectSession) -> None:
            bench = session.bench
            for _ in range(20):
                await bench.work_once()
            await session.demand("prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot")
            since = len(bench.files.changes)
            await session.another().call("backup_complete")
            for loss in await self._losses(bench, "on_backup_complete", since):
                self._refuse_loss(bench, "for a session that backed nothing up", loss)
            await session.calls("backup_complete", "backup_shutdown")
            await bench.demand_recovered("BackupComplete of another session")

        self.play_directly(story)
