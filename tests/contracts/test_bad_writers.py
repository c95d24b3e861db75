"""The writer contract can fail: a sound writer passes every check, and each bad one breaks the check made for its defect,
with a message that names the defect."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

import pytest

from tests.contracts.sound_writer import SoundContract, SoundWriter
from vss.documents import Component, FileSpec, WriterMetadata
from vss.errors import WriterError
from vss.hresult import HResult
from vss.ids import GUID_NULL
from vss.plugins.hosts import WriterHost
from vss.roles.writer import WriterContext
from vss.testing.contracts.verdict import ContractBroken


class TestSoundWriter(SoundContract):
    """Passes."""


class Nobody(SoundWriter):
    writer_class_id = GUID_NULL


class Impostor(SoundWriter):
    async def identify(self) -> WriterMetadata:
        return replace(await super().identify(), instance_name="somebody else")


class Fickle(SoundWriter):
    async def identify(self) -> WriterMetadata:
        return replace(await super().identify(), friendly_name=f"Sound Writer {self.host.ports.ids.guid()}")


class Stateful(SoundWriter):
    async def identify(self) -> WriterMetadata:
        answer = await super().identify()
        return replace(answer, components=answer.components[:1]) if self.session_id else answer


class WritesWhenAsked(SoundWriter):
    async def identify(self) -> WriterMetadata:
        await self.append(f"{self.place}\\asked.db", b"again")
        return await super().identify()


class Unprintable(SoundWriter):
    def components(self) -> tuple[Component, ...]:
        return (replace(super().components()[0], caption="bell \x07"), super().components()[1])


class Twins(SoundWriter):
    def components(self) -> tuple[Component, ...]:
        table = super().components()[0]
        return (table, replace(table, component_name="TABLE"))


class WildPlace(SoundWriter):
    def components(self) -> tuple[Component, ...]:
        return (replace(super().components()[0], files=(FileSpec("D:\\*", "*.db"),)), super().components()[1])


class ElsewherePlace(SoundWriter):
    def components(self) -> tuple[Component, ...]:
        return (replace(super().components()[0], files=(FileSpec("X:\\data", "*.db"),)), super().components()[1])


class Secretive(SoundWriter):
    async def operate(self, number: int) -> None:
        await super().operate(number)
        await self.append("C:\\secret\\extra.dat", b"!")


class NeverWell(SoundWriter):
    async def on_backup_complete(self, context: WriterContext) -> None:
        raise WriterError("not today")


class StaysFrozen(SoundWriter):
    async def on_abort(self, context: WriterContext) -> None:
        self.session_id = None


class OneAbortOnly(SoundWriter):
    async def on_abort(self, context: WriterContext) -> None:
        assert self.session_id is not None
        await super().on_abort(context)


class AbortsEverybody(SoundWriter):
    async def on_abort(self, context: WriterContext) -> None:
        self.session_id = None
        self.may_work.set()

    async def on_freeze(self, context: WriterContext) -> None:
        if self.session_id != context.session_id:
            raise WriterError("not prepared")
        await super().on_freeze(context)


class ForeignShutdownThaws(SoundWriter):
    async def on_backup_shutdown(self, context: WriterContext) -> None:
        self.session_id = None
        self.may_work.set()

    async def on_thaw(self, context: WriterContext) -> None:
        if self.may_work.is_set():
            raise WriterError("not frozen")
        await super().on_thaw(context)


class RemembersForEver(SoundWriter):
    async def on_backup_shutdown(self, context: WriterContext) -> None:
        self.thaw(context)


class WaitsForThawInAbort(SoundWriter):
    async def on_abort(self, context: WriterContext) -> None:
        await self.may_work.wait()
        await super().on_abort(context)


class ForgetsAComponent(SoundWriter):
    async def on_post_snapshot(self, context: WriterContext) -> None:
        part = context.components
        if part is not None:
            context.set_components(replace(part, components=part.components[:1]))


class SlowToFreeze(SoundWriter):
    async def on_freeze(self, context: WriterContext) -> None:
        await self.host.ports.clock.sleep(7.0)
        await super().on_freeze(context)


class WritesWhileFrozen(SoundWriter):
    async def operate(self, number: int) -> None:
        await self.append(f"{self.place}\\table.db", b"row")


class AnswersTooEarly(SoundWriter):
    async def on_freeze(self, context: WriterContext) -> None:
        self.is_frozen_by = context.session_id
        self.may_work.clear()


class LosesWork(SoundWriter):
    async def operate(self, number: int) -> None:
        if not self.may_work.is_set():
            raise WriterError("frozen")
        await super().operate(number)


class TruncatesFailures(SoundWriter):
    async def on_backup_complete(self, context: WriterContext) -> None:
        if self.session_id == context.session_id:
            await self.truncate()


class TruncatesSilence(SoundWriter):
    async def on_backup_complete(self, context: WriterContext) -> None:
        part = context.components
        if part is not None and not any(each.backup_succeeded is False for each in part.components):
            await self.truncate()


class TruncatesCopies(SoundWriter):
    async def on_backup_complete(self, context: WriterContext) -> None:
        part = context.components
        if part is not None and all(each.backup_succeeded for each in part.components):
            await self.truncate()


class TruncatesInShutdown(SoundWriter):
    async def on_backup_shutdown(self, context: WriterContext) -> None:
        if self.session_id == context.session_id:
            await self.truncate()
        await super().on_backup_shutdown(context)


class TruncatesInThaw(SoundWriter):
    async def on_thaw(self, context: WriterContext) -> None:
        await super().on_thaw(context)
        await self.truncate()


class TruncatesInAbort(SoundWriter):
    async def on_abort(self, context: WriterContext) -> None:
        await super().on_abort(context)
        await self.truncate()


class TruncatesHalves(SoundWriter):
    async def on_backup_complete(self, context: WriterContext) -> None:
        part = context.components
        if part is not None and any(each.backup_succeeded for each in part.components):
            await self.truncate()


class TruncatesForStrangers(SoundWriter):
    async def on_backup_complete(self, context: WriterContext) -> None:
        await self.truncate()


class Unstoppable(SoundWriter):
    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        try:
            await self.host.ports.clock.sleep(0.01)
        except asyncio.CancelledError:
            return


class Stubborn(SoundWriter):
    async def on_freeze(self, context: WriterContext) -> None:
        await super().on_freeze(context)
        for _ in range(3):
            try:
                await self.host.ports.clock.sleep(0.01)
            except asyncio.CancelledError as error:
                raise WriterError("cancelled") from error


class StrandedByCancellation(SoundWriter):
    async def on_abort(self, context: WriterContext) -> None:
        frozen, self.is_frozen_by = self.is_frozen_by, None
        await self.host.ports.clock.sleep(0.01)
        if frozen == context.session_id:
            self.may_work.set()
        self.session_id = None


class Tardy(SoundWriter):
    """Rests on a Thaw that always comes."""

    async def on_abort(self, context: WriterContext) -> None:
        if self.session_id == context.session_id:
            self.session_id = None
        if self.is_frozen_by is None:
            self.may_work.set()


class Talkative(SoundWriter):
    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        raise WriterError("no", hresult=HResult.E_FAIL)


class Fragile(SoundWriter):
    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        try:
            await self.append(f"{self.place}\\table.db", b"mark")
        except Exception as error:
            raise OSError("disk trouble") from error


class Unrestorable(SoundWriter):
    async def on_post_restore(self, context: WriterContext) -> None:
        raise WriterError("cannot recover")


class NeedsPreRestore(SoundWriter):
    async def on_pre_restore(self, context: WriterContext) -> None:
        self.restoring = True

    async def on_post_restore(self, context: WriterContext) -> None:
        assert self.restoring  # set in on_pre_restore only


class ReadsTheClock(SoundWriter):
    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        self.prepared_at = round(time.time(), -9)


class RollsDice(SoundWriter):
    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        random.randint(0, 0)


class Unrepeatable(SoundWriter):
    runs = 0

    def __init__(self, host: WriterHost) -> None:
        super().__init__(host)
        type(self).runs += 1
        self.run = type(self).runs

    async def operate(self, number: int) -> None:
        async with self.at_work():
            await self.append(f"{self.place}\\table.db", b"row" * self.run)


class LeavesTasks(SoundWriter):
    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        self.task = asyncio.create_task(asyncio.Event().wait())


class LeavesFilesOpen(SoundWriter):
    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        await self.files.make_directory(self.place)
        await self.files.open(f"{self.place}\\table.db", write=True, create=True)


class LeavesTimers(SoundWriter):
    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        asyncio.get_running_loop().call_later(86400.0 * 365, print)


class LosesExceptions(SoundWriter):
    async def on_abort(self, context: WriterContext) -> None:
        await super().on_abort(context)
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)


class UsesOldContexts(SoundWriter):
    async def on_post_snapshot(self, context: WriterContext) -> None:
        asyncio.get_running_loop().call_later(1.0, lambda: context.set_failure(HResult.S_OK))


class Nameless(SoundWriter):
    def __init__(self, host: WriterHost) -> None:
        super().__init__(host)
        self.instance_name = "the only one"


class SharesItsFreeze(SoundWriter):
    gate: asyncio.Event | None = None

    def __init__(self, host: WriterHost) -> None:
        super().__init__(host)
        if host.name != "second":
            type(self).gate = self.may_work
        assert type(self).gate is not None
        self.may_work = type(self).gate  # type: ignore[assignment]


DEFECTS: list[tuple[type[SoundWriter], str, str]] = [
    (Nobody, "the_class_attributes_identify_the_writer", "writer_class_id is the null GUID"),
    (Impostor, "identify_answers_with_the_ids_it_was_given", "identifies itself as another"),
    (Fickle, "identify_answers_the_same_each_time", "answers Identify differently each time"),
    (Stateful, "identify_may_come_at_any_moment_and_disturbs_nothing", "differently before on_prepare_snapshot"),
    (WritesWhenAsked, "identify_changes_no_file", "changes its files in identify"),
    (Unprintable, "the_document_is_valid_and_reads_back_as_it_was_written", "make no valid document"),
    (Twins, "components_are_told_apart_by_their_paths", "cannot be selected one by one"),
    (WildPlace, "file_sets_name_places_on_a_volume_of_the_machine", "has a wildcard"),
    (ElsewherePlace, "file_sets_name_places_on_a_volume_of_the_machine", "is on none of the volumes C:, D:"),
    (Secretive, "what_the_application_writes_belongs_to_a_component", "c:\\\\secret\\\\extra.dat"),
    (NeverWell, "a_whole_backup_succeeds", "seen after BackupComplete"),
    (StaysFrozen, "abort_after_freeze_thaws_the_writer", "does not work again after on_abort after on_freeze"),
    (OneAbortOnly, "abort_may_come_twice", "lets AssertionError escape on_abort"),
    (AbortsEverybody, "abort_of_another_session_leaves_this_one_alone", "when another session is aborted"),
    (ForeignShutdownThaws, "shutdown_of_another_session_disturbs_nothing", "refuses on_thaw in a legal order"),
    (RemembersForEver, "a_session_dropped_after_prepare_backup_leaves_no_trace", "a backup is under way"),
    (WaitsForThawInAbort, "abort_after_freeze_thaws_the_writer", "does not come back from on_abort"),
    (ForgetsAComponent, "what_the_writer_puts_into_the_document_fits_it", "changes which components are backed up"),
    (SlowToFreeze, "freeze_and_thaw_fit_the_window", "takes 7 s in on_freeze"),
    (WritesWhileFrozen, "nothing_is_written_between_freeze_and_thaw", "writes to its own files while it is frozen"),
    (WritesWhileFrozen, "nothing_is_written_between_freeze_and_abort", "writes to its own files while it is frozen"),
    (AnswersTooEarly, "nothing_is_written_between_freeze_and_thaw", "table.db 3 bytes"),
    (LosesWork, "work_that_waited_goes_on_after_thaw", "does not let the application go on after on_thaw"),
    (TruncatesFailures, "nothing_is_thrown_away_when_components_failed", "no component was reported as backed up"),
    (TruncatesSilence, "nothing_is_thrown_away_when_nothing_was_reported", "although the requestor reported nothing"),
    (TruncatesCopies, "nothing_is_thrown_away_for_a_copy_backup", "for a COPY backup"),
    (TruncatesInShutdown, "nothing_is_thrown_away_when_the_session_is_dropped", "in BackupShutdown"),
    (TruncatesInThaw, "nothing_is_thrown_away_before_backup_complete", "before BackupComplete"),
    (TruncatesInAbort, "nothing_is_thrown_away_when_the_set_is_aborted", "in Abort"),
    (TruncatesHalves, "partial_success_is_taken", "of a component that was reported as failed"),
    (TruncatesForStrangers, "backup_complete_of_another_session_throws_nothing_away", "that backed nothing up"),
    (Unstoppable, "prepare_snapshot_can_be_cancelled_anywhere", "it returned as if nothing had happened"),
    (Stubborn, "freeze_can_be_cancelled_anywhere", "swallows the cancellation of on_freeze"),
    (StrandedByCancellation, "abort_can_be_cancelled_and_comes_again", "was cancelled and called again"),
    (Tardy, "a_death_while_the_writer_is_frozen_is_survived", "a death while it was frozen"),
    (Talkative, "every_backup_type_is_taken_or_refused", "lets WriterError escape on_prepare_snapshot"),
    (Fragile, "a_write_error_of_the_disk_is_reported_as_a_writer_may", "lets OSError escape on_prepare_snapshot"),
    (Fragile, "a_full_disk_is_reported_as_a_writer_may", "lets OSError escape on_prepare_snapshot"),
    (Unrestorable, "a_restore_of_everything_succeeds", "refuses a restore of everything at PostRestore"),
    (NeedsPreRestore, "post_restore_alone_is_answered", "lets AttributeError escape on_post_restore"),
    (ReadsTheClock, "clock_and_randomness_come_from_the_ports", "time.time"),
    (RollsDice, "clock_and_randomness_come_from_the_ports", "the module's own generator"),
    (Unrepeatable, "the_same_seed_gives_the_same_run", "different: changes of files, bytes on the volumes"),
    (LeavesTasks, "no_session_leaves_a_task_running", "leaves tasks behind"),
    (LeavesFilesOpen, "no_session_leaves_a_file_open", "leaves open files behind"),
    (LeavesTimers, "no_session_leaves_a_timer_armed", "leaves armed timers behind"),
    (LosesExceptions, "a_stopped_writer_leaves_nothing_behind", "loses an exception"),
    (UsesOldContexts, "a_context_is_not_used_after_its_handler_returned", "used the context of PostSnapshot"),
    (Nameless, "two_instances_are_backed_up_side_by_side", "cannot be told apart"),
    (SharesItsFreeze, "one_instance_frozen_leaves_the_other_working", "freezing one instance freezes the other"),
]


@pytest.mark.parametrize(("bad", "check", "message"), DEFECTS, ids=[f"{bad.__name__}-{check}" for bad, check, _ in DEFECTS])
def test_a_bad_writer_breaks_the_check_for_its_defect(bad: type[SoundWriter], check: str, message: str) -> None:
    with pytest.raises(ContractBroken, match=message) as caught:
        getattr(SoundContract.of(bad), f"test_{check}")()

    assert all(f"\n  {word}" in str(caught.value) for word in ("expected:", "found:", "mend:", "source:"))
