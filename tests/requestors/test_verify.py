"""Verification of a set on its own: sound (any changed byte is found and named), precise (an unaltered set passes)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vss.errors import BackupSetError, NotFoundError, VolumeReadError
from vss.events import CorruptionFound, FileVerified
from vss.exit_codes import ExitCode
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.verifier import FileVerification, Finding, VerificationReport, Verifier
from vss.simulation import run
from vss.simulation.memory_files import MemoryFiles
from vss_requestors.backup import BackupRequestor
from vss_requestors.pacing import Throttle
from vss_requestors.repository import find_set, open_set
from vss_requestors.verify import merge_files, verify_digests, verify_set


async def back_up(world: Any) -> Path:
    result = await BackupRequestor().run(world, **world.options)
    return Path("/backups") / result.set_id


def change(world: Any, path: Path, work: Callable[[Any], object]) -> None:
    handle = world.ports.files.open(path, write=True)
    work(handle)
    handle.close()


def test_an_unaltered_set_is_good_and_says_how_it_was_judged(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        root = await back_up(world)
        world.recorder.records.clear()
        result = await verify_set(world.ports, root, world.verifiers)
        assert (result.is_good, result.exit_code, result.findings) == (True, ExitCode.OK, ())
        assert {file.method for file in result.files} == {"SHA-256, pages"}
        assert sum(file.pages for file in result.files) == 8
        assert len(world.events(FileVerified)) == 4
        assert result.writers_without_verifier == ()

    kit.play(script)


def test_without_the_writers_verifier_the_result_names_the_writer(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        root = await back_up(world)
        result = await verify_set(world.ports, root, {})
        assert result.is_good
        assert result.writers_without_verifier == ("Store",)
        assert {file.method for file in result.files} == {"SHA-256"}

    kit.play(script)


@pytest.mark.parametrize(
    ("work", "code", "offset"),
    [
        (lambda handle: handle.pwrite(9000, b"!"), "wrong digest", 0),
        (lambda handle: handle.truncate(20479), "wrong size", 20479),
        (lambda handle: handle.truncate(20481), "wrong size", 20480),
    ],
)
def test_wrong_bytes_are_named_with_their_offset(kit: Any, work: Any, code: str, offset: int) -> None:
    async def script(world: Any) -> None:
        await world.start(with_verifier=False)
        root = await back_up(world)
        change(world, root / "files/D/data/one.edb", work)
        result = await verify_set(world.ports, root, {})
        assert [(each.path, each.code, each.offset) for each in result.findings] == [("D:\\data\\one.edb", code, offset)]
        assert result.exit_code == ExitCode.VERIFICATION_MISMATCH
        assert [event.path for event in world.events(CorruptionFound)] == ["D:\\data\\one.edb"]

    kit.play(script)


def test_damage_deep_in_a_file_has_the_offset_of_its_piece(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await world.write("D:\\data\\one.edb", kit.database(700))
        root = await back_up(world)
        change(world, root / "files/D/data/one.edb", lambda handle: handle.pwrite((2 << 20) + 77, b"!"))
        result = await verify_set(world.ports, root, {})
        assert [(each.code, each.offset) for each in result.findings] == [("wrong digest", 2 << 20)]
        assert "within" in result.findings[0].message

    kit.play(script)


@given(offset=st.integers(0, 20479), bit=st.integers(0, 7))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_of_a_file_is_found(kit: Any, offset: int, bit: int) -> None:
    async def script(world: Any) -> None:
        await world.start(with_verifier=False)
        root = await back_up(world)

        def flip(handle: Any) -> None:
            handle.pwrite(offset, bytes([handle.pread(offset, 1)[0] ^ (1 << bit)]))

        change(world, root / "files/D/data/one.edb", flip)
        assert not (await verify_set(world.ports, root, {})).is_good

    kit.play(script)


def test_a_missing_file_is_one_finding_and_the_others_are_still_judged(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        root = await back_up(world)
        world.ports.files.remove(root / "files/D/data/one.edb")
        result = await verify_set(world.ports, root, world.verifiers)
        assert [each.code for each in result.findings] == ["missing file"]
        assert [file.is_good for file in result.files].count(True) == 3

    kit.play(script)


def test_a_directory_in_the_place_of_a_file_is_a_missing_file(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        root = await back_up(world)
        world.ports.files.remove(root / "files/L/logs/E0001.log")
        world.ports.files.make_directory(root / "files/L/logs/E0001.log")
        result = await verify_set(world.ports, root, {})
        assert [each.code for each in result.findings] == ["missing file"]

    kit.play(script)


def test_a_file_that_cannot_be_read_is_a_finding(kit: Any) -> None:
    class Unreadable(MemoryFiles):
        def open(self, path: Path, **options: bool) -> Any:
            handle = super().open(path, **options)
            if path.name == "E0001.log" and not options:

                def fail(offset: int, length: int) -> bytes:
                    raise OSError(5, "Input/output error")

                handle.pread = fail  # type: ignore[method-assign]
            return handle

    async def script(world: Any) -> None:
        await world.start(with_verifier=False)
        root = await back_up(world)
        result = await verify_set(world.ports, root, {})
        assert [(each.path, each.code) for each in result.findings] == [("L:\\logs\\E0001.log", "unreadable file")]

    kit.play(script, files=Unreadable())


def test_files_that_nobody_put_there_are_warnings(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        root = await back_up(world)
        for path in ("extra", "files/D/data/extra.edb", "files/X/y", "writer_metadata/other.xml"):
            world.ports.files.make_directory((root / path).parent)
            world.ports.files.write_atomically(root / path, b"")
        result = await verify_set(world.ports, root, world.verifiers)
        assert [(each.path, each.is_warning) for each in result.findings] == [
            ("extra", True),
            ("files/D/data/extra.edb", True),
            ("files/X", True),
            ("writer_metadata/other.xml", True),
        ]
        assert (result.is_good, result.exit_code) == (True, ExitCode.WARNINGS)

    kit.play(script)


def test_a_wrong_sha256_under_right_quick_digests_is_found(kit: Any) -> None:
    """Nobody gets there by accident: the manifest would have to be made so."""

    async def script(world: Any) -> None:
        await world.start()
        opened = await open_set(world.ports, await back_up(world))
        entry = msgspec.structs.replace(opened.manifest.files[0], sha256="0" * 64)
        throttle = Throttle(world.ports.clock, None)
        files, findings = await verify_digests(world.ports, opened.root, [entry], with_sha256=True, throttle=throttle)
        assert [(each.code, each.offset, each.expected) for each in findings] == [("wrong digest", -1, "0" * 64)]
        assert not files[0].is_good

    kit.play(script)


# -- verifiers are strangers -------------------------------------------------------------------------------------------------


class Stranger(Verifier):
    """A verifier that does what it is told."""

    name = "stranger"

    def __init__(self, outcome: Any) -> None:
        self.writer_class_id = Guid(int=1)
        self.outcome = outcome

    async def verify(self, source: Any, **options: Any) -> VerificationReport:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        report: VerificationReport = self.outcome
        return report


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (RuntimeError("bug"), "RuntimeError: bug"),
        (VolumeReadError("cannot read"), "cannot read"),
        (VerificationReport(), "judged none of 4 files"),
    ],
)
def test_a_verifier_that_does_not_judge_is_no_success(kit: Any, outcome: Any, message: str) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        world.verifiers = {writer.writer_class_id: Stranger(outcome)}
        result = await BackupRequestor().run(world, **world.options)
        assert result.exit_code == ExitCode.VERIFICATION_MISMATCH
        assert [each.code for each in result.findings] == ["not verified"]
        assert message in result.findings[0].message
        assert writer.told == [("Store", False)]

    kit.play(script)


def test_a_finding_about_no_copied_file_fails_the_whole_writer(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        gap = Finding("L:\\logs\\E0003.log", "missing generation", "the log ends too early")
        hint = Finding("L:\\logs\\E0001.log", "old", "fine", is_warning=True)
        world.verifiers = {writer.writer_class_id: Stranger(VerificationReport(findings=(hint, gap)))}
        result = await BackupRequestor().run(world, **world.options)
        assert "missing generation" in result.components[0].reason
        assert len(world.events(CorruptionFound)) == 1

    kit.play(script)


def test_cancelling_passes_through_a_verifier(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await world.start()
        root = await back_up(world)
        verifiers = {writer.writer_class_id: Stranger(asyncio.CancelledError())}
        with pytest.raises(asyncio.CancelledError):
            await verify_set(world.ports, root, verifiers)

    kit.play(script)


def test_merging_keeps_bad_news() -> None:
    files = [FileVerification("D:\\A", 5, "XXH3", is_good=False), FileVerification("D:\\b", 5, "XXH3")]
    judged = [FileVerification("d:\\a", 5, "pages", pages=2), FileVerification("D:\\c", 1, "pages")]
    merged = merge_files(files, judged)
    assert merged[0] == FileVerification("D:\\A", 5, "XXH3, pages", 2, False)
    assert merged[1] == files[1]
    assert len(merged) == 2


# -- sets that are not ready -------------------------------------------------------------------------------------------------


def test_a_failed_set_is_judged_and_not_good(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        await world.write("D:\\data\\one.edb", b"broken" + kit.database(5)[6:])
        root = await back_up(world)
        result = await verify_set(world.ports, root, {})
        assert (result.state, result.findings, result.exit_code) == ("failed", (), ExitCode.VERIFICATION_MISMATCH)

    kit.play(script)


def test_a_damaged_document_raises_and_names_itself(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        root = await back_up(world)
        change(world, root / "backup_components.xml", lambda handle: handle.pwrite(60, b"X"))
        with pytest.raises(BackupSetError, match=r"'backup_components\.xml' is damaged") as caught:
            await verify_set(world.ports, root, {})
        assert caught.value.exit_code == ExitCode.VERIFICATION_MISMATCH

    kit.play(script)


def test_no_set_is_not_found() -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(NotFoundError):
            await verify_set(ports, await find_set(ports, Path("/none")), {})

    run(main)


def test_throttled_verification_takes_its_time(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start(with_verifier=False)
        root = await back_up(world)
        size = sum(map(len, kit.STORE_FILES.values()))
        before = world.ports.clock.now_ns()
        await verify_set(world.ports, root, {}, throttle_bytes_per_s=size / 3)
        assert abs(world.ports.clock.now_ns() - before - 3_000_000_000) < 1_000_000

    kit.play(script)
