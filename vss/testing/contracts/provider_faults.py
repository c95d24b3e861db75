"""Provider checks: a disk that fails at any operation, calls that are lost, late or cut off.

After each fault the set is whole or gone, the originals are as they were, and the next set is made. Source of the rules: Volume
Shadow Copy Service documentation, "Error handling in shadow copy providers", "Required behaviors for shadow copy providers".
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from vss.coordinator import Coordinator, Limits
from vss.documents import BackupType
from vss.errors import VolumeError, VssError
from vss.simulation import FaultPlan
from vss.testing.contracts.provider_base import ProviderChecks
from vss.testing.contracts.provider_bench import PHASES, MadeSet, ProviderBench
from vss.testing.contracts.verdict import broken, page
from vss.testing.stubs import StubWriter
from vss.volumes import StoreEffect, StoreFault

_TWO = ("D:", "E:")
_OPERATIONS_MAX = 48
_SUSPENSIONS_MAX = 40
_QUICK = Limits(
    begin_prepare_s=30.0, end_prepare_s=30.0, pre_commit_s=5.0, post_commit_s=5.0, final_commit_s=30.0, abort_s=30.0
)
_FULL = BackupType.FULL
_STEPS = ("begin_prepare", "end_prepare", "pre_commit", "commit", "post_commit", "pre_final", "post_final")


class FaultChecks(ProviderChecks):
    """One fault per world."""

    # -- the disk --------------------------------------------------------------------------------------------------------------

    def _check_disk(self, effect: StoreEffect, what: str, *, only: int | None = None) -> None:
        """Let the k-th operation of a set fail at one disk, for every k until none is left."""
        for skip in range(_OPERATIONS_MAX):
            fired = self.play(lambda bench, s=skip: self._make_with_fault(bench, StoreFault(effect, skip=s), what), names=_TWO)  # type: ignore[misc]
            if not fired:
                break

    async def _make_with_fault(self, bench: ProviderBench, fault: StoreFault, what: str) -> int:
        when = f"{what} {fault.skip}"
        before = await bench.freeze_point()
        for store in bench.stores[-1:]:
            store.arm(fault)
        made = MadeSet(bench.ports.ids.guid(), {volume.name: bench.ports.ids.guid() for volume in bench.volumes}, 0)
        refusal = await self._attempt(bench, made, when)
        fired = sum(len(store.fired) for store in bench.stores)
        for store in bench.stores:
            store.disarm()
        if refusal is not None:
            await bench.demand("abort_snapshots", made.set_id, when=when)
            await bench.demand_gone(made, f"it failed: {when}")
        elif await bench.demand_gone_or_whole(made, when):
            await bench.demand_whole(made, when)
        if await bench.freeze_point() != before:
            bench.refuse_change(when)
        await bench.demand_usable(when)
        return fired

    async def _attempt(self, bench: ProviderBench, made: MadeSet, when: str) -> BaseException | None:
        """Make a set; return the first refusal."""
        for volume in bench.volumes:
            refusal = await bench.ask(
                "begin_prepare_snapshot", made.set_id, made.ids[volume.name], volume, self.volatile_attributes, when=when
            )
            if refusal is not None:
                return refusal
        for phase in PHASES:
            try:
                refusal = await bench.step(made, phase)
            except VolumeError as error:
                return error  # the volume itself could not flush or hold: the set fails without the provider's doing
            if refusal is not None:
                return refusal
        return None

    def test_a_write_error_at_any_write_of_a_set_is_survived(self) -> None:
        """EIO."""
        self._check_disk(StoreEffect.WRITE_ERROR, "a write error at write")

    def test_a_full_disk_at_any_write_of_a_set_is_survived(self) -> None:
        """ENOSPC, also where the store cannot grow."""
        self._check_disk(StoreEffect.FULL, "a full disk at write")

    def test_a_read_error_at_any_read_of_a_set_is_survived(self) -> None:
        """EIO."""
        self._check_disk(StoreEffect.READ_ERROR, "a read error at read")

    def test_a_flush_error_at_any_flush_of_a_set_is_survived(self) -> None:
        """EIO."""
        self._check_disk(StoreEffect.FLUSH_ERROR, "a flush error at flush")

    def test_a_disk_that_stays_full_is_reported(self) -> None:
        """Every write fails from Begin to Abort: a legal code each time, nothing left, and a set once there is room."""

        async def story(bench: ProviderBench) -> None:
            await self._make_with_fault(bench, StoreFault(StoreEffect.FULL, is_sticky=True), "a disk that stays full")

        self.play(story, names=_TWO)

    def _check_disk_later(self, effect: StoreEffect, what: str) -> None:
        """Let the k-th operation fail while the original is changed: the copy is right, or unreadable, or gone; never wrong."""

        async def story(bench: ProviderBench, skip: int) -> int:
            made = await bench.make()
            bench.stores[0].arm(StoreFault(effect, skip=skip))
            for _ in range(12):
                with suppress(VolumeError):  # the write failed, and said so
                    await bench.scribble(bench.volumes[0], 1)
            fired = len(bench.stores[0].fired)
            bench.stores[0].disarm()
            if await bench.ask("open_snapshot", made.ids["D:"]) is not None:
                return fired
            try:
                found = await bench.read(made.ids["D:"])
            except VolumeError:
                return fired
            bench.compare(made, "D:", found, f"{what} {skip} while the original was changed")
            return fired

        for skip in range(_OPERATIONS_MAX):
            if not self.play(lambda bench, s=skip: story(bench, s)):  # type: ignore[misc]
                break

    def test_a_write_error_later_never_makes_the_copy_wrong(self) -> None:
        """Right, unreadable or gone."""
        self._check_disk_later(StoreEffect.WRITE_ERROR, "a write error at write")

    def test_a_full_disk_later_never_makes_the_copy_wrong(self) -> None:
        """Right, unreadable or gone."""
        self._check_disk_later(StoreEffect.FULL, "a full disk at write")

    def test_a_read_error_later_never_makes_the_copy_wrong(self) -> None:
        """Right, unreadable or gone."""
        self._check_disk_later(StoreEffect.READ_ERROR, "a read error at read")

    def test_a_disk_that_is_lost_during_a_set_is_survived(self) -> None:
        """Between any two phases: refusals with legal codes, Abort, and the other volume is free."""

        async def story(bench: ProviderBench, count: int) -> None:
            made = await bench.begin(self.volatile_attributes)
            await bench.demand_steps(made, *PHASES[:count])
            bench.volumes.pop().lose()
            await bench.ask(f"{PHASES[count]}_snapshots", made.set_id, *((2,) if PHASES[count] == "post_commit" else ()))
            await bench.demand("abort_snapshots", made.set_id, when="a disk was lost during the set")
            await bench.demand_usable("a disk was lost during the set")

        for count in range(5):
            self.play(lambda bench, count=count: story(bench, count), names=_TWO)  # type: ignore[misc]

    # -- the calls -------------------------------------------------------------------------------------------------------------

    def _check_calls(self, effect: str, what: str) -> None:
        """Through a coordinator, with one call of each kind disturbed; then a set that nothing disturbs."""
        for step in _STEPS:
            self._check_call(f"provider.{step} {effect}", f"{what} {step}")

    def _check_call(self, fault: str, what: str) -> None:
        async def story(bench: ProviderBench) -> None:
            coordinator = Coordinator(bench.ports, limits=_QUICK)
            for volume in bench.volumes:
                coordinator.add_volume(volume)
            coordinator.add_writer(StubWriter("Writer"))
            await coordinator.add_provider(bench.provider)
            failure: VssError | None = None
            for _ in range(2):
                failure = None
                try:
                    async with coordinator.open_session() as session:
                        session.initialize_for_backup()
                        session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=_FULL)
                        await session.gather_writer_metadata()
                        session.start_snapshot_set()
                        for volume in bench.volumes:
                            await session.add_to_snapshot_set(volume.name)
                        await session.prepare_for_backup()
                        await session.do_snapshot_set()
                        await session.backup_complete()
                except VssError as error:
                    failure = error
            left = await bench.listed()
            if failure is not None or left:
                broken(
                    f"{bench.name} does not recover from {what}",
                    expected="the next set of a coordinator succeeds, and nothing is left when both sessions are released",
                    found=f"{failure!r}, {len(left)} shadow copies left",
                    mend="undo in abort_snapshots what was reached, let a new set id end an unfinished set, and list what is"
                    " finished under its set id: of a set whose last answer is lost it is deleted",
                    source=page("State transitions in shadow copy providers"),
                )
            await coordinator.caller.close(1.0)

        self.play(story, names=_TWO, faults=FaultPlan.parse(fault))

    def test_a_call_that_never_arrives_is_survived(self) -> None:
        """Each phase once does not reach the provider."""
        self._check_calls("fail", "a call that never arrived:")

    def test_an_answer_that_is_lost_is_survived(self) -> None:
        """Each phase once is done, and counts as failed."""
        self._check_calls("fail-after", "a lost answer to")

    def test_a_call_that_hangs_is_survived(self) -> None:
        """Each phase once gets no answer."""
        self._check_calls("hang", "a hang at")

    def test_a_call_that_hangs_midway_is_survived(self) -> None:
        """Each phase once is given up while the provider is at it."""
        self._check_calls("hang=during", "a hang in the middle of")

    def test_a_call_that_comes_twice_is_survived(self) -> None:
        """Each phase once is delivered a second time."""
        self._check_calls("duplicate", "a doubled")

    def test_a_late_call_is_survived(self) -> None:
        """Each phase once arrives after its caller gave up."""
        self._check_calls("delay=40s", "a late")

    # -- cancellation ----------------------------------------------------------------------------------------------------------

    def _check_cancelled(self, count: int) -> None:
        """Cancel a phase at each of its suspensions; Abort follows, and the next set is made."""
        phase = PHASES[count]

        async def story(bench: ProviderBench) -> None:
            for turns in range(_SUSPENSIONS_MAX):
                made = await bench.begin(self.volatile_attributes)
                await bench.demand_steps(made, *PHASES[:count])
                extra = (len(bench.volumes),) if phase == "post_commit" else ()
                call = getattr(bench.provider, f"{phase}_snapshots")(made.set_id, *extra)
                task = asyncio.create_task(call, name=f"{phase}_snapshots")
                for _ in range(turns):
                    await asyncio.sleep(0)
                is_over = task.done() or not task.cancel()
                await asyncio.wait([task], timeout=600.0)
                if not is_over and turns and not task.cancelled():
                    found = "it went on for 600 s" if not task.done() else f"it ended with {task.exception()!r}"
                    broken(
                        f"{bench.name} swallows the cancellation of {phase}_snapshots",
                        expected="CancelledError comes out of the call, at once or after a bounded clean-up",
                        found=f"cancelled at its suspension {turns}, {found}",
                        mend="never catch BaseException or CancelledError without raising it again; clean up in finally",
                        source='Python documentation, asyncio, "Task cancellation"',
                    )
                await bench.ask("abort_snapshots", made.set_id, when=f"{phase} was cancelled")
                if await bench.demand_gone_or_whole(made, f"{phase} was cancelled, then abort"):
                    made.frozen = made.frozen or await bench.freeze_point()
                    await bench.demand_whole(made, f"{phase} was cancelled, then abort")
                if is_over:
                    break
            await bench.demand_usable(f"cancelling {phase}")

        self.play(story)

    def test_end_prepare_can_be_cancelled_anywhere(self) -> None:
        """At each suspension."""
        self._check_cancelled(0)

    def test_pre_commit_can_be_cancelled_anywhere(self) -> None:
        """At each suspension."""
        self._check_cancelled(1)

    def test_commit_can_be_cancelled_anywhere(self) -> None:
        """At each suspension."""
        self._check_cancelled(2)

    def test_post_commit_can_be_cancelled_anywhere(self) -> None:
        """At each suspension."""
        self._check_cancelled(3)

    def test_the_final_commits_can_be_cancelled_anywhere(self) -> None:
        """At each suspension."""
        self._check_cancelled(4)
        self._check_cancelled(5)
