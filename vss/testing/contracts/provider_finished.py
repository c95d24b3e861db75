"""Provider checks: finished shadow copies: listed, opened, deleted in any order, kept over a restart, reverted to, exposed.

Source of the rules: Volume Shadow Copy Service documentation, pages of IVssSoftwareSnapshotProvider.
"""

from __future__ import annotations

from itertools import permutations

from vss.errors import NotFoundError, ProviderError, UnsupportedError, VolumeError, VssError
from vss.hresult import HResult
from vss.ids import Guid
from vss.testing.contracts.provider_base import ProviderChecks
from vss.testing.contracts.provider_bench import PHASES, MadeSet, ProviderBench
from vss.testing.contracts.verdict import broken, not_applicable, page

_TWO = ("D:", "E:")
_LIMIT_TRIED_MAX = 64
_DELETE = page("IVssSoftwareSnapshotProvider::DeleteSnapshots")


class FinishedChecks(ProviderChecks):
    """After the set was made."""

    def _refuse_unknown(self, bench: ProviderBench, method: str, found: object) -> None:
        broken(
            f"{bench.name} does not say that a shadow copy does not exist",
            expected=f"NotFoundError (VSS_E_OBJECT_NOT_FOUND) from {method}",
            found=repr(found),
            mend="look the id up first, and raise NotFoundError",
            source=page("IVssSoftwareSnapshotProvider::GetSnapshotProperties"),
        )

    def test_an_unknown_shadow_copy_is_not_opened(self) -> None:
        """NotFoundError."""

        async def story(bench: ProviderBench) -> None:
            refusal = await bench.ask("open_snapshot", Guid(int=97), when="an unknown id")
            if not isinstance(refusal, NotFoundError):
                self._refuse_unknown(bench, "open_snapshot", refusal)

        self.play(story)

    def test_an_unknown_shadow_copy_is_not_deleted(self) -> None:
        """NotFoundError, and the others stay."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            refusal = await bench.ask("delete_snapshot", Guid(int=97), when="an unknown id")
            if not isinstance(refusal, NotFoundError):
                self._refuse_unknown(bench, "delete_snapshot", refusal)
            await bench.demand_whole(made, "another was asked to be deleted")

        self.play(story)

    def test_a_deleted_shadow_copy_is_gone(self) -> None:
        """Not listed, not opened, not deleted a second time."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            for snapshot_id in made.ids.values():
                await bench.demand("delete_snapshot", snapshot_id)
                refusal = await bench.ask("delete_snapshot", snapshot_id, when="a second time")
                if not isinstance(refusal, NotFoundError):
                    self._refuse_unknown(bench, "a second delete_snapshot", refusal)
            await bench.demand_gone(made, "deleted")
            await bench.demand_usable("deleting a set")

        self.play(story, names=_TWO)

    def test_files_of_a_deleted_shadow_copy_fail_to_be_read(self) -> None:
        """A file system opened before never shows bytes of something else."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            volume = bench.volumes[0]
            files = await bench.open(made.ids[volume.name])
            path = next(iter(made.frozen[volume.name]))
            handle = await files.open(path)
            await bench.demand("delete_snapshot", made.ids[volume.name])
            await bench.scribble(volume, 30)
            try:
                data = await handle.pread(0, 1 << 20)
            except VssError:
                return
            if data != made.frozen[volume.name][path]:
                broken(
                    f"{bench.name} shows wrong bytes through a deleted shadow copy",
                    expected="a VolumeReadError, or the bytes of the point in time",
                    found=f"{len(data)} other bytes of {path}",
                    mend="make the device of a deleted copy refuse reads",
                    source=_DELETE,
                )

        self.play(story)

    def test_shadow_copies_can_be_deleted_in_any_order(self) -> None:
        """Three sets, every order; what is left stays as it is."""
        for order in permutations(range(3)):
            self._check_deletions(order)

    def _check_deletions(self, order: tuple[int, ...]) -> None:
        async def story(bench: ProviderBench) -> None:
            if bench.provider.capabilities.max_snapshots_per_volume < 3:
                not_applicable("the provider keeps fewer than three shadow copies of a volume")
            made: list[MadeSet] = []
            for _ in range(3):
                made.append(await bench.make())
                await bench.scribble_everywhere(10)
            left = list(made)
            for index in order:
                await bench.demand("delete_snapshot", made[index].ids["D:"])
                left.remove(made[index])
                await bench.scribble_everywhere(10)
                for each in left:
                    await bench.demand_whole(each, f"deleted in the order {order}")

        self.play(story)

    def test_one_shadow_copy_of_a_set_can_be_deleted(self) -> None:
        """The others of the set stay."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            await bench.demand("delete_snapshot", made.ids.pop("D:"))
            await bench.scribble_everywhere(10)
            await bench.demand_whole(made, "another of its set was deleted")

        self.play(story, names=_TWO)

    def test_query_lists_the_oldest_first_and_the_same_each_time(self) -> None:
        """And its answer is the caller's to change."""

        async def story(bench: ProviderBench) -> None:
            made = []
            for _ in range(min(3, bench.provider.capabilities.max_snapshots_per_volume)):
                made.append((await bench.make()).ids["D:"])
                await bench.ports.clock.sleep(60.0)
            first = await bench.fetch("query")
            first_ids = [each.snapshot_id for each in first]
            first.clear()
            second_ids = [each.snapshot_id for each in await bench.fetch("query")]
            if first_ids != made or second_ids != made:
                broken(
                    f"{bench.name} lists shadow copies in another order than they were made, or not twice the same",
                    expected="oldest first, in a list of the caller's own",
                    found=f"positions {[made.index(each) if each in made else '?' for each in first_ids]}, then"
                    f" {[made.index(each) if each in made else '?' for each in second_ids]}",
                    mend="keep finished copies in a dict, and return a new list from query",
                    source=page("IVssSoftwareSnapshotProvider::Query"),
                )

        self.play(story)

    def test_the_limit_of_shadow_copies_is_kept(self) -> None:
        """One more than the record claims is refused with the code for it."""
        most = self.capabilities().max_snapshots_per_volume
        if most > _LIMIT_TRIED_MAX:
            not_applicable(f"the record claims {most} shadow copies per volume, more than a check makes ({_LIMIT_TRIED_MAX})")

        async def story(bench: ProviderBench) -> None:
            for _ in range(most):
                await bench.make(when="up to the limit")
            refusal = await bench.ask(
                "begin_prepare_snapshot", Guid(int=1), Guid(int=2), bench.volumes[0], self.volatile_attributes
            )
            if not isinstance(refusal, VssError) or refusal.hresult is not HResult.VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED:
                broken(
                    f"{bench.name} does not keep its own limit of {most} shadow copies",
                    expected="VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED from begin_prepare_snapshot",
                    found=repr(refusal),
                    mend="count the shadow copies of the volume in begin_prepare_snapshot",
                    source=page("IVssBackupComponents::AddToSnapshotSet"),
                )

        self.play(story)

    # -- over a restart --------------------------------------------------------------------------------------------------------

    def test_persistent_shadow_copies_survive_a_restart(self) -> None:
        """Where persistence is claimed: listed with the same properties, with the same content."""
        self.require("supports_persistent")

        async def story(bench: ProviderBench) -> None:
            made = await bench.make(self.persistent_attributes)
            await bench.scribble_everywhere(20)
            before = await bench.listed()
            await bench.demand("close", when="before a restart")
            for volume in bench.volumes:
                await volume.files.sync()
            await bench.restart()
            after = await bench.listed()
            if after != before:
                broken(
                    f"{bench.name} does not take its persistent shadow copies up after a restart",
                    expected=f"{len(before)} with the same properties",
                    found=f"{len(after)}, or other properties",
                    mend="read them in attach from what was written by the final commit",
                    source=page("Volume shadow copy contexts"),
                )
            await bench.demand_whole(made, "after a restart")
            await bench.scribble_everywhere(20)
            await bench.demand_whole(made, "after a restart and more changes of the original")
            await bench.demand("delete_snapshot", made.ids["D:"], when="after a restart")

        self.play(story, names=_TWO)

    def test_an_unfinished_set_is_gone_or_whole_after_a_restart(self) -> None:
        """The machine stops between any two phases."""
        self.require("supports_persistent")

        async def story(bench: ProviderBench, count: int) -> None:
            made = await bench.begin(self.persistent_attributes)
            await bench.demand_steps(made, *PHASES[:count])
            for volume in bench.volumes:
                await volume.files.sync()
            await bench.restart()
            if await bench.demand_gone_or_whole(made, f"a restart after {count} phases"):
                await bench.demand_whole(made, f"a restart after {count} phases")
            await bench.demand_usable(f"a restart after {count} phases")

        for count in range(6):
            self.play(lambda bench, count=count: story(bench, count), names=_TWO)  # type: ignore[misc]

    def test_power_loss_at_any_phase_leaves_the_set_gone_or_whole(self) -> None:
        """Whatever of the unsynced writes the disk kept: after the final commit it is whole."""
        self.require("supports_persistent")
        for count in range(len(PHASES) + 1):
            number = 0
            while self.play(lambda bench, c=count, n=number: self._lose_power(bench, c, n), records_writes=True):  # type: ignore[misc]
                number += 1

    async def _lose_power(self, bench: ProviderBench, count: int, number: int) -> bool:
        """Stop after ``count`` phases in the state ``number`` that the disk may be left in; return whether there are more."""
        made = await bench.begin(self.persistent_attributes)
        await bench.demand_steps(made, *PHASES[:count])
        states = list(bench.stores[0].power_loss_states(subset_max=3, torn_max=1))[:10]
        if number >= len(states):
            return False
        bench.stores[0].lose_power(states[number])
        try:
            await bench.restart()
        except VolumeError:
            return number + 1 < len(states)  # the file system itself did not survive: nothing of the provider's can show
        is_there = await bench.demand_gone_or_whole(made, f"power loss after {count} phases")
        if is_there:
            await bench.demand_whole(made, f"power loss after {count} phases, {states[number]}")
        elif count == len(PHASES):
            broken(
                f"{bench.name} loses a finished persistent shadow copy with the power",
                expected="listed after the restart: its final commit had succeeded",
                found=f"nothing, in the state {states[number]}",
                mend="flush what describes the copy before post_final_commit_snapshots returns",
                source=page("Volume shadow copy contexts"),
            )
        return number + 1 < len(states)

    def test_close_may_come_twice(self) -> None:
        """With and without shadow copies."""

        async def story(bench: ProviderBench) -> None:
            await bench.make()
            await bench.demand("close", when="once")
            await bench.demand("close", when="twice")

        self.play(story)

    def test_close_during_a_set_is_taken(self) -> None:
        """The machine goes down while a set is in the making."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.begin(self.volatile_attributes)
            await bench.demand_steps(made, *PHASES[:2])
            await bench.demand("close", when="while a set is in the making")

        self.play(story)

    # -- what may be refused ---------------------------------------------------------------------------------------------------

    def test_a_volume_is_reverted_as_claimed(self) -> None:
        """Where revert is claimed the original becomes the copy again; else the call is refused as unsupported."""

        async def story(bench: ProviderBench) -> None:
            volume = bench.volumes[0]
            if not bench.provider.capabilities.supports_revert:
                made = await bench.make()
                try:
                    await bench.provider.revert(made.ids[volume.name])
                except UnsupportedError:
                    not_applicable("the capabilities record does not claim supports_revert, and the call is refused")
                self._refuse_claim(bench, "revert", "success")
            made = await bench.make(self.persistent_attributes)
            await bench.scribble(volume, 30)
            await bench.demand("revert", made.ids[volume.name])
            status = None
            for _ in range(1000):
                status = await bench.provider.query_revert(volume)
                if status is None or status.is_finished:
                    break
                await bench.ports.clock.sleep(1.0)
            frozen = made.frozen[volume.name]
            if (await bench.freeze_point())[volume.name] != frozen or (status is not None and status.failure):
                broken(
                    f"{bench.name} does not revert the volume",
                    expected="the files of the shadow copy on the original",
                    found=f"other files; status {status}",
                    mend="write every changed block back, then have the volume mounted again",
                    source=page("IVssBackupComponents::RevertToSnapshot"),
                )

        self.play(story)

    def _refuse_claim(self, bench: ProviderBench, method: str, found: str) -> None:
        broken(
            f"{bench.name} does what it does not claim: {method}",
            expected="UnsupportedError, or the claim in the capabilities record",
            found=found,
            mend="correct the ProviderCapabilities of the class",
            source="vss.roles.provider, ProviderCapabilities",
        )

    def test_an_exposed_name_is_kept_or_refused(self) -> None:
        """Noted in the properties and taken back by an empty name, or refused as unsupported."""

        async def story(bench: ProviderBench) -> None:
            is_persistent = bench.provider.capabilities.supports_persistent
            made = await bench.make(self.persistent_attributes if is_persistent else None)
            snapshot_id = made.ids["D:"]
            try:
                await bench.provider.set_exposed_name(snapshot_id, "S:")
            except (UnsupportedError, ProviderError) as error:
                not_applicable(f"the provider does not expose this shadow copy, and says so: {error.message}")
            shown = (await bench.listed())[snapshot_id].exposed_name
            await bench.provider.set_exposed_name(snapshot_id, "")
            hidden = (await bench.listed())[snapshot_id].exposed_name
            if (shown, hidden) != ("S:", ""):
                broken(
                    f"{bench.name} forgets where a shadow copy is exposed",
                    expected="exposed_name 'S:', then ''",
                    found=f"'{shown}', then '{hidden}'",
                    mend="keep the name in the properties that query returns",
                    source=page("IVssBackupComponents::ExposeSnapshot"),
                )

        self.play(story)

    def test_breaking_a_set_is_done_or_refused(self) -> None:
        """Copies that stand alone become disks and are listed no more; others are refused and stay."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            if await bench.ask("break_snapshot_set", made.set_id) is None:
                await bench.demand_gone(made, "broken off")
            else:
                await bench.demand_whole(made, "a break was refused")

        self.play(story)

    def test_storage_questions_are_answered(self) -> None:
        """Query gives a list; changes are made or refused."""

        async def story(bench: ProviderBench) -> None:
            if not isinstance(await bench.fetch("query_storage"), list):
                broken(
                    f"{bench.name} answers query_storage with something else than a list",
                    expected="a list of ShadowStorage",
                    found=type(await bench.fetch("query_storage")).__name__,
                    mend="return an empty list where there is no storage",
                    source=page("IVssDifferentialSoftwareSnapshotMgmt::QueryDiffAreasForVolume"),
                )
            made = await bench.make()
            try:
                await bench.provider.delete_storage(bench.volumes[0])
            except VssError:
                await bench.demand_whole(made, "deleting its storage was refused")

        self.play(story)
