"""The verifier: every kind of wrong bytes is named with file, code and place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from vss.roles.verifier import VerificationReport
from vss.simulation import run
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.log_file import LogHeader
from vss_writers.exchange.verifier import ExchangeVerifier
from vss_writers.exchange.verifier_logs import StreamLogs, judge_needs, judge_sequence

pytestmark = pytest.mark.slow  # the set they judge is made by a whole backup

PAGE = 8192
Files = dict[str, bytes]


class Source:
    """Files in memory, as a verifier sees them."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def paths(self) -> Sequence[str]:
        return list(self.files)

    async def size(self, path: str) -> int:
        return len(self.files[path])

    async def read(self, path: str, offset: int, length: int) -> bytes:
        return self.files[path][offset : offset + length]


_SET: Files = {}


@pytest.fixture
def good(kit: Any) -> Files:
    """The files of a full backup set."""
    if not _SET:

        async def script(bench: Any) -> None:
            await bench.work(60)
            backup = await bench.back_up()
            for each in backup.copied:
                _SET[each.path] = bench.ports.files.read_bytes(
                    kit.SETS / backup.set_id / "files" / each.path.replace(":", "").replace("\\", "/")
                )

        kit.play(script)
    return dict(_SET)


def verify(files: Files, **options: Any) -> VerificationReport:
    async def main(ports: Any) -> VerificationReport:
        return await ExchangeVerifier().verify(Source(files), **options)

    return run(main)


def codes(report: VerificationReport) -> list[str]:
    return [each.code for each in report.findings]


def one(files: Files, end: str) -> str:
    """The first file whose name ends so."""
    return next(path for path in files if path.endswith(end))


def closed_logs(files: Files) -> list[str]:
    return sorted(path for path in files if path.endswith(".log") and path[-12:-4].strip("0123456789ABCDEF") == "")


def flipped(data: bytes, offset: int, mask: int = 1) -> bytes:
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]


# -- good ----------------------------------------------------------------------------------------------------------------------


def test_a_full_set_is_good(good: Files) -> None:
    report = verify(good)

    assert report.findings == ()
    assert report.is_good
    judged = {each.path: each for each in report.files}
    assert list(judged) == list(good)
    database = judged[one(good, "1.edb")]
    assert (database.method, database.pages, database.is_good) == (
        "every page checksum",
        len(good[database.path]) // PAGE - 2,
        True,
    )
    assert judged[one(good, ".chk")].method == "checkpoint checksum"
    assert judged[one(good, "E00.log")].method == "every log record checksum"


def test_files_of_others_are_left_to_the_manifest(good: Files) -> None:
    assert verify({"D:\\notes.txt": b"anything"}).files == ()


def test_a_set_of_logs_alone_is_good(good: Files) -> None:
    assert verify({path: data for path, data in good.items() if not path.endswith(".edb")}).is_good


# -- databases -----------------------------------------------------------------------------------------------------------------


def test_one_wrong_bit_of_a_page_is_wrong_though_the_engine_could_correct_it(good: Files) -> None:
    path = one(good, "1.edb")
    good[path] = flipped(good[path], 5 * PAGE + 3000)
    report = verify(good)
    finding = report.findings[0]

    assert len(report.findings) == 1
    assert (finding.path, finding.code) == (path, "JET_errReadVerifyFailure -1018")
    assert (finding.page_number, finding.offset) == (4, 5 * PAGE)
    assert finding.message.endswith("the engine could correct it")
    assert not next(each for each in report.files if each.path == path).is_good
    assert not report.is_good


def test_a_page_with_many_wrong_bytes_cannot_be_corrected(good: Files) -> None:
    path = one(good, "1.edb")
    good[path] = good[path][: 5 * PAGE + 100] + b"\xa5" * 300 + good[path][5 * PAGE + 400 :]
    report = verify(good)

    assert codes(report) == ["JET_errReadVerifyFailure -1018"]
    assert "could correct" not in report.findings[0].message


@pytest.mark.parametrize("is_used", [True, False])
def test_a_damaged_page_that_no_table_uses_is_wrong_all_the_same_and_told_apart(good: Files, is_used: bool) -> None:
    path = one(good, "1.edb")
    number = 1 if is_used else len(good[path]) // PAGE - 2
    offset = (number + 1) * PAGE
    good[path] = good[path][: offset + 100] + b"\xa5" * 300 + good[path][offset + 400 :]
    report = verify(good)

    assert [(each.code, each.page_number) for each in report.findings] == [("JET_errReadVerifyFailure -1018", number)]
    assert report.findings[0].message.endswith("an offline defragmentation drops it") is not is_used
    assert not report.is_good


