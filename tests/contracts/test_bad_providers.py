"""The provider contract can fail: each bad provider breaks the check made for its defect, with a message that names the defect.

All differ in one thing from ``InstantProvider``, which passes every check (``test_builtin_providers``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from vss.errors import ProviderError, ProviderVetoError
from vss.ids import GUID_NULL, Guid
from vss.ports import Ports
from vss.roles.provider import Provider, ProviderCapabilities, SnapshotProperties
from vss.roles.volume import FileSystem, Volume
from vss.testing import InstantProvider, ProviderContract
from vss.testing.contracts.verdict import ContractBroken
from vss.testing.instant_provider import Phase
from vss.volumes import BlockVolume
from vss.volumes.extent_file_system import ExtentFileSystem


class Nobody(InstantProvider):
    provider_id = GUID_NULL


class ClaimsNothing(InstantProvider):
    capabilities = ProviderCapabilities()


class ClaimsPersistence(InstantProvider):
    capabilities = replace(InstantProvider.capabilities, supports_persistent=True)


class TakesPersistent(ClaimsPersistence):
    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        return await super().is_volume_supported(volume, attributes & ~0x9)


class ClaimsRevert(TakesPersistent):
    capabilities = replace(InstantProvider.capabilities, supports_persistent=True, supports_revert=True)

    async def revert(self, snapshot_id: Guid, *, force_dismount: bool = False) -> None:
        return None


class TakesEverything(InstantProvider):
    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        return True


class TakesTheLost(InstantProvider):
    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        return isinstance(volume, BlockVolume)


class MarksVolumes(InstantProvider):
    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        if isinstance(volume, BlockVolume):
            await volume.files.make_directory("/marked")
            await (await volume.files.open("/marked/mark", create=True)).close()
        return await super().is_volume_supported(volume, attributes)


class ListsTooEarly(InstantProvider):
    async def query(self) -> list[SnapshotProperties]:
        making = [] if self._set is None else [copy.properties for copy in self._set.copies.values()]
        return [*await super().query(), *making]


class Miscounts(InstantProvider):
    async def query(self) -> list[SnapshotProperties]:
        return [replace(each, snapshots_in_set=1) for each in await super().query()]


class TrailingBackslash(InstantProvider):
    async def query(self) -> list[SnapshotProperties]:
        return [replace(each, device_name=each.device_name + "\\") for each in await super().query()]


class NewestFirst(InstantProvider):
    async def query(self) -> list[SnapshotProperties]:
        return list(reversed(await super().query()))


class CopiesTooEarly(InstantProvider):
    async def pre_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        await super().pre_commit_snapshots(snapshot_set_id)
        assert self._set is not None
        self._set.phase = Phase.PRE_COMMITTED
        await super().commit_snapshots(snapshot_set_id)
        self._set.phase = Phase.PRE_COMMITTED

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        self._current(snapshot_set_id, Phase.PRE_COMMITTED).phase = Phase.COMMITTED


class CopiesTooLate(InstantProvider):
    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        for copy in self._current(snapshot_set_id, Phase.COMMITTED).copies.values():
            copy.device.take(copy.volume)
        await super().post_commit_snapshots(snapshot_set_id, snapshot_count)


class CopiesOneLater(InstantProvider):
    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        last = list(self._current(snapshot_set_id, Phase.COMMITTED).copies.values())[-1]
        last.device.take(last.volume)
        await super().post_commit_snapshots(snapshot_set_id, snapshot_count)


class ShowsTheOriginal(InstantProvider):
    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        await super().open_snapshot(snapshot_id)
        found = self._finished.get(snapshot_id)
        return await super().open_snapshot(snapshot_id) if found is None else found.volume.files


class SlowToCommit(InstantProvider):
    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        await self._ports.clock.sleep(3.0)
        await super().commit_snapshots(snapshot_set_id)


class WritesWhileHeld(InstantProvider):
    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        for copy in self._current(snapshot_set_id, Phase.PRE_COMMITTED).copies.values():
            handle = await copy.volume.files.open("/journal", create=True)
            await handle.close()
        await super().commit_snapshots(snapshot_set_id)


class NoOrder(InstantProvider):
    def _current(self, set_id: Guid, phase: Phase) -> Any:
        if self._set is None or self._set.set_id != set_id:
            return super()._current(set_id, phase)
        return self._set


class NoSets(InstantProvider):
    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        if self._set is not None and self._set.set_id == snapshot_set_id:
            await super().end_prepare_snapshots(snapshot_set_id)


class KeepsTheOld(InstantProvider):
    async def begin_prepare_snapshot(self, snapshot_set_id: Guid, snapshot_id: Guid, volume: Volume, attributes: int) -> None:
        if self._set is not None and self._set.set_id != snapshot_set_id:
            raise ProviderVetoError("a set is in the making")
        await super().begin_prepare_snapshot(snapshot_set_id, snapshot_id, volume, attributes)


class AbortDoesNothing(InstantProvider):
    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        return


class AbortKeepsCopies(InstantProvider):
    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        if self._set is not None and self._set.set_id == snapshot_set_id:
            self._finished |= self._set.copies
            self._set = None


class OneAbortOnly(InstantProvider):
    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        if self._set is None:
            raise ProviderVetoError("nothing to abort")
        await super().abort_snapshots(snapshot_set_id)


class AbortsFinished(InstantProvider):
    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        await super().abort_snapshots(snapshot_set_id)
        for key in [key for key, copy in self._finished.items() if copy.properties.snapshot_set_id == snapshot_set_id]:
            await self.delete_snapshot(key)


class KeepsHalves(InstantProvider):
    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        try:
            await super().commit_snapshots(snapshot_set_id)
        except ProviderError:
            assert self._set is not None
            first = next(iter(self._set.copies))
            self._finished[first] = self._set.copies[first]
            raise


class LetsErrorsOut(InstantProvider):
    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        for copy in self._current(snapshot_set_id, Phase.PRE_COMMITTED).copies.values():
            copy.device.take(copy.volume)
        await super().commit_snapshots(snapshot_set_id)


class WrongCode(InstantProvider):
    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        if self._set is None or self._set.set_id != snapshot_set_id:
            raise ProviderError("no such set")
        await super().end_prepare_snapshots(snapshot_set_id)


class StaysWritable(InstantProvider):
    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        if snapshot_id in self._finished:
            device = self._finished[snapshot_id].device
            device.is_final = False
            return ExtentFileSystem.on_writable_device(device, self._ports.clock.wall_ns)
        return await super().open_snapshot(snapshot_id)


class LateWrites(InstantProvider):
    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        await super().post_final_commit_snapshots(snapshot_set_id)
        for copy in self._finished.values():
            copy.device.is_final = False


class NoRecovery(InstantProvider):
    async def pre_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        await super().pre_final_commit_snapshots(snapshot_set_id)
        assert self._set is not None
        for copy in self._set.copies.values():
            copy.device.is_final = True


class KeyErrors(InstantProvider):
    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        return ExtentFileSystem.on_device((self._set.copies if self._set else self._finished)[snapshot_id].device)


class DeletesAgain(InstantProvider):
    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        self._finished.pop(snapshot_id, None)


class DeletesSets(InstantProvider):
    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        if snapshot_id not in self._finished:
            await super().delete_snapshot(snapshot_id)
        set_id = self._finished[snapshot_id].properties.snapshot_set_id
        self._finished = {k: v for k, v in self._finished.items() if v.properties.snapshot_set_id != set_id}


class DeletesTheOldest(InstantProvider):
    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        if snapshot_id not in self._finished:
            await super().delete_snapshot(snapshot_id)
        del self._finished[next(iter(self._finished))]


class NoLimit(InstantProvider):
    capabilities = replace(InstantProvider.capabilities, max_snapshots_per_volume=3)


class Unstoppable(InstantProvider):
    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        with suppress(asyncio.CancelledError):
            await self._ports.clock.sleep(1.0)
        await super().end_prepare_snapshots(snapshot_set_id)


class StuckAfterCancel(InstantProvider):
    is_busy = False

    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        if self.is_busy:
            raise ProviderVetoError("busy")
        self.is_busy = True
        await self._ports.clock.sleep(1.0)
        self.is_busy = False
        await super().end_prepare_snapshots(snapshot_set_id)


class Hangs(InstantProvider):
    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        await asyncio.Event().wait()


class LeavesTasks(InstantProvider):
    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        await super().end_prepare_snapshots(snapshot_set_id)
        self.task = asyncio.create_task(asyncio.Event().wait())


class ReadsTheClock(InstantProvider):
    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        self.started = round(time.monotonic(), -9)
        await super().end_prepare_snapshots(snapshot_set_id)


class Unrepeatable(InstantProvider):
    async def query(self) -> list[SnapshotProperties]:
        return [replace(each, device_name=f"copy-{uuid4()}") for each in await super().query()]


class SharesEverything(InstantProvider):
    shared: dict[Guid, Any] = {}  # noqa: RUF012 - the defect

    def __init__(self, ports: Ports) -> None:
        super().__init__(ports)
        self._finished = self.shared


def changes_original(phase: str) -> type[InstantProvider]:
    async def spoil(self: Any, *arguments: Any) -> None:
        for copy in [] if self._set is None else list(self._set.copies.values()):
            handle = await copy.volume.files.open("/spoilt", create=True)
            await handle.pwrite(0, b"spoilt")
            await handle.close()
        inner: Awaitable[None] = getattr(InstantProvider, phase)(self, *arguments)
        await inner

    return type("ChangesTheOriginal", (InstantProvider,), {phase: spoil})


ChangesTheOriginal = changes_original("post_final_commit_snapshots")
ChangesInAbort = changes_original("abort_snapshots")

DEFECTS: list[tuple[type[InstantProvider], str, str]] = [
    (Nobody, "the_class_attributes_identify_the_provider", "provider_id is the null GUID"),
    (ClaimsNothing, "the_capabilities_record_makes_sense", "claims neither differential nor plex"),
    (ClaimsPersistence, "persistent_attributes_are_answered_as_claimed", "answers otherwise than it claims"),
    (TakesPersistent, "persistent_shadow_copies_survive_a_restart", "does not take its persistent shadow copies up"),
    (TakesPersistent, "power_loss_at_any_phase_leaves_the_set_gone_or_whole", "loses a finished persistent"),
    (ClaimsRevert, "a_volume_is_reverted_as_claimed", "does not revert the volume"),
    (TakesEverything, "a_foreign_kind_of_volume_is_refused", "takes a volume of a kind that it cannot know"),
    (TakesTheLost, "a_lost_volume_is_refused", "takes a volume whose disk is gone"),
    (MarksVolumes, "asking_for_support_changes_nothing", "changes the original volume"),
    (ListsTooEarly, "nothing_is_listed_before_it_is_committed", "lists a set in the making"),
    (Miscounts, "the_properties_are_those_of_the_set", "snapshots_in_set"),
    (TrailingBackslash, "the_properties_are_those_of_the_set", "device_name"),
    (NewestFirst, "query_lists_the_oldest_first_and_the_same_each_time", "in another order than they were made"),
    (CopiesTooEarly, "the_copy_holds_what_was_written_before_commit", "is not its point in time"),
    (CopiesTooLate, "the_copy_lacks_what_was_written_after_commit", "is not its point in time"),
    (CopiesOneLater, "several_volumes_have_one_point_in_time", "at different instants"),
    (ShowsTheOriginal, "the_copy_stays_as_it_is", "after 40 changes of the original"),
    (ShowsTheOriginal, "files_opened_on_the_copy_stay_as_they_are", "opened long ago"),
    (SlowToCommit, "begin_returns_fast_and_commit_faster", "slow where it must be fast"),
    (WritesWhileHeld, "commit_does_not_touch_a_held_volume", "writes to a held volume in commit_snapshots"),
    (NoOrder, "a_phase_left_out_is_refused", "accepts pre_commit_snapshots without end_prepare_snapshots"),
    (NoSets, "calls_for_an_unknown_set_are_refused", "accepts end_prepare_snapshots for a set that it does not know"),
    (NoSets, "an_aborted_set_does_not_go_on", "goes on with an aborted set"),
    (KeepsTheOld, "a_new_set_ends_an_unfinished_one", "refuses begin_prepare_snapshot"),
    (AbortDoesNothing, "an_aborted_set_does_not_go_on", "goes on with an aborted set"),
    (AbortDoesNothing, "abort_after_pre_final_commit", "keeps the shadow copy of D:"),
    (AbortKeepsCopies, "abort_after_commit", "keeps the shadow copy of D:"),
    (OneAbortOnly, "abort_may_come_three_times", "refuses abort_snapshots"),
    (AbortsFinished, "abort_of_a_finished_set_leaves_it_alone", "does not list a finished shadow copy"),
    (KeepsHalves, "a_read_error_at_any_read_of_a_set_is_survived", "keeps the shadow copy of D:"),
    (LetsErrorsOut, "a_read_error_at_any_read_of_a_set_is_survived", "raises VolumeReadError from commit_snapshots"),
    (WrongCode, "calls_for_an_unknown_set_are_refused", "VSS_E_UNEXPECTED_PROVIDER_ERROR"),
    (StaysWritable, "a_finished_copy_is_read_only", "lets a finished shadow copy be changed"),
    (LateWrites, "the_window_of_auto_recovery_closes", "changed after its final commit"),
    (NoRecovery, "writers_may_change_the_copy_before_its_final_commit", "claims auto-recovery, and refuses"),
    (KeyErrors, "an_unknown_shadow_copy_is_not_opened", "raises KeyError from open_snapshot"),
    (DeletesAgain, "a_deleted_shadow_copy_is_gone", "does not say that a shadow copy does not exist"),
    (DeletesAgain, "an_unknown_shadow_copy_is_not_deleted", "does not say that a shadow copy does not exist"),
    (DeletesSets, "one_shadow_copy_of_a_set_can_be_deleted", "does not list a finished shadow copy"),
    (DeletesTheOldest, "shadow_copies_can_be_deleted_in_any_order", "does not list a finished shadow copy"),
    (NoLimit, "the_limit_of_shadow_copies_is_kept", "does not keep its own limit of 3"),
    (Unstoppable, "end_prepare_can_be_cancelled_anywhere", "swallows the cancellation of end_prepare_snapshots"),
    (StuckAfterCancel, "end_prepare_can_be_cancelled_anywhere", "refuses end_prepare_snapshots"),
    (StuckAfterCancel, "a_call_that_hangs_midway_is_survived", "does not recover from a hang in the middle of end_prepare"),
    (KeepsTheOld, "an_answer_that_is_lost_is_survived", "does not recover from a lost answer to begin_prepare"),
    (Hangs, "abort_after_begin", "does not come back from abort_snapshots"),
    (LeavesTasks, "no_set_leaves_a_task_or_a_timer_behind", "leaves tasks or timers behind"),
    (ReadsTheClock, "clock_and_randomness_come_from_the_ports", "time.monotonic"),
    (Unrepeatable, "clock_and_randomness_come_from_the_ports", "os.urandom"),
    (Unrepeatable, "the_same_seed_gives_the_same_run", "different: properties"),
    (SharesEverything, "two_providers_in_one_world_share_nothing", "lists the shadow copies of the first"),
    (ChangesTheOriginal, "making_opening_and_deleting_leave_the_original_alone", "changes the original volume"),
    (ChangesInAbort, "abort_after_end_prepare", "changes the original volume"),
]


def contract_of(provider_class: type[InstantProvider]) -> ProviderContract:
    class Contract(ProviderContract):
        persistent_attributes = 0x9

        def make_provider(self, ports: Ports) -> Provider:
            return provider_class(ports)

    return Contract()


@pytest.mark.parametrize(("bad", "check", "message"), DEFECTS, ids=[f"{bad.__name__}-{check}" for bad, check, _ in DEFECTS])
def test_a_bad_provider_breaks_the_check_for_its_defect(bad: type[InstantProvider], check: str, message: str) -> None:
    with pytest.raises(ContractBroken, match=message) as caught:
        getattr(contract_of(bad), f"test_{check}")()

    assert all(f"\n  {word}" in str(caught.value) for word in ("expected:", "found:", "mend:", "source:"))
