"""Provider checks: what shadow copies show, and that originals stay as they are.

Source of the rules: Volume Shadow Copy Service documentation, "IVssProviderCreateSnapshotSet::CommitSnapshots", "Required
behaviors for shadow copy providers".
"""

from __future__ import annotations

import asyncio

from vss.errors import VssError
from vss.testing.contracts.provider_base import ProviderChecks
from vss.testing.contracts.provider_bench import PHASES, ProviderBench, Tree, tree
from vss.testing.contracts.verdict import broken, page
from vss.volumes import BlockVolume

_TWO = ("D:", "E:")


class ContentChecks(ProviderChecks):
    """Bytes."""

    def test_the_copy_holds_what_was_written_before_commit(self) -> None:
        """Changes between any two phases before the hold are in it."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.begin(self.volatile_attributes)
            for phase in ("end_prepare", "pre_commit", "commit"):
                await bench.scribble_everywhere(5)
                await bench.demand_steps(made, phase)
            await bench.demand_steps(made, *PHASES[3:])
            await bench.demand_whole(made, "changes until the hold")

        self.play(story, names=_TWO)

    def test_the_copy_lacks_what_was_written_after_commit(self) -> None:
        """Changes between any two phases after the hold are not in it."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.begin(self.volatile_attributes)
            await bench.demand_steps(made, *PHASES[:3])
            for phase in PHASES[3:]:
                await bench.scribble_everywhere(5)
                await bench.demand_steps(made, phase)
            await bench.demand_whole(made, "changes right after the hold")

        self.play(story, names=_TWO)

    def test_the_copy_stays_as_it_is(self) -> None:
        """Two hundred changes of the original later, looked at in between."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            for round_number in range(5):
                await bench.scribble(bench.volumes[0], 40)
                await bench.demand_whole(made, f"after {40 * (round_number + 1)} changes of the original")

        self.play(story)

    def test_files_opened_on_the_copy_stay_as_they_are(self) -> None:
        """A file system opened once shows the same, however long it is kept."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            volume = bench.volumes[0]
            files = await bench.open(made.ids[volume.name])
            for _ in range(4):
                await bench.scribble(volume, 20)
                bench.compare(made, volume.name, await tree(files), "read through a file system opened long ago")

        self.play(story)

    def test_an_original_that_is_emptied_leaves_the_copy_full(self) -> None:
        """Everything is removed, then the volume is filled again."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            volume = bench.volumes[0]
            for path in await tree(volume.files):
                await volume.files.remove(path)
            handle = await volume.files.open("/big", write=True, create=True)
            await handle.pwrite(0, bench.random.randbytes(self.volume_size_bytes // 4))
            await handle.close()
            await bench.demand_whole(made, "the original was emptied and filled again")

        self.play(story)

    def test_several_volumes_have_one_point_in_time(self) -> None:
        """A program counts up on one volume, then on the other: the copies never differ by more than its last step."""

        async def story(bench: ProviderBench) -> None:
            async def count() -> None:
                number = 0
                while True:
                    number += 1
                    for volume in bench.volumes:
                        await _put_number(volume, number)
                    await bench.ports.clock.sleep(0.0001)

            for volume in bench.volumes:
                await _put_number(volume, 0)
            counting = asyncio.create_task(count(), name="a program that counts on two volumes")
            try:
                made = await bench.begin(self.volatile_attributes)
                for phase in PHASES:
                    await bench.ports.clock.sleep(0.01)
                    await bench.demand_steps(made, phase)
            finally:
                counting.cancel()
                await asyncio.wait([counting])
            first, second = [_number(await bench.read(made.ids[volume.name])) for volume in bench.volumes]
            if first - second not in (0, 1):
                broken(
                    f"{bench.name} copies the volumes of a set at different instants",
                    expected="counters that are equal, or one apart",
                    found=f"{first} on {bench.volumes[0].name} and {second} on {bench.volumes[1].name}",
                    mend="take all volumes of the set in commit_snapshots, while their writes are held",
                    source=page("IVssProviderCreateSnapshotSet::CommitSnapshots"),
                )

        self.play(story, names=_TWO)

    def test_making_opening_and_deleting_leave_the_original_alone(self) -> None:
        """Not a byte of its files changes."""

        async def story(bench: ProviderBench) -> None:
            before = await bench.freeze_point()
            made = await bench.make()
            for volume in bench.volumes:
                await bench.read(made.ids[volume.name])
                await bench.demand("delete_snapshot", made.ids[volume.name])
            if await bench.freeze_point() != before:
                bench.refuse_change("making, opening and deleting shadow copies")

        self.play(story, names=_TWO)

    def test_the_original_takes_every_write_while_it_has_copies(self) -> None:
        """A plain record of the writes and the volume agree."""

        async def story(bench: ProviderBench) -> None:
            await bench.make()
            volume, record = bench.volumes[0], bytearray(300_000)
            handle = await volume.files.open("/record", write=True, create=True)
            await handle.truncate(len(record))
            for number in range(60):
                data = bench.random.randbytes(bench.random.choice([1, 511, 4096, 30_000]))
                offset = bench.random.randrange(len(record) - len(data))
                await handle.pwrite(offset, data)
                record[offset : offset + len(data)] = data
                if number == 30:
                    await bench.make()
            found = await handle.pread(0, len(record))
            await handle.close()
            if found != record:
                bench.refuse_change("writes to it while it had shadow copies")

        self.play(story)

    def test_a_finished_copy_is_read_only(self) -> None:
        """Every way to change it is refused, and it stays as it is."""

        async def story(bench: ProviderBench) -> None:
            made = await bench.make()
            snapshot_id = made.ids[bench.volumes[0].name]
            files = await bench.open(snapshot_id)
            accepted = not files.is_read_only
            try:
                handle = await files.open("/new", write=True, create=True)
                await handle.pwrite(0, b"x")
                accepted = True
            except VssError:
                pass
            if accepted:
                broken(
                    f"{bench.name} lets a finished shadow copy be changed",
                    expected="a read-only file system: writes end with a VolumeWriteError",
                    found="a write that succeeded, or is_read_only False",
                    mend="open it read-only (ExtentFileSystem.on_device)",
                    source=page("IVssProviderCreateSnapshotSet::PostFinalCommitSnapshots"),
                )
            await bench.demand_whole(made, "somebody tried to change it")

        self.play(story)

    def test_writers_may_change_the_copy_before_its_final_commit(self) -> None:
        """Where auto-recovery is claimed: changes show on the copy, stay there, and never reach the original."""
        self.require("supports_auto_recovery")

        async def story(bench: ProviderBench) -> None:
            made = await bench.begin(self.volatile_attributes)
            await bench.demand_steps(made, *PHASES[:5])
            volume = bench.volumes[0]
            snapshot_id = made.ids[volume.name]
            files = await bench.open(snapshot_id)
            try:
                handle = await files.open("/recovered", write=True, create=True)
                await handle.pwrite(0, b"recovered" * 3000)
                await handle.close()
                await files.sync()
            except VssError as error:
                broken(
                    f"{bench.name} claims auto-recovery, and refuses a writer's change of its shadow copy",
                    expected="a shadow copy that can be written between pre-final and post-final commit",
                    found=repr(error),
                    mend="open it for writing there (ExtentFileSystem.on_writable_device), or do not claim it",
                    source=page("IVssProviderCreateSnapshotSet::PreFinalCommitSnapshots"),
                )
            await bench.demand_steps(made, PHASES[5])
            made.frozen[volume.name]["/recovered"] = b"recovered" * 3000
            await bench.scribble(volume, 20)
            await bench.demand_whole(made, "changed by auto-recovery")
            if await volume.files.exists("/recovered"):
                bench.refuse_change("auto-recovery of a shadow copy")

        self.play(story)

    def test_the_window_of_auto_recovery_closes(self) -> None:
        """A file system opened for writing refuses writes after PostFinalCommit."""
        self.require("supports_auto_recovery")

        async def story(bench: ProviderBench) -> None:
            made = await bench.begin(self.volatile_attributes)
            await bench.demand_steps(made, *PHASES[:5])
            files = await bench.open(made.ids[bench.volumes[0].name])
            await bench.demand_steps(made, PHASES[5])
            try:
                handle = await files.open("/late", write=True, create=True)
                await handle.pwrite(0, b"late")
                await files.sync()
            except VssError:
                pass
            else:
                broken(
                    f"{bench.name} lets a shadow copy be changed after its final commit",
                    expected="a VolumeWriteError from a file system that was opened before",
                    found="a write that succeeded",
                    mend="make the device of the copy refuse writes in post_final_commit_snapshots",
                    source=page("IVssProviderCreateSnapshotSet::PostFinalCommitSnapshots"),
                )
            await bench.demand_whole(made, "written to after its final commit")

        self.play(story)


async def _put_number(volume: BlockVolume, number: int) -> None:
    handle = await volume.files.open("/number", write=True, create=True)
    try:
        await handle.pwrite(0, number.to_bytes(8, "big"))
    finally:
        await handle.close()


def _number(files: Tree) -> int:
    return int.from_bytes(files["/number"], "big")
