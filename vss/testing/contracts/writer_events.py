"""Writer checks: the order of events, legal and illegal, repeated, aborted at every point, for sessions of others.

Source of the rules: Volume Shadow Copy Service documentation, "Overview of processing a backup under VSS", "Aborting VSS
operations", "Handling BackupShutdown events".
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from vss.coordinator import Session
from vss.documents import BackupType
from vss.documents.selection import explicit_when_everything_is_chosen
from vss.errors import SetInProgressError, VssError
from vss.testing.contracts.direct_session import WHOLE_BACKUP, DirectSession
from vss.testing.contracts.verdict import broken, not_applicable, page
from vss.testing.contracts.writer_base import WriterChecks
from vss.testing.contracts.writer_bench import WriterBench

_SNAPSHOT_STEPS = ("prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot")
_TYPE_AS_ASKED = ("D8",)
"""Goes by the type that was asked for; one that a writer's schema lacks counts as full, which the events do not say."""
_TYPES = (BackupType.FULL, BackupType.COPY, BackupType.INCREMENTAL, BackupType.DIFFERENTIAL, BackupType.LOG)


class EventChecks(WriterChecks):
    """Whole sessions, cut short, repeated, mixed up."""

    # -- whole sessions --------------------------------------------------------------------------------------------------------

    def test_a_whole_backup_succeeds(self) -> None:
        """Every component of the writer, on every volume."""
        self.play(lambda bench: bench.demand_backup("a full backup"))

    def test_a_backup_without_component_selection_is_answered(self) -> None:
        """The context then has no components; the writer takes part all the same, or refuses as writers may."""

        async def story(bench: WriterBench) -> None:
            await bench.backup(select=False)
            bench.demand_legal_failures("a backup without component selection")
            await bench.demand_recovered("a backup without component selection")

        self.play(story)

    def test_every_backup_type_is_taken_or_refused(self) -> None:
        """Full, copy, incremental, differential, log: none ends in anything but success or a legal refusal."""

        async def story(bench: WriterBench) -> None:
            for backup_type in _TYPES:
                await bench.try_backup(backup_type)
                bench.demand_legal_failures(f"a {backup_type.name} backup")
                await bench.demand_signs_of_life(f"a {backup_type.name} backup")
            await bench.demand_recovered("backups of every type")

        self.play(story, excused=_TYPE_AS_ASKED)

    def test_one_component_alone_can_be_backed_up(self) -> None:
        """Whatever else the writer has."""

        async def story(bench: WriterBench) -> None:
            metadata = await bench.observed.identify()
            if len(explicit_when_everything_is_chosen(metadata)) < 2:
                not_applicable("the writer has one component that can be chosen")
            await bench.backup(chosen=lambda index: index == 0)
            bench.demand_legal_failures("a backup of the first component")
            await bench.demand_recovered("a backup of the first component")

        self.play(story)

    def test_a_set_without_the_writers_volumes_leaves_no_trace(self) -> None:
        """Refuse with VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT, or take part: but go on afterwards."""

        async def story(bench: WriterBench) -> None:
            metadata = await bench.observed.identify()
            specs = [spec.path.upper() for component in metadata.components for spec in component.files]
            strangers = [name for name in self.volumes if not any(path.startswith(name.upper()) for path in specs)]
            if not strangers:
                not_applicable("the writer has files on every volume of the machine")
            async with bench.coordinator.open_session() as session:
                await bench.prepare(session, volumes=strangers[:1])
                await session.do_snapshot_set()
            await bench.demand_recovered("a set without its volumes")

        self.play(story)

    def test_two_sessions_one_after_the_other_succeed(self) -> None:
        """Nothing of the first is left for the second."""

        async def story(bench: WriterBench) -> None:
            for number in ("first", "second"):
                await bench.demand_backup(f"the {number} of two sessions")
                await bench.demand_signs_of_life(f"the {number} of two sessions")

        self.play(story)

    def test_a_second_requestor_in_the_middle_is_refused_or_served(self) -> None:
        """Its session never damages the one under way."""

        async def story(bench: WriterBench) -> None:
            async with bench.coordinator.open_session() as session:
                await bench.prepare(session)
                async with bench.coordinator.open_session() as other:
                    with suppress(SetInProgressError):
                        await bench.prepare(other)
                await session.do_snapshot_set()
                await bench.demand_healthy(session, "DoSnapshotSet, with a second requestor meanwhile")
                bench.report(session, lambda index: True)
                await session.backup_complete()
                await bench.demand_healthy(session, "BackupComplete, with a second requestor meanwhile")

        self.play(story)

    # -- cut short -------------------------------------------------------------------------------------------------------------

    async def _abort_after(self, session: DirectSession, step: str) -> None:
        await session.demand("abort")
        await session.bench.demand_signs_of_life(f"on_abort after on_{step}")
        await session.call("backup_shutdown")
        await session.bench.demand_recovered(f"on_abort after on_{step}")

    def _check_abort_after(self, count: int) -> None:
        async def story(session: DirectSession) -> None:
            await session.demand(*_SNAPSHOT_STEPS[:count])
            await self._abort_after(session, _SNAPSHOT_STEPS[count - 1])

        self.play_directly(story)

    def test_abort_after_prepare_backup_undoes_it(self) -> None:
        """The session goes no further; the next one succeeds."""
        self._check_abort_after(1)

    def test_abort_after_prepare_snapshot_undoes_it(self) -> None:
        """The session goes no further; the next one succeeds."""
        self._check_abort_after(2)

    def test_abort_after_freeze_thaws_the_writer(self) -> None:
        """No Thaw comes any more."""
        self._check_abort_after(3)

    def test_abort_after_thaw_is_taken(self) -> None:
        """The set was lost when the writer had thawed already."""
        self._check_abort_after(4)

    def test_abort_without_a_backup_is_taken(self) -> None:
        """To a writer that never prepared anything."""

        async def story(session: DirectSession) -> None:
            await self._abort_after(session, "nothing")

        self.play_directly(story)

    def test_abort_may_come_twice(self) -> None:
        """And again from another session, whatever was reached."""

        async def story(session: DirectSession) -> None:
            for count in range(5):
                another = session.another()
                await another.demand(*_SNAPSHOT_STEPS[:count])
                await another.demand("abort", "abort")
                await session.bench.demand_signs_of_life(f"the second on_abort after {count} steps")
                await another.call("backup_shutdown")
            await session.bench.demand_recovered("doubled aborts")

        self.play_directly(story)

    def test_abort_after_a_failed_handler_is_taken(self) -> None:
        """Freeze without PrepareSnapshot: refused or not, Abort follows and ends it."""

        async def story(session: DirectSession) -> None:
            await session.call("freeze")
            await self._abort_after(session, "freeze without prepare_snapshot")

        self.play_directly(story)

    def test_abort_of_another_session_leaves_this_one_alone(self) -> None:
        """A foreign Abort must not thaw: the framework sends each session's Abort with its own session id."""

        async def story(session: DirectSession) -> None:
            await session.demand("prepare_backup")
            await session.another().call("abort")
            remaining = [await session.call(step) for step in _SNAPSHOT_STEPS[1:]]
            if any(remaining):
                broken(
                    f"{session.bench.name} gives its own backup up when another session is aborted",
                    expected="the session that prepared goes on",
                    found=repr(next(each for each in remaining if each)),
                    mend="keep what belongs to a backup by context.session_id",
                    source=page("CVssWriter::OnAbort"),
                )
            await session.demand("backup_complete", "backup_shutdown")

        self.play_directly(story)

    def _check_dropped_after(self, count: int) -> None:
        """The requestor dies after so many calls of its session."""

        async def story(bench: WriterBench) -> None:
            async with bench.coordinator.open_session() as session:
                await bench.prepare(session)
                if count > 1:
                    await session.do_snapshot_set()
                if count > 2:
                    bench.report(session, lambda index: True)
                    await session.backup_complete()
            await bench.demand_recovered("a session that was dropped")

        self.play(story)

    def test_a_session_dropped_after_prepare_backup_leaves_no_trace(self) -> None:
        """The next session succeeds."""
        self._check_dropped_after(1)

    def test_a_session_dropped_after_the_snapshot_leaves_no_trace(self) -> None:
        """No BackupComplete comes; BackupShutdown does."""
        self._check_dropped_after(2)

    def test_a_session_aborted_by_its_requestor_leaves_no_trace(self) -> None:
        """AbortBackup after PrepareForBackup."""

        async def story(bench: WriterBench) -> None:
            async with bench.coordinator.open_session() as session:
                await bench.prepare(session)
                await session.abort_backup()
            await bench.demand_recovered("AbortBackup")

        self.play(story)

    def test_a_requestor_that_dies_while_the_set_is_made_leaves_no_trace(self) -> None:
        """Its task is cancelled inside DoSnapshotSet."""

        async def story(bench: WriterBench) -> None:
            async def backup() -> None:
                async with bench.coordinator.open_session() as session:
                    await bench.prepare(session)
                    await session.do_snapshot_set()

            for turns in (1, 3, 6, 10, 15):
                requestor = asyncio.create_task(backup())
                await bench.observed.wait_called("on_prepare_snapshot")
                for _ in range(turns):
                    await asyncio.sleep(0)
                requestor.cancel()
                await asyncio.wait([requestor])
            await bench.demand_recovered("requestors that died while the set was made")

        self.play(story)

    # -- repeated and out of order ---------------------------------------------------------------------------------------------

    def test_a_repeated_event_is_answered(self) -> None:
        """The same event twice: success or a legal refusal, never a hang or an exception, and Abort ends it."""

        async def story(session: DirectSession) -> None:
            for count, step in enumerate(_SNAPSHOT_STEPS):
                another = session.another()
                await another.demand(*_SNAPSHOT_STEPS[:count])
                await another.calls(step, step, "abort", "backup_shutdown")
                await session.bench.demand_signs_of_life(f"on_{step} twice, then on_abort")
            await session.bench.demand_recovered("repeated events")

        self.play_directly(story)

    def test_any_single_event_out_of_order_is_answered(self) -> None:
        """Each handler alone, to a writer at rest."""

        async def story(session: DirectSession) -> None:
            for step in (*_SNAPSHOT_STEPS, "backup_complete", "backup_shutdown"):
                another = session.another()
                await another.calls(step, "abort", "backup_shutdown")
                await session.bench.demand_signs_of_life(f"on_{step} alone, then on_abort")
            await session.bench.demand_recovered("events out of order")

        self.play_directly(story)

    def test_any_event_left_out_is_survived(self) -> None:
        """A backup that lacks one event: what follows is answered, Abort and Shutdown end it."""

        async def story(session: DirectSession) -> None:
            for missing in WHOLE_BACKUP[:-1]:
                another = session.another()
                await another.calls(*(step for step in WHOLE_BACKUP if step != missing))
                await another.calls("abort", "backup_shutdown")
                await session.bench.demand_signs_of_life(f"a backup without on_{missing}")
            await session.bench.demand_recovered("backups that lacked an event")

        self.play_directly(story)

    def test_shutdown_of_another_session_disturbs_nothing(self) -> None:
        """Between any two steps a BackupShutdown with a foreign session id arrives."""

        async def story(session: DirectSession) -> None:
            bench = session.bench
            for step in WHOLE_BACKUP:
                frozen = len(bench.files.changes)
                await session.another().call("backup_shutdown")
                if step == "thaw" and (early := bench.changes_of(session.metadata, bench.files.changes[frozen:])):
                    broken(
                        f"{bench.name} thaws when another session ends",
                        expected="no change before this session's Thaw",
                        found=str(early[0]),
                        mend="compare context.session_id with the session that froze the writer",
                        source=page("Handling BackupShutdown events"),
                    )
                await session.demand(step)

        self.play_directly(story)

    def test_shutdown_may_come_twice_and_without_a_backup(self) -> None:
        """It tells that a session is over; there may have been none."""

        async def story(session: DirectSession) -> None:
            await session.demand("backup_shutdown")
            another = session.another()
            await another.demand(*WHOLE_BACKUP)
            await another.call("backup_shutdown")
            await session.bench.demand_recovered("repeated shutdowns")

        self.play_directly(story)

    def test_shutdown_while_frozen_ends_the_freeze(self) -> None:
        """The session's own BackupShutdown is the last word; Abort may have been lost."""

        async def story(session: DirectSession) -> None:
            await session.demand("prepare_backup", "prepare_snapshot", "freeze")
            await session.calls("backup_shutdown", "abort")
            await session.bench.demand_recovered("on_backup_shutdown while frozen, then on_abort")

        self.play_directly(story)

    def test_what_the_writer_puts_into_the_document_fits_it(self) -> None:
        """After PostSnapshot the writer's part has the components that the requestor selected, and the document is valid."""

        async def story(bench: WriterBench) -> None:
            async def look(session: Session) -> None:
                session.save_as_xml()
                part = session.components_of(bench.writer.instance_id)
                found = [] if part is None else [each.full_path for each in part.components]
                if found != selected:
                    broken(
                        f"{bench.name} changes which components are backed up",
                        expected=str(selected),
                        found=str(found),
                        mend="change fields of context.components with dataclasses.replace, and keep every component",
                        source=page("Backup components document life cycle"),
                    )

            metadata = await bench.observed.identify()
            selected = [each.full_path for each in explicit_when_everything_is_chosen(metadata)]
            try:
                await bench.demand_backup("a look at the document", on_snapshot=look)
            except VssError as error:
                broken(
                    f"{bench.name} spoils the backup components document",
                    expected="a document that the schema accepts",
                    found=str(error),
                    mend="put valid stamps, metadata and paths into it",
                    source=page("Backup components document life cycle"),
                )

        self.play(story)