def test_a_misplaced_page_is_wrong(good: Files) -> None:
    path = one(good, "1.edb")
    data = good[path]
    good[path] = data[: 4 * PAGE] + data[5 * PAGE : 6 * PAGE] + data[5 * PAGE :]

    assert verify(good).findings[0].page_number == 3


@pytest.mark.parametrize(("copy", "name"), [(0, "primary"), (1, "shadow")])
def test_a_damaged_header_copy_is_wrong_though_the_other_serves(good: Files, copy: int, name: str) -> None:
    path = one(good, "2.edb")
    good[path] = flipped(good[path], copy * PAGE + 60)
    report = verify(good)

    assert [(each.path, each.message.partition(" ")[0]) for each in report.findings] == [(path, name)]


def test_a_database_without_any_header_is_wrong_and_asks_for_no_logs(good: Files) -> None:
    path = one(good, "2.edb")
    good[path] = flipped(flipped(good[path], 60), PAGE + 60)
    report = verify(good)

    assert codes(report) == ["JET_errDatabaseCorrupted -1206"]


def test_a_truncated_database_is_wrong(good: Files) -> None:
    path = one(good, "1.edb")
    good[path] = good[path][:-1000]

    assert "JET_errDatabaseCorrupted -1206" in codes(verify(good))


@pytest.mark.parametrize("data", [b"", bytes(20 * PAGE)], ids=["empty", "blank"])
def test_a_blank_database_is_wrong(good: Files, data: bytes) -> None:
    path = one(good, "1.edb")
    good[path] = data
    report = verify(good)

    assert codes(report) == ["JET_errDatabaseCorrupted -1206"]
    assert report.findings[0].path == path


# -- logs ----------------------------------------------------------------------------------------------------------------------


def test_a_wrong_bit_in_the_records_of_a_log_is_named_with_its_place(good: Files) -> None:
    path = closed_logs(good)[-1]
    good[path] = flipped(good[path], 4096 + 700)
    finding = verify(good).findings[0]

    assert (finding.path, finding.code) == (path, "JET_errLogFileCorrupt -501")
    assert finding.offset >= 4096


@pytest.mark.parametrize(
    "change", [lambda data: flipped(data, 30), lambda data: data[:-512], lambda data: b"", lambda data: bytes(len(data))]
)
def test_a_log_that_is_damaged_cut_or_blank_is_wrong(good: Files, change: Callable[[bytes], bytes]) -> None:
    path = closed_logs(good)[-1]
    good[path] = change(good[path])
    report = verify(good)

    assert {each.path for each in report.findings if "Missing" not in each.code} == {path}
    assert not next(each for each in report.files if each.path == path).is_good


def test_a_renamed_log_is_found_out(good: Files) -> None:
    path = closed_logs(good)[-1]
    renamed = path.replace(path[-12:-4], "000000FF")
    good[renamed] = good.pop(path)
    finding = verify(good).findings[0]

    assert (finding.path, finding.code) == (renamed, "JET_errLogGenerationMismatch -513")
    assert (finding.expected, finding.found) == ("000000FF", path[-12:-4])


def test_a_missing_generation_is_a_gap_and_what_the_databases_miss(good: Files) -> None:
    path = closed_logs(good)[-1]
    del good[path]
    report = verify(good)

    assert codes(report)[0] == "JET_errMissingLogFile -528"
    assert [each.path for each in report.findings[1:]] == [one(good, "1.edb"), one(good, "2.edb")]
    assert all(str(int(path[-12:-4], 16)) in each.found for each in report.findings[1:])


def test_without_any_log_the_databases_say_what_they_need(good: Files) -> None:
    report = verify({path: data for path, data in good.items() if path.endswith(".edb")})

    assert set(codes(report)) == {"JET_errRequiredLogFilesMissing -543"}
    assert {each.path for each in report.findings} == {one(good, "1.edb"), one(good, "2.edb")}


