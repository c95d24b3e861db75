"""Provider checks: the order of calls, legal and illegal, repeated, aborted at every point.

Source of the rules: Volume Shadow Copy Service documentation, "Shadow copy creation for providers", "State transitions in
shadow copy providers".
"""

from __future__ import annotations

import asyncio

from vss.ids import Guid
from vss.testing.contracts.provider_base import ProviderChecks
from vss.testing.contracts.provider_bench import CREATION, PHASES, MadeSet, ProviderBench
from vss.testing.contracts.verdict import broken, page

_TWO = ("D:", "E:")
_STATES = page("State transitions in shadow copy providers")
_BEGIN_LIMIT_S = 10.0
_COMMIT_LIMIT_S = 1.0


class OrderChecks(ProviderChecks):
    """Sets in the making."""

    # -- in order --------------------------------------------------------------------------------------------------------------

    def test_a_whole_set_is_made(self) -> None:
        """Every phase in order; the copies are listed and show their point in time."""

        async def story(bench: ProviderBench) -> None:
            await bench.demand_whole(await bench.make(), "right after it was made")

        self.play(story, names=_TWO)

    def test_the_properties_are_those_of_the_set(self) -> None:
        """Ids, volume, count, instant, size, device name."""

        async def story(bench: ProviderBench) -> None:
            await bench.ports.clock.sleep(100.0)
            made = await bench.make()
            for volume in bench.volumes:
                found = (await bench.listed())[made.ids[volume.name]]
                expected = {
                    "snapshot_set_id": made.set_id,
                    "provider_id": bench.provider.provider_id,
                    "original_volume": volume.name,
                    "original_volume_id": volume.volume_id,
                    "snapshots_in_set": len(bench.volumes),
                    "size_bytes": volume.size_bytes,
                    "context": self.volatile_attributes & 0x1D,
                }
                wrong = {key: getattr(found, key) for key, value in expected.items() if getattr(found, key) != value}
                if found.attributes & made.attributes != made.attributes:
                    wrong["attributes"] = hex(found.attributes)
                if abs(found.created_ns - bench.ports.clock.wall_ns()) > 2_000_000_000:
                    wrong["created_ns"] = found.created_ns
                if not found.device_name or found.device_name.endswith("\\"):
                    wrong["device_name"] = found.device_name
                if wrong:
                    broken(
                        f"{bench.name} lists wrong properties of the shadow copy of {volume.name}",
                        expected=f"{expected}, the attributes asked for, the time of the commit, no backslash at an end",
                        found=str(wrong),
                        mend="fill in SnapshotProperties from what begin_prepare_snapshot was given",
                        source=page("VSS_SNAPSHOT_PROP"),
                    )

        self.play(story, names=_TWO)

    def test_nothing_is_listed_before_it_is_committed(self) -> None:
        """A set in the making is nobody's shadow copy."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.begin(self.volatile_attributes)
            for phase in ("end_prepare", "pre_commit", "commit"):
                if await bench.listed():
                    broken(
                        f"{bench.name} lists a set in the making",
                        expected="nothing in Query before the set is committed",
                        found=f"listed before {phase}_snapshots",
                        mend="move a set to what is listed in post_final_commit_snapshots",
                        source=_STATES,
                    )
                await bench.demand_steps(made, phase)
            await bench.demand("abort_snapshots", made.set_id)

        self.play(story)

    def test_begin_returns_fast_and_commit_faster(self) -> None:
        """In virtual time: Begin under 10 s, Commit under 1 s."""

        async def story(bench: ProviderBench) -> None:
            clock = bench.ports.clock
            started = clock.now_ns()
            made = await bench.begin(self.volatile_attributes)
            begun_s = (clock.now_ns() - started) / 1e9
            await bench.demand_steps(made, "end_prepare", "pre_commit")
            started = clock.now_ns()
            await bench.demand_steps(made, "commit")
            committed_s = (clock.now_ns() - started) / 1e9
            if begun_s > _BEGIN_LIMIT_S or committed_s > _COMMIT_LIMIT_S:
                broken(
                    f"{bench.name} is slow where it must be fast",
                    expected=f"begin within {_BEGIN_LIMIT_S:g} s, commit within {_COMMIT_LIMIT_S:g} s",
                    found=f"{begun_s:g} s and {committed_s:g} s",
                    mend="start the work in begin_prepare_snapshot and wait for it in end_prepare_snapshots",
                    source=CREATION,
                )
            await bench.demand("abort_snapshots", made.set_id)

        self.play(story, names=_TWO)

    def test_commit_does_not_touch_a_held_volume(self) -> None:
        """Nothing that commit does waits at the gate of a volume that holds its writes."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.begin(self.volatile_attributes)
            await bench.demand_steps(made, "end_prepare", "pre_commit")
            for volume in bench.volumes:
                await volume.flush_and_hold(10.0)
            task = asyncio.create_task(bench.provider.commit_snapshots(made.set_id), name="commit_snapshots")
            await asyncio.wait([task], timeout=_COMMIT_LIMIT_S)
            queued = [volume.name for volume in bench.volumes if volume.queued_count]
            is_done = task.done()
            for volume in bench.volumes:
                await volume.release_writes()
            await asyncio.wait([task])
            if queued or not is_done:
                broken(
                    f"{bench.name} writes to a held volume in commit_snapshots",
                    expected="commit ends by itself while the writes of the set are held",
                    found=f"a write waits at the gate of {', '.join(queued) or 'a volume'}",
                    mend="write below the gate (BlockVolume.raw_store), or in end_prepare_snapshots",
                    source=page("IVssProviderCreateSnapshotSet::CommitSnapshots"),
                )
            task.result()
            await bench.demand("abort_snapshots", made.set_id)

        self.play(story, names=_TWO)

    def test_sets_one_after_another_are_made(self) -> None:
        """Five of them, each as it was."""

        async def story(bench: ProviderBench) -> None:
            made = []
            for _ in range(min(5, bench.provider.capabilities.max_snapshots_per_volume)):
                made.append(await bench.make())
                await bench.scribble_everywhere(4)
            for number, each in enumerate(made):
                await bench.demand_whole(each, f"set {number + 1} of several")

        self.play(story)

    # -- out of order ----------------------------------------------------------------------------------------------------------

    def test_calls_for_an_unknown_set_are_refused(self) -> None:
        """With a legal code, and without harm."""

        async def story(bench: ProviderBench) -> None:
            for phase in PHASES[:4]:
                extra = (1,) if phase == "post_commit" else ()
                if await bench.ask(f"{phase}_snapshots", Guid(int=99), *extra, when="an unknown set") is None:
                    broken(
                        f"{bench.name} accepts {phase}_snapshots for a set that it does not know",
                        expected="a ProviderError, best with VSS_E_OBJECT_NOT_FOUND",
                        found="success",
                        mend="compare snapshot_set_id with the set in the making",
                        source=_STATES,
                    )
            await bench.demand_usable("calls for an unknown set")

        self.play(story)

    def test_a_phase_left_out_is_refused(self) -> None:
        """Commit before PreCommit, and so on: a legal refusal, and after Abort nothing is left."""

        async def story(bench: ProviderBench) -> None:
            for skipped in range(3):
                made = await bench.begin(self.volatile_attributes)
                await bench.demand_steps(made, *PHASES[:skipped])
                if await bench.step(made, PHASES[skipped + 1]) is None:
                    broken(
                        f"{bench.name} accepts {PHASES[skipped + 1]}_snapshots without {PHASES[skipped]}_snapshots",
                        expected="a ProviderVetoError",
                        found="success",
                        mend="keep how far the set has come, and check it in every phase",
                        source=_STATES,
                    )
                await bench.demand("abort_snapshots", made.set_id)
                await bench.demand_gone(made, f"aborted after {PHASES[skipped]} was left out")
            await bench.demand_usable("phases that were left out")

        self.play(story)

    def test_a_repeated_phase_is_refused_or_harmless(self) -> None:
        """Each phase twice; the set ends whole or, after Abort, gone."""

        async def story(bench: ProviderBench) -> None:
            for count, phase in enumerate(PHASES):
                made = await bench.begin(self.volatile_attributes)
                await bench.demand_steps(made, *PHASES[: count + 1])
                frozen = made.frozen
                await bench.step(made, phase)
                made.frozen = frozen or made.frozen
                await bench.ask("abort_snapshots", made.set_id)
                if await bench.demand_gone_or_whole(made, f"{phase} twice, then abort"):
                    await bench.demand_whole(made, f"{phase} twice, then abort")
            await bench.demand_usable("repeated phases")

        self.play(story)

    def test_the_same_volume_twice_in_a_set_is_answered(self) -> None:
        """Refused with a legal code, best with a veto; the set can be aborted."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.begin(self.volatile_attributes)
            await bench.ask(
                "begin_prepare_snapshot", made.set_id, Guid(int=77), bench.volumes[0], made.attributes, when="twice in a set"
            )
            await bench.ask("abort_snapshots", made.set_id)
            await bench.demand_usable("the same volume twice in a set")

        self.play(story)

    def test_a_new_set_ends_an_unfinished_one(self) -> None:
        """BeginPrepareSnapshot with a new set id: the earlier set is silently dead, whatever it had reached."""

        async def story(bench: ProviderBench) -> None:
            for count in range(5):
                dead = await bench.begin(self.volatile_attributes)
                await bench.demand_steps(dead, *PHASES[:count])
                made = await bench.make(when=f"after a set that ended at phase {count}")
                await bench.demand_whole(made, "begun while another set was unfinished")
                await bench.demand_gone(dead, "another set was begun")

        self.play(story)

    # -- aborted ---------------------------------------------------------------------------------------------------------------

    def _check_abort(self, count: int, times: int = 1) -> None:
        async def story(bench: ProviderBench) -> None:
            before = await bench.freeze_point()
            made = await bench.begin(self.volatile_attributes)
            await bench.demand_steps(made, *PHASES[:count])
            for _ in range(times):
                await bench.demand("abort_snapshots", made.set_id, when=f"after {_reached(count)}")
            await bench.demand_gone(made, f"aborted after {_reached(count)}")
            if await bench.freeze_point() != before:
                bench.refuse_change("abort_snapshots")
            await bench.demand_usable(f"abort after {_reached(count)}")

        self.play(story, names=_TWO)

    def test_abort_after_begin(self) -> None:
        """Nothing is left, the next set is made."""
        self._check_abort(0)

    def test_abort_after_end_prepare(self) -> None:
        """Nothing is left, the next set is made."""
        self._check_abort(1)

    def test_abort_after_pre_commit(self) -> None:
        """Nothing is left, the next set is made."""
        self._check_abort(2)

    def test_abort_after_commit(self) -> None:
        """Nothing is left, the next set is made."""
        self._check_abort(3)

    def test_abort_after_post_commit(self) -> None:
        """Nothing is left, the next set is made."""
        self._check_abort(4)

    def test_abort_after_pre_final_commit(self) -> None:
        """Nothing is left, the next set is made."""
        self._check_abort(5)

    def test_abort_may_come_three_times(self) -> None:
        """At every point."""
        for count in range(6):
            self._check_abort(count, times=3)

    def test_abort_of_a_finished_set_leaves_it_alone(self) -> None:
        """It is too late."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            await bench.demand("abort_snapshots", made.set_id, when="a finished set")
            await bench.demand_whole(made, "aborted after it was finished")

        self.play(story, names=_TWO)

    def test_abort_of_an_unknown_set_is_harmless(self) -> None:
        """Before any set, and while another one is in the making."""

        async def story(bench: ProviderBench) -> None:
            await bench.demand("abort_snapshots", Guid(int=98), when="an unknown set")
            made = await bench.begin(self.volatile_attributes)
            await bench.demand("abort_snapshots", Guid(int=98), when="an unknown set")
            await bench.demand_steps(made, *PHASES, when="another set was aborted")
            await bench.demand_whole(made, "another set was aborted meanwhile")

        self.play(story)

    def test_abort_may_arrive_during_end_prepare(self) -> None:
        """Whichever ends first, nothing is left afterwards."""

        async def story(bench: ProviderBench) -> None:
            for turns in range(8):
                made = await bench.begin(self.volatile_attributes)
                preparing = asyncio.create_task(bench.step(made, "end_prepare"), name="end_prepare_snapshots")
                for _ in range(turns):
                    await asyncio.sleep(0)
                await bench.demand("abort_snapshots", made.set_id, when="during end_prepare")
                await preparing
                await bench.demand("abort_snapshots", made.set_id, when="after end_prepare")
                await bench.demand_gone(made, "aborted during end_prepare")
            await bench.demand_usable("aborts during end_prepare")

        self.play(story)

    def test_an_aborted_set_does_not_go_on(self) -> None:
        """Each later phase is refused."""

        async def story(bench: ProviderBench) -> None:
            for count in range(4):
                made: MadeSet = await bench.begin(self.volatile_attributes)
                await bench.demand_steps(made, *PHASES[:count])
                await bench.demand("abort_snapshots", made.set_id)
                if await bench.step(made, PHASES[count]) is None:
                    broken(
                        f"{bench.name} goes on with an aborted set",
                        expected=f"{PHASES[count]}_snapshots refused",
                        found="success",
                        mend="forget the set in abort_snapshots",
                        source=_STATES,
                    )
                await bench.demand_gone(made, "aborted, then called on")

        self.play(story)


def _reached(count: int) -> str:
    return PHASES[count - 1] if count else "begin"
