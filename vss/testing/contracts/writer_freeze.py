"""Writer checks: what happens between Freeze and Thaw or Abort, and what is then on the shadow copy.

Source of the rules: Volume Shadow Copy Service documentation, "CVssWriter::OnFreeze", "CVssWriter::OnThaw".
"""

from __future__ import annotations

from collections.abc import Sequence

from vss.coordinator import Session
from vss.documents import WriterMetadata
from vss.roles.volume import FileSystem
from vss.testing.contracts.direct_session import DirectSession
from vss.testing.contracts.verdict import broken, not_applicable, page
from vss.testing.contracts.watched_files import Change
from vss.testing.contracts.writer_base import WriterChecks
from vss.testing.contracts.writer_bench import WriterBench, read_file
from vss.volumes import VolumeNamespace

FREEZE_WINDOW_S = 10.0
_FROZEN_S = 5.0
_GOES_ON_S = 2.0


class ShadowFiles:
    """Files of a set of shadow copies as a verifier sees them (``vss.roles.verifier.FileSource``)."""

    def __init__(self, files: FileSystem, paths: Sequence[str]) -> None:
        """Offer ``paths`` of ``files``."""
        self._files = files
        self._paths = list(paths)

    def paths(self) -> list[str]:
        """All paths."""
        return list(self._paths)

    async def size(self, path: str) -> int:
        """Length in bytes."""
        return (await self._files.stat(path)).size_bytes

    async def read(self, path: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes."""
        handle = await self._files.open(path)
        try:
            return await handle.pread(offset, length)
        finally:
            await handle.close()


async def shadow_files(bench: WriterBench, session: Session) -> FileSystem:
    """Return the shadow copies of the set under the names of their volumes."""
    found = await session.query()
    own = [each for each in found if each.snapshot_set_id == session.snapshot_set_id]
    return VolumeNamespace.of_file_systems(
        {each.original_volume: await session.open_snapshot(each.snapshot_id) for each in own}
    )


class FreezeChecks(WriterChecks):
    """The window."""

    def _demand_quick(self, bench: WriterBench, handler: str, limit_s: float) -> None:
        call = bench.observed.last(handler)
        assert call is not None, f"{handler} was called"
        took_s = (call.ended_ns - call.started_ns) / 1e9
        if took_s > limit_s:
            broken(
                f"{bench.name} takes {took_s:g} s in {handler}",
                expected=f"at most {limit_s:g} s, freeze and thaw of every writer of the set included",
                found=f"{took_s:g} s of virtual time",
                mend="do slow work in on_prepare_snapshot, and leave in freeze only what must be last",
                source=page("CVssWriter::OnFreeze"),
            )

    def test_freeze_and_thaw_fit_the_window(self) -> None:
        """At rest and under load, each within half the window, so that others have the rest."""

        async def story(bench: WriterBench) -> None:
            await bench.demand_backup("at rest")
            self._demand_quick(bench, "on_freeze", FREEZE_WINDOW_S / 2)
            self._demand_quick(bench, "on_thaw", FREEZE_WINDOW_S / 2)
            async with bench.under_load():
                await bench.demand_backup("under load")
            self._demand_quick(bench, "on_freeze", FREEZE_WINDOW_S / 2)

        self.play(story)

    def test_freeze_ends_within_the_writers_own_timeout(self) -> None:
        """``freeze_timeout_s`` is what the writer promises to live with."""

        async def story(bench: WriterBench) -> None:
            await bench.demand_backup("with the writer's own timeout")
            self._demand_quick(bench, "on_freeze", bench.writer.freeze_timeout_s)

        self.play(story)

    async def _stay_frozen(self, session: DirectSession, end: str) -> list[Change]:
        """Freeze, let the application want to work for five seconds, end the freeze; return what was changed meanwhile."""
        bench = session.bench
        await session.demand("prepare_backup", "prepare_snapshot")
        async with bench.under_load():
            await bench.wait_until_busy()
            await session.demand("freeze")
            answered = len(bench.files.changes)
            await bench.ports.clock.sleep(_FROZEN_S)
            changes = bench.files.changes[answered:]
            await session.demand(end)
            await bench.ports.clock.sleep(0.1)
        await bench.demand_signs_of_life(f"on_{end}")
        return bench.changes_of(session.metadata, changes)

    def _check_stillness(self, end: str) -> None:
        async def story(session: DirectSession) -> None:
            changes = await self._stay_frozen(session, end)
            if changes:
                broken(
                    f"{session.bench.name} writes to its own files while it is frozen",
                    expected=f"no change of a declared file between the answer to Freeze and on_{end}",
                    found=f"{len(changes)} changes, the first: {changes[0]}",
                    mend="let every operation wait from on_freeze to on_thaw or on_abort (an asyncio.Event will do)",
                    source=page("CVssWriter::OnFreeze"),
                )
            await session.call("backup_shutdown")

        self.play_directly(story)

    def test_nothing_is_written_between_freeze_and_thaw(self) -> None:
        """Whatever the application is asked to do meanwhile, and whatever runs in the background."""
        self._check_stillness("thaw")

    def test_nothing_is_written_between_freeze_and_abort(self) -> None:
        """The same when the set fails."""
        self._check_stillness("abort")

    def _check_work_resumes(self, end: str) -> None:
        async def story(session: DirectSession) -> None:
            bench = session.bench
            await session.demand("prepare_backup", "prepare_snapshot")
            async with bench.under_load() as load:
                await session.demand("freeze")
                await bench.ports.clock.sleep(_FROZEN_S)
                before = load.done
                await session.demand(end)
                await bench.ports.clock.sleep(_GOES_ON_S)
                after = load.done
            if after <= before or load.errors:
                broken(
                    f"{bench.name} does not let the application go on after on_{end}",
                    expected="the operations that waited end well, and later ones too",
                    found=f"{after - before} operations in {_GOES_ON_S:g} s, errors: {load.errors[:1] or 'none'}",
                    mend=f"wake everyone who waits, in on_{end}",
                    source=page(f"CVssWriter::On{end.capitalize()}"),
                )

        if not self.has_work:
            not_applicable("the contract class does not say how the application works (override work)")
        self.play_directly(story)

    def test_work_that_waited_goes_on_after_thaw(self) -> None:
        """No operation is lost or refused because it came while the writer was frozen."""
        self._check_work_resumes("thaw")

    def test_work_that_waited_goes_on_after_abort(self) -> None:
        """The same when the set fails."""
        self._check_work_resumes("abort")

    def test_the_shadow_copy_holds_the_files_as_frozen(self) -> None:
        """Under load: each declared file on the shadow copy has the bytes it had when Freeze was answered."""

        async def story(bench: WriterBench) -> None:
            frozen: dict[str, bytes] = {}
            metadata = await bench.observed.identify()

            async def compare(session: Session) -> None:
                files = await shadow_files(bench, session)
                for path, data in frozen.items():
                    if not await files.exists(path) or await read_file(files, path) != data:
                        _refuse_difference(bench, path)

            _after_freeze(bench, metadata, frozen)
            async with bench.under_load():
                for pause_s in (0.0, 0.003, 0.011):
                    await bench.ports.clock.sleep(pause_s)
                    await bench.demand_backup("under load", on_snapshot=compare)
            if not frozen:
                not_applicable("the writer had no file at Freeze (let work make some)")

        self.play(story)

    def test_the_files_on_the_shadow_copy_pass_the_verifier(self) -> None:
        """Under load: what a requestor copies is consistent by the writer's own measure."""
        verifier = self.make_verifier()
        if verifier is None:
            not_applicable("the contract class names no verifier (override make_verifier)")

        async def story(bench: WriterBench) -> None:
            metadata = await bench.observed.identify()

            async def verify(session: Session) -> None:
                files = await shadow_files(bench, session)
                paths = [path for path in await bench.own_files(metadata) if await files.exists(path)]
                report = await verifier.verify(ShadowFiles(files, paths))
                bad = [each for each in report.findings if not each.is_warning]
                if bad or not report.files:
                    broken(
                        f"{bench.name} freezes files that its verifier '{verifier.name}' finds damaged",
                        expected="no finding, and at least one file judged",
                        found=f"{bad[0].path}: {bad[0].code} {bad[0].message}" if bad else "no file judged",
                        mend="bring the files into a state worth copying in on_freeze, before it answers",
                        source=page("CVssWriter::OnFreeze"),
                    )

            async with bench.under_load():
                await bench.ports.clock.sleep(0.5)
                await bench.demand_backup("under load", on_snapshot=verify)

        self.play(story)


def _after_freeze(bench: WriterBench, metadata: WriterMetadata, frozen: dict[str, bytes]) -> None:
    """Have the declared files read at the answer to Freeze, before anybody else goes on."""
    inner_freeze = bench.observed.on_freeze

    async def freeze_and_look(context: object) -> None:
        await inner_freeze(context)  # type: ignore[arg-type]
        frozen.clear()
        for path in await bench.own_files(metadata):
            frozen[path] = await read_file(bench.files.files, path)

    bench.observed.on_freeze = freeze_and_look  # type: ignore[method-assign]


def _refuse_difference(bench: WriterBench, path: str) -> None:
    broken(
        f"{bench.name}: {path} on the shadow copy is not what it was when Freeze was answered",
        expected="the same bytes",
        found="other bytes, or no file",
        mend="answer Freeze only when every write has reached the file system and none is under way",
        source=page("CVssWriter::OnFreeze"),
    )