def test_logs_of_another_store_do_not_count(good: Files, kit: Any) -> None:
    other: Files = {}

    async def script(bench: Any) -> None:
        await bench.work(60)
        backup = await bench.back_up()
        for each in backup.copied:
            root = kit.SETS / backup.set_id / "files"
            other[each.path] = bench.ports.files.read_bytes(root / each.path.replace(":", "").replace("\\", "/"))

    kit.play(script, seed=99)
    mixed = {path: data for path, data in good.items() if path.endswith(".edb")}
    mixed |= {path: data for path, data in other.items() if path.endswith(".log")}

    assert any("Missing" in each for each in codes(verify(mixed)))


def test_committed_logs_that_are_missing_would_lose_what_was_acknowledged(good: Files, headers: list[LogHeader]) -> None:
    data = good[one(good, "1.edb")]
    last = headers[-1].generation
    needs = replace(DatabaseHeader.unpack(data[:PAGE]), generation_min_required=last, generation_max_required=last)
    logs = StreamLogs()
    place = logs.place_of("L:\\E00.log")
    assert place is not None
    logs.add(place, headers[-1])
    lost = judge_needs("D:\\1.edb", replace(needs, generation_max_committed=last + 2), logs)

    assert judge_needs("D:\\1.edb", replace(needs, generation_max_committed=last), logs) == []
    assert [(each.code, each.found) for each in lost] == [
        ("JET_errCommittedLogFilesMissing -582", f"missing {last + 1}, {last + 2}")
    ]


def test_a_clean_database_needs_no_logs(kit: Any) -> None:
    clean: Files = {}

    async def script(bench: Any) -> None:
        await bench.deliver("one")
        await bench.group.dismount()
        path = f"{kit.DATABASES}\\{kit.ONE}.edb"
        clean[path] = await bench.read(path)

    kit.play(script)

    assert verify(clean).is_good


# -- sequences, on headers alone -----------------------------------------------------------------------------------------------


def sequence(*headers: LogHeader) -> list[str]:
    logs = StreamLogs()
    for number, header in enumerate(headers):
        place = logs.place_of(f"L:\\E00{number + 1:08X}.log")
        assert place is not None
        logs.add(place, header)
    return [each.code for each in judge_sequence(logs)]


@pytest.fixture
def headers(good: Files) -> list[LogHeader]:
    return [LogHeader.unpack(good[path]) for path in closed_logs(good)[-2:]]


def test_logs_follow_on_one_another(headers: list[LogHeader]) -> None:
    first, second = headers

    assert sequence(first, second) == []
    assert sequence(
        first, replace(second, previous_created=replace(first.created, second=(first.created.second + 1) % 60))
    ) == ["JET_errInvalidLogSequence -515"]
    assert sequence(first, replace(second, signature=replace(first.signature, random=1))) == ["JET_errBadLogSignature -530"]
    assert sequence(first, first) == ["JET_errInvalidLogSequence -515"]
    assert sequence(first, replace(second, generation=second.generation + 3)) == ["JET_errMissingLogFile -528"]


@pytest.mark.parametrize("name", ["E00tmp.log", "E00res00001.log", "notes.log"])
def test_a_log_under_preparation_holds_nothing_to_judge(good: Files, name: str) -> None:
    report = verify({f"L:\\{name}": b"\xda" * 4096})

    assert report.findings == ()


# -- checkpoint ----------------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_good_as_long_as_one_copy_is(good: Files) -> None:
    path = one(good, ".chk")
    once = flipped(good[path], 100)
    twice = flipped(once, 4096 + 100)

    assert verify({path: once}).is_good
    assert codes(verify({path: twice})) == ["JET_errCheckpointCorrupt -533"]
    assert not verify({path: b""}).is_good


# -- pace ----------------------------------------------------------------------------------------------------------------------


def test_a_throttle_takes_the_time_that_the_bytes_may_take(good: Files) -> None:
    async def main(ports: Any) -> float:
        begin_ns = ports.clock.now_ns()
        await ExchangeVerifier().verify(Source(good), throttle_bytes_per_s=1 << 20)
        return float(ports.clock.now_ns() - begin_ns) / 1e9

    total = sum(map(len, good.values()))

    assert run(main) == pytest.approx(total / (1 << 20), rel=0.05)


def test_progress_ends_with_every_file_done(good: Files) -> None:
    seen: dict[str, tuple[int, int]] = {}

    def progress(path: str, done: int, size: int) -> None:
        assert done >= seen.get(path, (0, 0))[0]
        seen[path] = (done, size)

    verify(good, progress=progress)

    assert {path: done for path, (done, _) in seen.items()} == {path: len(data) for path, data in good.items()}
