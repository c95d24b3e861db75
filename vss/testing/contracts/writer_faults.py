"""Writer checks: what becomes of the writer when others fail, when calls are lost, late or cut off, and when its disk fails.

After each fault the writer must work on by itself and take part in the next backup. Source of the rules: Volume Shadow Copy
Service documentation, "Aborting VSS operations", "Writer errors and vetoes"; the freeze timer is the writer's own.
"""

from __future__ import annotations

import asyncio

from vss.coordinator import Limits
from vss.errors import VssError
from vss.simulation import SimulationLoop
from vss.testing.contracts.direct_session import WHOLE_BACKUP, DirectSession
from vss.testing.contracts.verdict import broken
from vss.testing.contracts.writer_base import WriterChecks
from vss.testing.contracts.writer_bench import WriterBench
from vss.testing.stubs import StubWriter
from vss.volumes import StoreEffect, StoreFault

STEPS = ("prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot", "backup_complete", "backup_shutdown")
_QUICK = Limits(
    prepare_backup_s=30.0, prepare_snapshot_s=30.0, thaw_s=5.0, post_snapshot_s=30.0, backup_complete_s=30.0, abort_s=5.0
)
_SUSPENSIONS_MAX = 40
_WRITES_MAX = 12


class FaultChecks(WriterChecks):
    """One fault per world."""

    def _check_fault(self, fault: str, after: str) -> None:
        """Take a backup with one fault injected, and demand that the writer recovers."""

        async def story(bench: WriterBench) -> None:
            await bench.try_backup()
            await bench.demand_recovered(after)

        self.play(story, faults=fault, limits=_QUICK)

    def _check_at_every_step(self, effect: str, what: str) -> None:
        for step in STEPS:
            self._check_fault(f"writer.{step} {effect}", f"{what} {step}")

    # -- the calls themselves --------------------------------------------------------------------------------------------------

    def test_a_call_that_never_arrives_is_survived(self) -> None:
        """Each event once does not reach the writer."""
        self._check_at_every_step("fail code=VSS_E_WRITERERROR_RETRYABLE", "a call that never arrived:")

    def test_an_answer_that_is_lost_is_survived(self) -> None:
        """Each event once is handled, and counts as failed."""
        self._check_at_every_step("fail-after code=VSS_E_WRITERERROR_RETRYABLE", "a lost answer to")

    def test_a_call_that_is_dropped_silently_is_survived(self) -> None:
        """Each event once counts as handled, and the writer never saw it."""
        self._check_at_every_step("lie", "a silently dropped")

    def test_a_call_that_hangs_is_survived(self) -> None:
        """Each event once gets no answer; whoever waits gives up."""
        self._check_at_every_step("hang", "a hang at")

    def test_a_call_that_hangs_midway_is_survived(self) -> None:
        """Each event once is given up while the writer is at it."""
        self._check_at_every_step("hang=during", "a hang in the middle of")

    def test_a_call_that_comes_twice_is_survived(self) -> None:
        """Each event once is delivered a second time."""
        self._check_at_every_step("duplicate", "a doubled")

    def test_a_late_call_is_survived(self) -> None:
        """Each event once arrives later than its limit allows."""
        self._check_at_every_step("delay=40s", "a late")

    def test_a_call_that_is_slow_but_in_time_is_harmless(self) -> None:
        """Half a second at each event; the backup succeeds."""

        async def story(bench: WriterBench) -> None:
            await bench.demand_backup("with every event half a second late")

        self.play(story, faults="writer.* times=always delay=500ms")

    # -- cancellation ----------------------------------------------------------------------------------------------------------

    def _check_cancelled(self, step: str) -> None:
        """Cancel the handler at each of its suspensions."""

        async def story(session: DirectSession) -> None:
            for turns in range(_SUSPENSIONS_MAX):
                another = session.another()
                await another.demand(*_before(step))
                task = asyncio.create_task(another.call_unjudged(step), name=f"on_{step}")
                for _ in range(turns):
                    await asyncio.sleep(0)
                is_over = task.done() or not task.cancel()
                await asyncio.wait([task], timeout=600.0)
                self._judge_cancelled(session, step, task, turns, is_over)
                await another.calls("abort", "backup_shutdown")
                await session.bench.demand_signs_of_life(f"on_{step} was cancelled and on_abort called")
                if is_over:
                    break
            await session.bench.demand_recovered(f"cancelling on_{step}")

        self.play_directly(story)

    def _judge_cancelled(self, session: DirectSession, step: str, task: asyncio.Task[None], turns: int, is_over: bool) -> None:
        name, problem = session.bench.name, ""
        if not task.done():
            problem = "it went on for 600 s"
        elif not is_over and turns and not task.cancelled():
            error = task.exception()
            problem = f"it raised {error!r}" if error is not None else "it returned as if nothing had happened"
        elif not task.cancelled():
            task.exception()  # looked at: what a handler that was not cancelled raises is judged elsewhere
        if problem:
            broken(
                f"{name} swallows the cancellation of on_{step}",
                expected="CancelledError comes out of the handler, at once or after a bounded clean-up",
                found=f"cancelled at its suspension {turns}, {problem}",
                mend="never catch BaseException or CancelledError without raising it again; clean up in finally",
                source='Python documentation, asyncio, "Task cancellation"',
            )

    def test_prepare_backup_can_be_cancelled_anywhere(self) -> None:
        """At each suspension; Abort follows, and the writer works on."""
        self._check_cancelled("prepare_backup")

    def test_prepare_snapshot_can_be_cancelled_anywhere(self) -> None:
        """At each suspension; Abort follows, and the writer works on."""
        self._check_cancelled("prepare_snapshot")

    def test_freeze_can_be_cancelled_anywhere(self) -> None:
        """At each suspension; Abort follows, and the writer works on."""
        self._check_cancelled("freeze")

    def test_thaw_can_be_cancelled_anywhere(self) -> None:
        """At each suspension; Abort follows, and the writer works on."""
        self._check_cancelled("thaw")

    def test_post_snapshot_can_be_cancelled_anywhere(self) -> None:
        """At each suspension; Abort follows, and the writer works on."""
        self._check_cancelled("post_snapshot")

    def test_backup_complete_can_be_cancelled_anywhere(self) -> None:
        """At each suspension; the session ends, and the writer works on."""
        self._check_cancelled("backup_complete")

    def test_abort_can_be_cancelled_and_comes_again(self) -> None:
        """A cancelled Abort is followed by another one."""

        async def story(session: DirectSession) -> None:
            for turns in range(_SUSPENSIONS_MAX):
                another = session.another()
                await another.demand("prepare_backup", "prepare_snapshot", "freeze")
                task = asyncio.create_task(another.call_unjudged("abort"), name="on_abort")
                for _ in range(turns):
                    await asyncio.sleep(0)
                is_over = task.done() or not task.cancel()
                await asyncio.wait([task], timeout=600.0)
                self._judge_cancelled(session, "abort", task, turns, is_over)
                await another.calls("abort", "backup_shutdown")
                await session.bench.demand_signs_of_life("on_abort was cancelled and called again")
                if is_over:
                    break
            await session.bench.demand_recovered("cancelling on_abort")

        self.play_directly(story)

    # -- the others ------------------------------------------------------------------------------------------------------------

    def _check_provider_fault(self, fault: str, what: str) -> None:
        self._check_fault(fault, what)

    def test_a_provider_that_fails_to_commit_is_survived(self) -> None:
        """The set is aborted while the writer is frozen."""
        self._check_provider_fault("provider.commit fail", "a provider that failed to commit")

    def test_a_provider_that_hangs_at_commit_is_survived(self) -> None:
        """The window is lost while the writer is frozen."""
        self._check_provider_fault("provider.commit hang", "a provider that hung at commit")

    def test_a_provider_that_fails_after_the_thaw_is_survived(self) -> None:
        """The set is aborted when the writer has thawed already."""
        self._check_provider_fault("provider.pre_final fail", "a provider that failed after the thaw")

    def test_a_provider_that_fails_to_prepare_is_survived(self) -> None:
        """The set is aborted before the writer hears of it."""
        self._check_provider_fault("provider.end_prepare fail", "a provider that failed to prepare")

    def _check_neighbour(self, method: str, behaviour: object, what: str) -> None:
        async def story(bench: WriterBench) -> None:
            neighbour = StubWriter("Neighbour", paths=(f"{self.volumes[0]}\\neighbour",))
            bench.coordinator.add_writer(neighbour)
            neighbour.behaviour[method] = behaviour
            async with bench.coordinator.open_session() as session:
                await bench.prepare(session, select=False)
                try:
                    await session.do_snapshot_set()
                except VssError:
                    pass
                else:
                    bench.report(session, lambda index: True)
                    await session.backup_complete()
            neighbour.behaviour.clear()
            await bench.demand_recovered(what)

        self.play(story, limits=_QUICK)

    def test_a_writer_that_refuses_to_freeze_beside_it_is_survived(self) -> None:
        """One veto never cancels the others."""
        self._check_neighbour("on_freeze", RuntimeError("no"), "another writer's veto at Freeze")

    def test_a_writer_that_hangs_in_freeze_beside_it_is_survived(self) -> None:
        """The freeze window is lost for all."""
        self._check_neighbour("on_freeze", "hang", "another writer's hang in Freeze")

    def test_a_writer_that_hangs_in_thaw_beside_it_is_survived(self) -> None:
        """Its neighbour never thaws; this one has."""
        self._check_neighbour("on_thaw", "hang", "another writer's hang in Thaw")

    def test_a_death_while_the_writer_is_frozen_is_survived(self) -> None:
        """Whoever drives the set dies without a word: Abort comes late, by a timer or an obituary; the writer works on."""

        async def story(bench: WriterBench) -> None:
            async def backup() -> None:
                async with bench.coordinator.open_session() as session:
                    await bench.prepare(session)
                    await session.do_snapshot_set()

            doomed = asyncio.create_task(backup(), name="a backup that dies")
            await bench.observed.wait_called("on_freeze")
            await asyncio.sleep(0)
            _simulation_loop().kill(doomed)
            await bench.ports.clock.sleep(bench.observed.freeze_timeout_s + 30.0)
            bench.demand_legal_failures("a death while it was frozen")
            await bench.demand_signs_of_life("a death while it was frozen")

        self.play(story)

    # -- the disk --------------------------------------------------------------------------------------------------------------

    def _check_store_fault(self, effect: StoreEffect, what: str) -> None:
        """Let the k-th operation of a backup at the disk fail, for every k of the first dozen, then heal the disk."""

        async def story(bench: WriterBench, skip: int) -> int:
            for store in bench.stores:
                store.arm(StoreFault(effect, skip=skip))
            await bench.try_backup()
            fired = sum(len(store.fired) for store in bench.stores)
            for store in bench.stores:
                store.disarm()
            bench.demand_legal_failures(f"{what} {skip}")
            return fired

        for skip in range(_WRITES_MAX):
            if not self.play(lambda bench, skip=skip: story(bench, skip)):  # type: ignore[misc]
                break

    def test_a_write_error_of_the_disk_is_reported_as_a_writer_may(self) -> None:
        """EIO at each write of a backup: a legal refusal or success, never an exception that escapes."""
        self._check_store_fault(StoreEffect.WRITE_ERROR, "a write error at write")

    def test_a_full_disk_is_reported_as_a_writer_may(self) -> None:
        """ENOSPC at each write of a backup."""
        self._check_store_fault(StoreEffect.FULL, "a full disk at write")

    def test_a_read_error_of_the_disk_is_reported_as_a_writer_may(self) -> None:
        """EIO at each read of a backup."""
        self._check_store_fault(StoreEffect.READ_ERROR, "a read error at read")

    def test_a_flush_error_of_the_disk_is_reported_as_a_writer_may(self) -> None:
        """EIO at each flush of a backup."""
        self._check_store_fault(StoreEffect.FLUSH_ERROR, "a flush error at flush")

    def test_a_disk_that_fails_while_frozen_does_not_keep_the_writer_frozen(self) -> None:
        """Every access fails from Freeze to Abort; with the disk healed, nothing waits any more."""

        async def story(session: DirectSession) -> None:
            bench = session.bench
            await session.demand("prepare_backup", "prepare_snapshot")
            for store in bench.stores:
                store.arm(StoreFault(StoreEffect.WRITE_ERROR, is_sticky=True))
            await session.calls("freeze", "abort", "abort", "backup_shutdown")
            for store in bench.stores:
                store.disarm()
            if self.has_work:
                try:
                    async with asyncio.timeout(120.0):
                        await bench.work_once()
                except TimeoutError:
                    await bench.demand_signs_of_life("a disk that failed while it was frozen")
                except VssError:
                    pass  # an application may stay down after its disk failed, and say so

        self.play_directly(story)


def _simulation_loop() -> SimulationLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop), "checks run in a simulated world"
    return loop


def _before(step: str) -> tuple[str, ...]:
    return WHOLE_BACKUP[: WHOLE_BACKUP.index(step)]
