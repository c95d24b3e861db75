"""The smaller parts: copying, throttling, file sets, selection, placement, targets, records, rates."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vss.documents import (
    BackupType,
    Component,
    ComponentType,
    DifferencedFile,
    ExcludedFiles,
    FileSpec,
    FileSpecKind,
    PartialFile,
    SourceType,
    UsageType,
    WriterMetadata,
)
from vss.documents.ranges import ByteRange, render_ranges_file
from vss.errors import (
    ConfigurationError,
    InvalidArgumentError,
    NotFoundError,
    VolumeReadError,
    WriterError,
    WriterTimeoutError,
)
from vss.events import (
    FreezeWindowLost,
    LogsTruncated,
    PhaseLeft,
    Record,
    VolumeFlushed,
    WritesReleased,
)
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import NANOSECONDS, Ports
from vss.real import run_real
from vss.simulation import run
from vss.simulation.memory_files import MemoryFiles
from vss.volumes import BlockVolume, HostVolume, MemoryStore
from vss_requestors.backup_result import exit_code
from vss_requestors.backup_types import type_warnings
from vss_requestors.blocking_work import finished
from vss_requestors.component_outcomes import describe, writer_error
from vss_requestors.component_selection import ComponentName, choose_components, names_of
from vss_requestors.copying import BATCH_BYTES, PIECE_BYTES, SYNC_BYTES, copy_file
from vss_requestors.errors import TargetError, TargetFullError, TargetRefusedError
from vss_requestors.file_sets import FileSetExpander, volumes_of
from vss_requestors.pacing import Throttle
from vss_requestors.repository.records import Owner
from vss_requestors.results import SetVerification
from vss_requestors.run_records import freeze_of, holds_of, phases_of, truncations_of
from vss_requestors.set_judgement import SetJudgement
from vss_requestors.sizes import parse_rate
from vss_requestors.snapshot_source import SnapshotFileSource
from vss_requestors.target import PROBE_NAME, check_target, is_inside

# -- blocking work and copying -----------------------------------------------------------------------------------------------


class Source:
    """An open file of a shadow copy."""

    path = "/db"

    def __init__(self, data: bytes, *, size_bytes: int | None = None) -> None:
        self.data = data
        self.size_bytes = len(data) if size_bytes is None else size_bytes
        self.reads: list[int] = []

    async def pread(self, offset: int, length: int) -> bytes:
        self.reads.append(length)
        return self.data[offset : offset + length]


BIG = bytes(range(256)) * 4096 * 11 + b"tail"  # eleven pieces and a bit: three batches


@pytest.mark.parametrize("data", [b"", b"x", BIG[:PIECE_BYTES], BIG])
@pytest.mark.parametrize("world", [run, run_real])
def test_a_copy_has_the_bytes_and_their_digests(data: bytes, world: Any) -> None:
    files = MemoryFiles()

    async def main(ports: Ports) -> None:
        source: Any = Source(data)
        target = files.open(Path("/copy"), exclusive=True)
        seen: list[tuple[int, int]] = []
        digests = await copy_file(
            ports,
            source,
            target,
            name="copy",
            throttle=Throttle(ports.clock, None),
            progress=lambda path, done, size: seen.append((done, size)),
        )
        target.close()
        assert files.read_bytes(Path("/copy")) == data
        assert (digests.size_bytes, digests.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert len(digests.quick_digests) == 16 * -(-len(data) // PIECE_BYTES)
        assert [done for done, _ in seen] == sorted(
            {*range(BATCH_BYTES, len(data), BATCH_BYTES), *([len(data)] if data else [])}
        )
        assert max(source.reads, default=0) <= PIECE_BYTES

    world(main, files=files)


def test_a_long_copy_is_sent_to_the_disk_on_the_way() -> None:
    async def main(ports: Ports) -> None:
        target = ports.files.open(Path("/copy"), exclusive=True)
        honest, syncs = target.sync, []

        def sync() -> None:
            syncs.append(target.size())
            honest()

        target.sync = sync  # type: ignore[method-assign]
        source: Any = Source(bytes(SYNC_BYTES * 2 + 5))
        await copy_file(ports, source, target, name="copy", throttle=Throttle(ports.clock, None))
        target.close()
        assert len(syncs) == 3
        assert syncs[-1] == SYNC_BYTES * 2 + 5

    run(main)


def test_a_source_that_ends_early_is_a_read_error() -> None:
    async def main(ports: Ports) -> None:
        source: Any = Source(b"12345", size_bytes=10)
        target = ports.files.open(Path("/copy"), exclusive=True)
        with pytest.raises(VolumeReadError, match="ended at offset 5 of the shadow copy, expected 5 more bytes"):
            await copy_file(ports, source, target, name="copy", throttle=Throttle(ports.clock, None))
        target.close()

    run(main)


@pytest.mark.parametrize("world", [run, run_real])
def test_a_target_that_fails_ends_the_copy_whatever_else_is_under_way(world: Any) -> None:
    async def main(ports: Ports) -> None:
        class Failing:
            def pwrite(self, offset: int, data: Any) -> None:
                raise OSError(5, "Input/output error")

        target: Any = Failing()
        source: Any = Source(BIG)
        with pytest.raises(TargetError, match="EIO"):
            await copy_file(ports, source, target, name="files/D/x", throttle=Throttle(ports.clock, None))

    world(main)


def test_a_file_that_cannot_be_synced_is_no_copy() -> None:
    async def main(ports: Ports) -> None:
        target = ports.files.open(Path("/copy"), exclusive=True)

        def fail() -> None:
            raise OSError(28, "No space left on device")

        target.sync = fail  # type: ignore[method-assign]
        source: Any = Source(b"x")
        with pytest.raises(TargetFullError, match="cannot sync"):
            await copy_file(ports, source, target, name="x", throttle=Throttle(ports.clock, None))
        target.close()

    run(main)


@pytest.mark.parametrize("world", [run, run_real])
def test_finished_work_is_over_when_a_cancelled_caller_goes_on(world: Any) -> None:
    async def main(ports: Ports) -> None:
        steps: list[str] = []
        task = asyncio.ensure_future(
            finished(ports, lambda: steps.append("worked") or "result", cost_s=0.01, let_go=steps.append)  # type: ignore[func-returns-value]
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert steps == ["worked", "result"]
        assert await finished(ports, lambda: 7) == 7
        with pytest.raises(ValueError, match="bad"):
            await finished(ports, lambda: int("bad"))

    world(main)


def test_failed_work_of_a_cancelled_caller_is_not_lost_in_the_loop() -> None:
    async def main(ports: Ports) -> None:
        task = asyncio.ensure_future(finished(ports, lambda: 1 // 0, let_go=print))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, ZeroDivisionError)):
            await task

    run(main)


def test_a_throttle_is_exact_in_virtual_time() -> None:
    async def main(ports: Ports) -> None:
        throttle = Throttle(ports.clock, 1000.0)
        for _ in range(5):
            await throttle.passed(500)
        assert ports.clock.now_ns() == 2.5 * NANOSECONDS
        await ports.clock.sleep(10)
        await throttle.passed(500)
        assert ports.clock.now_ns() == 12.5 * NANOSECONDS, "time that was lost elsewhere is not waited for again"
        with pytest.raises(InvalidArgumentError):
            Throttle(ports.clock, 0)

    run(main)


@pytest.mark.parametrize(
    ("text", "rate"), [("500", 500), ("20MiB", 20 << 20), ("1.5 kb/s", 1500), ("2G", 2 << 30), ("7b", 7), ("3kib", 3072)]
)
def test_rates_are_read(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-1", "0", "10 bits", "1e3", "9" * 400])
def test_bad_rates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bytes a second"):
        parse_rate(text)


# -- file sets ---------------------------------------------------------------------------------------------------------------

OWNER = Owner("writer", "component")


async def shadow_copy(ports: Ports, paths: Sequence[str]) -> Any:
    volume = BlockVolume.format(ports, "D:", MemoryStore(4 << 20), volume_id=Guid(int=1))
    for path in paths:
        await volume.files.make_directory(path.rpartition("/")[0] or "/")
        handle = await volume.files.open(path, write=True, create=True)
        await handle.pwrite(0, path.encode())
        await handle.close()
    return volume


def group(*specs: FileSpec, kind: ComponentType = ComponentType.FILE_GROUP) -> Component:
    return Component(kind, "component", files=specs)


TREE = ["/a/1.txt", "/a/2.TXT", "/a/b/3.txt", "/a/b/c/4.txt", "/a/5.log", "/6.txt"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (FileSpec("D:\\a", "*.txt"), ["a\\1.txt", "a\\2.TXT"]),
        (FileSpec("D:\\a\\", "*.txt", recursive=True), ["a\\1.txt", "a\\2.TXT", "a\\b\\3.txt", "a\\b\\c\\4.txt"]),
        (FileSpec("D:\\a", "*.*"), ["a\\1.txt", "a\\2.TXT", "a\\5.log"]),
        (FileSpec("D:\\a", "5.log"), ["a\\5.log"]),
        (FileSpec("D:\\", "*"), ["6.txt"]),
        (FileSpec("D:\\none", "*"), []),
        (FileSpec("D:\\a", "?.log"), ["a\\5.log"]),
        (FileSpec("D:\\normal", "*.txt", alternate_location="D:\\a"), ["normal\\1.txt", "normal\\2.TXT"]),
        (FileSpec("D:\\a", "*", backup_type_mask=0x202), []),
    ],
)
def test_file_sets_are_expanded_on_the_shadow_copy(spec: FileSpec, expected: list[str]) -> None:
    async def main(ports: Ports) -> None:
        volume = await shadow_copy(ports, TREE)
        expander = FileSetExpander({"D:": volume.files})
        await expander.add(group(spec), OWNER, BackupType.FULL)
        assert [file.machine_path for file in expander.planned] == [f"D:\\{name}" for name in expected]
        assert expander.missing == []
        volume.close()

    run(main)


def test_exclusions_hit_the_normal_path_and_a_file_has_all_its_owners() -> None:
    async def main(ports: Ports) -> None:
        volume = await shadow_copy(ports, TREE)
        expander = FileSetExpander({"D:": volume.files})
        excluded = (ExcludedFiles("D:\\a\\b", "*", recursive=True),)
        await expander.add(group(FileSpec("D:\\a", "*.txt", recursive=True)), OWNER, BackupType.COPY, excluded)
        other = Owner("writer", "other")
        await expander.add(group(FileSpec("d:\\A", "1.txt"), FileSpec("D:\\a", "1.txt")), other, BackupType.COPY)
        assert [(file.machine_path, file.owners) for file in expander.planned] == [
            ("D:\\a\\1.txt", [OWNER, other]),
            ("D:\\a\\2.TXT", [OWNER]),
        ]
        volume.close()

    run(main)


def test_only_changed_files_of_a_differenced_set_are_planned() -> None:
    async def main(ports: Ports) -> None:
        volume = await shadow_copy(ports, ["/a/old.txt"])
        await ports.clock.sleep(100)
        since = (ports.clock.wall_ns() + 11_644_473_600 * NANOSECONDS) // 100
        await ports.clock.sleep(100)
        handle = await volume.files.open("/a/new.txt", write=True, create=True)
        await handle.pwrite(0, b"new")
        await handle.close()
        spec = FileSpec("D:\\a", "*.txt", backup_type_mask=0x101)
        expander = FileSetExpander({"D:": volume.files})
        other = DifferencedFile("D:\\b", "*.txt", False, 0)
        changed = DifferencedFile("D:\\a\\", "*.TXT", False, since)
        await expander.add(group(spec), OWNER, BackupType.INCREMENTAL, (), (other, changed))
        assert [file.machine_path for file in expander.planned] == ["D:\\a\\new.txt"]
        volume.close()

    run(main)


def test_files_whose_time_is_unknown_are_planned() -> None:
    """A host directory knows no times before its first change: they read as 0."""

    async def main(ports: Ports) -> None:
        ports.files.make_directory(Path("/host"))
        ports.files.write_atomically(Path("/host/db.edb"), b"x")
        volume = HostVolume(ports, "D:", Path("/host"), volume_id=Guid(int=1), is_link=lambda path: False)
        expander = FileSetExpander({"D:": volume.files})
        await expander.add(group(FileSpec("D:\\", "*.edb")), OWNER, BackupType.FULL)
        all_times = DifferencedFile("D:\\", "*.log", False, 0)
        ports.files.write_atomically(Path("/host/1.log"), b"x")
        await expander.add(group(FileSpec("D:\\", "*.log")), OWNER, BackupType.FULL, (), (all_times,))
        assert [file.machine_path for file in expander.planned] == ["D:\\1.log", "D:\\db.edb"]

    run(main)


def test_partial_files_of_several_components_give_what_any_of_them_wants() -> None:
    async def main(ports: Ports) -> None:
        volume = await shadow_copy(ports, ["/a/0123456789.txt", "/spit/x.txt", "/b/whole.txt"])
        spec = FileSpec("D:\\a", "*.txt", backup_type_mask=0x202)
        spit = FileSpec("D:\\normal", "*.txt", alternate_location="D:\\spit")
        expander = FileSetExpander({"D:": volume.files})
        other = Owner("writer", "other")
        await expander.add(group(FileSpec("D:\\b", "*")), OWNER, BackupType.FULL)

        def file(name: str, ranges: str, directory: str = "D:\\a") -> PartialFile:
            return PartialFile(directory, name, ranges)

        excluded = (ExcludedFiles("D:\\a", "none.txt"),)
        mine = (file("0123456789.txt", "0:2"), file("x.txt", "1:3", "D:\\normal"), file("none.txt", "0:1"))
        await expander.add_what_writers_added([group(spec, spit)], OWNER, excluded, (), mine)
        theirs = (file("0123456789.txt", "1:3"), file("whole.txt", "0:1", "D:\\b"))
        await expander.add_what_writers_added([group(spec)], other, (), (), theirs)
        found = {each.machine_path: each for each in expander.planned}
        assert found["D:\\a\\0123456789.txt"].ranges == (ByteRange(0, 4),)
        assert found["D:\\a\\0123456789.txt"].owners == [OWNER, other]
        assert found["D:\\normal\\x.txt"].source_path == "D:\\spit\\x.txt"
        assert found["D:\\b\\whole.txt"].ranges == ()
        assert found["D:\\b\\whole.txt"].size_bytes == len("/b/whole.txt")
        assert found["D:\\b\\whole.txt"].owners == [OWNER, other]
        await expander.add(group(FileSpec("D:\\a", "0*")), Owner("writer", "third"), BackupType.FULL)
        assert found["D:\\a\\0123456789.txt"].ranges == (), "a third component wants all of it"
        assert expander.refused == []
        volume.close()

    run(main)


def test_two_components_may_name_one_ranges_file() -> None:
    async def main(ports: Ports) -> None:
        volume = await shadow_copy(ports, ["/a/1.txt", "/a/ranges"])
        handle = await volume.files.open("/a/ranges", write=True)
        await handle.pwrite(0, render_ranges_file([ByteRange(0, 1)]))
        await handle.close()
        expander = FileSetExpander({"D:": volume.files})
        other = Owner("writer", "other")
        partial = (PartialFile("D:\\a", "1.txt", "D:\\a\\ranges"),)
        for owner in (OWNER, other, other):
            await expander.add_what_writers_added([], owner, (), (), partial)
        assert [each.owners for each in expander.planned] == [[OWNER, other], [OWNER, other]]
        volume.close()

    run(main)


def test_a_verifier_reads_shadow_copies_by_machine_path() -> None:
    async def main(ports: Ports) -> None:
        volume = await shadow_copy(ports, ["/a/1.txt", "/a/2.txt"])
        expander = FileSetExpander({"D:": volume.files})
        await expander.add(group(FileSpec("D:\\n", "*", alternate_location="D:\\a")), OWNER, BackupType.FULL)
        source = SnapshotFileSource({"D:": volume.files}, expander.planned)
        assert source.paths() == ["D:\\n\\1.txt", "D:\\n\\2.txt"]
        assert await source.size("D:\\n\\1.txt") == 8
        assert await source.read("D:\\n\\2.txt", 3, 3) == b"2.t"
        with pytest.raises(NotFoundError, match="is not in the backup"):
            await source.size("D:\\a\\1.txt")
        await source.close()
        await source.close()
        volume.close()

    run(main)


def test_a_database_file_set_without_files_is_missing() -> None:
    async def main(ports: Ports) -> None:
        volume = await shadow_copy(ports, [])
        expander = FileSetExpander({"D:": volume.files})
        specs = (
            FileSpec("D:\\a", "*.edb", kind=FileSpecKind.DATABASE_FILES),
            FileSpec("D:\\a", "*.log", kind=FileSpecKind.DATABASE_LOG_FILES),
        )
        await expander.add(group(*specs, kind=ComponentType.DATABASE), OWNER, BackupType.FULL)
        assert [each.machine_path for each in expander.missing] == ["D:\\a\\*.edb"]
        volume.close()

    run(main)


def test_a_volume_outside_the_set_is_named() -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(NotFoundError, match="volume 'E:' of 'E:"):
            await FileSetExpander({}).add(group(FileSpec("E:\\a", "*")), OWNER, BackupType.FULL)

    run(main)


def test_volumes_come_from_where_the_bytes_are() -> None:
    component = group(
        FileSpec("E:\\x", "*"),
        FileSpec("D:\\a", "*", alternate_location="l:\\spit"),
        FileSpec("F:\\a", "*", backup_type_mask=0x404),
    )
    assert volumes_of([component], BackupType.FULL) == ["E:", "L:"]


# -- selection ---------------------------------------------------------------------------------------------------------------


def metadata(name: str, *components: Component, number: int = 1, **fields: Any) -> WriterMetadata:
    return WriterMetadata(
        writer_id=Guid(int=number),
        instance_id=Guid(int=number + 100),
        friendly_name=name,
        usage=UsageType.USER_DATA,
        source=SourceType.OTHER,
        components=components,
        **fields,
    )


def named(name: str, path: str = "", **fields: Any) -> Component:
    return Component(ComponentType.FILE_GROUP, name, path, **fields)


WRITERS = [
    metadata("Mail", named("Store"), named("Logs", "Store", selectable=False), named("Config", selectable=False)),
    metadata("Web", named("Site"), named("Config"), number=2, instance_name="web 1"),
    metadata("Empty", number=3),
]


def chosen(*names: ComponentName) -> list[str]:
    return [
        f"{writer.metadata.friendly_name}:{each.explicit.full_path}"
        for writer in choose_components(WRITERS, names)
        for each in writer.sets
    ]


def test_everything_is_chosen_where_nothing_is_wanted() -> None:
    assert chosen() == ["Mail:Store", "Mail:Config", "Web:Site", "Web:Config"]


@pytest.mark.parametrize("writer", ["mail", "{" + str(Guid(int=1)) + "}", str(Guid(int=101)), ""])
def test_a_writer_is_named_by_name_or_id_and_brings_what_must_come(writer: str) -> None:
    assert chosen(ComponentName(writer, "store")) == ["Mail:Store", "Mail:Config"]


def test_an_instance_name_names_a_writer() -> None:
    assert chosen(ComponentName("WEB 1", "\\Config\\")) == ["Web:Config"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (ComponentName("Mial", "Store"), NotFoundError, "no writer 'Mial'"),
        (ComponentName("Mail", "Stoer"), NotFoundError, "no component 'Stoer' of writer 'Mail'"),
        (ComponentName("Empty", "x"), NotFoundError, "no component 'x'"),
        (ComponentName("", "zzz"), NotFoundError, "no component 'zzz'"),
        (ComponentName("", "Config"), InvalidArgumentError, "may be Mail:Config, Web:Config"),
        (ComponentName("Mail", "Logs"), InvalidArgumentError, "not selectable"),
    ],
)
def test_a_name_that_names_nothing_or_too_much_is_refused(name: ComponentName, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        chosen(name)


def test_component_names_are_read() -> None:
    assert ComponentName.parse("Mail:Store\\Logs") == ComponentName("Mail", "Store\\Logs")
    assert ComponentName.parse("Store") == ComponentName("", "Store")
    for bad in ("", "Mail:", ":Store"):
        with pytest.raises(ConfigurationError):
            ComponentName.parse(bad)
    assert names_of([]) == []


def test_types_that_a_writer_lacks_are_warned_of_but_copy_is_not() -> None:
    assert type_warnings(WRITERS[:1], BackupType.COPY) == type_warnings(WRITERS, BackupType.FULL) == []
    assert len(type_warnings(WRITERS, BackupType.LOG)) == 3


# -- targets -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"), [("/lab", True), ("/lab/x/..", True), ("/lab2", False), ("/lab/../x", False), ("/", False)]
)
def test_inside_is_by_parts(path: str, expected: bool) -> None:
    assert is_inside(Path(path), Path("/lab")) is expected


def test_a_good_target_is_left_as_it_was_found() -> None:
    async def main(ports: Ports) -> None:
        await check_target(ports, Path("/not/there/yet"), lab=None)
        assert ports.files.list_directory(Path("/")) == []
        ports.files.write_atomically(Path("/") / PROBE_NAME, b"left behind")
        await check_target(ports, Path("/"), lab=Path("/lab"), needed_bytes=10)

    run(main)


def test_a_full_target_says_how_much_is_missing() -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(TargetFullError, match="100 bytes free, expected more than 100"):
            await check_target(ports, Path("/t"), lab=None, needed_bytes=100)

    run(main, files=MemoryFiles(capacity_bytes=100))


def test_a_read_only_target_is_refused() -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(TargetRefusedError, match="EROFS"):
            await check_target(ports, Path("/t/x"), lab=None)

    run(main, files=MemoryFiles(read_only=("/",)))


# -- what is read from records -----------------------------------------------------------------------------------------------


def records(*events: Any) -> list[Record]:
    return [Record(number, number * 10, event) for number, event in enumerate(events, 1)]


def test_timings_are_read_from_the_records_of_the_run() -> None:
    found = records(
        PhaseLeft(phase="copy", session_id="s", duration_ns=5),
        PhaseLeft(phase="copy", session_id="other", duration_ns=6),
        FreezeWindowLost(snapshot_set_id="set", duration_ns=11, limit_ns=10),
        WritesReleased(volume="D:", held_ns=3, queued_count=2, queued_bytes=100),
        WritesReleased(volume="E:", held_ns=3, queued_count=2, queued_bytes=100),
        VolumeFlushed(volume="D:"),
        LogsTruncated(
            store="SG1", removed_first=0, removed_last=0, removed_count=0, kept_first=1, kept_last=9, reason="copy backup"
        ),
    )
    assert [each.duration_ns for each in phases_of(found, "s")] == [5]
    freeze = freeze_of(found, "set")
    assert freeze is not None
    assert (freeze.duration_ns, freeze.limit_ns) == (11, 10)
    assert freeze_of(found, "none") is None
    assert [each.volume for each in holds_of(found, ["D:"])] == ["D:"]
    assert [each.reason for each in truncations_of(found)] == ["copy backup"]


def test_exit_codes_go_by_the_worst() -> None:
    good = SetJudgement()
    assert exit_code(good, [], (), is_copied=False) == ExitCode.OK
    assert exit_code(good, [], ("careful",), is_copied=False) == ExitCode.WARNINGS
    verification = SetVerification(set_id="", state="complete", files=(), findings=())
    assert verification.exit_code == ExitCode.OK


def test_writer_failures_become_typed_errors() -> None:
    assert isinstance(writer_error("W", HResult.VSS_E_WRITER_NOT_RESPONDING, ""), WriterTimeoutError)
    error = writer_error("W", HResult.VSS_E_WRITERERROR_OUTOFRESOURCES, "")
    assert type(error) is WriterError
    assert error.message == "writer 'W' failed: the writer ran out of resources"


def test_a_finding_is_one_sentence() -> None:
    from vss.roles.verifier import Finding

    assert describe(Finding("D:\\a", "-1018", "bad checksum", 7, 65536)) == "D:\\a page 7 offset 65536: -1018: bad checksum"
    assert describe(Finding("D:\\a", "gap", "lost")) == "D:\\a: gap: lost"
